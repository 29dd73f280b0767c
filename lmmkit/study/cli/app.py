"""The command line: `lmmkit new | check | run | sweep | trust | lab | schema`, commands on finished runs.

Exit codes: 0 ok; 1 the analysis failed; 2 refused before it began, for a bad study file, data file or
usage; 3 an audit differs; 4 a strict one could not check all; 130 interrupted.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import warnings
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from lmmkit.errors import RunError
from lmmkit.study.cli import finished_runs
from lmmkit.study.cli.arguments import Cold, Force, Outside, Reports, Since, StudyFile
from lmmkit.study.cli.exit_codes import FAILED, with_exit_codes
from lmmkit.study.cli.say import Commands, say, standard_streams

# Each command imports what it needs when it is called, so that `lmmkit --help` answers at once.

app = typer.Typer(
    cls=Commands,
    help="From a data file and a short study file to a linear mixed-model analysis that anyone can audit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
@with_exit_codes
def new(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The data file.")],
    formula: Annotated[str | None, typer.Option(help="The model, such as 'y ~ x + (x | g)'.")] = None,
    residual: Annotated[
        str | None, typer.Option(help="The residual structure, such as 'un(visit | id)', 'car1(day | id)'.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; beside the data when left out.")] = None,
    sep: Annotated[str | None, typer.Option(help="What separates cells: one character, or tab.")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal mark: . or ,")] = None,
    thousands: Annotated[str | None, typer.Option(help="The mark between thousands, such as .")] = None,
    encoding: Annotated[str | None, typer.Option(help="Such as utf-8, utf-16, latin-1, cp1252.")] = None,
    header: Annotated[
        int | None, typer.Option(help="Line of the columns' names; 0 when there is none.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of a workbook.")] = None,
    na: Annotated[
        list[str], typer.Option(help="A code of a missing value, such as -999; may be repeated.")
    ] = [],  # noqa: B006  (typer makes a new one)
) -> None:
    """Look at a data file and write a commented study file for it; what is not given is found by looking."""
    from lmmkit.study.intake.new_study import reading_keys, write_study

    marks = {"decimal": decimal, "thousands": thousands, "encoding": encoding}
    given = reading_keys(sep=sep, na=na, header=header, sheet=sheet, **marks)
    say(*str(write_study(data, formula, out, given, residual)).split("\n"))


@app.command()
@with_exit_codes
def check(study: StudyFile, allow_outside: Outside = False) -> None:
    """Check a study file, its data and the model's design without running it; say what is wrong."""
    from lmmkit.study.intake.check import check_file

    plan, checked = check_file(study, allow_outside=allow_outside)
    say(*checked.text(plan).split("\n"))


@app.command()
@with_exit_codes
def run(
    study: StudyFile,
    reports: Reports = None,
    force: Force = False,
    since: Since = "",
    changed: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, such as model.method=ML."),
    ] = [],  # noqa: B006  (typer makes a new one)
    allow_outside: Outside = False,
    cold: Cold = False,
) -> None:
    """Run a study: four notebooks, every number as a file, one report."""
    from lmmkit.study.files.study import effective
    from lmmkit.study.files.yaml12 import read_settings
    from lmmkit.study.kernels.fork_client import serving
    from lmmkit.study.records.trusted_notebooks import telling
    from lmmkit.study.runs.plan import make_plan, reports_folder

    overrides = effective(study, read_settings(changed))
    plan = make_plan(study, overrides, allow_outside=allow_outside)
    folder = plan.folder(reports or reports_folder(study))
    again = plan.since(since) if force or since else ()
    if again or not plan.finished(folder):
        with telling(plan.found), serving(cold=cold, allow_outside=allow_outside) as served:
            # While the server imports what the notebooks need, this process checks the study and imports
            # Jupyter's client.
            from lmmkit.study.intake.check import check_study
            from lmmkit.study.kernels.jupyter import kernel_options
            from lmmkit.study.runs.progress import Watch
            from lmmkit.study.runs.run import run_study

            for notice in check_study(plan).notices:
                say(f"Notice: {notice}", error=True)
            with Watch() as watch:
                run_study(plan, folder, watch, kernel_options(served), again)
    else:
        say("All steps are there, verified; --force makes them again.", error=True)
    for warning in _warnings(folder):
        say(f"Warning: {warning}", error=True)
    say(folder / "report.html" if (folder / "report.html").exists() else folder)


def _warnings(folder: Path) -> list[str]:
    """Returns a sentence for each thing about a run that needs care: its report may stay unread."""
    from lmmkit.study.files.yaml12 import is_list, is_mapping
    from lmmkit.study.records.artifacts import read_json

    # Notebooks of a project's own may leave out what is looked for, or write something else.
    paths = (folder / name for name in ("certificate.json", "summary.json", "findings.json"))
    records: list[Any] = [read_json(path) if path.is_file() else {} for path in paths]
    certificate, summary = (record if is_mapping(record) else {} for record in records[:2])
    found = list[str]()
    if not certificate.get("passed", True):
        found.append(str(certificate.get("sentence", "the certificate failed")))
    if not summary.get("converged", True):
        found.append("the search did not converge: do not use these numbers")
    serious = records[2] if is_list(records[2]) else []
    return [*found, *map(str, serious)]


@app.command()
@with_exit_codes
def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The sweep file, such as params/sleepstudy.sweep.yaml.")
    ],
    reports: Reports = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells, and make none.")] = False,
    workers: Annotated[
        int, typer.Option(min=1, help="Worker processes; as many as processors when left out.")
    ] = os.cpu_count() or 1,
    inference: Annotated[
        int, typer.Option(min=0, metavar="N", help="Test the curve by N replicates under the null.")
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Make more than 10,000 cells.")] = False,
    force: Force = False,
    since: Since = "",
    allow_outside: Outside = False,
    cold: Cold = False,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A dask.distributed scheduler, such as tcp://10.0.0.1:8786."),
    ] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="Authority behind a tls:// cluster's certificates, in PEM.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Your certificate, in PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, in PEM.")] = None,
) -> None:
    """Rerun a study over a grid of settings: cached, in parallel, with the specification curve."""
    from lmmkit.study.kernels.environment import import_matplotlib
    from lmmkit.study.records.temporary import temporary_folder

    with temporary_folder() as empty:
        import_matplotlib(empty)  # before anything else of this process does

    from lmmkit.study.runs.plan import reports_folder
    from lmmkit.study.sweeps.cell_workers import CellOptions, LocalWorkers, Workers
    from lmmkit.study.sweeps.cells import listing, plan_sweep
    from lmmkit.study.sweeps.make_sweep import make_sweep

    planned = plan_sweep(file, replicates=inference, yes=yes, allow_outside=allow_outside)
    place = (reports or reports_folder(planned.file.base)).resolve()
    if dry_run:
        say(*listing(planned, place))
        return
    again = tuple(sorted(planned.base.since(since))) if force or since else ()
    options = CellOptions(place, again, cold, allow_outside)

    def start() -> AbstractContextManager[Workers]:
        if scheduler is None:
            return LocalWorkers(workers, options)
        from lmmkit.study.cluster.cluster_workers import ClusterWorkers, Scheduler

        return ClusterWorkers(Scheduler(scheduler, tls_ca, tls_cert, tls_key), options, _warn)

    folder, failed = make_sweep(planned, start, options, workers)
    say(folder / "sweep.html")
    if failed:
        _warn(f"{failed} of {len(planned.cells)} cells failed or were not run; results.csv says why")
        raise typer.Exit(FAILED)


def _warn(message: str) -> None:
    say(message, error=True)


for command in finished_runs.COMMANDS:
    app.command()(command)


Project = Annotated[
    Path, typer.Argument(metavar="PROJECT", help="The project's folder, the one that holds `notebooks`.")
]


@app.command()
@with_exit_codes
def trust(
    project: Project = Path(),
    revoke: Annotated[bool, typer.Option("--revoke", help="Trust them no longer.")] = False,
) -> None:
    """Let a project's own notebooks be executed, as they are now: you have read them, and say so."""
    from lmmkit.study.records import trusted_notebooks as trusted

    folder = trusted.notebooks_folder(project)
    books = trusted.own_notebooks(folder)
    change, done = (trusted.revoke, "not trusted any more") if revoke else (trusted.trust, "trusted")
    change(books)
    for book in books:
        say(f"{book.digest[:12]}  {book.path.name}")
    say(f"{len(books)} notebooks in {folder} are {done}.")
    if trusted.anyone_can_write(folder, books):
        say(f"Anyone on this machine can write in {folder}: they may not be what you read.", error=True)


@app.command()
@with_exit_codes
def lab(project: Project = Path()) -> None:
    """Open JupyterLab on a project's notebooks, on this machine alone; one without gets copies to edit."""
    from lmmkit.study.cli import lab_session
    from lmmkit.study.records import trusted_notebooks as trusted

    if find_spec("jupyterlab") is None:
        raise RunError("JupyterLab is not installed: pip install 'lmmkit[lab]', or `make lab` in a clone")
    folder = trusted.notebooks_folder(project)
    if trusted.has_notebooks(folder.parent):
        trusted.trusted_notebooks(folder)
    else:
        trusted.write_copies(folder)
        say(f"{folder} written: copies of the installed notebooks, for you to edit.", error=True)
    # Nothing beside a notebook is taken for a module of that name.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-P", "-m", "jupyterlab", "--ip=127.0.0.1", *lab_session.OPTIONS, str(folder)]
    raise typer.Exit(subprocess.call(command, env=environment))


@app.command()
@with_exit_codes
def schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    from lmmkit.study.files.schema import Settings

    say(*json.dumps(Settings.model_json_schema(by_alias=True), indent=2).split("\n"))


def main() -> None:
    """The entry point."""
    standard_streams()
    # A terminal that is closed or a scheduler that ends the job interrupts as Ctrl-C does; `nohup` holds.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    # What a terminal cannot show is written in another way; what Python warns of is decided here.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.simplefilter("ignore")
    app()


if __name__ == "__main__":
    main()
