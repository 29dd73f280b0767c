"""Confidence intervals of coefficients, standard deviations and correlations: Wald, profile, bootstrap."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import scipy

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.structures import Natural
from lmmkit.engine.inference.information import curvature
from lmmkit.engine.profiles.interval_bounds import Interval, IntervalSearch, ProfileCurve
from lmmkit.engine.profiles.slices import Frame, Parameter
from lmmkit.engine.replicates.jackknife import without_units
from lmmkit.engine.setup import Setup, set_up
from lmmkit.errors import FitError, PartialResult
from lmmkit.model.estimates import Estimates, refitted
from lmmkit.model.inference.distributions import normal_quantile
from lmmkit.model.inference.linear_functions import coef_table
from lmmkit.model.options import check_level, check_option
from lmmkit.model.resampling.bootstrap import Progress, bca, bootstrap, parameters_of, percentile
from lmmkit.model.resampling.simulate import Seed
from lmmkit.model.tables import parameter_names, parameters
from lmmkit.model.threads import one_thread

Method = Literal["wald", "profile", "bootstrap"]
Kind = Literal["percentile", "bca"]
METHODS = ("wald", "profile", "bootstrap")
KINDS = ("percentile", "bca")
CORRELATION_GUESS = 1.0  # distance of a profile's bound on Fisher's scale


def conf_int(
    estimates: Estimates,
    *,
    method: Method,
    level: float,
    df: str = "auto",
    n: int = 1000,
    seed: Seed = 0,
    kind: Kind = "percentile",
    workers: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Confidence intervals of the coefficients and of the variance parameters: low, high, criterion.

    Args:
        estimates: The fit.
        method: "wald", "profile" or "bootstrap".
        level: Coverage.
        df: Denominator degrees of freedom of the coefficients, for "wald".
        n: Replicates, for "bootstrap".
        seed: Seed of the random numbers, for "bootstrap".
        kind: "percentile" or "bca", for "bootstrap".
        workers: Threads, for "bootstrap".
        progress: Called with what is done and how much there is to do.

    Raises:
        FitError: An option that is not offered.
    """
    check_option("method", method, METHODS)
    check_option("kind", kind, KINDS)
    check_level("level", level)
    if method == "wald":
        return wald_intervals(estimates, level=level, df=df)
    if method == "profile":
        table = profile_intervals(estimates, level=level, progress=progress)
        absent = table.index[table[["low", "high"]].isna().any(axis=1)]
        _warn({name: table.attrs["trouble"][name] for name in absent})
        return table
    replicates = bootstrap(estimates, n, seed=seed, workers=workers, progress=progress)
    table = bootstrap_intervals(estimates, replicates, level=level, kind=kind)
    failed = table.attrs["replicates"]["failed"]
    _warn({"bootstrap": f"{failed} of {n} replicates could not be fitted."} if failed else {})
    return table


def _warn(trouble: dict[str, str]) -> None:
    """Say what could not be found; the table has NaN there."""
    for name, what in trouble.items():
        warnings.warn(f"{name}: {what}", PartialResult, stacklevel=4)


# Wald intervals


def wald_intervals(estimates: Estimates, *, level: float, df: str) -> pd.DataFrame:
    """Wald intervals of the coefficients and of the variance parameters: low, high, criterion.

    Standard deviations on the log, correlations on Fisher's z. A null direction of a covariance matrix has no
    curvature: its bounds are those of the domain, or NaN where the domain has none.

    Args:
        estimates: The fit.
        level: Coverage.
        df: Denominator degrees of freedom of the coefficients.

    Raises:
        FitError: An option that is not offered, or a method that this fit does not allow.
    """
    coefficients = coef_table(estimates, df=df, level=level)
    half = normal_quantile(0.5 + level / 2.0) * _transformed_errors(estimates)
    kinds = [*(natural.kind for _, natural in estimates.naturals), "sd"]  # sigma is last
    rows = [
        _interval(value, h, correlation=kind == "cor")
        for value, h, kind in zip(parameters(estimates), half, kinds, strict=True)
    ]
    variances = pd.DataFrame(rows, index=pd.Index(parameter_names(estimates)), columns=["low", "high"])
    table = pd.concat([coefficients[["low", "high"]], variances])
    return table.assign(criterion="REML" if estimates.reml else "ML")


def _interval(value: float, half: float, *, correlation: bool) -> tuple[float, float]:
    """Interval carried back from Fisher's z or from the log."""
    if correlation:
        if not np.isfinite(half) or abs(value) >= 1.0:
            return -1.0, 1.0
        return float(np.tanh(np.arctanh(value) - half)), float(np.tanh(np.arctanh(value) + half))
    if value == 0.0 or not np.isfinite(half):
        return 0.0, np.nan
    with np.errstate(over="ignore"):  # infinite: the data do not bound it
        return float(value * np.exp(-half)), float(value * np.exp(half))


def _transformed_errors(estimates: Estimates) -> Floats:
    """Standard errors of each log SD and Fisher z, in the order of the parameters; NaN without curvature."""
    found = curvature(estimates.optimum)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = [
            np.column_stack([slopes, [float(n.kind == "sd") for n in term.structure.naturals]])
            for term, L, dT in zip(estimates.random, estimates.factors, found.slopes, strict=True)
            for slopes in [term.structure.wald_slopes(L @ L.T, dT)]
        ]
        residual = np.append(np.zeros(len(found.covariance) - 1), 1.0)
        J = np.concatenate([*rows, residual[None]])
        return np.sqrt(np.einsum("im,mn,in->i", J, found.covariance, J))


# Profile intervals


class Row(NamedTuple):
    """One parameter's interval."""

    name: str
    bounds: Interval
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
    rows, count = list[Row](), len(estimates.names) + len(parameter_names(estimates))
    with one_thread():
        for row in _rows(estimates, level):
            rows.append(row)
            if progress is not None:
                progress(len(rows), count)
    table = pd.DataFrame(
        [(row.bounds.low, row.bounds.high, row.criterion) for row in rows],
        columns=["low", "high", "criterion"],
        index=pd.Index([row.name for row in rows]),
    )
    table.attrs["trouble"] = {row.name: row.bounds.trouble for row in rows if row.bounds.trouble}
    return table


def _rows(estimates: Estimates, level: float) -> Iterator[Row]:
    """Coefficients, then variance parameters."""
    yield from Profiles(refitted(estimates, reml=False), level).coefficients()
    yield from Profiles(estimates, level).variances()


class Profiles:
    """The profiles about one fit."""

    def __init__(self, estimates: Estimates, level: float) -> None:
        self.estimates, self.criterion = estimates, "REML" if estimates.reml else "ML"
        self.level = float(scipy.special.chdtri(1.0, 1.0 - level))
        self.half = normal_quantile(0.5 + level / 2.0)
        optimum = estimates.optimum
        self.least = optimum.state.deviance
        self.setup: Setup = set_up(estimates.problem, reml=estimates.reml)
        sigma = float(np.sqrt(optimum.state.r2 / optimum.criterion.nu))
        self.frame = Frame(self.setup, optimum.state.L, sigma)

    def line(self, parameter: Parameter) -> ProfileCurve:
        """The profile deviance along a parameter."""
        return ProfileCurve(self.setup, parameter, self.least)

    def _search(self, parameter: Parameter, guess: float) -> IntervalSearch:
        return IntervalSearch(self.line(parameter), self.level, guess)

    def coefficients(self) -> Iterator[Row]:
        """Of each fixed effect."""
        for i, (name, error) in enumerate(zip(self.estimates.names, self.estimates.bse, strict=True)):
            parameter = self.frame.coefficient(i, float(self.estimates.beta[i]))
            yield Row(name, self._search(parameter, self.half * float(error)).on_line(), self.criterion)

    def variances(self) -> Iterator[Row]:
        """Of each standard deviation and correlation, and of the residual standard deviation."""
        named = zip(parameter_names(self.estimates), self.estimates.naturals, strict=False)
        for name, (term, natural) in named:
            yield Row(name, self._variance(term, natural), self.criterion)
        guess = self.half / np.sqrt(2.0 * self.setup.criterion.nu)
        yield Row("Residual.sd", self._search(self.frame.residual(), guess).on_log(), self.criterion)

    def _variance(self, term: int, natural: Natural) -> Interval:
        if natural.kind == "cor":
            parameter = self.frame.correlation(term, natural.row, natural.column)
            return self._search(parameter, CORRELATION_GUESS).within_one()
        levels = self.estimates.problem.terms[term].levels
        guess = self.half / np.sqrt(2.0 * max(levels - 1, 1))
        return self._search(self.frame.standard_deviation(term, natural.column), guess).from_zero()


# Intervals from a bootstrap


def bootstrap_intervals(
    estimates: Estimates, replicates: pd.DataFrame, *, level: float, kind: Kind
) -> pd.DataFrame:
    """low, high, criterion from the replicates of `bootstrap`; `attrs["replicates"]` counts their fates."""
    values = replicates.drop(columns=["converged", "singular"])
    if kind == "percentile":
        bounds = [percentile(values[name].to_numpy(), level) for name in values]
    else:
        point = np.concatenate([estimates.beta, parameters(estimates)])
        without = parameters_without_units(estimates)
        bounds = [
            bca(values[name].to_numpy(), point[i], without[:, i], level) for i, name in enumerate(values)
        ]
    table = pd.DataFrame(bounds, columns=["low", "high"], index=pd.Index(list(values)))
    table["criterion"] = "REML" if estimates.reml else "ML"
    failed = len(replicates.attrs["failures"])
    table.attrs["replicates"] = {
        "n": len(replicates),
        "failed": failed,
        "not converged": int((~replicates["converged"]).sum()) - failed,
        "singular": int(replicates["singular"].sum()),
    }
    return table


def parameters_without_units(estimates: Estimates) -> Floats:
    """(u, m) the coefficients and variance parameters of the fits without each unit: the jackknife of BCa.

    Fits that lose a coefficient with the unit are left out.
    """
    with one_thread():
        found = [
            solution
            for solution in without_units(estimates.problem, reml=estimates.reml)
            if solution.kept == estimates.kept
        ]
    if not found:
        raise FitError("kind='bca': the model cannot be fitted without any of its groups; use 'percentile'.")
    beta = np.array([solution.beta for solution in found])
    factors = [np.array(each) for each in zip(*(solution.factors for solution in found), strict=True)]
    sigma = np.array([solution.sigma for solution in found])
    return np.column_stack([beta, parameters_of(estimates, factors, sigma)])
