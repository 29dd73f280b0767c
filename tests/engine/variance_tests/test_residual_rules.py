"""What lies in what where correlations fade and variances follow a number: at an edge, inside, or nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.covariance.row_structure import RowStructure, Serial, Spatial, VarianceFunction
from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.problem import Problem, Residual, RowResidual, Term
from lmmkit.model.comparison.nesting import AT_ONCE, SEVERAL, covariance_nesting

SUBJECTS, VISITS = 10, 4
CODES, CELLS = np.repeat(np.arange(SUBJECTS), VISITS), np.tile(np.arange(VISITS), SUBJECTS)
N = len(CODES)
RNG = np.random.default_rng(1)
TIMES, OTHER_TIMES = CELLS * 1.0, np.sort(RNG.uniform(0, 9, (SUBJECTS, VISITS)), axis=1).ravel()
PLACES, X, F = RNG.uniform(0, 5, (N, 2)), RNG.uniform(1, 2, N), RNG.integers(0, 3, N) * 1.0
SITE = CODES // 2
CORNER = np.column_stack([np.minimum(TIMES, 1.0), np.maximum(TIMES - 1.0, 0.0)])  # the steps of a line
WEEKS = ("0", "1", "2", "3")
VARIANCES = {
    "": (None, None),
    "ident": (VarianceFunction("ident", ("ratio.b", "ratio.c")), F),
    "power": (VarianceFunction("power", ("power",)), X),
    "exp": (VarianceFunction("exp", ("exp",)), X),
    "exp of visits": (VarianceFunction("exp", ("exp",)), TIMES),
    "power of levels": (VarianceFunction("power", ("power",)), F + 1.0),
}
PROCESSES = {
    "": (None, {}),
    "car1": (Serial(1.0, 0.1), {"times": TIMES}),
    "car1 in weeks": (Serial(7.0, 0.7), {"times": 7.0 * TIMES + 3.0}),
    "car1 uneven": (Serial(1.0, 0.1), {"times": OTHER_TIMES}),
    "expsp": (Spatial(1.0, 0.1, nugget=False), {"positions": PLACES}),
    "expsp line": (Spatial(1.0, 0.1, nugget=False), {"positions": np.column_stack([TIMES, 0.0 * TIMES])}),
    "expsp corner": (Spatial(1.0, 0.1, nugget=False), {"positions": CORNER}),
    "nugget": (Spatial(1.0, 0.1, nugget=True), {"positions": PLACES}),
    "cs": (one_correlation("cs", range(VISITS), WEEKS), {"cells": CELLS}),
}


def rows(name):
    """`variance * process`."""
    (variance, covariate), (process, where) = (
        table[part] for table, part in zip((VARIANCES, PROCESSES), name.split(" * "), strict=True)
    )
    subjects = np.arange(N) if process is None else CODES
    return RowResidual(RowStructure(variance, process), subjects, covariate, **where)


def residual(name):
    """Of rows, or of visits, or none."""
    if name == "iid":
        return None
    if " * " in name:
        return rows(name)
    structure = one_correlation(
        name.removesuffix("h"), range(VISITS), WEEKS, heterogeneous=name.endswith("h")
    )
    return Residual(structure, CELLS, CODES)


def problem(name, *terms):
    """Of the same rows, with random effects."""
    return Problem((np.ones(N), X, RNG.normal(size=N)), (0,), X, terms, residual=residual(name))


def random(*columns, codes=CODES):
    return Term(0, codes, int(codes.max()) + 1, columns, structure_of("", len(columns)))


def outcome(small, large):
    """None, the edges, or the reason why there is no test."""
    found = covariance_nesting(small, large)
    return found if found is None else found.unfit or found.edges + found.constrained


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [
        ("iid", " * car1", 1),
        ("iid", " * expsp", 1),
        (" * expsp", " * nugget", 1),
        ("iid", "ident * ", 0),
        ("iid", "power * ", 0),
        ("iid", "exp * ", 0),
        ("iid", "ident * car1", 1),
        ("iid", "power * cs", 0),
        ("ident * ", "ident * car1", 1),
        (" * car1", "ident * car1", 0),
        (" * car1", "exp * car1", 0),
        (" * nugget", "power * nugget", 0),
        ("cs", "power * cs", 0),
        ("power of levels * ", "ident * ", 0),
        ("power of levels * car1", "ident * car1", 0),
        ("exp of visits * ", "csh", 0),
        (" * car1", "toep", 0),
        (" * car1", "un", 0),
        (" * car1 in weeks", "ar1h", 0),
        ("exp of visits * car1", "ar1h", 0),
        (" * car1", "ident * car1 in weeks", 0),
        ("ident * ", " * car1", None),
        ("power * ", "exp * ", None),
        ("power * ", "ident * ", None),
        ("ident * ", "power of levels * ", None),
        ("power * car1", " * car1", None),
        (" * car1", "ident * ", None),
        (" * car1", "ident * expsp", None),
        (" * car1", "ident * car1 uneven", None),
        (" * car1 uneven", "un", None),
        ("power * car1", "un", None),
        (" * nugget", " * expsp", None),
        (" * expsp", "un", None),
        (" * expsp line", "power * expsp line", 0),
        (" * expsp line", "power * expsp corner", None),
        ("cs", "power * car1", None),
        ("un", "power * cs", None),
    ],
)
def test_structures_of_rows_lie_in_each_other_by_rule(small, large, expected):
    assert outcome(problem(small), problem(large)) == expected
    both = [problem(name, random(0, codes=SITE)) for name in (small, large)]
    assert outcome(*both) == expected


@pytest.mark.parametrize("large", [" * nugget", "ident * nugget"])
def test_a_nugget_has_no_meaning_without_a_correlation(large):
    assert "`nugget` has no meaning" in outcome(problem("iid"), problem(large))


@pytest.mark.parametrize("own", [" * car1", "ident * ", "power * cs", "ar1"])
def test_random_effects_beside_the_same_residuals_are_tested_as_without(own):
    assert outcome(problem(own), problem(own, random(0))) == 1
    assert outcome(problem(own, random(0)), problem(own, random(0, 1))) == 1
    assert outcome(problem(own), problem(own, random(0, 1))) == SEVERAL
    assert outcome(problem(own, random(0)), problem(own)) is None


@pytest.mark.parametrize("large", [" * car1", "ident * ", "power * expsp"])
def test_random_effects_and_a_structure_at_once_have_no_distribution(large):
    assert outcome(problem("iid"), problem(large, random(0))) == AT_ONCE


def test_a_random_effect_that_both_have_does_not_hide_what_the_visits_absorb():
    small, large = problem("iid", random(0), random(0, codes=SITE)), problem("un", random(0, codes=SITE))
    found = covariance_nesting(small, large)
    assert (found.absorbed, found.edges, found.cones, found.unfit) == (True, 0, (), "")
