"""A signed audit checked, and the run that it is about: nothing is executed, nothing made again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmmkit.errors import RunError
from lmmkit.study.audit.integrity import check_integrity, open_run
from lmmkit.study.audit.signature import check_signature, public_key
from lmmkit.study.audit.verdicts import DIFFERS, HOLDS, IDENTICAL, UNCHECKED, UNTRUSTED, Finding, differs
from lmmkit.study.records.manifest import root_digest

AUDIT, SIGNATURE = "audit.json", "audit.json.sig"
VERIFICATION = "verification"


def verify(audit: Path, run: Path | None = None, key: Path | None = None) -> list[Finding]:
    """Check a signed audit.

    Args:
        audit: Its folder, or its `audit.json`.
        run: The run folder, when it does not lie beside the audit's.
        key: The public key of the signer, as you know it.

    Raises:
        RunError: there is no signed audit, or no such run or key.
    """
    path = audit / AUDIT if audit.is_dir() else audit
    content, armour = _content(path), _content(path.with_name(SIGNATURE))
    return [*_checked(content, armour.decode(errors="replace"), key), *_held_together(content, path, run)]


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise RunError(f"{path} is not there; expected what `lmmkit audit RUN --sign KEY` leaves")
    return path.read_bytes()


def _checked(content: bytes, armour: str, key: Path | None) -> Iterator[Finding]:
    known = public_key(key) if key else None
    try:
        signature = check_signature(content, armour)
    except RunError as error:
        yield Finding(VERIFICATION, "signature", DIFFERS, str(error), AUDIT)
        return
    yield Finding(VERIFICATION, "signature", HOLDS, f"of {AUDIT}, by the key {signature.fingerprint}")
    if known is None:
        found = f"whose key {signature.fingerprint} is; name the one you know with --key FILE"
        yield Finding(VERIFICATION, "signer", UNTRUSTED, found)
    else:
        verdict = IDENTICAL if signature.key == known else DIFFERS
        yield Finding(VERIFICATION, "signer", verdict, signature.fingerprint, f"the key in {key}")


def _held_together(content: bytes, path: Path, run: Path | None) -> Iterator[Finding]:
    """What the audit found, and whether the run is the one that it is about."""
    try:
        said: Any = json.loads(content)
        sentence, root, holds = said["sentence"], said["root"], said["holds"]
    except (ValueError, KeyError, TypeError, RecursionError):
        yield Finding(VERIFICATION, "verdict", DIFFERS, f"{path.name} is damaged", "an audit")
        return
    yield Finding(VERIFICATION, "verdict", HOLDS if holds is True else DIFFERS, str(sentence))
    beside = path.parent.with_name(path.parent.name.removesuffix(".audit"))
    if run is None and (beside == path.parent or not beside.is_dir()):
        yield Finding(VERIFICATION, "run", UNCHECKED, "not found; name its folder with --run DIR")
        return
    opened = open_run(run or beside)
    made = root_digest(opened.manifest.files().values())
    verdict = IDENTICAL if made == root else DIFFERS
    yield Finding(VERIFICATION, "root digest of the run", verdict, made[:12], str(root)[:12])
    wrong = differs(check_integrity(opened))
    yield Finding(
        VERIFICATION,
        "files of the run",
        DIFFERS if wrong else IDENTICAL,
        ", ".join(finding.what for finding in wrong[:3]) or f"{len(opened.manifest.files()):,} files",
        "the manifest",
    )
