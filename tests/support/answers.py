"""The sentences of an answer from a formula and a table, as the third and the fourth step make them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import escape
from support.report_files import report_files, study

import lmmkit
from lmmkit.model.diagnostics.diagnose import diagnose
from lmmkit.model.influence import about_influence
from lmmkit.model.means.focus import find_focus
from lmmkit.model.report_tables import about_answer, about_checks, about_fit, about_inference
from lmmkit.study.pages.seen_names import Labels
from lmmkit.study.report import references
from lmmkit.study.report.answer import answer, spread
from lmmkit.study.report.seen import Seen


def plain(markup: Any) -> str:
    """The words without their marks; what is set strong between asterisks."""
    return (
        re.sub(r"<[^>]*>", "", re.sub(r"</?strong>", "*", str(escape(markup))))
        .replace("&lt;", "<")
        .replace("&#39;", "'")
        .replace("&gt;", ">")
        .replace("&#34;", '"')
    )


VERSIONS = {"lmmkit": "0.1.0", "python": "3.11.7", "numpy": "2.4.6", "scipy": "1.17.1", "pandas": "3.1.1"}


def run_of(
    formula: str,
    data: pd.DataFrame,
    *args: Any,
    labels: Labels | None = None,
    replicates: int = 199,
    **more: Any,
):
    """The files of a run with its checks and its literature, and what readers see.

    Args:
        formula: The model.
        data: Its table.
        args: What `files_of` takes.
        labels: Labels of columns and levels.
        replicates: Of the checks; 199 are the fewest that allow p < .01.
        more: What `files_of` takes.
    """
    units, ci, level = more.get("units", {}), more.get("ci", "wald"), more.get("level", 0.95)
    files, fit, _ = files_of(formula, data, *args, **more)
    listed = list(range(1, len(data) + 1))
    checked = diagnose(fit, names=listed, replicates=replicates)
    held = files.csv.__wrapped__.__self__.files
    held |= {
        f"tables/{name}.csv": table
        for name, table in {
            "checks": about_checks.checks(checked), "outliers": checked.rows,
            "influence": pd.DataFrame(columns=about_influence.COLUMNS),
            "influences": pd.DataFrame(columns=about_influence.SUMMARY),
            "anova": about_inference.anova(fit, df="auto"),
            "shares": about_inference.shares(fit, ci=ci, level=level, seed=1),
            "effect_sizes": about_inference.standardised(fit),
            "comparisons": pd.DataFrame({"reference": ["0.5 chi2(0) + 0.5 chi2(1)"]}),
        }.items()
    }  # fmt: skip
    held |= {
        "summary.json": about_fit.summary(fit), "checks.json": checked.told(),
        "selection.json": {"rule": "fixed", "criterion": "aic", "note": "A note."},
        "provenance.json": {"versions": VERSIONS},
        "data.schema.json": {"rows_read": len(data), "rows_kept": len(data), "source": "a.csv"},
    }  # fmt: skip
    held["references.json"] = references.used(files)
    files.json.cache_clear()
    return files, Seen(fit.design, units, labels or Labels())


def files_of(
    formula: str, data: pd.DataFrame, focus: Any = None, contrast: Any = None, at: Any = None, **more: Any
):
    """The files that an answer is read from, the fit and the answer; units by column in `units`."""
    units, level, ci = more.pop("units", {}), more.pop("level", 0.95), more.pop("ci", "wald")
    fit = lmmkit.lmm(formula, data, **more)
    bounds = about_inference.intervals(fit, ci=ci, level=level, df="auto", seed=1)
    coefficients = about_inference.coefficients(fit, bounds, df="auto", level=level)
    told = about_answer.told(
        fit, find_focus(fit.design, focus, contrast, at), coefficients, df="auto", level=level
    )
    found = report_files(
        coefficients=coefficients, answer=told.table, components=about_fit.components(fit, bounds),
        study=study(ci=ci, level=level, **units), intervals=bounds, **{"answer.json": told.facts},
    )  # fmt: skip
    return found, fit, told


def said(
    formula: str, data: pd.DataFrame, *args: Any, labels: Labels | None = None, **more: Any
) -> list[str]:
    """The sentences of the answer, then the one about the spread."""
    files, fit, _ = files_of(formula, data, *args, **more)
    labels = labels or Labels()
    return [plain(text) for text in [*answer(files, fit.design, labels), spread(files, fit.design, labels)]]


def garden(seed: int = 1) -> pd.DataFrame:
    """240 rows: numbers x (d) and z (20 to 40), factors f (a, b, c) and h (hi, lo), groups g; responses."""
    rng, n = np.random.default_rng(seed), 240
    d = pd.DataFrame(
        {
            "g": np.repeat(np.arange(24), 10),
            "x": rng.normal(0, 1, n),
            "z": rng.uniform(20, 40, n),
            "f": rng.choice(list("abc"), n),
            "h": rng.choice(["lo", "hi"], n),
            "w": rng.uniform(0.5, 2.0, n),
            "o": rng.normal(5, 1, n),
        }
    )
    noise = rng.normal(0, 1, 24)[d["g"]] + rng.normal(0, 1, n)
    d["y"] = 3 + 0.1 * d["x"] * d["z"] + (d["f"] == "b") * 2 + (d["f"] == "c") * (d["h"] == "hi") * 3 + noise
    d["q"] = 1 + 0.1 * d["x"] + 1.5 * d["x"] ** 2 + noise
    d["rt"] = np.exp(5 + 0.05 * d["x"] + 0.2 * (d["h"] == "hi") * d["x"] + 0.1 * noise)
    d["n"] = np.round(np.exp(1 + 0.3 * d["x"] + 0.2 * noise))
    return d
