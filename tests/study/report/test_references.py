"""Which works a run cites: those whose methods it used, and no others."""

from __future__ import annotations

import pandas as pd
import pytest
from support.report_files import report_files, study

from lmmkit.study.report.references import WORKS, bibliography, cite, used

PLAIN = {"r2", "guide"}


def works(method="normal", fit="ML", rule="fixed", criterion="aic", group="g", sizes=0, reference="chi2(1)",
          checks=(), gaps=None):  # fmt: skip
    files = report_files(
        coefficients=[{"method": method}],
        summary={"method": fit, "ngroups": {"g": 4}},
        selection={"rule": rule, "criterion": criterion},
        components=[{"group": group}, {"group": "Residual"}],
        effect_sizes=[{"estimate": 1.0}] * sizes,
        comparisons=[{"reference": reference}],
        checks=pd.DataFrame(checks, columns=["check", "verdict"]),
        study={**study(), "missing_data": gaps},
    )
    return set(used(files))


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({}, {"model", "r2 slopes"}),
        ({"group": "Residual"}, set()),  # correlated residuals alone
        ({"fit": "REML"}, {"model", "r2 slopes", "reml"}),
        ({"method": "kenward-roger"}, {"model", "r2 slopes", "kenward-roger"}),
        ({"method": "kenward-roger-observed: note"}, {"model", "r2 slopes", "kenward-roger"}),
        ({"method": "satterthwaite"}, {"model", "r2 slopes", "satterthwaite"}),
        ({"rule": "maximal"}, {"model", "r2 slopes", "maximal"}),
        ({"rule": "parsimonious"}, {"model", "r2 slopes", "parsimonious"}),
        ({"rule": "backward"}, {"model", "r2 slopes", "matched"}),
        ({"rule": "forward", "criterion": "caic"}, {"model", "r2 slopes", "matched", "caic"}),
        ({"sizes": 1}, {"model", "r2 slopes", "d"}),
        ({"reference": "0.5 chi2(0) + 0.5 chi2(1)"}, {"model", "r2 slopes", "boundary"}),
        ({"checks": [("variance between groups", "fine")]}, {"model", "r2 slopes", "spread"}),
        (
            {"checks": [("normal residuals", "look"), ("variance along fitted values", "not checked")]},
            {"model", "r2 slopes", "normality"},
        ),
        (
            {"checks": [("quantiles of residuals", "fine"), ("variance along fitted values", "fine")]},
            {"model", "r2 slopes", "envelope", "trend", "table"},
        ),
        (
            {"gaps": {"assumptions": ["tipping-point"]}},
            {"model", "r2 slopes", "imputation", "imputation df", "conditional mean", "controlled"},
        ),
        (
            {"gaps": {"assumptions": ["jump-to-reference"]}},
            {"model", "r2 slopes", "imputation", "imputation df", "conditional mean", "anchored",
             "reference-based"},
        ),
    ],
)  # fmt: skip
def test_a_run_cites_what_it_used(changes, more):
    assert works(**changes) == PLAIN | more


def test_citations_and_the_list_in_the_order_of_authors():
    found = {key: WORKS[key]._asdict() for key in ("reml", "model", "r2")}
    posterior = {"loo": WORKS["loo"]._asdict()}
    files = report_files(
        study={**study(), "posterior": {"draws": 10}},
        **{"references.json": found, "posterior_references.json": posterior},
    )
    assert str(cite(files, "model", "d", "reml")) == " (Laird & Ware, 1982; Patterson & Thompson, 1971)"
    assert str(cite(files, "d")) == ""
    assert [str(text).partition(",")[0] for text in bibliography(files)] == [
        "Laird", "Nakagawa", "Patterson", "Vehtari",
    ]  # fmt: skip
    assert all("(" in work.listed and "doi:10." in work.listed for work in WORKS.values())
