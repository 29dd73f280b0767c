"""Weights of mixtures of chi-squared distributions, and the covariance matrix that they are made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import chi2
from support.dense import DenseKenwardRoger
from support.designs import frame

from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.variance_tests import chi_bar_squared
from lmmkit.engine.variance_tests.chi_bar_squared import cone_weights, mixture_tail
from lmmkit.engine.variance_tests.covariance_families import embedding, null_covariance, positive, units
from lmmkit.engine.variance_tests.exact_rlrt import Spectrum, supremum
from lmmkit.model.design.design import build_design


def test_one_variance_has_half_of_its_mass_at_zero():
    assert cone_weights(np.array([[3.0]]), [1], 0).tolist() == [0.5, 0.5]


def orthant(C):
    """P(all > 0) of three normal variables with covariance matrix C."""
    r = C / np.sqrt(np.outer(C.diagonal(), C.diagonal()))
    return 1 / 8 + (np.arcsin(r[0, 1]) + np.arcsin(r[0, 2]) + np.arcsin(r[1, 2])) / (4 * np.pi)


def test_simulated_weights_of_three_correlated_variances_are_the_orthants():
    C = np.array([[1.0, 0.7, 0.6], [0.7, 2.0, 0.9], [0.6, 0.9, 1.5]])
    last, none = orthant(C), orthant(np.linalg.inv(C))
    assert last > 5 * none  # far from symmetric
    found = cone_weights(C, [1, 1, 1], 0)
    np.testing.assert_allclose(found, [none, 0.5 - last, 0.5 - none, last], atol=0.015)


def test_a_mixture_of_one_component_is_chi_squared():
    assert mixture_tail(3.841458820694124, np.ones(1), 1) == pytest.approx(0.05)
    assert mixture_tail(5.991464547107979, np.array([0.0, 1.0]), 1) == pytest.approx(0.05)


@pytest.mark.parametrize("reml", [True])
@pytest.mark.parametrize("weights", [None, "w"])
def test_covariance_of_null_parts_is_that_of_the_information_written_out(reml, weights):
    table = pd.DataFrame(frame())
    problem = build_design("y ~ x + (1 | g) + (x | h) + (0 + z | g)", table, weights=weights).problem
    order = [(len(term.columns), term.levels) for term in problem.terms]
    wide, one = order.index((2, 7)), order.index((1, 12))
    matrices = [np.zeros((len(term.columns),) * 2) for term in problem.terms]
    matrices[one] = np.array([[0.8]])
    zero = next(t for t in range(3) if t not in (wide, one))
    found = null_covariance(problem, matrices, [(wide, np.eye(2)), (zero, np.eye(1))], reml=reml)
    dense = DenseKenwardRoger(problem, (0, 1), [np.sqrt(T) for T in matrices], 1.0)
    starts = np.cumsum([0, *(len(T) * (len(T) + 1) // 2 for T in matrices)])
    places = [*range(starts[wide], starts[wide] + 3), starts[zero]]
    np.testing.assert_allclose(found, dense.W[np.ix_(places, places)], rtol=1e-7, atol=1e-12)


def test_each_draw_of_the_restricted_ratio_is_the_greatest_value():
    spectrum = Spectrum(np.array([0.5, 3.0, 20.0]), np.array([2.0, 1.0, 3.0]), 25)
    rng = np.random.default_rng(2)
    squares, rest = rng.chisquare([2.0, 1.0, 9.0], size=(30, 3)), rng.chisquare(19.0, 30)
    found = supremum(spectrum, squares, rest)
    assert (found == 0.0).any()
    assert (found > 1.0).any()
    for i, value in enumerate(found):
        own = squares[i : i + 1], rest[i : i + 1]
        best = minimize_scalar(
            lambda x, own=own: -float(spectrum.statistic(*own, np.exp([x]))[0]),
            bounds=(-12.0, 8.0),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert value == pytest.approx(max(-best.fun, 0.0), abs=1e-7)


def test_two_variances_have_the_weights_of_a_quadrant():
    """A correlation of 1/2 makes the quadrant a wedge of 120 degrees in its metric, its polar one of 60."""
    C = np.array([[4.0, 3.0], [3.0, 9.0]])
    np.testing.assert_allclose(cone_weights(C, [1, 1], 0), [1 / 6, 1 / 2, 1 / 3], rtol=1e-14)
    np.testing.assert_allclose(cone_weights(np.diag([2.0, 5.0]), [1, 1], 0), [0.25, 0.5, 0.25], rtol=1e-14)


def test_a_matrix_of_two_columns_has_the_weights_of_a_right_circular_cone():
    """2 x 2 matrices that are positive semidefinite, in their plain metric: half an opening of 45 degrees."""
    found = cone_weights(np.diag([1.0, 0.5, 1.0]), [2], 0)
    whole, edge = (1.0 - np.sqrt(0.5)) / 2.0, np.sqrt(0.5) / 2.0
    np.testing.assert_allclose(found, [0.5 - edge, 0.5 - whole, edge, whole], atol=0.01)
    scaled = cone_weights(np.diag([4.0, 3.0, 9.0]), [2], 0)  # columns times 1 / sqrt(2), 1 / sqrt(3)
    np.testing.assert_allclose(scaled, found, atol=1e-6)


def test_a_projection_is_the_nearest_matrix_without_negative_eigenvalues():
    """In the plain metric eigenvalues are clipped; in any other the way to the rest is square to it."""
    r = np.random.default_rng(0)
    w = r.normal(size=(20, 4))  # a matrix of two columns, and a variance
    x = chi_bar_squared._projected(w, np.eye(4), [2, 1])
    for before, after in zip(w, x, strict=True):
        A = np.array([[before[0], before[1] / np.sqrt(2)], [before[1] / np.sqrt(2), before[2]]])
        values, vectors = np.linalg.eigh(A)
        B = vectors * np.maximum(values, 0.0) @ vectors.T
        np.testing.assert_allclose(
            after, [B[0, 0], np.sqrt(2) * B[0, 1], B[1, 1], max(before[3], 0.0)], atol=1e-7
        )
    root = r.normal(size=(4, 4))
    metric = root @ root.T + np.eye(4)
    x = chi_bar_squared._projected(w, metric, [2, 1])
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", w - x, metric, x), 0.0, atol=1e-4)
    assert (np.einsum("ni,ij,nj->n", w - x, metric, np.abs(w) * [0, 0, 0, 1]) <= 1e-4).all()


def test_densities_of_chi_squared_and_the_mass_at_zero():
    x = np.array([0.3, 1.0, 4.5])
    for df in (1, 2, 3, 6):
        np.testing.assert_allclose(chi_bar_squared._log_density(x, df), chi2.logpdf(x, df), rtol=1e-12)
    nothing = np.array([0.0, 0.5e-9, 2e-9])
    assert chi_bar_squared._log_density(nothing, 0).tolist() == [0.0, 0.0, -np.inf]
    assert np.isneginf(chi_bar_squared._log_density(nothing, 2)).tolist() == [True, True, False]


def test_the_tail_of_a_mixture():
    weights = np.array([0.2, 0.5, 0.3])
    expected = 0.5 * chi2.sf(2.5, 1) + 0.3 * chi2.sf(2.5, 2)
    assert mixture_tail(2.5, weights, 0) == pytest.approx(expected, rel=1e-13)
    assert mixture_tail(2.5, weights, 2) == pytest.approx(weights @ chi2.sf(2.5, [2, 3, 4]), rel=1e-13)
    assert mixture_tail(0.9e-9, weights, 0) == mixture_tail(-1.0, weights, 0) == 1.0
    assert mixture_tail(1.1e-9, weights, 0) == pytest.approx(0.8, abs=1e-4)


def test_matrices_are_positive_to_a_share_of_their_largest_entry():
    assert positive([np.diag([1.0, -0.9e-8])])
    assert not positive([np.diag([1.0, -1.1e-8])])
    assert positive([np.diag([-5e-9]), np.diag([1.0])])
    assert not positive([np.diag([1.0]), np.array([[1.0, 1.1], [1.1, 1.0]])])
    assert positive([])


def test_a_family_lies_in_a_wider_one_by_its_columns_and_not_in_one_without_its_covariance():
    def of(bars):
        return units(build_design(f"y ~ x + {bars}", pd.DataFrame(frame())).problem)

    C = embedding(of("(1 | g)"), of("(x | g)"))
    np.testing.assert_allclose(of("(x | g)").combined(C @ [2.0])[0], [[2.0, 0.0], [0.0, 0.0]], atol=1e-9)
    assert embedding(of("(x | g)"), of("diag(x | g)")) is None
    assert embedding(of("diag(x | g)"), of("(x | g)")) is not None
    assert embedding(of("(1 | h)"), of("(x | g)")) is None


def test_a_family_is_found_among_the_matrices_of_other_factors():
    """Rows of the same covariance: the cells of a crossing are those of a factor with all of its levels."""
    n = np.arange(24)
    columns = (np.ones(24), np.tile([0.0, 1.0], 12), np.random.default_rng(2).normal(size=24))
    columns, y = (*columns, 1.0 - columns[1]), columns[2]

    def of(*terms):
        return units(Problem(columns, (0,), y, terms))

    def term(codes, *places, tag=""):
        return Term(0, codes, int(codes.max()) + 1, places, structure_of(tag, len(places)))

    two, six = n % 2, n // 2 % 6
    cells = term(two + 2 * six, 0)
    crossed = of(term(six, 0), term(two, 0), cells)
    np.testing.assert_allclose(embedding(of(cells), crossed)[:, 0], [0.0, 0.0, 1.0], atol=1e-12)
    # the halves of every level of `six`, told apart by the second column: cells as a diagonal family
    halves = of(Term(0, six, 6, (1, 3), structure_of("diag", 2)))
    found = embedding(of(cells), halves)
    np.testing.assert_allclose(found[:, 0], [1.0, 1.0], rtol=1e-12)
    assert embedding(of(term(two, 0)), halves) is None
    assert embedding(of(cells, term(six, 0)), halves) is None


def test_a_column_is_a_combination_of_others_in_their_own_units():
    problem = build_design("y ~ x + (x | g)", pd.DataFrame(frame())).problem
    x = next(c for c in problem.columns if np.ptp(c))
    moved = replace(problem, columns=(*problem.columns, 1e6 * x - 3.0))
    one = replace(problem.terms[0], columns=(len(problem.columns),), structure=structure_of("", 1))
    C = embedding(units(replace(moved, terms=(one,))), units(moved))
    T = units(moved).combined(C @ [2.0])[0]
    places = [problem.columns[c] is x for c in problem.terms[0].columns]
    direction = np.where(places, 1e6, -3.0)
    np.testing.assert_allclose(T, 2.0 * np.outer(direction, direction), rtol=1e-8)
    apart = replace(moved, columns=(*problem.columns, x + 1e-6 * np.cos(np.arange(160.0))))
    assert embedding(units(replace(apart, terms=(one,))), units(apart)) is None
