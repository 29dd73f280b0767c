"""Estimates by name: series and frames as statsmodels and lme4 have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.model.estimates import Estimates

VARCORR = ["group", "var1", "var2", "vcov", "sdcor"]
MOST_PAIRED = 100  # cells of a residual structure up to which each covariance is listed
TRACE = ["phase", "iteration", "deviance", "gradient", "decrement", "step", "theta"]


def by_coefficient(estimates: Estimates, values: Floats, name: str) -> pd.Series[float]:
    """One number per fixed effect."""
    return pd.Series(np.array(values), index=pd.Index(estimates.names), name=name)


def covariance_of_coefficients(estimates: Estimates) -> pd.DataFrame:
    """Covariance matrix of the fixed effects, (p, p)."""
    return pd.DataFrame(estimates.vcov, index=estimates.names, columns=estimates.names)


def theta_names(estimates: Estimates) -> list[str]:
    """`Subject.Intercept` for a diagonal entry of Lambda, `Subject.Days.Intercept` (row, column) below it."""
    return [f"{term.group}.{name}" for term in estimates.random for name in term.structure.names(term.names)]


def theta(estimates: Estimates) -> pd.Series[float]:
    """Relative covariance parameters."""
    return pd.Series(estimates.theta, index=pd.Index(theta_names(estimates)), name="theta")


def parameter_names(estimates: Estimates) -> list[str]:
    """`Subject.sd.Intercept`, `Subject.cor.Days.Intercept`, in the order of theta, then `Residual.sd`.

    Before the last one stand the parameters of a residual structure, `ratio.8` or `cor.8.12`.
    """
    named = ((term.group, term.structure.natural_names(term.names)) for term in estimates.random)
    random = [f"{group}.{name}" for group, names in named for name in names]
    return [*random, *residual_names(estimates), "Residual.sd"]


def residual_names(estimates: Estimates) -> tuple[str, ...]:
    """Names of the parameters of the residual structure; none for independent residuals."""
    return estimates.design.residual.names if estimates.design.residual else ()


def residual_params(estimates: Estimates) -> pd.Series[float]:
    """Parameters of the residual structure on their natural scales."""
    index = pd.Index(list(residual_names(estimates)))
    return pd.Series(estimates.residual_params, index=index, name="residual_params")


def parameters(estimates: Estimates) -> Floats:
    """Standard deviations and correlations, in the order of `parameter_names`."""
    values = [term.structure.natural(estimates.covariance(t)) for t, term in enumerate(estimates.random)]
    return np.concatenate([*values, estimates.residual_params, [estimates.sigma]])


def varcorr(estimates: Estimates) -> pd.DataFrame:
    """Variances, then covariances of each term, and the residual variance: R's as.data.frame(VarCorr(m)).

    Under a residual structure its cells (visits, levels) stand as a term's columns do: a variance of each,
    then the covariance of each two that one subject may have, up to `MOST_PAIRED` cells.
    """
    rows: list[tuple[Any, ...]] = []
    for t, term in enumerate(estimates.random):
        G, names = estimates.covariance(t), term.names
        sd = np.sqrt(np.diag(G))
        rows += [(term.group, name, None, G[i, i], sd[i]) for i, name in enumerate(names)]
        for row, column in term.structure.pairs:
            scale = np.sqrt(G[row, row] * G[column, column])
            correlation = G[row, column] / scale if scale > 0 else np.nan
            rows.append((term.group, names[column], names[row], G[row, column], correlation))
    rows += _residual_rows(estimates)
    # Of objects first, so that None stays None.
    table = pd.DataFrame(rows, columns=VARCORR, dtype=object)
    return table.astype({"group": "str", "vcov": float, "sdcor": float})


def _residual_rows(estimates: Estimates) -> list[tuple[Any, ...]]:
    residual, V = estimates.design.residual, estimates.residual_covariance
    if residual is None:
        return [("Residual", None, None, estimates.sigma**2, estimates.sigma)]
    names, sd = residual.cell_names, np.sqrt(np.diag(V))
    rows: list[tuple[Any, ...]] = [("Residual", name, None, V[i, i], sd[i]) for i, name in enumerate(names)]
    for a, b in residual.pairs if len(names) <= MOST_PAIRED else ():
        rows.append(("Residual", names[a], names[b], V[a, b], V[a, b] / (sd[a] * sd[b])))
    return rows


def by_factor(estimates: Estimates, values: Sequence[Floats]) -> dict[str, pd.DataFrame]:
    """One frame per grouping factor, levels x terms, from (J, k) arrays of the terms."""
    frames: dict[str, pd.DataFrame] = {}
    for grouping in estimates.design.groupings:
        mine = [i for i, term in enumerate(estimates.random) if term.factor == grouping.name]
        frames[grouping.name] = pd.DataFrame(
            np.hstack([values[i] for i in mine]),
            index=grouping.levels,
            columns=[name for i in mine for name in estimates.random[i].names],
        )
    return frames


def conditional_sds(estimates: Estimates) -> list[Floats]:
    """Conditional standard deviations of each term's random effects, (J, k)."""
    return [np.sqrt(np.diagonal(v, axis1=1, axis2=2)) for v in estimates.conditional_variances]


def trace(estimates: Estimates) -> pd.DataFrame:
    """The log of the search, a row per step."""
    return pd.DataFrame(list(estimates.evidence.trace), columns=TRACE)


def by_row(estimates: Estimates, values: Floats, name: str) -> pd.Series[float]:
    """One number per row used, under the table's own row labels; NaN for rows that are kept empty."""
    index, used = estimates.design.whole_rows
    numbers = np.full(len(index), np.nan)
    numbers[used] = values
    return pd.Series(numbers, index=index, name=name)
