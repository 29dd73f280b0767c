"""Searches over serial, spatial and variance structures: optima, budgets, boundaries, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmmkit.engine.covariance.row_structure import RowStructure, VarianceFunction
from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.crossproducts import whitened
from lmmkit.engine.crossproducts.whitening import serial, spatial
from lmmkit.engine.problem import Problem, RowResidual, Term
from lmmkit.engine.solve import solve
from lmmkit.errors import FitError

REFERENCE = Path(__file__).parents[2] / "reference"


def car1(subjects, times, function=None, covariate=None):
    return RowResidual(RowStructure(function, serial(subjects, times)), subjects, covariate, times=times)


def bodyweight(slopes):
    """Rats weighed at uneven times: weight ~ Time * Diet, with a random intercept and slope or none."""
    frame = pd.read_csv(REFERENCE / "residual" / "BodyWeight.csv", dtype={"Rat": str, "Diet": str})
    rat, time = np.unique(frame.Rat, return_inverse=True)[1], frame.Time.to_numpy(float)
    diets = [(frame.Diet == d).to_numpy(float) for d in ("2", "3")]
    columns = (np.ones(len(time)), time, *diets, *(time * d for d in diets))
    terms = (Term(0, rat, 16, (0, 1), Unstructured(2)),) if slopes else ()
    return Problem(columns, tuple(range(6)), frame.weight.to_numpy(float), terms, residual=car1(rat, time))


# 100-digit arithmetic, nlme's models gls(corCAR1) and lme(~Time | Rat, corExp)
KNOWN = {
    (False, True): (1152.0880483531876, 37.66602631611429, -1 / np.log(0.9979432846930639), 8),
    (False, False): (1167.2830486833784, 33.962664288617226, -1 / np.log(0.9975122336821252), 8),
    (True, True): (1132.0591801157868, 4.550128195798319, 3.6505191561871695, 16),
    (True, False): (1146.1608760660683, 4.548607114507626, 3.6414332613095466, 16),
}


@pytest.mark.parametrize(("slopes", "reml"), KNOWN)
def test_serial_correlation_at_uneven_times_is_the_optimum_within_its_budget(slopes, reml):
    deviance, sigma, scale, budget = KNOWN[slopes, reml]
    found = solve(bodyweight(slopes), reml=reml)
    assert found.converged
    assert found.deviance == pytest.approx(deviance, abs=1e-10)
    assert found.sigma == pytest.approx(sigma, rel=1e-8)
    structure = found.optimum.criterion.source.structure
    assert structure.natural(found.rho)[0] == pytest.approx(scale, rel=1e-8)
    assert found.evaluations <= budget
    assert all(check.passed for check in found.checks)


@pytest.mark.parametrize("algorithm", ["em-newton", "pls", "direct"])
def test_other_algorithms_end_at_the_same_place(algorithm):
    problem = bodyweight(slopes=True)
    assert solve(problem, algorithm=algorithm).deviance == pytest.approx(1132.0591801157868, abs=1e-7)


@pytest.mark.parametrize("algorithm", ["em", "em-accelerated"])
def test_em_has_no_step_for_r(algorithm):
    with pytest.raises(FitError, match="residual structure"):
        solve(bodyweight(slopes=True), algorithm=algorithm)


def orthodont(function, *, effects):
    frame = pd.read_csv(REFERENCE / "data" / "Orthodont.csv")
    subject = np.unique(frame.Subject, return_inverse=True)[1]
    age, male = frame.age.to_numpy(float), (frame.Sex == "Male").to_numpy(float)
    columns = (np.ones(len(age)), age, male, age * male)
    terms = (Term(0, subject, 27, (0,), Unstructured(1)),) if effects else ()
    residual = RowResidual(RowStructure(function, None), np.arange(len(age)))
    return Problem(columns, (0, 1, 2, 3), frame.distance.to_numpy(float), terms, residual=residual)


def test_power_of_the_fitted_values_is_a_fixed_point():
    function = VarianceFunction("power", ("power",), fitted=True)
    for effects, minus_half, power in ((False, -241.7331433, None), (True, -216.2960799, 1.06339)):
        found = solve(orthodont(function, effects=effects))
        assert -found.deviance / 2.0 == pytest.approx(minus_half, abs=1e-7)
        if power:
            assert found.rho[0] == pytest.approx(power, abs=1e-5)
        again = solve(found.optimum.problem)
        assert again.rho[0] == pytest.approx(found.rho[0], abs=1e-8)


def data(seed=0, subjects=40, rows=10):
    rng = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(subjects), rows), np.tile(np.arange(float(rows)), subjects)
    return rng, g, t, rng.normal(size=len(g))


@pytest.mark.parametrize("effects", [False, True])
def test_negative_correlation_ends_at_no_serial_correlation(effects):
    _, g, t, e = data()
    y = e.copy()
    y[1:] -= 0.5 * e[:-1]
    terms = (Term(0, g, 40, (0,), Unstructured(1)),) if effects else ()
    problem = Problem((np.ones(len(g)), t), (0, 1), y, terms, residual=car1(g, t))
    found = solve(problem)
    structure = problem.residual.structure
    assert found.converged
    assert np.isfinite(found.unscaled_vcov).all()
    assert structure.no_correlation(found.rho)
    assert structure.natural(found.rho)[0] == 0.0
    assert all(check.passed for check in found.checks)
    if effects:
        independent = solve(replace(problem, residual=None))
        assert found.deviance == pytest.approx(independent.deviance, abs=1e-9)


def test_a_range_without_end_is_refused_by_name_and_not_by_a_flat_hessian():
    # a drift through the field that no distance in it brings to an end
    rng = np.random.default_rng(3)
    place = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), axis=-1).reshape(-1, 2)
    y = 5.0 * place[:, 0] + 3.0 * place[:, 1] + 0.5 * rng.normal(size=100)
    field = np.zeros(100, np.intp)
    structure = RowStructure(None, spatial(field, place, nugget=True))
    problem = Problem((np.ones(100),), (0,), y, (), residual=RowResidual(structure, field, positions=place))
    with pytest.raises(FitError, match=r"range grows without bound.*nugget"):
        solve(problem)


def test_two_rows_at_one_time_or_place_are_named():
    subjects, times = np.array([0, 0, 1, 1]), np.array([1.0, 2.0, 5.0, 5.0])
    with pytest.raises(FitError, match="Subject b has two rows at time 5"):
        serial(subjects, times, lambda s: "ab"[s])
    with pytest.raises(FitError, match="Subject b has two rows at the place"):
        spatial(subjects, np.stack([times, times], axis=1), False, lambda s: "ab"[s])
    with pytest.raises(FitError, match="Every subject has one row"):
        serial(np.arange(4), times)


def test_a_subject_too_large_for_a_dense_matrix_is_refused_before_it_is_made():
    place = np.arange(6_002.0).reshape(-1, 2)
    with pytest.raises(FitError, match=r"3,001 rows.*at most 3,000"):
        spatial(np.zeros(3_001, np.intp), place, nugget=False)


def growing(kind, centre, seed=5):
    """Residual SDs that grow with a covariate, wherever its zero lies, beside random intercepts."""
    rng, g, t, e = data(seed)
    v = centre + rng.uniform(0.0, 0.5 * centre if kind == "power" else 3.0, len(g))
    logs = np.log(v) if kind == "power" else v
    y = 1.0 + 0.3 * t + rng.normal(size=40)[g] + np.exp(0.6 * (logs - logs.mean())) * e
    function = VarianceFunction(kind, (kind,))
    terms = (Term(0, g, 40, (0,), Unstructured(1)),)
    return Problem((np.ones(len(g)), t), (0, 1), y, terms, residual=car1(g, t, function, v))


@pytest.mark.parametrize(("kind", "centre"), [("power", 1.0), ("power", 1e6), ("exp", 0.0), ("exp", 200.0)])
def test_variance_functions_do_not_depend_on_where_their_covariate_lies(kind, centre):
    problem = growing(kind, centre)
    found = solve(problem)
    assert found.converged
    assert found.evaluations <= 16
    residual = problem.residual
    moved = residual.covariate * 3.0 if kind == "power" else residual.covariate + 7.0
    other = solve(replace(problem, residual=replace(residual, covariate=moved)))
    change = np.exp(found.rho[0] * (np.log(3.0) if kind == "power" else 7.0))
    assert other.deviance == pytest.approx(found.deviance, abs=1e-9)
    np.testing.assert_allclose(other.rho, found.rho, atol=1e-6)
    assert other.sigma * change == pytest.approx(found.sigma, rel=1e-5)
    assert other.factors[0][0, 0] == pytest.approx(found.factors[0][0, 0] * change, rel=1e-5)
    np.testing.assert_allclose(
        other.unscaled_vcov * other.sigma**2, found.unscaled_vcov * found.sigma**2, rtol=1e-6
    )
    state = found.optimum.state  # of the problem as given
    assert state.deviance == pytest.approx(found.deviance, abs=1e-8)


def test_a_covariate_too_far_from_where_sigma_is_told():
    with pytest.raises(FitError, match="subtract its mean"):
        solve(growing("exp", 2_000.0))


@settings(max_examples=8, deadline=None)
@given(
    shift=st.floats(-1e3, 1e3),
    scale=st.floats(1e-3, 1e3),
    later=st.floats(-1e3, 1e3),
    slower=st.floats(1e-2, 1e2),
    seed=st.integers(0, 1_000),
)
def test_rows_in_any_order_and_units_of_response_and_time(shift, scale, later, slower, seed):
    rng, g, t, e = data(1, subjects=12, rows=6)
    u = e.copy()
    for i in range(1, len(u)):
        u[i] = e[i] if t[i] == 0 else 0.6 * u[i - 1] + 0.8 * e[i]
    y = u + 0.5 * rng.normal(size=12)[g]
    one = solve(Problem((np.ones(len(g)), t), (0, 1), y, (), residual=car1(g, t)))
    order = np.random.default_rng(seed).permutation(len(g))
    g, t, y = g[order], later + slower * t[order], shift + scale * y[order]
    other = solve(Problem((np.ones(len(g)), t), (0, 1), y, (), residual=car1(g, t)))
    n = len(g) - 2
    # the REML criterion has |X'V^-1X| of time's units
    expected = one.deviance + 2.0 * n * np.log(scale) + 2.0 * np.log(slower)
    assert other.deviance == pytest.approx(expected, abs=1e-7)
    scales = [f.optimum.criterion.source.structure.natural(f.rho)[0] for f in (one, other)]
    assert scales[1] == pytest.approx(slower * scales[0], rel=1e-5)
    assert other.sigma == pytest.approx(scale * one.sigma, rel=1e-5)


def test_a_crossed_term_that_whitening_mixes_beyond_memory_is_refused_in_words(monkeypatch):
    _, g, t, e = data()
    items = Term(0, np.arange(len(g)) % 7, 7, (0,), Unstructured(1))
    problem = Problem((np.ones(len(g)), t), (0, 1), e, (items,), residual=car1(g, t))
    assert solve(problem).converged
    monkeypatch.setattr(whitened, "MIXED", 1e2)
    with pytest.raises(FitError, match="rows of different levels of a crossed random-effects term"):
        solve(problem)
