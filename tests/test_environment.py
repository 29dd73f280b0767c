"""The four descriptions of the environment say one thing, and none says where packages come from."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAME = re.compile(r"[A-Za-z0-9._-]+")

# An address of a package index or of a file on somebody's machine.
ADDRESS = re.compile(
    r"(https?|file)://\S*(pypi|pythonhosted|anaconda|/simple\b|/wheels?/|/packages/)"
    r"|(?<![\w.:/])/(home|Users|root|work|tmp|opt)/\w"
    r"|\b[A-Z]:\\\\?Users\\",
    re.IGNORECASE,
)
# Where such words are the subject: this file's pattern, and tests of refused paths.
SPEAKS_OF_PATHS = {"tests/test_environment.py"}


def requirements() -> list[str]:
    """Every requirement of pyproject.toml, extras included."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    return [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]


def conda_lines() -> list[str]:
    lines = (ROOT / "environment.yml").read_text().split("dependencies:")[1].splitlines()
    return [line.removeprefix("  - ") for line in lines if line.startswith("  - ")]


def tracked_texts() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = [name for name in listed.stdout.split("\0") if name and name not in SPEAKS_OF_PATHS]
    if not names:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in names if (ROOT / name).suffix not in {".png", ".gz", ".parquet", ".xlsx"}]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_conda_has_the_bounds_of_pyproject():
    without_extras = {re.sub(r"\[.*?\]", "", line) for line in requirements()}
    python = f"python{PROJECT['project']['requires-python']}"
    assert set(conda_lines()) == without_extras | {python, "pip"}


def test_lock_pins_every_requirement_with_hashes():
    lock = (ROOT / "requirements.lock").read_text()
    pinned = {normal(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    wanted = {
        normal(NAME.match(line).group()) for line in [*requirements(), *PROJECT["build-system"]["requires"]]
    }
    assert wanted <= pinned
    entries = re.split(r"\n(?=\w)", lock.strip())
    assert all("--hash=sha256:" in entry for entry in entries)


def test_lock_satisfies_the_bounds():
    lock = (ROOT / "requirements.lock").read_text()
    bounds = {normal(bound.name): bound.specifier for bound in map(Requirement, requirements())}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE):
        assert bounds.get(normal(name), SpecifierSet()).contains(version), name


def test_no_file_names_a_package_index_or_a_path_of_one_machine():
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked_texts()
        if path.is_file() and (match := ADDRESS.search(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_lock_holds_no_address():
    assert "://" not in (ROOT / "requirements.lock").read_text()
