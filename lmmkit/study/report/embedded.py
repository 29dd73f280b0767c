"""What a report carries so that it can be reproduced from itself alone."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

from lmmkit.errors import RunError
from lmmkit.study.records.artifacts import plain
from lmmkit.study.records.manifest import load_manifest
from lmmkit.study.records.plan_lock import LOCK
from lmmkit.study.steps.step import Step

ID = "lmmkit-run"


def embedded(step: Step) -> str:
    """A block of data for the report: the study, where its numbers come from, digests of the earlier files.

    The block is JSON and is never executed; nothing in it can end it.
    """
    manifest, lock = load_manifest(step.folder), step.folder / LOCK
    later = step.plan.since(step.name)
    before = [record for record in manifest.steps if record.step not in later] if manifest else []
    record = {
        "schema": 1,
        "settings": step.plan.study.resolved(),
        "provenance": step.provenance(),
        "lock": lock.read_text(encoding="utf-8") if lock.exists() else None,
        "files": {file.path: file.sha256 for record in before for file in record.files},
    }
    text = json.dumps(plain(record), ensure_ascii=True).replace("<", r"\u003c").replace(">", r"\u003e")
    return f'<script type="application/json" id="{ID}">{text}</script>'


def extract(html: str) -> dict[str, Any]:
    """The record that a report carries.

    Raises:
        RunError: it carries none, or a damaged one.
    """
    reader = _Reader()
    reader.feed(html)
    try:
        record: dict[str, Any] = json.loads("".join(reader.found))
        settings, provenance, files = record["settings"], record["provenance"], record["files"]
    except (ValueError, KeyError, TypeError):
        raise RunError(
            "the file carries no record of a study; expected a report.html as `lmmkit run` leaves it"
        ) from None
    if not all(isinstance(part, dict) for part in (settings, provenance, files)):
        raise RunError("the record in the report is damaged; use the report as `lmmkit run` left it")
    return record


class _Reader(HTMLParser):
    """Collects the text of the data block."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where the block begins."""
        self.inside = tag == "script" and ("id", ID) in attrs

    def handle_endtag(self, tag: str) -> None:
        """Note where it ends."""
        self.inside = False

    def handle_data(self, data: str) -> None:
        """Keep its text."""
        if self.inside:
            self.found.append(data)
