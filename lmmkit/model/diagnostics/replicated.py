"""The data beside data sets that the fitted model makes, each looked at as the data are.

Column 0 is the data, the others are simulated from the fit. Each is refitted where the design allows it in
batches; else all have the fitted variances, and beta, b and sigma of each are what those say of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.crossproducts.whitening import root_of
from lmmkit.engine.inference.prediction_error import PredictionError
from lmmkit.engine.replicates.batch_sums import share, table_size
from lmmkit.engine.replicates.predictions import OneVariance, Predictions, at_own_variances
from lmmkit.engine.replicates.refit import fits_in_batches, refit
from lmmkit.engine.setup import set_up
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.degrees_of_freedom import is_small
from lmmkit.model.resampling.simulate import Simulator
from lmmkit.model.threads import one_thread

How = Literal["refitted", "held"]


class SizeRules(NamedTuple):
    """How many replicates, and which are refitted.

    Attributes:
        many: Replicates of a fit of at most `rows` rows. Halved: p values of the table half as fine.
        few: Of a larger one; the least p of the table is then 1 / (1 + few).
        rows: See `many`. Halved: coarser p values for half the rows.
        table: Entries of the table that a batch of refits works on up to which replicates are refitted.
            Halved: fits with two crossed factors of 20 levels keep their variances.
        cells: Rows x columns of a chunk. Halved: half the memory, and a tenth more time.
    """

    many: int = 999
    few: int = 199
    rows: int = 10_000
    table: int = 20_000
    cells: int = 2_000_000


RULES = SizeRules()


@dataclass(frozen=True, eq=False)
class Replicated:
    """The data (column 0) and some replicates (the other columns), each with its estimates.

    Attributes:
        estimates: The fit.
        how: "refitted", or "held": all at the fitted variances.
        count: Replicates in all, of which this chunk may hold some.
        response: (n, c).
        beta: (p, c) fixed effects.
        sigma: (c,) residual SDs.
        b: (J, k, c) of each random term: BLUPs; zero where a variance is estimated as zero.
        scores: (J, k, c) of each term: what the rows say of each level, Z'V^-1(y - X beta); b is T times
            it, and it tells levels apart at a variance of zero too.
        spread: (n,) SD of the normalised residuals where the model holds, about 1 and lower for rows that
            bend their own fit.
    """

    estimates: Estimates
    how: How
    count: int
    response: Floats
    beta: Floats
    sigma: Floats
    b: tuple[Floats, ...]
    scores: tuple[Floats, ...]
    spread: Floats

    @cached_property
    def fixed_part(self) -> Floats:
        """(n, c) X beta and the offset."""
        out, offset = self.estimates.X @ self.beta, self.estimates.problem.offset
        return out if offset is None else out + offset[:, None]

    @cached_property
    def marginal(self) -> Floats:
        """(n, c) y - X beta, in the unit of the response."""
        return self.response - self.fixed_part

    @cached_property
    def fitted(self) -> Floats:
        """(n, c) X beta + Z b."""
        problem, out = self.estimates.problem, self.fixed_part.copy()
        for term, b in zip(problem.terms, self.b, strict=True):
            for k, position in enumerate(term.columns):
                out += term.on_rows(b[:, k]) * problem.columns[position][:, None]
        return out

    @cached_property
    def residual(self) -> Floats:
        """(n, c) y - fitted, in the unit of the response."""
        return self.response - self.fitted

    @cached_property
    def normalised(self) -> Floats:
        """(n, c) residuals over sigma, free of the correlations and unequal variances that the model has."""
        return normalised_of(self.estimates, self.residual, self.sigma)

    @cached_property
    def conditional(self) -> Floats:
        """(n, c) the same over the SD that each has: standard normal, nearly, where the model holds."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.spread[:, None] > 0, self.normalised / self.spread[:, None], np.nan)


def normalised_of(estimates: Estimates, e: Floats, sigma: Floats) -> Floats:
    """(n, c) B W^1/2 e / sigma, as `residual_kinds.normalised` of one response."""
    problem = estimates.problem
    out = e / sigma
    if problem.weights is not None:
        out *= np.sqrt(problem.weights)[:, None]
    if problem.residual is None:
        return out
    return root_of(problem.residual, estimates.rho).white(np.ascontiguousarray(out.T)).T


def replicate_data(
    estimates: Estimates, *, seed: int, count: int | None = None, rules: SizeRules = RULES
) -> Iterator[Replicated]:
    """The data and their replicates, a chunk at a time; column 0 of each chunk is the data.

    Args:
        estimates: The fit.
        seed: Of the random numbers.
        count: Replicates; by default by the rules.
        rules: The rules of size.
    """
    n = estimates.nobs
    count = count or (rules.many if n <= rules.rows else rules.few)
    size = max(min(rules.cells // n, count), 8)
    source = Simulator(estimates, seed)
    with one_thread():
        looked = _Looked(estimates, rules)
        spread: Floats | None = _known_spread(estimates)
        for first in range(0, count, size):
            made = source.draw(first, min(size, count - first))
            Y = np.concatenate([estimates.problem.response[:, None], made], axis=1)
            found, kept = looked.at(Y)
            sigma = found.sigma
            if estimates.design.held is not None:
                sigma = np.full_like(sigma, estimates.sigma)
            chunk = Replicated(
                estimates, looked.how, count, Y[:, kept], found.beta, sigma, found.b, found.scores, np.ones(n)
            )
            if spread is None:
                spread = _simulated_spread(chunk) if Y.shape[1] >= rules.many // 2 else np.ones(n)
            yield replace(chunk, spread=spread)


class _Looked:
    """How responses are looked at: refitted each, or at the fitted variances."""

    def __init__(self, estimates: Estimates, rules: SizeRules) -> None:
        self.estimates, problem = estimates, estimates.problem
        self.how: How = "held"
        self.one: OneVariance | None = None
        if estimates.design.held is None and problem.residual is None and problem.terms:
            setup = set_up(problem, reml=estimates.reml)
            if fits_in_batches(setup) and table_size(setup.layout, setup.criterion.p) <= rules.table:
                self.how, self.shared = "refitted", share(setup)
        if self.how == "held":
            self.one = OneVariance(problem, estimates.factors, estimates.rho, reml=estimates.reml)

    def at(self, Y: Floats) -> tuple[Predictions, Ints]:
        """What the (n, c) responses say, and which of them could be looked at."""
        every: Ints = np.arange(Y.shape[1], dtype=np.intp)
        if self.one is not None:
            return self.one.predictions(Y), every
        estimates = self.estimates
        again = refit(
            estimates.problem,
            lambda first, size: Y[:, 1 + first : 1 + first + size],
            Y.shape[1] - 1,
            reml=estimates.reml,
        )
        kept = np.concatenate([[0], 1 + np.flatnonzero(np.isfinite(again.sigma))])
        factors = tuple(
            np.concatenate([own[None], others])[kept]
            for own, others in zip(estimates.factors, again.factors, strict=True)
        )
        return at_own_variances(self.shared, Y[:, kept], factors), kept


def _known_spread(estimates: Estimates) -> Floats | None:
    """(n,) SD of each normalised residual at the fitted variances, where there is a closed form; else None.

    Var(e_i) = sigma^2 (1 / w_i - v_i), sigma^2 v_i the prediction error variance of the fitted value.
    """
    problem = estimates.problem
    if problem.residual is not None or not is_small(estimates) or not all(t.plain for t in problem.terms):
        return None
    Z = tuple(np.stack([problem.columns[c] for c in term.columns], axis=1) for term in problem.terms)
    v = PredictionError(estimates.optimum).variance(estimates.X, Z, tuple(t.codes for t in problem.terms))
    left = 1.0 - v * (estimates.sigma / estimates.noise) ** 2
    return np.sqrt(np.where(left > 1e-8, left, 0.0))


def _simulated_spread(chunk: Replicated) -> Floats:
    """(n,) the same from the columns themselves."""
    size = np.sqrt(np.mean(chunk.normalised**2, axis=1))
    return np.where(size > 1e-4, size, 0.0)
