"""Degrees of freedom as R's nlme 3.1-162 prints them (R 4.2.2, `summary(lme(...))$tTable` and `anova`)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.cases import DATA

import lmmkit


def pastes():
    """Pastes with a column for each stratum: z between batches, v between samples, w within them."""
    frame = pd.read_csv(DATA / "Pastes.csv")

    def number(column):
        return pd.Categorical(frame[column], categories=sorted(frame[column].unique())).codes + 1

    return frame.assign(z=number("batch") % 2, v=number("sample") % 3, w=np.arange(1, len(frame) + 1) % 7)


CASES = [  # formula, by coefficient, by term
    ("strength ~ z + v + w + (1 | batch/sample)", [29, 8, 19, 29], [8, 19, 29]),
    ("strength ~ 0 + C(z) + v + (1 | batch/sample)", [8, 8, 20], [8, 20]),
    ("strength ~ C(v) * w + (1 | batch/sample)", [27, 18, 18, 27, 27, 27], [18, 27, 27]),
]


@pytest.mark.parametrize(("formula", "coefficients", "terms"), CASES)
def test_two_nested_factors(formula, coefficients, terms):
    fit = lmmkit.lmm(formula, pastes())
    table = fit.coef_table("inner-outer")
    assert table["df"].tolist() == coefficients
    assert set(table["method"]) == {"inner-outer"}
    assert fit.anova(1, "inner-outer")["den_df"].tolist() == terms


@pytest.fixture(scope="module")
def orthodont():
    frame = pd.read_csv(DATA / "Orthodont.csv")
    return lmmkit.lmm("distance ~ age * Sex + (1 | Subject)", frame)


def test_growth_of_two_sexes(orthodont):
    assert orthodont.coef_table("inner-outer")["df"].tolist() == [79, 79, 25, 79]
    assert orthodont.anova(1, "inner-outer")["den_df"].tolist() == [79, 25, 79]


def test_containment_says_where_it_goes_by_names(orthodont):
    table = orthodont.coef_table("containment")
    assert table["df"].tolist() == [25, 79, 79, 79]
    assert all("Sex[T.Male] (25 for 79)" in method for method in table["method"])
    named = lmmkit.lmm("distance ~ age + (age | Subject)", orthodont.design.frame)
    assert set(named.coef_table("containment")["method"]) == {"containment"}


def test_a_combination_has_the_least_of_its_coefficients(orthodont):
    found = orthodont.contrast("Sex[T.Male] + 10 * age:Sex[T.Male]", df="inner-outer")
    assert found["df"].tolist() == [25]


def test_crossed_factors_have_no_strata():
    fit = lmmkit.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", pd.read_csv(DATA / "Penicillin.csv"))
    with pytest.raises(lmmkit.FitError, match=r"sample and plate are crossed.*kenward-roger"):
        fit.coef_table("inner-outer")
    assert set(fit.coef_table("containment")["method"]) == {"containment"}
