"""Weighted draws from a posterior: proposed, evaluated together, weighted, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.posterior.log_posterior import Drawn, LogPosterior
from lmmkit.engine.posterior.pareto import Smoothed, smooth, threshold
from lmmkit.engine.posterior.proposal import Mode, TMixture, at_mode, find_mode
from lmmkit.engine.replicates.random_streams import normals
from lmmkit.errors import FitError

LEAST_DRAWS = 100  # below which k-hat, and so the draws' own accuracy, cannot be told
PURPOSE = 20  # of the streams of random numbers: this and a few after it are those of the rounds


@dataclass(frozen=True, eq=False)
class Draws:
    """Weighted draws of the covariance parameters and of the fixed effects.

    Attributes:
        density: What they are drawn from.
        mode: Where its density is highest.
        phi: (m, r) coordinates.
        drawn: The densities and the fixed effects at each.
        log_weights: (r,) smoothed, their exponentials sum to one.
        k_hat: Of the weights before.
        rounds: Proposals that were tried.
        evaluations: Of the density, those of its mode left out.
        seed: Of the random numbers.
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
        """Equally weighted draws that are worth as much: 1 / sum w^2."""
        return 1.0 / float(self.weights @ self.weights)

    @property
    def trusted(self) -> bool:
        """Whether k-hat is small enough for that many draws."""
        return not self.k_hat > threshold(self.count)


def draw(density: LogPosterior, start: Floats, draws: int, seed: int, workers: int = 1) -> Draws:
    """Draw from a posterior.

    Args:
        density: Its density.
        start: (m,) coordinates from which its mode is searched for.
        draws: How many, at least 100.
        seed: Not negative; equal seeds give equal draws, for any number of workers.
        workers: Threads that share the evaluations.

    Raises:
        FitError: Too few draws, or a posterior that they cannot stand for.
    """
    if draws < LEAST_DRAWS:
        raise FitError(
            f"draws={draws}: from fewer than {LEAST_DRAWS} draws their own accuracy cannot be told; 4000 are "
            "usual, and give means to about 2 % of a posterior standard deviation."
        )
    mode = find_mode(density.slope, start)
    proposal = at_mode(mode)
    drawn, phi, smoothed = _weighted(density, proposal, draws, seed, 0, workers)
    return Draws(density, mode, phi, drawn, *smoothed, 1, draws, seed)


def _weighted(
    density: LogPosterior, proposal: TMixture, draws: int, seed: int, number: int, workers: int
) -> tuple[Drawn, Floats, Smoothed]:
    """Draws of one proposal with their weights."""
    u = normals(seed, 0, draws, proposal.size + density.p, PURPOSE + number)
    phi = proposal.draw(u[: proposal.size])
    drawn = density.drawn(phi, u[proposal.size :], workers)
    if not np.isfinite(drawn.log_posterior).any():
        raise FitError(
            "The posterior has no density at any draw: the priors and the data exclude each other."
        )
    return drawn, phi, smooth(drawn.log_posterior - proposal.logpdf(phi))
