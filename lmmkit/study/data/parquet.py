"""The prepared data as files: Parquet for the values, JSON for what the columns are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import pandas as pd

from lmmkit.errors import RunError
from lmmkit.study.data.load_table import Table


def frame_bytes(frame: pd.DataFrame) -> bytes:
    """A table as Parquet; its row labels, the positions in the input, are kept."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, engine="pyarrow")
    return buffer.getvalue()


def schema_of(table: Table) -> dict[str, Any]:
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
