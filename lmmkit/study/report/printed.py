"""The words and numbers that a reader of an HTML file sees, but for its section on provenance."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from lmmkit.study.records.values import NUMBER

_UNSEEN = {"script", "style", "svg", "template", "head"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_SPACE = re.compile(r"\s+")


def printed_text(html: str) -> str:
    """The visible text, pictures and provenance left out."""
    reader = _Visible()
    reader.feed(html)
    return _SPACE.sub(" ", "".join(reader.words)).strip()


def moved_numbers(one: str, other: str) -> list[tuple[str, str]] | None:
    """Printed numbers that differ by more than a unit of their last digit; None when the words differ."""
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return None
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return [(a, b) for a, b in pairs if not _same(a, b)]


def count_numbers(text: str) -> int:
    """How many numbers a text has."""
    return len(NUMBER.findall(text))


def _same(a: str, b: str) -> bool:
    """Equal, or one unit of the last printed digit apart, which rounding may do."""
    if a == b:
        return True
    try:
        x, y = (float(text.replace("−", "-").replace(",", "")) for text in (a, b))
    except ValueError:
        return False
    decimals = len(a.partition(".")[2].partition("e")[0])
    whole = "." not in a and "." not in b
    return not whole and abs(x - y) <= 1.001 * 10.0**-decimals


class _Visible(HTMLParser):
    """Collects text outside of what is not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Enter an element, hidden or in something hidden."""
        if tag in _VOID:
            return
        if self.hidden or tag in _UNSEEN or ("id", "provenance") in attrs:
            self.hidden.append(tag)
        else:
            self.words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        """Leave it."""
        if tag in self.hidden:
            while self.hidden.pop() != tag:
                pass
        elif not self.hidden:
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        """Keep what is seen."""
        if not self.hidden:
            self.words.append(data)
