"""Every R beside every kind of random effects against its definition: dense algebra and differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.differences import differences
from support.rowwise import EFFECTS, RESIDUALS, a_point, covariance, dense_fit, residual_covariance, trial
from support.visits import STRUCTURES as VISITS
from support.visits import trial as visit_trial
from support.visits import true_rho

from lmmkit.engine.crossproducts.whitened import whitened
from lmmkit.engine.crossproducts.whitening import root_of
from lmmkit.engine.setup import set_up


def every_pair():
    """Each residual structure with each kind of random effects that it can be told apart from."""
    for name in RESIDUALS:
        for effects in EFFECTS:
            visited = any(word in name for word in ("un", "cs", "ar1h"))
            if effects == "" and visited and "power" not in name:
                continue  # these are sums over patterns
            if name in {"un", "cs"} and effects.startswith("1|g"):
                continue  # which they have in any case
            yield name, effects


@pytest.mark.parametrize(("name", "effects"), list(every_pair()))
def test_deviance_gradient_and_average_information(name, effects):
    reml = (len(name) + len(effects)) % 2 == 0
    problem = trial(name, effects, weighted=len(name) % 2 == 0)
    setup = set_up(problem, reml=reml)
    theta = a_point(setup)
    at = setup.criterion.evaluate(theta)
    deviance, Py, P = dense_fit(setup, theta, reml)
    assert at.deviance == pytest.approx(deviance, abs=1e-9)
    dV = differences(lambda x: covariance(setup, x), theta)
    w, m, y = dV @ Py, setup.layout.count, problem.response
    inner = P if reml else np.linalg.inv(covariance(setup, theta))
    precision = (len(y) - 3 * reml) / (y @ Py)
    np.testing.assert_allclose(at.gradient, (dV * inner).sum(axis=(1, 2)) - precision * (w @ Py), atol=2e-6)
    scale = setup.prepared.scale**2  # of r2, which is of y in units of its spread
    H = at.precision / scale * (w @ P @ w.T) - at.precision / at.r2 / scale**2 * np.outer(w @ Py, w @ Py)
    H[:m, :m] += setup.layout.curvature(theta, at.D)
    np.testing.assert_allclose(at.hessian, H, atol=1e-5 * np.abs(H).max())


@pytest.mark.parametrize("name", RESIDUALS)
def test_cross_products_move_with_rho(name):
    setup = set_up(trial(name, "x|g" if name != "ident" else "1|g + 1|i"), reml=True)
    theta, m = a_point(setup), setup.layout.count
    at = setup.criterion.evaluate(theta)

    def F(rho):
        return setup.criterion.evaluate(np.append(theta[:m], rho)).forward.F

    found = setup.criterion.source.slopes(theta[m:], at.adjoint)
    np.testing.assert_allclose(found, differences(F, theta[m:]), atol=1e-6 * np.abs(at.forward.F).max())


@pytest.mark.parametrize("name", RESIDUALS)
def test_roots_whiten_in_the_callers_order(name):
    problem = trial(name, "1|s")
    residual, n = problem.residual, len(problem.response)
    rho = a_point(set_up(problem, reml=True))[1:]
    root, R = root_of(residual, rho), residual_covariance(problem, rho)
    B = root.white(np.eye(n)).T
    np.testing.assert_allclose(B @ R @ B.T, np.eye(n), atol=1e-10)
    np.testing.assert_allclose(root.unwhite(np.eye(n)).T @ B, np.eye(n), atol=1e-10)
    # what derivatives need, in the order of the root
    inner, order = root.root, np.arange(n) if root.order is None else root.order
    here = np.ix_(order, order)
    np.testing.assert_allclose(inner.matrix().toarray(), B[here], atol=1e-14)
    np.testing.assert_allclose(inner.white_t(np.eye(n)), B[here], atol=1e-14)
    np.testing.assert_allclose(B[here].T @ inner.unwhite_t(np.eye(n)).T, np.eye(n), atol=1e-10)
    assert inner.logdet == pytest.approx(np.linalg.slogdet(R)[1])
    x = np.random.default_rng(0).normal(size=n)
    slopes = differences(lambda r: residual_covariance(replace(problem, weights=None), r), rho)
    turned = slopes[:, *here] @ (B[here].T @ x) @ B[here].T
    np.testing.assert_allclose(inner.turned(x), turned, atol=1e-8)
    for subject in range(3):
        rows = np.flatnonzero(residual.subjects == subject)
        here = np.ix_(rows, rows)
        np.testing.assert_allclose(residual.block(rho, rows), R[here], atol=1e-12)
        np.testing.assert_allclose(residual.block_slopes(rho, rows), slopes[:, *here], atol=1e-8)
    np.testing.assert_allclose(residual.sds(rho) ** 2, R.diagonal(), atol=1e-12)


@pytest.mark.parametrize("name", VISITS)
def test_whitened_rows_are_sums_over_patterns_where_both_apply(name):
    problem = visit_trial(name, weighted=True, shuffled=True)
    setup = set_up(problem, reml=True)
    criterion = setup.criterion
    other = replace(setup, problem=problem).criterion
    other = type(criterion)(
        whitened(setup.prepared, setup.layout, problem.residual),
        setup.layout,
        criterion.rows,
        criterion.p,
        reml=True,
        constant=criterion.constant,
    )
    rho = true_rho(problem.residual.structure, seed=5)
    one, two = criterion.evaluate(rho), other.evaluate(rho)
    assert two.deviance == pytest.approx(one.deviance, abs=1e-10)
    np.testing.assert_allclose(two.gradient, one.gradient, atol=1e-8)
    np.testing.assert_allclose(other.source.slopes(rho, two.adjoint), criterion.source.slopes(rho), atol=1e-8)
