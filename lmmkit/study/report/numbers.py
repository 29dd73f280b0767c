"""Numbers that know the file of the run they stand in: the report shows no others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
from markupsafe import Markup

from lmmkit import escape
from lmmkit.study.report.captions import number
from lmmkit.study.steps.step import Step

DIGITS = 3  # significant digits of a standard error, at most


@dataclass(frozen=True)
class Bound:
    """A value of a run and how it is shown.

    Attributes:
        value: The value as the file has it.
        file: The file, relative to the run folder.
        place: Where in it: `name.column` of a table whose rows have names in its first column (`3.column`
            where these are not unique: the row, from 0), or the keys of a JSON file, joined by `/`.
        text: What the reader sees.
    """

    value: Any
    file: str
    place: str
    text: str

    def __html__(self) -> Markup:
        """The text, marked with its full value and its place."""
        attributes = {"value": repr(self.value), "data-source": self.file, "data-field": self.place}
        marks = "".join(f' {name}="{escape.html(value)}"' for name, value in attributes.items())
        return Markup(f"<data{marks}>{escape.html(self.text)}</data>")

    def __str__(self) -> str:
        return self.text


class Files:
    """The files of a run as bound values."""

    def __init__(self, step: Step):
        self.step = step
        self.csv = cache(step.csv)
        self.json = cache(step.json)

    def table(self, name: str) -> pd.DataFrame:
        """A table of the run."""
        return self.csv(f"tables/{name}.csv")

    def cell(self, name: str, row: int, column: str, decimals: int | None = None) -> Bound:
        """One cell of a table."""
        value: Any = self.table(name)[column].iloc[row]
        value = value.item() if hasattr(value, "item") else value
        return Bound(
            value, f"tables/{name}.csv", place(self.table(name), row, column), shown(value, decimals)
        )

    def entry(self, file: str, *keys: str) -> Bound:
        """One entry of a JSON file."""
        value = self.json(file)
        for key in keys:
            value = value[key]
        return Bound(value, file, "/".join(keys), shown(value, None))

    def probability(self, name: str, row: int, column: str) -> Bound:
        """A p value, no smaller than anybody needs it."""
        cell = self.cell(name, row, column)
        text = "< 0.001" if cell.value < 0.001 else f"{cell.value:.3f}"
        return Bound(cell.value, cell.file, cell.place, text)

    @property
    def trusted(self) -> int:
        """Significant digits of a standard error that the certificate supports, at least one."""
        return max(1, min(DIGITS, self.json("certificate.json")["digits"]))


def place(table: pd.DataFrame, row: int, column: str) -> str:
    """Where a cell stands in its table.

    >>> place(pd.DataFrame({"coefficient": ["Intercept", "Days"], "se": [6.8, 1.5]}), 1, "se")
    'Days.se'
    """
    names = table.iloc[:, 0]
    named = names.is_unique and not pd.api.types.is_numeric_dtype(names)
    return f"{names.iloc[row] if named else row}.{column}"


def shown(value: Any, decimals: int | None) -> str:
    """A value as text: to so many decimals, or to four significant digits.

    >>> shown(10.4673, 2), shown(float("inf"), None), shown(True, None), shown(0.00012345, None)
    ('10.47', 'infinite', 'yes', '0.0001234')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    if math.isnan(value):
        return "none"
    if math.isinf(value):
        return "infinite"
    text = number(value) if decimals is None else f"{value:,.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def decimals_for(error: float, digits: int) -> int:
    """Decimals at which a number with this standard error has so many significant digits of it.

    >>> decimals_for(1.5458, 3), decimals_for(682.4, 3), decimals_for(0.02, 2)
    (2, 0, 3)
    """
    if not error > 0 or not math.isfinite(error):
        return 2
    return max(0, min(12, digits - 1 - math.floor(math.log10(error))))
