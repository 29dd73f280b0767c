# ruff: noqa: E501  (a sentence stands as it is printed)
"""Sentences of a design audit: small designs on the left, what is said of them on the right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit import design_audit
from lmmkit.model.design_audit import maximal
from lmmkit.model.design_audit.design_audit import _printed
from lmmkit.model.design_audit.incidence import BINS, _bins
from lmmkit.model.design_audit.within_levels import Levels
from lmmkit.model.table.grouping import Grouping


def frame(levels=6, rows=4, **columns):
    """Some rows of each level, with columns given as functions of level and row."""
    g, r = (part.ravel() for part in np.meshgrid(np.arange(levels), np.arange(rows), indexing="ij"))
    return pd.DataFrame(
        {"y": np.arange(len(g)) % 7, "g": [f"g{i}" for i in g]} | {n: of(g, r) for n, of in columns.items()}
    )


def reason(formula, table, term, group="g"):
    rows = design_audit(formula, table).table
    return rows[(rows["term"] == term) & (rows["group"] == group)]["reason"].iloc[0]


def x(g, r):
    return r * 1.0


def one_shows(g, r):
    return np.where(g == 2, r, 0) * 1.0


def some_show(g, r):
    return np.where(g > 1, r, 0) * 1.0


def letters(g, r):
    return np.array(list("ab"))[r % 2]


def arms(g, r):
    return np.array(list("cd"))[g % 2]


@pytest.mark.parametrize(
    ("formula", "table", "term", "said"),
    [
        ("y ~ 1 + (1 | g)", frame(), "Intercept", "every level has more than one row"),
        ("y ~ 1 + (1 | g)", frame().drop(index=[1, 2, 3]), "Intercept", "5 of 6 levels have more than one row"),
        ("y ~ 1 + (1 | g)", frame(3, 2).drop(index=[1, 3]), "Intercept", "1 of 3 levels has more than one row"),
        ("y ~ 1 + (1 | g)", frame(6, 1), "Intercept", "each level of `g` has one row, whose residual cannot be told from it"),
        ("y ~ 1 + (1 | g)", frame(1, 4), "Intercept", "`g` has one level, and a variance between levels needs two at least"),
        ("y ~ x + (1 | g)", frame(x=x), "x", "every level has more rows than the 2 effects take up"),
        ("y ~ x + (1 | g)", frame(rows=2, x=x), "x", "no level of `g` has more rows than its 2 effects with `x` take up, so its variance cannot be told from the residual's"),
        ("y ~ x + (1 | g)", frame(x=one_shows), "x", "one level alone of `g` shows `x` apart from the effects before it"),
        ("y ~ x + (1 | g)", frame(x=some_show), "x", "every level has more rows than the 2 effects take up; 4 of 6 levels show `x`"),
        ("y ~ x + I(2 * x) + (1 | g)", frame(x=x), "I(2 * x)", "the column `I(2 * x)` follows from those of the effects before it in these rows"),
        ("y ~ c + (1 | g)", frame(c=arms), "c", "`c` has one value in each level of `g`"),
        ("y ~ a * c + (1 | g)", frame(a=letters, c=arms), "a:c", "`c` constant within the levels, so the effect is that of `a`: every level has more rows than the 2 effects take up"),
        ("y ~ a * x + (1 | g)", frame(rows=2, a=letters, x=x), "a:x", "`a:x` holds `a`, which is left out: no level of `g` has more rows than its 2 effects with `a` take up, so its variance cannot be told from the residual's"),
    ],
)  # fmt: skip
def test_every_verdict_has_its_reason(formula, table, term, said):
    assert reason(formula, table, term) == said


def pairs():
    """Rows of 10 levels, in which half of them see a and b, and half c and d, three times each."""
    return frame(10, 6, f=lambda g, r: np.array(list("abcd"))[(r % 2) + 2 * (g % 2)])


@pytest.mark.parametrize(
    ("formula", "table", "options", "group", "word", "said"),
    [
        ("y ~ a + (1 | g/a)", frame(a=letters), {}, "a:g", "not told apart", "beside the effects of `g` its variance cannot be told apart"),
        ("y ~ g + (1 | g)", frame(), {}, "g", "not told apart", "beside the fixed effects its variance cannot be told apart"),
        ("y ~ 1 + (1 | g)", frame(t=x), {"residual": "cs(t | g)"}, "g", "not told apart", "the residual structure cs(t | g) holds the covariances within `g`"),
        ("y ~ 1 + (1 | g)", frame(t=x), {"residual": "ar1(t | g)"}, "g", "justified", "every level has more than one row"),
        ("y ~ 1 + (1 | h)", frame(t=x, h=arms), {"residual": "cs(t | g)"}, "h", "justified", "every level has more than one row"),
    ],
)  # fmt: skip
def test_what_holds_the_variance_of_an_effect_is_named(formula, table, options, group, word, said):
    rows = design_audit(formula, table, **options).table
    assert rows[rows["group"] == group][["verdict", "reason"]].to_numpy().tolist()[0] == [word, said]


@pytest.mark.parametrize(
    ("formula", "table", "options", "notices"),
    [
        ("y ~ f + (1 | g)", pairs(), {}, ["`g`: the variances and covariances of its 4 effects cannot all be told apart by these rows (`g`): they stand without correlations."]),
        ("y ~ f + (f | g)", pairs(), {},
         ["The formula's own variances and covariances of `(f | g)` cannot be told apart by these rows, beside its fixed effects: leave one out.",
          "`g`: the variances and covariances of its 4 effects cannot all be told apart by these rows (`g`): they stand without correlations."]),
        ("y ~ 1 + (1 | g)", frame(t=x), {"residual": "cs(t | g)"},
         ["The formula's own variances and covariances of `(1 | g)` and the residuals cannot be told apart by these rows, beside its fixed effects: leave one out."]),
        ("y ~ 1 + (1 | g) + (1 | h)", frame(h=lambda g, r: g), {},
         ["The formula's own variances and covariances of `(1 | g)` and `(1 | h)` cannot be told apart by these rows, beside its fixed effects: leave one out."]),
        ("y ~ a + (1 | g) + (a || g)", frame(8, 8, a=letters), {},
         ["The formula's own variances and covariances of `(1 | g)` and `(a || g)` cannot be told apart by these rows, beside its fixed effects: leave one out."]),
        ("y ~ a + (a || g)", frame(8, 8, a=letters), {}, []),
        ("y ~ x + (x || g)", frame(2, x=x), {},
         ["`g` has 2 levels for a covariance matrix of 2 effects, whose estimate could only be singular: they stand without correlations.",
          "`g` has 2 levels: a variance between so few is known very roughly, and a fixed effect may serve as well."]),
        ("y ~ x + (x | g)", frame(3, x=x), {}, ["`g` has 3 levels: a variance between so few is known very roughly, and a fixed effect may serve as well."]),
        ("y ~ 1 + (1 | g)", frame(1), {},
         ["`(1 | g)`: `Intercept` is not justified by the design: `g` has one level, and a variance between levels needs two at least."]),
    ],
)  # fmt: skip
def test_everything_that_is_to_be_looked_at(formula, table, options, notices):
    assert list(design_audit(formula, table, **options).notices) == notices


def test_a_term_of_too_many_columns_is_left_aside(monkeypatch):
    table = frame(a=lambda g, r: np.array(list("abcd"))[r])
    assert reason("y ~ a + (1 | g)", table, "a").startswith(
        "no level of `g` has more rows than its 4 effects"
    )
    monkeypatch.setattr(maximal, "MOST_COLUMNS", 3)
    assert reason("y ~ a + (1 | g)", table, "a").startswith("no level of `g`")
    monkeypatch.setattr(maximal, "MOST_COLUMNS", 2)
    assert reason("y ~ a + (1 | g)", table, "a") == "`a` has 3 columns, more than the 2 that are looked at"


@pytest.mark.parametrize(
    ("formula", "table", "said"),
    [
        ("y ~ 1 + (1 | g)", frame(4), "`g` has 4 levels: a variance between so few is known very roughly, and a fixed effect may serve as well."),
        ("y ~ 1 + (1 | g)", frame(5), ""),
        ("y ~ c + (c | g)", frame(c=arms), "`(c | g)`: `c` has one value in each level of `g`: none shows a slope of its own."),
        ("y ~ x + (x | g)", frame(rows=2, x=x), "`(x | g)`: `x` is not justified by the design: no level of `g` has more rows than its 2 effects with `x` take up, so its variance cannot be told from the residual's."),
        ("y ~ a * c + (a * c | g)", frame(a=letters, c=arms), "`(a * c | g)`: `a:c`: of it `a` alone varies within the levels of `g`."),
        ("y ~ a + cs(0 + a | g)", frame(a=letters), "`g`: its terms have a pattern of their own, and stay as the formula has them."),
        ("y ~ x", frame(x=x), "`y ~ 1 + x` names no grouping factor: add (1 | g) for the units that rows are of."),
        ("y ~ a + (1 | g)", frame(3, a=letters), "`g` has 3 levels: a variance between so few is known very roughly, and a fixed effect may serve as well."),
        ("y ~ a + (1 | g)", frame(2, a=letters), "`g` has 2 levels for a covariance matrix of 2 effects, whose estimate could only be singular: they stand without correlations."),
    ],
)  # fmt: skip
def test_what_is_to_be_looked_at(formula, table, said):
    notices = design_audit(formula, table).notices
    assert said in notices if said else not notices


def test_an_intercept_asks_for_no_correlations():
    assert not any("covariance matrix" in one for one in design_audit("y ~ 1 + (1 | g)", frame(2)).notices)


@pytest.mark.parametrize(("values", "said"), [((0.0, 1.0), True), ((0.0, 1.0, 2.0), False)])
def test_labels_that_begin_anew_within_a_number_of_two_values(values, said):
    labels = [np.repeat(range(1, 11 - 2 * k), 2) for k in range(len(values))]
    z = np.repeat(values, [len(own) for own in labels])
    table = pd.DataFrame({"g": np.concatenate(labels), "z": z}).assign(y=lambda d: d.index % 5)
    notices = design_audit("y ~ z + (1 | g)", table).notices
    assert any("within `z`" in one for one in notices) == said


def test_two_factors_that_divide_the_rows_alike():
    table = frame().assign(h=lambda d: "h" + d["g"])
    rows = design_audit("y ~ 1 + (1 | g) + (1 | h)", table).table
    assert rows["reason"].iloc[1] == "`h` and `g` divide the rows alike: one of them is enough"
    assert rows["verdict"].tolist() == ["justified", "not told apart"]


@pytest.mark.parametrize(
    ("drop", "said"),
    [
        ([], "h and g are fully crossed: 24 of 24 cells occur."),
        ([0], "h and g are partly crossed: 23 of 24 cells occur."),
    ],
)
def test_how_factors_lie_to_each_other_is_told(drop, said):
    table = frame(8, 3, h=lambda g, r: np.array(list("pqr"))[r]).drop(index=drop)
    text = str(design_audit("y ~ 1 + (1 | g) + (1 | h)", table))
    assert said.replace("h and g", "g and h") in text
    assert "Maximal random part that the design justifies: (1 | g) + (1 | h)." in text


def test_what_is_printed_of_a_design():
    table = frame(x=x, c=arms)
    audit = design_audit("y ~ x + c + (1 | g)", table)
    lines = str(audit).splitlines()
    assert lines[0] == "What the design can tell of random effects"
    assert lines[3].split() == ["g", "x", "within", "6", "4", "1", "x", "justified"]
    assert "g, c: `c` has one value in each level of `g`." in lines
    assert not any(line.startswith("g, x:") for line in lines)
    less = str(design_audit("y ~ x + (1 | g)", table.drop(index=[0, 1])))
    assert "2 / 4 / 4" in less
    assert "The design justifies no random effects" in str(design_audit("y ~ 1 + (1 | g)", frame(6, 1)))


@pytest.mark.parametrize(
    ("varying", "said"), [(1, "in 1 level"), (2, "in 2 levels"), (1200, "in 1,200 levels")]
)
def test_a_term_that_varies_in_some_levels_says_in_how_many(varying, said):
    row = design_audit("y ~ x + (1 | g)", frame(x=some_show)).table.iloc[1].to_dict()
    assert row["varies"] == "mixed"
    assert _printed(row)[2] == "in 4 levels"
    assert _printed(row | {"varying": varying})[2] == said


def test_the_share_of_a_number_between_levels():
    codes = np.repeat([0, 1], 3)
    levels = Levels(Grouping("g", codes, 2, ((np.array(["a", "b"], object), np.arange(2)),)))
    assert levels.between_share(np.array([0.0, 1, 2, 10, 11, 12])) == pytest.approx(150 / 154)
    assert levels.between_share(np.ones(6)) == 1.0


def test_tiles_have_at_most_so_many_bins():
    down, across = np.divmod(np.arange(100 * 3), 3)
    tile = _bins(down, across)
    assert tile["rows"].iloc[0] == BINS == 48
    assert tile["columns"].iloc[0] == 3
    assert (tile["share"] == 1.0).all()
    half = _bins(down[down % 2 == 0], across[down % 2 == 0])
    assert half["share"].between(0.3, 0.7).all()
