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


def seen(rows=24, visits=4):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"id": np.repeat(np.arange(rows // visits), visits), "v": np.arange(rows) % visits + 1}
    )
    frame["arm"], frame["day"] = np.where(frame["id"] % 2, "B", "A"), frame["v"] * 1.5
    return frame.assign(y=rng.normal(size=rows // visits)[frame["id"]] + rng.normal(size=rows))


EVERY = ["cs", "csh", "toep", "toeph", "ar1", "ar1h", "ad", "adh", "un"]


@pytest.mark.parametrize(
    ("residual", "bar", "limits", "others"),
    [
        ("cs(v | id)", "", {}, ["iid", *(f"{tag}(v | id)" for tag in EVERY)]),
        ("cs(v | id)", "", {"IN_SECONDS": 3},
         ["iid", *(f"{tag}(v | id)" for tag in [*EVERY[:2], *EVERY[4:6]])]),
        ("cs(v | id)", "", {"IN_SECONDS": 4}, ["iid", *(f"{tag}(v | id)" for tag in EVERY)]),
        ("ar1(v | id)", " + (1 | id)", {}, ["iid", *(f"{tag}(v | id)" for tag in EVERY[4:8])]),
        ("ident(arm) * ar1(v | id)", "", {},
         ["iid", "ident(arm)", *(f"ident(arm) * {tag}(v | id)" for tag in ("cs", "toep", "ar1", "ad"))]),
        ("car1(day | id)", "", {"MOST_NUGGET": 24, "MOST_NUGGET_GROUP": 4},
         ["iid", "car1(day | id)", "expsp(day | id, nugget=TRUE)"]),
        ("car1(day | id)", "", {"MOST_NUGGET": 23}, ["iid", "car1(day | id)"]),
        ("car1(day | id)", "", {"MOST_NUGGET_GROUP": 3}, ["iid", "car1(day | id)"]),
        ("ident(arm)", "", {}, ["iid", "ident(arm)"]),
    ],
)  # fmt: skip
def test_other_structures_are_those_of_the_same_words(monkeypatch, residual, bar, limits, others):
    for name, value in limits.items():
        monkeypatch.setattr(about_visits, name, value)
    fit = lmmkit.lmm(f"y ~ 1{bar}", seen(), residual=residual)
    assert about_visits._others(fit, fit.design.residual) == others


def test_facts_of_cells_and_of_other_structures():
    told = {table.name: table.facts for table in about_visits.TABLES}
    sds = pd.DataFrame({"fitted": [1.0, 4.0, 2.0], "empirical": [1.5, 2.0, 2.0]})
    assert told["cell_sds"](sds) == {"cells": 3, "least": 1.0, "most": 4.0, "farthest": pytest.approx(1.0)}
    pairs = pd.DataFrame({"fitted": [0.5, 0.25], "empirical": [0.25, 0.75]})
    assert told["cell_correlations"](pairs) == {"pairs": 2, "least": 0.25, "most": 0.5, "farthest": 0.5}
    acf = pd.DataFrame({"autocorrelation": [0.5, -0.5, 0.25], "low": -0.375, "high": 0.5})
    assert told["autocorrelation"](acf) == {"lags": 3, "outside": 1}
    table = pd.DataFrame({"aic": [3.0, np.nan, 5.0], "estimate": [2.0, np.nan, -1.0]})
    assert told["structures"](table) == {
        "structures": 3,
        "failed": 1,
        "least estimate": -1.0,
        "most estimate": 2.0,
    }


def test_empirical_correlations_are_about_zero_over_the_subjects_that_have_both():
    frame = seen().drop(index=[3, 6])
    fit = lmmkit.lmm("y ~ 1", frame, residual="cs(v | id)", weights=None)
    table = about_visits.cell_correlations(fit).set_index("pair")
    wide = pd.DataFrame({"id": frame["id"], "v": frame["v"], "e": fit.resid}).pivot(index="id", columns="v")[
        "e"
    ]
    both = wide[[3, 4]].dropna()
    row = table.loc["Visit 3 with 4"]
    assert row["subjects"] == len(both) == 4
    expected = (both[3] * both[4]).sum() / np.sqrt((both[3] ** 2).sum() * (both[4] ** 2).sum())
    assert row["empirical"] == pytest.approx(expected)
    sds = about_visits.cell_sds(fit).set_index("cell")
    assert sds.loc["Visit 3", ["rows", "empirical"]].tolist() == [
        5,
        pytest.approx(np.sqrt((wide[3] ** 2).mean())),
    ]
