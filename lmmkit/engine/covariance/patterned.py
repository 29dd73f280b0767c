"""Covariance matrices of random effects with a pattern: T = D C D, standard deviations and correlations.

Coordinates are such that a bound is an ordinary stationary point: no search has to run to infinity for it.
A common standard deviation s has a free sign (T = s^2 C). Those of single columns are held at or above zero.
What the correlations depend on, r within [low, high], is

    r = middle + half sin(x),    dr/dx = half cos(x) = 0 where r is at its bound

A family knows C and its derivatives in r, its root, and r of a matrix; the chain rule is written once, here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.correlations import (
    AT_BOUND,
    CorrelationPattern,
    WithinBounds,
    pattern_of,
    snapped,
)
from lmmkit.engine.covariance.roots import semidefinite_factor
from lmmkit.engine.covariance.structures import Growth, Natural, Structure, Thinner
from lmmkit.errors import FitError

WIDEST_START = 0.9  # of the way to the bounds, at most, for correlations of a start
TRIED = (-0.5, 0.0, 0.5, 0.8)  # of the way from the middle to the bounds: correlations that a start tries,
GRID = (-0.95, *TRIED, 0.95)  # and those that a way off a saddle tries
INWARD = 0.2  # of the half range: how far inside a bound a correlation is tried from there


class Fading(CorrelationPattern):
    """exp(-distance / range) between positions; r is the correlation of the closest pair, from 0 to 1."""

    @property
    def bounds(self) -> Floats:
        """As of `CorrelationPattern`."""
        return np.array([[0.0, 1.0]])

    def __init__(self, positions: tuple[tuple[float, ...], ...]) -> None:
        super().__init__(range(len(positions)))
        self.positions = positions

    @cached_property
    def distances(self) -> Floats:
        """(k, k) between positions."""
        P = np.array(self.positions)
        return np.sqrt(((P[:, None] - P) ** 2).sum(axis=2))

    @cached_property
    def closest(self) -> float:
        """The distance of the closest pair."""
        return float(self.distances[np.triu_indices(self.size, 1)].min())

    @cached_property
    def pair(self) -> tuple[int, int]:
        """Row and column of that pair."""
        low = np.where(np.tri(self.size, k=-1, dtype=bool), self.distances, np.inf)
        row, column = np.unravel_index(int(low.argmin()), low.shape)
        return int(row), int(column)

    @cached_property
    def _powers(self) -> Floats:
        return self.distances / self.closest

    def matrix(self, at: WithinBounds) -> Floats:
        """As of `CorrelationPattern`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            C = np.exp(self._powers * np.log1p(-at.above[0]))
        np.fill_diagonal(C, 1.0)
        return C

    def slopes(self, at: WithinBounds) -> Floats:
        """As of `CorrelationPattern`."""
        a = self._powers
        return (a * at.r[0] ** np.maximum(a - 1.0, 0.0))[None]

    def bends(self, at: WithinBounds, D: Floats) -> Floats:
        """As of `CorrelationPattern`."""
        a, r = self._powers, max(float(at.r[0]), 1e-60)
        bend = np.where(a > 1.0, a * (a - 1.0) * r ** (a - 2.0), 0.0)
        return np.full((1, 1), float((D * bend).sum()))

    def root(self, at: WithinBounds) -> Floats:
        """As of `CorrelationPattern`."""
        C = self.matrix(at)
        if at.above[0] == 0.0:
            L = np.zeros_like(C)
            L[:, 0] = 1.0
            return L
        try:
            return np.linalg.cholesky(C).astype(np.float64, copy=False)
        except np.linalg.LinAlgError:
            values, vectors = np.linalg.eigh(C)
            return semidefinite_factor(vectors * np.sqrt(np.maximum(values, 0.0)))

    def number_of(self, r: Floats, place: int, value: float) -> tuple[float, Floats, float]:
        """As of `CorrelationPattern`: the parameter is the range."""
        if value <= 0.0:
            return 0.0, np.zeros_like(r), 0.0
        found = float(np.exp(-self.closest / value))
        return found, np.zeros_like(r), found * self.closest / value**2

    def limits(self, place: int) -> tuple[float, float]:
        """As of `CorrelationPattern`."""
        return 0.0, np.inf

    def from_printed(self, values: Floats) -> Floats:
        """As of `CorrelationPattern`."""
        return np.array([self.number_of(np.zeros(1), 0, float(values[0]))[0]])

    def numbers(self, C: Floats) -> Floats:
        """As of `CorrelationPattern`."""
        value = C[self.pair]
        if not np.isfinite(value):
            known = np.isfinite(C) & (self.distances > 0)
            value = C[known].mean() if known.any() else 0.0
        return np.full(1, float(value))


def _shown(value: float) -> str:
    """A number, or in words what it is in place of one."""
    return f"{value:.4g}" if np.isfinite(value) else "not defined" if np.isnan(value) else "without end"


def _number(value: float) -> Floats:
    """One number, as arrays of them come."""
    return np.asarray(value, dtype=np.float64)


def _slope(growth: Growth) -> float:
    """By which ways are ordered."""
    return float(growth.slope)


@dataclass(frozen=True)
class PatternedStructure(Structure):
    """T = D C D with C of a pattern.

    Attributes:
        own: Whether each column has a standard deviation of its own, or all have one.
        family: Name of the pattern, see `pattern_of`.
    """

    own: ClassVar[bool] = False
    closed = "scale"
    family: ClassVar[str]
    has_em = False
    batched = False

    @cached_property
    def pattern(self) -> CorrelationPattern:
        """The correlations."""
        return pattern_of(self.family, range(self.width))

    # Coordinates

    @cached_property
    def scales(self) -> int:
        """How many coordinates are standard deviations; they come first."""
        return self.width if self.own else 1

    @cached_property
    def count(self) -> int:
        """As of `Structure`."""
        return self.scales + len(self.pattern.bounds)

    @cached_property
    def _middle(self) -> Floats:
        return self.pattern.bounds.mean(axis=1)

    @cached_property
    def _half(self) -> Floats:
        return np.diff(self.pattern.bounds, axis=1)[:, 0] / 2.0

    def _bounded(self, x: Floats) -> WithinBounds:
        """R of the last coordinates."""
        angle = x[self.scales :]
        sine, cosine = np.sin(angle), self._cosine(x)
        # 1 - |sin x| = cos(x)^2 / (1 + |sin x|), without cancellation
        short, long = cosine**2 / (1.0 + np.abs(sine)), 1.0 + np.abs(sine)
        below, above = np.where(sine > 0, (long, short), (short, long))
        return WithinBounds(self._middle + self._half * sine, self._half * below, self._half * above)

    def _cosine(self, x: Floats) -> Floats:
        cosine = np.cos(x[self.scales :])
        return np.where(np.abs(cosine) < AT_BOUND, 0.0, cosine)

    def _angles(self, r: Floats) -> Floats:
        u = np.clip((r - self._middle) / self._half, -1.0, 1.0) if len(r) else r
        return np.array([np.arcsin(snapped(float(each))) for each in u])

    def _sds(self, x: Floats) -> Floats:
        """(k,) standard deviations: those of single columns whatever the coordinates' signs."""
        return np.abs(x[: self.width]) if self.own else np.full(self.width, x[0])

    def _sd_slopes(self, x: Floats) -> Floats:
        """(scales, k) their derivatives: signs of single columns' coordinates, or ones."""
        own = np.diag(np.where(x[: self.scales] < 0.0, -1.0, 1.0))
        return own if self.own else np.ones((1, self.width))

    def start(self, T: Floats, scale: Floats, floor: float) -> Floats:
        """As of `Structure`."""
        variances = np.maximum(T.diagonal(), 0.0)
        if self.own:
            sds = np.sqrt(np.maximum(variances, floor / scale**2))
        else:
            weight = scale**2 / (scale**2).sum()
            sds = np.array([np.sqrt(max(float(weight @ variances), floor / float((scale**2).mean())))])
        r = self.pattern.numbers(self._correlations(T))
        u = np.clip((r - self._middle) / self._half, -WIDEST_START, WIDEST_START) if len(r) else r
        return np.concatenate([sds, np.arcsin(u)])

    def limits(self, place: int) -> tuple[float, float]:
        """Returns the values between which a printed correlation, or range, is."""
        return self.pattern.limits(place)

    @property
    def unit_of_range(self) -> float:
        """A distance to begin from where a range is zero or infinite."""
        return 1.0

    def angle_at(self, x: Floats, place: int, value: float) -> tuple[float, Floats]:
        """Returns the coordinate of a printed correlation that has a value, and its derivatives in x.

        Raises:
            FitError: No member has that value.
        """
        m, link = self.scales, self._half * self._cosine(x)
        found, turned, _ = self.pattern.number_of(self._bounded(x).r, place, value)
        angle, slope = self._angle(place, found)
        return angle, np.append(np.zeros(m), slope * turned * link)

    def angle_slope(self, x: Floats, place: int, value: float) -> float:
        """Returns the derivative of that coordinate in the value."""
        found, _, slope = self.pattern.number_of(self._bounded(x).r, place, value)
        return self._angle(place, found)[1] * slope

    def _angle(self, place: int, r: float) -> tuple[float, float]:
        """The coordinate of one r, and its derivative; 0 at a bound."""
        u = float(np.clip((r - self._middle[place]) / self._half[place], -1.0, 1.0))
        angle = float(np.arcsin(snapped(u)))
        cosine = float(np.cos(angle))
        return angle, 1.0 / (self._half[place] * cosine) if cosine > AT_BOUND else 0.0

    def elsewhere(self, L: Floats) -> Floats:
        """As of `Structure`."""
        x, m = self.coordinates(L), self.scales
        floor = 0.1 * (float(x[:m].max(initial=0.0)) or 1.0)
        return self.root(np.concatenate([np.maximum(1.5 * x[:m], floor), 0.5 * x[m:] + 0.1]))

    def trials(self, x: Floats) -> list[Floats]:
        """Returns other coordinates to start from: the same variances with other correlations."""
        m = len(self._half)
        if not m:
            return []
        # Of several numbers, partial autocorrelations, the first leads.
        return [np.concatenate([x[: self.scales], [np.arcsin(u)], np.zeros(m - 1)]) for u in TRIED]

    def root(self, x: Floats) -> Floats:
        """As of `Structure`."""
        R = self.pattern.root(self._bounded(x))
        return np.abs(self._sds(x))[:, None] * R

    def coordinates(self, L: Floats) -> Floats:
        """As of `Structure`."""
        T = L @ L.T
        variances = T.diagonal()
        sds = np.sqrt(variances) if self.own else np.array([np.sqrt(variances.mean())])
        r = self.pattern.numbers(self._correlations(T))
        zero = np.flatnonzero((L.diagonal() == 0.0) & (variances > 0.0) & (len(r) > 0))
        if len(zero) and not np.triu(L, 1).any():  # a root tells of a bound to the last digit, T does not
            r = self.pattern.at_pivot(r, int(zero[0]))
        return np.concatenate([sds, self._angles(r)])

    def root_of(self, A: Floats) -> Floats:
        """As of `Structure`."""
        if A.ndim > 2:
            return np.stack([self.root_of(a) for a in np.moveaxis(A, 2, 0)], axis=2)
        return self.root(self.coordinates(A))

    def contains(self, L: Floats) -> bool:
        """As of `Structure`."""
        T, U = L @ L.T, self.root_of(L)
        return bool(np.allclose(U @ U.T, T, rtol=0.0, atol=1e-10 * float(np.abs(T).max(initial=0.0))))

    @property
    def nonnegative(self) -> NDArray[np.bool_]:
        """As of `Structure`."""
        return np.arange(self.count) < (self.width if self.own else 0)

    @property
    def bounded(self) -> NDArray[np.bool_]:
        """As of `Structure`."""
        return self.nonnegative

    @staticmethod
    def _correlations(T: Floats) -> Floats:
        """T with a unit diagonal; NaN where a variance is not positive."""
        variances = np.where(T.diagonal() > 0.0, T.diagonal(), np.nan)
        return T / np.sqrt(np.outer(variances, variances))

    # Derivatives

    def jacobian(self, x: Floats) -> Floats:
        """As of `Structure`."""
        at, s = self._bounded(x), self._sds(x)
        half = self._sd_slopes(x)[:, :, None] * (self.pattern.matrix(at) * s)
        link = self._half * self._cosine(x)
        rest = link[:, None, None] * np.outer(s, s) * self.pattern.slopes(at)
        return np.concatenate([half + half.swapaxes(1, 2), rest])

    def curvature(self, x: Floats, D: Floats) -> Floats:
        """As of `Structure`."""
        at, s, m = self._bounded(x), self._sds(x), self.scales
        C, size, link = self.pattern.matrix(at), np.outer(s, s), self._half * self._cosine(x)
        slopes, of = link[:, None, None] * self.pattern.slopes(at), self._sd_slopes(x)
        out = np.zeros((self.count, self.count))
        out[:m, :m] = 2.0 * of @ (D * C) @ of.T
        out[:m, m:] = 2.0 * of @ np.einsum("ab,iab,b->ai", D, slopes, s)
        out[m:, :m] = out[:m, m:].T
        bent = -self._half * np.sin(x[m:]) * np.einsum("ab,iab->i", D * size, self.pattern.slopes(at))
        out[m:, m:] = np.outer(link, link) * self.pattern.bends(at, D * size) + np.diag(bent)
        return out

    @cached_property
    def span(self) -> Floats:
        """(q, k, k) symmetric matrices that a start is looked for among."""
        free = np.array([np.diag(row) for row in np.eye(self.width)] if self.own else [np.eye(self.width)])
        if not len(self._half):
            return free
        classes = self._start_classes
        return np.concatenate(
            [free, [(classes == c).astype(np.float64) for c in range(1, classes.max() + 1)]]
        )

    @cached_property
    def _start_classes(self) -> Ints:
        return self.pattern.classes

    def tangent(self, x: Floats) -> Floats:
        """As of `Structure`."""
        at, s = self._bounded(x), self._sds(x)
        C, size = self.pattern.matrix(at), np.outer(s, s)
        if self.own:
            first = self.jacobian(x)[: self.width]
            zero = s == 0.0
            first[zero] = np.array([np.diag(row) for row in np.eye(self.width)])[zero]
        else:
            first = C[None]
        rest = size * self.pattern.slopes(at)
        return np.concatenate([first, rest[np.abs(rest).max(axis=(1, 2), initial=0.0) > 0.0]])

    @property
    def generic(self) -> Floats:
        """As of `Structure`."""
        rng = np.random.default_rng(7)
        sds = rng.uniform(0.5, 1.5, self.scales)
        return self.tangent(np.concatenate([sds, rng.uniform(0.2, 0.6, len(self._half))]))

    # The boundary

    def null(self, x: Floats) -> NDArray[np.bool_]:
        """As of `Structure`."""
        s, cosine = self._sds(x), self._cosine(x)
        moved = np.abs(np.outer(s, s) * self.pattern.slopes(self._bounded(x)))
        held = moved.max(axis=(1, 2), initial=0.0) == 0.0
        bound = np.flatnonzero(cosine == 0.0)
        if len(bound):  # beyond a partial correlation at its bound no other has a say
            held[bound[0] :] = True
        return np.concatenate([x[: self.scales] == 0.0, held])

    def em(self, L: Floats, D: Floats, levels: int) -> Floats:
        """As of `Structure`."""
        variance = L[0, 0] ** 2
        moved = variance - variance**2 * float(np.trace(D)) / (levels * self.width)
        return np.sqrt(max(moved, 0.0)) * np.eye(self.width)

    def imbalance(self, L: Floats, D: Floats) -> float:
        """As of `Structure`."""
        x = self.coordinates(L)
        slopes = np.abs(self.gradient(x, D)) * np.where(np.arange(self.count) < self.scales, np.abs(x), 1.0)
        return float(slopes.max())

    def growths(self, L: Floats, D: Floats, scale: Floats) -> list[Growth]:
        """As of `Structure`."""
        x, size = self.coordinates(L), float((scale**2).mean())
        s, m = self._sds(x), self.scales
        if not s.any():
            ways = [self._root_at(u) / np.sqrt(size) for u in self._grid]
            return [min((Growth(_number(float((D * (M @ M.T)).sum())), M) for M in ways), key=_slope)]
        out = list[Growth]()
        for i in map(int, np.flatnonzero(s == 0.0)):
            # A zero standard deviation, and with it a correlation that nothing else depends on.
            target = x.copy()
            target[i] = 1.0 / scale[i]
            free = [each for each in self._moved(target) if self._same_but(i, each, x)]
            out.append(min((self._towards(i, each, x, D) for each in free), key=_slope))
        at, whole = self._bounded(x), np.outer(s, s)
        first = self.pattern.slopes(at)
        for i in map(int, np.flatnonzero(self._cosine(x) == 0.0)[:1]):
            inward = -np.sign(np.sin(x[m + i]))
            slope = inward * self._half[i] * float((D * whole * first[i]).sum())
            inside = x.copy()
            inside[m + i] = np.arcsin(-inward * (1.0 - INWARD))
            out.append(Growth(_number(slope), self.root(inside)))
        return out

    def _moved(self, x: Floats) -> list[Floats]:
        """The same with other correlations."""
        ways = [x]
        for u in self._grid:
            ways.append(x.copy())
            ways[-1][self.scales :] = np.arcsin(u)
        return ways

    def _same_but(self, i: int, target: Floats, x: Floats) -> bool:
        """Whether the correlations of a target leave T as it is while the standard deviation i is zero."""
        other = target.copy()
        other[i] = 0.0
        T, U = (L @ L.T for L in (self.root(x), self.root(other)))
        return bool(np.allclose(T, U, rtol=0.0, atol=1e-12 * float(np.abs(T).max())))

    def _towards(self, i: int, target: Floats, x: Floats, D: Floats) -> Growth:
        """The growth of a standard deviation i that is zero: of first order beside others, else of second."""
        C = self.pattern.matrix(self._bounded(target))
        slope = 2.0 * target[i] * float((D[i] * C[i]) @ self._sds(x))
        return Growth(_number(slope or D[i, i] * target[i] ** 2), self.root(target))

    def grown(self, L: Floats, rows: Floats, size: float) -> Floats:
        """As of `Structure`."""
        x, target, m = self.coordinates(L), self.coordinates(rows), self.scales
        new = x.copy()
        new[:m] = np.where(x[:m] == 0.0, np.sqrt(size) * target[:m], x[:m])
        if (new[:m] != x[:m]).any():  # what nothing depends on goes where it is wanted at once
            new[m:] = target[m:]
        else:
            new[m:] = x[m:] + np.sqrt(size) * (target[m:] - x[m:])
        return self.root(new)

    @cached_property
    def _grid(self) -> list[Floats]:
        m = len(self._half)
        ways = list(product(GRID, repeat=min(m, 2))) if m else [()]
        return [np.array([*way, *[0.0] * (m - len(way))]) for way in ways]

    def _root_at(self, u: Floats) -> Floats:
        """Root of C where r is a share u of the way from the middle to its bounds."""
        return self.root(np.concatenate([np.ones(self.scales), np.arcsin(u)]))

    def growths_from_null(self, L: Floats, D: Floats, scale: Floats, null: float) -> list[Growth]:
        """As of `Structure`."""
        if ((L * scale[:, None]) ** 2).sum(axis=1).max(initial=0.0) >= null:
            return []
        return self.growths(np.zeros_like(L), D, scale)

    def thinner(self, L: Floats, scale: Floats) -> list[Thinner]:
        """As of `Structure`."""
        T, size = L @ L.T, np.outer(scale, scale)
        whole = float(np.abs(T * size).max(initial=0.0))
        out = [Thinner(_number(whole), T / (whole or 1.0), np.zeros_like(L))]
        x = self.coordinates(L)
        s, cosine = self._sds(x), self._cosine(x)
        for i in range(len(self._half)):
            end = x.copy()
            side = 1.0 if np.sin(x[self.scales + i]) > 0 else -1.0
            end[self.scales + i] = np.arcsin(side)
            left = self.root(end)
            idle = (cosine[: i + 1] == 0.0).any()  # but for rounding
            value = 0.0 if idle else float(np.abs((left @ left.T - T) * size).max())
            back = -side * self._half[i] * np.outer(s, s) * self.pattern.slopes(self._bounded(end))[i]
            out.append(Thinner(_number(value), back / (float(np.abs(back * size).max()) or 1.0), left))
        return out

    # Names

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Row and column, row > column, of all covariances, column-major; none without correlations."""
        k = self.width
        return tuple((r, c) for c in range(k) for r in range(c + 1, k)) if len(self._half) else ()

    @cached_property
    def naturals(self) -> tuple[Natural, ...]:
        """As of `Structure`."""
        sds = [Natural("sd", i, i) for i in range(self.scales)]
        return (*sds, *self._dependence)

    @property
    def _dependence(self) -> list[Natural]:
        """Of the correlations."""
        return [Natural("cor", lag, 0) for lag in range(1, 1 + len(self._half))]

    def natural_names(self, columns: Sequence[str]) -> list[str]:
        """As of `Structure`."""
        sds = [f"sd.{name}" for name in columns] if self.own else ["sd"]
        return [*sds, *self._dependence_names]

    @property
    def _dependence_names(self) -> list[str]:
        return ["rho"] * len(self._half)

    def said(self, G: Floats) -> str:
        """Returns what the correlations depend on, with its values: `rho 0.43`, or nothing."""
        found = self.natural(G)[self.scales :]
        parts = zip(self._dependence_names, found, strict=True)
        return ", ".join(f"{name} {_shown(float(value))}" for name, value in parts)

    def names(self, columns: Sequence[str]) -> list[str]:
        """As of `Structure`."""
        return self.natural_names(columns)

    def relative(self, L: Floats) -> Floats:
        """As of `Structure`."""
        return self.natural(L @ L.T)

    def from_relative(self, theta: Floats) -> Floats:
        """As of `Structure`."""
        given = np.asarray(theta, dtype=np.float64)
        sds, rest = np.abs(given[: self.scales]), np.nan_to_num(given[self.scales :], posinf=np.inf)
        r = self.pattern.from_printed(rest) if len(rest) else rest
        L = self.root(np.concatenate([sds, self._angles(r)]))
        found = self.relative(L)
        if (sds != given[: self.scales]).any() or not np.allclose(
            np.where(np.isfinite(found), found, 0.0), np.where(np.isfinite(found), given, 0.0), atol=1e-8
        ):
            raise FitError(
                f"{given.tolist()} are no standard deviations over sigma (not negative) and correlations of "
                f"a matrix that is {self.name}."
            )
        return L

    def natural(self, G: Floats) -> Floats:
        """As of `Structure`."""
        variances = np.einsum("aa...->a...", G)
        sds = np.sqrt(variances) if self.own else np.sqrt(variances.mean(axis=0, keepdims=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.sqrt(variances[:, None] * variances[None])
            C = np.clip(np.where(scale > 0.0, G / scale, np.nan), -1.0, 1.0)
            found = [self._known(C, n) for n in self._dependence]
        return np.concatenate([sds, np.array(found).reshape(len(found), *G.shape[2:])])

    def _known(self, C: Floats, natural: Natural) -> Floats:
        """The mean of a correlation over the pairs that have it; NaN where none has."""
        classes = self.pattern.classes
        rows, columns = np.nonzero(np.tril(classes == classes[natural.row, natural.column], -1))
        values = C[rows, columns]
        known = np.isfinite(values)
        total = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        return np.where(known.any(axis=0), total, np.nan)

    def spans(self, T: Floats) -> bool:
        """As of `Structure`."""
        values, vectors = np.linalg.eigh(T)
        return bool(values[0] > -1e-9 * max(abs(values[-1]), 1e-300)) and self.contains(
            vectors * np.sqrt(np.maximum(values, 0.0))
        )


@dataclass(frozen=True)
class Identical(PatternedStructure):
    """Independent effects with one variance."""

    name = "diagonal, with one variance"
    tag = "homdiag"
    family = "ident"
    words = "these are independent and have one variance"
    has_em = True


@dataclass(frozen=True)
class CompoundSymmetric(PatternedStructure):
    """One correlation for all pairs, and a variance for each column."""

    name = "compound symmetric, with a variance for each column"
    tag = "cs"
    family = "cs"
    words = "these have a variance each and one correlation, the same for all pairs"
    own = True
    closed = "scales"


@dataclass(frozen=True)
class HomogeneousCompoundSymmetric(PatternedStructure):
    """One correlation for all pairs, and one variance."""

    name = "compound symmetric, with one variance"
    tag = "homcs"
    family = "cs"
    words = "these have one variance and one correlation, the same for all pairs"


@dataclass(frozen=True)
class AutoRegressive(PatternedStructure):
    """First-order autoregression over the columns in their order, and one variance."""

    name = "first-order autoregressive, with one variance"
    tag = "ar1"
    family = "ar1"
    words = "these have one variance, and a correlation that is rho to the power of how far apart they stand"


@dataclass(frozen=True)
class HeterogeneousAutoRegressive(PatternedStructure):
    """First-order autoregression over the columns in their order, and a variance for each column."""

    name = "first-order autoregressive, with a variance for each column"
    tag = "hetar1"
    family = "ar1"
    words = (
        "these have a variance each, and a correlation that is rho to the power of how far apart they stand"
    )
    own = True
    closed = "scales"


@dataclass(frozen=True)
class Toeplitz(PatternedStructure):
    """One correlation for each distance of columns in their order, and a variance for each column."""

    name = "Toeplitz, with a variance for each column"
    tag = "toep"
    family = "toep"
    words = "these have a variance each, and one correlation for every distance between them"
    own = True
    closed = "scales"

    @property
    def _dependence_names(self) -> list[str]:
        return [f"rho.{lag}" for lag in range(1, self.width)]


@dataclass(frozen=True)
class HomogeneousToeplitz(Toeplitz):
    """One correlation for each distance, and one variance."""

    name = "Toeplitz, with one variance"
    tag = "homtoep"
    words = "these have one variance, and one correlation for every distance between them"
    own = False
    closed = "scale"


@dataclass(frozen=True)
class Exponential(PatternedStructure):
    """Correlation exp(-distance / range) between positions, and one variance.

    Attributes:
        positions: (k) coordinates of each column.
    """

    positions: tuple[tuple[float, ...], ...] = ()

    name = "exponential in the distance, with one variance"
    tag = "exp"
    words = "these have one variance, and a correlation of exp(-distance / range)"

    @cached_property
    def pattern(self) -> CorrelationPattern:
        """As of `PatternedStructure`."""
        return Fading(self.positions)

    @property
    def fading(self) -> Fading:
        """The pattern."""
        found = self.pattern
        assert isinstance(found, Fading)
        return found

    @cached_property
    def _start_classes(self) -> Ints:
        # Near and far pairs: more of them than a start needs would cost as many equations.
        distances = self.fading.distances
        middle = np.median(distances[np.triu_indices(self.width, 1)])
        return np.where(distances == 0.0, 0, np.where(distances <= middle, 1, 2))

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """None: all covariances follow from the range, and there may be thousands."""
        return ()

    @property
    def plain_root(self) -> Floats:
        """As of `Structure`: the closest pair correlated by a half; without, the range would be zero."""
        return self.root(np.array([1.0, 0.0]))

    def listed(self, columns: Sequence[str]) -> list[tuple[int, str]]:
        """As of `Structure`: one for all positions."""
        return [(0, f"each of {len(columns)} positions")]

    @property
    def unit_of_range(self) -> float:
        """As of `PatternedStructure`: the median distance."""
        return float(np.median(self.fading.distances[np.triu_indices(self.width, 1)]))

    @property
    def _dependence(self) -> list[Natural]:
        return [Natural("range", *self.fading.pair)]

    @property
    def _dependence_names(self) -> list[str]:
        return ["range"]

    def natural(self, G: Floats) -> Floats:
        """As of `Structure`."""
        i, j = self.fading.pair
        variance = np.einsum("aa...->a...", G).mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            r = np.where(variance > 0.0, G[i, j] / variance, np.nan)
            found = -self.fading.closest / np.log(np.minimum(r, 1.0))
        return np.stack([np.sqrt(variance), np.where(r >= 1.0, np.inf, np.abs(found))])

    def wald_slopes(self, T: Floats, dT: Floats) -> Floats:
        """As of `Structure`: of the log SD and of the log range."""
        log_sd, rho = super().wald_slopes(T, dT)
        i, j = self.fading.pair
        r = float(T[i, j] / np.sqrt(T[i, i] * T[j, j]))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.stack([log_sd, rho * np.divide(1.0 - r**2, -r * np.log(r))])


@dataclass(frozen=True)
class OrnsteinUhlenbeck(Exponential):
    """The same over one coordinate, such as time."""

    name = "Ornstein-Uhlenbeck, with one variance"
    tag = "ou"
    words = "these have one variance, and a correlation of exp(-distance / range)"
