"""What an audit records: one line for each thing that was looked at, with a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lmmkit.study.records.keys import recorded_key

IDENTICAL, WITHIN, HOLDS = "identical", "within tolerance", "holds"
DIFFERS, UNCHECKED, OTHER, UNTRUSTED = "DIFFERS", "not checked", "other", "untrusted"
INTEGRITY, CONSISTENCY, EXECUTION = "integrity", "consistency", "re-execution"
READING, OPINION, ENVIRONMENT = "reading", "second opinion", "environment"
PARTS = (INTEGRITY, CONSISTENCY, EXECUTION, READING, OPINION, ENVIRONMENT)
#: How many differing checks or values are named before the rest is counted.
NAMED_CHECKS, NAMED_VALUES = 5, 3


@dataclass(frozen=True)
class Finding:
    """One line of an audit.

    Attributes:
        part: One of `PARTS`, or reproduction.
        what: What was looked at.
        verdict: identical, within tolerance, holds, not checked, DIFFERS, other (a version), or untrusted
            (what nothing can check).
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
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts)) or "none"


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
        root: Root digest of the files that the run's manifest lists.
    """

    study: str
    key: str
    findings: tuple[Finding, ...]
    root: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing that was checked differs."""
        return not differs(self.findings)

    @property
    def unchecked(self) -> list[Finding]:
        """The findings of what could not be checked."""
        return [finding for finding in self.findings if finding.verdict == UNCHECKED]

    def part(self, name: str) -> list[Finding]:
        """The findings of one part."""
        return [finding for finding in self.findings if finding.part == name]

    def sentence(self) -> str:
        """The verdict in words."""
        wrong = differs(self.findings)
        total, left = f"{len(self.findings):,}", self.unchecked
        if wrong:
            beside = f"; {len(left)} could not be made" if left else ""
            return f"DO NOT TRUST THIS RUN: {len(wrong)} of {total} checks differ: {_named(wrong)}{beside}."
        if left:
            return (
                f"Nothing differs, and {len(left)} of {total} checks could not be made: {_named(left)}; "
                f"the others: {counted(finding for finding in self.findings if finding not in left)}."
            )
        return f"Everything holds: {counted(self.findings)}."

    def agreement(self) -> str:
        """What the second opinions agreed on, in a sentence."""
        opinions = self.part(OPINION)
        asked = dict.fromkeys(finding.what.partition(": ")[0] for finding in opinions if _is_package(finding))
        checks = [finding for finding in opinions if finding.what.partition(": ")[0] not in asked]
        wrong = len(differs(checks))
        said = [
            f"{wrong} of the referee's {len(checks)} checks do not hold"
            if wrong
            else f"The referee's {len(checks)} checks hold"
        ]
        agree, silent = list[str](), list[str]()
        for name in asked:
            own = [finding for finding in opinions if finding.what.startswith(f"{name}: ")]
            if differs(own):
                said.append(f"{name} CONTRADICTS the run")
            elif own[0].verdict == HOLDS:
                agree.append(name)
            else:
                silent.append(f"{name} says nothing ({own[0].found})")
        if agree:
            one = "finds" if len(agree) == 1 else "find"
            said.append(f"{' and '.join(agree)} {one} the same optimum and the same fixed effects")
        return "; ".join(said + silent) + "." if opinions else "No second opinion was asked."

    def to_dict(self) -> dict[str, Any]:
        """All of it, as plain data."""
        return {
            "schema": 1,
            "study": self.study,
            "key": self.key,
            "root": self.root,
            "holds": self.holds,
            "unchecked": len(self.unchecked),
            "sentence": self.sentence(),
            "agreement": self.agreement(),
            "findings": [asdict(finding) for finding in self.findings],
        }


def _is_package(finding: Finding) -> bool:
    return finding.what.endswith(": deviance")


def _named(findings: list[Finding]) -> str:
    """The first of the findings by name, and how many there are beside."""
    named = ", ".join(dict.fromkeys(finding.what for finding in findings[:NAMED_CHECKS]))
    return named + (f" and {len(findings) - NAMED_CHECKS} more" if len(findings) > NAMED_CHECKS else "")
