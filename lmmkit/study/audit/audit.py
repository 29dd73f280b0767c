"""The audit of a run: integrity, re-execution, a second opinion, the environment; JSON and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lmmkit.errors import LmmkitError, RunError
from lmmkit.study.audit.artefacts import Circumstances
from lmmkit.study.audit.consistency import check_consistency
from lmmkit.study.audit.integrity import RunFolder, check_integrity, open_run
from lmmkit.study.audit.reading import readings
from lmmkit.study.audit.rerun import check_rerun, find_data, study_of
from lmmkit.study.audit.second_opinion import second_opinions
from lmmkit.study.audit.signature import sign
from lmmkit.study.audit.verdicts import (
    DIFFERS,
    ENVIRONMENT,
    EXECUTION,
    IDENTICAL,
    OTHER,
    PARTS,
    UNCHECKED,
    UNTRUSTED,
    Audit,
    Finding,
    compare_key,
    counted,
)
from lmmkit.study.audit.verify import AUDIT, SIGNATURE
from lmmkit.study.pages import templates
from lmmkit.study.records.artifacts import json_bytes, write_bytes
from lmmkit.study.records.keys import machine, package_digest, versions
from lmmkit.study.records.manifest import root_digest
from lmmkit.study.records.notebooks import Notebook, steps_of
from lmmkit.study.records.trusted_notebooks import project_folder, trusted_notebooks

KEY = "key of the recorded study, data, code and versions"
MACHINE = "machine"
_LOCK = "requirements.lock"
_PIN = re.compile(r"^([A-Za-z0-9_.\-]+)==([^\s;\\]+)", re.MULTILINE)
#: How the page marks a verdict that is not good.
_CLASSES = {DIFFERS: "differs", UNCHECKED: "left", OTHER: "left", UNTRUSTED: "left"}
_CHECKOUT = Path(__file__).resolve().parents[3]


def audit_run(
    folder: Path,
    *,
    data: Path | None = None,
    notebooks: Path | None = None,
    out: Path | None = None,
    execute: bool = True,
    key: Path | None = None,
) -> tuple[Audit, Path]:
    """Audit a run folder, wherever it lies; nothing is written into it, and none of its notebooks is run.

    Args:
        folder: The run folder.
        data: The data file, when it is not where the study had it.
        notebooks: The project's own notebooks, trusted, to be executed instead of the installed ones.
        out: Where `audit.json` and `audit.html` go; beside the run folder when left out.
        execute: Whether the study is executed again.
        key: An ed25519 private key, with which the verdict is signed: `audit.json.sig`.

    Returns:
        The audit, and the folder with its files.

    Raises:
        RunError: it is no run folder, or the results cannot be written.
    """
    run = open_run(folder)
    beside = run.folder.with_name(f"{run.folder.name}.audit")
    if out is None and beside.is_symlink():
        raise RunError(f"{beside} is a link, and no audit is written through it; name a place with --out DIR")
    target = (out or beside).resolve()
    if target.is_relative_to(run.folder):
        raise RunError(f"{target} lies in the audited folder; name a place outside of it with --out DIR")
    if key is not None:
        sign(b"", key)  # a key that cannot sign is told before the work
    found = _findings(run, data, notebooks, target / "again", execute=execute)
    audit = Audit(
        run.manifest.study, run.manifest.key, tuple(found), root_digest(run.manifest.files().values())
    )
    content = json_bytes(audit.to_dict())
    (target / SIGNATURE).unlink(missing_ok=True)
    write_bytes(target / AUDIT, content)
    if key is not None:
        write_bytes(target / SIGNATURE, sign(content, key).encode())
    write_bytes(target / "audit.html", render(audit).encode())
    return audit, target


def _findings(
    run: RunFolder, data: Path | None, notebooks: Path | None, keep: Path, *, execute: bool
) -> Iterator[Finding]:
    books = trusted_notebooks(notebooks)
    yield from check_integrity(run)
    try:
        books = steps_of(books, run.settings)
        environment = list(check_environment(run, books))
        yield from check_consistency(run, books)
    except (LmmkitError, AttributeError, TypeError, KeyError) as error:
        found = f"provenance.json cannot be used: {error}"
        environment = [Finding(ENVIRONMENT, "record", DIFFERS, found, "what a run records")]
    if execute:
        others = circumstances(environment)
        yield from check_rerun(run, data=data, notebooks=notebooks, circumstances=others, keep=keep)
    else:
        yield Finding(EXECUTION, EXECUTION, UNCHECKED, "not asked for")
    read = list(readings(run, _data_file(run, data)))
    yield from (reading.finding for reading in read)
    yield from second_opinions(run, read)
    yield from environment


def _data_file(run: RunFolder, given: Path | None) -> Path | None:
    """The data file of a run, where one with the recorded digest is found."""
    try:
        return find_data(study_of(run), run.folder, given).path
    except LmmkitError:
        return None


def circumstances(environment: Iterable[Finding]) -> Circumstances:
    """What is other here than in a run, by the environment's findings."""
    others = [finding.what for finding in environment if finding.verdict != IDENTICAL and finding.what != KEY]
    packages = versions()
    code = tuple(name for name in others if name not in packages and name != MACHINE)
    return Circumstances(code, tuple(name for name in others if name in packages), MACHINE in others)


def check_environment(run: RunFolder, notebooks: list[Notebook]) -> Iterator[Finding]:
    """The record of a run against its key; then versions, machine, code and notebooks, now and then.

    Args:
        run: The run.
        notebooks: Those that would be executed now.
    """
    record = run.provenance
    yield compare_key(ENVIRONMENT, KEY, run.settings, record, run.manifest.key)
    then: dict[str, str] = record.get("versions", {})
    pins = _pins()
    for name, now in versions().items():
        pinned = pins.get(name.lower(), set())
        locked = ", as locked" if now in pinned else f", {_LOCK} has {' or '.join(sorted(pinned))}"
        found = f"{now}{locked if pinned else ''}"
        recorded = str(then.get(name, "not recorded"))
        yield Finding(ENVIRONMENT, name, _as_then(now, recorded), found, recorded)
    here, there = machine(), str(record.get("machine"))
    yield Finding(ENVIRONMENT, MACHINE, _as_then(here, there), here, there)
    digests: dict[str, Any] = record.get("notebooks", {})
    code = {"source of lmmkit": (package_digest(), record.get("package"))}
    code |= {f"notebook {book.name}": (book.digest, digests.get(book.name)) for book in notebooks}
    for what, (now, recorded) in code.items():
        if isinstance(recorded, str):
            yield Finding(ENVIRONMENT, what, _as_then(now, recorded), now[:12], recorded[:12])
        else:
            yield Finding(ENVIRONMENT, what, UNCHECKED, now[:12], "not recorded")


def _as_then(now: str, then: str) -> str:
    return IDENTICAL if now == then else OTHER


def _pins() -> dict[str, set[str]]:
    """Versions pinned by the lock of the project that is worked in, or of the checkout of lmmkit."""
    pins: dict[str, set[str]] = {}
    for folder in (_CHECKOUT, project_folder()):
        if (folder / _LOCK).is_file():
            for name, version in _PIN.findall((folder / _LOCK).read_text(encoding="utf-8", errors="replace")):
                pins.setdefault(name.lower(), set()).add(version)
    return pins


def render(audit: Audit) -> str:
    """The audit as one HTML file, without an address outside itself."""
    return templates.render("audit.html", audit=audit, parts=PARTS, counted=counted, classes=_CLASSES)
