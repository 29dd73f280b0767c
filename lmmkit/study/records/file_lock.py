"""Locks between processes; the system opens them when their holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lmmkit.errors import RunError


class BusyError(RunError):
    """Another process holds the lock."""


def refuse_links(*places: Path) -> None:
    """Refuse places to write that are links: what is written there would lie elsewhere.

    Raises:
        RunError: one of them is.
    """
    for place in places:
        if place.is_symlink():
            raise RunError(f"{place} is a link, and nothing is written through it; remove it")


@contextmanager
def locked(path: Path, *, wait: bool) -> Generator[None]:
    """A lock file held.

    Args:
        path: The file, which stays.
        wait: Wait for another holder, or refuse.

    Raises:
        BusyError: another process holds it, and there is no waiting.
        RunError: its folder cannot be written, or is a link.
    """
    refuse_links(path.parent, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644), "w")
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
