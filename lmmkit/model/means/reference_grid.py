"""The reference grid: every combination of the factors' levels, covariates at their means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, cast

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError, did_you_mean
from lmmkit.model.design.design import Design
from lmmkit.model.design.variables import Variable
from lmmkit.model.formula.expression import named_column
from lmmkit.model.table.columns import open_table
from lmmkit.model.table.evaluate import Evaluator
from lmmkit.model.table.grouping import level_texts

KEPT = 2  # a covariate with no more values than this keeps them, as in emmeans
LARGEST = 200_000  # points of a grid that is still made
STEP = 1e-3  # of a covariate's range: the width of the difference that a slope is


@dataclass(frozen=True)
class Axis:
    """One variable of the grid with its values."""

    name: str
    values: tuple[Any, ...]
    factor: bool

    @property
    def labels(self) -> list[Any]:
        """Its values as tables show them: text for a factor."""
        return list(level_texts(self.values)) if self.factor else list(self.values)


@dataclass(frozen=True, eq=False)
class Grid:
    """All combinations of the axes' values."""

    design: Design
    axes: tuple[Axis, ...]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row per point, the last axis varying fastest."""
        points = list(product(*(axis.values for axis in self.axes)))
        columns = zip(*points, strict=True)
        return pd.DataFrame({axis.name: list(v) for axis, v in zip(self.axes, columns, strict=True)})

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each axis."""
        return tuple(len(axis.values) for axis in self.axes)

    @cached_property
    def X(self) -> Floats:
        """(points, p) the columns of the fixed part."""
        if not self.axes:
            return np.ones((1, len(self.design.fixed_names)))
        return self.design.fixed_matrix(self.frame)

    @cached_property
    def offset(self) -> Floats:
        """(points,) known part of the mean."""
        total = np.full(max(int(np.prod(self.shape)), 1), _given_offset(self.design))
        for expression in self.design.recipe.formula.offsets:
            total += Evaluator(open_table(self.frame, expression.variables)).numbers(expression)
        return total

    @cached_property
    def names(self) -> list[str]:
        """Names of the variables."""
        return [axis.name for axis in self.axes]

    def named(self, text: str) -> str:
        """The variable that a text names, as it stands or in the back-quotes of a formula."""
        return text if text in self.names else named_column(text)

    def position(self, name: str) -> int:
        """Which axis a variable is.

        Raises:
            FitError: The fixed part has no such variable.
        """
        if name not in self.names:
            known = ", ".join(self.names) or "none"
            near = did_you_mean(name, self.names) or "."
            raise FitError(f"`{name}` is no variable of the fixed part; its variables: {known}{near}")
        return self.names.index(name)

    def moved(self, name: str, step: float) -> Grid:
        """The grid with one numeric variable shifted."""
        at = self.position(name)
        shifted = replace(self.axes[at], values=tuple(v + step for v in self.axes[at].values))
        return Grid(self.design, (*self.axes[:at], shifted, *self.axes[at + 1 :]))


def _given_offset(design: Design) -> float:
    """Mean of an offset given beside the formula."""
    given = design.request.offset
    if given is None:
        return 0.0
    name = given if isinstance(given, str) else "(offset)"
    return float(design.frame[name].mean())


Reduce = str | Callable[[Any], Any]
REDUCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "mean": lambda x: x.mean(),
    "median": lambda x: x.median(),
    "range": lambda x: [x.min(), x.max()],
    "meanint": lambda x: [x.mean() - 1.0, x.mean() + 1.0],
    "unique": lambda x: np.unique(x.to_numpy()).tolist(),
}


def reference_grid(
    design: Design,
    at: Mapping[str, Sequence[Any]] | None = None,
    cov_reduce: Reduce | Mapping[str, Reduce] = "mean",
) -> Grid:
    """The grid of a design's fixed part and offsets.

    Args:
        design: The design.
        at: Values of variables in place of all levels or of the mean.
        cov_reduce: What stands for a covariate: a key of `REDUCTIONS` (one that has two values keeps both),
            or a function from its column to a number or several; or such by covariate.

    Raises:
        FitError: `at` names a variable that the fixed part does not have, or the grid is too large.
    """
    if at is not None and not hasattr(at, "items"):
        raise FitError(
            f"at: values by name of variable are expected, such as {{'x': [0, 1]}}, not {type(at).__name__}."
        )
    formula = design.recipe.formula
    used = [e for term in formula.fixed for e in term] + list(formula.offsets)
    names = list(dict.fromkeys(name for e in used for name in e.variables))
    given = {
        name if name in names else named_column(str(name)): values for name, values in (at or {}).items()
    }
    reduce = _reductions(cov_reduce, names)
    grid = Grid(design, tuple(_axis(design, name, given.get(name), reduce[name]) for name in names))
    for name in given:
        grid.position(name)
    if np.prod([float(size) for size in grid.shape]) > LARGEST:
        raise FitError(
            f"The reference grid would have {np.prod([float(s) for s in grid.shape]):,.0f} points, more than "
            f"{LARGEST:,}: give values for some variables in `at`."
        )
    return grid


def _reductions(given: Any, names: Sequence[str]) -> dict[str, Reduce]:
    """What stands for each covariate."""
    own = cast("Mapping[Any, Any]", given) if isinstance(given, Mapping) else dict.fromkeys(names, given)
    found: dict[str, Reduce] = dict.fromkeys(names, "mean")
    for word, how in own.items():
        name = word if word in names else named_column(str(word))
        if name not in names:
            near = did_you_mean(str(word), names) or "."
            raise FitError(f"cov_reduce: `{word}` is no variable of the fixed part{near}")
        if not callable(how) and how not in REDUCTIONS:
            raise FitError(
                f"cov_reduce={how!r} is not known: choose one of {', '.join(map(repr, REDUCTIONS))}, or give "
                "a function of the column."
            )
        found[name] = cast("Reduce", how)
    return found


def _reduced(name: str, column: pd.Series[Any], how: Reduce) -> tuple[float, ...]:
    """The values that stand for a covariate."""
    made = how(column) if callable(how) else REDUCTIONS[how](column)
    try:
        values = np.atleast_1d(np.asarray(made, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise FitError(
            f"cov_reduce gives {made!r:.60} for `{name}`: a finite number is expected, or several."
        )
    return tuple(dict.fromkeys(values.tolist()))


def axis_of(design: Design, name: str) -> Axis:
    """A variable of the fixed part with its levels, or with its mean."""
    return _axis(design, name, None, "mean")


def _axis(design: Design, name: str, given: Sequence[Any] | None, reduce: Reduce) -> Axis:
    column, factor = design.frame[name], _factor(design, name)
    if given is not None:
        values = [given] if isinstance(given, str) or np.isscalar(given) else list(given)
        if not values:
            raise FitError(f"at: no value is given for `{name}`; give one or more, or leave it out.")
        twice = [value for value in values if values.count(value) > 1]
        if twice:
            raise FitError(
                f"at: `{name}` has the value {twice[0]!r} {values.count(twice[0])} times: give it once."
            )
        return Axis(name, tuple(values), factor is not None)
    if factor is not None:
        observed = pd.unique(column)
        by_text = dict(zip(level_texts(observed), observed, strict=True))
        return Axis(name, tuple(by_text[level] for level in factor.levels), True)
    values = np.unique(column.to_numpy())
    if len(values) <= KEPT and isinstance(reduce, str):
        return Axis(name, tuple(values.tolist()), False)
    return Axis(name, _reduced(name, column, reduce), False)


def _factor(design: Design, name: str) -> Variable | None:
    """The factor that a column is in the fixed part, or None for a covariate."""
    for expression in (e for term in design.recipe.formula.fixed for e in term):
        variable = design.recipe.variables[expression]
        if variable.kind == "factor" and expression.variables == (name,):
            return variable
    return None
