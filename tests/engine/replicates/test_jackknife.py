"""The jackknife: each fit is that of the table without the rows of one unit, and of no other rows."""

from __future__ import annotations

import numpy as np
import pytest
from support.designs import FORMULAS, fitted, frame

import lmmkit
from lmmkit.engine.replicates import jackknife
from lmmkit.engine.replicates.jackknife import unit_term, without_units

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
