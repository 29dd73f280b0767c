"""Draws: how many are enough, which of several proposals are kept, what may be trusted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from model.posterior.test_drawing import density, fitted
from scipy.special import ndtr

from lmmkit.engine.crossproducts.whitened import Whitened
from lmmkit.engine.posterior import draws as module
from lmmkit.engine.posterior.draws import affordable, draw
from lmmkit.engine.posterior.log_posterior import Drawn
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


def normal(*, outside=False):
    """The density of two standard normal numbers, as a posterior; `outside`: known at its mode alone."""

    def drawn(phi, z, workers):
        log = -0.5 * (phi**2).sum(axis=0)
        log = np.where(phi.any(axis=0), -np.inf, log) if outside else log
        return Drawn(log, log, log, z.T, z.T)

    return SimpleNamespace(p=1, batched=True, slope=lambda phi: (-0.5 * phi @ phi, -phi), drawn=drawn)


def test_weighted_draws_have_the_moments_of_what_they_are_drawn_from():
    found = draw(normal(), np.array([1.0, -2.0]), 2000, 3)
    assert found.trusted
    assert (found.rounds, found.quasi) == (2, False)  # a pilot first
    assert found.weights.sum() == pytest.approx(1.0)
    assert 1000 < found.effective < 2000
    np.testing.assert_allclose(found.phi @ found.weights, 0.0, atol=0.1)
    np.testing.assert_allclose(found.phi * found.weights @ found.phi.T, np.eye(2), atol=0.15)
    assert (found.phi[:, :1000] != draw(normal(), np.zeros(2), 1000, 3).phi).any()  # each round its own
    np.testing.assert_allclose(np.corrcoef(found.beta[:, 0], found.phi[0])[0, 1], 0.0, atol=0.1)


def test_draws_without_any_density_are_refused():
    with pytest.raises(FitError, match="no density at any draw: the priors and the data exclude each other"):
        draw(normal(outside=True), np.zeros(2), 100, 1)


def large(source=None, rows=0):
    """What is asked of a density that is evaluated one by one: 10^3 and 100 (5 2^2 (2 + 3) + 4 1 (1 + 3))."""
    chain = [SimpleNamespace(levels=5, width=2), SimpleNamespace(levels=4, width=1)]
    setup = SimpleNamespace(
        layout=SimpleNamespace(size=10, chain=chain),
        criterion=SimpleNamespace(source=source),
        prepared=SimpleNamespace(rows=np.empty(rows)),
    )
    return SimpleNamespace(batched=False, setup=setup, p=3)


@pytest.mark.parametrize(
    ("at", "work"),
    [(large(), 12_600), (large(object.__new__(Whitened), 7), 13_300), (large(None, 7), 12_600)],
)
def test_fewer_draws_are_made_where_each_takes_much_work(monkeypatch, at, work):
    monkeypatch.setattr(module, "WORK", 1000.0 * work)
    assert [affordable(at, draws) for draws in (100, 1000, 1001, 4000)] == [100, 1000, 512, 512]
    monkeypatch.setattr(module, "WORK", 999.0 * work)
    assert affordable(at, 1000) == 512
    monkeypatch.setattr(module, "WORK", 1.0)
    assert [affordable(at, draws) for draws in (600, 601, 4000)] == [600, 512, 512]
    at.batched = True
    assert affordable(at, 4000) == 4000
    at.batched = False


def test_quasi_random_numbers_have_one_in_each_part_of_equal_mass(monkeypatch):
    stream = module._Stream(4, quasi=True)
    u = stream.normals(128, 3, 0)
    assert u.shape == (3, 128)
    for row in u:
        np.testing.assert_array_equal(np.sort(np.floor(128 * ndtr(row))), np.arange(128))
    others = (module._Stream(5, quasi=True).normals(128, 3, 0), stream.normals(128, 3, 1))
    assert [np.array_equal(u, other) for other in (stream.normals(128, 3, 0), *others)] == [
        True,
        False,
        False,
    ]
    monkeypatch.setattr(module, "affordable", lambda density, draws: 128)
    found = draw(normal(), np.zeros(2), 4000, 1)
    assert (found.count, found.quasi) == (128, True)
