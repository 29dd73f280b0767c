"""A run with its kernels and its watcher, and the same for the steps before a notebook run by hand."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from lmmkit.study.kernels.fork_client import Serving
from lmmkit.study.kernels.jupyter import kernel_options, kernels
from lmmkit.study.runs.plan import Plan, make_plan
from lmmkit.study.runs.progress import Watch
from lmmkit.study.runs.run import make_before, run_study


def run_served(plan: Plan, folder: Path, served: Serving, again: Collection[str] = ()) -> None:
    """Run a study in a run folder; `again` names steps to make even though they are there.

    Raises:
        RunError: the folder cannot be written, or is in use.
        StepError: a step failed.
    """
    with Watch() as watch:
        run_study(plan, folder, watch, kernel_options(served), again)


def make_by_hand(order: dict[str, Any]) -> None:
    """Make the steps before the one that an order names, in its folder."""
    outside: bool = order["allow_outside"]
    plan = make_plan(Path(order["study"]), order["overrides"], allow_outside=outside)
    with kernels(allow_outside=outside) as options, Watch() as watch:
        make_before(plan, order["before"], Path(order["folder"]), watch, options)
