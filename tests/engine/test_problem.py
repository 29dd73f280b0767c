"""The arrays of a problem: what a term, the residuals and the columns make of its rows, by equations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.differences import differences
from support.visits import STRUCTURES, true_rho

from lmmkit.engine.covariance.row_structure import RowStructure, Serial, Spatial, VarianceFunction
from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.problem import FitNumbers, Prepared, Problem, Residual, RowResidual, Term
from lmmkit.engine.relations.relationship import dense_relationship

CODES = np.array([0, 2, 1, 2])
ONE, OTHER = (CODES, np.array([0.7, 0.5, 1.0, 0.2])), (np.array([1, 1, 0, 0]), np.array([0.3, 0.5, 0.0, 0.8]))
HALF = np.array([[1.0, 0.0], [0.5, 2.0], [3.0, -1.0]])
RELATED = dense_relationship(HALF @ HALF.T)


def term(members=(), relation=None, columns=(0, 2)):
    return Term(0, CODES, 3, columns, Unstructured(len(columns)), members, relation)


def test_a_term_is_plain_where_rows_have_one_level_each_and_levels_are_independent():
    assert term().plain
    assert not term(members=(ONE, OTHER)).plain
    assert not term(relation=RELATED).plain
    assert not term((ONE, OTHER), RELATED).plain


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 2)])
def test_effects_on_rows_are_those_of_the_level_or_the_weighted_sum_of_members(shape):
    b = np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(term().on_rows(b), b[CODES])
    found = term(members=(ONE, OTHER)).on_rows(b)
    expected = [0.7 * b[0] + 0.3 * b[1], 0.5 * b[2] + 0.5 * b[1], b[1], 0.2 * b[2] + 0.8 * b[0]]
    np.testing.assert_allclose(found, expected)


def test_effects_are_numbers_through_the_root_of_a_level_and_of_the_relation():
    L, u = (
        np.array([[2.0, 0.0], [0.5, 3.0]]),
        np.arange(1.0, 13.0).reshape(6, 2),
    )  # levels, columns; two draws
    assert (term().rank, term(relation=RELATED).rank) == (3, 2)
    each = np.einsum("ab,jbr->jar", L, u.reshape(3, 2, 2))
    np.testing.assert_allclose(term().effects(L, u), each)
    A = RELATED.half
    each = np.einsum("jl,ab,lbr->jar", A, L, u[:4].reshape(2, 2, 2))
    np.testing.assert_allclose(term(relation=RELATED).effects(L, u[:4]), each)
    np.testing.assert_allclose(A @ A.T, HALF @ HALF.T, atol=1e-12)


def test_a_subject_has_its_name_or_its_number_from_one():
    for make in (
        lambda names: Residual(STRUCTURES["cs"], np.arange(3), np.zeros(3, int), names),
        lambda names: RowResidual(RowStructure(None, STRUCTURES["cs"]), np.zeros(3, int), names=names),
    ):
        assert (make(()).named(0), make(()).named(4)) == ("1", "5")
        assert make(np.array([7, 9])).named(1) == "9"


def test_rows_are_independent_where_nothing_correlates_them():
    cells = np.arange(3)
    for name, independent in (("cs", False), ("ident(f)", True), ("ident(f) * cs", False)):
        assert Residual(STRUCTURES[name], cells, cells).independent == independent
    function = VarianceFunction("exp", ("exp",))
    assert RowResidual(RowStructure(function, None), cells).independent
    assert not RowResidual(RowStructure(function, Serial(1.0, 1.0, 2.0)), cells).independent


def test_visits_have_the_entries_of_their_cells():
    structure = STRUCTURES["csh"]
    residual = Residual(structure, np.array([3, 0, 2, 0, 1]), np.array([0, 0, 0, 1, 1]))
    rho = true_rho(structure)
    R, rows = structure.matrix(rho), np.array([2, 0])
    np.testing.assert_allclose(residual.sds(rho), np.sqrt(np.diag(R))[[3, 0, 2, 0, 1]])
    np.testing.assert_allclose(residual.block(rho, rows), R[np.ix_([2, 3], [2, 3])])
    slopes = differences(lambda x: residual.block(x, rows), rho)
    np.testing.assert_allclose(residual.block_slopes(rho, rows), slopes, atol=1e-8)


V = np.array([0.5, 3.0, 1.5, 2.0])
TIMES = np.array([4.0, 1.0, 2.5, 0.5])
PLACES = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0], [0.0, 2.0]])
ROWS = np.array([1, 3, 0])
POWER = VarianceFunction("power", ("power",))
ROW_RESIDUALS = {  # with coordinates, and the correlations of three rows at them
    "variance": (RowResidual(RowStructure(POWER, None), np.arange(4), V), [0.7], np.eye(3)),
    "times": (
        RowResidual(RowStructure(None, Serial(1.0, 0.5, 3.5)), np.zeros(4, int), times=TIMES),
        [np.log(2.0)],
        np.exp(-np.abs(np.subtract.outer(TIMES[ROWS], TIMES[ROWS])) / 2.0),
    ),
    "variance and places": (
        RowResidual(
            RowStructure(POWER, Spatial(1.0, 1.0, 5.0, nugget=True)), np.zeros(4, int), V, positions=PLACES
        ),
        [0.7, np.log(2.0), 0.0],  # the nugget is a half
        np.where(np.eye(3), 1.0, 0.5 * np.exp(np.array([[0, 13, 25], [13, 0, 4], [25, 4, 0]]) ** 0.5 / -2.0)),
    ),
    "variance and visits": (
        RowResidual(RowStructure(POWER, STRUCTURES["cs"]), np.zeros(4, int), V, cells=np.array([2, 0, 3, 1])),
        [0.7, 0.0],  # halfway from -1/3 to 1
        np.where(np.eye(3), 1.0, 1.0 / 3.0),
    ),
}


@pytest.mark.parametrize("name", ROW_RESIDUALS)
def test_residuals_of_rows_are_the_product_of_their_sds_and_correlations(name):
    residual, given, C = ROW_RESIDUALS[name]
    rho, g = np.array(given), V**0.7 if "variance" in name else np.ones(4)
    np.testing.assert_allclose(residual.sds(rho), g)
    np.testing.assert_allclose(residual.block(rho, ROWS), C * np.outer(g[ROWS], g[ROWS]))
    slopes = differences(lambda x: residual.block(x, ROWS), rho)
    np.testing.assert_allclose(residual.block_slopes(rho, ROWS), slopes, atol=1e-8)
    logs = [np.log(V)] if "variance" in name else np.empty((0, 4))
    np.testing.assert_allclose(residual.log_sd_slopes(), logs)
    assert (residual.over_visits is not None) == ("visits" in name)


def test_a_variance_of_each_visit_beside_one_of_rows_multiplies_it():
    structure = RowStructure(POWER, STRUCTURES["csh"])
    residual = RowResidual(structure, np.zeros(4, int), V, cells=np.array([2, 0, 3, 1]))
    rho = np.array([0.7, 0.3, -0.2, 0.5, 0.0])
    np.testing.assert_allclose(residual.sds(rho), V**0.7 * np.exp([-0.2, 0.0, 0.5, 0.3]))


def test_a_covariate_that_is_not_known_yet_has_no_slopes():
    residual = RowResidual(RowStructure(POWER, None), np.arange(4))
    with pytest.raises(ValueError, match="covariate of the variance function is not known yet"):
        residual.log_sd_slopes()


def test_distances_are_in_time_or_in_space():
    times, places = (ROW_RESIDUALS[name][0] for name in ("times", "variance and places"))
    np.testing.assert_allclose(times.distances(ROWS), [[0.0, 0.5, 3.0], [0.5, 0.0, 3.5], [3.0, 3.5, 0.0]])
    np.testing.assert_allclose(places.distances(ROWS)[0], [0.0, np.sqrt(13.0), 5.0])


COLUMNS = (np.ones(4), np.array([1.0, 2.0, 4.0, 8.0]), np.array([3.0, 0.0, -1.0, 5.0]))
GIVEN = Problem(COLUMNS, (2, 0, 1), np.zeros(4), (term(), term(columns=(1,))))


def test_the_columns_of_a_problem_are_those_of_its_parts():
    assert GIVEN.effects == 3 * 2 + 3 * 1
    np.testing.assert_array_equal(GIVEN.X((0, 2)), np.column_stack([COLUMNS[2], COLUMNS[1]]))
    assert GIVEN.X(()).shape == (4, 0)
    np.testing.assert_array_equal(GIVEN.term_columns(GIVEN.terms[0]), np.column_stack(COLUMNS[::2]))


def test_the_mean_is_the_fixed_part_with_the_offset_and_the_random_part():
    beta, offset = np.array([2.0, -0.5]), np.array([0.1, 0.2, 0.3, 0.4])
    fixed = 2.0 * COLUMNS[2] - 0.5 * COLUMNS[1]
    np.testing.assert_allclose(GIVEN.fixed_part((0, 2), beta), fixed)
    moved = replace(GIVEN, offset=offset)
    np.testing.assert_allclose(moved.fixed_part((0, 2), beta), fixed + offset)
    np.testing.assert_array_equal(offset, [0.1, 0.2, 0.3, 0.4])
    first, second = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([[0.5], [0.25], [2.0]])
    mean = GIVEN.plus_random(fixed, (first, second))
    random = first[CODES, 0] + first[CODES, 1] * COLUMNS[2] + second[CODES, 0] * COLUMNS[1]
    np.testing.assert_allclose(mean, fixed + random)
    several = [np.stack([b, 3.0 * b], axis=2) for b in (first, second)]
    many = GIVEN.plus_random(np.stack([fixed, 0.0 * fixed], axis=1), several)
    np.testing.assert_allclose(many, np.stack([fixed + random, 3.0 * random], axis=1))


def test_prepared_rows_end_with_the_response():
    rows = np.arange(12.0).reshape(3, 4)
    prepared = Prepared(rows, None, (0,), (0,), ((1,),), np.eye(1), (np.eye(1),), np.zeros(1), 1.0, 0.0)
    assert prepared.response == 2
    np.testing.assert_array_equal(prepared.views[2], rows[2])
    assert prepared.views is prepared.views


def test_a_record_from_before_residual_structures_has_no_coordinates():
    given = {
        "reml": 1,
        "kept": [0, 2],
        "beta": [1, 2],
        "unscaled_vcov": [4, 1, 1, 9],
        "sigma": 2,
        "deviance": 5,
        "factors": [[[1, 0], [2, 3]], [[4]]],
        "null_directions": [0, 1],
        "converged": 1,
        "evaluations": 7,
    }
    found = FitNumbers.from_dict(given)
    assert (found.reml, found.kept, found.converged, found.rho.shape) == (True, (0, 2), True, (0,))
    assert found.unscaled_vcov.tolist() == [[4.0, 1.0], [1.0, 9.0]]
    assert [factor.tolist() for factor in found.factors] == [[[1.0, 0.0], [2.0, 3.0]], [[4.0]]]
    assert FitNumbers.from_dict({**given, "rho": [0.5]}).rho.tolist() == [0.5]
    with pytest.raises(ValueError, match="reshape"):
        FitNumbers.from_dict({**given, "beta": [1, 2, 3]})
