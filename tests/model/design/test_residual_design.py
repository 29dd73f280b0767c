"""Residual structures on the rows of a table: subjects, visits and cells, and what is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError, FormulaError, LmmkitError
from lmmkit.model.design.design import Design, build_design, design_from_dict
from lmmkit.model.design.residual_design import VisitDesign


@pytest.fixture
def visits() -> pd.DataFrame:
    """Eight patients of two arms at weeks 1, 2, 4, a row missing here and there."""
    rows = [
        {"id": f"p{i}", "arm": "AB"[i % 2], "week": week, "sex": "fm"[i // 4]}
        for i in range(8)
        for week in (1, 2, 4)
        if (i, week) not in {(3, 4), (6, 2)}
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(y=np.sin(np.arange(len(frame)) * 1.7) + frame["week"])


def designed(residual: str, data: Any, formula: str = "y ~ week") -> Design:
    return build_design(formula, data, residual=residual)


def structured(residual: str, data: Any, formula: str = "y ~ week") -> VisitDesign:
    found = designed(residual, data, formula).residual
    assert isinstance(found, VisitDesign)
    return found


def refusal(residual: str, data: Any, kind: type[LmmkitError], formula: str = "y ~ week") -> str:
    with pytest.raises(kind) as caught:
        designed(residual, data, formula)
    return str(caught.value)


def test_the_parameters_of_each_structure_are_named_by_visit(visits: pd.DataFrame) -> None:
    names = {
        "un(week | id)": ["ratio.2", "ratio.4", "cor.1.2", "cor.1.4", "cor.2.4"],
        "cs(week | id)": ["rho"],
        "csh(week | id)": ["ratio.2", "ratio.4", "rho"],
        "ar1h(factor(week) | id)": ["ratio.2", "ratio.4", "rho"],
        "toep(factor(week) | id)": ["rho.1", "rho.2"],
        "adh(week | id)": ["ratio.2", "ratio.4", "rho.1.2", "rho.2.4"],
        "ident(sex)": ["ratio.m"],
        "ident(sex:arm)": ["ratio.f:B", "ratio.m:A", "ratio.m:B"],
        "ident(sex) * ar1(week | id)": ["ratio.m", "rho"],
        "cs(week | id, by=arm)": ["B.ratio", "A.rho", "B.rho"],
        "csh(1 | id, by=sex)": [
            *("f.ratio.2", "f.ratio.3", "m.ratio.1", "m.ratio.2", "m.ratio.3"),
            *("f.rho", "m.rho"),
        ],
    }
    assert {text: list(structured(text, visits).names) for text in names} == names


def test_numbers_of_visits_keep_their_gaps_and_levels_of_a_factor_are_equally_spaced(
    visits: pd.DataFrame,
) -> None:
    (numbers,) = structured("ar1(week | id)", visits).structure.blocks
    (levels,) = structured("ar1(factor(week) | id)", visits).structure.blocks
    assert numbers.times == (0, 1, 3)
    assert levels.times == (0, 1, 2)


def test_unused_declared_levels_count_where_distances_do_and_are_said(visits: pd.DataFrame) -> None:
    visits["v"] = pd.Categorical(visits["week"].astype(str), ["1", "2", "3", "4"])
    near, far = structured("un(v | id)", visits), structured("toep(v | id)", visits)
    assert far.structure.blocks[0].times == (0, 1, 3)
    assert near.names == structured("un(week | id)", visits).names
    assert "declared visits 3; they count as visits" in far.notices[0]
    assert "declared visits 3; they are left out" in near.notices[0]
    assert not structured("un(week | id)", visits).notices


def test_lags_of_toep_count_steps_and_the_step_is_said(visits: pd.DataFrame) -> None:
    visits["day"] = 7 * visits["week"]
    found = structured("toep(day | id)", visits)
    assert found.names == ("rho.1", "rho.2", "rho.3")
    assert "one step of the lags is 7 of day" in found.notices[0]
    assert structured("ar1(day | id)", visits).structure.blocks[0].times == (0, 7, 21)


@pytest.mark.parametrize("residual", ["toep({} | id)", "toeph({} | id)", "toep({} | id, by=arm)"])
def test_toep_is_refused_where_no_two_visits_are_some_distance_apart(
    visits: pd.DataFrame, residual: str
) -> None:
    visits["t"] = 2 * visits["week"].map({1: 0, 2: 3, 4: 4})
    visits["v"] = pd.Categorical([f"w{t // 2}" for t in visits["t"]], [f"w{k}" for k in range(5)])
    with pytest.raises(DataError, match=r"0, 6, 8, no two of them 4 steps apart.*ar1.*`factor\(t\)`"):
        structured(residual.format("t"), visits)
    with pytest.raises(DataError, match=r"w0, w3, w4, no two of them 2 steps apart.*a Categorical of"):
        structured(residual.format("v"), visits)
    assert structured(residual.format("factor(t)"), visits).names[-2:] in (
        ("rho.1", "rho.2"),
        ("B.rho.1", "B.rho.2"),
    )


def test_the_first_level_of_a_variance_function_is_the_reference_wherever_it_occurs(
    visits: pd.DataFrame,
) -> None:
    visits["early"] = np.where(visits["week"] < 2, "z", "a")
    found = structured("ident(early) * cs(week | id)", visits)
    assert found.names == ("ratio.z", "rho")
    assert found.structure.blocks[0].ratios == (0, -1, -1)


def test_whole_numbers_below_zero_are_visits_too(visits: pd.DataFrame) -> None:
    found = structured("ar1(I(week - 2) | id)", visits)
    assert found.visits.names == ("-1", "0", "2")
    assert not found.notices


def test_the_order_of_rows_counts_within_each_subject(visits: pd.DataFrame) -> None:
    mixed = visits.sample(frac=1.0, random_state=3)
    found = structured("ar1(1 | id)", mixed)
    expected = mixed.groupby("id").cumcount().to_numpy()
    assert (found.arrays.cells == expected).all()


def test_rows_dropped_within_an_order_are_said(visits: pd.DataFrame) -> None:
    visits.loc[2, "y"] = np.nan
    assert "the 1 row dropped for missing values leaves no" in structured("cs(1 | id)", visits).notices[0]
    visits.loc[1, "y"] = np.nan
    assert "the 2 rows dropped for missing values leave no" in structured("cs(1 | id)", visits).notices[0]
    assert not structured("cs(week | id)", visits).notices


@pytest.mark.parametrize("column", ["id", "week", "arm", "sex"])
def test_rows_with_a_missing_value_in_the_structure_are_dropped_and_listed(
    visits: pd.DataFrame, column: str
) -> None:
    visits[column] = visits[column].astype(object)
    visits.loc[[4, 9], column] = None
    design = designed("ident(sex) * cs(factor(week) | id, by=arm)", visits, "y ~ 1")
    assert design.dropped["row"].tolist() == [4, 9]
    assert set(design.dropped["columns"]) == {column}
    assert len(design.problem.response) == len(visits) - 2


def test_cells_give_back_visit_group_and_level_of_each_row(visits: pd.DataFrame) -> None:
    found = structured("ident(sex) * cs(week | id, by=arm)", visits)
    named = np.array(found.cell_names)[found.arrays.cells]
    expected = visits["arm"] + "." + visits["week"].astype(str) + "." + visits["sex"]
    assert named.tolist() == expected.tolist()


def test_a_subject_twice_at_a_visit_is_named_with_its_rows(visits: pd.DataFrame) -> None:
    visits.loc[1, "week"] = 1
    said = refusal("un(week | id)", visits, DataError)
    assert "id p0 has two rows at visit 1, rows 1 and 2;" in said


def test_a_subject_in_two_groups_is_named(visits: pd.DataFrame) -> None:
    visits.loc[5, "arm"] = "A"
    said = refusal("cs(week | id, by=arm)", visits, DataError)
    assert "id p1 has rows in 2 levels of `arm` (A, B)" in said


def test_one_row_a_subject_is_refused(visits: pd.DataFrame) -> None:
    visits["row"] = np.arange(len(visits))
    assert "has one row" in refusal("ar1(week | row)", visits, DataError)


def test_times_that_are_no_whole_numbers_are_refused_with_the_way_out(visits: pd.DataFrame) -> None:
    said = refusal("ar1(I(week / 4) | id)", visits, FormulaError)
    assert "numbers such as 0.25" in said
    assert "`factor(I(week / 4))`" in said
    assert structured("ar1(factor(I(week / 4)) | id)", visits).names == ("rho",)


def test_text_whose_order_of_letters_is_not_that_of_its_numbers_is_refused(visits: pd.DataFrame) -> None:
    visits["v"] = "week " + (visits["week"] * 5).astype(str)
    said = refusal("ar1(v | id)", visits, FormulaError)
    assert "week 10, week 20, week 5; week 5, week 10, week 20 seems to be meant" in said
    assert structured("cs(v | id)", visits).names == ("rho",)  # where no order counts
    visits["v"] = pd.Categorical(visits["v"])  # as a table makes it that sorts
    refusal("toep(v | id)", visits, FormulaError)
    visits["v"] = pd.Categorical(visits["v"], ["week 5", "week 10", "week 20"])
    assert structured("ad(v | id)", visits).names == ("rho.week 5.week 10", "rho.week 10.week 20")


def test_the_order_of_two_visits_says_nothing(visits: pd.DataFrame) -> None:
    visits["v"] = np.where(visits["week"] == 1, "week 5", "week 10")
    two = visits[visits["week"] != 4]
    assert structured("ar1(v | id)", two, "y ~ 1").names == ("rho",)


@pytest.mark.parametrize(
    ("gap", "said"), [(1, None), (2, "one step of the lags is 2 of v."), (3, "is 3 of v.")]
)
def test_the_step_of_the_lags_is_told_where_it_is_not_one(
    visits: pd.DataFrame, gap: int, said: str | None
) -> None:
    visits["v"] = 1 + gap * visits["week"].map({1: 0, 2: 1, 4: 2})
    made = structured("toep(v | id)", visits)
    assert made.names == ("rho.1", "rho.2")
    assert [notice.endswith(str(said)) for notice in made.notices] == [True] * (said is not None)


def test_visits_are_counted_to_their_bound(visits: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmmkit.model.design.residual_design.MOST_VISITS", 3)
    assert structured("cs(week | id)", visits).names == ("rho",)
    monkeypatch.setattr("lmmkit.model.design.residual_design.MOST_VISITS", 2)
    assert "there are 3 visits, at most 2 are taken" in refusal("cs(week | id)", visits, DataError)


def test_visits_whose_order_letters_have_made_are_said(visits: pd.DataFrame) -> None:
    visits["v"] = visits["week"].map({1: "start", 2: "middle", 4: "end"})
    (said,) = structured("ar1(v | id)", visits).notices
    assert "in the order of their letters, end, middle, start; declare" in said
    assert not structured("un(v | id)", visits).notices
    visits["v"] = pd.Categorical(visits["v"], ["start", "middle", "end"])
    assert not structured("ar1(v | id)", visits).notices
    visits["v"] = pd.Categorical(visits["v"], ["end", "middle", "start"], ordered=True)
    assert not structured("ar1(v | id)", visits).notices


def test_random_effects_beside_a_structure_are_refused_with_the_reason(visits: pd.DataFrame) -> None:
    same = refusal("un(week | id)", visits, FormulaError, "y ~ week + (1 | id)")
    assert "cannot be told apart" in same
    assert "cannot be told apart" in refusal("un(week | id)", visits, FormulaError, "y ~ week + (week | id)")
    for residual in ("cs(week | id)", "toeph(week | id)", "ident(sex) * cs(week | id)"):
        assert "cannot be told apart" in refusal(residual, visits, FormulaError, "y ~ week + (1 | id)")
    renamed = visits.assign(who=visits["id"].str.upper())
    found = refusal("cs(week | id)", renamed, FormulaError, "y ~ week + (1 | who)")
    assert "`(1 | who)` beside residual `cs(week | id)`" in found


@pytest.mark.parametrize("residual", ["ar1(week | id)", "ident(sex)", "car1(week | id)", "adh(week | id)"])
def test_random_effects_may_stand_beside_what_they_do_not_hold(visits: pd.DataFrame, residual: str) -> None:
    design = designed(residual, visits, "y ~ week + (1 | id)")
    assert design.residual is not None
    assert len(design.random) == 1
    told = design.describe()
    assert "Random effects" in told
    assert residual in told


def test_a_model_with_neither_bar_nor_structure_names_both_ways_on(visits: pd.DataFrame) -> None:
    with pytest.raises(FormulaError, match=r"no random-effects term.*residual='un\(visit \| id\)'.*OLS"):
        build_design("y ~ week", visits)


def test_a_column_that_does_not_exist_is_asked_back(visits: pd.DataFrame) -> None:
    assert "did you mean `week`?" in refusal("un(weak | id)", visits, DataError)


@pytest.mark.parametrize("residual", ["un(v | id, by=arm)", "ident(sex) * toep(v | id)", "ar1(1 | id)"])
def test_a_design_comes_back_from_plain_values(visits: pd.DataFrame, residual: str) -> None:
    visits["v"] = pd.Categorical(visits["week"].astype(str), ["1", "2", "3", "4"])
    first = designed(residual, visits)
    again = design_from_dict(first.to_dict(), visits)
    assert first.residual is not None
    assert again.residual is not None
    assert again.residual.structure == first.residual.structure
    assert (again.residual.arrays.cells == first.residual.arrays.cells).all()
    assert (again.residual.arrays.subjects == first.residual.arrays.subjects).all()
