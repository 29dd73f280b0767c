"""Draws: how many are enough, which of several proposals are kept, what may be trusted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model.posterior.test_drawing import density, fitted

from lmmkit.engine.posterior import draws as module
from lmmkit.engine.posterior.draws import draw
from lmmkit.engine.posterior.pareto import Smoothed, threshold
from lmmkit.errors import FitError


def test_a_hundred_draws_are_enough_and_fewer_are_refused():
    at, start = density("apart")
    assert draw(at, start, 100, 1).count == 100
    with pytest.raises(FitError, match="draws=99: from fewer than 100 draws"):
        draw(at, start, 99, 1)


def test_draws_are_trusted_up_to_the_threshold_and_not_without_a_number():
    found = draw(*density("apart"), 200, 1)
    limit = threshold(200)
    for k_hat, trusted in [(limit, True), (limit + 1e-9, False), (np.nan, False), (np.inf, False)]:
        assert replace(found, k_hat=k_hat).trusted is trusted
    chains = replace(found, k_hat=np.nan, by_chains=True, inefficiency=4.0)
    assert chains.trusted
    assert chains.effective == pytest.approx(found.effective / 4.0)


def test_of_several_proposals_the_draws_with_the_least_k_hat_are_kept(monkeypatch):
    shapes = iter([0.9, 0.75, 0.8, np.inf, 0.95, 0.9])

    def smooth(log_ratios):
        return Smoothed(np.full(len(log_ratios), -np.log(len(log_ratios))), next(shapes))

    monkeypatch.setattr(module, "smooth", smooth)
    found = draw(*density("apart"), 150, 1)
    assert (found.k_hat, found.rounds, found.evaluations) == (0.75, 6, 6 * 150)


def test_a_first_round_of_fewer_draws_learns_and_is_not_kept():
    found = draw(*density("apart"), 1200, 1)
    assert (found.count, found.rounds, found.evaluations) == (1200, 2, 1000 + 1200)
    assert len(fitted("apart").estimates.theta) == len(found.phi) - 1
