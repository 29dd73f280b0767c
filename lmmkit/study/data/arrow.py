"""Text files and numbers in text, read by Arrow: strict about ragged rows, exact about digits."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
from numpy.typing import NDArray

Numbers = NDArray[np.float64] | NDArray[np.int64]

#: What Arrow raises on a file or a text that it cannot read.
ArrowError: type[Exception] = pa.ArrowException


def read_text(path: Path, separator: str, encoding: str, missing: list[str]) -> pd.DataFrame:
    """Every column of a separated text file as text; a compressed file is read through.

    Raises:
        ArrowError: it is empty or ragged, or not in the encoding.
    """
    options = pcsv.ReadOptions(use_threads=False, encoding=encoding)
    parse = pcsv.ParseOptions(delimiter=separator, newlines_in_values=True)
    with pa.input_stream(str(path)) as stream:
        names: list[str] = pcsv.open_csv(stream, options, parse).schema.names
    types = dict.fromkeys(names, pa.string())
    convert = pcsv.ConvertOptions(column_types=types, null_values=missing, strings_can_be_null=True)
    return pcsv.read_csv(str(path), options, parse, convert).to_pandas()


def numbers(text: pd.Series[Any], decimal: str) -> Numbers | None:
    """The numbers that a column of text spells, missing ones as NaN; None when one spells none.

    >>> numbers(pd.Series(["1,5", None]), ",").tolist()
    [1.5, nan]
    """
    plain = pc.utf8_trim_whitespace(pa.array(text, type=pa.string(), from_pandas=True))
    if decimal != ".":
        plain = pc.replace_substring(plain, decimal, ".")
    values = _cast(plain)
    if values is None:
        values = _cast(pc.replace_substring_regex(plain, r"^\+", ""))
    return None if values is None else values.to_numpy(zero_copy_only=False)


def _cast(text: Any) -> Any:
    """Whole numbers where all are and none is missing, else floating ones, else None."""
    for kind in (pa.float64(),) if text.null_count else (pa.int64(), pa.float64()):
        try:
            return pc.cast(text, kind)
        except pa.ArrowInvalid:
            continue
    return None
