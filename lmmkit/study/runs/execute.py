"""One notebook executed by papermill, in a kernel of its own."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from lmmkit import errors
from lmmkit.errors import LmmkitError
from lmmkit.study.records.notebooks import Notebook
from lmmkit.study.runs.failure import StepError

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def execute(
    notebook: Notebook,
    parameters: Mapping[str, object],
    started: Callable[[int], None],
    **kernel: Any,
) -> dict[str, Any]:
    """The executed notebook.

    Args:
        notebook: What to execute.
        parameters: Its three parameters.
        started: Called with the number of each cell as it begins.
        kernel: Options of nbclient, such as `kernel_manager_class`.

    Raises:
        StepError: a cell failed, or the kernel died.
    """
    source: Any = nbformat.read(notebook.path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="lmmkit-") as folder:
        executed = Path(folder) / "executed.ipynb"
        try:
            return papermill.execute_notebook(
                source,
                str(executed),
                dict(parameters),
                progress_bar=False,
                request_save_on_cell_execute=False,
                on_cell_start=_numbered(started),
                shutdown_kernel="immediate",
                **kernel,
            )
        except PapermillExecutionError as error:
            raise StepError(_said(notebook, error), nbformat.read(executed, as_version=4)) from None
        except (DeadKernelError, CellTimeoutError, RuntimeError) as error:
            raise StepError(
                f"{notebook.name}: the kernel died, perhaps for want of memory: {error}"
            ) from None


def _numbered(started: Callable[[int], None]) -> Callable[..., None]:
    def on_cell_start(*, cell: object, cell_index: int) -> None:
        started(cell_index)

    return on_cell_start


def _said(notebook: Notebook, error: Any) -> str:
    """The message of an error raised on purpose; of any other, its last lines too."""
    where = f"{notebook.name}, cell {error.cell_index + 1}: "
    if isinstance(getattr(errors, error.ename, None), type) and issubclass(
        getattr(errors, error.ename), LmmkitError
    ):
        return f"{where}{error.evalue}"
    lines = _ANSI.sub("", "\n".join(error.traceback)).strip().split("\n")
    return f"{where}{error.ename}: {error.evalue}\n" + "\n".join(lines[-12:])
