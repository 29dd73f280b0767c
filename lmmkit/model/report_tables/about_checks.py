"""A diagnosis as a run keeps it: the table of checks, outlying rows, and curves with their envelopes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lmmkit.model.diagnostics.diagnose import Diagnosis
from lmmkit.model.dialects.study_words import in_study_words
from lmmkit.model.fit import Fit
from lmmkit.model.report_tables.report_table import Facts, ReportTable, outside, printed
from lmmkit.model.report_tables.residuals import residual_quantiles

QUANTILES = ("quantiles of residuals", "normal random effects")  # checks whose curves are quantiles
CURVES = ["panel", "x_label", "y_label", "x", "value", "low", "high"]

Frame = pd.DataFrame


def checks(found: Diagnosis) -> Frame:
    """The table of checks, its advice as a study is written."""
    return found.table.assign(remedy=[in_study_words(advice) for advice in found.table["remedy"]])


def quantiles(found: Diagnosis, fit: Fit) -> Frame:
    """Standardised residuals in order with their simultaneous envelope: normal, residual, low, high.

    Where there are too few rows to be judged there is no envelope.
    """
    own = found.curves[found.curves["check"] == QUANTILES[0]]
    if not len(own):
        return residual_quantiles(fit).assign(low=np.nan, high=np.nan)
    made = own.rename(columns={"x": "normal", "value": "residual"})
    return Frame(made[["normal", "residual", "low", "high"]]).reset_index(drop=True)


def drawn(quantiles: Frame, *, rows: int, drawn: int) -> Facts:
    """Rows, those drawn one by one, and the quantiles outside of their envelope; without one none is told."""
    out = outside(quantiles, "residual")
    told = {} if quantiles["low"].isna().all() else {"outside": int(out.sum())}
    return {"rows": rows, "drawn": drawn, **told}


def curves(found: Diagnosis) -> Frame:
    """Every curve that was judged, or is drawn, with its envelope, for `plots.envelopes`.

    Of quantiles, how far each is from the middle of its envelope (a worm plot).
    """
    parts = list[Frame]()
    for (check, of), own in found.curves.groupby(["check", "of"], sort=False):
        worm = check in QUANTILES
        shift = own["middle"].to_numpy() if worm else 0.0
        x_label, y_label = ("Normal quantile", "Deviation (SD)") if worm else _labels(str(check), str(of))
        made = {"panel": _panel(str(check), str(of)), "x_label": x_label, "y_label": y_label, "x": own["x"]}
        parts.append(Frame(made | {name: own[name] - shift for name in ("value", "low", "high")}))
    return pd.concat(parts, ignore_index=True) if parts else Frame(columns=CURVES)


def _panel(check: str, of: str) -> str:
    """The title of a curve's panel."""
    if check == QUANTILES[0]:
        return "Residuals"
    return of if check == QUANTILES[1] else f"{check.capitalize()}: {of}"


def _labels(check: str, of: str) -> tuple[str, str]:
    if check == "serial correlation":
        return "Rows apart", "Autocorrelation"
    unit = "SD" if of == "fitted values" else "unit of the response"
    return of[:1].upper() + of[1:], f"Departure ({unit})"


def _outside(table: Frame) -> Facts:
    """How many curves there are, and how many leave their envelope somewhere."""
    out = table.loc[outside(table, "value"), "panel"]
    return {"curves": table["panel"].nunique(), "outside": out.nunique()}


TABLES = (
    ReportTable(
        "checks",
        "Checks of the assumptions.",
        printed(
            "check of statistic p adjusted verdict",
            statistic=("Statistic", 2),
            adjusted=("p, adjusted for all", "probability"),
        ),
        texts=("of", "where"),
    ),
    ReportTable(
        "outliers",
        "The rows farthest from what the model expects, p adjusted for the number of rows (Holm).",
        printed(
            "row groups observed fitted studentised p",
            row="Row of the file",
            groups="Of",
            fitted="Fitted",
            studentised=("Standardised residual", 2),
        ),
    ),
    ReportTable("check_curves", facts=_outside),
)
