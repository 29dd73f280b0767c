"""From a fit and its priors to draws from the posterior."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariates import awaits_fitted
from lmmkit.engine.posterior.coordinates import DrawnParts
from lmmkit.engine.posterior.draws import Draws, draw
from lmmkit.engine.posterior.log_posterior import LogPosterior
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.options import whole
from lmmkit.model.posterior.prior_words import ModelPriors, model_priors
from lmmkit.model.resampling.simulate import Seed, seed_of
from lmmkit.model.threads import one_thread

LEAST_START = (
    0.2  # of the residual SD, over a column's root mean square: where a search begins from a zero SD
)


def draw_posterior(
    estimates: Estimates,
    priors: Mapping[str, object] | None = None,
    draws: int = 4000,
    seed: Seed = 0,
    workers: int = 1,
) -> tuple[Draws, ModelPriors]:
    """Draw from the posterior of a fitted model; its priors beside the draws.

    Args:
        estimates: The fit, whose optimum is where the search for the mode begins; REML or not is no matter.
        priors: By name, see `prior_words`; by default those of brms where it has one.
        draws: How many.
        seed: Of the random numbers.
        workers: Threads that share the evaluations; the draws do not depend on it.

    Raises:
        FitError: Priors that cannot be read or give no posterior, too few draws, or a model that has none.
    """
    count, number = whole("draws", draws, "draws"), seed_of(seed)
    _refuse_without_posterior(estimates)
    with one_thread():
        setup = set_up(estimates.problem, reml=True)
        known = model_priors(estimates, priors, setup.prepared.term_bases)
        density = LogPosterior(setup, known.parts, known.effects)
        return draw(density, start(estimates, known.parts), count, number, workers), known


def start(estimates: Estimates, parts: DrawnParts) -> Floats:
    """(m,) coordinates of the estimates, no standard deviation zero and no correlation at its end."""
    phi, problem = list[Floats](), estimates.problem
    for at, (part, term) in enumerate(zip(parts.terms, problem.terms, strict=True)):
        G = estimates.covariance(at)
        rms = np.array([np.sqrt(np.mean(problem.columns[c] ** 2)) or 1.0 for c in term.columns])
        least = LEAST_START * estimates.sigma / rms
        sds = np.sqrt(np.maximum(G.diagonal(), least**2))
        phi.append(part.start(G + np.diag(sds**2 - G.diagonal())))
    if parts.residual is not None:
        phi.append(estimates.rho)
    return np.concatenate([*phi, [np.log(estimates.sigma)]])


def _refuse_without_posterior(estimates: Estimates) -> None:
    """The variances are estimated, by a likelihood."""
    if estimates.design.held is not None:
        raise FitError(
            "The variances of this fit are held, not estimated: there is nothing to draw but beta."
        )
    if awaits_fitted(estimates.design.problem):
        raise FitError(
            "power(fitted): variances that follow the fitted values are found as a fixed point, not by a "
            "likelihood, so that there is no posterior. Take power(x) or exp(x) of a covariate."
        )
