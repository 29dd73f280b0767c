"""Where the profile deviance of a parameter crosses a level: the bounds of its likelihood interval.

The signed root z(v) = sqrt(profile(v) - least) is nearly straight in v on the parameter's working scale, and
its derivative is known (that of the profile is the Lagrange multiplier): Newton's method, kept in a bracket,
finds the crossing in a few profiles, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.natural_scales import FISHER, LOG, PLAIN, Scale, stretched
from lmmkit.engine.profiles.slices import Holdable
from lmmkit.engine.rules import PROFILE
from lmmkit.errors import FitError

FURTHEST = 1e100  # value of a parameter beyond which the products of an evaluation overflow


class Found(Protocol):
    """The least deviance where a parameter has a value."""

    @property
    def theta(self) -> Floats:
        """Where it is."""
        ...

    @property
    def deviance(self) -> float:
        """The least."""
        ...

    @property
    def slope(self) -> float:
        """Its derivative in the value, in prepared units."""
        ...


@dataclass
class ProfileCurve:
    """The profile deviance along one parameter, each search begun where the nearest one ended.

    Attributes:
        find: From a value and a start to the least deviance there.
        parameter: What is profiled.
        least: The deviance of the fit.
        known: Coordinates of the least deviance, by value.
    """

    find: Callable[[float, Floats], Found]
    parameter: Holdable
    least: float
    known: dict[float, Floats] = field(default_factory=dict[float, Floats])

    def __call__(self, value: float) -> tuple[float, float]:
        """Profile deviance above that of the fit, and its derivative in the value.

        Raises:
            FitError: It was not found, or it lies below that of the fit.
        """
        near = min(self.known, key=lambda v: abs(v - value), default=None)
        point = self._search(value, self.parameter.start if near is None else self.known[near])
        self.known[value] = point.theta
        return point.deviance - self.least, point.slope / self.parameter.unit

    def height(self, value: float) -> float:
        """The same at the end of the domain, where coordinates may change sign: no start for others.

        Raises:
            FitError: As above.
        """
        return self._search(value, self.parameter.start).deviance - self.least

    def lower_elsewhere(self, value: float, height: float) -> bool:
        """Whether the search from the fit's own coordinates ends lower; it is then remembered."""
        point = self._search(value, self.parameter.start)
        lower = point.deviance - self.least < height - PROFILE.elsewhere
        if lower:
            self.known[value] = point.theta
        return lower

    def _search(self, value: float, x: Floats) -> Found:
        """The least deviance at a value."""
        if not abs(value) < FURTHEST:
            raise FitError("The profile stays below the level as far as numbers reach: there is no bound.")
        point = self.find(value, x)
        if point.deviance < self.least - PROFILE.better:
            raise FitError(
                f"At {value:.6g} the deviance is {self.least - point.deviance:.3g} below that of the fit, "
                "which therefore stands at a local optimum: fit again from another start."
            )
        return point


class Crossing:
    """The search for one bound on a working scale.

    Attributes:
        origin: The estimate.
        inside, outside: Where the profile is known to be below and above the level.
    """

    def __init__(
        self, line: ProfileCurve, scale: Scale, level: float, origin: float, outside: float | None
    ) -> None:
        self.line, self.scale, self.root = line, scale, float(np.sqrt(level))
        self.origin = self.inside = origin
        self.outside = outside

    def find(self, t: float) -> float:
        """The value at the crossing, from a first guess of t.

        Raises:
            FitError: It was not found.
        """
        for _ in range(PROFILE.profiles):
            z, slope = self._excess(t)
            following = self._next(t, z, slope)
            if abs(following - t) <= PROFILE.bound * abs(following - self.origin):
                if not self.line.lower_elsewhere(self.scale.back(t), (z + self.root) ** 2):
                    return self.scale.back(following)
                self.inside, self.outside = t, None
            else:
                t = following
        raise FitError(
            f"No bound was found within {PROFILE.profiles} profiles; the last was at "
            f"{self.scale.back(t):.6g}."
        )

    def _excess(self, t: float) -> tuple[float, float]:
        """Root of the profile less that of the level, and its derivative in t; the bracket is narrowed."""
        height, slope = self.line(self.scale.back(t))
        z = float(np.sqrt(max(height, 1e-12)))
        if z < self.root:
            self.inside = t
        else:
            self.outside = t
        return z - self.root, slope * self.scale.slope(t) / (2.0 * z)

    def _next(self, t: float, z: float, slope: float) -> float:
        """Newton's step where it stays in the bracket, else a step outward or to the middle."""
        newton = t - z / slope if slope != 0.0 else np.inf
        if self.outside is not None:
            low, high = sorted((self.inside, self.outside))
            return newton if low <= newton <= high else 0.5 * (low + high)
        gone = t - self.origin
        ahead = (newton - t) / gone
        return t + gone * (min(ahead, PROFILE.outward) if ahead > 0 else 1.0)


class Interval(NamedTuple):
    """An interval, and what kept a bound from being found (then NaN)."""

    low: float
    high: float
    trouble: str = ""


@dataclass(frozen=True, eq=False)
class IntervalSearch:
    """The likelihood interval of one parameter.

    Attributes:
        line: Its profile.
        level: How far above the least deviance.
        guess: Distance of a bound from the estimate on the working scale, roughly.
    """

    line: ProfileCurve
    level: float
    guess: float

    def _both(self, low: Callable[[float], float], high: Callable[[float], float]) -> Interval:
        """Both bounds, each told what the other's search found; a failure is named."""
        trouble, found = list[str](), dict[str, float]()
        for name, search in (("upper", high), ("lower", low)):
            try:
                found[name] = search(self.guess)
            except FitError as error:
                trouble.append(f"{name} bound: {error}")
        return Interval(found.get("lower", np.nan), found.get("upper", np.nan), " ".join(trouble))

    def _crossing(self, scale: Scale, step: float, outside: float | None = None) -> float:
        """The crossing on one side of the estimate."""
        t = scale.there(self.line.parameter.estimate)
        return Crossing(self.line, scale, self.level, t, outside).find(t + step)

    def on_scale(self, scale: Scale) -> Interval:
        """Of a fixed effect on a line, of a residual standard deviation, which cannot be zero, on the log."""
        return self._both(lambda d: self._crossing(scale, -d), lambda d: self._crossing(scale, d))

    def with_ends(self, low: float | None, high: float | None) -> Interval:
        """Of a coordinate without bounds; infinite where the profile stays below the level to its end.

        Args:
            low: What is as good as the lower end; None where there is none.
            high: The same of the upper end.
        """
        return self._both(lambda d: self._to_end(low, -d), lambda d: self._to_end(high, d))

    def _to_end(self, end: float | None, step: float) -> float:
        near = end is not None and (self.line.parameter.estimate - end) * step >= 0.0
        if end is not None and (near or self.line.height(end) <= self.level):
            return float(np.copysign(np.inf, step))
        return self._crossing(PLAIN, step)

    def from_zero(self) -> Interval:
        """Of a standard deviation; its lower bound is 0 where the profile stays below the level."""
        estimate = self.line.parameter.estimate
        if estimate == 0.0:
            first = self.line.parameter.natural
            return self._both(lambda d: 0.0, lambda d: self._crossing(PLAIN, first))
        return self._both(self._from_zero, lambda d: self._crossing(LOG, d))

    def _from_zero(self, guess: float) -> float:
        estimate = self.line.parameter.estimate
        if self.line.height(0.0) <= self.level:
            return 0.0
        return self._crossing(PLAIN, estimate * np.expm1(-guess), 0.0)

    def within(self, low: float, high: float) -> Interval:
        """Of a parameter between two values; a bound is the end where the profile stays below the level."""
        if np.isnan(self.line.parameter.estimate):
            return Interval(low, high, "not defined: a standard deviation is zero.")
        scale = stretched(low, high) if np.isfinite(high) else LOG
        return self._both(lambda d: self._towards(low, scale, -d), lambda d: self._towards(high, scale, d))

    def _towards(self, end: float, scale: Scale, step: float) -> float:
        """A bound towards one end, which may be out of reach."""
        estimate = self.line.parameter.estimate
        if estimate == end:
            return end
        try:
            if self.line.height(min(end, 0.99 * FURTHEST)) <= self.level:
                return end
        except FitError:
            if scale is LOG:
                raise
        try:
            t = scale.there(estimate)
        except ValueError:  # the estimate stands at the other end
            other = self.line.parameter.natural if scale is LOG else estimate
            t = scale.there(other + 0.25 * (end - other) if np.isfinite(end - other) else other)
            while self.line.height(scale.back(t)) > self.level:  # nearer to the estimate, where it is 0
                t -= np.copysign(1.0, step)
        return Crossing(self.line, scale, self.level, t, None).find(t + step)

    def within_one(self) -> Interval:
        """Of a correlation; a bound is -1 or 1 where the profile stays below the level."""
        if not np.isfinite(self.line.parameter.estimate):
            return Interval(-1.0, 1.0, "not defined: a standard deviation is zero.")
        return self._both(lambda d: self._within_one(-1.0, d), lambda d: self._within_one(1.0, d))

    def _within_one(self, end: float, guess: float) -> float:
        """A bound towards one end."""
        estimate = self.line.parameter.estimate
        if estimate == end or self.line.height(end) <= self.level:
            return end
        if abs(estimate) == 1.0:
            return Crossing(self.line, PLAIN, self.level, estimate, end).find(estimate + end * guess / 4.0)
        return self._crossing(FISHER, end * guess)
