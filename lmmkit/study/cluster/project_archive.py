"""What travels between a sweep and a worker of a cluster: a project's files out, a run's files back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import cast

from lmmkit.errors import DataError, RunError
from lmmkit.study.data.sources import find_source
from lmmkit.study.files.shipped import data_sets
from lmmkit.study.files.yaml12 import is_mapping
from lmmkit.study.records.artifacts import read_json, sha256, write_bytes
from lmmkit.study.records.file_lock import locked, refuse_links
from lmmkit.study.records.keys import digest, recorded_key
from lmmkit.study.records.manifest import Manifest, load_manifest, safe_path, unlisted_files, verified
from lmmkit.study.records.notebooks import Notebook
from lmmkit.study.records.step_store import Store, exchange
from lmmkit.study.records.trusted_notebooks import FOLDER
from lmmkit.study.runs.plan import HEAD, Plan

#: Files, and bytes of all of them, of a run that a worker may return.
MOST_FILES, LARGEST_RUN = 10_000, 2_000_000_000
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
    settings = plan.study.settings
    known = tuple(
        (file.source, find_source(file.source, plan.base)) for file in settings.model.known.values()
    )
    return _archive(plan.study.path, settings.data.source, plan.source, plan.found, known)


@cache
def _archive(
    study: Path,
    source: str,
    data: Path,
    notebooks: tuple[Notebook, ...],
    known: tuple[tuple[str, Path], ...],
) -> ProjectArchive:
    place = PurePosixPath(*_DEPTH, study.parent.name)
    files = {f"{FOLDER}/{book.path.name}": book.source for book in notebooks}
    files[str(place / study.name)] = study.read_bytes()
    sent = [] if data == data_sets().get(source) else [(source, data)]
    for name, path in (*sent, *known):
        inside = PurePosixPath(os.path.normpath(place / name))
        if inside.is_absolute() or inside.parts[0] == "..":
            raise DataError(f"the file {name} cannot be sent to a cluster; name a file beside the study")
        files[str(inside)] = path.read_bytes()
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


def check_files(files: object) -> None:
    """See that what a worker returned as a run is files by path, inside of a folder, and not too many.

    Raises:
        RunError: it is anything else.
    """
    if not isinstance(files, Mapping):
        raise RunError("it is no run: expected files by their paths")
    held = cast("Mapping[object, object]", files)
    if len(held) > MOST_FILES:
        raise RunError(f"it has {len(held):,} files, more than {MOST_FILES:,}")
    size = 0
    for path, content in held.items():
        if not isinstance(path, str) or not isinstance(content, bytes):
            raise RunError(f"it is no run: {str(path)[:40]!r} is no file")
        safe_path(path)
        size += len(content)
    if size > LARGEST_RUN:
        raise RunError(f"it has {size:,} bytes, more than {LARGEST_RUN:,}")


def install_run(files: Mapping[str, bytes], plan: Plan, key: str, reports: Path, *, whole: bool) -> None:
    """Put a run that came back in its place, at once, and its steps into the store.

    Args:
        files: Its files.
        plan: What was asked for.
        key: Its key.
        reports: The folder of runs.
        whole: Whether all its steps must be there; else it is one that failed.

    Raises:
        RunError: it is not what its manifest says, or not the run that was asked for, or the place cannot be
            written.
    """
    folder, store = reports / plan.study.name / key, Store.of(reports)
    fresh = folder.with_name(f".{folder.name}.new")
    refuse_links(reports / plan.study.name, folder, fresh)
    with locked(folder.with_name(f".{folder.name}.lock"), wait=True):
        shutil.rmtree(fresh, ignore_errors=True)
        write_files(files, fresh)
        try:
            manifest = _checked_manifest(fresh, plan, key, whole=whole)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        exchange(fresh, folder)
    for record in manifest.steps[1:]:
        with store.making(record.step, record.key):
            store.keep(record, folder)


def _checked_manifest(folder: Path, plan: Plan, key: str, *, whole: bool) -> Manifest:
    """The manifest of a run that came back: every file as it says, and the run the one of a plan."""
    manifest = load_manifest(folder)
    if manifest is None or not all(verified(record, folder) for record in manifest.steps):
        raise RunError("it came back damaged: a file is not what its manifest says")
    if (manifest.study, manifest.key) != (plan.study.name, key):
        raise RunError("its manifest is that of another run")
    steps, due = [record.step for record in manifest.steps], [HEAD, *(book.name for book in plan.notebooks)]
    if steps != (due if whole else due[: len(steps)]) or not steps:
        raise RunError("its steps are not those that were asked for")
    if whole and (manifest.status != "complete" or unlisted_files(folder, manifest)):
        raise RunError("it is not complete, or holds what its manifest does not list")
    provenance = read_json(folder / "provenance.json")
    if digest(read_json(folder / "study.json")) != digest(plan.study.resolved()) or not is_mapping(
        provenance
    ):
        raise RunError("its study is not the one that was sent")
    if provenance.get("sha256") != plan.data:
        raise RunError("its data are not those that were sent")
    if recorded_key(plan.study.resolved(), provenance) != key:
        raise RunError("its key is not that of what it records")
    return manifest
