"""F tests of several linear functions at once, redundant ones left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.anova import f_table, independent
from lmmkit.model.inference.degrees_of_freedom import Denominators, FTest, denominators
from lmmkit.model.inference.linear_functions import combinations

AGREE = 1e-8  # relative distance of the values of redundant hypotheses that is rounding


def joint_contrast(estimates: Estimates, L: Any, *, df: str, null: Any = None) -> pd.DataFrame:
    """The F test that all of some linear combinations have their values: num_df, den_df, F, p, method.

    Args:
        estimates: The fit.
        L: As `combinations` reads them.
        df: Denominator degrees of freedom; the F of Kenward-Roger is scaled.
        null: The values tested, where the text gives none; by default 0.

    Raises:
        FitError: A combination that cannot be read or estimated, values that contradict each other, or an
            option that is not offered.
    """
    found, by = combinations(L, estimates, null), denominators(estimates, df)
    test = joint_test(estimates, found.L, by, found.null)
    table = f_table([test], pd.Index([" & ".join(found.labels)], name="contrast"), by)
    table.attrs.update(rows=found.labels, method=by.told)
    return table


def joint_test(estimates: Estimates, L: Floats, by: Denominators, null: Floats | float = 0.0) -> FTest:
    """The F test of L beta = null; none where no row is left.

    Args:
        estimates: The fit.
        L: (r, p) on the kept coefficients; rows that follow from earlier ones are left out.
        by: Degrees of freedom.
        null: (r,) the values.

    Raises:
        FitError: The values contradict each other.

    References: Fai & Cornelius (1996); Kenward & Roger (1997).
    """
    values = np.broadcast_to(null, len(L)).astype(float)
    prepared = (L @ by.vcov.basis).T  # in units in which rounding can be told from a weight
    lengths = np.linalg.norm(prepared, axis=0)
    lengths[lengths == 0.0] = 1.0
    rows = independent(prepared / lengths, np.ones(len(L)))
    if not rows:
        return FTest(0, np.nan, np.nan)
    kept = prepared[:, rows] / lengths[rows]
    weights = solved(kept.T @ kept, kept.T @ (prepared / lengths))  # of each row in those kept
    gap = values / lengths - (values[rows] / lengths[rows]) @ weights
    if np.abs(gap).max() > AGREE * max(float(np.abs(values / lengths).max()), 1e-300):
        raise FitError(
            "The hypotheses contradict each other: one follows from others with another value. Leave it "
            "out, or correct the values."
        )
    own = np.flatnonzero(L[rows].any(axis=0)).tolist()
    return by.f_test(L[rows], estimates.beta, own, values[rows])
