"""A covariate far from zero, such as a time stamp, changes neither tests nor means."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

import lmmkit

FAR = 1e6
DIGITS = 1e-7  # the mean alone carries 1e-16 of 1e6 times the slope into what is asked of the data's middle


@functools.cache
def fit(shift, reml=True):
    """Slopes by group, an interaction, weights; the covariate on a grid that a shift does not round."""
    rng = np.random.default_rng(11)
    frame = pd.DataFrame({"g": rng.integers(0, 12, 150), "a": rng.choice(["p", "q", "r"], 150)})
    frame["x"] = rng.integers(-2000, 2000, 150) / 1024.0
    frame["w"] = rng.uniform(0.3, 3.0, 150)
    effects = rng.normal(size=(12, 2))[frame["g"]]
    noise = rng.normal(size=150) / np.sqrt(frame["w"])
    frame["y"] = effects[:, 0] + (0.4 + effects[:, 1]) * frame["x"] + (frame["a"] == "q") + noise
    frame["x"] += shift
    return lmmkit.lmm("y ~ a * x + (x | g)", frame, weights="w", reml=reml)


def same(asked, **options):
    """What is asked of the fits near and far, number by number."""
    near, far = (asked(fit(shift, **options)).select_dtypes("number") for shift in (0.0, FAR))
    np.testing.assert_allclose(far, near, rtol=DIGITS, atol=1e-8)


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger", "containment"])
def test_means_their_differences_and_slopes_stay(df):
    same(lambda m: m.marginal_means("a", df=df))
    same(lambda m: m.marginal_means("a", df=df).pairs()[["estimate", "se", "df", "t"]])
    same(lambda m: m.slopes("x", "a", df=df))


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
def test_sequential_tests_stay(df):
    same(lambda m: m.anova(1, df)[["den_df", "F"]])


def test_predictions_and_shares_of_variance_stay():
    same(lambda m: m.predict(level="population", interval="confidence"))
    same(lambda m: m.predict(level="group", interval="prediction"))
    same(lambda m: m.predict(level="new")[["fit", "se"]])
    same(lambda m: m.r2()[["estimate"]])
    same(lambda m: m.icc()[["estimate"]], reml=False)
