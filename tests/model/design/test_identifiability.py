"""What data cannot tell apart, in whole sentences: refusals of a design, and what is noticed about one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import LmmkitError
from lmmkit.model.design import identifiability
from lmmkit.model.design.design import build_design
from lmmkit.model.design.identifiability import check_response, check_weights

N = 24
FRAME = pd.DataFrame(
    {
        "y": np.sin(np.arange(N)),
        "x": np.arange(N) % 5 - 1.0,
        "zero": 0.0,
        "g": np.repeat(list("klmnop"), 4),
        "pair": np.repeat([f"p{i}" for i in range(12)], 2),
        "side": ["left", "right"] * 12,
        "h": list("uvw") * 8,
        "own": [f"o{i:02}" for i in range(N)],
        "one": "same",
        "m1": [None, "k", *["l", "m"] * 11],
        "m2": [None, None, *["n", "k"] * 11],
        "few": np.repeat([0.0, 1, 0, 1, 0, 1], 4),
        "many": np.repeat([0.0, 1, 3, 2, 7, 5], 4),
    }
)
FRAME["double"], FRAME["again"] = 2 * FRAME["x"], "a" + FRAME["g"]
NEEDS = "a factor with repeated rows is expected."


def design(random, **more):
    return build_design(f"y ~ 1 + {random}", FRAME, **more)


@pytest.mark.parametrize(
    ("random", "said"),
    [
        (
            "(1 | one)",
            "The grouping factor `one` has one level only in the 24 rows used; a variance between levels "
            "needs at "
            "least two.",
        ),
        (
            "(1 | own)",
            "The grouping factor `own` has 24 levels in 24 rows, one row each: its variance cannot be told "
            "from the "
            f"residual's; {NEEDS}",
        ),
        (
            "(1 | g) + (1 | again)",
            "The grouping factors `g` and `again` divide the rows alike, so their variances cannot be told "
            "apart; "
            "keep one of them.",
        ),
        (
            "(0 + zero | g)",
            "`(0 + zero | g)`: the column `zero` is zero in every row used; leave it out of the term.",
        ),
        (
            "(x + double | g)",
            "`(x + double | g)`: the column `double` follows from `Intercept`, `x`, so their variances "
            "cannot "
            "be told apart; leave one of them out of the term.",
        ),
        (
            "(x + double || g)",
            "`(x + double || g)`: `x` and `double` are the same up to scale; leave one out.",
        ),
        (
            "(1 | g) + (x | g)",
            "`(1 | g)` and `(x | g)`: both let `Intercept` vary over `g`, so the split of its variance "
            "cannot "
            "be estimated; keep it in one of them. Write (x | g) alone, or (1 | g) + (0 + x | g) for no "
            "covariance "
            "between them.",
        ),
        (
            "(x | g) + (0 + double | g)",
            "`(x | g)` and `(0 + double | g)`: both let `double` vary over `g`, so the split of its "
            "variance "
            "cannot be estimated; keep it in one of them.",
        ),
        (
            "(0 + side | pair)",
            "`(0 + side | pair)` has 2 effects for each of 12 levels, and no level has more rows than that "
            "(24 "
            "rows): its variances cannot be told from the residual's; leave effects out, or use a grouping "
            "factor "
            "with more rows for each level.",
        ),
        (
            "(h * side * x | g)",
            "`(h * side * x | g)` has 12 columns and so 78 "
            "variances and "
            "covariances, which 24 rows cannot tell apart; leave columns out, or write `||` for variances "
            "alone.",
        ),
    ],
)
def test_variances_that_the_rows_cannot_tell_apart_are_refused(random, said):
    with pytest.raises(LmmkitError) as caught:
        design(random)
    assert str(caught.value) == said


@pytest.mark.parametrize("known", [True, False])
def test_an_effect_of_each_row_is_told_apart_by_relatives_alone(known):
    names = FRAME["own"].tolist()
    K = np.eye(N) * 2.0
    if known:
        K[0, 1] = K[1, 0] = 0.5
    given = {"own": pd.DataFrame(K, names, names)}
    if known:
        assert design("(1 | own)", known=given).has_relatives
        return
    with pytest.raises(LmmkitError) as caught:
        design("(1 | own)", known=given)
    assert str(caught.value) == (
        "`(1 | own)`: each of the 24 rows has an effect of its own, and a known covariance matrix of 24 "
        "levels "
        "relates none of them: the variance cannot be told from the residual's; give relatives, or more "
        "rows for "
        "each level, or leave the term out."
    )


@pytest.mark.parametrize(
    ("sire", "dam", "related"),
    [
        ([""] * 4, [""] * 4, False),
        (["s", "s", "", ""], ["", "", "", ""], True),
        (["", "", "", ""], ["d", "", "", "d"], True),
        (["", "a", "", ""], ["", "", "", ""], True),
        (["s", "t", "", ""], ["", "", "", ""], False),
    ],
)
def test_animals_with_an_ancestor_in_common_are_related(sire, dam, related):
    data = pd.DataFrame({"y": [1.0, 3, 2, 5], "animal": list("abcd")})
    known = {"animal": pd.DataFrame({"animal": list("abcd"), "sire": sire, "dam": dam})}
    try:
        build_design("y ~ 1 + (1 | animal)", data, known=known)
        found = ""
    except LmmkitError as error:
        found = str(error)
    assert ("relates none of them" in found) != related


def test_members_of_one_row_each_without_others_are_refused():
    with pytest.raises(LmmkitError) as caught:
        design("(1 | mm(own))")
    assert str(caught.value) == (
        "`(1 | mm(own))`: each of the 24 rows has an effect of its own: the variance cannot be told from the "
        "residual's; give relatives, or more rows for each level, or leave the term out."
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([2.5] * 4, "The response `y` is 2.5 in all 4 rows used; values that vary are expected."),
        ([2.5, 1, 1, 2.5], None),
        ([2.5, 2.5, 2.5, 1], None),
    ],
)
def test_a_response_varies(values, said):
    if said is None:
        check_response(np.array(values), "y")
        return
    with pytest.raises(LmmkitError) as caught:
        check_response(np.array(values), "y")
    assert str(caught.value) == said


def test_weights_are_positive():
    check_weights(None)
    check_weights(np.array([1e-9, 2.0]))
    with pytest.raises(LmmkitError) as caught:
        check_weights(np.array([1.0, -2.0, 0.0]))
    assert str(caught.value) == (
        "weights: 2 of the rows used have a weight that is not positive, first -2; prior weights are "
        "positive: "
        "leave such rows out instead."
    )


@pytest.mark.parametrize(
    ("random", "notices"),
    [
        (
            "(many | g)",
            [
                "`(many | g)`: `many` has one value in each level of `g`, so no level shows a slope of "
                "its own; "
                "the variance of the slopes rests on how the levels spread. (1 | g) is mostly meant."
            ],
        ),
        (
            "(few | g)",
            [
                "`(few | g)`: `few` has one value in each level of `g`, and too few values for the variances "
                "and covariances of the term to be told apart; write (1 | g)."
            ],
        ),
        ("(x | g)", []),
        ("(1 | g)", []),
        (
            "(1 | mm(m1, m2)) + (1 | h)",
            [
                "`mm(m1, m2)`: 1 row has fewer than 2 members with a weight; what is missing is left out.",
                "`mm(m1, m2)`: 1 row has no member, and keeps the fixed part without an effect of `mm(m1, "
                "m2)`.",
            ],
        ),
        (
            "(1 | mm(h, g)) + (1 | h)",
            [
                "`(... | h)` beside `mm(h, g)`: a level of `h` has an effect of its own there, beside its "
                "share as a "
                "member; leave (... | h) out unless that is meant."
            ],
        ),
    ],
)
def test_what_is_seldom_meant_is_noticed(random, notices):
    assert list(design(random).warnings) == notices


def test_many_rows_without_members_are_counted():
    frame = FRAME.assign(m1=[None, None, "k", "l"] * 6, m2=[None, None, None, "k"] * 6)
    made = build_design("y ~ 1 + (1 | mm(m1, m2))", frame)
    assert list(made.warnings) == [
        "`mm(m1, m2)`: 6 rows have fewer than 2 members with a weight; what is missing is left out.",
        "`mm(m1, m2)`: 12 rows have no member, and keep the fixed part without an effect of `mm(m1, m2)`.",
    ]


def test_wide_terms_of_a_row_for_each_effect_are_refused_without_algebra(monkeypatch):
    monkeypatch.setattr(identifiability, "WIDEST", 1)
    with pytest.raises(LmmkitError, match="has 2 effects for each of 12 levels"):
        design("(0 + side | pair)")
    design("(0 + side | g)")
