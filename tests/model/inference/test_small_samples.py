"""Type I error and coverage on small unbalanced designs: nominal where the normal distribution fails."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.engine.replicates.refit import refit
from lmmkit.model.estimates import estimate
from lmmkit.model.fit import Fit
from lmmkit.model.inference.degrees_of_freedom import denominators
from lmmkit.model.inference.distributions import t_tail
from lmmkit.model.resampling.simulate import with_response
from lmmkit.model.threads import one_thread

REPLICATES = 1000  # docs/calibration.md has more designs and replicates
TABLES = 20  # of them have their tables made too
ERROR = 3 * (0.05 * 0.95 / REPLICATES) ** 0.5  # three Monte Carlo standard errors of a rate of 5 %
METHODS = ("auto", "satterthwaite")

pytestmark = pytest.mark.slow


def unequal(sizes):
    """A table of groups of these sizes, a treatment of groups and a covariate within them."""
    g = np.repeat(np.arange(len(sizes)), sizes)
    x = np.concatenate([np.linspace(-2, 2, size) for size in sizes])
    return pd.DataFrame({"g": [f"g{i}" for i in g], "arm": np.where(g % 2, "B", "A"), "x": x}), g


def replicates(formula, sizes, draw):
    """The estimates of every replicate: found together, each the start of a search of its own."""
    frame, g = unequal(sizes)
    rng = np.random.default_rng(20240101)
    y = np.stack([draw(rng, frame, g) for _ in range(REPLICATES)], axis=1)
    design = lmmkit.lmm(formula, frame.assign(y=y[:, 0])).design
    with one_thread():
        found = refit(design.problem, lambda first, count: y[:, first : first + count], REPLICATES, reml=True)
    for i in range(REPLICATES):
        theta = [x for L in found.factors for x in L[i].T[np.triu_indices(len(L[i]))]]
        yield estimate(with_response(design, y[:, i]), reml=True, algorithm="newton", start=theta)


def rejections(formula, coefficient, sizes, draw):
    """Share of replicates in which each method, and the normal distribution, rejects a zero, at 5 %."""
    found = dict.fromkeys((*METHODS, "normal"), 0)
    for i, estimates in enumerate(replicates(formula, sizes, draw)):
        L = np.array([[name == coefficient for name in estimates.names]], float)
        for method in METHODS:
            by = denominators(estimates, method)
            p = t_tail(L @ estimates.beta / np.sqrt(by.vcov.variances(L)), by.single(L))[0]
            found[method] += bool(p < 0.05)
            if i < TABLES:
                row = Fit(estimates).coef_table(method).loc[coefficient]
                assert row["p"] == p
                assert (p < 0.05) == (row["low"] > 0 or row["high"] < 0)
        z = L @ estimates.beta / (L @ estimates.bse)
        found["normal"] += bool(abs(z[0]) > 1.96)
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
