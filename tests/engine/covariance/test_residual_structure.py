"""Every residual structure over visits: derivatives, what is printed, where a search begins, what it says."""

from __future__ import annotations

import numpy as np
import pytest
from support.differences import differences
from support.visits import CLOSE, STRUCTURES, TIMES, VISITS, true_rho

from lmmkit.engine.covariance.residual_structure import START_CORRELATIONS, one_correlation


@pytest.fixture(params=STRUCTURES)
def name(request):
    return request.param


def test_derivatives_of_r_and_of_what_is_printed(name):
    structure = STRUCTURES[name]
    rho = np.random.default_rng(1).normal(size=structure.count) * 0.4
    D = np.random.default_rng(2).normal(size=(structure.size, structure.size))
    D = D + D.T
    np.testing.assert_allclose(differences(structure.matrix, rho), structure.jacobian(rho), atol=1e-8)
    slope = differences(lambda x: np.einsum("iab,ab->i", structure.jacobian(x), D), rho)
    np.testing.assert_allclose(slope, structure.curvature(rho, D), atol=1e-7)
    np.testing.assert_allclose(
        differences(structure.natural, rho).T, structure.natural_jacobian(rho), atol=1e-8
    )


def test_r_is_positive_definite_wherever_its_rows_differ(name):
    structure = STRUCTURES[name]
    for seed in range(20):
        rho = np.random.default_rng(seed).normal(size=structure.count) * 2.0
        R = structure.matrix(rho)
        places = [cell for block in structure.blocks for cell in block.cells[: block.family.size]]
        assert np.linalg.eigvalsh(R[np.ix_(places, places)])[0] > 0
        assert R[0, 0] == pytest.approx(1.0)


def test_natural_parameters_are_ratios_of_sds_and_correlations(name):
    structure = STRUCTURES[name]
    rho = true_rho(structure)
    R, natural = structure.matrix(rho), dict(zip(structure.names, structure.natural(rho), strict=True))
    s = np.sqrt(R.diagonal())
    for block in structure.blocks:
        for cell, visit in zip(block.cells, block.visits, strict=False):
            for key in (f"{block.prefix}ratio.{visit}", f"{block.prefix}ratio"):
                if key in natural:
                    assert natural[key] == pytest.approx(s[cell] / s[0])
        a, b = block.cells[:2] if block.family.size > 1 else (0, 0)
        first, second = block.visits[:2]
        for key in ("rho", "rho.1", f"rho.{first}.{second}", f"cor.{first}.{second}"):
            if block.prefix + key in natural:
                assert natural[block.prefix + key] == pytest.approx(R[a, b] / (s[a] * s[b]))
    assert len(natural) == structure.count


def test_a_start_at_exact_moments_is_the_member(name):
    structure = STRUCTURES[name]
    rho = true_rho(structure)
    pairs = 50.0 + 3.0 * np.add.outer(structure.visits % 4, structure.visits % 4)
    np.testing.assert_allclose(structure.start(9.0 * pairs * structure.matrix(rho), pairs), rho, atol=1e-10)


def test_cells_of_one_visit_share_its_number_and_those_of_two_groups_never():
    both, arms = STRUCTURES["ident(f) * cs"], STRUCTURES["cs by arm"]
    assert both.visits.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert both.groups.tolist() == [0] * 8
    assert arms.visits.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert arms.groups.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("cs", [[0, 1, 2, 3]]),
        ("csh", [[0], [1], [2], [3]]),
        ("un", [[0], [1], [2], [3]]),
        ("ident(f) * cs", [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ("ident(f) * un", [[0, 4], [1, 5], [2, 6], [3, 7]]),
        ("cs by arm", [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ("un by arm", [[cell] for cell in range(8)]),
    ],
)
def test_cells_with_a_variance_of_their_own(name, cells):
    assert STRUCTURES[name].variances == cells


def test_a_ratio_is_shared_where_all_cells_of_a_group_have_it(name):
    expected = {"cs by arm": [-1, 0], "ar1 by arm": [-1, 0], "un by arm": [-1, 0], "csh by arm": [-1, -1]}
    structure = STRUCTURES[name]
    found = [block.shared_ratio for block in structure.blocks]
    assert found == expected.get(name, [-1])


def test_a_search_may_begin_at_other_correlations_of_neighbours(name):
    structure = STRUCTURES[name]
    pairs = np.full((structure.size, structure.size), 20.0)
    first, *others = structure.starts(pairs * structure.matrix(true_rho(structure)), pairs)
    np.testing.assert_array_equal(
        first, structure.start(pairs * structure.matrix(true_rho(structure)), pairs)
    )
    if "un" in name or name == "ident(f)":
        assert others == []
        return
    assert START_CORRELATIONS == (0.0, 0.4, 0.8)
    ratios = len(structure.ratios)
    for rho, correlation in zip(others, START_CORRELATIONS, strict=True):
        np.testing.assert_array_equal(rho[:ratios], first[:ratios])
        R = structure.matrix(rho)
        near = R[0, 1] / np.sqrt(R[0, 0] * R[1, 1])
        mean = np.mean([correlation**gap for gap in (1, 1, 2, 2, 3, 4)])  # what one number for all pairs is
        assert near == pytest.approx(mean if "cs" in name else correlation)


def test_units_and_coordinates_that_matter():
    for name in ("csh", "ar1 by arm"):
        structure = STRUCTURES[name]
        rho = true_rho(structure)
        assert structure.units(rho).tolist() == [1.0] * structure.count
        assert structure.free(rho).tolist() == [True] * structure.count
    arms = STRUCTURES["un by arm"]
    rho = true_rho(arms)
    own = [block.family.units(rho[cut]) for block, cut in zip(arms.blocks, arms.cuts, strict=True)]
    np.testing.assert_array_equal(arms.units(rho), np.concatenate([[1.0], *own]))


def test_a_bound_of_any_group_is_told():
    structure = STRUCTURES["cs by arm"]  # ratio, cs of A, cs of B
    said = "the correlation of 4 visits has run to its lower bound, -0.333333"
    assert structure.at_bound(np.array([0.0, 1.0, 1.0]), 1e-6) == ""
    assert structure.at_bound(np.array([0.0, 1.0, -15.0]), 1e-6) == said
    assert structure.at_bound(np.array([0.0, -800.0, 1.0]), 1e-6) == said


def test_names_of_one_group():
    plain, each = (one_correlation("cs", CLOSE, VISITS, heterogeneous=h) for h in (False, True))
    assert plain.names == ("rho",)
    assert each.names == ("ratio.2", "ratio.3", "ratio.5", "rho")
    free = one_correlation("un", TIMES, VISITS, heterogeneous=True)  # of its own in any case
    assert free.ratios == ()
    assert free.names[:4] == ("ratio.2", "ratio.3", "ratio.5", "cor.1.2")
    assert free.labels == ("visit 1", "visit 2", "visit 3", "visit 5")
    assert [kind for kind, _ in each.naturals] == ["sd", "sd", "sd", "cor"]
