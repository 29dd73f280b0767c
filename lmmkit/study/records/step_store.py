"""Step outputs kept by content: made once in `reports/.steps/<step>/<key>/`, copied into run folders."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lmmkit.errors import RunError
from lmmkit.study.records.file_lock import locked, refuse_links
from lmmkit.study.records.manifest import Manifest, Record, load_manifest, verified

NAME = ".steps"


@dataclass(frozen=True)
class Store:
    """The kept outputs of steps.

    An entry is a folder with the step's files and their manifest; it appears under its key whole or not
    at all, and serves only while every file of it is as the manifest says.

    Attributes:
        root: The folder, `reports/.steps`.
    """

    root: Path

    @classmethod
    def of(cls, reports: Path) -> Self:
        """The store in a folder of runs."""
        return cls(reports / NAME)

    def making(self, step: str, key: str) -> AbstractContextManager[None]:
        """The making of a step for one process alone; others wait, and then find it."""
        shelf = self.root / step
        refuse_links(self.root, shelf / key, shelf / f".{key}.new", shelf / f".{key}.old")
        return locked(shelf / f".{key}.lock", wait=True)

    def find(self, step: str, key: str) -> Record | None:
        """What a step under a key left, verified; None when it is not there or was touched."""
        entry = self.root / step / key
        try:
            manifest = load_manifest(entry)
        except RunError:
            return None
        record = manifest.step(step) if manifest else None
        return record if record and record.key == key and verified(record, entry) else None

    def give(self, record: Record, folder: Path) -> None:
        """Copy a step's files into a run folder.

        Raises:
            RunError: the folder cannot be written.
        """
        _copy(record, self.root / record.step / record.key, folder)

    def keep(self, record: Record, folder: Path) -> None:
        """Keep what a step left in a run folder, in the place of an earlier entry under its key.

        Raises:
            RunError: the store cannot be written.
        """
        shelf = self.root / record.step
        fresh, entry = shelf / f".{record.key}.new", shelf / record.key
        shutil.rmtree(fresh, ignore_errors=True)
        _copy(record, folder, fresh)
        Manifest("", record.key, "complete", steps=(record,)).save(fresh)
        exchange(fresh, entry)


def _copy(record: Record, source: Path, target: Path) -> None:
    try:
        for file in record.files:
            path = target / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            half = path.with_name(f".writing-{path.name}")
            shutil.copyfile(source / file.path, half)
            half.replace(path)
    except OSError as error:
        raise RunError(f"{target} cannot be written: {error.strerror}; free the place or unlock it") from None


def exchange(fresh: Path, entry: Path) -> None:
    """Put a new folder in the place of an old one.

    Raises:
        RunError: the place cannot be written.
    """
    old = entry.with_name(f".{entry.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if entry.exists():
            entry.rename(old)
        fresh.rename(entry)
    except OSError as error:
        raise RunError(f"{entry} cannot be written: {error.strerror}") from None
    shutil.rmtree(old, ignore_errors=True)
