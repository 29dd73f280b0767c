"""`lmmkit new` on files as people have them: what it writes is good, or it asks one clear question."""

import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
import typer.testing
from support import warm
from support.projects import make_project

from lmmkit.errors import FormulaError, LmmkitError, StudyError
from lmmkit.study import load_table
from lmmkit.study.cli.app import app
from lmmkit.study.files.schema import Limits
from lmmkit.study.files.study import load_study
from lmmkit.study.intake.check import check_study
from lmmkit.study.intake.new_study import reading_keys, write_study
from lmmkit.study.intake.wide import families
from lmmkit.study.runs.plan import make_plan

ROOT = Path(__file__).parents[3]
RNG = np.random.default_rng(7)
G, X = np.repeat(np.arange(1, 11), 4), np.tile(np.arange(4), 10)
Y = np.round(50 + 12 * X + RNG.normal(0, 6, 10)[G - 1] + RNG.normal(0, 3, 40), 1)
TABLE = pd.DataFrame({"g": [f"P{k:02d}" for k in G], "x": X, "y": Y})
FORMULA = "y ~ x + (1 | g)"
COMMAS = TABLE.assign(y=[str(value).replace(".", ",") for value in Y])
GERMAN = COMMAS.set_axis(["Prüfling", "Tag", "Wert ms"], axis=1)
SWAPPED = str.maketrans(",.", ".,")
ALIGNED = "".join(f"{a:<6}{b:<6}{c:<6}\n" for a, b, c in TABLE.itertuples(index=False))
UNQUOTED = "g,x,y\n" + "".join(f"{a},{b},{c}\n" for a, b, c in COMMAS.itertuples(index=False))
GERMAN_FORMULA = "`Wert ms` ~ Tag + (1 | Prüfling)"


def text(frame=TABLE, sep=",", **options):
    return frame.to_csv(index=False, sep=sep, **options)


def new(folder, content, name="d.csv", formula=FORMULA, **given):
    """The study written for a content, and what it said; the study is checked."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    made = write_study(folder / name, formula, None, reading_keys(**{**NOTHING, **given}))
    return made, check_study(make_plan(made.path))


NOTHING = dict.fromkeys(("sep", "decimal", "thousands", "encoding", "header", "sheet")) | {"na": []}


@pytest.mark.parametrize(
    ("content", "name", "keys"),
    [
        (text(), "d.csv", {}),
        (text(index_label="row", columns=None), "d.csv", {}),
        (TABLE.to_csv(), "d.csv", {}),  # R's write.csv with row names
        (text(sep=";"), "d.csv", {"sep": ";"}),
        (text(sep="\t"), "d.tsv", {}),
        (text(sep="\t"), "d.csv", {"sep": "\t"}),
        (text(sep="|"), "d.txt", {"sep": "|"}),
        (text(sep=" "), "d.txt", {"sep": " "}),
        (text(COMMAS, ";"), "d.csv", {"sep": ";", "decimal": ","}),
        (text(COMMAS, "\t"), "d.txt", {"decimal": ","}),
        (text(COMMAS, quoting=1), "d.csv", {"decimal": ","}),
        ("sep=;\n" + text(COMMAS, ";"), "d.csv", {"decimal": ","}),
        (text().encode("utf-16"), "d.csv", {}),
        (text().encode("utf-16-le"), "d.csv", {"encoding": "utf-16-le"}),
        (text().encode("utf-16-be"), "d.csv", {"encoding": "utf-16-be"}),
        (text().encode("utf-8-sig"), "d.csv", {}),
        (text().replace("\n", "\r\n"), "d.csv", {}),
        (text().replace("\n", "\r"), "d.csv", {}),
        ("Ward 3, 2024\n\n" + text(), "d.csv", {"header": 3}),
        ("Report\nof the ward\n" + text(sep=";"), "d.csv", {"header": 3, "sep": ";"}),
        ("Report;;\n;2024;\n" + text(sep=";"), "d.csv", {"header": 3, "sep": ";"}),
        ("# made by\n# a machine\n" + text() + "# end\n", "d.csv", {"comment": "#"}),
        (
            text(TABLE.assign(note=np.where(X == 1, "two\nlines", "one"))),
            "d.csv",
            {"multiline": True},
        ),
    ],
)  # fmt: skip
def test_how_a_file_is_written_is_found_by_looking(tmp_path, content, name, keys):
    made, checked = new(tmp_path, content, name)
    data = load_study(made.path).settings.data
    told = {"sep", "decimal", "thousands", "encoding", "header", "comment", "multiline"}
    assert {
        key: value for key, value in data.model_dump(exclude_defaults=True).items() if key in told
    } == keys
    assert checked.table.frame["y"].tolist() == Y.tolist()
    assert checked.table.frame["x"].tolist() == X.tolist()
    assert checked.table.frame["g"].tolist() == TABLE["g"].tolist()
    assert made.asked == []


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8", "utf-8-sig", "utf-16"])
def test_umlauts_come_in_any_encoding(tmp_path, encoding):
    content = text(GERMAN.replace("P01", "Jürgen"), ";").encode(encoding)
    _, checked = new(tmp_path, content, formula=GERMAN_FORMULA)
    assert list(checked.table.frame.columns[:3]) == ["Prüfling", "Tag", "Wert ms"]
    assert checked.table.frame["Prüfling"].iloc[0] == "Jürgen"


@pytest.mark.parametrize(
    ("write", "keys"),
    [
        (lambda v: f"{v:,.1f}", {"thousands": ","}),
        (lambda v: f"{v:,.1f}".translate(SWAPPED), {"decimal": ",", "thousands": "."}),
        (lambda v: f"{v:,.1f}".replace(",", " ").replace(".", ","), {"decimal": ",", "thousands": " "}),
        (lambda v: f"{v:,.1f}".replace(",", "'"), {"thousands": "'"}),
        (lambda v: f"{v * 1000:,.0f}".replace(",", "."), {"decimal": ",", "thousands": "."}),
    ],
)  # fmt: skip
def test_marks_between_thousands_are_found(tmp_path, write, keys):
    values = Y * 100
    made, checked = new(tmp_path, text(TABLE.assign(y=list(map(write, values))), ";"))
    data = load_study(made.path).settings.data.model_dump(exclude_defaults=True)
    assert {key: data[key] for key in ("decimal", "thousands") if key in data} == keys
    ratio = checked.table.frame["y"] / values
    assert ratio.to_numpy() == pytest.approx(np.full(40, ratio.iloc[0]))
    assert ratio.iloc[0] in (1.0, 1000.0)


def test_a_point_before_three_digits_everywhere_is_asked_about(tmp_path):
    made, _ = new(tmp_path, text(TABLE.assign(y=[f"{v * 10:,.0f}".replace(",", ".") for v in Y * 10]), ";"))
    assert "three digits after its '.'" in made.asked[0]
    made.path.unlink()
    made, checked = new(
        tmp_path,
        text(TABLE.assign(y=[f"{v * 100:,.0f}".replace(",", ".") for v in Y]), ";"),
        decimal=",",
        thousands=".",
    )
    assert checked.table.frame["y"].to_numpy() == pytest.approx(Y * 100)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "d.csv", "is empty"),
        ("\n\n", "d.csv", "is empty"),
        ("g,x,y\n", "d.csv", "has no rows"),
        ("y\n1\n2\n", "d.csv", "there is no column `x`"),
        (text().replace("g,x,y", "g,y,y", 1), "d.csv", "two columns called y"),
        (text().replace("\n", "\n-,d,ms\n", 1), "d.csv", "is it a second header?"),
        (text(header=False), "d.csv", "there is no header, and the columns are column1 to column3"),
        (ALIGNED, "d.txt", "runs of blanks"),
        ("g x y\n" + TABLE.to_csv(sep=" ", header=False), "d.txt", "write.table"),
        (text().replace("P03,1", '"P03,1'), "d.csv", "begins with a quote"),
        (UNQUOTED, "d.csv", "are there decimal commas"),
        (b"\x89PNG\r\n\x1a\n\0\0", "d.xlsx", "cannot be read"),
        (text(), "d.doc", "has an ending that no reader is for"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_and_nothing_is_written(tmp_path, content, name, message):
    with pytest.raises(LmmkitError) as raised:
        new(tmp_path, content, name)
    assert message in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_without_header_is_read_under_numbered_names(tmp_path):
    _, checked = new(tmp_path, text(header=False), formula="column3 ~ column2 + (1 | column1)")
    assert checked.table.frame["column3"].tolist() == Y.tolist()


def test_a_row_of_totals_is_asked_about(tmp_path):
    made, _ = new(tmp_path, text() + f"Total,,{Y.sum():.1f}\n")
    assert "exclude: [\"g == 'Total'\"]" in made.asked[0]


def test_the_largest_sheet_is_taken_below_its_title(tmp_path):
    with pd.ExcelWriter(tmp_path / "d.xlsx") as book:
        pd.DataFrame({"Notes": ["read", "me"]}).to_excel(book, sheet_name="Notes", index=False)
        TABLE.to_excel(book, sheet_name="Data 2024", index=False, startrow=3)
    book = openpyxl.load_workbook(tmp_path / "d.xlsx")
    book["Data 2024"]["A1"] = "Report of the ward"
    book.save(tmp_path / "d.xlsx")
    made, checked = new(tmp_path, (tmp_path / "d.xlsx").read_bytes(), "d.xlsx")
    assert any("'Data 2024' of 'Notes', 'Data 2024'" in said for said in made.said)
    assert checked.table.frame["y"].tolist() == Y.tolist()
    with pytest.raises(LmmkitError, match="did you mean `Data 2024`"):
        write_study(tmp_path / "d.xlsx", FORMULA, tmp_path / "o.yaml", {"sheet": "Data2024"})


def test_integer_codes_are_questioned_and_codes_of_missing_values_noticed_not_dropped(tmp_path):
    frame = TABLE.assign(x=[str(v) for v in X], arm=G % 3 + 1, y=np.where(np.arange(40) % 13 == 5, -999, Y))
    frame.loc[[4, 9], "x"] = "n/a"
    made, checked = new(tmp_path, text(frame), formula="y ~ x + arm + (1 | g)")
    written = made.path.read_text()
    assert "arm: {type: number}            # 3 whole values: factor?" in written
    assert "na: [n/a]" in written.replace('"', "")
    assert len(checked.table.frame) == 38
    assert any("-999 (3 cells) stands far off" in notice for notice in checked.notices)
    assert (checked.table.frame["y"] == -999).sum() == 3


@pytest.mark.parametrize(
    ("form", "start", "step", "unit"),
    [
        ("%d/%m/%Y", "2024-01-25", "7D", "d"),
        ("%m/%d/%Y", "2024-01-25", "7D", "d"),
        ("%d.%m.%y", "2024-01-25", "7D", "d"),
        ("%d %b %Y", "2024-01-25", "7D", "d"),
        ("%d%b%Y", "2024-01-25", "7D", "d"),
        ("%m-%d-%y", "2024-01-25", "7D", "d"),
        ("%Y%m%d", "2024-01-25", "7D", "d"),
        ("%Y-%m-%d", "2024-01-25", "7D", "d"),
        ("%d.%m.%Y %H:%M", "2024-01-25 08:30", "90min", "h"),
    ],
)
def test_dates_are_read_by_their_form(tmp_path, form, start, step, unit):
    days = (pd.Timestamp(start) + pd.to_timedelta(X * pd.Timedelta(step))).strftime(form)
    made, checked = new(tmp_path, text(TABLE.assign(x=days)))
    assert made.asked == []
    assert f"unit: {unit}" in made.path.read_text()
    assert checked.table.frame["x"].tolist() == (X * (7.0 if unit == "d" else 1.5)).tolist()


def test_dates_that_read_both_ways_are_asked_about(tmp_path):
    days = (pd.Timestamp("2024-01-01") + pd.to_timedelta(X, "D")).strftime("%d/%m/%Y")
    made, _ = new(tmp_path, text(TABLE.assign(x=days)))
    assert "%m/%d/%Y" in made.asked[0]


def test_one_stray_cell_is_left_to_the_user(tmp_path):
    frame = TABLE.assign(x=["3*" if i == 7 else str(v) for i, v in enumerate(X)])
    with pytest.raises(StudyError) as raised:
        new(tmp_path, text(frame))
    assert "d.yaml:13:8: data.columns.x: x: 39 of its 40 cells are numbers, but row 8 holds '3*'" in str(
        raised.value
    )


WIDE = TABLE.pivot(index="g", columns="x", values="y").add_prefix("y_t").reset_index()


@pytest.mark.parametrize("name", ["d.csv", "d.xlsx", "d.parquet", "d.dta"])
def test_a_wide_file_is_made_long(tmp_path, name):
    wide = WIDE.assign(arm=np.where(np.arange(10) < 5, "A", "B")).rename_axis(columns=None)
    writers = {
        "csv": lambda path: wide.to_csv(path, index=False),
        "xlsx": lambda path: wide.to_excel(path, index=False),
        "parquet": wide.to_parquet,
        "dta": lambda path: wide.to_stata(path, write_index=False),
    }
    writers[name.partition(".")[2]](tmp_path / name)
    made, checked = new(tmp_path, (tmp_path / name).read_bytes(), name, "y ~ week * arm + (week | g)")
    assert 'reshape: {measured: {y: "y_t*"}, index: week}' in made.path.read_text()
    frame = checked.table.frame
    assert (frame["y"].tolist(), frame["week"].tolist(), frame["g"].tolist()) == (
        Y.tolist(),
        X.tolist(),
        TABLE["g"].tolist(),
    )
    assert checked.table.rows[["file_row", "measured"]].iloc[5].tolist() == [2, "y_t1"]


@pytest.mark.parametrize(
    "names",
    ["y_pre,y_post,y_later", "y.a,y.b,y.c", "2019,2020,2021", "Y week 0,Y week 4,Y week 8", "t0_y,t4_y,t8_y"],
)
def test_what_tells_measurements_apart_may_be_words_and_years(tmp_path, names):
    wide = WIDE.iloc[:, :4].set_axis(["g", *names.split(",")], axis=1)
    made, checked = new(tmp_path, wide.to_csv(index=False), formula="y ~ time + (1 | g)")
    assert made.asked == []
    assert checked.table.frame["y"].tolist() == Y[X < 3].tolist()
    assert checked.table.frame["time"].nunique() == 3


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["id", "score1", "score2", "age"], ["score*"]),
        (["id", "bp.week0", "bp.week4", "hr.week0", "hr.week4"], ["bp.week*", "hr.week*"]),
        (["id", "T1_mood", "T2_mood"], ["T*_mood"]),
        (["id", "2019", "2020"], [["2019", "2020"]]),
        (["id", "y_1", "y_2", "y_total"], [["y_1", "y_2"]]),
        (["id", "y_-7", "y_0", "y_7"], ["y_*"]),
        (["id", "y_0.5", "y_1", "y_1.5"], ["y_*"]),
        (["q1.1", "q1.2", "q2.1", "q2.2"], ["q1.*", "q2.*"]),
        (["id", "age", "weight"], []),
        (["column1", "column2"], []),
    ],
)
def test_families_of_columns_are_told_by_their_names(columns, found):
    assert [family.given for family in families(columns)] == found


def test_columns_named_like_measured_ones_are_told_where_they_are_left_out(tmp_path):
    wide = WIDE.iloc[:, :4].set_axis(["g", "y_pre", "y_1", "y_2"], axis=1)
    made, _ = new(tmp_path, wide.to_csv(index=False), formula="y ~ time + (1 | g)")
    assert any("not measured, though named like y: y_pre" in said for said in made.said)


def test_the_places_of_listed_measurements_are_numbers(tmp_path):
    wide = WIDE.iloc[:, :4].set_axis(["g", "y1", "y2", "y3"], axis=1).assign(year=2020)
    made, checked = new(tmp_path, wide.to_csv(index=False), formula="y ~ time + (1 | g)")
    assert "measured: {y: [y1, y2, y3]}" in made.path.read_text()
    assert checked.table.frame["time"].tolist() == [1, 2, 3] * len(WIDE)


@pytest.mark.parametrize("first", [7, 98])
def test_measurements_numbered_with_zeros_are_numbers(tmp_path, first):
    names = [f"y_{first + k:03d}" for k in range(3)]
    wide = WIDE.iloc[:, :4].set_axis(["g", *names], axis=1)
    _, checked = new(tmp_path, wide.to_csv(index=False), formula="y ~ time + (1 | g)")
    assert checked.table.frame["time"].tolist() == [first, first + 1, first + 2] * (len(WIDE))


def test_times_of_day_are_proposed_in_hours(tmp_path):
    clock = [f"{9 + k}:30" for k in X]
    made, checked = new(tmp_path, text(TABLE.assign(x=clock)))
    assert "unit: s, min, h or d; 9:30 is 9.5 h" in made.path.read_text()
    assert checked.table.frame["x"].tolist() == [9.5 + k for k in X]


def test_words_of_missing_are_listed_beside_other_odd_cells(tmp_path):
    cells = [str(k) for k in X]
    cells[3], cells[8], cells[9] = "#DIV/0!", "<NA>", "3*"
    (tmp_path / "d.csv").write_text(text(TABLE.assign(x=cells)))
    made = write_study(tmp_path / "d.csv", FORMULA, None, {})
    assert '"#DIV/0!"' in made.path.read_text()
    assert "row 10 holds '3*'" in made.asked[0]
    assert "'<NA>' in 1 cell" in made.asked[0]


def test_a_residual_structure_is_written_and_its_columns_are_looked_at(tmp_path):
    """Times are numbers, and subjects are labels, though the formula has neither."""
    content = text(TABLE.assign(day=np.arange(40) * 1.5))
    (tmp_path / "d.csv").write_text(content)
    made = write_study(tmp_path / "d.csv", "y ~ x", None, {}, "exp(day|g)")
    written = made.path.read_text()
    assert '  residual: "car1(day | g)"\n' in written
    checked = make_plan(made.path).study.settings.data.columns
    assert (checked["day"].type, checked["g"].type) == ("number", "factor")


def test_a_formula_without_a_bar_is_refused_unless_the_residuals_have_a_structure(tmp_path):
    with pytest.raises(FormulaError, match=r"no random-effects term .* and no residual structure"):
        new(tmp_path, text(), formula="y ~ x")
    with pytest.raises(FormulaError, match=r"`\(1 \| g\)` beside residual `un\(x \| g\)`"):
        write_study(tmp_path / "d.csv", FORMULA, None, {}, "un(x | g)")
    assert not (tmp_path / "d.yaml").exists()


def test_a_formula_is_asked_for_with_the_columns(tmp_path):
    with pytest.raises(StudyError, match=r"--formula is missing.* 40 rows of g, x, y"):
        new(tmp_path, text(), formula=None)
    assert not (tmp_path / "d.yaml").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [({"sep": ";;"}, "--sep: "), ({"decimal": ";"}, "--decimal: "), ({"header": -1}, "--header: ")],
)
def test_options_are_checked_as_the_keys_that_they_set(tmp_path, given, message):
    with pytest.raises(StudyError, match=message):
        new(tmp_path, text(), **given)


def test_the_shipped_study_on_a_messy_file_is_what_new_writes(tmp_path):
    shutil.copy(ROOT / "params/data/reading_wide.csv", tmp_path)
    shipped = load_study(ROOT / "params/reading_wide.yaml").settings
    made = write_study(tmp_path / "reading_wide.csv", shipped.model.formula, None, {"na": [-999]})
    data = load_study(made.path).settings.data
    for key in ("sep", "decimal", "na", "reshape"):
        assert getattr(data, key) == getattr(shipped.data, key)
    assert data.columns["start"].format == "%d.%m.%Y"
    table = check_study(make_plan(made.path)).table
    assert (len(table.frame), len(table.rows)) == (175, 188)
    as_shipped = load_table(shipped.data, make_plan(ROOT / "params/reading_wide.yaml").base)
    assert table.frame["score"].equals(as_shipped.frame["score"])


@pytest.mark.slow
def test_new_check_and_run_are_three_commands(tmp_path):
    make_project(tmp_path)
    shutil.copy(ROOT / "params/data/reading_wide.csv", tmp_path / "reading.csv")
    formula = "score ~ week * programme + age + start + (week | child)"
    for arguments in (
        ["new", "reading.csv", "--formula", formula, "--na", "-999"],
        ["check", "reading.yaml"],
        ["run", "reading.yaml"],
    ):
        done = warm.lmmkit(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
    folder = Path(tmp_path / done.stdout.strip().splitlines()[-1]).parent
    assert json.loads((folder / "fit.json").read_text())["converged"]
    rows = pd.read_csv(folder / "rows.csv")
    assert (rows["status"] == "kept").sum() == 175
    assert rows["measured"].head(4).tolist() == ["score_w0", "score_w4", "score_w8", "score_w12"]
    assert "week" in pd.read_csv(folder / "tables/coefficients.csv")["coefficient"].tolist()


def test_a_cell_of_a_wide_file_is_named_by_its_own_row_and_column(tmp_path):
    wide = WIDE.astype(str).rename_axis(columns=None)
    wide.loc[6, "y_t2"] = "12,5*"
    with pytest.raises(StudyError, match=r"row 7 \(y_t2\) holds '12,5\*'"):
        new(tmp_path, wide.to_csv(index=False), formula="y ~ time + (1 | g)")


def test_three_header_lines_are_each_asked_about(tmp_path):
    content = text().replace("\n", "\nWho,When,What\n{g},{x},{y}\n", 1)
    with pytest.raises(LmmkitError, match="line 2, below the header"):
        new(tmp_path, content)
    with pytest.raises(LmmkitError, match="line 3, below the header"):
        new(tmp_path, content, header=2, formula="What ~ When + (1 | Who)")


def test_codes_behind_numbers_of_a_packed_file(tmp_path):
    made, checked = new(tmp_path, gzip.compress(text(COMMAS, ";").encode("latin-1")), "d.csv.gz")
    assert made.path.name == "d.yaml"
    assert checked.table.frame["y"].tolist() == Y.tolist()


GOLDEN = """\
# A study file: lmmkit check d.yaml; lmmkit run d.yaml
schema: 1
title: "Wert ms in d.csv"
data:
  source: d.csv
  # The data as they are now; take the line away to let them change.
  sha256: SHA
  sep: ";"                         # what separates cells
  decimal: ","                     # the decimal mark
  header: 2                        # the line that holds the columns' names
  na: [-9, n/a]                    # what means a missing value, beside an empty cell, NA and NaN
  missing: drop                    # drop | error; dropped rows are listed with the reason
  exclude: []                      # such as ["`Wert ms` > 1000"]; each drop is listed under its expression
  derive: {}                       # such as {log_Wertms: log(`Wert ms`)}
  columns:                         # unit, min, max of numbers; levels, order, reference of factors; label
    "Wert ms": {type: number}
    x1: {type: number}             # 3 whole values: factor?
    "nan": {type: factor}
model:
  formula: "`Wert ms` ~ x1 + (1 | `nan`)"
  method: REML                     # REML | ML
random_effects:
  rule: fixed                      # fixed | maximal | parsimonious | backward | forward | best
  # candidates: [(1 | g), (x || g), (x | g)]    # what best chooses among, and the others show
  # criterion: lrt                 # lrt | aic | bic | caic
  # alpha: 0.2                     # level of the tests of lrt
inference: {ci: auto, level: 0.95, df: auto}
seed: 20240101
"""
SAID = """\
How the file is read:
  - cells are separated by semicolons
  - the columns' names stand in line 2; what is above is no table
  - 0,5 has a decimal comma

The first rows as they are read:

  Wert ms  x1  nan  a long name of a ...
  0.5      1   u    z
  1.5      2   v    z
  2.5      3   w    z
  3.5          u    z
  4.5      2   v    z

What the columns are taken for:
  - Wert ms: number, because every cell is a number
  - x1: number, because every cell is a number but for 'n/a' in 1 cell, which data.na lists (3 whole values: \
factor?)
  - nan: factor, because it only groups rows

To be decided:
  - 'n/a', taken for missing values of numbers, stand in nan too, whose rows are then dropped: is this meant?

PATH written. Read it, then: lmmkit check PATH"""


def test_what_is_written_and_said_word_for_word(tmp_path):
    rows = [
        f"{i},5;{'n/a' if i == 3 else i % 3 + 1};{'n/a' if i == 11 else 'uvw'[i % 3]};z" for i in range(12)
    ]
    content = "\n".join(["Report;;;", "Wert ms;x1;nan;a long name of a column", *rows])
    made, _ = new(tmp_path, content, formula="`Wert ms` ~ x1 + (1 | `nan`)", na=["-9"])
    written = re.sub("sha256: [0-9a-f]{64}", "sha256: SHA", made.path.read_text(encoding="utf-8"))
    assert written == GOLDEN
    assert str(made).replace(str(made.path), "PATH") == SAID


def test_of_many_columns_the_first_are_shown_those_of_the_model_in_front(tmp_path):
    wide = TABLE.assign(**{f"c{k}": k for k in range(10)}, last="exactly twenty chars")
    made, _ = new(tmp_path, text(wide[["last", *wide.columns[:-1]]]))
    head, *rows = made.rows.splitlines()
    assert head.split() == ["y", "x", "g", "last", *(f"c{k}" for k in range(8)), "..."]
    assert len(rows) == 5
    assert all("exactly twenty chars" in row and row.endswith("...") for row in rows)
    made.path.unlink()
    made, _ = new(tmp_path, text(wide.drop(columns=["c8", "c9"])))
    assert "..." not in made.rows


def test_an_example_in_the_file_is_of_its_own_response(tmp_path):
    made, _ = new(tmp_path, text(TABLE.rename(columns={"y": "y_2 s"})), formula="`y_2 s` ~ x + (1 | g)")
    assert "# such as {log_y_2s: log(`y_2 s`)}\n" in made.path.read_text()


@pytest.mark.parametrize("name", ["true", "False", "null", "nan", "Inf", "a b", "1a", "x:y"])
def test_names_that_yaml_would_take_for_something_else_are_quoted(tmp_path, name):
    made, _ = new(tmp_path, text(TABLE.rename(columns={"x": name})), formula=f"y ~ `{name}` + (1 | g)")
    assert f'    "{name}": {{type: number}}' in made.path.read_text()


def test_what_is_no_file_beside_the_study_is_refused_in_words(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "d.csv").write_text(text())
    for name, found in (
        ("folder", "is a folder"),
        ("none.csv", "does not exist"),
        ("/dev/null", "is no regular file"),
    ):
        with pytest.raises(LmmkitError, match=rf"cannot be read: it {found}; expected a data file"):
            write_study(tmp_path / name, FORMULA, None, {})
    with pytest.raises(
        StudyError, match=r"d\.csv lies outside .*folder; write the study file beside its data"
    ):
        write_study(tmp_path / "d.csv", FORMULA, tmp_path / "folder/s.yaml", {})
    (tmp_path / "d.yaml").touch()
    with pytest.raises(
        StudyError, match=r"d\.yaml exists already; name another file with --out, or remove it"
    ):
        write_study(tmp_path / "d.csv", FORMULA, None, {})


def test_every_column_that_is_not_there_is_told_once(tmp_path):
    with pytest.raises(StudyError) as raised:
        new(tmp_path, "# made\n" + text(), formula="y ~ xx + zz + (1 | gg)")
    first, *others = str(raised.value).splitlines()
    assert first.startswith("d.csv (cells are separated by commas; lines that begin with # are comments): ")
    assert "`xx`" in first
    assert [line[:24] for line in others] == ["There is no column `zz`.", "There is no column `gg`;"]


def test_a_row_of_totals_of_a_wide_file_is_named_by_its_row(tmp_path):
    content = WIDE.to_csv(index=False) + f"Total,{','.join(map(str, WIDE.iloc[:, 1:].sum()))}\n"
    made, _ = new(tmp_path, content, formula="y ~ time + (1 | g)")
    assert [said[:6] for said in made.asked] == ["row 11"]


@pytest.mark.parametrize(
    ("sep", "mark"),
    [
        ("tab", "\t"),
        ("\\t", "\t"),
        ("blank", " "),
        ("comma", ","),
        ("semicolon", ";"),
        ("bar", "|"),
        (":", ":"),
    ],
)
def test_separators_may_be_named(sep, mark):
    assert reading_keys(sep=sep) == {"sep": mark}


PAGE = (ROOT / "docs/data.md").read_text(encoding="utf-8")


def test_the_wide_example_of_the_page_is_read(tmp_path):
    wide = WIDE.iloc[:, :4].set_axis(["id", "y_t0", "y_t6", "y_t12"], axis=1).assign(arm="A")
    wide.to_csv(tmp_path / "scores.csv", index=False, sep=";")
    example = PAGE.split("```yaml\n")[1].split("```")[0]
    model = "model: {formula: 'y ~ month + (1 | person)'}\n"
    (tmp_path / "s.yaml").write_text(f"schema: 1\n{example}{model}")
    frame = check_study(make_plan(tmp_path / "s.yaml")).table.frame
    assert frame["month"].head(3).tolist() == [0, 6, 12]
    assert list(frame.columns) == ["id", "arm", "person", "month", "y"]


def test_the_limits_of_the_page_and_of_the_readme_are_the_limits():
    limits = Limits().model_dump()
    table = dict(re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", PAGE.split("## Limits")[1], re.MULTILINE))
    assert {key: int(number.replace(",", "")) for key, number in table.items()} == limits
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"{limits[key]:,} {key}" in readme for key in ("rows", "columns", "cells"))


def test_the_options_of_the_page_are_those_of_the_command():
    told = set(re.findall(r"--[a-z]+", PAGE.split("| option |")[1].split("Also found")[0]))
    shown = typer.testing.CliRunner().invoke(app, ["new", "--help"], env={"COLUMNS": "200"}).output
    assert told == set(re.findall(r"--[a-z]+", shown)) - {"--help", "--formula", "--residual", "--out"}


def test_every_key_of_the_reading_has_its_words_in_the_file(tmp_path):
    """Of a text file with all of them, of a workbook and of a wide file."""
    rows = "".join(f"{i % 3};{i},5;1.000\n" for i in range(12))
    (tmp_path / "d.csv").write_text(f"t\n#\ng;y;x\n{rows}", encoding="latin-1")
    given = {"sep": ";", "decimal": ",", "thousands": ".", "encoding": "latin-1", "header": 3, "comment": "#",
             "multiline": True, "na": [-9]}  # fmt: skip
    texts = [write_study(tmp_path / "d.csv", FORMULA, None, given).path.read_text()]
    WIDE.iloc[:, :4].to_csv(tmp_path / "w.csv", index=False)
    texts.append(write_study(tmp_path / "w.csv", "y ~ time + (1 | g)", None, {}).path.read_text())
    TABLE.to_excel(tmp_path / "b.xlsx", index=False, sheet_name="Data")
    texts.append(write_study(tmp_path / "b.xlsx", FORMULA, None, {"sheet": "Data"}).path.read_text())
    head = "\n".join(text.partition("  missing:")[0] for text in texts)
    told = dict(re.findall(r"^  (\w+): .*? +# (.*)$", head, re.MULTILINE))
    assert told == {
        "sep": "what separates cells",
        "decimal": "the decimal mark",
        "thousands": "the mark between thousands",
        "encoding": "how letters are written",
        "header": "the line that holds the columns' names",
        "sheet": "the sheet of the workbook",
        "comment": "lines that begin so are passed over",
        "multiline": "cells in quotes may span lines",
        "na": "what means a missing value, beside an empty cell, NA and NaN",
        "reshape": "a row for each measurement",
    }
