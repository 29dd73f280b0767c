"""Columns as factors: codes and levels in order.

Levels stand in a Categorical's own order, else numbers ascending and text in byte order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Mask = NDArray[np.bool_]

SHORT = 2_000


@dataclass(frozen=True, eq=False)
class Factor:
    """A column as a factor: (n,) codes, -1 where missing, and its levels in order."""

    codes: Ints
    levels: Any

    @property
    def missing(self) -> Mask | None:
        """Where the value is missing; None when nowhere."""
        return None if len(self.codes) == 0 or self.codes.min() >= 0 else self.codes < 0


def factor_of_column(column: pd.Series[Any], name: str) -> Factor:
    """A column as a factor.

    Raises:
        DataError: Its values cannot be ordered, or one is infinite.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return Factor(column.cat.codes.to_numpy().astype(np.intp), dtype.categories)
    if isinstance(dtype, np.dtype) and dtype.kind in "iub":
        return integer_factor(column.to_numpy())
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        finite(column.to_numpy(), name)
    if len(column) <= SHORT and _is_text(column):
        return _short_factor(column.tolist())
    return _sorted_factor(column)


def _is_text(column: pd.Series[Any]) -> bool:
    return (
        isinstance(column.dtype, pd.StringDtype) or pd.api.types.infer_dtype(column, skipna=True) == "string"
    )


def _short_factor(values: list[Any]) -> Factor:
    """The factor of a short column of text, without the start-up cost of pandas' hashing."""
    levels = sorted({value for value in values if isinstance(value, str)})
    codes = {level: code for code, level in enumerate(levels)}
    numbers = [codes[value] if isinstance(value, str) else -1 for value in values]
    return Factor(np.array(numbers, np.intp), np.array(levels, object))


def integer_factor(values: NDArray[Any]) -> Factor:
    """Codes of integers, by a table of those present where their range allows, else by sorting."""
    if values.dtype.kind == "b":
        values = values.astype(np.int8)
        levels, codes = np.unique(values, return_inverse=True)
        return Factor(codes.astype(np.intp, copy=False), levels.astype(bool))
    low, high = int(values.min()), int(values.max())
    if high - low >= 4 * len(values) + 65_536 or high > np.iinfo(np.intp).max:
        levels, codes = np.unique(values, return_inverse=True)
        return Factor(codes.astype(np.intp, copy=False), levels)
    positions = values.astype(np.intp, copy=False)
    codes, present = compress(positions if low == 0 else positions - low, high - low + 1)
    return Factor(codes, present + low)


def compress(codes: Ints, size: int) -> tuple[Ints, Ints]:
    """Codes renumbered without gaps, and the old number of each new one; (codes, 0 to size - 1) if none."""
    present = np.zeros(size, bool)
    present[codes] = True
    old = np.flatnonzero(present)
    if len(old) == size:
        return codes, old
    table = np.cumsum(present, dtype=np.intp) - 1
    return table[codes], old


def _sorted_factor(column: pd.Series[Any]) -> Factor:
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
    return Factor(rank[codes], levels[order])


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
