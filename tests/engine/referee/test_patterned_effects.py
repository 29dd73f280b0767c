"""The covariance matrices of patterns, entry by entry, and at the ends of what is printed."""

import numpy as np
import pytest
from support.patterns import PATTERNS, PLACES, member, natural

from lmmkit.engine.referee.patterned_effects import covariance_as_printed


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("tag", PATTERNS)
def test_matrices_of_what_is_printed(tag, k):
    found = covariance_as_printed(tag, k, natural(tag, k), PLACES.get(tag, ())[:k])
    np.testing.assert_allclose(found, member(tag, k), rtol=1e-14)


@pytest.mark.parametrize("tag", ["ou", "exp"])
def test_a_range_of_zero_is_no_correlation_and_one_without_end_is_one(tag):
    none, all_of_it = (covariance_as_printed(tag, 4, [1.5, r], PLACES[tag]) for r in (0.0, np.inf))
    np.testing.assert_array_equal(none, 2.25 * np.eye(4))
    np.testing.assert_array_equal(all_of_it, np.full((4, 4), 2.25))


def test_a_correlation_that_is_not_defined_is_of_no_variance():
    found = covariance_as_printed("toep", 3, [2.0, 1.0, 0.0, 0.5, np.nan])
    np.testing.assert_array_equal(found, [[4.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    alone = covariance_as_printed("cs", 2, [2.0, 1.0, np.nan])
    np.testing.assert_array_equal(alone, np.diag([4.0, 1.0]))
