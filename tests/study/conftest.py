"""A tiny project, and the command line in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from study.tiny import DATA, STEPS, STUDY, write_notebook


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with notebooks, a study and its data; the working directory."""
    for folder in ("notebooks", "params/data"):
        (tmp_path / folder).mkdir(parents=True)
    for name, (reads, cells) in STEPS.items():
        write_notebook(tmp_path / "notebooks", name, reads, cells)
    (tmp_path / "params/tiny.yaml").write_text(STUDY)
    (tmp_path / "params/data/tiny.csv").write_text(DATA)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lmmkit(project: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line, called in the project's folder."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lmmkit.study.cli", *arguments]
        environment = {**os.environ, "COLUMNS": "200"}
        return subprocess.run(
            command, cwd=project, capture_output=True, text=True, check=False, env=environment
        )

    return call
