"""What a run says of its rows and columns: the ledger, the facts, the account of lines; and that as files."""

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError, RunError
from lmmkit.study import Base, load_table
from lmmkit.study.data.limits import check_bytes, check_shape
from lmmkit.study.data.load_table import frame_bytes, read_frame, schema_of, with_gaps
from lmmkit.study.files.schema import Column, Data, Limits


@pytest.fixture
def load(tmp_path):
    def call(text, **settings):
        (tmp_path / "d.csv").write_text(text)
        columns = {name: Column.model_validate(spec) for name, spec in settings.pop("columns", {}).items()}
        return load_table(Data(source="d.csv", columns=columns, **settings), Base(tmp_path))

    return call


NUMBER, FACTOR = {"type": "number"}, {"type": "factor"}


def test_a_bound_itself_is_plausible_and_what_lies_beyond_is_told(load):
    bounds = {"type": "number", "min": 1.0, "max": 3.0}
    table = load("y\n0.99\n1\n2\n3\n3.01\n", columns={"y": bounds})
    assert table.frame["y"].tolist() == [1.0, 2.0, 3.0]
    assert table.rows["reason"].tolist() == ["y 0.99 below 1", "", "", "", "y 3.01 above 3"]
    assert load("y\n1\n9\n", columns={"y": {"max": 1.0}}).rows["reason"].tolist() == ["", "y 9 above 1"]
    assert load("y\n1\n9\n", columns={"y": {"min": 9.0}}).rows["reason"].tolist() == ["y 1 below 9", ""]


def test_the_first_reason_stands_and_reasons_have_their_order(load):
    table = load(
        "y,x,g\n-1,9,a\n,9,a\n1,9,\n1,1,a\n1,5,\n,2,\n1,3,b\n",
        columns={"y": {"min": 0.0}, "g": FACTOR, "d": {"max": 9.0}},
        derive={"d": "2 * x"},
        exclude=["d > 5 and d < 8", "x > 8"],
    )
    assert table.rows["reason"].tolist() == [
        "y -1 below 0", "excluded: x > 8", "excluded: x > 8", "", "d 10 above 9", "missing y, g",
        "excluded: d > 5 and d < 8",
    ]  # fmt: skip
    assert table.rows["status"].tolist() == [*["dropped"] * 3, "kept", *["dropped"] * 3]
    assert table.incomplete.index.tolist() == [5]
    assert (len(table.read), len(table.frame)) == (7, 1)


def test_the_facts_of_each_column(load):
    table = load(
        "y,x,g,t,b,free\n1.5,1,a,2024-01-01,true,q\n,2,b,2024-01-03,false,r\n3.5,2,a,2024-01-04,true,\n",
        columns={"y": {**NUMBER, "unit": "ms", "label": "Time"}, "g": {**FACTOR, "labels": {"a": "A"}},
                 "t": {"type": "time", "unit": "d"}, "x": {}, "b": {}},
        derive={"z": "b", "w": "y + 1"},
    )  # fmt: skip
    facts = table.columns.set_index("column")
    assert facts["type"].to_dict() == {
        "y": "number", "x": "number", "g": "factor", "t": "time", "b": "yes/no", "free": "factor",
        "z": "yes/no", "w": "number",
    }  # fmt: skip
    assert facts["declared"].to_dict() == {name: name != "free" for name in facts.index}
    assert facts["missing"].to_dict() == {name: int(name in ("y", "free")) for name in facts.index}
    assert facts["levels"].astype(object).where(facts["levels"].notna(), None).to_dict() == {
        "y": 2, "x": 2, "g": 1, "t": 2, "b": 1, "free": None, "z": 1, "w": 2,
    }  # fmt: skip
    assert facts.loc["y", ["low", "high", "unit", "label"]].tolist() == [1.5, 3.5, "ms", "Time"]
    assert facts.loc["t", ["low", "high", "unit"]].tolist() == [0.0, 3.0, "d"]
    assert facts.loc[["g", "b", "z"], ["low", "high"]].isna().all(axis=None)
    assert (facts.loc["w", "why"], facts.loc["y", "why"]) == ("it is derived", "it is declared")
    assert (facts.loc["g", "labels"], facts.loc["y", "labels"]) == ({"a": "A"}, {})


def test_every_line_and_every_code_is_accounted_for(load):
    text = "title\n\ny,g\n1,a\n# note\n\n-9,b\n2,\n3,NA\n-9,a\n"
    table = load(text, columns={"y": NUMBER, "g": FACTOR}, header=3, comment="#", na=[-9, "z"])
    assert dict(zip(table.lines["what"], table.lines["lines"], strict=True)) == {
        "above the header": 2, "header": 1, "rows kept": 1, "rows dropped": 4, "blank": 1, "comment": 1,
    }  # fmt: skip
    assert table.codes.to_dict("records") == [
        {"column": "y", "code": "-9", "cells": 2},
        {"column": "g", "code": "(empty)", "cells": 1},
        {"column": "g", "code": "NA", "cells": 1},
    ]
    assert "data.na lists 'z', which is in no cell of the columns that the study uses" in table.notices
    assert not any("'-9'" in notice for notice in table.notices)


def test_a_column_that_is_mostly_empty_is_noticed(load):
    half = load("y,g\n1,a\n2,\n3,b\n4,\n", columns={"g": FACTOR})
    assert half.notices == ()
    (notice,) = load("y,g\n1,a\n2,\n3,b\n4,\n5,\n", columns={"g": FACTOR}).notices
    assert notice.startswith("g has no value in 3 of 5 rows, which are dropped; if a cell stands")


def test_a_reference_without_rows_tells_where_they_went(load):
    spec = {"x": NUMBER, "g": {**FACTOR, "reference": "a"}}
    with pytest.raises(
        DataError, match=r"its reference 'a' \(2 x missing x; 1 x excluded: x > 3\), and another"
    ):
        load("x,g\n1,b\n,a\n,a\n4,a\n", columns=spec, exclude=["x > 3"])
    with pytest.raises(DataError, match=r"its reference 'c' \(no row of the file has it\)"):
        load("g\na\nb\n", columns={"g": {**FACTOR, "levels": ["a", "b", "c"], "reference": "c"}})
    assert load("x,g\n1,b\n2,a\n", columns=spec).frame["g"].cat.categories.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("head", "row", "name", "hint"),
    [
        ("y;x", "1;2", "x", "if ';' separates its cells, say data.sep: ';'"),
        ("y|x", "1|2", "x", "if '|' separates its cells"),
        ("y x", "1 2", "x", "if ' ' separates its cells"),
        ("y\tx", "1\t2", "x", r"if '\t' separates its cells, say data.sep: '\t'"),
        ("y z", "1 2", "x", ""),
        ("y,x;z", "1,2", "q", ""),
    ],
)
def test_a_file_of_one_column_has_another_separator_perhaps(load, head, row, name, hint):
    with pytest.raises(DataError) as raised:
        load(f"{head}\n{row}\n", columns={name: {}})
    assert f"there is no column `{name}`" in str(raised.value)
    assert (hint or "separates") in str(raised.value) or not hint
    assert bool(hint) == ("separates its cells" in str(raised.value))


def test_a_wide_file_tells_of_each_row_which_it_is(load):
    table = load(
        "id,y_1,y_2\na,1,\nb,3,-4\n",
        columns={"y": {**NUMBER, "min": 0.0}, "id": FACTOR},
        reshape={"measured": {"y": "y_*"}, "index": "time"},
    )
    assert table.rows.to_dict("list") == {
        "row": [1, 2, 3, 4],
        "status": ["kept", "dropped", "kept", "dropped"],
        "reason": ["", "missing y", "", "y -4 below 0"],
        "file_row": [1, 1, 2, 2],
        "measured": ["y_1", "y_2", "y_1", "y_2"],
    }
    assert "each of the 2 rows of the file gives 2 rows, one for each measurement" in table.notices


def test_the_table_is_read_back_as_it_was(load, tmp_path):
    table = load(
        "y,g,n\n1,b,1\n,a,2\n3,c,3\n4,a,4\n",
        columns={"y": NUMBER, "g": {**FACTOR, "levels": ["c", "z", "b", "a"]}},
        exclude=["n > 3"],
    )
    (tmp_path / "data.parquet").write_bytes(frame_bytes(table.frame))
    schema = schema_of(table)
    again = read_frame(tmp_path / "data.parquet", schema)
    pd.testing.assert_frame_equal(again, table.frame)
    assert (again.index.tolist(), again["g"].cat.categories.tolist()) == ([0, 2], ["c", "z", "b"])
    orders = {facts["column"]: (facts["levels"], facts["order"]) for facts in schema["columns"]}
    assert orders == {"y": (2, None), "g": (2, ["c", "z", "b"]), "n": (None, None)}
    assert {key: value for key, value in schema.items() if key != "columns"} == {
        "source": "d.csv",
        "sha256": table.sha256,
        "rows_read": 4,
        "rows_kept": 2,
        "lines": {"header": 1, "rows kept": 2, "rows dropped": 2},
        "codes": [{"column": "y", "code": "(empty)", "cells": 1}],
        "notices": [],
    }
    assert list(schema["columns"][0]) == [
        *("column", "type", "unit", "declared", "missing", "levels", "low", "high", "why", "label", "labels"),
        "order",
    ]
    with pytest.raises(RunError, match=r"cannot be read: .*; run step 01_data_prep again"):
        read_frame(tmp_path / "none.parquet", schema)
    whole = with_gaps(table.frame, table.incomplete)
    assert whole.index.tolist() == [0, 1, 2]
    assert whole["g"].cat.categories.tolist() == ["c", "z", "b", "a"]


@pytest.mark.parametrize(
    ("shape", "refused"),
    [
        ((3, 2), ""),
        ((3, 3), "3 columns; the limit is 2.*data.limits.columns"),
        ((4, 1), "4 rows; the limit is 3.*data.limits.rows"),
    ],
)
def test_a_table_at_its_limits_is_read(shape, refused):
    limits = Limits(rows=3, columns=2, cells=6, bytes=10)
    if refused:
        with pytest.raises(DataError, match=f"d.csv has {refused}"):
            check_shape(*shape, limits, "d.csv")
    else:
        check_shape(*shape, limits, "d.csv")
        check_bytes(10, limits, "d.csv")
        with pytest.raises(DataError, match="11 bytes, unpacked; the limit is 10"):
            check_bytes(11, limits, "d.csv")
        with pytest.raises(DataError, match=r"6 cells \(3 rows of 2\); the limit is 5"):
            check_shape(3, 2, limits.model_copy(update={"cells": 5}), "d.csv")


def test_a_file_whose_one_column_holds_commas_is_told_of_them(load):
    with pytest.raises(DataError) as raised:
        load("y,x\n1,2\n", columns={"x": {}}, sep=";")
    assert str(raised.value) == (
        "d.csv: there is no column `x`. Columns: y,x. The file has one column; if ',' separates its cells, "
        "say "
        "data.sep: ','"
    )


def test_the_lines_of_a_file_are_told_in_their_order(load):
    text = 't\ny,g\n#\n1,"a\nb"\n\n,c\n'
    table = load(text, columns={"y": NUMBER}, header=2, comment="#", multiline=True)
    assert table.lines.to_numpy().tolist() == [
        ["above the header", 1], ["header", 1], ["rows kept", 1], ["rows dropped", 1], ["blank", 1],
        ["comment", 1], ["continuation", 1],
    ]  # fmt: skip


def test_no_rows_are_left_for_reasons_that_are_counted(load):
    with pytest.raises(DataError) as raised:
        load('y\n""\n5\n""\n1\n', columns={"y": {**NUMBER, "min": 2}}, exclude=["y > 4"])
    assert str(raised.value) == (
        "no rows are left of 4: 2 x missing y; 1 x excluded: y > 4; 1 x y 1 below 2. Look at data.exclude, "
        "min, "
        "max and na"
    )


def test_what_is_wrong_with_columns_and_expressions_is_told_at_once(load):
    with pytest.raises(DataError) as raised:
        load(
            "y,g\n1,a\nx,b\n",
            columns={"y": NUMBER, "z": {}},
            derive={"y": "2 * y", "w": "u + 1"},
            exclude=["w > 1", "v > 1"],
        )
    assert [part.about for part in raised.value.parts] == [
        ("columns", "z"), ("columns", "y"), ("derive", "y"), ("derive", "w"), ("exclude", 1),
    ]  # fmt: skip
    assert str(raised.value.parts[2]) == (
        "data.derive makes y, which the file has already; give it another name"
    )


def test_a_missing_value_that_is_an_error_is_told_by_its_row_in_the_file(load):
    with pytest.raises(DataError) as raised:
        load("y,x\n9,1\n1,1\n,\n2,\n", columns={"y": NUMBER, "x": NUMBER}, missing="error", exclude=["y > 8"])
    assert str(raised.value) == (
        "row 3 has no value for y, x (2 such rows), and data.missing is `error`; fill the gaps, exclude the "
        "rows, or set data.missing: drop"
    )


def test_suspected_codes_are_sought_in_numbers_that_are_no_times_of_a_reshaped_file(load):
    text = "id,y_1,y_2,y_99\n" + "".join(f"{i},{i},{i + 0.5},{i}\n" for i in range(1, 5))
    reshape = {"measured": {"y": "y_*"}, "index": "time"}
    table = load(text, columns={"y": NUMBER, "time": NUMBER}, reshape=reshape)
    assert not any("far off" in notice for notice in table.notices)
    values = np.array([1, 2, 3, 4, -99, -99])
    (notice,) = load("y\n" + "\n".join(map(str, values)) + "\n", columns={"y": NUMBER}).notices
    assert notice == "y: -99 (2 cells) stands far off: if it means a missing value, list it under data.na"
