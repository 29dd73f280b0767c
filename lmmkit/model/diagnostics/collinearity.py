"""How much standard errors owe to predictors that say nearly the same: (generalised) variance inflation.

Reference: Fox & Monette (1992), Generalized collinearity diagnostics, JASA 87, 178-183.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.model.design.variables import Values
from lmmkit.model.diagnostics.check_result import (
    FINE,
    LOOK,
    TROUBLE,
    CheckResult,
    Sentence,
    Unchecked,
    number,
    text,
)
from lmmkit.model.diagnostics.replicated import Replicated
from lmmkit.model.estimates import Estimates
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.formula import Term, term_name

CHECK = "collinearity"
NOTABLE, LARGE = 5.0, 10.0  # variance inflation from which it is looked at, and is trouble
SAME = 1e-8  # relative difference up to which two columns are one
WIDEST = 300  # coefficients of which determinants are taken
MOST = 1e12  # inflation that is told


@dataclass(frozen=True)
class Inflation:
    """Variance inflation of the coefficients of one predictor.

    Attributes:
        name: Its terms.
        df: Number of coefficients.
        gvif: Generalised variance inflation factor: a ratio of squared volumes of confidence regions.
        partner: The other predictor without which it would be least.
        without: `vif` if that were left out.
    """

    name: str
    df: int
    gvif: float
    partner: str
    without: float

    @property
    def vif(self) -> float:
        """Inflation of the variance a direction, GVIF^(1 / df): of one coefficient its VIF."""
        return self.gvif ** (1.0 / self.df)


def inflations(estimates: Estimates) -> list[Inflation]:
    """Returns the variance inflation of each predictor; none where there is but one.

    It is taken from the covariance matrix of the fixed effects as the fit has it, so that what predictors
    share between and within groups counts as in the standard errors. The intercept is left out. Numbers are
    centred and factors coded by deviations beforehand, so that a predictor is not taken for collinear with
    its interaction because its zero is far away, and an interaction and its parts are not held against each
    other; terms of the same columns, as x and I(x ** 2), are one
    predictor. Where terms are no coding of such columns, as an interaction without its main effects, they
    are taken as fitted.
    """
    terms = list(_terms(estimates).items())
    if not 1 < len(estimates.beta) <= WIDEST or len(terms) < 2:
        return []
    made = _centred_covariance(estimates, [own for _, own in terms])
    C, places = made if made is not None else _fitted_covariance(estimates, [own for _, own in terms])
    kept = [(own, place) for own, place in zip(terms, places, strict=True) if len(place)]
    found = list[Inflation]()
    for (columns, own), place in kept:
        others = {_name(its): span for (also, its), span in kept if not (also <= columns or columns <= also)}
        if others:
            found.append(_inflation(C, _name(own), place, others))
    return found


def _name(terms: Sequence[Term]) -> str:
    return " + ".join(term_name(term) for term in terms)


def _terms(estimates: Estimates) -> dict[frozenset[str], list[Term]]:
    """Fixed terms but the intercept, by the columns that they use."""
    grouped = dict[frozenset[str], list[Term]]()
    for term in estimates.design.recipe.formula.fixed:
        if term:
            grouped.setdefault(frozenset(name for e in term for name in e.variables), []).append(term)
    return grouped


def _inflation(C: Floats, name: str, own: Ints, others: Mapping[str, Ints]) -> Inflation:
    information, df = np.asarray(np.linalg.pinv(C), np.float64), len(own)

    def beside(names: Iterable[str]) -> float:
        """What the predictor's would be beside these others alone."""
        kept = np.sort(np.concatenate([own, *(others[one] for one in names)]))
        fewer = np.asarray(np.linalg.pinv(information[np.ix_(kept, kept)]), np.float64)
        return _gvif(fewer, np.flatnonzero(np.isin(kept, own)))

    without = {one: beside(others.keys() - {one}) for one in others}
    best = min(without, key=lambda one: without[one])
    return Inflation(name, df, beside(others), best, without[best] ** (1.0 / df))


def _gvif(C: Floats, own: Ints) -> float:
    """det R_aa det R_bb / det R, R the correlations of C."""
    rest, sds = np.setdiff1d(np.arange(len(C)), own), np.sqrt(np.diag(C))
    R = C / np.outer(sds, sds)
    logs = [float(np.linalg.slogdet(R[np.ix_(part, part)])[1]) for part in (own, rest)]
    whole = float(np.linalg.slogdet(R)[1])
    return float(np.exp(np.clip(sum(logs) - whole, 0.0, np.log(MOST)))) if np.isfinite(whole) else MOST


def _centred_covariance(
    estimates: Estimates, terms: Sequence[Sequence[Term]]
) -> tuple[Floats, list[Ints]] | None:
    """Covariance matrix of coefficients of centred columns and their places; None where there are none."""
    design, X = estimates.design, estimates.X
    values = design.recipe.values(design.source.evaluator, design.source.rows, fixed=True)
    parts = {e: _centred(own) for e, own in values.items()}
    widths = [sum(prod(parts[e].shape[1] for e in term) for term in own) for own in terms]
    if 1 + sum(widths) != X.shape[1]:
        return None
    blocks = [_multiplied(term, parts) for own in terms for term in own]
    made = np.column_stack([np.ones(len(X)), *blocks])
    sizes = np.linalg.norm(made, axis=0)
    if (sizes == 0.0).any():
        return None
    made = made / sizes
    if np.linalg.matrix_rank(made) < X.shape[1]:
        return None
    A = np.asarray(np.linalg.lstsq(made, X)[0], np.float64)
    off = np.linalg.norm(made @ A - X, axis=0)
    if (off > SAME * np.linalg.norm(X, axis=0)).any():
        return None
    ends = np.cumsum([0, *widths])
    places: list[Ints] = [np.arange(start, end) for start, end in pairwise(ends.tolist())]
    return (A @ estimates.vcov @ A.T)[1:, 1:], places


def _centred(values: Values) -> Floats:
    """(n, k) numbers less their means, or levels as deviations from the last."""
    if values.variable.kind == "factor":
        k = len(values.variable.levels)
        return np.vstack([np.eye(k - 1), np.full((1, k - 1), -1.0)])[values.codes]
    numbers = values.numbers.reshape(len(values.numbers), -1)
    return numbers - numbers.mean(axis=0)


def _multiplied(term: Term, parts: Mapping[Expression, Floats]) -> Floats:
    return np.column_stack([np.prod(chosen, axis=0) for chosen in product(*(parts[e].T for e in term))])


def _fitted_covariance(estimates: Estimates, terms: Sequence[Sequence[Term]]) -> tuple[Floats, list[Ints]]:
    """The same of the coefficients as fitted."""
    kept = {column: place for place, column in enumerate(estimates.kept)}
    columns = {
        term.name: [kept[c] for c in term.columns if c in kept] for term in estimates.design.fixed_terms
    }
    own = [[place for term in each for place in columns[term_name(term)]] for each in terms]
    places = np.array([place for each in own for place in each], np.intp)
    ends = np.cumsum([0, *map(len, own)])
    spans: list[Ints] = [np.arange(start, end) for start, end in pairwise(ends.tolist())]
    return estimates.vcov[np.ix_(places, places)], spans


class Collinearity:
    """The predictors' variance inflation, the largest and all that are notable; by thresholds, no test."""

    def __init__(self, estimates: Estimates) -> None:
        self.found = list(_found(estimates))

    def __call__(self, _replicated: Replicated) -> Iterator[CheckResult | Unchecked]:
        """What the check finds, whatever the replicates."""
        yield from self.found


def _found(estimates: Estimates) -> Iterator[CheckResult | Unchecked]:
    every = sorted(inflations(estimates), key=lambda one: -one.vif)
    if not every:
        why = "the fixed part has no two predictors, but for an interaction and its parts"
        why = f"more than {WIDEST} coefficients" if len(estimates.beta) > WIDEST else why
        yield Unchecked(CHECK, "predictors", Sentence(why), Sentence("Collinearity of the predictors"))
    for place, one in enumerate(every):
        if place and one.vif < NOTABLE:
            break
        name, partner = text(f"`{one.name}`"), text(f"`{one.partner}`")
        factor = float(np.sqrt(one.vif))
        notable = Sentence(
            "The predictor {} is collinear with others, most with {}: its standard errors are {} times what "
            "they would be without anything in common (variance inflation {}; without {} {}).",
            name, partner, number(factor, 1), number(one.vif, 1), partner, number(one.without, 1),
        )  # fmt: skip
        yield CheckResult(
            check=CHECK,
            of=one.name,
            fine=Sentence(
                "No predictor is strongly collinear with others: the largest variance inflation is that of "
                "{}, {}.",
                name, number(one.vif, 2),
            ),
            notable=notable,
            statistic=np.empty(0),
            size=one.vif,
            where=one.partner if one.vif >= NOTABLE else "",
            remedy=f"combine `{one.name}` and `{one.partner}`, or say that the data do not tell them apart",
            verdict=TROUBLE if one.vif >= LARGE else LOOK if one.vif >= NOTABLE else FINE,
            method="generalised variance inflation, a direction",
        )  # fmt: skip
