"""Predictions on the rows of the fit or on new ones, with standard errors from the joint covariance."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.inference.prediction_error import PredictionError
from lmmkit.engine.inference.prediction_spread import MOST_PRODUCTS, PredictionSpread
from lmmkit.engine.linalg.two_part_covariance import Sandwich
from lmmkit.errors import DataError, FitError, PartialResult
from lmmkit.model.design.learned import NewData, Parts, parts_of
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.degrees_of_freedom import automatic, denominators, has_spread
from lmmkit.model.inference.distributions import t_quantile
from lmmkit.model.inference.linear_functions import estimable
from lmmkit.model.options import check_level, check_option
from lmmkit.model.table.columns import open_table
from lmmkit.model.threads import one_thread

Level = Literal["group", "population", "new"]
Interval = Literal["confidence", "prediction"] | None
NewLevels = Literal["error", "population"]
CHUNK = 1_000  # rows of several memberships whose errors are computed at once
# Said of such intervals (docs/calibration.md).
NEAR_ZERO = (
    "; a variance is near zero (within two standard errors), where intervals of means cover more than asked"
)
UNKNOWN_VARIANCE = (
    "have a visit, group or level that the residual structure of the fit has not seen, or a number of which "
    "it takes no power: the variance of an observation there is unknown, and their intervals are NaN."
)


def predict(
    estimates: Estimates,
    newdata: Any,
    *,
    level: Level,
    interval: Interval,
    coverage: float,
    new_levels: NewLevels,
    se: bool = True,
    groups: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Predicted means with their standard errors and intervals: columns fit, se, low, high.

    `attrs["method"]` says how the interval was made, `attrs["trouble"]` why rows have none, `attrs["note"]`
    that a mean does not borrow from the residuals of other rows, where these are correlated.

    Args:
        estimates: The fit.
        newdata: A table, or None for the rows of the fit (under missing="exclude" all rows of its table, NaN
            where one was left out); grouping columns are needed at level "group" alone.
        level: "group" adds the random effects of each row's levels, "population" none, "new" predicts for
            levels not seen yet: the mean of "population" with the variance of new random effects. All are one
            where the model has no random effects.
        interval: "confidence" for the mean, "prediction" for an observation, None for no interval. An
            observation of the population is one of new levels. It has the prior weight in `newdata`, if the
            fit's weights are a column and it is there, else the weight 1. Under a residual structure it has
            the variance of its visit, group and level, which the fit must have seen; that its subject's other
            residuals are known is not used.
        coverage: Coverage of the interval.
        new_levels: At level "group" a level without data is an error, or has random effects of zero with
            their full variance.
        se: Whether standard errors are wanted; they are NaN otherwise.
        groups: At level "group" the grouping factors whose random effects count, by default all. The others
            are left out of the mean, and are new to an observation.

    Raises:
        DataError: `newdata` lacks a column or has a level that the fit has not seen.
        FitError: An option that is not offered.
    """
    check_option("level", level, ("group", "population", "new"))
    check_option("interval", interval, (None, "confidence", "prediction"))
    check_option("new_levels", new_levels, ("error", "population"))
    check_level("coverage", coverage)
    if interval is not None and not se:
        raise FitError(f"interval={interval!r} is made of standard errors: leave se=False out.")
    chosen = _chosen(estimates, level, groups)
    if not estimates.random and level != "new":
        level = "population"
    if level == "population" and interval == "prediction":
        level = "new"
    rows = _rows(estimates, newdata, level, chosen, interval)
    if level == "group" and new_levels == "error":
        _refuse_unseen(estimates, rows, chosen)
    columns = dict.fromkeys(("fit", "se", "low", "high"), np.full(len(rows.X), np.nan))
    mean = _mean(estimates, rows, chosen)
    columns["fit"] = np.where(rows.possible, mean, np.nan)
    combining = (
        f"have a mean that the data cannot estimate: they combine {', '.join(estimates.dropped_columns)}, "
        "left out of the fit as functions of other columns, in another way than its rows do. They are NaN."
    )
    trouble, method = _of_rows(rows.possible, combining), ""
    if se:
        noise = rows.noise if interval == "prediction" else None
        error = _errors(estimates, rows, level, chosen, noise, interval is not None)
        columns["se"] = np.where(rows.possible, np.sqrt(error.variance), np.nan)
        if interval is not None:
            half = t_quantile(0.5 + coverage / 2.0, error.df) * np.sqrt(error.whole)
            half[error.whole == 0.0] = 0.0  # a mean that is known, as at x = 0 without an intercept
            columns["low"], columns["high"] = columns["fit"] - half, columns["fit"] + half
            method = error.method
            trouble += _of_rows(rows.known, UNKNOWN_VARIANCE)
            if np.isnan(half[rows.possible & rows.known]).any():
                trouble.append("Some intervals depend on variances that the data do not tell apart.")
    for what in trouble:
        warnings.warn(what, PartialResult, stacklevel=3)
    table = pd.DataFrame(columns, index=rows.index)
    if newdata is None:
        whole, used = estimates.design.whole_rows
        table = table.set_axis(used).reindex(range(len(whole))).set_axis(whole)
    table.attrs.update(method=method, trouble=" ".join(trouble), note=_borrowing(estimates))
    return table


def _borrowing(estimates: Estimates) -> str:
    """What is said of means where residuals are correlated."""
    residual = estimates.design.residual
    if residual is None or residual.formula.group is None:
        return ""
    return (
        "The mean does not borrow from the residuals of other rows of the same subject, though they are "
        "correlated; an observation has the variance that its own columns give it."
    )


@dataclass(frozen=True, eq=False)
class Rows(NewData):
    """Rows to predict on the kept columns of X.

    Attributes:
        possible: (m,) whether the data can estimate their means.
        noise: (m,) variance of an observation about its mean, relative to sigma^2; NaN where it is unknown.
        spread: (m,) what that variance depends on in the residual structure: a cell, or the value of a
            variance function; None where residuals are independent, or no observation is predicted.
        index: Their labels.
    """

    possible: NDArray[np.bool_]
    noise: Floats
    spread: Floats | Ints | None
    index: pd.Index[Any]

    @property
    def known(self) -> NDArray[np.bool_]:
        """(m,) whether the variance of an observation is known."""
        return np.isfinite(self.noise)


@dataclass(frozen=True, eq=False)
class RowErrors:
    """Of m rows.

    Attributes:
        variance: (m,) of the mean, theta being known.
        whole: (m,) what the interval is made of: with the noise of an observation, and what not knowing theta
            adds at level "group".
        df: (m,) degrees of freedom of `whole`.
        method: How they were found.
    """

    variance: Floats
    whole: Floats
    df: Floats
    method: str


def _chosen(estimates: Estimates, level: Level, groups: str | Sequence[str] | None) -> list[bool]:
    """Of each random-effects term whether its effects count."""
    if groups is None:
        return [level == "group"] * len(estimates.random)
    if level != "group":
        raise FitError(f"groups: at level={level!r} no random effects count; leave it out, or use 'group'.")
    if not estimates.random:
        raise FitError("groups: this model has no random effects whose groups could count; leave it out.")
    wanted = [groups] if isinstance(groups, str) else list(groups)
    for name in wanted:
        check_option("groups", name, list(dict.fromkeys(term.factor for term in estimates.random)))
    return [term.factor in wanted for term in estimates.random]


def _rows(estimates: Estimates, newdata: Any, level: Level, chosen: list[bool], interval: Interval) -> Rows:
    """The rows with all that their predictions need."""
    problem, design = estimates.problem, estimates.design
    if newdata is None:
        Z = tuple(map(problem.term_columns, problem.terms))
        weights, possible = problem.weights, np.ones(estimates.nobs, bool)
        held = tuple(term.grouping.held for term in estimates.random)
        new = NewData(estimates.X, problem.offset, Z, held)
        own = estimates.spread_rows if design.residual else None
        noise = _noise(estimates, weights, own, estimates.nobs)
        return Rows(**vars(new), possible=possible, noise=noise, spread=own, index=design.frame.index)
    counted = [term.factor for term, counts in zip(estimates.random, chosen, strict=True) if counts]
    fixed = level == "population"
    new = design.fixed_data(newdata) if fixed else design.new_data(newdata, groups=counted)
    X, possible = estimable(new.X, estimates)
    weights = _new_weights(design.request.weights, newdata)
    index = newdata.index if isinstance(newdata, pd.DataFrame) else pd.RangeIndex(len(X))
    asked = design.residual if interval == "prediction" else None
    new = NewData(X, new.offset, new.Z, new.held)
    spread = None
    if asked:
        evaluator = design.recipe.opened(newdata, asked.variance_columns())
        spread = asked.new_rows(evaluator, _mean(estimates, new, chosen))
    noise = _noise(estimates, weights, spread, len(X))
    return Rows(**vars(new), possible=possible, noise=noise, spread=spread, index=index)


def _noise(estimates: Estimates, weights: Floats | None, spread: Floats | Ints | None, rows: int) -> Floats:
    noise, residual = np.ones(rows) if weights is None else 1.0 / weights, estimates.design.residual
    return noise if spread is None or residual is None else noise * residual.variances(estimates.rho, spread)


def _of_rows(fine: NDArray[np.bool_], told: str) -> list[str]:
    """What is said of the rows that are not fine."""
    bad = np.flatnonzero(~fine)
    return [f"{len(bad):,} of {len(fine):,} rows, first row {bad[0] + 1}, {told}"] if len(bad) else []


def _new_weights(weights: Any, newdata: Any) -> Floats | None:
    """The column of prior weights, where the fit has one and the new rows have it too."""
    if not isinstance(weights, str) or weights not in newdata.columns:
        return None
    found = open_table(newdata, [weights]).numbers(weights)
    bad = np.flatnonzero(~(found > 0.0))
    if len(bad):
        raise DataError(
            f"weights: {len(bad):,} of the new rows have a weight in `{weights}` that is not positive, first "
            f"in row {bad[0] + 1}; give them one, or leave the column out."
        )
    return found


def _refuse_unseen(estimates: Estimates, rows: NewData, chosen: list[bool]) -> None:
    for t, (term, counts) in enumerate(zip(estimates.random, chosen, strict=True)):
        unseen = np.flatnonzero(rows.unseen(t) & counts)
        if len(unseen):
            raise DataError(
                f"{len(unseen):,} of the {len(rows.X):,} rows have a level of `{term.factor}` that the fit "
                f"has not seen, first in row {unseen[0] + 1}. Use new_levels='population' to give it random "
                "effects of zero, level='new' to predict for new levels, or leave these rows out."
            )


def _mean(estimates: Estimates, rows: NewData, chosen: list[bool]) -> Floats:
    mean = rows.X @ estimates.beta
    if rows.offset is not None:
        mean = mean + rows.offset
    if not any(chosen):
        return mean
    for z, held, b, counts in zip(rows.Z, rows.held, estimates.b, chosen, strict=True):
        for codes, weights in held if counts else ():
            mean = mean + np.where(codes >= 0, weights * np.einsum("mk,mk->m", z, b[codes]), 0.0)
    return mean


def _errors(
    estimates: Estimates,
    rows: Rows,
    level: Level,
    chosen: list[bool],
    noise: Floats | None,
    wanted: bool,
) -> RowErrors:
    """Prediction errors of rows; degrees of freedom where they are `wanted`."""
    if level == "population" or (noise is None and not estimates.problem.terms):
        by = denominators(estimates, "auto") if wanted or automatic(estimates) != "satterthwaite" else None
        variance = (by.vcov if by else estimates.covariance_of_beta).variances(rows.X)
        df = by.single(rows.X) if by else np.full(len(variance), np.nan)
        return RowErrors(variance, variance, df, by.method if by else "")
    if level == "new":
        prior = estimates.sigma**2 * _prior(estimates, rows.new_Z)
        variance = _fixed_covariance(estimates).variances(rows.X) + prior
        whole = variance if noise is None else variance + estimates.sigma**2 * noise
        df, method = _of_new(estimates, rows, noise) if wanted else (np.full(len(variance), np.nan), "")
        return RowErrors(variance, whole, df, method)
    return _of_known(estimates, rows, chosen, noise, wanted)


def _fixed_covariance(estimates: Estimates) -> Sandwich:
    """Of the fixed effects, adjusted for small samples where that is the default of tables too."""
    if automatic(estimates) == "kenward-roger":
        return denominators(estimates, "auto").vcov
    return estimates.covariance_of_beta


def _of_new(estimates: Estimates, rows: Rows, noise: Floats | None) -> tuple[Floats, str]:
    """Satterthwaite's degrees of freedom of the variance of a prediction for new levels, at least 1.

    Of small fits from the expected information on the entries of the covariance matrices, which exists at a
    null one too; else from the exact one on theta.
    """
    relative = estimates.covariance_of_beta.variances(rows.X) / estimates.sigma**2
    relative = relative + _prior(estimates, rows.new_Z) + (0.0 if noise is None else noise)
    method = "satterthwaite"
    with one_thread():
        if has_spread(estimates) and estimates.problem.residual is None:
            spread, of = estimates.expected.spread, PredictionSpread(estimates.expected)
            gradient = of.of_fixed(rows.X) + of.of_new(rows.new_Z)
            gradient[:, -1] = relative
            method += NEAR_ZERO if noise is None and of.near_zero else ""
        else:
            spread, gradient = estimates.information.spread, _gradient(estimates, rows, relative)
        with np.errstate(divide="ignore"):
            df = 2.0 * relative**2 / spread.variances(gradient)
    return np.maximum(df, 1.0), method


def _gradient(estimates: Estimates, rows: Rows, relative: Floats) -> Floats:
    """(m, r + 1) of the relative variance in the free entries of theta and sigma."""
    found, s2 = estimates.information, estimates.sigma**2
    x = rows.X @ found.vcov.basis
    inner = np.einsum("mp,ipq,mq->mi", x, found.gradient / s2, x, optimize=True)
    for z, slopes in zip(rows.new_Z, estimates.curvature.slopes if rows.Z else (), strict=True):
        inner[:, :-1] += np.einsum("ma,iab,mb->mi", z, slopes, z, optimize=True)
    residual = estimates.design.residual
    if residual is not None and rows.spread is not None:
        scaled = rows.noise / residual.variances(estimates.rho, rows.spread)  # of its prior weight
        inner[:, len(estimates.theta) : -1] += scaled[:, None] * residual.variance_slopes(
            estimates.rho, rows.spread
        )
    optimum = estimates.optimum
    inner[:, -1] = 2.0 * relative / float(np.sqrt(optimum.state.r2 / optimum.criterion.nu))
    return inner


def _of_known(
    estimates: Estimates, rows: Rows, chosen: list[bool], noise: Floats | None, wanted: bool
) -> RowErrors:
    """From the joint covariance of (beta, b); a level without data has the variance of its effects.

    The interval of a small fit is made of v + 2 g, of an observation with its noise: v alone is too small
    when theta is estimated.
    """
    counted = tuple(z if counts else np.zeros_like(z) for z, counts in zip(rows.Z, chosen, strict=True))
    seen = parts_of(counted, rows.held)
    # A factor that was left out is new to an observation and no part of a mean.
    unseen = tuple(
        z * rows.new_share(t, whole=not counts)[:, None] if counts or noise is not None else np.zeros_like(z)
        for t, (z, counts) in enumerate(zip(rows.Z, chosen, strict=True))
    )
    prior = _prior(estimates, unseen)
    with one_thread():
        v = error_variances(estimates, rows.X, seen) + prior
        whole = v if noise is None else v + noise
        s2, df, method = estimates.sigma**2, np.full(len(v), np.inf), "theta as known"
        if estimates.problem.residual is not None:
            method = "theta and the residual structure as known"
        elif wanted and has_spread(estimates):
            of = PredictionSpread(estimates.expected)
            if of.products(len(v)) <= MOST_PRODUCTS:
                found = (
                    of.of_known(rows.X, seen.Z, seen.codes)
                    if len(seen.row) == len(rows.X)
                    else of.of_functions(rows.X, seen.Z, seen.codes, seen.row)
                )
                found.gradient[:] += of.of_new(unseen)
                whole, df = of.widened(whole, found)
                method = "satterthwaite, with the uncertainty of theta"
                if noise is None and of.near_zero:
                    method += NEAR_ZERO
    return RowErrors(s2 * v, s2 * whole, df, method)


def error_variances(estimates: Estimates, X: Floats, parts: Parts) -> Floats:
    """(m,) var of x'(beta-hat - beta) + z'(b-hat - b), relative to sigma^2."""
    error, m = PredictionError(estimates.optimum), len(X)
    if len(parts.row) == m:
        return error.variance(X, parts.Z, parts.codes)
    found = [np.zeros(0)]
    for start in range(0, m, CHUNK):  # each is dense over all random effects of the rest
        at = np.flatnonzero((parts.row >= start) & (parts.row < start + CHUNK))
        Z, codes = tuple(z[at] for z in parts.Z), tuple(c[at] for c in parts.codes)
        found.append(error.of_functions(X[start : start + CHUNK], Z, codes, parts.row[at] - start))
    return np.concatenate(found)


def _prior(estimates: Estimates, Z: tuple[Floats, ...]) -> Floats:
    """var(z'b) of a new level of every term, relative to sigma^2, (m,)."""
    parts = [((z @ L) ** 2).sum(axis=1) for z, L in zip(Z, estimates.factors, strict=True)]
    return np.sum(parts, axis=0)
