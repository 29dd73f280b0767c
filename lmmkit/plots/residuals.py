"""Pictures of what the model leaves over."""

# pyright: reportUnknownMemberType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lmmkit.escape import mathtext
from lmmkit.plots.style import BLUE, CROWD, GREY, INK, VERMILLION, canvas, styled

NAMED_GROUPS = 30


@styled
def residual_panels(
    points: pd.DataFrame,
    trend: pd.DataFrame,
    quantiles: pd.DataFrame,
    boxes: pd.DataFrame,
    *,
    label: str,
    group: str,
) -> NDArray[Any]:
    """Four views of the conditional residuals.

    Args:
        points: Columns fitted, residual (in the response's unit), root (square root of the
            absolute standardised residual).
        trend: Columns fitted, residual, root: their means along slices of the fitted values.
        quantiles: Columns normal, residual (standardised).
        boxes: Columns level, low, lower, median, upper, high: a box per level.
        label: Axis text of the response, unit included.
        group: Name of the grouping factor of the boxes.
    """
    axes = canvas(2, 2, height=5.0)
    _against_fitted(axes[0, 0], points, trend, "residual")
    axes[0, 0].set(title="Residual against fitted", ylabel="Residual", xlabel=mathtext(f"Fitted {label}"))
    _normal_quantiles(axes[0, 1], quantiles)
    _against_fitted(axes[1, 0], points, trend, "root")
    axes[1, 0].set(title="Spread against fitted", ylabel="Square root of |standardised|")
    axes[1, 0].set_xlabel(mathtext(f"Fitted {label}"))
    _boxes(axes[1, 1], boxes, group)
    return axes


def _against_fitted(ax: Axes, points: pd.DataFrame, trend: pd.DataFrame, value: str) -> None:
    many = len(points) > 500
    size, alpha = (1.5, 0.3) if many else (2.6, 0.6)
    dots: dict[str, Any] = {
        "markersize": size,
        "alpha": alpha,
        "markeredgewidth": 0,
        "rasterized": len(points) > CROWD,
    }
    ax.plot(points["fitted"], points[value], "o", color=BLUE, **dots)
    ax.plot(trend["fitted"], trend[value], color=VERMILLION, label="mean along slices")
    if value == "residual":
        ax.axhline(0, color=GREY, linewidth=0.8, linestyle="--")
    ax.legend(loc="upper left")


def _normal_quantiles(ax: Axes, quantiles: pd.DataFrame) -> None:
    ax.axline((0, 0), slope=1, color=GREY, linewidth=0.8, linestyle="--", label="normal")
    ax.plot(quantiles["normal"], quantiles["residual"], "o", color=BLUE, markersize=2.6, markeredgewidth=0)
    ax.set(title="Against the normal distribution", xlabel="Normal quantile", ylabel="Standardised residual")
    ax.legend(loc="upper left")


def _boxes(ax: Axes, boxes: pd.DataFrame, group: str) -> None:
    places = range(len(boxes))
    ax.axhline(0, color=GREY, linewidth=0.8, linestyle="--")
    ax.vlines(places, boxes["low"], boxes["high"], color=BLUE, linewidth=0.8)
    ax.vlines(places, boxes["lower"], boxes["upper"], color=BLUE, linewidth=3.5)
    ax.plot(places, boxes["median"], "o", color="white", markeredgecolor=INK, markersize=3.5)
    named = len(boxes) <= NAMED_GROUPS
    ax.set_xticks(places if named else [], [mathtext(level) for level in boxes["level"]] if named else [])
    ax.tick_params(axis="x", rotation=90, labelsize=6.5)
    ax.set(title="By group", xlabel=mathtext(group), ylabel="Residual")
    ax.grid(axis="x", visible=False)
