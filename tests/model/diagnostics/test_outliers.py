"""Which groups are looked at, and how a check says what it found of one, or of several."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2
from support.checks import fitted, looked_at

from lmmkit.model.diagnostics.check_result import counted, number, too_few
from lmmkit.model.diagnostics.outliers import (
    _told,
    group_p,
    grouped_squares,
    groups_apart,
    holm,
    leave_out,
    subjects_apart,
)
from lmmkit.model.diagnostics.replicated import SizeRules, replicate_data


@pytest.mark.parametrize("residual", ["car1(day | g)", "ar1(day | g)"])
def test_subjects_that_are_a_grouping_factor_are_looked_at_once(residual):
    fit = fitted("y ~ x + (1 | g)", 13, 12, 5, residual=residual)
    (sets,) = replicate_data(fit.estimates, seed=1, count=19, rules=SizeRules(table=0))
    assert [one.of for one in groups_apart(sets)] == ["g"]
    assert list(subjects_apart(sets)) == []
    assert [one.of for one in subjects_apart(looked_at("a structure")[1])] == ["g"]


@pytest.mark.parametrize(
    ("far", "words"),
    [
        ([17], "g 17 stands apart in its intercept: it is "),
        ([9, 17], " stand apart in their intercept: the first is "),
    ],
)
def test_one_group_stands_apart_and_two_stand(far, words):
    fit = fitted("y ~ x + (1 | g)", 21, 60, 3, y=lambda d, _: d["y"] + 30 * d["g"].isin(far))
    (sets,) = replicate_data(fit.estimates, seed=1, count=19, rules=SizeRules(table=0))
    (found,) = groups_apart(sets)
    assert words in str(found.notable)
    assert len(found.where.split(", ")) == len(far)
    assert str(found.fine).startswith("No level of g stands apart in its intercept: the farthest, g ")


@pytest.mark.parametrize(
    ("count", "which", "words"),
    [(1, "", "there is 1 row, fewer than 20"), (2, " of x", "there are 2 rows of x, fewer than 20")],
)
def test_too_few_is_said_with_the_number_that_is_needed(count, which, words):
    assert str(too_few(count, 20, "row", which)) == words
    assert str(counted(count, "effect")) == f"{count} effect{'' if count == 1 else 's'}"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.001, 2, "0.00"), (-0.004, 2, "0.00"), (-0.006, 2, "-0.01"), (-0.0, None, "0"), (-2.0, None, "-2")],
)
def test_a_number_that_is_rounded_to_zero_has_no_sign(value, decimals, text):
    assert str(number(value, decimals)) == text


def test_p_values_are_adjusted_step_by_step_for_those_that_are_left():
    found = holm(np.array([0.01, np.nan, 0.04, 0.015, 0.9]))
    np.testing.assert_allclose(found, [0.04, np.nan, 0.08, 0.045, 0.9])
    assert holm(np.array([0.4, 0.4])).tolist() == [0.8, 0.8]
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_a_level_is_held_against_the_scale_of_the_others():
    square = np.array([4.0, 6.0, 2.0, 36.0])
    np.testing.assert_allclose(leave_out(square, 2), [44 / 6, 42 / 6, 46 / 6, 12 / 6])
    p = chi2(2).sf(square / leave_out(square, 2))
    np.testing.assert_allclose(group_p(square, 2), holm(p))


def test_squares_are_summed_by_group_and_a_group_without_rows_has_none():
    values, codes = np.array([[1.0, 0.0], [2.0, 3.0], [3.0, 1.0]]), np.array([2, 0, 2])
    expected = [[4.0, 9.0], [np.nan, np.nan], [10.0, 1.0], [np.nan, np.nan]]
    np.testing.assert_array_equal(grouped_squares(values, codes, 4), expected)


@pytest.mark.parametrize(
    ("group", "value", "told"),
    [("Subject", "332", "Subject 332"), ("field", "Field 9", "Field 9"), ("g", "g01", "g g01")],
)
def test_a_level_is_told_with_its_group_unless_it_names_it(group, value, told):
    assert _told(group, value) == told
