"""The tables of a fit: their numbers are those of the fit, their bounds those of the level asked for."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.model.report_tables import about_data, about_design, about_fit, about_inference, about_search


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(3)
    group, x = np.repeat(np.arange(8), 6), np.tile(np.arange(6.0), 8)
    effect, slope = random.normal(size=8) * 3, random.normal(size=8)
    y = 10 + 2 * x + effect[group] + slope[group] * x + random.normal(size=48)
    return pd.DataFrame({"y": y, "x": x, "g": [f"g{i}" for i in group], "f": list("uvw") * 16})


@pytest.fixture(scope="module")
def fit(data):
    return lmm("y ~ x + f + (x | g)", data)


@pytest.fixture(scope="module")
def bounds(fit):
    return about_inference.intervals(fit, ci="wald", level=0.95, df="satterthwaite", seed=1)


@pytest.mark.parametrize(("level", "quantile"), [(0.95, 1.959963985), (0.9, 1.644853627), (0.5, 0.674489750)])
def test_intervals_of_effects_have_the_level_asked_for(fit, level, quantile):
    table = about_fit.effects(fit, level=level)
    half = quantile * fit.ranef_se["g"]["x"].loc[table.loc[table["name"] == "x", "level"]].to_numpy()
    slopes = table[table["name"] == "x"]
    np.testing.assert_allclose(slopes["high"] - slopes["estimate"], half, rtol=1e-8)
    np.testing.assert_allclose(slopes["estimate"] - slopes["low"], half, rtol=1e-8)


def test_effects_are_in_order_of_size_by_term(fit):
    table = about_fit.effects(fit, level=0.95)
    assert table["term"].unique().tolist() == ["g: Intercept", "g: x"]
    for term, rows in table.groupby("term"):
        assert rows["estimate"].is_monotonic_increasing
        name = str(term).removeprefix("g: ")
        np.testing.assert_array_equal(rows["estimate"], fit.ranef["g"][name].loc[rows["level"]])


def test_effects_are_drawn_against_the_normal_quantiles_of_their_ranks(fit):
    table = about_fit.effect_pairs(fit)
    for name in about_fit.effects_of_pairs(table):
        rows, n = table.sort_values(name), len(table)
        expected = [NormalDist().inv_cdf((place + 0.5) / n) for place in range(n)]
        np.testing.assert_allclose(rows[f"normal:{name}"], expected, atol=1e-12)


def test_components_have_their_names_and_the_intervals_of_their_parameters(fit, bounds):
    table = about_fit.components(fit, bounds)
    assert table["component"].tolist() == ["g: Intercept", "g: x", "g: Intercept with x", "Residual"]
    found = bounds.set_index("parameter").loc[
        ["g.sd.Intercept", "g.sd.x", "g.cor.x.Intercept", "Residual.sd"]
    ]
    np.testing.assert_array_equal(table["low"], found["low"])
    np.testing.assert_array_equal(table["high"], found["high"])
    assert about_fit.standard_deviations(table)["component"].tolist() == ["g: Intercept", "g: x", "Residual"]


@pytest.mark.parametrize("residual", ["ident(f)", "ident(f) * car1(x | g)"])
def test_of_residual_variances_the_first_levels_sd_is_a_parameter(data, residual):
    fit = lmm("y ~ x + (1 | g)", data, residual=residual)
    bounds = about_inference.intervals(fit, ci="wald", level=0.95, df="satterthwaite", seed=1)
    table, own = about_fit.components(fit, bounds), bounds.set_index("parameter").loc["Residual.sd"]
    rest = table[table["group"] == "Residual"].set_index("component")
    assert list(rest.index) == ["Residual: u", "Residual: v", "Residual: w"]
    assert rest["low"].notna().tolist() == [True, False, False]
    assert rest.loc["Residual: u", "low"] == own["low"]


def test_a_structure_of_one_variance_has_its_interval_at_every_effect(data):
    fit = lmm("y ~ x + homcs(0 + f | g)", data)
    bounds = about_inference.intervals(fit, ci="wald", level=0.95, df="satterthwaite", seed=1)
    table, own = about_fit.components(fit, bounds), bounds.set_index("parameter").loc["g.sd"]
    three = table[(table["group"] == "g") & table["var2"].isna()]
    assert three["low"].tolist() == [own["low"]] * 3
    assert three["high"].tolist() == [own["high"]] * 3


def test_correlations_are_those_of_effects_and_of_estimates(fit):
    table = about_fit.correlations(fit)
    assert table["block"].unique().tolist() == ["g", "Estimates of the fixed effects"]
    pair = table[(table["block"] == "g") & (table["row"] == "Intercept") & (table["column"] == "x")]
    assert pair["correlation"].item() == pytest.approx(fit.varcorr["sdcor"][2], rel=1e-9)
    covariance = fit.cov_params()
    expected = covariance.loc["x", "f[T.v]"] / np.sqrt(
        covariance.loc["x", "x"] * covariance.loc["f[T.v]", "f[T.v]"]
    )
    pair = table[(table["row"] == "x") & (table["column"] == "f[T.v]")]
    assert pair["correlation"].item() == pytest.approx(expected, rel=1e-9)


def test_independent_effects_have_no_correlations(data):
    table = about_fit.correlations(lmm("y ~ 1 + (x || g)", data))
    assert table.empty


def test_the_path_of_the_search_ends_at_the_deviance(fit):
    path = about_search.search_path(fit)
    assert path["deviance"].iloc[-1] == fit.deviance
    assert path["iteration"].tolist() == list(range(len(path)))
    assert "theta" not in path
    assert np.isnan(path["excess"].iloc[-1])
    assert (path["excess"].dropna() > 0).all()


def test_a_surface_is_drawn_over_the_two_standard_deviations_of_a_small_model(fit, data):
    assert about_search.surface_pair(fit) == ["g.Intercept", "g.x"]
    assert about_search.surface_pair(lmm("y ~ 1 + (1 | g)", data)) == []
    surface = about_search.deviance_surface(fit.estimates, "g.Intercept", "g.x", points=5)
    assert surface["above"].min() == pytest.approx(0.0, abs=1e-6)
    assert len(surface) == 25


@pytest.mark.parametrize("rows", [20_000, 20_001])
def test_algorithms_that_go_by_small_steps_are_left_out_on_many_rows(rows):
    class Independent:
        residual, has_relatives = None, False

    class Estimates:
        random = ()

    class Large:
        nobs, estimates = rows, Estimates()
        design = Independent()

    assert ("em" in about_search.affordable_algorithms(Large())) == (rows <= 20_000)


def test_each_table_has_the_columns_that_the_report_prints(fit, bounds, data):
    groups = {"g": ["g"], "f": ["f"]}
    means = about_inference.factor_means(fit, df="satterthwaite", level=0.95)
    fits = about_search.fits_by_algorithm(fit.estimates, ["newton"])
    made = {
        "reading": pd.DataFrame({"what": ["header"], "lines": [1]}),
        "codes": pd.DataFrame({"column": ["y"], "code": ["-9"], "cells": [1]}),
        "notices": about_data.notices(["y: x"]),
        "dropped": about_data.dropped(pd.DataFrame({"status": ["kept"], "reason": [""]})),
        "columns": about_data.columns(data, "y", groups, {}),
        "missing": about_data.missing_patterns(data),
        "balance": about_data.balance(data, groups),
        "relations": about_data.relations(data, groups),
        "design_parts": about_design.design_parts(fit.design),
        "path": about_search.search_path(fit),
        "algorithms": about_search.algorithm_table(fits).reset_index(),
        "certificate": fit.certificate.checks,
        "coefficients": about_inference.coefficients(fit, bounds, df="satterthwaite", level=0.95),
        "anova": about_inference.anova(fit, df="satterthwaite"),
        "means": means.table,
        "pairs": means.pairs,
        "comparisons": about_inference.comparisons(fit, [], data, {}, seed=1),
        "shares": about_inference.shares(fit, ci="wald", level=0.95, seed=1),
        "components": about_fit.components(fit, bounds),
        "correlations": about_fit.correlations(fit),
        "effects": about_fit.effects(fit, level=0.95),
        "effect_pairs": about_fit.effect_pairs(fit),
        "effect_sizes": about_inference.standardised(fit),
    }
    modules = (about_data, about_design, about_search, about_inference, about_fit)
    declared = {table.name: table for module in modules for table in module.TABLES}
    of_the_choice = {"candidates", "selection_path", "term_components", "error_rates"}
    of_the_audit = {"design_audit", "design_relations"}
    assert declared.keys() - made.keys() == of_the_choice | of_the_audit | {"relationships", "interactions"}
    for name, table in made.items():
        assert set(declared[name].columns) <= set(table.columns), name
        assert all(np.isfinite(value) for value in declared[name].facts(table).values()), name


def test_facts_tell_of_their_tables(fit, data):
    effects = about_fit.effects(fit, level=0.95)
    facts = {table.name: table.facts for table in (*about_fit.TABLES, *about_design.TABLES)}
    clear = (effects["low"] > 0) | (effects["high"] < 0)
    told = facts["effects"](effects)
    assert told["g: x: exclude zero"] == clear[effects["term"] == "g: x"].sum()
    assert (told["g: x: levels"], told["terms"]) == (8, 2)
    parts = facts["design_parts"](about_design.design_parts(fit.design))
    filled = np.count_nonzero(
        np.column_stack(
            [about_design.matrices_of(fit.estimates).X, np.asarray(about_design.matrices_of(fit.estimates).Z)]
        )
    )
    assert parts["columns"] == 4 + 16
    assert parts["share filled"] == pytest.approx(filled / (48 * 20))


def test_what_is_said_of_a_fit_as_a_whole_is_the_fits(fit):
    summary, facts = (
        about_fit.summary(fit),
        about_fit.facts(fit, fit.certificate).set_index("quantity")["value"],
    )
    assert summary["iterations"] == len(fit.trace) - 1
    assert (summary["method"], summary["formula"], summary["ngroups"]) == ("REML", fit.formula, {"g": 8})
    assert (summary["singular"], summary["singular_terms"], summary["dropped_columns"]) == (False, [], [])
    for name in ("nobs", "npar", "deviance", "llf", "aic", "bic", "sigma", "converged", "evaluations"):
        assert summary[name] == facts[name] == getattr(fit, name)
    assert (facts["certificate"], facts["digits"]) == (True, fit.certificate.digits)


def test_a_singular_term_is_named(data):
    level = data["y"] - data.groupby("f")["y"].transform("mean")
    summary = about_fit.summary(lmm("y ~ 1 + (1 | f)", data.assign(y=level)))
    assert (summary["singular"], summary["singular_terms"]) == (True, ["f"])
