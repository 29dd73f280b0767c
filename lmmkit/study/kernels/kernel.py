"""The process of one kernel: `python -P -m lmmkit.study.kernels.kernel FOLDER ARGUMENTS`.

It starts in a private folder, so that nothing in the working directory is read as configuration, and works in
FOLDER from then on; the arguments are those of ipykernel. A kernel that fails itself ends: one whose threads
have died, or that could not handle a message, would live on and never answer.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from lmmkit.study.kernels.environment import import_matplotlib

_FAILED = 70
_KERNELS_OWN = ("ipykernel", "zmq", "tornado")


def run_kernel(folder: str, arguments: list[str]) -> None:
    """Run ipykernel until it is told to end.

    Args:
        folder: The working directory of the notebook.
        arguments: Those of ipykernel.
    """
    os.chdir(folder)
    # Undo what pandas concluded from being imported outside a kernel: that this is a terminal.
    pd.set_option("display.max_columns", 20)
    from ipykernel.kernelapp import IPKernelApp
    from IPython.core import application

    # Settings and start-up files of the whole machine; the user's are elsewhere, see `kernel_environment`.
    configuration: Any = application
    configuration.SYSTEM_CONFIG_DIRS.clear()
    configuration.ENV_CONFIG_DIRS.clear()
    # ipykernel takes standard error for the output of cells; what ends a kernel goes where it came from.
    end = partial(_end, os.dup(2))
    threading.excepthook = partial(_end_with_thread, end)
    app: Any = IPKernelApp.instance()
    app.initialize(arguments)
    for logger in (app.log, logging.getLogger("tornado"), logging.getLogger("asyncio")):
        logger.addHandler(_EndWithError(end))
    app.start()


def _end(messages: int, error: BaseException | None) -> None:
    """End the process, with a last message."""
    os.write(messages, f"{type(error).__name__}: {error}\n".encode())
    os._exit(_FAILED)


def _end_with_thread(end: Callable[[BaseException | None], None], failed: threading.ExceptHookArgs) -> None:
    """End the kernel with a thread of its own; a thread that the notebook started may fail."""
    threading.__excepthook__(failed)
    module = type(failed.thread).__module__
    if module.startswith(_KERNELS_OWN) or getattr(failed.thread, "name", "") == "IOPub":
        end(failed.exc_value)


class _EndWithError(logging.Handler):
    """Ends the kernel when it logs an exception of its own: what it was asked would stay unanswered."""

    def __init__(self, end: Callable[[BaseException | None], None]):
        super().__init__(logging.ERROR)
        self.end = end

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and (record.name != "asyncio" or isinstance(error, MemoryError)):
            self.end(error)


if __name__ == "__main__":
    import_matplotlib(Path(os.environ["IPYTHONDIR"]))
    run_kernel(sys.argv[1], sys.argv[2:])
