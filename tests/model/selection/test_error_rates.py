"""Error rates of a choice, held against fits that are made one by one, and what is known of designs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lmmkit import FitError, FormulaError, lmm
from lmmkit.model.resampling.simulate import Simulator
from lmmkit.model.selection.error_rates import error_rates

RNG = np.random.default_rng(5)


@cache
def slopes(groups=10, rows=8, spread=1.0, seed=2):
    """Groups with lines of their own."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), rows)
    x = np.tile(np.arange(float(rows)) - (rows - 1) / 2, groups)
    y = (
        3
        + 0.1 * x
        + rng.normal(size=groups)[g]
        + spread * rng.normal(size=groups)[g] * x
        + rng.normal(size=len(g))
    )
    return pd.DataFrame({"y": y, "x": x, "g": [f"g{i}" for i in g]})


@cache
def rates(rule, criterion=None, n=60, workers=1, formula="y ~ x + (x | g)"):
    return error_rates(formula, slopes(), "x", rule=rule, criterion=criterion, n=n, seed=3, workers=workers)


def test_p_values_are_those_of_fits_made_one_by_one():
    found = rates("fixed", n=12)
    fit = lmm("y ~ x + (x | g)", slopes())
    held = fit.coef_table()["df"]["x"]
    drawn = Simulator(fit.estimates, 3).draw(0, 12)
    null = drawn - fit.params["x"] * slopes()[["x"]].to_numpy()
    for column, kind in ((null, "type1"), (drawn, "power")):
        times = 0
        for y in column.T:
            one = fit.refit(y)
            t = one.params["x"] / one.bse["x"]
            times += 2 * stats.t.sf(abs(t), held) <= 0.05
        assert found.table[kind].iloc[0] == times / 12


def test_an_f_test_of_several_rows_is_that_of_fits_made_one_by_one():
    frame = pd.DataFrame(
        {"g": np.repeat(list("abcdefgh"), 9), "f": np.tile(np.repeat(["p", "q", "r"], 3), 8)}
    )
    rng = np.random.default_rng(11)
    frame["y"] = rng.normal(size=72) + rng.normal(size=8)[np.repeat(range(8), 9)] + 0.6 * (frame["f"] == "r")
    found = error_rates(
        "y ~ f + (1 | g)", frame, "f", rule="fixed", n=15, seed=1, truth=lmm("y ~ f + (1 | g)", frame)
    )
    fit = lmm("y ~ f + (1 | g)", frame)
    df = fit.anova()["den_df"]["f"]
    p = [stats.f.sf(fit.refit(y).anova()["F"]["f"], 2, df) for y in Simulator(fit.estimates, 1).draw(0, 15).T]
    assert found.table["power"].iloc[0] == pytest.approx(np.mean(np.array(p) <= 0.05))
    assert "F test of 2 rows" in found.test


def test_intercepts_alone_find_what_is_not_there():
    table = rates("parsimonious").table.set_index("procedure")
    assert table.index.tolist() == ["parsimonious (lrt, alpha 0.2)", "maximal", "intercepts only"]
    assert table.loc["intercepts only", "type1"] > 0.3
    assert (table["type1"].iloc[:2] < 0.15).all()


@pytest.mark.parametrize(("rule", "criterion"), [("forward", "bic"), ("backward", "aic"), ("best", "bic")])
def test_every_rule_is_seeded_and_counts_what_it_ends_with(rule, criterion):
    one, two = (rates(rule, criterion, workers=workers) for workers in (1, 2))
    pd.testing.assert_frame_equal(one.table, two.table, check_exact=True)
    counts = one.models.groupby("procedure")[["without_effect", "with_effect"]].sum()
    assert (counts == 60).all(axis=None)
    assert one.table["used"].tolist() == [60] * len(one.table)


def test_a_response_does_not_depend_on_how_many_there_are():
    few, many = (rates("fixed", n=n).table["type1"].iloc[0] * n for n in (12, 60))
    assert few <= many


def test_the_truth_is_named():
    assert rates("parsimonious").truth == "y ~ 1 + x + (1 + x | g)"
    flat = slopes(spread=0.0, seed=5)
    found = error_rates("y ~ x + (x | g)", flat, n=10)
    assert found.truth != "y ~ 1 + x + (1 + x | g)"
    assert "not singular" in found.truth_note
    assert found.focus == "x"


def test_the_true_structure_is_counted():
    table = rates("parsimonious").table
    assert table["found"].iloc[1] == 1.0
    assert table["found"].iloc[2] == 0.0


def test_residual_structures_and_weights():
    frame = slopes(groups=8, rows=4).assign(v=np.tile([1, 2, 3, 4], 8), w=np.tile([1.0, 2.0], 16))
    one = error_rates("y ~ x + (1 | g)", frame, n=4, rule="fixed", residual="ar1(v | g)")
    two = error_rates("y ~ x + (1 | g)", frame, n=4, rule="fixed", weights="w")
    assert one.table["used"].iloc[0] + one.table["failed"].iloc[0] >= 4
    assert two.table["type1"].notna().all()


def test_what_is_printed():
    found = rates("parsimonious")
    text = str(found)
    assert "drawn from y ~ 1 + x + (1 + x | g) (the maximal model as fitted); seed 3." in text
    assert "fit to the data, and held." in text
    assert found._repr_html_().startswith("<table>")
    assert found.to_dict()["table"][0]["procedure"] == "parsimonious (lrt, alpha 0.2)"


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"focus": "nowhere"}, FitError, "no term of the formula"),
        ({"rule": "stepwise"}, FitError, "stepwise"),
        ({"criterion": "cp"}, FitError, "cp"),
        ({"criterion": "caic"}, FitError, "caic"),
        ({"rule": "best", "criterion": "lrt"}, FitError, "orders no list"),
        ({"n": 0}, FitError, "n=0"),
        ({"level": 2}, FitError, "level=2"),
        ({"n": 100_000_000}, FitError, "numbers"),
        ({"seed": -1}, FitError, "seed=-1"),
        ({"known": {"h": None}}, FormulaError, "no grouping factor of the model"),
        ({"colour": 1}, FitError, "colour"),
    ],
)
def test_errors_in_words(options, error, word):
    with pytest.raises(error, match=word):
        error_rates("y ~ x + (x | g)", slopes(), **options)


def test_a_design_without_random_effects():
    frame = slopes(groups=40, rows=1).assign(x=np.arange(40.0))
    with pytest.raises(FormulaError, match="justifies no random effects"):
        error_rates("y ~ x + (1 | g)", frame)
