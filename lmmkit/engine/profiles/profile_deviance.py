"""The profile deviance of one parameter: the least deviance on the slice where it has a value.

The coordinates of the search are those of the slice, then those rho of the residuals' R, where it has any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.roots import semidefinite_factor
from lmmkit.engine.criterion.criterion import Evaluation, Held
from lmmkit.engine.criterion.hessian import Point
from lmmkit.engine.lazy import lazy
from lmmkit.engine.profiles.slices import HeldDeviation, Slice
from lmmkit.engine.rules import PROFILE
from lmmkit.engine.search.newton import minimise
from lmmkit.engine.search.search import Objective, P
from lmmkit.engine.setup import Setup
from lmmkit.errors import FitError


@dataclass(frozen=True, eq=False)
class SlicePoint(Point):
    """The deviance at one point of a slice, with derivatives in the coordinates of the slice.

    Attributes:
        slice: Where the point lies.
        A: The slice's roots of T = A A', linear in the coordinates.
        at: The criterion there.
    """

    slice: Slice
    theta: Floats
    deviance: float
    L: list[Floats]
    A: list[Floats]
    at: Evaluation

    @lazy
    def slopes(self) -> list[Floats]:
        """D deviance / dA = 2 D A of each factor."""
        return [2.0 * D @ A for D, A in zip(self.at.D, self.A, strict=True)]

    @lazy
    def gradient(self) -> Floats:
        """(m,)."""
        pairs = zip(self.slopes, self.slice.directions, strict=True)
        parts = [np.einsum("ab,iab->i", G, d) for G, d in pairs]
        if self.slice.deviation is not None:
            parts.append(np.array([self.at.log_sigma_slope - self._along(self.slice.deviation)]))
        if len(self.at.rho):
            parts.append(self.at.criterion.source.pullback(self.at.rho, self.at.adjoint))
        return np.concatenate(parts)

    def _along(self, held: HeldDeviation) -> float:
        """What the deviance loses through A = (s / sigma) Q as log sigma rises by one."""
        return held.value * self._per_sigma(held)

    def _per_sigma(self, held: HeldDeviation) -> float:
        return float(np.sqrt(self.at.precision)) * float(np.sum(self.slopes[held.factor] * held.Q))

    @property
    def slope(self) -> float:
        """D deviance / d value of the held parameter, in prepared units of the value."""
        at, held = self.at, self.slice
        if held.deviation is not None:
            return self._per_sigma(held.deviation)
        if held.turned is not None:
            f, coordinate, turn = held.turned
            return float(self.theta[coordinate] * np.sum(self.slopes[f] * turn))
        return slope_of_held(at)

    @lazy
    def hessian(self) -> Floats:
        """(m, m)."""
        directions, held = list(self.slice.directions), self.slice.deviation
        if (
            held is not None
        ):  # log sigma is a coordinate, which also scales the held entry: dA = -(s / sigma) Q
            f = held.factor
            own = -held.value * np.sqrt(self.at.precision) * held.Q
            directions[f] = np.concatenate([directions[f], own[None]])
        # dT = dA A' + A dA', and <D, d2T> = 2 tr(D dA_i dA_j')
        half = [np.matmul(d, A.T) for d, A in zip(directions, self.A, strict=True)]
        information = self.at.information_along([h + h.transpose(0, 2, 1) for h in half])
        H, at = self.at.average_hessian(information), 0
        for d, D in zip(directions, self.at.D, strict=True):
            mine = slice(at, at + len(d))
            H[mine, mine] += 2.0 * d.reshape(len(d), D.size) @ np.matmul(D, d).reshape(len(d), D.size).T
            at += len(d)
        if held is None:
            return H
        place = int(sum(len(d) for d in directions[: held.factor + 1])) - 1
        last = at - 1  # log sigma, after all directions
        order = [*(i for i in range(at) if i != place), place, *range(at, len(H))]
        H, cross = H[np.ix_(order, order)], 2.0 * self.at.precision * information.q[order]
        H[last] += cross
        H[:, last] += cross
        H[last, last] += 4.0 * self.at.r2 * self.at.precision + self._along(held)
        return H


def slope_of_held(at: Evaluation) -> float:
    """D deviance / d value of the held sigma or combination of fixed effects, in prepared units."""
    if at.held.contrast is not None:  # the Lagrange multiplier of c'beta = v
        c, _ = at.held.contrast
        best, shift = np.linalg.solve(at.XVX, np.column_stack([at.forward.F[:-1, -1], c])).T
        return 2.0 * at.precision * float(c @ at.beta - c @ best) / float(c @ shift)
    return at.log_sigma_slope * float(np.sqrt(at.precision))


@dataclass(frozen=True, eq=False)
class SliceDeviance(Objective[SlicePoint]):
    """The deviance on a slice, in its coordinates."""

    setup: Setup
    slice: Slice

    def evaluate(self, theta: Floats) -> SlicePoint:
        """The deviance at some coordinates."""
        own, rho = np.split(theta, [len(theta) - self.setup.criterion.source.count])
        A = self.slice.factors(own)
        L = [semidefinite_factor(rows) for rows in A]
        held = Held(precision=self.slice.precision(own), contrast=self.slice.contrast)
        try:
            at = self.setup.criterion.at(theta, L, held, rho)
        except FitError:
            raise FitError(
                "The residual variance goes to zero on the way: the likelihood has no maximum there."
            ) from None
        return SlicePoint(self.slice, theta, at.deviance, L, A, at)

    @property
    def drifts(self) -> bool:
        """Where average information serves for coordinates of R."""
        return bool(self.setup.criterion.source.count)

    def nearest(self, theta: Floats) -> Floats:
        """Standard deviations are not negative where their correlation is held."""
        return self.slice.allowed(theta)

    def movable(self, point: SlicePoint) -> NDArray[np.bool_]:
        """Coordinates that may move downhill."""
        if self.slice.turned is None:
            return super().movable(point)
        return self.slice.free(point.theta, point.gradient)

    def off_saddle(self, point: SlicePoint) -> Iterator[Floats]:
        """Both ways along the direction of negative curvature, if there is one."""
        yield from map(self.nearest, ways_off_saddle(point))


def ways_off_saddle(point: Point) -> Iterator[Floats]:
    """Both ways along the direction of negative curvature, if there is one."""
    values, vectors = np.linalg.eigh(point.hessian)
    if len(values) and values[0] < -PROFILE.saddle_curvature * values[-1]:
        for size in PROFILE.sizes:
            for sign in (1.0, -1.0):
                yield point.theta + sign * size * vectors[:, 0]


def least_point(objective: Objective[P], start: Floats) -> P:
    """Where an objective is least.

    Raises:
        FitError: The search did not arrive.
    """
    search = minimise(objective, start, PROFILE)
    if not search.converged:
        raise FitError(f"The least deviance was not found in {len(search.history)} steps.")
    return search.point


def least_deviance(setup: Setup, held: Slice, start: Floats) -> SlicePoint:
    """The least deviance of a slice, from coordinates near it.

    Raises:
        FitError: The search did not arrive.
    """
    return least_point(SliceDeviance(setup, held), start)
