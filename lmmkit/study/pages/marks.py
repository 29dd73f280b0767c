"""Numbers that know where in the run they stand, names from the study, and text made of both.

A page prints no other numbers: reading it back checks each mark against its file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Mark:
    """A value of a run and how it is printed.

    Attributes:
        value: The value as the file has it.
        file: The file, relative to the run folder.
        place: Where in it: `name.column` of a table whose rows have names in its first column (`3.column`
            where these are not unique: the row, from 0), `=fact` for a number about a table as a whole,
            or the keys of a JSON file, joined by `/`.
        text: What the reader sees.
    """

    value: Any
    file: str
    place: str
    text: str

    @property
    def is_text(self) -> bool:
        """Whether the value is text with a number in it."""
        return isinstance(self.value, str)

    def __html__(self) -> Markup:
        """The text, marked with its full value and its place."""
        html = Markup('<data value="{}" data-source="{}" data-field="{}">{}</data>')
        return html.format(repr(self.value), self.file, self.place, self.text)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Name:
    """A name from the study or its data, whose digits are no numbers of the report."""

    text: str

    def __html__(self) -> Markup:
        """The name, marked as one where it holds a digit."""
        form = '<span class="name">{}</span>' if any(map(str.isdigit, self.text)) else "{}"
        return Markup(form).format(self.text)

    def __str__(self) -> str:
        return self.text


Part = str | Mark | Name
_LABEL = re.compile(r"(?=.* )[^\W\d_]+(?:[ '-][^\W\d_]+)+")  # two words or more, and nothing else


@dataclass(frozen=True)
class MarkedText:
    """Text with marks and names in it: plain in a notebook, marked on a page, kept in the run as JSON."""

    parts: tuple[Part, ...] = ()

    def __html__(self) -> Markup:
        """The text with its marks."""
        return Markup("").join(map(escape, self.parts))

    def __str__(self) -> str:
        return "".join(map(str, self.parts))

    def to_list(self) -> list[Any]:
        """The parts as JSON has them: text, a mark's fields, or `{"text": ...}` for a name."""
        return [part if isinstance(part, str) else asdict(part) for part in self.parts]

    def to_json(self) -> str:
        """The parts on one line, for an attribute of the page."""
        return json.dumps(self.to_list())


def marked_text(parts: Iterable[str | dict[str, Any]]) -> MarkedText:
    """The text whose `to_list` this is."""
    return MarkedText(tuple(part if isinstance(part, str) else _part(part) for part in parts))


def _part(fields: dict[str, Any]) -> Mark | Name:
    return Mark(**fields) if "file" in fields else Name(**fields)


def fill(template: str, *values: Part | MarkedText) -> MarkedText:
    """A template whose `{}` are filled with marks, names and texts.

    >>> str(fill("{} of {}", Mark(3, "a.json", "n", "3"), "four"))
    '3 of four'
    """
    pieces = zip_longest(template.split("{}"), values, fillvalue="")
    return MarkedText(tuple(part for pair in pieces for piece in pair for part in _parts(piece)))


def join(separator: str, texts: Iterable[Part | MarkedText]) -> MarkedText:
    """Texts one after the other.

    >>> str(join(", ", ["a", Name("b")]))
    'a, b'
    """
    texts = list(texts)
    return fill(separator.join(["{}"] * len(texts)), *texts)


def listed(texts: Iterable[Part | MarkedText]) -> MarkedText:
    """Parts of a sentence with commas and a last `and`.

    >>> str(listed(["a", "b", "c"])), str(listed([]))
    ('a, b and c', 'nothing')
    """
    items = list(texts) or ["nothing"]
    return fill("{} and {}", join(", ", items[:-1]), items[-1]) if len(items) > 1 else fill("{}", *items)


def capital(text: MarkedText) -> MarkedText:
    """A sentence with a capital letter, where it begins with a word of its own or with a label in words.

    >>> [str(capital(fill("{} rises", Name(name)))) for name in ("depth of snow", "un(x | g)", "x")]
    ['Depth of snow rises', 'un(x | g) rises', 'x rises']
    """
    first, *others = text.parts or ("",)
    words = isinstance(first, Name) and _LABEL.fullmatch(first.text)
    if not words and (not isinstance(first, str) or isinstance(first, Markup)):
        return text
    told = str(first)
    start = told[:1].upper() + told[1:]
    return MarkedText((Name(start) if isinstance(first, Name) else start, *others)) if start else text


def _parts(piece: Part | MarkedText) -> tuple[Part, ...]:
    return piece.parts if isinstance(piece, MarkedText) else (piece,) if piece != "" else ()
