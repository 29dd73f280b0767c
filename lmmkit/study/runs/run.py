"""A study's run: every step in its turn, its files recorded, and the folder telling how far it came."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from lmmkit.errors import RunError
from lmmkit.study.records.artifacts import json_bytes, write_bytes
from lmmkit.study.records.file_lock import BusyError, locked, refuse_links
from lmmkit.study.records.log import NAME as LOG
from lmmkit.study.records.log import Log
from lmmkit.study.records.manifest import Manifest, Record, load_manifest, record_files, unlisted_files
from lmmkit.study.records.notebooks import Notebook, normalised
from lmmkit.study.records.ro_crate import NAME as CRATE
from lmmkit.study.records.ro_crate import write_crate
from lmmkit.study.records.step_store import Store
from lmmkit.study.runs.execute import StepError, execute
from lmmkit.study.runs.plan import Plan
from lmmkit.study.runs.progress import Watch


@dataclass(frozen=True)
class Maker:
    """Makes the steps of a plan in a folder.

    Attributes:
        plan: What to make.
        folder: The run folder.
        watch: Who is told.
        kernel: Options of the kernels.
        store: Where steps made before are found, and new ones kept.
        again: Steps to make even though they are there.
    """

    plan: Plan
    folder: Path
    watch: Watch
    kernel: dict[str, Any]
    store: Store
    again: Collection[str] = ()

    def make(self, notebooks: Sequence[Notebook], status: str, *, wait: bool = False) -> None:
        """Make the steps that are not there yet, and leave the folder saying `status`, or why not.

        Args:
            notebooks: The steps, in order.
            status: What the manifest says at the end.
            wait: Wait while another run is at work in the folder, or refuse.

        Raises:
            RunError: the folder cannot be written, or is in use.
            StepError: a step failed.
        """
        with _held(self.folder, wait=wait):
            log = Log(self.folder)
            manifest = self._begin(log)
            try:
                for notebook in notebooks:
                    manifest = self._ensure(notebook, manifest, log)
            except KeyboardInterrupt:
                self._stop(log, "interrupted", None)
                raise
            except BaseException as error:  # whatever ends a run, its folder says so
                with suppress(OSError, RunError):  # a full disk refuses this too; the first error is told
                    self._stop(log, "failed", str(error) or type(error).__name__)
                raise
            replace(manifest, status=status).save(self.folder)
            log(status)
            write_crate(self.folder)

    def _begin(self, log: Log) -> Manifest:
        """The manifest with the steps that can be kept; every other file is removed."""
        old = load_manifest(self.folder)
        done = self.plan.done(old, self.folder) if old else ()
        kept = tuple(takewhile(lambda record: record.step not in self.again, done))
        manifest = Manifest(self.plan.study.name, self.plan.key, steps=kept)
        manifest.save(self.folder)
        for path in (CRATE, *unlisted_files(self.folder, manifest)):
            (self.folder / path).unlink(missing_ok=True)
        manifest = replace(manifest, steps=(self.plan.write_head(self.folder), *kept))
        manifest.save(self.folder)
        log("started", key=self.plan.key, kept=[record.step for record in kept])
        return manifest

    def _ensure(self, notebook: Notebook, manifest: Manifest, log: Log) -> Manifest:
        if manifest.step(notebook.name):
            self.watch.reused(notebook.name)
            return manifest
        key = self.plan.key_of(notebook, manifest.steps[1:])
        with self.store.making(notebook.name, key):
            record = self._found(notebook, key, log) or self._made(notebook, key, manifest, log)
        manifest = manifest.with_step(record)
        manifest.save(self.folder)
        return manifest

    def _found(self, notebook: Notebook, key: str, log: Log) -> Record | None:
        """The step from the store, when it was made before."""
        record = None if notebook.name in self.again else self.store.find(notebook.name, key)
        if record:
            self.store.give(record, self.folder)
            log("step reused", step=notebook.name)
            self.watch.copied(notebook.name)
        return record

    def _made(self, notebook: Notebook, key: str, manifest: Manifest, log: Log) -> Record:
        """The step made now, and kept in the store."""
        self.watch.begin(notebook.name, len(notebook.content["cells"]))
        log("step started", step=notebook.name)
        self._execute(notebook)
        record = Record(notebook.name, key, record_files(self.folder, manifest))
        self.store.keep(record, self.folder)
        log("step finished", step=notebook.name, seconds=round(self.watch.end(), 3))
        return record

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
        content = json_bytes(normalised(executed, self.plan.study.path.name, self.plan.overrides))
        write_bytes(self.folder / notebook.path.name, content)

    def _stop(self, log: Log, status: str, error: str | None) -> None:
        manifest = load_manifest(self.folder)
        if manifest is not None:
            replace(manifest, status=status, error=error).save(self.folder)
        log(status, error=error)
        write_crate(self.folder)


def run_study(
    plan: Plan, folder: Path, watch: Watch, kernel: dict[str, Any], again: Collection[str] = ()
) -> None:
    """Make a study's run in its folder, and let `latest` beside it say so.

    Args:
        plan: The run.
        folder: Its folder, two below that of all runs.
        watch: Who is told.
        kernel: Options of the kernels.
        again: Steps to make even though they are there.

    Raises:
        RunError: the folder cannot be written, or is in use.
        StepError: a step failed.
    """
    _maker(plan, folder, watch, kernel, again).make(plan.notebooks, "complete")
    write_bytes(folder.parent / "latest", f"{plan.key}\n".encode())


def make_cell(
    plan: Plan, folder: Path, watch: Watch, kernel: dict[str, Any], again: Collection[str] = ()
) -> None:
    """Make a run that is one of a sweep's: another process at work on it is waited for, and finds it then.

    Raises:
        RunError: the folder cannot be written.
        StepError: a step failed.
    """
    _maker(plan, folder, watch, kernel, again).make(plan.notebooks, "complete", wait=True)


def _maker(plan: Plan, folder: Path, watch: Watch, kernel: dict[str, Any], again: Collection[str]) -> Maker:
    return Maker(plan, folder, watch, kernel, Store.of(folder.parents[1]), again)


@contextmanager
def _held(folder: Path, *, wait: bool) -> Generator[None]:
    """The folder for one run alone."""
    refuse_links(folder, folder.parent, folder / LOG)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be made: {error.strerror}; free the place or give --reports DIR"
        ) from None
    try:
        with locked(folder.with_name(f".{folder.name}.lock"), wait=wait):
            yield
    except BusyError:
        raise RunError(f"another run is at work in {folder}; wait for it, or give --reports DIR") from None
