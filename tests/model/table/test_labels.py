"""Labels of levels: the shortest text of a value, and the order in which they stand."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from lmmkit.model.table.labels import in_order, label_of, level_texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (308.0, "308"),
        (-2.0, "-2"),
        (0.1, "0.1"),
        (np.float32(0.1), "0.1"),
        (1e16, "10000000000000000"),
        (1e17, "1e+17"),
        (-1e17, "-1e+17"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (Decimal("1.50"), "1.5"),
        (Decimal("2.00"), "2"),
        (Decimal(100), "100"),
        (Decimal("1E+2"), "100"),
        (2**64, "18446744073709551616"),
        (True, "True"),
        ("007", "007"),
        ("1.50", "1.50"),
    ],
)
def test_a_label_is_the_shortest_text_of_its_value(value, text):
    assert label_of(value) == text


@pytest.mark.parametrize(
    ("labels", "ordered"),
    [
        (["10", "9", "0", "-1"], ["-1", "0", "9", "10"]),
        (["10", "9", "a"], ["10", "9", "a"]),
        (["10", "9", "09"], ["09", "10", "9"]),  # not plainly written
        (["10", "9", "-0"], ["-0", "10", "9"]),
        (["10", "9", "1.5"], ["1.5", "10", "9"]),
        (["10", "9", ""], ["", "10", "9"]),
        (["10", "9\n8"], ["10", "9\n8"]),
        (["b", "B", "ä"], ["B", "b", "ä"]),
        ([], []),
    ],
)
def test_labels_stand_by_value_where_all_are_whole_numbers(labels, ordered):
    assert in_order(labels) == ordered


def test_levels_keep_the_digits_of_their_own_precision():
    assert list(level_texts(np.array([0.1, 2.0], np.float32))) == ["0.1", "2"]
    assert list(level_texts(pd.Index([0.1, 2.0]))) == ["0.1", "2"]
    assert list(level_texts(["a", 3])) == ["a", "3"]
    assert level_texts(["a"]).dtype == object
