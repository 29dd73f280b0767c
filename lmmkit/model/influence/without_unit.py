"""One fit without some rows: its focus test and its variances, however they were found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.influence.remaining import fit_of_rest, remaining
from lmmkit.errors import FitError
from lmmkit.model import tables
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.anova import joint_test
from lmmkit.model.inference.degrees_of_freedom import Denominators, denominators
from lmmkit.model.inference.distributions import f_tail, t_tail


class FocusTest(NamedTuple):
    """The test of what is looked at: of several rows an F test, without an estimate."""

    estimate: float
    se: float
    df: float
    p: float


@dataclass(frozen=True, eq=False)
class Without:
    """A fit without some rows, in the units of the data.

    Attributes:
        beta: (p,) fixed effects.
        vcov: (p, p) their covariance matrix, not adjusted.
        parameters: Variances in the order of `tables.parameter_names`: SDs, correlations, ...
        test: Of the focus.
    """

    beta: Floats
    vcov: Floats
    parameters: Floats
    test: FocusTest


def focus_test(estimates: Estimates, L: Floats, by: Denominators) -> FocusTest:
    """The test of L beta = 0."""
    if len(L) != 1:
        found = joint_test(estimates, L, by)
        if not found.num_df:
            return FocusTest(np.nan, np.nan, np.nan, np.nan)
        return FocusTest(np.nan, np.nan, found.den_df, f_tail(found.F, found.num_df, found.den_df))
    se, df = float(np.sqrt(by.vcov.variances(L)[0])), float(by.single(L)[0])
    estimate = float(L[0] @ estimates.beta)
    return FocusTest(estimate, se, df, p_of(estimate, se, df))


def p_of(estimate: float, se: float, df: float) -> float:
    """Two-sided p."""
    if not se > 0.0:
        return np.nan
    return float(t_tail(np.array([estimate / se]), np.array([df]))[0])


def refit(estimates: Estimates, keep: NDArray[np.bool_], L: Floats, df: str, known: float | None) -> Without:
    """The fit of the rows left, searched for anew.

    Args:
        estimates: The fit of all rows.
        keep: (n,) which rows stay.
        L: Rows of the focus.
        df: Denominator degrees of freedom.
        known: Degrees of freedom in their place, with unadjusted standard errors; those that follow from
            counts of levels, or that would cost as much as the refit.

    Raises:
        FitError: The rows left cannot be fitted.
    """
    held = estimates.design.held
    problem = remaining(estimates.design.problem, keep)
    found = fit_of_rest(problem, estimates, None if held is None else (held.factors, held.sigma))
    design = replace(estimates.design, problem=problem)
    left = Estimates(**found.numbers(), design=design, algorithm=estimates.algorithm, evidence=found)
    if known is not None and len(L) == 1:
        estimate, se = float(L[0] @ left.beta), float(np.sqrt(L[0] @ left.vcov @ L[0]))
        test = FocusTest(estimate, se, known, p_of(estimate, se, known))
    else:
        test = _tested(left, L, df)
    return Without(left.beta, left.vcov, tables.parameters(left), test)


def _tested(left: Estimates, L: Floats, df: str) -> FocusTest:
    """The test of a refit, whose df may not exist."""
    try:
        return focus_test(left, L, denominators(left, df))
    except FitError:
        return focus_test(left, L, denominators(left, "auto"))
