"""A diagnosis as a run keeps it: checks in a study's words, curves under their titles, what is outside."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from lmmkit.model.report_tables import about_checks

CURVES = [  # check, of, x, value, middle, low, high
    ("quantiles of residuals", "residuals", -1.0, -1.5, -1.0, -1.25, -0.75),
    ("quantiles of residuals", "residuals", 1.0, 1.25, 1.0, 0.5, 1.75),
    ("linearity", "x", 2.0, 0.5, 0.1, -1.0, 1.0),
    ("linearity", "fitted values", 3.0, 0.75, 0.1, -1.0, 0.5),
    ("equal variances", "fitted values", 3.0, -2.0, 0.1, -1.0, 0.5),
    ("normal random effects", "g: x", 0.0, 0.5, 0.25, 0.0, 0.75),
    ("serial correlation", "t", 1.0, 0.3, 0.1, -0.25, 0.3),
]


def found(curves=CURVES):
    names = ["check", "of", "x", "value", "middle", "low", "high"]
    table = pd.DataFrame({"check": ["a", "b"], "remedy": ["Use df='satterthwaite'.", ""]})
    return SimpleNamespace(table=table, curves=pd.DataFrame(curves, columns=names))


def test_advice_is_told_in_the_words_of_a_study() -> None:
    assert about_checks.checks(found()).to_dict("list") == {
        "check": ["a", "b"],
        "remedy": ["Use inference.df: satterthwaite.", ""],
    }


def test_curves_have_their_titles_and_quantiles_their_distance_from_the_middle() -> None:
    made = about_checks.curves(found())
    assert made.columns.tolist() == about_checks.CURVES
    assert made.to_numpy().tolist() == [
        ["Residuals", "Normal quantile", "Deviation (SD)", -1.0, -0.5, -0.25, 0.25],
        ["Residuals", "Normal quantile", "Deviation (SD)", 1.0, 0.25, -0.5, 0.75],
        ["Linearity: x", "X", "Departure (unit of the response)", 2.0, 0.5, -1.0, 1.0],
        ["Linearity: fitted values", "Fitted values", "Departure (SD)", 3.0, 0.75, -1.0, 0.5],
        ["Equal variances: fitted values", "Fitted values", "Departure (SD)", 3.0, -2.0, -1.0, 0.5],
        ["g: x", "Normal quantile", "Deviation (SD)", 0.0, 0.25, -0.25, 0.5],
        ["Serial correlation: t", "Rows apart", "Autocorrelation", 1.0, 0.3, -0.25, 0.3],
    ]
    none = about_checks.curves(found([]))
    assert none.empty
    assert none.columns.tolist() == about_checks.CURVES


def test_a_curve_is_outside_beyond_its_bounds_alone() -> None:
    told = {table.name: table.facts for table in about_checks.TABLES}["check_curves"]
    assert told(about_checks.curves(found())) == {"curves": 6, "outside": 3}


def test_quantiles_of_residuals_stand_as_they_were_judged() -> None:
    made = about_checks.quantiles(found(), SimpleNamespace())
    assert made.to_dict("list") == {
        "normal": [-1.0, 1.0], "residual": [-1.5, 1.25], "low": [-1.25, 0.5], "high": [-0.75, 1.75],
    }  # fmt: skip
    assert about_checks.drawn(made, rows=90, drawn=2) == {"rows": 90, "drawn": 2, "outside": 1}
    unjudged = made.assign(low=np.nan, high=np.nan)
    assert about_checks.drawn(unjudged, rows=9, drawn=9) == {"rows": 9, "drawn": 9}
