"""The manifest of a run folder: which step wrote which file, with its size and digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, TypeAdapter, ValidationError

from lmmkit.errors import RunError
from lmmkit.study.records.artifacts import json_bytes, read_json, sha256, write_bytes

NAME = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9_][\w.\-]{0,199}")
#: Where a report's step keeps the root digest of all that was there before it.
ROOT = "root.json"
BY_HAND = "by hand"
#: Files that the manifest does not list: itself, and what carries clock times.
UNLISTED = frozenset({NAME, "log.jsonl", "ro-crate-metadata.json"})


def safe_path(path: str) -> str:
    """The path, when it stays inside its folder.

    Raises:
        RunError: it is absolute or contains `..`.
    """
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
        raise RunError(
            f"the path {path!r} leaves the run folder; expected one such as tables/fixed_effects.csv"
        )
    return path


def safe_name(name: str) -> str:
    """The name, when it is one part of a path, and not hidden.

    Raises:
        RunError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise RunError(f"{name!r} is no name of a step, and no key; expected one such as 03_fit")
    return name


@dataclass(frozen=True)
class File:
    """A file of a run: its place in the folder, its size and digest."""

    path: Annotated[str, AfterValidator(safe_path)]
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """What one step left: its key, and its files."""

    step: Annotated[str, AfterValidator(safe_name)]
    key: Annotated[str, AfterValidator(safe_name)]
    files: tuple[File, ...]

    def artefacts(self) -> tuple[File, ...]:
        """The files that later steps may read: all but the executed notebook."""
        return tuple(file for file in self.files if not file.path.endswith(".ipynb"))


@dataclass(frozen=True)
class Manifest:
    """The state of a run folder.

    Attributes:
        study: Name of the study.
        key: Key of the run.
        status: running, complete, failed, interrupted, or by hand.
        error: Why it failed.
        steps: One record per finished step, in order.
    """

    study: str
    key: Annotated[str, AfterValidator(safe_name)]
    status: str = "running"
    error: str | None = None
    steps: tuple[Record, ...] = field(default=())

    def step(self, name: str) -> Record | None:
        """The record of a step, when it has finished."""
        return next((record for record in self.steps if record.step == name), None)

    def files(self) -> dict[str, File]:
        """Every listed file by its path."""
        return {file.path: file for record in self.steps for file in record.files}

    def with_step(self, record: Record) -> Manifest:
        """The manifest with one more step."""
        return replace(self, steps=(*self.steps, record))

    def save(self, folder: Path) -> None:
        """Write it into the run folder."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        write_bytes(folder / NAME, json_bytes({"schema": 1, **fields}))


_ADAPTER = TypeAdapter(Manifest)


def load_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None when it has none.

    Raises:
        RunError: it is damaged, or lists a path that leaves the folder.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    file_in(folder, NAME)
    try:
        # What has a default for a new run may not be missing in a written one.
        return _ADAPTER.validate_python({"status": None, "steps": None, **read_json(path)})
    except (ValidationError, TypeError):
        raise RunError(f"{path} is no manifest of a run; run the study again with --force") from None


def verified(record: Record, folder: Path) -> bool:
    """Whether every file of a step is there, untouched."""
    return all(_untouched(file, folder) for file in record.files)


def record_files(folder: Path, known: Manifest) -> tuple[File, ...]:
    """The files in a folder that no step of the manifest wrote, sorted by path."""
    found = ((path, file_in(folder, path).read_bytes()) for path in unlisted_files(folder, known))
    return tuple(File(path, len(content), sha256(content)) for path, content in found)


def unlisted_files(folder: Path, known: Manifest) -> list[str]:
    """Paths of the files in a folder that no step of the manifest wrote."""
    paths = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return sorted({path.relative_to(folder).as_posix() for path in paths} - known.files().keys() - UNLISTED)


def _untouched(file: File, folder: Path) -> bool:
    path = folder / file.path
    if through_link(folder, file.path) or not path.is_file() or path.stat().st_size != file.bytes:
        return False
    return sha256(path.read_bytes()) == file.sha256


def through_link(folder: Path, path: str) -> bool:
    """Whether a path in a folder, or a part of it, is a link, or leaves the folder."""
    return (folder / safe_path(path)).resolve() != folder.resolve() / path


def file_in(folder: Path, path: str) -> Path:
    """The place of a file in a run folder.

    Raises:
        RunError: the path leaves the folder, or is a link or behind one.
    """
    if through_link(folder, path):
        raise RunError(f"{path} in {folder} is a link; a run folder holds files only")
    return folder / path


def root_digest(files: Iterable[File]) -> str:
    """One digest for all files of a run, 64 hexadecimal digits: the root of a Merkle tree over their digests.

    A leaf is a file's path with its digest, in the order of the paths; the tree is that of RFC 6962, section
    2.1, where leaves and nodes are hashed apart and the left half is the largest power of two that leaves
    something for the right.

    >>> one, two = File("a.csv", 1, "00" * 32), File("b.csv", 1, "11" * 32)
    >>> root_digest([one, two]) == root_digest([two, one]) != root_digest([one])
    True
    """
    ordered = sorted(files, key=lambda file: file.path)
    return _root(
        [_hash(b"\x00", file.path.encode(), b"\x00", bytes.fromhex(file.sha256)) for file in ordered]
    ).hex()


def _root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else _hash()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return _hash(b"\x01", _root(leaves[:half]), _root(leaves[half:]))


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
