"""Pictures of a run: the file, the words that stand for it, and how a notebook shows it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from lmmkit import escape

_MEDIA = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Figure:
    """A picture of a run, with the words that stand for it."""

    name: str
    path: Path
    alt: str
    caption: str
    step: str

    def svg(self) -> str:
        """The picture as text, when it is an SVG."""
        return self.path.read_text(encoding="utf-8")

    def _repr_html_(self) -> str:
        content = base64.b64encode(self.path.read_bytes()).decode()
        return (
            f'<figure><img alt="{escape.html(self.alt)}" '
            f'src="data:{_MEDIA[self.path.suffix]};base64,{content}">'
            f"<figcaption>{escape.html(self.caption)}</figcaption></figure>"
        )

    def __repr__(self) -> str:
        return self.caption
