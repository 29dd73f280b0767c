"""Correlation matrices: patterns in a few numbers, and families over visits made of them.

A `CorrelationPattern` is a map of numbers r (m,) within bounds to a (k, k) correlation matrix over k places:
those of random effects (`patterned`) and those of visits are the same, and differ in the coordinates that a
search has. A `Correlation` over visits is a map of coordinates x (m,), which may be any numbers, to a matrix
that is always positive definite, with its first and second derivatives. The unstructured family is no
correlation but a covariance matrix relative to its first variance: the others have ones on the diagonal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple, TypeVar

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.errors import FitError

Kind = Literal["sd", "cor", "range", "share", "exponent"]  # of a natural parameter: its scale of intervals
AT_BOUND = 1e-14  # distance to 1, or cosine of a coordinate, below which a number is at its bound
ROUNDING = 1e-8  # share of a standard deviation whose square is rounding in a variance
LEAST_START = 1e-6  # eigenvalue of moments' correlations below which they are no start,
RAISED_START = 0.1  # and what all below that are then raised to: near a singular matrix the search crawls
WIDEST_START = 0.95  # largest correlation, or partial one, of a start: moments may be no correlations at all


def distances(places: Sequence[int]) -> Ints:
    """(k, k) between places."""
    at = np.array(places, dtype=np.intp)
    return np.abs(at[:, None] - at)


def snapped(u: float) -> float:
    """A number within [-1, 1], at its bound where it is there to rounding."""
    return float(np.sign(u)) if abs(u) >= 1.0 - AT_BOUND else u


class WithinBounds(NamedTuple):
    """Numbers r within bounds, with their distances to both: (m,) each."""

    r: Floats
    below: Floats  # r - low, exact to rounding of itself
    above: Floats  # high - r, the same


class CorrelationPattern(ABC):
    """A family of correlation matrices C (k, k) in numbers r (m,) within bounds.

    Attributes:
        places: (k,) whole numbers, increasing; gaps count where the family knows of distances.
    """

    def __init__(self, places: Sequence[int]) -> None:
        self.places, self.size = places, len(places)

    @property
    @abstractmethod
    def bounds(self) -> Floats:
        """(m, 2) of each r."""

    @abstractmethod
    def matrix(self, at: WithinBounds) -> Floats:
        """Returns C."""

    @abstractmethod
    def slopes(self, at: WithinBounds) -> Floats:
        """Returns (m, k, k) dC / dr_i."""

    @abstractmethod
    def bends(self, at: WithinBounds, D: Floats) -> Floats:
        """Returns (m, m) sum_ab D_ab d2C_ab / dr_i dr_j."""

    @abstractmethod
    def root(self, at: WithinBounds) -> Floats:
        """Returns the lower triangular root of C, no diagonal entry negative, of places without gaps."""

    @abstractmethod
    def numbers(self, C: Floats) -> Floats:
        """Returns r of a member, or of one near a symmetric matrix with NaN where nothing is known."""

    @cached_property
    def classes(self) -> Ints:
        """(k, k) which entries of C are equal: 1, 2, ... of the printed correlations, 0 on the diagonal."""
        return 1 - np.eye(self.size, dtype=np.intp)

    def number_of(self, r: Floats, place: int, value: float) -> tuple[float, Floats, float]:
        """Returns r at a place where the printed parameter has a value, and its derivatives in r and in it.

        Raises:
            FitError: No member has that value.
        """
        del place
        return value, np.zeros_like(r), 1.0

    def limits(self, place: int) -> tuple[float, float]:
        """Returns the values between which the printed parameter of a place is."""
        low, high = self.bounds[place]
        return float(low), float(high)

    def from_printed(self, values: Floats) -> Floats:
        """Returns r of the printed parameters."""
        C = np.append(1.0, values)[self.classes] if len(values) > 1 else self.matrix(in_bounds(values))
        return self.numbers(C)

    def at_pivot(self, r: Floats, zero: int) -> Floats:
        """Returns r at the bound where the root's pivot of that number is the first that is exactly zero."""
        del zero
        r, (low, high) = r.copy(), self.bounds[0]
        r[0] = low if r[0] < (low + high) / 2.0 else high
        return r


def in_bounds(r: Floats) -> WithinBounds:
    """R without exact distances to bounds, which roots alone need."""
    return WithinBounds(r, np.full_like(r, np.nan), np.full_like(r, np.nan))


class _NoCorrelation(CorrelationPattern):
    """No correlation."""

    @property
    def bounds(self) -> Floats:
        return np.empty((0, 2))

    def matrix(self, at: WithinBounds) -> Floats:
        return np.eye(self.size)

    def slopes(self, at: WithinBounds) -> Floats:
        return np.empty((0, self.size, self.size))

    def bends(self, at: WithinBounds, D: Floats) -> Floats:
        return np.empty((0, 0))

    def root(self, at: WithinBounds) -> Floats:
        return np.eye(self.size)

    def numbers(self, C: Floats) -> Floats:
        return np.empty(0)


class _OneCorrelation(CorrelationPattern):
    """One correlation for all pairs, from -1 / (k - 1) to 1."""

    @property
    def bounds(self) -> Floats:
        return np.array([[-1.0 / (self.size - 1), 1.0]])

    def matrix(self, at: WithinBounds) -> Floats:
        return np.eye(self.size) + at.r[0] * self._pairs

    def slopes(self, at: WithinBounds) -> Floats:
        return self._pairs[None]

    def bends(self, at: WithinBounds, D: Floats) -> Floats:
        return np.zeros((1, 1))

    def root(self, at: WithinBounds) -> Floats:
        # Given j others a place has the variance (1 - r)(1 + j r) / (1 + (j - 1) r), and any two of them the
        # covariance (1 - r) r / (1 + (j - 1) r). At the bounds 1 - r and 1 + (k - 1) r keep their digits.
        k, r, left = self.size, float(at.r[0]), float(at.above[0])
        shares = np.array([1.0 + j * r for j in range(k)])
        shares[k - 1] = (k - 1) * float(at.below[0])
        L = np.zeros((k, k))
        for j in range(k):
            before = shares[j - 1] if j else 1.0
            variance = left * shares[j] / before if j else 1.0
            L[j, j] = np.sqrt(max(variance, 0.0))
            if L[j, j] == 0.0:
                break
            L[j + 1 :, j] = (left * r / before if j else r) / L[j, j]
        return L

    def numbers(self, C: Floats) -> Floats:
        known = C[(self._pairs > 0) & np.isfinite(C)]
        return np.array([known.mean() if known.size else 0.0])

    @cached_property
    def _pairs(self) -> Floats:
        return 1.0 - np.eye(self.size)


class _Neighbours(CorrelationPattern):
    """Products of the correlations of neighbours over the steps between two places."""

    @property
    def bounds(self) -> Floats:
        return np.tile([-1.0, 1.0], (self.size - 1, 1))

    def matrix(self, at: WithinBounds) -> Floats:
        return self._products(at.r)

    def slopes(self, at: WithinBounds) -> Floats:
        return np.array([self._products(at.r, i) for i in range(self.size - 1)]) * self._across

    def bends(self, at: WithinBounds, D: Floats) -> Floats:
        out = np.zeros((self.size - 1, self.size - 1))
        for i in range(self.size - 1):
            for j in range(i):
                both = D * self._across[i] * self._across[j] * self._products(at.r, i, j)
                out[i, j] = out[j, i] = float(both.sum())
        return out

    def root(self, at: WithinBounds) -> Floats:
        # C_i0 in the first column, C_ij sqrt(1 - r_j^2) in the others (lme4's vignette).
        L = np.tril(self.matrix(at))
        L[:, 1:] *= np.sqrt(at.below * at.above)
        return L

    def numbers(self, C: Floats) -> Floats:
        return np.nan_to_num(C.diagonal(1))

    def _products(self, r: Floats, *left_out: int) -> Floats:
        """(k, k) product of r between two places, without some of them."""
        r = r.copy()
        r[list(left_out)] = 1.0
        out = np.eye(self.size)
        for b in range(1, self.size):
            out[:b, b] = out[b, :b] = out[:b, b - 1] * r[b - 1]
        return out

    @cached_property
    def _across(self) -> Floats:
        """(m, k, k) whether the step from place l to the next lies between two places."""
        at, steps = np.arange(self.size), np.arange(self.size - 1)[:, None, None]
        low, high = np.minimum.outer(at, at), np.maximum.outer(at, at)
        return ((low <= steps) & (steps < high)).astype(np.float64)


class _PowersOfDistance(_Neighbours):
    """r to the power of the distance."""

    @property
    def bounds(self) -> Floats:
        return np.array([[-1.0, 1.0]])

    @cached_property
    def classes(self) -> Ints:
        return distances(self.places)

    def matrix(self, at: WithinBounds) -> Floats:
        return at.r[0] ** self.classes

    def slopes(self, at: WithinBounds) -> Floats:
        g = self.classes
        return (g * at.r[0] ** np.maximum(g - 1, 0))[None]

    def bends(self, at: WithinBounds, D: Floats) -> Floats:
        g = self.classes
        return np.full((1, 1), float((D * g * (g - 1) * at.r[0] ** np.maximum(g - 2, 0)).sum()))

    def numbers(self, C: Floats) -> Floats:
        near = C.diagonal(1)
        near = near[np.isfinite(near)]
        return np.array([near.mean() if near.size else 0.0])


class _OnePerDistance(CorrelationPattern):
    """One correlation for each distance; r are the partial autocorrelations, by Durbin and Levinson."""

    @property
    def bounds(self) -> Floats:
        return np.tile([-1.0, 1.0], (int(self.classes.max()), 1))

    @cached_property
    def classes(self) -> Ints:
        return distances(self.places)

    def matrix(self, at: WithinBounds) -> Floats:
        return self.correlations(at.r)[self.classes]

    def slopes(self, at: WithinBounds) -> Floats:
        return np.moveaxis(self.correlation_slopes(at.r)[self.classes], 2, 0)

    def bends(self, at: WithinBounds, D: Floats) -> Floats:
        weights = np.bincount(self.classes.ravel(), D.ravel(), len(at.r) + 1)
        return np.einsum("l,lij->ij", weights, np.array([rho.second for rho in self._series(at.r)]))

    def number_of(self, r: Floats, place: int, value: float) -> tuple[float, Floats, float]:
        # rho = share r_l + rest, both of the partial autocorrelations before.
        before = np.append(r[:place], 0.0)
        rest, whole = (self._series(np.append(r[:place], end))[place + 1] for end in (0.0, 1.0))
        share = whole.value - rest.value
        with np.errstate(divide="ignore", invalid="ignore"):
            found = float(np.divide(value - rest.value, share))
        if not abs(found) <= 1.0 + AT_BOUND:
            raise FitError("There is no series with these correlations.")
        at = self._series(np.append(before[:place], found))[place + 1]
        turned = np.zeros_like(r)
        turned[:place] = -at.first[:place] / share
        return float(np.clip(found, -1.0, 1.0)), turned, 1.0 / share

    def at_pivot(self, r: Floats, zero: int) -> Floats:
        r = r.copy()
        r[zero - 1], r[zero:] = (1.0 if r[zero - 1] > 0 else -1.0), 0.0
        return r

    def correlations(self, r: Floats) -> Floats:
        """(m + 1,) at distances 0 to m."""
        return np.array(autocorrelations(r.tolist(), 1.0))

    def correlation_slopes(self, r: Floats) -> Floats:
        """(m + 1, m) their derivatives in r."""
        return np.array([rho.first for rho in self._series(r)])

    def _series(self, r: Floats) -> list[Jet]:
        """The same, with all derivatives."""
        m = len(r)
        partials = [Jet(float(v), row, np.zeros((m, m))) for v, row in zip(r, np.eye(m), strict=True)]
        return autocorrelations(partials, Jet(1.0, np.zeros(m), np.zeros((m, m))))

    def root(self, at: WithinBounds) -> Floats:
        # Schur's recursion: each column is the last one, a place down, less its share of the other generator.
        L = np.zeros((self.size, self.size))
        L[:, 0] = down = self.matrix(at)[:, 0]
        across = np.append(0.0, down[1:])
        for j, (r, below, above) in enumerate(zip(*at, strict=True), start=1):
            length = np.sqrt(below * above)
            if length < ROUNDING:  # what is left of the variances is rounding
                break
            down = np.append(0.0, down[:-1])
            down, across = (down - r * across) / length, (across - r * down) / length
            down[:j], across[: j + 1] = 0.0, 0.0
            L[:, j] = down
            L[j, j] = length * L[j - 1, j - 1]  # the same, without cancellation
        return L

    def numbers(self, C: Floats) -> Floats:
        return self.partial(C, 1.0)

    def partial(self, C: Floats, most: float) -> Floats:
        """(m,) of a matrix as in `numbers`, within `most`; zero after one at its bound."""
        known = np.isfinite(C)
        lags, m = self.classes[known], int(self.classes.max())
        pairs = np.maximum(np.bincount(lags, minlength=m + 1), 1)
        rho = np.bincount(lags, C[known], m + 1) / pairs
        partial, phi, left = np.zeros(m), np.empty(0), 1.0
        for lag in range(1, m + 1):
            value = snapped(float(np.clip((rho[lag] - phi @ rho[lag - 1 : 0 : -1]) / left, -most, most)))
            partial[lag - 1] = value
            if abs(value) == 1.0:  # what follows has no say
                break
            phi = np.append(phi - value * phi[::-1], value)
            left *= 1.0 - value**2
        return partial


class Jet:
    """A number with its first and second derivatives in m coordinates."""

    def __init__(self, value: float, first: Floats, second: Floats) -> None:
        self.value, self.first, self.second = value, first, second

    def __add__(self, other: Jet) -> Jet:
        return Jet(self.value + other.value, self.first + other.first, self.second + other.second)

    def __sub__(self, other: Jet) -> Jet:
        return Jet(self.value - other.value, self.first - other.first, self.second - other.second)

    def __mul__(self, other: Jet) -> Jet:
        cross = self.first[:, None] * other.first
        second = self.value * other.second + other.value * self.second + cross + cross.T
        return Jet(self.value * other.value, self.value * other.first + other.value * self.first, second)


Number = TypeVar("Number", float, Jet)


def autocorrelations(partials: Sequence[Number], one: Number) -> list[Number]:
    """Autocorrelations at distances 0 to m from the partial ones, by the recursion of Durbin and Levinson."""
    rho, phi, left = [one], list[Number](), one
    for partial in partials:
        now = partial * left
        for weight, r in zip(phi, rho[:0:-1], strict=True):
            now = now + weight * r
        rho.append(now)
        phi = [*(a - partial * b for a, b in zip(phi, phi[::-1], strict=True)), partial]
        left = left - left * partial * partial
    return rho


_PATTERNS: dict[str, type[CorrelationPattern]] = {
    "ident": _NoCorrelation,
    "cs": _OneCorrelation,
    "ar1": _PowersOfDistance,
    "toep": _OnePerDistance,
    "ad": _Neighbours,
}


def pattern_of(name: str, places: Sequence[int]) -> CorrelationPattern:
    """The correlation pattern of a name: none, one for all pairs, powers of one, one a distance, products."""
    return _PATTERNS[name if len(places) > 1 else "ident"](places)


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
        return distances(self.times)


class _Linked(Correlation):
    """A pattern whose r = middle + half tanh(pace x)."""

    pace: ClassVar[float] = 1.0
    widest: ClassVar[float] = WIDEST_START  # share of the way to the bounds, at most, of a start

    @cached_property
    def pattern(self) -> CorrelationPattern:
        """The correlations."""
        return pattern_of(self.name, self.times)

    @property
    def count(self) -> int:
        return len(self.pattern.bounds)

    def matrix(self, x: Floats) -> Floats:
        return self.pattern.matrix(self._at(x)[0])

    def jacobian(self, x: Floats) -> Floats:
        at, slope, _ = self._at(x)
        return slope[:, None, None] * self.pattern.slopes(at)

    def curvature(self, x: Floats, D: Floats) -> Floats:
        at, slope, bend = self._at(x)
        bent = bend * np.einsum("iab,ab->i", self.pattern.slopes(at), D)
        return np.outer(slope, slope) * self.pattern.bends(at, D) + np.diag(bent)

    def start(self, C: Floats) -> Floats:
        middle, half = self._range
        return np.arctanh(self._kept((self.pattern.numbers(C) - middle) / half)) / self.pace

    def naturals(self, names: Sequence[str]) -> list[tuple[Kind, str]]:
        return [("cor", "rho")] * self.count

    def natural(self, x: Floats) -> Floats:
        return self._at(x)[0].r

    def natural_jacobian(self, x: Floats) -> Floats:
        return np.diag(self._at(x)[1])

    @cached_property
    def _range(self) -> tuple[Floats, Floats]:
        """Middle and half of the range of each r."""
        low, high = self.pattern.bounds.T
        return (low + high) / 2.0, (high - low) / 2.0

    def _kept(self, u: Floats) -> Floats:
        return np.clip(u, -self.widest, self.widest)

    def _at(self, x: Floats) -> tuple[WithinBounds, Floats, Floats]:
        """r, dr / dx and d2r / dx2."""
        (middle, half), t = self._range, np.tanh(self.pace * x)
        slope = self.pace * half * (1.0 - t**2)
        return in_bounds(middle + half * t), slope, -2.0 * self.pace * t * slope


class _Independent(_Linked):
    """No correlation."""

    name = "ident"


class _Exchangeable(_Linked):
    """One correlation for all pairs; the logistic function of x, from -1 / (k - 1) to 1."""

    name = "cs"
    pace = 0.5
    widest = 2.0 * WIDEST_START - 1.0

    def at_bound(self, x: Floats, share: float) -> str:
        if not self.count or x[0] > np.log(share / (1.0 - share)):
            return ""
        least = -1.0 / (self.size - 1)
        return f"the correlation of {self.size} visits has run to its lower bound, {least:.6g}"


class _AutoRegressive(_Linked):
    """First-order autoregression: rho to the power of the distance.

    The coordinate is that of the correlation one `step` apart, tanh(x), which visits 364 days apart tell of
    as well as neighbours do; where the step is even there is no rho for a negative one.
    """

    name = "ar1"

    @cached_property
    def step(self) -> int:
        """The greatest whole number that divides all distances."""
        return int(np.gcd.reduce(self.gaps.ravel())) or 1

    @cached_property
    def pattern(self) -> CorrelationPattern:
        """In steps."""
        return pattern_of(self.name, [(time - self.times[0]) // self.step for time in self.times])

    def start(self, C: Floats) -> Floats:
        if not self.count:
            return np.empty(0)
        steps = self.pattern.classes
        known = (steps > 0) & np.isfinite(C)
        least = int(steps[known].min(initial=np.iinfo(np.intp).max))
        mean = float(C[known & (steps == least)].mean()) if known.any() else 0.0
        r = np.sign(mean) * np.abs(mean) ** (1.0 / least)
        if least % 2 == 0:  # an even power has no sign
            r = np.abs(r) if mean > 0 else 0.0
        return np.arctanh(self._kept(np.array([r])))

    def natural(self, x: Floats) -> Floats:
        r = super().natural(x)
        rho = np.sign(r) * np.abs(r) ** (1.0 / self.step)
        return rho if self.step % 2 else np.where(r < 0.0, np.nan, rho)

    def natural_jacobian(self, x: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            slope = np.abs(super().natural(x)) ** (1.0 / self.step - 1.0) / self.step
        return np.diag(slope) * super().natural_jacobian(x)


class _AnteDependent(_Linked):
    """First-order antedependence: the product of the correlations of neighbours, each tanh(x_l)."""

    name = "ad"

    def naturals(self, names: Sequence[str]) -> list[tuple[Kind, str]]:
        return [("cor", f"rho.{a}.{b}") for a, b in pairwise(names)]


class _Banded(_Linked):
    """One correlation for each distance, Toeplitz; coordinates are partial autocorrelations, tanh(x_l).

    The recursion of Durbin and Levinson takes any partial autocorrelations within (-1, 1) to the
    autocorrelations of a stationary series, so that no member is outside the cone.
    """

    name = "toep"

    @cached_property
    def _lags(self) -> _OnePerDistance:
        return _OnePerDistance(self.times)

    def start(self, C: Floats) -> Floats:
        return np.arctanh(self._lags.partial(C, self.widest))

    def naturals(self, names: Sequence[str]) -> list[tuple[Kind, str]]:
        return [("cor", f"rho.{lag}") for lag in range(1, self.count + 1)]

    def natural(self, x: Floats) -> Floats:
        return self._lags.correlations(super().natural(x))[1:]

    def natural_jacobian(self, x: Floats) -> Floats:
        at, slope, _ = self._at(x)
        return (self._lags.correlation_slopes(at.r) * slope)[1:].reshape(self.count, self.count)


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
        return self._slopes(self._root(x))

    def _slopes(self, L: Floats) -> Floats:
        """(m, k, k) first derivatives of L L'."""
        rows, columns = self.entries
        half = np.zeros((len(rows), len(L), len(L)))
        half[np.arange(len(rows)), rows] = L[:, columns].T * self._chain(L)[:, None]
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
        return [*ratios, *(("cor", f"cor.{names[a]}.{names[b]}") for a, b in zip(*self._pairs, strict=True))]

    def natural(self, x: Floats) -> Floats:
        M, (a, b) = self.matrix(x), self._pairs
        s = np.sqrt(M.diagonal())
        return np.concatenate([s[1:], M[a, b] / (s[a] * s[b])])

    def natural_jacobian(self, x: Floats) -> Floats:
        L, (a, b) = self._root(x), self._pairs
        M, dM = L @ L.T, self._slopes(L)
        s = np.sqrt(M.diagonal())
        logs = 0.5 * np.einsum("maa->am", dM) / M.diagonal()[:, None]
        both = (s[a] * s[b])[:, None]
        cors = dM[:, a, b].T / both - M[a, b][:, None] / both * (logs[a] + logs[b])
        return np.concatenate([logs[1:] * s[1:, None], cors])

    @cached_property
    def _pairs(self) -> tuple[Ints, Ints]:
        """Rows and columns of the correlations."""
        rows, columns = np.triu_indices(self.size, 1)
        return rows, columns

    def _root(self, x: Floats) -> Floats:
        L = np.zeros((self.size, self.size))
        L[self.entries] = x
        L.flat[:: self.size + 1] = np.exp(L.diagonal())
        return L

    def _chain(self, L: Floats) -> Floats:
        """(m,) derivative of each entry of L in its coordinate."""
        rows, columns = self.entries
        return np.where(rows == columns, L[rows, columns], 1.0)


CORRELATIONS: dict[str, type[Correlation]] = {
    kind.name: kind for kind in (_Independent, _Free, _Exchangeable, _AutoRegressive, _Banded, _AnteDependent)
}
