"""A model without fixed effects has no coefficient to tell of, and everything else all the same."""

import pandas as pd
import pytest
from reference.cases import table

from lmmkit import lmm


@pytest.fixture(scope="module")
def fit():
    return lmm("Reaction ~ 0 + (1 | Subject)", table("sleep_full"))


def test_tables_of_coefficients_are_empty(fit):
    assert fit.coef_table().empty
    assert fit.anova().empty


@pytest.mark.parametrize("options", [{"method": "wald"}, {"method": "bootstrap", "n": 20, "seed": 1}])
def test_intervals_are_those_of_the_variance_parameters(fit, options):
    intervals = fit.conf_int(**options)
    assert list(intervals.index) == ["Subject.sd.Intercept", "Residual.sd"]
    assert isinstance(intervals, pd.DataFrame)
    assert (intervals["low"] < intervals["high"]).all()
