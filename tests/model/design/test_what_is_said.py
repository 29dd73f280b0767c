"""What a design says before any fit: all faults at once, slopes that no level shows, ids that begin anew."""

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError, LmmkitError
from lmmkit.model.design.design import build_design


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(20), 6), np.tile(np.arange(6.0), 20)
    return pd.DataFrame(
        {
            "y": rng.normal(size=120) + rng.normal(size=20)[g] + x / 2,
            "x": x,
            "g": g,
            "age": rng.uniform(20, 60, 20)[g],
            "arm": np.where(g < 10, "A", "B"),
            "one": "only",
            "row": np.arange(120).astype(str),
        }
    )


@pytest.mark.parametrize(
    "bar", ["(age | g)", "(1 + arm || g)", "(0 + age | g)", "diag(1 + arm | g)", "(age + x | g)"]
)
def test_a_slope_constant_within_its_groups_is_noticed(frame, bar):
    design = build_design(f"y ~ x + {bar}", frame)
    assert "one value in each level of `g`" in design.warnings[0]
    assert design.undetermined == ()


@pytest.mark.parametrize(
    "bar",
    ["(arm | g)", "(0 + arm | g)", "(arm * x | g)", "(arm + age | g)"],
)
def test_one_of_too_few_values_is_called_undetermined(frame, bar):
    design = build_design(f"y ~ x + {bar}", frame)
    assert len(design.undetermined) == 1
    assert design.undetermined[0] in design.warnings


@pytest.mark.parametrize("bar", ["(x | g)", "(x || g)", "(1 | g)", "(0 + x | g)", "(x + I(x^2) | g)"])
def test_slopes_that_vary_within_a_level_are_not(frame, bar):
    assert build_design(f"y ~ x + {bar}", frame).warnings == ()


def test_an_undetermined_term_has_a_flat_likelihood(frame):
    """Two covariance matrices of (1 + arm | g) that differ give one covariance matrix of the response."""
    z = np.array([[1, 0], [1, 1]])
    first, second = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[2.0, 0.0], [0.0, 2.0]])
    assert np.allclose([row @ first @ row for row in z], [row @ second @ row for row in z])


def test_everything_is_said_at_once(frame):
    with pytest.raises(LmmkitError) as raised:
        build_design("yy ~ zz + (1 | g)", frame)
    assert [part.about for part in raised.value.parts] == [("yy",), ("zz",)]
    with pytest.raises(DataError) as raised:
        build_design("y ~ one + (1 | one) + (1 | row)", frame, weights="arm", offset="row")
    assert [part.about for part in raised.value.parts] == [("weights",), ("offset",)]
    with pytest.raises(DataError) as raised:
        build_design("y ~ one + (1 | one) + (1 | row)", frame)
    assert [str(part)[:27] for part in raised.value.parts] == [
        "The grouping factor `one` h",
        "The grouping factor `row` h",
        "The factor `one` has one le",
    ]


def _pupils(sizes, rows=3, offset=1):
    cells = [(s, p, t) for s, n in enumerate(sizes) for p in range(offset, n + offset) for t in range(rows)]
    frame = pd.DataFrame(cells, columns=["school", "pupil", "t"]).astype({"school": str, "pupil": str})
    return frame.assign(y=np.random.default_rng(0).normal(size=len(frame)))


def test_pupils_numbered_anew_in_each_school_are_noticed():
    (notice,) = build_design("y ~ t + (1 | school) + (1 | pupil)", _pupils([18, 25, 21, 23])).warnings
    assert "(1 | school/pupil)" in notice
    assert "`pupil` has 25 levels, but 87 within `school`" in notice


@pytest.mark.parametrize(
    "frame",
    [
        _pupils([20] * 30),  # every person has seen every item
        _pupils([18, 25, 21, 23], rows=1),
        _pupils([20] * 30).sample(frac=0.8, random_state=1),
    ],
    ids=["crossed", "one row each", "crossed with gaps"],
)
def test_crossed_items_are_not(frame):
    assert build_design("y ~ t + (1 | school) + (1 | pupil)", frame).warnings == ()


@pytest.mark.parametrize(
    ("sizes", "noticed", "either"),
    [
        ([3] * 5, True, True),  # all cells occur: a factor of few labels within one of more
        ([3] * 3, False, False),
        ([12] * 13, True, False),
        ([13] * 14, False, False),
        ([3] * 12, True, True),
        ([3] * 13, True, False),
        ([2, 3, 3, 3], True, False),
    ],
)
def test_labels_that_begin_anew_are_noticed_where_they_are_few_or_cells_are_missing(sizes, noticed, either):
    warnings = build_design("y ~ t + (1 | school) + (1 | pupil)", _pupils(sizes)).warnings
    assert len(warnings) == noticed
    told = warnings[0] if warnings else ""
    assert ("write (1 | school/pupil)" in told) == noticed
    assert ("; if it is the other way round, (1 | pupil/school)." in told) == either


@pytest.mark.parametrize(("left_out", "noticed"), [(0, True), (1, False)])
def test_labels_that_begin_anew_are_noticed_from_three_rows_for_two_cells(left_out, noticed):
    whole = _pupils([4, 5, 5, 6], rows=2)
    cell = whole.groupby(["school", "pupil"]).ngroup()
    frame = whole[(whole["t"] == 0) | (cell % 2 == 0)].reset_index(drop=True)
    assert 2 * len(frame) == 3 * cell.nunique()
    frame = frame.drop(frame.index[frame["t"] == 1][:left_out])
    assert bool(build_design("y ~ 1 + (1 | school) + (1 | pupil)", frame).warnings) == noticed
