"""The parametric bootstrap: nothing dropped, nothing that depends on how it is run."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from reference.cases import fitted as reference
from scipy.stats import norm
from support.designs import fitted

import lmmkit
from lmmkit.errors import DataError, FitError, PartialResult
from lmmkit.model.comparison.bootstrap_lrt import bootstrap_test
from lmmkit.model.comparison.nesting import same_fixed
from lmmkit.model.resampling.bootstrap import (
    acceleration,
    bca,
    numbers_of,
    percentile,
    replicate,
    studentised,
)
from lmmkit.model.resampling.simulate import Simulator


@pytest.mark.parametrize("name", ["slopes", "nested and crossed", "independent slopes"])
def test_columns_are_the_names_of_conf_int(name):
    m = fitted(name, weighted=True)
    table = m.bootstrap(20, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialResult)  # where a correlation is at its edge
        names = m.conf_int("wald", df="normal").index
    assert list(table.columns) == [*names, "converged", "singular"]
    assert len(table) == 20
    assert table.drop(columns=["converged", "singular"]).notna().all(axis=None)


def test_a_replicate_is_a_refit_of_a_simulated_response():
    m = fitted("crossed", weighted=True)
    again = m.refit(m.simulate(3, seed=5)[:, 2])
    row = m.bootstrap(10, seed=5).iloc[2]
    np.testing.assert_allclose(row[again.params.index].astype(float), again.params, rtol=1e-6)
    assert row["Residual.sd"] == pytest.approx(again.sigma, rel=1e-7)
    sds = again.varcorr.query("var2.isna() and group != 'Residual'")
    for _, line in sds.iterrows():
        assert row[f"{line.group}.sd.{line.var1}"] == pytest.approx(line.sdcor, rel=1e-4)


def test_more_replicates_begin_with_the_same_ones():
    m = fitted("slopes")
    pd.testing.assert_frame_equal(m.bootstrap(40, seed=3).iloc[:15], m.bootstrap(15, seed=3, workers=2))
    assert not m.bootstrap(5, seed=4).equals(m.bootstrap(5, seed=3))


def test_a_statistic_of_the_fit_meets_the_same_replicates():
    m = fitted("one factor")
    plain = m.bootstrap(6, seed=9)
    named = m.bootstrap(6, lambda fit: {"x": fit.params["x"], "s": fit.sigma}, seed=9)
    np.testing.assert_allclose(named["x"], plain["x"], rtol=1e-8)
    np.testing.assert_allclose(named["s"], plain["Residual.sd"], rtol=1e-8)
    assert list(m.bootstrap(2, lambda fit: fit.sigma, seed=9).columns) == [
        "statistic",
        "converged",
        "singular",
    ]
    assert list(m.bootstrap(2, lambda fit: fit.params, seed=9).columns[:2]) == ["Intercept", "x"]
    assert list(m.bootstrap(2, lambda fit: [1.0, 2.0], seed=9).columns[:2]) == ["statistic0", "statistic1"]


def test_a_statistic_that_fails_on_a_replicate_is_named_not_dropped():
    m = fitted("one factor")

    def fussy(fit):
        if fit.sigma != m.sigma and fit.params["x"] > m.params["x"]:
            raise ZeroDivisionError("too steep")
        return fit.sigma

    table = m.bootstrap(12, fussy, seed=2)
    failed = table["statistic"].isna()
    assert 0 < failed.sum() < 12
    assert list(table.attrs["failures"]) == list(table.index[failed])
    assert "too steep" in next(iter(table.attrs["failures"].values()))


def test_progress_reaches_the_end():
    seen = []
    fitted("slopes").bootstrap(10, seed=1, progress=lambda done, total: seen.append((done, total)))
    fitted("slopes").bootstrap(3, lambda fit: fit.sigma, seed=1, progress=lambda d, t: seen.append((d, t)))
    assert seen == [(10, 10), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("kind", ["percentile", "bca"])
def test_intervals_hold_the_estimate_and_count_the_replicates(kind):
    m = reference("pastes", "REML")
    table = m.conf_int("bootstrap", n=400, seed=1, kind=kind)
    point = {**m.params, "Residual.sd": m.sigma}
    for name, value in point.items():
        assert table.loc[name, "low"] < value < table.loc[name, "high"]
    assert table.attrs["replicates"]["n"] == 400
    assert table.attrs["replicates"]["singular"] == m.bootstrap(400, seed=1)["singular"].sum() > 0
    assert table.attrs["replicates"]["failed"] == 0
    assert set(table["criterion"][: len(m.params)]) == {"REML, asymptotic"}
    assert set(table["criterion"][len(m.params) :]) == {"REML"}


def test_bootstrap_of_the_coefficients_agrees_with_their_normal_intervals():
    m = reference("sleep_full", "REML")
    table, wald = m.conf_int("bootstrap", n=4000, seed=2), m.conf_int("wald", df="normal")
    for name, se in m.bse.items():
        assert abs(table.loc[name, "low"] - wald.loc[name, "low"]) < 0.12 * se
        assert abs(table.loc[name, "high"] - wald.loc[name, "high"]) < 0.12 * se


def test_failed_replicates_are_told(monkeypatch):
    m = fitted("one factor")
    whole = replicate(Simulator(m.estimates, 1), 50)
    whole.failures.update({3: "no", 4: "no"})
    for values in (whole.beta, whole.sigma, *whole.factors):
        values[3:5] = np.nan
    monkeypatch.setattr("lmmkit.model.inference.confidence_intervals.replicate", lambda *_, **__: whole)
    with pytest.warns(PartialResult, match="2 of 50 replicates"):
        table = m.conf_int("bootstrap", n=50, seed=1)
    assert table[["low", "high"]].notna().all(axis=None)


def test_percentiles_leave_out_what_is_not_defined():
    assert percentile(np.array([np.nan, *range(1, 100)], dtype=float), 0.9) == pytest.approx((5, 95))
    assert np.isnan(percentile(np.full(5, np.nan), 0.9)).all()


def test_bca_undoes_a_bias_and_a_skewness():
    """For an exponential mean the exact central interval is known; BCa comes closer than percentiles."""
    rng = np.random.default_rng(0)
    y = rng.exponential(size=20)
    values = rng.gamma(20, y.mean() / 20, size=60_000)
    jackknife = (y.sum() - y) / 19
    from_gamma = y.mean() * 20 / np.array([rng.gamma(20, size=200_000)]).ravel()
    exact = np.quantile(from_gamma, [0.05, 0.95])
    plain = np.array(percentile(values, 0.9))
    corrected = np.array(bca(values, y.mean(), jackknife, 0.9))
    assert np.abs(corrected - exact).sum() < np.abs(plain - exact).sum()
    assert acceleration(np.array([1.0, 1.0])) == 0.0


def test_bootstrap_test_agrees_with_the_normal_test_of_a_coefficient():
    with_x = reference("sleep_int", "ML").estimates
    frame = pd.DataFrame({"y": with_x.problem.response, "g": with_x.problem.terms[0].codes})
    frame["x"] = np.random.default_rng(11).normal(size=len(frame))
    larger = lmmkit.lmm("y ~ x + (1 | g)", frame, reml=False)
    smaller = lmmkit.lmm("y ~ 1 + (1 | g)", frame, reml=False)
    found = bootstrap_test(smaller.estimates, larger.estimates, n=800, seed=1)
    t = larger.params["x"] / larger.bse["x"]
    assert found.statistic == pytest.approx(smaller.deviance - larger.deviance)
    assert found.p == pytest.approx(2 * norm.sf(abs(t)), abs=4 * found.p_error + 0.01)
    assert found.method == "parametric bootstrap, ML"


def test_bootstrap_test_takes_ml_where_the_fixed_effects_differ():
    one, two = fitted("one factor"), lmmkit.lmm("y ~ 1 + (1 | g)", fitted("one factor").design.frame)
    found = bootstrap_test(two.estimates, one.estimates, n=30, seed=1, progress=lambda *_: None)
    assert found.method.endswith("ML")
    assert found.p == pytest.approx(1 / 31)
    assert same_fixed(one.estimates, fitted("slopes").estimates)
    assert not same_fixed(one.estimates, two.estimates)


def test_bootstrap_test_refuses_other_rows_and_other_numbers():
    whole, part = (
        fitted("one factor"),
        lmmkit.lmm("y ~ x + (x | g)", fitted("one factor").design.frame.iloc[5:]),
    )
    with pytest.raises(FitError, match=r"160 and 155 rows"):
        bootstrap_test(whole.estimates, part.estimates)
    other = whole.refit(whole.simulate(1, seed=1)[:, 0])
    with pytest.raises(FitError, match="different responses"):
        bootstrap_test(other.estimates, fitted("slopes").estimates)


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (lambda m: m.bootstrap(0, seed=1), "n=0: the number of replicates"),
        (lambda m: m.bootstrap(2.5, seed=1), "n=2.5"),
        (lambda m: m.bootstrap(2, seed=-1), "seed=-1"),
        (lambda m: m.bootstrap(2, seed="x"), "seed='x'"),
        (lambda m: m.bootstrap(2, seed=1, workers=0), "workers=0"),
        (lambda m: m.bootstrap(2, lambda fit: "text", seed=1), "The statistic gave str"),
        (lambda m: m.simulate(0, seed=1), "n=0: the number of simulated responses"),
        (lambda m: m.conf_int("profiles"), "method='profiles' is not known"),
        (lambda m: m.conf_int("bootstrap", kind="basic"), "kind='basic' is not known"),
        (lambda m: m.conf_int("profile", level=1.5), "level=1.5"),
        (lambda m: m.conf_int("bootstrap", n=0), "n=0"),
        (lambda m: m.r2(n=0), "n=0"),
        (lambda m: m.icc(level=0.0), "level=0.0"),
        (lambda m: m.rlrt(n=0), "n=0"),
        (lambda m: m.rlrt("school"), "random-effects terms g"),
    ],
)
def test_requests_that_make_no_sense_are_refused(ask, what):
    with pytest.raises(FitError, match=what):
        ask(fitted("one factor"))


def test_a_response_of_another_length_is_refused():
    with pytest.raises(DataError, match="160 numbers are expected"):
        fitted("one factor").refit([1.0, 2.0])


@pytest.mark.parametrize(
    ("jackknife", "a"),
    [([0.0, 0.0, 3.0], -6 / (6 * 6**1.5)), ([1.0, 1.0, -2.0], 6 / (6 * 6**1.5)), ([], 0.0)],
)
def test_the_acceleration_is_a_sixth_of_the_skewness_of_the_influence(jackknife, a):
    """Of 0, 0, 3 the deviations from the mean are 1, 1, -2: cubes -6, squares 6."""
    assert acceleration(np.array(jackknife)) == pytest.approx(a)


def test_bca_has_the_quantiles_of_its_formula():
    values, jackknife = np.r_[np.arange(1.0, 1000.0), np.nan], np.array([0.0, 0.0, 3.0])
    z0, a = norm.ppf(399.5 / 999), acceleration(jackknife)
    z = z0 + norm.ppf([0.05, 0.95])
    low, high = norm.cdf(z0 + z / (1 - a * z)) * 1000  # the (r + 1) alpha-th value
    assert bca(values, 400.0, jackknife, 0.9) == pytest.approx((low, high))
    beyond = bca(values, 5000.0, jackknife, 0.9)  # all lie below: as if half of one did not
    z0 = norm.ppf(1 - 0.5 / 999)
    z = z0 + norm.ppf([0.05, 0.95])
    expected = np.minimum(norm.cdf(z0 + z / (1 - a * z)) * 1000, 999)
    assert beyond == pytest.approx(tuple(expected))
    assert np.isnan(bca(values, np.nan, jackknife, 0.9)).all()
    assert np.isnan(bca(values[-1:], 1.0, jackknife, 0.9)).all()


def test_the_bootstrap_t_interval_turns_its_quantiles_about_the_estimate():
    values, errors = np.arange(1.0, 100.0) ** 2, np.linspace(1.0, 3.0, 99)
    low, high = percentile((values - 7.0) / errors, 0.8)
    assert studentised(values, errors, 7.0, 0.5, 0.8) == pytest.approx((7.0 - 0.5 * high, 7.0 - 0.5 * low))


@pytest.mark.parametrize(
    ("value", "named"),
    [(2, {"statistic": 2.0}), ([1, 2.5], {"statistic0": 1.0, "statistic1": 2.5}), ({"a": 1}, {"a": 1.0})],
)
def test_a_statistic_gives_a_number_or_several(value, named):
    assert numbers_of(value) == named


@pytest.mark.parametrize("value", [None, "text", [[1.0]], {"a": "b"}, [None, "c"]])
def test_a_statistic_that_gives_no_numbers_is_refused(value):
    kind = type(value).__name__
    with pytest.raises(FitError) as caught:
        numbers_of(value)
    assert str(caught.value) == (
        f"The statistic gave {kind}; a number, or a vector, dict or Series of numbers, is expected."
    )


def test_given_variances_are_not_bootstrapped():
    frame = fitted("one factor").design.frame
    given = lmmkit.lmm("y ~ x + (1 | g)", frame, variances={"g": 1.0, "Residual": 1.0})
    with pytest.raises(FitError, match="those of this fit are given: leave variances out"):
        given.bootstrap(3, seed=1)
