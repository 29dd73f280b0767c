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
        "aicc",
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


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: compare(), "0 fit; two or more"),
        (lambda: compare(fitted("sleep_full", "REML")), "1 fit; two or more"),
        (lambda: compare(fitted("sleep_full", "REML"), 3), "int is neither"),
        (lambda: compare("Reaction ~ 1", "Reaction ~ Days"), "formulas alone"),
        (lambda: compare(fitted("sleep_full", "REML"), fitted("sleep_miss", "REML")), "180 and 140 rows"),
        (lambda: compare(fitted("dyestuff", "REML"), fitted("dyestuff2", "REML")), "different responses"),
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


# Fixed effects in few groups, and models that do not lie within each other


@pytest.fixture(scope="module")
def machines():
    """Machines without ten of its rows: unbalanced."""
    lost = [2, 3, 6, 7, 8, 12, 19, 20, 27, 33]
    return table("machines_nested").drop(index=[row - 1 for row in lost]).reset_index(drop=True)


@pytest.fixture(scope="module")
def children():
    """Eight of Orthodont's subjects, four of each sex, without four of their rows."""
    whole = table("orthodont_int")
    subjects = whole["Subject"].unique()[[0, 1, 3, 6, 16, 17, 19, 21]]
    some = whole[whole["Subject"].isin(subjects)].reset_index(drop=True)
    return some.drop(index=[2, 9, 10, 29]).reset_index(drop=True)


# pbkrtest 0.5.2 on lme4 1.1-31 (bobyqa, rhoend 1e-10): KRmodcomp's F, ddf and p.value
KENWARD_ROGER = [
    (
        "machines",
        "score ~ 1 + (1 | Worker)",
        "score ~ Machine + (1 | Worker)",
        60.08057457,
        36.12300492,
        3.239791073e-12,
    ),
    (
        "machines",
        "score ~ 1 + (0 + Machine | Worker)",
        "score ~ Machine + (0 + Machine | Worker)",
        36.90340335,
        3.997735808,
        0.002648974403,
    ),
    (
        "children",
        "distance ~ age + (1 | Subject)",
        "distance ~ age * Sex + (1 | Subject)",
        2.406777213,
        11.30087165,
        0.1346639821,
    ),
    (
        "children",
        "distance ~ age + (1 | Subject)",
        "distance ~ age + Sex + (1 | Subject)",
        3.848470169,
        5.996429435,
        0.09748680501,
    ),
]


@pytest.mark.parametrize(("data", "small", "large", "F", "den_df", "p"), KENWARD_ROGER)
def test_fixed_effects_by_kenward_roger_equal_pbkrtest(data, small, large, F, den_df, p, request):
    frame = request.getfixturevalue(data)
    found = compare(lmmkit.lmm(small, frame), lmmkit.lmm(large, frame), method="kenward-roger").iloc[1]
    assert found["stat"] == pytest.approx(F, rel=1e-6)
    assert found["p"] == pytest.approx(p, rel=1e-6)
    assert found["reference"] == f"F({found['df']:.0f}, {den_df:.6g})"
    assert "scaled F of the REML fit" in found["note"]


def test_kenward_roger_finds_the_hypothesis_whatever_the_coding(children):
    frame = children.assign(late=children["age"] + 2000.0)
    small = lmmkit.lmm("distance ~ late + (1 | Subject)", frame)
    large = lmmkit.lmm("distance ~ 0 + Sex + I(age / 7) + (1 | Subject)", frame)
    found = compare(small, large, method="kenward-roger").iloc[1]
    assert (found["stat"], found["p"]) == pytest.approx((3.848470169, 0.09748680501), rel=2e-7)
    assert found["df"] == 1


PB_STATISTIC, PB_P, PB_DRAWS = 3.98816345, 0.1088911089, 1000  # PBmodcomp, p of as many replicates


def test_fixed_effects_by_bootstrap_equal_pbkrtest(children):
    small = lmmkit.lmm("distance ~ age + (1 | Subject)", children)
    large = lmmkit.lmm("distance ~ age + Sex + (1 | Subject)", children)
    found = compare(small, large, method="bootstrap", n=4000, seed=3).iloc[1]
    assert found["stat"] == pytest.approx(PB_STATISTIC, rel=1e-7)
    error = np.sqrt(PB_P * (1 - PB_P) * (1 / 4000 + 1 / PB_DRAWS))
    assert abs(found["p"] - PB_P) < 3 * error
    assert found["reference"] == "parametric bootstrap, ML, 4,000 replicates"
    assert "Monte Carlo standard error of p 0.0047" in found["note"]


def test_chi_squared_of_few_groups_points_to_the_tests_that_hold_there(children):
    small = lmmkit.lmm("distance ~ age + (1 | Subject)", children)
    large = lmmkit.lmm("distance ~ age + Sex + (1 | Subject)", children)
    assert "Subject has 8 levels" in compare(small, large)["note"].iloc[1]
    assert "method='bootstrap' or 'kenward-roger'" in compare(small, large)["note"].iloc[1]
    for method in ("bootstrap", "kenward-roger"):
        assert "few groups" not in compare(small, large, method=method, n=20)["note"].iloc[1]


def test_variances_keep_their_test_beside_kenward_roger(children):
    models = [
        lmmkit.lmm(f"distance ~ {fixed} + {random}", children)
        for fixed, random in (
            ("age", "(1 | Subject)"),
            ("age * Sex", "(1 | Subject)"),
            ("age", "(age || Subject)"),
        )
    ]
    found = compare(*models, method="kenward-roger")
    assert found["reference"].str.startswith("F(2, ").sum() == 1
    assert (found["reference"] == "1/2 chi2(0) + 1/2 chi2(1)").sum() == 1
    both = compare(
        models[2], lmmkit.lmm("distance ~ age * Sex + (age | Subject)", children), method="kenward-roger"
    )
    assert "both parts differ" in both["note"].iloc[1]
    assert np.isnan(both["p"].iloc[1])


def test_kenward_roger_of_a_singular_fit_is_a_row_with_the_reason(thirds):
    models = (lmmkit.lmm(f"Yield ~ {fixed} + (1 | Batch)", thirds) for fixed in ("1", "third"))
    found = compare(*models, method="kenward-roger").iloc[1]
    assert np.isnan(found["p"])
    assert "variance of Batch.Intercept is zero" in found["note"]


SQUARE = ("Reaction ~ Days + (0 + I(Days^2) | Subject)", "Reaction ~ Days + (Days | Subject)")
FEWER = ("score ~ Machine + (1 | Worker)", "score ~ 1 + (0 + Machine | Worker)")
LIKE = ("Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (0 + Days | Subject)")


@pytest.mark.parametrize(
    ("data", "formulas"), [("sleepstudy", SQUARE), ("Machines", FEWER), ("sleepstudy", LIKE)]
)
def test_models_that_are_not_nested_are_rows_without_a_test(data, formulas):
    models = fits(data, "ML", *formulas)
    found = compare(*models)
    assert found["stat"].isna().all()
    assert found["p"].isna().all()
    assert found["aic"].tolist() == [model.aic for model in sorted(models, key=lambda model: model.npar)]
    assert "is not a special case of" in found["note"].iloc[1]
    assert "compare them by aic, aicc or bic" in found["note"].iloc[1]


def test_each_model_is_tested_against_the_largest_that_lies_in_it():
    parts = ("(1 | Subject)", "(0 + Days | Subject)", "(Days || Subject)", "(Days | Subject)")
    found = compare(*fits("sleepstudy", "REML", *(f"Reaction ~ Days + {part}" for part in parts)))
    alone = compare(*fits("sleepstudy", "REML", *(f"Reaction ~ Days + {parts[i]}" for i in (1, 2)))).iloc[1]
    assert found["p"].isna().tolist() == [True, True, False, False]
    assert found["p"].iloc[2] == alone["p"]
    assert not found["note"].iloc[2].startswith("against")
    swapped = compare(*fits("sleepstudy", "REML", *(f"Reaction ~ Days + {parts[i]}" for i in (1, 0, 2))))
    assert swapped["stat"].iloc[2] != found["stat"].iloc[2]
    skip = ("(1 | Subject)", "(0 + Days | Subject)", "(1 + I(Days^2) || Subject)")
    skipped = compare(*fits("sleepstudy", "REML", *(f"Reaction ~ Days + {part}" for part in skip)))
    assert skipped["note"].iloc[2].startswith("against `Reaction ~ 1 + Days + (1 | Subject)`")


def test_information_criteria_of_all_name_their_number_of_rows():
    small, large = fits(
        "sleepstudy", "ML", "Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days | Subject)"
    )
    found = compare(small, large)
    assert found["aicc"].tolist() == pytest.approx([small.aic + 2 * 4 * 5 / 175, large.aic + 2 * 6 * 7 / 173])
    assert "n = 180 rows" in found["note"].iloc[0]
    assert found.attrs["nobs"] == 180


# Models without random effects

NONE = [
    (data, *(step[key] for key in ("criterion", "large", "chisq", "p_naive", "p_mixture")))
    for data, steps in SELECTION["lrt"].items()
    for step in steps
    if step["small"] == "none"
]


@pytest.mark.parametrize(("data", "criterion", "large", "stat", "naive", "mixture"), NONE)
def test_a_model_without_random_effects_is_tested_too(data, criterion, large, stat, naive, mixture):
    formula = SELECTION["formulas"][data][large]
    [fit] = fits(data, criterion, formula)
    found = compare(formula.rsplit(" + (", 1)[0], fit).iloc[1]
    assert found["stat"] == pytest.approx(stat, abs=1e-6)
    assert found["p"] == pytest.approx(naive if mixture is None else mixture, rel=1e-4)


def test_models_without_random_effects_equal_least_squares(children):
    ols = pytest.importorskip("statsmodels.formula.api").ols
    fit = lmmkit.lmm("distance ~ age + Sex + (1 | Subject)", children, reml=False)
    found = compare("distance ~ age", "distance ~ age + Sex", fit, method="kenward-roger")
    small, large = (ols(formula, children).fit() for formula in ("distance ~ age", "distance ~ age + Sex"))
    assert found["llf"].tolist()[:2] == pytest.approx([small.llf, large.llf], rel=1e-12)
    F, p, _ = large.compare_f_test(small)
    assert (found["stat"].iloc[1], found["p"].iloc[1]) == pytest.approx((F, p), rel=1e-10)
    assert found["reference"].iloc[1] == "F(1, 25)"
    assert "F of least squares" in found["note"].iloc[1]


def test_a_formula_is_fitted_to_the_rows_weights_and_codings_of_the_first_fit(children):
    wls = pytest.importorskip("statsmodels.formula.api").wls
    w = np.linspace(0.5, 2.0, len(children))
    holed = children.assign(distance=children["distance"].where(children.index != 3))
    fit = lmmkit.lmm(
        "distance ~ age + Sex + (1 | Subject)", holed, weights=w, contrasts={"Sex": "sum"}, reml=False
    )
    found = compare(fit, "distance ~ Sex")
    used = holed.index != 3
    expected = wls("distance ~ Sex", holed[used], weights=w[used]).fit()
    assert found["llf"].iloc[0] == pytest.approx(expected.llf, rel=1e-12)
    part = holed.assign(z=np.where(holed.index == 5, np.nan, 1.0 * holed.index))
    other = lmmkit.lmm("distance ~ age + (1 | Subject)", part)
    with pytest.raises(lmmkit.DataError, match=r"`z` in 1 row"):
        compare(other, "distance ~ z")
    with pytest.raises(lmmkit.FormulaError, match=r"has random effects: fit it with lmm\(\) first"):
        compare(fit, "distance ~ age + (1 | Subject)")
