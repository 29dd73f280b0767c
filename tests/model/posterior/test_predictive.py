"""Data sets from the posterior: the statistics and bins of what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from model.posterior.test_posterior import drawn, table
from scipy import stats


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
    assert edges[0] <= y.min() <= y.max() <= edges[-1]
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
