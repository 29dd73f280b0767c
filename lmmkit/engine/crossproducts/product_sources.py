"""Where the cross-products come from: fixed, or moving with the coordinates rho of the residuals' R.

Var(y) = sigma^2 V, V = R(rho) + sum Z T Z'. `Fixed` is R = I. `Patterned` is R over visits without random
effects: the rows of S_p subjects with the same cells, M_p (S_p, t q), enter by C_p = M_p'M_p alone, one
product per pattern, so that an evaluation costs what the patterns do and not what the subjects do. With
P = R_p^-1, RD_i = dR_p / d rho_i, and sums over patterns,

    (1)  F = W'R^-1W = sum_st P_st C_p[s, t],    log|R| = sum S_p log|R_p|
    (2)  D_R = scatter(S_p P - P C_K P),         C_K[s, t] = <K, C_p[s, t]>       d deviance / dR
    (3)  G_i = -dF / d rho_i = sum_st (P RD_i P)_st C_p[s, t]
    (4)  E_ij = tr(RD_i P RD_j (2 P C_K P - S_p P))

and d deviance / d rho_i = <D_R, dR_i>. The exact second derivatives of the profiled deviance are

    (5)  E_ij - 2 / sigma^2 (G_i a)'Phi (G_j a) - [REML] tr(Phi_r G_i Phi_r G_j) + <D_R, d2R_ij>
         [- q_i q_j / (sigma^2 r2) where sigma is at its best], q_i = a'G_i a

where Phi_r is (X'V^-1X)^-1 and Phi what a constraint leaves of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.covariance.row_structure import RowStructure
from lmmkit.engine.crossproducts.crossproducts import Moments
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.crossproducts.patterns import (
    LEAST_SHARE,
    SINGULAR,
    Patterns,
    patterns_of,
    refuse_out_of_range,
)
from lmmkit.engine.lazy import lazy
from lmmkit.engine.problem import Prepared, Residual
from lmmkit.errors import FitError

MOST = 100_000_000  # numbers of the sums of patterns of one size, beyond which the rows stand for them
CHUNK = 4_000_000  # numbers of a stack of derivatives that are made at a time


class RandomRows(ABC):
    """What whitened rows have of the random effects at one point; rows are the last axis."""

    @abstractmethod
    def scores(self, prepared: Prepared, layout: Layout) -> Floats:
        """Returns (q, n) s = u_W + X~'u_Z: R^(1/2) V^-1 W, whitened."""

    @abstractmethod
    def pulls(self, prepared: Prepared, layout: Layout, s: Floats) -> Iterator[tuple[slice | None, Floats]]:
        """Yields the derivative of the deviance in the rows.

        It is that of some columns (m, n) of the rest's Z at a time, then, with None, of all prepared rows.
        """


@dataclass(frozen=True, eq=False)
class Adjoint:
    """How the deviance depends on F = W'V^-1W at one point.

    Attributes:
        K: (q, q) d deviance / dF.
        a: (q,) with W a = y - X beta.
        precision: 1 / sigma^2.
        Phi: (p, p) covariance of the estimated fixed effects over sigma^2.
        restricted: (p, p) (X'V^-1X)^-1 under REML, else None.
        effects: What whitened rows have of the random effects, for a source of whitened rows.
    """

    K: Floats
    a: Floats
    precision: float
    Phi: Floats
    restricted: Floats | None
    effects: RandomRows | None = None


class ProductSource(ABC):
    """Cross-products as R moves with its r coordinates rho."""

    @property
    @abstractmethod
    def structure(self) -> ResidualStructure | RowStructure:
        """What R may be."""

    @property
    def count(self) -> int:
        """The number r of coordinates."""
        return self.structure.count

    @abstractmethod
    def moments(self, rho: Floats) -> tuple[Moments, float]:
        """Returns the cross-products, the first factor absorbed, and log|R|.

        Raises:
            FitError: R is not positive definite.
        """

    @abstractmethod
    def pullback(self, rho: Floats, adjoint: Adjoint) -> Floats:
        """Returns (r,) d deviance / d rho."""


@dataclass(frozen=True, eq=False)
class Fixed(ProductSource):
    """Independent residuals: the same cross-products at all times."""

    absorbed: Moments

    @property
    def structure(self) -> ResidualStructure:
        """R = I, without cells."""
        return ResidualStructure((), (), ())

    @property
    def count(self) -> int:
        """None."""
        return 0

    def moments(self, rho: Floats) -> tuple[Moments, float]:
        """Returns what there is."""
        return self.absorbed, 0.0

    def pullback(self, rho: Floats, adjoint: Adjoint) -> Floats:
        """Returns nothing."""
        return np.empty(0)


@dataclass(frozen=True, eq=False)
class PatternSums(ABC):
    """C_p of all patterns of t cells.

    Attributes:
        patterns: Whose they are.
    """

    patterns: Patterns

    @abstractmethod
    def total(self, A: Floats) -> Floats:
        """(m, q, q) sum_p sum_st A_p[s, t] C_p[s, t] for (m, B, t, t) A."""

    @abstractmethod
    def contracted(self, K: Floats) -> Floats:
        """(B, t, t) <K, C_p[s, t]> for (q, q) symmetric K."""

    @abstractmethod
    def some(self, here: slice) -> PatternSums:
        """Those of some patterns."""


@dataclass(frozen=True, eq=False)
class GramSums(PatternSums):
    """The sums themselves, which cost what the patterns do.

    Attributes:
        sums: (B, t, t, q, q).
    """

    sums: Floats

    def total(self, A: Floats) -> Floats:
        """(m, q, q) in one product."""
        q = self.sums.shape[-1]
        return (A.reshape(len(A), -1) @ self.sums.reshape(-1, q * q)).reshape(-1, q, q)

    def contracted(self, K: Floats) -> Floats:
        """(B, t, t) in one product."""
        return (self.sums.reshape(-1, K.size) @ K.ravel()).reshape(self.sums.shape[:3])

    def some(self, here: slice) -> GramSums:
        """Those of some patterns."""
        return GramSums(self.patterns.some(here), self.sums[here])


@dataclass(frozen=True, eq=False)
class RowSums(PatternSums):
    """The rows in their place: where patterns have few subjects each, they are fewer than the sums.

    Attributes:
        rows: (S, t, q) of each subject, pattern by pattern.
    """

    rows: Floats

    def total(self, A: Floats) -> Floats:
        """(m, q, q) subject by subject."""
        t, q = self.rows.shape[1:]
        own, flat = self.patterns.pattern, self.rows.reshape(-1, q).T
        return np.array(
            [flat @ (part[own] @ self.rows).reshape(-1, q) for part in A.reshape(len(A), -1, t, t)]
        )

    def contracted(self, K: Floats) -> Floats:
        """(B, t, t) subject by subject."""
        each = (self.rows @ K) @ self.rows.swapaxes(1, 2)
        return np.add.reduceat(each, self.patterns.starts[:-1], axis=0)

    def some(self, here: slice) -> RowSums:
        """Those of some patterns."""
        starts, (first, last, _) = self.patterns.starts, here.indices(len(self.patterns.counts))
        return RowSums(self.patterns.some(here), self.rows[starts[first] : starts[last]])


@dataclass(frozen=True, eq=False)
class _Here:
    """R_p^-1 of each group, log|R| and dR / drho_i at one rho."""

    structure: ResidualStructure
    rho: Floats
    inverses: list[Floats]
    logdet: float

    @lazy
    def jacobian(self) -> Floats:
        """(r, T, T)."""
        return self.structure.jacobian(self.rho)


@dataclass(frozen=True, eq=False)
class Patterned(ProductSource):
    """Correlated visits without random effects.

    Attributes:
        residual: Cells, subjects, and what R may be.
        groups: The sums of the patterns, by their number of cells.
        width: The number q of columns of W.
    """

    residual: Residual
    groups: tuple[PatternSums, ...]
    width: int

    @property
    def structure(self) -> ResidualStructure:
        """That of the residuals."""
        return self.residual.structure

    def moments(self, rho: Floats) -> tuple[Moments, float]:
        """Returns F and log|R|: (1)."""
        here = self._at(rho)
        F = np.sum([g.total(P[None])[0] for g, P in zip(self.groups, here.inverses, strict=True)], axis=0)
        return self._only((F + F.T) / 2.0), here.logdet

    def pullback(self, rho: Floats, adjoint: Adjoint) -> Floats:
        """Returns (r,) d deviance / d rho."""
        return np.einsum("iab,ab->i", self._at(rho).jacobian, self.slope(rho, adjoint.K))

    def slope(self, rho: Floats, K: Floats) -> Floats:
        """(T, T) d deviance / dR: (2)."""
        T = self.structure.size
        D = np.zeros((T, T))
        for group, P in zip(self.groups, self._at(rho).inverses, strict=True):
            cells = group.patterns.cells
            part = group.patterns.counts[:, None, None] * P - P @ group.contracted(K) @ P
            np.add.at(D, (cells[:, :, None], cells[:, None, :]), part)
        return D

    def slopes(self, rho: Floats) -> Floats:
        """(r, q, q) d (W'V^-1W) / d rho: minus (3)."""
        return -self._derivatives(rho, None)[0]

    def curvature(self, rho: Floats, adjoint: Adjoint) -> tuple[Floats, Floats]:
        """Returns (r, r) (5) with sigma held, and (r,) q."""
        G, H = self._derivatives(rho, adjoint.K)
        Ga = G @ adjoint.a
        H += self.structure.curvature(rho, self.slope(rho, adjoint.K))
        H -= 2.0 * adjoint.precision * Ga[:, :-1] @ adjoint.Phi @ Ga[:, :-1].T
        if adjoint.restricted is not None:
            relative = adjoint.restricted @ G[:, :-1, :-1]
            H -= np.einsum("ipq,jqp->ij", relative, relative, optimize=True)
        return (H + H.T) / 2.0, Ga @ adjoint.a

    def _derivatives(self, rho: Floats, K: Floats | None) -> tuple[Floats, Floats]:
        """(3) and, for a K, (4)."""
        J, r = self._at(rho).jacobian, self.count
        G, E = np.zeros((r, self.width, self.width)), np.zeros((r, r))
        for part, P in self.pieces(rho):
            RD = part.patterns.inside(J)
            RDP = RD @ P
            G += part.total(P @ RDP)
            if K is not None:
                M = 2.0 * P @ part.contracted(K) @ P - part.patterns.counts[:, None, None] * P
                E += RDP.reshape(r, -1) @ np.swapaxes(RD @ M, -1, -2).reshape(r, -1).T
        return G, E

    def pieces(self, rho: Floats) -> Iterator[tuple[PatternSums, Floats]]:
        """Some patterns at a time, with their (B, t, t) R_p^-1: as many as r matrices each have room for."""
        for group, P in zip(self.groups, self._at(rho).inverses, strict=True):
            for here in _chunks(len(P), self.count * P[0].size):
                yield group.some(here), P[here]

    def _at(self, rho: Floats) -> _Here:
        """(B, t, t) R_p^-1 of each group, and what goes with them."""
        last = self._last[0] if self._last else None
        if last is not None and np.array_equal(last.rho, rho):
            return last
        with np.errstate(over="ignore", invalid="ignore"):
            R, out, logdet = self.structure.matrix(rho), list[Floats](), 0.0
        refuse_out_of_range(R)
        for group in self.groups:
            own = group.patterns.inside(R)
            try:
                root = np.linalg.cholesky(own)
            except np.linalg.LinAlgError:
                raise FitError(SINGULAR) from None
            left = np.einsum("btt->bt", root) ** 2 / np.einsum("btt->bt", own)
            if left.min() < LEAST_SHARE:
                raise FitError(SINGULAR)
            half = np.linalg.inv(root)
            out.append(np.swapaxes(half, -1, -2) @ half)
            logs = np.log(np.einsum("btt->bt", root)).sum(axis=1)
            logdet += 2.0 * float(group.patterns.counts @ logs)
        here = _Here(self.structure, rho.copy(), out, logdet)
        self._last[:] = [here]
        return here

    @cached_property
    def _last(self) -> list[_Here]:
        """Where the inverses were last made, with them: deviance, slope and curvature share them."""
        return []

    def products(self) -> tuple[Floats, Floats]:
        """(T, T) sums of products of the response at two cells over subjects, and how many there are."""
        T = self.structure.size
        sums, pairs, response = np.zeros((T, T)), np.zeros((T, T)), np.zeros((self.width, self.width))
        response[-1, -1] = 1.0
        for group in self.groups:
            cells, found = group.patterns.cells, group.contracted(response)
            where = (cells[:, :, None], cells[:, None, :])
            np.add.at(sums, where, found)
            np.add.at(pairs, where, np.broadcast_to(group.patterns.counts[:, None, None], found.shape))
        return sums, pairs

    def grams(self) -> Floats:
        """(T, q, q) sums of products of all columns at one cell."""
        T = self.structure.size
        at = np.zeros((T, T, T))
        at[np.arange(T), np.arange(T), np.arange(T)] = 1.0
        return np.sum([group.total(group.patterns.inside(at)) for group in self.groups], axis=0)

    def independent(self) -> Moments:
        """Cross-products at R = I."""
        parts = list[Floats]()
        for group in self.groups:
            B, t = group.patterns.cells.shape
            parts.append(group.total(np.broadcast_to(np.eye(t), (1, B, t, t)))[0])
        return self._only(np.sum(parts, axis=0))

    @staticmethod
    def _only(F: Floats) -> Moments:
        """Cross-products of fixed effects and response alone."""
        return Moments([], [], {}, [], np.empty((0, 0)), np.empty((0, len(F))), F)


def _chunks(patterns: int, each: int) -> Iterator[slice]:
    """Some patterns at a time."""
    size = max(1, CHUNK // max(each, 1))
    return (slice(at, at + size) for at in range(0, patterns, size))


def patterned(prepared: Prepared, residual: Residual) -> Patterned:
    """The cross-products of a problem without random effects, in one pass over its prepared rows.

    Raises:
        FitError: A subject has two rows in one cell.
    """
    W = np.ascontiguousarray(prepared.rows[[*prepared.fixed, prepared.response]].T)
    q, groups = W.shape[1], list[PatternSums]()
    for patterns in patterns_of(residual):
        S, t = patterns.rows.shape
        B = len(patterns.counts)
        if S * (t + q) < B * t * q or B * (t * q) ** 2 > MOST:
            groups.append(RowSums(patterns, W[patterns.rows]))
            continue
        sums = np.empty((B, t, t, q, q))
        for C, pattern in zip(sums, patterns.each(), strict=True):
            M = W[pattern.rows].reshape(-1, t * q)
            C[:] = (M.T @ M).reshape(t, q, t, q).swapaxes(1, 2)
        groups.append(GramSums(patterns, sums))
    return Patterned(residual, tuple(groups), q)
