"""What every residual structure on the rows used has: its names, its words, variances of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np

from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.covariance.row_structure import RowStructure
from lmmkit.engine.problem import Residual, RowResidual
from lmmkit.model.formula.residual_formula import SERIAL, ResidualFormula
from lmmkit.model.table.columns import Floats, Ints
from lmmkit.model.table.evaluate import Evaluator
from lmmkit.model.table.grouping import Grouping


@dataclass(frozen=True, eq=False)
class LevelNames(Sequence[str]):
    """Names of the levels of a grouping factor, made when one is asked for."""

    grouping: Grouping

    def __len__(self) -> int:
        return self.grouping.size

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return str(self.grouping.levels[index])


@dataclass(frozen=True, eq=False)
class ResidualDesign(ABC):
    """A residual structure with its names on the rows used.

    Attributes:
        formula: The structure as read.
        subjects: The subjects; None where all rows are independent.
        ident: What the variance differs by, or None.
        notices: What the user should look at, in sentences.
        arrays: What the engine is handed.
    """

    formula: ResidualFormula
    subjects: Grouping | None
    ident: Grouping | None
    notices: tuple[str, ...]
    arrays: Residual | RowResidual

    @property
    @abstractmethod
    def structure(self) -> ResidualStructure | RowStructure:
        """What R may be."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the r parameters."""
        return self.structure.names

    @property
    def words(self) -> str:
        """The structure in words."""
        return in_words(self.formula)

    def printed(self, values: Floats) -> dict[str, float]:
        """The parameters with what is told beside them: of `car1` the correlation of rows one unit apart.

        Args:
            values: (r,) natural parameters.
        """
        own = dict(zip(self.names, values.tolist(), strict=True))
        if self.formula.correlation == SERIAL:
            return {**own, "rho": correlation_of_unit(own["range"])}
        return own

    def boundary(self, values: Floats) -> str:
        """What is said where the correlation has come to its bound, zero; nothing elsewhere.

        Args:
            values: (r,) natural parameters.
        """
        if self.printed(values).get("range") != 0.0:
            return ""
        kind = "serial correlation" if self.formula.correlation == SERIAL else "correlation with distance"
        return (
            f"no {kind}; the range is at its bound zero, where rows are independent, and the model is the "
            "one without it."
        )

    @abstractmethod
    def variance_columns(self) -> list[str]:
        """Names of the columns that a row's variance depends on."""

    @abstractmethod
    def own_rows(self) -> Floats | Ints:
        """(n,) what the variances of the rows used depend on: cells, or values of a variance function."""

    @abstractmethod
    def new_rows(self, evaluator: Evaluator, fitted: Floats) -> Floats | Ints:
        """(m,) the same of the rows of another table; -1, or NaN, where the fit has none.

        Args:
            evaluator: Reads the table; of its columns `variance_columns` are needed.
            fitted: (m,) predicted means of the rows.
        """

    @abstractmethod
    def variances(self, rho: Floats, rows: Floats | Ints) -> Floats:
        """(m,) variances of rows relative to sigma^2, NaN where they are unknown.

        Args:
            rho: (r,) coordinates.
            rows: (m,) of `own_rows` or `new_rows`.
        """

    @abstractmethod
    def variance_slopes(self, rho: Floats, rows: Floats | Ints) -> Floats:
        """(m, r) their derivatives."""


def correlation_of_unit(reach: float) -> float:
    """The correlation of two rows one unit of time apart, exp(-1 / range); 0 where there is none."""
    return 0.0 if reach == 0.0 else float(np.exp(-1.0 / reach))


_CORRELATIONS = {
    "un": "every correlation between two visits free",
    "cs": "one correlation for all pairs of visits",
    "toep": "one correlation for each distance between visits",
    "ar1": "the correlation rho to the power of the distance between visits (first-order autoregression)",
    "ad": "a correlation for each pair of neighbouring visits, others their products (antedependence)",
}


def in_words(formula: ResidualFormula) -> str:
    """What a structure says, in words: `a variance for each visit, ...`.

    >>> from lmmkit.model.formula.residual_formula import parse_residual
    >>> in_words(parse_residual("ident(sex)"))
    'Residuals: a variance for each level of sex, no correlation.'
    >>> in_words(parse_residual("power(dose)"))
    'Residuals: a standard deviation that follows a power of dose, no correlation.'
    """
    variance = _variance(formula)
    if formula.group is None:
        return f"Residuals: {variance}, no correlation."
    within = f"Residuals within {formula.group.label}" if formula.group.names else "Residuals"
    if formula.fades:
        return f"{within}: {variance}, {_fading(formula)}."
    correlation, order = _CORRELATIONS[formula.correlation], ""
    if formula.time is None:
        order = ", the visits being the order of rows"
    what = f"{variance}, {correlation}{order}; no further independent residual."
    if formula.by and formula.variance:
        what = f"{variance}; for each level of {formula.by.label} apart {correlation}{order}; no further "
        what += "independent residual."
    elif formula.by:
        what = f"for each level of {formula.by.label} apart {what}"
    return f"{within}: {what}"


def _variance(formula: ResidualFormula) -> str:
    if formula.ident:
        return f"a variance for each level of {formula.ident.label}"
    if formula.growing is None:
        return "a variance for each visit" if formula.heterogeneous else "one variance"
    of = formula.growing.of
    if of is None:
        return "a standard deviation that follows a power of the fitted values (pseudo-likelihood)"
    if formula.growing.kind == "power":
        return f"a standard deviation that follows a power of {of.text}"
    return f"a standard deviation that grows exponentially with {of.text}"


def _fading(formula: ResidualFormula) -> str:
    """What fades with what: `serial correlation that decays with day`."""
    if formula.correlation == SERIAL:
        assert formula.time is not None
        return (
            f"serial correlation that decays exponentially with the distance in {formula.time.text} "
            "(continuous-time autoregression); no further independent residual"
        )
    place = ", ".join(each.text for each in formula.coordinates)
    rest = "and a nugget that no two rows share" if formula.nugget else "no further independent residual"
    joined = " " if formula.nugget else "; "
    return f"correlation that decays exponentially with the distance in {place}{joined}{rest}"
