"""A linear mixed model among scikit-learn's estimators.

`lmmkit.LMMRegressor` imports this module when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import DataError, FormulaError, LmmkitError
from lmmkit.model.design.design import build_design, plain_design
from lmmkit.model.estimates import estimate
from lmmkit.model.fit import Fit
from lmmkit.model.formula.expression import quote
from lmmkit.model.formula.formula import parse_formula


def _module(name: str) -> Any:
    """A module of scikit-learn, which has no types; without it classes to read this module with."""
    if find_spec("sklearn"):
        return import_module(name)
    return SimpleNamespace(BaseEstimator=type("BaseEstimator", (), {}), RegressorMixin=type("Mixin", (), {}))


_base, _validation = _module("sklearn.base"), _module("sklearn.utils.validation")
RESPONSE, GROUPS = "y", "groups"


class LMMRegressor(_base.RegressorMixin, _base.BaseEstimator):
    """A linear mixed model: fixed effects of the columns of X, random effects of groups.

    Predictions are those of the row's group where the fit has seen it, else of the population: scored by
    GroupKFold they are predictions for new groups.

    Args:
        formula: The right side of a formula over the columns of X, such as `"x + (x | g)"`; by default every
            column is a fixed effect and `random` the random part.
        random: Without a formula, what stands left of the bar for the groups given to `fit`: "1", or "1 + x".
        level: Predictions with the random effects of known groups ("group") or without any ("population").
        reml: Restricted maximum likelihood (True) or maximum likelihood.
        algorithm: The search, as of `lmm`.
        contrasts: Coding by factor, as of `lmm`.

    Attributes:
        fit_: The fit, with everything that can be asked of it.
        coef_: (n_features_in_,) fixed effects of the columns, without a formula; 0 for columns left out as
            functions of others.
        intercept_: The intercept, without a formula.
        n_features_in_: Columns of X.
        feature_names_in_: Their names, where they are text.

    Without a formula and without groups it is least squares.

    >>> frame = pd.DataFrame({"y": [3.0, 4, 7, 6, 9, 12, 2, 2, 5], "x": [0, 1, 2] * 3})
    >>> frame["g"] = list("aaabbbccc")
    >>> model = LMMRegressor("x + (1 | g)").fit(frame[["x", "g"]], frame["y"])
    >>> model.predict(pd.DataFrame({"x": [1, 1], "g": ["a", "new"]})).round(2).tolist()
    [4.69, 5.56]
    """

    def __init__(
        self,
        formula: str | None = None,
        *,
        random: str = "1",
        level: str = "group",
        reml: bool = True,
        algorithm: str = "newton",
        contrasts: Mapping[str, Any] | None = None,
    ) -> None:
        self.formula = formula
        self.random = random
        self.level = level
        self.reml = reml
        self.algorithm = algorithm
        self.contrasts = contrasts

    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> LMMRegressor:
        """Fit the model.

        Args:
            X: (n, k) numbers, or a table.
            y: (n,) the response.
            groups: (n,) levels of the grouping factor; with a formula the groups are columns of X.
            sample_weight: (n,) prior weights; rows of weight 0 are left out.

        Raises:
            ValueError: What lmmkit refuses, in its words.
        """
        frame, response = self._table(X, y)
        if RESPONSE in frame.columns:
            raise ValueError(f"A column of X is called `{RESPONSE}`, the name of the response; rename it.")
        frame[RESPONSE] = response
        weights = _weights(sample_weight, len(frame))
        if weights is not None:
            if not weights.any():
                raise ValueError("sample_weight: every weight is zero, so that no row is left.")
            frame, weights = frame[weights > 0.0], weights[weights > 0.0]
        try:
            self.fit_ = self._fitted(frame, groups, sample_weight, weights)
        except LmmkitError as error:
            raise ValueError(str(error)) from error
        if self.formula is None:
            params = self.fit_.params
            names = [str(name) for name in frame.columns if name not in (RESPONSE, GROUPS)]
            self.coef_ = params.reindex(names, fill_value=0.0).to_numpy()
            self.intercept_ = float(params.get("Intercept", 0.0))
        return self

    def _fitted(self, frame: pd.DataFrame, groups: Any, sample_weight: Any, weights: Floats | None) -> Fit:
        formula = self._formula(frame, groups)
        if GROUPS not in frame.columns and groups is not None:
            labels = _validation.column_or_1d(groups)
            kept = slice(None) if sample_weight is None else np.asarray(sample_weight) > 0.0
            if len(labels) != (len(frame) if sample_weight is None else len(np.asarray(sample_weight))):
                raise DataError(f"groups: one for each of the rows of X is expected, not {len(labels)}.")
            frame = frame.assign(**{GROUPS: labels[kept]})
        parsed = parse_formula(formula)
        if parsed.random:
            design = build_design(parsed, frame, weights=weights, contrasts=self.contrasts, missing="error")
        else:
            design = plain_design(parsed, frame, weights=weights, contrasts=self.contrasts)
        return Fit(estimate(design, reml=self.reml, algorithm=self.algorithm if parsed.random else "newton"))

    def _formula(self, frame: pd.DataFrame, groups: Any) -> str:
        if self.formula is not None:
            if groups is not None:
                raise FormulaError(
                    "With a formula the groups are columns of X that it names, such as (1 | g): leave "
                    "`groups` out."
                )
            if "~" in self.formula:
                raise FormulaError(
                    f"formula={self.formula!r}: the right side alone is expected, such as 'x + (1 | g)'; "
                    "y is given to fit()."
                )
            return f"{RESPONSE} ~ {self.formula}"
        fixed = [quote(str(name)) for name in frame.columns if name != RESPONSE]
        bar = [] if groups is None else [f"({self.random} | {GROUPS})"]
        return f"{RESPONSE} ~ {' + '.join(['1', *fixed, *bar])}"

    def _table(self, X: Any, y: Any = "no_validation") -> tuple[pd.DataFrame, Floats]:
        """X as a table with names of columns, and y where it is given."""
        fresh = not isinstance(y, str)
        if fresh and y is None:
            raise ValueError("LMMRegressor requires y to be passed, but the target y is None.")
        if isinstance(X, pd.DataFrame) and not all(kind.kind in "iufb" for kind in map(_numpy, X.dtypes)):
            _validation.validate_data(self, X, reset=fresh, skip_check_array=True)
            frame = X.reset_index(drop=True)
            response = _validation.column_or_1d(y, warn=True).astype(np.float64) if fresh else np.empty(0)
            if fresh and len(response) != len(frame):
                raise ValueError(f"X has {len(frame)} rows, and y {len(response)}.")
            return frame, response
        names = [str(name) for name in X.columns] if isinstance(X, pd.DataFrame) else None
        if fresh:
            values, response = _validation.validate_data(
                self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2
            )
        else:
            values, response = _validation.validate_data(self, X, reset=False, dtype=np.float64), np.empty(0)
        columns = names or [f"x{i}" for i in range(values.shape[1])]
        return pd.DataFrame(values, columns=columns), np.asarray(response, dtype=np.float64)

    def predict(self, X: Any, groups: Any = None) -> Floats:
        """Predicted means, (n,): with the random effects of the groups that the fit has seen.

        Args:
            X: (n, k) numbers, or a table.
            groups: (n,) levels of the grouping factor, for a fit with `groups`; by default new ones.

        Raises:
            ValueError: What lmmkit refuses, in its words.
        """
        _validation.check_is_fitted(self)
        frame, _ = self._table(X)
        level, fit = self.level, self.fit_
        if level not in ("group", "population"):
            raise ValueError(f"level={level!r}: 'group' or 'population' is expected.")
        known = fit.design.random
        if groups is not None:
            frame = frame.assign(**{GROUPS: _validation.column_or_1d(groups)})
        elif not known or (self.formula is None and GROUPS not in frame.columns):
            level = "population"
        try:
            table = fit.predict(frame, level=level, new_levels="population", se=False)
        except LmmkitError as error:
            raise ValueError(str(error)) from error
        return table["fit"].to_numpy()

    def __sklearn_tags__(self) -> Any:
        of_bases: Any = getattr(super(), "__sklearn_tags__")  # noqa: B009  scikit-learn has no types
        tags: Any = of_bases()
        tags.input_tags.string = self.formula is not None
        tags.input_tags.categorical = self.formula is not None
        return tags


def _numpy(dtype: Any) -> np.dtype[Any]:
    """The dtype, or that of an object for those that numpy does not have."""
    return cast("np.dtype[Any]", dtype) if isinstance(dtype, np.dtype) else np.dtype(object)


def _weights(given: Any, rows: int) -> Floats | None:
    if given is None:
        return None
    weights = np.asarray(given, dtype=np.float64)
    if weights.shape != (rows,):
        raise ValueError(f"sample_weight: {rows} numbers are expected, not the shape {weights.shape}.")
    if not (np.isfinite(weights) & (weights >= 0.0)).all():
        raise ValueError("sample_weight: numbers from 0 up are expected.")
    return weights
