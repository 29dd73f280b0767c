"""What a run of a study will be, known before its first step: notebooks, data, key, places."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lmmkit.errors import Findings, RunError, StudyError
from lmmkit.study.data.known_files import pinned
from lmmkit.study.data.sources import ALLOW_OUTSIDE, ROOT, Base, check_pin, find_source, sha256_of
from lmmkit.study.files.study import Study, load_study, raise_placed
from lmmkit.study.records.artifacts import json_bytes, sha256, write_bytes
from lmmkit.study.records.keys import PROVENANCE, machine, package_digest, run_key, step_key, versions
from lmmkit.study.records.manifest import File, Manifest, Record, load_manifest, verified
from lmmkit.study.records.notebooks import ASKED, Notebook, steps_of
from lmmkit.study.records.plan_lock import lock_files, lock_path
from lmmkit.study.records.trusted_notebooks import find_notebooks, has_notebooks, project_of

HEAD = "study"


@dataclass(frozen=True)
class Plan:
    """A run before it is made.

    Attributes:
        study: The resolved study.
        overrides: What was changed in the file's settings.
        base: Where its data may be read from.
        source: The data file.
        data: Digest of the data file.
        found: All notebooks that there are for its project, those of steps that it does not have included.
    """

    study: Study
    overrides: Mapping[str, object]
    base: Base
    source: Path
    data: str
    found: tuple[Notebook, ...]

    @cached_property
    def notebooks(self) -> tuple[Notebook, ...]:
        """One per step, in order.

        Raises:
            RunError: the study asks for a step that has no notebook.
        """
        settings = self.study.resolved()
        there = {book.number for book in self.found}
        for number, key in ASKED.items():
            if settings.get(key) is not None and number not in there:
                raise RunError(
                    f"the study asks for `{key}`, and the project's own notebooks have none for its step "
                    f"({number}_...): copy it from the installed ones, or leave `{key}` out"
                )
        return tuple(steps_of(self.found, settings))

    @property
    def key(self) -> str:
        """The run's key: 12 hexadecimal digits."""
        return run_key(self.study, self.data, self.notebooks, self.lock)

    @cached_property
    def lock(self) -> str | None:
        """Digest of the study's lock, where it has one."""
        path = lock_path(self.study.path)
        return sha256_of(path) if path.exists() else None

    def folder(self, reports: Path) -> Path:
        """The run folder."""
        return reports / self.study.name / self.key

    def finished(self, folder: Path) -> bool:
        """Whether a folder holds the complete run, untouched."""
        manifest = load_manifest(folder)
        if manifest is None or (manifest.key, manifest.status) != (self.key, "complete"):
            return False
        return len(self.done(manifest, folder)) == len(self.notebooks)

    def since(self, step: str) -> frozenset[str]:
        """The names of a step and of those after it.

        Args:
            step: Its name, or the beginning of it, such as `03`.

        Raises:
            StudyError: there is no such step.
        """
        names = [notebook.name for notebook in self.notebooks]
        first = next((i for i, name in enumerate(names) if name.startswith(step)), None)
        if first is None:
            raise StudyError(self.why_absent(step))
        return frozenset(names[first:])

    def why_absent(self, step: str) -> str:
        """Why the run has no step of a name, or of its beginning, and what to do."""
        names = [notebook.name for notebook in self.notebooks]
        key = ASKED.get(step[:2])
        if key is None or self.study.resolved().get(key) is not None:
            return f"no step {step}; there are {', '.join(names)}"
        told = f"{self.study.path.name} does not ask for {step}: give it the key `{key}:`"
        if all(book.number != step[:2] for book in self.found):
            return (
                f"{told}, and the project's own notebooks, which have none for its step ({step[:2]}_...), "
                "the installed one"
            )
        return f'{told}, or overrides such as {{"{key}.draws": 4000}}'

    def earlier(self, step: str) -> tuple[Notebook, ...]:
        """The steps before one, or all of them when it is none of the plan's."""
        names = [notebook.name for notebook in self.notebooks]
        return self.notebooks[: names.index(step)] if step in names else self.notebooks

    def done(self, manifest: Manifest, folder: Path) -> tuple[Record, ...]:
        """The leading steps of a folder that this plan would make again as they are, untouched since."""
        good: list[Record] = []
        for notebook in self.notebooks:
            record = manifest.step(notebook.name)
            if record is None or record.key != self.key_of(notebook, good) or not verified(record, folder):
                break
            good.append(record)
        return tuple(good)

    def key_of(self, notebook: Notebook, earlier: Sequence[Record]) -> str:
        """The key of a step, given the records of the steps before it."""
        head = self.head() if PROVENANCE in notebook.reads else {}
        return step_key(notebook, self.study, self.data, head, earlier)

    def provenance(self) -> dict[str, Any]:
        """Where the numbers come from: data, code, versions, the commands that make and audit them."""
        name, file, known = self.study.name, self.study.path, self.study.settings.model.known
        options = [f"--set={name}={json.dumps(value)}" for name, value in self.overrides.items()]
        place = f"params/{file.name}" if file.parent.name == "params" else file.name
        return {
            "study": name,
            "key": self.key,
            "source": self.study.settings.data.source,
            "sha256": self.data,
            **(
                {"known": {group: [file.source, file.sha256] for group, file in known.items()}}
                if known
                else {}
            ),
            "package": package_digest(),
            "notebooks": {notebook.name: notebook.digest for notebook in self.notebooks},
            "versions": versions(),
            "machine": machine(),
            "threads": 1,
            "overrides": dict(self.overrides),
            "lock": self.lock,
            "command": shlex.join(["lmmkit", "run", place, *options]),
            "audit": f"lmmkit audit reports/{name}/{self.key}",
        }

    def head(self) -> dict[str, bytes]:
        """The files that stand in a run folder before its first step."""
        return {
            "study.json": json_bytes(self.study.resolved()),
            "provenance.json": json_bytes(self.provenance()),
            **lock_files(self.study, self.data, self.notebooks),
        }

    def write_head(self, folder: Path) -> Record:
        """Write the files that stand before the first step; their record."""
        head = self.head()
        for name, content in head.items():
            write_bytes(folder / name, content)
        files = tuple(File(name, len(content), sha256(content)) for name, content in head.items())
        return Record(HEAD, self.key, files)


def make_plan(
    study_file: Path, overrides: Mapping[str, object] | None = None, *, allow_outside: bool = False
) -> Plan:
    """Read a study and find all that its run needs.

    Raises:
        StudyError: the study file is wrong; the data file is missing, outside the study's folder, or not the
            pinned one.
        RunError: the notebooks are not trusted, or not complete.
    """
    study = load_study(study_file, overrides)
    if study.name.startswith("."):
        raise StudyError(
            f"{study_file.name} has no name that a folder of runs can have; rename the study file"
        )
    base = base_of(study.folder, allow_outside=allow_outside)
    source, digest = _data_of(study, base, overrides or {})
    study = _with_known(study, base, overrides or {})
    return Plan(study, dict(overrides or {}), base, source, digest, tuple(find_notebooks(study.path)))


def base_of(folder: Path, *, allow_outside: bool) -> Base:
    """Where the data of a study in a folder may be read from."""
    root = os.environ.get(ROOT)
    return Base(folder, allow_outside or os.environ.get(ALLOW_OUTSIDE) == "1", Path(root) if root else None)


def _data_of(study: Study, base: Base, overrides: Mapping[str, object]) -> tuple[Path, str]:
    """The data file of a study and its digest, which is the pinned one."""
    data, found = study.settings.data, Findings()
    with found.part("data", "source"):
        source = find_source(data.source, base)
        digest = sha256_of(source)
        with found.part("data", "sha256"):
            check_pin(source, digest, data.sha256)
            return source, digest
    raise_placed(study, overrides, found.errors)
    raise AssertionError("what is not found is told")


def _with_known(study: Study, base: Base, overrides: Mapping[str, object]) -> Study:
    """The study with the digests of its pedigrees and matrices."""
    found = Findings()
    with found.part("model"):
        return replace(study, settings=pinned(study.settings, base))
    raise_placed(study, overrides, found.errors)
    raise AssertionError("what is not found is told")


def find_study(name: str) -> Path:
    """The study file of a notebook's `study` parameter: from the working directory, or beside `notebooks/`.

    Raises:
        StudyError: there is none.
    """
    for folder in (Path.cwd(), *([Path.cwd().parent] if Path.cwd().name == "notebooks" else [])):
        if (folder / name).exists():
            return folder / name
    raise StudyError(f"no study file at {name} from {Path.cwd()}; set `study` to the path of a study file")


def reports_folder(study_file: Path) -> Path:
    """Where a study's runs go when nothing is said: `reports` of the project that is worked in, or here."""
    here, project = Path.cwd().resolve(), project_of(study_file)
    return (project if has_notebooks(project) and here.is_relative_to(project) else here) / "reports"
