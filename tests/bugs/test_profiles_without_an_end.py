"""A profile that never rises ends in words; so does a jackknife that can leave no group out."""

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.errors import FitError, PartialResult


@pytest.fixture
def flat():
    """Two groups, and x tells them apart: the restricted likelihood says nothing of their variance."""
    group = np.repeat(np.arange(2), 10)
    y = np.random.default_rng(1).normal(size=20) + np.array([0.0, 8.0])[group]
    return pd.DataFrame({"y": y, "x": 1.0 * group, "g": group.astype(str)})


def test_a_flat_profile_has_no_upper_bound_and_says_so(flat):
    fit = lmmkit.lmm("y ~ x + (1 | g)", flat, start=[5.0])
    with pytest.warns(PartialResult, match=r"g\.sd\.Intercept: upper bound"):
        bounds = fit.conf_int("profile")
    assert np.isnan(bounds.loc["g.sd.Intercept", "high"])


def test_a_jackknife_without_a_fit_is_refused(flat):
    with pytest.raises(FitError, match="without any of them the model cannot be fitted: use"):
        lmmkit.lmm("y ~ x + (1 | g)", flat).conf_int("bootstrap", kind="bca", n=20)
