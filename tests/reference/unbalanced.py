"""Reference results of tests and means, and our fits of the unbalanced designs."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd

import lmmkit

DATA = Path(__file__).parent / "inference"
REFERENCE = json.loads((DATA / "reference.json").read_text(encoding="utf-8"))
UNBALANCED = {
    case["data"]: case for case in json.loads((DATA / "unbalanced.json").read_text(encoding="utf-8"))
}


@functools.cache
def unbalanced(number):
    """Our fit of one unbalanced design."""
    case = UNBALANCED[number]
    frame = pd.read_csv(DATA / f"unbalanced_{number}.csv")
    return lmmkit.lmm(case["formula"], frame, weights="w" if case["weights"] else None)


def numbers(values):
    """As floats; R's NA as NaN."""
    return np.array([np.nan if value in (None, "NA") else float(value) for value in values])


def by_position(table, column):
    """Numbers of a column, rows of no hypothesis left out."""
    rows = table[table["num_df"] > 0] if "num_df" in table else table
    return rows[column].to_numpy(float)
