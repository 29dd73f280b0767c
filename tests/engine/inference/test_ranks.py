"""Ranks of [X Z], against those of the matrix written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.designs import frame

from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.inference.ranks import ranks
from lmmkit.model.design.design import build_design

TABLE = pd.DataFrame(frame(2, 60))
TABLE["between"] = np.cos(TABLE.top.to_numpy() + 0.3)  # the same in all rows of a level of top, and of g
TABLE["own"], TABLE["half"] = np.arange(60) % 59, np.arange(60) // 2


def written_out(problem, parts):
    """rank[X Z_1 ... Z_s] for every s."""
    blocks = [problem.X(range(len(problem.fixed)))]
    found = [np.linalg.matrix_rank(blocks[0]) if blocks[0].size else 0]
    for part in parts:
        for t, column in part:
            term = problem.terms[t]
            Z = np.zeros((len(problem.response), term.levels))
            for codes, weight in term.members or ((term.codes, np.ones(len(Z))),):
                np.add.at(Z, (np.arange(len(Z)), codes), weight)
            blocks.append(Z * problem.columns[term.columns[column]][:, None])
        found.append(int(np.linalg.matrix_rank(np.hstack(blocks), tol=1e-8)))
    return found


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g)",
        "y ~ x + between + (1 | top/g)",
        "y ~ 0 + x + (1 | g) + (0 + x | g)",
        "y ~ x + between + (x | g) + (1 | h)",
        "y ~ x + z + (1 | half) + (x | own)",
        "y ~ between + (between | top)",
    ],
)
def test_each_part_adds_the_dimensions_of_its_columns(formula):
    problem = build_design(formula, TABLE, weights="w").problem
    parts = [((t, c),) for t, term in enumerate(problem.terms) for c in range(len(term.columns))]
    prepared = prepare(problem)
    for order in (parts, parts[::-1]):
        assert ranks(problem, prepared, order) == written_out(problem, order)
    whole = tuple(pair for part in parts for pair in part)
    assert ranks(problem, prepared, [whole]) == written_out(problem, [whole])


def test_memberships_add_the_dimensions_of_their_weighted_columns():
    problem = build_design("y ~ x + (1 | top)", TABLE).problem
    term, r = problem.terms[0], np.random.default_rng(1)
    other = r.integers(0, term.levels, 60)
    members = ((term.codes, np.full(60, 0.25)), (other, np.full(60, 0.75)))
    problem = replace(problem, terms=(replace(term, members=members),))
    part = [((0, 0),)]
    assert ranks(problem, prepare(problem), part) == written_out(problem, part) == [2, 1 + term.levels]
