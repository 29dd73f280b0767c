"""Cross-products of a part of a model from those of the whole, against those of the part itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit.engine.setup import set_up, subset
from lmmkit.engine.solve import solve
from lmmkit.model.design.design import build_design


def crossed():
    draw = np.random.default_rng(5)
    s, i = (part.ravel() for part in np.meshgrid(np.arange(9), np.arange(11), indexing="ij"))
    frame = pd.DataFrame({"s": s, "i": i, "a": (s + i) % 2 - 0.5, "x": draw.normal(3, 1, 99)})
    frame["w"] = draw.uniform(0.5, 2, 99)
    effects = draw.normal(size=9)[s] * 2 + draw.normal(size=11)[i] + draw.normal(size=9)[s] * frame["x"]
    return frame.assign(y=effects + frame["x"] + draw.normal(size=99))


def nested():
    draw = np.random.default_rng(6)
    frame = pd.DataFrame({"s": np.repeat(np.arange(6), 30), "c": np.repeat(np.arange(24), 8)[:180]})
    frame["c"] = np.repeat(np.arange(36), 5)
    frame["x"] = draw.normal(4, 1, 180)
    slopes = draw.normal(size=36)[frame["c"]] * frame["x"]
    return frame.assign(y=draw.normal(size=6)[frame["s"]] * 3 + slopes + draw.normal(size=180))


CASES = [
    (crossed, "(a * x | s) + (a + x | i)", "(a * x || s) + (a + x || i)", None),
    (crossed, "(a * x | s) + (a + x | i)", "(a + x | s) + (1 | i)", "w"),
    (crossed, "(a * x | s) + (a + x | i)", "(0 + x | s) + (a || i)", None),
    (crossed, "(a * x | s) + (a + x | i)", "(1 | s)", "w"),
    (nested, "(x | s) + (x | c)", "(x || s) + (1 | c)", None),
    (nested, "(x | s) + (x | c)", "(1 | s) + (x || c)", None),
    (nested, "(x | s) + (x | c)", "(x | c)", None),
]


@pytest.mark.parametrize(("data", "whole", "part", "weights"), CASES)
@pytest.mark.parametrize("reml", [True, False])
def test_a_part_of_the_sums_gives_the_digits_of_a_fresh_fit(data, whole, part, weights, reml):
    fixed = "y ~ x + a + " if data is crossed else "y ~ x + "
    large, small = (build_design(fixed + random, data(), weights=weights).problem for random in (whole, part))
    shared = subset(set_up(large, reml=reml), small)
    assert shared is not None
    found, fresh = solve(small, reml=reml, setup=shared), solve(small, reml=reml)
    assert found.deviance == pytest.approx(fresh.deviance, rel=1e-12)
    assert found.evaluations == fresh.evaluations
    np.testing.assert_allclose(found.beta, fresh.beta, rtol=1e-10)
    for one, other in zip(found.factors, fresh.factors, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9 * max(1.0, np.abs(other).max()))


def test_what_the_whole_does_not_hold_is_refused():
    def problem(formula, frame, **options):
        return build_design(formula, frame, **options).problem

    frame = crossed()
    whole = set_up(problem("y ~ x + (x | s) + (1 | i)", frame), reml=True)
    assert subset(whole, problem("y ~ x + (a | s)", frame)) is None  # a column of its own
    assert subset(whole, problem("y ~ x + (1 | s:i)", frame.assign(s=frame["s"] // 2))) is None  # levels
    assert subset(whole, problem("y ~ a + (1 | s)", frame)) is None  # another fixed part
    assert subset(whole, problem("y ~ x + (1 | s)", frame, weights="w")) is None
    assert subset(whole, problem("y ~ x + (1 | s)", frame.assign(y=frame["y"] + 1))) is None
    assert subset(whole, problem("y ~ x + (1 | i)", frame)) is None  # the factor that is absorbed has gone


@pytest.mark.parametrize("large", [1e3, 1e5])
def test_large_intraclass_correlations_keep_their_digits(large):
    frame = nested()
    frame["y"] = frame["y"] + large * np.random.default_rng(1).normal(size=36)[frame["c"]]
    whole = set_up(build_design("y ~ x + (x | s) + (x | c)", frame).problem, reml=True)
    part = build_design("y ~ x + (1 | c)", frame).problem
    shared = subset(whole, part)
    assert solve(part, setup=shared).deviance == pytest.approx(solve(part).deviance, rel=1e-12)
