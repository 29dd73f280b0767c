"""New responses from a fitted model, and the same model fitted to a new response."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.whitening import residuals_from
from lmmkit.engine.replicates.random_streams import normals
from lmmkit.errors import DataError
from lmmkit.model.design.design import Design
from lmmkit.model.design.identifiability import check_response
from lmmkit.model.design.rows_used import is_misplaced
from lmmkit.model.estimates import Estimates
from lmmkit.model.options import Seed, check_option, seed_of, whole


@dataclass(frozen=True, eq=False)
class Simulator:
    """Responses drawn from a fitted model, each from its own stream of random numbers.

    Attributes:
        estimates: The fit.
        seed: Of the streams; response i is the same whatever else is drawn.
        level: "new" draws new random effects, "group" keeps the predicted ones.
    """

    estimates: Estimates
    seed: int
    level: Literal["new", "group"] = "new"

    @cached_property
    def mean(self) -> Floats:
        """What all responses have in common, (nobs,)."""
        return self.estimates.fitted if self.level == "group" else self.estimates.marginal_fit

    def draw(self, first: int, count: int) -> Floats:
        """Responses `first` to `first + count - 1`, (nobs, count)."""
        terms = self.estimates.problem.terms if self.level == "new" else ()
        sizes = [term.rank * len(term.columns) for term in terms]
        u = normals(self.seed, first, count, sum(sizes) + self.estimates.nobs)
        *effects, noise = np.split(u, np.cumsum(sizes))
        return responses(self.estimates, self.mean, effects, noise)


def responses(estimates: Estimates, mean: Floats, effects: Iterable[Floats], noise: Floats) -> Floats:
    """Responses made of standard normal numbers, (nobs, r).

    Args:
        estimates: The fit.
        mean: (nobs,) what all responses have in common.
        effects: For each term the (J k, r) u of b = sigma Lambda u, the columns of a level together; of
            related levels, K = A A', those of b = sigma A u Lambda' (of a pedigree from parents to children).
            None where the mean has them already.
        noise: (nobs, r) for the residuals.
    """
    problem, sigma = estimates.problem, estimates.sigma
    y = mean[:, None] + residuals_from(problem, estimates.rho, sigma, noise)
    drawn = zip(problem.terms, estimates.factors, effects, strict=False)
    b = [term.effects(sigma * factor, u) for term, factor, u in drawn]
    return problem.plus_random(y, b) if b else y


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
    return Simulator(estimates, seed_of(seed), level).draw(0, whole("n", n, "simulated responses"))


def with_response(design: Design, y: Any) -> Design:
    """The design with another response.

    Args:
        design: The design.
        y: (nobs,) numbers, in the order of the rows used.

    Raises:
        DataError: Not as many finite numbers as the design has rows.
    """
    rows = len(design.problem.response)
    if is_misplaced(y, design.frame):
        raise DataError(
            "refit: the Series has another index than the rows used; give it that index, or its `to_numpy()` "
            "to go by position."
        )
    try:
        response = None if np.iscomplexobj(y) else np.array(y, dtype=np.float64)
    except (TypeError, ValueError):
        response = None
    if response is None:
        raise DataError(f"refit: {rows:,} numbers are expected, not {type(y).__name__}.")
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
