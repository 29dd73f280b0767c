"""A fit in words and tables, for a terminal and for a notebook, and as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.patterned import PatternedStructure
from lmmkit.escape import html, terminal
from lmmkit.model import tables
from lmmkit.model.certificate import Certificate
from lmmkit.model.design.residual_design import ResidualDesign, VisitDesign
from lmmkit.model.estimates import Estimates
from lmmkit.model.formula.residual_formula import IID
from lmmkit.model.inference.linear_functions import coef_table
from lmmkit.model.inference.open_directions import not_identified
from lmmkit.model.text_table import Cells, TextTable

MOST_CELLS, MOST_PARAMETERS = 20, 40  # of a residual structure, that are printed
SHOWN = 6  # significant digits, fewer when the certificate supports fewer


@dataclass(frozen=True)
class Summary:
    """What there is to say of a fit.

    Attributes:
        title: What was fitted, and how.
        formula: The model.
        alarm: What is wrong with the fit, loudly; empty when nothing is.
        facts: Sizes and criteria, in sentences.
        tables: Random and fixed effects.
        notes: Convergence, certificate, and what to look at, in sentences.
    """

    title: str
    formula: str
    alarm: tuple[str, ...]
    facts: tuple[str, ...]
    tables: tuple[TextTable, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        alarm = [terminal(f"*** {sentence} ***") for sentence in self.alarm]
        top, facts, notes = (
            "\n".join(map(terminal, lines)) for lines in ((self.title, self.formula), self.facts, self.notes)
        )
        parts = [*alarm, top, facts, *(table.text() for table in self.tables), notes]
        return "\n\n".join(part for part in parts if part)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        style = "border:2px solid #b00020;padding:0.5em;font-weight:bold"
        alarm = "".join(f'<p role="alert" style="{style}">{html(text)}</p>' for text in self.alarm)
        top = f"<p><b>{html(self.title)}</b><br><code>{html(self.formula)}</code></p>"
        return (
            alarm
            + top
            + _paragraph(self.facts)
            + "".join(table.html() for table in self.tables)
            + _paragraph(self.notes)
        )


def summarise(estimates: Estimates, certificate: Certificate) -> Summary:
    """The summary of a fit that has been checked."""
    digits = min(SHOWN, certificate.digits) if certificate.passed else SHOWN
    how = "by restricted maximum likelihood (REML)" if estimates.reml else "by maximum likelihood (ML)"
    how = how if estimates.design.held is None else "at variances that are given"
    return Summary(
        title=f"Linear {'mixed model' if estimates.random else 'model'} {how}",
        formula=_formula(estimates),
        alarm=tuple(_alarm(estimates, certificate)),
        facts=tuple(_facts(estimates)),
        tables=(*_variance_tables(estimates, digits), _fixed_table(estimates, digits)),
        notes=tuple(_notes(estimates, certificate)),
    )


def _alarm(estimates: Estimates, certificate: Certificate) -> Iterator[str]:
    if not estimates.converged:
        yield f"NOT CONVERGED: {estimates.algorithm} stopped before its rule was met; see fit.trace."
    if not certificate.passed:
        yield certificate.sentence()


def _facts(estimates: Estimates) -> Iterator[str]:
    design, n, deviance = estimates.design, estimates.nobs, estimates.deviance
    given = design.source.table.rows
    groups = "; groups: " + ", ".join(f"{g.name} {g.size:,}" for g in design.groupings)
    dropped = "" if n == given else f" ({given - n:,} of {given:,} dropped for missing values)"
    residual = design.residual
    subjects = _subjects(residual) if residual else ""
    yield f"{n:,} rows{design.within}{dropped}{groups if design.groupings else ''}{subjects}."
    if residual and estimates.random:
        yield f"{_random_words(estimates)}; {residual.words[:1].lower()}{residual.words[1:]}"
    elif residual:
        yield residual.words
    for group in design.groupings:
        if group.known is not None:
            seen = int(group.observed.sum())
            yield f"Relatives: {group.name} is {group.known.words}; {seen:,} with rows."
        if group.members:
            yield f"Members: a row has up to {len(group.members)} levels of {group.name}, each by its weight."
    beside = (("prior weights", estimates.problem.weights), ("an offset", estimates.problem.offset))
    if known := [what for what, given in beside if given is not None]:
        yield f"{' and '.join(known).capitalize()}."
    if design.held is not None:
        yield "Variances are held as given, not estimated; tests and intervals take them as known."
    kind = "REML criterion" if estimates.reml else "Deviance"
    yield (
        f"{kind} {deviance:.4f}, log-likelihood {-deviance / 2:.4f}, AIC {estimates.aic:.4f}, "
        f"BIC {estimates.bic:.4f}, {estimates.npar} parameters."
    )


def _formula(estimates: Estimates) -> str:
    """The formula, with the residual structure as `lmm` takes it."""
    residual = estimates.design.residual
    return estimates.formula + (f", residual = {residual.formula}" if residual else "")


def _subjects(residual: ResidualDesign) -> str:
    """How many subjects there are, with how many visits or rows."""
    if residual.subjects is None or residual.subjects.size == 1:
        return ""
    rows = np.bincount(residual.subjects.codes)
    least, most = int(rows.min()), int(rows.max())
    each = f"{most}" if least == most else f"{least} to {most}"
    what = ("groups", "rows") if residual.formula.fades else ("subjects", "visits")
    return f"; {residual.subjects.size:,} {what[0]} ({residual.subjects.name}) of {each} {what[1]}"


def _random_words(estimates: Estimates) -> str:
    """What varies between levels: `A random intercept and slope of Time for each Rat`."""
    parts = list[str]()
    for term in estimates.random:
        slopes = [name for name in term.names if name != "Intercept"]
        only = ["intercept"] if len(slopes) < len(term.names) else []
        of = f"{'slope' if len(slopes) == 1 else 'slopes'} of {', '.join(slopes)}" if slopes else ""
        parts.append(f"a random {' and '.join([*only, *filter(None, [of])])} for each {term.factor}")
    told = ", ".join(parts)
    return told[:1].upper() + told[1:]


def _variance_tables(estimates: Estimates, digits: int) -> Iterator[TextTable]:
    """Variances of random effects and residual; under a residual structure its SDs and its parameters."""
    residual = estimates.design.residual
    over = residual if isinstance(residual, VisitDesign) else None
    if over is None or estimates.random:
        yield _random_table(estimates, digits)
    if residual is None:
        return
    few = over is not None and len(over.cells) <= MOST_CELLS
    if over and few:
        yield _cells_table(estimates, over, digits)
    if residual.formula.correlation != "un" or not few:
        told = tables.residual_params(estimates)
        rows: Cells = [("parameter", "estimate"), ("Residual.sd", _number(estimates.sigma, digits))]
        rows += [(str(name), _number(value, digits)) for name, value in told.items()][:MOST_PARAMETERS]
        left = len(told) - MOST_PARAMETERS
        more = f" ({left} more in residual_params)" if left > 0 else ""
        yield TextTable(f"Parameters of the residual structure{more}", rows, numbers_right=True)


def _cells_table(estimates: Estimates, residual: VisitDesign, digits: int) -> TextTable:
    """Variance and SD of the residuals of each cell, and its correlations with the earlier ones."""
    V, seen = estimates.residual_covariance, set(residual.seen_pairs)
    sd, pairs = np.sqrt(np.diag(V)), set(residual.pairs)
    rows: Cells = [("visit" if residual.formula.group else "level", "variance", "SD", "correlation")]
    for i, name in enumerate(residual.cell_names):
        before = [j for j in range(i) if (j, i) in pairs]
        correlations = " ".join(f"{V[j, i] / (sd[j] * sd[i]):.3f}" if (j, i) in seen else "-" for j in before)
        rows.append((name, _number(V[i, i], digits), _number(sd[i], digits), correlations))
    return TextTable("Residuals", rows, numbers_right=True)


def _random_table(estimates: Estimates, digits: int) -> TextTable:
    rows: Cells = [("group", "name", "variance", "SD", "correlation")]
    for t, term in enumerate(estimates.random):
        G = estimates.covariance(t)
        sd = np.sqrt(np.diag(G))
        for i, name in term.structure.listed(term.names):
            label = term.group if i == 0 else ""
            before = [b for a, b in term.structure.pairs if a == i]
            correlations = _correlations(G, sd, i, before)
            rows.append((label, name, _number(G[i, i], digits), _number(sd[i], digits), correlations))
    if not isinstance(estimates.design.residual, VisitDesign):
        for name, sd in zip(*tables.residual_sds(estimates), strict=True):
            rows.append(("Residual", name or "", _number(sd**2, digits), _number(sd, digits), ""))
    return TextTable("Random effects" if estimates.random else "Residuals", rows, numbers_right=True)


def _correlations(G: Floats, sd: Floats, row: int, before: list[int]) -> str:
    """Correlations with the columns before."""
    scale = sd[row] * sd[before]
    return " ".join(f"{c / s:.3f}" if s > 0 else "none" for c, s in zip(G[row, before], scale, strict=True))


def _fixed_table(estimates: Estimates, digits: int) -> TextTable:
    rows: Cells = [("coefficient", "estimate", "SE", "df", "t", "p")]
    table = coef_table(estimates, df="auto", level=0.95)
    values = table[["estimate", "se", "df", "t", "p"]].to_numpy(np.float64)
    for name, (estimate, error, df, t, p) in zip(estimates.names, values, strict=True):
        tested = "" if np.isnan(p) else "< .0001" if p < 0.0001 else f"{p:.4f}"
        found = (_number(estimate, digits), _number(error, digits))
        rows.append((name, *found, "" if np.isnan(df) else f"{df:.1f}", f"{t:.3f}", tested))
    methods = "; ".join(dict.fromkeys(table["method"]))
    return TextTable(f"Fixed effects ({methods})" if methods else "Fixed effects", rows, numbers_right=True)


def _notes(estimates: Estimates, certificate: Certificate) -> Iterator[str]:
    if estimates.converged:
        count = estimates.evaluations
        yield f"Converged: {estimates.algorithm}, {count} evaluation{'' if count == 1 else 's'}."
    yield from _patterns(estimates)
    yield from _singularity(estimates)
    if estimates.design.residual and (at := estimates.design.residual.boundary(estimates.residual_params)):
        yield f"Boundary: {at}"
    yield from not_identified(estimates)
    if certificate.passed:
        yield certificate.sentence()
    if estimates.dropped_columns:
        yield f"Left out as linear functions of other columns: {', '.join(estimates.dropped_columns)}."
    yield from (f"Note: {warning}" for warning in estimates.design.warnings)


def _patterns(estimates: Estimates) -> Iterator[str]:
    """Structures that are not plain, in words, with what their correlations depend on."""
    for t, term in enumerate(estimates.random):
        if isinstance(term.structure, PatternedStructure):
            said = term.structure.said(estimates.covariance(t))
            count = f"{len(term.names)} random effects a level"
            yield f"{term.group}: {count}, {term.structure.name}{f'; {said}' if said else ''}."


def _singularity(estimates: Estimates) -> Iterator[str]:
    for term, null in zip(estimates.random, estimates.null_directions, strict=True):
        if null == len(term.names):
            yield f"Singular: the random effects of {term.group} have a variance estimate of exactly zero."
        elif null:
            yield (
                f"Singular: the covariance matrix of {term.group} has rank {len(term.names) - null} of "
                f"{len(term.names)}."
            )


def _number(value: float, digits: int) -> str:
    return f"{value:#.{max(1, digits)}g}".rstrip(".") if value else "0"


def _paragraph(sentences: tuple[str, ...]) -> str:
    return f"<p>{'<br>'.join(map(html, sentences))}</p>" if sentences else ""


def as_dict(estimates: Estimates, certificate: Certificate) -> dict[str, Any]:
    """What a fit found: every value a number, text, None, list or dict."""

    def named(*names: str) -> dict[str, Any]:
        return {name: getattr(estimates, name) for name in names}

    return {
        **named("formula", "reml", "algorithm", "nobs", "ngroups"),
        "params": dict(zip(estimates.names, estimates.beta.tolist(), strict=True)),
        "bse": dict(zip(estimates.names, estimates.bse.tolist(), strict=True)),
        "vcov": estimates.vcov.tolist(),
        **named("dropped_columns"),
        "theta": dict(zip(tables.theta_names(estimates), estimates.theta.tolist(), strict=True)),
        **named("sigma"),
        "residual": IID if estimates.design.residual is None else str(estimates.design.residual.formula),
        "residual_params": {str(k): float(v) for k, v in tables.residual_params(estimates).items()},
        "varcorr": _varcorr(estimates),
        **named("deviance", "llf", "aic", "bic", "npar"),
        "df_model": len(estimates.beta),
        **named("converged", "is_singular", "evaluations"),
        "certificate": {
            "passed": certificate.passed,
            "digits": certificate.digits,
            "checks": certificate.checks.to_dict("records"),
        },
        "warnings": list(estimates.design.warnings),
    }


def _varcorr(estimates: Estimates) -> list[dict[str, Any]]:
    """Rows of varcorr, a correlation that is not defined as None."""
    rows = tables.varcorr(estimates).to_dict("records")
    return [
        {str(k): None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()} for row in rows
    ]
