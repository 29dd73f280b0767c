"""Candidate random-effects structures fitted side by side, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.errors import FitError, LmmkitError
from lmmkit.model.fit import lmm
from lmmkit.model.formula.formula import Formula, parse_candidate, parse_formula
from lmmkit.model.options import check_option
from lmmkit.model.selection.random_parts import lattice
from lmmkit.model.table.known import known_of

RULES = ("fixed", "best")
CRITERIA = ("aic", "bic")
MEASURES = ("deviance", "aic", "bic")
FACTS = ("nobs", "npar", *MEASURES)


@dataclass(frozen=True)
class Selection:
    """A choice among candidates, and the ledger of all of them.

    Attributes:
        formula: The formula chosen, in canonical spelling.
        rule: fixed (the formula as given) or best (the least criterion).
        criterion: aic or bic.
        note: On what the comparison rests, in a sentence.
        table: One row per candidate: candidate, formula, nobs, npar, deviance, aic, bic, each one's
            distance from the least (d_deviance, d_aic, d_bic), singular, converged, chosen, reason, error.
        notices: What the formula says otherwise than it may be meant, such as `x + x^2`.
    """

    formula: str
    rule: str
    criterion: str
    note: str
    table: pd.DataFrame
    notices: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The choice in plain values."""
        return {
            "formula": self.formula,
            "rule": self.rule,
            "criterion": self.criterion,
            "note": self.note,
            "notices": list(self.notices),
            "candidates": self.table.to_dict("records"),
        }


def select(
    formula: str,
    data: Any,
    *,
    rule: str = "fixed",
    candidates: str | Sequence[str] = "auto",
    criterion: str = "aic",
    reml: bool = True,
    **options: Any,
) -> Selection:
    """Fit candidate random-effects structures and choose one.

    Args:
        formula: The model as first thought of.
        data: A table, as for `lmm`.
        rule: "fixed" keeps `formula` and shows the others beside it; "best" takes the least criterion.
        candidates: Random parts such as `(1 | g)`, or whole formulas; "auto" reduces the random part of
            `formula` step by step. `formula` itself is always shown under rule "fixed".
        criterion: "aic" or "bic".
        reml: Restricted maximum likelihood, under which only equal fixed parts can be compared.
        options: Further arguments of `lmm`.

    Raises:
        FitError: No candidate can be fitted and compared, or an option is not offered.
        FormulaError: A candidate cannot be read.

    >>> y, g = [3.0, 4, 7, 6, 9, 12, 2, 2, 5], list("aaabbbccc")
    >>> frame = pd.DataFrame({"y": y, "x": [0, 1, 2] * 3, "g": g})
    >>> select("y ~ x + (1 | g)", frame).table["candidate"].tolist()
    ['(1 | g)']
    """
    check_option("rule", rule, RULES)
    check_option("criterion", criterion, CRITERIA)
    base = parse_formula(formula)
    listed = _listed(base, candidates, with_base=rule == "fixed")
    table = pd.DataFrame([_row(label, model, data, reml, options) for label, model in listed.items()])
    table = _compared(table, listed, base, reml=reml)
    chosen = str(base) if rule == "fixed" else _best(table, criterion)
    table["chosen"] = table["formula"] == chosen
    table["reason"] = [_reason(row, rule, criterion) for row in table.to_dict("records")]
    if rule == "fixed" and table.loc[table["chosen"], "error"].item():
        raise FitError(table.loc[table["chosen"], "error"].item())
    basis = "REML criteria, compared among equal fixed parts" if reml else "maximum likelihood"
    note = f"AIC and BIC from {basis}; they count fixed effects, covariance parameters and sigma."
    return Selection(chosen, rule, criterion, note, table.drop(columns="comparable"), base.notices)


def _listed(base: Formula, candidates: str | Sequence[str], *, with_base: bool) -> dict[str, Formula]:
    """Each candidate under the text that stands for it, every model once."""
    if isinstance(candidates, str):
        check_option("candidates", candidates, ("auto",))
        reduced = [replace(base, random=part) for part in lattice(base.random)]
        models = {_random_part(model): model for model in reduced}
    else:
        models = {text: parse_candidate(text, base) for text in candidates}
    known = {str(model) for model in models.values()}
    own = {_random_part(base): base} if with_base and str(base) not in known else {}
    return own | models


def _random_part(model: Formula) -> str:
    return " + ".join(map(str, model.random)) or "no random effects"


def _row(label: str, model: Formula, data: Any, reml: bool, options: dict[str, Any]) -> dict[str, Any]:
    head = {"candidate": label, "formula": str(model)}
    try:
        given: dict[str, Any] = {**options, "known": known_of(options.get("known"), model)}
        fit = lmm(str(model), data, reml=reml, **given)
    except LmmkitError as error:
        none = dict.fromkeys(FACTS, np.nan)
        return head | none | {"singular": False, "converged": False, "error": str(error)}
    facts = {name: getattr(fit, name) for name in FACTS}
    return head | facts | {"singular": fit.is_singular, "converged": fit.converged, "error": ""}


def _compared(table: pd.DataFrame, listed: dict[str, Formula], base: Formula, *, reml: bool) -> pd.DataFrame:
    """Distances from the least value among the candidates that may be compared."""
    same_fixed = np.array([set(model.fixed) == set(base.fixed) for model in listed.values()])
    same_rows = (table["nobs"] == table["nobs"].max()).to_numpy()
    comparable = same_rows & (same_fixed | (not reml))
    table["comparable"] = comparable
    for name in MEASURES:
        values = table[name].where(comparable)
        table[f"d_{name}"] = values - values.min()
    return table


def _best(table: pd.DataFrame, criterion: str) -> str:
    """The formula of the least criterion; of equals the one with fewer parameters."""
    able = table[table["comparable"] & table["converged"]]
    if able.empty:
        raise FitError(
            "No candidate could be fitted and compared: "
            + "; ".join(f"{row['candidate']}: {_obstacle(row)}" for row in table.to_dict("records"))
        )
    return str(able.sort_values([criterion, "npar"], kind="stable")["formula"].iloc[0])


def _obstacle(row: dict[Any, Any]) -> str:
    """Why a candidate cannot be chosen, or nothing."""
    if row["error"]:
        return f"could not be fitted: {row['error']}"
    if not row["comparable"]:
        return "not comparable: other rows, or REML with another fixed part (use method ML)"
    return "" if row["converged"] else "its search did not converge"


def _reason(row: dict[Any, Any], rule: str, criterion: str) -> str:
    """Why a candidate was chosen or not, in words."""
    obstacle = _obstacle(row)
    name = criterion.upper()
    distance = f"{name} {row[f'd_{criterion}']:.2f} above the least"
    if row["chosen"]:
        words = "the formula of the study" if rule == "fixed" else f"least {name}"
        return "; ".join(filter(None, [words, obstacle, _singular(row)]))
    standing = obstacle or (f"least {name}" if row[f"d_{criterion}"] == 0 else distance)
    return "; ".join(filter(None, [standing, _singular(row)]))


def _singular(row: dict[Any, Any]) -> str:
    return "singular: a covariance matrix has a null direction" if row["singular"] else ""
