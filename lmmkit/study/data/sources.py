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

import pyarrow as pa

from lmmkit.errors import DataError, did_you_mean
from lmmkit.study.data.raw_table import RawTable, no_rows
from lmmkit.study.data.sheet_file import read_sheet
from lmmkit.study.data.text_file import read_text
from lmmkit.study.data.typed_files import read_parquet, read_sas, read_stata
from lmmkit.study.files.schema import Data
from lmmkit.study.files.shipped import data_sets

#: What lets a notebook run by hand read data outside the folder of its study file.
ALLOW_OUTSIDE = "LMMKIT_ALLOW_OUTSIDE"
#: The folder that data may be read from instead of the study file's: of a study that is laid out anew.
ROOT = "LMMKIT_DATA_ROOT"
Reader = Callable[[Path, Data], RawTable]


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
    try:
        if not path.exists() and source in data_sets():
            return data_sets()[source]
        inside = path.resolve().is_relative_to((base.root or base.folder).resolve())
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", error)
        raise DataError(f"data.source {source[:60]} cannot be the name of a file: {reason}") from None
    if not (inside or base.allow_outside):
        raise DataError(
            f"data.source {source} lies outside the folder of the study file; move it there, or give "
            f"--allow-outside (in a notebook: {ALLOW_OUTSIDE}=1) if you trust the study"
        )
    if not path.is_file():
        found = (
            "is a folder" if path.is_dir() else "is a device or a pipe" if path.exists() else "does not exist"
        )
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


def read_raw(path: Path, data: Data) -> RawTable:
    """The table as the file has it: text formats as text, the others with their own types.

    Raises:
        DataError: unknown format, damaged file, beyond the limits, no rows, or columns without a name of
            their own.
    """
    check_kind(path)
    _refuse_foreign_settings(path, data)
    reader = _READERS[ending_of(path)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = reader(path, data)
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        LookupError,
        ImportError,
        EOFError,
        OverflowError,
    ) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise DataError(f"{path.name} cannot be read: {reason}") from None
    if not table.rows:
        raise no_rows(path.name)
    return table


def check_kind(path: Path) -> None:
    """Refuse a file that no reader is for, by its ending or by its first bytes, with what to do.

    Raises:
        DataError: it is of another kind, or of another one than its ending says.
    """
    ending = ending_of(path)
    if ending not in _READERS:
        what = next(
            (what for endings, what in _OTHERS.items() if ending in endings.split()),
            "has an ending that no reader is for; if it is text, call it .csv",
        )
        known = ", ".join(sorted(_READERS))
        raise DataError(f"{path.name} {what}. Read are: {known} (text also with .gz)")
    with path.open("rb") as stream:
        found = stream.read(8)
    kind = next((ends for begin, ends in _BEGINNINGS.items() if found.startswith(begin)), None)
    if kind is not None and ending not in kind[1] and not path.name.lower().endswith(".gz"):
        raise DataError(f"{path.name} is {kind[0]} by its first bytes, not what its ending says; {kind[2]}")


def _refuse_foreign_settings(path: Path, data: Data) -> None:
    """Refuse settings of the reading that a file of this kind has no use for: they would change nothing."""
    ending = ending_of(path)
    own = "text" if ending in _TEXT else "workbook" if ending in _BOOKS else "typed"
    for key, kinds in _SETTINGS.items():
        if own not in kinds and getattr(data, key) != Data.model_fields[key].default:
            what = " or a ".join(_KINDS[kind] for kind in kinds)
            raise DataError(f"data.{key} is about a {what}, and {path.name} is none; leave it out")


def ending_of(path: Path) -> str:
    """The ending of a file's name in small letters, one for packing set aside."""
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]


_SAVE = "save it as .xlsx or .csv"
#: What files of other endings are, and what to do.
_OTHERS = {
    "sav zsav por": "is a file of SPSS: save it there as Stata's .dta or as .csv",
    "xls xlsb xlt": f"is a workbook in an older or binary form of Excel: {_SAVE}",
    "ods fods numbers": f"is a workbook of another program: {_SAVE}",
    "rds rda rdata": "is a file of R: write it there as .csv (write.csv) or as .parquet",
    "feather arrow ipc orc avro": "is no Parquet file: write it as .parquet",
    "json jsonl ndjson xml html htm": "is no table of cells: write it as .csv",
    "zip 7z bz2 xz zst tar rar": "is packed: unpack it, or pack text with gzip",
    "db sqlite sqlite3 duckdb mdb accdb": "is a database: export its table as .csv",
    "pkl pickle npy npz mat h5 hdf5": "is a program's own store: write the table as .csv or .parquet",
}
#: What files begin with: what they are, which endings they may have, what to do.
_BEGINNINGS = {
    b"PK\x03\x04": (
        "a workbook or a ZIP archive",
        ("xlsx", "xlsm"),
        "call a workbook .xlsx, unpack an archive",
    ),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook of before 2007, or one with a password", (), _SAVE),
    b"PAR1": ("a Parquet file", ("parquet",), "call it .parquet"),
    b"\x1f\x8b": ("packed by gzip", (), "add .gz to its name"),
    b"%PDF": ("a PDF", (), "export its table as .csv"),
    b"$FL2": ("a file of SPSS", (), "save it there as Stata's .dta or as .csv"),
    b"ARROW1": ("a Feather file", (), "write it as .parquet"),
    b"SQLite f": ("a database of SQLite", (), "export its table as .csv"),
}

_TEXT, _BOOKS = ("csv", "txt", "tsv"), ("xlsx", "xlsm")
_KINDS = {"text": "text file", "workbook": "workbook"}
#: Settings of the reading that some kinds of files alone have a use for.
_SETTINGS = {
    "sep": ("text",),
    "encoding": ("text",),
    "comment": ("text",),
    "multiline": ("text",),
    "sheet": ("workbook",),
    "header": ("text", "workbook"),
}
_READERS: dict[str, Reader] = {
    "csv": partial(read_text, separator=","),
    "txt": partial(read_text, separator="\t"),
    "tsv": partial(read_text, separator="\t"),
    "parquet": read_parquet,
    "xlsx": read_sheet,
    "xlsm": read_sheet,
    "dta": read_stata,
    "sas7bdat": read_sas,
    "xpt": read_sas,
}
