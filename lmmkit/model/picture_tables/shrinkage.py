"""From the estimates of a group's own rows to what the model believes of it, and how far effects may lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.linalg import block_diag

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.model.fit import Fit
from lmmkit.model.report_tables.about_fit import effects_of_pairs
from lmmkit.model.report_tables.report_table import Facts, ReportTable

Frame = pd.DataFrame
COLUMNS = ["group", "level", "rows", "x", "y", "x_model", "y_model"]
SHARE = 0.95  # of the effects that the estimated covariance makes, within an ellipse
CORNERS = 73  # of an ellipse as it is drawn
SINGULAR = 1e-10  # least over largest eigenvalue below which a level's rows do not tell its columns apart
ROUNDING = 1e-12  # relative: a standard deviation of values that are all one


@dataclass(frozen=True)
class Shrinkage:
    """Least squares within each level, and what the model makes of it, for two effects of one factor.

    Attributes:
        table: group, level, rows, x and y (of the level's own rows), x_model and y_model; where the factor
            has one effect, y and y_model are the places of the levels in order of x.
        names: The effects on x and y; one where y is a place.
        center: The fixed effects; of y NaN where it is a place.
    """

    table: Frame
    names: tuple[str, ...]
    center: tuple[float, float]


def shrinkage(fit: Fit) -> Shrinkage | None:
    """Own estimates and BLUPs of the factor with most effects; the first two of these.

    From the response is taken what the model says of it without this factor's effects of all its terms,
    then the factor's columns are fitted to what is left of each level by least squares with the prior
    weights. In a model whose fixed and random columns are the same and that has one factor it is
    the regression of each level alone (`lmList` of lme4). NaN where a level's rows do not tell its columns
    apart.

    Returns:
        None without random effects, and where rows belong to several levels at once.
    """
    found = _columns(fit)
    if found is None:
        return None
    factor, names, Z, b = found
    place = next(t for t, term in enumerate(fit.design.random) if term.factor == factor)
    term, weights = fit.design.problem.terms[place], fit.estimates.problem.weights
    counts = np.bincount(term.codes, minlength=term.levels)
    left = fit.resid.to_numpy() + np.einsum("nk,nk->n", Z, b[term.codes])
    own = _within(term.codes, term.levels, Z, left, np.ones(len(left)) if weights is None else weights)
    center = np.array([float(fit.params.get(name, 0.0)) for name in names])
    own, model = own + center, b + center
    if len(names) == 1:
        places = np.empty(len(own))
        places[np.argsort(own[:, 0], kind="stable")] = np.arange(len(own))
        own, model = (np.column_stack([each, places]) for each in (own, model))
        center = np.array([center[0], np.nan])
    values = np.column_stack([own[:, :2], model[:, :2]])
    table = Frame(values, columns=COLUMNS[3:])
    table.insert(0, "rows", counts)
    table.insert(0, "level", fit.design.random[place].levels.astype(str))
    table.insert(0, "group", factor)
    seen = table[counts > 0].reset_index(drop=True)  # without relatives that have no row
    return Shrinkage(seen, tuple(names[:2]), (float(center[0]), float(center[1])))


def _columns(fit: Fit) -> tuple[str, list[str], Floats, Floats] | None:
    """The factor with most effects: its name, names of effects, (n, k) of Z, (J, k) of b."""
    parts = dict[str, list[int]]()
    for t, term in enumerate(fit.design.random):
        if not fit.design.problem.terms[t].members:
            parts.setdefault(term.factor, []).append(t)
    if not parts:
        return None
    factor = max(parts, key=lambda name: sum(len(fit.design.random[t].names) for t in parts[name]))
    mine, problem = parts[factor], fit.design.problem
    names = [name for t in mine for name in fit.design.random[t].names]
    Z = np.column_stack([problem.term_columns(problem.terms[t]) for t in mine])
    return factor, names, Z, np.column_stack([fit.estimates.b[t] for t in mine])


def _within(codes: Ints, levels: int, Z: Floats, y: Floats, weights: Floats) -> Floats:
    """(J, k) weighted least squares of y on Z within each level; NaN where a level does not tell them."""
    k = Z.shape[1]
    products, right = np.empty((levels, k, k)), np.empty((levels, k))
    for i in range(k):
        right[:, i] = np.bincount(codes, weights * Z[:, i] * y, levels)
        for j in range(k):
            products[:, i, j] = np.bincount(codes, weights * Z[:, i] * Z[:, j], levels)
    sizes = np.sqrt(np.einsum("jii->ji", products))
    safe = np.where(sizes > 0.0, sizes, 1.0)
    scaled = products / safe[:, :, None] / safe[:, None]
    fine = np.linalg.eigvalsh(scaled)[:, 0] > SINGULAR
    found = np.full((levels, k), np.nan)
    some = sizes[fine]
    found[fine] = np.linalg.solve(scaled[fine], (right[fine] / some)[..., None])[..., 0] / some
    return found


def ellipses(fit: Fit, scatter: Frame) -> Frame:
    """For each two effects of a table of `effect_pairs` the ellipse that holds 95 % under the estimated G.

    It is of the effects themselves about zero: predictions are shrunk and lie closer to the middle.

    Returns:
        DataFrame across, down (the columns of the table), x, y: the corners of each ellipse in order.
    """
    terms = effects_of_pairs(scatter)
    rows = [Frame(columns=["across", "down", "x", "y"])]
    if len(terms) > 1:
        group = terms[0].partition(": ")[0]
        mine = [t for t, term in enumerate(fit.design.random) if group in (term.factor, term.group)]
        G = block_diag(*[fit.estimates.covariance(t) for t in mine])
        names = [f"{group}: {name}" for t in mine for name in fit.design.random[t].names]
        places = [names.index(term) for term in terms]
        rows = [_ellipse(G[np.ix_(pair, pair)], [names[p] for p in pair]) for pair in combinations(places, 2)]
    return pd.concat(rows, ignore_index=True)


def _ellipse(G: Floats, names: Sequence[str]) -> Frame:
    angle = np.linspace(0.0, 2.0 * np.pi, CORNERS)
    radius = np.sqrt(-2.0 * np.log1p(-SHARE))  # of chi-squared with two degrees of freedom
    variances, axes = np.linalg.eigh(G)
    x, y = radius * (axes * np.sqrt(np.maximum(variances, 0.0))) @ np.array([np.cos(angle), np.sin(angle)])
    return Frame({"across": names[0], "down": names[1], "x": x, "y": y})


def _spreads(table: Frame) -> Facts:
    """Standard deviations over the levels of both kinds of estimates, and how many levels have none."""
    whole = table[np.isfinite(table["x"]) & np.isfinite(table["y"])]
    spread = {name: _sd(whole[name]) for name in COLUMNS[3:]} if len(whole) > 1 else {}
    return {"levels": len(table), "without": len(table) - len(whole), **spread}


def _sd(values: pd.Series[float]) -> float:
    """A standard deviation; zero of values that are one to rounding."""
    found = float(values.std())
    return found if found > ROUNDING * float(values.abs().max()) else 0.0


TABLES = (ReportTable("shrinkage", facts=_spreads, texts=("level",)), ReportTable("effect_ellipses"))
