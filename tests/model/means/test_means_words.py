# ruff: noqa: E501  (a case is a line)
"""Sentences, scales and changes of marginal means and averages, each from plain values."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lmmkit import FitError
from lmmkit.model.design.design import build_design
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.means import averages, reference_grid
from lmmkit.model.means.comparison_display import comparison_arrows
from lmmkit.model.means.contrast_families import (
    FAMILIES,
    given_contrasts,
    interaction_contrasts,
    named_contrasts,
)
from lmmkit.model.means.marginal_means import Family
from lmmkit.model.means.reference_grid import REDUCTIONS
from lmmkit.model.means.response_scale import ResponseScale, response_scale


def family(possible, cells):
    count = len(possible)
    return Family(
        None,
        None,
        np.zeros((count, 1)),
        np.array(possible),
        np.zeros(count),
        tuple(cells),
        (),
        pd.DataFrame(cells),
        0.95,
    )


@pytest.mark.parametrize(
    ("possible", "said"),
    [
        ([True, True], ""),
        ([True, False], "1 of 2 cannot be estimated and are NaN: l1 m. They need combinations of levels that no row of the fit has."),
        ([False] * 5, "5 of 5 cannot be estimated and are NaN: l0 m, l1 m, l2 m, l3 m, l4 m. They need"),
        ([False] * 6, "6 of 6 cannot be estimated and are NaN: l0 m, l1 m, l2 m, l3 m, l4 m, .... They need"),
    ],
)  # fmt: skip
def test_means_that_cannot_be_estimated_are_named(possible, said):
    cells = {"a": [f"l{i}" for i in range(len(possible))], "b": ["m"] * len(possible)}
    assert family(possible, cells).trouble.startswith(said)
    assert bool(said) == bool(family(possible, cells).trouble)


@pytest.mark.parametrize(
    ("response", "base", "shift"),
    [
        ("log(y)", np.e, 0.0), ("log1p(y)", np.e, 1.0), ("log2(y + 3)", 2.0, 3.0), ("log10(y - 2)", 10.0, -2.0),
        ("sqrt(y)", None, 0.0), ("sqrt(0.5 + y)", None, 0.5), ("log(I(y + 1))", np.e, 1.0), ("I(log(y))", np.e, 0.0),
    ],
)  # fmt: skip
def test_a_transformed_response_is_read(response, base, shift):
    scale = response_scale(parse_formula(f"{response} ~ 1 + (1 | g)").response)
    assert (scale.base, scale.shift, scale.text) == (base, shift, response)
    assert scale.is_log == (base is not None)


@pytest.mark.parametrize("response", ["exp(y)", "log(2 * y)", "sqrt(y + z)", "log(2 - y)"])
def test_other_responses_have_no_way_back(response):
    with pytest.raises(FitError, match="is offered for log, log1p, log2, log10 and sqrt"):
        response_scale(parse_formula(f"{response} ~ 1 + (1 | g)").response)


@pytest.mark.parametrize(
    "scale", [ResponseScale("", np.e), ResponseScale("", 10.0, 2.0), ResponseScale("", None, 1.5)]
)
def test_the_way_back_is_the_inverse_its_slope_the_derivative_and_its_mean_of_second_order(scale):
    y, h = np.array([0.5, 1.0, 4.0]), 1e-6
    eta = np.sqrt(y + scale.shift) if scale.base is None else np.log(y + scale.shift) / np.log(scale.base)
    value, slope = scale.back(eta)
    np.testing.assert_allclose(value, y, rtol=1e-12)
    np.testing.assert_allclose(
        slope, (scale.back(eta + h).value - scale.back(eta - h).value) / (2 * h), rtol=1e-6
    )
    mean = (scale.back(eta + 0.03).value + scale.back(eta - 0.03).value) / 2
    np.testing.assert_allclose(scale.back(eta, 0.0009).value, mean, rtol=1e-5)
    assert (scale.back(eta, 0.01).value > y).all()
    if scale.base is not None:
        made = scale.ratio(eta - eta[0])
        np.testing.assert_allclose(made.value, (y + scale.shift) / (y[0] + scale.shift), rtol=1e-12)
        np.testing.assert_allclose(made.slope, made.value * np.log(scale.base), rtol=1e-12)


def test_a_square_root_below_zero_goes_back_to_that_of_zero():
    assert ResponseScale("", None, 1.0).back(np.array([-2.0, 0.0])).value.tolist() == [-1.0, -1.0]


def test_a_covariate_is_reduced_as_its_name_says():
    column = pd.Series([1.0, 2.0, 2.0, 7.0])
    found = {name: np.atleast_1d(reduce(column)).tolist() for name, reduce in REDUCTIONS.items()}
    assert found == {
        "mean": [3.0],
        "median": [2.0],
        "range": [1.0, 7.0],
        "meanint": [2.0, 4.0],
        "unique": [1.0, 2.0, 7.0],
    }


ROWS = pd.DataFrame({"x": [0.0, 10.0]})
OWN = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0, 14.0]})
OF = SimpleNamespace(frame=ROWS, estimates=SimpleNamespace(design=SimpleNamespace(frame=OWN)))


@pytest.mark.parametrize(
    ("how", "label", "low", "high"),
    [
        (2.5, "+2.5", [0.0, 10.0], [2.5, 12.5]),
        (-1, "-1", [0.0, 10.0], [-1.0, 9.0]),
        ([3, 7], "7 - 3", [3.0, 3.0], [7.0, 7.0]),
        ("iqr", "iqr", [1.0, 1.0], [3.0, 3.0]),
        ("minmax", "minmax", [0.0, 0.0], [14.0, 14.0]),
        ("sd", "sd", ROWS["x"] - OWN["x"].std() / 2, ROWS["x"] + OWN["x"].std() / 2),
    ],
)
def test_a_covariate_changes_as_asked(how, label, low, high):
    change = averages._along(OF, "x", how)
    assert (change.term, change.label, change.width) == ("x", label, 1.0)
    assert change.low["x"].tolist() == pytest.approx(list(low))
    assert change.high["x"].tolist() == pytest.approx(list(high))


@pytest.mark.parametrize("how", [0, "range", [1], [1, "a"], True, np.nan, [1, 2, 3]])
def test_other_changes_of_a_covariate_are_refused(how):
    with pytest.raises(
        FitError,
        match="`x` is a covariate: a number to add to it, two values, or one of 'sd', 'iqr', 'minmax'",
    ):
        averages._along(OF, "x", how)


@pytest.mark.parametrize(
    ("how", "labels"),
    [
        ("reference", ["b - a", "c - a"]), ("sequential", ["b - a", "c - b"]),
        ("pairwise", ["b - a", "c - a", "c - b"]), (["a", "c"], ["c - a"]), (("c", "b"), ["b - c"]),
    ],
)  # fmt: skip
def test_levels_are_compared_as_asked(how, labels):
    changes = list(averages._between_levels(ROWS, "f", {c: c for c in "abc"}, how))
    assert [change.label for change in changes] == labels
    for change in changes:
        assert f"{change.high['f'].iloc[0]} - {change.low['f'].iloc[0]}" == change.label


@pytest.mark.parametrize("how", ["all", ["a"], ["a", "z"], 3])
def test_other_comparisons_of_levels_are_refused(how):
    with pytest.raises(
        FitError, match=r"`f` is a factor: choose one of 'reference', .*, or two of its levels \(a, b, c\)"
    ):
        list(averages._between_levels(ROWS, "f", {c: c for c in "abc"}, how))


WEIGHTS = {
    "pairwise": (["a - b", "a - c", "b - c"], [[1, -1, 0], [1, 0, -1], [0, 1, -1]]),
    "revpairwise": (["b - a", "c - a", "c - b"], [[-1, 1, 0], [-1, 0, 1], [0, -1, 1]]),
    "consec": (["b - a", "c - b"], [[-1, 1, 0], [0, -1, 1]]),
    "eff": (["a effect", "b effect", "c effect"], np.eye(3) - 1 / 3),
    "del.eff": (["a effect", "b effect", "c effect"], np.eye(3) * 1.5 - 0.5),
    "mean_chg": (["a|b", "b|c"], [[-1, 0.5, 0.5], [-0.5, -0.5, 1]]),
    "trt.vs.ctrl": (["b - a", "c - a"], [[-1, 1, 0], [-1, 0, 1]]),
    "trt.vs.ctrlk": (["a - c", "b - c"], [[1, 0, -1], [0, 1, -1]]),
    "identity": (["a", "b", "c"], np.eye(3)),
    "poly": (["linear", "quadratic"], [[-1, 0, 1], [1, -2, 1]]),
}


@pytest.mark.parametrize("method", WEIGHTS)
def test_a_family_has_its_labels_and_weights(method):
    found = named_contrasts(method, list("abc"))
    assert [label for (label,) in found.labels] == WEIGHTS[method][0]
    np.testing.assert_allclose(found.C, WEIGHTS[method][1], atol=1e-15)


def test_several_controls_are_told_as_their_average():
    found = named_contrasts("trt.vs.ctrl", list("abc"), ["c", "a"], "/")
    assert found.labels == [("b / avg(c,a)",)]
    assert found.C.tolist() == [[-0.5, 1.0, -0.5]]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({}, "contrast() was given no combination: one or more are expected."),
        ([1, "a", 0], "contrast `contrast`: 3 numbers are expected, one for each mean, not [1, 'a', 0]."),
        ({"up": 5}, "contrast `up`: 3 numbers are expected, one for each mean, not 5."),
        ({"up": [1, -1]}, "contrast `up` has 2 weights for 3 means: give one for each."),
        ([0, 0, 0], "contrast `contrast` needs finite weights that are not all zero."),
        ([1, -1, np.inf], "contrast `contrast` needs finite weights that are not all zero."),
    ],
)
def test_numbers_that_are_no_contrast_are_refused(weights, said):
    with pytest.raises(FitError) as caught:
        given_contrasts(weights, list("abc"))
    assert str(caught.value) == said


def test_numbers_that_are_contrasts_have_their_labels():
    found = given_contrasts({"up": [-1, 0, 1], "mean": (0.5, 0.5, 0)}, list("abc"))
    assert found.labels == [("up",), ("mean",)]
    assert found.C.tolist() == [[-1, 0, 1], [0.5, 0.5, 0]]


def test_products_of_families_vary_with_their_last_factor_fastest():
    found = interaction_contrasts(["consec", "pairwise"], {"f": list("ab"), "h": list("uvw")}, "/")
    assert found.names == ("f_consec", "h_pairwise")
    assert found.labels == [("b / a", "u / v"), ("b / a", "u / w"), ("b / a", "v / w")]
    assert found.C.tolist() == [[-1, 1, 0, 1, -1, 0], [-1, 0, 1, 1, 0, -1], [0, -1, 1, 0, 1, -1]]


@pytest.mark.parametrize(("count", "last"), [(6, "degree 5"), (7, "degree 6"), (9, "degree 6")])
def test_polynomials_go_to_the_sixth_degree(count, last):
    labels = [label for (label,) in named_contrasts("poly", list("abcdefghi"[:count])).labels]
    assert labels == ["linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6"][: len(labels)]
    assert labels[-1] == last


@pytest.mark.parametrize("method", FAMILIES)
def test_contrasts_need_two_means(method):
    assert len(named_contrasts(method, list("ab")).C) > 0
    if method == "identity":
        assert named_contrasts(method, ["a"]).C.tolist() == [[1.0]]
        return
    with pytest.raises(FitError, match=r"^Contrasts need two means or more; this table has one per group"):
        named_contrasts(method, ["a"])


def grid_design():
    table = pd.DataFrame(
        {"f": list("abc") * 8, "x": np.arange(24.0), "b": np.arange(24) % 2, "g": np.arange(24) // 4}
    )
    return build_design("y ~ f * x + b + (1 | g)", table.assign(y=np.sin(table["x"])))


def test_a_grid_has_levels_means_and_both_of_two_values(monkeypatch):
    found = reference_grid.reference_grid(grid_design())
    assert [(axis.name, axis.values, axis.factor) for axis in found.axes] == [
        ("f", ("a", "b", "c"), True), ("x", (11.5,), False), ("b", (0, 1), False),
    ]  # fmt: skip
    assert found.shape == (3, 1, 2)
    assert found.frame["b"].tolist() == [0, 1] * 3
    assert found.moved("x", 0.5).axes[1].values == (12.0,)
    monkeypatch.setattr(reference_grid, "LARGEST", 6)
    assert reference_grid.reference_grid(grid_design()).shape == (3, 1, 2)
    monkeypatch.setattr(reference_grid, "LARGEST", 5)
    with pytest.raises(FitError) as caught:
        reference_grid.reference_grid(grid_design())
    assert str(caught.value) == (
        "The reference grid would have 6 points, more than 5: give values for some variables in `at`."
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"at": [1.0]}, "at: values by name of variable are expected, such as {'x': [0, 1]}, not list."),
        ({"at": {"x": []}}, "at: no value is given for `x`; give one or more, or leave it out."),
        ({"at": {"x": [1, 2, 1]}}, "at: `x` has the value 1 2 times: give it once."),
        ({"at": {"xx": [1]}}, "`xx` is no variable of the fixed part; its variables: f, x, b; did you mean `x`?"),
        ({"cov_reduce": "mode"}, "cov_reduce='mode' is not known: choose one of 'mean', 'median', 'range', 'meanint', 'unique', or give a function of the column."),
        ({"cov_reduce": {"z": "mean"}}, "cov_reduce: `z` is no variable of the fixed part."),
        ({"cov_reduce": lambda _: [[1.0], [2.0]]}, "cov_reduce gives [[1.0], [2.0]] for `x`: a finite number is expected, or several."),
    ],
)  # fmt: skip
def test_a_grid_that_cannot_be_made_is_refused(options, said):
    with pytest.raises(FitError) as caught:
        reference_grid.reference_grid(grid_design(), **options)
    assert str(caught.value) == said


def test_a_reduction_is_of_a_variable_by_its_name_also_in_back_quotes():
    for name in ("x", "`x`"):
        grid = reference_grid.reference_grid(grid_design(), cov_reduce={name: max})
        assert grid.axes[1].values == (max(grid_design().frame["x"]),)


def test_arrows_add_up_to_the_critical_difference():
    """Of two means one pair: its arrows meet where the difference is the critical one."""
    for gap, meet in ((1.9, True), (2.1, False)):
        made = comparison_arrows(np.array([0.0, gap]), np.array([2.0]))
        assert made.right[0] == pytest.approx(1.0, abs=0.01)
        assert made.left[1] == pytest.approx(gap - 1.0, abs=0.01)
        assert np.isnan([made.left[0], made.right[1]]).all()
        assert (made.right[0] >= made.left[1]) == meet
        assert made.wrong == []
    none = comparison_arrows(np.array([0.0, np.nan]), np.array([2.0]))
    assert np.isnan([*none.left, *none.right]).all()
