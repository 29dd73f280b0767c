"""Predictions and their standard errors, against Henderson's equations written out in full."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.cases import fitted, table
from scipy.stats import t
from support.models import NAMES, crossed, fit

import lmmkit
from lmmkit import DataError, FitError
from lmmkit.engine.referee import henderson
from lmmkit.engine.referee.textbook import to_dense, write_out
from lmmkit.errors import PartialResult

Z95 = 1.959963984540054


def written_out(m):
    """The model with every matrix in full, and the joint covariance of its errors."""
    e = m.estimates
    model = to_dense(write_out(e.problem, e.kept, e.factors, e.sigma))
    errors = henderson.prediction_errors(model)
    C = np.block([[errors.beta, errors.cross], [errors.cross.T, errors.u]])
    return model, C


@pytest.mark.parametrize("name", NAMES)
def test_standard_errors_at_group_level_are_hendersons(name):
    m = fit(name)
    model, C = written_out(m)
    rows = np.hstack([model.X, model.Z])
    found = m.predict()
    np.testing.assert_allclose(found.fit, m.fittedvalues, rtol=1e-12)
    np.testing.assert_allclose(found.se, np.sqrt(np.einsum("ij,jk,ik->i", rows, C, rows)), rtol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_population_level_leaves_the_random_effects_out(name):
    m = fit(name)
    model, C = written_out(m)
    p = model.X.shape[1]
    found = m.predict(level="population")
    np.testing.assert_allclose(found.fit, m.estimates.marginal_fit, rtol=1e-12)
    [method] = {each.partition(":")[0] for each in m.coef_table()["method"]}
    vcov = {
        "kenward-roger": lambda: m.estimates.kenward_roger.adjusted.whole(),
        "unbounded": lambda: m.estimates.unbounded.information.vcov.whole(),
        "satterthwaite": lambda: C[:p, :p],
    }[method]()
    np.testing.assert_allclose(
        found.se, np.sqrt(np.einsum("ij,jk,ik->i", model.X, vcov, model.X)), rtol=1e-10
    )


def test_new_groups_add_the_variance_of_their_effects():
    m = fit("crossed")
    model, _ = written_out(m)
    population, new = m.predict(level="population"), m.predict(level="new")
    np.testing.assert_allclose(new.fit, population.fit)
    expected = population.se**2 + np.einsum("ij,jk,ik->i", model.Z, model.G, model.Z)
    np.testing.assert_allclose(new.se**2, expected, rtol=1e-10)


def test_confidence_and_prediction_intervals():
    """Of known levels they hold the uncertainty of theta, which standard errors do not."""
    m = fit("crossed")
    confidence, prediction = m.predict(interval="confidence"), m.predict(interval="prediction")
    ratio = (confidence.high - confidence.fit) / confidence.se
    assert ratio.between(Z95, 1.2 * Z95).all()
    noise = m.scale / m.design.problem.weights
    ratio = (prediction.high - prediction.fit) / np.sqrt(prediction.se**2 + noise)
    assert ratio.between(Z95, 1.05 * Z95).all()
    np.testing.assert_allclose(prediction.fit - prediction.low, prediction.high - prediction.fit)
    assert m.predict()[["low", "high"]].isna().all(axis=None)
    narrow = m.predict(interval="confidence", coverage=0.5)
    assert (narrow.high < confidence.high).all()


@pytest.mark.parametrize("level", ["group", "population", "new"])
def test_the_fits_own_rows_as_new_data_give_the_same(level):
    m = fit("crossed")
    pd.testing.assert_frame_equal(m.predict(level=level), m.predict(crossed(), level=level), rtol=1e-12)


def test_new_rows_keep_their_labels_and_need_no_response():
    rows = table("sleep_full").drop(columns="Reaction").iloc[[3, 1]]
    found = fit("sleep").predict(rows)
    assert list(found.index) == [3, 1]
    np.testing.assert_allclose(found.fit, fit("sleep").fittedvalues[[3, 1]], rtol=1e-12)


def test_unseen_level_is_an_error_that_names_it():
    rows = pd.DataFrame({"Days": [1.0, 2.0], "Subject": ["308", "999"]})
    with pytest.raises(DataError, match=r"Subject.*row 2"):
        fit("sleep").predict(rows)


def test_unseen_level_as_population_has_the_full_variance_of_its_effects():
    m = fit("sleep")
    rows = pd.DataFrame({"Days": [1.0, 2.0], "Subject": ["308", "999"]})
    found, new = m.predict(rows, new_levels="population"), m.predict(rows, level="new")
    np.testing.assert_allclose(found.iloc[1, :2], new.iloc[1, :2].astype(float), rtol=1e-12)
    assert found.fit[0] == pytest.approx(m.predict(rows.iloc[:1]).fit[0])


def test_missing_column_is_named():
    with pytest.raises(DataError, match="Days"):
        fit("sleep").predict(pd.DataFrame({"Subject": ["308"]}))


def test_level_new_needs_no_level_that_exists():
    found = fit("sleep").predict(pd.DataFrame({"Days": [0.0], "Subject": ["nobody"]}), level="new")
    assert found.fit[0] == pytest.approx(fit("sleep").params["Intercept"])


def test_transformed_columns_are_made_as_in_the_fit():
    frame = table("sleep_full")
    m = lmmkit.lmm("Reaction ~ bs(Days, df=4) + center(Days) + (1 | Subject)", frame)
    rows = frame.iloc[40:45]
    np.testing.assert_allclose(m.predict(rows).fit, m.fittedvalues.iloc[40:45], rtol=1e-10)


def test_predictions_of_many_rows_come_in_time():
    assert len(fitted("exam_slope", "REML").predict(interval="prediction")) == 4059


@pytest.mark.parametrize("level", ["population", "new"])
def test_levels_without_random_effects_of_their_own_need_no_grouping_columns(level):
    m = fit("crossed")
    rows = crossed().iloc[[5, 2]]
    found = m.predict(rows.drop(columns=["g", "h"]), level=level)
    pd.testing.assert_frame_equal(found, m.predict(rows, level=level))
    with pytest.raises(DataError, match="no column `g`"):
        m.predict(rows.drop(columns="g"))


def test_the_slopes_column_is_needed_where_its_variance_is():
    m = lmmkit.lmm("Reaction ~ 1 + (Days | Subject)", table("sleep_full"))
    empty = pd.DataFrame(index=[0])
    assert m.predict(empty.assign(other=1.0), level="population").fit[0] == pytest.approx(m.params.iloc[0])
    with pytest.raises(DataError, match="no column `Days`"):
        m.predict(empty.assign(other=1.0), level="new")


def test_bounds_lie_on_their_own_sides():
    for interval in ("confidence", "prediction"):
        found = fit("crossed").predict(interval=interval, coverage=0.9)
        assert (found.low < found.fit).all()
        np.testing.assert_allclose(found.low + found.high, 2 * found.fit)


def test_the_population_is_that_of_the_marginal_means():
    """Where a mean and a prediction are one quantity they have one standard error and one interval."""
    frame = table("machines_nested")
    m = lmmkit.lmm("score ~ Machine + (1 | Worker)", frame)
    rows = pd.DataFrame({"Machine": ["A", "B", "C"]})
    found, means = m.predict(rows, level="population", interval="confidence"), m.marginal_means("Machine")
    for mine, theirs in (("fit", "mean"), ("se", "se"), ("low", "low"), ("high", "high")):
        np.testing.assert_allclose(found[mine], means[theirs], rtol=1e-12)
    assert found.attrs["method"] == "kenward-roger"


def test_an_observation_of_the_population_is_one_of_new_levels():
    m = fit("crossed")
    one, other = (m.predict(level=level, interval="prediction") for level in ("population", "new"))
    pd.testing.assert_frame_equal(one, other)


def one_way(groups, rows, seed=0, sd=1.0):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), rows)
    return pd.DataFrame({"g": g, "y": 5 + sd * rng.normal(size=groups)[g] + rng.normal(size=g.size)})


def test_new_levels_in_a_one_way_layout_have_satterthwaites_degrees_of_freedom():
    """M (1 + 1/G) / n + S (1 - 1/n), M and S the mean squares on G - 1 and G (n - 1) degrees of freedom."""
    G, n = 7, 4
    frame = one_way(G, n)
    m = lmmkit.lmm("y ~ 1 + (1 | g)", frame)
    means = frame.groupby("g")["y"].mean()
    M, S = n * means.var(), frame.groupby("g")["y"].var().mean()
    assert m.varcorr["vcov"].tolist() == pytest.approx([(M - S) / n, S], rel=1e-8)
    for interval, other in (("confidence", -1 / n), ("prediction", 1 - 1 / n)):
        parts = np.array([M * (1 + 1 / G) / n, S * other])
        df = parts.sum() ** 2 / (parts**2 / [G - 1, G * (n - 1)]).sum()
        found = m.predict(frame[:1], level="new", interval=interval)
        half = t(df).ppf(0.975) * np.sqrt(parts.sum())
        assert (found.high - found.fit).item() == pytest.approx(half, rel=1e-8)


def test_known_levels_in_a_one_way_layout_have_prasad_and_raos_error():
    """v = S/n - h S^2 / (M n), g = h S^2 / (M n) (2 / (G - 1) + 2 / (G (n - 1))), h = (G - 1) / G."""
    G, n = 7, 4
    frame = one_way(G, n)
    m = lmmkit.lmm("y ~ 1 + (1 | g)", frame)
    M, S = n * frame.groupby("g")["y"].mean().var(), frame.groupby("g")["y"].var().mean()
    h, dfs = (G - 1) / G, np.array([G - 1, G * (n - 1)])
    v = S / n - h * S**2 / (M * n)
    g = h * S**2 / (M * n) * (2 / dfs).sum()
    slopes = np.array([h * S**2 / M**2 / n, 1 / n - 2 * h * S / (M * n)])
    spread = (slopes**2 * 2 * np.array([M, S]) ** 2 / dfs).sum()
    df = 2 * (v + 2 * g) ** 2 / spread * ((v + 2 * g) / v) ** 2
    found = m.predict(interval="confidence")
    np.testing.assert_allclose(found.se, np.sqrt(v), rtol=1e-8)
    np.testing.assert_allclose(found.high - found.fit, t(df).ppf(0.975) * np.sqrt(v + 2 * g), rtol=1e-7)


def test_a_group_whose_variance_is_estimated_as_zero_has_an_interval_of_more_than_the_mean():
    """Before, it was that of the grand mean: it held the group's mean in one data set of two."""
    frame = one_way(8, 5, seed=3, sd=0.0)
    m = lmmkit.lmm("y ~ 1 + (1 | g)", frame)
    assert m.is_singular
    found = m.predict(interval="confidence")
    assert ((found.high - found.fit) > 3 * found.se).all()
    assert np.isfinite(found.to_numpy()).all()


def test_an_empty_cell_and_an_aliased_column_have_no_prediction():
    """They had one, 32.83 or 39.34 by the coding."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": list("uv") * 30, "b": list("pqr") * 20, "g": np.repeat(np.arange(10), 6)})
    frame = frame[~((frame.a == "v") & (frame.b == "r"))].reset_index(drop=True)
    frame["y"] = rng.normal(size=10)[frame.g] + rng.normal(size=len(frame))
    frame["x"] = rng.normal(size=len(frame))
    frame["twice"] = 2 * frame["x"]
    rows = pd.DataFrame({"a": ["u", "v", "v"], "b": ["r", "p", "r"], "g": 0, "x": 1.0, "twice": 2.0})
    for contrasts in (None, {"a": "sum", "b": "sum"}):
        m = lmmkit.lmm("y ~ a * b + x + twice + (1 | g)", frame, contrasts=contrasts)
        for level in ("group", "population", "new"):
            with pytest.warns(PartialResult, match=r"1 of 3 rows, first row 3.*left out"):
                found = m.predict(rows, level=level, interval="confidence")
            assert found.isna().all(axis=1).tolist() == [False, False, True]
            assert "cannot estimate" in found.attrs["trouble"]
        with pytest.warns(PartialResult, match="2 of 2 rows, first row 1"):
            assert m.predict(rows[:2].assign(twice=0.0)).isna().all(axis=None)


def test_without_standard_errors():
    m = fit("crossed")
    found = m.predict(se=False)
    assert found[["se", "low", "high"]].isna().all(axis=None)
    np.testing.assert_array_equal(found.fit, m.predict().fit)
    with pytest.raises(FitError, match="se=False"):
        m.predict(se=False, interval="confidence")


def test_predictions_by_some_of_the_terms():
    m = fit("crossed")
    both, g, h, none = (m.predict(groups=groups) for groups in (["g", "h"], "g", ["h"], []))
    pd.testing.assert_frame_equal(both, m.predict())
    population = m.predict(level="population")
    np.testing.assert_allclose(none.fit, population.fit)
    np.testing.assert_allclose(g.fit + h.fit - none.fit, both.fit)
    model, C = written_out(m)
    Z = model.Z.copy()
    first = m.design.random[0]
    cut = first.grouping.size * len(first.names)
    Z[:, cut:] = 0.0
    rows = np.hstack([model.X, Z])
    assert first.factor == "g"
    np.testing.assert_allclose(g.se, np.sqrt(np.einsum("ij,jk,ik->i", rows, C, rows)), rtol=1e-8)
    rows = crossed().iloc[:5]
    pd.testing.assert_frame_equal(m.predict(rows.drop(columns="h"), groups="g"), g.iloc[:5])
    wide, narrow = (m.predict(groups=groups, interval="prediction") for groups in (["g"], None))
    assert (wide.high - wide.low).mean() > (narrow.high - narrow.low).mean()  # h is new to the observation


@pytest.mark.parametrize(
    ("options", "words"),
    [({"groups": "k"}, "groups='k' is not known"), ({"groups": "g", "level": "new"}, "leave it out")],
)
def test_groups_that_are_no_groups_are_refused(options, words):
    with pytest.raises(FitError, match=words):
        fit("crossed").predict(**options)


def test_many_rows_of_a_crossed_design_have_the_errors_of_few():
    """They share the inverse; a few rows are pushed through the elimination one by one."""
    rng = np.random.default_rng(0)
    n = 1_500
    frame = pd.DataFrame({"g": rng.integers(0, 200, n), "h": rng.integers(0, 30, n), "x": rng.normal(size=n)})
    frame["y"] = rng.normal(size=200)[frame.g] + rng.normal(size=30)[frame.h] * frame.x + rng.normal(size=n)
    for formula in ("y ~ x + (1 | g) + (1 | h)", "y ~ x + (x | g) + (x | h)"):
        m = lmmkit.lmm(formula, frame)
        whole = m.predict()
        for first in (0, 700):
            few = m.predict(frame.iloc[first : first + 20])
            np.testing.assert_allclose(few.se, whole.se.iloc[first : first + 20], rtol=1e-10)


@pytest.mark.parametrize("formula", ["Reaction ~ 0 + Days + (1 | Subject)", "Reaction ~ 0 + (1 | Subject)"])
def test_a_mean_that_is_known_has_an_interval_of_no_width(formula):
    m = lmmkit.lmm(formula, table("sleep_full"))
    found = m.predict(pd.DataFrame({"Days": [0.0]}), level="population", interval="confidence")
    assert found.to_numpy().tolist() == [[0.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize(("name", "said"), [("singular", True), ("sleep", False)])
@pytest.mark.parametrize("level", ["group", "new"])
def test_an_interval_of_means_near_a_zero_variance_says_that_it_covers_more(name, level, said):
    found = fit(name).predict(interval="confidence", level=level)
    assert ("near zero" in found.attrs["method"]) is said
    noise = fit(name).predict(interval="prediction", level=level)
    assert "near zero" not in noise.attrs["method"]


@pytest.mark.parametrize(("weight", "refused"), [(2.0, False), (0.0, True), (-1.0, True), (np.nan, True)])
def test_an_observation_has_the_weight_of_its_row_which_is_positive(weight, refused):
    m, rows = fit("crossed"), crossed()[:3].copy()
    rows["w"] = [1.0, weight, 4.0]
    if refused:
        with pytest.raises(DataError, match=r"weights: 1 of the new rows .* not positive, first in row 2"):
            m.predict(rows, level="new", interval="prediction")
        return
    tables = {kind: _new(m, rows, kind) for kind in ("confidence", "prediction")}
    half = {kind: (table["high"] - table["low"]).to_numpy() / 2.0 for kind, table in tables.items()}
    assert (half["prediction"] > half["confidence"]).all()
    errors = tables["confidence"]["se"].to_numpy() ** 2 + m.scale / rows["w"].to_numpy()
    shares = half["prediction"] / np.sqrt(errors)
    assert ((shares > Z95) & (shares < 2.3)).all()


def _new(m, rows, kind):
    return m.predict(rows, level="new", interval=kind)


def test_degrees_of_freedom_of_new_levels_are_one_at_least():
    """Two levels whose means differ a little more than their rows: by Satterthwaite it is 0.3."""
    frame = pd.DataFrame({"y": [-0.5, 1.5, -0.5, 1.5, -1.5, 0.5, -1.5, 0.5], "g": [*"aaaabbbb"]})
    m = lmmkit.lmm("y ~ 1 + (1 | g)", frame)
    assert 0.0 < m.varcorr["vcov"][0] < 0.3 * m.scale
    found = _new(m, frame[:1], "confidence").iloc[0]
    assert (found["high"] - found["low"]) / 2.0 == pytest.approx(t.ppf(0.975, 1.0) * found["se"], rel=1e-9)


def test_errors_of_several_memberships_are_those_of_any_chunks(monkeypatch):
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.choice(list("abcdef"), (40, 2)), columns=["first", "second"])
    frame["x"] = rng.normal(size=40)
    frame["y"] = frame["x"] + frame["first"].map(dict(zip("abcdef", rng.normal(size=6), strict=True)))
    m = lmmkit.lmm("y ~ x + (1 | mm(first, second))", frame.assign(y=frame["y"] + 0.5 * rng.normal(size=40)))
    whole = m.predict(frame)["se"]
    monkeypatch.setattr("lmmkit.model.prediction.CHUNK", 7)
    np.testing.assert_allclose(m.predict(frame)["se"], whole, rtol=1e-12)


def test_each_refusal_of_rows_says_where_and_what_to_do():
    sleep = fit("sleep")
    new = pd.DataFrame({"Days": [0.0, 1, 2], "Subject": ["308", "nobody", "none"]})
    with pytest.raises(DataError) as caught:
        sleep.predict(new)
    assert str(caught.value) == (
        "2 of the 3 rows have a level of `Subject` that the fit has not seen, first in row 2. Use "
        "new_levels='population' to give it random effects of zero, level='new' to predict for new levels, "
        "or "
        "leave these rows out."
    )
    with pytest.raises(FitError) as caught:
        sleep.predict(new, level="population", groups="Subject")
    assert str(caught.value) == (
        "groups: at level='population' no random effects count; leave it out, or use 'group'."
    )
    with pytest.raises(FitError) as caught:
        sleep.predict(interval="confidence", se=False)
    assert str(caught.value) == "interval='confidence' is made of standard errors: leave se=False out."


def test_a_mean_among_correlated_residuals_says_what_it_does_not_use():
    data = fit("sleep").design.frame
    plain = lmmkit.lmm("Reaction ~ Days", data, residual="cs(1 | Subject)")
    assert plain.predict().attrs["note"] == (
        "The mean does not borrow from the residuals of other rows of the same subject, though they are "
        "correlated; "
        "an observation has the variance that its own columns give it."
    )
    assert fit("sleep").predict().attrs["note"] == ""
    with pytest.raises(FitError) as caught:
        plain.predict(groups="Subject")
    assert str(caught.value) == (
        "groups: this model has no random effects whose groups could count; leave it out."
    )
    halves = lmmkit.lmm(
        "Reaction ~ Days + (1 | Subject)", data.assign(h=list("uv") * 90), residual="ident(h)"
    )
    assert halves.predict().attrs["note"] == ""
    assert (
        halves.predict(interval="confidence").attrs["method"] == "theta and the residual structure as known"
    )


def test_the_uncertainty_of_theta_is_carried_where_it_is_known():
    table = pd.DataFrame(
        {"y": np.sin(np.arange(40.0)) + np.arange(40) // 4 % 3, "g": [f"g{i // 4}" for i in range(40)]}
    )
    plain = lmmkit.lmm("y ~ 1 + (1 | g)", table).predict(interval="confidence")
    assert plain.attrs["method"].startswith("satterthwaite, with the uncertainty of theta")
    labels = sorted(set(table["g"]))
    related = pd.DataFrame(np.eye(10) + 0.2, index=labels, columns=labels)
    found = lmmkit.lmm("y ~ 1 + (1 | g)", table, known={"g": related}).predict(interval="confidence")
    assert found.attrs["method"] == "theta as known"
