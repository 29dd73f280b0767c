"""How often a rule of selection is wrong on one's own design: Type I error and power of the whole pipeline.

Responses are drawn from a fitted model, with the effect that the study asks about set to zero and as
estimated. The rule chooses the random effects anew for each, and the effect is tested in the model chosen;
beside it stand the maximal model and the one with intercepts alone, with the same responses.

Reference: Barr, Levy, Scheepers & Tily (2013), Journal of Memory and Language 68, 255; Matuschek, Kliegl,
Vasishth, Baayen & Bates (2017), Journal of Memory and Language 94, 305.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.replicates.refit import refit
from lmmkit.errors import FitError
from lmmkit.model.design.design import Design
from lmmkit.model.estimates import Estimates
from lmmkit.model.fit import Fit
from lmmkit.model.formula.formula import Formula, parse_candidate, parse_formula, term_name
from lmmkit.model.inference.anova import hypotheses
from lmmkit.model.inference.degrees_of_freedom import denominators
from lmmkit.model.inference.distributions import f_tails
from lmmkit.model.means.focus import find_focus
from lmmkit.model.options import Seed, check_level, check_option, seed_of, whole
from lmmkit.model.resampling.simulate import Simulator
from lmmkit.model.selection.candidates import Candidate, Candidates, shared_rows
from lmmkit.model.selection.random_parts import Bars, intercepts, lattice, simpler, spelled
from lmmkit.model.selection.select import RULES, largest_part
from lmmkit.model.selection.step_tests import mixture_between
from lmmkit.model.selection.walks import Mixture, Refits, decide, default_criterion
from lmmkit.model.text_table import TablesAndParagraphs, TextTable
from lmmkit.model.threads import one_thread

MOST_NUMBERS = 20_000_000  # rows times responses that are kept at a time
CRITERIA = ("lrt", "aic", "bic")
MAXIMAL, LEAST = "maximal", "intercepts only"
Flags = NDArray[np.bool_]


@dataclass(frozen=True, repr=False)
class ErrorRates(TablesAndParagraphs):
    """Type I error and power of a rule of selection on a design, by simulation.

    Attributes:
        focus: The fixed term that is tested.
        truth: The formula of the model that responses are drawn from.
        truth_note: Why it is this one, in a sentence.
        test: How the effect is tested, in a sentence.
        level: Level of the test.
        replicates: Responses without the effect, and as many with it.
        seed: Of the random numbers.
        table: A row for the rule, the maximal model and the one with intercepts alone: procedure, type1,
            type1_se, power, power_se (Monte Carlo standard errors), used (responses without the effect that
            could be tested), failed (of both kinds, that could not), singular (share of the models tested
            that are), found (share in which the model tested is the one drawn from), model (the most
            frequent one) and its share.
        models: A row for each procedure and model that it ended with: how many of the responses, without the
            effect and with it, and the degrees of freedom of its test.
    """

    focus: str
    truth: str
    truth_note: str
    test: str
    level: float
    replicates: int
    seed: int
    table: pd.DataFrame
    models: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """The rates in plain values."""
        kept = ("focus", "truth", "truth_note", "test", "level", "replicates", "seed")
        tables = {name: getattr(self, name).to_dict("records") for name in ("table", "models")}
        return {name: getattr(self, name) for name in kept} | tables

    def _blocks(self) -> list[TextTable | Sequence[str]]:
        head = (
            "procedure",
            "Type I error",
            "MC error",
            "power",
            "MC error",
            "singular",
            "most frequent model",
        )
        cells = [head, *map(_printed, self.table.to_dict("records"))]
        title = f"Tests of {self.focus} at level {self.level:g}"
        lost = int(self.table["failed"].max())
        failed = f" Up to {lost:,} responses of a row could not be tested, and are left out." if lost else ""
        drawn = (
            f"{self.replicates:,} responses without the effect and as many with it, drawn from {self.truth} "
            f"({self.truth_note}); seed {self.seed}."
        )
        return [TextTable(title, cells, numbers_right=True), [drawn], [f"{self.test}.{failed}"]]


def _printed(row: Mapping[Any, Any]) -> tuple[str, ...]:
    rates = (f"{row[name]:.4f}" for name in ("type1", "type1_se", "power", "power_se"))
    return (row["procedure"], *rates, f"{row['singular']:.0%}", f"{row['model']} ({row['model_share']:.0%})")


def error_rates(
    formula: str | Formula,
    data: Any,
    focus: str | None = None,
    *,
    rule: str = "parsimonious",
    candidates: str | Sequence[str] = "auto",
    criterion: str | None = None,
    alpha: float = 0.2,
    n: int = 1000,
    level: float = 0.05,
    df: str = "auto",
    truth: Fit | None = None,
    seed: Seed = 0,
    workers: int = 1,
    reml: bool = True,
    **options: Any,
) -> ErrorRates:
    """Type I error and power of the choice of random effects and the test that follows it, on this design.

    Args:
        formula: The model as first thought of.
        data: A table, as for `lmm`.
        focus: The fixed term that is tested, by its name or that of a column; by default the first one.
        rule: How the random effects are chosen, as for `select`; "fixed" keeps those of `formula`.
        candidates: What rule "best" chooses among.
        criterion: lrt, aic or bic; by default what the rule has by default.
        alpha: Level of the rule's tests.
        n: Responses without the effect, and as many with it.
        level: Level of the test of the effect.
        df: Method of its degrees of freedom. They and the adjustment of standard errors are those of each
            model fitted to the data, held for all responses.
        truth: What responses are drawn from; by default the maximal model, or the largest one simpler than it
            whose fit is not singular.
        seed: Seed of the random numbers; response i does not depend on how many there are.
        workers: Threads; the numbers do not depend on it.
        reml: Restricted maximum likelihood.
        options: Further arguments of `lmm`: weights, offset, residual, known, contrasts, missing, subset.

    Raises:
        FitError: An option that is not offered, no random effects to choose, or too many numbers.
        FormulaError: The formula cannot be read.
    """
    count = whole("n", n, "responses")
    check_option("rule", rule, RULES)
    check_level("level", level)
    check_level("alpha", alpha, 0.2)
    base = formula if isinstance(formula, Formula) else parse_formula(formula)
    largest, _ = largest_part(base, data, options)
    widest = replace(base, random=largest)
    data, options, _ = shared_rows(base, [widest], data, options)
    fits = Candidates(widest, data, reml=reml, options=options, conditional=False)
    drawn, note = _truth(fits, base, largest) if truth is None else (truth.estimates, "as given")
    settled = check_simulation(drawn.design, rule, criterion, count)
    tested = _Tested(drawn, focus, df)
    bank = _Bank(
        fits, base, Simulator(drawn, seed_of(seed)), tested, count, whole("workers", workers, "workers")
    )
    listed = [base.random] if rule == "fixed" else _listed(base, candidates)
    words = _in_words(rule, settled, alpha)
    ends: dict[str, list[Bars]] = {}
    with one_thread():
        if rule in ("fixed", "best"):
            ends[words] = bank.least(listed, settled)
        else:
            ends[words] = bank.ends(rule, largest, settled, alpha)
        if rule != MAXIMAL:
            ends[MAXIMAL] = bank.ends(MAXIMAL, largest, "aic", alpha)
        ends[LEAST] = bank.ends(MAXIMAL, intercepts(largest), "aic", alpha)
    rows = [bank.rates(name, chosen, level) for name, chosen in ends.items()]
    models = [row for name, chosen in ends.items() for row in bank.models(name, chosen)]
    return ErrorRates(
        focus=tested.name,
        truth=drawn.design.formula,
        truth_note=note,
        test=tested.words,
        level=level,
        replicates=count,
        seed=bank.source.seed,
        table=pd.DataFrame(rows),
        models=pd.DataFrame(models),
    )


def check_simulation(design: Design, rule: str, criterion: str | None, count: int) -> str:
    """What the rule goes by, after a look at whether its errors can be simulated at all.

    Raises:
        FitError: There is nothing to choose, a criterion that is not offered, or there are too many numbers.
    """
    if not design.random:
        raise FitError(
            f"`{design.formula}` has no random effects, and so no choice whose errors could be simulated."
        )
    settled = "aic" if rule in ("fixed", MAXIMAL) else criterion or default_criterion(rule)
    if settled == "caic":
        raise FitError(
            "criterion='caic': error rates are simulated for 'lrt', 'aic' and 'bic', which need the "
            "deviance of a response alone."
        )
    check_option("criterion", settled, CRITERIA)
    if rule == "best" and settled == "lrt":
        raise FitError("criterion='lrt' orders no list of candidates: rule 'best' takes 'aic' or 'bic' here.")
    rows = len(design.problem.response)
    if rows * count > MOST_NUMBERS:
        raise FitError(
            f"{count:,} responses of {rows:,} rows are {rows * count:,} numbers, more than the "
            f"{MOST_NUMBERS:,} that are kept: ask for {max(MOST_NUMBERS // rows, 1):,} at most."
        )
    return settled


def _in_words(rule: str, criterion: str, alpha: float) -> str:
    if rule in ("fixed", MAXIMAL):
        return "the formula" if rule == "fixed" else MAXIMAL
    return f"{rule} ({criterion}{f', alpha {alpha:g}' if criterion == 'lrt' else ''})"


def _listed(base: Formula, candidates: str | Sequence[str]) -> list[Bars]:
    if isinstance(candidates, str):
        check_option("candidates", candidates, ("auto",))
        return lattice(base.random)
    return [parse_candidate(text, base).random for text in candidates]


def _truth(fits: Candidates, base: Formula, largest: Bars) -> tuple[Estimates, str]:
    """The model that responses are drawn from: the maximal one, or the largest one that is not singular.

    Raises:
        FitError: None can be fitted.
    """
    current = [largest]
    for step in range(100):
        found = [fits.of(replace(base, random=bars)) for bars in current]
        able = [one for one in found if one.able]
        good = [one for one in able if not one.singular]
        if good:
            best = max(good, key=lambda one: one.measures["npar"])
            note = "the maximal model as fitted"
            if step:
                note = "the largest model below the maximal one whose fit is not singular"
            return _estimates(best), note
        if not able and not step:
            able = found
        bars = min(able, key=lambda one: one.measures.get("deviance", 0.0)).formula.random
        current = [n.bars for n in simpler(bars) if n.bars]
        if not current:
            break
    last = fits.of(replace(base, random=intercepts(largest)))
    return _estimates(last), "the model with intercepts alone, every larger one being singular"


def _estimates(candidate: Candidate) -> Estimates:
    if candidate.estimates is None:
        raise FitError(f"`{candidate.formula}` could not be fitted: {candidate.error}")
    return candidate.estimates


class _Tested:
    """The hypothesis, and the degrees of freedom of its test in each model.

    Attributes:
        name: The term.
        L: (q, p) its rows on the kept coefficients.
    """

    def __init__(self, drawn: Estimates, focus: str | None, df: str) -> None:
        formula = drawn.design.recipe.formula
        self.name, self.df = find_focus(drawn.design, focus).term, df
        self.place = [term_name(each) for each in formula.fixed].index(self.name)
        term = formula.fixed[self.place]
        stated = hypotheses(drawn)
        self.L: Floats = stated.rows(self.place, 3) if term else np.eye(len(drawn.beta))[:1]
        if not len(self.L):
            raise FitError(
                f"The data can estimate nothing of `{self.name}`: there is no test whose errors count."
            )

    @property
    def words(self) -> str:
        """How it is tested."""
        kind = "t test" if len(self.L) == 1 else f"F test of {len(self.L)} rows"
        return (
            f"The {kind} of {self.name} is that of the model chosen for each response; its degrees of "
            f"freedom (method {self.df}) and the adjustment of standard errors are those of that model's fit "
            "to the data, and held"
        )

    def zero(self, drawn: Estimates) -> Floats:
        """(n,) what is taken from the mean so that the hypothesis holds and the fit is hurt least."""
        C = drawn.unscaled_vcov @ self.L.T
        return drawn.X @ (C @ np.linalg.solve(self.L @ C, self.L @ drawn.beta))

    def held(self, model: Estimates) -> tuple[float, float]:
        """Degrees of freedom of the test in a model, and the factor of its plain statistic."""
        by = denominators(model, self.df)
        columns = model.design.fixed_terms[self.place].columns
        df, scale = by.joint(self.L, [model.kept.index(c) for c in columns if c in model.kept])
        plain, adjusted = model.covariance_of_beta.between(self.L), by.vcov.between(self.L)
        return df, scale * float(np.trace(np.linalg.solve(adjusted, plain))) / len(self.L)


class _TestedModel(NamedTuple):
    """One model, and what it found in the responses that asked for it.

    Attributes:
        model: The model fitted to the data.
        p: (2 r,) of the test of the effect; NaN of responses that did not ask, or could not be tested.
        singular: (2 r,) whether its fit is.
        df: Degrees of freedom of the test.
        factor: Of its plain statistic.
    """

    model: Candidate
    p: Floats
    singular: Flags
    df: float
    factor: float


class _Bank:
    """Responses, and what each model finds in them: first those without the effect, then those with it."""

    def __init__(
        self, fits: Candidates, base: Formula, source: Simulator, tested: _Tested, count: int, workers: int
    ) -> None:
        self.fits, self.base, self.source, self.tested = fits, base, source, tested
        self.count, self.workers = count, workers
        self.drawn, self.effect = source.draw(0, count), tested.zero(source.estimates)
        self.found: dict[Bars, _TestedModel] = {}

    def ends(self, rule: str, largest: Bars, criterion: str, alpha: float) -> list[Bars]:
        """The random part that a rule ends with for each response."""
        rows = self.source.estimates.nobs
        return decide(
            rule,
            largest,
            2 * self.count,
            self.fit,
            self._reference,
            nobs=rows,
            criterion=criterion,
            alpha=alpha,
        )

    def least(self, listed: Sequence[Bars], criterion: str) -> list[Bars]:
        """The listed random part of the least criterion for each response; of equals the first."""
        everyone = np.arange(2 * self.count)
        made = [self.fit(bars, everyone) for bars in listed]
        rows = self.source.estimates.nobs
        price = np.log(rows) if criterion == "bic" else 2.0
        values = [np.where(one.converged, one.deviance + price * one.npar, np.inf) for one in made]
        return [listed[i] for i in np.argmin(np.array(values), axis=0).tolist()]

    def _model(self, bars: Bars) -> Candidate:
        return self.fits.of(replace(self.base, random=bars))

    def _reference(self, small: Bars, large: Bars) -> Mixture | None:
        one, other = self._model(small).estimates, self._model(large).estimates
        return None if one is None or other is None else mixture_between(one, other)

    def _begun(self, bars: Bars) -> _TestedModel:
        model, size = self._model(bars), 2 * self.count
        able = model.estimates is not None and model.estimates.nobs == self.source.estimates.nobs
        held = self.tested.held(model.estimates) if able and model.estimates else (np.nan, np.nan)
        return _TestedModel(model, np.full(size, np.nan), np.zeros(size, bool), *held)

    def fit(self, bars: Bars, which: Ints) -> Refits:
        """Fit a random part to some responses, and test the effect in each."""
        if bars not in self.found:
            self.found[bars] = self._begun(bars)
        found, none = self.found[bars], np.zeros(len(which), bool)
        estimates = found.model.estimates
        if estimates is None or np.isnan(found.factor):
            return Refits(np.full(len(which), np.nan), none, none, 0)

        def responses(first: int, size: int) -> Floats:
            mine = which[first : first + size]
            return self.drawn[:, mine % self.count] - np.outer(self.effect, mine < self.count)

        made = refit(
            estimates.problem,
            responses,
            len(which),
            reml=estimates.reml,
            rho=estimates.rho if estimates.problem.residual else None,
            workers=self.workers,
            functions=self.tested.L,
        )
        value = made.beta @ self.tested.L.T
        able = np.flatnonzero(made.converged & np.isfinite(value).all(axis=1))
        inverse = np.linalg.solve(made.function_variances[able], value[able][:, :, None])[:, :, 0]
        F = found.factor * np.einsum("rq,rq->r", value[able], inverse) / value.shape[1]
        found.p[which[able]] = f_tails(F, value.shape[1], found.df)
        found.singular[which] = made.singular
        return Refits(made.deviance, made.singular, made.converged, estimates.npar)

    def rates(self, procedure: str, ends: Sequence[Bars], level: float) -> dict[str, Any]:
        """How often the effect is found in the models that a procedure ended with."""
        p = np.array([self.found[bars].p[i] for i, bars in enumerate(ends)])
        singular = [self.found[bars].singular[i] for i, bars in enumerate(ends)]
        truth = frozenset(self.source.estimates.design.recipe.formula.random)
        (model, times), *_ = Counter(ends).most_common(1)
        null, other = (_rate(part, level) for part in (p[: self.count], p[self.count :]))
        return {
            "procedure": procedure,
            "type1": null[0],
            "type1_se": null[1],
            "power": other[0],
            "power_se": other[1],
            "used": int(np.isfinite(p[: self.count]).sum()),
            "failed": int(np.isnan(p).sum()),
            "singular": float(np.mean(singular)),
            "found": float(np.mean([frozenset(bars) == truth for bars in ends])),
            "model": spelled(model),
            "model_share": times / len(ends),
        }

    def models(self, procedure: str, ends: Sequence[Bars]) -> Iterator[dict[str, Any]]:
        """The models that a procedure ended with, the most frequent first."""
        null, other = Counter(ends[: self.count]), Counter(ends[self.count :])
        for bars, _ in Counter(ends).most_common():
            yield {
                "procedure": procedure,
                "model": spelled(bars),
                "without_effect": null[bars],
                "with_effect": other[bars],
                "df": self.found[bars].df,
            }


def _rate(p: Floats, level: float) -> tuple[float, float]:
    """The share of tests that reject, and its Monte Carlo standard error."""
    known = p[np.isfinite(p)]
    if not len(known):
        return np.nan, np.nan
    times, count = int((known <= level).sum()), len(known)
    near = (times + 0.5) / (count + 1.0)  # Jeffreys: no rate is known exactly, 0 and 1 neither
    return times / count, float(np.sqrt(near * (1.0 - near) / count))
