"""The choice among candidates: what is compared, what is chosen, and the reason for every one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.cases import table

import lmmkit
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.selection.random_parts import lattice
from lmmkit.model.selection.select import _best, select

FULL = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def frame():
    return table("sleep_full")


def by_candidate(found):
    return found.table.set_index("candidate")


def test_the_formula_of_the_study_is_kept_and_the_others_shown(frame):
    found = select(FULL, frame)
    rows = by_candidate(found)
    assert found.formula == str(parse_formula(FULL))
    assert list(rows.index) == ["(1 + Days | Subject)", "(1 + Days || Subject)", "(1 | Subject)"]
    assert rows["chosen"].tolist() == [True, False, False]
    assert rows["reason"].tolist()[0] == "the formula of the study"
    assert rows["reason"].iloc[1] == "least AIC"
    assert rows["reason"].iloc[2] == f"AIC {rows['d_aic'].iloc[2]:.2f} above the least"
    assert "REML criteria, compared among equal fixed parts" in found.note


@pytest.mark.parametrize("criterion", ["aic", "bic"])
def test_the_least_criterion_is_chosen(frame, criterion):
    found = select(FULL, frame, rule="best", criterion=criterion)
    rows = by_candidate(found)
    fits = [lmmkit.lmm(formula, frame) for formula in rows["formula"]]
    values = np.array([getattr(fit, criterion) for fit in fits])
    np.testing.assert_allclose(rows[f"d_{criterion}"], values - values.min(), atol=1e-9)
    assert found.formula == rows["formula"].iloc[int(values.argmin())]
    assert rows.loc[rows["chosen"], "reason"].tolist() == [f"least {criterion.upper()}"]
    assert found.to_dict()["candidates"] == found.table.to_dict("records")


def test_reml_compares_among_equal_fixed_parts_alone(frame):
    candidates = ["(1 | Subject)", "Reaction ~ 1 + (1 | Subject)"]
    reml = by_candidate(select(FULL, frame, rule="best", candidates=candidates))
    assert reml["reason"].iloc[1].startswith("not comparable")
    assert np.isnan(reml["d_aic"].iloc[1])
    ml = by_candidate(select(FULL, frame, rule="best", candidates=candidates, reml=False))
    assert ml["reason"].iloc[1].startswith("AIC ")
    assert ml["d_aic"].iloc[1] > 1


def test_candidates_that_cannot_be_fitted_or_lose_rows_are_shown_with_their_reason(frame):
    holed = frame.assign(Days2=frame["Days"].where(frame.index > 3), one="a")
    found = select(
        "Reaction ~ Days + (1 | Subject)",
        holed,
        rule="best",
        candidates=["(1 | Subject)", "(1 | one)", "(Days2 | Subject)"],
    )
    rows = by_candidate(found)
    assert rows["chosen"].tolist() == [True, False, False]
    assert rows["reason"].iloc[1].startswith("could not be fitted: ")
    assert rows["error"].iloc[1]
    assert rows["reason"].iloc[2].startswith("not comparable: other rows")


def test_a_singular_candidate_says_so():
    rows = by_candidate(select("Yield ~ 1 + (1 | Batch)", table("dyestuff2")))
    assert rows["reason"].tolist() == [
        "the formula of the study; singular: a covariance matrix has a null direction"
    ]


def test_nothing_that_can_be_chosen_is_an_error_that_says_why(frame):
    with pytest.raises(lmmkit.FitError, match=r"No candidate could be fitted.*could not be fitted"):
        select(FULL, frame.assign(one="a"), rule="best", candidates=["(1 | one)"])
    with pytest.raises(lmmkit.LmmkitError):
        select("Reaction ~ Days + (1 | one)", frame.assign(one="a"))
    with pytest.raises(lmmkit.FitError, match="candidates='some'"):
        select(FULL, frame, candidates="some")


def test_of_equals_the_one_with_fewer_parameters():
    rows = pd.DataFrame(
        {
            "formula": ["large", "small", "best of all, not converged", "not comparable"],
            "candidate": list("abcd"),
            "aic": [10.0, 10.0, 1.0, 1.0],
            "npar": [6, 5, 4, 4],
            "comparable": [True, True, True, False],
            "converged": [True, True, False, True],
        }
    )
    assert _best(rows, "aic") == "small"


def test_reductions_of_several_terms():
    parts = lattice(parse_formula("y ~ x + (x | g) + (x | h)").random)
    assert [" + ".join(map(str, part)) for part in parts] == [
        "(1 + x | g) + (1 + x | h)",
        "(1 + x || g) + (1 + x || h)",
        "(1 + x || g) + (1 + x | h)",
        "(1 + x | g) + (1 + x || h)",
        "(1 | g) + (1 | h)",
        "(1 | g) + (1 + x | h)",
        "(1 + x | g) + (1 | h)",
        "(1 + x | h)",
        "(1 + x | g)",
    ]
