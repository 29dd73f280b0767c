"""Chains where importance sampling does not suffice, by a sampler that stands in for nutpie."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from model.posterior.test_drawing import fitted

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.posterior.no_u_turn import mixing

DRAWS = "lmmkit.engine.posterior.draws.threshold"


def autoregressive(rho, chains=4, length=4_000, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(chains, length))
    for step in range(1, length):
        x[:, step] = rho * x[:, step - 1] + np.sqrt(1.0 - rho**2) * x[:, step]
    return x


@pytest.mark.parametrize(("rho", "share"), [(0.0, 1.0), (0.5, 1 / 3), (0.8, 1 / 9), (-0.5, 3.0)])
def test_effective_draws_are_those_of_the_autocorrelation(rho, share):
    rhat, effective = mixing(autoregressive(rho))
    assert rhat == pytest.approx(1.0, abs=0.01)
    assert effective == pytest.approx(share * 16_000, rel=0.15)


def test_chains_apart_and_chains_that_drift_have_not_mixed():
    still = autoregressive(0.0, length=500)
    assert mixing(still + np.arange(4)[:, None])[0] > 1.3
    assert mixing(still + np.linspace(0, 3, 500))[0] > 1.1


@pytest.fixture
def nutpie(monkeypatch):
    """A sampler that draws from the curvature at the mode; its chains apart by what `shift` says."""
    asked, shift = {}, [0.0]

    def sample(model, **options):
        asked.update(options)
        value, slope = model()(np.zeros(asked["m"]))
        assert np.isfinite(value)
        assert np.abs(slope).max() < 0.1
        u = np.random.default_rng(0).normal(size=(options["chains"], options["draws"], asked["m"]))
        u += shift[0] * np.arange(4)[:, None, None]
        return SimpleNamespace(posterior={"u": SimpleNamespace(values=u)})

    def from_pyfunc(m, log_density, expand, *_):
        asked["m"] = m
        np.testing.assert_array_equal(expand()(np.ones(2))["u"], np.ones(2))
        return log_density

    made, functions = ModuleType("nutpie"), ModuleType("nutpie.compiled_pyfunc")
    made.sample, functions.from_pyfunc = sample, from_pyfunc
    monkeypatch.setitem(sys.modules, "nutpie", made)
    monkeypatch.setitem(sys.modules, "nutpie.compiled_pyfunc", functions)
    monkeypatch.setattr("lmmkit.model.posterior.no_u_turn.find_spec", lambda _: True)
    monkeypatch.setattr(DRAWS, lambda _: -np.inf)
    return asked, shift


def test_chains_that_have_mixed_are_equally_weighted_and_trusted(nutpie):
    found = lmmkit.posterior(fitted("apart"), draws=802, seed=3)
    assert (nutpie[0]["draws"], nutpie[0]["tune"], nutpie[0]["seed"]) == (201, 600, 3)
    told = {"chains": 4, "cores": 1, "save_warmup": False, "progress_bar": False}
    assert {name: nutpie[0][name] for name in told} == told
    assert (found.draws.quasi, found.draws.inefficiency >= 1.0) == (False, True)
    off = found.draws.phi - found.draws.mode.phi[:, None]  # the chains stand still but for the curvature
    np.testing.assert_allclose(np.cov(off) @ found.draws.mode.curvature, np.eye(len(off)), atol=0.25)
    assert (found.draws.count, found.draws.trusted, np.isnan(found.k_hat)) == (804, True, True)
    np.testing.assert_allclose(found.weights, 1 / 804)
    assert found.effective == pytest.approx(804 / found.draws.inefficiency)
    assert found.how == "the no-U-turn sampler"
    assert "804 draws, worth" in str(found)
    assert "by chains that have mixed" in str(found)
    assert "k-hat" not in str(found)


def test_chains_that_have_not_mixed_are_refused_with_both_numbers(nutpie):
    nutpie[1][0] = 0.5
    with pytest.raises(
        FitError, match=r"k-hat is .*, and four chains .* not mixed \(R-hat 1\.\d+, 1\.01 at m"
    ):
        lmmkit.posterior(fitted("apart"), draws=800, seed=3)
