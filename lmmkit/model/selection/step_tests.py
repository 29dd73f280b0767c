"""What speaks for the larger of two candidates: the likelihood ratio test, or a criterion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.errors import FitError
from lmmkit.model.comparison.compare import APART, How, reference_between, tested
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.variance_test import rlrt
from lmmkit.model.selection.candidates import Candidate
from lmmkit.model.selection.walks import Mixture

NO_DISTRIBUTION = "no known distribution of the likelihood ratio: AIC decides"


@dataclass(frozen=True)
class StepTest:
    """A smaller model against a larger one.

    Attributes:
        stat: The likelihood ratio.
        df: Parameters that the larger one has more.
        p: NaN where there is no test.
        reference: The distribution of the statistic where the smaller model holds, in words.
        note: What to know about it.
    """

    stat: float = np.nan
    df: float = np.nan
    p: float = np.nan
    reference: str = ""
    note: str = ""


def step_test(small: Candidate, large: Candidate, *, seed: int = 0) -> StepTest:
    """The restricted or ordinary likelihood ratio test of a smaller candidate in a larger one.

    A variance is tested on the boundary of its domain. The only random effect of a model, where it has one
    column, is tested in the exact distribution of its restricted likelihood ratio.
    """
    one, other = small.estimates, large.estimates
    if one is None or other is None:
        return StepTest(note="one of the two could not be fitted")
    gain = one.deviance - other.deviance
    added = float(other.npar - one.npar)
    if _alone(one, other):
        found = rlrt(other, n=100_000, seed=seed)
        how = f", {found.draws:,} draws" if found.draws else ""
        return StepTest(found.statistic, added, found.p, f"{found.method}{how}")
    if added > 0 and abs(gain) <= APART:
        return StepTest(0.0, added, 1.0, "a statistic of zero", "the larger model fits no better")
    row = tested((one, other), (small.label, large.label), How("lrt", 1, seed, 1))
    worse = WORSE if gain < -APART and added > 0 else ""
    note = "; ".join(filter(None, [row["note"], worse]))
    return StepTest(row["stat"], row["df"], row["p"], row["reference"], note)


WORSE = "the larger model's search ended at a lower likelihood than that of the smaller one"


def _alone(one: Estimates, other: Estimates) -> bool:
    """Whether the larger model has one variance more than none at all, by REML."""
    if one.random or len(other.random) != 1 or not other.reml or other.problem.residual is not None:
        return False
    return len(other.random[0].names) == 1


def mixture_between(small: Estimates, large: Estimates, *, seed: int = 0) -> Mixture | None:
    """The distribution of the likelihood ratio of two nested models, for `walks.decide`; None: none is known.

    Args:
        small: A fit of the smaller model to the data.
        large: One of the larger model.
        seed: Of simulated weights.
    """
    try:
        found = reference_between(small, large, seed)
    except FitError:
        return None
    return None if found is None else Mixture(found.first, found.weights)
