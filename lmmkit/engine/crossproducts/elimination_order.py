"""Which grouping factors are nested in which, and in what order they are eliminated.

Factors 1 c 2 c ... c s form a chain: each level of one has a single level of the next as its parent, so their
elimination makes no fill. The factors crossed with the chain are the rest, eliminated together as one dense
matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lmmkit.engine.crossproducts.scaling import Prepared
from lmmkit.engine.problem import Floats, Ints, Problem


@dataclass(frozen=True, eq=False)
class Factor:
    """A grouping factor with the columns of all its terms.

    Attributes:
        codes: (n,) level of each row, numbered so that children of one parent are contiguous.
        levels: J.
        order: (J,) the caller's number of each level.
        rows: Positions of its k columns in `Prepared.rows`.
        pieces: For each term on this factor its position in the problem, and its columns here.
        blocks: Column sets, each with an unstructured covariance matrix of its own.
    """

    codes: Ints
    levels: int
    order: Ints
    rows: tuple[int, ...]
    pieces: tuple[tuple[int, slice], ...]
    blocks: tuple[tuple[int, ...], ...]

    @property
    def width(self) -> int:
        """k, the columns a level has."""
        return len(self.rows)

    @cached_property
    def free(self) -> tuple[Ints, Ints]:
        """Rows and columns of the free entries of L, by blocks, column-major."""
        pairs = [(b[r], b[c]) for b in self.blocks for c in range(len(b)) for r in range(c, len(b))]
        return np.array([p[0] for p in pairs], dtype=np.intp), np.array([p[1] for p in pairs], dtype=np.intp)

    @cached_property
    def mask(self) -> Floats:
        """(k, k) one where the covariance matrix may differ from zero."""
        mask = np.zeros((self.width, self.width))
        for block in self.blocks:
            mask[np.ix_(block, block)] = 1.0
        return mask


@dataclass(frozen=True, eq=False)
class Layout:
    """The chain, the rest, and the maps between them.

    Attributes:
        chain: Factors eliminated one after the other, the finest first.
        parents: parents[f, g] is the (J_f,) level of chain factor g above each level of f.
        starts: starts[f, g] is the first child in f of each level of g.
        rest: Factors eliminated together.
        offsets: First column of each rest factor in the dense matrix; a level has k neighbouring columns.
        size: Columns of the dense matrix.
    """

    chain: tuple[Factor, ...]
    parents: dict[tuple[int, int], Ints]
    starts: dict[tuple[int, int], Ints]
    rest: tuple[Factor, ...]
    offsets: tuple[int, ...]
    size: int

    @property
    def factors(self) -> tuple[Factor, ...]:
        """All factors in order of elimination."""
        return self.chain + self.rest

    def collect(self, f: int, g: int, values: Floats) -> Floats:
        """Sum over the children in f of each level of g, along the last axis."""
        return np.add.reduceat(values, self.starts[f, g], axis=-1)

    def columns(self, position: int) -> slice:
        """Columns of a rest factor in the dense matrix."""
        factor = self.rest[position]
        return slice(self.offsets[position], self.offsets[position] + factor.levels * factor.width)


def _parent(child: Factor, codes: Ints) -> Ints | None:
    """(J,) the one level of `codes` that holds each level of `child`, or None if one has several."""
    head = slice(0, 2000)
    for rows in (head, slice(None)):
        parent = np.full(child.levels, -1, dtype=np.intp)
        parent[child.codes[rows]] = codes[rows]
        if not np.array_equal(parent[child.codes[rows]], codes[rows]):
            return None
    return parent


def _amalgamated(problem: Problem, prepared: Prepared) -> list[Factor]:
    """One factor per grouping factor, the largest J k first."""
    factors: list[Factor] = []
    for identity in dict.fromkeys(term.factor for term in problem.terms):
        rows: list[int] = []
        pieces: list[tuple[int, slice]] = []
        blocks: list[tuple[int, ...]] = []
        for position, term in enumerate(problem.terms):
            if term.factor != identity:
                continue
            mine = tuple(range(len(rows), len(rows) + len(term.columns)))
            rows.extend(prepared.terms[position])
            pieces.append((position, slice(mine[0], mine[-1] + 1)))
            blocks.extend([mine] if term.correlated else [(column,) for column in mine])
        term = problem.terms[pieces[0][0]]
        order = np.arange(term.levels)
        factors.append(Factor(term.codes, term.levels, order, tuple(rows), tuple(pieces), tuple(blocks)))
    return sorted(factors, key=lambda f: -f.levels * f.width)


def _renumbered(factor: Factor, parent: Ints) -> Factor:
    """The factor with its levels in the order of their parents."""
    order = np.argsort(parent, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    codes = rank[factor.codes]
    return Factor(codes, factor.levels, order, factor.rows, factor.pieces, factor.blocks)


def build_layout(problem: Problem, prepared: Prepared) -> Layout:
    """Chain and rest of a problem's factors."""
    chain, rest = list[Factor](), list[Factor]()
    for factor in _amalgamated(problem, prepared):
        nested = not chain or _parent(chain[-1], factor.codes) is not None
        (chain if nested else rest).append(factor)
    for f in reversed(range(len(chain) - 1)):  # number the levels from the top down
        parent = _parent(chain[f], chain[f + 1].codes)
        assert parent is not None
        chain[f] = _renumbered(chain[f], parent)
    parents: dict[tuple[int, int], Ints] = {}
    starts: dict[tuple[int, int], Ints] = {}
    for f in range(len(chain)):
        for g in range(f + 1, len(chain)):
            parent = np.empty(chain[f].levels, dtype=np.intp)
            parent[chain[f].codes] = chain[g].codes
            parents[f, g] = parent
            starts[f, g] = np.searchsorted(parent, np.arange(chain[g].levels))
    sizes = [factor.levels * factor.width for factor in rest]
    offsets = tuple(int(s) for s in np.cumsum([0, *sizes])[:-1])
    return Layout(tuple(chain), parents, starts, tuple(rest), offsets, sum(sizes))
