"""The cells of a sweep: the base study under each choice, planned before any is made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

from lmmkit.errors import DataError, StudyError
from lmmkit.study.data.sources import check_pin, find_source, sha256_of
from lmmkit.study.files.faults import NOWHERE, raise_faults
from lmmkit.study.files.study import Study, changes, resolve
from lmmkit.study.files.sweep_file import Choice, SweepFile
from lmmkit.study.files.yaml12 import Document, Fault, Position, dotted, read_yaml
from lmmkit.study.runs.plan import Plan


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


def label(overrides: Mapping[str, Any]) -> str:
    """Settings on a line, as in a table.

    >>> label({"model.method": "ML", "data.exclude": ["x > 1"]})
    'model.method=ML, data.exclude=["x > 1"]'
    """
    return ", ".join(f"{name}={shown(value)}" for name, value in overrides.items()) or "as in the base study"


def shown(value: Any) -> str:
    """A setting in a table: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plan_cells(sweep: SweepFile, base: Plan) -> list[Cell]:
    """All cells of a sweep.

    Args:
        sweep: The sweep file.
        base: The run of its base study.

    Raises:
        StudyError: a cell is wrong; every fault with its place.
    """
    choices = list(sweep.choices())
    studies = _resolved(sweep, choices, base.study)
    digest = cache(sha256_of)
    cells = [
        _cell(number, choice, _planned(base, study, choice), digest)
        for number, (choice, study) in enumerate(zip(choices, studies, strict=True), 1)
    ]
    _refuse_repeated(cells, sweep)
    return cells


def _resolved(sweep: SweepFile, choices: Sequence[Choice], base: Study) -> list[Study]:
    """The base study under each choice."""
    document, studies = read_yaml(sweep.base), list[Study]()
    faults: dict[Fault, None] = {}
    for choice in choices:
        settings, found = _settled(document, base.name, choice)
        faults |= dict.fromkeys(_placed(fault, choice, sweep) for fault in found)
        if settings is not None:
            studies.append(replace(base, settings=settings))
    if faults:
        raise_faults(sweep.path, faults)
    return studies


def _planned(base: Plan, study: Study, choice: Choice) -> Plan:
    """The base's run under a choice; a setting that is the base's own is not one of its changes."""
    return replace(base, study=study, overrides=changes(base.study, study, choice.overrides))


def _settled(document: Document, name: str, choice: Choice) -> tuple[Any, list[Fault]]:
    try:
        return resolve(document, name, choice.overrides)
    except StudyError as error:
        return None, [Fault(NOWHERE, (), str(error).removeprefix("override: "))]


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


def _cell(number: int, choice: Choice, plan: Plan, digest: Any) -> Cell:
    """A cell, whose data may be others than the base's."""
    data = plan.study.settings.data
    try:
        source = find_source(data.source, plan.base)
        check_pin(source, digest(source), data.sha256)
    except DataError as error:
        return Cell(number, choice.overrides, plan, str(error))
    return Cell(number, choice.overrides, replace(plan, source=source, data=digest(source)))


def _refuse_repeated(cells: Sequence[Cell], sweep: SweepFile) -> None:
    faults = list(_repeated(cells, list(sweep.choices()), sweep))
    if faults:
        raise_faults(sweep.path, faults)


def _repeated(cells: Sequence[Cell], choices: Sequence[Choice], sweep: SweepFile) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for cell, choice in zip(cells, choices, strict=True):
        earlier = first.setdefault(cell.key, cell.number)
        if earlier != cell.number and cell.error is None:
            place = sweep.place(next(iter(choice.origins.values()), ("add",)))
            message = f"cell {cell.number} ({cell.label}) repeats cell {earlier}: it would count twice"
            yield Fault(place, (), message)
