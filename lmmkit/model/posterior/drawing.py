"""From a fit and its priors to draws from the posterior."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.structures import Structure
from lmmkit.engine.covariates import awaits_fitted
from lmmkit.engine.posterior.coordinates import DrawnParts
from lmmkit.engine.posterior.draws import Draws, draw
from lmmkit.engine.posterior.log_posterior import LogPosterior
from lmmkit.engine.posterior.pareto import threshold
from lmmkit.engine.posterior.priors import Prior
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.options import Seed, seed_of, whole
from lmmkit.model.posterior import no_u_turn
from lmmkit.model.posterior.prior_words import ModelPriors, model_priors
from lmmkit.model.threads import one_thread

LEAST_START = 0.2  # of the residual SD, over a column's root mean square: the least start of an SD
FAR = 10.0  # on the log, from the estimates: a factor of 22,000
LEAST_FALL = 1e-3  # of the log density there, on the same scale


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
    count, number, workers = (
        whole("draws", draws, "draws"),
        seed_of(seed),
        whole("workers", workers, "threads"),
    )
    _refuse_without_posterior(estimates)
    with one_thread():
        setup = set_up(estimates.problem, reml=True)
        known = model_priors(estimates, priors, setup.prepared.term_bases)
        density, begin = LogPosterior(setup, known.parts, known.effects), start(estimates, known.parts)
        _refuse_improper(density, begin, known)
        found = draw(density, begin, count, number, workers)
        return found if found.trusted else _otherwise(found, workers), known


def _otherwise(draws: Draws, workers: int) -> Draws:
    """What k-hat does not allow is drawn by chains, where there is a sampler for them.

    Raises:
        FitError: There is none, or they do not mix.
    """
    if no_u_turn.available():
        return no_u_turn.by_chains(draws, workers)
    raise FitError(
        f"The posterior's draws cannot be trusted: k-hat is {draws.k_hat:.2f} after {draws.rounds} "
        f"proposals, and {threshold(draws.count):.2f} is the most that {draws.count:,} draws bear. Install "
        "nutpie (pip install 'lmmkit[nutpie]'), whose sampler then draws; or give narrower priors, a simpler "
        "random part, or more draws."
    )


def _refuse_improper(density: LogPosterior, phi: Floats, known: ModelPriors) -> None:
    """Where a prior has no integral the likelihood must see to it that the posterior has one.

    The slope of the log density far out along the log of a standard deviation, or of several together, must
    be down: it is the power with which the density of the parameter falls, less the one that it needs.

    Raises:
        FitError: It is not.
    """
    covariances = [each for each in known.named if each.kind != "beta"]
    flat = [
        at for at, each in enumerate(covariances) if not each.prior.proper and each.kind in ("sd", "range")
    ]
    for way in [*([at] for at in flat), *([flat] if len(flat) > 1 else [])]:
        far = phi.copy()
        far[way] += FAR
        if density.slope(far)[1][way].sum() > -LEAST_FALL:
            names = ", ".join(covariances[at].parameter for at in way)
            raise FitError(
                f"The posterior is improper: under a flat prior of {names} its density does not fall fast "
                "enough for large values, because the data have too few levels to bound it (a standard "
                "deviation needs at least three). Give a proper prior, such as half_student_t(3, 0, scale)."
            )


def start(estimates: Estimates, parts: DrawnParts) -> Floats:
    """(m,) coordinates of the estimates, no standard deviation zero and no correlation at its end."""
    phi, problem = list[Floats](), estimates.problem
    for at, (part, term) in enumerate(zip(parts.terms, problem.terms, strict=True)):
        own = _sds(estimates.random[at].structure)
        G = estimates.covariance(at)
        rms = np.array([np.sqrt(np.mean(problem.columns[c] ** 2)) or 1.0 for c in term.columns])
        least = LEAST_START * estimates.sigma / rms
        sds = np.sqrt(np.maximum(G.diagonal(), least**2))
        allowed = np.array([_allowed(part.priors[own[column]], sd) for column, sd in enumerate(sds)])
        scale = allowed / sds
        phi.append(part.start((G + np.diag(sds**2 - G.diagonal())) * np.outer(scale, scale)))
    if parts.residual is not None:
        phi.append(estimates.rho)
    return np.concatenate([*phi, [np.log(_allowed(parts.priors[-1], estimates.sigma))]])


def _sds(structure: Structure) -> list[int]:
    """Of each column the place of its standard deviation among the natural parameters."""
    places = [at for at, natural in enumerate(structure.naturals) if natural.kind == "sd"]
    return places if len(places) == structure.width else places * structure.width


def _allowed(prior: Prior, sd: float) -> float:
    """A standard deviation, or the nearest that its prior allows, a tenth of the range from its end."""
    low, high = prior.limits
    if low < sd < high or not math.isfinite(high):
        return sd
    return low + (0.1 if sd <= low else 0.9) * (high - low)


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
