"""The table as a file has it, before any column is a number or a factor."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from lmmkit.errors import DataError

#: What the lines of a text file are, in the order in which they are told.
LINES = ("header", "above the header", "rows", "blank", "comment", "continuation")


@dataclass(frozen=True, eq=False)
class RawColumn:
    """A column as the file has it.

    Attributes:
        name: Its name, composed, without outer blanks.
        cells: (n,) an Arrow array: text where the file holds text, else its own exact type; dictionaries keep
            their order. Missing cells of typed formats are null; texts that mean a missing value are not.
        stored: (n,) numbers as the file stores them, NaN elsewhere, where a column of a sheet mixes number
            cells with text; else None.
        labelled: Whether `cells` are a dictionary whose order the writer declared.
        faults: What makes the column unusable, a sentence each; told when it is used.
        gaps: How many of the cells that hold nothing do so under a name of their own: Stata's .a to .z.
    """

    name: str
    cells: Any
    stored: NDArray[Any] | None = None
    labelled: bool = False
    faults: tuple[str, ...] = ()
    gaps: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table as a file has it.

    Attributes:
        columns: By name, in the file's order.
        rows: Number of rows.
        lines: How many lines of a text file are what (`LINES`); they add up to all lines. Empty for others.
        notices: What was settled in reading that a user should know, a sentence each.
    """

    columns: Mapping[str, RawColumn]
    rows: int
    lines: Mapping[str, int] = field(default_factory=dict[str, int])
    notices: tuple[str, ...] = ()


def no_rows(file: str) -> DataError:
    """What is said of a file without data."""
    return DataError(f"{file} has no rows; expected a header and at least one row of data")


def column_names(cells: Iterable[object], file: str) -> list[str]:
    """Names of columns, composed and without outer blanks; one that is empty is `column3` by its place.

    Raises:
        DataError: two columns have one name, or names that only look different to a computer.

    >>> column_names(["y", " x ", ""], "d.csv")
    ['y', 'x', 'column3']
    """
    written = ["" if cell is None else str(cell) for cell in cells]
    names = [unicodedata.normalize("NFC", text).strip() for text in written]
    names = [name or f"column{i + 1}" for i, name in enumerate(names)]
    first: dict[str, int] = {}
    for at, name in enumerate(names):
        if name in first and written[at] == written[first[name]]:
            raise DataError(f"{file} has two columns called {name}; rename one")
        if name in first:
            raise DataError(
                f"{file} has two columns called {name} (columns {first[name] + 1} and {at + 1}), whose names "
                "differ only in blanks or in how Unicode composes their letters; rename one"
            )
        first[name] = at
    return names
