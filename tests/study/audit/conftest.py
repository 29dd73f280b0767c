"""One project and one finished run for all tests of audits; nothing in them is changed by a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import warm
from support.projects import make_project, run

from lmmkit.study.audit.second_opinion import Opinion


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are executed once more start no interpreter of their own."""
    warm.processes(monkeypatch)


@pytest.fixture(autouse=True)
def _without_lme4(monkeypatch: pytest.MonkeyPatch) -> None:
    """R takes seconds to start: one test asks it."""
    monkeypatch.setattr("lmmkit.study.audit.second_opinion.ask_lme4", lambda _: Opinion("lme4", "not asked"))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def finished(project: Path) -> Path:
    return run(project)
