"""A run with its kernels and its watcher, and the same for the steps before a notebook run by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lmmkit.study.kernels import kernels
from lmmkit.study.plan import make_plan, reports_folder
from lmmkit.study.run import make_before, run_study
from lmmkit.study.watch import Watch


def run_in_kernels(
    study: Path, reports: Path | None, *, force: bool = False, allow_outside: bool = False, cold: bool = False
) -> Path:
    """Run a study; its run folder.

    Raises:
        StudyError: the study file is wrong.
        DataError: its data file is missing, or not the pinned one.
        RunError: the reports folder cannot be written, or a step failed.
    """
    with kernels(cold=cold, allow_outside=allow_outside) as options, Watch() as watch:
        plan = make_plan(study, allow_outside=allow_outside)
        return run_study(plan, reports or reports_folder(), watch, options, force=force)


def make_by_hand(order: dict[str, Any]) -> None:
    """Make the steps before the one that an order names, in its folder."""
    outside: bool = order["allow_outside"]
    plan = make_plan(Path(order["study"]), order["overrides"], allow_outside=outside)
    with kernels(allow_outside=outside) as options, Watch() as watch:
        make_before(plan, order["before"], Path(order["folder"]), watch, options)
