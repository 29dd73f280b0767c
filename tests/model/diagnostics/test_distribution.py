"""Shapes of distributions: what is said of them, what is advised, which of their quantiles are drawn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import skew

from lmmkit.model.diagnostics.distribution import (
    _remedy,
    _shape,
    anderson_darling,
    places,
    quantile_curves,
    simulated_quantiles,
    standardised,
)


@pytest.mark.parametrize(
    ("lean", "tails", "words"),
    [
        (0.5, 0.1, "are skewed to the right"),
        (-0.5, 0.1, "are skewed to the left"),
        (0.1, 1.0, "have heavier tails"),
        (0.1, -1.0, "have lighter tails"),
        (-0.7, 2.0, "are skewed to the left and have heavier tails"),
        (0.4, 0.5, "are skewed to the right"),  # by their standard errors
        (0.2, 0.5, "have heavier tails"),
    ],
)
def test_a_shape_is_told_by_what_is_large_or_else_clearer(lean, tails, words):
    assert _shape(lean, tails, 100) == words


def advised(response, residuals):
    estimates = SimpleNamespace(
        problem=SimpleNamespace(response=response), design=SimpleNamespace(response="y")
    )
    return _remedy(estimates, residuals)


def test_advice_on_residuals_that_are_not_normal_is_by_what_they_are_without_the_largest():
    from scipy.stats import expon, norm

    p = (np.arange(200) + 0.5) / 200
    skewed, even = expon.ppf(p) - 1.0, norm.ppf(p)
    assert skew(skewed) > 1.5
    positive, some = np.linspace(1.0, 9.0, 200), np.linspace(-1.0, 9.0, 200)
    assert advised(positive, skewed).startswith("`log(y)` or `sqrt(y)` as the response; intervals by")
    assert advised(some, skewed).startswith("a transformed response; intervals by")
    assert advised(positive, -skewed).startswith("a transformed response; ")
    assert advised(positive, even).startswith("look at the outlying rows and at the variance checks first")
    assert advised(positive, np.append(even, 30.0)).startswith("look at the outlying rows")
    whole = "the response has {} different values: a model of categories, not offered here, would suit"
    assert advised(np.arange(200) % 10.0, skewed) == whole.format(10)
    assert not advised(np.arange(200) % 11.0, skewed).startswith("the response has")


def test_all_quantiles_at_the_ends_are_drawn_and_some_between():
    at = places(1000)
    assert at[0] == 0
    assert at[-1] == 999
    assert (np.diff(at) > 0).all()
    first = int(np.flatnonzero(np.diff(at) > 1)[0])
    np.testing.assert_array_equal(at + at[::-1], 999)  # as many at either end
    np.testing.assert_array_equal(at[: first + 1], np.arange(first + 1))
    assert places(3).tolist() == [0, 1, 2]


def test_quantiles_have_normal_places_and_equal_chances_to_leave():
    from scipy.stats import beta, norm

    values = np.array([[-2.0, 1.0], [0.5, -1.0], [1.5, 0.3], [0.1, 0.2]])
    x, curves, back, own = quantile_curves(values)
    np.testing.assert_allclose(x, norm.ppf((np.arange(4) + 0.5) / 4))
    scaled = np.sort(values[:, 0]) / np.sqrt((values[:, 0] ** 2).mean())
    np.testing.assert_allclose(own, scaled)
    chances = [beta(i + 1, 4 - i).cdf(norm.cdf(v)) for i, v in enumerate(scaled)]
    np.testing.assert_allclose(curves[:, 0], norm.ppf(chances))
    np.testing.assert_allclose(back(curves[:, 0]), scaled)


def test_a_residual_is_ranked_among_those_of_its_row_and_never_first_or_last_for_certain():
    values = np.array([[0.0, -1.0, 1.0, 2.0], [5.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]])
    sets = SimpleNamespace(unconditional=values, conditional=-values, rows=[7, 8, 9])
    found = simulated_quantiles(sets)
    assert list(found) == ["row", "unconditional", "conditional"]
    assert found["row"].tolist() == [7, 8, 9]
    assert found["unconditional"].tolist() == [1.5 / 4, 3.5 / 4, 0.5 / 4]
    assert found["conditional"].tolist() == [2.5 / 4, 0.5 / 4, 3.5 / 4]


def test_the_distance_from_uniformity_is_that_of_anderson_and_darling():
    from scipy.stats import norm

    values = np.random.default_rng(3).normal(size=(40, 1))
    u = np.sort(norm.cdf(values[:, 0]))
    i = np.arange(1, 41)
    expected = -40 - np.mean((2 * i - 1) * (np.log(u) + np.log(1 - u[::-1])))
    assert anderson_darling(values)[0][0] == pytest.approx(expected)


def test_scores_are_turned_to_unit_moments():
    z = np.random.default_rng(1).normal(size=(30, 2, 3)) @ np.ones((3, 3)) + np.random.default_rng(2).normal(
        size=(30, 2, 3)
    )
    u = standardised(z)
    for c in range(3):
        np.testing.assert_allclose(u[:, :, c].T @ u[:, :, c] / 30, np.eye(2), atol=1e-9)
