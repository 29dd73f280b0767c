"""What a column is taken for and why: its cells on the left, the words about it on the right."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lmmkit.study.data.raw_table import RawColumn
from lmmkit.study.files.schema import Data
from lmmkit.study.intake import propose as module
from lmmkit.study.intake.propose import propose


def proposed(cells, role="predictor", *, name="x", numbered=False, **data):
    array = cells if isinstance(cells, pa.Array) else pa.array(cells)
    return propose(RawColumn(name, array), role, Data(source="d.csv", **data), numbered=numbered)


NUMBER = "x: number, because every cell is a number"


@pytest.mark.parametrize(
    ("cells", "role", "line"),
    [
        (["1", "2", "3"] * 3, "predictor", f"{NUMBER} (3 whole values: factor?)"),
        (["1", "2", "3"] * 3, "number", NUMBER),
        ([*["1", "2", "3"] * 2, "1", "2"], "predictor", NUMBER),  # fewer than three of each
        ([str(k) for k in range(10)] * 3, "predictor", f"{NUMBER} (10 whole values: factor?)"),
        ([str(k) for k in range(11)] * 3, "predictor", NUMBER),
        (["1", "2"] * 3, "predictor", f"{NUMBER} (2 whole values: factor?)"),
        (["2"] * 6, "predictor", NUMBER),
        (["1", "2.5"] * 3, "predictor", NUMBER),
        (
            ["1", "2", *["999"] * 2, "3", "4"],
            "number",
            f"{NUMBER} (999 (2 cells) stands far off: if it means a missing value, list it under data.na)",
        ),
        (["true", "false"] * 3, "predictor", "x: number, because its cells are true or false: 0 and 1"),
        (["a", "b"] * 3, "predictor", "x: factor, because its cells are text"),
        (["1", "2"] * 3, "group", "x: factor, because it only groups rows"),
        (["25/01/2024", "26/01/2024"], "group", "x: factor, because it only groups rows"),
        (["01", "02", "10"], "predictor", "x: factor, because its numbers begin with zeros, as codes do"),
        (["01", "02", "10"], "number", NUMBER),
        (
            ["25/01/2024", "26/01/2024"],
            "predictor",
            "x: time in d written %d/%m/%Y, because its cells are dates",
        ),
        (["2024-01-25", "2024-01-26"], "predictor", "x: time in d, because its cells are dates"),
        (
            ["20240125", "20240126"],
            "predictor",
            "x: time in d written %Y%m%d, because its cells are dates",
        ),
        (
            ["2024-01-25 08:30", "2024-01-26 09:00"],
            "predictor",
            "x: time in h, because its cells are dates (unit: s, min, h or d)",
        ),
        (
            ["9:30", "10:45"],
            "predictor",
            "x: time in h, because its cells are times of day or spans of time (unit: s, min, h or d; 9:30 "
            "is 9.5 h)",
        ),
        (
            ["1", "2", "3", "4", "n/a"],
            "number",
            f"{NUMBER} but for 'n/a' in 1 cell, which data.na lists",
        ),
        (
            ["1", "2", "3", "-", "n/a", "n/a", "7"],
            "number",
            f"{NUMBER} but for '-' in 1 cell, 'n/a' in 2 cells, which data.na lists",
        ),
        (
            ["25/01/2024", "26/01/2024", "?"],
            "predictor",
            "x: time in d written %d/%m/%Y, because its cells are dates but for '?' in 1 cell, which data.na "
            "lists",
        ),
    ],
)
def test_what_a_column_is_taken_for(cells, role, line):
    made = proposed(cells, role)
    assert made.line() == line
    assert made.asked == []


def test_stored_dates_of_eight_digits():
    made = proposed(pa.array([20240125, 20240126, 20240201]))
    assert made.line() == ("x: time in d written %Y%m%d, because its numbers are dates such as 20240131")
    assert proposed(pa.array([20240125, 20240126]), "group").spec == {"type": "factor"}


def test_stored_moments_are_counted_in_hours():
    moments = pa.array(pd.to_datetime(["2024-01-25 08:30", "2024-01-26 09:00"]))
    assert proposed(moments).spec["type"] == "time"


@pytest.mark.parametrize(
    ("cells", "role", "line", "asked"),
    [
        (["a", "b"], "number", "x: number, because the model uses it as a number", "x: it holds no numbers"),
        (
            ["1", "2", "3", "4*"],
            "predictor",
            "x: not decided, because its cells leave it open",
            "x: 3 of its 4 cells are numbers, but row 4 holds '4*'",
        ),
        (
            ["0", "1", "2", "4*"],
            "predictor",
            "x: not decided, because its cells leave it open",
            "x: 3 of its 4 cells are numbers, but row 4 holds '4*'",
        ),
        (
            ["1", "2", "3", "4*", "n/a"],
            "predictor",
            "x: not decided, because its cells leave it open",
            "('n/a' in 1 cell are listed under data.na)",
        ),
        (
            ["true", "false", "n/a"],
            "predictor",
            "x: not decided, because its cells leave it open",
            "x: 2 of its 3 cells are true or false, but row 3 holds 'n/a'",
        ),
        (
            ["05/03/2024", "06/04/2024"],
            "predictor",
            "x: time in d written %d/%m/%Y, because its cells are dates (or %m/%d/%Y: every date reads both "
            "ways)",
            "x: '05/03/2024' and all other dates can be read as %d/%m/%Y and as %m/%d/%Y; keep the right one "
            "under `format`",
        ),
        (
            ["05/03/04", "06/04/07"],
            "predictor",
            "x: time in d written %d/%m/%y, because its cells are dates (or %m/%d/%y or %y/%m/%d: every date "
            "reads both ways)",
            "can be read as %d/%m/%y and as %m/%d/%y or %y/%m/%d",
        ),
    ],
)
def test_what_cannot_be_decided_is_asked(cells, role, line, asked):
    made = proposed(cells, role)
    assert made.line() == line
    assert asked in made.asked[0]


@pytest.mark.parametrize(
    ("cells", "numbered", "why"),
    [
        (["01", "02"], True, "the measured columns are numbered"),
        (["01", "02"], False, "its numbers begin with zeros, as codes do"),
        (["a1", "02"], True, "its numbers begin with zeros, as codes do"),
    ],
)
def test_places_of_measured_columns_are_numbers(cells, numbered, why):
    assert proposed(cells, numbered=numbered).why == why


#: What stands in files of numbers where there is none.
NOTHING = [
    "n/a",
    "na",
    "N.A.",
    "#n/a",
    "#NA",
    "#NV",
    "nan",
    "-nan",
    "nan(ind)",
    "1.#QNAN",
    "-1.#IND",
    "1.#IND",
    "NaT",
    "<NA>",
    "NULL",
    "(null)",
    "<null>",
    "\\N",
    "None",
    "nil",
    "missing",
    "unknown",
    "ND",
    "n.d.",
    "k.A.",
    "n.v.",
    ".",
    "..",
    "-",
    "--",
    "–",
    "—",
    "?",
    "*",
    "x",
    "#DIV/0!",
    "#VALUE!",
    "#REF!",
    "#NUM!",
    "#NULL!",
    "#NAME?",
]


@pytest.mark.parametrize(
    "text", [*NOTHING, "not available", "Not applicable", "k. A.", "keine Angabe"], ids=repr
)
def test_words_that_mean_a_missing_value(text):
    made = proposed(["1", "2", "3", "4", text], "number", name="y")
    assert (made.codes, made.spec) == ([text], {"type": "number"})


def test_the_name_of_a_column_in_its_cells_is_left_to_its_owner():
    made = proposed(["1", "2", "3", "4", "x"], "number")
    assert made.codes == []
    assert "take its line out" in made.asked[0]


@pytest.mark.parametrize("text", ["NA", "", "-9"])
def test_what_is_read_anyhow_is_no_code(text):
    made = proposed(["1", "2", "3", "4", text], "number")
    assert (made.codes, made.spec) == ([], {"type": "number"})
    assert proposed(["1", "2", "3", "4", "n/a"], "number", na=["n/a"]).codes == []


@pytest.mark.parametrize(
    "form",
    [
        "%Y/%m/%d", "%Y.%m.%d", "%d-%m-%Y", "%m-%d-%Y", "%d-%m-%y", "%m/%d/%y", "%Y/%m",
        "%d. %B %Y", "%d. %b %Y", "%B %d, %Y", "%b %d, %Y", "%b %d %Y", "%B %d %Y", "%b-%y", "%b-%Y", "%b %Y",
        "%B %Y", "%Y-%b-%d", "%d-%b-%y", "%d/%b/%Y", "%d.%B.%Y", "%d%b%y", "%d/%m/%Y %I:%M %p",
        "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y:%H:%M:%S", "%d/%m/%YT%H:%M", "%d/%m/%YT%H:%M:%S",
        "%d/%m/%Y %H:%M:%S", "%m/%d/%Y", "%d.%m.%Y", "%d/%m/%y", "%y/%m/%d", "%d.%m.%y", "%m-%d-%y",
        "%y-%m-%d", "%Y-%m", "%d%b%Y", "%d-%B-%Y", "%d %b %y", "%d/%B/%y", "%d.%b.%Y", "%d/%m/%Y %H:%M",
        "%d-%b-%Y", "%d %B %Y",
    ],
)  # fmt: skip
def test_dates_in_any_order_are_read_in_their_form(monkeypatch, form):
    days = pd.Timestamp("2024-01-25 08:30:10") + pd.to_timedelta(np.arange(3) * 31, "D")
    tried = {date + time for date in module._DATES for time in module._TIMES}
    # All are tried on every column; here the one in question, which takes no time.
    monkeypatch.setattr(module, "_forms", lambda texts: iter([form] if form in tried else []))
    made = proposed(days.strftime(form).tolist())
    assert (made.spec["type"], made.spec["format"]) == ("time", form)


def test_a_date_far_down_tells_two_orders_apart():
    """Of 145 distinct dates the last alone cannot be read with the month in front."""
    dates = [f"{day:02}/{month:02}/2024" for month in range(1, 13) for day in range(1, 13)]
    made = proposed([*dates, "25/01/2024"])
    assert (made.line(), made.asked) == (
        "x: time in d written %d/%m/%Y, because its cells are dates", [],
    )  # fmt: skip
    assert proposed(dates).comment == "or %m/%d/%Y: every date reads both ways"
