"""Pictures of how intervals come about: the profile's signed root, and one method beside another."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lmmkit.escape import mathtext
from lmmkit.plots.style import (
    BLUE,
    CYCLE,
    GREY,
    MARKERS,
    VERMILLION,
    facets,
    figure_of,
    lines_of,
    outer_labels,
    split,
    styled,
    unit_of,
    with_unit,
)

PER_ROW = 3
LETTERS = 28  # of a panel's title


@styled
def profile_zeta(table: pd.DataFrame) -> NDArray[Any]:
    """The signed root of the profile deviance: a panel per parameter, for no two share an axis.

    The dashed line is straight through the estimate to the ends of a symmetric interval of the same length:
    where the points leave it, the interval leans.

    Args:
        table: Columns parameter, value, zeta, estimate, low, high (the interval, in each row), and unit where
            parameters have one.
    """
    parts = split(table, "parameter")
    axes = facets(len(parts), PER_ROW, head=0.5, inches=1.9)
    for ax, (name, part) in zip(axes.flat, parts.items(), strict=False):
        estimate, low, high = (float(part[column].iloc[0]) for column in ("estimate", "low", "high"))
        half, most = (high - low) / 2.0, float(part["zeta"].abs().max())
        ax.axhline(0.0, color=GREY, linewidth=0.8)
        if half > 0.0:
            ends = [estimate - half, estimate + half]
            ax.plot(ends, [-most, most], color=GREY, linestyle="--", linewidth=1)
        for end in (low, high):
            ax.axvline(end, color=VERMILLION, linestyle=":", linewidth=1.2)
        ax.plot(part["value"], part["zeta"], "o-", color=BLUE, markersize=3.5)
        ax.set(xlabel=lines_of(with_unit("Value", unit_of(part)), LETTERS), ylabel="")
        ax.set_title(lines_of(name, LETTERS))
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    outer_labels(axes, y="Signed root of the profile deviance")
    return axes


@styled
def interval_comparison(table: pd.DataFrame) -> NDArray[Any]:
    """Intervals of each parameter by several methods: a panel per parameter, for no two share an axis.

    Args:
        table: Columns parameter, method, estimate, low, high, and unit where parameters have one; the first
            method stands on top.
    """
    parts, methods = split(table, "parameter"), list(dict.fromkeys(table["method"].astype(str)))
    axes = facets(len(parts), PER_ROW, head=0.7, inches=0.85 + 0.2 * len(methods))
    for place, (ax, (name, part)) in enumerate(zip(axes.flat, parts.items(), strict=False)):
        _methods(ax, part, methods, named=place % axes.shape[1] == 0)
        ax.set(xlabel=lines_of(with_unit("Value", unit_of(part)), LETTERS), ylabel="")
        ax.set_title(lines_of(name, LETTERS))
    signs = [
        Line2D([], [], color=CYCLE[i % len(CYCLE)], marker=MARKERS[i % len(MARKERS)], label=mathtext(method))
        for i, method in enumerate(methods)
    ]
    figure_of(axes).legend(handles=signs, loc="outside upper right", ncols=len(signs))
    outer_labels(axes, y="Method")
    return axes


def _methods(ax: Axes, part: pd.DataFrame, methods: list[str], *, named: bool) -> None:
    for row in part.itertuples(index=False):
        i = methods.index(str(row.method))
        color, marker = CYCLE[i % len(CYCLE)], MARKERS[i % len(MARKERS)]
        ax.hlines([i], float(str(row.low)), float(str(row.high)), color=color, linewidth=1.8)
        ax.plot([float(str(row.estimate))], [i], marker, color=color, markersize=5)
    ax.set_yticks(np.arange(len(methods)), [mathtext(each) for each in methods] if named else [])
    ax.set_ylim(len(methods) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
