"""Wald intervals of coefficients and variance parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy

from lmmkit.engine.inference.information import Curvature, curvature
from lmmkit.engine.problem import Floats
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.wald import coef_table
from lmmkit.model.tables import parameter_names, parameters


def wald_intervals(estimates: Estimates, *, level: float, df: str) -> pd.DataFrame:
    """Wald intervals of the coefficients and of the variance parameters: low, high, criterion.

    Standard deviations on the log, correlations on Fisher's z. A null direction of a covariance matrix has no
    curvature: its bounds are those of the domain, or NaN where the domain has none.

    Args:
        estimates: The fit.
        level: Coverage.
        df: Denominator degrees of freedom of the coefficients.

    Raises:
        FitError: An option that is not offered or not built yet.
    """
    coefficients = coef_table(estimates, df=df, level=level)
    variances = variance_intervals(estimates, level=level)
    frame = pd.concat([coefficients[["low", "high"]], variances])
    frame["criterion"] = "REML" if estimates.reml else "ML"
    return frame


def variance_intervals(estimates: Estimates, *, level: float) -> pd.DataFrame:
    """Wald intervals of the standard deviations and correlations of the random effects and of sigma."""
    found = curvature(estimates.optimum)
    values = parameters(estimates)
    half = float(scipy.special.ndtri(0.5 + level / 2.0)) * _transformed_errors(estimates, found)
    rows = [
        _interval(value, h, correlation=kind == "cor")
        for value, h, kind in zip(values, half, [*(n.kind for _, n in estimates.naturals), "sd"], strict=True)
    ]
    return pd.DataFrame(rows, index=pd.Index(parameter_names(estimates)), columns=["low", "high"])


def _interval(value: float, half: float, *, correlation: bool) -> tuple[float, float]:
    """Bounds carried back from Fisher's z or from the log."""
    if correlation:
        if not np.isfinite(half) or abs(value) >= 1.0:
            return -1.0, 1.0
        return float(np.tanh(np.arctanh(value) - half)), float(np.tanh(np.arctanh(value) + half))
    if value == 0.0 or not np.isfinite(half):
        return 0.0, np.nan
    with np.errstate(over="ignore"):  # infinite: the data do not bound it
        return float(value * np.exp(-half)), float(value * np.exp(half))


def _transformed_errors(estimates: Estimates, found: Curvature) -> Floats:
    """Standard errors of each log SD and Fisher z, in the order of the parameters; NaN without curvature."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = [
            np.column_stack([slopes, [float(n.kind == "sd") for n in term.structure.naturals]])
            for term, L, dT in zip(estimates.random, estimates.factors, found.slopes, strict=True)
            for slopes in [term.structure.wald_slopes(L @ L.T, dT)]
        ]
        residual = np.append(np.zeros(len(found.covariance) - 1), 1.0)
        J = np.concatenate([*rows, residual[None]])
        return np.sqrt(np.einsum("im,mn,in->i", J, found.covariance, J))
