"""What is told of a design: its parts in a picture, and a known covariance of levels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.model.report_tables.about_design import (
    TABLES,
    Relatives,
    design_cells,
    design_parts,
    relationships,
)


def test_levels_are_related_from_what_is_more_than_rounding_on() -> None:
    """Beside a largest diagonal entry of 2, 3e-10 is a covariance and 1.5e-10 none."""
    pairs = {(0, 1): 0.5, (0, 2): 3e-10, (0, 3): -0.75, (1, 2): 1.5e-10, (1, 3): -1e-4, (2, 3): 0.0}
    K = np.diag([2.0, 1.0, 1.5, 1.0])
    for (i, j), value in pairs.items():
        K[i, j] = K[j, i] = value
    whole = Relatives("sire", K, np.diag(K), np.array([3.0, 2.0, 1.0, 0.25]))
    part = Relatives("dam", np.eye(3), np.array([1.0, 1.0, 1.0, 1.5, 3.0]), None)
    table = relationships([whole, part])
    assert table.columns.tolist()[1:4] == ["levels", "pairs", "related"]
    assert table.iloc[0].tolist() == ["sire", 4, 6, 4, 0.5, 1.375, 0.25, 3.0]
    assert table.iloc[1, :6].tolist() == ["dam", 5, 3, 0, 0.0, 1.5]
    assert table.loc[1, ["least", "largest"]].isna().all()


def test_a_part_of_few_columns_keeps_a_stripe_that_is_seen() -> None:
    """Of 512 columns in 240 bins a part of ten has six bins, not five; one of two has one for each."""
    rows = np.arange(600)
    data = pd.DataFrame({"y": rows % 7, "x": rows % 3, "g": rows % 500, "h": rows // 60})
    design = lmm("y ~ x + (1 | g) + (1 | h)", data.astype({"g": str, "h": str})).design
    parts = design_parts(design).set_index("part")
    widths = parts["stop"] - parts["start"]
    assert widths.to_dict() == {"X": 2, "g: Intercept": 234, "h: Intercept": 6}
    assert parts["start"].tolist() == [0, *parts["stop"].tolist()[:-1]]
    assert parts["entries"].to_dict() == {"X": 1000, "g: Intercept": 600, "h: Intercept": 600}
    facts = next(table.facts for table in TABLES if table.name == "design_parts")
    assert facts(parts.reset_index()) == {"columns": 512, "share filled": pytest.approx(2200 / (600 * 512))}
    cells = design_cells(design)
    assert (cells.loc[cells["column"] == 0, "share"] == 1.0).all()
    assert cells.loc[cells["column"] == 1, "share"].tolist() == pytest.approx([2 / 3] * 200)
    last = cells[cells["column"] >= parts.loc["h: Intercept", "start"]]
    assert sorted(set(last["share"].round(9))) == [0.5, 1.0]  # of one level or of two in a bin
