"""Models with correlated residuals and no random effects, against 100-digit and 60-digit arithmetic."""

from __future__ import annotations

import functools
import json

import numpy as np
import pandas as pd
import pytest
from reference.cases import HERE, r_names

import lmmkit

FOLDER = HERE / "residual"
FACTORS = {"Subject": str, "Sex": str, "ageF": str, "Rat": str, "Diet": str}
GLS = json.loads((FOLDER / "gls.json").read_text(encoding="utf-8"))
SOLVED = json.loads((FOLDER / "solved.json").read_text(encoding="utf-8"))
CRITERIA = ["REML", "ML"]
gls = pytest.mark.parametrize(("name", "criterion"), [(name, c) for name in GLS for c in CRITERIA])
solved = pytest.mark.parametrize(("name", "criterion"), [(name, c) for name in SOLVED for c in CRITERIA])


@functools.cache
def fitted(name, criterion):
    known = GLS[name]
    frame = pd.read_csv(FOLDER / known["data"], dtype=FACTORS)
    return lmmkit.lmm(known["formula"], frame, residual=known["residual"], reml=criterion == "REML")


@gls
def test_deviance_is_the_minimum(name, criterion):
    # aimed at 1e-10; the largest, of 1152, is accurate to some 5e-13
    assert fitted(name, criterion).deviance == pytest.approx(GLS[name][criterion]["deviance"], abs=1e-10)


@gls
def test_fixed_effects_sigma_and_standard_errors(name, criterion):
    fit, known = fitted(name, criterion), GLS[name][criterion]
    order = [r_names(fit.params.index).index(coefficient) for coefficient in known["coefficients"]]
    tolerance = known["tolerance"]
    np.testing.assert_allclose(fit.params.to_numpy()[order], known["fixef"], rtol=tolerance["fixef"]["rel"])
    np.testing.assert_allclose(fit.bse.to_numpy()[order], known["se"], rtol=tolerance["se"]["rel"])
    assert fit.sigma == pytest.approx(known["sigma"], rel=tolerance["se"]["rel"])
    vcov, scale = fit.cov_params().to_numpy()[np.ix_(order, order)], np.outer(known["se"], known["se"])
    np.testing.assert_allclose(vcov / scale, known["vcov_beta"] / scale, rtol=0, atol=1e-6)


@gls
def test_parameters_by_name(name, criterion):
    fit, known = fitted(name, criterion), GLS[name][criterion]
    rel = known["tolerance"]["parameters"]["rel"]
    found = fit.residual_params
    assert set(found.index) == set(GLS[name]["names"])
    np.testing.assert_allclose(found.loc[GLS[name]["names"]], known["parameters"], rtol=rel)


@gls
def test_counts_and_criteria(name, criterion):
    fit, known = fitted(name, criterion), GLS[name][criterion]
    assert (fit.npar, fit.nobs) == (known["df"], known["n"])
    assert fit.aic == pytest.approx(known["deviance"] + 2 * known["df"], abs=1e-9)
    assert fit.bic == pytest.approx(known["deviance"] + known["df"] * np.log(known["n"]), abs=1e-9)


@gls
def test_certificate_holds(name, criterion):
    certificate = fitted(name, criterion).certify(full=True)
    assert certificate.passed, str(certificate)
    assert certificate.digits >= 6


@functools.cache
def of_our_own(name, criterion):
    known = SOLVED[name]
    frame = pd.read_csv(FOLDER / "OrthodontB.csv", dtype=FACTORS)
    since = frame["Subject"].map(dict(known["left_out"])).fillna(4)
    frame = frame[frame["ageF"].map({"a08": 0, "a10": 1, "a12": 2, "a14": 3}) < since]
    return lmmkit.lmm(known["formula"], frame, residual=known["residual"], reml=criterion == "REML")


@solved
def test_other_structures(name, criterion):
    fit, known = of_our_own(name, criterion), SOLVED[name]
    truth = known[criterion]
    assert fit.deviance == pytest.approx(truth["deviance"], abs=1e-10)
    assert fit.sigma == pytest.approx(truth["sigma"], rel=1e-7)
    np.testing.assert_allclose(fit.params, truth["beta"], rtol=1e-7)
    np.testing.assert_allclose(fit.bse, truth["se"], rtol=1e-7)
    assert set(fit.residual_params.index) == set(known["names"])
    np.testing.assert_allclose(fit.residual_params.loc[known["names"]], truth["parameters"], rtol=1e-6)
    assert fit.certificate.passed, str(fit.certificate)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(("one", "other"), [("gls_orthodont_cs", "cs"), ("gls_orthodont_ar1", "ar1")])
def test_two_programs_agree(one, other, criterion):
    """python-flint with 100 digits and Python's decimal with 60, which share nothing."""
    known, again = GLS[one][criterion], SOLVED[other][criterion]
    for quantity, name in (("deviance", "deviance"), ("sigma", "sigma"), ("parameters", "parameters")):
        np.testing.assert_allclose(again[name], known[quantity], rtol=1e-15)
