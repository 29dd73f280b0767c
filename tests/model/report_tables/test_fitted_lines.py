"""Lines of a picture are predictions along one column: no zigzags, no other column, no line through rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.model.report_tables.fitted_lines import fitted_lines, focus_means
from lmmkit.model.report_tables.panels import PanelChoice, choose_panels, focus_columns, panel_rows

CHOICE = PanelChoice("y", "x", "g", ("g",))


@pytest.fixture(scope="module")
def data():
    """Groups in which x and z vary, but for one in which x stands still; f by group, h within."""
    random = np.random.default_rng(8)
    g, x = np.repeat(np.arange(9), 8), np.tile(np.arange(8.0), 9)
    x[g == 4] = 3.0
    frame = pd.DataFrame({"x": x, "z": random.normal(50, 9, 72), "f": np.where(g % 2, "b", "a")})
    frame["h"] = np.array(["u", "v", "v"])[np.arange(72) % 3]
    frame["g"] = [f"g{k}" for k in g]
    frame["w"], frame["area"] = random.integers(1, 5, 72), random.uniform(1, 4, 72)
    frame["k"] = [f"k{k % 5}" for k in range(72)]
    noise = random.normal(size=(2, 9))[:, g]
    frame["y"] = 20 + 2 * x + 0.3 * frame["z"] + 3 * noise[0] + noise[1] * x + random.normal(size=72)
    frame["n"] = np.exp(0.05 * frame["y"])
    return frame


def straight(curve):
    """Whether points lie on one line."""
    slopes = np.diff(curve["fitted"]) / np.diff(curve["x"])
    return np.ptp(slopes) < 1e-9


@pytest.mark.parametrize(
    "formula", ["y ~ x + z + (x | g)", "y ~ x + z * h + (1 | g)", "y ~ x * f + z + (x || g)"]
)
def test_lines_are_straight_where_other_columns_vary(data, formula):
    curves = fitted_lines(lmm(formula, data), data, CHOICE, level=0.95).curves
    for panel, curve in curves.groupby("panel", observed=True):
        assert np.isnan(curve["fitted"]).all() if panel == "g4" else straight(curve)


def test_a_line_is_the_prediction_at_typical_values_with_its_band(data):
    fit = lmm("y ~ x + z + f + h + (x | g)", data)
    model = fitted_lines(fit, data, CHOICE, level=0.9)
    assert model.held == [
        {"name": "z", "value": pytest.approx(data["z"].mean())},
        {"name": "h", "cell": "h: v"},
    ]
    assert model.own == ["f"]
    curve = model.curves[model.curves["panel"] == "g3"]
    assert (curve["x"].min(), curve["x"].max()) == (0, 7)
    rows = pd.DataFrame({"x": curve["x"], "z": data["z"].mean(), "f": "b", "h": "v", "g": "g3"})
    asked = {"interval": "confidence", "coverage": 0.9}
    expected = fit.predict(rows, level="group", **asked)
    for drawn, name in (("fitted", "fit"), ("low", "low"), ("high", "high")):
        np.testing.assert_allclose(curve[drawn], expected[name], rtol=1e-12)
    np.testing.assert_allclose(curve["population"], fit.predict(rows, level="population")["fit"], rtol=1e-12)


def test_a_group_in_which_the_column_stands_still_has_the_line_of_the_population(data):
    fit = lmm("y ~ x + z + (x | g)", data)
    model = fitted_lines(fit, data, CHOICE, level=0.95)
    curve = model.curves[model.curves["panel"] == "g4"]
    assert curve["fitted"].isna().all()
    assert (curve["x"].min(), curve["x"].max()) == (0, 7)
    rows = pd.DataFrame({"x": curve["x"], "z": data["z"].mean()})
    expected = fit.predict(rows, level="population", interval="confidence")
    np.testing.assert_allclose(
        curve[["population", "low", "high"]], expected[["fit", "low", "high"]], rtol=1e-12
    )
    assert (model.to_dict()["panels"], model.to_dict()["panels without"]) == (9, 1)


def test_a_factor_has_the_means_of_the_cells_that_a_group_has_observed(data):
    fit = lmm("y ~ h + x + (h | g)", data)
    some = data[~((data["g"] == "g2") & (data["h"] == "u"))]
    model = fitted_lines(
        lmm("y ~ h + x + (1 | g)", some), some, PanelChoice("y", "h", "g", ("g",)), level=0.95
    )
    cells = model.curves.groupby("panel", observed=True)["x"].agg(list)
    assert cells["g2"] == ["v"]
    assert cells["g3"] == ["u", "v"]
    whole = fitted_lines(fit, data, PanelChoice("y", "h", "g", ("g",)), level=0.95)
    assert len(whole.curves) == 18
    assert whole.curves["fitted"].notna().all()


def test_transformed_responses_curves_and_offsets(data):
    fit = lmm("log(1 + n) ~ poly(x, 2) + scale(z) + offset(log(area)) + (1 | g)", data, weights="w")
    model = fitted_lines(fit, data, PanelChoice("n", "x", "g", ("g",)), level=0.95)
    assert model.response == "log(1 + n)"
    np.testing.assert_allclose(model.points["y"], np.log1p(data["n"])[model.points.index], rtol=1e-10)
    assert [each["name"] for each in model.held] == ["z", "area"]
    curve = model.curves[model.curves["panel"] == "g0"]
    rows = pd.DataFrame({"x": curve["x"], "z": data["z"].mean(), "area": data["area"].mean(), "g": "g0"})
    np.testing.assert_allclose(curve["fitted"], fit.predict(rows, level="group")["fit"], rtol=1e-12)


def test_an_offset_in_a_column_is_held_too(data):
    fit = lmm("y ~ x + (1 | g)", data, offset="area")
    model = fitted_lines(fit, data, CHOICE, level=0.95)
    assert model.held == [{"name": "area", "value": pytest.approx(data["area"].mean())}]
    assert all(
        straight(curve) for panel, curve in model.curves.groupby("panel", observed=True) if panel != "g4"
    )


def test_effects_of_factors_that_cross_the_panels_are_left_out(data):
    fit = lmm("y ~ x + z + (x | g) + (1 | k)", data)
    curve = fitted_lines(fit, data, CHOICE, level=0.95).curves.query("panel == 'g1'")
    rows = pd.DataFrame({"x": curve["x"], "z": data["z"].mean(), "g": "g1"})
    np.testing.assert_allclose(
        curve["fitted"], fit.predict(rows, level="group", groups="g")["fit"], rtol=1e-12
    )
    assert straight(curve)


def test_grouping_factors_along_the_axis_have_their_own_effects(data):
    fit = lmm("y ~ 1 + (1 | g) + (1 | k)", data)
    choice = choose_panels(data, "y", {"g": ["g"], "k": ["k"]})
    assert choice == PanelChoice("y", "k", "g", ("g",))
    curves = fitted_lines(fit, data, choice, level=0.95).curves
    first = curves.iloc[0]
    row = pd.DataFrame({"g": [str(first["panel"])], "k": [first["x"]]})
    assert first["fitted"] == pytest.approx(fit.predict(row, level="group")["fit"].item())


def test_without_random_effects_the_line_is_that_of_the_population(data):
    fit = lmm("y ~ x * f", data, residual="cs(1 | g)")
    model = fitted_lines(fit, data, CHOICE, level=0.95)
    assert model.curves["fitted"].isna().all()
    assert model.own == ["f"]
    assert model.to_dict()["panels without"] == 9


def test_means_along_the_focus_are_those_of_the_table_of_means(data):
    fit = lmm("y ~ x * f + z + h + (x | g)", data)
    means = focus_means(fit, "x", df="auto", level=0.95)
    assert (means.by, means.averaged) == (["f"], ["h"])
    assert means.held == [{"name": "z", "value": pytest.approx(data["z"].mean())}]
    last = means.table[(means.table["by f"] == "b") & (means.table["x"] == 7)]
    expected = fit.marginal_means("x", "f", at={"x": [7.0]}).loc[(7.0, "b")]
    for name in ("mean", "low", "high"):
        assert last[name].item() == pytest.approx(expected[name])


def test_a_covariate_that_moderates_is_at_its_mean_and_one_sd_to_either_side(data):
    means = focus_means(lmm("y ~ x * z + (1 | g)", data), "x", df="auto", level=0.95)
    z = data["z"]
    np.testing.assert_allclose(
        means.table["by z"].unique(), [z.mean() - z.std(), z.mean(), z.mean() + z.std()]
    )


def test_a_column_outside_the_fixed_part_has_no_mean(data):
    assert focus_means(lmm("y ~ z + (1 | g)", data), "x", df="auto", level=0.95) is None


GROUPS = {"g": ["g"], "k": ["k"]}


@pytest.mark.parametrize(
    ("focus", "x"),
    [
        (None, "f"),
        ("x", "x"),
        ("h[T.v]", "h"),
        ("h[T.v]:x", "x"),
        ("h:f", "h"),
        ("poly(x, 2)", "x"),
        ("log(area)", "area"),
        ("Intercept", "f"),
        ("a typo", "f"),
    ],
)
def test_the_axis_is_the_focus_or_the_first_predictor(data, focus, x):
    predictors = ["f", "h", "x", "area"]
    assert choose_panels(data, "y", GROUPS, predictors, focus).x == x


def test_no_column_beyond_the_model_is_shown(data):
    assert choose_panels(data, "y", {"g": ["g"]}, [], "z").x == "g"
    assert choose_panels(data[["y", "z"]], "y", {}).x == ""
    assert panel_rows(data[["y", "z"]], PanelChoice("y", "", "", ()))["x"].unique().tolist() == ["all rows"]


def test_columns_of_a_focus():
    assert focus_columns("arm[T.drug]:visit[w8]", ["visit", "arm", "drug"]) == ["arm", "visit"]
    assert focus_columns("I(x^2)", ["x2", "x"]) == ["x"]
    assert focus_columns("", ["x"]) == []
