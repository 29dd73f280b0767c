"""Profile likelihood intervals, to the digits of exact roots."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
from reference.cases import HERE, table
from reference.cases import fitted as reference
from scipy.optimize import minimize
from support.designs import FORMULAS, fitted

import lmmkit
from lmmkit.engine.profiles.profile_deviance import SliceDeviance, least_deviance
from lmmkit.errors import FitError, PartialResult
from lmmkit.model.inference.confidence_intervals import Profiles

KNOWN = json.loads((HERE / "resampling" / "profiles.json").read_text(encoding="utf-8"))
CHI2 = 3.841458820694124


@functools.cache
def intervals(name, criterion):
    """Of a fit of the reference."""
    return reference(name, criterion).conf_int("profile")


@pytest.mark.parametrize("name", KNOWN)
def test_bounds_are_the_exact_roots(name):
    table = intervals(name, "ML")
    assert table.attrs["trouble"] == {}
    assert set(table.index) == set(KNOWN[name])
    assert {text.partition(", reaching zero")[0] for text in table["criterion"]} <= {"ML, asymptotic", "ML"}
    for parameter, row in KNOWN[name].items():
        low = 0.0 if row["low"] is None else row["low"]
        found = table.loc[parameter, ["low", "high"]].to_numpy(float)
        np.testing.assert_allclose(found, [low, row["high"]], rtol=1e-9, atol=1e-9)


def parameters(m):
    """Every parameter of a fit as it can be held, with the level of its bounds."""
    about = Profiles(m.estimates, 0.95)
    held = [
        about.frame.correlation(t, r, c) if r > c else about.frame.standard_deviation(t, c)
        for t, (_, r, c) in m.estimates.naturals
    ]
    fixed = [] if m.reml else [about.frame.coefficient(i, b) for i, b in enumerate(m.estimates.beta)]
    return about, [*fixed, *held, about.frame.residual()]


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", FORMULAS)
def test_slopes_of_every_slice_are_those_of_differences(name, reml):
    rng = np.random.default_rng(1)
    m = fitted(name, reml=reml, weighted=True)
    about, held = parameters(m)
    for parameter in held:
        value = parameter.estimate * (0.9 if abs(parameter.estimate) < 1 else 1.1)
        x = parameter.start + 0.1 * rng.normal(size=len(parameter.start))
        point = SliceDeviance(about.setup, parameter.at(value)).evaluate(x)

        def deviance(x, value=value, parameter=parameter):
            return SliceDeviance(about.setup, parameter.at(value)).evaluate(x).deviance

        h = 1e-5
        numeric = [(deviance(x + h * e) - deviance(x - h * e)) / (2 * h) for e in np.eye(len(x))]
        np.testing.assert_allclose(point.gradient, numeric, atol=1e-5, rtol=1e-5)
        slope = (deviance(x, value + h) - deviance(x, value - h)) / (2 * h)
        assert point.slope / parameter.unit == pytest.approx(slope, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", FORMULAS)
def test_every_slice_holds_the_optimum_at_the_estimate(name, reml):
    about, held = parameters(fitted(name, reml=reml))
    for parameter in held:
        if np.isfinite(parameter.estimate):
            point = least_deviance(about.setup, parameter.at(parameter.estimate), parameter.start)
            assert point.deviance == pytest.approx(about.least, abs=1e-8)


def test_bounds_hold_against_a_search_in_other_parameters():
    """A correlation among three: the criterion written out in full, minimised by another algorithm."""
    m = reference("machines_vector", "REML")
    e = m.estimates
    y, X = e.problem.response, np.column_stack([e.problem.columns[c] for c in e.problem.fixed])
    term = e.problem.terms[0]
    Z = np.column_stack([e.problem.columns[c] for c in term.columns])
    same = term.codes[:, None] == term.codes

    def criterion(p, held):
        sd, sigma, z = np.exp(p[:3]), np.exp(p[3]), np.tanh(p[4:])
        R = np.array([[1.0, z[0], z[1]], [z[0], 1.0, held], [z[1], held, 1.0]])
        if np.linalg.eigvalsh(R)[0] <= 0:
            return 1e10
        V = (Z @ (R * np.outer(sd, sd)) @ Z.T) * same + sigma**2 * np.eye(len(y))
        C = np.linalg.cholesky(V)
        Xw, yw = np.linalg.solve(C, X), np.linalg.solve(C, y)
        r = yw - Xw @ np.linalg.lstsq(Xw, yw)[0]
        logs = 2 * np.log(C.diagonal()).sum() + np.linalg.slogdet(Xw.T @ Xw)[1]
        return logs + r @ r + (len(y) - X.shape[1]) * np.log(2 * np.pi)

    assert e.naturals[4][1][1:] == (2, 1)
    row = Profiles(e, 0.95).variance(4)
    assert row.name == f"Worker.cor.{e.random[0].names[2]}.{e.random[0].names[1]}"
    G = e.covariance(0)
    sd = np.sqrt(G.diagonal())
    start = np.concatenate(
        [np.log(sd), [np.log(e.sigma)], np.arctanh([G[1, 0] / sd[0] / sd[1], G[2, 0] / sd[0] / sd[2]])]
    )
    for bound in (row.bounds.low, row.bounds.high):
        found = minimize(criterion, start, args=(bound,), method="BFGS")
        assert found.fun - m.deviance == pytest.approx(CHI2, abs=2e-5)


def test_reml_fit_profiles_its_variances_by_reml_and_its_coefficients_by_ml():
    restricted, full = (intervals("sleep_full", criterion) for criterion in ("REML", "ML"))
    assert restricted["criterion"].tolist() == ["ML, asymptotic"] * 2 + ["REML"] * 4
    np.testing.assert_allclose(
        restricted.iloc[:2, :2].astype(float), full.iloc[:2, :2].astype(float), rtol=1e-8
    )
    assert restricted.loc["Subject.sd.Intercept", "high"] > full.loc["Subject.sd.Intercept", "high"]


def test_zero_variance_has_a_lower_bound_of_zero_and_a_finite_upper_one():
    m = reference("dyestuff2", "REML")
    low, high = m.conf_int("profile").loc["Batch.sd.Intercept", ["low", "high"]]
    assert low == 0.0
    about = Profiles(m.estimates, 0.95)
    parameter = about.frame.standard_deviation(0, 0)
    point = least_deviance(about.setup, parameter.at(high), parameter.start)
    assert point.deviance - m.deviance == pytest.approx(CHI2, abs=1e-8)


def test_correlation_of_a_zero_deviation_is_not_defined_and_said_so():
    m = fitted("three columns", reml=False)
    table = m.conf_int("profile")
    if m.is_singular:
        assert table["low"].notna().all()
    assert (table["low"] <= table["high"]).all()


def test_another_level_is_another_root():
    narrow, wide = (reference("dyestuff", "ML").conf_int("profile", level=level) for level in (0.5, 0.99))
    assert (narrow["low"] > wide["low"]).all()
    assert (narrow["high"] < wide["high"]).all()


def test_a_bound_that_is_not_found_is_named(monkeypatch):
    def fails(*_):
        raise FitError("no way down")

    monkeypatch.setattr("lmmkit.model.inference.confidence_intervals.least_deviance", fails)
    with pytest.warns(PartialResult, match=r"upper bound: no way down.*lower bound"):
        table = reference("dyestuff", "ML").conf_int("profile")
    assert table[["low", "high"]].isna().all(axis=None)
    assert set(table.attrs["trouble"]) == set(table.index)


def test_a_fit_at_a_local_optimum_is_found_out():
    m = reference("dyestuff", "ML")
    about = Profiles(m.estimates, 0.95)
    line = replace(about.line(about.frame.residual()), least=about.least + 1.0)
    with pytest.raises(FitError, match="local optimum"):
        line(m.sigma)


def test_progress_counts_the_parameters():
    seen = []
    reference("dyestuff", "ML").conf_int("profile", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("shift", [2000.0, 1e4])
def test_a_covariate_far_from_zero_changes_no_interval_that_has_the_same_meaning(shift):
    frame = table("sleep_full")
    near = intervals("sleep_full", "REML")
    far = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", frame.assign(Days=frame.Days + shift))
    found = far.conf_int("profile")  # a PartialResult would be an error here
    same = ["Days", "Subject.sd.Days", "Residual.sd"]
    np.testing.assert_allclose(found.loc[same, ["low", "high"]], near.loc[same, ["low", "high"]], rtol=1e-7)


def test_columns_of_any_unit_raise_no_warning():
    frame = table("sleep_full").assign(Days=lambda d: d.Days * 1e10)
    found = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", frame).conf_int("profile", level=0.999)
    assert found.loc["Subject.cor.Days.Intercept", "high"] <= 1.0
    assert found[["low", "high"]].notna().all(axis=None)
