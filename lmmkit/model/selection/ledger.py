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
from lmmkit.model.formula.formula import Formula
from lmmkit.model.selection.candidates import CONDITIONAL_CRITERIA, FACTS, Candidate, Candidates
from lmmkit.model.selection.random_parts import Bars, has_correlations, spelled
from lmmkit.model.selection.step_tests import NO_DISTRIBUTION, StepTest, step_test
from lmmkit.model.selection.term_components import COLUMNS as COMPONENTS
from lmmkit.model.selection.walks import WALKS, ZERO, Answer, Trial, Walk, verdict
from lmmkit.model.text_table import TablesAndParagraphs, TextTable

DISTANCES = ("deviance", "aic", "bic", "caic")
NAMES = {"lrt": "likelihood ratio", "aic": "AIC", "bic": "BIC", "caic": "cAIC"}
SAME = "the same model, written otherwise"
PATH = (
    *("step", "stage", "candidate", "against", "what", "stat", "df", "p"),
    *("higher", "kept", "taken", "singular", "outcome"),
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
        kept = ("formula", "rule", "criterion", "alpha", "note", "ending")
        return {
            **{name: getattr(self, name) for name in kept},
            "notices": list(self.notices),
            "candidates": self.table.to_dict("records"),
            **{name: getattr(self, name).to_dict("records") for name in ("path", "components", "residuals")},
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
            label = spelled(formula.random) if self._same_means(formula) else key
            candidate = replace(self.fits.of(formula, label), label=label)
            self.entries[key] = Entry(candidate, decision="shown" if candidate.able else "failed")
        return self.entries[key]

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
                following, here = (), stop.value
                end = here
            self._write(number, trials, answers, here, base)
            trials, number = following, number + 1
        if not self.entry(replace(base, random=end)).candidate.able:
            raise FitError(self._none_fitted())
        self._last_effect(end, base)
        return end

    def _answer(self, trial: Trial, base: Formula) -> Answer:
        own = self.entry(replace(base, random=trial.bars)).candidate
        if self.first is None:
            self.first = own
        if trial.against is None or not own.able:
            return Answer(own.able, own.singular)
        small, large = self._pair(trial, base)
        test = self.test(small, large)
        if self.criterion == "lrt" and not np.isnan(test.p):
            return Answer(True, own.singular, test.p <= self.alpha, test.p)
        if self.criterion == "caic":
            higher = large.measures["caic"] - small.measures["caic"]
            if abs(higher) <= APART:  # one fit, to rounding: the larger model has nothing for it
                higher = 0.0
            return Answer(True, own.singular, higher < 0, higher)
        gain = small.measures["deviance"] - large.measures["deviance"]
        added, nobs = int(large.measures["npar"] - small.measures["npar"]), int(small.measures["nobs"])
        return Answer(True, own.singular, *verdict(gain, added, nobs, self.criterion, self.alpha, None))

    def _pair(self, trial: Trial, base: Formula) -> tuple[Candidate, Candidate]:
        assert trial.against is not None
        own, other = (self.entry(replace(base, random=b)).candidate for b in (trial.bars, trial.against))
        return (other, own) if trial.adds else (own, other)

    def test(self, small: Candidate, large: Candidate) -> StepTest:
        """The test of a smaller candidate in a larger one, made once."""
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
            entry, test, against = self.entry(replace(base, random=trial.bars)), StepTest(), ""
            taken = trial.bars == here and answer.able
            if trial.against is not None:
                test = self.test(*self._pair(trial, base)) if answer.able else test
                against = spelled(trial.against)
                entry.against, entry.test = against, test
            entry.remarks.append(
                remark(trial, answer, evidence(self.criterion, self.alpha, answer, test), taken)
            )
            if entry.candidate.able and not (entry.decision == "step" and not taken):
                entry.decision = "step" if taken else "rejected"
            self.path.append(
                {
                    "step": number,
                    "stage": trial.step,
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
                    "outcome": outcome(trial, answer, taken),
                }
            )

    def _last_effect(self, end: Bars, base: Formula) -> None:
        """Where one variance is left: what its test says, though the last random effect stays."""
        last = self.entry(replace(base, random=end)).candidate
        found = last.estimates
        if found is None or found.problem.residual is not None or not _one_effect(last):
            return
        entry = self.entry(replace(base, random=()))
        if not entry.candidate.able:
            return
        entry.against, entry.decision = last.label, "rejected"
        entry.test = test = self.test(entry.candidate, last)
        entry.remarks.append(f"the last random effect stays, whatever its test says ({_tested(test)})")

    def best(self) -> Formula:
        """The formula of the least criterion; of equals the one with fewer parameters.

        Raises:
            FitError: No candidate could be fitted and compared.
        """
        able = [e.candidate for e in self.entries.values() if not self.obstacle(e.candidate)]
        if not able:
            raise FitError(self._none_fitted())
        least = min(candidate.measures[self.criterion] for candidate in able)
        equal = [one for one in able if one.measures[self.criterion] <= least + APART]
        return min(equal, key=lambda candidate: candidate.measures["npar"]).formula

    def difference(self, candidate: Candidate) -> str:
        """Why its likelihood may not be compared with that of the others, or nothing."""
        if candidate.formula.response != self.base.response:
            return f"another response, `{candidate.formula.response}`"
        if self.fits.reml and not self._same_means(candidate.formula):
            return "REML with another fixed part (use method ML)"
        return ""

    def obstacle(self, candidate: Candidate) -> str:
        """Why a candidate cannot be chosen, or nothing."""
        if candidate.error:
            return f"could not be fitted: {candidate.error.removesuffix('.')}"
        if why := self.difference(candidate):
            return f"not comparable: {why}"
        return "" if candidate.able else "its search did not converge"

    def _none_fitted(self) -> str:
        said = [f"{e.candidate.label}: {self.obstacle(e.candidate)}" for e in self.entries.values()]
        return f"No candidate could be fitted and compared: {'; '.join(said)}."

    def _same_means(self, formula: Formula) -> bool:
        return formula.response == self.base.response and set(formula.fixed) == set(self.base.fixed)


def outcome(trial: Trial, answer: Answer, taken: bool) -> str:
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


def remark(trial: Trial, answer: Answer, found: str, taken: bool) -> str:
    """Why a candidate was taken or not, in words; `found` is the evidence."""
    if trial.against is None:
        return "where the rule begins" if answer.able else "the rule begins with a simpler model"
    if not answer.able:
        return f"{trial.what}: not compared"
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


def evidence(criterion: str, alpha: float, answer: Answer, test: StepTest) -> str:
    """What speaks for the larger of two models or against it: the test, or how far its criterion is off."""
    if criterion == "lrt" and not np.isnan(test.p):
        note = "; ".join(part for part in test.note.split("; ") if part not in ("", ONE_VARIANCE))
        return f"{_tested(test)} {'<=' if answer.larger else '>'} {alpha:g}" + (f"; {note}" if note else "")
    name = "AIC" if criterion == "lrt" else NAMES[criterion]
    way = "higher" if answer.ease > 0 else "lower"
    words = f"{name} of the larger model {abs(answer.ease):.2f} {way}"
    return f"{NO_DISTRIBUTION}; {words}" if criterion == "lrt" else words


def _tested(test: StepTest) -> str:
    p = f"{test.p:.3f}" if test.p >= 0.001 else f"{test.p:.2g}"
    return f"likelihood ratio {test.stat:.2f}, {test.reference}, p = {p}"


def selection_of(ledger: CandidateLedger, rule: str, chosen: Formula, notices: Sequence[str]) -> Selection:
    """The choice with its tables.

    Raises:
        FitError: The formula that was chosen could not be fitted.
    """
    entries = list(ledger.entries.values())
    taken = ledger.entries[str(chosen)].candidate
    if taken.error:
        raise FitError(taken.error)
    compared = [e.candidate.measures for e in entries if not ledger.difference(e.candidate)]
    known = pd.DataFrame(compared, columns=[*DISTANCES]).astype(float)
    table = pd.DataFrame([_row(ledger, entry, rule, taken, known.min()) for entry in entries])
    shown = {c.label: c for c in (ledger.first, taken) if c is not None and c.components is not None}
    parts = [c.components.assign(candidate=label) for label, c in shown.items()]
    components = pd.concat(parts) if parts else pd.DataFrame(columns=[*COMPONENTS, "candidate"])
    basis = "REML criteria, compared among equal fixed parts" if ledger.fits.reml else "maximum likelihood"
    return Selection(
        formula=str(chosen),
        rule=rule,
        criterion=ledger.criterion,
        alpha=ledger.alpha,
        note=f"AIC and BIC from {basis}; they count fixed effects, covariance parameters and sigma.",
        ending=ending(taken, rule),
        table=table,
        path=pd.DataFrame(ledger.path, columns=[*PATH]),
        components=components[["candidate", *COMPONENTS]].reset_index(drop=True),
        notices=tuple(dict.fromkeys(notices)),
    )


MEASURED = (*FACTS, *(part for name in CONDITIONAL_CRITERIA for part in (name, f"{name}_df")))


def _row(
    ledger: CandidateLedger, entry: Entry, rule: str, chosen: Candidate, least: pd.Series[float]
) -> dict[str, Any]:
    own, here = entry.candidate, entry.candidate is chosen
    alike = not ledger.difference(own)
    against, test = (entry.against, entry.test) if rule in WALKS else _beside(ledger, own, chosen)
    measures = {name: own.measures.get(name, np.nan) for name in MEASURED}
    above = {name: measures[name] - float(least[name]) if alike else np.nan for name in DISTANCES}
    reference = "; ".join(filter(None, [test.reference, test.note]))
    obstacle = ledger.obstacle(own)
    if rule in WALKS:
        why = [
            obstacle,
            *(dict.fromkeys(entry.remarks) or ["listed by the study, not on the way of the rule"]),
        ]
    else:
        same = f"{SAME}, as {against}" if reference == SAME else ""
        criterion = "aic" if ledger.criterion == "lrt" else ledger.criterion
        why = reasons(rule if here else "", criterion, above[criterion], obstacle, same)
    singular = f"singular: {_count(own)} without variance" if own.singular else ""
    return {
        "candidate": own.label,
        "formula": str(own.formula),
        **measures,
        **{f"d_{name}": value for name, value in above.items()},
        "against": against,
        "stat": test.stat,
        "df": test.df,
        "p": test.p,
        "reference": reference,
        "singular": own.singular,
        "direction": f"{_count(own)} without variance: {'; '.join(own.directions)}" if own.directions else "",
        "converged": own.able,
        "evaluations": own.evaluations,
        "chosen": here,
        "decision": "chosen" if here else entry.decision,
        "reason": "; ".join(filter(None, [*why, singular])),
        "error": own.error,
    }


def reasons(chosen_by: str, criterion: str, above: float, obstacle: str, same: str) -> list[str]:
    """Why a candidate of a list was chosen or not: its rule, or how far its criterion is above the least."""
    name = NAMES[criterion]
    if chosen_by:
        return ["the formula of the study" if chosen_by == "fixed" else f"least {name}", obstacle]
    return [obstacle or (f"least {name}" if above == 0 else f"{name} {above:.2f} above the least"), same]


def _beside(ledger: CandidateLedger, own: Candidate, chosen: Candidate) -> tuple[str, StepTest]:
    """The test of a candidate against the chosen one, where one is a special case of the other."""
    if own is chosen or ledger.obstacle(own) or ledger.obstacle(chosen):
        return "", StepTest()
    small, large = sorted((own, chosen), key=lambda c: c.measures["npar"])
    if small.measures["npar"] == large.measures["npar"]:
        return (chosen.label, StepTest(note=SAME)) if _same_model(own, chosen) else ("", StepTest())
    test = ledger.test(small, large)
    return (chosen.label, test) if test.reference else ("", StepTest())


def _same_model(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates with as many parameters have one likelihood everywhere."""
    a, b = one.estimates, other.estimates
    if a is None or b is None or abs(a.deviance - b.deviance) > APART or a.problem.residual is not None:
        return False
    if not all(term.plain and not term.structure.tag for e in (a, b) for term in e.problem.terms):
        return False
    first, second = units(a.problem), units(b.problem)
    return embedding(first, second) is not None and embedding(second, first) is not None


def _count(candidate: Candidate) -> str:
    return f"{len(candidate.directions)} of {candidate.effects} directions"


def _one_effect(candidate: Candidate) -> bool:
    found = candidate.estimates
    return found is not None and [len(term.names) for term in found.random] == [1]


def ending(taken: Candidate, rule: str) -> str:
    """Whether what was chosen is singular, and why it stands nevertheless."""
    if not taken.singular:
        return "The chosen model is not singular."
    if rule == "fixed":
        why = "It is the formula of the study, and stands whatever its fit says."
    elif rule == "best":
        why = "Its criterion is the least among the candidates."
    elif rule == "maximal":
        why = "It is the largest model that the design justifies, and the data show no variance there."
    elif _one_effect(taken):
        why = "It has one random effect left, which stays: rows of one group are not taken as independent."
    elif any(has_correlations(bar) for bar in taken.formula.random):
        why = (
            "Terms and correlations are taken in or left out as a whole, and each of these has enough for "
            "it; rule parsimonious takes no correlations in that make a fit singular."
        )
    else:
        why = (
            "What has no variance there stays for what it belongs to: a slope or an interaction that "
            "contains it, or the other columns of its term, which as a whole has enough for it."
        )
    return f"The chosen model is singular: {'; '.join(taken.directions)}. {why}"
