"""Which grouping factors are nested in which, and in what order they are eliminated.

Factors 1 c 2 c ... c s form a chain: each level of one has a single level of the next as its parent, so their
elimination makes no fill. The factors crossed with the chain are the rest, eliminated together as one dense
matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array, hstack, kron

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.block_diagonal import BlockDiagonal, FactorStructure, Part
from lmmkit.engine.covariance.structures import Growth, Structure
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.problem import Prepared, Problem, Residual, RowResidual
from lmmkit.engine.relations.pedigree import Pedigree
from lmmkit.engine.relations.relationship import DenseRelationship, Relationship
from lmmkit.errors import FitError


class Piece(NamedTuple):
    """What one term has of a factor: its position in the problem, its columns there, its structure."""

    term: int
    columns: slice
    structure: Structure


@dataclass(frozen=True, eq=False)
class Factor:
    """A grouping factor with the columns of all its terms.

    Attributes:
        codes: (n,) level of each row, numbered so that children of one parent are contiguous.
        levels: J.
        order: (J,) the caller's number of each level.
        rows: Positions of its k columns in `Prepared.rows`.
        pieces: The terms on this factor.
        structure: What T may be: that of its term, or those of several side by side.
        members: As in `problem.Term`.
        relation: As in `problem.Term`.
        Z: (n, J k) its columns of Z in prepared units, those of a level together, where they are not its
            prepared rows at its levels; else None.
        half: (J, r) where the r levels of the criterion stand for those of the problem, what takes effects of
            the ones to the others: K = half half', and the effects of the r levels are independent.
        unseen: (J,) the part of K's diagonal that half half' has not: of levels without rows.
    """

    codes: Ints
    levels: int
    order: Ints
    rows: tuple[int, ...]
    pieces: tuple[Piece, ...]
    structure: FactorStructure
    members: tuple[tuple[Ints, Floats], ...] = ()
    relation: Relationship | None = None
    Z: csr_array | None = None
    half: Floats | None = None
    unseen: Floats | None = None

    @property
    def plain(self) -> bool:
        """Whether each row has one level, and levels are independent."""
        return not self.members and self.relation is None

    @property
    def width(self) -> int:
        """k, the columns a level has."""
        return len(self.rows)

    def related(self, u: Floats) -> Floats:
        """(..., levels) what the prior of its levels makes of u: K u of a pedigree, else u."""
        if not isinstance(self.relation, Pedigree):
            return u
        return self.relation.times(u.reshape(-1, self.levels).T).T.reshape(u.shape)

    def spread(self, scores: Floats) -> Floats:
        """(..., J) K Z'v at all levels of the problem, from (..., levels) Z'v."""
        return self.related(scores) if self.half is None else scores @ self.half.T


@dataclass(frozen=True, eq=False)
class Layout:
    """The chain, the rest, and the maps between them.

    Attributes:
        chain: Factors eliminated one after the other, the finest first.
        parents: parents[f, g] is the (J_f,) level of chain factor g above each level of f.
        starts: starts[f, g] is the first child in f of each level of g.
        rest: Factors eliminated together.
    """

    chain: tuple[Factor, ...]
    parents: dict[tuple[int, int], Ints]
    starts: dict[tuple[int, int], Ints]
    rest: tuple[Factor, ...]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First column of each rest factor in the dense matrix; a level has k neighbouring columns."""
        return tuple(accumulate((factor.levels * factor.width for factor in self.rest), initial=0))[:-1]

    @cached_property
    def size(self) -> int:
        """Columns of the dense matrix."""
        return sum(factor.levels * factor.width for factor in self.rest)

    @property
    def sparse(self) -> bool:
        """Whether the rest is solved as a sparse matrix: a sparse inverse relates some of its levels."""
        return any(isinstance(factor.relation, Pedigree) for factor in self.rest)

    @cached_property
    def factors(self) -> tuple[Factor, ...]:
        """All factors in order of elimination."""
        return self.chain + self.rest

    @cached_property
    def cuts(self) -> tuple[slice, ...]:
        """Each factor's coordinates in theta."""
        ends = accumulate((factor.structure.count for factor in self.factors), initial=0)
        return tuple(slice(a, b) for a, b in pairwise(ends))

    @property
    def count(self) -> int:
        """m, the number of covariance parameters."""
        return self.cuts[-1].stop if self.cuts else 0

    def parameters(self, theta: Floats) -> list[tuple[FactorStructure, Floats]]:
        """Returns the structure of each factor with its coordinates, from theta (m,) or (m, r)."""
        return [(f.structure, theta[cut]) for f, cut in zip(self.factors, self.cuts, strict=True)]

    def roots(self, theta: Floats) -> list[Floats]:
        """Returns L of each factor."""
        return [structure.root(x) for structure, x in self.parameters(theta)]

    def coordinates(self, L: list[Floats]) -> Floats:
        """Returns theta from L of each factor."""
        parts = (factor.structure.coordinates(x) for factor, x in zip(self.factors, L, strict=True))
        return np.concatenate([*parts]) if L else np.empty(0)

    def free(self, theta: Floats) -> NDArray[np.bool_]:
        """Returns which coordinates vary on the face of the cone where theta stands."""
        parts = (~structure.null(x) for structure, x in self.parameters(theta))
        return np.concatenate([np.empty(0, bool), *parts])

    def gradient(self, theta: Floats, D: list[Floats]) -> Floats:
        """Returns d deviance / d theta from d deviance / dT of each factor."""
        parts = (s.gradient(x, d) for (s, x), d in zip(self.parameters(theta), D, strict=True))
        return np.concatenate([np.empty((0, *theta.shape[1:])), *parts])

    def curvature(self, theta: Floats, D: list[Floats]) -> Floats:
        """Returns the part of the Hessian that is <D, d2T / d theta2>, (m, m)."""
        out = np.zeros((self.count, self.count, *theta.shape[1:]))
        for cut, (structure, x), d in zip(self.cuts, self.parameters(theta), D, strict=True):
            out[cut, cut] = structure.curvature(x, d)
        return out

    def em(self, L: list[Floats], D: list[Floats]) -> Floats:
        """Returns theta after one ECME step of every factor."""
        triples = zip(self.factors, L, D, strict=True)
        return self.coordinates([factor.structure.em(x, d, factor.levels) for factor, x, d in triples])

    @cached_property
    def bounded(self) -> NDArray[np.bool_]:
        """(m,) coordinates that a member of their family has at or above zero."""
        return np.concatenate([np.zeros(0, bool), *(factor.structure.bounded for factor in self.factors)])

    @cached_property
    def has_em(self) -> bool:
        """Whether every T has a step of ECME."""
        return all(factor.structure.has_em for factor in self.factors)

    def growths(self, L: list[Floats], D: list[Floats], scale: list[Floats]) -> list[tuple[int, Growth]]:
        """Returns the ways in which each factor's T may grow, their slopes per level."""
        return [
            (f, g)
            for f, (factor, root, d, s) in enumerate(zip(self.factors, L, D, scale, strict=True))
            for g in factor.structure.growths(root, d / factor.levels, s)
        ]

    def in_data_units(self, bases: tuple[Floats, ...], L: list[Floats]) -> tuple[Floats, ...]:
        """Returns Lambda (k, k) of each term, T_raw = S T S', from L of each factor and S of each term."""
        out: dict[int, Floats] = {}
        for factor, x in zip(self.factors, L, strict=True):
            for term, columns, structure in factor.pieces:
                out[term] = structure.root_of(np.einsum("ab,bm...->am...", bases[term], x[columns]))
        return tuple(out[term] for term in range(len(out)))

    def in_prepared_units(self, bases: tuple[Floats, ...], factors: tuple[Floats, ...]) -> list[Floats]:
        """Returns L of each factor from Lambda of each term and S of each term: T = S^-1 T_raw S^-T.

        Raises:
            FitError: Not one Lambda for each term, or one outside the cone: of another shape, not lower
                triangular, not finite, or with a negative diagonal.
        """
        if len(factors) != len(bases):
            raise FitError(
                f"{len(factors)} starting factors were given for {len(bases)} random-effects terms; "
                "give one for each term."
            )
        out = list[Floats]()
        for factor in self.factors:
            rows = np.zeros((factor.width, factor.width))
            for term, columns, structure in factor.pieces:
                _require_member(structure, factors[term])
                rows[columns, columns] = solved(bases[term], factors[term])
            out.append(factor.structure.root_of(rows))
        return out

    def collect(self, f: int, g: int, values: Floats) -> Floats:
        """Sum over the children in f of each level of g, along the last axis."""
        return np.add.reduceat(values, self.starts[f, g], axis=-1)

    def columns(self, position: int) -> slice:
        """Columns of a rest factor in the dense matrix."""
        factor = self.rest[position]
        return slice(self.offsets[position], self.offsets[position] + factor.levels * factor.width)


def _require_member(structure: Structure, factor: Floats) -> None:
    """A starting factor is the root of a matrix that its structure allows."""
    k = structure.width
    if factor.shape != (k, k) or not np.isfinite(factor).all():
        raise FitError(f"A starting factor has shape {factor.shape}; a finite {k} x {k} matrix was expected.")
    if not structure.contains(factor):
        raise FitError(
            f"A starting factor is outside the cone of covariance factors: {factor.tolist()}. It must be "
            f"the lower triangular root of a covariance matrix ({structure.name}), with no negative "
            "diagonal entry."
        )


def parents_of(codes: Ints, levels: int, coarse: Ints) -> Ints | None:
    """(levels,) the one level of another factor that holds each of a factor's, or None if one has several."""
    for rows in (slice(2000), slice(None)):
        parent = np.empty(levels, dtype=np.intp)
        parent[codes[rows]] = coarse[rows]
        if not np.array_equal(parent[codes[rows]], coarse[rows]):
            return None
    return parent


def same_groups(one: Ints, two: Ints) -> bool:
    """Whether two codes divide the rows into the same groups."""
    return all(parents_of(a, int(a.max()) + 1, b) is not None for a, b in ((one, two), (two, one)))


def holds_subjects(codes: Ints, residual: Residual | RowResidual | None) -> bool:
    """Whether all rows of a subject have one level, where rows of a subject are correlated."""
    if residual is None or residual.independent:
        return True
    return parents_of(residual.subjects, int(residual.subjects.max()) + 1, codes) is not None


def random_columns(prepared: Prepared, factors: Sequence[Factor]) -> csr_array:
    """(n, q) Z in prepared units, the columns of a level together, factor by factor."""
    columns, values, q = list[Ints](), list[Floats](), 0
    for factor in factors:
        for codes, weight in factor.members or ((factor.codes, None),):
            columns += [q + codes * factor.width + c for c in range(factor.width)]
            own = [prepared.rows[row] for row in factor.rows]
            values += own if weight is None else [weight * row for row in own]
        q += factor.levels * factor.width
    n, width = len(columns[0]), len(columns)
    entries, indices = np.stack(values, axis=1).ravel(), np.stack(columns, axis=1).ravel()
    Z = csr_array((entries, indices, np.arange(0, n * width + 1, width)), shape=(n, q))
    if any(factor.members for factor in factors):
        Z.sum_duplicates()  # a row may meet a level twice
    return Z


def columns_of(prepared: Prepared, factor: Factor) -> csr_array:
    """(n, J k) the columns of Z of one factor."""
    return random_columns(prepared, [factor]) if factor.Z is None else factor.Z


def rest_columns(prepared: Prepared, layout: Layout) -> csr_array:
    """(n, q2) the columns of Z of the rest."""
    return csr_array(hstack([columns_of(prepared, factor) for factor in layout.rest], format="csr"))


def by_rank(factor: Factor) -> Factor:
    """A factor that a matrix relates, with one independent level for each column of the matrix' root."""
    relation = factor.relation
    assert isinstance(relation, DenseRelationship)
    return replace(factor, levels=relation.rank, half=relation.half, unseen=np.zeros(relation.levels))


def amalgamated(problem: Problem, prepared: Prepared) -> list[Factor]:
    """One factor per grouping factor, the largest J k first."""
    factors = list[Factor]()
    for identity in dict.fromkeys(term.factor for term in problem.terms):
        rows, pieces, parts = list[int](), list[Piece](), list[Part]()
        for position, term in enumerate(problem.terms):
            if term.factor == identity:
                end = len(rows) + len(term.columns)
                pieces.append(Piece(position, slice(len(rows), end), term.structure))
                parts.append((tuple(range(len(rows), end)), term.structure))
                rows.extend(prepared.terms[position])
        term = problem.terms[pieces[0].term]
        structure = BlockDiagonal(len(rows), tuple(parts)) if len(parts) > 1 else term.structure
        order = np.arange(term.levels)
        own = Factor(term.codes, term.levels, order, tuple(rows), tuple(pieces), structure)
        if not term.plain:
            own = replace(own, members=term.members, relation=term.relation)
            own = replace(own, Z=random_columns(prepared, [own]))
        factors.append(own)
    return sorted(factors, key=lambda f: -f.levels * f.width)


def _renumbered(factor: Factor, parent: Ints) -> Factor:
    """The factor with its levels in the order of their parents."""
    order = np.argsort(parent, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    codes = rank[factor.codes]
    return replace(factor, codes=codes, order=order)


def build_layout(problem: Problem, prepared: Prepared) -> Layout:
    """Chain and rest of a problem's factors.

    A row of the chain has one level, independent of the others, and so has a subject whose residuals are
    correlated.
    """
    chain, rest = list[Factor](), list[Factor]()
    sparse = any(isinstance(term.relation, Pedigree) for term in problem.terms)
    for factor in amalgamated(problem, prepared):
        nested = factor.plain and not sparse and holds_subjects(factor.codes, problem.residual)
        if nested and chain:
            nested = parents_of(chain[-1].codes, chain[-1].levels, factor.codes) is not None
        if (sparse or problem.residual is not None) and isinstance(factor.relation, DenseRelationship):
            Z, half = random_columns(prepared, [factor]), factor.relation.half
            Z = csr_array(Z @ kron(csr_array(half), eye_array(factor.width), format="csr"))
            factor = replace(by_rank(factor), Z=Z)
        (chain if nested else rest).append(factor)
    for f in reversed(range(len(chain) - 1)):  # number the levels from the top down
        parent = parents_of(chain[f].codes, chain[f].levels, chain[f + 1].codes)
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
    return Layout(tuple(chain), parents, starts, tuple(rest))
