"""Pictures of estimates: coefficients, means, random effects, components, candidate models, sweeps."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
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
    CYCLE,
    DASHES,
    GREY,
    INK,
    MARKERS,
    NAME_LETTERS,
    VERMILLION,
    by_unit,
    canvas,
    facets,
    lines_of,
    marks,
    name_rows,
    named_points,
    outer_labels,
    outer_legend,
    panel,
    row_inches,
    seaborn,
    split,
    styled,
    unit_of,
    with_unit,
    zero_line,
)

NAMED_LEVELS = 40
PANELS_PER_ROW = 3
X_LETTERS = 88  # of a label below a whole picture
WRITTEN_CELLS = 20  # of a matrix whose figures stand in its cells
DIVERGING = "PuOr"  # told apart under every common colour blindness; the numbers stand in the cells
CRITERIA = {"d_deviance": "Deviance", "d_aic": "AIC", "d_bic": "BIC"}
#: Kinds of candidate models, and of the cells of a sweep: colour and marker, in the order of the legend.
CANDIDATES = {
    "chosen": (VERMILLION, "D"),
    "not chosen": (BLUE, "o"),
    "not chosen, singular": (BLUE, r"$\circ$"),
}
CELLS = {"significant": (BLUE, "o"), "not significant": (GREY, "s"), "no estimate": (VERMILLION, "X")}
PAGE = 9.5  # inches: the text width of a sweep's page
MANY_CELLS = 200  # beyond, every cell is a dot of the least size
LETTERS = 48  # of a choice's value


@styled
def forest(coefficients: pd.DataFrame, *, label: str) -> NDArray[Any]:
    """Coefficients as points with their intervals, and the line of no effect: a panel per unit.

    Args:
        coefficients: Columns coefficient, estimate, low, high, and unit where there are several; the first
            row is drawn on top.
        label: Axis text of the estimates, to which the unit is added.
    """
    panels = by_unit(coefficients, row=row_inches(coefficients["coefficient"], 0.3), head=0.75)
    for unit, part, ax in panels:
        zero_line(ax, "x")
        columns = (part[name] for name in ("coefficient", "estimate", "low", "high"))
        named_points(ax, *columns)
        ax.set(xlabel=lines_of(with_unit(label, unit), X_LETTERS), ylabel="Coefficient")
    return np.array([ax for *_, ax in panels])


@styled
def means(table: pd.DataFrame, *, label: str) -> NDArray[Any]:
    """Marginal means with their intervals, on one axis: a panel per factor or combination of factors.

    Args:
        table: Columns cell (starting with the family and a colon), family, mean, low, high.
        label: Axis text of the means, unit included.
    """
    families = split(table, "family")
    height = 0.6 + 0.45 * len(families) + 0.28 * len(table)
    ratios = [1.6 + len(part) for part in families.values()]
    axes = canvas(len(families), 1, height=height, sharex=True, height_ratios=ratios)
    for ax, (family, part) in zip(axes.flat, families.items(), strict=True):
        levels = [str(cell).removeprefix(f"{family}: ") for cell in part["cell"]]
        named_points(ax, levels, part["mean"], part["low"], part["high"])
        ax.set(title=mathtext(family), xlabel="", ylabel="")
    outer_labels(axes, x=label, y="Level")
    return axes


@styled
def interactions(table: pd.DataFrame, *, label: str) -> NDArray[Any]:
    """Marginal means along one factor, a line for each level of the others: a panel per combination.

    Lines that are parallel show no interaction. Colour, marker and dash tell them apart.

    Args:
        table: Columns family, group (the factor along the axis), level (its levels, in order), by (the levels
            of the others, in words), mean, low, high.
        label: Axis text of the means, unit included.
    """
    families = split(table, "family")
    axes = canvas(len(families), 1, height=3.3 * len(families))
    for ax, (family, part) in zip(axes.flat, families.items(), strict=True):
        levels = list(dict.fromkeys(part["level"].astype(str)))
        lines = split(part, "by")
        for place, (by, line) in enumerate(lines.items()):
            at = line["level"].astype(str).map(levels.index) + 0.08 * (place - (len(lines) - 1) / 2)
            again = place // len(CYCLE)  # another marker where colours come again
            color, marker = CYCLE[place % len(CYCLE)], MARKERS[(place + again) % len(MARKERS)]
            ax.vlines(at, line["low"], line["high"], color=color, linewidth=1.4)
            look: dict[str, Any] = {
                "marker": marker,
                "linestyle": DASHES[place % len(DASHES)],
                "color": color,
            }
            ax.plot(at, line["mean"], markersize=5.5, label=mathtext(by), **look)
        names = [lines_of(name, max(6, X_LETTERS // len(levels))) for name in levels]
        ax.set_xticks(range(len(levels)), names, rotation=0 if len(levels) <= 8 else 90)
        along = mathtext(str(part["group"].iloc[0]))
        ax.set(title=mathtext(family), xlabel=along, ylabel=lines_of(label, 40))
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axes


@styled
def comparison_arrows(table: pd.DataFrame, *, label: str, ax: Axes | None = None) -> Axes:
    """Means with their intervals, and arrows that overlap where two means do not differ.

    Args:
        table: What `MarginalMeans.arrows()` gave: the means' column first, then low, high, left, right (NaN
            where there is no arrow); the first row is drawn on top.
        label: Axis text of the means, unit included.
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=0.9 + 0.3 * len(table))
    levels = [table.index.get_level_values(i).astype(str) for i in range(table.index.nlevels)]
    names = [" ".join(key) for key in zip(*levels, strict=True)]
    values, arrows = table.iloc[:, 0].to_numpy(), table[["left", "right"]].to_numpy(float)
    named_points(ax, names, values, table["low"], table["high"])
    for height, (middle, ends) in enumerate(zip(values, arrows, strict=True)):
        for end in ends[np.isfinite(ends)]:
            look = {"arrowstyle": "-|>", "color": VERMILLION, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.2}
            ax.annotate("", (end, height), (middle, height), arrowprops=look)
            ax.update_datalim([(end, height)])
    ax.autoscale_view(scaley=False)
    ax.set(xlabel=mathtext(label), ylabel=mathtext(", ".join(map(str, table.index.names))))
    return ax


@styled
def components(variances: pd.DataFrame, *, label: str) -> NDArray[Any]:
    """Standard deviations of the random effects and of the residual: a panel per unit, from zero.

    Args:
        variances: Columns component, sd, and unit where there are several.
        label: Axis text of the standard deviations, to which the unit is added.
    """
    panels = by_unit(variances, row=row_inches(variances["component"], 0.28), head=0.75)
    for unit, part, ax in panels:
        named_points(ax, part["component"], part["sd"], 0, part["sd"])
        ax.set(xlabel=lines_of(with_unit(label, unit), X_LETTERS), ylabel="Component")
        ax.set_xlim(left=0)
    return np.array([ax for *_, ax in panels])


@styled
def caterpillar(effects: pd.DataFrame, *, label: str) -> NDArray[Any]:
    """Predicted random effects in order of size, each with its interval: one panel per term.

    Args:
        effects: Columns term, level, estimate, low, high, and unit where terms have one each; each term's
            rows already in order.
        label: Axis text of the effects, to which a unit is added.
    """
    parts = split(effects, "term")
    most = max(len(part) for part in parts.values())
    inches = min(4.2, 0.8 + 0.14 * min(most, NAMED_LEVELS))
    axes = facets(len(parts), PANELS_PER_ROW, head=0.4, inches=inches)
    letters = X_LETTERS // axes.shape[1]
    for ax, (term, part) in zip(axes.flat, parts.items(), strict=False):
        _caterpillar_panel(ax, part)
        ax.set_title(lines_of(term, letters))
        ax.set_xlabel(lines_of(with_unit(label, unit_of(part)), letters))
    return axes


def _caterpillar_panel(ax: Axes, part: pd.DataFrame) -> None:
    named = len(part) <= NAMED_LEVELS
    heights = name_rows(ax, part["level"] if named else [])
    heights = heights if named else np.arange(len(part))
    zero_line(ax, "x")
    width = 1.6 if named else 0.4
    ax.hlines(heights, part["low"], part["high"], color=BLUE, linewidth=width, rasterized=not named)
    mark = "o" if named else ","
    ax.plot(part["estimate"], heights, mark, color=INK, markersize=3, rasterized=not named)
    ax.set(ylabel="Level" if named else f"{len(part):,} levels, in order", ylim=(-1, len(part)))
    ax.tick_params(axis="y", labelsize=6.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))


@styled
def random_pairs(
    effects: pd.DataFrame,
    units: Sequence[str] = (),
    *,
    label: str,
    ellipses: pd.DataFrame | None = None,
) -> NDArray[Any]:
    """Predicted random effects of one grouping factor: term against term, and each against a normal.

    Args:
        effects: One row per level; beside `level` the factor's terms are columns, and `normal:<term>`
            for each, the standard normal quantiles of its ranks.
        units: The unit of each term.
        label: Axis text of the effects.
        ellipses: Columns across and down (terms), x, y: the corners of a closed dashed line in the panel of
            two terms, where nearly all effects lie under the estimated covariance.
    """
    terms = [str(name) for name in effects if name != "level" and not str(name).startswith("normal:")]
    texts = [with_unit(term, unit) for term, unit in zip(terms, units or [""] * len(terms), strict=True)]
    letters = X_LETTERS // (len(terms) + 1)
    axes = canvas(len(terms), len(terms), height=2.8 if len(terms) == 1 else min(7.5, 2.5 * len(terms)))
    look = {"linewidth": 0, "alpha": 0.7, "s": 2 if len(effects) > 200 else 18}
    look["rasterized"] = len(effects) > CROWD
    for (row, down), (column, across) in product(enumerate(terms), repeat=2):
        ax, own = axes[row, column], row == column
        ax.set_visible(column <= row)
        color, x = (VERMILLION, f"normal:{across}") if own else (BLUE, across)
        seaborn().scatterplot(effects, x=x, y=down, color=color, ax=ax, **look)
        ax.set_xlabel("Normal quantile" if own else lines_of(texts[column], letters))
        ax.set_ylabel("" if column else lines_of(texts[row], letters))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=4))
    lines = ellipses.groupby(["across", "down"], sort=False) if ellipses is not None else ()
    for (across, down), corners in lines:
        place = terms.index(str(down)), terms.index(str(across))
        axes[place].plot(corners["x"], corners["y"], color=INK, linestyle="--", linewidth=1.0)
    outer_labels(axes, y=label)
    return axes


@styled
def correlations(pairs: pd.DataFrame) -> NDArray[Any]:
    """Correlation matrices as heat maps with the figures in the cells: one panel per block, below each other.

    A column has the number of the row with its name, so that long names have room.

    Args:
        pairs: Columns block, row, column, correlation (NaN where a standard deviation is zero).
    """
    blocks = split(pairs, "block")
    names = [_numbered(part["row"].unique()) for part in blocks.values()]
    inches = [0.75 + len(each) * row_inches(each, 0.32 if len(each) <= 12 else 0.25) for each in names]
    inches = inches or [0.8]
    axes = canvas(len(inches), 1, height=sum(inches), height_ratios=inches)
    if not blocks:
        axes[0, 0].set_axis_off()
        axes[0, 0].set_title("Every block has one column: there is no correlation to show")
    for ax, (block, part) in zip(axes.flat, blocks.items(), strict=False):
        _correlation_panel(ax, part)
        ax.set(xlabel="", ylabel="")
        ax.set_title(lines_of(block, X_LETTERS))
    return axes


def _correlation_panel(ax: Axes, part: pd.DataFrame) -> None:
    names = list(dict.fromkeys(part["row"]))
    matrix = part.pivot(index="row", columns="column", values="correlation").loc[names, names]
    texts = matrix.round(2).add(0.0).map("{:.2f}".format).where(matrix.notna(), "none")
    look = {"vmin": -1.6, "vmax": 1.6, "cmap": DIVERGING, "cbar": False, "fmt": "", "linewidths": 1}
    font = 8 if len(names) <= 8 else 7 if len(names) <= 12 else 5.5
    look |= {"annot": texts if len(names) <= WRITTEN_CELLS else False, "annot_kws": {"fontsize": font}}
    seaborn().heatmap(matrix.fillna(0.0), ax=ax, **look)
    middles = np.arange(len(names)) + 0.5
    ax.set_xticks(middles, [str(place) for place in range(1, len(names) + 1)], rotation=0)
    texts = [lines_of(name, NAME_LETTERS) for name in _numbered(names)]
    ax.set_yticks(middles, texts, rotation=0, fontsize=8 if len(names) <= 12 else 6.5)


def _numbered(names: Iterable[Any]) -> list[str]:
    return [f"{place}  {name}" for place, name in enumerate(names, 1)]


@styled
def candidates(table: pd.DataFrame) -> NDArray[Any]:
    """Candidate models by deviance, AIC and BIC, each as its distance from the best.

    Args:
        table: One row per candidate: candidate, chosen, singular, and the distances d_deviance,
            d_aic, d_bic (NaN for a candidate that could not be fitted or compared).
    """
    others = np.where(table["singular"].astype(bool), "not chosen, singular", "not chosen")
    kinds = np.where(table["chosen"].astype(bool), "chosen", others)
    return _distances(table, table["candidate"], kinds, "Random effects")


@styled
def structures(table: pd.DataFrame) -> NDArray[Any]:
    """Residual structures by deviance, AIC and BIC, each as its distance from the best.

    Args:
        table: One row per structure: structure, chosen, and the distances d_deviance, d_aic, d_bic (NaN for
            one that could not be fitted).
    """
    kinds = np.where(table["chosen"].astype(bool), "chosen", "not chosen")
    return _distances(table, table["structure"], kinds, "Residual structure")


def _distances(table: pd.DataFrame, names: Any, kinds: NDArray[Any], label: str) -> NDArray[Any]:
    axes = canvas(1, 3, height=1.1 + len(table) * row_inches(names, 0.34), sharey=True)
    for ax, (column, title) in zip(axes.flat, CRITERIA.items(), strict=True):
        heights = name_rows(ax, names)
        zero_line(ax, "x")
        ax.hlines(heights, 0, table[column], color=GREY, linewidth=0.8)
        marks(ax, table[column], heights, kinds, CANDIDATES)
        ax.set(title=title, xlabel="Above the best", ylabel=label if ax is axes[0, 0] else "")
        ax.margins(x=0.12)
    outer_legend(axes[0, 0], "outside upper right", ncols=3)
    return axes


@styled
def specifications(curve: pd.DataFrame, choices: pd.DataFrame, *, label: str) -> NDArray[Any]:
    """Estimates in order with their intervals, above a dashboard of the choices; failed cells at the end.

    Args:
        curve: One row per cell in order: estimate, low, high, significant, state; NaN without an estimate.
        choices: The same rows; a text column per setting that is varied.
        label: Axis text of the estimates, unit included.
    """
    options = [(str(name), str(value)) for name in choices for value in dict.fromkeys(choices[name])]
    height = 2.6 + 0.19 * (len(options) + len(choices.columns))
    axes = canvas(2, 1, height=height, width=PAGE, sharex=True, height_ratios=[2.2, max(height - 2.6, 0.4)])
    _curve(axes[0, 0], curve)
    axes[0, 0].set_ylabel(mathtext(label))
    _dashboard(axes[1, 0], choices, options)
    axes[1, 0].set(xlabel="Cells in the order of their estimates", xlim=(-0.7, len(curve) - 0.3), xticks=[])
    return axes


def _curve(ax: Axes, curve: pd.DataFrame) -> None:
    significant = curve["significant"].to_numpy(dtype=bool, na_value=False)
    kinds = np.where(significant, "significant", "not significant")
    kinds = np.where(curve["estimate"].isna(), "no estimate", kinds)
    places = np.arange(len(curve))
    zero_line(ax, "y")
    colors = [CELLS[kind][0] for kind in kinds]
    ax.vlines(places, curve["low"], curve["high"], color=colors, linewidth=1.2)
    marks(ax, places, curve["estimate"].fillna(0.0), kinds, CELLS, size=25 if len(curve) < MANY_CELLS else 4)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    ax.grid(axis="x", visible=False)


def _dashboard(ax: Axes, choices: pd.DataFrame, options: list[tuple[str, str]]) -> None:
    """A mark in the row of each cell's choice; a gap between settings."""
    settings = list(choices.columns)
    heights = {option: 1 + row + settings.index(option[0]) for row, option in enumerate(options)}
    for name in choices:
        rows = [heights[str(name), str(value)] for value in choices[name]]
        ax.plot(range(len(rows)), rows, "|" if len(rows) >= MANY_CELLS else "o", color=INK, markersize=3)
    texts = (
        f"{name}: {value if len(value) <= LETTERS else f'{value[: LETTERS - 1]}…'}" for name, value in options
    )
    ax.set_yticks(list(heights.values()), [mathtext(text) for text in texts])
    ax.set_ylim(max(heights.values(), default=1) + 0.7, 0.3)
    ax.grid(axis="x", visible=False)
