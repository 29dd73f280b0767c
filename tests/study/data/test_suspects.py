"""Values that look like codes of a missing value."""

from __future__ import annotations

import numpy as np
import pytest

from lmmkit.study.data.suspects import suspected_codes

NEAR = [60.0, 71, 64.5, 68, 73, 59, 66]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([*NEAR, -999, -999], "-999 (2 cells) stands far off: if it means"),
        ([*NEAR, -999], "-999 (1 cell) stands far off: if it means"),
        ([*NEAR, -9, 999, 999], "-9 (1 cell) and 999 (2 cells) stand far off: if they mean"),
        ([*NEAR, np.nan, 99], ""),  # one value not so far off may be what it says
        ([*NEAR, 99, 99], "99 (2 cells) stands far off"),
        ([*NEAR, 500], ""),  # nobody's code
        ([95.0, 96, 97, 98, 99], ""),
        ([], ""),
    ],
)
def test_codes_are_noticed_where_they_stand_far_off(values, said):
    found = suspected_codes(np.array(values, dtype=float))
    assert (found.startswith(said), bool(found)) == (True, bool(said)), found
