"""What the columns of a file are taken for, and why: a proposal that its owner reads before anything runs."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmmkit.errors import DataError
from lmmkit.study.data.cell_text import are_dates, looks_like_date, moments_of, number_of, seconds_of
from lmmkit.study.data.missing_codes import DEFAULTS, marks_of
from lmmkit.study.data.raw_table import RawColumn
from lmmkit.study.data.suspects import suspected_codes
from lmmkit.study.data.typed_columns import Typed, typed
from lmmkit.study.files.schema import Column, Data, Role

#: Most distinct whole values of a predictor that may be the codes of a factor.
FEW = 10
#: Texts that mean a missing value among numbers, whatever their capitals.
_NOTHING = frozenset({
    "n/a", "na", "n.a.", "#n/a", "#na", "#nv", "nan", "-nan", "nan(ind)", "1.#qnan", "-1.#ind", "1.#ind",
    "nat", "<na>", "null", "(null)", "<null>", "\\n", "none", "nil", "missing", "unknown",
    "not available", "not applicable", "nd", "n.d.", "k.a.", "k. a.", "keine angabe", "n.v.", ".", "..",
    "-", "--", "\u2013", "\u2014", "?", "*", "x", "#div/0!", "#value!", "#ref!", "#num!", "#null!",
    "#name?",
})  # fmt: skip
_DATES = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%d"),
    *("%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d", "%Y-%m", "%Y/%m"),
    *(f"%d{mark}{month}{mark}%{year}" for month in ("%b", "%B") for mark in "-/. " for year in "Yy"),
    *("%d%b%Y", "%d%b%y", "%d. %B %Y", "%d. %b %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y"),
    *("%b %Y", "%B %Y", "%b-%y", "%b-%Y", "%Y-%b-%d", "%Y%m%d"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ":%H:%M:%S")


@dataclass
class Proposal:
    """What a column is taken for.

    Attributes:
        name: The column.
        spec: What the study says of it.
        why: What decided, as a clause.
        comment: What its owner should think about, beside the line in the study; or nothing.
        codes: Texts of the column that the study takes for missing values.
        asked: What cannot be decided by looking, in sentences.
    """

    name: str
    spec: dict[str, Any]
    why: str
    comment: str = ""
    codes: list[str] = field(default_factory=list[str])
    asked: list[str] = field(default_factory=list[str])

    def line(self) -> str:
        """What was decided and why, in a line."""
        unit = f" in {self.spec['unit']}" if self.spec.get("unit") else ""
        form = f" written {self.spec['format']}" if self.spec.get("format") else ""
        comment = f" ({self.comment})" if self.comment else ""
        return f"{self.name}: {self.spec.get('type', 'not decided')}{unit}{form}, because {self.why}{comment}"


def propose(raw: RawColumn, role: Role, data: Data, *, numbered: bool) -> Proposal:
    """What a column is taken for in its role.

    Args:
        raw: The column as the file has it.
        role: What the model uses it for.
        data: How the file's cells are written, and the codes known so far.
        numbered: Whether its cells come from the names of measured columns, which may number them from 01.
    """
    column = _read(raw, data, role=role)
    if isinstance(column, Typed):
        dates = _as_dates(raw, role, data) if _may_hold_dates(column) and role != "group" else None
        return dates or _from_typed(raw.name, column, role)
    if numbered and all(text.isdigit() for text in _texts(raw)):
        return Proposal(raw.name, {"type": "number"}, "the measured columns are numbered")
    for attempt in (_as_dates, _as_clock, _without_codes, _with_zeros):
        made = attempt(raw, role, data)
        if made is not None:
            return made
    codes, odd = _codes_among_others(raw, role, data)
    spec = {"type": "number"} if role.startswith("number") else {}
    why = "the model uses it as a number" if spec else "its cells leave it open"
    return Proposal(raw.name, spec, why, codes=codes, asked=[odd or str(column)])


def _may_hold_dates(column: Typed) -> bool:
    """Whether a column that could be typed may be one of dates all the same."""
    numbers = column.type == "number" and are_dates(column.values.to_numpy(np.float64, na_value=np.nan))
    return numbers or column.type == "factor"


def _codes_among_others(raw: RawColumn, role: Role, data: Data) -> tuple[list[str], str]:
    """Texts that can only mean a missing value, in numbers with other odd cells too; and what is left."""
    codes = _nothings(raw, data)
    if not codes or not _has_numbers(raw, data):
        return [], ""
    error = _read(raw, data, codes, role=role)
    if isinstance(error, Typed):
        return [], ""
    return codes, f"{error} ({_counted(raw, codes)} are listed under data.na)"


def _read(raw: RawColumn, data: Data, codes: Sequence[str] = (), **spec: Any) -> Typed | DataError:
    """The column as it is typed with more codes of a missing value, or why it is not."""
    try:
        more = data.model_copy(update={"na": [*data.na, *codes]})
        return typed(raw, Column.model_validate(spec), more)
    except DataError as error:
        return error


def _from_typed(name: str, column: Typed, role: Role) -> Proposal:
    kind = "number" if column.type == "yes/no" else column.type
    spec: dict[str, Any] = {"type": kind}
    if column.unit:
        spec["unit"] = column.unit
    if column.type == "yes/no":
        return Proposal(name, spec, f"{column.why}: 0 and 1")
    made = Proposal(name, spec, column.why, asked=list(column.notices))
    if kind == "number":
        values = column.values.to_numpy(np.float64, na_value=np.nan)
        made.comment = "; ".join(filter(None, (_few_values(values, role), suspected_codes(values))))
    return made


def _few_values(values: Any, role: Role) -> str:
    """The question whether whole numbers are the codes of a factor."""
    known = values[~np.isnan(values)]
    distinct = np.unique(known)
    few = 2 <= len(distinct) <= FEW and len(known) >= 3 * len(distinct)
    if role != "predictor" or not few or (distinct != np.floor(distinct)).any():
        return ""
    return f"{len(distinct)} whole values: factor?"


# What to try where the cells leave open what the column is.


def _texts(raw: RawColumn) -> Counter[str]:
    """Distinct texts of the cells without outer blanks, and how often each stands."""
    if not pa.types.is_string(raw.cells.type):
        return Counter()
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(raw.cells).to_pylist()}
    made = Counter[str]()
    for text, count in counts.items():
        if text is not None:
            made[text.strip()] += count
    return made


def _as_dates(raw: RawColumn, role: Role, data: Data) -> Proposal | None:
    """A time whose dates are written in another order, or have a time of day."""
    if not pa.types.is_string(raw.cells.type) and not pa.types.is_timestamp(raw.cells.type):
        return _as_stored_dates(raw, role, data)
    texts = [text for text in _texts(raw) if text.lower() not in _NOTHING | {""}]
    moments = pa.types.is_timestamp(raw.cells.type)
    if not moments and not (texts and all(map(_may_be_date, texts))):
        return None
    iso = moments or moments_of(texts, None).values.notna().all()
    forms: list[str | None] = [None] if iso else list(_forms(texts))
    if not forms:
        return None
    for unit in ("d", "h"):
        spec: dict[str, Any] = {"type": "time", "unit": unit} | ({"format": forms[0]} if forms[0] else {})
        if unit == "d" and (moments or moments_of(texts, forms[0]).timed):
            continue
        codes = _nothings(raw, data)
        if isinstance(_read(raw, data, codes, role=role, **spec), DataError):
            continue
        made = Proposal(raw.name, spec, f"its cells are dates{_but_for(raw, codes)}", codes=codes)
        if len(forms) > 1:
            others = " or ".join(filter(None, forms[1:]))
            made.comment = f"or {others}: every date reads both ways"
            made.asked.append(
                f"{raw.name}: {texts[0]!r} and all other dates can be read as {forms[0]} and as {others}; "
                "keep the right one under `format`"
            )
        elif unit == "h":
            made.comment = "unit: s, min, h or d"
        return made
    return None


def _as_stored_dates(raw: RawColumn, role: Role, data: Data) -> Proposal | None:
    """A time whose dates are numbers of eight digits."""
    spec = {"type": "time", "unit": "d", "format": "%Y%m%d"}
    if isinstance(_read(raw, data, role=role, **spec), DataError):
        return None
    return Proposal(raw.name, spec, "its numbers are dates such as 20240131")


def _as_clock(raw: RawColumn, role: Role, data: Data) -> Proposal | None:
    """A time from times of day or spans of time."""
    codes = _nothings(raw, data)
    texts = [text for text in _texts(raw) if text and text not in codes and not _is_code(text, data)]
    if not texts or any(seconds_of(text) is None for text in texts):
        return None
    spec = {"type": "time", "unit": "h"}
    if isinstance(_read(raw, data, codes, role=role, **spec), DataError):
        return None
    why = f"its cells are times of day or spans of time{_but_for(raw, codes)}"
    comment = f"unit: s, min, h or d; {texts[0]} is {(seconds_of(texts[0]) or 0) / 3600:.4g} h"
    return Proposal(raw.name, spec, why, comment, codes=codes)


def _nothings(raw: RawColumn, data: Data) -> list[str]:
    """Texts among the cells that can only mean a missing value, but for those that do already."""
    known = {*DEFAULTS, raw.name}
    return sorted(
        text
        for text in _texts(raw)
        if text.lower() in _NOTHING and text not in known and not _is_code(text, data)
    )


def _counted(raw: RawColumn, codes: Sequence[str]) -> str:
    counts = _texts(raw)
    return ", ".join(f"{code!r} in {counts[code]} cell{'s' * (counts[code] > 1)}" for code in codes)


def _but_for(raw: RawColumn, codes: Sequence[str]) -> str:
    return f" but for {_counted(raw, codes)}, which data.na lists" if codes else ""


def _may_be_date(text: str) -> bool:
    return looks_like_date(text) or (any(letter.isdigit() for letter in text) and len(text) >= 6)


def _forms(texts: Sequence[str]) -> Iterator[str]:
    """The forms in which every text is a date, those with two digits of a year last."""
    for date, clock in product(_DATES, _TIMES):
        form = date + clock
        # Python knows at once of a text what pandas needs a table for; it reads all that pandas reads.
        if all(_fits(text, form) for text in texts[:100]) and moments_of(texts, form).values.notna().all():
            yield form


def _fits(text: str, form: str) -> bool:
    try:
        time.strptime(text, form)
    except ValueError:
        return False
    return True


def _without_codes(raw: RawColumn, role: Role, data: Data) -> Proposal | None:
    """Numbers or labels, once texts that can only mean a missing value are taken for one."""
    codes = _nothings(raw, data)
    if not codes or not _has_numbers(raw, data):
        return None
    column = _read(raw, data, codes, role=role)
    if isinstance(column, DataError):
        return None
    made = _from_typed(raw.name, column, role)
    made.why += _but_for(raw, codes)
    made.codes = codes
    return made


def _is_code(text: str, data: Data) -> bool:
    return text in map(str, data.na)


def _has_numbers(raw: RawColumn, data: Data) -> bool:
    return any(number_of(text, marks_of(data)) is not None for text in _texts(raw))


def _with_zeros(raw: RawColumn, role: Role, data: Data) -> Proposal | None:
    """A factor, where numbers begin with zeros as codes do."""
    zeros = any(len(text) > 1 and text[0] == "0" and text.isdigit() for text in _texts(raw))
    if role.startswith("number") or not zeros:
        return None
    if isinstance(_read(raw, data, role=role, type="factor"), DataError):
        return None
    return Proposal(raw.name, {"type": "factor"}, "its numbers begin with zeros, as codes do")
