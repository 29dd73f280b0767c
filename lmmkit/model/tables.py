"""Estimates by name: series and frames as statsmodels and lme4 have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.structures import correlation
from lmmkit.engine.crossproducts.whitening import normalised
from lmmkit.model.design.residual_design import VisitDesign
from lmmkit.model.estimates import Estimates
from lmmkit.model.options import check_option

ResidualKind = Literal["response", "pearson", "normalised", "marginal"]
RESIDUALS = ("response", "pearson", "normalised", "marginal")
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
    """Names of the parameters of the residual structure; none for independent residuals.

    `Residual.` stands before one that is the name of a coefficient or of another parameter too.
    """
    residual = estimates.design.residual
    return tuple(residual_name(estimates, name) for name in residual.names) if residual else ()


def residual_name(estimates: Estimates, name: str) -> str:
    """What a parameter of the residual structure is called beside the coefficients and other parameters."""
    named = ((term.group, term.structure.natural_names(term.names)) for term in estimates.random)
    taken = {*estimates.design.fixed_names, *(f"{group}.{each}" for group, names in named for each in names)}
    return f"Residual.{name}" if name in taken else name


def residual_params(estimates: Estimates) -> pd.Series[float]:
    """Parameters of the residual structure on their natural scales, and what is told beside them."""
    residual = estimates.design.residual
    told = residual.printed(estimates.residual_params) if residual else {}
    index = pd.Index([residual_name(estimates, name) for name in told])
    return pd.Series(list(told.values()), index=index, name="residual_params", dtype=np.float64)


def parameters(estimates: Estimates) -> Floats:
    """Standard deviations and correlations, in the order of `parameter_names`."""
    values = [term.structure.natural(estimates.covariance(t)) for t, term in enumerate(estimates.random)]
    return np.concatenate([*values, estimates.residual_params, [estimates.sigma]])


def varcorr(estimates: Estimates) -> pd.DataFrame:
    """Variances, then covariances of each term, and the residual variance: R's as.data.frame(VarCorr(m)).

    Under a residual structure its cells (visits, levels) stand as a term's columns do: a variance of each,
    then the covariance of each two that some subject has, up to `MOST_PAIRED` cells. Where residuals fade
    with time or distance, or their variance follows a number, the variances alone are listed: of each level,
    or at the value where the variance function is 1, `dose = 1`.
    """
    rows: list[tuple[Any, ...]] = []
    for t, term in enumerate(estimates.random):
        G, names = estimates.covariance(t), term.names
        sd = np.sqrt(np.diag(G))
        rows += [(term.group, name, None, G[i, i], sd[i]) for i, name in term.structure.listed(names)]
        for row, column in term.structure.pairs:
            one = float(correlation(G, row, column))
            rows.append((term.group, names[column], names[row], G[row, column], one))
    rows += _residual_rows(estimates)
    # Of objects first, so that None stays None.
    table = pd.DataFrame(rows, columns=VARCORR, dtype=object)
    return table.astype({"group": "str", "vcov": float, "sdcor": float})


def _residual_rows(estimates: Estimates) -> list[tuple[Any, ...]]:
    """A variance of each cell and the covariances of two, of each level, or at one value of a number."""
    residual = estimates.design.residual
    if not isinstance(residual, VisitDesign):
        names, sds = residual_sds(estimates)
        return [("Residual", name, None, sd**2, sd) for name, sd in zip(names, sds.tolist(), strict=True)]
    names, V = residual.cell_names, estimates.residual_covariance
    sd = np.sqrt(np.diag(V))
    rows: list[tuple[Any, ...]] = [("Residual", name, None, V[i, i], sd[i]) for i, name in enumerate(names)]
    for a, b in residual.seen_pairs if len(names) <= MOST_PAIRED else ():
        rows.append(("Residual", names[a], names[b], V[a, b], float(correlation(V, a, b))))
    return rows


def residual_sds(estimates: Estimates) -> tuple[list[str | None], Floats]:
    """Residual standard deviations where residuals are not over visits: names and values.

    One, unnamed; one for each level of `ident`; or where a variance function of a number is 1: `dose = 1` of
    a power, `dose = 0` of an exponential.
    """
    residual, sigma = estimates.design.residual, estimates.sigma
    if residual is None or not residual.formula.variance:
        return [None], np.array([sigma])
    if residual.ident:
        levels = np.arange(residual.ident.size)
        return list(residual.ident.levels), sigma * np.sqrt(residual.variances(estimates.rho, levels))
    return [residual.formula.unit], np.array([sigma])


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
    """The log of the search, a row per step; `rho` where there is a residual structure."""
    columns = [*TRACE, *(["rho"] if estimates.design.residual else [])]
    return pd.DataFrame(list(estimates.evidence.trace), columns=columns)


def by_row(estimates: Estimates, values: Floats, name: str) -> pd.Series[float]:
    """One number per row used, under the table's own row labels; NaN for rows that are kept empty."""
    index, used = estimates.design.whole_rows
    numbers = np.full(len(index), np.nan)
    numbers[used] = values
    return pd.Series(numbers, index=index, name=name)


def residuals(estimates: Estimates, kind: ResidualKind) -> pd.Series[float]:
    """(n,) residuals of one kind by row; see `Fit.residuals`.

    Raises:
        FitError: A kind that is not offered.
    """
    check_option("kind", kind, RESIDUALS)
    problem = estimates.problem
    e = problem.response - (estimates.marginal_fit if kind == "marginal" else estimates.fitted)
    if kind == "pearson":
        e = e / estimates.noise
    elif kind == "normalised":
        e = normalised(problem, estimates.rho, estimates.sigma, e[:, None])[:, 0]
    return by_row(estimates, e, kind)
