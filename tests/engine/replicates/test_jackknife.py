"""The jackknife: each fit is that of the table without the rows of one unit, and of no other rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.designs import FORMULAS, fitted, frame

import lmmkit
from lmmkit.engine.replicates import jackknife
from lmmkit.engine.replicates.jackknife import unit_codes, unit_term, without_units

UNITS = {"one factor": "g", "slopes": "g", "nested": "top", "crossed": "g"}  # crossed: most levels


def refits(name, units, blocks=None):
    """Ordinary fits of the table without each unit, or each block of units."""
    table = frame()
    levels = sorted(table[units].unique())
    for block in [[level] for level in levels] if blocks is None else np.array_split(levels, blocks):
        rest = table[~table[units].isin(block)]
        yield lmmkit.lmm(FORMULAS[name], rest, weights="w", offset="o")


def assert_same_fits(found, expected):
    assert len(found) == len(expected)
    for ours, fit in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.beta, fit.estimates.beta, rtol=1e-7)
        np.testing.assert_allclose(ours.sigma, fit.sigma, rtol=1e-7)
        for own, factor in zip(ours.factors, fit.estimates.factors, strict=True):
            np.testing.assert_allclose(own, factor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", UNITS)
def test_each_fit_leaves_one_unit_out(name):
    problem = fitted(name, weighted=True).estimates.problem
    assert unit_term(problem).levels == frame()[UNITS[name]].nunique()
    assert_same_fits(list(without_units(problem, reml=True)), list(refits(name, UNITS[name])))


def test_many_units_are_left_out_in_blocks(monkeypatch):
    monkeypatch.setattr(jackknife, "MOST", 5)
    problem = fitted("one factor", weighted=True).estimates.problem
    found = list(without_units(problem, reml=True))
    assert_same_fits(found, list(refits("one factor", "g", blocks=5)))


def test_the_criterion_is_that_of_the_fit():
    problem = fitted("one factor", reml=False).estimates.problem
    deviances = [fit.deviance for fit in without_units(problem, reml=False)]
    table = frame()
    rests = [table[table.g != level] for level in range(12)]
    expected = [lmmkit.lmm(FORMULAS["one factor"], rest, reml=False).deviance for rest in rests]
    np.testing.assert_allclose(deviances, expected, rtol=1e-9)


def test_units_of_a_residual_structure_are_its_subjects_and_one_that_cannot_be_spared_is_passed_over():
    """Nobody but subject 2 has a row at the fourth visit."""
    draw = np.random.default_rng(5)
    table = pd.DataFrame({"g": np.repeat(np.arange(6), 4), "t": np.tile(np.arange(4), 6)})
    table["y"] = draw.normal(size=6)[table.g] + draw.normal(size=24)
    table = table[(table.t < 3) | (table.g == 2)].reset_index(drop=True)
    fit = lambda rows: lmmkit.lmm("y ~ 1", rows, residual="cs(t | g)").estimates  # noqa: E731
    found = list(without_units(fit(table).problem, reml=True))
    expected = [fit(table[table.g != subject].reset_index(drop=True)) for subject in (0, 1, 3, 4, 5)]
    assert len(found) == 5
    for ours, own in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.beta, own.beta, rtol=1e-7)
        np.testing.assert_allclose(ours.sigma, own.sigma, rtol=1e-7)


@pytest.mark.parametrize(
    ("random", "residual", "unit"),
    [
        (" + (1 | site)", "cs(t | id)", "site"),  # subjects in sites: those of one site depend on each other
        (" + (1 | id)", "ident(arm)", "id"),  # rows that differ in their variance alone
        (" + (1 | site/id)", "ident(arm)", "site"),
        (" + (1 | item)", "cs(t | id)", "id"),  # crossed: most levels
        ("", "cs(t | id)", "id"),
    ],
)
def test_a_unit_holds_all_that_depends_on_each_other(random, residual, unit):
    draw = np.random.default_rng(5)
    table = pd.DataFrame({"id": np.repeat(np.arange(12), 4), "t": np.tile(np.arange(4), 12)})
    table["site"], table["item"] = table["id"] // 3, draw.integers(0, 5, 48)
    table["arm"], table["y"] = np.where(table["id"] % 2, "a", "b"), draw.normal(size=48)
    units = unit_codes(lmmkit.lmm(f"y ~ 1{random}", table, residual=residual).estimates.problem)
    pairs = pd.DataFrame({"unit": units, "level": table[unit]}).drop_duplicates()
    assert len(pairs) == table[unit].nunique() == len(np.unique(units))
