"""New responses from a fitted model, and the same model fitted to a new response."""

from __future__ import annotations

from dataclasses import replace
from operator import index
from typing import Any, Literal

import numpy as np

from lmmkit.engine.problem import Floats
from lmmkit.errors import DataError, FitError
from lmmkit.model.checks import check_response
from lmmkit.model.design import Design
from lmmkit.model.estimate import Estimates
from lmmkit.model.options import check_option

Seed = int | np.random.Generator


def simulate(estimates: Estimates, n: int, *, seed: Seed, level: Literal["new", "group"]) -> Floats:
    """Responses drawn from the fitted model, (nobs, n).

    Args:
        estimates: The fit.
        n: Number of responses.
        seed: Seed of the random numbers.
        level: "new" draws new random effects, "group" keeps the predicted ones.

    Raises:
        FitError: An option that is not offered.
    """
    check_option("level", level, ("new", "group"))
    rng = _generator(seed)
    mean = estimates.fitted if level == "group" else estimates.marginal_fit
    y = np.repeat(mean[:, None], _count(n), axis=1)
    if level == "new":
        _add_random_effects(y, estimates, rng)
    noise = rng.standard_normal(y.shape) * estimates.sigma
    weights = estimates.problem.weights
    return y + (noise if weights is None else noise / np.sqrt(weights)[:, None])


def _count(n: int) -> int:
    try:
        count = index(n)
    except TypeError:
        count = 0
    if count < 1:
        raise FitError(f"n={n!r}: the number of simulated responses is a whole number from 1 up.")
    return count


def _generator(seed: Seed) -> np.random.Generator:
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise FitError(f"seed={seed!r}: a whole number from 0 up is expected.") from None


def _add_random_effects(y: Floats, estimates: Estimates, rng: np.random.Generator) -> None:
    """Z b with b = sigma Lambda u, u standard normal, onto every column of y."""
    problem = estimates.problem
    for term, L in zip(problem.terms, estimates.factors, strict=True):
        u = rng.standard_normal((term.levels, y.shape[1], len(L)))
        b = estimates.sigma * u @ L.T
        for c, effects in zip(term.columns, np.moveaxis(b, 2, 0), strict=True):
            y += effects[term.codes] * problem.columns[c][:, None]


def with_response(design: Design, y: Any) -> Design:
    """The design with another response.

    Args:
        design: The design.
        y: (nobs,) numbers, in the order of the rows used.

    Raises:
        DataError: Not as many finite numbers as the design has rows.
    """
    rows = len(design.problem.response)
    try:
        response = np.array(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"refit: {rows:,} numbers are expected, not {type(y).__name__}.") from None
    if response.shape != (rows,):
        raise DataError(
            f"refit: {rows:,} numbers are expected, one per row used, not an array of shape {response.shape}."
        )
    if not np.isfinite(response).all():
        raise DataError(
            "refit: the response has a value that is missing or infinite; every one must be finite."
        )
    check_response(response, design.response)
    return replace(design, problem=replace(design.problem, response=response))
