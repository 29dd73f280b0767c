"""The step in closed form against the derivatives of the criterion of the rows left."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.engine.inference.information import (
    ExpectedInformation,
    exact_hessian,
    optimum_at,
    theta_directions,
)
from lmmkit.engine.influence import geometry
from lmmkit.engine.influence.deletion import units_of
from lmmkit.engine.influence.newton_step import NewtonSteps
from lmmkit.engine.influence.remaining import remaining


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("few", [1_500, 20, 0])
def test_a_step_is_newton_s_on_the_criterion_of_the_rows_left(reml, few, monkeypatch):
    monkeypatch.setattr(geometry, "FEW", few)
    r = np.random.default_rng(4)
    cls = np.repeat(np.arange(24), r.integers(3, 7, 24))
    n = len(cls)
    table = pd.DataFrame({"school": cls // 3, "cls": cls, "item": r.integers(0, 7, n), "x": r.normal(size=n)})
    table["y"] = r.normal(size=8)[table.school] + r.normal(size=24)[cls] + r.normal(size=7)[table.item]
    table["y"] += 0.5 * table.x + r.normal(size=n)
    estimates = lmm("y ~ x + (1 | school/cls) + (1 | item)", table, reml=reml).estimates
    optimum = estimates.optimum
    shape = geometry.geometry(optimum)
    codes = np.where(cls == 5, 0, -1)
    found = NewtonSteps(shape).run(units_of(codes, 1), np.ones(1, bool))
    left = optimum_at(remaining(estimates.problem, codes < 0), estimates.factors, reml=reml)
    state, L = left.state, np.array([root[0, 0] for root in left.state.L])
    in_L = exact_hessian(ExpectedInformation(left, theta_directions(left)))[
        0
    ]  # of T = L^2: in log T by the chain rule
    log_slope = state.gradient * L / 2.0
    H = in_L * np.outer(L, L) / 4.0 + np.diag(log_slope) / 2.0
    step = -np.linalg.solve(H, log_slope)
    made = np.array([root[0, 0, 0] for root in found.roots]) ** 2
    assert made == pytest.approx(L**2 * np.exp(step), rel=1e-8)
    after = left.criterion.evaluate(left.layout.coordinates([np.array([[x]]) for x in np.sqrt(made)]))
    scale = (left.prepared.scale / optimum.prepared.scale) ** 2
    assert found.variance[0] == pytest.approx(after.variance * scale, rel=2e-3)


def test_no_rows_left_out_is_the_fit_itself():
    g = np.repeat(np.arange(6), 5)
    r = np.random.default_rng(2)
    table = pd.DataFrame({"g": g, "x": r.normal(size=30), "y": r.normal(size=6)[g] + r.normal(size=30)})
    optimum = lmm("y ~ x + (1 + x | g)", table).estimates.optimum
    whole = NewtonSteps(geometry.geometry(optimum)).whole()
    assert whole.beta[0] == pytest.approx(optimum.state.beta, abs=1e-9)
    assert whole.variance[0] == pytest.approx(optimum.state.variance, rel=1e-9)
    for root, L in zip(whole.roots, optimum.state.L, strict=True):
        assert root[0] @ root[0].T == pytest.approx(L @ L.T, abs=1e-7)


def test_degrees_of_freedom_of_a_balanced_mean_are_those_between_groups():
    g = np.repeat(np.arange(6), 5)
    r = np.random.default_rng(1)
    table = pd.DataFrame({"g": g, "y": 2.0 * r.normal(size=6)[g] + r.normal(size=30)})
    optimum = lmm("y ~ 1 + (1 | g)", table).estimates.optimum
    whole = NewtonSteps(geometry.geometry(optimum)).whole()
    assert whole.degrees_of_freedom(np.ones(1)) == pytest.approx([5.0], rel=1e-5)
