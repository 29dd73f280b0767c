"""Columns of a table, whatever library made it: as numbers, or as factors with their levels in order.

Levels stand in a Categorical's own order, else numbers ascending and text in byte order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.errors import DataError, Findings, unknown_column

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Mask = NDArray[np.bool_]
Number = TypeVar("Number", bound=np.generic)

SHORT = 2_000


@dataclass(frozen=True, eq=False)
class CodedColumn:
    """A column as a factor: (n,) codes, -1 where missing, and its levels in order."""

    codes: Ints
    levels: Any

    @property
    def missing(self) -> Mask | None:
        """Where the value is missing; None when nowhere."""
        return None if len(self.codes) == 0 or self.codes.min() >= 0 else self.codes < 0

    def used(self, rows: Ints | None) -> tuple[Ints, Ints]:
        """Codes of the levels that some rows have, without gaps, and which of all levels each is."""
        return compress(of_rows(self.codes, rows), len(self.levels))


def of_rows(values: NDArray[Number], rows: Ints | None) -> NDArray[Number]:
    """Some rows of a column, or all where None are named."""
    return values if rows is None else values[rows]


def factor_of_column(column: pd.Series[Any], name: str) -> CodedColumn:
    """A column as a factor.

    Raises:
        DataError: Its values cannot be ordered, one is infinite, or floating numbers cannot tell them apart.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return CodedColumn(column.cat.codes.to_numpy().astype(np.intp), dtype.categories)
    if isinstance(dtype, np.dtype) and dtype.kind in "iub":
        return integer_factor(column.to_numpy())
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        _check_told_apart(finite(column.to_numpy(), name), name)
    if len(column) <= SHORT and _is_text(column):
        return _short_factor(column.tolist())
    return _sorted_factor(column)


def _check_told_apart(values: Floats, name: str) -> None:
    """Refuse ids beyond the whole numbers that each have a floating number of their own."""
    with np.errstate(invalid="ignore"):
        beyond = np.flatnonzero(np.abs(values) >= 2.0 ** (np.finfo(values.dtype).nmant + 1))
    if len(beyond):
        raise DataError(
            f"Column `{name}` groups rows by floating numbers such as {values[beyond[0]]} (row "
            f"{beyond[0] + 1}), too large to be told apart: different ids may be one number. Read the column "
            "as text, or as integers (in pandas dtype='Int64')."
        )


def _is_text(column: pd.Series[Any]) -> bool:
    return (
        isinstance(column.dtype, pd.StringDtype) or pd.api.types.infer_dtype(column, skipna=True) == "string"
    )


def _short_factor(values: list[Any]) -> CodedColumn:
    """The factor of a short column of text, without the start-up cost of pandas' hashing."""
    levels = sorted({value for value in values if isinstance(value, str)})
    codes = {level: code for code, level in enumerate(levels)}
    numbers = [codes[value] if isinstance(value, str) else -1 for value in values]
    return CodedColumn(np.array(numbers, np.intp), np.array(levels, object))


def integer_factor(values: NDArray[Any]) -> CodedColumn:
    """Codes of integers, by a table of those present where their range allows, else by sorting."""
    if values.dtype.kind != "b":
        low, high = int(values.min()), int(values.max())
        if high - low < 4 * len(values) + 65_536 and high <= np.iinfo(np.intp).max:
            positions = values.astype(np.intp, copy=False)
            codes, present = compress(positions if low == 0 else positions - low, high - low + 1)
            return CodedColumn(codes, present + low)
    levels, codes = np.unique(values, return_inverse=True)
    return CodedColumn(codes.astype(np.intp, copy=False), levels)


def compress(codes: Ints, size: int) -> tuple[Ints, Ints]:
    """Codes renumbered without gaps, and the old number of each new one; (codes, 0 to size - 1) if none."""
    present = np.zeros(size, bool)
    present[codes] = True
    old = np.flatnonzero(present)
    if len(old) == size:
        return codes, old
    table = np.cumsum(present, dtype=np.intp) - 1
    return table[codes], old


def renumbered(key: Ints, size: int) -> tuple[Ints, Ints]:
    """As `compress`, by sorting where `size` is much larger than there are rows."""
    if size <= 4 * len(key) + 65_536:
        return compress(key, size)
    present, codes = np.unique(key, return_inverse=True)
    return codes.astype(np.intp, copy=False), present


def _sorted_factor(column: pd.Series[Any]) -> CodedColumn:
    try:
        codes, levels = cast("tuple[Ints, pd.Index[Any]]", pd.factorize(column))
        order = np.asarray(levels.argsort(), np.intp)
    except TypeError:
        raise DataError(
            f"Column `{column.name}` mixes text with other values; make it all text, or a Categorical "
            "with an order."
        ) from None
    rank = np.empty(len(order) + 1, np.intp)
    rank[order] = np.arange(len(order))
    rank[-1] = -1
    return CodedColumn(rank[codes], levels[order])


def finite(values: Floats, name: str) -> Floats:
    """The column itself, NaN where missing.

    Raises:
        DataError: It holds an infinite value.
    """
    if not all_finite(values):
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):
            raise DataError(
                f"Column `{name}` is infinite in {len(infinite):,} row(s), first in row {infinite[0] + 1}; "
                "finite numbers are expected: correct the value or mark it as missing."
            )
    return values


def all_finite(values: Floats) -> bool:
    """Whether no value is missing or infinite; the extremes tell, since they propagate NaN."""
    return bool(np.isfinite(values.min()) and np.isfinite(values.max()))


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
    _factors: dict[str, CodedColumn] = field(default_factory=dict[str, CodedColumn])
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

    def factor(self, name: str) -> CodedColumn:
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


#: pandas' integers that may be missing, by Arrow's name of the type.
_MASKED = {f"{sign.lower()}int{bits}": f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}


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
    known, found = set(columns), Findings()
    for name in names:
        if name not in known:
            with found.part(name):
                raise DataError(f"In the data {unknown_column(name, _texts(columns))}{_other_names(columns)}")
    found.raise_found()
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
    arrow = chosen.with_columns(nw.col(*loose).cast(nw.String) if loose else []).to_arrow()
    return pd.DataFrame({name: _from_arrow(arrow.column(name)) for name in names})


def _from_arrow(column: Any) -> pd.Series[Any]:
    """A column of Arrow in pandas; integers with gaps keep every digit."""
    masked = _MASKED.get(str(column.type)) if column.null_count else None
    if masked is None:
        return column.to_pandas()
    return pd.Series(column.to_pandas(integer_object_nulls=True), dtype=masked)


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
        "text, see which cells are no numbers, and make it a column of numbers first."
    )


def _as_floats(column: pd.Series[Any]) -> Floats:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return np.ascontiguousarray(column.to_numpy(), np.float64)
    return column.to_numpy(dtype=np.float64, na_value=np.nan)
