"""One notebook executed by papermill, in a kernel of its own."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
import logging
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lmmkit import errors
from lmmkit.errors import LmmkitError, RunError
from lmmkit.study.records.notebooks import Notebook

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
#: Seconds after which a kernel that lives, and says nothing where it must, is given up. Its death is noticed
#: within a second; this only ends the wait for a message that was lost, however slow the machine is.
_PATIENCE = 3600


class StepError(RunError):
    """A notebook stopped with an error; `notebook` is what it had done until then."""

    def __init__(self, message: str, notebook: dict[str, Any] | None = None):
        super().__init__(message)
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
        StepError: a cell failed, or the kernel died.
    """
    # jsonschema, which nbformat imports, would compile a grammar of internationalised addresses for two
    # seconds if it found this package; no notebook needs the check, which is optional there.
    sys.modules.setdefault("rfc3987_syntax", None)  # pyright: ignore[reportArgumentType, reportCallIssue]
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    def on_cell_start(*, cell: object, cell_index: int) -> None:
        started(cell_index)

    # What was digested is what is executed, by our kernel whatever the notebook asks for.
    source: Any = nbformat.reads(json.dumps(notebook.content), as_version=4)
    with tempfile.TemporaryDirectory(prefix="lmmkit-") as folder:
        executed = Path(folder) / "executed.ipynb"
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
                start_timeout=_PATIENCE,
                iopub_timeout=_PATIENCE,
                shutdown_kernel="immediate",
                **kernel,
            )
        except KeyboardInterrupt:
            # A task of the interrupted loop may still find its kernel dead when the interpreter ends.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            raise
        except PapermillExecutionError as error:
            message = _failure_message(notebook, error)
            raise StepError(message, nbformat.read(executed, as_version=4)) from None
        except (DeadKernelError, CellTimeoutError, RuntimeError) as error:
            raise StepError(
                f"{notebook.name}: the kernel died, perhaps for want of memory: {error}"
            ) from None


def _failure_message(notebook: Notebook, error: Any) -> str:
    """Returns the message of an error raised on purpose; of any other, its last lines too."""
    where = f"{notebook.name}, cell {error.cell_index + 1}: "
    kind = getattr(errors, error.ename, None)
    if isinstance(kind, type) and issubclass(kind, LmmkitError):
        return f"{where}{error.evalue}"
    lines = _ANSI.sub("", "\n".join(error.traceback)).strip().split("\n")
    return f"{where}{error.ename}: {error.evalue}\n" + "\n".join(lines[-12:])
