"""Keys by content: of a run, known before its first step, and of each step."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from lmmkit.study.artifacts import plain, sha256
from lmmkit.study.gates import setting
from lmmkit.study.manifest import Record
from lmmkit.study.notebooks import Notebook
from lmmkit.study.study import Study

_NUMERIC = (
    "numpy", "scipy", "pandas", "pyarrow", "narwhals", "formulaic", "statsmodels", "matplotlib", "seaborn",
    "jinja2",
)  # fmt: skip
_SOURCE = (".py", ".j2", ".css")
_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def versions() -> dict[str, str]:
    """Versions of Python, lmmkit and the packages that make its numbers and pictures."""
    return {"python": platform.python_version(), **{name: _version(name) for name in ("lmmkit", *_NUMERIC)}}


@cache
def package_digest() -> str:
    """Digest of lmmkit's own source."""
    files = sorted(path for path in _PACKAGE.rglob("*") if path.suffix in _SOURCE)
    return _digest([(path.relative_to(_PACKAGE).as_posix(), sha256(path.read_bytes())) for path in files])


def run_key(study: Study, data: str, notebooks: Iterable[Notebook]) -> str:
    """The first 12 hexadecimal digits of the digest of all that decides a run.

    Args:
        study: The resolved study.
        data: Digest of the data file.
        notebooks: The notebooks in order.
    """
    cells = [(notebook.name, notebook.digest) for notebook in notebooks]
    return _digest([study.name, study.resolved(), data, cells, package_digest(), versions()])[:12]


def recorded_key(settings: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """The key that a run must have by what its `study.json` and `provenance.json` say."""
    names = ("study", "sha256", "notebooks", "package", "versions")
    name, data, notebooks, package, numeric = (provenance.get(name) for name in names)
    cells = [list(cell) for cell in cast("dict[str, str]", notebooks or {}).items()]
    return _digest([name, settings, data, cells, package, numeric])[:12]


def step_key(notebook: Notebook, study: Study, data: str, earlier: Iterable[Record]) -> str:
    """The digest of all that decides one step: its cells, the code, the settings it reads, its inputs."""
    settings = {key: plain_setting(study, key) for key in notebook.reads}
    data = data if "data" in settings else ""
    inputs = [(file.path, file.sha256) for record in earlier for file in record.artefacts()]
    return _digest([notebook.digest, settings, data, inputs, package_digest(), versions()])


def plain_setting(study: Study, key: str) -> object:
    """The setting under a key, as plain data."""
    value = setting(study.settings, key)
    dump = getattr(value, "model_dump", None)
    return dump(mode="json", by_alias=True) if dump else plain(value)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _digest(value: object) -> str:
    return sha256(json.dumps(plain(value), sort_keys=True).encode())
