"""What cannot be estimated is refused before any search: each limit, and the case beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.patterns import deviance
from support.visits import STRUCTURES, trial

from lmmkit.engine import setup as module
from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.covariance.row_structure import RowStructure, VarianceFunction
from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.covariance.structures import Diagonal, Unstructured
from lmmkit.engine.problem import Problem, Residual, RowResidual, Term
from lmmkit.engine.relations.pedigree import pedigree_of
from lmmkit.engine.relations.relationship import dense_relationship
from lmmkit.engine.setup import set_up, subset
from lmmkit.errors import FitError


def problem_of(levels, rows, k=1, p=1, factors=1, structure=Unstructured):
    """Some rows in each level of a factor, others crossed with it."""
    rng, n = np.random.default_rng(0), levels * rows
    columns = (np.ones(n), *rng.normal(size=(max(k, p) - 1, n)))
    codes = [np.repeat(np.arange(levels), rows), *(rng.permutation(n) % levels for _ in range(factors - 1))]
    terms = tuple(Term(f, code, levels, tuple(range(k)), structure(k)) for f, code in enumerate(codes))
    return Problem(columns, tuple(range(p)), rng.normal(size=n), terms)


def refused(match, problem, **options):
    with pytest.raises(FitError, match=match):
        set_up(problem, reml=True, **options)


def test_as_many_fixed_effects_as_rows():
    refused("fixed effects reproduce the response exactly", problem_of(3, 2, p=6))
    assert set_up(problem_of(3, 2, p=5), reml=True)


@pytest.mark.parametrize("structure", [Unstructured, Diagonal])
def test_as_many_random_effects_as_rows(structure):
    refused("3 levels x 2 columns = 6 random effects for 6 rows", problem_of(3, 2, k=2, structure=structure))
    assert set_up(problem_of(3, 3, k=2, structure=structure), reml=True)


def test_where_the_variances_are_given_there_may_be_few_rows():
    assert set_up(problem_of(6, 1), reml=True, estimated=False)


def test_a_response_that_does_not_vary_within_levels():
    given = problem_of(5, 4)
    y = np.repeat(np.arange(5.0), 4)
    alike = Problem(given.columns, given.fixed, y, given.terms)
    refused("does not vary within the levels of a grouping factor", alike)
    varied = Problem(given.columns, given.fixed, y + 1e-3 * given.response, given.terms)
    assert set_up(varied, reml=True)


def test_crossed_effects_beyond_the_limits_of_memory(monkeypatch):
    assert (module.WIDEST, module.CELLS) == (15_000, 4e8)
    problem = problem_of(8, 5, factors=2)
    monkeypatch.setattr(module, "WIDEST", 8)
    assert set_up(problem, reml=True)
    monkeypatch.setattr(module, "WIDEST", 7)
    refused("have 8 random effects; their equations are solved as one dense matrix, of at most 7", problem)


def test_a_residual_structure_beside_a_pedigree():
    names, n = [f"a{i}" for i in range(8)], 24
    pedigree = pedigree_of(names, ["", "", *names[:6]], [""] * 8)
    codes = np.arange(n) % 8
    structure = one_correlation("cs", (1, 2, 3), ("1", "2", "3"))
    residual = Residual(structure, np.repeat(np.arange(3), 8), codes)
    term = Term(0, codes, 8, (0,), Unstructured(1), (), pedigree)
    y = np.random.default_rng(1).normal(size=n)
    refused("beside relatives of a pedigree", Problem((np.ones(n),), (0,), y, (term,), residual=residual))


def test_the_start_is_the_lowest_of_those_that_there_are():
    structure = one_correlation("ar1", (1, 2, 3, 4), tuple("1234"))
    cells, subjects = np.tile(np.arange(4), 20), np.repeat(np.arange(20), 4)
    y = np.random.default_rng(2).normal(size=80) + np.repeat(np.random.default_rng(3).normal(size=20), 4)
    found = set_up(
        Problem((np.ones(80),), (0,), y, (), residual=Residual(structure, cells, subjects)), reml=True
    )
    source = found.criterion.source
    starts = source.structure.starts(*source.products())
    deviances = [found.criterion.evaluate(rho).deviance for rho in starts]
    assert len(starts) > 1
    assert found.criterion.evaluate(found.start()).deviance == min(deviances)


@pytest.mark.parametrize("reml", [True, False])
def test_the_deviance_is_that_of_the_units_of_the_data(reml):
    """Prepared columns are centred and scaled, weights multiplied in: all of it is in the constant."""
    given = problem_of(5, 6, p=2)
    weighted = replace(
        given,
        columns=(given.columns[0], given.columns[1] * 7.0 + 30.0),
        response=given.response * 40.0 + 100.0,
        weights=np.linspace(0.5, 3.0, 30),
    )
    L = np.array([[0.8]])
    found = set_up(weighted, reml=reml)
    at = found.criterion.evaluate(found.start(factors=(L,)))
    assert at.deviance == pytest.approx(deviance(weighted, [L @ L.T], reml), abs=1e-9)


def test_patterns_of_as_many_effects_as_rows_are_of_fewer_parameters():
    structure = structure_of("homcs", 2)
    assert set_up(problem_of(3, 2, k=2, structure=lambda k: structure), reml=True)


@pytest.mark.parametrize("k", [1, 2])
def test_levels_that_are_not_related_have_several_rows_each(k):
    given = problem_of(6, k, k=k)
    unrelated, related = np.eye(8), np.eye(8) + np.eye(8, k=1) / 3 + np.eye(8, k=-1) / 3

    def beside(K, problem=given):
        return replace(problem, terms=(replace(problem.terms[0], levels=8, relation=dense_relationship(K)),))

    refused(
        f"The 6 levels of a random-effects term that have rows are not related to each other, for {6 * k} ",
        beside(unrelated),
    )
    assert set_up(beside(related), reml=True)
    assert set_up(beside(unrelated, problem_of(6, k + 1, k=k)), reml=True)


def test_outer_factors_beside_crossed_ones_beyond_the_limits_of_memory(monkeypatch):
    """8 levels within 4, 3 crossed with them: 4 x 3 numbers couple the outer factor with the crossed one."""
    given = problem_of(8, 6)
    n = np.arange(48)
    outer, crossed = (
        Term(f, codes, int(codes.max()) + 1, (0,), Unstructured(1)) for f, codes in ((1, n // 12), (2, n % 3))
    )
    nested = replace(given, terms=(*given.terms, outer, crossed))
    monkeypatch.setattr(module, "CELLS", 12)
    assert set_up(nested, reml=True)
    monkeypatch.setattr(module, "CELLS", 11)
    refused(
        "A factor that others are nested in has 4 random effects, the crossed ones have 3; what couples them "
        "is a matrix of 12 numbers, at most 1e\\+01 are kept",
        nested,
    )
    assert set_up(replace(nested, terms=nested.terms[::2]), reml=True)  # without the outer factor


def test_what_a_pedigree_relates_has_limits_of_its_own(monkeypatch):
    names = [f"a{i}" for i in range(8)]
    pedigree = pedigree_of(names, ["", "", *names[:6]], [""] * 8)
    monkeypatch.setattr(module, "WIDEST", 3)
    term = Term(0, np.arange(24) % 8, 8, (0,), Unstructured(1), (), pedigree)
    y = np.random.default_rng(1).normal(size=24)
    assert set_up(Problem((np.ones(24),), (0,), y, (term,)), reml=True).layout.sparse


def test_where_the_variances_are_given_the_response_need_not_vary_within_levels():
    given = problem_of(5, 4)
    alike = replace(given, response=np.repeat(np.arange(5.0), 4))
    assert set_up(alike, reml=True, estimated=False)


def test_random_effects_of_the_subjects_are_refused_beside_visits_and_not_beside_visits_of_rows():
    """Beside a variance function the term is no change of the parameters of the visits."""
    problem = trial("cs")
    residual, n = problem.residual, len(problem.response)
    term = Term(0, residual.subjects, int(residual.subjects.max()) + 1, (0,), Unstructured(1))
    refused("cannot be told apart", replace(problem, terms=(term,)))
    structure = RowStructure(VarianceFunction("exp", ("exp",)), residual.structure)
    covariate = np.random.default_rng(1).normal(size=n)
    varied = RowResidual(structure, residual.subjects, covariate, cells=residual.cells)
    assert set_up(replace(problem, terms=(term,), residual=varied), reml=True)


def test_visits_beside_a_variance_function_are_asked_for_what_rows_tell():
    n = np.arange(30)
    structure = RowStructure(VarianceFunction("exp", ("exp",)), STRUCTURES["cs"])
    residual = RowResidual(structure, n, np.linspace(0.0, 1.0, 30), cells=n % 4)
    y = np.random.default_rng(1).normal(size=30)
    refused("Every subject has one row", Problem((np.ones(30),), (0,), y, (), residual=residual))


def test_a_part_has_the_fixed_columns_of_the_whole_and_leaves_the_same_out():
    given = problem_of(6, 5, k=2, p=2)
    columns = (*given.columns, given.columns[0] + given.columns[1])
    given = replace(given, columns=columns, fixed=(0, 1, 2))
    whole = set_up(given, reml=True)
    part = replace(given, terms=(replace(given.terms[0], columns=(0,), structure=Unstructured(1)),))
    assert subset(whole, part).prepared.kept == (0, 1)
    assert subset(whole, replace(part, fixed=(0, 1))) is None


def test_a_start_tries_other_correlations_of_a_pattern():
    """Five levels of six rows, whose moments are next to uncorrelated and the likelihood is not."""
    rng, structure = np.random.default_rng(33), structure_of("ar1", 3)
    codes, place = np.repeat(np.arange(5), 6), np.tile([0, 1, 2], 10)
    columns = (np.ones(30), *((place == j) * 1.0 for j in range(3)))
    y = rng.normal(size=30) + 2.0 * rng.normal(size=5)[codes]
    found = set_up(Problem(columns, (0,), y, (Term(0, codes, 5, (1, 2, 3), structure),)), reml=True)
    first = module.moment_start(found.raw, found.absorbed, found.layout, 30, 0.25)
    ways = [first, *structure.trials(first)]
    deviances = [found.criterion.evaluate(way).deviance for way in ways]
    assert deviances[-1] == min(deviances) < deviances[0]
    np.testing.assert_array_equal(found.start(0.25), ways[-1])
