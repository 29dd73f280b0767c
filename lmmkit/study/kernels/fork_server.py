"""A process that has imported the stack and forks kernels: `python -m lmmkit.study.kernels.fork_server`.

Each line of JSON on standard input asks for a kernel; its process id is the answer on standard output. The
server ends with its input, and its kernels end with it. A forked kernel runs ipykernel on its connection file
like any other (`kernel.py`); only its imports are there already.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lmmkit.study.kernels.environment import import_matplotlib
from lmmkit.study.kernels.kernel import run_kernel
from lmmkit.study.records.keys import package_digest, versions

#: What notebooks import, and what a kernel imports late.
_PRELOADED = (
    "ipykernel.kernelapp",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.extensions.storemagic",
    "tornado.platform.asyncio",
    "matplotlib.backends.backend_svg",
    "lmmkit.plots",
    "seaborn",
    "lmmkit.study.report.captions",
)
#: What later steps import: while the first kernel works, the server has the time.
_LATER = (
    "contourpy",
    "lmmkit.model.report_tables.residuals",
    "lmmkit.study.report.render",
    "pandas.io.formats.html",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "scipy.optimize",
    "scipy.special",
)


def serve() -> None:
    """Import the stack, then fork a kernel for every line of the input until it ends."""
    # A kernel that is left alone ends itself when its parent, this process, is gone.
    os.environ["JPY_PARENT_PID"] = str(os.getpid())
    # The system clears dead kernels away at once: whether one lives can be seen without asking this process,
    # which answers nobody while it imports.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    import_matplotlib(Path(os.environ["IPYTHONDIR"]))
    _import(_PRELOADED)
    know_versions()
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become_kernel(**request)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _import(_LATER)


def know_versions() -> None:
    """Find out once, for all that is forked, which source and packages these are: every key holds them."""
    package_digest()
    versions()


def _import(names: Iterable[str]) -> None:
    for name in names:
        importlib.import_module(name)


def _become_kernel(folder: str, arguments: list[str], environment: dict[str, str]) -> None:
    code = 1
    try:
        os.setsid()
        _detach()
        parent = os.environ["JPY_PARENT_PID"]
        os.environ.clear()
        os.environ.update(environment, JPY_PARENT_PID=parent)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        run_kernel(folder, arguments)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _detach() -> None:
    """Standard input and output, which belong to the server's talk, lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123  (lives as long as the process)


if __name__ == "__main__":
    serve()
