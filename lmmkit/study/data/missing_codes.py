"""Codes of a missing value: found by value in numbers and as exact text in text, and counted."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmkit.model.table.labels import label_of
from lmmkit.study.data.cell_text import Marks, is_date, moments_of, number_of
from lmmkit.study.files.schema import Data

_WHOLE = re.compile(r"[+-]?[0-9]+")
#: What means a missing value when the study says nothing: an empty cell, and these texts.
DEFAULTS = ("", "NA", "NaN")


@dataclass(frozen=True)
class Code:
    """A code of a missing value.

    Attributes:
        text: Its text, which cells of text must equal.
        value: Its value, which numbers must equal; None when it is no number.
        given: Whether the study lists it.
    """

    text: str
    value: float | None
    given: bool


def codes_of(data: Data) -> tuple[Code, ...]:
    """The codes of a study: the defaults, unless it sets them aside, and those that it lists."""
    listed = tuple((type(code) is str, code) for code in data.na)
    return _codes(listed, data.na_defaults, marks_of(data))


@lru_cache(maxsize=8)
def _codes(
    listed: tuple[tuple[bool, str | int | float], ...], defaults: bool, marks: Marks
) -> tuple[Code, ...]:
    given = {code for _, code in listed}
    codes = [Code(text, None, False) for text in DEFAULTS if defaults and text not in given]
    for _, code in listed:
        if isinstance(code, str):
            plain = number_of(code, marks)
            codes.append(Code(code.strip(), number_of(code, Marks()) if plain is None else plain, True))
        else:
            codes.append(Code(label_of(code), float(code), True))
    return tuple(codes)


def marks_of(data: Data) -> Marks:
    """The marks with which a study's numbers are written."""
    return Marks(data.decimal, data.thousands)


@dataclass(frozen=True)
class Sieve:
    """Takes the codes out of one column and counts them.

    Attributes:
        codes: The codes.
        counts: Cells that each code was found in, by its text.
    """

    codes: Sequence[Code]
    counts: Counter[str] = field(default_factory=Counter[str])

    def texts(self, text: Any) -> Any:
        """An Arrow array of text, null where a cell is a code."""
        known = pa.array([code.text for code in self.codes], pa.string())
        found = pc.fill_null(pc.is_in(text, value_set=known), False)
        if not pc.any(found, min_count=0).as_py():
            return text
        for pair in pc.value_counts(pc.filter(text, found)).to_pylist():
            self.counts[pair["values"]] += pair["counts"]
        return pc.if_else(found, None, text)

    def numbers(self, values: NDArray[Any]) -> NDArray[Any]:
        """Numbers, NaN where a cell has the value of a code; integers are compared to the last digit."""
        whole = values.dtype.kind in "iu"
        sought: dict[int | float, str] = {}
        for code in self.codes:
            if code.value is not None and (not whole or code.value.is_integer()):
                exact = whole and _WHOLE.fullmatch(code.text)
                sought.setdefault(
                    int(code.text) if exact else int(code.value) if whole else code.value, code.text
                )
        limits = np.iinfo(values.dtype) if whole else None
        known = [value for value in sought if limits is None or limits.min <= value <= limits.max]
        if not known:
            return values
        found = np.isin(values, np.array(known, values.dtype))
        if not found.any():
            return values
        for value, count in zip(*np.unique(values[found], return_counts=True), strict=True):
            self.counts[sought[value.item()]] += int(count)
        return np.where(found, np.nan, values)

    def moments(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Moments, NaT where a cell has the date of a code."""
        for code in self.codes:
            if not code.given or not is_date(code.text):
                continue
            moment = moments_of([code.text], None).values[0]
            if not pd.isna(moment):
                found = values == (moment if values.dt.tz is not None else moment.tz_localize(None))
                self.counts[code.text] += int(found.sum())
                values = values.mask(found)
        return values

    def empty(self, cells: int, named: Mapping[str, int]) -> None:
        """Count cells that hold nothing in a format that knows such cells; some have names of their own."""
        self.counts.update(named)
        if cells > sum(named.values()):
            self.counts[""] += cells - sum(named.values())
