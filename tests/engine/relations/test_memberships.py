"""Rows that belong to several levels of one factor."""

from dataclasses import replace

import numpy as np
import pytest

from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.solve import solve

ROWS, LEVELS = 200, 14


def problem_of(members, k=1, codes=None):
    """A random slope model over given memberships."""
    rng = np.random.default_rng(8)
    columns = (np.broadcast_to(1.0, ROWS), rng.normal(size=ROWS) + 4)
    y = 3 + 0.5 * columns[1] + rng.normal(size=ROWS)
    effects = rng.normal(size=(LEVELS, k))
    for level, weight in members:
        y = y + weight * sum(effects[level, c] * columns[c] * (1.0 if c == 0 else 0.3) for c in range(k))
    codes = members[0][0] if codes is None else codes
    term = Term(0, codes, LEVELS, tuple(range(k)), Unstructured(k), tuple(members))
    return Problem(columns, (0, 1), y, (term,))


def codes_of(seed):
    return np.random.default_rng(seed).permutation(np.arange(ROWS) % LEVELS)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("k", [1, 2])
def test_one_member_equals_the_plain_term(k, reml):
    given = problem_of([(codes_of(1), np.ones(ROWS))], k)
    plain = replace(given, terms=(replace(given.terms[0], members=()),))
    one, two = solve(given, reml=reml), solve(plain, reml=reml)
    assert one.converged
    assert one.deviance == pytest.approx(two.deviance, abs=1e-10)
    np.testing.assert_allclose(one.factors[0], two.factors[0], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(one.beta, two.beta, rtol=1e-8)
    np.testing.assert_allclose(one.random_effects()[0], two.random_effects()[0], atol=1e-6)
    np.testing.assert_allclose(one.conditional_variances()[0], two.conditional_variances()[0], rtol=1e-6)


def test_two_memberships_of_one_level_are_one_of_the_sum_of_their_weights():
    codes, rng = codes_of(2), np.random.default_rng(3)
    weight = rng.uniform(0.2, 1, ROWS)
    twice = problem_of([(codes, weight), (codes, 1 - weight)], 2)
    once = replace(twice, terms=(replace(twice.terms[0], members=((codes, np.ones(ROWS)),)),))
    assert solve(twice).deviance == pytest.approx(solve(once).deviance, abs=1e-9)


def test_order_of_memberships_does_not_matter():
    one, two = (codes_of(4), np.full(ROWS, 0.3)), (codes_of(5), np.full(ROWS, 0.7))
    given = problem_of([one, two], 2)
    turned = replace(given, terms=(replace(given.terms[0], codes=two[0], members=(two, one)),))
    assert solve(given).deviance == pytest.approx(solve(turned).deviance, abs=1e-9)


def test_a_row_without_member_keeps_its_fixed_part():
    weights = [np.full(ROWS, 0.5), np.full(ROWS, 0.5)]
    for weight in weights:
        weight[:30] = 0.0
    codes = [codes_of(6), codes_of(7)]
    given = problem_of(list(zip(codes, weights, strict=True)))
    found = solve(given)
    Z = np.zeros((ROWS, LEVELS))
    for level, weight in zip(codes, weights, strict=True):
        np.add.at(Z, (np.arange(ROWS), level), weight)
    V = np.eye(ROWS) + found.factors[0][0, 0] ** 2 * Z @ Z.T
    X = np.stack(given.columns, axis=1)
    expected = np.linalg.solve(X.T @ np.linalg.solve(V, X), X.T @ np.linalg.solve(V, given.response))
    np.testing.assert_allclose(found.beta, expected, rtol=1e-9)
    others = replace(
        given,
        columns=tuple(column[30:] for column in given.columns),
        response=given.response[30:],
        terms=(
            replace(
                given.terms[0],
                codes=codes[0][30:],
                members=tuple((c[30:], w[30:]) for c, w in zip(codes, weights, strict=True)),
            ),
        ),
    )
    assert abs(solve(others).beta - found.beta).max() > 1e-3
