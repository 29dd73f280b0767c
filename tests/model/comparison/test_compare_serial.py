"""Models with serial correlation and variance functions compared: by which distribution, and why not."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2
from support.serial_models import animals

import lmmkit

MEAN = "y ~ arm * day"


@functools.cache
def of(random, residual):
    return lmmkit.lmm(f"{MEAN}{random}", animals(), residual=residual)


def last(*fits, **options):
    return lmmkit.compare(*fits, **options).iloc[-1]


@pytest.mark.parametrize("random", ["", " + (1 | animal)"])
def test_no_serial_correlation_is_the_end_of_its_range(random):
    large = of(random, "car1(day | animal)")
    small = of(random, None) if random else MEAN
    row = last(small, large)
    assert (row["df"], row["reference"]) == (1.0, "1/2 chi2(0) + 1/2 chi2(1)")
    assert row["p"] == pytest.approx(chi2.sf(row["stat"], 1) / 2)
    assert "boundary" in row["note"]


@pytest.mark.parametrize("residual", ["power(mass)", "exp(mass)", "ident(arm)"])
def test_variance_functions_are_tested_inside(residual):
    row = last(of(" + (1 | animal)", None), of(" + (1 | animal)", residual))
    assert (row["df"], row["reference"], row["note"]) == (1.0, "chi2(1)", "")
    assert row["p"] == pytest.approx(chi2.sf(row["stat"], 1))


def test_a_variance_beside_the_same_correlation_is_on_its_boundary():
    row = last(of("", "car1(day | animal)"), of(" + (1 | animal)", "car1(day | animal)"))
    assert row["reference"] == "1/2 chi2(0) + 1/2 chi2(1)"


def test_random_effects_and_a_correlation_at_once_have_the_bootstrap_alone():
    large = of(" + (1 | animal)", "car1(day | animal)")
    row = last(MEAN, large)
    assert np.isnan(row["p"])
    assert "at once" in row["note"]
    assert "method='bootstrap'" in row["note"]
    drawn = last(MEAN, large, method="bootstrap", n=19, seed=3)
    assert drawn["p"] == pytest.approx(1 / 20)
    assert "19 replicates" in drawn["reference"]


def test_power_and_exp_are_no_special_cases_of_each_other():
    row = last(of("", "power(mass)"), of("", "exp(mass)"))
    assert np.isnan(row["p"])
    assert "compare them by aic" in row["note"]


def weak(seed, alternating, intercepts):
    """Rows without serial correlation, or with a negative one, which no range has."""
    rng = np.random.default_rng(seed)
    e = rng.normal(size=(20, 6))
    if alternating:
        e[:, 1::2] -= 0.6 * e[:, ::2]
    day = np.sort(rng.uniform(0, 10, e.shape), axis=1)
    y = e + intercepts * rng.normal(size=(20, 1))
    g = np.repeat(np.arange(20), 6)
    return pd.DataFrame({"y": y.ravel(), "day": day.ravel(), "g": g})


@pytest.mark.parametrize(("seed", "alternating"), [(1, False), (2, True)])
@pytest.mark.parametrize("random", ["", " + (1 | g)"])
def test_a_profile_of_the_range_reaches_zero_and_everything_has_its_number(seed, alternating, random):
    fit = lmmkit.lmm(f"y ~ day{random}", weak(seed, alternating, bool(random)), residual="car1(day | g)")
    table = fit.conf_int(method="profile")
    low, high = table.loc["range", ["low", "high"]]
    assert low == 0.0
    assert fit.residual_params["range"] < high < 1.0
    assert not table[["low", "high"]].isna().any(axis=None)
    for df in ("kenward-roger", "satterthwaite"):
        assert np.isfinite(fit.coef_table(df=df)["df"]).all()
    assert fit.certificate.passed, str(fit.certificate)
    drawn = fit.bootstrap(6, seed=1)
    assert drawn["converged"].all()
    assert (drawn["range"] >= 0.0).all()
    pd.testing.assert_frame_equal(drawn, fit.bootstrap(6, seed=1))
