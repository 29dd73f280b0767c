"""The data beside data sets that the fitted model makes, each looked at as the data are.

Column 0 is the data, the others are simulated from the fit. Each is refitted where the design allows it in
batches; else all have the fitted variances, and beta, b and sigma of each are what those say of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.crossproducts.whitening import normalised
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
LEAST_COLUMNS = 400  # from which the SD of a residual is taken from the columns


@dataclass(frozen=True, eq=False)
class Replicated:
    """The data (column 0) and some replicates (the other columns), each with its estimates.

    Attributes:
        estimates: The fit.
        how: "refitted", or "held": all at the fitted variances.
        count: Replicates in all, of which this chunk may hold some.
        rows: (n,) what the rows are called.
        response: (n, c).
        beta: (p, c) fixed effects.
        sigma: (c,) residual SDs.
        b: (J, k, c) of each random term: BLUPs; zero where a variance is estimated as zero.
        scores: (J, k, c) of each term: what the rows say of each level, Z'V^-1(y - X beta); b is T times
            it, and it tells levels apart at a variance of zero too.
        level_scores: (J, k, 1 + count) of each term: scores over sigma of all columns, not of this chunk's
            alone, standardised at each level: of unit variance and uncorrelated where the model holds.
        level_roots: (J, k, k) of each term: lower roots of their covariance matrices, before.
        spread: (n,) SD of the normalised residuals where the model holds, about 1 and lower for rows that
            bend their own fit; 0 where a row fits itself.
    """

    estimates: Estimates
    how: How
    count: int
    rows: Sequence[Any]
    response: Floats
    beta: Floats
    sigma: Floats
    b: tuple[Floats, ...]
    scores: tuple[Floats, ...]
    level_scores: tuple[Floats, ...]
    level_roots: tuple[Floats, ...]
    spread: Floats

    @cached_property
    def free(self) -> NDArray[np.bool_]:
        """(n,) which rows have a residual: those that do not fit themselves."""
        return self.spread > 0

    @cached_property
    def unconditional(self) -> Floats:
        """(n, c) marginal residuals over their own SD, and over the root mean square of their column."""
        values = self.marginal / marginal_sd(self.estimates)[:, None]
        return values / np.sqrt(np.mean(values**2, axis=0))

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
        return self.estimates.problem.plus_random(self.fixed_part, self.b)

    @cached_property
    def residual(self) -> Floats:
        """(n, c) y - fitted, in the unit of the response."""
        return self.response - self.fitted

    @cached_property
    def normalised(self) -> Floats:
        """(n, c) residuals over sigma, free of the correlations and unequal variances that the model has."""
        return normalised(self.estimates.problem, self.estimates.rho, self.sigma, self.residual)

    @cached_property
    def conditional(self) -> Floats:
        """(n, c) the same over the SD that each has: standard normal, nearly, where the model holds."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.spread[:, None] > 0, self.normalised / self.spread[:, None], np.nan)


def marginal_sd(estimates: Estimates) -> Floats:
    """(n,) SD of y - X beta: of the random effects and the residual together."""
    problem, total = estimates.problem, estimates.noise**2
    for t, (term, named) in enumerate(zip(problem.terms, estimates.random, strict=True)):
        Z = problem.term_columns(term)
        own, weight = np.einsum("na,ab,nb->n", Z, estimates.covariance(t), Z), named.grouping.row_variances
        total = total + (own if weight is None else own * weight)
    return np.sqrt(total)


def replicate_data(
    estimates: Estimates,
    *,
    seed: int,
    count: int | None = None,
    rows: Sequence[Any] | None = None,
    rules: SizeRules = RULES,
) -> Iterator[Replicated]:
    """The data and their replicates, a chunk at a time; column 0 of each chunk is the data.

    Args:
        estimates: The fit.
        seed: Of the random numbers.
        count: Replicates; by default by the rules.
        rows: What the rows of the table are called; by default what its index says.
        rules: The rules of size.
    """
    n = estimates.nobs
    count = count or (rules.many if n <= rules.rows else rules.few)
    index: list[Any] = estimates.design.frame.index.tolist()
    names = index if rows is None else [rows[int(i)] for i in estimates.design.rows]
    size = max(min(rules.cells // n, count), 8)
    source = Simulator(estimates, seed)
    made: Floats | None = None  # of a single chunk the responses are kept, of several drawn again
    with one_thread():
        looked, parts = _Looked(estimates, rules), list[tuple[Predictions, Ints]]()
        for first in range(0, count, size):
            made = _beside(estimates, source.draw(first, min(size, count - first)))
            parts.append(looked.at(made))
        levels = tuple(_all_scores(parts, t) for t in range(len(estimates.random)))
        spread = _known_spread(estimates)
        for first, (found, kept) in zip(range(0, count, size), parts, strict=True):
            if made is None or len(parts) > 1:
                made = _beside(estimates, source.draw(first, min(size, count - first)))
            sigma = found.sigma
            if estimates.design.held is not None:
                sigma = np.full_like(sigma, estimates.sigma)
            chunk = Replicated(
                estimates, looked.how, count, names, made[:, kept], found.beta, sigma, found.b, found.scores,
                tuple(z for z, _ in levels), tuple(root for _, root in levels),
                np.ones(n) if spread is None else spread,
            )  # fmt: skip
            if spread is None:
                spread = (
                    _simulated_spread(chunk) if len(parts) == 1 and len(kept) >= LEAST_COLUMNS else np.ones(n)
                )
                chunk = replace(chunk, spread=spread)
            yield chunk


def _beside(estimates: Estimates, made: Floats) -> Floats:
    """(n, 1 + c) the data and some replicates."""
    return np.concatenate([estimates.problem.response[:, None], made], axis=1)


def _all_scores(parts: Sequence[tuple[Predictions, Ints]], term: int) -> tuple[Floats, Floats]:
    """(J, k, 1 + count) standardised scores of one term in all columns, and the (J, k, k) roots."""
    each = [found.scores[term] / found.sigma for found, _ in parts]
    scores = np.concatenate([each[0], *(part[:, :, 1:] for part in each[1:])], axis=2)
    roots = level_roots(scores)
    return np.asarray(np.linalg.solve(roots, scores), np.float64), roots


def level_roots(scores: Floats) -> Floats:
    """(J, k, k) lower roots of each level's second moments over the columns of (J, k, c); 1 without rows."""
    moment = np.einsum("jac,jbc->jab", scores, scores) / scores.shape[2]
    size = np.sqrt(np.einsum("jaa->ja", moment))
    size = np.where(size > 0, size, 1.0)
    shape = moment / (size[:, :, None] * size[:, None, :]) + 1e-9 * np.eye(moment.shape[1])
    root: Floats = np.asarray(np.linalg.cholesky(shape), np.float64)
    return size[:, :, None] * root


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
    Z = tuple(map(problem.term_columns, problem.terms))
    v = PredictionError(estimates.optimum).variance(estimates.X, Z, tuple(t.codes for t in problem.terms))
    left = 1.0 - v * (estimates.sigma / estimates.noise) ** 2
    return np.sqrt(np.where(left > 1e-8, left, 0.0))


def _simulated_spread(chunk: Replicated) -> Floats:
    """(n,) the same from the columns themselves."""
    size = np.sqrt(np.mean(chunk.normalised**2, axis=1))
    return np.where(size > 1e-4, size, 0.0)
