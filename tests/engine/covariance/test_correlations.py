"""Where families over visits begin: what moments tell, within bounds, and what they do not."""

import numpy as np
import pytest
from support.differences import differences

from lmmkit.engine.covariance.correlations import (
    AT_BOUND,
    CORRELATIONS,
    RAISED_START,
    WIDEST_START,
    WithinBounds,
    in_bounds,
    pattern_of,
    snapped,
)
from lmmkit.errors import FitError

TIMES = (1, 2, 4)


def moments(near, far, across):
    """(3, 3) correlations one, two and three apart."""
    return np.array([[1.0, near, across], [near, 1.0, far], [across, far, 1.0]])


@pytest.mark.parametrize("name", CORRELATIONS)
def test_one_visit_has_no_correlation(name):
    family = CORRELATIONS[name]((7,))
    assert family.count == 0
    assert family.matrix(np.empty(0)).tolist() == [[1.0]]
    assert family.start(np.eye(1)).shape == family.natural(np.empty(0)).shape == (0,)
    assert family.jacobian(np.empty(0)).shape == (0, 1, 1)
    assert family.naturals(["7"]) == []


@pytest.mark.parametrize(
    ("name", "edge"), [("cs", 2 * WIDEST_START - 1), ("ar1", 0.95), ("ad", 0.95), ("toep", 0.95)]
)
def test_moments_next_to_a_bound_are_no_start(name, edge):
    family = CORRELATIONS[name](TIMES[:2])
    for value in (1.0, -1.0, 1.3, -2.0):
        x = family.start(np.array([[1.0, value], [value, 1.0]]))
        assert family.matrix(x)[0, 1] == pytest.approx(np.sign(value) * edge)
    x = family.start(np.array([[1.0, 0.4], [0.4, 1.0]]))
    assert family.matrix(x)[0, 1] == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["cs", "ar1", "ad", "toep"])
def test_moments_that_no_subject_tells_are_zero(name):
    family = CORRELATIONS[name](TIMES)
    C = np.where(np.eye(3, dtype=bool), 1.0, np.nan)
    np.testing.assert_allclose(family.matrix(family.start(C)), np.eye(3), atol=1e-12)


def test_a_mean_of_all_pairs_is_that_of_those_that_are_known():
    family = CORRELATIONS["cs"](TIMES)
    assert family.matrix(family.start(moments(0.2, 0.4, np.nan)))[0, 1] == pytest.approx(0.3)


def test_autoregression_begins_with_the_nearest_pairs():
    family = CORRELATIONS["ar1"](TIMES)
    assert family.matrix(family.start(moments(0.6, 0.1, 0.1)))[0, 1] == pytest.approx(0.6)
    far = family.start(moments(np.nan, 0.36, 0.9))  # two apart: rho is the root
    assert family.matrix(far)[0, 1] == pytest.approx(0.6)
    assert family.start(moments(np.nan, -0.36, 0.9)) == pytest.approx([0.0])  # no square is negative
    odd = CORRELATIONS["ar1"]((0, 3))
    assert odd.start(np.array([[1.0, -0.5], [-0.5, 1.0]])) == pytest.approx([-np.arctanh(0.5)])
    assert odd.natural(odd.start(np.array([[1.0, -0.5], [-0.5, 1.0]]))) == pytest.approx([-(0.5 ** (1 / 3))])
    even = CORRELATIONS["ar1"]((0, 2, 6))
    assert even.natural(np.array([np.arctanh(0.49)])) == pytest.approx([0.7])
    assert np.isnan(even.natural(np.array([-0.3])))


def test_products_of_neighbours_begin_with_neighbours():
    family = CORRELATIONS["ad"](TIMES)
    C = family.matrix(family.start(moments(0.5, -0.4, 0.9)))
    np.testing.assert_allclose(C, moments(0.5, -0.4, -0.2))


def test_moments_that_are_no_covariance_matrix_are_raised_to_one():
    family = CORRELATIONS["un"](TIMES)
    C = moments(0.9, 0.9, -0.9)
    M = family.matrix(family.start(C))
    values, vectors = np.linalg.eigh(C)
    raised = (vectors * np.maximum(values, RAISED_START)) @ vectors.T
    np.testing.assert_allclose(M, raised / raised[0, 0], atol=1e-12)
    for least, raised in (
        (1.1e-6, False),
        (0.9e-6, True),
    ):  # of visits 2 and 4, whose correlation is 1 - least
        C = moments(0.0, 1.0 - least, 0.0)
        left = 1.0 - family.matrix(family.start(C))[1, 2] / family.matrix(family.start(C))[1, 1]
        assert (left > 1e-2) == raised
        assert raised or left == pytest.approx(least, rel=1e-6)
    assert RAISED_START == 0.1
    fine = moments(0.9, 0.9, 0.82)
    np.testing.assert_allclose(family.matrix(family.start(4.0 * fine)), fine, atol=1e-12)


def test_a_bound_is_told_within_its_share_of_the_range():
    family = CORRELATIONS["cs"](TIMES)
    for share, told in ((0.9e-6, True), (1.1e-6, False)):
        x = np.array([np.log(share / (1.0 - share))])
        said = family.at_bound(x, 1e-6)
        assert bool(said) == told
        assert not told or said == "the correlation of 3 visits has run to its lower bound, -0.5"
    assert CORRELATIONS["cs"]((1,)).at_bound(np.empty(0), 1e-6) == ""
    assert CORRELATIONS["ar1"](TIMES).at_bound(np.array([-20.0]), 1e-6) == ""


def test_units_are_those_of_logs_and_of_entries():
    family = CORRELATIONS["un"](TIMES)
    x = np.array([0.5, -0.4, np.log(2.0), 0.3, np.log(3.0)])  # l21, l31, log l22, l32, log l33
    sds = np.sqrt(family.matrix(x).diagonal())
    np.testing.assert_allclose(family.units(x), [sds[1], sds[2], 1.0, sds[2], 1.0])
    assert CORRELATIONS["ad"](TIMES).units(np.zeros(2)).tolist() == [1.0, 1.0]


def test_families_are_their_definitions():
    times, gap = (1, 2, 4), np.array([[0, 1, 3], [1, 0, 2], [3, 2, 0]])
    for name in CORRELATIONS:
        family = CORRELATIONS[name](times)
        x = np.linspace(-0.4, 0.7, family.count)
        natural, C = family.natural(x), family.matrix(x)
        if name == "ident":
            expected = np.eye(3)
        elif name == "cs":
            expected = np.where(gap, natural[0], 1.0)
        elif name == "ar1":
            expected = natural[0] ** gap
        elif name == "toep":
            expected = np.append(1.0, natural)[gap]
        elif name == "ad":
            expected = moments(*natural, natural.prod())
        else:
            s = np.array([1.0, *natural[:2]])
            expected = np.outer(s, s) * moments(natural[2], natural[4], natural[3])
        np.testing.assert_allclose(C, expected, atol=1e-14)
        J = family.jacobian(x)
        np.testing.assert_allclose(J, differences(family.matrix, x).reshape(J.shape), atol=1e-9)
        D = np.arange(9.0).reshape(3, 3)
        bends = differences(lambda x, f=family, D=D: np.einsum("iab,ab->i", f.jacobian(x), D + D.T), x)
        np.testing.assert_allclose(family.curvature(x, D + D.T), bends.reshape(len(x), len(x)), atol=1e-8)
        slopes = differences(family.natural, x).reshape(len(x), len(x)).T
        np.testing.assert_allclose(family.natural_jacobian(x), slopes, atol=1e-9)


def test_coordinates_are_those_of_their_docstrings():
    x = np.array([0.8])
    assert CORRELATIONS["cs"](TIMES).natural(x) == pytest.approx([-0.5 + 1.5 / (1.0 + np.exp(-0.8))])
    assert CORRELATIONS["ar1"](TIMES).natural(x) == pytest.approx([np.tanh(0.8)])
    assert CORRELATIONS["ad"](TIMES).natural(np.append(x, -0.3)) == pytest.approx(np.tanh([0.8, -0.3]))
    rho = CORRELATIONS["toep"]((1, 2, 3)).natural(np.append(x, -0.3))
    assert rho[0] == pytest.approx(np.tanh(0.8))
    assert (rho[1] - rho[0] ** 2) / (1.0 - rho[0] ** 2) == pytest.approx(np.tanh(-0.3))
    M = CORRELATIONS["un"]((1, 2)).matrix(np.array([0.5, np.log(2.0)]))
    np.testing.assert_allclose(M, [[1.0, 0.5], [0.5, 4.25]])


def test_names_of_what_is_printed():
    names = {name: CORRELATIONS[name](TIMES).naturals(["a", "b", "d"]) for name in CORRELATIONS}
    assert names == {
        "ident": [],
        "un": [
            ("sd", "ratio.b"),
            ("sd", "ratio.d"),
            ("cor", "cor.a.b"),
            ("cor", "cor.a.d"),
            ("cor", "cor.b.d"),
        ],
        "cs": [("cor", "rho")],
        "ar1": [("cor", "rho")],
        "toep": [("cor", "rho.1"), ("cor", "rho.2"), ("cor", "rho.3")],
        "ad": [("cor", "rho.a.b"), ("cor", "rho.b.d")],
    }


@pytest.mark.parametrize("times", [(0, 3, 9), (0, 2, 6)])
def test_rho_of_longer_steps_is_their_root(times):
    family = CORRELATIONS["ar1"](times)
    for x in (np.array([0.4]), *([np.array([-0.4])] if times[1] % 2 else [])):
        rho = family.natural(x)[0]
        np.testing.assert_allclose(family.matrix(x), rho**family.gaps, atol=1e-14)
        np.testing.assert_allclose(family.natural_jacobian(x), differences(family.natural, x), atol=1e-8)


# Patterns: correlations in numbers within bounds

PATTERNS = {"ident": (), "cs": (-0.2,), "ar1": (0.6,), "toep": (0.5, -0.3, 0.6), "ad": (0.5, -0.7, 0.4)}
FOUR = (0, 1, 2, 3)


def within(pattern, r):
    """Those numbers, with their distances to the bounds."""
    r = np.array(r)
    low, high = pattern.bounds.T
    return WithinBounds(r, r - low, high - r)


def partial_correlations(C):
    """Of the first place and each other, given those between them: by inverses."""
    inverses = [np.linalg.inv(C[: k + 1, : k + 1]) for k in range(1, len(C))]
    return [-P[0, -1] / np.sqrt(P[0, 0] * P[-1, -1]) for P in inverses]


@pytest.fixture(params=PATTERNS)
def named(request):
    return request.param


def test_patterns_are_their_definitions(named):
    r, pattern = PATTERNS[named], pattern_of(named, FOUR)
    C, apart = pattern.matrix(in_bounds(np.array(r))), np.abs(np.subtract.outer(FOUR, FOUR))
    expected = {
        "ident": np.eye(4),
        "cs": np.where(apart, -0.2, 1.0),
        "ar1": 0.6**apart,
        "ad": [[np.prod(PATTERNS["ad"][min(i, j) : max(i, j)]) for j in FOUR] for i in FOUR],
    }
    if named == "toep":
        np.testing.assert_allclose(partial_correlations(C), r)
        np.testing.assert_array_equal(C, C[0][apart])
    else:
        np.testing.assert_allclose(C, expected[named])
    np.testing.assert_allclose(pattern.numbers(C), r, atol=1e-14)
    low = {"cs": -1.0 / 3.0}.get(named, -1.0)
    assert pattern.bounds.tolist() == [[low, 1.0]] * len(r)
    assert pattern.limits(0) == (low, 1.0) if r else True
    assert pattern.classes.tolist() == (apart if named in ("ar1", "toep") else np.minimum(apart, 1)).tolist()
    assert np.array_equal(pattern_of(named, (3,)).matrix(in_bounds(np.empty(0))), np.eye(1))


def test_slopes_and_bends_of_patterns(named):
    pattern, r = pattern_of(named, FOUR), np.array(PATTERNS[named])
    D = np.random.default_rng(1).normal(size=(4, 4))
    slopes = differences(lambda r: pattern.matrix(in_bounds(r)), r)
    np.testing.assert_allclose(pattern.slopes(in_bounds(r)), slopes.reshape(-1, 4, 4), atol=1e-9)
    bends = differences(lambda r: np.einsum("iab,ab->i", pattern.slopes(in_bounds(r)), D), r)
    np.testing.assert_allclose(pattern.bends(in_bounds(r), D), bends.reshape(len(r), len(r)), atol=1e-8)


def test_roots_of_patterns_and_their_pivots_at_a_bound(named):
    pattern, r = pattern_of(named, FOUR), PATTERNS[named]
    L = pattern.root(within(pattern, r))
    np.testing.assert_allclose(L, np.linalg.cholesky(pattern.matrix(in_bounds(np.array(r)))), atol=1e-14)
    ends = {
        "cs": [((1.0,), 1), ((-1.0 / 3.0,), 3)],
        "ar1": [((1.0,), 1), ((-1.0,), 1)],
        "toep": [((0.5, 1.0, 0.0), 2), ((-1.0, 0.0, 0.0), 1), ((0.5, -0.3, -1.0), 3)],
        "ad": [((0.5, 1.0, 0.4), 2)],
    }
    for at, zero in ends.get(named, []):
        L = pattern.root(within(pattern, at))
        np.testing.assert_allclose(L @ L.T, pattern.matrix(in_bounds(np.array(at))), atol=1e-14)
        np.testing.assert_array_equal(L, np.tril(L))
        assert np.flatnonzero(L.diagonal() == 0.0)[0] == zero
        if named != "ad":
            near = np.array(at)
            near[zero - 1 if named == "toep" else 0] *= 0.99
            np.testing.assert_array_equal(pattern.at_pivot(near, zero), at)


@pytest.mark.parametrize("left", [1e-6, 1e-12, 1e-20])
def test_roots_keep_their_digits_next_to_a_bound(left):
    """The pivots from the distances to the bounds, where 1 - r^2 has none of them left."""
    r = 1.0 - left
    one = pattern_of("cs", FOUR).root(WithinBounds(*np.array([[r], [4 / 3 - left], [left]])))
    expected = [1.0, *(np.sqrt(left * (1 + j * r) / (1 + (j - 1) * r)) for j in (1, 2, 3))]
    np.testing.assert_allclose(one.diagonal(), expected, rtol=1e-12)
    low = pattern_of("cs", FOUR).root(WithinBounds(*np.array([[-1 / 3 + left], [left], [4 / 3 - left]])))
    assert low[3, 3] == pytest.approx(np.sqrt(4 / 3 * 3 * left / (1 / 3)), rel=1e-5)
    at = WithinBounds(*np.array([[r], [2.0 - left], [left]]))
    powers = pattern_of("ar1", FOUR).root(at).diagonal()
    np.testing.assert_allclose(powers, [1.0, *[np.sqrt(left * (2.0 - left))] * 3], rtol=1e-12)


def test_a_partial_autocorrelation_near_its_bound_is_no_rounding():
    pattern = pattern_of("toep", FOUR)
    for left, there in ((1e-10, True), (1e-17, False)):  # roots of variances: 1e-5, and below rounding
        at = WithinBounds(*np.array([[1 - left, 0.2, 0.1], [2 - left, 1.2, 1.1], [left, 0.8, 0.9]]))
        assert (pattern.root(at)[1, 1] > 0.0) == there


def test_means_and_neighbours_are_of_what_is_known():
    nan = np.full((4, 4), np.nan)
    for name, expected in (("cs", [0.0]), ("ar1", [0.0]), ("ad", [0.0] * 3), ("toep", [0.0] * 3)):
        assert pattern_of(name, FOUR).numbers(nan).tolist() == expected
    C = np.eye(4) + nan * (1 - np.eye(4))
    C[0, 1] = C[1, 0] = 0.5
    C[0, 2] = C[2, 0] = -0.1
    assert pattern_of("cs", FOUR).numbers(C).tolist() == [0.2]
    assert pattern_of("ar1", FOUR).numbers(C).tolist() == [0.5]
    assert pattern_of("ad", FOUR).numbers(C).tolist() == [0.5, 0.0, 0.0]
    toep = pattern_of("toep", FOUR)
    assert toep.correlations(toep.numbers(C)) == pytest.approx([1.0, 0.5, -0.1, 0.0])
    assert toep.numbers(np.ones((4, 4))).tolist() == [1.0, 0.0, 0.0]


def test_a_number_is_at_its_bound_where_it_is_there_to_rounding():
    assert [snapped(1.0 - 0.5 * AT_BOUND), snapped(-1.0 + 0.5 * AT_BOUND)] == [1.0, -1.0]
    assert snapped(1.0 - 2.0 * AT_BOUND) == 1.0 - 2.0 * AT_BOUND < 1.0


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_printed_correlation_of_a_distance_gives_its_partial_one(place):
    pattern, r = pattern_of("toep", FOUR), np.array(PATTERNS["toep"])
    rho = pattern.correlations(r)

    def found(r, value):
        return pattern.number_of(r, place, value)[0]

    number, turned, slope = pattern.number_of(r, place, rho[place + 1])
    assert number == pytest.approx(r[place])
    np.testing.assert_allclose(turned, differences(lambda r: found(r, rho[place + 1]), r), atol=1e-8)
    assert slope == pytest.approx(differences(lambda v: found(r, v[0]), rho[place + 1 : place + 2])[0])
    most = pattern.correlations(np.append(r[:place], 1.0))[place + 1]
    assert found(r, most) == 1.0
    with pytest.raises(FitError, match="no series with these correlations"):
        found(r, most + 1e-6)


def test_what_is_printed_gives_the_numbers(named):
    pattern, r = pattern_of(named, FOUR), np.array(PATTERNS[named])
    if named == "ad":  # random effects have no such pattern
        return
    printed = pattern.correlations(r)[1:] if named == "toep" else r
    if len(r):
        np.testing.assert_allclose(pattern.from_printed(printed), r)
    if named in ("cs", "ar1"):
        number, turned, slope = pattern.number_of(r, 0, 0.3)
        assert (number, turned.tolist(), slope) == (0.3, [0.0], 1.0)
