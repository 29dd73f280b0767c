"""Pictures of missing responses: who left when, and what the answer is under other assumptions about them."""

# pyright: reportUnknownMemberType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lmmkit.escape import mathtext
from lmmkit.plots.style import (
    BLUE,
    CYCLE,
    GREY,
    MARKERS,
    PALE,
    VERMILLION,
    canvas,
    holes,
    lines_of,
    name_rows,
    outer_legend,
    panel,
    row_inches,
    split,
    styled,
    zero_line,
)


@styled
def dropout(patterns: pd.DataFrame, visits: Sequence[str], arms: Sequence[str]) -> NDArray[np.object_]:
    """Which visits subjects have a response at, and how many subjects of each arm do so.

    Args:
        patterns: One row per pattern: a column per visit, 1 where the response is missing, and one per arm,
            the number of its subjects.
        visits: The columns of the visits, in order.
        arms: The columns of the arms.
    """
    height = 1.3 + 0.3 * len(patterns)
    axes = canvas(1, 2, height=height, width_ratios=[max(len(visits), 3), 4])
    left, right = axes.flat
    counts = patterns[list(arms)].sum(axis=1).astype(int)
    holes(left, patterns[list(visits)].to_numpy(float), visits, [f"{count:,}" for count in counts])
    left.set(xlabel="Visit (dark: response missing)", ylabel="Subjects")
    step = 0.8 / len(arms)
    for number, arm in enumerate(arms):
        heights = np.arange(len(patterns)) + 0.1 + (number + 0.5) * step
        right.barh(heights, patterns[arm], height=step, color=CYCLE[number % len(CYCLE)], label=mathtext(arm))
    right.set(ylim=(len(patterns), 0), yticks=[], xlabel="Subjects", ylabel="Pattern")
    right.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    if len(arms) > 1:
        outer_legend(right, "outside upper right", ncols=len(arms))
    return axes


@styled
def assumptions(table: pd.DataFrame, *, label: str, ax: Axes | None = None) -> Axes:
    """An estimate with its interval under each assumption about missing responses, by each method.

    Args:
        table: Columns assumption, method, estimate, low, high; the first row is drawn on top.
        label: Axis text of the estimate, unit included.
        ax: Axes to draw on; a new figure without.
    """
    rows, parts = list(dict.fromkeys(table["assumption"].astype(str))), split(table, "method")
    ax = panel(ax, height=1.5 + 2.0 * row_inches(rows, 0.3) * len(rows))
    zero_line(ax, "x")
    name_rows(ax, rows)
    for number, (method, part) in enumerate(parts.items()):
        heights = part["assumption"].astype(str).map(rows.index) + 0.22 * (number - (len(parts) - 1) / 2)
        color, marker = CYCLE[number % len(CYCLE)], MARKERS[number % len(MARKERS)]
        ax.hlines(heights, part["low"], part["high"], color=color, linewidth=1.6)
        ax.plot(part["estimate"], heights, marker, color=color, markersize=5, label=mathtext(method))
    ax.set(xlabel=mathtext(label), ylabel="Assumption")
    outer_legend(ax, "outside upper right", ncols=len(parts))
    return ax


@styled
def tipping(curve: pd.DataFrame, tips: pd.DataFrame, *, x_label: str, label: str) -> NDArray[np.object_]:
    """An estimate with its interval over the shift of imputed responses, and where the conclusion turns.

    Args:
        curve: Columns method, delta, estimate, low, high.
        tips: Columns method, below, above: the shifts at which it turns, NaN for none.
        x_label: Axis text of the shift, unit included.
        label: Axis text of the estimate, unit included.
    """
    methods = split(curve, "method")
    axes = canvas(1, len(methods), height=3.0, sharey=True)
    turned: dict[Any, Any] = tips.set_index("method").to_dict("index")
    for ax, (method, part) in zip(axes.flat, methods.items(), strict=True):
        zero_line(ax, "y")
        ax.axvline(0.0, color=GREY, linewidth=0.8, linestyle=":")
        ax.fill_between(part["delta"], part["low"], part["high"], color=PALE, linewidth=0)
        ax.plot(part["delta"], part["estimate"], "-", color=BLUE, linewidth=1.5)
        for side in ("below", "above"):
            at = float(turned[method][side])
            if np.isfinite(at):
                ax.axvline(at, color=VERMILLION, linestyle="--", linewidth=1.2)
        ax.set(title=mathtext(method), xlabel=lines_of(x_label, 44), ylabel=mathtext(label))
    return axes
