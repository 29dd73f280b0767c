"""Wide files noticed: columns that hold one measurement at several times, told from their names."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: A name that ends, or begins, with what tells measurements apart: y_t1, score.2, w3, T1_mood.
_LAST = re.compile(r"(?P<stem>.*[^\W\d_].*?)(?P<at>(?:(?<=[_. ])-)?\d{1,4})")
#: The same with decimals, where the name stands alone when its last digits are taken: y_0.5 beside y_1.
_DECIMAL = re.compile(r"(?P<stem>.*[^\W\d_].*?)(?P<at>(?:(?<=[_. ])-)?\d{1,4}\.\d{1,3})")
_FIRST = re.compile(r"[A-Za-z]{0,6}[_. -]?(?P<at>\d{1,4})[_. -](?P<stem>.*[^\W\d_].*)")
_TIME = re.compile(
    r"(?:[_. -]+(?:t|tp|time|wave|w|v|visit|d|day|m|mo|month|wk|week|y|yr|year|s|session|trial|occasion"
    r"|h|hour|min|zeit|welle|tag|woche|monat|jahr|messung))?[_. -]*$",
    re.IGNORECASE,
)
_ROWS = re.compile(r"(?:id|person|subject|subj|row|unit|case|patient|pupil|animal|plot)$", re.IGNORECASE)


@dataclass(frozen=True)
class Wide:
    """Columns that seem to hold one measurement.

    Attributes:
        stem: What their names share, without a word for time: `y` of y_t1 and y_t2; "" of 2019 and 2020.
        columns: Their names.
        given: What `reshape.measured` says: a pattern, or the list where a pattern matches others too.
        at: What tells the columns apart, where their names number them.
    """

    stem: str
    columns: tuple[str, ...]
    given: str | list[str]
    at: tuple[str, ...] = ()


def families(columns: Sequence[str]) -> list[Wide]:
    """Families of two or more columns, in the file's order.

    >>> [family.given for family in families(["id", "y_t1", "y_t2", "T1 mood", "T2 mood", "age"])]
    ['y_t*', 'T* mood']
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name in columns:
        unnamed = re.fullmatch(r"column\d+", name)  # as readers call a column without a name
        match = None if unnamed else (_LAST.fullmatch(name) or _FIRST.fullmatch(name))
        if match is not None:
            found.setdefault(_family(name, match), []).append(name)
        elif name.isdigit():
            found.setdefault(("", "*"), []).append(name)
    for key in [key for key, members in found.items() if len(members) == 1]:
        match = _DECIMAL.fullmatch(found[key][0])
        if match is not None:
            found.setdefault(_family(match.string, match), []).extend(found.pop(key))
    order = {name: place for place, name in enumerate(columns)}
    known = sorted(columns)
    return [
        _wide(stem, starred, tuple(sorted(names, key=lambda name: order[name])), known)
        for (stem, starred), names in found.items()
        if len(names) > 1
    ]


def _wide(stem: str, starred: str, members: tuple[str, ...], columns: Sequence[str]) -> Wide:
    before, after = map(len, starred.split("*"))
    given = starred if _matches(starred, columns) == len(members) else [*members]
    return Wide(stem, members, given, tuple(name[before : len(name) - after] for name in members))


def _family(name: str, match: re.Match[str]) -> tuple[str, str]:
    """The stem of a name, and the name with a star for what tells it apart."""
    stem = _TIME.sub("", match["stem"]) or match["stem"]
    return stem, f"{name[: match.start('at')]}*{name[match.end('at') :]}"


def _matches(starred: str, known: Sequence[str]) -> int:
    """How many of the names, in order, a pattern matches."""
    before, after = starred.split("*")
    begin, end = bisect_left(known, before), bisect_left(known, f"{before}\U0010ffff")
    least = len(starred)
    return sum(len(name) >= least and name.endswith(after) for name in known[begin:end])


def proposed_reshape(
    columns: Sequence[str], wanted: Sequence[str], response: str
) -> tuple[dict[str, Any] | None, list[str]]:
    """The `reshape` of a study whose formula names columns that only a long form of the file would have.

    Args:
        columns: The file's columns.
        wanted: The columns that the formula uses.
        response: The response's column.

    Returns:
        The keys of `reshape`, or None where none is due; and sentences about it.
    """
    absent = [name for name in wanted if name not in columns]
    known = families(columns)
    stems = {family.stem.casefold() for family in known}
    known += [family for name in absent if name.casefold() not in stems for family in _worded(name, columns)]
    measured = {
        name: family for name in absent for family in known if name.casefold() == family.stem.casefold()
    }
    if response in absent and response not in measured and len(known) == 1:
        measured[response] = known[0]
    if measured:
        said = [
            f"{', '.join(family.columns[:6])} hold {name} in wide form: each becomes a row of its own"
            for name, family in measured.items()
        ]
        said += _left_out(columns, measured)
        return _keys(columns, measured, [name for name in absent if name not in measured], known), said
    wide = [family for family in known if response in family.columns and len(family.columns) > 2]
    return None, [_noticed(family) for family in wide]


def _left_out(columns: Sequence[str], measured: Mapping[str, Wide]) -> list[str]:
    """Sentences about columns that begin as measured ones do and are not among them."""
    used = {name for family in measured.values() for name in family.columns}
    found: dict[str, list[str]] = {}
    for name, family in measured.items():
        mark = re.compile(rf"{re.escape(family.stem)}[_. -]", re.IGNORECASE) if family.stem else None
        found[name] = [column for column in columns if column not in used and mark and mark.match(column)]
    return [
        f"not measured, though named like {name}: {', '.join(others[:6])}; if they are meant too, name all "
        "under "
        "reshape.measured"
        for name, others in found.items()
        if others
    ]


def _worded(name: str, columns: Sequence[str]) -> list[Wide]:
    """The columns that begin with a name that the file lacks, told apart by words: score_pre, score_post."""
    for mark in ("_", ".", " ", "-"):
        members = [column for column in columns if column.casefold().startswith(f"{name}{mark}".casefold())]
        starred = f"{members[0][: len(name) + 1]}*" if members else ""
        if len(members) > 1:
            same = _matches(starred, sorted(columns)) == len(members)
            return [Wide(name, tuple(members), starred if same else members)]
    return []


def _keys(
    columns: Sequence[str],
    measured: Mapping[str, Wide],
    others: Sequence[str],
    known: Sequence[Wide],
) -> dict[str, Any]:
    """The keys: of the other columns that the file lacks one tells the times, one may number the rows."""
    rows = [name for name in others if _ROWS.search(name)]
    times = [name for name in others if name not in rows]
    default = next(name for name in ("time", "occasion", "measurement") if name not in {*columns, *measured})
    keys: dict[str, Any] = {"measured": {name: family.given for name, family in measured.items()}}
    keys["index"] = times[0] if times else default
    only = next(iter(measured.values()))
    if not isinstance(only.given, str) and only.at:
        keys["at"] = [*only.at]
    if rows:
        keys["row"] = rows[0]
    free = {name for family in known if family not in measured.values() for name in family.columns}
    if free:
        used = {name for family in measured.values() for name in family.columns}
        keys["id"] = [name for name in columns if name not in used | free]
    return keys


def _noticed(family: Wide) -> str:
    name = family.stem or "value"
    return (
        f"{', '.join(family.columns[:6])} look like one measurement in wide form; if the model is about all "
        f"of them, give the formula with {name} and time in place of {family.columns[0]}"
    )
