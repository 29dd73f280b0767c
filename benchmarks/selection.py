"""How often a choice of random effects is right: `python benchmarks/selection.py` writes docs/error-rates.md.

Responses are drawn from known models on small designs. `error_rates` lets each rule choose for every response
and tests the effect in the model chosen; beside the rules stand the maximal model and intercepts alone, with
the same responses. With --sets 1000 it takes some minutes on one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmmkit import Fit, lmm
from lmmkit.model.selection.error_rates import LEAST, MAXIMAL, ErrorRates, error_rates

PAGE = Path(__file__).parent.parent / "docs" / "error-rates.md"
RULES = (("parsimonious", "lrt"), ("backward", "aic"), ("forward", "lrt"))
PARTS = 5  # data sets of each cell, whose fits hold degrees of freedom for a share of the responses each
LEVEL = 0.05
Truth = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A design, what it is asked, and the models that responses are drawn from.

    Attributes:
        name: In words.
        formula: The model as first thought of.
        tested: The coefficient tested.
        sizes: Its size where it is there, for each truth.
        frame: The design.
        truths: For each truth its random part and the variances of it, the residual's being 1.
    """

    name: str
    formula: str
    tested: str
    sizes: tuple[float, ...]
    frame: pd.DataFrame = field(repr=False)
    truths: Mapping[str, Truth]


def matrix(first: float, second: float, correlation: float) -> np.ndarray[Any, Any]:
    """Covariance matrix of two effects with these standard deviations."""
    between = correlation * first * second
    return np.array([[first**2, between], [between, second**2]])


def grouped(sizes: list[int]) -> pd.DataFrame:
    """Groups of some sizes, x running from 0 in each."""
    g = np.repeat(np.arange(len(sizes)), sizes)
    x = np.concatenate([np.arange(float(size)) * 9 / (size - 1) for size in sizes])
    return pd.DataFrame({"g": [f"g{i}" for i in g], "x": x})


def crossed(subjects: int, items: int) -> pd.DataFrame:
    """Every subject sees every item once, half of them in each condition, as does every item."""
    s, i = np.divmod(np.arange(subjects * items), items)
    return pd.DataFrame({"s": [f"s{k}" for k in s], "i": [f"i{k}" for k in i], "x": (s + i) % 2 - 0.5})


LINES: Mapping[str, Truth] = {
    "(1 | g)": {"g": 1.0},
    "(1 + x || g)": {"g": 1.0, "g.1": 0.04},
    "(1 + x | g)": {"g": matrix(1.0, 0.2, 0.6)},
}
CASES = (
    Case("18 groups x 10 rows", "y ~ x + (x | g)", "x", (0.08, 0.15, 0.15), grouped([10] * 18), LINES),
    Case(
        "8 groups of 4 to 25 rows",
        "y ~ x + (x | g)",
        "x",
        (0.08, 0.2, 0.2),
        grouped([4, 5, 6, 8, 10, 14, 19, 25]),
        LINES,
    ),
    Case(
        "30 subjects x 20 items",
        "y ~ x + (x | s) + (x | i)",
        "x",
        (0.2, 0.25, 0.35),
        crossed(30, 20),
        {
            "(1 | s) + (1 | i)": {"s": 0.25, "i": 0.25},
            "(1 + x | s) + (1 | i)": {"s": matrix(0.5, 0.4, 0.4), "i": 0.25},
            "(1 + x | s) + (1 + x | i)": {"s": matrix(0.5, 0.4, 0.4), "i": matrix(0.5, 0.4, 0.4)},
        },
    ),
)


def drawn_from(case: Case, random: str, variances: Truth, size: float, seed: int) -> tuple[Fit, pd.DataFrame]:
    """The model with its variances and effects held, and a data set of it."""
    fixed = case.formula.partition(" + (")[0]
    rng = np.random.default_rng(seed)
    frame = case.frame.assign(y=rng.normal(size=len(case.frame)))
    fit = lmm(f"{fixed} + {random}", frame, variances={**variances, "Residual": 1.0})
    beta = np.array([size if one == case.tested else 0.0 for one in fit.estimates.names])
    held = Fit(replace(fit.estimates, beta=beta))
    return held, frame.assign(y=held.simulate(1, seed=seed)[:, 0])


def shares(case: Case, sets: int) -> Iterator[dict[str, Any]]:
    """The rates of every rule on one design, a row each."""
    for number, (random, variances) in enumerate(case.truths.items()):
        found = list[pd.DataFrame]()
        for part in range(PARTS):
            truth, frame = drawn_from(case, random, variances, case.sizes[number], 1_000 * number + part)
            for rule, criterion in RULES:
                made: ErrorRates = error_rates(
                    case.formula,
                    frame,
                    case.tested,
                    rule=rule,
                    criterion=criterion,
                    n=sets // PARTS,
                    level=LEVEL,
                    truth=truth,
                    seed=part,
                )
                found.append(made.table if rule == RULES[0][0] else made.table.iloc[:1])
        table = pd.concat(found).groupby("procedure", sort=False)
        for procedure, rows in table:
            yield {"design": case.name, "truth": random, "procedure": procedure, **_joined(rows, sets)}


def _joined(rows: pd.DataFrame, sets: int) -> dict[str, Any]:
    rates = {name: float(rows[name].mean()) for name in ("type1", "power", "found", "singular")}
    near = (rates["type1"] * sets + 0.5) / (sets + 1), (rates["power"] * sets + 0.5) / (sets + 1)
    errors = [float(np.sqrt(p * (1 - p) / sets)) for p in near]
    return {**rates, "type1_se": errors[0], "power_se": errors[1], "failed": int(rows["failed"].sum())}


def page(rates: pd.DataFrame, sets: int, minutes: float) -> str:
    """The page as Markdown."""
    lines = [INTRODUCTION.format(sets=sets, parts=PARTS, minutes=minutes)]
    for case in CASES:
        lines += ["", f"## {case.name}: `{case.formula}`", "", HEAD, "|---|---|---:|---:|---:|---:|---:|"]
        mine = rates[rates["design"] == case.name]
        for row in mine.to_dict("records"):
            type1 = f"{row['type1']:.3f} ± {row['type1_se']:.3f}"
            if row["type1"] - LEVEL > max(2 * row["type1_se"], 0.2 * LEVEL):
                type1 = f"**{type1}**"
            found = "-" if row["procedure"] in (MAXIMAL, LEAST) else f"{row['found']:.2f}"
            cells = [
                f"`{row['truth']}`".replace("|", "\\|"),
                row["procedure"],
                found,
                type1,
                f"{row['power']:.3f} ± {row['power_se']:.3f}",
                f"{row['singular']:.2f}",
                str(row["failed"]),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", NOTES, ""])


HEAD = "| truth | random effects | finds the truth | Type I error at .05 | power | singular | not tested |"
INTRODUCTION = """\
# Error rates of choosing the random effects

Written by `python benchmarks/selection.py`: {sets:,} responses without the effect and as many with it for
each truth, drawn in {parts} parts. It took {minutes:.0f} minutes of CPU time. Rates are those of
`error_rates`, which a study asks for by `random_effects.simulate`: the rule chooses anew for each
response, and the effect of x is tested by t in the model that it chose, with the degrees of freedom
(`auto`) of that model's fit to one data set of the truth for each part. ± is one Monte Carlo standard
error; bold is above the level by more than two of them and by a fifth of it. The truths: a residual SD of
1; lines have SDs of 1 between intercepts and .2 between slopes (correlation 0, or .6), x from 0 to 9;
subjects and items SDs of .5 between intercepts and .4 between slopes (correlation .4), x = -.5, .5, one
row for each subject and item."""
NOTES = """\
Read along the rows of a truth: what a rule gains over the maximal model is power, what it pays is error.
Where slopes do not vary, the maximal model is cautious and gives power away, most of it on few groups,
and rules that look at the data win it back; where slopes vary, rules and maximal model are alike, and
hold their level or nearly so. "Finds the truth" counts the models chosen that are the one drawn from,
correlations included: a correlation is found late, and a model without it tests the same effect.
Intercepts alone are the model that the literature warns of: where slopes vary, its test of their mean is
wrong by a factor, however many rows there are."""


def main() -> None:
    """Measure, then write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sets", type=int, default=1000)
    chosen = parser.parse_args()
    begun = time.process_time()
    rates = pd.DataFrame([row for case in CASES for row in shares(case, chosen.sets)])
    text = page(rates, chosen.sets, (time.process_time() - begun) / 60)
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
