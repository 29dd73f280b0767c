"""Waiting for what other processes do: by events, however slow the machine is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def wait_until(there: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Wait for something that a process is to bring about; its end is the end of the waiting."""
    while not there():
        if process is not None and process.poll() is not None:
            assert there(), f"ended with {process.returncode}: {process.communicate()[1]}"
        time.sleep(0.02)


def wait_for_end(*pids: int) -> None:
    """Wait until none of these processes is left."""
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
