"""How the report prints a table of the run, declared beside the function that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from lmmkit.model.table.labels import label_of

#: How the numbers of a column are rounded: to so many decimals; to the digits that the standard error in the
#: same row (`trusted`), the standard deviation (`sized`) or the Monte Carlo error of the column (`drawn`)
#: supports;
#: as a p value; by order of magnitude; or to four significant digits (`plain`).
Rounding = int | Literal["plain", "trusted", "sized", "drawn", "probability", "magnitude"]
Columns = Mapping[str, str | tuple[str, Rounding]]
Facts = dict[str, Any]

#: Titles and roundings that columns have in most tables.
USUAL: Columns = {
    "estimate": ("Estimate", "trusted"), "se": ("SE", "trusted"), "df": "df", "t": ("t", 2), "F": ("F", 2),
    "p": ("p", "probability"), "low": ("Low", "trusted"), "high": ("High", "trusted"),
    "method": "SE and df by", "interval": "Interval by", "num_df": "df", "den_df": "Denominator df",
    "npar": "Parameters", "stat": ("Likelihood ratio", 2), "deviance": ("Deviance", 2), "aic": ("AIC", 2),
    "bic": ("BIC", 2), "caic": ("cAIC", 2), "fitted": ("Fitted", 3), "empirical": ("Empirical", 3),
}  # fmt: skip


def printed(names: str, **own: str | tuple[str, Rounding]) -> Columns:
    """The columns of a table in their order, with titles of their own, the usual ones, or their names.

    >>> printed("term F p note", note="Why not")
    {'term': 'Term', 'F': ('F', 2), 'p': ('p', 'probability'), 'note': 'Why not'}
    """
    return {name: own.get(name) or USUAL.get(name, name.capitalize()) for name in names.split()}


@dataclass(frozen=True)
class ReportTable:
    """How a table of the run is printed, and what is told about it.

    Attributes:
        name: It stands in `tables/<name>.csv`.
        title: What it shows, in a sentence; empty for one that is only drawn.
        columns: The columns printed, in their order: title, or title and rounding.
        facts: Numbers about the table as a whole, by name: captions tell them, the proof makes them again.
        texts: The columns that hold levels.
    """

    name: str
    title: str = ""
    columns: Columns = field(default_factory=dict[str, Any])
    facts: Callable[[pd.DataFrame], Facts] = lambda _: {}
    texts: Sequence[str] = ()

    def read(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table as a file gives it, with levels as text where all of them look like numbers."""
        numbers = [
            name for name in self.texts if name in table and pd.api.types.is_numeric_dtype(table[name])
        ]
        made = {
            name: [None if pd.isna(value) else label_of(value) for value in table[name].tolist()]
            for name in numbers
        }
        return table.assign(**{name: pd.Series(made[name], table.index, dtype=object) for name in numbers})

    def rounding(self, column: str) -> Rounding:
        """How the numbers of a column are rounded."""
        spec = self.columns[column]
        return "plain" if isinstance(spec, str) else spec[1]

    def head(self) -> list[str]:
        """The titles of the columns."""
        return [spec if isinstance(spec, str) else spec[0] for spec in self.columns.values()]


def outside(table: pd.DataFrame, column: str) -> pd.Series[bool]:
    """Whether a column of each row is outside of its bounds, `low` and `high`."""
    return (table[column] < table["low"]) | (table[column] > table["high"])


def excludes_zero(table: pd.DataFrame) -> pd.Series[bool]:
    """Whether the interval from `low` to `high` of each row excludes zero."""
    return (table["low"] > 0) | (table["high"] < 0)
