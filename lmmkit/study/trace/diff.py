"""What moved between two runs, and why: each number's way from one to the other, a cause at a time.

One study is changed into the other in stages (code and versions, rows, parameters, seed), each stage is
executed, and what a number moves by in a stage is that stage's doing. Where only one cause is not the same,
nothing has to be executed.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lmmkit.errors import LmmkitError, RunError
from lmmkit.study.audit.integrity import Opened, open_run
from lmmkit.study.audit.rerun import Recipe, find_data, recipe_of, run_again, to_execute
from lmmkit.study.records.plan_lock import LOCK
from lmmkit.study.records.quantities import quantities
from lmmkit.study.trace.diff_causes import (
    CODE,
    PARAMETERS,
    ROWS,
    SEED,
    VERSIONS,
    Change,
    changes,
    is_current,
    stages,
)

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Move:
    """A number that is not the same in two runs.

    Attributes:
        name: Its name.
        one: Its value in the first run; NaN where it has none.
        other: Its value in the second.
        shares: What it moved by for each cause; empty where that was not found out.
    """

    name: str
    one: float
    other: float
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Difference:
    """What is not the same in two runs.

    Attributes:
        changes: In what they were made from.
        moves: In their numbers.
        note: Why numbers could not be attributed; empty where they were.
    """

    changes: tuple[Change, ...]
    moves: tuple[Move, ...]
    note: str = ""


def diff_runs(
    first: Path,
    second: Path,
    *,
    data: Sequence[Path] = (),
    notebooks: Path | None = None,
    execute: bool = True,
) -> Difference:
    """Compare two runs and attribute what moved.

    Args:
        first: A run folder.
        second: Another.
        data: Data files, when they are not where the studies had them.
        notebooks: The project's own notebooks, when they are to be executed instead of the installed ones.
        execute: Whether studies may be executed.

    Raises:
        RunError: one is no run folder.
    """
    one, other = open_run(first), open_run(second)
    made = changes(one, other)
    start, end = numbers_of(one), numbers_of(other)
    causes = _told_apart(made)
    if len(causes) <= 1 or not execute:
        note = "" if execute or len(causes) <= 1 else "several causes, and execution was not asked for"
        return Difference(tuple(made), _moves(start, end, _whole(causes, start, end)), note)
    try:
        legs = _legs(one, other, data, notebooks, causes)
    except LmmkitError as error:
        return Difference(tuple(made), _moves(start, end, {}), f"not attributed: {error}")
    return Difference(tuple(made), _moves(start, end, legs))


def numbers_of(run: Opened) -> dict[str, float]:
    """The named numbers of a run."""
    found = quantities(run.folder)
    summary: dict[str, object] = run.json("summary.json") if run.content("summary.json") else {}
    named = {**summary, **{name: quantity.value for name, quantity in found.items()}}
    return {name: float(value) for name, value in named.items() if isinstance(value, int | float)}


def _told_apart(made: Sequence[Change]) -> list[str]:
    """The causes that execution can tell apart: versions and code of one lmmkit come and go together."""
    causes = list(dict.fromkeys(change.cause for change in made))
    programme = [cause for cause in (VERSIONS, CODE) if cause in causes]
    others = [cause for cause in causes if cause not in programme]
    return [*others, " and ".join(programme)] if programme else others


def _whole(causes: list[str], start: Numbers, end: Numbers) -> dict[str, tuple[Numbers, Numbers]]:
    """One cause alone explains all."""
    return {causes[0]: (start, end)} if len(causes) == 1 else {}


def _moves(start: Numbers, end: Numbers, legs: Mapping[str, tuple[Numbers, Numbers]]) -> tuple[Move, ...]:
    moved = list[Move]()
    for name in dict.fromkeys([*start, *end]):
        a, b = start.get(name, math.nan), end.get(name, math.nan)
        if _same(a, b):
            continue
        sides = {cause: (at.get(name, math.nan), to.get(name, math.nan)) for cause, (at, to) in legs.items()}
        moved.append(Move(name, a, b, {cause: y - x for cause, (x, y) in sides.items() if not _same(x, y)}))
    return tuple(moved)


def _same(one: float, other: float) -> bool:
    """Equal, or absent from both."""
    return one == other or (math.isnan(one) and math.isnan(other))


def _legs(
    one: Opened, other: Opened, data: Sequence[Path], notebooks: Path | None, causes: list[str]
) -> dict[str, tuple[Numbers, Numbers]]:
    """Where the numbers stood before and after each cause."""
    books = {book.name: book.digest for book in to_execute(notebooks)}
    first, last = (recipe_of(run.settings, run.provenance, run.content(LOCK)) for run in (one, other))
    programme = next((cause for cause in causes if cause not in (ROWS, PARAMETERS, SEED)), "")
    before, after = (is_current(run.provenance, books) for run in (one, other))
    if programme and not (before or after):
        raise RunError("neither run was made by what is installed now; install the lmmkit of one of them")
    legs = dict[str, tuple[Numbers, Numbers]]()
    at = numbers_of(one)
    with tempfile.TemporaryDirectory(prefix="lmmkit-") as folder:
        kitchen = _Kitchen((one, other), data, notebooks, Path(folder))
        if programme and after:
            to = kitchen.made(first)
            legs[programme], at = (at, to), to
        way = stages(first, last)
        for cause, recipe in way:
            done = recipe == way[-1][1] and (after or not programme)
            to = numbers_of(other) if done else kitchen.made(recipe)
            legs[cause], at = (at, to), to
        if programme and not after:
            legs[programme] = (at, numbers_of(other))
    return legs


@dataclass
class _Kitchen:
    """Where recipes are executed, each in a room of its own."""

    runs: tuple[Opened, Opened]
    data: Sequence[Path]
    notebooks: Path | None
    folder: Path
    count: int = 0

    def made(self, recipe: Recipe) -> dict[str, float]:
        """The numbers of a recipe, executed."""
        self.count += 1
        # Between the two studies stands one that nobody locked.
        plain = replace(recipe, lock=None, overrides={})
        place = self.folder / str(self.count)
        return numbers_of(open_run(run_again(plain, self._data(recipe), place, self.notebooks, cold=False)))

    def _data(self, recipe: Recipe) -> Path:
        for near in self.runs:
            for given in (*self.data, None):
                found = find_data(recipe, near.folder, given).path
                if found is not None:
                    return found
        digest = recipe.sha256[:12]
        raise RunError(f"{recipe.source} (sha256 {digest}) was not found; name it with --data FILE")
