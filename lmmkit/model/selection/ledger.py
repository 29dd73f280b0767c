"""The ledger of a choice: every candidate, what it was held against, what was decided and why, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.variance_tests.covariance_families import embedding, units
from lmmkit.errors import FitError
from lmmkit.model.comparison.compare import APART, ONE_VARIANCE
from lmmkit.model.estimates import Estimates
from lmmkit.model.formula.formula import Formula
from lmmkit.model.selection.candidates import CONDITIONAL_CRITERIA, FACTS, Candidate, Candidates
from lmmkit.model.selection.random_parts import Bars, has_correlations, spelled
from lmmkit.model.selection.step_tests import NO_DISTRIBUTION, StepTest, step_test
from lmmkit.model.selection.term_components import COLUMNS as COMPONENTS
from lmmkit.model.selection.walks import ADD, BEGIN, CORRELATE, DROP, ZERO, Answer, Trial, Walk, verdict
from lmmkit.model.text_table import TablesAndParagraphs, TextTable

DISTANCES = ("deviance", "aic", "bic", "caic")
NAMES = {"lrt": "likelihood ratio", "aic": "AIC", "bic": "BIC", "caic": "cAIC"}
STAGES = {
    BEGIN: "largest model",
    ZERO: "without correlations",
    DROP: "left out",
    CORRELATE: "correlations again",
    ADD: "added",
}
PATH = (
    "step",
    "stage",
    "candidate",
    "against",
    "what",
    "stat",
    "df",
    "p",
    "higher",
    "kept",
    "taken",
    "singular",
    "outcome",
)


@dataclass(frozen=True, repr=False)
class Selection(TablesAndParagraphs):
    """A choice among candidates, and the ledger of all of them.

    Attributes:
        formula: The formula chosen, in canonical spelling.
        rule: How it was chosen: fixed, maximal, parsimonious, backward, forward or best.
        criterion: lrt, aic, bic or caic.
        alpha: Level of the tests, where the criterion is lrt.
        note: On what the comparison rests, in a sentence.
        ending: How the choice ended: whether what was chosen is singular, and why it stands nevertheless.
        table: One row per candidate: candidate, formula, nobs, npar, llf, deviance, aic, bic, caic, caic_df,
            caic4, caic4_df (what R's cAIC4 gives; NaN where it has nothing), each one's distance from the
            least (d_deviance, d_aic, d_bic, d_caic), against (the candidate that it was held against), stat,
            df, p, reference (distribution of the statistic), singular, direction
            (which ones have no variance, how many of how many), converged, evaluations, chosen, decision
            (chosen, step, rejected, shown, failed), reason, error.
        path: One row per comparison of a rule that goes step by step: step, stage, candidate, against, what
            it has less or more, stat, df, p, higher (what the larger model's criterion is higher by), kept
            (whether the larger model is), taken (whether the walk went there), singular, outcome in words.
        components: Principal components of the random effects of the first and the chosen model, see
            `term_components`, with `candidate`.
        notices: What the formula says otherwise than it may be meant, and what the design says of it.
        residuals: The chosen model under other residual structures, see `residual_structures`; empty where
            none were asked for.
    """

    formula: str
    rule: str
    criterion: str
    alpha: float
    note: str
    ending: str
    table: pd.DataFrame
    path: pd.DataFrame
    components: pd.DataFrame
    notices: tuple[str, ...] = ()
    residuals: pd.DataFrame = field(default_factory=pd.DataFrame)

    def to_dict(self) -> dict[str, Any]:
        """The choice in plain values."""
        return {
            "formula": self.formula,
            "rule": self.rule,
            "criterion": self.criterion,
            "alpha": self.alpha,
            "note": self.note,
            "ending": self.ending,
            "notices": list(self.notices),
            "candidates": self.table.to_dict("records"),
            "path": self.path.to_dict("records"),
            "components": self.components.to_dict("records"),
            "residuals": self.residuals.to_dict("records"),
        }

    def _blocks(self) -> list[TextTable | Sequence[str]]:
        head = ("candidate", "npar", "deviance", "AIC", "BIC", "p", "decision", "reason")
        rows = [
            (
                row["candidate"],
                _number(row["npar"], 0),
                *(_number(row[name], 2) for name in ("deviance", "aic", "bic")),
                "" if np.isnan(row["p"]) else f"{row['p']:.3g}",
                row["decision"],
                row["reason"],
            )
            for row in self.table.to_dict("records")
        ]
        said = [f"Chosen by rule {self.rule}: {self.formula}", self.ending, self.note, *self.notices]
        return [TextTable("Candidates", [head, *rows]), said]


def _number(value: float, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:,.{digits}f}"


@dataclass
class Entry:
    """What was done with one candidate.

    Attributes:
        candidate: The candidate.
        against: What it was held against last.
        test: The test of the two.
        remarks: Why it was or was not taken, one remark for each time that it was asked for.
        decision: step, rejected, shown or failed.
    """

    candidate: Candidate
    against: str = ""
    test: StepTest = field(default_factory=StepTest)
    remarks: list[str] = field(default_factory=list[str])
    decision: str = "shown"


def _outcome(trial: Trial, answer: Answer, taken: bool) -> str:
    """What became of a trial, in two words."""
    if not answer.able:
        return "not fitted"
    if trial.against is None:
        return "begins"
    if trial.step == ZERO:
        return "left out for now"
    if taken:
        return "added" if trial.adds else "left out"
    if trial.adds:
        return "singular" if answer.larger and answer.singular else "not added"
    return "kept" if answer.larger else "kept for now"


class CandidateLedger:
    """Fits candidates as a rule asks for them, and writes down what it does.

    Attributes:
        entries: By formula, in the order of the first question.
        path: The comparisons.
    """

    def __init__(self, fits: Candidates, base: Formula, criterion: str, alpha: float, seed: int) -> None:
        """`base`: the formula whose response and fixed part the candidates are compared in."""
        self.base = base
        self.fits, self.criterion, self.alpha, self.seed = fits, criterion, alpha, seed
        self.entries: dict[str, Entry] = {}
        self.path: list[dict[str, Any]] = []
        self.first: Candidate | None = None
        self._tests: dict[tuple[str, str], StepTest] = {}

    def entry(self, formula: Formula) -> Entry:
        """The entry of a formula, made and fitted at the first call."""
        key = str(formula)
        if key not in self.entries:
            same = self._same_means(formula)
            candidate = self.fits.of(formula, spelled(formula.random) if same else key)
            self.entries[key] = Entry(replace(candidate, label=spelled(formula.random) if same else key))
            if not candidate.able:
                self.entries[key].decision = "failed"
        return self.entries[key]

    def show(self, formulas: Sequence[Formula]) -> None:
        """Fit candidates that no rule asks for."""
        for formula in formulas:
            self.entry(formula)

    def walk(self, walk: Walk, base: Formula) -> Bars:
        """Go where a rule goes, and return the random part where it ends.

        Raises:
            FitError: The rule ends at a model that could not be fitted.
        """
        trials, number, end = next(walk), 1, None
        while end is None:
            answers = [self._answer(trial, base) for trial in trials]
            try:
                following = walk.send(answers)
                here = following[0].against
            except StopIteration as stop:
                following, end = (), stop.value
                here = stop.value
            self._write(number, trials, answers, here, base)
            trials, number = following, number + 1
        if not self.entry(replace(base, random=end)).candidate.able:
            raise FitError(_none_fitted(list(self.entries.values())))
        self._last_effect(end, base)
        return end

    def _answer(self, trial: Trial, base: Formula) -> Answer:
        entry = self.entry(replace(base, random=trial.bars))
        own = entry.candidate
        if self.first is None:
            self.first = own
        if trial.against is None or not own.able:
            return Answer(own.able, own.singular)
        small, large = self._pair(trial, base)
        if small.measures["nobs"] != large.measures["nobs"]:
            return Answer(able=False)
        test = self._test(small, large)
        gain = small.measures["deviance"] - large.measures["deviance"]
        added = int(large.measures["npar"] - small.measures["npar"])
        if self.criterion == "lrt" and not np.isnan(test.p):
            return Answer(True, own.singular, test.p <= self.alpha, test.p)
        if self.criterion == "caic":
            higher = large.measures["caic"] - small.measures["caic"]
            if abs(higher) <= APART:  # one fit, to rounding: the larger model has nothing for it
                higher = 0.0
            return Answer(True, own.singular, higher < 0, higher)
        nobs, criterion = int(small.measures["nobs"]), self.criterion
        return Answer(True, own.singular, *verdict(gain, added, nobs, criterion, self.alpha, None))

    def _pair(self, trial: Trial, base: Formula) -> tuple[Candidate, Candidate]:
        assert trial.against is not None
        own, other = (self.entry(replace(base, random=b)).candidate for b in (trial.bars, trial.against))
        return (other, own) if trial.adds else (own, other)

    def _test(self, small: Candidate, large: Candidate) -> StepTest:
        key = (str(small.formula), str(large.formula))
        if key not in self._tests:
            self._tests[key] = step_test(small, large, seed=self.seed)
        return self._tests[key]

    def _write(
        self,
        number: int,
        trials: Sequence[Trial],
        answers: Sequence[Answer],
        here: Bars | None,
        base: Formula,
    ) -> None:
        """Write down a step: what was asked, found and decided."""
        for trial, answer in zip(trials, answers, strict=True):
            entry = self.entry(replace(base, random=trial.bars))
            taken = trial.bars == here and answer.able
            if trial.against is None:
                test, against = StepTest(), ""
            else:
                small, large = self._pair(trial, base)
                test = self._test(small, large) if answer.able else StepTest()
                against = spelled(trial.against)
                entry.against, entry.test = against, test
            entry.remarks.append(self._remark(trial, answer, test, taken))
            if entry.candidate.able and not (entry.decision == "step" and not taken):
                entry.decision = "step" if taken else "rejected"
            self.path.append(
                {
                    "step": number,
                    "stage": STAGES[trial.step],
                    "candidate": entry.candidate.label,
                    "against": against,
                    "what": trial.what,
                    "stat": test.stat,
                    "df": test.df,
                    "p": test.p,
                    "higher": answer.ease if self.criterion != "lrt" and against else np.nan,
                    "kept": answer.larger,
                    "taken": taken,
                    "singular": entry.candidate.singular,
                    "outcome": _outcome(trial, answer, taken),
                }
            )

    def _remark(self, trial: Trial, answer: Answer, test: StepTest, taken: bool) -> str:
        """Why a candidate was taken or not, in words."""
        if trial.against is None:
            return "where the rule begins" if answer.able else "the rule begins with a simpler model"
        if not answer.able:
            return f"{trial.what}: not compared"
        found = self._evidence(answer, test)
        verb = "added" if trial.adds else "left out"
        if trial.step == ZERO:
            says = "they count" if answer.larger else "they add little"
            return f"without {trial.what}, which are tried again at the end ({found}: {says})"
        if taken:
            return f"{trial.what} {verb} ({found})"
        if trial.adds and answer.larger and answer.singular:
            return f"{trial.what} not added: the fit would be singular ({found})"
        if answer.larger == trial.adds:
            other = "another one has more for it" if trial.adds else "another one has less for it"
            return f"{trial.what} not {verb} in this step: {other} ({found})"
        return f"{trial.what} {'not added' if trial.adds else 'kept'} ({found})"

    def _evidence(self, answer: Answer, test: StepTest) -> str:
        if self.criterion == "lrt" and not np.isnan(test.p):
            side = "<=" if answer.larger else ">"
            exact = f"likelihood ratio {test.stat:.2f}, {test.reference}, p = {_p(test.p)}"
            note = "; ".join(part for part in test.note.split("; ") if part != ONE_VARIANCE)
            return f"{exact} {side} {self.alpha:g}" + (f"; {note}" if note else "")
        name = "AIC" if self.criterion == "lrt" else NAMES[self.criterion]
        way = "higher" if answer.ease > 0 else "lower"
        words = f"{name} of the larger model {abs(answer.ease):.2f} {way}"
        return f"{NO_DISTRIBUTION}; {words}" if self.criterion == "lrt" else words

    def _last_effect(self, end: Bars, base: Formula) -> None:
        """Where one variance is left: what its test says, though the last random effect stays."""
        last = self.entry(replace(base, random=end)).candidate
        found = last.estimates
        if found is None or found.problem.residual is not None:
            return
        if len(found.random) != 1 or len(found.random[0].names) != 1:
            return
        entry = self.entry(replace(base, random=()))
        if not entry.candidate.able:
            return
        entry.against, entry.decision = last.label, "rejected"
        entry.test = test = self._test(entry.candidate, last)
        words = f"likelihood ratio {test.stat:.2f}, {test.reference}, p = {_p(test.p)}"
        entry.remarks.append(f"the last random effect stays, whatever its test says ({words})")

    def best(self) -> Formula:
        """The formula of the least criterion; of equals the one with fewer parameters.

        Raises:
            FitError: No candidate could be fitted and compared.
        """
        able = [e for e in self.entries.values() if e.candidate.able and self.comparable(e.candidate)]
        if not able:
            raise FitError(_none_fitted(list(self.entries.values()), self))
        least = min(entry.candidate.measures[self.criterion] for entry in able)
        equal = [e.candidate for e in able if e.candidate.measures[self.criterion] <= least + APART]
        return min(equal, key=lambda candidate: candidate.measures["npar"]).formula

    def comparable(self, candidate: Candidate) -> bool:
        """Whether a candidate's likelihood may be compared with that of the others."""
        return not self.difference(candidate)

    def difference(self, candidate: Candidate) -> str:
        """Why its likelihood may not be compared with that of the others, or nothing."""
        if candidate.formula.response != self.base.response:
            return f"another response, `{candidate.formula.response}`"
        if not (self._same_means(candidate.formula) or not self.fits.reml):
            return "REML with another fixed part (use method ML)"
        like = [e.candidate for e in self.entries.values()]
        like = [one for one in like if one.estimates and one.formula.response == self.base.response]
        most = max(like, key=lambda one: one.measures["nobs"], default=candidate)
        own, whole = candidate.measures.get("nobs", 0.0), most.measures.get("nobs", 0.0)
        if own != whole:
            return f"other rows, {own:,.0f} where others have {whole:,.0f}"
        return "" if _same_rows(candidate, most) else f"{own:,.0f} other rows"

    def _same_means(self, formula: Formula) -> bool:
        return formula.response == self.base.response and set(formula.fixed) == set(self.base.fixed)


def _same_rows(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates use the same rows; one without random effects has those of the others."""
    if one.estimates is None or other.estimates is None or not (one.formula.random and other.formula.random):
        return True
    return np.array_equal(one.estimates.design.rows, other.estimates.design.rows)


def selection_of(ledger: CandidateLedger, rule: str, chosen: Formula, notices: Sequence[str]) -> Selection:
    """The choice with its tables.

    Raises:
        FitError: The formula that was chosen could not be fitted.
    """
    key, entries = str(chosen), list(ledger.entries.values())
    taken = ledger.entries[key].candidate
    if taken.error:
        raise FitError(taken.error)
    table = pd.DataFrame([_row(ledger, entry, rule, key) for entry in entries])
    for name in DISTANCES:
        values = table[name].where(table["comparable"])
        table[f"d_{name}"] = values - values.min()
    table["reason"] = [
        _reason(ledger, entry, row, rule)
        for entry, row in zip(entries, table.to_dict("records"), strict=True)
    ]
    table = table[[*HEAD, *(f"d_{name}" for name in DISTANCES), *TAIL]]
    shown = {c.label: c for c in (ledger.first, taken) if c is not None and c.components is not None}
    parts = [c.components.assign(candidate=label) for label, c in shown.items()]
    components = pd.concat(parts) if parts else pd.DataFrame(columns=[*COMPONENTS, "candidate"])
    return Selection(
        formula=key,
        rule=rule,
        criterion=ledger.criterion,
        alpha=ledger.alpha,
        note=_note(ledger),
        ending=_ending(taken, rule),
        table=table,
        path=pd.DataFrame(ledger.path, columns=PATH),
        components=components[["candidate", *COMPONENTS]].reset_index(drop=True),
        notices=tuple(dict.fromkeys(notices)),
    )


MEASURED = (*FACTS, *(part for name in CONDITIONAL_CRITERIA for part in (name, f"{name}_df")))
HEAD = ("candidate", "formula", *MEASURED)
TAIL = (
    "against",
    "stat",
    "df",
    "p",
    "reference",
    "singular",
    "direction",
    "converged",
    "evaluations",
    "chosen",
    "decision",
    "reason",
    "error",
)


def _row(ledger: CandidateLedger, entry: Entry, rule: str, chosen: str) -> dict[str, Any]:
    own, test = entry.candidate, entry.test
    here = str(own.formula) == chosen
    against, test = (entry.against, test) if rule in STEPWISE else _beside(ledger, entry, chosen)
    return {
        "candidate": own.label,
        "formula": str(own.formula),
        **{name: own.measures.get(name, np.nan) for name in MEASURED},
        "against": against,
        "stat": test.stat,
        "df": test.df,
        "p": test.p,
        "reference": "; ".join(filter(None, [test.reference, test.note])),
        "singular": own.singular,
        "direction": _direction(own),
        "converged": own.able,
        "evaluations": own.evaluations,
        "chosen": here,
        "decision": "chosen" if here else entry.decision,
        "comparable": ledger.comparable(own),
        "error": own.error,
    }


STEPWISE = ("maximal", "parsimonious", "backward", "forward")


def _beside(ledger: CandidateLedger, entry: Entry, chosen: str) -> tuple[str, StepTest]:
    """The test of a candidate against the chosen one, where one is a special case of the other."""
    own, other = entry.candidate, ledger.entries[chosen].candidate
    if own.formula == other.formula or not (own.able and other.able):
        return "", StepTest()
    if not (ledger.comparable(own) and ledger.comparable(other)):
        return "", StepTest()
    small, large = sorted((own, other), key=lambda c: c.measures["npar"])
    if small.measures["npar"] == large.measures["npar"]:
        return (other.label, StepTest(note=SAME)) if _same_model(own, other) else ("", StepTest())
    test = step_test(small, large, seed=ledger.seed)
    return (other.label, test) if test.reference else ("", StepTest())


SAME = "the same model, written otherwise"


def _same_model(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates with as many parameters have one likelihood everywhere."""
    a, b = one.estimates, other.estimates
    if a is None or b is None or abs(a.deviance - b.deviance) > APART or a.problem.residual is not None:
        return False
    if not (_plain(a) and _plain(b)):
        return False
    first, second = units(a.problem), units(b.problem)
    return embedding(first, second) is not None and embedding(second, first) is not None


def _plain(estimates: Estimates) -> bool:
    return all(term.plain and not term.structure.tag for term in estimates.problem.terms)


def _direction(candidate: Candidate) -> str:
    """Which directions have no variance, and how many of how many."""
    found = candidate.estimates
    if found is None or not candidate.directions:
        return ""
    return f"{_count(candidate)} without variance: {'; '.join(candidate.directions)}"


def _count(candidate: Candidate) -> str:
    found = candidate.estimates
    whole = sum(len(term.names) for term in found.random) if found else 0
    return f"{len(candidate.directions)} of {whole} directions"


def _obstacle(ledger: CandidateLedger, candidate: Candidate) -> str:
    """Why a candidate cannot be chosen, or nothing."""
    if candidate.error:
        return f"could not be fitted: {candidate.error}"
    if not ledger.comparable(candidate):
        return f"not comparable: {ledger.difference(candidate)}"
    return "" if candidate.able else "its search did not converge"


def _none_fitted(entries: Sequence[Entry], ledger: CandidateLedger | None = None) -> str:
    said = list[str]()
    for entry in entries:
        own = entry.candidate
        why = _obstacle(ledger, own) if ledger else f"could not be fitted: {own.error or 'no convergence'}"
        said.append(f"{own.label}: {why}")
    return "No candidate could be fitted and compared: " + "; ".join(said)


def _reason(ledger: CandidateLedger, entry: Entry, row: dict[Any, Any], rule: str) -> str:
    """Why a candidate was chosen or not, in words."""
    own, obstacle = entry.candidate, _obstacle(ledger, entry.candidate)
    singular = f"singular: {_count(own)} without variance" if own.singular else ""
    if rule in STEPWISE:
        remarks = entry.remarks or ["listed by the study, not on the way of the rule"]
        return "; ".join(filter(None, [obstacle, *dict.fromkeys(remarks), singular]))
    measure = "aic" if ledger.criterion == "lrt" else ledger.criterion
    name = NAMES[measure]
    if row["chosen"]:
        words = "the formula of the study" if rule == "fixed" else f"least {name}"
        return "; ".join(filter(None, [words, obstacle, singular]))
    least = (
        f"least {name}" if row[f"d_{measure}"] == 0 else f"{name} {row[f'd_{measure}']:.2f} above the least"
    )
    same = f"{SAME}, as {row['against']}" if row["reference"] == SAME else ""
    return "; ".join(filter(None, [obstacle or least, same, singular]))


def _note(ledger: CandidateLedger) -> str:
    """On what the comparison rests."""
    reml = ledger.fits.reml
    basis = "REML criteria, compared among equal fixed parts" if reml else "maximum likelihood"
    return f"AIC and BIC from {basis}; they count fixed effects, covariance parameters and sigma."


def _ending(taken: Candidate, rule: str) -> str:
    """Whether what was chosen is singular, and why it stands nevertheless."""
    if not taken.singular:
        return "The chosen model is not singular."
    what = f"The chosen model is singular: {'; '.join(taken.directions)}."
    if rule == "fixed":
        return f"{what} It is the formula of the study, and stands whatever its fit says."
    if rule == "best":
        return f"{what} Its criterion is the least among the candidates."
    if rule == "maximal":
        return (
            f"{what} It is the largest model that the design justifies, and the data show no variance there."
        )
    return f"{what} {_why_singular(taken)}"


def _why_singular(taken: Candidate) -> str:
    found = taken.estimates
    if found is not None and len(found.random) == 1 and len(found.random[0].names) == 1:
        return "It has one random effect left, which stays: rows of one group are not taken as independent."
    if any(has_correlations(bar) for bar in taken.formula.random):
        return (
            "Terms and correlations are taken in or left out as a whole, and each of these has enough for "
            "it; rule parsimonious takes no correlations in that make a fit singular."
        )
    return (
        "What has no variance there stays for what it belongs to: a slope or an interaction that contains "
        "it, or the other columns of its term, which as a whole has enough for it."
    )


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.2g}"
