"""Which steps a run makes, keeps, copies or makes again, and what its folder says; nothing is executed."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from support.tiny import trust_project

from lmmkit.errors import RunError, StudyError
from lmmkit.study.kernels.shortages import OUTPUT_SECONDS, START_SECONDS
from lmmkit.study.records.file_lock import locked
from lmmkit.study.records.manifest import load_manifest
from lmmkit.study.records.plan_lock import lock_study
from lmmkit.study.runs import run as runs
from lmmkit.study.runs.execute import StepError, execute
from lmmkit.study.runs.plan import find_study, make_plan, reports_folder
from lmmkit.study.runs.progress import Watch
from lmmkit.study.runs.run import make_cell, run_study

STEPS = ["01_data_prep", "02_random_effects", "03_fit", "04_report"]


class Executed:
    """In place of papermill: every step writes one file; its name may be one that fails."""

    def __init__(self):
        self.steps, self.failing = [], {}

    def __call__(self, notebook, parameters, started, **kernel):
        self.steps.append(notebook.name)
        started(0)
        folder = Path(parameters["run"])
        (folder / f"{notebook.name}.txt").write_text(notebook.name)
        if notebook.name in self.failing:
            raise self.failing[notebook.name]
        return notebook.content

    def again(self):
        """The steps executed since it was asked last."""
        steps, self.steps = self.steps, []
        return steps


@pytest.fixture
def executed(monkeypatch):
    fake = Executed()
    monkeypatch.setattr(runs, "execute", fake)
    return fake


@pytest.fixture
def make(project, executed):
    """Run the project's study; its run folder."""

    def call(overrides=None, *, again=(), reports="reports", run=run_study):
        plan = make_plan(project / "params/tiny.yaml", overrides)
        folder = plan.folder(project / reports)
        run(plan, folder, Watch(Console(quiet=True)), {}, again)
        assert plan.finished(folder)
        return folder

    return call


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    if path.parent.name == "notebooks":
        trust_project(path.parent.parent)


def events(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["event"], line.get("step")) for line in lines]


def test_a_run_makes_every_step_once(make, executed, project):
    folder = make()
    assert executed.again() == STEPS
    manifest = load_manifest(folder)
    assert (manifest.status, manifest.error, manifest.key) == ("complete", None, folder.name)
    assert [record.step for record in manifest.steps] == ["study", *STEPS]
    assert {file.path for file in manifest.step("03_fit").files} == {"03_fit.ipynb", "03_fit.txt"}
    assert (folder.parent / "latest").read_text() == f"{folder.name}\n"
    assert events(folder)[:3] == [("started", None), ("step started", STEPS[0]), ("step finished", STEPS[0])]
    assert events(folder)[-1] == ("complete", None)
    make()
    assert executed.again() == []


@pytest.mark.parametrize("number", range(4))
def test_a_touched_file_makes_its_step_and_the_later_ones(make, executed, number):
    folder = make()
    executed.again()
    (folder / f"{STEPS[number]}.txt").write_text("touched")
    (folder / "stray.txt").touch()
    make()
    # The store has what was made before: it is copied.
    assert executed.again() == []
    assert [event for event in events(folder) if event[0] == "step reused"] == [
        ("step reused", step) for step in STEPS[number:]
    ]
    assert (folder / f"{STEPS[number]}.txt").read_text() == STEPS[number]
    assert not (folder / "stray.txt").exists()


def test_a_step_asked_for_again_is_made_again_with_the_later_ones(make, executed, project):
    make()
    executed.again()
    plan = make_plan(project / "params/tiny.yaml")
    make(again=plan.since("03"))
    assert executed.again() == STEPS[2:]
    make(again=plan.since(""))
    assert executed.again() == STEPS
    with pytest.raises(StudyError, match="no step 06; there are 01_data_prep, 02_random_effects"):
        plan.since("06")
    with pytest.raises(
        StudyError, match=r"tiny\.yaml does not ask for 05: give it the key `posterior:`, and the"
    ):
        plan.since("05")


def test_a_setting_makes_the_steps_that_read_it(make, executed):
    first = make()
    executed.again()
    # 02 and 03 read model.method; 04 reads none of it, but what they left, which is the same.
    second = make({"model.method": "ML"})
    assert second != first
    assert executed.again() == ["02_random_effects", "03_fit"]
    make({"inference.level": 0.9})
    assert executed.again() == ["03_fit"]
    make({"report.focus": "x"})
    assert executed.again() == []


def test_data_notebooks_and_source_make_their_steps_again(make, executed, project, monkeypatch):
    folders = [make()]
    executed.again()
    edit(project / "notebooks/03_fit.ipynb", "fit.json", "fits.json")
    folders.append(make())
    assert executed.again() == ["03_fit"]
    edit(project / "params/data/tiny.csv", "1.25,0,00", "1.5,0,00")
    folders.append(make())
    # 02 reads no data, and what 01 left is, but for the data, the same here.
    assert executed.again() == ["01_data_prep"]
    monkeypatch.setattr("lmmkit.study.records.keys.package_digest", lambda: "other")
    folders.append(make())
    assert executed.again() == STEPS
    assert len(set(folders)) == 4


def test_what_an_earlier_step_leaves_decides_the_later_ones(make, executed, project):
    make()
    executed.again()
    edit(project / "notebooks/01_data_prep.ipynb", "len(table.frame)", "len(table.frame) + 1")
    make()
    assert executed.again() == ["01_data_prep"]  # its notebook is other, what it hands on the same
    original = executed.__class__.__call__

    def other(self, notebook, parameters, started, **kernel):
        content = original(self, notebook, parameters, started, **kernel)
        (Path(parameters["run"]) / f"{notebook.name}.txt").write_text("something else")
        return content

    executed.__class__.__call__ = other
    try:
        edit(project / "notebooks/01_data_prep.ipynb", "len(table.frame) + 1", "len(table.frame) + 2")
        make()
        assert executed.again() == STEPS
    finally:
        executed.__class__.__call__ = original


def test_a_failed_step_is_told_and_made_when_the_run_goes_on(make, executed, project):
    executed.failing["03_fit"] = StepError("03_fit, cell 2: no optimum", {"cells": [], "metadata": {}})
    with pytest.raises(StepError, match="no optimum"):
        make()
    (folder,) = (path.parent for path in project.glob("reports/tiny/*/manifest.json"))
    manifest = load_manifest(folder)
    assert (manifest.status, manifest.error) == ("failed", "03_fit, cell 2: no optimum")
    assert [record.step for record in manifest.steps] == ["study", *STEPS[:2]]
    assert (folder / "03_fit.ipynb").exists()
    assert (folder / "ro-crate-metadata.json").exists()
    assert not (folder.parent / "latest").exists()
    assert not make_plan(project / "params/tiny.yaml").finished(folder)
    executed.again()
    executed.failing = {"03_fit": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        make()
    assert (load_manifest(folder).status, load_manifest(folder).error) == ("interrupted", None)
    assert executed.again() == ["03_fit"]
    executed.failing = {}
    make()
    assert executed.again() == STEPS[2:]


def test_a_step_that_failed_before_its_first_cell_leaves_no_notebook(make, executed, project):
    executed.failing["03_fit"] = StepError("03_fit: the kernel died")
    with pytest.raises(StepError, match="the kernel died"):
        make()
    (folder,) = (path.parent for path in project.glob("reports/tiny/*/manifest.json"))
    assert not (folder / "03_fit.ipynb").exists()
    (ended,) = (line for line in logged(folder) if line["event"] == "failed")
    assert ended["error"] == "03_fit: the kernel died"


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_an_error_without_words_is_told_by_its_kind(make, executed, project):
    executed.failing["03_fit"] = ValueError()
    with pytest.raises(ValueError, match=r"^$"):
        make()
    (folder,) = (path.parent for path in project.glob("reports/tiny/*/manifest.json"))
    assert load_manifest(folder).error == "ValueError"


def test_the_log_goes_on_over_all_attempts_and_has_the_seconds_of_each_step(
    make, executed, project, monkeypatch
):
    monkeypatch.setattr(Watch, "end", lambda self: 1.23456)
    make()
    folder = make(again={"04_report"})
    lines = logged(folder)
    started = [line for line in lines if line["event"] == "started"]
    assert [line["kept"] for line in started] == [[], STEPS[:3]]
    assert {line["key"] for line in started} == {folder.name}
    assert [line["seconds"] for line in lines if line["event"] == "step finished"] == [1.235] * 5
    assert [line["event"] for line in lines].count("complete") == 2


def test_a_folder_in_use_is_refused_or_waited_for(make, executed, project):
    folder = make()
    with (
        locked(folder.with_name(f".{folder.name}.lock"), wait=False),
        pytest.raises(RunError, match="another run is at work in"),
    ):
        make(again=STEPS)
    cell = make({"model.method": "ML"}, run=make_cell)
    assert (
        folder.parent / "latest"
    ).read_text() == f"{folder.name}\n"  # a cell of a sweep is not the latest run
    assert load_manifest(cell).status == "complete"


@pytest.mark.parametrize(("run", "waits"), [(run_study, False), (make_cell, True)])
def test_a_cell_of_a_sweep_waits_for_its_folder_and_a_run_does_not(make, monkeypatch, run, waits):
    asked = []

    def held(path, *, wait):
        asked.append(wait)
        return locked(path, wait=wait)

    monkeypatch.setattr(runs, "locked", held)
    make(run=run)
    assert asked == [waits]


def test_a_place_that_cannot_be_made_is_told(make, project):
    (project / "full").touch()
    with pytest.raises(RunError, match=r"full/tiny/.* cannot be made: .*; free the place or give --reports"):
        make(reports="full")


def test_a_copied_step_that_was_touched_in_the_store_is_made(make, executed, project):
    make()
    executed.again()
    (path,) = project.glob("reports/.steps/02_random_effects/*/02_random_effects.txt")
    path.write_text("touched")
    make({"report.focus": "x"})
    assert executed.again() == ["02_random_effects"]


def test_the_plan_tells_where_the_numbers_come_from(project, make):
    plan = make_plan(project / "params/tiny.yaml", {"model.method": "ML"})
    told = plan.provenance()
    assert told["command"] == """lmmkit run params/tiny.yaml '--set=model.method="ML"'"""
    assert told["audit"] == f"lmmkit audit reports/tiny/{plan.key}"
    assert (told["study"], told["source"], told["threads"]) == ("tiny", "data/tiny.csv", 1)
    assert told["overrides"] == {"model.method": "ML"}
    assert list(told["notebooks"]) == STEPS
    assert [book.name for book in plan.earlier("03_fit")] == STEPS[:2]
    assert [book.name for book in plan.earlier("other")] == STEPS


def test_a_locked_study_has_another_key_and_carries_its_lock(project, make):
    before = make()
    lock_study(project / "params/tiny.yaml", project / "reports")
    after = make()
    assert before != after
    listed = {file.path for file in load_manifest(after).step("study").files}
    assert listed == {"study.json", "provenance.json", "lock.json", "deviations.json"}


def test_a_study_is_found_from_the_project_and_from_its_notebooks(project, monkeypatch):
    assert find_study("params/tiny.yaml") == project / "params/tiny.yaml"
    monkeypatch.chdir(project / "notebooks")
    assert find_study("params/tiny.yaml") == project / "params/tiny.yaml"
    assert reports_folder(project / "params/tiny.yaml") == project / "reports"
    monkeypatch.chdir(project / "params")
    with pytest.raises(StudyError, match=r"no study file at params/tiny\.yaml from"):
        find_study("params/tiny.yaml")
    assert find_study("tiny.yaml") == project / "params/tiny.yaml"


def test_a_kernel_and_its_last_output_are_waited_for_as_long_as_a_busy_machine_needs(project, monkeypatch):
    asked = {}
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **options: asked.update(options))
    execute(make_plan(project / "params/tiny.yaml").notebooks[0], {}, lambda cell: None)
    assert asked["start_timeout"] == START_SECONDS >= 300
    assert asked["iopub_timeout"] == OUTPUT_SECONDS >= 600  # its own patience is 4 s
