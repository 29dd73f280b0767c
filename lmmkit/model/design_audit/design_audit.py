"""What a design can tell of the random effects, before any model is fitted: `design_audit`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.model.design.design import Design, Missing, Opened, on_rows, open_request
from lmmkit.model.design.learned import learn_recipe
from lmmkit.model.design.rows_used import Request
from lmmkit.model.design_audit.incidence import incidence
from lmmkit.model.design_audit.maximal import (
    AS_WRITTEN,
    BETWEEN,
    CONFOUNDED,
    JUSTIFIED,
    AuditedRows,
    FactorAudit,
    audit_factor,
    open_in_formula,
    settle,
)
from lmmkit.model.design_audit.within_levels import cells_of
from lmmkit.model.formula.formula import INTERCEPT, Bar, Formula, Term, parse_formula, term_name
from lmmkit.model.formula.residual_formula import parse_residual
from lmmkit.model.table.grouping import Grouping, relations, reused_labels, reused_within
from lmmkit.model.text_table import TablesAndParagraphs, TextTable

FEW = 5  # levels below which a variance between them is said to rest on few

SPREAD = ("least", "median", "most")
COLUMNS = [
    *("group", "term", "varies", "levels", "varying"),
    *(f"{of}_{which}" for of in ("rows", "cells", "cell_rows") for which in SPREAD),
    *("between_share", "effect", "replicated", "verdict", "in_formula", "reason"),
]


@dataclass(frozen=True, repr=False)
class DesignAudit(TablesAndParagraphs):
    """What the rows can tell of each grouping factor's effects, and the widest random part that they justify.

    Attributes:
        formula: The formula as given.
        maximal: The same with the maximal random part that the design justifies.
        table: A row for each grouping factor and fixed term: whether the term varies `within` the levels,
            only `between` them, or within some of them (`mixed`), and in how many (varying); rows a level,
            cells (values of the term) a level and rows a cell of a level: least, median, most; of a number
            the share of its variance that lies between levels; the random effect that the term asks for (of
            an interaction the combination of its factors that vary within); levels with more rows than the
            effects take up (replicated); the verdict, whether the formula has the effect, and the reason.
        relations: A row for each two grouping factors: fine, coarse, kind, cells that occur and that could.
        incidence: Which levels meet, in bins: what `plots.incidence` draws.
        notices: What the user should look at, in sentences.
    """

    formula: Formula
    maximal: Formula
    table: pd.DataFrame
    relations: pd.DataFrame
    incidence: pd.DataFrame
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The audit in plain values."""
        return {
            "formula": str(self.formula),
            "maximal": str(self.maximal),
            "table": self.table.astype(object).where(self.table.notna(), None).to_dict("records"),
            "relations": self.relations.to_dict("records"),
            "notices": list(self.notices),
        }

    def _blocks(self) -> list[TextTable | Sequence[str]]:
        notes = [[f"Note: {one}"] for one in self.notices]
        if not len(self.table):
            return [*notes]
        head = ("group", "term", "varies", "levels", "rows a level", "rows a cell", "effect", "verdict")
        cells = [head, *(_printed(row) for row in self.table.to_dict("records"))]
        random = " + ".join(map(str, self.maximal.random))
        most = [f"Maximal random part that the design justifies: {random}." if random else NONE_JUSTIFIED]
        related = [f"{said}." for said in self.relations["relation"]]
        refused = self.table[~self.table["verdict"].isin([JUSTIFIED, AS_WRITTEN])]
        why = [f"{row['group']}, {row['term']}: {row['reason']}." for row in refused.to_dict("records")]
        return [TextTable("What the design can tell of random effects", cells), why, related, most, *notes]


NONE_JUSTIFIED = "The design justifies no random effects: a model of independent rows is left."


def _printed(row: Mapping[Any, Any]) -> tuple[str, ...]:
    varies = row["varies"]
    if varies == "mixed":
        varies = f"in {row['varying']:,} level{'' if row['varying'] == 1 else 's'}"
    spreads = (_spread(row, "rows"), _spread(row, "cell_rows"))
    return (row["group"], row["term"], varies, f"{row['levels']:,}", *spreads, row["effect"], row["verdict"])


def _spread(row: Mapping[Any, Any], of: str) -> str:
    least, median, most = (row[f"{of}_{which}"] for which in SPREAD)
    return f"{least:,}" if least == most else f"{least:,} / {median:,.10g} / {most:,}"


def design_audit(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    residual: str | None = None,
    known: Mapping[str, Any] | None = None,
    contrasts: Mapping[str, Any] | None = None,
    missing: Missing = "drop",
    subset: str | None = None,
) -> DesignAudit:
    """Of each grouping factor of a formula and each fixed term: what the rows can tell, and what they cannot.

    Nothing is fitted, and the response is not looked at. A slope is justified where its columns vary within
    the levels, apart from the effects before it, and some level has more rows than all of them take up.

    Args:
        formula: The model; of its random part the grouping factors count, and terms with a pattern.
        data: A table, as for `lmm`.
        weights: As for `lmm`, and so are the others.
        offset: Changes nothing but the rows used.
        residual: A residual structure, which may hold what a random effect would.
        known: Known covariances of a factor's levels.
        contrasts: Codings of factors.
        missing: What happens to rows with a missing value.
        subset: A condition that the rows meet.

    Raises:
        FormulaError: The formula cannot be read.
        DataError: The table has no such column, or one that cannot be used.

    >>> frame = pd.DataFrame({"y": range(12), "x": [0, 1, 2] * 4, "z": [0] * 6 + [1] * 6})
    >>> frame["g"] = list("aaabbbcccddd")
    >>> audit = design_audit("y ~ x + z + (1 | g)", frame)
    >>> print(audit.maximal)
    y ~ 1 + x + z + (1 + x | g)
    >>> audit.table[["term", "varies", "verdict"]].to_records(index=False).tolist()
    [('Intercept', '', 'justified'), ('x', 'within', 'justified'), ('z', 'between', 'between')]
    """
    parsed = formula if isinstance(formula, Formula) else parse_formula(formula)
    structure = parse_residual(residual)
    asked = Request(parsed, weights, offset, contrasts or {}, missing, subset, None, structure)
    opened = open_request(asked, data, known)
    recipe, values = learn_recipe(parsed, opened.source, opened.request.contrasts)
    residuals = None if structure is None else on_rows(structure, opened.source)
    return _audited(AuditedRows(opened, recipe, values, residuals))


def audit_of(design: Design) -> DesignAudit:
    """The same of a design that is there."""
    groupings = {grouping.name: grouping for grouping in design.groupings}
    opened = Opened(design.request, design.source, groupings)
    values = design.recipe.values(design.source.evaluator, design.source.rows)
    return _audited(AuditedRows(opened, design.recipe, values, design.residual))


def _audited(rows: AuditedRows) -> DesignAudit:
    opened, parsed = rows.opened, rows.opened.request.formula
    audits = [audit_factor(group, bars, rows) for group, bars in _by_group(parsed)]
    settle(audits, rows)
    return DesignAudit(
        formula=parsed,
        maximal=replace(parsed, random=tuple(_bars(audits))),
        table=pd.DataFrame(list(chain.from_iterable(map(_table_rows, audits))), columns=COLUMNS),
        relations=_relations(opened),
        incidence=incidence(audits),
        notices=tuple(dict.fromkeys(_notices(parsed, opened, audits))),
    )


def _by_group(formula: Formula) -> list[tuple[Any, list[Bar]]]:
    """The formula's terms of each grouping factor, in the order written."""
    found: dict[str, tuple[Any, list[Bar]]] = {}
    for bar in formula.random:
        found.setdefault(bar.group.label, (bar.group, []))[1].append(bar)
    return list(found.values())


def _bars(audits: Sequence[FactorAudit]) -> Iterator[Bar]:
    for audit in audits:
        bar = audit.bar()
        if audit.as_written:
            yield from audit.bars
        elif bar is not None:
            yield bar


def _table_rows(audit: FactorAudit) -> Iterator[dict[str, Any]]:
    """One row for each fixed term, and for each effect of the formula that is none."""
    rows, levels = audit.rows, audit.levels
    own = {frozenset(term) for bar in audit.bars for term in bar.terms}
    for term, effect in audit.effect_of.items():
        cells = cells_of([rows.values[e] for e in term], rows.count)
        varying, (each, counts) = levels.varying(cells), levels.cell_counts(cells)
        varies = "within" if varying.all() else "mixed" if varying.any() else "between"
        yield {
            "group": audit.grouping.name,
            "term": term_name(term),
            "varies": varies if term else "",
            "levels": levels.size,
            "varying": int(varying.sum()),
            **_of("rows", levels.counts),
            **_of("cells", each),
            **_of("cell_rows", counts),
            "between_share": _between_share(audit, term),
            "effect": "" if effect is None else term_name(effect),
            "in_formula": effect is not None and frozenset(effect) in own,
            **_judged(audit, term, effect),
        }


def _of(name: str, counts: Any) -> dict[str, Any]:
    found = int(counts.min()), float(np.median(counts)), int(counts.max())
    return {f"{name}_{which}": value for which, value in zip(SPREAD, found, strict=True)}


def _between_share(audit: FactorAudit, term: Term) -> float:
    """Of a number the share of its variance that lies between the levels."""
    values = [audit.rows.values[e] for e in term]
    if len(values) != 1 or values[0].variable.kind != "number":
        return np.nan
    return audit.levels.between_share(values[0].numbers)


def _judged(audit: FactorAudit, term: Term, effect: Term | None) -> dict[str, Any]:
    if effect is None:
        reason = f"`{term_name(term)}` has one value in each level of {audit.name}"
        return {"replicated": 0, "verdict": BETWEEN, "reason": reason}
    verdict = audit.verdicts[effect]
    word = AS_WRITTEN if audit.as_written and verdict.word == JUSTIFIED else verdict.word
    reason = verdict.reason
    if effect != term:
        constant = " and ".join(f"`{e}`" for e in term if e not in effect)
        reason = (
            f"{constant} constant within the levels, so the effect is that of `{term_name(effect)}`: {reason}"
        )
    return {"replicated": verdict.replicated, "verdict": word, "reason": reason}


def _relations(opened: Opened) -> pd.DataFrame:
    """How each two grouping factors lie to each other."""
    groupings = sorted(opened.groupings.values(), key=lambda grouping: -grouping.size)
    sizes, rows = {grouping.name: grouping.size for grouping in groupings}, list[tuple[Any, ...]]()
    for one in relations(groupings):
        possible, kind = sizes[one.fine] * sizes[one.coarse], one.kind
        said = f"{one.fine} is nested in {one.coarse}"
        if kind == "crossed":
            kind = "fully crossed" if one.cells == possible else "partly crossed"
            said = f"{one.fine} and {one.coarse} are {kind}: {one.cells:,} of {possible:,} cells occur"
        rows.append((one.fine, one.coarse, kind, one.cells, possible, said))
    return pd.DataFrame(rows, columns=["fine", "coarse", "kind", "cells", "possible", "relation"])


def _notices(formula: Formula, opened: Opened, audits: Sequence[FactorAudit]) -> Iterator[str]:
    """What the user should look at."""
    if not audits and opened.request.residual is None:
        yield f"`{formula}` names no grouping factor: add (1 | g) for the units that rows are of."
    yield from reused_labels(list(opened.groupings.values()))
    vain = {bar: list(_asked_in_vain(audit, bar)) for audit in audits for bar in audit.bars}
    yield from chain.from_iterable(vain.values())
    for bars, residual in open_in_formula(audits, audits[0].rows) if audits else []:
        if bars and not any(vain[bar] for bar in bars):
            names = [f"`{bar.text}`" for bar in bars] + ["the residuals"] * residual
            yield (
                f"The formula's own variances and covariances of {' and '.join(names)} cannot be told apart "
                "by these rows, beside its fixed effects: leave one out."
            )
    for audit in audits:
        yield from _reused_within_terms(audit)
        if audit.split and audit.width() > 1:
            yield audit.split
        if audit.as_written:
            yield f"{audit.name}: its terms have a pattern of their own, and stay as the formula has them."
        if 1 < audit.levels.size < FEW and audit.justified:
            yield (
                f"{audit.name} has {audit.levels.size} levels: a variance between so few is known very "
                "roughly, and a fixed effect may serve as well."
            )


def _reused_within_terms(audit: FactorAudit) -> Iterator[str]:
    """Labels that begin anew within each level of a fixed factor, or of a number with two values."""
    for expression in dict.fromkeys(chain.from_iterable(audit.effect_of)):
        cells = cells_of([audit.rows.values[expression]], audit.rows.count)
        size = int(cells.max()) + 1
        if audit.rows.values[expression].variable.kind == "factor" or size == 2:
            labels = np.array([str(level) for level in range(size)], object)
            parent = Grouping(expression.text, cells, size, ((labels, np.arange(size)),))
            said = reused_within(audit.grouping, parent)
            if said is not None:
                yield said


def _asked_in_vain(audit: FactorAudit, bar: Bar) -> Iterator[str]:
    """Effects that a term of the formula has and the design does not justify."""
    for term in () if audit.as_written else bar.terms:
        effect = audit.effect_of.get(term)
        verdict = None if effect is None else audit.verdicts[effect]
        name = f"`{bar.text}`: `{term_name(term)}`"
        if verdict is None:
            yield f"{name} has one value in each level of {audit.name}: none shows a slope of its own."
        elif verdict.word not in (JUSTIFIED, CONFOUNDED):
            yield f"{name} is not justified by the design: {verdict.reason}."
        elif effect != term:
            part = term_name(effect or INTERCEPT)
            yield f"{name}: of it `{part}` alone varies within the levels of {audit.name}."
