"""Profiles of the parameters of random effects with a pattern: what is held is one coordinate of T.

With log sigma a coordinate y beside theta, one entry p of theta follows from the value v that is held:

    a standard deviation:   theta_p = c v / sigma
    a correlation, a range: theta_p = arcsin((r(v) - middle) / half), where r is a partial correlation that
                            with those before it has the value v

so that the least deviance at v is that over the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.patterned import PatternedStructure
from lmmkit.engine.criterion.criterion import Criterion, Evaluation, Held
from lmmkit.engine.criterion.hessian import Point
from lmmkit.engine.lazy import lazy
from lmmkit.engine.profiles.profile_deviance import least_point, ways_off_saddle
from lmmkit.engine.profiles.residual_slices import HeldFrame, ProfilePoint, ResidualParameter
from lmmkit.engine.rules import PROFILE
from lmmkit.engine.search.search import Objective, P
from lmmkit.errors import FitError

NEARER = (1.0, 0.7, 0.4, 0.2, 0.0)  # of partial correlations, at which a start is tried
NEAR_BOUND = 0.05  # cosine of a correlation's coordinate, or share of the least start, that is near a bound
OFF_BOUND = 0.3  # radians inside a bound at which a correlation starts that stands there


@dataclass(frozen=True, eq=False)
class Pinned:
    """A coordinate that a held value determines.

    Attributes:
        place: Its position p in theta.
        of_scale: Whether it is over sigma: a standard deviation.
        at: From a value and theta to the coordinate and its derivatives in theta.
        slope: From a value and theta to its derivative in the value, over sigma where it is.
        before: Where the coordinates stand, from one to another, that may put the value out of reach.
    """

    place: int
    of_scale: bool
    at: Callable[[float, Floats], tuple[float, Floats]]
    slope: Callable[[float, Floats], float]
    before: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class PinnedPoint(Point):
    """The deviance where a value is held: y is theta without the coordinate p, and log sigma last."""

    at: Evaluation
    y: Floats
    pinned: Pinned
    turned: Floats
    value: float

    @property
    def theta(self) -> Floats:  # pyright: ignore[reportIncompatibleVariableOverride]
        """(m,) y."""
        return self.y

    @property
    def deviance(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """At y."""
        return self.at.deviance

    @property
    def L(self) -> list[Floats]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Roots of every T there."""
        return self.at.L

    @property
    def _way(self) -> Floats:
        """(m + 1, m) derivatives of (theta, log sigma) in y."""
        m, p = len(self.at.theta), self.pinned.place
        J = np.zeros((m + 1, m))
        J[[i for i in range(m + 1) if i != p], np.arange(m)] = 1.0
        J[p, [i for i in range(m) if i != m - 1]] = np.delete(self.turned, p)
        if self.pinned.of_scale:
            J[p, -1] = -self.at.theta[p]
        return J

    @lazy
    def gradient(self) -> Floats:
        """(m,)."""
        return np.append(self.at.gradient, self.at.log_sigma_slope) @ self._way

    @lazy
    def hessian(self) -> Floats:
        """(m, m); where the pinned coordinate bends in others, but for that."""
        m, at = len(self.at.theta), self.at
        H = np.zeros((m + 1, m + 1))
        H[:m, :m] = at.hessian
        H[:m, m] = H[m, :m] = 2.0 * at.precision * at.information.q
        H[m, m] = 4.0 * at.r2 * at.precision
        out = self._way.T @ H @ self._way
        if self.pinned.of_scale:
            out[-1, -1] += at.gradient[self.pinned.place] * at.theta[self.pinned.place]
        return out

    @property
    def slope(self) -> float:
        """D deviance / d value."""
        per = float(np.exp(-self.y[-1])) if self.pinned.of_scale else 1.0
        return float(self.at.gradient[self.pinned.place]) * per * self.pinned.slope(self.value, self.at.theta)


class FromBound(Objective[P]):
    """The deviance where standard deviations of single columns are coordinates, and held at zero or above."""

    def off_saddle(self, point: P) -> Iterator[Floats]:
        """From a bound, where the slope is zero whether or not there is a way down."""
        return ways_off_saddle(point)


@dataclass(frozen=True, eq=False)
class PinnedDeviance(FromBound[PinnedPoint]):
    """The deviance in y."""

    criterion: Criterion
    pinned: Pinned
    value: float

    def evaluate(self, theta: Floats) -> PinnedPoint:
        """The deviance at some y.

        Raises:
            FitError: No member of the pattern has the value there.
        """
        p, y = self.pinned.place, theta
        whole = np.insert(y[:-1], p, 0.0)
        held = Held(precision=float(np.exp(-2.0 * y[-1])))
        whole[p], turned = self.pinned.at(self.value, whole)
        if self.pinned.of_scale:
            whole[p] *= np.exp(-y[-1])
        return PinnedPoint(self.criterion.evaluate(whole, held), y, self.pinned, turned, self.value)

    @property
    def bounded(self) -> NDArray[np.bool_]:
        """(m,) of y."""
        return np.append(np.delete(self.criterion.layout.bounded, self.pinned.place), False)


@dataclass(frozen=True, eq=False)
class HeldPattern(FromBound[Evaluation]):
    """The deviance in theta where sigma or a combination of the fixed effects is held."""

    criterion: Criterion
    held: Held

    def evaluate(self, theta: Floats) -> Evaluation:
        """The deviance at some coordinates."""
        return self.criterion.evaluate(theta, self.held)

    @property
    def bounded(self) -> NDArray[np.bool_]:
        """(m,) of theta."""
        return self.criterion.layout.bounded


class PatternFrame(HeldFrame):
    """That of a model whose random effects have a pattern."""

    def least(self, held: Held, x: Floats) -> Evaluation:
        """From x off its bounds."""
        return least_point(HeldPattern(self.setup.criterion, held), self._off_bounds(x))

    def natural(self, term: int, place: int, estimate: float, unit: float) -> ResidualParameter:
        """A printed parameter of a term, by its place among the term's; `unit` is what is large for it.

        Raises:
            FitError: The term's matrix has no pattern, and the parameter is no coordinate of its own.
        """
        pinned = self._pinned(term, place)

        def find(value: float, y: Floats) -> ProfilePoint:
            objective = PinnedDeviance(self.setup.criterion, pinned, value)
            whole = self._off_bounds(np.insert(y[:-1], pinned.place, self.x[pinned.place]))
            near = np.append(np.delete(whole, pinned.place), y[-1])
            point = least_point(objective, self._feasible(objective, near))
            return ProfilePoint(point.y, point.deviance, point.slope)

        start = np.append(np.delete(self.x, pinned.place), np.log(self.prepared_sigma))
        return ResidualParameter(estimate, start, find, natural=unit)

    @staticmethod
    def _feasible(objective: PinnedDeviance, y: Floats) -> Floats:
        """A start where some member has the value: with smaller partial correlations before, if need be."""
        first, end = objective.pinned.before
        for share in NEARER:
            start = y.copy()
            start[first:end] *= share
            try:
                objective.evaluate(start)
            except FitError:
                continue
            return start
        return y

    def _off_bounds(self, theta: Floats) -> Floats:
        """Theta off its bounds, where slopes are zero whether there is a way down or not."""
        out, layout = theta.copy(), self.setup.layout
        for factor, cut, scale in zip(layout.factors, layout.cuts, self.setup.scale, strict=True):
            pieces = [piece.structure for piece in factor.pieces]
            at, least = cut.start, PROFILE.nudge / float(scale.mean())
            for structure in pieces:
                m = structure.scales if isinstance(structure, PatternedStructure) else structure.count
                here, angle = slice(at, at + m), slice(at + m, at + structure.count)
                out[here] = np.where(np.abs(theta[here]) < NEAR_BOUND * least, least, theta[here])
                near = np.abs(np.cos(theta[angle])) < NEAR_BOUND
                out[angle] = np.where(
                    near, theta[angle] - OFF_BOUND * np.sign(np.sin(theta[angle])), theta[angle]
                )
                at += structure.count
        return out

    def _pinned(self, term: int, place: int) -> Pinned:
        layout, prepared = self.setup.layout, self.setup.prepared
        for factor, cut in zip(layout.factors, layout.cuts, strict=True):
            start = cut.start
            for piece in factor.pieces:
                if piece.term == term:
                    S = prepared.term_bases[term]
                    structure, here = piece.structure, slice(start, start + piece.structure.count)
                    column = structure.naturals[place].row
                    if isinstance(structure, PatternedStructure) and place >= structure.scales:
                        return _correlation(structure, here, place - structure.scales)
                    if not isinstance(structure, PatternedStructure) and len(structure.pairs):
                        break
                    c = 1.0 / (prepared.scale * float(S[column, column]))
                    return _deviation(start + place, c)
                start += piece.structure.count
        raise FitError(
            "The profile of an unstructured covariance matrix beside one with a pattern is not offered: use "
            "method='wald' or method='bootstrap'."
        )


def _deviation(place: int, c: float) -> Pinned:
    """A standard deviation, of coordinate c v / sigma."""
    return Pinned(place, True, lambda v, theta: (c * v, np.zeros_like(theta)), lambda v, theta: c)


def _correlation(structure: PatternedStructure, here: slice, number: int) -> Pinned:
    """A correlation, or what it depends on."""

    def at(value: float, theta: Floats) -> tuple[float, Floats]:
        angle, turned = structure.angle_at(theta[here], number, value)
        out = np.zeros_like(theta)
        out[here] = turned
        return angle, out

    def slope(value: float, theta: Floats) -> float:
        return structure.angle_slope(theta[here], number, value)

    first = here.start + structure.scales
    return Pinned(first + number, False, at, slope, (first, first + number))
