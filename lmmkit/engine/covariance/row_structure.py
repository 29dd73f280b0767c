"""What R may be where it is made of numbers of the rows: times, places, a covariate that variances grow with.

Within a subject

    R = S C S,    S = diag(g),    g a variance function,    C a process over times or places, or over visits

and zero between subjects. The coordinates are rho = (those of g | those of C), any numbers; the structures
here hold no row: the numbers stand in `problem.RowResidual`. With h the distance of two rows of a subject

    Serial     C = exp(-h / range) = rho^h, rho = exp(-1 / range) per unit of time       (car1, exp in time)
    Spatial    C = (1 - nugget) exp(-h / range), h > 0, in any number of dimensions      (expsp)

The coordinate of a range is log(range / unit), that of a nugget its logit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.correlations import Kind
from lmmkit.engine.covariance.residual_structure import ResidualStructure

NO_CORRELATION = 1e-8  # of the closest pair: below, rows are independent, exactly
FADED = 0.01  # correlation of the closest pair below which it is asked whether there is any
ENDLESS = 1e4  # range over the longest distance, at which the lowest correlation is 0.9999
RETURNS = (0.5, 0.2, 0.05, 0.01, 0.001, 1e-5)  # of the closest pair
START_CORRELATIONS = (0.2, 0.5, 0.8, 0.95)  # of rows one unit apart: where a search may begin
START_NUGGETS = (0.1, 0.4)


@dataclass(frozen=True)
class VarianceFunction:
    """SDs g of rows relative to sigma, of a covariate v; log g is linear in the coordinates.

        ident   log g = rho_v, 0 at the first level       v a level's position; rho the logs of SD ratios
        power   log g = rho log|v|                         sigma is the SD at |v| = 1
        exp     log g = rho v                              sigma is the SD at v = 0

    Attributes:
        kind: Which.
        names: Names of the m parameters: `ratio.Male` of each level but the first, `power`, `exp`.
        fitted: The covariate is the fitted values, random effects included (`power` alone): it is found
            with the fit, as a fixed point, and no likelihood is compared with another model's.

    >>> VarianceFunction("power", ("power",)).sds(np.array([0.5]), np.array([4.0, 16.0])).round(12).tolist()
    [2.0, 4.0]
    """

    kind: Literal["ident", "power", "exp"]
    names: tuple[str, ...]
    fitted: bool = False

    @property
    def count(self) -> int:
        """The number m of coordinates."""
        return len(self.names)

    @property
    def naturals(self) -> tuple[tuple[Kind, str], ...]:
        """Kind and name of each parameter: `sd` is printed as exp(rho), `exponent` as rho itself."""
        kind: Kind = "sd" if self.kind == "ident" else "exponent"
        return tuple((kind, name) for name in self.names)

    def slopes(self, covariate: Floats) -> Floats:
        """Returns (m, n) d log g / d rho for the covariate (n,), which for `ident` holds positions."""
        if self.kind == "ident":
            return np.asarray(covariate == np.arange(1, self.count + 1)[:, None], np.float64)
        return np.log(np.abs(covariate))[None] if self.kind == "power" else covariate[None]

    def sds(self, rho: Floats, covariate: Floats) -> Floats:
        """Returns (n,) g."""
        return np.exp(rho @ self.slopes(covariate))

    def natural(self, rho: Floats) -> Floats:
        """Returns (m,) the parameters."""
        return np.exp(rho) if self.kind == "ident" else rho.copy()

    def natural_jacobian(self, rho: Floats) -> Floats:
        """Returns (m, m) their derivatives."""
        return np.diag(np.exp(rho)) if self.kind == "ident" else np.eye(self.count)


@dataclass(frozen=True)
class Decaying:
    """A correlation that decays with distance: (1 - nugget) exp(-h / range), 1 at h = 0 of a row with itself.

    Attributes:
        unit: A median distance of rows of a subject: the coordinate is log(range / unit).
        closest: Least distance of two rows of a subject. Where even their correlation is below 1e-8 rows are
            independent: the boundary "no correlation", at which the range is 0.
        longest: Most distance of two rows of a subject.
    """

    unit: float
    closest: float
    longest: float = np.inf

    @property
    def _has_nugget(self) -> bool:
        return False

    @property
    def count(self) -> int:
        """One or two coordinates: of the range, and of the nugget."""
        return 1 + self._has_nugget

    @property
    def naturals(self) -> tuple[tuple[Kind, str], ...]:
        """Range and nugget."""
        out: tuple[tuple[Kind, str], ...] = (("range", "range"), ("share", "nugget"))
        return out[: self.count]

    def scale(self, rho: Floats) -> float:
        """Returns the range, 0 where there is no correlation, infinite where numbers end."""
        with np.errstate(over="ignore"):
            found = self.unit * float(np.exp(rho[0]))
        return found if self.closest < -np.log(NO_CORRELATION) * found else 0.0

    def coordinate(self, correlation: float) -> float:
        """Returns the coordinate of the range at which the closest pair has a correlation."""
        return float(np.log(self.closest / (-np.log(correlation) * self.unit)))

    def share(self, rho: Floats) -> float:
        """Returns the correlation that is left at distance 0: 1 - nugget."""
        with np.errstate(over="ignore"):
            return float(1.0 / (1.0 + np.exp(rho[1]))) if self._has_nugget else 1.0

    def _decayed(self, rho: Floats, distance: Floats) -> Floats:
        """Without the nugget."""
        scale = self.scale(rho)
        return np.exp(-distance / scale) if scale else np.asarray(distance == 0.0, np.float64)

    def correlation(self, rho: Floats, distance: Floats) -> Floats:
        """Returns C at distances, of any shape; a distance of 0 is a row's to itself."""
        return np.where(distance == 0.0, 1.0, self.share(rho) * self._decayed(rho, distance))

    def correlation_slopes(self, rho: Floats, distance: Floats) -> Floats:
        """Returns (r, ...) dC / d rho."""
        share, scale, decayed = self.share(rho), self.scale(rho), self._decayed(rho, distance)
        out = [share * decayed * (distance / scale if scale else 0.0)]
        if self._has_nugget:
            out.append(np.where(distance == 0.0, 0.0, -share * (1.0 - share) * decayed))
        return np.array(out)

    def natural(self, rho: Floats) -> Floats:
        """Returns (r,) range and nugget."""
        return np.array([self.scale(rho), 1.0 - self.share(rho)][: self.count])

    def natural_jacobian(self, rho: Floats) -> Floats:
        """Returns (r, r) their derivatives."""
        share = self.share(rho)
        return np.diag([self.scale(rho), share * (1.0 - share)][: self.count])

    def starts(self) -> list[Floats]:
        """Returns coordinates to choose a start from: ranges, with each of some nuggets."""
        ranges = [float(-np.log(-np.log(c))) for c in START_CORRELATIONS]
        if not self._has_nugget:
            return [np.array([x]) for x in ranges]
        logits = [float(np.log(share / (1.0 - share))) for share in START_NUGGETS]
        return [np.array([x, y]) for x in ranges for y in logits]


@dataclass(frozen=True)
class Serial(Decaying):
    """A process over times; the unit is the median time between neighbouring rows of a subject."""


@dataclass(frozen=True)
class Spatial(Decaying):
    """A process over places; the unit is the median distance of two rows of a subject.

    Attributes:
        nugget: Whether there is one.
    """

    nugget: bool = field(kw_only=True)

    @property
    def _has_nugget(self) -> bool:
        return self.nugget


RowCorrelation = Decaying | ResidualStructure


@dataclass(frozen=True)
class RowStructure:
    """A variance function, a correlation, or their product.

    Attributes:
        variance: The SDs of rows, or None: equal.
        correlation: A process over times or places, or over the cells of visits; None: rows are independent.
    """

    variance: VarianceFunction | None
    correlation: RowCorrelation | None

    @cached_property
    def _parts(self) -> tuple[tuple[VarianceFunction | RowCorrelation, slice], ...]:
        """Those that there are, with their coordinates in rho."""
        own, other = self.cuts
        found = ((self.variance, own), (self.correlation, other))
        return tuple((part, cut) for part, cut in found if part is not None)

    @property
    def cuts(self) -> tuple[slice, slice]:
        """The coordinates in rho of the variance function and of the correlation."""
        first = self.variance.count if self.variance else 0
        return slice(0, first), slice(first, first + (self.correlation.count if self.correlation else 0))

    @property
    def _decaying(self) -> Decaying | None:
        """The process over times or places, if any."""
        return self.correlation if isinstance(self.correlation, Decaying) else None

    @property
    def count(self) -> int:
        """The number r of coordinates."""
        return self.cuts[1].stop

    @property
    def naturals(self) -> tuple[tuple[Kind, str], ...]:
        """Kind and name of each natural parameter, r of them, as `natural` gives them.

        Intervals are symmetric on the log of an `sd` and of a `range`, on Fisher's z of a `cor`, on the logit
        of a `share`, on an `exponent` itself.
        """
        return tuple(each for part, _ in self._parts for each in part.naturals)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the natural parameters: `ratio.Male`, `power`, `exp`, `range`, `nugget`, `cor.8.12`."""
        return tuple(name for _, name in self.naturals)

    def natural(self, rho: Floats) -> Floats:
        """Returns (r,) the natural parameters."""
        return np.concatenate([part.natural(rho[cut]) for part, cut in self._parts])

    def natural_jacobian(self, rho: Floats) -> Floats:
        """Returns (r, r) their derivatives: [i, j] of parameter i in coordinate j."""
        out = np.zeros((self.count, self.count))
        for part, cut in self._parts:
            out[cut, cut] = part.natural_jacobian(rho[cut])
        return out

    def units(self, rho: Floats) -> Floats:
        """Returns (r,) units of the coordinates, in which a step near 1 is a long one."""
        out = np.ones(self.count)
        if isinstance(self.correlation, ResidualStructure):
            out[self.cuts[1]] = self.correlation.units(rho[self.cuts[1]])
        return out

    def endless(self, rho: Floats) -> bool:
        """Returns whether a process has a range so far beyond all distances that it is no optimum."""
        process = self._decaying
        return process is not None and process.scale(rho[self.cuts[1]]) > ENDLESS * process.longest

    def free(self, rho: Floats) -> NDArray[np.bool_]:
        """Returns (r,) which coordinates matter: not those of a process without correlation."""
        out = np.ones(len(rho), bool)
        if self.no_correlation(rho):
            out[self.cuts[1]] = False
        return out

    def fading(self, rho: Floats) -> bool:
        """Returns whether even the closest pair of rows is hardly correlated."""
        process = self._decaying
        return process is not None and process.closest > -np.log(FADED) * process.scale(rho[self.cuts[1]])

    def uncorrelated(self, rho: Floats) -> Floats:
        """Returns rho with no correlation of the process left."""
        out, process = rho.copy(), self._decaying
        if process is not None:
            out[self.cuts[1].start] = process.coordinate(NO_CORRELATION**2)
        return out

    def returns(self, rho: Floats) -> Iterator[Floats]:
        """Yields rho with correlations from which a process without any may come back."""
        process = self._decaying
        if process is not None:
            for correlation in RETURNS:
                out = rho.copy()
                out[self.cuts[1].start] = process.coordinate(correlation)
                yield out

    def no_correlation(self, rho: Floats) -> bool:
        """Returns whether a process has come to its boundary, where rows are independent."""
        process = self._decaying
        return process is not None and process.scale(rho[self.cuts[1]]) == 0.0
