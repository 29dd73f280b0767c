"""Tests and intervals where residuals fade with time, grow with a number, and stand beside random effects.

Satterthwaite and Kenward-Roger against n x n matrices with V a function of its printed parameters alone, and
profiles against a search of its own over the dense deviance.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from support.dense_residual import DenseInference
from support.serial_models import MODELS, animals, fit, parameters, written_out

import lmmkit
from lmmkit.engine.inference.kenward_roger import scaling
from lmmkit.errors import FitError
from lmmkit.model.inference.variance_test import rlrt

by_model = pytest.mark.parametrize("name", MODELS)
L = np.array([[0.0, 1, 0, 0], [0, 0, 0, 1]])


@functools.cache
def dense(name, reml):
    """The same model written out, at the estimates of its fit."""
    found = fit(name, reml)
    y = animals()["y"].to_numpy()
    return DenseInference(found.estimates.X, y, written_out(name), parameters(found), reml=reml)


@by_model
def test_v_written_out_has_the_deviance_of_the_fit(name):
    found = fit(name)
    assert dense_deviance(name, parameters(found)) == pytest.approx(found.deviance, abs=1e-8)


@pytest.mark.parametrize("reml", [True, False])
@by_model
def test_satterthwaite_equals_dense_matrices(name, reml):
    found, other = fit(name, reml), dense(name, reml)
    table = found.coef_table(df="satterthwaite")
    expected = [other.satterthwaite(c) for c in np.eye(4)]
    np.testing.assert_allclose(table["df"], expected, rtol=2e-4)
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(other.Phi)), rtol=1e-8)


@pytest.mark.parametrize("observed", [False, True])
@by_model
def test_kenward_roger_equals_dense_matrices(name, observed):
    found, other = fit(name), dense(name, True)
    if observed:
        other = other.with_observed()
    method = "kenward-roger-observed" if observed else "kenward-roger"
    table = found.coef_table(df=method)
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(other.adjusted)), rtol=1e-5)
    df = [2.0 / other.moments(c[None])[1] for c in np.eye(4)]
    np.testing.assert_allclose(table["df"], df, rtol=2e-4)
    A1, A2 = other.moments(L)
    made = found.estimates.kenward_roger_observed if observed else found.estimates.kenward_roger
    np.testing.assert_allclose(made.scaling(L), scaling(2, A1, A2), rtol=5e-4)


@by_model
def test_auto_is_kenward_roger_for_a_small_fit_by_reml_and_satterthwaite_by_ml(name):
    assert set(fit(name).coef_table()["method"]) == {"kenward-roger"}
    assert set(fit(name, False).coef_table()["method"]) == {"satterthwaite"}


def dense_deviance(name, phi):
    """The REML criterion at parameters, beta at its best, from the density of y."""
    X, y = fit(name).estimates.X, animals()["y"].to_numpy()
    factor = np.linalg.cholesky(written_out(name)(phi))
    white = np.linalg.solve(factor, np.column_stack([X, y]))
    XVX = white[:, :-1].T @ white[:, :-1]
    e = white[:, -1] - white[:, :-1] @ np.linalg.solve(XVX, white[:, :-1].T @ white[:, -1])
    logs = 2 * np.log(np.diag(factor)).sum() + np.linalg.slogdet(XVX)[1]
    return float((len(y) - X.shape[1]) * np.log(2 * np.pi) + logs + e @ e)


PROFILED = [
    ("car1", "range"),
    ("intercept, car1", "range"),
    ("intercept, car1", "animal.sd.Intercept"),
    ("intercept, ident", "ratio.B"),
    ("intercept, ident", "animal.sd.Intercept"),
    ("intercept, power * ar1", "power"),
    ("intercept, power * ar1", "rho"),
    ("item crossed, car1", "item.sd.Intercept"),
    ("item crossed, car1", "Residual.sd"),
    ("power", "power"),
]


@functools.cache
def intervals(name):
    """Profile intervals of the variance parameters of a model."""
    return fit(name).conf_int(method="auto")


@pytest.mark.parametrize(("name", "parameter"), PROFILED)
def test_profile_bounds_are_where_the_dense_deviance_rises_by_the_quantile(name, parameter):
    found = fit(name)
    table = intervals(name)
    rows = [row for row in table.index[4:] if row != "rho" or "range" not in table.index]
    place, phi = rows.index(parameter), parameters(found)
    others = [i for i in range(len(phi)) if i != place]
    positive = [rows[i] not in ("power", "exp", "rho") for i in others]

    def at(value, z):
        phi[place] = value
        phi[others] = np.where(positive, np.exp(z), z)
        return dense_deviance(name, phi)

    start = np.where(positive, np.log(np.maximum(phi[others], 1e-3)), phi[others])
    for bound in table.loc[parameter, ["low", "high"]]:
        if bound in (0.0, np.inf):
            continue
        least = minimize(functools.partial(at, bound), start, method="L-BFGS-B")
        assert least.fun - found.deviance == pytest.approx(3.841458820694124, abs=2e-4)


def test_unbounded_and_the_exact_test_of_a_variance_are_refused_with_the_way_out():
    found = fit("intercept, car1")
    with pytest.raises(FitError, match=r"has a residual structure\. Use df='kenward-roger'"):
        found.coef_table(df="unbounded")
    with pytest.raises(FitError, match=r"compare\(smaller, larger\)"):
        rlrt(found.estimates)


def test_between_within_needs_subjects_that_hold_the_levels():
    with pytest.raises(FitError, match="crossed"):
        fit("item crossed, car1").coef_table(df="between-within")
    by = fit("intercept, car1").coef_table(df="between-within")["df"]
    animals_seen = animals()["animal"].nunique()
    assert by["arm[T.B]"] == animals_seen - 2
    assert by["day"] == len(animals()) - 4 - (animals_seen - 2)
    walk = np.random.default_rng(1).normal(size=40).cumsum()
    series = pd.DataFrame({"y": 0.7 * walk + np.sin(np.arange(40)), "day": np.arange(40.0)})
    whole = lmmkit.lmm("y ~ day", series, residual="car1(day | 1)")
    with pytest.raises(FitError, match="all rows are one"):
        whole.coef_table(df="between-within")


@pytest.mark.parametrize(
    ("name", "method"), [("car1", "auto"), ("intercept, car1", "auto"), ("intercept, car1", "wald")]
)
def test_the_correlation_of_a_unit_of_time_stands_below_its_range(name, method):
    found = fit(name)
    table = intervals(name) if method == "auto" else found.conf_int(method)
    rows = list(table.index)
    place = rows.index("range")
    assert rows[place:] == ["range", "rho", "Residual.sd"]
    reach, unit = table.loc["range"], table.loc["rho"]
    np.testing.assert_allclose(
        unit[["low", "high"]].astype(float), np.exp(-1.0 / reach[["low", "high"]].astype(float)), rtol=1e-14
    )
    assert unit["criterion"] == f"{reach['criterion']}, of range"
    assert "trouble" in table.attrs
    others = fit("intercept, ar1").conf_int("wald").index
    assert list(others).count("rho") == 1


@pytest.mark.parametrize(
    ("name", "structure"), [("intercept, car1", "car1(day | animal)"), ("power", "power(mass)")]
)
def test_bca_of_residuals_that_are_not_over_visits_is_refused_as_that_of_relatives_is(name, structure):
    with pytest.raises(FitError) as refused:
        fit(name).conf_int("bootstrap", n=2, kind="bca")
    assert str(refused.value) == (
        "kind='bca' leaves out independent units one by one, and here that is not made for residuals of the "
        f"structure {structure}: use kind='percentile' or 'studentised'."
    )
