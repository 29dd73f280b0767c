"""Marginal means and slopes over a reference grid, with their comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError
from lmmkit.model.aliasing import estimable
from lmmkit.model.degrees import Denominators, denominators
from lmmkit.model.estimate import Estimates
from lmmkit.model.grid import Axis, Grid, reference_grid
from lmmkit.model.grouping import level_texts
from lmmkit.model.multiplicity import ADJUSTMENTS, adjusted_p, critical
from lmmkit.model.options import check_level, check_option
from lmmkit.model.wald import linear_table

WEIGHTS = ("equal", "proportional")
STEP = 1e-3  # of a covariate's range: the width of the difference that a slope is


@dataclass(frozen=True)
class Asked:
    """What a user asked of a reference grid.

    Attributes:
        specs: Variables whose values are told apart.
        groups: Variables within whose values they are compared.
        df: Denominator degrees of freedom.
        weights: "equal" for the cells averaged over, or "proportional" to their rows in the data.
        level: Coverage of the intervals.
    """

    specs: tuple[str, ...]
    groups: tuple[str, ...]
    df: str
    weights: str
    level: float


@dataclass(frozen=True, eq=False)
class Family:
    """Linear functions of the coefficients, one per combination of some variables' values.

    Attributes:
        estimates: The fit.
        by: Degrees of freedom.
        L: (m, p) on the kept coefficients.
        possible: (m,) which of them the data can estimate.
        offset: (m,) known part of each.
        specs: Variables whose values are compared.
        groups: Variables within whose values they are compared.
        cells: The combinations, specs and groups as columns.
        level: Coverage of the intervals.
    """

    estimates: Estimates
    by: Denominators
    L: Floats
    possible: NDArray[np.bool_]
    offset: Floats
    specs: tuple[str, ...]
    groups: tuple[str, ...]
    cells: pd.DataFrame
    level: float

    def table(self, name: str) -> pd.DataFrame:
        """The functions themselves: `name`, se, df, low, high; NaN for what cannot be estimated."""
        table = linear_table(_index(self.cells), self.L, self.estimates, self.by, self.level)
        shifted = table.assign(**{c: table[c] + self.offset for c in ("estimate", "low", "high")})
        shifted.loc[~self.possible] = np.nan
        return shifted.rename(columns={"estimate": name})[[name, "se", "df", "low", "high"]]

    def compare(self, weights: Callable[[int], tuple[list[str], Floats]], adjust: str) -> pd.DataFrame:
        """Contrasts of the functions within each group: estimate, se, df, t, p, low, high."""
        check_option("adjust", adjust, ADJUSTMENTS)
        return pd.concat([self._within(where, weights, adjust) for where in self._blocks()])

    def _blocks(self) -> list[NDArray[np.intp]]:
        """Positions of the functions of each group."""
        if not self.groups:
            return [np.arange(len(self.L))]
        codes = self.cells.groupby(list(self.groups), sort=False, observed=True).ngroup().to_numpy()
        return [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]

    def _within(
        self, where: NDArray[np.intp], weights: Callable[[int], tuple[list[str], Floats]], adjust: str
    ) -> pd.DataFrame:
        labels, C = weights(len(where))
        index = _index(self._labelled(labels, where))
        table = linear_table(index, C @ self.L[where], self.estimates, self.by, self.level)
        table.loc[((C != 0.0) & ~self.possible[where]).any(axis=1)] = np.nan
        offset = C @ self.offset[where]
        table["estimate"] += offset
        table["t"] = table["estimate"] / table["se"]
        t, df = table["t"].to_numpy(), table["df"].to_numpy()
        half = critical(df, self.level, adjust, len(where)) * table["se"]
        p = adjusted_p(t, df, adjust, len(where))
        table = table.assign(p=p, low=table["estimate"] - half, high=table["estimate"] + half)
        table.attrs.update(adjust=adjust)
        return table

    def _labelled(self, labels: list[str], where: NDArray[np.intp]) -> pd.DataFrame:
        """Labels of contrasts beside the values of the group."""
        named = pd.DataFrame({"contrast": labels})
        return named.assign(**{name: self.cells[name].iloc[where[0]] for name in self.groups})

    def names(self) -> list[str]:
        """The values of specs in each cell of the first group, as one text."""
        rows = self.cells.iloc[self._blocks()[0]]
        return [" ".join(level_texts(row)) for row in rows[list(self.specs)].itertuples(index=False)]


def _index(cells: pd.DataFrame) -> pd.Index[Any]:
    if cells.shape[1] == 1:
        return pd.Index(cells.iloc[:, 0], name=cells.columns[0])
    return pd.MultiIndex.from_frame(cells)


class MarginalMeans(pd.DataFrame):
    """Marginal means (or slopes) by the values of some variables, with their comparisons.

    A DataFrame `mean` (or `slope`), `se`, `df`, `low`, `high`.
    """

    _metadata = ["family"]  # noqa: RUF012  pandas' own protocol
    family: Family

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def pairs(self, adjust: str = "tukey") -> pd.DataFrame:
        """All differences, the first less the second: estimate, se, df, t, p, low, high.

        Args:
            adjust: tukey, holm, bonferroni, sidak or none, for p-values and intervals, within each value of
                `by`; the intervals of holm are bonferroni's.

        Raises:
            FitError: An adjustment that is not offered, or one mean only.
        """
        names = self.family.names()
        if len(names) < 2:
            raise FitError("pairs() needs two means or more; this table has one per group.")
        return self.family.compare(lambda count: _pairs(names, count), adjust)

    def contrast(
        self, weights: Mapping[str, Sequence[float]] | Sequence[float], adjust: str = "none"
    ) -> pd.DataFrame:
        """Linear combinations of the means within each value of `by`.

        Args:
            weights: One number per mean, or such by label.
            adjust: holm, bonferroni, sidak or none.

        Raises:
            FitError: Not as many weights as there are means, or an adjustment that is not offered.
        """
        if adjust == "tukey":
            raise FitError("adjust='tukey' is for all pairs; use sidak, holm, bonferroni or none here.")
        given = weights if isinstance(weights, Mapping) else {"contrast": weights}
        return self.family.compare(lambda count: _given(given, count), adjust)


def _pairs(names: list[str], count: int) -> tuple[list[str], Floats]:
    """Labels and weights of all differences."""
    pairs = list(combinations(range(count), 2))
    C = np.zeros((len(pairs), count))
    for row, (i, j) in zip(C, pairs, strict=True):
        row[i], row[j] = 1.0, -1.0
    return [f"{names[i]} - {names[j]}" for i, j in pairs], C


def _given(weights: Mapping[str, Sequence[float]], count: int) -> tuple[list[str], Floats]:
    """Labels and weights as the user gave them."""
    for label, row in weights.items():
        if len(row) != count:
            raise FitError(f"contrast `{label}` has {len(row)} weights for {count} means: give one for each.")
    return [str(label) for label in weights], np.array([list(row) for row in weights.values()], float)


def asked(
    specs: str | Sequence[str], by: str | Sequence[str] | None, df: str, weights: str, level: float
) -> Asked:
    """Check what a user asked.

    Raises:
        FitError: An option that is not offered, no variable, or one named twice.
    """
    check_option("weights", weights, WEIGHTS)
    check_level("level", level)
    one, two = _names(specs), _names(by)
    twice = [name for name in {*one, *two} if (one + two).count(name) > 1]
    if twice:
        raise FitError(f"`{twice[0]}` is named twice in specs and by; name each variable once.")
    return Asked(one, two, df, weights, level)


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if any(mark in name for mark in "~|"):
            raise FitError(f"`{name}`: write the variable alone; what stands after the bar goes into `by`.")
    return names


def marginal_means(
    estimates: Estimates, request: Asked, at: Mapping[str, Sequence[Any]] | None
) -> MarginalMeans:
    """Means of the response over the reference grid at each combination of some variables.

    Args:
        estimates: The fit.
        request: Variables and options.
        at: Values of variables in place of all levels or of the mean.

    Raises:
        FitError: A variable that the fixed part does not have, or an option that is not offered.

    Reference: Searle, Speed & Milliken (1980); emmeans for the grid.
    """
    grid = reference_grid(estimates.design, at)
    return _made(_family(estimates, request, grid, grid.X, grid.offset), "mean")


def slopes(
    estimates: Estimates, variable: str, request: Asked, at: Mapping[str, Sequence[Any]] | None
) -> MarginalMeans:
    """Slopes of the mean along a covariate at each combination of some variables.

    The derivative is a central difference over a thousandth of the covariate's range: exact where the mean is
    linear or quadratic in it.

    Args:
        estimates: The fit.
        variable: The covariate.
        request: Variables and options.
        at: Values of variables in place of all levels or of the mean.

    Raises:
        FitError: As for `marginal_means`, or the variable is a factor.
    """
    grid = reference_grid(estimates.design, at)
    values = grid.axes[grid.position(variable)].values
    if not all(isinstance(value, (int, float, np.number)) for value in values):
        raise FitError(f"`{variable}` is a factor, which has no slope: take its marginal means instead.")
    step = STEP * float(np.ptp(estimates.design.frame[variable].to_numpy(float))) / 2.0
    up, down = grid.moved(variable, step), grid.moved(variable, -step)
    X, offset = (up.X - down.X) / (2.0 * step), (up.offset - down.offset) / (2.0 * step)
    return _made(_family(estimates, request, grid, X, offset), "slope")


def _made(family: Family, name: str) -> MarginalMeans:
    """The table that users see."""
    table = MarginalMeans(family.table(name))
    table.family = family
    table.attrs.update(method=family.by.method, level=family.level)
    return table


def _family(estimates: Estimates, request: Asked, grid: Grid, X: Floats, offset: Floats) -> Family:
    """Averages of the grid's rows over the axes that are not asked for."""
    kept = [grid.position(name) for name in (*request.specs, *request.groups)][::-1]
    rest = [i for i in range(len(grid.axes)) if i not in kept]
    weights = _weights(estimates, grid, rest, request.weights)
    both = np.column_stack([X, offset]).reshape(*grid.shape, -1).transpose(*kept, *rest, len(grid.shape))
    L = np.tensordot(both.reshape(-1, weights.size, both.shape[-1]), weights, axes=(1, 0))
    rows, possible = estimable(L[:, :-1], estimates)
    by = denominators(estimates, request.df)
    return Family(
        estimates,
        by,
        rows,
        possible,
        L[:, -1],
        request.specs,
        request.groups,
        _cells(grid, kept),
        request.level,
    )


def _cells(grid: Grid, kept: list[int]) -> pd.DataFrame:
    """The combinations of some axes' values, the last varying fastest; the columns in reverse order."""
    if not kept:
        return pd.DataFrame({"cell": ["overall"]})
    axes = [grid.axes[i] for i in kept]
    product = pd.MultiIndex.from_product([axis.labels for axis in axes], names=[axis.name for axis in axes])
    return product.to_frame(index=False).iloc[:, ::-1]


def _weights(estimates: Estimates, grid: Grid, rest: list[int], weights: str) -> Floats:
    """(cells,) weights of the combinations of some axes, adding up to one."""
    axes = [grid.axes[i] for i in rest]
    shape = [len(axis.values) for axis in axes]
    size = int(np.prod(shape))
    if weights == "equal" or size == 1:
        return np.full(size, 1.0 / size)
    code = np.zeros(estimates.nobs, np.intp)
    for axis, count in zip(axes, shape, strict=True):
        if count > 1:
            code = code * count + _codes(estimates.design.frame[axis.name], axis)
    counts = np.bincount(code, minlength=size)
    return counts / counts.sum()


def _codes(column: pd.Series[Any], axis: Axis) -> NDArray[np.intp]:
    """Which value of an axis each row has."""
    codes = pd.Index(list(axis.values)).get_indexer(pd.Index(column))
    if (codes < 0).any():
        raise FitError(
            f"weights='proportional' counts rows, and `{axis.name}` has values in the data that `at` leaves "
            "out: use weights='equal'."
        )
    return codes.astype(np.intp, copy=False)
