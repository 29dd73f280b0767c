"""Type I error and coverage on small unbalanced designs: nominal where the normal distribution fails."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import lmmkit

REPLICATES = 400  # a round of docs/calibration.md, which has more designs and replicates
ERROR = 3 * (0.05 * 0.95 / REPLICATES) ** 0.5  # three Monte Carlo standard errors of a rate of 5 %
METHODS = ("auto", "satterthwaite")

pytestmark = pytest.mark.slow


def unequal(sizes):
    """A table of groups of these sizes, a treatment of groups and a covariate within them."""
    g = np.repeat(np.arange(len(sizes)), sizes)
    x = np.concatenate([np.linspace(-2, 2, size) for size in sizes])
    return pd.DataFrame({"g": [f"g{i}" for i in g], "arm": np.where(g % 2, "B", "A"), "x": x}), g


def rejections(formula, coefficient, sizes, draw):
    """Share of replicates in which each method, and the normal distribution, rejects a zero, at 5 %."""
    frame, g = unequal(sizes)
    rng = np.random.default_rng(20240101)
    fit, found = None, dict.fromkeys((*METHODS, "normal"), 0)
    for _ in range(REPLICATES):
        y = draw(rng, frame, g)
        fit = lmmkit.lmm(formula, frame.assign(y=y)) if fit is None else fit.refit(y)
        for method in METHODS:
            row = fit.coef_table(method).loc[coefficient]
            assert (row["p"] < 0.05) == (row["low"] > 0 or row["high"] < 0)
            found[method] += bool(row["p"] < 0.05)
        found["normal"] += bool(abs(fit.params[coefficient] / fit.bse[coefficient]) > 1.96)
    return {method: count / REPLICATES for method, count in found.items()}


def between(rng, frame, g):
    return 1.5 * rng.normal(size=g.max() + 1)[g] + rng.normal(size=len(g))


def slopes(rng, frame, g):
    effects = rng.normal(size=(2, g.max() + 1)) * [[1.5], [1.2]]
    return effects[0][g] + effects[1][g] * frame["x"].to_numpy() + rng.normal(size=len(g))


@pytest.mark.parametrize(
    ("formula", "coefficient", "sizes", "draw"),
    [
        ("y ~ arm + (1 | g)", "arm[T.B]", [2, 9, 3, 12, 4, 7], between),
        ("y ~ x + (x | g)", "x", [4, 9, 5, 8, 6, 7, 4], slopes),
    ],
)
def test_small_sample_methods_hold_their_level(formula, coefficient, sizes, draw, record_property):
    rates = rejections(formula, coefficient, sizes, draw)
    record_property("rejections at 5 %", rates)
    assert abs(rates["auto"] - 0.05) < ERROR
    assert abs(rates["satterthwaite"] - 0.05) < ERROR
    assert rates["normal"] > 0.05 + ERROR
