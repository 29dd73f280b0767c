"""The likelihood ratio test of two models, its distribution by the parametric bootstrap."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.replicates.refit import refit
from lmmkit.errors import FitError
from lmmkit.model.comparison.nesting import refuse_different_data, same_fixed
from lmmkit.model.estimates import Estimates, refitted
from lmmkit.model.inference.variance_test import ZERO, VarianceTest
from lmmkit.model.options import Progress, Seed, seed_of, whole
from lmmkit.model.resampling.simulate import Simulator
from lmmkit.model.threads import one_thread


def bootstrap_test(
    smaller: Estimates,
    larger: Estimates,
    *,
    n: int = 1000,
    seed: Seed = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> VarianceTest:
    """The likelihood ratio test of two models of one response, its distribution by the parametric bootstrap.

    Responses are drawn from the smaller model and both models are fitted to each:
    p = (1 + #{t* >= t}) / (1 + B). Both are compared by REML if both were fitted so and have the same fixed
    effects, else by ML.

    Args:
        smaller: The null model.
        larger: The alternative.
        n: Number of replicates.
        seed: Seed of the random numbers.
        workers: Threads; the numbers do not depend on it.
        progress: Called with the refits done and their number.

    Raises:
        FitError: The models are not fitted to the same data, or no replicate could be fitted.

    Reference: Davison & Hinkley (1997), Bootstrap Methods and their Application, section 4.2.
    """
    count = whole("n", n, "replicates")
    refuse_different_data((smaller, larger))
    reml = smaller.reml and larger.reml and same_fixed(smaller, larger)
    null, other = refitted(smaller, reml=reml), refitted(larger, reml=reml)
    source = Simulator(null, seed_of(seed))

    def counted(before: int) -> Progress:
        return lambda done, _: progress(before + done, 2 * count) if progress is not None else None

    with one_thread():
        deviances = [
            refit(
                model.problem,
                source.draw,
                count,
                reml=reml,
                rho=model.residual_coordinates,
                workers=workers,
                progress=counted(place * count),
            ).deviance
            for place, model in enumerate((null, other))
        ]
    gains = deviances[0] - deviances[1]
    known = gains[np.isfinite(gains)]
    if not len(known):
        raise FitError(f"None of the {count} replicates could be fitted by both models.")
    statistic = max(null.deviance - other.deviance, 0.0)
    above = int(np.count_nonzero(known >= statistic - ZERO))
    method = f"parametric bootstrap, {'REML' if reml else 'ML'}"
    return VarianceTest(statistic, (1 + above) / (1 + len(known)), method, len(known), count - len(known))
