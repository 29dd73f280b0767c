"""broom.mixed's tables, column by column."""

from __future__ import annotations

import numpy as np
import pytest
from support.verbs import MODELS, fitted, of_r

from lmmkit.errors import FitError

NUMBERS = ("estimate", "std.error", "statistic", "df", "p.value", "conf.low", "conf.high")


@pytest.mark.parametrize("name", MODELS)
def test_tidy_of_fixed_effects(name):
    theirs = of_r(name, "tidy").query("effect == 'fixed'")
    ours = fitted(name).tidy("fixed", df="satterthwaite")
    if name == "sleep2":  # R's polynomials have another sign and unit here: those of the rows in a row
        theirs, ours = theirs.iloc[:0], ours.iloc[:0]
    for column in NUMBERS:
        # lmerTest's degrees of freedom rest on numerical derivatives.
        assert np.allclose(
            ours[column], theirs[column].astype(float), rtol=1e-3 if column == "p.value" else 1e-5
        )


@pytest.mark.parametrize("name", MODELS)
def test_tidy_of_variance_parameters(name):
    theirs = of_r(name, "tidy").query("effect == 'ran_pars'")
    ours = fitted(name).tidy("ran_pars", method="wald")
    assert ours["group"].tolist() == theirs["group"].tolist()
    assert ours["term"].tolist() == theirs["term"].str.replace("(Intercept)", "Intercept").tolist()
    assert np.allclose(ours["estimate"], theirs["estimate"], rtol=1e-5)
    assert (ours["conf.low"] < ours["estimate"]).all()


@pytest.mark.parametrize("name", ["sleep", "penicillin", "machines"])
def test_tidy_of_coefficients_by_level(name):
    theirs = of_r(name, "ran_coefs").query("term == '(Intercept)'").set_index(["group", "level"])["estimate"]
    ours = (
        fitted(name).tidy("ran_coefs").query("term == 'Intercept'").set_index(["group", "level"])["estimate"]
    )
    assert np.allclose(ours[theirs.index], theirs, rtol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_glance(name):
    ours, theirs = fitted(name).glance(), of_r(name, "glance")
    assert ours.columns.tolist() == theirs.columns.tolist()
    assert np.allclose(ours, theirs, rtol=1e-7)
    assert "deviance" in fitted(name).update(reml=False).glance()


@pytest.mark.parametrize("name", MODELS)
def test_augment(name):
    ours, theirs = fitted(name).augment().head(6), of_r(name, "augment")
    for column in theirs.columns[theirs.columns.str.startswith(".")]:
        assert np.allclose(ours[column], theirs[column].astype(float), rtol=1e-4, atol=1e-5), column


def test_several_effects_have_one_set_of_columns():
    table = fitted("sleep").tidy(["fixed", "ran_vals"])
    assert table.columns.tolist() == fitted("sleep").tidy("ran_pars", method="wald").columns.tolist()
    assert table["effect"].value_counts().to_dict() == {"fixed": 2, "ran_vals": 36}
    with pytest.raises(FitError, match="effects='random' is not known"):
        fitted("sleep").tidy("random")
