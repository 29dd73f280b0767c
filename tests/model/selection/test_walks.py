"""The walks among random parts, without data: where they begin, what they ask, where they end."""

from __future__ import annotations

import numpy as np
import pytest

from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.selection.random_parts import (
    intercepts,
    simpler,
    spelled,
    uncorrelated,
    with_a_term,
    without_a_term,
)
from lmmkit.model.selection.walks import WALKS, Answer, Mixture, Refits, decide


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
