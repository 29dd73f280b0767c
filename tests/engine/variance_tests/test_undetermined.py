"""Dependences among variance parameters, held against matrices written out in full."""

import numpy as np
import pytest

from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.covariance.row_structure import RowStructure, VarianceFunction
from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.problem import Problem, Residual, RowResidual, Term
from lmmkit.engine.relations.relationship import DenseRelationship
from lmmkit.engine.variance_tests import undetermined as module
from lmmkit.engine.variance_tests.undetermined import undetermined


def some_problem(seed):
    """Few rows, factors that may be nested, aliased or saturated, columns constant within some of them."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(12, 40))
    first = rng.integers(0, int(rng.integers(2, 7)), n)
    pool = [np.ones(n), rng.integers(0, 2, n).astype(float), rng.normal(size=n), (first % 2).astype(float)]
    factors = [first, first // 2, rng.integers(0, 4, n), np.arange(n), np.arange(n) // 2]
    fixed = [0, *rng.choice([1, 2, 3], size=int(rng.integers(0, 3)), replace=False).tolist()]
    terms = []
    for _ in range(int(rng.integers(1, 4))):
        codes = np.unique(factors[rng.integers(len(factors))], return_inverse=True)[1]
        k = int(rng.integers(1, 4))
        columns = tuple(sorted(rng.choice(4, size=k, replace=False).tolist()))
        tag = "diag" if k > 1 and rng.random() < 0.3 else ""
        terms.append(Term(0, codes, int(codes.max()) + 1, columns, structure_of(tag, k)))
    weights = rng.uniform(0.5, 2.0, n) if rng.random() < 0.3 else None
    return Problem(tuple(pool), tuple(fixed), np.zeros(n), tuple(terms), weights)


def written_out(problem):
    """The dependences of M V_i M, from their singular values."""
    root = np.ones(len(problem.response)) if problem.weights is None else np.sqrt(problem.weights)
    X = np.column_stack([root * problem.columns[i] for i in problem.fixed])
    M = np.eye(len(X)) - X @ np.linalg.pinv(X)
    flat = [M.ravel()]
    for term in problem.terms:
        J = np.equal.outer(term.codes, term.codes)
        Z = np.column_stack([root * problem.columns[i] for i in term.columns])
        flat += [(M @ (J * (Z @ way @ Z.T)) @ M).ravel() for way in term.structure.generic]
    sizes = [np.linalg.norm(one) for one in flat]
    unit = np.array([one / size if size > 1e-9 else 0 * one for one, size in zip(flat, sizes, strict=True)])
    return len(flat) - int((np.linalg.svd(unit, compute_uv=False) > 1e-7).sum())


@pytest.mark.parametrize("whole", [True, False])
def test_as_many_dependences_as_the_matrices_have(whole, monkeypatch):
    if not whole:  # random vectors in place of all of them
        monkeypatch.setattr(module, "WHOLE", 0)
        monkeypatch.setattr(module, "PROBED", 200)
    counts = [(len(undetermined(p)), written_out(p)) for p in map(some_problem, range(60))]
    assert [one for one, _ in counts] == [other for _, other in counts]
    assert {0, 1, 2} <= {other for _, other in counts}


def test_who_has_a_part_in_a_dependence():
    codes = np.repeat(np.arange(5), 4)
    cells = np.arange(20) // 2
    columns = (np.ones(20), np.tile([0.0, 0.0, 1.0, 1.0], 5))
    wide = Term(0, codes, 5, (0, 1), structure_of("", 2))
    inner = Term(1, cells, 10, (0,), structure_of("", 1))
    rows = Term(2, np.arange(20), 20, (0,), structure_of("", 1))
    problem = Problem(columns, (0, 1), np.zeros(20), (inner, wide, rows))
    assert sorted(map(sorted, undetermined(problem))) in ([[0, 1], [2, 3]], [[0, 1, 2, 3], [0, 1, 2, 3]])
    assert undetermined(Problem(columns, (0, 1), np.zeros(20), (wide,))) == []


@pytest.mark.parametrize(("apart", "found"), [(1e-4, 0), (1e-10, 1)])
def test_nearly_equal_columns_are_told_apart_down_to_rounding(apart, found):
    rng = np.random.default_rng(3)
    codes, x = np.repeat(np.arange(5), 4), rng.normal(size=20)
    columns = (np.ones(20), x, x + apart * rng.normal(size=20))
    terms = tuple(Term(0, codes, 5, (i,), structure_of("", 1)) for i in (1, 2))
    assert len(undetermined(Problem(columns, (0,), np.zeros(20), terms))) == found


def balanced(*terms, residual=None):
    """Six subjects at four visits."""
    return Problem((np.ones(24),), (0,), np.zeros(24), terms, residual=residual)


SUBJECTS, VISITS = np.repeat(np.arange(6), 4), np.tile(np.arange(4), 6)
INTERCEPT = Term(0, SUBJECTS, 6, (0,), structure_of("", 1))


@pytest.mark.parametrize(
    ("kind", "found"), [("cs", [[0, 1]]), ("un", [[0, 1]]), ("ar1", []), ("toep", [[0, 1]])]
)
def test_a_random_intercept_is_no_parameter_beside_visits_that_hold_it(kind, found):
    structure = one_correlation(kind, range(4), ["a", "b", "c", "d"], heterogeneous=kind == "un")
    problem = balanced(INTERCEPT, residual=Residual(structure, VISITS, SUBJECTS))
    assert [sorted(each) for each in undetermined(problem)] == found
    assert undetermined(balanced(residual=problem.residual)) == []


def test_a_variance_function_that_is_constant_within_the_levels_of_rows_is_told_apart():
    """Rows of their own: a random effect of each row is the residual, in whatever unit of the arms."""
    arms = (SUBJECTS % 2).astype(float)
    residual = RowResidual(
        RowStructure(VarianceFunction("ident", ("ratio",)), None), np.arange(24), covariate=arms
    )
    assert undetermined(balanced(INTERCEPT, residual=residual)) == []
    rows = Term(1, np.arange(24), 24, (0,), structure_of("", 1))
    assert [sorted(each) for each in undetermined(balanced(INTERCEPT, rows, residual=residual))] == [[1, 2]]


def test_related_levels_and_memberships_are_what_their_matrices_are():
    related = Term(0, SUBJECTS, 6, (0,), structure_of("", 1), relation=DenseRelationship(2.0 * np.eye(6)))
    assert [sorted(each) for each in undetermined(balanced(INTERCEPT, related))] == [[0, 1]]
    K = 0.7 * np.eye(6) + 0.3 * np.kron(np.eye(3), np.ones((2, 2)))
    related = Term(0, SUBJECTS, 6, (0,), structure_of("", 1), relation=DenseRelationship(K))
    pairs = Term(1, SUBJECTS // 2, 3, (0,), structure_of("", 1))
    assert undetermined(balanced(INTERCEPT, related)) == []
    assert [sorted(each) for each in undetermined(balanced(INTERCEPT, related, pairs))] == [[0, 1, 2]]
    members = ((SUBJECTS, np.full(24, 0.5)), ((SUBJECTS + 1) % 6, np.full(24, 0.5)))
    shared = Term(2, SUBJECTS, 6, (0,), structure_of("", 1), members)
    assert undetermined(balanced(INTERCEPT, shared)) == []
    both = Term(2, SUBJECTS, 6, (0,), structure_of("", 1), (members[0], members[0]))
    assert [sorted(each) for each in undetermined(balanced(INTERCEPT, both))] == [[0, 1]]
    assert undetermined(Problem((np.ones(24),), (), np.zeros(24), (INTERCEPT,))) == []
