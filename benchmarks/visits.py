"""Repeated visits of a trial, unstructured (MMRM), beside glmmTMB's `us(0 + visit | patient)`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from first_fits import Study


@dataclass(frozen=True)
class Trial(Study):
    """A trial of so many patients and visits; whether glmmTMB is asked."""

    package = "glmmTMB"
    module = Path(__file__)
    patients: int
    visits: int
    peer: bool = False

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.patients:,} patients x {self.visits} visits"

    @property
    def model(self) -> tuple[str, str]:
        """Unstructured."""
        return "y ~ arm * visit + baseline", "un(visit | patient)"

    def frame(self) -> pd.DataFrame:
        """Its rows: patients leave for good, 6 in 100 at each visit, and miss 2 in 100 of the others."""
        rng = np.random.default_rng(1)
        arm, baseline = rng.integers(0, 2, self.patients), rng.normal(size=self.patients)
        week = np.arange(self.visits)
        sd, apart = 1 + 0.1 * week, np.abs(np.subtract.outer(week, week))
        L = np.linalg.cholesky(np.outer(sd, sd) * (0.3 + 0.7 * 0.8**apart))
        y = rng.normal(size=(self.patients, self.visits)) @ L.T
        y = y + 0.5 * baseline[:, None] + 0.1 * np.outer(arm, week)
        stays = np.cumprod(rng.random(y.shape) > 0.06, axis=1) * (rng.random(y.shape) > 0.02)
        stays[:, 0] = 1
        patient, visit = np.nonzero(stays)
        return pd.DataFrame(
            {
                "y": y[patient, visit],
                "patient": patient,
                "visit": pd.Categorical.from_codes(visit, [f"v{i + 1:02d}" for i in week]),
                "arm": pd.Categorical.from_codes(arm[patient], ["a", "b"]),
                "baseline": baseline[patient],
            }
        )


TRIALS = {trial.name: trial for trial in (Trial(10_000, 5, True), Trial(100_000, 5), Trial(20_000, 15))}


if __name__ == "__main__":
    print(json.dumps(TRIALS[sys.argv[1]].measure_ours()))
