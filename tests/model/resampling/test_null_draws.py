"""A coefficient under the null hypothesis: its effect is taken out of the responses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.designs import fitted

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.resampling.null_draws import keys, normals, null_draws

ROWS = np.arange(160)


@pytest.mark.parametrize("weighted", [False, True])
def test_estimates_lie_about_zero_with_their_standard_errors(weighted):
    m = fitted("one factor", weighted=weighted)
    found = null_draws(m.estimates, "x", rows=ROWS, n=400, seed=1)
    assert abs(m.params["x"]) > 5 * m.bse["x"]
    assert abs(found.estimate.mean()) < 4 * m.bse["x"] / 20
    assert found.estimate.std() == pytest.approx(m.bse["x"], rel=0.15)
    np.testing.assert_allclose(np.median(found.se), m.bse["x"], rtol=0.05)


def test_another_coefficient_keeps_its_effect():
    m = fitted("one factor")
    moved = null_draws(m.estimates, "Intercept", rows=ROWS, n=50, seed=1)
    assert abs(moved.estimate.mean()) < 4 * m.bse["Intercept"] / 7


def test_a_function_of_coefficients_is_taken_out_whatever_its_length():
    m = fitted("one factor")
    L = np.array([1.0, 2.0])
    value, se = L @ m.estimates.beta, np.sqrt(L @ m.estimates.vcov @ L)
    for times in (1.0, 0.1):
        found = null_draws(m.estimates, times * L, rows=ROWS, n=50, seed=1)
        assert abs(value) > 2 * se
        assert abs(found.estimate.mean()) < times * 4 * se / 7
        np.testing.assert_allclose(np.median(found.se), times * se, rtol=0.2)


def test_an_unknown_coefficient_is_named():
    with pytest.raises(FitError, match="no coefficient age; it has Intercept, x"):
        null_draws(fitted("one factor").estimates, "age", rows=ROWS, n=2, seed=1)


def test_a_residual_structure_keeps_its_correlations_under_the_null():
    """Estimates drawn under the null spread as their standard errors say, whatever the visits share."""
    draw = np.random.default_rng(5)
    root = np.array([[1.0, 0, 0], [1.2, 0.6, 0], [1.5, 0.4, 1.1]])
    y = (draw.standard_normal((30, 3)) @ root.T).ravel()
    frame = pd.DataFrame(
        {
            "y": y,
            "x": np.repeat(np.arange(30) % 2, 3),
            "v": np.tile(list("abc"), 30),
            "g": np.repeat(np.arange(30), 3),
        }
    )
    fit = lmmkit.lmm("y ~ x + v", frame, residual="un(v | g)")
    found = null_draws(fit.estimates, coefficient="x", rows=np.arange(90), n=200, seed=3)
    assert found.se.mean() == pytest.approx(fit.bse["x"], rel=0.1)
    assert found.estimate.std() == pytest.approx(fit.bse["x"], rel=0.12)
    assert abs(found.estimate.mean()) < 4 * fit.bse["x"] / 20


def test_random_numbers_are_standard_normal_and_belong_to_their_names():
    streams = keys(["row 1", "row 2", "row 1"], seed=7)
    z = normals(streams, 0, 4000)
    np.testing.assert_array_equal(z[0], z[2])
    assert abs(np.corrcoef(z[:2])[0, 1]) < 0.06
    assert abs(z[:2].mean()) < 0.05
    assert z[:2].std() == pytest.approx(1.0, abs=0.04)
    assert abs(np.corrcoef(z[0, 1:], z[0, :-1])[0, 1]) < 0.06
    np.testing.assert_array_equal(normals(streams, 5, 3), z[:, 5:8])
    assert (keys(["row 1"], seed=8) != streams[:1]).all()


def test_two_models_of_one_data_set_meet_the_same_luck():
    """Whatever the rows' order, a row keeps its residual, and a level its effect."""
    data = fitted("one factor").design.frame
    one = lmmkit.lmm("y ~ x + (1 | g)", data)
    turned = lmmkit.lmm("y ~ x + (1 | g)", data.iloc[::-1])
    first = null_draws(one.estimates, "x", rows=ROWS, n=5, seed=3)
    second = null_draws(turned.estimates, "x", rows=ROWS[::-1], n=5, seed=3)
    np.testing.assert_allclose(first.estimate, second.estimate, rtol=1e-5)
    other = null_draws(one.estimates, "x", rows=ROWS, n=5, seed=4)
    assert not np.allclose(first.estimate, other.estimate, rtol=0.01)
