"""From a data file to typed columns and a ledger of rows, or a clear error."""

import gzip
import hashlib
import zipfile

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError, FormulaError
from lmmkit.study import Base, load_table
from lmmkit.study.files.schema import Column, Data

TEXT = "y,x,g\n1.5,1,01\n2.5,2,01\n,3,02\n-1,4,02\n4.5,5,03\n"


@pytest.fixture
def load(tmp_path):
    """Load a text (or whatever lies there) with settings."""

    def call(text=None, source="d.csv", allow_outside=False, **settings):
        if text is not None:
            content = text if isinstance(text, bytes) else text.encode()
            (tmp_path / source).write_bytes(content)
        columns = {name: Column.model_validate(spec) for name, spec in settings.pop("columns", {}).items()}
        data = Data(source=source, columns=columns, **settings)
        return load_table(data, Base(tmp_path, allow_outside))

    return call


def test_types_are_read_sensibly_where_none_is_declared(load):
    frame = load("n,i,t,code,b,u\n1.5,1,a,007,TRUE,+1\n2,2,b,010,FALSE,2.5\n").frame
    assert [str(frame[name].dtype) for name in frame] == [
        "float64",
        "int64",
        "category",
        "category",
        "bool",
        "float64",
    ]
    assert list(frame["code"]) == ["007", "010"]


def test_a_declared_factor_is_never_parsed_as_a_number(load):
    frame = load("g,y\n007,1\n7,2\n1.50,3\n", columns={"g": {"type": "factor"}}).frame
    assert list(frame["g"]) == ["007", "7", "1.50"]
    assert list(frame["g"].cat.categories) == ["007", "1.50", "7"]


def test_levels_and_reference_have_their_order(load):
    text = "g\na\nb\nc\n"
    frame = load(
        text, columns={"g": {"type": "factor", "levels": ["c", "b", "a", "z"], "reference": "b"}}
    ).frame
    assert list(frame["g"].cat.categories) == ["b", "c", "a"]


def test_a_listed_level_without_rows_stays_where_it_is_a_gap_between_others(load):
    spec = {"type": "factor", "levels": ["first", "a", "gap", "b", "other", "c", "last"]}
    table = load("g\na\nb\nc\n", columns={"g": spec})
    assert list(table.frame["g"].cat.categories) == ["a", "gap", "b", "other", "c"]
    assert table.columns.set_index("column").loc["g", "levels"] == 3


def test_numbers_are_read_to_the_last_digit(load):
    digits = ["0.1", "1e23", "9007199254740993", "2.2250738585072011e-308", "123456789.123456789", "+4"]
    frame = load("y\n" + "\n".join(digits) + "\n", columns={"y": {"type": "number"}}).frame
    assert frame["y"].tolist() == [float(text) for text in digits]


def test_decimal_commas(load):
    frame = load("y;g\n1,5;a\n2,5;b\n", sep=";", decimal=",").frame
    assert frame["y"].tolist() == [1.5, 2.5]


def test_dates_become_elapsed_time(load):
    frame = load("t\n2024-01-01T12:00\n2024-01-02\n", columns={"t": {"type": "time", "unit": "h"}}).frame
    assert frame["t"].tolist() == [0.0, 12.0]


def test_every_row_is_in_the_ledger_with_its_reason(load):
    table = load(
        TEXT,
        columns={"y": {"type": "number", "min": 0}, "g": {"type": "factor"}},
        exclude=["x > 4"],
    )
    assert table.rows["status"].tolist() == ["kept", "kept", "dropped", "dropped", "dropped"]
    assert table.rows["reason"].tolist() == ["", "", "missing y", "y -1 below 0", "excluded: x > 4"]
    assert table.rows["row"].tolist() == [1, 2, 3, 4, 5]
    assert table.frame.index.tolist() == [0, 1]
    assert list(table.frame["g"].cat.categories) == ["01"]
    assert table.columns.set_index("column").loc["y", "missing"] == 1


def test_rows_missing_what_the_study_does_not_use_are_kept(load):
    table = load("y,z\n1,\n2,3\n", columns={"y": {"type": "number"}})
    assert len(table.frame) == 2


def test_a_missing_value_is_an_error_when_so_declared(load):
    with pytest.raises(
        DataError, match=r"row 3 has no value for y \(1 such rows\), and data.missing is `error`"
    ):
        load(TEXT, columns={"y": {"type": "number"}}, missing="error")


def test_derived_columns_come_from_the_rows_that_are_left(load):
    table = load(
        "y,x,g\n1,1,a\n2,3,a\n3,100,a\n4,5,b\n",
        columns={"x": {"type": "number"}, "g": {"type": "factor"}},
        exclude=["x > 50", "w > 2"],
        derive={"m": "group_mean(x, g)", "w": "x - m"},
    )
    assert table.frame["m"].tolist() == [2.0, 2.0, 5.0]
    assert table.frame["w"].tolist() == [-1.0, 1.0, 0.0]


def test_a_derived_value_of_a_missing_one_is_missing(load):
    table = load("y,x\n1,1\n2,\n", derive={"l": "log(x)"}, columns={"y": {"type": "number"}})
    assert table.rows["reason"].tolist() == ["", "missing l"]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "parquet", "xlsx", "dta"])
def test_formats_give_the_same_table(load, tmp_path, ending):
    frame = pd.DataFrame({"y": [1.5, 2.5, np.nan], "i": [1, 2, 3], "g": ["a", "b", "a"]})
    path = tmp_path / f"d.{ending}"
    write = {
        "csv": lambda: frame.to_csv(path, index=False),
        "csv.gz": lambda: path.write_bytes(gzip.compress(frame.to_csv(index=False).encode())),
        "tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        "parquet": lambda: frame.to_parquet(path),
        "xlsx": lambda: frame.to_excel(path, index=False),
        "dta": lambda: frame.to_stata(path, write_index=False),
    }
    write[ending]()
    table = load(source=path.name, columns={"y": {"type": "number"}, "i": {}, "g": {"type": "factor"}})
    assert table.frame["y"].tolist() == [1.5, 2.5]
    assert table.frame["i"].tolist() == [1, 2]
    assert list(table.frame["g"]) == ["a", "b"]


def test_a_sas_file_is_read(load, tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat")
    pyreadstat.write_xport(pd.DataFrame({"y": [1.0, 2.0]}), tmp_path / "d.xpt")
    assert load(source="d.xpt").frame["y"].tolist() == [1.0, 2.0]


def test_whole_numbers_of_a_sheet_are_levels_without_a_point(load, tmp_path):
    pd.DataFrame({"g": [1.0, 2.0, "x"]}).to_excel(tmp_path / "d.xlsx", index=False)
    assert list(load(source="d.xlsx", columns={"g": {"type": "factor"}}).frame["g"]) == ["1", "2", "x"]


@pytest.mark.parametrize(
    "cells", [[2**63 - 1, -(2**63)], [2**63, 1], [-(2**63) - 1, 1], [2**53 + 1, 0.5], [2**53, 0.5]]
)
def test_a_workbook_keeps_every_digit_of_a_whole_number(load, tmp_path, cells):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for cell in ("g", 11, 22):
        book.active.append([cell])
    book.save(tmp_path / "short.xlsx")  # openpyxl itself writes 16 digits
    with zipfile.ZipFile(tmp_path / "short.xlsx") as short, zipfile.ZipFile(tmp_path / "d.xlsx", "w") as made:
        for entry in short.namelist():
            content = short.read(entry)
            for held, cell in zip((b"<v>11<", b"<v>22<"), cells, strict=True):
                content = content.replace(held, f"<v>{cell}<".encode())
            made.writestr(entry, content)
    found = load(source="d.xlsx", columns={"g": {"type": "factor"}}).frame["g"]
    assert found.tolist() == [str(cell) for cell in cells]


def test_a_shipped_data_set_is_read_by_its_name(load):
    assert len(load(source="sleepstudy").frame) == 180


def test_a_pinned_file_must_have_its_digest(load):
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    assert load(TEXT, sha256=digest).sha256 == digest
    with pytest.raises(DataError, match=f"has the sha256 .*, the study pins {'0' * 64}"):
        load(TEXT, sha256="0" * 64)


@pytest.mark.parametrize("source", ["../d.csv", "/etc/hostname", "link.csv"])
def test_files_outside_the_folder_need_leave(tmp_path, source):
    folder = tmp_path / "study"
    folder.mkdir()
    (tmp_path / "d.csv").write_text(TEXT)
    (folder / "link.csv").symlink_to(tmp_path / "d.csv")
    with pytest.raises(DataError, match="outside the folder of the study file"):
        load_table(Data(source=source), Base(folder))
    if source != "/etc/hostname":
        assert len(load_table(Data(source=source), Base(folder, True)).frame) == 5


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (None, {}, "data.source d.csv does not exist"),
        ("", {}, "cannot be read: it is empty"),
        ("y,g\n", {}, "has no rows"),
        ("y,g\n1\n", {}, r"row 1 \(line 2\) has 1 cells, the header 2"),
        ("y,y\n1,2\n", {}, "two columns called y"),
        (b"y\n\xe9\n", {}, "data.encoding: latin-1"),
        ("y\n1\n", {"encoding": "nonsense"}, "unknown encoding: nonsense"),
        (TEXT, {"columns": {"Y": {}}}, "there is no column `Y`; did you mean `y`?"),
        (
            "y\nfast\n2\nslow\n",
            {"columns": {"y": {"type": "number"}}},
            "row 1 holds 'fast', row 3 holds 'slow'; expected numbers",
        ),
        (
            "y\n1,5\n",
            {"columns": {"y": {"type": "number"}}, "sep": ";"},
            "if the decimal mark is a comma, say data.decimal: ','",
        ),
        (
            "y\n1\ninf\n",
            {"columns": {"y": {"type": "number"}}},
            "row 2 holds 'inf'; expected numbers.*finite numbers are expected",
        ),
        ("y,z\n,1\n,2\n", {"columns": {"y": {"type": "number"}}}, "y holds no value in any row"),
        (
            "g\na\nq\n",
            {"columns": {"g": {"type": "factor", "levels": ["a"]}}},
            "row 2 holds 'q', which is not among",
        ),
        ("g\na\n", {"columns": {"g": {"type": "factor", "reference": "A"}}}, "did you mean `a`?"),
        ("t\nsoon\n", {"columns": {"t": {"type": "time"}}}, "row 1 holds 'soon'; expected numbers or dates"),
        (
            "t\n2024-01-01\n",
            {"columns": {"t": {"type": "time", "unit": "year"}}},
            "counted in s, min, h or d",
        ),
        ("y\n1\n2\n", {"exclude": ["y > 0"]}, "no rows are left of 2: 2 x excluded: y > 0"),
        ("y\n1\n2\n", {"exclude": ["z > 0"]}, "there is no column `z`"),
        ("y\n1\n", {"derive": {"y": "2 * y"}}, "which the file has already"),
        ("y\n1\n-1\n", {"derive": {"l": "log(y)"}}, "is not a finite number in 1 row"),
    ],
)
def test_bad_data_are_a_clear_error(load, text, settings, message):
    with pytest.raises((DataError, FormulaError), match=message):
        load(text, **settings)


def test_unknown_endings_are_refused(load):
    with pytest.raises(DataError, match=r"is a file of R.*Read are: csv, dta, parquet"):
        load("x", source="d.rds")


def test_a_damaged_file_is_refused(load):
    for source in ("d.parquet", "d.xlsx", "d.dta", "d.csv.gz"):
        with pytest.raises(DataError, match="cannot be read"):
            load(b"\x00\x01garbage", source=source)


@pytest.mark.parametrize(
    ("source", "setting", "words"),
    [
        ("d.csv", {"sheet": "two"}, "data.sheet is about a workbook, and d.csv is none"),
        ("d.parquet", {"sep": ";"}, "data.sep is about a text file, and d.parquet is none"),
        ("d.parquet", {"header": 2}, "data.header is about a text file or a workbook, and d.parquet is none"),
        ("d.xlsx", {"encoding": "latin-1"}, "data.encoding is about a text file, and d.xlsx is none"),
    ],
)
def test_a_setting_of_another_kind_of_file_is_refused(load, tmp_path, source, setting, words):
    frame = pd.DataFrame({"y": [1.0, 2.0], "g": ["a", "b"]})
    if source.endswith("parquet"):
        frame.to_parquet(tmp_path / source)
    elif source.endswith("xlsx"):
        frame.to_excel(tmp_path / source, index=False)
    with pytest.raises(DataError, match=words):
        load(TEXT if source.endswith("csv") else None, source=source, **setting)
