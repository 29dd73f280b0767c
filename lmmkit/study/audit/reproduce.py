"""A study reproduced from its report alone: run again, held against the printed digits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lmmkit.errors import LmmkitError, RunError
from lmmkit.study.audit.findings import DIFFERS, IDENTICAL, OTHER, UNCHECKED, WITHIN, Finding
from lmmkit.study.audit.integrity import Opened, open_run
from lmmkit.study.audit.rerun import find_data, recipe_of, run_again
from lmmkit.study.records.artifacts import sha256
from lmmkit.study.records.keys import recorded_key
from lmmkit.study.report.read_back import count_numbers, extract, moved_numbers, printed_text

PART = "reproduction"
REPORT = "report.html"
SHOWN = 3


def reproduce(report: Path, *, data: Path | None = None, notebooks: Path | None = None) -> list[Finding]:
    """Run the study that a report carries, by the installed notebooks, and compare.

    Args:
        report: The report.
        data: The data file, when it is not where the study had it.
        notebooks: The project's own notebooks, when they are to be executed instead of the installed ones.

    Raises:
        RunError: the file is no report, its data are not found, or the study cannot be run.
    """
    html = _read(report)
    record = extract(html)
    lock = record.get("lock")
    recipe = recipe_of(record["settings"], record["provenance"], lock.encode() if lock else None)
    found = find_data(recipe, report, data)
    if found.path is None:
        have = f"{found.others[0].name} has another digest" if found.others else "it was not found"
        raise RunError(
            f"the data file {recipe.source} with the sha256 {recipe.sha256} is needed, and {have}; "
            "name it with --data FILE"
        )
    with tempfile.TemporaryDirectory(prefix="lmmkit-") as place:
        try:
            again = open_run(run_again(recipe, found.path, Path(place), notebooks))
        except LmmkitError as error:
            return [Finding(PART, "the study", DIFFERS, str(error), "a run that ends well")]
        return [_key(record), *_files(record["files"], again), _printed(html, again)]


def _read(report: Path) -> str:
    try:
        return report.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RunError(f"{report} cannot be read: {error}; expected a report.html") from None


def _key(record: Mapping[str, Any]) -> Finding:
    """The study that the report carries against the key that it prints."""
    key, made = str(record["provenance"].get("key")), recorded_key(record["settings"], record["provenance"])
    return Finding(PART, "key of the embedded study", IDENTICAL if key == made else DIFFERS, made, key)


def _files(digests: Mapping[str, str], again: Opened) -> Iterator[Finding]:
    """The files of the earlier steps; elsewhere their bytes may differ, the printed digits decide."""
    for path, digest in digests.items():
        content = again.content(path)
        now = "missing" if content is None else sha256(content)
        yield Finding(PART, path, IDENTICAL if now == digest else OTHER, now[:12], digest[:12])


def _printed(html: str, again: Opened) -> Finding:
    content = again.content(REPORT)
    if content is None:
        return Finding(PART, "printed numbers", DIFFERS, "the new run has no report", REPORT)
    if content == html.encode():
        return Finding(PART, "printed numbers", IDENTICAL, "byte for byte", "the report")
    one, other = printed_text(html), printed_text(content.decode())
    moved, total = moved_numbers(one, other), f"{count_numbers(one):,} printed numbers"
    if moved is None:
        return Finding(PART, "printed numbers", DIFFERS, "the report's words are others", total)
    if moved:
        shown = "; ".join(f"{a}, again {b}" for a, b in moved[:SHOWN])
        return Finding(PART, "printed numbers", DIFFERS, f"{len(moved)} differ: {shown}", total)
    return Finding(PART, "printed numbers", WITHIN, "none differs by more than its last digit", total)


def unreproduced(findings: list[Finding]) -> bool:
    """Whether anything that counts is not as the report says."""
    return any(finding.verdict in (DIFFERS, UNCHECKED) for finding in findings)
