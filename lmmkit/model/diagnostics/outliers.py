"""Rows and groups that stand apart from what the model expects of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.model.design.design import Design
from lmmkit.model.diagnostics.check_result import (
    CheckResult,
    Sentence,
    Unchecked,
    column,
    counted,
    effect,
    level,
    listed,
    number,
    probability,
    text,
    too_few,
)
from lmmkit.model.diagnostics.distribution import standardised
from lmmkit.model.diagnostics.replicated import Replicated
from lmmkit.model.diagnostics.spread import cube_root_normal
from lmmkit.model.inference.degrees_of_freedom import is_small
from lmmkit.model.inference.distributions import t_tail

ALPHA = 0.05  # of Holm's p, below which a row or group is named
NAMED, SHOWN = 3, 20  # rows or groups in a sentence, and in a table
FAR, APART = 4.0, 3.5  # standard deviations from which an outlying row, or group, matters
LEAST_ROWS = 10
OUTLIERS = ["row", "groups", "observed", "fitted", "studentised", "p"]
LEVELS = ["factor", "level", "distance", "p"]
REMEDY_ROWS = (
    "look the rows up; refit without them and say both; they are not to be dropped for being outlying alone"
)
REMEDY_GROUPS = (
    "look the groups up; influence(fit, of=...) says what hangs on them; a predictor of the groups may be "
    "missing"
)


def holm(p: Floats) -> Floats:
    """P values adjusted for their number, step by step; NaN stay."""
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    out = np.full(len(p), np.nan)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return out


def studentised(sets: Replicated) -> tuple[Floats, float]:
    """(n,) residuals of the data, each over a scale that leaves it out, and their degrees of freedom.

    They have Student's t, nearly; NaN where a row fits itself. With fewer than 3 degrees of freedom they are
    standardised alone.

    Reference: Cook & Weisberg (1982), Residuals and Influence in Regression, 2.2.1.
    """
    value = np.where(sets.free, sets.conditional[:, 0], np.nan)
    df = len(value) - len(sets.estimates.beta)
    if df < 3:
        return value, np.inf
    rest = np.maximum(df - value**2, 1e-12 * df)
    return value * np.sqrt((df - 1.0) / rest), df - 1.0


def judged_by(sets: Replicated) -> str:
    """What the residuals are that rows are judged by."""
    if sets.estimates.problem.residual is not None:
        return "normalised"
    exact = all(term.plain for term in sets.estimates.problem.terms) and is_small(sets.estimates)
    return "studentised" if exact and len(sets.rows) - len(sets.estimates.beta) >= 3 else "standardised"


def outlying_rows(sets: Replicated) -> pd.DataFrame:
    """Rows whose studentised residual is too large for their number (Holm), the largest in any case.

    Returns:
        DataFrame row, groups (its levels), observed, fitted, studentised, p.
    """
    value, df = studentised(sets)
    p = holm(t_tail(value, np.full(len(value), df)))
    order = np.argsort(-np.abs(np.nan_to_num(value)), kind="stable")
    clear = [i for i in order[:SHOWN] if p[i] < ALPHA] or order[:1].tolist()
    estimates = sets.estimates
    lines = [
        {"row": sets.rows[int(i)], "groups": groups_of(estimates.design, int(i)),
         "observed": sets.response[i, 0], "fitted": estimates.fitted[i], "studentised": value[i], "p": p[i]}
        for i in clear
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=OUTLIERS)


def groups_of(design: Design, row: int) -> str:
    """The levels of a row: `Subject 332, item 4`."""
    return ", ".join(_told(g.name, g.levels.astype(str)[int(g.codes[row])]) for g in design.groupings)


def _told(group: str, value: str) -> str:
    """A level with its group's name, unless it begins with that: `Subject 332`, `field 9`."""
    return value if value.lower().startswith(f"{group.lower()} ") else f"{group} {value}"


def rows_apart(sets: Replicated) -> Iterator[CheckResult | Unchecked]:
    """The largest residual in units of its own standard deviation."""
    values = np.abs(sets.conditional[sets.free])
    if len(values) < LEAST_ROWS:
        why = too_few(len(values), LEAST_ROWS, "row", " that the model does not fit exactly")
        yield Unchecked("outlying rows", "residuals", why, Sentence("Whether rows are outliers"))
        return
    value, df = studentised(sets)
    p = holm(t_tail(value, np.full(len(value), df)))
    order = np.argsort(-np.abs(np.nan_to_num(value)), kind="stable")
    out = order[: max(int(np.count_nonzero(p < ALPHA)), 1)]
    told = [_row(sets, int(i), float(value[i])) for i in out[:NAMED]]
    if len(out) > NAMED:
        told.append(Sentence("{} more", number(len(out) - NAMED)))
    kind = judged_by(sets)
    top = (number(float(value[out[0]]), 2), probability(float(p[out[0]])))
    yield CheckResult(
        "outlying rows",
        "residuals",
        fine=Sentence(f"No row is an outlier: the largest {kind} residual, {{}}, is that of ", top[0])
        .joined(_named(sets, int(out[0])))
        .then(" ({} among all rows).", top[1]),
        notable=listed(told)
        .then(" lie far from what the model expects ({} residuals; {} for the first, among all rows)."
              if len(out) > 1 else
              " lies far from what the model expects ({} residual; {} among all rows).", text(kind), top[1])
        .begun(),
        statistic=np.max(values, axis=0),
        size=float(abs(value[out[0]])),
        matters=bool(abs(value[out[0]]) >= FAR),
        where=", ".join(f"row {sets.rows[i]}" for i in out[:SHOWN]),
        remedy=REMEDY_ROWS,
        tail=float(p[out[0]]),
        method=f"largest {kind} conditional residual; p of single rows by Student's t and Holm",
    )  # fmt: skip


def _named(sets: Replicated, row: int) -> Sentence:
    groups = sets.estimates.design.groupings
    form = "row {}" + (f" ({', '.join(['{} {}'] * len(groups))})" if groups else "")
    facts = [
        fact
        for g in groups
        for fact in (column(g.name), level(g.name, g.levels.astype(str)[int(g.codes[row])]))
    ]
    return Sentence(form, text(str(sets.rows[row])), *facts)


def _row(sets: Replicated, row: int, value: float) -> Sentence:
    return _named(sets, row).then(" at {}", number(value, 2))


def level_distances(sets: Replicated, factor: str) -> tuple[Floats, NDArray[np.bool_], int]:
    """(J, 1 + B) squared distances of a factor's levels over all its effects, the observed levels, and k.

    Scores are taken relative to their second moments over the levels of the same column, so that a factor of
    a larger or smaller variance has no more outlying levels than another.
    """
    random = sets.estimates.random
    places = [t for t, term in enumerate(random) if term.factor == factor]
    z = np.concatenate([sets.level_scores[t] for t in places], axis=1)
    seen = random[places[0]].grouping.observed
    u = standardised(z[seen])
    return np.einsum("jac,jac->jc", u, u), seen, z.shape[1]


def groups_apart(sets: Replicated) -> Iterator[CheckResult | Unchecked]:
    """The level of each factor that is farthest from the others in all its effects together."""
    design = sets.estimates.design
    for grouping in design.groupings:
        name = grouping.name
        terms = [t for t in design.random if t.factor == name]
        effects = [own for t in terms for own in t.names]
        k, what = len(effects), Sentence("Whether levels of {} are outlying", column(name))
        J = int(grouping.observed.sum())
        if k + 4 > J:
            few = Sentence("{} levels are too few to tell one apart in ", number(J)).joined(
                counted(k, "effect")
            )
            yield Unchecked("outlying groups", name, few, what)
            continue
        square, seen, k = level_distances(sets, name)
        p = group_p(square[:, 0], k)
        order = np.argsort(-square[:, 0], kind="stable")
        out = order[: max(int(np.count_nonzero(p < ALPHA)), 1)]
        which = np.flatnonzero(seen)
        farthest = np.sqrt(np.max(square / leave_out(square, k), axis=0))
        distance = float(farthest[0])
        names = [str(grouping.levels[which[i]]) for i in out]
        more = [Sentence("{} more", number(len(out) - NAMED))] if len(out) > NAMED else []
        told = listed([*(Sentence("{}", level(name, one)) for one in names[:NAMED]), *more])
        several = len(out) > 1
        first = (column(name), level(name, names[0]))
        size = (number(distance, 2), probability(float(p[out[0]])))
        yield CheckResult(
            "outlying groups",
            name,
            fine=Sentence("No level of {} stands apart in ", column(name))
            .joined(_of_effects(effects, "its"))
            .then(
                ": the farthest, {} {}, is {} standard deviations off ({} among all levels).", *first, *size,
            ),
            notable=Sentence("{} ", column(name)).joined(told).then(
                f" {'stand' if several else 'stands'} apart in ",
            ).joined(_of_effects(effects, "their" if several else "its")).then(
                f": {'the first' if several else 'it'} is {{}} standard deviations off ({{}} among all "
                "levels).", *size,
            ),
            statistic=farthest,
            size=distance,
            matters=distance >= APART,
            where=", ".join(names[:SHOWN]),
            remedy=REMEDY_GROUPS.replace("of=...", f"of='{name}'"),
            tail=float(p[out[0]]),
            method="largest distance of a level's scores (Mahalanobis), p of single levels by chi-squared "
            "and Holm",
        )  # fmt: skip


def leave_out(square: Floats, k: int) -> Floats:
    """(J, ...) mean squared distance of the other levels per effect: the scale that leaves a level out."""
    return (square.sum(axis=0) - square) / ((len(square) - 1.0) * k)


def group_p(square: Floats, k: int) -> Floats:
    """(J,) Holm's p of each level, from chi-squared with k degrees of freedom at the scale of the others."""
    return holm(np.asarray(chdtrc(k, square / leave_out(square, k)), np.float64))


def _of_effects(names: list[str], whose: str) -> Sentence:
    if len(names) > NAMED:
        return Sentence(f"{whose} effects together")
    each = [Sentence("intercept") if n == "Intercept" else Sentence("effect of {}", effect(n)) for n in names]
    told = listed(each)
    return Sentence(f"{whose} {told.form}", *told.facts)


def subjects_apart(sets: Replicated) -> Iterator[CheckResult | Unchecked]:
    """Subjects of a residual structure whose normalised residuals are too large together.

    Reference: Lesaffre & Verbeke (1998), Local influence in linear mixed models, Biometrics 54, 570-582, for
    the sum of squares of a unit.
    """
    design = sets.estimates.design
    residual = design.residual
    subjects = residual.subjects if residual is not None else None
    if subjects is None or subjects.size < 10 or subjects.name in (each.name for each in design.groupings):
        return
    values, codes = sets.conditional[sets.free], subjects.codes[sets.free]
    z = cube_root_normal(
        grouped_squares(values, codes, subjects.size), np.bincount(codes, minlength=subjects.size)
    )
    top = int(np.nanargmax(z[:, 0]))
    name, first = subjects.name, str(subjects.levels[top])
    size = number(z[top, 0], 2)
    yield CheckResult(
        "outlying groups",
        name,
        fine=Sentence(
            "No level of {} has residuals that are too large together: the largest are those of {} {}, {} "
            "standard deviations above what the model expects.",
            column(name), column(name), level(name, first), size,
        ),
        notable=Sentence(
            "The residuals of {} {} are too large together: {} standard deviations above what the model "
            "expects.",
            column(name), level(name, first), size,
        ),
        statistic=np.nanmax(z, axis=0),
        size=float(z[top, 0]),
        matters=bool(z[top, 0] >= APART),
        where=first,
        remedy=REMEDY_GROUPS.replace("of=...", f"of='{name}'"),
        method="largest sum of squares of a subject's normalised residuals (cube root, Wilson-Hilferty)",
    )  # fmt: skip


def grouped_squares(values: Floats, codes: Ints, size: int) -> Floats:
    """(size, c) sums of squares of (n, c) values by group."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=size)
    out = np.full((size, values.shape[1]), np.nan)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])[counts > 0]
    out[counts > 0] = np.add.reduceat(values[order] ** 2, starts, axis=0)
    return out
