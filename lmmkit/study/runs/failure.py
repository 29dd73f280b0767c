"""The failure of a step."""

from __future__ import annotations

from typing import Any

from lmmkit.errors import RunError


class StepError(RunError):
    """A notebook stopped with an error; `notebook` is what it had done until then."""

    def __init__(self, message: str, notebook: dict[str, Any] | None = None):
        super().__init__(message)
        self.notebook = notebook
