"""The standard deviation that contrasts are measured in, with its degrees of freedom."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.resampling.variance_shares import total_sd
from lmmkit.model.threads import one_thread


class TotalSpread(NamedTuple):
    """A standard deviation and its degrees of freedom."""

    sd: float
    df: float


def spread_of(estimates: Estimates, sigma: float | None, edf: float | None) -> TotalSpread:
    """The total standard deviation that the fixed effects leave, or one that is given.

    Its degrees of freedom are Satterthwaite's, 2 v^2 / var(v) of the variance v.

    Raises:
        FitError: One of the two is given alone, or is no positive number.
    """
    if (sigma is None) != (edf is None):
        raise FitError("sigma and edf, its degrees of freedom, are given both or not at all.")
    if sigma is not None and edf is not None:
        for name, value in (("sigma", sigma), ("edf", edf)):
            if isinstance(value, (bool, str)) or not float(value) > 0.0:
                raise FitError(f"{name}={value!r}: a number above 0 is expected.")
        return TotalSpread(float(sigma), float(edf))
    if estimates.problem.residual is not None:
        raise FitError(
            "With a residual structure the standard deviation may differ between cells: give sigma and edf, "
            "the one to measure in and its degrees of freedom."
        )
    v, s2, problem = total_sd(estimates) ** 2, estimates.sigma**2, estimates.problem
    with one_thread():
        found = estimates.curvature
        gradient = np.zeros(len(found.spread.size))
        for term, slopes in zip(problem.terms, found.slopes, strict=True):
            Z = np.column_stack([problem.columns[c] for c in term.columns])
            gradient[:-1] += s2 * np.einsum("ab,iab->i", Z.T @ Z, slopes) / estimates.nobs
    gradient[-1] = 2.0 * v  # in log sigma
    return TotalSpread(float(np.sqrt(v)), float(2.0 * v**2 / found.spread.variances(gradient[None])[0]))
