"""Variance inflation, against its definition and its invariances."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.outliers_influence import variance_inflation_factor

import lmmkit
from lmmkit.model.diagnostics import collinearity
from lmmkit.model.diagnostics.collinearity import Inflation, inflations


def rows(seed=1, n=240):
    """Predictors that share something."""
    rng = np.random.default_rng(seed)
    a, f = rng.normal(size=n), rng.integers(0, 3, n)
    frame = pd.DataFrame({"a": a, "b": 0.8 * a + 0.6 * rng.normal(size=n), "c": rng.normal(size=n) + f})
    frame["f"], frame["g"] = np.array(["u", "v", "w"])[f], rng.integers(0, 20, n)
    return frame.assign(y=rng.normal(size=n) + rng.normal(size=20)[frame.g])


def told(formula, frame=None, **options):
    """Inflation a direction, by predictor."""
    fit = lmmkit.lmm(formula, rows() if frame is None else frame, **options)
    return {one.name: one.vif for one in inflations(fit.estimates)}


def test_without_random_effects_it_is_that_of_ordinary_least_squares():
    X = np.column_stack([np.ones(240), rows()[["a", "b", "c"]]])
    none = {"g": 1e-9, "Residual": 1.0}
    expected = [variance_inflation_factor(X, k) for k in (1, 2, 3)]
    np.testing.assert_allclose(
        list(told("y ~ a + b + c + (1 | g)", variances=none).values()), expected, rtol=1e-6
    )


def test_it_is_taken_from_the_covariance_of_the_mixed_model():
    fit = lmmkit.lmm("y ~ a + b + c + (1 | g)", rows())
    R = fit.cov_params().to_numpy()[1:, 1:]
    R = R / np.sqrt(np.outer(R.diagonal(), R.diagonal()))
    np.testing.assert_allclose(
        list(told("y ~ a + b + c + (1 | g)").values()), np.linalg.inv(R).diagonal(), rtol=1e-6
    )


def test_of_a_factor_it_does_not_depend_on_the_coding():
    one = told("y ~ c + f + a + (1 | g)")
    for coding in ("sum", "helmert"):
        other = told("y ~ c + f + a + (1 | g)", contrasts={"f": coding})
        assert other == pytest.approx(one, rel=1e-6)
    no_intercept = told("y ~ 0 + f + c + a + (1 | g)")
    assert no_intercept == pytest.approx(one, rel=1e-6)


def test_an_interaction_does_not_inflate_its_parts_because_zero_is_far_away():
    near = told("y ~ a * c + (1 | g)")
    far = told(
        "y ~ a * c + (1 | g)", rows().assign(a=lambda d: d.a + 1000.0, c=lambda d: 50.0 * d.c - 7000.0)
    )
    assert far == pytest.approx(near, rel=1e-4)
    assert max(near.values()) < 2.0


def test_powers_of_one_predictor_are_one_predictor():
    assert set(told("y ~ a + I(a ** 2) + c + (1 | g)")) == {"a + I(a ** 2)", "c"}


def test_an_interaction_alone_is_taken_as_fitted():
    assert set(told("y ~ c + a:f + (1 | g)")) == {"c", "a:f"}


def test_the_partner_is_named_and_the_verdict_one_of_thresholds():
    frame = rows().assign(near=lambda d: d.a + 0.1 * d.c)
    fit = lmmkit.lmm("y ~ a + near + b + (1 | g)", frame)
    table = lmmkit.diagnose(fit, replicates=99).table
    table = table[table.check == "collinearity"].set_index("of")
    assert table.loc["near"].verdict == "trouble"
    assert table.loc["near"]["where"] == "a"
    assert np.isnan(table.loc["near"].adjusted)
    assert "b" not in table.index


def test_one_predictor_has_nothing_to_be_collinear_with():
    fit = lmmkit.lmm("y ~ a + (1 | g)", rows())
    assert inflations(fit.estimates) == []
    table = lmmkit.diagnose(fit, replicates=99).table
    assert table[table.check == "collinearity"].verdict.tolist() == ["not checked"]


def test_an_interaction_is_not_held_against_its_parts():
    rng = np.random.default_rng(6)
    g, day = np.repeat(np.arange(24), 8), np.tile(np.arange(8.0), 24)
    arm = np.array(["a", "b", "c"])[g % 3]
    slopes = rng.normal(scale=3.0, size=24)[g]
    frame = pd.DataFrame({"y": slopes * (day - 7.0) + rng.normal(size=192), "day": day, "arm": arm, "g": g})
    told = {one.name: one.vif for one in inflations(lmmkit.lmm("y ~ day * arm + (day | g)", frame).estimates)}
    assert set(told) == {"day", "arm"}
    assert max(told.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("factor", "verdict"), [(4.99, "fine"), (5.0, "look"), (9.99, "look"), (10.0, "trouble")]
)
def test_the_verdict_turns_at_five_and_at_ten(monkeypatch, factor, verdict):
    monkeypatch.setattr(collinearity, "inflations", lambda _: [Inflation("a", 1, factor, "b", 1.0)])
    (one,) = collinearity._found(None)
    assert (one.verdict, one.where) == (verdict, "" if verdict == "fine" else "b")
