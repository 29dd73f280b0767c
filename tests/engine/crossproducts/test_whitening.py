"""What whitens rows: its units, and where it is refused, on both sides of each bound."""

from dataclasses import replace

import numpy as np
import pytest
from support.differences import differences
from support.rowwise import RESIDUALS, a_point, residual_covariance, trial
from support.small_visits import over

from lmmkit.engine.covariance.row_structure import RowStructure, Serial, Spatial, VarianceFunction
from lmmkit.engine.crossproducts import whitening
from lmmkit.engine.crossproducts.whitening import normalised, residuals_from, root_of, serial, spatial
from lmmkit.engine.problem import Problem, Residual, RowResidual
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError

SUBJECTS, TIMES = np.array([0, 0, 0, 0, 1, 1]), np.array([0.0, 1.0, 3.0, 10.0, 2.0, 7.0])
SINGULAR = "residual covariance matrix is not positive definite"
BEYOND = "has left the range of floating-point numbers"


def varied(covariate, kind="exp"):
    """Independent rows whose variance follows a number."""
    structure = RowStructure(VarianceFunction(kind, (kind,)), None)
    return RowResidual(structure, np.arange(len(covariate)), np.asarray(covariate, float))


def test_units_are_medians_of_gaps_and_of_distances():
    assert serial(SUBJECTS, TIMES) == Serial(3.5, 1.0, 10.0)
    order = np.array([3, 5, 0, 2, 4, 1])
    assert serial(SUBJECTS[order], TIMES[order]) == Serial(3.5, 1.0, 10.0)
    place = TIMES[:, None]
    # distances 1 3 10 2 9 7 of the first, 5 of the second
    assert spatial(SUBJECTS, place, nugget=True) == Spatial(5.0, 1.0, 10.0, nugget=True)


def test_subjects_with_the_same_places_count_ten_times_at_most():
    """Of 1, 1, ... a dozen times count ten, against eleven times 30."""
    alike, others = np.repeat(np.arange(12), 2), 12 + np.repeat(np.arange(11), 2)
    place = np.concatenate([np.tile([0.0, 1.0], 12), *([0.0, 30.0 + shift] for shift in range(11))])[:, None]
    subjects = np.concatenate([alike, others])
    assert spatial(subjects, place, nugget=False).unit == 30.0
    assert spatial(subjects[:-2], place[:-2], nugget=False).unit == 15.5
    assert spatial(subjects[:-4], place[:-4], nugget=False).unit == 1.0


@pytest.mark.parametrize(
    ("twice", "said"),
    [
        ([5.0], "Subject b has two rows at time 5: a serial correlation has one row"),
        ([5.0, 6.0], "at time 5, and so once more: a serial"),
        ([5.0, 6.0, 7.0], "at time 5, and so 2 times more: a serial"),
    ],
)
def test_rows_at_one_time_are_counted(twice, said):
    times = np.concatenate([[0.0, 1.0], np.repeat(twice, 2)])
    subjects = np.array([0, 0, *[1] * (2 * len(twice))])
    with pytest.raises(FitError, match=said):
        serial(subjects, times, lambda s: "ab"[s])


def test_rows_at_one_place_are_named_by_it():
    place = np.array([[0.0, 1.0], [2.0, 3.0], [2.0, 3.0], [4.0, 5.0]])
    with pytest.raises(FitError, match=r"Subject b has two rows at the place \(2, 3\): a spatial"):
        spatial(np.ones(4, int), place, nugget=False, names=lambda s: "ab"[s])


def test_a_subject_is_one_dense_matrix_up_to_a_size(monkeypatch):
    assert whitening.LARGEST_SUBJECT == 3_000
    monkeypatch.setattr(whitening, "LARGEST_SUBJECT", 4)
    place = np.arange(5.0)[:, None]
    assert spatial(np.zeros(4, int), place[:4], nugget=False).longest == 3.0
    with pytest.raises(FitError, match=r"Subject 0 has 5 rows; .* of at most 4"):
        spatial(np.zeros(5, int), place, nugget=False)


def test_no_pair_of_rows_tells_of_no_correlation():
    for made in (
        lambda: serial(np.arange(3), TIMES[:3]),
        lambda: spatial(np.arange(3), TIMES[:3, None], False),
    ):
        with pytest.raises(FitError, match="Every subject has one row, so no correlation"):
            made()


@pytest.mark.parametrize(("rho", "refused"), [(69.0, False), (69.2, True)])
def test_variances_of_rows_have_a_widest_ratio(rho, refused):
    """SDs of a ratio e^69.08, variances of 1e60."""
    residual = varied([0.0, 1.0])
    if refused:
        with pytest.raises(FitError, match=BEYOND):
            root_of(residual, np.array([rho]))
    else:
        assert root_of(residual, np.array([rho])).root.logdet == pytest.approx(2.0 * rho)


@pytest.mark.parametrize(("log", "refused"), [(299.0, False), (301.0, True), (-299.0, False), (-301.0, True)])
def test_standard_deviations_have_a_farthest_place(log, refused):
    residual = varied([log, log])
    if refused:
        with pytest.raises(FitError, match=r"where sigma is told \(1 for power, 0 for exp\)\. Divide it by"):
            root_of(residual, np.array([1.0]))
    else:
        assert root_of(residual, np.array([1.0])).root.logdet == pytest.approx(4.0 * log)


@pytest.mark.parametrize(("left", "refused"), [(1.1e-12, False), (0.9e-12, True)])
def test_rows_close_in_time_leave_each_other_a_share(left, refused):
    """1 - phi^2 = 2 h / range."""
    process = serial(SUBJECTS, TIMES)
    residual = RowResidual(RowStructure(None, process), SUBJECTS, times=TIMES)
    rho = np.array([np.log(2.0 / left / process.unit)])
    if refused:
        with pytest.raises(FitError, match=SINGULAR):
            root_of(residual, rho)
    else:
        assert np.isfinite(root_of(residual, rho).root.logdet)


@pytest.mark.parametrize("rho", [710.0, 1e4])
def test_a_range_beyond_all_numbers_is_singular(rho):
    residual = RowResidual(RowStructure(None, serial(SUBJECTS, TIMES)), SUBJECTS, times=TIMES)
    with pytest.raises(FitError, match=SINGULAR):
        root_of(residual, np.array([rho]))
    place = RowStructure(None, spatial(SUBJECTS, TIMES[:, None], nugget=False))
    with pytest.raises(FitError, match=SINGULAR):
        root_of(RowResidual(place, SUBJECTS, positions=TIMES[:, None]), np.array([rho]))


@pytest.mark.parametrize(("left", "refused"), [(1.1e-12, False), (0.9e-12, True)])
def test_visits_leave_each_other_a_share(left, refused):
    residual = Residual(over("ar1", ("1", "2"), (1, 2)), np.tile([0, 1], 3), np.repeat(np.arange(3), 2))
    rho = np.array([np.arctanh(np.sqrt(1.0 - left))])
    if refused:
        with pytest.raises(FitError, match=SINGULAR):
            root_of(residual, rho)
    else:
        assert root_of(residual, rho).root.logdet == pytest.approx(3.0 * np.log(left), rel=1e-3)


# Roots


@pytest.mark.parametrize("name", RESIDUALS)
def test_roots_whiten_in_the_callers_order(name):
    problem = trial(name, "1|s")
    residual, n = problem.residual, len(problem.response)
    rho = a_point(set_up(problem, reml=True))[1:]
    root, R = root_of(residual, rho), residual_covariance(problem, rho)
    B = root.white(np.eye(n)).T
    np.testing.assert_allclose(B @ R @ B.T, np.eye(n), atol=1e-10)
    np.testing.assert_allclose(root.unwhite(np.eye(n)).T @ B, np.eye(n), atol=1e-10)
    # what derivatives need, in the order of the root
    inner, order = root.root, np.arange(n) if root.order is None else root.order
    here = np.ix_(order, order)
    np.testing.assert_allclose(inner.matrix().toarray(), B[here], atol=1e-14)
    np.testing.assert_allclose(inner.white_t(np.eye(n)), B[here], atol=1e-14)
    np.testing.assert_allclose(B[here].T @ inner.unwhite_t(np.eye(n)).T, np.eye(n), atol=1e-10)
    assert inner.logdet == pytest.approx(np.linalg.slogdet(R)[1])
    x = np.random.default_rng(0).normal(size=n)
    slopes = differences(lambda r: residual_covariance(replace(problem, weights=None), r), rho)
    turned = slopes[:, *here] @ (B[here].T @ x) @ B[here].T
    np.testing.assert_allclose(inner.turned(x), turned, atol=1e-8)
    logdets = differences(lambda r: np.linalg.slogdet(residual_covariance(problem, r))[1], rho)
    np.testing.assert_allclose(inner.logdet_slopes(), logdets, atol=1e-7)
    # <2 K U, dB X> is the derivative of sum_ab K_ab x_a' R^-1 x_b
    K, X = np.array([[1.0, 0.4], [0.4, -2.0]]), np.random.default_rng(1).normal(size=(2, n))
    U = inner.white(X)
    np.testing.assert_allclose(inner.unwhite(U), X, atol=1e-9)
    np.testing.assert_allclose(inner.white(X[0]), U[0], atol=1e-12)

    def size(r):
        R = residual_covariance(replace(problem, weights=None), r)[order][:, order]
        return np.array([np.sum(K * (X @ np.linalg.solve(R, X.T)))])

    found = inner.pulled(X, U, 2.0 * K @ U)
    np.testing.assert_allclose(found, differences(size, rho)[:, 0], atol=2e-5 * max(1.0, np.abs(found).max()))
    for subject in range(3):
        rows = np.flatnonzero(residual.subjects == subject)
        here = np.ix_(rows, rows)
        np.testing.assert_allclose(residual.block(rho, rows), R[here], atol=1e-12)
        np.testing.assert_allclose(residual.block_slopes(rho, rows), slopes[:, *here], atol=1e-8)
    np.testing.assert_allclose(residual.sds(rho) ** 2, R.diagonal(), atol=1e-12)


@pytest.mark.parametrize("few", [1, 100])
def test_patterns_of_many_and_of_few_subjects_are_whitened_alike(few, monkeypatch):
    assert whitening.FEW == 4
    monkeypatch.setattr(whitening, "FEW", few)
    visits, subjects = np.array([0, 1, 2, 0, 2, 0, 1, 2, 1, 2]), np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 3])
    residual = Residual(over("cs", heterogeneous=True), visits, subjects)
    rho, A = np.array([0.3, -0.2, 0.8]), np.random.default_rng(0).normal(size=(2, 10))
    R = np.where(subjects[:, None] == subjects, residual.structure.matrix(rho)[np.ix_(visits, visits)], 0.0)
    np.testing.assert_allclose(root_of(residual, rho).white(A), A @ np.linalg.inv(np.linalg.cholesky(R)).T)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("correlated", [False, True])
def test_residuals_are_made_of_independent_numbers_and_taken_back(weighted, correlated):
    w = np.array([0.5, 1.0, 2.0, 4.0, 1.0, 3.0]) if weighted else None
    residual = RowResidual(RowStructure(None, serial(SUBJECTS, TIMES)), SUBJECTS, times=TIMES)
    problem = Problem((np.ones(6),), (0,), np.zeros(6), (), w, residual=residual if correlated else None)
    rho, sigma, z = np.array([0.5]), 1.7, np.eye(6)
    A = residuals_from(problem, rho if correlated else np.empty(0), sigma, z)
    R = np.where(
        SUBJECTS[:, None] == SUBJECTS,
        residual.structure.correlation.correlation(rho, np.abs(np.subtract.outer(TIMES, TIMES))),
        0.0,
    )
    R = R if correlated else np.eye(6)
    s = np.ones(6) if w is None else 1.0 / np.sqrt(w)
    np.testing.assert_allclose(A @ A.T, sigma**2 * R * np.outer(s, s), atol=1e-12)
    np.testing.assert_allclose(normalised(problem, rho, sigma, A), z, atol=1e-12)


def test_two_rows_at_one_time_are_none_of_two_subjects():
    assert serial(np.array([0, 0, 1, 1]), np.array([0.0, 2.0, 2.0, 5.0])) == Serial(2.5, 2.0, 3.0)
