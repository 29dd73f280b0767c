"""Grouping factors by themselves: codes, levels, relations, members with their weights, and what is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.table.columns import open_table
from lmmkit.model.table.evaluate import Evaluator
from lmmkit.model.table.grouping import (
    Relation,
    cell_count,
    determines,
    grouping,
    labels_of,
    members,
    relations,
    reused_labels,
    reused_within,
    same_grouping,
    weight_matrix,
)
from lmmkit.model.table.known import read_one


def group_of(text):
    return parse_formula(f"y ~ 1 + (1 | {text})").random[-1].group


def made(text, frame, rows=None, known=None):
    of = group_of(text)
    evaluator = Evaluator(open_table(frame, of.columns()))
    taken = None if rows is None else np.array(rows)
    return grouping(of, evaluator, taken, None if known is None else read_one(known, text))


def factor(name, levels):
    """A plain factor with a level for each row."""
    return made(name, pd.DataFrame({name: levels}))


# Levels of rows

CELLS = pd.DataFrame({"a": list("qpqrp"), "b": [2, 1, 1, 2, 1]})


@pytest.mark.parametrize(
    ("text", "rows", "levels", "codes"),
    [
        ("a", None, ["p", "q", "r"], [1, 0, 1, 2, 0]),
        ("a", [0, 3, 2], ["q", "r"], [0, 1, 0]),
        ("b", None, ["1", "2"], [1, 0, 0, 1, 0]),
        ("a:b", None, ["p:1", "q:1", "q:2", "r:2"], [2, 0, 1, 3, 0]),
        ("b:a", None, ["1:p", "1:q", "2:q", "2:r"], [2, 0, 1, 3, 0]),
        ("a:b", [4, 0], ["p:1", "q:2"], [0, 1]),
    ],
)
def test_levels_that_occur_are_counted_in_order(text, rows, levels, codes):
    found = made(text, CELLS, rows)
    assert (found.name, found.size, found.plain) == (text, len(levels), True)
    assert list(found.levels) == levels
    assert found.levels.name == text
    assert list(found.codes) == codes
    assert found.row_variances is None
    assert found.observed.all()


def test_an_interaction_of_three_keeps_the_levels_of_each():
    frame = CELLS.assign(c=[True, True, False, False, True])
    found = made("a:b:c", frame)
    assert list(found.levels) == ["p:1:True", "q:1:False", "q:2:True", "r:2:False"]
    assert list(found.codes) == [2, 0, 1, 3, 0]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["g", "h"], ["g", "h"]),
        (["g", "g", "g"], ["g", "g.1", "g.2"]),
        (["g", "g", "g.1"], ["g", "g.2", "g.1"]),
        (["g", "g", "h", "h", "g"], ["g", "g.1", "h", "h.1", "g.2"]),
    ],
)
def test_names_are_made_unique_as_r_does(names, labels):
    assert labels_of(names) == labels


# How two factors relate


@pytest.mark.parametrize(
    ("first", "second", "relation"),
    [
        ("aabbcc", "xxxxyy", ("one", "two", "nested", 3)),
        ("xxxxyy", "aabbcc", ("two", "one", "nested", 3)),
        ("aabbcc", "xyxyxx", ("one", "two", "crossed", 5)),
        ("aabb", "xyxy", ("one", "two", "crossed", 4)),
        ("aabb", "xxyy", ("one", "two", "nested", 2)),
    ],
)
def test_two_factors_are_nested_or_crossed(first, second, relation):
    one, two = factor("one", list(first)), factor("two", list(second))
    assert relations([one, two]) == (Relation(*relation),)
    fine = one if relation[0] == "one" else two
    assert determines(fine, two if fine is one else one) == (relation[2] == "nested")
    assert cell_count(one, two) == len(set(zip(first, second, strict=True)))


def test_members_have_no_relation_to_a_plain_factor():
    several = made("mm(a, b)", pd.DataFrame({"a": list("pq"), "b": list("qr")}))
    plain = factor("g", ["u", "v"])
    assert relations([several, plain]) == relations([plain, several]) == ()


SAME = pd.DataFrame({"a": list("ppqqr"), "b": list("qqrrp"), "w": [1.0, 2, 3, 4, 5]})


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("a", "b", True),
        ("a", "a:b", True),
        ("mm(a)", "a", True),
        ("mm(a, b)", "mm(b, a)", True),
        ("mm(a, b)", "a", False),
        ("mm(a, weights=c(w), scale=FALSE)", "a", False),
    ],
)
def test_factors_that_divide_the_rows_alike_are_found(first, second, alike):
    pair = [made(first, SAME), made(second, SAME)]
    assert same_grouping(pair) == ((first, second) if alike else None)


def test_factors_of_as_many_levels_that_cross_are_not_alike():
    assert same_grouping([factor("a", list("ppqq")), factor("b", list("uvuv"))]) is None
    assert same_grouping(
        [factor("a", list("ppqq")), factor("b", list("uuuv")), factor("c", list("yyxx"))]
    ) == (
        "a",
        "c",
    )


@pytest.mark.parametrize("first", [True, False])
def test_a_factor_with_relatives_is_like_no_other(first):
    K = pd.DataFrame(np.eye(3) + 0.5, list("pqr"), list("pqr"))
    pair = [made("a", SAME, known=K), made("b", SAME)]
    assert same_grouping(pair if first else pair[::-1]) is None


# Labels that begin anew


def pupils(sizes, rows=2, labels=str):
    cells = [(s, p) for s, n in enumerate(sizes) for p in range(1, n + 1) for _ in range(rows)]
    return pd.DataFrame({"school": [f"{s + 1}" for s, _ in cells], "pupil": [labels(p) for _, p in cells]})


def said(frame, *names):
    return reused_labels([made(name, frame) for name in names])


WITHIN = (
    "`pupil` has {} levels, but {} within `school`: if each level of `school` has levels of `pupil` of its "
    "own "
    "under the same labels, write (1 | school/pupil)"
)


EITHER = "; if it is the other way round, (1 | pupil/school)."


@pytest.mark.parametrize(
    ("sizes", "labels", "told"),
    [
        ([2, 3, 11], str, WITHIN.format(11, 16) + "."),
        ([2, 3, 4], lambda p: "abcd"[p - 1], WITHIN.format(4, 9) + "."),
        ([3] * 4, str, WITHIN.format(3, 12) + EITHER),  # all cells occur
        ([12] * 13, str, WITHIN.format(12, 156) + "."),
        ([3] * 12, str, WITHIN.format(3, 36) + EITHER),
        ([3] * 13, str, WITHIN.format(3, 39) + "."),
    ],
)
def test_labels_that_begin_anew_are_told_of(sizes, labels, told):
    frame = pupils(sizes, labels=labels)
    assert said(frame, "school", "pupil") == said(frame, "pupil", "school") == [told]
    assert reused_within(made("pupil", frame), made("school", frame)) == told


BEGUN = pupils([2, 3, 4])


@pytest.mark.parametrize(
    "frame",
    [
        pupils([2, 3, 4], labels=lambda p: str(p + (p > 2))),  # 1, 2, 4, 5
        pupils([2, 3, 4], labels=lambda p: f"p{p}"),
        pupils([2, 3, 4], labels=lambda p: "aéüß"[p - 1]),
        pupils([2, 3, 4], labels=lambda p: ["1", "2", "c", "d"][p - 1]),
        BEGUN.assign(pupil=BEGUN["school"] + BEGUN["pupil"]),
        BEGUN[BEGUN["school"] + BEGUN["pupil"] != "21"],  # the second school has no first pupil
        pupils([2, 3, 4], rows=1),
        pupils([3] * 3),  # as many of one as of the other
        pupils([13] * 14),
        pupils([3]),
    ],
)
def test_crossed_labels_are_not(frame):
    assert said(frame, "school", "pupil") == []


@pytest.mark.parametrize(("rows", "told"), [(14, 1), (13, 0)])
def test_labels_that_begin_anew_are_told_of_from_three_rows_for_two_cells(rows, told):
    """Nine cells, of which the first row of each comes first."""
    frame = BEGUN.iloc[[*range(0, 18, 2), *range(1, 18, 2)]]
    assert len(said(frame[:rows], "school", "pupil")) == told


@pytest.mark.parametrize("other", ["school:pupil", "pupil:school"])
def test_a_model_that_has_the_cells_is_told_nothing(other):
    assert said(BEGUN, "school", "pupil", other) == []
    assert len(said(BEGUN.assign(day=1), "school", "pupil", "school:day")) == 1


def test_relatives_and_members_are_told_nothing():
    names = [str(level) for level in sorted(set(BEGUN["pupil"]))]
    related = made("pupil", BEGUN, known=pd.DataFrame(np.eye(4), names, names))
    school = made("school", BEGUN)
    assert reused_labels([school, related]) == []
    assert reused_within(related, school) is None
    assert reused_within(made("pupil:school", BEGUN), school) is None
    assert reused_labels([school]) == []


# Rows that belong to several levels

TAUGHT = pd.DataFrame(
    {
        "a": ["q", "p", None, None],
        "b": ["p", None, "r", None],
        "v": [1.0, 2.0, 3.0, np.nan],
        "w": [3.0, np.nan, 4.0, np.nan],
    }
)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("mm(a, b)", [[0.5, 0.5, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]),
        ("mm(a, b, scale=FALSE)", [[0.5, 0.5, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]),
        ("mm(a, b, weights=c(v, w))", [[0.75, 0.25, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]),
        ("mm(a, b, weights=c(v, w), scale=FALSE)", [[3, 1, 0], [2, 0, 0], [0, 0, 4], [0, 0, 0]]),
        ("mm(a, b, weights=c(1, -2), scale=FALSE)", [[-2, 1, 0], [1, 0, 0], [0, 0, -2], [0, 0, 0]]),
    ],
)
def test_weights_of_members_are_shares_of_the_row(text, weights):
    found = made(text, TAUGHT)
    assert list(found.levels) == ["p", "q", "r"]
    np.testing.assert_allclose(weight_matrix(found).toarray(), weights)
    np.testing.assert_allclose(found.row_variances, np.square(weights).sum(axis=1))
    assert (found.plain, found.size, len(found.held)) == (False, 3, 2)


def test_levels_without_weight_are_not_observed():
    frame = TAUGHT.assign(v=[0.0, 1, 1, 1], w=[1.0, 1, 1, 1])
    assert list(made("mm(a, b, weights=c(v, w))", frame).observed) == [True, False, True]


def test_members_of_some_rows_have_the_levels_of_these():
    found = made("mm(a, b)", TAUGHT, rows=[2, 1])
    assert list(found.levels) == ["p", "r"]
    np.testing.assert_array_equal(weight_matrix(found).toarray(), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("a", "b", "levels"),
    [
        (pd.Categorical(["z", "y"], list("zyx")), pd.Categorical(["y", "z"], list("zyx")), ["z", "y"]),
        (pd.Categorical(["z", "y"], list("zyx")), pd.Categorical(["y", "x"], list("yx")), ["x", "y", "z"]),
        ([10, 9], [8, 10], ["8", "9", "10"]),
        (["10", "9"], ["8", "10"], ["10", "8", "9"]),
        ([None, None], ["u", "t"], ["t", "u"]),
        (pd.Categorical([10, "9"], [10, "9"]), pd.Categorical(["a", 10], ["a", 10]), ["10", "9", "a"]),
    ],
)
def test_the_levels_of_members_are_those_of_all_columns(a, b, levels):
    found = made("mm(a, b)", pd.DataFrame({"a": a, "b": b}))
    assert list(found.levels) == levels
    texts = [[str(value) for value in column] for column in (a, b)]
    for (codes, weights), column in zip(found.members, texts, strict=True):
        for code, weight, text in zip(codes, weights, column, strict=True):
            assert weight == 0 or found.levels[code] == text


@pytest.mark.parametrize(
    ("text", "change", "rows", "told"),
    [
        (
            "mm(a, b)",
            {"a": None, "b": None},
            None,
            "`mm(a, b)`: no row has a member in `a`, `b`; leave the term out.",
        ),
        (
            "mm(a, v)",
            {},
            None,
            "`mm(a, v)`: `a` holds text, `v` holds numbers; members are levels of one grouping factor, so "
            "its "
            "columns are expected to be of one type: make all of them text, or all of them numbers.",
        ),
        (
            "mm(a, b)",
            {"a": True, "b": pd.Timestamp("2020-01-01")},
            None,
            "`mm(a, b)`: `a` holds truth values, `b` holds datetime64[us] values; members are levels of one "
            "grouping factor, so its columns are expected to be of one type: make all of them text, or all "
            "of "
            "them numbers.",
        ),
        (
            "mm(a, b, weights=c(v, w))",
            {"w": [3.0, 1.0, np.nan, 1.0]},
            [0, 2],
            "`mm(a, b, weights=c(v, w))`: the weight `w` is missing in row 3, which has a member in `b` (1 "
            "such "
            "rows); fill it, or leave the member empty.",
        ),
        (
            "mm(a, b, weights=c(v, w))",
            {"v": [-1.0, -2.0, -3.0, -4.0]},
            [1, 0],
            "`mm(a, b, weights=c(v, w))`: the weight of `a` is -2 in row 2 (2 such rows), and scale=TRUE "
            "divides "
            "the weights of a row by their sum: positive ones are expected. Write scale=FALSE to take "
            "weights as "
            "they are, such as c(1, -1) for a difference.",
        ),
        (
            "mm(a, b, weights=c(v, w))",
            {"v": 0.0, "w": [1.0, 2.0, 0.0, 0.0]},
            None,
            "`mm(a, b, weights=c(v, w))`: the weights of row 2 are all 0 (2 such rows), which cannot be "
            "scaled to "
            "sum to 1; give positive weights, or leave its members empty.",
        ),
    ],
)
def test_members_that_cannot_be_used_are_refused(text, change, rows, told):
    with pytest.raises(DataError) as caught:
        made(text, TAUGHT.assign(**change), rows)
    assert str(caught.value).replace("[ns]", "[us]").replace("[s]", "[us]") == told


def test_a_column_without_members_is_of_any_type():
    found = made("mm(a, v)", TAUGHT.assign(v=np.nan))
    assert list(found.levels) == ["p", "q"]
    of = group_of("mm(a, b)")
    assert members(of, Evaluator(open_table(TAUGHT, ["a", "b"])), np.array([0])).levels.tolist() == ["p", "q"]


# Known covariances

K = pd.DataFrame([[2.0, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]], list("qpsr"), list("qpsr"))


def test_related_levels_are_those_of_the_covariance_with_rows_or_without():
    found = made("a", TAUGHT.assign(a=list("pqrp")), known=K)
    assert list(found.levels) == list("qpsr")
    assert list(found.codes) == [1, 0, 3, 1]
    assert list(found.observed) == [True, True, False, True]
    assert list(found.row_variances) == [1.0, 2.0, 1.0, 1.0]
    assert (found.plain, found.size) == (False, 4)


def test_related_members_have_the_variance_of_their_sum():
    found = made("mm(a, b, weights=c(v, w))", TAUGHT, known=K)
    np.testing.assert_array_equal(weight_matrix(found).toarray()[0], [0.25, 0.75, 0, 0])
    expected = 0.25**2 * 2 + 0.75**2 * 1 + 2 * 0.25 * 0.75 * 0.5
    np.testing.assert_allclose(found.row_variances, [expected, 1.0, 1.0, 0.0])


LISTED = "in the rows used that a known covariance matrix of 4 levels does not list"
ONE = f"1 level {LISTED}: x (x in row 4)"


@pytest.mark.parametrize(
    ("levels", "rows", "told"),
    [
        (
            "pqrx",
            None,
            ONE,
        ),
        (
            "yxpx",
            [3, 1, 2],
            ONE,
        ),
        (
            "pyxq",
            None,
            f"2 levels {LISTED}: x, y (x in row 3)",
        ),
    ],
)
def test_levels_that_the_covariance_does_not_have_are_refused(levels, rows, told):
    with pytest.raises(DataError) as caught:
        made("a", pd.DataFrame({"a": list(levels)}), rows, known=K)
    assert str(caught.value) == f"known: `a` has {told}; add them, or leave their rows out."
