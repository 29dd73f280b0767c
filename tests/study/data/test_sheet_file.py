"""A sheet of a workbook: where its table stands, and what its cells are."""

import datetime
import zipfile

import numpy as np
import pytest

from lmmkit.errors import DataError
from lmmkit.study.data.sheet_file import read_sheet, sheet_names, sheet_rows
from lmmkit.study.files.schema import Data, Limits

openpyxl = pytest.importorskip("openpyxl")


@pytest.fixture
def book(tmp_path):
    """Save a workbook: rows of its first sheet, and those of others by name."""

    def call(*rows, **more):
        made = openpyxl.Workbook()
        made.active.title = "one"
        sheets = [(made.active, rows), *((made.create_sheet(name), cells) for name, cells in more.items())]
        for sheet, cells in sheets:
            for row in cells:
                sheet.append(row)
        made.save(tmp_path / "d.xlsx")
        return tmp_path / "d.xlsx"

    return call


def read(path, **settings):
    return read_sheet(path, Data(source=path.name, **settings))


def cells(table):
    return {name: column.cells.to_pylist() for name, column in table.columns.items()}


@pytest.mark.parametrize(
    ("header", "columns", "lines"),
    [
        (3, {"y": [1, 2], "g": ["a", "b"]}, (1, 2, 2, 2)),
        (5, {"1": [2], "a": ["b"]}, (1, 4, 1, 1)),
        (0, {"column1": ["t", "y", "1", "2"], "column2": [None, "g", "a", "b"]}, (0, 0, 4, 3)),
    ],
)
def test_the_header_stands_in_its_row_and_every_row_is_counted(book, header, columns, lines):
    path = book(["t"], [], ["y", "g", None], [], [1, "a"], [None, None], [2, "b", None])
    table = read(path, header=header)
    assert cells(table) == columns
    assert table.lines == dict(zip(("header", "above the header", "rows", "blank"), lines, strict=True))
    assert table.rows == lines[2]


def test_rows_are_needed_and_columns_without_name_and_cell_are_none(book):
    assert cells(read(book([1, "a"]), header=0)) == {"column1": [1], "column2": ["a"]}
    with pytest.raises(DataError, match=r"^d.xlsx has no rows; expected a header and at least one row"):
        read(book(["y", "g"]))
    assert cells(read(book(["y", "g"], [1, "a", 5], [2, "b"]))) == {
        "y": [1, 2], "g": ["a", "b"], "column3": [5, None],
    }  # fmt: skip
    assert cells(read(book(["y", "", "g"], [1, None, None]))) == {"y": [1], "g": [None]}
    assert cells(read(book(["y", "g"], [1]))) == {"y": [1], "g": [None]}


def test_the_sheet_is_the_one_that_is_named_or_the_first(book):
    path = book(["y"], [1], two=[["z"], [3]])
    assert sheet_names(path) == ["one", "two"]
    assert cells(read(path)) == {"y": [1]}
    assert cells(read(path, sheet="two")) == {"z": [3]}
    for name, near in (("twoo", "; did you mean `two`?"), ("qqq", ".")):
        with pytest.raises(DataError) as raised:
            read(path, sheet=name)
        assert str(raised.value) == f"d.xlsx has no sheet {name!r}{near} Sheets: one, two"
    assert sheet_rows(book(["y", "g"], [], [1, None, "b"], [2]), None, 3) == [
        (1, ["y", "g"]), (2, []), (3, ["1", "", "b"]),
    ]  # fmt: skip


def test_cells_of_one_kind_keep_it_and_those_of_several_are_text(book):
    day, moment = datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 10)
    table = read(
        book(
            ["moments", "days", "mixed", "halves", "odd", "truth", "whole", "words"],
            [moment, day, moment, 1, 1.5, True, 3, "a"],
            [None, day, "x", 2.5, "q", False, None, None],
            [moment, None, day, None, True, None, 4, "b"],
        )
    )
    midnight = datetime.datetime(2024, 1, 2)
    assert cells(table) == {
        "moments": [moment, None, moment],
        "days": [midnight, midnight, None],
        "mixed": ["2024-01-02T10:00:00", "x", "2024-01-02"],
        "halves": [1.0, 2.5, None],
        "odd": ["1.5", "q", "True"],
        "truth": [True, False, None],
        "whole": [3, None, 4],
        "words": ["a", None, "b"],
    }
    assert {name: str(column.cells.type) for name, column in table.columns.items()} == {
        "moments": "timestamp[us]", "days": "timestamp[us]", "mixed": "string", "halves": "double",
        "odd": "string", "truth": "bool", "whole": "int64", "words": "string",
    }  # fmt: skip
    np.testing.assert_array_equal(table.columns["odd"].stored, [1.5, np.nan, np.nan])
    assert [name for name, column in table.columns.items() if column.stored is not None] == ["odd"]
    assert not any(column.faults for column in table.columns.values())


NOT_HELD = "whose value the workbook does not hold; open it in a spreadsheet program and save it"


@pytest.mark.parametrize(
    ("first", "second", "place", "fault"),
    [
        ("=1+1", "#N/A", "row 2 (row 3 of the sheet)", f"the formula '=1+1' {NOT_HELD}"),
        ("a", "#N/A", "row 3 (row 4 of the sheet)", "the error #N/A; mend the sheet, or empty the cell"),
        (None, "=A1", "row 3 (row 4 of the sheet)", f"the formula '=A1' {NOT_HELD}"),
    ],
)
def test_the_first_fault_of_a_column_is_told_with_its_row(book, first, second, place, fault):
    table = read(book(["y", "g"], [1, "a"], [2, first], [3, second]))
    assert table.columns["g"].faults == (f"g: {place} holds {fault}",)
    assert table.columns["y"].faults == ()


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        (Limits(rows=3), "4 rows; the limit is 3"),
        (Limits(columns=1), "2 columns; the limit is 1"),
        (Limits(cells=5), "6 cells (3 rows of 2); the limit is 5"),
        (Limits(bytes=9), "bytes, unpacked; the limit is 9"),
    ],
)
def test_a_workbook_beyond_a_limit_is_refused(book, limits, found):
    path = book(["y", "g"], [1, "a"], [2, "b"], [3, "c"])
    with pytest.raises(DataError) as raised:
        read(path, limits=limits)
    assert found in str(raised.value)
    assert read(path, limits=Limits(rows=4, columns=2, cells=8)).rows == 3


def test_what_is_no_workbook_is_told(tmp_path):
    (tmp_path / "d.xlsx").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"^d\.xlsx cannot be read: it is no XLSX workbook \("):
        read(tmp_path / "d.xlsx")
    with zipfile.ZipFile(tmp_path / "d.xlsx", "w") as archive:
        archive.writestr("a.txt", "no workbook")
    with pytest.raises(DataError, match=r"^d\.xlsx cannot be read: it is no XLSX workbook \("):
        read(tmp_path / "d.xlsx")
