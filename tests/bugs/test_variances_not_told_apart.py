"""`(arm | site)` with one arm in each site: three parameters, of which the data tell two.

`coef_table()` raised and the report failed. The same model, as the data tell it, is `(0 + arm || site)`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.errors import PartialResult


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(4)
    site, ward = np.divmod(np.repeat(np.arange(48), 4), 4)
    arm = site % 2
    b, c = rng.normal(size=12) * (1 + np.arange(12) % 2), rng.normal(size=48) * np.repeat([0.7, 1.2] * 6, 4)
    x = rng.normal(size=192)
    y = 10 + 1.5 * arm + b[site] + c[4 * site + ward] + rng.normal(size=192)
    return pd.DataFrame({"y": y, "x": x, "arm": np.where(arm, "b", "a"), "site": site, "ward": ward})


@pytest.fixture(scope="module")
def fit(frame):
    return lmmkit.lmm("y ~ arm + x + (arm | site) + (arm | site:ward)", frame)


@pytest.fixture(scope="module")
def told(frame):
    return lmmkit.lmm("y ~ arm + x + (0 + arm || site) + (0 + arm || site:ward)", frame)


@pytest.mark.parametrize("df", ["auto", "kenward-roger", "satterthwaite"])
def test_fixed_effects_have_the_tests_of_the_model_that_is_told(fit, told, df):
    assert fit.deviance == pytest.approx(told.deviance, abs=1e-8)
    columns = ["estimate", "se", "df", "t", "p", "low", "high"]
    np.testing.assert_allclose(fit.coef_table(df)[columns], told.coef_table(df)[columns], rtol=1e-4)
    np.testing.assert_allclose(
        fit.anova(df=df)[["den_df", "F"]], told.anova(df=df)[["den_df", "F"]], rtol=1e-4
    )


def test_summary_and_certificate_name_the_direction(fit, told):
    text = str(fit.summary())
    for group in ("site", "site:ward"):
        direction = f"+1 cov(Intercept, arm[T.b]) in {group}, -2 var(arm[T.b]) in {group}"
        assert direction in text
        assert sum(direction in check for check in fit.certificate.checks["check"]) == 1
    assert fit.certificate.passed
    assert "Not identified" not in str(told.summary())


def test_intervals(fit, told):
    """An SD that is told has its profile; the other one, what all ways to share the variance leave open."""
    found, known = fit.conf_int(), told.conf_int()
    bounds = ["low", "high"]
    np.testing.assert_allclose(
        found.loc["site.sd.Intercept", bounds].astype(float),
        known.loc["site.sd.arm[a]", bounds].astype(float),
        rtol=1e-5,
    )
    assert found.loc["site.sd.arm[T.b]", "low"] == 0.0
    with pytest.warns(PartialResult, match=r"arm\[T.b\]"):
        wald = fit.conf_int("wald")
    assert wald.loc["site.sd.arm[T.b]", bounds].isna().all()
    assert wald.loc["site.sd.Intercept", bounds].notna().all()


def test_predictions_do_not_depend_on_it(frame, fit, told):
    for options in ({}, {"level": "population"}, {"level": "new"}):
        one, other = (m.predict(frame[:20], interval="prediction", **options) for m in (fit, told))
        np.testing.assert_allclose(one, other, rtol=1e-4)


def test_what_depends_on_it_has_no_degrees_of_freedom_and_the_reason():
    """A grouping factor that is a fixed factor too: its variance is not told, and is in their errors."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(6), 8)
    frame = pd.DataFrame({"g": g, "h": np.arange(48) % 5, "f": [f"f{i}" for i in g]})
    frame["x"] = rng.normal(size=48)
    frame["y"] = rng.normal(size=6)[g] + rng.normal(size=5)[frame.h] + rng.normal(size=48)
    fit = lmmkit.lmm("y ~ f + x + (1 | g) + (1 | h)", frame)
    assert "along +1 var(Intercept) in g." in str(fit.summary())
    known = lmmkit.lmm("y ~ f + x + (1 | h)", frame)
    columns = ["estimate", "se", "df", "p"]
    for df in ("auto", "satterthwaite"):
        table = fit.coef_table(df)
        np.testing.assert_allclose(
            table.loc["x", columns].astype(float),
            known.coef_table(df).loc["x", columns].astype(float),
            rtol=1e-6,
        )
        assert table.loc["f[T.f1]", ["df", "p", "low", "high"]].isna().all()
        assert (
            "no df, it depends on variances that the data do not tell apart" in table.loc["f[T.f1]", "method"]
        )
