"""A process that makes the cells of a sweep: `python -m lmmkit.study.sweeps.worker_process`.

Options, then orders come as lines of JSON on standard input; each order's answer goes to standard output.
It ends with its input, even in the midst of a cell, which then says that it was interrupted; its kernels end
with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rich.console import Console

from lmmkit.errors import LmmkitError
from lmmkit.study.kernels.jupyter import kernels
from lmmkit.study.runs.plan import make_plan
from lmmkit.study.runs.progress import Watch
from lmmkit.study.runs.run import make_cell

END = ""  # no line is empty


def serve() -> None:
    """Make what is ordered until the input ends."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    orders = SimpleQueue[str]()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    # Standard output is for the answers alone; what anything else prints goes to standard error.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    options: dict[str, Any] = json.loads(orders.get())
    outside: bool = options["allow_outside"]
    with answers, kernels(cold=options["cold"], allow_outside=outside) as kernel:
        for order in iter(orders.get, END):
            answers.write(json.dumps(_make(json.loads(order), kernel, outside)) + "\n")
            answers.flush()


def _listen(orders: SimpleQueue[str]) -> None:
    """Takes orders until the input ends, with whoever gives them; then the cell at work is interrupted."""
    for line in sys.stdin:
        orders.put(line)
    os.kill(os.getpid(), signal.SIGTERM)
    orders.put(END)  # a signal that comes as the queue begins to wait is heard only when the wait ends


def _make(order: dict[str, Any], kernel: dict[str, Any], outside: bool) -> dict[str, Any]:
    """Make one cell; its run's key, and what went wrong."""
    reports, key = Path(order["reports"]), None
    try:
        plan = make_plan(Path(order["study"]), order["overrides"], allow_outside=outside)
        key = plan.key
        make_cell(plan, plan.folder(reports), Watch(Console(quiet=True)), kernel, order["again"])
    except LmmkitError as error:
        # The first line of the message, without the place where the run happened to lie.
        return {"key": key, "error": str(error).split("\n")[0].replace(f"{reports}{os.sep}", "")}
    return {"key": key, "error": None}


if __name__ == "__main__":
    try:
        serve()
    except KeyboardInterrupt:
        sys.exit(130)
