"""The look of every picture: colours, type, canvas, and the bytes of its file.

Colours are Okabe and Ito's (2008), told apart under every common colour blindness; a second sign
(marker, dash, place) always says the same as a colour does. The font is the one inside matplotlib.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
SKY, ORANGE, PURPLE = "#56B4E9", "#E69F00", "#CC79A7"
INK, GREY, PALE = "#222222", "#6b6b6b", "#e3e3e3"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

WIDTH = 7.2  # inches: the text width of the report
CROWD = 2_000  # marks beyond this many are drawn as pixels, so that files stay small

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 150,
    "svg.fonttype": "path",
    "svg.hashsalt": "lmmkit",
}

_METADATA = ("Creator", "Date", "Format", "Type")
_DOCTYPE = re.compile(rb"<!DOCTYPE[^>]*>\s*")

P = ParamSpec("P")
T = TypeVar("T")


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """A drawing function that always works under `STYLE`, whatever the user's own settings are."""

    @wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapped


def canvas(
    rows: int = 1, columns: int = 1, *, height: float = 3.0, width: float = WIDTH, **layout: Any
) -> NDArray[Any]:
    """A (rows, columns) array of empty axes on one new figure, without pyplot and its global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return np.asarray(figure.subplots(rows, columns, squeeze=False, **layout))


def distinct(column: pd.Series[Any]) -> list[str]:
    """The values of a text column, each once, in order of appearance."""
    return [str(value) for value in pd.unique(column)]


def rows_of(table: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    """The rows of a table whose text column has this value."""
    return table.loc[table[column].astype(str) == value]


def panel(ax: Axes | None, *, height: float = 3.0, width: float = WIDTH) -> Axes:
    """The axes given, or the single one of a new figure."""
    return canvas(height=height, width=width)[0, 0] if ax is None else ax


def figure_of(axes: Axes | NDArray[Any]) -> Figure:
    """The figure that holds the axes which a picture function returned."""
    first = axes if isinstance(axes, Axes) else axes.flat[0]
    figure = first.figure
    return figure if isinstance(figure, Figure) else figure.figure


def log_heights(ax: Axes) -> None:
    """A logarithmic y axis with plain numbers: setting them as mathematics takes longer than drawing."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(LogFormatter())
    ax.yaxis.set_minor_formatter(LogFormatter())


def svg_bytes(axes: Axes | NDArray[Any]) -> bytes:
    """The picture as SVG: the same bytes each time, letters as outlines, no date and no address inside."""
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure_of(axes).savefig(buffer, format="svg", metadata=dict.fromkeys(_METADATA))
    return _DOCTYPE.sub(b"", buffer.getvalue(), count=1)
