"""Each part of Henderson's equations is measured in its own unit, and rounding is allowed for."""

from dataclasses import replace

import numpy as np
import pytest

from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.referee.equation_residuals import (
    EPS,
    RATIO,
    SAFETY,
    TOLERANCE,
    Claim,
    amplification,
    fixed_part,
    random_part,
    residual_part,
    rounding,
)
from lmmkit.engine.referee.textbook import to_dense, write_out
from lmmkit.engine.solve import solve

N, LEVELS = 40, 8


@pytest.fixture(params=["plain", "weighted, with an offset"])
def claim(request):
    """A solution as it is claimed."""
    rng = np.random.default_rng(1)
    codes, x = np.arange(N) % LEVELS, rng.normal(size=N)
    y = 3 + x + rng.normal(size=LEVELS)[codes] + rng.normal(size=LEVELS)[codes] * x + rng.normal(size=N)
    extra = {} if request.param == "plain" else {"weights": rng.uniform(0.5, 2, N), "offset": 5 * x}
    term = Term(0, codes, LEVELS, (0, 1), Unstructured(2))
    problem = Problem((np.broadcast_to(1.0, N), x), (0, 1), y, (term,), **extra)
    found = solve(problem)
    return Claim(**found.numbers(), problem=problem, b=found.random_effects())


def test_a_solution_solves_the_equations(claim):
    for part in (fixed_part, random_part, residual_part):
        assert part(claim).value <= part(claim).threshold


def test_thresholds_are_the_tolerance_and_little_rounding(claim):
    assert TOLERANCE < fixed_part(claim).threshold < TOLERANCE + 1e-11
    assert TOLERANCE < random_part(claim).threshold < TOLERANCE + 1e-11
    assert RATIO < residual_part(claim).threshold < RATIO + 1e-12


@pytest.mark.parametrize("place", [0, 1])
def test_the_fixed_part_is_in_standard_errors_of_what_is_left_to_solve(claim, place):
    model = to_dense(write_out(claim.problem, claim.kept, claim.factors, claim.sigma))
    weights = 1.0 if claim.problem.weights is None else claim.problem.weights
    off = claim.beta.copy()
    off[place] += 0.01
    moved = replace(claim, beta=off)
    g = model.X.T @ (weights * model.X[:, place]) * -0.01
    length = np.sqrt(g @ claim.unscaled_vcov @ g) / claim.sigma
    assert fixed_part(moved).value == pytest.approx(length, rel=1e-6)


def test_the_random_part_is_in_standard_deviations(claim):
    L, b = claim.factors[0], claim.b[0].copy()
    b[3] += L @ [0.02, 0.0]
    moved = replace(claim, b=(b,))
    # v moves by 0.02, and so does the score by Λ'Z'W Z Λ
    Z = np.column_stack(claim.problem.columns) * (claim.problem.terms[0].codes == 3)[:, None]
    weights = 1.0 if claim.problem.weights is None else claim.problem.weights
    change = (L.T @ (Z.T * weights) @ Z @ L + np.eye(2)) @ [0.02, 0.0]
    assert random_part(moved).value == pytest.approx(np.abs(change).max() / claim.sigma, rel=1e-4)


def test_random_effects_outside_their_covariance_matrix_are_seen(claim):
    singular = replace(claim, factors=(np.diag([1.0, 0.0]),))
    assert random_part(singular).value > 0.1


def test_the_residual_part_is_a_ratio_of_sigma(claim):
    moved = replace(claim, sigma=1.001 * claim.sigma)
    assert residual_part(moved).value == pytest.approx(1 - 1 / 1.001, rel=1e-6)
    n, p = N, len(claim.beta)
    other = replace(claim, reml=False)
    assert residual_part(other).value == pytest.approx(1 - np.sqrt((n - p) / n), rel=1e-6)


def test_amplification_bounds_the_largest_eigenvalue_of_v(claim):
    model = to_dense(write_out(claim.problem, claim.kept, claim.factors, 1.0))
    V = model.Z @ model.G @ model.Z.T + model.R
    relative = V / np.sqrt(np.outer(np.diag(model.R), np.diag(model.R)))
    largest = np.linalg.eigvalsh(relative)[-1]
    assert largest <= amplification(claim) <= 20 * largest


def test_rounding_grows_with_the_response(claim):
    n, most = N, np.abs(claim.problem.response).max()
    weight = 1.0 if claim.problem.weights is None else claim.problem.weights.max()
    least = SAFETY * EPS * np.sqrt(n * amplification(claim) * weight) * most / claim.sigma
    assert least < rounding(claim) < 5 * least
    y = claim.problem.response * 1e6
    assert rounding(replace(claim, problem=replace(claim.problem, response=y))) > 1e5 * rounding(claim)
