"""What an audit records: one line for each thing that was looked at, with a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lmmkit.study.records.keys import recorded_key

IDENTICAL, WITHIN, HOLDS = "identical", "within tolerance", "holds"
DIFFERS, UNCHECKED, OTHER = "DIFFERS", "not checked", "other"
INTEGRITY, EXECUTION, OPINION, ENVIRONMENT = "integrity", "re-execution", "second opinion", "environment"
PARTS = (INTEGRITY, EXECUTION, OPINION, ENVIRONMENT)
#: How many differing checks or values are named before the rest is counted.
NAMED_CHECKS, NAMED_VALUES = 5, 3


@dataclass(frozen=True)
class Finding:
    """One line of an audit.

    Attributes:
        part: Integrity, re-execution, second opinion, environment, or reproduction.
        what: What was looked at.
        verdict: identical, within tolerance, holds, not checked, DIFFERS, or other (a version).
        found: What is there.
        expected: What it was compared with.
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


def compare_key(
    part: str, what: str, settings: Mapping[str, Any], provenance: Mapping[str, Any], key: str
) -> Finding:
    """The key of a run against the key of what is recorded of it: an edited record must not go unseen."""
    made = recorded_key(settings, provenance)
    verdict = IDENTICAL if made == key == provenance.get("key") else DIFFERS
    return Finding(part, what, verdict, made, key)


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        study: Name of the study.
        key: Key of the run.
        findings: One for each thing that was looked at.
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
        wrong = differs(self.findings)
        if not wrong:
            return f"Everything that could be checked holds: {counted(self.findings)}."
        named = ", ".join(dict.fromkeys(finding.what for finding in wrong[:NAMED_CHECKS]))
        more = f" and {len(wrong) - NAMED_CHECKS} more" if len(wrong) > NAMED_CHECKS else ""
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
