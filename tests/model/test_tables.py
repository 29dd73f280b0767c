"""Estimates by name: parameters and their names, R's table of variances, residuals, effects by level."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.cases import table
from support.designs import fitted

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model import tables


@pytest.fixture(scope="module")
def sleep():
    data = table("sleep_full").assign(half=list("uv") * 90, dose=1.0 + np.arange(180) % 3)
    return {
        residual: lmmkit.lmm("Reaction ~ Days + (Days | Subject)", data, residual=residual or None)
        for residual in ("", "ident(half)", "power(dose)")
    } | {"visits": lmmkit.lmm("Reaction ~ Days", data.query("Days < 3"), residual="un(Days | Subject)")}


def test_parameters_are_named_and_ordered(sleep):
    fit = sleep[""]
    at = fit.estimates
    names = ["Subject.sd.Intercept", "Subject.sd.Days", "Subject.cor.Days.Intercept", "Residual.sd"]
    assert sorted(tables.parameter_names(at)) == sorted(names)
    values = dict(zip(tables.parameter_names(at), tables.parameters(at), strict=True))
    G = at.covariance(0)
    assert values["Subject.sd.Days"] == pytest.approx(np.sqrt(G[1, 1]))
    assert values["Subject.cor.Days.Intercept"] == pytest.approx(G[1, 0] / np.sqrt(G[0, 0] * G[1, 1]))
    assert values["Residual.sd"] == at.sigma
    assert tables.theta(at).index.tolist() == ["Subject.Intercept", "Subject.Days.Intercept", "Subject.Days"]
    assert tables.theta(at).tolist() == at.theta.tolist()
    assert tables.residual_names(at) == ()
    assert tables.residual_params(at).empty


def test_variances_stand_as_r_has_them(sleep):
    fit = sleep[""]
    G, s2 = fit.estimates.covariance(0), fit.scale
    found = fit.varcorr
    assert found.columns.tolist() == ["group", "var1", "var2", "vcov", "sdcor"]
    assert found[["group", "var1", "var2"]].to_numpy().tolist() == [
        ["Subject", "Intercept", None],
        ["Subject", "Days", None],
        ["Subject", "Intercept", "Days"],
        ["Residual", None, None],
    ]
    np.testing.assert_allclose(found["vcov"], [G[0, 0], G[1, 1], G[1, 0], s2])
    sd = np.sqrt([G[0, 0], G[1, 1]])
    np.testing.assert_allclose(found["sdcor"], [*sd, G[1, 0] / sd.prod(), np.sqrt(s2)])


def test_residual_variances_stand_by_level_or_where_the_function_is_one(sleep):
    levels = sleep["ident(half)"].varcorr.query("group == 'Residual'")
    assert levels["var1"].tolist() == ["u", "v"]
    ratio = sleep["ident(half)"].estimates.residual_params.item()
    assert levels["sdcor"].iloc[1] / levels["sdcor"].iloc[0] == pytest.approx(ratio)
    np.testing.assert_allclose(levels["vcov"], levels["sdcor"] ** 2)
    power = sleep["power(dose)"].varcorr.query("group == 'Residual'")
    assert power["var1"].tolist() == ["dose = 1"]
    assert power["vcov"].item() == pytest.approx(sleep["power(dose)"].scale)
    assert tables.trace(sleep["power(dose)"].estimates).columns.tolist() == [*tables.TRACE, "rho"]
    assert tables.trace(sleep[""].estimates).columns.tolist() == tables.TRACE


def test_cells_of_visits_have_variances_then_covariances(sleep, monkeypatch):
    fit = sleep["visits"]
    V = fit.estimates.residual_covariance
    found = fit.varcorr
    assert found["var1"].tolist() == ["0", "1", "2", "0", "0", "1"]
    assert found["var2"].tolist() == [None, None, None, "1", "2", "2"]
    np.testing.assert_allclose(found["vcov"], [*np.diag(V), V[0, 1], V[0, 2], V[1, 2]])
    sd = np.sqrt(np.diag(V))
    np.testing.assert_allclose(found["sdcor"][3:], (V / np.outer(sd, sd))[[0, 0, 1], [1, 2, 2]])
    monkeypatch.setattr(tables, "MOST_PAIRED", 3)
    assert len(tables.varcorr(fit.estimates)) == 6
    monkeypatch.setattr(tables, "MOST_PAIRED", 2)
    assert tables.varcorr(fit.estimates)["var2"].isna().all()


def test_a_name_that_is_taken_says_whose_it_is(sleep):
    at = sleep["ident(half)"].estimates
    (own,) = tables.residual_names(at)
    assert not own.startswith("Residual.")
    data = at.design.frame.rename(columns={"Days": own})
    taken = lmmkit.lmm(f"Reaction ~ `{own}` + (1 | Subject)", data, residual="ident(half)").estimates
    assert tables.residual_names(taken) == (f"Residual.{own}",)
    assert tables.residual_params(taken).index.tolist() == [f"Residual.{own}"]


@pytest.mark.parametrize("kind", ["response", "pearson", "marginal", "normalised"])
def test_residuals_of_each_kind(kind):
    fit = fitted("slopes", weighted=True)
    at, w = fit.estimates, fit.design.problem.weights
    raw = at.problem.response - at.fitted
    expected = {
        "response": raw,
        "pearson": raw * np.sqrt(w) / at.sigma,
        "normalised": raw * np.sqrt(w) / at.sigma,
        "marginal": at.problem.response - at.X @ at.beta - at.problem.offset,
    }[kind]
    found = fit.residuals(kind)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found.name == kind


def test_residuals_of_another_kind_are_refused():
    with pytest.raises(FitError) as caught:
        fitted("slopes").residuals("deviance")
    assert str(caught.value) == (
        "kind='deviance' is not known. Choose one of: 'response', 'pearson', 'normalised', 'marginal'."
    )


def test_rows_that_are_kept_empty_have_no_residual():
    data = table("sleep_full").assign(Reaction=lambda d: d["Reaction"].where(d.index != 3))
    fit = lmmkit.lmm("Reaction ~ Days + (1 | Subject)", data, missing="exclude")
    found = fit.residuals()
    assert found.index.tolist() == data.index.tolist()
    assert np.flatnonzero(found.isna()).tolist() == [3]


def test_effects_of_a_factor_stand_in_one_frame():
    fit = fitted("independent slopes")
    (frame,) = fit.ranef.values()
    assert frame.columns.tolist() == ["Intercept", "x"]
    np.testing.assert_array_equal(frame["x"], fit.estimates.b[1][:, 0])
    sds = tables.conditional_sds(fit.estimates)
    assert [sd.shape for sd in sds] == [(len(frame), 1)] * 2
    np.testing.assert_allclose(sds[0][:, 0] ** 2, fit.estimates.conditional_variances[0][:, 0, 0])


def test_coefficients_are_named(sleep):
    at = sleep[""].estimates
    V = tables.covariance_of_coefficients(at)
    assert V.index.tolist() == V.columns.tolist() == ["Intercept", "Days"]
    np.testing.assert_array_equal(V, at.vcov)
    pd.testing.assert_series_equal(
        tables.by_coefficient(at, at.beta, "estimate"),
        pd.Series(at.beta, index=["Intercept", "Days"], name="estimate"),
        check_index_type=False,
    )
