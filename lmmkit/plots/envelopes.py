"""Curves of the data among those of data sets that the model makes."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lmmkit.escape import mathtext
from lmmkit.plots.style import (
    BLUE,
    GREY,
    VERMILLION,
    facets,
    lines_of,
    outer_legend,
    split,
    styled,
    zero_line,
)

MARKED = 12  # points of a curve up to which each has a mark
LETTERS = 34  # of a label of a panel


@styled
def envelopes(curves: pd.DataFrame) -> NDArray[Any]:
    """Curves, each in a panel, with the band that holds nearly all curves of data sets that the model makes.

    Where a curve leaves its band a diamond stands at each of its points.

    Args:
        curves: Columns panel (its title), x_label, y_label, x, value, low, high.
    """
    parts = split(curves, "panel")
    axes = facets(len(parts), 3, head=0.4, inches=2.3)
    for ax, (title, part) in zip(axes.flat, parts.items(), strict=False):
        _envelope(ax, part)
        x, y = (lines_of(part[key].iloc[0], LETTERS) for key in ("x_label", "y_label"))
        ax.set(title=mathtext(title), xlabel=x, ylabel=y)
    outer_legend(axes.flat[0], "outside upper right", ncols=3)
    return axes


def _envelope(ax: Axes, part: pd.DataFrame) -> None:
    if part["low"].min() <= 0 <= part["high"].max():
        zero_line(ax, "y")
    name = "95 % of data sets of the model"
    ax.fill_between(part["x"], part["low"], part["high"], color=GREY, alpha=0.25, linewidth=0, label=name)
    mark = "o" if len(part) <= MARKED else ""
    ax.plot(part["x"], part["value"], marker=mark, color=BLUE, markersize=3.5, label="the data")
    out = part[(part["value"] < part["low"]) | (part["value"] > part["high"])]
    ax.plot(out["x"], out["value"], "D", color=VERMILLION, markersize=4, linestyle="none", label="outside")
    if (part["x"] == part["x"].round()).all():
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
