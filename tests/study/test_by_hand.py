"""Notebooks run by hand: by plain papermill, and by open_step in a session."""

import json
import subprocess
import sys

import pytest

from lmmkit.errors import RunError, StudyError
from lmmkit.study import open_step

pytestmark = pytest.mark.slow


def papermill(project, step, *options):
    """Plain papermill, as a user calls it."""
    command = [
        sys.executable,
        "-m",
        "papermill",
        f"notebooks/{step}.ipynb",
        "out.ipynb",
        "--no-progress-bar",
        *options,
    ]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_plain_papermill_makes_the_earlier_steps(project):
    done = papermill(project, "03_fit", "-p", "study", "params/tiny.yaml")
    assert done.returncode == 0, done.stderr
    folder = project / "reports/tiny/by-hand"
    assert json.loads((folder / "fit.json").read_bytes()) == {"mean": 3.25, "method": "REML"}
    assert json.loads((folder / "manifest.json").read_bytes())["status"] == "by hand"
    assert (
        "By hand in reports/tiny/by-hand, after 01_data_prep, 02_random_effects"
        in (project / "out.ipynb").read_text()
    )


def test_overrides_reach_every_step(project):
    done = papermill(project, "03_fit", "-y", "overrides: {model.method: ML}")
    assert done.returncode == 0, done.stderr
    assert json.loads((project / "reports/tiny/by-hand/fit.json").read_bytes())["method"] == "ML"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "studdy", "params/tiny.yaml"], "unknown parameter studdy"),
        (["-p", "alpha", "0.1"], "unknown parameter alpha"),
        (["-p", "study", "params/none.yaml"], "no study file at params/none.yaml"),
        (["-p", "run", "3"], "paths, given as text"),
        (["-p", "overrides", "ML"], "maps dotted keys to values"),
        (["-y", "overrides: {model.metod: ML}"], "did you mean method?"),
        (["-p", "run", "params"], "is no run folder"),
    ],
)
def test_wrong_parameters_are_refused(project, options, message):
    done = papermill(project, "01_data_prep", *options)
    assert done.returncode != 0
    assert message in done.stderr


def test_steps_are_made_once_and_again_when_the_study_changes(project):
    step = open_step("02_random_effects", "params/tiny.yaml")
    assert len(step.table()) == 20
    made = (step.folder / "01_data_prep.ipynb").stat().st_mtime_ns
    open_step("02_random_effects", "params/tiny.yaml")
    assert (step.folder / "01_data_prep.ipynb").stat().st_mtime_ns == made
    changed = open_step("02_random_effects", "params/tiny.yaml", overrides={"data.columns.y.max": 3})
    assert len(changed.table()) == 12


def test_the_notebooks_of_jupyterlab_find_their_study(project, monkeypatch):
    monkeypatch.chdir(project / "notebooks")
    assert open_step("01_data_prep", "params/tiny.yaml").folder == project / "reports/tiny/by-hand"


def test_a_folder_named_is_used_and_a_finished_step_is_not_changed(project, lmmkit):
    assert lmmkit("run", "params/tiny.yaml").returncode == 0
    (folder,) = (path for path in (project / "reports/tiny").iterdir() if path.is_dir())
    step = open_step("03_fit", "params/tiny.yaml", str(folder))
    step.save_json("fit.json", step.json("fit.json"))
    with pytest.raises(RunError, match="a finished step is not changed"):
        step.save_json("fit.json", {"mean": 0})
    with pytest.raises(RunError, match="start `lmmkit run` again"):
        open_step("03_fit", "params/tiny.yaml", str(folder), {"seed": 1})


@pytest.mark.parametrize("path", ["../x.json", "/etc/passwd", "a/../../x", ""])
def test_paths_stay_in_the_folder(project, path):
    step = open_step("01_data_prep", "params/tiny.yaml")
    with pytest.raises(RunError, match="leaves the run folder"):
        step.json(path)
    with pytest.raises(RunError, match="leaves the run folder"):
        step.save_json(path, 1)


def test_only_declared_settings_are_handed_out(project):
    step = open_step("03_fit", "params/tiny.yaml")
    assert (step.settings.model.method, step.seed, step.settings.inference.level) == ("REML", 20240101, 0.95)
    for read in (lambda: step.settings.model.formula, lambda: step.settings.data, lambda: step.title):
        with pytest.raises(StudyError, match="does not declare"):
            read()


def test_a_step_that_is_not_there_is_refused(project):
    with pytest.raises(RunError, match="no step 05_more; there are 01_data_prep"):
        open_step("05_more", "params/tiny.yaml")
