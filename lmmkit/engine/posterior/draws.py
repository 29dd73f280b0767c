"""Weighted draws from a posterior: proposed, evaluated together, weighted, and what they are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.whitened import Whitened
from lmmkit.engine.posterior.log_posterior import Drawn, LogPosterior
from lmmkit.engine.posterior.pareto import smooth, threshold
from lmmkit.engine.posterior.proposal import Mode, at_mode, find_mode, learned, wider
from lmmkit.engine.replicates.random_streams import normals
from lmmkit.errors import FitError

LEAST_DRAWS = 100  # below which k-hat, and so the draws' own accuracy, cannot be told
PILOT = 1000  # draws that the proposal learns from at first
ROUNDS = 5  # of learning, at most
PURPOSE = 20  # of the streams of random numbers: this and a few after it are those of the rounds
WORK = 3e11  # multiplications that all draws of one round may take, where each is evaluated by itself,
FEWEST = 600  # unless so many take more
PASSING = 100.0  # multiplications in whose time a number in memory is passed


@dataclass(frozen=True, eq=False)
class Draws:
    """Weighted draws of the covariance parameters and of the fixed effects.

    Attributes:
        density: What they are drawn from.
        mode: Where its density is highest.
        phi: (m, r) coordinates.
        drawn: The densities and the fixed effects at each.
        log_weights: (r,) smoothed, their exponentials sum to one.
        k_hat: Of the weights before; NaN of chains.
        rounds: Proposals that were tried.
        evaluations: Of the density, those of its mode left out.
        seed: Of the random numbers.
        quasi: Whether they are quasi-random.
        by_chains: Whether chains that have mixed have made them.
        inefficiency: How many draws are worth one independent draw: 1, or more of a chain.
    """

    density: LogPosterior
    mode: Mode
    phi: Floats
    drawn: Drawn
    log_weights: Floats
    k_hat: float
    rounds: int
    evaluations: int
    seed: int
    quasi: bool
    by_chains: bool = False
    inefficiency: float = 1.0

    @property
    def count(self) -> int:
        """r."""
        return len(self.log_weights)

    @cached_property
    def natural(self) -> Floats:
        """(r, m) parameters: of each term, of the residual structure, sigma."""
        return self.density.parts.natural(self.phi).T

    @property
    def beta(self) -> Floats:
        """(r, p) fixed effects."""
        return self.drawn.beta

    @property
    def log_prior(self) -> Floats:
        """(r,) log prior density of the natural parameters and of the fixed effects."""
        return self.drawn.log_prior

    @property
    def log_likelihood(self) -> Floats:
        """(r,) log p(y | fixed effects, natural parameters)."""
        return self.drawn.log_likelihood

    @cached_property
    def weights(self) -> Floats:
        """(r,), which sum to one."""
        return np.exp(self.log_weights)

    @property
    def effective(self) -> float:
        """Independent, equally weighted draws that are worth as much: 1 / sum w^2, but for chains."""
        return 1.0 / float(self.weights @ self.weights) / self.inefficiency

    @property
    def trusted(self) -> bool:
        """Whether k-hat is small enough for that many draws; chains that have not mixed give none."""
        return self.by_chains or self.k_hat <= threshold(self.count)


def draw(density: LogPosterior, start: Floats, draws: int, seed: int, workers: int = 1) -> Draws:
    """Draw from a posterior.

    A first proposal learns from what it proposed, see `proposal`, until k-hat is small enough.

    Args:
        density: Its density.
        start: (m,) coordinates from which its mode is searched for.
        draws: How many, at least 100; of a large model fewer are made, and they are quasi-random.
        seed: Not negative; equal seeds give equal draws, for any number of workers.
        workers: Threads that share the evaluations.

    Raises:
        FitError: Too few draws, or there is no density where the search begins.
    """
    if draws < LEAST_DRAWS:
        raise FitError(
            f"draws={draws}: from fewer than {LEAST_DRAWS} draws their own accuracy cannot be told; 4000 are "
            "usual, and give means to about 2 % of a posterior standard deviation."
        )
    mode = find_mode(density.slope, start)

    def log_density(phi: Floats) -> Floats:
        return density.drawn(phi, np.zeros((density.p, phi.shape[1])), workers).log_posterior

    proposal = at_mode(mode, log_density)
    first, stream = proposal.components[0], _Stream(seed, affordable(density, draws) < draws)
    count, rounds, evaluations = affordable(density, draws), 0, 0
    made = list[Draws]()
    while rounds <= ROUNDS:
        size = min(PILOT, count) if rounds == 0 else count
        u = stream.normals(size, proposal.size + density.p, rounds)
        phi = proposal.draw(u[: proposal.size])
        drawn = density.drawn(phi, u[proposal.size :], workers)
        if not np.isfinite(drawn.log_posterior).any():
            raise FitError(
                "The posterior has no density at any draw: the priors and the data exclude each other."
            )
        log_ratios = drawn.log_posterior - proposal.logpdf(phi)
        smoothed, rounds, evaluations = smooth(log_ratios), rounds + 1, evaluations + size
        if size == count:
            made.append(Draws(density, mode, phi, drawn, *smoothed, rounds, evaluations, seed, stream.quasi))
            if made[-1].trusted:
                break
        proposal = learned(first if size < count else wider(first), phi, log_ratios)
    best = min(made, key=lambda each: each.k_hat)
    return replace(best, rounds=rounds, evaluations=evaluations)


@dataclass(frozen=True)
class _Stream:
    """Standard normal numbers for the rounds of one seed.

    Attributes:
        seed: The seed.
        quasi: Whether they are those of a scrambled Sobol sequence, more even than random ones.
    """

    seed: int
    quasi: bool

    def normals(self, count: int, size: int, number: int) -> Floats:
        """Returns (size, count) numbers for a round."""
        if not self.quasi:
            return normals(self.seed, 0, count, size, PURPOSE + number)
        rng = np.random.default_rng([self.seed, PURPOSE + number])
        points = scipy.stats.qmc.Sobol(size, scramble=True, rng=rng).random(count)
        return np.ascontiguousarray(scipy.special.ndtri(np.clip(points, 1e-15, 1.0 - 1e-15)).T)


def affordable(density: LogPosterior, draws: int) -> int:
    """How many draws are made where so many are asked for: fewer of a model that is large.

    One evaluation by itself costs about size^3 multiplications for the dense equations of size columns, and
    some for each row and level that it passes. A power of two is taken, which quasi-random numbers need.
    """
    if density.batched:
        return draws
    setup = density.setup
    work = float(setup.layout.size) ** 3
    work += PASSING * sum(f.levels * f.width**2 * (f.width + density.p) for f in setup.layout.chain)
    if isinstance(setup.criterion.source, Whitened):
        work += PASSING * setup.prepared.rows.size
    most = max(int(WORK / max(work, 1.0)), FEWEST)
    return draws if most >= draws else 2 ** math.floor(math.log2(most))
