"""The parametric bootstrap: the model fitted to many responses drawn from it, and intervals from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import scipy

from lmmkit.engine.arrays import Floats
from lmmkit.engine.replicates.refit import Replicates, refit
from lmmkit.errors import FitError, LmmkitError
from lmmkit.model.estimates import Estimates, estimate
from lmmkit.model.options import Progress, Seed, seed_of, whole
from lmmkit.model.resampling.simulate import Simulator, with_response
from lmmkit.model.tables import parameter_names
from lmmkit.model.threads import one_thread

Statistic = Callable[[Estimates], Any]


def bootstrap(
    estimates: Estimates,
    n: int,
    statistic: Statistic | None = None,
    *,
    seed: Seed,
    workers: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """One row per replicate: the parameters or a statistic, `converged`, `singular`.

    Args:
        estimates: The fit that responses are drawn from.
        n: Number of replicates.
        statistic: Takes a replicate's estimates; gives a number, or several by name.
        seed: Seed of the random numbers.
        workers: Threads; the numbers do not depend on it.
        progress: Called with the replicates done and n.

    Raises:
        FitError: No replicates, or a statistic that gives no numbers.
    """
    count = whole("n", n, "replicates")
    source = Simulator(estimates, seed_of(seed))
    if statistic is not None:
        return _of_statistic(source, count, statistic, progress)
    return bootstrap_from(source, count, workers=whole("workers", workers, "workers"), progress=progress)


def bootstrap_from(
    source: Simulator, count: int, *, workers: int = 1, progress: Progress | None = None
) -> pd.DataFrame:
    """The parameters of replicates drawn from a source, a row each."""
    return tabled(source.estimates, replicate(source, count, workers=workers, progress=progress))


def tabled(estimates: Estimates, found: Replicates) -> pd.DataFrame:
    """The parameters of some replicates, a row each."""
    frame = pd.DataFrame(
        np.column_stack([found.beta, parameters_of(estimates, found.factors, found.rho, found.sigma)]),
        columns=[*estimates.names, *parameter_names(estimates)],
    )
    return _marked(frame, found.converged, found.singular, found.failures)


def replicate(
    source: Simulator, count: int, *, workers: int = 1, progress: Progress | None = None
) -> Replicates:
    """The model fitted to responses drawn from `source`: together, or one by one."""
    estimates = source.estimates
    if estimates.design.held is not None:
        raise FitError(
            "A bootstrap estimates the variances of each replicate again, and those of this fit are given: "
            "leave variances out to have them estimated."
        )
    with one_thread():
        return refit(
            estimates.problem,
            source.draw,
            count,
            reml=estimates.reml,
            rho=estimates.residual_coordinates,
            progress=progress,
            workers=workers,
        )


def parameters_of(estimates: Estimates, factors: Sequence[Floats], rho: Floats, sigma: Floats) -> Floats:
    """(r, m + 1) the parameters of `parameter_names` of many fits.

    Args:
        estimates: One of them.
        factors: (r, k, k) Lambda of each term.
        rho: (r, c) coordinates of the residual structure.
        sigma: (r,).
    """
    pairs, residual = zip(estimates.random, factors, strict=True), estimates.problem.residual
    columns = [term.structure.natural(np.einsum("r,rac,rbc->abr", sigma**2, L, L)) for term, L in pairs]
    if residual is not None:
        fitted = np.isfinite(sigma)
        columns.append(np.full((rho.shape[1], len(rho)), np.nan))
        columns[-1][:, fitted] = (
            np.array([residual.structure.natural(one) for one in rho[fitted]]).reshape(-1, rho.shape[1]).T
        )
    return np.concatenate([*columns, sigma[None]]).T


def _marked(frame: pd.DataFrame, converged: Any, singular: Any, failures: Mapping[int, str]) -> pd.DataFrame:
    """The replicates with what became of each; what was said of those that failed is in `attrs`."""
    frame = frame.assign(converged=converged, singular=singular)
    frame.index.name = "replicate"
    frame.attrs["failures"] = dict(failures)
    return frame


def _of_statistic(
    source: Simulator, count: int, statistic: Statistic, progress: Progress | None
) -> pd.DataFrame:
    """The statistic of every replicate, one ordinary fit each."""
    estimates = source.estimates
    names = list(numbers_of(statistic(estimates)))
    rows, failures = list[dict[str, Any]](), dict[int, str]()
    for i, y in enumerate(_responses(source, count)):
        row: dict[str, Any] = dict.fromkeys(names, np.nan) | {"converged": False, "singular": False}
        try:
            again = estimate(
                with_response(estimates.design, y), reml=estimates.reml, algorithm=estimates.algorithm
            )
            row |= {"converged": again.converged, "singular": again.is_singular}
            row |= numbers_of(statistic(again))
        except Exception as error:  # whatever the statistic raised belongs into the ledger, not on the floor
            failures[i] = str(error) if isinstance(error, LmmkitError) else repr(error)
        rows.append(row)
        if progress is not None:
            progress(i + 1, count)
    frame = pd.DataFrame(rows, columns=[*names, "converged", "singular"])
    return _marked(frame[names], frame["converged"], frame["singular"], failures)


def _responses(source: Simulator, count: int, size: int = 64) -> Iterator[Floats]:
    for first in range(0, count, size):
        yield from source.draw(first, min(size, count - first)).T


def numbers_of(value: Any) -> dict[str, float]:
    """What a statistic gave, by name: a number is called `statistic`.

    Raises:
        FitError: Neither a number nor numbers.
    """
    kind = type(value).__name__
    try:
        if isinstance(value, Mapping | pd.Series):
            named: dict[Any, Any] = dict(cast("Any", value))
            return {str(name): float(v) for name, v in named.items()}
        values = np.empty((0, 0)) if value is None else np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.ndim == 0:
        return {"statistic": float(values)}
    if values.ndim == 1:
        return {f"statistic{i}": float(v) for i, v in enumerate(values)}
    raise FitError(
        f"The statistic gave {kind}; a number, or a vector, dict or Series of numbers, is expected."
    )


def percentile(values: Floats, level: float) -> tuple[float, float]:
    """The middle of some replicates.

    Args:
        values: (r,) replicates; NaN where a quantity is not defined.
        level: Share of them between the bounds.

    Reference: Davison & Hinkley (1997), Bootstrap Methods and their Application, section 5.3: the bounds are
    the (r + 1) alpha-th values in order.

    >>> low, high = percentile(np.arange(1.0, 100.0), 0.9)
    >>> round(low, 6), round(high, 6)
    (5.0, 95.0)
    """
    return _between(values, 0.5 - level / 2.0, 0.5 + level / 2.0)


def studentised(
    values: Floats, errors: Floats, estimate: float, error: float, level: float
) -> tuple[float, float]:
    """The bootstrap-t interval: estimate - error times the quantiles of (value - estimate) / its error.

    Args:
        values: (r,) replicates.
        errors: (r,) standard error of each.
        estimate: The quantity on the data, from which the replicates are drawn.
        error: Its standard error.
        level: Coverage.

    Reference: Davison & Hinkley (1997), section 5.2.1.

    >>> low, high = studentised(np.arange(-49.0, 50.0), np.ones(99), 0.0, 2.0, 0.9)
    >>> round(low, 6), round(high, 6)
    (-90.0, 90.0)
    """
    low, high = percentile((values - estimate) / errors, level)
    return estimate - high * error, estimate - low * error


def bca(values: Floats, estimate: float, jackknife: Floats, level: float) -> tuple[float, float]:
    """The bias-corrected and accelerated interval.

    Args:
        values: (r,) replicates.
        estimate: The quantity on the data.
        jackknife: (u,) the quantity without each unit.
        level: Coverage.

    Reference: Efron (1987), Better bootstrap confidence intervals, Journal of the American Statistical
    Association 82, 171-185; acceleration from the jackknife as in Davison & Hinkley (1997), section 5.3.2.

    >>> low, high = bca(np.arange(1.0, 100.0), 50.0, np.array([49.0, 50.0, 51.0]), 0.9)
    >>> round(low, 6), round(high, 6)
    (5.0, 95.0)
    """
    found = values[np.isfinite(values)]
    if not len(found) or not np.isfinite(estimate):
        return np.nan, np.nan
    below = float(np.count_nonzero(found < estimate) + 0.5 * np.count_nonzero(found == estimate)) / len(found)
    shift = float(scipy.special.ndtri(min(max(below, 0.5 / len(found)), 1.0 - 0.5 / len(found))))
    a = acceleration(jackknife)
    z = shift + scipy.special.ndtri(np.array([0.5 - level / 2.0, 0.5 + level / 2.0]))
    low, high = scipy.special.ndtr(shift + z / (1.0 - a * z))
    return _between(found, float(low), float(high))


def acceleration(jackknife: Floats) -> float:
    """Skewness of the quantity's influence: sum d^3 / (6 (sum d^2)^1.5), d = mean - value."""
    d = np.mean(jackknife) - jackknife if len(jackknife) else np.zeros(1)
    size = float(np.sum(d**2))
    return float(np.sum(d**3)) / (6.0 * size**1.5) if size > 0 else 0.0


def _between(values: Floats, low: float, high: float) -> tuple[float, float]:
    """Two quantiles of what is defined among the values."""
    found = values[np.isfinite(values)]
    if not len(found):
        return np.nan, np.nan
    bounds = np.quantile(found, [low, high], method="weibull")
    return float(bounds[0]), float(bounds[1])
