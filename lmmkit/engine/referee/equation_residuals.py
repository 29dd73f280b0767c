"""Whether a claimed solution solves Henderson's equations: one pass over the rows, no factorisation.

With b = Λ v and W = R⁻¹, which without a residual structure holds the prior weights, the equations of a
solution are

    X'W e = 0,    Λ'Z'W e = v,    e = y - X β - Z b,    σ² = (e'W e + v'v) / ν

(of related levels, var b = σ² K ⊗ Λ Λ', the second is Λ'Z'W e = K⁻¹ v, and v'K⁻¹v stands in the last).

Each is measured on a scale that means something: β's part in standard errors, v's in standard deviations,
σ as a ratio. A threshold allows for the rounding of e, which is all that doubles can tell when y is large
beside σ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.problem import FitNumbers, Problem, Term
from lmmkit.engine.referee import kinship
from lmmkit.engine.relations.pedigree import Pedigree
from lmmkit.engine.relations.relationship import DenseRelationship, Relationship

EPS = float(np.finfo(np.float64).eps)
TOLERANCE = 1e-6  # of a standard error or deviation
RATIO = 1e-8  # of sigma
SAFETY = 16.0  # worst over typical rounding of one sum


class Measure(NamedTuple):
    """A value that is zero at the solution, and how large rounding and tolerance let it be."""

    value: float
    threshold: float


class WrittenResiduals(Protocol):
    """A residual structure as its parameters are printed, prior weights left out."""

    @cached_property
    def spread(self) -> float:
        """A bound on the largest eigenvalue of R⁻¹."""
        ...

    def solved(self, values: Floats) -> Floats:
        """R⁻¹ times (n,) values."""
        ...


@dataclass(frozen=True, eq=False)
class Claim(FitNumbers):
    """What is claimed to solve the equations.

    Attributes:
        problem: The arrays.
        b: Random effects of each term, (J, k).
        written: The residual structure, where there is one.
    """

    problem: Problem
    b: tuple[Floats, ...]
    written: WrittenResiduals | None = None

    @cached_property
    def X(self) -> list[Floats]:
        """Columns of X."""
        return [self.problem.columns[self.problem.fixed[i]] for i in self.kept]

    @cached_property
    def e(self) -> Floats:
        """y - X β - Z b, (n,)."""
        y = self.problem.response
        e = y.copy() if self.problem.offset is None else y - self.problem.offset
        for coefficient, x in zip(self.beta, self.X, strict=True):
            e -= coefficient * x
        for term, b in zip(self.problem.terms, self.b, strict=True):
            for c, effects in zip(term.columns, b.T, strict=True):
                for codes, weights in memberships(term):
                    e -= weights * effects[codes] * self.problem.columns[c]
        return e

    @cached_property
    def We(self) -> Floats:
        """W e, (n,)."""
        if self.written is None:
            return self.e if self.problem.weights is None else self.problem.weights * self.e
        if self.problem.weights is None:
            return self.written.solved(self.e)
        roots = np.sqrt(self.problem.weights)
        return roots * self.written.solved(roots * self.e)

    @cached_property
    def scores(self) -> list[Floats]:
        """Z'W e of each term, (J, k)."""
        return [self._scores(term) for term in self.problem.terms]

    def _scores(self, term: Term) -> Floats:
        columns = [self.problem.columns[c] for c in term.columns]
        sums = [
            sum(np.bincount(codes, w * self.We * z, term.levels) for codes, w in memberships(term))
            for z in columns
        ]
        return np.column_stack(sums).astype(np.float64, copy=False)

    @cached_property
    def spherical(self) -> list[Floats]:
        """v of each term, (J, k): the shortest with Λ v = b."""
        return [b @ np.linalg.pinv(L).T for b, L in zip(self.b, self.factors, strict=True)]


def fixed_part(claim: Claim) -> Measure:
    """Length of X'W e as a displacement of β, in standard errors."""
    g = np.array([claim.We @ x for x in claim.X])
    length = float(np.sqrt(max(g @ claim.unscaled_vcov @ g, 0.0))) / claim.sigma
    return Measure(length, TOLERANCE + rounding(claim) + _collinear(claim, g) / claim.sigma)


def _collinear(claim: Claim, g: Floats) -> float:
    """What rounding does to g and to its length where columns of X are nearly collinear."""
    se = np.sqrt(np.diag(claim.unscaled_vcov))
    norms = np.sqrt(np.array([_weighted(claim, x) for x in claim.X]))
    sums = SAFETY * EPS * norms * np.sqrt(_weighted(claim, claim.e))
    noise = SAFETY * EPS * norms * np.sqrt(len(claim.e)) * _magnitude(claim)
    return float(se @ sums + np.sqrt(EPS) * se @ np.minimum(np.abs(g), noise))


def random_part(claim: Claim) -> Measure:
    """Largest entry of Λ'Z'W e - v and of b - Λ v, in standard deviations."""
    worst, inexact = 0.0, 0.0
    parts = zip(claim.problem.terms, claim.factors, claim.b, claim.scores, claim.spherical, strict=True)
    for term, L, b, c, v in parts:
        outside = _largest(b - v @ L.T) / (float(np.linalg.norm(L)) or 1.0)
        worst = max(worst, _largest(_difference(term.relation, c @ L, v)), outside)
        inexact = max(inexact, _largest(np.abs(b) @ np.abs(np.linalg.pinv(L)).T))
    return Measure(worst / claim.sigma, TOLERANCE + rounding(claim) + SAFETY * EPS * inexact / claim.sigma)


def memberships(term: Term) -> tuple[tuple[Ints, Floats | float], ...]:
    """Levels and weights of each membership of the rows."""
    return term.members or ((term.codes, 1.0),)


def _difference(relation: Relationship | None, score: Floats, v: Floats) -> Floats:
    """Λ'Z'W e - K⁻¹v of related levels, as K Λ'Z'W e - v where K is written out."""
    if relation is None:
        return score - v
    if not isinstance(relation, Pedigree) or kinship.is_small(relation):
        return kinship.written_out(relation) @ score - v
    F = kinship.inbreeding(relation.sire, relation.dam)
    return score - kinship.inverse(relation.sire, relation.dam, relation.inbreeding if F is None else F) @ v


def residual_part(claim: Claim) -> Measure:
    """σ from the residuals and random effects, as a relative difference."""
    nu = len(claim.e) - claim.reml * len(claim.beta)
    square = float(claim.We @ claim.e) + sum(
        float(np.vdot(c, b)) for c, b in zip(claim.scores, claim.b, strict=True)
    )
    slack = SAFETY * EPS * _magnitude(claim) / claim.sigma * (1.0 + _size_of_effects(claim) / claim.sigma)
    return Measure(abs(np.sqrt(max(square, 0.0) / nu) / claim.sigma - 1.0), RATIO + slack)


def rounding(claim: Claim) -> float:
    """What the rounding of e may do to either part of the equations, in standard errors."""
    n = len(claim.e)
    return SAFETY * EPS * np.sqrt(n * amplification(claim)) * _magnitude(claim) / claim.sigma


def amplification(claim: Claim) -> float:
    """A bound on the largest eigenvalue of V in units of the residual variances."""
    weight = _largest_weight(claim)
    most = 1.0
    for term, L in zip(claim.problem.terms, claim.factors, strict=True):
        rows = _most_together(term)
        squares = np.array([_largest(claim.problem.columns[c]) ** 2 for c in term.columns])
        most += weight * rows * float(squares @ (L**2).sum(axis=1))
    return most


def _most_together(term: Term) -> float:
    """A bound on the largest eigenvalue of M K M', M the weights of the rows' levels: its largest row sum."""
    if term.plain:
        return int(np.bincount(term.codes).max())
    of = memberships(term)
    counts = np.sum([np.bincount(c, np.broadcast_to(np.abs(w), c.shape), term.levels) for c, w in of], axis=0)
    if isinstance(term.relation, Pedigree):
        counts = term.relation.times(counts)
    elif isinstance(term.relation, DenseRelationship):
        counts = np.abs(term.relation.half) @ (np.abs(term.relation.half).T @ counts)
    return float(np.sum([np.abs(w) * counts[c] for c, w in of], axis=0).max())


def _magnitude(claim: Claim) -> float:
    """Bound on the terms of which e is the difference, weighted."""
    X = sum(abs(coefficient) * _largest(x) for coefficient, x in zip(claim.beta, claim.X, strict=True))
    size = _largest(claim.problem.response) + X + _size_of_effects(claim)
    return float(np.sqrt(_largest_weight(claim)) * size)


def _size_of_effects(claim: Claim) -> float:
    """Bound on Z b."""
    return sum(
        _largest(effects) * _largest(claim.problem.columns[c])
        for term, b in zip(claim.problem.terms, claim.b, strict=True)
        for c, effects in zip(term.columns, b.T, strict=True)
    )


def _largest_weight(claim: Claim) -> float:
    """A bound on the largest eigenvalue of W."""
    return _spread(claim) * (1.0 if claim.problem.weights is None else float(claim.problem.weights.max()))


def _weighted(claim: Claim, x: Floats) -> float:
    """x'W x, or what it is at most."""
    squares = float(x @ x if claim.problem.weights is None else x @ (claim.problem.weights * x))
    return _spread(claim) * squares


def _spread(claim: Claim) -> float:
    return 1.0 if claim.written is None else claim.written.spread


def _largest(x: Floats) -> float:
    return float(np.abs(x).max(initial=0.0))
