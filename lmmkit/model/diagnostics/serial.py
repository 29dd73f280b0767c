"""Whether residuals that follow each other within a group are alike: serial correlation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.model.design.design import Design
from lmmkit.model.design.residual_design import RowDesign, VisitDesign
from lmmkit.model.diagnostics.check_result import (
    CheckResult,
    Sentence,
    Unchecked,
    column,
    level,
    number,
    residual_option,
)
from lmmkit.model.diagnostics.replicated import Replicated
from lmmkit.model.estimates import Estimates
from lmmkit.model.formula.expression import quote

CHECK = "serial correlation"
LAGS = 5  # at most
LEAST_PAIRS = 20  # of a lag
LEAST_ROWS = 3  # of a group in the mean, for an order
MOST_ORDERS = 3  # that are looked along
SCHEDULE = 2.0  # times the rows of the largest group: so many distinct values may a schedule have
MATTERS = 0.15  # of a correlation beyond what the model leads to
CHUNK = 4_000_000  # products that are held at a time
TIMES = re.compile(
    r"(?:^|[^a-z])(?:time|date|day|week|month|year|hour|minute|second|visit|session|wave|trial|occasion|period"
    r"|age|order|round|t)s?(?:$|[^a-z])"
)


def is_time_like(name: str) -> bool:
    """Whether a column's name says that it is a time or an order.

    >>> [name for name in ("Days", "week_no", "trialNumber", "dose", "stage") if is_time_like(name)]
    ['Days', 'week_no', 'trialNumber']
    """
    parted = re.sub(r"(?<=[a-z])(?=[A-Z0-9])", "_", name).lower()
    return TIMES.search(parted) is not None


@dataclass(frozen=True, eq=False)
class Order:
    """An order of the rows within groups.

    Attributes:
        name: The column that gives it.
        group: The grouping factor.
        times: (n,) when each row is.
        codes: (n,) group of each row.
        levels: Names of the groups.
    """

    name: str
    group: str
    times: Floats
    codes: Ints
    levels: pd.Index[str]


def orders(design: Design) -> list[Order]:
    """Returns the orders of the rows within groups that the data name, the surest first.

    That of a residual structure stands alone. Else numbers or dates, no two of a group alike, that are
    called a time or an order, or that the model has and that are a schedule: few values, in many groups.
    """
    own = _of_structure(design)
    if own is not None:
        return [own]
    found = list[Order]()
    for name, times, named in _candidates(design):
        for grouping in design.groupings:
            if not grouping.members and _orders(times, grouping.codes, named=named):
                found.append(Order(name, grouping.name, times, grouping.codes, grouping.levels))
                break
    found.sort(key=lambda order: not is_time_like(order.name))
    return found[:MOST_ORDERS]


def _of_structure(design: Design) -> Order | None:
    residual = design.residual
    if residual is None or residual.subjects is None:
        return None
    subjects = residual.subjects
    time = residual.formula.time
    name = "" if time is None else time.variables[0] if len(time.variables) == 1 else time.text
    if isinstance(residual, RowDesign):
        if residual.arrays.times is not None:
            return Order(name, subjects.name, residual.arrays.times, subjects.codes, subjects.levels)
        residual = residual.visits
    if isinstance(residual, VisitDesign):
        times = residual.visits.times[residual.visits.codes].astype(np.float64)
        return Order(name or "the order of rows", subjects.name, times, subjects.codes, subjects.levels)
    return None


def _candidates(design: Design) -> Iterator[tuple[str, Floats, bool]]:
    """Columns that may be an order, and whether they are times by name or kind; those of the model first."""
    used = list(dict.fromkeys(design.request.columns()))
    frame = design.source.table.frame
    others = [str(name) for name in frame.columns if str(name) not in used]
    responses = set(design.recipe.formula.response.variables)
    groups = {name for bar in design.recipe.formula.random for name in bar.group.names}
    for name in [*used, *others]:
        if name in responses or name in groups or name not in frame:
            continue
        values = frame[name].iloc[design.rows]
        dated = pd.api.types.is_datetime64_any_dtype(values)
        named = dated or is_time_like(name)
        if not named and name in others:
            continue
        if dated:
            times = (values - values.min()).dt.total_seconds().to_numpy(np.float64)
        elif pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            times = values.to_numpy(np.float64, na_value=np.nan)
        else:
            continue
        if np.isfinite(times).all():
            yield name, times, named


def _orders(times: Floats, codes: Ints, *, named: bool) -> bool:
    """Whether no two rows of a group are at one time, and groups have several."""
    counts = np.bincount(codes)
    counts = counts[counts > 0]
    if len(times) < LEAST_ROWS * len(counts):
        return False
    order = np.lexsort((times, codes))
    if ((np.diff(codes[order]) == 0) & (np.diff(times[order]) == 0.0)).any():
        return False
    return named or len(np.unique(times)) <= SCHEDULE * counts.max() < len(times)


def shifts(subjects: Ints, times: Floats | Ints) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of rows of one subject, the earlier one first: neighbours, then rows two apart, and so on."""
    order = np.lexsort((times, subjects))
    for apart in range(1, int(np.bincount(subjects).max())):
        i, j = order[:-apart], order[apart:]
        same = subjects[i] == subjects[j]
        yield i[same], j[same]


@dataclass(frozen=True, eq=False)
class _Lag:
    """Pairs of rows of one group, so many rows apart, with their weights."""

    first: Ints
    second: Ints
    weights: Floats


def closeness(gaps: Floats) -> Floats:
    """Returns (m,) weights of neighbours: 2^(1 - gap / median gap), 1 where all gaps are alike.

    Where times are uneven those near each other tell most of a correlation that fades.
    """
    middle = float(np.median(gaps))
    if middle <= 0.0 or np.ptp(gaps) <= 1e-9 * middle:
        return np.ones(len(gaps))
    return 2.0 ** (1.0 - gaps / middle)


class SerialCorrelation:
    """Autocorrelations of the normalised residuals within groups, up to five rows apart.

    The lags are judged together, each on both sides: the portmanteau that also sees a correlation of later
    lags. Neighbours that are unevenly spaced are weighed by their closeness.
    """

    def __init__(self, estimates: Estimates) -> None:
        self.design = estimates.design
        self.orders = orders(self.design)
        self.lags = [_lags(order) for order in self.orders]

    def __call__(self, replicated: Replicated) -> Iterator[CheckResult | Unchecked]:
        """What the check finds in a chunk of replicates."""
        what = Sentence("Whether residuals that follow each other are correlated")
        if not self.orders:
            why = Sentence("the data name no order of the rows within a group")
            yield Unchecked(
                CHECK, "residuals", why, what, "name the time in a residual structure, such as `ar1`"
            )
        for order, lags in zip(self.orders, self.lags, strict=True):
            if lags:
                yield self._found(order, lags, replicated.normalised)
            else:
                why = Sentence(f"fewer than {LEAST_PAIRS} pairs of rows follow each other")
                yield Unchecked(CHECK, f"{order.name} in {order.group}", why, what)

    def _found(self, order: Order, lags: Sequence[_Lag], z: Floats) -> CheckResult:
        r = autocorrelations(z, lags)
        usual, neighbours = float(r[0, 1:].mean()), lags[0]
        size = float(r[0, 0]) - usual
        most = self._most(order, neighbours, z[:, 0], size)
        told = (column(order.name), column(order.group), number(r[0, 0], 2), number(usual, 2))
        return CheckResult(
            check=CHECK,
            of=f"{order.name} in {order.group}",
            fine=Sentence(
                "No serial correlation along {} within the levels of {} was found: residuals of neighbours "
                "have a correlation of {}, where the model leads to {}.",
                *told,
            ),
            notable=Sentence(
                "Residuals are serially correlated along {} within the levels of {}: those of neighbours "
                "have a correlation of {}, where the model leads to {} ({} pairs; {} {} adds most to the "
                "difference).",
                *told, number(len(neighbours.first)), column(order.group), level(order.group, most),
            ),
            statistic=r,
            size=size,
            matters=abs(size) >= MATTERS,
            where=f"{order.group} {most}",
            remedy=_remedy(self.design, order, neighbours, size),
            curve=np.arange(1.0, len(lags) + 1.0),
            method=f"autocorrelations of {len(lags)} lags, together",
        )  # fmt: skip

    def _most(self, order: Order, lag: _Lag, z: Floats, excess: float) -> str:
        """The group whose neighbours add most to what the correlation is beyond the model's."""
        products = lag.weights * z[lag.first] * z[lag.second]
        sums = np.bincount(order.codes[lag.first], products)
        return str(order.levels[int((sums if excess > 0.0 else -sums).argmax())])


def autocorrelations(z: Floats, lags: Sequence[_Lag]) -> Floats:
    """Returns (K, r) mean products of the pairs of each lag over the mean square, of (n, r) residuals."""
    square = np.einsum("nr,nr->r", z, z) / len(z)
    return np.array([_mean_product(z, lag) / square for lag in lags])


def _mean_product(z: Floats, lag: _Lag) -> Floats:
    total, step = np.zeros(z.shape[1]), max(CHUNK // z.shape[1], 1)
    for at in range(0, len(lag.first), step):
        part = slice(at, at + step)
        total += np.einsum("m,mr,mr->r", lag.weights[part], z[lag.first[part]], z[lag.second[part]])
    return total / lag.weights.sum()


def _lags(order: Order) -> list[_Lag]:
    """The lags with enough pairs."""
    found = list[_Lag]()
    for i, j in shifts(order.codes, order.times):
        if len(i) < LEAST_PAIRS or len(found) == LAGS:
            break
        weights = np.ones(len(i)) if found else closeness(order.times[j] - order.times[i])
        found.append(_Lag(i, j, weights))
    return found


def _remedy(design: Design, order: Order, neighbours: _Lag, excess: float) -> str:
    """What would add such a correlation to the model's own, which is often below zero."""
    if design.residual is not None and design.residual.formula.correlation != "identity":
        return "try another residual structure: the autocorrelations show what this one leaves"
    if excess < 0.0:
        return f"look whether the effect of {order.name} has the right form: neighbours differ too much"
    even = bool((neighbours.weights == 1.0).all() and (order.times == np.round(order.times)).all())
    made = f"{'ar1' if even else 'car1'}({quote(order.name)} | {order.group})"
    structure = residual_option(made if design.residual is None else f"{design.residual.formula} * {made}")
    if order.name not in design.recipe.fixed_columns():
        return f"put `{quote(order.name)}` in the fixed part where it may act on the mean; else {structure}"
    slopes = any(term.factor == order.group and order.name in term.names for term in design.random)
    return structure if slopes else f"{structure}, or random slopes of {order.name}"
