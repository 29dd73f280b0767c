"""The restricted likelihood ratio test of one variance, in its exact finite-sample distribution.

Under no effect of the tested Z, with mu the K positive eigenvalues of Z'(I - P_X)Z and w independent standard
normals,

    RLRT ~ sup over lambda >= 0 of (n - p) log(sum_s w_s^2 / D) - sum_s log(1 + lambda mu_s),
    D = sum_{s <= K} w_s^2 / (1 + lambda mu_s) + sum_{s > K} w_s^2        (s = 1 to n - p)

Reference: Crainiceanu & Ruppert (2004), Likelihood ratio tests in linear mixed models with one variance
component, Journal of the Royal Statistical Society B 66, 165-185, equation 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.problem import Problem, Term
from lmmkit.errors import FitError

MOST = 4_000  # levels whose eigenvalues are taken
CHUNK = 10_000  # draws that share one stream of random numbers
EQUAL = 1e-9  # eigenvalues closer than this share one chi-squared variable
GRID = np.concatenate([[0.0], np.logspace(-5, 7, 73)])  # lambda in units of 1 / mean mu
GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
SECTIONS = 30  # golden sections about the best grid point


@dataclass(frozen=True, eq=False)
class Spectrum:
    """What the distribution depends on.

    Attributes:
        mu: Distinct positive eigenvalues of Z'(I - P_X)Z.
        counts: How often each occurs.
        nu: n - p.
    """

    mu: Floats
    counts: Floats
    nu: int

    def statistic(self, squares: Floats, rest: Floats, lam: Floats) -> Floats:
        """(r,) the criterion at each draw's own lambda; `squares` (r, g) sums of w^2, `rest` (r,)."""
        grown = 1.0 + lam[:, None] * self.mu
        D = (squares / grown).sum(axis=1) + rest
        total = squares.sum(axis=1) + rest
        return self.nu * np.log(total / D) - np.log(grown) @ self.counts


def spectrum(problem: Problem, tested: int) -> Spectrum:
    """The spectrum of one term with one column.

    Raises:
        FitError: The term has several columns, or too many levels.
    """
    term = problem.terms[tested]
    if len(term.columns) != 1:
        raise FitError(
            f"The term has {len(term.columns)} columns, and the exact test is for one variance alone: use a "
            "bootstrap test."
        )
    if term.levels > MOST:
        raise FitError(
            f"The exact test takes the eigenvalues of a {term.levels:,} x {term.levels:,} matrix; it is "
            f"offered up to {MOST:,} levels. Use a bootstrap test."
        )
    prepared = prepare(problem)
    X, z = prepared.rows[list(prepared.fixed)], prepared.rows[prepared.terms[tested][0]]
    if term.plain:
        ZX = np.array([np.bincount(term.codes, z * x, term.levels) for x in X]).reshape(len(X), term.levels)
        inner = np.diag(np.bincount(term.codes, z * z, term.levels)) - ZX.T @ np.linalg.solve(X @ X.T, ZX)
    else:
        Z = _columns(term, z)
        inner = Z.T @ Z - (Z.T @ X.T) @ np.linalg.solve(X @ X.T, X @ Z)
    values = np.linalg.eigvalsh(inner)
    positive = values[values > 1e-9 * values[-1]]
    new = np.concatenate([[True], np.diff(positive) > EQUAL * positive[:-1]])
    group = np.cumsum(new) - 1
    counts = np.bincount(group).astype(np.float64)
    return Spectrum(np.bincount(group, positive) / counts, counts, len(problem.response) - len(X))


def _columns(term: Term, z: Floats) -> Floats:
    """(n, r) Z of memberships, and Z A of levels with K = A A'."""
    Z = np.zeros((len(z), term.levels))
    for codes, weight in term.members or ((term.codes, np.ones(len(z))),):
        np.add.at(Z, (np.arange(len(z)), codes), weight * z)
    return Z if term.relation is None else Z @ term.relation.coloured(np.eye(term.relation.rank))


def balanced_tail(found: Spectrum, statistic: float) -> float:
    """P(RLRT >= statistic) where all eigenvalues are equal: the test is then the F test of the term.

    With F the ratio of the mean squares of the K tested and the other contrasts, the supremum stands at
    1 + lambda mu = max(F, 1), and RLRT = nu log(1 + K (F - 1) / nu) - K log F grows with F.
    """
    K, nu = float(found.counts[0]), float(found.nu)

    def excess(log_F: float) -> float:
        return nu * float(np.log1p(K * np.expm1(log_F) / nu)) - K * log_F - statistic

    high = 1.0
    while excess(high) < 0.0:
        high *= 2.0
    F = float(np.exp(scipy.optimize.brentq(excess, 0.0, high)))
    return float(scipy.special.fdtrc(K, nu - K, F))


def draws(found: Spectrum, count: int, seed: int) -> Iterator[Floats]:
    """The statistic under no effect, in chunks; draw i is the same whatever the count."""
    key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    for first in range(0, count, CHUNK):
        generator = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, first // CHUNK, 1]))
        squares = np.column_stack([generator.chisquare(m, CHUNK) for m in found.counts])
        left = found.nu - float(found.counts.sum())
        rest = generator.chisquare(left, CHUNK) if left > 0 else np.zeros(CHUNK)
        kept = slice(0, min(CHUNK, count - first))
        yield supremum(found, squares[kept], rest[kept])


def supremum(found: Spectrum, squares: Floats, rest: Floats) -> Floats:
    """The greatest value over lambda, (r,): the best of a grid, refined by golden sections."""
    grid: Floats = GRID / (found.mu @ found.counts / found.counts.sum())
    values = np.array([found.statistic(squares, rest, np.full(len(rest), lam)) for lam in grid])
    best = values.argmax(axis=0)
    low: Floats = grid[np.maximum(best - 1, 0)]
    high: Floats = grid[np.minimum(best + 1, len(grid) - 1)]
    for _ in range(SECTIONS):
        a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        left = found.statistic(squares, rest, a) > found.statistic(squares, rest, b)
        low, high = np.where(left, low, a), np.where(left, b, high)
    refined = found.statistic(squares, rest, (low + high) / 2.0)
    return np.maximum(np.maximum(refined, values.max(axis=0)), 0.0)
