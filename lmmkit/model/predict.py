"""Predictions on the rows of the fit or on new ones, with standard errors from the joint covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from lmmkit.engine.joint import MOST, Joint
from lmmkit.engine.problem import Floats, Ints
from lmmkit.errors import DataError, FitError
from lmmkit.model.estimate import Estimates
from lmmkit.model.options import check_level, check_option

Level = Literal["group", "population", "new"]
Interval = Literal["confidence", "prediction"] | None
NewLevels = Literal["error", "population"]


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows to predict.

    Attributes:
        X: (m, p) columns of the coefficients.
        offset: (m,) known part of the mean, or None.
        Z: For each random-effects term its (m, k) columns.
        codes: For each term the (m,) levels, -1 for one without data.
        weights: (m,) prior weights, or None.
        index: Labels of the rows.
    """

    X: Floats
    offset: Floats | None
    Z: tuple[Floats, ...]
    codes: tuple[Ints, ...]
    weights: Floats | None
    index: pd.Index[Any]


def predict(
    estimates: Estimates,
    newdata: Any,
    *,
    level: Level,
    interval: Interval,
    coverage: float,
    new_levels: NewLevels,
) -> pd.DataFrame:
    """Predicted means with their standard errors and intervals: columns fit, se, low, high.

    Args:
        estimates: The fit.
        newdata: A table, or None for the rows of the fit.
        level: "group" adds the random effects of each row's levels, "population" none, "new" predicts for
            levels not seen yet: the mean of "population" with the variance of new random effects.
        interval: "confidence" for the mean, "prediction" for an observation, None for no interval.
        coverage: Coverage of the interval.
        new_levels: At level "group" a level without data is an error, or has random effects of zero with
            their full variance.

    Raises:
        DataError: `newdata` lacks a column or has a level that the fit has not seen.
        FitError: An option that is not offered, or an interval that would need too large an inverse.
    """
    check_option("level", level, ("group", "population", "new"))
    check_option("interval", interval, (None, "confidence", "prediction"))
    check_option("new_levels", new_levels, ("error", "population"))
    check_level("coverage", coverage)
    rows = _rows_of_fit(estimates) if newdata is None else _new_rows(estimates, newdata)
    if level == "group" and new_levels == "error":
        _refuse_unseen(estimates, rows)
    mean = _mean(estimates, rows, level)
    variance = _variance(estimates, rows, level, interval)
    low, high = _bounds(estimates, rows, mean, variance, interval, coverage)
    return pd.DataFrame({"fit": mean, "se": np.sqrt(variance), "low": low, "high": high}, index=rows.index)


def _rows_of_fit(estimates: Estimates) -> Rows:
    problem = estimates.problem
    fixed = [problem.columns[problem.fixed[i]] for i in estimates.kept]
    return Rows(
        np.column_stack(fixed) if fixed else np.empty((estimates.nobs, 0)),
        problem.offset,
        tuple(np.column_stack([problem.columns[c] for c in term.columns]) for term in problem.terms),
        tuple(term.codes for term in problem.terms),
        problem.weights,
        estimates.design.frame.index,
    )


def _new_rows(estimates: Estimates, newdata: Any) -> Rows:
    new = estimates.design.new_data(newdata)
    index = newdata.index if isinstance(newdata, pd.DataFrame) else pd.RangeIndex(len(new.X))
    return Rows(new.X[:, list(estimates.kept)], new.offset, new.Z, new.codes, None, index)


def _refuse_unseen(estimates: Estimates, rows: Rows) -> None:
    for term, codes in zip(estimates.random, rows.codes, strict=True):
        unseen = np.flatnonzero(codes < 0)
        if len(unseen):
            raise DataError(
                f"{len(unseen):,} of the {len(codes):,} rows have a level of `{term.factor}` that the fit "
                f"has not seen, first in row {unseen[0] + 1}. Use new_levels='population' to give it random "
                "effects of zero, level='new' to predict for new levels, or leave these rows out."
            )


def _mean(estimates: Estimates, rows: Rows, level: Level) -> Floats:
    mean = rows.X @ estimates.beta
    if rows.offset is not None:
        mean = mean + rows.offset
    if level != "group":
        return mean
    for z, codes, b in zip(rows.Z, rows.codes, estimates.b, strict=True):
        mean = mean + np.where(codes >= 0, (z * b[codes]).sum(axis=1), 0.0)
    return mean


def _variance(estimates: Estimates, rows: Rows, level: Level, interval: Interval) -> Floats:
    """Variance of the predicted mean about the true one, (m,)."""
    joint = Joint(
        estimates.problem, estimates.kept, estimates.factors, estimates.sigma, estimates.unscaled_vcov
    )
    if level == "population":
        return joint.fixed_variance(rows.X)
    if level == "new":
        return joint.fixed_variance(rows.X) + joint.prior_variance(rows.Z)
    if joint.available:
        return joint.error_variance(rows.X, rows.Z, rows.codes)
    if interval is None:
        return np.full(len(rows.X), np.nan)
    raise FitError(
        f"interval={interval!r} at level='group' is not offered for several grouping factors with more than "
        f"{MOST:,} effects in all; use level='population' or 'new', or interval=None."
    )


def _bounds(
    estimates: Estimates, rows: Rows, mean: Floats, variance: Floats, interval: Interval, coverage: float
) -> tuple[Floats, Floats]:
    """Limits by the normal distribution."""
    if interval is None:
        nothing = np.full(len(mean), np.nan)
        return nothing, nothing
    noise = 0.0 if interval == "confidence" else estimates.sigma**2
    noise = noise if rows.weights is None else noise / rows.weights
    half = float(ndtri(0.5 + coverage / 2.0)) * np.sqrt(variance + noise)
    return mean - half, mean + half
