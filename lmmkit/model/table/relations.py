"""How two grouping factors relate on the rows used: the same, one nested in the other, or crossed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lmmkit.model.table.grouping import Grouping

FEW = 12


@dataclass(frozen=True)
class Relation:
    """Two grouping factors, the finer one first.

    Attributes:
        fine: Name of the factor with more levels.
        coarse: Name of the other.
        kind: same, nested (each level of `fine` within one of `coarse`) or crossed.
        cells: Number of combinations of levels that occur.
    """

    fine: str
    coarse: str
    kind: str
    cells: int


def relations(groupings: Sequence[Grouping]) -> tuple[Relation, ...]:
    """The relation of every pair."""
    return tuple(_relation(a, b) for a, b in combinations(groupings, 2))


def _relation(first: Grouping, second: Grouping) -> Relation:
    fine, coarse = (first, second) if first.size >= second.size else (second, first)
    if determines(fine, coarse):
        return Relation(fine.name, coarse.name, "same" if fine.size == coarse.size else "nested", fine.size)
    return Relation(fine.name, coarse.name, "crossed", cell_count(fine, coarse))


def determines(fine: Grouping, coarse: Grouping) -> bool:
    """Whether each level of `fine` lies within one level of `coarse`."""
    parent = np.empty(fine.size, np.intp)
    parent[fine.codes] = coarse.codes
    return bool((parent[fine.codes] == coarse.codes).all())


def cell_count(first: Grouping, second: Grouping) -> int:
    """Number of combinations of levels that occur."""
    pairs = first.codes * second.size + second.codes
    if first.size * second.size <= 4 * len(pairs) + 65_536:
        return int(np.count_nonzero(np.bincount(pairs, minlength=1)))
    return len(np.unique(pairs))


def same_grouping(groupings: Sequence[Grouping]) -> tuple[str, str] | None:
    """Two factors that divide the rows alike, or None."""
    for a, b in combinations(groupings, 2):
        if a.size == b.size and determines(a, b):
            return a.name, b.name
    return None


def reused_labels(groupings: Sequence[Grouping]) -> list[str]:
    """Sentences about factors whose few labels begin anew within each level of another.

    Casks a, b, c within batches A, B, ... read as crossed although each batch has casks of its own. It is
    said when the labels are bare numbers or letters, those within every level of the other factor are the
    first ones, and the cells have several rows each: with one row the nested reading has no variance to
    estimate.
    """
    plain = [grouping for grouping in groupings if len(grouping.parts) == 1]
    return [
        text
        for few in plain
        if few.size <= FEW and _is_running(list(few.levels))
        for many in plain
        if few.size < many.size and (text := _reuse(few, many, groupings)) is not None
    ]


def _is_running(labels: list[str]) -> bool:
    """Whether labels are bare numbers or letters in a row: 1, 2, 3 or a, b, c."""
    numbers = all(label.isascii() and label.isdigit() for label in labels)
    letters = all(label.isascii() and label.isalpha() and len(label) == 1 for label in labels)
    if not (numbers or letters):
        return False
    places = sorted(int(label) if numbers else ord(label) for label in labels)
    return places == list(range(places[0], places[0] + len(places)))


def _reuse(few: Grouping, many: Grouping, groupings: Sequence[Grouping]) -> str | None:
    if any(
        {few.name, many.name} <= set(g.name.replace("(", "").replace(")", "").split(":")) for g in groupings
    ):
        return None
    counts = np.bincount(many.codes * few.size + few.codes, minlength=many.size * few.size)
    present = counts.reshape(many.size, few.size) > 0
    cells = int(present.sum())
    first_ones = bool((present[:, 1:] <= present[:, :-1]).all())
    if not first_ones or cells <= many.size or 2 * len(many.codes) < 3 * cells:
        return None
    return (
        f"`{few.name}` has {few.size} levels, but {cells} within `{many.name}`: if each level of "
        f"`{many.name}` has levels of `{few.name}` of its own under the same labels, "
        f"write (1 | {many.name}/{few.name})."
    )
