"""The look of every picture: colours, type, canvas, shared parts, and the bytes of its file.

Colours are Okabe and Ito's (2008), told apart under every common colour blindness; a second sign
(marker, dash, place) always says the same as a colour does. The font is the one inside matplotlib.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (matplotlib's own type hints leave its **kwargs unknown)

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd
from matplotlib import rc_context, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray

from lmmkit.escape import html_figure, image_address, mathtext, terminal

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
SKY, ORANGE, PURPLE = "#56B4E9", "#E69F00", "#CC79A7"
INK, GREY, PALE = "#222222", "#6b6b6b", "#e3e3e3"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = "oDs^vP"
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))

WIDTH = 7.2  # inches: the text width of the report
LETTERS_PER_INCH = 13  # of a label
NAME_LETTERS = 40  # of a line of a name beside its row
CROSS = "\N{MULTIPLICATION SIGN}"
CROWD = 2_000  # marks beyond this many are drawn as pixels, so that files stay small

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # where it would be found to stand: nothing is drawn above a panel
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
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "figure.dpi": 150,
    "savefig.facecolor": "none",
    "savefig.dpi": 150,
    "svg.fonttype": "path",
    "svg.hashsalt": "lmmkit",
}

_METADATA = ("Creator", "Date", "Format", "Type")
_DOCTYPE = re.compile(rb"<!DOCTYPE[^>]*>\s*")

P = ParamSpec("P")
T = TypeVar("T")


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """A drawing function that always works under our look, whatever the user's own settings are."""

    @wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with _look():
            return draw(*args, **kwargs)

    return wrapped


def _look() -> AbstractContextManager[None]:
    """Within it pictures start from matplotlib's own defaults; the user's settings are there again after."""
    defaults: dict[Any, Any] = {name: value for name, value in rcParamsDefault.items() if name != "backend"}
    return rc_context({**defaults, **STYLE})


def seaborn() -> Any:
    """The package seaborn, loaded by the first figure that it draws: it takes longer to load than lmmkit."""
    import seaborn  # pyright: ignore[reportMissingTypeStubs]

    return seaborn


def canvas(
    rows: int = 1, columns: int = 1, *, height: float = 3.0, width: float = WIDTH, **layout: Any
) -> NDArray[Any]:
    """Returns a (rows, columns) array of empty axes on one new figure, without the state of pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return np.asarray(figure.subplots(rows, columns, squeeze=False, **layout))


def panel(ax: Axes | None, *, height: float = 3.0, width: float = WIDTH) -> Axes:
    """Returns the axes given, or the single one of a new figure."""
    return canvas(height=height, width=width)[0, 0] if ax is None else ax


def facets(count: int, per_row: int, *, head: float, inches: float, **layout: Any) -> NDArray[Any]:
    """Returns axes for `count` panels in rows of `inches` below a `head`; those left over are invisible."""
    columns = min(per_row, count)
    rows = -(-count // columns)
    axes = canvas(rows, columns, height=head + inches * rows, **layout)
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    return axes


def split(table: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Returns the rows of each value of a text column, in order of appearance."""
    groups = table.groupby(column, sort=False, observed=True)
    return {str(value): rows for value, rows in groups}


def figure_of(axes: Axes | NDArray[Any]) -> Figure:
    """Returns the figure that holds the axes which a picture function returned."""
    figure = (axes if isinstance(axes, Axes) else axes.flat[0]).figure
    return figure if isinstance(figure, Figure) else figure.figure


def outer_labels(axes: NDArray[Any], *, x: str = "", y: str = "") -> None:
    """Texts that all panels share, below and left of them."""
    figure = figure_of(axes)
    width, height = (LETTERS_PER_INCH * inches for inches in figure.get_size_inches())
    if x:
        figure.supxlabel(lines_of(x, int(width)), fontsize=9, color=INK)
    if y:
        figure.supylabel(lines_of(y, int(0.85 * height)), fontsize=9, color=INK)


def lines_of(text: object, letters: int) -> str:
    """Text for a label on as many lines as it takes at so many letters each."""
    return "\n".join(textwrap.wrap(mathtext(text), letters)) or mathtext(text)


def with_unit(label: str, unit: object) -> str:
    """An axis text with the unit of what is drawn, where it has one.

    >>> with_unit("Change of y", "ms per d"), with_unit("Change of y", "")
    ('Change of y (ms per d)', 'Change of y')
    """
    return f"{label} ({unit})" if unit else label


def unit_of(part: pd.DataFrame) -> str:
    """The unit of all rows of a panel, where they have one."""
    return str(part["unit"].iloc[0]) if "unit" in part else ""


def row_inches(names: Iterable[Any], least: float) -> float:
    """The height of a row beside which the longest of some names has room."""
    most = max((lines_of(name, NAME_LETTERS).count("\n") + 1 for name in names), default=1)
    return max(least, 0.09 + 0.135 * most)


def by_unit(table: pd.DataFrame, *, row: float, head: float) -> list[tuple[str, pd.DataFrame, Axes]]:
    """A panel for the rows of each unit, below each other: unlike units share no axis.

    Args:
        table: With a column `unit`, if its rows have several.
        row: Inches of a row.
        head: Inches of a panel beyond its rows.

    Returns:
        For each unit it, its rows and its axes.
    """
    parts = split(table, "unit") if "unit" in table else {"": table}
    ratios = [len(part) + head / row for part in parts.values()]
    axes = canvas(len(parts), 1, height=row * sum(ratios) + 0.2, height_ratios=ratios)
    return [(unit, part, ax) for (unit, part), ax in zip(parts.items(), axes[:, 0], strict=True)]


def outer_legend(ax: Axes, place: Any, **look: Any) -> None:
    """The legend of one panel outside all panels: nothing lies under it."""
    handles, labels = ax.get_legend_handles_labels()
    if inner := ax.get_legend():
        inner.remove()
    figure_of(ax).legend(handles, labels, loc=place, **look)


def zero_line(ax: Axes, axis: str) -> None:
    """The line of no effect across the x or the y axis."""
    draw = ax.axvline if axis == "x" else ax.axhline
    draw(0, color=GREY, linewidth=0.8, linestyle="--")


def name_rows(ax: Axes, names: Iterable[Any]) -> NDArray[Any]:
    """Names the rows of a panel, the first on top, and returns their heights."""
    texts = [lines_of(name, NAME_LETTERS) for name in names]
    heights = np.arange(len(texts))
    ax.set_yticks(heights, texts)
    ax.set_ylim(len(texts) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    return heights


def named_points(ax: Axes, names: Iterable[Any], points: Any, low: Any, high: Any) -> None:
    """A point in each named row and a line from its low to its high end."""
    heights = name_rows(ax, names)
    ax.plot(np.asarray(points, float), heights, "o", color=BLUE, markersize=5)
    ax.hlines(heights, low, high, color=BLUE, linewidth=2)


def marks(
    ax: Axes, x: Any, y: Any, kinds: NDArray[Any], looks: Mapping[str, tuple[str, str]], *, size: float = 36
) -> None:
    """Points whose colour and marker say their kind; the kinds that occur are in the order of the looks."""
    present = {kind: look for kind, look in looks.items() if kind in kinds}
    palette, markers = ({kind: look[i] for kind, look in present.items()} for i in (0, 1))
    order = {"hue_order": list(present), "style_order": list(present), "palette": palette, "markers": markers}
    seaborn().scatterplot(x=x, y=y, hue=kinds, style=kinds, s=size, linewidth=0, zorder=3, ax=ax, **order)
    ax.legend().remove()


def holes(ax: Axes, missing: NDArray[Any], columns: Iterable[Any], rows: Sequence[str]) -> None:
    """A matrix of what is missing: dark cells with a cross, its columns and rows named."""
    look = {"cmap": ListedColormap([PALE, BLUE]), "vmin": 0, "vmax": 1, "cbar": False, "linewidths": 2}
    look |= {"annot": np.where(missing > 0, CROSS, ""), "fmt": "", "yticklabels": rows}
    seaborn().heatmap(missing, xticklabels=[mathtext(name) for name in columns], ax=ax, **look)
    ax.tick_params(axis="y", rotation=0)


def log_heights(ax: Axes) -> None:
    """A logarithmic y axis with plain numbers: setting them as mathematics takes longer than the drawing."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(LogFormatter())
    ax.yaxis.set_minor_formatter(LogFormatter())


def svg_bytes(axes: Axes | NDArray[Any]) -> bytes:
    """Returns the picture as SVG: the same bytes each time, letters as outlines, no date, no address."""
    figure, buffer = figure_of(axes), io.BytesIO()
    before = figure.canvas
    with _look():
        # `savefig` would draw all twice, the first time for the layout alone.
        FigureCanvasSVG(figure).print_svg(buffer, metadata=dict.fromkeys(_METADATA))
    figure.set_canvas(before)
    return _DOCTYPE.sub(b"", buffer.getvalue(), count=1)


@dataclass(frozen=True)
class CaptionedFigure:
    """An SVG picture with its caption, as a notebook displays it."""

    svg: bytes
    caption: str

    def _repr_html_(self) -> str:
        return html_figure(image_address(self.svg), self.caption, self.caption)

    def __repr__(self) -> str:
        return terminal(self.caption)


def shown(axes: Axes | NDArray[Any], caption: str) -> CaptionedFigure:
    """Returns the picture that a plotting function drew, with a sentence that states what it shows.

    Args:
        axes: What the function returned.
        caption: Also the text that stands for the picture where it cannot be seen.
    """
    return CaptionedFigure(svg_bytes(axes), caption)
