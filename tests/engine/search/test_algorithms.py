"""Every algorithm of the literature reaches one optimum, and none claims to before it is there."""

import functools

import numpy as np
import pytest
from engine.search.test_guards import one_way
from engine.search.test_row_structures import bodyweight
from reference.cases import CASES, fitted, truth

from lmmkit import lmm
from lmmkit.engine.rules import SEARCH
from lmmkit.engine.search.algorithms import (
    ALGORITHMS,
    chosen,
    direct,
    em,
    em_accelerated,
    em_newton,
    penalised_least_squares,
    refuse_em,
)
from lmmkit.engine.search.profiled_deviance import ProfiledDeviance
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError
from lmmkit.model.estimates import estimate
from lmmkit.model.report_tables.about_search import (
    algorithm_table,
    deviance_surface,
    fits_by_algorithm,
    steps_table,
)

OWN_PACE = {"em", "em-accelerated"}  # at the boundary these may need more steps than they are given
PATIENCE = 300  # of their steps there; elsewhere all that are theirs
MODELS = [case for case in CASES if case[0] != "insteval"]


@functools.cache
def by(algorithm, model, criterion):
    """One model by one algorithm, from its usual start."""
    fit = fitted(model, criterion)
    limit = PATIENCE if fit.is_singular and algorithm in OWN_PACE else None
    return estimate(fit.design, reml=fit.reml, algorithm=algorithm, limit=limit)


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


# Each algorithm's own step, on a model small enough to follow by hand


def small(ratio, limit, run):
    """A search of one variance, its objective, and where it began."""
    setup = set_up(one_way(ratio), reml=True)
    objective = ProfiledDeviance(setup.criterion, setup.scale, SEARCH)
    start = np.array([20.0])
    return run(objective, start, SEARCH, limit), objective, start


@pytest.mark.parametrize(("ratio", "taken"), [(1.3, "squarem"), (10.0, "em")])
def test_squarem_goes_on_from_two_em_steps_where_that_pays(ratio, taken):
    search, objective, start = small(ratio, 1, em_accelerated)
    at = [objective.evaluate(start)]
    for _ in range(2):
        at.append(objective.evaluate(objective.em(at[-1])))
    zero, one, two = (float(point.theta[0]) for point in at)
    r, v = one - zero, two - 2.0 * one + zero
    length = max(abs(r / v), 1.0)
    far = objective.evaluate(np.array([zero + 2.0 * length * r + length**2 * v]))
    assert (far.deviance < at[2].deviance) == (taken == "squarem")
    assert search.history[-1].step == taken
    assert search.point.theta == pytest.approx((far if taken == "squarem" else at[2]).theta, rel=1e-12)


def test_squarem_arrives_in_fewer_steps_than_em():
    slow, quick = (small(1.3, 2000, run)[0] for run in (em, em_accelerated))
    assert slow.converged
    assert quick.converged
    assert quick.evaluations < slow.evaluations / 2


@pytest.mark.parametrize("limit", [3, 200])
def test_newton_follows_em_within_the_limit(limit):
    search, *_ = small(1.3, limit, em_newton)
    steps = [line.step for line in search.history]
    assert steps.count("em") == min(limit, SEARCH.em_opening)
    assert steps.count("newton") == (1 if limit == 3 else len(steps) - 1 - SEARCH.em_opening)


class Scipy:
    """In the place of a search of scipy: it is asked for nothing but notes what it is given."""

    def __init__(self, monkeypatch, *places):
        self.rounds, self.places = [], iter(places)
        monkeypatch.setattr("scipy.optimize.minimize", self)

    def __call__(self, value, x, *, callback, bounds=None, **how):
        self.rounds.append((value, x, bounds))
        place = next(self.places, None)
        if place is not None:
            callback(xk=np.append(x[:-1], place))


@pytest.mark.parametrize("serial", [False, True])
def test_standard_deviations_are_bounded_below_and_nothing_else_is(monkeypatch, serial):
    problem = bodyweight(slopes=True) if serial else fitted("sleep_full", "REML").estimates.problem
    setup = set_up(problem, reml=True)
    seen, free = Scipy(monkeypatch), setup.criterion.source.count
    objective = ProfiledDeviance(setup.criterion, setup.scale, SEARCH)
    penalised_least_squares(objective, setup.start(), SEARCH, 10)
    [(value, x, bounds)] = seen.rounds
    assert bounds == [(0.0, None), (None, None), (0.0, None), *[(None, None)] * free]
    assert (free > 0) == serial
    assert value(np.full(len(x), np.nan))[0] == SEARCH.wall
    assert value(x)[0] == objective.evaluate(x).deviance


@pytest.mark.parametrize("reml", [True, False])
def test_the_full_likelihood_begins_where_beta_and_sigma_are_at_their_best(monkeypatch, reml):
    setup = set_up(one_way(3.0), reml=reml)
    seen = Scipy(monkeypatch)
    objective = ProfiledDeviance(setup.criterion, setup.scale, SEARCH)
    direct(objective, np.array([0.7]), SEARCH, 10)
    [(value, x, _)] = seen.rounds
    deviance, slopes = value(x)
    assert deviance == pytest.approx(objective.evaluate(np.array([0.7])).deviance, rel=1e-12)
    assert slopes[:-1] == pytest.approx(0.0, abs=1e-8)
    assert len(x) == (2 if reml else 3)


@pytest.mark.parametrize(("places", "rounds"), [((), 1), ((1.0,), 2), ((1.0, 0.8, 0.7, 0.6), SEARCH.rounds)])
def test_scipy_searches_again_while_that_gains_anything(monkeypatch, places, rounds):
    seen = Scipy(monkeypatch, *places)
    small(3.0, 10, penalised_least_squares)
    assert len(seen.rounds) == rounds


def test_an_algorithm_is_chosen_by_its_name_and_allowed_a_step_at_least():
    assert chosen("pls", 1) is ALGORITHMS["pls"]
    with pytest.raises(FitError, match="The limit of steps is 0; it must be at least 1"):
        chosen("pls", 0)
    with pytest.raises(FitError, match="algorithm='simplex' is not known"):
        chosen("simplex", None)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_em_alone_is_refused_where_parameters_have_no_step(name):
    if not name.startswith("em") or name == "em-newton":
        refuse_em(name, "a range")
        return
    with pytest.raises(
        FitError, match=r"no step for a range\. Choose one of: newton, em-newton, pls, direct\."
    ):
        refuse_em(name, "a range")
