"""Marginal means and slopes over a reference grid, side by side, and comparisons among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.degrees_of_freedom import Denominators, denominators
from lmmkit.model.inference.linear_functions import estimable, linear_table
from lmmkit.model.inference.multiplicity import ADJUSTMENTS
from lmmkit.model.means.reference_grid import Axis, Grid, reference_grid
from lmmkit.model.options import check_level, check_option
from lmmkit.model.table.grouping import level_texts

WEIGHTS = ("equal", "proportional")
STEP = 1e-3  # of a covariate's range: the width of the difference that a slope is
Weigh = Callable[[list[str]], tuple[list[str], Floats]]  # from the functions' names to labels and weights


def marginal_means(
    estimates: Estimates,
    *,
    specs: str | Sequence[str],
    by: str | Sequence[str] | None,
    df: str,
    weights: str,
    at: Mapping[str, Sequence[Any]] | None,
    level: float,
    slope_of: str | None = None,
) -> MarginalMeans:
    """Means of the response, or slopes, over the reference grid at each combination of some variables.

    A slope is a central difference over a thousandth of the covariate's range: exact where the mean is linear
    or quadratic in it.

    Args:
        estimates: The fit.
        specs: Variables whose values are told apart.
        by: Variables within whose values they are compared.
        df: Denominator degrees of freedom.
        weights: "equal" for the cells averaged over, or "proportional" to their rows in the data.
        at: Values of variables in place of all levels or of the mean.
        level: Coverage of the intervals.
        slope_of: A covariate along which slopes are wanted; None for means.

    Raises:
        FitError: A variable that the fixed part does not have, a slope along a factor, or an option that is
            not offered.

    Reference: Searle, Speed & Milliken (1980); emmeans for the grid.
    """
    check_option("weights", weights, WEIGHTS)
    check_level("level", level)
    grid = reference_grid(estimates.design, at)
    told, groups = _names(specs, grid), _names(by, grid)
    twice = [name for name in {*told, *groups} if (told + groups).count(name) > 1]
    if twice:
        raise FitError(f"`{twice[0]}` is named twice in specs and by; name each variable once.")
    X, offset = (grid.X, grid.offset) if slope_of is None else _slopes(estimates, grid, slope_of)
    if not len(estimates.beta):
        raise FitError("The fixed part has no coefficient, so there is no mean to estimate.")
    # Averages of the grid's rows over the axes that are not asked for.
    kept = [grid.position(name) for name in (*told, *groups)][::-1]
    rest = [i for i in range(len(grid.axes)) if i not in kept]
    shares = _weights(estimates, [grid.axes[i] for i in rest], weights)
    both = np.column_stack([X, offset]).reshape(*grid.shape, -1).transpose(*kept, *rest, len(grid.shape))
    L = np.tensordot(both.reshape(-1, shares.size, both.shape[-1]), shares, axes=(1, 0))
    rows, possible = estimable(L[:, :-1], estimates)
    by_df, cells = denominators(estimates, df), _cells(grid, kept)
    family = Family(estimates, by_df, rows, possible, L[:, -1], told, groups, cells, level)
    table = MarginalMeans(family.table("mean" if slope_of is None else "slope"))
    table.family = family
    table.attrs.update(method=by_df.told, level=level)
    return table


def _names(given: Any, grid: Grid) -> tuple[str, ...]:
    """Variables as they are called in the data, whether they were given in back-quotes or not."""
    if given is None:
        return ()
    names: list[Any] = [given] if isinstance(given, str) or not hasattr(given, "__iter__") else list(given)
    for name in names:
        if not isinstance(name, str):
            raise FitError(f"{name!r} is no name: variables are named by text.")
    found = tuple(map(grid.named, names))
    for name in found:
        if name not in grid.names and any(mark in name for mark in "~|"):
            raise FitError(f"`{name}`: write the variable alone; what stands after the bar goes into `by`.")
    return found


def _slopes(estimates: Estimates, grid: Grid, variable: str) -> tuple[Floats, Floats]:
    """Derivatives of the columns of X and of the offset along a covariate."""
    variable = grid.named(variable)
    values = grid.axes[grid.position(variable)].values
    if not all(isinstance(value, (int, float, np.number)) for value in values):
        raise FitError(f"`{variable}` is a factor, which has no slope: take its marginal means instead.")
    step = STEP * float(np.ptp(estimates.design.frame[variable].to_numpy(float))) / 2.0
    up, down = grid.moved(variable, step), grid.moved(variable, -step)
    return (up.X - down.X) / (2.0 * step), (up.offset - down.offset) / (2.0 * step)


def _cells(grid: Grid, kept: list[int]) -> pd.DataFrame:
    """The combinations of some axes' values, the last varying fastest; the columns in reverse order."""
    if not kept:
        return pd.DataFrame({"cell": ["overall"]})
    axes = [grid.axes[i] for i in kept]
    product = pd.MultiIndex.from_product([axis.labels for axis in axes], names=[axis.name for axis in axes])
    return product.to_frame(index=False).iloc[:, ::-1]


def _weights(estimates: Estimates, axes: list[Axis], weights: str) -> Floats:
    """(cells,) weights of the combinations of some axes, adding up to one."""
    size = int(np.prod([len(axis.values) for axis in axes]))
    if weights == "equal" or size == 1:
        return np.full(size, 1.0 / size)
    code = np.zeros(estimates.nobs, np.intp)
    for axis in axes:
        if len(axis.values) > 1:
            code = code * len(axis.values) + _codes(estimates.design.frame[axis.name], axis)
    return np.bincount(code, minlength=size) / estimates.nobs


def _codes(column: pd.Series[Any], axis: Axis) -> NDArray[np.intp]:
    """Which value of an axis each row has."""
    codes = pd.Index(list(axis.values)).get_indexer(pd.Index(column))
    if (codes < 0).any():
        raise FitError(
            f"weights='proportional' counts rows, and `{axis.name}` has values in the data that `at` leaves "
            "out: use weights='equal'."
        )
    return codes.astype(np.intp, copy=False)


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
        table = linear_table(
            _index(self.cells),
            self.L,
            self.estimates,
            self.by,
            self.level,
            offset=self.offset,
            possible=self.possible,
        )
        return table.rename(columns={"estimate": name})[[name, "se", "df", "low", "high"]]

    def compare(self, weigh: Weigh, adjust: str) -> pd.DataFrame:
        """Contrasts of the functions within each group: estimate, se, df, t, p, low, high."""
        check_option("adjust", adjust, ADJUSTMENTS)
        table = pd.concat([self._within(where, weigh, adjust) for where in self._blocks()])
        table.attrs.update(adjust=adjust)
        return table

    @property
    def labels(self) -> pd.Index[Any]:
        """The rows of its table."""
        return _index(self.cells)

    def take(self, where: NDArray[np.intp]) -> Family:
        """Some of the functions."""
        cells = self.cells.iloc[where].reset_index(drop=True)
        parts = {"L": self.L[where], "possible": self.possible[where], "offset": self.offset[where]}
        return replace(self, cells=cells, **parts)

    def _blocks(self) -> list[NDArray[np.intp]]:
        """Positions of the functions of each group."""
        if not self.groups:
            return [np.arange(len(self.L))]
        codes = self.cells.groupby(list(self.groups), sort=False, observed=True).ngroup().to_numpy()
        return [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]

    def _within(self, where: NDArray[np.intp], weigh: Weigh, adjust: str) -> pd.DataFrame:
        labels, C = weigh(self.names(where))
        groups = {name: self.cells[name].iloc[where[0]] for name in self.groups}
        return linear_table(
            _index(pd.DataFrame({"contrast": labels}).assign(**groups)),
            C @ self.L[where],
            self.estimates,
            self.by,
            self.level,
            offset=C @ self.offset[where],
            possible=~((C != 0.0) & ~self.possible[where]).any(axis=1),
            adjust=adjust,
            means=len(where),
        )

    def names(self, where: NDArray[np.intp]) -> list[str]:
        """The values of specs in some cells, each as one text."""
        rows = self.cells.iloc[where]
        return [" ".join(level_texts(row)) for row in rows[list(self.specs)].itertuples(index=False)]


def _index(cells: pd.DataFrame) -> pd.Index[Any]:
    if cells.shape[1] == 1:
        return pd.Index(cells.iloc[:, 0], name=cells.columns[0])
    return pd.MultiIndex.from_frame(cells)


class MarginalMeans(pd.DataFrame):
    """Marginal means (or slopes) by the values of some variables, with their comparisons.

    A DataFrame `mean` (or `slope`), `se`, `df`, `low`, `high`. What pandas makes of it (rounded, sorted, some
    rows) compares the means whose rows it has, with all their digits.
    """

    _metadata = ["family"]  # noqa: RUF012  pandas' own protocol
    family: Family | None = None

    @property
    def _constructor(self) -> Callable[..., MarginalMeans]:
        return MarginalMeans

    @property
    def _shown(self) -> Family:
        """The means whose rows the table has."""
        known = self.family
        where = np.array([-1]) if known is None else known.labels.get_indexer(self.index)
        if known is None or (where < 0).any() or len(set(where)) < len(where):
            raise FitError(
                "The rows of this table are no longer those of marginal_means(), so it cannot tell what to "
                "compare: ask the table that marginal_means() gave, or some of its rows."
            )
        return known.take(where)

    def pairs(self, adjust: str = "tukey") -> pd.DataFrame:
        """All differences, the first less the second: estimate, se, df, t, p, low, high.

        Args:
            adjust: tukey, holm, bonferroni, sidak or none, for p-values and intervals, within each value of
                `by`; the intervals of holm are bonferroni's.

        Raises:
            FitError: An adjustment that is not offered, or one mean only.
        """

        def differences(names: list[str]) -> tuple[list[str], Floats]:
            if (count := len(names)) < 2:
                raise FitError("pairs() needs two means or more; this table has one per group.")
            first, second = np.array(list(combinations(range(count), 2))).T
            C = np.eye(count)[first] - np.eye(count)[second]
            return [f"{names[i]} - {names[j]}" for i, j in zip(first, second, strict=True)], C

        return self._shown.compare(differences, adjust)

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
        if not given:
            raise FitError("contrast() was given no combination: one or more are expected.")

        def combined(names: list[str]) -> tuple[list[str], Floats]:
            rows = [_row(label, row, len(names)) for label, row in given.items()]
            return [str(label) for label in given], np.array(rows)

        return self._shown.compare(combined, adjust)


def _row(label: str, given: Any, count: int) -> Floats:
    """One combination's weights, checked."""
    try:
        row = np.array(list(given), dtype=np.float64)
    except (TypeError, ValueError):
        raise FitError(
            f"contrast `{label}`: {count} numbers are expected, one for each mean, not {given!r:.60}."
        ) from None
    if len(row) != count:
        raise FitError(f"contrast `{label}` has {len(row)} weights for {count} means: give one for each.")
    if not np.isfinite(row).all() or not row.any():
        raise FitError(f"contrast `{label}` needs finite weights that are not all zero.")
    return row
