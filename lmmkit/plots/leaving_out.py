"""Pictures of a fit without single groups and rows, and of shrinkage."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from lmmkit.escape import mathtext
from lmmkit.plots.style import (
    BLUE,
    CROWD,
    GREY,
    VERMILLION,
    canvas,
    figure_of,
    lines_of,
    name_rows,
    panel,
    row_inches,
    styled,
    zero_line,
)

MOST = 25  # units that are drawn
ARROWS = 200  # of groups; beyond, lines without heads: the ends are told apart by their circles
LABEL = 44  # letters of an axis text of half a page
#: How a unit was found, with its marker; a unit that the answer turns on is a cross in vermillion.
METHODS = {"exact refit": "o", "one step": "D", "variances held": "s", "not estimable": "|"}


@styled
def influence(table: pd.DataFrame, *, label: str, whole: float = float("nan")) -> NDArray[Any]:
    """Cook's distance of each unit left out, and the estimate of the focus without it.

    Args:
        table: What `Influence.drawn` gives: columns level, cooks, estimate, method (how it was found), answer
            (whether the answer turns on it), those of the largest distance first; the first 25 are drawn, the
            first one on top.
        label: Axis text of the estimate, unit included.
        whole: The estimate with all rows, a dashed line; where there is none, only distances are drawn.
    """
    drawn = table.head(MOST)
    two = bool(np.isfinite(whole)) and bool(drawn["estimate"].notna().any())
    height = 0.9 + row_inches(drawn["level"], 0.19) * len(drawn)
    axes = canvas(1, 1 + two, height=height, sharey=True)
    left = axes[0, 0]
    heights = name_rows(left, drawn["level"])
    left.hlines(heights, 0.0, drawn["cooks"], color=GREY, linewidth=1)
    _units(left, drawn, "cooks", heights)
    left.set_xlim(left=0.0)
    left.set(xlabel="Cook's distance", ylabel="Left out")
    if two:
        right = axes[0, 1]
        right.axvline(whole, color=GREY, linewidth=1, linestyle="--")
        low, high = drawn["estimate"].min(), drawn["estimate"].max()
        if low <= 0.0 <= high:
            zero_line(right, "x")
        _units(right, drawn, "estimate", heights)
        right.grid(axis="y", visible=False)
        right.set(xlabel=lines_of(f"Without it: {label}", LABEL), ylabel="Left out")
    _legend(axes, drawn, two)
    return axes


def _units(ax: Axes, table: pd.DataFrame, column: str, heights: NDArray[Any]) -> None:
    """The points of one column, by how they were found."""
    turned = table["answer"].to_numpy(bool)
    values = table[column].to_numpy(float)
    for method, marker in METHODS.items():
        mine = (table["method"] == method).to_numpy() & ~turned
        ax.plot(values[mine], heights[mine], marker, color=BLUE, markersize=4.5)
    ax.plot(values[turned], heights[turned], "X", color=VERMILLION, markersize=7)


def _legend(axes: NDArray[Any], table: pd.DataFrame, two: bool) -> None:
    """What the markers mean, where there are several."""
    turned = table["answer"].astype(bool)
    signs = [
        Line2D([], [], color=BLUE, marker=marker, linestyle="", markersize=4.5, label=method)
        for method, marker in METHODS.items()
        if ((table["method"] == method) & ~turned).any()
    ]
    if turned.any():
        sign = Line2D([], [], color=VERMILLION, marker="X", linestyle="", label="the answer turns on it")
        signs.append(sign)
    if two:
        signs.append(Line2D([], [], color=GREY, linestyle="--", label="with all rows"))
    if len(signs) > 1:
        figure_of(axes).legend(handles=signs, loc="outside upper right", ncols=len(signs))


@styled
def shrinkage(
    table: pd.DataFrame, center: tuple[float, float], *, x_label: str, y_label: str, ax: Axes | None = None
) -> Axes:
    """Each group's own least squares estimates, and an arrow to what the model believes of it.

    Args:
        table: A row per group: x and y of its own estimates, x_model and y_model of the model's. A group
            without own estimates (NaN) has the model's alone.
        center: The fixed effects, towards which groups are drawn; a line across where that of y is NaN, since
            y is no effect.
        x_label: Axis text of x, unit included.
        y_label: Axis text of y.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=4.2)
    look: dict[str, Any] = {
        "markersize": 4.8 if len(table) <= ARROWS else 2.0,
        "rasterized": len(table) > CROWD,
    }
    ax.plot(table["x"], table["y"], "o", markerfacecolor="none", color=GREY, label="own rows alone", **look)
    ax.plot(table["x_model"], table["y_model"], "o", color=BLUE, label="the model", **look)
    ends = table[["x", "y", "x_model", "y_model"]].to_numpy(float)
    ends = ends[np.isfinite(ends).all(axis=1)]
    for x, y, x_model, y_model in map(tuple[float, ...], ends if len(ends) <= ARROWS else ()):
        arrow = {"arrowstyle": "-|>", "color": GREY, "linewidth": 0.7, "shrinkA": 2, "shrinkB": 2}
        ax.annotate("", (x_model, y_model), (x, y), arrowprops=arrow)
    if len(ends) > ARROWS:
        look = {"colors": GREY, "linewidths": 0.5, "rasterized": True}
        ax.add_collection(LineCollection(list(ends.reshape(-1, 2, 2)), **look))
    if np.isnan(center[1]):
        ax.axvline(center[0], color=VERMILLION, linestyle="--", linewidth=1.2, label="fixed effect")
    else:
        ax.plot(*center, "X", color=VERMILLION, markersize=8, label="fixed effects")
    ax.legend()
    ax.set(xlabel=mathtext(x_label), ylabel=mathtext(y_label))
    return ax
