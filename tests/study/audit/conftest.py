"""One project and one finished run for all tests of audits; nothing in them is changed by a test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import warm
from support.once import made_once, run_of
from support.projects import make_project, run
from support.tiny import trust_project

from lmmkit.study.audit.second_opinion import Opinion


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are executed once more start no interpreter of their own."""
    warm.processes(monkeypatch)


@pytest.fixture(autouse=True)
def _without_lme4(monkeypatch: pytest.MonkeyPatch) -> None:
    """R takes seconds to start: one test asks it."""
    monkeypatch.setattr("lmmkit.study.audit.second_opinion.ask_lme4", lambda _: Opinion("lme4", "not asked"))


def make_runs(folder: Path) -> None:
    """A project with its run, by restricted and by full maximum likelihood."""
    project = make_project(folder)
    run(project, "--set=model.method=ML")
    run(project)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = made_once(tmp_path_factory, "sleep", make_runs)
    return trust_project(Path(shutil.copytree(made, tmp_path_factory.mktemp("project"), dirs_exist_ok=True)))


@pytest.fixture(scope="session")
def finished(project: Path) -> Path:
    """The run as the study has it."""
    return run_of(project)


@pytest.fixture(scope="session")
def by_ml(project: Path, finished: Path) -> Path:
    """The same study by maximum likelihood."""
    (other,) = (
        path.parent for path in project.glob("reports/sleep/*/manifest.json") if path.parent != finished
    )
    return other
