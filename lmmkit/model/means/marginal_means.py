"""Marginal means and slopes over a reference grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.degrees_of_freedom import denominators
from lmmkit.model.inference.estimable_functions import estimable
from lmmkit.model.means.comparisons import Family, MarginalMeans
from lmmkit.model.means.reference_grid import Axis, Grid, reference_grid
from lmmkit.model.options import check_level, check_option

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


def _names(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    names: list[Any] = [given] if isinstance(given, str) or not hasattr(given, "__iter__") else list(given)
    for name in names:
        if not isinstance(name, str):
            raise FitError(f"{name!r} is no name: variables are named by text.")
        if any(mark in name for mark in "~|"):
            raise FitError(f"`{name}`: write the variable alone; what stands after the bar goes into `by`.")
    return tuple(names)


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
    if not len(estimates.beta):
        raise FitError("The fixed part has no coefficient, so there is no mean to estimate.")
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
