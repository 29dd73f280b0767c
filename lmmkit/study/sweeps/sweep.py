"""A sweep: every cell found or made, then one table, one curve, one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lmmkit.study.files.sweep_file import SweepFile
from lmmkit.study.records.artifacts import json_bytes, write_bytes
from lmmkit.study.records.file_lock import locked
from lmmkit.study.records.keys import digest
from lmmkit.study.records.manifest import Manifest, Record, record_files, unlisted_files
from lmmkit.study.runs.plan import Plan
from lmmkit.study.sweeps.cells import Cell
from lmmkit.study.sweeps.progress import SweepWatch
from lmmkit.study.sweeps.results import NOT_RUN
from lmmkit.study.sweeps.workers import Made, Workers

STEP = "sweep"


@dataclass(frozen=True)
class Sweep:
    """A sweep before it is made.

    Attributes:
        file: The sweep file.
        base: The run of the base study.
        cells: Its cells.
        replicates: Number of replicates for the inference over the curve; 0 for none.
    """

    file: SweepFile
    base: Plan
    cells: tuple[Cell, ...]
    replicates: int = 0

    @cached_property
    def key(self) -> str:
        """The sweep's key: 12 hexadecimal digits."""
        return digest([self.file.name, self.resolved()])[:12]

    @property
    def title(self) -> str:
        """The title of its page."""
        return self.file.settings.title or str(self.base.study.settings.title)

    def folder(self, reports: Path) -> Path:
        """Where its table and its page lie."""
        return reports / self.file.name / self.key

    def resolved(self) -> dict[str, Any]:
        """What the sweep is, in full."""
        settings = self.file.settings
        return {
            "title": self.title,
            "base": settings.base,
            "summary": settings.summary,
            "on_error": settings.on_error,
            "replicates": self.replicates,
            "cells": [
                {
                    "cell": cell.number,
                    "run": None if cell.error else cell.key,
                    "settings": dict(cell.overrides),
                }
                for cell in self.cells
            ],
        }


def make_cells(
    sweep: Sweep, workers: Workers, reports: Path, watch: SweepWatch, *, anew: bool = False
) -> list[Made]:
    """Every cell of a sweep, found where it is there already, made where not.

    Args:
        sweep: The sweep.
        workers: Who makes them.
        reports: Folder of the run folders.
        watch: Who is told.
        anew: Make those too that are there.

    Returns:
        One per cell, in order; a cell that was not begun, after another had failed, says so.
    """
    made = {item.cell.number: item for item in _known(sweep, reports, watch, anew=anew)}
    pending = [cell for cell in sweep.cells if cell.number not in made]
    for item in workers.make(pending):
        made[item.cell.number] = item
        watch.finish(item)
        if item.error and sweep.file.settings.on_error == "stop":
            workers.stop()
    return [made.get(cell.number, Made(cell, None, NOT_RUN)) for cell in sweep.cells]


def _known(sweep: Sweep, reports: Path, watch: SweepWatch, *, anew: bool) -> Iterator[Made]:
    """Cells that cannot be made, and those that need not be."""
    for cell in sweep.cells:
        if cell.error:
            refused = Made(cell, None, cell.error)
            watch.finish(refused)
            yield refused
        elif not anew and cell.plan.finished(cell.plan.folder(reports)):
            watch.keep(cell)
            yield Made(cell, cell.key, None)


def begin(sweep: Sweep, folder: Path) -> None:
    """The folder of a sweep says that it is being made.

    Raises:
        RunError: it cannot be written.
    """
    manifest = Manifest(sweep.file.name, sweep.key)
    with locked(_lock(folder), wait=True):
        manifest.save(folder)


def finish(sweep: Sweep, folder: Path, files: dict[str, bytes], status: str) -> None:
    """Write what a sweep found, then the manifest of it.

    Raises:
        RunError: the folder cannot be written.
    """
    manifest = Manifest(sweep.file.name, sweep.key, status)
    with locked(_lock(folder), wait=True):
        for stray in unlisted_files(folder, manifest):
            (folder / stray).unlink()
        for name, content in {"sweep.json": json_bytes(sweep.resolved()), **files}.items():
            write_bytes(folder / name, content)
        record = Record(STEP, sweep.key, record_files(folder, manifest))
        manifest.with_step(record).save(folder)
        write_bytes(folder.parent / "latest", f"{sweep.key}\n".encode())


def stop(sweep: Sweep, folder: Path, status: str) -> None:
    """The folder of a sweep says that it was interrupted, or failed."""
    Manifest(sweep.file.name, sweep.key, status).save(folder)


def failures(made: Sequence[Made]) -> int:
    """How many cells failed or were not run."""
    return sum(item.error is not None for item in made)


def _lock(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.lock"
