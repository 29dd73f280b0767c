"""Deletions with the variances held against dense algebra, the rows left, and what cannot be left out."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.engine.inference.information import optimum_at
from lmmkit.engine.influence import deletion, geometry
from lmmkit.engine.influence.deletion import deletions, units_of
from lmmkit.engine.influence.remaining import fit_of_rest, refit_seconds, remaining
from lmmkit.engine.problem import RowResidual
from lmmkit.engine.relations.relationship import DenseRelationship
from lmmkit.errors import FitError

CASES = {
    "nested": ("y ~ x + f + (1 | g/c)", {"weights": "w"}),
    "crossed slopes": ("y ~ x + f + (x | g) + (1 | h)", {}),
    "visits": ("y ~ x", {"residual": "cs(t | g:c)"}),
    "ident": ("y ~ x + (1 | g)", {"residual": "ident(t)"}),
}


@cache
def table() -> pd.DataFrame:
    """The level a of f is seen in group 2 alone."""
    r = np.random.default_rng(7)
    g, t = np.repeat(np.arange(6), 6), np.tile(np.arange(3), 12)
    data = pd.DataFrame({"g": g, "c": np.repeat(np.tile([0, 1], 6), 3), "t": t, "h": r.integers(0, 4, 36)})
    data["x"], data["w"] = r.normal(size=36), r.uniform(0.5, 2.0, 36)
    data["f"] = np.where((g == 2) & (t == 0), "a", np.where(r.random(36) < 0.5, "b", "c"))
    data["y"] = data.x + r.normal(size=6)[g] + 0.5 * r.normal(size=4)[data.h] + r.normal(size=36)
    return data


@cache
def fitted(name: str):
    formula, how = CASES[name]
    return lmm(formula, table(), **how).estimates


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("few", [1_500, 0])
@pytest.mark.parametrize("many", [100, 0])
def test_estimates_and_squares_are_those_of_the_criterion_of_the_rows_left(name, few, many, monkeypatch):
    monkeypatch.setattr(geometry, "FEW", few)
    monkeypatch.setattr(deletion, "MANY", -1 if many == 0 else many)
    monkeypatch.setattr(deletion, "FEW_COLUMNS", few)
    estimates = fitted(name)
    optimum = estimates.optimum
    shape = geometry.geometry(optimum)
    codes = np.where(table().g == 4, 0, np.where(table().index < 3, 1, -1))
    found = deletions(shape, units_of(codes, 2))
    assert found.sizes.tolist() == [6, 3]
    assert found.estimable.all()
    S, scale = optimum.prepared.basis, optimum.prepared.scale
    for unit in (0, 1):
        left = remaining(estimates.problem, codes != unit)
        rho = None if left.residual is None else estimates.rho
        alone = optimum_at(left, estimates.factors, rho, reml=True)
        own = alone.prepared.beta + alone.prepared.scale * alone.prepared.basis @ alone.state.beta
        assert estimates.beta - scale * S @ found.shift[unit] == pytest.approx(own, abs=1e-9)
        square = alone.prepared.scale**2 * alone.state.r2
        assert scale**2 * found.r2[unit] == pytest.approx(square, rel=1e-9)
        H, inner = alone.prepared.basis, np.linalg.inv(alone.state.XVX)
        assert S @ found.Phi[unit] @ S.T == pytest.approx(H @ inner @ H.T, abs=1e-9)


def test_rows_that_alone_estimate_a_coefficient_are_lost():
    estimates = fitted("nested")
    found = deletions(geometry.geometry(estimates.optimum), units_of(table().g.to_numpy(), 6))
    assert found.estimable.tolist() == [True, True, False, True, True, True]
    assert np.isnan(found.shift[2]).all()
    assert np.isnan(found.r2[2])
    assert np.isfinite(found.shift[3]).all()
    direction = np.abs(found.lost[2]) / np.abs(found.lost[2]).max()
    names = list(estimates.names)
    assert all(direction[i] > 1e-6 for i, name in enumerate(names) if name.startswith("f["))
    assert direction[names.index("x")] < 1e-6


def test_units_of_codes_and_what_is_of_none():
    units = units_of(np.array([1, 0, -1, 1, 2, 1]), 4)
    assert units.sizes.tolist() == [1, 3, 1, 0]
    assert units.rows(1).tolist() == [0, 3, 5]
    wanted = np.array([True, False, True, False])
    assert [units.tolist() for units, _ in units.only(wanted)] == [[0, 2]]


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("MOST_COLUMNS", 5, "solves for 16 crossed random effects as one dense matrix, of at most 5 columns"),
        ("LARGEST_BLOCK", 2, "one of them has 3 rows, of at most 2"),
        ("MOST_SQUARES", 50.0, r"add up to 1\.1e\+02, of at most 5e\+01"),
    ],
)
def test_what_is_too_large_for_one_dense_matrix_is_refused(limit, value, words, monkeypatch):
    optimum = fitted("crossed slopes" if limit == "MOST_COLUMNS" else "visits").optimum
    geometry.geometry(optimum)
    monkeypatch.setattr(geometry, limit, value)
    with pytest.raises(FitError, match=words):
        geometry.geometry(optimum)
    monkeypatch.setattr(
        geometry, limit, {"MOST_COLUMNS": 16, "LARGEST_BLOCK": 3, "MOST_SQUARES": 108.0}[limit]
    )
    geometry.geometry(optimum)


def test_the_rows_left_have_their_own_levels_and_subjects():
    keep = (table().g != 1).to_numpy()
    left = remaining(fitted("nested").problem, keep)
    assert [term.levels for term in left.terms] == [10, 5]
    assert all(set(term.codes) == set(range(term.levels)) for term in left.terms)
    assert left.weights.tolist() == table().w[keep].tolist()
    visits = remaining(fitted("visits").problem, keep)
    assert sorted(set(visits.residual.subjects)) == list(range(10))
    assert visits.residual.cells.tolist() == table().t[keep].tolist()
    assert len(visits.residual.names) == 10


def test_rows_left_that_are_no_problem_are_refused():
    one = remaining(fitted("nested").problem, (table().g == 3).to_numpy())
    with pytest.raises(FitError, match="a grouping factor has a single level in the rows left"):
        fit_of_rest(one, fitted("nested"), None)
    with pytest.raises(FitError, match="a visit of the residual structure has no row among the rows left"):
        remaining(fitted("visits").problem, (table().t != 2).to_numpy())
    estimates = fitted("nested")
    with pytest.raises(FitError, match="do not estimate all coefficients"):
        fit_of_rest(remaining(estimates.problem, (table().g != 2).to_numpy()), estimates, None)


def test_a_function_of_the_variance_keeps_its_covariate_and_its_times():
    estimates = lmm(
        "y ~ x", table().assign(day=lambda d: d.t + 0.1 * d.g), residual="car1(day | g:c)"
    ).estimates
    keep = (table().g != 1).to_numpy()
    residual = remaining(estimates.problem, keep).residual
    assert isinstance(residual, RowResidual)
    assert residual.times.tolist() == (table().t + 0.1 * table().g)[keep].tolist()
    assert residual.covariate is None


def test_a_refit_takes_longer_the_larger_its_problem():
    optimum = fitted("nested").optimum
    more = replace(optimum.problem, response=np.tile(optimum.problem.response, 3))
    assert refit_seconds(replace(optimum, problem=more)) > refit_seconds(optimum) > 0.0
    assert refit_seconds(fitted("visits").optimum) > refit_seconds(optimum) / 10.0


@pytest.mark.parametrize(
    ("limit", "value", "local"),
    [
        ("LARGEST_BLOCK", 3, (0,)),  # rows of a cell; those of a group are 6
        ("LARGEST_BLOCK", 5, (0,)),
        ("LARGEST_BLOCK", 6, (0, 1)),
        ("MOST_SQUARES", 108.0, (0,)),
        ("MOST_SQUARES", 215.0, (0,)),
        ("MOST_SQUARES", 216.0, (0, 1)),
        ("FEW", 6, (0,)),  # effects that are left: of the 6 groups, of all 18
        ("FEW", 5, (0, 1)),
        ("FEW", 18, ()),
    ],
)
def test_factors_are_inverted_within_blocks_as_far_as_these_are_small(limit, value, local, monkeypatch):
    monkeypatch.setattr(geometry, "FEW", 0)
    monkeypatch.setattr(geometry, limit, value)
    assert geometry.geometry(fitted("nested").optimum).local == local


def test_a_refit_begins_from_all_rows_but_where_a_variance_is_zero(monkeypatch):
    """From a zero it would stay there."""
    given, estimates = list[object](), fitted("nested")
    monkeypatch.setattr(
        "lmmkit.engine.influence.remaining.solve", lambda left, **how: given.append(how) or estimates
    )
    left = remaining(estimates.problem, (table().g != 1).to_numpy())
    for zeros in ((0, 0), (0, 1)):
        fit_of_rest(left, replace(estimates, null_directions=zeros), None)
    assert [how["start"] for how in given] == [estimates.factors, None]
    assert {how["reml"] for how in given} == {True}


def test_levels_that_rows_have_with_weight_zero_alone_are_left_out():
    problem, keep = fitted("nested").problem, (table().g != 1).to_numpy()
    term = next(term for term in problem.terms if term.levels == 12)
    gone = np.full(36, term.codes[~keep][0])
    members = ((term.codes, np.ones(36)), (gone, np.zeros(36)))
    left = remaining(replace(problem, terms=(replace(term, members=members),)), keep).terms[0]
    assert left.levels == 10
    assert left.members[0][0].tolist() == left.codes.tolist()
    whole = (members[0], (gone, np.full(36, 0.5)))
    assert remaining(replace(problem, terms=(replace(term, members=whole),)), keep).terms[0].levels == 11


def test_rows_of_related_levels_are_left_out_of_the_fit_with_their_covariance(monkeypatch):
    problem = fitted("crossed slopes").problem
    K = np.eye(6) + 0.4 * np.cos(np.subtract.outer(np.arange(6), np.arange(6)))
    terms = tuple(
        replace(term, relation=DenseRelationship(K)) if term.levels == 6 else term for term in problem.terms
    )
    problem, factors = replace(problem, terms=terms), fitted("crossed slopes").factors
    optimum, codes = optimum_at(problem, factors, reml=True), np.where(table().g == 4, 0, -1)
    found = deletions(geometry.geometry(optimum), units_of(codes, 1))
    alone = optimum_at(remaining(problem, codes < 0), factors, reml=True)

    def beta(at, state):
        return at.prepared.beta + at.prepared.scale * at.prepared.basis @ state

    ours = beta(optimum, optimum.state.beta - found.shift[0])
    np.testing.assert_allclose(ours, beta(alone, alone.state.beta), atol=1e-9)
    square = alone.prepared.scale**2 * alone.state.r2
    assert optimum.prepared.scale**2 * found.r2[0] == pytest.approx(square, rel=1e-9)
    monkeypatch.setattr(geometry, "MOST_LEVELS", 5)
    with pytest.raises(FitError) as caught:
        geometry.geometry(optimum)
    assert str(caught.value) == (
        "influence() takes a dense root of the covariance between related levels: 6 here, of at most 5."
    )
