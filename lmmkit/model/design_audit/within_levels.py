"""What varies within the levels of a grouping factor, how often it is seen there, and what that leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from lmmkit.model.design.variables import Values
from lmmkit.model.table.columns import Floats, Ints, Mask
from lmmkit.model.table.grouping import Grouping

ALIKE = 1e-8  # share of a column's size within a level that is left of it by the others, and is rounding


def cells_of(values: Iterable[Values], rows: int) -> Ints:
    """(n,) a number for each row, the same where all of some variables have the same values."""
    cells = np.zeros(rows, np.intp)
    for one in values:
        columns = [one.codes] if one.variable.kind == "factor" else np.atleast_2d(one.numbers.T)
        for column in columns:
            cells = _paired(cells, np.unique(column, return_inverse=True)[1])
    return cells


def _paired(one: Ints, two: Ints) -> Ints:
    """(n,) a number for each pair of numbers that occurs."""
    width = int(two.max()) + 1
    return np.unique(one * width + two, return_inverse=True)[1].astype(np.intp, copy=False)


class Levels:
    """The rows of each level that has any; a row with several memberships is a row of each of its levels.

    Attributes:
        grouping: The grouping factor.
        rows: (e,) the row of each membership, by level.
        codes: (e,) its level among those that have rows.
        counts: (J,) rows of each of these.
    """

    def __init__(self, grouping: Grouping) -> None:
        self.grouping = grouping
        held = [(np.flatnonzero(weights), codes[weights != 0]) for codes, weights in grouping.held]
        rows = np.concatenate([where for where, _ in held])
        codes = np.unique(np.concatenate([codes for _, codes in held]), return_inverse=True)[1]
        order = np.argsort(codes, kind="stable")
        self.rows: Ints = rows[order]
        self.codes: Ints = codes[order].astype(np.intp, copy=False)
        self.counts: Ints = np.bincount(self.codes)

    @property
    def size(self) -> int:
        """Levels with rows."""
        return len(self.counts)

    @cached_property
    def starts(self) -> Ints:
        """(J,) the place where each level's rows begin."""
        return np.concatenate([[0], np.cumsum(self.counts)[:-1]])

    def varying(self, cells: Ints) -> Mask:
        """(J,) whether some cells (n,) differ within a level."""
        mine = cells[self.rows]
        return np.minimum.reduceat(mine, self.starts) != np.maximum.reduceat(mine, self.starts)

    def cell_counts(self, cells: Ints) -> tuple[Ints, Ints]:
        """How many different cells (n,) each level has, and how many rows each cell of each level."""
        width = int(cells.max()) + 1
        pairs, counts = np.unique(self.codes * width + cells[self.rows], return_counts=True)
        return np.bincount(pairs // width, minlength=self.size), counts

    def between_share(self, column: Floats) -> float:
        """The share of a column's variance that lies between the levels, 0 to 1."""
        x = column[self.rows] - column[self.rows].mean()
        means = np.bincount(self.codes, x) / self.counts
        total = float(x @ x)
        return float(self.counts @ means**2) / total if total else 1.0


class Span:
    """Columns of Z, and the rank that they have within each level.

    Attributes:
        levels: The levels.
        rank: (J,) of the columns taken so far.
    """

    def __init__(self, levels: Levels) -> None:
        self.levels = levels
        self.rank: Ints = np.zeros(levels.size, np.intp)
        self._taken: list[Floats] = []

    def with_columns(self, columns: Sequence[Floats]) -> Span:
        """The same with further columns, each (n,): Gram and Schmidt's, in all levels at once."""
        wider = Span(self.levels)
        wider.rank, wider._taken = self.rank.copy(), [*self._taken]
        for column in columns:
            wider._take(column[self.levels.rows])
        return wider

    def _take(self, column: Floats) -> None:
        size = self._sizes(column)
        left = column.astype(float)
        for _ in range(2):  # twice is enough
            for other in self._taken:
                left = left - (np.add.reduceat(left * other, self.levels.starts))[self.levels.codes] * other
        rest = self._sizes(left)
        there = rest > ALIKE * size
        self.rank += there
        self._taken.append(left * np.where(there, 1.0 / np.where(there, rest, 1.0), 0.0)[self.levels.codes])

    def _sizes(self, column: Floats) -> Floats:
        """(J,) length of a column within each level."""
        return np.sqrt(np.add.reduceat(column**2, self.levels.starts))

    @property
    def replicated(self) -> Mask:
        """(J,) whether a level has more rows than these columns take up."""
        return self.levels.counts > self.rank
