"""The numbers of a run by name: what a sweep tabulates, and where each stands."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lmmkit.model.formula.spelling import same_name
from lmmkit.study.records.artifacts import read_csv
from lmmkit.study.records.manifest import through_link

#: Its rows are coefficients, and its names come first.
COEFFICIENTS = "coefficient"
#: Columns of a table that gives names to single values.
_SINGLE = ["quantity", "value"]
#: The turns of tables.
OF_COEFFICIENTS, SINGLE, OTHERS = range(3)
_WORDS = {"true": True, "false": False}


class Quantity(NamedTuple):
    """A value of a run, and the table of the run that holds it."""

    value: Any
    path: str


class Quantities(Mapping[str, Quantity]):
    """Every number in the tables of a run by name; a table is read when none before it has what is asked for.

    A table whose first column is text gives `<first cell>.<column>`, such as `Days.se`; one of the columns
    `quantity` and `value` gives plain names, such as `sigma`. Of a name that stands twice, tables of
    coefficients come first, then single values, then the tables in the order of their names. A name is found
    under every spelling: `I(x ** 2).se` is `I(x^2).se`.
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        ranked = sorted((_rank(path), path) for path in paths)
        self._unread = [path for _, path in ranked]
        self._first = [path for rank, path in ranked if rank == OF_COEFFICIENTS]
        self._found: dict[str, Quantity] = {}

    def __getitem__(self, name: str) -> Quantity:
        while name not in self._found and self._unread:
            self._read(self._unread[0])
        return self._found[same_name(name, self._found) or name]

    def __iter__(self) -> Iterator[str]:
        self._read_all()
        return iter(self._found)

    def __len__(self) -> int:
        self._read_all()
        return len(self._found)

    def coefficients(self) -> list[str]:
        """The coefficients, in the order of the model."""
        for path in [path for path in self._first if path in self._unread]:
            self._read(path)
        places = {f"tables/{path.name}" for path in self._first}
        mine = {name for name, quantity in self._found.items() if quantity.path in places}
        stems = [name.removesuffix(".estimate") for name in self._found if name.endswith(".estimate")]
        return [stem for stem in stems if {f"{stem}.estimate", f"{stem}.se"} <= mine]

    def _read_all(self) -> None:
        for path in list(self._unread):
            self._read(path)

    def _read(self, path: Path) -> None:
        self._unread.remove(path)
        for name, value in _named(read_csv(path)):
            self._found.setdefault(name, Quantity(value, f"tables/{path.name}"))


def quantities(folder: Path) -> Quantities:
    """The numbers of a run.

    Raises:
        RunError: a table is damaged.
    """
    found = (path for path in folder.glob("tables/*.csv") if path.is_file())
    return Quantities(path for path in found if not through_link(folder, f"tables/{path.name}"))


def _rank(path: Path) -> int:
    """In which turn a table is read."""
    with path.open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file), list[str]())
    return OF_COEFFICIENTS if COEFFICIENTS in columns else SINGLE if columns == _SINGLE else OTHERS


def _named(table: pd.DataFrame) -> Iterator[tuple[str, Any]]:
    first, *others = (column for _, column in table.items())
    labels = first.tolist()
    if list(table.columns) == _SINGLE:
        yield from zip(map(str, labels), map(_value, others[0].tolist()), strict=True)
    elif not pd.api.types.is_numeric_dtype(first):
        numeric = [
            (column.name, column.tolist()) for column in others if pd.api.types.is_numeric_dtype(column)
        ]
        for row, label in enumerate(labels):
            yield from ((f"{label}.{name}", cells[row]) for name, cells in numeric)


def _value(value: Any) -> Any:
    """A number or a yes/no where text stands for it."""
    text = str(value)
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return float(text)
    except ValueError:
        return text
