"""How a step is opened: its parameters, the steps that must be there, what is made before it by hand."""

import json
import sys
from types import SimpleNamespace

import pytest

from lmmkit.errors import RunError, StudyError
from lmmkit.study.records.manifest import Manifest, Record, load_manifest
from lmmkit.study.runs.plan import make_plan
from lmmkit.study.steps import open_step as module
from lmmkit.study.steps.open_step import open_step

TINY = "params/tiny.yaml"
STEPS = ["01_data_prep", "02_random_effects", "03_fit", "04_report"]


@pytest.fixture
def earlier(monkeypatch):
    """In place of the process that makes earlier steps: what it was told, and how it ends."""
    found = SimpleNamespace(orders=[], returncode=0, stderr="")

    def run(command, **options):
        assert command == [sys.executable, "-P", "-m", "lmmkit.study.runs.earlier_steps"]
        found.orders.append(json.loads(options["input"]))
        return found

    monkeypatch.setattr(module.subprocess, "run", run)
    return found


def test_by_hand_the_steps_before_are_made_in_a_folder_of_their_own(project, earlier, capsys):
    step = open_step("03_fit", TINY, overrides={"model.method": "ML"})
    folder = project / "reports/tiny/by-hand"
    assert (step.name, step.folder) == ("03_fit", folder)
    assert earlier.orders == [
        {
            "study": str(project / TINY),
            "overrides": {"model.method": "ML"},
            "allow_outside": False,
            "folder": str(folder),
            "before": "03_fit",
        }
    ]
    assert (
        capsys.readouterr().out == "By hand in reports/tiny/by-hand, after 01_data_prep, 02_random_effects\n"
    )
    assert step.settings.model.method == "ML"


def made(plan, folder, status, steps, key=None):
    """A folder in which some steps have been made; all of them as the plan would make them."""
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for book in plan.notebooks[:steps]:
        records.append(Record(book.name, plan.key_of(book, records), ()))
    Manifest(plan.study.name, key or plan.key, status, steps=tuple(records)).save(folder)


def test_by_hand_steps_that_are_there_are_kept(project, earlier, capsys):
    folder = project / "reports/tiny/by-hand"
    made(make_plan(project / TINY), folder, "by hand", 2)
    open_step("03_fit", TINY)
    assert earlier.orders == []
    manifest = load_manifest(folder)
    assert (manifest.status, [record.step for record in manifest.steps]) == ("by hand", ["study", *STEPS[:2]])
    assert (folder / "study.json").exists()
    open_step("04_report", TINY)
    assert [order["before"] for order in earlier.orders] == ["04_report"]
    assert capsys.readouterr().out.splitlines()[0].endswith(", after 01_data_prep, 02_random_effects")


def test_the_first_step_by_hand_is_after_none(project, earlier, capsys):
    open_step("01_data_prep", TINY)
    assert capsys.readouterr().out == "By hand in reports/tiny/by-hand\n"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Error: 01_data_prep, cell 3: no\nmore", "01_data_prep, cell 3: no\nmore"),
        ("  Error: no\n", "no"),
        ("", "the steps before 03_fit could not be made"),
    ],
)
def test_earlier_steps_that_cannot_be_made_are_told(project, earlier, said, told):
    earlier.returncode, earlier.stderr = 1, said
    with pytest.raises(RunError) as raised:
        open_step("03_fit", TINY)
    assert str(raised.value) == told


def test_in_a_run_the_earlier_steps_are_those_of_this_study(project, earlier):
    plan, folder = make_plan(project / TINY), project / "run"
    made(plan, folder, "running", 2)
    assert open_step("03_fit", TINY, str(folder)).folder == folder
    with pytest.raises(RunError, match=r"run lacks 03_fit; start `lmmkit run` again to finish it$"):
        open_step("04_report", TINY, str(folder))
    made(plan, folder, "running", 1)
    with pytest.raises(RunError, match=r"run lacks 02_random_effects, 03_fit; start"):
        open_step("04_report", TINY, str(folder))
    made(plan, folder, "running", 2, key="0" * 12)
    with pytest.raises(
        RunError,
        match=f"run has the key 000000000000, the study now {plan.key}: the study, its data, the notebooks "
        "or the package are not those it was started with; start `lmmkit run` again$",
    ):
        open_step("03_fit", TINY, str(folder))
    assert earlier.orders == []


def test_a_folder_with_other_files_is_no_run_folder(project, earlier):
    (project / "empty").mkdir()
    assert open_step("02_random_effects", TINY, "empty").folder == project / "empty"
    with pytest.raises(
        RunError, match=r"params holds files and is no run folder; name another, or leave `run` empty$"
    ):
        open_step("02_random_effects", TINY, "params")


def test_by_hand_nothing_is_written_through_a_link(project, earlier):
    (project / "reports").mkdir()
    (project / "reports/tiny").symlink_to(project / "params")
    with pytest.raises(RunError, match="is a link"):
        open_step("01_data_prep", TINY)
    assert open_step("01_data_prep", TINY, "there").folder == project / "there"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ((3, ""), "the parameters study and run are paths, given as text"),
        ((TINY, 3), "the parameters study and run are paths, given as text"),
        (
            (TINY, "", ["model.method"]),
            "the parameter overrides maps dotted keys to values, such as {model.met",
        ),
    ],
)
def test_parameters_of_another_kind_are_refused(project, parameters, message):
    with pytest.raises(StudyError, match=message):
        open_step("01_data_prep", *parameters)


@pytest.mark.parametrize(
    ("cell", "unknown"),
    [
        ("# Parameters\nstudy = 's'\nrun = ''\noverrides = {}", None),
        ("# Parameters\nstudy = 's'\nstuddy = 1\nalpha = 2", "studdy, alpha"),
        ("x = 1", None),
        ("# Parameters of mine\nx = 1", None),
        ("# Parameters\nprint(1)\na, b = 1, 2", None),
    ],
)
def test_a_parameter_that_was_injected_unknown_is_refused(project, earlier, monkeypatch, cell, unknown):
    shell = SimpleNamespace(user_ns={"In": ["", cell]})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    if unknown is None:
        assert open_step("01_data_prep", TINY).name == "01_data_prep"
        return
    with pytest.raises(
        StudyError, match=f"unknown parameter {unknown}: a notebook takes study, run and overri"
    ):
        open_step("01_data_prep", TINY)


def test_a_step_that_is_not_there_is_told_with_those_that_are(project, earlier):
    with pytest.raises(RunError) as raised:
        open_step("07_more", TINY)
    assert str(raised.value) == f"no step 07_more; there are {', '.join(STEPS)}"
    assert earlier.orders == []
