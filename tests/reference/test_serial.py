"""Serial and spatial correlation and unequal variances, with random effects too, against 100 digits.

`serial.json` has nlme's models with their optimum in 100 digits, `serial_nlme.json` what nlme itself gives of
others, as far as it goes (`Rscript serial.R`, R 4.2.2, nlme 3.1.162).
"""

from __future__ import annotations

import functools
import json

import numpy as np
import pandas as pd
import pytest
from reference.cases import HERE, r_names

import lmmkit
from lmmkit.errors import FitError

FOLDER = HERE / "residual"
FACTORS = {"Subject": str, "Sex": str, "ageF": str, "Rat": str, "Diet": str, "Mare": str, "variety": str}
SERIAL = json.loads((FOLDER / "serial.json").read_text(encoding="utf-8"))
NLME = json.loads((FOLDER / "serial_nlme.json").read_text(encoding="utf-8"))
FITTED = [(name, c) for name in SERIAL for c in ("REML", "ML") if "refuse" not in SERIAL[name][c]]
fitted_models = pytest.mark.parametrize(("name", "criterion"), FITTED)


@functools.cache
def table(file):
    return pd.read_csv(FOLDER / file, dtype=FACTORS)


@functools.cache
def fitted(name, criterion):
    known = SERIAL[name]
    return lmmkit.lmm(
        known["formula"], table(known["data"]), residual=known["residual"], reml=criterion == "REML"
    )


@fitted_models
def test_deviance_is_the_minimum(name, criterion):
    assert fitted(name, criterion).deviance == pytest.approx(SERIAL[name][criterion]["deviance"], abs=1e-9)


@fitted_models
def test_fixed_effects_sigma_and_standard_errors(name, criterion):
    fit, known = fitted(name, criterion), SERIAL[name][criterion]
    order = [r_names(fit.params.index).index(coefficient) for coefficient in known["coefficients"]]
    tolerance = known["tolerance"]
    se = np.array(known["se"])
    np.testing.assert_allclose(
        fit.params.to_numpy()[order] / se, known["fixef"] / se, rtol=tolerance["fixef"]["rel"], atol=1e-7
    )
    np.testing.assert_allclose(fit.bse.to_numpy()[order], se, rtol=tolerance["se"]["rel"])
    assert fit.sigma == pytest.approx(known["sigma"], rel=tolerance["se"]["rel"])


@fitted_models
def test_parameters_by_name(name, criterion):
    fit, known = fitted(name, criterion), SERIAL[name][criterion]
    rel = known["tolerance"]["parameters"]["rel"]
    for parameter, value in fit.residual_params.items():
        assert value == pytest.approx(known["parameters"][parameter], rel=rel)
    assert len(fit.residual_params)


@fitted_models
def test_covariance_of_the_random_effects(name, criterion):
    fit, known = fitted(name, criterion), SERIAL[name][criterion]
    for ours, theirs in zip(
        [fit.estimates.covariance(t) for t in range(len(fit.estimates.random))],
        _by_term(fit, known),
        strict=True,
    ):
        scale = np.sqrt(np.outer(theirs.diagonal(), theirs.diagonal()))
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=known["tolerance"]["parameters"]["rel"])


def _by_term(fit, known):
    """The matrix of each of our terms: `||` makes two of nlme's diagonal one."""
    if not known["G"]:
        return []
    G = np.array(known["G"][0])
    return [G] if len(fit.estimates.random) == 1 else [G[i : i + 1, i : i + 1] for i in range(len(G))]


@fitted_models
def test_random_effects_are_those_of_dense_matrices_at_the_truth(name, criterion):
    """G Z'V^-1 (y - X beta) at the parameters in 100 digits; nlme's own differ where it stopped early."""
    fit, known = fitted(name, criterion), SERIAL[name][criterion]
    if not known["G"]:
        assert fit.ranef == {}
        return
    frame, terms = table(SERIAL[name]["data"]), known["terms"]
    group = {"lme_bodyweight_exp": "Rat", "lme_ovary_ar1": "Mare", "lme_orthodont_het": "Subject"}[name]
    G, parameters = np.array(known["G"][0]), known["parameters"]
    effects = fit.ranef[group]
    order = [r_names(fit.params.index).index(c) for c in known["coefficients"]]
    X = fit.estimates.X[:, order]
    e = fit.estimates.problem.response - X @ np.array(known["fixef"])
    for level, rows in frame.reset_index(drop=True).groupby(group).groups.items():
        mine = frame.loc[rows]
        Z = np.column_stack([np.ones(len(mine)) if t == "(Intercept)" else mine[t] for t in terms])
        if name == "lme_bodyweight_exp":
            R = np.exp(-np.abs(np.subtract.outer(*2 * [mine["Time"].to_numpy()])) / parameters["range"])
        elif name == "lme_ovary_ar1":
            R = parameters["rho"] ** np.abs(np.subtract.outer(*2 * [np.arange(len(mine))]))
        else:
            R = np.diag(np.where(mine["Sex"] == "Male", parameters.get("ratio.Male", 1.0) ** 2, 1.0))
        V = Z @ G @ Z.T + known["sigma"] ** 2 * R
        b = G @ Z.T @ np.linalg.solve(V, e[rows])
        sd = np.sqrt(G.diagonal())
        ours = effects.loc[str(level)].to_numpy()
        np.testing.assert_allclose(ours / sd, b / sd, atol=1e-6)
        np.testing.assert_allclose(ours / sd, np.array(known["nlme_ranef"][str(level)]) / sd, atol=2e-3)


@fitted_models
def test_counts_and_criteria(name, criterion):
    fit, known = fitted(name, criterion), SERIAL[name][criterion]
    assert (fit.npar, fit.nobs) == (known["df"], known["n"])
    assert fit.aic == pytest.approx(known["deviance"] + 2 * known["df"], abs=1e-8)


@fitted_models
def test_certificate_holds(name, criterion):
    certificate = fitted(name, criterion).certify(full=True)
    assert certificate.passed, str(certificate)
    assert certificate.digits >= 5


def test_a_range_without_bound_is_refused_by_name():
    with pytest.raises(FitError, match="range"):
        fitted("gls_wheat2_exp", "REML")


MODELS = {
    "car1": ("weight ~ Time * Diet", "car1(Time | Rat)", ["range"]),
    "ident_car1": ("weight ~ Time * Diet", "ident(Diet) * car1(Time | Rat)", ["range", "ratio.2", "ratio.3"]),
    "power": ("distance ~ age * Sex", "power(age)", ["power"]),
    "exp": ("distance ~ age * Sex", "exp(age)", ["exp"]),
    "power_car1": ("distance ~ age * Sex", "power(age) * car1(age | Subject)", ["range", "power"]),
    "exp_ar1": ("distance ~ age * Sex", "exp(age) * ar1(1 | Subject)", ["rho", "exp"]),
    "intercept_car1": ("weight ~ Time * Diet + (1 | Rat)", "car1(Time | Rat)", ["range"]),
    "intercept_ident_ar1": (
        "distance ~ age * Sex + (1 | Subject)",
        "ident(Sex) * ar1(1 | Subject)",
        ["rho", "ratio.Male"],
    ),
    "intercept_power": ("weight ~ Time * Diet + (Time | Rat)", "power(Time)", ["power"]),
}


@functools.cache
def ours(name):
    formula, residual, _ = MODELS[name]
    return lmmkit.lmm(
        formula,
        table("BodyWeight.csv" if "Rat" in formula + residual else "OrthodontB.csv"),
        residual=residual,
    )


@pytest.mark.parametrize("name", MODELS)
def test_nlme_finds_the_same_optimum_or_a_worse_one(name):
    fit, known = ours(name), NLME[name]
    assert -1e-4 < fit.deviance - known["deviance"] < 1e-6
    assert fit.npar == known["df"]
    theirs = [known["correlation"]] if known["correlation"] is not None else []
    if MODELS[name][2][0] == "range":
        theirs = [-1.0 / np.log(theirs[0])]
    variance = known["variance"]
    theirs += variance if isinstance(variance, list) else [variance] if variance is not None else []
    np.testing.assert_allclose(fit.residual_params.loc[MODELS[name][2]], theirs, rtol=1e-3)
    assert fit.sigma == pytest.approx(known["sigma"], rel=1e-3)
    assert fit.certificate.passed, str(fit.certificate)
