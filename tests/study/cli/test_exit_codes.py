"""How each command ends: its exit code, and what it says to the terminal."""

import json
import re
import signal
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from support.commands import invoke

from lmmkit.errors import DataError, FitError, RunError, StudyError
from lmmkit.study.cli import lab_session
from lmmkit.study.cli.app import main
from lmmkit.study.cli.exit_codes import (
    DIFFERENT,
    FAILED,
    INTERRUPTED,
    REFUSED,
    UNCHECKED,
    with_exit_codes,
)
from lmmkit.study.records.trusted_notebooks import is_trusted, own_notebooks
from lmmkit.study.runs.execute import StepError


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


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 1, r"Error: too little memory \(ulimit -v: .*\); raise the limit and start it again"),
        (
            OSError(24, "Too many open files"),
            1,
            r"Error: too few open files allowed \(ulimit -n: .*; raise the",
        ),
        (OSError(28, "No space left on device"), 1, r"Error: no space left on the disk; raise the limit and"),
        (
            RuntimeError("can't start new thread"),
            1,
            r"Error: too little memory, or too few processes and thr",
        ),
        (caused(RuntimeError("no"), MemoryError()), 1, r"Error: too little memory"),
        (
            caused(ImportError("no"), caused(KeyError("x"), OSError("Too many open files"))),
            1,
            r"Error: too few",
        ),
        (
            FileNotFoundError(2, "No such file or directory", "d.csv"),
            2,
            r"Error: d\.csv: No such file or dir",
        ),
        (PermissionError(13, "Permission denied"), 2, r"Error: a file: Permission denied"),
        (OSError("odd"), 2, r"Error: a file: odd"),
    ],
)
def test_what_ran_out_is_told_apart_from_a_file_that_cannot_be_used(capsys, error, code, message):
    @with_exit_codes
    def command():
        raise error

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == code
    assert re.match(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), ImportError("no"), caused(RuntimeError("no"), KeyError("x"))]
)
def test_errors_that_nothing_explains_keep_their_traceback(error):
    @with_exit_codes
    def command():
        raise error

    with pytest.raises(type(error)):
        command()


def test_an_error_within_another_is_looked_at_without_being_its_cause(capsys):
    @with_exit_codes
    def command():
        try:
            raise MemoryError
        except MemoryError:
            raise RuntimeError("no")  # noqa: B904

    with pytest.raises(typer.Exit):
        command()
    assert capsys.readouterr().err.startswith("Error: too little memory")


def test_a_working_directory_that_is_gone_is_told(capsys, monkeypatch):
    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("os.getcwd", gone)

    @with_exit_codes
    def command():
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(typer.Exit):
        command()
    assert capsys.readouterr().err == (
        "Error: the working directory is gone; cd to one that is there: No such file or directory\n"
    )


def test_the_exit_codes_are_those_of_the_help():
    assert (FAILED, REFUSED, DIFFERENT, UNCHECKED, INTERRUPTED) == (1, 2, 3, 4, 130)


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


def test_a_run_warns_of_its_findings_after_the_rest_and_names_its_folder_without_a_report(run):
    folder = Path(run().out)
    assert folder.is_dir()
    (folder / "certificate.json").write_text('{"passed": false, "sentence": "No optimum."}')
    for findings, said in ((["Two groups.", "Few rows."], ["Two groups.", "Few rows."]), ({"a": 1}, [])):
        (folder / "findings.json").write_text(json.dumps(findings))
        assert run().err.splitlines() == [f"Warning: {text}" for text in ("No optimum.", *said)]


def test_what_is_noticed_in_a_study_is_said_before_its_run(run, project):
    path = project / "params/tiny.yaml"
    path.write_text(path.read_text().replace("y ~ 1 + (1 | g)", "y ~ x + I(2 * x) + (1 | g)"))
    assert run().err.startswith("Notice: `I(2 * x)` follows from `Intercept`, `x` in these rows")


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


@pytest.mark.parametrize(
    ("options", "again"),
    [((), ()), (("--force",), ("03", "04")), (("--from", "03"), ("03", "04"))],
)
def test_a_sweep_makes_again_what_it_is_told_to(project, monkeypatch, options, again):
    asked, made = [], []
    base = SimpleNamespace(since=lambda step: asked.append(step) or {"04", "03"})
    planned = SimpleNamespace(cells=[1], file=SimpleNamespace(base=Path("params/x.yaml")), base=base)
    monkeypatch.setattr("lmmkit.study.sweeps.cells.plan_sweep", lambda *_, **__: planned)

    def make_sweep(planned, start, options, workers):
        made.append((options.again, options.reports, options.cold, type(start()).__name__))
        return Path("there"), 0

    monkeypatch.setattr("lmmkit.study.sweeps.make_sweep.make_sweep", make_sweep)
    assert invoke("sweep", "params/x.sweep.yaml", "--reports", "r", *options).exit_code == 0
    assert made == [(again, project / "r", False, "LocalWorkers")]
    assert asked == ([] if not options else ["03" if "--from" in options else ""])


def test_a_sweep_is_given_to_the_cluster_that_is_named_with_its_certificates(project, monkeypatch):
    pytest.importorskip("distributed")
    planned = SimpleNamespace(cells=[1], file=SimpleNamespace(base=Path("params/x.yaml")), base=None)
    monkeypatch.setattr("lmmkit.study.sweeps.cells.plan_sweep", lambda *_, **__: planned)
    found = []

    def make_sweep(planned, start, options, workers):
        found.append(start().scheduler)
        return Path("there"), 0

    monkeypatch.setattr("lmmkit.study.sweeps.make_sweep.make_sweep", make_sweep)
    files = ("--tls-ca", "ca.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    assert invoke("sweep", "params/x.sweep.yaml", "--scheduler", "tls://there:1", *files).exit_code == 0
    (given,) = found
    assert (given.address, given.ca, given.cert, given.key) == (
        "tls://there:1", Path("ca.pem"), Path("cert.pem"), Path("key.pem"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "planned", "made"),
    [
        ((), (0, False, False), (False, False)),
        (("--inference", "5", "--yes"), (5, True, False), (False, False)),
        (("--allow-outside", "--cold"), (0, False, True), (True, True)),
    ],
)
def test_a_sweep_is_planned_and_made_as_its_options_say(project, monkeypatch, options, planned, made):
    asked, done = [], []
    plan = SimpleNamespace(cells=[1], file=SimpleNamespace(base=Path("params/x.yaml")), base=None)

    def plan_sweep(file, *, replicates, yes, allow_outside):
        asked.append((file, replicates, yes, allow_outside))
        return plan

    def make_sweep(planned, start, options, workers):
        done.append((options.cold, options.allow_outside, options.reports, workers))
        return Path("there"), 0

    monkeypatch.setattr("lmmkit.study.sweeps.cells.plan_sweep", plan_sweep)
    monkeypatch.setattr("lmmkit.study.sweeps.make_sweep.make_sweep", make_sweep)
    assert invoke("sweep", "params/x.sweep.yaml", "--workers", "3", *options).exit_code == 0
    assert asked == [(Path("params/x.sweep.yaml"), *planned)]
    assert done == [(*made, project / "reports", 3)]


def test_a_dry_sweep_lists_its_cells_and_makes_none(project, monkeypatch):
    plan = SimpleNamespace(cells=[1], file=SimpleNamespace(base=Path("params/x.yaml")), base=None)
    monkeypatch.setattr("lmmkit.study.sweeps.cells.plan_sweep", lambda *_, **__: plan)
    monkeypatch.setattr("lmmkit.study.sweeps.cells.listing", lambda planned, place: ["one", str(place)])
    monkeypatch.setattr("lmmkit.study.sweeps.make_sweep.make_sweep", lambda *_: pytest.fail("it is dry"))
    done = invoke("sweep", "params/x.sweep.yaml", "--dry-run")
    assert (done.exit_code, done.stdout) == (0, f"one\n{project / 'reports'}\n")


@pytest.mark.parametrize(
    ("options", "asked"),
    [((), (False, False)), (("--cold",), (True, False)), (("--allow-outside",), (False, True))],
)
def test_kernels_of_a_run_are_warm_and_data_inside_unless_it_is_said(run, monkeypatch, options, asked):
    found = []

    def serving(*, cold, allow_outside):
        found.append((cold, allow_outside))
        return nullcontext()

    monkeypatch.setattr("lmmkit.study.kernels.fork_client.serving", serving)
    run(*options)
    assert found == [asked]


def test_trust_lists_what_it_trusts_and_takes_it_back(project):
    books = own_notebooks(project / "notebooks")
    for options, done in ((("--revoke",), "not trusted any more"), ((), "trusted")):
        told = invoke("trust", ".", *options)
        *listed, last = told.stdout.splitlines()
        assert (told.exit_code, told.stderr) == (0, "")
        assert listed == [f"{book.digest[:12]}  {book.path.name}" for book in books]
        assert last == f"4 notebooks in {(project / 'notebooks').resolve()} are {done}."
        assert [is_trusted(book) for book in books] == [not options] * 4
    (project / "notebooks").chmod(0o777)
    folder = (project / "notebooks").resolve()
    assert invoke("trust", ".").stderr == (
        f"Anyone on this machine can write in {folder}: they may not be what you read.\n"
    )


def test_lab_listens_to_this_machine_alone_and_imports_nothing_lying_about(tmp_path, monkeypatch):
    called = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lmmkit.study.cli.app.find_spec", lambda name: name)
    monkeypatch.setattr("subprocess.call", lambda command, env: called.append((command, env)) or 7)
    done = invoke("lab")
    assert done.exit_code == 7
    assert (
        done.stderr
        == f"{tmp_path / 'notebooks'} written: copies of the installed notebooks, for you to edit.\n"
    )
    ((command, environment),) = called
    assert command[1:5] == ["-P", "-m", "jupyterlab", "--ip=127.0.0.1"]
    assert command[5:] == [*lab_session.OPTIONS, str(tmp_path / "notebooks")]
    assert environment["PYTHONSAFEPATH"] == "1"
    assert invoke("lab").stderr == ""  # they are there, and trusted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("held", "then"), [(signal.SIG_DFL, signal.default_int_handler), (signal.SIG_IGN, signal.SIG_IGN)]
)
def test_a_closed_terminal_interrupts_unless_nohup_holds(monkeypatch, number, held, then):
    monkeypatch.setattr("lmmkit.study.cli.app.app", lambda: None)
    monkeypatch.setattr("warnings.simplefilter", lambda *_: None)
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(number, held)
        main()
        assert signal.getsignal(number) is then
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_lab_says_what_to_install_where_jupyterlab_is_missing(monkeypatch):
    monkeypatch.setattr("lmmkit.study.cli.app.find_spec", lambda name: None)
    done = invoke("lab")
    assert done.exit_code == 2
    assert "pip install 'lmmkit[lab]', or `make lab` in a clone" in done.stderr
