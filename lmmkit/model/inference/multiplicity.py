"""Families of tests: adjusted p-values and the critical values of simultaneous intervals.

References: Tukey (1953); Dunnett (1955); Scheffe (1953); Sidak (1967); Holm (1979); Hochberg (1988); Hommel
(1988); Benjamini & Hochberg (1995), which bounds the false discovery rate and not the familywise error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.inference.multivariate_t import LargestT, largest_t
from lmmkit.engine.inference.studentized_range import quantile, tail
from lmmkit.errors import FitError, did_you_mean
from lmmkit.model.inference.alternatives import TWO_SIDED, Alternative
from lmmkit.model.inference.distributions import f_quantile, f_tail, t_quantile

STEPWISE = {"holm": "holm", "hochberg": "simes-hochberg", "hommel": "hommel", "BH": "fdr_bh", "BY": "fdr_by"}
ADJUSTMENTS = ("tukey", "dunnett", "mvt", "scheffe", "sidak", "bonferroni", *STEPWISE, "none")
TWO_SIDED_ONLY = ("tukey", "scheffe")
EXACT = ("dunnett", "mvt")
ALONE = ("sidak", "bonferroni", *STEPWISE, "none")


class Adjusted(NamedTuple):
    """(m,) p-values with their numerical standard errors, which are zero but for multivariate t."""

    p: Floats
    error: Floats


@dataclass(frozen=True, eq=False)
class FamilyOfTests:
    """m tests that are adjusted together.

    Attributes:
        t: (m,) statistics; NaN for a test that cannot be made, which counts as a member all the same.
        p: (m,) unadjusted p-values.
        df: (m,) degrees of freedom.
        covariance: (m, m) of the estimates, up to a factor.
        means: Number of means whose differences are all tested, for tukey.
        against: The alternative.
    """

    t: Floats
    p: Floats
    df: Floats
    covariance: Floats
    means: int = 2
    against: Alternative = TWO_SIDED

    @cached_property
    def rank(self) -> int:
        """Of the functions that can be tested."""
        correlation = self._correlation
        return int(np.linalg.matrix_rank(correlation, hermitian=True)) if len(correlation) else 0

    @cached_property
    def largest(self) -> LargestT:
        """The distribution of the largest statistic."""
        return largest_t(self._correlation, one_sided=self.against.tail != 0)

    @property
    def _correlation(self) -> Floats:
        known = ~np.isnan(self.t)
        inner = self.covariance[np.ix_(known, known)]
        size = np.sqrt(inner.diagonal())
        return inner / np.outer(size, size)

    def adjusted(self, adjust: str) -> Adjusted:
        """P-values.

        >>> t, df = np.array([2.0, 3.0]), np.array([10.0, 10.0])
        >>> p = TWO_SIDED.test(t, np.ones(2), df).p
        >>> FamilyOfTests(t, p, df, np.eye(2)).adjusted("holm").p.round(4).tolist()
        [0.0734, 0.0267]
        """
        none = np.zeros(len(self.p))
        if len(self.p) == 1 and adjust != "scheffe":
            return Adjusted(self.p, none)
        if adjust in ALONE:
            return Adjusted(adjusted_alone(self.p, adjust), none)
        pairs = list(zip(self.t, self.df, strict=True))
        if adjust == "tukey":
            return Adjusted(
                np.array([tail(abs(t) * np.sqrt(2.0), self.means, float(nu)) for t, nu in pairs]), none
            )
        if adjust == "scheffe":
            return Adjusted(np.array([f_tail(t**2 / self.rank, self.rank, nu) for t, nu in pairs]), none)
        sign = float(self.against.tail)
        sized = np.abs(self.t) if sign == 0.0 else sign * self.t
        found = [
            self.largest.tail(float(q), float(nu)) if q == q else (np.nan, np.nan)
            for q, nu in zip(sized, self.df, strict=True)
        ]
        p, error = np.array(found).reshape(-1, 2).T
        return Adjusted(np.maximum(p, self.p), error)

    def critical(self, level: float, adjust: str) -> Floats:
        """(m,) half-widths of simultaneous intervals in standard errors; stepwise methods have bonferroni's.

        Of a one-sided family the distance of the one bound.
        """
        m, sides = len(self.df), 1.0 if self.against.tail else 2.0
        if adjust == "none" or (m == 1 and adjust != "scheffe"):
            return t_quantile(1.0 - (1.0 - level) / sides, self.df)
        if adjust == "sidak":
            return t_quantile(1.0 - (1.0 - level ** (1.0 / m)) / sides, self.df)
        if adjust == "tukey":
            return np.array([quantile(level, self.means, float(nu)) for nu in self.df]) / np.sqrt(2.0)
        if adjust == "scheffe":
            return np.sqrt(self.rank * np.array([f_quantile(level, self.rank, nu) for nu in self.df]))
        if adjust in EXACT:
            known = {
                nu: self.largest.quantile(level, nu)
                for nu in dict.fromkeys(self.df[~np.isnan(self.t)].tolist())
            }
            return np.array([known.get(nu, np.nan) for nu in self.df.tolist()])
        return t_quantile(1.0 - (1.0 - level) / (sides * m), self.df)


def adjusted_alone(p: Floats, adjust: str) -> Floats:
    """(m,) p-values by a method that needs them alone, one of `ALONE`."""
    m = len(p)
    if adjust == "bonferroni":
        return np.minimum(m * p, 1.0)
    if adjust == "sidak":
        with np.errstate(divide="ignore"):
            return -np.expm1(m * np.log1p(-p))
    return stepwise(p, STEPWISE[adjust]) if adjust in STEPWISE else p


def stepwise(p: Floats, method: str) -> Floats:
    """(m,) p-values by a method of statsmodels; NaN stays NaN and counts as a member of the family."""
    from statsmodels.stats import multitest  # pyright: ignore[reportMissingTypeStubs]

    known = ~np.isnan(p)
    made: Any = multitest  # whose types are partly unknown
    found = made.multipletests(np.where(known, p, 1.0), method=method)
    return np.where(known, found[1], np.nan)


def check_adjust(adjust: object, against: Alternative = TWO_SIDED) -> str:
    """Refuse an adjustment that is not offered, or that an alternative has no place for.

    Raises:
        FitError: It is none of `ADJUSTMENTS`, or is for two-sided tests alone.
    """
    if not isinstance(adjust, str) or adjust not in ADJUSTMENTS:
        near = did_you_mean(str(adjust), ADJUSTMENTS)
        raise FitError(
            f"adjust={adjust!r} is not known{near or '.'} Choose one of: {', '.join(map(repr, ADJUSTMENTS))}."
        )
    margin = against.tail == 0 and against.delta > 0.0
    if against.one_sided and (adjust in TWO_SIDED_ONLY or (margin and adjust in EXACT)):
        what = "equivalence" if margin else "one-sided"
        others = "sidak, bonferroni, holm" if margin else "mvt, sidak, bonferroni, holm"
        raise FitError(
            f"adjust={adjust!r} is for two-sided tests, and these are {what} tests: use {others} or none."
        )
    return adjust
