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
    numbers = as_numpy(values)
    # Arrow reads inf and nan; beyond the range a number is infinite too. A finite sum has none of them.
    odd = text.null_count or not math.isfinite(numbers.sum())
    if odd and (np.isinf(numbers).any() or int(np.isnan(numbers).sum()) != text.null_count):
        return None
    if text.null_count or any((np.floor(part) != part).any() for part in (numbers[:100], numbers)):
        return numbers
    try:
        return as_numpy(pc.cast(text, pa.int64()))
    except pa.ArrowInvalid:
        return numbers


def which_numbers(text: Any, marks: Marks) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Where an Arrow array of text spells finite numbers, and the numbers, NaN elsewhere."""
    good = pc.fill_null(pc.match_substring_regex(text, marks.pattern), False)
    spelled = pc.if_else(good, text, None)
    values = as_numpy(pc.cast(marks.plain(spelled), pa.float64()))
    return as_numpy(good) & np.isfinite(values), np.where(np.isfinite(values), values, np.nan)


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


def as_numpy(array: Any) -> NDArray[Any]:
    """An Arrow array, chunked or not, as numpy has it."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array.to_numpy(zero_copy_only=False)


_CURRENCY = re.compile(r"^[+-]?(?:[A-Z]{2,3} ?)?|(?: ?(?:[A-Z]{3}|%|\u2030))?$")
_BOUND = re.compile(r"(?:[<>]=?|[\u2264\u2265\u2248~\u00b1]) ?(?=[0-9.,+-])")
_IN_BRACKETS = re.compile(r"\((.*)\)")
_WITH_UNIT = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?(\D.*)")
_LOOSE = re.compile(r"[+-]?(?:[0-9][0-9.,'_ ]*|[.,][0-9]+)(?:[eEdD][+-]?[0-9]+)?|0[xXoObB][0-9a-fA-F]+")
_MONEY = re.compile(r"%|\u2030|^[A-Z]{2,3} ?[0-9+-]|[0-9] ?[A-Z]{3}$")
_SPECIAL = re.compile(r"[+-]?(?:inf|infinity|nan)|1\.#(?:inf|qnan|ind)", re.IGNORECASE)


def looks_like_number(text: str) -> bool:
    """Whether a text that is not read as a number may be meant as one.

    Other digits, grouping marks, another decimal mark, currency, per cent, brackets for a minus, inf.

    >>> [looks_like_number(text) for text in ("1,234.5", "$12", "(12)", "12 %", "0x10", "3*", "\uff14")]
    [True, True, True, True, True, False, True]
    """
    plain = "".join(_plain_letter(letter) for letter in text).strip()
    plain = _IN_BRACKETS.sub(r"\1", plain.replace("\u2212", "-"))
    return any(
        pattern.fullmatch(form)
        for form in (plain, _CURRENCY.sub("", plain))
        for pattern in (_LOOSE, _SPECIAL)
    )


def looks_like_bound(text: str) -> bool:
    """Whether a text is a number with a mark that it is less, more or about as much: <0.5, >= 12, ~3.

    >>> [looks_like_bound(text) for text in ("<0.5", ">= 12", "< low", "0.5")]
    [True, True, False, False]
    """
    found = _BOUND.match(text)
    return found is not None and looks_like_number(text[found.end() :])


def common_unit(texts: Sequence[str]) -> str:
    """What follows the number in every one of three or more texts: ` mg` of 5 mg, 10 mg, 20 mg; else nothing.

    >>> common_unit(["5 mg", "10 mg", "2.5 mg"]), common_unit(["18-25", "26-35", "36-45"])
    (' mg', '')
    """
    found = [_WITH_UNIT.fullmatch(text) for text in texts]
    units = {match[1] if match else "" for match in found}
    return units.pop() if len(texts) > 2 and len(units) == 1 else ""


def _plain_letter(letter: str) -> str:
    if letter.isascii():
        return "" if letter == "$" else letter
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
        if "\u2212" in text:
            return f"{text!r} begins with a minus sign that is no hyphen: write -"
        if _IN_BRACKETS.fullmatch(text):
            return "write a number below zero with a minus, not in brackets"
        if re.fullmatch(r"[+-]?[0-9.]+[dD][+-]?[0-9]+", text):
            return "write the exponent with an e, not a D"
        if _MONEY.search(text) or any(unicodedata.category(letter) == "Sc" for letter in text):
            return "write the number alone, its unit under `unit`"
        if re.search("inf|nan", text, re.IGNORECASE):
            return "finite numbers are expected"
    return ""


_ISO = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-?W[0-9]{2}(?:-?[1-7])?)"
    r"(?P<time>[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r"(?P<zone> ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?))?)?"
)
#: Months in English, German, French and Spanish, whole and short.
_MONTHS = (
    "january february march april may june july august september october november december jan feb mar"
    " apr jun jul aug sep sept oct nov dec januar februar m\u00e4rz mai juni juli oktober dezember "
    "m\u00e4r okt dez"
    " janvier f\u00e9vrier mars avril juin juillet ao\u00fbt septembre octobre novembre d\u00e9cembre "
    "f\u00e9v avr juil"
    " d\u00e9c enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre "
    "ene abr ago dic"
)
_MONTH = f"(?:{'|'.join(sorted(_MONTHS.split(), key=len, reverse=True))})\\.?"
_DATE = re.compile(
    r"[0-9]{1,4}([./-])(?:[0-9]{1,2}|[A-Za-z]{3,9})\1[0-9]{1,4}(?:[T ,:].*)?"
    r"|(?:19|20)[0-9]{2}[-/](?:0[1-9]|1[0-2])"
    rf"|(?:[0-9]{{1,2}}\.?[ -]?)?{_MONTH}[ -]?(?:[0-9]{{1,2}},? "
    rf"?)?['\u2019]?(?:[0-9]{{4}}|[0-9]{{2}})(?:[T ,:].*)?"
    rf"|[0-9]{{4}}[ -]?{_MONTH}[ -]?[0-9]{{1,2}}",
    re.IGNORECASE,
)
_CLOCK = re.compile(
    r"(?P<minus>-?)(?:(?P<d>[0-9]+) days?,? [+]?)?(?P<h>[0-9]{1,3}):(?P<m>[0-5][0-9])"
    r"(?::(?P<s>[0-5][0-9](?:[.,][0-9]{1,9})?))?(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_SPAN = re.compile(
    r"(?P<minus>-?)P(?=[0-9T])(?:(?P<w>[0-9]+)W)?(?:(?P<d>[0-9]+)D)?"
    r"(?:T(?=[0-9])(?:(?P<h>[0-9]+)H)?(?:(?P<m>[0-9]+)M)?(?:(?P<s>[0-9]+(?:[.,][0-9]+)?)S)?)?"
)
#: What a form of strftime must have to tell days apart.
_DAYS = re.compile("%[aAbBcdDjmUuVwWxyYG]")


def is_date(text: str) -> bool:
    """Whether a text is a date, or a date and time, of ISO 8601.

    >>> [is_date(text) for text in ("2024-01-31", "2024-01-31T12:30+02:00", "2024-W05-3", "31/01/2024")]
    [True, True, True, False]
    """
    return _ISO.fullmatch(text) is not None


def looks_like_date(text: str) -> bool:
    """Whether a text may be a date in another order, with other marks or a month's name.

    >>> [looks_like_date(text) for text in ("31/01/2024", "3 May 2024", "03MAY24", "2024-05", "Mayer 2")]
    [True, True, True, True, False]
    """
    return _DATE.fullmatch(text) is not None


def are_dates(values: NDArray[Any]) -> bool:
    """Whether all of several numbers are dates of 1900 to 2099 by their digits: 20240131.

    >>> are_dates(np.array([20240131, 20240201])), are_dates(np.array([20240131, 20240232]))
    (True, False)
    """
    known = values[~np.isnan(values)]
    if len(known) < 2 or not (known.min() >= 19_000_101 and known.max() <= 20_991_231):
        return False
    distinct = np.unique(known)
    if len(distinct) < 2 or (distinct % 100 > 31).any() or (distinct % 1 != 0).any():
        return False
    texts = pd.Index(distinct.astype(np.int64).astype(str))
    return bool(pd.to_datetime(texts, format="%Y%m%d", errors="coerce").notna().all())


def days_told(form: str) -> bool:
    """Whether a form of strftime tells days apart, not only times of day.

    >>> days_told("%d/%m/%Y %H:%M"), days_told("%H:%M")
    (True, False)
    """
    return _DAYS.search(form) is not None


def seconds_of(text: str) -> float | None:
    """The seconds since midnight of a time of day, or those of a span of time; None where a text is neither.

    >>> [seconds_of(text) for text in ("09:30", "1:02:03.5", "12:15 am", "1 day, 1:00:00", "PT1H", "9.30")]
    [34200.0, 3723.5, 900.0, 90000.0, 3600.0, None]
    """
    found = _CLOCK.fullmatch(text) or _SPAN.fullmatch(text)
    if found is None:
        return None
    part = {name: float((value or "0").replace(",", ".")) for name, value in found.groupdict().items()
            if name in ("w", "d", "h", "m", "s")}  # fmt: skip
    hours, half = part["h"], found.groupdict().get("half")
    if half:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + 12 * (half in "Pp")
    days = 7 * part.get("w", 0.0) + part["d"]
    return (-1.0 if found["minus"] else 1.0) * (86_400 * days + 3_600 * hours + 60 * part["m"] + part["s"])


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
