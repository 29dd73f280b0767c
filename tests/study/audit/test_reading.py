"""The data file as pandas and R read it: what was read wrong is found, what was read right is not."""

import gzip
import math
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError
from lmmkit.study.audit import reading
from lmmkit.study.audit.integrity import RunFolder
from lmmkit.study.audit.verdicts import DIFFERS, HOLDS, UNCHECKED
from lmmkit.study.data.load_table import frame_bytes, load_table, schema_of
from lmmkit.study.data.sources import Base
from lmmkit.study.files.schema import Data
from lmmkit.study.records.artifacts import csv_bytes, json_bytes
from lmmkit.study.records.manifest import Manifest

HAS_R = shutil.which("Rscript") is not None
COLUMNS = {"y": {"type": "number"}, "x": {"type": "number"}, "g": {"type": "factor"}}
PLAIN = "y,x,g\n1.5,2,a\n2.25,3,b\n0.1,4,a\n3e2,-1,b\n"


def prepared(tmp_path, text, name="d.csv", **settings):
    """A run folder as preparing a file leaves it, and the file."""
    path = tmp_path / name
    content = text if isinstance(text, bytes) else text.encode(settings.get("encoding", "utf-8"))
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    data = Data.model_validate({"source": name, "columns": COLUMNS, **settings})
    table = load_table(data, Base(tmp_path, False, None))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "data.parquet").write_bytes(frame_bytes(table.frame))
    (folder / "data.schema.json").write_bytes(json_bytes(schema_of(table)))
    (folder / "rows.csv").write_bytes(csv_bytes(table.rows))
    (folder / "study.json").write_bytes(json_bytes({"data": data.model_dump(mode="json", by_alias=True)}))
    return RunFolder(folder, Manifest("s", "k")), path


def told(run, path):
    return {each.reader: each for each in reading.readings(run, path)}


FILES = {
    "plain": (PLAIN, {}),
    "semicolons and decimal commas": ("y;x;g\n1,5;2;a\n2,25;3;b\n", {"sep": ";", "decimal": ","}),
    "thousands": ("y,x,g\n\"1,500\",2,a\n2,3,b\n", {"thousands": ","}),
    "tabs": ("y\tx\tg\n1.5\t2\ta\n2.5\t3\tb\n", {"sep": "\t"}),
    "lines above the header": ("Export of May\nmade by hand\n" + PLAIN, {"header": 3}),
    "no header": ("1.5,2,a\n2.5,3,b\n", {"header": 0, "columns": {
        "column1": {"type": "number"}, "column2": {"type": "number"}, "column3": {"type": "factor"}}}),
    "codes of missing values": ("y,x,g\n1.5,-99,a\n2.5,3,n/a\n-99,3,b\n1,2,a\n", {"na": [-99, "n/a"]}),
    "codes as texts": ("y,x,g\n1.5,-99,a\n2.5,3,-99\n-99.0,3,b\n1,2,a\n", {"na": ["-99"]}),
    "blank lines and blanks": ("y,x,g\n1.5, 2 ,a \n\n2.5,3,b\n", {}),
    "quotes": ('y,x,g\n1.5,2,"a, b"\n2.5,3,"c ""d"""\n', {}),
    "letters": ("y,x,g\n1.5,2,Zürich\n2.5,3,東京\n", {}),
    "another encoding": ("y,x,g\n1.5,2,Zürich\n2.5,3,b\n", {"encoding": "latin-1"}),
    "a mark of byte order": ("\ufeff" + PLAIN, {}),
    "gaps by name": ("y,x,g\nNA,2,NA\nNaN,3,NaN\n1.5,2,\n2.5,3,b\n", {"missing": "drop"}),
    "levels called NA and NaN": ("y,x,g\n1.5,2,NA\n2.5,3,NaN\n2.5,3,b\n", {"na_defaults": False}),
    "ids with zeros": ("y,x,g\n1.5,2,007\n2.5,3,010\n", {}),
    "rows left out": (PLAIN, {"exclude": ["x > 3"]}),
    "a derived column": (PLAIN, {"derive": {"z": "x * 2"}}),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_was_read_right_is_read_alike_by_others(tmp_path, kind):
    text, settings = FILES[kind]
    run, path = prepared(tmp_path, text, **settings)
    for reader, found in told(run, path).items():
        if reader == "pandas" or HAS_R:
            assert (found.finding.verdict, found.finding.part) == (HOLDS, "reading"), found.finding
            assert found.frame is not None


def test_packed_text_and_parquet_have_one_other_reader(tmp_path):
    run, path = prepared(tmp_path, PLAIN, "d.csv.gz")
    assert {name: each.finding.verdict for name, each in told(run, path).items()} == {
        "pandas": HOLDS, "R": UNCHECKED}  # fmt: skip
    (tmp_path / "p").mkdir()
    pd.DataFrame({"y": [1.5, 2.5], "x": [1, 2], "g": ["a", "b"]}).to_parquet(tmp_path / "p/d.parquet")
    run, path = prepared(tmp_path / "p", (tmp_path / "p/d.parquet").read_bytes(), "d.parquet")
    assert told(run, path)["pandas"].finding.verdict == HOLDS


@pytest.mark.parametrize(("settings", "gaps"), [
    ({}, ["", "NA", "NaN"]), ({"na_defaults": True, "na": [9, "x"]}, ["", "NA", "NaN", "9", "x"]),
    ({"na_defaults": False}, [""]), ({"na_defaults": False, "na": ["NA"]}, ["", "NA"]),
])  # fmt: skip
def test_a_label_is_missing_by_its_text(settings, gaps):
    """As in a column of several memberships, where a row may have none."""
    cells = ["", "NA", "NaN", "9", "x", "b"]
    found = reading._labels(cells, pd.Series(pd.Categorical(["b"] * 6)), settings)
    assert found[found.isna()].index.tolist() == [cells.index(gap) for gap in gaps]
    assert list(found.cat.categories) == ["b", *(cell for cell in cells[:5] if cell not in gaps)]


@pytest.mark.parametrize("header", [0, 1])
def test_columns_without_a_name_are_numbered_from_one(header):
    cells = reading._with_names(pd.DataFrame([["", "b", " "], ["1", " 2 ", "3"], ["", "", ""]]), header)
    assert list(cells.columns) == ["column1", "b" if header else "column2", "column3"]
    assert cells.iloc[-1].tolist() == ["1", "2", "3"]


@pytest.mark.parametrize(("text", "header"), [
    ("# of May\ny,x,g\n1.5,2,a\n# by hand\n2.25,3,b\n", 2), ("y,x,g\n# of May\n1.5,2,a\n2.25,3,b\n#\n", 1),
    ("made by hand\n# of May\ny,x,g\n1.5,2,a\n2.25,3,b\n", 3),
    ("# of May\nmade by hand\nin May\ny,x,g\n1.5,2,a\n2.25,3,b\n", 4),
])  # fmt: skip
def test_lines_that_are_passed_over_have_one_other_reader(tmp_path, text, header):
    run, path = prepared(tmp_path, text, comment="#", header=header)
    found = told(run, path)
    assert found["pandas"].finding.verdict == HOLDS, found["pandas"].finding
    assert (found["R"].finding.verdict, found["R"].frame) == (UNCHECKED, None)


def test_numbers_are_one_but_for_a_unit_in_the_last_place():
    for anew, fault in ((1.5, []), (1.5 * (1 + 4e-16), []), (1.5 * (1 + 4e-15), ["y, row 2 of those kept"])):
        for size in (1.0, -1.0, 2.0**40, 2.0**-40):
            frames = (pd.Series([0.0, size * value]) for value in (anew, 1.5))
            assert [said.partition(":")[0] for said in reading._apart("y", *frames)] == fault
    gaps = pd.Series([math.nan, 1.0, math.nan]), pd.Series([math.nan, math.nan, 1.0])
    assert len(reading._apart("y", *gaps)) == 2


def test_three_cells_are_named_and_the_rest_is_counted_and_without_a_column_nothing_was_compared():
    frame = pd.DataFrame({"y": np.arange(5.0), "t": np.arange(5.0)})
    for wrong, more in ((1, ""), (3, ""), (4, "; and 1 more"), (5, "; and 2 more")):
        anew = frame.assign(y=frame["y"] + np.where(np.arange(5) < wrong, 0.5, 0.0))
        found = reading._compared("pandas", frame, anew, ["y"], "")
        assert (found.verdict, found.found.count("row")) == (DIFFERS, min(wrong, 3))
        assert found.found.endswith(more or f"the run has {wrong - 1}.0")
    none = reading._compared("pandas", frame, frame, [], "")
    assert (none.verdict, none.found) == (UNCHECKED, "not compared: y, t, which no other reader can make")
    assert reading._compared("pandas", frame, frame, ["y", "t"], "").found == "5 rows of y, t"


@pytest.mark.parametrize(("kept", "said"), [
    ("kept kept kept", ""), ("kept kept dropped", "2 rows are kept by the ledger, 3 are in data.parquet"),
    ("kept kept kept kept", "4 rows, the run read 3"),
    ("kept kept kept dropped kept", "5 rows, the run read 3"),
])  # fmt: skip
def test_the_ledger_and_the_data_have_the_same_rows(kept, said):
    status = pd.DataFrame({"status": kept.split()})
    frame = pd.DataFrame({"y": [1.0, 2.0, 3.0]})
    cells = pd.DataFrame({"y": ["1", "2", "3", "4", "5"][: len(status)]})
    rows = status if not said.endswith("read 3") else status[:3]
    found = reading.as_prepared(cells, frame, rows, {"y": "number"}, {"decimal": "."})
    assert found[1:] == (([] if said else ["y"]), said)
    four = pd.DataFrame({"y": ["1", "2", "3", "4"]}), frame, pd.DataFrame({"status": ["kept"] * 4})
    assert reading.as_prepared(*four, {"y": "number"}, {"decimal": "."})[2].startswith("4 rows are kept")


def test_a_derived_column_is_not_taken_from_a_file_that_has_its_name():
    cells, rows = pd.DataFrame({"y": ["1"], "z": ["9"], "t": ["2"]}), pd.DataFrame({"status": ["kept"]})
    frame = pd.DataFrame({"y": [1.0], "z": [2.0], "t": [2.0]})
    types = {"y": "number", "z": "number", "t": "time"}
    made, names, why = reading.as_prepared(
        cells, frame, rows, types, {"decimal": ".", "derive": {"z": "y * 2"}}
    )
    assert (names, made["z"].tolist(), why) == (["y"], [2.0], "")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (PLAIN.replace("2.25", "2.26"), "y, row 2 of those kept: 2.26, the run has 2.25"),
        (PLAIN.replace("4,a", "4,b"), "g, row 3 of those kept: b, the run has a"),
        (PLAIN.replace("4,a", "4,c"), "g, row 3 of those kept: c, the run has a"),
        (PLAIN.replace("-1,b", "NA,b"), "x, row 4 of those kept: nan, the run has -1.0"),
        (PLAIN + "1,2,a\n", "5 rows, the run read 4"),
    ],
)
def test_a_file_that_was_read_wrong_is_found(tmp_path, wrong, said):
    run, path = prepared(tmp_path, PLAIN)
    path.write_text(wrong)  # stands for a reader that made another table of the same bytes
    for reader, found in told(run, path).items():
        if reader == "pandas" or HAS_R:
            assert (found.finding.verdict, found.finding.found) == (DIFFERS, said)


def test_a_derived_column_and_a_table_made_long_are_ours_alone(tmp_path):
    run, path = prepared(tmp_path, PLAIN, derive={"z": "x * 2"})
    assert "not compared: z" in told(run, path)["pandas"].finding.found
    for settings, word in (({"reshape": {"a": 1}}, "makes the file long"), ({}, "kind xlsx")):
        assert word in reading.cannot_be_read(tmp_path / "d.xlsx", settings)
    assert reading.cannot_be_read(path, {}) == ""


def test_a_file_that_is_not_found_and_a_reader_that_is_not_there_are_told(tmp_path, monkeypatch):
    run, path = prepared(tmp_path, PLAIN)
    assert {each.finding.found for each in reading.readings(run, None)} == {"the data file was not found"}
    monkeypatch.setattr(reading.shutil, "which", lambda _: None)
    assert told(run, path)["R"].finding.found == "Rscript is not installed"
    monkeypatch.setattr(reading.shutil, "which", lambda _: "Rscript")
    failed = SimpleNamespace(returncode=1, stderr="Error in scan(): too few items")
    monkeypatch.setattr(reading.subprocess, "run", lambda *_, **__: failed)
    found = told(run, path)["R"]
    assert (found.frame, found.finding.verdict) == (None, UNCHECKED)
    assert "too few items" in found.finding.found


def test_nothing_of_a_study_is_executed_by_r(tmp_path):
    mark = tmp_path / "executed"
    order = f'"); file.create("{mark}"); ("'
    run, path = prepared(tmp_path, PLAIN)
    settings = {"data": {**run.settings["data"], "encoding": order}}
    (run.folder / "study.json").write_bytes(json_bytes(settings))
    assert told(RunFolder(run.folder, run.manifest), path)["R"].finding.verdict == UNCHECKED
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("d.tsv", {"header": 3, "encoding": "utf-8"}, ["\\t", "2", "UTF-8-BOM"]),
        ("d.csv", {"header": 1, "encoding": "UTF8"}, [",", "0", "UTF-8-BOM"]),
        ("d.csv", {"header": 0, "encoding": "latin-1", "sep": ";"}, [";", "0", "ISO8859-1"]),
        ("d.txt", {"header": 2, "encoding": "utf-16"}, ["\\t", "1", "UTF-16"]),
        ("d.dat", {"header": 1, "encoding": "cp1252"}, [",", "0", "CP1252"]),
    ],
)
def test_r_is_asked_by_a_script_with_what_the_study_says(tmp_path, monkeypatch, name, settings, told):
    asked = []

    def run(command, *, cwd, env, timeout, **options):
        asked.append((command, (Path(cwd) / "read.R").read_text(), env["LC_ALL"], timeout))
        (Path(cwd) / "read.csv").write_text('"V1","V2"\n"y","x"\n"1"," 2 "\n"",""\n')
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(reading.shutil, "which", lambda program: f"/bin/{program}")
    monkeypatch.setattr(reading.subprocess, "run", run)
    cells = reading.by_r(tmp_path / name, settings)
    ((command, script, language, seconds),) = asked
    assert command == ["/bin/Rscript", "--vanilla", "--default-packages=utils", "read.R"]
    separator, skip, encoding = told
    for word in (f'read.table("{tmp_path / name}",', f'sep = "{separator}",', f"skip = {skip},",
                 f'fileEncoding = "{encoding}",'):  # fmt: skip
        assert word in script
    assert (language, seconds) == ("C.UTF-8", 300)
    expected = (
        {"y": ["1"], "x": ["2"]} if settings["header"] else {"column1": ["y", "1"], "column2": ["x", "2"]}
    )
    assert cells.to_dict("list") == expected


def test_why_r_did_not_read_a_file(tmp_path, monkeypatch):
    plain = {"header": 1, "encoding": "utf-8"}

    def why(name="d.csv", **settings):
        with pytest.raises(reading.UnreadError) as raised:
            reading.by_r(tmp_path / name, {**plain, **settings})
        return str(raised.value)

    monkeypatch.setattr(reading.shutil, "which", lambda _: "Rscript")
    alone = "R is asked for plain text files alone"
    assert [why("d.parquet"), why("d.csv.gz"), why(comment="#")] == [alone] * 3
    for code, said, reason in (
        (0, "", "no reason given"),
        (1, "", "no reason given"),
        (1, "Loading\nError: no\n", "Error: no"),
    ):
        done = SimpleNamespace(returncode=code, stderr=said)
        monkeypatch.setattr(reading.subprocess, "run", lambda *_, done=done, **__: done)
        assert why() == f"R does not read it: {reason}"

    def late(*_, **__):
        raise subprocess.TimeoutExpired("Rscript", 300)

    monkeypatch.setattr(reading.subprocess, "run", late)
    assert why() == "not done after 300 s"


def test_files_that_others_are_asked_about(tmp_path):
    for name in ("d.csv", "d.tsv", "d.txt", "d.csv.gz", "d.parquet", "D.CSV"):
        assert reading.cannot_be_read(tmp_path / name, {}) == ""
    assert (
        reading.cannot_be_read(tmp_path / "d.dta", {}) == "a file of the kind dta has no second reader here"
    )
    assert reading.cannot_be_read(tmp_path / "d.csv", {"reshape": {"y": "y*"}}) == (
        "the study makes the file long, which is ours alone"
    )


@pytest.mark.parametrize(
    ("cell", "settings", "number"),
    [
        ("1.5", {}, 1.5),
        ("1,5", {"decimal": ","}, 1.5),
        ("1.234,5", {"decimal": ",", "thousands": "."}, 1234.5),
        ("x", {}, math.nan),
        ("", {}, math.nan),
        (2, {}, 2.0),
        (None, {}, math.nan),
        (math.nan, {}, math.nan),
        ("-9", {"na": [-9]}, math.nan),
        ("-9.0", {"na": ["x", "-9"]}, math.nan),
        (-9, {"na": [-9]}, math.nan),
        ("9", {"na": [-9, "x"]}, 9.0),
    ],
)
def test_the_number_in_a_cell(cell, settings, number):
    np.testing.assert_equal(reading._number(cell, {"decimal": ".", **settings}), number)


@pytest.mark.parametrize("kind", [DataError, OSError, ValueError, TypeError, LookupError])
def test_a_reader_that_stumbles_is_told_with_its_reason(tmp_path, monkeypatch, kind):
    run, path = prepared(tmp_path, PLAIN)

    def torn(*_):
        raise kind("torn\n  in two")

    monkeypatch.setattr(reading, "as_prepared", torn)
    found = told(run, path)["pandas"]
    assert (found.frame, found.finding.verdict, found.finding.part) == (None, UNCHECKED, "reading")
    said = "torn in two" if kind is not DataError else r"torn\n in two"
    assert found.finding.found == f"not read: {said}"
