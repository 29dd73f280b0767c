"""A locked study: the run and the report list every later deviation by themselves."""

import json

import pytest
from support.projects import edit, lmmkit, make_project, run

from lmmkit.errors import RunError, StudyError
from lmmkit.study.files.study import load_study
from lmmkit.study.records.manifest import Manifest, Record
from lmmkit.study.records.plan_lock import _leaves, deviation_lines, deviations, lock_files, lock_study
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
    with pytest.raises(
        StudyError, match=r"exists already; a lock is not renewed\. Remove it to start the plan anew$"
    ):
        lock_study(project / "params/sleep.yaml", project / "reports")
    edit(path, '"method": "REML"', '"method": "ML"')
    assert {item["what"] for item in found(project)["deviations"]} >= {"the lock file itself", "model.method"}
    path.write_text("[]")
    with pytest.raises(StudyError, match=r"is no lock of a study; restore it, or remove it and lock anew$"):
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


@pytest.mark.parametrize(("runs", "words"), [
    (0, ", before any run here"), (1, ", after 1 earlier run"), (2, ", after 2 earlier runs"),
])  # fmt: skip
def test_the_report_says_when_it_was_locked_and_what_deviates(tmp_path, runs, words):
    digest = "0123456789abcdef" * 4
    found = {"locked": "2026-01-02T03:04:05+00:00", "sha256": digest, "runs_before": runs, "deviations": []}
    (tmp_path / "deviations.json").write_text(json.dumps(found))
    start = f"The study was locked at 2026-01-02T03:04:05+00:00 (sha256 0123456789ab){words}."
    assert list(map(str, deviation_lines(tmp_path))) == [start, "Nothing deviates from the lock."]
    found["deviations"] = [
        {"what": "seed", "locked": 1, "now": 2},
        {"what": "x", "locked": "absent", "now": digest},
        {"what": "y", "locked": digest[:63], "now": f"{digest[:63]}-"},
    ]
    (tmp_path / "deviations.json").write_text(json.dumps(found))
    lines = deviation_lines(tmp_path)
    assert list(map(str, lines)) == [
        start,
        "Deviation: seed, locked 1, now 2.",
        "Deviation: x, locked absent, now 0123456789ab.",
        f"Deviation: y, locked {digest[:63]}, now {digest[:63]}-.",
    ]
    marks = [part for line in lines for part in line.parts if hasattr(part, "place")]
    assert {mark.place for mark in marks} >= {"locked", "sha256", "deviations/0/locked", "deviations/1/now"}


def test_a_longer_list_deviates_by_what_is_in_it_and_not_by_its_length():
    then = {"data": {"exclude": ["x > 1"], "na": [9]}, "seed": 1}
    now = {"data": {"exclude": ["x > 1", "x < 0"], "na": []}, "seed": 1, "title": "t"}
    assert list(_leaves(then, now)) == [
        ("data.na[0]", 9, "absent"), ("data.exclude[1]", "absent", "x < 0"), ("title", "absent", "t"),
    ]  # fmt: skip


def test_runs_that_have_read_the_data_are_counted(project):
    for name, steps in (("a", ["study", "01_data_prep"]), ("b", ["study"]), ("c", ["study", "01_data_prep"])):
        Manifest("sleep", name, steps=tuple(Record(step, "k", ()) for step in steps)).save(
            project / "reports/sleep" / name
        )
    path = lock_study(project / "params/sleep.yaml", project / "reports")
    assert json.loads(path.read_bytes())["runs_before"] == 2
    assert json.loads(path.read_bytes())["data"] is not None


def test_a_notebook_that_came_or_went_and_other_code_are_deviations(project, monkeypatch):
    path = lock_study(project / "params/sleep.yaml", project / "reports")
    lock = json.loads(path.read_bytes())
    lock["notebooks"] = {"00_gone": "1", **lock["notebooks"]}
    del lock["notebooks"]["04_report"]
    path.write_text(json.dumps({**lock, "package": "other", "data": "0" * 64}))
    listed = {item["what"]: (item["locked"], item["now"]) for item in found(project)["deviations"]}
    assert set(listed) == {"the source of lmmkit", "the notebook 00_gone", "the notebook 04_report"}
    assert listed["the notebook 00_gone"] == ("1", "absent")
    assert listed["the notebook 04_report"][0] == "absent"


def test_a_lock_and_what_deviates_from_it_are_files_of_a_run(project):
    study = load_study(project / "params/sleep.yaml")
    books = find_notebooks(study.path)
    assert lock_files(study, "0" * 64, books) == {}
    path = lock_study(study.path, project / "reports")
    kept = lock_files(study, "0" * 64, books)
    assert list(kept) == ["lock.json", "deviations.json"]
    assert kept["lock.json"] == path.read_bytes()
    assert json.loads(kept["deviations.json"]) == found(project)
