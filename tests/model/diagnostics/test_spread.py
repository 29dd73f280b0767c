"""Variances that differ: how a change goes, which structures are offered, where thirds lie."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lmmkit.model.diagnostics.spread import (
    FactorRows,
    _by_level,
    _by_number,
    _way,
    capped,
    cube_root_normal,
    offered,
    positive_response,
    thirds,
)
from lmmkit.model.formula.residual_formula import parse_residual


@pytest.mark.parametrize(
    ("slope", "low", "high", "words"),
    [
        (0.1, 1.0, 2.0, "rises with"),
        (-0.1, 2.0, 1.0, "falls with"),
        (0.1, 2.0, 1.0, "changes, though not steadily, along"),
        (-0.1, 1.0, 2.0, "changes, though not steadily, along"),
    ],
)
def test_a_change_is_steady_where_its_thirds_go_with_its_slope(slope, low, high, words):
    assert _way(slope, low, high) == words


def test_thirds_keep_ties_together_and_are_the_ends_where_most_rows_have_one_value():
    x = np.array([1.0, 1, 1, 1, 2, 3, 3, 3, 3])
    assert thirds(x, np.array([4.0, 4, 4, 4, 100, 9, 9, 9, 9])) == (2.0, 3.0)
    x = np.array([1.0, 2, 2, 2, 2, 2, 2, 2, 3])
    assert thirds(x, np.array([4.0, *[100.0] * 7, 25])) == (2.0, 5.0)


def of(residual=None):
    """A design with a residual structure."""
    return SimpleNamespace(
        residual=None if residual is None else SimpleNamespace(formula=parse_residual(residual))
    )


def test_a_variance_function_is_offered_beside_the_structure_that_there_is():
    assert offered(of(), "ident(h)") == "residual='ident(h)'"
    assert offered(of("ar1(day | g)"), "ident(h)") == "residual='ident(h) * ar1(day | g)'"
    assert offered(of("ident(k)"), "ident(h)") == ""


MANY = (
    "too many or too small levels for a variance each; look up whether one differs alone, and see whether a "
    "predictor or the fitted values explain the variances, or transform the response"
)


@pytest.mark.parametrize(
    ("name", "sizes", "advice"),
    [
        ("h", [5] * 12, "residual='ident(h)' gives every level a variance of its own"),
        ("two words", [5, 9], "residual='ident(`two words`)' gives every level a variance of its own"),
        ("a:b", [5, 9], "residual='ident(a:b)' gives every level a variance of its own"),
        ("h", [5] * 13, MANY),
        ("h", [4, 9], MANY),
    ],
)
def test_levels_get_a_variance_each_where_they_are_few_and_large_enough(name, sizes, advice):
    assert _by_level(of(), FactorRows(name, [], np.empty(0, int)), np.array(sizes)) == advice


def fit(response="y", least=1.0, residual=None):
    return SimpleNamespace(
        design=SimpleNamespace(response=response, residual=of(residual).residual),
        problem=SimpleNamespace(response=np.array([least, 5.0])),
    )


@pytest.mark.parametrize(
    ("estimates", "name", "values", "slope", "advice"),
    [
        (fit(), "x", [1.0, 2.0], 1.0, "residual='power(x)' lets the variance follow it"),
        (fit(), "x", [-1.0, -2.0], 1.0, "residual='power(x)' lets the variance follow it"),
        (fit(), "x", [0.0, 2.0], 1.0, "residual='exp(x)' lets the variance follow it"),
        (fit(), "x", [-2.0, 0.0], 1.0, "residual='exp(x)' lets the variance follow it"),
        (fit(residual="ident(h)"), "x", [1.0, 2.0], 1.0,
         "try another variance function in place of the one that the residual structure has"),
        (fit(), None, [1.0, 2.0], 1.0, "residual='power(fitted)' or `log(y)` as the response"),
        (fit(), None, [1.0, 2.0], -1.0, "residual='power(fitted)'"),
        (fit(), None, [-1.0, 2.0], 1.0, "`log(y)` as the response"),
        (fit(least=0.0), None, [-1.0, 2.0], 1.0, "a transformed response"),
        (fit(), None, [-1.0, 2.0], -1.0, "a transformed response"),
    ],
)  # fmt: skip
def test_a_variance_that_follows_numbers_is_advised_by_their_signs(estimates, name, values, slope, advice):
    assert _by_number(estimates, name, np.array(values), slope) == advice


@pytest.mark.parametrize(
    ("response", "least", "name"), [("y", 1e-9, "y"), ("y", 0.0, ""), ("y", -1.0, ""), ("log(y)", 1.0, "")]
)
def test_a_response_whose_logarithm_can_be_taken_is_a_column_above_zero(response, least, name):
    assert positive_response(fit(response, least)) == name


def test_no_square_counts_for_more_than_five_standard_deviations():
    z = np.array([[-1.0], [0.5], [0.6744898], [1.0], [-40.0], [np.nan]])  # the middle: of a standard normal
    sets = SimpleNamespace(conditional=z, free=np.array([True] * 5 + [False]))
    found = capped(SimpleNamespace(conditional=z, free=sets.free))[:5, 0]
    one = 1.0 / 0.4549364  # the median square is 1
    np.testing.assert_allclose(found, [1.0, 0.25, 0.4549364, 1.0, 25.0 * one], rtol=1e-5)
    none = SimpleNamespace(conditional=z[:2], free=np.zeros(2, bool))
    np.testing.assert_array_equal(capped(none), z[:2] ** 2)


def test_sums_of_squares_become_nearly_normal():
    from scipy.stats import chi2, norm

    for df in (5, 20):
        p = np.array([[0.02, 0.5, 0.98]])
        np.testing.assert_allclose(cube_root_normal(chi2(df).ppf(p), np.array([df])), norm.ppf(p), atol=0.05)
