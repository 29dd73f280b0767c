"""Correlation matrices over visits, behind one contract.

Each family is a map of coordinates x (m,), which may be any numbers, to a (k, k) matrix over k places that is
always positive definite, with its first and second derivatives. The unstructured family is no correlation but
a covariance matrix relative to its first variance: the others have ones on the diagonal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from lmmkit.engine.arrays import Floats, Ints

Kind = Literal["sd", "cor", "range", "share", "exponent"]  # of a natural parameter: its scale of intervals
LEAST_START = 1e-6  # eigenvalue of moments' correlations below which they are no start,
RAISED_START = 0.1  # and what all below that are then raised to: near a singular matrix the search crawls
WIDEST_START = 0.95  # largest correlation, or partial one, of a start: moments may be no correlations at all


@dataclass(frozen=True)
class Correlation(ABC):
    """A family of (k, k) matrices over k places.

    Attributes:
        times: (k,) whole numbers, increasing; gaps count where the family knows of distances.
        name: As formulas know it.
        own_variances: Whether the diagonal is its own (relative to the first), or ones.
    """

    times: tuple[int, ...]
    name: ClassVar[str]
    own_variances: ClassVar[bool] = False

    @property
    def size(self) -> int:
        """k."""
        return len(self.times)

    @property
    @abstractmethod
    def count(self) -> int:
        """m, the number of coordinates."""

    @abstractmethod
    def matrix(self, x: Floats) -> Floats:
        """Returns the (k, k) matrix."""

    @abstractmethod
    def jacobian(self, x: Floats) -> Floats:
        """Returns (m, k, k) its first derivatives."""

    @abstractmethod
    def curvature(self, x: Floats, D: Floats) -> Floats:
        """Returns (m, m) sum_ab D_ab d2C_ab / dx_i dx_j, for symmetric D."""

    @abstractmethod
    def start(self, C: Floats) -> Floats:
        """Returns coordinates of a member near C (k, k), a correlation matrix of moments, NaN where unknown.

        For a family with variances of its own C is a covariance matrix.
        """

    def units(self, x: Floats) -> Floats:
        """Returns (m,) what a change of 1 in a coordinate is to be measured by: 1 for logs and the like."""
        return np.ones_like(x)

    @abstractmethod
    def naturals(self, names: Sequence[str]) -> list[tuple[Kind, str]]:
        """Returns kind and name of the parameters as they are printed, m of them, from the places' names."""

    @abstractmethod
    def natural(self, x: Floats) -> Floats:
        """Returns (m,) these parameters; an `sd` is relative to the first place's."""

    @abstractmethod
    def natural_jacobian(self, x: Floats) -> Floats:
        """Returns (m, m) their derivatives: [i, j] of parameter i in coordinate j."""

    def at_bound(self, x: Floats, share: float) -> str:
        """Returns what is said of a member within that share of the range's end beyond which none is."""
        del x, share
        return ""

    @cached_property
    def gaps(self) -> Ints:
        """(k, k) distances between places."""
        times = np.array(self.times, dtype=np.intp)
        return np.abs(times[:, None] - times)


class _Independent(Correlation):
    """No correlation."""

    name = "ident"

    @property
    def count(self) -> int:
        return 0

    def matrix(self, x: Floats) -> Floats:
        return np.eye(self.size)

    def jacobian(self, x: Floats) -> Floats:
        return np.empty((0, self.size, self.size))

    def curvature(self, x: Floats, D: Floats) -> Floats:
        return np.empty((0, 0))

    def start(self, C: Floats) -> Floats:
        return np.empty(0)

    def naturals(self, names: Sequence[str]) -> list[tuple[Kind, str]]:
        return []

    def natural(self, x: Floats) -> Floats:
        return np.empty(0)

    def natural_jacobian(self, x: Floats) -> Floats:
        return np.empty((0, 0))


class _Exchangeable(Correlation):
    """One correlation for all pairs: rho = lo + (1 - lo) / (1 + exp(-x)), lo = -1 / (k - 1)."""

    name = "cs"

    @property
    def count(self) -> int:
        return int(self.size > 1)

    @property
    def least(self) -> float:
        """Below it the matrix is no correlation matrix."""
        return -1.0 / (self.size - 1)

    def matrix(self, x: Floats) -> Floats:
        return np.eye(self.size) + self._pairs * self.natural(x).sum()

    def jacobian(self, x: Floats) -> Floats:
        return self._pairs * self.natural_jacobian(x).reshape(self.count, 1, 1)

    def curvature(self, x: Floats, D: Floats) -> Floats:
        share = 1.0 / (1.0 + np.exp(-x))
        second = (1.0 - share) * share * (1.0 - 2.0 * share)
        return np.diag(second) * (self._width * float(np.vdot(D, self._pairs)))

    def start(self, C: Floats) -> Floats:
        if not self.count:
            return np.empty(0)
        known = C[(self._pairs > 0) & np.isfinite(C)]
        rho = float(known.mean()) if known.size else 0.0
        share = (rho - self.least) / self._width
        share = min(max(share, 1.0 - WIDEST_START), WIDEST_START)
        return np.array([np.log(share / (1.0 - share))])

    def naturals(self, names: Sequence[str]) -> list[tuple[Kind, str]]:
        return [("cor", "rho")] * self.count

    def natural(self, x: Floats) -> Floats:
        return self.least + self._width / (1.0 + np.exp(-x)) if self.count else np.empty(0)

    def natural_jacobian(self, x: Floats) -> Floats:
        share = 1.0 / (1.0 + np.exp(-x))
        return np.diag(share * (1.0 - share)) * self._width

    def at_bound(self, x: Floats, share: float) -> str:
        if not self.count or 1.0 / (1.0 + np.exp(-x[0])) > share:
            return ""
        return f"the correlation of {self.size} visits has run to its lower bound, {self.least:.6g}"

    @property
    def _width(self) -> float:
        return 1.0 - self.least if self.count else 0.0

    @cached_property
    def _pairs(self) -> Floats:
        return 1.0 - np.eye(self.size)


class _AutoRegressive(Correlation):
    """First-order autoregression: rho to the power of the distance.

    The coordinate is that of the correlation one `step` apart, tanh(x), which visits 364 days apart tell of
    as well as neighbours do; where the step is even there is no rho for a negative one.
    """

    name = "ar1"

    @property
    def count(self) -> int:
        return int(self.size > 1)

    @cached_property
    def step(self) -> int:
        """The greatest whole number that divides all distances."""
        return int(np.gcd.reduce(self.gaps.ravel())) or 1

    @cached_property
    def steps(self) -> Ints:
        """(k, k) distances in steps."""
        return self.gaps // self.step

    def matrix(self, x: Floats) -> Floats:
        return np.tanh(x[0]) ** self.steps if self.count else np.eye(self.size)

    def jacobian(self, x: Floats) -> Floats:
        r, g = np.tanh(x).reshape(-1, 1, 1), self.steps
        return g * r ** np.maximum(g - 1, 0) * (1.0 - r**2)

    def curvature(self, x: Floats, D: Floats) -> Floats:
        r, g = np.tanh(x).reshape(-1, 1, 1), self.steps
        second = g * (g - 1) * r ** np.maximum(g - 2, 0) * (1.0 - r**2) - 2.0 * g * r**g
        return np.diag((second * D).sum(axis=(1, 2)) * (1.0 - np.tanh(x) ** 2))

    def start(self, C: Floats) -> Floats:
        if not self.count:
            return np.empty(0)
        known = (self.steps > 0) & np.isfinite(C)
        least = int(self.steps[known].min(initial=np.iinfo(np.intp).max))
        mean = float(C[known & (self.steps == least)].mean()) if known.any() else 0.0
        r = np.sign(mean) * np.abs(mean) ** (1.0 / least)
        if least % 2 == 0:  # an even power has no sign
            r = np.abs(r) if mean > 0 else 0.0
        return np.arctanh([np.clip(r, -WIDEST_START, WIDEST_START)])

    def naturals(self, names: Sequence[str]) -> list[tuple[Kind, str]]:
        return [("cor", "rho")] * self.count

    def natural(self, x: Floats) -> Floats:
        r = np.tanh(x)
        rho = np.sign(r) * np.abs(r) ** (1.0 / self.step)
        return rho if self.step % 2 else np.where(r < 0.0, np.nan, rho)

    def natural_jacobian(self, x: Floats) -> Floats:
        r = np.tanh(x)
        with np.errstate(divide="ignore"):
            slope = np.abs(r) ** (1.0 / self.step - 1.0) / self.step
        return np.diag(slope * (1.0 - r**2))


class _AnteDependent(Correlation):
    """First-order antedependence: the product of the correlations of neighbours, each tanh(x_l)."""

    name = "ad"

    @property
    def count(self) -> int:
        return self.size - 1

    def matrix(self, x: Floats) -> Floats:
        return self._products(np.tanh(x))

    def jacobian(self, x: Floats) -> Floats:
        rho = np.tanh(x)
        out = np.empty((self.count, self.size, self.size))
        for at, value in enumerate(rho):
            out[at] = self._products(rho, at) * self._across[at] * (1.0 - value**2)
        return out

    def curvature(self, x: Floats, D: Floats) -> Floats:
        rho, out = np.tanh(x), np.zeros((self.count, self.count))
        slope = 1.0 - rho**2
        for i in range(self.count):
            mine = D * self._across[i]
            out[i, i] = -2.0 * rho[i] * slope[i] * float((mine * self._products(rho, i)).sum())
            for j in range(i):
                both = float((mine * self._across[j] * self._products(rho, i, j)).sum())
                out[i, j] = out[j, i] = slope[i] * slope[j] * both
        return out

    def start(self, C: Floats) -> Floats:
        near = np.nan_to_num(C.diagonal(1))
        return np.arctanh(np.clip(near, -WIDEST_START, WIDEST_START))

    def naturals(self, names: Sequence[str]) -> list[tuple[Kind, str]]:
        return [("cor", f"rho.{a}.{b}") for a, b in pairwise(names)]

    def natural(self, x: Floats) -> Floats:
        return np.tanh(x)

    def natural_jacobian(self, x: Floats) -> Floats:
        return np.diag(1.0 - np.tanh(x) ** 2)

    def _products(self, rho: Floats, *left_out: int) -> Floats:
        """(k, k) product of rho between two places, without some of them."""
        rho = rho.copy()
        rho[list(left_out)] = 1.0
        out = np.eye(self.size)
        for b in range(1, self.size):
            out[:b, b] = out[b, :b] = out[:b, b - 1] * rho[b - 1]
        return out

    @cached_property
    def _across(self) -> Floats:
        """(m, k, k) whether the step from place l to the next lies between two places."""
        at, steps = np.arange(self.size), np.arange(self.count)[:, None, None]
        low, high = np.minimum.outer(at, at), np.maximum.outer(at, at)
        return ((low <= steps) & (steps < high)).astype(np.float64)


class Jet:
    """A number with its first and second derivatives in m coordinates."""

    def __init__(self, value: float, first: Floats, second: Floats) -> None:
        self.value, self.first, self.second = value, first, second

    def __add__(self, other: Jet) -> Jet:
        return Jet(self.value + other.value, self.first + other.first, self.second + other.second)

    def __sub__(self, other: Jet) -> Jet:
        return Jet(self.value - other.value, self.first - other.first, self.second - other.second)

    def __mul__(self, other: Jet) -> Jet:
        cross = np.outer(self.first, other.first)
        second = self.value * other.second + other.value * self.second + cross + cross.T
        return Jet(self.value * other.value, self.value * other.first + other.value * self.first, second)


class _Banded(Correlation):
    """One correlation for each distance, Toeplitz; coordinates are partial autocorrelations, tanh(x_l).

    The recursion of Durbin and Levinson takes any partial autocorrelations within (-1, 1) to the
    autocorrelations of a stationary series, so that no member is outside the cone.
    """

    name = "toep"

    @property
    def count(self) -> int:
        return self.times[-1] - self.times[0]

    def matrix(self, x: Floats) -> Floats:
        return np.array([r.value for r in self._series(x)])[self.gaps]

    def jacobian(self, x: Floats) -> Floats:
        slopes = np.array([r.first for r in self._series(x)])
        return np.moveaxis(slopes[self.gaps], 2, 0)

    def curvature(self, x: Floats, D: Floats) -> Floats:
        weights = np.bincount(self.gaps.ravel(), D.ravel(), self.count + 1)
        bends = np.array([r.second for r in self._series(x)])
        return np.einsum("l,lij->ij", weights, bends)

    def start(self, C: Floats) -> Floats:
        known = np.isfinite(C)
        lags = self.gaps[known]
        pairs = np.bincount(lags, minlength=self.count + 1)
        sums = np.bincount(lags, C[known], self.count + 1)
        rho = np.where(pairs > 0, sums / np.maximum(pairs, 1), 0.0)
        partial, phi, left = np.zeros(self.count), np.empty(0), 1.0
        for lag in range(1, self.count + 1):
            value = (rho[lag] - phi @ rho[lag - 1 : 0 : -1]) / left
            partial[lag - 1] = value = float(np.clip(value, -WIDEST_START, WIDEST_START))
            phi = np.append(phi - value * phi[::-1], value)
            left *= 1.0 - value**2
        return np.arctanh(partial)

    def naturals(self, names: Sequence[str]) -> list[tuple[Kind, str]]:
        return [("cor", f"rho.{lag}") for lag in range(1, self.count + 1)]

    def natural(self, x: Floats) -> Floats:
        return np.array([r.value for r in self._series(x)][1:])

    def natural_jacobian(self, x: Floats) -> Floats:
        return np.array([r.first for r in self._series(x)][1:]).reshape(self.count, self.count)

    def _series(self, x: Floats) -> list[Jet]:
        """Autocorrelations at distances 0 to m."""
        partials = list[Jet]()
        for lag, value in enumerate(map(float, np.tanh(x))):
            first, second = np.zeros(self.count), np.zeros((self.count, self.count))
            first[lag] = 1.0 - value**2
            second[lag, lag] = -2.0 * value * first[lag]
            partials.append(Jet(value, first, second))
        return autocorrelations(partials)


def autocorrelations(partials: Sequence[Jet]) -> list[Jet]:
    """Autocorrelations at distances 0 to m from the partial ones, by the recursion of Durbin and Levinson."""
    m = len(partials)
    one = Jet(1.0, np.zeros(m), np.zeros((m, m)))
    rho, phi, left = [one], list[Jet](), one
    for partial in partials:
        now = partial * left
        for weight, r in zip(phi, rho[:0:-1], strict=True):
            now = now + weight * r
        rho.append(now)
        phi = [*(a - partial * b for a, b in zip(phi, phi[::-1], strict=True)), partial]
        left = left - left * partial * partial
    return rho


class _Free(Correlation):
    """Any covariance matrix M = L L' with M_11 = 1: L's lower triangle down its columns, diagonal as logs."""

    name = "un"
    own_variances = True

    @cached_property
    def entries(self) -> tuple[Ints, Ints]:
        """Rows and columns of the coordinates in L."""
        pairs = [(r, c) for c in range(self.size) for r in range(c, self.size)][1:]
        rows, columns = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
        return rows, columns

    @property
    def count(self) -> int:
        return len(self.entries[0])

    def matrix(self, x: Floats) -> Floats:
        L = self._root(x)
        return L @ L.T

    def jacobian(self, x: Floats) -> Floats:
        L, (rows, columns) = self._root(x), self.entries
        half = np.zeros((self.count, self.size, self.size))
        half[np.arange(self.count), rows] = L[:, columns].T * self._chain(L)[:, None]
        return half + half.swapaxes(1, 2)

    def curvature(self, x: Floats, D: Floats) -> Floats:
        L, (rows, columns) = self._root(x), self.entries
        chain = self._chain(L)
        out = 2.0 * D[np.ix_(rows, rows)] * (columns[:, None] == columns) * np.outer(chain, chain)
        slope = 2.0 * (D @ L)[rows, columns] * chain
        return out + np.diag(np.where(rows == columns, slope, 0.0))

    def start(self, C: Floats) -> Floats:
        rows, columns = self.entries
        s = np.sqrt(C.diagonal())
        values, vectors = np.linalg.eigh(np.nan_to_num(C / np.outer(s, s)))
        if values[0] < LEAST_START:  # moments over different subjects may be no covariance matrix
            C = (vectors * np.maximum(values, RAISED_START)) @ vectors.T * np.outer(s, s)
        L = np.linalg.cholesky(C)
        values = (L / L[0, 0])[rows, columns]
        return np.where(rows == columns, np.log(np.where(rows == columns, values, 1.0)), values)

    def units(self, x: Floats) -> Floats:
        L, (rows, columns) = self._root(x), self.entries
        return np.where(rows == columns, 1.0, np.sqrt(np.einsum("ab,ab->a", L, L))[rows])

    def naturals(self, names: Sequence[str]) -> list[tuple[Kind, str]]:
        ratios: list[tuple[Kind, str]] = [("sd", f"ratio.{name}") for name in names[1:]]
        return [*ratios, *(("cor", f"cor.{names[a]}.{names[b]}") for a, b in self._pairs)]

    def natural(self, x: Floats) -> Floats:
        M = self.matrix(x)
        s = np.sqrt(M.diagonal())
        return np.concatenate([s[1:], [M[a, b] / (s[a] * s[b]) for a, b in self._pairs]])

    def natural_jacobian(self, x: Floats) -> Floats:
        M, dM = self.matrix(x), self.jacobian(x)
        s = np.sqrt(M.diagonal())
        logs = 0.5 * np.einsum("maa->am", dM) / M.diagonal()[:, None]
        cors = [
            dM[:, a, b] / (s[a] * s[b]) - M[a, b] / (s[a] * s[b]) * (logs[a] + logs[b])
            for a, b in self._pairs
        ]
        return np.array([*(logs[1:] * s[1:, None]), *cors]).reshape(self.count, self.count)

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        return [(a, b) for a in range(self.size) for b in range(a + 1, self.size)]

    def _root(self, x: Floats) -> Floats:
        L = np.zeros((self.size, self.size))
        L[self.entries] = x
        at = np.arange(self.size)
        L[at, at] = np.exp(L[at, at])
        return L

    def _chain(self, L: Floats) -> Floats:
        """(m,) derivative of each entry of L in its coordinate."""
        rows, columns = self.entries
        return np.where(rows == columns, L[rows, columns], 1.0)


CORRELATIONS: dict[str, type[Correlation]] = {
    kind.name: kind for kind in (_Independent, _Free, _Exchangeable, _AutoRegressive, _Banded, _AnteDependent)
}
