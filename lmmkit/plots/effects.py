"""Pictures of estimates: coefficients, the groups' own effects, variance components, correlations."""

# pyright: reportUnknownMemberType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lmmkit.escape import mathtext
from lmmkit.plots.style import (
    BLUE,
    CROWD,
    GREY,
    INK,
    VERMILLION,
    WIDTH,
    canvas,
    distinct,
    panel,
    rows_of,
    styled,
)

NAMED_LEVELS = 40
PANELS_PER_ROW = 3
DIVERGING = "PuOr"  # told apart under every common colour blindness; the numbers stand in the cells


@styled
def forest(coefficients: pd.DataFrame, *, label: str, ax: Axes | None = None) -> Axes:
    """Coefficients as points with their intervals, and the line of no effect.

    Args:
        coefficients: Columns coefficient, estimate, low, high; the first row is drawn on top.
        label: Axis text of the estimates, unit included.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=0.9 + 0.3 * len(coefficients))
    places = np.arange(len(coefficients))
    ax.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
    ax.hlines(places, coefficients["low"], coefficients["high"], color=BLUE, linewidth=2)
    ax.plot(coefficients["estimate"], places, "o", color=BLUE, markersize=5)
    ax.set_yticks(places, [mathtext(name) for name in coefficients["coefficient"]])
    ax.set(xlabel=mathtext(label), ylabel="Coefficient", ylim=(len(places) - 0.4, -0.6))
    ax.grid(axis="y", visible=False)
    return ax


@styled
def caterpillar(effects: pd.DataFrame, *, label: str) -> NDArray[Any]:
    """Predicted random effects in order of size, each with its interval: one panel per term.

    Args:
        effects: Columns term, level, estimate, low, high; each term's rows already in order.
        label: Axis text of the effects, unit included.
    """
    terms = distinct(effects["term"])
    most = int(effects.groupby("term", sort=False).size().max())
    columns = min(PANELS_PER_ROW, len(terms))
    rows = -(-len(terms) // columns)
    axes = canvas(rows, columns, height=0.4 + rows * min(4.2, 0.8 + 0.14 * min(most, NAMED_LEVELS)))
    for ax, term in zip(axes.flat, terms, strict=False):
        _caterpillar_panel(ax, rows_of(effects, "term", term))
        ax.set_title(mathtext(term))
    for ax in axes.flat[len(terms) :]:
        ax.set_visible(False)
    axes[0, 0].figure.supxlabel(mathtext(label), fontsize=9, color=INK)
    return axes


@styled
def random_pairs(effects: pd.DataFrame, *, label: str) -> NDArray[Any]:
    """Predicted random effects of one grouping factor: term against term, and each against a normal.

    Args:
        effects: One row per level; beside `level` the factor's terms are columns, and `normal:<term>`
            for each, the standard normal quantiles of its ranks.
        label: Axis text of the effects, unit included.
    """
    names = [str(name) for name in effects.columns if name != "level"]
    terms = [name for name in names if not name.startswith("normal:")]
    width = min(WIDTH, 3.2 + 1.4 * (len(terms) - 1))
    axes = canvas(len(terms), len(terms), height=max(2.4, 0.85 * width), width=width)
    for row, down in enumerate(terms):
        for column, across in enumerate(terms):
            axes[row, column].set_visible(column <= row)
            _pair_panel(axes[row, column], effects, down, across)
        axes[row, 0].set_ylabel(mathtext(down))
    axes[0, 0].figure.supylabel(mathtext(label), fontsize=9, color=INK)
    return axes


@styled
def components(variances: pd.DataFrame, *, label: str, ax: Axes | None = None) -> Axes:
    """Standard deviations of the random effects and of the residual, side by side.

    Args:
        variances: Columns component, sd.
        label: Axis text of the standard deviations, unit included.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=0.9 + 0.28 * len(variances))
    places = np.arange(len(variances))
    ax.hlines(places, 0, variances["sd"], color=BLUE, linewidth=2)
    ax.plot(variances["sd"], places, "o", color=BLUE, markersize=6)
    ax.set_yticks(places, [mathtext(name) for name in variances["component"]])
    ax.set(xlabel=mathtext(label), ylabel="Component", ylim=(len(places) - 0.4, -0.6))
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    return ax


@styled
def correlations(pairs: pd.DataFrame) -> NDArray[Any]:
    """Correlation matrices as heat maps with the figures in the cells: one panel per block.

    Args:
        pairs: Columns block, row, column, correlation (NaN where a standard deviation is zero).
    """
    blocks = distinct(pairs["block"])
    axes = canvas(1, max(1, len(blocks)), height=3.2 if blocks else 0.8)
    if not blocks:
        axes[0, 0].set_axis_off()
        axes[0, 0].set_title("Every block has one column: there is no correlation to show")
    for ax, block in zip(axes.flat, blocks, strict=False):
        _heat_panel(ax, rows_of(pairs, "block", block))
        ax.set_title(mathtext(block))
    return axes


def _caterpillar_panel(ax: Axes, part: pd.DataFrame) -> None:
    places = np.arange(len(part))
    named = len(part) <= NAMED_LEVELS
    ax.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
    ax.hlines(
        places, part["low"], part["high"], color=BLUE, linewidth=1.6 if named else 0.4, rasterized=not named
    )
    ax.plot(part["estimate"], places, "o" if named else ",", color=INK, markersize=3, rasterized=not named)
    ax.set_yticks(places if named else [], [mathtext(level) for level in part["level"]] if named else [])
    ax.set(ylabel="Level" if named else f"{len(part):,} levels, in order", ylim=(-1, len(part)))
    ax.tick_params(axis="y", labelsize=6.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.grid(axis="y", visible=False)


def _pair_panel(ax: Axes, effects: pd.DataFrame, down: str, across: str) -> None:
    own = down == across
    x = effects[f"normal:{across}"] if own else effects[across]
    size = 1.5 if len(x) > 200 else 3.5
    color = VERMILLION if own else BLUE
    ax.plot(x, effects[down], "o", color=color, markersize=size, alpha=0.7, rasterized=len(x) > CROWD)
    ax.set_xlabel("Normal quantile" if own else mathtext(across))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=4))


def _heat_panel(ax: Axes, part: pd.DataFrame) -> None:
    names = distinct(part["row"])
    matrix = np.full((len(names), len(names)), np.nan)
    for row, column, value in zip(part["row"], part["column"], part["correlation"], strict=True):
        matrix[names.index(row), names.index(column)] = value
    ax.imshow(matrix, vmin=-1.6, vmax=1.6, cmap=DIVERGING)
    for (row, column), value in np.ndenumerate(matrix if len(names) <= 12 else np.empty((0, 0))):
        text = "none" if np.isnan(value) else f"{value:.2f}"
        ink = "white" if abs(value) > 0.7 else INK
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
    ax.set_xticks(range(len(names)), [mathtext(name) for name in names], rotation=30, ha="right")
    ax.set_yticks(range(len(names)), [mathtext(name) for name in names])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
