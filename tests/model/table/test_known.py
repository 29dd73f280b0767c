"""Known covariances as they are read: words, blocks of K, and each refusal as a whole sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lmmkit.errors import FormulaError, LmmkitError
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.table import known as module
from lmmkit.model.table.known import known_of, read_known, read_one

PEDIGREE = pd.DataFrame(
    {"animal": list("abcdef"), "sire": ["", "", "a", "a", "c", "c"], "dam": ["", "", "b", "", "d", "d"]}
)
# a and b unrelated founders; c = a x b, d = a x ?, e and f = c x d.
A = np.array(
    [
        [1, 0, 0.5, 0.5, 0.5, 0.5],
        [0, 1, 0.5, 0, 0.25, 0.25],
        [0.5, 0.5, 1, 0.25, 0.625, 0.625],
        [0.5, 0, 0.25, 1, 0.625, 0.625],
        [0.5, 0.25, 0.625, 0.625, 1.125, 0.625],
        [0.5, 0.25, 0.625, 0.625, 0.625, 1.125],
    ]
)


def square(values=None, labels="ab"):
    K = np.array([[1.0, 0.25], [0.25, 2.0]]) if values is None else np.array(values)
    return pd.DataFrame(K, list(labels), list(labels))


@pytest.mark.parametrize("given", [PEDIGREE, pd.DataFrame(A, list("abcdef"), list("abcdef"))])
def test_k_is_read_out_whole_in_blocks_and_in_pairs(given, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2)
    read = read_one(given, "animal")
    assert list(read.labels) == list("abcdef")
    np.testing.assert_allclose(read.dense(), A, atol=1e-15)
    some = np.array([4, 1, 3])
    np.testing.assert_allclose(read.dense(some), A[np.ix_(some, some)], atol=1e-15)
    first, second = np.array([0, 4, 4, 5, 2, 1]), np.array([5, 4, 0, 3, 3, 2])
    np.testing.assert_allclose(read.pairs(first, second), A[first, second], atol=1e-15)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (PEDIGREE, "a pedigree of 6 animals, 2 founders, 2 inbred"),
        (PEDIGREE[:4], "a pedigree of 4 animals, 2 founders"),
        (PEDIGREE[:4].assign(sire="", dam=["", "", "a", "b"]), "a pedigree of 4 animals, 2 founders"),
        (PEDIGREE[:4].assign(dam="", sire=["", "", "a", "b"]), "a pedigree of 4 animals, 2 founders"),
        (PEDIGREE[:1], "a pedigree of 1 animal, 1 founder"),
        (square(), "a known covariance matrix of 2 levels"),
        (square([[1.0]], "a"), "a known covariance matrix of 1 level"),
    ],
)
def test_a_known_covariance_says_what_it_is(given, words):
    read = read_one(given, "animal")
    assert read.words == words
    assert (read.pedigree is None) == words.startswith("a known covariance")


@pytest.mark.parametrize("given", [PEDIGREE, square()])
def test_its_table_is_read_back(given):
    read = read_one(given, "animal")
    again = read_one(read.frame(), "animal")
    np.testing.assert_array_equal(again.dense(), read.dense())
    assert list(again.labels) == list(read.labels)
    assert read_one(read, "animal") is read
    if read.pedigree:
        pd.testing.assert_frame_equal(read.frame(), PEDIGREE.astype(object), check_dtype=False)


@pytest.mark.parametrize(
    "unknown", ["", "0", "00", " ", "NA", "NaN", "nan", "None", "<NA>", ".", "*", "-", "?", " NA "]
)
def test_each_way_to_write_a_parent_that_is_not_known(unknown):
    frame = PEDIGREE.assign(dam=[unknown, unknown, "b", unknown, "d", "d"])
    np.testing.assert_array_equal(read_one(frame, "animal").dense(), A)


@pytest.mark.parametrize(
    ("sire", "dam", "animal"),
    [
        ("sire", "dam", "animal"),
        ("father", "mother", "id"),
        (" Sire", "DAM ", "Individual"),
        ("sire", "dam", "cow"),
        ("sire", "dam", "whatever"),
    ],
)
def test_the_columns_of_a_pedigree_have_several_names(sire, dam, animal):
    frame = PEDIGREE.set_axis([animal, sire, dam], axis=1)
    assert read_one(frame, "Cow").words == "a pedigree of 6 animals, 2 founders, 2 inbred"


def test_the_groups_own_column_goes_before_the_others():
    frame = PEDIGREE.assign(cow=[f"c{x}" for x in "abcdef"])
    assert list(read_one(frame, "animal").labels) == list("abcdef")
    both = PEDIGREE.rename(columns={"animal": "id"}).assign(animal="z", other=1)[
        ["animal", "sire", "dam", "other", "id"]
    ]
    assert list(read_one(both, "id").labels) == list("abcdef")


def test_a_matrix_whose_levels_are_named_sire_and_dam_is_a_matrix():
    names = ["animal", "sire", "dam"]
    assert read_one(pd.DataFrame(np.eye(3), names, names), "animal").pedigree is None


def test_a_matrix_is_read_in_the_order_of_its_columns_and_made_symmetric():
    turned = square()[::-1]
    np.testing.assert_array_equal(read_one(turned, "g").dense(), square())
    read = read_one(pl.DataFrame(square().to_dict("list")), "g")
    assert list(read.labels) == ["a", "b"]
    rounded = read_one(square([[1.0, 0.25], [0.25 + 4e-9, 2.0]]), "g").dense()
    assert rounded[0, 1] == rounded[1, 0] == pytest.approx(0.25 + 2e-9, abs=1e-15)


EXPECTED = (
    "a square DataFrame with the labels of the levels as index and columns, or a pedigree, a table with the "
    "columns animal, sire and dam"
)
OF, IN = "known: the matrix of `g`", "known: the pedigree of `g`"


def changed(column, row, value):
    return PEDIGREE.assign(**{column: [value if i == row else x for i, x in enumerate(PEDIGREE[column])]})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            np.eye(2),
            "known: `g` is given as ndarray, which says nothing about the levels that its rows stand for; "
            f"{EXPECTED} is expected: pd.DataFrame(K, index=labels, columns=labels).",
        ),
        (
            [[1.0]],
            "known: `g` is given as list, which says nothing about the levels that its rows stand for; "
            f"{EXPECTED} is expected: pd.DataFrame(K, index=labels, columns=labels).",
        ),
        (7, f"known: `g` is given as int; {EXPECTED} is expected."),
        (
            square()[:1],
            f"{OF} has 1 rows and 2 columns; a square one is expected, with the labels of the levels as "
            f"index "
            "and columns, or a pedigree: a table with the columns animal, sire and dam.",
        ),
        (pd.DataFrame(), f"{OF} is empty."),
        (square(labels="aa"), f"{OF} has the column labels a more than once; each level is expected once."),
        (
            square().set_axis(["a", "a"], axis=0),
            f"{OF} has the row labels a more than once; each level is expected once.",
        ),
        (
            square().set_axis(["a", "q"], axis=0),
            f"{OF}: its rows and columns are labelled differently: b among the columns alone, q among the "
            f"rows "
            "alone; the same labels are expected in both.",
        ),
        (
            square([[1.0, 0.25], [0.25, -2.0]]),
            f"{OF} has the negative variance -2 at b; none is negative.",
        ),
        (
            square([[1.0, 0.25], [0.25 + 6e-8, 2.0]]).round(9),
            f"{OF} is not symmetric: 0.25 at row a, column b, but 0.25 at row b, column a; a covariance "
            f"matrix is "
            "expected.",
        ),
        (
            square([[1.0, 0.75], [0.5, 2.0]]),
            f"{OF} is not symmetric: 0.75 at row a, column b, but 0.5 at row b, column a; a covariance "
            f"matrix is "
            "expected.",
        ),
        (
            square([[1.0, np.nan], [np.inf, 2.0]]),
            f"{OF} has no finite number at row a, column b (2 in all); every covariance is needed, 0 for "
            f"unrelated "
            "levels.",
        ),
        (
            square().assign(b=["x", "y"]),
            f"{OF} holds text in column b; numbers are expected.",
        ),
        (
            PEDIGREE.drop(columns="dam"),
            f"{IN} has the columns animal, sire; animal (or `g`), sire and dam are expected.",
        ),
        (
            PEDIGREE.rename(columns={"animal": "who"}).assign(more=1),
            f"{IN} has the columns who, sire, dam, more; animal (or `g`), sire and dam are expected.",
        ),
        (
            changed("dam", 4, "c"),
            f"{IN} gives e the same animal, c, as sire and dam (row 5; 1 such rows); two parents are "
            f"expected: "
            "leave the one that is not known empty.",
        ),
        (
            changed("animal", 4, "NA"),
            f"{IN} names no animal in 1 of its rows, first in row 5 (empty, NA and 0 mean unknown); a "
            f"label is "
            "expected in each row.",
        ),
        (
            changed("animal", 4, "d"),
            f"{IN} lists d more than once, in rows 4, 5; one row an animal is expected.",
        ),
        (
            PEDIGREE.assign(animal=list("aabbcc")),
            f"{IN} lists a more than once, in rows 1, 2 (and 2 more animals); one row an animal is expected.",
        ),
        (
            PEDIGREE.assign(animal="a"),
            f"{IN} lists a more than once, in rows 1, 2, 3, 4, 5; one row an animal is expected.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_a_whole_sentence(given, said):
    with pytest.raises(LmmkitError) as caught:
        read_one(given, "g")
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("given", "notices"),
    [
        (PEDIGREE, ()),
        (
            changed("sire", 3, "z"),
            (
                f"{IN}: z is a parent that it does not list: it is added as a founder, whose parents are "
                "unknown.",
            ),
        ),
        (
            PEDIGREE[2:],
            (
                f"{IN}: a, b are parents that it does not list: they are added as founders, whose parents "
                f"are "
                "unknown.",
            ),
        ),
        (
            changed("dam", 5, "a"),
            (f"{IN}: a is a sire here and a dam there; is a label used for two animals?",),
        ),
        (
            PEDIGREE.assign(sire=["", "", "a", "b", "c", "d"], dam=["", "", "b", "a", "d", "c"]),
            (f"{IN}: a, b, c, d are a sire here and a dam there; is a label used for two animals?",),
        ),
    ],
)  # fmt: skip
def test_what_is_odd_in_a_pedigree_is_noticed(given, notices):
    assert read_one(given, "g").notices == notices


def test_known_covariances_are_read_by_their_factors():
    assert read_known(None, ["g"]) == {}
    assert list(read_known({"h": square()}, ["g", "h"])) == ["h"]
    with pytest.raises(FormulaError) as caught:
        read_known([square()], ["g"])
    assert str(caught.value) == (
        "known: covariances by grouping factor are expected, such as known={'animal': K}, not list."
    )


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (
            ["animal", "litter"],
            "known: `anmal` is no grouping factor of the model; did you mean `animal`? It has `animal`, "
            "`litter`; "
            "write (1 | anmal) into the formula, or leave `anmal` out of known.",
        ),
        (
            [],
            "known: `anmal` is no grouping factor of the model. It has none; write (1 | anmal) into the "
            "formula, "
            "or leave `anmal` out of known.",
        ),
    ],
)
def test_a_factor_that_the_model_does_not_have_is_named(groups, said):
    with pytest.raises(FormulaError) as caught:
        read_known({"anmal": square()}, groups)
    assert str(caught.value) == said


def test_a_smaller_model_keeps_the_covariances_of_its_own_factors():
    formula = parse_formula("y ~ 1 + (1 | g)")
    assert known_of({"g": 1, "h": 2}, formula) == {"g": 1}
    assert known_of({"h": 2}, formula) is None
    assert known_of(None, formula) is None
