"""Priors by name: the defaults of every kind of parameter, which key is taken, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from model.posterior.test_drawing import fitted, table

import lmmkit
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError
from lmmkit.model.posterior.prior_words import default_scale, model_priors

SD = "half_student_t(3, 0, 2.5)"


def told(fit, asked=None):
    """The prior of each parameter as it is written, and whether it is lmmkit's own."""
    fit = fitted(fit) if isinstance(fit, str) else fit
    bases = set_up(fit.estimates.problem, reml=True).prepared.term_bases
    return {
        each.parameter: (each.prior.text, each.default)
        for each in model_priors(fit.estimates, asked, bases).named
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("slopes", {"x": "flat", "g.sd.Intercept": SD, "g.cor.x.Intercept": "lkj(1)", "Residual.sd": SD}),
        ("cs", {"g.sd.f[f1]": SD, "g.rho": "uniform(-0.5, 1)"}),
        ("toep", {"g.rho.1": "uniform(-1, 1)", "g.rho.2": "uniform(-1, 1)"}),
        ("ou", {"g.sd": SD, "g.range": f"lognormal({np.log(3.0):.12g}, 1)"}),
        ("car1", {"range": "lognormal(0.0110019504083, 1)"}),  # the log of the median gap between visits
        ("un", {"ratio.f1": "lognormal(0, 1)", "cor.f0.f2": "lkj(1)"}),
        ("ar1 of residuals", {"rho": "uniform(-1, 1)"}),
        ("power", {"power": "normal(0, 1)", "Intercept": "flat"}),
    ],
)
def test_parameters_have_their_default_priors(name, expected):
    found = told(name)
    assert {key: found[key] for key in expected} == {key: (text, True) for key, text in expected.items()}


def test_an_exponent_is_told_in_units_of_the_covariate_and_a_nugget_is_a_share():
    found = told(lmmkit.lmm("y ~ x", table(), residual="exp(v)"))
    assert found["exp"][0] == f"normal(0, {1 / table()['v'].std(ddof=0):.2g})"
    rng = np.random.default_rng(0)
    fading = rng.normal(size=(14, 8))
    for step in range(1, 8):
        fading[:, step] = 0.8 * fading[:, step - 1] + 0.6 * fading[:, step]
    frame = table().assign(y=2 * fading.ravel() + rng.normal(size=112))
    fit = lmmkit.lmm("y ~ x", frame, residual="car1(time | g, nugget=TRUE)")
    assert told(fit)["nugget"][0] == "beta(1, 1)"
    with pytest.raises(FitError, match=r"a share is between 0 and 1; write beta\(1, 1\)"):
        told(fit, {"nugget": "flat"})


def test_the_most_specific_key_is_taken():
    asked = {"sd": "half_normal(1)", "g.sd": "half_normal(2)", "g.sd.x": "half_normal(3)"}
    found = told("crossed", asked)
    assert found["g.sd.x"] == ("half_normal(0, 3)", False)
    assert found["g.sd.Intercept"] == ("half_normal(0, 2)", False)
    assert found["h.sd.Intercept"] == ("half_normal(0, 1)", False)
    assert found["Residual.sd"] == (SD, True)
    assert told("slopes", {"sigma": "normal(0, 4)"})["Residual.sd"] == ("half_normal(0, 4)", False)
    both = told("slopes", {"g.sd": "cauchy(0, 2)", "g.cor": "lkj(2)"})
    assert both["g.cor.x.Intercept"] == ("lkj(2)", False)
    assert both["g.sd.x"] == ("half_cauchy(0, 2)", False)


def test_the_prior_of_sigma_is_not_that_of_ratios_of_standard_deviations():
    found = told("ident", {"Residual.sd": "half_normal(5)"})
    assert found["Residual.sd"] == ("half_normal(0, 5)", False)
    assert found["ratio.f1"] == ("lognormal(0, 1)", True)
    assert told("un", {"Residual.cor": "lkj(3)"})["cor.f0.f1"] == ("lkj(3)", False)


def test_a_range_is_never_negative():
    assert told("car1", {"range": "normal(0, 3)"})["range"] == ("half_normal(0, 3)", False)


def test_all_coefficients_but_the_intercept_share_a_prior_and_it_enters_by_its_precision():
    found = told("crossed", {"beta": "normal(1, 2)"})
    assert found["Intercept"] == ("flat", True)
    assert found["f[T.f1]"] == found["f[T.f2]"] == ("normal(1, 2)", False)
    estimates = fitted("crossed").estimates
    bases = set_up(estimates.problem, reml=True).prepared.term_bases
    effects = model_priors(estimates, {"beta": "normal(1, 2)"}, bases).effects
    assert effects.mean.tolist() == [0.0, 1.0, 1.0]
    assert effects.precision.tolist() == [0.0, 0.25, 0.25]


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("slopes", {"g.sd": "uniform(-0.001, 3)"}, r"g\.sd\.Intercept: uniform\(-0.001, 3\) reaches below 0"),
        (
            "three",
            {"g.cor.f[f1].f[f0]": "lkj(2)"},
            r"g\.cor: the correlations of a matrix have one prior, not 2",
        ),
        ("cs", {"g.rho": "lkj(1)"}, r"of those alone\. The default is uniform\(-0.5, 1\)\."),
        ("slopes", {"x": "cauchy(0, 1)"}, r"priors: x: cauchy\(0, 1\); the coefficients are integrated out"),
        ("slopes", {"g.sd.z": "flat"}, r"It has: Intercept, x, g\.sd\.Intercept, .* stand for all of a kind"),
    ],
)
def test_a_prior_that_its_parameter_cannot_have_is_refused(name, asked, said):
    with pytest.raises(FitError, match=said):
        told(name, asked)


@pytest.mark.parametrize(
    ("response", "scale"),
    [([0.0, 10.0, 20.0, 30.0, 40.0], 14.8), ([0.0, 1.0, 2.0, 3.0, 40.0], 2.5), ([0, 1.8, 3.6], 2.7)],
)
def test_the_default_scale_is_that_of_brms(response, scale):
    assert default_scale(np.array(response)) == scale
