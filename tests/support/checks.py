"""Small fits whose checks take every branch, and what each check has to say of them, in words."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

import lmmkit
from lmmkit.model.diagnostics.check_result import Unchecked
from lmmkit.model.diagnostics.diagnose import LEVEL_CHECKS, PREPARED, ROW_CHECKS
from lmmkit.model.diagnostics.distribution import simulated_quantiles
from lmmkit.model.diagnostics.missingness import Missingness
from lmmkit.model.diagnostics.outliers import outlying_rows
from lmmkit.model.diagnostics.replicated import SizeRules, replicate_data


def rows(seed, groups, each, **faults):
    """Rows of groups with a number, a factor, a time; what is wrong with them are functions of the table."""
    rng = np.random.default_rng(seed)
    n, g = groups * each, np.repeat(np.arange(groups), each)
    data = pd.DataFrame({"g": g, "x": rng.normal(size=n), "day": np.tile(np.arange(each), groups)})
    data["h"], data["z"] = np.where(np.arange(n) % 2 == 0, "a", "b"), rng.normal(size=n)
    data["y"] = 12 + data["x"] + 1.5 * rng.normal(size=groups)[g] + data["z"]
    return data.assign(**{name: make(data, rng) for name, make in faults.items()})


def left(table, rng, before=2.0):
    """Responses of groups that leave, sooner after a low value."""
    y = table["y"].to_numpy().copy()
    for i in range(1, len(y)):
        if table["day"].iloc[i] and (
            np.isnan(y[i - 1]) or rng.uniform() < 1 / (1 + np.exp(y[i - 1] - 12 + before))
        ):
            y[i] = np.nan
    return y


def outlying(table, rng):
    """Rows and groups far from the others."""
    y = table["y"] + rng.standard_t(3, size=len(table))
    return y + 30 * table.index.isin([7, 31, 64, 77]) - 14 * table["g"].isin([3, 8])


def fitted(formula, seed, groups, each, *, residual=None, **faults):
    """A fit of such rows."""
    return lmmkit.lmm(formula, rows(seed, groups, each, **faults), residual=residual)


def at_both(d, _):
    """A variance that grows with x, and is another in each level of h."""
    return d["y"] + np.exp(0.7 * d["x"]) * d["z"] * np.where(d["h"] == "a", 3, 1)


def leaning(d, rng):
    """Rows and effects that are skewed to the left."""
    return d["x"] - 4 * rng.exponential(size=14)[d["g"]] ** 2 - rng.exponential(4, size=112)


def wandering(d, _):
    """Sums of noise."""
    return d["y"] + np.cumsum(d["z"])


def waves(d, _):
    """A slow wave in each group, of a phase of its own."""
    return d["y"] + 3 * np.cos(d["day"] / 1.5 + d["g"])


def known_low(d, _):
    """A predictor that is known at low responses, or in one level of h."""
    return d["x"].where((d["y"] < 12.5) | (d["h"] == "a"))


FITS = {
    "right": lambda: fitted("y ~ x + h + (1 | g)", 1, 16, 8),
    "outliers": lambda: fitted("y ~ x + (1 + x | g)", 2, 16, 8, y=outlying),
    "outlying groups": lambda: fitted(
        "y ~ x + (1 | g)", 21, 60, 3, y=lambda d, _: d["y"] + 30 * d["g"].isin([9, 17, 33, 58])
    ),
    "variances": lambda: fitted("y ~ x + h + (1 | g)", 3, 12, 10, y=at_both),
    "falling variances": lambda: fitted(
        "y ~ u + (1 | g)", 3, 12, 10,
        u=lambda d, _: d["x"] + 9, y=lambda d, _: d["y"] - 12 + 4 * d["z"] / (d["x"] + 5),
    ),
    "skewed": lambda: fitted("y ~ x + (1 | g)", 4, 14, 8, y=leaning),
    "skewed and positive": lambda: fitted(
        "y ~ x + (1 | g)", 5, 8, 10, y=lambda d, r: 9 + d["x"] + r.exponential(4, size=80)
    ),
    "categories": lambda: fitted("y ~ x + (1 | g)", 6, 8, 8, y=lambda d, _: d["y"].round().clip(11, 14)),
    "bends": lambda: fitted(
        "y ~ u + v + x + (1 | g)", 7, 12, 10,
        u=lambda d, _: np.exp(d["x"] + d["z"] / 2), v=lambda d, r: 0.95 * d["x"] + 0.3 * r.normal(size=120),
        y=lambda d, _: 30 + 3 * d["x"] ** 2 + d["y"],
    ),
    "a logarithm": lambda: fitted(
        "y ~ u + (1 | g)", 8, 12, 8, u=lambda d, _: np.exp(d["x"]), y=lambda d, _: d["y"] + 4 * d["x"]
    ),
    "serial": lambda: fitted("y ~ x + (1 | g)", 9, 12, 8, y=lambda d, _: d["y"] + d["day"] ** 1.5),
    "serial with slopes": lambda: fitted("y ~ day + (day | g)", 10, 12, 14, y=waves),
    "a time in the mean": lambda: fitted(
        "y ~ day + (1 | g)", 11, 12, 8, day=lambda d, r: d["day"] + r.uniform(0, 0.4, 96), y=wandering
    ),
    "alternating": lambda: fitted(
        "y ~ day + (1 | g)", 12, 12, 8, y=lambda d, _: d["y"] + 2.0 * (-1) ** d["day"]
    ),
    "a structure": lambda: fitted(
        "y ~ x + day", 13, 10, 6, y=lambda d, _: d["y"] + 9 * d["z"] * (d["g"] == 5), residual="ar1(day | g)"
    ),
    "an order of rows": lambda: fitted("y ~ x", 22, 10, 5, residual="ar1(1 | g)"),
    "a time of two columns": lambda: fitted("y ~ x", 23, 10, 5, residual="car1(I(day + item) | g)",
                                            item=lambda d, _: d["g"] % 3),
    "a variance function": lambda: fitted(
        "y ~ day + x + (1 | g)", 14, 12, 8, y=wandering, residual="ident(h)"
    ),
    "between": lambda: fitted(
        "y ~ x + (1 | g)", 15, 16, 6,
        x=lambda d, _: d["x"] + d["g"] / 4, y=lambda d, _: d["y"] + d["x"] - d["g"],
    ),
    "dropout": lambda: fitted("y ~ day + x + h + (1 | g)", 16, 24, 6, y=left),
    "gaps of a predictor": lambda: lmmkit.lmm(
        "y ~ x + h + q + (1 | g)", rows(17, 14, 8, q=lambda d, _: d["g"] % 2, x=known_low).drop(columns="day")
    ),
    "few rows": lambda: fitted("y ~ x + (1 | g)", 18, 4, 2),
    "nine rows": lambda: fitted("y ~ 1 + (1 | g)", 19, 3, 3),
    "some rows": lambda: fitted("y ~ 1 + (x | g)", 20, 5, 3),
}  # fmt: skip


@cache
def looked_at(name):
    """What every check makes of a fit beside 39 data sets, and these."""
    fit = FITS[name]()
    (sets,) = replicate_data(fit.estimates, seed=1, count=39, rules=SizeRules(table=0))
    made = [*(prepare(fit.estimates) for prepare in PREPARED), Missingness(fit.estimates)]
    return [one for check in (*ROW_CHECKS, *LEVEL_CHECKS, *made) for one in check(sets)], sets


def results(name):
    """What every check makes of a fit."""
    return looked_at(name)[0]


def of_rows(name):
    """The outlying rows, and ranks of the first rows' residuals."""
    rows, ranks = outlying_rows(looked_at(name)[1]), simulated_quantiles(looked_at(name)[1])
    numbers = ["observed", "fitted", "studentised", "p"]
    lines = [f"- row {r.row} ({r.groups}): " + " ".join(f"{getattr(r, n):.4g}" for n in numbers)
             for r in rows.itertuples()]  # fmt: skip
    return [
        *lines,
        *(f"- ranks {r.row}: {r.unconditional:.4g} {r.conditional:.4g}" for r in ranks[:3].itertuples()),
    ]


def told(one):
    """A result: its sizes, both sentences, where, and what to do."""
    if isinstance(one, Unchecked):
        lines = [f"- {one.check} of {one.of}", f"  not checked: {one.what} | {one.reason}"]
        return [*lines, *([f"  to do: {one.remedy}"] if one.remedy else [])]
    first = one.statistic[..., 0].ravel()[:6] if one.statistic.size else []  # of a curve its first points
    told = " ".join(f"{value:.4g}" for value in first)
    sizes = f"size {one.size:.4g}{'' if one.matters else ' (small)'}, statistic {told}"
    lines = [f"- {one.check} of {one.of}: {sizes}, share {one.share:g}, tail {one.tail:.3g} {one.verdict}"]
    for name in ("fine", "notable", "unclear", "where", "remedy", "alone"):
        if text := str(getattr(one, name) or ""):
            lines.append(f"  {name}: {text}")
    return [*lines, *(f"  picture of {each.of}: {len(each.x)} points" for each in one.pictures)]


def methods():
    """How each check is made, in the words of the table."""
    every = {
        (one.check, one.method) for name in FITS for one in results(name) if not isinstance(one, Unchecked)
    }
    return [f"- {check}: {method}" for check, method in sorted(every)]


EXPECTED = Path(__file__).parents[1] / "model" / "diagnostics" / "told.txt"


def expected():
    """What was found right: the lines of each fit by its name."""
    parts = EXPECTED.read_text(encoding="utf-8").split("\n# ")
    return {part.splitlines()[0].removeprefix("# "): part.splitlines()[1:] for part in parts}


def found():
    """What all checks have to say, by the name of the fit, and how they are made."""
    every = {name: [*(line for one in results(name) for line in told(one)), *of_rows(name)] for name in FITS}
    return every | {"methods": methods()}


if __name__ == "__main__":  # writes the file anew
    parts = ["\n".join([f"# {name}", *lines]) for name, lines in found().items()]
    EXPECTED.write_text("\n".join(parts) + "\n", encoding="utf-8")
