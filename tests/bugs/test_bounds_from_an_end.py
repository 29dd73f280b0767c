"""The bound of a correlation that stands at one end was a quarter of the way to the other, wherever it was.

The search for the other bound began there and took it for a place inside the interval.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm


def test_a_correlation_of_one_that_is_well_told_has_a_short_interval():
    r = np.random.default_rng(1)
    g, c = np.repeat(np.arange(40), 10), np.tile(np.repeat(["a", "b"], 5), 40)
    data = pd.DataFrame({"g": g, "c": c, "y": 2.0 * r.normal(size=40)[g] + 0.5 * r.normal(size=400)})
    pattern, free = (
        lmm(f"y ~ 1 + {word}(0 + c | g)", data, reml=False).conf_int(method="profile") for word in ("cs", "")
    )
    name = next(name for name in free.index if ".cor" in name)
    rho = next(name for name in pattern.index if "rho" in name or ".cor" in name)
    assert pattern.loc[rho, ["low", "high"]].tolist() == pytest.approx(
        free.loc[name, ["low", "high"]].tolist(), rel=1e-6
    )
    assert pattern.loc[rho, "low"] > 0.9
