"""Whether residuals and random effects are normal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.model.diagnostics.check_result import CheckResult, Sentence, Unchecked, number
from lmmkit.model.diagnostics.replicated import Replicated
from lmmkit.model.fit import Fit

LEAST_ROWS = 20
SKEW, TAILS = 0.5, 1.0  # skewness and excess kurtosis from which a departure matters


def moments(values: Floats) -> tuple[Floats, Floats]:
    """(c,) skewness and excess kurtosis of the columns of (n, c) values."""
    off = values - values.mean(axis=0)
    square = np.mean(off**2, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.mean(off**3, axis=0) / square**1.5, np.mean(off**4, axis=0) / square**2 - 3.0


def residual_normality(fit: Fit, sets: Replicated) -> Iterator[CheckResult | Unchecked]:
    """Skewness and excess kurtosis of the conditional residuals."""
    head, what = ("normal residuals", "residuals"), Sentence("Whether residuals are normal")
    values = sets.conditional[sets.spread > 0]
    if len(values) < LEAST_ROWS:
        yield Unchecked(
            *head, Sentence("{} rows, of at least {}", number(len(values)), number(LEAST_ROWS)), what
        )
        return
    lean, tails = moments(values)
    n = len(values)
    statistic = n * (lean**2 / 6.0 + tails**2 / 24.0)
    shape = (number(lean[0], 2), number(tails[0], 2))
    yield CheckResult(
        *head,
        fine=Sentence("No departure of the residuals from normality: skewness {}, excess kurtosis {}.",
                      *shape),
        notable=Sentence("The residuals are not normal: skewness {}, excess kurtosis {}.", *shape),
        statistic=np.log(statistic),
        size=float(tails[0]),
        matters=bool(abs(lean[0]) >= SKEW or abs(tails[0]) >= TAILS),
    )  # fmt: skip
