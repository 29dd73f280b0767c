"""What pandas makes of a table of means still compares the means whose rows it has, with all their digits."""

from __future__ import annotations

import pandas as pd
import pytest
from support.verbs import fitted

from lmmkit.errors import FitError

STEPS = {
    "copy": lambda t: t.copy(),
    "deep": lambda t: t.copy(deep=True),
    "round": lambda t: t.round(1),
    "query": lambda t: t.query("mean > 0"),
    "sort": lambda t: t.sort_values("se"),
    "columns": lambda t: t[["mean", "se"]],
    "assign": lambda t: t.assign(size=3),
    "rename": lambda t: t.rename(columns={"mean": "score"}),
    "chain": lambda t: t.copy().round(2).query("mean > 0").head(3),
}


@pytest.mark.parametrize("step", STEPS)
def test_tables_keep_their_verbs(step):
    means = fitted("machines").marginal_means("Machine")
    changed = STEPS[step](means)
    assert isinstance(changed, type(means))
    whole = means.pairs("none").reset_index(drop=True)
    found = changed.pairs("none")
    if step == "sort":
        found = found.loc[means.pairs("none").index.intersection(found.index)]
        whole = means.pairs("none").loc[found.index]
        found, whole = found.reset_index(drop=True), whole.reset_index(drop=True)
    pd.testing.assert_frame_equal(found.reset_index(drop=True), whole)


def test_some_rows_compare_with_each_other_alone():
    means = fitted("machines").marginal_means("Machine")
    two = means.query("index != 'B'")
    assert two.round(1).pairs("none").index.tolist() == ["A - C"]
    wanted = means.pairs("none").loc["A - C"]
    assert two.round(1).pairs("none").loc["A - C"].equals(wanted)


def test_rows_that_are_no_means_are_refused():
    means = fitted("machines").marginal_means("Machine")
    for strange in (means.reset_index(), means.rename(index={"A": "D"}), pd.concat([means, means])):
        with pytest.raises(FitError, match="no longer those of marginal_means"):
            strange.pairs()
