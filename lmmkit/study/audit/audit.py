"""The audit of a run: integrity, re-execution, a second opinion, the environment; JSON and HTML."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lmmkit.errors import RunError
from lmmkit.study.audit.audit_rerun import check_rerun
from lmmkit.study.audit.environment import check_environment, same_environment
from lmmkit.study.audit.findings import PARTS, UNCHECKED, Audit, Finding
from lmmkit.study.audit.integrity import Opened, check_integrity, open_run
from lmmkit.study.audit.rerun import to_execute
from lmmkit.study.audit.second_opinion import second_opinions
from lmmkit.study.pages import templates
from lmmkit.study.records.artifacts import json_bytes, write_bytes
from lmmkit.study.records.notebooks import Notebook


def audit_run(
    folder: Path,
    *,
    data: Path | None = None,
    notebooks: Path | None = None,
    out: Path | None = None,
    execute: bool = True,
) -> tuple[Audit, Path]:
    """Audit a run folder, wherever it lies; nothing is written into it, and none of its notebooks is run.

    Args:
        folder: The run folder.
        data: The data file, when it is not where the study had it.
        notebooks: The project's own notebooks, when they are to be executed instead of the installed ones.
        out: Where `audit.json` and `audit.html` go; beside the run folder when left out.
        execute: Whether the study is executed again.

    Returns:
        The audit, and the folder with its files.

    Raises:
        RunError: it is no run folder, or the results cannot be written.
    """
    run = open_run(folder)
    target = (out or run.folder.with_name(f"{run.folder.name}.audit")).resolve()
    if target.is_relative_to(run.folder):
        raise RunError(f"{target} lies in the audited folder; name a place outside of it with --out DIR")
    found = _findings(run, data, notebooks, target / "again", execute=execute)
    audit = Audit(run.manifest.study, run.manifest.key, tuple(found))
    write_bytes(target / "audit.json", json_bytes(audit.to_dict()))
    write_bytes(target / "audit.html", render(audit).encode())
    return audit, target


def _findings(
    run: Opened, data: Path | None, notebooks: Path | None, keep: Path, *, execute: bool
) -> Iterator[Finding]:
    books = to_execute(notebooks)
    yield from check_integrity(run)
    environment = _environment(run, books)
    if execute:
        exact = same_environment(environment)
        yield from check_rerun(run, data=data, notebooks=notebooks, exact=exact, keep=keep)
    else:
        yield Finding("re-execution", "re-execution", UNCHECKED, found="not asked for")
    yield from second_opinions(run)
    yield from environment


def _environment(run: Opened, notebooks: list[Notebook]) -> list[Finding]:
    try:
        return list(check_environment(run, notebooks))
    except (RunError, AttributeError, TypeError) as error:
        return [Finding("environment", "record", UNCHECKED, found=f"provenance.json cannot be used: {error}")]


def render(audit: Audit) -> str:
    """The audit as one HTML file, without an address outside itself."""
    return templates.render("audit.html", audit=audit, parts=PARTS)
