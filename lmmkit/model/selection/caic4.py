"""The conditional AIC as R's package cAIC4 computes it, to stand beside figures published with it.

With V = R + Z T Z', P of the criterion, e the residuals, r2 = y'e, and W_j = Z S_j Z' for every parameter,

    df = tr(I - R P) + sum_jk (B^-1)_jk (e'W_k P - e'W_k e e' / (2 r2)) R P W_j e + 1
    B_jk = e'W_k P W_j e - e'W_j e e'W_k e / (2 r2) - r2 / (2 nu) tr(W_j P W_k P),  j <= k

with V^-1 for P in the last trace under maximum likelihood. Two things are not those of theorem 3 of Greven &
Kneib (2010): the first line has 2 r2 where the derivative of the estimates has r2; and S_j, the derivative of
T by an entry, is taken by lme4's numbers of the entries of Lambda', column by column, for Lambda as well:
from three columns on an entry of one and the transposed of another meet in one S_j, so that the S_j no longer
span the symmetric matrices, and the order of the columns counts. Under weights e stays y - fitted.

Terms of one or two columns without weights differ from `effective_parameters` in the first thing alone.

Reference: Saefken, Ruegamer, Kneib & Greven (2021), Conditional model selection in mixed-effects models with
cAIC4, Journal of Statistical Software 99(8). `conditional_aic` is the criterion itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy import sparse

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.structures import Diagonal, Unstructured
from lmmkit.engine.optimum import Optimum
from lmmkit.engine.problem import FitNumbers, Problem, Term
from lmmkit.engine.solve import solve
from lmmkit.engine.variance_tests.effective_parameters import effective_parameters
from lmmkit.errors import LmmkitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.selection.conditional_aic import ConditionalAic, conditional_llf
from lmmkit.model.threads import one_thread

MOST = 500  # random effects, beside terms of three columns or weights: matrices of this order are filled


def caic4(estimates: Estimates) -> ConditionalAic | None:
    """What cAIC4 gives for the same model at its defaults; None where it has nothing, or beyond `MOST`.

    Where a diagonal entry of Lambda is zero, cAIC4 leaves that column out and fits again; where all are, it
    counts the p fixed effects without sigma. Without random effects it is the AIC of maximum likelihood,
    the weights left out of the density.

    Args:
        estimates: A fit. cAIC4 takes free or diagonal covariance matrices, independent groups and residuals.
    """
    problem = estimates.problem
    own = all(term.plain and isinstance(term.structure, Unstructured | Diagonal) for term in problem.terms)
    if problem.residual is not None or estimates.design.held is not None or not own:
        return None
    try:
        with one_thread():
            return _by_caic4(problem, estimates, estimates.optimum, estimates.fitted)
    except (LmmkitError, np.linalg.LinAlgError):
        return None


def _by_caic4(problem: Problem, fit: FitNumbers, optimum: Optimum, fitted: Floats) -> ConditionalAic | None:
    p, n, terms = len(fit.kept), len(problem.response), problem.terms
    e = problem.response - fitted
    weights = np.ones(n) if problem.weights is None else problem.weights
    if not terms:
        df, llf = p + 1.0, conditional_llf(e, np.ones(n), float(np.sqrt(weights @ e**2 / n)))
        return ConditionalAic(-2.0 * llf + 2.0 * df, df, llf)
    zero = not any(L.any() for L in fit.factors)
    if not zero and not all(L.diagonal().all() for L in fit.factors):
        less = _without_zeros(problem, fit)
        again = solve(less, reml=fit.reml)
        return _by_caic4(less, again, again.optimum, again.fitted)
    known = problem.weights is None and problem.offset is None
    if zero:
        df = float(p)
    elif known and all(len(t.columns) < 3 or isinstance(t.structure, Diagonal) for t in terms):
        df = effective_parameters(optimum, share=0.5) + 1.0
    elif problem.effects <= MOST:
        df = _System(problem, fit, e).degrees_of_freedom()
    else:
        return None
    llf = conditional_llf(e, weights, fit.sigma)
    return ConditionalAic(-2.0 * llf + 2.0 * df, df, llf)


def _without_zeros(problem: Problem, fit: FitNumbers) -> Problem:
    """The model without the columns of which the diagonal entry of Lambda is zero."""
    terms = list[Term]()
    for term, L in zip(problem.terms, fit.factors, strict=True):
        columns = tuple(c for c, root in zip(term.columns, L.diagonal(), strict=True) if root)
        if columns:
            structure = replace(term.structure, width=len(columns))
            terms.append(replace(term, columns=columns, structure=structure))
    return replace(problem, terms=tuple(terms))


class _System:
    """Henderson's equations of a fit, X in an orthonormal basis: U = [X Z], P = R^-1 - R^-1 U Q U'R^-1."""

    def __init__(self, problem: Problem, fit: FitNumbers, residuals: Floats) -> None:
        n, p = len(problem.response), len(fit.kept)
        self.problem, self.fit, self.residuals, self.p = problem, fit, residuals, p
        roots = np.ones(n) if problem.weights is None else np.sqrt(problem.weights)
        X = problem.X(fit.kept)
        basis = np.linalg.qr(X * roots[:, None])[0]
        U = sparse.hstack([sparse.csr_array(basis), *_random_columns(problem, roots)], format="csr")
        blocks = [np.kron(np.eye(t.levels), L) for t, L in zip(problem.terms, fit.factors, strict=True)]
        root = np.asarray(sparse.block_diag([np.eye(p), *blocks]).toarray(), np.float64)
        self.H = np.asarray((U.T @ U).toarray(), np.float64)
        self.Q = _inverse(self.H, root, np.repeat([0.0, 1.0], [p, len(root) - p]))
        self.Q_random = _inverse(self.H[p:, p:], root[p:, p:], np.ones(len(root) - p))
        self.moments = U.T @ (self.residuals / roots)  # U'e: a row of U is its root of the weight times [X Z]

    def degrees_of_freedom(self) -> float:
        p, H = self.p, self.H
        K = np.eye(len(H)) - H @ self.Q
        N, twice, c = (K @ H)[p:, p:], (K @ H @ K.T)[p:, p:], self.moments[p:]
        r2 = float(self.problem.response @ self.residuals)
        nu = len(self.residuals) - (p if self.fit.reml else 0)
        G = H[p:, p:]
        inner = N if self.fit.reml else G - G @ self.Q_random @ G
        slopes = list(_slopes(self.problem))
        right = np.array([_on(S, part, c) for part, S in slopes])
        left = np.array([_on(np.transpose(S), part, c) for part, S in slopes])
        q = right @ c
        traces = np.array([[_trace(inner, one, two) for two in slopes] for one in slopes])
        upper = np.triu(right @ N @ left.T)
        B = upper + np.triu(upper, 1).T - np.outer(q, q) / (2.0 * r2) - r2 / (2.0 * nu) * traces
        moved = left @ twice @ right.T - np.outer(q, right @ (K @ self.moments)[p:]) / (2.0 * r2)
        size = np.sqrt(np.abs(B.diagonal()))
        scale = np.outer(size, size)
        change = np.trace(np.linalg.solve(B / scale, moved / scale))
        return float(np.trace(H @ self.Q) + change) + 1.0


def _random_columns(problem: Problem, roots: Floats) -> Iterator[sparse.csr_array]:
    """(n, J k) Z of each term, times the roots of the weights; the k effects of a level stand together."""
    rows = np.arange(len(roots))
    for term in problem.terms:
        k = len(term.columns)
        values = np.column_stack([problem.columns[c] * roots for c in term.columns])
        places = (np.repeat(rows, k), (term.codes[:, None] * k + np.arange(k)).ravel())
        yield sparse.csr_array((values.ravel(), places), shape=(len(rows), term.levels * k))


def _inverse(H: Floats, root: Floats, unit: Floats) -> Floats:
    """(H + T^-1)^-1 by the root of T, which may be singular."""
    return root @ np.linalg.solve(np.transpose(root) @ H @ root + np.diag(unit), np.transpose(root))


def _slopes(problem: Problem) -> Iterator[tuple[slice, Floats]]:
    """For every parameter the effects that it is about, and (k, k) S_j of one level."""
    begin = 0
    for term in problem.terms:
        k = len(term.columns)
        part = slice(begin, begin + term.levels * k)
        begin = part.stop
        if isinstance(term.structure, Diagonal):
            yield from ((part, np.diag(row)) for row in np.eye(k))
            continue
        lower = [(r, c) for c in range(k) for r in range(c, k)]
        upper = [(r, c) for c in range(k) for r in range(c + 1)]
        for r, c in lower:
            S: Floats = np.zeros((k, k))
            S[lower[upper.index((c, r))]] = 1.0
            if r != c:
                S[c, r] = 1.0
            yield part, S


def _on(S: Floats, part: slice, c: Floats) -> Floats:
    """(I x S) c on a part of the effects, and zero on the others."""
    out = np.zeros_like(c)
    out[part] = (c[part].reshape(-1, len(S)) @ S.T).ravel()
    return out


def _trace(N: Floats, one: tuple[slice, Floats], two: tuple[slice, Floats]) -> float:
    """tr(N S_j N S_k)."""
    (a, S), (b, T) = one, two
    left, right = N[b, a], N[a, b]
    first = (left.reshape(len(left), -1, len(S)) @ S).reshape(left.shape)
    second = (right.reshape(len(right), -1, len(T)) @ T).reshape(right.shape)
    return float(np.sum(first * second.T))
