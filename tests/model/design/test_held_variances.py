"""Variances that are given: factors of them, and what is no variance."""

from __future__ import annotations

import numpy as np
import pytest

from lmmkit.errors import FitError
from lmmkit.model.design.held_variances import read_variances

G = [[2.0, 0.6], [0.6, 0.5]]


def read(given, labels=("g", "h"), names=(("Intercept", "x"), ("Intercept",))):
    return read_variances(given, labels, names)


@pytest.mark.parametrize(
    ("matrix", "rank"),
    [(G, 2), ([[4.0, 2.0], [2.0, 1.0]], 1), ([[0.0, 0.0], [0.0, 3.0]], 1), ([[0.0, 0.0], [0.0, 0.0]], 0)],
)
def test_factors_give_the_matrices_relative_to_the_residual_variance(matrix, rank):
    held = read({"g": matrix, "h": 3, "Residual": 4.0})
    assert held.sigma == 2.0
    np.testing.assert_allclose(4.0 * held.factors[0] @ held.factors[0].T, matrix, atol=1e-14)
    assert np.count_nonzero(np.diag(held.factors[0])) == rank
    assert held.factors[0][0, 1] == 0.0
    np.testing.assert_allclose(held.factors[1], [[np.sqrt(0.75)]])


def test_a_variance_of_one_effect_may_be_a_matrix_and_may_be_zero():
    held = read({"g": G, "h": [[0.0]], "Residual": [[1.0]]})
    assert held.factors[1].tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"H": 1.0}, "variances: the model has no `H`; did you mean `h`? It has g, h, Residual."),
        ({"other": 1.0}, "variances: the model has no `other`. It has g, h, Residual."),
        (
            {"h": None, "Residual": None},
            "variances: h, Residual is absent; those that are given are held, and all of them are to be "
            "given: "
            "g, h, Residual.",
        ),
        ({"Residual": 0.0}, "variances: Residual is 0; a positive residual variance is expected."),
        (
            {"Residual": -1.0},
            "variances: Residual has the least eigenvalue -1; a variance is not negative, a covariance "
            "matrix "
            "positive semidefinite.",
        ),
        (
            {"g": [[1.0, 2.0], [2.0, 1.0]]},
            "variances: g has the least eigenvalue -1; a variance is not negative, a covariance matrix "
            "positive "
            "semidefinite.",
        ),
        ({"h": "much"}, "variances: h is 'much'; a number is expected."),
        (
            {"g": 1.0},
            "variances: g has the effects Intercept, x; their 2 x 2 covariance matrix is expected, not an "
            "array of "
            "shape ().",
        ),
        (
            {"h": [1.0, 2.0]},
            "variances: h has the effects Intercept; their 1 x 1 covariance matrix is expected, not an "
            "array of "
            "shape (2,).",
        ),
        ({"g": [[1.0, 0.5], [0.4, 1.0]]}, "variances: g is no symmetric matrix of finite numbers."),
        ({"h": np.inf}, "variances: h is no symmetric matrix of finite numbers."),
        ({"h": np.nan}, "variances: h is no symmetric matrix of finite numbers."),
    ],
)
def test_what_is_no_variance_is_refused(change, said):
    given = {"g": G, "h": 1.0, "Residual": 1.0} | change
    with pytest.raises(FitError) as caught:
        read({label: value for label, value in given.items() if value is not None})
    assert str(caught.value) == said


def test_variances_come_by_label():
    with pytest.raises(FitError) as caught:
        read(3.0)
    assert str(caught.value) == (
        "variances: a variance for each of g, h, Residual is expected, such as {'g': 1.0, 'h': 1.0, "
        "'Residual': "
        "1.0}, not float."
    )
