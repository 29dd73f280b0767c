"""Preparation of the rows, so that no digit is lost to the units of the data.

The columns are centred and scaled, the response becomes the residual of ordinary least squares, and prior
weights are multiplied in. The model is closed under all three (a term's T under the changes of columns that
its structure names), so the estimates are carried back exactly: `Prepared` holds the way back.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr, solve_triangular

from lmmkit.engine.arrays import Floats
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.problem import Prepared, Problem, Term
from lmmkit.errors import FitError

RANK_TOLERANCE = 1e-7  # R's: a column is aliased when less than this share of its norm is new
ILL_CONDITIONED = 1e-3  # below this share of new norm X is orthogonalised, else its own columns serve
SLANTED = 0.1  # the same for the columns of one random-effects term


def _constant(problem: Problem) -> int | None:
    """Position of the explicit constant column of X, if there is one."""
    for position in problem.fixed:
        column = problem.columns[position]
        if column.strides == (0,) or (column[0] == column[-1] and column[0] != 0 and np.ptp(column) == 0):
            return position
    return None


def _centred(term: Term, constant: int | None) -> bool:
    """Whether the term's columns may be centred: the model must be closed under it."""
    return term.structure.closed == "any" and constant in term.columns


class _Rows:
    """Collects the distinct prepared columns; a key is (position, centred, scale): None for RMS 1."""

    def __init__(self, problem: Problem, constant: int | None) -> None:
        self.problem, self.constant = problem, constant
        self.mean_weight = None if problem.weights is None else problem.weights / problem.weights.sum()
        self.moments: dict[tuple[int, bool, float | None], tuple[float, float]] = {}

    def add(self, position: int, centred: bool, scale: float | None = None) -> int:
        """Position in `rows` of a column, registered at its first use."""
        key = (position, centred and position != self.constant, scale)
        if key not in self.moments:
            self.moments[key] = (0.0, 1.0)
        return list(self.moments).index(key)

    def mean(self, column: Floats) -> float:
        """Weighted mean."""
        return float(column.mean() if self.mean_weight is None else self.mean_weight @ column)

    def fill(self) -> Floats:
        """The rows, centred and at RMS 1, with an empty last one for the response."""
        rows = np.empty((len(self.moments) + 1, len(self.problem.response)))
        for row, key in zip(rows, self.moments, strict=False):
            column = self.problem.columns[key[0]]
            if key[2] is not None:
                np.divide(column, key[2], out=row)
                self.moments[key] = (0.0, key[2])
                continue
            if key[0] == self.constant:
                self.moments[key] = (0.0, float(column[0]))
                row[:] = 1.0
                continue
            mean = self.mean(column) if key[1] else 0.0
            np.subtract(column, mean, out=row)
            scale = float(np.sqrt(row @ row / len(row))) or 1.0
            row /= scale
            self.moments[key] = (mean, scale)
        return rows

    def common_scale(self, term: Term) -> float | None:
        """What all columns of a term are divided by, where its structure bears no scales of their own."""
        if term.structure.closed != "scale":
            return None
        columns = [self.problem.columns[c] for c in term.columns]
        squares = sum(float(column @ column) for column in columns) / len(columns)
        return float(np.sqrt(squares / len(self.problem.response))) or 1.0

    def basis(self, positions: tuple[int, ...], centred: bool, scale: float | None = None) -> Floats:
        """S of prepared = raw S for some columns: S_cc = 1/s_c, S_1c = -m_c/(s_c x_1)."""
        keys = [(p, centred and p != self.constant, scale) for p in positions]
        S = np.diag([1.0 / self.moments[key][1] for key in keys])
        if self.constant in positions and scale is None:
            one = positions.index(self.constant)
            for c, key in enumerate(keys):
                mean, scale = self.moments[key]
                if mean != 0.0:
                    S[one, c] = -mean / (scale * self.moments[keys[one]][1])
        return S


def _independent(X: Floats) -> tuple[list[int], float]:
    """Columns (rows of X here) that are not aliased with earlier ones, and the least share of new norm."""
    norms = np.sqrt(np.einsum("ij,ij->i", X, X))
    norms[norms == 0] = 1.0
    R = np.zeros((len(X), 0))
    gram = X @ X.T / np.outer(norms, norms)
    kept: list[int] = []
    least = 1.0
    for c in range(len(X)):
        new = gram[c, c] - R[c] @ R[c]
        if new < 1e-6:  # cancellation in the Gram matrix: ask the rows themselves
            rest = X[c] / norms[c]
            if kept:
                Q = qr((X[kept] / norms[kept, None]).T, mode="economic")[0]
                for _ in range(2):
                    rest = rest - Q @ (Q.T @ rest)
            new = float(rest @ rest)
        if new > RANK_TOLERANCE**2:
            column = (gram[:, c] - R @ R[c]) / np.sqrt(new)
            R, kept, least = np.column_stack([R, column]), [*kept, c], min(least, float(np.sqrt(new)))
    return kept, least


def _orthogonal(X: Floats) -> tuple[Floats, Floats]:
    """Rows spanning the same space, orthogonal at RMS 1, and S of X_new = X S."""
    Q, R = qr(X.T, mode="economic")
    root = np.sqrt(X.shape[1])
    return Q.T * root, solve_triangular(R, np.eye(len(X))) * root


def _residual(rows: Floats, fixed: list[int]) -> Floats:
    """Ordinary least squares, twice for the digits; the response row becomes its own residual."""
    X = rows[fixed] if fixed != list(range(len(fixed))) else rows[: len(fixed)]
    beta = np.zeros(len(fixed))
    gram = X @ X.T
    for _ in range(2 if fixed else 0):
        step = solved(gram, X @ rows[-1])
        rows[-1] -= step @ X
        beta += step
    return beta


def prepare(problem: Problem) -> Prepared:
    """Centred, scaled and weighted rows of a problem.

    Raises:
        FitError: The response is constant or an exact linear function of the fixed effects.
    """
    constant = _constant(problem)
    book = _Rows(problem, constant)
    fixed = [book.add(position, constant is not None) for position in problem.fixed]
    terms = tuple(
        tuple(book.add(c, _centred(t, constant), book.common_scale(t)) for c in t.columns)
        for t in problem.terms
    )
    rows = book.fill()
    unit = None if constant is None else fixed[problem.fixed.index(constant)]
    y = problem.response if problem.offset is None else problem.response - problem.offset
    y_mean = 0.0 if constant is None else book.mean(y)
    np.subtract(y, y_mean, out=rows[-1])
    spread = float(np.sqrt(rows[-1] @ rows[-1] / len(y)))
    log_weights = 0.0
    if problem.weights is not None:
        rows *= np.sqrt(problem.weights)
        log_weights, unit = float(np.log(problem.weights).sum()), None
    independent, least = _independent(rows[fixed])
    basis = book.basis(problem.fixed, constant is not None)
    kept_rows = [fixed[c] for c in independent]
    S = basis[np.ix_(independent, independent)]
    if least < ILL_CONDITIONED:
        Q, turn = _orthogonal(rows[kept_rows])
        rows = np.concatenate([rows[:-1], Q, rows[-1:]])
        kept_rows, S = list(range(len(rows) - 1 - len(Q), len(rows) - 1)), S @ turn
    rows, term_rows, term_bases = _straightened(problem, rows, terms, book, constant)
    beta = S @ _residual(rows, kept_rows)
    if constant is not None:
        beta[independent.index(problem.fixed.index(constant))] += y_mean / problem.columns[constant][0]
    scale = float(np.sqrt(rows[-1] @ rows[-1] / len(y)))
    _refuse_exact(scale, spread, y)
    rows[-1] /= scale
    return Prepared(
        rows=rows,
        unit=unit,
        fixed=tuple(kept_rows),
        kept=tuple(independent),
        terms=term_rows,
        basis=S,
        term_bases=term_bases,
        beta=beta,
        scale=scale,
        log_weights=log_weights,
    )


def _straightened(
    problem: Problem, rows: Floats, terms: tuple[tuple[int, ...], ...], book: _Rows, constant: int | None
) -> tuple[Floats, tuple[tuple[int, ...], ...], tuple[Floats, ...]]:
    """Rows, each term's positions in them, its S; nearly collinear columns of a term are orthogonalised."""
    positions, bases = list[tuple[int, ...]](), list[Floats]()
    for term, mine in zip(problem.terms, terms, strict=True):
        S = book.basis(term.columns, _centred(term, constant), book.common_scale(term))
        if term.structure.closed == "any" and len(mine) > 1:
            kept, least = _independent(rows[list(mine)])
            if len(kept) == len(mine) and least < SLANTED:
                Q, turn = _orthogonal(rows[list(mine)])
                mine, S = tuple(range(len(rows) - 1, len(rows) - 1 + len(Q))), S @ turn
                rows = np.concatenate([rows[:-1], Q, rows[-1:]])
        positions.append(mine)
        bases.append(S)
    return rows, tuple(positions), tuple(bases)


def _refuse_exact(scale: float, spread: float, y: Floats) -> None:
    """No variance is left to estimate."""
    rounding = 1e-15 * float(np.abs(y).max())
    if spread <= rounding:
        raise FitError(
            f"The response is constant ({y[0]:.6g} in every row): there is no variance to divide. "
            "Check that the right column is the response."
        )
    if scale <= max(1e-13 * spread, rounding):
        raise FitError(
            "The fixed effects reproduce the response exactly: no residual variance is left to estimate. "
            "Remove the column that is a copy or a function of the response."
        )
