"""What travels between a sweep and a worker of a cluster: a project's files out, a run's files back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

from lmmkit.errors import DataError, RunError
from lmmkit.study.files.shipped import data_sets
from lmmkit.study.records.artifacts import sha256, write_bytes
from lmmkit.study.records.file_lock import locked
from lmmkit.study.records.keys import digest
from lmmkit.study.records.manifest import load_manifest, safe_path, verified
from lmmkit.study.records.notebooks import Notebook
from lmmkit.study.records.step_store import Store, exchange
from lmmkit.study.records.trusted_notebooks import FOLDER
from lmmkit.study.runs.plan import Plan

#: Folders above the study, so that a source such as ../../data.csv stays inside the project.
_DEPTH = ("of", "this", "study")


@dataclass(frozen=True)
class ProjectArchive:
    """The files that a cell needs.

    Attributes:
        digest: Of all that is in it.
        files: By path, relative to a project folder.
        study: Path of the study file among them.
    """

    digest: str
    files: Mapping[str, bytes] = field(repr=False)
    study: str


def archive_project(plan: Plan) -> ProjectArchive:
    """The notebooks, the study file and the data of a run.

    Raises:
        DataError: the data lie where no other machine can have them in the same place.
    """
    return _archive(plan.study.path, plan.study.settings.data.source, plan.source, plan.notebooks)


@cache
def _archive(study: Path, source: str, data: Path, notebooks: tuple[Notebook, ...]) -> ProjectArchive:
    place = PurePosixPath(*_DEPTH, study.parent.name)
    files = {f"{FOLDER}/{book.path.name}": book.source for book in notebooks}
    files[str(place / study.name)] = study.read_bytes()
    if data != data_sets().get(source):
        inside = PurePosixPath(os.path.normpath(place / source))
        if inside.is_absolute() or inside.parts[0] == "..":
            raise DataError(f"data.source {source} cannot be sent to a cluster; name a file beside the study")
        files[str(inside)] = data.read_bytes()
    contents = {path: sha256(content) for path, content in files.items()}
    return ProjectArchive(digest(contents), files, str(place / study.name))


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder.

    Raises:
        RunError: a path leaves the folder, or the folder cannot be written.
    """
    for path, content in files.items():
        write_bytes(folder / safe_path(path), content)


def take_files(folder: Path) -> dict[str, bytes]:
    """The files of a run by path; its folder is then removed."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    shutil.rmtree(folder)
    return files


def install_run(files: Mapping[str, bytes], folder: Path, store: Store) -> None:
    """Put a run that came back in its place, whole, and its steps into the store.

    Raises:
        RunError: it is not what its manifest says, or the place cannot be written.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    with locked(folder.with_name(f".{folder.name}.lock"), wait=True):
        shutil.rmtree(fresh, ignore_errors=True)
        write_files(files, fresh)
        manifest = load_manifest(fresh)
        if manifest is None or not all(verified(record, fresh) for record in manifest.steps):
            raise RunError(f"{fresh.name}: a run came back damaged from the cluster; start the sweep again")
        exchange(fresh, folder)
    for record in manifest.steps[1:]:
        with store.making(record.step, record.key):
            store.keep(record, folder)
