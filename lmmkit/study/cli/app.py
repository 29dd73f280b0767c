"""The command line: `lmmkit new | check | run | sweep | lab | schema`, and the commands on finished runs.

Exit codes: 0 ok; 1 the analysis failed; 2 refused before it began, for a bad study file, data file or
usage; 3 an audit differs; 130 interrupted.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from lmmkit.study.cli import finished_runs as commands
from lmmkit.study.cli import sweep as sweep_command
from lmmkit.study.cli.errors import spoken

# Each command imports what it needs when it is called, so that `lmmkit --help` answers at once.

app = typer.Typer(
    help="From a data file and a short study file to a linear mixed-model analysis that anyone can audit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


StudyFile = Annotated[
    Path, typer.Argument(metavar="STUDY", help="The study file, such as params/sleepstudy.yaml.")
]
Reports = Annotated[Path | None, typer.Option(help="Folder of the run folders; `reports` when left out.")]
Force = Annotated[bool, typer.Option("--force", help="Make every step again.")]
Since = Annotated[
    str, typer.Option("--from", metavar="STEP", help="Make a step, such as 03, and the later ones again.")
]
Cold = Annotated[bool, typer.Option("--cold", help="A standard Jupyter kernel per notebook.")]
Outside = Annotated[bool, typer.Option("--allow-outside", help="Let the study read data outside its folder.")]


@app.command()
@spoken
def new(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The data file.")],
    formula: Annotated[str, typer.Option(help="The model, such as 'y ~ x + (x | g)'.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; beside the data when left out.")] = None,
) -> None:
    """Write a commented study file for your own data."""
    from lmmkit.study.cli.new_and_check import write_study

    path = write_study(data, formula, out)
    print(f"{path} written. Read it, then: lmmkit run {quote(str(path))}")


@app.command()
@spoken
def check(study: StudyFile, allow_outside: Outside = False) -> None:
    """Check a study file, its data and the model's design without running it; say what is wrong."""
    from lmmkit.study.cli.checking import check_study
    from lmmkit.study.runs.plan import make_plan

    print(check_study(make_plan(study, allow_outside=allow_outside)))


@app.command()
@spoken
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
    from lmmkit.study.cli.doubts import doubts
    from lmmkit.study.files.study import effective
    from lmmkit.study.files.yaml12 import read_settings
    from lmmkit.study.kernels.fork_client import serving
    from lmmkit.study.runs.plan import make_plan, reports_folder

    overrides = effective(study, read_settings(changed))
    plan = make_plan(study, overrides, allow_outside=allow_outside)
    folder = plan.folder(reports or reports_folder())
    again = plan.since(since) if force or since else ()
    if again or not plan.finished(folder):
        with serving(cold=cold, allow_outside=allow_outside) as served:
            # While the server imports what the notebooks need, this process imports Jupyter's client.
            from lmmkit.study.kernels.jupyter import kernel_options
            from lmmkit.study.runs.progress import Watch
            from lmmkit.study.runs.run import run_study

            with Watch() as watch:
                run_study(plan, folder, watch, kernel_options(served), again)
    else:
        print("All steps are there, verified; --force makes them again.", file=sys.stderr)
    for doubt in doubts(folder):
        print(f"Warning: {doubt}", file=sys.stderr)
    print(folder / "report.html" if (folder / "report.html").exists() else folder)


@app.command()
@spoken
def lab() -> None:
    """Open JupyterLab on the notebooks, on this machine alone."""
    from lmmkit.study.files.shipped import shipped
    from lmmkit.study.records.notebooks import project_folder

    project = project_folder()
    folder = project / "notebooks" if project else shipped("notebooks")
    raise typer.Exit(subprocess.call([sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1", str(folder)]))


@app.command()
@spoken
def schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    from lmmkit.study.files.schema import Settings

    print(json.dumps(Settings.model_json_schema(by_alias=True), indent=2))


sweep_command.register(app)
commands.register(app)


def main() -> None:
    """The entry point."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()


if __name__ == "__main__":
    main()
