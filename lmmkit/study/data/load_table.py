"""From the data file to the table that is analysed, with the ledger of its rows; and that table as files."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pandas.api import types

from lmmkit.errors import DataError, Findings, RunError, unknown_column
from lmmkit.model.formula.expression import check_expression, parse_expression
from lmmkit.model.table.evaluate import evaluate_expression
from lmmkit.study.data.missing_codes import codes_of
from lmmkit.study.data.raw_table import LINES, RawColumn, RawTable
from lmmkit.study.data.reshape import Stacking, reshaped
from lmmkit.study.data.sources import Base, check_pin, find_source, read_raw, sha256_of
from lmmkit.study.data.suspects import suspected_codes, suspected_totals
from lmmkit.study.data.typed_columns import Typed, typed
from lmmkit.study.data.typed_files import from_pandas
from lmmkit.study.files.roles import roles
from lmmkit.study.files.schema import Column, Data


class Ledger:
    """Which rows are still in, and the reason of each that is not; the first reason stands."""

    def __init__(self, rows: int, stacking: Stacking | None = None):
        self.reasons = np.full(rows, "", dtype=object)
        self.kept = np.ones(rows, bool)
        self.stacking = stacking
        self.incomplete = pd.DataFrame()

    def drop(
        self, frame: pd.DataFrame, out: NDArray[np.bool_], why: str | NDArray[np.object_]
    ) -> pd.DataFrame:
        """The frame without the rows of `out`, which go for one reason or one each.

        The frame's labels are positions in the input.
        """
        if not out.any():
            return frame
        self.reasons[frame.index[out]] = why
        self.kept[frame.index[out]] = False
        return frame[~out]

    def note_members(self, members: pd.DataFrame) -> None:
        """Say of the rows that are kept which members of theirs are missing."""
        gaps: NDArray[np.bool_] = members.isna().to_numpy()
        names = members.columns.to_numpy()
        for row in np.flatnonzero(gaps.any(axis=1)).tolist():
            self.reasons[members.index[row]] = f"no member in {', '.join(names[gaps[row]])}"

    def table(self) -> pd.DataFrame:
        """Columns `row` (from 1, as the file counts its data rows), `status`, `reason`.

        Of a wide file made long also `file_row` and `measured`, the columns that the row is made of.
        """
        status = pc.if_else(pa.array(self.kept), "kept", "dropped")
        reason = pa.array(self.reasons, pa.string())
        numbers = pd.Series(np.arange(1, len(status) + 1))
        table = pd.DataFrame({"row": numbers, "status": status.to_pandas(), "reason": reason.to_pandas()})
        if self.stacking is None:
            return table
        sources, times = self.stacking.sources(), len(self.stacking.index)
        return table.assign(
            file_row=np.repeat(np.arange(1, len(status) // times + 1), times),
            measured=sources * (len(status) // times),
        )

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
        columns: One row per column: `column, type, unit, declared, missing, levels, low, high,
            why, label, labels`.
        lines: What the lines of the file are (`what`, `lines`); they add up to all of them.
        codes: Cells in which each code of a missing value was found: `column`, `code`, `cells`.
        notices: What a user should know, a sentence each.
        source: The file's name.
        sha256: The file's digest.
        read: The typed columns of the file before any row was dropped.
        incomplete: The rows that were dropped for a missing value alone, typed as those kept.
    """

    frame: pd.DataFrame
    rows: pd.DataFrame
    columns: pd.DataFrame
    lines: pd.DataFrame
    codes: pd.DataFrame
    notices: tuple[str, ...]
    source: str
    sha256: str
    read: pd.DataFrame
    incomplete: pd.DataFrame


def load_table(data: Data, base: Base) -> PreparedData:
    """Read a data file as a study declares it.

    Rows leave in this order, each with its reason: values outside `min` and `max`; `exclude`
    expressions over columns of the file; then, once `derive` has made its columns from the rows that
    are left, expressions over those; last, missing values in a declared or derived column.

    A wide file is made long first; its ledger then says of each row which row and column of the file it is.

    Raises:
        DataError: the file, columns, values or expressions are not as declared, all that is wrong at once and
            each with its key; or no row is left.
    """
    path, digest, raw, stacking = _read(data, base)
    columns = _typed_columns(raw, data, path.name, stacking)
    read = pd.DataFrame({name: column.values for name, column in columns.items()}, copy=False)
    ledger = Ledger(len(read), stacking)
    frame = _kept_rows(read, data, ledger)
    facts = pd.DataFrame([_column_facts(name, read, frame, data, columns) for name in frame.columns])
    facts["levels"] = facts["levels"].astype("Int64")  # of columns that the study does not use, not counted
    used = {name: columns[name] for name in columns if name in data.columns}
    return PreparedData(
        frame,
        ledger.table(),
        facts,
        _account(raw, ledger),
        _code_counts(used),
        (
            *raw.notices,
            *_notices(used, data),
            *_totals(raw, stacking, ledger),
            *_gaps(used, ledger),
            *(_shape(raw, stacking) if stacking else ()),
        ),
        path.name,
        digest,
        read,
        ledger.incomplete,
    )


def _read(data: Data, base: Base) -> tuple[Path, str, RawTable, Stacking | None]:
    """The file, its digest, its table made long, and how."""
    found = Findings()
    with found.part("source"):
        path = find_source(data.source, base)
        digest = sha256_of(path)
        with found.part("sha256"):
            check_pin(path, digest, data.sha256)
        raw = read_raw(path, data)
        with found.part("reshape"):
            table, stacking = (raw, None) if data.reshape is None else reshaped(raw, data.reshape)
            if not found.errors:
                return path, digest, table, stacking
    raise found.joined()


def _typed_columns(raw: RawTable, data: Data, file: str, stacking: Stacking | None) -> dict[str, Typed]:
    """Every column of a file with its type.

    Raises:
        DataError: all that is wrong with the columns and expressions of the study.
    """
    uses = roles((), (), data.derive.values(), data.exclude)
    made, found = dict[str, Typed](), Findings()
    for name in data.columns:
        with found.part("columns", name):
            if name not in data.derive and name not in raw.columns:
                raise DataError(f"{file}: {_no_column(name, raw)}")
    for name, column in raw.columns.items():
        spec = data.columns.get(name) or (Column(role=uses[name]) if name in uses else None)
        with found.part("columns", name):
            try:
                made[name] = typed(column, spec, data)
            except DataError as error:
                if spec is not None:
                    raise _placed(error, column, spec, data, stacking) from None
                made[name] = typed(column, Column(type="factor"), data)
    _check_names(data, list(raw.columns), found)
    found.raise_found()
    return made


def _placed(
    error: DataError, column: RawColumn, spec: Column, data: Data, stacking: Stacking | None
) -> DataError:
    """The error with rows and columns as the file has them."""
    if stacking is None:
        return error
    if column.name in stacking.kept:
        try:
            typed(stacking.in_file(column), spec, data)
        except DataError as once:
            return once
    return DataError(stacking.placed(str(error), column.name))


def _check_names(data: Data, columns: Sequence[str], found: Findings) -> None:
    """Find the expressions that use what is no column."""
    known = list(columns)
    for name, text in data.derive.items():
        with found.part("derive", name):
            if name in columns:
                raise DataError(f"data.derive makes {name}, which the file has already; give it another name")
            check_expression(text, known, "derive")
        known.append(name)
    for number, text in enumerate(data.exclude):
        with found.part("exclude", number):
            check_expression(text, known, "exclude")


def _no_column(name: str, raw: RawTable) -> str:
    """The sentence about a column that is not there; a file of one column has another separator, perhaps."""
    only = next(iter(raw.columns)) if len(raw.columns) == 1 else ""
    mark = next((mark for mark in (";", "\t", ",", "|") if mark in only), None)
    mark = mark or (" " if name in only.split() else None)
    hint = (
        f" The file has one column; if {mark!r} separates its cells, say data.sep: {mark!r}" if mark else ""
    )
    return unknown_column(name, list(raw.columns)) + hint


def _account(raw: RawTable, ledger: Ledger) -> pd.DataFrame:
    """What the lines of a file are, rows kept and dropped among them."""
    kept = int(ledger.kept.sum())
    lines = {what: raw.lines[what] for what in LINES if raw.lines.get(what) and what != "rows"}
    counts = {"rows kept": kept, "rows dropped": raw.rows - kept, **lines}
    order = ["above the header", "header", "rows kept", "rows dropped", "blank", "comment", "continuation"]
    told = [what for what in order if what in counts]
    return pd.DataFrame({"what": told, "lines": [counts[what] for what in told]})


def _code_counts(columns: Mapping[str, Typed]) -> pd.DataFrame:
    counts = [
        {"column": name, "code": code or "(empty)", "cells": cells}
        for name, column in columns.items()
        for code, cells in column.codes.items()
    ]
    return pd.DataFrame(counts, columns=["column", "code", "cells"])


def _totals(raw: RawTable, stacking: Stacking | None, ledger: Ledger) -> Iterator[str]:
    """Rows of totals among the rows that are kept."""
    for at, sentence in suspected_totals(raw, len(stacking.index) if stacking else 1):
        if ledger.kept[at]:
            yield sentence


def _gaps(columns: Mapping[str, Typed], ledger: Ledger) -> Iterator[str]:
    """Columns that hold a value in fewer than half of the rows, which go for it."""
    rows = len(ledger.kept)
    for name, column in columns.items():
        missing = int(column.values.isna().sum())
        if 2 * missing > rows:
            yield (
                f"{name} has no value in {missing:,} of {rows:,} rows, which are dropped; if a cell stands "
                "for the empty ones below it, fill them in the file"
            )


def _shape(raw: RawTable, stacking: Stacking) -> list[str]:
    times = len(stacking.index)
    return [
        f"each of the {raw.rows // times:,} rows of the file gives {times} rows, one for each measurement"
    ]


def _notices(columns: Mapping[str, Typed], data: Data) -> list[str]:
    """What was settled about the columns, values that may be codes, and codes that no cell holds."""
    index = data.reshape.index if data.reshape else None  # made from names, of which none means missing
    suspects = [
        f"{name}: {sentence}"
        for name, column in columns.items()
        if column.type == "number"
        and name != index
        and (sentence := suspected_codes(column.values.to_numpy(np.float64, na_value=np.nan)))
    ]
    found = {code for column in columns.values() for code in column.codes}
    unmatched = [
        f"data.na lists {code.text!r}, which is in no cell of the columns that the study uses"
        for code in codes_of(data)
        if code.given and code.text not in found
    ]
    return [notice for column in columns.values() for notice in column.notices] + suspects + unmatched


def _kept_rows(frame: pd.DataFrame, data: Data, ledger: Ledger) -> pd.DataFrame:
    conditions = dict(enumerate(data.exclude))
    late = {
        number: text
        for number, text in conditions.items()
        if set(data.derive) & set(parse_expression(text, "exclude").variables)
    }
    early = {number: text for number, text in conditions.items() if number not in late}
    whole = frame
    frame = _included(_plausible(frame, data.columns, ledger), early, ledger)
    ledger.check_left()
    frame = _with_derived(frame, data)
    frame = _plausible(
        frame, {name: data.columns[name] for name in data.derive if name in data.columns}, ledger
    )
    frame = _complete(_included(frame, late, ledger), data, ledger)
    ledger.check_left()
    _check_references(whole, frame, data, ledger)
    return _without_unused_levels(frame, data)


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


def _check_references(whole: pd.DataFrame, kept: pd.DataFrame, data: Data, ledger: Ledger) -> None:
    """Refuse a declared reference level that no row is left of: another would take its place.

    Raises:
        DataError: there is such a level.
    """
    found = Findings()
    for name, spec in data.columns.items():
        if spec.reference is None or (kept[name] == spec.reference).any():
            continue
        with found.part("columns", name, "reference"):
            mine = (whole[name] == spec.reference).to_numpy() if name in whole else np.zeros(len(whole), bool)
            why = Counter[str](ledger.reasons[whole.index[mine]].tolist()).most_common(3)
            rows = "; ".join(f"{count:,} x {reason}" for reason, count in why)
            raise DataError(
                f"{name}: no row is left of its reference {spec.reference!r} "
                f"({rows or 'no row of the file has it'}), and another level would take its place; name "
                "another reference, or keep its rows"
            )
    found.raise_found()


def _included(frame: pd.DataFrame, conditions: Mapping[int, str], ledger: Ledger) -> pd.DataFrame:
    """The rows for which no condition, by its number in the study, holds."""
    found, out = Findings(), dict[str, NDArray[np.bool_]]()
    for number, text in conditions.items():
        with found.part("exclude", number):
            expression = check_expression(text, list(frame.columns), "exclude")
            out[text] = evaluate_expression(expression, frame)
    found.raise_found()
    whole = frame.index
    for text, mask in out.items():
        frame = ledger.drop(frame, mask[whole.get_indexer(frame.index)], f"excluded: {text}")
    return frame


def _with_derived(frame: pd.DataFrame, data: Data) -> pd.DataFrame:
    """The frame with the derived columns, in which no code means a missing value."""
    plain = Data(source=data.source, na_defaults=False)
    found = Findings()
    for name, text in data.derive.items():
        with found.part("derive", name):
            expression = check_expression(text, list(frame.columns), "derive")
            column = pd.Series(evaluate_expression(expression, frame), index=frame.index, name=name)
            spec = data.columns.get(name)
            if spec and spec.type:
                made = typed(from_pandas(name, column), spec, plain).values
                column = made.set_axis(frame.index)
            frame = frame.assign(**{name: column})
    found.raise_found()
    return frame


def _complete(frame: pd.DataFrame, data: Data, ledger: Ledger) -> pd.DataFrame:
    """The rows without a missing value in a declared or derived column; a row may lack members of mm()."""
    spare = [name for name, spec in data.columns.items() if spec.role in ("member", "member weight")]
    columns = np.array(list(dict.fromkeys([*data.columns, *data.derive])))
    columns = columns[~np.isin(columns, spare)]
    gaps: NDArray[np.bool_] = frame.filter(columns.tolist()).isna().to_numpy()
    out: NDArray[np.bool_] = np.any(gaps, axis=1)
    names = [", ".join(columns[row]) for row in gaps[out]]
    if out.any() and data.missing == "error":
        row = int(frame.index[out][0]) + 1
        raise DataError(
            f"row {row} has no value for {names[0]} ({out.sum():,} such rows), and data.missing is `error`; "
            "fill the gaps, exclude the rows, or set data.missing: drop"
        )
    ledger.incomplete = frame[out]
    kept = ledger.drop(frame, out, np.array([f"missing {name}" for name in names], dtype=object))
    ledger.note_members(kept.filter([name for name in spare if data.columns[name].role == "member"]))
    return kept


def _without_unused_levels(frame: pd.DataFrame, data: Data) -> pd.DataFrame:
    """Factors without levels that no row has; listed ones between others stay: they may be a gap in time."""
    listed = {name for name, spec in data.columns.items() if spec.levels is not None}
    fewer: dict[str, Any] = {}
    for name in map(str, frame):
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            codes = frame[name].cat.codes.to_numpy().astype(np.intp)
            unused = np.bincount(codes + 1, minlength=len(frame[name].cat.categories) + 1)[1:] == 0
            if name in listed and not unused.all():
                used = np.flatnonzero(~unused)
                unused[used[0] : used[-1]] = False
            if unused.any():
                fewer[name] = frame[name].cat.set_categories(frame[name].cat.categories[~unused])
    return frame.assign(**fewer)


def _column_facts(
    name: str, read: pd.DataFrame, frame: pd.DataFrame, data: Data, columns: Mapping[str, Typed]
) -> dict[str, object]:
    """A column's type, what was declared, its gaps in the input and its extent in the rows kept."""
    spec, column, made = data.columns.get(name), frame[name], columns.get(name)
    numeric = types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
    return {
        "column": name,
        "type": (spec and spec.type) or (made.type if made else _kind(column)),
        "unit": (spec and spec.unit) or (made.unit if made else ""),
        "declared": name in data.columns or name in data.derive,
        "missing": int((read.get(name, column)).isna().sum()),
        # Unused levels of a factor are not counted.
        "levels": column.nunique() if name in data.columns or name in data.derive else None,
        "low": float(column.min()) if numeric else np.nan,
        "high": float(column.max()) if numeric else np.nan,
        "why": made.why if made else "it is derived",
        "label": (spec and spec.label) or "",
        "labels": dict(spec.labels) if spec else {},
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
        "lines": dict(zip(table.lines["what"], table.lines["lines"].tolist(), strict=True)),
        "codes": table.codes.to_dict("records"),
        "notices": list(table.notices),
        "columns": [
            {
                **facts,
                "levels": None if pd.isna(facts["levels"]) else int(facts["levels"]),
                "order": _levels(table.frame, str(facts["column"])),
            }
            for facts in table.columns.to_dict("records")
        ],
    }


def with_gaps(kept: pd.DataFrame, incomplete: pd.DataFrame) -> pd.DataFrame:
    """The rows that are kept and those with a missing value, in the order of the file.

    Levels that only the latter have stand after the others.
    """
    parts = [kept.copy(deep=False), incomplete[list(kept)].copy(deep=False)]
    for name in kept:
        if isinstance(kept[name].dtype, pd.CategoricalDtype):
            known = list(kept[name].cat.categories)
            found = pd.unique(incomplete[name].dropna())
            levels = [*known, *(level for level in found if level not in known)]
            for part in parts:
                part[name] = pd.Categorical(part[name], categories=levels)
    return pd.concat(parts).sort_index()


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
