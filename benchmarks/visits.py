"""Repeated visits of a trial, unstructured (MMRM), beside glmmTMB; CPU seconds of one thread.

Each fit is a process of its own and the first call in it, from a DataFrame, a formula and
`un(visit | patient)`; of glmmTMB the call alone, with `us(0 + visit | patient)` and no dispersion. It is
asked once, where R has it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fits import ONE_THREAD
from workloads import CACHE, HERE, peak_memory

Record = dict[str, Any]
FORMULA, RESIDUAL = "y ~ arm * visit + baseline", "un(visit | patient)"
PEER = "glmmTMB"


@dataclass(frozen=True)
class Trial:
    """A trial of so many patients and visits; whether glmmTMB is asked."""

    patients: int
    visits: int
    peer: bool = False

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.patients:,} patients x {self.visits} visits"

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


def measure_ours(trial: Trial) -> Record:
    """One fit, and its certificate."""
    import lmmkit

    frame = trial.frame()
    begin = time.process_time()
    fit = lmmkit.lmm(FORMULA, frame, residual=RESIDUAL)
    fitted = time.process_time()
    passed = fit.certificate.passed
    return {
        "seconds": fitted - begin,
        "certificate": time.process_time() - fitted,
        "passed": passed,
        "rows": fit.nobs,
        "deviance": fit.deviance,
        "evaluations": fit.evaluations,
        "converged": fit.converged,
        "peak_mb": peak_memory(),
        "version": "lmmkit",
    }


def measure(trial: Trial, engine: str) -> Record:
    """One measurement, in a process."""
    command: list[str | Path] = [sys.executable, Path(__file__), trial.name]
    if engine == PEER:
        path = CACHE / "visits.csv"
        CACHE.mkdir(exist_ok=True)
        trial.frame().to_csv(path, index=False)
        command = ["Rscript", HERE / "visits.R", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD)
    return {"trial": trial.name, "engine": engine, **json.loads(done.stdout.splitlines()[-1])}


def has_peer() -> bool:
    """Whether R is there with glmmTMB."""
    asked = ["Rscript", "-e", "library(glmmTMB)"]
    return (
        shutil.which("Rscript") is not None
        and subprocess.run(asked, capture_output=True, check=False).returncode == 0
    )


def run(rounds: int) -> list[Record]:
    """Every trial: ours several times, glmmTMB once."""
    records: list[Record] = []
    peer = has_peer()
    for trial in TRIALS.values():
        for engine in ["lmmkit"] * rounds + [PEER] * (peer and trial.peer):
            records.append(measure(trial, engine))
            print(json.dumps(records[-1]), flush=True)
    return records


if __name__ == "__main__":
    print(json.dumps(measure_ours(TRIALS[sys.argv[1]])))
