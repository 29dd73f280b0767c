"""Posterior predictive checks: new data sets from draws of the posterior, held against the data.

The new data come from new levels of the grouping factors (`new`), as a repetition of the study would have
them, or from the levels that there are (`group`).

Reference: Gelman, Meng & Stern (1996), Posterior predictive assessment of model fitness via realized
    discrepancies,
Statistica Sinica 6, 733-807.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.replicates.random_streams import normals
from lmmkit.model.estimates import Estimates
from lmmkit.model.posterior.densities import Densities
from lmmkit.model.resampling.simulate import responses

PURPOSE = 7_301  # of the streams of random numbers, beside those of other uses of a seed
BINS = 24
CHECK = ["statistic", "observed", "mean", "low", "high", "p"]


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """Replicated data sets beside the data.

    Attributes:
        level: "new" levels of the grouping factors, or the "group"s that there are.
        table: statistic, observed, mean, low, high (of the replicates), p, the share of replicates as large.
        bins: low, high (of the response), observed, median, least, most: counts of rows by bin.
        replicates: (n, r) the data sets.
    """

    level: str
    table: pd.DataFrame
    bins: pd.DataFrame
    replicates: Floats


def replicated(at: Densities, level: Literal["new", "group"], seed: int) -> Floats:
    """(n, r) one data set of each of r draws."""
    estimates, terms = at.estimates, at.estimates.problem.terms
    rows = np.arange(estimates.nobs)
    everything = range(len(terms))
    means = at.means(rows, everything if level == "new" else ())
    sizes = [
        (term.levels if term.relation is None else term.relation.rank) * len(term.columns) for term in terms
    ]
    sizes = sizes if level == "new" else []
    out = np.empty((estimates.nobs, len(at.sigma)))
    for r in range(len(at.sigma)):
        u = normals(seed, r, 1, sum(sizes) + estimates.nobs, PURPOSE)
        *effects, noise = np.split(u, np.cumsum(sizes))
        drawn = replace(
            estimates, sigma=float(at.sigma[r]), rho=at.rho[r], factors=tuple(L[r] for L in at.factors)
        )
        out[:, r] = responses(drawn, means[r], effects, noise)[:, 0]
    return out


def predictive_check(
    at: Densities, level: Literal["new", "group"], seed: int, coverage: float
) -> PredictiveCheck:
    """Data sets from draws of equal weight, and what of them is unlike the data.

    Args:
        at: The draws.
        level: As of `PredictiveCheck`.
        seed: Of the random numbers.
        coverage: Of the intervals.
    """
    y, made = at.estimates.problem.response, replicated(at, level, seed)
    rows = list[dict[str, object]]()
    tails = [0.5 - coverage / 2.0, 0.5 + coverage / 2.0]
    for name, observed, values in _statistics(at.estimates, y, made):
        low, high = (quantile(values, tail) for tail in tails)
        above, equal = np.count_nonzero(values > observed), np.count_nonzero(values == observed)
        p = (above + 0.5 * equal) / len(values)
        rows.append(
            {
                "statistic": name, "observed": observed, "mean": float(values.mean()), "low": low,
                "high": high, "p": p,
            }
        )  # fmt: skip
    return PredictiveCheck(level, pd.DataFrame(rows, columns=CHECK), _bins(y, made, tails), made)


def quantile(values: Floats, p: float) -> float:
    """A quantile of numbers of equal weight."""
    return float(np.quantile(values, p))


def _statistics(estimates: Estimates, y: Floats, made: Floats) -> list[tuple[str, float, Floats]]:
    both = np.column_stack([y, made])
    centred = both - both.mean(axis=0)
    sd = np.sqrt((centred**2).mean(axis=0))
    found = {
        "mean": both.mean(axis=0),
        "standard deviation": sd,
        "least": both.min(axis=0),
        "greatest": both.max(axis=0),
        "skewness": (centred**3).mean(axis=0) / np.where(sd > 0.0, sd, 1.0) ** 3,
    }
    for grouping in {term.factor: term.grouping for term in estimates.random}.items():
        name, codes = grouping[0], grouping[1].codes
        count = np.bincount(codes).astype(np.float64)
        sums = np.array([np.bincount(codes, column, len(count)) for column in both.T]).T
        means = sums[count > 0] / count[count > 0, None]
        if len(means) > 2:
            found[f"SD of the means of {name}"] = means.std(axis=0, ddof=1)
    return [(name, float(values[0]), values[1:]) for name, values in found.items()]


def _bins(y: Floats, made: Floats, tails: list[float]) -> pd.DataFrame:
    """Rows by bin of the response: as observed, and the range of the replicates."""
    everything = np.concatenate([y, made.ravel()])
    low = min(quantile(everything, 0.001), float(y.min()))
    high = max(quantile(everything, 0.999), float(y.max()))
    edges: Floats = np.linspace(low, high, BINS + 1)
    counts = np.array([np.histogram(column, edges)[0] for column in made.T])
    least, median, most = np.quantile(counts, [tails[0], 0.5, tails[1]], axis=0)
    columns = {
        "low": edges[:-1], "high": edges[1:], "observed": np.histogram(y, edges)[0], "median": median,
        "least": least, "most": most,
    }  # fmt: skip
    return pd.DataFrame(columns)
