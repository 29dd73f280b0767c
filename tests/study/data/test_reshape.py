"""Wide files made long: cells keep what they are, the ledger says where each row comes from."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lmmkit.errors import DataError
from lmmkit.study import Base, load_table
from lmmkit.study.data.raw_table import RawColumn, RawTable
from lmmkit.study.data.reshape import reshaped, stacking_of
from lmmkit.study.files.schema import Column, Data, Reshape

WIDE = "id;arm;y_t1;y_t2;z_t1;z_t2;age\n01;A;1,5;2,5;10;20;7\n02;B;-9;3,5;30;;8\n"


def load(folder, text=WIDE, columns=None, **reshape):
    (folder / "d.csv").write_text(text)
    specs = {name: Column.model_validate(spec) for name, spec in (columns or {}).items()}
    data = {"source": "d.csv", "sep": ";", "decimal": ",", "na": [-9], "reshape": reshape}
    return load_table(Data.model_validate(data).model_copy(update={"columns": specs}), Base(folder))


def test_patterns_share_their_index(tmp_path):
    made = load(
        tmp_path, measured={"y": "y_t*", "z": "z_t*"}, index="t", columns={"y": {}, "id": {"type": "factor"}}
    )
    frame = made.frame
    assert list(frame.columns) == ["id", "arm", "age", "t", "y", "z"]
    assert frame["y"].tolist() == [1.5, 2.5, 3.5]
    assert frame["t"].tolist() == [1, 2, 2] or list(map(str, frame["t"])) == ["1", "2", "2"]
    assert made.rows.to_dict("list") == {
        "row": [1, 2, 3, 4],
        "status": ["kept", "kept", "dropped", "kept"],
        "reason": ["", "", "missing y", ""],
        "file_row": [1, 1, 2, 2],
        "measured": ["y_t1, z_t1", "y_t2, z_t2", "y_t1, z_t1", "y_t2, z_t2"],
    }
    assert made.codes.to_dict("records")[0] == {"column": "y", "code": "-9", "cells": 1}


def test_a_list_and_values_of_the_index(tmp_path):
    made = load(tmp_path, measured={"y": ["y_t2", "y_t1"]}, index="month", at=[6, 0], id=["id"], row="person",
                columns={"month": {"type": "number"}, "person": {"type": "factor"}})  # fmt: skip
    assert list(made.frame.columns) == ["id", "person", "month", "y"]
    assert made.frame["month"].tolist() == [6, 0, 6, 0]
    assert made.frame["person"].tolist() == ["1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("reshape", "message"),
    [
        ({"measured": {"y": "w_t*"}}, "no column matches 'w_t*'"),
        ({"measured": {"y": "y_t1*"}}, "no column matches"),
        ({"measured": {"y": "y_*1"}}, "only y_t1 matches 'y_*1'; at least two columns are expected: id, arm"),
        ({"measured": {"y": ["y_t1", "y_t3"]}}, "did you mean `y_t"),
        (
            {"measured": {"y": "y_t*"}, "at": [1, 2, 3]},
            "has 3 values for 2 measurements (1, 2); give one for each",
        ),
        ({"measured": {"y": "y_t*"}, "id": ["person"]}, "there is no column `person`"),
        ({"measured": {"y": "y_t*"}, "id": ["y_t1"]}, "both name y_t1"),
        ({"measured": {"age": "y_t*"}}, "makes a column age, of which there is one already"),
        ({"measured": {"y": "y_t*"}, "index": "y"}, "makes a column y"),
        ({"measured": {"y": "y_t*"}, "index": "id"}, "makes a column id"),
        ({"measured": {"y": "y_t*"}, "row": "y"}, "makes a column y"),
        ({"measured": {"y": "y_t*"}, "row": "arm"}, "makes a column arm"),
    ],
)
def test_what_does_not_fit_the_file_is_refused(tmp_path, reshape, message):
    with pytest.raises(DataError) as raised:
        load(tmp_path, **reshape)
    assert message in str(raised.value)
    assert raised.value.about[:1] in (("reshape",), ("source",))


def test_a_bad_cell_of_a_column_that_is_kept_is_told_once(tmp_path):
    text = WIDE.replace(";7", ";zz") + "03;C;1;2;3;4;9\n04;C;1;2;3;4;zz\n"
    with pytest.raises(DataError) as raised:
        load(tmp_path, text, {"age": {"type": "number"}}, measured={"y": "y_t*"})
    assert "but row 1 holds 'zz', row 4 holds 'zz'; expected numbers" in str(raised.value)


@pytest.mark.parametrize("ending", ["xlsx", "parquet", "dta", "csv"])
@pytest.mark.parametrize(
    ("first", "second"),
    [([1, 2], [3, 4]), ([1, 2], [3.5, None]), (["a", "b"], ["b", "c"]), ([1.0, None], [2.0, 3.0])],
)
def test_every_format_keeps_its_cells(tmp_path, ending, first, second):
    wide = pd.DataFrame({"g": ["p", "q"], "y1": first, "y2": second})
    path = tmp_path / f"d.{ending}"
    {
        "xlsx": lambda: wide.to_excel(path, index=False),
        "parquet": lambda: wide.to_parquet(path),
        "dta": lambda: wide.to_stata(path, write_index=False),
        "csv": lambda: wide.to_csv(path, index=False),
    }[ending]()
    spec = {"source": path.name, "reshape": {"measured": {"y": "y*"}}}
    made = load_table(Data.model_validate(spec), Base(tmp_path)).read
    expected = [value for pair in zip(first, second, strict=True) for value in pair]
    found = [None if pd.isna(value) else value for value in made["y"].tolist()]
    assert found == expected
    assert made["g"].tolist() == ["p", "p", "q", "q"]
    assert made["index"].astype(str).tolist() == ["1", "2", "1", "2"]


def test_gaps_are_counted_on_every_row_and_stored_numbers_stay_beside_their_cells():
    none, half = np.array([np.nan, np.nan]), np.array([1.0, np.nan])
    columns = [
        RawColumn("g", pa.array(["a", None]), gaps={".a": 1}),
        RawColumn("y1", pa.array(["1", "x"]), half, gaps={".b": 1}),
        RawColumn("y2", pa.array(["z", "x"]), none, gaps={".b": 2}),
        RawColumn("z1", pa.array(["u", "v"]), none),
        RawColumn("z2", pa.array(["w", "x"]), none),
    ]
    raw = RawTable({column.name: column for column in columns}, rows=2)
    made = reshaped(raw, Reshape(measured={"y": "y*", "z": "z*"}))[0].columns
    assert (made["g"].gaps, made["y"].gaps) == ({".a": 2}, {".b": 3})
    np.testing.assert_array_equal(made["y"].stored, [1, np.nan, np.nan, np.nan])
    assert made["z"].stored is None


def test_cells_that_are_no_numbers_are_told_by_the_row_and_column_of_the_file(tmp_path):
    columns = {"y": {"type": "number"}, "age": {"type": "number"}}
    text = WIDE.replace("3,5", "n/a").replace(";7", ";old")
    with pytest.raises(DataError) as raised:
        load(tmp_path, text, columns, measured={"y": "y_t*"}, index="t")
    assert "y is declared a number, but row 2 (y_t2) holds 'n/a'; expected" in str(raised.value)
    assert "age is declared a number, but row 1 holds 'old'" in str(raised.value)


def test_text_and_numbers_in_one_column_keep_the_numbers_beside_the_text():
    columns = [
        RawColumn("id", pa.array([7, 8]), np.array([7.0, np.nan]), faults=("f",)),
        RawColumn("y1", pa.array([1, None]), faults=("a",)),
        RawColumn("y2", pa.array(["p", "3"]), faults=("b", "a")),
        RawColumn("y4", pa.array([2.5, 4.0])),
        RawColumn("z1", pa.array([1, 2]), labelled=True),
        RawColumn("z4", pa.array([1.5, 2.5])),
    ]
    raw = RawTable({column.name: column for column in columns}, rows=2)
    made, stacking = reshaped(raw, Reshape(measured={"y": "y*", "z": "z*"}, row="who"))
    assert made.rows == 6
    assert stacking.measured == {"y": ("y1", "y2", "y4"), "z": ("z1", None, "z4")}
    assert stacking.sources() == ["y1, z1", "y2", "y4, z4"]
    found = {name: column.cells.to_pylist() for name, column in made.columns.items()}
    assert found == {
        "id": [7, 7, 7, 8, 8, 8],
        "who": ["1", "1", "1", "2", "2", "2"],
        "index": ["1", "2", "4"] * 2,
        "y": ["1", "p", "2.5", None, "3", "4"],
        "z": [1, None, 1.5, 2, None, 2.5],
    }
    np.testing.assert_array_equal(made.columns["y"].stored, [1, np.nan, 2.5, np.nan, np.nan, 4])
    np.testing.assert_array_equal(made.columns["id"].stored, [7, 7, 7, np.nan, np.nan, np.nan])
    assert made.columns["z"].stored is None
    assert (made.columns["id"].faults, made.columns["y"].faults) == (("f",), ("a", "b"))
    assert [name for name, column in made.columns.items() if column.labelled] == ["z"]


def test_a_message_is_placed_in_the_file():
    made = stacking_of(Reshape(measured={"y": "y_t*"}, index="time"), ["g", "y_t1", "y_t2"])
    assert (made.index, made.kept) == (("1", "2"), ("g",))
    assert made.placed("y: row 3 holds 'a', row 4 holds 'b'", "y") == (
        "y: row 2 (y_t1) holds 'a', row 2 (y_t2) holds 'b'"
    )
    assert made.placed("g: row 3 holds 'a'; arrow 4", "g") == "g: row 2 holds 'a'; arrow 4"
