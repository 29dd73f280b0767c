"""The search on random overparametrised models: from a start anywhere it ends at the same deviance."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from lmmkit.engine.covariance.structures import Diagonal, Unstructured
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.rules import SEARCH
from lmmkit.engine.search.newton import minimise
from lmmkit.engine.search.profiled_deviance import ProfiledDeviance
from lmmkit.engine.setup import set_up
from lmmkit.engine.solve import solve

SEEDS = 100
ROUGH = replace(SEARCH, enough=1e-9)  # of the deviance, which is asked for to 1e-6


def random_columns(rng, n):
    """A constant, three continuous columns on scales of their own, a dummy."""
    continuous = [rng.normal(size=n) * rng.uniform(0.1, 10) + rng.normal() * 3 for _ in range(3)]
    return (np.broadcast_to(1.0, n), *continuous, rng.integers(0, 2, n) * 1.0)


def random_codes(rng, n, below):
    """Levels of a factor, now and then one that contains the factor below."""
    if below is not None and rng.random() < 0.4:
        codes = rng.integers(0, max(2, below.max() // 3), below.max() + 1)[below]
    else:
        codes = rng.integers(0, rng.integers(4, 30), n)
    return np.unique(codes, return_inverse=True)[1]


def random_term(rng, n, factor, codes, most):
    """A term of up to `most` columns, and no more than the rows can bear."""
    levels, k = int(codes.max()) + 1, int(rng.integers(1, most))
    while n <= 1.5 * levels * k and k > 1:
        k -= 1
    if rng.random() < 0.85:
        columns = (0, *sorted(rng.choice([1, 2, 3, 4], k - 1, replace=False)))
    else:
        columns = tuple(sorted(rng.choice(5, k, replace=False)))
    structure = Unstructured if rng.random() < 0.8 else Diagonal
    return Term(factor, codes, levels, tuple(int(c) for c in columns), structure(k))


def random_problem(seed):
    """Crossed and nested terms, more of them than the data were made with: many optima are singular."""
    rng = np.random.default_rng(seed)
    count, n = int(rng.integers(1, 4)), int(rng.integers(80, 500))
    columns, codes, terms = random_columns(rng, n), None, []
    for factor in range(count):
        codes = random_codes(rng, n, codes)
        terms.append(random_term(rng, n, factor, codes, 5 if count == 1 else 4))
    y = rng.normal(size=n) * rng.uniform(0.5, 2)
    for term in terms:
        k = len(term.columns)
        rank = int(rng.integers(0, k + 1))
        b = rng.normal(size=(term.levels, rank)) @ rng.normal(size=(rank, k)) * rng.uniform(0, 1.5)
        for effect, column in zip(b.T, term.columns, strict=True):
            y = y + effect[term.codes] * columns[column] / max(np.std(columns[column]), 0.3)
    return Problem(columns, tuple(range(int(rng.integers(1, 5)))), y, tuple(terms))


@cache
def fitted(seed):
    """Its problem made ready and its fit, by REML for even numbers."""
    problem, reml = random_problem(seed), seed % 2 == 0
    setup = set_up(problem, reml=reml)
    return setup, solve(problem, reml=reml, setup=setup)


def from_anywhere(setup, seed):
    """The deviance at which a search from a random start ends."""
    rng, L = np.random.default_rng(seed), []
    for factor, scale in zip(setup.layout.factors, setup.scale, strict=True):
        A = np.tril(rng.normal(size=(factor.width, factor.width))) * rng.uniform(0.2, 4) / scale[:, None]
        L.append(
            np.linalg.cholesky(A @ A.T * factor.structure.span.any(axis=0) + 1e-3 * np.diag(scale**-2.0))
        )
    objective = ProfiledDeviance(setup.criterion, setup.scale, SEARCH)
    return minimise(objective, setup.layout.coordinates(L), ROUGH).point.deviance


@pytest.mark.parametrize("decade", range(SEEDS // 10))
def test_a_search_from_anywhere_ends_where_the_fit_does(decade):
    for seed in range(10 * decade, 10 * decade + 10):
        setup, solution = fitted(seed)
        assert solution.deviance == pytest.approx(from_anywhere(setup, seed), abs=1e-6), seed
        assert solution.converged, seed
        assert all(check.passed for check in solution.checks), (seed, solution.checks)


def test_evaluations_stay_few():
    counts = [fitted(seed)[1].evaluations for seed in range(SEEDS)]
    assert np.median(counts) <= 12
    assert np.quantile(counts, 0.9) <= 20
