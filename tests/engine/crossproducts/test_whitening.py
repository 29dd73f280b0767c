"""What whitens rows: its units, and where it is refused, on both sides of each bound."""

import numpy as np
import pytest
from support.small_visits import over

from lmmkit.engine.covariance.row_structure import RowStructure, Serial, Spatial, VarianceFunction
from lmmkit.engine.crossproducts import whitening
from lmmkit.engine.crossproducts.whitening import root_of, serial, spatial
from lmmkit.engine.problem import Residual, RowResidual
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
