"""Tests and intervals of linear functions of the fixed effects, with any degrees of freedom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.combinations import combinations
from lmmkit.model.inference.degrees_of_freedom import Denominators, Joint, denominators
from lmmkit.model.inference.distributions import f_tail, t_quantile, t_tail
from lmmkit.model.inference.term_hypotheses import Hypotheses, hypotheses
from lmmkit.model.options import check_level

TYPES = (1, 2, 3)


def linear_table(
    labels: pd.Index[Any], L: Floats, estimates: Estimates, by: Denominators, level: float
) -> pd.DataFrame:
    """estimate, se, df, t, p, low, high of each row of L beta; NaN for a row of zeros."""
    estimate, df = L @ estimates.beta, by.single(L)
    se = np.sqrt(by.vcov.variances(L))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = estimate / se
    half = t_quantile(0.5 + level / 2.0, df) * se
    columns = {"estimate": estimate, "se": se, "df": df, "t": t, "p": t_tail(t, df)}
    table = pd.DataFrame({**columns, "low": estimate - half, "high": estimate + half}, index=labels)
    table.attrs.update(method=by.method, level=level)
    return table


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
    by = denominators(estimates, df)
    labels = pd.Index(estimates.names, name="coefficient")
    table = linear_table(labels, np.eye(len(estimates.beta)), estimates, by, level)
    return table.assign(method=by.method)


def contrast(estimates: Estimates, L: Any, *, df: str, level: float) -> pd.DataFrame:
    """Linear combinations of the coefficients with tests of zero and intervals.

    Args:
        estimates: The fit.
        L: As `combinations` reads them.
        df: Denominator degrees of freedom.
        level: Coverage of the intervals.

    Raises:
        FitError: A combination that cannot be read or estimated, or an option that is not offered.
    """
    check_level("level", level)
    read = combinations(L, estimates)
    labels = pd.Index(read.labels, name="contrast")
    return linear_table(labels, read.rows, estimates, denominators(estimates, df), level)


def anova(estimates: Estimates, *, kind: Any, df: str) -> pd.DataFrame:
    """F tests of the terms of the fixed part.

    Args:
        estimates: The fit.
        kind: 1 (each term after those before it), 2 (after all that do not contain it) or 3 (marginal means
            with equal weights), as SAS has them, whatever the coding.
        df: Denominator degrees of freedom; the F of Kenward-Roger is scaled.

    Raises:
        FitError: An option that is not offered, or a method that this fit does not allow.
    """
    if isinstance(kind, bool | float) or kind not in TYPES:
        raise FitError(f"type={kind!r} is not known. Choose 1 (sequential), 2 or 3 (marginal).")
    by = denominators(estimates, df)
    terms = estimates.design.fixed_terms
    tested = [(t, term.name) for t, term in enumerate(terms) if term.name != "Intercept"]
    stated = hypotheses(estimates)
    joints = [_joint(stated, t, kind, by) for t, _ in tested]
    table = pd.DataFrame(
        joints, columns=list(Joint._fields), index=pd.Index([n for _, n in tested], name="term")
    )
    return table.astype({"num_df": int}).assign(
        p=[f_tail(joint.F, joint.num_df, joint.den_df) for joint in joints], method=by.method
    )


def _joint(stated: Hypotheses, term: int, kind: int, by: Denominators) -> Joint:
    """The F test of one term; none where all its columns are aliased."""
    L, estimates = stated.rows(term, kind), stated.estimates
    if not len(L):
        return Joint(0, np.nan, np.nan)
    own = [estimates.kept.index(c) for c in estimates.design.fixed_terms[term].columns if c in estimates.kept]
    return by.joint(L, estimates.beta, own)
