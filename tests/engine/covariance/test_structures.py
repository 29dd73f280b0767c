"""One test for all covariance structures: a new one is a line in CASES."""

from dataclasses import dataclass

import numpy as np
import pytest
from support.differences import differences
from support.patterns import PATTERNS

from lmmkit.engine.covariance.block_diagonal import BlockDiagonal, by_falling_variance
from lmmkit.engine.covariance.roots import positive_root, semidefinite_factor, zero_pivots
from lmmkit.engine.covariance.structure_tags import STRUCTURES
from lmmkit.engine.covariance.structures import Diagonal, Natural, Structure, Unstructured, correlation
from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.setup import set_up
from lmmkit.engine.solve import solve
from lmmkit.errors import FitError


@dataclass
class Case:
    """A structure, and what is known of it without asking it."""

    structure: Structure
    matrix: list[list[float]]  # a member
    names: list[str]
    natural_names: list[str]
    natural: list[float]  # of the member


COLUMNS = ["Intercept", "x", "z"]
CASES = {
    "unstructured 1": Case(Unstructured(1), [[4.0]], ["Intercept"], ["sd.Intercept"], [2.0]),
    "unstructured 3": Case(
        Unstructured(3),
        [[4.0, 1.0, 0.6], [1.0, 1.0, -0.2], [0.6, -0.2, 9.0]],
        ["Intercept", "x.Intercept", "z.Intercept", "x", "z.x", "z"],
        ["sd.Intercept", "cor.x.Intercept", "cor.z.Intercept", "sd.x", "cor.z.x", "sd.z"],
        [2.0, 0.5, 0.1, 1.0, -0.2 / 3, 3.0],
    ),
    "diagonal 3": Case(
        Diagonal(3),
        np.diag([4.0, 1.0, 9.0]).tolist(),
        ["Intercept", "x", "z"],
        ["sd.Intercept", "sd.x", "sd.z"],
        [2.0, 1.0, 3.0],
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def x(case):
    """Coordinates in no special place."""
    return np.random.default_rng(4).normal(size=case.structure.count)


@pytest.fixture
def D(case):
    """Any symmetric matrix."""
    A = np.random.default_rng(5).normal(size=(case.structure.width, case.structure.width))
    return A + A.T


def T_of(structure, x):
    L = structure.root(x)
    return L @ L.T


def problem(structure, seed=2, rows=90, levels=9):
    """A small problem whose one term has the structure, with effects in its first column alone."""
    rng = np.random.default_rng(seed)
    codes = np.arange(rows) % levels
    columns = (np.broadcast_to(1.0, rows), rng.normal(size=rows) * 4 + 20, rng.normal(size=rows))
    y = columns[1] * 0.3 + rng.normal(size=levels)[codes] + rng.normal(size=rows)
    return Problem(columns, (0, 1), y, (Term(0, codes, levels, tuple(range(structure.width)), structure),))


def test_every_structure_has_a_case():
    assert {type(case.structure).tag for case in CASES.values()} | {*PATTERNS} == set(STRUCTURES)


def test_a_structure_that_is_not_made_of_cones_says_so():
    with pytest.raises(FitError, match="without a pattern, and not for a diagonal one"):
        Structure.cones.fget(Diagonal(2))


def test_a_member_has_coordinates_and_a_root(case):
    structure, T = case.structure, np.array(case.matrix)
    L = structure.root_of(np.linalg.cholesky(T))
    np.testing.assert_allclose(L @ L.T, T, atol=1e-14)
    np.testing.assert_array_equal(structure.root(structure.coordinates(L)), L)
    assert len(structure.coordinates(L)) == structure.count
    assert (structure.coordinates(L)[structure.nonnegative] >= 0).all()
    assert structure.spans(T)
    if structure.closed == "scales":
        assert not structure.spans(T + 0.1)


def test_the_start_is_near_a_member_and_raises_small_variances(case):
    structure, T, scale = case.structure, np.array(case.matrix), np.full(case.structure.width, 10.0)
    np.testing.assert_allclose(T_of(structure, structure.start(T, scale, 0.25)), T, rtol=1e-12)
    low = T_of(structure, structure.start(-T, scale, 0.25))
    np.testing.assert_allclose(low, 0.0025 * np.eye(len(T)), atol=1e-14)


def test_jacobian_gradient_and_working_columns_are_those_of_differences(case, x, D):
    structure = case.structure
    J = differences(lambda x: T_of(structure, x), x)
    c = np.random.default_rng(6).normal(size=(structure.width, 5))
    np.testing.assert_allclose(structure.jacobian(x), J, atol=1e-8)
    np.testing.assert_allclose(structure.gradient(x, D), np.einsum("ab,iab->i", D, J), atol=1e-8)
    np.testing.assert_allclose(structure.working(x, c), np.einsum("iab,bj->aij", J, c), atol=1e-8)
    # what a structure has that does not know a cheaper way
    np.testing.assert_allclose(Structure.gradient(structure, x, D), structure.gradient(x, D))
    np.testing.assert_allclose(Structure.working(structure, x, c), structure.working(x, c))


def test_curvature_is_that_of_differences(case, x, D):
    structure = case.structure
    H = differences(lambda x: structure.gradient(x, D), x)
    np.testing.assert_allclose(structure.curvature(x, D), H, atol=1e-8)


def test_many_at_once_are_each_by_itself(case, D):
    structure = case.structure
    X = np.random.default_rng(7).normal(size=(structure.count, 4))
    every = np.repeat(D[:, :, None], 4, axis=2) * np.arange(1.0, 5.0)
    scale = np.arange(1.0, structure.width + 1)
    c = np.random.default_rng(8).normal(size=(structure.width, 5, 4))
    many = [
        structure.root(X),
        structure.coordinates(structure.root(X)),
        structure.gradient(X, every),
        structure.curvature(X, every),
        structure.working(X, c),
        structure.em(structure.root(X), every, 50),
        structure.start(every, scale, 0.25),
        *structure.growths(structure.root(X), every, scale)[0],
        *structure.thinner(structure.root(X), scale)[0],
        structure.natural(np.einsum("acr,bcr->abr", structure.root(X), structure.root(X))),
    ]
    for i in range(4):
        x, d = X[:, i], every[..., i]
        L = structure.root(x)
        alone = [
            L,
            structure.coordinates(L),
            structure.gradient(x, d),
            structure.curvature(x, d),
            structure.working(x, c[..., i]),
            structure.em(L, d, 50),
            structure.start(d, scale, 0.25),
            *structure.growths(L, d, scale)[0],
            *structure.thinner(L, scale)[0],
            structure.natural(L @ L.T),
        ]
        for one, other in zip(many, alone, strict=True):
            np.testing.assert_allclose(one[..., i], other, rtol=1e-12, atol=1e-12)


def test_em_steps_never_raise_the_deviance(case):
    criterion = (setup := set_up(problem(case.structure), reml=True)).criterion
    state = criterion.evaluate(4.0 * setup.start())
    for _ in range(5):
        (factor,), (L,), (D,) = setup.layout.factors, state.L, state.D
        moved = factor.structure.em(L, D, factor.levels)
        after = criterion.evaluate(setup.layout.coordinates([moved]))
        assert after.deviance < state.deviance
        state = after


def test_an_em_step_is_that_of_the_equation_on_each_cone(case, x, D):
    structure, L = case.structure, case.structure.root(x)
    T, moved = L @ L.T, structure.em(L, D, 1000)
    for cone in structure.cones:
        here = np.ix_(cone, cone)
        expected = T[here] - T[here] @ D[here] @ T[here] / 1000
        np.testing.assert_allclose((moved @ moved.T)[here], expected, atol=1e-12)


def test_changes_of_columns_that_a_structure_bears_leave_the_deviance(case):
    structure, given = case.structure, problem(case.structure)
    k = structure.width
    S = np.diag(np.arange(2.0, 2.0 + k))
    if structure.closed == "any":
        S = S + np.triu(np.ones((k, k)), 1)
    columns = np.column_stack(given.columns[:k]) @ S
    other = Problem(
        (*given.columns, *columns.T),
        given.fixed,
        given.response,
        (Term(0, given.terms[0].codes, 9, tuple(range(3, 3 + k)), structure),),
    )
    one, two = solve(given), solve(other)
    assert two.deviance == pytest.approx(one.deviance, abs=1e-8)
    T, U = (s.factors[0] @ s.factors[0].T for s in (one, two))
    np.testing.assert_allclose(S @ U @ S.T, T, atol=1e-6)


def test_rows_are_centred_only_where_the_structure_bears_it(case):
    prepared = prepare(problem(case.structure))
    basis = prepared.term_bases[0]
    if case.structure.closed == "any":
        assert case.structure.width == 1 or basis[0, 1] != 0.0
    else:
        np.testing.assert_array_equal(basis, np.diag(basis.diagonal()))


def test_null_coordinates_are_those_of_null_directions(case):
    structure = case.structure
    L = np.linalg.cholesky(np.array(case.matrix))
    assert not structure.null(structure.coordinates(L)).any()
    L[:, -1] = 0.0
    x = structure.coordinates(L)
    assert structure.null(x).tolist() == [n.column == structure.width - 1 for n in structure.naturals]
    assert zero_pivots(structure.root(x)) == 1


def test_the_weakest_direction_is_taken_and_may_grow_again(case):
    structure, L = case.structure, np.linalg.cholesky(np.array(case.matrix))
    scale = np.array([1.0, 0.01, 1.0])[: structure.width]
    for value, back, left in structure.thinner(L, scale):
        root = structure.root_of(left)
        again = root @ root.T + value * back
        np.testing.assert_allclose(again, L @ L.T, atol=1e-13)
        assert zero_pivots(root) == 1
    weakest = min(float(thin.value) for thin in structure.thinner(L, scale))
    values = np.linalg.eigvalsh(np.array(case.matrix) * np.outer(scale, scale))
    assert weakest == pytest.approx(values[0])
    nothing = structure.thinner(np.zeros_like(L), scale)
    assert [float(thin.value) for thin in nothing] == [0.0] * len(nothing)


def test_the_slope_of_a_growth_is_its_derivative(case, D):
    structure, scale = case.structure, np.array([1.0, 2.0, 3.0])[: case.structure.width]
    L = np.linalg.cholesky(np.array(case.matrix))
    for slope, rows in structure.growths(L, D, scale):
        assert slope == pytest.approx(np.sum(D * (rows @ rows.T)))
        assert np.sum((rows[:, 0] * scale) ** 2) == pytest.approx(1.0)
        wide = structure.root_of(np.hstack([L, np.sqrt(0.3) * rows]))
        np.testing.assert_allclose(wide @ wide.T, L @ L.T + 0.3 * rows @ rows.T, atol=1e-13)
        assert structure.spans(wide @ wide.T)
    assert structure.growths_from_null(L, D, scale, 1e-6) == []
    for slope, rows in structure.growths_from_null(np.zeros_like(L), D, scale, 1e-6):
        assert slope == pytest.approx(np.sum(D * (rows @ rows.T)))


def test_names(case):
    columns = COLUMNS[: case.structure.width]
    assert case.structure.names(columns) == case.names
    assert case.structure.natural_names(columns) == case.natural_names
    assert len(case.structure.naturals) == case.structure.count
    pairs = [(n.row, n.column) for n in case.structure.naturals if n.kind == "cor"]
    assert list(case.structure.pairs) == pairs


def test_natural_parameters_and_the_slopes_of_their_scales(case, x):
    structure, T = case.structure, np.array(case.matrix)
    np.testing.assert_allclose(structure.natural(T), case.natural)
    assert np.isnan(structure.natural(0.0 * T)).tolist() == [n.kind == "cor" for n in structure.naturals]

    def scales(t):
        values = structure.natural(T_of(structure, t))
        kinds = (n.kind for n in structure.naturals)
        return np.array(
            [np.log(v) if k == "sd" else np.arctanh(v) for v, k in zip(values, kinds, strict=True)]
        )

    x = np.abs(x) + 0.5
    expected = differences(scales, x).T
    found = structure.wald_slopes(T_of(structure, x), structure.jacobian(x))
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_second_search_begins_at_half_as_much_again_of_full_rank(case):
    structure, L = case.structure, np.linalg.cholesky(np.array(case.matrix))
    np.testing.assert_allclose(structure.elsewhere(L), 1.5 * L)
    L[:, -1] = 0.0
    expected = 1.5 * L
    expected[-1, -1] = 0.1 * (L.diagonal().max() or 1.0)
    np.testing.assert_allclose(structure.elsewhere(L), expected)


def test_a_root_is_lower_triangular_has_no_negative_diagonal_and_is_of_the_structure(case):
    structure, L = case.structure, np.linalg.cholesky(np.array(case.matrix))
    assert structure.contains(L)
    assert structure.contains(0.0 * L)
    assert not structure.contains(-L)
    if len(L) > 1:
        assert not structure.contains(L + np.triu(np.ones_like(L), 1))
        assert structure.contains(L + np.tril(np.ones_like(L), -1)) == (structure.closed == "any")


def test_the_imbalance_is_the_largest_slope_times_what_it_is_of(case, D):
    structure, L = case.structure, np.linalg.cholesky(np.array(case.matrix))
    slopes = np.abs(L.T @ D @ L)
    expected = slopes.max() if structure.closed == "any" else slopes.diagonal().max()
    assert structure.imbalance(L, D) == pytest.approx(expected)


def test_a_correlation_is_within_one_and_none_where_a_standard_deviation_is_zero():
    beyond = np.nextafter(1.0, 2.0)
    for sign in (1.0, -1.0):
        assert correlation(np.array([[1.0, sign * beyond], [sign * beyond, 1.0]]), 1, 0) == sign
    assert np.isnan(correlation(np.diag([1.0, 0.0]), 1, 0))
    assert correlation(1e-9 * np.array([[4.0, 1.0], [1.0, 1.0]]), 1, 0) == pytest.approx(0.5)


NAMES = {
    "": ("unstructured", "these may be correlated"),
    "diag": ("diagonal", "these are independent"),
    "homdiag": ("diagonal, with one variance", "these are independent and have one variance"),
    "cs": (
        "compound symmetric, with a variance for each column",
        "these have a variance each and one correlation, the same for all pairs",
    ),
    "homcs": (
        "compound symmetric, with one variance",
        "these have one variance and one correlation, the same for all pairs",
    ),
    "ar1": (
        "first-order autoregressive, with one variance",
        "these have one variance, and a correlation that is rho to the power of how far apart they stand",
    ),
    "hetar1": (
        "first-order autoregressive, with a variance for each column",
        "these have a variance each, and a correlation that is rho to the power of how far apart they stand",
    ),
    "toep": (
        "Toeplitz, with a variance for each column",
        "these have a variance each, and one correlation for every distance between them",
    ),
    "homtoep": (
        "Toeplitz, with one variance",
        "these have one variance, and one correlation for every distance between them",
    ),
    "ou": (
        "Ornstein-Uhlenbeck, with one variance",
        "these have one variance, and a correlation of exp(-distance / range)",
    ),
    "exp": (
        "exponential in the distance, with one variance",
        "these have one variance, and a correlation of exp(-distance / range)",
    ),
}


def test_what_sentences_call_each_structure():
    assert {tag: (kind.name, kind.words) for tag, kind in STRUCTURES.items()} == NAMES


# Several side by side

BESIDE = BlockDiagonal(
    4,
    (
        ((0, 2), Unstructured(2)),
        ((1,), Unstructured(1)),
        ((3,), Diagonal(1)),
    ),
)


def test_blocks_have_zero_between_them_and_coordinates_one_after_the_other():
    x = np.arange(1.0, 6.0)
    L = BESIDE.root(x)
    assert L.tolist() == [[1, 0, 0, 0], [0, 4, 0, 0], [2, 0, 3, 0], [0, 0, 0, 5]]
    np.testing.assert_array_equal(BESIDE.coordinates(L), x)
    assert BESIDE.cones == ((0, 2), (1,), (3,))
    np.testing.assert_array_equal(BESIDE.span.any(axis=0), (L + L.T) > 0)
    assert BESIDE.nonnegative.tolist() == [True, False, True, True, True]


def test_derivatives_of_blocks_are_those_of_differences():
    rng = np.random.default_rng(1)
    x, D, c = rng.normal(size=5), rng.normal(size=(4, 4)), rng.normal(size=(4, 3))
    D = D + D.T
    J = differences(lambda x: T_of(BESIDE, x), x)
    np.testing.assert_allclose(BESIDE.jacobian(x), J, atol=1e-8)
    np.testing.assert_allclose(BESIDE.gradient(x, D), np.einsum("ab,iab->i", D, J), atol=1e-8)
    np.testing.assert_allclose(BESIDE.working(x, c), np.einsum("iab,bj->aij", J, c), atol=1e-8)
    np.testing.assert_allclose(
        BESIDE.curvature(x, D), differences(lambda x: BESIDE.gradient(x, D), x), atol=1e-8
    )


def test_blocks_of_many_at_once_are_each_by_themselves():
    rng, scale = np.random.default_rng(9), np.array([1.0, 2.0, 0.5, 3.0])
    X, D, c = rng.normal(size=(5, 3)), rng.normal(size=(4, 4, 3)), rng.normal(size=(4, 6, 3))
    D = D + D.swapaxes(0, 1)

    def all_of(x, D, c):
        L = BESIDE.root(x)
        growths, thinner = BESIDE.growths(L, D, scale), BESIDE.thinner(L, scale)
        parts = [part for way in (*growths, *thinner) for part in way]
        derivatives = [
            BESIDE.jacobian(x),
            BESIDE.gradient(x, D),
            BESIDE.curvature(x, D),
            BESIDE.working(x, c),
        ]
        return [L, BESIDE.root_of(L), BESIDE.em(L, D, 50), BESIDE.start(D, scale, 0.25), *derivatives, *parts]

    for i in range(3):
        for many, one in zip(all_of(X, D, c), all_of(X[:, i], D[..., i], c[..., i]), strict=True):
            np.testing.assert_allclose(many[..., i], one, rtol=1e-12, atol=1e-12)


def test_growths_and_weakest_directions_of_blocks_stand_in_their_columns():
    scale, D, L = np.ones(4), np.diag([1.0, -2.0, -3.0, 4.0]), np.eye(4)
    assert [float(slope) for slope, _ in BESIDE.growths(L, D, scale)] == [-3.0, -2.0, 4.0]
    assert [np.abs(rows[:, 0]).tolist() for _, rows in BESIDE.growths(L, D, scale)] == np.eye(4)[
        [2, 1, 3]
    ].tolist()
    L = BESIDE.root(np.array([1.0, 0.0, 2.0, 3.0, 0.0]))
    (null,) = BESIDE.growths_from_null(L, D, scale, 1e-6)
    assert float(null.slope) == 4.0
    assert np.abs(null.rows[:, 0]).tolist() == [0.0, 0.0, 0.0, 1.0]
    for (value, back, left), T in zip(
        BESIDE.thinner(L, scale), ([0, 9, 4, 0], [1, 0, 4, 0], [1, 9, 4, 0]), strict=True
    ):
        np.testing.assert_allclose(left @ left.T, np.diag(T))
        np.testing.assert_allclose(left @ left.T + value * back, L @ L.T)
    assert BESIDE.null(np.array([1.0, 0.0, 2.0, 3.0, 0.0])).tolist() == [False, False, False, False, True]


def test_columns_are_written_by_falling_variance_where_their_order_is_free():
    blocks = BlockDiagonal(4, (((0, 1), Unstructured(2)), ((2, 3), Diagonal(2))))
    L = np.diag([1.0, 2.0, 1.0, 2.0])
    turned = by_falling_variance(blocks, L, np.ones(4))
    assert [columns for columns, _ in turned.parts] == [(1, 0), (2, 3)]
    assert by_falling_variance(turned, L, np.array([3.0, 1.0, 1.0, 1.0])).parts == blocks.parts
    T = np.array([[1.0, 0.5], [0.5, 4.0]])
    root = turned.root_of(np.pad(np.linalg.cholesky(T), (0, 2)))
    np.testing.assert_allclose((root @ root.T)[:2, :2], T)
    np.testing.assert_allclose(turned.root(turned.coordinates(root)), root)


def test_a_semidefinite_factor_has_a_zero_column_at_a_zero_pivot():
    A = np.array([[1.0, 2.0], [2.0, 4.0], [0.0, 1.0]])
    L = semidefinite_factor(A)
    np.testing.assert_allclose(L @ L.T, A @ A.T, atol=1e-14)
    assert (np.diag(L) == 0).tolist() == [False, True, False]
    assert (L[:, 1] == 0).all()
    np.testing.assert_array_equal(semidefinite_factor(np.stack([A, 2 * A])), np.stack([L, 2 * L]))


def test_a_small_pivot_keeps_its_digits_and_one_of_rounding_is_none():
    A = np.array([[1.0, 1.3, 0.7], [1.0, 1.3, 0.7 + 1e-8], [0.4, 2.0, 3.1]])
    L = semidefinite_factor(A)
    np.testing.assert_allclose(L @ L.T, A @ A.T, rtol=1e-14)
    assert L[1, 1] == pytest.approx(1e-8 * np.sqrt(2.69 / 3.18), rel=1e-6)
    for new, pivot in ((0.9e-11, 0.0), (1.1e-11, 1.1e-11)):  # of the row's length
        assert semidefinite_factor(np.array([[1.0, 0.0], [1.0, new]]))[1, 1] == pytest.approx(pivot, rel=1e-5)
    assert zero_pivots(np.diag([1.0, 1e-11, 0.0])) == 1


def test_the_root_of_what_is_positive_but_for_rounding():
    A = np.array([[1.0, 1.0], [1.0, 1.0 - 1e-15]])
    L = positive_root(A)
    np.testing.assert_allclose(L @ L.T, A, atol=1e-10)
    assert L[1, 1] > 1e-6
    fine, broken = np.array([[4.0, 1.0], [1.0, 9.0]]), np.full((2, 2), np.nan)
    every = positive_root(np.stack([fine, A, broken]))
    np.testing.assert_array_equal(every, np.stack([np.linalg.cholesky(fine), L, np.eye(2)]))


@pytest.mark.parametrize("structure", [Unstructured(2), Diagonal(2)])
def test_the_null_space_of_a_search_is_what_has_next_to_no_variance(structure):
    scale, D = np.array([1.0, 10.0]), np.diag([1.0, -400.0])
    (growth,) = structure.growths_from_null(np.diag([1.0, 0.9e-4]), D, scale, 1e-6)
    assert float(growth.slope) == pytest.approx(-4.0)
    np.testing.assert_allclose(np.abs(growth.rows), [[0.0], [0.1]])
    assert structure.growths_from_null(np.diag([1.0, 1.1e-4]), D, scale, 1e-6) == []


@pytest.mark.parametrize("structure", [Unstructured(2), Diagonal(2)])
def test_a_variance_of_almost_nothing_can_still_be_taken(structure):
    values = [float(thin.value) for thin in structure.thinner(np.diag([1.0, 1e-5]), np.ones(2))]
    assert values[-1] == pytest.approx(1e-10)


@pytest.mark.parametrize(("miss", "spanned"), [(0.9e-9, True), (1.1e-9, False)])
def test_a_matrix_may_miss_its_family_by_rounding(miss, spanned):
    assert Diagonal(2).spans(np.array([[3.0, 5.0 * miss], [5.0 * miss, 5.0]])) == spanned


def test_a_natural_parameter_is_about_columns():
    assert Unstructured(2).naturals == (Natural("sd", 0, 0), Natural("cor", 1, 0), Natural("sd", 1, 1))
