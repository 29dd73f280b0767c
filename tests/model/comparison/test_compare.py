"""Comparisons of nested fits: the reference distribution of every step, and what cannot be compared."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from reference.cases import fitted, table
from reference.unbalanced import DATA, unbalanced

import lmmkit
from lmmkit import compare
from lmmkit.engine.variance_tests.chi_bar_squared import cone_weights, mixture_tail
from lmmkit.model.fit import Fit

SELECTION = json.loads((DATA / "selection.json").read_text(encoding="utf-8"))
STEPS = [
    (data, *(step[key] for key in ("criterion", "small", "large", "chisq", "p_naive", "p_mixture")))
    for data, steps in SELECTION["lrt"].items()
    for step in steps
    if step["small"] != "none"
]
TABLES = {"sleepstudy": "sleep_full", "Machines": "machines_nested"}


def fits(data, criterion, *formulas):
    """Fits of several models of one table."""
    return [lmmkit.lmm(formula, table(TABLES[data]), reml=criterion == "REML") for formula in formulas]


@pytest.mark.parametrize(("data", "criterion", "small", "large", "stat", "naive", "mixture"), STEPS)
def test_steps_between_random_effects(data, criterion, small, large, stat, naive, mixture):
    formulas = SELECTION["formulas"][data]
    found = compare(*fits(data, criterion, formulas[small], formulas[large])).iloc[1]
    assert found["stat"] == pytest.approx(stat, abs=1e-6)
    assert found["p"] == pytest.approx(naive if mixture is None else mixture, rel=1e-4)
    assert ("1/2" in found["reference"]) == (mixture is not None)


def test_a_table_of_three_fits_is_sorted_and_says_what_was_done():
    a, b, c = fits(
        "sleepstudy",
        "REML",
        *(f"Reaction ~ Days + {r}" for r in ("(Days | Subject)", "(1 | Subject)", "(Days || Subject)")),
    )
    found = compare(a, b, c)
    assert found.columns.tolist() == [
        "npar",
        "llf",
        "deviance",
        "aic",
        "bic",
        "stat",
        "df",
        "p",
        "reference",
        "note",
    ]
    assert found["npar"].tolist() == [4, 5, 6]
    assert found["reference"].tolist() == ["", "1/2 chi2(0) + 1/2 chi2(1)", "chi2(1)"]
    assert found["df"].tolist()[1:] == [1, 1]
    assert np.isnan(found["stat"].iloc[0])
    assert found["aic"].tolist() == [b.aic, c.aic, a.aic]
    assert "refitted" not in "".join(found["note"])


def test_fixed_parts_are_compared_by_maximum_likelihood_and_it_says_so():
    small, large = fits(
        "sleepstudy", "REML", "Reaction ~ 1 + (1 | Subject)", "Reaction ~ Days + (1 | Subject)"
    )
    found = compare(small, large)
    ml = fits("sleepstudy", "ML", "Reaction ~ 1 + (1 | Subject)", "Reaction ~ Days + (1 | Subject)")
    np.testing.assert_allclose(found["deviance"], [fit.deviance for fit in ml], rtol=1e-10)
    assert found["note"].str.contains("refitted by maximum likelihood").all()
    assert found["reference"].iloc[1] == "chi2(1)"
    with pytest.raises(lmmkit.FitError, match=r"different fixed parts.*reml=False"):
        compare(small, large, refit=False)


def test_both_parts_at_once_add_their_degrees_of_freedom():
    small, large = fits(
        "sleepstudy", "ML", "Reaction ~ 1 + (1 | Subject)", "Reaction ~ Days + (Days | Subject)"
    )
    found = compare(small, large).iloc[1]
    assert found["reference"] == "1/2 chi2(2) + 1/2 chi2(3)"
    assert found["df"] == 3


def test_reml_and_ml_fits_are_brought_to_one_criterion():
    reml, ml = (
        fits("sleepstudy", "REML", "Reaction ~ Days + (1 | Subject)")[0],
        fits("sleepstudy", "ML", "Reaction ~ Days + (Days | Subject)")[0],
    )
    assert "refitted" in compare(reml, ml)["note"].iloc[1]


def test_an_intercept_lies_within_a_full_set_of_cells():
    found = compare(
        *fits(
            "Machines", "REML", "score ~ Machine + (1 | Worker)", "score ~ Machine + (0 + Machine | Worker)"
        )
    )
    assert "simulated weights" in found["note"].iloc[1]
    assert found["reference"].iloc[1].startswith("0.")
    again = compare(
        *fits(
            "Machines", "REML", "score ~ Machine + (1 | Worker)", "score ~ Machine + (0 + Machine | Worker)"
        )
    )
    pd.testing.assert_frame_equal(found, again)


@pytest.fixture
def thirds():
    """Dyestuff2, whose variance between batches is zero, with another factor whose variance is not."""
    return table("dyestuff2").assign(third=[str(i % 3) for i in range(30)])


def test_a_statistic_of_zero_has_p_one(thirds):
    random = ("(1 | third)", "(1 | third) + (1 | Batch)")
    found = compare(*(lmmkit.lmm(f"Yield ~ 1 + {r}", thirds) for r in random)).iloc[1]
    assert found["stat"] == pytest.approx(0, abs=1e-8)
    assert found["p"] == 1.0


def test_a_singular_smaller_fit_makes_the_test_approximate(thirds):
    random = ("(1 | Batch)", "(1 | third) + (1 | Batch)")
    found = compare(*(lmmkit.lmm(f"Yield ~ 1 + {r}", thirds) for r in random)).iloc[1]
    assert "the smaller fit is singular itself: approximate" in found["note"]


SQUARE = ("Reaction ~ Days + (0 + I(Days^2) | Subject)", "Reaction ~ Days + (Days | Subject)")
FEWER = ("score ~ Machine + (1 | Worker)", "score ~ 1 + (0 + Machine | Worker)")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: compare(), "0 fit; two or more"),
        (lambda: compare(fitted("sleep_full", "REML")), "1 fit; two or more"),
        (lambda: compare(fitted("sleep_full", "REML"), "fit"), "str is none"),
        (lambda: compare(fitted("sleep_full", "REML"), fitted("sleep_miss", "REML")), "180 and 140 rows"),
        (lambda: compare(fitted("sleep_full", "REML"), fitted("sleep_full", "REML")), "6 parameters both"),
        (lambda: compare(fitted("dyestuff", "REML"), fitted("dyestuff2", "REML")), "different responses"),
        (lambda: compare(fitted("sleep_slope", "REML"), fitted("sleep_int", "REML")), "4 parameters both"),
        (lambda: compare(*fits("sleepstudy", "REML", *SQUARE)), "not a special case"),
        (lambda: compare(*fits("Machines", "ML", *FEWER)), "not a special case"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_words(ask, words):
    with pytest.raises(lmmkit.FitError, match=words):
        ask()


def test_other_weights_are_other_data():
    frame = table("sleep_full").assign(w=np.arange(180) % 3 + 1.0)
    plain, weighted = (
        lmmkit.lmm("Reaction ~ Days + (1 | Subject)", frame),
        lmmkit.lmm("Reaction ~ Days + (Days | Subject)", frame, weights="w"),
    )
    with pytest.raises(lmmkit.FitError, match="different weights"):
        compare(plain, weighted)


def test_nested_grouping_is_found_from_the_rows():
    found = compare(
        *(
            lmmkit.lmm(f"y ~ a + x + I(x^2) + {r}", unbalanced(4).design.source.table.frame)
            for r in ("(1 | g)", "(1 | g/k)")
        )
    )
    assert found["reference"].iloc[1] == "1/2 chi2(0) + 1/2 chi2(1)"


def test_weights_of_an_orthant_and_of_a_cone_of_matrices():
    np.testing.assert_allclose(cone_weights(np.eye(2), [1, 1], 0), [0.25, 0.5, 0.25])
    three = cone_weights(np.diag([4.0, 1.0, 0.25]), [1, 1, 1], 0)
    np.testing.assert_allclose(three, [0.125, 0.375, 0.375, 0.125], atol=0.015)
    root = np.sqrt(2)  # the cone of 2 x 2 matrices in the metric of the trace
    matrices = cone_weights(np.diag([1.0, 0.5, 1.0]), [2], 0)
    np.testing.assert_allclose(matrices, [(2 - root) / 4, root / 4, root / 4, (2 - root) / 4], atol=0.015)


def test_weights_of_correlated_variances_are_those_of_their_angle():
    rng = np.random.default_rng(1)
    for correlation in (-0.7, 0.4):
        C = np.array([[1.0, correlation], [correlation, 1.0]])
        z = rng.multivariate_normal(np.zeros(2), C, 200_000)
        assert cone_weights(C, [1, 1], 0)[2] == pytest.approx((z > 0).all(axis=1).mean(), abs=0.005)


def test_tails_of_mixtures():
    assert mixture_tail(6.368955314, np.array([0.5, 0.5]), 0) == pytest.approx(0.0058067, abs=1e-7)
    assert mixture_tail(42.83681, np.array([0.5, 0.5]), 1) == pytest.approx(2.79253e-10, rel=1e-4)
    assert mixture_tail(0.0, np.array([0.5, 0.5]), 0) == 1.0
    tails = [mixture_tail(s, np.array([0.5, 0.5]), 0) for s in np.linspace(0.01, 5, 20)]
    assert all(a > b for a, b in itertools.pairwise(tails))


def test_a_search_that_stopped_early_is_noted():
    small, large = fits(
        "sleepstudy", "REML", "Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days | Subject)"
    )
    early = Fit(replace(large.estimates, converged=False))
    assert "a fit has not converged" in compare(small, early)["note"].iloc[1]
    assert "converged" not in compare(small, large)["note"].iloc[1]
