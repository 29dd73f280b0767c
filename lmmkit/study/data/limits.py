"""How large a data file may be: what is larger is refused with the number and the limit."""

from __future__ import annotations

from lmmkit.errors import DataError
from lmmkit.study.files.schema import Limits


def check_bytes(found: int, limits: Limits, name: str) -> None:
    """Refuse a file of too many bytes.

    Raises:
        DataError: there are more than `limits.bytes`.
    """
    if found > limits.bytes:
        raise _beyond(name, f"{found:,} bytes, unpacked", limits.bytes, "bytes")


def check_shape(rows: int, columns: int, limits: Limits, name: str) -> None:
    """Refuse a table of too many rows, columns or cells.

    Raises:
        DataError: one of them is beyond its limit.
    """
    if columns > limits.columns:
        raise _beyond(name, f"{columns:,} columns", limits.columns, "columns")
    if rows > limits.rows:
        raise _beyond(name, f"{rows:,} rows", limits.rows, "rows")
    if rows * columns > limits.cells:
        raise _beyond(name, f"{rows * columns:,} cells ({rows:,} rows of {columns:,})", limits.cells, "cells")


def _beyond(name: str, found: str, limit: int, key: str) -> DataError:
    return DataError(
        f"{name} has {found}; the limit is {limit:,}. If the file is right and the memory suffices, raise "
        f"data.limits.{key}"
    )
