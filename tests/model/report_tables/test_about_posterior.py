"""The answer of a posterior: what a focus asks for, whatever the model and its coding."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import lmmkit
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
