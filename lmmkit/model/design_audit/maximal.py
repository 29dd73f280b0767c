"""The random part that a design justifies: of each grouping factor the effects that its levels can show.

Of each grouping factor an intercept where some level has several rows; of each fixed term the combination of
highest order of its factors that vary within the levels (Barr, Levy, Scheepers & Tily 2013; Barr 2013 for
interactions), where some level has more rows than all effects before and with it take up; all correlations.
What is left is asked of the restricted likelihood as a whole, and what it cannot tell apart is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.problem import Problem
from lmmkit.engine.problem import Term as ProblemTerm
from lmmkit.engine.variance_tests.undetermined import undetermined
from lmmkit.errors import FormulaError
from lmmkit.model.design.design import Opened
from lmmkit.model.design.learned import Recipe, columns_of
from lmmkit.model.design.residual_design import ResidualDesign
from lmmkit.model.design.variables import Values, coded_products
from lmmkit.model.design_audit.within_levels import ALIKE, Levels, Span, cells_of
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.formula import INTERCEPT, Bar, Term, by_degree, term_name
from lmmkit.model.formula.groups import Group
from lmmkit.model.formula.residual_formula import refuse_absorbed
from lmmkit.model.table.columns import Floats
from lmmkit.model.table.grouping import Grouping, same_grouping

MOST_COLUMNS = 60  # of a term of one factor: 1,830 variances and covariances
PLAIN = ("", "diag")

JUSTIFIED = "justified"
BETWEEN = "between"
UNREPLICATED = "no replication"
UNSEEN = "combinations unseen"
TOO_WIDE = "too few levels"
CONFOUNDED = "not told apart"
AS_WRITTEN = "as written"


@dataclass(frozen=True)
class Verdict:
    """What may be said of one random effect of a grouping factor.

    Attributes:
        word: justified, or why not.
        reason: In a sentence.
        replicated: Levels with more rows than it and the effects before it take up.
        shown: Levels in which it varies apart from the effects before it.
    """

    word: str
    reason: str
    replicated: int
    shown: int


@dataclass(frozen=True, eq=False)
class AuditedRows:
    """A table on the rows used: what every factor's audit starts from."""

    opened: Opened
    recipe: Recipe
    values: Mapping[Expression, Values]
    residual: ResidualDesign | None

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.opened.source.count

    def columns(self, terms: Sequence[Term]) -> list[list[tuple[str, Floats]]]:
        """Named columns of each of some terms, coded in their order."""
        products = coded_products(terms, self.recipe.variables)
        return [columns_of(one, self.values, self.count) for one in products]

    def width(self, term: Term) -> int:
        """Columns that a term has at most."""
        each = (len(self.recipe.variables[e].names(reduced=True)) for e in term)
        return int(np.prod([1, *each]))


@dataclass(eq=False)
class FactorAudit:
    """The effects of one grouping factor.

    Attributes:
        group: As the formula writes it.
        grouping: Its levels.
        levels: The rows of each.
        verdicts: By effect.
        effect_of: For each fixed term the effect that it asks for; None: it is constant within levels.
        split: Why the effects stand without correlations, in a sentence; empty: they have them.
    """

    group: Group
    grouping: Grouping
    levels: Levels
    rows: AuditedRows = field(repr=False)
    bars: tuple[Bar, ...]
    verdicts: dict[Term, Verdict] = field(default_factory=dict[Term, Verdict])
    effect_of: dict[Term, Term | None] = field(default_factory=dict[Term, "Term | None"])
    split: str = ""
    columns: dict[Term, list[tuple[str, Floats]]] = field(
        default_factory=dict[Term, "list[tuple[str, Floats]]"]
    )

    @property
    def name(self) -> str:
        """The factor as a sentence has it."""
        return f"`{self.grouping.name}`"

    @property
    def as_written(self) -> bool:
        """Whether its terms have a pattern, and stay as the formula has them."""
        return any(bar.tag not in PLAIN or bar.positions for bar in self.bars)

    @property
    def justified(self) -> list[Term]:
        """The effects that stand."""
        return [term for term, verdict in self.verdicts.items() if verdict.word == JUSTIFIED]

    def bar(self) -> Bar | None:
        """The widest term of it that stands."""
        terms = tuple(self.justified)
        if not terms:
            return None
        bar = Bar(terms, self.group, "", bool(self.split) and self.width() > 1)
        return replace(bar, text=str(bar))

    def width(self) -> int:
        """Columns of the effects that stand."""
        return sum(len(self.columns[term]) for term in self.justified)

    def refuse(self, term: Term, word: str, reason: str) -> None:
        """An effect falls, and those of which it is a margin with it."""
        for other, verdict in self.verdicts.items():
            if verdict.word == JUSTIFIED and set(term) <= set(other) and (term or other == term):
                self.verdicts[other] = replace(verdict, word=word, reason=reason)


def audit_factor(group: Group, bars: Sequence[Bar], rows: AuditedRows) -> FactorAudit:
    """What one grouping factor can show.

    Args:
        group: The factor.
        bars: The formula's terms of it.
        rows: The table.
    """
    grouping = rows.opened.groupings[group.label]
    audit = FactorAudit(group, grouping, Levels(grouping), rows, tuple(bars))
    formula = rows.opened.request.formula
    own = [term for bar in bars if not bar.positions for term in bar.terms]
    wanted = dict.fromkeys([INTERCEPT, *formula.fixed, *own])
    within = {
        e: bool(audit.levels.varying(cells_of([rows.values[e]], rows.count)).any())
        for e in dict.fromkeys(chain.from_iterable(wanted))
    }
    for term in wanted:
        part = tuple(e for e in term if within[e])
        audit.effect_of[term] = part if part or not term else None
    effects = dict[frozenset[Expression], Term]()
    for effect in by_degree(tuple(e for e in audit.effect_of.values() if e is not None)):
        effects.setdefault(frozenset(effect), effect)
    audit.effect_of = {
        term: None if effect is None else effects[frozenset(effect)]
        for term, effect in audit.effect_of.items()
    }
    _judge(audit, list(effects.values()))
    return audit


def _judge(audit: FactorAudit, effects: list[Term]) -> None:
    """One effect after the other, beside those that stand."""
    kept = [effect for effect in effects if audit.rows.width(effect) <= MOST_COLUMNS]
    audit.columns = dict(zip(kept, audit.rows.columns(kept), strict=True))
    seen: list[tuple[str, Floats]] = []
    span = Span(audit.levels)
    for effect in effects:
        fallen = next(
            (m for m in effects if m and m != effect and set(m) < set(effect) and not _stands(audit, m)), None
        )
        if fallen is not None:
            verdict = audit.verdicts[fallen]
            reason = f"{_said(effect)} holds {_said(fallen)}, which is left out: {verdict.reason}"
            audit.verdicts[effect] = replace(verdict, reason=reason)
            continue
        if effect not in audit.columns:
            width = audit.rows.width(effect)
            reason = f"{_said(effect)} has {width:,} columns, more than the {MOST_COLUMNS} that are looked at"
            audit.verdicts[effect] = Verdict(TOO_WIDE, reason, 0, 0)
            continue
        wider = span.with_columns([values for _, values in audit.columns[effect]])
        verdict = _verdict(audit, effect, span, wider, seen)
        audit.verdicts[effect] = verdict
        if verdict.word == JUSTIFIED:
            span, seen = wider, [*seen, *audit.columns[effect]]


def _stands(audit: FactorAudit, effect: Term) -> bool:
    return effect not in audit.verdicts or audit.verdicts[effect].word == JUSTIFIED


def _verdict(
    audit: FactorAudit, effect: Term, span: Span, wider: Span, seen: Sequence[tuple[str, Floats]]
) -> Verdict:
    """Of an effect beside those that stand."""
    replicated, shown = int(wider.replicated.sum()), int((wider.rank > span.rank).sum())
    name, columns, rank = audit.name, audit.columns[effect], int(wider.rank.max())
    able = replicated or audit.grouping.known is not None or audit.grouping.members
    if audit.levels.size < 2:
        word, reason = TOO_WIDE, f"{name} has one level, and a variance between levels needs two at least"
    elif follows := _following(seen, columns):
        word = UNSEEN
        reason = f"the column `{follows}` follows from those of the effects before it in these rows"
    elif shown <= len(columns):
        word = TOO_WIDE if shown else BETWEEN
        which = "no level" if not shown else "one level alone" if shown == 1 else f"{shown} levels alone"
        show = "show" if shown > 1 else "shows"
        reason = f"{which} of {name} {show} {_said(effect)} apart from the effects before it"
    elif able:
        word, reason = JUSTIFIED, _replication(audit, replicated, rank)
        if shown < audit.levels.size:
            reason += f"; {shown:,} of {audit.levels.size:,} levels show {_said(effect)}"
    elif effect:
        word = UNREPLICATED
        reason = (
            f"no level of {name} has more rows than its {rank} effects with {_said(effect)} take up, so "
            "its variance cannot be told from the residual's"
        )
    else:
        word, reason = (
            UNREPLICATED,
            f"each level of {name} has one row, whose residual cannot be told from it",
        )
    return Verdict(word, reason, replicated, shown)


def _replication(audit: FactorAudit, replicated: int, rank: int) -> str:
    if not replicated:
        return "what is known of its levels tells it from the residuals, though no level has rows to spare"
    more = "more than one row" if rank == 1 else f"more rows than the {rank} effects take up"
    if replicated == audit.levels.size:
        return f"every level has {more}"
    return f"{replicated:,} of {audit.levels.size:,} levels {'has' if replicated == 1 else 'have'} {more}"


def _said(effect: Term) -> str:
    return f"`{term_name(effect)}`"


def _following(seen: Sequence[tuple[str, Floats]], columns: Sequence[tuple[str, Floats]]) -> str:
    """The first of some columns that follows from those before it in all rows, or nothing."""
    first, *others = [values for _, values in [*seen, *columns]]
    square = float(first @ first) or 1.0  # the intercept: what is constant is taken off the others
    matrix = np.column_stack([first, *(x - (x @ first / square) * first for x in others)])
    matrix /= np.maximum(np.linalg.norm(matrix, axis=0), np.finfo(float).tiny)
    sizes = np.abs(np.diag(np.linalg.qr(matrix)[1]))
    bad: list[int] = np.flatnonzero(sizes[len(seen) :] < ALIKE).tolist()
    return columns[bad[0]][0] if bad else ""


def settle(audits: Sequence[FactorAudit], rows: AuditedRows) -> None:
    """Leave out what the data cannot tell apart, and correlations for which there are too few levels."""
    groupings = [audit.grouping for audit in audits]
    same = same_grouping(groupings)
    if same is not None:
        second = next(audit for audit in audits[::-1] if audit.grouping.name in same)
        other = next(name for name in same if name != second.grouping.name)
        _refuse_all(second, f"{second.name} and `{other}` divide the rows alike: one of them is enough")
    for audit in audits:
        _absorb(audit)
        width = audit.width()
        if width >= audit.levels.size:  # of one level no effect stands
            audit.split = (
                f"{audit.name} has {audit.levels.size} levels for a covariance matrix of {width} effects, "
                "whose estimate could only be singular: they stand without correlations."
            )
    while found := undetermined(_problem_of(_terms(audits), rows)):
        _lessen(audits, rows, len(found), found[0])


def _refuse_all(audit: FactorAudit, reason: str) -> None:
    for term in audit.justified:
        audit.verdicts[term] = replace(audit.verdicts[term], word=CONFOUNDED, reason=reason)


def _absorb(audit: FactorAudit) -> None:
    """Leave out what the residuals of the same groups hold already."""
    residual, bar = audit.rows.residual, audit.bar()
    if residual is None or residual.subjects is None or bar is None:
        return
    if same_grouping([residual.subjects, audit.grouping]) is None:
        return
    try:
        refuse_absorbed(bar, residual.formula)
    except FormulaError:
        _refuse_all(
            audit, f"the residual structure {residual.formula} holds the covariances within {audit.name}"
        )


def _terms(audits: Sequence[FactorAudit]) -> list[tuple[FactorAudit, list[Floats], str]]:
    """The terms of the effects that stand: one of each factor, or one of each effect."""
    terms = list[tuple[FactorAudit, list[Floats], str]]()
    for audit in audits:
        if audit.justified and not audit.as_written:
            mine = [values for term in audit.justified for _, values in audit.columns[term]]
            terms += [(audit, columns, "") for columns in ([[x] for x in mine] if audit.split else [mine])]
    return terms


def _problem_of(terms: Sequence[tuple[FactorAudit, list[Floats], str]], rows: AuditedRows) -> Problem:
    """The design with some terms: of a factor, with columns, and the tag of their structure."""
    fixed = [x for block in rows.columns(rows.opened.request.formula.fixed) for _, x in block]
    store, made = list(fixed), list[ProblemTerm]()
    for audit, columns, tag in terms:
        places = tuple(range(len(store), len(store) + len(columns)))
        store += columns
        grouping, structure = audit.grouping, structure_of(tag, len(columns))
        relation = grouping.known.relationship if grouping.known else None
        of = grouping.codes, grouping.size, places, structure, grouping.members, relation
        made.append(ProblemTerm(0, *of))
    weights = rows.opened.source.weights(rows.opened.request.weights)
    residual = rows.residual.arrays if rows.residual else None
    zero = np.zeros(rows.count)
    return Problem(tuple(store), tuple(range(len(fixed))), zero, tuple(made), weights, None, residual)


def open_in_formula(audits: Sequence[FactorAudit], rows: AuditedRows) -> list[tuple[list[Bar], bool]]:
    """Terms of the formula, as it has them, whose variances cannot be told apart; whether from the residuals.

    Terms over positions, and of more columns than are looked at, are left aside.
    """
    terms, bars = list[tuple[FactorAudit, list[Floats], str]](), list[Bar]()
    for audit in audits:
        for bar in audit.bars:
            if bar.positions or sum(map(rows.width, bar.terms)) > MOST_COLUMNS:
                continue
            mine = [values for block in rows.columns(bar.terms) for _, values in block]
            own = [(audit, [x], "") for x in mine] if bar.split else [(audit, mine, bar.tag)]
            terms += own
            bars += [bar] * len(own)
    found = list[tuple[list[Bar], bool]]()
    for involved in undetermined(_problem_of(terms, rows)) if terms else []:
        own = list(dict.fromkeys(bars[i] for i in sorted(involved) if i < len(bars)))
        found.append((own, len(bars) in involved))
    return found


def _lessen(
    audits: Sequence[FactorAudit], rows: AuditedRows, open_ways: int, involved: frozenset[int]
) -> None:
    """Leave out the least number of parameters after which fewer of them cannot be told apart.

    Args:
        audits: The factors.
        rows: The table.
        open_ways: Number of dependences.
        involved: The terms of one of them.
    """
    terms = [audit for audit, *_ in _terms(audits)]
    able = list(dict.fromkeys(terms[i] for i in sorted(involved) if i < len(terms)))
    if not able:
        raise AssertionError("the residual's own parameters are refused with the structure")
    beside = [audit.name for audit in able] + ["the residuals"] * (len(terms) in involved)
    ways = sorted((way for audit in able for way in _ways(audit)), key=lambda way: way[0])
    for last in (False, True):
        for _, audit, term in ways:
            before = audit.split, dict(audit.verdicts)
            if term is None:
                audit.split = (
                    f"{audit.name}: the variances and covariances of its {audit.width()} effects cannot all "
                    f"be told apart by these rows ({' and '.join(beside)}): they stand without correlations."
                )
            else:
                reason = (
                    f"beside {_others(audit, able, len(terms) in involved)} its variance cannot be told apart"
                )
                audit.refuse(term, CONFOUNDED, reason)
            if last or len(undetermined(_problem_of(_terms(audits), rows))) < open_ways:
                return
            audit.split, audit.verdicts = before
    raise AssertionError("there is a way where there is a term")


def _others(audit: FactorAudit, able: Sequence[FactorAudit], residual: bool) -> str:
    """What an effect is not told apart from: other factors, the residuals, or what stands without them."""
    names = " and ".join(other.name for other in able if other is not audit)
    found = [f"the effects of {names}"] * bool(names) + ["the residuals"] * residual
    return " and ".join(found) or ("its other effects" if audit.width() > 1 else "the fixed effects")


def _ways(audit: FactorAudit) -> Iterator[tuple[int, FactorAudit, Term | None]]:
    """Parameters lost, and what goes: the correlations (None), or the last effect."""
    width, last = audit.width(), audit.justified[-1]
    left = width - len(audit.columns[last])
    if audit.split:
        yield width - left, audit, last
        return
    yield (width * (width + 1) - left * (left + 1)) // 2, audit, last
    if width > 1:
        yield width * (width - 1) // 2, audit, None
