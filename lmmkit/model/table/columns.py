"""Columns of a table, whatever library made it: as numbers, or as factors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.errors import DataError
from lmmkit.model.formula.expression import unknown_column
from lmmkit.model.table.levels import Factor, Floats, Mask, all_finite, factor_of_column, finite

_NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")


@dataclass(eq=False)
class Table:
    """Columns of one table, read when asked for and kept.

    Attributes:
        frame: The table as pandas.
        rows: Number of rows.
    """

    frame: pd.DataFrame
    rows: int
    _columns: dict[str, pd.Series[Any]] = field(default_factory=dict[str, "pd.Series[Any]"])
    _numbers: dict[str, Floats] = field(default_factory=dict[str, Floats])
    _factors: dict[str, Factor] = field(default_factory=dict[str, Factor])
    _kinds: dict[str, str] = field(default_factory=dict[str, str])

    def column(self, name: str) -> pd.Series[Any]:
        """The column as pandas has it."""
        if name not in self._columns:
            self._columns[name] = self.frame[name]
        return self._columns[name]

    def kind(self, name: str) -> str:
        """number, truth or text: how the column reads where it is not a grouping factor.

        Raises:
            DataError: Dates, complex numbers, mixtures.
        """
        if name not in self._kinds:
            self._kinds[name] = _kind(self.column(name), name)
        return self._kinds[name]

    def numbers(self, name: str) -> Floats:
        """(n,) the column as float64, NaN where missing; not copied when it is float64.

        Raises:
            DataError: It is no column of numbers, or holds an infinite value.
        """
        if name not in self._numbers:
            if self.kind(name) == "text":
                raise DataError(_not_numbers(self.column(name), name))
            self._numbers[name] = finite(_as_floats(self.column(name)), name)
        return self._numbers[name]

    def factor(self, name: str) -> Factor:
        """The column as a factor, numbers included.

        Raises:
            DataError: Its values cannot be ordered, or one is infinite.
        """
        if name not in self._factors:
            self._factors[name] = factor_of_column(self.column(name), name)
        return self._factors[name]

    def missing(self, name: str) -> Mask | None:
        """Where the column is missing, as last read; None when nowhere."""
        if name in self._numbers:
            return missing_in(self._numbers[name])
        return self.factor(name).missing


def missing_in(values: Floats) -> Mask | None:
    """Where a finite-or-NaN column is NaN; None when nowhere."""
    if all_finite(values):
        return None
    mask = np.isnan(values)
    return mask if mask.any() else None


def open_table(data: Any, wanted: Iterable[str]) -> Table:
    """The columns `wanted` of a pandas, polars or Arrow table.

    Raises:
        DataError: It is no table, is empty, lacks a column, or has a wanted column twice.
    """
    names = list(dict.fromkeys(wanted))
    if isinstance(data, pd.DataFrame):
        _check_columns(list(data.columns), names)
        # A shallow copy: what the caller writes into the table later does not reach the design.
        frame = data.copy(deep=False)
    else:
        frame = _converted(data, names)
    if len(frame) == 0:
        raise DataError("The table has no rows.")
    return Table(frame, len(frame))


def _check_columns(columns: Sequence[Any], names: Collection[str]) -> None:
    if not columns:
        raise DataError("The table has no columns.")
    known = set(columns)
    for name in names:
        if name not in known:
            raise DataError(f"In the data {unknown_column(name, _texts(columns))}{_other_names(columns)}")
    if len(known) < len(columns):
        twice = [name for name in names if sum(name == other for other in columns) > 1]
        if twice:
            raise DataError(f"The data have more than one column `{twice[0]}`; rename or drop one.")


def _texts(columns: Sequence[Any]) -> list[str]:
    return [name for name in columns if isinstance(name, str)]


def _other_names(columns: Sequence[Any]) -> str:
    odd = [name for name in columns if not isinstance(name, str)]
    return f" Names that are not text cannot be used in a formula: {odd[:3]}; rename them." if odd else ""


def _converted(data: Any, names: list[str]) -> pd.DataFrame:
    import narwhals as nw

    try:
        table = nw.from_native(data, eager_only=True)
    except TypeError:
        kind = f"{type(data).__module__}.{type(data).__qualname__}"
        raise DataError(
            f"The data are a {kind}; a pandas or polars DataFrame or an Arrow table is expected (a lazy "
            "frame must be collected first)."
        ) from None
    _check_columns(table.columns, names)
    chosen = table.select(names)
    # A polars Categorical has no order of its own, unlike an Enum: its levels go by their bytes.
    loose = [name for name in names if chosen.schema[name] == nw.Categorical and not _is_arrow(data)]
    return chosen.with_columns(nw.col(*loose).cast(nw.String) if loose else []).to_pandas()


def _is_arrow(data: Any) -> bool:
    return type(data).__module__.startswith("pyarrow")


def _kind(column: pd.Series[Any], name: str) -> str:
    dtype = column.dtype
    kind = getattr(dtype, "kind", "O")
    if isinstance(dtype, (pd.CategoricalDtype, pd.StringDtype)) or kind == "U":
        return "text"
    if kind in "iuf":
        return "number"
    if kind == "b":
        return "truth"
    inferred = pd.api.types.infer_dtype(column, skipna=True) if kind == "O" else str(dtype)
    if inferred == "boolean":
        return "truth"
    if inferred in _NUMBERS:
        return "number"
    if inferred in ("string", "empty"):
        return "text"
    raise DataError(
        f"Column `{name}` holds {inferred} values; numbers or text are expected: convert it first "
        "(a date to a number of days, for example)."
    )


def _not_numbers(column: pd.Series[Any], name: str) -> str:
    if column.isna().all():
        return f"Column `{name}` has no value: all {len(column):,} rows are missing."
    shown = ", ".join(repr(value) for value in column.dropna().unique().tolist()[:3])
    what = "categories" if isinstance(column.dtype, pd.CategoricalDtype) else "text"
    return (
        f"Column `{name}` holds {what} ({shown}, ...); numbers are expected. If it holds numbers written as "
        "text, convert it first, with pandas.to_numeric for example."
    )


def _as_floats(column: pd.Series[Any]) -> Floats:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return np.ascontiguousarray(column.to_numpy(), np.float64)
    return column.to_numpy(dtype=np.float64, na_value=np.nan)
