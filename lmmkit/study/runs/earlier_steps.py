"""The steps before a notebook that is run by hand: `python -m lmmkit.study.runs.earlier_steps`.

A process of its own, because a kernel cannot drive another kernel undisturbed. What to make comes as JSON on
standard input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lmmkit.errors import LmmkitError
from lmmkit.study.kernels.jupyter import kernels
from lmmkit.study.records.manifest import BY_HAND
from lmmkit.study.records.step_store import Store
from lmmkit.study.runs.plan import make_plan, reports_folder
from lmmkit.study.runs.progress import Watch
from lmmkit.study.runs.run import Maker


def make_earlier_steps(order: dict[str, Any]) -> None:
    """Make the steps before one.

    Args:
        order: `study` (path), `overrides`, `allow_outside`, `folder` to make them in, and `before`, a step.
    """
    outside: bool = order["allow_outside"]
    plan = make_plan(Path(order["study"]), order["overrides"], allow_outside=outside)
    with kernels(allow_outside=outside) as kernel, Watch() as watch:
        maker = Maker(plan, Path(order["folder"]), watch, kernel, Store.of(reports_folder(plan.study.path)))
        maker.make(plan.earlier(order["before"]), BY_HAND)


if __name__ == "__main__":
    try:
        make_earlier_steps(json.load(sys.stdin))
    except LmmkitError as error:
        sys.exit(f"Error: {error}")
