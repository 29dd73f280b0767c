"""Whether the mean bends where the model has it straight: along predictors, and along the fitted values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.model.diagnostics.added_columns import AddedColumns, added_columns
from lmmkit.model.diagnostics.check_result import UNIT, CheckResult, Sentence, Unchecked, column, number, text
from lmmkit.model.diagnostics.replicated import Replicated
from lmmkit.model.diagnostics.spread import positive_response
from lmmkit.model.estimates import Estimates
from lmmkit.model.threads import one_thread

CHECK = "linearity"
KNOTS = 5  # of a natural cubic spline, at quantiles
GRID = 41  # points of a curve at most
LEAST_VALUES = 3  # of a predictor, for a curve
LEAST_ROWS = 10
FLAT = 1e-6  # share of the largest standard error of a curve below which a point of it is no departure
MATTERS = 0.15  # residual standard deviations of a departure, as root mean square over the rows
NEARLY = 0.9  # share of a spline's score that a simpler curve must have to be named in its place


def spline_columns(x: Floats) -> Floats:
    """Returns (n, q) orthonormal columns of a natural cubic spline in x, its constant left out.

    >>> spline_columns(np.array([1.0, 2.0, 4.0, 4.0])).shape
    (4, 2)
    """
    from scipy.interpolate import CubicSpline  # slow to import, and seldom needed

    values = np.unique(x)
    knots = np.unique(np.quantile(x, np.linspace(0.0, 1.0, KNOTS)))
    if len(knots) < min(KNOTS, len(values)):  # many rows at few places
        knots = values if len(values) <= KNOTS else np.quantile(values, np.linspace(0.0, 1.0, KNOTS))
    scaled, places = ((each - values[0]) / np.ptp(values) for each in (x, knots))
    if len(places) < LEAST_VALUES:
        columns = scaled[:, None]
    else:
        columns = CubicSpline(places, np.eye(len(places)), bc_type="natural")(scaled)
    left, sizes, _ = np.linalg.svd(columns - columns.mean(axis=0), full_matrices=False)
    return left[:, sizes > 1e-10 * sizes[0]]


def places(x: Floats) -> Ints:
    """Returns rows from the lowest to the highest x, no x twice, at most `GRID`."""
    values, rows = np.unique(x, return_index=True)
    if len(values) <= GRID:
        return rows
    wanted = np.searchsorted(values, np.linspace(float(values[0]), float(values[-1]), GRID))
    return rows[np.unique(np.minimum(wanted, len(values) - 1))]


@dataclass(frozen=True, eq=False)
class _Bend:
    """A spline along one predictor beside the columns of the model.

    Attributes:
        name: The column.
        x: (g,) places of the curve.
        rows: (g,) rows there.
        departure: (n, q) spline columns less what the model's own columns of the predictor can follow.
        se: (g,) standard errors of the curve.
        spline, square, log: The tests of a spline, of x^2, and of log x where all are positive.
    """

    name: str
    x: Floats
    rows: Ints
    departure: Floats
    se: Floats
    spline: AddedColumns
    square: AddedColumns
    log: AddedColumns | None


class Linearity:
    """Curves along each numeric predictor and along the fitted values, against straight lines.

    Along a predictor: the coefficients of a natural spline beside the columns of the model, a score test at
    the fitted variances; from their curve what the model's own columns of the predictor can follow is taken
    away, so that where the model is right it is zero. Along the fitted values: what polynomials of degree 2
    and 3 in their ranks explain of the residuals.
    """

    def __init__(self, estimates: Estimates) -> None:
        self.estimates = estimates
        with one_thread():
            self.bends = list(_bends(estimates))

    def __call__(self, replicated: Replicated) -> Iterator[CheckResult | Unchecked]:
        """What the check finds in a chunk of replicates."""
        if not self.bends:
            yield Unchecked(
                CHECK,
                "predictors",
                Sentence("no predictor is a number with three values or more"),
                Sentence("Whether effects of predictors are straight"),
            )
        for bend in self.bends:
            yield self._along(bend, replicated.normalised)
        yield self._along_fitted(replicated)

    def _along(self, bend: _Bend, normalised: Floats) -> CheckResult:
        coefficients = bend.spline.coefficients(normalised)
        noise = float(np.sqrt(np.mean(self.estimates.noise**2)))
        curve = bend.departure[bend.rows] @ coefficients  # in the unit of the response, as its picture says
        own, whole = curve[:, 0], bend.departure @ coefficients[:, 0]
        at = int((np.abs(own) / bend.se).argmax())
        size = float(np.sqrt(np.mean(whole**2))) / noise
        name = column(bend.name)
        return CheckResult(
            check=CHECK,
            of=bend.name,
            fine=Sentence(
                "No bend along {} was found: a curve would depart from what the model has by {} residual "
                "standard deviations in the mean square.",
                name, number(size, 2),
            ),
            notable=Sentence(
                "The mean bends along {}: at {} = {} it lies {}{} {} what the model has, and {} residual "
                "standard deviations off in the mean square over all rows.",
                name, name, number(bend.x[at]), number(abs(own[at])), UNIT,
                text("above" if own[at] > 0 else "below"), number(size, 2),
            ),
            statistic=curve,
            size=size,
            matters=size >= MATTERS,
            where=f"{bend.name} = {bend.x[at]:.4g}",
            remedy=_remedy(bend, normalised[:, :1]),
            curve=bend.x,
            method="score test of a natural spline",
        )  # fmt: skip

    def _along_fitted(self, replicated: Replicated) -> CheckResult | Unchecked:
        what = Sentence("Whether the mean bends along the fitted values")
        n, fitted = len(replicated.fitted), replicated.fitted
        if n < LEAST_ROWS or np.ptp(fitted[:, 0]) <= 1e-9 * np.abs(fitted[:, 0]).max():
            why = f"fewer than {LEAST_ROWS} rows" if n < LEAST_ROWS else "there is one fitted value"
            return Unchecked(CHECK, "fitted values", Sentence(why), what)
        curve, x = along_ranks(fitted, replicated.normalised)
        own = np.asarray(curve[:, 0] - np.mean(curve[:, 1:], axis=1), np.float64)
        spread = np.asarray(np.std(curve[:, 1:], axis=1), np.float64)
        at = int((np.abs(own) / np.maximum(spread, 1e-300)).argmax())
        size = float(np.sqrt(np.mean(own**2)))
        return CheckResult(
            check=CHECK,
            of="fitted values",
            fine=Sentence(
                "No bend of the residuals along the fitted values was found: their smooth departs from where "
                "the model has it by {} standard deviations in the mean square.",
                number(size, 2),
            ),
            notable=Sentence(
                "The residuals bend along the fitted values: at {}{} their smooth lies {} standard "
                "deviations {} where the model has it, and {} off in the mean square.",
                number(x[at]), UNIT, number(abs(own[at]), 2), text("above" if own[at] > 0 else "below"),
                number(size, 2),
            ),
            statistic=curve,
            size=size,
            matters=size >= MATTERS,
            where=f"fitted value {x[at]:.4g}",
            remedy=self._other_scale(),
            curve=x,
            method="polynomials of degree 2 and 3 in the ranks of the fitted values",
        )  # fmt: skip

    def _other_scale(self) -> str:
        response = positive_response(self.estimates)
        scale = f"`log({response})` or a power of it" if response else "the response on another scale"
        return f"look at predictors that bend, at random slopes that are left out, and at {scale}"


def along_ranks(fitted: Floats, normalised: Floats) -> tuple[Floats, Floats]:
    """Returns the (g, r) smooth of residuals along the fitted values, and its (g,) places in the first set.

    Args:
        fitted: (n, r).
        normalised: (n, r).
    """
    n = len(fitted)
    Q = np.polynomial.legendre.legvander((2.0 * np.arange(n) + 1.0) / n - 1.0, 3)[:, 2:]
    order = np.argsort(fitted, axis=0, kind="stable")
    scores = Q.T @ np.take_along_axis(normalised, order, axis=0)
    rows = np.unique(np.linspace(0, n - 1, GRID).astype(np.intp))
    return Q[rows] @ np.linalg.solve(Q.T @ Q, scores), fitted[order[rows, 0], 0]


def _bends(estimates: Estimates) -> Iterator[_Bend]:
    """The splines along the numeric predictors that the model cannot follow."""
    design = estimates.design
    found = dict[str, Floats]()
    for name, predictor in design.predictors.items():
        if predictor.levels is None:
            x = np.asarray(design.source.used(design.source.table.numbers(name)), np.float64)
            if len(np.unique(x[:LEAST_ROWS])) >= LEAST_VALUES or len(np.unique(x)) >= LEAST_VALUES:
                found[name] = x
    sets = list[Floats]()
    for x in found.values():
        scaled = (x - x.min()) / np.ptp(x)
        sets += [spline_columns(x), scaled[:, None] ** 2]
        if x.min() > 0.0:
            sets.append(np.log(x)[:, None])
    tests = iter(added_columns(estimates, sets))
    columns = iter(sets)
    for name, x in found.items():
        spline, square, W = next(tests), next(tests), next(columns)
        next(columns)
        log = (next(tests), next(columns))[0] if x.min() > 0.0 else None
        rows, own = places(x), _own(estimates, name)
        departure = W - own @ np.linalg.lstsq(own, W, rcond=None)[0]
        C = departure[rows]
        se = np.sqrt(np.maximum(np.einsum("gq,qp,gp->g", C, spline.covariance, C), 0.0))
        known = se > FLAT * max(float(se.max()), 1e-300)
        if spline.rank and known.sum() > 1:
            rows = rows[known]
            yield _Bend(name, x[rows], rows, departure, se[known], spline, square, log)


def _own(estimates: Estimates, name: str) -> Floats:
    """(n, k) columns of X that depend on one predictor alone, and the intercept."""
    design, X = estimates.design, estimates.X
    kept = {column: place for place, column in enumerate(estimates.kept)}
    alone = [
        kept[position]
        for term in design.fixed_terms
        if {n for variable in design.composition[term.name] for n in variable.expression.variables} == {name}
        for position in term.columns
        if position in kept
    ]
    return np.column_stack([np.ones(len(X)), X[:, alone]])


def _remedy(bend: _Bend, normalised: Floats) -> str:
    """The simplest curve that has most of what a spline finds."""
    whole = float(bend.spline.squares(normalised)[0])
    if bend.log is not None and float(bend.log.squares(normalised)[0]) >= NEARLY * whole:
        return f"put `log({bend.name})` in place of `{bend.name}`, or beside it"
    if float(bend.square.squares(normalised)[0]) >= NEARLY * whole:
        return f"put `poly({bend.name}, 2)` in place of `{bend.name}`"
    return f"put `bs({bend.name}, df=4)` in place of `{bend.name}`"
