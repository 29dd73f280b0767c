"""Fits with a residual structure: what they answer, what they refuse, how they are saved and drawn from."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

import lmmkit
from lmmkit.errors import DataError, FitError, PartialResult
from lmmkit.model import storage

STRUCTURES = [
    "un(v | id)",
    "cs(v | id)",
    "csh(v | id)",
    "toep(v | id)",
    "toeph(v | id)",
    "ar1(v | id)",
    "ar1h(v | id)",
    "ad(v | id)",
    "adh(v | id)",
    "ident(arm)",
    "ident(arm) * ar1(v | id)",
    "un(v | id, by=arm)",
    "cs(v | id, by=arm)",
    "ar1(1 | id)",
]
FORMULA = "y ~ arm + v"


def visits(subjects: int = 36, *, drop: float = 0.15, seed: int = 8) -> pd.DataFrame:
    """Subjects of two arms at three visits, correlated, with dropout."""
    draw = np.random.default_rng(seed)
    root = np.array([[1.0, 0, 0], [0.7, 1.1, 0], [0.4, 0.8, 1.3]])
    e = draw.standard_normal((subjects, 3)) @ root.T
    frame = pd.DataFrame(
        {
            "id": np.repeat([f"s{i:02d}" for i in range(subjects)], 3),
            "arm": np.repeat(np.where(np.arange(subjects) % 2, "new", "old"), 3),
            "v": np.tile(["a", "b", "c"], subjects),
            "y": np.add(e, (5.0, 6.0, 8.0)).ravel(),
            "w": draw.uniform(0.5, 2.0, 3 * subjects),
        }
    )
    lost = (frame["v"] == "c") & (draw.random(len(frame)) < 3 * drop)
    return frame[~lost].reset_index(drop=True)


def fitted(residual: str, data: Any = None, formula: str = FORMULA, **options: Any) -> lmmkit.Fit:
    return lmmkit.lmm(formula, visits() if data is None else data, residual=residual, **options)


@pytest.fixture(scope="module", params=STRUCTURES)
def structured(request: pytest.FixtureRequest) -> lmmkit.Fit:
    return fitted(request.param)


def test_without_random_effects_their_faces_are_empty(structured: lmmkit.Fit) -> None:
    assert structured.ranef == {}
    assert structured.ranef_se == {}
    assert structured.theta.empty
    assert not structured.is_singular
    assert structured.converged
    with pytest.raises(FitError, match="share of the variance of random effects, and this model has none"):
        structured.icc()
    with pytest.raises(FitError, match="the model has none"):
        structured.rlrt()
    assert list(structured.r2().index) == ["marginal"]


def test_every_parameter_is_counted(structured: lmmkit.Fit) -> None:
    count = len(structured.params) + len(structured.residual_params) + 1
    assert structured.npar == count
    assert structured.aic == pytest.approx(structured.deviance + 2 * count, rel=1e-14)
    assert structured.bic == pytest.approx(structured.deviance + count * np.log(structured.nobs), rel=1e-14)


def covariance(fit: lmmkit.Fit) -> np.ndarray[Any, Any]:
    """(n, n) covariance matrix of the rows, from the table of variances and covariances alone."""
    table, names = fit.varcorr, fit.design.residual.cell_names
    V = np.zeros((fit.nobs, fit.nobs))
    cells, owners = fit.estimates.problem.residual.cells, fit.estimates.problem.residual.subjects
    known = {(row["var1"], row["var2"]): row["vcov"] for row in table.to_dict("records")}
    for i, a in enumerate(cells):
        for j, b in enumerate(cells):
            if i == j:
                V[i, j] = known[names[a], None]
            elif owners[i] == owners[j]:
                V[i, j] = known.get((names[a], names[b]), known.get((names[b], names[a]), 0.0))
    return V


def test_the_table_of_variances_is_the_model(structured: lmmkit.Fit) -> None:
    """The likelihood from its definition, by the variances and covariances that are printed."""
    V, X, y = covariance(structured), structured.estimates.X, structured.estimates.problem.response
    inverse = np.linalg.inv(V)
    r = y - X @ structured.params.to_numpy()
    logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(X.T @ inverse @ X)[1]
    nu = structured.nobs - X.shape[1]
    assert structured.deviance == pytest.approx(nu * np.log(2 * np.pi) + logs + r @ inverse @ r, abs=1e-8)


def test_residuals_of_each_kind_follow_from_that_table(structured: lmmkit.Fit) -> None:
    V, raw = covariance(structured), structured.residuals().to_numpy()
    assert structured.resid.to_numpy() == pytest.approx(raw)
    assert structured.residuals("marginal").to_numpy() == pytest.approx(raw)
    assert structured.residuals("pearson").to_numpy() == pytest.approx(raw / np.sqrt(np.diag(V)))
    free = structured.residuals("normalised").to_numpy()
    assert free == pytest.approx(np.linalg.solve(np.linalg.cholesky(V), raw), abs=1e-10)
    with pytest.raises(FitError, match="kind='raw'"):
        structured.residuals("raw")  # pyright: ignore[reportArgumentType]


def test_a_permutation_of_rows_changes_nothing() -> None:
    data = visits()
    mixed = data.sample(frac=1.0, random_state=1)
    for residual in ("toeph(v | id)", "ident(arm) * cs(v | id)", "un(v | id, by=arm)"):
        first, again = fitted(residual, data), fitted(residual, mixed)
        assert again.deviance == pytest.approx(first.deviance, abs=1e-8)
        order = first.residuals("normalised").loc[mixed.index]
        assert again.residuals("normalised").to_numpy() == pytest.approx(order.to_numpy(), abs=1e-6)


def test_weights_divide_the_variances() -> None:
    """As mmrm: W^-1/2 R W^-1/2."""
    fit = fitted("ar1(v | id)", weights="w")
    weights = visits()["w"].to_numpy()
    assert fit.residuals("pearson").to_numpy() == pytest.approx(
        fit.resid.to_numpy() * np.sqrt(weights) / fit.sigma
    )
    drawn = fit.simulate(4_000, seed=3) - fit.fittedvalues.to_numpy()[:, None]
    assert drawn.var(axis=1) == pytest.approx(fit.sigma**2 / weights, rel=0.15)


def test_random_effects_have_these_residuals_too() -> None:
    fit = lmmkit.lmm("y ~ arm + v + (1 | id)", visits(), weights="w")
    pearson = fit.resid / fit.sigma * np.sqrt(visits()["w"])
    assert fit.residuals("pearson").to_numpy() == pytest.approx(pearson.to_numpy())
    assert fit.residuals("normalised").to_numpy() == pytest.approx(pearson.to_numpy())
    assert fit.residuals("marginal").to_numpy() == pytest.approx(
        visits()["y"].to_numpy() - fit.estimates.marginal_fit
    )


@pytest.mark.parametrize("residual", ["un(v | id)", "ident(arm) * ar1(v | id)", "cs(v | id, by=arm)"])
def test_responses_are_drawn_with_the_covariances_of_the_model(residual: str) -> None:
    fit = fitted(residual, visits(6, drop=0.3))
    drawn = fit.simulate(40_000, seed=5) - fit.fittedvalues.to_numpy()[:, None]
    V = covariance(fit)
    size = np.sqrt(np.outer(np.diag(V), np.diag(V)))
    assert np.abs(np.cov(drawn) - V).max() < 0.03 * size.max()


def test_a_response_drawn_is_the_same_whatever_else_is_drawn() -> None:
    fit = fitted("toep(v | id)")
    assert (fit.simulate(5, seed=2)[:, :2] == fit.simulate(2, seed=2)).all()


def test_the_bootstrap_refits_each_response_that_simulate_draws() -> None:
    fit = fitted("csh(v | id)")
    table = fit.bootstrap(3, seed=11)
    drawn = fit.simulate(3, seed=11)
    for i in range(3):
        again = fit.refit(drawn[:, i])
        expected = [*again.params, *again.residual_params, again.sigma]
        assert table.iloc[i, : len(expected)].to_numpy(float) == pytest.approx(expected, rel=1e-5)
    assert list(table.columns) == [
        *fit.params.index,
        *fit.residual_params.index,
        "Residual.sd",
        "converged",
        "singular",
    ]
    own = fit.bootstrap(2, lambda model: model.residual_params["rho"], seed=11)
    assert own["statistic"].to_numpy() == pytest.approx(table["rho"].to_numpy()[:2], rel=1e-5)


def test_predictions_of_saturated_visits_are_those_of_each_visit_alone() -> None:
    """Complete data, a mean for each visit: t intervals of one sample, with its own variance."""
    data = visits(14, drop=0.0)
    fit = fitted("un(v | id)", data, "y ~ 0 + v")
    new = pd.DataFrame({"v": ["c", "a", "b"]})
    for interval, extra in (("confidence", 0.0), ("prediction", 1.0)):
        found = fit.predict(new, interval=interval)
        for row, visit in enumerate(new["v"]):
            sample = data.loc[data["v"] == visit, "y"]
            half = student.ppf(0.975, 13) * sample.std() * np.sqrt(1 / 14 + extra)
            assert found.loc[row, "low"] == pytest.approx(sample.mean() - half, rel=1e-7)
            assert found.loc[row, "high"] == pytest.approx(sample.mean() + half, rel=1e-7)


@pytest.mark.parametrize("level", ["group", "population", "new"])
def test_without_random_effects_every_level_predicts_alike(level: Any) -> None:
    fit = fitted("ar1h(v | id)")
    rows = visits().head(4)
    expected = fit.predict(rows, interval="prediction")
    assert fit.predict(rows, level=level, interval="prediction").equals(expected)
    sure = fit.predict(rows, interval="confidence")
    assert fit.predict(rows, level=level, interval="confidence").equals(sure)
    assert fit.predict(interval="prediction").head(4).to_numpy() == pytest.approx(expected.to_numpy())
    with pytest.raises(FitError, match="no random effects whose groups"):
        fit.predict(rows, groups="id")


def test_an_observation_at_a_visit_that_the_fit_has_not_seen_has_no_interval() -> None:
    fit = fitted("csh(v | id)", formula="y ~ arm")
    new = pd.DataFrame({"arm": ["old", "new"], "v": ["c", "z"]})
    with pytest.warns(PartialResult, match="1 of 2 rows, first row 2, have a visit"):
        found = fit.predict(new, interval="prediction")
    assert np.isfinite(found.loc[0]).all()
    assert np.isnan(found.loc[1, ["low", "high"]]).all()
    assert np.isfinite(found.loc[1, ["fit", "se"]]).all()
    with pytest.raises(DataError, match="no column `v`"):
        fit.predict(new[["arm"]], interval="prediction")
    assert np.isfinite(fit.predict(new[["arm"]], interval="confidence")).all(axis=None)
    same = fitted("cs(v | id)", formula="y ~ arm").predict(new[["arm"]], interval="prediction")
    assert np.isfinite(same).all(axis=None)  # one variance: no visit is needed


def test_a_fit_comes_back_whole_from_its_folder(structured: lmmkit.Fit, tmp_path: Any) -> None:
    structured.save(tmp_path / "fit")
    again = lmmkit.load(tmp_path / "fit")
    assert json.loads((tmp_path / "fit/fit.json").read_text())["version"] == storage.VERSION == 2
    assert again.residual_params.equals(structured.residual_params)
    assert again.varcorr.equals(structured.varcorr)
    assert again.coef_table().equals(structured.coef_table())
    assert (again.simulate(2, seed=1) == structured.simulate(2, seed=1)).all()
    assert str(again.summary()) == str(structured.summary())


def test_a_fit_of_the_first_format_is_still_read(tmp_path: Any) -> None:
    fit = lmmkit.lmm("y ~ v + (1 | id)", visits())
    fit.save(tmp_path / "fit")
    numbers = json.loads((tmp_path / "fit/fit.json").read_text())
    del numbers["rho"], numbers["design"]["residual"]
    (tmp_path / "fit/fit.json").write_text(json.dumps(numbers | {"version": 1}))
    digests = json.loads((tmp_path / "fit/digests.json").read_text())
    digests["fit.json"] = storage._digest(tmp_path / "fit/fit.json")
    (tmp_path / "fit/digests.json").write_text(json.dumps(digests))
    again = lmmkit.load(tmp_path / "fit")
    assert again.deviance == fit.deviance
    assert again.residual_params.empty


def test_a_fit_in_plain_values_names_its_structure(structured: lmmkit.Fit) -> None:
    found = structured.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["residual"] == str(structured.design.residual.formula)
    assert found["residual_params"] == structured.residual_params.to_dict()
    assert lmmkit.lmm("y ~ v + (1 | id)", visits()).to_dict()["residual"] == "iid"


@pytest.mark.parametrize(
    ("residual", "said"),
    [
        ("un(v | id)", "a variance for each visit, every correlation between two visits free; no further"),
        ("cs(v | id)", "one variance, one correlation for all pairs of visits; no further independent"),
        ("ar1h(v | id)", "a variance for each visit, the correlation rho to the power of the distance"),
        (
            "toep(v | id, by=arm)",
            "for each level of arm apart one variance, one correlation for each distance",
        ),
        ("ident(arm)", "a variance for each level of arm, no correlation"),
        ("cs(1 | id)", "the visits being the order of rows"),
    ],
)
def test_the_summary_says_the_structure_in_words(residual: str, said: str) -> None:
    fit = fitted(residual)
    for text in (str(fit.summary()), fit._repr_html_(), str(fit.design)):
        assert said in text
    assert f"residual = {fit.design.residual.formula}" in repr(fit)
    assert "36 subjects (id) of 2 to 3 visits" in str(fit.summary()) or residual == "ident(arm)"


def test_marginal_means_of_arms_at_a_visit_and_their_difference() -> None:
    fit = fitted("un(v | id)", formula="y ~ arm * v")
    means = fit.marginal_means("arm", by="v")
    assert len(means) == 6
    pairs = means.pairs(adjust="none")
    assert len(pairs) == 3
    assert np.isfinite(pd.DataFrame(pairs)[["estimate", "se", "df", "p"]]).all(axis=None)


def test_a_fit_is_updated_with_another_structure() -> None:
    fit = fitted("cs(v | id)")
    assert fit.update(". ~ . - arm").design.request.residual == fit.design.request.residual
    other = fit.update(residual="ar1(v | id)")
    assert other.deviance == fitted("ar1(v | id)").deviance
    assert str(other.design.residual.formula) == "ar1(v | id)"


def test_a_start_is_refused_in_words() -> None:
    with pytest.raises(FitError, match="has no theta"):
        fitted("cs(v | id)", start=[0.5])


def test_even_distances_and_a_negative_correlation_are_refused_with_the_way_out() -> None:
    draw = np.random.default_rng(2)
    root = np.linalg.cholesky((-0.6) ** np.abs(np.subtract.outer(range(3), range(3))))
    y = draw.standard_normal((40, 3)) @ root.T
    data = pd.DataFrame({"y": y.ravel(), "week": np.tile([4, 8, 12], 40), "id": np.repeat(np.arange(40), 3)})
    with pytest.raises(FitError, match=r"no power of any rho\. `factor\(week\)` in place"):
        fitted("ar1(week | id)", data, "y ~ 1")
    assert fitted("ar1(factor(week) | id)", data, "y ~ 1").residual_params["rho"] < -0.4


def test_whole_numbers_and_equally_spaced_levels_have_the_same_likelihood_in_other_units() -> None:
    data = visits()
    data["day"] = data["v"].map({"a": 7, "b": 14, "c": 21})
    steps, days = fitted("ar1(v | id)", data), fitted("ar1(day | id)", data)
    assert days.deviance == pytest.approx(steps.deviance, abs=1e-8)
    assert days.residual_params["rho"] ** 7 == pytest.approx(steps.residual_params["rho"], rel=1e-6)


def test_no_warning_is_given_on_the_way() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        str(fitted("toeph(v | id)").summary())


def test_tidy_has_the_parameters_of_the_structure_under_the_residual() -> None:
    fit = fitted("un(v | id)")
    table = fit.tidy()
    found = table[table["effect"] == "ran_pars"]
    assert set(found["group"]) == {"Residual"}
    assert found["term"].tolist() == [*fit.residual_params.index, "sd__Observation"]
