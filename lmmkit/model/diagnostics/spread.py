"""Whether the residual variance is the same between groups, along fitted values, along predictors.

Squares of standardised residuals are compared, none counted for more than that of CAP standard deviations, so
that one outlier is no difference of variances.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import chdtrc, log_ndtr

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.errors import LmmkitError
from lmmkit.model.design.design import Design
from lmmkit.model.diagnostics.check_result import (
    UNIT,
    CheckResult,
    Fact,
    Sentence,
    Unchecked,
    column,
    level,
    number,
    residual_option,
    text,
    too_few,
)
from lmmkit.model.diagnostics.replicated import Replicated
from lmmkit.model.estimates import Estimates
from lmmkit.model.formula.expression import quote
from lmmkit.model.formula.residual_formula import parse_residual

CAP = 5.0  # standard deviations: a larger residual counts as one of these
MEDIAN = 0.454936  # of a squared standard normal value
STEPS = 6  # of Newton
RATIO = 1.5  # of standard deviations, from which a difference matters
LEAST_ROWS = 20
LEAST_IN_GROUP = 3  # rows of a group whose spread is compared
MOST_IDENT = 12  # levels that get a variance of their own by ident()
ENOUGH = 5  # rows in each of them


class FactorRows(NamedTuple):
    """A factor on the rows: its name, its levels, (n,) the level of each row."""

    name: str
    levels: list[str]
    codes: Ints


def variance_by_group(sets: Replicated) -> Iterator[CheckResult | Unchecked]:
    """Variances of the levels of each factor, all together and the farthest one."""
    squares = capped(sets)
    for factor in factors(sets.estimates.design):
        what = Sentence("Whether the residual variance differs between the levels of {}", column(factor.name))
        counts = np.bincount(factor.codes[sets.free], minlength=len(factor.levels))
        large = counts >= LEAST_IN_GROUP
        if large.sum() < 2 or large.sum() < len(counts) / 2:
            few = Sentence("most levels have fewer than {} rows", number(LEAST_IN_GROUP))
            yield Unchecked("variance between groups", factor.name, few, what)
            continue
        yield _between(sets, squares, factor, large)


def capped(sets: Replicated) -> Floats:
    """(n, c) squares of the standardised residuals, none above that of CAP standard deviations.

    The standard deviation is told by the median of each column's squares, which an outlier does not raise.
    """
    squares = sets.conditional**2
    if not sets.free.any():
        return squares
    variance = np.median(squares[sets.free], axis=0) / MEDIAN
    return np.minimum(squares, CAP**2 * np.where(variance > 0, variance, 1.0))


def _between(sets: Replicated, squares: Floats, factor: FactorRows, large: NDArray[np.bool_]) -> CheckResult:
    here = np.flatnonzero(sets.free & large[factor.codes])
    codes: Ints = (np.cumsum(large) - 1)[factor.codes[here]].astype(np.intp)
    n = np.bincount(codes)
    square = np.bincount(codes, sets.conditional[here, 0] ** 2) / n
    sds = np.sqrt(square)
    df: Floats = np.bincount(codes, sets.spread[here] ** 2).astype(float)
    statistic, farthest = differences(mean_squares(squares[here], codes), df)
    names = [factor.levels[i] for i in np.flatnonzero(large)]
    least, most = int(sds.argmin()), int(sds.argmax())
    ratio = max(typical_ratio(sds, n), ratio_of_one(sds, n, farthest))
    scale, unit = _scale(sets.estimates)
    low, high = (
        (number(sds[one] * scale), unit, column(factor.name), level(factor.name, names[one]))
        for one in (least, most)
    )
    return CheckResult(
        "variance between groups",
        factor.name,
        fine=Sentence(
            "No difference of the residual variance between the levels of {} was found (standard deviations "
            "from {}{} to {}{}).",
            column(factor.name), low[0], unit, high[0], unit,
        ),
        notable=Sentence(
            "The residual standard deviation differs between the levels of {}, from {}{} ({} {}) to {}{} "
            "({} {}).",
            column(factor.name), *low, *high,
        ),
        statistic=statistic,
        size=ratio,
        matters=ratio >= RATIO,
        where=", ".join(dict.fromkeys(names[i] for i in (least, most, farthest))),
        remedy=_by_level(sets.estimates.design, factor, n),
        method="likelihood ratio of a variance for each level (Bartlett), or the farthest level's variance "
        f"(Wilson-Hilferty), whichever has the smaller p; residuals capped at {CAP:.0f} SD; size: typical "
        "ratio of the levels' SDs, or that of the farthest to the others, beyond chance",
    )  # fmt: skip


def mean_squares(squares: Floats, codes: Ints) -> Floats:
    """(J, c) means of (n, c) squares over the rows of each level."""
    n, counts = len(codes), np.bincount(codes)
    member = csr_array((np.ones(n), (codes, np.arange(n))), shape=(len(counts), n))
    return np.maximum(np.asarray(member @ squares, np.float64) / counts[:, None], 1e-12)


def differences(squares: Floats, df: Floats) -> tuple[Floats, int]:
    """(c,) how clearly variances differ, over all levels or in one, and the first column's farthest level.

    The first sees many levels that differ a little, the second one that differs much. Either has a p value by
    theory, the second times the number of levels; -log of the smaller one is the statistic.

    Args:
        squares: (J, c) mean squares of the levels.
        df: (J,) their degrees of freedom.
    """
    J, pooled = len(df), df @ squares / df.sum()
    overall = np.log(np.maximum(chdtrc(J - 1.0, bartlett(squares, df)), 1e-300))
    z = np.abs(cube_root_normal(df[:, None] * squares / pooled, df))
    farthest = z.argmax(axis=0)
    single = np.log(2.0 * J) + log_ndtr(-z[farthest, np.arange(len(pooled))])
    return -np.minimum(np.minimum(overall, single), 0.0), int(farthest[0])


def cube_root_normal(squares: Floats, df: Ints | Floats) -> Floats:
    """Sums of squares of df standard normal values as nearly normal ones (Wilson & Hilferty 1931)."""
    d = np.maximum(df, 1)[:, None] * 1.0
    return ((squares / d) ** (1.0 / 3.0) - (1.0 - 2.0 / (9.0 * d))) / np.sqrt(2.0 / (9.0 * d))


def bartlett(squares: Floats, df: Floats) -> Floats:
    """(c,) df log s^2 - sum of df_j log s_j^2, of (J, c) mean squares s_j^2 with (J,) df_j."""
    return df.sum() * np.log(df @ squares / df.sum()) - df @ np.log(squares)


def ratio_of_one(sds: Floats, n: Ints, one: int) -> float:
    """The SD of one level over that of the others, or the inverse, less two standard errors (at least 1)."""
    others = np.arange(len(n)) != one
    rest = float(np.sqrt(np.average(sds[others] ** 2, weights=n[others])))
    log = abs(float(np.log(max(float(sds[one]), 1e-300) / max(rest, 1e-300))))
    return float(np.exp(max(log - 2.0 * np.sqrt(0.5 / n[one]), 0.0)))


def typical_ratio(sds: Floats, n: Ints) -> float:
    """The ratio of a high to a low SD beyond chance: exp of twice the SD of their logarithms."""
    logs = np.log(np.maximum(sds, 1e-300))
    mean = float(np.average(logs, weights=n))
    spread = float(np.average((logs - mean) ** 2, weights=n))
    return float(np.exp(2.0 * np.sqrt(max(spread - float(np.average(0.5 / n, weights=n)), 0.0))))


def factors(design: Design) -> Iterator[FactorRows]:
    """Grouping factors, subjects of a residual structure, then the factors of the fixed part."""
    residual, taken = design.residual, set[str]()
    subjects = residual.subjects if residual is not None else None
    for grouping in (*design.groupings, *([subjects] if subjects is not None else [])):
        if grouping.name not in taken and not grouping.members and grouping.size > 1:
            taken.add(grouping.name)
            yield FactorRows(grouping.name, list(map(str, grouping.levels)), grouping.codes)
    for name in design.recipe.fixed_columns():
        values = design.frame[name]
        if name not in taken and _is_factor(values):
            codes, levels = pd.factorize(values, sort=True)
            yield FactorRows(name, [str(value) for value in levels], np.asarray(codes, np.intp))


def _is_factor(values: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(values) or values.nunique() == 2


def predictors(design: Design) -> Iterator[tuple[str, Floats]]:
    """The numbers of the fixed part and of slopes: name, (n,) values."""
    columns = [*design.recipe.fixed_columns()]
    columns += [name for e in design.recipe.variables for name in e.variables]
    for name in dict.fromkeys(columns):
        values = design.frame[name]
        if not _is_factor(values) and name != design.response:
            yield name, values.to_numpy(np.float64)


def variance_along(sets: Replicated) -> Iterator[CheckResult | Unchecked]:
    """Variances that rise or fall with the fitted values, and with each numeric predictor."""
    squares, estimates = capped(sets), sets.estimates
    numbers = ((name, values[:, None]) for name, values in predictors(estimates.design))
    for name, x in [("fitted values", sets.fitted), *numbers]:
        own = name == "fitted values"
        told = text("the fitted values") if own else column(name)
        check = "variance along fitted values" if own else "variance along a predictor"
        here = np.flatnonzero(sets.free)
        first = x[here, 0]
        if len(here) < LEAST_ROWS or np.ptp(first) <= 1e-9 * max(float(np.abs(first).max()), 1e-300):
            why = too_few(len(here), LEAST_ROWS, "row")
            if len(here) >= LEAST_ROWS:
                why = Sentence("{} has one value", told)
            what = Sentence("Whether the residual variance changes along {}", told)
            yield Unchecked(check, name, why, what)
            continue
        statistic, slope = log_linear(x[here], squares[here])
        low, high = thirds(first, sets.conditional[here, 0] ** 2)
        scale, unit = _scale(estimates)
        ratio = max(low, high) / max(min(low, high), 1e-300)
        sizes = (number(low * scale), unit, number(high * scale), unit)
        yield CheckResult(
            check,
            name,
            fine=Sentence(
                "No change of the residual variance along {} was found (standard deviation {}{} in the "
                "lowest third, {}{} in the highest).", told, *sizes,
            ),
            notable=Sentence(
                f"The residual variance {_way(slope, low, high)} {{}}: the standard deviation is {{}}{{}} in "
                "the lowest third and {}{} in the highest.", told, *sizes,
            ),
            statistic=statistic,
            size=ratio,
            matters=ratio >= RATIO,
            remedy=_by_number(estimates, None if own else name, x[:, 0], slope),
            method="likelihood ratio of a log-linear variance (Harvey), residuals capped at "
            f"{CAP:.0f} SD; size: SD of the highest third over the lowest, or the inverse",
        )  # fmt: skip


def _way(slope: float, low: float, high: float) -> str:
    """How a variance goes; where its lowest and highest third do not go with its slope, it is not steady."""
    if (slope > 0) != (high > low):
        return "changes, though not steadily, along"
    return "rises with" if slope > 0 else "falls with"


def log_linear(x: Floats, squares: Floats) -> tuple[Floats, float]:
    """(c,) n log mean s - min over g of n log mean(s exp(-g x)), s (n, c) squares, and g of the first column.

    That is the likelihood ratio of the variances phi exp(g x), x centred, phi the best at each g. It is
    concave in g: Newton's steps from zero, each of half a standard deviation of x at most.

    Args:
        x: (n, c) or (n, 1).
        squares: (n, c).

    Reference: Harvey (1976), Estimating regression models with multiplicative heteroscedasticity,
    Econometrica 44, 461-465.
    """
    d = x - x.mean(axis=0)
    sd = np.sqrt(np.mean(d**2, axis=0))
    d /= np.where(sd > 0, sd, 1.0)
    squares = np.maximum(squares, 1e-12)
    g = np.zeros(squares.shape[1])
    for _ in range(STEPS):
        share = squares * np.exp(-g * d)
        share /= share.sum(axis=0)
        mean = np.sum(d * share, axis=0)
        curvature = np.sum(d**2 * share, axis=0) - mean**2
        g += np.clip(mean / np.maximum(curvature, 1e-12), -0.5, 0.5)
    ratio = np.mean(squares * np.exp(-g * d), axis=0) / squares.mean(axis=0)
    return np.maximum(-len(d) * np.log(ratio), 0.0), float(g[0])


def thirds(x: Floats, squares: Floats) -> tuple[float, float]:
    """Roots of the mean squares in the lowest and in the highest third of x, ties kept together."""
    low, high = np.quantile(x, [1.0 / 3.0, 2.0 / 3.0])
    if low == high:
        low, high = x.min(), x.max()
    parts = squares[x <= low], squares[x >= high]
    first, last = (float(np.sqrt(part.mean())) for part in parts)
    return first, last


def _scale(estimates: Estimates) -> tuple[float, Fact]:
    """What a standardised residual is multiplied with to be told, and the unit behind it."""
    if estimates.design.residual is None:
        return estimates.sigma, UNIT
    return 1.0, text(" times the model's")


def positive_response(estimates: Estimates) -> str:
    """The response, where it is a column whose logarithm can be taken; else ""."""
    name, values = estimates.design.response, estimates.problem.response
    return name if name.isidentifier() and len(values) and values.min() > 0 else ""


def offered(design: Design, function: str) -> str:
    """A variance function beside the residual structure that there is, as `residual=` takes it, or ""."""
    residual = design.residual
    made = function if residual is None else f"{function} * {residual.formula}"
    try:
        parse_residual(made)
    except LmmkitError:
        return ""
    return residual_option(made)


def _by_level(design: Design, factor: FactorRows, n: Ints) -> str:
    if len(n) <= MOST_IDENT and n.min() >= ENOUGH:
        name = factor.name if ":" in factor.name else quote(factor.name)
        if made := offered(design, f"ident({name})"):
            return f"{made} gives every level a variance of its own"
    return (
        "too many or too small levels for a variance each; look up whether one differs alone, and see "
        "whether a predictor or the fitted values explain the variances, or transform the response"
    )


def _by_number(estimates: Estimates, name: str | None, values: Floats, r: float) -> str:
    one_sided = bool(values.min() > 0 or values.max() < 0)
    if name is None:
        made = offered(estimates.design, "power(fitted)") if one_sided else ""
        log = (
            f"`log({response})` as the response"
            if r > 0 and (response := positive_response(estimates))
            else ""
        )
        known = " or ".join(part for part in (made, log) if part)
        return known or "a transformed response"
    made = offered(estimates.design, f"{'power' if one_sided else 'exp'}({quote(name)})")
    return (
        f"{made} lets the variance follow it"
        if made
        else "try another variance function in place of the one that the residual structure has"
    )
