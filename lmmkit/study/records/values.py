"""Every value of an artefact by its place, and whether two of them agree."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import pandas as pd

from lmmkit.study.records.artifacts import plain

NUMBER = re.compile(r"(?<![\w.])[-−+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?(?![\w])")


class Place(NamedTuple):
    """Where a value stands: the column or key, and the row or position in it."""

    field: str
    row: str


Values = Mapping[Place, object]


class Kind(NamedTuple):
    """A kind of number: what it may differ by between machines.

    Attributes:
        name: In words.
        pattern: Of `path: field`.
        relative: Of the number itself.
        beside: Of the largest number in the same column.
        floor: Below it a number is noise of rounding.
        steps: Share of a count that it may differ by, three at the least; 0: a count is a fact.
    """

    name: str
    pattern: re.Pattern[str]
    relative: float
    beside: float
    floor: float = 0.0
    steps: float = 0.0


_SEARCH = r"^trace\.csv|^tables/(path|stages|algorithm_steps)"
#: The first that fits. Whole numbers, text and yes/no are compared exactly, but for the search's counts.
KINDS = (
    Kind("data", re.compile(r"^(data\.|rows\.csv|study\.json|fit/data)"), 0.0, 0.0),
    # How near to zero a residual of rounding lies says nothing; its verdict does, which is text.
    Kind(
        "residual of a check",
        re.compile(r"certificate\.(csv: value|json: (digits|sentence))$|^fit(/fit)?\.json: .*checks"),
        math.inf,
        math.inf,
    ),
    Kind("deviance on the way", re.compile(rf"({_SEARCH}).*: (deviance|excess)"), 1e-6, 1e-6, 1e-6, 0.1),
    Kind(
        "the search's own path",
        re.compile(rf"{_SEARCH}|trace|gradient|decrement|evaluations|iterations"),
        1e-3,
        1e-6,
        1e-6,
        0.1,
    ),
    Kind("deviance", re.compile(r"deviance|llf|aic|bic|above"), 1e-9, 1e-6),
    Kind("picture", re.compile(r"^figures/"), 1e-4, 1e-4),
    Kind("printed", re.compile(r"\.(html|ipynb|txt|md):"), 1e-4, 0.0, 1e-6),
    Kind("p value", re.compile(r": p$"), 1e-4, 1e-9),
    Kind("estimate", re.compile(""), 1e-6, 1e-7),
)
#: A number in a file against the same one before it was written.
AS_WRITTEN = Kind("as written", re.compile(""), 1e-9, 0.0)
#: A number in a file against the same one made again from other numbers of the run.
RECOMPUTED = Kind("recomputed", re.compile(""), 1e-6, 1e-9)


@dataclass(frozen=True)
class Comparison:
    """Two versions of one artefact.

    Attributes:
        path: The artefact.
        values: How many values were compared.
        within: Those that differ within the tolerance of their kind.
        moved: Those that differ by more: place, one, the other.
    """

    path: str
    values: int
    within: int
    moved: tuple[tuple[Place, object, object], ...] = field(default=())


def compare(path: str, one: bytes, other: bytes, *, exact: bool = False) -> Comparison:
    """Compare two versions of an artefact value by value.

    Args:
        path: The artefact.
        one: Its bytes.
        other: Its bytes in another run.
        exact: Whether no number may differ at all, because code, versions and machine are the same.
    """
    first, second = values_of(path, one), values_of(path, other)
    scales = _scales(first)
    within, moved = 0, list[tuple[Place, object, object]]()
    for place in dict.fromkeys([*first, *second]):
        a, b = first.get(place), second.get(place)
        if same(a, b):
            continue
        kind = kind_of(path, place.field)
        # A search of one step more has rows that the other lacks; their number is a count, judged as such.
        longer = kind.steps and place.row and place not in first.keys() & second.keys()
        if not exact and (longer or agree(a, b, kind, scales.get(place.field, 0.0))):
            within += 1
        else:
            moved.append((place, a, b))
    return Comparison(path, len(first), within, tuple(moved))


def kind_of(path: str, name: str) -> Kind:
    """The kind of a number."""
    return next(kind for kind in KINDS if kind.pattern.search(f"{path}: {name}"))


def tolerances(path: str) -> str:
    """What the numbers of an artefact may differ by, in words."""
    kind = next(kind for kind in KINDS if kind.pattern.search(f"{path}: ") or kind.name == "estimate")
    return f"{kind.name}: {kind.relative:g} of the number, {kind.beside:g} of the largest beside it"


def same(a: object, b: object) -> bool:
    """Whether two values are equal, or no number both."""
    return a == b or (_is_nan(a) and _is_nan(b))


def agree(a: object, b: object, kind: Kind, scale: float = 1.0) -> bool:
    """Whether two values that are not the same agree within the tolerance of their kind.

    Args:
        a: One value.
        b: The other.
        kind: The kind of both.
        scale: The largest number beside them, which `kind.beside` is a share of.
    """
    if isinstance(a, str) and isinstance(b, str):
        return told_alike(a, b, kind)
    if not (isinstance(a, float | int) and isinstance(b, float | int)) or isinstance(a, bool):
        return False
    if math.isinf(kind.relative):
        return True
    if isinstance(a, int) and isinstance(b, int):
        return kind.steps > 0 and abs(a - b) <= max(3.0, kind.steps * max(abs(a), abs(b)))
    return math.isclose(a, b, rel_tol=kind.relative, abs_tol=max(kind.floor, kind.beside * scale))


def told_alike(a: str, b: str, kind: Kind) -> bool:
    """Whether two texts are the same words around numbers that agree as far as they are printed."""
    if kind.relative == 0.0 or NUMBER.sub("#", a) != NUMBER.sub("#", b):
        return False
    pairs = zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)
    return all(x == y or printed_alike(x, y) or agree(_number(x), _number(y), kind, 0.0) for x, y in pairs)


def _number(text: str) -> float:
    """A printed number; NaN, which agrees with nothing, where it is a version or the like."""
    try:
        return float(text.replace("−", "-").replace(",", ""))
    except ValueError:
        return math.nan


def printed_alike(a: str, b: str) -> bool:
    """Whether two printed numbers are equal, or one unit of the last digit apart, which rounding may do.

    >>> printed_alike("1,298.5", "1,298.6"), printed_alike("−0.31", "0.31"), printed_alike("18", "19")
    (True, False, False)
    """
    decimals = len(a.partition(".")[2].partition("e")[0])
    whole = "." not in a and "." not in b
    return a == b or (not whole and abs(_number(a) - _number(b)) <= 1.001 * 10.0**-decimals)


def values_of(path: str, content: bytes) -> Values:
    """Every value of an artefact; its text by hunks where the format is not known."""
    reader = _READERS.get(path.rpartition(".")[2], _text_values)
    try:
        return dict(reader(content))
    except (ValueError, KeyError, OSError):
        return {Place("unreadable", ""): content}


def tree_values(value: object, path: tuple[str, ...] = (), row: str = "") -> Iterator[tuple[Place, object]]:
    """The leaves of nested mappings and lists; positions in lists are the row, keys are the field."""
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[str, object]", value).items():
            yield from tree_values(item, (*path, str(key)), row)
    elif isinstance(value, list):
        for i, item in enumerate(cast("list[object]", value)):
            yield from tree_values(item, path, f"{row}[{i}]")
        yield Place(".".join([*path, "length"]), row), len(cast("list[object]", value))
    else:
        yield Place(".".join(path), row), value


def _json_values(content: bytes) -> Iterator[tuple[Place, object]]:
    return tree_values(json.loads(content))


def _csv_values(content: bytes) -> Iterator[tuple[Place, object]]:
    rows = list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))
    names = rows[0] if rows else []
    for i, row in enumerate(rows[1:]):
        for j, cell in enumerate(row):
            yield Place(names[j] if j < len(names) else str(j), str(i + 1)), _numeric(cell)
    yield Place("rows", ""), len(rows)


def _parquet_values(content: bytes) -> Iterator[tuple[Place, object]]:
    frame = pd.read_parquet(io.BytesIO(content), engine="pyarrow").reset_index()
    for name in frame.columns:
        for i, value in enumerate(frame[name].tolist()):
            yield Place(str(name), str(i + 1)), plain(value)
    yield Place("rows", ""), len(frame)


def _numeric(value: object) -> object:
    """A number that stands as text beside gaps."""
    try:
        return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value
    except ValueError:
        return value


def _text_values(content: bytes) -> Iterator[tuple[Place, object]]:
    """The numbers of a text, and the text around each of them."""
    text = content.decode("utf-8")
    last = 0
    for i, match in enumerate(NUMBER.finditer(text)):
        yield Place("text", str(i)), text[last : match.start()]
        yield Place("number", str(i)), _numeric(match.group().replace("−", "-"))
        last = match.end()
    yield Place("text", "end"), text[last:]


_READERS: dict[str, Callable[[bytes], Iterator[tuple[Place, object]]]] = {
    "json": _json_values,
    "csv": _csv_values,
    "parquet": _parquet_values,
}


def _scales(values: Values) -> dict[str, float]:
    """The largest finite number of each column."""
    scales: dict[str, float] = {}
    for place, value in values.items():
        if isinstance(value, float) and math.isfinite(value):
            scales[place.field] = max(scales.get(place.field, 0.0), abs(value))
    return scales


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def moved_numbers(one: str, other: str) -> list[tuple[str, str]] | None:
    """Printed numbers that differ by more than a unit of their last digit; None when the words differ."""
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return None
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return [(a, b) for a, b in pairs if not printed_alike(a, b)]


def count_numbers(text: str) -> int:
    """How many numbers a text has."""
    return len(NUMBER.findall(text))
