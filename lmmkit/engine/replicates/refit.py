"""Many responses on one design, the optimum of each as an ordinary solve would find it.

Small designs are fitted many replicates at a time as one vectorised problem (`batch_newton`); large ones, and
the few replicates that the batch leaves, one by one. Singular fits are counted, failures named, none dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.problem import Problem
from lmmkit.engine.replicates.batch_newton import LEAST_BATCH, BatchNewton
from lmmkit.engine.replicates.batch_sums import Shared, share, summed, table_size
from lmmkit.engine.rules import BATCH
from lmmkit.engine.setup import Setup, set_up
from lmmkit.engine.solve import solve
from lmmkit.errors import FitError

LARGEST_TABLE = 400_000  # entries above which replicates are fitted one by one
CACHE = 32_000  # entries of a level-wise array of one chunk
Flags = NDArray[np.bool_]
Source = Callable[[int, int], Floats]  # (first, count) -> (n, count) responses


@dataclass(frozen=True, eq=False)
class Replicates:
    """The optima of r replicates, in the units of the data; NaN where a replicate could not be fitted.

    Attributes:
        beta: (r, p) fixed effects.
        errors: (r, p) their standard errors.
        function_variances: (r, q, q) covariance matrices of the functions asked for.
        factors: (r, k, k) Lambda of each term.
        rho: (r, c) coordinates of the residual structure.
        sigma: (r,) residual standard deviations.
        deviance: (r,).
        converged: (r,) whether the search met its stop rule.
        singular: (r,) whether some covariance matrix has a null direction.
        alone: (r,) whether the replicate was fitted by itself.
        failures: What was said of each replicate that could not be fitted, by its number.
    """

    beta: Floats
    errors: Floats
    function_variances: Floats
    factors: tuple[Floats, ...]
    rho: Floats
    sigma: Floats
    deviance: Floats
    converged: Flags
    singular: Flags
    alone: Flags
    failures: dict[int, str]


def refit(
    problem: Problem,
    source: Source,
    count: int,
    *,
    reml: bool,
    rho: Floats | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 1,
    functions: Floats | None = None,
) -> Replicates:
    """Fit a model to many responses.

    Args:
        problem: The design; its own response is not used.
        source: Gives the responses (n, c) of replicates `first` to `first + c - 1`.
        count: Number of replicates.
        reml: Restricted maximum likelihood, or maximum likelihood.
        rho: (m,) coordinates of the residual structure to start each search from.
        progress: Called with the replicates done and their number after each chunk.
        workers: Threads that share the chunks; the numbers do not depend on it.
        functions: (q, p) linear functions of the kept fixed effects whose covariance matrices are wanted.

    Raises:
        FitError: The design cannot be fitted.
    """
    setup = set_up(problem, reml=reml)
    shared = share(setup) if fits_in_batches(setup) else None
    L = np.empty((0, len(setup.prepared.kept))) if functions is None else functions
    results = _empty(setup, count, len(L))
    chunks = list(_chunks(setup, count))
    done = 0

    def fit(chunk: tuple[int, int]) -> tuple[int, int]:
        _fit_chunk(setup, shared, source, chunk, results, rho, L)
        return chunk

    with ThreadPoolExecutor(workers) as pool:
        for _, size in pool.map(fit, chunks) if workers > 1 else map(fit, chunks):
            done += size
            if progress is not None:
                progress(done, count)
    return results


def fits_in_batches(setup: Setup) -> bool:
    """Whether many replicates at a time are faster than one by one."""
    return (
        bool(setup.layout.factors)
        and all(term.plain for term in setup.problem.terms)
        and setup.problem.residual is None
        and all(term.structure.batched for term in setup.problem.terms)
        and table_size(setup.layout, setup.criterion.p) <= LARGEST_TABLE
    )


def _chunks(setup: Setup, count: int) -> Iterator[tuple[int, int]]:
    """First replicate and size of each chunk."""
    widest = max((f.width * f.levels for f in setup.layout.factors), default=1)
    entries = max(widest, len(setup.problem.response) // 16, 1)
    size = min(max(CACHE // entries, LEAST_BATCH), 1024)
    for at in range(0, count, size):
        yield at, min(size, count - at)


def _empty(setup: Setup, count: int, functions: int) -> Replicates:
    """Room for the results."""
    widths, residual = [len(term.columns) for term in setup.problem.terms], setup.problem.residual
    return Replicates(
        beta=np.full((count, len(setup.prepared.kept)), np.nan),
        errors=np.full((count, len(setup.prepared.kept)), np.nan),
        function_variances=np.full((count, functions, functions), np.nan),
        factors=tuple(np.full((count, k, k), np.nan) for k in widths),
        rho=np.full((count, residual.structure.count if residual else 0), np.nan),
        sigma=np.full(count, np.nan),
        deviance=np.full(count, np.nan),
        converged=np.zeros(count, bool),
        singular=np.zeros(count, bool),
        alone=np.zeros(count, bool),
        failures={},
    )


def _fit_chunk(
    setup: Setup,
    shared: Shared | None,
    source: Source,
    chunk: tuple[int, int],
    out: Replicates,
    rho: Floats | None,
    L: Floats,
) -> None:
    """Fit some replicates and write them down; those the batch leaves one by one."""
    first, size = chunk
    Y = source(first, size)
    left = np.arange(size)
    if shared is not None:
        padded = np.concatenate([Y, np.repeat(Y[:, -1:], max(LEAST_BATCH - size, 0), axis=1)], axis=1)
        left = _fit_batch(shared, padded, first, size, out, L)
    for i in left:
        _fit_alone(setup, Y[:, i], first + int(i), out, rho, L)


def _fit_batch(shared: Shared, Y: Floats, first: int, size: int, out: Replicates, L: Floats) -> Ints:
    """Fit the columns of Y together, write down the first `size`, and say which did not arrive."""
    setup = shared.setup
    responses = summed(shared, Y)
    search = BatchNewton(shared, responses, BATCH)
    search.run()
    state, mine = search.state, slice(first, first + size)
    basis = setup.prepared.basis
    beta = responses.beta + responses.scale * np.einsum("ab,br->ar", basis, state.beta)
    sigma = responses.scale * np.sqrt(state.r2 / setup.criterion.nu)
    variances = np.einsum("ab,rbc,ac->ra", basis, state.Phi, basis)
    out.beta[mine], out.sigma[mine] = beta.T[:size], sigma[:size]
    out.errors[mine] = (sigma[:, None] * np.sqrt(variances))[:size]
    of = np.einsum("qb,rbc,sc->rqs", L @ basis, state.Phi, L @ basis)
    out.function_variances[mine] = (sigma[:, None, None] ** 2 * of)[:size]
    out.deviance[mine], out.converged[mine] = state.deviance[:size], search.converged[:size]
    roots = setup.layout.roots(state.theta)
    for term, raw in enumerate(setup.layout.in_data_units(setup.prepared.term_bases, roots)):
        out.factors[term][mine] = raw.transpose(2, 0, 1)[:size]
        out.singular[mine] |= (np.einsum("aar->ar", raw) == 0.0).any(axis=0)[:size]
    return np.flatnonzero(~search.converged[:size])


def _fit_alone(setup: Setup, y: Floats, number: int, out: Replicates, rho: Floats | None, L: Floats) -> None:
    """Fit one replicate by the ordinary search."""
    out.alone[number] = True
    try:
        found = solve(replace(setup.problem, response=y), reml=setup.criterion.reml, rho=rho)
    except FitError as error:
        out.failures[number] = str(error)
        _blank(number, out)
        return
    out.beta[number], out.sigma[number], out.deviance[number] = found.beta, found.sigma, found.deviance
    out.rho[number] = found.rho
    out.errors[number] = found.sigma * np.sqrt(found.unscaled_vcov.diagonal())
    out.function_variances[number] = found.sigma**2 * (L @ found.unscaled_vcov @ L.T)
    out.converged[number] = found.converged
    out.singular[number] = any(found.null_directions)
    for factor, mine in zip(found.factors, out.factors, strict=True):
        mine[number] = factor


def _blank(number: int, out: Replicates) -> None:
    """A replicate that could not be fitted has no numbers."""
    for values in (
        out.beta,
        out.errors,
        out.function_variances,
        out.rho,
        out.sigma,
        out.deviance,
        *out.factors,
    ):
        values[number] = np.nan
    out.converged[number] = out.singular[number] = False
