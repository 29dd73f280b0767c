"""How numbers, dates and spans of time are spelled: text by text, with what is said of each."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lmmkit.study.data.cell_text import (
    Marks,
    all_numbers,
    common_unit,
    days_told,
    is_date,
    looks_like_bound,
    looks_like_date,
    looks_like_number,
    moments_of,
    number_hint,
    number_of,
    seconds_of,
    which_numbers,
)

UNIT = "write the number alone, its unit under `unit`"


def test_what_may_be_meant_as_a_number():
    meant = (
        "1,234.5", "$12", "(12)", "12 %", "0x10", "\uff14", "INF", "-inf", "nan", "1.#QNAN", "\u22123",
        "\u0661\u066b\u0665", "1\u066c000", "1\u2019000", "\uff11\uff0e\uff15", "\u20ac5", "\u200e5",
        "1\u00a0000", "5\u2030", "USD 5", "7 EUR",
    )  # fmt: skip
    assert [text for text in meant if not looks_like_number(text)] == []
    assert [text for text in ("3*", "5\u00b2", "low", "", "Q1") if looks_like_number(text)] == []
    bounds = ("<0.5", ">= 12", "\u00b13", "~3", "\u2264 5", "<-2", "< low", "0.5")
    assert [looks_like_bound(text) for text in bounds] == [True] * 6 + [False] * 2


@pytest.mark.parametrize(
    ("texts", "marks", "hint"),
    [
        (["1,5"], Marks(), "if the decimal mark is a comma, say data.decimal: ','"),
        (
            ["1,500"],
            Marks(),
            "if the comma groups thousands, say data.thousands: ','; if it is the decimal mark, "
            "data.decimal: ','",
        ),
        (
            ["1.234,5"],
            Marks(),
            "if the decimal mark is a comma, say data.decimal: ',' (and data.thousands: '.')",
        ),
        (["1,234.5"], Marks(), "if ',' groups thousands, say data.thousands: ','"),
        (["1.234,5"], Marks(","), "if '.' groups thousands, say data.thousands: '.'"),
        (["1'234"], Marks(), 'if "\'" groups thousands, say data.thousands: "\'"'),
        (["1 234"], Marks(), "if ' ' groups thousands, say data.thousands: ' '"),
        (["\u0661\u0662"], Marks(), "'\u0661\u0662' is written in arabic-indic digits: write 0 to 9"),
        (["\u22121"], Marks(), "'\u22121' begins with a minus sign that is no hyphen: write -"),
        (["(12)"], Marks(), "write a number below zero with a minus, not in brackets"),
        (["1.5D3"], Marks(), "write the exponent with an e, not a D"),
        (["12 %"], Marks(), UNIT),
        (["USD 5"], Marks(), UNIT),
        (["7 EUR"], Marks(), UNIT),
        (["\u20ac5"], Marks(), UNIT),
        (["NaN"], Marks(), "finite numbers are expected"),
        (["fast", "inf"], Marks(), "finite numbers are expected"),
        (["fast"], Marks(), ""),
    ],
)  # fmt: skip
def test_what_to_write_in_the_study_or_the_file(texts, marks, hint):
    assert number_hint(texts, marks) == hint


def test_numbers_of_an_array_and_of_one_text():
    whole = all_numbers(pa.array(["1", "2"]), Marks())
    assert (whole.tolist(), whole.dtype) == ([1, 2], np.int64)
    assert all_numbers(pa.array(["1", "2.5"]), Marks()).tolist() == [1.0, 2.5]
    np.testing.assert_array_equal(all_numbers(pa.array(["1", None]), Marks()), [1.0, np.nan])
    assert all_numbers(pa.array(["1.000", "2"]), Marks(",", ".")).tolist() == [1000, 2]
    for cells, marks in ((["1", "nan"], Marks()), (["1e400", "1"], Marks()), (["1,5", "x"], Marks(","))):
        assert all_numbers(pa.array(cells), marks) is None
        assert all_numbers(pa.array([*cells, None]), marks) is None
    good, values = which_numbers(pa.array(["1", "x", None, "1e400", "2,5"]), Marks(","))
    assert good.tolist() == [True, False, False, False, True]
    np.testing.assert_array_equal(values, [1.0, np.nan, np.nan, np.nan, 2.5])
    spelled = (("1.234,5", Marks(",", ".")), ("1'000", Marks(".", "'")), (" 5 ", Marks()), ("-2", Marks(",")))
    assert [number_of(text, marks) for text, marks in spelled] == [1234.5, 1000.0, 5.0, -2.0]
    assert [number_of(text, Marks()) for text in ("1_000", "1e999", "1,5")] == [None] * 3


def test_one_unit_of_three_or_more_numbers():
    assert common_unit(["5 mg", "10 mg", "2.5 mg"]) == " mg"
    assert common_unit(["5mg", "10 mg", "2.5 mg"]) == ""
    assert common_unit(["5 mg", "10 mg"]) == ""
    assert common_unit(["a", "b", "c"]) == ""


def test_dates_in_other_forms_are_told_from_words():
    dates = ("31/01/2024", "3 May 2024", "03MAY24", "2024-05", "31-Jan-24", "January 2024", "2024 May 3",
             "Mai 5, 2024", "21. M\u00e4rz 2024", "d\u00e9c 2024", "1/2/3 10:00")  # fmt: skip
    assert [text for text in dates if not looks_like_date(text)] == []
    assert [text for text in ("Mayer 2", "2024-13", "31.01/2024", "2124-05") if looks_like_date(text)] == []
    iso = ("2024-01-31", "2024-01-31T12:30+02:00", "2024-W05-3", "2024W053", "31/01/2024", "2024-1-1")
    assert [is_date(text) for text in iso] == [True] * 4 + [False] * 2
    assert [days_told(form) for form in ("%d/%m/%Y %H:%M", "%H:%M")] == [True, False]


def test_spans_of_time_have_every_part():
    spans = {
        "09:30": 34200.0,
        "1:02:03,5": 3723.5,
        "2 days 01:00": 176_400.0,
        "1 day, +1:00": 90_000.0,
        "9:30 p.m.": 77_400.0,
        "12:15 am": 900.0,
        "12:30 pm": 45_000.0,
        "1:00 am": 3600.0,
        "P1DT2H3M4.5S": 93_784.5,
        "PT5S": 5.0,
        "-P1D": -86_400.0,
        "P2W": 1_209_600.0,
        "P": None,
        "PT": None,
        "09:60": None,
        "9.30": None,
    }
    assert {text: seconds_of(text) for text in spans} == spans


def test_dates_of_a_week_and_of_a_form_become_moments():
    weeks = moments_of(["2024W053", "2023-W53", "2024-W05"], None)
    assert weeks.values.strftime("%Y-%m-%d").tolist()[::2] == ["2024-01-31", "2024-01-29"]
    assert pd.isna(weeks.values[1])
    assert (weeks.timed, weeks.zones) == (False, "none")
    aware = moments_of(["2024-01-02T10:00+0200", "2024-01-02T00:00+0000"], "%Y-%m-%dT%H:%M%z")
    assert aware.values.hour.tolist() == [8, 0]
    assert (aware.timed, aware.zones) == (True, "all")
    plain = moments_of(["03/02/2024", "x"], "%d/%m/%Y")
    assert (str(plain.values[0]), pd.isna(plain.values[1])) == ("2024-02-03 00:00:00", True)
    assert (plain.timed, plain.zones) == (False, "none")
    assert moments_of(["2024-01-02", "2024-01-02T10:00Z"], None).zones == "some"
