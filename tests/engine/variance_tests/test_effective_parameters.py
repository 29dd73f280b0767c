"""tr(d fitted / d y) against fits of responses that are moved a little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.engine.inference.information import optimum_at
from lmmkit.engine.variance_tests import effective_parameters as module
from lmmkit.engine.variance_tests.effective_parameters import effective_parameters

r = np.random.default_rng(3)
g = np.repeat(np.arange(5), 4)
DATA = pd.DataFrame({"g": g, "x": r.normal(size=20), "w": r.uniform(0.5, 2.0, 20)})
DATA["y"] = 1.0 + DATA.x + 1.5 * r.normal(size=5)[g] + r.normal(size=20)


def fitted_values(y, **how):
    return lmm("y ~ x + (1 | g)", DATA.assign(y=y), **how).estimates.fitted


@pytest.mark.parametrize("how", [{"reml": True}, {"reml": False}, {"reml": True, "weights": "w"}])
def test_the_trace_is_that_of_differences(how):
    step, trace = 1e-4, 0.0
    for i, unit in enumerate(np.eye(20)):
        up, down = (fitted_values(DATA.y + sign * step * unit, **how) for sign in (1.0, -1.0))
        trace += float(np.asarray(up)[i] - np.asarray(down)[i]) / (2.0 * step)
    estimates = lmm("y ~ x + (1 | g)", DATA, **how).estimates
    assert effective_parameters(estimates.optimum) == pytest.approx(trace, abs=2e-4)


def test_with_variances_that_do_not_move_it_is_that_of_hendersons_hat_matrix():
    estimates = lmm("y ~ x + (1 | g)", DATA).estimates
    zero = optimum_at(estimates.problem, (np.zeros((1, 1)),), reml=True)
    assert effective_parameters(zero) == pytest.approx(2.0, abs=1e-12)  # no random effect is left
    alone = optimum_at(replace(estimates.problem, terms=()), (), reml=True)
    assert effective_parameters(alone) == pytest.approx(2.0, abs=1e-12)


def test_along_which_the_deviance_is_flat_nothing_moves(monkeypatch):
    estimates = lmm("y ~ x + (1 | g)", DATA).estimates
    given = estimates.optimum
    held = 2.0 + module._random_trace(given)
    assert effective_parameters(given) > held + 1e-3
    monkeypatch.setattr(module, "_hessian", lambda _: np.zeros((1, 1)))
    assert effective_parameters(given) == pytest.approx(held, rel=1e-12)
