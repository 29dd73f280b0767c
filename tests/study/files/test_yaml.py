"""Study files are read as YAML 1.2, strictly."""

import pytest

from lmmkit.errors import StudyError
from lmmkit.study.files.yaml12 import parse_yaml, read_yaml


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
        ("? [a, b]\n: 1", (1, 3), "no text"),
        ("a: 1\n---\nb: 1", (2, 1), "second document"),
    ],
)
def test_powers_of_yaml_are_faults_with_their_place(text, place, message):
    fault = parse_yaml(text).faults[0]
    assert fault.place == place
    assert message in fault.message


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "s.yaml:1:1: not text in UTF-8"),
        (b"a: 1\n\nb: \xff", "s.yaml:3:1: not text in UTF-8"),
        (b"#" * 1_000_001, "at most 1,000,000"),
        (None, "is a folder"),
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
