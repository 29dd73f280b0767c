"""Denominator degrees of freedom counted on the design: containment, and between and within subjects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.inference.ranks import ranks
from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError
from lmmkit.model.design.design import Design
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.fixed_effect_terms import Effect, RandomEffect, fixed_effects, random_effects
from lmmkit.model.table.grouping import Grouping, determines


def residual_df(estimates: Estimates) -> float:
    """n - rank X."""
    return float(estimates.nobs - len(estimates.beta))


def containment(estimates: Estimates) -> Floats:
    """(p,) degrees of freedom of each coefficient's term by containment.

    Of the random effects whose variables contain the term's, the least rank that one adds to [X Z], in the
    order written but for the coarser of two first; n - rank [X Z] where none contains the term.

    Reference: SAS/STAT, The GLIMMIX Procedure, "Containment Degrees of Freedom Approximation" (DDFM=CONTAIN).
    """
    design = estimates.design
    parts = sorted(random_effects(design), key=lambda part: (len(part.effect.factors), _levels(design, part)))
    found = ranks(design.problem, prepare(design.problem), [part.columns for part in parts])
    added = np.diff(found)
    residual = float(estimates.nobs - found[-1])

    def of_term(effect: Effect) -> float:
        mine = [int(rank) for part, rank in zip(parts, added, strict=True) if part.effect.contains(effect)]
        return float(min(mine, default=residual))

    return by_column(estimates, [of_term(effect) for effect in fixed_effects(design.recipe)])


def _levels(design: Design, part: RandomEffect) -> int:
    return design.random[part.columns[0][0]].grouping.size


def between_within(estimates: Estimates) -> Floats:
    """(p,) degrees of freedom of each coefficient's term, between or within subjects.

    A term that is constant within every subject gets subjects - b, b being the rank of the terms that are;
    the others get what remains of n - rank X.

    Reference: Schluchter & Elashoff (1990); SAS/STAT, The GLIMMIX Procedure, "Between-Within Degrees of
    Freedom Approximation" (DDFM=BETWITHIN), without its partition by classification effects.
    """
    design = estimates.design
    subject = _subject(design)
    constant = [_constant(design, term.columns, subject) for term in design.fixed_terms]
    flags = by_column(estimates, [float(flag) for flag in constant])
    between = subject.size - float(flags.sum())
    within = residual_df(estimates) - between
    return np.where(flags == 1.0, between, within)


def by_column(estimates: Estimates, values: list[float]) -> Floats:
    """(p,) one number per fixed term, given to its columns."""
    out = np.empty(len(estimates.design.fixed_names))
    for term, value in zip(estimates.design.fixed_terms, values, strict=True):
        out[list(term.columns)] = value
    return out[list(estimates.kept)]


def _subject(design: Design) -> Grouping:
    """The grouping factor in which every other one is nested."""
    for grouping in reversed(design.groupings):
        if all(determines(other, grouping) for other in design.groupings if other is not grouping):
            return grouping
    names = ", ".join(grouping.name for grouping in design.groupings)
    raise FitError(
        f"df='between-within' needs one grouping factor that holds all others; {names} are crossed. Use "
        "df='kenward-roger', 'satterthwaite' or 'containment'."
    )


def _constant(design: Design, columns: tuple[int, ...], subject: Grouping) -> bool:
    """Whether columns of X do not vary within any subject."""
    return all(_unvarying(design.problem.columns[design.problem.fixed[c]], subject) for c in columns)


def _unvarying(column: NDArray[np.float64], subject: Grouping) -> bool:
    one = np.empty(subject.size)
    one[subject.codes] = column
    return bool((one[subject.codes] == column).all())
