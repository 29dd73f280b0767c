"""Covariates of variance functions: which problems have one to be found or centred, and how far it may go."""

from __future__ import annotations

import numpy as np
import pytest
from engine.test_solve import rows_of
from support.visits import trial

from lmmkit.engine.covariance.row_structure import RowStructure, Serial, VarianceFunction
from lmmkit.engine.covariates import awaits_fitted, lift, middle, without_variance
from lmmkit.engine.problem import Problem, RowResidual
from lmmkit.errors import FitError

POWER = VarianceFunction("power", ("power",), fitted=True)
SERIAL = Serial(1.0, 1.0, 2.0)


def of(variance, correlation, covariate=None):
    residual = RowResidual(RowStructure(variance, correlation), np.zeros(3, int), covariate, np.arange(3.0))
    return Problem((np.ones(3),), (0,), np.arange(3.0), (), residual=residual)


def test_fitted_values_are_awaited_where_the_variance_is_a_power_of_them_and_they_are_not_known():
    assert awaits_fitted(of(POWER, None))
    assert awaits_fitted(of(POWER, SERIAL))
    for known in (of(POWER, None, np.ones(3)), of(None, SERIAL), rows_of("power", np.ones(3)), trial("cs")):
        assert not awaits_fitted(known)
    assert not awaits_fitted(Problem((np.ones(3),), (0,), np.arange(3.0), ()))


def test_without_its_variance_a_problem_has_the_correlation_or_nothing():
    assert without_variance(of(POWER, None, np.ones(3))).residual is None
    left = without_variance(of(POWER, SERIAL, np.ones(3))).residual
    assert left.structure == RowStructure(None, SERIAL)
    assert left.covariate is None
    assert left.times.tolist() == [0.0, 1.0, 2.0]


def test_without_a_variance_function_nothing_is_centred():
    for problem in (of(None, SERIAL), trial("cs"), rows_of("ident", np.array([0.0, 1.0, 1.0]))):
        assert middle(problem).shape == (0,)


@pytest.mark.parametrize(("log", "refused"), [(299.0, False), (-299.0, False), (301.0, True), (-301.0, True)])
def test_a_centre_is_within_the_range_of_numbers(log, refused):
    rho, mean = np.array([log / 2.0, 7.0]), np.array([2.0])
    if refused:
        with pytest.raises(FitError, match=r"far from where sigma is told"):
            lift(rho, mean)
    else:
        assert lift(rho, mean) == pytest.approx(np.exp(log))
