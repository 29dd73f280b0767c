"""What is left out: values, Monte Carlo errors against repetitions, and the words for what cannot be told."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from lmmkit.engine.posterior.pareto import threshold
from lmmkit.model.posterior.loo import in_sample, leave_out, penalised

R = 400


def flat(r=R):
    return np.full(r, -np.log(r))


def blocks(seed, rows=(0.3, -0.4, 1.0)):
    """Log densities of rows y ~ N(mu, 1) in draws of mu from a posterior of spread 0.3."""
    mu = np.random.default_rng(seed).normal(0.4, 0.3, R)
    return [stats.norm.logpdf(np.array(rows)[None], mu[:, None])]


@cache
def repeated(method):
    return [method(blocks(seed), flat(), ["a", "b", "c"], "conditional", "row") for seed in range(120)]


@pytest.mark.parametrize("method", [leave_out, penalised])
def test_the_monte_carlo_error_is_how_far_repetitions_spread(method):
    found = repeated(method)
    spread = np.std([one.parts["elpd"].sum() for one in found], ddof=1)
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.2)


def test_leaving_out_and_the_penalty_agree_and_count_the_same_parameters():
    left, waic = repeated(leave_out)[0], repeated(penalised)[0]
    own = blocks(0)[0]
    lppd = logsumexp(own + flat()[:, None], axis=0)
    variances = own.var(axis=0)
    np.testing.assert_allclose(waic.parts["elpd"], lppd - variances)
    assert waic.p == pytest.approx(variances.sum())
    assert left.p == pytest.approx(lppd.sum() - left.elpd)
    assert left.elpd == pytest.approx(waic.elpd, abs=0.05)
    assert in_sample(blocks(0), flat()) == pytest.approx(lppd.sum())
    assert waic.se == pytest.approx(np.sqrt(3) * waic.parts["elpd"].std(ddof=1))
    assert left.table.loc[0, ["method", "kind", "of", "trouble"]].tolist() == [
        "loo",
        "conditional",
        "row",
        "",
    ]
    assert left.to_dict()["worst"] == left.parts["k_hat"].max()


def test_one_part_has_no_standard_error():
    assert np.isnan(leave_out([blocks(1)[0][:, :1]], flat(), ["a"], "marginal", "g").se)


def heavy(count):
    """Parts that one draw in each speaks against by far: without them the draws say little."""
    x = np.random.default_rng(3).standard_cauchy(R)
    return [np.column_stack([-np.abs(x) * (1.0 + i) for i in range(count)])]


@pytest.mark.parametrize(
    ("of", "count", "words"),
    [
        ("row", 1, "1 row has k-hat above 0.62: the draws say too little about the rest without it."),
        ("row", 2, "2 rows have k-hat above 0.62: "),
        ("g", 1, "1 level of g (L0) has k-hat above 0.62: "),
        ("g", 3, "3 levels of g (L0, L1, L2) have k-hat above 0.62: "),
        ("g", 4, "4 levels of g (L0, L1, L2, ...) have k-hat above 0.62: "),
    ],
)
def test_what_cannot_be_told_has_no_number_and_says_why(of, count, words):
    found = leave_out(heavy(count), flat(), [f"L{i}" for i in range(count)], "marginal", of)
    assert found.trouble.startswith(words)
    assert np.isnan(found.elpd)
    assert (found.parts["k_hat"] > threshold(R)).all()


@pytest.mark.parametrize(("variance", "told"), [(0.39, False), (0.41, True)])
def test_waic_is_not_told_where_a_log_density_varies_by_more_than_two_fifths(variance, told):
    z = np.sqrt(variance) * np.tile([-1.0, 1.0], R // 2)
    found = penalised([z[:, None]], flat(), ["a"], "conditional", "row")
    assert found.trouble == ("1 row has a variance above 0.4: take loo." if told else "")
    assert np.isnan(found.elpd) == told
    assert found.parts["variance"].iloc[0] == pytest.approx(variance)
