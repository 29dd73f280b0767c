"""Confidence intervals by every method, and from the replicates of a bootstrap."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from lmmkit.engine.problem import Floats
from lmmkit.engine.replicates.jackknife import without_units
from lmmkit.errors import PartialResult
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.profile_intervals import profile_intervals
from lmmkit.model.inference.wald_intervals import wald_intervals
from lmmkit.model.options import check_level, check_option
from lmmkit.model.resampling.bootstrap import bootstrap, parameters_of
from lmmkit.model.resampling.quantiles import bca, percentile
from lmmkit.model.resampling.simulate import Seed
from lmmkit.model.tables import parameters
from lmmkit.model.threads import one_thread

Method = Literal["wald", "profile", "bootstrap"]
Kind = Literal["percentile", "bca"]
METHODS = ("wald", "profile", "bootstrap")
KINDS = ("percentile", "bca")


@dataclass(frozen=True)
class Bootstrapping:
    """How intervals by bootstrap are made."""

    n: int
    seed: Seed
    kind: Kind = "percentile"
    workers: int = 1


def conf_int(
    estimates: Estimates,
    *,
    method: Method,
    level: float,
    df: str,
    how: Bootstrapping,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Confidence intervals of the coefficients and of the variance parameters: low, high, criterion.

    Args:
        estimates: The fit.
        method: "wald", "profile" or "bootstrap".
        level: Coverage.
        df: Denominator degrees of freedom of the coefficients, for "wald".
        how: For "bootstrap".
        progress: Called with what is done and how much there is to do.

    Raises:
        FitError: An option that is not offered.
    """
    check_option("method", method, METHODS)
    check_option("kind", how.kind, KINDS)
    check_level("level", level)
    if method == "wald":
        return wald_intervals(estimates, level=level, df=df)
    if method == "profile":
        table = profile_intervals(estimates, level=level, progress=progress)
        absent = table.index[table[["low", "high"]].isna().any(axis=1)]
        _warn({name: table.attrs["trouble"][name] for name in absent})
        return table
    return bootstrap_intervals(estimates, level=level, how=how, progress=progress)


def bootstrap_intervals(
    estimates: Estimates,
    *,
    level: float,
    how: Bootstrapping,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Intervals from the parametric bootstrap; `attrs["replicates"]` counts what became of the refits."""
    replicates = bootstrap(estimates, how.n, seed=how.seed, workers=how.workers, progress=progress)
    values = replicates.drop(columns=["converged", "singular"])
    if how.kind == "percentile":
        bounds = [percentile(values[name].to_numpy(), level) for name in values]
    else:
        point = np.concatenate([estimates.beta, parameters(estimates)])
        without = _without_units(estimates)
        bounds = [
            bca(values[name].to_numpy(), point[i], without[:, i], level) for i, name in enumerate(values)
        ]
    table = pd.DataFrame(bounds, columns=["low", "high"], index=pd.Index(list(values)))
    table["criterion"] = "REML" if estimates.reml else "ML"
    table.attrs["replicates"] = counts(replicates)
    failed = table.attrs["replicates"]["failed"]
    _warn({} if not failed else {"bootstrap": f"{failed} of {how.n} replicates could not be fitted."})
    return table


def counts(replicates: pd.DataFrame) -> dict[str, int]:
    """How many replicates there are, and how many of them failed, did not converge, were singular."""
    failed = len(replicates.attrs["failures"])
    return {
        "n": len(replicates),
        "failed": failed,
        "not converged": int((~replicates["converged"]).sum()) - failed,
        "singular": int(replicates["singular"].sum()),
    }


def _without_units(estimates: Estimates) -> Floats:
    """The same parameters without each unit, a row per fit."""
    with one_thread():
        found = [
            solution
            for solution in without_units(estimates.problem, reml=estimates.reml)
            if solution.kept == estimates.kept
        ]
    beta = np.array([solution.beta for solution in found])
    factors = [np.array(each) for each in zip(*(solution.factors for solution in found), strict=True)]
    sigma = np.array([solution.sigma for solution in found])
    return np.column_stack([beta, parameters_of(estimates, factors, sigma)])


def _warn(trouble: dict[str, str]) -> None:
    """Say what could not be found; the table has NaN there."""
    for name, what in trouble.items():
        warnings.warn(f"{name}: {what}", PartialResult, stacklevel=4)
