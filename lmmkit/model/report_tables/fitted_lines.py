"""The model's lines over the panels of a picture by group: predictions along one column, others held.

A line goes over a grid of the column along the axis, within what a panel has of it. The other columns of the
model are at the panel's own value where they have one there, and at a typical value where they vary within
panels, so that a line is never one through rows that differ in something else.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.errors import FitError, PartialResult
from lmmkit.model.design.design import Design
from lmmkit.model.design.learned import offset_columns
from lmmkit.model.fit import Fit
from lmmkit.model.means.reference_grid import Axis, reference_grid
from lmmkit.model.report_tables.panels import PanelChoice, evenly_spaced, panel_rows
from lmmkit.model.report_tables.report_table import Facts, ReportTable

POINTS = 25  # of a line
MOST_ROWS = 4_000  # drawn one by one
MOST_LINES = 6  # of one picture
PANEL, MOVES = "(panel)", "(moves)"

Frame = pd.DataFrame


@dataclass(frozen=True)
class FittedLines:
    """The rows of some panels and the model's lines over them.

    Attributes:
        choice: The columns of the panels.
        response: Name of the response as the formula has it: `log(y)`.
        rows: Columns x, y: every row of the data, or some of many, y as the model has it (transformed).
        points: The same of the panels that are drawn: panel, x, y.
        curves: Columns panel, x, fitted (with the panel's own random effects; NaN where it has no line of its
            own), low, high (bounds of the mean that is drawn: `fitted`, or else `population`), population.
        held: Columns that vary within panels and are held: name and value of each, with `cell`, the name of a
            factor's level.
        own: Columns of the model that have one value in each panel, which the lines there are drawn at.
    """

    choice: PanelChoice
    response: str
    rows: Frame
    points: Frame
    curves: Frame
    held: list[dict[str, Any]]
    own: list[str]

    def to_dict(self) -> dict[str, Any]:
        """What the caption tells, as plain values."""
        own = self.curves.loc[self.curves["fitted"].notna(), "panel"].nunique()
        panels = self.points["panel"].nunique()
        return {
            "response": self.response,
            "held": self.held,
            "own": self.own,
            "panels": int(panels),
            "panels without": int(panels - own),
        }


def fitted_lines(fit: Fit, data: Frame, choice: PanelChoice, *, level: float) -> FittedLines:
    """Predictions along the column of the axis for every panel, with pointwise intervals of the mean.

    A panel in which the axis moves has a line of its own, with the random effects of its own groups; one in
    which it stands still has the population's line, over the values of all panels. Along a factor there is a
    mean for every level that a panel has observed, and no line.

    Args:
        fit: The fit.
        data: The table it was fitted to: the columns shown need not stand in the model.
        choice: The columns of the panels.
        level: Coverage of the intervals.
    """
    rows = data.loc[fit.resid.index].assign(**{choice.y: fit.fittedvalues + fit.resid})
    rows = rows if choice.x else rows.assign(**{"": "all rows"})
    points = panel_rows(rows, choice)
    drawn = {str(panel): rows.loc[part.index] for panel, part in points.groupby("panel", observed=True)}
    needed = [name for name in _predictors(fit.design) if name not in (choice.x, *choice.columns)]
    own = [name for name in needed if all(part[name].nunique() == 1 for part in drawn.values())]
    typical = {name: _typical(fit.design, rows[name]) for name in needed if name not in own}
    grid = _grid(fit.design, drawn, points["x"], choice.x, typical)
    held = [_held(name, value) for name, value in typical.items()]
    curves = _predicted(fit, grid, choice, level)
    categories = points["panel"].cat.categories
    curves = curves.assign(panel=pd.Categorical(curves["panel"], categories))
    every = rows.iloc[evenly_spaced(len(rows), MOST_ROWS)]
    every = Frame({"x": every[choice.x], "y": every[choice.y]})
    return FittedLines(choice, fit.design.response, every, points, curves, held, own)


def _held(name: str, value: Any) -> dict[str, Any]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"name": name, "value": float(value)} if number else {"name": name, "cell": f"{name}: {value}"}


def _predictors(design: Design) -> list[str]:
    """The columns that a prediction needs beside those of the grouping factors."""
    names = [name for expression in design.recipe.variables for name in expression.variables]
    return list(dict.fromkeys([*names, *offset_columns(design.request)]))


def _typical(design: Design, values: pd.Series[Any]) -> Any:
    """The mean of a column of numbers, the most frequent level of a factor, the first of several such."""
    if _by_level(design, values):
        return values.value_counts(sort=False).idxmax()
    return float(values.mean())


def _by_level(design: Design, values: pd.Series[Any]) -> bool:
    """Whether a column is told by its levels: text, or numbers that the formula reads as a factor."""
    variables = design.recipe.variables.items()
    factor = any(v.kind == "factor" for e, v in variables if values.name in e.variables)
    return factor or not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)


def _grid(
    design: Design, drawn: Mapping[str, Frame], every: pd.Series[Any], x: str, typical: Mapping[str, Any]
) -> Frame:
    """Rows to predict, with the panel that each belongs to, and whether the axis moves there."""
    parts: list[Frame] = []
    for panel, part in drawn.items():
        seen = part[x].drop_duplicates().sort_values()
        moves = _by_level(design, part[x]) or len(seen) > 1
        if not _by_level(design, part[x]):
            ends = seen if moves else every
            seen = pd.Series(_evenly(ends))
        one = part.iloc[[0] * len(seen)].reset_index(drop=True)
        fixed = {name: pd.Series([value] * len(seen)) for name, value in typical.items()}
        columns = {x: seen.reset_index(drop=True), **fixed, PANEL: panel, MOVES: moves}
        parts.append(one.assign(**columns))
    return pd.concat(parts, ignore_index=True)


def _evenly(values: pd.Series[Any]) -> list[float]:
    """Values from the least to the greatest of a column."""
    return [float(value) for value in np.linspace(float(values.min()), float(values.max()), POINTS)]


def _predicted(fit: Fit, grid: Frame, choice: PanelChoice, level: float) -> Frame:
    rows, groups = grid.drop(columns=[PANEL, MOVES]), _own_groups(fit.design, grid, choice.x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialResult)  # a mean that cannot be estimated is a gap
        population = fit.predict(rows, level="population", interval="confidence", coverage=level)
        table = population
        if groups:
            table = fit.predict(rows, level="group", groups=groups, interval="confidence", coverage=level)
    own = grid[MOVES] & bool(groups)
    band = table.where(own, population)
    return Frame(
        {
            "panel": grid[PANEL],
            "x": grid[choice.x],
            "fitted": table["fit"].where(own),
            "low": band["low"],
            "high": band["high"],
            "population": population["fit"],
        }
    )


def _own_groups(design: Design, grid: Frame, x: str) -> list[str]:
    """The grouping factors of which a panel has one level, or one for each level along the axis."""
    bars = {bar.group.label: bar.group.names for bar in design.recipe.formula.random}
    along = [PANEL, x] if _by_level(design, grid[x]) else [PANEL]
    counts = grid.groupby(along, observed=True)
    settled = {name for names in bars.values() for name in names if (counts[name].nunique() == 1).all()}
    return [factor for factor in design.ngroups if settled.issuperset(bars[factor])]


@dataclass(frozen=True)
class FocusMeans:
    """The population's mean along one column, by the columns that it interacts with.

    Attributes:
        x: The column.
        response: Name of the response as the formula has it.
        table: Columns x, mean, low, high, and `by <name>` for each column that it is told by.
        by: The names of these.
        held: Covariates at one value: name and value of each.
        averaged: Factors averaged over with equal weights.
    """

    x: str
    response: str
    table: Frame
    by: list[str]
    held: list[dict[str, Any]]
    averaged: list[str]

    def to_dict(self) -> dict[str, Any]:
        """What the caption tells, as plain values."""
        return {
            "x": self.x,
            "response": self.response,
            "by": self.by,
            "held": self.held,
            "averaged": self.averaged,
        }


def focus_means(fit: Fit, x: str, *, df: str, level: float) -> FocusMeans | None:
    """Marginal means along a column: at a grid of its values, or at its levels, each with its interval.

    Told by the factors that interact with it, or else by the first covariate that does, at its mean and one
    SD to either side.

    Args:
        fit: The fit.
        x: The column along the axis.
        df: Denominator degrees of freedom.
        level: Coverage of the intervals.

    Returns:
        None where the fixed part does not have the column, or has too many combinations of levels.
    """
    try:
        axes = {axis.name: axis for axis in reference_grid(fit.design).axes}
        if x not in axes:
            return None
        by = _moderators(fit.design, axes, x)
        at = {} if axes[x].factor else {x: _evenly(fit.design.frame[x])}
        at |= {name: _spread(axes[name], fit.design.frame[name]) for name in by if not axes[name].factor}
        means = fit.marginal_means(x, by, df, at=at, level=level)
    except FitError:
        return None
    table = Frame(means).reset_index()[[x, "mean", "low", "high", *by]]
    others = [axis for name, axis in axes.items() if name not in (x, *by)]
    averaged = [each.name for each in others if each.factor or len(each.values) > 1]
    held = [_held(each.name, each.values[0]) for each in others if each.name not in averaged]
    names = ["x", "mean", "low", "high", *(f"by {name}" for name in by)]
    return FocusMeans(x, fit.design.response, table.set_axis(names, axis=1), by, held, averaged)


def _moderators(design: Design, axes: Mapping[str, Axis], x: str) -> list[str]:
    terms = design.recipe.formula.columns_of_terms()
    near = [name for name in axes if name != x and any({x, name} <= term for term in terms)]
    factors: list[str] = []
    for name in (name for name in near if axes[name].factor):
        if math.prod(len(axes[each].values) for each in [*factors, name]) <= MOST_LINES:
            factors.append(name)
    return factors or [name for name in near if not axes[name].factor][:1]


def _spread(axis: Axis, values: pd.Series[Any]) -> list[float]:
    """The two values of a covariate, or its mean and one SD to either side of it."""
    if len(axis.values) > 1:
        return list(axis.values)
    return [float(values.mean() + k * values.std()) for k in (-1, 0, 1)]


def _panels(rows: Frame) -> Facts:
    return {"panels": int(rows["panel"].nunique())}


TABLES = (ReportTable("lines", facts=_panels), ReportTable("focus_means"))
