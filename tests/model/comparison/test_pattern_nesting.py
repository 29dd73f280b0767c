"""Where random effects with a pattern lie within each other: each pair of patterns, and pairs of models."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.model.comparison.nesting import covariance_nesting
from lmmkit.model.comparison.pattern_nesting import (
    NO_CORRELATION,
    SEVERAL,
    contains,
    has_pattern,
    pattern_nesting,
    without_idle_patterns,
)
from lmmkit.model.design.design import build_design

# Whether all variances are one, and the correlations; what correlations hold those of another.
KINDS = {
    "homdiag": (True, "none"),
    "diag": (False, "none"),
    "homcs": (True, "one"),
    "cs": (False, "one"),
    "ar1": (True, "powers"),
    "hetar1": (False, "powers"),
    "homtoep": (True, "bands"),
    "toep": (False, "bands"),
    "": (False, "any"),
}
HOLD = {
    "none": {"none"},
    "one": {"none", "one"},
    "powers": {"none", "powers"},
    "bands": {"none", "one", "powers", "bands"},
    "any": {"none", "one", "powers", "bands", "any"},
}


@pytest.mark.parametrize(("small", "large"), [*itertools.product(KINDS, KINDS)])
def test_a_pattern_holds_another_by_its_variances_and_correlations(small, large):
    (same, of_small), (one, of_large) = KINDS[small], KINDS[large]
    expected = of_small in HOLD[of_large] and (same or not one)
    assert contains(structure_of(large, 4), structure_of(small, 4)) == expected


FRAME = pd.DataFrame(
    {
        "y": np.sin(np.arange(48.0)),
        "f": list("abcd") * 12,
        "x": np.arange(48.0) % 7,
        "t": [0.0, 0.7, 1.1, 3.0] * 12,
        "z": [0.0, 0.5, 1.2, 9.0] * 12,
        "g": np.repeat(list("klmnop"), 8),
        "h": list("uvw") * 16,
    }
)
FRAME["k"] = FRAME["g"] + FRAME["f"]


def problem(random, frame=FRAME, residual=None):
    return build_design(f"y ~ 1 + {random}", frame, residual=residual).problem


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [
        ("cs(0 + f | g)", "(0 + f | g)", (0, "")),
        ("(0 + f | g)", "cs(0 + f | g)", None),
        ("(1 | g)", "cs(0 + f | g)", (1, "")),
        ("(1 | g)", "homcs(0 + f | g)", (1, "")),
        ("(1 | g)", "ar1(0 + f | g)", (1, "")),
        ("(1 | g)", "toep(0 + f | g)", None),
        ("(1 | h)", "cs(0 + f | g)", None),
        ("(1 | k)", "cs(0 + f | g)", None),
        ("(0 + x | g)", "cs(0 + f | g)", None),
        ("(1 | g)", "ou(0 + pos(t) | g)", (1, "")),
        ("ou(0 + pos(t) | g)", "exp(0 + pos(t) | g)", (0, "")),
        ("ou(0 + pos(t) | g)", "exp(0 + pos(z) | g)", None),
        ("ou(0 + pos(t) | g)", "exp(0 + pos(t, z) | g)", None),
        ("cs(1 + x | g)", "cs(1 + x + t | g)", (1, "")),
        ("cs(1 + x | g)", "cs(1 + x + t + z | g)", None),
        ("(1 + x | g)", "cs(1 + x + t | g)", (1, "")),
        ("(1 + x || g)", "cs(1 + x + t | g)", None),
        ("(1 + x + t | g)", "cs(1 + x + t + z | g)", None),
        ("cs(1 + x + t | g)", "cs(1 + x + t + z | g)", (1, "")),
        ("homcs(1 + x + t | g)", "homcs(1 + x + t + z | g)", None),
        ("(1 | h)", "(1 | h) + cs(0 + f | g)", (1, NO_CORRELATION)),
        ("(1 | h)", "(1 | h) + homdiag(0 + f | g)", (1, "")),
        ("cs(0 + f | g)", "cs(0 + f | g) + (1 | h)", (1, "")),
        ("cs(0 + f | g)", "cs(0 + f | g) + (x | h)", (1, SEVERAL)),
        ("(1 | g)", "cs(0 + f | g) + (1 | h)", (1, SEVERAL)),
        ("(1 | g) + (1 | h)", "cs(0 + f | g)", None),
        ("(1 | h) + cs(0 + f | g)", "(0 + f | g) + (1 | h)", (0, "")),
    ],
)
def test_a_model_lies_in_another_by_the_rules(small, large, expected):
    found = pattern_nesting(problem(small), problem(large))
    assert (found if found is None else (found.one_sided, found.reason)) == expected
    whole = covariance_nesting(problem(small), problem(large))
    assert (whole if whole is None else (whole.edges, whole.unfit)) == expected


def test_members_and_relatives_lie_in_no_plain_term():
    names = list("klmnop")
    known = {"g": pd.DataFrame(np.eye(6) + 0.2, names, names)}
    related = build_design("y ~ 1 + cs(0 + f | g)", FRAME, known=known).problem
    assert pattern_nesting(problem("cs(0 + f | g)"), related) is None
    assert pattern_nesting(related, problem("cs(0 + f | g)")) is None
    assert pattern_nesting(related, related) is not None
    several = problem("cs(0 + f | mm(g))")
    assert pattern_nesting(problem("cs(0 + f | g)"), several) is None
    assert pattern_nesting(several, problem("cs(0 + f | g)")) is None


def test_two_columns_of_a_variance_each_have_no_pattern():
    two = problem("cs(1 + x | g)")
    assert has_pattern(two)
    plain = without_idle_patterns(two)
    assert not has_pattern(plain)
    assert plain.terms[0].structure == structure_of("", 2)
    for kept in ("homcs(1 + x | g)", "cs(1 + x + t | g)"):
        assert has_pattern(without_idle_patterns(problem(kept)))
    nested = covariance_nesting(problem("(1 | g)"), two)
    assert [cone.size for cone in nested.cones] == [1]


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [
        (("cs(0 + f | g)", "ident(h)"), ("(0 + f | g)", "ident(h)"), (0, "", False)),
        (("cs(0 + f | g)", None), ("cs(0 + f | g)", "ident(h)"), (0, "", False)),
        (("cs(0 + f | g)", None), ("(0 + f | g)", "ident(h)"), None),
        (("cs(0 + f | g)", "ident(h)"), ("cs(0 + f | g)", None), None),
    ],
)
def test_patterns_beside_a_residual_structure(small, large, expected):
    found = covariance_nesting(*(problem(random, residual=residual) for random, residual in (small, large)))
    assert (found if found is None else (found.edges, found.unfit, found.absorbed)) == expected
