"""Pictures of a fit's machinery: matrices, the ways of the algorithms on the deviance, residuals."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import FixedLocator, MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from lmmkit.escape import mathtext
from lmmkit.plots.style import (
    BLUE,
    CROWD,
    CYCLE,
    GREY,
    INK,
    MARKERS,
    VERMILLION,
    canvas,
    lines_of,
    log_heights,
    name_rows,
    outer_legend,
    panel,
    seaborn,
    styled,
    zero_line,
)

INK_SCALE = ListedColormap(["white", "#bcd9ec", "#7db6da", "#3a8fc4", BLUE])
LEVELS = (0.01, 0.1, 1.0, 3.84, 10.0, 30.0, 100.0, 300.0)  # deviance above the optimum; 3.84: a 95 % region
STOP = 1e-8  # deviance still to gain at which a search stops
NAMED_GROUPS = 30


@styled
def matrices(named: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Matrices side by side: zero is white, positive blue, negative red, each on its own scale.

    The colour grows with the cube root of an entry, so that small ones beside large ones are seen.

    Args:
        named: Title to (rows, columns) array.
    """
    axes = canvas(1, len(named), height=3.4)
    for ax, (title, matrix) in zip(axes.flat, named.items(), strict=True):
        shade = np.cbrt(np.atleast_2d(matrix))
        most = float(np.abs(shade).max()) or 1.0
        _image(ax, shade, cmap="RdBu", vmin=-most, vmax=most)
        ax.set(title=mathtext(title), xlabel="column", ylabel="row")
        for axis, size in zip((ax.yaxis, ax.xaxis), shade.shape, strict=True):
            ticks = MaxNLocator(integer=True, nbins=4).tick_values(0, size - 1)
            inside = [int(tick) for tick in ticks if 0 <= tick < size]
            axis.set_ticks([tick + 0.5 for tick in inside], [str(tick) for tick in inside])
    return axes


@styled
def blocks(cells: pd.DataFrame, parts: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Where [X Z] has entries: rows downwards, columns across, one stripe per term.

    Args:
        cells: Columns row, column (bins of the matrix), share (of entries that are not zero).
        parts: Columns part, start, stop: the bins across which each part's columns lie.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=3.6)
    image = np.zeros((int(cells["row"].max()) + 1, int(parts["stop"].max())))
    image[cells["row"], cells["column"]] = np.ceil(4 * cells["share"])
    _image(ax, image, cmap=INK_SCALE, vmin=0, vmax=4)
    for edge in parts["start"].iloc[1:]:
        ax.axvline(edge, color=VERMILLION, linewidth=0.9)
    ax.set_xticks((parts["start"] + parts["stop"]) / 2, [mathtext(part) for part in parts["part"]])
    whole = "[X Z], by part" if len(parts) > 1 else "X"
    ax.set(xlabel=f"Columns of {whole}", ylabel="Rows of the data, in file order")
    return ax


@styled
def relationships(drawn: Iterable[Any]) -> NDArray[Any]:
    """Known covariances of levels: each K and its eigenvalues; histograms where it is large.

    Args:
        drawn: For each factor group, matrix, diagonal, eigenvalues (None where K is not drawn whole).
    """
    parts = list(drawn)
    axes = canvas(len(parts), 2, height=3.0 * len(parts))
    for (left, right), one in zip(axes, parts, strict=True):
        if one.eigenvalues is None:
            pairs = one.matrix[np.tril_indices(len(one.matrix), -1)]
            left.hist(pairs, bins=30, color=BLUE)
            left.set(xlabel="Relationship of two levels", ylabel="Pairs looked at")
            right.hist(one.diagonal, bins=30, color=BLUE)
            right.set(xlabel="Relationship of a level with itself", ylabel="Levels")
        else:
            _image(left, one.matrix, cmap="Blues", vmin=0, vmax=float(one.diagonal.max()))
            left.set_aspect("equal")
            left.set(xlabel="Levels, in the order given", ylabel="Levels, in the order given")
            right.plot(np.arange(1, len(one.eigenvalues) + 1), one.eigenvalues, ".", color=BLUE, markersize=4)
            right.set(xlabel="Number, by size", ylabel="Eigenvalue")
        left.set_title(mathtext(one.group))
    return axes


def _image(ax: Axes, matrix: NDArray[Any], **scale: Any) -> None:
    """A matrix as pixels in a frame: entry (i, j) from (j, i) to (j + 1, i + 1)."""
    look = {"cbar": False, "xticklabels": False, "yticklabels": False, "rasterized": True}
    seaborn().heatmap(matrix, ax=ax, **look, **scale)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(True)


@styled
def path(steps: pd.DataFrame) -> NDArray[Any]:
    """The optimiser's way down: deviance above its final value, and the decrement still to gain.

    Args:
        steps: Columns iteration, excess, decrement (deviance units; NaN where there is none to draw).
    """
    axes = canvas(1, 2, height=2.5, sharex=True)
    labels = {"excess": "Deviance above its end", "decrement": "Newton decrement (deviance)"}
    for ax, (column, label) in zip(axes.flat, labels.items(), strict=True):
        ax.plot(steps["iteration"], steps[column], "o-", color=BLUE, markersize=4)
        ax.set(xlabel="Iteration", ylabel=label)
        log_heights(ax)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes[0, 1].axhline(STOP, color=VERMILLION, linestyle="--", linewidth=1, label="stop")
    outer_legend(axes[0, 1], "outside upper right")
    return axes


@styled
def surface(grid: pd.DataFrame, paths: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The deviance over two covariance parameters as contours, with each algorithm's way down.

    Args:
        grid: Two columns of coordinates, named as the parameters, and above (the deviance over the optimum).
        paths: Columns algorithm and the same two coordinates, one row a step.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=4.2)
    across, up = (str(name) for name in grid.columns[:2])
    table = grid.pivot(index=up, columns=across, values="above")
    look: dict[str, Any] = {"levels": LEVELS, "colors": GREY, "linewidths": 0.8}
    lines = ax.contour(table.columns, table.index, table.to_numpy(), **look)
    ax.clabel(lines, fontsize=7, colors=INK)
    _ways(ax, paths, across, up)
    ax.set(xlim=(table.columns.min(), table.columns.max()), ylim=(table.index.min(), table.index.max()))
    ax.set(xlabel=f"{mathtext(across)} (relative to sigma)", ylabel=f"{mathtext(up)} (relative to sigma)")
    return ax


@styled
def climb(steps: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How far above the lowest deviance each algorithm stands, step by step.

    Args:
        steps: Columns algorithm, iteration, above (deviance over the lowest reached by any; positive).
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=3.2)
    _ways(ax, steps, "iteration", "above")
    ax.axhline(STOP, color=VERMILLION, linestyle="--", linewidth=1)
    ax.set(xlabel="Iteration", ylabel="Deviance above the lowest", xscale="symlog")
    log_heights(ax)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(FixedLocator([0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    return ax


def _ways(ax: Axes, steps: pd.DataFrame, x: str, y: str) -> None:
    """A marked line per algorithm in the order of its steps, and the legend beside the panel."""
    names = [mathtext(name) for name in steps["algorithm"]]
    count = len(set(names))
    look = {"palette": list(CYCLE[:count]), "markers": list(MARKERS[:count]), "dashes": False}
    look |= {"markersize": 3.5, "linewidth": 1, "markeredgewidth": 0, "sort": False, "estimator": None}
    seaborn().lineplot(steps, x=x, y=y, hue=names, style=names, ax=ax, **look)
    outer_legend(ax, "outside right upper", title="algorithm")


@styled
def agreement(points: pd.DataFrame, *, label: str, ax: Axes | None = None) -> Axes:
    """Two routes to the same numbers against each other, on the line of equality where they agree.

    Args:
        points: Columns one and other.
        label: What the numbers are, with their unit.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=3.2, width=4.2)
    ax.axline((0.0, 0.0), slope=1.0, color=GREY, linewidth=0.8, linestyle="--")
    seaborn().scatterplot(points, x="one", y="other", color=BLUE, s=16, linewidth=0, ax=ax)
    ax.set(xlabel=f"{label}, by the equations", ylabel=f"{label}, by the fit")
    return ax


@styled
def cell_sds(table: pd.DataFrame, *, label: str, ax: Axes | None = None) -> Axes:
    """Standard deviations of the residuals in each cell, as fitted and as the residuals have them.

    Args:
        table: Columns cell, fitted, empirical.
        label: Axis text of the standard deviations, unit included.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=1.1 + 0.28 * len(table))
    heights = name_rows(ax, table["cell"])
    ax.hlines(heights, table["fitted"], table["empirical"], color=GREY, linewidth=0.8)
    ax.plot(table["fitted"], heights, "o", color=BLUE, markersize=6, label="fitted")
    ax.plot(table["empirical"], heights, "D", color=VERMILLION, markersize=4.5, label="empirical")
    ax.set(xlabel=mathtext(label), ylabel="")
    ax.set_xlim(left=0)
    outer_legend(ax, "outside upper right", ncols=2)
    return ax


@styled
def autocorrelation(table: pd.DataFrame, *, label: str, ax: Axes | None = None) -> Axes:
    """Autocorrelation of normalised residuals by distance, and the band in which nothing would lie.

    Args:
        table: Columns lag, autocorrelation, low, high.
        label: Axis text of the distance.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=2.6)
    zero_line(ax, "y")
    ax.vlines(table["lag"], 0, table["autocorrelation"], color=BLUE, linewidth=2)
    ax.plot(table["lag"], table["autocorrelation"], "o", color=BLUE, markersize=5)
    for bound in ("low", "high"):
        ax.plot(table["lag"], table[bound], color=VERMILLION, linestyle="--", linewidth=1)
    ax.set(xlabel=mathtext(label), ylabel="Autocorrelation")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.margins(x=0.08)
    return ax


@styled
def variogram(table: pd.DataFrame, *, label: str, ax: Axes | None = None) -> Axes:
    """Semivariance of normalised residuals by distance, and the band in which noise lies.

    Args:
        table: Columns distance, semivariance, low, high.
        label: Axis text of the distance, unit included.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=2.8)
    ax.fill_between(table["distance"], table["low"], table["high"], color=GREY, alpha=0.25, linewidth=0)
    for bound in ("low", "high"):
        ax.plot(table["distance"], table[bound], color=VERMILLION, linestyle="--", linewidth=1)
    ax.plot(table["distance"], table["semivariance"], "o-", color=BLUE, markersize=4.5, linewidth=1)
    ax.set(xlabel=mathtext(label), ylabel="Semivariance of normalised residuals")
    ax.set_ylim(bottom=0)
    return ax


@styled
def variance_curve(table: pd.DataFrame, *, x_label: str, label: str, ax: Axes | None = None) -> Axes:
    """Standard deviations of the residuals along the number that they follow: fitted line, empirical points.

    Args:
        table: Columns value, fitted, empirical.
        x_label: Axis text of the number, unit included.
        label: Axis text of the standard deviations, unit included.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=2.8)
    ax.plot(table["value"], table["fitted"], "-", color=BLUE, linewidth=2, label="fitted")
    ax.plot(table["value"], table["empirical"], "D", color=VERMILLION, markersize=4.5, label="empirical")
    ax.set(xlabel=mathtext(x_label), ylabel=mathtext(label))
    ax.set_ylim(bottom=0)
    outer_legend(ax, "outside upper right", ncols=2)
    return ax


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
        quantiles: Columns normal, residual (standardised), low, high (its envelope).
        boxes: Columns level, low, lower, median, upper, high: a box per level.
        label: Axis text of the response, unit included.
        group: Name of the grouping factor of the boxes.
    """
    axes = canvas(2, 2, height=5.0)
    views = {
        "residual": ("Residual against fitted", "Residual"),
        "root": ("Spread against fitted", "Square root of |standardised|"),
    }
    for ax, (value, (title, name)) in zip(axes[:, 0], views.items(), strict=True):
        _against_fitted(ax, points, trend, value)
        ax.set(title=title, xlabel=lines_of(f"Fitted {label}", 44), ylabel=name)
    zero_line(axes[0, 0], "y")
    ax = axes[0, 1]
    ax.axline((0, 0), slope=1, color=GREY, linewidth=0.8, linestyle="--")
    band = {"color": GREY, "alpha": 0.25, "linewidth": 0}
    ax.fill_between(quantiles["normal"], quantiles["low"], quantiles["high"], **band)
    seaborn().scatterplot(quantiles, x="normal", y="residual", color=BLUE, s=7, linewidth=0, ax=ax)
    ax.set(title="Against the normal distribution", xlabel="Normal quantile", ylabel="Standardised residual")
    _boxes(axes[1, 1], boxes, group)
    axes[1, 0].get_legend().remove()
    outer_legend(axes[0, 0], "outside upper right")
    return axes


def _against_fitted(ax: Axes, points: pd.DataFrame, trend: pd.DataFrame, value: str) -> None:
    size, alpha = (2.3, 0.3) if len(points) > 500 else (7, 0.6)
    dots = {"s": size, "alpha": alpha, "linewidth": 0, "rasterized": len(points) > CROWD}
    seaborn().scatterplot(points, x="fitted", y=value, color=BLUE, ax=ax, **dots)
    line = {"estimator": None, "sort": False, "label": "mean along slices"}
    seaborn().lineplot(trend, x="fitted", y=value, color=VERMILLION, ax=ax, **line)


def _boxes(ax: Axes, boxes: pd.DataFrame, group: str) -> None:
    places = range(len(boxes))
    zero_line(ax, "y")
    ax.vlines(places, boxes["low"], boxes["high"], color=BLUE, linewidth=0.8)
    ax.vlines(places, boxes["lower"], boxes["upper"], color=BLUE, linewidth=3.5)
    ax.plot(places, boxes["median"], "o", color="white", markeredgecolor=INK, markersize=3.5)
    named = len(boxes) <= NAMED_GROUPS
    ax.set_xticks(places if named else [], [mathtext(level) for level in boxes["level"]] if named else [])
    ax.tick_params(axis="x", rotation=90, labelsize=6.5)
    ax.set(title="By group", xlabel=mathtext(group), ylabel="Residual")
    ax.grid(axis="x", visible=False)
