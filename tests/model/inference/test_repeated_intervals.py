"""Intervals of the parameters of residual structures, against derivatives of the likelihood written out."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from scipy.optimize import brentq
from support.repeated import STRUCTURES, VISITS, dense_at, fitted, trial, visits

import lmmkit
from lmmkit.model.inference.confidence_intervals import Profiles, parameters_without_units

SIMPLE = "y ~ arm + visit"
ONE_GROUP = [name for name, (_, _, by) in STRUCTURES.items() if by is None]
CASES = [*((name, True) for name in ONE_GROUP), ("toeph(visit | id)", False)]
LEVEL = 3.841458820694124  # 95 % of chi-squared


@functools.cache
def intervals(residual, reml):
    """Of the model without interactions: by profile those of the structure, which has few parameters."""
    return fitted(residual, reml, SIMPLE).conf_int()


def deviance(residual, reml):
    """The deviance, beta at its best, of (sigma, natural parameters): SD ratios, then correlations."""
    kind, heterogeneous, _ = STRUCTURES[residual]
    frame = trial()
    _, subjects = np.unique(frame["id"], return_inverse=True)
    V = visits(kind, heterogeneous, len(VISITS), subjects, frame["visit"].cat.codes.to_numpy())
    X, y = fitted(residual, reml, SIMPLE).estimates.X, frame["y"].to_numpy()
    ratios = len(VISITS) - 1 if heterogeneous else 0

    def of(values):
        phi = np.concatenate([values[:1], values[0] * values[1 : 1 + ratios], values[1 + ratios :]])
        root = np.linalg.cholesky(V(phi))
        half = np.linalg.solve(root, np.column_stack([X, y]))
        A, z = half[:, :-1], half[:, -1]
        left = z - A @ np.linalg.lstsq(A, z, rcond=None)[0]
        out = 2 * np.log(root.diagonal()).sum() + left @ left + len(y) * np.log(2 * np.pi)
        return out + reml * (np.linalg.slogdet(A.T @ A)[1] - X.shape[1] * np.log(2 * np.pi))

    return of


def slopes(function, at):
    """Central differences."""
    steps = 1e-4 * np.eye(len(at))
    near = np.array([function(at + h) - function(at - h) for h in steps])
    far = np.array([function(at + 2 * h) - function(at - 2 * h) for h in steps])
    return (8 * near - far) / 12e-4


@pytest.mark.parametrize(("residual", "reml"), CASES)
def test_profile_bounds_are_where_all_other_parameters_are_at_their_best(residual, reml):
    fit = fitted(residual, reml, SIMPLE)
    about, of = Profiles(fit.estimates, 0.95), deviance(residual, reml)
    structure, nu = fit.design.residual.structure, len(trial()) - reml * len(fit.params)
    point = np.array([fit.sigma, *fit.residual_params])
    assert of(point) == pytest.approx(fit.deviance, abs=1e-9)
    found = intervals(residual, reml)
    assert set(found["criterion"][len(fit.params) :]) == {f"{'REML' if reml else 'ML'}, profile"}
    for place, name in enumerate(fit.residual_params.index):
        for bound in found.loc[name, ["low", "high"]]:
            parameter = about.beside.natural(place)
            line, here = about.line(parameter), parameter.estimate
            t = brentq(lambda t, p=parameter, b=bound: p.value(t) - b, here - 5, here + 5, xtol=1e-14)
            height, slope = line(t)
            natural = structure.natural(line.known[t])
            assert natural[place] == pytest.approx(bound, rel=1e-10)
            one = of(np.array([1.0, *natural])), of(np.array([2.0, *natural]))
            rest = (one[1] - one[0] - nu * np.log(4.0)) / (0.25 - 1.0)  # r2 of the values over sigma^2
            at = np.array([np.sqrt(rest / nu), *natural])
            gradient = slopes(of, at)
            assert height == pytest.approx(LEVEL, abs=1e-7)
            assert of(at) - fit.deviance == pytest.approx(LEVEL, abs=1e-7)
            np.testing.assert_allclose(np.delete(gradient, place + 1), 0.0, atol=2e-5)
            stretch = (parameter.value(t + 1e-5) - parameter.value(t - 1e-5)) / 2e-5
            assert gradient[place + 1] * stretch == pytest.approx(slope, rel=1e-6)
    for bound in found.loc["Residual.sd", ["low", "high"]]:
        line = about.line(about.beside.residual())
        height, slope = line(bound)
        gradient = slopes(of, np.array([bound, *structure.natural(line.known[bound])]))
        assert height == pytest.approx(LEVEL, abs=1e-7)
        np.testing.assert_allclose(gradient, [slope, *[0.0] * (len(gradient) - 1)], atol=2e-5)


@pytest.mark.parametrize("residual", ["un(visit | id)", "ar1h(visit | id)"])
def test_the_profile_of_a_coefficient_is_the_deviance_with_that_coefficient_known(residual):
    fit = fitted(residual, False, "y ~ arm + visit + x")
    found = {row.name: row for row in Profiles(fit.estimates, 0.95).coefficients()}["x"]
    assert found.criterion == "ML, asymptotic"
    for bound in (found.bounds.low, found.bounds.high):
        frame = trial().assign(known=lambda d, v=bound: v * d["x"])
        other = lmmkit.lmm(SIMPLE, frame, residual=residual, offset="known", reml=False)
        assert other.deviance - fit.deviance == pytest.approx(LEVEL, abs=1e-7)


@pytest.mark.parametrize(("residual", "reml"), CASES)
def test_wald_intervals_are_of_logs_and_fishers_z(residual, reml):
    fit = fitted(residual, reml, SIMPLE)
    _, heterogeneous, _ = STRUCTURES[residual]
    written = dense_at(fit, residual, reml=reml)
    k = len(VISITS) if heterogeneous else 1
    sds = fit.sigma * np.array([1.0, *fit.residual_params.to_numpy()[: k - 1]])
    cors = fit.residual_params.to_numpy()[k - 1 :]
    # of (log sigma, log ratios, Fisher's z) in (SDs, correlations)
    way = np.diag(np.concatenate([1 / sds, 1 / (1 - cors**2)]))
    way[1:k, 0] = -1 / sds[0]
    errors = np.sqrt(np.diag(way @ (2 * np.linalg.inv(written.observed)) @ way.T))
    names = ["Residual.sd", *fit.residual_params.index]
    table = fit.conf_int("wald").loc[names]
    middle = np.concatenate([np.log([sds[0], *sds[1:] / sds[0]]), np.arctanh(cors)])
    back = [np.exp] * k + [np.tanh] * len(cors)
    for row, centre, error, inverse in zip(table.itertuples(), middle, errors, back, strict=True):
        expected = inverse(centre - 1.959963985 * error), inverse(centre + 1.959963985 * error)
        assert (row.low, row.high) == pytest.approx(expected, rel=1e-5)
        assert row.criterion == ("REML" if reml else "ML")


def test_rows_have_the_names_of_the_parameters_and_the_residual_last():
    fit = fitted("un(visit | id)", True, SIMPLE)
    names = [*fit.params.index, *fit.residual_params.index, "Residual.sd"]
    assert list(fit.residual_params.index) == ["ratio.w2", "ratio.w4", "cor.w1.w2", "cor.w1.w4", "cor.w2.w4"]
    for table in (intervals("un(visit | id)", True), fit.conf_int("wald")):
        assert list(table.index) == names
    profile = fitted("cs(visit | id)", True, SIMPLE).conf_int("profile")
    assert list(profile.index) == [*fit.params.index, "rho", "Residual.sd"]
    assert list(fit.bootstrap(2, seed=1).columns) == [*names, "converged", "singular"]
    auto = intervals("un(visit | id)", True)["criterion"]
    assert set(auto[: len(fit.params)]) == {"REML, Wald, kenward-roger"}
    assert set(auto[len(fit.params) :]) == {"REML, profile"}
    many = fitted("un(visit | id, by=arm)", True, SIMPLE).conf_int()["criterion"]
    assert many["A.cor.w1.w4"] == "REML, Wald on Fisher's z (more than 6 covariance parameters)"
    assert many["B.ratio.w1"] == "REML, Wald on the log (more than 6 covariance parameters)"


def test_replicates_are_the_fits_of_simulated_responses():
    fit = fitted("ar1h(visit | id, by=arm)", True, SIMPLE)
    found, responses = fit.bootstrap(3, seed=5), fit.simulate(3, seed=5)
    for i in range(3):
        again = fit.refit(responses[:, i])
        expected = [*again.params, *again.residual_params, again.sigma]
        np.testing.assert_allclose(found.iloc[i, : len(expected)].to_numpy(float), expected, rtol=1e-6)
    assert fit.bootstrap(3, seed=5, workers=2).equals(found)
    table = fit.conf_int("bootstrap", n=10, seed=5)
    assert table.attrs["replicates"] == {"n": 10, "failed": 0, "not converged": 0, "singular": 0}
    assert (table["low"] < table["high"]).all()


@pytest.mark.parametrize("residual", ["cs(visit | id)", "un(visit | id)", "ident(visit)"])
def test_the_jackknife_leaves_out_subjects(residual):
    frame = trial().query("s < 12")
    fit = lmmkit.lmm(SIMPLE, frame, residual=residual)
    found = parameters_without_units(fit.estimates)
    rows = [frame.index[frame["id"] == one] for one in sorted(frame["id"].unique())]
    if residual.startswith("ident"):
        rows = [[row] for row in frame.index]
    assert len(found) == len(rows)
    for one, left in list(zip(found, rows, strict=True))[::5]:
        again = lmmkit.lmm(SIMPLE, frame.drop(left), residual=residual)
        np.testing.assert_allclose(
            one, [*again.params, *again.residual_params, again.sigma], rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize("residual", ["un(visit | id)", "cs(visit | id, by=arm)"])
def test_the_unit_of_the_response_changes_no_degrees_of_freedom(residual):
    fit = fitted(residual, True, SIMPLE)
    tiny = lmmkit.lmm(SIMPLE, trial().assign(y=lambda d: 1e-12 * d["y"]), residual=residual)
    for method in ("kenward-roger", "kenward-roger-observed", "satterthwaite"):
        one, two = fit.coef_table(method), tiny.coef_table(method)
        np.testing.assert_allclose(two["df"], one["df"], rtol=1e-7)
        np.testing.assert_allclose(two["se"], 1e-12 * one["se"], rtol=1e-9)
        np.testing.assert_allclose(tiny.anova(3, method)["F"], fit.anova(3, method)["F"], rtol=1e-7)


def test_the_unit_of_the_response_is_that_of_the_bounds():
    one, two = (
        lmmkit.lmm(
            "y ~ arm", trial().assign(y=lambda d, u=unit: u * d["y"]), residual="cs(visit | id, by=arm)"
        )
        for unit in (1.0, 1e-12)
    )
    units = [1e-12] * 2 + [1.0] * len(one.residual_params) + [1e-12]
    expected = one.conf_int("profile")[["low", "high"]].mul(units, axis=0)
    np.testing.assert_allclose(two.conf_int("profile")[["low", "high"]], expected, rtol=1e-6)


def test_rho_per_unit_of_time_ends_at_zero_where_visits_are_an_even_number_of_units_apart():
    def of_rho(fit):
        return Profiles(fit.estimates, 0.95).variance(0).bounds

    frame = trial().assign(day=lambda d: 2 * d["t"])
    fit, even = (lmmkit.lmm("y ~ arm", frame, residual=f"ar1({time} | id)") for time in ("t", "day"))
    assert even.deviance == pytest.approx(fit.deviance, abs=1e-9)
    one, two = (of_rho(model) for model in (fit, even))
    assert two.high**2 == pytest.approx(one.high, rel=1e-8)
    assert two.low**2 == pytest.approx(one.low, rel=1e-8)
    rng = np.random.default_rng(2)
    frame["y"] = rng.normal(size=len(frame))
    fit, even = (lmmkit.lmm("y ~ arm", frame, residual=f"ar1({time} | id)") for time in ("t", "day"))
    one, two = (of_rho(model) for model in (fit, even))
    assert fit.residual_params["rho"] > 0 > one.low
    assert two.low == 0.0
    assert two.high**2 == pytest.approx(one.high, rel=1e-8)
