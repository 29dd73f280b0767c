"""What a finished run says against its own numbers, for the terminal: a report may stay unread."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from lmmkit.study.records.artifacts import read_json


def doubts(folder: Path) -> list[str]:
    """A sentence for each reason not to use the numbers of a run; none where it is in order.

    Args:
        folder: The run folder; notebooks of a project's own may leave out what is looked for.
    """
    summary, certificate = _record(folder, "summary.json"), _record(folder, "certificate.json")
    found = list[str]()
    if not certificate.get("passed", True):
        found.append(str(certificate.get("sentence", "the certificate failed")))
    if not summary.get("converged", True):
        found.append("the search did not converge: do not use these numbers")
    return found


def _record(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    value = read_json(path) if path.is_file() else None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
