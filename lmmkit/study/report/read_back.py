"""Reading a report as a stranger would: is every number on the page a number of the run?"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from lmmkit.errors import LmmkitError
from lmmkit.study.records.artifacts import read_csv, read_json
from lmmkit.study.records.manifest import safe_path
from lmmkit.study.report.numbers import place

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
            self.marks.append(Mark(found["data-source"], found["data-field"], found["value"], data))
        elif not self._silent:
            self.words.append(data)


def marks(page: str) -> list[Mark]:
    """The numbers that a page marks with their places, in its order."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.marks


@dataclass(frozen=True, repr=False)
class Proof:
    """What became of the numbers of a report.

    Attributes:
        proven: Marked numbers whose text is the rounded value at their place in the run.
        loose: Numbers that cannot be found: marks that do not hold, words in no file of the run.
    """

    proven: list[Mark]
    loose: list[str]

    def __repr__(self) -> str:
        return f"{len(self.proven)} numbers proven, {len(self.loose)} loose: {self.loose}"


def prove(page: str, folder: Path) -> Proof:
    """Look up every number of a report in its run.

    Args:
        page: The report.
        folder: The run folder.
    """
    reader, run = _Reader(), _Run(folder)
    reader.feed(page)
    reader.close()
    proven = [mark for mark in reader.marks if run.holds(mark)]
    wrong = [f"{mark.text} ({mark.file} {mark.place})" for mark in reader.marks if mark not in proven]
    told = dict.fromkeys(token for words in reader.words for token in _NUMBER.findall(words))
    record = run.record()
    return Proof(proven, wrong + [token for token in told if token not in record])


class _Run:
    """The files of a run, each read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read = cache(self._load)

    def record(self) -> str:
        """All that can be read as text, the executed notebooks and the report aside."""
        files = [path for path in sorted(self.folder.rglob("*")) if path.suffix in (".json", ".csv")]
        return "\n".join(path.read_text(encoding="utf-8") for path in files)

    def holds(self, mark: Mark) -> bool:
        """Whether the value stands at its place, and the text is that value rounded."""
        try:
            value = self._value(mark)
        except (OSError, LmmkitError, LookupError, ValueError, TypeError):
            return False
        return repr(value) == mark.value and _tells(mark.text, value)

    def _value(self, mark: Mark) -> Any:
        found = self._read(mark.file)
        if mark.file.endswith(".csv"):
            return found[mark.place]
        for key in mark.place.split("/"):
            found = found[key]
        return found

    def _load(self, file: str) -> Any:
        """A JSON file, or the cells of a table by their places."""
        path = self.folder / safe_path(file)
        if path.suffix != ".csv":
            return read_json(path)
        table = read_csv(path)
        return {
            place(table, row, str(name)): _item(table[name].iloc[row])
            for row in range(len(table))
            for name in table.columns
        }


def _item(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


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
