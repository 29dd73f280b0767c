"""A run folder from anywhere: opened without trust, each of its files compared with its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from lmmkit.errors import RunError
from lmmkit.study.audit.verdicts import DIFFERS, IDENTICAL, INTEGRITY, Finding
from lmmkit.study.files.yaml12 import is_mapping
from lmmkit.study.records.artifacts import read_csv, read_json, sha256
from lmmkit.study.records.manifest import (
    NAME,
    File,
    Manifest,
    file_in,
    load_manifest,
    through_link,
    unlisted_files,
)
from lmmkit.study.records.quantities import Quantity, quantities

#: Bytes of a file of a stranger's run that is still read.
LARGEST = 1_000_000_000


@dataclass(frozen=True)
class RunFolder:
    """A run folder that is read and never written.

    Attributes:
        folder: Where it lies now.
        manifest: What its manifest says.
    """

    folder: Path
    manifest: Manifest

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What it says of its data, code and versions."""
        return self._mapping("provenance.json")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its study, resolved."""
        return self._mapping("study.json")

    def content(self, path: str) -> bytes | None:
        """The bytes of a file; None where it is missing or a link.

        Raises:
            RunError: it is larger than any file that is read, or the path leaves the folder.
        """
        if through_link(self.folder, path) or not (self.folder / path).is_file():
            return None
        return self.file(path).read_bytes()

    def file(self, path: str) -> Path:
        """The place of a file.

        Raises:
            RunError: it is not there, no file, a link or behind one, or larger than any file that is read.
        """
        place = file_in(self.folder, path)
        if not place.is_file():
            raise RunError(f"{path} is not in {self.folder}")
        if place.stat().st_size > LARGEST:
            raise RunError(f"{path} in {self.folder} has more than {LARGEST:,} bytes; it is not read")
        return place

    def json(self, path: str) -> Any:
        """A JSON file of the run.

        Raises:
            RunError: it is missing, damaged, or a link.
        """
        return read_json(self.file(path))

    def table(self, path: str) -> pd.DataFrame:
        """A table of the run.

        Raises:
            RunError: it is missing, or a link.
        """
        return read_csv(self.file(path))

    def _mapping(self, path: str) -> dict[str, Any]:
        found = self.json(path)
        if not is_mapping(found):
            raise RunError(f"{path} in {self.folder} is damaged: it holds no mapping")
        return found

    def named_values(self) -> dict[str, Quantity]:
        """Every value of the run that has a name, with its file: in a table, else a number of the summary."""
        summary: dict[str, Any] = self.json("summary.json") if self.content("summary.json") else {}
        numbers = {name: value for name, value in summary.items() if isinstance(value, int | float)}
        return {name: Quantity(value, "summary.json") for name, value in numbers.items()} | dict(
            quantities(self.folder)
        )


def open_run(folder: Path) -> RunFolder:
    """Open a run folder, or the latest run in a study's folder of runs.

    Raises:
        RunError: it is no run folder, or its manifest is damaged or lists a path outside of it.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder} is no folder; expected a run folder such as reports/sleepstudy/0123456789ab"
        )
    folder = _latest(folder.resolve())
    manifest = load_manifest(folder)
    if manifest is None:
        raise RunError(f"{folder} is no run folder: it has no {NAME}; expected what `lmmkit run` leaves")
    return RunFolder(folder, manifest)


def _latest(folder: Path) -> Path:
    """The run that `latest` in a folder of runs names, when it names one."""
    note = folder / "latest"
    if (folder / NAME).exists() or note.is_symlink() or not note.is_file():
        return folder
    with note.open(encoding="utf-8", errors="replace") as stream:
        name = stream.read(100).strip()
    found = folder / name
    return found if name.isalnum() and found.is_dir() and not found.is_symlink() else folder


def check_integrity(run: RunFolder) -> Iterator[Finding]:
    """One finding per file, and one on how far the run came."""
    manifest = run.manifest
    verdict = IDENTICAL if manifest.status == "complete" else DIFFERS
    why = f": {manifest.error.splitlines()[0]}" if manifest.error else ""
    yield Finding(INTEGRITY, "status of the run", verdict, f"{manifest.status}{why}", "complete")
    yield from (check_file(run, file) for file in manifest.files().values())
    for path in unlisted_files(run.folder, manifest):
        yield Finding(INTEGRITY, path, DIFFERS, "extra file", "only files that the manifest lists")


def check_file(run: RunFolder, file: File) -> Finding:
    """A file of a run against its manifest."""
    if through_link(run.folder, file.path):
        return Finding(INTEGRITY, file.path, DIFFERS, "a link", "a file")
    expected, place = f"sha256 {file.sha256[:12]}", run.folder / file.path
    if place.is_file() and place.stat().st_size != file.bytes:
        return Finding(
            INTEGRITY, file.path, DIFFERS, f"{place.stat().st_size:,} bytes", f"{file.bytes:,} bytes"
        )
    content = run.content(file.path)
    if content is None:
        return Finding(INTEGRITY, file.path, DIFFERS, "missing", expected)
    digest = sha256(content)
    verdict = IDENTICAL if digest == file.sha256 else DIFFERS
    return Finding(INTEGRITY, file.path, verdict, f"sha256 {digest[:12]}", expected)
