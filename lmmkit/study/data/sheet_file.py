"""A sheet of a workbook as columns: cells keep what the sheet stores, and no formula counts as empty."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lmmkit.errors import DataError, did_you_mean
from lmmkit.model.table.labels import EXACT, label_of
from lmmkit.study.data.limits import check_bytes, check_shape
from lmmkit.study.data.raw_table import RawColumn, RawTable, column_names, no_rows
from lmmkit.study.files.schema import Data

_MOMENTS = (datetime.datetime, datetime.date)


def sheet_names(path: Path) -> list[str]:
    """Names of the sheets of a workbook that hold cells, in its order.

    Raises:
        DataError: it is no workbook.
    """
    with _book(path, values=True) as book:
        return [sheet.title for sheet in book.worksheets]


def sheet_rows(path: Path, sheet: str | None, most: int) -> list[tuple[int, list[str]]]:
    """The first rows of a sheet as text, each with its number; a cell that holds nothing is empty text.

    Raises:
        DataError: no workbook, no such sheet, or one beyond the limits.
    """
    data = Data(source=path.name, sheet=sheet)
    _check_size(path, data)
    with closing(_rows(path, data, values=True)) as rows:
        first = list(islice(rows, most))
    return [(number, ["" if cell is None else _text(cell) for cell in cells]) for number, cells in first]


def read_sheet(path: Path, data: Data) -> RawTable:
    """The table in a sheet: the study's, else the first.

    Raises:
        DataError: no workbook, no such sheet, beyond the limits, a row that is longer than the header.
    """
    _check_size(path, data)
    rows = list(_rows(path, data, values=True))
    above = max(data.header - 1, 0)
    filled = [(number, cells) for number, cells in rows[above:] if any(cell is not None for cell in cells)]
    if len(filled) < (2 if data.header else 1):
        raise no_rows(path.name)
    head = filled[0][1] if data.header else []
    body = filled[1:] if data.header else filled
    width = max(len(cells) for _, cells in filled)
    check_shape(len(body), width, data.limits, path.name)
    names = column_names([*head, *[None] * (width - len(head))], path.name)
    gaps = any(len(cells) < width or None in cells for _, cells in body)
    uncalculated = _uncalculated(path, data) if gaps else {}
    columns = {
        name: _column(
            name, i, [cells[i] if i < len(cells) else None for _, cells in body], body, uncalculated
        )
        for i, name in enumerate(names)
    }
    kept = {
        name: column
        for i, (name, column) in enumerate(columns.items())
        if column.cells.null_count < len(body) or (i < len(head) and head[i] is not None)
    }
    counts = {
        "header": int(bool(data.header)),
        "above the header": above,
        "rows": len(body),
        "blank": len(rows) - above - len(filled),
    }
    return RawTable(kept, len(body), counts)


def _check_size(path: Path, data: Data) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            check_bytes(sum(entry.file_size for entry in archive.infolist()), data.limits, path.name)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path.name} cannot be read: it is no XLSX workbook ({error})") from None


@contextmanager
def _book(path: Path, *, values: bool) -> Generator[Any]:
    """A workbook, closed at the end; its cells are the values of formulas, or the formulas."""
    import openpyxl  # heavy

    with path.open("rb") as stream:
        try:
            book = openpyxl.load_workbook(stream, read_only=True, data_only=values, keep_links=False)
        except Exception as error:
            raise DataError(f"{path.name} cannot be read: it is no XLSX workbook ({error})") from None
        try:
            yield book
        finally:
            book.close()


def _sheet(book: Any, path: Path, data: Data) -> Any:
    names = [sheet.title for sheet in book.worksheets]
    if data.sheet is not None and data.sheet not in names:
        near = did_you_mean(data.sheet, names) or "."
        raise DataError(f"{path.name} has no sheet {data.sheet!r}{near} Sheets: {', '.join(names)}")
    if not names:
        raise DataError(f"{path.name} has no sheet with cells")
    return book[data.sheet] if data.sheet is not None else book.worksheets[0]


def _rows(path: Path, data: Data, *, values: bool) -> Generator[tuple[int, list[Any]]]:
    """Each row's number and its cells up to the last that holds something; formulas are told from values."""
    with _book(path, values=values) as book:
        sheet = _sheet(book, path, data)
        sheet.reset_dimensions()
        for number, row in enumerate(sheet.iter_rows(), 1):
            made = [None if cell.value is None or cell.value == "" else cell for cell in row]
            while made and made[-1] is None:
                made.pop()
            check_shape(number, len(made), data.limits, path.name)
            yield number, [None if cell is None else _value(cell) for cell in made]


class ErrorCell(str):
    """The text of a cell that holds an error, such as #N/A."""


def _value(cell: Any) -> Any:
    return ErrorCell(cell.value) if cell.data_type == "e" else cell.value


def _uncalculated(path: Path, data: Data) -> dict[tuple[int, int], str]:
    """Formulas by row and place; one whose value the workbook does not hold reads as an empty cell."""
    with zipfile.ZipFile(path) as archive:
        sheets = [entry for entry in archive.namelist() if entry.startswith("xl/worksheets/")]
        if not any(b"<f" in archive.read(entry) for entry in sheets):
            return {}
    return {
        (number, i): str(value)
        for number, cells in _rows(path, data, values=False)
        for i, value in enumerate(cells)
        if isinstance(value, str) and value.startswith("=")
    }


def _column(
    name: str,
    place: int,
    values: Sequence[Any],
    body: Sequence[tuple[int, list[Any]]],
    uncalculated: dict[tuple[int, int], str],
) -> RawColumn:
    faults = [
        f"{name}: row {i + 1} (row {number} of the sheet) holds the formula {uncalculated[number, place]!r} "
        "whose value the workbook does not hold; open it in a spreadsheet program and save it"
        for i, (number, _) in enumerate(body)
        if values[i] is None and (number, place) in uncalculated
    ]
    faults += [
        f"{name}: row {i + 1} (row {body[i][0]} of the sheet) holds the error {value}; mend the sheet, or "
        "empty the cell"
        for i, value in enumerate(values)
        if isinstance(value, ErrorCell)
    ]
    cells, stored = _cells(values)
    return RawColumn(name, cells, stored, faults=tuple(faults[:1]))


def _cells(values: Sequence[Any]) -> tuple[Any, Any]:
    """Cells of one kind as an Arrow array of it; of several as text, with the numbers among them."""
    kinds = {_kind(value) for value in values if value is not None}
    if kinds == {"truth"}:
        return pa.array(values, pa.bool_()), None
    if kinds == {"moments"}:
        moments = [None if value is None else _moment(value) for value in values]
        return pa.array(moments, pa.timestamp("us")), None
    if kinds == {"numbers"}:
        numbers = [value for value in values if value is not None]
        whole = all(isinstance(value, int) for value in numbers)
        if whole and all(-(2**63) <= value < 2**63 for value in numbers):
            return pa.array(values, pa.int64()), None
        if all(isinstance(value, float) or abs(value) <= EXACT for value in numbers):
            return pa.array(values, pa.float64()), None
    text = pa.array([None if value is None else _text(value) for value in values], pa.string())
    if "numbers" not in kinds:
        return text, None
    stored = [float(value) if _kind(value) == "numbers" else np.nan for value in values]
    return text, np.array(stored, np.float64)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, (int, float)):
        return "numbers"
    return "moments" if isinstance(value, _MOMENTS) else "text"


def _moment(value: datetime.date) -> datetime.datetime:
    if isinstance(value, datetime.datetime):
        return value
    return datetime.datetime(value.year, value.month, value.day)


def _text(value: Any) -> str:
    if isinstance(value, _MOMENTS):
        moment = _moment(value)
        whole = moment.time() == datetime.time()
        return moment.date().isoformat() if whole else moment.isoformat()
    return label_of(value)
