"""Which columns of a wide file are one measurement, and the `reshape` that a formula then asks for."""

import pytest

from lmmkit.study.intake.wide import families, proposed_reshape


@pytest.mark.parametrize(
    ("columns", "wanted", "keys"),
    [
        ("id y_t1 y_t2", "y time id", {"measured": {"y": "y_t*"}, "index": "time"}),
        ("id y_t1 y_t2", "y week id", {"measured": {"y": "y_t*"}, "index": "week"}),
        ("id y_t1 y_t2", "y id", {"measured": {"y": "y_t*"}, "index": "time"}),
        ("time y_t1 y_t2", "y", {"measured": {"y": "y_t*"}, "index": "occasion"}),
        ("time occasion y_t1 y_t2", "y", {"measured": {"y": "y_t*"}, "index": "measurement"}),
        ("id Y_t1 Y_t2", "y id", {"measured": {"y": "Y_t*"}, "index": "time"}),
        # One family alone is the response's, whatever it is called.
        ("id w1 w2", "y id", {"measured": {"y": "w*"}, "index": "time"}),
        ("id w1 w2 v1 v2", "y id", None),
        ("id y w1 w2", "y id z", None),
        # Told apart by words behind any mark.
        ("id score_pre score_post", "score id", {"measured": {"score": "score_*"}, "index": "time"}),
        ("id score.pre score.post", "score id", {"measured": {"score": "score.*"}, "index": "time"}),
        ("id score-pre score-post", "score id", {"measured": {"score": "score-*"}, "index": "time"}),
        ("id score_pre", "score id", None),
        # A column that is absent and sounds like rows numbers them, the first one; another tells times.
        (
            "y_t1 y_t2",
            "y subject pupil",
            {"measured": {"y": "y_t*"}, "index": "time", "row": "subject"},
        ),
        ("y_t1 y_t2", "y day subject", {"measured": {"y": "y_t*"}, "index": "day", "row": "subject"}),
        # Another family is not repeated on every row.
        (
            "id y_1 y_2 z_1 z_2 age",
            "y id",
            {"measured": {"y": "y_*"}, "index": "time", "id": ["id", "age"]},
        ),
        (
            "id y_1 y_2 z_1 z_2",
            "y z id",
            {"measured": {"y": "y_*", "z": "z_*"}, "index": "time"},
        ),
        # Where a pattern matches others too, the list with what tells its columns apart.
        (
            "id y1 y2 year",
            "y id",
            {"measured": {"y": ["y1", "y2"]}, "index": "time", "at": ["1", "2"]},
        ),
        ("id y", "y id", None),
    ],
)
def test_the_reshape_of_a_formula(columns, wanted, keys):
    found, _ = proposed_reshape(columns.split(), wanted.split(), wanted.split()[0])
    assert found == keys


def test_measurements_told_apart_behind_blanks():
    columns = ["id", "score pre", "score post"]
    found, said = proposed_reshape(columns, ["score", "id"], "score")
    assert found == {"measured": {"score": "score *"}, "index": "time"}
    assert said == ["score pre, score post hold score in wide form: each becomes a row of its own"]


def test_columns_named_like_measured_ones_are_told():
    columns = ["id", "y_1", "y_2", "y_total", "yes"]
    _, said = proposed_reshape(columns, ["y", "id"], "y")
    assert said == [
        "y_1, y_2 hold y in wide form: each becomes a row of its own",
        "not measured, though named like y: y_total; if they are meant too, name all under reshape.measured",
    ]


@pytest.mark.parametrize(
    ("columns", "noticed"),
    [
        (
            "id y_1 y_2 y_3",
            [
                "y_1, y_2, y_3 look like one measurement in wide form; if the model is about all of them, "
                "give the formula with y and time in place of y_1"
            ],
        ),
        (
            "id 2019 2020 2021",
            [
                "2019, 2020, 2021 look like one measurement in wide form; if the model is about all of them, "
                "give the formula with value and time in place of 2019"
            ],
        ),
        ("id y_1 y_2", []),
        ("y x_1 x_2 x_3", []),
    ],
)
def test_a_response_of_three_or_more_alike_is_questioned(columns, noticed):
    names = columns.split()
    response = "y" if "y" in names else names[1]
    assert proposed_reshape(names, [response], response) == (None, noticed)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ("a1 a2", [("a", "a*", ("1", "2"))]),
        ("T1_m T2_m", [("m", "T*_m", ("1", "2"))]),
        ("y_w0 y_w12", [("y", "y_w*", ("0", "12"))]),
        ("y_0.5 y_1 y_1.5", [("y", "y_*", ("0.5", "1", "1.5"))]),
        ("v1.5 x", []),
        ("y12345 y12346", [("y1", "y1*", ("2345", "2346"))]),
        ("zeit_1 zeit_2", [("zeit", "zeit_*", ("1", "2"))]),
    ],
)
def test_families_their_stems_and_places(columns, found):
    assert [(each.stem, each.given, each.at) for each in families(columns.split())] == found


def test_words_for_times_are_no_part_of_a_stem():
    words = [
        *(
            "t",
            "tp",
            "time",
            "wave",
            "w",
            "v",
            "visit",
            "d",
            "day",
            "m",
            "mo",
            "month",
            "wk",
            "week",
            "y",
            "yr",
        ),
        *("year", "s", "session", "trial", "occasion", "h", "hour", "min", "zeit", "welle", "tag", "woche"),
        *("monat", "jahr", "messung"),
    ]
    for word in words:
        for mark in "_. -":
            (found,) = families([f"score{mark}{word}{mark}{number}" for number in (1, 2)])
            assert (found.stem, found.at) == ("score", ("1", "2"))
    assert [family.stem for family in families(["score_TIME1", "score_TIME2"])] == ["score"]
    assert [family.stem for family in families(["score_arm1", "score_arm2"])] == ["score_arm"]


def test_words_for_rows_number_them():
    for word in (
        "id",
        "Person",
        "subject",
        "subj",
        "row",
        "unit",
        "case",
        "patient",
        "pupil",
        "animal",
        "plot",
    ):
        for name in (word, f"my_{word}"):
            keys, _ = proposed_reshape(["y_1", "y_2"], ["y", name], "y")
            assert keys == {"measured": {"y": "y_*"}, "index": "time", "row": name}
    keys, _ = proposed_reshape(["y_1", "y_2"], ["y", "idea"], "y")
    assert keys == {"measured": {"y": "y_*"}, "index": "idea"}
