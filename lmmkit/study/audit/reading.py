"""The data file read by others: pandas and R, from the bytes, by the study's settings and not by our reader.

What they read is held against the prepared data cell by cell, and is what the second opinions fit: a table
that was read wrong is found, whoever fits it. Only what a file says is compared; columns that the study
derives, times, and tables made long are ours alone.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import codecs
import gzip
import json
import math
import os
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.errors import LmmkitError, RunError, first_of
from lmmkit.study.audit.integrity import RunFolder
from lmmkit.study.audit.verdicts import DIFFERS, HOLDS, NAMED_VALUES, READING, UNCHECKED, Finding
from lmmkit.study.data.load_table import read_frame
from lmmkit.study.data.sources import ending_of
from lmmkit.study.records.temporary import temporary_folder

DATA = "data.parquet"
CLOSE = 1e-15  # of a number: R's decimal reader may miss the nearest double by a unit in the last place
SECONDS = 300
_SEPARATORS = {"csv": ",", "tsv": "\t", "txt": "\t"}
_SCRIPT = """
d <- read.table(FILE, sep = SEP, dec = ".", quote = "\\"", header = FALSE, skip = SKIP, comment.char = "",
                colClasses = "character", na.strings = character(0), fileEncoding = ENCODING, fill = FALSE,
                blank.lines.skip = TRUE, strip.white = TRUE, check.names = FALSE)
write.csv(d, "read.csv", row.names = FALSE, fileEncoding = "UTF-8")
"""


@dataclass(frozen=True, eq=False)
class Reading:
    """What another reader found in the data file.

    Attributes:
        reader: Its name.
        frame: The prepared data with the columns of the file as it read them; None where it did not.
        finding: How that compares with the prepared data.
    """

    reader: str
    frame: pd.DataFrame | None
    finding: Finding


def readings(run: RunFolder, path: Path | None) -> Iterator[Reading]:
    """The data file of a run as pandas and as R read it.

    Args:
        run: The run.
        path: The data file, its digest the recorded one; None where it was not found.
    """
    for reader, read in (("pandas", by_pandas), ("R", by_r)):
        what = f"{reader}: the data file"
        if path is None:
            yield Reading(reader, None, Finding(READING, what, UNCHECKED, "the data file was not found"))
            continue
        try:
            settings = run.settings["data"]
            why = cannot_be_read(path, settings)
            cells = None if why else read(path, settings)
            frame, rows = read_frame(run.file(DATA), run.json("data.schema.json")), run.table("rows.csv")
            types = {facts["column"]: facts["type"] for facts in run.json("data.schema.json")["columns"]}
            if cells is None:
                yield Reading(reader, None, Finding(READING, what, UNCHECKED, why))
                continue
            anew, names, fault = as_prepared(cells, frame, rows, types, settings)
            yield Reading(reader, anew, _compared(what, frame, anew, names, fault))
        except (LmmkitError, OSError, ValueError, KeyError, TypeError, LookupError) as error:
            words = " ".join((str(error) if isinstance(error, UnreadError) else f"not read: {error}").split())
            yield Reading(reader, None, Finding(READING, what, UNCHECKED, words))


class UnreadError(RunError):
    """Another reader is not there, or cannot be told what the study says."""


def cannot_be_read(path: Path, settings: Mapping[str, Any]) -> str:
    """Why no other reader is asked; empty where they are."""
    if settings.get("reshape"):
        return "the study makes the file long, which is ours alone"
    if ending_of(path) not in (*_SEPARATORS, "parquet"):
        return f"a file of the kind {ending_of(path)} has no second reader here"
    return ""


def by_pandas(path: Path, settings: Mapping[str, Any]) -> pd.DataFrame:
    """The cells of a file as pandas reads them: text, or the numbers of a typed file."""
    if ending_of(path) == "parquet":
        return pd.read_parquet(path)
    head = int(settings["header"])
    comment: str | None = settings.get("comment")
    skipped = _commented(path, settings, comment) if comment else None
    frame = pd.read_csv(
        path,
        sep=_separator(path, settings),
        encoding=_encoding(settings),
        header=None,
        skiprows=skipped or max(0, head - 1),
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=True,
        engine="c",
    )
    return _with_names(frame, head)


def by_r(path: Path, settings: Mapping[str, Any]) -> pd.DataFrame:
    """The cells of a text file as R reads them.

    Raises:
        UnreadError: R is not installed, or does not read it.
    """
    program = shutil.which("Rscript")
    if program is None:
        raise UnreadError("Rscript is not installed")
    if ending_of(path) == "parquet" or path.name.endswith(".gz") or settings.get("comment"):
        raise UnreadError("R is asked for plain text files alone")
    head, encoding = int(settings["header"]), _encoding(settings)
    values = {
        "FILE": str(path),
        "SEP": _separator(path, settings),
        "SKIP": max(0, head - 1),
        "ENCODING": "UTF-8-BOM" if encoding == "utf-8-sig" else codecs.lookup(encoding).name.upper(),
    }
    script = _SCRIPT
    for name, value in values.items():
        script = script.replace(name, json.dumps(value), 1)
    with temporary_folder() as folder:
        (Path(folder) / "read.R").write_text(script, encoding="utf-8")
        try:
            done = subprocess.run(
                [program, "--vanilla", "--default-packages=utils", "read.R"],  # the rest takes longer to load
                cwd=folder,
                env={**os.environ, "LC_ALL": "C.UTF-8"},  # letters beyond ASCII are letters
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UnreadError(f"not done after {SECONDS} s") from None
        made = Path(folder) / "read.csv"
        if done.returncode or not made.is_file():
            said = (done.stderr.strip() or "no reason given").split("\n")[-1]
            raise UnreadError(f"R does not read it: {said}")
        frame = pd.read_csv(made, dtype=str, keep_default_na=False, encoding="utf-8")
    return _with_names(frame, head)


def _separator(path: Path, settings: Mapping[str, Any]) -> str:
    return str(settings.get("sep") or _SEPARATORS.get(ending_of(path), ","))


def _encoding(settings: Mapping[str, Any]) -> str:
    encoding = str(settings["encoding"])
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _commented(path: Path, settings: Mapping[str, Any], comment: str) -> list[int]:
    """Lines above the header, and those that begin with the mark of a comment."""
    with (gzip.open if path.name.endswith(".gz") else open)(
        path, "rt", encoding=_encoding(settings)
    ) as lines:
        return [
            at for at, text in enumerate(lines) if at < settings["header"] - 1 or text.startswith(comment)
        ]


def _with_names(frame: pd.DataFrame, head: int) -> pd.DataFrame:
    """Cells without the line of names, under these; rows that hold nothing left out."""
    cells = pd.DataFrame({at: frame[name].str.strip() for at, name in enumerate(frame.columns)})
    names = list(cells.iloc[0]) if head else [""] * cells.shape[1]
    body = cells.iloc[1 if head else 0 :]
    body = body[(body != "").any(axis=1)].reset_index(drop=True)
    named = [unicodedata.normalize("NFC", name) or f"column{at}" for at, name in enumerate(names, start=1)]
    return body.set_axis(named, axis=1)


def as_prepared(
    cells: pd.DataFrame,
    frame: pd.DataFrame,
    rows: pd.DataFrame,
    types: Mapping[str, str],
    settings: Mapping[str, Any],
) -> tuple[pd.DataFrame, list[str], str]:
    """The prepared data with the columns of the file as another reader found them.

    Args:
        cells: The cells of the file.
        frame: The prepared data.
        rows: The ledger: row of the file, kept or dropped.
        types: Types of the prepared columns.
        settings: The study's `data`.

    Returns:
        The data; the columns that were read; why they cannot be compared, if they cannot.
    """
    if len(rows) != len(cells):
        return frame, [], f"{len(cells):,} rows, the run read {len(rows):,}"
    kept = cells.iloc[np.flatnonzero(rows["status"].to_numpy() == "kept")]
    if len(kept) != len(frame):
        return frame, [], f"{len(kept):,} rows are kept by the ledger, {len(frame):,} are in {DATA}"
    derived = settings.get("derive") or {}
    read = [
        name
        for name in frame.columns
        if name in cells.columns and name not in derived and types.get(name) in ("number", "factor")
    ]
    anew = {
        name: (_numbers if types[name] == "number" else _labels)(kept[name].tolist(), frame[name], settings)
        for name in read
    }
    return frame.assign(**anew), read, ""


def _numbers(cells: list[Any], like: pd.Series[Any], settings: Mapping[str, Any]) -> pd.Series[Any]:
    return pd.Series([_number(cell, settings) for cell in cells], index=like.index, dtype=float)


def _number(cell: Any, settings: Mapping[str, Any]) -> float:
    """The number in a cell; NaN where it holds none or a code of a missing value."""
    if not isinstance(cell, str):
        value = math.nan if cell is None or pd.isna(cell) else float(cell)
    else:
        thousands: str | None = settings.get("thousands")
        plain = cell.replace(thousands, "") if thousands else cell
        try:
            value = float(plain.replace(str(settings["decimal"]), "."))
        except ValueError:
            value = math.nan
    codes = [code for code in settings.get("na") or () if isinstance(code, int | float) or _is_number(code)]
    return math.nan if any(value == float(code) for code in codes) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _labels(cells: list[Any], like: pd.Series[Any], settings: Mapping[str, Any]) -> pd.Series[Any]:
    """Labels in the levels of the prepared column, and those that it has not."""
    missing = {str(code) for code in settings.get("na") or ()}
    missing |= {"", "NA", "NaN"} if settings.get("na_defaults", True) else {""}
    labels = [
        None if cell is None or str(cell) in missing else unicodedata.normalize("NFC", str(cell))
        for cell in cells
    ]
    known = (
        [str(level) for level in like.cat.categories] if isinstance(like.dtype, pd.CategoricalDtype) else []
    )
    levels = [*known, *dict.fromkeys(label for label in labels if label is not None and label not in known)]
    return pd.Series(pd.Categorical(labels, categories=levels, ordered=False), index=like.index)


def _compared(what: str, frame: pd.DataFrame, anew: pd.DataFrame, read: list[str], why: str) -> Finding:
    if why:
        return Finding(READING, what, DIFFERS, why, DATA)
    if not read:
        found = f"not compared: {', '.join(map(str, frame.columns))}, which no other reader can make"
        return Finding(READING, what, UNCHECKED, found, DATA)
    wrong = [fault for name in read for fault in _apart(name, anew[name], frame[name])]
    size = f"{len(frame):,} rows of {', '.join(read)}"
    if not wrong:
        own = [name for name in frame.columns if name not in read]
        beside = f"; not compared: {', '.join(own)}" if own else ""
        return Finding(READING, what, HOLDS, f"{size}{beside}", DATA)
    return Finding(READING, what, DIFFERS, first_of(wrong, NAMED_VALUES, "; "), DATA)


def _apart(name: str, anew: pd.Series[Any], prepared: pd.Series[Any]) -> list[str]:
    """Where two readings of a column differ."""
    if pd.api.types.is_numeric_dtype(prepared):
        a, b = anew.to_numpy(float), prepared.to_numpy(float)
        differ = ~((np.abs(a - b) <= CLOSE * np.abs(b)) | (np.isnan(a) & np.isnan(b)))
    else:
        a, b = (np.array(side.astype(object).map(str), dtype=object) for side in (anew, prepared))
        differ = a != b
    return [
        f"{name}, row {at + 1} of those kept: {a[at]}, the run has {b[at]}" for at in np.flatnonzero(differ)
    ]
