"""Kenward-Roger: the low-rank form against the paper's n x n one, and the limits of its formula."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from engine.criterion.test_layouts import PLAIN, Case
from reference.cases import fitted, table
from support.dense import DenseKenwardRoger, covariance_parts, textbook
from support.dense_residual import DenseInference

import lmmkit
from lmmkit.engine.inference.information import ExpectedInformation, entry_directions
from lmmkit.engine.inference.kenward_roger import kenward_roger, scaling


@pytest.mark.parametrize("weighted", [False, True])
# Of several memberships it is made block by block: tests/model/test_members.py.
@pytest.mark.parametrize("name", [name for name in PLAIN if "memberships" not in name])
def test_low_rank_form_equals_the_papers(name, weighted):
    optimum = Case(name, weighted=weighted).optimum  # the algebra holds at any theta
    state, prepared = optimum.state, optimum.prepared
    sigma = prepared.scale * np.sqrt(state.r2 / optimum.criterion.nu)
    dense = DenseKenwardRoger(optimum.problem, prepared.kept, optimum.factors(state.L), sigma)
    ours = kenward_roger(ExpectedInformation(optimum, entry_directions(optimum)))
    np.testing.assert_allclose(ours.unadjusted.whole(), dense.Phi, rtol=1e-8)
    np.testing.assert_allclose(ours.adjusted.whole(), dense.adjusted, rtol=1e-7)
    for L in (np.eye(2)[[0]], np.eye(2)[[1]], np.eye(2), np.array([[1.0, -0.5]])):
        expected = textbook(len(L), *dense.moments(L))
        np.testing.assert_allclose(ours.scaling(L), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["sleep_miss", "sleep_uncor", "pastes", "ergostool"])
def test_observed_information_in_place_of_the_expected_equals_the_dense_form(name):
    fit = fitted(name, "REML")
    problem, factors, sigma = fit.estimates.problem, fit.estimates.factors, fit.sigma
    parts = np.array(covariance_parts(problem, factors)[1])
    entries = [
        (L @ L.T)[a, b]
        for t, L in zip(problem.terms, factors, strict=True)
        for a, b in zip(*np.nonzero(np.tril(t.structure.span.any(axis=0))), strict=True)
    ]
    phi = sigma**2 * np.array([*entries, 1.0])
    dense = DenseInference(
        fit.estimates.X, problem.response, lambda v: np.einsum("i,iab->ab", v, parts), phi, observed=True
    )
    ours = fit.estimates.kenward_roger_observed
    np.testing.assert_allclose(ours.adjusted.whole(), dense.adjusted, rtol=1e-6)
    p = len(fit.params)
    for L in (*np.eye(p)[:, None], np.eye(p), np.ones((1, p))):
        np.testing.assert_allclose(ours.scaling(L), textbook(len(L), *dense.moments(L)), rtol=1e-5)
    # of one row they are Satterthwaite's
    np.testing.assert_allclose(
        fit.coef_table("kenward-roger-observed")["df"], fit.coef_table("satterthwaite")["df"], rtol=1e-9
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_scaling_is_the_papers_formula(rows):
    rng = np.random.default_rng(rows)
    for _ in range(50):
        A2 = rng.uniform(0.01, 0.6) * rows
        A1 = A2 if rows == 1 else A2 * rng.uniform(0.5, rows)
        expected = textbook(rows, A1, A2)
        if min(expected) > 0:
            np.testing.assert_allclose(scaling(rows, A1, A2), expected, rtol=1e-7)


@pytest.mark.parametrize("df", [1.2, 2.0, 2.0000001, 3.0, 4.0])
def test_one_row_has_scale_one_at_any_degrees_of_freedom(df):
    assert scaling(1, 2 / df, 2 / df) == pytest.approx((df, 1.0))


def test_without_uncertainty_of_the_variances_the_test_is_that_of_chi_squared():
    assert scaling(2, 0.0, 0.0) == (np.inf, 1.0)
    assert scaling(1, 0.0, -1e-20) == (np.inf, 1.0)


@pytest.mark.parametrize("rows", [2, 3, 4])
@pytest.mark.parametrize("extra", [1, 1.000001, 2, 3, 10])
def test_hotellings_test_is_exact_also_at_two_degrees_of_freedom(rows, extra):
    m = rows + extra  # 2 m / (l m) ...: A1 = 2 l / m, A2 = l (l + 1) / m
    assert scaling(rows, 2 * rows / m, rows * (rows + 1) / m) == pytest.approx(
        (m - rows + 1, (m - rows + 1) / m), rel=1e-6
    )


@pytest.mark.parametrize("rows", [2, 3, 4])
@pytest.mark.parametrize("df", [2.0, 2.000001, 5.0])
def test_balanced_analysis_of_variance_is_exact_also_at_two_degrees_of_freedom(rows, df):
    assert scaling(rows, 2 * rows**2 / df, 2 * rows / df) == pytest.approx((df, 1.0), rel=1e-6)


@pytest.mark.parametrize(("rows", "A1", "A2"), [(2, 6.0, 1.5), (2, 6.25, 2.5), (3, 10.0, 2.5)])
def test_moments_that_no_f_distribution_has_give_none(rows, A1, A2):
    """Degrees of freedom above zero, but a scale below it."""
    df, scale = textbook(rows, A1, A2)
    assert df > 0.0 > scale
    assert np.isnan(scaling(rows, A1, A2)).all()


def test_the_vector_model_of_four_workers_has_two_degrees_of_freedom_and_scale_two_thirds():
    frame = table("machines_vector").query("Worker in ['1', '2', '3', '4']")
    fit = lmmkit.lmm("score ~ Machine + (0 + Machine | Worker)", frame)
    assert not fit.is_singular
    wald = fit.anova(df="residual")["F"].iloc[0]
    found = fit.anova(df="kenward-roger").iloc[0]
    assert found["den_df"] == pytest.approx(2.0, abs=1e-6)
    assert found["F"] == pytest.approx(2 / 3 * wald, rel=1e-6)


def test_badly_scaled_columns_change_nothing():
    frame = table("sleep_full").assign(far=lambda d: d["Days"] * 1e-6 + 1e3, long=lambda d: d["Days"] * 1e8)
    plain = fitted("sleep_full", "REML")
    for column, step in (("far", 1e-6), ("long", 1e8)):
        fit = lmmkit.lmm(f"Reaction ~ {column} + ({column} | Subject)", frame)
        for df in ("kenward-roger", "satterthwaite"):
            ours, known = fit.coef_table(df).loc[column], plain.coef_table(df).loc["Days"]
            assert ours["df"] == pytest.approx(known["df"], rel=1e-5)
            assert ours["se"] * step == pytest.approx(known["se"], rel=1e-5)


def test_prior_weights_are_part_of_the_model():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": np.repeat(list("abcdefgh"), 5), "x": rng.normal(size=40)})
    frame["y"] = frame["x"] + np.repeat(rng.normal(size=8), 5) + rng.normal(size=40)
    copies = frame.loc[frame.index.repeat(1)].assign(w=4.0)
    plain = lmmkit.lmm("y ~ x + (1 | g)", frame).coef_table("kenward-roger")
    scaled = lmmkit.lmm("y ~ x + (1 | g)", copies, weights="w").coef_table("kenward-roger")
    pd.testing.assert_frame_equal(plain, scaled, rtol=1e-7)


def test_a_singular_fit_is_refused_naming_the_null_direction():
    with pytest.raises(lmmkit.FitError, match=r"the variance of Batch.Intercept is zero.*satterthwaite"):
        fitted("dyestuff2", "REML").coef_table("kenward-roger")
    said = ["unbounded: the variance of Batch.Intercept is estimated as zero"]
    assert fitted("dyestuff2", "REML").coef_table()["method"].tolist() == said


def test_a_fit_by_maximum_likelihood_is_refused():
    with pytest.raises(lmmkit.FitError, match="reml=True"):
        fitted("sleep_full", "ML").anova(df="kenward-roger")


def test_many_crossed_effects_are_named_when_they_are_too_many(monkeypatch):
    monkeypatch.setattr("lmmkit.engine.inference.traces.LARGEST", 10)
    optimum = fitted("penicillin", "REML").estimates.optimum
    with pytest.raises(lmmkit.FitError, match=r"30 random effects.*satterthwaite"):
        kenward_roger(ExpectedInformation(optimum, entry_directions(optimum)))
