"""Files that store types: each column with its own, or with what makes it unusable."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmmkit.errors import DataError
from lmmkit.study.data.typed_files import from_pandas, read_parquet, read_stata
from lmmkit.study.files.schema import Data, Limits


def facts(table):
    return {n: (c.cells.to_pylist(), str(c.cells.type), c.labelled) for n, c in table.columns.items()}


TEXTS = "dictionary<values=string, indices=int8, ordered=0>"


@pytest.fixture
def parquet(tmp_path):
    def call(table, **settings):
        path = tmp_path / "d.parquet"
        if isinstance(table, pd.DataFrame):
            table.to_parquet(path)
        else:
            pq.write_table(pa.table(table), path)
        return read_parquet(path, Data(source=path.name, **settings))

    return call


def labels(indices, words, *, ordered):
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), pa.array(words), ordered=ordered)


def test_columns_of_parquet_are_text_numbers_labels_or_moments(parquet):
    table = parquet(
        {
            "large": pa.array(["a", None], pa.large_string()),
            "view": pa.array(["a", None], pa.string_view()),
            "null": pa.nulls(2),
            "time": pa.array([60, None], pa.time32("s")),
            "bytes": pa.array([b"a", None], pa.binary()),
            "large bytes": pa.array([b"a", None], pa.large_binary()),
            "two bytes": pa.array([b"ab", None], pa.binary(2)),
            "half": pa.array([1.5, None], pa.float32()).cast(pa.float16()),
            "uuid": pa.array([b"\1" * 16, None], pa.uuid()),
            "words": pa.array(["b", "a"]).dictionary_encode(),
            "ordered": labels([1, 0], ["b", "a"], ordered=True),
            "codes": labels([1, 0], [2, 1], ordered=False),
            "span": pa.array([1, None], pa.duration("s")),
        }
    )
    assert {n: (cells, kind) for n, (cells, kind, _) in facts(table).items() if n != "span"} == {
        "large": (["a", None], "string"),
        "view": (["a", None], "string"),
        "null": ([None, None], "string"),
        "time": (["00:01:00.000", None], "string"),
        "bytes": (["a", None], "string"),
        "large bytes": (["a", None], "string"),
        "two bytes": (["ab", None], "string"),
        "half": ([1.5, None], "float"),
        "uuid": (["01010101-0101-0101-0101-010101010101", None], "string"),
        "words": (["b", "a"], "string"),
        "ordered": (["a", "b"], TEXTS),
        "codes": ([1, 2], "int64"),
    }
    assert facts(table)["span"][1] == "duration[s]"
    assert [name for name, column in table.columns.items() if column.labelled] == ["ordered"]
    assert not any(column.faults or column.stored is not None for column in table.columns.values())
    assert table.columns["ordered"].cells.combine_chunks().dictionary.to_pylist() == ["b", "a"]


def test_columns_of_parquet_that_no_model_can_use_say_why(parquet):
    table = parquet({"bad": pa.array([b"\xff", None]), "list": pa.array([[1], None])})
    assert table.columns["bad"].faults == (
        "bad holds binary, bytes that are no text in UTF-8; write the column as text or numbers",
    )
    assert table.columns["bad"].cells.to_pylist() == ["ff", None]
    assert table.columns["list"].faults == (
        "list holds list<element: int64> in each cell; expected single values",
    )
    assert table.columns["list"].cells.to_pylist() == [None, None]


def test_what_pandas_kept_of_an_index_and_its_categories(parquet):
    frame = pd.DataFrame({"g": pd.Categorical(["b", "a"], ["b", "a"]), "s": ["b", "a"]}, index=[5, 7])
    assert facts(parquet(frame)) == {
        "g": (["b", "a"], TEXTS, True),
        "s": (["b", "a"], "string", False),
    }
    named = facts(parquet(frame.rename_axis("id")))
    assert (list(named), named["id"][0]) == (["g", "s", "id"], [5, 7])


def test_the_footer_of_parquet_tells_what_is_too_large(parquet):
    table = {"a": pa.array([1, 2, 3]), "b": pa.array([1, 2, 3])}
    for limits, words in (
        (Limits(rows=2), "3 rows; the limit is 2"),
        (Limits(columns=1), "2 columns; the limit is 1"),
        (Limits(bytes=10), "bytes, unpacked; the limit is 10"),
    ):
        with pytest.raises(DataError, match=words):
            parquet(table, limits=limits)
    assert parquet(table, limits=Limits(rows=3, columns=2)).rows == 3


def stata(folder, frame, labels):
    frame.to_stata(folder / "d.dta", write_index=False, value_labels=labels)
    return read_stata(folder / "d.dta", Data(source="d.dta"))


def test_value_labels_of_stata_name_all_some_or_none_of_the_cells(tmp_path):
    frame = pd.DataFrame(
        {
            "all": [2, 1, 3],
            "some": [1, 2, 3],
            "none": [1, 1, 2],
            "text": ["p", "q", ""],
            "gap": [1.5, np.nan, 2],
            "gaps": [1.0, np.nan, 2],
        }
    )
    words = {
        "all": {1: "never", 2: "always", 3: "at times"},
        "some": {3: "refused"},
        "none": {7: "unused"},
        "gaps": {1: "low", 2: "high"},
    }
    table = stata(tmp_path, frame, words)
    assert {name: column.cells.to_pylist() for name, column in table.columns.items()} == {
        "all": ["always", "never", "at times"],
        "some": ["1", "2", "refused"],
        "none": [1, 1, 2],
        "text": ["p", "q", ""],
        "gap": [1.5, None, 2.0],
        "gaps": ["low", None, "high"],
    }
    assert [name for name, column in table.columns.items() if column.labelled] == ["all", "gaps"]
    np.testing.assert_array_equal(table.columns["all"].stored, [2, 1, 3])
    np.testing.assert_array_equal(table.columns["some"].stored, [1, 2, np.nan])
    np.testing.assert_array_equal(table.columns["gaps"].stored, [1, np.nan, 2])
    assert [name for name in ("none", "text", "gap") if table.columns[name].stored is not None] == []
    assert table.columns["all"].cells.combine_chunks().dictionary.to_pylist() == [
        "never", "always", "at times",
    ]  # fmt: skip
    assert (table.rows, table.notices) == (3, ())
    twice = stata(tmp_path, frame, {**words, "all": {1: "never", 2: "always", 3: "never"}})
    assert twice.columns["all"].cells.to_pylist() == [2, 1, 3]
    assert twice.columns["some"].cells.to_pylist() == ["1", "2", "refused"]
    assert twice.notices == ("all: two of its value labels are the same text, so its codes are read",)


def test_columns_of_pandas_keep_their_type_or_become_text():
    series = {
        "whole": (pd.Series([1, 2]), "int64"),
        "unsigned": (pd.Series([1, 2], dtype="uint8"), "uint8"),
        "real": (pd.Series([1.5, np.nan]), "double"),
        "truth": (pd.Series([True, False]), "bool"),
        "moment": (pd.to_datetime(pd.Series(["2024-01-02", None])).astype("datetime64[us]"), "timestamp[us]"),
        "text": (pd.Series(["a", None], dtype=object), "string"),
        "mixed": (pd.Series([1, "a"], dtype=object), "string"),
        "span": (pd.Series(pd.to_timedelta([1, 2], "h")), "string"),
    }
    assert {name: str(from_pandas(name, values).cells.type) for name, (values, _) in series.items()} == {
        name: kind for name, (_, kind) in series.items()
    }
    assert from_pandas("text", series["text"][0]).cells.to_pylist() == ["a", None]
    assert from_pandas("real", series["real"][0]).cells.to_pylist() == [1.5, None]
    assert from_pandas("mixed", series["mixed"][0]).cells.to_pylist() == ["1", "a"]


def test_a_file_of_stata_beyond_a_limit_is_refused(tmp_path):
    pd.DataFrame({"y": [1.0, 2, 3], "x": [1, 2, 3]}).to_stata(tmp_path / "d.dta", write_index=False)
    for limits, words in (
        (Limits(rows=2), "3 rows; the limit is 2"),
        (Limits(columns=1), "2 columns; the limit is 1"),
        (Limits(bytes=10), "bytes, unpacked; the limit is 10"),
    ):
        with pytest.raises(DataError, match=words):
            read_stata(tmp_path / "d.dta", Data(source="d.dta", limits=limits))
