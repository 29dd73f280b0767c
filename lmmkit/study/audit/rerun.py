"""A recorded study executed once more, by the installed notebooks, and every number of the run compared.

Nothing of the audited run is executed: its notebooks are never read as code.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lmmkit.errors import DataError, LmmkitError, RunError
from lmmkit.study.audit.artefacts import Circumstances, compare_runs
from lmmkit.study.audit.integrity import RunFolder, open_run
from lmmkit.study.audit.verdicts import (
    DIFFERS,
    EXECUTION,
    IDENTICAL,
    UNCHECKED,
    Finding,
)
from lmmkit.study.data.sources import ROOT, sha256_of
from lmmkit.study.files.shipped import data_sets, shipped
from lmmkit.study.files.study import load_study
from lmmkit.study.files.yaml12 import is_mapping
from lmmkit.study.records.artifacts import json_bytes, write_bytes
from lmmkit.study.records.plan_lock import LOCK, lock_path
from lmmkit.study.records.temporary import temporary_folder
from lmmkit.study.records.trusted_notebooks import checked, project_folder, trusted_notebooks
from lmmkit.study.sweeps.cell_workers import WorkerPool

_NAME = re.compile(r"[\w][\w.\- ]*")
_PLACE = ("work", "of", "this", "study")  # deep enough that a source such as ../../data.csv stays inside


@dataclass(frozen=True)
class RecordedStudy:
    """A study as a run or a report records it.

    Attributes:
        name: Its name.
        settings: Its settings, every default in place.
        source: `data.source`.
        sha256: Digest of the data file.
        overrides: What was changed in the file's settings, as the run says; the settings hold it already.
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


def recorded_study(settings: Any, provenance: Any, lock: bytes | None = None) -> RecordedStudy:
    """The study in a run's `study.json` and `provenance.json`.

    Raises:
        RunError: they do not hold what a run writes.
    """
    try:
        name, overrides = str(provenance["study"]), {**provenance["overrides"]}
        source, digest = settings["data"]["source"], str(provenance["sha256"])
        folder = "params" if "params/" in str(provenance["command"]) else "study"
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"what is recorded of the study is damaged ({error}); it cannot be run again"
        ) from None
    if not _NAME.fullmatch(name):
        raise RunError(f"{name!r} is no name of a study; what is recorded of it is damaged")
    if not isinstance(source, str) or not source or "\0" in source:
        raise RunError(f"{source!r} is no data source; what is recorded of the study is damaged")
    return RecordedStudy(name, settings, source, digest, overrides, folder, lock)


def study_of(run: RunFolder) -> RecordedStudy:
    """The study of a run.

    Raises:
        RunError: what the run records of it is damaged.
    """
    return recorded_study(run.settings, run.provenance, run.content(LOCK))


class DataFile(NamedTuple):
    """A data file that was looked for: the one with the recorded digest, and those that have another."""

    path: Path | None
    others: tuple[Path, ...] = ()


def find_data(study: RecordedStudy, near: Path, given: Path | None = None) -> DataFile:
    """The data file of a study: as given, else from beside the study file of its name, or a shipped one.

    A run says of itself what it read, so its word opens nothing: it is looked for where a study of that name
    lies, in the project that is worked in or that the run lies in, and read from inside that folder alone.

    Args:
        study: The study.
        near: The run folder.
        given: The file that the user names.

    Raises:
        DataError: the file given cannot be read.
    """
    candidates = dict.fromkeys([given] if given else _candidates(study, near))
    others = [path for path in candidates if sha256_of(path) != study.sha256]
    return DataFile(next((path for path in candidates if path not in others), None), tuple(others))


def _candidates(study: RecordedStudy, near: Path) -> Iterator[Path]:
    projects = [project_folder(), *near.resolve().parents[2:3]]
    for folder in (folder for project in projects for folder in (project / "params", project)):
        file = folder / f"{study.name}.yaml"
        if file.is_file() and not (file.is_symlink() or folder.is_symlink()):
            path = (folder / study.source).resolve()
            if path.is_relative_to(folder.resolve()) and path.is_file():
                yield path
    if study.source in data_sets():
        yield data_sets()[study.source]


def run_again(
    study: RecordedStudy, data: Path, place: Path, notebooks: Path | None = None, *, cold: bool = True
) -> RunFolder:
    """Execute a study in an empty folder, and open the new run.

    Args:
        study: The study.
        data: Its data file.
        place: The folder to work in.
        notebooks: The project's own notebooks, trusted, when the user names them; else the installed ones.
        cold: A standard kernel for each notebook.

    Raises:
        RunError: it cannot be executed, or a step failed.
        DataError: the study reads data from a place that cannot be made anew.
    """
    books = trusted_notebooks(notebooks)
    file, reports = place.joinpath(*_PLACE, study.folder, f"{study.name}.yaml"), place / "reports"
    _lay_out(study, data, file, place)
    _check_overrides(study, file)
    pool = WorkerPool(
        {"cold": cold, "allow_outside": False}, file.parent, {ROOT: str(place), **checked(books)}
    )
    order: dict[str, Any] = {"study": str(file), "overrides": {**study.overrides}, "reports": str(reports)}
    try:
        answer = pool.ask({**order, "again": []})
    finally:
        pool.close()
    if answer["error"] is not None:
        raise RunError(*answer["error"].split("\n"))
    return open_run(reports / study.name / answer["key"])


def _lay_out(study: RecordedStudy, data: Path, file: Path, place: Path) -> None:
    """The study file, with its data where it looks for them."""
    write_bytes(file, json_bytes(study.settings))
    if study.lock is not None:
        write_bytes(lock_path(file), study.lock)
    for source, path in _known_files(study, data).items():
        _put(path, source, file, place)
    if study.source in data_sets() and data == data_sets()[study.source]:
        return
    _put(data, study.source, file, place)


def _put(path: Path, source: str, file: Path, place: Path) -> None:
    """A file where the study looks for it."""
    target = (file.parent / source).resolve()
    inside = not Path(source).is_absolute() and target.is_relative_to(place.resolve())
    if not inside or target.exists():
        raise DataError(
            f"the study reads {source}, a place that cannot be made anew; name a file beside the study"
        )
    _copy(path, target)


def _known_files(study: RecordedStudy, data: Path) -> dict[str, Path]:
    """Pedigrees and matrices of a study by their sources, with the recorded digests, from beside its data.

    Raises:
        DataError: one is not there.
    """
    model = study.settings.get("model")
    known = model.get("known") if is_mapping(model) else None
    made = dict[str, Path]()
    for group, one in known.items() if is_mapping(known) else ():
        source, digest = str(one.get("pedigree") or one.get("matrix")), one.get("sha256")
        folders = [data.parent, *data.parents[1 : 1 + len(Path(study.source).parents)], shipped("params")]
        paths = [(folder, folder / name) for folder in folders for name in (source, Path(source).name)]
        inside = [p for folder, p in paths if p.resolve().is_relative_to(folder.resolve()) and p.is_file()]
        found = next((path for path in inside if sha256_of(path) == digest), None)
        if found is None:
            raise DataError(
                f"the study knows {group} from {source} with the sha256 {digest}, which was not found beside "
                "its data; put it there"
            )
        made[source] = found
    return made


def _check_overrides(study: RecordedStudy, file: Path) -> None:
    """What a run says was changed is words for its report: the settings must hold it already.

    Raises:
        RunError: they do not.
        StudyError: the settings are no study.
    """
    if load_study(file, study.overrides).resolved() != load_study(file).resolved():
        raise RunError(
            "the overrides that provenance.json records are not in study.json, which holds the study as it "
            "ran; what is recorded of it is damaged"
        )


def keep_copy(place: Path, folder: Path) -> None:
    """A copy of a folder in a place, of whatever kind that was there before.

    Raises:
        RunError: the place cannot be written.
    """
    try:
        if place.is_symlink() or place.is_file():
            place.unlink()
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error}; name a place with --out DIR") from None


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def check_rerun(
    run: RunFolder, *, data: Path | None, notebooks: Path | None, circumstances: Circumstances, keep: Path
) -> Iterator[Finding]:
    """Execute the run's study in a new folder and compare.

    Args:
        run: The run.
        data: The data file, when the user names it.
        notebooks: The project's own notebooks, trusted, when the user names them.
        circumstances: What of code, versions and machine is other than the run's.
        keep: Where the new run is left if anything differs.
    """
    try:
        study = study_of(run)
        found = find_data(study, run.folder, data)
    except LmmkitError as error:
        yield Finding(EXECUTION, EXECUTION, UNCHECKED, str(error))
        return
    what, expected = f"data file {study.source}", f"sha256 {study.sha256[:12]}"
    if found.path is not None:
        yield Finding(EXECUTION, what, IDENTICAL, expected, expected)
        yield from _repeated(run, study, found.path, notebooks, circumstances, keep)
    elif found.others:
        yield Finding(EXECUTION, what, DIFFERS, f"{found.others[0].name} has another sha256", expected)
    else:
        yield Finding(EXECUTION, what, UNCHECKED, "not found; name it with --data FILE", expected)


def _repeated(
    run: RunFolder,
    study: RecordedStudy,
    data: Path,
    notebooks: Path | None,
    circumstances: Circumstances,
    keep: Path,
) -> Iterator[Finding]:
    with temporary_folder() as place:
        try:
            again = run_again(study, data, place, notebooks)
        except LmmkitError as error:
            yield Finding(EXECUTION, EXECUTION, DIFFERS, str(error), "a run that ends well")
            return
        findings = list(compare_runs(run, again, circumstances))
        if any(finding.verdict == DIFFERS for finding in findings):
            keep_copy(keep, again.folder)
        yield from findings
