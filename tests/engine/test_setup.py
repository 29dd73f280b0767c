"""What cannot be estimated is refused before any search: each limit, and the case beside it."""

from __future__ import annotations

import numpy as np
import pytest

from lmmkit.engine import setup as module
from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.covariance.structures import Diagonal, Unstructured
from lmmkit.engine.problem import Problem, Residual, Term
from lmmkit.engine.relations.pedigree import pedigree_of
from lmmkit.engine.setup import set_up
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
