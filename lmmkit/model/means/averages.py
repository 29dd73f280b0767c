"""Averages over rows: of predictions, of slopes, of comparisons between values of a variable.

Each is a linear function of the coefficients (and, at level "group", of the random effects), so that it has
the degrees of freedom of any other: what R's marginaleffects averages, with small-sample inference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.errors import DataError, FitError, FormulaError, did_you_mean
from lmmkit.model.blups import function_errors
from lmmkit.model.estimates import Estimates
from lmmkit.model.formula.expression import named_column
from lmmkit.model.inference.degrees_of_freedom import denominators
from lmmkit.model.inference.distributions import t_quantile, t_tail
from lmmkit.model.inference.linear_functions import estimable, linear_table
from lmmkit.model.means.focus import is_factor, levels_of_column
from lmmkit.model.means.reference_grid import STEP
from lmmkit.model.options import check_level, check_option, names_of
from lmmkit.model.table.columns import open_table
from lmmkit.model.table.evaluate import Evaluator

AtLevel = Literal["population", "group"]
SPANS = ("sd", "iqr", "minmax")
LEVELS = ("reference", "sequential", "pairwise")


@dataclass(frozen=True, eq=False)
class _RowFunctions:
    """Linear functions, one a row of a table.

    Attributes:
        X: (m, p_all) on all columns of X.
        offset: (m,) known part.
        Z: For each random-effects term (e, k) of the rows' parts, at level "group"; else none.
        codes: For each random-effects term (e,) levels.
        row: (e,) the row of each part; a row has several where it belongs to several levels.
    """

    X: Floats
    offset: Floats
    Z: tuple[Floats, ...] = ()
    codes: tuple[Ints, ...] = ()
    row: Ints | None = None

    def minus(self, other: _RowFunctions, width: float) -> _RowFunctions:
        """The difference over `width`; of a term whose levels it changes both are kept.

        Raises:
            FitError: The levels of a grouping factor change with the variable.
        """
        if any((one != two).any() for one, two in zip(self.codes, other.codes, strict=True)):
            raise FitError(
                "The variable is part of a grouping factor, whose levels would change with it: use "
                "level='population'."
            )
        Z = tuple((one - two) / width for one, two in zip(self.Z, other.Z, strict=True))
        X, offset = (self.X - other.X) / width, (self.offset - other.offset) / width
        return _RowFunctions(X, offset, Z, self.codes, self.row)


@dataclass(frozen=True, eq=False)
class RowAverages:
    """What averages over some rows need.

    Attributes:
        estimates: The fit.
        frame: The rows.
        level: Of the predictions.
        by: Columns within whose values rows are averaged.
        weights: (m,) what each row counts.
        df: Denominator degrees of freedom.
        coverage: Of the intervals.
    """

    estimates: Estimates
    frame: pd.DataFrame
    level: AtLevel
    by: tuple[str, ...]
    weights: Floats
    df: str
    coverage: float

    def predictions(self) -> pd.DataFrame:
        """Average predictions: estimate, se, df, t, p, low, high."""
        return self._table([((), self._rows(self.frame))], [])

    def comparisons(self, changes: Sequence[_Change]) -> pd.DataFrame:
        """Average differences of predictions between values of variables, by term and contrast."""
        made = [
            ((change.term, change.label), self._rows(change.high).minus(self._rows(change.low), change.width))
            for change in changes
        ]
        return self._table(made, ["term", "contrast"])

    def slope(self, variable: str, **values: Any) -> Floats:
        """(p_all,) weights of the coefficients in the average slope along a covariate.

        A basis that has no values outside the range of the data is met a step inside of it, and what its
        slope
        changes over that step is added: exact to the second degree, as the central difference is.

        Args:
            variable: The covariate.
            values: What other variables, or it itself, are set to in all rows.
        """
        frame = self.frame.assign(**{name: [value] * len(self.frame) for name, value in values.items()})
        of, share = replace(self, frame=frame), self.weights / self.weights.sum()
        try:
            (change,) = slope_changes(of, variable)
            return share @ of._rows(change.high).minus(of._rows(change.low), change.width).X
        except FormulaError:
            known = self.estimates.design.frame[variable].to_numpy(float)
            x, step = frame[variable].to_numpy(float), STEP * float(np.ptp(known)) / 2.0
            inside = np.clip(x, known.min() + step, known.max() - step)
            low, mid, high = (of._rows(frame.assign(**{variable: inside + d})).X for d in (-step, 0.0, step))
            bend = (high - 2.0 * mid + low) / step**2
            return share @ ((high - low) / (2.0 * step) + (x - inside)[:, None] * bend)

    def _rows(self, frame: pd.DataFrame) -> _RowFunctions:
        design = self.estimates.design
        if self.level == "population":
            return _RowFunctions(design.fixed_matrix(frame), self._offset(frame))
        new = design.new_data(frame)
        for t, term in enumerate(self.estimates.random):
            if (unseen := new.unseen(t)).any():
                raise DataError(
                    f"{int(unseen.sum()):,} of the {len(unseen):,} rows have a level of `{term.factor}` "
                    "that the fit has not seen; leave them out, or use level='population'."
                )
        parts = new.parts()
        return _RowFunctions(new.X, self._offset(frame), parts.Z, parts.codes, parts.row)

    def _offset(self, frame: pd.DataFrame) -> Floats:
        """(m,) known part of the mean."""
        given, total = self.estimates.design.request.offset, np.zeros(len(frame))
        if given is not None:
            name = given if isinstance(given, str) else "(offset)"
            if name not in frame.columns:
                raise DataError(
                    f"The rows lack the offset `{name}` of the fit: give it, or average the fit's own rows."
                )
            total += open_table(frame, [name]).numbers(name)
        for expression in self.estimates.design.recipe.formula.offsets:
            total += Evaluator(open_table(frame, expression.variables)).numbers(expression)
        return total

    def _table(self, made: Sequence[tuple[tuple[str, ...], _RowFunctions]], names: list[str]) -> pd.DataFrame:
        """A row for each set of functions and each value of `by`."""
        code, keys = self._groups()
        share = self.weights / np.bincount(code, self.weights, len(keys))[code]
        labels = [(*own, *key) for own, _ in made for key in keys]
        averages = [_averaged(rows.X, code, share, len(keys)) for _, rows in made]
        L, possible = estimable(np.concatenate(averages), self.estimates)
        offset = np.concatenate(
            [_averaged(rows.offset[:, None], code, share, len(keys))[:, 0] for _, rows in made]
        )
        index = _index(labels, [*names, *self.by])
        if self.level == "group" and self.estimates.random:
            table = self._of_groups(index, made, L, possible, offset, code, share)
        else:
            by = denominators(self.estimates, self.df)
            table = linear_table(
                index, L, self.estimates, by, self.coverage, offset=offset, possible=possible
            )
        bad = [
            " ".join(map(str, label)) or "overall"
            for label, fine in zip(labels, possible, strict=True)
            if not fine
        ]
        told = (
            f"{len(bad)} rows of the table are NaN, which these data cannot estimate: {', '.join(bad[:5])}."
            if bad
            else ""
        )
        table.attrs.update(level=self.coverage, trouble=told)
        return table

    def _of_groups(
        self,
        index: pd.Index[Any],
        made: Sequence[tuple[tuple[str, ...], _RowFunctions]],
        L: Floats,
        possible: NDArray[np.bool_],
        offset: Floats,
        code: Ints,
        share: Floats,
    ) -> pd.DataFrame:
        """With the random effects of the rows' own levels and their uncertainty."""
        count, rows = len(L) // len(made), [rows for _, rows in made]
        at = [np.arange(len(code)) if part.row is None else part.row for part in rows]
        function = np.concatenate([k * count + code[row] for k, row in enumerate(at)])
        Z = tuple(
            np.concatenate([share[row][:, None] * part.Z[t] for part, row in zip(rows, at, strict=True)])
            for t in range(len(rows[0].Z))
        )
        codes = tuple(np.concatenate([part.codes[t] for part in rows]) for t in range(len(rows[0].codes)))
        effects = sum(
            (
                np.bincount(function, np.einsum("ek,ek->e", z, b[c]), len(L))
                for z, c, b in zip(Z, codes, self.estimates.b, strict=True)
            ),
            np.zeros(len(L)),
        )
        errors = function_errors(self.estimates, L, Z, codes, function, self.df)
        value = np.where(possible, L @ self.estimates.beta + offset + effects, np.nan)
        se = np.where(possible, np.sqrt(errors.variance), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = value / se
        half = t_quantile(0.5 + self.coverage / 2.0, errors.df) * se
        columns = {
            "estimate": value,
            "se": se,
            "df": np.where(possible, errors.df, np.nan),
            "t": t,
            "p": t_tail(t, errors.df),
        }
        table = pd.DataFrame(columns, index=index).assign(low=value - half, high=value + half)
        table.attrs.update(method=errors.method)
        return table

    def _groups(self) -> tuple[Ints, list[tuple[Any, ...]]]:
        """Which value of `by` each row has, and the values in order."""
        if not self.by:
            return np.zeros(len(self.frame), np.intp), [()]
        code = self.frame.groupby(list(self.by), sort=True, observed=True).ngroup().to_numpy().astype(np.intp)
        first = np.unique(code, return_index=True)[1]
        return code, list(self.frame.iloc[first][list(self.by)].itertuples(index=False, name=None))


def _averaged(X: Floats, code: Ints, share: Floats, count: int) -> Floats:
    """(groups, p) weighted averages of rows."""
    out = np.zeros((count, X.shape[1]))
    np.add.at(out, code, share[:, None] * X)
    return out


def _index(labels: list[tuple[Any, ...]], names: list[str]) -> pd.Index[Any]:
    if not names:
        return pd.Index(["overall"], name="group")
    if len(names) == 1:
        return pd.Index([label[0] for label in labels], name=names[0])
    return pd.MultiIndex.from_tuples(labels, names=names)


@dataclass(frozen=True, eq=False)
class _Change:
    """A change of one variable.

    Attributes:
        term: The variable.
        label: The change in words.
        high: The rows after it.
        low: The rows before it.
        width: What the difference is divided by.
    """

    term: str
    label: str
    high: pd.DataFrame
    low: pd.DataFrame
    width: float = 1.0


def row_averages(
    estimates: Estimates,
    *,
    by: str | Sequence[str] | None,
    newdata: Any,
    level: AtLevel,
    weights: Any,
    df: str,
    coverage: float,
) -> RowAverages:
    """The rows that are averaged over.

    Args:
        estimates: The fit.
        by: Columns within whose values rows are averaged; of the fit's own rows any column of its table.
        newdata: A table; None for the rows of the fit.
        level: "population" for the fixed effects, "group" with the random effects of each row's levels.
        weights: What each row counts, a column or a vector; None for alike.
        df: Denominator degrees of freedom.
        coverage: Of the intervals.

    Raises:
        FitError: An option that is not offered, or a column that there is not.
    """
    check_option("level", level, ("population", "group"))
    if level == "group":
        check_option("df", df, ("auto", "satterthwaite", "normal"))
    check_level("coverage", coverage)
    design = estimates.design
    if newdata is None:
        whole = design.source.table.frame
        used = whole if design.source.rows is None else whole.iloc[design.source.rows]
        frame = used.assign(**{name: design.frame[name].to_numpy() for name in design.source.vectors})
    else:
        wanted = design.recipe.fixed_columns()
        frame = open_table(newdata, wanted).frame
    if not len(frame):
        raise DataError("newdata has no rows to average over.")
    names = names_of("by", [] if by is None else by)
    found = tuple(name if name in frame.columns else named_column(name) for name in names)
    for name in found:
        if name not in frame.columns:
            near = did_you_mean(name, [str(c) for c in frame.columns]) or "."
            listed = ", ".join(map(str, frame.columns))
            raise FitError(
                f"by: the rows have no column `{name}`{near} Their columns: {listed}; others can be given in "
                "newdata."
            )
        if frame[name].isna().any():
            raise DataError(
                f"by: column `{name}` is missing in {int(frame[name].isna().sum()):,} of the rows; fill it."
            )
    return RowAverages(estimates, frame, level, found, _weights(weights, frame), df, coverage)


def _weights(weights: Any, frame: pd.DataFrame) -> Floats:
    """(m,) what each row counts."""
    if weights is None:
        return np.ones(len(frame))
    if isinstance(weights, str) and weights not in frame.columns:
        near = did_you_mean(weights, [str(c) for c in frame.columns]) or "."
        raise FitError(f"weights: the rows have no column `{weights}`{near}")
    try:
        values = np.asarray(frame[weights] if isinstance(weights, str) else weights, np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if (
        values.shape != (len(frame),)
        or not np.isfinite(values).all()
        or (values < 0.0).any()
        or not values.any()
    ):
        raise FitError(
            f"weights: {len(frame):,} numbers from 0 up, not all 0, are expected, one for each row."
        )
    return values


def slope_changes(of: RowAverages, variables: Any) -> list[_Change]:
    """Slopes along covariates, and of factors the differences from their first level.

    Raises:
        FitError: A variable that the fixed part does not have.
    """
    design, changes = of.estimates.design, list[_Change]()
    for name in _variables(of.estimates, variables):
        if is_factor(design, name):
            changes += _between_levels(of.frame, name, levels_of_column(design, name), "reference")
            continue
        step = STEP * float(np.ptp(design.frame[name].to_numpy(float))) / 2.0
        x = of.frame[name].astype(float)
        high, low = of.frame.assign(**{name: x + step}), of.frame.assign(**{name: x - step})
        changes.append(_Change(name, "dY/dX", high, low, 2.0 * step))
    return changes


def comparison_changes(of: RowAverages, variables: Any) -> list[_Change]:
    """Differences between values of variables, as `avg_comparisons` describes them.

    Raises:
        FitError: A variable that the fixed part does not have, or a change that is not offered for it.
    """
    asked: Mapping[Any, Any] = cast("Mapping[Any, Any]", variables) if isinstance(variables, Mapping) else {}
    changes, names, design = list[_Change](), _variables(of.estimates, variables), of.estimates.design
    for given, name in zip(asked or names, names, strict=True):
        how = asked.get(given)
        if is_factor(design, name):
            levels = levels_of_column(design, name)
            changes += _between_levels(of.frame, name, levels, "reference" if how is None else how)
        else:
            changes.append(_along(of, name, 1.0 if how is None else how))
    return changes


def _variables(estimates: Estimates, given: Any) -> list[str]:
    """Variables of the fixed part, by default all."""
    known = estimates.design.recipe.fixed_columns()
    if given is None:
        if not known:
            raise FitError("The fixed part has no variable to compare values of.")
        return known
    words = names_of("variables", given)
    found = [word if word in known else named_column(word) for word in words]
    for name in found:
        if name not in known:
            near = did_you_mean(name, known) or "."
            raise FitError(
                f"`{name}` is no variable of the fixed part{near} Its variables: {', '.join(known)}."
            )
    return found


def _between_levels(frame: pd.DataFrame, name: str, levels: Mapping[str, Any], how: Any) -> Iterator[_Change]:
    """Differences between levels of a factor, by their text."""
    texts, values, k = list(levels), list(levels.values()), len(levels)
    if isinstance(how, str) and how in LEVELS:
        pairs = {
            "reference": [(i, 0) for i in range(1, k)],
            "sequential": [(i, i - 1) for i in range(1, k)],
            "pairwise": [(j, i) for i in range(k) for j in range(i + 1, k)],
        }[how]
    else:
        two = [str(one) for one in cast("Sequence[Any]", how)] if isinstance(how, (list, tuple)) else []
        if len(two) != 2 or not set(two) <= set(texts):
            raise FitError(
                f"`{name}` is a factor: choose one of {', '.join(map(repr, LEVELS))}, or two of its levels "
                f"({', '.join(texts)}), not {how!r:.60}."
            )
        pairs = [(texts.index(two[1]), texts.index(two[0]))]
    for high, low in pairs:
        up, down = (frame.assign(**{name: [values[i]] * len(frame)}) for i in (high, low))
        yield _Change(name, f"{texts[high]} - {texts[low]}", up, down)


def _along(of: RowAverages, name: str, how: Any) -> _Change:
    """A change of a covariate: by a number, from one value to another, or by a span of its values."""
    column, x = of.estimates.design.frame[name].astype(float), of.frame[name].astype(float)
    spans: dict[str, Callable[[], tuple[Any, Any]]] = {
        "sd": lambda: (x - column.std() / 2.0, x + column.std() / 2.0),
        "iqr": lambda: (column.quantile(0.25), column.quantile(0.75)),
        "minmax": lambda: (column.min(), column.max()),
    }
    two = cast("Sequence[Any]", how) if isinstance(how, (list, tuple)) else ()
    ends: tuple[Any, Any]
    if isinstance(how, str) and how in spans:
        ends, label = spans[how](), how
    elif len(two) == 2 and all(map(_is_number, two)):
        ends, label = (float(two[0]), float(two[1])), f"{two[1]:g} - {two[0]:g}"
    elif _is_number(how) and how != 0:
        ends, label = (x, x + float(cast("float", how))), f"{how:+g}"
    else:
        raise FitError(
            f"`{name}` is a covariate: a number to add to it, two values, or one of "
            f"{', '.join(map(repr, SPANS))} is expected, not {how!r:.60}."
        )
    low, high = (of.frame.assign(**{name: end}) for end in ends)
    return _Change(name, label, high, low)


def _is_number(value: Any) -> bool:
    return np.isscalar(value) and not isinstance(value, (bool, str, bytes)) and bool(np.isfinite(value))
