"""Draws of the random effects given the parameters of each draw, by exact conditional normals.

With b = A u, u standard normal before the data, and e = y - X beta,

    M = I + A' Z'V_e^-1 Z A,    u | y ~ N(M^-1 A' Z'V_e^-1 e, M^-1),    V_e = sigma^2 W^-1/2 R W^-1/2.

The factor with most levels is eliminated first, level by level; with M = L L' a draw is L^-T (L^-1 rhs + z).
Where rows have several levels, levels are related or residuals correlated, M is formed whole, draw by draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.crossproducts.whitening import root_of
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.replicates.random_streams import normals
from lmmkit.errors import FitError

PURPOSE = 40  # of the streams of random numbers, beside those of the draws
NUMBERS = 4_000_000  # of the largest array of a chunk of draws
WORK = 6e10  # multiplications beyond which effects are not drawn


@dataclass(frozen=True, eq=False)
class GroupEffects:
    """The effects of one problem under r draws of its parameters.

    Attributes:
        problem: The model, with its data.
        mean: (r, n) X beta and the offset.
        roots: (r, k, k) A of each term, A A' the covariance matrix of a level's effects.
        sigma: (r,).
        rho: (r, m) coordinates of the residual structure.
        seed: Of the random numbers; draw i has its own, whatever others there are.
    """

    problem: Problem
    mean: Floats
    roots: Sequence[Floats]
    sigma: Floats
    rho: Floats
    seed: int

    def drawn(self) -> tuple[Floats, ...]:
        """(r, J, k) effects of each term.

        Raises:
            FitError: The levels that rows connect are too many.
        """
        plain = self.problem.residual is None and all(term.plain for term in self.problem.terms)
        return self._by_elimination() if plain else self._whole()

    # Each row has one level of a factor, and residuals are independent

    @cached_property
    def _factors(self) -> list[list[int]]:
        """The terms of each grouping factor, that with most levels first."""
        found: dict[int, list[int]] = {}
        for number, term in enumerate(self.problem.terms):
            found.setdefault(term.factor, []).append(number)
        return sorted(found.values(), key=lambda terms: -self.problem.terms[terms[0]].levels)

    def _columns(self, terms: Sequence[int]) -> Floats:
        """(n, k) the columns of Z of some terms."""
        places = [c for number in terms for c in self.problem.terms[number].columns]
        return np.stack([self.problem.columns[c] for c in places], axis=1).astype(np.float64, copy=False)

    def _by_elimination(self) -> tuple[Floats, ...]:
        first, *later = self._factors
        term, n = self.problem.terms[first[0]], len(self.problem.response)
        w = np.ones(n) if self.problem.weights is None else self.problem.weights
        Z1, J = self._columns(first), term.levels
        k, sizes = Z1.shape[1], [self._columns(terms).shape[1] for terms in later]
        wide = sum(self.problem.terms[t[0]].levels * size for t, size in zip(later, sizes, strict=True))
        self._refuse(len(self.sigma) * (J * k * (k + wide) ** 2 + wide**3))
        rows = csr_array((w, (term.codes, np.arange(n))), shape=(J, n))
        Z2 = self._sparse(later, sizes, n)
        G11 = np.stack([_sums(rows, Z1 * Z1[:, [a]]) for a in range(k)], axis=1)  # (J, k, k)
        G12 = np.stack([_dense(rows @ (Z2 * Z1[:, [a]])) for a in range(k)], axis=1)  # (J, k, wide)
        G22 = _dense(Z2.T @ (Z2 * w[:, None]))
        e = self.problem.response - self.mean
        g1 = np.stack([_sums(rows, (e * Z1[:, a]).T).T for a in range(k)], axis=2)  # (r, J, k)
        g2 = _sums(Z2.T, (e * w).T).T  # (r, wide)
        out1, out2 = np.empty(g1.shape), np.empty(g2.shape)
        for cut in self._chunks(J * k * (k + wide) + wide**2):
            z = normals(self.seed, cut.start, cut.stop - cut.start, J * k + wide, PURPOSE).T
            variance = (self.sigma[cut] ** 2)[:, None, None]
            A1, A2 = self._joined(first, cut), self._repeated(later, cut)
            D = np.eye(k) + A1.swapaxes(1, 2)[:, None] @ G11 @ A1[:, None] / variance[..., None]
            B = A1.swapaxes(1, 2)[:, None] @ (G12.reshape(J * k, wide) @ A2).reshape(len(A1), J, k, wide)
            S = np.eye(wide) + A2.swapaxes(1, 2) @ G22 @ A2 / variance
            C1 = cholesky_root(D)
            H = solved(C1, B / variance[..., None])
            flat = H.reshape(len(H), J * k, wide)
            C2 = cholesky_root(S - flat.swapaxes(1, 2) @ flat)
            v1 = solved(C1, (g1[cut] @ A1 / variance)[..., None])
            rest = (A2.swapaxes(1, 2) @ g2[cut][..., None]) / variance
            v2 = solved(C2, rest - flat.swapaxes(1, 2) @ v1.reshape(len(H), J * k, 1))
            u2 = solved(C2.swapaxes(1, 2), v2 + z[:, J * k :, None])
            inner = v1 + z[:, : J * k].reshape(-1, J, k, 1) - H @ u2[:, None]
            u1 = solved(C1.swapaxes(2, 3), inner)[..., 0]
            out1[cut] = u1 @ A1.swapaxes(1, 2)
            out2[cut] = (A2 @ u2)[..., 0]
        return self._apart(out1, out2, later)

    def _sparse(self, later: Sequence[Sequence[int]], sizes: Sequence[int], n: int) -> Any:
        """(n, wide) Z of the later factors, the columns of a level together."""
        data, columns, at = list[Floats](), list[Ints](), 0
        for terms, size in zip(later, sizes, strict=True):
            term = self.problem.terms[terms[0]]
            data.append(self._columns(terms))
            columns.append(at + term.codes[:, None] * size + np.arange(size))
            at += term.levels * size
        values = np.concatenate([np.zeros((n, 0)), *data], axis=1)
        places = np.concatenate([np.zeros((n, 0), np.intp), *columns], axis=1)
        which = np.repeat(np.arange(n), values.shape[1])
        return csr_array((values.ravel(), (which, places.ravel())), shape=(n, at))

    def _joined(self, terms: Sequence[int], cut: slice) -> Floats:
        """(r, k, k) A of all terms of a factor."""
        return block_diagonal([self.roots[number][cut] for number in terms])

    def _repeated(self, later: Sequence[Sequence[int]], cut: slice) -> Floats:
        """(r, wide, wide) A of all levels of the later factors."""
        blocks = list[Floats]()
        for terms in later:
            blocks += [self._joined(terms, cut)] * self.problem.terms[terms[0]].levels
        return block_diagonal(blocks) if blocks else np.zeros((len(self.sigma[cut]), 0, 0))

    def _apart(self, out1: Floats, out2: Floats, later: Sequence[Sequence[int]]) -> tuple[Floats, ...]:
        """The effects of each term from those of each factor."""
        found: dict[int, Floats] = {}
        wholes: list[tuple[Sequence[int], Floats]] = [(self._factors[0], out1)]
        at = 0
        for terms in later:
            J, k = self.problem.terms[terms[0]].levels, self._columns(terms).shape[1]
            wholes.append((terms, out2[:, at : at + J * k].reshape(-1, J, k)))
            at += J * k
        for terms, effects in wholes:
            begin = 0
            for number in terms:
                width = len(self.problem.terms[number].columns)
                found[number] = effects[:, :, begin : begin + width]
                begin += width
        return tuple(found[number] for number in range(len(self.problem.terms)))

    # Anything else

    def _whole(self) -> tuple[Floats, ...]:
        problem, n = self.problem, len(self.problem.response)
        parts = [list(_on_rows(term, problem)) for term in problem.terms]
        widths = [part[0].shape[1] for part in parts]
        q = sum(width * len(part) for width, part in zip(widths, parts, strict=True))
        self._refuse(len(self.sigma) * (n * q**2 + q**3))
        weights = np.ones(n) if problem.weights is None else problem.weights
        out = [np.empty((len(self.sigma), t.levels, len(t.columns))) for t in problem.terms]
        for r in range(len(self.sigma)):
            ZA = np.concatenate(
                [
                    sum((Z * A[c, d] for c, Z in enumerate(part)), np.zeros_like(part[0]))
                    for part, A in zip(parts, (root[r] for root in self.roots), strict=True)
                    for d in range(len(part))
                ],
                axis=1,
            )
            both = np.column_stack([ZA, problem.response - self.mean[r]]) * np.sqrt(weights)[:, None]
            if problem.residual is not None:
                both = root_of(problem.residual, self.rho[r]).white(np.ascontiguousarray(both.T)).T
            both = both / self.sigma[r]
            C = cholesky_root(np.eye(q) + both[:, :-1].T @ both[:, :-1])
            z = normals(self.seed, r, 1, q, PURPOSE)
            u = solved(C.T, solved(C, both[:, :-1].T @ both[:, -1:]) + z)[:, 0]
            at = 0
            for term, root, width, b in zip(problem.terms, self.roots, widths, out, strict=True):
                k = len(term.columns)
                own = u[at : at + k * width].reshape(k, width).T @ root[r].T
                b[r] = own if term.relation is None else term.relation.coloured(own)
                at += k * width
        return tuple(out)

    def _chunks(self, numbers: int) -> Iterator[slice]:
        size = max(1, NUMBERS // max(numbers, 1))
        for begin in range(0, len(self.sigma), size):
            yield slice(begin, min(begin + size, len(self.sigma)))

    def _refuse(self, work: float) -> None:
        if work > WORK:
            raise FitError(
                "The effects of so many levels that rows connect are not drawn; ask for fewer draws, or for "
                "the parameters alone."
            )


def _on_rows(term: Term, problem: Problem) -> Iterator[Floats]:
    """(n, rank) of each column of a term: the rows of what its effects are made of."""
    base = (
        np.eye(term.levels) if term.relation is None else term.relation.coloured(np.eye(term.relation.rank))
    )
    for c in term.columns:
        yield term.on_rows(base) * problem.columns[c][:, None]


def cholesky_root(M: Floats) -> Floats:
    """Cholesky factors of (..., q, q) matrices."""
    return np.asarray(np.linalg.cholesky(M), np.float64)


def solved(A: Floats, B: Floats) -> Floats:
    """A^-1 B of (..., q, q) and (..., q, m)."""
    return np.asarray(np.linalg.solve(A, B), np.float64)


def _sums(rows: Any, X: Floats) -> Floats:
    """A sparse matrix times a dense one."""
    return np.asarray(rows @ X, np.float64)


def _dense(A: Any) -> Floats:
    """A sparse matrix written out."""
    return np.asarray(A.toarray(), np.float64)


def block_diagonal(blocks: Sequence[Floats]) -> Floats:
    """(r, q, q) from (r, k, k) blocks."""
    sizes = [block.shape[1] for block in blocks]
    out, at = np.zeros((len(blocks[0]), sum(sizes), sum(sizes))), 0
    for block, k in zip(blocks, sizes, strict=True):
        out[:, at : at + k, at : at + k] = block
        at += k
    return out
