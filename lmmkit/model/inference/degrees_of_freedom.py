"""Denominator degrees of freedom: one entry of `METHODS` per method, all asked the same two questions.

To add a method, write a function from a fit to `Denominators` and enter it under its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.patterned import PatternedStructure
from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.inference.connected_blocks import connected_rows, why_too_large
from lmmkit.engine.inference.kenward_roger import KenwardRoger, Scaling
from lmmkit.engine.inference.ranks import ranks
from lmmkit.engine.inference.satterthwaite import Satterthwaite
from lmmkit.engine.linalg.two_part_covariance import Sandwich
from lmmkit.engine.problem import Problem, Residual
from lmmkit.errors import FitError
from lmmkit.model.design.design import Design, RandomTerm
from lmmkit.model.estimates import Estimates
from lmmkit.model.formula.linear_text import written
from lmmkit.model.inference.fixed_effect_terms import Effect, RandomEffect, fixed_effects, random_effects
from lmmkit.model.inference.inner_outer import constant_within, strata
from lmmkit.model.options import check_option
from lmmkit.model.table.grouping import determines

BY_RANDOM_EFFECTS = ("containment", "inner-outer", "unbounded")
BY_LEVELS = ("containment", "inner-outer", "between-within")
MOST_EFFECTS, MOST_ROWS = 3_000, 50_000  # up to here "auto" is Kenward-Roger


class FTest(NamedTuple):
    """An F statistic with its degrees of freedom."""

    num_df: int
    den_df: float
    F: float


@dataclass(frozen=True, eq=False)
class Denominators:
    """One method at one fit.

    Attributes:
        method: Its name.
        vcov: Covariance matrix of the fixed effects; Kenward-Roger's is adjusted.
        single: From rows L to (r,) degrees of freedom of the t test of each; NaN for a row of zeros.
        joint: From independent rows L and the columns of the term that they test to the degrees of freedom of
            their F test and the factor of its statistic.
        absent: Why a function without degrees of freedom has none.
        note: What to know about all of them.
    """

    method: str
    vcov: Sandwich
    single: Callable[[Floats], Floats]
    joint: Callable[[Floats, Sequence[int]], Scaling]
    absent: str = "it depends on variances that the data do not tell apart"
    note: str = ""

    @property
    def told(self) -> str:
        """The method with what to know about it."""
        return f"{self.method}: {self.note}" if self.note else self.method

    def named(self, df: Floats) -> list[str]:
        """The method behind each of some degrees of freedom, and the reason where there are none."""
        return [f"{self.method}: no df, {self.absent}" if np.isnan(one) else self.told for one in df]

    def f_test(self, L: Floats, beta: Floats, own: Sequence[int], null: Floats | float = 0.0) -> FTest:
        """The F test of L beta = null for independent rows; `own` are the columns of the term tested."""
        df, scale = self.joint(L, own)
        return FTest(len(L), df, scale * wald(L, beta, self.vcov, null))


def wald(L: Floats, beta: Floats, vcov: Sandwich, null: Floats | float = 0.0) -> float:
    """d'(L V L')^-1 d / rows, d = L beta - null."""
    value, inner = L @ beta - null, vcov.between(L)
    size = np.sqrt(inner.diagonal())
    value = value / size
    return float(value @ np.linalg.solve(inner / np.outer(size, size), value)) / len(L)


def denominators(estimates: Estimates, df: str) -> Denominators:
    """The method that `df` names.

    Args:
        estimates: The fit.
        df: One of `METHODS`; "auto" is, for a REML fit with at most 3,000 random effects and 50,000 rows,
            Kenward-Roger, or "unbounded" where it is singular, has such an optimum and at most 500 random
            effects; else Satterthwaite. With a residual structure, or levels that
            a known covariance relates, it is Kenward-Roger, for a REML fit that is
            not singular and has at most 50,000 rows, where visits stand without random effects or every
            connected block of V has at most 1,000 rows.

    Raises:
        FitError: An unknown method, or an explicit one that this fit does not allow.
    """
    check_method(df, estimates.design, reml=estimates.reml)
    if estimates.design.held is not None:
        return replace(METHODS["normal"](estimates), note="the variances are given")
    if df != "auto":
        return METHODS[df](estimates)
    zero = "; ".join(null_directions(estimates)).replace(" is zero", " is estimated as zero")
    method = automatic(estimates)
    try:
        return replace(METHODS[method](estimates), note=zero)
    except FitError as error:
        if method != "unbounded":
            return without(estimates, method, str(error))
    try:
        return replace(satterthwaite(estimates), note=zero)
    except FitError as error:
        return without(estimates, "satterthwaite", str(error))


def automatic(estimates: Estimates) -> str:
    """The first method of df="auto", a rule of size, never of time; Satterthwaite's follows "unbounded"."""
    if estimates.design.held is not None:
        return "normal"
    if not estimates.reml or estimates.nobs > MOST_ROWS:
        return "satterthwaite"
    if estimates.problem.residual is not None or estimates.design.has_relatives:
        inside = not estimates.is_singular
        dense = not estimates.has_closed_information  # by the connected blocks of V
        known = inside and not (dense and why_too_large(connected_rows(estimates.problem)))
        return "kenward-roger" if known else "satterthwaite"
    if not is_small(estimates) or (estimates.is_singular and has_pattern(estimates)):
        return "satterthwaite"
    return "unbounded" if estimates.is_singular else "kenward-roger"


def has_pattern(estimates: Estimates) -> bool:
    """Whether the covariance matrix of some random effects has a pattern."""
    return any(isinstance(term.structure, PatternedStructure) for term in estimates.random)


def without(estimates: Estimates, method: str, reason: str) -> Denominators:
    """No degrees of freedom, and the reason."""
    return Denominators(
        method,
        estimates.covariance_of_beta,
        lambda L: np.full(len(L), np.nan),
        lambda _, own: Scaling(np.nan, 1.0),
        reason[0].lower() + reason[1:].rstrip("."),
    )


def check_method(df: str, design: Design | None, *, reml: bool) -> None:
    """Refuse a method that no fit of a design allows, before it is fitted.

    Args:
        df: "auto" or one of `METHODS`.
        design: The design, where it is known.
        reml: The criterion of the fit.

    Raises:
        FitError: An unknown method, Kenward-Roger or "unbounded" under ML, between-within for crossed
            factors or without subjects, a rule about random effects where there are none.
    """
    check_option("df", df, ("auto", *METHODS))
    if df in ("kenward-roger", "kenward-roger-observed", "unbounded") and not reml:
        raise FitError(
            f"df={df!r} is defined for REML fits and this one is by maximum likelihood: fit with "
            "reml=True, or use df='satterthwaite'."
        )
    if design is None:
        return
    if design.held is not None and df not in ("auto", "normal"):
        raise FitError(
            f"df={df!r} is about variances that are estimated, and here they are given: leave df out, or use "
            "'normal', the distribution of the effects where the variances are known."
        )
    if design.problem.residual is not None and not design.random and df in BY_RANDOM_EFFECTS:
        raise FitError(
            f"df={df!r} is a rule about random effects, and this model has a residual structure without "
            "them. Use df='kenward-roger', 'satterthwaite' or 'between-within'."
        )
    if df in BY_LEVELS and not all(grouping.plain for grouping in design.groupings):
        raise FitError(
            f"df={df!r} is a rule about rows within independent levels, and this model has levels that are "
            "related, or rows of several levels. Use df='kenward-roger', 'satterthwaite' or 'normal'."
        )
    if design.problem.residual is not None and df == "unbounded":
        raise FitError(
            "df='unbounded' lets variances of random effects be negative beside independent residuals, and "
            "this model has a residual structure. Use df='kenward-roger' or 'satterthwaite'."
        )
    if df == "between-within":
        _subjects(design)


def is_small(estimates: Estimates) -> bool:
    """Whether the fit is of a size at which expected information on the entries of T is worth its cost.

    It is on independent residuals, or on visits without random effects.
    """
    if estimates.problem.residual is not None and estimates.random:
        return False
    return estimates.problem.effects <= MOST_EFFECTS and estimates.nobs <= MOST_ROWS


def has_spread(estimates: Estimates) -> bool:
    """Whether the uncertainty of the covariance parameters is carried into predictions of random effects."""
    design = estimates.design
    return is_small(estimates) and not design.has_relatives and design.held is None


def kenward_roger(estimates: Estimates) -> Denominators:
    """Kenward & Roger (1997): an adjusted covariance matrix and a scaled F.

    Raises:
        FitError: A singular fit.
    """
    return _adjusted("kenward-roger", estimates, lambda: estimates.kenward_roger)


def kenward_roger_observed(estimates: Estimates) -> Denominators:
    """The same with the observed information: SAS's KENWARDROGER(FIRSTORDER).

    Raises:
        FitError: A singular fit.
    """
    return _adjusted("kenward-roger-observed", estimates, lambda: estimates.kenward_roger_observed)


def _adjusted(method: str, estimates: Estimates, make: Callable[[], KenwardRoger]) -> Denominators:
    """Kenward and Roger's method from either information."""
    if estimates.is_singular:
        raise FitError(
            f"df={method!r} needs a covariance matrix inside its cone, and this fit is singular: "
            f"{'; '.join(null_directions(estimates))}. Use df='satterthwaite', which then leaves the null "
            "directions out, or drop them from the formula."
        )
    found = make()
    return Denominators(method, found.adjusted, found.single, lambda L, _: found.scaling(L))


def satterthwaite(estimates: Estimates) -> Denominators:
    """Satterthwaite, for several rows with Fai & Cornelius (1996)."""
    return _matched("satterthwaite", estimates.satterthwaite)


def _matched(method: str, found: Satterthwaite) -> Denominators:
    """Satterthwaite's method from either information."""
    vcov, _ = found.information.vcov, found.information.spread  # which raises here where there is none
    return Denominators(method, vcov, found.single, lambda L, _: Scaling(found.joint(L), 1.0))


def unbounded(estimates: Estimates) -> Denominators:
    """Satterthwaite with variances that may be negative: where one is zero, the test between its strata.

    Raises:
        FitError: Too many random effects, or a likelihood without such an optimum, or a pattern.
    """
    if has_pattern(estimates):
        raise FitError(
            "df='unbounded' takes variances and covariances of any sign, which a pattern of them does not "
            "have: use df='satterthwaite'."
        )
    if estimates.design.has_relatives:
        raise FitError(
            "df='unbounded' is not made for levels that a known covariance relates: use df='satterthwaite'."
        )
    return _matched("unbounded", estimates.unbounded)


def by_coefficient(method: str, df: Callable[[Estimates], Floats]) -> Callable[[Estimates], Denominators]:
    """A method that gives (p,) one number per coefficient; a combination gets the least of those it uses."""

    def of(estimates: Estimates) -> Denominators:
        columns = df(estimates)
        return Denominators(
            method,
            estimates.covariance_of_beta,
            lambda L: np.array([least(columns[row != 0.0]) for row in L]),
            lambda _, own: Scaling(least(columns[list(own)]), 1.0),
        )

    return of


def least(df: Floats) -> float:
    """The least of some degrees of freedom; NaN of none."""
    return float(df.min()) if len(df) else np.nan


def residual(estimates: Estimates) -> Floats:
    """(p,) n - rank X."""
    return np.full(len(estimates.beta), float(estimates.nobs - len(estimates.beta)))


def normal(estimates: Estimates) -> Floats:
    """(p,) infinite."""
    return np.full(len(estimates.beta), np.inf)


def containment(estimates: Estimates) -> Floats:
    """(p,) degrees of freedom of each coefficient's term by containment.

    Of the random effects whose variables contain the term's, the least rank that one adds to [X Z], in the
    order written but for the coarser of two first; n - rank [X Z] where none contains the term.

    Reference: SAS/STAT, The GLIMMIX Procedure, "Containment Degrees of Freedom Approximation" (DDFM=CONTAIN).
    """
    design = estimates.design

    def size(part: RandomEffect) -> tuple[int, int]:
        return len(part.effect.factors), design.random[part.columns[0][0]].grouping.size

    parts = sorted(random_effects(design), key=size)
    found = ranks(design.problem, prepare(design.problem), [part.columns for part in parts])

    def of_term(effect: Effect) -> float:
        added = zip(parts, np.diff(found), strict=True)
        mine = [int(rank) for part, rank in added if part.effect.contains(effect)]
        return float(min(mine, default=estimates.nobs - found[-1]))

    return _by_column(estimates, [of_term(effect) for effect in fixed_effects(design.recipe)])


def contained(estimates: Estimates) -> Denominators:
    """Containment, with a notice where it goes by names and a column is constant within levels."""
    made = by_coefficient("containment", containment)(estimates)
    try:
        found = strata(estimates.design, estimates.kept)
    except FitError:  # crossed factors have no such strata
        return made
    ours, theirs = containment(estimates), found.coefficients()
    inner = len(found.sizes) - 1
    missed = [
        f"{name} ({theirs[i]:.0f} for {ours[i]:.0f})"
        for i, name in enumerate(estimates.names)
        if 0 <= found.columns[i] < inner and ours[i] > theirs[i]
    ]
    note = "constant within levels and not named in the random part, where inner-outer has fewer"
    return replace(made, note=f"{note}: {', '.join(missed)}") if missed else made


def inner_outer(estimates: Estimates) -> Denominators:
    """nlme's rule; a combination gets the least of the coefficients it uses.

    Raises:
        FitError: Grouping factors are crossed.
    """
    found = strata(estimates.design, estimates.kept)

    def joint(_: Floats, own: Sequence[int]) -> Scaling:
        return Scaling(found.term(tuple(own)), 1.0)

    return replace(by_coefficient("inner-outer", lambda _: found.coefficients())(estimates), joint=joint)


def between_within(estimates: Estimates) -> Floats:
    """(p,) degrees of freedom of each coefficient's term, between or within subjects.

    A term that is constant within every subject gets subjects - b, b being the rank of the terms that are;
    the others get what remains of n - rank X. With unstructured residuals and no random effects all terms get
    the former.

    Reference: Schluchter & Elashoff (1990); SAS/STAT, The GLIMMIX Procedure, "Between-Within Degrees of
    Freedom Approximation" (DDFM=BETWITHIN), without its partition by classification effects; The MIXED
    Procedure, DDFM=BETWITHIN, for unstructured residuals.
    """
    design, problem = estimates.design, estimates.problem
    subjects = _subjects(design)

    def constant(column: int) -> bool:
        return constant_within(problem.columns[problem.fixed[column]], subjects)

    flags = _by_column(estimates, [float(all(map(constant, t.columns))) for t in design.fixed_terms])
    between = int(subjects.max()) + 1 - float(flags.sum())
    everywhere = not design.random and _is_unstructured(problem)
    return np.where((flags == 1.0) | everywhere, between, residual(estimates) - between)


def _is_unstructured(problem: Problem) -> bool:
    """Whether each subject's residuals have any covariance matrix."""
    blocks = problem.residual.structure.blocks if isinstance(problem.residual, Residual) else ()
    return bool(blocks) and all(block.correlation == "un" for block in blocks)


def _by_column(estimates: Estimates, values: list[float]) -> Floats:
    """(p,) one number per fixed term, given to its columns."""
    out = np.empty(len(estimates.design.fixed_names))
    for term, value in zip(estimates.design.fixed_terms, values, strict=True):
        out[list(term.columns)] = value
    return out[list(estimates.kept)]


def _subjects(design: Design) -> Ints:
    """(n,) level of each row of the factor in which all others are nested, that of residuals included."""
    own = design.residual.subjects if design.residual else None
    factors = [*design.groupings, *([own] if own else [])]
    instead = "Use df='kenward-roger', 'satterthwaite' or 'residual'."
    for grouping in reversed(factors):
        if not all(determines(other, grouping) for other in factors if other is not grouping):
            continue
        if grouping.size == 1:
            raise FitError(
                f"df='between-within' splits by subjects, and in this model all rows are one. {instead}"
            )
        if grouping.size < len(grouping.codes):
            return grouping.codes
    if not design.groupings:
        raise FitError(
            f"df='between-within' splits by subjects, and here every row stands by itself. {instead}"
        )
    names = ", ".join(dict.fromkeys(grouping.name for grouping in factors))
    raise FitError(
        f"df='between-within' needs one grouping factor that holds all others; {names} are crossed. Use "
        "df='kenward-roger', 'satterthwaite' or 'containment'."
    )


METHODS: dict[str, Callable[[Estimates], Denominators]] = {
    "satterthwaite": satterthwaite,
    "kenward-roger": kenward_roger,
    "kenward-roger-observed": kenward_roger_observed,
    "unbounded": unbounded,
    "containment": contained,
    "inner-outer": inner_outer,
    "between-within": by_coefficient("between-within", between_within),
    "residual": by_coefficient("residual", residual),
    "normal": by_coefficient("normal", normal),
}


def null_directions(estimates: Estimates) -> list[str]:
    """Each null direction of the random effects' covariance matrices, in words."""
    return [
        f"the variance of {_combination(row, term)} is zero"
        for term, L, count in zip(estimates.random, estimates.factors, estimates.null_directions, strict=True)
        for row in np.linalg.svd(L.T)[2][len(L) - count :]
    ]


def _combination(weights: Floats, term: RandomTerm) -> str:
    """`g.Days`, or `0.97 Intercept - 0.24 Days in g`; negligible weights left out."""
    text = written(weights, term.names, least=1e-6, form="+.3g")
    return f"{term.group}.{text}" if text in term.names else f"{text} in {term.group}"
