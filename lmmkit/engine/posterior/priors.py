"""Prior distributions: log densities with their slopes, and what other programs call them.

Each is a distribution of one number, but for `LKJ`, of a whole correlation matrix. On a standard deviation,
or another number that is not negative, `Normal`, `StudentT` and `Cauchy` are taken for their half above zero
(`Half`).
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import ClassVar

import numpy as np
from scipy.special import betaln, gammaln, log_ndtr, stdtr

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError, did_you_mean

LOG_2PI = math.log(2.0 * math.pi)
LARGEST = 1e100  # number of a prior, in size; and one over the least


@dataclass(frozen=True)
class Prior(ABC):
    """A distribution of one number.

    Attributes:
        name: As it is written: `normal(0, 10)`.
        support: The least and the largest number that it allows.
        proper: Whether its density has a finite integral.
        pymc: The class of PyMC.
        arguments: What PyMC calls its numbers.
        anywhere: Which of them may be any number; the others are above zero.
    """

    name: ClassVar[str]
    support: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    proper: ClassVar[bool] = True
    pymc: ClassVar[str] = ""
    arguments: ClassVar[tuple[str, ...]] = ()
    anywhere: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Refuse what is no distribution.

        Raises:
            FitError: A number is not finite, or a scale is not positive.
        """
        for field, value in zip(fields(self), astuple(self), strict=True):
            if not math.isfinite(value):
                raise FitError(f"{self.text}: its {field.name} is {value:g}; a finite number is expected.")
            if field.name not in self.anywhere and value <= 0.0:
                raise FitError(
                    f"{self.text}: its {field.name} is {value:g}, and must be above 0. A scale is in the "
                    "unit of the parameter, and where it is small the data have little to say."
                )
            if abs(value) > LARGEST or 0.0 < abs(value) < 1.0 / LARGEST:
                raise FitError(
                    f"{self.text}: its {field.name} is {value:g}; between {1.0 / LARGEST:g} and {LARGEST:g} "
                    "in size is what can be reckoned with."
                )

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest number that this one allows."""
        return self.support

    @property
    def text(self) -> str:
        """As it is written and read: `student_t(3, 0, 59.3)`; this is brms's way too."""
        return f"{self.name}({', '.join(f'{value:.12g}' for value in astuple(self))})"

    @property
    def keywords(self) -> Mapping[str, float]:
        """Arguments of the class of PyMC."""
        return dict(zip(self.arguments, astuple(self), strict=True))

    @abstractmethod
    def logpdf(self, x: Floats) -> Floats:
        """Returns the log density at x, of any shape, each within the support."""

    @abstractmethod
    def slope(self, x: Floats) -> Floats:
        """Returns d log density / dx."""

    def log_mass_above_zero(self) -> float:
        """Returns the log of the probability of x > 0."""
        raise NotImplementedError


@dataclass(frozen=True)
class Normal(Prior):
    """A normal distribution."""

    mean: float
    sd: float
    name = "normal"
    pymc = "Normal"
    arguments = ("mu", "sigma")
    anywhere = ("mean",)

    def logpdf(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return -0.5 * ((x - self.mean) / self.sd) ** 2 - math.log(self.sd) - 0.5 * LOG_2PI

    def slope(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return -(x - self.mean) / self.sd**2

    def log_mass_above_zero(self) -> float:
        """As of `Prior`."""
        return float(log_ndtr(self.mean / self.sd))


@dataclass(frozen=True)
class StudentT(Prior):
    """Student's t distribution."""

    df: float
    location: float
    scale: float
    name = "student_t"
    pymc = "StudentT"
    arguments = ("nu", "mu", "sigma")
    anywhere = ("location",)

    def logpdf(self, x: Floats) -> Floats:
        """As of `Prior`."""
        v = self.df
        constant = float(gammaln((v + 1.0) / 2.0) - gammaln(v / 2.0)) - 0.5 * math.log(v * math.pi)
        z = (x - self.location) / self.scale
        return constant - math.log(self.scale) - (v + 1.0) / 2.0 * np.log1p(z**2 / v)

    def slope(self, x: Floats) -> Floats:
        """As of `Prior`."""
        z = (x - self.location) / self.scale
        return -(self.df + 1.0) * z / (self.df + z**2) / self.scale

    def log_mass_above_zero(self) -> float:
        """As of `Prior`."""
        return math.log(float(stdtr(self.df, self.location / self.scale)))


@dataclass(frozen=True)
class Cauchy(Prior):
    """A Cauchy distribution."""

    location: float
    scale: float
    name = "cauchy"
    pymc = "Cauchy"
    arguments = ("alpha", "beta")
    anywhere = ("location",)

    def logpdf(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return self._as_t.logpdf(x)

    def slope(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return self._as_t.slope(x)

    def log_mass_above_zero(self) -> float:
        """As of `Prior`."""
        return self._as_t.log_mass_above_zero()

    @property
    def _as_t(self) -> StudentT:
        return StudentT(1.0, self.location, self.scale)


@dataclass(frozen=True)
class Half(Prior):
    """The part above zero of a distribution that goes below it, made whole again.

    Attributes:
        of: The distribution.
    """

    of: Prior
    support = (0.0, math.inf)

    def __post_init__(self) -> None:
        """Nothing: `of` was looked at."""

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """`half_normal` and the like."""
        return f"half_{self.of.name}"

    @property
    def text(self) -> str:
        """As of `Prior`."""
        return f"half_{self.of.text}"

    @property
    def pymc(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The class of PyMC, which has those around zero alone."""
        return f"Half{self.of.pymc}"

    @property
    def centred(self) -> bool:
        """Whether it is the half of a distribution around zero."""
        return astuple(self.of)[-2] == 0.0

    @property
    def keywords(self) -> Mapping[str, float]:
        """As of `Prior`."""
        return {key: value for key, value in self.of.keywords.items() if key not in ("mu", "alpha")}

    def logpdf(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return self.of.logpdf(x) - self.of.log_mass_above_zero()

    def slope(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return self.of.slope(x)


@dataclass(frozen=True)
class ExponentialPrior(Prior):
    """An exponential distribution."""

    rate: float
    name = "exponential"
    support = (0.0, math.inf)
    pymc = "Exponential"
    arguments = ("lam",)

    def logpdf(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return math.log(self.rate) - self.rate * x

    def slope(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return np.full_like(x, -self.rate)


@dataclass(frozen=True)
class Gamma(Prior):
    """A gamma distribution, mean shape / rate."""

    shape: float
    rate: float
    name = "gamma"
    support = (0.0, math.inf)
    pymc = "Gamma"
    arguments = ("alpha", "beta")

    def logpdf(self, x: Floats) -> Floats:
        """As of `Prior`."""
        constant = self.shape * math.log(self.rate) - float(gammaln(self.shape))
        return constant + (self.shape - 1.0) * np.log(x) - self.rate * x

    def slope(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return (self.shape - 1.0) / x - self.rate


@dataclass(frozen=True)
class LogNormal(Prior):
    """The log is normal."""

    mean: float
    sd: float
    name = "lognormal"
    support = (0.0, math.inf)
    pymc = "LogNormal"
    arguments = ("mu", "sigma")
    anywhere = ("mean",)

    def logpdf(self, x: Floats) -> Floats:
        """As of `Prior`."""
        log = np.log(x)
        return Normal(self.mean, self.sd).logpdf(log) - log

    def slope(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return (-(np.log(x) - self.mean) / self.sd**2 - 1.0) / x


@dataclass(frozen=True)
class BetaPrior(Prior):
    """A beta distribution, of a share."""

    alpha: float
    beta: float
    name = "beta"
    support = (0.0, 1.0)
    pymc = "Beta"
    arguments = ("alpha", "beta")

    def logpdf(self, x: Floats) -> Floats:
        """As of `Prior`."""
        constant = -float(betaln(self.alpha, self.beta))
        with np.errstate(divide="ignore", invalid="ignore"):
            below = (self.alpha - 1.0) * np.log(x) if self.alpha != 1.0 else 0.0
            above = (self.beta - 1.0) * np.log1p(-x) if self.beta != 1.0 else 0.0
        return constant + below + above + np.zeros_like(x)

    def slope(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return (self.alpha - 1.0) / x - (self.beta - 1.0) / (1.0 - x)


@dataclass(frozen=True)
class Uniform(Prior):
    """Equal density between two numbers."""

    low: float
    high: float
    name = "uniform"
    pymc = "Uniform"
    arguments = ("lower", "upper")

    def __post_init__(self) -> None:
        """Refuse an empty interval.

        Raises:
            FitError: The upper number is not above the lower one.
        """
        if not -math.inf < self.low < self.high < math.inf:
            raise FitError(f"{self.text}: two finite numbers are expected, the second above the first.")

    @property
    def limits(self) -> tuple[float, float]:
        """As of `Prior`."""
        return self.low, self.high

    def logpdf(self, x: Floats) -> Floats:
        """As of `Prior`; outside it is minus infinity."""
        inside = (x >= self.low) & (x <= self.high)
        return np.where(inside, -math.log(self.high - self.low), -np.inf)

    def slope(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return np.zeros_like(x)


@dataclass(frozen=True)
class Flat(Prior):
    """Equal density everywhere, which has no integral."""

    name = "flat"
    proper = False
    pymc = "Flat"

    @property
    def text(self) -> str:
        """As of `Prior`."""
        return "flat"

    def logpdf(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return np.zeros_like(x)

    def slope(self, x: Floats) -> Floats:
        """As of `Prior`."""
        return np.zeros_like(x)


@dataclass(frozen=True)
class LKJ(Prior):
    """A distribution of correlation matrices C (k, k): density as |C|^(eta - 1); eta = 1 is uniform.

    The canonical partial correlation w of row r with column c (from 0) is 2 Beta(a, a) - 1,
    a = eta + (k - 2 - c) / 2.

    Reference: Lewandowski, Kurowicka & Joe (2009), Generating random correlation matrices based on vines.
    """

    eta: float
    name = "lkj"
    support = (-1.0, 1.0)
    pymc = "LKJCorr"
    arguments = ("eta",)

    def logpdf(self, x: Floats) -> Floats:
        """Returns the log density of one correlation, of two columns."""
        return (self.eta - 1.0) * np.log1p(-(x**2)) + self.log_constant(2, 0)

    def slope(self, x: Floats) -> Floats:
        """Returns that density's slope."""
        return -2.0 * (self.eta - 1.0) * x / (1.0 - x**2)

    def shape(self, k: int, column: int) -> float:
        """Returns a of the partial correlations with a column among k."""
        return self.eta + (k - 2 - column) / 2.0

    def log_constant(self, k: int, column: int) -> float:
        """Returns what a partial correlation adds to the log of the density's constant."""
        a = self.shape(k, column)
        return -(2.0 * a - 1.0) * math.log(2.0) - float(betaln(a, a))


OFFERED = (
    "normal(mean, sd), student_t(df, location, scale), cauchy(location, scale), half_normal(sd), "
    "half_student_t(df, location, scale), half_cauchy(scale), exponential(rate), gamma(shape, rate), "
    "lognormal(mean, sd), beta(a, b), uniform(low, high), lkj(eta), flat"
)
#: The distributions by the name that they are written with.
PRIORS: dict[str, type[Prior]] = {
    kind.name: kind
    for kind in (Normal, StudentT, Cauchy, ExponentialPrior, Gamma, LogNormal, BetaPrior, Uniform, LKJ)
}


def half(prior: Prior) -> Prior:
    """The distribution on what is not negative: of one that goes below zero its half above."""
    return Half(prior) if isinstance(prior, Normal | StudentT | Cauchy) else prior


def read_prior(text: object) -> Prior:
    """A distribution from what is written: `normal(0, 10)`, `half_student_t(3, 0, 2.5)`, `flat`.

    Raises:
        FitError: It cannot be read, or is no distribution.

    >>> read_prior("student_t(3, 0, 2.5)")
    StudentT(df=3.0, location=0.0, scale=2.5)
    """
    if isinstance(text, Prior):
        return text
    written = str(text).strip().lower()
    if written in ("flat", "flat()"):
        return Flat()
    match = re.fullmatch(r"(half[_-])?([a-z_]+)\s*\(([^()]*)\)", written)
    if match is None or match[2] not in PRIORS:
        near = did_you_mean(match[2], list(PRIORS)) if match else ""
        raise FitError(f"The prior {str(text)!r:.60} cannot be read{near or '.'} Write one of: {OFFERED}.")
    kind = PRIORS[match[2]]
    names = [field.name for field in fields(kind)]
    try:
        numbers = [float(part) for part in match[3].split(",")] if match[3].strip() else []
    except ValueError:
        numbers = [np.nan] * (len(names) + 1)
    if match[1] and kind not in (Normal, StudentT, Cauchy):
        raise FitError(f"The prior {str(text)!r:.60}: half is of normal, student_t and cauchy alone.")
    if match[1] and len(numbers) == len(names) - 1:
        numbers.insert(len(names) - 2, 0.0)  # the location may be left out
    if len(numbers) != len(names):
        raise FitError(
            f"The prior {str(text)!r:.60} has not the numbers that it needs: {kind.name}({', '.join(names)})."
            f" Write one of: {OFFERED}."
        )
    found = kind(*numbers)
    return half(found) if match[1] else found
