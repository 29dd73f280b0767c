"""From a data source to the raw table: finding the file, its digest, its format."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pcsv

from lmmkit.errors import DataError, did_you_mean
from lmmkit.study.files.schema import Data
from lmmkit.study.files.shipped import data_sets

#: What lets a notebook run by hand read data outside the folder of its study file.
ALLOW_OUTSIDE = "LMMKIT_ALLOW_OUTSIDE"
#: The folder that data may be read from instead of the study file's: of a study that is laid out anew.
ROOT = "LMMKIT_DATA_ROOT"
Reader = Callable[[Path, Data], pd.DataFrame]


@dataclass(frozen=True)
class Base:
    """Where a study's data may be read from.

    Attributes:
        folder: The folder of the study file.
        allow_outside: Whether files outside it may be read.
        root: The folder that they must lie in, where it is not that one.
    """

    folder: Path
    allow_outside: bool = False
    root: Path | None = None


def find_source(source: str, base: Base) -> Path:
    """The file that `data.source` names: relative to the study file, else a shipped data set.

    Raises:
        DataError: there is no such file, or it lies outside the study's folder.
    """
    path = base.folder / source
    if not path.exists() and source in data_sets():
        return data_sets()[source]
    inside = path.resolve().is_relative_to((base.root or base.folder).resolve())
    if not (inside or base.allow_outside):
        raise DataError(
            f"data.source {source} lies outside the folder of the study file; move it there, or give "
            f"--allow-outside (in a notebook: {ALLOW_OUTSIDE}=1) if you trust the study"
        )
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        near = did_you_mean(source, list(data_sets()))
        raise DataError(
            f"data.source {source} {found}; expected a file beside the study file or a data set's name{near}"
        )
    return path


def sha256_of(path: Path) -> str:
    """The digest of a file's bytes, 64 hexadecimal digits.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror}") from None


def check_pin(path: Path, digest: str, pinned: str | None) -> None:
    """Refuse a file whose digest is not the pinned one.

    Raises:
        DataError: the digests differ.
    """
    if pinned is not None and pinned != digest:
        raise DataError(
            f"{path.name} has the sha256 {digest}, the study pins {pinned}: the data have changed. "
            "Restore the file, or change data.sha256 if the new data are meant"
        )


def read_raw(path: Path, data: Data) -> pd.DataFrame:
    """The table as the file has it: text formats as text, the others with their own types.

    Raises:
        DataError: unknown format, damaged file, no rows, or columns without a name of their own.
    """
    reader = _READERS.get(_ending(path))
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise DataError(f"{path.name}: no reader for this ending; known: {known} (text also with .gz)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = reader(path, data)
    except (pa.ArrowException, OSError, ValueError, LookupError, ImportError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        latin = "UTF8" in reason or "codec can't decode" in reason
        hint = "; if the file is not in UTF-8, say so: data.encoding: latin-1" if latin else ""
        raise DataError(f"{path.name} cannot be read: {reason}{hint}") from None
    return _named(frame, path)


def _ending(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]


def _text(path: Path, data: Data, separator: str) -> pd.DataFrame:
    """Every column of a text file as text; Arrow is strict about ragged rows, and reads .gz files through."""
    options = pcsv.ReadOptions(use_threads=False, encoding=data.encoding)
    parse = pcsv.ParseOptions(delimiter=data.sep or separator, newlines_in_values=True)
    with pa.input_stream(str(path)) as stream:
        names: list[str] = pcsv.open_csv(stream, options, parse).schema.names
    types = dict.fromkeys(names, pa.string())
    convert = pcsv.ConvertOptions(column_types=types, null_values=_codes(data), strings_can_be_null=True)
    return pcsv.read_csv(str(path), options, parse, convert).to_pandas()


def _codes(data: Data) -> list[str]:
    return [*(("", "NA", "NaN") if data.na_defaults else ()), *map(str, data.na)]


def _excel(path: Path, data: Data) -> pd.DataFrame:
    return pd.read_excel(
        path, sheet_name=data.sheet or 0, dtype=object, keep_default_na=False, na_values=_codes(data)
    )


def _sas(path: Path, data: Data) -> pd.DataFrame:
    return pd.read_sas(path, format="xport" if _ending(path) == "xpt" else "sas7bdat", encoding=data.encoding)


_READERS: dict[str, Reader] = {
    "csv": partial(_text, separator=","),
    "txt": partial(_text, separator="\t"),
    "tsv": partial(_text, separator="\t"),
    "parquet": lambda path, _: pd.read_parquet(path),
    "xlsx": _excel,
    "dta": lambda path, _: pd.read_stata(path),
    "sas7bdat": _sas,
    "xpt": _sas,
}


def _named(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The frame with every column named, once, and rows counted from 0."""
    names = [str(name) if str(name) else f"column{i + 1}" for i, name in enumerate(frame.columns)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path.name} has two columns called {', '.join(twice)}; rename one")
    if not len(frame):
        raise DataError(f"{path.name} has no rows; expected a header and at least one row of data")
    return frame.set_axis(names, axis=1).reset_index(drop=True)
