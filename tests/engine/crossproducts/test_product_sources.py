"""Sources of cross-products: derivatives as R moves, where R is singular, where a search begins."""

import numpy as np
import pytest
from support.differences import differences
from support.small_visits import over, problem_of
from support.visits import trial, true_rho

from lmmkit.engine.criterion.criterion import Held
from lmmkit.engine.crossproducts import product_sources, whitened
from lmmkit.engine.crossproducts.product_sources import Adjoint, GramSums, RowSums, patterned
from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", ["cs", "un"])
def test_second_derivatives_are_those_of_differences(name, reml):
    criterion = set_up(trial(name, subjects=20), reml=reml).criterion
    rho = true_rho(criterion.source.structure, seed=5)
    for held in (Held(), Held(precision=1.3), Held(contrast=(np.eye(criterion.p)[1], 0.3))):
        at = criterion.evaluate(rho, held)
        slope = differences(lambda x, h=held: criterion.evaluate(x, h).deviance, rho)
        np.testing.assert_allclose(at.gradient, slope, atol=1e-6)
        bends = differences(lambda x, h=held: criterion.evaluate(x, h).gradient, rho)
        np.testing.assert_allclose(at.hessian, bends, atol=1e-5)


def test_visits_leave_each_other_a_share_of_their_variance():
    visit, subject = np.tile([0, 1], 9), np.repeat(np.arange(9), 2)
    y = np.random.default_rng(1).normal(size=18)
    source = set_up(
        problem_of(over("ar1", ("1", "2"), (1, 2)), visit, subject, y), reml=True
    ).criterion.source
    fine, singular = (np.array([np.arctanh(np.sqrt(1.0 - left))]) for left in (1.1e-12, 0.9e-12))
    assert np.isfinite(source.moments(fine)[1])
    with pytest.raises(FitError, match="is not positive definite"):
        source.moments(singular)


def test_a_start_of_variances_is_the_regression_of_logs():
    logs = np.linspace(-1.0, 2.0, 30)[None]
    e = np.exp(0.7 * logs[0]) * np.where(np.arange(30) % 2, 1.0, -1.0)
    none, slope = whitened._variance_starts(logs, e)
    assert none.tolist() == [0.0]
    assert slope == pytest.approx([0.7])
    e[4] = 0.0  # which stands for a hundredth of their size
    squares = np.log(np.where(e == 0.0, 1e-4 * np.mean(e**2), e**2))
    assert whitened._variance_starts(logs, e)[1] == pytest.approx([np.polyfit(logs[0], squares, 1)[0] / 2.0])
    assert whitened.MIXED == 2e8


def answers(source, rho, adjoint):
    """All that a source says."""
    moments, logdet = source.moments(rho)
    return [
        moments.total,
        logdet,
        source.pullback(rho, adjoint),
        source.slope(rho, adjoint.K),
        source.slopes(rho),
        *source.curvature(rho, adjoint),
        *source.products(),
        source.grams(),
        source.independent().total,
    ]


@pytest.mark.parametrize("name", ["un", "cs by arm"])
def test_a_source_is_dense_algebra_whatever_it_keeps(name, monkeypatch):
    assert (product_sources.MOST, product_sources.CHUNK) == (100_000_000, 4_000_000)
    problem = trial(name, subjects=12)
    prepared, residual = prepare(problem), problem.residual
    W = prepared.rows[[*prepared.fixed, -1]].T
    structure, q = residual.structure, W.shape[1]
    rho, cells = true_rho(structure, seed=5), residual.cells
    same = residual.subjects[:, None] == residual.subjects

    def R(x):
        return np.where(same, structure.matrix(x)[np.ix_(cells, cells)], 0.0)

    A = np.random.default_rng(1).normal(size=(q, q))
    K = A + A.T
    adjoint = Adjoint(K, A[0], 1.3, A[1:, 1:] @ A[1:, 1:].T, None)
    known = {}
    for kind, most, chunk in (
        (GramSums, 10**8, 10**6),
        (RowSums, 0, 10**6),
        (RowSums, 0, 1),
        (GramSums, 10**8, 1),
    ):
        monkeypatch.setattr(product_sources, "MOST", most)
        monkeypatch.setattr(product_sources, "CHUNK", chunk)
        source = patterned(prepared, residual)
        if kind is GramSums:
            source = type(source)(residual, tuple(as_sums(g) for g in source.groups), q)
        assert all(isinstance(group, kind) for group in source.groups)
        known[kind, chunk] = answers(source, rho, adjoint)
    first, *others = known.values()
    for other in others:
        for one, two in zip(first, other, strict=True):
            np.testing.assert_allclose(one, two, atol=1e-9)
    F, logdet, pulled, slope, slopes, _, _, sums, pairs, grams, plain = first
    np.testing.assert_allclose(F, W.T @ np.linalg.solve(R(rho), W), atol=1e-9)
    assert logdet == pytest.approx(np.linalg.slogdet(R(rho))[1])
    moved = differences(lambda x: W.T @ np.linalg.solve(R(x), W), rho)
    np.testing.assert_allclose(slopes, moved, atol=1e-6 * np.abs(moved).max())

    def size(x):
        return np.linalg.slogdet(R(x))[1] + np.sum(K * (W.T @ np.linalg.solve(R(x), W)))

    np.testing.assert_allclose(
        pulled, differences(lambda x: np.array([size(x)]), rho)[:, 0], rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(np.einsum("iab,ab->i", structure.jacobian(rho), slope), pulled)
    np.testing.assert_allclose(plain, W.T @ W, atol=1e-9)
    at = np.eye(structure.size)[cells]
    np.testing.assert_allclose(grams, np.einsum("nt,np,nq->tpq", at, W, W), atol=1e-9)
    y = W[:, -1]
    np.testing.assert_allclose(sums, at.T @ (same * np.outer(y, y)) @ at, atol=1e-9)
    np.testing.assert_array_equal(pairs, at.T @ same @ at)


def as_sums(group):
    """The sums of a group that keeps its rows."""
    if isinstance(group, GramSums):
        return group
    own = [
        group.rows[a:b] for a, b in zip(group.patterns.starts[:-1], group.patterns.starts[1:], strict=True)
    ]
    return GramSums(group.patterns, np.array([np.einsum("ksp,ktq->stpq", rows, rows) for rows in own]))


@pytest.mark.parametrize(("subjects", "kind"), [(1, RowSums), (2, GramSums)])
def test_rows_are_kept_where_they_are_fewer_than_the_sums(subjects, kind):
    """A product with 3 rows of 3 columns takes 3 + 3 for each subject, with their sums 3 x 3 in all."""
    visit, subject = np.tile([0, 1, 2], subjects), np.repeat(np.arange(subjects), 3)
    y = np.random.default_rng(1).normal(size=3 * subjects)
    columns = (np.random.default_rng(2).normal(size=3 * subjects),)
    problem = problem_of(over("cs"), visit, subject, y, columns)
    (group,) = patterned(prepare(problem), problem.residual).groups
    assert isinstance(group, kind)
