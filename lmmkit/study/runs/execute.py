"""One notebook executed by papermill, in a kernel of its own."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from lmmkit import errors
from lmmkit.errors import LmmkitError, RunError
from lmmkit.study.kernels.shortages import OUTPUT_SECONDS, START_SECONDS, shortage, too_few_files
from lmmkit.study.records.notebooks import Notebook
from lmmkit.study.records.temporary import temporary_folder

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class StepError(RunError):
    """A notebook stopped with an error; `notebook` is what it had done until then."""

    def __init__(self, message: str, notebook: dict[str, Any] | None = None):
        super().__init__(*message.split("\n"))
        self.notebook = notebook


def execute(
    notebook: Notebook,
    parameters: Mapping[str, object],
    started: Callable[[int], None],
    **kernel: Any,
) -> dict[str, Any]:
    """Returns the executed notebook.

    Args:
        notebook: What to execute.
        parameters: Its three parameters.
        started: Called with the number of each cell as it begins.
        kernel: Options of nbclient, such as `kernel_manager_class`.

    Raises:
        StepError: a cell failed, or the kernel died, or did not come up or answer.
    """
    # jsonschema, which nbformat imports, would compile a grammar of internationalised addresses for two
    # seconds if it found this package; no notebook needs the check, which is optional there.
    sys.modules.setdefault("rfc3987_syntax", None)  # pyright: ignore[reportArgumentType, reportCallIssue]
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    from lmmkit.study.kernels.jupyter import place_of

    def on_cell_start(*, cell: object, cell_index: int) -> None:
        started(cell_index)

    if scarce := too_few_files():
        raise StepError(f"{notebook.name}: the kernel could not be served: {scarce}")
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it logs is in the errors below too
    # What was digested is what is executed, by our kernel whatever the notebook asks for.
    source: Any = nbformat.reads(json.dumps(notebook.content), as_version=4)
    with temporary_folder() as folder, _tidy_loop():
        executed = folder / "executed.ipynb"
        try:
            return papermill.execute_notebook(
                source,
                str(executed),
                dict(parameters),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                request_save_on_cell_execute=False,
                on_cell_start=on_cell_start,
                start_timeout=START_SECONDS,
                iopub_timeout=OUTPUT_SECONDS,
                shutdown_kernel="immediate",
                **kernel,
            )
        except PapermillExecutionError as error:
            message = _failure_message(notebook, error)
            raise StepError(message, nbformat.read(executed, as_version=4)) from None
        except LmmkitError:
            raise
        except Exception as error:
            scarce = shortage(f"{type(error).__name__}: {error}")
            why = f": {scarce}" if scarce else place_of(kernel).why()
            if isinstance(error, (DeadKernelError, CellTimeoutError, RuntimeError)):
                guess = why or f", perhaps: {shortage('MemoryError')}"
                raise StepError(f"{notebook.name}: the kernel died{guess}: {error}") from None
            if why:
                raise StepError(f"{notebook.name}: the kernel could not be served{why}: {error}") from None
            raise


@contextmanager
def _tidy_loop() -> Generator[None]:
    """Lets no task of the event loop that notebooks are executed in outlive the execution.

    An interruption leaves the tasks that watch the kernel. They then find it dead, and asyncio would say so
    on standard error whenever they are collected, even after the last word of the run.
    """
    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    try:
        yield
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


def _failure_message(notebook: Notebook, error: Any) -> str:
    """Returns the message of an error raised on purpose; of any other, its last lines too."""
    where = f"{notebook.name}, cell {error.cell_index + 1}: "
    scarce = shortage(f"{error.ename}: {error.evalue}")
    because = f" ({scarce})" if scarce else ""
    kind = getattr(errors, error.ename, None)
    if isinstance(kind, type) and issubclass(kind, LmmkitError):
        return f"{where}{error.evalue}{because}"
    lines = _ANSI.sub("", "\n".join(error.traceback)).strip().split("\n")
    return f"{where}{error.ename}: {error.evalue}{because}\n" + "\n".join(lines[-12:])
