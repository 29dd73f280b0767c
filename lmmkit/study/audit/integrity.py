"""A run folder from anywhere: opened without trust, each of its files held against its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lmmkit.errors import RunError
from lmmkit.study.audit.findings import DIFFERS, IDENTICAL, Finding
from lmmkit.study.records.artifacts import read_json, sha256
from lmmkit.study.records.manifest import NAME, File, Manifest, load_manifest, through_link, unlisted_files

PART = "integrity"


@dataclass(frozen=True)
class Opened:
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
        return self.json("provenance.json")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its study, resolved."""
        return self.json("study.json")

    @property
    def paths(self) -> list[str]:
        """Every file that the manifest lists, in order."""
        return list(self.manifest.files())

    def content(self, path: str) -> bytes | None:
        """The bytes of a file; None where it is missing or a link."""
        place = self.folder / path
        return None if through_link(self.folder, path) or not place.is_file() else place.read_bytes()

    def json(self, path: str) -> Any:
        """A JSON file of the run.

        Raises:
            RunError: it is missing, damaged, or a link.
        """
        if through_link(self.folder, path):
            raise RunError(f"{path} in {self.folder} is a link; a run folder holds files only")
        return read_json(self.folder / path)


def open_run(folder: Path) -> Opened:
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
    return Opened(folder, manifest)


def _latest(folder: Path) -> Path:
    """The run that `latest` in a folder of runs names, when it names one."""
    note = folder / "latest"
    if (folder / NAME).exists() or not note.is_file():
        return folder
    name = note.read_text(encoding="utf-8", errors="replace").strip()
    return folder / name if name.isalnum() and (folder / name).is_dir() else folder


def check_integrity(run: Opened) -> Iterator[Finding]:
    """One finding per file, and one on how far the run came."""
    yield _status(run.manifest)
    yield from (_of_file(run, file) for file in run.manifest.files().values())
    for path in unlisted_files(run.folder, run.manifest):
        yield Finding(PART, path, DIFFERS, found="extra file", expected="only files that the manifest lists")


def _status(manifest: Manifest) -> Finding:
    verdict = IDENTICAL if manifest.status == "complete" else DIFFERS
    why = f": {manifest.error.splitlines()[0]}" if manifest.error else ""
    return Finding(PART, "status of the run", verdict, found=f"{manifest.status}{why}", expected="complete")


def _of_file(run: Opened, file: File) -> Finding:
    if through_link(run.folder, file.path):
        return Finding(PART, file.path, DIFFERS, found="a link", expected="a file")
    content = run.content(file.path)
    if content is None:
        return Finding(PART, file.path, DIFFERS, found="missing", expected=f"sha256 {file.sha256[:12]}")
    digest = sha256(content)
    verdict = IDENTICAL if digest == file.sha256 and len(content) == file.bytes else DIFFERS
    return Finding(PART, file.path, verdict, f"sha256 {digest[:12]}", f"sha256 {file.sha256[:12]}")
