"""What an audit finds: one line each, with a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

IDENTICAL, WITHIN, HOLDS = "identical", "within tolerance", "holds"
DIFFERS, UNCHECKED, OTHER = "DIFFERS", "not checked", "other"


@dataclass(frozen=True)
class Finding:
    """One line of an audit.

    Attributes:
        part: integrity, re-execution, second opinion or environment.
        what: What was looked at.
        verdict: identical, within tolerance, holds, other (a version: the numbers decide), not checked, DIFFERS.
        found: What is there.
        expected: What it was held against.
    """

    part: str
    what: str
    verdict: str
    found: str = ""
    expected: str = ""


def differs(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that do not hold."""
    return [finding for finding in findings if finding.verdict == DIFFERS]


def counted(findings: Iterable[Finding]) -> str:
    """How many of each verdict, in words.

    >>> counted([Finding("a", "b", HOLDS), Finding("a", "c", HOLDS), Finding("a", "d", DIFFERS)])
    '1 DIFFERS, 2 holds'
    """
    counts = Counter(finding.verdict for finding in findings)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts))
