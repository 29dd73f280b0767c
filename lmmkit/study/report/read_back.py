"""Reading a report back: is every number one of the run, and every name?"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from lmmkit.errors import LmmkitError
from lmmkit.escape import csv_text
from lmmkit.escape import page as on_page
from lmmkit.study.pages.marks import Mark, Name
from lmmkit.study.pages.read_page import texts
from lmmkit.study.pages.seen_names import Labels, labels_of
from lmmkit.study.records.artifacts import python_scalar, read_csv, read_json
from lmmkit.study.records.manifest import file_in
from lmmkit.study.records.values import AS_WRITTEN, agree, tree_values
from lmmkit.study.report.numbers import TABLES, row_names

#: Phrases whose number defines what is counted; any other number needs a mark.
DEFINITIONS = ("; 1 is a straight line.", "(of a row with weight 1)")
_DIGITS = re.compile(r"[0-9](?:[0-9.,]*[0-9])?")
_TOLD = re.compile(r"^[-+]?(?:[0-9][0-9,]*|(?=\.))(?P<decimals>\.[0-9]+)?(?:e(?P<power>[-+]?[0-9]+))?$")


@dataclass(frozen=True, repr=False)
class Proof:
    """What became of the numbers of a report.

    Attributes:
        proven: Marks whose text is the rounded value at their place in the run.
        loose: Marks that do not hold, numbers without a mark, names that stand in no file.
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
    run = _Run(folder)
    found = [part for text in texts(page) for part in text.parts]
    marked = [part for part in found if isinstance(part, Mark)]
    proven = [mark for mark in marked if run.holds(mark)]
    wrong = [f"{mark.text} ({mark.file} {mark.place})" for mark in marked if mark not in proven]
    names = [part.text for part in found if isinstance(part, Name) and not run.has(part.text)]
    typed = [number for part in found if isinstance(part, str) for number in _typed(part)]
    return Proof(proven, wrong + names + list(dict.fromkeys(typed)))


def _typed(text: str) -> list[str]:
    """The numbers in words that no mark covers."""
    for phrase in DEFINITIONS:
        text = text.replace(phrase, "")
    return _DIGITS.findall(text)


class _Run:
    """The files of a run, each read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read = cache(self._load)
        self._names: set[str] | None = None

    def has(self, name: str) -> bool:
        """Whether a name stands in a file of the run, as a whole."""
        if self._names is None:
            found = self.folder.rglob("*")
            paths = [path for path in found if path.suffix in (".json", ".csv") and not path.is_symlink()]
            written = {text for path in paths for text in _entries(path)}
            labels = self._labels()
            self._names = {on_page(name) for text in written for name in (text, labels.of(text))}
        return on_page(name) in self._names

    def _labels(self) -> Labels:
        path = self.folder / "data.schema.json"
        columns: list[dict[str, Any]] = read_json(path)["columns"] if path.exists() else []
        return labels_of({facts["column"]: facts for facts in columns})

    def holds(self, mark: Mark) -> bool:
        """Whether the value stands at its place, and the text is that value rounded."""
        try:
            value = self._value(mark)
            return _equal(mark.value, value) and _tells(mark.text, value)
        except (OSError, LmmkitError, LookupError, ValueError, TypeError, AttributeError):
            return False

    def _value(self, mark: Mark) -> Any:
        found: Any = self._read(mark.file)
        if mark.file.endswith(".csv"):
            return found[mark.place]
        for key in mark.place.split("/"):
            found = _entry(found, key)
        return found

    def _load(self, file: str) -> Any:
        """A JSON file, or the cells of a table by their places with the facts about it."""
        path = file_in(self.folder, file)
        if path.suffix != ".csv":
            return read_json(path)
        table, declared = read_csv(path), TABLES.get(path.stem)
        rows = row_names(table.iloc[:, 0]) if len(table.columns) else []
        cells = {
            on_page(f"{row}.{name}"): python_scalar(value)
            for name in table.columns
            for row, value in zip(rows, table[name].array, strict=True)
        }
        facts = declared.facts(table) if declared and file == f"tables/{path.name}" else {}
        return cells | {f"={name}": value for name, value in facts.items()}


def _entry(found: Any, key: str) -> Any:
    """The value of a key as a page spells it, or at a position."""
    if isinstance(found, list):
        return cast("list[Any]", found)[int(key)]
    return found[key] if key in found else {on_page(name): value for name, value in found.items()}[key]


def _entries(path: Path) -> Iterable[str]:
    """Every cell and title of a table, every key and value of a JSON file, as text."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return [csv_text(cell) for row in csv.reader(file) for cell in row]
    leaves = tree_values(read_json(path))
    return [text for where, value in leaves for text in (*where.field.split("."), str(value))]


def _equal(written: str, value: Any) -> bool:
    """Whether a value as a mark has it is that of the file, numbers up to the last digits.

    A level that looks like a number is text to those who print it, and a number to whoever reads the file.
    """
    if written in (repr(value), repr(str(value))):
        return True
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    if math.isnan(value):
        return written in ("nan", "None")  # JSON has no number for it
    return agree(float(written), value, AS_WRITTEN)


def _tells(text: str, value: Any) -> bool:
    """Whether a text is a value, rounded to the digits that it shows; a share where it ends in per cent."""
    if isinstance(value, bool):
        return text == ("yes" if value else "no")
    if not isinstance(value, int | float):
        digest = len(text) == 12 and str(value).startswith(text)
        return text == on_page(str(value)) or digest
    if not math.isfinite(value):
        return text in (("none", "nan") if math.isnan(value) else ("infinite",))
    if text.startswith(("< ", "> ")):
        bound = float(text[2:])
        return value < bound if text[0] == "<" else value > bound
    plain = text.replace("\N{MINUS SIGN}", "-").removesuffix(" %")
    form = _TOLD.match(plain)
    if form is None:
        return False
    power = int(form["power"] or 0) - max(0, len(form["decimals"] or "") - 1)
    told, half = float(plain.replace(",", "")), 0.5 * 10.0**power
    scale = 100 if text.endswith(" %") else 1
    return abs(told - value * scale) <= half * (1 + 1e-9)
