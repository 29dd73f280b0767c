"""Tables as CSV: nothing in them is a formula for a spreadsheet, wherever it cuts, and all is read back."""

import csv
import io
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmmkit.escape import csv_cell, csv_text
from lmmkit.study.records.artifacts import _LABEL, csv_bytes, read_csv
from lmmkit.study.report.read_back import _entries

ATTACKS = [
    "=HYPERLINK(1)", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "x;=HYPERLINK(1)", "x,=1",
    "x\t=1", "x|=cmd", "x\r=1", "x\n-1", "'=1", "''=1", "x;'=1", "\uff1d1", 'a";=1', "x; =1",
    '"=1', 'x;"=1', "\u200b=1", "x;\ufeff@a", "\x00=1",
]  # fmt: skip
PLAIN = ["plain", "a-b", "a = b", "Days", "I(x^2)", "it's", "'quoted'", "x@y"]
AT_A_START = re.compile(r"""(?:^|[,;|\t\r\n])["\s]*[=+@\uff1d-]""")


def written(frame: pd.DataFrame, path) -> pd.DataFrame:
    path.write_bytes(csv_bytes(frame))
    return read_csv(path)


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_cell_and_no_title_begins_as_a_formula_at_any_separator(attack, tmp_path):
    frame = pd.DataFrame({attack: [attack, "b"], "k": [1, 2]})
    text = csv_bytes(frame).decode()
    assert not AT_A_START.search(text), text
    for separator in ",;\t|":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            assert not any(cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")) for cell in row), row
    pd.testing.assert_frame_equal(written(frame, tmp_path / "t.csv"), frame)
    assert {attack, "b"} <= set(_entries(tmp_path / "t.csv"))


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_formula_stays_as_it_is(text):
    assert csv_cell(text) == text
    assert csv_bytes(pd.DataFrame({"a": [text]})) == f"a\n{text}\n".encode()


@given(st.text(alphabet="'=+-@;,| \t\r\n\uff1dax\"\u200b\x00"))
def test_a_guarded_text_is_read_back(text):
    assert csv_text(csv_cell(text)) == text


def test_numbers_are_no_formulas(tmp_path):
    frame = pd.DataFrame(
        {"x": [-1.5, 1e-300, np.nan, -1e22], "k": [-1, 0, 3, 10**15], "b": [True, False, True, True]}
    )
    assert b"'" not in csv_bytes(frame)
    pd.testing.assert_frame_equal(written(frame, tmp_path / "t.csv"), frame)
    separated = frame.assign(t=["a;b", "", "=c", "d"])
    assert b'\n-1.5,-1,True,"a;b"\n' in csv_bytes(separated)


@pytest.mark.parametrize("separator", [";", "|", "\t", ","])
def test_texts_are_quoted_where_one_of_them_holds_a_separator(separator):
    frame = pd.DataFrame({"t": [f"a{separator}b", "c"], "x": [1.5, 2.0]})
    plain = separator == ","  # of which the other texts know nothing
    expected = 't,x\n"a,b",1.5\nc,2.0\n' if plain else f'"t","x"\n"a{separator}b",1.5\n"c",2.0\n'
    assert csv_bytes(frame).decode() == expected
    title = pd.DataFrame({f"a{separator}b": [1.5]})
    assert csv_bytes(title).decode() == f'"a{separator}b"\n1.5\n'


@pytest.mark.parametrize(
    "labels",
    [
        ["007", "7"],
        ["1E1", "10"],
        ["1.50", "2"],
        ["NA", "x"],
        ["nan", "null"],
        ["+1", "2"],
        [" 1", "2"],
        ["1 ", "2"],
        ["1\u00a0", "2"],
    ],
)
def test_labels_that_look_like_numbers_or_gaps_stay_labels(labels, tmp_path):
    assert written(pd.DataFrame({"level": labels}), tmp_path / "t.csv")["level"].tolist() == labels


@given(
    st.lists(st.text('01.eE -,;"\n\t\u00a0', min_size=1, max_size=4), min_size=1, max_size=3),
    st.booleans(),
)
def test_a_column_with_a_label_stays_text_wherever_it_stands(tmp_path_factory, labels, first):
    frame = pd.DataFrame({"level": labels, "x": 1.5})
    back = written(frame if first else frame[["x", "level"]], tmp_path_factory.getbasetemp() / "levels.csv")
    assert back["x"].eq(1.5).all()
    if any(map(_LABEL.search, labels)):
        assert back["level"].tolist() == labels
