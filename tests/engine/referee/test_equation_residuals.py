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
from lmmkit.engine.relations.pedigree import pedigree_of
from lmmkit.engine.relations.relationship import dense_relationship
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


def test_tolerances_are_a_millionth_of_an_error_and_a_hundredth_of_that_of_sigma():
    assert (TOLERANCE, RATIO, SAFETY) == (1e-6, 1e-8, 16.0)


@pytest.mark.parametrize("kind", ["members", "related", "pedigree"])
def test_effects_of_members_and_of_relatives_solve_their_equations(kind):
    """And one that has moved by 0.02 standard deviations is seen as that, with what it does to the score."""
    rng = np.random.default_rng(2)
    codes, other, one = rng.integers(0, LEVELS, N), rng.integers(0, LEVELS, N), np.ones(N)
    if kind == "members":
        how = {"members": ((codes, one), (other, np.where(other == codes, 0.0, 0.5)))}
    elif kind == "related":
        root = rng.normal(size=(LEVELS, LEVELS))
        how = {"relation": dense_relationship(root @ root.T / LEVELS + np.eye(LEVELS))}
    else:
        names = [str(i) for i in range(LEVELS)]
        how = {
            "relation": pedigree_of(
                names, ["", "", "", "0", "0", "3", "3", "5"], ["", "", "", "1", "2", "4", "1", "6"]
            )
        }
    y = rng.normal(size=LEVELS)[codes] + rng.normal(size=N)
    problem = Problem((one,), (0,), y, (Term(0, codes, LEVELS, (0,), Unstructured(1), **how),))
    found = solve(problem, start=(np.array([[0.8]]),))
    held = Claim(**found.numbers(), problem=problem, b=found.random_effects())
    for part in (fixed_part, random_part, residual_part):
        assert part(held).value <= part(held).threshold
    model = to_dense(write_out(problem, held.kept, held.factors, 1.0))
    V = model.Z @ model.G @ model.Z.T + np.eye(N)
    largest = np.linalg.eigvalsh(V)[-1]
    assert largest <= amplification(held) <= 20 * largest
    L, b = held.factors[0][0, 0], held.b[0].copy()
    b[3] += 0.02 * L
    K, Z = model.G / L**2, model.Z
    root = np.abs(how["relation"].half) if kind == "related" else np.eye(LEVELS)
    rows = np.abs(Z) @ (K if kind == "pedigree" else root @ root.T) @ np.abs(Z).sum(axis=0)
    assert amplification(held) == pytest.approx(1.0 + L**2 * rows.max())  # the largest row sum of Z K Z'
    score, v = -(L**2) * 0.02 * (Z.T @ Z)[:, 3], 0.02 * np.eye(LEVELS)[3]
    change = np.linalg.solve(K, v) - score if kind == "members" else v - K @ score
    moved = random_part(replace(held, b=(b,))).value
    assert moved == pytest.approx(np.abs(change).max() / held.sigma, rel=1e-4)


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


def test_the_worst_term_is_told_and_what_is_outside_of_it():
    rng, x = np.random.default_rng(5), np.linspace(-1.0, 2.0, N)
    terms = (
        Term(0, np.arange(N) % 8, 8, (0, 1), Unstructured(2)),
        Term(1, np.arange(N) % 5, 5, (0,), Unstructured(1)),
    )
    problem = Problem((np.ones(N), x), (0,), rng.normal(size=N), terms)
    given = Claim(
        reml=True, kept=(0,), beta=np.zeros(1), unscaled_vcov=np.eye(1), factors=(np.eye(2), np.eye(1)),
        rho=np.empty(0), sigma=2.0, deviance=0.0, null_directions=(0, 0), converged=True, evaluations=1,
        problem=problem, b=(np.zeros((8, 2)), np.zeros((5, 1))),
    )  # fmt: skip
    one, two = (float(np.abs(scores).max()) for scores in given.scores)
    for factors, worst in (
        ((np.eye(2), 1e-3 * np.eye(1)), one),
        ((1e-3 * np.eye(2), np.eye(1)), two),
    ):
        assert random_part(replace(given, factors=factors)).value == pytest.approx(worst / 2.0)
    b = np.zeros((8, 2))
    b[3, 1] = 0.5  # of a column without variance, beside an SD of 0.001
    outside = replace(given, factors=(np.diag([1e-3, 0.0]), 1e-3 * np.eye(1)), b=(b, given.b[1]))
    assert random_part(outside).value == pytest.approx(0.5 / 1e-3 / 2.0)


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


class Written:
    """A residual structure of two rows that are correlated, and the others not."""

    R = np.eye(N)
    R[0, 1] = R[1, 0] = 0.5
    spread = 4.0

    def solved(self, values):
        return np.linalg.solve(self.R, values)


def test_a_residual_structure_stands_between_residuals_and_their_bounds(claim):
    other = replace(claim, written=Written())
    roots = np.ones(N) if claim.problem.weights is None else np.sqrt(claim.problem.weights)
    inverse = np.linalg.inv(Written.R) * np.outer(roots, roots)
    np.testing.assert_allclose(other.We, inverse @ claim.e)
    assert amplification(other) - 1.0 == pytest.approx(4.0 * (amplification(claim) - 1.0))
    assert rounding(other) > 2.0 * rounding(claim)


def test_amplification_goes_by_the_largest_weight_and_the_fullest_level():
    rng, codes, x = np.random.default_rng(1), np.minimum(np.arange(N) // 3, 5), np.linspace(-3.0, 2.0, N)
    weights, L = rng.uniform(0.5, 8.0, N), np.array([[0.8, 0.0], [0.3, 0.4]])
    problem = Problem(
        (np.ones(N), x), (0,), rng.normal(size=N), (Term(0, codes, 6, (0, 1), Unstructured(2)),), weights
    )
    given = Claim(
        reml=True, kept=(0,), beta=np.zeros(1), unscaled_vcov=np.eye(1), factors=(L,), rho=np.empty(0),
        sigma=1.0, deviance=0.0, null_directions=(0,), converged=True, evaluations=1,
        problem=problem, b=(np.zeros((6, 2)),),
    )  # fmt: skip
    fullest, squares = np.bincount(codes).max(), np.array([0.8**2, 9.0 * (0.3**2 + 0.4**2)])
    assert amplification(given) == pytest.approx(1.0 + weights.max() * fullest * squares.sum())


@pytest.mark.parametrize("written", [None, Written()])
def test_thresholds_are_tolerances_and_bounds_of_rounding_term_by_term(claim, written):
    """g = X'W e is what rounding leaves of it, but no more than it is."""
    held = replace(claim, written=written)
    problem, (L,), (b,), sigma, n = held.problem, held.factors, held.b, held.sigma, N
    w = np.ones(n) if problem.weights is None else problem.weights
    spread, unit = 1.0 if written is None else 4.0, SAFETY * EPS
    X = np.column_stack(problem.columns)
    largest = np.abs(X).max(axis=0)
    effects = np.abs(b).max(axis=0) @ largest
    size = np.sqrt(spread * w.max()) * (
        np.abs(problem.response).max() + np.abs(held.beta) @ largest + effects
    )
    each = unit * np.sqrt(n * amplification(held)) * size / sigma
    assert rounding(held) == pytest.approx(each)
    norms = np.sqrt(spread * (w @ X**2))
    se, g = np.sqrt(np.diag(held.unscaled_vcov)), np.abs(X.T @ held.We)
    collinear = se @ (unit * norms * np.sqrt(spread * (w @ held.e**2)))
    collinear += np.sqrt(EPS) * se @ np.minimum(g, unit * norms * np.sqrt(n) * size)
    assert fixed_part(held).threshold - TOLERANCE == pytest.approx(each + collinear / sigma, rel=1e-6)
    inexact = (np.abs(b) @ np.abs(np.linalg.inv(L)).T).max()
    assert random_part(held).threshold - TOLERANCE == pytest.approx(each + unit * inexact / sigma, rel=1e-6)
    slack = unit * size / sigma * (1.0 + effects / sigma)
    assert residual_part(held).threshold - RATIO == pytest.approx(slack, rel=1e-6)
