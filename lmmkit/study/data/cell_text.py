"""How numbers, dates and truth values are spelled in text: what is read, and what only looks like it."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import datetime
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: Words of truth in text.
TRUTH = {word: value for value, words in ((True, "true"), (False, "false"))
         for word in (words, words.upper(), words.title())}  # fmt: skip
_BLANKS = "[ \u00a0\u2009\u202f]"


@dataclass(frozen=True)
class Marks:
    """The marks with which numbers are written.

    Attributes:
        decimal: `.` or `,`.
        thousands: The mark between groups of three digits, or None.
    """

    decimal: str = "."
    thousands: str | None = None

    @cached_property
    def pattern(self) -> str:
        """What a number matches, for RE2 and Python alike."""
        whole = "[0-9]+"
        if self.thousands:
            whole = f"(?:[0-9]{{1,3}}(?:{self.group}[0-9]{{3}})+|[0-9]+)"
        point = re.escape(self.decimal)
        return f"^[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?$"

    @property
    def group(self) -> str:
        """What stands between groups of three digits."""
        if self.thousands == " ":
            return _BLANKS
        return "['\u2019]" if self.thousands == "'" else re.escape(str(self.thousands))

    def plain(self, text: Any) -> Any:
        """An Arrow array of numbers as Arrow casts them."""
        if self.thousands:
            text = pc.replace_substring_regex(text, self.group, "")
        return text if self.decimal == "." else pc.replace_substring(text, self.decimal, ".")


def trimmed(text: Any) -> Any:
    """An Arrow array of text without outer blanks."""
    return pc.utf8_trim_whitespace(text)


def all_numbers(text: Any, marks: Marks) -> NDArray[Any] | None:
    """(n,) the numbers that an Arrow array of text spells, NaN where null; None if a cell spells none.

    Whole numbers without gaps come as int64.

    >>> all_numbers(pa.array(["1,5", None]), Marks(",")).tolist()
    [1.5, nan]
    """
    if marks != Marks():
        if not pc.all(pc.match_substring_regex(text, marks.pattern), min_count=0).as_py():
            return None
        text = marks.plain(text)
    try:
        values = pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        return None
    numbers = _as_numpy(values)
    # Arrow reads inf and nan; beyond the range a number is infinite too. A finite sum has none of them.
    odd = text.null_count or not math.isfinite(numbers.sum())
    if odd and (np.isinf(numbers).any() or int(np.isnan(numbers).sum()) != text.null_count):
        return None
    if text.null_count or any((np.floor(part) != part).any() for part in (numbers[:100], numbers)):
        return numbers
    try:
        return _as_numpy(pc.cast(text, pa.int64()))
    except pa.ArrowInvalid:
        return numbers


def which_numbers(text: Any, marks: Marks) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Where an Arrow array of text spells finite numbers, and the numbers, NaN elsewhere."""
    good = pc.fill_null(pc.match_substring_regex(text, marks.pattern), False)
    spelled = pc.if_else(good, text, None)
    values = _as_numpy(pc.cast(marks.plain(spelled), pa.float64()))
    return _as_numpy(good) & np.isfinite(values), np.where(np.isfinite(values), values, np.nan)


def number_of(text: str, marks: Marks) -> float | None:
    """The number that a text spells, or None.

    >>> number_of("1.234,5", Marks(",", ".")), number_of("1_000", Marks())
    (1234.5, None)
    """
    plain = text.strip()
    if not re.match(marks.pattern, plain):
        return None
    if marks.thousands:
        plain = re.sub(marks.group, "", plain)
    value = float(plain.replace(marks.decimal, "."))
    return value if math.isfinite(value) else None


def _as_numpy(array: Any) -> NDArray[Any]:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array.to_numpy(zero_copy_only=False)


_CURRENCY = re.compile(r"^[+-]?(?:[A-Z]{3} ?)?|(?: ?(?:[A-Z]{3}|%|\u2030))?$")
_LOOSE = re.compile(r"[+-]?(?:[0-9][0-9.,'_ ]*|[.,][0-9]+)(?:[eEdD][+-]?[0-9]+)?|0[xXoObB][0-9a-fA-F]+")
_SPECIAL = re.compile(r"[+-]?(?:inf|infinity|nan)|1\.#(?:inf|qnan|ind)", re.IGNORECASE)


def looks_like_number(text: str) -> bool:
    """Whether a text that is not read as a number may be meant as one.

    Other digits, grouping marks, another decimal mark, currency, per cent, inf.

    >>> [looks_like_number(text) for text in ("1,234.5", "12 %", "0x10", "3*", "n/a", "\uff14")]
    [True, True, True, False, False, True]
    """
    plain = "".join(_plain_letter(letter) for letter in text).strip()
    plain = plain.replace("\u2212", "-")
    return any(
        pattern.fullmatch(form)
        for form in (plain, _CURRENCY.sub("", plain))
        for pattern in (_LOOSE, _SPECIAL)
    )


def _plain_letter(letter: str) -> str:
    if letter.isascii():
        return letter
    kind = unicodedata.category(letter)
    if kind == "Nd":
        return str(unicodedata.digit(letter))
    if letter in "\u066b\uff0e\uff0c":  # the Arabic decimal mark, full-width marks
        return "."
    if letter in "\u066c\u2019":
        return "'"
    return "" if kind in ("Sc", "Cf") else " " if kind == "Zs" else "%" if letter == "\u2030" else letter


def number_hint(texts: Sequence[str], marks: Marks) -> str:
    """What to write in the study so that numbers spelled otherwise are read, or nothing.

    >>> number_hint(["1.234,5"], Marks())
    "if the decimal mark is a comma, say data.decimal: ',' (and data.thousands: '.')"
    """
    for text in texts:
        if re.fullmatch(r"[+-]?[0-9]{1,3}(?:\.[0-9]{3})*,[0-9]+", text) and marks.decimal == ".":
            both = " (and data.thousands: '.')" if "." in text else ""
            if re.fullmatch(r"[+-]?[0-9]{1,3},[0-9]{3}", text):
                return (
                    "if the comma groups thousands, say data.thousands: ','; if it is the decimal mark, "
                    "data.decimal: ','"
                )
            return f"if the decimal mark is a comma, say data.decimal: ','{both}"
        for mark, name in ((",", "','"), (".", "'.'"), ("'", '"\'"'), (" ", "' '")):
            other = Marks(marks.decimal, mark) if mark not in (marks.decimal, marks.thousands) else None
            if other and re.match(other.pattern, text):
                return f"if {name} groups thousands, say data.thousands: {name}"
        others = [letter for letter in text if not letter.isascii() and unicodedata.category(letter) == "Nd"]
        if others:
            kind = unicodedata.name(others[0], "other digit").partition(" DIGIT")[0].lower()
            return f"{text!r} is written in {kind} digits: write 0 to 9"
        if "%" in text or any(unicodedata.category(letter) == "Sc" for letter in text):
            return "write the number alone, its unit under `unit`"
        if re.search("inf|nan", text, re.IGNORECASE):
            return "finite numbers are expected"
    return ""


_ISO = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-?W[0-9]{2}(?:-?[1-7])?)"
    r"(?P<time>[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r"(?P<zone> ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?))?)?"
)
_DATE = re.compile(r"[0-9]{1,4}([./-])(?:[0-9]{1,2}|[A-Za-z]{3,9})\1[0-9]{1,4}(?:[T ,].*)?")


def is_date(text: str) -> bool:
    """Whether a text is a date, or a date and time, of ISO 8601.

    >>> [is_date(text) for text in ("2024-01-31", "2024-01-31T12:30+02:00", "2024-W05-3", "31/01/2024")]
    [True, True, True, False]
    """
    return _ISO.fullmatch(text) is not None


def looks_like_date(text: str) -> bool:
    """Whether a text may be a date in another order or with other marks: 31/01/2024, 31.1.24."""
    return _DATE.fullmatch(text) is not None


@dataclass(frozen=True)
class SpelledDates:
    """Dates read from distinct texts.

    Attributes:
        values: (k,) moments, NaT where a text is none; in UTC where they have an offset.
        timed: Whether one has a time of day other than midnight.
        zones: Whether each has an offset from UTC: all, none or some.
    """

    values: pd.DatetimeIndex
    timed: bool
    zones: str


def moments_of(texts: Sequence[str], form: str | None) -> SpelledDates:
    """The moments that distinct texts spell, in ISO 8601 or in a form of strftime."""
    if form is not None:
        aware = "%z" in form
        values = pd.to_datetime(_column(texts), format=form, errors="coerce", utc=aware)
        return _moments(values, "all" if aware else "none")
    found = [_ISO.fullmatch(text) for text in texts]
    zones = {bool(match["zone"]) for match in found if match}
    plain = [_plain_date(match) if match else None for match in found]
    values = pd.to_datetime(_column(plain), format="ISO8601", errors="coerce", utc=True)
    return _moments(values, "some" if len(zones) > 1 else "all" if zones == {True} else "none")


def _column(texts: Sequence[str | None]) -> pd.Index[Any]:
    return pd.Index(np.array(texts, object))


def _moments(values: pd.DatetimeIndex, zones: str) -> SpelledDates:
    known = values[values.notna()]
    return SpelledDates(values, bool((known != known.normalize()).any()), zones)


def _plain_date(match: re.Match[str]) -> str | None:
    """A date of ISO 8601 as pandas reads it; a week's date as that of its day, Monday where none is named."""
    date, rest = match["date"], (match["time"] or "").replace(",", ".")
    if "W" in date:
        week = re.sub("-", "", date)
        try:
            date = datetime.date.fromisocalendar(
                int(week[:4]), int(week[5:7]), int(week[7:] or 1)
            ).isoformat()
        except ValueError:
            return None
    return f"{date}{rest}"
