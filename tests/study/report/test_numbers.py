"""Numbers as a report prints them: values and what stands beside them on the left, the text on the right."""

from __future__ import annotations

import pandas as pd
import pytest
from support.report_files import report_files

from lmmkit.study.pages.marks import Mark
from lmmkit.study.report.numbers import equals, percent, probability, rounded


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001"), (0.0014, "0.001"), (0.05, "0.050")],
)
def test_a_probability_has_three_decimals_or_a_bound(p, text):
    assert probability(p) == text


@pytest.mark.parametrize(("text", "told"), [("0.050", "= 0.050"), ("< 0.001", "< 0.001"), (".05", "= .05")])
def test_a_bound_takes_the_place_of_the_sign(text, told):
    assert str(equals(Mark(0.1, "a.csv", "a.p", text))) == told


@pytest.mark.parametrize(
    ("share", "digits", "text"), [(0.95, 4, "95 %"), (0.9999, 4, "99.99 %"), (-0.0123, 2, "−1.2 %")]
)
def test_a_share_in_per_cent(share, digits, text):
    assert percent(share, digits) == text


@pytest.mark.parametrize(
    ("se", "digits", "text"),
    [
        (0.5, 9, "10.467"),  # three digits of the standard error
        (0.5, 3, "10.467"),
        (0.5, 2, "10.47"),  # as many as the certificate supports
        (0.5, 0, "10.5"),  # one at least
        (50.0, 9, "10.5"),
        (500.0, 9, "10"),
        (0.0, 9, "10.47"),
        (float("nan"), 9, "10.47"),
    ],
)
def test_an_estimate_has_the_digits_of_its_standard_error_and_of_the_certificate(se, digits, text):
    table = pd.DataFrame({"coefficient": ["x"], "estimate": [10.4673], "se": [se]})
    files = report_files(coefficients=table, certificate={"digits": digits})
    assert files.cell("coefficients", 0, "estimate", "trusted").text == text


@pytest.mark.parametrize(
    ("sdcor", "second", "low", "text"),
    [
        (24.7405, None, 15.03201, "15.03"),  # the decimals of four digits of the standard deviation
        (0.0247, None, 0.01503201, "0.01503"),
        (0.0656, "x", -0.49861, "−0.499"),  # three decimals of a correlation
        (-0.5, "x", 0.25, "0.250"),
    ],
)
def test_bounds_have_the_decimals_of_what_they_bound(sdcor, second, low, text):
    table = pd.DataFrame({"component": ["g"], "var2": [second], "sdcor": [sdcor], "low": [low]})
    assert report_files(components=table).cell("components", 0, "low", "sized").text == text


@pytest.mark.parametrize(
    ("value", "rounding", "text"),
    [
        (1.84e-20, "magnitude", "1.8e−20"),
        (-0.5, 2, "−0.50"),
        (0.0004, "probability", "< 0.001"),
        (2972.0, "plain", "2,972"),
    ],
)
def test_other_roundings(value, rounding, text):
    mark = report_files(a=pd.DataFrame({"name": ["x"], "value": [value]})).cell("a", 0, "value", rounding)
    assert (mark.text, mark.value, mark.file, mark.place) == (text, value, "tables/a.csv", "x.value")


def test_a_number_of_a_posterior_has_the_digits_of_its_monte_carlo_error():
    table = pd.DataFrame({"parameter": ["x"], "mean": [-10.4833], "mean_mcse": [0.029]})
    assert report_files(posterior=table).cell("posterior", 0, "mean", "drawn").text == "−10.5"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (-0.004, 2, "0.00"), (-0.006, 2, "−0.01"), (-0.4, 0, "0"), (-1234.5, 1, "−1,234.5"),
        (float("nan"), 2, "none"), (True, None, "yes"), (None, None, ""), (-2.0, None, "−2"),
    ],
)  # fmt: skip
def test_a_value_that_is_rounded_to_zero_has_no_sign(value, decimals, text):
    assert rounded(value, decimals) == text
