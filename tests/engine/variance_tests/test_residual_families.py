"""Which residual structures lie within which: the table of their families, whatever the data."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from lmmkit.engine.covariance.residual_structure import CellBlock, ResidualStructure, one_correlation
from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.problem import Problem, Residual, Term
from lmmkit.engine.relations.relationship import DenseRelationship
from lmmkit.engine.variance_tests.residual_families import residuals_nested

SUBJECTS, VISITS = 12, 4
CODES = np.repeat(np.arange(SUBJECTS), VISITS)
TIMES = np.tile(np.arange(VISITS), SUBJECTS)
ARMS = np.repeat(np.arange(SUBJECTS) % 2, VISITS)

# What holds directly; the rest follows.
STEPS = {
    ("iid", "cs"), ("iid", "ar1"), ("iid", "ident"), ("cs", "toep"), ("ar1", "toep"), ("ar1", "ad"),
    ("cs", "csh"), ("toep", "toeph"), ("ar1", "ar1h"), ("ad", "adh"), ("csh", "toeph"), ("ar1h", "toeph"),
    ("ar1h", "adh"), ("toeph", "un"), ("adh", "un"), ("ident", "csh"), ("ident", "ar1h"), ("ad", "un"),
}  # fmt: skip
NAMES = sorted({name for step in STEPS for name in step})


def closure(steps):
    found = set(steps)
    while True:
        more = {(a, d) for a, b in found for c, d in found if b == c} | found
        if more == found:
            return found
        found = more


def residual(name, times=None):
    """A structure of one group over the visits."""
    times = np.arange(VISITS) if times is None else np.asarray(times)
    visits = [f"v{t}" for t in times]
    if name == "iid":
        return None
    if name == "ident":  # a variance for each visit, no subjects
        ratios = tuple(range(-1, len(times) - 1))
        cells = tuple(range(len(times)))
        block = CellBlock("ident", cells, (0,) * len(times), ratios, ("",))
        structure = ResidualStructure((block,), tuple(visits[1:]), tuple(visits))
        return Residual(structure, TIMES, np.arange(len(TIMES)))
    heterogeneous = name.endswith("h")
    kind = name.removesuffix("h") if heterogeneous else name
    return Residual(one_correlation(kind, times, visits, heterogeneous=heterogeneous), TIMES, CODES)


def by_arm(kind):
    """Parameters of their own for each arm, the second one's variance too."""
    blocks = [
        CellBlock(kind, tuple(VISITS * arm + t for t in range(VISITS)), tuple(range(VISITS)),
              (arm - 1,) * VISITS, tuple("abcd"), f"{arm}.")
        for arm in range(2)
    ]  # fmt: skip
    structure = ResidualStructure(tuple(blocks), ("1.ratio",), tuple(map(str, range(2 * VISITS))))
    return Residual(structure, TIMES + VISITS * ARMS, CODES)


def problem(own, *terms):
    columns = (np.ones(len(CODES)), TIMES.astype(float), np.random.default_rng(1).normal(size=len(CODES)))
    return Problem(columns, (0,), columns[2], terms, residual=own)


def random(*columns, codes=CODES, tag=""):
    return Term(0, codes, int(codes.max()) + 1, columns, structure_of(tag, len(columns)))


@pytest.mark.parametrize(("small", "large"), list(itertools.permutations(NAMES, 2)))
def test_the_table_of_families_is_what_their_definitions_give(small, large):
    nested = residuals_nested(problem(residual(small)), problem(residual(large)))
    assert nested == ((small, large) in closure(STEPS))


@pytest.mark.parametrize("kind", ["cs", "ar1", "toep", "ad", "un"])
def test_one_structure_lies_within_that_of_each_arm_and_not_the_other_way(kind):
    one, two = problem(residual(kind)), problem(by_arm(kind))
    assert residuals_nested(one, two)
    assert not residuals_nested(two, one)
    assert residuals_nested(problem(residual("iid")), two)


def test_effects_of_related_levels_correlate_subjects_and_lie_within_no_structure_of_visits():
    K = np.kron(np.eye(SUBJECTS // 2), np.array([[1.0, 0.5], [0.5, 1.0]]))
    alone = random(0)
    for term in (
        replace(alone, relation=DenseRelationship(K)),
        replace(alone, members=((CODES, TIMES + 1.0),)),
    ):
        assert not residuals_nested(problem(None, term), problem(residual("un")))
    assert residuals_nested(problem(None, alone), problem(residual("un")))


def test_a_gap_between_visits_counts_for_what_knows_of_distances():
    even, gap = [0, 1, 2, 3], [0, 1, 2, 5]
    assert residuals_nested(problem(residual("ar1", gap)), problem(residual("ar1h", gap)))
    assert residuals_nested(problem(residual("ar1", [0, 2, 5, 9])), problem(residual("ar1h", [0, 2, 5, 9])))
    assert residuals_nested(problem(residual("ar1", gap)), problem(residual("adh", even)))
    assert not residuals_nested(problem(residual("ar1", gap)), problem(residual("toeph", even)))
    assert residuals_nested(problem(residual("cs", gap)), problem(residual("toep", even)))


def test_other_subjects_or_visits_are_another_model():
    small = problem(residual("cs"))
    other = Residual(residual("un").structure, TIMES, np.repeat(np.arange(SUBJECTS)[::-1] // 2, VISITS))
    assert not residuals_nested(small, problem(other))
    turned = Residual(residual("toep").structure, (TIMES + CODES) % VISITS, CODES)
    assert not residuals_nested(problem(residual("toep")), problem(turned))
    renamed = Residual(residual("cs").structure, TIMES, CODES[::-1].max() - CODES)
    assert residuals_nested(problem(renamed), problem(residual("un")))


@pytest.mark.parametrize("large", ["cs", "csh", "toep", "un"])
def test_a_random_intercept_is_compound_symmetry(large):
    assert residuals_nested(problem(None, random(0)), problem(residual(large)))


@pytest.mark.parametrize("large", ["ar1", "ad", "adh", "ident"])
def test_a_random_intercept_is_no_decaying_correlation(large):
    assert not residuals_nested(problem(None, random(0)), problem(residual(large)))


def test_random_slopes_over_visits_lie_in_the_unstructured_alone():
    slopes = problem(None, random(0, 1))
    assert residuals_nested(slopes, problem(residual("un")))
    assert residuals_nested(problem(None, random(0, 1, tag="diag")), problem(residual("un")))
    assert not residuals_nested(slopes, problem(residual("toeph")))
    by_row = problem(None, random(0, 2))  # a covariate that differs within a visit
    assert not residuals_nested(by_row, problem(residual("un")))
    assert not residuals_nested(problem(None, random(0, codes=CODES // 2)), problem(residual("un")))


def test_nothing_with_a_structure_lies_in_what_has_none():
    assert not residuals_nested(problem(residual("cs")), problem(None, random(0)))
