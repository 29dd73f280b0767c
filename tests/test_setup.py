"""Setting up on a machine that lacks something: one sentence that helps, exit code 2, nothing half-made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

VENV = Path(__file__).parent.parent / ".ci" / "venv"


def set_up(folder: Path, stub: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up with a stand-in for Python, and no uv on the path."""
    python = folder / "python3"
    python.write_text(f'#!/bin/sh\n{stub}\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return subprocess.run(
        [VENV, python, folder / ".venv"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": os.defpath},
    )


@pytest.mark.parametrize(
    ("stub", "advice"),
    [
        ('case "$*" in *version_info*) exit 1;; esac', "not Python 3.11 or newer"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "sudo apt-get install python3-venv"),
    ],
)
def test_set_up_says_what_is_missing(tmp_path, stub, advice):
    done = set_up(tmp_path, stub)
    assert done.returncode == 2
    assert advice in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / ".venv").exists()
