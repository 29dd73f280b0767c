"""What looks like a code of a missing value or like a row of totals: noticed, never dropped."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmkit.study.data.cell_text import trimmed
from lmmkit.study.data.raw_table import RawTable

#: Numbers by which a missing value is often coded: 9, 99, 98, 97, 8, 88, 7, 77, ..., and their negatives.
_CODES = frozenset(
    sign * (int("9" * digits) - less if less < 3 else int(str(less) * digits))
    for digits in range(1, 6)
    for less in (0, 1, 2, 7, 8)
    for sign in (1, -1)
) | {-1}
_MOST = 3
_TOTALS = re.compile(
    r"(?:(?:grand|sub)[ "
    r"-]?)?totals?:?|all|overall|sum:?|summe:?|gesamt:?|insgesamt:?|mean:?|average:?|mittelwert:?"
    r"|somme:?|moyenne:?|suma:?|media:?|\u03a3",
    re.IGNORECASE,
)
_LAST_ROWS = 8


def suspected_totals(raw: RawTable, times: int) -> Iterator[tuple[int, str]]:
    """Last rows that seem to sum up the others: the place of each, and a sentence.

    Args:
        raw: The table.
        times: Rows that each row of the file gave.
    """
    for name, column in raw.columns.items():
        tail = column.cells[-_LAST_ROWS * times :].to_pylist()
        found = next((i for i, cell in enumerate(tail) if _says_total(cell)), None)
        if found is None or raw.rows == times:
            continue
        says = pc.equal(trimmed(column.cells.cast(pa.string())), tail[found].strip())
        if pc.sum(says).as_py() != times:  # a label of several rows is none of totals
            continue
        at, word = raw.rows - len(tail) + found, tail[found].strip()
        quoted = name if re.fullmatch(r"[^\W\d][\w.]*", name) else f"`{name}`"
        yield (
            at,
            f"row {at // times + 1}, near the end, says {word!r} in {name}: if it sums up others, take it "
            "out of "
            f"the file, or write exclude: [\"{quoted} == '{word}'\"]",
        )


def _says_total(cell: object) -> bool:
    return isinstance(cell, str) and _TOTALS.fullmatch(cell.strip()) is not None


def suspected_codes(values: NDArray[np.float64]) -> str:
    """A sentence about values of a column that may mean that there is none, or nothing.

    Such a value is a number by which missing values are often coded, and stands far off: beyond all others by
    twice their widest gap, or by half their extent, and more than once; or once, beyond twice their extent.

    >>> suspected_codes(np.array([31.0, 44, 52, 27, 999, 999]))
    '999 (2 cells) stands far off: if it means a missing value, list it under data.na'
    """
    known = values[~np.isnan(values)]
    if not len(known) or not _CODES & {float(known.min()), float(known.max())}:
        return ""  # a value that stands far off stands at an end
    distinct, counts = np.unique(known, return_counts=True)
    far = _far_off(distinct)
    rest = distinct[~np.isin(distinct, far)]
    found = [
        f"{value:g} ({count:,} cell{'s' * (count > 1)})"
        for value in far
        if (count := int(counts[distinct == value][0])) > 1 or _gap(value, rest) > 2 * (rest[-1] - rest[0])
    ]
    if not found:
        return ""
    one = len(found) == 1
    stands, means, it = ("stands", "it means", "it") if one else ("stand", "they mean", "them")
    return f"{' and '.join(found)} {stands} far off: if {means} a missing value, list {it} under data.na"


def _far_off(distinct: NDArray[np.float64]) -> list[float]:
    """The codes among the least and the largest values that stand far from all that are not."""
    ends = dict.fromkeys([*distinct[:_MOST].tolist(), *distinct[-_MOST:].tolist()])
    codes = [value for value in ends if value in _CODES]
    while codes:
        rest = distinct[~np.isin(distinct, codes)]
        near = [value for value in codes if not _is_far(value, rest)]
        if not near:
            break
        codes = [value for value in codes if value not in near]
    return codes


def _is_far(value: float, rest: NDArray[np.float64]) -> bool:
    if len(rest) < 2:
        return False
    gap = _gap(value, rest)
    wide = len(rest) > 2 and gap > 0.5 * float(rest[-1] - rest[0])
    return wide or gap >= 2.0 * float(np.diff(rest).max())


def _gap(value: float, rest: NDArray[np.float64]) -> float:
    """How far a value stands beyond all others."""
    return max(float(rest[0]) - value, value - float(rest[-1]))
