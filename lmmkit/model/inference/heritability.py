"""Heritability: the share of the variance of related levels in that which the fixed effects leave.

    h2 = s2_a / (s2_a + sum of the variances of the other terms + s2_e)

of components, as animal breeders report it: where there is inbreeding the rows' own mean variance differs
from it, see `variance_shares`.

Reference: Falconer & Mackay (1996), Introduction to Quantitative Genetics, 4th edition, chapter 10.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.distributions import normal_quantile
from lmmkit.model.options import Seed, check_level, seed_of, whole
from lmmkit.model.resampling.bootstrap import percentile, replicate
from lmmkit.model.resampling.simulate import Simulator

WALD, BOOTSTRAP = "Wald on the log odds", "parametric bootstrap, percentiles"


def heritability(estimates: Estimates, n: int | None, seed: Seed, level: float) -> pd.DataFrame:
    """Heritability of each factor with a known covariance: estimate, low, high, method.

    Args:
        estimates: The fit.
        n: Replicates of a parametric bootstrap for the bounds; None for Wald's on the log odds, of which
            there are none where the variance is zero.
        seed: Seed of the random numbers.
        level: Coverage of the bounds.

    Raises:
        FitError: No factor has a known covariance, a term has several effects, or residuals differ in their
            variances.
    """
    check_level("level", level)
    related = _related(estimates)
    T = np.array([[float(L[0, 0] ** 2) for L in estimates.factors]])
    table = pd.DataFrame(
        {"estimate": _shares(T, related)[0]},
        index=pd.Index([estimates.random[t].group for t in related], dtype="str"),
    )
    if estimates.design.held is not None:
        return table.assign(low=np.nan, high=np.nan, method="none: the variances are given")
    if n is None:
        bounds = [_wald(estimates, T[0], t, level) for t in related]
        return table.assign(
            low=[b[0] for b in bounds], high=[b[1] for b in bounds], method=[b[2] for b in bounds]
        )
    found = replicate(Simulator(estimates, seed_of(seed)), whole("n", n, "replicates"))
    drawn = _shares(np.column_stack([L[:, 0, 0] ** 2 for L in found.factors]), related)
    limits = np.array([percentile(column, level) for column in drawn.T])
    return table.assign(low=limits[:, 0], high=limits[:, 1], method=BOOTSTRAP)


def _related(estimates: Estimates) -> list[int]:
    """Numbers of the terms with a known covariance."""
    related = [t for t, term in enumerate(estimates.random) if term.grouping.known is not None]
    if not related:
        raise FitError(
            "Heritability is of related levels, and no grouping factor of this fit has a known covariance: "
            "fit with known={'animal': pedigree}, or see icc() for the share of groups."
        )
    for term in estimates.random:
        if term.names != ("Intercept",):
            raise FitError(
                f"Heritability is a share of one variance, and the effects {', '.join(term.names)} of "
                f"`{term.group}` have other ones at each value of their columns: see varcorr, or "
                "variance_shares() for their mean over the rows."
            )
    if estimates.design.residual is not None:
        raise FitError(
            "Heritability is a share of one variance, and under a residual structure rows may have several: "
            "see varcorr."
        )
    return related


def _shares(T: Floats, related: list[int]) -> Floats:
    """(r, h) of variances T (r, t) relative to the residual's."""
    return T[:, related] / (T.sum(axis=1) + 1.0)[:, None]


def _wald(estimates: Estimates, T: Floats, t: int, level: float) -> tuple[float, float, str]:
    """Bounds on the log odds log T_t - log(sum of the others + 1), by the delta method."""
    if T[t] == 0.0:
        return np.nan, np.nan, "none: the variance is estimated as zero; give n= for a bootstrap"
    try:
        found = estimates.curvature
    except FitError as error:
        return np.nan, np.nan, f"none: {error}"
    rest = float(T.sum() - T[t]) + 1.0
    slopes = [dT[:, 0, 0] * (1.0 / T[t] if o == t else -1.0 / rest) for o, dT in enumerate(found.slopes)]
    row = np.append(np.sum(slopes, axis=0), 0.0)
    error = float(np.sqrt(found.spread.variances(row[None])[0]))
    odds, half = np.log(T[t] / rest), normal_quantile(0.5 + level / 2.0) * error
    low, high = (float(1.0 / (1.0 + np.exp(-x))) for x in (odds - half, odds + half))
    return (
        (low, high, WALD) if np.isfinite(error) else (np.nan, np.nan, "none: the data do not tell it apart")
    )
