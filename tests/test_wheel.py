"""The installed package, not the clone: it carries the notebooks and the shipped studies, and runs them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
ROOT = Path(__file__).parent.parent
LOOK = """
from pathlib import Path
import lmmkit
from lmmkit.study.files.shipped import shipped
from lmmkit.study.records.trusted_notebooks import find_notebooks
package = Path(lmmkit.__file__).parent
for study in (shipped("params") / "sleepstudy.yaml", Path("mine.yaml")):
    books = find_notebooks(study)
    assert [book.name[:2] for book in books] == ["01", "02", "03", "04", "05"], books
    assert all(book.path.parent == package / "notebooks" for book in books), books
print(package)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel has been unpacked, as an installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    return folder / "site-packages"


def called(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def test_the_wheel_carries_its_notebooks_and_finds_them(installed, tmp_path):
    done = called(installed, tmp_path, "-c", LOOK)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == installed / "lmmkit"


@pytest.mark.slow
def test_a_shipped_study_runs_from_the_wheel_and_asks_nothing(installed, tmp_path):
    study = installed / "lmmkit/params/pastes.yaml"
    done = called(installed, tmp_path, "-m", "lmmkit.study.cli", "run", str(study))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / done.stdout.strip().split("\n")[-1]).is_file()
