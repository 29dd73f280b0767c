"""The walks among random parts, without data: where they begin, what they ask, where they end."""

from __future__ import annotations

import numpy as np
import pytest

from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.selection.random_parts import (
    has_correlations,
    intercepts,
    lattice,
    simpler,
    spelled,
    uncorrelated,
    with_a_term,
    with_correlations,
    without_a_term,
    without_correlations,
)
from lmmkit.model.selection.walks import WALKS, Answer, Mixture, Refits, decide, default_criterion, verdict


def bars(text):
    return parse_formula(f"y ~ a * b + {text}").random


def parts(neighbours):
    return [spelled(neighbour.bars) for neighbour in neighbours]


def test_a_slope_stays_while_its_interaction_does_and_the_intercept_goes_last():
    assert parts(without_a_term(bars("(a * b | s)"))) == ["(1 + a + b | s)"]
    assert parts(without_a_term(bars("(a + b | s)"))) == ["(1 + a | s)", "(1 + b | s)"]
    assert parts(without_a_term(bars("(1 | s) + (0 + a | s)"))) == ["(1 | s)"]
    assert parts(without_a_term(bars("(1 | s)"))) == ["no random effects"]
    assert parts(without_a_term(bars("(0 + a | s)"))) == ["no random effects"]


def test_a_structure_goes_as_a_whole_and_diag_term_by_term():
    assert parts(without_a_term(bars("cs(0 + a | s)"))) == ["(1 | s)"]
    assert parts(without_a_term(bars("diag(a + b | s)"))) == ["diag(1 + a | s)", "diag(1 + b | s)"]
    assert uncorrelated(bars("ar1(0 + a | s)")) == bars("ar1(0 + a | s)")


def test_terms_are_added_after_their_margins():
    largest = bars("(a * b | s) + (a | i)")
    least = intercepts(largest)
    assert spelled(least) == "(1 | s) + (1 | i)"
    assert parts(with_a_term(least, largest)) == [
        "(1 + a || s) + (1 | i)",
        "(1 + b || s) + (1 | i)",
        "(1 | s) + (1 + a || i)",
    ]
    both = bars("(a + b || s) + (1 | i)")
    assert "(1 + a + b + a:b || s) + (1 | i)" in parts(with_a_term(both, largest))


def walked(walk, answer):
    """Where a walk ends that is always told the same."""
    trials = next(walk)
    for _ in range(60):
        try:
            trials = walk.send([answer for _ in trials])
        except StopIteration as end:
            return end.value
    return None


@pytest.mark.parametrize("rule", list(WALKS))
def test_a_walk_over_a_formula_ends_whatever_it_is_told(rule):
    for larger in (True, False):
        assert walked(WALKS[rule](bars("(a * b | s) + (a * b | i)")), Answer(True, False, larger, 0.5))


def test_a_largest_model_that_cannot_be_fitted_gives_way_to_a_simpler_one():
    walk = WALKS["backward"](bars("(a | s)"))
    assert parts(next(walk)) == ["(1 + a | s)"]
    assert parts(walk.send([Answer(False)])) == ["(1 + a || s)"]
    assert parts(walk.send([Answer(False)])) == ["(1 | s)"]
    with pytest.raises(StopIteration) as end:
        walk.send([Answer(False)])
    assert spelled(end.value.value) == "(1 | s)"


def test_correlations_come_back_unless_they_make_the_fit_singular():
    for singular, ends in ((False, "(1 + a | s)"), (True, "(1 + a || s)")):
        walk = WALKS["parsimonious"](bars("(a | s)"))
        next(walk)
        walk.send([Answer(True)])
        walk.send([Answer(True, larger=True, ease=0.01)])  # without correlations
        walk.send([Answer(True, larger=True, ease=0.0)])  # the slope stays
        with pytest.raises(StopIteration) as end:
            walk.send([Answer(True, singular, larger=True, ease=0.01)])
        assert spelled(end.value.value) == ends


def test_many_responses_are_decided_with_one_fit_of_each_pair():
    asked = []

    def fit(part, which):
        asked.extend((part, i) for i in which)
        size = sum(len(bar.terms) + (len(bar.terms) > 1 and not bar.split) for bar in part)
        # Of response 0 no term has anything for it, of response 1 every one.
        deviance = np.where(which == 0, 100.0, 100.0 - 50.0 * size)
        return Refits(deviance, np.zeros(len(which), bool), np.ones(len(which), bool), size + 3)

    def half(small, large):
        return Mixture(0, np.array([0.5, 0.5]))

    largest = bars("(a | s) + (a | i)")
    for rule in ("parsimonious", "backward", "forward"):
        asked.clear()
        ends = decide(rule, largest, 2, fit, half, nobs=100)
        if rule == "forward":
            assert spelled(ends[0]) == "(1 | s) + (1 | i)"
        else:
            assert [len(bar.terms) for bar in ends[0]] == [1]
        assert ends[1] == largest
        assert len(asked) == len(set(asked))


def test_of_many_responses_each_goes_as_far_as_its_own_fits_are_not_singular():
    def fit(random, which):
        npar = ["(1 | s)", "(1 + a || s)", "(1 + a | s)"].index(spelled(random)) + 3
        singular = (which % 2 == 1) & (npar > 3)
        return Refits(np.full(len(which), 1e4 - 100.0 * npar), singular, np.ones(len(which), bool), npar)

    for rule, ends in (("forward", ["(1 + a | s)", "(1 | s)"]), ("maximal", ["(1 + a | s)"] * 2)):
        found = decide(rule, bars("(a | s)"), 4, fit, lambda *_: None, nobs=50, criterion="aic")
        assert [spelled(one) for one in found] == ends * 2


def test_every_neighbour_is_smaller_and_named():
    for neighbour in simpler(bars("(a * b | s) + (a | i) + cs(0 + a | j)")):
        assert neighbour.what.startswith("the ")


HALF = Mixture(0, np.array([0.5, 0.5]))  # of one variance: half of it at zero


@pytest.mark.parametrize(
    ("gain", "added", "criterion", "mixture", "larger", "ease"),
    [
        (2.705543454, 1, "lrt", Mixture(1, np.ones(1)), True, 0.1),
        (1.0, 1, "lrt", Mixture(1, np.ones(1)), False, 0.317310508),
        (2.705543454, 1, "lrt", HALF, True, 0.05),
        (-3.0, 1, "lrt", HALF, False, 1.0),
        (5.0, 2, "lrt", None, True, -1.0),  # no distribution: by AIC
        (5.0, 2, "aic", HALF, True, -1.0),
        (3.0, 2, "aic", None, False, 1.0),
        (4.0, 2, "aic", None, False, 0.0),
        (4.0, 2, "bic", None, False, 2.0 * np.log(100.0) - 4.0),
        (9.3, 2, "bic", HALF, True, 2.0 * np.log(100.0) - 9.3),
    ],
)
def test_the_larger_of_two_models_is_kept_by_its_test_or_its_criterion(
    gain, added, criterion, mixture, larger, ease
):
    found = verdict(gain, added, 100, criterion, 0.2, mixture)
    assert found == (larger, pytest.approx(ease, abs=1e-7))


def test_a_p_that_is_the_level_keeps_the_larger_model():
    p = verdict(1.0, 1, 100, "lrt", 0.2, HALF)[1]
    assert verdict(1.0, 1, 100, "lrt", p, HALF)[0]
    assert not verdict(1.0, 1, 100, "lrt", p - 1e-9, HALF)[0]


def test_rules_that_go_step_by_step_test_and_the_others_take_aic():
    assert {rule: default_criterion(rule) for rule in (*WALKS, "best", "fixed")} == {
        "maximal": "aic", "parsimonious": "lrt", "backward": "lrt", "forward": "lrt", "best": "aic",
        "fixed": "aic",
    }  # fmt: skip


@pytest.mark.parametrize(("deviance", "converged"), [(np.nan, True), (50.0, False)])
def test_what_could_not_be_fitted_is_not_where_a_walk_goes(deviance, converged):
    """Of the first response the smaller model has no fit; the second takes it."""

    def fit(random, which):
        small = spelled(random) == "(1 | s)"
        lost = small & (which == 0)
        n = len(which)
        deviances = np.where(lost, deviance, 90.0 if small else 100.0)
        return Refits(deviances, np.zeros(n, bool), ~lost | converged, 3 if small else 4)

    found = decide(
        "backward", bars("(0 + a | s) + (1 | s)"), 2, fit, lambda *_: None, nobs=50, criterion="aic"
    )
    assert spelled(found[1]) == "(1 | s)"
    assert spelled(found[0]) != "(1 | s)"


def test_each_pair_of_models_has_one_reference_and_the_smaller_one_is_named_first():
    asked = []

    def reference(small, large):
        asked.append((spelled(small), spelled(large)))
        return HALF

    def fit(random, which):
        size = sum(len(bar.terms) for bar in random)
        return Refits(
            np.full(len(which), 100.0 - 9.0 * size), *[np.zeros(len(which), bool)] * 2, size
        )._replace(converged=np.ones(len(which), bool))

    for rule in ("backward", "forward"):
        decide(rule, bars("(a || s)"), 3, fit, reference, nobs=50)
    assert asked == [("(1 | s)", "(1 + a || s)")] * 2


@pytest.mark.parametrize(
    ("text", "correlated"),
    [
        ("(a | s)", True), ("us(a | s)", True), ("(a || s)", False), ("(1 | s)", False),
        ("cs(0 + a | s)", False), ("diag(a | s)", False), ("(0 + a | s)", False),
    ],
)  # fmt: skip
def test_which_bars_have_correlations(text, correlated):
    (bar,) = bars(text)
    assert has_correlations(bar) == correlated
    assert bool(without_correlations((bar,))) == correlated


def test_what_a_neighbour_has_less_or_more_is_named():
    part = bars("(a * b | s) + cs(0 + a | j) + (0 + a | i)")
    assert [n.what for n in simpler(part)] == [
        "the correlations by s", "the slope of a:b by s", "the structure cs by j", "the slope of a by i",
    ]  # fmt: skip
    assert [n.what for n in without_a_term(bars("(1 | s)"))] == ["the intercept by s"]
    assert [n.what for n in with_a_term(bars("(1 | s)"), bars("(a | s) + (1 | i)"))] == [
        "the slope of a by s", "the intercept by i",
    ]  # fmt: skip
    assert [n.what for n in with_correlations(bars("(a || s)"), bars("(a | s)"))] == ["the correlations by s"]


@pytest.mark.parametrize(
    ("here", "largest", "found"),
    [
        ("(a || s)", "(a * b | s)", ["(1 + a | s)"]),
        ("(a || s)", "(a * b || s)", []),
        ("(a || s)", "(a | i)", []),
        ("(1 | s)", "(a | s)", []),
        ("(a | s) + (a || i)", "(a | s) + (a | i)", ["(1 + a | s) + (1 + a | i)"]),
    ],
)
def test_correlations_come_back_where_the_largest_model_has_them(here, largest, found):
    assert parts(with_correlations(bars(here), bars(largest))) == found


@pytest.mark.parametrize(
    ("here", "largest", "found"),
    [
        ("(1 | s)", "(a | s)", ["(1 + a || s)"]),
        ("(a | s)", "(a + b | s)", ["(1 + a + b | s)"]),  # there are correlations already
        ("(1 | s)", "diag(a | s)", ["diag(1 + a | s)"]),
        ("(1 | i)", "(1 | s) + (1 | i)", ["(1 | s) + (1 | i)"]),
        ("(a | s)", "(a | s)", []),
    ],
)
def test_a_term_joins_a_bar_as_its_effects_stand_there(here, largest, found):
    assert parts(with_a_term(bars(here), bars(largest))) == found


@pytest.mark.parametrize(
    ("largest", "least"),
    [
        ("(0 + a | s)", "(0 + a | s)"),
        ("(0 + a | s) + (1 | s)", "(1 | s)"),
        ("diag(a | s)", "(1 | s)"),
        ("cs(0 + a | s)", "(1 | s)"),
        ("(a || s) + (b | s) + (a | i)", "(1 | s) + (1 | i)"),
    ],
)
def test_the_least_random_part_has_one_effect_of_each_group(largest, least):
    assert spelled(intercepts(bars(largest))) == least


def test_a_lattice_has_each_reduction_once():
    assert [spelled(part) for part in lattice(bars("(1 | s)"))] == ["(1 | s)"]
    assert [spelled(part) for part in lattice(bars("cs(0 + a | s)"))] == ["cs(0 + a | s)", "(1 | s)"]
