"""Serial correlation at uneven times, with random intercepts or without, beside nlme; CPU seconds.

Each fit is a process of its own and the first call in it, from a DataFrame, a formula and
`car1(day | animal)`; of nlme the call of `gls` or `lme` alone. nlme is asked once, where R has it, at 10,000
rows: its deviance stands beside ours, which is to be no higher.
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
FORMULA, RESIDUAL = "y ~ arm * day", "car1(day | animal)"
PEER = "nlme"


@dataclass(frozen=True)
class Series:
    """A study of so many animals and rows of each; whether they have random intercepts and nlme is asked."""

    animals: int
    each: int
    intercepts: bool = False
    peer: bool = False

    @property
    def name(self) -> str:
        """In words."""
        also = ", random intercepts" if self.intercepts else ""
        return f"{self.animals:,} animals x {self.each:,} rows{also}"

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


def measure_ours(series: Series) -> Record:
    """One fit, and its certificate."""
    import lmmkit

    frame = series.frame()
    formula = f"{FORMULA} + (1 | animal)" if series.intercepts else FORMULA
    formula = formula if series.animals > 1 else "y ~ day"
    begin = time.process_time()
    fit = lmmkit.lmm(formula, frame, residual=RESIDUAL)
    fitted = time.process_time()
    passed = fit.certificate.passed
    return {
        "seconds": fitted - begin,
        "certificate": time.process_time() - fitted,
        "passed": passed,
        "rows": fit.nobs,
        "deviance": fit.deviance,
        "range": float(fit.residual_params["range"]),
        "evaluations": fit.evaluations,
        "converged": fit.converged,
        "peak_mb": peak_memory(),
        "version": "lmmkit",
    }


def measure(series: Series, engine: str) -> Record:
    """One measurement, in a process."""
    command: list[str | Path] = [sys.executable, Path(__file__), series.name]
    if engine == PEER:
        path = CACHE / "serial.csv"
        CACHE.mkdir(exist_ok=True)
        series.frame().to_csv(path, index=False)
        command = ["Rscript", HERE / "serial.R", path, "yes" if series.intercepts else "no"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD)
    return {"trial": series.name, "engine": engine, **json.loads(done.stdout.splitlines()[-1])}


def has_peer() -> bool:
    """Whether R is there with nlme."""
    asked = ["Rscript", "-e", "library(nlme)"]
    return (
        shutil.which("Rscript") is not None
        and subprocess.run(asked, capture_output=True, check=False).returncode == 0
    )


def run(rounds: int) -> list[Record]:
    """Every study: ours several times, nlme once."""
    records: list[Record] = []
    peer = has_peer()
    for series in SERIES.values():
        for engine in ["lmmkit"] * rounds + [PEER] * (peer and series.peer):
            records.append(measure(series, engine))
            print(json.dumps(records[-1]), flush=True)
    return records


if __name__ == "__main__":
    print(json.dumps(measure_ours(SERIES[sys.argv[1]])))
