"""The test of what is looked at: of one row t, of several F, of none nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.model.inference.degrees_of_freedom import denominators
from lmmkit.model.influence.without_unit import focus_test, p_of, refit


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(6), 5)
    data = pd.DataFrame({"g": [f"g{i}" for i in g], "x": np.tile(np.arange(5.0), 6), "h": list("uvw") * 10})
    return lmm(
        "y ~ x + h + (1 | g)", data.assign(y=0.2 * data["x"] + rng.normal(size=6)[g] + rng.normal(size=30))
    )


@pytest.mark.parametrize(
    ("estimate", "se", "df", "p"),
    [
        (2.228139, 1.0, 10.0, 0.05),
        (-1.0, 0.5, 10.0, 0.073388),
        (1.959964, 1.0, np.inf, 0.05),
        (0.0, 1.0, 3.0, 1.0),
    ],
)
def test_p_is_two_sided(estimate, se, df, p):
    assert p_of(estimate, se, df) == pytest.approx(p, rel=1e-5)


@pytest.mark.parametrize("se", [0.0, np.nan])
def test_without_a_standard_error_there_is_no_p(se):
    assert np.isnan(p_of(1.0, se, 5.0))


@pytest.mark.parametrize("df", ["kenward-roger", "satterthwaite"])
def test_one_row_has_the_test_of_its_coefficient_and_several_that_of_their_term(fit, df):
    by = denominators(fit.estimates, df)
    own = fit.coef_table(df=df).loc["x"]
    assert focus_test(fit.estimates, np.eye(4)[[1]], by) == pytest.approx(
        own[["estimate", "se", "df", "p"]].tolist()
    )
    term, found = fit.anova(type=3, df=df).loc["h"], focus_test(fit.estimates, np.eye(4)[2:], by)
    assert [found.df, found.p] == pytest.approx(term[["den_df", "p"]].tolist())
    assert np.isnan(found[:2]).all()
    assert np.isnan(focus_test(fit.estimates, np.zeros((0, 4)), by)).all()


def test_a_refit_may_take_over_degrees_of_freedom_with_plain_standard_errors(fit):
    keep = np.arange(30) >= 5
    for L, known, df in ((np.eye(4)[[1]], 7.0, "kenward-roger"), (np.eye(4)[2:], 7.0, "satterthwaite")):
        found = refit(fit.estimates, keep, L, df, known)
        if len(L) == 1:
            estimate, se = found.beta[1], np.sqrt(found.vcov[1, 1])
            assert found.test == pytest.approx((estimate, se, 7.0, p_of(estimate, se, 7.0)))
        else:  # an F test has its own
            assert found.test.df != 7.0
            assert np.isnan(found.test.estimate)
    searched = refit(fit.estimates, keep, np.eye(4)[[1]], "kenward-roger", None).test
    assert searched.df != 7.0
    assert searched.se > np.sqrt(found.vcov[1, 1])  # adjusted
