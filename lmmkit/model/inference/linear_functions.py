"""Linear functions of the coefficients: as users write them, what is estimable, tests and intervals."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.formula.expression import quote
from lmmkit.model.formula.spelling import same_name, spellings
from lmmkit.model.inference.degrees_of_freedom import Denominators, denominators
from lmmkit.model.inference.distributions import adjusted_p, critical
from lmmkit.model.options import check_level

NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?"
SHOWN = 4  # coefficients that a label spells out
ROUNDING = 1e-9  # a coefficient of an aliased column below this is zero
ESTIMABLE = 1e-8  # share of its own size by which a row may differ from an estimable one


def coef_table(estimates: Estimates, *, df: str, level: float) -> pd.DataFrame:
    """Estimates with standard errors, tests of zero and intervals, a row per coefficient.

    Args:
        estimates: The fit.
        df: Denominator degrees of freedom; Kenward-Roger adjusts the standard errors too.
        level: Coverage of the intervals.

    Raises:
        FitError: An option that is not offered, or a method that this fit does not allow.
    """
    check_level("level", level)
    by, names = denominators(estimates, df), pd.Index(estimates.names, name="coefficient")
    table = linear_table(names, np.eye(len(names)), estimates, by, level)
    return table.assign(method=by.named(table["df"].to_numpy()))


def contrast(estimates: Estimates, L: Any, *, df: str, level: float) -> pd.DataFrame:
    """Linear combinations of the coefficients with tests of zero and intervals.

    Args:
        estimates: The fit.
        L: As `combinations` reads them.
        df: Denominator degrees of freedom.
        level: Coverage of the intervals.

    Raises:
        FitError: A combination that cannot be read or estimated, or an option that is not offered.
    """
    check_level("level", level)
    labels, rows = combinations(L, estimates)
    return linear_table(
        pd.Index(labels, name="contrast"), rows, estimates, denominators(estimates, df), level
    )


def linear_table(
    labels: pd.Index[Any],
    L: Floats,
    estimates: Estimates,
    by: Denominators,
    level: float,
    *,
    offset: Floats | float = 0.0,
    possible: NDArray[np.bool_] | None = None,
    adjust: str = "none",
    means: int = 2,
) -> pd.DataFrame:
    """estimate, se, df, t, p, low, high of each row of L beta + offset.

    Args:
        labels: Of the rows.
        L: (r, p) on the kept coefficients; a row of zeros has no degrees of freedom, t, p and bounds.
        estimates: The fit.
        by: Degrees of freedom, and the covariance matrix that goes with them.
        level: Coverage of the intervals.
        offset: (r,) known part of each function.
        possible: (r,) which rows the data can estimate; the others are NaN.
        adjust: Adjustment of p and of the intervals for the number of rows, as in `adjusted_p`.
        means: Number of means whose differences the rows are, for adjust="tukey".
    """
    columns = {
        "estimate": L @ estimates.beta + offset,
        "se": np.sqrt(by.vcov.variances(L)),
        "df": by.single(L),
    }
    table = pd.DataFrame(columns, index=labels)
    if possible is not None:
        table.loc[~possible] = np.nan
    estimate, se, df = table.to_numpy(np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        t = estimate / se
    half = critical(level, df, adjust, means) * se
    p = adjusted_p(t, df, adjust, means)
    table = table.assign(t=t, p=p, low=estimate - half, high=estimate + half)
    table.attrs.update(method=by.told, level=level)
    return table


def aliasing(estimates: Estimates) -> Floats:
    """(p_kept, p_all) A: on the rows of the fit all columns of X are the kept ones times A."""
    problem, kept = estimates.problem, list(estimates.kept)
    A = np.zeros((len(kept), len(problem.fixed)))
    A[np.arange(len(kept)), kept] = 1.0
    left_out = [i for i in range(len(problem.fixed)) if i not in kept]
    if left_out and kept:
        X, Y = estimates.X, np.stack([problem.columns[problem.fixed[i]] for i in left_out], axis=1)
        lengths, others = np.linalg.norm(X, axis=0), np.linalg.norm(Y, axis=0)
        others[others == 0.0] = 1.0
        Q, R = np.linalg.qr(X / lengths)  # at unit length rounding can be told from a coefficient
        B = solved(R, Q.T @ (Y / others))
        B[np.abs(B) < ROUNDING] = 0.0
        A[:, left_out] = B * others / lengths[:, None]
    return A


def estimable(L: Floats, estimates: Estimates) -> tuple[Floats, NDArray[np.bool_]]:
    """Rows on all columns of X as rows on the kept ones, and which of them the data can estimate.

    A row is estimable when it vanishes on every combination of columns that is zero on all rows of the fit.
    """
    A, kept = aliasing(estimates), list(estimates.kept)
    left_out = [i for i in range(A.shape[1]) if i not in kept]
    gap = np.abs(L[:, left_out] - L[:, kept] @ A[:, left_out])
    size = np.abs(L[:, left_out]) + np.abs(L[:, kept]) @ np.abs(A[:, left_out])
    return L[:, kept], np.all(gap <= ESTIMABLE * size, axis=1)


def combinations(L: Any, estimates: Estimates) -> tuple[list[str], Floats]:
    """Labels of linear combinations of the coefficients and their (r, p) rows on the kept ones.

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
    return labels, kept


def _read(L: Any, estimates: Estimates) -> tuple[list[str], Floats]:
    """Labels and rows on all columns of X."""
    if isinstance(L, str):
        return [L], _text(L, estimates)[None]
    if isinstance(L, pd.DataFrame):
        rows = [_named(row, estimates) for _, row in L.iterrows()]
        return [str(label) for label in L.index], np.array(rows)
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
    rows = {str(label): _read(part, estimates)[1] for label, part in L.items()}
    for label, own in rows.items():
        if len(own) != 1:
            raise FitError(f"contrast `{label}` has {len(own)} rows; one is expected under each label.")
    return list(rows), np.array([own[0] for own in rows.values()])


def _named(weights: Any, estimates: Estimates) -> Floats:
    """A row from weights by coefficient."""
    row = np.zeros(len(estimates.design.fixed_names))
    for name, weight in weights.items():
        row[_position(str(name), estimates)] = weight
    return row


def _position(name: str, estimates: Estimates) -> int:
    names = estimates.design.fixed_names
    found = same_name(name, names)
    if found is not None:
        return names.index(found)
    near = difflib.get_close_matches(name, names, 1)
    hint = f" - did you mean `{near[0]}`?" if near else "."
    raise FitError(f"`{name}` is no coefficient of this fit{hint} Its coefficients: {', '.join(names)}.")


def _text(text: str, estimates: Estimates) -> Floats:
    """A row from a sum of coefficients, each with a number before it or after a slash."""
    longest_first = sorted(estimates.design.fixed_names, key=len, reverse=True)
    known = "|".join(f"{re.escape(quote(name))}|{spellings(name)}" for name in longest_first)
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


def _numbers(L: Any, estimates: Estimates) -> Sequence[Floats]:
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
    return list(rows if rows.shape[1] == whole else rows @ aliasing(estimates))


def _labelled(rows: Sequence[Floats], estimates: Estimates) -> tuple[list[str], Floats]:
    """Labels that spell the combinations out."""
    return [_label(row, k, estimates.design.fixed_names) for k, row in enumerate(rows)], np.array(rows)


def _label(row: Floats, k: int, names: Sequence[str]) -> str:
    used = [int(i) for i in np.flatnonzero(row)]
    if not 0 < len(used) <= SHOWN or not np.isfinite(row).all():
        return f"row {k + 1}"
    weights = ["" if abs(row[i]) == 1.0 else f"{abs(row[i]):.4g} * " for i in used]
    parts = [f"{'-' if row[i] < 0 else '+'} {w}{names[i]}" for w, i in zip(weights, used, strict=True)]
    text = " ".join(parts)
    return text.removeprefix("+ ") if row[used[0]] > 0 else "-" + text.removeprefix("- ")
