"""Tables of what a fit leaves over: conditional residuals and where they come from.

Standardised residuals are divided by their SD; where residuals are correlated the normalised ones stand for
them, from which the correlation is taken out too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from lmmkit.model.design.design import Design
from lmmkit.model.design.visit_design import VisitDesign
from lmmkit.model.fit import Fit
from lmmkit.model.report_tables.panels import evenly_spaced

POINTS = 4_000  # rows drawn one by one
QUANTILES = 400
SLICES = 12
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
    drawn = evenly_spaced(len(levels), limit)
    residuals = pd.Series(fit.resid.to_numpy()).groupby(codes)
    five = residuals.quantile(np.linspace(0, 1, 5)).unstack().iloc[drawn]
    five.columns = ["low", "lower", "median", "upper", "high"]
    five.insert(0, "level", np.asarray(levels)[drawn])
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


def outlying(fit: Fit) -> dict[str, Any]:
    """How many standardised residuals lie beyond 2 and 3, and how many a normal distribution would have."""
    z = np.abs(_standardised(fit))
    return {
        "kind": "standardised" if fit.design.residual is None else "normalised",
        "rows": len(z),
        "beyond_2": int((z > 2).sum()),
        "beyond_3": int((z > 3).sum()),
        "expected_beyond_2": len(z) * 0.0455002638963584,
        "largest": float(z.max()),
    }


def _rows(fit: Fit) -> Frame:
    root = np.sqrt(np.abs(_standardised(fit)))
    return Frame({"fitted": fit.fittedvalues.to_numpy(), "residual": fit.resid.to_numpy(), "root": root})


def _standardised(fit: Fit) -> NDArray[np.float64]:
    return np.asarray(fit.residuals("normalised"), dtype=np.float64)
