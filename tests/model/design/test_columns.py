"""Columns of X and Z: names and values as formulaic's, codings, levels, states of transformations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.factorial import full_factorial

from lmmkit.engine.covariance.structures import Diagonal
from lmmkit.errors import DataError, FormulaError
from lmmkit.model.design.design import Design, build_design

FRAME = full_factorial()


def fixed_part(design: Design) -> np.ndarray:
    columns = [design.problem.columns[j] for j in design.problem.fixed]
    return np.column_stack(columns) if columns else np.empty((len(design.problem.response), 0))


PLAIN = ["x", "z", "a", "b", "c", "flag"]
MADE = [
    "log(x)", "I(x ** 2)", "poly(x, 2)", "poly(x, 2, raw=True)", "bs(x, df=4)", "center(z)", "scale(x)",
    "C(k)", "cr(x, df=4)", "cc(x, df=3)", "bs(x, df=5, include_intercept=True)",
]  # fmt: skip
PRODUCTS = st.lists(st.sampled_from(PLAIN * 2 + MADE), min_size=1, max_size=3).flatmap(
    lambda factors: st.sampled_from([":", "*", "/"]).map(lambda operator: operator.join(factors))
)
SUMS = st.builds(
    lambda start, products, end: start + " + ".join(products) + end,
    st.sampled_from(["", "0 + ", "1 + "]),
    st.lists(PRODUCTS, min_size=1, max_size=4),
    st.sampled_from(["", "", " - 1", " - a"]),
)


@settings(max_examples=100, deadline=None)
@given(SUMS)
def test_columns_are_formulaics(text):
    import formulaic

    expected = formulaic.model_matrix(text, FRAME)
    design = build_design(f"y ~ {text} + (1 | g)", FRAME)
    assert list(design.fixed_names) == list(expected.columns)
    np.testing.assert_allclose(fixed_part(design), expected.to_numpy(float), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["treatment", "sum", "helmert", "poly", "diff", "sas"])
def test_codings_are_formulaics(kind, factorial):
    import formulaic

    upper = {"sas": "SAS"}.get(kind, kind)
    expected = formulaic.model_matrix(f"C(c, contr.{upper}) * x + C(k, contr.{upper})", factorial)
    design = build_design(f"y ~ C(c, contr.{kind}) * x + C(k, {kind}) + (1 | g)", factorial)
    np.testing.assert_allclose(fixed_part(design), expected.to_numpy(float), atol=1e-12)
    named = build_design("y ~ c * x + (1 | g)", factorial, contrasts={"c": kind})
    labels = [name.replace(f"C(c, contr.{upper})", "c") for name in expected.columns if "C(k" not in name]
    assert list(named.fixed_names) == labels


def test_a_coding_is_given_as_a_matrix_or_by_weights(factorial):
    matrix = build_design("y ~ c + (1 | g)", factorial, contrasts={"c": [[1, 0], [0, 1], [-1, -1]]})
    assert matrix.fixed_names == ("Intercept", "c[1]", "c[2]")
    named = build_design("y ~ c + (1 | g)", factorial, contrasts={"c": {"m against l": [1, 0, -1]}})
    assert named.fixed_names == ("Intercept", "c[m against l]")
    assert set(fixed_part(named)[factorial["c"] == "m", 1]) == {1.0}


def test_a_base_and_an_order_of_levels_can_be_chosen(factorial):
    base = build_design("y ~ C(a, treatment('q')) + (1 | g)", factorial)
    assert base.fixed_names[1:] == ("C(a, treatment('q'))[T.p]", "C(a, treatment('q'))[T.r]")
    order = build_design("y ~ factor(k, levels=[7, 1, 3]) + (1 | g)", factorial)
    assert order.fixed_names[1:] == ("factor(k, levels=[7, 1, 3])[T.1]", "factor(k, levels=[7, 1, 3])[T.3]")


@pytest.mark.parametrize(
    ("formula", "contrasts", "said"),
    [
        ("y ~ c + (1 | g)", {"c": "nonsense"}, "is no coding"),
        ("y ~ c + (1 | g)", {"c": np.eye(3)}, "at most 2 columns"),
        ("y ~ c + (1 | g)", {"c": [[1, 1], [1, 1], [1, 1]]}, "not independent"),
        ("y ~ c + (1 | g)", {"c": object()}, "a matrix is expected"),
        ("y ~ c + (1 | g)", {"d": "sum"}, "`d` is no factor of the formula"),
        ("y ~ x + (1 | g)", {"x": "sum"}, "`x` is no factor of the formula"),
        ("y ~ C(a, treatment('zz')) + (1 | g)", None, "no level of `a`"),
        ("y ~ C(a, sum('p')) + (1 | g)", None, "has no base level"),
    ],
)
def test_codings_that_make_no_sense_are_refused(formula, contrasts, said, factorial):
    with pytest.raises(FormulaError) as caught:
        build_design(formula, factorial, contrasts=contrasts)
    assert said in str(caught.value)


def test_levels_left_out_of_a_list_are_refused(factorial):
    with pytest.raises(DataError, match="must list each level once; not listed: r"):
        build_design("y ~ C(a, levels=['q', 'p']) + (1 | g)", factorial)


def test_levels_stand_in_the_order_of_categories_else_of_bytes():
    frame = pd.DataFrame({"y": range(8), "t": ["b", "B", "ä", "a", "10", "9", "b", "a"], "g": [1, 2] * 4})
    assert build_design("y ~ 0 + t + (1 | g)", frame).fixed_names == tuple(
        f"t[{level}]" for level in ["10", "9", "B", "a", "b", "ä"]
    )
    frame["t"] = pd.Categorical(frame["t"], categories=["ä", "unused", "b", "B", "a", "9", "10"])
    assert build_design("y ~ 0 + t + (1 | g)", frame).fixed_names == tuple(
        f"t[{level}]" for level in ["ä", "b", "B", "a", "9", "10"]
    )


@pytest.mark.parametrize(
    ("term", "names"),
    [
        ("(c | g)", ["Intercept", "c[T.k]", "c[T.l]"]),
        ("(0 + c | g)", ["c[m]", "c[k]", "c[l]"]),
        ("(0 + x:b | g)", ["x:b[u]", "x:b[v]"]),
        ("(poly(x, 2) | g)", ["Intercept", "poly(x, 2)[1]", "poly(x, 2)[2]"]),
        ("(b * x | g)", ["Intercept", "b[T.v]", "x", "b[T.v]:x"]),
        ("(0 + a:b | g)", [f"a[{a}]:b[{b}]" for b in "uv" for a in "pqr"]),
        ("(flag | g)", ["Intercept", "flag"]),
        ("(log(x) + z | g)", ["Intercept", "log(x)", "z"]),
    ],
)
def test_columns_of_a_random_term_are_coded_by_themselves(term, names, factorial):
    design = build_design(f"y ~ 0 + a + {term}", factorial)
    assert list(design.random[0].names) == names


def test_two_bars_give_every_column_a_term_of_its_own(factorial):
    design = build_design("y ~ x + (1 + c || g)", factorial)
    assert [(t.group, t.names) for t in design.random] == [
        ("g", ("Intercept",)),
        ("g.1", ("c[T.k]",)),
        ("g.2", ("c[T.l]",)),
    ]
    assert {t.factor for t in design.random} == {"g"}
    assert {t.factor for t in design.problem.terms} == {0}


def test_diag_is_one_term_without_covariances(factorial):
    (term,) = build_design("y ~ x + diag(1 + x | g)", factorial).random
    assert (term.names, term.structure) == (("Intercept", "x"), Diagonal(2))


def test_columns_that_x_and_z_share_are_stored_once(factorial):
    problem = build_design("y ~ x + c + (x + c | g)", factorial).problem
    assert len(problem.columns) == 4
    assert problem.terms[0].columns == problem.fixed
    assert problem.columns[0].strides == (0,)


def test_numbers_are_not_copied(factorial):
    problem = build_design("y ~ x + (1 | g)", factorial).problem
    assert np.shares_memory(problem.columns[1], factorial["x"].to_numpy())


@pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 has no copy-on-write")
def test_what_is_written_into_the_table_later_does_not_reach_the_design(factorial):
    frame = factorial.copy()
    design = build_design("y ~ x + (1 | g)", frame)
    frame.loc[0, "x"] = 99.0
    assert design.problem.columns[1][0] == factorial["x"][0]


def test_terms_stand_by_decreasing_number_of_levels_and_repeated_groups_are_numbered(factorial):
    design = build_design("y ~ x + (1 | h) + (1 | g) + (0 + x | h) + (0 + x | g)", factorial)
    assert [term.group for term in design.random] == ["g", "g.1", "h", "h.1"]
    assert [term.levels for term in design.problem.terms] == [9, 9, 5, 5]


def test_levels_of_an_interaction_vary_fastest_in_its_last_column(factorial):
    design = build_design("y ~ x + (1 | b/c)", factorial)
    inner, outer = design.random
    assert (inner.group, outer.group) == ("c:b", "b")
    assert list(inner.levels) == ["m:u", "m:v", "k:u", "k:v", "l:u", "l:v"]
    codes = inner.grouping.codes
    assert list(inner.levels[codes]) == [
        f"{c}:{b}" for c, b in zip(factorial["c"], factorial["b"], strict=True)
    ]


@pytest.mark.parametrize(
    ("column", "levels"),
    [
        ([30, -2, 30, 7, 7, -2], ["-2", "7", "30"]),
        ([2**60, 1, 2**60, 5, 5, 1], ["1", "5", str(2**60)]),
        ([1.0, 2.5, 1.0, 2.5, 10.0, 10.0], ["1", "2.5", "10"]),
        ([True, False, True, False, True, True], ["False", "True"]),
        (["10", "9", "10", "9", "B", "a"], ["10", "9", "B", "a"]),
        (["10", "9", "10", "9", "-1", "0"], ["-1", "0", "10", "9"]),
        (np.array([-100, 100, 100, -100, 3, 3], np.int8), ["-100", "3", "100"]),
        (np.array([2**63 + 1, 5, 5, 7, 7, 2**63 + 1], np.uint64), ["5", "7", str(2**63 + 1)]),
        (pd.array([3, 1, 3, 1, 2, 2], "Int64"), ["1", "2", "3"]),
        (pd.array(["z", "b", "z", "b", "c", "c"], "string"), ["b", "c", "z"]),
        (pd.Categorical(list("zbzbcc"), categories=list("zbxc")), ["z", "b", "c"]),
        (pd.to_datetime(["2020-01-02", "2020-01-01"] * 3), ["2020-01-01 00:00:00", "2020-01-02 00:00:00"]),
        (np.array(["u", "v", "u", "v", "w", "w"], object), ["u", "v", "w"]),
        (np.array([4, 2, 4, 2, 3, 3], object), ["2", "3", "4"]),
    ],
)
def test_any_column_serves_as_a_grouping_factor(column, levels):
    frame = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 9], "g": column})
    (term,) = build_design("y ~ 1 + (1 | g)", frame).random
    assert list(term.levels) == levels
    assert term.grouping.codes.dtype == np.intp
    texts = [str(value).removesuffix(".0") for value in frame["g"]]
    assert list(term.levels[term.grouping.codes]) == texts


def test_long_and_short_columns_of_text_are_coded_alike():
    rng = np.random.default_rng(3)
    text = pd.Series(rng.integers(0, 40, 5_000).astype(str))
    text[7] = None
    frame = pd.DataFrame({"y": rng.normal(size=5_000), "g": text})
    long = build_design("y ~ 1 + (1 | g)", frame).random[0]
    short = build_design("y ~ 1 + (1 | g)", frame[:1_000]).random[0]
    assert list(long.levels) == sorted(set(text.dropna()))
    assert list(short.levels[short.grouping.codes]) == list(text[:1_000].dropna())


def test_no_fixed_effect_is_a_model(factorial):
    design = build_design("y ~ 0 + (1 | g)", factorial)
    assert (design.fixed_names, design.problem.fixed) == ((), ())


def test_a_constant_column_alone_is_a_term(factorial):
    design = build_design("y ~ x + (0 + one | g)", factorial.assign(one=1.0))
    assert design.random[0].names == ("one",)


NS_FIT = [
    [0.0, 0.0, 0.0],
    [-0.05416930201999259, 0.18990819388723995, -0.13293573572106798],
    [-0.06799809643481153, 0.24880871569078922, -0.17416610098355248],
    [-0.07801713561003076, 0.4372442726314425, -0.30607099084200984],
    [0.00992553131603979, 0.5207310639409968, -0.3626831733301264],
    [0.3727871558973772, 0.44534181699766834, -0.2489678433269393],
    [0.521289479256647, 0.33545810347452093, -0.00624924386073615],
    [0.5018267825155985, 0.32385978364125, 0.07699338954636314],
    [0.11935917339754956, 0.3845591230048465, 0.4932467091347027],
    [-0.13291139240506333, 0.44303797468354433, 0.6898734177215189],
]
NS_BEYOND = [
    [0.213568499773045, -0.711894999243483, 0.498326499470438],
    [-1.165822784810126, 0.686075949367089, 1.479746835443037],
]


def test_natural_splines_are_rs():
    """Values of `splines::ns(x, df = 3)` and of its `predict` beyond the boundary knots, R 4.2.2."""
    x = np.array([0.1, 0.4, 0.5, 0.9, 1.3, 2.2, 2.9, 3.1, 4.0, 4.4])
    frame = pd.DataFrame({"y": np.arange(10.0) % 4, "x": x, "g": [1, 2] * 5})
    design = build_design("y ~ ns(x, df = 3) + (1 | g)", frame)
    np.testing.assert_allclose(fixed_part(design)[:, 1:], NS_FIT, atol=1e-12)
    beyond = design.fixed_matrix(pd.DataFrame({"x": [-1.0, 6.0]}))[:, 1:]
    np.testing.assert_allclose(beyond, NS_BEYOND, atol=1e-12)
