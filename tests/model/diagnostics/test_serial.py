"""Orders that the data name, and autocorrelations along them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from support import repeated

import lmmkit
from lmmkit.model.diagnostics.serial import (
    SerialCorrelation,
    _Lag,
    _remedy,
    autocorrelations,
    closeness,
    is_time_like,
    orders,
)


def rows(order, *, groups=12, each=8, rho=0.0, seed=1, **more):
    """Groups of rows, residuals of an AR(1), in no order of the file."""
    rng = np.random.default_rng(seed)
    e = rng.normal(size=(groups, each))
    for j in range(1, each):
        e[:, j] = rho * e[:, j - 1] + np.sqrt(1.0 - rho**2) * e[:, j]
    g = np.repeat(np.arange(groups), each)
    table = pd.DataFrame({"g": g, order: np.tile(np.arange(each), groups), "x": rng.normal(size=len(g))})
    table["y"] = table.x + rng.normal(size=groups)[g] + e.ravel()
    return table.assign(**more).sample(frac=1, random_state=1).reset_index(drop=True)


def test_an_order_is_found_in_a_column_of_the_model_and_beside_it():
    in_model = lmmkit.lmm("y ~ x + step + (1 | g)", rows("step"))
    assert [(one.name, one.group) for one in orders(in_model.design)] == [("step", "g")]
    beside = lmmkit.lmm("y ~ x + (1 | g)", rows("trial_no"))
    assert [one.name for one in orders(beside.design)] == ["trial_no"]
    assert not orders(
        lmmkit.lmm("y ~ x + (1 | g)", rows("step")).design
    )  # no name of a time, not in the model


def test_dates_are_an_order():
    table = rows("k")
    table["when"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(table.k, unit="D")
    assert [one.name for one in orders(lmmkit.lmm("y ~ x + (1 | g)", table).design)] == ["when"]


def test_a_time_that_comes_twice_within_a_group_is_no_order():
    table = pd.concat([rows("day"), rows("day", seed=2)])
    assert not orders(lmmkit.lmm("y ~ x + (1 | g)", table.reset_index(drop=True)).design)


def test_a_residual_structure_has_its_own_order():
    (order,) = orders(repeated.fitted("ar1(visit | id)").design)
    assert (order.name, order.group) == ("visit", "id")
    fit = lmmkit.lmm("y ~ x", rows("day"), residual="car1(day | g)")
    (order,) = orders(fit.design)
    assert (order.name, order.group) == ("day", "g")


@pytest.mark.parametrize("name", ["Days", "week", "visit_no", "trialNumber", "age", "t", "date"])
def test_names_of_times(name):
    assert is_time_like(name)


@pytest.mark.parametrize("name", ["treatment", "dose", "cortisol", "stage", "intense", "weight", "x"])
def test_names_of_other_things(name):
    assert not is_time_like(name)


def test_autocorrelations_are_weighted_mean_products():
    z = np.random.default_rng(1).normal(size=(6, 3))
    lag = _Lag(np.array([0, 1, 3]), np.array([1, 2, 4]), np.array([1.0, 2.0, 0.5]))
    expected = (z[[0, 1, 3]] * z[[1, 2, 4]] * lag.weights[:, None]).sum(axis=0) / 3.5 / (z**2).mean(axis=0)
    np.testing.assert_allclose(autocorrelations(z, [lag])[0], expected)


def test_neighbours_far_apart_have_less_weight():
    np.testing.assert_allclose(closeness(np.array([1.0, 1.0, 1.0])), 1.0)
    np.testing.assert_allclose(closeness(np.array([1.0, 2.0, 4.0])), [2**0.5, 1.0, 0.5])


def found(table, formula="y ~ x + (1 | g)"):
    """What `diagnose` has of serial correlation."""
    table = lmmkit.diagnose(lmmkit.lmm(formula, table), replicates=199).table
    return table[table.check == "serial correlation"].iloc[0]


def test_an_autoregression_is_found_with_its_remedy_and_absent_where_there_is_none():
    there = found(rows("day", groups=30, rho=0.5))
    assert there.adjusted < 0.02
    assert "ar1(day | g)" in there.remedy
    assert there["size"] > 0.25
    assert found(rows("day", groups=30)).verdict == "fine"


def test_uneven_times_ask_for_car1():
    table = rows("day", groups=30, rho=0.6)
    table["day"] = table.day + 0.3 * np.random.default_rng(1).uniform(size=len(table))
    assert "car1(day | g)" in found(table).remedy


def test_without_an_order_it_is_not_checked():
    row = found(rows("step"))
    assert row.verdict == "not checked"
    assert "order" in row.found


def test_groups_of_two_rows_have_too_few_pairs():
    check = SerialCorrelation(lmmkit.lmm("y ~ x + (1 | g)", rows("day", groups=8, each=3)).estimates)
    assert not check.lags[0]


FORM = "look whether the effect of day has the right form: neighbours differ too much"
OTHER = "try another residual structure: the autocorrelations show what this one leaves"
MEAN = "put `day` in the fixed part where it may act on the mean; else "


@pytest.mark.parametrize(
    ("formula", "residual", "advice"),
    [
        ("y ~ x + (1 | g)", None, MEAN + "residual='ar1(day | g)'"),
        ("y ~ x + day + (1 | g)", None, "residual='ar1(day | g)', or random slopes of day"),
        ("y ~ x + day + (day | g)", None, "residual='ar1(day | g)'"),
        ("y ~ x + day + (1 | g)", "ident(h)", "residual='ident(h) * ar1(day | g)', or random slopes of day"),
    ],
)
def test_advice_is_what_the_model_lacks_and_of_opposed_neighbours_the_form_of_the_mean(
    formula, residual, advice
):
    fit = lmmkit.lmm(
        formula, rows("day").assign(h=lambda d: np.where(d["x"] > 0, "a", "b")), residual=residual
    )
    check = SerialCorrelation(fit.estimates)
    (order,), ((lag, *_),) = check.orders, check.lags
    assert [_remedy(fit.design, order, lag, r) for r in (0.4, 0.0, -0.01)] == [advice, advice, FORM]


def test_what_a_correlation_of_residuals_leaves_asks_for_another():
    fit = lmmkit.lmm("y ~ x", rows("day", rho=0.5), residual="car1(day | g)")
    check = SerialCorrelation(fit.estimates)
    assert {_remedy(fit.design, check.orders[0], check.lags[0][0], r) for r in (0.4, -0.4)} == {OTHER}


def test_neighbours_less_opposed_than_the_model_makes_them_are_alike():
    table = rows("day", each=4)
    check = SerialCorrelation(lmmkit.lmm("y ~ x + day + (day | g)", table).estimates)
    found = np.array([1.0, -1, 1, 1])[table.day]
    found[table.g == 5] = 1.0
    model = np.array([1.0, -1, 1, -1])[table.day]
    (result,) = check(SimpleNamespace(normalised=np.column_stack([found, model])))
    assert "a correlation of -0.22, where the model leads to -1.00 (36 pairs; g 5 adds most" in str(
        result.notable
    )
    assert (result.remedy, result.where) == ("residual='ar1(day | g)'", "g 5")
