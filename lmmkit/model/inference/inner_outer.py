"""nlme's denominator degrees of freedom: by the level within which a column of X varies.

Reference: Pinheiro & Bates (2000), Mixed-Effects Models in S and S-PLUS, section 2.4.2; nlme's `getFixDF`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.errors import FitError
from lmmkit.model.design.design import Design
from lmmkit.model.table.grouping import Grouping, determines


@dataclass(frozen=True, eq=False)
class Strata:
    """The strata of a nested design: one for each grouping factor, coarsest first, and the rows.

    Attributes:
        sizes: (strata,) number of groups, then of rows.
        columns: (p,) stratum of each column of X; -1 for a constant one.
        terms: Columns of each fixed term.
    """

    sizes: Ints
    columns: Ints
    terms: tuple[tuple[int, ...], ...]

    def coefficients(self) -> Floats:
        """(p,) degrees of freedom of the t test of each coefficient."""
        left = self._left(self.columns[self.columns >= 0])
        return np.where(self.columns < 0, left.max(), left[self.columns])

    def term(self, own: tuple[int, ...]) -> float:
        """Denominator degrees of freedom of the F test of a term, from its columns."""
        strata = [self.columns[list(columns)].max() for columns in self.terms for _ in columns if columns]
        left = self._left(np.array([s for s in strata if s >= 0], np.intp))
        mine = int(self.columns[list(own)].max())
        return float(left.max() if mine < 0 else left[mine])

    def _left(self, used: Ints) -> Floats:
        """What is left in each stratum by columns that are estimated there.

        The intercept takes one from the coarsest; without one every finer stratum keeps one more.
        """
        left = np.diff(self.sizes, prepend=0) - np.bincount(used, minlength=len(self.sizes))
        if (self.columns < 0).any():
            left[0] -= 1
        else:
            left[1:] += 1
        return left.astype(np.float64)


def strata(design: Design, kept: Sequence[int]) -> Strata:
    """The strata of a design, and of the columns of X that are kept.

    Raises:
        FitError: Its grouping factors are crossed.
    """
    groupings = sorted(design.groupings, key=lambda grouping: grouping.size)
    for coarse, fine in pairwise(groupings):
        if not determines(fine, coarse):
            raise FitError(
                f"df='inner-outer' is defined for nested grouping factors; {coarse.name} and {fine.name} are "
                "crossed. Use df='kenward-roger', 'satterthwaite' or 'containment'."
            )
    problem = design.problem
    columns = np.array([_stratum(x, groupings) for x in problem.X(kept).T], dtype=np.intp)
    terms = tuple(tuple(kept.index(c) for c in term.columns if c in kept) for term in design.fixed_terms)
    sizes = np.array([*(g.size for g in groupings), len(problem.response)], np.intp)
    return Strata(sizes, columns, terms)


def _stratum(x: Floats, groupings: list[Grouping]) -> int:
    """The finest stratum whose coarser neighbour has a group within which a column varies."""
    if (x == x[0]).all():
        return -1
    varies = [k + 1 for k, grouping in enumerate(groupings) if not constant_within(x, grouping.codes)]
    return max(varies, default=0)


def constant_within(x: Floats, codes: Ints) -> bool:
    """Whether a column has one value within every level."""
    one = np.empty(int(codes.max()) + 1)
    one[codes] = x
    return bool((one[codes] == x).all())
