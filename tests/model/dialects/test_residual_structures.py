"""The verbs of a model whose residuals are correlated, and that has no random effects."""

from __future__ import annotations

import numpy as np
import pytest
from support.verbs import table

import lmmkit
from lmmkit.errors import FitError


@pytest.fixture(scope="module")
def fit():
    data = table("Orthodont").assign(half=lambda t: t["age"] < 11)
    return lmmkit.lmm("distance ~ age * Sex", data, residual="cs(age | Subject)")


def test_terms_are_left_out_under_the_same_structure(fit):
    found = fit.drop1(test="lrt")
    less = fit.update("~ . - age:Sex", reml=False)
    assert found.loc["age:Sex", "deviance"] == pytest.approx(less.deviance, abs=1e-7)
    assert found.loc["age:Sex", "p"] == pytest.approx(lmmkit.compare(less, fit)["p"].iloc[1], rel=1e-6)
    f_test = fit.drop1().loc["age:Sex"]
    wanted = fit.anova().loc["age:Sex"]
    assert f_test[["stat", "p"]].tolist() == pytest.approx(wanted[["F", "p"]].tolist(), rel=1e-9)
    assert fit.part_r2().loc["age:Sex", "part"] > 0


def test_what_needs_random_effects_is_refused_in_words(fit):
    for ask in (fit.ranova, fit.ranef_table, fit.icc, lambda: fit.estimate(random={"Subject": {"M01": 1}})):
        with pytest.raises(FitError, match=r"no(ne| random)"):
            ask()


def test_the_rest_says_what_the_random_intercept_says(fit):
    other = lmmkit.lmm("distance ~ age * Sex + (1 | Subject)", table("Orthodont"))
    assert np.allclose(fit.pvalues, other.pvalues, rtol=1e-6)
    assert np.allclose(fit.conf_int(alpha=0.1), other.conf_int(alpha=0.1), rtol=1e-6)
    assert float(fit.f_test(["age", "age:Sex[T.Male]"]).pvalue) == pytest.approx(
        float(other.f_test(["age", "age:Sex[T.Male]"]).pvalue), rel=1e-6
    )
    alone = fit.estimate("Intercept + 10 * age")
    assert np.allclose(
        alone[["estimate", "se", "df"]], other.estimate("Intercept + 10 * age")[["estimate", "se", "df"]]
    )
    assert fit.glance()["logLik"].iloc[0] == pytest.approx(other.llf, abs=1e-6)
    assert fit.augment()[".hat"].between(0.0, 1.0).all()
    shown = lmmkit.table(fit, other)
    assert "ICC, adjusted" in shown
    assert fit.tidy(method="wald").query("effect == 'ran_pars'")["group"].unique().tolist() == ["Residual"]
