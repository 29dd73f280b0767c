"""An evaluation: what it refuses, and that threads make theirs side by side."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from engine.criterion.test_layouts import LAYOUTS, problem_of

from lmmkit.engine.criterion import criterion as module
from lmmkit.engine.criterion.criterion import Held
from lmmkit.engine.rules import SEARCH
from lmmkit.engine.search.newton import minimise
from lmmkit.engine.search.profiled_deviance import ProfiledDeviance
from lmmkit.engine.setup import set_up
from lmmkit.engine.solve import solve
from lmmkit.errors import FitError


@pytest.fixture
def setup():
    return set_up(problem_of(LAYOUTS["single"], False), reml=True)


@pytest.mark.parametrize("precision", [0.0, np.inf, np.nan])
def test_a_precision_beyond_all_numbers_is_refused(setup, precision):
    theta = setup.start()
    with pytest.raises(FitError, match="left the range"):
        setup.criterion.evaluate(theta, Held(precision=precision))


def test_threads_make_their_gradients_side_by_side(setup, monkeypatch):
    theta = setup.start()
    both, run = threading.Barrier(2, timeout=60), module.ReverseSweep.run

    def meeting(sweep):
        both.wait()  # breaks when the other thread is held up
        return run(sweep)

    monkeypatch.setattr(module.ReverseSweep, "run", meeting)
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: setup.criterion.evaluate(theta).gradient, range(2))
    np.testing.assert_array_equal(one, two)


def test_a_search_keeps_no_point_but_the_present_one(setup, monkeypatch):
    objective = ProfiledDeviance(setup.criterion, setup.scale, SEARCH)
    made, evaluate = [], ProfiledDeviance.evaluate

    def counted(self, theta):
        alive = sum(ref() is not None for ref in made)
        assert alive <= 2, "the present point and the one before it"
        point = evaluate(self, theta)
        made.append(weakref.ref(point))
        return point

    monkeypatch.setattr(ProfiledDeviance, "evaluate", counted)
    gc.collect()
    minimise(objective, np.full(setup.layout.count, 3.0), SEARCH)
    assert len(made) > 4


def test_the_rules_limit_the_steps_of_the_fit():
    found = solve(problem_of(LAYOUTS["single"], False), rules=replace(SEARCH, limit=1))
    assert not found.converged


def test_a_response_that_the_model_reproduces_has_no_maximum():
    """A residual sum of squares of rounding is refused, unless sigma is held."""
    given = problem_of(LAYOUTS["single"], False)
    made = set_up(given, reml=True)
    theta = np.full(made.layout.count, 0.5)
    F = made.criterion.evaluate(theta).forward.F[-1, -1]
    r2 = made.criterion.evaluate(theta).r2
    for share, refused in ((1.01, True), (0.99, False)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "SEARCH", replace(SEARCH, exact=share * r2 / F))
            if refused:
                with pytest.raises(
                    FitError,
                    match=r"reproduces the response exactly: .*Check for rows that are copies of each other, "
                    r"and for a random effect per row\.",
                ):
                    made.criterion.evaluate(theta)
            else:
                assert made.criterion.evaluate(theta).r2 == r2
            assert made.criterion.evaluate(theta, Held(precision=1.0)).r2 == r2


@pytest.mark.parametrize("reml", [True, False])
def test_k_is_the_derivative_of_the_deviance_in_f_with_a_prior_on_beta_too(reml):
    criterion = set_up(problem_of(LAYOUTS["single"], False), reml=reml).criterion
    theta, ridge = np.full(criterion.layout.count, 0.5), np.array([[2.0, 0.3], [0.3, 1.0]])
    for held in (Held(), Held(ridge=ridge), Held(precision=1.7)):
        at = criterion.evaluate(theta, held)
        expected = at.precision * np.outer(at.a, at.a)
        assert at.variance == pytest.approx(1.0 / at.precision)
        if reml:
            expected[:2, :2] += np.linalg.inv(at.XVX + (ridge if held.ridge is not None else 0.0))
        np.testing.assert_allclose(at.K, expected)
