"""Which random parts lie within which, and on how many null directions, whatever the units of the columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit.model.comparison.nesting import random_nesting
from lmmkit.model.design.design import build_design

# smaller, larger, null directions of each covariance matrix there (None: not nested)
PAIRS = [
    ("(1 | g)", "(x | g)", [1]),
    ("(1 | g)", "(x || g)", [1]),
    ("(x || g)", "(x | g)", []),
    ("(1 | g)", "(1 | g) + (1 | h)", [1]),
    ("(0 + x | g)", "(x | g)", [1]),
    ("(x | g)", "(x + z | g)", [1]),
    ("(1 | g)", "(x + z | g)", [2]),
    ("(1 | g)", "(x + z || g)", [1, 1]),
    ("(1 | g)", "(x | g) + (1 | h)", [1, 1]),
    ("(x | g)", "(I(x * 2) | g)", []),
    ("(1 | g)", "(a | g)", [2]),
    ("(1 | g)", "(0 + a | g)", [2]),
    ("(1 | g) + (1 | g:a)", "(a | g)", []),
    ("(1 | g) + (1 | g:a)", "(0 + a | g)", []),
    ("(1 | g:a)", "(0 + a || g)", []),
    ("(1 | g:k)", "(1 | g/k)", [1]),
    ("(1 | g)", "(1 | g/k)", [1]),
    ("(1 | g)", "(0 + x | g)", None),
    ("(1 | g)", "(0 + a || g)", None),
    ("(x | g)", "(1 | g)", None),
    ("(x | g)", "(x || g)", None),
    ("(x | g)", "(z | g)", None),
    ("(1 | h)", "(1 | g)", None),
    ("(1 | g:k)", "(0 + a | g)", None),
]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    columns = {"y": rng.normal(size=300), "x": rng.normal(size=300), "z": rng.normal(size=300)}
    groups = {"g": rng.integers(0, 15, 300), "h": rng.integers(0, 8, 300)}
    factors = {"a": rng.choice(list("ABC"), 300), "k": rng.choice(list("pqr"), 300)}
    return pd.DataFrame(columns | groups | factors)


@pytest.mark.parametrize(("far", "unit"), [(0, 1), (1e5, 1), (0, 1e-6), (1e4, 1e-3)])
@pytest.mark.parametrize(("small", "large", "expected"), PAIRS)
def test_where_one_random_part_lies_in_another(frame, small, large, expected, far, unit):
    table = frame.assign(x=far + unit * frame["x"])
    found = random_nesting(*(build_design(f"y ~ 1 + {part}", table).problem for part in (small, large)))
    assert (None if found is None else sorted(cone.size for cone in found.cones)) == expected
