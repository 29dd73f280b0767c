"""A tiny project, fresh or with its run finished, and the command line in it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import warm
from support.once import made_once
from support.tiny import DATA, STEPS, STUDY, trust_project, write_notebook

Called = subprocess.CompletedProcess[str]


def call(folder: Path, *arguments: str) -> Called:
    """The command line, called in a folder."""
    return warm.lmmkit(folder, *arguments)


def make_project(folder: Path) -> Path:
    """A folder with notebooks, a study and its data."""
    for name in ("notebooks", "params/data"):
        (folder / name).mkdir(parents=True)
    for name, (reads, cells) in STEPS.items():
        write_notebook(folder / "notebooks", name, reads, cells)
    (folder / "params/tiny.yaml").write_text(STUDY)
    (folder / "params/data/tiny.csv").write_text(DATA)
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny project; the working directory."""
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path)


def make_finished(folder: Path) -> None:
    """The tiny project with its run."""
    make_project(folder)
    done = call(folder, "run", "params/tiny.yaml")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project with its run finished, for all tests to copy."""
    return made_once(tmp_path_factory, "finished", make_finished)


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run folder of a finished run; its project is the working directory."""
    shutil.copytree(finished_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(trust_project(tmp_path))
    key = (tmp_path / "reports/tiny/latest").read_text().strip()
    return tmp_path / "reports/tiny" / key


@pytest.fixture
def lmmkit() -> Callable[..., Called]:
    """The command line, called in the working directory."""
    return lambda *arguments: call(Path.cwd(), *arguments)
