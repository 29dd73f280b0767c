"""How often `diagnose` finds what is not there, and what is: writes `docs/diagnostics.md`.

    python benchmarks/diagnostics.py

With --tables 1000 --replicates 199 it takes about an hour of CPU time.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

import lmmkit
from lmmkit.model.diagnostics.diagnose import diagnose
from lmmkit.model.diagnostics.replicated import RULES

PAGE = Path(__file__).parent.parent / "docs" / "diagnostics.md"
HELD = RULES._replace(table=0)  # envelopes from the fit without refits, whatever the size
CHUNK = 20
AIM = 0.8
FOUND = ("look", "trouble")


class Design(NamedTuple):
    """Data in which the model holds.

    Attributes:
        name: In words.
        formula: The model.
        frame: Its predictors and groups.
        effects: SD of each random column, by grouping factor.
        slope: The column of a random slope beside an intercept; empty without one.
    """

    name: str
    formula: str
    frame: pd.DataFrame
    effects: dict[str, tuple[float, ...]]
    slope: str = ""

    def draw(self, number: int) -> np.ndarray:
        """(n,) response of one data set."""
        rng = np.random.default_rng([len(self.frame), number])
        y = rng.normal(size=len(self.frame))
        for group, sds in self.effects.items():
            codes = self.frame[group].to_numpy()
            columns = [1.0, self.frame[self.slope].to_numpy() if self.slope else 0.0]
            for sd, column in zip(sds, columns, strict=False):
                y += sd * rng.normal(size=codes.max() + 1)[codes] * column
        return y


def balanced() -> Design:
    """18 groups of 10 rows at the same times."""
    frame = pd.DataFrame({"g": np.repeat(np.arange(18), 10), "day": np.tile(np.arange(10.0), 18)})
    return Design("18 x 10, slopes", "y ~ day + (day | g)", frame, {"g": (1.0, 0.25)}, "day")


def crossed() -> Design:
    """Every of 20 items by every of 30 subjects, one row each."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"s": np.repeat(np.arange(30), 20), "i": np.tile(np.arange(20), 30)})
    frame = frame.assign(x=rng.normal(size=600), trial=np.concatenate([rng.permutation(20) for _ in range(30)]))
    return Design("30 x 20, crossed", "y ~ x + (1 | s) + (1 | i)", frame, {"s": (0.7,), "i": (0.5,)})


def unequal() -> Design:
    """8 groups of 3 to 35 rows."""
    rng, g = np.random.default_rng(1), np.repeat(np.arange(8), (3, 4, 6, 8, 10, 14, 20, 35))
    frame = pd.DataFrame({"g": g, "arm": np.where(rng.uniform(size=100) < 0.5, "a", "b"), "x": rng.normal(size=100)})
    return Design("8 groups of 3 to 35", "y ~ arm + x + (1 | g)", frame, {"g": (0.7,)})


def thirty() -> Design:
    """30 groups of 10 rows, with an order, a factor and a number that vary within them."""
    rng, g = np.random.default_rng(1), np.repeat(np.arange(30), 10)
    x = rng.normal(size=30)[g] + rng.normal(size=300)
    arm = np.concatenate([rng.permutation(["a", "b"] * 5) for _ in range(30)])
    frame = pd.DataFrame({"g": g, "day": np.tile(np.arange(10.0), 30), "arm": arm, "x": x})
    return Design("30 x 10", "y ~ arm + x + (1 | g)", frame, {"g": (1.0,)})


DESIGNS: dict[str, Callable[[], Design]] = {
    made.__name__: cache(made) for made in (balanced, crossed, unequal, thirty)
}


class Fault(NamedTuple):
    """Something wrong with the data of `thirty`, and the check that is to find it.

    Attributes:
        name: In words.
        plant: Response of a data set from its frame, group effects (n,), noise (n,) and random numbers.
        check: The check, and the start of what it is of.
        power: Of the best test of exactly this fault against the model, at the level of one check of the table.
    """

    name: str
    plant: Callable[[pd.DataFrame, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
    check: tuple[str, str]


def one_outlier(_frame, b, e, rng):
    """The residual of one row is 5 standard deviations."""
    e[rng.integers(len(e))] = 5.0 * rng.choice([-1.0, 1.0])
    return b + e


def levels_differ(frame, b, e, _rng):
    """The variance is twice as large in one level of a factor."""
    return b + e * np.where(frame.arm == "b", np.sqrt(2.0), 1.0)


def group_differs(frame, b, e, _rng):
    """The variance is twice as large in one group."""
    return b + e * np.where(frame.g == 7, np.sqrt(2.0), 1.0)


def group_differs_much(frame, b, e, _rng):
    """The SD is three times as large in one group."""
    return b + e * np.where(frame.g == 7, 3.0, 1.0)


def rises(frame, b, e, _rng):
    """The variance rises with the mean, to twice as much from the lowest third to the highest."""
    mean = b + frame.x.to_numpy()
    z = (mean - mean.mean()) / mean.std()
    return mean + e * 2.0 ** (z / (2.0 * 2.18))  # the means of the outer thirds of a normal z are 2.18 apart


def autoregression(frame, b, _e, rng):
    """Residuals are an AR(1) with correlation .5 along the day."""
    e = rng.normal(size=(30, 10))
    for day in range(1, 10):
        e[:, day] = 0.5 * e[:, day - 1] + np.sqrt(0.75) * e[:, day]
    return b + e.ravel()


def curved(frame, b, e, _rng):
    """The effect of x bends: a square whose SD over the rows is half of the residual one."""
    square = (frame.x - frame.x.mean()) ** 2
    return b + 0.5 * (square / square.std()).to_numpy() + e


def aberrant_group(frame, b, e, _rng):
    """The effect of one group is 5 standard deviations."""
    return np.where(frame.g == 7, 5.0, b) + e


def heavy_tails(_frame, b, e, rng):
    """Residuals have Student's t with 3 df, scaled to variance 1."""
    return b + rng.standard_t(3, size=len(e)) / np.sqrt(3.0)


def between(frame, b, e, _rng):
    """The slope of x is larger between groups than within them, by one."""
    return b + frame.groupby("g").x.transform("mean").to_numpy() + e


FAULTS = (
    Fault("an outlier: one residual is 5 SD", one_outlier, ("outlying rows", "")),
    Fault("variance twice as large in one level of a factor", levels_differ, ("variance between groups", "arm")),
    Fault("variance twice as large in one group of 10 rows", group_differs, ("variance between groups", "g")),
    Fault("SD three times as large in one group of 10 rows", group_differs_much, ("variance between groups", "g")),
    Fault("variance twice as large in the highest third of the means as in the lowest", rises, ("variance along fitted values", "")),
    Fault("AR(1), correlation .5", autoregression, ("serial correlation", "")),
    Fault("a curved effect of SD .5", curved, ("linearity", "x")),
    Fault("one aberrant group: its effect is 5 SD", aberrant_group, ("outlying groups", "")),
    Fault("heavy tails: t with 3 df", heavy_tails, ("normal residuals", "")),
    Fault("a slope larger by 1 between groups than within", between, ("between and within effects", "x")),
)


class Job(NamedTuple):
    """Some data sets of one design, with a fault or without."""

    design: str
    fault: int | None
    held: bool
    first: int
    count: int
    replicates: int


Row = tuple[str, str, str, float, float]  # check, of, verdict, p, adjusted p


def chunk(job: Job) -> list[list[Row]]:
    """The tables of some data sets, without checks that are no tests."""
    design = DESIGNS[job.design]()
    model, out = None, list[list[Row]]()
    for number in range(job.first, job.first + job.count):
        y = design.draw(number) if job.fault is None else planted(design, FAULTS[job.fault], number)
        fit = lmmkit.lmm(design.formula, design.frame.assign(y=y)) if model is None else model.refit(y)
        model = model or fit
        rules = HELD if job.held else RULES
        table = diagnose(fit, replicates=job.replicates, seed=number, rules=rules).table
        table = table[table["adjusted"].notna()]
        out.append(list(table[["check", "of", "verdict", "p", "adjusted"]].itertuples(index=False, name=None)))
    return out


def planted(design: Design, fault: Fault, number: int) -> np.ndarray:
    """(n,) response of one data set with a fault."""
    rng = np.random.default_rng([FAULTS.index(fault), number])
    codes = design.frame["g"].to_numpy()
    b = design.effects["g"][0] * rng.normal(size=codes.max() + 1)[codes]
    return fault.plant(design.frame, b, rng.normal(size=len(codes)), rng)


Map = Callable[..., Iterable[list[list[Row]]]]


def tables(run: Map, jobs: Sequence[Job]) -> dict[tuple[str, int | None, bool], list[list[Row]]]:
    """The tables of all jobs, by design, fault and kind of envelope."""
    found = dict[tuple[str, int | None, bool], list[list[Row]]]()
    for job, rows in zip(jobs, run(chunk, jobs), strict=True):
        found.setdefault((job.design, job.fault, job.held), []).extend(rows)
    return found


def share(flags: Sequence[bool]) -> str:
    """A share with its Monte Carlo standard error, in percent."""
    p = float(np.mean(flags))
    return f"{100 * p:.1f} ± {100 * np.sqrt(max(p * (1 - p), 1 / len(flags) ** 2) / len(flags)):.1f}"
