"""A study's run: every step in its turn, its files recorded, and the folder telling how far it came."""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmmkit.errors import RunError
from lmmkit.study.artifacts import json_bytes, write_bytes
from lmmkit.study.execute import execute
from lmmkit.study.failure import StepError
from lmmkit.study.manifest import BY_HAND, Manifest, Record, load_manifest, record_files, unlisted_files
from lmmkit.study.notebooks import Notebook, normalised
from lmmkit.study.plan import Plan
from lmmkit.study.watch import Log, Watch


@dataclass(frozen=True)
class Maker:
    """Makes the steps of a plan in a folder.

    Attributes:
        plan: What to make.
        folder: The run folder.
        watch: Who is told.
        kernel: Options of the kernels.
    """

    plan: Plan
    folder: Path
    watch: Watch
    kernel: dict[str, Any]

    def make(self, notebooks: Sequence[Notebook], status: str, *, force: bool = False) -> None:
        """Make the steps that are not there yet, and leave the folder saying `status`, or why not.

        Raises:
            RunError: the folder cannot be written, or is in use.
            StepError: a step failed.
        """
        with _locked(self.folder):
            log = Log(self.folder)
            manifest = self._begin(log, force=force)
            try:
                for notebook in notebooks:
                    manifest = self._ensure(notebook, manifest, log)
            except KeyboardInterrupt:
                self._stop(log, "interrupted", None)
                raise
            except Exception as error:
                self._stop(log, "failed", str(error))
                raise
            replace(manifest, status=status).save(self.folder)
            log(status)

    def _begin(self, log: Log, *, force: bool) -> Manifest:
        """The manifest with the steps that can be kept; every other file is removed."""
        old = None if force else load_manifest(self.folder)
        kept = self.plan.done(old, self.folder) if old else ()
        manifest = Manifest(self.plan.study.name, self.plan.key, steps=kept)
        manifest.save(self.folder)
        for path in unlisted_files(self.folder, manifest):
            (self.folder / path).unlink()
        manifest = replace(manifest, steps=(self.plan.write_head(self.folder), *kept))
        manifest.save(self.folder)
        log("started", key=self.plan.key, kept=[record.step for record in kept])
        return manifest

    def _ensure(self, notebook: Notebook, manifest: Manifest, log: Log) -> Manifest:
        if manifest.step(notebook.name):
            self.watch.reused(notebook.name)
            return manifest
        self.watch.begin(notebook.name, len(notebook.content["cells"]))
        log("step started", step=notebook.name)
        self._execute(notebook)
        key = self.plan.key_of(notebook, manifest.steps[1:])
        manifest = manifest.with_step(Record(notebook.name, key, record_files(self.folder, manifest)))
        manifest.save(self.folder)
        log("step finished", step=notebook.name, seconds=round(self.watch.end(), 3))
        return manifest

    def _execute(self, notebook: Notebook) -> None:
        parameters = {
            "study": str(self.plan.study.path),
            "run": str(self.folder),
            "overrides": dict(self.plan.overrides),
        }
        try:
            executed = execute(notebook, parameters, self.watch.cell, **self.kernel)
        except StepError as error:
            if error.notebook is not None:
                self._keep(notebook, error.notebook)
            raise
        self._keep(notebook, executed)

    def _keep(self, notebook: Notebook, executed: dict[str, Any]) -> None:
        content = json_bytes(normalised(executed, self.plan.study.path.name))
        write_bytes(self.folder / notebook.path.name, content)

    def _stop(self, log: Log, status: str, error: str | None) -> None:
        manifest = load_manifest(self.folder)
        if manifest is not None:
            replace(manifest, status=status, error=error).save(self.folder)
        log(status, error=error)


def run_study(plan: Plan, folder: Path, watch: Watch, kernel: dict[str, Any], *, force: bool = False) -> None:
    """Make a study's run in its folder, and let `latest` beside it say so.

    Raises:
        RunError: the folder cannot be written, or is in use.
        StepError: a step failed.
    """
    Maker(plan, folder, watch, kernel).make(plan.notebooks, "complete", force=force)
    write_bytes(folder.parent / "latest", f"{plan.key}\n".encode())


def make_before(plan: Plan, step: str, folder: Path, watch: Watch, kernel: dict[str, Any]) -> None:
    """Make the steps before one, for a notebook that is run by hand."""
    Maker(plan, folder, watch, kernel).make(plan.earlier(step), BY_HAND)


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """The folder for one run alone; the system opens the lock when its holder dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder.parent / f".{folder.name}.lock").open("w")
    except OSError as error:
        raise RunError(
            f"{folder} cannot be made: {error.strerror}; free the place or give --reports DIR"
        ) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"another run is at work in {folder}; wait for it, or give --reports DIR"
            ) from None
        yield
