"""Commands on finished runs: `lmmkit audit | verify | why | diff | lock | reproduce`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lmmkit.study.audit.verdicts import IDENTICAL, PARTS, Finding, differs
from lmmkit.study.cli.arguments import DataFile, Notebooks, Outside, RunFolder, StudyFile
from lmmkit.study.cli.exit_codes import DIFFERENT, UNCHECKED, with_exit_codes
from lmmkit.study.cli.say import say
from lmmkit.study.runs.progress import line


@with_exit_codes
def audit(
    run: RunFolder,
    data: DataFile = None,
    notebooks: Notebooks = None,
    out: Annotated[
        Path | None, typer.Option(help="Where audit.json and audit.html go; beside the run.")
    ] = None,
    execute: Annotated[bool, typer.Option(help="Execute the study again.")] = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 4 when a check could not be made.")
    ] = False,
    sign: Annotated[
        Path | None, typer.Option(metavar="KEY", help="An ed25519 private key to sign the verdict with.")
    ] = None,
) -> None:
    """Verify a run, execute it again, recompute it by other routes; exit code 3 when anything differs."""
    from lmmkit.study.audit.audit import audit_run

    found, folder = audit_run(run, data=data, notebooks=notebooks, out=out, execute=execute, key=sign)
    _print_table(f"Audit of {found.study} {found.key}", {part: found.part(part) for part in PARTS})
    say(found.sentence(), folder / "audit.html")
    if not found.holds:
        raise typer.Exit(DIFFERENT)
    if strict and found.unchecked:
        raise typer.Exit(UNCHECKED)


@with_exit_codes
def verify(
    audit: Annotated[Path, typer.Argument(metavar="AUDIT", help="The folder of a signed audit.")],
    run: Annotated[Path | None, typer.Option(help="The run folder, when it is not beside the audit.")] = None,
    key: Annotated[
        Path | None, typer.Option(help="The signer's public key, such as id_ed25519.pub, as you know it.")
    ] = None,
) -> None:
    """Check a signed audit and the run that it is about, executing nothing; exit code 3 when it differs."""
    from lmmkit.study.audit.verify import VERIFICATION
    from lmmkit.study.audit.verify import verify as check

    findings = check(audit, run, key)
    _print_table("Verification of an audit", {VERIFICATION: findings}, fold=False)
    wrong = differs(findings)
    say(
        f"DO NOT TRUST IT: {wrong[0].what}: {wrong[0].found}"
        if wrong
        else "The audit and its run are as signed."
    )
    if wrong:
        raise typer.Exit(DIFFERENT)


@with_exit_codes
def why(
    run: RunFolder,
    number: Annotated[
        str, typer.Argument(help="Such as Days.se, Subject.sd.Days, deviance, Subject.308.Days.")
    ],
) -> None:
    """Trace a number of a run: report, cell, file, formula with its matrices, search, data, rows."""
    from lmmkit.study.trace.why import why as chain

    for link in chain(run, number):
        first, *more = link.text.split("\n")
        say(f"{link.name:<12}{first}", *(f"{'':12}{line}" for line in more))


@with_exit_codes
def diff(
    first: RunFolder,
    second: RunFolder,
    data: DataFile = None,
    notebooks: Notebooks = None,
    execute: Annotated[bool, typer.Option(help="Execute what tells several causes apart.")] = True,
) -> None:
    """Say what moved between two runs, and what moved it: rows, parameters, seed, versions or code."""
    from lmmkit.study.trace.diff import diff_runs

    given = () if data is None else (data,)
    found = diff_runs(first, second, data=given, notebooks=notebooks, execute=execute)
    made = Table("cause", "what", "first run", "second run", title="What they were made from")
    for change in found.changes:
        made.add_row(*map(line, (change.cause, change.what, change.one, change.other)))
    moved = Table("number", "first run", "second run", "moved by", title="Numbers that moved")
    for move in found.moves:
        shares = "; ".join(f"{cause} {share:+.6g}" for cause, share in move.shares.items())
        moved.add_row(line(move.name), f"{move.one:.10g}", f"{move.other:.10g}", shares)
    for table in (made, moved):
        Console().print(table)
    say(found.note or f"{len(found.moves):,} numbers moved.")


@with_exit_codes
def lock(
    study: StudyFile,
    allow_outside: Outside = False,
) -> None:
    """Freeze a study before its outcome is read; its report then lists every later deviation."""
    from lmmkit.study.records.plan_lock import lock_study
    from lmmkit.study.runs.plan import reports_folder

    path = lock_study(study, reports_folder(study), allow_outside=allow_outside)
    say(f"{path} written. Keep it with the study, best under version control.")


@with_exit_codes
def reproduce(
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="A report.html.")],
    data: DataFile = None,
    notebooks: Notebooks = None,
) -> None:
    """Run the study that a report carries and compare the printed digits; exit code 3 when they differ."""
    from lmmkit.study.audit.reproduce import reproduce as run_again

    findings = run_again(report, data=data, notebooks=notebooks)
    _print_table(f"Reproduction of {report.name}", {"reproduction": findings})
    wrong = differs(findings)
    say(f"NOT reproduced: {wrong[0].found}" if wrong else f"Reproduced: {findings[-1].found}.")
    if wrong:
        raise typer.Exit(DIFFERENT)


def _print_table(title: str, parts: Mapping[str, Sequence[Finding]], *, fold: bool = True) -> None:
    """The findings part by part; what is identical is counted where it is to be folded."""
    table = Table("what", "verdict", "found", "held against", title=line(title))
    for part, findings in parts.items():
        same = sum(found.verdict == IDENTICAL for found in findings)
        if same and fold:
            table.add_row(f"{part}: {same} of {len(findings)}", IDENTICAL)
        for found in findings:
            if found.verdict != IDENTICAL or not fold:
                table.add_row(*map(line, (found.what, found.verdict, found.found, found.expected)))
        table.add_section()
    Console().print(table)


COMMANDS = (audit, verify, why, diff, lock, reproduce)
