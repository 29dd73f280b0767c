"""Linear functions of the coefficients: as users write them, what is estimable, tests and intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.errors import FitError, did_you_mean
from lmmkit.model.estimates import Estimates
from lmmkit.model.formula.expression import quote
from lmmkit.model.formula.linear_text import equations
from lmmkit.model.formula.spelling import same_name
from lmmkit.model.inference.alternatives import TWO_SIDED, Alternative, alternative
from lmmkit.model.inference.degrees_of_freedom import Denominators, denominators
from lmmkit.model.inference.multiplicity import EXACT, FamilyOfTests, check_adjust
from lmmkit.model.options import check_level

SHOWN = 4  # coefficients that a label spells out
ROUNDING = 1e-9  # a coefficient of an aliased column below this is zero
CANCELLED = 1e-12  # share of its terms by which a sum that is zero may differ from it
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


def contrast(
    estimates: Estimates,
    L: Any,
    *,
    df: str,
    level: float,
    null: Any = None,
    side: str = "two-sided",
    delta: float = 0.0,
    adjust: str = "none",
) -> pd.DataFrame:
    """Linear combinations of the coefficients with tests and intervals.

    Args:
        estimates: The fit.
        L: As `combinations` reads them.
        df: Denominator degrees of freedom.
        level: Coverage of the intervals.
        null: The value of each combination that is tested, where the text gives none; by default 0.
        side: What the tests are against, a key of `SIDES`.
        delta: Margin of equivalence or non-inferiority.
        adjust: Adjustment for the number of rows; those that are about means are refused.

    Raises:
        FitError: A combination that cannot be read or estimated, or an option that is not offered.
    """
    check_level("level", level)
    against = alternative(side, delta)
    if check_adjust(adjust, against) in ("tukey", "dunnett"):
        raise FitError(f"adjust={adjust!r} is for differences of means; use mvt for any set of combinations.")
    found = combinations(L, estimates, null)
    return linear_table(
        pd.Index(found.labels, name="contrast"),
        found.L,
        estimates,
        denominators(estimates, df),
        level,
        null=found.null,
        against=against,
        adjust=adjust,
    )


class LinearTests(NamedTuple):
    """Tests of linear functions of the coefficients.

    Attributes:
        estimate, se, df: (r,) of each function; NaN where the data cannot estimate it.
        t: (r,) of its test.
        family: What adjusts their p-values, and their intervals.
    """

    estimate: Floats
    se: Floats
    df: Floats
    t: Floats
    family: FamilyOfTests


def linear_tests(
    L: Floats,
    estimates: Estimates,
    by: Denominators,
    *,
    offset: Floats | float = 0.0,
    possible: NDArray[np.bool_] | None = None,
    null: Floats | float = 0.0,
    against: Alternative = TWO_SIDED,
    means: int = 2,
) -> LinearTests:
    """Tests of each row of L beta + offset. The arguments are those of `linear_table`."""
    found = np.array([L @ estimates.beta + offset, np.sqrt(by.vcov.variances(L)), by.single(L)], np.float64)
    if possible is not None:
        found[:, ~possible] = np.nan
    estimate, se, df = found
    t, p = against.test(estimate - null, se, df)
    return LinearTests(estimate, se, df, t, FamilyOfTests(t, p, df, by.vcov.between(L), means, against))


def linear_table(
    labels: pd.Index[Any],
    L: Floats,
    estimates: Estimates,
    by: Denominators,
    level: float,
    *,
    offset: Floats | float = 0.0,
    possible: NDArray[np.bool_] | None = None,
    null: Floats | float = 0.0,
    against: Alternative = TWO_SIDED,
    adjust: str = "none",
    means: int = 2,
) -> pd.DataFrame:
    """estimate, se, df, t, p, low, high of each row of L beta + offset.

    `null` stands after `df` where another value than 0 is tested, and `p_error`, the numerical standard error
    of p, after `p` where p is a multivariate t probability.

    Args:
        labels: Of the rows.
        L: (r, p) on the kept coefficients; a row of zeros has no degrees of freedom, t, p and bounds.
        estimates: The fit.
        by: Degrees of freedom, and the covariance matrix that goes with them.
        level: Coverage of the intervals; one-sided tests have one bound.
        offset: (r,) known part of each function.
        possible: (r,) which rows the data can estimate; the others are NaN.
        null: (r,) values that are tested.
        against: The alternative.
        adjust: Adjustment of p and of the intervals for the number of rows.
        means: Number of means whose differences the rows are, for adjust="tukey".
    """
    made = linear_tests(
        L, estimates, by, offset=offset, possible=possible, null=null, against=against, means=means
    )
    estimate, se = made.estimate, made.se
    table = pd.DataFrame({"estimate": estimate, "se": se, "df": made.df}, index=labels)
    half, adjusted = made.family.critical(level, adjust) * se, made.family.adjusted(adjust)
    if np.any(null):
        table = table.assign(null=null)
    table = table.assign(t=made.t, p=adjusted.p)
    if adjust in EXACT:
        table = table.assign(p_error=adjusted.error)
    low = np.where(np.isnan(half), np.nan, -np.inf) if against.tail < 0 else estimate - half
    high = np.where(np.isnan(half), np.nan, np.inf) if against.tail > 0 else estimate + half
    table = table.assign(low=low, high=high)
    table.attrs.update(method=by.told, level=level)
    return table


def aliasing(estimates: Estimates) -> Floats:
    """(p_kept, p_all) A: on the rows of the fit all columns of X are the kept ones times A."""
    problem, kept = estimates.problem, list(estimates.kept)
    A = np.zeros((len(kept), len(problem.fixed)))
    A[np.arange(len(kept)), kept] = 1.0
    left_out = [i for i in range(len(problem.fixed)) if i not in kept]
    if left_out and kept:
        X, Y = estimates.X, problem.X(left_out)
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
    own, gap, size = _split(L, estimates)
    return own, np.all(np.abs(gap) <= ESTIMABLE * size, axis=1)


def _split(L: Floats, estimates: Estimates) -> tuple[Floats, Floats, Floats]:
    """Rows on the kept columns; what they are on each left out beyond what those imply, and of what size."""
    A, kept = aliasing(estimates), list(estimates.kept)
    left_out = [i for i in range(A.shape[1]) if i not in kept]
    gap = L[:, left_out] - L[:, kept] @ A[:, left_out]
    return L[:, kept], gap, np.abs(L[:, left_out]) + np.abs(L[:, kept]) @ np.abs(A[:, left_out])


def estimable_part(L: Floats, estimates: Estimates) -> Floats:
    """Rows on the kept columns of X that span what the data can estimate of (r, p_all) rows."""
    own, gap, size = _split(L, estimates)
    if not gap.size:
        return own
    U, values, _ = np.linalg.svd(gap / np.maximum(size.max(axis=0), 1e-300))
    rank = int(np.sum(values > ESTIMABLE * np.sqrt(len(L))))
    return combined(np.asarray(U[:, rank:].T, np.float64), own)


def combined(C: Floats, L: Floats) -> Floats:
    """C L, with exact zeros where it cancels: what is left of a function that is zero must not be tested."""
    made, size = C @ L, np.abs(C) @ np.abs(L)
    made[np.abs(made) <= CANCELLED * size] = 0.0
    return made


@dataclass(frozen=True, eq=False)
class Combinations:
    """r linear combinations of the coefficients.

    Attributes:
        labels: Their names.
        L: (r, p) on the kept coefficients.
        null: (r,) the values that are tested.
    """

    labels: list[str]
    L: Floats
    null: Floats


class _Row(NamedTuple):
    """One combination as it was written: (p_all,) weights, and its value where one was given."""

    label: str
    weights: Floats
    value: float | None = None


def combinations(L: Any, estimates: Estimates, null: Any = None) -> Combinations:
    """Linear combinations of the coefficients, as users write them.

    Args:
        L: Text such as `"Machine[T.B] - Machine[T.C]"` or `"Days = 5"`, or several; a mapping from names to
            weights, or from labels to any of these; a DataFrame with coefficients as columns; numbers, one
            per coefficient, or a matrix with one row per combination.
        estimates: The fit whose coefficients they combine.
        null: A value for all, or one for each, where the text gives none.

    Raises:
        FitError: A name is unknown, a row has the wrong length, is all zero or not finite, or cannot be
            estimated from these data; a value is no number, or is given twice.
    """
    rows = _read(L, estimates)
    if not rows:
        raise FitError("contrast() was given no combination: one or more rows are expected.")
    values = _values(null, rows)
    whole = np.array([row.weights for row in rows])
    kept, possible = estimable(whole, estimates)
    for (label, weights, _), row, fine in zip(rows, kept, possible, strict=True):
        if not np.isfinite(weights).all():
            raise FitError(f"contrast `{label}` has weights that are not finite numbers.")
        if not fine:
            raise FitError(
                f"contrast `{label}` cannot be estimated from these data: it uses "
                f"{', '.join(estimates.dropped_columns)}, left out as functions of other columns, in another "
                "combination than the data hold."
            )
        if not row.any():
            raise FitError(f"contrast `{label}` has no weight other than zero.")
    return Combinations([row.label for row in rows], kept, values)


def _values(null: Any, rows: Sequence[_Row]) -> Floats:
    """(r,) the values that are tested."""
    stated = np.array([0.0 if row.value is None else row.value for row in rows])
    if null is None:
        return stated
    if any(row.value is not None for row in rows):
        raise FitError(
            "null was given beside a hypothesis that states its value by `=`: give one of the two."
        )
    try:
        values = np.asarray(null, dtype=np.float64)
    except (TypeError, ValueError):
        raise FitError(f"null={null!r:.60}: a number is expected, or one for each combination.") from None
    if (
        values.shape not in ((), (len(rows),))
        or not np.isfinite(values).all()
        or isinstance(null, (bool, str))
    ):
        raise FitError(
            f"null={null!r:.60}: a finite number is expected, or one for each of {len(rows)} combinations."
        )
    return np.broadcast_to(values, len(rows)).copy()


def _read(L: Any, estimates: Estimates) -> list[_Row]:
    """The rows on all columns of X."""
    if isinstance(L, str):
        return _text(L, estimates)
    if isinstance(L, pd.DataFrame):
        return [_Row(str(label), _named(row, estimates)) for label, row in L.iterrows()]
    if isinstance(L, pd.Series):
        return _labelled([_named(cast("pd.Series[Any]", L), estimates)], estimates)
    if isinstance(L, Mapping):
        return _mapping(cast("Mapping[str, Any]", L), estimates)
    parts = list(cast("Sequence[Any]", L)) if isinstance(L, (list, tuple)) else []
    if parts and all(isinstance(part, str) for part in parts):
        return [row for part in parts for row in _text(part, estimates)]
    return _labelled(_numbers(L, estimates), estimates)


def _mapping(L: Mapping[str, Any], estimates: Estimates) -> list[_Row]:
    """Weights by coefficient, or several combinations by label."""
    if L and all(isinstance(value, (int, float, np.number)) for value in L.values()):
        return _labelled([_named(L, estimates)], estimates)
    rows = {str(label): _read(part, estimates) for label, part in L.items()}
    for label, own in rows.items():
        if len(own) != 1:
            raise FitError(f"contrast `{label}` has {len(own)} rows; one is expected under each label.")
    return [own[0]._replace(label=label) for label, own in rows.items()]


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
    near = did_you_mean(name, names).replace(";", " -", 1)
    raise FitError(
        f"`{name}` is no coefficient of this fit{near or '.'} Its coefficients: {', '.join(names)}."
    )


def _text(text: str, estimates: Estimates) -> list[_Row]:
    """The hypotheses of a text."""
    names = estimates.design.fixed_names
    for variable in estimates.design.recipe.fixed_columns():
        word = quote(variable)
        if word != variable:  # as in the formula: `dose (mg)`[T.5] is the coefficient dose (mg)[T.5]
            there, plain = re.escape(word), variable.replace("\\", r"\\")
            text = re.sub(rf"(?<=:){there}|{there}(?=\s*[\[:])", plain, text)
    return [_Row(e.text, _named(e.weights, estimates), e.value) for e in equations(text, names)]


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


def _labelled(rows: Sequence[Floats], estimates: Estimates) -> list[_Row]:
    """Rows with labels that spell them out."""
    names = estimates.design.fixed_names
    return [_Row(_label(row, k, names), np.asarray(row, np.float64)) for k, row in enumerate(rows)]


def _label(row: Floats, k: int, names: Sequence[str]) -> str:
    used = [int(i) for i in np.flatnonzero(row)]
    if not 0 < len(used) <= SHOWN or not np.isfinite(row).all():
        return f"row {k + 1}"
    weights = ["" if abs(row[i]) == 1.0 else f"{abs(row[i]):.4g} * " for i in used]
    parts = [f"{'-' if row[i] < 0 else '+'} {w}{names[i]}" for w, i in zip(weights, used, strict=True)]
    text = " ".join(parts)
    return text.removeprefix("+ ") if row[used[0]] > 0 else "-" + text.removeprefix("- ")
