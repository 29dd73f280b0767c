# ruff: noqa: E501  (a case is a line)
"""What a study's focus stands for: designs and words on the left, term, column and levels on the right."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from lmmkit import FitError
from lmmkit.model.design.design import build_design
from lmmkit.model.formula.formula import parse_formula, term_name
from lmmkit.model.means.focus import (
    Focus,
    find_focus,
    focus_term,
    is_factor,
    largest_interactions,
    levels_of_column,
    moderators,
    reference_level,
    where_zero,
)

FRAME = pd.DataFrame(
    {
        "x": np.arange(24.0),
        "z": np.arange(24.0) % 5,
        "arm": ["p", "d"] * 12,
        "visit": np.repeat(["v1", "v2", "v3"], 8),
        "sex": [True, True, False, False] * 6,
        "id": list(range(8)) * 3,
    }
)
FRAME = FRAME.assign(y=np.sin(FRAME["x"]), arm=FRAME["arm"].astype(pd.CategoricalDtype(["p", "d"])))


@functools.cache
def design(fixed, residual=None):
    """A design of the frame: random intercepts, or visits of the subjects."""
    random = "" if residual else " + (1 | id)"
    return build_design(f"y ~ {fixed}{random}", FRAME, residual=residual)


VISITS = "un(visit | id)"


@pytest.mark.parametrize(
    ("fixed", "asked", "expected"),
    [
        ("x + arm", None, Focus("x", "x")),
        ("x + arm", "arm", Focus("arm", "arm")),
        ("x + arm", "arm[T.d]", Focus("arm", "arm")),
        ("x + arm", "Intercept", Focus("Intercept")),
        ("1", None, Focus("Intercept")),
        ("arm * x", "arm:x", Focus("arm:x", "x", ("arm",))),
        ("arm * x", "x:arm", Focus("arm:x", "x", ("arm",))),
        ("arm * x", "x * arm", Focus("arm:x", "x", ("arm",))),
        ("arm * visit", "arm:visit", Focus("arm:visit", "arm", ("visit",))),
        ("visit * arm", "arm:visit", Focus("visit:arm", "visit", ("arm",))),
        ("arm * sex", "arm:sex", Focus("arm:sex", "arm", ("sex",))),
        ("log(x + 1) + arm", "x", Focus("log(x + 1)", "x")),
        ("poly(x, 2) + arm", "x", Focus("poly(x, 2)", "x")),
        ("z + I(z^2)", "z", Focus("z", "z")),
        ("z + x:z", "x", Focus("x:z", "x", ("z",))),
        ("visit + arm:visit", "arm[T.d]:visit[v2]", Focus("arm:visit", "arm", ("visit",), ("d", "p"), {"visit": "v2"})),
    ],
)  # fmt: skip
def test_a_focus_is_a_term_a_column_or_a_coefficient(fixed, asked, expected):
    assert find_focus(design(fixed), asked) == expected


def test_visits_are_what_others_are_compared_within():
    assert find_focus(design("visit * arm", VISITS), "visit:arm").variable == "arm"
    assert find_focus(design("visit", VISITS), "visit").variable == "visit"


@pytest.mark.parametrize(
    ("contrast", "levels"),
    [(["v3", "v1"], ("v3", "v1")), ("v2 - v1", ("v2", "v1")), (("v1", "v2"), ("v1", "v2"))],
)
def test_two_levels_are_named_in_a_list_or_by_a_difference(contrast, levels):
    assert find_focus(design("visit * arm"), "visit", contrast).contrast == levels


def test_levels_that_hold_a_minus_are_found():
    table = FRAME.assign(arm=FRAME["arm"].astype(str).map({"p": "a - b", "d": "c"}))
    made = build_design("y ~ arm + (1 | id)", table)
    for given, levels in (("a - b - c", ("a - b", "c")), ("c - a - b", ("c", "a - b"))):
        assert find_focus(made, "arm", given).contrast == levels


def test_values_of_other_columns_are_settled():
    found = find_focus(design("x * arm * sex"), "x", None, {"arm": "d", "sex": True})
    assert found.at == {"arm": "d", "sex": "True"}
    assert find_focus(design("x * arm"), "arm", None, {"x": 2}).at == {"x": 2.0}


@pytest.mark.parametrize(
    ("asked", "contrast", "at", "said"),
    [
        ("arn", None, None, "'arn' is no term of the formula; did you mean `arm`? Its terms: Intercept, x, arm, visit, x:arm"),
        ("x", ["a", "b"], None, "report.contrast: `x` is a number, which has a slope and no levels; leave it out"),
        ("visit", ["v1", "v9"], None, "report.contrast: two levels of `visit` are expected, such as [v2, v1], not ['v1', 'v9']"),
        ("visit", ["v1", "v1"], None, "not ['v1', 'v1']. Its levels: v1, v2, v3"),
        ("visit", ["v1", "v2", "v3"], None, "two levels of `visit` are expected"),
        ("Intercept", None, {"x": 1.0}, "report.contrast and report.at are about a term; the focus is the intercept."),
        ("x", None, {"amr": "d"}, "report.at: `amr` is no other column of the fixed part; did you mean `arm`? They are: arm, visit"),
        ("x", None, {"x": 1.0}, "report.at: `x` is no other column of the fixed part"),
        ("x", None, {"arm": "q"}, "report.at: `arm` has no level q. Its levels: p, d"),
        ("arm", None, {"x": "many"}, "report.at: `x` is a number; 'many' is none"),
        ("arm", None, {"x": True}, "report.at: `x` is a number; True is none"),
    ],
)  # fmt: skip
def test_what_a_focus_cannot_be_is_refused_in_words(asked, contrast, at, said):
    with pytest.raises(FitError) as refused:
        find_focus(design("x * arm + visit"), asked, contrast, at)
    assert said in str(refused.value)


def test_a_formula_is_asked_without_a_table():
    formula = parse_formula("y ~ x + arm:visit + (1 | id)")
    assert [term_name(focus_term(formula, asked)) for asked in (None, "visit:arm", "visit")] == [
        "x",
        "arm:visit",
        "arm:visit",
    ]
    assert focus_term(formula, "nothing") is None
    with pytest.raises(FitError, match="no fixed part to ask about"):
        focus_term(parse_formula("y ~ 0 + (1 | id)"), None)


def test_columns_are_factors_or_numbers_and_depend_on_others():
    made = design("x * arm + x:visit + arm:visit:x + sex + log(z + 1)")
    assert [is_factor(made, name) for name in ("x", "arm", "sex", "z")] == [False, True, True, False]
    assert levels_of_column(made, "sex") == {"False": False, "True": True}
    assert list(levels_of_column(made, "arm")) == ["p", "d"]
    assert moderators(made, "x") == ["arm", "visit"]
    assert moderators(made, "sex") == []
    assert largest_interactions(made, "x") == ["arm:visit:x"]
    assert largest_interactions(design("x * arm + x:visit"), "x") == ["x:arm", "x:visit"]


@pytest.mark.parametrize(
    ("expression", "level"),
    [
        ("visit", "v1"), ("C(visit, Treatment('v3'))", "v3"), ("C(visit, Sum)", None), ("C(visit, Helmert)", None),
        ("C(visit, Poly)", None), ("x", None),
    ],
)  # fmt: skip
def test_the_level_that_columns_are_differences_from(expression, level):
    (variable,) = design(expression).recipe.variables.values()
    assert reference_level(variable) == level


@pytest.mark.parametrize(
    ("fixed", "term", "found"),
    [
        ("x", "Intercept", [{"of": "x", "kind": "zero"}]),
        ("log(x + 1)", "Intercept", [{"of": "log(x + 1)", "kind": "zero"}]),
        ("visit", "Intercept", [{"of": "visit", "kind": "level", "level": "v1"}]),
        ("C(visit, Sum)", "Intercept", [{"of": "visit", "kind": "mean"}]),
        ("x * arm", "x", [{"of": "arm", "kind": "level", "level": "p"}]),
        ("x * arm", "arm", [{"of": "x", "kind": "zero"}]),
        ("x * arm", "x:arm", []),
        ("z + I(z^2)", "z", [{"of": "z", "kind": "beside"}]),
        ("x + arm", "x", []),
    ],
)
def test_where_the_other_columns_are_zero(fixed, term, found):
    assert where_zero(design(fixed), term) == found
