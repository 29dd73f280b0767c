"""What ArviZ is handed, by a module that stands in for either of its versions."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from model.posterior.test_posterior import ROWS, drawn, table

import lmmkit


@pytest.mark.parametrize("version", ["0.22.0", "1.0.0"])
def test_draws_of_equal_weight_have_their_names_and_axes(monkeypatch, version):
    made = ModuleType("arviz")
    made.__version__ = version
    made.from_dict = lambda *groups, **named: (groups[0], named) if groups else (named, named)
    monkeypatch.setitem(sys.modules, "arviz", made)
    monkeypatch.setattr("lmmkit.model.posterior.to_arviz.find_spec", lambda _: True)
    found = drawn("slopes")
    groups, named = found.to_arviz()
    r = found.draws.count
    assert groups["posterior"]["b.g"].shape == (1, r, 8, 2)
    assert groups["posterior"]["Residual.sd"].shape == (1, r)
    assert groups["posterior"]["x"].mean() == pytest.approx(found.table.loc["x", "mean"], abs=0.02)
    np.testing.assert_array_equal(groups["observed_data"]["y"], table()["y"])
    assert groups["log_likelihood"]["y"].shape == (1, r, 48)
    assert set(groups["sample_stats"]) == {"log_weight", "log_prior"}
    assert named["dims"] == {"b.g": ["g.level", "g.term"]}
    assert named["coords"]["g.term"] == ["Intercept", "x"]
    assert named["coords"]["g.level"] == list(lmmkit.lmm(ROWS["slopes"], table()).ranef["g"].index)
    assert "log_likelihood" not in found.to_arviz(log_likelihood=False)[0]
