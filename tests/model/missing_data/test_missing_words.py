# ruff: noqa: E501  (a sentence stands as it is printed)
"""Sentences, verdicts and searches of a sensitivity analysis: numbers on the left, what is said on the right."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lmmkit import FitError, lmm
from lmmkit.engine.imputation.pooling import Pooled
from lmmkit.engine.problem import Residual
from lmmkit.model.means.focus import find_focus
from lmmkit.model.missing_data import conditional_means, reference_based, tipping_point
from lmmkit.model.missing_data.about_missing import TABLES, _one_number, by_reference
from lmmkit.model.missing_data.conditional_means import ConditionalMeans
from lmmkit.model.missing_data.sensitivity import (
    _with_covariance,
    by_rubins_rules,
    missing_words,
    no_jackknife,
    sensitivity,
)
from lmmkit.model.missing_data.tipping_point import _Seen

COUNTS = {
    "missing": 12, "rows": 1400, "made": 0, "over_visits": True, "after_last": 9, "left": 5, "subjects": 280,
    "subject": "id", "gaps": 0, "never": 0,
}  # fmt: skip
OVER = {"over_visits": False}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "12 of 1,400 responses are missing: 9 after the last visit of 5 of 280 levels of id."),
        (OVER, "12 of 1,400 responses are missing."),
        (OVER | {"missing": 1, "made": 1}, "1 of 1,400 responses is missing (1 of them at visits without a row)."),
        ({"made": 2, "gaps": 3}, "12 of 1,400 responses are missing (2 of them at visits without a row): 9 after the last visit of 5 of 280 levels of id, and 3 in gaps before it, which are imputed at random first."),
        ({"never": 1}, "12 of 1,400 responses are missing: 9 after the last visit of 5 of 280 levels of id; 1 has no response at all."),
        ({"never": 2}, "12 of 1,400 responses are missing: 9 after the last visit of 5 of 280 levels of id; 2 have no response at all."),
    ],
)  # fmt: skip
def test_who_is_missing_is_counted(facts, words):
    assert missing_words({**COUNTS, **facts}) == words


def test_degrees_of_freedom_and_the_jackknife_are_told():
    told = "Rubin's rules, with the degrees of freedom of Barnard and Rubin from {} of complete data"
    assert by_rubins_rules({"complete_df": 22.04}) == told.format("22.04")
    assert by_rubins_rules({"complete_df": np.inf}) == told.format("infinitely many")
    assert no_jackknife({"no_jackknife": ""}) == ""
    assert no_jackknife({"no_jackknife": "it rains"}) == "No conditional means with the jackknife: it rains."


TIPPED = COUNTS | {
    "alpha": 0.05, "clear": True, "of": ["b", "c"], "shifted": 9, "with_gaps": False, "reach": 8.0,
    "response": "y", "imputations": 1000, "complete_df": 22.0, "no_jackknife": "", "unit": "id",
}  # fmt: skip
FIRST = {"p": 0.0123, "turns": True, "tip": -2.5, "tip_sds": -1.25, "estimate": 1.5}


@pytest.mark.parametrize(
    ("facts", "first", "words"),
    [
        ({}, {}, "Without a shift p = 0.0123, below 0.05; it turns when 9 imputed responses of b, c after the last visit of their subject are shifted by -2.5, 1.2 SDs of a response. A shift is in the unit of y."),
        ({"clear": False, "of": [], "shifted": 1, "with_gaps": True}, {"p": 0.3, "turns": False}, "Without a shift p = 0.3, not below 0.05; it does not turn when 1 imputed response (gaps among them) is shifted by up to 8 either way, 4 SDs of a response. A shift is in the unit of y."),
        ({"over_visits": False, "of": ["b"]}, {}, "Without a shift p = 0.0123, below 0.05; it turns when 9 imputed responses of b are shifted by -2.5, 1.2 SDs of a response. A shift is in the unit of y."),
    ],
)  # fmt: skip
def test_the_tip_is_told(facts, first, words):
    notes = tipping_point._notes({**TIPPED, **facts}, {**FIRST, **first}, 1.25)
    assert notes[1] == words
    assert notes[0].startswith("12 of 1,400 responses are missing")
    assert "the likelihood's plus noise: 1.5 for 1.25, from 1,000 imputations. Rubin's rules" in notes[2]
    assert notes[3] == "The jackknife leaves out one level of id at a time."


def test_what_rests_on_the_reference_arm_is_told():
    facts = TIPPED | {"left_by_arm": {"a": 1, "b": 1200}, "reference": "a", "covariance": "one for all"}
    pooled = Pooled(2.0, 0.5, 20.0, 0.2, 0.05, 0.0123)
    notes = reference_based._notes(facts, pooled, 1.75)
    assert notes[0].endswith(
        "Who left before the last visit: 1 of a, 1,200 of b. The reference arm is a, imputed at random itself."
    )
    assert notes[1] == "Covariance: one for all."
    assert "here 2 for 1.75, with a Monte Carlo standard error of 0.012 over 1,000 imputations" in notes[2]
    assert "from 22 of complete data. Their variance is information-anchored" in notes[3]
    assert notes[4].startswith("The jackknife leaves out one level of id at a time. Its variance is that of")
    without = reference_based._notes(facts | {"no_jackknife": "it rains"}, pooled, 1.75)
    assert without[4] == "No conditional means with the jackknife: it rains."


def seen(p, alpha=0.05):
    """What is seen of an estimate whose p over the shift is given; a response has an SD of 2."""
    return _Seen(SimpleNamespace(tested=lambda delta: {"p": p(delta)}), lambda delta: delta, 2.0, alpha)


@pytest.mark.parametrize(
    ("p", "below", "above", "ends"),
    [
        (lambda d: 0.01 * np.exp(d), np.nan, np.log(5.0), (-8.0, 3.0)),
        (lambda d: 0.2 * np.exp(d), -np.log(4.0), np.nan, (-3.0, 8.0)),
        (lambda d: 0.01 if d < 3.0 else 0.9, np.nan, 3.0, (-8.0, 4.0)),
        (lambda d: 0.0 if d < 3.0 else 0.9, np.nan, 3.0, (-8.0, 4.0)),
        (lambda d: 0.049 + 0.002 * abs(d) / 8.0, -4.0, 4.0, (-6.0, 6.0)),
        (lambda d: 0.0499 + 0.0001 * (d > 8.0), np.nan, np.nan, (-8.0, 8.0)),
    ],
)
def test_the_nearest_crossing_on_each_side_is_found_and_a_point_beyond_it_is_seen(p, below, above, ends):
    look = seen(p)
    for side, expected in ((-1.0, below), (1.0, above)):
        assert look.crossing(side) == pytest.approx(expected, abs=4e-5, nan_ok=True)
    assert (min(look.grid), max(look.grid)) == ends


def rows_of(**changes):
    """Rows of a model of visits as `why_not` looks at them."""
    residual = Residual.__new__(Residual)
    object.__setattr__(residual, "subjects", np.arange(3))
    problem = {"residual": residual, "terms": [], "response": np.zeros(3)} | changes
    return SimpleNamespace(problem=SimpleNamespace(**problem), random=bool(problem["terms"]))


def term(codes, plain=True):
    return SimpleNamespace(codes=np.array(codes), levels=max(codes) + 1, plain=plain)


CROSSED = [term([0, 0, 1]), term([0, 1, 1])]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"residual": None}, "the residual structure is not one over visits"),
        ({"terms": [term([0, 0, 1])]}, "the model has random effects beside a residual structure"),
        ({"residual": None, "terms": [term([0, 0, 1], plain=False)]}, "the levels of a grouping factor are related, or rows have several of them"),
        ({"residual": None, "terms": CROSSED}, "the grouping factors are crossed, so that no unit is independent of the others"),
        ({"residual": None, "terms": [term([0, 0, 1]), term([0, 1, 2])]}, ""),
    ],
)  # fmt: skip
def test_why_there_is_no_jackknife(changes, why):
    assert ConditionalMeans(None, SimpleNamespace(rows=rows_of(**changes))).why_not() == why


@pytest.mark.parametrize("name", ["MOST_UNITS", "MOST_ROWS"])
def test_the_jackknife_is_not_taken_of_too_much(monkeypatch, name):
    means = ConditionalMeans(None, SimpleNamespace(rows=rows_of()))
    monkeypatch.setattr(conditional_means, name, 3)
    assert means.why_not() == ""
    monkeypatch.setattr(conditional_means, name, 2)
    assert means.why_not().startswith("there are more than ")


def facts_of(name, table):
    return next(each for each in TABLES if each.name == name).facts(pd.DataFrame(table))


def test_tables_of_missing_responses_have_their_facts():
    counted = {
        "pattern": list("ab"),
        "visit 1": [0, 1],
        "visit 2": [0, 1],
        "subjects, a": [5, 1],
        "subjects, b": [7, 2],
    }
    assert facts_of("dropout", counted) == {
        "subjects": 15,
        "complete": 12,
        "without the last": 3,
        "patterns": 2,
    }
    counted["visit 2"] = [1, 0]
    assert facts_of("dropout", counted) == {
        "subjects": 15,
        "complete": 0,
        "without the last": 12,
        "patterns": 2,
    }
    spans = {"estimate": [1.0, -2.0, 0.5], "low": [0.5, -3.0, -1.0], "high": [2.0, -0.5, 1.0]}
    assert facts_of("reference_based", spans) == {"least": -2.0, "largest": 1.0, "rows": 3, "clear": 2}


def visited(n=12, arms="ab"):
    rng, wide = np.random.default_rng(3), pd.DataFrame({"id": range(n), "arm": list(arms) * (n // len(arms))})
    wide = wide.assign(v1=rng.normal(size=n), v2=rng.normal(size=n)).assign(
        v3=lambda d: d["v1"] + rng.normal(size=n)
    )
    return wide.melt(["id", "arm"], ["v1", "v2", "v3"], "visit", "y").assign(
        y=lambda d: d["y"].where(d.index != 30)
    )


def test_an_interaction_is_asked_by_its_coefficient():
    two = visited()[lambda d: d["visit"] != "v2"].assign(x=lambda d: np.arange(len(d)) % 5.0)
    for formula, focus, name in (
        ("y ~ visit * arm", "visit:arm", "visit[T.v3]:arm[T.b]"),
        ("y ~ x * arm", "arm:x", "x:arm[T.b]"),
        ("y ~ C(arm, Sum) * visit", "C(arm, Sum):visit", None),
    ):
        fit = lmm(formula, two, residual="cs(visit | id)")
        found = _one_number(fit, find_focus(fit.design, focus))
        assert found.name in fit.params.index
        assert name in (None, found.name)
        assert found.L @ fit.params == pytest.approx(fit.params[found.name])


def test_an_interaction_of_several_coefficients_is_no_one_number():
    fit = lmm("y ~ visit * arm", visited(), residual="cs(visit | id)")
    with pytest.raises(FitError) as refused:
        _one_number(fit, find_focus(fit.design, "visit:arm"))
    assert str(refused.value) == (
        "missing_data: the focus `visit:arm` is an interaction of 2 coefficients, and what is asked under other "
        "assumptions is one number; name in report.at where the effect of `arm` is asked, or another focus."
    )
    at = _one_number(fit, find_focus(fit.design, "visit:arm", None, {"visit": "v3"}))
    assert at.name == "arm: b less a, at visit v3"
    with pytest.raises(
        FitError, match=r"`visit` is a factor of several levels, and what is asked .* name two"
    ):
        _one_number(fit, find_focus(fit.design, "visit"))
    assert _one_number(fit, find_focus(fit.design, "arm")).name == "arm: b less a"


def test_covariances_of_the_arms_are_those_asked_for():
    fit = lmm("y ~ visit * arm", visited(24), residual="cs(visit | id, by=arm)")
    own, one = "a covariance matrix of its own for each arm", "one covariance matrix for all arms"
    for asked in ("model", "by-arm"):
        assert _with_covariance(fit.estimates, "arm", asked) == (fit.estimates, f"{own}, as in the model")
    made, said = _with_covariance(fit.estimates, "arm", "common")
    assert said == f"{one}, the model fitted again with cs(visit | id)"
    assert made.deviance == pytest.approx(
        lmm("y ~ visit * arm", visited(24), residual="cs(visit | id)").deviance
    )


def test_the_sd_of_a_response_counts_its_weight_and_its_random_effects():
    frame = visited(24).assign(w=lambda d: 1.0 + d.index % 3, z=lambda d: d.index % 4.0)
    fit = lmm("y ~ arm + (1 + z || id)", frame, weights="w")
    rows = sensitivity(fit, "arm[T.b]", imputations=2, seed=1).rows
    intercept, slope = (fit.sigma * value for value in fit.theta)
    known = fit.sigma**2 / frame["w"] + intercept**2 + (slope * frame["z"]) ** 2
    np.testing.assert_allclose(rows.sds, np.sqrt(known), rtol=1e-12)


def test_assumptions_are_named_in_their_order():
    assert reference_based.chosen("copy-reference") == ("copy-reference",)
    assert reference_based.chosen(["copy-increments", "jump-to-reference"]) == (
        "jump-to-reference",
        "copy-increments",
    )
    with pytest.raises(FitError, match="assumptions is empty"):
        reference_based.chosen([])
    assert by_reference(SimpleNamespace(assumptions=["tipping-point", "copy-reference"])) == [
        "copy-reference"
    ]


def test_a_shift_is_small_up_to_half_an_sd_and_looked_for_up_to_four():
    assert (tipping_point.SMALL, tipping_point.STEPS[-1]) == (0.5, 4.0)


def test_tables_of_missing_responses_have_their_columns():
    known = {table.name: list(table.columns) for table in TABLES}
    assert known["reference_based"] == ["assumption", "method", "estimate", "se", "df", "p", "low", "high"]
    assert known["tipping_point"] == ["method", "estimate", "p", "tip", "tip_sds", "below", "above"]
    assert list(known) == ["dropout", "reference_based", "tipping_point", "tipping_curve"]
