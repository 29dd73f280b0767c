"""Serial correlation at uneven times, with random intercepts or without, beside nlme: `car1(day | animal)`.

Its deviance at 10,000 rows, of `gls` or `lme`, stands beside ours, which is to be no higher.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from first_fits import Study


@dataclass(frozen=True)
class Series(Study):
    """A study of so many animals and rows of each; whether they have random intercepts and nlme is asked."""

    package = "nlme"
    module = Path(__file__)
    animals: int
    each: int
    intercepts: bool = False
    peer: bool = False

    @property
    def name(self) -> str:
        """In words."""
        also = ", random intercepts" if self.intercepts else ""
        return f"{self.animals:,} animals x {self.each:,} rows{also}"

    @property
    def model(self) -> tuple[str, str]:
        """Of one animal alone its own line."""
        formula = "y ~ arm * day" if self.animals > 1 else "y ~ day"
        return f"{formula} + (1 | animal)" if self.intercepts else formula, "car1(day | animal)"

    def peers_arguments(self) -> tuple[str]:
        """Whether there are random intercepts."""
        return ("yes" if self.intercepts else "no",)

    def frame(self) -> pd.DataFrame:
        """Its rows, in the order of time within animals: gaps are exponential, the range is 5 of them."""
        rng = np.random.default_rng(1)
        day = rng.exponential(size=(self.animals, self.each)).cumsum(axis=1)
        phi = np.exp(-np.diff(day, axis=1) / 5.0)
        noise = rng.normal(size=day.shape)
        for t in range(1, self.each):
            noise[:, t] = phi[:, t - 1] * noise[:, t - 1] + np.sqrt(1.0 - phi[:, t - 1] ** 2) * noise[:, t]
        arm = np.arange(self.animals) % 2
        y = 3.0 + 0.5 * arm[:, None] + (0.02 + 0.01 * arm)[:, None] * day + noise
        if self.intercepts:
            y = y + rng.normal(size=(self.animals, 1))
        animal = np.repeat(np.arange(self.animals), self.each)
        arms = pd.Categorical.from_codes(np.repeat(arm, self.each), ["a", "b"])
        return pd.DataFrame({"y": y.ravel(), "day": day.ravel(), "animal": animal, "arm": arms})


SERIES = {
    series.name: series
    for series in (
        Series(1_000, 10, peer=True),
        Series(1_000, 10, intercepts=True, peer=True),
        Series(100_000, 10),
        Series(100_000, 10, intercepts=True),
        Series(1, 1_000_000),
    )
}


if __name__ == "__main__":
    print(json.dumps(SERIES[sys.argv[1]].measure_ours()))
