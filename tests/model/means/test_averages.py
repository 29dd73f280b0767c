"""Averages of predictions, slopes and comparisons over rows, against dense algebra."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from reference.unbalanced import DATA, unbalanced
from scipy.linalg import block_diag

import lmmkit
from lmmkit.model.means.averages import row_averages

INTERACTION = "y ~ a * x + b + I(x^2) + (x | g)"
COLUMNS = ["estimate", "se", "df", "t", "p", "low", "high"]


@functools.cache
def fit_of(formula, number=2, weights=None):
    return lmmkit.lmm(formula, frame(number), weights=weights)


def frame(number):
    return pd.read_csv(DATA / f"unbalanced_{number}.csv").assign(odd=lambda d: d.index % 2 == 1)


def dense(fit):
    """X, Z, G and R in full, the random effects' columns by term, level and column."""
    problem, e = fit.design.problem, fit.estimates
    blocks, G = [], []
    for t, term in enumerate(problem.terms):
        Z = np.column_stack([problem.columns[c] for c in term.columns])
        one = np.zeros((len(Z), term.codes.max() + 1, Z.shape[1]))
        one[np.arange(len(Z)), term.codes] = Z
        blocks.append(one.reshape(len(Z), -1))
        G += [e.covariance(t)] * one.shape[1]
    w = np.ones(fit.nobs) if problem.weights is None else problem.weights
    return e.X, np.hstack(blocks), block_diag(*G), e.sigma**2 * np.diag(1 / w)


def error_variance(fit, k, m):
    """var(k'beta-hat + m'b-hat - k'beta - m'b), theta being known."""
    X, Z, G, R = dense(fit)
    V = np.linalg.inv(Z @ G @ Z.T + R)
    Phi = np.linalg.inv(X.T @ V @ X)
    d = k - X.T @ V @ Z @ G @ m
    return m @ (G - G @ Z.T @ V @ Z @ G) @ m + d @ Phi @ d


def by_rows(fit, mask):
    return fit.estimates.X[mask].mean(axis=0), dense(fit)[1][mask].mean(axis=0)


@pytest.mark.parametrize("df", ["kenward-roger", "satterthwaite", "containment"])
def test_average_predictions_are_the_average_rows(df):
    fit = fit_of(INTERACTION)
    found = fit.avg_predictions(by="a", df=df)
    for level in "ABC":
        row = fit.contrast(by_rows(fit, frame(2)["a"] == level)[0], df).iloc[0]
        np.testing.assert_allclose(found.loc[level, COLUMNS], row[COLUMNS], rtol=1e-9)
    assert list(found.columns) == COLUMNS
    assert found.attrs["method"] == df
    whole = fit.avg_predictions(df=df)
    assert whole.index.tolist() == ["overall"]
    assert whole["estimate"].item() == pytest.approx(fit.predict(level="population")["fit"].mean(), rel=1e-10)


@pytest.mark.parametrize(
    ("formula", "number", "weights"),
    [
        (INTERACTION, 2, None),
        ("y ~ a * b + (1 | g) + (1 | h)", 3, None),
        ("y ~ a + x + (1 | g) + (0 + x | g)", 1, "w"),
        ("y ~ a + (1 | g/k)", 4, None),
    ],
)
def test_at_group_level_the_error_is_that_of_dense_algebra(formula, number, weights):
    fit, data = fit_of(formula, number, weights), frame(number)
    found = fit.avg_predictions(by="c2", level="group", df="normal")
    for level, row in found.iterrows():
        mask = (data["c2"] == level).to_numpy()
        k, m = by_rows(fit, mask)
        assert row["estimate"] == pytest.approx(fit.fittedvalues[mask].mean(), rel=1e-9)
        assert row["se"] ** 2 == pytest.approx(error_variance(fit, k, m), rel=1e-7)
        assert row["df"] == np.inf


def test_at_group_level_one_row_is_its_prediction():
    fit, data = fit_of(INTERACTION), frame(2)
    row = data.iloc[[5]]
    found = fit.avg_predictions(newdata=row, level="group").iloc[0]
    expected = fit.predict(row, interval="confidence").iloc[0]
    np.testing.assert_allclose(
        found[["estimate", "low", "high"]], expected[["fit", "low", "high"]], rtol=1e-7
    )
    assert found["df"] < np.inf


def test_average_slopes_of_a_curve_are_its_derivative():
    fit, data = fit_of(INTERACTION), frame(2)
    found = fit.avg_slopes("x", by="a", df="satterthwaite")
    for level, part in data.groupby("a"):
        extra = f" + a[T.{level}]:x" if level != "A" else ""
        row = fit.contrast(f"x + {2 * part['x'].mean()} * I(x^2){extra}", "satterthwaite").iloc[0]
        np.testing.assert_allclose(found.loc[("x", "dY/dX", level), COLUMNS], row[COLUMNS], rtol=1e-6)


def test_at_group_level_slopes_have_the_random_slopes_of_their_rows():
    fit, data = fit_of(INTERACTION), frame(2)
    found = fit.avg_slopes("x", by="g", level="group", df="normal")
    g = data["g"].iloc[0]
    part = data[data["g"] == g]
    names = fit.params.index.tolist()
    k = np.zeros(len(names))
    k[names.index("x")], k[names.index("I(x^2)")] = 1.0, 2 * part["x"].mean()
    for level in "BC":
        k[names.index(f"a[T.{level}]:x")] = (part["a"] == level).mean()
    m = np.zeros((fit.ngroups["g"], 2))
    m[fit.ranef["g"].index.get_loc(g), 1] = 1.0
    row = found.loc[("x", "dY/dX", g)]
    assert row["estimate"] == pytest.approx(k @ fit.params + fit.ranef["g"].loc[g, "x"], rel=1e-6)
    assert row["se"] ** 2 == pytest.approx(error_variance(fit, k, m.ravel()), rel=1e-5)


def test_factors_are_compared_level_by_level():
    fit, data = fit_of(INTERACTION), frame(2)
    found = fit.avg_comparisons({"a": "pairwise", "b": ("V", "W")}, df="residual")
    assert found.index.tolist() == [("a", "B - A"), ("a", "C - A"), ("a", "C - B"), ("b", "W - V")]
    x = data["x"].mean()
    expected = fit.contrast({"a[T.B]": 1, "a[T.B]:x": x}, "residual").iloc[0]
    np.testing.assert_allclose(found.loc[("a", "B - A"), COLUMNS], expected[COLUMNS], rtol=1e-9)
    steps = fit.avg_comparisons({"a": "sequential"}, df="residual")
    assert steps.index.tolist() == [("a", "B - A"), ("a", "C - B")]
    whole = fit.avg_comparisons(df="residual")
    assert whole.index.get_level_values(0).tolist() == ["a", "a", "x", "b", "b"]


@pytest.mark.parametrize("how", [1, -2.5, (1, 4), "sd", "iqr", "minmax"])
def test_covariates_change_as_asked(how):
    fit, x = fit_of(INTERACTION), frame(2)["x"]
    found = fit.avg_comparisons({"x": how}, df="residual", by="a").loc[("x",)].droplevel(0)
    low, high = {
        "sd": (x - x.std() / 2, x + x.std() / 2),
        "iqr": tuple(x.quantile([0.25, 0.75])),
        "minmax": (x.min(), x.max()),
    }.get(how) or (how if isinstance(how, tuple) else (x, x + how))
    for level in "ABC":
        part = frame(2)["a"] == level
        data = frame(2)
        up = fit.predict(data.assign(x=high)[part], level="population", se=False)["fit"].mean()
        down = fit.predict(data.assign(x=low)[part], level="population", se=False)["fit"].mean()
        assert found.loc[level, "estimate"] == pytest.approx(up - down, rel=1e-8)


def test_truth_values_offsets_and_transformed_responses():
    data = frame(2).assign(z2=lambda d: 2 * d["x"], u=lambda d: np.exp(d["y"]))
    fit = lmmkit.lmm("log(u) ~ a + x * odd + offset(z2) + (1 | g)", data)
    found = fit.avg_comparisons("odd", df="residual")
    assert found.index.tolist() == [("odd", "True - False")]
    offset = lmmkit.lmm("y ~ a + x + offset(2 * x) + (1 | g)", data)
    assert offset.avg_slopes("x")["estimate"].item() == pytest.approx(offset.params["x"] + 2, rel=1e-7)
    vector = lmmkit.lmm("y ~ a + x + (1 | g)", data, offset=np.arange(len(data)) * 1.0)
    predicted = vector.predict(level="population")["fit"].mean()
    assert vector.avg_predictions()["estimate"].item() == pytest.approx(predicted, rel=1e-10)


def test_weights_of_rows():
    fit, data = fit_of(INTERACTION), frame(2)
    found = fit.avg_predictions(weights="w", df="residual")
    expected = np.average(fit.predict(level="population")["fit"], weights=data["w"])
    assert found["estimate"].item() == pytest.approx(expected, rel=1e-10)
    pd.testing.assert_frame_equal(found, fit.avg_predictions(weights=data["w"].to_numpy(), df="residual"))


def test_rows_that_the_data_cannot_estimate_are_nan_with_their_reason():
    fit = unbalanced(19)
    rows = pd.DataFrame({"a": ["A", "C"], "b": ["U", "W"]})
    found = fit.avg_predictions(by="a", newdata=rows)
    assert found.loc["C"].isna().all()
    assert found["estimate"].notna().tolist() == [True, False]
    assert "cannot estimate: C" in found.attrs["trouble"]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda f: f.avg_predictions("A"), "did you mean `a`"),
        (lambda f: f.avg_predictions(by=5), "a name is expected"),
        (lambda f: f.avg_slopes([1]), "a name is expected"),
        (lambda f: f.avg_comparisons(5.0), "a name is expected"),
        (lambda f: f.avg_predictions(weights="ww"), "no column `ww`"),
        (lambda f: f.avg_predictions(weights=[1, 2]), "98 numbers from 0 up"),
        (lambda f: f.avg_predictions(level="new"), "Choose one of: 'population', 'group'"),
        (
            lambda f: f.avg_predictions(level="group", df="kenward-roger"),
            "Choose one of: 'auto', 'satterthwaite'",
        ),
        (lambda f: f.avg_predictions(coverage=95), "between 0 and 1"),
        (lambda f: f.avg_predictions(df="kr"), "Choose one of"),
        (lambda f: f.avg_slopes("X"), "did you mean `x`"),
        (lambda f: f.avg_slopes("g"), "no variable of the fixed part"),
        (lambda f: f.avg_comparisons({"x": "pairwise"}), "is a covariate: a number"),
        (lambda f: f.avg_comparisons({"x": 0}), "is a covariate: a number"),
        (lambda f: f.avg_comparisons({"a": "sd"}), "is a factor: choose one of"),
        (lambda f: f.avg_comparisons({"a": ("A", "Q")}), "two of its levels"),
        (lambda f: f.avg_predictions(newdata=frame(2).iloc[:0]), "no rows"),
        (lambda f: f.avg_predictions(newdata=frame(2).drop(columns="x")), "no column `x`"),
        (lambda f: f.avg_predictions(newdata=frame(2).assign(a="Z")), "has not seen"),
        (lambda f: f.avg_predictions(newdata=frame(2).assign(g="Z"), level="group"), "has not seen"),
        (lambda f: f.avg_predictions(newdata=5), "table"),
    ],
)
def test_what_is_not_there_is_refused_with_words(ask, words):
    with pytest.raises(lmmkit.LmmkitError, match=words):
        ask(fit_of(INTERACTION))


def test_a_grouping_factor_that_would_change_with_the_variable_is_refused():
    fit = lmmkit.lmm("y ~ b + (1 | b:g)", frame(3))
    with pytest.raises(lmmkit.LmmkitError, match=r"part of a grouping factor|has not seen"):
        fit.avg_comparisons("b", level="group")
    assert len(fit.avg_comparisons("b")) == 2


def test_of_rows_that_cannot_be_estimated_five_are_named():
    fit = unbalanced(19)
    rows = pd.DataFrame({"a": "C", "b": "W", "of": [f"r{i}" for i in range(6)]})
    told = "rows of the table are NaN, which these data cannot estimate"
    assert fit.avg_predictions(newdata=rows).attrs["trouble"] == f"1 {told}: overall."
    several = fit.avg_predictions(by="of", newdata=rows).attrs["trouble"]
    assert several == f"6 {told}: r0, r1, r2, r3, r4."
    fine = rows.iloc[:2].assign(a=["A", "C"])
    two = fit.avg_predictions(by=["a", "of"], newdata=fine)
    assert two.attrs["trouble"] == f"1 {told}: C r1."
    assert two.attrs["level"] == 0.95
    assert fit.avg_predictions(newdata=fine.iloc[:1]).attrs["trouble"] == ""


@pytest.mark.parametrize("weights", [[-1.0] + [1.0] * 97, [0.0] * 98, [np.nan] + [1.0] * 97, ["a"] * 98])
def test_weights_are_numbers_from_zero_up(weights):
    with pytest.raises(lmmkit.FitError) as caught:
        fit_of(INTERACTION).avg_predictions(weights=weights)
    assert str(caught.value) == "weights: 98 numbers from 0 up, not all 0, are expected, one for each row."


def test_a_missing_value_of_by_is_counted():
    rows = frame(2).assign(part=[None, None, *["p"] * 96])
    with pytest.raises(lmmkit.DataError, match=r"^by: column `part` is missing in 2 of the rows; fill it"):
        fit_of(INTERACTION).avg_predictions(by="part", newdata=rows)


def test_an_offset_that_was_given_beside_is_asked_of_other_rows():
    data = frame(2).assign(z=lambda d: 2 * d["x"])
    fit = lmmkit.lmm("y ~ a + x + (1 | g)", data, offset="z")
    more = fit.avg_predictions(newdata=data.assign(z=data["z"] + 1.5))["estimate"].item()
    assert more == pytest.approx(fit.avg_predictions()["estimate"].item() + 1.5)
    with pytest.raises(lmmkit.DataError, match=r"^The rows lack the offset `z` of the fit: give it"):
        fit.avg_predictions(newdata=data.drop(columns="z"))


def test_a_slope_of_a_basis_with_ends_is_that_of_its_parabola_there():
    """Average of 2 x over rows up to the ends, where a step beyond is refused."""
    data = frame(2)
    fit = lmmkit.lmm("y ~ a + bs(x, degree=2) + (1 | g)", data)
    plain = lmmkit.lmm("y ~ a + x + I(x^2) + (1 | g)", data)
    for rows in (None, data.nlargest(3, "x")):
        ours, theirs = (row_averages(each.estimates, by=None, newdata=rows, level="population", weights=None,
                                     df="normal", coverage=0.9) for each in (fit, plain))  # fmt: skip
        slopes = [of.slope("x") @ each.estimates.beta for of, each in ((ours, fit), (theirs, plain))]
        assert slopes[0] == pytest.approx(slopes[1], rel=1e-6)
