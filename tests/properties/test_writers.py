"""Any table that a writer can hold comes back equal under the types that the study declares.

What a format cannot hold stands in docs/data.md, whose table these tests read.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmmkit.study import Base, load_table
from lmmkit.study.files.schema import Column, Data

ROOT = Path(__file__).parents[2]
MISSING = {"", "NA", "NaN"}


def held() -> dict[str, dict[str, str]]:
    """The table of docs/data.md: what each format holds of each kind."""
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8").split("## What each format can hold")[1]
    lines = [line for line in text.split("\n") if line.startswith("|")]
    head, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows[1:] if len(row) == len(head)}


HELD = held()
ZONE = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
letters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co"), exclude_characters="=#_")
words = st.one_of(
    st.text(letters, max_size=8),
    st.sampled_from(["007", "1.10", "1E1", "-0", "TRUE", "10", "9", "1,5", '5"', "a;b", " x ", "NaN"]),
)
CELLS = {
    "text": words,
    "whole numbers": st.integers(-(2**53), 2**53),
    "integers of any width": st.one_of(st.integers(2**53, 2**63 - 1), st.integers(-(2**63), 2**63 - 1)),
    "decimals": st.one_of(st.floats(-1e12, 1e12), st.floats(allow_nan=False, allow_infinity=False, width=32)),
    "dates": st.dates(datetime.date(1901, 1, 1), datetime.date(2099, 12, 31)),
    "dates with an offset": st.datetimes(
        datetime.datetime(1971, 1, 1), datetime.datetime(2099, 1, 1), timezones=st.just(ZONE)
    ),
    "true and false": st.booleans(),
}
SPECS = {
    "text": Column(type="factor"),
    "whole numbers": Column(type="number"),
    "integers of any width": Column(type="factor"),
    "decimals": Column(type="number"),
    "dates": Column(type="time", unit="d"),
    "dates with an offset": Column(type="time", unit="s"),
    "true and false": Column(type="number"),
}
TYPES = {
    "text": pa.string(),
    "whole numbers": pa.int64(),
    "integers of any width": pa.int64(),
    "decimals": pa.float64(),
    "dates": pa.date32(),
    "dates with an offset": pa.timestamp("us", "UTC"),
    "true and false": pa.bool_(),
}


def arrow(columns: dict[str, list]) -> pa.Table:
    return pa.table({kind: pa.array(cells, TYPES[kind]) for kind, cells in columns.items()})


def pandas(columns: dict[str, list]) -> pd.DataFrame:
    """As a user of pandas has it: nullable integers and booleans, datetime64, object text."""
    made = {}
    for kind, cells in columns.items():
        if kind in ("whole numbers", "integers of any width"):
            made[kind] = pd.array(cells, "Int64")
        elif kind == "true and false":
            made[kind] = pd.array(cells, "boolean")
        elif kind == "dates":
            made[kind] = pd.to_datetime(pd.Series(cells, dtype=object))
        elif kind == "decimals":
            made[kind] = np.array([np.nan if cell is None else cell for cell in cells])
        else:
            made[kind] = pd.Series(cells, dtype=object)
    return pd.DataFrame(made)


def duck(columns: dict[str, list], path: Path, options: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.register("made", arrow(columns))
        connection.execute(f"COPY (SELECT * FROM made) TO '{path}' ({options})")


def sheet(columns: dict[str, list], path: Path) -> None:
    """Cells as a spreadsheet has them: numbers, truth, dates and text."""
    pd.DataFrame({kind: pd.Series(cells, dtype=object) for kind, cells in columns.items()}).to_excel(
        path, index=False
    )


def stata(columns: dict[str, list], path: Path) -> None:
    frame = pandas(columns)
    for kind in frame:
        if kind in ("whole numbers", "true and false"):
            frame[kind] = frame[kind].astype("Float64").to_numpy(np.float64, na_value=np.nan)
        if kind == "text":
            frame[kind] = frame[kind].fillna("")
    frame.columns = [kind.replace(" ", "_") for kind in frame]
    dates = {name: "td" for name in frame if name == "dates"}
    frame.to_stata(path, write_index=False, version=118, convert_dates=dates)


Writer = Callable[[dict[str, list], Path], object]
WRITERS: dict[str, tuple[str, str, Writer]] = {
    "pandas CSV": ("CSV", "csv", lambda columns, path: pandas(columns).to_csv(path, index=False)),
    "Arrow CSV": ("CSV", "csv", lambda columns, path: pcsv.write_csv(arrow(columns), path)),
    "DuckDB CSV": ("CSV", "csv", lambda columns, path: duck(columns, path, "FORMAT csv, HEADER")),
    "pandas CSV, packed": ("CSV", "csv.gz", lambda columns, path: pandas(columns).to_csv(path, index=False)),
    "pandas TSV": ("TSV", "tsv", lambda columns, path: pandas(columns).to_csv(path, index=False, sep="\t")),
    "pandas Parquet": ("Parquet", "parquet", lambda columns, path: pandas(columns).to_parquet(path)),
    "Arrow Parquet": ("Parquet", "parquet", lambda columns, path: pq.write_table(arrow(columns), path)),
    "DuckDB Parquet": ("Parquet", "parquet", lambda columns, path: duck(columns, path, "FORMAT parquet")),
    "XLSX": ("XLSX", "xlsx", sheet),
    "Stata": ("Stata", "dta", stata),
}


def writable(form: str, kind: str, cells: list) -> list:
    """The cells of a kind as docs/data.md says that the format holds them."""
    words = HELD[kind][form]
    if words == "15 digits":
        return [None if cell is None else type(cell)(float(f"{cell:.15g}")) for cell in cells]
    if words == "text":
        return [None if cell is None else getattr(cell, "isoformat", cell.__str__)() for cell in cells]
    return cells


def expected(kind: str, cells: list) -> list:
    """What the study must read, None where the cell is missing."""
    if kind in ("text", "integers of any width"):
        texts = [None if cell is None else str(cell).strip() for cell in cells]
        return [None if text in MISSING else text for text in texts]
    if kind in ("dates", "dates with an offset"):
        first = min((cell for cell in cells if cell is not None), default=None)
        unit = datetime.timedelta(days=1) if kind == "dates" else datetime.timedelta(seconds=1)
        return [None if cell is None else (cell - first) / unit for cell in cells]
    return [None if cell is None else float(cell) for cell in cells]


def read_back(columns: dict[str, list], writer: str, folder: Path) -> dict[str, list]:
    form, ending, write = WRITERS[writer]
    path = folder / f"d.{ending}"
    made = {kind: writable(form, kind, cells) for kind, cells in columns.items()}
    if form in ("XLSX", "Stata"):
        text = {kind for kind in made if HELD[kind][form] == "text"}
        made = {kind: cells for kind, cells in made.items() if kind not in text} | {
            f"text of {kind}": made[kind] for kind in text
        }
    write(made, path)
    names = {kind: next(n for n in (kind, f"text of {kind}") if n in made) for kind in columns}
    if form == "Stata":
        names = {kind: name.replace(" ", "_") for kind, name in names.items()}
    data = Data(source=path.name, columns={name: SPECS[kind] for kind, name in names.items()})
    read = load_table(data, Base(folder)).read
    return {
        kind: [None if pd.isna(cell) else cell for cell in read[name].tolist()]
        for kind, name in names.items()
    }


@st.composite
def tables(draw) -> dict[str, list]:
    rows = draw(st.integers(1, 10))
    columns = {}
    for kind, cells in CELLS.items():
        made = draw(st.lists(st.one_of(cells, st.none()), min_size=rows, max_size=rows))
        if expected(kind, made)[0] is None:  # one row is complete, so that rows are left
            made[0] = "a" if kind == "text" else draw(cells)
        columns[kind] = made
    # A row that holds nothing is no row of a sheet.
    columns["whole numbers"] = [
        1 if all(cells[i] in (None, "") for cells in columns.values()) else whole
        for i, whole in enumerate(columns["whole numbers"])
    ]
    return columns


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=tables())
def test_what_is_written_is_read(tmp_path, writer, columns):
    found = read_back(columns, writer, tmp_path)
    form = WRITERS[writer][0]
    for kind, cells in columns.items():
        kept = writable(form, kind, cells) if HELD[kind][form] == "15 digits" else cells
        assert found[kind] == expected(kind, kept), kind


def test_the_page_on_data_says_of_every_format_and_kind_what_it_holds():
    assert set(HELD) == {*CELLS, "gaps"}
    forms = {form for form, _, _ in WRITERS.values()}
    assert all(
        set(cells) == forms and set(cells.values()) <= {"yes", "text", "15 digits"} for cells in HELD.values()
    )
    assert all(re.search("^yes$", cell) for cell in HELD["gaps"].values())
