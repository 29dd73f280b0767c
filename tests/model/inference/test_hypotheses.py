"""Hypotheses of the three types: independent of the coding, and what they claim to test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.cases import fitted, table
from reference.unbalanced import DATA, unbalanced

import lmmkit
from lmmkit.model.inference.anova import hypotheses
from lmmkit.model.inference.degrees_of_freedom import wald

CODINGS = ["sum", "helmert", "poly", "sas", "diff"]


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("number", [3, 19])  # three factors; an empty cell
def test_the_coding_does_not_matter(number, coding, kind):
    plain = unbalanced(number)
    factors = [name for name in ("a", "b", "c2") if name in plain.formula]
    frame = pd.read_csv(DATA / f"unbalanced_{number}.csv")
    fit = lmmkit.lmm(plain.formula, frame, contrasts=dict.fromkeys(factors, coding))
    ours, known = fit.anova(kind, "satterthwaite"), plain.anova(kind, "satterthwaite")
    pd.testing.assert_frame_equal(ours, known, rtol=1e-6)


def test_type_3_of_a_main_effect_compares_equally_weighted_means():
    fit = unbalanced(3)
    means = fit.marginal_means("b", df="residual")
    L = np.array([[1.0, -1, 0], [0, 1, -1]]) @ means.family.L
    by_means = wald(L, fit.estimates.beta, fit.estimates.covariance_of_beta)
    assert fit.anova(3, "residual").loc["b", "F"] == pytest.approx(by_means, rel=1e-9)


def test_type_1_is_a_chain_of_least_squares():
    fit = unbalanced(1)
    stated = hypotheses(fit.estimates)
    X = np.stack([fit.design.problem.columns[i] for i in fit.design.problem.fixed], axis=1)
    columns = [list(term.columns) for term in fit.design.fixed_terms]
    before = columns[0]
    for term in range(1, len(columns)):
        own = before + columns[term]
        gain = X.T @ (projection(X[:, own]) - projection(X[:, before])) @ X
        L = stated.rows(term, 1)
        assert np.linalg.matrix_rank(np.vstack([gain / np.abs(gain).max(), L])) == len(L)
        before = own


def projection(X):
    Q = np.linalg.qr(X)[0]
    return Q @ Q.T


def test_types_agree_on_balanced_data():
    tables = [fitted("cake_factor", "REML").anova(kind) for kind in (1, 2, 3)]
    pd.testing.assert_frame_equal(tables[0], tables[2], rtol=1e-6)
    pd.testing.assert_frame_equal(tables[1], tables[2], rtol=1e-6)


def test_a_covariate_is_contained_in_its_product_with_a_factor():
    fit = fitted("orthodont_slope", "REML")
    L = hypotheses(fit.estimates).rows(1, 3)
    np.testing.assert_allclose(L, [[0, 1, 0, 0.5]], atol=1e-12)


def test_an_aliased_term_has_no_hypothesis():
    frame = table("sleep_full").assign(twice=lambda d: 2 * d["Days"])
    fit = lmmkit.lmm("Reaction ~ Days + twice + (1 | Subject)", frame)
    found = fit.anova()
    assert found.loc["twice", "num_df"] == 0
    assert np.isnan(found.loc["twice", ["F", "p"]].to_numpy(float)).all()
    assert found.loc["twice", "method"] == "no test: the data can estimate nothing of it"
    assert found.loc["Days", "F"] == pytest.approx(fitted("sleep_int", "REML").anova()["F"].iloc[0], rel=1e-9)


def test_without_an_intercept_all_levels_are_tested():
    frame = pd.read_csv(DATA / "unbalanced_1.csv")
    fit = lmmkit.lmm("y ~ 0 + a + (1 | g)", frame)
    assert fit.anova(3, "residual").loc["a", "num_df"] == 3
    assert unbalanced(1).anova(3, "residual").loc["a", "num_df"] == 2


@pytest.mark.parametrize("kind", [0, 4, "3", None, True, 2.5])
def test_other_types_are_refused(kind):
    with pytest.raises(lmmkit.FitError, match="Choose 1"):
        fitted("sleep_int", "REML").anova(kind)


def test_a_factor_confounded_with_another_cannot_be_tested():
    frame = pd.read_csv(DATA / "unbalanced_1.csv").assign(
        kind=lambda d: np.where(d["h"] < "h3", "old", "new")
    )
    found = lmmkit.lmm("y ~ kind + h + (1 | g)", frame).anova(3, "residual")
    assert found["num_df"].tolist()[0] == 0
    assert found.loc["h", "num_df"] > 0
