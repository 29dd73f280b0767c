"""A sweep made: every cell found or made, its folder telling how far it came, then table, curve and page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lmmkit.study.records.artifacts import json_bytes, write_bytes
from lmmkit.study.records.file_lock import locked, refuse_links
from lmmkit.study.records.log import Log
from lmmkit.study.records.manifest import Manifest, Record, record_files, unlisted_files
from lmmkit.study.records.trusted_notebooks import telling
from lmmkit.study.runs.progress import line
from lmmkit.study.sweeps.cell_workers import CellOptions, CellRun, Workers
from lmmkit.study.sweeps.cells import SweepPlan
from lmmkit.study.sweeps.estimands import followed
from lmmkit.study.sweeps.results import NOT_RUN
from lmmkit.study.sweeps.sweep_files import sweep_files

STEP = "sweep"


class SweepWatch(Progress):
    """The terminal's view of a sweep: cells done, time left, failures; a line per cell where nobody looks."""

    def __init__(self, cells: int, log: Log, console: Console | None = None):
        console = console or Console(stderr=True)
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.cells, self.log, self.failed = cells, log, 0
        self.bar = self.add_task("cells", total=cells)

    def keep(self) -> None:
        """A cell was there already, verified."""
        self.advance(self.bar)

    def finish(self, run: CellRun) -> None:
        """A cell has been made, or has failed."""
        self.advance(self.bar)
        event = "cell failed" if run.error else "cell made"
        self.log(event, cell=run.cell.number, run=run.key, error=run.error)
        head = f"cell {run.cell.number} of {self.cells}, {run.cell.label}"
        if run.error:
            self.failed += 1
            self.update(self.bar, description=f"cells, {self.failed} failed")
            self.say(f"{head}: failed: {run.error}", style="red")
        elif not self.console.is_terminal:
            self.say(head)

    def say(self, message: str, style: str = "") -> None:
        """A line above the bar."""
        self.console.print(line(message, style), soft_wrap=True)


def make_sweep(
    sweep: SweepPlan,
    start: Callable[[], AbstractContextManager[Workers]],
    options: CellOptions,
    threads: int,
) -> tuple[Path, int]:
    """Make a sweep.

    Args:
        sweep: The sweep.
        start: Starts the workers.
        options: How cells are made.
        threads: Threads for the inference over the curve.

    Returns:
        Its folder, and the number of cells that failed or were not run.

    Raises:
        StudyError: the base study's focus is no single number.
        RunError: the reports folder cannot be written, or a cluster is gone.
    """
    followed(sweep.base, sweep.file.settings.summary)
    folder = sweep.folder(options.reports)
    refuse_links(folder, folder.parent, folder / "log.jsonl")
    with telling(sweep.base.found), start() as workers:
        _save_status(sweep, folder, "running")
        log = Log(folder)
        log("started", key=sweep.key, cells=len(sweep.cells))
        try:
            with SweepWatch(len(sweep.cells), log) as watch:
                runs = make_cells(sweep, workers, options, watch)
            files, warnings = sweep_files(sweep, runs, options.reports, threads)
            for warning in warnings:
                watch.say(warning)
            failed = sum(run.error is not None for run in runs)
            _finish(sweep, folder, files, "failed cells" if failed else "complete")
        except BaseException as error:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            _save_status(sweep, folder, status)
            log(status, error=str(error) or None)
            raise
    log("complete", failed=failed)
    return folder, failed


def make_cells(sweep: SweepPlan, workers: Workers, options: CellOptions, watch: SweepWatch) -> list[CellRun]:
    """Every cell of a sweep: found where it is there already, made where not, or when steps are made again.

    Returns:
        One per cell, in order; a cell that was not begun, after another had failed, says so.
    """
    runs = dict[int, CellRun]()
    for cell in sweep.cells:
        if cell.error:
            runs[cell.number] = CellRun(cell, None, cell.error)
            watch.finish(runs[cell.number])
        elif not options.again and cell.is_made(options.reports):
            runs[cell.number] = CellRun(cell, cell.key, None)
            watch.keep()
    for run in workers.make([cell for cell in sweep.cells if cell.number not in runs]):
        runs[run.cell.number] = run
        watch.finish(run)
        if run.error and sweep.file.settings.on_error == "stop":
            workers.stop()
    return [runs.get(cell.number, CellRun(cell, None, NOT_RUN)) for cell in sweep.cells]


def _save_status(sweep: SweepPlan, folder: Path, status: str) -> None:
    """The folder of a sweep says that it is being made, was interrupted, or failed."""
    with locked(_lock(folder), wait=True):
        Manifest(sweep.file.name, sweep.key, status).save(folder)


def _finish(sweep: SweepPlan, folder: Path, files: dict[str, bytes], status: str) -> None:
    """Write what a sweep found, then the manifest of it."""
    manifest = Manifest(sweep.file.name, sweep.key, status)
    with locked(_lock(folder), wait=True):
        for stray in unlisted_files(folder, manifest):
            (folder / stray).unlink()
        for name, content in {"sweep.json": json_bytes(sweep.resolved()), **files}.items():
            write_bytes(folder / name, content)
        record = Record(STEP, sweep.key, record_files(folder, manifest))
        manifest.with_step(record).save(folder)
        write_bytes(folder.parent / "latest", f"{sweep.key}\n".encode())


def _lock(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.lock"
