"""Tests and intervals of models of repeated visits, against n x n matrices made of differences of V."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.cases import table
from support.dense import textbook
from support.dense_residual import DenseInference, visits
from support.repeated import STRUCTURES, dense, dense_at, fitted, parameters, trial

import lmmkit
from lmmkit.errors import FitError


def rows(fit):
    """Single rows and sets of rows of hypotheses."""
    p = len(fit.params)
    draw = np.random.default_rng(p)
    return [
        *np.eye(p)[:, None],
        draw.normal(size=(1, p)),
        np.eye(p)[2:4],
        np.eye(p)[1:],
        draw.normal(size=(2, p)),
    ]


@pytest.mark.parametrize("residual", STRUCTURES)
def test_the_fit_is_where_the_derivatives_of_the_likelihood_vanish(residual):
    for reml in (True, False):
        written = dense(residual, reml=reml)
        np.testing.assert_allclose(written.gradient, 0.0, atol=1e-5)
        np.testing.assert_allclose(fitted(residual, reml).bse, np.sqrt(np.diag(written.Phi)), rtol=1e-7)


@pytest.mark.parametrize("method", ["kenward-roger", "kenward-roger-observed"])
@pytest.mark.parametrize("residual", STRUCTURES)
def test_kenward_roger_is_the_papers_formula_in_any_parameters(residual, method):
    fit, written = fitted(residual), dense(residual, observed=method.endswith("observed"))
    table = fit.coef_table(method)
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(written.adjusted)), rtol=1e-6)
    found = (
        fit.estimates.kenward_roger_observed if method.endswith("observed") else fit.estimates.kenward_roger
    )
    for L in rows(fit):
        np.testing.assert_allclose(found.scaling(L), textbook(len(L), *written.moments(L)), rtol=1e-5)
    np.testing.assert_allclose(
        table["df"], [textbook(1, *written.moments(L[None]))[0] for L in np.eye(len(table))], rtol=1e-5
    )


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("residual", STRUCTURES)
def test_satterthwaite_has_the_exact_hessian(residual, reml):
    fit, written = fitted(residual, reml), dense(residual, reml=reml)
    expected = [written.satterthwaite(c) for c in np.eye(len(fit.params))]
    np.testing.assert_allclose(fit.coef_table("satterthwaite")["df"], expected, rtol=1e-5)


@pytest.mark.parametrize("df", ["kenward-roger", "satterthwaite"])
@pytest.mark.parametrize("residual", ["toeph(visit | id)", "un(visit | id, by=arm)"])
def test_tables_of_several_rows_are_made_of_them(residual, df):
    fit, written = fitted(residual), dense(residual)
    adjusted = written.adjusted if df == "kenward-roger" else written.Phi
    p, names = len(fit.params), list(fit.params.index)
    c = np.zeros(p)
    c[[names.index("arm[T.B]"), names.index("arm[T.B]:visit[T.w4]")]] = 1.0
    row = fit.contrast("arm[T.B] + arm[T.B]:visit[T.w4]", df).iloc[0]
    expected = (
        textbook(1, *written.moments(c[None]))[0] if df == "kenward-roger" else written.satterthwaite(c)
    )
    assert row["se"] == pytest.approx(np.sqrt(c @ adjusted @ c), rel=1e-6)
    assert row["df"] == pytest.approx(expected, rel=1e-5)
    pairs = fit.marginal_means("arm", by="visit", df=df).pairs()
    np.testing.assert_allclose(np.abs(pairs["estimate"].iloc[2]), abs(row["estimate"]), rtol=1e-9)
    np.testing.assert_allclose(pairs[["se", "df"]].iloc[2], row[["se", "df"]].to_numpy(float), rtol=1e-9)
    L = np.eye(p)[[i for i, name in enumerate(names) if ":" in name]]
    test = fit.anova(3, df).loc["arm:visit"]
    if df == "kenward-roger":
        den, scale = textbook(2, *written.moments(L))
        theta = L.T @ np.linalg.inv(L @ adjusted @ L.T) @ L
        F = scale * float(written.beta @ theta @ written.beta) / 2
        assert (test["den_df"], test["F"]) == pytest.approx((den, F), rel=1e-5)


def test_the_automatic_method_is_kenward_roger_and_satterthwaite_under_ml():
    assert set(fitted("ar1(visit | id)").coef_table()["method"]) == {"kenward-roger"}
    assert set(fitted("ar1(visit | id)", reml=False).coef_table()["method"]) == {"satterthwaite"}
    with pytest.raises(FitError, match="reml=True"):
        fitted("ar1(visit | id)", reml=False).coef_table("kenward-roger-observed")


@pytest.mark.parametrize(
    ("residual", "between", "within"),
    [("un(visit | id)", 23, 23), ("un(visit | id, by=arm)", 23, 23), ("cs(visit | id)", 23, 69 - 7 - 23)],
)
def test_between_within_gives_all_terms_the_subjects_under_an_unstructured_matrix(residual, between, within):
    df = fitted(residual).coef_table("between-within")["df"]
    rows, subjects = len(trial()), trial()["id"].nunique()
    assert (rows, subjects) == (69, 26)
    expected = {"Intercept": between, "arm[T.B]": between, "x": between}
    assert df.to_dict() == {name: expected.get(name, within) for name in df.index}
    assert fitted(residual).anova(3, "between-within").loc["arm:visit", "den_df"] == within


def test_rules_about_random_effects_are_refused_with_what_to_take():
    for method in ("containment", "inner-outer", "unbounded"):
        with pytest.raises(
            FitError, match=rf"df='{method}' is a rule about random effects.*'between-within'"
        ):
            fitted("un(visit | id)").coef_table(method)
    with pytest.raises(FitError, match="every row stands by itself"):
        fitted("ident(visit)").coef_table("between-within")
    assert set(fitted("ident(visit)").coef_table("residual")["df"]) == {69 - 7}
    assert np.isinf(fitted("cs(visit | id)").coef_table("normal")["df"]).all()


# Known results


def orthodont():
    frame = table("orthodont_int")
    return frame.assign(visit=frame["age"].astype(int).astype(str).str.zfill(2))


def test_complete_data_of_unstructured_visits_have_the_degrees_of_freedom_of_the_subjects():
    fit = lmmkit.lmm("distance ~ Sex * visit", orthodont(), residual="un(visit | Subject)")
    for method in ("kenward-roger", "kenward-roger-observed", "satterthwaite", "between-within"):
        found = fit.coef_table(method)
        np.testing.assert_allclose(found["df"], 25.0, rtol=1e-9)
        np.testing.assert_allclose(found["se"], fit.bse, rtol=1e-10)
    np.testing.assert_allclose(
        fit.estimates.kenward_roger.adjusted.whole(), fit.cov_params(), rtol=0, atol=1e-12
    )


def test_a_paired_t_test_keeps_its_standard_error():
    # R's `sleep`: t = -4.0621, df = 9, standard error .3890 (t.test, paired). In log-Cholesky coordinates the
    # second-derivative term of Kenward and Roger makes .344 of it, and mmrm prints .3386.
    one = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    two = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    frame = pd.DataFrame({"extra": one + two, "drug": ["a"] * 10 + ["b"] * 10, "id": list(range(10)) * 2})
    difference = np.subtract(two, one)
    error = difference.std(ddof=1) / np.sqrt(10)
    for residual in ("un(drug | id)", "cs(drug | id)", "ar1(drug | id)", "csh(drug | id)"):
        fit = lmmkit.lmm("extra ~ drug", frame, residual=residual)
        for method in ("kenward-roger", "kenward-roger-observed", "satterthwaite"):
            row = fit.coef_table(method).loc["drug[T.b]"]
            assert (row["estimate"], row["se"], row["df"]) == pytest.approx((1.58, error, 9.0), rel=1e-7)
    assert round(error, 4) == 0.3890


@pytest.mark.parametrize("rows", ["complete", "incomplete"])
def test_compound_symmetry_has_the_kenward_roger_of_a_random_intercept(rows):
    frame = orthodont()
    if rows == "incomplete":
        number = frame["Subject"].map({s: i + 1 for i, s in enumerate(dict.fromkeys(frame["Subject"]))})
        frame = frame[(7 * number + 3 * (frame["age"].astype(int) - 8) // 2) % 5 != 0]
    structured = lmmkit.lmm("distance ~ Sex * age", frame, residual="cs(visit | Subject)")
    random = lmmkit.lmm("distance ~ Sex * age + (1 | Subject)", frame)
    assert structured.deviance == pytest.approx(random.deviance, abs=1e-9)
    for method in ("kenward-roger", "kenward-roger-observed", "satterthwaite"):
        one, two = structured.coef_table(method), random.coef_table(method)
        np.testing.assert_allclose(one[["estimate", "se", "df"]], two[["estimate", "se", "df"]], rtol=1e-7)
        one, two = structured.anova(2, method), random.anova(2, method)
        np.testing.assert_allclose(one[["den_df", "F"]], two[["den_df", "F"]], rtol=1e-7)
    for mine, theirs in (("rho", "Subject"),):
        t = random.varcorr.set_index("group")["vcov"]
        assert structured.residual_params[mine] == pytest.approx(t[theirs] / t.sum(), rel=1e-7)


def test_incomplete_compound_symmetry_has_the_numbers_of_pbkrtest_and_lmertest():
    # R 4.2.2 on the rows below: pbkrtest 0.5.2 (vcovAdj, ddf_Lb, KRmodcomp) and lmerTest 3.1-3 on
    # lmer(distance ~ Sex * age + (1 | Subject)), bobyqa to 1e-10.
    frame = orthodont()
    number = frame["Subject"].map({s: i + 1 for i, s in enumerate(dict.fromkeys(frame["Subject"]))})
    frame = frame[(7 * number + 3 * (frame["age"].astype(int) - 8) // 2) % 5 != 0]
    frame = frame.assign(Sex=pd.Categorical(frame["Sex"], ["Female", "Male"]))
    fit = lmmkit.lmm("distance ~ Sex * age", frame, residual="cs(visit | Subject)")
    assert (fit.nobs, fit.deviance) == (86, pytest.approx(356.26348470112, abs=1e-8))
    found = fit.coef_table("kenward-roger")
    names = ["Intercept", "Sex[T.Male]", "age", "Sex[T.Male]:age"]
    np.testing.assert_allclose(
        found["se"][names], [1.370946888513, 1.785788157328, 0.112759752885, 0.146695200255], rtol=1e-7
    )
    np.testing.assert_allclose(
        found["df"][names], [77.8540738215, 77.7938200977, 58.6974482681, 58.7192187572], rtol=1e-6
    )
    df = fit.coef_table("satterthwaite")["df"][names]
    np.testing.assert_allclose(df, [77.7689927778, 77.7075706453, 58.3387198481, 58.3606903970], rtol=1e-4)
    smaller = lmmkit.lmm("distance ~ age", frame, residual="cs(visit | Subject)")
    test = lmmkit.compare(smaller, fit, method="kenward-roger").iloc[1]
    assert test["stat"] == pytest.approx(6.98776039409, rel=1e-6)  # scaled by .986039272603
    assert test["reference"] == "F(2, 45.6766)"


def test_moments_that_are_no_covariance_matrix_cost_few_evaluations():
    # The pairwise moments of arm A have a negative eigenvalue; from next to a singular matrix the search took
    # 28 steps, and gave up its coordinates on the way.
    fit = lmmkit.lmm("y ~ arm + visit", trial(), residual="un(visit | id, by=arm)")
    assert fit.converged
    assert fit.evaluations <= 6


def test_weights_divide_the_variances_of_a_structure_and_an_aliased_column_changes_nothing():
    frame = trial().assign(w=lambda d: 0.5 + (d.index % 4), o=lambda d: d["t"] * 1.5)
    frame["twice"] = 2.0 * frame["x"]
    fit = lmmkit.lmm(
        "y ~ arm + visit + x + twice", frame, residual="csh(visit | id)", weights="w", offset="o"
    )
    assert fit.dropped_columns == ["twice"]
    _, subjects = np.unique(frame["id"], return_inverse=True)
    V = visits("cs", True, 3, subjects, frame["visit"].cat.codes.to_numpy())
    root = np.sqrt(frame["w"].to_numpy())
    y = (frame["y"] - frame["o"]).to_numpy()
    phi = parameters(fit, "cs", True, None)
    written = DenseInference(fit.estimates.X, y, lambda v: V(v) / np.outer(root, root), phi)
    np.testing.assert_allclose(written.gradient, 0.0, atol=1e-5)
    table = fit.coef_table("kenward-roger")
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(written.adjusted)), rtol=1e-6)
    expected = [textbook(1, *written.moments(L[None]))[0] for L in np.eye(len(table))]
    np.testing.assert_allclose(table["df"], expected, rtol=1e-5)
    expected = [written.satterthwaite(c) for c in np.eye(len(table))]
    np.testing.assert_allclose(fit.coef_table("satterthwaite")["df"], expected, rtol=1e-5)


def test_variances_by_level_times_a_correlation_by_visit():
    frame = trial()
    fit = lmmkit.lmm("y ~ arm + visit", frame, residual="ident(arm) * ar1(visit | id)")
    _, subjects = np.unique(frame["id"], return_inverse=True)
    times, arms = frame["visit"].cat.codes.to_numpy(), (frame["arm"] == "B").to_numpy().astype(int)
    together, lags = subjects[:, None] == subjects, np.abs(np.subtract.outer(times, times))

    def V(phi):
        sd = phi[arms]
        return np.where(together, np.outer(sd, sd) * phi[2] ** lags, 0.0)

    phi = np.array([fit.sigma, fit.sigma * fit.residual_params["ratio.B"], fit.residual_params["rho"]])
    written = DenseInference(fit.estimates.X, frame["y"].to_numpy(), V, phi)
    np.testing.assert_allclose(written.gradient, 0.0, atol=1e-5)
    table = fit.coef_table("kenward-roger")
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(written.adjusted)), rtol=1e-6)
    expected = [written.satterthwaite(c) for c in np.eye(len(table))]
    np.testing.assert_allclose(fit.coef_table("satterthwaite")["df"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("residual", "deviance", "se", "within"),
    [
        ("un(age | Subject)", 419.5, [0.9356, 1.4658, 0.07911, 0.1239], 25),
        ("cs(age | Subject)", 428.6, [0.9631, 1.5089, 0.07654, 0.1199], 79),
        ("cs(age | Subject, by=Sex)", 408.8, [1.1130, 1.3890, 0.09283, 0.1063], 79),
    ],
)
def test_the_growth_data_have_the_numbers_remembered_of_sas(residual, deviance, se, within):
    # From memory of SAS/STAT User's Guide, The MIXED Procedure, example Repeated Measures (Pothoff and
    # Roy 1964), not looked up: METHOD=ML, REPEATED / TYPE=UN; TYPE=CS; TYPE=CS GROUP=Gender, BETWITHIN.
    frame = table("orthodont_int").assign(age=lambda d: d["age"].astype(int))
    frame["Sex"] = pd.Categorical(frame["Sex"], ["Male", "Female"])
    fit = lmmkit.lmm("distance ~ Sex * age", frame, residual=residual, reml=False)
    found = fit.coef_table("between-within")
    assert round(fit.deviance, 1) == deviance
    np.testing.assert_allclose(found["se"], se, atol=6e-5)
    assert found["df"].tolist() == [25, 25, within, within]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_test_of_visits_in_complete_data_is_hotellings(seed):
    rng, n, k = np.random.default_rng(seed), 9, 3 + seed
    Y = rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) + np.arange(k)
    frame = pd.DataFrame({"y": Y.ravel(), "id": np.repeat(np.arange(n), k), "t": np.tile(np.arange(k), n)})
    fit = lmmkit.lmm("y ~ factor(t)", frame, residual="un(t | id)")
    change = Y[:, 1:] - Y[:, :1]
    mean = change.mean(axis=0)
    T2 = n * mean @ np.linalg.solve(np.cov(change.T), mean)
    for method in ("kenward-roger", "kenward-roger-observed"):
        test = fit.anova(3, method).iloc[0]
        assert test["F"] == pytest.approx(T2 * (n - k + 1) / ((n - 1) * (k - 1)), rel=1e-8)
        assert (test["num_df"], test["den_df"]) == (k - 1, pytest.approx(n - k + 1, rel=1e-8))


@pytest.mark.parametrize(("name", "value"), [("CHUNK", 1), ("MOST", 0)])
def test_sums_pattern_by_pattern_or_over_rows_are_the_same(monkeypatch, name, value):
    fit = fitted("un(visit | id, by=arm)")
    monkeypatch.setattr(f"lmmkit.engine.crossproducts.product_sources.{name}", value)
    other = lmmkit.lmm("y ~ arm * visit + x", trial(), residual="un(visit | id, by=arm)")
    for method in ("kenward-roger", "kenward-roger-observed", "satterthwaite"):
        one, two = fit.coef_table(method), other.coef_table(method)
        np.testing.assert_allclose(two[["se", "df"]], one[["se", "df"]], rtol=1e-9)


@pytest.mark.parametrize(
    "residual", ["cs(visit | id)", "toep(visit | id)", "ar1(visit | id)", "ad(visit | id)"]
)
def test_a_visit_at_which_nothing_varies_is_no_start_of_a_correlation(residual):
    frame = trial().assign(y=lambda d: np.where(d["t"] == 1, 5.0, d["y"]))
    centred = frame.assign(y=lambda d: d["y"] - 5.0)
    fit = lmmkit.lmm("y ~ 0", centred, residual=residual)
    written = dense_at(fit, residual, response=centred["y"].to_numpy())
    np.testing.assert_allclose(written.gradient, 0.0, atol=1e-5)
