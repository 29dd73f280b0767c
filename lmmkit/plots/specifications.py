"""The picture of a sweep: one coefficient under every choice, and the choices themselves."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lmmkit.escape import mathtext
from lmmkit.plots.style import BLUE, GREY, INK, VERMILLION, canvas, styled

WIDE = 9.5  # inches: the text width of the page
#: Cells beyond which every point is a dot of the least size.
MANY = 200


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
    axes = canvas(2, 1, height=height, width=WIDE, sharex=True, height_ratios=[2.2, max(height - 2.6, 0.4)])
    _estimates(axes[0, 0], curve)
    axes[0, 0].set_ylabel(mathtext(label))
    _dashboard(axes[1, 0], choices, options)
    axes[1, 0].set(xlabel="Cells in the order of their estimates", xlim=(-0.7, len(curve) - 0.3), xticks=[])
    return axes


def _estimates(ax: Axes, curve: pd.DataFrame) -> None:
    size = 5 if len(curve) < MANY else 2
    places = np.arange(len(curve))
    significant = curve["significant"].to_numpy(dtype=bool, na_value=False)
    estimated = curve["estimate"].notna().to_numpy()
    ax.axhline(0, color=GREY, linewidth=0.8, linestyle="--")
    styles = (
        (significant, BLUE, "o", "significant"),
        (~significant & estimated, GREY, "s", "not significant"),
    )
    for mine, colour, marker, words in styles:
        ax.vlines(places[mine], curve["low"][mine], curve["high"][mine], color=colour, linewidth=1.2)
        _points(ax, places[mine], curve["estimate"][mine], marker, colour, size, words)
    _points(ax, places[~estimated], np.zeros((~estimated).sum()), "x", VERMILLION, 5, "no estimate")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    ax.grid(axis="x", visible=False)


def _points(ax: Axes, x: Any, y: Any, marker: str, colour: str, size: int, words: str) -> None:
    """Marks with their place in the legend, when there are any."""
    if len(x):
        ax.plot(x, y, marker, color=colour, markersize=size, label=words)


def _dashboard(ax: Axes, choices: pd.DataFrame, options: list[tuple[str, str]]) -> None:
    """A mark in the row of each cell's choice; a gap between settings."""
    rows = np.cumsum([1.0 + (i > 0 and options[i][0] != options[i - 1][0]) for i in range(len(options))])
    for row, (name, value) in zip(rows, options, strict=True):
        places = [place for place, chosen in enumerate(choices[name]) if chosen == value]
        ax.plot(
            places, np.full(len(places), row), "|" if len(choices) >= MANY else "o", color=INK, markersize=3
        )
    ax.set_yticks(rows, [mathtext(f"{name}: {_short(value)}") for name, value in options])
    ax.set_ylim((rows[-1] if len(rows) else 1) + 0.7, 0.3)
    ax.grid(axis="x", visible=False)


def _short(value: object, most: int = 48) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
