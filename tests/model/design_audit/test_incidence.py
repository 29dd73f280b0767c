"""Which levels meet: the tiles of small tables, bin by bin."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lmmkit import design_audit
from lmmkit.model.design_audit import incidence as module
from lmmkit.model.design_audit.incidence import _bins

TILE = ["group", "levels", "against", "values"]


def frame():
    """Four levels of g, c and a in site 2, d and b in site 1; h is p or q, but p in d; x has three values."""
    return pd.DataFrame(
        {
            "y": range(8), "g": list("aabbccdd"), "site": [2, 2, 1, 1, 2, 2, 1, 1], "h": list("pqpqpqpp"),
            "x": [0.0, 1.5, 0.0, 1.5, 4.0, 4.0, 0.0, 1.5],
        }
    )  # fmt: skip


def tiles(formula):
    """(group, levels, against, values) with the bins (row, column) of each, in order."""
    table = design_audit(formula, frame()).incidence
    return {
        key: list(zip(part["row"], part["column"], strict=True))
        for key, part in table.groupby(TILE, sort=False)
    }


def test_levels_stand_in_the_order_of_what_they_are_nested_in() -> None:
    assert tiles("y ~ x + (1 | site) + (1 | g) + (1 | h)") == {
        ("g", 4, "site", 2): [(0, 0), (1, 0), (2, 1), (3, 1)],  # b and d, a and c
        ("g", 4, "h", 2): [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1)],
        ("g", 4, "x", 3): [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 2)],
        ("site", 2, "h", 2): [(0, 0), (0, 1), (1, 0), (1, 1)],
        ("site", 2, "x", 3): [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)],
        ("h", 2, "x", 3): [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2)],
    }


def test_rows_of_several_members_meet_values_and_no_factors() -> None:
    table = frame().assign(m=list("bbccddaa"))
    found = design_audit("y ~ h + (1 | mm(g, m)) + (1 | site)", table).incidence
    keys = found[TILE].drop_duplicates().to_numpy().tolist()
    assert keys == [["mm(g, m)", 4, "h", 2], ["site", 2, "h", 2]]


def test_so_many_tiles_stand_in_a_row(monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    assert list(tiles("y ~ x + (1 | site) + (1 | g)")) == [("g", 4, "site", 2), ("site", 2, "x", 3)]


def test_without_a_tile_there_are_the_columns() -> None:
    table = design_audit("y ~ 1 + (1 | g)", frame()).incidence
    assert table.empty
    assert table.columns.tolist() == list(module.COLUMNS)


def test_a_bin_has_the_share_of_its_pairs_that_occur(monkeypatch) -> None:
    """Of 3 x 5 places in 2 x 2 bins: rows of 2 and 1, columns of 3 and 2."""
    monkeypatch.setattr(module, "BINS", 2)
    down, across = np.array([0, 0, 1, 1, 2, 2, 0]), np.array([0, 3, 2, 2, 4, 1, 0])
    found = _bins(down, across)
    assert found[["row", "column"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert found["share"].tolist() == [2 / 6, 1 / 4, 1 / 3, 1 / 2]
    assert found[["rows", "columns"]].drop_duplicates().to_numpy().tolist() == [[2, 2]]
