"""Random effects with a pattern, end to end: every structure through every face of a fit."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy
from support.patterns import PATTERNS, deviance

import lmmkit
from lmmkit.errors import DataError, FitError, FormulaError

TERMS = {tag: f"{tag}(0 + f | g)" for tag in PATTERNS if tag not in ("ou", "exp")}
TERMS |= {"ou": "ou(0 + pos(t) | g)", "exp": "exp(0 + pos(t, z) | g)", "cs 2": "cs(1 + x | g)"}
TIMES = {"a": 0.0, "b": 0.7, "c": 1.1, "d": 3.0}


def table(seed=1, levels=24):
    """Levels g with four effects each, of neighbours alike, some rows lost."""
    rng = np.random.default_rng(seed)
    C = 1.4 * 0.6 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    b, rows = rng.multivariate_normal(np.zeros(4), C, size=levels), []
    for g in range(levels):
        for j, f in enumerate("abcd"):
            for _ in range(2):
                if rng.uniform() > 0.1:
                    x = rng.normal()
                    y = 1 + 0.5 * x + b[g, j] + 0.6 * b[g, 0] * x * 0.5 + rng.normal()
                    rows.append((f"g{g}", f, TIMES[f], TIMES[f] ** 2, x, y))
    return pd.DataFrame(rows, columns=["g", "f", "t", "z", "x", "y"])


DATA = table()


@pytest.fixture(scope="module", params=TERMS)
def fit(request):
    return lmmkit.lmm(f"y ~ x + {TERMS[request.param]}", DATA)


def test_the_deviance_is_that_of_dense_algebra(fit):
    e = fit.estimates
    assert fit.converged
    assert fit.deviance == pytest.approx(
        deviance(e.problem, [L @ L.T for L in e.factors], reml=True), abs=1e-8
    )
    assert fit.certificate.passed, str(fit.certificate)


def test_theta_and_its_names_are_the_natural_parameters_over_sigma(fit):
    structure = fit.estimates.random[0].structure
    printed = structure.natural(fit.estimates.covariance(0))
    sds = [n.kind == "sd" for n in structure.naturals]
    np.testing.assert_allclose(fit.theta, np.where(sds, printed / fit.sigma, printed), rtol=1e-12)
    assert fit.theta.index[0].startswith("g.sd")
    again = lmmkit.lmm(fit.formula, DATA, start=fit.theta.tolist())
    assert again.deviance == pytest.approx(fit.deviance, abs=1e-8)
    assert again.evaluations <= 3


def test_wald_intervals_are_those_of_differences(fit):
    table = fit.conf_int(method="wald")
    assert list(table.index[-1:]) == ["Residual.sd"]
    assert (table["low"] < table["high"]).all()


def test_a_stored_fit_says_the_same(fit, tmp_path):
    fit.save(tmp_path / "fit")
    again = lmmkit.load(tmp_path / "fit")
    assert again.formula == fit.formula
    np.testing.assert_array_equal(again.theta, fit.theta)
    pd.testing.assert_frame_equal(again.varcorr, fit.varcorr)
    pd.testing.assert_frame_equal(again.conf_int(method="wald"), fit.conf_int(method="wald"))
    np.testing.assert_allclose(again.predict(DATA.head(4))["fit"], fit.predict(DATA.head(4))["fit"])


def test_the_summary_names_the_structure_in_words(fit):
    text = str(fit.summary())
    assert fit.estimates.random[0].structure.name in text


def test_simulated_effects_have_the_covariance_matrix(fit):
    draws = np.asarray(fit.simulate(400, seed=3))
    e = fit.estimates
    term = e.problem.terms[0]
    Z = np.column_stack([e.problem.columns[c] for c in term.columns])
    here = np.flatnonzero(term.codes == 0)
    V = Z[here] @ e.covariance(0) @ Z[here].T + fit.sigma**2 * np.eye(len(here))
    found = np.cov(draws[here]) if draws.shape[0] == fit.nobs else np.cov(draws.T[here])
    assert np.abs(found - V).max() < 0.35 * np.abs(V).max()


def test_two_columns_with_a_variance_each_are_unstructured_in_every_number():
    one, two = (lmmkit.lmm(f"y ~ x + {tag}(1 + x | g)", DATA) for tag in ("cs", "us"))
    assert one.deviance == pytest.approx(two.deviance, abs=1e-8)
    a, b = (fit.anova(df="kenward-roger") for fit in (one, two))
    np.testing.assert_allclose(a["den_df"], b["den_df"], rtol=1e-5)
    a, b = (fit.anova(df="satterthwaite") for fit in (one, two))
    np.testing.assert_allclose(a["den_df"], b["den_df"], rtol=1e-5)
    a, b = (fit.conf_int(method="profile") for fit in (one, two))
    order = [*range(3), 4, 3, 5]
    np.testing.assert_allclose(a[["low", "high"]], b[["low", "high"]].iloc[order], rtol=1e-4, atol=1e-6)


COMPARED = [
    ("homcs", "cs", 3),
    ("ar1", "hetar1", 3),
    ("homdiag", "homcs", 1),
    ("homcs", "homtoep", 2),
    ("hetar1", "toep", 2),
    ("homtoep", "toep", 3),
]


@pytest.mark.parametrize(("small", "large", "df"), COMPARED)
def test_a_pattern_within_another_is_tested_by_chi_squared(small, large, df):
    found = lmmkit.compare(*(lmmkit.lmm(f"y ~ x + {TERMS[tag]}", DATA) for tag in (small, large)))
    row = found.iloc[-1]
    assert row["df"] == df
    assert row["stat"] > -1e-9
    assert 0 < row["p"] <= 1
    assert "boundary" not in row["note"]


def test_patterns_that_are_none_of_each_other_have_no_test():
    found = lmmkit.compare(*(lmmkit.lmm(f"y ~ x + {TERMS[tag]}", DATA) for tag in ("ar1", "cs")))
    assert "is not a special case" in found.iloc[-1]["note"]


@pytest.mark.parametrize("tag", ["homcs", "ar1", "ou"])
def test_a_random_intercept_is_the_pattern_at_its_bound(tag):
    large = lmmkit.lmm(f"y ~ x + {TERMS[tag]}", DATA)
    found = lmmkit.compare(lmmkit.lmm("y ~ x + (1 | g)", DATA), large)
    assert "boundary" in found.iloc[-1]["note"]
    half = found.iloc[-1]
    assert half["p"] == pytest.approx(0.5 * scipy.stats.chi2.sf(half["stat"], 1), rel=1e-6)
    assert large.ranova().iloc[-1]["p"] == pytest.approx(half["p"], rel=1e-4)


def test_a_term_whose_correlations_vanish_with_it_is_left_to_the_bootstrap():
    small, large = (lmmkit.lmm(f"y ~ x + (1 | f){more}", DATA) for more in ("", " + homcs(0 + f | g)"))
    assert "use method='bootstrap'" in lmmkit.compare(small, large).iloc[-1]["note"]


@pytest.mark.parametrize(
    ("term", "error", "said"),
    [
        ("cs(1 | g)", FormulaError, r"has one column, `Intercept`: .* Write `\(1 \| g\)`"),
        ("ar1(0 + x | g)", FormulaError, r"Write `\(0 \+ x \| g\)`"),
        ("ou(0 + pos(f) | g)", FormulaError, "no column of numbers"),
        ("homcs(0 + f | g) + (1 | g)", FormulaError, "keep it in one of them"),
    ],
)
def test_what_cannot_be_is_refused_in_words(term, error, said):
    with pytest.raises(error, match=said):
        lmmkit.lmm(f"y ~ x + {term}", DATA)


def test_one_row_for_each_effect_of_one_variance_is_refused():
    once = DATA.drop_duplicates(["g", "f"])
    for tag in ("homdiag", "homcs", "homtoep"):
        with pytest.raises(DataError, match="cannot be told from the residual's"):
            lmmkit.lmm(f"y ~ x + {TERMS[tag]}", once)
    assert lmmkit.lmm(f"y ~ x + {TERMS['ar1']}", once).converged


def test_a_new_position_is_refused_in_words():
    fit = lmmkit.lmm(f"y ~ x + {TERMS['ou']}", DATA)
    with pytest.raises(DataError, match=r"no row of the fit stands at pos\(0\.5\)"):
        fit.predict(DATA.head(2).assign(t=0.5))


def test_one_series_has_effects_enough_of_one_variance():
    rng = np.random.default_rng(4)
    times = np.sort(rng.uniform(0, 30, 40))
    C = np.exp(-np.abs(np.subtract.outer(times, times)) / 4.0)
    b = rng.multivariate_normal(np.zeros(40), 2.0 * C)
    at = np.repeat(np.arange(40), 3)
    series = pd.DataFrame({"t": times[at], "one": "all", "y": 3 + b[at] + 0.5 * rng.normal(size=120)})
    fit = lmmkit.lmm("y ~ 1 + ou(0 + pos(t) | one)", series)
    assert fit.certificate.passed
    assert 1.0 < fit.theta["one.range"] < 20.0
    assert len(fit.varcorr) < 10  # no list of all covariances


def test_profiles_of_pattern_parameters_cross_the_level():
    fit = lmmkit.lmm(f"y ~ x + {TERMS['homcs']}", DATA, reml=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bounds = fit.conf_int(method="profile").loc["g.rho"]
    e = fit.estimates
    for value in bounds[["low", "high"]]:
        found = scipy.optimize.minimize_scalar(
            lambda sd, rho=value: _held(e.problem, rho, sd), bounds=(0.3, 3.0), options={"xatol": 1e-7}
        )
        assert found.fun - fit.deviance == pytest.approx(3.841458820694129, abs=1e-6)


def _held(problem, rho, sd):
    return deviance(problem, [sd**2 * (np.eye(4) + rho * (1 - np.eye(4)))], reml=False)


def test_one_correlation_and_one_variance_is_the_nested_random_intercept():
    machines = pd.read_csv(Path(lmmkit.__file__).parents[1] / "params" / "data" / "machines.csv")
    one, two = (
        lmmkit.lmm(f"score ~ Machine + {random}", machines)
        for random in ("homcs(0 + Machine | Worker)", "(1 | Worker) + (1 | Worker:Machine)")
    )
    assert one.deviance == pytest.approx(two.deviance, abs=1e-8)
    np.testing.assert_allclose(one.bse, two.bse, rtol=1e-6)
    inner, outer = two.varcorr["vcov"][:2]
    assert one.theta["Worker.rho"] == pytest.approx(outer / (inner + outer), rel=1e-6)


def test_a_map_with_one_row_a_place_is_the_residual_structure_with_a_nugget():
    rng = np.random.default_rng(5)
    places = rng.uniform(0, 10, (40, 2))
    D = np.sqrt(((places[:, None] - places) ** 2).sum(axis=2))
    y = 2 + rng.multivariate_normal(np.zeros(40), 2 * np.exp(-D / 3)) + 0.5 * rng.normal(size=40)
    data = pd.DataFrame({"x": places[:, 0], "z": places[:, 1], "y": y, "one": "map"})
    fit = lmmkit.lmm("y ~ 1 + exp(0 + pos(x, z) | one)", data, reml=False)
    other = lmmkit.lmm("y ~ 1", data, residual="expsp(x, z | one, nugget=TRUE)", reml=False)
    assert fit.deviance == pytest.approx(other.deviance, abs=1e-6)


@pytest.mark.parametrize("tag", ["em", "em-accelerated"])
def test_em_is_refused_where_it_has_no_step(tag):
    with pytest.raises(FitError, match="has no step for the correlations"):
        lmmkit.lmm(f"y ~ x + {TERMS['cs']}", DATA, algorithm=tag)


@pytest.mark.parametrize("kind", ["percentile", "bca", "studentised"])
def test_bootstrap_intervals_of_a_pattern(kind):
    rng = np.random.default_rng(3)
    C = 0.6 ** np.abs(np.subtract.outer(range(4), range(4)))
    u = 1.5 * rng.normal(size=(18, 4)) @ np.linalg.cholesky(C).T
    g, f = (np.repeat(at.ravel(), 2) for at in np.indices((18, 4)))
    frame = pd.DataFrame({"g": g.astype(str), "f": np.array(list("abcd"))[f], "time": f})
    frame["y"] = u[g, f] + 0.3 * f + 0.7 * rng.normal(size=len(f))
    fit = lmmkit.lmm("y ~ time + ar1(0 + f | g)", frame)
    found = fit.conf_int(method="bootstrap", n=10, seed=1, kind=kind)
    assert list(found.index) == ["Intercept", "time", "g.sd", "g.rho", "Residual.sd"]
    assert found.attrs["replicates"]["failed"] == 0
    rho = fit.theta.iloc[1]
    assert 0 < found.loc["g.rho", "low"] < rho < found.loc["g.rho", "high"] < 1
    assert (found["low"] < found["high"]).all()
