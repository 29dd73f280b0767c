"""Finding a data file and its reader: what is refused, and in which words."""

import os

import pandas as pd
import pyarrow as pa
import pytest

from lmmkit.errors import DataError
from lmmkit.study.data import sources
from lmmkit.study.data.sources import Base, check_kind, check_pin, find_source, read_raw, sha256_of
from lmmkit.study.files.schema import Data

EXPECTED = "; expected a file beside the study file or a data set's name"
READ = "csv, dta, parquet, sas7bdat, tsv, txt, xlsm, xlsx, xpt (text also with .gz)"


def said(call, *arguments):
    with pytest.raises(DataError) as raised:
        call(*arguments)
    return str(raised.value)


def test_a_source_is_a_file_inside_the_folder_or_a_data_set(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "d.csv").write_text("y\n1\n")
    (tmp_path / "out.csv").write_text("y\n1\n")
    base = Base(folder)
    assert find_source("d.csv", base) == folder / "d.csv"
    assert find_source("sleepstudy", base).name.startswith("sleepstudy")
    (folder / "sleepstudy").write_text("mine")
    assert find_source("sleepstudy", base) == folder / "sleepstudy"
    assert said(find_source, "../out.csv", base) == (
        "data.source ../out.csv lies outside the folder of the study file; move it there, or give "
        "--allow-outside (in a notebook: LMMKIT_ALLOW_OUTSIDE=1) if you trust the study"
    )
    assert find_source("../out.csv", Base(folder, allow_outside=True)).is_file()
    assert find_source("../out.csv", Base(folder, root=tmp_path)).is_file()
    (tmp_path / "other").mkdir()
    assert "lies outside" in said(find_source, "d.csv", Base(folder, root=tmp_path / "other"))


def test_a_source_that_is_no_file_is_told_by_what_it_is(tmp_path):
    base = Base(tmp_path)
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert said(find_source, "dir", base) == f"data.source dir is a folder{EXPECTED}"
    assert said(find_source, "pipe", base) == f"data.source pipe is a device or a pipe{EXPECTED}"
    assert said(find_source, "sleepstudi", base) == (
        f"data.source sleepstudi does not exist{EXPECTED}; did you mean `sleepstudy`?"
    )
    assert said(find_source, "a" * 300, base) == (
        f"data.source {'a' * 60} cannot be the name of a file: File name too long"
    )
    assert said(sha256_of, tmp_path / "none.csv") == "none.csv cannot be read: No such file or directory"


def test_a_pin_is_compared_where_there_is_one(tmp_path):
    check_pin(tmp_path / "d.csv", "a", None)
    check_pin(tmp_path / "d.csv", "a", "a")
    assert said(check_pin, tmp_path / "d.csv", "a", "b") == (
        "d.csv has the sha256 a, the study pins b: the data have changed. Restore the file, or change "
        "data.sha256 if the new data are meant"
    )


SAVE = "save it as .xlsx or .csv"
ENDINGS = {
    "is a file of SPSS: save it there as Stata's .dta or as .csv": "sav zsav por",
    f"is a workbook in an older or binary form of Excel: {SAVE}": "xls xlsb xlt",
    f"is a workbook of another program: {SAVE}": "ods fods numbers",
    "is a file of R: write it there as .csv (write.csv) or as .parquet": "rds rda rdata",
    "is no Parquet file: write it as .parquet": "feather arrow ipc orc avro",
    "is no table of cells: write it as .csv": "json jsonl ndjson xml html htm",
    "is packed: unpack it, or pack text with gzip": "zip 7z bz2 xz zst tar rar",
    "is a database: export its table as .csv": "db sqlite sqlite3 duckdb mdb accdb",
    "is a program's own store: write the table as .csv or .parquet": "pkl pickle npy npz mat h5 hdf5",
    "has an ending that no reader is for; if it is text, call it .csv": "dat doc",
}


def test_endings_that_no_reader_is_for_are_told_by_what_they_are(tmp_path):
    for what, endings in ENDINGS.items():
        for ending in endings.split():
            name = f"d.{ending.upper()}"
            assert said(check_kind, tmp_path / name) == f"{name} {what}. Read are: {READ}"


@pytest.mark.parametrize(
    ("begin", "own", "what", "way"),
    [
        (b"PK\x03\x04", ("xlsx", "xlsm"), "a workbook or a ZIP archive",
         "call a workbook .xlsx, unpack an archive"),
        (b"\xd0\xcf\x11\xe0", (), "an Excel workbook of before 2007, or one with a password", SAVE),
        (b"PAR1", ("parquet",), "a Parquet file", "call it .parquet"),
        (b"\x1f\x8b", ("csv.gz", "tsv.gz"), "packed by gzip", "add .gz to its name"),
        (b"%PDF", (), "a PDF", "export its table as .csv"),
        (b"$FL2", (), "a file of SPSS", "save it there as Stata's .dta or as .csv"),
        (b"ARROW1", (), "a Feather file", "write it as .parquet"),
        (b"SQLite f", (), "a database of SQLite", "export its table as .csv"),
    ],
)  # fmt: skip
def test_first_bytes_tell_another_kind_of_file(tmp_path, begin, own, what, way):
    for ending in ("csv", "txt", "dta", "xlsx", "xlsm", "parquet", "csv.gz", "tsv.gz"):
        path = tmp_path / f"d.{ending}"
        path.write_bytes(begin + b"0123")
        if ending in own or ending.endswith(".gz"):
            check_kind(path)
        else:
            assert said(check_kind, path) == (
                f"{path.name} is {what} by its first bytes, not what its ending says; {way}"
            )


def test_settings_belong_to_some_kinds_of_files(tmp_path):
    (tmp_path / "d.csv").write_text("y\n1\n")
    pd.DataFrame({"y": [1]}).to_parquet(tmp_path / "d.parquet")
    pd.DataFrame({"y": [1]}).to_excel(tmp_path / "d.xlsx", index=False)
    text = ("a text file", ("d.parquet", "d.xlsx"), "d.csv")
    given = {
        "sep": (";", *text),
        "encoding": ("latin-1", *text),
        "comment": ("#", *text),
        "multiline": (True, *text),
        "sheet": ("Sheet1", "a workbook", ("d.parquet", "d.csv"), "d.xlsx"),
        "header": (0, "a text file or a workbook", ("d.parquet",), "d.csv"),
    }
    for key, (value, kind, strange, own) in given.items():
        for name in strange:
            assert said(read_raw, tmp_path / name, Data(source=name, **{key: value})) == (
                f"data.{key} is about {kind}, and {name} is none; leave it out"
            )
        assert read_raw(tmp_path / own, Data(source=own, **{key: value})).rows in (1, 2)
    assert read_raw(tmp_path / "d.xlsx", Data(source="d.xlsx", header=0)).rows == 2


@pytest.mark.parametrize(("ending", "mark"), [("csv", ","), ("txt", "\t"), ("tsv", "\t")])
def test_the_ending_of_text_tells_its_separator(tmp_path, ending, mark):
    path = tmp_path / f"d.{ending}"
    path.write_text(f"y{mark}g\n1{mark}a\n")
    assert list(read_raw(path, Data(source=path.name)).columns) == ["y", "g"]


ERRORS = (pa.ArrowInvalid, OSError, ValueError, LookupError, ImportError, EOFError, OverflowError)


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_a_reader_stumbles_over_is_told_in_a_line(tmp_path, monkeypatch, error):
    def reader(path, data):
        raise error("it is torn.\nand more")

    monkeypatch.setitem(sources._READERS, "csv", reader)
    (tmp_path / "d.csv").write_text("y\n1\n")
    assert said(read_raw, tmp_path / "d.csv", Data(source="d.csv")) == "d.csv cannot be read: it is torn"


def test_a_file_without_rows_is_refused_in_every_format(tmp_path):
    pd.DataFrame({"y": []}).to_parquet(tmp_path / "d.parquet")
    assert said(read_raw, tmp_path / "d.parquet", Data(source="d.parquet")) == (
        "d.parquet has no rows; expected a header and at least one row of data"
    )
