"""Temporary folders that outlive nobody: one whose owner was killed is removed by the next run."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = re.compile(r"lmmkit-\d+-[a-z0-9_]{8}")
#: Seconds in which nobody takes a new folder for abandoned: its owner may not have locked it yet.
YOUNG = 60.0


@contextmanager
def temporary_folder() -> Generator[Path]:
    """A folder for its owner alone, removed at the end.

    It is locked as long as its owner lives: the system opens the lock of a process that was killed, and so
    `remove_abandoned` knows what is whose, in containers that share a folder too.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"lmmkit-{os.getpid()}-"))
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # where a file system has no locks, nothing is ever found abandoned
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def remove_abandoned() -> None:
    """Remove the temporary folders of this user whose owners are gone."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_abandoned(entry.path)


def _remove_if_abandoned(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        state: os.stat_result = os.fstat(handle)
        private = state.st_uid == os.getuid() and stat.S_IMODE(state.st_mode) == stat.S_IRWXU
        if private and time.time() - state.st_mtime > YOUNG:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(handle)
