"""Wald intervals of variance parameters, against the exact covariance matrix of (theta, sigma)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from reference.cases import CASES, facts, fitted, truth

from lmmkit.errors import PartialResult

KNOWN = [case for case in CASES if "vcov_varpar_theta_sigma" in facts(case[0])[case[1]].get("mp", {})]


def transformed(estimates, theta, sigma):
    """Log standard deviations and Fisher's z of correlations, in the order of the intervals."""
    factors = [np.zeros_like(L) for L in estimates.factors]
    for value, (term, (_, row, column)) in zip(theta, estimates.naturals, strict=True):
        factors[term][row, column] = value
    T = [L @ L.T for L in factors]
    sd = [np.sqrt(np.diag(t)) * sigma for t in T]
    values = [
        np.log(sd[t][row])
        if row == column
        else np.arctanh(T[t][row, column] * sigma**2 / sd[t][row] / sd[t][column])
        for t, (_, row, column) in estimates.naturals
    ]
    return np.array([*values, np.log(sigma)])


@pytest.mark.parametrize(("name", "criterion"), KNOWN)
def test_wald_intervals_have_the_exact_curvature(name, criterion):
    fit, known = fitted(name, criterion), truth(name, criterion)
    center = np.array([*known["theta"], known["sigma"]])
    steps = np.diag(1e-6 * np.maximum(np.abs(center), 0.1))
    values = [
        [transformed(fit.estimates, point[:-1], point[-1]) for point in (center + step, center - step)]
        for step in steps
    ]
    J = np.array([(up - down) / (2 * step.max()) for (up, down), step in zip(values, steps, strict=True)]).T
    se = np.sqrt(np.einsum("im,mn,in->i", J, np.array(known["vcov_varpar_theta_sigma"]), J))
    middle = transformed(fit.estimates, center[:-1], center[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialResult)  # where a standard error is above 1
        frame = fit.conf_int("wald", df="normal").iloc[len(fit.params) :]
    is_correlation = frame.index.str.contains(".cor.", regex=False)
    for bound, sign in (("low", -1), ("high", 1)):
        expected = middle + sign * 1.959963984540054 * se
        back = np.where(is_correlation, np.tanh(expected), np.exp(np.where(is_correlation, 0, expected)))
        far = ~is_correlation & (se > 1.0)
        np.testing.assert_array_equal(frame[bound].isna(), far)
        np.testing.assert_allclose(frame[bound][~far], back[~far], rtol=1e-5, atol=1e-6)
