"""Locks between processes; the system opens them when their holder dies."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lmmkit.errors import RunError


class BusyError(RunError):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, *, wait: bool) -> Generator[None]:
    """A lock file held.

    Args:
        path: The file, which stays.
        wait: Wait for another holder, or refuse.

    Raises:
        BusyError: another process holds it, and there is no waiting.
        RunError: its folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    except OSError as error:
        raise RunError(
            f"{path.parent} cannot be made: {error.strerror}; free the place or give --reports DIR"
        ) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"another process holds {path}") from None
        yield
