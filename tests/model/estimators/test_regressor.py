"""The estimator among scikit-learn's: its checks, its predictions, groups that are new."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from support.verbs import table

import lmmkit

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from sklearn.utils.estimator_checks import check_estimator

FIT_EXACTLY = "its response is a linear function of X, which leaves no residual variance to estimate"
EXPECTED = dict.fromkeys(
    (
        "check_sample_weights_shape",
        "check_sample_weights_not_overwritten",
        "check_sample_weight_equivalence_on_dense_data",
        "check_regressors_no_decision_function",
    ),
    FIT_EXACTLY,
)


@pytest.fixture(scope="module")
def sleep():
    return table("sleepstudy")


def test_scikit_learns_checks_pass():
    results = check_estimator(lmmkit.LMMRegressor(), expected_failed_checks=EXPECTED, on_skip=None)
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(EXPECTED)
    assert {r["status"] for r in results} <= {"passed", "xfail", "skipped"}


def test_with_a_formula_it_is_lmm(sleep):
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    model = lmmkit.LMMRegressor("Days + (Days | Subject)").fit(X, y)
    fit = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", sleep)
    assert model.fit_.deviance == fit.deviance
    assert np.array_equal(model.predict(X), fit.predict(se=False)["fit"])
    assert model.score(X, y) == pytest.approx(r2_score(y, fit.fittedvalues))
    assert model.feature_names_in_.tolist() == ["Days", "Subject"]


def test_groups_of_fit_are_a_random_intercept(sleep):
    X, y, groups = sleep[["Days"]], sleep["Reaction"], sleep["Subject"]
    model = lmmkit.LMMRegressor().fit(X, y, groups=groups)
    fit = lmmkit.lmm("Reaction ~ Days + (1 | Subject)", sleep)
    assert model.coef_.tolist() == pytest.approx([fit.params["Days"]])
    assert model.intercept_ == pytest.approx(fit.params["Intercept"])
    assert np.allclose(model.predict(X, groups), fit.predict(se=False)["fit"])
    assert np.allclose(model.predict(X), fit.predict(level="population", se=False)["fit"])
    slopes = lmmkit.LMMRegressor(random="1 + Days").fit(X, y, groups=groups)
    assert slopes.fit_.formula == "y ~ 1 + Days + (1 + Days | groups)"


def test_group_k_fold_scores_new_groups(sleep):
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    model, folds = lmmkit.LMMRegressor("Days + (Days | Subject)"), GroupKFold(6)
    predicted = cross_val_predict(model, X, y, groups=sleep["Subject"], cv=folds)
    for train, test in folds.split(X, y, sleep["Subject"]):
        fit = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", sleep.iloc[train])
        wanted = fit.predict(sleep.iloc[test], level="new", se=False)["fit"]
        assert np.allclose(predicted[test], wanted)
    scores = cross_val_score(model, X, y, groups=sleep["Subject"], cv=folds, scoring="neg_mean_squared_error")
    assert (scores < 0).all()


def test_searches_over_formulas(sleep):
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    search = GridSearchCV(
        lmmkit.LMMRegressor("Days + (1 | Subject)"),
        {"formula": ["1 + (1 | Subject)", "Days + (1 | Subject)"]},
        cv=GroupKFold(3),
    ).fit(X, y, groups=sleep["Subject"])
    assert search.best_params_ == {"formula": "Days + (1 | Subject)"}


def test_without_groups_it_is_least_squares(sleep):
    X, y = sleep[["Days"]].to_numpy(float), sleep["Reaction"]
    weights = np.arange(len(y)) % 3
    for given in (None, weights):
        ours = lmmkit.LMMRegressor().fit(X, y, sample_weight=given)
        theirs = LinearRegression().fit(X, y, sample_weight=given)
        assert np.allclose(ours.predict(X), theirs.predict(X))


def test_it_is_cloned_and_pickled(sleep):
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    model = lmmkit.LMMRegressor("Days + (1 | Subject)", reml=False).fit(X, y)
    assert clone(model).get_params() == model.get_params()
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("formula", "X", "groups", "said"),
    [
        ("day + (1 | Subject)", None, None, "did you mean `Days`"),
        ("y ~ Days + (1 | Subject)", None, None, "the right side alone"),
        ("Days + (1 | Subject)", None, "Subject", "With a formula the groups are columns"),
        (None, "Days", [1, 2], "groups: one for each of the rows"),
    ],
)
def test_what_cannot_be_fitted_is_a_value_error_in_words(sleep, formula, X, groups, said):
    data = sleep[["Days", "Subject"]] if X is None else sleep[[X]]
    labels = sleep[groups] if isinstance(groups, str) else groups
    with pytest.raises(ValueError, match=r".") as caught:
        lmmkit.LMMRegressor(formula).fit(data, sleep["Reaction"], groups=labels)
    assert said in str(caught.value)


def test_text_and_categories_are_factors_of_a_formula():
    data = table("cake").astype({"recipe": "category"})
    model = lmmkit.LMMRegressor("recipe * temp + (1 | recipe:replicate)").fit(data, data["angle"])
    assert "recipe[T.B]" in model.fit_.params.index
    assert isinstance(model.predict(pd.DataFrame(data.iloc[:3])), np.ndarray)


def small():
    return pd.DataFrame({"a": np.arange(6.0), "b": np.arange(6.0) * 2, "c": [0.0, 1, 0, 1, 1, 0]}), [
        1.0,
        3,
        2,
        5,
        4,
        7,
    ]


def test_a_column_that_follows_from_others_has_the_coefficient_zero():
    X, y = small()
    model = lmmkit.LMMRegressor().fit(X, y)
    theirs = LinearRegression().fit(X[["a", "c"]], y)
    assert model.coef_.tolist() == pytest.approx([theirs.coef_[0], 0.0, theirs.coef_[1]])
    assert model.intercept_ == pytest.approx(theirs.intercept_)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda X, y: lmmkit.LMMRegressor().fit(X, y, sample_weight=[0] * 6),
         "sample_weight: every weight is zero, so that no row is left."),
        (lambda X, y: lmmkit.LMMRegressor().fit(X, y, sample_weight=[1, 2]),
         "sample_weight: 6 numbers are expected, not the shape (2,)."),
        (lambda X, y: lmmkit.LMMRegressor().fit(X, y, sample_weight=[-1, 1, 1, 1, 1, 1]),
         "sample_weight: numbers from 0 up are expected."),
        (lambda X, y: lmmkit.LMMRegressor().fit(X, y, sample_weight=[np.inf, 1, 1, 1, 1, 1]),
         "sample_weight: numbers from 0 up are expected."),
        (lambda X, y: lmmkit.LMMRegressor().fit(X.assign(y=1.0), y),
         "A column of X is called `y`, the name of the response; rename it."),
        (lambda X, y: lmmkit.LMMRegressor(level="x").fit(X, y).predict(X),
         "level='x': 'group' or 'population' is expected."),
        (lambda X, y: lmmkit.LMMRegressor("a + t").fit(X.assign(t="u"), y[:5]), "X has 6 rows, and y 5."),
        (lambda X, y: lmmkit.LMMRegressor().fit(X, None),
         "LMMRegressor requires y to be passed, but the target y is None."),
    ],
)  # fmt: skip
def test_what_is_given_wrongly_is_said(ask, said):
    with pytest.raises(ValueError, match=r".") as caught:
        ask(*small())
    assert str(caught.value) == said


def test_rows_of_weight_zero_are_left_out_with_their_groups(sleep):
    X, y, groups = sleep[["Days"]], sleep["Reaction"], sleep["Subject"]
    weights = 1.0 + np.arange(len(y)) % 2
    weights[:10] = 0.0  # a subject, who is new to the fit
    model = lmmkit.LMMRegressor().fit(X, y, groups=groups, sample_weight=weights)
    fit = lmmkit.lmm("Reaction ~ Days + (1 | Subject)", sleep[10:].assign(w=weights[10:]), weights="w")
    assert model.fit_.deviance == pytest.approx(fit.deviance)
    assert model.fit_.ngroups == {"groups": 17}
    assert np.allclose(
        model.predict(X, groups)[:10], fit.predict(sleep[:10], level="population", se=False)["fit"]
    )


def test_predictions_of_the_population_have_no_effects_of_groups(sleep):
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    model = lmmkit.LMMRegressor("Days + (1 | Subject)", level="population").fit(X, y)
    assert np.allclose(model.predict(X), model.fit_.predict(level="population", se=False)["fit"])


@pytest.mark.parametrize(("formula", "allowed"), [(None, False), ("Days + (1 | Subject)", True)])
def test_text_is_taken_with_a_formula_alone(formula, allowed):
    tags = lmmkit.LMMRegressor(formula).__sklearn_tags__().input_tags
    assert (tags.string, tags.categorical) == (allowed, allowed)
