"""Every algorithm on one model side by side, and the surface that they walk on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lmmkit.engine.problem import Floats
from lmmkit.engine.search.algorithms import ALGORITHMS
from lmmkit.engine.search.units import prepared_factors
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates, estimate, start_factors
from lmmkit.model.tables import theta_names
from lmmkit.model.threads import one_thread


def uninformed_start(estimates: Estimates) -> Floats:
    """theta of Lambda = I, where lme4 starts."""
    parts = (term.structure.coordinates(np.eye(len(term.names))) for term in estimates.random)
    return np.concatenate([np.empty(0), *parts])


def fits_by_algorithm(estimates: Estimates, algorithms: Sequence[str] | None = None) -> dict[str, Estimates]:
    """The same model by each algorithm, all started from Lambda = I.

    Args:
        estimates: A fit whose design and criterion are taken.
        algorithms: Names; by default all.

    Raises:
        FitError: There is no such algorithm.
    """
    start = uninformed_start(estimates)
    return {
        name: estimate(estimates.design, reml=estimates.reml, algorithm=name, start=[float(x) for x in start])
        for name in (ALGORITHMS if algorithms is None else algorithms)
    }


def algorithm_table(fits: dict[str, Estimates]) -> pd.DataFrame:
    """One row per algorithm: where it ended, how far above the lowest, what it cost, whether it converged.

    Returns:
        DataFrame by algorithm: `deviance`, `above` (the lowest of all), `sigma`, `iterations`, `evaluations`,
        `decrement` (what its last step still promised, in deviance units), `converged`, `method`.
    """
    lowest = min(fit.deviance for fit in fits.values())
    rows = {
        name: {
            "deviance": fit.deviance,
            "above": fit.deviance - lowest,
            "sigma": fit.sigma,
            "iterations": len(fit.evidence.trace) - 1,
            "evaluations": fit.evaluations,
            "decrement": fit.evidence.trace[-1]["decrement"],
            "converged": fit.converged,
            "method": ALGORITHMS[name].description,
        }
        for name, fit in fits.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("algorithm")


def steps_table(fits: dict[str, Estimates]) -> pd.DataFrame:
    """Where each algorithm stood at each step.

    Returns:
        DataFrame `algorithm`, `iteration`, `deviance`, `above` (the lowest that any algorithm reached; at
        least the rounding of the deviance, so that it can be drawn on a log scale), then theta by name.
    """
    lowest = min(fit.deviance for fit in fits.values())
    rounding = np.finfo(np.float64).eps * abs(lowest)
    parts = [_steps(name, fit) for name, fit in fits.items()]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(above=(table["deviance"] - lowest).clip(lower=rounding))


def _steps(name: str, fit: Estimates) -> pd.DataFrame:
    """The log of one algorithm."""
    log = fit.evidence.trace
    theta = pd.DataFrame([line["theta"] for line in log], columns=theta_names(fit))
    head = {"algorithm": name, "iteration": [line["iteration"] for line in log]}
    deviances = [line["deviance"] for line in log]
    return pd.concat([pd.DataFrame({**head, "deviance": deviances, "above": deviances}), theta], axis=1)


def deviance_surface(
    estimates: Estimates, first: str, second: str, *, width: float = 1.0, points: int = 41
) -> pd.DataFrame:
    """The profiled deviance over two entries of theta, the others at the optimum.

    Args:
        estimates: The fit.
        first: Name of an entry of theta.
        second: Name of another.
        width: How far the grid reaches to either side, as a share of each estimate (at least of 0.5).
        points: Points along each axis.

    Returns:
        DataFrame `first`, `second` (named as asked), `deviance`, and `above` (the optimum); entries outside
        the cone, with a negative diagonal, are left out.

    Raises:
        FitError: theta has no such entry.
    """
    axes = [_axis(estimates, name, width, points) for name in (first, second)]
    setup = set_up(estimates.problem, reml=estimates.reml)
    rows = list[tuple[float, float, float]]()
    with one_thread():
        for a in axes[0][1]:
            for b in axes[1][1]:
                theta = estimates.theta.copy()
                theta[axes[0][0]], theta[axes[1][0]] = a, b
                factors = start_factors(estimates.design, [float(x) for x in theta])
                L = prepared_factors(setup.problem, setup.prepared, setup.layout, factors)
                rows.append((a, b, setup.criterion.deviance(setup.criterion.theta(L))))
    table = pd.DataFrame(rows, columns=[first, second, "deviance"])
    return table.assign(above=table["deviance"] - estimates.deviance)


def _axis(estimates: Estimates, name: str, width: float, points: int) -> tuple[int, Floats]:
    """Position of an entry of theta, and the grid along it."""
    names = theta_names(estimates)
    if name not in names:
        raise FitError(f"theta has no entry {name!r}; it has {', '.join(names)}.")
    position = names.index(name)
    value = float(estimates.theta[position])
    reach = width * max(abs(value), 0.5)
    bounded = np.concatenate([term.structure.nonnegative for term in estimates.random])[position]
    low = max(value - reach, 0.0) if bounded else value - reach
    return position, np.linspace(low, value + reach, points)
