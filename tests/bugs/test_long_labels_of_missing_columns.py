"""The picture of missing values had no room left under the upright labels of its columns."""

from __future__ import annotations

import io

import pandas as pd

from lmmkit import plots


def test_long_labels_leave_the_grid_its_room():
    labels = [
        "patient",
        "treatment",
        "score before treatment",
        "week of treatment",
        "depression score at the visit",
    ]
    patterns = pd.DataFrame([[688, 0, 0, 0, 0, 0], [112, 0, 0, 0, 0, 1]], columns=["rows", *labels])
    ax = plots.missing(patterns)
    ax.figure.savefig(io.BytesIO(), format="svg")  # warnings are errors
    assert ax.get_position().height * ax.figure.get_figheight() > 0.3
