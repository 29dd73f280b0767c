"""A study reproduced from its report alone: run again, its printed digits compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lmmkit.errors import LmmkitError, RunError
from lmmkit.study.audit.integrity import RunFolder
from lmmkit.study.audit.rerun import find_data, recorded_study, run_again
from lmmkit.study.audit.verdicts import DIFFERS, IDENTICAL, NAMED_VALUES, OTHER, WITHIN, Finding, compare_key
from lmmkit.study.pages.read_page import extract, printed_text
from lmmkit.study.records.artifacts import sha256
from lmmkit.study.records.temporary import temporary_folder
from lmmkit.study.records.values import count_numbers, moved_numbers

REPRODUCTION = "reproduction"


def reproduce(report: Path, *, data: Path | None = None, notebooks: Path | None = None) -> list[Finding]:
    """Run the study that a report carries, by the installed notebooks, and compare.

    The study must fit the key that the report prints; the bytes of the earlier steps' files may differ
    elsewhere, so that the printed digits decide.

    Args:
        report: The report.
        data: The data file, when it is not where the study had it.
        notebooks: The project's own notebooks, trusted, to be executed instead of the installed ones.

    Raises:
        RunError: the file is no report, its data are not found, or the study cannot be run.
    """
    if report.exists() and not report.is_file():
        raise RunError(f"{report} is no file; expected a report.html")
    try:
        html = report.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RunError(f"{report} cannot be read: {error}; expected a report.html") from None
    record = extract(html)
    provenance: dict[str, Any] = record["provenance"]
    lock: str | None = record.get("lock")
    study = recorded_study(record["settings"], provenance, lock.encode() if lock else None)
    found = find_data(study, report.parent, data)
    if found.path is None:
        have = f"{found.others[0].name} has another digest" if found.others else "it was not found"
        raise RunError(
            f"the data file {study.source} with the sha256 {study.sha256} is needed, and {have}; "
            "name it with --data FILE"
        )
    with temporary_folder() as place:
        try:
            again = run_again(study, found.path, place, notebooks)
        except LmmkitError as error:
            return [Finding(REPRODUCTION, "the study", DIFFERS, str(error), "a run that ends well")]
        key, what = str(provenance.get("key")), "key of the embedded study"
        return [
            compare_key(REPRODUCTION, what, record["settings"], provenance, key),
            *(_compare_digest(again, path, digest) for path, digest in record["files"].items()),
            compare_pages(html, again.content("report.html")),
        ]


def _compare_digest(again: RunFolder, path: str, digest: str) -> Finding:
    try:
        content = again.content(path)
    except RunError as error:
        return Finding(REPRODUCTION, "a file that the report names", DIFFERS, str(error), "one of a run")
    now = "missing" if content is None else sha256(content)
    return Finding(REPRODUCTION, path, IDENTICAL if now == digest else OTHER, now[:12], digest[:12])


def compare_pages(html: str, again: bytes | None) -> Finding:
    """The printed numbers of a report against those of the report of the new run."""
    what = "printed numbers"
    if again is None:
        return Finding(REPRODUCTION, what, DIFFERS, "the new run has no report", "report.html")
    if again == html.encode():
        return Finding(REPRODUCTION, what, IDENTICAL, "byte for byte", "the report")
    one, other = printed_text(html), printed_text(again.decode())
    moved, total = moved_numbers(one, other), f"{count_numbers(one):,} printed numbers"
    if moved is None:
        return Finding(REPRODUCTION, what, DIFFERS, "the report's words are others", total)
    if moved:
        shown = "; ".join(f"{a}, again {b}" for a, b in moved[:NAMED_VALUES])
        return Finding(REPRODUCTION, what, DIFFERS, f"{len(moved)} differ: {shown}", total)
    return Finding(REPRODUCTION, what, WITHIN, "none differs by more than its last digit", total)
