"""Summaries of weighted draws: their values, their Monte Carlo errors, the digits that are printed."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lmmkit.errors import FitError
from lmmkit.model.posterior.weighted import refuse_too_few, resampled, sorted_draws, summary, trusted_text

R = 2_000


def importance(seed):
    """Draws of t(6) with weights that make them standard normal."""
    x = np.random.default_rng(seed).standard_t(6, R)
    w = np.exp(stats.norm.logpdf(x) - stats.t.logpdf(x, 6))
    return x, w / w.sum()


def test_equal_weights_give_the_plain_summaries():
    x = np.random.default_rng(1).normal(3.0, 2.0, R)
    one = sorted_draws(x, np.full(R, 1.0 / R))
    assert (one.mean, one.sd) == pytest.approx((x.mean(), x.std()))
    assert one.mcse == pytest.approx(x.std() / np.sqrt(R))
    assert one.effective == pytest.approx(R)
    assert one.quantile(0.3) == pytest.approx(np.quantile(x, 0.3, method="hazen"))
    assert one.share(-np.inf, 3.0)[0] == pytest.approx(np.mean(x < 3.0))


def test_weights_count_as_copies():
    x = np.array([1.0, 2.0, 5.0])
    table = summary(pd.DataFrame({"x": x}), np.array([0.5, 0.25, 0.25]), 0.9)
    assert table.loc["x", ["mean", "sd"]].tolist() == pytest.approx([2.25, np.std([1, 1, 2, 5])])


def test_a_share_is_of_what_lies_strictly_inside_and_a_direction_of_the_likelier_side():
    x, w = np.array([-2.0, -1.0, 0.0, 1.0]), np.array([0.3, 0.3, 0.2, 0.2])
    assert sorted_draws(x, w).share(-2.0, 1.0)[0] == pytest.approx(0.5)
    found = summary(pd.DataFrame({"x": x, "up": -x}), w, 0.9)["direction"]
    assert found.tolist() == pytest.approx([0.6, 0.6])


@cache
def repeated():
    return [summary(pd.DataFrame({"x": x}), w, 0.95).loc["x"] for x, w in map(importance, range(200))]


@pytest.mark.parametrize("number", ["mean", "sd", "median", "high"])
def test_monte_carlo_errors_are_how_far_repetitions_spread(number):
    spread = np.std([table[number] for table in repeated()], ddof=1)
    told = np.mean([table["mcse" if number == "mean" else f"{number}_mcse"] for table in repeated()])
    assert told == pytest.approx(spread, rel=0.15)


def test_shortest_interval_is_shorter_where_the_distribution_is_skewed():
    x = stats.expon.ppf((np.arange(R) + 0.5) / R)
    low, high = sorted_draws(x, np.full(R, 1.0 / R)).shortest(0.9)
    assert (low, high) == pytest.approx((0.0, -np.log(0.1)), abs=0.01)


def test_a_quantity_that_is_not_finite_everywhere_has_no_summary():
    values = pd.DataFrame({"x": [1.0, np.nan, 2.0]})
    assert summary(values, np.array([0.5, 0.25, 0.25]), 0.9).isna().all(axis=None)
    assert np.isfinite(summary(values, np.array([0.5, 0.0, 0.5]), 0.9).loc["x", "mean"])


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(251.43, 0.13, "251"), (10.508, 0.031, "10.5"), (0.0924, 0.006, "0.09"), (1298.3, 30.0, "1.3e+03"),
     (4.0, 30.0, "0e+02"), (-6.54, 0.2, "-7"), (-0.04, 0.2, "0"),
     (float("nan"), 1.0, ""), (12345.678, 0.004, "12,345.68")],
)  # fmt: skip
def test_printed_digits_are_those_that_the_error_supports(value, error, text):
    assert trusted_text(value, error) == text


def test_resampling_keeps_the_weights():
    _, w = importance(3)
    places = resampled(w, 4_000, 1)
    assert np.bincount(places, minlength=R) == pytest.approx(4_000 * w, abs=1.0)


@pytest.mark.parametrize(
    ("row", "digits", "said"),
    [  # mean, its error, sd
        ((10.5, 0.9, 2.0), 2, None),
        (
            (10.5, 1.5, 2.0),
            2,
            "mean of b is 10 with an error of 1.5 by Monte Carlo. About 2,500 draws would do",
        ),
        ((0.01, 0.9, 20.0), 1, None),  # near zero the digits are those of the spread
        ((0.01, 15.0, 20.0), 1, "About 2,500 draws"),
        ((0.0, 0.0, 0.0), 3, None),
        ((1.0, np.nan, 1.0), 3, None),
    ],
)
def test_draws_are_too_few_where_an_error_is_more_than_one_of_the_last_digit(row, digits, said):
    mean, error, sd = row
    exact = dict.fromkeys(["low", "median", "high", "low_mcse", "median_mcse", "high_mcse"], 0.0)
    table = pd.DataFrame([{"mean": mean, "mcse": error, "sd": sd, **exact}], index=["b"])
    if said is None:
        refuse_too_few(table, 1000, digits)
        return
    with pytest.raises(FitError) as refused:
        refuse_too_few(table, 1000, digits)
    assert said in str(refused.value)


@pytest.mark.parametrize("column", ["mean", "low", "median", "high"])
def test_the_digits_of_each_number_are_asked_for_and_of_no_other(column):
    row = {"sd": 2.0, "sd_mcse": 9.0, "hdi_low": 3.0}
    row |= dict.fromkeys(["mean", "low", "median", "high"], 30.0)
    row |= dict.fromkeys(["mcse", "low_mcse", "median_mcse", "high_mcse"], 0.0)
    refuse_too_few(pd.DataFrame([row], index=["b"]), 1000, 2)
    row |= {"mcse" if column == "mean" else f"{column}_mcse": 1.5}
    with pytest.raises(FitError, match=f"the {column} of b is 30 with an error of 1.5 by Monte Carlo"):
        refuse_too_few(pd.DataFrame([row], index=["b"]), 1000, 2)


def test_what_does_not_vary_is_worth_its_weights_and_has_no_error():
    w = np.array([0.5, 0.25, 0.25])
    one = sorted_draws(np.full(3, 7.0), w)
    assert (one.mean, one.sd, one.mcse, one.sd_mcse) == (7.0, 0.0, 0.0, 0.0)
    assert one.effective == pytest.approx(1.0 / 0.375)


def test_draws_of_a_chain_have_errors_by_their_inefficiency():
    x, w = importance(5)
    plain, chain = sorted_draws(x, w), sorted_draws(x, w, 4.0)
    assert chain.mcse == pytest.approx(2.0 * plain.mcse)
    assert chain.sd_mcse == pytest.approx(2.0 * plain.sd_mcse)
    assert chain.effective == pytest.approx(plain.effective / 4.0)
    assert chain.share(-1.0, 1.0)[1] == pytest.approx(2.0 * plain.share(-1.0, 1.0)[1])
    assert chain.quantile_mcse(0.9) == pytest.approx(2.0 * plain.quantile_mcse(0.9), rel=0.15)
    table = summary(pd.DataFrame({"x": x}), w, 0.9, 4.0).loc["x"]
    assert table["mcse"] == chain.mcse


def test_the_error_of_a_quantile_is_that_of_the_effective_draws_there_and_never_less_than_all_are_worth():
    w = np.full(400, 1.0 / 400)
    one = sorted_draws(np.arange(400.0), w)
    for p, n in ((0.5, 400.0), (0.1, 400.0)):
        low, high = stats.beta(n * p + 1.0, n * (1.0 - p) + 1.0).ppf(stats.norm.cdf([-1.0, 1.0]))
        assert one.quantile_mcse(p) == pytest.approx(400 * (high - low) / 2.0, rel=0.01)
    tail = sorted_draws(np.append(np.zeros(399), 1.0), w)
    assert tail.quantile_mcse(0.3) == 0.0


def test_the_shortest_interval_holds_its_share_and_ends_at_draws():
    x, w = np.array([0.0, 1.0, 1.5, 2.0, 9.0]), np.array([0.2, 0.2, 0.2, 0.2, 0.2])
    one = sorted_draws(x, w)
    assert one.shortest(0.6) == (1.0, 2.0)
    assert one.shortest(0.8) == (0.0, 2.0)
    assert one.shortest(0.61) == (0.0, 2.0)
    assert one.shortest(0.99) == (0.0, 9.0)


def test_what_is_exact_has_four_digits():
    assert trusted_text(1.234567, 0.0) == "1.235"
