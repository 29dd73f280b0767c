"""How often intervals hold the truth where responses are missing: `python benchmarks/missing_responses.py`.

Trials of two arms of 40 over three visits, whose subjects leave with a chance that rises with the response
before. The table in docs/missing-data.md is of 400 trials (its lines of the jackknife: the first 200), 50
imputations each (ten minutes).
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit import lmm, reference_based

VISITS, SUBJECTS, MANY = 3, 80, 400_000
Floats = NDArray[np.float64]
SPREAD = np.outer([2, 2.4, 3.0], [2, 2.4, 3.0]) * 0.65 ** np.abs(np.subtract.outer(range(3), range(3)))
MEANS = {"a": np.array([10.0, 9.5, 9.0]), "b": np.array([10.0, 8.5, 7.0])}
EFFECT = "arm[T.b]:visit[v3]"


class Trial(NamedTuple):
    """Arms, responses had nobody left, visits that each was seen at, last responses if those of b jumped."""

    arm: NDArray[np.str_]
    y: Floats
    seen: NDArray[np.intp]
    jumped: Floats


def drawn(seed: int, n: int) -> Trial:
    """A trial; those of b who leave jump to the reference arm a."""
    rng = np.random.default_rng(seed)
    arm = np.repeat(["a", "b"], n // 2)
    noise = rng.multivariate_normal(np.zeros(VISITS), SPREAD, n)
    y = np.where(arm[:, None] == "a", MEANS["a"], MEANS["b"]) + noise
    seen = np.full(n, VISITS)
    for visit in (2, 1):  # the earliest leaving counts
        chance = 1.0 / (1.0 + np.exp(1.6 - 0.35 * (y[:, visit - 1] - 9.0)))
        seen[rng.random(n) < chance] = visit
    jumped = y[:, -1].copy()
    for visit in (1, 2):
        left = (arm == "b") & (seen == visit)
        B = SPREAD[-1, :visit] @ np.linalg.inv(SPREAD[:visit, :visit])
        sd = np.sqrt(SPREAD[-1, -1] - B @ SPREAD[:visit, -1])
        mean = MEANS["a"][-1] + (y[left, :visit] - MEANS["b"][:visit]) @ B
        jumped[left] = mean + sd * rng.standard_normal(left.sum())
    return Trial(arm, y, seen, jumped)


def table_of(trial: Trial) -> pd.DataFrame:
    """What was seen of a trial, in long form."""
    y = np.where(np.arange(VISITS) < trial.seen[:, None], trial.y, np.nan)
    wide = pd.DataFrame(y, columns=["v1", "v2", "v3"]).assign(id=range(len(y)), arm=trial.arm)
    return wide.melt(["id", "arm"], var_name="visit", value_name="y")


def main() -> None:
    """Print bias, spread, mean standard error and coverage of each line of the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=400)
    trials = parser.parse_args().trials
    large = drawn(1, MANY)
    at_random = MEANS["b"][-1] - MEANS["a"][-1]
    jump = large.jumped[large.arm == "b"].mean() - MEANS["a"][-1]
    found = list[pd.DataFrame]()
    for number in range(trials):
        trial = table_of(drawn(1000 + number, SUBJECTS))
        fit = lmm("y ~ visit + arm:visit", trial, residual="un(visit | id)")
        jumping = reference_based(
            fit,
            EFFECT,
            arm="arm",
            reference="a",
            assumptions=["jump-to-reference"],
            imputations=50,
            seed=number,
        )
        found.append(jumping.table)
    every = pd.concat(found)
    truth = every["assumption"].map({"missing at random": at_random, "jump to reference": jump})
    every["bias"] = every["estimate"] - truth
    every["cover"] = (every["low"] <= truth) & (truth <= every["high"])
    lines = every.groupby(["assumption", "method"], sort=False)
    told = {"bias": ("bias", "mean"), "sd": ("estimate", "std"), "se": ("se", "mean")}
    summary = lines.agg(**told, cover=("cover", "mean"))
    print(f"truth {at_random:.3f} at random, {jump:.3f} under jump to reference")
    print(summary.round(3).to_string())


if __name__ == "__main__":
    main()
