"""Codes of a missing value: where each is found, and how often."""

import numpy as np
import pandas as pd
import pyarrow as pa

from lmmkit.study.data.missing_codes import Sieve, codes_of
from lmmkit.study.files.schema import Data


def sieve(*codes):
    return Sieve(codes_of(Data(source="d", na=list(codes))))


def test_a_code_is_sought_where_the_type_of_the_numbers_can_hold_it():
    small = sieve(255, 256, 0, 2.5, -1)
    found = small.numbers(np.array([255, 0, 1, 2], np.uint8))
    assert np.isnan(found).tolist() == [True, True, False, False]
    assert dict(small.counts) == {"255": 1, "0": 1}
    real = sieve(2, "2.5")
    assert np.isnan(real.numbers(np.array([2.0, 2.5, 3.0]))).tolist() == [True, True, False]
    assert dict(real.counts) == {"2": 1, "2.5": 1}
    plain = np.array([1.0, 2.0])
    assert sieve().numbers(plain) is plain
    assert sieve(9).numbers(plain) is plain


def test_dates_of_codes_are_taken_out_with_and_without_an_offset():
    codes = sieve("1900-01-01", "2024-02-30", "x")
    days = pd.Series(pd.to_datetime(["1900-01-01", "2024-01-02", None]))
    assert codes.moments(days).isna().tolist() == [True, False, True]
    assert dict(codes.counts) == {"1900-01-01": 1}
    aware = pd.Series(pd.to_datetime(["1900-01-01", "2024-01-02", "1900-01-01"], utc=True))
    assert codes.moments(aware).isna().tolist() == [True, False, True]
    assert dict(codes.counts) == {"1900-01-01": 3}


def test_texts_of_codes_are_counted_and_cells_without_text_by_their_name():
    codes = sieve("x", "1900-01-01")
    assert codes.texts(pa.array(["x", "NA", "", "y", None, "x"])).to_pylist() == [
        None,
        None,
        None,
        "y",
        None,
        None,
    ]
    assert dict(codes.counts) == {"x": 2, "NA": 1, "": 1}
    plain = pa.array(["a", None])
    assert codes.texts(plain) is plain
    for cells, counts in ((5, {"": 3, ".a": 2}), (2, {".a": 2})):
        gaps = Sieve(())
        gaps.empty(cells, {".a": 2})
        assert dict(gaps.counts) == counts
