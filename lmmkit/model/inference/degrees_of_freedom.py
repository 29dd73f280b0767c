"""Denominator degrees of freedom: one object per method, all asked the same two questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.covariance.roots import zero_pivots
from lmmkit.engine.inference.kenward_roger import KenwardRoger
from lmmkit.engine.inference.satterthwaite import Satterthwaite
from lmmkit.engine.linalg.two_part_covariance import Sandwich
from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.strata import between_within, containment, residual_df
from lmmkit.model.options import check_option

METHODS = ("auto", "satterthwaite", "kenward-roger", "containment", "between-within", "residual", "normal")
MOST_EFFECTS, MOST_ROWS = 3_000, 50_000  # up to here "auto" is Kenward-Roger


class Joint(NamedTuple):
    """An F statistic with its degrees of freedom."""

    num_df: int
    den_df: float
    F: float


class Denominators(Protocol):
    """A method: the covariance matrix it takes, and degrees of freedom for rows of L."""

    @property
    def method(self) -> str:
        """Its name."""
        ...

    @property
    def vcov(self) -> Sandwich:
        """Covariance matrix of the fixed effects; Kenward-Roger's is adjusted."""
        ...

    def single(self, L: Floats) -> Floats:
        """(r,) degrees of freedom of the t test of each row of L; NaN for a row of zeros."""
        ...

    def joint(self, L: Floats, beta: Floats, own: Sequence[int] | None = None) -> Joint:
        """The F test of L beta = 0 for independent rows; `own` are the columns of the term that is tested."""
        ...


@dataclass(frozen=True, eq=False)
class ByKenwardRoger:
    """Kenward & Roger (1997)."""

    found: KenwardRoger
    method: str = "kenward-roger"

    @property
    def vcov(self) -> Sandwich:
        """Adjusted."""
        return self.found.adjusted

    def single(self, L: Floats) -> Floats:
        """Degrees of freedom of each row."""
        return np.array([self.found.scaling(row[None]).df if row.any() else np.nan for row in L])

    def joint(self, L: Floats, beta: Floats, own: Sequence[int] | None = None) -> Joint:
        """The scaled F."""
        df, scale = self.found.scaling(L)
        return Joint(len(L), df, scale * wald(L, beta, self.vcov))


@dataclass(frozen=True, eq=False)
class BySatterthwaite:
    """Satterthwaite, for several rows with Fai & Cornelius (1996)."""

    found: Satterthwaite
    method: str = "satterthwaite"

    @property
    def vcov(self) -> Sandwich:
        """Unadjusted."""
        return self.found.information.vcov

    def single(self, L: Floats) -> Floats:
        """Degrees of freedom of each row."""
        return self.found.single(L)

    def joint(self, L: Floats, beta: Floats, own: Sequence[int] | None = None) -> Joint:
        """The F test."""
        return Joint(len(L), self.found.joint(L), wald(L, beta, self.vcov))


@dataclass(frozen=True, eq=False)
class ByColumn:
    """One number per coefficient; a combination gets the least of those that it uses."""

    method: str
    vcov: Sandwich
    columns: Floats

    def single(self, L: Floats) -> Floats:
        """The least of each row's coefficients."""
        return np.array([self._least(row != 0.0) for row in L])

    def joint(self, L: Floats, beta: Floats, own: Sequence[int] | None = None) -> Joint:
        """The F test, with the term's own degrees of freedom where a term is tested."""
        used = np.isin(np.arange(len(beta)), own) if own is not None else (L != 0.0).any(axis=0)
        return Joint(len(L), self._least(used), wald(L, beta, self.vcov))

    def _least(self, used: NDArray[np.bool_]) -> float:
        return float(self.columns[used].min()) if used.any() else np.nan


def wald(L: Floats, beta: Floats, vcov: Sandwich) -> float:
    """(L beta)'(L V L')^-1 (L beta) / rows."""
    value, inner = L @ beta, vcov.between(L)
    size = np.sqrt(inner.diagonal())
    value = value / size
    return float(value @ np.linalg.solve(inner / np.outer(size, size), value)) / len(L)


def denominators(estimates: Estimates, df: str) -> Denominators:
    """The method that `df` names.

    Args:
        estimates: The fit.
        df: One of `METHODS`; "auto" is Kenward-Roger for a non-singular REML fit with at most 3,000 random
            effects and 50,000 rows, else Satterthwaite.

    Raises:
        FitError: An unknown method, or one that this fit does not allow.
    """
    check_option("df", df, METHODS)
    chosen = automatic(estimates) if df == "auto" else df
    if chosen == "kenward-roger":
        _refuse_kenward_roger(estimates)
        return ByKenwardRoger(estimates.kenward_roger)
    if chosen == "satterthwaite":
        return BySatterthwaite(estimates.satterthwaite)
    return ByColumn(chosen, estimates.covariance_of_beta, _columns(estimates, chosen))


def automatic(estimates: Estimates) -> str:
    """The method of df="auto": a rule of size, never of time."""
    effects = sum(term.grouping.size * len(term.names) for term in estimates.random)
    small = effects <= MOST_EFFECTS and estimates.nobs <= MOST_ROWS
    sound = estimates.reml and not any(estimates.null_directions)
    return "kenward-roger" if small and sound else "satterthwaite"


def _columns(estimates: Estimates, method: str) -> Floats:
    """Degrees of freedom of each coefficient."""
    if method == "containment":
        return containment(estimates)
    if method == "between-within":
        return between_within(estimates)
    return np.full(len(estimates.beta), np.inf if method == "normal" else residual_df(estimates))


def _refuse_kenward_roger(estimates: Estimates) -> None:
    if not estimates.reml:
        raise FitError(
            "df='kenward-roger' is defined for REML fits and this one is by maximum likelihood: fit with "
            "reml=True, or use df='satterthwaite'."
        )
    if any(estimates.null_directions):
        raise FitError(
            f"df='kenward-roger' needs a covariance matrix inside its cone, and this fit is singular: "
            f"{'; '.join(null_directions(estimates))}. Use df='satterthwaite', which then leaves the null "
            "directions out, or drop them from the formula."
        )


def null_directions(estimates: Estimates) -> list[str]:
    """Each null direction of the random effects' covariance matrices, in words."""
    return [
        text
        for t, count in enumerate(estimates.null_directions)
        for text in _null_texts(estimates, t)
        if count
    ]


def _null_texts(estimates: Estimates, t: int) -> Iterator[str]:
    """`the variance of Subject.Days is zero`, or the combination of columns whose variance is."""
    term, L = estimates.random[t], estimates.factors[t]
    for cone in term.structure.cones:
        names, block = [term.names[c] for c in cone], L[np.ix_(cone, cone)]
        count = zero_pivots(block)
        if count and len(cone) == 1:
            yield f"the variance of {term.group}.{names[0]} is zero"
            continue
        for row in np.linalg.svd(block.T)[2][len(cone) - count :]:
            yield f"the variance of {_combination(row, names)} in {term.group} is zero"


def _combination(weights: Floats, names: Sequence[str]) -> str:
    """`0.97 Intercept - 0.24 Days`; negligible weights left out."""
    weights = weights * np.sign(weights[np.argmax(np.abs(weights))])
    parts = [f"{w:+.3g} {name}" for w, name in zip(weights, names, strict=True) if abs(w) > 1e-6]
    return " ".join(parts).removeprefix("+").replace(" +", " + ").replace(" -", " - ")
