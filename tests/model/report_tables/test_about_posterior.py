"""The answer of a posterior: what a focus asks for, whatever the model and its coding."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import lmmkit
from lmmkit.engine.posterior.priors import Flat, read_prior
from lmmkit.model.report_tables import about_answer, about_posterior
from lmmkit.model.report_tables.about_posterior import _kernel


@cache
def table():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(12), 5)
    frame = pd.DataFrame({"g": [f"g{i:02d}" for i in g], "x": np.tile(np.arange(5.0), 12)})
    frame["sex"], frame["dose"] = np.array(["f", "m"])[g % 2], np.array(["hi", "lo", "mid"])[g % 3]
    frame["y"] = np.exp(2 + 0.1 * frame.x + 0.1 * (g % 2) * frame.x + rng.normal(0, 0.2, 12)[g])
    return frame.assign(y=lambda d: d["y"] + rng.normal(size=60))


def answered(formula, focus, rope=None):
    fit = lmmkit.lmm(formula, table())
    found = lmmkit.posterior(fit, draws=100, seed=1)
    told = about_posterior.answer(found, about_answer.asked(fit, focus), rope, df="normal", level=0.9)
    return fit, found, told.set_index("quantity")


@pytest.mark.parametrize(
    ("formula", "focus", "quantities"),
    [
        ("log(y) ~ x + (1 | g)", "x", ["Slope of x"]),
        ("y ~ x * sex + (1 | g)", "x", ["Slope of x"]),
        ("y ~ x * sex + (1 | g)", "x:sex", ["x:sex[T.m]"]),
        ("y ~ x * dose + (1 | g)", "x:dose", ["x:dose[T.lo]", "x:dose[T.mid]"]),
        ("y ~ x * C(sex, Sum) + (1 | g)", "x:C(sex, Sum)", ["x:C(sex, Sum)[S.f]"]),
        ("y ~ C(sex, Sum) + x + (1 | g)", "sex", ["sex: m less f"]),
        ("y ~ dose + (1 | g)", "dose", ["dose: hi less lo", "dose: hi less mid", "dose: lo less mid"]),
        ("y ~ 1 + (1 | g)", None, ["Intercept"]),
    ],
)
def test_a_focus_is_answered_by_its_own_estimates_with_their_posterior(formula, focus, quantities):
    fit, found, told = answered(formula, focus)
    assert list(told.index) == quantities
    spread = fit.bse.max()
    for name in quantities:
        if name in fit.params:
            assert told.loc[name, "estimate"] == pytest.approx(fit.params[name])
            assert told.loc[name, "mean"] == pytest.approx(found.table.loc[name, "mean"])
            share = found.weights @ (found.draws_frame()[name] <= 0.0)
            assert told.loc[name, "not_above"] == pytest.approx(share)
        assert told.loc[name, "mean"] == pytest.approx(told.loc[name, "estimate"], abs=spread)


def test_a_difference_does_not_depend_on_the_coding():
    plain, coded = answered("y ~ sex + x + (1 | g)", "sex"), answered("y ~ C(sex, Sum) + x + (1 | g)", "sex")
    columns = ["estimate", "se", "estimate_low", "estimate_high"]
    np.testing.assert_allclose(plain[2][columns].astype(float), coded[2][columns].astype(float))


def test_regions_stand_behind_the_focus_or_behind_the_parameter_that_they_name():
    _, found, told = answered("y ~ x * sex + (1 | g)", "x:sex", [-1, 1])
    assert told.loc["x:sex[T.m]", ["rope_low", "rope_high"]].tolist() == [-1.0, 1.0]
    inside = found.rope({"x:sex[T.m]": [-1, 1]}).loc["x:sex[T.m]", ["inside", "mcse"]]
    assert told.loc["x:sex[T.m]", ["inside", "inside_mcse"]].tolist() == inside.tolist()
    _, _, named = answered("y ~ x * sex + (1 | g)", "x:sex", {"g.sd.Intercept": [0, 2]})
    assert list(named.index) == ["x:sex[T.m]", "g.sd.Intercept"]
    assert named["inside"].isna().tolist() == [True, False]
    assert named["estimate"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("x", "spread"),
    [
        ([1.0, 1.0, 1.0, 3.0, 3.0, 3.0], 1.0),  # the standard deviation, less than 2 / 1.34
        ([*range(1, 9), 90.0], 4.5 / 1.34),  # the quartiles, where a draw lies far out
        ([2.0] * 8 + [8.0], 6.0 * np.sqrt(8) / 9),  # the standard deviation, where the quartiles are one
    ],
)
def test_a_density_has_silvermans_width_and_no_mass_beyond_an_end(x, spread):
    x, grid = np.array(x), np.linspace(0.0, 400.0, 40001)
    w, width = np.full(len(x), 1.0 / len(x)), 1.06 * spread * len(x) ** -0.2
    both = norm.pdf(grid[:, None], x, width) + norm.pdf(grid[:, None], -x, width)
    made = _kernel(x[::-1], w, grid, 0.0, np.inf)
    np.testing.assert_allclose(made, both.mean(axis=1), rtol=1e-9, atol=1e-300)
    assert np.trapezoid(made, grid) == pytest.approx(1.0)
    beside = _kernel(np.r_[x, 50.0], np.r_[w, 0.0], grid, -np.inf, np.inf)  # a draw without weight is none
    np.testing.assert_allclose(beside, norm.pdf(grid[:, None], x, width).mean(axis=1), rtol=1e-9, atol=1e-300)
    assert not _kernel(np.full(5, 2.0), np.full(5, 0.2), grid, 0.0, np.inf).any()


@cache
def small():
    fit = lmmkit.lmm("y ~ x + (x | g)", table())
    return lmmkit.posterior(fit, draws=100, seed=1)


def test_levels_are_ranked_up_to_a_number_of_them(monkeypatch):
    monkeypatch.setattr(about_posterior, "MOST_RANKED", 12)
    ranks = about_posterior.ranks(small(), 0.9)
    assert ranks.groupby("term").size().to_dict() == {"Intercept": 12, "x": 12}
    for _, part in ranks.groupby("term"):
        assert part["mean"].is_monotonic_increasing
    first = ranks.iloc[0]
    assert first["effect"] == f"g {first['level']}: {first['term']}"
    monkeypatch.setattr(about_posterior, "MOST_RANKED", 11)
    none = about_posterior.ranks(small(), 0.9)
    assert none.empty
    assert none.columns.tolist() == ranks.columns.tolist()


def test_nothing_is_left_out_of_what_is_large(monkeypatch):
    """100 draws times 60 rows times the two effects of a level."""
    monkeypatch.setattr(about_posterior, "LEFT_OUT", 100 * 60 * 2)
    told = about_posterior.left_out(small())["measure"].tolist()
    assert told == [
        f"{how}, {kind}" for kind in ("conditional", "marginal") for how in ("leave-one-out", "WAIC")
    ]
    monkeypatch.setattr(about_posterior, "LEFT_OUT", 100 * 60 * 2 - 1)
    none = about_posterior.left_out(small())
    assert none.empty
    assert none.columns.tolist()[:3] == ["measure", "method", "kind"]


def test_draws_and_priors_are_told_by_what_made_them():
    fit = lmmkit.lmm("y ~ x + (1 | g)", table())
    found = lmmkit.posterior(fit, {"x": "normal(0, 2)"}, 100, seed=1)
    by = about_posterior.priors(found).set_index("parameter")["by"].to_dict()
    assert by == {name: "the study" if name == "x" else "lmmkit" for name in by}
    own = about_posterior.draws(found).set_index("quantity")["value"]
    assert own["draws"] == found.draws.count == 100
    assert own["k_hat_limit"] == 0.5
    assert own["effective_draws"] == found.effective


def test_an_axis_holds_nearly_all_draws_and_begins_at_zero_where_it_is_near():
    w = np.full(1001, 1 / 1001)
    x = np.linspace(0.0, 10.0, 1001)
    low, high = about_posterior._axis(x, w, Flat(), "coefficient")
    assert (low, high) == pytest.approx((0.01, 9.99), abs=0.011)
    assert about_posterior._axis(x, w, Flat(), "sd")[0] == 0.0
    assert about_posterior._axis(x, w, Flat(), "range")[0] == 0.0
    assert about_posterior._axis(x, w, Flat(), "cor") == (-1.0, 1.0)
    near, far = (about_posterior._axis(start + x / 10, w, Flat(), "sd")[0] for start in (0.6, 0.7))
    assert (near, far) == (0.0, pytest.approx(0.7, abs=0.01))  # 0.6 of 1.6 is below 0.4, 0.7 of 1.7 above


def test_facts_of_tables_of_a_posterior():
    told = {table.name: table.facts for table in about_posterior.TABLES}
    ends = {
        "mean": [1.0, 2.0, 3.0, 4.0],
        "estimate_low": [1.0, 0.0, 3.5, 0.0],
        "estimate_high": [2.0, 2.0, 4.0, 3.0],
    }
    assert told["posterior"](pd.DataFrame(ends)) == {"parameters": 4, "covered": 2}
    assert told["posterior_priors"](pd.DataFrame({"prior": ["flat", "normal(0, 1)"]})) == {
        "parameters": 2,
        "flat": 1,
    }
    assert told["posterior_answer"](pd.DataFrame({"not_above": [0.25, 1.0]})) == {
        "above zero 0": 0.75,
        "above zero 1": 0.0,
    }
    assert told["posterior_ranks"](pd.DataFrame({"first": [0.5, 0.49]})) == {"rows": 2, "sure of first": 1}
    assert told["posterior_predictive"](pd.DataFrame({"outside": [True, False, True]})) == {
        "statistics": 3,
        "outside": 2,
    }
    sensitive = pd.DataFrame({"prior": [0.25, 0.5, 0.0], "diagnosis": ["prior-data conflict", "", np.nan]})
    assert told["posterior_sensitivity"](sensitive) == {"parameters": 3, "sensitive": 1, "largest": 0.5}


def test_the_likelihood_of_a_parameter_is_its_posterior_without_its_own_prior():
    """Of weights over a normal prior; a draw without weight stays so."""
    x, w = np.array([-1.0, 0.0, 2.0, 3.0]), np.array([0.5, 0.25, 0.25, 0.0])
    without = about_posterior._without(small(), "x", read_prior("normal(0, 1)"), x, w)
    expected = w / norm.pdf(x)
    np.testing.assert_allclose(without, expected / expected.sum())
