"""Messy files, in every format that can hold them: read right, or refused with row and column."""

import gzip
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmmkit.errors import DataError
from lmmkit.model.design.design import build_design
from lmmkit.study import Base, load_study, load_table
from lmmkit.study.intake.new_study import write_study

ROWS = 12
Y = [f"{10 + k % 5}.5" for k in range(ROWS)]
X = [str(k % 4) for k in range(ROWS)]
G = [str(k // 3) for k in range(ROWS)]


def study(folder, source, formula="y ~ x + (1 | g)", **data):
    """The prepared data of a study that says no more than it must."""
    text = {"data": {"source": source, **data}, "model": {"formula": formula}}
    (folder / "s.yaml").write_text(json.dumps(text))
    return load_table(load_study(folder / "s.yaml").settings.data, Base(folder))


def typed_cell(cell):
    """A cell as a format with types stores it: a number where its text is the shortest of one."""
    for kind in (int, float):
        try:
            value = kind(cell)
        except ValueError:
            continue
        if str(value) == cell and abs(value) < 2**53:
            return value
    return cell or None


def write(folder, form, columns):
    """A table of text cells in a format; formats with types store numbers where a column is all numbers."""
    frame = pd.DataFrame(columns)
    typed = frame.map(typed_cell)
    path = folder / f"d.{form}"
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif form == "csv.gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    elif form == "xlsx":
        typed.to_excel(path, index=False)
    elif form == "parquet":
        uniform = {n: typed[n] if _one_kind(typed[n]) else frame[n].replace("", None) for n in frame}
        pq.write_table(
            pa.table({n: pa.array(list(column), from_pandas=True) for n, column in uniform.items()}), path
        )
    else:
        uniform = {n: typed[n] if _one_kind(typed[n]) else frame[n] for n in frame}
        numbers = {n: column.astype(float) for n, column in uniform.items() if _one_kind(typed[n])}
        pd.DataFrame({**uniform, **numbers}).to_stata(path, write_index=False, version=118)
    return path.name


def _one_kind(column):
    kinds = {type(cell) for cell in column.dropna()}
    return kinds <= {int, float}


FORMATS = ("csv", "tsv", "csv.gz", "xlsx", "parquet", "dta")
PER_GROUP = ROWS // 3
GROUPS = {
    "ids of 19 digits": [str(1780000000000000000 + 70 * k) for k in range(4)],
    "ids of 20 digits": [str(10**19 + 300 * k) for k in range(4)],
    "leading zeros": ["01", "1", "001", "0001"],
    "trailing zeros": ["1.1", "1.10", "1.100", "1"],
    "wells": ["1E1", "10", "1E2", "100"],
    "hexadecimal": ["0x10", "16", "0xA", "10"],
    "signs": ["+1", "1", "-1", "−1"],
    "other digits": ["٣", "3", "\uff13", "三"],
    "words of truth": ["TRUE", "true", "yes", "1"],
    "plain numbers": ["10", "9", "-1", "0"],
    "decimals": ["1.5", "0.1", "2", "10"],
    "words of missing": ["none", "nan", "n/a", "null"],
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", GROUPS)
def test_a_column_that_only_groups_keeps_every_label(tmp_path, form, kind):
    labels, gap = GROUPS[kind], len(kind) % 2
    cells = [labels[k // 3] for k in range(ROWS)]
    if gap:
        cells[5] = ""
    table = study(tmp_path, write(tmp_path, form, {"y": Y, "x": X, "g": cells}))
    assert table.frame["g"].tolist() == [cell for cell in cells if cell]
    order = (
        sorted(labels, key=int)
        if kind in ("plain numbers", "ids of 19 digits", "ids of 20 digits")
        else sorted(labels)
    )
    assert list(table.frame["g"].cat.categories) == order
    levels = build_design("y ~ x + (1 | g)", table.frame).random[0].levels
    assert list(levels) == order


STRAYS = [
    "n/a",
    ".",
    "3*",
    "-",
    "1,5",
    "1 000",
    "1_0",
    "0x10",
    "\uff14",
    "٤",
    "12 %",
    "€5",
    "inf",
    "2024-01-01",
    "yes",
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("stray", STRAYS)
def test_one_stray_cell_is_named_with_its_row_and_ways_out(tmp_path, form, stray):
    column = "x" if STRAYS.index(stray) % 2 else "y"
    columns = {"y": list(Y), "x": list(X), "g": G}
    columns[column][7] = stray
    name = write(tmp_path, form, columns)
    with pytest.raises(DataError) as caught:
        study(tmp_path, name)
    text = str(caught.value)
    assert f"{column}: 11 of its 12 cells are numbers, but row 8 holds {stray!r}" in text
    assert "data.na" in text
    assert ("type: factor" in text) == (column == "x")
    assert len(study(tmp_path, name, na=[stray]).frame) == 11


@pytest.mark.parametrize("form", FORMATS)
def test_a_rating_may_be_declared_a_factor(tmp_path, form):
    x = [*X[:-1], "4+"]
    table = study(
        tmp_path, write(tmp_path, form, {"y": Y, "x": x, "g": G}), columns={"x": {"type": "factor"}}
    )
    assert list(table.frame["x"].cat.categories) == ["0", "1", "2", "3", "4+"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("code", [-999, -999.0, "-999", "-999.0", "-9.99e2"])
def test_codes_count_by_value_in_numbers_and_as_text_in_text(tmp_path, form, code):
    x = [*X[:-2], "-999", "-999"]
    g = [*G[:-1], "-999"]
    table = study(tmp_path, write(tmp_path, form, {"y": Y, "x": x, "g": g}), na=[code, -77])
    assert len(table.frame) == 10
    counts = {(row.column, row.code): row.cells for row in table.codes.itertuples()}
    shown = str(int(code)) if isinstance(code, float) else str(code)
    assert counts[("x", shown)] == 2
    assert counts.get(("g", shown), 0) == (shown == "-999")
    assert any("data.na lists '-77', which is in no cell" in notice for notice in table.notices)
    assert not any(shown in notice for notice in table.notices if "in no cell" in notice)


def test_a_list_of_codes_adds_to_the_defaults_unless_they_are_set_aside(tmp_path):
    columns = {"y": Y, "x": ["NA", "", "9", *X[3:]], "g": G}
    assert len(study(tmp_path, write(tmp_path, "csv", columns), na=[9]).frame) == 9
    with pytest.raises(DataError, match="row 1 holds 'NA', row 2 holds ''"):
        study(tmp_path, "d.csv", na=[9], na_defaults=False)


@pytest.mark.parametrize(
    ("text", "settings", "values"),
    [
        ("1.234", {"decimal": ","}, None),
        ("1.234", {"decimal": ",", "thousands": "."}, 1234),
        ("1.234.567,5", {"decimal": ",", "thousands": "."}, 1234567.5),
        ("12.34", {"decimal": ",", "thousands": "."}, None),
        ("1,5", {"decimal": ","}, 1.5),
        ("1,234", {}, None),
        ("1,234.5", {"thousands": ","}, 1234.5),
        ("1,23", {"thousands": ","}, None),
        ("1\u00a0234,5", {"decimal": ",", "thousands": " "}, 1234.5),
        ("1\u202f234", {"thousands": " "}, 1234),
        ("1'234.5", {"thousands": "'"}, 1234.5),
        ("1\u2019234", {"thousands": "'"}, 1234),
        ("+4", {}, 4),
        ("1e5", {}, 1e5),
        (".5", {}, 0.5),
        ("5.", {}, 5),
        (" 7 ", {}, 7),
        ("1e400", {}, None),
        ("--1", {}, None),
    ],
)
def test_numbers_are_read_with_the_marks_of_the_study_or_refused(tmp_path, text, settings, values):
    rows = [
        f"{y.replace('.', settings.get('decimal', '.'))};{x};{g}" for y, x, g in zip(Y, X, G, strict=True)
    ]
    rows[3] = f"{text};0;1"
    (tmp_path / "d.csv").write_text("\n".join(["y;x;g", *rows]) + "\n")
    if values is None:
        with pytest.raises(DataError, match="row 4 holds"):
            study(tmp_path, "d.csv", sep=";", **settings)
    else:
        assert study(tmp_path, "d.csv", sep=";", **settings).frame["y"].iloc[3] == values


def lines_of(table):
    return dict(table.lines.to_numpy().tolist())


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("y,g\n1,a\n2,b\n", {}, {"header": 1, "rows kept": 2}),
        ("y,g\n1,a\n\n2,b\n  \n", {}, {"header": 1, "rows kept": 2, "blank": 2}),
        ("# made\ny,g\n#\n1,a\n2,b", {"comment": "#"}, {"header": 1, "rows kept": 2, "comment": 2}),
        ("t\nu\ny,g\n1,a\n2,b\n", {"header": 3}, {"above the header": 2, "header": 1, "rows kept": 2}),
        ("sep=;\ny;g\n1;a\n2;b\n", {}, {"above the header": 1, "header": 1, "rows kept": 2}),
        ('y,g\n1,"a\n\nc"\n2,b\n', {"multiline": True}, {"header": 1, "rows kept": 2, "continuation": 2}),
        ("y,g\n,a\n2,b\n", {}, {"header": 1, "rows kept": 1, "rows dropped": 1}),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_lines_of_a_file_add_up(tmp_path, text, settings, expected, end):
    (tmp_path / "d.csv").write_bytes(text.replace("\n", end).encode())
    table = study(tmp_path, "d.csv", "y ~ 1 + (1 | g)", **settings)
    assert lines_of(table) == {"rows dropped": 0, **expected}
    assert sum(lines_of(table).values()) == len(text.rstrip("\n").split("\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('y,g\n1,"a\n2,b\n3,c\n', "line 2 has a cell that begins with a quote"),
        ('y,g\n1,a\n2,"b"c\n', "line 3 has a cell that begins with a quote"),
        ('y,g\n1,"a\n2,b"\n', "data.multiline: true"),
        ('y,g\n1,x"y,"z\n', "line 2 has a cell"),
        ("y,g\n1,a\n2\n", r"row 2 \(line 3\) has 1 cells, the header 2"),
        ("y,g\n1,a,\n2,b,\n", "which the header lacks"),
        ("y,g\n1,a\n2,b\0\n", "NUL byte in line 3"),
        ("y,y\n1,2\n", "two columns called y"),
        ("g,g \n1,2\n", "differ only in blanks"),
        ("e\u0301,\u00e9\n1,2\n", "how Unicode composes"),
        ("y,g\n1,a\r2,b\n", "carriage return inside line 2"),
        ("y;g\n1;a\n", "say data.sep: ';'"),
        ("y,g\n1,é\n".encode("latin-1"), "data.encoding: latin-1"),
        ("y,g\n1,ab\n2,cd\n".encode("utf-16-le"), "data.encoding: utf-16-le"),
    ],
)
def test_lines_that_are_no_table_are_refused(tmp_path, text, message):
    (tmp_path / "d.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        study(tmp_path, "d.csv", "y ~ 1 + (1 | g)")


def test_quotes_inside_cells_are_text(tmp_path):
    (tmp_path / "d.csv").write_text('y,g\n1,5" pipe\n2,"a ""b"", c"\n')
    assert study(tmp_path, "d.csv", "y ~ 1 + (1 | g)").frame["g"].tolist() == ['5" pipe', 'a "b", c']


def test_a_quote_left_open_is_told_by_the_last_line_with_one(tmp_path):
    (tmp_path / "d.csv").write_text('y,g\n1,"a\nb"\n2,c\n3,"d\n4,e\n')
    with pytest.raises(
        DataError, match=r"line 5 has a cell that begins with a quote .* double a quote inside"
    ):
        study(tmp_path, "d.csv", "y ~ 1 + (1 | g)", multiline=True)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding):
    (tmp_path / "d.csv").write_bytes("y,g\n1,é\n2,ü\n".encode(encoding))
    assert study(tmp_path, "d.csv", "y ~ 1 + (1 | g)").frame["g"].tolist() == ["é", "ü"]


def dated(folder, form):
    """Six days and a gap, as a format stores them."""
    days = pd.to_datetime(["2024-03-28", "2024-03-31", None, "2024-04-02"] * 3)
    frame = pd.DataFrame({"y": np.arange(12.0), "day": days, "g": [str(k // 3) for k in range(12)]})
    path = folder / f"d.{form}"
    writers = {"parquet": frame.to_parquet, "dta": frame.to_stata}
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "xlsx":
        frame.to_excel(path, index=False)
    else:
        writers[form](path, **({"write_index": False} if form == "dta" else {}))
    return path.name


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet", "dta"])
def test_dates_are_days_in_every_format(tmp_path, form):
    table = study(tmp_path, dated(tmp_path, form), "y ~ day + (1 | g)")
    assert table.frame["day"].tolist() == [0, 3, 5] * 3
    assert table.columns.set_index("column").loc["day", ["type", "unit"]].tolist() == ["time", "d"]


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
@pytest.mark.parametrize("declared", [{}, {"type": "number"}])
def test_truth_is_0_and_1_in_every_format_with_and_without_gaps(tmp_path, form, declared):
    truth = pd.array([True, False, None, True] * 3, "boolean")
    frame = pd.DataFrame({"y": np.arange(12.0), "t": truth, "g": [str(k // 3) for k in range(12)]})
    path = tmp_path / f"d.{form}"
    {"csv": frame.to_csv, "xlsx": frame.to_excel, "parquet": frame.to_parquet}[form](path, index=False)
    table = study(tmp_path, path.name, "y ~ t + (1 | g)", columns={"t": declared})
    assert table.frame["t"].tolist() == [1, 0, 1] * 3
    assert build_design("y ~ t + (1 | g)", table.frame).fixed_names == ("Intercept", "t")


@pytest.mark.parametrize(
    ("cells", "spec", "values"),
    [
        (["2024-03-30T12:00+01:00", "2024-03-31T12:00+02:00"], {"type": "time", "unit": "h"}, [0, 23]),
        (["2024-W01", "2024-W02-3"], {}, [0, 9]),
        (["31/01/2024", "01/02/2024"], {"type": "time", "format": "%d/%m/%Y"}, [0, 1]),
        (["31/01/2024", "01/02/2024"], {}, "declare `type: time` with the `format`"),
        (["31.01.2024", "01.02.2024"], {}, "declare `type: time` with the `format`"),
        (["2024-03-30T12:00", "2024-03-31T13:00"], {}, "does not say in which unit"),
        (
            ["2024-03-30T12:00", "2024-03-31T13:00Z"],
            {"type": "time", "unit": "h"},
            "an offset from UTC and dates without",
        ),
        (["2024-03-30", "2024-02-30"], {"type": "time"}, "row 2 holds '2024-02-30'"),
        (["01", "02"], {}, "a number with a leading zero"),
        (["0x10", "0x11"], {}, "it holds no numbers: row 1 holds '0x10'"),
        (["$5", "$1,000"], {}, "it holds no numbers: row 1 holds '\\$5'.*its unit under `unit`"),
        (["USD 5", "7 EUR"], {}, "it holds no numbers.*its unit under `unit`"),
        (["(3)", "4"], {}, r"6 of its 12 cells are numbers, but row 1 holds '\(3\)'.*with a minus"),
        (["<0.5", "1"], {}, "6 of its 12 cells are numbers, but row 1 holds '<0.5'"),
        (["<65", ">=65"], {}, "labels"),
        (["\u22123", "0"], {}, "begins with a minus sign that is no hyphen"),
        (["1.5D+02", "2"], {}, "with an e, not a D"),
        (["3 May 2024", "4 May 2024"], {}, "it holds no dates: row 1 holds '3 May 2024'"),
        (["03MAY2024", "04MAY2024"], {}, "it holds no dates"),
        (["2024-05", "2024-06"], {}, "it holds no dates"),
        (["2024-5-3", "2024-5-14"], {"type": "time", "format": "%Y-%m-%d"}, [0, 11]),
        (["20240131", "20240201"], {"type": "time", "format": "%Y%m%d"}, [0, 1]),
        (["09:30", "13:15"], {"type": "time", "unit": "h"}, [9.5, 13.25]),
        (["0:01:30", "1 day, 0:00:00"], {"type": "time", "unit": "min"}, [1.5, 1440]),
        (["09:30 pm", "12:00 AM"], {"type": "time", "unit": "h"}, [21.5, 0]),
        (["1:30", "12:15"], {"type": "time", "unit": "min", "format": "%M:%S"}, [1.5, 12.25]),
        (["09:30", "13:15"], {}, "times of day or spans of time, such as '09:30'.*in which unit"),
        (
            ["09:30", "late"],
            {},
            "6 of its 12 cells are times of day or spans of time, but row 2 holds 'late'",
        ),
        (["TRUE", "yes"], {}, "are true or false, but row 2 holds 'yes'"),
    ],
)
def test_predictors_are_read_or_refused_by_what_they_are(tmp_path, cells, spec, values):
    rows = [f'{k},"{cells[k % 2]}",{k // 3}' for k in range(12)]
    (tmp_path / "d.csv").write_text("\n".join(["y,x,g", *rows]))
    if values == "labels":
        assert list(study(tmp_path, "d.csv").frame["x"].cat.categories) == sorted(cells)
    elif isinstance(values, str):
        with pytest.raises(DataError, match=values):
            study(tmp_path, "d.csv", columns={"x": spec})
    else:
        assert study(tmp_path, "d.csv", columns={"x": spec}).frame["x"].tolist() == values * 6


def test_a_column_that_groups_and_is_a_number_has_one_label_for_each_number(tmp_path):
    columns = {"y": Y, "x": ["10", "9", "2", "1"] * 3, "g": G}
    name = write(tmp_path, "csv", columns)
    table = study(tmp_path, name, "y ~ x + (1 | x)")
    assert list(build_design("y ~ x + (1 | x)", table.frame).random[0].levels) == ["1", "2", "9", "10"]
    write(tmp_path, "csv", {**columns, "x": ["1.1", "1.10", "2", "3"] * 3})
    with pytest.raises(
        DataError, match=r"x: '1.1' in row 1 and '1.10' in row 2 are one number but two labels"
    ):
        study(tmp_path, name, "y ~ x + (1 | x)")


def test_arrow_types_keep_every_digit_and_label(tmp_path):
    big = [2**53 + 1 + k // 3 for k in range(11)]
    made = {
        "int64": pa.array([*big, None], pa.int64()),
        "uint64": pa.array([*(2**63 + k for k in big), None], pa.uint64()),
        "decimal": pa.array([*(Decimal(f"{k}.50") for k in big), None], pa.decimal128(38, 2)),
        "dictionary": pa.array([*map(str, big), None]).dictionary_encode(),
    }
    y = pa.array(np.arange(12.0))
    for cells in made.values():
        pq.write_table(pa.table({"y": y, "g": cells}), tmp_path / "d.parquet")
        for columns in ({}, {"g": {"type": "factor"}}):
            found = study(tmp_path, "d.parquet", "y ~ 1 + (1 | g)", columns=columns).frame["g"]
            texts = [
                str(cell.as_py()).removesuffix("0") if "decimal" in str(cells.type) else str(cell)
                for cell in cells
            ]
            assert found.tolist() == texts[:-1]


def test_floating_ids_that_may_have_been_merged_are_refused_unless_they_are_declared(tmp_path):
    for kind in (np.float64, np.float32):
        g = np.array([1.78e18 + k // 3 for k in range(12)], kind)
        pd.DataFrame({"y": np.arange(12.0), "g": g}).to_parquet(tmp_path / "d.parquet")
        with pytest.raises(DataError, match="ids may have been merged when the file was written"):
            study(tmp_path, "d.parquet", "y ~ 1 + (1 | g)")
        study(tmp_path, "d.parquet", "y ~ 1 + (1 | g)", columns={"g": {"type": "factor"}})


def test_the_labels_of_stata_are_levels_in_the_order_of_their_codes(tmp_path):
    frame = pd.DataFrame({"y": np.arange(12.0), "x": [2, 1, 3] * 4, "g": [k // 3 for k in range(12)]})
    labels = {"x": {1: "never", 2: "always", 3: "at times"}}
    frame.to_stata(tmp_path / "d.dta", write_index=False, value_labels=labels)
    assert list(study(tmp_path, "d.dta").frame["x"].cat.categories) == ["never", "always", "at times"]
    assert study(tmp_path, "d.dta", columns={"x": {"type": "number"}}).frame["x"].tolist() == [2, 1, 3] * 4
    with pytest.raises(
        DataError, match=r"holds labels, such as 'always'.*declare `type: number` to take the codes"
    ):
        study(tmp_path, "d.dta", "y ~ log(x) + (1 | g)")
    frame.to_stata(tmp_path / "d.dta", write_index=False, value_labels={"x": {3: "refused"}})
    with pytest.raises(DataError, match="8 of its 12 cells are numbers, but row 3 holds 'refused'"):
        study(tmp_path, "d.dta")
    frame.to_stata(tmp_path / "d.dta", write_index=False, value_labels={"x": {1: "a", 2: "a", 3: "b"}})
    twice = study(tmp_path, "d.dta", columns={"x": {"type": "factor"}})
    assert list(twice.frame["x"].cat.categories) == ["1", "2", "3"]
    assert any("two of its value labels are the same text" in notice for notice in twice.notices)


def test_a_workbook_tells_formulas_and_errors_from_empty_cells(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    for cell, message in (
        ("=1+1", "holds the formula '=1\\+1' whose value"),
        ("#N/A", "holds the error #N/A"),
    ):
        book = openpyxl.Workbook()
        for row in (["y", "g"], [1, "a"], [2, cell], [3, "b"]):
            book.active.append(row)
        book.save(tmp_path / "d.xlsx")
        with pytest.raises(DataError, match=rf"g: row 2 \(row 3 of the sheet\) {message}"):
            study(tmp_path, "d.xlsx", "y ~ 1 + (1 | g)")


def test_numbers_stored_as_text_in_a_workbook_are_numbers(tmp_path):
    pd.DataFrame({"y": [1.5, "2,5", 3], "x": [1, "2", 3], "g": ["7", 7, 8.0]}).to_excel(
        tmp_path / "d.xlsx", index=False
    )
    table = study(tmp_path, "d.xlsx", decimal=",")
    assert table.frame["y"].tolist() == [1.5, 2.5, 3]
    assert table.frame["x"].tolist() == [1, 2, 3]
    assert table.frame["g"].tolist() == ["7", "7", "8"]


def test_blanks_and_look_alikes_are_told(tmp_path):
    g = ["a", " a", "b ", "b\u00a0", "é", "e\u0301", "C", "c", "d", "d", "e", "e"]
    table = study(tmp_path, write(tmp_path, "csv", {"y": Y, "x": X, "g": g}))
    assert list(table.frame["g"].cat.categories) == sorted({label.strip() for label in g})
    assert any("blanks around the text of 3 cells" in notice for notice in table.notices)
    assert any("are two levels, and differ only" in notice for notice in table.notices)


def test_levels_have_the_declared_order_and_labels_must_be_levels(tmp_path):
    name = write(tmp_path, "csv", {"y": Y, "x": ["mid", "lo", "hi"] * 4, "g": G})
    spec = {"type": "factor", "order": ["lo", "mid"], "labels": {"lo": "Low"}, "label": "Dose"}
    table = study(tmp_path, name, columns={"x": spec})
    assert list(table.frame["x"].cat.categories) == ["lo", "mid", "hi"]
    assert table.columns.set_index("column").loc["x", "label"] == "Dose"
    for key, value in (("order", ["low"]), ("labels", {"low": "Low"}), ("reference", "low")):
        with pytest.raises(DataError, match=f"its {key} 'low' is not among its levels"):
            study(tmp_path, name, columns={"x": {"type": "factor", key: value}})


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
def test_missing_cells_are_counted_once_in_every_format(tmp_path, form):
    frame = pd.DataFrame(
        {"y": np.arange(12.0), "x": ["lo", None, "hi", "NA"] * 3, "g": [*"aabbccddee", None, "f"]}
    )
    frame.to_csv(tmp_path / "d.csv", index=False)
    frame.to_excel(tmp_path / "d.xlsx", index=False)
    frame.to_parquet(tmp_path / "d.parquet")
    counts = study(tmp_path, f"d.{form}").codes
    assert sorted(map(tuple, counts.to_numpy().tolist())) == [
        ("g", "(empty)", 1),
        ("x", "(empty)", 3),
        ("x", "NA", 3),
    ]


def test_the_lettered_missing_values_of_stata_are_counted_by_letter(tmp_path):
    cells = [1.5, 2, 3, 4, 5, 6] * 2
    path = tmp_path / "d.dta"
    pd.DataFrame({"y": cells, "g": [*"aabbccddeeff"], "x": [1, 2] * 6}).to_stata(
        path, write_index=False, version=118
    )
    raw = path.read_bytes()
    for value, letter in ((1.5, 1), (2.0, 2), (3.0, 0)):  # .a, .b and .
        code = np.array([0x7FE0000000000000 + (letter << 40)], "<u8").tobytes()
        raw = raw.replace(np.array([value], "<f8").tobytes(), code)
    path.write_bytes(raw)
    table = study(tmp_path, "d.dta", na=[".b"])
    assert table.codes.to_numpy().tolist() == [["y", ".a", 2], ["y", ".b", 2], ["y", "(empty)", 2]]
    assert len(table.frame) == 6
    assert not any("in no cell" in notice for notice in table.notices)


def test_what_a_parquet_column_stores_beside_text_and_numbers(tmp_path):
    ids = [bytes([k // 3] * 16) for k in range(12)]
    y = pa.array(np.arange(12.0))
    pq.write_table(pa.table({"y": y, "g": pa.array(ids, pa.uuid())}), tmp_path / "d.parquet")
    assert (
        study(tmp_path, "d.parquet", "y ~ 1 + (1 | g)").frame["g"][3]
        == "01010101-0101-0101-0101-010101010101"
    )
    minutes = pa.array([60 * k for k in range(12)], pa.time32("s"))
    pq.write_table(pa.table({"y": y, "x": minutes, "g": pa.array([*"aabbccddeeff"])}), tmp_path / "d.parquet")
    spec = {"x": {"type": "time", "unit": "min"}}
    assert study(tmp_path, "d.parquet", columns=spec).frame["x"].tolist() == list(range(12))


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet", "dta"])
def test_dates_of_eight_digits_are_noticed_and_read_in_every_format(tmp_path, form):
    x = ["20240130", "20240131", "20240201", "20240202"] * 3
    name = write(tmp_path, form, {"y": Y, "x": x, "g": G})
    assert any(
        "every number reads as a date, such as 20240130" in notice for notice in study(tmp_path, name).notices
    )
    spec = {"x": {"type": "time", "format": "%Y%m%d"}}
    assert study(tmp_path, name, columns=spec).frame["x"].tolist() == [0, 1, 2, 3] * 3


@pytest.mark.parametrize(
    ("cells", "notice"),
    [
        (["5 mg", "10 mg", "20 mg", "2.5 mg"], "every cell is a number followed by ' mg'"),
        (["18-25", "26-35", "36-45", "46-55"], ""),
        (["2024-01-01", "2024-01-02", "2024-01-03", "9999-12-31"], "9999-12-31 (3 cells) stands far off"),
        (["2024-01-01", "2024-01-02", "2024-01-03", "1900-01-01"], "1900-01-01 (3 cells) stands far off"),
        (["2024-01-01", "2024-01-02", "2024-01-03", "2024-12-31"], ""),
        (["", "", "", "7"], "x has no value in 9 of 12 rows"),
        (["1.234", "980", "12.500", "7"], "every number has three digits after its '.', such as '1.234'"),
        (["1.234", "0.980", "12.500", "7"], ""),
        (["1.234", "1980", "12.500", "7"], ""),
    ],
)
def test_cells_that_may_mean_something_else_are_told(tmp_path, cells, notice):
    g = [str(k // 6) for k in range(ROWS)]
    table = study(tmp_path, write(tmp_path, "csv", {"y": Y, "x": cells * 3, "g": g}))
    assert notice in " ".join(table.notices)
    assert bool(table.notices) == bool(notice)


def test_a_row_of_totals_is_told_where_it_is_kept(tmp_path):
    rows = [f"s{k // 3},{k},{k % 4}" for k in range(12)]
    (tmp_path / "d.csv").write_text("\n".join(["g,y,x", *rows, "Total,66,18", "Source: ward,,"]))
    sentence = "row 13, near the end, says 'Total' in g"
    assert sentence in " ".join(study(tmp_path, "d.csv").notices)
    assert sentence not in " ".join(study(tmp_path, "d.csv", exclude=["g == 'Total'"]).notices)


def test_a_header_that_is_repeated_is_told_by_what_it_is(tmp_path):
    write(tmp_path, "csv", {"y": [*Y[:-1], "y"], "x": [*X[:-1], "x"], "g": [*G[:-1], "g"]})
    with pytest.raises(DataError, match="in a header that is repeated"):
        study(tmp_path, "d.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.sav", b"$FL2", "is a file of SPSS: save it there as Stata's .dta"),
        ("d.xls", b"\xd0\xcf\x11\xe0", "older or binary form of Excel: save it as .xlsx"),
        ("d.rds", b"\x1f\x8b", "a file of R"),
        ("d.dat", b"y,g", "no reader is for; if it is text, call it .csv"),
        ("d.csv", b"PK\x03\x04", "a workbook or a ZIP archive by its first bytes"),
        ("d.csv", b"\x1f\x8b", "packed by gzip by its first bytes"),
        ("d.xlsx", b"\xd0\xcf\x11\xe0", "before 2007, or one with a password"),
        ("d.parquet", b"ARROW1", "a Feather file"),
        ("d.dta", b"PAR1", "call it .parquet"),
    ],
)
def test_files_of_other_kinds_are_refused_by_what_they_are(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content + b"0123456789")
    with pytest.raises(DataError, match=message):
        study(tmp_path, name)


def test_labels_that_a_spreadsheet_turned_into_dates_are_told(tmp_path):
    g = ["2024-01-02" if k < 6 else f"1-{k // 2}b" for k in range(ROWS)]
    table = study(tmp_path, write(tmp_path, "csv", {"y": Y, "x": X, "g": g}))
    assert "1 of its 4 labels are dates, such as '2024-01-02'" in " ".join(table.notices)


@pytest.mark.parametrize(
    ("mark", "decimal", "hint"), [(";", ",", "';'"), ("|", ".", r"'\|'"), (" ", ".", "' '")]
)
def test_a_separator_that_the_study_does_not_name_is_told(tmp_path, mark, decimal, hint):
    rows = [f"y{mark}x{mark}g", *(f"{k}{decimal}5{mark}{k % 4}{mark}{k // 3}" for k in range(12))]
    (tmp_path / "d.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match=f"data.sep: {hint}"):
        study(tmp_path, "d.csv")


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (["10", "9", "100", "-1"], ["-1", "9", "10", "100"]),
        (["10", "9", "01", "1"], ["01", "1", "10", "9"]),
        (["10", "9", "+1", "b"], ["+1", "10", "9", "b"]),
        (["10000000000000000001", "9", "10000000000000000000", "0"],
         ["0", "9", "10000000000000000000", "10000000000000000001"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rows", [24, 4000])
def test_new_a_study_and_the_library_order_labels_alike(tmp_path, labels, order, rows):
    rng = np.random.default_rng(3)
    g = [labels[k % 4] for k in range(rows)]
    frame = pd.DataFrame({"y": rng.normal(size=rows).round(3), "g": g, "f": g})
    frame.to_csv(tmp_path / "d.csv", index=False)
    formula = "y ~ C(f) + (1 | g)"
    made = write_study(tmp_path / "d.csv", formula, tmp_path / "n.yaml", {})
    proposed = load_table(load_study(made.path).settings.data, Base(tmp_path)).frame
    # As pandas reads the file, whole numbers of 64 bits are numbers; what is text there stands by its bytes.
    read = pd.read_csv(tmp_path / "d.csv")
    plain = pd.api.types.is_integer_dtype(read["g"]) and [str(n) for n in read["g"][:4]] == labels
    for table in (study(tmp_path, "d.csv", formula).frame, proposed, *([read] if plain else [])):
        design = build_design(formula, table)
        assert list(design.random[0].levels) == order
        assert design.fixed_names == ("Intercept", *(f"C(f)[T.{label}]" for label in order[1:]))
    for table in (frame, frame.astype({"g": "string"}), pa.Table.from_pandas(frame)):
        assert list(build_design(formula, table).random[0].levels) == sorted(labels)
