"""Random effects with a pattern against glmmTMB 1.1.5: `cd tests/reference/patterned && Rscript patterned.R`.

glmmTMB ends its search by the gradient of a Laplace approximation, which is exact here: its log-likelihood is
good to some 1e-6, and where it is lower than ours by more it has stopped too early.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lmmkit

HERE = Path(__file__).parent / "patterned"
FOUND = json.loads((HERE / "patterned.json").read_text())
OURS = {"ou": "ou(0 + pos(t) | g)", "exp": "exp(0 + pos(t, z) | g)"}


@pytest.mark.parametrize("name", [name for name in FOUND if name != "version"])
def test_log_likelihood_and_covariances_are_those_of_glmmtmb(name):
    tag, criterion = name.split(".")
    theirs = FOUND[name]
    formula = f"y ~ x + {OURS.get(tag, theirs['term'])}"
    fit = lmmkit.lmm(formula, pd.read_csv(HERE / "patterned.csv"), reml=criterion == "reml")
    assert fit.llf == pytest.approx(theirs["logLik"], abs=3e-6)
    G = fit.estimates.covariance(0)
    sd = np.sqrt(np.diag(G))
    assert fit.sigma == pytest.approx(theirs["sigma"], rel=1e-3)
    np.testing.assert_allclose(sd, theirs["sd"], rtol=2e-3)
    np.testing.assert_allclose((G / np.outer(sd, sd))[0], theirs["cor"], atol=3e-3)
    np.testing.assert_allclose(fit.params, theirs["fixef"], atol=2e-3)
