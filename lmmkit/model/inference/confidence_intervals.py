"""Confidence intervals of coefficients, standard deviations and correlations: Wald, profile, bootstrap."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import scipy

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.natural_scales import LOG, PLAIN, SCALES, Scale, ends
from lmmkit.engine.covariance.patterned import PatternedStructure
from lmmkit.engine.profiles.interval_bounds import Interval, IntervalSearch, ProfileCurve
from lmmkit.engine.profiles.pattern_profiles import PatternFrame
from lmmkit.engine.profiles.profile_deviance import least_deviance
from lmmkit.engine.profiles.residual_slices import ResidualFrame, ResidualParameter
from lmmkit.engine.profiles.slices import Frame, Parameter
from lmmkit.engine.replicates.jackknife import without_units
from lmmkit.engine.replicates.refit import Replicates
from lmmkit.engine.setup import Setup, set_up
from lmmkit.errors import FitError, PartialResult
from lmmkit.model.design.residual_design import RowDesign, correlation_of_unit
from lmmkit.model.estimates import Estimates, refitted
from lmmkit.model.formula.residual_formula import SERIAL
from lmmkit.model.inference.distributions import normal_quantile
from lmmkit.model.inference.linear_functions import coef_table
from lmmkit.model.options import Progress, Seed, check_level, check_option, seed_of, whole
from lmmkit.model.resampling.bootstrap import (
    bca,
    parameters_of,
    percentile,
    replicate,
    studentised,
    tabled,
)
from lmmkit.model.resampling.simulate import Simulator
from lmmkit.model.tables import parameter_names, parameters, residual_name
from lmmkit.model.threads import one_thread

Method = Literal["auto", "wald", "profile", "bootstrap"]
Kind = Literal["percentile", "bca", "studentised"]
METHODS = ("auto", "wald", "profile", "bootstrap")
KINDS = ("percentile", "bca", "studentised")
MOST_PARAMETERS, MOST_ROWS, MOST_EFFECTS = 6, 100_000, 3_000  # up to here "auto" profiles variance parameters
WIDE = 1.0  # standard error of a log SD above which the likelihood is far from round
VISITS_GUESS = 0.3  # the same of a residual structure's parameters, on their scales
CORRELATION_GUESS = 1.0  # distance of a profile's bound on Fisher's scale
ASYMPTOTIC = "asymptotic"
AT_ZERO = "reaching zero: it covers more than asked"  # said of such intervals (docs/calibration.md)


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

    A bound that could not be found is NaN; `attrs["trouble"]` says why, by row.

    Args:
        estimates: The fit.
        method: "auto", "wald", "profile" or "bootstrap".
        level: Coverage.
        df: Denominator degrees of freedom of the coefficients, for "auto" and "wald".
        n: Replicates, for "bootstrap".
        seed: Seed of the random numbers, for "bootstrap".
        kind: "percentile", "bca" or "studentised", for "bootstrap".
        workers: Threads, for "bootstrap".
        progress: Called with what is done and how much there is to do.

    Raises:
        FitError: An option that is not offered.
    """
    check_option("method", method, METHODS)
    check_option("kind", kind, KINDS)
    check_level("level", level)
    if estimates.design.held is not None:
        return _tabled(list(_of_held(estimates, level, df)))
    if method == "auto":
        table = automatic_intervals(estimates, level=level, df=df, progress=progress)
    elif method == "wald":
        table = wald_intervals(estimates, level=level, df=df)
    elif method == "profile":
        table = profile_intervals(estimates, level=level, progress=progress)
    else:
        if kind == "bca":
            _refuse_dependent_units(estimates)
        count, of = whole("n", n, "replicates"), Simulator(estimates, seed_of(seed))
        found = replicate(of, count, workers=whole("workers", workers, "workers"), progress=progress)
        table = bootstrap_intervals(estimates, found, level=level, kind=kind)
    _warn(table)
    return _with_unit_correlation(estimates, table)


def _with_unit_correlation(estimates: Estimates, table: pd.DataFrame) -> pd.DataFrame:
    """The table with `rho` below `range`: the correlation exp(-1 / range) of rows one unit of time apart.

    It rises with the range, so that its bounds are those of the range.
    """
    residual = estimates.design.residual
    if residual is None or residual.formula.correlation != SERIAL:
        return table
    reach, unit = (residual_name(estimates, name) for name in ("range", "rho"))
    place = list(table.index).index(reach) + 1
    known = table.loc[reach, ["low", "high"]].to_numpy(dtype=np.float64)
    bounds = [correlation_of_unit(float(x)) for x in known]
    criterion = f"{table.loc[reach, 'criterion']}, of {reach}"
    row = pd.DataFrame([(*bounds, criterion)], columns=["low", "high", "criterion"], index=[unit])
    whole = pd.concat([table.iloc[:place], row, table.iloc[place:]])
    whole.attrs.update(table.attrs)
    return whole


def _warn(table: pd.DataFrame) -> None:
    """Say what could not be found; the table has NaN there."""
    absent = table.index[table[["low", "high"]].isna().any(axis=1)]
    trouble = {name: table.attrs["trouble"][name] for name in absent if name in table.attrs["trouble"]}
    failed = table.attrs.get("replicates", {}).get("failed", 0)
    if failed:
        trouble["bootstrap"] = f"{failed} of {table.attrs['replicates']['n']} replicates could not be fitted."
    for name, what in trouble.items():
        warnings.warn(f"{name}: {what}", PartialResult, stacklevel=4)


class Row(NamedTuple):
    """One parameter's interval."""

    name: str
    bounds: Interval
    criterion: str


def _tabled(rows: Iterable[Row]) -> pd.DataFrame:
    """low, high, criterion by name; what went wrong in `attrs`."""
    rows = list(rows)
    table = pd.DataFrame(
        [(row.bounds.low, row.bounds.high, row.criterion) for row in rows],
        columns=["low", "high", "criterion"],
        index=pd.Index([row.name for row in rows]),
    )
    table.attrs["trouble"] = {row.name: row.bounds.trouble for row in rows if row.bounds.trouble}
    return table


def _criterion(estimates: Estimates) -> str:
    return "REML" if estimates.reml else "ML"


# The default


def automatic_intervals(
    estimates: Estimates, *, level: float, df: str, progress: Progress | None = None
) -> pd.DataFrame:
    """Coefficients by Wald with their df, variance parameters by profile where that costs little.

    Where it does not, by a rule of size, they are Wald's on the log and on Fisher's z; but never where the
    standard error of a log SD is above 1, an estimate is at the edge, or the data do not tell it apart: there
    the profile is sought whatever it costs.

    Args:
        estimates: The fit.
        level: Coverage.
        df: Denominator degrees of freedom of the coefficients.
        progress: Called with the parameters done and their number.

    Raises:
        FitError: An explicit method of degrees of freedom that is not offered, or not for this fit.
    """
    rows, large = list(_coefficients(estimates, level, df, said=True)), too_large(estimates)
    walds = _wald_variances(estimates, level)
    with one_thread():
        profiles = Profiles(estimates, level)
        for place, wald in enumerate(walds):
            row = wald._replace(criterion=f"{wald.criterion} ({large or 'no profile was found'})")
            if wald.bounds.trouble or not large:
                profile = profiles.attempt(place)
                if wald.bounds.trouble or not np.isnan([profile.bounds.low, profile.bounds.high]).any():
                    row = profile._replace(criterion=_inserted(profile.criterion, "profile"))
            rows.append(row)
            if progress is not None:
                progress(len(rows), len(estimates.names) + len(walds))
    return _tabled(rows)


def _inserted(criterion: str, method: str) -> str:
    """A profile's criterion with its method after the first word."""
    first, *rest = criterion.split(", ", 1)
    return ", ".join([first, method, *rest])


def too_large(estimates: Estimates) -> str:
    """Why the variance parameters are not profiled, or nothing: a rule of size, never of time."""
    sizes = (
        (len(estimates.theta) + len(estimates.rho), MOST_PARAMETERS, "covariance parameters"),
        (estimates.nobs, MOST_ROWS, "rows"),
        (estimates.problem.effects, MOST_EFFECTS, "random effects"),
    )
    return ", ".join(f"more than {most:,} {what}" for size, most, what in sizes if size > most)


# Wald intervals


def wald_intervals(estimates: Estimates, *, level: float, df: str) -> pd.DataFrame:
    """Wald intervals of the coefficients and of the variance parameters: low, high, criterion.

    Standard deviations and ranges on the log, correlations on Fisher's z, a nugget on the logit, exponents as
    they are. There is none, and `criterion` says why, where
    the standard error of a log SD is above 1, an estimate is at the edge of what is possible, or the data do
    not tell it apart.

    Args:
        estimates: The fit.
        level: Coverage.
        df: Denominator degrees of freedom of the coefficients.

    Raises:
        FitError: An option that is not offered, or a method that this fit does not allow.
    """
    variances = [
        row._replace(criterion=f"{_criterion(estimates)}, none: {row.bounds.trouble}")
        if row.bounds.trouble
        else row._replace(criterion=_criterion(estimates))
        for row in _wald_variances(estimates, level)
    ]
    return _tabled([*_coefficients(estimates, level, df, said=False), *variances])


def _of_held(estimates: Estimates, level: float, df: str) -> Iterator[Row]:
    """Coefficients by Wald; variances that are given have no interval."""
    yield from _coefficients(estimates, level, df, said=True)
    for name in parameter_names(estimates):
        yield Row(name, Interval(np.nan, np.nan, ""), "given, not estimated")


def _coefficients(estimates: Estimates, level: float, df: str, *, said: bool) -> Iterator[Row]:
    """Of each fixed effect; `said` where the criterion names the degrees of freedom."""
    table, criterion = coef_table(estimates, df=df, level=level), _criterion(estimates)
    for name, low, high, method in zip(
        table.index, table["low"], table["high"], table["method"], strict=True
    ):
        trouble = f"{method}." if np.isnan(low) else ""
        text = f"{criterion}, Wald, {method}" if said or trouble else criterion
        yield Row(str(name), Interval(float(low), float(high), trouble), text)


def _wald_variances(estimates: Estimates, level: float) -> list[Row]:
    """Of each variance parameter, or why there is none."""
    q, criterion = normal_quantile(0.5 + level / 2.0), _criterion(estimates)
    kinds = list[str](n.kind for _, n in estimates.naturals)
    if estimates.problem.residual is not None:
        kinds += [kind for kind, _ in estimates.problem.residual.structure.naturals]
    kinds.append("sd")  # sigma is last
    rows = list[Row]()
    found = zip(parameter_names(estimates), parameters(estimates), _errors(estimates), kinds, strict=True)
    for name, value, error, kind in found:
        trouble = _unfit(value, error, kind)
        bounds = (np.nan, np.nan) if trouble else _interval(value, q * error, SCALES[kind])
        rows.append(Row(name, Interval(*bounds, trouble), f"{criterion}, Wald {SCALES[kind].name}"))
    return rows


def _unfit(value: float, error: float, kind: str) -> str:
    """Why a parameter has no Wald interval."""
    instead = "use method='auto' or 'profile'"
    low, high = ends(kind)
    if np.isnan(value):
        return f"the estimate is not defined; {instead}"
    if not low < value < high:
        where = "zero, the edge" if value == 0.0 else "at the edge"
        return f"the estimate is {where} of what is possible; {instead}"
    if not np.isfinite(error):
        return f"the data do not tell it apart from other variances; {instead}"
    if kind in ("sd", "range") and error > WIDE:
        return f"the standard error of its logarithm is {error:.3g}, above {WIDE:g}; {instead}"
    return ""


def _interval(value: float, half: float, scale: Scale) -> tuple[float, float]:
    """Interval carried back from its scale."""
    t = scale.there(value)
    return scale.back(t - half), scale.back(t + half)


def _errors(estimates: Estimates) -> Floats:
    """Standard errors of the parameters on their scales, in their order; NaN without curvature."""
    try:
        found = estimates.curvature
    except FitError:
        return np.full(len(parameter_names(estimates)), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = [
            np.column_stack([slopes, [float(n.kind == "sd") for n in term.structure.naturals]])
            for term, L, dT in zip(estimates.random, estimates.factors, found.slopes, strict=True)
            for slopes in [term.structure.wald_slopes(L @ L.T, dT)]
        ]
        residual = np.append(np.zeros(len(found.spread.size) - 1), 1.0)
        return np.sqrt(found.spread.variances(np.concatenate([*rows, found.residual, residual[None]])))


# Profile intervals


def profile_intervals(
    estimates: Estimates, *, level: float, progress: Progress | None = None
) -> pd.DataFrame:
    """Exact profile likelihood intervals: low, high, criterion.

    Variance parameters are profiled on the criterion of the fit. The restricted likelihood has no fixed
    effects to profile, so those of a REML fit are profiled on the likelihood, about the ML refit; they are
    asymptotic, and too short when groups are few. A bound
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
    return _tabled(rows)


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
        optimum, residual = estimates.optimum, estimates.problem.residual
        self.least = optimum.state.deviance
        self.setup: Setup = set_up(estimates.problem, reml=estimates.reml)
        sigma = float(np.sqrt(optimum.state.r2 / optimum.criterion.nu))
        patterned = any(isinstance(t.structure, PatternedStructure) for t in estimates.random)
        self.pattern = PatternFrame(self.setup, optimum.state.theta, sigma) if patterned else None
        self.frame = self.pattern or Frame(self.setup, optimum.state.L, sigma, estimates.rho)
        self.beside = residual and ResidualFrame(self.setup, optimum.state.theta, sigma, residual.structure)

    def line(self, parameter: Parameter | ResidualParameter) -> ProfileCurve:
        """The profile deviance along a parameter."""
        if isinstance(parameter, ResidualParameter):
            return ProfileCurve(parameter.find, parameter, self.least)
        return ProfileCurve(
            lambda value, x: least_deviance(self.setup, parameter.at(value), x), parameter, self.least
        )

    def _search(self, parameter: Parameter | ResidualParameter, guess: float) -> IntervalSearch:
        return IntervalSearch(self.line(parameter), self.level, guess)

    def coefficients(self) -> Iterator[Row]:
        """Of each fixed effect."""
        for i, (name, error) in enumerate(zip(self.estimates.names, self.estimates.bse, strict=True)):
            parameter = (self.beside or self.frame).coefficient(i, float(self.estimates.beta[i]))
            bounds = self._search(parameter, self.half * float(error)).on_scale(PLAIN)
            yield Row(name, bounds, f"{self.criterion}, {ASYMPTOTIC}")

    def variances(self) -> Iterator[Row]:
        """Of each standard deviation and correlation, and of the residual standard deviation."""
        return map(self.variance, range(len(parameter_names(self.estimates))))

    def variance(self, place: int) -> Row:
        """Of one variance parameter, by its position in `parameter_names`."""
        names, naturals = parameter_names(self.estimates), self.estimates.naturals
        if place < len(naturals):
            bounds = self._of_effects(place)
            zero = naturals[place][1].kind == "sd" and bounds.low == 0.0
            return Row(names[place], bounds, f"{self.criterion}, {AT_ZERO}" if zero else self.criterion)
        if self.beside and place < len(names) - 1:
            return Row(names[place], self._of_structure(place - len(naturals)), self.criterion)
        guess = self.half / np.sqrt(2.0 * self.setup.criterion.nu)
        parameter = (self.beside or self.frame).residual()
        return Row(names[place], self._search(parameter, guess).on_scale(LOG), self.criterion)

    def attempt(self, place: int) -> Row:
        """The same, with the reason in place of an error."""
        try:
            return self.variance(place)
        except FitError as error:  # a structure without profiles
            name = parameter_names(self.estimates)[place]
            return Row(name, Interval(np.nan, np.nan, str(error)), self.criterion)

    def held(self, name: str) -> Parameter | ResidualParameter | None:
        """What holds a coefficient, standard deviation or correlation at its value, by its name.

        None where there is no such parameter, or where what is held is not the value itself: of residual
        structures.
        """
        coefficients, names = self.estimates.names, parameter_names(self.estimates)
        if name in coefficients:
            i = coefficients.index(name)
            return (self.beside or self.frame).coefficient(i, float(self.estimates.beta[i]))
        if name not in names:
            return None
        place, naturals = names.index(name), self.estimates.naturals
        if place == len(names) - 1:
            return (self.beside or self.frame).residual()
        if place >= len(naturals):
            return None
        return self._held(place)

    def _of_structure(self, place: int) -> Interval:
        """Of a natural parameter of the residual structure; 0 where its domain ends there.

        So it does for `rho` per unit of time where all visits are an even number of units apart: negative
        correlations between them have no such root.
        """
        assert self.beside
        parameter = self.beside.natural(place)
        search = self._search(parameter, VISITS_GUESS)
        if self.beside.ended(place) and self.beside.structure.naturals[place][0] != "range":
            return Interval(np.nan, np.nan, "it is not defined where there is no correlation.")
        low, high, trouble = search.with_ends(*self.beside.ends(place))
        values = [parameter.value(t) for t in (low, high)]
        low, high = (
            0.0 if np.isnan(v) and not np.isnan(t) else v for v, t in zip(values, (low, high), strict=True)
        )
        return Interval(low, high, trouble)

    def _of_effects(self, place: int) -> Interval:
        """Of a parameter of the random effects."""
        of, (term, natural) = self.estimates, self.estimates.naturals[place]
        parameter, structure = self._held(place), of.random[term].structure
        if natural.kind == "sd":
            guess = self.half / np.sqrt(2.0 * max(of.problem.terms[term].levels - 1, 1))
            return self._search(parameter, guess).from_zero()
        search = self._search(parameter, CORRELATION_GUESS)
        if isinstance(structure, PatternedStructure):
            return search.within(*structure.limits(self._own(place) - structure.scales))
        return search.within_one()

    def _own(self, place: int) -> int:
        """The position of a parameter among those of its term."""
        naturals = self.estimates.naturals
        return place - next(p for p, (t, _) in enumerate(naturals) if t == naturals[place][0])

    def _held(self, place: int) -> Parameter | ResidualParameter:
        """What holds a parameter of the random effects at a value.

        Raises:
            FitError: One of a matrix without a pattern, beside one that has a pattern.
        """
        of, (term, natural) = self.estimates, self.estimates.naturals[place]
        if self.pattern:
            structure, unit = of.random[term].structure, of.sigma if natural.kind == "sd" else 1.0
            if natural.kind == "range" and isinstance(structure, PatternedStructure):
                unit = structure.unit_of_range
            return self.pattern.natural(term, self._own(place), float(parameters(of)[place]), unit)
        assert isinstance(self.frame, Frame)
        if natural.kind == "cor":
            return self.frame.correlation(term, natural.row, natural.column)
        return self.frame.standard_deviation(term, natural.column)


# Intervals from a bootstrap


def bootstrap_intervals(estimates: Estimates, found: Replicates, *, level: float, kind: Kind) -> pd.DataFrame:
    """low, high, criterion from replicates; `attrs["replicates"]` counts their fates.

    Percentiles and BCa take a coefficient's replicates for its distribution, which is asymptotic; studentised
    intervals do not. Variance parameters have percentiles under "studentised" too: at a boundary they have no
    standard error to divide by.
    """
    values, criterion = tabled(estimates, found), _criterion(estimates)
    point = np.concatenate([estimates.beta, parameters(estimates)])
    without = parameters_without_units(estimates) if kind == "bca" else None
    rows, p = list[Row](), len(estimates.beta)
    for i, name in enumerate([*estimates.names, *parameter_names(estimates)]):
        own, text = values[name].to_numpy(), f"{criterion}, {ASYMPTOTIC}" if i < p else criterion
        if without is not None:
            bounds = bca(own, point[i], without[:, i], level)
        elif kind == "studentised" and i < p:
            bounds = studentised(own, found.errors[:, i], point[i], float(estimates.bse[i]), level)
            text = f"{criterion}, studentised"
        else:
            bounds = percentile(own, level)
        rows.append(Row(name, Interval(*bounds), text))
    table, failed = _tabled(rows), len(found.failures)
    table.attrs["replicates"] = {
        "n": len(values),
        "failed": failed,
        "not converged": int((~found.converged).sum()) - failed,
        "singular": int(found.singular.sum()),
    }
    return table


def _refuse_dependent_units(estimates: Estimates) -> None:
    """BCa leaves out units that are independent of each other; not every model has any."""
    residual = estimates.design.residual
    faults = [
        *(f"the levels of {term.group} are related by a known covariance" for term in estimates.random
          if term.grouping.known is not None),
        *(f"rows belong to several levels of {term.group}" for term in estimates.random
          if term.grouping.members),
        *([f"that is not made for residuals of the structure {residual.formula}"]
          if isinstance(residual, RowDesign) else []),
    ]  # fmt: skip
    if faults:
        raise FitError(
            f"kind='bca' leaves out independent units one by one, and here {faults[0]}: use "
            "kind='percentile' or 'studentised'."
        )


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
        raise FitError(
            "kind='bca' leaves out independent units one by one, and without any of them the model cannot be "
            "fitted: use kind='percentile' or 'studentised'."
        )
    beta = np.array([solution.beta for solution in found])
    factors = [np.array(each) for each in zip(*(solution.factors for solution in found), strict=True)]
    rho, sigma = np.array([one.rho for one in found]), np.array([one.sigma for one in found])
    return np.column_stack([beta, parameters_of(estimates, factors, rho, sigma)])
