"""Keys by content: of a run, known before its first step, and of each step."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from lmmkit.study.files.study import Study
from lmmkit.study.records.artifacts import plain, sha256
from lmmkit.study.records.manifest import Record
from lmmkit.study.records.notebooks import Notebook

_NUMERIC = (
    "numpy", "scipy", "pandas", "pyarrow", "narwhals", "statsmodels", "matplotlib", "seaborn",
    "jinja2",
)  # fmt: skip
#: What a notebook declares to read that prints where its numbers come from.
PROVENANCE = "provenance"
_SOURCE = (".py", ".html", ".css", ".json")
_PACKAGE = Path(__file__).resolve().parents[2]


@cache
def versions() -> dict[str, str]:
    """Versions of Python, lmmkit and the packages that make its numbers and pictures."""
    return {"python": platform.python_version(), **{name: _version(name) for name in ("lmmkit", *_NUMERIC)}}


@cache
def machine() -> str:
    """The system and the type of processor: on one type equal inputs give equal bytes."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").split("\n") if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor()
    return ", ".join(filter(None, (f"{platform.system()} {platform.machine()}", model)))


@cache
def package_digest() -> str:
    """Digest of lmmkit's own source."""
    files = sorted(path for path in _PACKAGE.rglob("*") if path.suffix in _SOURCE)
    return digest([(path.relative_to(_PACKAGE).as_posix(), sha256(path.read_bytes())) for path in files])


def run_key(study: Study, data: str, notebooks: Iterable[Notebook], lock: str | None = None) -> str:
    """The first 12 hexadecimal digits of the digest of all that decides a run.

    Args:
        study: The resolved study.
        data: Digest of the data file.
        notebooks: The notebooks in order.
        lock: Digest of the lock of the study, where it has one.
    """
    cells = [(notebook.name, notebook.digest) for notebook in notebooks]
    return digest([study.name, study.resolved(), data, cells, package_digest(), versions(), lock])[:12]


def recorded_key(settings: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """The key that a run must have by what its `study.json` and `provenance.json` say."""
    names = ("study", "sha256", "notebooks", "package", "versions", "lock")
    name, data, notebooks, package, numeric, lock = (provenance.get(name) for name in names)
    cells = [list(cell) for cell in cast("dict[str, str]", notebooks or {}).items()]
    return digest([name, settings, data, cells, package, numeric, lock])[:12]


def step_key(
    notebook: Notebook, study: Study, data: str, head: Mapping[str, bytes], earlier: Iterable[Record]
) -> str:
    """The digest of all that decides one step: its cells, the code, the settings it reads, its inputs.

    Args:
        notebook: Its notebook.
        study: The resolved study.
        data: Digest of the data file; it counts for a step that reads `data`.
        head: The files that stand before the first step, for a step that reads `provenance`.
        earlier: What the steps before it left.
    """
    settings = {key: plain_setting(study, key) for key in notebook.reads if key != PROVENANCE}
    before = {name: sha256(content) for name, content in head.items()}
    inputs = [(file.path, file.sha256) for record in earlier for file in record.artefacts()]
    decided = [study.path.name, notebook.digest, settings, data if "data" in settings else "", before, inputs]
    return digest([*decided, package_digest(), versions()])


def plain_setting(study: Study, key: str) -> object:
    """The setting under a key, as plain data."""
    return _plain(attrgetter(key)(study.settings))


def _plain(value: object) -> object:
    """A setting, or sections of settings by name, as plain data."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in cast("dict[str, object]", value).items()}
    return plain(value)


def digest(value: object) -> str:
    """The digest of plain data."""
    return sha256(json.dumps(plain(value), sort_keys=True).encode())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
