"""What takes long to make is made once for all processes of the tests."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that was filled by whichever process asked for it first; the others wait, and only read it.

    Args:
        factory: Where temporary folders are.
        name: Name of the folder, one for the whole suite.
        make: Fills the folder that it is given, which is there and empty.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, ready = shared / f"once-{name}", shared / f"once-{name}.ready"
    with (shared / f"once-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            folder.mkdir()
            make(folder)
            ready.touch()
    return folder


def run_of(project: Path) -> Path:
    """The folder of the only run that a project holds."""
    (latest,) = (project / "reports").glob("*/latest")
    return latest.parent / latest.read_text().strip()
