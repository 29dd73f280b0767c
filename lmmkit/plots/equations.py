"""Pictures of the mixed model equations: the matrices, and the algorithms' ways on the deviance."""

# pyright: reportUnknownMemberType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.ticker import FixedLocator, MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from lmmkit.escape import mathtext
from lmmkit.plots.style import (
    BLUE,
    CYCLE,
    GREY,
    INK,
    VERMILLION,
    canvas,
    distinct,
    figure_of,
    log_heights,
    panel,
    rows_of,
    styled,
)

MARKERS = "osD^vP"
LEVELS = (0.01, 0.1, 1.0, 3.84, 10.0, 30.0, 100.0, 300.0)  # deviance above the optimum; 3.84: a 95 % region


@styled
def matrices(named: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Matrices side by side: zero is white, positive blue, negative red, each on its own scale.

    The colour grows with the cube root of an entry, so that small ones beside large ones are seen.

    Args:
        named: Title to (rows, columns) array.
    """
    axes = canvas(1, len(named), height=3.4)
    for ax, (title, matrix) in zip(axes.flat, named.items(), strict=True):
        _image(ax, np.atleast_2d(matrix))
        ax.set(title=mathtext(title), xlabel="column", ylabel="row")
        ax.grid(visible=False)
    return axes


def _image(ax: Axes, matrix: NDArray[Any]) -> None:
    """One matrix."""
    shade = np.cbrt(matrix)
    most = float(np.abs(shade).max()) or 1.0
    norm = TwoSlopeNorm(0.0, vmin=-most, vmax=most)
    ax.imshow(shade, cmap="RdBu", norm=norm, aspect="auto", interpolation="nearest")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=4))


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
    table = grid.pivot_table(index=up, columns=across, values="above")
    lines = ax.contour(
        table.columns, table.index, table.to_numpy(), levels=LEVELS, colors=GREY, linewidths=0.8
    )
    ax.clabel(lines, fontsize=7, colors=INK)
    for place, name in enumerate(distinct(paths["algorithm"])):
        steps = rows_of(paths, "algorithm", name)
        look: dict[str, Any] = {"color": CYCLE[place], "marker": MARKERS[place], "label": mathtext(name)}
        ax.plot(steps[across], steps[up], markersize=3.5, linewidth=1, **look)
    ax.set(xlim=_limits(grid[across]), ylim=_limits(grid[up]))
    ax.set(xlabel=f"{mathtext(across)} (relative to sigma)", ylabel=f"{mathtext(up)} (relative to sigma)")
    figure_of(ax).legend(loc="outside right upper", title="algorithm")
    return ax


def _limits(values: pd.Series[Any]) -> tuple[float, float]:
    return float(values.min()), float(values.max())


@styled
def climb(steps: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How far above the lowest deviance each algorithm stands, step by step.

    Args:
        steps: Columns algorithm, iteration, above (deviance over the lowest reached by any; positive).
        ax: Axes to draw on; a new figure without.
    """
    ax = panel(ax, height=3.2)
    for place, name in enumerate(distinct(steps["algorithm"])):
        mine = rows_of(steps, "algorithm", name)
        look: dict[str, Any] = {"color": CYCLE[place], "marker": MARKERS[place], "label": mathtext(name)}
        ax.plot(mine["iteration"], mine["above"], markersize=3.5, linewidth=1, **look)
    ax.axhline(1e-8, color=VERMILLION, linestyle="--", linewidth=1)
    ax.set(xlabel="Iteration", ylabel="Deviance above the lowest", xscale="symlog")
    log_heights(ax)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(FixedLocator([0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    figure_of(ax).legend(loc="outside right upper", title="algorithm")
    return ax


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
    ax.plot(points["one"], points["other"], "o", color=BLUE, markersize=4)
    ax.set(xlabel=f"{label}, by the equations", ylabel=f"{label}, by the fit")
    return ax
