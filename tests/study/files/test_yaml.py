"""Study files are read as YAML 1.2, strictly."""

import os

import pytest

from lmmkit.errors import StudyError
from lmmkit.study.files.yaml12 import parse_yaml, read_settings, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("1e-6", 1e-6),
        ("1e5", 1e5),
        ("-3", -3),
        ("007", "007"),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("'1'", "1"),
        (".5", 0.5),
        ("<<", "<<"),
        ('"1"', "1"),
        ("|-\n  12", "12"),
        (">-\n  12", "12"),
        ("9" * 100, 10**100 - 1),
        ("9" * 101, "9" * 101),
        ("", None),
        ("Null", None),
        ("NULL", None),
        ("nULL", "nULL"),
        ("True", True),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("false", False),
        ("False", False),
        ("FALSE", False),
        ("+3", 3),
        ("0", 0),
        ("0o17", 15),
        ("0o8", "0o8"),
        ("+0x1F", "+0x1F"),
        ("1.", 1.0),
        ("-0.25", -0.25),
        ("+.5e+3", 500.0),
        ("00.5", "00.5"),
        (".inf", float("inf")),
        ("-.Inf", float("-inf")),
        ("+.INF", float("inf")),
        ("inf", "inf"),
    ],
)
def test_plain_scalars_are_read_as_yaml_1_2(text, value):
    read = parse_yaml(f"a: {text}").data
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: 1\nb: 2\na: 3", (3, 1), "duplicate key"),
        ("a: {b: 1,\n  b: 2}", (2, 3), "duplicate key"),
        ("a: !!python/object/apply:os.system [ls]", (1, 4), "a tag"),
        ("a: !!str 1", (1, 4), "a tag"),
        ("a: !x 1", (1, 4), "a tag"),
        ("a: &x 1\nb: *x", (1, 4), "an anchor (&x)"),
        ("a: 1\nb: *x", (2, 4), "an alias (*x)"),
        ("? [a, b]\n: 1", (1, 3), "a key that is no text"),
        ("a: 1\n---\nb: 1", (2, 1), "a second document: a study file holds one"),
        ("x: 0\na: 1\na: 3", (3, 1), "a duplicate key: it stands already in line 2"),
        ("&x a: 1", (1, 1), "an anchor (&x)"),
        ("!x a: 1", (1, 1), "a tag (!x)"),
    ],
)
def test_powers_of_yaml_are_faults_with_their_place(text, place, message):
    fault = parse_yaml(text).faults[0]
    assert fault.place == place
    assert message in fault.message


def test_no_number_is_a_number_of_yaml():
    assert [str(parse_yaml(f"a: {text}").data["a"]) for text in (".nan", ".NaN", ".NAN")] == ["nan"] * 3
    assert [parse_yaml(f"a: {text}").data["a"] for text in ("nan", "-.nan")] == ["nan", "-.nan"]


def test_a_document_has_the_places_of_its_keys_and_of_its_values():
    found = parse_yaml("a:\n  - {b: 1}\n  - 2\n")
    assert found.data == {"a": [{"b": 1}, 2]}
    assert found.keys == {("a",): (1, 1), ("a", 0, "b"): (2, 6)}
    assert found.values == {
        (): (1, 1), ("a",): (2, 3), ("a", 0): (2, 5), ("a", 0, "b"): (2, 9), ("a", 1): (3, 5),
    }  # fmt: skip


def test_the_first_of_two_keys_holds_and_what_is_in_the_second_is_checked_too():
    found = parse_yaml("a: 1\na: {b: !x 1}\nc: 2")
    assert (found.data, [fault.place for fault in found.faults]) == ({"a": 1, "c": 2}, [(2, 1), (2, 8)])
    assert parse_yaml("? [1, !x 2]\n: 3\nd: 4").data == {"?": 3, "d": 4}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["seed"], ["--set seed: expected a key and a value, such as model.method=ML"]),
        (["seed=1", "=3"], ["--set : expected a key and a value, such as model.method=ML"]),
        (["a=[1"], ["--set a:1:3: not YAML: expected ',' or ']', but got '<stream end>'"]),
        (
            ["a=&x 1", "c=3", "b=!y 2"],
            [
                "--set a: an anchor (&x): write the value out where it is used",
                "--set b: a tag (!y): a study file holds plain text, numbers, lists and mappings",
            ],
        ),
    ],
)
def test_a_setting_that_is_none_is_told_by_its_key(texts, said):
    with pytest.raises(StudyError) as caught:
        read_settings(texts)
    assert str(caught.value).split("\n") == said


def test_settings_are_read_as_in_a_file():
    assert read_settings(["a.b=x=1", "c=", "d={e: no}"]) == {"a.b": "x=1", "c": None, "d": {"e": "no"}}


def test_an_alias_is_a_fault_of_its_own():
    faults = parse_yaml("a: &x 1\nb: *x").faults
    assert [(tuple(fault.place), fault.key) for fault in faults] == [((1, 4), ("a",)), ((2, 4), ("b",))]


def test_billions_of_laughs_are_not_expanded():
    bomb = "a: &a [x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert len(parse_yaml(bomb).faults) == 9 + 3 * 8


def test_deep_nesting_is_refused():
    with pytest.raises(StudyError, match="nested more than 20 deep"):
        parse_yaml("[" * 5000 + "]" * 5000)
    assert parse_yaml("[" * 21 + "]" * 21).faults == []
    with pytest.raises(StudyError, match="text:1:22: nested more than 20 deep"):
        parse_yaml("[" * 22 + "]" * 22)


def test_broken_syntax_names_line_and_column():
    with pytest.raises(StudyError, match=r"^s\.yaml:3:2: not YAML: "):
        parse_yaml("a: 1\nb: [1, 2\nc: 3", "s.yaml")
    with pytest.raises(StudyError, match=r"^s\.yaml:1:1: not YAML: unacceptable character #x0007: special"):
        parse_yaml("a: \x07", "s.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "s.yaml:1:1: not text in UTF-8; save the file as UTF-8$"),
        (b"a: 1\n\nb: \xff", "s.yaml:3:1: not text in UTF-8"),
        (b"#" * 1_000_001, "has 1,000,001 bytes; a study file has at most 1,000,000$"),
        (None, "is a folder; expected a study file, such as .*/s.yaml/study.yaml$"),
    ],
)
def test_files_that_are_no_study_are_refused(tmp_path, content, message):
    path = tmp_path / "s.yaml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(StudyError, match=message):
        read_yaml(path)


def test_a_file_that_cannot_be_opened_is_told(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe.yaml")
    for path, message in (
        (pipe, f"{pipe} is a device or a pipe; expected a study file"),
        (tmp_path / "none.yaml", f"no study file at {tmp_path / 'none.yaml'}; `lmmkit new DATA --formula"),
        (tmp_path / ("x" * 300), f"{tmp_path / ('x' * 300)} cannot be read: File name too long"),
    ):
        with pytest.raises(StudyError) as caught:
            read_yaml(path)
        assert str(caught.value).startswith(message)


def test_a_file_may_begin_with_a_mark_of_its_coding_and_have_a_million_bytes(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n#" + b"x" * (1_000_000 - 9))
    assert read_yaml(path).data == {"a": 1}
