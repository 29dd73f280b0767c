"""Pictures of a design: how grouping factors lie to each other and to what the fixed terms hold."""

# pyright: reportUnknownMemberType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle

from lmmkit.plots.style import GREY, lines_of, panel, split, styled

GAP = 0.12  # of a tile's width, between tiles
LETTERS = 14  # of a line of the name above a tile
FAINT = 0.4  # power of a share: few pairs of many are to be seen too


@styled
def incidence(tiles: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Where levels of grouping factors meet: a row of tiles for each factor, a tile for all that it may meet.

    A tile that is filled shows two factors that are crossed, a staircase one that is nested in the other, one
    mark a line a term that is constant within the levels.

    Args:
        tiles: Columns group, levels, against, values, row, rows, column, columns, share: the share of the
            pairs in a bin of levels (downwards) and values (across) that occur in the data.
        ax: Axes to draw on; a new figure without.
    """
    groups = split(tiles, "group")
    most = max((part["against"].nunique() for part in groups.values()), default=1)
    ax = panel(ax, height=0.5 + 1.75 * max(len(groups), 1))
    heights = [(1 + 3 * GAP) * (place + 0.5) for place in range(len(groups))]
    for top, part in zip(heights, groups.values(), strict=True):
        for left, tile in enumerate(split(part, "against").values()):
            _draw_tile(ax, tile, (1 + GAP) * left, top - 0.5)
    names = [
        f"{lines_of(group, LETTERS)}\n{part['levels'].iloc[0]:,} levels" for group, part in groups.items()
    ]
    ax.set_yticks(heights, names)
    ax.set_xticks([])
    ax.set_xlim(-GAP / 2, max(most, 3) * (1 + GAP))
    ax.set_ylim(len(groups) * (1 + 3 * GAP) - GAP, -3 * GAP)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.set(ylabel="Levels, downwards")
    return ax


def _draw_tile(ax: Axes, tile: pd.DataFrame, left: float, top: float) -> None:
    """The pairs of one factor and one other that occur, in a frame of one by one."""
    image = np.full((int(tile["rows"].iloc[0]), int(tile["columns"].iloc[0])), np.nan)
    image[tile["row"], tile["column"]] = tile["share"]
    down, across = (np.linspace(0, 1, size + 1) for size in image.shape)
    look: dict[str, Any] = {"cmap": "Blues", "norm": PowerNorm(FAINT, -0.15, 1), "rasterized": True}
    ax.pcolormesh(left + across, top + down, np.ma.masked_invalid(image), **look)
    ax.add_patch(Rectangle((left, top), 1, 1, fill=False, edgecolor=GREY, linewidth=0.8))
    name, values = str(tile["against"].iloc[0]), int(tile["values"].iloc[0])
    ax.text(
        left + 0.5,
        top - 0.03,
        f"{lines_of(name, LETTERS)} ({values:,})",
        ha="center",
        va="bottom",
        fontsize=8,
    )
