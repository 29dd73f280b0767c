# ruff: noqa: E501  (a sentence stands as it is printed)
"""Responses from a fit: what they have in common, how they spread, and which are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.errors import DataError, FitError


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(10), 6)
    data = pd.DataFrame({"g": [f"g{i}" for i in g], "x": np.tile(np.arange(6.0), 10)})
    return lmm("y ~ x + (1 | g)", data.assign(y=data["x"] + 3 * rng.normal(size=10)[g] + rng.normal(size=60)))


def test_new_responses_have_new_effects_and_those_of_the_groups_the_predicted_ones(fit):
    new, own = fit.simulate(400, seed=1), fit.simulate(400, seed=1, level="group")
    assert new.shape == own.shape == (60, 400)
    between, within = fit.varcorr["vcov"]
    error = np.sqrt(within / 400)
    assert np.abs(own.mean(axis=1) - fit.fittedvalues).max() < 5 * error
    assert own.var(axis=1).mean() == pytest.approx(within, rel=0.05)
    population = fit.predict(level="population")["fit"]
    assert np.abs(new.mean(axis=1) - population).max() < 5 * np.sqrt((between + within) / 400)
    assert new.var(axis=1).mean() == pytest.approx(between + within, rel=0.1)
    assert np.cov(new[:2])[0, 1] == pytest.approx(between, rel=0.25)  # two rows of one group
    np.testing.assert_array_equal(fit.simulate(3, seed=1), new[:, :3])


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (["a"] * 60, "refit: 60 numbers are expected, not list."),
        (1j * np.ones(60), "refit: 60 numbers are expected, not ndarray."),
        (np.zeros((2, 60)), "refit: 60 numbers are expected, one per row used, not an array of shape (2, 60)."),
        (np.full(60, np.nan), "refit: the response has a value that is missing or infinite; every one must be finite."),
        (pd.Series(np.arange(60.0), index=range(1, 61)),
         "refit: the Series has another index than the rows used; give it that index, or its `to_numpy()` to go by position."),
        (np.ones(60), "The response `y` is 1 in all 60 rows used; values that vary are expected."),
    ],
)  # fmt: skip
def test_what_cannot_be_a_response_is_refused_in_words(fit, y, said):
    with pytest.raises(DataError) as caught:
        fit.refit(y)
    assert str(caught.value) == said


def test_a_level_that_is_not_offered_is_refused(fit):
    with pytest.raises(FitError, match="level='rows' is not known"):
        fit.simulate(2, seed=1, level="rows")
