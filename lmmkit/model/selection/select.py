"""`select`: candidate random effects side by side, a rule that chooses, and the ledger of all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from lmmkit.errors import FitError, FormulaError
from lmmkit.model.design_audit.design_audit import design_audit
from lmmkit.model.fit import lmm
from lmmkit.model.formula.formula import Bar, Formula, parse_candidate, parse_formula
from lmmkit.model.formula.residual_formula import IID, parse_residual
from lmmkit.model.options import check_level, check_option, names_of
from lmmkit.model.selection.candidates import Candidates, shared_rows
from lmmkit.model.selection.ledger import CandidateLedger, Selection, selection_of
from lmmkit.model.selection.random_parts import Bars, lattice, spelled
from lmmkit.model.selection.residual_structures import residual_structures, row_of
from lmmkit.model.selection.walks import WALKS, default_criterion
from lmmkit.model.table.known import known_of

RULES = ("fixed", "maximal", "parsimonious", "backward", "forward", "best")
CRITERIA = ("lrt", "aic", "bic", "caic")
AUDITED = ("weights", "offset", "residual", "known", "contrasts", "missing", "subset")
CONDITIONAL = 50_000  # rows times covariance parameters of the largest candidate up to which cAIC is told


def select(
    formula: str,
    data: Any,
    *,
    rule: str = "fixed",
    candidates: str | Sequence[str] = "auto",
    criterion: str | None = None,
    alpha: float = 0.2,
    reml: bool = True,
    seed: int = 0,
    residuals: Sequence[str] = (),
    focus: str | None = None,
    **options: Any,
) -> Selection:
    """Fit candidate random-effects structures and choose one by a rule; every candidate stays in the ledger.

    "maximal", "parsimonious", "backward" and "forward" begin from the maximal random part that the design
    justifies (see `design_audit`), or from that of `formula` where it is wider. Each step compares two models
    of one fixed part. By "lrt" a variance is tested on the boundary of its domain. A slope stays while an
    interaction that contains it does; the intercept of a group goes last, and the last random effect stays.

    Args:
        formula: The model as first thought of.
        data: A table, as for `lmm`.
        rule: "fixed" keeps `formula` and shows the others beside it; "best" takes the least criterion;
            "maximal" takes the maximal model; "parsimonious" leaves the correlations out, then terms step by
            step, then tries the correlations again; "backward" leaves out correlations and terms, "forward"
            adds them, in each step the one with least, or most, for it.
        candidates: Random parts such as `(1 | g)`, or whole formulas: all that "best" chooses among, and
            what the other rules show beside theirs. "auto": under "fixed" and "best" the random part of
            `formula` reduced step by step, else nothing.
        criterion: "lrt" (of the rules that go step by step, and their default), "aic" (the default of the
            others), "bic", or "caic", the conditional AIC.
        alpha: Level of the tests: what has a larger p is left out.
        reml: Restricted maximum likelihood, under which only equal fixed parts can be compared.
        seed: Of simulated reference distributions.
        residuals: Residual structures under which the chosen model is fitted too, side by side: "iid",
            "ar1(visit | id)" and so on. They are shown, not chosen among.
        focus: The coefficient whose estimate and standard error are told under each of them.
        options: Further arguments of `lmm`.

    Raises:
        FitError: No candidate can be fitted and compared, or an option is not offered.
        FormulaError: A candidate cannot be read.

    Reference: Barr, Levy, Scheepers & Tily (2013), Journal of Memory and Language 68, 255-278; Bates, Kliegl,
    Vasishth & Baayen (2015), arXiv:1506.04967; Matuschek, Kliegl, Vasishth, Baayen & Bates (2017), Journal of
    Memory and Language 94, 305-315.

    >>> y, g = [3.0, 4, 7, 6, 9, 12, 2, 2, 5], list("aaabbbccc")
    >>> frame = pd.DataFrame({"y": y, "x": [0, 1, 2] * 3, "g": g})
    >>> select("y ~ x + (1 | g)", frame).table["candidate"].tolist()
    ['(1 | g)']
    >>> select("y ~ x + (1 | g)", frame, rule="parsimonious").formula
    'y ~ 1 + x + (1 | g)'
    """
    check_option("rule", rule, RULES)
    criterion = default_criterion(rule) if criterion is None else criterion
    check_option("criterion", criterion, CRITERIA)
    check_level("alpha", alpha, 0.2)
    _check_criterion(rule, criterion, options)
    base, notices = parse_formula(formula), list[str]()
    listed = [] if rule in WALKS and candidates == "auto" else _listed(base, candidates)
    if rule in WALKS:
        largest, notices = largest_part(base, data, options)
        compared_in = base
        widest = replace(base, random=largest)
    else:
        if rule == "fixed" and str(base) not in map(str, listed):
            listed = [base, *listed]
        widest = max(listed, key=lambda f: sum(len(bar.terms) for bar in f.random))
        same = (one for one in listed if set(one.fixed) == set(base.fixed) and one.response == base.response)
        compared_in = next(same, widest)
    data, options, lost = shared_rows(base, [widest, *listed], data, options)
    fits = _candidates(widest, data, reml, options, criterion)
    ledger = CandidateLedger(fits, compared_in, criterion, alpha, seed)
    end = ledger.walk(WALKS[rule](widest.random), base) if rule in WALKS else base.random
    for one in listed:
        ledger.entry(one)
    chosen = ledger.best() if rule == "best" else replace(base, random=end)
    found = selection_of(ledger, rule, chosen, (*base.notices, *notices, *lost))
    return _with_residuals(found, residuals, focus, data, reml, options)


def _with_residuals(
    found: Selection,
    residuals: Sequence[str],
    focus: str | None,
    data: Any,
    reml: bool,
    options: Mapping[str, Any],
) -> Selection:
    """The choice with the chosen model under other residual structures beside it."""
    if not residuals:
        return found
    given: dict[str, Any] = {**options, "reml": reml}
    given["known"] = known_of(options.get("known"), parse_formula(found.formula))
    fit = lmm(found.formula, data, **given)
    L, quantity = row_of(fit, focus)
    own = IID if fit.design.residual is None else str(fit.design.residual.formula)
    texts = [str(parse_residual(text) or IID) for text in residuals]
    told = list(dict.fromkeys([own, *texts]))
    table = residual_structures(fit, told, data, given, L=L, quantity=quantity)
    return replace(found, residuals=table)


def _check_criterion(rule: str, criterion: str, options: Mapping[str, Any]) -> None:
    """Refuse a criterion that the rule has no use for, or the model none.

    Raises:
        FitError: It is such a one.
    """
    if criterion == "lrt" and rule == "best":
        raise FitError(
            "criterion='lrt' orders no list of candidates: rule 'best' takes 'aic', 'bic' or 'caic'. Tests "
            "go step by step, by rule 'parsimonious', 'backward' or 'forward'."
        )
    if criterion == "caic" and parse_residual(options.get("residual")) is not None:
        raise FitError(
            "criterion='caic' is that of independent residuals, and this model has a residual structure: "
            "choose by 'aic' or 'bic'."
        )


def _candidates(
    widest: Formula, data: Any, reml: bool, options: Mapping[str, Any], criterion: str
) -> Candidates:
    """Fits that begin with the widest model, whose cross-products serve the others."""
    free = parse_residual(options.get("residual")) is None
    fits = Candidates(widest, data, reml=reml, options=options, conditional=criterion == "caic")
    first = fits.of(widest)
    size = first.estimates.nobs * len(first.estimates.theta) if first.estimates else CONDITIONAL + 1
    if criterion != "caic" and free and size <= CONDITIONAL:
        fits = Candidates(widest, data, reml=reml, options=options, conditional=True)
    return fits


def _listed(base: Formula, candidates: str | Sequence[str]) -> list[Formula]:
    """Every candidate once."""
    if isinstance(candidates, str):
        if candidates != "auto":
            raise FitError(
                f"candidates={candidates!r}: 'auto' is expected, or a list of random parts or formulas, such "
                "as ['(1 | g)', '(x | g)']."
            )
        found = [replace(base, random=part) for part in lattice(base.random)]
    else:
        found = [parse_candidate(text, base) for text in names_of("candidates", candidates)]
        if not found:
            raise FitError("candidates=[]: there is nothing to choose among; name some, such as '(1 | g)'.")
    return list({str(one): one for one in found}.values())


def largest_part(base: Formula, data: Any, options: Mapping[str, Any]) -> tuple[Bars, list[str]]:
    """Where a walk begins: the maximal random part of the design, group by group, or a wider one as written.

    Raises:
        FormulaError: There is none.
    """
    audit = design_audit(base, data, **{name: options[name] for name in AUDITED if name in options})
    if not audit.maximal.random:
        raise FormulaError(
            f"`{base}`: the design justifies no random effects, so that there is nothing to choose. "
            + " ".join(audit.notices)
        )
    own, most, bars, notices = base.random, audit.maximal.random, list[Bar](), list(audit.notices)
    for label in dict.fromkeys(bar.group.label for bar in (*most, *own)):
        mine = [bar for bar in own if bar.group.label == label]
        theirs = [bar for bar in most if bar.group.label == label]
        beyond = _terms(mine) - _terms(theirs)
        if theirs and not beyond:
            bars += theirs
        elif theirs:
            bars += mine
            notices.append(
                f"`{spelled(tuple(mine))}` is wider than what the design justifies "
                f"(`{spelled(tuple(theirs))}`): the choice begins with it, as written."
            )
        else:
            notices.append(
                f"`{spelled(tuple(mine))}` is left out of the maximal model: {_why(audit.table, label)}."
            )
    return tuple(bars), notices


def _terms(bars: Sequence[Bar]) -> set[frozenset[Any]]:
    return {frozenset(term) for bar in bars for term in bar.terms}


def _why(table: pd.DataFrame, label: str) -> str:
    reasons: Iterator[str] = (r for r in table.loc[table["group"] == label, "reason"] if r)
    return next(reasons, "the design does not justify it")
