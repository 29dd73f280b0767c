"""Notebooks run by hand: by plain papermill, and by open_step in an interpreter."""

import json
import os
import subprocess

import pytest
from support import warm

from lmmkit.errors import RunError, StudyError
from lmmkit.study import open_step

TINY = "params/tiny.yaml"


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    """The earlier steps are made by a process that starts no interpreter."""
    warm.processes(monkeypatch)


@pytest.fixture
def papermill(project, tmp_path_factory):
    """Plain papermill, as a user calls it, with Jupyter's own kernel; neither starts an interpreter.

    One that does is in tests/notebooks.
    """
    jupyter = tmp_path_factory.mktemp("jupyter")
    (jupyter / "kernels/python3").mkdir(parents=True)
    kernel = {
        "argv": warm.command("ipykernel_launcher", "-f", "{connection_file}"),
        "display_name": "Python 3",
    }
    (jupyter / "kernels/python3/kernel.json").write_text(json.dumps({**kernel, "language": "python"}))

    def call(step, *options):
        asked = [f"notebooks/{step}.ipynb", "out.ipynb", "--no-progress-bar", *options]
        return subprocess.run(
            warm.command("papermill", *asked),
            env={**os.environ, "JUPYTER_PATH": str(jupyter)},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


@pytest.mark.slow
def test_plain_papermill_makes_the_earlier_steps_with_the_overrides(project, papermill):
    done = papermill("03_fit", "-p", "study", TINY, "-y", "overrides: {model.method: ML}")
    assert done.returncode == 0, done.stderr
    folder = project / "reports/tiny/by-hand"
    assert json.loads((folder / "fit.json").read_bytes()) == {"mean": 3.25, "method": "ML"}
    assert json.loads((folder / "manifest.json").read_bytes())["status"] == "by hand"
    said = "By hand in reports/tiny/by-hand, after 01_data_prep, 02_random_effects"
    assert said in (project / "out.ipynb").read_text()


@pytest.mark.slow
def test_a_parameter_that_papermill_injects_unknown_is_refused(papermill):
    done = papermill("01_data_prep", "-p", "study", TINY, "-p", "studdy", "x", "-p", "alpha", "0.1")
    assert done.returncode != 0
    assert "unknown parameter studdy, alpha: a notebook takes study, run and overrides" in done.stderr


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ((3,), StudyError, "paths, given as text"),
        ((TINY, 3), StudyError, "paths, given as text"),
        ((TINY, "", "ML"), StudyError, "maps dotted keys to values"),
        ((TINY, "", {"model.metod": "ML"}), StudyError, "did you mean method?"),
        (("params/none.yaml",), StudyError, "no study file at params/none.yaml"),
        ((TINY, "params"), RunError, "is no run folder"),
    ],
)
def test_wrong_parameters_are_refused(project, parameters, error, message):
    with pytest.raises(error, match=message):
        open_step("01_data_prep", *parameters)


@pytest.mark.slow
def test_steps_are_made_once_and_again_when_the_study_changes(project):
    step = open_step("02_random_effects", TINY)
    assert len(step.table()) == 20
    made = (step.folder / "01_data_prep.ipynb").stat().st_mtime_ns
    open_step("02_random_effects", TINY, overrides={"model.method": "ML"})
    assert (step.folder / "01_data_prep.ipynb").stat().st_mtime_ns == made
    changed = open_step("02_random_effects", TINY, overrides={"data.columns.y.max": 3})
    assert len(changed.table()) == 8


@pytest.mark.slow
def test_the_notebooks_of_jupyterlab_find_their_study(project, monkeypatch):
    monkeypatch.chdir(project / "notebooks")
    assert open_step("01_data_prep", TINY).folder == project / "reports/tiny/by-hand"


@pytest.mark.slow
def test_a_finished_step_is_not_changed(finished):
    step = open_step("03_fit", TINY, str(finished))
    step.save_json("fit.json", step.json("fit.json"))
    with pytest.raises(RunError, match="a finished step is not changed"):
        step.save_json("fit.json", {"mean": 0})
    with pytest.raises(RunError, match="start `lmmkit run` again"):
        open_step("03_fit", TINY, str(finished), {"seed": 1})


@pytest.mark.slow
@pytest.mark.parametrize("path", ["../x.json", "/etc/passwd", "a/../../x", ""])
def test_paths_stay_in_the_folder(finished, path):
    step = open_step("03_fit", TINY, str(finished))
    for use in (step.json, step.csv, step.text, step.list, lambda name: step.save_json(name, 1)):
        with pytest.raises(RunError, match="leaves the run folder"):
            use(path)


@pytest.mark.slow
def test_only_declared_settings_are_handed_out(finished):
    step = open_step("03_fit", TINY, str(finished))
    assert (step.settings.model.method, step.seed, step.settings.inference.level) == ("REML", 20240101, 0.95)
    for read in (lambda: step.settings.model.formula, lambda: step.settings.data, lambda: step.title):
        with pytest.raises(StudyError, match="does not declare"):
            read()
    with pytest.raises(StudyError, match=r"a study has no key model\.metod"):
        _ = step.settings.model.metod


def test_a_step_that_is_not_there_is_refused(project):
    with pytest.raises(RunError, match="no step 06_more; there are 01_data_prep"):
        open_step("06_more", TINY)
