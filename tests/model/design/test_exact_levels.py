"""Ids of any width keep their groups, whatever table they come in; floating ids that cannot are refused."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lmmkit.errors import DataError
from lmmkit.model.design.design import build_design

IDS = [2**53 + 1 + k // 3 for k in range(12)]
GAPPED = [*IDS[:-1], None]
LEVELS = [str(level) for level in sorted(set(IDS))]
Y = [float(k % 5) for k in range(12)]


def levels(table) -> list[str]:
    return list(build_design("y ~ 1 + (1 | g)", table).random[0].levels)


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"y": Y, "g": pa.array(GAPPED, pa.int64())}),
        pa.table({"y": Y, "g": pa.array(GAPPED, pa.uint64())}),
        pa.table({"y": Y, "g": pa.array([None if k is None else Decimal(k) for k in GAPPED])}),
        pa.table({"y": Y, "g": pa.array([None if k is None else str(k) for k in GAPPED])}),
        pl.DataFrame({"y": Y, "g": GAPPED}),
        pl.DataFrame({"y": Y, "g": pl.Series(GAPPED, dtype=pl.UInt64)}),
        pd.DataFrame({"y": Y, "g": pd.array(GAPPED, "Int64")}),
        pd.DataFrame({"y": Y, "g": pd.Series(GAPPED, dtype=pd.ArrowDtype(pa.int64()))}),
        pd.DataFrame({"y": Y, "g": np.array(IDS, np.uint64)}),
    ],
)
def test_integers_beyond_two_to_the_53_stay_apart_with_and_without_gaps(table):
    assert levels(table) == LEVELS


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_floating_ids_that_cannot_be_told_apart_are_refused(kind):
    first = {np.float64: 2**53, np.float32: 2**24, np.float16: 2**11}[kind]
    frame = pd.DataFrame({"y": Y, "g": np.array([first + 2 * (k // 4) for k in range(12)], kind)})
    with pytest.raises(
        DataError, match=r"`g` groups rows by floating numbers such as .* \(row 1\), too large"
    ):
        levels(frame)


def test_floating_levels_have_their_shortest_digits():
    for kind in (np.float64, np.float32):
        frame = pd.DataFrame({"y": Y, "g": np.array([0.1, 2, 1e6, 0.30000001] * 3, kind)})
        assert levels(frame) == ["0.1", "0.3" if kind is np.float32 else "0.30000001", "2", "1000000"]
    assert levels(pd.DataFrame({"y": Y, "g": [0.1 + 0.2, 0.3] * 6})) == ["0.3", "0.30000000000000004"]
