"""Pictures of marginal means."""

# pyright: reportUnknownMemberType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lmmkit.escape import mathtext
from lmmkit.plots.style import BLUE, INK, canvas, distinct, rows_of, styled


@styled
def means(table: pd.DataFrame, *, label: str) -> NDArray[Any]:
    """Marginal means with their intervals, on one axis: a panel per factor or combination of factors.

    Args:
        table: Columns cell (starting with the family and a colon), family, mean, low, high.
        label: Axis text of the means, unit included.
    """
    families = distinct(table["family"])
    sizes = [len(rows_of(table, "family", family)) for family in families]
    height = 0.6 + sum(0.45 + 0.28 * size for size in sizes)
    ratios = [1.6 + size for size in sizes]
    axes = canvas(len(families), 1, height=height, sharex=True, gridspec_kw={"height_ratios": ratios})
    for ax, family in zip(axes.flat, families, strict=True):
        _panel(ax, rows_of(table, "family", family), family)
    axes[0, 0].figure.supxlabel(mathtext(label), fontsize=9, color=INK)
    axes[0, 0].figure.supylabel("Level", fontsize=9, color=INK)
    return axes


def _panel(ax: Axes, part: pd.DataFrame, family: str) -> None:
    places = np.arange(len(part))
    ax.hlines(places, part["low"], part["high"], color=BLUE, linewidth=2)
    ax.plot(part["mean"], places, "o", color=BLUE, markersize=5)
    ax.set_yticks(places, [mathtext(str(cell).removeprefix(f"{family}: ")) for cell in part["cell"]])
    ax.set_ylim(len(places) - 0.4, -0.6)
    ax.set_title(mathtext(family))
    ax.grid(axis="y", visible=False)
