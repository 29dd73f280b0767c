"""Log densities of the data under draws of a posterior: of rows given their groups, of levels given none.

Of a level with rows y, S = Z G Z' + sigma^2 W^-1 R its covariance matrix with the effects integrated out,

    log p = -1/2 (n log 2 pi + log|S| + (y - mean)' S^-1 (y - mean)),

by Woodbury's identity where R is the identity: only q x q matrices, q effects of the level, are factored. A
row given the other rows of its level has a normal distribution in closed form too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.posterior.group_effects import block_diagonal, cholesky_root, solved
from lmmkit.engine.problem import Residual, Term
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates

LOG_2PI = math.log(2.0 * math.pi)
NUMBERS = 4_000_000  # of one block of draws by rows, at most


@dataclass(frozen=True, eq=False)
class Densities:
    """What log densities need of r draws.

    Attributes:
        estimates: The fit, for its rows.
        beta: (r, p) coefficients.
        factors: (r, k, k) Lambda of each term, G = sigma^2 Lambda Lambda'.
        sigma: (r,).
        rho: (r, m) coordinates of the residual structure.
        effects: (r, J, k) random effects of each term; none where all are integrated out.
    """

    estimates: Estimates
    beta: Floats
    factors: Sequence[Floats]
    sigma: Floats
    rho: Floats
    effects: Sequence[Floats]

    @cached_property
    def weights(self) -> Floats:
        """(n,) prior weights."""
        weights = self.estimates.problem.weights
        return np.ones(self.estimates.nobs) if weights is None else weights

    def means(self, rows: Ints, left: Sequence[int] = ()) -> Floats:
        """(r, rows) X beta, the offset and the effects of all terms but some."""
        problem = self.estimates.problem
        mean = self.beta @ self.estimates.X[rows].T
        if problem.offset is not None:
            mean += problem.offset[rows]
        for number, term in enumerate(problem.terms):
            if number not in left:
                columns = [problem.columns[c] for c in term.columns]
                mean += _on_rows(term, self.effects[number], rows, columns)
        return mean

    def noise(self, rows: Ints) -> Floats:
        """(r, rows) standard deviations of the residuals."""
        return self.sigma[:, None] / np.sqrt(self.weights[rows]) * self._spread[:, rows]

    def rows(self) -> Iterator[Floats]:
        """(r, rows) log densities of the rows given their groups' effects, block by block.

        Raises:
            FitError: Residuals are correlated, so that no row stands by itself.
        """
        problem = self.estimates.problem
        if problem.residual is not None and not problem.residual.independent:
            raise FitError(
                "Rows whose residuals are correlated have no log density of their own: waic takes "
                "them one by one; "
                "take loo."
            )
        n, size = self.estimates.nobs, max(1, NUMBERS // len(self.sigma))
        for begin in range(0, n, size):
            rows = np.arange(begin, min(n, begin + size))
            sd = self.noise(rows)
            z = (problem.response[rows] - self.means(rows)) / sd
            yield -0.5 * (LOG_2PI + z**2) - np.log(sd)

    def levels(self, codes: Ints, inside: Sequence[int]) -> Iterator[Floats]:
        """(r, 1) log densities of all rows of a level together, one level after the other.

        Args:
            codes: (n,) level of each row.
            inside: Terms whose effects are integrated out: their levels lie within these.
        """
        for rows in rows_by_level(codes):
            yield self._of_level(rows, inside).joint[:, None]

    def rows_within(self, codes: Ints, inside: Sequence[int]) -> Iterator[Floats]:
        """(r, rows) log density of each row given the others of its level, level by level, as `levels`.

        With Q = S^-1 it is normal, of mean y_i - (Q e)_i / Q_ii and variance 1 / Q_ii.

        Reference: Bürkner, Gabry & Vehtari (2021), Efficient leave-one-out cross-validation for Bayesian
        non-factorized normal and Student-t models, Computational Statistics 36, 1243-1261.
        """
        for rows in rows_by_level(codes):
            at = self._of_level(rows, inside)
            yield -0.5 * (LOG_2PI - np.log(at.precision) + at.scaled**2 / at.precision)

    def _of_level(self, rows: Ints, inside: Sequence[int]) -> _Level:
        correlated = self.estimates.problem.residual is not None
        return self._dense(rows, inside) if correlated else self._woodbury(rows, inside)

    def _parts(self, rows: Ints, inside: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """Of each level of a term within these rows the term, and its (rows, k) columns there."""
        problem = self.estimates.problem
        for number in inside:
            term = problem.terms[number]
            Z = problem.term_columns(term)[rows]
            for level in np.unique(term.codes[rows]):
                yield number, Z * (term.codes[rows] == level)[:, None]

    def _woodbury(self, rows: Ints, inside: Sequence[int]) -> _Level:
        """Q = (W - W Z L M^-1 L' Z' W) / sigma^2, M = I + L' Z' W Z L."""
        w, y, r = self.weights[rows], self.estimates.problem.response[rows], len(self.sigma)
        parts = list(self._parts(rows, inside))
        Z = np.concatenate([np.zeros((len(rows), 0)), *(Z for _, Z in parts)], axis=1)
        e = y - self.means(rows, inside)
        joint, scaled, precision = np.empty(r), np.empty(e.shape), np.empty(e.shape)
        size = max(1, NUMBERS // max(1, Z.shape[1] * max(Z.shape)))
        for begin in range(0, r, size):
            own = slice(begin, begin + size)
            L = block_diagonal([self.factors[number][own] for number, _ in parts])
            WZL = w[:, None] * (Z @ L)
            M = np.eye(Z.shape[1]) + np.matmul((Z @ L).transpose(0, 2, 1), WZL)
            C = cholesky_root(M)
            half = solved(C, WZL.transpose(0, 2, 1))  # (r, q, rows)
            inner = np.matmul(half, e[own][:, :, None])[:, :, 0]
            variance = self.sigma[own] ** 2
            scaled[own] = (w * e[own] - np.matmul(inner[:, None], half)[:, 0]) / variance[:, None]
            precision[own] = (w - (half**2).sum(axis=1)) / variance[:, None]
            quadratic = ((e[own] ** 2) @ w - (inner**2).sum(axis=1)) / variance
            logdet = 2.0 * np.log(np.diagonal(C, axis1=1, axis2=2)).sum(axis=1)
            logdet += len(rows) * np.log(variance) - np.log(w).sum()
            joint[own] = -0.5 * (len(rows) * LOG_2PI + logdet + quadratic)
        return _Level(joint, scaled, precision)

    def _dense(self, rows: Ints, inside: Sequence[int]) -> _Level:
        """S of every draw formed whole, in units of sigma."""
        e = (self.estimates.problem.response[rows] - self.means(rows, inside)) / self.sigma[:, None]
        root = 1.0 / np.sqrt(self.weights[rows])
        S = self._among(rows) * np.outer(root, root)
        for number, Z in self._parts(rows, inside):
            A = Z @ self.factors[number]
            S = S + A @ A.swapaxes(1, 2)
        C = cholesky_root(S)
        B = solved(C, np.broadcast_to(np.eye(len(rows)), S.shape))
        half = np.matmul(B, e[:, :, None])[:, :, 0]
        logs = np.log(np.diagonal(C, axis1=1, axis2=2)).sum(axis=1) + len(rows) * np.log(self.sigma)
        joint = -0.5 * (len(rows) * LOG_2PI + 2.0 * logs + (half**2).sum(axis=1))
        scaled = np.matmul(half[:, None], B)[:, 0] / self.sigma[:, None]
        return _Level(joint, scaled, (B**2).sum(axis=1) / self.sigma[:, None] ** 2)

    def _among(self, rows: Ints) -> Floats:
        """(r, t, t) R among some rows in every draw, zero between subjects."""
        residual = self.estimates.problem.residual
        assert residual is not None
        if residual.independent:
            return self._spread[:, rows, None] ** 2 * np.eye(len(rows))
        subjects, R = residual.subjects[rows], np.zeros((len(self.sigma), len(rows), len(rows)))
        for subject in np.unique(subjects):
            own = np.flatnonzero(subjects == subject)
            R[:, own[:, None], own] = self._block(rows[own])
        return R

    def _block(self, rows: Ints) -> Floats:
        """(r, t, t) R among the rows of one subject; subjects seen at the same visits have the same."""
        residual = self.estimates.problem.residual
        assert residual is not None
        key = tuple(residual.cells[rows].tolist()) if isinstance(residual, Residual) else tuple(rows.tolist())
        if key not in self._blocks:
            self._blocks[key] = np.array([residual.block(rho, rows) for rho in self.rho])
        return self._blocks[key]

    @cached_property
    def _blocks(self) -> dict[tuple[int, ...], Floats]:
        return {}

    @cached_property
    def _spread(self) -> Floats:
        """(r, n) standard deviations of the residuals over sigma, weights left out."""
        residual = self.estimates.problem.residual
        n = self.estimates.nobs
        if residual is None:
            return np.ones((len(self.sigma), n))
        return np.array([residual.sds(rho) for rho in self.rho])


class _Level(NamedTuple):
    """What is known of the rows of a level, S their covariance matrix, Q = S^-1.

    Attributes:
        joint: (r,) their log density.
        scaled: (r, rows) Q (y - mean).
        precision: (r, rows) the diagonal of Q.
    """

    joint: Floats
    scaled: Floats
    precision: Floats


def rows_by_level(codes: Ints) -> list[Ints]:
    """The rows of each level, in the order of the levels."""
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])


def _on_rows(term: Term, b: Floats, rows: Ints, columns: Sequence[Floats]) -> Floats:
    """(r, rows) Z b of a term for (r, J, k) effects."""
    out = np.zeros((len(b), len(rows)))
    for place, column in enumerate(columns):
        effects = b[:, :, place]
        if term.members:
            own = sum((w[rows] * effects[:, codes[rows]] for codes, w in term.members), np.zeros_like(out))
        else:
            own = effects[:, term.codes[rows]]
        out += own * column[rows]
    return out


def nested_terms(estimates: Estimates, codes: Ints) -> list[int]:
    """The terms each of whose levels lies within one level of a factor.

    Args:
        estimates: The fit.
        codes: (n,) levels of the factor.
    """
    found = list[int]()
    for number, term in enumerate(estimates.problem.terms):
        pairs = np.unique(np.stack([term.codes, codes]), axis=1)
        if term.plain and pairs.shape[1] == len(np.unique(term.codes)):
            found.append(number)
    return found


def levels_of(estimates: Estimates, group: str) -> tuple[Ints, list[str]]:
    """(n,) codes and the names of the levels of a grouping factor, or of the subjects of the residuals.

    Raises:
        FitError: There is no such factor, a row belongs to several of its levels, levels are related, or
            residuals are correlated across them.
    """
    codes, names, terms = None, list[str](), estimates.problem.terms
    for random, term in zip(estimates.random, terms, strict=True):
        if random.factor == group:
            if not term.plain:
                raise FitError(
                    f"Levels of {group} cannot be left out one by one: their rows belong to several levels, "
                    "or the levels are related. kind='conditional' leaves out rows."
                )
            codes, names = term.codes, [str(level) for level in random.levels]
    residual = estimates.problem.residual
    subjects = estimates.design.residual.subjects if estimates.design.residual else None
    if codes is None and residual is not None and subjects is not None and subjects.name == group:
        codes, names = residual.subjects, [residual.named(i) for i in range(int(residual.subjects.max()) + 1)]
    if codes is None:
        known = list(estimates.ngroups)
        raise FitError(f"group={group!r} is no grouping factor of the model; there are {', '.join(known)}.")
    if residual is not None and not residual.independent:
        pairs = np.unique(np.stack([residual.subjects, codes]), axis=1)
        if pairs.shape[1] != len(np.unique(residual.subjects)):
            raise FitError(
                f"Residuals are correlated across the levels of {group}; leave out the levels of the "
                f"residual "
                "structure's own factor."
            )
    return codes, names
