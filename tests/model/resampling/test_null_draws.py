"""A coefficient under the null hypothesis: its effect is taken out of the responses."""

from __future__ import annotations

import numpy as np
import pytest
from support.designs import fitted

from lmmkit.errors import FitError
from lmmkit.model.resampling.null_draws import null_draws

ROWS = np.arange(160)


@pytest.mark.parametrize("weighted", [False, True])
def test_estimates_lie_about_zero_with_their_standard_errors(weighted):
    m = fitted("one factor", weighted=weighted)
    found = null_draws(m.estimates, "x", rows=ROWS, n=400, seed=1)
    assert abs(m.params["x"]) > 5 * m.bse["x"]
    assert abs(found.estimate.mean()) < 4 * m.bse["x"] / 20
    assert found.estimate.std() == pytest.approx(m.bse["x"], rel=0.15)
    np.testing.assert_allclose(np.median(found.se), m.bse["x"], rtol=0.05)


def test_another_coefficient_keeps_its_effect():
    m = fitted("one factor")
    moved = null_draws(m.estimates, "Intercept", rows=ROWS, n=50, seed=1)
    assert abs(moved.estimate.mean()) < 4 * m.bse["Intercept"] / 7


def test_an_unknown_coefficient_is_named():
    with pytest.raises(FitError, match="no coefficient age; it has Intercept, x"):
        null_draws(fitted("one factor").estimates, "age", rows=ROWS, n=2, seed=1)
