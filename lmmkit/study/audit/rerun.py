"""A recorded study executed once more: in a new place, by the installed notebooks, never a run's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmmkit.errors import DataError, RunError
from lmmkit.study.data.sources import sha256_of
from lmmkit.study.files.shipped import data_sets, shipped
from lmmkit.study.records.artifacts import json_bytes, write_bytes
from lmmkit.study.records.manifest import NAME
from lmmkit.study.records.notebooks import Notebook, project_folder
from lmmkit.study.records.plan_lock import lock_path

_NAME = re.compile(r"[\w][\w.\- ]*")
_PLACE = ("work", "of", "this", "study")  # deep enough that a source such as ../../data.csv stays inside


@dataclass(frozen=True)
class Recipe:
    """A study as a run or a report records it.

    Attributes:
        name: Its name.
        settings: Its settings, every default in place.
        source: `data.source`.
        sha256: Digest of the data file.
        overrides: What was changed in the file's settings, which the settings hold already.
        folder: Name of the folder of the study file.
        lock: The study's lock, where it has one.
    """

    name: str
    settings: Mapping[str, Any]
    source: str
    sha256: str
    overrides: Mapping[str, Any] = field(default_factory=dict[str, Any])
    folder: str = "params"
    lock: bytes | None = None


def recipe_of(settings: Any, provenance: Any, lock: bytes | None = None) -> Recipe:
    """The recipe in a run's `study.json` and `provenance.json`.

    Raises:
        RunError: they do not hold what a run writes.
    """
    try:
        name, overrides = str(provenance["study"]), dict(provenance["overrides"])
        source, digest = str(settings["data"]["source"]), str(provenance["sha256"])
        folder = "params" if "params/" in str(provenance["command"]) else "study"
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"what is recorded of the study is damaged ({error}); it cannot be run again"
        ) from None
    if not _NAME.fullmatch(name):
        raise RunError(f"{name!r} is no name of a study; what is recorded of it is damaged")
    return Recipe(name, settings, source, digest, overrides, folder, lock)


@dataclass(frozen=True)
class Found:
    """A data file that was looked for: the one with the recorded digest, or those that have another."""

    path: Path | None
    others: tuple[Path, ...] = ()


def find_data(recipe: Recipe, near: Path, given: Path | None = None) -> Found:
    """The data file of a recipe: as given, else from the project, from beside the run, or a shipped one.

    Args:
        recipe: The study.
        near: The run folder or the report.
        given: The file that the user names.

    Raises:
        DataError: the file given cannot be read.
    """
    candidates = list(dict.fromkeys([given] if given else _candidates(recipe.source, near)))
    others = [path for path in candidates if sha256_of(path) != recipe.sha256]
    right = next((path for path in candidates if path not in others), None)
    return Found(right, tuple(others))


def _candidates(source: str, near: Path) -> Iterator[Path]:
    project = project_folder()
    bases = [*([project] if project else []), Path.cwd(), *near.resolve().parents[:4]]
    for folder in [*(folder for base in bases for folder in (base / "params", base)), shipped("params")]:
        path = (folder / source).resolve()
        if path.is_relative_to(folder.resolve()) and path.is_file():
            yield path
    if source in data_sets():
        yield data_sets()[source]


def run_again(
    recipe: Recipe, data: Path, place: Path, notebooks: Path | None = None, *, cold: bool = True
) -> Path:
    """Execute a recipe in an empty folder, and return the new run's folder.

    Args:
        recipe: The study.
        data: Its data file.
        place: The folder to work in.
        notebooks: The project's own notebooks, when the user trusts and names them; else the installed ones.
        cold: A standard kernel for each notebook.

    Raises:
        RunError: it cannot be executed, or a step failed.
    """
    folder = place.joinpath(*_PLACE, recipe.folder)
    study = folder / f"{recipe.name}.yaml"
    _lay_out(recipe, data, study, place)
    for notebook in to_execute(notebooks):
        _copy(notebook.path, folder.parent / "notebooks" / notebook.path.name)
    reports = place / "reports"
    command = [
        sys.executable,
        "-P",
        "-m",
        "lmmkit.study.cli.app",
        "run",
        str(study),
        "--reports",
        str(reports),
    ]
    changed = [f"--set={key}={json.dumps(value)}" for key, value in recipe.overrides.items()]
    options = ["--allow-outside", *(["--cold"] if cold else []), *changed]
    done = subprocess.run(
        [*command, *options], cwd=folder.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("Error: ")[2]
        raise RunError(last or "the study could not be run again")
    return next(iter(reports.glob(f"{recipe.name}/*/{NAME}"))).parent


def _lay_out(recipe: Recipe, data: Path, study: Path, place: Path) -> None:
    """The study file, with its data where it looks for them."""
    write_bytes(study, json_bytes(recipe.settings))
    if recipe.lock is not None:
        write_bytes(lock_path(study), recipe.lock)
    if recipe.source in data_sets() and data == data_sets()[recipe.source]:
        return
    target = (study.parent / recipe.source).resolve()
    if Path(recipe.source).is_absolute() or not target.is_relative_to(place.resolve()):
        raise DataError(
            f"the study reads {recipe.source}, a place that cannot be made anew; name a file beside the study"
        )
    _copy(data, target)


def to_execute(folder: Path | None) -> list[Notebook]:
    """The notebooks of a folder that the user names, else the installed ones.

    Raises:
        RunError: there are none.
    """
    found = [Notebook(path) for path in sorted((folder or shipped("notebooks")).glob("0[1-9]_*.ipynb"))]
    if not found:
        raise RunError(
            f"no notebooks 01_... to 04_... in {folder}; leave --notebooks out for the installed ones"
        )
    return found


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
