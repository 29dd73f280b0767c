"""Cross-products of a part of a model from those of the whole, against those of the part itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from engine.test_setup import problem_of
from support.visits import trial

from lmmkit.engine.crossproducts.sub_blocks import same_rows
from lmmkit.engine.relations.relationship import dense_relationship
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


def test_two_problems_of_the_same_rows():
    """The same response, weights, offset and columns of X, each by its numbers, and plain terms."""
    one = problem_of(5, 6, k=2, p=2)
    ones = np.ones(30)
    assert same_rows(
        one, replace(one, response=one.response.copy(), columns=tuple(map(np.array, one.columns)))
    )
    (term,) = one.terms
    related = replace(term, relation=dense_relationship(np.eye(5)))
    for other in (
        replace(one, response=one.response + 1.0),
        replace(one, weights=ones),
        replace(one, offset=ones),
        replace(one, fixed=(0,)),
        replace(one, fixed=(1, 0)),
        replace(one, residual=trial("cs").residual),
        replace(one, terms=(related,)),
        replace(one, terms=(replace(term, members=((term.codes, ones),)),)),
    ):
        assert not same_rows(one, other)
        assert not same_rows(other, one)
    for same in ({"weights": ones}, {"offset": ones}):
        assert same_rows(replace(one, **same), replace(one, **{name: ones.copy() for name in same}))
        assert not same_rows(replace(one, **same), replace(one, **dict.fromkeys(same, 2.0 * ones)))


def test_a_part_has_terms_and_the_whole_a_chain_alone_or_one_factor_of_it_beside_crossed_ones():
    frame = nested().assign(k=np.arange(180) * 7 % 11 % 5)
    problems = {
        random: build_design(f"y ~ x + {random}", frame).problem
        for random in (
            "(x | s) + (x | c)",
            "(1 | s)",
            "(1 | c)",
            "(1 | s) + (1 | c) + (1 | k)",
            "(1 | c) + (1 | k)",
        )
    }
    chain, both, crossed = (
        set_up(problems[random], reml=True)
        for random in ("(x | s) + (x | c)", "(1 | s) + (1 | c) + (1 | k)", "(1 | c) + (1 | k)")
    )
    small = problems["(1 | c)"]
    assert subset(chain, small) is not None
    assert subset(chain, replace(small, terms=())) is None
    assert subset(both, small) is None  # a chain of two factors, and one that is crossed with them
    assert subset(crossed, small) is not None
