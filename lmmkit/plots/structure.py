"""Pictures of the model's machinery: the design's blocks, the candidates, the optimiser's path."""

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
from lmmkit.plots.style import BLUE, GREY, INK, VERMILLION, canvas, log_heights, panel, styled

INK_SCALE = ListedColormap(["white", "#bcd9ec", "#7db6da", "#3a8fc4", BLUE])


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
    ax.imshow(image, cmap=INK_SCALE, vmin=0, vmax=4, aspect="auto", interpolation="nearest")
    for edge in parts["start"].iloc[1:]:
        ax.axvline(edge - 0.5, color=VERMILLION, linewidth=0.9)
    middle = (parts["start"] + parts["stop"] - 1) / 2
    ax.set_xticks(middle, [mathtext(part) for part in parts["part"]])
    ax.set_yticks([])
    ax.set(xlabel="Columns of [X Z], by part", ylabel="Rows of the data, in file order")
    ax.grid(visible=False)
    return ax


@styled
def candidates(table: pd.DataFrame) -> NDArray[Any]:
    """Candidate models by deviance, AIC and BIC, each as its distance from the best.

    Args:
        table: One row per candidate: candidate, chosen, singular, and the distances d_deviance,
            d_aic, d_bic (NaN for a candidate that could not be fitted or compared).
    """
    axes = canvas(1, 3, height=0.9 + 0.32 * len(table), sharey=True)
    places = np.arange(len(table))
    for ax, (column, title) in zip(axes.flat, _CRITERIA, strict=True):
        ax.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
        ax.hlines(places, 0, table[column], color=GREY, linewidth=0.8)
        _marks(ax, table, column)
        ax.set(title=title, xlabel="Above the best", ylim=(len(table) - 0.4, -0.6))
        ax.margins(x=0.12)
        ax.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(places, [mathtext(name) for name in table["candidate"]])
    axes[0, 0].set_ylabel("Random effects")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    axes[0, 0].figure.legend(handles, labels, loc="outside upper right", ncols=3)
    return axes


_CRITERIA = (("d_deviance", "Deviance"), ("d_aic", "AIC"), ("d_bic", "BIC"))


def _marks(ax: Axes, table: pd.DataFrame, column: str) -> None:
    places = np.arange(len(table))
    singular, chosen = table["singular"].to_numpy(bool), table["chosen"].to_numpy(bool)
    kinds: tuple[tuple[str, Any, dict[str, Any]], ...] = (
        ("chosen", chosen, {"marker": "D", "color": VERMILLION}),
        ("not chosen", ~chosen & ~singular, {"marker": "o", "color": BLUE}),
        (
            "not chosen, singular",
            ~chosen & singular,
            {"marker": "o", "color": BLUE, "markerfacecolor": "white"},
        ),
    )
    for label, mask, look in kinds:
        if mask.any():
            ax.plot(
                table[column].to_numpy(float)[mask],
                places[mask],
                linestyle="",
                markersize=6,
                label=label,
                **look,
            )


@styled
def path(steps: pd.DataFrame) -> NDArray[Any]:
    """The optimiser's way down: deviance above its final value, and the decrement still to gain.

    Args:
        steps: Columns iteration, excess, decrement (deviance units; NaN where there is none to draw).
    """
    axes = canvas(1, 2, height=2.5, sharex=True)
    views = (
        (axes[0, 0], "excess", "Deviance above its end"),
        (axes[0, 1], "decrement", "Newton decrement (deviance)"),
    )
    for ax, column, label in views:
        ax.plot(steps["iteration"], steps[column], "o-", color=BLUE, markersize=4)
        ax.set(xlabel="Iteration", ylabel=label)
        log_heights(ax)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes[0, 1].axhline(1e-8, color=VERMILLION, linestyle="--", linewidth=1, label="stop")
    axes[0, 1].legend(loc="upper right")
    axes[0, 1].tick_params(colors=GREY, labelcolor=INK)
    return axes
