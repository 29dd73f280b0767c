"""Unbalanced designs against lmerTest, pbkrtest and emmeans: weights, an empty cell, a singular fit."""

from __future__ import annotations

import numpy as np
import pytest
from reference.unbalanced import UNBALANCED, by_position, numbers, unbalanced

METHODS = {"satterthwaite": "Satterthwaite", "kenward-roger": "Kenward-Roger"}
TABLES = [
    (n, ours, theirs) for n, case in UNBALANCED.items() for ours, theirs in METHODS.items() if theirs in case
]
MEANS = [(n, weights) for n, case in UNBALANCED.items() for weights in case["means"][1:]]


@pytest.mark.parametrize(("number", "method", "theirs"), TABLES)
def test_coefficients(number, method, theirs):
    known, ours = UNBALANCED[number][theirs]["coef"], unbalanced(number).coef_table(method)
    np.testing.assert_allclose(ours["se"], known["se"], rtol=1e-6)
    np.testing.assert_allclose(ours["df"], known["df"], rtol=1e-5)


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize(("number", "method", "theirs"), TABLES)
def test_analysis_of_variance(number, method, theirs, kind):
    known, ours = UNBALANCED[number][theirs][f"anova{kind}"], unbalanced(number).anova(kind, method)
    for column in ("num_df", "den_df", "F"):
        np.testing.assert_allclose(by_position(ours, column), known[column], rtol=1e-5)


@pytest.mark.parametrize(("number", "weights"), MEANS)
def test_marginal_means(number, weights):
    known = UNBALANCED[number][f"means_{weights}"]
    ours = unbalanced(number).marginal_means(
        UNBALANCED[number]["means"][0], df="satterthwaite", weights=weights
    )
    columns = {"mean": "emmean", "se": "SE", "df": "df", "low": "lower.CL", "high": "upper.CL"}
    for column, theirs in columns.items():
        np.testing.assert_allclose(ours[column], numbers(known[theirs]), rtol=1e-5)


@pytest.mark.parametrize("adjust", ["tukey", "holm", "bonferroni", "sidak", "none"])
@pytest.mark.parametrize(("number", "weights"), MEANS)
def test_adjusted_pairs(number, weights, adjust):
    known = UNBALANCED[number][f"{weights}_{adjust}"]
    means = unbalanced(number).marginal_means(
        UNBALANCED[number]["means"][0], df="satterthwaite", weights=weights
    )
    ours = means.pairs(adjust)
    assert ours.index.tolist() == known["contrast"]
    for column, theirs in {"estimate": "estimate", "se": "SE", "low": "lower.CL", "high": "upper.CL"}.items():
        np.testing.assert_allclose(ours[column], numbers(known[theirs]), rtol=1e-5)
    # emmeans rounds the degrees of freedom of Tukey's p where a difference cannot be estimated
    rough = adjust == "tukey" and np.isnan(ours["p"]).any()
    np.testing.assert_allclose(ours["p"], numbers(known["p.value"]), rtol=2e-3 if rough else 1e-5)


def test_slopes():
    known, ours = UNBALANCED[2]["slopes"], unbalanced(2).slopes("x", "a", df="satterthwaite")
    for column, theirs in {"slope": "x.trend", "se": "SE", "df": "df"}.items():
        np.testing.assert_allclose(ours[column], known[theirs], rtol=1e-5)
