"""Tables about residuals over visits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.model.means.focus import find_focus
from lmmkit.model.report_tables import about_visits
from lmmkit.model.report_tables.about_answer import average_slope, one_number


def test_pairs_of_cells_that_no_subject_has_are_left_out():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"id": np.repeat(np.arange(12), 3), "visit": np.tile([1, 2, 3], 12)})
    frame["arm"] = np.where(frame["id"] % 2, "B", "A")
    frame["y"] = rng.normal(size=12)[frame["id"]] + rng.normal(size=36)
    fit = lmmkit.lmm("y ~ visit", frame, residual="ident(arm) * cs(visit | id)")
    table = about_visits.cell_correlations(fit)
    assert table["pair"].tolist() == [
        f"Visit {a}, arm {arm} with {b}, arm {arm}" for a, arm, b in _pairs(["A", "B"], [1, 2, 3])
    ]
    assert (table["subjects"] == 6).all()
    assert table["empirical"].notna().all()


def _pairs(arms, visits):
    return [(a, arm, b) for a in visits for arm in arms for b in visits if b > a]


def test_other_structures_are_asked_for_the_coefficient_of_an_interaction_that_is_the_focus():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"id": np.repeat(np.arange(12), 4), "x": np.tile(np.arange(4.0), 12)})
    frame["two"], frame["three"] = np.where(frame["id"] % 2, "B", "A"), np.array(list("uvw"))[frame["id"] % 3]
    frame["y"] = rng.normal(size=12)[frame["id"]] + rng.normal(size=48)
    fit = lmmkit.lmm("y ~ x * two + x * three", frame, residual="ident(two)")
    for asked, name, value in (
        ("x:two", "x:two[T.B]", fit.params["x:two[T.B]"]),
        ("x", "slope of x", average_slope(fit, find_focus(fit.design, "x")) @ fit.params),
    ):
        focus = find_focus(fit.design, asked)
        found = one_number(fit, focus)
        assert found is not None
        assert found.name == name
        assert found.L @ fit.params == pytest.approx(value, rel=1e-12)
        table = about_visits.structures(fit, frame, {}, focus=focus, df="satterthwaite")
        assert set(table["quantity"]) == {name}
        own = table.loc[table["chosen"], "estimate"].iloc[0]
        assert own == pytest.approx(value, rel=1e-6)
    assert one_number(fit, find_focus(fit.design, "x:three")) is None
    assert one_number(fit, find_focus(fit.design, "three")) is None
