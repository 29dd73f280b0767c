"""A plan locked before the outcome is read, beside its study file; and what deviates from it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmmkit.errors import DataError, StudyError
from lmmkit.study.data.known_files import pinned
from lmmkit.study.data.sources import Base, find_source, sha256_of
from lmmkit.study.files.study import Study, load_study
from lmmkit.study.pages.marks import Mark, MarkedText, Name, fill
from lmmkit.study.records.artifacts import json_bytes, read_json, write_bytes
from lmmkit.study.records.keys import digest, package_digest
from lmmkit.study.records.manifest import load_manifest
from lmmkit.study.records.notebooks import Notebook, steps_of
from lmmkit.study.records.trusted_notebooks import find_notebooks
from lmmkit.study.records.values import tree_values

LOCK, FILE = "lock.json", "deviations.json"
_ABSENT = "absent"


def lock_path(study_file: Path) -> Path:
    """Where the lock of a study file lies."""
    return study_file.with_name(f"{study_file.stem}.lock.json")


def lock_study(study_file: Path, reports: Path, *, allow_outside: bool = False) -> Path:
    """Freeze a study: its settings, notebooks and code, and the digest of its data where they exist already.

    The data file's bytes are hashed; no value in it is read.

    Raises:
        StudyError: the study file is wrong, or locked already.
    """
    study = load_study(study_file)
    path = lock_path(study_file)
    study = replace(study, settings=pinned(study.settings, Base(study.folder, allow_outside)))
    if path.exists():
        raise StudyError(f"{path} exists already; a lock is not renewed. Remove it to start the plan anew")
    lock = {
        "schema": 1,
        "study": study.name,
        "sha256": digest(study.resolved()),
        "settings": study.resolved(),
        "data": _data_digest(study, allow_outside=allow_outside),
        "package": package_digest(),
        "notebooks": {
            notebook.name: notebook.digest
            for notebook in steps_of(find_notebooks(study.path), study.resolved())
        },
        "locked": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "runs_before": _runs(reports / study.name),
    }
    write_bytes(path, json_bytes(lock))
    return path


def deviations(study: Study, data: str, notebooks: Iterable[Notebook]) -> dict[str, Any] | None:
    """What a run is about to do otherwise than its lock says; None where there is no lock.

    Args:
        study: The study as it will run.
        data: Digest of the data file.
        notebooks: The notebooks that will run.

    Raises:
        StudyError: the lock is damaged.
    """
    path = lock_path(study.path)
    if not path.exists():
        return None
    lock = read_json(path)
    now = {
        "settings": study.resolved(),
        "data": data,
        "package": package_digest(),
        "notebooks": {notebook.name: notebook.digest for notebook in notebooks},
    }
    try:
        found = list(_compared(lock, now))
        head = {name: lock[name] for name in ("locked", "sha256", "runs_before")}
    except (KeyError, TypeError, AttributeError):
        raise StudyError(f"{path} is no lock of a study; restore it, or remove it and lock anew") from None
    return {**head, "deviations": [{"what": what, "locked": a, "now": b} for what, a, b in found]}


def lock_files(study: Study, data: str, notebooks: Iterable[Notebook]) -> dict[str, bytes]:
    """The lock of a study and what deviates from it, as files of a run; none where it is not locked.

    Raises:
        StudyError: the lock is damaged.
    """
    found = deviations(study, data, notebooks)
    return {} if found is None else {LOCK: lock_path(study.path).read_bytes(), FILE: json_bytes(found)}


def deviation_lines(folder: Path) -> list[MarkedText]:
    """What a run's report says of its lock, a sentence each; nothing where the study was not locked."""
    if not (folder / FILE).exists():
        return []
    found: dict[str, Any] = read_json(folder / FILE)
    before = found["runs_before"]
    count = fill(", after {} earlier run{}", _entry(before, "runs_before"), "s" if before != 1 else "")
    when = fill(
        "The study was locked at {} ({} {}){}.",
        _entry(found["locked"], "locked"),
        Name("sha256"),
        _entry(found["sha256"], "sha256"),
        count if before else ", before any run here",
    )
    listed = [
        fill(
            "Deviation: {}, locked {}, now {}.",
            *(_entry(deviation[key], f"deviations/{i}/{key}") for key in ("what", "locked", "now")),
        )
        for i, deviation in enumerate(found["deviations"])
    ]
    return [when, *(listed or [fill("Nothing deviates from the lock.")])]


def _entry(value: object, place: str) -> Mark:
    """A value of `FILE`; of a digest as much as one reads."""
    text = str(value)
    return Mark(value, FILE, place, text[:12] if len(text) == 64 and text.isalnum() else text)


def _compared(lock: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, object, object]]:
    if lock["sha256"] != digest(lock["settings"]):
        yield "the lock file itself", lock["sha256"], digest(lock["settings"])
    yield from _leaves(lock["settings"], now["settings"])
    if lock["data"] is not None and lock["data"] != now["data"]:
        yield "the data file", lock["data"], now["data"]
    if lock["package"] != now["package"]:
        yield "the source of lmmkit", lock["package"], now["package"]
    for name in dict.fromkeys([*lock["notebooks"], *now["notebooks"]]):
        then, this = (side["notebooks"].get(name, _ABSENT) for side in (lock, now))
        if then != this:
            yield f"the notebook {name}", then, this


def _leaves(then: Any, now: Any) -> Iterator[tuple[str, object, object]]:
    """Settings that are not the same, by dotted key."""
    sides = [{f"{p.field}{p.row}": value for p, value in tree_values(side)} for side in (then, now)]
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        a, b = (side.get(key, _ABSENT) for side in sides)
        if a != b and ".length" not in key:
            yield key, a, b


def _data_digest(study: Study, *, allow_outside: bool) -> str | None:
    try:
        return sha256_of(find_source(study.settings.data.source, Base(study.folder, allow_outside)))
    except DataError:
        return None


def _runs(folder: Path) -> int:
    """Runs of the study that have read the data already."""
    places = sorted(path.parent for path in folder.glob("*/manifest.json"))
    manifests = [load_manifest(place) for place in places]
    return sum(bool(manifest and manifest.step("01_data_prep")) for manifest in manifests)
