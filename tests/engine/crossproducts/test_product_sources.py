"""Sources of cross-products: derivatives as R moves, where R is singular, where a search begins."""

import numpy as np
import pytest
from support.differences import differences
from support.small_visits import over, problem_of
from support.visits import trial, true_rho

from lmmkit.engine.criterion.criterion import Held
from lmmkit.engine.crossproducts import whitened
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", ["cs", "un"])
def test_second_derivatives_are_those_of_differences(name, reml):
    criterion = set_up(trial(name, subjects=20), reml=reml).criterion
    rho = true_rho(criterion.source.structure, seed=5)
    for held in (Held(), Held(precision=1.3), Held(contrast=(np.eye(criterion.p)[1], 0.3))):
        at = criterion.evaluate(rho, held)
        slope = differences(lambda x, h=held: criterion.evaluate(x, h).deviance, rho)
        np.testing.assert_allclose(at.gradient, slope, atol=1e-6)
        bends = differences(lambda x, h=held: criterion.evaluate(x, h).gradient, rho)
        np.testing.assert_allclose(at.hessian, bends, atol=1e-5)


def test_visits_leave_each_other_a_share_of_their_variance():
    visit, subject = np.tile([0, 1], 9), np.repeat(np.arange(9), 2)
    y = np.random.default_rng(1).normal(size=18)
    source = set_up(
        problem_of(over("ar1", ("1", "2"), (1, 2)), visit, subject, y), reml=True
    ).criterion.source
    fine, singular = (np.array([np.arctanh(np.sqrt(1.0 - left))]) for left in (1.1e-12, 0.9e-12))
    assert np.isfinite(source.moments(fine)[1])
    with pytest.raises(FitError, match="is not positive definite"):
        source.moments(singular)


def test_a_start_of_variances_is_the_regression_of_logs():
    logs = np.linspace(-1.0, 2.0, 30)[None]
    e = np.exp(0.7 * logs[0]) * np.where(np.arange(30) % 2, 1.0, -1.0)
    none, slope = whitened._variance_starts(logs, e)
    assert none.tolist() == [0.0]
    assert slope == pytest.approx([0.7])
    e[4] = 0.0  # which stands for a hundredth of their size
    squares = np.log(np.where(e == 0.0, 1e-4 * np.mean(e**2), e**2))
    assert whitened._variance_starts(logs, e)[1] == pytest.approx([np.polyfit(logs[0], squares, 1)[0] / 2.0])
    assert whitened.MIXED == 2e8
