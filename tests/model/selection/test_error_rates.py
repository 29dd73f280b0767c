"""Error rates of a choice, held against fits that are made one by one, and what is known of designs."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lmmkit import FitError, FormulaError, lmm
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.resampling.simulate import Simulator
from lmmkit.model.selection.error_rates import _truth, error_rates
from lmmkit.model.selection.random_parts import spelled

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


class Told:
    """Candidates that are told what they are: able, singular, parameters, deviance."""

    def __init__(self, **known):
        self.known = {spelled(parse_formula(f"y ~ {random}").random): told for random, told in known.items()}

    def of(self, formula):
        able, singular, npar, deviance = self.known.get(spelled(formula.random), (True, True, 1, 9.0))
        measures = {"npar": npar, "deviance": deviance}
        found = SimpleNamespace(able=able, singular=singular, measures=measures, formula=formula)
        found.estimates = spelled(formula.random)
        return found


BELOW = "the largest model below the maximal one whose fit is not singular"
ALONE = "the model with intercepts alone, every larger one being singular"


@pytest.mark.parametrize(
    ("known", "drawn", "note"),
    [
        ({"(x + z | g)": (True, False, 6, 1.0)}, "(1 + x + z | g)", "the maximal model as fitted"),
        (
            {"(x | g)": (True, False, 3, 5.0), "(x + z || g)": (True, False, 4, 6.0)},
            "(1 + x + z || g)",
            BELOW,
        ),
        ({"(x + z | g)": (False, False, 6, 1.0), "(x | g)": (True, False, 3, 5.0)}, "(1 + x | g)", BELOW),
        # Of singular ones the way goes on below the one with the least deviance.
        ({"(z | g)": (True, True, 3, 2.0), "(z || g)": (True, False, 2, 5.0)}, "(1 + z || g)", BELOW),
        ({"(1 | g)": (True, True, 1, 9.0)}, "(1 | g)", ALONE),
    ],
)
def test_responses_are_drawn_from_the_largest_model_that_is_not_singular(known, drawn, note):
    base = parse_formula("y ~ x + z + (x + z | g)")
    assert _truth(Told(**known), base, base.random) == (drawn, note)


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
