"""Slices of the parameter space on which one parameter has a given value.

On a slice the covariance factors are linear in free coordinates x: T_f = A_f A_f' with

    A_f = sum_i x_i A_fi + [a standard deviation of f is held] (s / sigma) Q

where A_f need not be triangular. The term whose standard deviation or correlation is held is written in its
own units with the columns concerned first, so that what is held is a row of its triangular factor:

    sd(1) = s:        first row (s / sigma, 0, ...), with log sigma as a coordinate
    cor(1, 2) = r:    second row x (r, sqrt(1 - r^2), 0, ...)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.roots import semidefinite_factor
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.rules import PROFILE
from lmmkit.engine.setup import Setup

Entries = list[tuple[Floats, float]]
TINY = 1e-100


class HeldDeviation(NamedTuple):
    """A held standard deviation: A of a factor has (value / sigma) Q beside its free coordinates."""

    factor: int
    value: float
    Q: Floats


@dataclass(frozen=True, eq=False)
class Slice:
    """A parameter at one value, in prepared units.

    Attributes:
        directions: For each factor (m_f, k, k), the A_fi.
        deviation: A held standard deviation; log sigma is then the last coordinate.
        turned: Factor, coordinate and d A_fi / d r of a held correlation; this coordinate and the next, the
            two standard deviations, may not be negative, which would turn the correlation's sign.
        sigma: A held residual standard deviation.
        contrast: Coefficients c and value v of a held combination c'beta.
    """

    directions: list[Floats]
    deviation: HeldDeviation | None = None
    turned: tuple[int, int, Floats] | None = None
    sigma: float | None = None
    contrast: tuple[Floats, float] | None = None

    def allowed(self, x: Floats) -> Floats:
        """The nearest coordinates that may be."""
        if self.turned is None:
            return x
        pair = slice(self.turned[1], self.turned[1] + 2)
        x = x.copy()
        x[pair] = np.maximum(x[pair], 0.0)
        return x

    def free(self, x: Floats, gradient: Floats) -> NDArray[np.bool_]:
        """Coordinates that may move downhill: not those at zero that may not be negative but would."""
        free = np.ones(len(x), bool)
        if self.turned is not None:
            pair = slice(self.turned[1], self.turned[1] + 2)
            free[pair] = (x[pair] > 0.0) | (gradient[pair] < 0.0)
        return free

    def precision(self, x: Floats) -> float | None:
        """1 / sigma^2: fixed, a coordinate, or None where it is profiled out."""
        if self.deviation is not None:
            return float(np.exp(-2.0 * x[-1]))
        return None if self.sigma is None else self.sigma**-2

    def factors(self, x: Floats) -> list[Floats]:
        """A of every factor."""
        ends = np.cumsum([0, *map(len, self.directions)])
        A = [np.einsum("i,iab->ab", x[ends[f] : ends[f + 1]], d) for f, d in enumerate(self.directions)]
        if self.deviation is not None:
            f, s, Q = self.deviation
            A[f] = A[f] + s * np.exp(-x[-1]) * Q
        return A


@dataclass(frozen=True, eq=False)
class Holdable:
    """A parameter that can be held.

    Attributes:
        estimate: At the optimum.
        start: Coordinates of the optimum.
        unit: Units of the parameter per prepared unit.
        natural: What to call large for it, where the estimate is zero.
    """

    estimate: float
    start: Floats
    _: KW_ONLY
    unit: float = 1.0
    natural: float = 1.0


@dataclass(frozen=True, eq=False)
class Parameter(Holdable):
    """One that is held on slices.

    Attributes:
        at: The slice at a value.
    """

    at: Callable[[float], Slice]


@dataclass(frozen=True, eq=False)
class Block:
    """A covariance matrix of one factor as way L L' way'.

    L is lower triangular in its first rows, of which one may be held, and full in the others: a triangular
    one has circles of nearly equal deviance round a small pivot, on which searches crawl; a full one is
    merely flat along the rotations of its columns.

    Attributes:
        factor: Position of the factor.
        columns: Its columns among the factor's.
        way: (k, m) carries rows of L to rows of A.
        lower: (m, m) L at the optimum.
        size: (m,) what a coordinate of each row is measured in.
        least: (m,) where a zero diagonal entry starts.
        first: Number of rows that are triangular.
    """

    factor: int
    columns: tuple[int, ...]
    way: Floats
    lower: Floats
    size: Floats
    least: Floats
    first: int

    def direction(self, row: int, along: Floats) -> Floats:
        """(k, k) A of a unit coordinate in a row, along a combination of the columns."""
        A = np.zeros((len(self.way), len(self.way)))
        A[:, self.columns] = np.outer(self.way[:, row], along) * self.size[row]
        return A

    def entries(self, skip: int | None = None) -> Entries:
        """Direction and start of every entry of L, but those of a row."""
        unit, m = np.eye(len(self.lower)), len(self.lower)
        places = [(r, c) for r in range(m) if r != skip for c in range(r + 1 if r < self.first else m)]
        return [(self.direction(r, unit[c]), self.begin(r, c)) for r, c in places]

    def begin(self, row: int, column: int) -> float:
        """Start of an entry: where it is, or off a zero diagonal."""
        value = float(self.lower[row, column]) / self.size[row]
        return float(self.least[row]) if row == column and value == 0.0 else value


class Coordinates(NamedTuple):
    """All free coordinates, by factor, block by block.

    Attributes:
        directions: For each factor (m_f, k, k).
        start: (m,) where the optimum stands.
        first: The first coordinate of the block that was asked for, among all and among its factor's.
    """

    directions: list[Floats]
    start: Floats
    first: tuple[int, int]


class Frame:
    """A prepared problem at its optimum, and its parameters as they can be held."""

    def __init__(self, setup: Setup, L: list[Floats], sigma: float, rho: Floats) -> None:
        """L of every factor, sigma and the coordinates of R at the optimum, in prepared units."""
        self.setup, self.L, self.prepared_sigma, self.rho = setup, L, sigma, rho

    def coefficient(self, position: int, estimate: float) -> Parameter:
        """A fixed effect, by its position among those kept."""
        prepared, plain = self.setup.prepared, self._coordinates()
        c = prepared.scale * prepared.basis[position]

        def at(value: float) -> Slice:
            return Slice(plain.directions, contrast=(c, value - float(prepared.beta[position])))

        return Parameter(estimate, np.append(plain.start, self.rho), at)

    def residual(self) -> Parameter:
        """The residual standard deviation."""
        plain, scale = self._coordinates(), self.setup.prepared.scale

        def at(value: float) -> Slice:
            return Slice(plain.directions, sigma=value / scale)

        start = np.append(plain.start, self.rho)
        return Parameter(scale * self.prepared_sigma, start, at, unit=scale)

    def standard_deviation(self, term: int, column: int) -> Parameter:
        """The standard deviation of a column's random effects."""
        block = self._raw_block(term, [column])
        found = self._coordinates(block, block.entries(skip=0))
        Q = block.direction(0, np.eye(len(block.lower))[0]) / block.size[0]
        scale = self.setup.prepared.scale

        def at(value: float) -> Slice:
            return Slice(found.directions, deviation=HeldDeviation(block.factor, value / scale, Q))

        sigma = self.prepared_sigma
        natural = scale * sigma * float(block.size[0] * block.least[0]) / PROFILE.nudge
        estimate = scale * sigma * float(block.lower[0, 0])
        start = np.concatenate([found.start, [np.log(sigma)], self.rho])
        return Parameter(estimate, start, at, unit=scale, natural=natural)

    def correlation(self, term: int, row: int, column: int) -> Parameter:
        """The correlation of two columns' random effects; NaN where one of them does not vary."""
        block = self._raw_block(term, [column, row])
        one, two = np.eye(len(block.lower))[:2]
        length = float(np.hypot(*block.lower[1, :2]))
        begin = length / float(block.size[1]) if length else float(block.least[1])
        found = self._coordinates(block, [(block.direction(1, two), begin), *block.entries(skip=1)])
        first, local = found.first

        def at(value: float) -> Slice:
            root = float(np.sqrt(1.0 - value**2))
            directions = list(found.directions)
            directions[block.factor] = directions[block.factor].copy()
            directions[block.factor][local] = block.direction(1, value * one + root * two)
            turn = block.direction(1, one - value / max(root, TINY) * two)
            return Slice(directions, turned=(block.factor, first, turn))

        defined = length > 0 and block.lower[0, 0] > 0
        estimate = float(block.lower[1, 0]) / length if defined else np.nan
        return Parameter(estimate, np.append(found.start, self.rho), at)

    def _coordinates(self, block: Block | None = None, entries: Entries | None = None) -> Coordinates:
        """Every block's entries, those of one block as given."""
        directions = [list[Floats]() for _ in self.L]
        start, first = list[float](), (0, 0)
        for other in self._blocks():
            mine = block is not None and (other.factor, set(other.columns)) == (
                block.factor,
                set(block.columns),
            )
            if mine:
                first = len(start), len(directions[other.factor])
            for direction, value in entries if mine and entries is not None else other.entries():
                directions[other.factor].append(direction)
                start.append(value)
        arrays = [np.array(d).reshape(len(d), *L.shape) for d, L in zip(directions, self.L, strict=True)]
        return Coordinates(arrays, np.array(start), first)

    def _blocks(self) -> list[Block]:
        """Every covariance matrix in prepared units."""
        return [
            self._block(f, list(block), np.eye(factor.width), self.L[f], np.ones(factor.width), 0)
            for f, factor in enumerate(self.setup.layout.factors)
            for block in factor.structure.cones
        ]

    def _block(
        self, f: int, columns: list[int], way: Floats, rows: Floats, size: Floats, first: int
    ) -> Block:
        return Block(
            f,
            tuple(columns),
            way[:, columns],
            semidefinite_factor(rows[columns]),
            size[columns],
            PROFILE.nudge / self.setup.scale[f][columns],
            first,
        )

    def _raw_block(self, term: int, first: list[int]) -> Block:
        """The covariance matrix of a term, some columns first in the units of the data."""
        f, piece = next(
            (f, columns)
            for f, factor in enumerate(self.setup.layout.factors)
            for t, columns, _ in factor.pieces
            if t == term
        )
        S = self.setup.prepared.term_bases[term]
        cone = next(c for c in self.setup.problem.terms[term].structure.cones if first[0] in c)
        others = [c for c in cone if c not in first]
        order = [*first, *others]
        if others:
            S = _completed(S, first, others)
        width = self.setup.layout.factors[f].width
        way, rows, size = np.zeros((width, width)), np.zeros((width, width)), np.ones(width)
        way[piece, piece] = solved(S, np.eye(len(S)))
        rows[piece] = S @ self.L[f][piece]
        size[piece] = np.sqrt(np.einsum("ij,ij->i", S, S))
        return self._block(f, [piece.start + c for c in order], way, rows, size, len(first))


def _completed(S: Floats, first: list[int], others: list[int]) -> Floats:
    """Rows of S, the others exchanged for directions square to them.

    What is held is a row of the data's units; with a covariate far from zero the other rows of those units
    are nearly parallel to it, and the search would crawl.
    """
    own = S[first] / np.linalg.norm(S[first], axis=1, keepdims=True)
    out = S.copy()
    out[others] = np.linalg.svd(own)[2][len(first) :]
    return out
