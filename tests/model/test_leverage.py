"""Numbers of single rows, against matrices in full."""

from __future__ import annotations

import numpy as np
import pandas as pd

import lmmkit

TABLE = pd.DataFrame(
    {"y": [1.0, 1.5, -3.5, -2.0, 2.0, 2.5, 0.5], "x": [0.0, 1, 2, 3, 7, 4, 1], "g": list("aabbccc")}
)


def test_hat_values_and_cooks_distances_are_those_of_dense_matrices():
    found = lmmkit.lmm("y ~ x + (1 | g)", TABLE, variances={"g": 2.0, "Residual": 0.5}).augment()
    Z = pd.get_dummies(TABLE["g"]).to_numpy(float)
    X = np.column_stack([np.ones(7), TABLE["x"]])
    W = np.linalg.inv(2.0 * Z @ Z.T + 0.5 * np.eye(7))
    P = W - W @ X @ np.linalg.solve(X.T @ W @ X, X.T @ W)
    hat, deleted = 1.0 - 0.5 * P.diagonal(), P @ TABLE["y"] / P.diagonal()
    np.testing.assert_allclose(found[".hat"], hat, rtol=1e-10)
    np.testing.assert_allclose(found[".cooksd"], deleted**2 / 0.5 * hat / 2, rtol=1e-10)


def test_without_fixed_effects_there_is_no_distance():
    found = lmmkit.lmm("y ~ 0 + (1 | g)", TABLE).augment()
    assert found[".cooksd"].isna().all()
    assert found[".hat"].between(0.0, 1.0).all()
