"""Every R beside every kind of random effects against its definition: dense algebra and differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.differences import differences
from support.rowwise import EFFECTS, RESIDUALS, a_point, dense_derivatives, trial
from support.visits import STRUCTURES as VISITS
from support.visits import trial as visit_trial
from support.visits import true_rho

from lmmkit.engine.crossproducts.whitened import whitened
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
    deviance, gradient, H = dense_derivatives(setup, theta, at, reml)
    assert at.deviance == pytest.approx(deviance, abs=1e-9)
    np.testing.assert_allclose(at.gradient, gradient, atol=2e-6)
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
