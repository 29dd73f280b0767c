"""The answer of a posterior: what a focus asks for, whatever the model and its coding."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.model.report_tables import about_answer, about_posterior


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
