"""F tests: of the terms of the fixed part, by hypotheses of type I, II and III; of linear functions together.

Those of terms are written on the coefficients of the treatment coding, whatever coding the model was fitted
with, and carried over: hypotheses and their degrees of freedom do not depend on the coding. A hypothesis is
an estimable function of the overparametrised model, which has one coefficient per level and combination of
them.

Reference: SAS/STAT, The Four Types of Estimable Functions; Goodnight (1980).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.codings import codings
from lmmkit.model.inference.degrees_of_freedom import Denominators, FTest, denominators
from lmmkit.model.inference.distributions import f_tail
from lmmkit.model.inference.fixed_effect_terms import Effect, fixed_effects
from lmmkit.model.inference.linear_functions import aliasing, combinations

TYPES = (1, 2, 3)
INTERCEPT = Effect(frozenset(), frozenset())
NOTHING_LEFT = "no test: the data can estimate nothing of it"
AGREE = 1e-8  # relative distance of the values of redundant hypotheses that is rounding
NEGLIGIBLE = 1e-8  # relative size below which a singular value or a coefficient is rounding


def anova(estimates: Estimates, *, kind: Any, df: str) -> pd.DataFrame:
    """F tests of the terms of the fixed part.

    Args:
        estimates: The fit.
        kind: 1 (each term after those before it), 2 (after all that do not contain it) or 3 (marginal means
            with equal weights), as SAS has them, whatever the coding.
        df: Denominator degrees of freedom; the F of Kenward-Roger is scaled.

    Raises:
        FitError: An option that is not offered, or a method that this fit does not allow.
    """
    if isinstance(kind, bool | float) or kind not in TYPES:
        raise FitError(f"type={kind!r} is not known. Choose 1 (sequential), 2 or 3 (marginal).")
    by = denominators(estimates, df)
    terms = estimates.design.fixed_terms
    tested = [(t, term.name) for t, term in enumerate(terms) if term.name != "Intercept"]
    stated = hypotheses(estimates)
    tests = [_test(stated, t, kind, by) for t, _ in tested]
    names = pd.Index([name for _, name in tested], name="term")
    return f_table(tests, names, by)


def f_table(tests: Sequence[FTest], labels: pd.Index[Any], by: Denominators) -> pd.DataFrame:
    """F tests as rows: num_df, den_df, F, p, method."""
    table = pd.DataFrame(list(tests), columns=list(FTest._fields), index=labels).astype({"num_df": int})
    p = [f_tail(test.F, test.num_df, test.den_df) for test in tests]
    named = zip(by.named(table["den_df"].to_numpy()), table["num_df"], strict=True)
    return table.assign(p=p, method=[method if rows else NOTHING_LEFT for method, rows in named])


def joint_contrast(estimates: Estimates, L: Any, *, df: str, null: Any = None) -> pd.DataFrame:
    """The F test that all of some linear combinations have their values: num_df, den_df, F, p, method.

    Args:
        estimates: The fit.
        L: As `combinations` reads them.
        df: Denominator degrees of freedom; the F of Kenward-Roger is scaled.
        null: The values tested, where the text gives none; by default 0.

    Raises:
        FitError: A combination that cannot be read or estimated, values that contradict each other, or an
            option that is not offered.
    """
    found, by = combinations(L, estimates, null), denominators(estimates, df)
    test = joint_test(estimates, found.L, by, found.null)
    table = f_table([test], pd.Index([" & ".join(found.labels)], name="contrast"), by)
    table.attrs.update(rows=found.labels, method=by.told)
    return table


def joint_test(estimates: Estimates, L: Floats, by: Denominators, null: Floats | float = 0.0) -> FTest:
    """The F test of L beta = null; none where no row is left.

    Args:
        estimates: The fit.
        L: (r, p) on the kept coefficients; rows that follow from earlier ones are left out.
        by: Degrees of freedom.
        null: (r,) the values.

    Raises:
        FitError: The values contradict each other.

    References: Fai & Cornelius (1996); Kenward & Roger (1997).
    """
    values = np.broadcast_to(null, len(L)).astype(float)
    prepared = (L @ by.vcov.basis).T  # in units in which rounding can be told from a weight
    lengths = np.linalg.norm(prepared, axis=0)
    lengths[lengths == 0.0] = 1.0
    rows = independent(prepared / lengths, np.ones(len(L)))
    if not rows:
        return FTest(0, np.nan, np.nan)
    kept = prepared[:, rows] / lengths[rows]
    weights = solved(kept.T @ kept, kept.T @ (prepared / lengths))  # of each row in those kept
    gap = values / lengths - (values[rows] / lengths[rows]) @ weights
    if np.abs(gap).max() > AGREE * max(float(np.abs(values / lengths).max()), 1e-300):
        raise FitError(
            "The hypotheses contradict each other: one follows from others with another value. Leave it "
            "out, or correct the values."
        )
    own = np.flatnonzero(L[rows].any(axis=0)).tolist()
    return by.f_test(L[rows], estimates.beta, own, values[rows])


def _test(stated: Hypotheses, term: int, kind: int, by: Denominators) -> FTest:
    """The F test of one term; none where all its columns are aliased."""
    L, estimates = stated.rows(term, kind), stated.estimates
    if not len(L):
        return FTest(0, np.nan, np.nan)
    own = [estimates.kept.index(c) for c in estimates.design.fixed_terms[term].columns if c in estimates.kept]
    return by.f_test(L, estimates.beta, own)


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """A fit's fixed part on the coefficients of the treatment coding.

    Attributes:
        estimates: The fit.
        effects: The variables of each term.
        columns: Columns of each term in treatment coding, aliased ones left out.
        cells: Coefficients of each term in the overparametrised model, reference levels last; none of a
            term that is aliased altogether.
        estimable: (p, m) K: the overparametrised X is X_treatment K.
        mixing: (p, p) H: X_treatment is X H, so that its coefficients are H^-1 beta.
    """

    estimates: Estimates
    effects: tuple[Effect, ...]
    columns: tuple[tuple[int, ...], ...]
    cells: tuple[tuple[int, ...], ...]
    estimable: Floats
    mixing: Floats

    @cached_property
    def root(self) -> Floats:
        """(p, p) triangular, with the cross-products of X_treatment."""
        X = self.estimates.X
        size = np.sqrt(np.einsum("np,np->p", X, X))
        return _triangular(X / size) * size @ self.mixing

    def rows(self, term: int, kind: int) -> Floats:
        """(l, p) independent rows L of the hypothesis L beta = 0 of a term."""
        if not self.columns[term]:
            return np.empty((0, len(self.mixing)))
        if len(self.effects) - (INTERCEPT in self.effects) == 1:
            kind = 1  # one term alone: one hypothesis, whose rows are lmerTest's under every type
        made = (self._sequential, self._partial, self._marginal)[kind - 1](term)
        return solved(self.mixing.T, made.T).T

    def _sequential(self, term: int) -> Floats:
        """Type I: the term after those before it."""
        return self._after(term, [c for own in self.columns[:term] for c in own])

    def _partial(self, term: int) -> Floats:
        """Type II: the term after all that do not contain it."""
        above = self._above(term)
        if not above:
            return np.eye(len(self.mixing))[list(self.columns[term])]
        others = [own for t, own in enumerate(self.columns) if t != term and t not in above]
        return self._after(term, [c for own in others for c in own])

    def _after(self, term: int, before: list[int]) -> Floats:
        """What least squares tests when the term's columns come after others."""
        own = list(self.columns[term])
        rest = [c for c in range(len(self.mixing)) if c not in before and c not in own]
        order = [*before, *own, *rest]
        R = _triangular(self.root[:, order])
        R = R[len(before) : len(before) + len(own)]
        rows = np.zeros((len(own), len(order)))
        rows[:, order] = R / R[:, len(before) : len(before) + len(own)].diagonal()[:, None]
        return rows

    def _above(self, term: int) -> list[int]:
        """Terms that contain a term."""
        return [t for t, effect in enumerate(self.effects) if effect.contains(self.effects[term])]

    def _marginal(self, term: int) -> Floats:
        """Type III: zero on terms that do not contain it, orthogonal to the hypotheses of those that do."""
        above = self._above(term)
        foreign = [c for t, own in enumerate(self.cells) if t != term and t not in above for c in own]
        allowed = _null_space(self.estimable[:, foreign].T)
        own = list(self.cells[term])
        higher = allowed @ _null_space((allowed.T @ self.estimable[:, own]).T)
        metric = self.estimable @ self.estimable.T
        free = allowed @ _null_space(higher.T @ metric @ allowed)
        return _echelon(free.T, (free.T @ self.estimable)[:, own])


def _triangular(A: Floats) -> Floats:
    """R of A = Q R."""
    return np.asarray(np.linalg.qr(A)[1], dtype=np.float64)


def _null_space(A: Floats) -> Floats:
    """(p, d) orthonormal columns spanning the x with A x = 0."""
    if A.shape[0] == 0:
        return np.eye(A.shape[1])
    _, values, rows = np.linalg.svd(A)
    rank = int(np.sum(values > NEGLIGIBLE * max(values[0], 1e-300))) if len(values) else 0
    return rows[rank:].T


def _echelon(rows: Floats, block: Floats) -> Floats:
    """The same row space, with a unit matrix in the first columns of `block` that allow it."""
    if not len(rows):
        return rows
    lengths = np.linalg.norm(block, axis=0)
    pivots = independent(block, np.full(len(lengths), lengths.max()))
    made = solved(block[:, pivots], rows)
    made[np.abs(made) < NEGLIGIBLE * np.abs(made).max()] = 0.0
    return made


def hypotheses(estimates: Estimates) -> Hypotheses:
    """The hypotheses that an analysis of variance of a fit can test."""
    recipe = estimates.design.recipe
    coded = codings(recipe)
    full = solved(coded.treatment_to_fitted.T, aliasing(estimates).T).T
    kept = independent(full, np.linalg.norm(full, axis=0))
    mixing = full[:, kept]
    number = {c: i for i, c in enumerate(kept)}
    columns = tuple(tuple(number[c] for c in own if c in number) for own in coded.columns)
    cells = tuple(own if kept else () for own, kept in zip(coded.cells, columns, strict=True))
    estimable = solved(mixing, full) @ coded.cells_from_treatment
    return Hypotheses(estimates, tuple(fixed_effects(recipe)), columns, cells, estimable, mixing)


def independent(A: Floats, sizes: Floats) -> list[int]:
    """Columns that are no linear functions of earlier ones, rounding being a share of a size for each."""
    kept, basis = list[int](), np.empty((len(A), 0))
    for j, size in enumerate(sizes):
        rest = A[:, j] - basis @ (basis.T @ A[:, j])
        length = float(np.linalg.norm(rest))
        if length > NEGLIGIBLE * size and len(kept) < len(A):
            kept.append(j)
            basis = np.column_stack([basis, rest / length])
    return kept
