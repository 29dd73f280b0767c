"""Typed columns: numbers, factors and times from what a file holds, or an error that names the row."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pandas.api import types

from lmmkit.errors import DataError, did_you_mean
from lmmkit.study.files.schema import Column

Values: TypeAlias = "pd.Series[Any]"
Numbers = NDArray[np.float64] | NDArray[np.int64]

_TRUTH = {"true": True, "TRUE": True, "True": True, "false": False, "FALSE": False, "False": False}
_LEADING_ZERO = r"^\s*[-+]?0[0-9]"
_DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def typed(raw: Values, spec: Column | None, decimal: str = ".") -> Values:
    """A column as its declaration says, or read sensibly: text that is all numbers, else a factor.

    Raises:
        DataError: a value that the declaration does not allow; the message names its row.
    """
    if spec is None or (spec.type is None and spec.min is None and spec.max is None):
        return _sensible(raw, decimal)
    if spec.type == "factor":
        return _leveled(factor(raw), spec)
    return elapsed(raw, spec.unit or "d", decimal) if spec.type == "time" else number(raw, decimal)


def number(raw: Values, decimal: str = ".") -> Values:
    """A column of finite numbers; whole numbers without gaps stay whole.

    >>> number(pd.Series(["1", "2"], name="x")).dtype
    dtype('int64')
    """
    if types.is_bool_dtype(raw):
        return raw.astype("int64")
    values = _to_numbers(raw) if types.is_numeric_dtype(raw) else _parsed(raw, decimal)
    bad = np.flatnonzero(np.isinf(values))
    if len(bad):
        raise DataError(
            f"{raw.name}: row {bad[0] + 1} holds {values[bad[0]]:g}{_more(bad)}; expected finite numbers. "
            "Correct the data, or list the text under data.na"
        )
    return pd.Series(values, index=raw.index, name=raw.name)


def factor(raw: Values) -> Values:
    """A column of levels, as text: a categorical's own order, else byte order.

    >>> list(factor(pd.Series(["b", "007", "a"])).cat.categories)
    ['007', 'a', 'b']
    """
    if isinstance(raw.dtype, pd.CategoricalDtype):
        return raw.cat.rename_categories([_level(level) for level in raw.cat.categories])
    text = raw if types.is_string_dtype(raw.dtype) and raw.dtype != object else _as_text(raw)
    levels = sorted(text.dropna().unique())
    return pd.Series(pd.Categorical(text, categories=levels), index=raw.index, name=raw.name)


def elapsed(raw: Values, unit: str, decimal: str = ".") -> Values:
    """A column of times: numbers as they are, dates as `unit`s since the earliest.

    >>> elapsed(pd.Series(["2024-01-01", "2024-01-03"]), "d").tolist()
    [0.0, 2.0]
    """
    if types.is_numeric_dtype(raw) or _is_numbers(raw, decimal):
        return number(raw, decimal)
    if unit not in _SECONDS:
        raise DataError(f"{raw.name}: dates are counted in s, min, h or d; its unit is {unit}")
    moments = (
        raw if types.is_datetime64_any_dtype(raw) else pd.to_datetime(raw, format="ISO8601", errors="coerce")
    )
    bad = np.flatnonzero(moments.isna() & raw.notna())
    if len(bad):
        raise _misfit(raw, bad, "a time", "numbers or dates such as 2024-01-31 or 2024-01-31T12:30")
    since: Values = (moments - moments.min()).dt.total_seconds() / _SECONDS[unit]
    return since.rename(str(raw.name))


def _sensible(raw: Values, decimal: str) -> Values:
    if types.is_bool_dtype(raw) or types.is_numeric_dtype(raw):
        return (
            raw if types.is_bool_dtype(raw) else pd.Series(_to_numbers(raw), index=raw.index, name=raw.name)
        )
    if types.is_datetime64_any_dtype(raw):
        return elapsed(raw, "d")
    if isinstance(raw.dtype, pd.CategoricalDtype):
        return factor(raw)
    text = _as_text(raw)
    if text.notna().any() and text.dropna().isin(_TRUTH).all():
        return text.map(_TRUTH).astype("boolean" if text.isna().any() else "bool")
    plain = _is_numbers(text, decimal) and not text.str.contains(_LEADING_ZERO, regex=True).any()
    return pd.Series(_parsed(text, decimal), index=raw.index, name=raw.name) if plain else factor(text)


def _to_numbers(raw: Values) -> Numbers:
    """int64 where every value is whole by its type and none is missing, else float64."""
    if types.is_integer_dtype(raw) and not raw.isna().any():
        return raw.to_numpy(dtype="int64")
    return raw.to_numpy(dtype="float64", na_value=np.nan)


def _parsed(raw: Values, decimal: str) -> Numbers:
    """The numbers in a column of text; an error names the first row that holds none."""
    text = _as_text(raw)
    values = numbers(text, decimal)
    if values is not None:
        return values
    bad = np.flatnonzero([not (pd.isna(item) or _is_number(item, decimal)) for item in text])
    comma = _DECIMAL_COMMA.fullmatch(str(text.iloc[int(bad[0])]))
    hint = " (`data.decimal: ','` reads decimal commas)" if comma else ""
    raise _misfit(raw, bad, "a number", f"numbers{hint}")


def numbers(text: Values, decimal: str) -> Numbers | None:
    """Returns the numbers that a column of text spells, missing ones as NaN; None when one spells none.

    >>> numbers(pd.Series(["1,5", None]), ",").tolist()
    [1.5, nan]
    """
    plain = pc.utf8_trim_whitespace(pa.array(text, type=pa.string(), from_pandas=True))
    if decimal != ".":
        plain = pc.replace_substring(plain, decimal, ".")
    values = _cast(plain)
    if values is None:
        values = _cast(pc.replace_substring_regex(plain, r"^\+", ""))
    return None if values is None else values.to_numpy(zero_copy_only=False)


def _cast(text: Any) -> Any:
    """Whole numbers where all are and none is missing, else floating ones, else None."""
    for kind in (pa.float64(),) if text.null_count else (pa.int64(), pa.float64()):
        try:
            return pc.cast(text, kind)
        except pa.ArrowInvalid:
            continue
    return None


def _is_number(text: str, decimal: str) -> bool:
    try:
        float(text.replace(decimal, "."))
    except ValueError:
        return False
    return "_" not in text


def _is_numbers(raw: Values, decimal: str) -> bool:
    return bool(raw.notna().any()) and numbers(_as_text(raw), decimal) is not None


def _as_text(raw: Values) -> Values:
    if types.is_string_dtype(raw.dtype) and raw.dtype != object:
        return raw
    return pd.Series(
        [None if pd.isna(item) else _level(item) for item in raw], index=raw.index, name=raw.name, dtype="str"
    )


def _level(value: Any) -> str:
    """A value as the text of a level: 7.0 read from a sheet is `7`."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _leveled(column: Values, spec: Column) -> Values:
    """The factor with the declared levels and reference."""
    levels = list(spec.levels or column.cat.categories)
    strange = [level for level in column.cat.categories if level not in set(levels)]
    if strange:
        row = int(np.flatnonzero(column == strange[0])[0]) + 1
        raise DataError(
            f"{column.name}: row {row} holds {strange[0]!r}, which is not among its levels {_listed(levels)}"
        )
    if spec.reference is not None:
        levels = _first(spec.reference, levels, str(column.name))
    return column.cat.set_categories(levels)


def _first(reference: str, levels: list[str], name: str) -> list[str]:
    if reference not in levels:
        near = did_you_mean(reference, levels)
        raise DataError(
            f"{name}: its reference {reference!r} is not among its levels {_listed(levels)}{near}"
        )
    return [reference, *(level for level in levels if level != reference)]


def _listed(levels: Sequence[str]) -> str:
    return ", ".join(levels[:12]) + (", ..." if len(levels) > 12 else "")


def _misfit(raw: Values, bad: NDArray[np.intp], declared: str, expected: str) -> DataError:
    cell = repr(re.sub(r"\s+", " ", str(raw.iloc[int(bad[0])]))[:60])
    found = f"{raw.name} is declared {declared}, but row {bad[0] + 1} holds {cell}{_more(bad)}"
    return DataError(f"{found}; expected {expected}")


def _more(bad: NDArray[np.intp]) -> str:
    return f" (and {len(bad) - 1} rows more)" if len(bad) > 1 else ""
