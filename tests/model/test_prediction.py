"""Predictions and their standard errors, against Henderson's equations written out in full."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.cases import fitted, table
from support.models import NAMES, crossed, fit

import lmmkit
from lmmkit import DataError
from lmmkit.engine.referee import henderson
from lmmkit.engine.referee.textbook import to_dense, write_out

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
    expected = np.sqrt(np.einsum("ij,jk,ik->i", model.X, C[:p, :p], model.X))
    np.testing.assert_allclose(found.se, expected, rtol=1e-10)


def test_new_groups_add_the_variance_of_their_effects():
    m = fit("crossed")
    model, _ = written_out(m)
    population, new = m.predict(level="population"), m.predict(level="new")
    np.testing.assert_allclose(new.fit, population.fit)
    expected = population.se**2 + np.einsum("ij,jk,ik->i", model.Z, model.G, model.Z)
    np.testing.assert_allclose(new.se**2, expected, rtol=1e-10)


def test_confidence_and_prediction_intervals():
    m = fit("crossed")
    confidence, prediction = m.predict(interval="confidence"), m.predict(interval="prediction")
    np.testing.assert_allclose(confidence.high - confidence.fit, Z95 * confidence.se)
    noise = m.scale / m.design.problem.weights
    np.testing.assert_allclose(
        prediction.high - prediction.fit, Z95 * np.sqrt(prediction.se**2 + noise), rtol=1e-12
    )
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
