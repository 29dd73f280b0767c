"""Pictures of the data before any model: values, gaps, groups, and each group's own points."""

# pyright: reportUnknownMemberType=false
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
    CROWD,
    CYCLE,
    DASHES,
    GREY,
    INK,
    MARKERS,
    PALE,
    VERMILLION,
    canvas,
    facets,
    figure_of,
    holes,
    lines_of,
    outer_labels,
    outer_legend,
    panel,
    seaborn,
    split,
    styled,
)

PANELS_PER_ROW = 6
TICK_LETTERS = 12
POPULATION: dict[str, Any] = {"color": VERMILLION, "linestyle": "--", "linewidth": 1.1}
HOLLOW: dict[str, Any] = {"markersize": 4.5, "markerfacecolor": "none", "markeredgewidth": 1}


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
    gaps = patterns.iloc[:, 1:]
    longer = max(0, max(map(len, map(str, gaps)), default=0) - 8)  # names stand upright where they are long
    ax = panel(ax, height=0.9 + 0.3 * len(patterns) + 0.09 * longer)
    rows = [f"{rows:,} row{'s' * (rows != 1)}" for rows in patterns.iloc[:, 0]]
    holes(ax, gaps.to_numpy(float), gaps, rows)
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
def trellis(
    points: pd.DataFrame, curves: pd.DataFrame | None = None, *, x_label: str, y_label: str
) -> NDArray[Any]:
    """One small panel per group: its points and the model's lines over them.

    Args:
        points: Columns panel, x, y. Text in x is drawn as positions.
        curves: Columns panel, x, fitted (the group's own line; NaN where it has none), population (without
            random effects), low and high (the band of the group's line, or of the population's without one).
        x_label: Axis text of x, unit included.
        y_label: Axis text of y, unit included.
    """
    names = _positions(points["x"])
    panels = split(_placed(points, names), "panel")
    lines = split(_placed(curves, names), "panel") if curves is not None else {}
    axes = facets(len(panels), PANELS_PER_ROW, head=1.1, inches=1.2, sharex=True, sharey=True)
    for position, (ax, (name, part)) in enumerate(zip(axes.flat, panels.items(), strict=False)):
        _draw_points(ax, part, names)
        if name in lines:
            _draw_curves(ax, lines[name], by_level=bool(names))
        ax.set_title(mathtext(name), fontsize=8)
        ax.tick_params(labelbottom=position + axes.shape[1] >= len(panels))
    outer_labels(axes, x=x_label, y=y_label)
    _legend_of_all(axes)
    _set_margins(axes, 0.95 if _upright(names) else 0.6)
    return axes


@styled
def spaghetti(points: pd.DataFrame, *, x_label: str, y_label: str, ax: Axes | None = None) -> Axes:
    """All groups in one panel: a thin line each, the population's line above them.

    Args:
        points: Columns panel, x, and y or `fitted` (the group's line); optionally `population`.
        x_label: Axis text of x, unit included.
        y_label: Axis text of y, unit included.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=3.2)
    names = _positions(points["x"])
    points = _placed(points, names)
    look = {"color": BLUE, "alpha": 0.45, "linewidth": 0.9, "estimator": None, "units": "panel"}
    lines = points.assign(panel=points["panel"].astype(str))
    seaborn().lineplot(lines, x="x", y="fitted" if "fitted" in points else "y", ax=ax, **look)
    if "population" in points:
        line = points.drop_duplicates("x").sort_values("x", kind="stable")
        ax.plot(line["x"], line["population"], **POPULATION)
    _name_positions(ax, names)
    ax.set(xlabel=mathtext(x_label), ylabel=mathtext(y_label))
    return ax


@styled
def effect(
    means: pd.DataFrame, points: pd.DataFrame, *, x_label: str, y_label: str, ax: Axes | None = None
) -> Axes:
    """The population's mean along one column with its band, over the rows of the data.

    Args:
        means: Columns x, mean, low, high, by (whose mean it is, in words; one empty word without such). Text
            in x is drawn as positions, with a point for each mean.
        points: Columns x and y, a row of the data each.
        x_label: Axis text of x, unit included.
        y_label: Axis text of y, unit included.
        ax: Axes to draw on; a new figure without.
    """
    lines = split(means, "by")
    ax = panel(ax, height=3.6)
    names = _positions(means["x"])
    points = _placed(points, names)
    look: dict[str, Any] = {"color": GREY, "markersize": 2.6, "alpha": 0.45, "markeredgewidth": 0}
    ax.plot(points["x"], points["y"], "o", label="observed", rasterized=len(points) > CROWD, **look)
    for place, (name, part) in enumerate(lines.items()):
        part, label = _placed(part, names), mathtext(name or "mean")
        color, shift = CYCLE[place % len(CYCLE)], 0.12 * (place - (len(lines) - 1) / 2)
        if names:
            at = part["x"] + shift
            ax.vlines(at, part["low"], part["high"], color=color, linewidth=2)
            ax.plot(at, part["mean"], MARKERS[place % len(MARKERS)], color=color, markersize=6, label=label)
        else:
            ax.fill_between(part["x"], part["low"], part["high"], color=color, alpha=0.16, linewidth=0)
            dash = DASHES[place % len(DASHES)]
            ax.plot(part["x"], part["mean"], color=color, linestyle=dash, linewidth=1.8, label=label)
    _name_positions(ax, names)
    ax.set(xlabel=mathtext(x_label), ylabel=lines_of(y_label, 40))
    outer_legend(ax, "outside upper left", ncols=2 if max(map(len, lines)) > 28 else 4)
    return ax


# Small panels are drawn by matplotlib: with eighteen groups, seaborn's facets take six times as long.
def _draw_points(ax: Axes, part: pd.DataFrame, names: list[str]) -> None:
    look: dict[str, Any] = {"color": INK, "markersize": 2.4, "alpha": 0.7, "rasterized": len(part) > CROWD}
    ax.plot(part["x"], part["y"], "o", label="observed", **look)
    _name_positions(ax, names)
    if not names:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=pd.api.types.is_integer_dtype(part["x"])))


def _draw_curves(ax: Axes, part: pd.DataFrame, *, by_level: bool) -> None:
    """The model's lines over a panel; for a factor its means, with a line through the interval of each."""
    own = bool(part["fitted"].notna().any())
    color = BLUE if own else POPULATION["color"]
    if by_level:
        ax.vlines(part["x"], part["low"], part["high"], color=color, linewidth=1.2)
        ax.plot(part["x"], part["population"], "s", color=POPULATION["color"], label="population", **HOLLOW)
    else:
        ax.fill_between(part["x"], part["low"], part["high"], color=color, alpha=0.18, linewidth=0)
        ax.plot(part["x"], part["population"], label="population", **POPULATION)
    if own:
        look: dict[str, Any] = {"marker": "_", "markersize": 8, "linestyle": ""} if by_level else {}
        ax.plot(part["x"], part["fitted"], color=BLUE, label="this group", **look)


def _legend_of_all(axes: NDArray[Any]) -> None:
    """One legend for what any panel shows, above all of them."""
    found: dict[str, Any] = {}
    for ax in axes.flat:
        handles, labels = ax.get_legend_handles_labels()
        found |= {label: found.get(label, handle) for handle, label in zip(handles, labels, strict=True)}
    if len(found) > 1:
        figure_of(axes).legend(list(found.values()), list(found), loc="upper right", ncols=3)


def _positions(x: pd.Series[Any]) -> list[Any]:
    """The values of a column that is told by positions, in order; none for numbers."""
    if pd.api.types.is_numeric_dtype(x):
        return []
    return list(x.cat.categories if isinstance(x.dtype, pd.CategoricalDtype) else pd.unique(x))


def _placed(table: pd.DataFrame, names: list[Any]) -> pd.DataFrame:
    """A table with the values of x at their positions 0, 1, ...; numbers stay."""
    if not names:
        return table
    places = {str(name): place for place, name in enumerate(names)}
    return table.assign(x=table["x"].astype(str).map(places))


def _name_positions(ax: Axes, names: list[Any]) -> None:
    if names:
        texts = [mathtext(str(name)[:TICK_LETTERS]) for name in names]
        ax.set_xticks(range(len(names)), texts, rotation=90 if _upright(texts) else 0)
        ax.set_xlim(-0.6, len(names) - 0.4)


def _upright(names: list[Any]) -> bool:
    """Whether the names of positions need more room than a small panel is wide."""
    return sum(min(len(str(name)), TICK_LETTERS) for name in names) > 18


def _set_margins(axes: NDArray[Any], bottom: float) -> None:
    """Margins in inches; for so many panels an automatic layout takes as long as the drawing."""
    figure = figure_of(axes)
    figure.set_layout_engine(None)
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=0.7 / width, right=1 - 0.1 / width, bottom=bottom / height, top=1 - 0.55 / height, hspace=0.4
    )
