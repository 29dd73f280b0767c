"""Shares of variance by grouping factor and by fixed term, against R's performance and refits."""

from __future__ import annotations

import numpy as np
import pytest
from support.verbs import R, fitted, of_r, table

import lmmkit
from lmmkit.errors import FitError


@pytest.mark.parametrize("name", ["penicillin", "cake", "machines"])
def test_icc_by_group_as_performance(name):
    theirs = of_r(name, "icc_group").set_index("Group")["ICC"]
    assert np.allclose(fitted(name).icc(by_group=True)["estimate"].reindex(theirs.index), theirs, rtol=1e-6)


@pytest.mark.parametrize("name", ["sleep", "penicillin", "cake", "machines"])
def test_shares_add_up_to_r2_and_icc_of_performance(name):
    shares = fitted(name).variance_shares()["estimate"]
    assert shares.sum() == pytest.approx(1.0)
    random = shares.drop(["fixed", "Residual"]).sum()
    assert random == pytest.approx(R[name]["icc"]["ICC_conditional"], rel=1e-6)
    conditional, marginal = R[name]["r2"]
    assert shares["fixed"] == pytest.approx(marginal, rel=1e-6, abs=1e-12)
    assert 1.0 - shares["Residual"] == pytest.approx(conditional, rel=1e-6)


def test_bounds_come_from_the_bootstrap():
    found = fitted("machines").icc(n=50, seed=1, by_group=True)
    assert (found["low"] < found["estimate"]).all()
    assert (found["estimate"] < found["high"]).all()


def test_part_r2_is_the_difference_of_refits():
    data = table("cake")
    fit = lmmkit.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", data)
    found = fit.part_r2()
    for term, formula in (("recipe", "angle ~ temp"), ("temp", "angle ~ recipe")):
        less = lmmkit.lmm(f"{formula} + (1 | recipe:replicate)", data).r2().loc["marginal", "estimate"]
        whole = fit.r2().loc["marginal", "estimate"]
        assert found.loc[term, "part"] == pytest.approx(whole - less, rel=1e-6)
        assert found.loc[term, "partial"] == pytest.approx((whole - less) / (1 - less), rel=1e-6)
    with pytest.raises(FitError, match="did you mean `recipe`"):
        fit.part_r2("recip")
    with pytest.raises(FitError, match="by_group='Subject' is not known"):
        fit.icc(by_group="Subject")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda fit: fit.r2(), {
            "marginal": "variance of the fixed effects over the total (Nakagawa & Schielzeth 2013)",
            "conditional": "variance of the fixed and random effects over the total (Johnson 2014)",
        }),
        (lambda fit: fit.icc(), {
            "adjusted": "variance of the random effects over that which the fixed effects leave",
            "unadjusted": "variance of the random effects over the total",
        }),
        (lambda fit: fit.icc(by_group=True), {
            "replicate": "variance of replicate, over that which the fixed effects leave",
        }),
        (lambda fit: fit.variance_shares(), {
            "fixed": "variance of fixed over the total", "replicate": "variance of replicate over the total",
            "Residual": "variance of Residual over the total",
        }),
        (lambda fit: fit.effect_sizes(), dict.fromkeys(
            ("Intercept", "temp"), "beta / sqrt(variance of the random effects + residual variance)")),
    ],
)  # fmt: skip
def test_every_share_says_what_it_is(ask, said):
    found = ask(lmmkit.lmm("angle ~ temp + (1 | replicate)", table("cake")))
    assert found.attrs["definition"] == said
    assert found.index.tolist() == list(said)


def test_without_random_effects_there_is_the_marginal_share_alone():
    fit = lmmkit.lmm("angle ~ temp", table("cake"), residual="ident(recipe)")
    assert fit.r2().index.tolist() == ["marginal"]
    with pytest.raises(FitError, match="a share of the variance of random effects, and this model has none"):
        fit.icc()
