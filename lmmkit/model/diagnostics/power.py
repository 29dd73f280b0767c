"""How often a check of random effects would see a strong departure in data of this design."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import log_ndtr

from lmmkit.engine.arrays import Floats
from lmmkit.engine.replicates.predictions import OneVariance
from lmmkit.engine.replicates.random_streams import normals
from lmmkit.model.diagnostics.replicated import Replicated
from lmmkit.model.resampling.simulate import rank_of, responses
from lmmkit.model.threads import one_thread

COUNT, LEAST = 99, 25  # data sets with skewed effects; of large data
LARGE = 20_000  # rows
STREAM = 7  # of the random numbers, apart from the replicates'


def chance_to_see(sets: Replicated, statistic: Callable[[Floats], Floats]) -> list[float]:
    """Share of data sets with exponential effects (skewness 2) that a check at 5 % notices, of each term.

    The variances are held at those of the fit, and all terms have such effects at once.

    Args:
        sets: The replicates.
        statistic: Of (J, k, c) standardised scores, (c,) large where effects are not normal.
    """
    estimates = sets.estimates
    problem = estimates.problem
    count = COUNT if estimates.nobs <= LARGE else LEAST
    sizes = [rank_of(term) * len(term.columns) for term in problem.terms]
    u = normals(0, 0, count, sum(sizes) + estimates.nobs, STREAM)
    *effects, noise = np.split(u, np.cumsum(sizes))
    skewed = [-log_ndtr(own) - 1.0 for own in effects]
    made = responses(estimates, estimates.marginal_fit, skewed, noise)
    with one_thread():
        map_of = OneVariance(problem, estimates.factors, estimates.rho, reml=estimates.reml)
        found = map_of.predictions(made)
    chances = list[float]()
    for place, term in enumerate(estimates.random):
        seen = term.grouping.observed
        z: Floats = np.asarray(
            np.linalg.solve(sets.level_roots[place], found.scores[place] / found.sigma)[seen], np.float64
        )
        bound = float(np.quantile(statistic(sets.level_scores[place][seen])[1:], 0.95))
        chances.append(int(np.count_nonzero(statistic(z) > bound)) / count)
    return chances
