"""Pictures of the data before any model: values, gaps, groups, and each group's own points."""

# pyright: reportUnknownMemberType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lmmkit.escape import mathtext
from lmmkit.plots.style import (
    BLUE,
    CROWD,
    INK,
    PALE,
    VERMILLION,
    canvas,
    facets,
    figure_of,
    outer_labels,
    outer_legend,
    panel,
    seaborn,
    split,
    styled,
)

PANELS_PER_ROW = 6
TICK_LETTERS = 12


@styled
def response(
    bins: pd.DataFrame, quartiles: tuple[float, float, float], *, label: str, ax: Axes | None = None
) -> Axes:
    """Histogram of the response with its quartiles.

    Args:
        bins: Columns left, right, rows.
        quartiles: Lower quartile, median, upper quartile, in the response's unit.
        label: Axis text of the response, unit included.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=2.5)
    edges = [*bins["left"], bins["right"].iloc[-1]]
    look = {"color": BLUE, "alpha": 1, "edgecolor": "white", "linewidth": 0.8}
    seaborn().histplot(x=bins["left"], weights=bins["rows"], bins=edges, ax=ax, **look)
    low, median, high = quartiles
    ax.axvspan(low, high, color=PALE, zorder=0, label="middle half of the rows")
    ax.axvline(median, color=VERMILLION, linestyle="--", label="median")
    ax.set(xlabel=mathtext(label), ylabel="Rows")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="x", visible=False)
    outer_legend(ax, "outside upper right", ncols=2)
    return ax


@styled
def missing(patterns: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Which columns are missing together, and in how many rows.

    Args:
        patterns: One row per pattern: the number of rows, then a column per data column, 1 where missing.
        ax: Axes to draw on; a new figure without.
    """
    holes = patterns.iloc[:, 1:]
    longer = max(0, max(map(len, map(str, holes)), default=0) - 8)  # names stand upright where they are long
    ax = panel(ax, height=0.9 + 0.3 * len(patterns) + 0.09 * longer)
    seaborn().heatmap(
        holes.to_numpy(float),
        cmap=ListedColormap([PALE, BLUE]),
        vmin=0,
        vmax=1,
        cbar=False,
        annot=np.where(holes > 0, "\N{MULTIPLICATION SIGN}", ""),
        fmt="",
        linewidths=2,
        xticklabels=[mathtext(name) for name in holes],
        yticklabels=[f"{rows:,} rows" for rows in patterns.iloc[:, 0]],
        ax=ax,
    )
    ax.tick_params(axis="y", rotation=0)
    ax.set(xlabel="Column (dark: value missing)", ylabel="Pattern")
    return ax


@styled
def group_sizes(sizes: pd.DataFrame) -> NDArray[Any]:
    """How many rows each level of each grouping factor has: one panel per factor.

    Args:
        sizes: Columns group, rows, levels: so many levels of the group have so many rows.
    """
    groups = split(sizes, "group")
    axes = canvas(1, len(groups), height=2.3)
    for ax, (group, part) in zip(axes.flat, groups.items(), strict=True):
        ax.vlines(part["rows"], 0, part["levels"], color=BLUE, linewidth=2)
        if len(part) <= 30:
            ax.plot(part["rows"], part["levels"], "o", color=BLUE, markersize=5)
        ax.set(title=mathtext(group), xlabel="Rows per level", ylabel="Levels")
        ax.set_ylim(bottom=0)
        ax.margins(x=0.15)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    return axes


@styled
def trellis(points: pd.DataFrame, *, x_label: str, y_label: str) -> NDArray[Any]:
    """One small panel per group: its points and, where the table has them, the model's lines.

    Args:
        points: Columns panel, x, y, and optionally `fitted` (the group's own line) and
            `population` (the line without random effects). Text in x is drawn as positions.
        x_label: Axis text of x, unit included.
        y_label: Axis text of y, unit included.
    """
    points, names = _numeric_x(points)
    panels = split(points, "panel")
    axes = facets(len(panels), PANELS_PER_ROW, head=1.1, inches=1.1, sharex=True, sharey=True)
    for position, (ax, (name, part)) in enumerate(zip(axes.flat, panels.items(), strict=False)):
        _draw_group(ax, part, names)
        ax.set_title(mathtext(name), fontsize=8)
        ax.tick_params(labelbottom=position + axes.shape[1] >= len(panels))
    outer_labels(axes, x=x_label, y=y_label)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if len(handles) > 1:
        figure_of(axes).legend(handles, labels, loc="upper right", ncols=3)
    _set_margins(axes, 0.95 if _upright(names) else 0.6)
    return axes


@styled
def spaghetti(points: pd.DataFrame, *, x_label: str, y_label: str, ax: Axes | None = None) -> Axes:
    """All groups in one panel: a thin line each, the population's line above them.

    Args:
        points: As for `trellis`.
        x_label: Axis text of x, unit included.
        y_label: Axis text of y, unit included.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=3.2)
    points, names = _numeric_x(points)
    look = {"color": BLUE, "alpha": 0.45, "linewidth": 0.9, "estimator": None, "units": "panel"}
    lines = points.assign(panel=points["panel"].astype(str))
    seaborn().lineplot(lines, x="x", y="fitted" if "fitted" in points else "y", ax=ax, **look)
    _draw_population(ax, points)
    _name_positions(ax, names)
    ax.set(xlabel=mathtext(x_label), ylabel=mathtext(y_label))
    return ax


# Small panels are drawn by matplotlib: with eighteen groups, seaborn's facets take six times as long.
def _draw_group(ax: Axes, part: pd.DataFrame, names: list[str]) -> None:
    look: dict[str, Any] = {"color": INK, "markersize": 2.4, "alpha": 0.7, "rasterized": len(part) > CROWD}
    ax.plot(part["x"], part["y"], "o", label="observed", **look)
    _draw_population(ax, part)
    if "fitted" in part:
        mark = {"marker": "_", "markersize": 6} if names else {}
        _draw_line(ax, part, "fitted", color=BLUE, label="this group's line", **mark)
    _name_positions(ax, names)
    if not names:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=pd.api.types.is_integer_dtype(part["x"])))


def _draw_population(ax: Axes, part: pd.DataFrame) -> None:
    if "population" in part:
        look = {"color": VERMILLION, "linestyle": "--", "linewidth": 1.1}
        _draw_line(ax, part, "population", label="population", **look)


def _draw_line(ax: Axes, part: pd.DataFrame, value: str, **look: Any) -> None:
    line = part.drop_duplicates("x").sort_values("x", kind="stable")
    ax.plot(line["x"], line[value], **look)


def _numeric_x(points: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Returns the points with text in x as positions 0, 1, ..., and the names of these; none for numbers."""
    x = points["x"]
    if pd.api.types.is_numeric_dtype(x):
        return points, []
    values = x.cat.categories if isinstance(x.dtype, pd.CategoricalDtype) else pd.unique(x)
    positions = x.astype(object).map({value: position for position, value in enumerate(values)})
    return points.assign(x=positions), [str(value)[:TICK_LETTERS] for value in values]


def _name_positions(ax: Axes, names: list[str]) -> None:
    if names:
        texts = [mathtext(name) for name in names]
        ax.set_xticks(range(len(names)), texts, rotation=90 if _upright(names) else 0)
        ax.set_xlim(-0.6, len(names) - 0.4)


def _upright(names: list[str]) -> bool:
    """Whether the names of positions need more room than a small panel is wide."""
    return sum(map(len, names)) > 18


def _set_margins(axes: NDArray[Any], bottom: float) -> None:
    """Margins in inches; for so many panels an automatic layout takes as long as the drawing."""
    figure = figure_of(axes)
    figure.set_layout_engine(None)
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=0.7 / width, right=1 - 0.1 / width, bottom=bottom / height, top=1 - 0.55 / height, hspace=0.4
    )
