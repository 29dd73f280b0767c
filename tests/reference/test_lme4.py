"""Every reference model, REML and ML, against its truth: 100-digit arithmetic where it is known, else lme4.

What is asserted is the tolerance to accept; the tolerance to aim at is recorded beside what was reached.
"""

from __future__ import annotations

import numpy as np
import pytest
from reference.cases import CASES, SMALL, aligned, facts, fitted, r_names, stacked, truth

pytestmark = pytest.mark.parametrize(("name", "criterion"), CASES)


def allowed(name, criterion, quantity):
    """Tolerance of a quantity: its kind, its size, and the size aimed at."""
    given = facts(name)[criterion]["tolerance"][quantity]
    kind = next(kind for kind in ("abs", "rel", "in_units_of_se") if kind in given)
    return kind, given[kind], given.get("aim", given[kind])


def assert_near(record_property, name, criterion, quantity, error):
    """The error within its tolerance, and both on record."""
    _, accept, aim = allowed(name, criterion, quantity)
    record_property(f"{quantity}: error, aim", (float(error), aim))
    assert error <= accept


def test_deviance_is_the_minimum(name, criterion, record_property):
    error = abs(fitted(name, criterion).deviance - truth(name, criterion)["deviance"])
    assert_near(record_property, name, criterion, "deviance", error)


def test_fixed_effects(name, criterion, record_property):
    known = truth(name, criterion)
    found = aligned(name, criterion, fitted(name, criterion).params)
    error = np.abs((found - known["fixef"]) / known["se"]).max()
    assert_near(record_property, name, criterion, "fixef", error)


def test_standard_errors(name, criterion, record_property):
    found = aligned(name, criterion, fitted(name, criterion).bse)
    error = np.abs(found / truth(name, criterion)["se"] - 1).max()
    assert_near(record_property, name, criterion, "se", error)


def test_covariance_matrix_of_the_fixed_effects(name, criterion, record_property):
    fit, known = fitted(name, criterion), np.array(truth(name, criterion)["vcov_beta"])
    order = [r_names(fit.params.index).index(n) for n in facts(name)[criterion]["fixef"]]
    found = fit.cov_params().to_numpy()[np.ix_(order, order)]
    scale = np.sqrt(np.outer(np.diag(known), np.diag(known)))
    error = np.abs((found - known) / scale).max() / 2  # a variance moves twice as far as its root
    assert_near(record_property, name, criterion, "se", error)


def test_sigma(name, criterion, record_property):
    error = abs(fitted(name, criterion).sigma / truth(name, criterion)["sigma"] - 1)
    assert_near(record_property, name, criterion, "sigma", error)


def test_theta_and_its_names(name, criterion, record_property):
    fit, known = fitted(name, criterion), facts(name)[criterion]
    assert [n.replace(".1.", ".") for n in r_names(fit.theta.index)] == list(known["theta"])
    difference = np.abs(fit.theta.to_numpy() - truth(name, criterion)["theta"])
    units = known["tolerance"]["theta"].get("se", 1.0)
    assert_near(record_property, name, criterion, "theta", (difference / units).max())


def test_variances_and_covariances(name, criterion, record_property):
    fit, errors = fitted(name, criterion), []
    for block in truth(name, criterion)["varcorr"]:
        known = np.array(block["cov"])
        scale = np.sqrt(np.outer(np.diag(known), np.diag(known)))
        term = next(t for t, r in enumerate(fit.design.random) if r.group == block["group"])
        assert r_names(fit.design.random[term].names) == block["terms"]
        difference = np.abs(fit.estimates.covariance(term) - known)
        errors.append(np.where(scale > 0, difference / np.where(scale > 0, scale, 1), difference).max())
    assert_near(record_property, name, criterion, "varcorr", max(errors))


def test_criteria_and_counts(name, criterion):
    fit, known = fitted(name, criterion), truth(name, criterion)
    assert fit.llf == pytest.approx(known["logLik"], abs=1e-6)
    assert fit.aic == pytest.approx(known["AIC"], abs=1e-6)
    assert fit.bic == pytest.approx(known["BIC"], abs=1e-6)
    assert (fit.npar, fit.nobs, fit.df_model) == (known["df"], known["n"], known["p"])
    assert fit.ngroups == known["ngrps"]


def test_singular_fits_are_named_and_no_others(name, criterion):
    singular = facts(name)["truly_singular"]
    assert fitted(name, criterion).is_singular == (bool(singular) and singular[criterion])


def test_search_converges_and_the_certificate_holds(name, criterion):
    fit = fitted(name, criterion)
    assert fit.converged
    assert fit.certificate.passed
    assert fit.certificate.digits >= 6


def test_fitted_values_and_residuals(name, criterion):
    fit, known = fitted(name, criterion), facts(name)[criterion]
    size = np.abs(known["fitted_head"]).max()
    np.testing.assert_allclose(fit.fittedvalues[:10], known["fitted_head"], rtol=0, atol=1e-6 * size)
    np.testing.assert_allclose(fit.resid[:10], known["resid_head"], rtol=0, atol=1e-6 * size)
    assert np.sum(fit.fittedvalues**2) == pytest.approx(known["fitted_sumsq"], rel=1e-6)
    assert np.sum(fit.resid**2) == pytest.approx(known["resid_sumsq"], rel=1e-5)


def test_random_effects(name, criterion):
    known = truth(name, criterion)
    if "b" not in known:
        pytest.skip("no random effects on record")
    fit = fitted(name, criterion)
    sd = fit.varcorr.sdcor[fit.varcorr.var2.isna()].max()
    np.testing.assert_allclose(stacked(fit.estimates.b), known["b"], rtol=0, atol=1e-6 * sd)


def test_random_effects_by_name_and_their_conditional_sd(name, criterion):
    if (name, criterion) not in SMALL:
        pytest.skip("random effects of small models only")
    fit = fitted(name, criterion)
    for block in facts(name)[criterion]["ranef"]:
        effects, errors = fit.ranef[block["group"]], fit.ranef_se[block["group"]]
        known = np.array(block["modes"])
        assert set(effects.index) == set(block["levels"])
        effects, errors = effects.loc[block["levels"]], errors.loc[block["levels"]]
        np.testing.assert_allclose(effects, known, rtol=0, atol=1e-6 * np.abs(known).max())
        if block["cond_var"] is not None:
            variances = np.array(block["cond_var"]).reshape(len(known), known.shape[1], known.shape[1])
            known_sd = np.sqrt(np.diagonal(variances, axis1=1, axis2=2))
            np.testing.assert_allclose(errors, known_sd, rtol=1e-5, atol=1e-12)
