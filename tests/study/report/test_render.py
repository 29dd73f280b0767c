# ruff: noqa: E501  (a row stands on a line)
"""The tables of the page: each column by its rounding, each number bound to its place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.report_files import report_files

from lmmkit.model.report_tables import about_data, about_inference
from lmmkit.model.report_tables.report_table import ReportTable, excludes_zero
from lmmkit.study.pages.marks import Mark
from lmmkit.study.report.numbers import TABLES, decimals_for, rounded
from lmmkit.study.report.render import LONGEST, printed_table

NAN = float("nan")


def texts(name, rows, **files):
    """The cells of a table as the reader sees them, then what its caption says of all rows."""
    printed = printed_table(report_files(**{name: rows}, **files), TABLES[name])
    return [[str(cell) for cell in [*row, *(method for _, method in printed.alike)]] for row in printed.rows]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (10.4673, 2, "10.47"),
        (-10.4673, 0, "−10"),
        (12345.678, 1, "12,345.7"),
        (-0.00012345, None, "−0.0001234"),
        (1234567.8, None, "1,234,568"),
        (18, None, "18"),
        (float("inf"), 2, "infinite"),
        (float("-inf"), None, "infinite"),
        (NAN, 2, "none"),
        (True, None, "yes"),
        (False, 2, "no"),
        (np.bool_(True), None, "yes"),
        (np.int64(3), None, "3"),
        (None, None, ""),
        ("a 1", None, "a 1"),
    ],
)
def test_rounded(value, decimals, text):
    assert rounded(value, decimals) == text


@pytest.mark.parametrize(
    ("error", "digits", "decimals"),
    [
        (1.5458, 3, 2),
        (682.4, 3, 0),
        (9.99, 1, 0),
        (0.02, 2, 3),
        (0.0999, 3, 4),
        (0.1, 3, 3),
        (1e-15, 3, 12),
        (0.0, 3, 2),
        (NAN, 3, 2),
        (float("inf"), 3, 2),
        (-1.0, 3, 2),
    ],
)
def test_decimals_for(error, digits, decimals):
    assert decimals_for(error, digits) == decimals


COEFFICIENT = {
    "coefficient": "x",
    "estimate": -10.46728,
    "se": 1.545789,
    "df": 17.0,
    "t": 6.77149,
    "p": 0.0000033,
    "low": -7.205,
    "high": NAN,
    "method": "kenward-roger",
    "interval": "Wald",
}


@pytest.mark.parametrize(
    ("name", "row", "cells"),
    [
        (
            "coefficients",
            COEFFICIENT,
            ["x", "−10.47", "1.55", "17", "6.77", "< 0.001", "−7.21", "", "kenward-roger", "Wald"],
        ),
        (
            "coefficients",
            COEFFICIENT | {"p": 0.001, "df": float("inf"), "t": -1234.5, "se": 0.02, "high": 1.0},
            ["x", "−10.4673", "0.0200", "infinite", "−1,234.50", "0.001", "−7.2050", "1.0000",
             "kenward-roger", "Wald"],
        ),
        (
            "anova",
            {"term": "f", "num_df": 2, "den_df": 17.25, "F": 45.8529, "p": 0.04949, "method": "satterthwaite"},
            ["f", "2", "17.25", "45.85", "0.049", "satterthwaite"],
        ),
        (
            "anova",
            {"term": "f", "num_df": 2, "den_df": NAN, "F": NAN, "p": NAN, "method": "no df: 1 column"},
            ["f", "2", "", "", "", "no df: 1 column"],
        ),
        (
            "means",
            {"cell": "f: u", "mean": 52.3555, "se": 1.6807, "df": 7.5, "low": 48.4, "high": 56.3, "method": "m"},
            ["f: u", "52.36", "1.68", "7.5", "48.40", "56.30", "m"],
        ),
        (
            "pairs",
            {"contrast": "f: u - v", "estimate": 2.5, "se": 0.5, "df": 5, "t": 5.0, "p": 0.5, "low": 1.0,
             "high": 4.0, "method": "m", "adjusted": "Tukey"},
            ["f: u - v", "2.500", "0.500", "5", "5.00", "0.500", "1.000", "4.000", "m", "Tukey"],
        ),
        (
            "components",
            {"component": "g", "vcov": 612.1002, "sdcor": 24.74066, "low": 15.0, "high": NAN, "interval": "Wald",
             "var2": None},
            ["g", "612.1", "24.74", "15.00", "", "Wald"],
        ),
        (
            "components",
            {"component": "g", "vcov": -0.5, "sdcor": -0.06555, "low": -0.4715, "high": 0.5, "interval": "Wald",
             "var2": "x"},
            ["g", "−0.5", "−0.066", "−0.471", "0.500", "Wald"],
        ),
        (
            "shares",
            {"share": "R2 marginal", "estimate": 0.27881, "low": NAN, "high": 0.5, "definition": "d"},
            ["R2 marginal", "0.279", "", "0.500", "d"],
        ),
        (
            "candidates",
            {"candidate": "(1 | g)", "npar": 4, "deviance": 1743.6283, "aic": 1755.6283, "bic": 1774.786,
             "caic": NAN, "p": 0.25, "reason": "AIC 2.1 above"},
            ["(1 | g)", "4", "1,743.63", "1,755.63", "1,774.79", "", "0.250", "AIC 2.1 above"],
        ),
        (
            "comparisons",
            {"candidate": "(1 | g)", "relation": "within", "stat": 42.8372, "df": 2.0, "p": 0.0, "reference": "r",
             "note": NAN},
            ["(1 | g)", "within", "42.84", "2", "< 0.001", "r", ""],
        ),
        (
            "algorithms",
            {"algorithm": "em", "deviance": 1743.62827196, "above": 3.64e-9, "iterations": 1600,
             "evaluations": 1601, "converged": True, "method": "EM"},
            ["em", "1,743.628272", "3.6e−09", "1,600", "1,601", "yes", "EM"],
        ),
        (
            "certificate",
            {"check": "gradient", "value": -1.234e-9, "threshold": 0.001, "verdict": "holds"},
            ["gradient", "−1.2e−09", "1.0e−03", "holds"],
        ),
        (
            "columns",
            {"column": "y", "role": "response", "type": "number", "unit": "ms", "distinct": 2178, "min": 194.3322,
             "median": 288.65, "max": NAN},
            ["y", "response", "number", "ms", "2,178", "194.3", "288.6", ""],
        ),
        ("dropped", {"status": "dropped", "reason": "missing y", "rows": 1400}, ["dropped", "missing y", "1,400"]),
        (
            "balance",
            {"group": "g", "levels": 18, "least": 3, "median": 8.5, "most": 10},
            ["g", "18", "3", "8.5", "10"],
        ),
        ("relations", {"relation": "a is nested in b", "pairs": 10, "possible": 60}, ["a is nested in b", "10", "60"]),
    ],
)  # fmt: skip
def test_cells(name, row, cells):
    assert texts(name, [row]) == [cells]
    assert len(TABLES[name].columns) == len(TABLES[name].head()) == len(cells)


@pytest.mark.parametrize(
    ("digits", "estimate"), [(9, "−10.47"), (3, "−10.47"), (2, "−10.5"), (1, "−10"), (0, "−10")]
)
def test_no_more_digits_than_the_certificate_supports(digits, estimate):
    assert texts("coefficients", [COEFFICIENT], certificate={"digits": digits})[0][1] == estimate


def test_cells_know_their_places():
    printed = printed_table(report_files(coefficients=[COEFFICIENT]), TABLES["coefficients"])
    row = printed.rows[0]
    assert row[0] == "x"
    assert row[1] == Mark(-10.46728, "tables/coefficients.csv", "x.estimate", "−10.47")
    assert row[5] == Mark(0.0000033, "tables/coefficients.csv", "x.p", "< 0.001")
    assert printed.numeric == [False, True, True, True, True, True, True, False]
    assert (printed.file, printed.left) == ("tables/coefficients.csv", 0)


def test_the_caption_says_a_method_that_all_rows_have():
    rows = [COEFFICIENT, COEFFICIENT | {"coefficient": "z", "interval": "profile"}]
    printed = printed_table(report_files(coefficients=rows), TABLES["coefficients"])
    assert printed.alike == [("SE and df by", "kenward-roger")]
    assert printed.head[-1] == "Interval by"
    assert [row[-1] for row in printed.rows] == ["Wald", "profile"]
    assert all(len(row) == len(printed.head) == 9 for row in printed.rows)


def test_a_row_without_a_method_keeps_the_column():
    rows = [COEFFICIENT, COEFFICIENT | {"coefficient": "z", "interval": None}]
    printed = printed_table(report_files(coefficients=rows), TABLES["coefficients"])
    assert [row[-1] for row in printed.rows] == ["Wald", ""]


def test_text_with_digits_is_bound_to_its_place():
    printed = printed_table(
        report_files(dropped=[{"status": "dropped", "reason": "x > 3", "rows": 2}] * 2), TABLES["dropped"]
    )
    assert printed.rows[1][1] == Mark("x > 3", "tables/dropped.csv", "1.reason", "x > 3")
    assert printed.numeric == [False, False, True]


@pytest.mark.parametrize(("length", "shown", "left"), [(0, 0, 0), (30, 30, 0), (31, 30, 1)])
def test_long_tables_are_cut(length, shown, left):
    rows = pd.DataFrame({"relation": ["a"] * length, "pairs": range(length), "possible": 1})
    printed = printed_table(report_files(relations=rows), TABLES["relations"])
    assert (len(printed.rows), printed.left, LONGEST) == (shown, left, 30)
    assert printed.numeric == [False, length > 0, length > 0]


def test_every_table_is_declared_once():
    declared = [table.name for module in (about_data, about_inference) for table in module.TABLES]
    assert len(set(declared)) == len(declared)
    assert TABLES["anova"].rounding("F") == 2
    assert TABLES["anova"].rounding("den_df") == "plain"
    assert TABLES["anova"].head()[2] == "Denominator df"
    assert ReportTable("new").facts(pd.DataFrame()) == {}


@pytest.mark.parametrize(
    ("low", "high", "clear"),
    [
        (1, 2, True),
        (-2, -1, True),
        (-1, 1, False),
        (0, 1, False),
        (-1, 0, False),
        (NAN, 1, False),
        (NAN, -1, True),
    ],
)
def test_excludes_zero(low, high, clear):
    assert excludes_zero(pd.DataFrame({"low": [low], "high": [high]})).tolist() == [clear]
