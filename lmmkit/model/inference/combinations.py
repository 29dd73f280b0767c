"""Linear combinations of coefficients as users write them: by name, as text, as numbers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import numpy as np
import pandas as pd

from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.estimable_functions import aliasing, estimable

NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?"
SHOWN = 4  # coefficients that a label spells out


@dataclass(frozen=True, eq=False)
class Combinations:
    """Rows L of L beta, with a label each.

    Attributes:
        labels: What the tables call them.
        rows: (r, p) on the kept coefficients.
    """

    labels: tuple[str, ...]
    rows: Floats


def combinations(L: Any, estimates: Estimates) -> Combinations:
    """Read linear combinations of the coefficients.

    Args:
        L: Text such as `"Machine[T.B] - Machine[T.C]"`, or several; a mapping from names to weights, or from
            labels to any of these; a DataFrame with coefficients as columns; numbers, one per coefficient, or
            a matrix with one row per combination.
        estimates: The fit whose coefficients they combine.

    Raises:
        FitError: A name is unknown, a row has the wrong length, is all zero or not finite, or cannot be
            estimated from these data.
    """
    labels, rows = _read(L, estimates)
    if not len(rows):
        raise FitError("contrast() was given no combination: one or more rows are expected.")
    kept, possible = estimable(rows, estimates)
    for label, row, whole, fine in zip(labels, kept, rows, possible, strict=True):
        _check(label, whole, row, bool(fine), estimates)
    return Combinations(tuple(labels), kept)


def _check(label: str, whole: Floats, row: Floats, fine: bool, estimates: Estimates) -> None:
    if not np.isfinite(whole).all():
        raise FitError(f"contrast `{label}` has weights that are not finite numbers.")
    if not fine:
        raise FitError(
            f"contrast `{label}` cannot be estimated from these data: it uses "
            f"{', '.join(estimates.dropped_columns)}, left out as functions of other columns, in another "
            "combination than the data hold."
        )
    if not row.any():
        raise FitError(f"contrast `{label}` has no weight other than zero.")


def _read(L: Any, estimates: Estimates) -> tuple[list[str], Floats]:
    """Labels and rows on all columns of X."""
    if isinstance(L, str):
        return [L], _text(L, estimates)[None]
    if isinstance(L, pd.DataFrame):
        return [str(label) for label in L.index], np.array(
            [_named(row, estimates) for _, row in L.iterrows()]
        )
    if isinstance(L, pd.Series):
        return _labelled([_named(cast("pd.Series[Any]", L), estimates)], estimates)
    if isinstance(L, Mapping):
        return _mapping(cast("Mapping[str, Any]", L), estimates)
    parts = list(cast("Sequence[Any]", L)) if isinstance(L, (list, tuple)) else []
    if parts and all(isinstance(part, str) for part in parts):
        return parts, np.stack([_text(part, estimates) for part in parts])
    return _labelled(_numbers(L, estimates), estimates)


def _mapping(L: Mapping[str, Any], estimates: Estimates) -> tuple[list[str], Floats]:
    """Weights by coefficient, or several combinations by label."""
    if L and all(isinstance(value, (int, float, np.number)) for value in L.values()):
        return _labelled([_named(L, estimates)], estimates)
    return [str(label) for label in L], np.array([_one(label, part, estimates) for label, part in L.items()])


def _one(label: str, part: Any, estimates: Estimates) -> Floats:
    rows = _read(part, estimates)[1]
    if len(rows) != 1:
        raise FitError(f"contrast `{label}` has {len(rows)} rows; one is expected under each label.")
    return rows[0]


def _named(weights: Any, estimates: Estimates) -> Floats:
    """A row from weights by coefficient."""
    row = np.zeros(len(estimates.design.fixed_names))
    for name, weight in weights.items():
        row[_position(str(name), estimates)] = weight
    return row


def _position(name: str, estimates: Estimates) -> int:
    names = estimates.design.fixed_names
    if name in names:
        return names.index(name)
    near = difflib.get_close_matches(name, names, 1)
    hint = f" - did you mean `{near[0]}`?" if near else "."
    raise FitError(f"`{name}` is no coefficient of this fit{hint} Its coefficients: {', '.join(names)}.")


def _text(text: str, estimates: Estimates) -> Floats:
    """A row from a sum of coefficients, each with a number before it or after a slash."""
    known = "|".join(re.escape(name) for name in sorted(estimates.design.fixed_names, key=len, reverse=True))
    part = re.compile(rf"\s*([+-]?)\s*(?:({NUMBER})\s*\*?\s*)?({known})\s*(?:/\s*({NUMBER}))?\s*(?=$|[+-])")
    row, place = np.zeros(len(estimates.design.fixed_names)), 0
    while place < len(text) or not place:
        found = part.match(text, place)
        if found is None or (place and not found[1]):
            _refuse_text(text, text[place:], estimates)
        sign, weight, name, divisor = found.groups()
        row[_position(name, estimates)] += float(f"{sign}1") * float(weight or 1.0) / float(divisor or 1.0)
        place = found.end()
    return row


def _refuse_text(text: str, rest: str, estimates: Estimates) -> NoReturn:
    word = rest.strip(" +-*/0123456789.") or rest
    if word == text.strip():
        _position(word, estimates)
    raise FitError(
        f"contrast `{text}` cannot be read at `{rest.strip()}`: a sum of coefficients is expected, such as "
        f"`{estimates.names[-1]} - 0.5 * {estimates.names[0]}`. Coefficients: {', '.join(estimates.names)}."
    )


def _numbers(L: Any, estimates: Estimates) -> list[Floats]:
    """Rows from numbers, one per coefficient; those left out of the fit may be left out here."""
    try:
        rows = np.atleast_2d(np.asarray("" if L is None else L, dtype=np.float64))
    except (TypeError, ValueError):
        raise FitError(
            "contrast() takes names of coefficients, text, numbers or a matrix of numbers; this cannot be "
            f"read as any: {L!r:.80}."
        ) from None
    p, whole = len(estimates.beta), len(estimates.design.fixed_names)
    if rows.ndim != 2 or rows.shape[1] not in (p, whole):
        raise FitError(
            f"contrast() was given rows of {rows.shape[-1]} numbers; this fit has {p} coefficients, in this "
            f"order: {', '.join(estimates.names)}."
        )
    if rows.shape[1] == whole:
        return list(rows)
    return list(rows @ aliasing(estimates))


def _labelled(rows: Iterable[Floats], estimates: Estimates) -> tuple[list[str], Floats]:
    """Labels that spell the combinations out."""
    made = np.array(list(rows))
    return [_label(row, k, estimates.design.fixed_names) for k, row in enumerate(made)], made


def _label(row: Floats, k: int, names: Sequence[str]) -> str:
    used = [int(i) for i in np.flatnonzero(row)]
    if not 0 < len(used) <= SHOWN or not np.isfinite(row).all():
        return f"row {k + 1}"
    parts = [f"{'-' if row[i] < 0 else '+'} {_weight(abs(row[i]))}{names[i]}" for i in used]
    text = " ".join(parts)
    return text.removeprefix("+ ") if row[used[0]] > 0 else "-" + text.removeprefix("- ")


def _weight(value: float) -> str:
    return "" if value == 1.0 else f"{value:.4g} * "
