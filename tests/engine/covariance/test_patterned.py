"""One test for all structures with a pattern, T = D C D: a new one is a line of `support.patterns`."""

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from support.differences import differences
from support.patterns import PATTERNS, PLACES, deviance, member, natural, problem, structure

from lmmkit.engine.covariance.block_diagonal import BlockDiagonal
from lmmkit.engine.covariance.patterned import GRID, INWARD, TRIED, WIDEST_START, Fading, PatternedStructure
from lmmkit.engine.covariance.roots import zero_pivots
from lmmkit.engine.covariance.structure_tags import OVER_POSITIONS, has_one_variance, is_plain, structure_of
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


@cache
def fitted(tag, k, reml=True):
    """The fit of the small problem, which several tests look at."""
    return solve(problem(tag, k), reml=reml)


def test_a_fit_meets_the_optimum_of_other_searches(case):
    given = problem(*case)
    for reml in (True, False):
        found = fitted(*case, reml)
        assert found.converged
        assert all(check.passed for check in found.checks)
        assert found.deviance == pytest.approx(
            deviance(given, [a @ a.T for a in found.factors], reml), abs=1e-9
        )
        if reml == (case[1] == 4):  # each of the two somewhere
            other = solve(given, reml=reml, algorithm="pls")  # it may stay where a standard deviation is zero
            assert found.deviance < other.deviance + 1e-7


@pytest.mark.parametrize("tag", PATTERNS)
def test_a_fit_does_not_depend_on_units_or_on_the_order_of_rows(tag):
    given, found = problem(tag), fitted(tag, 4)
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
    one, two = fitted(tag, 2), solve(free)
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
    assert found.deviance == pytest.approx(fitted("homdiag", 3).deviance, abs=1e-6)


@pytest.mark.parametrize("algorithm", ["em-newton", "pls", "direct"])
def test_other_algorithms_find_the_same(algorithm):
    for tag in ("homcs", "toep", "ou"):
        other = solve(problem(tag, 3), algorithm=algorithm)
        assert other.deviance == pytest.approx(fitted(tag, 3).deviance, abs=1e-7)


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
    assert (tag in OVER_POSITIONS) == (tag in PLACES)
    for plain in ("", "diag"):
        assert is_plain(plain)
        assert not has_one_variance(plain)


def test_each_answer_of_parts_side_by_side_is_that_of_the_part():
    one, two, three = structure("cs", 2), structure_of("", 1), structure("ar1", 2)
    both = BlockDiagonal(5, (((1, 3), one), ((0,), two), ((2, 4), three)))
    x, cuts = np.array([0.8, 1.2, 0.3, 0.5, 0.9, 0.4]), (slice(0, 3), slice(3, 4), slice(4, 6))
    columns, parts = ([1, 3], [0], [2, 4]), (one, two, three)
    A = np.random.default_rng(5).normal(size=(5, 5))
    D, scale, L = A + A.T, np.array([1.0, 2.0, 0.5, 3.0, 0.7]), both.root(x)
    for of, own, cut in zip(parts, columns, cuts, strict=True):
        here = np.ix_(own, own)
        start = both.start(D, scale, 0.3)[cut]
        np.testing.assert_array_equal(start, of.start(D[here], scale[own], 0.3))
        tangent = both.tangent(x)[:, own][:, :, own]
        np.testing.assert_array_equal(tangent[tangent.any(axis=(1, 2))], of.tangent(x[cut]))
    each = [of.imbalance(L[np.ix_(c, c)], D[np.ix_(c, c)]) for of, c in zip(parts, columns, strict=True)]
    assert both.imbalance(L, D) == max(each) > min(each)
    tried = [np.concatenate([t, x[3:]]) for t in one.trials(x[:3])]
    tried += [np.concatenate([x[:4], t]) for t in three.trials(x[4:])]
    np.testing.assert_array_equal(both.trials(x), tried)
    L[3] = L[:, 3] = 0.0  # a part in which there is room to grow
    for slope, rows in both.growths(L, D, scale):
        new = both.grown(L, rows, 0.01)
        change = new @ new.T - L @ L.T
        outside = [c for c in range(5) if not rows[c].any()]
        np.testing.assert_array_equal(change[outside], 0.0)
        assert change.any()
        assert np.isfinite(slope)
    for value, back, left in both.thinner(L, scale):
        moved = np.abs(left @ left.T - L @ L.T).any(axis=1)
        assert sum(not moved[own].any() for own in columns) >= 2
        np.testing.assert_array_equal(back[~moved], 0.0) if value else None


@pytest.fixture(params=PATTERNS)
def tag(request):
    return request.param


def test_a_start_has_a_least_variance_and_no_correlation_next_to_a_bound(tag):
    of, scale = structure(tag), np.array([1.0, 2.0, 4.0, 0.5])
    x = of.start(np.zeros((4, 4)), scale, 0.09)
    least = 0.3 / scale if PATTERNS[tag].own else 0.3 / np.sqrt(np.mean(scale**2))
    np.testing.assert_allclose(x[: of.scales], least)
    T = 4.0 * np.ones((4, 4))
    x = of.start(T, scale, 0.09)
    np.testing.assert_allclose(x[: of.scales], 2.0)
    if len(x) > of.scales:
        assert WIDEST_START == 0.9
        assert np.sin(x[of.scales]) == pytest.approx(0.9)
    weighted = of.start(np.diag([1.0, 0.0, 0.0, 9.0]), scale, 1e-9)
    if not PATTERNS[tag].own:
        assert weighted[0] == pytest.approx(np.sqrt((1.0 + 9.0 * 0.25) / (scale**2).sum()))


def test_a_second_search_begins_at_half_as_much_again(tag):
    of = structure(tag)
    L = of.root_of(np.linalg.cholesky(member(tag)))
    x, moved = of.coordinates(L), of.coordinates(of.elsewhere(L))
    np.testing.assert_allclose(moved[: of.scales], 1.5 * x[: of.scales])
    np.testing.assert_allclose(np.sin(moved[of.scales :]), np.sin(0.5 * x[of.scales :] + 0.1), atol=1e-9)
    nothing = of.coordinates(of.elsewhere(np.zeros((4, 4))))
    np.testing.assert_allclose(nothing[: of.scales], 0.1)
    if of.own:
        L[2] = 0.0  # a column without a variance, beside a largest one of 1.1
        assert of.coordinates(of.elsewhere(L))[2] == pytest.approx(0.11)


def test_a_start_tries_correlations_on_the_way_to_the_bounds(tag):
    of = structure(tag)
    x = of.coordinates(of.root_of(np.linalg.cholesky(member(tag))))
    tried = of.trials(x)
    assert TRIED == (-0.5, 0.0, 0.5, 0.8)
    assert [each[: of.scales].tolist() for each in tried] == [x[: of.scales].tolist()] * len(tried)
    rest = of.count - of.scales
    expected = [[u, *[0.0] * (rest - 1)] for u in TRIED] if rest else []
    np.testing.assert_allclose([np.sin(each[of.scales :]) for each in tried], expected)


def test_from_nothing_the_way_is_the_steepest_of_a_grid_of_correlations(tag):
    """Of the first two numbers that correlations depend on; of unit size beside the mean of Z'Z."""
    assert GRID == (-0.95, -0.5, 0.0, 0.5, 0.8, 0.95)
    of, scale = structure(tag), np.array([1.0, 2.0, 4.0, 0.5])
    m, n = of.scales, of.count - of.scales
    for seed in range(3):
        A = np.random.default_rng(seed).normal(size=(4, 4))
        D, ways = A + A.T, []
        for u in product(GRID, repeat=min(n, 2)):
            R = of.root(np.concatenate([np.ones(m), np.arcsin([*u, *[0.0] * (n - len(u))])]))
            ways.append(float((D * (R @ R.T)).sum()) / np.mean(scale**2))
        (growth,) = of.growths(np.zeros((4, 4)), D, scale)
        assert float(growth.slope) == pytest.approx(min(ways))


def bound_of(of):
    """A root whose first correlation is at its upper bound, and its coordinates."""
    x = of.coordinates(of.root_of(np.linalg.cholesky(member(of.tag, of.width))))
    x[of.scales :] = 0.0
    x[of.scales] = np.pi / 2.0
    return of.root(x), x


@pytest.mark.parametrize("tag", [tag for tag in PATTERNS if tag != "homdiag"])
def test_at_a_bound_the_way_is_inward_and_others_have_no_say(tag):
    of = structure(tag)
    A = np.random.default_rng(5).normal(size=(4, 4))
    D, scale = A + A.T, np.full(4, 0.7)
    L, x = bound_of(of)
    m = of.scales
    np.testing.assert_allclose(of.coordinates(L)[m:], x[m:], atol=1e-7)
    assert of.null(of.coordinates(L)).tolist() == [False] * m + [True] * (of.count - m)
    (growth,) = of.growths(L, D, scale)

    def inside(share):
        y = x.copy()
        y[m] = np.arcsin(1.0 - share)
        R = of.root(y)
        return R @ R.T

    h = 1e-6
    slope = float((D * (inside(h) - inside(0.0))).sum()) / h
    assert float(growth.slope) == pytest.approx(slope, rel=1e-4)
    np.testing.assert_allclose(growth.rows @ growth.rows.T, inside(INWARD), atol=1e-12)
    new = of.grown(L, growth.rows, 0.01)
    end, way = of.coordinates(L)[m], of.coordinates(growth.rows)[m]
    assert of.coordinates(new)[m] == pytest.approx(end + 0.1 * (way - end), abs=1e-7)
    # at its bound there is nothing to take but all
    for size in (1.0, 1.1, 1.3, 0.7):
        whole, *others = of.thinner(size * L, scale)
        assert float(whole.value) == pytest.approx(size**2 * np.abs(L @ L.T).max() * 0.49)
        assert [float(thin.value) for thin in others] == [0.0] * (of.count - m)
    assert [float(thin.value) for thin in of.thinner(0.0 * L, scale)] == [0.0] * (of.count - m + 1)


@pytest.mark.parametrize("end", [np.pi / 2.0, -np.pi / 2.0])
def test_a_root_tells_of_a_bound_where_its_matrix_has_no_digits_for_it(end):
    of, partial = structure("toep"), (0.9, 0.97, -0.99, 0.995, -0.999)
    for first, second in product(partial, partial):
        x = np.array([1.1, 0.6, 1.7, 0.9, np.arcsin(first), np.arcsin(second), end])
        found = of.coordinates(of.root(x))
        assert found[-1] == end
        assert of.null(found).tolist() == [False] * 6 + [True]


@pytest.mark.parametrize("tag", [tag for tag in PATTERNS if PATTERNS[tag].own])
def test_a_standard_deviation_of_zero_grows_beside_others(tag):
    of, scale = structure(tag), np.array([1.0, 2.0, 4.0, 0.5])
    A = np.random.default_rng(6).normal(size=(4, 4))
    D = A + A.T
    x = of.coordinates(of.root_of(np.linalg.cholesky(member(tag))))
    x[2] = 0.0
    L = of.root(x)
    growth = of.growths(L, D, scale)[0]
    target = of.coordinates(growth.rows)
    assert target[2] == pytest.approx(0.25)
    small = target.copy()
    small[2] *= 1e-7
    R = of.root(small)
    assert float(growth.slope) == pytest.approx(float((D * (R @ R.T - L @ L.T)).sum()) / 1e-7, rel=1e-4)
    new = of.coordinates(of.grown(L, growth.rows, 0.01))
    np.testing.assert_allclose(new[:4], np.where(x[:4] == 0.0, 0.1 * target[:4], x[:4]))
    np.testing.assert_allclose(new[4:], target[4:], atol=1e-7)


@pytest.mark.parametrize("tag", [tag for tag in PATTERNS if PATTERNS[tag].own])
def test_a_standard_deviation_grows_by_itself_where_no_other_is_correlated_with_it(tag):
    of = structure(tag)
    L = np.diag([1.0, 0.8, 0.0, 1.2])
    D = np.diag([1.0, 1.0, -3.0, 1.0])
    growth = of.growths(L, D, np.full(4, 2.0))[0]
    assert float(growth.slope) == pytest.approx(-3.0 * 0.25)


def test_what_is_taken_stands_at_the_end_of_the_way_back(tag):
    of, scale = structure(tag), np.array([1.0, 2.0, 4.0, 0.5])
    L = of.root_of(np.linalg.cholesky(member(tag)))
    T, size = L @ L.T, np.outer(scale, scale)
    x = of.coordinates(L)
    whole, *others = of.thinner(L, scale)
    np.testing.assert_array_equal(whole.left, 0.0)
    np.testing.assert_allclose(whole.value * whole.back, T, atol=1e-13)
    assert float(whole.value) == pytest.approx(np.abs(T * size).max())
    assert len(others) == of.count - of.scales
    for i, (value, back, left) in enumerate(others):
        gone = T - left @ left.T
        assert float(value) == pytest.approx(np.abs(gone * size).max())
        assert np.abs(back * size).max() == pytest.approx(1.0)
        assert float((gone * back).sum()) > 0.0
        end = of.coordinates(left)[of.scales + i]
        assert np.sin(end) == pytest.approx(np.sign(np.sin(x[of.scales + i])))


def test_what_is_printed_is_read_and_what_is_no_member_is_refused(tag):
    of, printed = structure(tag), np.array(natural(tag))
    L = of.from_relative(printed)
    np.testing.assert_allclose(L @ L.T, member(tag), atol=1e-12)
    for wrong in (np.append(-printed[:1], printed[1:]), np.append(printed[:-1], 1.7)):
        if tag in ("ou", "exp", "homdiag") and wrong[-1] == 1.7:
            continue  # any distance is a range, and any number a standard deviation
        with pytest.raises(
            FitError, match=r"standard deviations over sigma \(not negative\) and correlations of a matrix"
        ):
            of.from_relative(wrong)
    if tag in ("ou", "exp"):
        L = of.from_relative(np.array([1.5, np.inf]))
        np.testing.assert_allclose(L @ L.T, np.full((4, 4), 2.25))
    elif not of.own:  # one standard deviation is that of the mean variance
        assert of.natural(np.diag([1.0, 2.0, 3.0, 10.0]))[0] == 2.0
    undefined = np.where(np.arange(of.count) < of.scales, 0.0, np.nan)
    np.testing.assert_array_equal(of.from_relative(undefined), 0.0)


def test_names_and_pairs_of_patterns(tag):
    of, names = structure(tag), ["a", "b", "c", "d"]
    sds = [f"sd.{name}" for name in names] if PATTERNS[tag].own else ["sd"]
    rest = {"homdiag": [], "ou": ["range"], "exp": ["range"]}.get(tag, ["rho"])
    rest = ["rho.1", "rho.2", "rho.3"] if "toep" in tag else rest
    assert of.natural_names(names) == of.names(names) == [*sds, *rest]
    every = ((1, 0), (2, 0), (3, 0), (2, 1), (3, 1), (3, 2))
    assert of.pairs == (() if tag in ("homdiag", "ou", "exp") else every)
    one = [(0, "each of 4 positions")]
    assert of.listed(names) == (one if tag in ("ou", "exp") else list(enumerate(names)))
    kinds = ["sd"] * len(sds) + ["range" if tag in ("ou", "exp") else "cor"] * len(rest)
    assert [n.kind for n in of.naturals] == kinds
    low = {"cs": -1 / 3, "homcs": -1 / 3}.get(tag, -1.0)
    if rest:
        assert of.limits(0) == ((0.0, np.inf) if tag in ("ou", "exp") else (low, 1.0))


def test_what_correlations_depend_on_is_said_with_its_values():
    assert structure("toep").said(member("toep")) == "rho.1 0.5, rho.2 0.1, rho.3 -0.2"
    assert structure("cs").said(np.zeros((4, 4))) == "rho not defined"
    assert structure("ou").said(np.ones((4, 4))) == "range without end"
    assert structure("exp").said(member("exp")) == "range 2"
    assert structure("homdiag").said(np.eye(4)) == ""


def test_slopes_of_scales_are_those_of_differences(tag):
    of = structure(tag)
    x = of.coordinates(of.root_of(np.linalg.cholesky(member(tag))))

    def scales(x):
        kinds, values = (n.kind for n in of.naturals), of.natural(T_of(of, x))
        pairs = zip(kinds, values, strict=True)
        return np.array([np.arctanh(v) if kind == "cor" else np.log(v) for kind, v in pairs])

    expected = differences(scales, x).T
    np.testing.assert_allclose(of.wald_slopes(T_of(of, x), of.jacobian(x)), expected, atol=1e-7)


def test_the_imbalance_is_the_largest_slope_in_what_is_free(tag):
    of = structure(tag)
    L = of.root_of(np.linalg.cholesky(member(tag)))
    A = np.random.default_rng(7).normal(size=(4, 4))
    x, m = of.coordinates(L), of.scales
    slopes = np.einsum("iab,ab->i", of.jacobian(x), A + A.T)
    expected = np.abs(slopes * np.append(x[:m], np.ones(of.count - m)))
    assert of.imbalance(L, A + A.T) == pytest.approx(expected.max())


def test_a_step_of_em_is_that_of_the_equation():
    of, D = structure("homdiag"), np.diag([1.0, 2.0, -0.5, 0.5])
    moved = of.em(1.5 * np.eye(4), D, 50)
    np.testing.assert_allclose(moved, np.sqrt(2.25 - 2.25**2 * 3.0 / 200) * np.eye(4))
    assert not of.em(10.0 * np.eye(4), 100.0 * np.eye(4), 50).any()


def test_directions_where_standard_deviations_are_zero_are_of_their_variances(tag):
    of = structure(tag)
    x = of.coordinates(of.root_of(np.linalg.cholesky(member(tag))))
    if of.own:
        x[1] = 0.0
        way = of.tangent(x)[1]
        np.testing.assert_array_equal(way, np.diag([0.0, 1.0, 0.0, 0.0]))
    else:
        np.testing.assert_allclose(of.tangent(0.0 * x), of.pattern.matrix(of._bounded(0.0 * x))[None])
    assert len(of.generic) == of.count


def test_members_of_a_pattern_alone_are_spanned(tag):
    of = structure(tag)
    assert of.spans(member(tag))
    assert not of.spans(-member(tag))
    assert of.spans(np.zeros((4, 4)))
    if of.count < 10:
        assert not of.spans(np.diag([1.0, 2.0, 3.0, 4.0]) + 0.3)


@pytest.mark.parametrize("tag", ["cs", "homcs"])
def test_a_matrix_with_a_negative_eigenvalue_is_no_member(tag):
    pairs = 1.0 - np.eye(4)
    for beyond, rounding in ((1e-10, True), (3.9e-9, True), (4.1e-9, False)):  # beside a largest one of 4
        assert structure(tag).spans(np.eye(4) + (1.0 + beyond) * pairs) == rounding
    assert not structure(tag).spans(np.eye(4) + (1.0 + 5e-4) * pairs)


# Distances

POSITIONS = ((0.0, 0.0), (3.0, 4.0), (0.0, 1.0), (6.0, 8.0))


def test_positions_have_distances_a_closest_pair_and_a_median():
    fading = Fading(POSITIONS)
    assert (fading.closest, fading.pair) == (1.0, (2, 0))
    assert fading.distances[0].tolist() == [0.0, 5.0, 1.0, 10.0]
    of = structure_of("exp", 4, POSITIONS)
    assert of.unit_of_range == pytest.approx(np.median([5.0, 1.0, 10.0, np.sqrt(18.0), 5.0, np.sqrt(85.0)]))
    assert structure("cs").unit_of_range == 1.0
    classes = of.span[1:]
    near = (fading.distances > 0.0) & (fading.distances <= of.unit_of_range)
    np.testing.assert_array_equal(classes, [near, fading.distances > of.unit_of_range])
    L = of.plain_root
    assert (L @ L.T)[2, 0] == pytest.approx(0.5)
    assert (L @ L.T)[3, 0] == pytest.approx(0.5**10)


def test_a_range_is_a_correlation_of_the_closest_pair():
    fading = Fading(POSITIONS)
    number, turned, slope = fading.number_of(np.array([0.2]), 0, 2.5)
    assert (number, turned.tolist()) == (pytest.approx(np.exp(-0.4)), [0.0])
    h = 1e-6
    up, down = (fading.number_of(np.array([0.2]), 0, 2.5 + s)[0] for s in (h, -h))
    assert slope == pytest.approx((up - down) / (2 * h))
    assert [fading.number_of(np.zeros(1), 0, v)[::2] for v in (0.0, -1.0)] == [(0.0, 0.0)] * 2
    assert fading.number_of(np.zeros(1), 0, 0.1)[0] == pytest.approx(np.exp(-10.0))
    assert fading.from_printed(np.array([np.inf])).tolist() == [1.0]
    of = structure_of("exp", 4, POSITIONS)
    assert of.natural(np.eye(4)).tolist() == [1.0, 0.0]
    assert of.natural(4.0 * np.ones((4, 4))).tolist() == [2.0, np.inf]
    assert np.isnan(of.natural(np.zeros((4, 4)))).tolist() == [False, True]


def test_a_start_of_a_range_is_the_closest_pairs_or_what_is_known():
    fading, nan = Fading(POSITIONS), np.nan
    C = np.eye(4)
    C[2, 0] = 0.7
    assert fading.numbers(C).tolist() == [0.7]
    C = np.array([[1, nan, nan, 0.1], [nan, 1, 0.4, nan], [nan, 0.4, 1, nan], [0.1, nan, nan, 1]])
    assert fading.numbers(C).tolist() == [0.25]
    assert fading.numbers(np.full((4, 4), nan)).tolist() == [0.0]


@pytest.mark.parametrize("tag", [tag for tag in PATTERNS if tag != "homdiag"])
def test_the_coordinate_of_a_printed_number_and_its_slopes(tag):
    of = structure(tag)
    assert isinstance(of, PatternedStructure)
    printed = np.array(natural(tag))
    x, m = of.coordinates(of.from_relative(printed)), of.scales
    for place in range(of.count - m):
        value = printed[m + place]
        angle, turned = of.angle_at(x, place, value)
        assert angle == pytest.approx(x[m + place])
        numeric = differences(lambda x, p=place, v=value: of.angle_at(x, p, v)[0], x)
        np.testing.assert_allclose(turned, numeric, atol=1e-8)
        (slope,) = differences(lambda v, p=place: of.angle_at(x, p, float(v[0]))[0], [value])
        assert of.angle_slope(x, place, value) == pytest.approx(slope)
    if tag not in ("ou", "exp"):
        angle, _ = of.angle_at(x, 0, of.limits(0)[1])
        assert angle == pytest.approx(np.pi / 2.0)
        assert of.angle_slope(x, 0, of.limits(0)[1]) == 0.0
