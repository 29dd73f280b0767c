"""Quicker imports of what papermill brings along."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def without_grammars() -> Generator[None]:
    """Import papermill in here: jsonschema then skips a check of addresses whose grammar takes a second."""
    absent = {"rfc3987_syntax": None} if "rfc3987_syntax" not in sys.modules else {}
    sys.modules.update(absent)  # pyright: ignore[reportArgumentType, reportCallIssue]
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)
