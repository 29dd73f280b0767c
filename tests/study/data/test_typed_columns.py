"""Where a column's type turns: thresholds on both sides, and what is said of cells that leave it open."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lmmkit.errors import DataError
from lmmkit.study import Base, load_table
from lmmkit.study.data.cell_text import Marks, are_dates, moments_of, number_hint, seconds_of
from lmmkit.study.data.missing_codes import Sieve, codes_of
from lmmkit.study.data.raw_table import RawColumn
from lmmkit.study.data.suspects import suspected_codes
from lmmkit.study.data.typed_columns import typed
from lmmkit.study.files.schema import Column, Data


@pytest.fixture
def load(tmp_path):
    def call(cells, spec, name="c", **settings):
        if isinstance(cells, pd.Series):
            cells.rename(name).to_frame().to_parquet(tmp_path / "d.parquet")
            source = "d.parquet"
        else:
            source = "d.csv"
            (tmp_path / source).write_text("".join(f'"{cell}"\n' for cell in (name, *cells)))
        data = Data(source=source, columns={name: Column.model_validate(spec)}, **settings)
        return load_table(data, Base(tmp_path))

    return call


def told(load, cells, spec, **settings):
    """What is refused or noticed."""
    try:
        return "; ".join(load(cells, spec, **settings).notices)
    except DataError as error:
        return str(error)


DAY = {"type": "time"}


@pytest.mark.parametrize(
    ("cells", "spec", "said", "unsaid"),
    [
        (["31/01/2024", "x"], DAY, "say how dates are written under `format`", "in the form"),
        (["soon", "x"], DAY, "numbers or dates such as 2024-01-31", "under `format`"),
        (["31/01/2024", "x"], DAY | {"format": "%Y"}, "in the form %Y", "under `format`"),
        (["2024-01-31", "2024-02-01T12:00+01:00"], DAY, "which cannot be compared", "expected numbers"),
        (["2024-01-31T12:00"], {"role": "predictor"}, "in which unit time is counted", ""),
        (["2024-01-31", "2024-02-01"], {"unit": "year"}, "counted in s, min, h or d; its unit is year", ""),
        (["09:30", "10:00"], DAY, "in which unit they are counted", "looks like"),
        (["09:30", "10:00"], DAY | {"role": "number"}, "in which unit they are counted", "or `type: factor`"),
        (["09:30", "10:00"], DAY | {"role": "predictor"}, "or `type: factor` if they are labels", ""),
        (["a  b", "a b"], {"type": "factor"}, "differ only in blanks", "in capitals"),
        (["ab", "aB"], {"type": "factor"}, "differ only in capitals", "in blanks"),
        (["a b", "c d"], {"type": "factor"}, "", "differ only"),
        (["a\u200b", "a"], {"type": "factor"}, "differ only in blanks, unseen characters", ""),
        (["2024-01-02", "a-b"], {"type": "factor"}, "1 of its 2 labels are dates", ""),
        (["2024-01-02", "2024-01-03"], {"type": "factor"}, "", "are dates"),
        (["1.500", "12.250", "7"], {"type": "number"}, "every number has three digits after its '.'", ""),
        (["1.500", "12.25", "7"], {"type": "number"}, "", "three digits"),
        (["100", "7"], {"type": "number"}, "", "three digits"),
        (["1.500", "1000"], {"type": "number"}, "", "three digits"),
        (["5 mg", "6 mg", "7 mg"], {"role": "predictor"}, "followed by ' mg', such as '5 mg'", ""),
        (["5 mg", "6 mg"], {"role": "predictor"}, "", "followed by"),
        (["01", "2"], {"role": "predictor"}, "'01', a number with a leading zero", ""),
        (["0", "2"], {"role": "predictor"}, "", "leading zero"),
        (["01", "2"], {"role": "number"}, "", "leading zero"),
        (
            ["1", "2", "x", "y"],
            {"role": "predictor"},
            "2 of its 4 cells are numbers, but row 3 holds 'x', row 4",
            "",
        ),
        (["1", "x", "y"], {"role": "predictor"}, "", "are numbers"),
        (["x", "y"], {"role": "number"}, "it holds no numbers: row 1 holds 'x'", "data.na"),
        (["1", *"abcdefg"], {"role": "number"}, "row 6 holds 'e' (and 2 rows more)", ""),
        (["1", *"abcdef"], {"role": "number"}, "row 6 holds 'e' (and 1 row more)", ""),
        (["1", *"abxde"], {"role": "number"}, "row 6 holds 'e'; the model", "more)"),
        (
            ["1", "2", "c"],
            {"role": "number"},
            "a cell that holds 'c' stands in a header that is repeated",
            "",
        ),
        (["true", "FALSE", "1"], {"role": "predictor"}, "2 of its 3 cells are true or false", ""),
        (
            ["1.5", "1.50"],
            {"role": "predictor and group"},
            "'1.5' in row 1 and '1.50' in row 2 are one number",
            "",
        ),
        (["1.5", "2.50"], {"role": "predictor and group"}, "", "one number"),
        (["20240131", "20240201"], {"role": "predictor"}, "reads as a date, such as 20240131", ""),
        (["20240131", "20240201"], {"type": "number"}, "", "reads as a date"),
        (["1900-01-01", "2024-01-02", "2024-01-09"], DAY, "1900-01-01 (1 cell) stands far off", ""),
        (
            ["9999-12-31", "9999-12-31", "2024-01-02", "2024-01-09"],
            DAY,
            "9999-12-31 (2 cells) stands far",
            "",
        ),
        (["2023-12-01", "2024-01-02", "2024-01-09"], DAY, "", "far off"),
        (["1970-01-01", "1980-01-01", "1984-01-01"], DAY, "1970-01-01 (1 cell) stands far off", ""),
        (["1970-01-01", "1980-01-01", "1986-01-01"], DAY, "", "far off"),  # less than twice the six years
    ],
)
def test_what_is_said_of_text(load, cells, spec, said, unsaid):
    found = told(load, cells, spec)
    assert said in found
    assert not unsaid or unsaid not in found


EXACT = 2.0**53


@pytest.mark.parametrize(
    ("values", "spec", "said"),
    [
        (pd.Series([EXACT - 1, 2.0]), {"role": "group"}, ""),
        (
            pd.Series([1.0, EXACT]),
            {"role": "group"},
            "row 2 holds 9007199254740992.0, a floating number beyond",
        ),
        (pd.Series([1.0, -EXACT]), {"role": "group"}, "row 2 holds -9007199254740992.0, a floating"),
        (pd.Series([1.0, EXACT]), {"type": "factor"}, ""),
        (pd.Series([1.0, 2.0**24], dtype="float32"), {"role": "group"}, "row 2 holds 16777216.0, a floating"),
        (pd.Series([1.0, 2.0**24 - 1], dtype="float32"), {"role": "group"}, ""),
        (
            pd.Series([1.0, np.inf, -np.inf]),
            {"role": "number"},
            "row 2 holds inf (and 1 row more); expected finite",
        ),
        (pd.Series([True, False]), {"type": "time"}, "is declared a time, but holds true and false"),
        (pd.to_datetime(pd.Series(["2024-01-02"])), {"type": "number"}, "holds dates; declare `type: time`"),
        (pd.Series(["a", "b"], dtype="category"), {"role": "number"}, "holds labels, such as 'a', and"),
        (
            pd.Series(pd.Categorical(["a"], ordered=True)),
            {"role": "number"},
            "holds labels, such as 'a', and",
        ),
        (pd.Series(pd.to_timedelta([1, 2], "h")), {"type": "time"}, "in which unit they are counted"),
    ],
)
def test_what_is_said_of_stored_values(load, values, spec, said):
    found = told(load, values, spec)
    assert said in found
    assert bool(said) == bool(found)


@pytest.mark.parametrize(
    ("cells", "spec", "values"),
    [
        (["2024-01-03", "2024-01-01"], DAY, [2.0, 0.0]),
        (["2024-01-01T12:00", "2024-01-01"], DAY, [0.5, 0.0]),
        (["2024-01-01T18:00", "2024-01-01"], DAY | {"unit": "h"}, [18.0, 0.0]),
        (["2024-01-01T18:00", "2024-01-01"], DAY | {"unit": "min"}, [1080.0, 0.0]),
        (["18:00", "06:00"], DAY | {"format": "%H:%M", "unit": "h"}, [18.0, 6.0]),
        (["18:00", "06:30"], DAY | {"unit": "h"}, [18.0, 6.5]),
        (["PT90M", "P1D"], DAY | {"unit": "h"}, [1.5, 24.0]),
        (["3", "1"], DAY | {"unit": "d"}, [3.0, 1.0]),
        (["true", "false"], {"type": "number"}, [1.0, 0.0]),
        (pd.Series(pd.to_timedelta([90, 30], "min")), DAY | {"unit": "h"}, [1.5, 0.5]),
        (pd.Series([20240103, 20240101]), DAY | {"format": "%Y%m%d"}, [2.0, 0.0]),
    ],
)
def test_times_are_counted_in_their_unit(load, cells, spec, values):
    assert load(cells, spec).frame["c"].astype(float).tolist() == values


@pytest.mark.parametrize(
    ("role", "refused"),
    [
        ("number", True),
        ("number and group", True),
        ("member weight", True),
        ("predictor", False),
        ("predictor and group", False),
        ("group", False),
        ("member", False),
    ],
)
def test_what_is_declared_a_factor_is_no_number_of_the_model(load, role, refused):
    said = told(load, ["1", "2"], {"type": "factor", "role": role})
    assert said == (
        "c is declared a factor, but the model uses it as a number; declare `type: number`" if refused else ""
    )


def test_what_is_no_number_among_numbers_is_no_level_and_a_word_among_words():
    data = Data(source="d", na_defaults=False)
    numbers = typed(RawColumn("c", pa.array([1.0, np.nan, 2.0])), Column(type="factor"), data).values
    words = typed(RawColumn("c", pa.array(["a", "NaN"])), Column(type="factor"), data).values
    assert (list(numbers.cat.categories), numbers.isna().sum()) == (["1", "2"], 1)
    assert (list(words.cat.categories), words.isna().sum()) == (["NaN", "a"], 0)


def test_whole_numbers_beyond_those_with_a_sign_are_kept(load):
    values = [1, 2**63, 2**64 - 1]
    assert load(pd.Series(values, dtype="uint64"), {"role": "number"}).frame["c"].tolist() == values


def test_a_code_is_a_number_in_the_marks_of_the_file_else_in_plain_ones():
    codes = codes_of(Data(source="d", decimal=",", thousands=".", na=["-9,5", "-8.5", "1.000", "x", 7]))
    values = {code.text: code.value for code in codes}
    assert values == {
        "": None, "NA": None, "NaN": None, "-9,5": -9.5, "-8.5": -8.5, "1.000": 1000.0, "x": None, "7": 7.0,
    }  # fmt: skip
    assert [code.text for code in codes if code.given] == ["-9,5", "-8.5", "1.000", "x", "7"]
    both = codes_of(Data(source="d", na=["NA"]))
    assert [(code.text, code.given) for code in both] == [("", False), ("NaN", False), ("NA", True)]
    none = codes_of(Data(source="d", na=["NA"], na_defaults=False))
    assert [(code.text, code.given) for code in none] == [("NA", True)]


def test_codes_are_taken_out_of_numbers_by_value_and_counted():
    sieve = Sieve(codes_of(Data(source="d", na=[-9, "2.5", str(2**53 + 1)])))
    assert np.isnan(sieve.numbers(np.array([1.0, -9, 2.5, -9]))).tolist() == [False, True, True, True]
    assert dict(sieve.counts) == {"-9": 2, "2.5": 1}
    whole = Sieve(sieve.codes)
    found = whole.numbers(np.array([2, -9, 2**53, 2**53 + 1]))
    assert np.isnan(found).tolist() == [False, True, False, True]
    assert whole.numbers(np.array([1, 2], np.uint8)).dtype == np.uint8


@pytest.mark.parametrize(("highest", "noticed"), [(79, True), (80, False)])
def test_a_code_stands_far_off_from_twice_the_widest_gap(highest, noticed):
    near = [float(value) for value in range(highest - 70, highest + 1, 10)]
    assert bool(suspected_codes(np.array([*near, 99, 99]))) is noticed


@pytest.mark.parametrize(("gap", "noticed"), [(0, False), (1, True)])
def test_one_code_alone_stands_beyond_twice_the_extent(gap, noticed):
    near = [0.0, 1, 2, 3, 33.0 - gap]
    assert bool(suspected_codes(np.array([*near, 99]))) is noticed


@pytest.mark.parametrize(
    ("texts", "hint"),
    [
        (["1,5"], "if the decimal mark is a comma, say data.decimal: ','"),
        (
            ["1,500"],
            "if the comma groups thousands, say data.thousands: ','; if it is the decimal mark, data",
        ),
        (["1.234,5"], "(and data.thousands: '.')"),
        (["1'234.5"], 'say data.thousands: "\'"'),
        (["\u0661\u0662"], "is written in arabic-indic digits: write 0 to 9"),
        (["\u22121"], "begins with a minus sign that is no hyphen: write -"),
        (["(12)"], "write a number below zero with a minus, not in brackets"),
        (["1.5D3"], "write the exponent with an e, not a D"),
        (["$12"], "write the number alone, its unit under `unit`"),
        (["inf"], "finite numbers are expected"),
        (["fast"], ""),
    ],
)
def test_what_to_write_instead(texts, hint):
    found = number_hint(texts, Marks())
    assert hint in found
    assert bool(hint) == bool(found)


def test_three_digits_after_a_mark_are_no_wonder_where_the_study_says_how_thousands_are_grouped(load):
    cells = ["1.500", "12.250"]
    assert "every number has three digits" in told(load, cells, {"type": "number"})
    assert not told(load, cells, {"type": "number"}, thousands=",")


def test_dates_by_their_digits():
    def dates(*values):
        return are_dates(np.array(values, float))

    assert dates(19000101, 20991231)
    assert not dates(18991231, 20240101)
    assert not dates(20240101, 21000101)
    assert not dates(20240101)
    assert not dates(20240101, 20240101)
    assert not dates(20240101, 20241301)
    assert not dates(20240101, 20240102.5)
    assert dates(20240101, np.nan, 20240102)


def test_dates_and_times_are_read():
    found = moments_of(["2024-W01-1", "2024-01-02T10:00:00,5", "x"], None)
    assert [str(value) for value in found.values[:2]] == [
        "2024-01-01 00:00:00+00:00", "2024-01-02 10:00:00.500000+00:00",
    ]  # fmt: skip
    assert (pd.isna(found.values[2]), found.timed, found.zones) == (True, True, "none")
    assert moments_of(["2024-01-02"], None).timed is False
    assert moments_of(["2024-01-02T00:00Z"], None).zones == "all"
    clocks = ("12:00 am", "12:00 pm", "0:30 am", "13:00 pm", "-01:00", "P1W", "24:00")
    assert [seconds_of(text) for text in clocks] == [
        0.0, 43200.0, None, None, -3600.0, 604800.0, 86400.0,
    ]  # fmt: skip


def typed_of(cells, spec=None, *, stored=None, faults=(), gaps=None, **data):
    array = cells if isinstance(cells, pa.Array) else pa.array(cells)
    raw = RawColumn("c", array, stored, faults=faults, gaps=gaps or {})
    return typed(raw, None if spec is None else Column(**spec), Data(source="d", **data))


PREDICTOR, NUMBER, GROUP, FACTOR = (
    {"role": "predictor"},
    {"role": "number"},
    {"role": "group"},
    {"type": "factor"},
)
HOURS = {"type": "time", "unit": "h"}
TEXT, EVERY, STORED, DECLARED = (
    "its cells are text",
    "every cell is a number",
    "the file stores numbers",
    "it is declared",
)


@pytest.mark.parametrize(
    ("cells", "spec", "values", "kind", "why"),
    [
        (["true", "false"], PREDICTOR, [True, False], "yes/no", "its cells are true or false"),
        (["TRUE", None, "False"], PREDICTOR, [True, None, False], "yes/no", "its cells are true or false"),
        (pa.array([True, None]), PREDICTOR, [True, None], "yes/no", "its cells are true or false"),
        (pa.array([True, False]), {"type": "number"}, [1, 0], "number", DECLARED),
        (["1", "2"], None, [1, 2], "number", EVERY),
        (["1", "2"], {"max": 3}, [1, 2], "number", DECLARED),
        (["1", "2"], {"min": 0}, [1, 2], "number", DECLARED),
        (["1", "2"], {"type": "time"}, [1, 2], "time", DECLARED),
        (["01", "2"], None, ["01", "2"], "factor", "its numbers begin with zeros"),
        (["01.5", "2"], None, [1.5, 2], "number", EVERY),
        (["01", "2"], NUMBER, [1, 2], "number", EVERY),
        (["a", ""], None, ["a", None], "factor", TEXT),
        (["", ""], None, [None, None], "factor", "it holds no value"),
        (["1", "x"], None, ["1", "x"], "factor", TEXT),
        (["2024-01-01", "2024-01-03"], None, [0, 2], "time", "its cells are dates"),
        (
            ["09:30", "10:00"],
            {"role": "predictor", "unit": "h"},
            [9.5, 10],
            "time",
            "its cells are times of day or spans of time",
        ),
        (["<65", ">=65"], PREDICTOR, ["<65", ">=65"], "factor", TEXT),
        (["31/01/2024", "x", "y"], PREDICTOR, ["31/01/2024", "x", "y"], "factor", TEXT),
        (["1", "2"], GROUP, ["1", "2"], "factor", "it only groups rows"),
        (["1", "2"], {"role": "member"}, ["1", "2"], "factor", "it only groups rows"),
        (["1", "2"], FACTOR, ["1", "2"], "factor", DECLARED),
        (pa.array([1.5, None]), NUMBER, [1.5, None], "number", STORED),
        (pa.array([None, None], pa.float64()), None, [None, None], "number", STORED),
        (pa.array([1.5, float("inf")]), None, [1.5, float("inf")], "number", STORED),
        (pa.array([1.0, 2.5, 2.0**54]), FACTOR, ["1", "2.5", "18014398509481984"], "factor", DECLARED),
        (pa.array(["b", "a"]).dictionary_encode(), PREDICTOR, ["b", "a"], "factor", "the file stores labels"),
        (
            pa.array(pd.to_datetime(["2024-01-02", "2024-01-03"])),
            PREDICTOR,
            [0, 1],
            "time",
            "the file stores dates",
        ),
        (
            pa.array(pd.to_datetime(["2024-01-02", None])),
            GROUP,
            ["2024-01-02", None],
            "factor",
            "it only groups rows",
        ),
        (
            pa.array(pd.to_datetime(["2024-01-02 10:00", None])),
            GROUP,
            ["2024-01-02T10:00:00", None],
            "factor",
            "it only groups rows",
        ),
        (pa.array([3600, None], pa.duration("s")), HOURS, [1, None], "time", DECLARED),
        (
            pa.array([90], pa.duration("s")),
            {"role": "predictor", "unit": "min"},
            [1.5],
            "time",
            "the file stores spans of time",
        ),
        (
            pa.array([pd.Timestamp("2024-01-03").date(), pd.Timestamp("2024-01-01").date()]),
            PREDICTOR,
            [2, 0],
            "time",
            "the file stores dates",
        ),
        (pa.array([20240103, 20240101]), {"type": "time", "format": "%Y%m%d"}, [2, 0], "time", DECLARED),
    ],
)
def test_what_a_column_is_and_why(cells, spec, values, kind, why):
    made = typed_of(cells, spec)
    assert [None if pd.isna(value) else value for value in made.values.tolist()] == values
    assert (made.type, made.why, made.notices) == (kind, why, ())
    assert made.unit == (
        {"h": "h", "min": "min"}.get((spec or {}).get("unit"), "d") if kind == "time" else ""
    ) or (spec == {"type": "time"} and made.unit == "")
    gaps = values.count(None)
    assert dict(made.codes) == ({"": gaps} if gaps else {})


OR_FACTOR = "declare `c: {type: factor}` if the cells are labels"
LIST = "list such cells under data.na if they mean a missing value"
UNITS = (
    "and the study does not say in which unit they are counted: declare `c: {type: time, unit: h}`, or s, "
    "min, d "
    '(counted from midnight, hours before the colon; spans of minutes and seconds need `format: "%M:%S"`)'
)


@pytest.mark.parametrize(
    ("cells", "spec", "message"),
    [
        (["", "NA"], NUMBER, "c holds no value in any row; expected data, or leave the column out"),
        (
            pa.array([None], pa.float64()),
            NUMBER,
            "c holds no value in any row; expected data, or leave the column out",
        ),
        (
            ["2", "01.5", "01.5"],
            PREDICTOR,
            "c: row 2 holds '01.5', a number with a leading zero, which may be a code: declare `type: "
            "factor` if it is "
            "one, `type: number` if it is a number",
        ),
        (
            ["<65", "1"],
            PREDICTOR,
            f"c: 1 of its 2 cells are numbers, but row 1 holds '<65'. L{LIST[1:]}, or {OR_FACTOR}",
        ),
        (
            ["31/01/2024", "1"],
            PREDICTOR,
            f"c: it holds no dates: row 1 holds '31/01/2024', row 2 holds '1'. D{OR_FACTOR[1:]}; declare "
            f"`type: time` "
            "with the `format` of its dates, such as %d/%m/%Y, if they are dates",
        ),
        (
            ["09:30", "late"],
            PREDICTOR,
            f"c: 1 of its 2 cells are times of day or spans of time, but row 2 holds 'late'. L{LIST[1:]}, or "
            f"{OR_FACTOR}; declare `type: time` with a `unit` if they are",
        ),
        (
            ["true", "1", "2"],
            PREDICTOR,
            f"c: 2 of its 3 cells are numbers, but row 1 holds 'true'. L{LIST[1:]}, or {OR_FACTOR}",
        ),
        (
            ["true", "no"],
            PREDICTOR,
            f"c: 1 of its 2 cells are true or false, but row 2 holds 'no'. L{LIST[1:]}, or {OR_FACTOR}",
        ),
        (
            ["1", "x"],
            NUMBER,
            f"c: 1 of its 2 cells are numbers, but row 2 holds 'x'; the model uses it as a number. "
            f"L{LIST[1:]}",
        ),
        (
            ["x", "y"],
            NUMBER,
            "c: it holds no numbers: row 1 holds 'x', row 2 holds 'y'; the model uses it as a number. "
            "Expected numbers",
        ),
        (
            ["1", "x"],
            {"type": "number"},
            "c is declared a number, but row 2 holds 'x'; expected numbers. List such cells under data.na "
            "if they mean "
            "a missing value",
        ),
        (
            ["1", "(3)"],
            {"type": "number"},
            "c is declared a number, but row 2 holds '(3)'; expected numbers. List such cells under "
            "data.na if they "
            "mean a missing value; write a number below zero with a minus, not in brackets",
        ),
        (
            ["09:30", "10:00"],
            PREDICTOR,
            f"c holds times of day or spans of time, such as '09:30', {UNITS}, or `type: factor` if they "
            f"are labels",
        ),
        (["09:30", "10:00"], NUMBER, f"c holds times of day or spans of time, such as '09:30', {UNITS}"),
        (
            pa.array([1, 2], pa.duration("s")),
            PREDICTOR,
            "c holds spans of time, and the study does not say in which unit they are counted: declare c: "
            "{type: "
            "time, unit: h}, or s, min, d",
        ),
        (
            pa.array([1], pa.duration("s")),
            {"type": "number"},
            "c is declared a number, but holds spans of time; declare `type: time` and a `unit`",
        ),
        (
            pa.array(pd.to_datetime(["2024-01-02"])),
            {"type": "number"},
            "c is declared a number, but holds dates; declare `type: time`",
        ),
        (
            pa.array(["a"]).dictionary_encode(),
            {"type": "number"},
            "c is declared a number, but holds labels; declare `type: factor`",
        ),
        (
            pa.array(["a"]).dictionary_encode(),
            {"type": "time"},
            "c is declared a time, but holds labels; expected numbers or dates",
        ),
        (
            pa.array([True]),
            {"type": "time"},
            "c is declared a time, but holds true and false; expected numbers or dates",
        ),
        (
            pa.array([None, "b"]).dictionary_encode(),
            NUMBER,
            "c holds labels, such as 'b', and the model uses it as a number",
        ),
        (
            ["2024-01-31", "soon"],
            {"type": "time"},
            "c is declared a time, but row 2 holds 'soon'; expected numbers or dates such as 2024-01-31 or "
            "2024-01-31T12:30",
        ),
        (
            ["31/01/2024"],
            {"type": "time"},
            "c is declared a time, but row 1 holds '31/01/2024'; expected numbers or dates such as "
            "2024-01-31 or "
            "2024-01-31T12:30; say how dates are written under `format`, such as %d/%m/%Y",
        ),
        (
            ["31/01/2024"],
            {"type": "time", "format": "%m/%d/%Y"},
            "c is declared a time, but row 1 holds '31/01/2024'; expected numbers or dates in the form "
            "%m/%d/%Y",
        ),
        (
            ["2024-01-31T10:00", "2024-01-31"],
            PREDICTOR,
            "c holds dates with times of day, and the study does not say in which unit time is counted: "
            "declare c: "
            "{type: time, unit: h}, or s, min, d",
        ),
        (
            ["2024-01-31"],
            {"type": "time", "unit": "week"},
            "c: dates are counted in s, min, h or d; its unit is week",
        ),
        (
            pa.array([1.0, float("-inf"), float("inf"), float("inf")]),
            NUMBER,
            "c: row 2 holds -inf (and 2 rows more); expected finite numbers. Correct the data, or list the "
            "value under "
            "data.na",
        ),
        (
            ["a", "b", "c"],
            {"type": "factor", "levels": ["b", "a"]},
            "c: row 3 holds 'c', which is not among its levels b, a",
        ),
        (
            ["a", "b"],
            {"type": "factor", "order": ["aa"]},
            "c: its order 'aa' is not among its levels a, b; did you mean `a`?",
        ),
        (
            ["1", "01", "2"],
            {"type": "number", "role": "number and group"},
            "c: '1' in row 1 and '01' in row 2 are one number but two labels, and the formula uses the "
            "column both as "
            "a number and for groups. Write equal numbers alike, or keep the groups in a column of their own",
        ),
    ],
)
def test_what_is_refused_word_for_word(cells, spec, message):
    with pytest.raises(DataError) as raised:
        typed_of(cells, spec)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("cells", "spec", "notice"),
    [
        (
            ["1.5 mg", "2 mg", "3 mg"],
            PREDICTOR,
            "c: every cell is a number followed by ' mg', such as '1.5 mg', and is read as one of 3 "
            "labels; if numbers "
            "are meant, write them alone, and 'mg' under `unit`",
        ),
        (
            ["7", "1.234"],
            {"type": "number"},
            "c: every number has three digits after its '.', such as '1.234', or is a whole number below "
            "1000; if '.' "
            "stands between thousands, say data.decimal: ',' and data.thousands: '.'",
        ),
        (
            pa.array([None, 20240101, 20240102]),
            PREDICTOR,
            "c: every number reads as a date, such as 20240101; if dates are meant, declare `c: {type: "
            "time, format: "
            '"%Y%m%d"}`',
        ),
        (["a ", "b", "a ", " c"], FACTOR, "c: blanks around the text of 3 cells are taken off"),
        (
            ["2024-01-02", "a-b", "c"],
            FACTOR,
            "c: 1 of its 3 labels are dates, such as '2024-01-02'; a spreadsheet program may have made "
            "them of other "
            "labels, such as 1-2",
        ),
        (
            ["ab", "x", "aB"],
            FACTOR,
            "c: the labels 'aB' and 'ab' are two levels, and differ only in capitals",
        ),
        (
            ["a\u00a0b", "a b"],
            FACTOR,
            "c: the labels 'a b' and 'a\\xa0b' are two levels, and differ only in blanks, unseen "
            "characters or the "
            "composition of letters",
        ),
        (
            ["9999-12-31", "2024-01-02", "2024-01-09"],
            {"type": "time"},
            "c: 9999-12-31 (1 cell) stands far off: if it means a missing date, list it under data.na",
        ),
    ],
)
def test_what_is_noticed_word_for_word(cells, spec, notice):
    assert typed_of(cells, spec).notices == (notice,)
    assert typed_of(cells, None).notices == () or spec in (FACTOR, {"type": "time"})


def test_of_what_the_study_does_not_use_nothing_is_noticed_or_refused():
    for cells in (
        ["1.5 mg", "2 mg", "3 mg"],
        ["7", "1.234"],
        ["a ", "b"],
        ["ab", "aB"],
        ["2024-01-02", "b"],
        ["1", "x"],
    ):
        assert typed_of(cells, None).notices == ()
    assert typed_of(["1", "2"], None, faults=("no column",)).type == "number"
    with pytest.raises(DataError, match=r"^no column$"):
        typed_of(["1", "2"], PREDICTOR, faults=("no column", "and more"))


def test_codes_behind_labels_are_numbers_and_the_way_to_them_is_told():
    cells, stored = pa.array(["b", "a", None]).dictionary_encode(), np.array([2.0, 1.0, np.nan])
    made = typed_of(cells, {"type": "number"}, stored=stored, gaps={".a": 1})
    np.testing.assert_array_equal(made.values, stored)
    assert (made.type, dict(made.codes)) == ("number", {".a": 1})
    with pytest.raises(DataError) as raised:
        typed_of(cells, NUMBER, stored=stored)
    assert str(raised.value) == (
        "c holds labels, such as 'b', and the model uses it as a number, or declare `type: number` to take "
        "the codes "
        "behind the labels"
    )


def test_numbers_that_a_sheet_stores_among_text_are_numbers():
    stored = np.array([1.5, np.nan, np.nan])
    made = typed_of(["1.5", "2,5", ""], NUMBER, stored=stored, decimal=",")
    np.testing.assert_array_equal(made.values, [1.5, 2.5, np.nan])
    assert dict(made.codes) == {"": 1}
    with pytest.raises(DataError, match="2 of its 3 cells are numbers, but row 3 holds 'x'"):
        typed_of(["1.5", "2,5", "x"], NUMBER, stored=stored, decimal=",")


def test_codes_of_each_kind_of_column_are_taken_out_and_counted():
    for cells, spec, values, codes in (
        (["1", "-9", "NA", ""], NUMBER, [1, None, None, None], {"NA": 1, "": 1, "-9": 1}),
        (pa.array([1, -9]), NUMBER, [1, None], {"-9": 1}),
        (["a", "-9", "x"], FACTOR, ["a", None, None], {"-9": 1, "x": 1}),
        (["2024-01-02", "x"], {"type": "time"}, [0, None], {"x": 1}),
        (pa.array([20240102, -9]), {"type": "time", "format": "%Y%m%d"}, [0, None], {"-9": 1}),
        (["09:30", "x"], HOURS, [9.5, None], {"x": 1}),
        (["3", "-9"], {"type": "time"}, [3, None], {"-9": 1}),
        (["true", "x"], PREDICTOR, [True, None], {"x": 1}),
    ):
        made = typed_of(cells, spec, na=[-9, "x"])
        assert [None if pd.isna(value) else value for value in made.values.tolist()] == values
        assert dict(made.codes) == codes


def test_levels_have_the_declared_order_and_the_reference_is_first():
    for spec, levels in (
        ({}, ["1", "9", "10"]),
        ({"levels": ["10", "1", "9", "z"]}, ["10", "1", "9", "z"]),
        ({"order": ["9"]}, ["9", "1", "10"]),
        ({"order": ["9"], "reference": "10"}, ["10", "9", "1"]),
        ({"reference": "10"}, ["10", "1", "9"]),
        ({"labels": {"9": "Nine"}}, ["1", "9", "10"]),
    ):
        made = typed_of(["10", "9", "1"], {"type": "factor", **spec})
        assert list(made.values.cat.categories) == levels
        assert made.values.tolist() == ["10", "9", "1"]


def test_dates_that_stand_for_none_are_those_of_records_and_spreadsheets():
    days = [
        *("0001-01-01", "1111-11-11", "1800-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1901-01-01"),
        *("1960-01-01", "1970-01-01", "2099-12-31", "2100-01-01", "2999-12-31", "9999-12-31", "9999-01-01"),
    ]
    near = ["2024-01-02", "2024-01-05", "2024-01-09"]
    assert [day for day in days if not typed_of([*near, day], DAY).notices] == []
    other = ["1950-01-01", "1899-12-29", "2098-12-31", "1970-01-02"]
    assert [day for day in other if typed_of([*near, day], DAY).notices] == []
    assert typed_of(["1970-01-01"], DAY).notices == ()


def test_units_are_of_dates_times_and_spans_alike():
    seconds = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    for unit, size in seconds.items():
        spec = {"type": "time", "unit": unit}
        for cells in (
            ["2024-01-02", "2024-01-01"],
            ["24:00", "00:00"],
            pa.array([86400, 0], pa.duration("s")),
            pa.array(pd.to_datetime(["2024-01-02", "2024-01-01"]).astype("datetime64[ms]")),
        ):
            made = typed_of(cells, spec)
            assert (made.values.tolist(), made.unit) == ([86400 / size, 0], unit)


@pytest.mark.parametrize(
    ("role", "number", "both"),
    [
        ("number", True, False),
        ("number and group", True, True),
        ("member weight", True, False),
        ("predictor", False, False),
        ("predictor and group", False, True),
    ],
)
def test_roles_of_numbers_and_of_groups(role, number, both):
    for cells in (["01", "02"], ["1.0", "1", "3"]):
        try:
            found = typed_of(cells, {"role": role}).type
        except DataError as error:
            found = "twice" if "one number but two labels" in str(error) else "zero"
        if cells[0] == "01":
            assert found == ("number" if number else "zero")
        else:
            assert found == ("twice" if both else "number")
