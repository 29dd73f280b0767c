"""Positions: which occur, their names, the rows that stand on each, and rows that stand on none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError, FormulaError
from lmmkit.model.design import positions
from lmmkit.model.design.design import build_design
from lmmkit.model.formula.formula import parse_formula

FRAME = pd.DataFrame(
    {
        "y": [1.0, 3, 2, 5, 4, 7, 6, 9],
        "u": [0.5, 2, 0.5, 2, 1, 1, 2, 0.5],
        "v": [1.0, 1, 2, 1, 2, 2, 1, 1],
        "f": list("abababab"),
        "g": list("kkkkllll"),
    }
)
MODEL = "y ~ 1 + exp(0 + pos(u, v) | g)"
BAR = parse_formula(MODEL).random[0]


def test_positions_stand_in_increasing_order_with_their_rows():
    found, codes = positions.distinct(BAR, FRAME[["u", "v"]].to_numpy())
    assert found == ((0.5, 1.0), (0.5, 2.0), (1.0, 2.0), (2.0, 1.0))
    assert codes.tolist() == [0, 3, 1, 3, 2, 2, 3, 0]
    columns = dict(positions.indicators(found, codes))
    assert list(columns) == ["pos(0.5, 1)", "pos(0.5, 2)", "pos(1, 2)", "pos(2, 1)"]
    assert columns["pos(2, 1)"].tolist() == [0, 1, 0, 1, 0, 0, 1, 0]
    assert build_design(MODEL, FRAME).random[0].names == tuple(columns)


def test_positions_are_as_many_as_are_fitted(monkeypatch):
    rows = FRAME[["u", "v"]].to_numpy()
    monkeypatch.setattr(positions, "MOST", 4)
    positions.distinct(BAR, rows)
    monkeypatch.setattr(positions, "MOST", 3)
    with pytest.raises(DataError) as caught:
        positions.distinct(BAR, rows)
    assert str(caught.value) == (
        f"`{BAR.text}`: the rows have 4 distinct positions, each an effect of every level; at most 3 are "
        f"fitted. "
        "Round the coordinates, or fit a part of the data; where levels have one row at each, "
        "residual='expsp(u, v | g, nugget=TRUE)' is that model."
    )


def test_a_coordinate_is_a_number():
    with pytest.raises(FormulaError) as caught:
        build_design("y ~ 1 + exp(0 + pos(u, f) | g)", FRAME)
    bar = parse_formula("y ~ 1 + exp(0 + pos(u, f) | g)").random[0]
    assert str(caught.value) == (
        f"`{bar.text}`: `f` is no column of numbers; pos() takes coordinates. For levels in an order of "
        f"their own "
        "write `ar1(0 + f | g)`."
    )


def test_new_rows_stand_on_positions_of_the_fit():
    structure = build_design(MODEL, FRAME).random[0].structure
    assert positions.known_positions(BAR, structure, np.array([[2.0, 1], [0.5, 2]])).tolist() == [3, 1]
    new = np.array([[9.0, 1], [2, 1], [8.5, 1], [9, 1]])
    with pytest.raises(DataError) as caught:
        positions.known_positions(BAR, structure, new)
    assert str(caught.value) == (
        f"`{BAR.text}`: no row of the fit stands at pos(9, 1), pos(8.5, 1), so there are no effects to "
        f"predict "
        "with there. Predict at positions of the fit, or without this term (random=False)."
    )
    many = np.array([[10.0 + i, 1] for i in range(6)])
    with pytest.raises(
        DataError, match=r"at pos\(10, 1\), pos\(11, 1\), pos\(12, 1\), pos\(13, 1\) and 2 more"
    ):
        positions.known_positions(BAR, structure, many)
