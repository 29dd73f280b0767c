"""Pictures of a run: the file, the words that stand for it, and how a notebook shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmmkit import escape
from lmmkit.errors import RunError
from lmmkit.study.pages.marks import MarkedText, marked_text
from lmmkit.study.records.manifest import safe_path, through_link

_MEDIA = {".svg": "svg+xml", ".png": "png"}


@dataclass(frozen=True)
class Figure:
    """A picture of a run, with the words that stand for it."""

    name: str
    path: Path
    alt: MarkedText
    caption: MarkedText
    step: str

    def address(self) -> str:
        """The picture as an address that holds the picture itself."""
        return escape.image_address(self.path.read_bytes(), _MEDIA[self.path.suffix])

    def to_dict(self) -> dict[str, Any]:
        """What stands beside the picture: its words, plain and with the places of their numbers."""
        words = {"alt": self.alt, "caption": self.caption}
        return {
            "name": self.name,
            "file": self.path.name,
            **{key: str(text) for key, text in words.items()},
            "step": self.step,
            "marks": {key: text.to_list() for key, text in words.items()},
        }

    def _repr_html_(self) -> str:
        return escape.html_figure(self.address(), self.alt, self.caption)

    def __repr__(self) -> str:
        return escape.terminal(self.caption)


def figure_from_dict(record: Mapping[str, Any], folder: Path) -> Figure:
    """The figure in a folder whose `to_dict` this is.

    Raises:
        RunError: its file is not in that folder.
    """
    name = safe_path(record["file"])
    if "/" in name or through_link(folder, name):
        raise RunError(f"{name} is no picture in {folder}; a picture lies beside the words that stand for it")
    alt, caption = (marked_text(record["marks"][key]) for key in ("alt", "caption"))
    return Figure(record["name"], folder / name, alt, caption, record["step"])
