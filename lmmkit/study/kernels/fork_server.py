"""A process that has imported the stack and forks kernels: `python -m lmmkit.study.kernels.fork_server`.

Requests come as lines of JSON on standard input, answers go to standard output. It ends with its input,
and its kernels end with it. A forked kernel runs ipykernel on its connection file like any other; only its
imports are there already.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Iterable
from typing import Any

import pandas as pd

#: What notebooks import, and what a kernel imports late.
_PRELOADED = (
    "ipykernel.kernelapp",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.extensions.storemagic",
    "tornado.platform.asyncio",
    "matplotlib.backends.backend_svg",
    "lmmkit.model.report_tables.algorithms",
    "lmmkit.model.report_tables.machinery",
    "lmmkit.model.report_tables.about_fit",
    "lmmkit.plots",
    "seaborn",
    "lmmkit.study.report.page",
)
#: What later steps import: while the first kernel works, the server has the time.
_LATER = (
    "contourpy",
    "lmmkit.model.report_tables.about_inference",
    "lmmkit.model.report_tables.residuals",
    "lmmkit.study.report.read_back",
    "pandas.io.formats.html",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "scipy.optimize",
    "scipy.special",
)


def serve() -> None:
    """Import the stack, then answer until the input ends."""
    # A kernel that is left alone ends itself when its parent, this process, is gone.
    os.environ["JPY_PARENT_PID"] = str(os.getpid())
    _import(_PRELOADED)
    _look_like_a_kernel()
    for line in sys.stdin:
        answer = _answer(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        _import(_LATER)


def _import(names: Iterable[str]) -> None:
    for name in names:
        importlib.import_module(name)


def _look_like_a_kernel() -> None:
    """Undo what packages concluded from being imported outside a kernel: pandas takes this for a terminal."""
    pd.set_option("display.max_columns", 20)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if "poll" in request:
        return {"code": _poll(request["poll"])}
    pid = os.fork()
    if pid == 0:
        _become_kernel(request["arguments"], request["environment"], request["folder"])
    return {"pid": pid}


def _poll(pid: int) -> int | None:
    """The exit code of a kernel, None while it lives."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status) if ended else None


def _become_kernel(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    code = 1
    try:
        os.setsid()
        _detach()
        parent = os.environ["JPY_PARENT_PID"]
        os.environ.clear()
        os.environ.update(environment, JPY_PARENT_PID=parent)
        os.chdir(folder)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _run_kernel(arguments)
        code = 0
    finally:
        os._exit(code)


def _detach() -> None:
    """Standard input and output, which belong to the server's talk, lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123  (lives as long as the process)


def _run_kernel(arguments: list[str]) -> None:
    from ipykernel.kernelapp import IPKernelApp

    app: Any = IPKernelApp.instance()
    app.initialize(arguments)
    app.start()


if __name__ == "__main__":
    serve()
