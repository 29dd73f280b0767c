"""The profile deviance of a model with a residual structure: one parameter held, all others at their best.

The residual standard deviation and a fixed effect are held by the criterion itself, in its coordinates
x = (theta | rho), those of the random effects and those of the residual structure. A natural parameter h of
the latter (an SD ratio, a correlation) is in general no coordinate: where it has a value is a surface, walked
on in coordinates z of its tangent at a centre,

    x(z) = centre + N z + n s(z),    h(rho(z)) = v

with n normal to the surface at the centre and N the directions along it, in units of the coordinates in which
a step of 1 is a long one. With g and H the gradient and the
Hessian of the deviance in x, h' and h'' those of h,

    gradient J'g,    Hessian J'(H - lambda h'') J,    J = N - n (N'h') / (n'h'),    lambda = n'g / n'h'

and lambda is the derivative of the profile.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.natural_scales import SCALES, Scale
from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.covariance.row_structure import RowStructure
from lmmkit.engine.criterion.criterion import Criterion, Evaluation, Held
from lmmkit.engine.criterion.hessian import Point
from lmmkit.engine.crossproducts.product_sources import Patterned
from lmmkit.engine.lazy import lazy
from lmmkit.engine.profiles.profile_deviance import least_point, slope_of_held, ways_off_saddle
from lmmkit.engine.profiles.slices import Holdable
from lmmkit.engine.rules import PROFILE
from lmmkit.engine.search.newton import minimise
from lmmkit.engine.search.search import Objective, P
from lmmkit.engine.setup import Setup
from lmmkit.errors import FitError

ROUNDING = 1e-13  # how near a natural parameter must be to where it is held
STEPS = 60  # towards it
DIFFERENCE = 1e-5  # of a coordinate, at least of 1: step of the differences of its derivatives
CENTRES = 20  # places from which a surface is walked on
DETOURS = 5  # times that a way to a surface is halved
NO_SHARE = 23.0  # logit of a nugget that is as good as none: 1e-10
STEEP = 1e-3  # cosine of the angle between two normals below which a tangent serves no longer


@dataclass(frozen=True, eq=False)
class Surface:
    """A natural parameter of the structure on its working scale, as a function h of x = (theta | rho).

    Of a parameter that a single coordinate moves, h is that coordinate, which ends where its domain does.

    Attributes:
        structure: Of the residuals.
        place: Of the parameter among its natural ones.
        coordinate: The only one of rho that moves it, or -1.
        others: How many coordinates theta has.
    """

    structure: ResidualStructure | RowStructure
    place: int
    coordinate: int
    others: int = 0

    @property
    def scale(self) -> Scale:
        """The working scale."""
        return SCALES[self.structure.naturals[self.place][0]]

    def _number(self, rho: Floats) -> float:
        """The parameter at a rho; NaN where it has no number."""
        return float(self.structure.natural(rho)[self.place])

    def at(self, x: Floats) -> float:
        """H."""
        rho = x[self.others :]
        if self.coordinate >= 0:
            return float(rho[self.coordinate])
        try:
            return self.scale.there(self._number(rho))
        except ValueError:
            return np.nan

    def normal(self, x: Floats) -> Floats:
        """(m,) h'."""
        out, rho = np.zeros(len(x)), x[self.others :]
        if self.coordinate >= 0:
            out[self.others + self.coordinate] = 1.0
        else:
            out[self.others :] = self.stretch(x) * self.structure.natural_jacobian(rho)[self.place]
        return out

    def stretch(self, x: Floats) -> float:
        """How much longer h is than the natural parameter."""
        if self.coordinate >= 0:
            return 1.0
        return 1.0 / max(self.scale.slope(self.at(x)), ROUNDING)

    def value(self, t: float, x: Floats) -> float:
        """The natural parameter where h is t, from any x; NaN where there is none."""
        if self.coordinate < 0:
            return self.scale.back(t)
        if np.isnan(t):
            return np.nan
        moved = x[self.others :].copy()
        moved[self.coordinate] = t
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            return self._number(moved)

    def bend(self, x: Floats) -> Floats:
        """(m, m) h'', by differences in the coordinates of R."""
        out, steps = np.zeros((len(x), len(x))), DIFFERENCE * np.maximum(np.abs(x), 1.0)
        for i in range(self.others, len(x)):
            along = np.zeros(len(x))
            along[i] = steps[i]
            out[i] = (self.normal(x + along) - self.normal(x - along)) / (2.0 * steps[i])
        return (out + out.T) / 2.0

    def units(self, x: Floats) -> Floats:
        """(m,) what a long step of each coordinate is: a theta is in its own unit."""
        return np.append(np.ones(self.others), self.structure.units(x[self.others :]))

    def onto(self, x: Floats, target: float, way: Floats | None = None) -> Floats:
        """The point where the scaled parameter has a value, from x along a way or along its normals.

        Raises:
            FitError: There is none near.
        """
        units = self.units(x)
        for _ in range(STEPS):
            gap = target - self.at(x)
            if abs(gap) <= ROUNDING * max(abs(target), self.stretch(x), 1.0):
                return x
            normal = self.normal(x)
            along = units**2 * normal if way is None else way
            slope, most = (
                float(normal @ along),
                np.linalg.norm(units * normal) * np.linalg.norm(along / units),
            )
            if not np.isfinite(gap) or not abs(slope) > STEEP * most:
                break
            step = gap / slope * along
            x = x + step / max(1.0, float(np.abs(step / units).max()))
        raise FitError(f"{self.structure.names[self.place]} was not brought to this value.")


class Chart(NamedTuple):
    """A surface about a centre.

    Attributes:
        surface: What is held.
        target: Where, on the working scale.
        centre: (m,) x of a point on it.
        n, N: (m,) the normal there, (m, m - 1) directions along the surface, orthonormal in the units.
    """

    surface: Surface
    target: float
    centre: Floats
    n: Floats
    N: Floats

    def x(self, z: Floats) -> Floats:
        """The point at coordinates z."""
        return self.surface.onto(self.centre + self.N @ z, self.target, self.n)


def chart_of(surface: Surface, target: float, x: Floats) -> Chart:
    """The surface about the point of it that is nearest to x."""
    centre = surface.onto(x, target)
    units = surface.units(centre)
    basis = np.linalg.svd((units * surface.normal(centre))[None])[2] * units
    return Chart(surface, target, centre, basis[0], basis[1:].T)


@dataclass(frozen=True, eq=False)
class SurfacePoint(Point):
    """The deviance at one point of a surface, with derivatives in its coordinates.

    Attributes:
        chart: The surface.
        at: The criterion there.
    """

    chart: Chart
    theta: Floats
    deviance: float
    L: list[Floats]
    at: Evaluation

    @lazy
    def normal(self) -> Floats:
        """(m,) h'."""
        return self.chart.surface.normal(self.at.theta)

    @lazy
    def multiplier(self) -> float:
        """Lambda."""
        n = self.chart.n
        return float(self.at.gradient @ n) / float(self.normal @ n)

    @lazy
    def along(self) -> Floats:
        """(m, m - 1) J."""
        n, N = self.chart.n, self.chart.N
        return N - np.outer(n, self.normal @ N) / float(self.normal @ n)

    @lazy
    def gradient(self) -> Floats:
        """(m - 1,)."""
        return self.at.gradient @ self.along

    @lazy
    def hessian(self) -> Floats:
        """(m - 1, m - 1)."""
        inner = self.at.hessian
        if np.count_nonzero(self.normal) > 1:  # a coordinate that is held has a flat surface
            inner = inner - self.multiplier * self.chart.surface.bend(self.at.theta)
        return self.along.T @ inner @ self.along


class BesideStructure(Objective[P]):
    """Where R is estimated, beside random effects or alone."""

    criterion: Criterion

    @property
    def exact(self) -> bool:
        """That of visits without random effects is, but for rounding in the bend of a surface."""
        return isinstance(self.criterion.source, Patterned)

    @property
    def drifts(self) -> bool:
        """Where average information serves for coordinates of R."""
        return not self.exact

    def off_saddle(self, point: P) -> Iterator[Floats]:
        """From where a standard deviation of random effects is zero, which is stationary, maybe downhill."""
        return iter(()) if self.exact else ways_off_saddle(point)


@dataclass(frozen=True, eq=False)
class SurfaceDeviance(BesideStructure[SurfacePoint]):
    """The deviance on a surface."""

    criterion: Criterion
    chart: Chart

    def evaluate(self, theta: Floats) -> SurfacePoint:
        """The deviance at some coordinates."""
        at = self.criterion.evaluate(self.chart.x(theta))
        return SurfacePoint(self.chart, theta, at.deviance, [], at)


@dataclass(frozen=True, eq=False)
class HeldDeviance(BesideStructure[Evaluation]):
    """The deviance in all coordinates, where sigma or a combination of the fixed effects is held."""

    criterion: Criterion
    held: Held

    def evaluate(self, theta: Floats) -> Evaluation:
        """The deviance at some coordinates."""
        return self.criterion.evaluate(theta, self.held)

    def units(self, point: Evaluation) -> Floats:
        """Those of the structure's coordinates, after those of theta."""
        own = np.ones(len(point.theta) - len(point.rho))
        return np.append(own, self.criterion.source.structure.units(point.rho))


class ProfilePoint(NamedTuple):
    """The least deviance where a parameter has a value.

    Attributes:
        theta: (m,) x.
        deviance: The least.
        slope: Its derivative in the value, in prepared units.
    """

    theta: Floats
    deviance: float
    slope: float


@dataclass(frozen=True, eq=False)
class ResidualParameter(Holdable):
    """One whose least deviances are found.

    Attributes:
        find: From a value and a start to the least deviance there.
        value: From the working scale, on which a natural parameter of a structure is profiled, to it.
    """

    find: Callable[[float, Floats], ProfilePoint]
    value: Callable[[float], float] = float


@dataclass(frozen=True, eq=False)
class HeldFrame(ABC):
    """A prepared problem at its optimum, and its parameters as they can be held.

    Attributes:
        setup: The problem.
        x: (m,) coordinates of the optimum: theta, and rho if R has any.
        prepared_sigma: Sigma there, in prepared units.
    """

    setup: Setup
    x: Floats
    prepared_sigma: float

    @abstractmethod
    def least(self, held: Held, x: Floats) -> Evaluation:
        """Where the deviance with sigma or a combination of the fixed effects held is least, from x.

        Raises:
            FitError: It was not found.
        """

    def coefficient(self, position: int, estimate: float) -> ResidualParameter:
        """A fixed effect, by its position among those kept."""
        prepared = self.setup.prepared
        c = prepared.scale * prepared.basis[position]

        def find(value: float, x: Floats) -> ProfilePoint:
            return self._held(Held(contrast=(c, value - float(prepared.beta[position]))), x)

        return ResidualParameter(estimate, self.x, find)

    def residual(self) -> ResidualParameter:
        """The residual standard deviation."""
        scale = self.setup.prepared.scale

        def find(value: float, x: Floats) -> ProfilePoint:
            return self._held(Held(precision=(scale / value) ** 2), x)

        return ResidualParameter(scale * self.prepared_sigma, self.x, find, unit=scale)

    def _held(self, held: Held, x: Floats) -> ProfilePoint:
        point = self.least(held, x)
        return ProfilePoint(point.theta, point.deviance, slope_of_held(point))


@dataclass(frozen=True, eq=False)
class ResidualFrame(HeldFrame):
    """That of a model with a residual structure.

    Attributes:
        structure: Of its residuals.
    """

    structure: ResidualStructure | RowStructure

    def least(self, held: Held, x: Floats) -> Evaluation:
        """From x."""
        return least_point(HeldDeviance(self.setup.criterion, held), x)

    def natural(self, place: int) -> ResidualParameter:
        """A natural parameter of the structure, on its working scale."""
        others = len(self.x) - self.structure.count
        moved = np.flatnonzero(self.structure.natural_jacobian(self.x[others:])[place])
        if self.ended(place):
            moved = np.array([place])  # one coordinate each
        surface = Surface(self.structure, place, int(moved[0]) if len(moved) == 1 else -1, others)

        def find(t: float, x: Floats) -> ProfilePoint:
            return self._walked(surface, t, x, DETOURS)

        def value(t: float) -> float:
            return surface.value(t, self.x)

        return ResidualParameter(surface.at(self.x), self.x, find, value=value)

    def ends(self, place: int) -> tuple[float | None, float | None]:
        """Coordinates that are as good as the lower and the upper end of a parameter of a process."""
        structure, kind = self.structure, self.structure.naturals[place][0]
        if kind == "share":
            return -NO_SHARE, NO_SHARE
        if kind == "range" and isinstance(structure, RowStructure):
            rho = self.x[len(self.x) - structure.count :]
            return float(structure.uncorrelated(rho)[place]), None
        return None, None

    def ended(self, place: int) -> bool:
        """Whether a natural parameter is of a process that has come to its end: rows are independent."""
        structure, rho = self.structure, self.x[len(self.x) - self.structure.count :]
        return isinstance(structure, RowStructure) and not structure.free(rho)[place]

    def _walked(self, surface: Surface, target: float, x: Floats, detours: int) -> ProfilePoint:
        """The least deviance on a surface, by way of others between where it cannot be reached at once."""
        try:
            return self._on_surface(surface, target, x)
        except FitError:
            if not detours or not np.isfinite(target):
                raise
        halfway = (surface.at(x) + target) / 2.0
        near = self._walked(surface, halfway, x, detours - 1)
        return self._walked(surface, target, near.theta, detours - 1)

    def _on_surface(self, surface: Surface, target: float, x: Floats) -> ProfilePoint:
        for _ in range(CENTRES):
            chart = chart_of(surface, target, x)
            search = minimise(SurfaceDeviance(self.setup.criterion, chart), np.zeros(len(x) - 1), PROFILE)
            point = search.point
            if search.converged:
                return ProfilePoint(point.at.theta, point.deviance, point.multiplier)
            x = point.at.theta
        raise FitError(f"The least deviance was not found on {CENTRES} tangents.")
