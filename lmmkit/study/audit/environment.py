"""The environment against what a run records and the lock pins; and the record against its own key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmmkit.study.audit.findings import DIFFERS, IDENTICAL, OTHER, UNCHECKED, Finding
from lmmkit.study.audit.integrity import Opened
from lmmkit.study.records.keys import machine, package_digest, recorded_key, versions
from lmmkit.study.records.notebooks import Notebook, project_folder

PART = "environment"
_PIN = re.compile(r"^([A-Za-z0-9_.\-]+)==([^\s;\\]+)", re.MULTILINE)
_LOCK = "requirements.lock"


def check_environment(run: Opened, notebooks: list[Notebook]) -> Iterator[Finding]:
    """The record against its key, then versions, code and notebooks, now and then.

    Args:
        run: The run.
        notebooks: Those that would be executed now.
    """
    yield _key(run)
    then: dict[str, str] = run.provenance.get("versions", {})
    pins = _pins()
    for name, now in versions().items():
        yield _version(name, now, str(then.get(name, "not recorded")), pins.get(name.lower(), set()))
    here, there = machine(), str(run.provenance.get("machine"))
    yield Finding(PART, "machine", IDENTICAL if here == there else OTHER, here, there)
    yield _code("source of lmmkit", package_digest(), run.provenance.get("package"))
    recorded: dict[str, Any] = run.provenance.get("notebooks", {})
    for notebook in notebooks:
        yield _code(f"notebook {notebook.name}", notebook.digest, recorded.get(notebook.name))


def same_environment(findings: list[Finding]) -> bool:
    """Whether code and versions are those of the run, so that every byte must be the same."""
    return all(finding.verdict == IDENTICAL for finding in findings)


def _key(run: Opened) -> Finding:
    """Whoever edits study or provenance must also know to edit the key."""
    key = run.manifest.key
    made = recorded_key(run.settings, run.provenance)
    verdict = IDENTICAL if made == key and run.provenance.get("key") == key else DIFFERS
    return Finding(PART, "key of the recorded study, data, code and versions", verdict, made, key)


def _version(name: str, now: str, then: str, pins: set[str]) -> Finding:
    locked = (
        "" if not pins else ", as locked" if now in pins else f", {_LOCK} has {' or '.join(sorted(pins))}"
    )
    return Finding(PART, name, IDENTICAL if now == then else OTHER, f"{now}{locked}", then)


def _code(what: str, now: str, then: Any) -> Finding:
    if not isinstance(then, str):
        return Finding(PART, what, UNCHECKED, now[:12], "not recorded")
    return Finding(PART, what, IDENTICAL if now == then else OTHER, now[:12], then[:12])


def _pins() -> dict[str, set[str]]:
    """Versions that the lock of the project that is worked in pins, or of the checkout of lmmkit."""
    pins: dict[str, set[str]] = {}
    for folder in (Path(__file__).resolve().parents[2], project_folder()):
        if folder is not None and (folder / _LOCK).is_file():
            for name, version in _PIN.findall((folder / _LOCK).read_text(encoding="utf-8")):
                pins.setdefault(name.lower(), set()).add(version)
    return pins
