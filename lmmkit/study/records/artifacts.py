"""Files of a run, written atomically and always with the same bytes for the same content."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from lmmkit.errors import RunError
from lmmkit.escape import csv_cell, csv_text


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror}; free or unlock the place, or give --reports DIR"
        ) from None


def sha256(content: bytes) -> str:
    """The digest of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def json_bytes(value: object) -> bytes:
    r"""A value as JSON: keys in their order, numbers in full, what is not finite as null.

    >>> json_bytes({"b": float("nan"), "a": [1, 2.5]})
    b'{\n "b": null,\n "a": [\n  1,\n  2.5\n ]\n}\n'
    """
    text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    return ("\n".join(map(_visible, text.split("\n"))) + "\n").encode()


def _visible(line: str) -> str:
    """A line of JSON in which letters without ink, and halves of letters, are escaped."""
    if line.isprintable():
        return line
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in line)


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        RunError: it is not there, or damaged.
    """
    try:
        value = json.loads(_content(path))
        _check_depth(value)
        return value
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}; run the study again with --force") from None


def _check_depth(value: Any) -> None:
    layer: list[Any] = [value]
    for _ in range(_DEEPEST):
        layer = [item for node in layer for item in _inside(node) if isinstance(item, (dict, list))]
    if layer:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")


def _inside(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return cast("dict[str, Any]", node).values()
    return cast("list[Any]", node) if isinstance(node, list) else ()


def _content(path: Path) -> bytes:
    """The bytes of a file, which must be one: a pipe would be waited for, and a device has no end."""
    if path.exists() and not path.is_file():
        raise OSError("it is no regular file")
    return path.read_bytes()


def python_scalar(value: Any) -> Any:
    """A scalar of numpy as Python's, anything else as it is."""
    return cast("np.generic", value).item() if isinstance(value, np.generic) else value


def plain(value: Any) -> Any:
    """Numpy and pandas values as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple, np.ndarray, pd.Series, pd.Index)):
        return [plain(item) for item in cast("Iterable[Any]", value)]
    value = python_scalar(value)
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


_DEEPEST = 50  # lists and mappings in each other, in a JSON file of a run
#: A text that reads as a number, and that no number is written as here: `007`, `1E2`, `1.50`.
_LABEL = re.compile(r"^\s|^-?0\d|\.\d+0$|\s$|[eE]\d")
#: The same in a whole file, where a cell begins or ends; most have none, and then no cell is looked at.
_MAY_HOLD_LABELS = re.compile(
    r"""(?:^|[,"\r\n])(?:[^\S\n]|-?0\d)|"\s|\s["\r]|\.\d+0(?:[,"\r\n]|$)|[^\S\n](?:[,\n]|$)|[eE]\d"""
)
#: What a program may take for a separator, besides the comma; texts with one are quoted.
_SEPARATES = re.compile(r"[;|\t\r]")


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A table as CSV, numbers in full; an index that is a bare count is left out."""
    counted = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
    table = frame if counted else frame.reset_index()
    table = table.set_axis([csv_cell(str(name)) for name in table.columns], axis=1)
    safe, buffer = table.apply(_safe_text), io.StringIO()
    odd = any(_SEPARATES.search(text) for text in _texts(safe))
    quoting = csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL
    safe.to_csv(buffer, index=False, lineterminator="\n", quoting=quoting)
    return buffer.getvalue().encode("utf-8", "surrogatepass")


def _texts(table: pd.DataFrame) -> Iterator[str]:
    """All texts of a table, its titles first."""
    yield from map(str, table.columns)
    for _, column in table.items():
        if not _is_number(column):
            yield from (cell for cell in column.tolist() if isinstance(cell, str))


def read_csv(path: Path) -> pd.DataFrame:
    """A table that `csv_bytes` wrote.

    Raises:
        RunError: it is not there.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None
    table = _table(content, None)
    if _MAY_HOLD_LABELS.search(content.decode()):
        written = _table(content, str)
        for name in table.columns[[_is_number(column) for _, column in table.items()]]:
            if any(_LABEL.search(cell) for cell in written[name].dropna()):
                table[name] = written[name]
    for name in table.columns[[not _is_number(column) for _, column in table.items()]]:
        _unescape(table, name)
    return table.set_axis([csv_text(str(name)) for name in table.columns], axis=1)


def _table(content: bytes, kind: type[str] | None) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(content), dtype=kind, keep_default_na=False, na_values=[""])


def _missing(path: Path) -> RunError:
    return RunError(f"{path.name} is not in {path.parent}: the step that writes it has not been run")


def _safe_text(column: pd.Series[Any]) -> pd.Series[Any]:
    return (
        column
        if _is_number(column)
        else column.map(lambda cell: csv_cell(cell) if isinstance(cell, str) else cell)
    )


def _unescape(table: pd.DataFrame, name: str) -> None:
    cells = table[name].tolist()
    text = [csv_text(cell) if isinstance(cell, str) else cell for cell in cells]
    if text != cells:
        table[name] = pd.Series(text, index=table.index, dtype=table[name].dtype)


def _is_number(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column)
