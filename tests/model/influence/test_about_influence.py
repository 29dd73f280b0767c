"""The tables of what is left out: which units they list, in which order, by which number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import influence, lmm
from lmmkit.model.influence.about_influence import LISTED, pulls
from lmmkit.model.means.focus import find_focus


def test_every_level_is_listed_and_of_the_rows_those_that_pull_most() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(list("abcdef"), 7), "x": np.tile(np.arange(7.0), 6)})
    data["y"] = data["x"] + np.repeat(rng.normal(size=6), 7) + rng.normal(size=42)
    fit = lmm("y ~ x + (1 | g)", data)
    lines = [2 * i + 10 for i in range(42)]  # of the file
    found = pulls(fit, find_focus(fit.design, "x"), lines, df="normal", level=0.9)
    own = influence(fit, "rows", focus="x", df="normal", refits=1, alpha=0.1).table
    assert (own["turns"] == "").all()
    rows = found.table[found.table["group"] == "row"]
    assert rows["level"].tolist() == [str(lines[i]) for i in own.index[:LISTED]]
    assert rows["left_out"].iloc[0] == f"row {lines[own.index[0]]}"
    assert rows["cooks"].tolist() == pytest.approx(own["cooks"].tolist()[:LISTED])
    assert sorted(found.table.loc[found.table["group"] == "g", "level"]) == list("abcdef")
    assert found.summary[["group", "units", "turned"]].to_numpy().tolist() == [["g", 6, 0], ["row", 42, 0]]
