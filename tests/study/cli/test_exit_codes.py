"""How each command ends: its exit code, and what it says to the terminal."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer.testing

from lmmkit.errors import DataError, FitError, RunError, StudyError
from lmmkit.study.cli.app import app
from lmmkit.study.cli.exit_codes import with_exit_codes
from lmmkit.study.runs.execute import StepError


def invoke(*arguments):
    return typer.testing.CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (StepError("03_fit, cell 2: no"), 1, "Error: 03_fit, cell 2: no\n"),
        (StudyError("s.yaml:1:1: no"), 2, "Error: s.yaml:1:1: no\n"),
        (DataError("no"), 2, "Error: no\n"),
        (FitError("no"), 2, "Error: no\n"),
        (RunError("in use"), 2, "Error: in use\n"),
        (KeyboardInterrupt(), 130, "Interrupted. Start it again to go on where it stopped.\n"),
    ],
)
def test_an_error_raised_on_purpose_becomes_its_message_and_its_code(capsys, error, code, message):
    @with_exit_codes
    def command():
        raise error

    with pytest.raises(typer.Exit) as ended:
        command()
    assert (ended.value.exit_code, capsys.readouterr().err) == (code, message)


def test_any_other_error_keeps_its_traceback():
    @with_exit_codes
    def command():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()


@pytest.fixture
def run(project, monkeypatch):
    """`lmmkit run` without kernels: what it would make again, and what it says."""
    made = []

    def run_study(plan, folder, watch, kernel, again):
        folder.mkdir(parents=True, exist_ok=True)
        made.append(sorted(again))

    monkeypatch.setattr("lmmkit.study.kernels.fork_client.serving", lambda **_: nullcontext())
    monkeypatch.setattr("lmmkit.study.kernels.jupyter.kernel_options", lambda _: {})
    monkeypatch.setattr("lmmkit.study.runs.run.run_study", run_study)

    def call(*arguments):
        made.clear()
        done = invoke("run", "params/tiny.yaml", *arguments)
        assert done.exit_code == 0, done.output
        return SimpleNamespace(made=list(made), out=done.stdout.strip(), err=done.stderr)

    return call


@pytest.mark.parametrize(
    ("options", "again"),
    [
        ([], 0),
        (["--force"], 4),
        (["--from", "03"], 2),
        (["--from", "04", "--force"], 1),
    ],
)
def test_what_is_made_again(run, options, again):
    (made,) = run(*options).made
    assert len(made) == again


def test_a_finished_run_is_not_begun_unless_forced(run, monkeypatch):
    monkeypatch.setattr("lmmkit.study.runs.plan.Plan.finished", lambda *_: True)
    done = run()
    assert (done.made, done.err) == ([], "All steps are there, verified; --force makes them again.\n")
    assert len(run("--force").made) == 1


@pytest.mark.parametrize(
    ("certificate", "summary", "said"),
    [
        ({"passed": True}, {"converged": True}, ""),
        ({"passed": False, "sentence": "It is no optimum."}, {}, "Warning: It is no optimum.\n"),
        ({"passed": False}, {}, "Warning: the certificate failed\n"),
        ({}, {"converged": False}, "Warning: the search did not converge: do not use these numbers\n"),
        ([1], 3, ""),
        (None, None, ""),
    ],
)
def test_a_run_warns_of_its_own_numbers(run, certificate, summary, said):
    folder = Path(run().out)
    for name, content in (("certificate", certificate), ("summary", summary)):
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "report.html").touch()
    done = run()
    assert (done.err, done.out) == (said, str(folder / "report.html"))


@pytest.mark.parametrize(("holds", "code"), [(True, 0), (False, 3)])
def test_an_audit_that_differs_ends_with_3(tmp_path, monkeypatch, holds, code):
    found = SimpleNamespace(study="s", key="k", holds=holds, part=lambda _: [], sentence=lambda: "Said.")
    monkeypatch.setattr("lmmkit.study.audit.audit.audit_run", lambda *_, **__: (found, tmp_path))
    done = invoke("audit", str(tmp_path))
    assert (done.exit_code, "Said." in done.output) == (code, True)


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (2, 1)])
def test_a_sweep_with_failed_cells_ends_with_1(project, monkeypatch, failed, code):
    file, base = SimpleNamespace(base=Path("params/x.yaml")), SimpleNamespace(since=lambda _: ())
    planned = SimpleNamespace(cells=[1, 2, 3], file=file, base=base)
    monkeypatch.setattr("lmmkit.study.sweeps.cells.plan_sweep", lambda *_, **__: planned)
    monkeypatch.setattr("lmmkit.study.sweeps.make_sweep.make_sweep", lambda *_: (Path("there"), failed))
    done = invoke("sweep", "params/x.sweep.yaml")
    assert (done.exit_code, done.stdout.strip()) == (code, "there/sweep.html")
    assert ("2 of 3 cells failed or were not run; results.csv says why" in done.stderr) == bool(failed)


def test_lab_says_what_to_install_where_jupyterlab_is_missing(monkeypatch):
    monkeypatch.setattr("lmmkit.study.cli.app.find_spec", lambda name: None)
    done = invoke("lab")
    assert done.exit_code == 2
    assert "pip install 'lmmkit[lab]', or `make lab` in a clone" in done.stderr
