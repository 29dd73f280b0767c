"""Wald intervals of variance parameters in balanced data, where their standard errors have a closed form."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from reference.cases import fitted

from lmmkit.errors import PartialResult
from lmmkit.model.inference.confidence_intervals import _unfit, too_large

Z90 = 1.6448536269514722


def test_one_way_layout():
    """The two mean squares are independent multiples of chi-squared variables with 5 and 24 degrees."""
    fit = fitted("dyestuff", "REML")
    between, within = fit.varcorr["vcov"]
    mean_square = 5 * between + within
    variance = (2 * mean_square**2 / 5 + 2 * within**2 / 24) / 25
    errors = {"Batch.sd.Intercept": np.sqrt(variance) / (2 * between), "Residual.sd": 1 / np.sqrt(48)}
    found = fit.conf_int("wald", level=0.9)
    for name, value in zip(errors, fit.varcorr["sdcor"], strict=True):
        bounds = value * np.exp(np.array([-1, 1]) * Z90 * errors[name])
        np.testing.assert_allclose(found.loc[name, ["low", "high"]].astype(float), bounds, rtol=1e-6)
    assert set(found["criterion"]) == {"REML"}


def test_slopes_on_one_design_for_all_subjects():
    """Least squares within the 18 subjects: a Wishart matrix S = G + s2 (X'X)^-1, and s2 on 144 degrees."""
    fit = fitted("sleep_full", "REML")
    X = np.column_stack([np.ones(10), np.arange(10)])
    B, G = np.linalg.inv(X.T @ X), fit.estimates.covariance(0)
    S, s2 = G + fit.scale * B, fit.scale
    pairs = [(0, 0), (1, 0), (1, 1)]
    C = np.zeros((4, 4))
    C[:3, :3] = [[(S[i, k] * S[j, m] + S[i, m] * S[j, k]) / 17 for k, m in pairs] for i, j in pairs]
    C[3, 3] = 2 * s2**2 / 144

    def transformed(x):
        g = np.array([[x[0], x[1]], [x[1], x[2]]]) - x[3] * B
        rho = g[1, 0] / np.sqrt(g[0, 0] * g[1, 1])
        return np.array([*np.log([g[0, 0], g[1, 1], x[3]]) / 2, np.arctanh(rho)])

    x = np.array([S[0, 0], S[1, 0], S[1, 1], s2])
    steps = np.diag(1e-5 * np.abs(x))
    J = np.array([(transformed(x + s) - transformed(x - s)) / (2 * s.max()) for s in steps]).T
    half = Z90 * np.sqrt(np.diag(J @ C @ J.T))
    middle = transformed(x)
    names = ["Subject.sd.Intercept", "Subject.sd.Days", "Residual.sd", "Subject.cor.Days.Intercept"]
    found = fit.conf_int("wald", level=0.9).loc[names]
    for bound, z in (("low", middle - half), ("high", middle + half)):
        np.testing.assert_allclose(found[bound], [*np.exp(z[:3]), np.tanh(z[3])], rtol=1e-5)


@pytest.mark.parametrize(
    ("value", "error", "kind", "reason"),
    [
        (0.0, 0.2, "sd", "estimate is zero"),
        (2.0, 1.01, "sd", "logarithm is 1.01, above 1"),
        (2.0, 1.5, "range", "logarithm is 1.5, above 1"),
        (1.0, 0.2, "share", "at the edge"),
        (2.0, np.nan, "sd", "do not tell it apart"),
        (-1.0, 0.2, "cor", "at the edge"),
        (np.nan, np.nan, "cor", "not defined"),
        (0.3, np.nan, "cor", "do not tell it apart"),
    ],
)
def test_no_wald_interval_where_the_likelihood_is_not_round(value, error, kind, reason):
    assert reason in _unfit(value, error, kind)
    assert _unfit(2.0, 1.0, "sd") == _unfit(0.99, 3.0, "cor") == _unfit(-3.0, 5.0, "exponent") == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"parameters": 7}, "more than 6 covariance parameters"),
        ({"rows": 100_001}, "more than 100,000 rows"),
        ({"levels": 1_501}, "more than 3,000 random effects"),
        ({"parameters": 7, "rows": 100_001}, "more than 6 covariance parameters, more than 100,000 rows"),
    ],
)
def test_profiles_are_made_up_to_a_size_that_is_named(changed, said):
    size = {"parameters": 6, "rows": 100_000, "levels": 1_500, **changed}
    problem = SimpleNamespace(effects=2 * size["levels"])
    theta, rho = np.zeros(size["parameters"] - 1), np.zeros(1)
    assert too_large(SimpleNamespace(theta=theta, rho=rho, nobs=size["rows"], problem=problem)) == said


@pytest.mark.parametrize("criterion", ["REML", "ML"])
def test_residual_standard_deviation_of_one_face(criterion):
    """Dyestuff2's variance between batches is zero: sigma alone varies, on n - 1 or n degrees of freedom."""
    fit = fitted("dyestuff2", criterion)
    nu = 29 if criterion == "REML" else 30
    expected = fit.sigma * np.exp(np.array([-1, 1]) * Z90 / np.sqrt(2 * nu))
    with pytest.warns(PartialResult, match="Batch"):
        found = fit.conf_int("wald", level=0.9)
    found = found.loc["Residual.sd", ["low", "high"]].astype(float)
    np.testing.assert_allclose(found, expected, rtol=1e-7)
