"""The numbers of a run as the report prints them, each bound to its file and its place there."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import pandas as pd

from lmmkit.model.influence import about_influence
from lmmkit.model.missing_data import about_missing
from lmmkit.model.picture_tables import parameter_intervals, shrinkage
from lmmkit.model.posterior.weighted import trusted_text
from lmmkit.model.report_tables import (
    about_answer,
    about_checks,
    about_data,
    about_design,
    about_fit,
    about_inference,
    about_posterior,
    about_search,
    about_visits,
    fitted_lines,
    residuals,
)
from lmmkit.model.report_tables.report_table import ReportTable, Rounding
from lmmkit.study.pages.marks import Mark, MarkedText, fill
from lmmkit.study.records.artifacts import python_scalar

SE_DIGITS = 3  # significant digits of a standard error, at most
SD_DIGITS = 4  # significant digits of a standard deviation between groups
CORRELATION_DECIMALS = 3
MINUS = "\N{MINUS SIGN}"

#: The tables of a run that the report prints or tells about, by name.
TABLES: dict[str, ReportTable] = {
    table.name: table
    for module in (
        about_data,
        about_design,
        about_search,
        about_inference,
        about_fit,
        shrinkage,
        parameter_intervals,
        about_visits,
        residuals,
        fitted_lines,
        about_answer,
        about_checks,
        about_influence,
        about_posterior,
        about_missing,
    )
    for table in module.TABLES
}


class FileReader(Protocol):
    """What reads the files of a run: a step."""

    def csv(self, path: str) -> pd.DataFrame:
        """A table."""
        ...

    def json(self, path: str) -> Any:
        """A JSON file."""
        ...


class Files:
    """The files of a run, and their values as marks."""

    def __init__(self, step: FileReader):
        self.csv = cache(step.csv)
        self.json = cache(step.json)
        self.table = cache(self._table)

    def _table(self, name: str) -> pd.DataFrame:
        """A table of the run."""
        table = self.csv(f"tables/{name}.csv")
        return TABLES[name].read(table) if name in TABLES else table

    def cell(self, name: str, row: int, column: str, rounding: Rounding = "plain") -> Mark:
        """One cell of a table."""
        table = self.table(name)
        value = table[column].iloc[row]
        if rounding == "drawn":
            return cell_mark(name, table, row, column, drawn_text(table, row, column))
        return cell_mark(name, table, row, column, self._rounded(table, row, rounding)(value))

    def entry(self, file: str, *keys: str | int, text: str | None = None) -> Mark:
        """One entry of a JSON file, by keys and by positions in lists."""
        value = self.json(file)
        for key in keys:
            value = value[key]
        return Mark(value, file, "/".join(map(str, keys)), rounded(value) if text is None else text)

    def _rounded(self, table: pd.DataFrame, row: int, rounding: Rounding) -> Callable[[Any], str]:
        """How to write a number that stands in a row of a table."""
        if rounding == "probability":
            return probability
        if rounding == "magnitude":
            return lambda value: f"{value:.1e}".replace("-", MINUS)
        decimals = rounding if isinstance(rounding, int) else None
        if rounding == "trusted":  # to the digits that the standard error and the certificate support
            digits = max(1, min(SE_DIGITS, self.json("certificate.json")["digits"]))
            decimals = decimals_for(float(table["se"].iloc[row]), digits)
        elif rounding == "sized":  # a standard deviation's bounds to its own decimals
            correlation = isinstance(table["var2"].iloc[row], str)
            size = abs(float(table["sdcor"].iloc[row]))
            decimals = CORRELATION_DECIMALS if correlation else decimals_for(size, SD_DIGITS)
        return lambda value: rounded(value, decimals)


def cell_mark(name: str, table: pd.DataFrame, row: int, column: str, text: str) -> Mark:
    """A cell of the table `tables/<name>.csv`, printed as this text."""
    return Mark(python_scalar(table[column].iloc[row]), f"tables/{name}.csv", place(table, row, column), text)


def drawn_text(table: pd.DataFrame, row: int, column: str) -> str:
    """A number of a posterior, to the digits that its Monte Carlo error in the same row supports."""
    error = float(table[f"{column}_mcse"].iloc[row])
    return trusted_text(float(table[column].iloc[row]), error).replace("-", MINUS)


def place(table: pd.DataFrame, row: int, column: str) -> str:
    """Where a cell stands in its table.

    >>> place(pd.DataFrame({"coefficient": ["Intercept", "Days"], "se": [6.8, 1.5]}), 1, "se")
    'Days.se'
    """
    return f"{row_names(table.iloc[:, 0])[row]}.{column}"


def row_names(first: pd.Series[Any]) -> list[Any]:
    """What rows are called: the values of the first column, if they are names of one row each."""
    named = first.is_unique and not pd.api.types.is_numeric_dtype(first)
    return first.tolist() if named else list(range(len(first)))


def number(value: float, digits: int = 4) -> str:
    """A number in running text, to so many significant digits.

    >>> number(2972), number(298.5079), number(-0.00001234), number(12345.678)
    ('2,972', '298.5', '−1.234e−05', '12,346')
    """
    whole = float(value).is_integer() and abs(value) < 1e15
    text = f"{value:,.0f}" if whole or abs(value) >= 10**digits else f"{value:.{digits}g}"
    return text.replace("-", MINUS)


def rounded(value: Any, decimals: int | None = None) -> str:
    """A value as text: to so many decimals, or to four significant digits.

    >>> rounded(10.4673, 2), rounded(float("inf")), rounded(True), rounded(0.00012345)
    ('10.47', 'infinite', 'yes', '0.0001234')
    """
    value = python_scalar(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    if not math.isfinite(value):
        return "none" if math.isnan(value) else "infinite"
    return number(value) if decimals is None else f"{value:z,.{decimals}f}".replace("-", MINUS)


def probability(p: float) -> str:
    """A p value: `0.031`, or a bound where it is small."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def equals(mark: Mark) -> MarkedText:
    """What stands behind the name of a number: `= 0.031`, or `< 0.001`."""
    return fill("{}{}", "" if mark.text.startswith("<") else "= ", mark)


def percent(share: float, digits: int) -> str:
    """A share in per cent.

    >>> percent(0.95, 4)
    '95 %'
    """
    return f"{number(100 * share, digits)} %"


def decimals_for(error: float, digits: int) -> int:
    """Decimals at which a number with this standard error has so many significant digits of it.

    >>> decimals_for(1.5458, 3), decimals_for(682.4, 3), decimals_for(0.02, 2)
    (2, 0, 3)
    """
    if not error > 0 or not math.isfinite(error):
        return 2
    return max(0, min(12, digits - 1 - math.floor(math.log10(error))))
