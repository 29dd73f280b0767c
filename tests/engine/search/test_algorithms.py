"""Every algorithm of the literature reaches one optimum, and none claims to before it is there."""

import functools

import numpy as np
import pytest
from reference.cases import CASES, fitted, truth

from lmmkit import lmm
from lmmkit.engine.search.algorithms import ALGORITHMS
from lmmkit.errors import FitError
from lmmkit.model.estimates import estimate
from lmmkit.model.report_tables.about_search import (
    algorithm_table,
    deviance_surface,
    fits_by_algorithm,
    steps_table,
)

OWN_PACE = {"em", "em-accelerated"}  # at the boundary these may need more steps than they are given
MODELS = [case for case in CASES if case[0] != "insteval"]


@functools.cache
def by(algorithm, model, criterion):
    """One model by one algorithm, from its usual start."""
    fit = fitted(model, criterion)
    return estimate(fit.design, reml=fit.reml, algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("model", "criterion"), MODELS)
def test_algorithm_reaches_the_optimum(algorithm, model, criterion):
    fit, deviance = by(algorithm, model, criterion), truth(model, criterion)["deviance"]
    if fitted(model, criterion).is_singular and algorithm in OWN_PACE:
        assert fit.converged == (fit.evidence.search.decrement < 1e-8)
        return
    assert fit.converged
    assert fit.deviance == pytest.approx(deviance, abs=1e-6)


@pytest.mark.parametrize(("model", "criterion"), MODELS)
def test_em_never_raises_the_deviance(model, criterion):
    deviances = np.array([line["deviance"] for line in by("em", model, criterion).evidence.trace])
    assert (np.diff(deviances) <= 1e-13 * np.abs(deviances[1:])).all()


def test_em_says_that_it_crawls_at_the_boundary():
    fit = by("em", "dyestuff2", "REML")
    assert not fit.converged
    assert fit.deviance > truth("dyestuff2", "REML")["deviance"]


def test_a_table_shows_that_the_algorithms_meet():
    fits = fits_by_algorithm(fitted("sleep_full", "ML").estimates)
    table = algorithm_table(fits)
    assert list(table.index) == list(ALGORITHMS)
    assert table["above"].max() < 1e-6
    assert table.loc["newton", "evaluations"] < table.loc["em", "evaluations"]
    steps = steps_table(fits)
    assert set(steps["algorithm"]) == set(ALGORITHMS)
    assert (steps["above"] > 0).all()


def test_the_surface_is_lowest_at_the_optimum():
    estimates = fitted("sleep_full", "REML").estimates
    table = deviance_surface(estimates, "Subject.Intercept", "Subject.Days", points=9)
    assert len(table) == 81
    assert 0.0 <= table["above"].min() < 1.0 < table["above"].max()
    with pytest.raises(FitError, match=r"no entry 'Subject\.Age'"):
        deviance_surface(estimates, "Subject.Age", "Subject.Days")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "simplex"}, "Choose one of: newton, em"),
        ({"max_iterations": 0}, "from 1 up"),
        ({"start": [1.0, 0.0]}, "3 covariance parameters"),
        ({"start": [-1.0, 0.0, 1.0]}, "outside the cone"),
        ({"start": [1.0, np.nan, 1.0]}, "finite"),
    ],
)
def test_what_cannot_be_searched_is_refused(options, message):
    fit = fitted("sleep_full", "REML")
    with pytest.raises(FitError, match=message):
        lmm(fit.formula, fit.design.frame, **options)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_step_is_not_called_convergence(algorithm):
    fit = fitted("sleep_miss", "ML")
    assert not lmm(fit.formula, fit.design.frame, reml=False, algorithm=algorithm, max_iterations=1).converged


@pytest.mark.parametrize("start", [[1.0, 0.0, 1.0], [5.0, -1.0, 0.01], [0.1, 0.0, 3.0]])
def test_the_optimum_does_not_depend_on_the_start(start):
    fit = fitted("sleep_miss", "REML")
    again = lmm(fit.formula, fit.design.frame, start=start)
    assert again.deviance == pytest.approx(fit.deviance, abs=1e-10)
    np.testing.assert_allclose(again.theta, fit.theta, rtol=1e-7)
