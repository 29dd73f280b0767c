"""The numbers of a run by name: what a sweep tabulates, and where each stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lmmkit.study.artifacts import read_csv

#: Its rows are coefficients, and its names come first.
COEFFICIENTS = "coefficient"
#: Columns of a table that gives names to single values.
_SINGLE = ["quantity", "value"]
_WORDS = {"true": True, "false": False}


class Quantity(NamedTuple):
    """A value of a run, and the table of the run that holds it."""

    value: Any
    path: str


def quantities(folder: Path) -> dict[str, Quantity]:
    """Every number in the tables of a run.

    A table whose first column is text gives `<first cell>.<column>`, such as `Days.se`; one of the columns
    `quantity` and `value` gives plain names, such as `sigma`. Of a name that stands twice, tables of
    coefficients come first, then the tables in the order of their names.

    Raises:
        RunError: a table is damaged.
    """
    tables = {path: read_csv(path) for path in sorted(folder.glob("tables/*.csv"))}
    first = sorted(tables, key=lambda path: COEFFICIENTS not in tables[path].columns)
    found: dict[str, Quantity] = {}
    for path in first:
        for name, value in _named(tables[path]):
            found.setdefault(name, Quantity(value, f"tables/{path.name}"))
    return found


def coefficients(found: Mapping[str, Quantity]) -> list[str]:
    """The coefficients among the quantities of a run, in the order of the model."""
    return [
        name.removesuffix(".estimate")
        for name in found
        if name.endswith(".estimate") and f"{name.removesuffix('estimate')}se" in found
    ]


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
