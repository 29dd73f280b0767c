"""Files that store types, Parquet, Stata and SAS, as columns of exactly these types."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lmmkit.model.table.labels import label_of
from lmmkit.study.data.limits import check_bytes, check_shape
from lmmkit.study.data.raw_table import RawColumn, RawTable, column_names
from lmmkit.study.files.schema import Data

_INDEX = "__index_level_"
_AS_TEXT = (
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null),
    pa.types.is_time,
)


def read_parquet(path: Path, data: Data) -> RawTable:
    """The columns of a Parquet file with their own types; what pandas kept of an index is a column.

    Raises:
        DataError: beyond the limits, which its footer tells before a row is read.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        facts = file.metadata
        check_shape(facts.num_rows, len(file.schema_arrow), data.limits, path.name)
        groups = range(facts.num_row_groups)
        check_bytes(sum(facts.row_group(i).total_byte_size for i in groups), data.limits, path.name)
        table = file.read(use_threads=False)
    ordered = _ordered(table.schema.metadata or {})
    positions = [i for i, name in enumerate(table.column_names) if not name.startswith(_INDEX)]
    names = column_names([table.column_names[i] for i in positions], path.name)
    columns = {
        name: _from_arrow(name, table.column(i), table.column_names[i] in ordered)
        for name, i in zip(names, positions, strict=True)
    }
    return RawTable(columns, table.num_rows)


def _ordered(metadata: dict[bytes, bytes]) -> set[str]:
    """Columns that pandas wrote as categories, whose order is theirs."""
    try:
        columns = json.loads(metadata.get(b"pandas", b"{}")).get("columns", [])
        return {column["name"] for column in columns if column["pandas_type"] == "categorical"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()


def _from_arrow(name: str, cells: Any, ordered: bool) -> RawColumn:
    """A column of text, labels, numbers, truth, moments or spans; another type is refused when it is used."""
    if isinstance(cells.type, pa.UuidType):
        texts = [item and str(uuid.UUID(bytes=item)) for item in _storage(cells).to_pylist()]
        return RawColumn(name, _text_array(texts))
    if isinstance(cells.type, pa.BaseExtensionType):
        cells = _storage(cells)
    kind = cells.type
    if pa.types.is_dictionary(kind):
        return _dictionary(name, cells, ordered or kind.ordered)
    if any(is_text(kind) for is_text in _AS_TEXT):
        return RawColumn(name, cells.cast(pa.string()))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _binary(name, cells)
    if pa.types.is_float16(kind):
        return RawColumn(name, cells.cast(pa.float32()))
    if pa.types.is_nested(kind):
        empty = pa.chunked_array([pa.nulls(len(cells), pa.string())])
        return RawColumn(name, empty, faults=(f"{name} holds {kind} in each cell; expected single values",))
    return RawColumn(name, cells)


def _text_array(texts: list[str | None]) -> Any:
    return pa.chunked_array([pa.array(texts, pa.string())])


def _storage(cells: Any) -> Any:
    return pa.chunked_array([chunk.storage for chunk in cells.chunks], cells.type.storage_type)


def _dictionary(name: str, cells: Any, ordered: bool) -> RawColumn:
    """Labels in their order, or what an unordered dictionary of another type stands for."""
    if ordered and cells.num_chunks:
        whole = cells.unify_dictionaries().combine_chunks()
        texts = [label_of(item) for item in whole.dictionary.to_pylist()]
        if len(set(texts)) == len(texts):
            labels = pa.DictionaryArray.from_arrays(whole.indices, pa.array(texts, pa.string()))
            return RawColumn(name, pa.chunked_array([labels]), labelled=True)
    return _from_arrow(name, cells.cast(cells.type.value_type), False)


def _binary(name: str, cells: Any) -> RawColumn:
    """Bytes that are text in UTF-8, as old writers leave them; others are refused when they are used."""
    try:
        return RawColumn(name, cells.cast(pa.binary()).cast(pa.string()))
    except pa.ArrowInvalid:
        hexed = [None if item is None else item.hex() for item in cells.to_pylist()]
        fault = (
            f"{name} holds {cells.type}, bytes that are no text in UTF-8; write the column as text or numbers"
        )
        return RawColumn(name, _text_array(hexed), faults=(fault,))


def read_stata(path: Path, data: Data) -> RawTable:
    """The columns of a Stata file: numbers, dates, text, and value labels in the order of their codes.

    A column of which only some values have labels is text with the numbers beside it. Two codes with one
    label stay codes.
    """
    check_bytes(path.stat().st_size, data.limits, path.name)
    frame = pd.read_stata(path, convert_categoricals=False)
    check_shape(len(frame), len(frame.columns), data.limits, path.name)
    labelled, notices = _value_labels(path, frame)
    gaps = _lettered_gaps(path, frame)
    names = column_names(frame.columns, path.name)
    columns = {
        name: replace(
            _stata_column(name, frame.iloc[:, i], labelled.get(written)), gaps=gaps.get(written, {})
        )
        for i, (name, written) in enumerate(zip(names, map(str, frame.columns), strict=True))
    }
    return RawTable(columns, len(frame), notices=tuple(notices))


def _lettered_gaps(path: Path, frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    """How many cells of each column of numbers are missing as .a to .z, by column and letter."""
    gappy = [str(name) for name in frame if frame[name].dtype.kind in "iuf" and frame[name].isna().any()]
    if not gappy:
        return {}
    cells = pd.read_stata(
        path, columns=gappy, convert_missing=True, convert_dates=False, convert_categoricals=False
    )
    missing = {name: Counter(map(str, cells[name][frame[name].isna().to_numpy()])) for name in gappy}
    return {
        name: {text: count for text, count in found.items() if text != "."} for name, found in missing.items()
    }


def _value_labels(path: Path, frame: pd.DataFrame) -> tuple[dict[str, pd.Series[Any]], list[str]]:
    """The columns that have value labels, as categories; those whose labels are not unique are told."""
    numeric = [str(name) for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])]
    try:
        return _categories(path, numeric), []
    except ValueError:
        pass
    found: dict[str, pd.Series[Any]] = {}
    notices: list[str] = []
    for name in numeric:
        try:
            found |= _categories(path, [name])
        except ValueError:
            notices.append(f"{name}: two of its value labels are the same text, so its codes are read")
    return found, notices


def _categories(path: Path, names: Collection[str]) -> dict[str, pd.Series[Any]]:
    if not names:
        return {}
    frame = pd.read_stata(path, columns=list(names), convert_categoricals=True)
    return {str(name): frame[name] for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)}


def _stata_column(name: str, values: pd.Series[Any], labels: pd.Series[Any] | None) -> RawColumn:
    if labels is None:
        return from_pandas(name, values)
    codes = values.to_numpy(np.float64, na_value=np.nan)
    categories = [item if isinstance(item, str) else label_of(item) for item in labels.cat.categories]
    named = {i for i, item in enumerate(labels.cat.categories) if isinstance(item, str)}
    places = labels.cat.codes.to_numpy()
    used = set(np.unique(places[places >= 0]).tolist())
    if used <= named and len(set(categories)) == len(categories):
        kept = pa.array(places.astype(np.int32), mask=places < 0)
        return RawColumn(
            name, pa.chunked_array([pa.DictionaryArray.from_arrays(kept, categories)]), codes, True
        )
    if not used & named:
        return from_pandas(name, values)
    texts = [None if place < 0 else categories[place] for place in places.tolist()]
    stored = np.where(np.isin(places, list(named)), np.nan, codes)
    return RawColumn(name, _text_array(texts), stored)


def read_sas(path: Path, data: Data) -> RawTable:
    """The columns of a SAS file: numbers, dates and text."""
    check_bytes(path.stat().st_size, data.limits, path.name)
    form = "xport" if path.name.lower().endswith("xpt") else "sas7bdat"
    with pd.read_sas(path, format=form, encoding=data.encoding, iterator=True) as reader:
        rows, width = getattr(reader, "row_count", 0), getattr(reader, "column_count", 0)
        check_shape(int(rows or 0), int(width or 0), data.limits, path.name)
        frame = reader.read()
    names = column_names(frame.columns, path.name)
    return RawTable({name: from_pandas(name, frame.iloc[:, i]) for i, name in enumerate(names)}, len(frame))


def from_pandas(name: str, values: pd.Series[Any]) -> RawColumn:
    """A column that pandas read, NaN being a missing cell."""
    kind = values.dtype
    if isinstance(kind, np.dtype) and kind.kind in "iufbM":
        cells = pa.array(values.to_numpy(), from_pandas=True)
    else:
        cells = pa.array([None if pd.isna(item) else str(item) for item in values.tolist()], pa.string())
    return RawColumn(name, pa.chunked_array([cells]))
