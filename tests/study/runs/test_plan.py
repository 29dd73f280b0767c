"""What a run will be, known before it: steps, key, places, and what is said where one is absent."""

import shutil

import pytest

from lmmkit.errors import RunError, StudyError
from lmmkit.study.data.sources import ALLOW_OUTSIDE, ROOT
from lmmkit.study.records.manifest import Manifest, Record
from lmmkit.study.runs.plan import base_of, make_plan, reports_folder

STEPS = ["01_data_prep", "02_random_effects", "03_fit", "04_report"]
ASKING = {"posterior.draws": 200}


@pytest.fixture
def study(project):
    return project / "params/tiny.yaml"


@pytest.fixture
def installed(project, study):
    """A study without notebooks of its own."""
    shutil.rmtree(project / "notebooks")
    return study


def test_a_step_that_is_asked_for_is_made_before_the_last(installed):
    assert [book.name for book in make_plan(installed).notebooks] == STEPS
    names = [book.name for book in make_plan(installed, ASKING).notebooks]
    assert names == [*STEPS[:3], names[3], STEPS[3]]
    assert names[3].startswith("05_")


def test_a_step_that_is_asked_for_and_has_no_notebook_is_refused(study):
    with pytest.raises(RunError) as raised:
        _ = make_plan(study, ASKING).notebooks
    assert str(raised.value) == (
        "the study asks for `posterior`, and the project's own notebooks have none for its step (05_...): "
        "copy it from the installed ones, or leave `posterior` out"
    )


def test_why_a_step_is_absent(study, project):
    plan = make_plan(study)
    assert plan.why_absent("06") == f"no step 06; there are {', '.join(STEPS)}"
    told = "tiny.yaml does not ask for 05_posterior: give it the key `posterior:`"
    assert plan.why_absent("05_posterior") == (
        f"{told}, and the project's own notebooks, which have none for its step (05_...), the installed one"
    )
    shutil.rmtree(project / "notebooks")
    plan = make_plan(study)
    assert plan.why_absent("05_posterior") == f'{told}, or overrides such as {{"posterior.draws": 4000}}'
    asking = make_plan(study, ASKING)
    assert asking.why_absent("05_more").startswith("no step 05_more; there are 01_data_prep, ")


@pytest.mark.parametrize(
    ("step", "since"),
    [("", STEPS), ("0", STEPS), ("02", STEPS[1:]), ("03_fit", STEPS[2:]), ("04", STEPS[3:])],
)
def test_a_step_is_named_by_its_beginning(study, step, since):
    plan = make_plan(study)
    assert plan.since(step) == frozenset(since)
    with pytest.raises(StudyError, match="no step 3_fit; there are"):
        plan.since("3_fit")


def test_the_steps_before_one(study):
    plan = make_plan(study)
    for number, step in enumerate(STEPS):
        assert [book.name for book in plan.earlier(step)] == STEPS[:number]
    assert [book.name for book in plan.earlier("05_posterior")] == STEPS


def records(plan, steps=STEPS):
    """The records of steps without files, each with its key."""
    found = []
    for book in plan.notebooks:
        if book.name in steps:
            found.append(Record(book.name, plan.key_of(book, found), ()))
    return tuple(found)


def test_a_folder_is_finished_where_all_steps_of_this_plan_are_complete_in_it(study, tmp_path):
    plan, folder = make_plan(study), tmp_path / "run"
    folder.mkdir()
    assert not plan.finished(folder)
    made = Manifest(plan.study.name, plan.key, "complete", steps=records(plan))
    for manifest, finished in (
        (made, True),
        (Manifest(made.study, made.key, "failed", "no", made.steps), False),
        (Manifest(made.study, "0" * 12, "complete", steps=made.steps), False),
        (Manifest(made.study, made.key, "complete", steps=made.steps[:3]), False),
    ):
        manifest.save(folder)
        assert plan.finished(folder) is finished


def test_steps_are_kept_up_to_the_first_that_would_be_made_otherwise(study, tmp_path):
    plan, steps = make_plan(study), records(make_plan(study))
    other = Record(STEPS[2], "0" * 12, ())
    for given, kept in (
        (steps, 4),
        ((*steps[:2], other, steps[3]), 2),
        (steps[1:], 0),
        ((*steps[:2], steps[3]), 2),
    ):
        manifest = Manifest(plan.study.name, plan.key, steps=given)
        assert plan.done(manifest, tmp_path) == steps[:kept]


def test_a_run_folder_is_named_after_study_and_key(study, tmp_path):
    plan = make_plan(study)
    assert plan.folder(tmp_path) == tmp_path / "tiny" / plan.key
    assert plan.lock is None


@pytest.mark.parametrize("name", [".yaml", ".hidden.yaml"])
def test_a_study_without_a_name_of_its_own_is_refused(study, name):
    hidden = study.with_name(name)
    hidden.write_text(study.read_text())
    with pytest.raises(StudyError, match="has no name that a folder of runs can have; rename the study file"):
        make_plan(hidden)


@pytest.mark.parametrize(
    ("given", "variable", "allowed"),
    [(False, None, False), (True, None, True), (False, "1", True), (False, "0", False), (True, "0", True)],
)
def test_data_outside_are_allowed_by_the_option_or_by_the_environment(
    monkeypatch, tmp_path, given, variable, allowed
):
    monkeypatch.delenv(ROOT, raising=False)
    if variable is not None:
        monkeypatch.setenv(ALLOW_OUTSIDE, variable)
    base = base_of(tmp_path, allow_outside=given)
    assert (base.folder, base.allow_outside, base.root) == (tmp_path, allowed, None)
    monkeypatch.setenv(ROOT, str(tmp_path / "root"))
    assert base_of(tmp_path, allow_outside=given).root == tmp_path / "root"


def test_reports_lie_in_the_project_that_is_worked_in_else_here(
    project, study, tmp_path_factory, monkeypatch
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for here, place in (
        (project, project),
        (project / "params", project),
        (elsewhere, elsewhere),
        (project.parent, project.parent),
    ):
        monkeypatch.chdir(here)
        assert reports_folder(study) == place.resolve() / "reports"
    shutil.rmtree(project / "notebooks")
    monkeypatch.chdir(project / "params")
    assert reports_folder(study) == project / "params/reports"


def test_the_command_of_a_study_elsewhere_names_its_file_alone(study, project):
    there = project / "mine.yaml"
    there.write_text(study.read_text().replace("data/tiny.csv", "params/data/tiny.csv"))
    told = make_plan(there, {"model.method": "ML", "seed": 3}).provenance()
    assert told["command"] == """lmmkit run mine.yaml '--set=model.method="ML"' --set=seed=3"""
    assert "known" not in told
    assert told["lock"] is None


def test_all_that_is_wrong_with_the_data_has_its_place(study):
    text = study.read_text()
    study.write_text(text.replace("source: data/tiny.csv", f"source: data/tiny.csv\n  sha256: {'0' * 64}"))
    with pytest.raises(StudyError, match=r"tiny\.yaml:5:11: data\.sha256: tiny\.csv has the sha256 "):
        make_plan(study)
    study.write_text(text.replace("tiny.csv", "none.csv"))
    with pytest.raises(
        StudyError, match=r"tiny\.yaml:4:11: data\.source: data\.source data/none\.csv does not"
    ):
        make_plan(study)
