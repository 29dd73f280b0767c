"""Pictures of a posterior: densities, intervals beside the estimates, ranks, replicated data."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lmmkit.plots.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    VERMILLION,
    by_unit,
    facets,
    lines_of,
    name_rows,
    outer_labels,
    outer_legend,
    panel,
    row_inches,
    split,
    styled,
    unit_of,
    with_unit,
    zero_line,
)

PER_ROW = 3
TITLE_LETTERS = 30
OFFSET = 0.17  # of the two marks of a row from its middle


@styled
def prior_and_posterior(densities: pd.DataFrame) -> NDArray[Any]:
    """Prior, likelihood and posterior of each parameter: a panel each, densities on one scale.

    Args:
        densities: Columns parameter, x, prior (NaN where it is flat), likelihood, posterior, and unit where
            there are several.
    """
    parts = split(densities, "parameter")
    axes = facets(len(parts), PER_ROW, head=0.5, inches=1.75)
    for ax, (name, part) in zip(axes.flat, parts.items(), strict=False):
        ax.fill_between(part["x"], part["posterior"], color=BLUE, alpha=0.25, linewidth=0)
        ax.plot(part["x"], part["posterior"], color=BLUE, label="posterior")
        ax.plot(part["x"], part["likelihood"], color=VERMILLION, linestyle=":", label="likelihood")
        if part["prior"].notna().all():
            ax.plot(part["x"], part["prior"], color=INK, linestyle="--", linewidth=1.0, label="prior")
        top = float(np.nanmax(part[["likelihood", "posterior"]].to_numpy()))
        ax.set_ylim(0.0, 1.12 * top)  # a prior that rises beyond is cut off
        ax.set_yticks([])
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
        ax.set_title(lines_of(name, TITLE_LETTERS))
        ax.set_xlabel(unit_of(part))
    outer_labels(axes, y="Density")
    fullest: Axes = max(axes.flat, key=lambda ax: len(ax.lines))
    outer_legend(fullest, "outside upper center", ncols=3)
    return axes


@styled
def estimates_and_posterior(table: pd.DataFrame, *, label: str) -> NDArray[Any]:
    """Estimates with their intervals, and below each the posterior mean with its own: a panel per unit.

    Args:
        table: Columns parameter, estimate, estimate_low, estimate_high, mean, lower, upper, and unit where
            there are several; the first row is drawn on top.
        label: Axis text, to which the unit is added.
    """
    panels = by_unit(table, row=row_inches(table["parameter"], 0.42), head=0.85)
    for unit, part, ax in panels:
        heights = name_rows(ax, part["parameter"])
        rows = (
            ("estimate", "estimate_low", "estimate_high", heights - OFFSET, INK, "s", "estimate"),
            ("mean", "lower", "upper", heights + OFFSET, BLUE, "o", "posterior mean"),
        )
        for middle, low, high, at, color, marker, told in rows:
            ax.hlines(at, part[low], part[high], color=color, linewidth=2 if marker == "o" else 1.2)
            ax.plot(part[middle], at, marker, color=color, markersize=4.5, label=told)
        low, high = ax.get_xlim()
        if low < 0.0 < high or low == 0.0:
            zero_line(ax, "x")
        ax.set_xlabel(lines_of(with_unit(label, unit), 80))
    outer_legend(panels[0][2], "outside upper center", ncols=2)
    return np.array([ax for *_, ax in panels])


@styled
def ranks(table: pd.DataFrame) -> NDArray[Any]:
    """Ranks of levels by their effects, each with its interval: a panel per effect.

    Args:
        table: Columns title, level, mean, low, high; each title's rows already in order.
    """
    parts = split(table, "title")
    most = max(len(part) for part in parts.values())
    axes = facets(len(parts), PER_ROW, head=0.5, inches=min(5.5, 0.8 + 0.15 * most))
    for ax, (title, part) in zip(axes.flat, parts.items(), strict=False):
        heights = name_rows(ax, part["level"])
        ax.hlines(heights, part["low"], part["high"], color=BLUE, linewidth=1.6)
        ax.plot(part["mean"], heights, "o", color=INK, markersize=3)
        ax.set(xlabel="Rank", ylabel="Level", xlim=(0.4, len(part) + 0.6))
        ax.set_title(lines_of(title, TITLE_LETTERS))
        ax.tick_params(axis="y", labelsize=6.5)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    return axes


@styled
def predictive(bins: pd.DataFrame, *, label: str, ax: Axes | None = None) -> Axes:
    """The response as observed, over the range of data sets drawn from the posterior.

    Args:
        bins: Columns low, high (of the response), observed, median, least, most: counts of rows.
        label: Axis text of the response, unit included.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=2.6)
    edges = [*bins["low"], bins["high"].iloc[-1]]
    band: dict[str, Any] = {"fill": True, "color": ORANGE, "alpha": 0.35, "linewidth": 0}
    ax.stairs(bins["most"], edges, baseline=bins["least"], label="drawn, range", **band)
    ax.stairs(bins["median"], edges, baseline=None, color=GREY, linewidth=1.0, label="drawn, median")
    middles = (bins["low"] + bins["high"]) / 2.0
    ax.plot(middles, bins["observed"], "o-", color=BLUE, markersize=3.5, linewidth=1.0, label="observed")
    ax.set(xlabel=lines_of(label, 88), ylabel="Rows")
    ax.set_ylim(bottom=0)
    ax.legend(loc="best")
    return ax
