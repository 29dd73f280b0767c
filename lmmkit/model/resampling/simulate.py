"""New responses from a fitted model, and the same model fitted to a new response."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from operator import index
from typing import Any, Literal

import numpy as np
import pandas as pd

from lmmkit.engine.problem import Floats
from lmmkit.engine.replicates.random_streams import Streams
from lmmkit.errors import DataError, FitError
from lmmkit.model.design.design import Design
from lmmkit.model.design.identifiability import check_response
from lmmkit.model.estimates import Estimates
from lmmkit.model.options import check_option, whole

Seed = int | np.random.Generator


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

    @cached_property
    def noise(self) -> Floats:
        """Standard deviation of each row's residual, (nobs, 1)."""
        weights = self.estimates.problem.weights
        unit = np.ones(self.estimates.nobs) if weights is None else 1.0 / np.sqrt(weights)
        return self.estimates.sigma * unit[:, None]

    def draw(self, first: int, count: int) -> Floats:
        """Responses `first` to `first + count - 1`, (nobs, count)."""
        terms = self.estimates.problem.terms if self.level == "new" else ()
        sizes = [term.levels * len(term.columns) for term in terms]
        u = Streams(self.seed).normals(first, count, sum(sizes) + self.estimates.nobs)
        y = self.mean[:, None] + self.noise * u[sum(sizes) :]
        ends = np.cumsum(sizes)
        for t, (size, end) in enumerate(zip(sizes, ends, strict=True)):
            add_effects(self.estimates, t, u[end - size : end], y)
        return y


def add_effects(estimates: Estimates, t: int, u: Floats, y: Floats) -> None:
    """Z b of one term with b = sigma Lambda u, (effects, r) of u onto the (nobs, r) columns of y."""
    problem, term = estimates.problem, estimates.problem.terms[t]
    L = estimates.sigma * estimates.factors[t]
    b = np.einsum("ab,jbr->ajr", L, u.reshape(term.levels, len(L), -1))
    for column, effects in zip(term.columns, b, strict=True):
        y += effects[term.codes] * problem.columns[column][:, None]


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


def seed_of(seed: Seed) -> int:
    """A whole number to seed streams with; a generator gives its next one.

    Raises:
        FitError: Neither a whole number from 0 up nor a generator.
    """
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63))
    try:
        number = index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise FitError(f"seed={seed!r}: a whole number from 0 up is expected.")
    return number


def with_response(design: Design, y: Any) -> Design:
    """The design with another response.

    Args:
        design: The design.
        y: (nobs,) numbers, in the order of the rows used.

    Raises:
        DataError: Not as many finite numbers as the design has rows.
    """
    rows = len(design.problem.response)
    if _is_misplaced(y, design):
        raise DataError(
            "refit: the Series has another index than the rows used; give it that index, or its `to_numpy()` "
            "to go by position."
        )
    try:
        response = np.array(_real(y), dtype=np.float64)
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


def _is_misplaced(y: Any, design: Design) -> bool:
    return isinstance(y, pd.Series) and not y.index.equals(design.frame.index)


def _real(y: Any) -> Any:
    """Numbers as they are; complex ones would lose a part.

    Raises:
        TypeError: They are complex.
    """
    if np.iscomplexobj(y):
        raise TypeError
    return y
