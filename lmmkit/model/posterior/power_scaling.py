"""How far a posterior hangs on its prior and on its likelihood: each raised to a power, at no new evaluation.

With the prior or the likelihood to the power alpha the draws have the weights w p^(alpha - 1), smoothed. The
sensitivity of a quantity is the change of its distribution for each doubling of alpha, at alpha = 1: the
cumulative Jensen-Shannon distance between the two distributions over log2(alpha), by differences at 0.99 and
1.01. From 0.05 on it matters: of the prior alone, it outweighs the data; of both, the two pull apart.

Reference: Kallioinen, Paananen, Bürkner & Vehtari (2023), Detecting and diagnosing prior and likelihood
sensitivity with power-scaling, Statistics and Computing 34, 57; the R package priorsense.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.posterior.pareto import smooth

POWERS = (0.99, 1.01)
MATTERS = 0.05
CONFLICT, STRONG, NONE = "prior and data may pull apart", "the prior may outweigh the data", ""
SENSITIVITY = ["prior", "likelihood", "diagnosis"]


def power_scaled(log_weights: Floats, log_component: Floats, alpha: float) -> Floats:
    """(r,) log weights under a component to the power alpha, smoothed; they sum to one."""
    with np.errstate(invalid="ignore"):
        ratios = log_weights + (alpha - 1.0) * log_component
    return smooth(np.where(np.isfinite(log_weights), ratios, -np.inf)).log_weights


def distance(x: Floats, p: Floats, q: Floats) -> float:
    """Cumulative Jensen-Shannon distance between two weightings of draws, from 0 to 1.

    Args:
        x: (r,) draws in rising order.
        p: (r,) weights of the one.
        q: (r,) weights of the other.

    Reference: Nguyen & Vreeken (2015), Non-parametric Jensen-Shannon divergence, ECML PKDD; the larger one
        of x and
    of -x.
    """
    widths = np.diff(x)
    one = _one_sided(widths, np.cumsum(p)[:-1], np.cumsum(q)[:-1])
    other = _one_sided(widths[::-1], np.cumsum(p[::-1])[:-1], np.cumsum(q[::-1])[:-1])
    return max(one, other)


def _one_sided(widths: Floats, P: Floats, Q: Floats) -> float:
    """sqrt((CJS(P || Q) + CJS(Q || P)) / bound) of two cumulative distributions at the draws."""
    half = (P + Q) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.nan_to_num(P * np.log2(P / half)) + np.nan_to_num(Q * np.log2(Q / half))
    bound = float(widths @ (P + Q))
    return math.sqrt(max(0.0, float(widths @ terms)) / bound) if bound > 0.0 else 0.0


def sensitivity(
    values: pd.DataFrame, log_weights: Floats, log_prior: Floats, log_likelihood: Floats
) -> pd.DataFrame:
    """A row for each column of draws: prior, likelihood, diagnosis (empty where neither matters alone).

    Args:
        values: (r, m) draws.
        log_weights: (r,) their log weights, which sum to one.
        log_prior: (r,) log density of the prior, on the scale that it is written on.
        log_likelihood: (r,) log likelihood, random effects integrated out.
    """
    base = np.exp(log_weights)
    scaled = {
        name: [np.exp(power_scaled(log_weights, component, alpha)) for alpha in POWERS]
        for name, component in (("prior", log_prior), ("likelihood", log_likelihood))
    }
    rows = list[dict[str, object]]()
    for name in values.columns:
        x = values[name].to_numpy(np.float64)
        if not np.isfinite(x[base > 0.0]).all():
            rows.append({"prior": math.nan, "likelihood": math.nan, "diagnosis": NONE})
            continue
        order = np.argsort(np.where(base > 0.0, x, 0.0), kind="stable")
        found = {
            part: float(
                np.mean(
                    [
                        distance(x[order], base[order], w[order]) / abs(math.log2(alpha))
                        for alpha, w in zip(POWERS, weights, strict=True)
                    ]
                )
            )
            for part, weights in scaled.items()
        }
        rows.append({**found, "diagnosis": diagnosis(found["prior"], found["likelihood"])})
    return pd.DataFrame(rows, index=values.columns.copy(), columns=SENSITIVITY)


def diagnosis(prior: float, likelihood: float) -> str:
    """What the two sensitivities of a quantity say of it; nothing where the priors do not matter."""
    if prior < MATTERS:
        return NONE
    return CONFLICT if likelihood >= MATTERS else STRONG
