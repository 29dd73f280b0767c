"""Predictions on the rows of the fit or on new ones, with standard errors from the joint covariance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.inference.prediction_error import PredictionError
from lmmkit.errors import DataError
from lmmkit.model.design.learned import NewData
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.distributions import normal_quantile
from lmmkit.model.options import check_level, check_option
from lmmkit.model.table.columns import open_table
from lmmkit.model.threads import one_thread

Level = Literal["group", "population", "new"]
Interval = Literal["confidence", "prediction"] | None
NewLevels = Literal["error", "population"]


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
        newdata: A table, or None for the rows of the fit; grouping columns are needed at level "group" alone.
        level: "group" adds the random effects of each row's levels, "population" none, "new" predicts for
            levels not seen yet: the mean of "population" with the variance of new random effects.
        interval: "confidence" for the mean, "prediction" for an observation, None for no interval. A new
            observation has the prior weight in `newdata`, if the fit's weights are a column and it is there,
            else the weight 1.
        coverage: Coverage of the interval.
        new_levels: At level "group" a level without data is an error, or has random effects of zero with
            their full variance.

    Raises:
        DataError: `newdata` lacks a column or has a level that the fit has not seen.
        FitError: An option that is not offered.
    """
    check_option("level", level, ("group", "population", "new"))
    check_option("interval", interval, (None, "confidence", "prediction"))
    check_option("new_levels", new_levels, ("error", "population"))
    check_level("coverage", coverage)
    problem, design = estimates.problem, estimates.design
    if newdata is None:
        Z = tuple(np.column_stack([problem.columns[c] for c in term.columns]) for term in problem.terms)
        rows = NewData(estimates.X, problem.offset, Z, tuple(term.codes for term in problem.terms))
        weights, index = problem.weights, design.frame.index
    else:
        grouped = level == "group"
        new = (
            design.fixed_data(newdata) if level == "population" else design.new_data(newdata, grouped=grouped)
        )
        rows = replace(new, X=new.X[:, list(estimates.kept)])
        weights = _new_weights(design.request.weights, newdata)
        index = newdata.index if isinstance(newdata, pd.DataFrame) else pd.RangeIndex(len(new.X))
    if level == "group" and new_levels == "error":
        _refuse_unseen(estimates, rows)
    mean, variance = _mean(estimates, rows, level), _variance(estimates, rows, level)
    half = np.full(len(mean), np.nan)
    if interval is not None:
        noise = 0.0 if interval == "confidence" else estimates.sigma**2
        noise = noise if weights is None else noise / weights
        half = normal_quantile(0.5 + coverage / 2.0) * np.sqrt(variance + noise)
    columns = {"fit": mean, "se": np.sqrt(variance), "low": mean - half, "high": mean + half}
    return pd.DataFrame(columns, index=index)


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


def _refuse_unseen(estimates: Estimates, rows: NewData) -> None:
    for term, codes in zip(estimates.random, rows.codes, strict=True):
        unseen = np.flatnonzero(codes < 0)
        if len(unseen):
            raise DataError(
                f"{len(unseen):,} of the {len(codes):,} rows have a level of `{term.factor}` that the fit "
                f"has not seen, first in row {unseen[0] + 1}. Use new_levels='population' to give it random "
                "effects of zero, level='new' to predict for new levels, or leave these rows out."
            )


def _mean(estimates: Estimates, rows: NewData, level: Level) -> Floats:
    mean = rows.X @ estimates.beta
    if rows.offset is not None:
        mean = mean + rows.offset
    if level != "group":
        return mean
    for z, codes, b in zip(rows.Z, rows.codes, estimates.b, strict=True):
        mean = mean + np.where(codes >= 0, (z * b[codes]).sum(axis=1), 0.0)
    return mean


def _variance(estimates: Estimates, rows: NewData, level: Level) -> Floats:
    """Variance of the predicted mean about the true one, (m,)."""
    if level == "group":
        return _joint_variance(estimates, rows)
    fixed = estimates.covariance_of_beta.variances(rows.X)
    return fixed if level == "population" else fixed + _prior_variance(estimates, rows.Z)


def _joint_variance(estimates: Estimates, rows: NewData) -> Floats:
    """From the joint covariance of (beta, b); a level without data has the variance of its effects."""
    seen = tuple(np.where(c[:, None] >= 0, z, 0.0) for z, c in zip(rows.Z, rows.codes, strict=True))
    unseen = tuple(z - s for z, s in zip(rows.Z, seen, strict=True))
    codes = tuple(np.maximum(c, 0) for c in rows.codes)
    with one_thread():
        known = PredictionError(estimates.optimum).variance(rows.X, seen, codes)
    return estimates.sigma**2 * known + _prior_variance(estimates, unseen)


def _prior_variance(estimates: Estimates, Z: tuple[Floats, ...]) -> Floats:
    """var(z'b) of a new level of every term, (m,)."""
    parts = [((z @ L) ** 2).sum(axis=1) for z, L in zip(Z, estimates.factors, strict=True)]
    return estimates.sigma**2 * np.sum(parts, axis=0)
