# ruff: noqa: E501  (a sentence stands as it is printed)
"""What a report says of missing responses: numbers on the left, the expected words on the right."""

from __future__ import annotations

import pandas as pd
import pytest
from support.answers import plain
from support.report_files import report_files

from lmmkit.study.report.findings import turning
from lmmkit.study.report.paragraphs import missing_in_detail, missing_in_words, sensitivity

FACTS = {
    "estimand": "slope of x",
    "shifted": 62,
    "of": ["drug"],
    "over_visits": True,
    "with_gaps": False,
    "clear": True,
    "reach": 19.8,
    "small": False,
}
ASKED = {"assumptions": ["tipping-point"], "arm": "arm", "reference": "placebo", "imputations": 100}
NAMES = ["assumption", "method", "estimate", "se", "low", "high"]


class Seen:
    """Names as they are, the response in points."""

    def level(self, column, level):
        return level

    def quantity(self, name):
        return name

    def of_response(self):
        return " points"


def files(facts=None, tip=5.7135, asked=None, **more):
    table = pd.DataFrame({"method": ["x"], "turns": [tip == tip], "tip": [tip], "tip_sds": [tip / 4.95]})
    found = {"facts": {**FACTS, **(facts or {})}, "notes": ["112 responses are missing."]}
    study = {"missing_data": {**ASKED, **(asked or {})}}
    made = {"study": study, "tipping_point": table, "tipping_point.json": found, **more}
    return report_files(**made)


@pytest.mark.parametrize(
    ("facts", "tip", "words"),
    [
        ({}, 5.7135, "Imputed at random the interval (slope of x) excludes zero; this turns when the 62 imputed responses of drug after dropout are shifted by 5.71 points, 1.15 standard deviations of a response."),
        ({"with_gaps": True, "of": []}, -5.7135, "Imputed at random the interval (slope of x) excludes zero; this turns when the 62 imputed responses are shifted by −5.71 points, −1.15 standard deviations of a response."),
        ({"shifted": 1, "over_visits": False, "of": ["a", "b"], "clear": False}, float("nan"), "Imputed at random the interval (slope of x) does not exclude zero, and so it remains when the 1 imputed response of a and b is shifted by up to 19.8 points either way."),
    ],
)  # fmt: skip
def test_the_tipping_point_is_told(facts, tip, words):
    assert [plain(text) for text in missing_in_words(files(facts, tip), Seen())] == [words]


def test_a_conclusion_that_turns_at_a_small_shift_is_no_small_matter():
    assert turning(files(), Seen()) == []
    (said,) = turning(files({"small": True}, 0.99), Seen())
    assert plain(said).startswith("The answer hangs on responses that are missing. Imputed at random")
    assert "shifted by 0.99 points, 0.2 standard deviations" in plain(said)


def test_a_study_that_asks_nothing_is_told_nothing():
    empty = report_files(study={"missing_data": None})
    assert missing_in_words(empty, Seen()) == missing_in_detail(empty) == sensitivity(empty) == []
    assert turning(empty, Seen()) == turning(report_files(study={}), Seen()) == []


def test_assumptions_stand_beside_the_likelihood():
    rows = [
        ("missing at random", "likelihood", -3.474, 0.886, -5.226, -1.722),
        ("missing at random", "multiple imputation, Rubin", -3.457, 0.887, -5.213, -1.701),
        ("jump to reference", "multiple imputation, Rubin", -2.517, 0.907, -4.312, -0.722),
        ("jump to reference", "conditional mean, jackknife", -2.526, 0.687, -3.873, -1.18),
    ]
    given = files(
        asked={"assumptions": ["jump-to-reference"]},
        reference_based=pd.DataFrame(rows, columns=NAMES),
        certificate={"digits": 9},
        **{"reference_based.json": {"notes": ["The reference arm is placebo."]}, "references.json": {}},
    )
    (said,) = missing_in_words(given, Seen())
    assert plain(said) == (
        "The estimate is −3.474 points (−5.226 to −1.722) with responses missing at random, and by multiple imputation "
        "−2.517 points (−4.312 to −0.722) under jump to reference; conditional means with the jackknife stand beside them in the table."
    )
    assert [plain(text) for text in missing_in_detail(given)] == ["The reference arm is placebo."]
    (how,) = sensitivity(given)
    assert plain(how).startswith(
        "Sensitivity to missing responses: proper multiple imputation (100 data sets)"
    )
    assert plain(how).endswith("jump to reference after dropout.")
