"""How often `diagnose` finds what is not there, and what is: the tables of `docs/diagnostics.md`.

    python benchmarks/diagnostics.py

The tables go between the marks of the page; with the defaults it takes about half an hour of CPU time.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
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
WAYS = {
    "refitted": RULES,
    "held": RULES._replace(table=0),
}  # held: envelopes without refits, whatever the size
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
    frame = frame.assign(
        x=rng.normal(size=600), trial=np.concatenate([rng.permutation(20) for _ in range(30)])
    )
    return Design("30 x 20, crossed", "y ~ x + (1 | s) + (1 | i)", frame, {"s": (0.7,), "i": (0.5,)})


def unequal() -> Design:
    """8 groups of 3 to 35 rows."""
    rng, g = np.random.default_rng(1), np.repeat(np.arange(8), (3, 4, 6, 8, 10, 14, 20, 35))
    frame = pd.DataFrame(
        {"g": g, "arm": np.where(rng.uniform(size=100) < 0.5, "a", "b"), "x": rng.normal(size=100)}
    )
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


NULL = ("balanced", "crossed", "unequal")  # in which false alarms are counted


class Fault(NamedTuple):
    """Something wrong with the data of `thirty`, and the check that is to find it.

    Attributes:
        name: In words.
        plant: Response of a data set from its frame, group effects (n,), noise (n,) and random numbers.
        check: The check.
        of: What it is of, or the start of that; empty for any.
        variances: (n,) of the rows, where the fault is in them: what the best test can do is told beside.
    """

    name: str
    plant: Callable[[pd.DataFrame, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
    check: str
    of: str = ""
    variances: np.ndarray | None = None


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
    square = (frame.x.to_numpy() - frame.x.mean()) ** 2
    return b + 0.5 * square / square.std() + e


def aberrant_group(frame, b, e, _rng):
    """The effect of one group is 6 standard deviations."""
    return np.where(frame.g == 7, 6.0, b) + e


def heavy_tails(_frame, b, e, rng):
    """Residuals have Student's t with 3 df, scaled to variance 1."""
    return b + rng.standard_t(3, size=len(e)) / np.sqrt(3.0)


def between(frame, b, e, _rng):
    """The slope of x is larger between groups than within them, by 1.5."""
    return b + 1.5 * frame.groupby("g").x.transform("mean").to_numpy() + e


LEVEL = 0.004  # of one check, where a table of 15 has 5 %


def best(variances: np.ndarray, draws: int = 20_000) -> float:
    """Power at `LEVEL` of the most powerful test of (n,) variances against their mean, all else known."""
    z2 = np.random.default_rng(1).normal(size=(draws, len(variances))) ** 2
    v = variances / variances.mean()
    null, planted = (squares @ (1.0 - 1.0 / v) for squares in (z2, z2 * v))
    return float(np.mean(planted > np.quantile(null, 1.0 - LEVEL)))


HALF = np.repeat([1.0, 2.0], 150)
RISING = 2.0 ** (stats.norm.ppf((np.arange(300) + 0.5) / 300) / 2.18)
ONE_OF_30 = np.r_[np.full(290, 1.0), np.full(10, 2.0)]


FAULTS = (
    Fault("an outlier: one residual is 5 SD", one_outlier, "outlying rows"),
    Fault(
        "variance doubled in one level of a factor, half of the rows",
        levels_differ,
        "variance between groups",
        "arm",
        HALF,
    ),
    Fault(
        "variance doubled from the lowest third of the means to the highest",
        rises,
        "variance along fitted values",
        "",
        RISING,
    ),
    Fault(
        "variance doubled in one group of 10 rows", group_differs, "variance between groups", "g", ONE_OF_30
    ),
    Fault(
        "SD tripled in one group of 10 rows",
        group_differs_much,
        "variance between groups",
        "g",
        np.where(ONE_OF_30 > 1.0, 9.0, 1.0),
    ),
    Fault("AR(1), correlation .5", autoregression, "serial correlation"),
    Fault("a curved effect: a square of SD .5", curved, "linearity", "x"),
    Fault("one aberrant group: its effect is 6 SD", aberrant_group, "outlying groups"),
    Fault("heavy tails: t with 3 df", heavy_tails, "normal residuals"),
    Fault("a slope larger by 1.5 between groups than within", between, "between and within effects", "x"),
)


class Job(NamedTuple):
    """Some data sets of one design, with a fault or without, and the kinds of envelope that each gets."""

    design: str
    fault: int | None
    ways: tuple[str, ...]
    first: int
    count: int
    replicates: int


class Row(NamedTuple):
    """A test of one table."""

    check: str
    of: str
    verdict: str
    p: float
    adjusted: float


Found = dict[tuple[str, int | None, str], list[list[Row]]]  # by design, fault, and kind of envelope


def chunk(job: Job) -> Found:
    """The tables of some data sets, without checks that are no tests."""
    design, model = DESIGNS[job.design](), None
    found: Found = {(job.design, job.fault, way): [] for way in job.ways}
    for number in range(job.first, job.first + job.count):
        y = design.draw(number) if job.fault is None else planted(design, FAULTS[job.fault], number)
        fit = lmmkit.lmm(design.formula, design.frame.assign(y=y)) if model is None else model.refit(y)
        model = model or fit
        for way, tables in zip(job.ways, found.values(), strict=True):
            table = diagnose(fit, replicates=job.replicates, seed=number, rules=WAYS[way]).table
            tested = table[table["adjusted"].notna()][list(Row._fields)]
            tables.append([Row(*values) for values in tested.itertuples(index=False, name=None)])
    return found


def planted(design: Design, fault: Fault, number: int) -> np.ndarray:
    """(n,) response of one data set with a fault."""
    rng = np.random.default_rng([FAULTS.index(fault), number])
    codes = design.frame["g"].to_numpy()
    b = design.effects["g"][0] * rng.normal(size=codes.max() + 1)[codes]
    return fault.plant(design.frame, b, rng.normal(size=len(codes)), rng)


def jobs(tables: int, planted: int, replicates: int) -> list[Job]:
    """All data sets, those of one number beside each other: a run that ends early has some of each."""
    null = [
        Job(design, None, tuple(WAYS), at, min(CHUNK, tables - at), replicates)
        for at in range(0, tables, CHUNK)
        for design in NULL
    ]
    faults = [
        Job("thirty", fault, ("refitted",), at, min(CHUNK, planted - at), RULES.many)
        for at in range(0, planted, CHUNK)
        for fault in range(len(FAULTS))
    ]
    order = sorted([*null, *faults], key=lambda job: job.first / (tables if job.fault is None else planted))
    return [job for job in order if job.count > 0]


def measured(asked: Sequence[Job], workers: int, minutes: float) -> Found:
    """The tables of all jobs that are done in so many minutes."""
    found, start = Found(), time.monotonic()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for rows in pool.map(chunk, asked):
            for key, tables in rows.items():
                found.setdefault(key, []).extend(tables)
            if time.monotonic() - start > 60 * minutes:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    return found


def share(flags: Sequence[bool]) -> str:
    """A share with its Monte Carlo standard error, in percent."""
    p = float(np.mean(flags))
    return f"{100 * p:.1f} ± {100 * np.sqrt(max(p * (1 - p), 1 / len(flags)) / len(flags)):.1f}"


def alarms(found: Found) -> Iterator[str]:
    """How many tables have a finding where the model holds."""
    yield "| data | tests in a table | tables | refitted | of them trouble | held | of them trouble |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name in NULL:
        cells = list[str]()
        for way in WAYS:
            rows = found[name, None, way]
            cells.append(share([any(row.verdict in FOUND for row in each) for each in rows]))
            cells.append(share([any(row.verdict == "trouble" for row in each) for each in rows]))
        rows = found[name, None, "refitted"]
        yield f"| {DESIGNS[name]().name} | {len(rows[0])} | {len(rows):,} | {' | '.join(cells)} |"


def levels(found: Found) -> Iterator[str]:
    """How often each check's own p is at most .05 where the model holds, refitted and held."""
    rates = dict[str, dict[str, str]]()
    for name in NULL:
        for way in WAYS:
            every = pd.DataFrame([row for each in found[name, None, way] for row in each])
            for check, rows in every.groupby("check", sort=False):
                told = rates.setdefault(str(check), {})
                told[name] = f"{told[name]}, " if name in told else ""
                told[name] += f"{100 * float((rows.p <= 0.05).mean()):.1f}"
    names = " | ".join(DESIGNS[name]().name for name in NULL)
    yield f"| own p at most .05, percent: refitted, held | {names} |"
    yield f"| {' | '.join(['---'] * (1 + len(NULL)))} |"
    for check, told in rates.items():
        yield f"| {check} | {' | '.join(told.get(name, '') for name in NULL)} |"


def power(found: Found) -> Iterator[str]:
    """How often each planted fault is found by its check, and by any."""
    yield "| planted | its check | tables | found by it | of them trouble | by any check | best test |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for number, fault in enumerate(FAULTS):
        rows = found["thirty", number, "refitted"]
        own = [[row for row in each if _is_of(row, fault)] for each in rows]
        hits = [any(row.verdict in FOUND for row in each) for each in own]
        cells = [
            f"{fault.check} {fault.of}".strip(),
            f"{len(rows):,}",
            share(hits) if np.mean(hits) >= AIM else f"**{share(hits)}**",
            share([any(row.verdict == "trouble" for row in each) for each in own]),
            share([any(row.verdict in FOUND for row in each) for each in rows]),
            "" if fault.variances is None else f"{100 * best(fault.variances):.0f}",
        ]
        yield f"| {fault.name} | {' | '.join(cells)} |"


def _is_of(row: Row, fault: Fault) -> bool:
    return row.check == fault.check and (
        not fault.of or row.of == fault.of or row.of.startswith(f"{fault.of} ")
    )


def seconds() -> float:
    """`diagnose` on 73,421 rows."""
    data = pd.read_csv(PAGE.parent.parent / "params" / "data" / "insteval.csv.gz")
    data[["s", "d", "dept"]] = data[["s", "d", "dept"]].astype(str)
    fit = lmmkit.lmm("y ~ service + (1 | s) + (1 | d) + (1 | dept)", data)
    start = time.process_time()
    diagnose(fit)
    return time.process_time() - start


def main() -> None:
    """Measure, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--planted", type=int, default=200)
    parser.add_argument("--replicates", type=int, default=199)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=1000.0, help="at most")
    chosen = parser.parse_args()
    found = measured(jobs(chosen.tables, chosen.planted, chosen.replicates), chosen.workers, chosen.minutes)
    how = (
        f"Data sets without a fault have {chosen.replicates} replicates each, those with one the default of "
        f"{RULES.many}. Shares are in percent, with their Monte Carlo standard errors."
    )
    speed = (
        f"All checks of 73,421 ratings of 1,128 lecturers by 2,972 students take {seconds():.0f} seconds of "
        f"CPU time, with {RULES.few} data sets held."
    )
    parts = {"how": [how], "alarms": alarms(found), "levels": levels(found), "power": power(found)}
    PAGE.write_text(page(PAGE.read_text("utf-8"), parts | {"speed": [speed]}), encoding="utf-8")


def page(text: str, parts: Mapping[str, Iterable[str]]) -> str:
    """The page with what was measured between its marks."""
    for name, lines in parts.items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        if not mark:
            raise ValueError(f"{PAGE.name} has no place for {name}")
        end = rest.index("<!-- end -->")
        text = before + mark + "\n".join(lines) + "\n" + rest[end:]
    return text


if __name__ == "__main__":
    main()
