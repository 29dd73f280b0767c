"""The table as a file has it, before any column is a number or a factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

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
    """

    name: str
    cells: Any
    stored: NDArray[Any] | None = None
    labelled: bool = False


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table as a file has it.

    Attributes:
        columns: By name, in the file's order.
        rows: Number of rows.
        lines: How many lines of a text file are what (`LINES`); they add up to all lines. Empty for others.
        line_of: (n,) the line on which each row begins, where it is not the header's plus the row's number.
        notices: What was settled in reading that a user should know, a sentence each.
    """

    columns: Mapping[str, RawColumn]
    rows: int
    lines: Mapping[str, int] = field(default_factory=dict[str, int])
    line_of: NDArray[Any] | None = None
    notices: tuple[str, ...] = ()
