"""NIST's one-way analyses of variance, with up to 13 constant leading digits, against exact arithmetic on the
responses as doubles hold them."""

from __future__ import annotations

import json

import pytest
from reference.cases import DATA, read

import lmmkit

SETS = json.loads((DATA / "nist.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SETS)
def test_variances_are_exact_for_the_doubles(name):
    known = SETS[name]
    fit = lmmkit.lmm(known["formula"], read(known["data"], known["factors"]))
    truth = {key: float(value) for key, value in known["double_data"].items()}
    assert fit.scale == pytest.approx(truth["ms_within"], rel=1e-9)
    assert fit.varcorr.vcov[0] == pytest.approx(truth["sigma_b2_anova"], rel=1e-9)
    assert fit.params["Intercept"] == pytest.approx(float(known["REML"]["mu"]), rel=1e-14)
    assert fit.certificate.passed
