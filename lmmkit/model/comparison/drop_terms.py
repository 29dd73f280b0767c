"""Every term tested by leaving it out: random ones by the likelihood ratio, fixed ones by F or by it.

Reference, for the terms that `ranova` and `drop1` leave out: Kuznetsova, Brockhoff & Christensen (2017),
lmerTest Package, Journal of Statistical Software 82(13).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from lmmkit.errors import FitError, did_you_mean
from lmmkit.model.comparison.compare import COLUMNS, MEASURES, NO_TEST, How, tested
from lmmkit.model.design.design import Design, reduced_design
from lmmkit.model.estimates import Estimates, estimate, refitted, refuse_held
from lmmkit.model.formula.expression import named_column
from lmmkit.model.formula.formula import INTERCEPT, ORDERED, Bar, Formula, Term, term_name
from lmmkit.model.formula.spelling import same_name
from lmmkit.model.inference.anova import anova
from lmmkit.model.options import check_option
from lmmkit.model.variance_parts import marginal_r2

RandomTest = Literal["lrt", "bootstrap"]
FixedTest = Literal["F", "lrt", "bootstrap"]
WHOLE = "<none>"  # the row of the model with all its terms, as R calls it


def ranova(
    estimates: Estimates, *, reduce: bool, method: RandomTest, n: int, seed: int, workers: int
) -> pd.DataFrame:
    """Every random-effects term against the model without it, by the likelihood ratio.

    Args:
        estimates: The fit; its criterion is that of the tests.
        reduce: Whether of a term such as `(x | g)` its parts are left out one by one, or the term as a whole.
        method: "lrt", with the mixtures of chi-squared that variances on the boundary have, or "bootstrap".
        n: Replicates, for "bootstrap".
        seed: Seed of simulated weights and of the bootstrap.
        workers: Threads, for "bootstrap".

    Raises:
        FitError: An option that is not offered.
    """
    check_option("method", method, ("lrt", "bootstrap"))
    check_option("reduce", reduce, (True, False))
    refuse_held(estimates, "ranova()", "test fixed effects with anova() or test()")
    if not estimates.random:
        raise FitError("This model has no random-effects term to leave out: see compare() and drop1().")
    how = How(method, n, seed, workers)
    rows = {WHOLE: _measures(estimates)}
    for label, formula in _less_random(estimates.design, reduce):
        rows[label] = _against(_without(estimates, formula), estimates, how)
    return _table(rows, COLUMNS)


def drop1(
    estimates: Estimates,
    *,
    scope: str | Sequence[str] | None,
    test: FixedTest,
    df: str,
    n: int,
    seed: int,
    workers: int,
) -> pd.DataFrame:
    """Every fixed term that no other one contains against the model without it.

    Args:
        estimates: The fit.
        scope: The terms to leave out, one by one; None for all that no other one contains.
        test: "F" of this fit, "lrt" of maximum-likelihood fits, or "bootstrap".
        df: Denominator degrees of freedom, for "F".
        n: Replicates, for "bootstrap".
        seed: Seed of the bootstrap.
        workers: Threads, for "bootstrap".

    Raises:
        FitError: A term that the model does not have or that another one contains, or an option that is not
            offered.
    """
    check_option("test", test, ("F", "lrt", "bootstrap"))
    if test != "F":
        refuse_held(estimates, f"drop1(test={test!r})", "use test='F'")
    formula = estimates.design.recipe.formula
    terms = _scope(scope, formula)
    by_F = anova(estimates, kind=2, df=df).to_dict("index") if test == "F" and terms else None
    full = refitted(estimates, reml=False)
    rows = {WHOLE: _measures(full)}
    for term in terms:
        name = term_name(term)
        fixed = tuple(other for other in formula.fixed if other != term)
        small = _without(full, replace(formula, fixed=fixed))
        if by_F is None:
            rows[name] = _against(small, full, How("lrt" if test == "F" else test, n, seed, workers))
        else:
            rows[name] = _measures(small) | _f_test(by_F[name])
    return _table(rows, [*MEASURES, "stat", "df", "den_df", "p", "reference", "note"])


def part_r2(estimates: Estimates, *, scope: str | Sequence[str] | None) -> pd.DataFrame:
    """What each fixed term adds to the marginal R2 of the model without it: part, partial.

    `part` is the difference of the two R2, `partial` that over what the model without the term leaves. Both
    models are fitted by the criterion of the fit.

    Args:
        estimates: The fit.
        scope: As of `drop1`.

    Raises:
        FitError: As `drop1`.
    """
    formula, whole = estimates.design.recipe.formula, marginal_r2(estimates)
    terms, rows = _scope(scope, formula), list[tuple[float, float]]()
    for term in terms:
        fixed = tuple(other for other in formula.fixed if other != term)
        less = marginal_r2(_without(estimates, replace(formula, fixed=fixed)))
        rows.append((whole - less, (whole - less) / (1.0 - less)))
    index = pd.Index([term_name(term) for term in terms], name="term")
    return pd.DataFrame(rows, index=index, columns=["part", "partial"])


def _f_test(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The F test of one term."""
    shown = f"F({row['num_df']}, {row['den_df']:.6g})"
    test = {"stat": row["F"], "df": float(row["num_df"]), "den_df": row["den_df"], "p": row["p"]}
    return test | {"reference": shown if np.isfinite(row["F"]) else "", "note": row["method"]}


def _scope(scope: str | Sequence[str] | None, formula: Formula) -> list[Term]:
    """The fixed terms to leave out."""
    alone = _outermost([term for term in formula.fixed if term])
    if scope is None:
        return alone
    known = {term_name(term): term for term in formula.fixed if term}
    found = list[Term]()
    for name in [scope] if isinstance(scope, str) else list(scope):
        term = _named(name, known)
        if term not in alone:
            above = next(other for other in known.values() if set(other) > set(term))
            raise FitError(
                f"scope: `{term_name(term)}` is contained in `{term_name(above)}`, which would then hold its "
                "part in another coding. Leave out the latter first, or test the term by anova()."
            )
        found.append(term)
    return found


def _named(name: Any, known: dict[str, Term]) -> Term:
    """The term of a name, its variables in any order."""
    same = same_name(name, known) if isinstance(name, str) else None
    if same is None and isinstance(name, str):
        parts = sorted(map(named_column, name.replace(" ", "").split(":")))
        same = next((own for own, term in known.items() if sorted(e.text for e in term) == parts), None)
    if same is None:
        near = did_you_mean(str(name), known)
        raise FitError(
            f"scope: `{name}` is no fixed term of this model{near or '.'} Its terms: {', '.join(known)}."
        )
    return known[same]


def _outermost(terms: Sequence[Term]) -> list[Term]:
    """The terms that no other one contains."""
    return [term for term in terms if not any(set(other) > set(term) for other in terms)]


def _less_random(design: Design, reduce: bool) -> Iterator[tuple[str, Formula]]:
    """What is left out, and the formula without it."""
    formula = design.recipe.formula
    bars = formula.random
    for place, bar in enumerate(bars):
        for label, smaller in _less(bar, design) if reduce else [(str(bar), None)]:
            rest = (*bars[:place], *([] if smaller is None else [smaller]), *bars[place + 1 :])
            yield label, replace(formula, random=rest)


def _less(bar: Bar, design: Design) -> Iterator[tuple[str, Bar | None]]:
    """A random-effects term without one of its parts; None for nothing left."""
    outermost = _outermost([term for term in bar.terms if term])
    if bar.positions and design.ngroups[bar.group.label] > 1:
        plain = replace(bar, terms=(INTERCEPT,), tag="", positions=())
        yield f"pos({', '.join(map(str, bar.positions))}) in {bar}", plain
    elif not outermost:
        yield str(bar), None
    for term in outermost:
        left = tuple(other for other in bar.terms if other != term)
        factor = any(design.recipe.variables[e].kind == "factor" for e in term)
        if not left and factor:
            left = (INTERCEPT,)
        alone = left == (INTERCEPT,)
        plain = alone or (INTERCEPT in left and bar.tag in ORDERED)
        smaller = replace(bar, terms=left, tag="" if plain else bar.tag, split=bar.split and not alone)
        yield f"{term_name(term)} in {bar}", smaller if left else None


def _without(estimates: Estimates, formula: Formula) -> Estimates:
    """The fit of fewer terms to the same rows by the same criterion."""
    design = reduced_design(estimates.design, formula)
    algorithm = estimates.algorithm if formula.random else "newton"
    return estimate(design, reml=estimates.reml, algorithm=algorithm)


def _measures(estimates: Estimates) -> dict[str, Any]:
    return {name: getattr(estimates, name) for name in MEASURES}


def _against(small: Estimates, large: Estimates, how: How) -> dict[str, Any]:
    """The smaller model's measures, and the test of what it lacks."""
    return _measures(small) | tested([small, large], [small.formula, large.formula], how)


def _table(rows: dict[str, dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """A row per model, with nothing where there is no test."""
    whole = [NO_TEST | row for row in rows.values()]
    return pd.DataFrame(whole, index=pd.Index(list(rows), name="term"), columns=columns)
