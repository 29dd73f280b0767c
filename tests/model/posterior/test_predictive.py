"""Data sets from the posterior: the statistics and bins of what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from model.posterior.test_posterior import drawn, table
from scipy import stats

import lmmkit
from lmmkit.model.posterior.densities import Densities
from lmmkit.model.posterior.predictive import predictive_check, replicated


@pytest.mark.parametrize("level", ["new", "group"])
def test_statistics_and_bins_are_those_of_the_data_and_of_the_data_sets(level):
    check = drawn("crossed").predictive_check(level, n=40, coverage=0.8)
    y, made, found = table()["y"].to_numpy(), check.replicates, check.table.set_index("statistic")
    groups = table().groupby("g").indices.values()
    known = {
        "mean": np.mean,
        "standard deviation": np.std,
        "least": np.min,
        "greatest": np.max,
        "skewness": stats.skew,
        "SD of the means of g": lambda x: np.std([x[rows].mean() for rows in groups], ddof=1),
    }
    for name, of in known.items():
        values = np.array([of(column) for column in made.T])
        expected = [of(y), values.mean(), *np.quantile(values, [0.1, 0.9]), (values > of(y)).mean()]
        assert found.loc[name].tolist() == pytest.approx(expected), name
    assert list(found.index) == [*known, "SD of the means of h"]
    bins = check.bins
    edges = [*bins["low"], bins["high"].iloc[-1]]
    everything = np.append(made.ravel(), y)
    ends = min(np.quantile(everything, 0.001), y.min()), max(np.quantile(everything, 0.999), y.max())
    np.testing.assert_allclose(edges, np.linspace(*ends, 25))
    np.testing.assert_array_equal(bins["low"].iloc[1:], bins["high"].iloc[:-1])
    assert bins["observed"].sum() == len(y)
    counts = np.array([np.histogram(column, edges)[0] for column in made.T])
    for column, p in (("least", 0.1), ("median", 0.5), ("most", 0.9)):
        np.testing.assert_allclose(bins[column], np.quantile(counts, p, axis=0))


def test_a_replicate_as_large_counts_half(monkeypatch):
    y = table()["y"].to_numpy()
    monkeypatch.setattr(
        "lmmkit.model.posterior.predictive.replicated", lambda *_: np.column_stack([y, y, y + 1, y - 1])
    )
    found = drawn("crossed").predictive_check(n=4).table.set_index("statistic")
    assert found.loc["mean", "p"] == 0.5
    assert found.loc["greatest", "p"] == 0.5


def test_means_of_two_groups_have_no_standard_deviation_of_their_own():
    frame = table().assign(two=np.arange(48) % 2, three=np.arange(48) % 3)
    fit = lmmkit.lmm("y ~ x + (1 | two) + (1 | three)", frame)
    e = fit.estimates
    at = Densities(e, e.beta[None], [L[None] for L in e.factors], np.array([e.sigma]), np.empty((1, 0)), [])
    found = predictive_check(at, "new", 1, 0.9).table["statistic"].tolist()
    assert found == [
        "mean",
        "standard deviation",
        "least",
        "greatest",
        "skewness",
        "SD of the means of three",
    ]


def test_data_sets_of_known_groups_have_the_means_and_the_noise_of_their_draws():
    """Without noise the rows of a draw are its means; of new levels the effects are drawn too."""
    fit = lmmkit.lmm("y ~ x + (1 | g)", table())
    e, r = fit.estimates, 400
    effects = np.random.default_rng(1).normal(size=(r, 8, 1))
    at = Densities(
        e,
        np.repeat([[1.0, 2.0]], r, axis=0),
        [np.full((r, 1, 1), 3.0)],
        np.full(r, 0.5),
        np.empty((r, 0)),
        [effects],
    )
    x, codes = table()["x"].to_numpy(), e.problem.terms[0].codes
    known = replicated(at, "group", 7) - (1 + 2 * x)[:, None] - effects[:, codes, 0].T
    assert known.std() == pytest.approx(0.5, rel=0.03)
    new = replicated(at, "new", 7) - (1 + 2 * x)[:, None]
    assert new.std() == pytest.approx(np.sqrt(0.25 + 1.5**2), rel=0.05)
    first, second = new[codes == 0][:2]
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.9, abs=0.03)
    assert abs(np.corrcoef(first, new[codes == 1][0])[0, 1]) < 0.2
