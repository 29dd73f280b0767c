"""Covariance structures of random effects that have a pattern, each by its definition, entry by entry."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.problem import Problem, Term

PLACES = {"ou": [(0.0,), (0.4,), (1.9,), (2.2,)], "exp": [(0.0, 0.0), (1.0, 0.3), (0.2, 2.0), (3.0, 3.0)]}


@dataclass
class Pattern:
    """A structure, by what it says of two columns.

    Attributes:
        own: Whether each column has a standard deviation.
        correlations: How many numbers the correlations depend on, of k columns.
        rho: The correlation of columns i and j apart from each other, from those numbers and k.
        numbers: Such numbers in no special place, for four columns.
    """

    own: bool
    correlations: Callable[[int], int]
    rho: Callable[[np.ndarray, int, int], float]
    numbers: tuple[float, ...]

    def matrix(self, sds, numbers):
        """G (k, k)."""
        k = len(sds)
        C = [[1.0 if i == j else self.rho(np.asarray(numbers), i, j) for j in range(k)] for i in range(k)]
        return np.outer(sds, sds) * np.array(C)


def _fading(tag):
    return lambda r, i, j: float(np.exp(-np.linalg.norm(np.subtract(PLACES[tag][i], PLACES[tag][j])) / r[0]))


PATTERNS = {
    "homdiag": Pattern(False, lambda k: 0, lambda r, i, j: 0.0, ()),
    "cs": Pattern(True, lambda k: 1, lambda r, i, j: r[0], (0.4,)),
    "homcs": Pattern(False, lambda k: 1, lambda r, i, j: r[0], (-0.2,)),
    "ar1": Pattern(False, lambda k: 1, lambda r, i, j: r[0] ** abs(i - j), (0.6,)),
    "hetar1": Pattern(True, lambda k: 1, lambda r, i, j: r[0] ** abs(i - j), (-0.5,)),
    "toep": Pattern(True, lambda k: k - 1, lambda r, i, j: r[abs(i - j) - 1], (0.5, 0.1, -0.2)),
    "homtoep": Pattern(False, lambda k: k - 1, lambda r, i, j: r[abs(i - j) - 1], (0.6, 0.3, 0.3)),
    "ou": Pattern(False, lambda k: 1, _fading("ou"), (1.4,)),
    "exp": Pattern(False, lambda k: 1, _fading("exp"), (2.0,)),
}
SDS = (1.1, 0.6, 1.7, 0.9)


def structure(tag, k=4):
    """The structure of k columns."""
    return structure_of(tag, k, tuple(PLACES[tag][:k]) if tag in PLACES else ())


def sds(tag, k=4):
    """Standard deviations of k columns in no special place."""
    return np.array(SDS[:k]) if PATTERNS[tag].own else np.full(k, 1.3)


def member(tag, k=4):
    """A covariance matrix of the structure, by its definition."""
    pattern = PATTERNS[tag]
    return pattern.matrix(sds(tag, k), pattern.numbers[: pattern.correlations(k)])


def natural(tag, k=4):
    """The parameters of that matrix as they are printed."""
    pattern = PATTERNS[tag]
    return [*(sds(tag, k) if pattern.own else sds(tag, k)[:1]), *pattern.numbers[: pattern.correlations(k)]]


def problem(tag, k=4, seed=3, levels=14, rows=2, crossed=True, G=None):
    """A small problem: levels with k columns of a pattern, some rows lost, a crossed factor beside."""
    rng = np.random.default_rng(seed)
    level, place = np.repeat(np.arange(levels), k * rows), np.tile(np.repeat(np.arange(k), rows), levels)
    kept = rng.uniform(size=len(level)) > 0.12
    level, place = level[kept], place[kept]
    n, other = len(level), rng.integers(0, 6, kept.sum())
    b = rng.multivariate_normal(np.zeros(k), member(tag, k) if G is None else G, size=levels)
    x = rng.normal(size=n)
    y = 1.0 + 0.5 * x + b[level, place] + 0.7 * rng.normal(size=6)[other] + rng.normal(size=n)
    columns = (np.broadcast_to(1.0, n), x, *((place == j).astype(float) for j in range(k)))
    terms = [Term(0, level, levels, tuple(range(2, 2 + k)), structure(tag, k))]
    if crossed:
        terms.append(Term(1, other, 6, (0,), structure_of("", 1)))
    return Problem(columns, (0, 1), y, tuple(terms))


def deviance(problem, matrices, reml):
    """The deviance of dense matrices, sigma and the fixed effects at their best; G relative to sigma^2."""
    n, X = len(problem.response), np.column_stack([problem.columns[c] for c in problem.fixed])
    V = np.eye(n) if problem.weights is None else np.diag(1.0 / problem.weights)
    for term, T in zip(problem.terms, matrices, strict=True):
        Z = np.column_stack([problem.columns[c] for c in term.columns])
        V = V + np.where(term.codes[:, None] == term.codes, Z @ T @ Z.T, 0.0)
    inverse = np.linalg.inv(V)
    XVX = X.T @ inverse @ X
    r = problem.response - X @ np.linalg.solve(XVX, X.T @ inverse @ problem.response)
    nu = n - X.shape[1] * reml
    found = np.linalg.slogdet(V)[1] + nu * (1.0 + np.log(2.0 * np.pi * (r @ inverse @ r) / nu))
    return found + (np.linalg.slogdet(XVX)[1] if reml else 0.0)
