"""Posteriors beside Hamiltonian Monte Carlo under the same written-out priors, by Bambi and PyMC.

Made by `python benchmarks/posterior_references.py tests/reference/posterior`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lmmkit

HERE = Path(__file__).parent
MODELS = sorted(path.stem for path in (HERE / "posterior").glob("*.json"))
ERRORS = 4.5  # combined Monte Carlo errors: of some 130 comparisons none is expected beyond
ALIKE = {"low": "0.025", "median": "0.5", "high": "0.975"}


def known(name):
    return json.loads((HERE / f"posterior/{name}.json").read_text())


@cache
def drawn(name, draws=12_000):
    facts = known(name)
    data = pd.read_csv(HERE / f"data/{facts['data']}.csv")
    fit = lmmkit.lmm(facts["formula"], data.assign(**{f: data[f].astype(str) for f in facts["factors"]}))
    return lmmkit.posterior(fit, draws=draws, seed=11)


def rows(name):
    """The reference's name and ours: a term split by two bars has a group of its own."""
    table = drawn(name).table
    return [(q, q if q in table.index else q.replace(".sd.", ".1.sd.")) for q in known(name)["values"]]


def apart(ours, error, theirs, their_error):
    return abs(ours - theirs) / np.hypot(error, their_error)


@pytest.mark.parametrize("name", MODELS)
def test_priors_are_those_that_the_reference_was_drawn_under(name):
    sds = {p for q, p in drawn(name).priors["prior"].items() if ".sd" in q}
    assert sds == {f"half_{known(name)['priors']['sd']}"}
    assert set(drawn(name).priors["prior"]) - sds <= {"flat", known(name)["priors"]["cor"]}


@pytest.mark.parametrize("name", MODELS)
def test_means_sds_and_quantiles_agree_within_the_monte_carlo_errors(name):
    table = drawn(name).table
    for theirs, ours in rows(name):
        row, reference = table.loc[ours], known(name)["values"][theirs]
        errors = reference["mcse"]
        off = {"mean": apart(row["mean"], row["mcse"], reference["mean"], errors["mean"])}
        off["sd"] = apart(row["sd"], row["sd_mcse"], reference["sd"], errors["sd"])
        for mine, q in ALIKE.items():
            off[mine] = apart(
                row[mine], row[f"{mine}_mcse"], reference["quantiles"][q], errors["quantiles"][q]
            )
        assert max(off.values()) < ERRORS, (ours, off)


@pytest.mark.parametrize("name", [name for name in MODELS if known(name)["loo"]["k_hat"] < 0.7])
def test_predictive_density_of_rows_agrees_with_arviz(name):
    found, reference = drawn(name, 3_000).loo(), known(name)["loo"]
    assert found.elpd == pytest.approx(reference["elpd"], abs=0.5)
    assert found.p == pytest.approx(reference["p"], abs=0.5)
    assert found.se == pytest.approx(reference["se"], rel=0.03)
