"""A sweep from its file to its page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from lmmkit.study.files.sweep_file import check_size, read_sweep
from lmmkit.study.runs.plan import make_plan
from lmmkit.study.runs.progress import Log
from lmmkit.study.sweeps.cells import plan_cells
from lmmkit.study.sweeps.progress import SweepWatch
from lmmkit.study.sweeps.sweep import Sweep, begin, failures, finish, make_cells, stop
from lmmkit.study.sweeps.sweep_outcome import outcome
from lmmkit.study.sweeps.workers import Made, Making, Workers


def plan_sweep(path: Path, *, replicates: int = 0, yes: bool = False, allow_outside: bool = False) -> Sweep:
    """A sweep, known in full before its first cell.

    Raises:
        StudyError: the sweep file, its base study or a cell is wrong.
        DataError: the base study's data cannot be found.
    """
    file = read_sweep(path)
    check_size(file, yes=yes)
    base = make_plan(file.base, allow_outside=allow_outside)
    return Sweep(file, base, tuple(plan_cells(file, base)), replicates)


def listing(sweep: Sweep, reports: Path) -> Iterator[str]:
    """The cells on a line each: number, run, whether it is there, settings."""
    for cell in sweep.cells:
        there = cell.error is None and cell.plan.finished(cell.plan.folder(reports))
        state = "cannot run" if cell.error else "there" if there else "to do"
        yield f"{cell.number:>5}  {cell.key if cell.error is None else '-':12}  {state:10}  {cell.label}"
    yield f"{len(sweep.cells):,} cells; nothing was run"


def _write(
    sweep: Sweep, folder: Path, made: Sequence[Made], reports: Path, threads: int, watch: SweepWatch
) -> None:
    """The table, the curve and the page."""
    found = outcome(sweep, made, reports, threads)
    for warning in found.warnings:
        watch.say(warning)
    finish(sweep, folder, found.files, "failed cells" if failures(made) else "complete")


def make_sweep(
    sweep: Sweep, hire: Callable[[], AbstractContextManager[Workers]], making: Making, threads: int
) -> tuple[Path, int]:
    """Make a sweep.

    Args:
        sweep: The sweep.
        hire: Gives the workers.
        making: How cells are made.
        threads: Threads for the inference over the curve.

    Returns:
        Its folder, and the number of cells that failed or were not run.

    Raises:
        RunError: the reports folder cannot be written, or a cluster is gone.
    """
    folder = sweep.folder(making.reports)
    with hire() as workers:
        begin(sweep, folder)
        log = Log(folder)
        log("started", key=sweep.key, cells=len(sweep.cells))
        try:
            with SweepWatch(len(sweep.cells), log) as watch:
                made = make_cells(sweep, workers, making.reports, watch, anew=bool(making.again))
            _write(sweep, folder, made, making.reports, threads, watch)
        except BaseException as error:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            stop(sweep, folder, status)
            log(status, error=str(error) or None)
            raise
    log("complete", failed=failures(made))
    return folder, failures(made)
