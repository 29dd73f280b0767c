"""Forward elimination of the random effects: from cross-products and L to log|V| and W'V^-1W.

V = I + sum_f Z_f (I (x) T_f) Z_f', T = L L', W = [X y]. The factors of the chain are eliminated level by
level, the finest first; the crossed rest follows as one dense matrix. For a level with B = R'R what is left
of its Z'Z:

    (1)  C C' = I + R T R'              log|I + B T| = 2 sum log diag C
    (2)  M    = T (I + B T)^-1 = L (I + L'B L)^-1 L'
    (3)  N    = I - B M = R'(C C')^-1 R^-T
    (4)  B_uv <- B_uv - B_fu' M B_fv          for every two later blocks u, v (later factors, the rest, W)

No inverse of L or T is taken, so a singular G is as good as any. After the last factor B_WW is F = W'V^-1W,
and log|V| is the sum of the log determinants (1). (The block Cholesky factor of the lme4 vignette, equation
18, by Schur complements, without forming it.)

The first factor comes *absorbed* (see `crossproducts.absorb`): its blocks are stored as a_u = R^-T B_fu and
every later block is already "within" its levels, B_uv - sum a_u'a_v. With H = (C C')^-1 (4) then reads

    (5)  B_uv <- within_uv + a_fu' H a_fv

which ADDS positive parts where (4) subtracts: when T is large, M is nearly B^-1 and (4) cancels all digits.
Hence the sign +1 for the first factor and -1 for the others in `_eliminate_factor`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtrs

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.sparse_rest import SparseRest, eliminated
from lmmkit.engine.crossproducts.crossproducts import Coupling, Moments
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.crossproducts.sparse_products import SparseProducts
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.linalg.cross_blocks import Dense, Sparse
from lmmkit.errors import FitError


def _root_of_m(inner: Floats, L: Floats) -> Floats:
    """X of M = X'X, equation (2): X = C^-1 L' with C C' = I + L'B L; takes L'B L, which it changes."""
    for a in range(len(L)):
        inner[a, a] += 1.0
    C, reciprocal = levelwise.cholesky(inner)
    return levelwise.forward(C, reciprocal, np.repeat(L.T[:, :, None], inner.shape[2], axis=2))


@dataclass(frozen=True, eq=False)
class Eliminated:
    """One eliminated factor of the chain; B is Z'Z and its like, after the earlier factors are gone.

    Attributes:
        L: (k, k) relative covariance factor.
        root: (k, k, J) R of B = R'R.
        W: (k, k, J) C^-1 R, so that W'W = N B.
        lift: (k, k, J) takes a right hand side to Z'V^-1 of it: N, or R'H for the absorbed first factor.
        core: (k, k, J) the later blocks lose B_f' core B_f: M, or -H for the absorbed first factor.
        fixed, between, coupling: Its blocks with W, with later chain factors, with the rest.
        logdet: Sum over its levels of log|I + B T|.
    """

    L: Floats
    root: Floats
    W: Floats
    lift: Floats
    core: Floats
    fixed: Floats
    between: dict[int, Floats]
    coupling: Coupling | None
    logdet: float

    @property
    def own(self) -> Floats:
        """T."""
        return self.L @ self.L.T

    def variance(self) -> Floats:
        """(k, k, J) M, equation (2), from the root of B."""
        RL = levelwise.times_constant(self.root, self.L)
        half = _root_of_m(levelwise.transposed_times(RL, RL), self.L)
        return levelwise.transposed_times(half, half)


@dataclass(frozen=True, eq=False)
class Rest:
    """The eliminated rest: C = I + L'S L = chol chol', S what is left of its Z'Z; logdet is log|C|."""

    L: tuple[Floats, ...]
    S: Floats
    chol: Floats
    fixed: Floats
    logdet: float

    def cross_times(self, A: Floats) -> Floats:
        """S A."""
        return self.S @ A


@dataclass(frozen=True, eq=False)
class Forward:
    """After elimination: log|V| and F = W'V^-1 W."""

    links: list[Eliminated]
    rest: Rest | SparseRest | None
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


@dataclass
class _Remaining:
    """The blocks that are left while `eliminate` runs, named as in `Moments`; they belong to one call."""

    own: list[Floats]
    fixed: list[Floats]
    between: dict[tuple[int, int], Floats]
    coupling: list[Coupling | None]
    S: Floats | SparseProducts
    rest_fixed: Floats
    F: Floats


def eliminate(moments: Moments, layout: Layout, L: list[Floats]) -> Forward:
    """Eliminate all random effects.

    Args:
        moments: Cross-products with the first factor absorbed.
        layout: Chain and rest.
        L: One (k, k) factor of T = L L' for each grouping factor, in order of elimination.

    Raises:
        FitError: The equations of the crossed factors are not positive definite.
    """
    left = _Remaining(
        list(moments.own),
        list(moments.fixed),
        dict(moments.between),
        list(moments.coupling),
        moments.rest,
        moments.rest_fixed,
        moments.total.copy(),
    )
    links = [_eliminate_factor(left, layout, f, L[f]) for f in range(len(layout.chain))]
    rest = _eliminate_rest(left, layout, tuple(L[len(layout.chain) :])) if layout.rest else None
    logdet = sum((part.logdet for part in ([*links, rest] if rest is not None else links)), 0.0)
    return Forward(links, rest, logdet, left.F)


def _eliminate_factor(left: _Remaining, layout: Layout, f: int, L: Floats) -> Eliminated:
    """Take chain factor f out of the blocks of the later ones."""
    own = left.own[f]
    k, _, J = own.shape
    if f == 0:
        R, inverse = own, np.empty(0)  # the absorbed factor is stored as R
    else:
        C, inverse = levelwise.cholesky(own, null=levelwise.NULL_PIVOT)
        R = C.transpose(1, 0, 2)
    RL = levelwise.times_constant(R, L)
    grown = levelwise.times_transposed(RL, RL)
    for a in range(k):
        grown[a, a] += 1.0
    C, reciprocal = levelwise.cholesky(grown)  # (1)
    W = levelwise.forward(C, reciprocal, R)
    half = levelwise.forward(C, reciprocal, levelwise.identity(k, J))
    if f == 0:  # (5): half'half = H, added
        lift, sign, root = levelwise.transposed_times(W, half), 1.0, half
    else:  # (3), without the cancelling difference I - B M; (4): root'root = M, subtracted
        lower = levelwise.forward(R.transpose(1, 0, 2), inverse, levelwise.identity(k, J))  # R^-T
        lift = levelwise.transposed_times(W, levelwise.times(half, lower))
        inner = levelwise.times_constant(levelwise.constant_times(L.T, own), L)
        sign, root = -1.0, _root_of_m(inner, L)
    link = Eliminated(
        L=L,
        root=R,
        W=W,
        lift=lift,
        core=-sign * levelwise.transposed_times(root, root),
        fixed=left.fixed[f],
        between={g: left.between[f, g] for g in range(f + 1, len(layout.chain))},
        coupling=left.coupling[f],
        logdet=-2.0 * float(np.log(reciprocal).sum()),
    )
    _update(left, layout, f, link, root, sign)
    return link


def _update(left: _Remaining, layout: Layout, f: int, link: Eliminated, root: Floats, sign: float) -> None:
    """(4) and (5): B_uv += sign (root B_fu)'(root B_fv), summed over the children of each level of u."""
    fixed = levelwise.times(root, link.fixed)
    left.F += sign * levelwise.summed(fixed, fixed)
    halves = {g: levelwise.times(root, block) for g, block in link.between.items()}
    for g, half in halves.items():
        change = levelwise.transposed_times(half, fixed)
        left.fixed[g] = left.fixed[g] + sign * layout.collect(f, g, change)
        for h in range(g, len(layout.chain)):
            change = sign * layout.collect(f, g, levelwise.transposed_times(half, halves[h]))
            if g == h:
                left.own[g] = left.own[g] + change
            else:
                left.between[g, h] = left.between[g, h] + change
    if link.coupling is not None:
        _update_rest(left, layout, f, link, link.coupling, sign * levelwise.transposed_times(root, fixed))


def _update_rest(
    left: _Remaining, layout: Layout, f: int, link: Eliminated, B: Coupling, change: Floats
) -> None:
    """The same for the blocks with the rest; `change` is sign root'root B_fx."""
    gram = B.gram(link.core)
    assert not isinstance(left.S, SparseProducts)  # beside it no factor stands in the chain
    left.S = np.subtract(left.S, gram, out=gram)
    left.rest_fixed = left.rest_fixed + B.transposed_times(change)
    lifted = B.lifted(link.core)
    for g, block in link.between.items():
        target = left.coupling[g]
        assert isinstance(target, Dense)  # only the first factor keeps its pairs as a list
        left.coupling[g] = Dense(target.values - collected(layout, f, g, block, B, lifted))


def _eliminate_rest(left: _Remaining, layout: Layout, L: tuple[Floats, ...]) -> Rest | SparseRest:
    """Take the rest out of W's block by one Cholesky factorisation."""
    if isinstance(left.S, SparseProducts):
        rest = eliminated(left.S, L, left.rest_fixed)
        left.F = rest.weighted
        return rest
    C = congruent(layout, transposed(L), left.S)
    C.flat[:: len(C) + 1] += 1.0
    chol, info = dpotrf(C.T, lower=1, overwrite_a=1)
    if info:
        raise FitError(
            "The crossed random effects gave a matrix that is not positive definite: the columns of the "
            "random-effects terms are too nearly collinear. Centre or drop one of them."
        )
    half = dtrtrs(chol, scaled_rows(layout, transposed(L), left.rest_fixed), lower=1)[0]
    left.F -= half.T @ half
    return Rest(L, left.S, chol, left.rest_fixed, 2.0 * float(np.log(chol.diagonal()).sum()))


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
