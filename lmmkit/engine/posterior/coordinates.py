"""The unconstrained coordinates that are drawn, and what they stand for.

Each part of a model (a term, the residual structure, sigma) has a coordinate phi for each natural parameter:

    standard deviation, ratio   phi = log s
    correlations of a matrix    phi = atanh w, w the canonical partial correlation of a row with a column
    correlation of a pattern    phi = atanh of its place between its bounds
    range                       phi = log range

Row r of the Cholesky factor of a correlation matrix is L_rc = w_rc prod_{c' < c} sqrt(1 - w_rc'^2), its
diagonal what is left. The columns of a term with any covariance matrix are its prepared ones (`ConesPart`).
Arrays have the draws as their last axis, (c, r); a single point is (c, 1).

Reference: Lewandowski, Kurowicka & Joe (2009), Generating random correlation matrices based on vines.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.correlations import WithinBounds
from lmmkit.engine.covariance.patterned import Fading, PatternedStructure
from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.covariance.row_structure import Decaying, RowStructure
from lmmkit.engine.covariance.structures import Structure
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.posterior.priors import LKJ, Prior

WIDEST_START = 0.9  # largest partial correlation, in size, that a search begins from
LEAST_START = 0.01  # eigenvalue of a correlation matrix, the same


@dataclass(frozen=True, eq=False)
class DrawnPart(ABC):
    """Some of the coordinates, with the priors of what they stand for.

    Attributes:
        priors: One for each natural parameter, in their order; the correlations of one matrix have the same
            `LKJ`.
    """

    priors: tuple[Prior, ...]

    @property
    def count(self) -> int:
        """c, the number of coordinates and of natural parameters."""
        return len(self.priors)

    @abstractmethod
    def natural(self, phi: Floats) -> Floats:
        """Returns (c, r) the natural parameters."""

    @abstractmethod
    def log_jacobian(self, phi: Floats) -> Floats:
        """Returns (r,) log |d natural / d phi|."""

    @abstractmethod
    def log_prior(self, phi: Floats) -> Floats:
        """Returns (r,) the log density of the natural parameters."""

    def log_density(self, phi: Floats) -> Floats:
        """Returns (r,) the log density of phi."""
        return self.log_prior(phi) + self.log_jacobian(phi)

    def slope(self, phi: Floats) -> Floats:
        """Returns (c,) the gradient of `log_density` at (c,) phi, by central differences of it alone."""
        step = 1e-5
        ways = phi[:, None] + step * np.concatenate([np.eye(len(phi)), -np.eye(len(phi))], axis=1)
        up, down = np.split(self.log_density(ways), 2)
        return (up - down) / (2.0 * step)


class TermPart(DrawnPart):
    """The coordinates of a random-effects term."""

    @abstractmethod
    def root(self, phi: Floats) -> Floats:
        """Returns A (k, k, r) with G = A A' the covariance matrix of the effects."""

    @abstractmethod
    def pullback(self, phi: Floats, D: Floats) -> Floats:
        """Returns (c,) <D, dG / dphi> at (c,) phi, for symmetric D (k, k)."""

    @abstractmethod
    def start(self, G: Floats) -> Floats:
        """Returns (c,) phi of a member near (k, k) G, all of whose variances are above zero."""


def log_one_less_square(z: Floats) -> Floats:
    """Returns log(1 - tanh(z)^2), to full precision."""
    size = np.abs(z)
    return 2.0 * (math.log(2.0) - size - np.log1p(np.exp(-2.0 * size)))


@dataclass(frozen=True, eq=False)
class ConesPart(TermPart):
    """Sets of columns with any covariance matrix each: `(x | g)`, `diag(x | g)`.

    The coordinates are of the prepared columns, those of Z S^-1, where intercepts are at the middle of the
    data: H = B B' = S^-1 G S^-T, B = diag(t) L. For a set of k columns

        d G / d H = |S|^(k + 1),   d H / d(log t, z) = 2^k prod t^(k + 1) prod (1 - w^2)^(1 + (k - 2 - c) / 2)

    and of G with its standard deviations s d G / d(s, C) = 2^k prod s^k.

    Attributes:
        structure: The structure; its coordinates down the columns of each lower triangle are the order here.
        basis: (k, k) S; zero between the sets.
    """

    structure: Structure
    basis: Floats

    @cached_property
    def places(self) -> dict[tuple[int, int], int]:
        """The coordinate of each standard deviation (row = column) and correlation (row > column)."""
        return {(n.row, n.column): at for at, n in enumerate(self.structure.naturals)}

    @cached_property
    def sds(self) -> list[int]:
        """The coordinates that are standard deviations, by column."""
        return [self.places[column, column] for column in range(self.structure.width)]

    @cached_property
    def partials(self) -> list[tuple[int, int, int]]:
        """Of each partial correlation its coordinate, the size k of its matrix, and its column there."""
        return [
            (self.places[cone[i], cone[j]], len(cone), j)
            for cone in self.structure.cones
            for i in range(len(cone))
            for j in range(i)
        ]

    @cached_property
    def sizes(self) -> Floats:
        """(k,) the size of the set that each column is in."""
        out = np.empty(self.structure.width)
        for cone in self.structure.cones:
            out[list(cone)] = len(cone)
        return out

    @cached_property
    def etas(self) -> Floats:
        """(k,) eta of the correlations of the set that each column is in; 1 where there are none."""
        out = np.ones(self.structure.width)
        for cone in self.structure.cones:
            if len(cone) > 1:
                lkj = self.priors[self.places[cone[1], cone[0]]]
                assert isinstance(lkj, LKJ)
                out[list(cone)] = lkj.eta
        return out

    @cached_property
    def _log_basis(self) -> list[tuple[tuple[int, ...], float]]:
        """The sets, and log |S| of each."""
        blocks = ((cone, self.basis[np.ix_(cone, cone)]) for cone in self.structure.cones)
        return [(cone, float(np.linalg.slogdet(S)[1])) for cone, S in blocks]

    def prepared_root(self, phi: Floats) -> Floats:
        """Returns B (k, k, r), lower triangular."""
        k = self.structure.width
        out = np.zeros((k, k, *phi.shape[1:]))
        for cone in self.structure.cones:
            for i, row in enumerate(cone):
                left = np.exp(phi[self.places[row, row]])
                for column in cone[:i]:
                    z = phi[self.places[row, column]]
                    out[row, column] = np.tanh(z) * left
                    left = left * np.exp(0.5 * log_one_less_square(z))
                out[row, row] = left
        return out

    def root(self, phi: Floats) -> Floats:
        """As of `TermPart`."""
        return np.einsum("ab,bc...->ac...", self.basis, self.prepared_root(phi))

    def natural(self, phi: Floats) -> Floats:
        """As of `DrawnPart`."""
        A, out = self.root(phi), np.empty(phi.shape)
        s = np.sqrt(np.einsum("ac...,ac...->a...", A, A))
        for (row, column), at in self.places.items():
            if row == column:
                out[at] = s[row]
            else:
                product = np.einsum("c...,c...->...", A[row], A[column])
                out[at] = np.clip(product / (s[row] * s[column]), -1.0, 1.0)
        return out

    def _log_sds(self, phi: Floats) -> Floats:
        """(k, r) logs of the standard deviations s."""
        A = self.root(phi)
        return 0.5 * np.log(np.einsum("ac...,ac...->a...", A, A))

    def log_jacobian(self, phi: Floats) -> Floats:
        """As of `DrawnPart`."""
        weights = self.sizes
        out = np.einsum("a,a...->...", weights + 1.0, phi[self.sds])
        out = out - np.einsum("a,a...->...", weights, self._log_sds(phi))
        for at, k, column in self.partials:
            out = out + (1.0 + (k - 2 - column) / 2.0) * log_one_less_square(phi[at])
        return out + sum((len(cone) + 1.0) * log for cone, log in self._log_basis)

    def log_prior(self, phi: Floats) -> Floats:
        """As of `DrawnPart`; |C| = |S|^2 prod t^2 prod (1 - w^2) / prod s^2."""
        log_s = self._log_sds(phi)
        out = np.zeros(phi.shape[1:])
        for column, at in enumerate(self.sds):
            out = out + self.priors[at].logpdf(np.exp(log_s[column]))
        power = self.etas - 1.0
        out = out + 2.0 * np.einsum("a,a...->...", power, phi[self.sds] - log_s)
        for at, k, column in self.partials:
            lkj = self.priors[at]
            assert isinstance(lkj, LKJ)
            out = out + (lkj.eta - 1.0) * log_one_less_square(phi[at]) + lkj.log_constant(k, column)
        return out + sum(2.0 * power[cone[0]] * log for cone, log in self._log_basis)

    def slope(self, phi: Floats) -> Floats:
        """As of `DrawnPart`."""
        log_s, power, out = self._log_sds(phi), self.etas - 1.0, np.zeros(len(phi))
        s = np.exp(log_s)
        own = np.array([float(self.priors[at].slope(x)) for at, x in zip(self.sds, s, strict=True)])
        # d / d G_aa of what is of s alone: log s = 1/2 log G_aa
        D = np.diag((own * s - self.sizes - 2.0 * power) / (2.0 * s**2))
        for at, k, column in self.partials:
            lkj = self.priors[at]
            assert isinstance(lkj, LKJ)
            out[at] = -2.0 * lkj.shape(k, column) * np.tanh(phi[at])
        out[self.sds] = self.sizes + 1.0 + 2.0 * power
        return out + self.pullback(phi, D)

    def pullback(self, phi: Floats, D: Floats) -> Floats:
        """As of `TermPart`.

        With E = S'D S and B = diag(t) L: <E, dH / d log t> = 2 (E * H) summed over a row, and d / dB = 2 E B.
        """
        B, E = self.prepared_root(phi), self.basis.T @ D @ self.basis
        out = np.empty(len(phi))
        out[self.sds] = 2.0 * (E * (B @ B.T)).sum(axis=1)
        slopes = 2.0 * (E @ B)
        for cone in self.structure.cones:
            for i, row in enumerate(cone):
                before = np.exp(phi[self.places[row, row]])  # of B_rc, w left out
                for j, column in enumerate(cone[:i]):
                    at = self.places[row, column]
                    w, left = np.tanh(phi[at]), np.exp(log_one_less_square(phi[at]))
                    later = [*cone[j + 1 : i], row]
                    out[at] = slopes[row, column] * left * before
                    out[at] -= w * float(slopes[row, later] @ B[row, later])
                    before = before * np.sqrt(left)
        return out

    def start(self, G: Floats) -> Floats:
        """As of `TermPart`."""
        half = solved(self.basis, G)
        H, phi = solved(self.basis, half.T), np.zeros(self.structure.count)
        t = np.sqrt(H.diagonal())
        phi[self.sds] = np.log(t)
        for cone in self.structure.cones:
            here = np.ix_(cone, cone)
            values, vectors = np.linalg.eigh((H / np.outer(t, t))[here])
            C = (vectors * np.maximum(values, LEAST_START)) @ vectors.T
            size = np.sqrt(C.diagonal())
            L = np.linalg.cholesky(C / np.outer(size, size))
            for i, row in enumerate(cone):
                left = 1.0
                for j, column in enumerate(cone[:i]):
                    w = float(np.clip(L[i, j] / math.sqrt(left), -WIDEST_START, WIDEST_START))
                    phi[self.places[row, column]] = math.atanh(w)
                    left = max(left - float(L[i, j]) ** 2, 1e-12)
        return phi


@dataclass(frozen=True, eq=False)
class PatternPart(TermPart):
    """A covariance matrix with a pattern: `cs(x | g)`, `ar1(x | g)`, `exp(x | g)`."""

    structure: PatternedStructure

    @property
    def _scales(self) -> int:
        return self.structure.scales

    def _within(self, phi: Floats) -> WithinBounds:
        """The numbers of the pattern at one point."""
        z, pattern = phi[self._scales :], self.structure.pattern
        if isinstance(pattern, Fading):
            power = pattern.closest / np.exp(z)
            return WithinBounds(np.exp(-power), np.exp(-power), -np.expm1(-power))
        low, high = pattern.bounds[:, 0], pattern.bounds[:, 1]
        below, above = (high - low) / (1.0 + np.exp(-2.0 * z)), (high - low) / (1.0 + np.exp(2.0 * z))
        return WithinBounds((low + high) / 2.0 + (high - low) / 2.0 * np.tanh(z), below, above)

    def _links(self, phi: Floats) -> Floats:
        """(m,) derivatives of these numbers in their coordinates."""
        at, pattern = self._within(phi), self.structure.pattern
        if isinstance(pattern, Fading):
            return at.r * pattern.closest / np.exp(phi[self._scales :])
        return 2.0 * at.below * at.above / (at.below + at.above)

    def _spread(self, phi: Floats) -> Floats:
        """(k,) standard deviations."""
        s = np.exp(phi[: self._scales])
        return s if self.structure.own else np.full(self.structure.width, s[0])

    def root(self, phi: Floats) -> Floats:
        """As of `TermPart`."""
        points = [
            self._spread(one)[:, None] * self.structure.pattern.root(self._within(one)) for one in phi.T
        ]
        return np.stack(points, axis=-1)

    def pullback(self, phi: Floats, D: Floats) -> Floats:
        """As of `TermPart`."""
        at, s, m = self._within(phi), self._spread(phi), self._scales
        size, pattern = np.outer(s, s), self.structure.pattern
        own = 2.0 * (D * size * pattern.matrix(at)).sum(axis=1)
        first = own if self.structure.own else own.sum(keepdims=True)
        rest = self._links(phi) * np.einsum("ab,iab->i", D * size, pattern.slopes(at))
        return np.concatenate([first, rest])[: m + len(rest)]

    def natural(self, phi: Floats) -> Floats:
        """As of `DrawnPart`."""
        out = np.exp(phi)
        if not isinstance(self.structure.pattern, Fading):
            for column, one in zip(out.T, phi.T, strict=True):
                column[self._scales :] = self._printed(one)
        return out

    def _printed(self, phi: Floats) -> Floats:
        """(m,) the correlations that the pattern is known by, at one point."""
        C, m = self.structure.pattern.matrix(self._within(phi)), len(phi) - self._scales
        return C[np.arange(1, 1 + m), 0]

    def log_jacobian(self, phi: Floats) -> Floats:
        """As of `DrawnPart`.

        For correlations by distance that of the autocorrelations in the partial ones r,
        prod (1 - r_j^2)^(m - j).
        """
        m = self._scales
        out, pattern = phi[:m].sum(axis=0), self.structure.pattern
        if isinstance(pattern, Fading):
            return out + phi[m:].sum(axis=0)
        left = log_one_less_square(phi[m:])
        half = np.log(np.diff(pattern.bounds, axis=1)[:, 0] / 2.0)
        steps = 1.0 + np.arange(len(half))[::-1]  # the link itself, and (m - j) times of the later ones
        return out + half.sum() + np.einsum("j,j...->...", steps, left)

    def log_prior(self, phi: Floats) -> Floats:
        """As of `DrawnPart`."""
        values = self.natural(phi)
        return sum(
            (prior.logpdf(value) for prior, value in zip(self.priors, values, strict=True)),
            np.zeros(phi.shape[1:]),
        )

    def start(self, G: Floats) -> Floats:
        """As of `TermPart`."""
        variances, pattern = G.diagonal(), self.structure.pattern
        s = np.sqrt(variances if self.structure.own else variances.mean(keepdims=True))
        r = pattern.numbers(G / np.sqrt(np.outer(variances, variances)))
        if isinstance(pattern, Fading):
            return np.append(np.log(s), np.log(-pattern.closest / np.log(np.clip(r, 0.05, 0.95))))
        low, high = pattern.bounds[:, 0], pattern.bounds[:, 1]
        share = np.clip((2.0 * r - low - high) / (high - low), -WIDEST_START, WIDEST_START)
        return np.concatenate([np.log(s), np.arctanh(share)])


@dataclass(frozen=True, eq=False)
class ResidualPart(DrawnPart):
    """The residual structure: phi is rho, the coordinates that the structure has, any numbers.

    Priors are of the natural parameters, a product of one each within the set of those that are possible;
    `LKJ` on the correlations of `un` is that of their matrix.
    """

    structure: ResidualStructure | RowStructure

    def natural(self, phi: Floats) -> Floats:
        """As of `DrawnPart`; a range is never cut off to zero."""
        out = np.array([self.structure.natural(one) for one in phi.T]).reshape(-1, self.count).T
        for at, unit in self._ranges:
            out[at] = unit * np.exp(phi[at])
        return out

    @cached_property
    def _ranges(self) -> list[tuple[int, float]]:
        """The position of a range, and its unit."""
        if not isinstance(self.structure, RowStructure):
            return []
        process = self.structure.correlation
        return [(self.structure.cuts[1].start, process.unit)] if isinstance(process, Decaying) else []

    def log_jacobian(self, phi: Floats) -> Floats:
        """As of `DrawnPart`."""
        return np.array([self._log_slope(one) for one in phi.T])

    def _log_slope(self, rho: Floats) -> float:
        J = self.structure.natural_jacobian(rho)
        for at, unit in self._ranges:
            J[at, at] = unit * math.exp(rho[at])
        return float(np.linalg.slogdet(J)[1])

    def log_prior(self, phi: Floats) -> Floats:
        """As of `DrawnPart`."""
        values, out = self.natural(phi), np.zeros(phi.shape[1:])
        for prior, value, (kind, _) in zip(self.priors, values, self.structure.naturals, strict=True):
            if not isinstance(prior, LKJ):
                out = out + prior.logpdf(value)
            elif kind != "cor":
                raise TypeError(kind)
        for places, k in self._matrices:
            lkj = self.priors[places[0]]
            if isinstance(lkj, LKJ):
                out = out + (lkj.eta - 1.0) * _log_determinants(values[places], k)
        return np.where(np.isfinite(values).all(axis=0), out, -np.inf)

    @cached_property
    def _matrices(self) -> list[tuple[list[int], int]]:
        """The positions of the correlations of each unstructured block, and its size."""
        out: list[tuple[list[int], int]] = []
        structure, first = self.structure, 0
        if isinstance(structure, RowStructure):
            structure, first = structure.correlation, structure.cuts[1].start
        for block, cut in (
            zip(structure.blocks, structure.cuts, strict=True)
            if isinstance(structure, ResidualStructure)
            else ()
        ):
            if block.correlation == "un" and block.family.size > 1:
                own = first + cut.start + block.family.size - 1
                out.append((list(range(own, first + cut.stop)), block.family.size))
        return out

    @property
    def in_matrix(self) -> set[int]:
        """The positions whose prior is one of a correlation matrix."""
        return {at for places, _ in self._matrices for at in places}


def _log_determinants(correlations: Floats, k: int) -> Floats:
    """(r,) log determinants of matrices with the pairs a < b given, row by row."""
    C = np.empty((correlations.shape[1], k, k))
    C[:] = np.eye(k)
    a, b = np.triu_indices(k, 1)
    C[:, a, b] = C[:, b, a] = correlations.T
    return np.linalg.slogdet(C)[1]


@dataclass(frozen=True, eq=False)
class SigmaPart(DrawnPart):
    """Log sigma, always the last coordinate."""

    def natural(self, phi: Floats) -> Floats:
        """As of `DrawnPart`."""
        return np.exp(phi)

    def log_jacobian(self, phi: Floats) -> Floats:
        """As of `DrawnPart`."""
        return phi[0]

    def log_prior(self, phi: Floats) -> Floats:
        """As of `DrawnPart`."""
        return self.priors[0].logpdf(np.exp(phi[0]))


def term_part(structure: Structure, priors: Sequence[Prior], basis: Floats) -> TermPart:
    """The coordinates of a term, whose columns are its prepared ones times `basis` (k, k)."""
    if isinstance(structure, PatternedStructure):
        return PatternPart(tuple(priors), structure)
    return ConesPart(tuple(priors), structure, basis)


@dataclass(frozen=True, eq=False)
class DrawnParts:
    """All of them: of each term, of the residual structure if there is one, sigma.

    Attributes:
        terms: In the order of `Problem.terms`.
        residual: Of R, or None.
        sigma: The last.
    """

    terms: tuple[TermPart, ...]
    residual: ResidualPart | None
    sigma: SigmaPart

    @cached_property
    def all(self) -> tuple[tuple[DrawnPart, slice], ...]:
        """Each part with its coordinates."""
        parts: list[DrawnPart] = [*self.terms, *([self.residual] if self.residual else []), self.sigma]
        out, at = list[tuple[DrawnPart, slice]](), 0
        for part in parts:
            out.append((part, slice(at, at + part.count)))
            at += part.count
        return tuple(out)

    @property
    def count(self) -> int:
        """m, the number of coordinates."""
        return self.all[-1][1].stop

    @property
    def priors(self) -> tuple[Prior, ...]:
        """One for each."""
        return tuple(prior for part, _ in self.all for prior in part.priors)

    @property
    def of_rho(self) -> slice:
        """The coordinates of R."""
        end = self.count - 1
        return slice(end - (self.residual.count if self.residual else 0), end)

    def natural(self, phi: Floats) -> Floats:
        """Returns (m, r) the natural parameters."""
        return np.concatenate([part.natural(phi[cut]) for part, cut in self.all])

    def log_prior(self, phi: Floats) -> Floats:
        """Returns (r,) the log prior of the natural parameters."""
        return sum((part.log_prior(phi[cut]) for part, cut in self.all), np.zeros(phi.shape[1:]))

    def log_density(self, phi: Floats) -> Floats:
        """Returns (r,) the log prior density of phi."""
        return sum((part.log_density(phi[cut]) for part, cut in self.all), np.zeros(phi.shape[1:]))

    def slope(self, phi: Floats) -> Floats:
        """Returns (m,) its gradient at (m,) phi."""
        return np.concatenate([part.slope(phi[cut]) for part, cut in self.all])

    def roots(self, phi: Floats) -> list[Floats]:
        """Returns (k, k, r) A of each term, G = A A'."""
        return [part.root(phi[cut]) for part, (_, cut) in zip(self.terms, self.all, strict=False)]
