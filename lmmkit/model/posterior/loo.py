"""Expected log predictive density of data left out, by the draws of one posterior: PSIS-LOO and WAIC.

`conditional`: a row is left out, its groups' effects known as far as the other rows tell. `marginal`: a
level of a
grouping factor is left out with all its rows, and a new level is predicted: its effects are integrated out,
    those of
factors crossed with it are known. The two answer different questions and cannot be compared.

References: Vehtari, Gelman & Gabry (2017), Practical Bayesian model evaluation using leave-one-out
    cross-validation
and WAIC, Statistics and Computing 27, 1413-1432; Merkle, Furr & Rabe-Hesketh (2019), Bayesian comparison of
latent
variable models: conditional versus marginal likelihoods, Psychometrika 84, 802-829; Watanabe (2010).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.posterior.pareto import log_sum, smooth, threshold

WAIC_LIMIT = 0.4  # variance of a log density above which WAIC's is not to be trusted


@dataclass(frozen=True, eq=False)
class PredictiveDensity:
    """The expected log density of new data, by leaving out or by a penalty.

    Attributes:
        method: "loo" or "waic".
        kind: "conditional", rows given their groups, or "marginal", new levels.
        of: What is left out: "row", or the grouping factor.
        elpd: Sum of the log densities; NaN where it cannot be trusted.
        error: Its Monte Carlo error by the delta method; all parts share the draws.
        se: Its standard error, from how the parts differ.
        p: Effective number of parameters.
        trouble: Why it cannot be trusted, in words; empty when it can.
        parts: A row for each row or level left out: elpd, k_hat (of WAIC the variance of its log density).
    """

    method: str
    kind: str
    of: str
    elpd: float
    error: float
    se: float
    p: float
    trouble: str
    parts: pd.DataFrame = field(repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """One row: method, kind, of, elpd, elpd_mcse, se, p, worst (k-hat or variance), trouble."""
        row = {
            "method": self.method, "kind": self.kind, "of": self.of, "elpd": self.elpd,
            "elpd_mcse": self.error, "se": self.se, "p": self.p,
            "worst": float(self.parts.iloc[:, 1].max()), "trouble": self.trouble,
        }  # fmt: skip
        return pd.DataFrame([row])

    def to_dict(self) -> dict[str, Any]:
        """Its numbers, without the parts."""
        return {str(name): value for name, value in self.table.iloc[0].items()}


def leave_out(
    blocks: Iterable[Floats], log_weights: Floats, names: list[Any], kind: str, of: str
) -> PredictiveDensity:
    """PSIS-LOO.

    Args:
        blocks: (r, m) log densities of some parts in each draw, one after the other.
        log_weights: (r,) log weights of the draws, which sum to one.
        names: What the parts are called.
        kind: As of `PredictiveDensity`.
        of: As of `PredictiveDensity`.
    """
    elpd, k_hats, lppd, error = list[float](), list[float](), 0.0, np.zeros(len(log_weights))
    for log_density in _parts(blocks):
        smoothed = smooth(log_weights - log_density)
        elpd.append(log_sum(smoothed.log_weights + log_density))
        error += np.exp(smoothed.log_weights) * (np.exp(log_density - elpd[-1]) - 1.0)
        k_hats.append(smoothed.k_hat)
        lppd += log_sum(log_weights + log_density)
    parts = pd.DataFrame({"elpd": elpd, "k_hat": k_hats}, index=pd.Index(names, name=of))
    limit = threshold(len(log_weights))
    bad = [name for name, k in zip(names, k_hats, strict=True) if not k <= limit]
    trouble = _told(bad, of, f"k-hat above {limit:.2g}: the draws say too little about the rest without it")
    total = math.nan if bad else sum(elpd)
    return PredictiveDensity(
        "loo", kind, of, total, float(np.linalg.norm(error)), _se(elpd), lppd - total, trouble, parts
    )


def in_sample(blocks: Iterable[Floats], log_weights: Floats) -> float:
    """The log density of the data themselves: sum over parts of log sum w p."""
    return sum(log_sum(log_weights + log_density) for log_density in _parts(blocks))


def _parts(blocks: Iterable[Floats]) -> Iterator[Floats]:
    """(r,) log densities of each part."""
    for block in blocks:
        yield from np.ascontiguousarray(block.T)


def penalised(
    blocks: Iterable[Floats], log_weights: Floats, names: list[Any], kind: str, of: str
) -> PredictiveDensity:
    """WAIC's expected log density: that of the data less the posterior variance of each log density."""
    w = np.exp(log_weights)
    elpd, variances, error = list[float](), list[float](), np.zeros(len(w))
    for log_density in _parts(blocks):
        mean = float(w @ log_density)
        variances.append(float(w @ (log_density - mean) ** 2))
        lppd = log_sum(log_weights + log_density)
        elpd.append(lppd - variances[-1])
        spread = (log_density - mean) ** 2 - variances[-1]
        error += w * (np.exp(log_density - lppd) - 1.0 - spread)
    parts = pd.DataFrame({"elpd": elpd, "variance": variances}, index=pd.Index(names, name=of))
    bad = [name for name, v in zip(names, variances, strict=True) if not v <= WAIC_LIMIT]
    trouble = _told(bad, of, f"a variance above {WAIC_LIMIT:g}: take loo")
    total = math.nan if bad else sum(elpd)
    return PredictiveDensity(
        "waic", kind, of, total, float(np.linalg.norm(error)), _se(elpd), sum(variances), trouble, parts
    )


def _told(bad: list[Any], of: str, why: str) -> str:
    if not bad:
        return ""
    several = "s" if len(bad) > 1 else ""
    what = f"row{several}"
    if of != "row":
        what = f"level{several} of {of} ({', '.join(map(str, bad[:3]))}{', ...' if len(bad) > 3 else ''})"
    return f"{len(bad)} {what} {'have' if several else 'has'} {why}."


def _se(elpd: list[float]) -> float:
    return math.sqrt(len(elpd) * float(np.var(elpd, ddof=1))) if len(elpd) > 1 else math.nan
