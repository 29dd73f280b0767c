"""The arrays of one estimation problem: what the engine is handed, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.structures import Structure


@dataclass(frozen=True, eq=False)
class Term:
    """One random-effects term: the rows' levels, its columns of Z, its covariance structure.

    Attributes:
        factor: Identity of the grouping factor; terms with one identity share `codes`.
        codes: (n,) level of each row, 0 to levels - 1; every level occurs.
        levels: Number of levels J.
        columns: Positions in `Problem.columns` of the k raw columns of Z.
        structure: What the covariance matrix of a level's k effects may be.
    """

    factor: int
    codes: Ints
    levels: int
    columns: tuple[int, ...]
    structure: Structure


@dataclass(frozen=True, eq=False)
class Problem:
    """y = X beta + Z b + e with its columns stored once, whichever of X and Z uses them.

    Attributes:
        columns: The distinct columns of X and Z, each (n,). A constant column may be
            `np.broadcast_to(1.0, n)`, which takes no memory.
        fixed: Positions in `columns` of the p columns of X, in order.
        response: (n,) y.
        terms: The random-effects terms, in any order.
        weights: (n,) positive prior weights, or None.
        offset: (n,) known part of the mean, or None.
    """

    columns: tuple[Floats, ...]
    fixed: tuple[int, ...]
    response: Floats
    terms: tuple[Term, ...]
    weights: Floats | None = None
    offset: Floats | None = None
