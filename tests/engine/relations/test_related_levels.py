"""Related levels: Mrode's example, a simulated pedigree, and relations that say nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.inference.prediction_error import PredictionError
from lmmkit.engine.problem import Problem, Residual, Term
from lmmkit.engine.relations.pedigree import pedigree_of
from lmmkit.engine.relations.relationship import dense_relationship
from lmmkit.engine.solve import solve, solve_at
from lmmkit.engine.variance_tests.exact_rlrt import draws, spectrum
from lmmkit.errors import FitError

DATA = Path(__file__).parents[2] / "reference/data"
MRODE = {
    "animal": ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"],
    "sire": ["", "", "", "a1", "a3", "a1", "a4", "a3"],
    "dam": ["", "", "", "", "a2", "a2", "a5", "a6"],
}


def mrode(relation):
    """Weights of five calves by sex, with the columns male, female and one."""
    male = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    term = Term(0, np.arange(3, 8), 8, (2,), Unstructured(1), (), relation)
    return Problem((male, 1 - male, np.ones(5)), (0, 1), np.array([4.5, 2.9, 3.9, 3.5, 5.0]), (term,))


@pytest.mark.parametrize("kind", ["pedigree", "matrix"])
def test_mrode_example_at_given_variances(kind):
    reference = json.loads((DATA / "mrode31.json").read_text())
    relation = pedigree_of(*MRODE.values())
    np.testing.assert_allclose(relation.precision.toarray(), reference["Ainv"], atol=1e-14)
    np.testing.assert_allclose(relation.times(np.eye(8)), reference["A"], atol=1e-14)
    if kind == "matrix":
        relation = dense_relationship(np.array(reference["A"]))
    found = solve_at(mrode(relation), (np.array([[np.sqrt(0.5)]]),), np.sqrt(40.0))
    assert found.given
    assert found.checks == []
    assert found.sigma == pytest.approx(np.sqrt(40.0), rel=1e-15)
    # Mrode prints 4.358, 3.404 and these to three decimals.
    np.testing.assert_allclose(found.beta, [4.358502329854958, 3.4044300059066743], rtol=1e-9)
    printed = [0.098, -0.019, -0.041, -0.009, -0.186, 0.177, -0.249, 0.183]
    np.testing.assert_allclose(found.random_effects()[0][:, 0], printed, atol=5e-4)
    error = PredictionError(found.optimum).variance(np.zeros((8, 2)), (np.ones((8, 1)),), (np.arange(8),))
    pev = [18.84376845835795, 19.68382883769771, 18.258351381505548, 17.107206142941525]
    pev += [17.124269869396858, 17.691310625451209, 17.674246898995868, 16.894565859421146]
    np.testing.assert_allclose(40 * error, pev, rtol=1e-9)
    expected = [[23.822438800288769, 6.2920850561134074], [6.2920850561134074, 32.098346131128174]]
    np.testing.assert_allclose(found.optimum.covariance_of_beta.whole(), expected, rtol=1e-9)


@pytest.fixture(scope="module")
def animals():
    """The simulated animals with their records, and what they should give."""
    listed = pd.read_csv(DATA / "pedigree_open_pedigree.csv", dtype=str, keep_default_na=False)
    records = pd.read_csv(DATA / "pedigree_open.csv").dropna(subset="y")
    relation = pedigree_of(listed.animal.tolist(), listed.sire.tolist(), listed.dam.tolist())
    return relation, records, json.loads((DATA / "pedigree_open.json").read_text())


def problem_of(relation, records, names, *, litter=False):
    """Sex, generation, x and an animal effect, with or without litters."""
    number = {name: i for i, name in enumerate(names)}
    codes = np.array([number[name] for name in records.animal])
    terms = [Term(0, codes, relation.levels, (0,), Unstructured(1), (), relation)]
    if litter:
        own = pd.factorize(records.litter)[0]
        terms.append(Term(1, own, own.max() + 1, (0,), Unstructured(1)))
    columns = [np.broadcast_to(1.0, len(records)), records.sex == "M", records.gen, records.x]
    columns = tuple(np.asarray(column, dtype=float) for column in columns)
    return Problem(columns, (0, 1, 2, 3), records.y.to_numpy(), tuple(terms))


def test_inbreeding_and_determinant_are_exact(animals):
    relation, _, expected = animals
    assert relation.logdet == pytest.approx(expected["logdetA"], abs=1e-11)
    inbreeding = [expected["inbreeding"][name] for name in relation.animals]
    np.testing.assert_array_equal(relation.inbreeding, inbreeding)
    A = relation.times(np.eye(relation.levels))
    np.testing.assert_allclose(A @ relation.precision.toarray(), np.eye(len(A)), atol=1e-13)
    root = relation.coloured(np.eye(relation.levels))
    np.testing.assert_allclose(root @ root.T, A, atol=1e-14)


@pytest.mark.parametrize("kind", ["pedigree", "matrix"])
@pytest.mark.parametrize("number", range(4))
def test_animals_of_an_open_pedigree(animals, number, kind):
    relation, records, reference = animals
    model = reference["models"][number]
    A = relation.times(np.eye(relation.levels))
    litter = "litter" in model["model"]
    own = relation if kind == "pedigree" else dense_relationship(A)
    found = solve(
        problem_of(own, records, relation.animals, litter=litter), reml=model["criterion"] == "REML"
    )
    assert found.converged
    assert all(check.passed for check in found.checks)
    assert found.deviance == pytest.approx(model["deviance"], abs=1e-8)
    variances = [L[0, 0] ** 2 * found.sigma**2 for L in found.factors]
    assert variances[0] == pytest.approx(model["variances"]["animal"], rel=1e-7)
    assert found.sigma**2 == pytest.approx(model["variances"]["residual"], rel=1e-7)
    if litter:
        assert variances[1] == 0.0
        assert found.null_directions == (0, 1)
        return
    np.testing.assert_allclose(found.beta, list(model["fixef"].values()), rtol=1e-7)
    vcov = found.optimum.covariance_of_beta.whole()
    np.testing.assert_allclose(vcov, model["vcov_beta"], rtol=1e-6, atol=1e-9)
    ebv = [model["ebv"][name] for name in relation.animals]
    np.testing.assert_allclose(found.random_effects()[0][:, 0], ebv, atol=1e-7)
    J = relation.levels
    error = PredictionError(found.optimum).variance(np.zeros((J, 4)), (np.ones((J, 1)),), (np.arange(J),))
    np.testing.assert_allclose(found.sigma**2 * error, [model["pev"][a] for a in relation.animals], rtol=1e-6)


def plain_problem(k):
    """A random intercept, or slope, over 20 levels."""
    rng = np.random.default_rng(4)
    codes = rng.permutation(np.arange(160) % 20)
    columns = (np.ones(160), rng.normal(size=160) + 2)
    b = rng.normal(size=(20, k))
    y = 1 + columns[1] + sum(b[codes, c] * columns[c] for c in range(k)) + rng.normal(size=160)
    return Problem(columns, (0, 1), y, (Term(0, codes, 20, tuple(range(k)), Unstructured(k)),))


@pytest.mark.parametrize("kind", ["identity", "founders"])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("reml", [True, False])
def test_unrelated_levels_equal_the_plain_term(k, kind, reml):
    plain, names = plain_problem(k), [f"f{i}" for i in range(20)]
    unknown = [""] * 20
    relation = dense_relationship(np.eye(20)) if kind == "identity" else pedigree_of(names, unknown, unknown)
    related = replace(plain, terms=(replace(plain.terms[0], relation=relation),))
    one, two = solve(related, reml=reml), solve(plain, reml=reml)
    assert one.deviance == pytest.approx(two.deviance, abs=1e-10)
    # beyond half the digits an optimum's place is rounding
    np.testing.assert_allclose(one.factors[0], two.factors[0], rtol=1e-6, atol=1e-7)
    at = [solve_at(problem, two.factors, two.sigma, reml=reml) for problem in (related, plain)]
    np.testing.assert_allclose(at[0].beta, at[1].beta, rtol=1e-10)
    np.testing.assert_allclose(at[0].random_effects()[0], at[1].random_effects()[0], atol=1e-10)
    variances = [each.conditional_variances()[0] for each in at]
    np.testing.assert_allclose(variances[0], variances[1], rtol=1e-9, atol=1e-12)


def test_prediction_errors_of_pairs_of_animals_are_hendersons(animals):
    relation, records, _ = animals
    A = relation.times(np.eye(relation.levels))
    factors, sigma = (np.array([[0.9]]), np.array([[0.4]])), 2.5
    problem = problem_of(relation, records, relation.animals, litter=True)
    rng = np.random.default_rng(2)
    r = 25
    X = rng.normal(size=(r, 4))
    codes = (rng.integers(0, relation.levels, r), rng.integers(0, problem.terms[1].levels, r))
    Z = (rng.normal(size=(r, 1)), rng.normal(size=(r, 1)))
    W = np.stack(problem.columns, axis=1)
    ZZ = np.zeros((len(records), relation.levels + problem.terms[1].levels))
    ZZ[np.arange(len(records)), problem.terms[0].codes] = 1.0
    ZZ[np.arange(len(records)), relation.levels + problem.terms[1].codes] = 1.0
    G = np.zeros((ZZ.shape[1],) * 2)
    G[: len(A), : len(A)] = 0.81 * A
    G[len(A) :, len(A) :] = 0.16 * np.eye(problem.terms[1].levels)
    C = np.linalg.inv(np.block([[W.T @ W, W.T @ ZZ], [ZZ.T @ W, ZZ.T @ ZZ + np.linalg.inv(G)]]))
    rows = np.zeros((r, ZZ.shape[1]))
    rows[np.arange(r), codes[0]] = Z[0][:, 0]
    rows[np.arange(r), relation.levels + codes[1]] = Z[1][:, 0]
    L = np.hstack([X, rows])
    for own in (relation, dense_relationship(A)):
        found = solve_at(problem_of(own, records, relation.animals, litter=True), factors, sigma)
        error = PredictionError(found.optimum)
        np.testing.assert_allclose(error.variance(X, Z, codes), np.einsum("ri,ij,rj->r", L, C, L), rtol=1e-8)
        pairs = np.arange(r) // 5
        both = np.zeros((5, L.shape[1]))
        np.add.at(both, pairs, np.hstack([np.zeros_like(X), rows]))
        both[:, :4] = X[:5]
        several = error.of_functions(X[:5], Z, codes, pairs)
        np.testing.assert_allclose(several, np.einsum("ri,ij,rj->r", both, C, both), rtol=1e-8)


def test_a_singular_matrix_has_blups_for_all(animals):
    relation, records, _ = animals
    half = np.random.default_rng(1).normal(size=(relation.levels, 40)) / 6
    K = half @ half.T
    problem = problem_of(dense_relationship(K), records, relation.animals)
    found = solve(problem)
    T, Z = found.factors[0][0, 0] ** 2, np.eye(relation.levels)[problem.terms[0].codes]
    X = np.stack(problem.columns, axis=1)
    V = np.eye(len(Z)) + T * Z @ K @ Z.T
    residual = np.linalg.solve(V, problem.response - X @ found.beta)
    np.testing.assert_allclose(found.random_effects()[0][:, 0], T * K @ Z.T @ residual, atol=1e-8)
    M = T * K - T * K @ Z.T @ np.linalg.solve(V, Z @ K * T)
    np.testing.assert_allclose(
        found.conditional_variances()[0][:, 0, 0], found.sigma**2 * M.diagonal(), atol=1e-8
    )


@pytest.mark.parametrize("kind", ["matrix", "founders", "half a family each"])
def test_one_row_of_each_unrelated_level_is_refused(kind):
    rng, n = np.random.default_rng(3), 30
    names, unknown = [f"f{i}" for i in range(n)], [""] * n
    relation = (
        dense_relationship(2.0 * np.eye(n)) if kind == "matrix" else pedigree_of(names, unknown, unknown)
    )
    if kind == "half a family each":
        relation = pedigree_of(names, [f"s{i}" for i in range(n)], [f"d{i}" for i in range(n)])
    term = Term(0, np.arange(n), relation.levels, (0,), Unstructured(1), (), relation)
    problem = Problem((np.ones(n),), (0,), rng.normal(size=n), (term,))
    with pytest.raises(FitError, match="not related to each other"):
        solve(problem)
    related = pedigree_of(names, ["s"] * n, ["d"] * 10 + ["e"] * 20)
    assert not related.unrelated(np.arange(n))
    term = replace(term, relation=related, levels=related.levels)
    assert solve(replace(problem, terms=(term,))).converged


def test_animals_with_an_ancestor_in_common_are_related():
    names = ["g", "p", "q", "a", "b", "c"]
    pedigree = pedigree_of(names, ["", "g", "", "p", "g", "q"], [""] * 6)
    assert not pedigree.unrelated(np.array([3, 4]))  # grandchild and child of g
    assert not pedigree.unrelated(np.array([0, 3]))
    assert pedigree.unrelated(np.array([3, 5]))
    assert pedigree.unrelated(np.array([0, 5]))


def test_a_matrix_beside_a_residual_structure_equals_dense_algebra():
    rng, subjects, visits = np.random.default_rng(5), 40, 3
    half = rng.normal(size=(subjects, 50)) / 7
    K, owner = half @ half.T, np.repeat(np.arange(subjects), visits)
    animal = rng.permutation(owner)
    y = rng.normal(size=len(owner)) + rng.normal(size=subjects)[owner] + (half @ rng.normal(size=50))[animal]
    term = Term(0, animal, subjects, (0,), Unstructured(1), (), dense_relationship(K))
    structure = one_correlation("cs", (1, 2, 3), ("1", "2", "3"))
    residual = Residual(structure, np.tile(np.arange(visits), subjects), owner)
    found = solve(Problem((np.ones(len(y)),), (0,), y, (term,), residual=residual))
    T, one = found.factors[0][0, 0] ** 2, np.ones(len(y))
    V = np.kron(np.eye(subjects), structure.matrix(found.rho)) + T * K[np.ix_(animal, animal)]
    XVX = one @ np.linalg.solve(V, one)
    e = y - one @ np.linalg.solve(V, y) / XVX
    r2, nu = e @ np.linalg.solve(V, e), len(y) - 1
    deviance = np.linalg.slogdet(V)[1] + np.log(XVX) + nu * (1 + np.log(2 * np.pi * r2 / nu))
    assert found.deviance == pytest.approx(deviance, abs=1e-8)
    b = T * K[:, animal] @ np.linalg.solve(V, e)
    np.testing.assert_allclose(found.random_effects()[0][:, 0], b, atol=1e-8)


@pytest.mark.parametrize(
    ("K", "said"),
    [
        (np.ones((2, 3)), "square"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "nan in row 1, column 2"),
        (np.array([[1.0, 0.2], [0.3, 1.0]]), "not symmetric: 0.2 in row 1, column 2"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "least eigenvalue is -1"),
        (np.zeros((2, 2)), "not positive semidefinite"),
    ],
)
def test_a_matrix_that_is_no_covariance_matrix_is_refused(K, said):
    with pytest.raises(FitError, match=said):
        dense_relationship(K)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([("a", "", ""), ("b", "a", ""), ("a", "", "")], "a twice"),
        (
            [("a", "c", ""), ("b", "a", ""), ("c", "b", "")],
            "its own ancestor: a has the parent c, that b, that a",
        ),
        ([("a", "a", "")], "a has the parent a"),
        ([("a", "b", "b")], r"one parent as sire and as dam: a \(both b\)"),
        ([("a", "", ""), ("", "a", "")], "no animal in line 2"),
    ],
)
def test_a_pedigree_that_cannot_be_is_refused(lines, said):
    with pytest.raises(FitError, match=said):
        pedigree_of(*map(list, zip(*lines, strict=True)))


def test_parents_that_are_not_listed_are_founders():
    pedigree = pedigree_of(["c", "d", "e"], ["a", "c", "d"], ["b", "x", "c"])
    assert pedigree.animals == ("c", "d", "e", "a", "b", "x")
    assert pedigree.added == ("a", "b", "x")
    assert pedigree.both == ("c",)
    assert pedigree.inbreeding.tolist() == [0, 0, 0.25, 0, 0, 0]


def test_exact_test_of_one_variance_knows_what_relates_the_levels(animals):
    relation, records, _ = animals
    problem = problem_of(relation, records, relation.animals)
    found = spectrum(problem, 0)
    X = np.stack(problem.columns, axis=1)
    Q = np.eye(len(X)) - X @ np.linalg.pinv(X)
    codes = problem.terms[0].codes
    A = relation.times(np.eye(relation.levels))[np.ix_(codes, codes)]
    values = np.linalg.eigvalsh(Q @ A @ Q)
    values = values[values > 1e-9]
    assert found.counts.sum() == len(values) == len(X) - 4
    assert found.mu @ found.counts == pytest.approx(values.sum(), rel=1e-10)
    null, full = (solve(replace(problem, terms=terms)).deviance for terms in ((), problem.terms))
    tail = np.mean(next(draws(found, 1000, 1)) >= null - full)
    assert tail < 0.01


def test_a_large_ratio_of_variances_keeps_the_digits_of_the_deviance(animals):
    """As a difference of cross-products W'V^-1W lost 3e-5 of this deviance."""
    relation, _, _ = animals
    rng, J = np.random.default_rng(0), relation.levels
    codes = np.tile(np.arange(J), 3)
    y = relation.coloured(rng.normal(size=J))[codes] + 1e-4 * rng.normal(size=len(codes))
    columns = (np.ones(len(codes)), rng.normal(size=len(codes)))
    A = relation.times(np.eye(J))
    at = (np.array([[1e4]]),), 1e-4
    deviances = [
        solve_at(
            Problem(columns, (0, 1), y, (Term(0, codes, J, (0,), Unstructured(1), (), own),)), *at
        ).deviance
        for own in (relation, dense_relationship(A))
    ]
    assert deviances[0] == pytest.approx(deviances[1], abs=1e-6)
