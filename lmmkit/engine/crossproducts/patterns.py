"""Patterns: the sets of cells that subjects have rows in. Subjects of one pattern share every matrix.

Within a pattern the rows of each subject are in the order of cells, whatever their order in the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.problem import Residual
from lmmkit.errors import FitError

BITS = 62  # cells that one whole number tells of
LEAST_SHARE = 1e-12  # of a row's variance that the earlier ones do not determine: below, R is singular
WIDEST = 1e60  # ratio of two variances in R beyond which numbers have no room
SINGULAR = "The residual covariance matrix is not positive definite."
OUT_OF_RANGE = "The residual covariance matrix has left the range of floating-point numbers."


class Pattern(NamedTuple):
    """Subjects with the same cells.

    Attributes:
        cells: (t,) increasing.
        rows: (S_p, t) positions of their rows.
    """

    cells: Ints
    rows: Ints


@dataclass(frozen=True, eq=False)
class Patterns:
    """All patterns of a problem that have t cells, side by side.

    Attributes:
        cells: (B, t) of each pattern.
        counts: (B,) its subjects.
        rows: (S, t) positions of the rows of all their subjects, pattern by pattern.
    """

    cells: Ints
    counts: Ints
    rows: Ints

    @property
    def pattern(self) -> Ints:
        """(S,) the pattern of each subject."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def starts(self) -> Ints:
        """(B + 1,) the first subject of each pattern, and their number."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def some(self, here: slice) -> Patterns:
        """Some of them."""
        starts = self.starts
        first, last, _ = here.indices(len(self.counts))
        return Patterns(self.cells[here], self.counts[here], self.rows[starts[first] : starts[last]])

    def inside(self, A: Floats) -> Floats:
        """(..., B, t, t) what each pattern has of (..., T, T)."""
        return A[..., self.cells[:, :, None], self.cells[:, None, :]]

    def each(self) -> Iterator[Pattern]:
        """One after the other."""
        ends = np.cumsum(self.counts)
        for cells, count, end in zip(self.cells, self.counts, ends, strict=True):
            yield Pattern(cells, self.rows[end - count : end])


def patterns_of(residual: Residual) -> tuple[Patterns, ...]:
    """The patterns by their number of cells, which rises.

    Raises:
        FitError: A subject has two rows in one cell.
    """
    cells, T = residual.cells, residual.structure.size
    order = _by_subject(residual, cells)
    _refuse_two_rows(residual, order, cells)
    if len(set(residual.structure.visits)) < T:  # cells that share a visit
        visits = residual.structure.visits[cells]
        _refuse_two_rows(residual, _by_subject(residual, visits), visits)
    subjects = residual.subjects[order]
    starts = np.flatnonzero(np.diff(subjects, prepend=-1))
    sizes = np.diff(starts, append=len(order))
    out = list[Patterns]()
    for t in np.unique(sizes):
        mine = starts[sizes == t]
        rows = order[mine[:, None] + np.arange(t)]
        own = cells[rows]
        first, inverse, counts = _distinct(own, T)
        by_pattern = np.argsort(inverse, kind="stable")
        out.append(Patterns(own[first], counts, rows[by_pattern]))
    return tuple(out)


def pairs_of(residual: Residual) -> Floats:
    """(T, T) how many subjects have rows in both of two cells."""
    pairs = np.zeros((residual.structure.size, residual.structure.size))
    for group in patterns_of(residual):
        for cells, count in zip(group.cells, group.counts, strict=True):
            pairs[np.ix_(cells, cells)] += count
    return pairs


def _distinct(cells: Ints, T: int) -> tuple[Ints, Ints, Ints]:
    """First occurrence, number of each row, and counts of the different rows of (S, t)."""
    if T <= BITS:
        key = np.left_shift(1, cells).sum(axis=1)
        found = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    else:
        found = np.unique(cells, axis=0, return_index=True, return_inverse=True, return_counts=True)
    return found[1], found[2].ravel(), found[3]


def _by_subject(residual: Residual, visits: Ints) -> Ints:
    """(n,) the rows by subjects, within them by numbers 0 to T - 1."""
    key = residual.subjects * residual.structure.size + visits
    return np.arange(len(key)) if (np.diff(key) > 0).all() else np.argsort(key, kind="stable")


def _refuse_two_rows(residual: Residual, order: Ints, visits: Ints) -> None:
    """A subject is seen once at each visit."""
    subjects = residual.subjects[order]
    twice = np.flatnonzero((np.diff(visits[order]) == 0) & (np.diff(subjects) == 0))
    if twice.size:
        row, others = order[twice[0]], len(np.unique(subjects[twice])) - 1
        more = f", and so {'has 1 other' if others == 1 else f'have {others} others'}" if others else ""
        raise FitError(
            f"Subject {residual.named(int(residual.subjects[row]))} has two rows at "
            f"{residual.structure.labels[residual.cells[row]]}{more}: a residual structure has one row per "
            "subject and visit. Keep one of them, average them, or say with another column which is which."
        )


def refuse_out_of_range(R: Floats) -> None:
    """Refuse covariance matrices (..., t, t) that are not finite, or whose variances are too far apart.

    Raises:
        FitError: Some are.
    """
    variances = np.einsum("...tt->...t", R)
    if not np.isfinite(R).all() or variances.max() > WIDEST * variances.min():
        raise FitError(OUT_OF_RANGE)
