"""The cells of a sweep: the base study under each choice, planned before any is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from lmmkit.errors import DataError, StudyError
from lmmkit.study.data.known_files import pinned
from lmmkit.study.data.sources import check_pin, find_source, sha256_of
from lmmkit.study.files.faults import NOWHERE, raise_faults
from lmmkit.study.files.study import changes, resolve
from lmmkit.study.files.sweep_file import Choice, SweepFile, check_size, read_sweep
from lmmkit.study.files.yaml12 import Fault, Position, dotted, read_yaml
from lmmkit.study.records.keys import digest
from lmmkit.study.runs.plan import Plan, make_plan


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        number: From 1, in the order of the sweep file.
        overrides: What it changes in the base study.
        plan: Its run.
        error: Why it cannot be run; then the plan is the base's.
    """

    number: int
    overrides: Mapping[str, Any]
    plan: Plan
    error: str | None = None

    @cached_property
    def key(self) -> str:
        """The key of its run."""
        return self.plan.key

    @property
    def label(self) -> str:
        """Its settings on a line."""
        return label(self.overrides)

    def is_made(self, reports: Path) -> bool:
        """Whether its run is there, complete and untouched."""
        return self.error is None and self.plan.finished(self.plan.folder(reports))


@dataclass(frozen=True)
class SweepPlan:
    """A sweep before it is made.

    Attributes:
        file: The sweep file.
        base: The run of the base study.
        cells: Its cells.
        replicates: Number of replicates for the inference over the curve; 0 for none.
    """

    file: SweepFile
    base: Plan
    cells: tuple[Cell, ...]
    replicates: int = 0

    @cached_property
    def key(self) -> str:
        """The sweep's key: 12 hexadecimal digits."""
        return digest([self.file.name, self.resolved()])[:12]

    @property
    def title(self) -> str:
        """The title of its page."""
        return self.file.settings.title or str(self.base.study.settings.title)

    def folder(self, reports: Path) -> Path:
        """Where its table and its page lie."""
        return reports / self.file.name / self.key

    def resolved(self) -> dict[str, Any]:
        """What the sweep is, in full."""
        settings = self.file.settings
        return {
            "title": self.title,
            "base": settings.base,
            "summary": settings.summary,
            "on_error": settings.on_error,
            "replicates": self.replicates,
            "cells": [
                {"cell": c.number, "run": None if c.error else c.key, "settings": dict(c.overrides)}
                for c in self.cells
            ],
        }


def label(overrides: Mapping[str, Any]) -> str:
    """Settings on a line, as in a table.

    >>> label({"model.method": "ML", "data.exclude": ["x > 1"]})
    'model.method=ML, data.exclude=["x > 1"]'
    """
    settings = [f"{name}={setting_text(value)}" for name, value in overrides.items()]
    return ", ".join(settings) or "as in the base study"


def setting_text(value: Any) -> str:
    """A setting in a table: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plan_sweep(
    path: Path, *, replicates: int = 0, yes: bool = False, allow_outside: bool = False
) -> SweepPlan:
    """A sweep, known in full before its first cell.

    Raises:
        StudyError: the sweep file, its base study or a cell is wrong.
        DataError: the base study's data cannot be found.
    """
    file = read_sweep(path)
    check_size(file, yes=yes)
    base = make_plan(file.base, allow_outside=allow_outside)
    return SweepPlan(file, base, tuple(_plan_cells(file, base)), replicates)


def listing(sweep: SweepPlan, reports: Path) -> Iterator[str]:
    """The cells on a line each: number, run, whether it is there, settings."""
    for cell in sweep.cells:
        state = "cannot run" if cell.error else "there" if cell.is_made(reports) else "to do"
        yield f"{cell.number:>5}  {'-' if cell.error else cell.key:12}  {state:10}  {cell.label}"
    yield f"{len(sweep.cells):,} cells; nothing was run"


def _plan_cells(sweep: SweepFile, base: Plan) -> list[Cell]:
    """All cells; every fault of every cell is told at its place in the sweep file."""
    choices, document = list(sweep.choices()), read_yaml(sweep.base)
    plans, faults = list[Plan](), dict[Fault, None]()
    for choice in choices:
        try:
            settings, found = resolve(document, base.study.name, choice.overrides)
        except StudyError as error:
            settings, found = None, [Fault(NOWHERE, (), str(error).removeprefix("override: "))]
        faults |= dict.fromkeys(_placed(fault, choice, sweep) for fault in found)
        if settings is not None:
            study = replace(base.study, settings=settings)
            # A setting that is the base's own is not one of the cell's changes.
            overrides = changes(base.study, study, choice.overrides)
            plans.append(replace(base, study=study, overrides=overrides))
    raise_faults(sweep.path, faults)
    digest_of = cache(sha256_of)
    pairs = zip(choices, plans, strict=True)
    cells = [_cell(number, choice, plan, digest_of) for number, (choice, plan) in enumerate(pairs, 1)]
    raise_faults(sweep.path, _repeated(cells, choices, sweep))
    return cells


def _placed(fault: Fault, choice: Choice, sweep: SweepFile) -> Fault:
    """A fault of a resolved study at the override that brought it in."""
    where = dotted(fault.key)
    guilty = [name for name in choice.overrides if _related(name, where)]
    same = [name for name in choice.overrides if name.split(".")[0] == where.split(".")[0]]
    name = next(iter([*guilty, *same, *choice.overrides]), None)
    place = sweep.place(choice.origins[name]) if name else Position(1, 1)
    message = fault.message if guilty or not where else f"{fault.message} (under {label(choice.overrides)})"
    return Fault(place, fault.key, message)


def _related(name: str, where: str) -> bool:
    return name == where or where.startswith((f"{name}.", f"{name}[")) or name.startswith(f"{where}.")


def _cell(number: int, choice: Choice, plan: Plan, digest_of: Callable[[Path], str]) -> Cell:
    """A cell, whose data may be others than the base's."""
    data = plan.study.settings.data
    try:
        source = find_source(data.source, plan.base)
        check_pin(source, digest_of(source), data.sha256)
        study = replace(plan.study, settings=pinned(plan.study.settings, plan.base))
    except DataError as error:
        return Cell(number, choice.overrides, plan, str(error))
    plan = replace(plan, study=study)
    return Cell(number, choice.overrides, replace(plan, source=source, data=digest_of(source)))


def _repeated(cells: Sequence[Cell], choices: Sequence[Choice], sweep: SweepFile) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for cell, choice in zip(cells, choices, strict=True):
        earlier = first.setdefault(cell.key, cell.number)
        if earlier != cell.number:
            place = sweep.place(next(iter(choice.origins.values()), ("add",)))
            message = f"cell {cell.number} ({cell.label}) repeats cell {earlier}: it would count twice"
            yield Fault(place, (), message)
