"""Reading a report as a stranger would: is every number on the page a number of the run?"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from lmmkit.study.artifacts import read_csv
from lmmkit.study.manifest import safe_path

_NUMBER = re.compile(r"[0-9](?:[0-9.,]*[0-9])?")
_TOLD = re.compile(r"^[-+]?[0-9][0-9,]*(?P<decimals>\.[0-9]+)?(?:e(?P<power>[-+]?[0-9]+))?$")
_SILENT = ("style", "script", "math", "code", "pre")


@dataclass(frozen=True)
class Mark:
    """A number that the page marks with its place: its file, its place there, its full value, its text."""

    file: str
    place: str
    value: str
    text: str


@dataclass
class _Reader(HTMLParser):
    """Collects marked numbers, and the visible text outside them."""

    marks: list[Mark] = field(default_factory=list[Mark])
    words: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        super().__init__()
        self._silent = 0
        self._mark: dict[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        if tag == "data":
            self._mark = {name: value or "" for name, value in attrs}

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT
        if tag == "data":
            self._mark = None

    def handle_data(self, data: str) -> None:
        if self._mark is not None:
            found = self._mark
            self.marks.append(Mark(found["data-file"], found["data-place"], found["value"], data))
        elif not self._silent:
            self.words.append(data)


def proven_numbers(page: str, folder: Path) -> list[Mark]:
    """The marked numbers of a report whose text is the rounded value at their place in the run."""
    return [mark for mark in _read(page).marks if _holds(mark, folder)]


def loose_numbers(page: str, folder: Path) -> list[str]:
    """Numbers of a report that cannot be found in the run: marks that do not hold, words in no file."""
    reader = _read(page)
    wrong = [f"{mark.text} ({mark.file} {mark.place})" for mark in reader.marks if not _holds(mark, folder)]
    record = "\n".join(path.read_text(encoding="utf-8") for path in _texts(folder))
    told = [token for words in reader.words for token in _NUMBER.findall(words)]
    return wrong + [token for token in dict.fromkeys(told) if token not in record]


def _read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader


def _texts(folder: Path) -> list[Path]:
    """The files of a run that can be read as text, the executed notebooks and the report aside."""
    return [path for path in sorted(folder.rglob("*")) if path.suffix in (".json", ".csv")]


def _holds(mark: Mark, folder: Path) -> bool:
    """Whether the value stands at its place, and the text is that value rounded."""
    value = _looked_up(mark, folder)
    return repr(value) == mark.value and _tells(mark.text, value)


def _looked_up(mark: Mark, folder: Path) -> Any:
    path = folder / safe_path(mark.file)
    try:
        if path.suffix == ".csv":
            row, column = mark.place.split("/", 1)
            value = read_csv(path)[column].iloc[int(row)]
            return value.item() if hasattr(value, "item") else value
        found = json.loads(path.read_bytes())
        for key in mark.place.split("/"):
            found = found[key]
        return found
    except (OSError, KeyError, IndexError, ValueError, TypeError):
        return None


def _tells(text: str, value: Any) -> bool:
    """Whether a text is a value, rounded to the digits that it shows (in per cent for a share)."""
    if isinstance(value, bool):
        return text == ("yes" if value else "no")
    if not isinstance(value, (int, float)):
        return text == str(value)
    if not math.isfinite(value):
        return text == ("none" if math.isnan(value) else "infinite")
    if text.startswith("< "):
        return value < float(text[2:])
    plain = text.replace("\N{MINUS SIGN}", "-")
    form = _TOLD.match(plain)
    if form is None:
        return False
    power = int(form["power"] or 0) - max(0, len(form["decimals"] or "") - 1)
    told, half = float(plain.replace(",", "")), 0.5 * 10.0**power
    return any(abs(told - value * scale) <= half * (1 + 1e-9) for scale in (1, 100))
