"""From wide to long: a row for each measurement of a row of the file."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmmkit.errors import DataError, Findings, unknown_column
from lmmkit.model.table.labels import label_of
from lmmkit.study.data.raw_table import RawColumn, RawTable
from lmmkit.study.files.schema import Reshape


@dataclass(frozen=True)
class Stacking:
    """Which columns of a file become rows.

    Attributes:
        index: What each measurement is told by: the values of the new column, in order.
        measured: For each new column the column of the file at each value of the index, None where there is
            none.
        kept: Columns that are repeated on the rows of all measurements.
    """

    index: tuple[str, ...]
    measured: Mapping[str, tuple[str | None, ...]]
    kept: tuple[str, ...]

    def sources(self) -> list[str]:
        """For each measurement the columns of the file that hold it."""
        columns = zip(*self.measured.values(), strict=True)
        return [", ".join(filter(None, at)) for at in columns]

    def in_file(self, column: RawColumn) -> RawColumn:
        """A column that is kept, each of its cells once."""
        times = len(self.index)
        stored = None if column.stored is None else column.stored[::times]
        gaps = {name: count // times for name, count in column.gaps.items()}
        return replace(column, cells=column.cells[::times], stored=stored, gaps=gaps)

    def placed(self, message: str, column: str) -> str:
        """A message about rows of a column of the long table, with the rows and columns of the file.

        >>> made = Stacking(("1", "2"), {"y": ("y_t1", "y_t2")}, ("g",))
        >>> made.placed("y: row 4 holds 'n/a'", "y")
        "y: row 2 (y_t2) holds 'n/a'"
        """

        def place(found: re.Match[str]) -> str:
            row, at = divmod(int(found[1]) - 1, len(self.index))
            source = self.measured[column][at] if column in self.measured else None
            return f"row {row + 1}{f' ({source})' if source else ''}"

        return re.sub(r"\brow (\d+)\b", place, message)


def stacking_of(spec: Reshape, columns: Sequence[str]) -> Stacking:
    """Which of a file's columns a study turns into rows.

    Raises:
        DataError: A pattern that no column matches, a column that does not exist or is named twice, lists of
            different lengths.

    >>> spec = Reshape(measured={"y": "y_t*"}, index="time")
    >>> stacking_of(spec, ["id", "y_t1", "y_t2"])
    Stacking(index=('1', '2'), measured={'y': ('y_t1', 'y_t2')}, kept=('id',))
    """
    found, matched = Findings(), dict[str, dict[str, str]]()
    for name, given in spec.measured.items():
        with found.part("measured", name):
            matched[name] = _matched(name, given, columns)
    for name in spec.id or ():
        with found.part("id"):
            if name not in columns:
                raise DataError(unknown_column(name, columns))
    found.raise_found()
    index = list(dict.fromkeys(value for places in matched.values() for value in places))
    if spec.at is not None and len(spec.at) != len(index):
        raise DataError(
            f"reshape.at has {len(spec.at)} values for {len(index)} measurements ({', '.join(index[:12])}); "
            "give one for each, in the order of the columns"
        )
    measured = {name: tuple(places.get(value) for value in index) for name, places in matched.items()}
    used = {column for places in measured.values() for column in places if column}
    kept = tuple(spec.id) if spec.id is not None else tuple(name for name in columns if name not in used)
    stacking = Stacking(tuple(spec.at or index), measured, kept)
    _check_names(spec, stacking, used)
    return stacking


def _matched(name: str, given: str | Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    """The measured columns by what tells the measurements apart."""
    if not isinstance(given, str):
        absent = [column for column in given if column not in columns]
        if absent:
            raise DataError(unknown_column(absent[0], columns))
        return {column: column for column in given}
    before, after = given.split("*")
    pattern = re.compile(f"{re.escape(before)}(.+){re.escape(after)}")
    found = {match[1]: column for column in columns if (match := pattern.fullmatch(column))}
    if len(found) < 2:
        matched = f"only {next(iter(found.values()))} matches" if found else "no column matches"
        raise DataError(f"{matched} {given!r}; at least two columns are expected: {', '.join(columns[:12])}")
    return found


def _check_names(spec: Reshape, stacking: Stacking, used: set[str]) -> None:
    both = [name for name in stacking.kept if name in used]
    if both:
        raise DataError(f"reshape.id and reshape.measured both name {both[0]}; take it out of one")
    new = [spec.index, *spec.measured, *([spec.row] if spec.row else [])]
    taken = [name for name in new if name in stacking.kept or new.count(name) > 1]
    if taken:
        raise DataError(
            f"reshape makes a column {taken[0]}, of which there is one already; give it another name, or "
            "list under reshape.id which columns to keep"
        )


def reshaped(raw: RawTable, spec: Reshape) -> tuple[RawTable, Stacking]:
    """The table with a row for each measurement, those of a row of the file one after the other.

    Raises:
        DataError: As `stacking_of`, or measurements that are stored as different things.
    """
    stacking = stacking_of(spec, list(raw.columns))
    times = len(stacking.index)
    files_rows = np.repeat(np.arange(raw.rows), times)
    columns = {name: _repeated(raw.columns[name], files_rows) for name in stacking.kept}
    if spec.row:
        columns[spec.row] = RawColumn(spec.row, pa.array([str(row + 1) for row in files_rows.tolist()]))
    columns[spec.index] = RawColumn(spec.index, pa.array(list(stacking.index) * raw.rows, pa.string()))
    for name, places in stacking.measured.items():
        columns[name] = _interleaved(
            name, [raw.columns[place] if place else None for place in places], raw.rows
        )
    return replace(raw, columns=columns, rows=raw.rows * times), stacking


def _repeated(column: RawColumn, rows: Any) -> RawColumn:
    stored = None if column.stored is None else column.stored[rows]
    times = len(rows) // max(len(column.cells), 1)
    gaps = {name: times * count for name, count in column.gaps.items()}
    return replace(column, cells=pc.take(column.cells, pa.array(rows)), stored=stored, gaps=gaps)


def _interleaved(name: str, parts: Sequence[RawColumn | None], rows: int) -> RawColumn:
    """One column of several, the cells of each row of the file following one another."""
    given = [part for part in parts if part is not None]
    kinds = {str(part.cells.type) for part in given if not pa.types.is_null(part.cells.type)}
    texts = len(kinds) > 1 and not all(_is_number(part.cells.type) for part in given)
    table = pa.concat_tables(
        [pa.table({name: _cells_of(part, rows, texts=texts)}) for part in parts],
        promote_options="permissive",
    )
    order = np.arange(rows * len(parts)).reshape(len(parts), rows).T.ravel()
    cells = pc.take(table.column(0).combine_chunks(), pa.array(order))
    stored = None
    if texts or any(part.stored is not None for part in given):
        stored = np.concatenate([_stored_of(part, rows) for part in parts])[order]
        stored = stored if not np.isnan(stored).all() else None
    faults = tuple(dict.fromkeys(fault for part in given for fault in part.faults))
    gaps = sum((Counter(part.gaps) for part in given), Counter[str]())
    return RawColumn(name, cells, stored, any(part.labelled for part in given), faults, gaps)


def _is_number(kind: Any) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)


def _cells_of(part: RawColumn | None, rows: int, *, texts: bool) -> Any:
    if part is None:
        return pa.nulls(rows)
    if not texts or pa.types.is_string(part.cells.type):
        return part.cells
    plain = [None if item is None else label_of(item) for item in part.cells.to_pylist()]
    return pa.array(plain, pa.string())


def _stored_of(part: RawColumn | None, rows: int) -> Any:
    """The numbers that a sheet stores among the cells, NaN elsewhere."""
    if part is None:
        return np.full(rows, np.nan)
    if part.stored is not None:
        return part.stored
    if not _is_number(part.cells.type):
        return np.full(rows, np.nan)
    return np.array([np.nan if item is None else float(item) for item in part.cells.to_pylist()])
