"""The certificate of correlated residuals holds for sound fits, and fails for planted errors."""

from __future__ import annotations

import functools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.model.certificate import AT_ONCE, certify

STRUCTURES = [
    "un(t | g)",
    "csh(t | g)",
    "ar1(t | g)",
    "toeph(t | g)",
    "adh(t | g)",
    "un(t | g, by=arm)",
    "ident(f) * cs(t | g)",
    "ident(f)",
]


def visits(subjects, seed=4):
    """Subjects with four visits, some of which are missing, in two arms; f differs from row to row."""
    rng = np.random.default_rng(seed)
    g, t = (grid.ravel() for grid in np.meshgrid(np.arange(subjects), [0, 1, 2, 3], indexing="ij"))
    x, e = rng.normal(size=len(g)), rng.multivariate_normal(np.zeros(4), 0.5 + 0.5 * np.eye(4), subjects)
    frame = pd.DataFrame(
        {"g": g, "t": t, "x": x, "arm": np.array(["a", "b"])[g % 2], "f": rng.choice(["u", "v"], len(g))}
    )
    frame["y"] = 3 + 0.5 * t + x + (1 + 0.2 * t) * e.ravel() * np.where(frame["f"] == "v", 1.3, 1.0)
    frame["w"] = rng.uniform(0.5, 2.0, len(g))
    return frame[rng.random(len(g)) < 0.85].reset_index(drop=True)


@functools.cache
def fitted(structure, subjects=60, **options):
    return lmmkit.lmm("y ~ t + x + arm", visits(subjects), residual=structure, **options)


@pytest.mark.parametrize("options", [{}, {"reml": False}, {"weights": "w"}], ids=["REML", "ML", "weighted"])
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("subjects", [60, 155])
def test_a_sound_fit_holds(structure, subjects, options):
    fit = fitted(structure, subjects, **options)
    for certificate in (fit.certificate, *([] if fit.nobs > AT_ONCE else [fit.certify(full=True)])):
        assert certificate.passed, str(certificate)
        assert certificate.digits >= 6
        assert set(certificate.checks["verdict"]) == {"holds"}
    names = " ".join(fit.certificate.checks["check"])
    assert ("subject by subject" in names) == (fit.nobs > AT_ONCE)
    assert "Henderson" not in names


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("subjects", [60, 155])
def test_a_parameter_that_has_moved_is_seen(structure, subjects):
    estimates = fitted(structure, subjects).estimates
    for place in range(len(estimates.rho)):
        rho = estimates.rho.copy()
        rho[place] += 1e-6
        certificate = certify(replace(estimates, rho=rho))
        assert not certificate.passed, estimates.design.residual.names[place]


def with_residual(estimates, **changes):
    """The estimates with something changed in the arrays of the residual structure."""
    problem = replace(estimates.problem, residual=replace(estimates.problem.residual, **changes))
    return replace(estimates, design=replace(estimates.design, problem=problem))


def visits_exchanged(estimates):
    """Two visits of one subject, each taken for the other."""
    residual = estimates.problem.residual
    cells, rows = residual.cells.copy(), np.flatnonzero(residual.subjects == residual.subjects[0])[:2]
    cells[rows] = cells[rows[::-1]]
    return with_residual(estimates, cells=cells)


def another_visit(estimates):
    """A visit of one subject, taken for one that it does not have."""
    residual = estimates.problem.residual
    group = np.array([cell.by for cell in estimates.design.residual.cells])
    for row, cell in enumerate(residual.cells):
        own = residual.cells[residual.subjects == residual.subjects[row]]
        free = [c for c in np.flatnonzero(group == group[cell]) if c not in own]
        if free:
            cells = residual.cells.copy()
            cells[row] = free[0]
            return with_residual(estimates, cells=cells)
    raise AssertionError("every subject has every visit")


def another_subject(estimates):
    """A row, given to a subject of the same group that has not had this visit."""
    residual = estimates.problem.residual
    group = np.array([cell.by for cell in estimates.design.residual.cells])
    for subject in range(1, residual.subjects.max() + 1):
        rows = residual.subjects == subject
        if (
            group[residual.cells[rows][0]] == group[residual.cells[0]]
            and residual.cells[0] not in residual.cells[rows]
        ):
            subjects = residual.subjects.copy()
            subjects[0] = subject
            return with_residual(estimates, subjects=subjects)
    raise AssertionError("every subject has that visit")


def one_response(estimates):
    y = estimates.problem.response.copy()
    y[5] += 1e-3 * estimates.sigma
    problem = replace(estimates.problem, response=y)
    return replace(estimates, design=replace(estimates.design, problem=problem))


def beta(estimates):
    return replace(estimates, beta=estimates.beta + 1e-5 * estimates.bse * np.array([0, 0, 1, 0]))


def sigma(estimates):
    return replace(estimates, sigma=estimates.sigma * (1 + 1e-6))


def covariance_of_beta(estimates):
    return replace(estimates, unscaled_vcov=estimates.unscaled_vcov * (1 + 1e-4))


def deviance(estimates):
    return replace(estimates, deviance=estimates.deviance + 1e-5)


def criterion(estimates):
    return replace(estimates, reml=not estimates.reml)


ERRORS = [
    visits_exchanged,
    another_visit,
    another_subject,
    one_response,
    beta,
    sigma,
    covariance_of_beta,
    deviance,
    criterion,
]


@pytest.mark.parametrize("plant", ERRORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("structure", ["un(t | g)", "ar1(t | g)", "un(t | g, by=arm)"])
@pytest.mark.parametrize("subjects", [60, 155])
def test_a_planted_error_is_seen(structure, plant, subjects):
    certificate = certify(plant(fitted(structure, subjects).estimates))
    assert not certificate.passed
    assert certificate.digits == 0


def test_a_subject_in_the_wrong_group_is_seen():
    """Under `by=`: all its rows with the parameters of the other group."""
    estimates = fitted("un(t | g, by=arm)", 60).estimates
    cells, residual = estimates.design.residual.cells, estimates.problem.residual
    rows = np.flatnonzero(residual.subjects == 3)
    swapped = {(cell.by, cell.visit): number for number, cell in enumerate(cells)}
    wrong = residual.cells.copy()
    wrong[rows] = [swapped[1 - cells[c].by, cells[c].visit] for c in residual.cells[rows]]
    assert not certify(with_residual(estimates, cells=wrong)).passed


def test_two_rows_of_a_subject_in_one_cell_fail():
    estimates = fitted("cs(t | g)").estimates
    residual = estimates.problem.residual
    cells = residual.cells.copy()
    rows = np.flatnonzero(residual.subjects == 0)
    cells[rows] = cells[rows[0]]
    (failed,) = (
        line
        for line in certify(with_residual(estimates, cells=cells)).failed
        if "by the referee" in line.check
    )
    assert failed.check == "covariance matrices by the referee, positive definite"


def test_another_search_begins_from_other_parameters_of_the_residuals(monkeypatch):
    estimates, asked = fitted("un(t | g)").estimates, []

    def search(_problem, *, reml, algorithm, start, rho=None):
        asked.append((algorithm, start, rho))
        return SimpleNamespace(deviance=estimates.deviance, converged=True)

    monkeypatch.setattr("lmmkit.model.certificate.solve", search)
    assert certify(estimates, full=True).passed
    assert [(algorithm, start) for algorithm, start, _ in asked] == [("pls", None), ("newton", None)]
    assert asked[0][2] is None
    assert np.abs(asked[1][2] - estimates.rho).max() > 0.05


def test_large_values_leave_room_for_rounding():
    frame = visits(60)
    for shifted in (
        frame.assign(y=frame["y"] + 1e9),
        frame.assign(y=frame["y"] * 1e-9),
        frame.assign(x=frame["x"] + 1e7),
    ):
        fit = lmmkit.lmm("y ~ t + x + arm", shifted, residual="un(t | g)")
        assert fit.certificate.passed, str(fit.certificate)


def test_two_parameters_of_one_name_are_told_apart():
    """Visits 1, 1.1, 1.2 and 2: the correlations of 1 with 1.2 and of 1.1 with 2 are both `cor.1.1.2`."""
    names = ["1", "1.1", "1.2", "2"]
    frame = visits(60)
    frame["t"] = pd.Categorical.from_codes(frame["t"], names)
    fit = lmmkit.lmm("y ~ t + x", frame, residual="un(t | g)")
    assert fit.residual_params.index.tolist().count("cor.1.1.2") in (1, 2)
    assert fit.certify(full=True).passed


def test_how_far_the_coefficients_are_off_is_told_in_standard_errors():
    estimates = fitted("ar1(t | g)").estimates
    step = estimates.bse * np.array([0.0, 0.1, -0.2, 0.0])
    checks = certify(replace(estimates, beta=estimates.beta + step)).checks.set_index("check")
    vcov = estimates.sigma**2 * estimates.unscaled_vcov
    value = checks.loc["normal equations of GLS (standard errors)", "value"]
    assert value == pytest.approx(np.sqrt(step @ np.linalg.solve(vcov, step)), rel=1e-6)
