# ruff: noqa: E501  (a sentence stands as it is printed)
"""Sentences of a choice: what was found on the left, what is said on the right. Nothing is fitted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lmmkit import FitError, LmmkitError
from lmmkit.model.comparison.compare import ONE_VARIANCE
from lmmkit.model.formula.formula import parse_candidate, parse_formula
from lmmkit.model.formula.linear_text import written
from lmmkit.model.selection.candidates import Candidate, Candidates, shared_rows
from lmmkit.model.selection.error_rates import (
    ErrorRates,
    _Bank,
    _in_words,
    _rate,
    _Tested,
    check_simulation,
)
from lmmkit.model.selection.ledger import (
    CandidateLedger,
    Selection,
    ending,
    evidence,
    outcome,
    reasons,
    remark,
)
from lmmkit.model.selection.select import _why
from lmmkit.model.selection.step_tests import NO_DISTRIBUTION, WORSE, StepTest, step_test
from lmmkit.model.selection.term_components import SMALL
from lmmkit.model.selection.walks import ADD, BEGIN, DROP, ZERO, Answer, Refits, Trial

BASE = parse_formula("y ~ x + (x | g)")
BARS, LESS = BASE.random, parse_formula("y ~ x + (1 | g)").random
BEGINS = Trial(BARS, step=BEGIN)
DROPS = Trial(LESS, BARS, False, "the slope", DROP)
ADDS = Trial(BARS, LESS, True, "the slope", ADD)
ZEROED = Trial(LESS, BARS, False, "all correlations", ZERO)
LARGER, SMALLER, SINGULAR = Answer(True), Answer(True, larger=False), Answer(True, True)
UNABLE = Answer(False)


@pytest.mark.parametrize(
    ("trial", "answer", "taken", "short", "long"),
    [
        (BEGINS, LARGER, True, "begins", "where the rule begins"),
        (BEGINS, UNABLE, False, "not fitted", "the rule begins with a simpler model"),
        (DROPS, UNABLE, False, "not fitted", "the slope: not compared"),
        (DROPS, SMALLER, True, "left out", "the slope left out (E)"),
        (DROPS, SMALLER, False, "kept for now", "the slope not left out in this step: another one has less for it (E)"),
        (DROPS, LARGER, False, "kept", "the slope kept (E)"),
        (DROPS, SINGULAR, False, "kept", "the slope kept (E)"),
        (ADDS, LARGER, True, "added", "the slope added (E)"),
        (ADDS, LARGER, False, "not added", "the slope not added in this step: another one has more for it (E)"),
        (ADDS, SINGULAR, False, "singular", "the slope not added: the fit would be singular (E)"),
        (ADDS, SMALLER, False, "not added", "the slope not added (E)"),
        (ADDS, Answer(True, True, False), False, "not added", "the slope not added (E)"),
        (ZEROED, LARGER, True, "left out for now", "without all correlations, which are tried again at the end (E: they count)"),
        (ZEROED, SMALLER, True, "left out for now", "without all correlations, which are tried again at the end (E: they add little)"),
    ],
)  # fmt: skip
def test_every_trial_is_told(trial, answer, taken, short, long):
    assert outcome(trial, answer, taken) == short
    assert remark(trial, answer, "E", taken) == long


RATIO = StepTest(5.678, 1.0, 0.0123, "chi2(1)")


@pytest.mark.parametrize(
    ("criterion", "answer", "test", "said"),
    [
        ("lrt", LARGER, RATIO, "likelihood ratio 5.68, chi2(1), p = 0.012 <= 0.2"),
        ("lrt", SMALLER, StepTest(0.1, 1.0, 0.75, "chi2(1)", ONE_VARIANCE), "likelihood ratio 0.10, chi2(1), p = 0.750 > 0.2"),
        ("lrt", LARGER, StepTest(30.0, 1.0, 0.00099, "chi2(1)", f"{ONE_VARIANCE}; odd"), "likelihood ratio 30.00, chi2(1), p = 0.00099 <= 0.2; odd"),
        ("lrt", LARGER, StepTest(10.83, 1.0, 0.001, "chi2(1)"), "likelihood ratio 10.83, chi2(1), p = 0.001 <= 0.2"),
        ("lrt", Answer(True, ease=-1.5), StepTest(), f"{NO_DISTRIBUTION}; AIC of the larger model 1.50 lower"),
        ("bic", Answer(True, larger=False, ease=2.345), RATIO, "BIC of the larger model 2.35 higher"),
        ("caic", Answer(True, ease=-0.5), RATIO, "cAIC of the larger model 0.50 lower"),
    ],
)  # fmt: skip
def test_the_evidence_is_told(criterion, answer, test, said):
    assert evidence(criterion, 0.2, answer, test) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("fixed", "aic", 3.0, "", ""), ["the formula of the study", ""]),
        (("best", "bic", 0.0, "", ""), ["least BIC", ""]),
        (("", "caic", 0.0, "", ""), ["least cAIC", ""]),
        (("", "aic", 1.234, "", "same"), ["AIC 1.23 above the least", "same"]),
        (("", "aic", np.nan, "not comparable", ""), ["not comparable", ""]),
        (("fixed", "aic", 0.0, "not comparable", ""), ["the formula of the study", "not comparable"]),
    ],
)
def test_a_listed_candidate_has_its_reason(given, said):
    assert reasons(*given) == said


def fitted(text, *names, singular=True, converged=True, **measures):
    """A candidate with random effects of these names, as if it were fitted."""
    terms = [SimpleNamespace(names=list(each)) for each in names]
    fit = SimpleNamespace(random=terms, is_singular=singular, converged=converged)
    return Candidate(
        text, parse_candidate(text, BASE), fit, measures, ("the variance of a is zero",) if singular else ()
    )


@pytest.mark.parametrize(
    ("rule", "taken", "said"),
    [
        ("best", fitted("(x | g)", "ab", singular=False), "The chosen model is not singular."),
        ("fixed", fitted("(1 | g)", "a"), "It is the formula of the study, and stands whatever its fit says."),
        ("best", fitted("(1 | g)", "a"), "Its criterion is the least among the candidates."),
        ("maximal", fitted("(1 | g)", "a"), "It is the largest model that the design justifies, and the data show no variance there."),
        ("backward", fitted("(1 | g)", "a"), "It has one random effect left, which stays: rows of one group are not taken as independent."),
        ("backward", fitted("(x | g)", "ab"), "rule parsimonious takes no correlations in that make a fit singular."),
        ("forward", fitted("(x || g)", "a", "b"), "or the other columns of its term, which as a whole has enough for it."),
        ("forward", fitted("(1 | g) + (1 | h)", "a", "b"), "or the other columns of its term, which as a whole has enough for it."),
    ],
)  # fmt: skip
def test_how_a_choice_ends(rule, taken, said):
    assert ending(taken, rule).endswith(said)
    assert ending(taken, rule).startswith("The chosen model is ")
    assert ("the variance of a is zero. " in ending(taken, rule)) == taken.singular


def book(candidates, criterion="aic", reml=True):
    """A ledger over candidates that are there."""
    fits = SimpleNamespace(
        reml=reml, of=lambda formula, label: next(c for c in candidates if c.formula == formula)
    )
    ledger = CandidateLedger(fits, BASE, criterion, 0.2, 0)
    for one in candidates:
        ledger.entry(one.formula)
    return ledger


def test_what_cannot_be_chosen_is_said_and_ends_like_a_part_of_a_sentence():
    failed = Candidate(
        "(1 | g)", parse_candidate("(1 | g)", BASE), error="`g` has 1 level. It needs two levels."
    )
    other = fitted("log(y) ~ x + (1 | g)", "a", aic=1.0, npar=3)
    means = fitted("y ~ 1 + (1 | g)", "a", aic=1.0, npar=3)
    stuck = fitted("(x | g)", "ab", aic=0.0, npar=6, converged=False)
    ledger = book([failed, other, means, stuck])
    said = [
        "could not be fitted: `g` has 1 level. It needs two levels",
        "not comparable: another response, `log(y)`",
        "not comparable: REML with another fixed part (use method ML)",
        "its search did not converge",
    ]
    assert [ledger.obstacle(c) for c in (failed, other, means, stuck)] == said
    assert [e.decision for e in ledger.entries.values()] == ["failed", "shown", "shown", "failed"]
    with pytest.raises(FitError) as none:
        ledger.best()
    assert str(none.value).startswith(
        "No candidate could be fitted and compared: (1 | g): could not be fitted"
    )
    assert str(none.value).endswith("; (1 + x | g): its search did not converge.")
    assert "levels.;" not in str(none.value)
    assert book([means], reml=False).best() == means.formula


def test_of_criteria_that_are_one_to_rounding_the_fewest_parameters_are_taken():
    one, two, three = (
        fitted(text, "a", aic=aic, npar=npar)
        for text, aic, npar in (
            ("(x | g)", 10.0, 6),
            ("(1 | g)", 10.0 + 9e-7, 4),
            ("(x || g)", 10.0 + 1.1e-6, 3),
        )
    )
    assert book([one, two, three]).best() == two.formula


@pytest.mark.parametrize(
    ("higher", "answer"),
    [(-1.1e-6, (True, -1.1e-6)), (-9e-7, (False, 0.0)), (9e-7, (False, 0.0)), (2.0, (False, 2.0))],
)
def test_a_larger_model_of_the_same_conditional_aic_to_rounding_has_nothing_for_it(
    higher, answer, monkeypatch
):
    small, large = fitted("(1 | g)", "a", caic=10.0), fitted("(x | g)", "ab", caic=10.0 + higher)
    ledger = book([small, large], "caic")
    monkeypatch.setattr(ledger, "test", lambda *_: None)
    for pair in ((large, small, True), (small, large, False)):
        one, other, adds = pair
        found = ledger._answer(Trial(one.formula.random, other.formula.random, adds), BASE)
        assert (found.larger, found.ease) == (answer[0], pytest.approx(answer[1], abs=1e-9))


def test_labels_are_random_parts_where_the_fixed_part_is_that_of_the_study():
    ledger = book([fitted("(1 | g)", "a"), fitted("y ~ 1 + (1 | g)", "a")])
    assert [e.candidate.label for e in ledger.entries.values()] == ["(1 | g)", "y ~ 1 + (1 | g)"]


def test_a_choice_prints_its_numbers_and_leaves_out_what_there_is_not():
    rows = [
        {"candidate": "(1 | g)", "npar": 4, "deviance": 1234.567, "aic": 1242.0, "bic": np.nan, "p": np.nan, "decision": "chosen", "reason": "R"},
        {"candidate": "(x | g)", "npar": np.nan, "deviance": 0.5, "aic": 1.0, "bic": 2.0, "p": 0.01234, "decision": "shown", "reason": "S"},
    ]  # fmt: skip
    found = Selection(
        "y ~ x",
        "best",
        "aic",
        0.2,
        "Note.",
        "",
        pd.DataFrame(rows),
        pd.DataFrame(),
        pd.DataFrame(),
        ("Look.",),
    )
    assert list(found.to_dict()) == [
        "formula", "rule", "criterion", "alpha", "note", "ending", "notices", "candidates", "path", "components",
        "residuals",
    ]  # fmt: skip
    lines = str(found).splitlines()
    assert lines[1].split() == ["candidate", "npar", "deviance", "AIC", "BIC", "p", "decision", "reason"]
    assert lines[2].split() == ["(1", "|", "g)", "4", "1,234.57", "1,242.00", "chosen", "R"]
    assert lines[3].split() == ["(x", "|", "g)", "0.50", "1.00", "2.00", "0.0123", "shown", "S"]
    assert lines[-3:] == ["Chosen by rule best: y ~ x", "Note.", "Look."]
    assert found._repr_html_().endswith("<p>Chosen by rule best: y ~ x<br>Note.<br>Look.</p>")


def test_directions_are_told_without_small_weights():
    cases = {
        (0.71, -0.7): "0.71 a - 0.70 b",
        (-0.8, 0.6): "0.80 a - 0.60 b",
        (1.0, 0.05): "a",
        (1.0, 0.051): "1.00 a + 0.05 b",
    }
    for weights, said in cases.items():
        assert written(np.array(weights), ["a", "b"], least=SMALL, form="+.2f") == said


def test_the_rows_of_all_candidates_are_shared_and_it_is_said():
    frame = pd.DataFrame(
        {
            "y": np.arange(8.0),
            "x": np.arange(8.0),
            "g": list("aabbccdd"),
            "u": [np.nan, *range(7)],
            "v": [*range(6), np.nan, np.nan],
        }
    )
    listed = [parse_candidate(text, BASE) for text in ("(u | g)", "(v | g)", "(nothing | g)")]
    data, _, said = shared_rows(BASE, listed, frame, {})
    assert data.index.tolist() == [1, 2, 3, 4, 5]
    assert said == [
        "Values are missing of `u` (1) and `v` (2): every candidate is fitted to the 5 rows that all of them can use. The chosen model alone may have more rows."
    ]
    lacking = frame.assign(y=frame["u"])
    assert shared_rows(BASE, [BASE], lacking, {}) == (lacking, {}, [])
    assert shared_rows(BASE, listed[2:], frame, {"subset": "x > 1"}) == (frame, {"subset": "x > 1"}, [])
    with pytest.raises(LmmkitError, match="Values are missing"):
        shared_rows(BASE, listed[:1], frame, {"missing": "error"})
    with pytest.raises(
        LmmkitError,
        match=r"No row has values of all that the candidates use; missing are those of `u` \(1\) and `w` \(7\)",
    ):
        shared_rows(
            BASE, [listed[0], parse_candidate("(w | g)", BASE)], frame.assign(w=[0.0, *[np.nan] * 7]), {}
        )
    weights = np.arange(8.0) + 1.0
    _, kept, _ = shared_rows(BASE, listed, frame, {"weights": weights, "subset": "x > 1", "missing": "drop"})
    assert kept["weights"].tolist() == [3.0, 4.0, 5.0, 6.0]
    assert "subset" not in kept


def test_options_that_a_choice_does_not_take_are_named():
    with pytest.raises(
        FitError,
        match=r"'start' is no argument of select\(\)\. .* those of lmm\(\) that hold for every candidate: weights, "
        r"offset, residual, known, contrasts, missing, subset, algorithm, max_iterations\.$",
    ):
        Candidates(BASE, None, reml=True, options={"start": 1}, conditional=False)
    given = {"weights": "w", "missing": "drop", "algorithm": "em", "max_iterations": 3}
    fits = Candidates(BASE, None, reml=True, options=given, conditional=False)
    assert fits.options == {"weights": "w", "missing": "drop"}
    assert fits.search == {"algorithm": "em", "max_iterations": 3}


def test_a_candidate_that_was_not_fitted_is_neither_able_nor_singular():
    known = [fitted("(x | g)", "ab", "c"), fitted("(x | g)", "ab", singular=False), Candidate("c", BASE)]
    assert [(one.able, one.singular, one.effects) for one in known] == [
        (True, True, 3), (True, False, 2), (False, False, 0),
    ]  # fmt: skip
    assert not fitted("(x | g)", "ab", converged=False).able


def test_a_term_that_is_left_out_has_the_first_reason_of_its_group():
    table = pd.DataFrame({"group": ["g", "g", "h"], "reason": ["", "it rains", "no"]})
    assert _why(table, "g") == "it rains"
    assert _why(table, "k") == "the design does not justify it"


def compared(one, other, npar=(3, 4)):
    """Two fits of these deviances, in a step whose test is never reached."""
    models = [
        SimpleNamespace(deviance=d, npar=n, random=(1,), reml=True)
        for d, n in zip((one, other), npar, strict=True)
    ]
    return step_test(*(Candidate("c", BASE, model) for model in models))


def test_a_larger_model_that_fits_no_better_has_p_one(monkeypatch):
    monkeypatch.setattr(
        "lmmkit.model.selection.step_tests.tested",
        lambda *_: {"stat": 1.0, "df": 1.0, "p": 0.5, "reference": "R", "note": "N"},
    )
    assert compared(10.0, 10.0 - 9e-7) == StepTest(
        0.0, 1.0, 1.0, "a statistic of zero", "the larger model fits no better"
    )
    assert compared(10.0, 9.0).note == "N"
    assert compared(10.0, 11.0).note == f"N; {WORSE}"
    assert compared(10.0, 11.0, (4, 3)).note == "N"
    assert compared(10.0, 10.0, (4, 4)).reference == "R"
    assert "could not be fitted" in step_test(Candidate("c", BASE), Candidate("c", BASE)).note


def test_a_procedure_is_named_by_what_it_goes_by():
    assert [_in_words(rule, "lrt", 0.2) for rule in ("fixed", "maximal", "backward")] == [
        "the formula",
        "maximal",
        "backward (lrt, alpha 0.2)",
    ]
    assert _in_words("best", "bic", 0.2) == "best (bic)"


def test_a_rate_is_a_share_with_an_error_that_is_never_zero():
    p = np.array([0.01, 0.05, 0.2, np.nan])
    assert _rate(p, 0.05) == (pytest.approx(2 / 3), pytest.approx(np.sqrt(0.625 * 0.375 / 3)))
    assert _rate(np.zeros(4), 0.05) == (1.0, pytest.approx(np.sqrt(0.9 * 0.1 / 4)))
    assert np.isnan(_rate(p[3:], 0.05)).all()


def test_error_rates_print_what_was_drawn_and_how_it_was_tested():
    row = {
        "procedure": "maximal",
        "type1": 0.05,
        "type1_se": 0.0067,
        "power": 0.8,
        "power_se": 0.0126,
        "failed": 2,
        "singular": 0.25,
        "model": "(1 | g)",
        "model_share": 0.5,
    }
    rates = ErrorRates(
        "x", "y ~ x", "as given", "The t test", 0.05, 1000, 7, pd.DataFrame([row]), pd.DataFrame()
    )
    text = str(rates)
    assert text.startswith("Tests of x at level 0.05\n")
    head = "procedure Type I error MC error power MC error singular most frequent model"
    assert text.splitlines()[1].split() == head.split()
    cells = ["maximal", "0.0500", "0.0067", "0.8000", "0.0126", "25%", "(1", "|", "g)", "(50%)"]
    assert text.splitlines()[2].split() == cells
    assert (
        "1,000 responses without the effect and as many with it, drawn from y ~ x (as given); seed 7." in text
    )
    assert text.endswith("The t test. Up to 2 responses of a row could not be tested, and are left out.")
    none = ErrorRates(
        "x",
        "y ~ x",
        "as given",
        "The t test",
        0.05,
        1000,
        7,
        pd.DataFrame([row | {"failed": 0}]),
        pd.DataFrame(),
    )
    assert str(none).endswith("The t test.")
    assert rates.to_dict()["table"] == [row]
    assert list(rates.to_dict()) == [
        "focus", "truth", "truth_note", "test", "level", "replicates", "seed", "table", "models",
    ]  # fmt: skip


def test_a_test_of_one_row_is_a_t_test():
    one = _Tested.__new__(_Tested)
    one.name, one.df, one.L = "x", "auto", np.eye(1)
    assert one.words.startswith("The t test of x is that of the model chosen")
    one.L = np.eye(2)
    assert one.words.startswith("The F test of 2 rows of x is that")


def design(rows=10, random=(1,)):
    return SimpleNamespace(random=random, formula="y ~ x", problem=SimpleNamespace(response=np.zeros(rows)))


@pytest.mark.parametrize(
    ("rule", "criterion", "settled"),
    [
        ("fixed", None, "aic"), ("fixed", "caic", "aic"), ("maximal", "bic", "aic"), ("backward", None, "lrt"),
        ("forward", "bic", "bic"), ("best", None, "aic"), ("best", "bic", "bic"), ("parsimonious", "aic", "aic"),
    ],
)  # fmt: skip
def test_what_a_simulated_rule_goes_by(rule, criterion, settled):
    assert check_simulation(design(), rule, criterion, 5) == settled


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((design(random=()), "fixed", None, 5), "`y ~ x` has no random effects, and so no choice whose errors could be simulated."),
        ((design(), "best", "caic", 5), "criterion='caic': error rates are simulated for 'lrt', 'aic' and 'bic', which need the deviance of a response alone."),
        ((design(), "best", "lrt", 5), "criterion='lrt' orders no list of candidates: rule 'best' takes 'aic' or 'bic' here."),
        ((design(), "fixed", None, 2_000_001), "2,000,001 responses of 10 rows are 20,000,010 numbers, more than the 20,000,000 that are kept: ask for 2,000,000 at most."),
        ((design(30_000_000), "fixed", None, 2), "2 responses of 30,000,000 rows are 60,000,000 numbers, more than the 20,000,000 that are kept: ask for 1 at most."),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_refused(given, said):
    with pytest.raises(FitError) as refused:
        check_simulation(*given)
    assert str(refused.value) == said


def test_as_many_numbers_as_are_kept_are_simulated():
    assert check_simulation(design(), "fixed", None, 2_000_000) == "aic"


def test_of_a_list_each_response_takes_the_least_criterion_of_what_converged_and_of_equals_the_first():
    made = {
        "A": Refits(np.array([10.0, 10.0, 10.0, 10.0]), None, np.array([True, True, False, True]), 3),
        "B": Refits(np.array([7.9, 8.0, 12.0, 5.2]), None, np.ones(4, bool), 4),
    }
    bank = _Bank.__new__(_Bank)
    bank.count, bank.fit = 2, lambda bars, which: made[bars] if which.tolist() == [0, 1, 2, 3] else None
    bank.source = SimpleNamespace(estimates=SimpleNamespace(nobs=100))  # log 100 is 4.61
    assert bank.least(["A", "B"], "aic") == ["B", "A", "B", "B"]
    assert bank.least(["A", "B"], "bic") == ["A", "A", "B", "B"]


def test_models_that_a_procedure_ended_with_are_counted_without_the_effect_and_with_it():
    bank = _Bank.__new__(_Bank)
    one, two = BARS, LESS
    flags = np.array([True, False, False, False, True, True])
    bank.count = 3
    bank.found = {
        one: SimpleNamespace(p=np.array([0.01, 0.5, np.nan, 0.04, 0.9, 0.03]), singular=flags, df=7.0),
        two: SimpleNamespace(p=np.full(6, 0.02), singular=~flags, df=9.0),
    }
    bank.source = SimpleNamespace(
        estimates=SimpleNamespace(design=SimpleNamespace(recipe=SimpleNamespace(formula=BASE)))
    )
    ends = [one, two, one, one, two, one]
    row = bank.rates("rule", ends, 0.05)
    assert (row["type1"], row["power"], row["used"], row["failed"]) == (1.0, 1.0, 2, 1)
    assert (row["singular"], row["found"], row["model_share"]) == (pytest.approx(3 / 6), 4 / 6, 4 / 6)
    assert (row["procedure"], row["model"]) == ("rule", "(1 + x | g)")
    assert list(bank.models("rule", ends)) == [
        {"procedure": "rule", "model": "(1 + x | g)", "without_effect": 2, "with_effect": 2, "df": 7.0},
        {"procedure": "rule", "model": "(1 | g)", "without_effect": 1, "with_effect": 1, "df": 9.0},
    ]
