"""Repeated visits without a gap: least squares of many responses at once, and their unstructured REML fits.

With every subject of a group a at all its visits, V_a is one (t, t) matrix for all of the group, and of the
rows only sums of products are needed:

    (1)  X'V^-1X = sum_a sum_st (V_a^-1)_st C_a[s, t],        C_a[s, t] = sum_i x_is x_it'
    (2)  V_a = (1 / S_a) sum_i (e_i e_i' + [REML] X_i Phi X_i'),   Phi = (X'V^-1X)^-1,  e = y - X beta

An unstructured V_a is where (2), with beta of least squares at it, does not move: its derivatives are zero
there (Jennrich & Schluchter 1986), and with complete rows repeating it takes a few rounds, since V enters
the right-hand side through beta and Phi alone; where all coefficients are by visit, it enters not at all.

Reference: Jennrich & Schluchter (1986), Unbalanced repeated-measures models with structured covariance
matrices, Biometrics 42, 805-820.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.problem import Problem, Residual
from lmmkit.errors import FitError

ROUNDS = 500
STILL = 1e-12  # relative change of every V_a at which it has come to rest


@dataclass(frozen=True, eq=False)
class VisitGroup:
    """Subjects that share a covariance matrix.

    Attributes:
        cells: (t,) their cells in R.
        rows: (S, t) the rows of each subject, at these cells.
        X: (S, t, p).
    """

    cells: Ints
    rows: Ints
    X: Floats

    @cached_property
    def products(self) -> Floats:
        """(t t, p p) C of (1)."""
        t, p = self.X.shape[1:]
        flat = self.X.reshape(len(self.X), t * p)
        return (flat.T @ flat).reshape(t, p, t, p).transpose(0, 2, 1, 3).reshape(t * t, p * p)

    def with_responses(self, Y: Floats) -> Floats:
        """(t, t, p, m) sum_i x_is y_it of (n, m) responses."""
        y = Y[self.rows]
        S, t, p = self.X.shape
        made = self.X.reshape(S, t * p).T @ y.reshape(S, -1)
        return made.reshape(t, p, t, -1).transpose(0, 2, 1, 3)


@dataclass(frozen=True, eq=False)
class CompleteVisits:
    """A problem of visits without random effects and weights, of which no row is missing.

    Attributes:
        groups: Those that have a covariance matrix of their own.
        p: Number of fixed effects.
        offset: (n,) known part of the mean.
        free: Whether each of these matrices is unstructured.
    """

    groups: tuple[VisitGroup, ...]
    p: int
    offset: Floats
    free: bool

    def weighted(self, P: list[Floats], without: tuple[int, int] | None = None) -> Floats:
        """(m, p, p) X'V^-1X at the inverses P (m, t, t) of each group: (1).

        Args:
            P: Of each group.
            without: A group and a subject of it that is left out.
        """
        out = np.zeros((len(P[0]), self.p * self.p))
        for group, inverse in zip(self.groups, P, strict=True):
            out += inverse.reshape(len(inverse), -1) @ group.products
        found = out.reshape(-1, self.p, self.p)
        if without is not None:
            x, inverse = self.groups[without[0]].X[without[1]], P[without[0]]
            found = found - x.T @ inverse @ x
        return found

    def least_squares(self, V: Floats, Y: Floats, without: tuple[int, int] | None = None) -> Floats:
        """(p, m) generalised least squares estimates of (n, m) responses at one covariance matrix.

        Args:
            V: (T, T) over the cells.
            Y: (n, m).
            without: A group and a subject of it that is left out.
        """
        P = [_inverse(V[np.ix_(group.cells, group.cells)])[None] for group in self.groups]
        y, right = Y - self.offset[:, None], np.zeros((self.p, Y.shape[1]))
        for number, (group, inverse) in enumerate(zip(self.groups, P, strict=True)):
            some = np.ones(len(group.rows), bool)
            if without is not None and without[0] == number:
                some[without[1]] = False
            spread = np.einsum("st,itm->ism", inverse[0], y[group.rows[some]])
            right += np.tensordot(group.X[some], spread, axes=((0, 1), (0, 1)))
        return np.asarray(np.linalg.solve(self.weighted(P, without)[0], right), dtype=np.float64)

    def unstructured(self, Y: Floats, *, reml: bool) -> tuple[Floats, Floats]:
        """(m, p) estimates and (m, p, p) covariance matrices of the fit to each of (n, m) responses.

        Raises:
            FitError: A covariance matrix has not come to rest.
        """
        y = Y - self.offset[:, None]
        rights = [group.with_responses(y) for group in self.groups]
        V = [self._spread(group, y[group.rows]) for group in self.groups]
        for _ in range(ROUNDS):
            P = [_inverse(each) for each in V]
            Phi = _inverse(self.weighted(P))
            right = sum(
                (np.einsum("mst,stpm->mp", inverse, each) for inverse, each in zip(P, rights, strict=True)),
                np.zeros((Y.shape[1], self.p)),
            )
            beta = np.einsum("mpq,mq->mp", Phi, right)
            fresh = [self._round(group, y, beta, Phi if reml else None) for group in self.groups]
            moved = max(_moved(old, new) for old, new in zip(V, fresh, strict=True))
            V = fresh
            if moved <= STILL:
                return beta, Phi
        raise FitError(
            f"The covariance matrices of {Y.shape[1]} completed data sets have not come to rest in {ROUNDS} "
            f"rounds."
        )

    @staticmethod
    def _spread(group: VisitGroup, y: Floats) -> Floats:
        """(m, t, t) covariance matrices of some responses about the means of the visits, to begin with."""
        e = y - y.mean(axis=0)
        V = np.einsum("ism,itm->mst", e, e) / len(y)
        t = V.shape[1]
        return V + 1e-3 * np.einsum("mss->m", V)[:, None, None] / t * np.eye(t)

    @staticmethod
    def _round(group: VisitGroup, y: Floats, beta: Floats, Phi: Floats | None) -> Floats:
        """(m, t, t) the right-hand side of (2)."""
        e = y[group.rows] - np.einsum("isp,mp->ism", group.X, beta, optimize=True)
        V = np.einsum("ism,itm->mst", e, e, optimize=True)
        if Phi is not None:
            t = group.X.shape[1]
            V = V + (Phi.reshape(len(Phi), -1) @ group.products.T).reshape(-1, t, t)
        return V / len(group.rows)


def _inverse(A: Floats) -> Floats:
    return np.asarray(np.linalg.inv(A), dtype=np.float64)


def _moved(old: Floats, new: Floats) -> float:
    size = np.sqrt(np.einsum("mss->ms", new))
    return float((np.abs(new - old) / (size[:, :, None] * size[:, None, :])).max())


def complete_visits(problem: Problem) -> CompleteVisits | None:
    """The problem as one of complete visits; None where it is none."""
    residual, n = problem.residual, len(problem.response)
    if not isinstance(residual, Residual) or problem.terms or problem.weights is not None:
        return None
    structure, groups = residual.structure, list[VisitGroup]()
    X = np.stack([problem.columns[place] for place in problem.fixed], axis=1)
    order = np.lexsort((structure.visits[residual.cells], residual.subjects))
    for block in structure.blocks:
        cells = np.array(block.cells)[np.argsort(block.places, kind="stable")]
        mine = order[np.isin(residual.cells[order], cells)]
        t = len(cells)
        if len(set(block.places.tolist())) < t or len(mine) % t:
            return None
        rows = mine.reshape(-1, t)
        if not (residual.cells[rows] == cells).all() or np.ptp(residual.subjects[rows], axis=1).any():
            return None
        groups.append(VisitGroup(cells, rows, X[rows]))
    free = all(block.correlation == "un" for block in structure.blocks)
    offset = np.zeros(n) if problem.offset is None else problem.offset
    return CompleteVisits(tuple(groups), X.shape[1], offset, free)
