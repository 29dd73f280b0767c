"""Fits whose residuals fade with time or distance, or vary with a number: answers against dense algebra."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag
from scipy.stats import norm

import lmmkit
from lmmkit.errors import DataError, PartialResult

#: Structure, random part of the formula, and what the summary says of it.
MODELS = [
    ("car1(day | rat)", "", "serial correlation that decays exponentially with the distance in day"),
    (
        "car1(day | rat)",
        " + (1 | rat)",
        "A random intercept for each rat; residuals within rat: one variance, serial",
    ),
    (
        "ident(sex)",
        " + (day | rat)",
        "A random intercept and slope of day for each rat; residuals: a variance for each",
    ),
    ("ident(sex) * car1(day | rat)", " + (1 | rat)", "a variance for each level of sex, serial correlation"),
    ("power(dose)", " + (1 | rat)", "a standard deviation that follows a power of dose, no correlation"),
    ("exp(dose) * car1(day | rat)", "", "a standard deviation that grows exponentially with dose, serial"),
    (
        "expsp(east, north | rat)",
        "",
        "correlation that decays exponentially with the distance in east, north",
    ),
    ("power(dose) * cs(1 | rat)", "", "follows a power of dose, one correlation for all pairs of visits"),
    ("ar1(1 | rat)", " + (1 | site)", "A random intercept for each site; residuals within rat: one variance"),
]
PARAMETRISED = pytest.mark.parametrize(("residual", "bar", "said"), MODELS)


def rats(seed: int = 3) -> pd.DataFrame:
    """Thirty rats at up to seven uneven days, whose rows stand in no order."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(4, 8, 30)
    rat = np.repeat(np.arange(30), counts)
    n = len(rat)
    frame = pd.DataFrame(
        {
            "rat": [f"r{i:02d}" for i in rat],
            "site": [f"s{i % 6}" for i in rat],
            "sex": np.where(rat % 2, "m", "f"),
            "day": np.concatenate([np.cumsum(rng.gamma(2.0, 1.5, c)) for c in counts]).round(2),
            "dose": rng.uniform(0.5, 4.0, n).round(2),
            "w": rng.uniform(0.5, 2.0, n).round(2),
        }
    )
    frame["east"], frame["north"] = rng.uniform(0.0, 3.0, (2, n)).round(2)
    apart = np.abs(np.subtract.outer(frame["day"].to_numpy(), frame["day"].to_numpy()))
    R = np.where(np.equal.outer(rat, rat), np.exp(-apart / 3.0), 0.0)
    spread = np.where(rat % 2, 1.6, 1.0) * frame["dose"].to_numpy() ** 0.4
    e = spread * (np.linalg.cholesky(R) @ rng.standard_normal(n))
    frame["y"] = 5.0 + 0.3 * frame["day"] + rng.normal(0.0, 1.5, 30)[rat] + e
    return frame.sample(frac=1.0, random_state=2).reset_index(drop=True)


@cache
def fitted(residual: str, bar: str = "", **options: Any) -> lmmkit.Fit:
    return lmmkit.lmm(f"y ~ day + sex{bar}", rats(), residual=residual, **options)


def sds(fit: lmmkit.Fit, frame: pd.DataFrame) -> Any:
    """Standard deviations of residuals by the definition of the variance function."""
    said, found = str(fit.design.residual.formula), fit.residual_params  # pyright: ignore
    one = np.full(len(frame), fit.sigma)
    if "ident" in said:
        return one * np.where(frame["sex"] == "m", found["ratio.m"], 1.0)
    if "power" in said:
        return one * frame["dose"].to_numpy() ** found["power"]
    return one * np.exp(found["exp"] * frame["dose"].to_numpy()) if said.startswith("exp(") else one


def covariance(fit: lmmkit.Fit, frame: pd.DataFrame) -> Any:
    """Of the residuals of some rows, pair by pair."""
    said, found = str(fit.design.residual.formula), fit.residual_params  # pyright: ignore
    codes = frame["rat"].to_numpy()
    C = np.eye(len(frame))
    if "car1" in said:
        C = np.exp(-np.abs(np.subtract.outer(*[frame["day"].to_numpy()] * 2)) / found["range"])
    elif "expsp" in said:
        places = frame[["east", "north"]].to_numpy()
        C = np.exp(-np.linalg.norm(places[:, None] - places[None], axis=2) / found["range"])
    elif "cs" in said:
        C = np.where(np.eye(len(frame)) > 0, 1.0, found["rho"])
    elif "ar1" in said:
        order = frame.groupby("rat").cumcount().to_numpy()
        C = found["rho"] ** np.abs(np.subtract.outer(order, order))
    sd = sds(fit, frame)
    return C * np.equal.outer(codes, codes) * np.outer(sd, sd)


@PARAMETRISED
def test_the_deviance_is_that_of_the_density(residual: str, bar: str, said: str) -> None:
    fit, frame = fitted(residual, bar, reml=False), rats()
    V = covariance(fit, frame)
    if bar:
        (group,) = fit.ranef
        blocks = [np.asarray(fit.estimates.covariance(0))] * fit.ngroups[group]
        dummies = pd.get_dummies(frame[group]).to_numpy(float)
        slopes = [np.ones(len(frame)), frame["day"].to_numpy()][: blocks[0].shape[0]]
        Z = np.stack([dummies * column[:, None] for column in slopes], axis=2).reshape(len(frame), -1)
        V = V + Z @ block_diag(*blocks) @ Z.T
    e = (
        frame["y"].to_numpy()
        - np.column_stack([np.ones(len(frame)), frame["day"], frame["sex"] == "m"]) @ fit.params
    )
    logdet = np.linalg.slogdet(V)[1]
    assert fit.deviance == pytest.approx(
        len(e) * np.log(2 * np.pi) + logdet + e @ np.linalg.solve(V, e), abs=1e-8
    )
    assert fit.certificate.passed


@PARAMETRISED
def test_the_summary_says_the_model_in_words(residual: str, bar: str, said: str) -> None:
    fit = fitted(residual, bar)
    text = str(fit.summary())
    assert said in text
    assert f"residual = {fit.design.residual.formula}" in text  # pyright: ignore
    for name in fit.residual_params.index:
        assert name in text


@PARAMETRISED
def test_normalised_residuals_have_neither_correlations_nor_variances(
    residual: str, bar: str, said: str
) -> None:
    fit, frame = fitted(residual, bar), rats()
    R, e = covariance(fit, frame), frame["y"].to_numpy() - fit.fittedvalues.to_numpy()
    r = fit.residuals("normalised").to_numpy()
    assert r @ r == pytest.approx(e @ np.linalg.solve(R, e), rel=1e-9)
    for rat, rows in frame.groupby("rat").groups.items():
        own = np.asarray(rows)
        assert r[own] @ r[own] == pytest.approx(
            e[own] @ np.linalg.solve(R[np.ix_(own, own)], e[own]), rel=1e-8
        ), rat
    np.testing.assert_allclose(fit.residuals("pearson"), e / sds(fit, frame), rtol=1e-10)


@PARAMETRISED
def test_simulated_residuals_have_the_covariance(residual: str, bar: str, said: str) -> None:
    if bar:
        pytest.skip("covariances of residuals alone")
    fit, frame = fitted(residual), rats()
    mean = fit.predict(level="population")["fit"].to_numpy()
    drawn = np.asarray(fit.simulate(4_000, seed=5)) - mean[:, None]
    R, found = covariance(fit, frame), drawn @ drawn.T / 4_000
    error = np.sqrt((R**2 + np.outer(np.diag(R), np.diag(R))) / 4_000)
    assert np.abs((found - R) / error).max() < norm.isf(1e-4 / len(frame) ** 2)


@PARAMETRISED
def test_a_new_row_has_the_variance_of_its_own_columns(residual: str, bar: str, said: str) -> None:
    fit = fitted(residual, bar)
    new = pd.DataFrame(
        {"day": [1.0, 30.0], "sex": ["f", "m"], "dose": [0.7, 3.0], "rat": "r01", "site": "s1"}
    )
    mean, both = (fit.predict(new, level="new", interval=kind) for kind in ("confidence", "prediction"))
    np.testing.assert_array_equal(both["fit"], mean["fit"])  # nothing is borrowed from the rows of r01
    X = np.column_stack([np.ones(2), new["day"], new["sex"] == "m"])
    np.testing.assert_allclose(both["fit"], X @ fit.params, rtol=1e-12)
    whole = both["se"] ** 2 + sds(fit, new) ** 2
    df_free = (both["high"] - both["fit"]) / np.sqrt(whole)
    assert (df_free > norm.isf(0.025)).all()  # a t quantile
    assert (df_free < 4.0).all()


def test_a_new_row_that_the_structure_does_not_know_has_a_mean_alone() -> None:
    fit = fitted("power(dose) * car1(day | rat)")
    new = pd.DataFrame({"day": [1.0, 2.0], "sex": "f", "dose": [1.0, -1.0]})
    with pytest.warns(PartialResult, match="a number of which it takes no power"):
        found = fit.predict(new, interval="prediction")
    assert np.isfinite(found["fit"]).all()
    assert np.isnan(found["low"]).tolist() == [False, True]
    with pytest.raises(DataError, match="`dose`"):
        fit.predict(new.drop(columns="dose"), interval="prediction")
    assert np.isfinite(fit.predict(new.drop(columns="dose"), interval="confidence")["low"]).all()


@PARAMETRISED
def test_shares_of_variance_take_the_mean_of_the_residual_variances(
    residual: str, bar: str, said: str
) -> None:
    fit, frame = fitted(residual, bar), rats()
    within = float(np.mean(sds(fit, frame) ** 2))
    X = np.column_stack([frame["day"], frame["sex"] == "m"]).astype(float)
    fixed = float(np.var(X @ fit.params.to_numpy()[1:], ddof=1))
    G = fit.estimates.covariance(0) if bar else np.zeros((1, 1))
    Z = np.column_stack([np.ones(len(frame)), frame["day"]])[:, : len(G)]
    between = float(np.mean(np.einsum("na,ab,nb->n", Z, G, Z)))
    assert fit.r2()["estimate"].iloc[0] == pytest.approx(fixed / (fixed + between + within), rel=1e-9)
    if bar:
        assert fit.icc()["estimate"].iloc[0] == pytest.approx(between / (between + within), rel=1e-9)


@PARAMETRISED
def test_a_saved_fit_comes_back_whole(residual: str, bar: str, said: str, tmp_path: Any) -> None:
    fit = fitted(residual, bar)
    again = lmmkit.load(fit.save(tmp_path / "fit"))
    pd.testing.assert_series_equal(again.residual_params, fit.residual_params)
    pd.testing.assert_frame_equal(again.trace, fit.trace)
    pd.testing.assert_frame_equal(again.coef_table(), fit.coef_table())
    for kind in ("response", "pearson", "normalised", "marginal"):
        pd.testing.assert_series_equal(again.residuals(kind), fit.residuals(kind))
    assert str(again.summary()) == str(fit.summary())
    assert json.loads(json.dumps(again.to_dict())) == json.loads(json.dumps(fit.to_dict()))


@PARAMETRISED
def test_a_fit_as_plain_values(residual: str, bar: str, said: str) -> None:
    fit = fitted(residual, bar)
    found = fit.to_dict()
    assert found["residual"] == residual
    assert found["residual_params"] == pytest.approx(fit.residual_params.to_dict())
    assert found["npar"] == 3 + len(fit.theta) + len(fit.estimates.rho) + 1
    last = fit.trace["rho"].iloc[-1]
    np.testing.assert_allclose(last, fit.residual_params.iloc[: len(last)], rtol=1e-5)


def test_range_and_correlation_per_unit_are_both_told() -> None:
    fit = fitted("car1(day | rat)")
    assert list(fit.residual_params.index) == ["range", "rho"]
    assert fit.residual_params["rho"] == pytest.approx(np.exp(-1.0 / fit.residual_params["range"]), rel=1e-14)
    same = fitted("exp(day | rat)")
    pd.testing.assert_series_equal(same.residual_params, fit.residual_params)
    week = lmmkit.lmm("y ~ day + sex", rats().assign(week=rats()["day"] / 7.0), residual="car1(week | rat)")
    assert week.deviance == pytest.approx(fit.deviance, abs=1e-9)
    assert week.residual_params["range"] * 7.0 == pytest.approx(fit.residual_params["range"], rel=1e-6)


def test_the_order_of_rows_changes_nothing() -> None:
    fit, turned = fitted("car1(day | rat)"), rats().iloc[::-1]
    other = lmmkit.lmm("y ~ day + sex", turned, residual="car1(day | rat)")
    assert other.deviance == pytest.approx(fit.deviance, abs=1e-9)
    pd.testing.assert_series_equal(
        other.residuals("normalised").loc[fit.resid.index], fit.residuals("normalised"), rtol=1e-5
    )


def test_variances_are_listed_by_level_or_where_the_function_is_one() -> None:
    levels = fitted("ident(sex) * car1(day | rat)").varcorr
    assert levels[["group", "var1"]].to_numpy().tolist() == [["Residual", "f"], ["Residual", "m"]]
    one = fitted("power(dose) * car1(day | rat)", " + (1 | rat)")
    assert one.varcorr["var1"].tolist() == ["Intercept", "dose = 1"]
    assert one.varcorr["sdcor"].iloc[-1] == pytest.approx(one.sigma)
    assert fitted("exp(dose)").varcorr["var1"].tolist() == ["dose = 0"]
    assert fitted("car1(day | rat)").varcorr["var1"].tolist() == [None]


def test_only_pairs_that_a_subject_has_are_listed() -> None:
    fit = fitted("ident(sex) * cs(1 | rat)")
    pairs = fit.varcorr.dropna(subset=["var2"])
    assert len(pairs)
    assert all(a.split(".")[1] == b.split(".")[1] for a, b in zip(pairs["var1"], pairs["var2"], strict=True))


def test_a_coefficient_of_the_same_name_stands_beside_the_parameter() -> None:
    data = rats().rename(columns={"sex": "rho"}).assign(rho=lambda d: (d["rho"] == "m") * 1.0)
    fit = lmmkit.lmm("y ~ day + rho", data, residual="ar1(1 | rat)")
    assert list(fit.residual_params.index) == ["Residual.rho"]
    table = fit.conf_int()
    assert table.index.is_unique
    low, high = (table[bound].astype(float).to_dict() for bound in ("low", "high"))
    assert low["rho"] < fit.params["rho"] < high["rho"]
    assert low["Residual.rho"] < fit.residual_params["Residual.rho"] < high["Residual.rho"]


@pytest.mark.parametrize("method", ["auto", "wald"])
def test_intervals_have_rows_for_range_and_correlation(method: Any) -> None:
    fit = fitted("car1(day | rat)", " + (1 | rat)")
    table = fit.conf_int(method=method)
    names = [*fit.params.index, "rat.sd.Intercept", "range", "rho", "Residual.sd"]
    assert table.index.tolist() == names
    low, high = (
        dict(zip(names, table[bound].astype(float).tolist(), strict=True)) for bound in ("low", "high")
    )
    for bound in (low, high):
        assert bound["rho"] == pytest.approx(np.exp(-1.0 / bound["range"]))
    assert low["range"] < fit.residual_params["range"] < high["range"]


def test_a_model_is_fitted_again_with_another_structure() -> None:
    fit = fitted("car1(day | rat)")
    richer = fit.update(residual="ident(sex) * car1(day | rat)")
    assert richer.deviance < fit.deviance
    assert str(fit.update("y ~ day").design.residual.formula) == "car1(day | rat)"  # pyright: ignore
    assert fit.update(residual="iid", formula="y ~ day + sex + (1 | rat)").design.residual is None


def test_rows_without_a_time_are_dropped_and_listed() -> None:
    data = rats()
    data.loc[[2, 9], "day"] = np.nan
    data.loc[4, "dose"] = np.nan
    fit = lmmkit.lmm("y ~ sex", data, residual="power(dose) * car1(day | rat)")
    assert fit.design.dropped[["row", "columns"]].to_numpy().tolist() == [[2, "day"], [4, "dose"], [9, "day"]]
    assert fit.nobs == len(data) - 3


@pytest.mark.parametrize("bar", ["", " + (1 | rat)"])
def test_a_variance_that_follows_the_fit_follows_its_own_fit(bar: str, tmp_path: Any) -> None:
    """A fixed point: with the fitted values as a column of numbers the fit is the same one."""
    fit, data = fitted("power(fitted)", bar), rats()
    data["mean"] = np.abs(fit.fittedvalues)
    same = lmmkit.lmm(f"y ~ day + sex{bar}", data, residual="power(mean)")
    assert same.deviance == pytest.approx(fit.deviance, abs=1e-6)
    assert same.residual_params["power"] == pytest.approx(fit.residual_params["power"], abs=1e-5)
    np.testing.assert_allclose(same.fittedvalues, fit.fittedvalues, rtol=1e-6)
    np.testing.assert_allclose(same.residuals("pearson"), fit.residuals("pearson"), rtol=1e-4, atol=1e-6)
    assert fit.certificate.passed
    assert "pseudo-likelihood" in str(fit.summary())
    assert fit.varcorr["var1"].iloc[-1] == "fitted = 1"
    again = lmmkit.load(fit.save(tmp_path / "fit"))
    np.testing.assert_allclose(
        again.residuals("normalised"), fit.residuals("normalised"), rtol=1e-6, atol=1e-9
    )
    found = fit.predict(data.iloc[:4], level="population", interval="prediction")
    assert np.isfinite(found).all(axis=None)


def test_no_correlation_is_a_boundary_and_is_said() -> None:
    """Neighbours of opposite sign: a correlation that decays with time cannot be negative."""
    rng = np.random.default_rng(1)
    e = rng.standard_normal((40, 6)) * 0.3 + np.tile([1.0, -1.0], 3) * rng.choice([-1.0, 1.0], (40, 1))
    data = pd.DataFrame({"y": e.ravel(), "t": np.tile(np.arange(6.0), 40), "g": np.repeat(np.arange(40), 6)})
    fit = lmmkit.lmm("y ~ 1", data, residual="car1(t | g)")
    assert fit.residual_params.to_dict() == {"range": 0.0, "rho": 0.0}
    assert "no serial correlation" in str(fit.summary())
    assert np.isfinite(fit.coef_table()[["estimate", "se"]]).all(axis=None)


def test_no_warning_is_given_on_the_way() -> None:
    for residual, bar, _ in MODELS:  # where a warning is an error
        str(fitted(residual, bar).summary())
