"""For the doctests: the small table `frame` that the examples of a fit are fitted to."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pandas as pd
import pytest

# Read with its extra alone.
collect_ignore = [] if find_spec("sklearn") else ["lmmkit/model/estimators/regressor.py"]


@pytest.fixture(scope="session", autouse=True)
def _frame_of_the_examples(doctest_namespace: dict[str, Any]) -> None:
    """`frame`: y by x within three groups g."""
    doctest_namespace["frame"] = pd.DataFrame(
        {"y": [3.0, 4, 7, 6, 9, 12, 2, 2, 5], "x": [0, 1, 2] * 3, "g": list("aaabbbccc")}
    )
