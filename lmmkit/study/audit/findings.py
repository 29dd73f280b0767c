"""What an audit finds: one line each, with a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

IDENTICAL, WITHIN, HOLDS = "identical", "within tolerance", "holds"
DIFFERS, UNCHECKED, OTHER = "DIFFERS", "not checked", "other"
PARTS = ("integrity", "re-execution", "second opinion", "environment")


@dataclass(frozen=True)
class Finding:
    """One line of an audit.

    Attributes:
        part: integrity, re-execution, second opinion or environment.
        what: What was looked at.
        verdict: identical, within tolerance, holds, not checked, DIFFERS, or other (a version).
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


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        study: Name of the study.
        key: Key of the run.
        findings: One per thing that was looked at.
    """

    study: str
    key: str
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return not differs(self.findings)

    def part(self, name: str) -> list[Finding]:
        """The findings of one part."""
        return [finding for finding in self.findings if finding.part == name]

    def sentence(self) -> str:
        """The verdict in words."""
        if self.holds:
            return f"Everything that could be checked holds: {counted(self.findings)}."
        wrong = differs(self.findings)
        named = ", ".join(dict.fromkeys(finding.what for finding in wrong[:5]))
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        return f"DO NOT TRUST THIS RUN: {len(wrong)} of {len(self.findings)} checks differ: {named}{more}."

    def to_dict(self) -> dict[str, Any]:
        """All of it, as plain data."""
        return {
            "schema": 1,
            "study": self.study,
            "key": self.key,
            "holds": self.holds,
            "sentence": self.sentence(),
            "findings": [asdict(finding) for finding in self.findings],
        }
