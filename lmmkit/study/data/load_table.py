"""From the data file to the table that is analysed, with the ledger of its rows; and that table as files."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from lmmkit.errors import DataError, RunError, unknown_column
from lmmkit.model.formula.expression import check_expression, parse_expression
from lmmkit.model.table.evaluate import evaluate_expression
from lmmkit.study.data.sources import Base, check_pin, find_source, read_raw, sha256_of
from lmmkit.study.data.typed_columns import typed
from lmmkit.study.files.schema import Column, Data


class Ledger:
    """Which rows are still in, and the reason of each that is not; the first reason stands."""

    def __init__(self, rows: int):
        self.reasons = np.full(rows, "", dtype=object)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """A mask over the input's rows."""
        return self.reasons == ""

    def drop(
        self, frame: pd.DataFrame, out: NDArray[np.bool_], why: str | NDArray[np.object_]
    ) -> pd.DataFrame:
        """The frame without the rows of `out`, which go for one reason or one each.

        The frame's labels are positions in the input.
        """
        if not out.any():
            return frame
        self.reasons[frame.index[out]] = why
        return frame[~out]

    def table(self) -> pd.DataFrame:
        """Columns `row` (from 1, as the file counts its data rows), `status`, `reason`."""
        status = np.where(self.kept, "kept", "dropped")
        return pd.DataFrame({"row": np.arange(1, len(status) + 1), "status": status, "reason": self.reasons})

    def check_left(self) -> None:
        """Refuse to go on without rows.

        Raises:
            DataError: every row was dropped.
        """
        if self.kept.any():
            return
        counts = Counter(self.reasons.tolist()).most_common(5)
        listed = "; ".join(f"{number} x {reason}" for reason, number in counts)
        raise DataError(
            f"no rows are left of {len(self.reasons):,}: {listed}. Look at data.exclude, min, max and na"
        )


@dataclass(frozen=True)
class PreparedData:
    """The data of a study.

    Attributes:
        frame: The rows that are kept, typed; row labels are positions in the input from 0.
        rows: The ledger: `row`, `status`, `reason` of every input row.
        columns: One row per column: `column, type, unit, declared, missing, levels, low, high`.
        source: The file's name.
        sha256: The file's digest.
        read: The typed columns of the file before any row was dropped.
    """

    frame: pd.DataFrame
    rows: pd.DataFrame
    columns: pd.DataFrame
    source: str
    sha256: str
    read: pd.DataFrame


def load_table(data: Data, base: Base) -> PreparedData:
    """Read a data file as a study declares it.

    Rows leave in this order, each with its reason: values outside `min` and `max`; `exclude`
    expressions over columns of the file; then, once `derive` has made its columns from the rows that
    are left, expressions over those; last, missing values in a declared or derived column.

    Raises:
        DataError: the file, a column, a value or an expression is not as declared, or no row is left.
    """
    path = find_source(data.source, base)
    digest = sha256_of(path)
    check_pin(path, digest, data.sha256)
    read = _typed_frame(read_raw(path, data), data, path)
    ledger = Ledger(len(read))
    frame = _kept_rows(read, data, ledger)
    columns = pd.DataFrame([_column_facts(name, read, frame, data) for name in frame.columns])
    return PreparedData(frame, ledger.table(), columns, path.name, digest, read)


def _typed_frame(raw: pd.DataFrame, data: Data, path: Path) -> pd.DataFrame:
    """Every column with its type; declared ones must exist and hold something."""
    declared = [name for name in data.columns if name not in data.derive]
    for name in declared:
        if name not in raw.columns:
            raise DataError(f"{path.name}: {unknown_column(name, list(raw.columns))}")
        if raw[name].isna().all():
            raise DataError(
                f"{name} holds no value in any row of {path.name}; expected data, or leave the column out"
            )
    return pd.DataFrame(
        {name: typed(raw[name], data.columns.get(name), data.decimal) for name in raw.columns}
    )


def _kept_rows(frame: pd.DataFrame, data: Data, ledger: Ledger) -> pd.DataFrame:
    early = [
        text
        for text in data.exclude
        if not set(data.derive) & set(parse_expression(text, "exclude").variables)
    ]
    late = [text for text in data.exclude if text not in early]
    frame = _included(_plausible(frame, data.columns, ledger), early, ledger)
    ledger.check_left()
    frame = _with_derived(frame, data)
    frame = _plausible(
        frame, {name: data.columns[name] for name in data.derive if name in data.columns}, ledger
    )
    frame = _complete(_included(frame, late, ledger), data, ledger)
    ledger.check_left()
    return frame.apply(_without_unused_levels)


def _plausible(frame: pd.DataFrame, columns: Mapping[str, Column], ledger: Ledger) -> pd.DataFrame:
    for name, spec in columns.items():
        if name not in frame or (spec.min is None and spec.max is None):
            continue
        for bound, word in ((spec.min, "below"), (spec.max, "above")):
            frame = frame if bound is None else _within(frame, name, bound, word, ledger)
    return frame


def _within(frame: pd.DataFrame, name: str, bound: float, word: str, ledger: Ledger) -> pd.DataFrame:
    values = frame[name].to_numpy(dtype="float64", na_value=np.nan)
    out = values < bound if word == "below" else values > bound
    reasons = np.array([f"{name} {value:.12g} {word} {bound:.12g}" for value in values[out]], dtype=object)
    return ledger.drop(frame, out, reasons)


def _included(frame: pd.DataFrame, conditions: Sequence[str], ledger: Ledger) -> pd.DataFrame:
    for text in conditions:
        expression = check_expression(text, list(frame.columns), "exclude")
        frame = ledger.drop(frame, evaluate_expression(expression, frame), f"excluded: {text}")
    return frame


def _with_derived(frame: pd.DataFrame, data: Data) -> pd.DataFrame:
    for name, text in data.derive.items():
        if name in frame:
            raise DataError(f"data.derive makes {name}, which the file has already; give it another name")
        expression = check_expression(text, list(frame.columns), "derive")
        column = pd.Series(evaluate_expression(expression, frame), index=frame.index, name=name)
        spec = data.columns.get(name)
        frame = frame.assign(**{name: typed(column, spec) if spec and spec.type else column})
    return frame


def _complete(frame: pd.DataFrame, data: Data, ledger: Ledger) -> pd.DataFrame:
    """The rows without a missing value in a declared or derived column."""
    columns = np.array(list(dict.fromkeys([*data.columns, *data.derive])))
    gaps: NDArray[np.bool_] = frame.filter(columns.tolist()).isna().to_numpy()
    out: NDArray[np.bool_] = np.any(gaps, axis=1)
    names = [", ".join(columns[row]) for row in gaps[out]]
    if out.any() and data.missing == "error":
        row = int(frame.index[out][0]) + 1
        raise DataError(
            f"row {row} has no value for {names[0]} ({out.sum():,} such rows), and data.missing is `error`; "
            "fill the gaps, exclude the rows, or set data.missing: drop"
        )
    return ledger.drop(frame, out, np.array([f"missing {name}" for name in names], dtype=object))


def _without_unused_levels(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.cat.remove_unused_categories() if isinstance(column.dtype, pd.CategoricalDtype) else column


def _column_facts(name: str, read: pd.DataFrame, frame: pd.DataFrame, data: Data) -> dict[str, object]:
    """A column's type, what was declared, its gaps in the input and its extent in the rows kept."""
    spec, column = data.columns.get(name), frame[name]
    numeric = types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
    return {
        "column": name,
        "type": (spec and spec.type) or _kind(column),
        "unit": (spec and spec.unit) or "",
        "declared": name in data.columns or name in data.derive,
        "missing": int((read.get(name, column)).isna().sum()),
        "levels": column.nunique(),
        "low": float(column.min()) if numeric else np.nan,
        "high": float(column.max()) if numeric else np.nan,
    }


def _kind(column: pd.Series[Any]) -> str:
    if types.is_bool_dtype(column):
        return "yes/no"
    return "number" if types.is_numeric_dtype(column) else "factor"


# The prepared data as files: Parquet for the values, JSON for what the columns are.


def frame_bytes(frame: pd.DataFrame) -> bytes:
    """A table as Parquet; its row labels, the positions in the input, are kept."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, engine="pyarrow")
    return buffer.getvalue()


def schema_of(table: PreparedData) -> dict[str, Any]:
    """What the columns of a prepared table are: type, unit, levels; and where they come from."""
    return {
        "source": table.source,
        "sha256": table.sha256,
        "rows_read": len(table.rows),
        "rows_kept": len(table.frame),
        "columns": [
            {**facts, "order": _levels(table.frame, str(facts["column"]))}
            for facts in table.columns.to_dict("records")
        ],
    }


def read_frame(path: Path, schema: dict[str, Any]) -> pd.DataFrame:
    """The prepared data, each factor with its levels in their order.

    Raises:
        RunError: the file is not there, or damaged.
    """
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}; run step 01_data_prep again") from None
    orders = {facts["column"]: facts["order"] for facts in schema["columns"] if facts["order"] is not None}
    for name, order in orders.items():
        frame[name] = pd.Categorical(cast("Any", frame[name]), categories=order)
    return frame


def _levels(frame: pd.DataFrame, name: str) -> list[str] | None:
    column: pd.Series[Any] = frame[name]
    return list(column.cat.categories) if isinstance(column.dtype, pd.CategoricalDtype) else None
