"""One test for all structures with a pattern, T = D C D: a new one is a line of `support.patterns`."""

from dataclasses import replace

import numpy as np
import pytest
from support.patterns import PATTERNS, deviance, member, natural, problem, structure

from lmmkit.engine.covariance.block_diagonal import BlockDiagonal
from lmmkit.engine.covariance.roots import zero_pivots
from lmmkit.engine.covariance.structure_tags import has_one_variance, is_plain, structure_of
from lmmkit.engine.covariance.structures import Structure
from lmmkit.engine.setup import set_up
from lmmkit.engine.solve import solve
from lmmkit.errors import FitError

CASES = [(tag, k) for tag in PATTERNS for k in (2, 4)]


@pytest.fixture(params=CASES, ids=[f"{tag} {k}" for tag, k in CASES])
def case(request):
    return request.param


def T_of(of, x):
    L = of.root(x)
    return L @ L.T


def somewhere(of, seed=4):
    """Coordinates in no special place."""
    x = np.random.default_rng(seed).normal(size=of.count)
    return np.where(of.bounded, np.abs(x), x)


def differences(f, x, step=1e-6):
    steps = step * np.eye(len(x))
    return np.array([(f(x + s) - f(x - s)) / (2 * step) for s in steps])


def test_a_member_is_the_definition_and_its_parameters_are_read_back(case):
    of, G = structure(*case), member(*case)
    L = of.root_of(np.linalg.cholesky(G))
    np.testing.assert_allclose(L @ L.T, G, atol=1e-12)
    np.testing.assert_array_equal(L, np.tril(L))
    np.testing.assert_allclose(of.natural(G), natural(*case), rtol=1e-10)
    np.testing.assert_allclose(of.relative(L), natural(*case), rtol=1e-10)
    assert of.count == len(of.naturals) == len(of.natural_names("abcd"[: case[1]])) == len(natural(*case))
    assert of.contains(L)
    assert of.spans(G)
    assert not of.null(of.coordinates(L)).any()
    # several at once, as replicates come
    many = of.natural(np.stack([G, 4.0 * G], axis=2))
    np.testing.assert_allclose(many[:, 0], natural(*case), rtol=1e-10)


def test_what_is_no_member_is_told_apart(case):
    of, k = structure(*case), case[1]
    if of.count == k * (k + 1) // 2:
        pytest.skip("of two columns with a variance each every matrix is a member")
    assert not of.contains(np.linalg.cholesky(np.diag(np.arange(1.0, k + 1)) + 0.3))


def test_jacobian_and_curvature_are_those_of_differences(case):
    of = structure(*case)
    A = np.random.default_rng(5).normal(size=(of.width, of.width))
    x, D, c = somewhere(of), A + A.T, A[:, :1]
    for at in (x, np.where(of.bounded, -x, x)):
        J = differences(lambda x: T_of(of, x), at)
        np.testing.assert_allclose(of.jacobian(at), J, atol=1e-8)
        np.testing.assert_allclose(
            of.curvature(at, D), differences(lambda x: of.gradient(x, D), at), atol=3e-8
        )
    np.testing.assert_allclose(of.gradient(x, D), np.einsum("iab,ab->i", of.jacobian(x), D), atol=1e-12)
    np.testing.assert_allclose(of.working(x, c), np.einsum("iab,bj->aij", of.jacobian(x), c), atol=1e-12)


def test_tangents_span_the_same_directions_as_the_jacobian(case):
    of = structure(*case)
    x = somewhere(of)
    both = np.concatenate([of.tangent(x), of.jacobian(x)]).reshape(2 * of.count, -1)
    assert np.linalg.matrix_rank(both, tol=1e-8) == of.count


def test_deviance_gradient_and_hessian_are_those_of_dense_algebra(case):
    given = problem(*case)
    for reml in (True, False):
        criterion = (setup := set_up(given, reml=reml)).criterion
        rng = np.random.default_rng(8)
        theta = setup.start() + 0.2 * rng.uniform(size=criterion.layout.count)
        point = criterion.evaluate(theta)
        L = setup.layout.in_data_units(setup.prepared.term_bases, point.L)
        assert point.deviance == pytest.approx(deviance(given, [a @ a.T for a in L], reml), abs=1e-9)
        slopes = differences(lambda t, c=criterion: c.evaluate(t).deviance, theta, 1e-5)
        np.testing.assert_allclose(point.gradient, slopes, atol=1e-6)
        np.testing.assert_allclose(point.hessian, point.hessian.T, atol=1e-9)


def test_a_fit_meets_the_optimum_of_other_searches(case):
    given = problem(*case)
    for reml in (True, False):
        found = solve(given, reml=reml)
        assert found.converged
        assert all(check.passed for check in found.checks)
        assert found.deviance == pytest.approx(
            deviance(given, [a @ a.T for a in found.factors], reml), abs=1e-9
        )
        other = solve(given, reml=reml, algorithm="pls")  # which may stay where a standard deviation is zero
        assert found.deviance < other.deviance + 1e-7


def test_a_fit_does_not_depend_on_units_or_on_the_order_of_rows(case):
    given = problem(*case)
    found = solve(given)
    order = np.random.default_rng(1).permutation(len(given.response))
    moved = replace(
        given,
        columns=tuple(np.array(c)[order] for c in given.columns),
        response=1e3 * given.response[order],
        terms=tuple(replace(t, codes=t.codes[order]) for t in given.terms),
    )
    other = solve(moved)
    assert other.sigma == pytest.approx(1e3 * found.sigma, rel=1e-6)
    for a, b in zip(found.factors, other.factors, strict=True):
        np.testing.assert_allclose(a @ a.T, b @ b.T, atol=2e-5)


@pytest.mark.parametrize("tag", ["cs", "toep", "hetar1"])
def test_two_columns_with_a_variance_each_are_the_unstructured_matrix(tag):
    given = problem(tag, 2)
    free = replace(given, terms=(replace(given.terms[0], structure=structure_of("", 2)), given.terms[1]))
    one, two = solve(given), solve(free)
    assert one.deviance == pytest.approx(two.deviance, abs=1e-8)
    np.testing.assert_allclose(one.factors[0], two.factors[0], atol=1e-5)


@pytest.mark.parametrize("tag", ["homcs", "ar1", "homtoep"])
def test_two_columns_with_one_variance_are_not(tag):
    given = problem(tag, 2, G=np.diag([4.0, 0.2]))
    free = replace(given, terms=(replace(given.terms[0], structure=structure_of("", 2)), given.terms[1]))
    assert solve(given).deviance > solve(free).deviance + 1.0


def centred(given, level=True):
    """The response without what columns of a level have of their own; without what levels have, if wanted."""
    y, (first, *_) = given.response.copy(), given.terms
    for j in range(first.levels):
        mine = first.codes == j
        for c in first.columns:
            here = np.flatnonzero(mine & (given.columns[c] > 0))
            if len(here):
                y[here] -= y[here].mean() - (0.0 if level else given.response[mine].mean())
    return replace(given, response=y)


def test_where_there_is_no_variance_it_is_exactly_zero(case):
    tag, k = case
    found = solve(centred(problem(tag, k, seed=11, levels=40, crossed=False)))
    assert found.converged
    np.testing.assert_array_equal(found.factors[0], 0.0)
    assert found.null_directions == (k,)
    assert all(check.passed for check in found.checks)


@pytest.mark.parametrize("tag", ["homcs", "ar1", "homtoep", "ou", "exp"])
def test_effects_that_are_the_same_in_every_column_are_at_the_bound(tag):
    given = centred(problem(tag, 4, seed=2, G=np.ones((4, 4)), levels=30, crossed=False), level=False)
    found = solve(given)
    assert found.converged
    assert found.null_directions == (3,)
    assert all(check.passed for check in found.checks)
    plain = replace(given, terms=(replace(given.terms[0], columns=(0,), structure=structure_of("", 1)),))
    assert found.deviance == pytest.approx(solve(plain).deviance, abs=1e-7)


def test_growing_back_from_a_bound_is_the_derivative(case):
    of = structure(*case)
    A = np.random.default_rng(5).normal(size=(of.width, of.width))
    D, scale, L = A + A.T, np.full(of.width, 0.7), np.linalg.cholesky(member(*case))
    for value, back, left in of.thinner(L, scale):
        assert value > 0
        assert zero_pivots(of.root_of(left)) > 0 or type(of).tag in ("ou", "exp")
        assert np.isfinite(back).all()
    for slope, rows in of.growths(np.zeros_like(L), D, scale):
        assert slope == pytest.approx(np.sum(D * (rows @ rows.T)))
        grown = of.grown(np.zeros_like(L), rows, 0.3)
        np.testing.assert_allclose(grown @ grown.T, 0.3 * rows @ rows.T, atol=1e-12)
    assert of.growths_from_null(L, D, scale, 1e-6) == []


def test_em_is_refused_in_words_where_there_is_no_step():
    with pytest.raises(FitError, match="no step for the correlations of a structure that is compound symm"):
        solve(problem("cs", 3), algorithm="em")
    found = solve(problem("homdiag", 3), algorithm="em")
    assert found.deviance == pytest.approx(solve(problem("homdiag", 3)).deviance, abs=1e-6)


@pytest.mark.parametrize("algorithm", ["em-newton", "pls", "direct"])
def test_other_algorithms_find_the_same(algorithm):
    for tag in ("homcs", "toep", "ou"):
        given = problem(tag, 3)
        assert solve(given, algorithm=algorithm).deviance == pytest.approx(solve(given).deviance, abs=1e-7)


def test_parts_side_by_side_are_each_by_itself():
    parts = (((1, 3), structure("cs", 2)), ((0,), structure_of("", 1)), ((2, 4), structure("ar1", 2)))
    both = BlockDiagonal(5, parts)
    x = np.array([0.8, 1.2, 0.3, 0.5, 0.9, 0.4])
    A = np.random.default_rng(5).normal(size=(5, 5))
    D = A + A.T
    np.testing.assert_allclose(both.jacobian(x), differences(lambda x: T_of(both, x), x), atol=1e-8)
    np.testing.assert_allclose(both.curvature(x, D), differences(lambda x: both.gradient(x, D), x), atol=1e-7)
    assert both.bounded.tolist() == [True, True, False, False, False, False]
    assert not both.has_em
    assert [len(moved) for moved in both.trials(x)] == [6] * len(both.trials(x))
    with pytest.raises(FitError, match="without a pattern"):
        both.cones  # noqa: B018
    assert Structure.cones


def test_tags_say_what_is_plain_and_what_has_one_variance(case):
    tag, k = case
    assert not is_plain(tag)
    assert has_one_variance(tag) != PATTERNS[tag].own
    assert structure(tag, k).closed == ("scales" if PATTERNS[tag].own else "scale")
    for plain in ("", "diag"):
        assert is_plain(plain)
        assert not has_one_variance(plain)
