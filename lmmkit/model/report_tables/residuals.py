"""Tables of what a fit leaves over: conditional residuals and where they come from.

Standardised residuals are divided by their SD; where residuals are correlated the normalised ones stand for
them, from which the correlation is taken out too.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.model.design.design import Design
from lmmkit.model.design.residual_design import RowDesign, VisitDesign
from lmmkit.model.diagnostics.serial import shifts
from lmmkit.model.fit import Fit
from lmmkit.model.report_tables.panels import evenly_spaced
from lmmkit.model.report_tables.report_table import Facts, ReportTable, outside, printed

POINTS = 4_000  # rows drawn one by one
QUANTILES = 400
SLICES = 12
DISTANCES = 15  # of the variogram
MOST_PAIRS = 200_000  # of rows, the nearest in the order of times first
SIMULATED = 199  # sets of noise, for the band
VARIOGRAM = ["distance", "pairs", "semivariance", "low", "high"]
CURVE = ["value", "rows", "fitted", "empirical"]
BOXES = 40

Frame = pd.DataFrame


def residual_points(fit: Fit, limit: int = POINTS) -> Frame:
    """Fitted value, residual and root of the absolute standardised residual of each row.

    Of more than `limit` rows, those evenly spaced in the order of the data are taken.
    """
    table = _rows(fit)
    return table.iloc[evenly_spaced(len(table), limit)].reset_index(drop=True)


def residual_trend(fit: Fit, slices: int = SLICES) -> Frame:
    """Means of residual and root along slices of the fitted values with equally many rows."""
    table = _rows(fit).sort_values("fitted", kind="stable")
    slice_of = np.arange(len(table)) * min(slices, len(table)) // len(table)
    return table.groupby(slice_of).mean().reset_index(drop=True)


def residual_quantiles(fit: Fit, limit: int = QUANTILES) -> Frame:
    """Standardised residuals in order, against the normal quantiles of their ranks."""
    ordered = np.sort(_standardised(fit))
    places = evenly_spaced(len(ordered), limit)
    return Frame({"normal": scipy.special.ndtri((places + 0.5) / len(ordered)), "residual": ordered[places]})


def residual_boxes(fit: Fit, limit: int = BOXES) -> Frame:
    """Five numbers of the residuals in each level of the factor with most levels (some, of many).

    Under a residual structure in each of its cells: visits, levels, groups.

    Returns:
        DataFrame group, level, low, lower, median, upper, high.
    """
    name, levels, codes = _boxed(fit.design)
    residuals = pd.Series(fit.resid.to_numpy()).groupby(codes)
    five = residuals.quantile(np.linspace(0, 1, 5)).unstack()  # of the levels that have rows
    five = five.iloc[evenly_spaced(len(five), limit)]
    five.columns = ["low", "lower", "median", "upper", "high"]
    five.insert(0, "level", np.asarray(levels)[five.index])
    five.insert(0, "group", name)
    return five.reset_index(drop=True)


def _boxed(design: Design) -> tuple[str, list[str], NDArray[np.intp]]:
    """By what residuals are told apart: its name, its levels, and the level of each row."""
    residual = design.residual
    if not isinstance(residual, VisitDesign):
        own = (residual.ident or residual.subjects) if residual else None
        grouping = (residual.ident if residual else None) or next(iter(design.groupings), own)
        if grouping is None:
            return "all rows", ["all rows"], np.zeros(len(design.problem.response), np.intp)
        return grouping.name, list(map(str, grouping.levels)), grouping.codes
    parts = (
        residual.formula.by,
        residual.formula.time if residual.formula.group else None,
        residual.formula.ident,
    )
    return (
        ".".join(str(part) for part in parts if part) or "visit",
        list(residual.cell_names),
        residual.arrays.cells,
    )


def _rows(fit: Fit) -> Frame:
    root = np.sqrt(np.abs(_standardised(fit)))
    return Frame({"fitted": fit.fittedvalues.to_numpy(), "residual": fit.resid.to_numpy(), "root": root})


def _standardised(fit: Fit) -> NDArray[np.float64]:
    return np.asarray(fit.residuals("normalised"), dtype=np.float64)


def followed(fit: Fit) -> str:
    """The number that the variance follows, as its axis is called; empty where it follows none."""
    shape = fit.design.residual
    growing = shape.formula.growing if shape else None
    if growing is None:
        return ""
    return "Fitted value" if growing.of is None else growing.of.text


def distances(fit: Fit) -> list[str]:
    """What the correlation fades with, time or coordinates; none where it fades with nothing."""
    shape = fit.design.residual
    if shape is None or not shape.formula.fades:
        return []
    places = shape.formula.coordinates or ((shape.formula.time,) if shape.formula.time else ())
    return [place.text for place in places]


def variance_curve(fit: Fit, slices: int = SLICES) -> Frame:
    """The variance function over the data: standard deviations along the number that they follow.

    Rows are taken in slices of equal size along the number. The empirical values are root mean squares of the
    residuals, each times the root of its prior weight; random effects leave a little less than the residual
    variance in them.

    Returns:
        DataFrame value (mean of the number in a slice), rows, fitted (at that value), empirical; empty where
        the variance follows no number.
    """
    shape, estimates = fit.design.residual, fit.estimates
    if not isinstance(shape, RowDesign) or shape.formula.growing is None:
        return Frame(columns=CURVE)
    numbers, weights = np.asarray(estimates.spread_rows, np.float64), estimates.problem.weights
    squares = np.asarray(fit.resid, np.float64) ** 2 * (1.0 if weights is None else weights)
    order = np.argsort(numbers, kind="stable")
    parts = [part for part in np.array_split(order, min(slices, len(order))) if len(part)]
    values = np.array([numbers[part].mean() for part in parts])
    return Frame(
        {
            "value": values,
            "rows": [len(part) for part in parts],
            "fitted": estimates.sigma * np.sqrt(shape.variances(estimates.rho, values)),
            "empirical": [float(np.sqrt(squares[part].mean())) for part in parts],
        }
    )


def _spread(curve: Frame) -> Facts:
    ratio = np.abs(np.log(curve["fitted"] / curve["empirical"].where(curve["empirical"] > 0.0)))
    return {
        "slices": len(curve),
        "first": float(curve["fitted"].iloc[0]),
        "last": float(curve["fitted"].iloc[-1]),
        "farthest": float(np.expm1(ratio.max())),
    }


def variogram(fit: Fit, *, level: float, seed: int) -> Frame:
    """Semivariance of the normalised residuals of a group by the distance of their rows.

    It is half the mean squared difference of two rows at a distance, over the mean square of all; under the
    model it lies around one at every distance. The band holds a share of what independent noise on the same
    rows shows at each distance. Of more than `MOST_PAIRS` pairs the neighbours in time are taken, then rows
    two apart, and so on.

    Args:
        fit: The fit.
        level: Share of such values that lie between `low` and `high`.
        seed: Seed of the noise.

    Returns:
        DataFrame distance (mean over the pairs), pairs, semivariance, low, high; empty where nothing fades.

    Reference: Diggle, Heagerty, Liang & Zeger (2002), Analysis of Longitudinal Data, section 3.4.
    """
    shape = fit.design.residual
    if not isinstance(shape, RowDesign) or not shape.formula.fades:
        return Frame(columns=VARIOGRAM)
    first, second = _pairs(shape)
    apart = _distances(shape, first, second)
    bins = _bins(apart)
    counts = np.bincount(bins)

    def semivariances(r: Floats) -> Floats:
        half = 0.5 * (r[first] - r[second]) ** 2 / np.mean(r**2)
        return np.bincount(bins, half) / counts

    rng = np.random.Generator(np.random.Philox(seed))
    noise = np.array([semivariances(rng.standard_normal(fit.nobs)) for _ in range(SIMULATED)])
    low, high = np.quantile(noise, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    return Frame(
        {
            "distance": np.bincount(bins, apart) / counts,
            "pairs": counts,
            "semivariance": semivariances(np.asarray(fit.residuals("normalised"), np.float64)),
            "low": low,
            "high": high,
        }
    )


def _pairs(shape: RowDesign) -> tuple[Ints, Ints]:
    """Pairs of rows of one group: neighbours, then rows two apart, and so on, to `MOST_PAIRS`."""
    arrays, found, count = shape.arrays, list[tuple[Ints, Ints]](), 0
    times = np.arange(len(arrays.subjects)) if arrays.times is None else arrays.times
    for pair in shifts(arrays.subjects, times):
        found.append(pair)
        count += len(pair[0])
        if count >= MOST_PAIRS:
            break
    first, second = (np.concatenate(part) for part in zip(*found, strict=True))
    return first, second


def _distances(shape: RowDesign, first: Ints, second: Ints) -> Floats:
    arrays = shape.arrays
    if arrays.positions is not None:
        return np.linalg.norm(arrays.positions[first] - arrays.positions[second], axis=1)
    assert arrays.times is not None
    return np.abs(arrays.times[second] - arrays.times[first])


def _bins(distances: Floats) -> Ints:
    """Which of at most `DISTANCES` bins each is in: each distance, or as many pairs in each."""
    values, codes = np.unique(distances, return_inverse=True)
    if len(values) <= DISTANCES:
        return codes.astype(np.intp)
    edges = np.unique(np.quantile(distances, np.linspace(0.0, 1.0, DISTANCES + 1)[1:-1]))
    _, codes = np.unique(np.searchsorted(edges, distances), return_inverse=True)
    return codes.astype(np.intp)


def _outside(table: Frame) -> Facts:
    out = int(outside(table, "semivariance").sum())
    return {"distances": len(table), "outside": out, "pairs": int(table["pairs"].sum())}


TABLES = (
    ReportTable(
        "variance_curve",
        "Standard deviations of the residuals along the number that they follow: as fitted, and root mean "
        "squares of the residuals.",
        printed("value rows fitted empirical"),
        _spread,
    ),
    ReportTable("variogram", facts=_outside),
)
