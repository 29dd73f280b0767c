"""Generated designs of every layout, and what the tests of resampling share."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

import lmmkit

FORMULAS = {
    "one factor": "y ~ x + (1 | g)",
    "slopes": "y ~ x + (x | g)",
    "independent slopes": "y ~ x + (x || g)",
    "three columns": "y ~ x + (x + z | g)",
    "crossed": "y ~ x + (x | g) + (1 | h)",
    "nested": "y ~ x + (1 | top/g)",
    "nested and crossed": "y ~ x + (1 | top/g) + (0 + x | h)",
}


@functools.cache
def frame(seed: int = 0, n: int = 160) -> pd.DataFrame:
    """Rows with two crossed factors, one of them within a third, weights and an offset."""
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 12, n), rng.integers(0, 7, n)
    table = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n), "g": g, "h": h, "top": g // 3})
    table["w"], table["o"] = rng.uniform(0.5, 2.0, n), rng.normal(size=n)
    b, c = rng.normal(size=(12, 2)) @ np.array([[1.0, 0.3], [0.0, 0.6]]), rng.normal(size=7) * 0.5
    noise = rng.normal(size=n) / np.sqrt(table["w"])
    return table.assign(y=1.0 + table.x + table.o + b[g, 0] + b[g, 1] * table.x + c[h] + noise)


@functools.cache
def fitted(name: str, *, reml: bool = True, weighted: bool = False) -> lmmkit.Fit:
    """One of the models on the table."""
    extra = {"weights": "w", "offset": "o"} if weighted else {}
    return lmmkit.lmm(FORMULAS[name], frame(), reml=reml, **extra)
