"""Estimates by name: series and frames as statsmodels and lme4 have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.problem import Floats
from lmmkit.model.design.design import RandomTerm
from lmmkit.model.estimates import Entry, Estimates

VARCORR = ["group", "var1", "var2", "vcov", "sdcor"]
TRACE = ["phase", "iteration", "deviance", "gradient", "decrement", "step", "theta"]


def by_coefficient(estimates: Estimates, values: Floats, name: str) -> pd.Series[float]:
    """One number per fixed effect."""
    return pd.Series(np.array(values), index=pd.Index(estimates.names), name=name)


def covariance_of_coefficients(estimates: Estimates) -> pd.DataFrame:
    """Covariance matrix of the fixed effects, (p, p)."""
    return pd.DataFrame(estimates.vcov, index=estimates.names, columns=estimates.names)


def theta_names(estimates: Estimates) -> list[str]:
    """`Subject.Intercept` for a diagonal entry of Lambda, `Subject.Days.Intercept` (row, column) below it."""
    return [_theta_name(estimates.random[entry.term], entry) for entry in estimates.entries]


def _theta_name(term: RandomTerm, entry: Entry) -> str:
    row, column = term.names[entry.row], term.names[entry.column]
    return f"{term.group}.{row}" if entry.row == entry.column else f"{term.group}.{row}.{column}"


def theta(estimates: Estimates) -> pd.Series[float]:
    """Relative covariance parameters."""
    return pd.Series(estimates.theta, index=pd.Index(theta_names(estimates)), name="theta")


def parameter_names(estimates: Estimates) -> list[str]:
    """`Subject.sd.Intercept`, `Subject.cor.Days.Intercept`, in the order of theta, then `Residual.sd`."""
    return [*(_parameter_name(estimates.random[e.term], e) for e in estimates.entries), "Residual.sd"]


def _parameter_name(term: RandomTerm, entry: Entry) -> str:
    row, column = term.names[entry.row], term.names[entry.column]
    if entry.row == entry.column:
        return f"{term.group}.sd.{row}"
    return f"{term.group}.cor.{row}.{column}"


def parameters(estimates: Estimates) -> Floats:
    """Standard deviations and correlations of the random effects, then the residual SD."""
    sds = [np.sqrt(np.diag(estimates.covariance(t))) for t in range(len(estimates.random))]
    values = [
        sds[t][row] if row == column else _correlation(estimates.covariance(t), row, column)
        for t, row, column in estimates.entries
    ]
    return np.array([*values, estimates.sigma])


def _correlation(G: Floats, row: int, column: int) -> float:
    """NaN where a standard deviation is zero."""
    scale = float(np.sqrt(G[row, row] * G[column, column]))
    return float(G[row, column]) / scale if scale > 0 else float("nan")


def varcorr(estimates: Estimates) -> pd.DataFrame:
    """Variances, then covariances of each term, and the residual variance: R's as.data.frame(VarCorr(m))."""
    rows = [row for t in range(len(estimates.random)) for row in _varcorr_of_term(estimates, t)]
    rows.append(("Residual", None, None, estimates.sigma**2, estimates.sigma))
    texts: dict[str, Any] = dict.fromkeys(VARCORR[1:3], object)  # so that None stays None
    return pd.DataFrame({name: pd.Series(column, dtype=texts.get(name)) for name, column in _columns(rows)})


def _columns(rows: list[tuple[Any, ...]]) -> Iterator[tuple[str, list[Any]]]:
    for i, name in enumerate(VARCORR):
        yield name, [row[i] for row in rows]


def _varcorr_of_term(estimates: Estimates, t: int) -> list[tuple[Any, ...]]:
    term, G = estimates.random[t], estimates.covariance(t)
    group, names = term.group, term.names
    rows: list[tuple[Any, ...]] = [
        (group, name, None, G[i, i], np.sqrt(G[i, i])) for i, name in enumerate(names)
    ]
    below = [entry for entry in estimates.entries if entry.term == t and entry.row > entry.column]
    return rows + [
        (group, names[column], names[row], G[row, column], _correlation(G, row, column))
        for _, row, column in below
    ]


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
    """One number per row used, under the table's own row labels."""
    return pd.Series(np.array(values), index=estimates.design.frame.index, name=name)
