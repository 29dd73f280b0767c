"""Tables about residuals over visits."""

from __future__ import annotations

import numpy as np
import pandas as pd

import lmmkit
from lmmkit.model.report_tables import about_visits


def test_pairs_of_cells_that_no_subject_has_are_left_out():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"id": np.repeat(np.arange(12), 3), "visit": np.tile([1, 2, 3], 12)})
    frame["arm"] = np.where(frame["id"] % 2, "B", "A")
    frame["y"] = rng.normal(size=12)[frame["id"]] + rng.normal(size=36)
    fit = lmmkit.lmm("y ~ visit", frame, residual="ident(arm) * cs(visit | id)")
    table = about_visits.cell_correlations(fit)
    assert table["pair"].tolist() == [
        f"Visit {a}, arm {arm} with {b}, arm {arm}" for a, arm, b in _pairs(["A", "B"], [1, 2, 3])
    ]
    assert (table["subjects"] == 6).all()
    assert table["empirical"].notna().all()


def _pairs(arms, visits):
    return [(a, arm, b) for a in visits for arm in arms for b in visits if b > a]
