"""A locked study: the run and the report list every later deviation by themselves."""

import json

import pytest
from support.projects import edit, lmmkit, make_project, run

from lmmkit.errors import RunError, StudyError
from lmmkit.study.files.study import load_study
from lmmkit.study.records.plan_lock import deviation_lines, deviations, lock_study
from lmmkit.study.records.trusted_notebooks import find_notebooks


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path))
    return tmp_path


def found(project):
    study = load_study(project / "params/sleep.yaml")
    return deviations(study, "0" * 64, find_notebooks(study.path))


def test_without_a_lock_there_is_nothing_to_say(project):
    assert found(project) is None
    assert deviation_lines(project) == []


def test_every_later_change_is_a_deviation(project):
    lock_study(project / "params/sleep.yaml", project / "reports")
    edit(project / "params/sleep.yaml", "model:", "seed: 7\nmodel:\n  method: ML")
    edit(project / "notebooks/03_fit.ipynb", "fit =", "fit  =")
    listed = {item["what"] for item in found(project)["deviations"]}
    assert listed == {"seed", "model.method", "the notebook 03_fit", "the data file"}


def test_a_plan_can_be_locked_before_there_are_data(project):
    (project / "params/data/sleep.csv").unlink()
    path = lock_study(project / "params/sleep.yaml", project / "reports")
    assert json.loads(path.read_bytes())["data"] is None
    assert found(project)["deviations"] == []


def test_a_lock_is_not_renewed_and_an_edited_one_says_so(project):
    path = lock_study(project / "params/sleep.yaml", project / "reports")
    with pytest.raises(StudyError, match="exists already"):
        lock_study(project / "params/sleep.yaml", project / "reports")
    edit(path, '"method": "REML"', '"method": "ML"')
    assert {item["what"] for item in found(project)["deviations"]} >= {"the lock file itself", "model.method"}
    path.write_text("[]")
    with pytest.raises(StudyError, match="is no lock"):
        found(project)
    path.write_text("{")
    with pytest.raises(RunError, match="damaged"):
        found(project)


@pytest.mark.slow
def test_the_report_lists_the_deviation_and_the_audit_knows_the_lock(project):
    done = lmmkit(project, "lock", "params/sleep.yaml")
    assert (done.returncode, "sleep.lock.json written" in done.stdout) == (0, True), done.stderr
    edit(project / "params/sleep.yaml", "model:", "model:\n  method: ML")
    folder = run(project)
    report = (folder / "report.html").read_text()
    assert "Deviation: model.method, locked REML, now ML." in report
    assert "before any run here" in report
    done = lmmkit(project, "audit", str(folder), "--notebooks", "notebooks")
    assert done.returncode == 0, done.stdout
