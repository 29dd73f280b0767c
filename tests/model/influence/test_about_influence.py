"""The tables of what is left out: which units they list, in which order, by which number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import influence, lmm
from lmmkit.model.influence import about_influence
from lmmkit.model.influence.about_influence import LISTED, Pulls, pulls
from lmmkit.model.means.focus import find_focus


def test_every_level_is_listed_and_of_the_rows_those_that_pull_most() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(list("abcdef"), 7), "x": np.tile(np.arange(7.0), 6)})
    data["y"] = data["x"] + np.repeat(rng.normal(size=6), 7) + rng.normal(size=42)
    fit = lmm("y ~ x + (1 | g)", data)
    lines = [2 * i + 10 for i in range(42)]  # of the file
    found = pulls(fit, find_focus(fit.design, "x"), lines, df="normal", level=0.9)
    own = influence(fit, "rows", focus="x", df="normal", refits=1, alpha=0.1).table
    assert (own["turns"] == "").all()
    rows = found.table[found.table["group"] == "row"]
    assert rows["level"].tolist() == [str(lines[i]) for i in own.index[:LISTED]]
    assert rows["left_out"].iloc[0] == f"row {lines[own.index[0]]}"
    assert rows["cooks"].tolist() == pytest.approx(own["cooks"].tolist()[:LISTED])
    assert sorted(found.table.loc[found.table["group"] == "g", "level"]) == list("abcdef")
    assert found.summary[["group", "units", "turned"]].to_numpy().tolist() == [["g", 6, 0], ["row", 42, 0]]


def _data() -> pd.DataFrame:
    """Six subjects of four visits; without g0 the slope of x is none, with it one."""
    rng = np.random.default_rng(6)
    g, x = np.repeat(np.arange(6), 4), np.tile(np.arange(4.0), 6)
    noise = rng.normal(size=6)[g] + 0.3 * rng.normal(size=24)
    return pd.DataFrame({"g": g, "x": x, "t": x, "f": list("uvw") * 8, "y": noise + 2.0 * x * (g == 0)})


def _pulls(fit, focus: str = "x", **options) -> Pulls:
    return pulls(
        fit, find_focus(fit.design, focus), range(fit.nobs), **{"df": "normal", "level": 0.95} | options
    )


def test_the_summary_is_that_of_the_deletions_and_its_units_are_those_that_the_answer_turns_on() -> None:
    fit = lmm("y ~ x + (1 | g)", _data())
    found = _pulls(fit)
    own = influence(fit, "g", focus="x", df="normal", refits=10, alpha=0.05)
    assert found.summary.iloc[0].to_dict() == {
        "group": "g", "units": 6, "refitted": own.found.refitted, "focus": "slope of x",
        "estimate": pytest.approx(own.whole.estimate), "p": pytest.approx(own.whole.p),
        "low": pytest.approx(own.table["estimate"].min()), "high": pytest.approx(own.table["estimate"].max()),
        "least_p": pytest.approx(own.table["p"].min()), "most_p": pytest.approx(own.table["p"].max()),
        "turned": 1, "others": len(own.found.turns) - 1, "lost": 0, "note": "",
    }  # fmt: skip
    groups = found.of_first_group()
    assert groups["group"].unique().tolist() == ["g"]
    assert len(groups) == 6
    turned = [label for label in own.table.index if "p" in own.table.loc[label, "turns"].split(", ")]
    assert groups.loc[groups["answer"], "left_out"].tolist() == [f"g {label}" for label in turned]
    assert len(turned) == 1
    assert (found.focus, found.whole) == ("slope of x", pytest.approx(own.whole.estimate))
    several = _pulls(lmm("y ~ f + (1 | g)", _data()), "f")
    assert np.isnan(several.whole)
    assert several.focus == "differences between the levels of f"


def test_rows_that_a_conclusion_turns_on_are_listed_wherever_they_stand(monkeypatch) -> None:
    monkeypatch.setattr(about_influence, "LISTED", 2)
    fit = lmm("y ~ x + (1 | g)", _data())
    alpha = float(influence(fit, "rows", focus="x", df="normal", refits=0).table["p"].iloc[5]) * 1.0001
    rows = _pulls(fit, level=1.0 - alpha).table.query("group == 'row'")
    own = influence(fit, "rows", focus="x", df="normal", refits=1, alpha=alpha).table
    expected = [str(label) for place, label in enumerate(own.index) if place < 2 or own.loc[label, "turns"]]
    assert rows["level"].tolist() == expected
    assert 2 < len(expected) < 24


@pytest.mark.parametrize(
    ("formula", "options", "most", "groups"),
    [
        ("y ~ x + (1 | g) + (1 | f)", {}, 24, ["g", "f", "row"]),
        ("y ~ x + (1 | g)", {}, 23, ["g"]),
        ("y ~ x + (1 | g)", {"variances": {"g": 1.0, "Residual": 1.0}}, 24, ["g"]),
        ("y ~ x", {"residual": "cs(t | g)"}, 24, ["g", "row"]),
        ("y ~ x + (1 | g)", {"residual": "ar1(t | g)"}, 24, ["g", "row"]),
        ("y ~ x", {"residual": "ident(f)"}, 24, ["row"]),
    ],
)
def test_what_is_left_out_one_by_one(monkeypatch, formula, options, most, groups) -> None:
    monkeypatch.setattr(about_influence, "MOST_ROWS", most)
    monkeypatch.setattr(about_influence, "REFITS", 0)
    found = _pulls(lmm(formula, _data(), **options))
    assert found.summary["group"].tolist() == groups


def test_where_nothing_can_be_left_out_the_summary_says_why(monkeypatch) -> None:
    monkeypatch.setattr(about_influence, "MOST_ROWS", 0)
    found = _pulls(lmm("y ~ x + (1 | one)", _data().assign(one="a"), variances={"one": 1.0, "Residual": 1.0}))
    assert found.table.columns.tolist() == about_influence.COLUMNS
    assert found.table.empty
    assert found.summary["note"].tolist() == [
        "influence(of='one'): it has 1 level in the rows used, and without it no row is left. "
        "Name a factor with two levels or more, or 'rows'."
    ]
