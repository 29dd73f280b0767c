"""Whether the rows left out for missing values differ from those kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
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
)
from lmmkit.model.diagnostics.replicated import Replicated
from lmmkit.model.diagnostics.serial import Order, orders
from lmmkit.model.estimates import Estimates
from lmmkit.model.table.columns import open_table
from lmmkit.model.table.evaluate import Evaluator

CHECK = "missing values"
LEAST_MISSING = 5  # rows, for a comparison
MATTERS = 0.3  # standard deviations of a difference
MOST_LEVELS = 12  # of a factor that are compared one by one
SEED = 15
CHUNK = 4_000_000  # numbers that are held at a time
LAST = "the last value"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Rows that are missing among those that might be, with what they are compared in.

    Attributes:
        of: What they are compared in, in the table.
        missing: (m,) share of each unit that is missing.
        values: (m, q) predictors.
        names: Column and level of each, the level empty of numbers.
        strata: (m,) within which any unit might have been missing as well.
        along: What the strata are, as the end of a sentence.
        within: What they are, for the table.
    """

    of: str
    missing: Floats
    values: Floats
    names: Sequence[tuple[str, str]]
    strata: Ints
    along: Sentence
    within: str


def permuted_scores(
    missing: Floats, values: Floats, strata: Ints, count: int, rng: np.random.Generator
) -> Floats:
    """Returns (q, 1 + count) standardised sums of values over what is missing, then those of permutations.

    Args:
        missing: (m,) shares.
        values: (m, q).
        strata: (m,) from 0, within which is permuted.
        count: Permutations.
        rng: Of them.
    """
    sizes = np.bincount(strata)
    W, T = (_centred(each, strata, sizes) for each in (values, missing[:, None]))
    order = np.argsort(strata, kind="stable")
    given = T[order, 0]
    moving = np.flatnonzero(given != 0.0)
    out = np.empty((W.shape[1], 1 + count))
    out[:, 0] = given @ W[order]
    step = max(CHUNK // max(len(strata), W.shape[1] * len(moving)), 1)
    for at in range(0, count, step):
        keys = rng.random((len(strata), min(step, count - at))) + strata[:, None]
        drawn = np.argsort(keys, axis=0)[moving]
        out[:, 1 + at : 1 + at + keys.shape[1]] = np.einsum("m,mrq->qr", given[moving], W[drawn])
    return out / _spread(missing, values, strata)[:, None]


def _spread(missing: Floats, values: Floats, strata: Ints) -> Floats:
    """(q,) SD of the sums over all permutations."""
    sizes = np.bincount(strata)
    T, W = (
        np.stack([np.bincount(strata, each) for each in (_centred(of, strata, sizes) ** 2).T], axis=1)
        for of in (missing[:, None], values)
    )
    return np.sqrt((T * W / np.maximum(sizes - 1.0, 1.0)[:, None]).sum(axis=0))


def _centred(values: Floats, strata: Ints, sizes: Ints) -> Floats:
    means = np.stack([np.bincount(strata, each, minlength=len(sizes)) for each in values.T], axis=1)
    return values - (means / np.maximum(sizes, 1)[:, None])[strata]


class Missingness:
    """Rows with missing values against the others, by permutation within visits, groups, or all rows.

    Where rows have an order within groups those at risk are compared: of each group all up to the first that
    is missing, within the same time or place in the order. Where they have none, predictors that vary within
    groups are compared within them, others between groups of as many rows.
    """

    def __init__(self, estimates: Estimates, with_gaps: Any = None) -> None:
        """Prepares the comparisons.

        Args:
            estimates: The fit.
            with_gaps: The rows of the fit and those left out before it for missing values; by default the
                table that was fitted.

        Raises:
            DataError: A table without the columns of the model.
        """
        self.rows = rows = _rows(estimates.design, with_gaps)
        self.comparisons = list[_Comparison]()
        self.why = ""
        lost = rows.lost
        gone = int(np.logical_or.reduce(list(lost.values())).sum()) if lost else 0
        if gone == 0:
            self.why = "the table that was fitted has no missing value"
        elif gone < LEAST_MISSING:
            self.why = f"fewer than {LEAST_MISSING} rows have missing values"
        else:
            self.comparisons = [known for one in _comparisons(rows) if (known := _varying(one))]
            if not self.comparisons:
                self.why = "nothing that rows could be compared in is known of all of them"
        self.rng = np.random.Generator(np.random.Philox(SEED))

    def __call__(self, replicated: Replicated) -> Iterator[CheckResult | Unchecked]:
        """What the check finds in a chunk of replicates."""
        if self.why:
            what = Sentence("Whether missing values depend on predictors or on values before them")
            yield Unchecked(CHECK, "rows left out", Sentence(self.why), what)
        for one in self.comparisons:
            yield self._found(one, replicated.normalised.shape[1] - 1)

    def _found(self, one: _Comparison, count: int) -> CheckResult:
        z = np.abs(permuted_scores(one.missing, one.values, one.strata, count, self.rng))
        at = int(z[:, 0].argmax())
        difference = _difference(one, at)
        size = abs(difference) / (float(one.values[:, at].std()) or 1.0)
        clause = _clause(one, at, difference, size)
        name, value = one.names[at]
        responses = self.rows.design.recipe.formula.response.variables  # compared too where it is known
        found = one.of.replace("predictors", "the response") if name in responses else one.of
        every = "predictors or the response" if {own for own, _ in one.names} & {*responses} else "predictors"
        return CheckResult(
            check=CHECK,
            of=one.of,
            fine=Sentence(
                f"Missing values were not found to depend on {one.of.replace('predictors', every)}: "
                f"{clause.form}.",
                *clause.facts,
            ),
            notable=Sentence(f"Missing values depend on {found}: {clause.form}.", *clause.facts),
            statistic=z.max(axis=0),
            size=size,
            matters=size >= MATTERS,
            where=f"{name} {value}".strip(),
            remedy=_remedy(self.rows, name),
            method="permutation within " + one.within,
        )


def _varying(one: _Comparison) -> _Comparison | None:
    """A comparison in what differs within the strata; None where nothing does."""
    spread = _spread(one.missing, one.values, one.strata)
    moves = spread > 1e-9 * np.maximum(np.abs(one.values).max(axis=0), 1e-300)
    if not moves.any():
        return None
    names = [name for name, known in zip(one.names, moves, strict=True) if known]
    return replace(one, values=one.values[:, moves], names=names)


def _clause(one: _Comparison, at: int, difference: float, size: float) -> Sentence:
    """How the rows with missing values differ from the others."""
    name, value = one.names[at]
    among, along = "rows with missing values", one.along
    if value:
        return Sentence(
            "{} of {} is " + ("more" if difference > 0 else "less") + f" frequent among the {among} than "
            "among others" + along.form + ", by {} percentage points",
            level(name, value), column(name), *along.facts, number(100.0 * abs(difference), 1),
        )  # fmt: skip
    before = one.of == LAST
    return Sentence(
        ("the last {}" if before else "{}")
        + (" is higher" if difference > 0 else " is lower")
        + f" for the {among} than for "
        "others" + along.form + ", by {}{} ({} standard deviations)",
        column(name), *along.facts, number(abs(difference)), UNIT if before else Fact("text"),
        number(size, 2),
    )  # fmt: skip


def _difference(one: _Comparison, at: int) -> float:
    """Mean difference of what is missing from what is not, within the strata."""
    share, w, sizes = one.missing, one.values[:, at], np.bincount(one.strata)
    there = np.bincount(one.strata, 1.0 - share)
    means = np.bincount(one.strata, (1.0 - share) * w) / np.where(there > 0, there, np.nan)
    off = (w - means[one.strata]) * share
    known = np.isfinite(off) & (sizes[one.strata] > 1)
    return float(off[known].sum() / max(share[known].sum(), 1e-300))


@dataclass(frozen=True, eq=False)
class _RowsWithGaps:
    """All rows, used and left out.

    Attributes:
        design: The design of the fit.
        table: Their columns.
        lost: For each column of the model with missing values where they are.
        response: (N,) the response, NaN where it is missing.
    """

    design: Design
    table: pd.DataFrame
    lost: Mapping[str, Mask]
    response: Floats


def _rows(design: Design, with_gaps: Any) -> _RowsWithGaps:
    source, response = design.source, design.recipe.formula.response
    if with_gaps is None:
        return _RowsWithGaps(design, source.table.frame, source.lost, source.evaluator.numbers(response))
    needed = dict.fromkeys(design.request.needed())
    evaluator = Evaluator(open_table(with_gaps, needed), design.recipe.states)
    masks = {name: evaluator.table.missing(name) for name in needed}
    lost = {name: mask for name, mask in masks.items() if mask is not None}
    return _RowsWithGaps(design, evaluator.table.frame, lost, evaluator.numbers(response))


def _comparisons(rows: _RowsWithGaps) -> Iterator[_Comparison]:
    """What can be compared in these data."""
    lost = rows.lost
    responses = [name for name in rows.design.recipe.formula.response.variables if name in lost]
    gone = np.logical_or.reduce(list(lost.values()))
    names, values = _predictors(rows)
    at_risk = _at_risk(rows, np.logical_or.reduce([lost[name] for name in responses])) if responses else None
    if at_risk is not None:
        yield from _of_last_value(rows, at_risk)
    if not names:
        return
    if at_risk is not None:
        missing, strata = at_risk.missing[at_risk.rows].astype(np.float64), at_risk.strata
        yield _Comparison("predictors", missing, values[at_risk.rows], names, strata, at_risk.along, "times")
        return
    yield from _without_order(rows, gone.astype(np.float64), names, values)


@dataclass(frozen=True, eq=False)
class _AtRisk:
    """Rows of groups with an order, each up to the first that is missing.

    Attributes:
        rows: (m,) rows of the table.
        before: (m,) the row before each in its group, -1 for none.
        strata: (m,) those at one time, or at one place in the order.
        missing: (N,) of the table.
        along: What the strata are.
    """

    rows: Ints
    before: Ints
    strata: Ints
    missing: Mask
    along: Sentence


def _at_risk(every: _RowsWithGaps, missing: Mask) -> _AtRisk | None:
    """The rows at risk of being the first that is missing; None without an order, or with too few such."""
    table, found = every.table, orders(every.design)
    found = [one for one in found if one.name in table]
    if not found:
        return None
    order = found[0]
    names, times = _group_columns(every.design).get(order.group, ()), _times(every, order)
    if not names or times is None or table[list(names)].isna().any(axis=None):
        return None
    codes = np.asarray(table.groupby(list(names), sort=True, observed=True).ngroup(), np.intp)
    sort = np.lexsort((times, codes))
    first = np.diff(codes[sort], prepend=-1) != 0
    if ((np.diff(times[sort]) == 0) & ~first[1:]).any():
        return None
    group = np.cumsum(first) - 1
    place = np.arange(len(sort)) - np.flatnonzero(first)[group]
    earlier = np.cumsum(missing[sort]) - missing[sort]
    earlier -= earlier[np.flatnonzero(first)][group]
    kept = earlier == 0
    before = np.where(first, -1, np.roll(sort, 1))
    several = len(np.unique(times)) <= 2 * int(place.max() + 1)
    strata = np.unique((times[sort] if several else place)[kept], return_inverse=True)[1]
    along = Sentence(" at the same {}", column(order.name)) if several else Sentence(" in the same place")
    if missing[sort[kept]].sum() < LEAST_MISSING:
        return None
    return _AtRisk(sort[kept], before[kept], strata, missing, along)


def _of_last_value(rows: _RowsWithGaps, risk: _AtRisk) -> Iterator[_Comparison]:
    """The value before, of rows that have one."""
    later = risk.before >= 0
    value = rows.response[risk.before[later]]
    known = np.isfinite(value)
    missing = risk.missing[risk.rows[later][known]].astype(np.float64)
    if LEAST_MISSING <= missing.sum() < len(missing):
        strata = np.unique(risk.strata[later][known], return_inverse=True)[1]
        names = [(rows.design.response, "")]
        yield _Comparison(LAST, missing, value[known][:, None], names, strata, risk.along, "times")


def _without_order(
    rows: _RowsWithGaps, missing: Floats, names: Sequence[tuple[str, str]], values: Floats
) -> Iterator[_Comparison]:
    """Predictors that vary within groups are compared there, others between groups of as many rows."""
    codes = _largest_groups(rows)
    if codes is None:
        strata = np.zeros(len(missing), np.intp)
        yield _Comparison("predictors", missing, values, names, strata, Sentence(""), "all rows")
        return
    sizes = np.bincount(codes)
    means = np.stack([np.bincount(codes, each) for each in values.T], axis=1) / sizes[:, None]
    whole = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
    within = ((values - means[codes]) ** 2).sum(axis=0) > 1e-9 * whole
    if within.any():
        own = [name for name, varies in zip(names, within, strict=True) if varies]
        along = Sentence(" of their group")
        yield _Comparison("predictors within groups", missing, values[:, within], own, codes, along, "groups")
    if not within.all():
        own = [name for name, varies in zip(names, within, strict=True) if not varies]
        shares = np.bincount(codes, missing) / sizes
        strata = np.unique(sizes, return_inverse=True)[1]
        made = (shares, means[:, ~within], own, strata, Sentence(""))
        yield _Comparison("predictors between groups", *made, "groups of a size")


def _times(rows: _RowsWithGaps, order: Order) -> Ints | None:
    """(N,) ranks of the times of all rows; None where one is unknown."""
    values, design = rows.table[order.name], rows.design
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        known = values
    else:
        used = design.source.table.frame[order.name].iloc[design.rows]
        seen = pd.Series(order.times, index=used.astype(str))
        known = values.astype(str).map(seen[~seen.index.duplicated()])
    return None if known.isna().any() else np.unique(known.to_numpy(), return_inverse=True)[1]


def _group_columns(design: Design) -> dict[str, tuple[str, ...]]:
    """The columns of each grouping factor whose rows have one level, and of the subjects of a structure."""
    residual, bars = design.residual, design.recipe.formula.random
    found = {bar.group.label: tuple(bar.group.names) for bar in bars if not bar.group.members}
    if residual is not None and residual.formula.group is not None:
        found[residual.formula.group.label] = tuple(residual.formula.group.names)
    return found


def _largest_groups(rows: _RowsWithGaps) -> Ints | None:
    """(N,) codes of the groups of which there are most, on all rows of the table; None without any."""
    table, every = rows.table, list[Ints]()
    for names in _group_columns(rows.design).values():
        if names and not table[list(names)].isna().any(axis=None):
            every.append(np.asarray(table.groupby(list(names), observed=True).ngroup(), np.intp))
    return max(every, key=lambda codes: int(codes.max()), default=None)


def _predictors(rows: _RowsWithGaps) -> tuple[list[tuple[str, str]], Floats]:
    """Columns of the fixed part, and the response, that are known in all rows; levels one by one."""
    table, lost, design = rows.table, rows.lost, rows.design
    responses = list(design.recipe.formula.response.variables)
    names, columns = list[tuple[str, str]](), list[Floats]()
    for name in dict.fromkeys([*design.recipe.fixed_columns(), *responses]):
        if name in lost:
            continue
        values = table[name]
        if name in responses or (
            design.predictors[name].levels is None and pd.api.types.is_numeric_dtype(values)
        ):
            names.append((name, ""))
            columns.append(values.to_numpy(np.float64))
            continue
        codes, levels = pd.factorize(values, sort=True)
        for code, each in enumerate(levels if len(levels) <= MOST_LEVELS else []):
            names.append((name, str(each)))
            columns.append((codes == code).astype(np.float64))
    moving = [i for i, each in enumerate(columns) if np.ptp(each) > 0.0]
    made = np.stack([columns[i] for i in moving], axis=1) if moving else np.empty((table.shape[0], 0))
    return [names[i] for i in moving], made


def _remedy(rows: _RowsWithGaps, name: str) -> str:
    if name == rows.design.response and name not in rows.lost:
        return (
            "rows whose predictors are known are no random part of all rows, and the estimates are of them: "
            "give the predictors, or fit without those that are missing"
        )
    return (
        "the fit holds where missing values depend on nothing but the model's predictors and observed "
        "responses; see how far the answer depends on that (`tipping_point`)"
    )
