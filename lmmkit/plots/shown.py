"""A picture with its caption, as a notebook shows it when there is no run to keep its file."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from numpy.typing import NDArray

from lmmkit.escape import html
from lmmkit.plots.style import svg_bytes


@dataclass(frozen=True)
class Shown:
    """An SVG picture and its caption."""

    svg: bytes
    caption: str

    def _repr_html_(self) -> str:
        content = base64.b64encode(self.svg).decode()
        return (
            f'<figure><img alt="{html(self.caption)}" src="data:image/svg+xml;base64,{content}">'
            f"<figcaption>{html(self.caption)}</figcaption></figure>"
        )

    def __repr__(self) -> str:
        return self.caption


def shown(axes: Axes | NDArray[Any], caption: str) -> Shown:
    """The picture that a plotting function drew, with a sentence that states what it shows.

    Args:
        axes: What the function returned.
        caption: Also the text that stands for the picture where it cannot be seen.
    """
    return Shown(svg_bytes(axes), caption)
