"""F tests of main effects and interactions over the reference grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations as combinations_of
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.anova import f_table, joint_test
from lmmkit.model.inference.degrees_of_freedom import FTest, denominators
from lmmkit.model.inference.linear_functions import combined, estimable_part
from lmmkit.model.means.grid_weights import WEIGHTS, nested_in
from lmmkit.model.means.marginal_means import Averages, grid_averages, variable_names
from lmmkit.model.means.reference_grid import Grid, Reduce, reference_grid
from lmmkit.model.options import check_option


def joint_tests(
    estimates: Estimates,
    *,
    by: str | Sequence[str] | None,
    df: str,
    at: Mapping[str, Sequence[Any]] | None,
    weights: str,
    cov_reduce: Reduce | Mapping[str, Reduce],
) -> pd.DataFrame:
    """F tests of main effects and interactions over the reference grid, within each value of some variables.

    The rows of an effect are products of differences of neighbouring values, averaged over the others; of a
    factor that is nested in others, within their values. What the data cannot estimate of them is left out.

    Args:
        estimates: The fit.
        by: Variables within whose values effects are tested: simple effects.
        df: Denominator degrees of freedom.
        at: Values of variables in place of those of the grid.
        weights: How the others are averaged.
        cov_reduce: What stands for a covariate.

    Raises:
        FitError: A variable that the fixed part does not have, no effect to test, or an option that is not
            offered.
    """
    check_option("weights", weights, WEIGHTS)
    grid = reference_grid(estimates.design, at, cov_reduce)
    groups = variable_names(by, grid)
    nests = nested_in(estimates.design, grid)
    effects = [effect for effect in _effects(estimates, grid, groups) if _has_outer(effect, nests, groups)]
    if not effects:
        raise FitError(
            "joint_tests() has no effect to test: the fixed part has no variable beside those of `by`."
        )
    denominator = denominators(estimates, df)
    tests: dict[tuple[Any, ...], FTest] = {}
    for effect in effects:
        outer = {name for inner in effect for name in nests.get(inner, ())}
        specs = [name for name in effect if name not in outer]
        of = grid_averages(estimates.design, grid, grid.X, specs, groups, weights)
        for key, rows in _rows_by_group(of, specs, groups):
            L = estimable_part(rows, estimates)
            test = joint_test(estimates, L, denominator) if len(L) else FTest(0, np.nan, np.nan)
            tests[(*key, ":".join(effect))] = test
    ordered = sorted(tests, key=lambda key: list(dict.fromkeys(k[:-1] for k in tests)).index(key[:-1]))
    labels = pd.MultiIndex.from_tuples([(key[-1], *key[:-1]) for key in ordered], names=["term", *groups])
    index = labels if groups else pd.Index(labels.get_level_values(0), name="term")
    table = f_table([tests[key] for key in ordered], index, denominator)
    table.attrs.update(method=denominator.told)
    return table


def _effects(estimates: Estimates, grid: Grid, groups: Sequence[str]) -> list[tuple[str, ...]]:
    """The variables of main effects and interactions, by their number: all parts of the model's terms."""
    terms = [term - set(groups) for term in estimates.design.recipe.formula.columns_of_terms()]
    moving = [axis.name for axis in grid.axes if len(axis.values) > 1 and axis.name not in groups]
    parts = {
        part
        for term in terms
        for size in range(1, len(term) + 1)
        for part in combinations_of([name for name in moving if name in term], size)
    }
    return sorted(parts, key=lambda part: (len(part), [moving.index(name) for name in part]))


def _has_outer(effect: Sequence[str], nests: Mapping[str, Sequence[str]], groups: Sequence[str]) -> bool:
    """Whether the factors that any of the effect's is nested in are there too."""
    return all(o in effect or o in groups for inner in effect for o in nests.get(inner, ()))


def _rows_by_group(
    of: Averages, specs: Sequence[str], groups: Sequence[str]
) -> Iterator[tuple[tuple[Any, ...], Floats]]:
    """Of each value of the groups the rows of its products of differences."""
    found: dict[tuple[Any, ...], list[Floats]] = {}
    inner = (
        of.cells.groupby(list(of.groups), sort=False, observed=True).ngroup()
        if of.groups
        else np.zeros(len(of.cells), int)
    )
    for code in dict.fromkeys(np.asarray(inner).tolist()):
        where = np.flatnonzero((np.asarray(inner) == code) & of.known)
        if not len(where):
            continue
        cells = of.cells.iloc[where]
        C = np.ones((1, 1))
        for name in specs:
            count = cells[name].nunique()
            C = np.kron(np.diff(np.eye(count), axis=0), C)
        if C.shape[1] != len(where):
            raise FitError(
                f"joint_tests() needs every combination of {', '.join(specs)}, and some do not occur."
            )
        key = tuple(cells[name].iloc[0] for name in groups)
        found.setdefault(key, []).append(combined(np.asarray(C, np.float64), of.values[where]))
    return iter([(key, np.concatenate(rows)) for key, rows in found.items()])
