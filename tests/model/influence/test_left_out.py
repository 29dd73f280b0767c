# ruff: noqa: E501  (a sentence stands as it is printed)
"""What a name stands for: which units there are, what they are called, and their rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import FitError, lmm
from lmmkit.model.influence.left_out import left_out


def frame() -> pd.DataFrame:
    table = pd.DataFrame({"y": np.sin(np.arange(12.0)), "x": np.arange(12) % 4.0, "g": list("aabbccddeeff")})
    table["site"] = [3, 3, 10, 10, 2, 2, 3, 3, 10, 10, 2, 2]
    table["part"] = ["p", None, "q", "q", "p", "p", None, "q", "p", "q", "q", "p"]
    return table.assign(one="u", h=list("uv") * 6)


def rows_of(design, of):
    """Rows of each unit by its label."""
    found = left_out(design, of)
    return found.of, {label: sorted(found.units.rows(i)) for i, label in enumerate(found.labels)}


def test_rows_and_levels_and_the_values_of_any_column_are_units() -> None:
    data = frame()
    data.loc[5, "y"] = np.nan  # a row that is not used
    design = lmm("y ~ x + (1 | g)", data).design
    used = data.drop(index=5).reset_index(drop=True)
    assert rows_of(design, "rows") == ("rows", {label: [i] for i, label in enumerate(data.index.drop(5))})
    levels = {level: np.flatnonzero(used["g"] == level).tolist() for level in "abcdef"}
    assert rows_of(design, "g") == ("g", levels)
    sites = {str(site): np.flatnonzero(used["site"] == site).tolist() for site in (2, 3, 10)}
    assert rows_of(design, "site") == ("site", sites)
    parts = {part: np.flatnonzero(used["part"] == part).tolist() for part in "pq"}
    halves = {half: np.flatnonzero(used["h"] == half).tolist() for half in "uv"}
    assert rows_of(design, "h") == ("h", halves)
    assert rows_of(design, "part") == ("part", parts)  # a row without a value is in no unit


def test_subjects_of_a_residual_structure_are_units_and_a_name_is_found_in_either_order() -> None:
    data = frame()
    design = lmm("y ~ x", data, residual="cs(h | g)").design
    levels = {level: np.flatnonzero(data["g"] == level).tolist() for level in "abcdef"}
    assert rows_of(design, "g") == ("g", levels)
    nested = lmm("y ~ x + (1 | site:g)", data).design
    assert left_out(nested, "g:site").of == "site:g"


def test_a_level_has_the_rows_that_it_has_a_part_in_and_one_without_rows_is_no_unit() -> None:
    data = frame().assign(c1=list("aabbccaabbcc"), c2=list("abbccaabbcca"), w1=1.0, w2=[1.0, 0.0] * 6)
    design = lmm("y ~ x + (1 | mm(c1, c2, weights=cbind(w1, w2)))", data).design
    second = data["c2"].where(data["w2"] != 0)
    name = design.groupings[0].name
    shares = {c: np.flatnonzero((data["c1"] == c) | (second == c)).tolist() for c in "abc"}
    assert rows_of(design, name) == (name, shares)
    names = [*"abcdef", "sire"]
    known = {"g": pd.DataFrame(np.eye(7), index=names, columns=names)}
    assert left_out(lmm("y ~ x + (1 | g)", data, known=known).design, "g").labels.tolist() == [*"abcdef"]


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ("one", "influence(of='one'): it has 1 level in the rows used, and without it no row is left. Name a factor "
         "with two levels or more, or 'rows'."),
        ("gg", "influence(of='gg'): there is no such factor or column; did you mean `g`? Give 'rows' or one of: g, y, "
         "x, site, part, one, h."),
        ("thirteen", "influence(of='thirteen'): there is no such factor or column. Give 'rows' or one of: g, y, x, "
         "site, part, one, h."),
    ],
)  # fmt: skip
def test_what_cannot_be_left_out_is_refused_in_words(of: str, said: str) -> None:
    with pytest.raises(FitError) as caught:
        left_out(lmm("y ~ x + (1 | g)", frame()).design, of)
    assert str(caught.value) == said


@pytest.mark.parametrize(("more", "end"), [(5, "k3, k4."), (6, "k3, k4, ....")])
def test_twelve_names_are_listed(more: int, end: str) -> None:
    data = frame().assign(**{f"k{i}": 1.0 for i in range(more)})
    with pytest.raises(FitError) as caught:
        left_out(lmm("y ~ x + (1 | g)", data).design, "nothing like it")
    assert str(caught.value).endswith(end)
