"""Predicted random effects: one by one with their errors, and functions of them beside fixed effects.

A function k'beta + m'b of effects is estimated by k'beta-hat + m'b-hat: broad where m = 0 (about all levels
that there might be), narrow where m averages the levels in the data (about these), or anything between.

Reference: McLean, Sanders & Stroup (1991), A unified approach to mixed linear models, The American
Statistician 45, 54-64; SAS/STAT, The MIXED Procedure, ESTIMATE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, SupportsFloat, cast

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.inference.prediction_error import PredictionError
from lmmkit.engine.inference.prediction_spread import MOST_PRODUCTS, PredictionSpread
from lmmkit.errors import FitError, did_you_mean
from lmmkit.model.design.design import RandomTerm
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.degrees_of_freedom import denominators, has_spread
from lmmkit.model.inference.distributions import t_quantile, t_tail
from lmmkit.model.inference.linear_functions import combinations
from lmmkit.model.options import check_level, check_option
from lmmkit.model.threads import one_thread

ERRORS = ("conditional", "prediction")
DF = ("auto", "satterthwaite", "normal")


def ranef_table(estimates: Estimates, *, error: str, level: float) -> pd.DataFrame:
    """Every random effect: group, level, term, estimate, se, low, high.

    Args:
        estimates: The fit.
        error: What `se` is of: "conditional", b given y with the fixed effects as known (lme4's condVar), or
            "prediction", b-hat - b with the estimation of the fixed effects in it (SAS's).
        level: Coverage of the intervals, of the normal distribution.

    Raises:
        FitError: An option that is not offered.
    """
    check_option("error", error, ERRORS)
    check_level("level", level)
    _check_random(estimates)
    parts = list[pd.DataFrame]()
    for t, term in enumerate(estimates.random):
        conditional = np.diagonal(estimates.conditional_variances[t], axis1=1, axis2=2)
        variances = _of_prediction(estimates, t) if error == "prediction" else conditional
        columns = {
            "group": term.group,
            "level": [str(level) for level in term.levels for _ in term.names],
            "term": list(term.names) * len(term.levels),
            "estimate": estimates.b[t].ravel(),
            "se": np.sqrt(variances).ravel(),
        }
        parts.append(pd.DataFrame(columns))
    table = pd.concat(parts, ignore_index=True).astype({"group": "str", "level": "str", "term": "str"})
    half = t_quantile(0.5 + level / 2.0, np.full(len(table), np.inf)) * table["se"]
    return table.assign(low=table["estimate"] - half, high=table["estimate"] + half)


def _check_random(estimates: Estimates) -> None:
    if not estimates.random:
        raise FitError("This model has no random effects: its groups are in the residual structure alone.")


def _of_prediction(estimates: Estimates, t: int) -> Floats:
    """(J, k) prediction error variances of one term's random effects."""
    J, k = len(estimates.b[t]), len(estimates.random[t].names)
    Z = [np.zeros((J * k, len(term.names))) for term in estimates.random]
    Z[t] = np.tile(np.eye(k), (J, 1))
    codes = [np.zeros(J * k, np.intp) for _ in estimates.random]
    for other, term in enumerate(estimates.random):
        if term.factor == estimates.random[t].factor:
            codes[other] = np.repeat(np.arange(J), k)
    X = np.zeros((J * k, len(estimates.beta)))
    with one_thread():
        found = PredictionError(estimates.optimum).variance(X, tuple(Z), tuple(codes))
    return estimates.sigma**2 * found.reshape(J, k)


def reliability(estimates: Estimates) -> list[Floats]:
    """(J, k) of each term 1 - PEV / variance, the variance times 1 + F of an animal with inbreeding F.

    Reference: Mrode (2014), Linear Models for the Prediction of Animal Breeding Values, 3rd ed., chapter 3.
    """
    found = list[Floats]()
    for t, term in enumerate(estimates.random):
        known = term.grouping.known
        own = np.ones(term.grouping.size) if known is None else known.relationship.diagonal
        variances = own[:, None] * np.diag(estimates.covariance(t))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = 1.0 - _of_prediction(estimates, t) / variances
        found.append(np.where(variances > 0, share, 0.0))
    return found


def ranef_cov(estimates: Estimates) -> dict[str, pd.DataFrame]:
    """Conditional covariance matrices of the random effects, by term: rows (level, term), columns terms."""
    tables = dict[str, pd.DataFrame]()
    for term, v in zip(estimates.random, estimates.conditional_variances, strict=True):
        index = pd.MultiIndex.from_product([term.levels, list(term.names)], names=["level", "term"])
        tables[term.group] = pd.DataFrame(v.reshape(len(index), -1), index=index, columns=list(term.names))
    return tables


@dataclass(frozen=True, eq=False)
class _Functions:
    """The random part of r functions, in parts of one level each.

    Attributes:
        function: (e,) the function that a part belongs to.
        term: (e,) its random-effects term.
        level: (e,) its level.
        column: (e,) its column of the term.
        weight: (e,) what it counts.
    """

    function: Ints
    term: Ints
    level: Ints
    column: Ints
    weight: Floats

    def values(self, estimates: Estimates, count: int) -> Floats:
        """(r,) m'b-hat."""
        Z, codes = self.rows(estimates)
        parts = [np.einsum("ek,ek->e", z, b[c]) for z, b, c in zip(Z, estimates.b, codes, strict=True)]
        return np.bincount(self.function, sum(parts, np.zeros(len(self.term))), count).astype(np.float64)

    def rows(self, estimates: Estimates) -> tuple[tuple[Floats, ...], tuple[Ints, ...]]:
        """Z and codes of each term, a row a part."""
        terms = estimates.random
        Z = tuple(np.zeros((len(self.term), len(term.names))) for term in terms)
        codes = tuple(np.zeros(len(self.term), np.intp) for _ in terms)
        for e in range(len(self.term)):
            t = int(self.term[e])
            Z[t][e, self.column[e]] = self.weight[e]
            for other, code in zip(terms, codes, strict=True):
                if other.factor == terms[t].factor:
                    code[e] = self.level[e]
        return Z, codes


def estimate_functions(
    estimates: Estimates, *, fixed: Any, random: Any, df: str, level: float, labels: Sequence[str] | None
) -> pd.DataFrame:
    """Functions k'beta + m'b with tests of zero and intervals: estimate, se, df, t, p, low, high, method.

    Args:
        estimates: The fit.
        fixed: k, as `combinations` reads it; None for none.
        random: m: by grouping factor the weight of each level, or by level those of its columns; several of
            such, one for each function; None for none.
        df: "auto" (the uncertainty of the covariance parameters is in se, where the fit is small),
            "satterthwaite" (it is in the degrees of freedom alone) or "normal" (nowhere).
        level: Coverage of the intervals.
        labels: Names of the rows.

    Raises:
        FitError: Effects that the model does not have, or an option that is not offered.
    """
    check_option("df", df, DF)
    check_level("level", level)
    names, K = ([], np.empty((0, len(estimates.beta))))
    if fixed is not None:
        found = combinations(fixed, estimates)
        if found.null.any():
            raise FitError("estimate() tests zero: write each function without `=`, or use contrast().")
        names, K = found.labels, found.L
    many = _several(random)
    count = max(len(K), len(many))
    if not count:
        raise FitError("estimate() was given no function: fixed, random or both are expected.")
    if len(K) not in (0, 1, count) or len(many) not in (0, 1, count):
        raise FitError(
            f"estimate() was given {len(K)} fixed and {len(many)} random parts; give one for each."
        )
    K = np.broadcast_to(K if len(K) else np.zeros((1, len(estimates.beta))), (count, len(estimates.beta)))
    nothing: list[Mapping[Any, Any]] = [{}]
    many = many if len(many) == count else (many or nothing) * count
    parts = _read(many, estimates)
    index = _labels(labels, names, count)
    value = K @ estimates.beta + parts.values(estimates, count)
    variance, freedom, method = _errors(estimates, K, parts, df)
    se = np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = value / se
    half = t_quantile(0.5 + level / 2.0, freedom) * se
    columns = {"estimate": value, "se": se, "df": freedom, "t": t, "p": t_tail(t, freedom)}
    table = pd.DataFrame(columns, index=index)
    return table.assign(low=value - half, high=value + half, method=method)


def _errors(estimates: Estimates, K: Floats, parts: _Functions, df: str) -> tuple[Floats, Floats, list[str]]:
    """Variances, degrees of freedom and methods of functions; those without random part as `contrast`."""
    count = len(K)
    if not parts.weight.any():
        by = denominators(estimates, df)
        return by.vcov.variances(K), by.single(K), [by.told] * count
    variance, freedom, how = function_errors(estimates, K, *parts.rows(estimates), parts.function, df)
    broad = np.bincount(parts.function, np.abs(parts.weight), count) == 0.0
    methods = [how] * count
    if broad.any() and len(estimates.beta):
        by = denominators(estimates, df)
        variance[broad], freedom[broad] = by.vcov.variances(K[broad]), by.single(K[broad])
        methods = [by.told if alone else how for alone in broad]
    return variance, freedom, methods


class FunctionErrors(NamedTuple):
    """Of r functions k'beta + m'b: variances and degrees of freedom, each (r,), and how they were found."""

    variance: Floats
    df: Floats
    method: str


def function_errors(
    estimates: Estimates, K: Floats, Z: tuple[Floats, ...], codes: tuple[Ints, ...], function: Ints, df: str
) -> FunctionErrors:
    """Errors of functions as `PredictionError.of_functions` takes them; `df` as in `estimate_functions`."""
    count = len(K)
    with one_thread():
        v = PredictionError(estimates.optimum).of_functions(K, Z, codes, function)
        freedom, how = np.full(count, np.inf), "theta as known"
        if df != "normal" and has_spread(estimates):
            of = PredictionSpread(estimates.expected)
            if of.products(count) <= MOST_PRODUCTS:
                found = of.of_functions(K, Z, codes, function)
                whole, freedom = of.widened(v, found)
                how = "satterthwaite, with the uncertainty of theta"
                if df == "satterthwaite":
                    found.second[:] = 0.0
                    whole, freedom = of.widened(v, found)
                    how = "satterthwaite"
                v = whole
    return FunctionErrors(estimates.sigma**2 * v, freedom, how)


def _several(random: Any) -> list[Mapping[Any, Any]]:
    """The random parts of the functions."""
    if random is None:
        return []
    given = list(cast("Sequence[Any]", random)) if isinstance(random, list | tuple) else [random]
    if not all(isinstance(one, Mapping) for one in given):
        raise FitError(
            "random: weights by grouping factor and level are expected, such as {'Subject': {'308': 1, "
            f"'309': -1}}}}, or a list of such, not {random!r:.60}."
        )
    return given


def _read(many: Sequence[Mapping[Any, Any]], estimates: Estimates) -> _Functions:
    """The parts of some functions."""
    entries = [(i, *entry) for i, one in enumerate(many) for entry in _entries(one, estimates)]
    columns = list(zip(*entries, strict=True)) if entries else [()] * 5
    whole = [np.array(column, dtype=np.intp) for column in columns[:4]]
    return _Functions(whole[0], whole[1], whole[2], whole[3], np.array(columns[4], dtype=np.float64))


def _entries(one: Mapping[Any, Any], estimates: Estimates) -> Iterator[tuple[int, int, int, float]]:
    """Term, level, column and weight of each part of one function."""
    terms = estimates.random
    if one:
        _check_random(estimates)
    known = list(dict.fromkeys(name for term in terms for name in (term.factor, term.group)))
    for group, levels in one.items():
        mine = [t for t, term in enumerate(terms) if group in (term.factor, term.group)]
        if not mine:
            near = did_you_mean(str(group), known)
            raise FitError(
                f"random: `{group}` is no grouping factor of this fit{near or '.'} It has {', '.join(known)}."
            )
        if not hasattr(levels, "items"):
            raise FitError(
                f"random: weights by level are expected for `{group}`, such as "
                f"{{{terms[mine[0]].levels[0]!r}: 1}}, not {levels!r:.60}."
            )
        for level, weights in levels.items():
            code = _level(level, terms[mine[0]])
            for t, column, weight in _columns(weights, mine, terms, f"{group}[{level}]"):
                yield t, code, column, weight


def _level(level: Any, term: RandomTerm) -> int:
    code = int(term.levels.get_indexer(pd.Index([str(level)]))[0])
    if code < 0:
        names = term.levels.tolist()
        near = did_you_mean(str(level), names)
        more = ", ..." if len(names) > 12 else ""
        raise FitError(
            f"random: `{term.factor}` has no level {level!r} in the rows used{near or '.'} "
            f"Levels: {', '.join(names[:12])}{more}."
        )
    return code


def _columns(
    weights: Any, mine: Sequence[int], terms: Sequence[RandomTerm], where: str
) -> Iterator[tuple[int, int, float]]:
    """Term, column and weight of each column of one level."""
    places = {name: (t, c) for t in mine for c, name in enumerate(terms[t].names)}
    if not hasattr(weights, "items"):
        first = "Intercept" if "Intercept" in places else next(iter(places))
        if first != "Intercept" and len(places) > 1:
            raise FitError(f"random: {where} has the columns {', '.join(places)}; give a weight by column.")
        weights = {first: weights}
    for name, weight in cast("Mapping[Any, Any]", weights).items():
        if name not in places:
            near = did_you_mean(str(name), list(places))
            raise FitError(
                f"random: {where} has no column `{name}`{near or '.'} Its columns: {', '.join(places)}."
            )
        if (
            isinstance(weight, bool)
            or not isinstance(weight, SupportsFloat)
            or not np.isfinite(float(weight))
        ):
            raise FitError(f"random: {where} has the weight {weight!r:.60}; a finite number is expected.")
        yield *places[name], float(weight)


def _labels(given: Sequence[str] | None, names: Sequence[str], count: int) -> pd.Index[str]:
    """Names of the rows."""
    if given is not None:
        labels = [given] if isinstance(given, str) else list(map(str, given))
        if len(labels) != count:
            raise FitError(f"labels: {count} are expected, one for each function, not {len(labels)}.")
        return pd.Index(labels, name="function")
    own = list(names) if len(names) == count else [f"row {i + 1}" for i in range(count)]
    return pd.Index(own, name="function")
