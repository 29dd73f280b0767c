"""What a fit answers: the names, shapes and conventions of its tables."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from reference.cases import table
from support.models import NAMES, crossed, fit

import lmmkit
from lmmkit import DataError, FitError, FormulaError
from lmmkit.errors import PartialResult


def test_coefficients_are_series_by_name():
    m = fit("machines")
    assert list(m.params.index) == ["Intercept", "Machine[T.B]", "Machine[T.C]"]
    assert list(m.bse.index) == list(m.params.index)
    cov = m.cov_params()
    assert list(cov.index) == list(cov.columns) == list(m.params.index)
    np.testing.assert_allclose(np.sqrt(np.diag(cov)), m.bse, rtol=1e-14)


def test_aliased_columns_are_left_out_and_listed():
    m = fit("aliased")
    assert m.dropped_columns == ["twice"]
    assert list(m.params.index) == ["Intercept", "Days"]
    assert fit("sleep").dropped_columns == []


def test_theta_runs_down_the_columns_of_each_term():
    assert list(fit("machines").theta.index) == [
        "Worker.Machine[A]",
        "Worker.Machine[B].Machine[A]",
        "Worker.Machine[C].Machine[A]",
        "Worker.Machine[B]",
        "Worker.Machine[C].Machine[B]",
        "Worker.Machine[C]",
    ]
    assert list(fit("aliased").theta.index) == ["Subject.Intercept", "Subject.1.Days"]


def test_varcorr_is_rs_data_frame():
    frame = fit("sleep").varcorr
    assert list(frame.columns) == ["group", "var1", "var2", "vcov", "sdcor"]
    assert frame.group.tolist() == ["Subject"] * 3 + ["Residual"]
    assert frame.var1.tolist() == ["Intercept", "Days", "Intercept", None]
    assert frame.var2.tolist() == [None, None, "Days", None]
    np.testing.assert_allclose(frame.vcov, [612.1002, 35.07171, 9.60441, 654.94001], rtol=2e-5)
    np.testing.assert_allclose(frame.sdcor, [24.74066, 5.922137, 0.0655512, 25.591795], rtol=2e-5)


def test_correlation_at_a_zero_sd_is_nan():
    frame = table("sleep_full").assign(flat=np.random.default_rng(1).normal(size=180))
    m = lmmkit.lmm("Reaction ~ Days + (1 | Subject)", frame)
    factors = (np.array([[1.0, 0.0], [0.0, 0.0]]),)
    design = fit("sleep").design
    estimates = dataclasses.replace(m.estimates, design=design, factors=factors)
    row = lmmkit.Fit(estimates).varcorr.iloc[2]
    assert row.vcov == 0
    assert np.isnan(row.sdcor)


def test_random_effects_have_one_frame_per_factor():
    effects, errors = fit("crossed").ranef, fit("crossed").ranef_se
    assert list(effects) == list(errors) == ["g", "h"]
    assert list(effects["g"].columns) == ["Intercept", "x"]
    assert effects["g"].shape == errors["g"].shape == (20, 2)
    assert all(isinstance(level, str) for level in effects["g"].index)
    assert list(fit("aliased").ranef) == ["Subject"]
    assert list(fit("aliased").ranef["Subject"].columns) == ["Intercept", "Days"]


def test_criteria_follow_their_definitions():
    m = fit("crossed")
    assert m.npar == len(m.params) + len(m.theta) + 1
    assert m.df_model == len(m.params)
    assert m.llf == -m.deviance / 2
    assert m.aic == pytest.approx(m.deviance + 2 * m.npar, rel=1e-15)
    assert m.bic == pytest.approx(m.deviance + m.npar * np.log(m.nobs), rel=1e-15)
    assert m.scale == m.sigma**2
    assert m.ngroups == {"g": 20, "h": 8}
    assert len(m.residual_params) == 0


def test_singular_fit_says_so():
    m = fit("singular")
    assert m.is_singular
    assert m.theta["Batch.Intercept"] == 0.0
    assert "exactly zero" in str(m.summary())


def test_trace_logs_every_step():
    m = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", table("sleep_miss"))
    assert list(m.trace.columns) == [
        "phase",
        "iteration",
        "deviance",
        "gradient",
        "decrement",
        "step",
        "theta",
    ]
    assert m.trace.deviance.iloc[-1] == pytest.approx(m.deviance, abs=1e-9)
    np.testing.assert_allclose(m.trace.theta.iloc[-1], m.theta, atol=1e-6)
    assert m.evaluations >= 1


def test_fitted_values_and_residuals_carry_the_rows_labels():
    frame = table("sleep_miss").set_axis([f"row {i}" for i in range(180)])
    m = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", frame)
    assert list(m.fittedvalues.index) == list(frame.index[frame.Reaction.notna()])
    np.testing.assert_allclose(m.fittedvalues + m.resid, frame.Reaction.dropna(), rtol=1e-14)


def test_tables_of_a_fit_cannot_be_changed_through_what_it_returns():
    m = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", table("sleep_full"))
    before = m.params["Days"]
    for values in (m.params, m.theta, m.fittedvalues, m.ranef["Subject"]):
        values.iloc[:] = 0.0
    assert m.params["Days"] == before
    assert m.certificate.passed
    with pytest.raises(dataclasses.FrozenInstanceError):
        m.estimates = None


def test_coefficient_table_by_the_normal_distribution():
    frame = fit("sleep").coef_table(df="normal")
    assert list(frame.columns) == ["estimate", "se", "df", "t", "p", "low", "high", "method"]
    np.testing.assert_allclose(frame.t, frame.estimate / frame.se)
    np.testing.assert_allclose(frame.high - frame.estimate, 1.959963984540054 * frame.se)
    assert frame.p["Days"] == pytest.approx(1.2740e-11, rel=1e-3)


def test_wald_intervals_name_every_parameter():
    frame = fit("sleep").conf_int("wald", df="normal")
    assert list(frame.index) == [
        "Intercept",
        "Days",
        "Subject.sd.Intercept",
        "Subject.cor.Days.Intercept",
        "Subject.sd.Days",
        "Residual.sd",
    ]
    assert list(frame.columns) == ["low", "high", "criterion"]
    assert (frame.low < frame.high).all()


def test_refit_to_the_same_response_is_the_same_fit():
    m = fit("crossed")
    again = m.refit(m.design.problem.response)
    assert again.params.equals(m.params)
    assert again.deviance == m.deviance


def test_refit_to_another_response_equals_a_fresh_fit():
    y = fit("crossed").simulate(1, seed=3)[:, 0]
    again = fit("crossed").refit(y)
    options = {"weights": "w", "offset": "o"}
    fresh = lmmkit.lmm("y ~ x + f + (x | g) + (1 | h)", crossed().assign(y=y), **options)
    np.testing.assert_allclose(again.params, fresh.params, rtol=1e-12)
    assert again.deviance == pytest.approx(fresh.deviance, rel=1e-13)


@pytest.mark.parametrize("y", [[1.0, 2.0], ["a"] * 180, [1j] * 180, np.full(180, np.nan), np.zeros((180, 2))])
def test_refit_refuses_what_is_no_response(y):
    with pytest.raises(DataError, match="refit"):
        fit("sleep").refit(y)


def test_refit_takes_a_series_by_its_index_or_not_at_all():
    y = table("sleep_full").Reaction + 1.0
    assert fit("sleep").refit(y).params["Intercept"] == pytest.approx(fit("sleep").params["Intercept"] + 1.0)
    with pytest.raises(DataError, match="another index"):
        fit("sleep").refit(y[::-1])


def test_simulated_responses_have_the_models_moments():
    m = fit("crossed")
    y = m.simulate(4000, seed=5)
    assert y.shape == (m.nobs, 4000)
    problem = m.design.problem
    expected = m.sigma**2 / problem.weights
    for term, L in zip(problem.terms, m.estimates.factors, strict=True):
        Z = np.column_stack([problem.columns[c] for c in term.columns])
        expected = expected + m.sigma**2 * ((Z @ L) ** 2).sum(axis=1)
    np.testing.assert_allclose(y.mean(axis=1), m.estimates.marginal_fit, atol=0.2)
    np.testing.assert_allclose(y.var(axis=1) / expected, 1, atol=0.15)
    given = m.simulate(4000, seed=5, level="group")
    np.testing.assert_allclose(given.mean(axis=1), m.fittedvalues, atol=0.1)
    np.testing.assert_allclose(given.var(axis=1) * problem.weights / m.scale, 1, atol=0.15)


def test_simulation_repeats_with_its_seed():
    assert np.array_equal(fit("sleep").simulate(3, seed=1), fit("sleep").simulate(3, seed=1))
    assert not np.array_equal(fit("sleep").simulate(3, seed=1), fit("sleep").simulate(3, seed=2))


@pytest.mark.parametrize("name", NAMES)
def test_dict_is_plain_json(name):
    found = fit(name).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["deviance"] == fit(name).deviance


def test_representation_names_formula_and_criterion():
    assert repr(fit("sleep")) == (
        "<Fit Reaction ~ 1 + Days + (1 + Days | Subject): REML, 180 rows, deviance 1743.6283>"
    )


REFUSED = [
    ({"algorithm": "magic"}, "magic"),
    ({"reml": "yes"}, "reml"),
    ({"reml": None}, "reml"),
]


@pytest.mark.parametrize(("options", "named"), REFUSED)
def test_options_that_are_not_offered_are_refused_by_name(options, named):
    with pytest.raises(FitError, match=named):
        lmmkit.lmm("Reaction ~ Days + (1 | Subject)", table("sleep_full"), **options)


def test_model_without_random_effects_names_statsmodels():
    with pytest.raises(FormulaError, match="statsmodels"):
        lmmkit.lmm("Reaction ~ Days", table("sleep_full"))


@pytest.mark.parametrize("frame", [None, 3, "sleepstudy", [1, 2]])
def test_data_that_are_no_table_are_refused(frame):
    with pytest.raises(DataError):
        lmmkit.lmm("Reaction ~ Days + (1 | Subject)", frame)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda m: m.coef_table(df="guess"), "guess"),
        (lambda m: m.coef_table(df="normal", level=95), "level"),
        (lambda m: m.conf_int(method="magic"), "magic"),
        (lambda m: m.predict(level="nobody"), "nobody"),
        (lambda m: m.predict(interval="wide"), "wide"),
        (lambda m: m.predict(new_levels="drop"), "drop"),
        (lambda m: m.predict(coverage=1.0), "coverage"),
        (lambda m: m.simulate(0, seed=1), "n=0"),
        (lambda m: m.simulate(2.5, seed=1), "n=2.5"),
        (lambda m: m.simulate(True, seed=1), "n=True"),
        (lambda m: m.simulate(1, seed="x"), "seed"),
        (lambda m: m.anova(2.0), "type=2.0"),
        (lambda _: lmmkit.lmm("y ~ (1 | g)", table("sleep_full"), max_iterations=1.5), "max_iterations=1.5"),
        (lambda m: m.contrast(pd.DataFrame()), "no combination"),
        (lambda m: m.bootstrap(3, "mean", seed=1), "a function of a fit"),
        (lambda m: m.bootstrap(3, lambda _: None, seed=1), "NoneType"),
        (lambda _: lmmkit.lmm("Reaction ~ 1 + (1 | Subject)", table("sleep_full"), start=["a"]), "start"),
        (lambda m: m.simulate(1, seed=1, level="old"), "old"),
    ],
)
def test_calls_that_make_no_sense_are_refused_by_name(call, named):
    with pytest.raises(FitError, match=named):
        call(fit("sleep"))


def test_polars_and_arrow_give_the_same_fit():
    polars = pytest.importorskip("polars")
    frame = polars.from_pandas(table("sleep_full"))
    for data in (frame, frame.to_arrow()):
        m = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", data)
        assert m.params.equals(fit("sleep").params)
        assert list(m.ranef["Subject"].index) == list(fit("sleep").ranef["Subject"].index)


def test_fit_alone_builds_no_table(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a table was built")

    frame = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 9], "x": [0, 1, 2] * 2, "g": list("aaabbb")})
    monkeypatch.setattr(pd.DataFrame, "__init__", refuse)
    fit = lmmkit.lmm("y ~ x + (1 | g)", frame)
    with pytest.raises(AssertionError, match="a table was built"):
        fit.coef_table()


def test_input_is_left_as_it_was():
    frame = crossed().copy()
    lmmkit.lmm("y ~ x + f + (x | g) + (1 | h)", frame, weights="w", offset="o").certify(full=True)
    pd.testing.assert_frame_equal(frame, crossed())


def test_a_zero_variance_has_a_profile_interval_and_no_wald_interval():
    row = fit("singular").conf_int(df="normal").loc["Batch.sd.Intercept"]
    assert row.low == 0.0
    assert 1.0 < row.high < 4.0
    assert row.criterion == "REML, profile, reaching zero: it covers more than asked"
    with pytest.warns(PartialResult, match="estimate is zero"):
        row = fit("singular").conf_int("wald", df="normal").loc["Batch.sd.Intercept"]
    assert np.isnan([row.low, row.high]).all()
    assert "estimate is zero" in row.criterion


@pytest.mark.parametrize("algorithm", ["newton", "em", "em-newton", "pls", "direct"])
def test_two_rows_per_level_have_three_variances_told_by_their_moments(algorithm):
    """Intercepts and slopes without correlation span all rows; REML then matches the moments."""
    rng = np.random.default_rng(3)
    level, slope = 3.0 * rng.normal(size=(40, 1)), 2.0 * rng.normal(size=(40, 1))
    pairs = level + slope * [0.0, 1.0] + rng.normal(size=(40, 2))
    frame = pd.DataFrame({"y": pairs.ravel(), "t": [0.0, 1.0] * 40, "g": np.repeat(np.arange(40), 2)})
    fit = lmmkit.lmm("y ~ t + (t || g)", frame, algorithm=algorithm)
    moments = np.cov(pairs.T)
    expected = [moments[0, 1], moments[1, 1] - moments[0, 0], moments[0, 0] - moments[0, 1]]
    assert min(expected) > 0.0
    np.testing.assert_allclose(fit.varcorr["vcov"], expected, rtol=1e-4 if algorithm == "em" else 1e-7)
    assert fit.converged
    assert fit.certificate.passed


def test_a_start_far_off_leads_to_the_same_optimum():
    frame = table("sleep_full").assign(Days=lambda d: 1e5 + d.Days)
    far = lmmkit.lmm("Reaction ~ Days + (Days | Subject)", frame, start=[1e3, 0.0, 1e3])
    assert far.deviance == pytest.approx(fit("sleep").deviance, abs=1e-7)
