"""Small tables for the tests of formulas and designs."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest


def full_factorial(copies: int = 4) -> pd.DataFrame:
    """Every combination of three factors and a whole number, a few times, with numbers beside."""
    base = pd.DataFrame(list(itertools.product("pqr", "uv", "klm", [1, 3, 7])), columns=["a", "b", "c", "k"])
    frame = pd.concat([base] * copies, ignore_index=True)
    rng = np.random.default_rng(0)
    n = len(frame)
    frame["c"] = pd.Categorical(frame["c"], categories=["m", "k", "l"], ordered=True)
    return frame.assign(
        x=rng.uniform(0.5, 4, n),
        z=rng.normal(size=n),
        y=rng.normal(size=n),
        flag=rng.random(n) < 0.5,
        g=rng.integers(0, 9, n),
        h=rng.integers(0, 5, n),
    )


@pytest.fixture(scope="session")
def factorial() -> pd.DataFrame:
    return full_factorial()
