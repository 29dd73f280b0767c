"""Forward elimination of the random effects: from cross-products and L to log|V| and W'V^-1W.

For each level, with T = L L' and B = R'R what is left of Z'Z:

    C C' = I + R T R'              log|I + B T| = 2 sum log diag C
    H    = (C C')^-1               N = I - B M = R' H R^-T
    M    = T (I + B T)^-1 = L (I + L'B L)^-1 L'

No inverse of L or T is taken, so a singular G is as good as any.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtrs

from lmmkit.engine.crossproducts.crossproducts import Coupling, Moments
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.linalg import level_matrices as kernels
from lmmkit.engine.linalg.cross_blocks import Dense, Sparse
from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError


def _root_of_m(inner: Floats, L: Floats) -> Floats:
    """X of M = X'X, X = C^-1 L' with C C' = I + L'B L; takes L'B L, which it changes."""
    for a in range(len(L)):
        inner[a, a] += 1.0
    C, reciprocal = kernels.cholesky(inner)
    return kernels.forward(C, reciprocal, np.repeat(L.T[:, :, None], inner.shape[2], axis=2))


@dataclass(frozen=True, eq=False)
class Link:
    """One eliminated factor of the chain; B is Z'Z and its like, after the earlier factors are gone.

    Attributes:
        L: (k, k) relative covariance factor.
        root: (k, k, J) R of B = R'R.
        W: (k, k, J) C^-1 R, so that W'W = N B.
        lift: (k, k, J) takes a right hand side to Z'V^-1 of it: N, or R'H for the absorbed first factor.
        core: (k, k, J) the blocks that remain lose B_f' core B_f: M, or -H for the absorbed first factor.
        fixed, between, coupling: Its blocks with W, with later chain factors, with the rest.
    """

    L: Floats
    root: Floats
    W: Floats
    lift: Floats
    core: Floats
    fixed: Floats
    between: dict[int, Floats]
    coupling: Coupling | None

    @property
    def own(self) -> Floats:
        """T."""
        return self.L @ self.L.T

    def variance(self) -> Floats:
        """(k, k, J) M = L (I + L'B L)^-1 L', from the root of B."""
        RL = kernels.times_constant(self.root, self.L)
        half = _root_of_m(kernels.transposed_times(RL, RL), self.L)
        return kernels.transposed_times(half, half)


@dataclass(frozen=True, eq=False)
class Rest:
    """The eliminated rest: C = I + L'S L = chol chol', S what is left of its Z'Z."""

    L: tuple[Floats, ...]
    S: Floats
    chol: Floats
    fixed: Floats


@dataclass(frozen=True, eq=False)
class Forward:
    """After elimination: log|V| and F = W'V^-1 W."""

    links: list[Link]
    rest: Rest | None
    logdet: float
    F: Floats


def scaled_rows(layout: Layout, L: tuple[Floats, ...], A: Floats) -> Floats:
    """(I (x) L) A for the dense rest, level by level."""
    out = np.empty_like(A)
    for position, factor in enumerate(L):
        rows = layout.columns(position)
        if len(factor) == 1:
            np.multiply(A[rows], factor[0, 0], out=out[rows])
        else:
            out[rows] = (factor @ A[rows].reshape(-1, len(factor), A.shape[1])).reshape(-1, A.shape[1])
    return out


def congruent(layout: Layout, L: tuple[Floats, ...], A: Floats, out: Floats | None = None) -> Floats:
    """(I (x) L) A (I (x) L)' for symmetric A; `out` may be A itself."""
    if all(len(factor) == 1 for factor in L):
        d = np.concatenate([np.full(f.levels, x[0, 0]) for f, x in zip(layout.rest, L, strict=True)])
        scaled = np.multiply(A, d, out=out)
        return np.multiply(scaled, d[:, None], out=scaled)
    return scaled_rows(layout, L, np.ascontiguousarray(scaled_rows(layout, L, A).T))


def transposed(L: tuple[Floats, ...]) -> tuple[Floats, ...]:
    """L' of each factor."""
    return tuple(factor.T for factor in L)


class Elimination:
    """Eliminates the factors of one layout for any L."""

    def __init__(self, moments: Moments, layout: Layout) -> None:
        self.moments, self.layout = moments, layout

    def __call__(self, L: list[Floats]) -> Forward:
        """Eliminate with one (k, k) L per factor, in order of elimination."""
        m, layout = self.moments, self.layout
        self.own = list(m.own)
        self.fixed, self.between, self.coupling = list(m.fixed), dict(m.between), list(m.coupling)
        self.S, self.rest_fixed, self.F = m.rest, m.rest_fixed, m.total.copy()
        self.logdet = 0.0
        links = [self._link(f, L[f]) for f in range(len(layout.chain))]
        rest = self._rest(tuple(L[len(layout.chain) :])) if layout.rest else None
        return Forward(links, rest, self.logdet, self.F)

    def _link(self, f: int, L: Floats) -> Link:
        """Eliminate chain factor f from the blocks of the later ones."""
        k, _, J = self.own[f].shape
        R, inverse = self._root(f)
        C, reciprocal = kernels.cholesky(self._grown(kernels.times_constant(R, L)))
        self.logdet -= 2.0 * float(np.log(reciprocal).sum())
        W = kernels.forward(C, reciprocal, R)
        half = kernels.forward(C, reciprocal, kernels.identity(k, J))
        if f == 0:
            lift, sign, left = kernels.transposed_times(W, half), 1.0, half
        else:
            lower = kernels.forward(R.transpose(1, 0, 2), inverse, kernels.identity(k, J))  # R^-T
            lift = kernels.transposed_times(W, kernels.times(half, lower))
            inner = kernels.times_constant(kernels.constant_times(L.T, self.own[f]), L)
            left, sign = _root_of_m(inner, L), -1.0
        core = -sign * kernels.transposed_times(left, left)
        later = {g: self.between[f, g] for g in range(f + 1, len(self.layout.chain))}
        link = Link(L, R, W, lift, core, self.fixed[f], later, self.coupling[f])
        self._update(f, link, left, sign)
        return link

    def _root(self, f: int) -> tuple[Floats, Floats]:
        """R of B = R'R and the reciprocals of its diagonal; the first factor is stored as R."""
        if f == 0:
            return self.own[0], np.empty(0)
        C, inverse = kernels.cholesky(self.own[f], null=kernels.NULL_PIVOT)
        return C.transpose(1, 0, 2), inverse

    @staticmethod
    def _grown(A: Floats) -> Floats:
        """I + A A'."""
        out = kernels.times_transposed(A, A)
        for a in range(len(out)):
            out[a, a] += 1.0
        return out

    def _update(self, f: int, link: Link, left: Floats, sign: float) -> None:
        """Each later pair of blocks: B_uv += sign (left B_fu)'(left B_fv), summed over children."""
        fixed = kernels.times(left, link.fixed)
        self.F += sign * kernels.summed(fixed, fixed)
        halves = {g: kernels.times(left, block) for g, block in link.between.items()}
        for g, half in halves.items():
            change = kernels.transposed_times(half, fixed)
            self.fixed[g] = self.fixed[g] + sign * self.layout.collect(f, g, change)
            for h in range(g, len(self.layout.chain)):
                change = sign * self.layout.collect(f, g, kernels.transposed_times(half, halves[h]))
                if g == h:
                    self.own[g] = self.own[g] + change
                else:
                    self.between[g, h] = self.between[g, h] + change
        if link.coupling is not None:
            self._update_rest(f, link, kernels.transposed_times(left, fixed), sign)

    def _update_rest(self, f: int, link: Link, core_fixed: Floats, sign: float) -> None:
        """The same for the blocks with the rest."""
        B = link.coupling
        assert B is not None
        gram = B.gram(link.core)
        self.S = np.subtract(self.S, gram, out=gram)
        self.rest_fixed = self.rest_fixed + sign * B.transposed_times(core_fixed)
        lifted = B.lifted(link.core)
        for g, block in link.between.items():
            target = self.coupling[g]
            assert isinstance(target, Dense)
            self.coupling[g] = Dense(target.values - collected(self.layout, f, g, block, B, lifted))

    def _rest(self, L: tuple[Floats, ...]) -> Rest:
        """Eliminate the rest by one dense Cholesky factorisation."""
        C = congruent(self.layout, transposed(L), self.S)
        C.flat[:: len(C) + 1] += 1.0
        chol, info = dpotrf(C.T, lower=1, overwrite_a=1)
        if info:
            raise FitError(
                "The crossed random effects gave a matrix that is not positive definite: the columns of the "
                "random-effects terms are too nearly collinear. Centre or drop one of them."
            )
        self.logdet += 2.0 * float(np.log(chol.diagonal()).sum())
        half = dtrtrs(chol, scaled_rows(self.layout, transposed(L), self.rest_fixed), lower=1)[0]
        self.F -= half.T @ half
        return Rest(L, self.S, chol, self.rest_fixed)


def collected(layout: Layout, f: int, g: int, block: Floats, B: Coupling, lifted: Floats) -> Floats:
    """B_fg' (lifted B_fR) summed over the children in f of each level of g: dense (k_g, J_g, q2)."""
    if isinstance(B, Sparse):
        values = np.einsum("abt,at->bt", block[:, :, B.level], lifted)
        cell = layout.parents[f, g][B.level] * B.size + B.column
        J = layout.chain[g].levels
        sums = [np.bincount(cell, v, J * B.size).reshape(J, B.size) for v in values]
        return np.array(sums, dtype=np.float64)
    values = np.einsum("abj,ajc->bjc", block, lifted)
    return np.add.reduceat(values, layout.starts[f, g], axis=1)
