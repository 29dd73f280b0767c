"""The test of one variance: how draws become a probability, and what is said of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from reference.cases import table
from support.designs import fitted

import lmmkit


def test_p_counts_the_draws_that_reach_the_statistic(monkeypatch):
    m = fitted("one factor")
    statistic = m.rlrt(n=1).statistic
    assert statistic > 1
    drawn = np.array([statistic, statistic + 1, statistic - 1, 0.0])
    monkeypatch.setattr("lmmkit.model.inference.variance_test.draws", lambda *_: iter([drawn[:3], drawn[3:]]))
    found = m.rlrt(n=4)
    assert found.p == (1 + 2) / (1 + 4)
    assert (found.draws, found.exact, found.method) == (4, True, "exact RLRT")
    assert found.p_error == pytest.approx(np.sqrt(0.6 * 0.4 / 4))


def test_beside_other_effects_it_is_approximate_at_zero_too():
    frame = table("dyestuff2").assign(third=[str(i % 3) for i in range(30)])
    m = lmmkit.lmm("Yield ~ 1 + (1 | Batch) + (1 | third)", frame)
    found = m.rlrt("Batch")
    assert (found.statistic, found.p, found.draws) == (0.0, 1.0, 0)
    assert not found.exact
    assert "approximate" in found.method
    assert found.p_error == 0.0


def test_the_statistic_is_the_gain_of_the_term():
    m = fitted("crossed")
    without = lmmkit.lmm("y ~ x + (x | g)", m.design.frame)
    assert m.rlrt("h", n=10).statistic == pytest.approx(without.deviance - m.deviance, rel=1e-8)


@pytest.mark.parametrize(("gain", "p"), [(5e-9, 1.0), (-1.0, 1.0), (2e-8, 0.5)])
def test_a_gain_within_rounding_is_no_gain(gain, p, monkeypatch):
    m = fitted("one factor")
    smaller = SimpleNamespace(deviance=m.deviance + gain)
    monkeypatch.setattr("lmmkit.model.inference.variance_test.solve", lambda *_, **__: smaller)
    monkeypatch.setattr("lmmkit.model.inference.variance_test.draws", lambda *_: iter([np.zeros(3)]))
    found = m.rlrt(n=1)
    assert found.p == p
    assert found.statistic == pytest.approx(gain if p < 1 else 0.0, rel=1e-3)
