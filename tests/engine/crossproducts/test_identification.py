"""What is refused before any search, with the rows, visits or parameters that it is about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.small_visits import THREE, noise, over, problem_of, rows
from support.visits import STRUCTURES, trial

from lmmkit.engine.covariance.residual_structure import CellBlock, ResidualStructure
from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.crossproducts import identification
from lmmkit.engine.crossproducts.identification import by_cell, over_cells
from lmmkit.engine.crossproducts.patterns import pairs_of, patterns_of
from lmmkit.engine.problem import Residual, Term
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError


def refused(match, problem):
    with pytest.raises(FitError, match=match):
        set_up(problem, reml=True)


def test_fewer_subjects_than_visits():
    structure = over("un", tuple("abcdef"), range(6))
    refused("6 subjects for 6 visits.*at least 7", problem_of(structure, *rows(6, 6), noise(36)))
    assert set_up(problem_of(structure, *rows(7, 6), noise(42)), reml=True)  # equality is identified
    sex = (np.repeat(np.arange(7), 6) % 2).astype(float)
    refused("7 subjects.*take up 2", problem_of(structure, *rows(7, 6), noise(42), (sex,)))


def test_fewer_subjects_than_visits_in_one_group():
    visit, subject = rows(13, 4)
    arm = (subject < 3).astype(int)
    refused(
        "3 subjects of B for 4 visits",
        problem_of(STRUCTURES["un by arm"], visit + 4 * arm, subject, noise(52), (arm * 1.0,)),
    )


def test_a_pair_of_visits_never_seen_together():
    visit, subject = rows(20)
    keep = ~((visit == 2) & (subject % 2 == 0)) & ~((visit == 0) & (subject % 2 == 1))
    problem = problem_of(over("un"), visit[keep], subject[keep], noise(keep.sum()))
    refused("both of the visits 1 and 3", problem)
    residual = replace(problem.residual, structure=over("ar1"))
    assert set_up(replace(problem, residual=residual), reml=True)


def test_a_pair_of_visits_never_seen_together_in_one_group():
    visit, subject = rows(60, 4)
    arm = subject % 2
    keep = (arm == 0) | ~((visit == 1) & (subject % 4 == 1)) & ~((visit == 2) & (subject % 4 == 3))
    refused(
        "No subject of B has a row at both of the visits 2 and 3: nothing is known",
        problem_of(
            STRUCTURES["un by arm"],
            (visit + 4 * arm)[keep],
            subject[keep],
            noise(keep.sum()),
            (arm[keep] * 1.0,),
        ),
    )


def test_variances_alone_are_told_by_one_row_a_subject():
    structure = over("ident", heterogeneous=True)
    assert set_up(problem_of(structure, np.arange(30) % 3, np.arange(30), noise(30)), reml=True)


def test_two_rows_of_a_subject_at_one_visit():
    visit, subject = rows(10)
    names = [f"P{i}" for i in range(10)]
    for structure in (over("un"), over("cs")):
        problem = problem_of(structure, [*visit, 1], [*subject, 4], noise(31), names=names)
        refused("Subject P4 has two rows at visit 2", problem)


def test_two_rows_of_a_subject_at_one_visit_in_two_levels_of_a_variance_function():
    problem = trial("ident(f) * cs")
    residual = problem.residual
    cells, subjects = residual.cells.copy(), residual.subjects
    first, second = np.flatnonzero(subjects == subjects[0])[:2]
    cells[second] = (cells[first] + 4) % 8
    refused("Subject 1 has two rows at visit", replace(problem, residual=replace(residual, cells=cells)))


def test_a_subject_in_two_groups():
    problem = trial("cs by arm")
    cells = problem.residual.cells.copy()
    row = np.flatnonzero(problem.residual.subjects == 2)[1]
    cells[row] = (cells[row] + 4) % 8
    refused(
        "Subject 3 has rows in two groups.*A and B",
        replace(problem, residual=replace(problem.residual, cells=cells)),
    )


def test_a_visit_with_one_row_or_one_that_is_reproduced():
    visit, subject = rows(10)
    keep = (visit < 2) | (subject == 0)
    for structure in (over("un"), over("cs", heterogeneous=True)):
        refused(
            r"is 1 row at visit 3, .* Leave the visit out, or take a structure with fewer parameters \(cs",
            problem_of(structure, visit[keep], subject[keep], noise(keep.sum())),
        )
    y = np.where(visit == 0, 3.0, noise(30))
    columns = ((visit == 1) * 1.0, (visit == 2) * 1.0)
    refused("reproduce the response at visit 1", problem_of(over("un"), visit, subject, y, columns))


@pytest.mark.parametrize("correlation", ["un", "cs", "ar1", "toep", "ad"])
def test_one_row_per_subject(correlation):
    refused(
        "Every subject has one row",
        problem_of(over(correlation), np.arange(30) % 3, np.arange(30), noise(30)),
    )


def test_distances_that_never_occur():
    for last, said in (
        (4, r"tell of rho\.2, a parameter of the residual structure: such a distance"),
        (5, r"tell of rho\.2, rho\.3, parameters of"),
        (6, r"tell of rho\.2, rho\.3, rho\.4, parameters of"),
        (7, r"tell of rho\.2, rho\.3, rho\.4 and 1 more, parameters of"),
    ):
        refused(said, problem_of(over("toep", times=(0, 1, last)), *rows(20), noise(60)))


def test_two_variances_of_the_same_rows():
    block = CellBlock("un", (0, 1, 2), (1, 2, 3), (-1, 0, 1), THREE)
    structure = ResidualStructure((block,), ("ratio.b", "ratio.c"), THREE)
    refused("do not tell the parameters", problem_of(structure, *rows(20), noise(60)))


@pytest.mark.parametrize("name", ["un", "cs", "toep", "un by arm", "cs by arm"])
def test_random_effects_that_the_structure_has_in_any_case(name):
    problem = trial(name)
    subjects = problem.residual.subjects
    term = Term(0, subjects, int(subjects.max()) + 1, (0,), structure_of("", 1))
    kind = name.split()[0]
    refused(
        f"the residual structure {kind} cannot be told apart: .* among those that {kind} allows in any case",
        replace(problem, terms=(term,)),
    )


@pytest.mark.parametrize("name", ["ar1", "ar1h", "ad", "csh", "toeph"])
def test_random_effects_that_a_structure_does_not_have(name):
    problem = trial(name, subjects=150)
    subjects = problem.residual.subjects
    term = Term(0, subjects, int(subjects.max()) + 1, (0,), structure_of("", 1))
    assert set_up(replace(problem, terms=(term,)), reml=True)


def test_un_beside_a_slope_that_no_visit_tells():
    problem = trial("un")
    subjects, slope = problem.residual.subjects, noise(len(problem.response))
    term = Term(0, subjects, int(subjects.max()) + 1, (len(problem.columns),), structure_of("", 1))
    assert set_up(replace(problem, columns=(*problem.columns, slope), terms=(term,)), reml=True)


@pytest.mark.parametrize("correlation", ["un", "cs", "ar1", "ident"])
def test_one_visit(correlation):
    structure = over(correlation, ("1",), (1,))
    refused("one cell, visit 1", problem_of(structure, np.zeros(9, int), np.arange(9), noise(9)))


def test_a_visit_of_its_own_variance_has_two_rows_at_least():
    visit, subject = rows(10)
    for most, few in ((1, True), (2, False)):
        keep = (visit < 2) | (subject < most)
        problem = problem_of(over("cs", heterogeneous=True), visit[keep], subject[keep], noise(keep.sum()))
        if few:
            refused("There is 1 row at visit 3, and it has a variance of its own, which needs 2", problem)
        else:
            assert set_up(problem, reml=True)


def test_rows_are_as_many_as_what_is_estimated_and_one_more():
    """A mean, two dummies, a residual variance, two ratios and rho: 7, and one to spare is none."""
    visit, subject = rows(3)
    columns = ((visit == 1) * 1.0, (visit == 2) * 1.0)
    structure = over("cs", heterogeneous=True)
    keep = np.arange(9) < 6
    refused(
        r"6 rows cannot estimate 3 fixed effects, a residual variance and 3 parameters .*: at least 7 are",
        problem_of(structure, visit[keep], subject[keep], noise(6), [c[keep] for c in columns]),
    )
    keep = np.arange(9) < 7
    given = problem_of(structure, visit[keep], subject[keep], noise(7), [c[keep] for c in columns])
    assert set_up(given, reml=True)


@pytest.mark.parametrize(("size", "exact"), [(1e-11, False), (1e-13, True)])
def test_a_visit_that_is_reproduced_but_for_rounding(size, exact):
    visit, subject = rows(30)
    y = np.where(visit == 0, size, 1.0) * noise(90)
    problem = problem_of(over("un"), visit, subject, y, ((visit == 1) * 1.0, (visit == 2) * 1.0))
    if exact:
        refused(r"reproduce the response at visit 1 exactly \(30 rows\)", problem)
    else:
        assert set_up(problem, reml=True)


def test_two_visits_are_enough_for_a_correlation_and_one_row_a_subject_is_not():
    two = over("cs", ("1", "2"), (1, 2))
    assert set_up(problem_of(two, *rows(9, 2), noise(18)), reml=True)
    refused("Every subject has one row", problem_of(two, np.arange(18) % 2, np.arange(18), noise(18)))


def test_shares_that_decide():
    assert (identification.NO_RANK, identification.EXACT_VISIT, identification.ALIKE) == (1e-10, 1e-24, 1e-8)


def test_parameters_that_are_alike_are_named_and_no_others():
    block = CellBlock("cs", (0, 1, 2), (1, 2, 3), (-1, 0, 0), THREE)
    structure = ResidualStructure((block,), ("ratio.b",), THREE)
    assert set_up(problem_of(structure, *rows(20), noise(60)), reml=True)
    twice = CellBlock("un", (0, 1, 2), (1, 2, 3), (-1, 0, -1), THREE)
    refused(
        r"do not tell the parameters ratio\.b, ratio\.2 of the residual structure apart",
        problem_of(ResidualStructure((twice,), ("ratio.b",), THREE), *rows(20), noise(60)),
    )


def test_memberships_of_the_subjects_are_no_part_of_a_residual_structure():
    problem = trial("un")
    subjects = problem.residual.subjects
    last = int(subjects.max())
    members = (
        (subjects, np.full(len(subjects), 0.7)),
        ((subjects + 1) % (last + 1), np.full(len(subjects), 0.3)),
    )
    term = Term(0, subjects, last + 1, (0,), structure_of("", 1), members)
    assert set_up(replace(problem, terms=(term,)), reml=True)


def test_columns_of_a_term_are_functions_of_cells_where_every_row_of_a_cell_has_the_same():
    problem = trial("cs", subjects=8)
    residual, n = problem.residual, len(problem.response)
    subjects, last = residual.subjects, int(residual.subjects.max()) + 1
    slope = np.array([0.5, -1.0, 2.0, 4.0])[residual.cells]
    varied = slope.copy()
    varied[np.flatnonzero(residual.cells == 2)[-1]] += 1.0
    problem = replace(problem, columns=(np.ones(n), slope, varied))
    assert by_cell(slope, residual).tolist() == [0.5, -1.0, 2.0, 4.0]
    assert by_cell(varied, residual) is None

    def found(columns, codes=subjects, levels=last):
        return over_cells(problem, Term(0, codes, levels, columns, structure_of("", len(columns))), residual)

    assert found((0, 1)).tolist() == [[1.0] * 4, [0.5, -1.0, 2.0, 4.0]]
    assert found((0, 2)) is None
    assert found((0,), subjects // 2, last // 2 + 1) is None  # its levels hold several subjects
    assert found((0,), np.arange(n), n) is None  # or a part of one


# Patterns


def test_several_subjects_with_two_rows_are_counted():
    visit, subject = rows(10)
    for more, said in (([4, 6], "at visit 2, and so has 1 other: a"), ([4, 6, 7], "and so have 2 others: a")):
        cells, subjects = [*visit, *[1] * len(more)], [*subject, *more]
        refused(said, problem_of(over("cs"), cells, subjects, noise(30 + len(more))))
    refused("at visit 2: a residual structure", problem_of(over("cs"), [*visit, 1], [*subject, 4], noise(31)))


def test_patterns_are_the_sets_of_cells_in_whatever_order_rows_come():
    structure = over("ar1", [str(t) for t in range(67)], range(67))  # more than a number has bits
    cells = np.array([66, 0, 1, 0, 66, 66, 2, 1, 2, 65])
    subjects = np.array([0, 0, 1, 2, 2, 3, 3, 4, 5, 5])
    residual = Residual(structure, cells, subjects)
    found = {tuple(p.cells.tolist()): p.rows.tolist() for g in patterns_of(residual) for p in g.each()}
    assert found == {(1,): [[2], [7]], (0, 66): [[1, 0], [3, 4]], (2, 66): [[6, 5]], (2, 65): [[8, 9]]}
    pairs = pairs_of(residual)
    assert (pairs[0, 66], pairs[66, 66], pairs[1, 1], pairs[2, 66], pairs[0, 1]) == (2, 3, 2, 1, 0)
    few = Residual(over("ar1"), np.array([2, 0, 1, 0]), np.array([1, 1, 0, 0]))
    found = {tuple(p.cells.tolist()): p.rows.tolist() for g in patterns_of(few) for p in g.each()}
    assert found == {(0, 1): [[3, 2]], (0, 2): [[1, 0]]}
