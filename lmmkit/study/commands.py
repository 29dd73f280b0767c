"""Commands on finished runs: `lmmkit audit | why | diff | lock | reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lmmkit.study.findings import IDENTICAL, PARTS, Audit
from lmmkit.study.spoken import spoken

DIFFERENT = 3
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, wherever it lies.")]
DataFile = Annotated[Path | None, typer.Option(help="The data file, when it is not where the study had it.")]
Notebooks = Annotated[
    Path | None, typer.Option(help="Your project's own notebooks to execute, instead of the installed ones.")
]


@spoken
def audit(
    run: RunFolder,
    data: DataFile = None,
    notebooks: Notebooks = None,
    out: Annotated[
        Path | None, typer.Option(help="Where audit.json and audit.html go; beside the run.")
    ] = None,
    execute: Annotated[bool, typer.Option(help="Execute the study again.")] = True,
) -> None:
    """Verify a run, execute it again, recompute it by other routes; exit code 3 when anything differs."""
    from lmmkit.study.audit import audit_run

    found, folder = audit_run(run, data=data, notebooks=notebooks, out=out, execute=execute)
    _print_audit(found)
    typer.echo(folder / "audit.html")
    if not found.holds:
        raise typer.Exit(DIFFERENT)


def _print_audit(found: Audit) -> None:
    """The table, what is identical counted."""
    title = f"Audit of {_plain(found.study)} {_plain(found.key)}"
    table = Table("what", "verdict", "found", "held against", title=title)
    for part in PARTS:
        lines = found.part(part)
        same = sum(line.verdict == IDENTICAL for line in lines)
        if same:
            table.add_row(f"{part}: {same} of {len(lines)}", IDENTICAL)
        for line in lines:
            if line.verdict != IDENTICAL:
                table.add_row(*map(_plain, (line.what, line.verdict, line.found, line.expected)))
        table.add_section()
    console = Console()
    console.print(table)
    console.print(_plain(found.sentence()), highlight=False)


def _plain(text: str) -> str:
    """Text for a cell of rich: nothing in it is markup or moves the cursor."""
    return "".join(letter for letter in text if letter.isprintable()).replace("[", r"\[")


def register(app: typer.Typer) -> None:
    """Give the command line these commands."""
    for command in (audit,):
        app.command()(command)
