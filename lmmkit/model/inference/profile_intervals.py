"""Likelihood intervals: where the profile deviance of each parameter rises by the quantile of chi-squared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from lmmkit.engine.covariance.structures import Natural
from lmmkit.engine.profiles.interval_bounds import Bounds, Line, Search
from lmmkit.engine.profiles.slices import Frame, Parameter
from lmmkit.engine.setup import Setup, set_up
from lmmkit.model.estimates import Estimates, estimate
from lmmkit.model.tables import parameter_names
from lmmkit.model.threads import one_thread

CORRELATION_GUESS = 1.0  # distance of a bound on Fisher's scale
Progress = Callable[[int, int], None]


class Row(NamedTuple):
    """One parameter's interval."""

    name: str
    bounds: Bounds
    criterion: str


def profile_intervals(
    estimates: Estimates, *, level: float, progress: Progress | None = None
) -> pd.DataFrame:
    """Exact profile likelihood intervals: low, high, criterion.

    Variance parameters are profiled on the criterion of the fit. The restricted likelihood has no fixed
    effects to profile, so those of a REML fit are profiled on the likelihood, about the ML refit. A bound
    that does not exist is 0 for a standard deviation, -1 or 1 for a correlation; one that was not found is
    NaN, and `attrs["trouble"]` says why.

    Args:
        estimates: The fit.
        level: Coverage.
        progress: Called with the parameters done and their number.

    Reference: Bates, Maechler, Bolker & Walker (2015), Fitting linear mixed-effects models using lme4,
    Journal of Statistical Software 67(1), section 5.1.
    """
    names = [*estimates.names, *parameter_names(estimates)]
    rows = list[Row]()
    with one_thread():
        for row in _rows(estimates, level):
            rows.append(row)
            if progress is not None:
                progress(len(rows), len(names))
    table = pd.DataFrame(
        [(row.bounds.low, row.bounds.high, row.criterion) for row in rows],
        columns=["low", "high", "criterion"],
        index=pd.Index([row.name for row in rows]),
    )
    table.attrs["trouble"] = {row.name: row.bounds.trouble for row in rows if row.bounds.trouble}
    return table


def _rows(estimates: Estimates, level: float) -> Iterator[Row]:
    """Coefficients, then variance parameters."""
    likelihood = estimates if not estimates.reml else _by_likelihood(estimates)
    yield from Profiles(likelihood, level).coefficients()
    yield from Profiles(estimates, level).variances()


def _by_likelihood(estimates: Estimates) -> Estimates:
    """The ML fit of the same model."""
    return estimate(estimates.design, reml=False, algorithm=estimates.algorithm)


class Profiles:
    """The profiles about one fit."""

    def __init__(self, estimates: Estimates, level: float) -> None:
        self.estimates, self.criterion = estimates, "REML" if estimates.reml else "ML"
        self.level = float(scipy.special.chdtri(1.0, 1.0 - level))
        self.half = float(scipy.special.ndtri(0.5 + level / 2.0))
        optimum = estimates.optimum
        self.least = optimum.state.deviance
        self.setup: Setup = set_up(estimates.problem, reml=estimates.reml)
        sigma = float(np.sqrt(optimum.state.r2 / optimum.criterion.nu))
        self.frame = Frame(self.setup, optimum.state.L, sigma)

    def line(self, parameter: Parameter) -> Line:
        """The profile deviance along a parameter."""
        return Line(self.setup, parameter, self.least)

    def _search(self, parameter: Parameter, guess: float) -> Search:
        return Search(self.line(parameter), self.level, guess)

    def coefficients(self) -> Iterator[Row]:
        """Of each fixed effect."""
        errors = np.sqrt(np.diag(self.estimates.vcov))
        for i, name in enumerate(self.estimates.names):
            parameter = self.frame.coefficient(i, float(self.estimates.beta[i]))
            yield Row(name, self._search(parameter, self.half * float(errors[i])).on_line(), self.criterion)

    def variances(self) -> Iterator[Row]:
        """Of each standard deviation and correlation, and of the residual standard deviation."""
        for name, (term, natural) in zip(
            parameter_names(self.estimates), self.estimates.naturals, strict=False
        ):
            yield Row(name, self._variance(term, natural), self.criterion)
        guess = self.half / np.sqrt(2.0 * self.setup.criterion.nu)
        yield Row("Residual.sd", self._search(self.frame.residual(), guess).on_log(), self.criterion)

    def _variance(self, term: int, natural: Natural) -> Bounds:
        if natural.kind == "cor":
            parameter = self.frame.correlation(term, natural.row, natural.column)
            return self._search(parameter, CORRELATION_GUESS).within_one()
        levels = self.estimates.problem.terms[term].levels
        guess = self.half / np.sqrt(2.0 * max(levels - 1, 1))
        return self._search(self.frame.standard_deviation(term, natural.column), guess).from_zero()
