"""The step in closed form against the derivatives of the criterion of the rows left."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import expm
from support.dense import DenseKenwardRoger

from lmmkit import lmm
from lmmkit.engine.covariance.roots import semidefinite_factor
from lmmkit.engine.inference.information import (
    ExpectedInformation,
    exact_hessian,
    optimum_at,
    theta_directions,
)
from lmmkit.engine.influence import geometry, newton_step
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


@cache
def slopes() -> pd.DataFrame:
    """Two crossed factors, of slopes and of intercepts."""
    r = np.random.default_rng(9)
    g, h = np.repeat(np.arange(12), 6), np.tile(np.arange(6), 12)
    table = pd.DataFrame({"g": g, "h": h, "x": r.normal(size=72), "w": r.uniform(0.5, 2.0, 72)})
    effects = r.normal(size=(12, 2)) @ np.array([[1.5, 0.4], [0.0, 1.5]])
    table["y"] = effects[g, 0] + effects[g, 1] * table.x + 2.0 * r.normal(size=6)[h]
    return table.assign(y=table.y + 0.7 * r.normal(size=72))


STEPPED = ["y ~ x + (x | g) + (1 | h)", "y ~ x + diag(x | g) + (1 | h)", "y ~ x + cs(x | g) + (1 | h)"]


@pytest.mark.parametrize(
    ("chart", "formula", "reml"),
    [
        ("log", STEPPED[0], True),
        ("log", STEPPED[0], False),
        ("log", STEPPED[1], True),
        ("log", STEPPED[2], False),
        ("search", STEPPED[0], True),
        ("search", STEPPED[1], False),
    ],
)
def test_a_step_of_matrices_is_newton_s_in_its_coordinates(formula, chart, reml, monkeypatch):
    """By differences of the deviance without the rows; what follows is along its derivatives there."""
    if chart == "search":
        monkeypatch.setattr(newton_step, "TOLD", np.inf)
    e = lmm(formula, slopes(), reml=reml, weights="w").estimates
    optimum, codes = e.optimum, np.where(slopes().g == 4, 0, -1)
    steps = NewtonSteps(geometry.geometry(optimum))
    logs = [made.basis is not None for made in steps.charts]
    assert logs == [chart == "log" and not part.startswith("cs") for part in formula.split(" + ")[1:]]
    found = steps.run(units_of(codes, 1), np.ones(1, bool))
    left = optimum_at(remaining(e.problem, codes < 0), e.factors, reml=reml)

    def at(roots):
        factors = optimum.factors([semidefinite_factor(root) for root in roots])
        L = left.layout.in_prepared_units(left.prepared.term_bases, factors)
        return left.criterion.evaluate(left.layout.coordinates(L))

    def moved(z):
        """Roots after a step in the coordinates of the factors."""
        out = []
        for own, made in zip(steps.places, steps.charts, strict=True):
            if made.basis is None:
                out.append(made.structure.root(made.x + z[own]))
            else:
                out.append(made.L @ expm(np.einsum("i,iab->ab", z[own], made.basis) / 2.0))
        return out

    m, h = steps.coordinates, 1e-3
    unit, zero = h * np.eye(m), np.zeros(m)
    deviance = lambda z: at(moved(z)).deviance  # noqa: E731
    gradient = np.array([(deviance(u) - deviance(-u)) / (2 * h) for u in unit])
    H = np.array(
        [[deviance(u + v) - deviance(u - v) - deviance(v - u) + deviance(-u - v) for u in unit] for v in unit]
    ) / (4 * h * h)
    T = [root @ root.T for root in moved(-np.linalg.solve(H, gradient))]
    for made, wanted in zip(found.roots, T, strict=True):
        np.testing.assert_allclose(made[0] @ made[0].T, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    ends = [root[0] @ root[0].T for root in found.roots]
    start = [root @ root.T for root in moved(zero)]
    share = 1e-4
    along = [
        at([np.linalg.cholesky(a + s * (b - a)) for a, b in zip(start, ends, strict=True)])
        for s in (-share, 0.0, share)
    ]

    def of(state, prepared):
        inner = np.linalg.inv(state.XVX)
        S = prepared.basis
        return prepared.beta + prepared.scale * S @ state.beta, S @ inner @ S.T, prepared.scale**2 * state.r2

    low, here, high = (of(state, left.prepared) for state in along)
    beta, Phi = (here[i] + (high[i] - low[i]) / (2 * share) for i in (0, 1))
    prepared = optimum.prepared
    ours = prepared.beta + prepared.scale * prepared.basis @ found.beta[0]
    np.testing.assert_allclose(ours, beta, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prepared.basis @ found.Phi[0] @ prepared.basis.T, Phi, rtol=1e-5, atol=1e-7)
    bend = (high[2] - 2 * here[2] + low[2]) / share**2
    r2 = here[2] + (high[2] - low[2]) / (2 * share) + bend / 2.0
    variance = r2 / left.criterion.nu
    assert prepared.scale**2 * found.variance[0] == pytest.approx(variance, rel=1e-5)
    before = prepared.basis @ found.phi_before[0] @ prepared.basis.T
    np.testing.assert_allclose(before, here[1], rtol=1e-8, atol=1e-12)
    assert prepared.scale**2 * found.variance_before[0] == pytest.approx(
        here[2] / left.criterion.nu, rel=1e-8
    )


@pytest.mark.parametrize("formula", STEPPED[:2])
def test_degrees_of_freedom_without_a_unit_are_satterthwaite_s_of_the_rows_left(formula):
    """By the expected information of the matrices written out."""
    e = lmm(formula, slopes(), weights="w").estimates
    codes = np.where(slopes().g == 4, 0, -1)
    found = NewtonSteps(geometry.geometry(e.optimum)).run(units_of(codes, 1), np.ones(1, bool))
    left, prepared = remaining(e.problem, codes < 0), e.optimum.prepared
    sigma = prepared.scale * float(np.sqrt(found.variance_before[0]))
    dense = DenseKenwardRoger(left, (0, 1), e.factors, sigma)
    for c in (np.array([1.0, 0.0]), np.array([0.3, -1.0])):
        g = np.array([c @ dense.Phi @ P @ dense.Phi @ c for P in dense.P])
        expected = 2.0 * (c @ dense.Phi @ c) ** 2 / (g @ dense.W @ g)
        assert found.degrees_of_freedom(c @ prepared.basis)[0] == pytest.approx(expected, rel=1e-6)


def test_units_that_are_not_wanted_and_steps_that_go_too_far_have_no_numbers(monkeypatch):
    e = lmm("y ~ x + (1 | g)", slopes()).estimates
    steps = NewtonSteps(geometry.geometry(e.optimum))
    units = units_of(slopes().g.to_numpy(), 12)
    found = steps.run(units, np.arange(12) == 3)
    assert np.isfinite(found.variance).tolist() == [unit == 3 for unit in range(12)]
    assert np.isfinite(found.roots[0][:, 0, 0]).tolist() == [unit == 3 for unit in range(12)]
    monkeypatch.setattr(newton_step, "FARTHEST", 0.0)
    none = steps.run(units, np.ones(12, bool))
    assert np.isnan(none.variance).all()
    assert np.isnan(none.Phi).all()
    assert np.isfinite(none.variance_before).all()
    assert steps.work == 14.0**2 * 2.0
