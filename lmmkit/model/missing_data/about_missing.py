"""Tables of a study about missing responses: who left when, and the answer under other assumptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd

from lmmkit.errors import FitError, concerning, did_you_mean
from lmmkit.model.design.design import Design
from lmmkit.model.fit import Fit
from lmmkit.model.means.focus import Focus, interaction_rows
from lmmkit.model.missing_data.completed import Completed
from lmmkit.model.missing_data.reference_based import (
    REFERENCE_BASED,
    ReferenceBased,
    check_visits,
    chosen,
    under_reference,
)
from lmmkit.model.missing_data.sensitivity import Covariance, Sensitivity, sensitivity
from lmmkit.model.missing_data.tipping_point import TippingPoint, shifted_until
from lmmkit.model.report_tables.about_answer import Estimand, one_number
from lmmkit.model.report_tables.report_table import ReportTable
from lmmkit.model.table.grouping import level_texts

TIPPING = "tipping-point"
EVERYBODY = "subjects"  # the column of counts where arms are not told apart
SHOWN = 4

Frame = pd.DataFrame


class Asked(Protocol):
    """What a study asks about missing responses: its key `missing_data`."""

    @property
    def assumptions(self) -> Sequence[str]:
        """Tipping point, and reference-based ones."""
        ...

    @property
    def arm(self) -> str | None:
        """The arm's column."""
        ...

    @property
    def reference(self) -> Any:
        """The reference arm."""
        ...

    @property
    def shifted(self) -> Any:
        """The arm, or arms, whose responses are shifted; None: all."""
        ...

    @property
    def gaps(self) -> bool:
        """Whether gaps are shifted too."""
        ...

    @property
    def covariance(self) -> Covariance:
        """Which covariance matrices the arms have."""
        ...

    @property
    def imputations(self) -> int:
        """Their number."""
        ...


def by_reference(asked: Asked) -> list[str]:
    """The reference-based assumptions that a study names."""
    return [each for each in asked.assumptions if each in REFERENCE_BASED]


def refuse(design: Design, asked: Asked) -> None:
    """Refuse what a study asks about missing responses that its model cannot answer, fitted or not.

    Raises:
        FitError: A model without visits, an arm that is not in the model, or a level that it does not have.
    """
    if by_reference(asked):
        check_visits(design)
    if asked.arm is None:
        return
    known = design.recipe.fixed_columns()
    if asked.arm not in known:
        near = did_you_mean(asked.arm, known) or "."
        with concerning("arm"):
            raise FitError(
                f"missing_data.arm: `{asked.arm}` is no column of the fixed part{near} They are: "
                f"{', '.join(known)}"
            )
    levels = [str(text) for text in level_texts(design.frame[asked.arm].unique().tolist())]
    for key in ("reference", "shifted"):
        given: Any = getattr(asked, key)
        several = cast("list[Any]", given) if isinstance(given, list) else [given]
        for each in [one for one in several if one is not None]:
            if str(each) not in levels:
                near = did_you_mean(str(each), levels) or "."
                with concerning(key):
                    raise FitError(
                        f"missing_data.{key}: `{asked.arm}` has no level {each}{near} Its levels: "
                        f"{', '.join(sorted(levels))}"
                    )


def basis(
    fit: Fit, focus: Focus, asked: Asked, data: Any, *, df: str, level: float, seed: int
) -> Sensitivity:
    """What the tables of a study rest on.

    Args:
        fit: The fit.
        focus: What the study asks.
        asked: Its key `missing_data`.
        data: The rows of the fit, and those that were dropped for a missing value.
        df: Degrees of freedom.
        level: Coverage.
        seed: Of the random numbers.

    Raises:
        FitError: The focus is not one number, or as `tipping_point` and `reference_based`.
        DataError: As they.
    """
    wanted = _one_number(fit, focus)
    refuse(fit.design, asked)
    return sensitivity(
        fit,
        dict(zip(fit.params.index, wanted.L, strict=True)),
        data=data,
        arm=asked.arm,
        reference=asked.reference if by_reference(asked) else None,
        covariance=asked.covariance,
        imputations=asked.imputations,
        df=df,
        level=level,
        seed=seed,
        name=wanted.name,
    )


def _one_number(fit: Fit, focus: Focus) -> Estimand:
    """What the focus asks for: of an interaction its coefficient, else as the answer has it.

    Raises:
        FitError: It is several numbers.
    """
    found, one = one_number(fit, focus), "what is asked under other assumptions is one number"
    L = interaction_rows(fit.estimates, focus)
    if found is None and L is not None:
        raise FitError(
            f"missing_data: the focus `{focus.term}` is an interaction of {len(L)} coefficients, and {one}; "
            f"name in report.at where the effect of `{focus.variable}` is asked, or another focus."
        )
    if found is None:
        raise FitError(
            f"missing_data: the focus `{focus.term}` is a factor of several levels, and {one}; name two of "
            "its levels in report.contrast, or another focus."
        )
    return found


def reference_based_of(found: Sensitivity, asked: Asked) -> ReferenceBased | None:
    """The answer under the reference-based assumptions that a study names; None where it names none."""
    named = by_reference(asked)
    return under_reference(found, chosen(named)) if named else None


def tipping_point_of(found: Sensitivity, asked: Asked) -> TippingPoint | None:
    """The tipping point; None where the study does not ask for it."""
    if TIPPING not in asked.assumptions:
        return None
    return shifted_until(found, asked.arm, asked.shifted, gaps=asked.gaps)


def dropout(found: Sensitivity, arm: str | None) -> Frame:
    """The patterns of missing responses over the visits, the most frequent first.

    A column `pattern` (the visits with a response), one per visit (1 where the response is missing), and one
    per arm, the number of its subjects. Empty for a model without visits.

    Args:
        found: The rows.
        arm: A column that tells subjects apart; None: all are counted together.
    """
    rows = found.rows
    visits = rows.visits
    if visits is None or visits.ident is not None:
        return Frame(columns=["pattern"])
    names, arrays = list(visits.visits.names), visits.arrays
    number: list[int] = [cell.visit for cell in visits.cells]
    when = np.array(number)[arrays.cells]
    there = np.ones((int(arrays.subjects.max()) + 1, len(names)), int)
    there[arrays.subjects[~rows.missing], when[~rows.missing]] = 0
    first = np.unique(arrays.subjects, return_index=True)[1]
    of = [EVERYBODY] * len(first) if arm is None else list(np.array(rows.levels_of(arm))[first])
    arms = [EVERYBODY] if arm is None else _in_order(rows, arm, of)
    counts = Frame(there, columns=[f"visit {name}" for name in names]).assign(arm=of)
    keys = list(counts.columns[:-1])
    table = counts.groupby([*keys, "arm"]).size().unstack("arm", fill_value=0)[arms].reset_index()
    total = table[arms].sum(axis=1)
    table = table.iloc[np.lexsort((np.arange(len(table)), -total.to_numpy()))].reset_index(drop=True)
    seen = [
        ", ".join(name for name, gone in zip(names, row, strict=True) if not gone) or "none"
        for row in table[keys].to_numpy()
    ]
    table.columns.name = None
    table.insert(0, "pattern", seen)
    return table.rename(columns={each: f"subjects, {each}" for each in arms if arm is not None})


def _in_order(rows: Completed, arm: str, of: Sequence[str]) -> list[str]:
    """The arms in the order of their levels."""
    column = rows.design.frame[arm]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [str(each) for each in level_texts(column.cat.categories.tolist()) if str(each) in of]
    return sorted(set(of))


def visit_columns(table: Frame) -> list[str]:
    """The columns of `dropout` that are visits."""
    return [str(name) for name in table if str(name).startswith("visit ")]


def arm_columns(table: Frame) -> list[str]:
    """Those that count subjects."""
    return [str(name) for name in table if str(name).startswith(EVERYBODY)]


def _who(table: Frame) -> dict[str, Any]:
    """Subjects, those without a response somewhere, and how many patterns there are."""
    holes, total = (
        table[visit_columns(table)].to_numpy(bool),
        table[arm_columns(table)].sum(axis=1).to_numpy(),
    )
    last = holes[:, -1] if holes.size else np.zeros(0, bool)
    return {
        "subjects": int(total.sum()),
        "complete": int(total[~holes.any(axis=1)].sum()),
        "without the last": int(total[last].sum()),
        "patterns": len(table),
    }


def _extent(table: Frame) -> dict[str, Any]:
    """The estimates from the least to the largest, and how many intervals exclude zero."""
    clear = (table["low"] > 0) | (table["high"] < 0)
    return {
        "least": float(table["estimate"].min()),
        "largest": float(table["estimate"].max()),
        "rows": len(table),
        "clear": int(clear.sum()),
    }


TABLES = (
    ReportTable("dropout", facts=_who),
    ReportTable(
        "reference_based",
        "The answer under assumptions about the responses that are missing after dropout.",
        {
            "assumption": "Assumption",
            "method": "Method",
            "estimate": ("Estimate", "trusted"),
            "se": ("SE", "trusted"),
            "df": "df",
            "p": ("p", "probability"),
            "low": ("Low", "trusted"),
            "high": ("High", "trusted"),
        },
        _extent,
    ),
    ReportTable(
        "tipping_point",
        "How far imputed responses must be shifted for the conclusion to turn.",
        {
            "method": "Method",
            "estimate": ("Estimate without a shift", "trusted"),
            "p": ("p", "probability"),
            "tip": "Nearest shift at which it turns",
            "tip_sds": "In SDs of a response",
            "below": "Downwards",
            "above": "Upwards",
        },
    ),
    ReportTable("tipping_curve"),
)
