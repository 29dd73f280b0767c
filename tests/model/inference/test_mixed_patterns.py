"""A matrix without a pattern beside one that has a pattern: what has a profile, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from model.posterior.test_drawing import table

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.inference.confidence_intervals import Profiles
from lmmkit.model.tables import parameter_names


def test_a_correlation_beside_a_pattern_has_no_profile_and_says_so():
    estimates = lmmkit.lmm("y ~ x + homcs(0 + f | g) + (x | h)", table()).estimates
    place = parameter_names(estimates).index("h.cor.x.Intercept")
    profiles = Profiles(estimates, 0.95)
    with pytest.raises(FitError, match="beside one with a pattern is not offered: use method='wald'"):
        profiles.variance(place)
    found = profiles.attempt(place)
    assert np.isnan([found.bounds.low, found.bounds.high]).all()
    assert "is not offered" in found.bounds.trouble
