"""The picture of a choice that goes step by step: what spoke for every effect, and what was left out."""

# pyright: reportUnknownMemberType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lmmkit.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    VERMILLION,
    lines_of,
    marks,
    name_rows,
    outer_legend,
    panel,
    row_inches,
    styled,
)

LEAST = 1e-4  # p below which a mark stands at the left edge
TICKS = (0.0001, 0.001, 0.01, 0.1, 1.0)
LOOKS = {
    "taken": (VERMILLION, "D"),
    "kept": (BLUE, "o"),
    "could go as well": (ORANGE, "s"),
    "not added": (GREY, "X"),
    "singular": (GREY, r"$\circ$"),
}
KINDS = {
    "left out": "taken",
    "added": "taken",
    "left out for now": "taken",
    "kept": "kept",
    "kept for now": "could go as well",
    "not added": "not added",
    "singular": "singular",
}
LETTERS = 44  # of a line of a comparison's name


@styled
def selection_path(path: pd.DataFrame, *, alpha: float | None = None, ax: Axes | None = None) -> Axes:
    """The comparisons of a rule that goes step by step: a row each, p of its test beside the level.

    A mark to the right of the dashed line has too little for the larger model; a diamond is where the rule
    went. Where a criterion decides, its difference stands in place of p, beside zero.

    Args:
        path: Columns step, against, what, p, higher (what the criterion of the larger model is higher by),
            outcome; rows with nothing to compare with are passed over.
        alpha: Level of the tests; None: by a criterion.
        ax: Axes to draw on; a new figure without.
    """
    column = "higher" if alpha is None else "p"
    rows = path[(path["against"] != "") & path["against"].notna() & path[column].notna()]
    names = [f"{step}  {what}" for step, what in zip(rows["step"], rows["what"], strict=True)]
    ax = panel(ax, height=1.1 + max(len(rows), 1) * row_inches(names, 0.3))
    heights = name_rows(ax, [lines_of(name, LETTERS) for name in names])
    values = rows[column].to_numpy(dtype=float)
    if alpha is not None:
        ax.set_xscale("log")
        ax.set_xlim(LEAST / 1.6, 1.6)
        ax.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        values = np.maximum(values, LEAST)
    ax.axvline(0.0 if alpha is None else alpha, color=GREY, linestyle="--", linewidth=1.0)
    marks(ax, values, heights, rows["outcome"].map(KINDS).to_numpy(), LOOKS)
    by_criterion = "Criterion of the larger model less that of the smaller"
    by_test = "p of the larger model's test (below 0.0001 at the edge)"
    ax.set(xlabel=by_criterion if alpha is None else by_test, ylabel="Step")
    outer_legend(ax, "outside upper right", ncols=len(LOOKS))
    return ax
