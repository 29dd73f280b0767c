"""Null directions of covariance matrices in words."""

from types import SimpleNamespace

import numpy as np
import pytest

from lmmkit.model.inference.degrees_of_freedom import null_directions

COLUMNS = ("Intercept", "x", "z")


@pytest.mark.parametrize(
    ("L", "said"),
    [
        (np.diag([1.0, 0.0]), ["g.x"]),
        (np.zeros((1, 1)), ["g.Intercept"]),
        (np.diag([0.0, 2.0, 0.0]), ["g.Intercept", "g.z"]),
        (np.array([[1.0, 0.0], [0.25, 0.0]]), ["-0.243 Intercept + 0.97 x in g"]),
        (np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), ["0.707 Intercept + 0.707 x in g"]),
        (np.eye(3), []),
    ],
)
def test_a_null_direction_is_named_by_its_column_or_by_its_combination(L, said):
    term = SimpleNamespace(group="g", names=COLUMNS[: len(L)])
    count = int(np.sum(np.diag(L) == 0))
    fit = SimpleNamespace(random=[term], factors=[L], null_directions=[count])
    assert sorted(null_directions(fit)) == sorted(f"the variance of {name} is zero" for name in said)
