"""What is said of a fit's conclusions, from the table of deletions: numbers in, words out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit.model.influence.conclusions import Turn, conclusions, short_p
from lmmkit.model.influence.without_unit import FocusTest

WHOLE = FocusTest(2.0, 0.5, 10.0, 0.012)
PLAIN = ("", 2.0, 0.02, "exact refit")
QUIET = "No conclusion turns on a single level of g: "
TURNS = "The answer (slope of x) turns on a single level of g: "


def said(*rows, whole=WHOLE, of="g", alpha=0.05):
    """Conclusions of rows (turns, estimate, p, method) that are called a, b, ..."""
    table = pd.DataFrame(list(rows), columns=["turns", "estimate", "p", "method"])
    table.index = pd.Index(list("abcdefghij"[: len(rows)]))
    return conclusions(table, of, "slope of x", whole, alpha)


def test_what_no_unit_turns_is_told_with_its_range():
    quiet = said(PLAIN, ("", 1.5, 0.04, "one step"), ("", 2.5, 0.001, "variances held"))
    assert quiet.sentence() == (
        QUIET + "whichever of the 3 is left out, the estimate (slope of x) stays positive "
        "(1.5 to 2.5) and its p stays below 0.05 (at most .04)."
    )
    assert not quiet.serious
    assert (quiet.units, quiet.refitted, quiet.least, quiet.most) == (3, 2, 0.001, 0.04)


@pytest.mark.parametrize(
    ("rows", "whole", "of", "words"),
    [
        ([("", -1.0, 0.3, "one step"), ("", -3.0, 0.2, "one step")], FocusTest(-2.0, 1.0, 9.0, 0.25), "rows",
         "No conclusion turns on a single row: whichever of the 2 is left out, the estimate (slope of x) "
         "stays negative (-3 to -1) and its p stays above 0.05 (at least .2)."),
        ([("", np.nan, 2e-5, "one step")] * 2, FocusTest(np.nan, np.nan, 9.0, 1e-6), "g",
         QUIET + "whichever of the 2 is left out, the p of the test (slope of x) stays below 0.05 "
         "(below .0001)."),
        ([("", np.nan, np.nan, "one step")] * 2, FocusTest(np.nan, np.nan, np.nan, np.nan), "g",
         QUIET + "whichever of the 2 is left out, every variance stays on its side "
         "of zero."),
        ([("", 0.5, 0.0002, "one step")], FocusTest(0.5, 0.1, 9.0, 1e-4), "g",
         QUIET + "whichever of the 1 is left out, the estimate (slope of x) stays positive "
         "(0.5 to 0.5) and its p stays below 0.05 (at most .0002)."),
        ([PLAIN, ("p", 1.0, 0.07, "exact refit")], WHOLE, "g",
         TURNS + "without b p is .07 in place of .012."),
        ([PLAIN, ("p, sign", -0.5, 0.6, "one step")], WHOLE, "g",
         TURNS + "without b p is .6 in place of .012 and "
         "the estimate is -0.5 in place of 2 (one step)."),
        ([("g.sd.Intercept vanishes", *PLAIN[1:]), ("g.sd.x appears", *PLAIN[1:])],
         WHOLE, "g",
         "A part of the picture turns on a single level of g: without a g.sd.Intercept is estimated as zero; "
         "without b g.sd.x is no longer zero."),
        ([("g.sd.x vanishes", 2.0, 0.02, "exact refit"), ("p", 1.0, 0.07, "exact refit")], WHOLE, "g",
         TURNS + "without b p is .07 in place of .012. "
         "Beside that, without a g.sd.x is estimated as zero."),
        ([("p", 1.0, 0.07, "exact refit")] * 5, WHOLE, "g",
         TURNS + "without a p is .07 in place of .012; "
         "without b p is .07 in place of .012; without c p is .07 in place of .012; and 2 more alike."),
        ([("p", 1.0, 0.07, "exact refit")] * 3, WHOLE, "g",
         TURNS + "without a p is .07 in place of .012; "
         "without b p is .07 in place of .012; without c p is .07 in place of .012."),
        ([("p", 1.0, 0.07, "exact refit"), *[("g.sd.x appears", *PLAIN[1:])] * 4], WHOLE, "g",
         TURNS + "without a p is .07 in place of .012. Beside that, without b g.sd.x is no longer zero; "
         "without c g.sd.x is no longer zero; without d g.sd.x is no longer zero."),
        ([("", np.nan, np.nan, "not estimable")] * 3, WHOLE, "rows",
         "Without any of 3 (a, b, c) a coefficient cannot be estimated at all."),
        ([("", 1.0, 1e-4, "one step")], FocusTest(1.0, 0.5, 9.0, 0.05), "g",
         QUIET + "whichever of the 1 is left out, the estimate (slope of x) stays positive "
         "(1 to 1) and its p stays above 0.05 (at least .0001)."),
        ([("", 1.0, 1e-4, "one step")], FocusTest(1.0, 0.5, 9.0, 0.01), "g",
         QUIET + "whichever of the 1 is left out, the estimate (slope of x) stays positive "
         "(1 to 1) and its p stays below 0.05 (at most .0001)."),
        ([PLAIN, PLAIN, ("", np.nan, np.nan, "not estimable")], WHOLE, "g",
         QUIET + "whichever of the 2 others is left out, the estimate (slope of x) stays "
         "positive (2 to 2) and its p stays below 0.05 (at most .02). Without the level of g c a coefficient "
         "cannot be estimated at all."),
        ([("", np.nan, np.nan, "not estimable")] * 4, WHOLE, "rows",
         "Without any of 4 (a, b, c, ...) a coefficient cannot be estimated at all."),
        ([PLAIN, *[("", np.nan, np.nan, "not estimable")] * 2], WHOLE, "g",
         QUIET + "whichever of the 1 other is left out, the estimate (slope of x) stays "
         "positive (2 to 2) and its p stays below 0.05 (at most .02). Without any of 2 (b, c) a coefficient "
         "cannot be estimated at all."),
    ],
)  # fmt: skip
def test_sentences_of_conclusions(rows, whole, of, words):
    assert said(*rows, whole=whole, of=of).sentence() == words


@pytest.mark.parametrize(
    ("what", "p", "whole", "answer"),
    [
        ("p", 0.07, 0.012, True),
        ("sign", 0.6, 0.7, False),  # a sign of nothing
        ("sign", 0.04, 0.7, True),
        ("sign", 0.6, 0.04, True),
        ("sign", 0.05, 0.05, False),
        ("g.sd.x vanishes", 0.01, 0.012, False),
    ],
)
def test_an_answer_turns_with_p_or_with_a_sign_that_counts(what, p, whole, answer):
    found = said((what, 1.0, p, "exact refit"), whole=WHOLE._replace(p=whole))
    assert found.turns_answer(Turn("a", what, 1.0, p, "exact refit")) == answer == found.serious


@pytest.mark.parametrize(
    ("p", "alpha", "text"),
    [
        (9.9e-5, 0.05, "below .0001"),
        (1e-4, 0.05, ".0001"),
        (0.0234, 0.05, ".023"),
        (0.04999999, 0.05, ".04999999"),
        (0.0500004, 0.05, ".0500004"),
        (0.0996, 0.1, ".0996"),
    ],
)
def test_a_p_has_two_digits_and_more_near_alpha(p, alpha, text):
    assert short_p(p, alpha) == text
