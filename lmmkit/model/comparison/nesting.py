"""Whether models can be compared: whether of the same data, and where one lies in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.elimination_order import same_groups
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.variance_tests.covariance_families import Units, embedding, entries_of, positive, units
from lmmkit.engine.variance_tests.residual_families import residuals_nested
from lmmkit.engine.variance_tests.residual_rules import residual_step
from lmmkit.errors import FitError
from lmmkit.model.comparison.pattern_nesting import (
    has_pattern,
    pattern_nesting,
    without_idle_patterns,
)
from lmmkit.model.estimates import Estimates, refuse_held

DRAWS = 4  # covariance matrices of the smaller model that are tried in the larger one
NULL = 1e-8  # share of the largest eigenvalue below which a direction is null
SPAN = 1e-7  # share of its length by which a column may miss a space that holds it


def refuse_different_data(estimates: Sequence[Estimates]) -> None:
    """Refuse fits that do not explain the same numbers: their likelihoods cannot be compared.

    Raises:
        FitError: Other rows, another response, other weights or another offset, or variances that are held.
    """
    for each in estimates:
        refuse_held(each, "The comparison of fits", "test fixed effects with anova() or test()")
    first = estimates[0]
    for other in estimates[1:]:
        if first.nobs != other.nobs:
            raise FitError(
                f"The fits use {first.nobs:,} and {other.nobs:,} rows: their likelihoods cannot be compared. "
                "Fit both to the rows that are complete for all their columns."
            )
        if not np.array_equal(first.problem.response, other.problem.response):
            raise FitError(
                f"The fits have different responses (`{first.design.response}` and "
                f"`{other.design.response}`, or other rows of the table): fit both to the same rows."
            )
        for name in ("weights", "offset"):
            if not _same(getattr(first.problem, name), getattr(other.problem, name)):
                raise FitError(f"The fits have different {name}: their likelihoods cannot be compared.")


def _same(one: Floats | None, two: Floats | None) -> bool:
    return one is two or (one is not None and two is not None and np.array_equal(one, two))


@dataclass(frozen=True, eq=False)
class Cone:
    """Directions of one covariance matrix of the larger model that are null in the smaller one.

    Attributes:
        term: The random-effects term.
        basis: (k, m) N: changes D of the matrix are allowed when N'DN is positive semidefinite.
    """

    term: int
    basis: Floats

    @property
    def size(self) -> int:
        """m."""
        return self.basis.shape[1]


@dataclass(frozen=True, eq=False)
class Nesting:
    """How the random part of one model lies within that of another.

    Attributes:
        embedding: (m_large, m_small) from free entries of T in the smaller model to those in the larger one.
        large: The free entries of the larger model.
        cones: Where the smaller model lies on the boundary of the larger one.
        edges: Parameters of the larger model's residuals at an end of their range in the smaller one.
        absorbed: Whether random effects of the smaller model are a matter of the larger one's residuals.
        unfit: Why the likelihood ratio has no known distribution, or nothing.
    """

    embedding: Floats
    large: Units
    cones: tuple[Cone, ...]
    edges: int = 0
    absorbed: bool = False
    unfit: str = ""

    @property
    def constrained(self) -> int:
        """Dimension of the space that the cones are in."""
        return sum(cone.size * (cone.size + 1) // 2 for cone in self.cones)

    def place(self, factors: Sequence[Floats], entries: Units) -> list[Floats]:
        """T of each term of the larger model that gives the smaller one's covariance matrix."""
        values = [entries_of(own, L @ L.T) for own, L in zip(entries.own, factors, strict=True)]
        return self.large.combined(self.embedding @ np.concatenate([np.empty(0), *values]))


AT_ONCE = (
    "random effects and a residual structure are added at once, so that the likelihood ratio has no known "
    "distribution; put a model between the two"
)
SEVERAL = "several variances are added beside a residual structure, for which the weights are not known"


def covariance_nesting(small: Problem, large: Problem) -> Nesting | None:
    """How the covariance matrices of one problem's response lie among those of another; None: they do not."""
    if has_pattern(small) or has_pattern(large):
        small, large = without_idle_patterns(small), without_idle_patterns(large)
    if has_pattern(small) or has_pattern(large):
        return _nesting_of_patterns(small, large)
    if small.residual is None and large.residual is None:
        return random_nesting(small, large)
    one, other = _without_common_terms(small, large)
    if residuals_nested(one, other):
        return Nesting(np.empty((0, 0)), units(large), (), absorbed=bool(one.terms))
    step, found = residual_step(small, large), random_nesting(small, large)
    if step is None or found is None:
        return None
    if step.same:
        return replace(found, unfit=SEVERAL if found.constrained > 1 else "")
    alike = not found.cones and found.embedding.shape[0] == found.embedding.shape[1]
    return replace(found, edges=step.edges, unfit=step.unfit or ("" if alike else AT_ONCE))


def _nesting_of_patterns(small: Problem, large: Problem) -> Nesting | None:
    """The same where some random effects have a pattern: by rules, beside one residual structure at most."""
    inside = Nesting(np.empty((0, 0)), units(large), ())
    if small.residual is not None or large.residual is not None:
        one, other = _without_common_terms(small, large)
        if not has_pattern(one) and not has_pattern(other) and residuals_nested(one, other):
            return replace(inside, absorbed=bool(one.terms))
        step = residual_step(small, large)
        if step is None or not (step.same or not (one.terms or other.terms)):
            return None
        if not step.same:
            return replace(inside, edges=step.edges, unfit=step.unfit)
    found = pattern_nesting(small, large)
    return found and replace(inside, edges=found.one_sided, unfit=found.reason)


def _without_common_terms(one: Problem, other: Problem) -> tuple[Problem, Problem]:
    """Two problems of the same rows without the random-effects terms that both have."""

    def alike(a: tuple[Problem, Term], b: tuple[Problem, Term]) -> bool:
        (first, term), (second, twin) = a, b
        return (
            term.plain
            and twin.plain
            and term.structure == twin.structure
            and len(term.columns) == len(twin.columns)
            and all(
                np.array_equal(first.columns[i], second.columns[j])
                for i, j in zip(term.columns, twin.columns, strict=True)
            )
            and same_groups(term.codes, twin.codes)
        )

    left, right = list(one.terms), list(other.terms)
    for term in one.terms:
        twin = next((t for t in right if alike((one, term), (other, t))), None)
        if twin is not None:
            left.remove(term)
            right.remove(twin)
    return replace(one, terms=tuple(left)), replace(other, terms=tuple(right))


def random_nesting(small: Problem, large: Problem) -> Nesting | None:
    """How the covariance matrices of one problem lie among those of another; None where they do not."""
    if small.terms and not large.terms:
        return None
    inner, outer = units(small), units(large)
    C = embedding(inner, outer)
    if C is None:
        return None
    draw = np.random.default_rng(0)
    trials = [outer.combined(C @ _entries(inner, draw, rank)) for rank in (*[1] * DRAWS, 0)]
    if not all(positive(matrices) for matrices in trials):
        return None
    return Nesting(C, outer, tuple(_cones(large, trials[-1])))


def _entries(inner: Units, draw: np.random.Generator, rank: int) -> Floats:
    """Free entries of a random T of every term, of full rank or of the rank given."""
    parts = list[Floats]()
    for own, term in zip(inner.own, inner.problem.terms, strict=True):
        k = len(term.columns)
        A = draw.normal(size=(k, rank or 2 * k))
        parts.append(entries_of(own, A @ A.T))
    return np.concatenate([np.empty(0), *parts])


def _cones(large: Problem, matrices: list[Floats]) -> list[Cone]:
    """The null directions of each covariance matrix, those of columns without covariances one by one."""
    out = list[Cone]()
    for t, (term, T) in enumerate(zip(large.terms, matrices, strict=True)):
        size = np.sqrt(np.maximum(T.diagonal(), 0.0))
        size[size == 0.0] = 1.0
        scaled = T / np.outer(size, size)
        for cone in term.structure.cones:
            values, vectors = np.linalg.eigh(scaled[np.ix_(cone, cone)])
            null = values <= NULL * max(float(values[-1]), 1.0)
            if null.any():
                basis = np.zeros((len(T), int(null.sum())))
                basis[list(cone)] = vectors[:, null]
                out.append(Cone(t, basis / size[:, None]))
    return out


def restriction(small: Estimates, large: Estimates) -> Floats | None:
    """(l, p) independent rows L: the smaller fixed part is L beta = 0 in the larger one.

    With X_small = X C it is what C leaves out. Columns of unit length keep rounding apart from coefficients.

    Returns:
        None where some column of the smaller X is no combination of those of the larger one.
    """
    X, Y = large.X, small.X
    if X.shape[1] < Y.shape[1]:
        return None
    if Y.shape[1] == 0:
        return np.eye(X.shape[1])
    lengths = np.linalg.norm(X, axis=0)
    Q, R = np.linalg.qr(X / lengths)
    Y = Y / np.linalg.norm(Y, axis=0)
    if (np.linalg.norm(Y - Q @ (Q.T @ Y), axis=0) >= SPAN).any():
        return None
    C = solved(R, Q.T @ Y)
    C[np.abs(C) < SPAN] = 0.0
    left_out = np.linalg.svd(C)[0][:, Y.shape[1] :].T
    left_out[np.abs(left_out) < SPAN] = 0.0
    return left_out * lengths


def same_fixed(one: Estimates, two: Estimates) -> bool:
    """Whether two models have the same X, so that their REML criteria can be compared."""
    return bool(np.array_equal(one.X, two.X))
