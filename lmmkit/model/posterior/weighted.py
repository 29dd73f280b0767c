"""Weighted draws summarised, each number with its Monte Carlo standard error.

Of r independent draws with weights w that sum to one, a mean m = sum w x has the error sqrt(sum w^2 (x -
m)^2) (the delta method for a ratio of two sums), and so has any probability; that of a standard deviation
and of a quantile follows. Effective draws of a quantity are the equally weighted ones that would give its
mean that error.

Reference: Owen (2013), Monte Carlo theory, methods and examples, chapter 9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import betaincinv, ndtr

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.model.options import check_level

SHOWN = 4  # significant digits at most, of what is exact
ONE_ERROR = ndtr(np.array([-1.0, 1.0]))  # shares of a normal distribution at one error below and above
WEIGHTLESS = 1e-12  # of weights that sum to one


@dataclass(frozen=True, eq=False)
class Draws1:
    """Draws of one quantity, in rising order.

    Attributes:
        x: (r,) values.
        w: (r,) weights, which sum to one.
        inefficiency: How many draws are worth one independent draw: 1, or more where a chain has made them.
    """

    x: Floats
    w: Floats
    inefficiency: float = 1.0

    @property
    def mean(self) -> float:
        """Their mean."""
        return float(self.w @ self.x)

    @property
    def sd(self) -> float:
        """Their standard deviation."""
        return math.sqrt(max(0.0, float(self.w @ (self.x - self.mean) ** 2)))

    @property
    def mcse(self) -> float:
        """Standard error of the mean."""
        return self._error(self.x - self.mean)

    @property
    def sd_mcse(self) -> float:
        """Standard error of the standard deviation."""
        sd = self.sd
        return self._error((self.x - self.mean) ** 2 - sd**2) / (2.0 * sd) if sd > 0.0 else 0.0

    @property
    def effective(self) -> float:
        """Independent draws of equal weight that would give the mean the same error."""
        return (self.sd / self.mcse) ** 2 if self.mcse > 0.0 else 1.0 / float(self.w @ self.w)

    def quantile(self, p: float) -> float:
        """The value that the share p of the weight is not above, halfway within the draw that crosses it."""
        return float(np.interp(p, np.cumsum(self.w) - 0.5 * self.w, self.x))

    def quantile_mcse(self, p: float) -> float:
        """Standard error of a quantile: half the way between the quantiles one error of p below and above.

        Of n effective draws at that place p is Beta(n p + 1, n (1 - p) + 1) distributed, as the R package
        `posterior` has it; n is no more than the draws are worth as a whole, for in a tail that few of them
        have reached nothing seems to vary.
        """
        error = self._error(np.where(self.x <= self.quantile(p), 1.0 - p, -p))
        most = 1.0 / (self.inefficiency * float(self.w @ self.w))
        n = min(p * (1.0 - p) / error**2, most) if error > 0.0 else most
        ends = betaincinv(n * p + 1.0, n * (1.0 - p) + 1.0, ONE_ERROR)
        return (self.quantile(float(ends[1])) - self.quantile(float(ends[0]))) / 2.0

    def shortest(self, level: float) -> tuple[float, float]:
        """The shortest interval that holds the share `level` of the weight (HDI of one hump)."""
        reached = np.cumsum(self.w)
        before = reached - self.w
        end = np.searchsorted(reached, np.minimum(before + level - WEIGHTLESS, 1.0))
        inside = (before + level <= 1.0 + WEIGHTLESS) & (end < len(self.x))
        first = np.flatnonzero(inside)
        widths = self.x[end[first]] - self.x[first]
        best = first[int(np.argmin(widths))]
        return float(self.x[best]), float(self.x[end[best]])

    def share(self, low: float, high: float) -> tuple[float, float]:
        """The probability of low < x < high, and its standard error."""
        inside = ((self.x > low) & (self.x < high)).astype(np.float64)
        p = min(1.0, float(self.w @ inside))
        return p, self._error(inside - p)

    def _error(self, influence: Floats) -> float:
        return math.sqrt(self.inefficiency * float(np.sum((self.w * influence) ** 2)))


def sorted_draws(x: Floats, w: Floats, inefficiency: float = 1.0) -> Draws1:
    """Draws of one quantity from its values in any order."""
    order = np.argsort(x, kind="stable")
    return Draws1(np.asarray(x, np.float64)[order], w[order], inefficiency)


SUMMARY = [
    "mean", "sd", "low", "median", "high", "hdi_low", "hdi_high", "direction", "effective", "mcse", "sd_mcse",
    "low_mcse", "median_mcse", "high_mcse",
]  # fmt: skip


ERRORS = {"mean": "mcse", "low": "low_mcse", "median": "median_mcse", "high": "high_mcse"}


def summary(values: pd.DataFrame, w: Floats, level: float, inefficiency: float = 1.0) -> pd.DataFrame:
    """A row for each column of draws: mean, sd, quantiles, HDI, probability of direction, Monte Carlo errors.

    Args:
        values: (r, m) draws.
        w: (r,) weights, which sum to one.
        level: Coverage of the two intervals, of equal tails (`low`, `high`) and the shortest (`hdi_...`).
        inefficiency: As of `Draws1`.

    Returns:
        The columns of `SUMMARY`; NaN where a quantity is not finite in some draw of weight. `direction` is
        the larger of the probabilities of x > 0 and x < 0.
    """
    check_level("level", level)
    tail = (1.0 - level) / 2.0
    rows = list[dict[str, float]]()
    for name in values.columns:
        x = values[name].to_numpy(np.float64)
        if not np.isfinite(x[w > 0.0]).all():
            rows.append(dict.fromkeys(SUMMARY, math.nan))
            continue
        one = sorted_draws(np.where(w > 0.0, x, 0.0), w, inefficiency)
        low, high = one.shortest(level)
        row = {"mean": one.mean, "sd": one.sd, "hdi_low": low, "hdi_high": high, "effective": one.effective}
        row |= {"direction": max(one.share(0.0, math.inf)[0], one.share(-math.inf, 0.0)[0])}
        row |= {"mcse": one.mcse, "sd_mcse": one.sd_mcse}
        for column, p in (("low", tail), ("median", 0.5), ("high", 1.0 - tail)):
            row |= {column: one.quantile(p), f"{column}_mcse": one.quantile_mcse(p)}
        rows.append(row)
    return pd.DataFrame(rows, index=values.columns.copy(), columns=SUMMARY)


def trusted_decimals(error: float) -> int | None:
    """Decimals of a number with this Monte Carlo error, which is less than one of the last digit.

    Negative for tens and hundreds; None where there is no error, so that nothing limits the digits.

    >>> trusted_decimals(0.027), trusted_decimals(0.004), trusted_decimals(3.0)
    (1, 2, -1)
    """
    if not error > 0.0 or not math.isfinite(error):
        return None
    return -math.ceil(math.log10(error) - 1e-9)


def refuse_too_few(table: pd.DataFrame, draws: int, digits: int) -> None:
    """Refuse draws whose Monte Carlo error does not support that many significant digits.

    Asked of are the mean, the median and the ends of the interval of each parameter: the error is to be less
    than one of the last digit. Near zero they are counted from the first digit of the posterior standard
    deviation.

    Args:
        table: As of `summary`.
        draws: How many it was made from.
        digits: How many are asked for.

    Raises:
        FitError: Some number has a larger error; it says how many draws would do.
    """
    worst, found = 1.0, ""
    for name, row in table.iterrows():
        for column, of_error in ERRORS.items():
            value, error = float(row[column]), float(row[of_error])
            size = max(abs(value), float(row["sd"]))
            if not (size > 0.0 and math.isfinite(error)):
                continue
            excess = error / 10.0 ** (math.floor(math.log10(size)) - digits + 1)
            if excess > worst:
                worst, found = (
                    excess,
                    f"{column} of {name} is {value:.{digits}g} with an error of {error:.2g}",
                )
    if found:
        needed = 1.1 * draws * worst**2  # errors are estimates too
        unit = 10.0 ** (math.floor(math.log10(needed)) - 1)
        enough = math.ceil(needed / unit) * unit
        raise FitError(
            f"digits={digits}: too few draws for so many significant digits: from {draws:,} draws the "
            f"{found} by Monte Carlo. About {enough:,.0f} draws would do; or ask for "
            "fewer digits."
        )


def trusted_text(value: float, error: float) -> str:
    """A number with the digits that its Monte Carlo error supports; by powers of ten where these are few.

    >>> trusted_text(6.5743, 0.027), trusted_text(251.4, 3.0), trusted_text(0.5, 0.0)
    ('6.6', '2.5e+02', '0.5')
    """
    if not math.isfinite(value):
        return ""
    decimals = trusted_decimals(error)
    if decimals is None:
        return f"{value:.{SHOWN}g}"
    rounded = round(value, decimals) + 0.0  # no negative zero
    if decimals >= 0:
        return f"{rounded:,.{decimals}f}"
    if rounded == 0.0:
        return f"0e+{-decimals:02d}"
    return f"{rounded:.{max(0, math.floor(math.log10(abs(rounded))) + decimals)}e}"


def resampled(w: Floats, count: int, seed: int) -> np.ndarray:
    """Positions of `count` draws of equal weight, systematically resampled, in their own order.

    Reference: Kitagawa (1996), Monte Carlo filter and smoother for non-Gaussian nonlinear state space models.
    """
    start = np.random.default_rng(seed).uniform()
    ends = np.cumsum(w)
    return np.minimum(np.searchsorted(ends / ends[-1], (np.arange(count) + start) / count), len(w) - 1)
