"""Numbers with their places, names and text: on a page, as plain words, as JSON and back."""

import json

import pytest
from markupsafe import Markup

from lmmkit.study.pages.marks import Mark, MarkedText, Name, capital, fill, join, listed, marked_text

THREE = Mark(3.25, "tables/fit.csv", "x.se", "3.2")


def test_a_mark_carries_its_full_value_and_its_place():
    assert str(THREE) == "3.2"
    assert THREE.__html__() == '<data value="3.25" data-source="tables/fit.csv" data-field="x.se">3.2</data>'
    quoted = Mark('a"b', "f.csv", "<g>", "a<b")
    assert quoted.__html__() == (
        '<data value="&#39;a&#34;b&#39;" data-source="f.csv" data-field="&lt;g&gt;">a&lt;b</data>'
    )


@pytest.mark.parametrize(("value", "is_text"), [(3.25, False), (3, False), (None, False), ("May 3", True)])
def test_a_mark_may_hold_text(value, is_text):
    assert Mark(value, "f.csv", "x", "3").is_text is is_text


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("x", "x"),
        ("a<b", "a&lt;b"),
        ("x2", '<span class="name">x2</span>'),
        ("2<", '<span class="name">2&lt;</span>'),
        ("308", '<span class="name">308</span>'),
    ],
)
def test_a_name_with_a_digit_is_marked_as_one(text, html):
    assert Name(text).__html__() == html
    assert str(Name(text)) == text


def test_a_text_and_its_parts_come_back_from_json():
    text = fill("{} of {} & {}", THREE, Name("g1"), fill("{}!", Name("h")))
    assert str(text) == "3.2 of g1 & h!"
    assert text.__html__() == f'{THREE.__html__()} of <span class="name">g1</span> &amp; h!'
    place = {"value": 3.25, "file": "tables/fit.csv", "place": "x.se", "text": "3.2"}
    assert text.to_list() == [place, " of ", {"text": "g1"}, " & ", {"text": "h"}, "!"]
    assert marked_text(text.to_list()) == marked_text(json.loads(text.to_json())) == text


def test_templates_leave_no_empty_parts():
    assert fill("{}{}", "", THREE).parts == (THREE,)
    assert fill("a").parts == ("a",)
    assert fill("{}", MarkedText()).parts == ()
    assert fill("", "b").parts == ("b",)


@pytest.mark.parametrize(
    ("items", "said", "joined"),
    [
        ([], "nothing", ""),
        (["a"], "a", "a"),
        (["a", "b"], "a and b", "a; b"),
        (["a", "b", "c"], "a, b and c", "a; b; c"),
    ],
)
def test_lists_in_a_sentence(items, said, joined):
    assert str(listed(items)) == str(listed(map(Name, items))) == said
    assert str(join("; ", items)) == joined


@pytest.mark.parametrize(
    ("first", "seen"),
    [
        ("it rises", "It rises"),
        (Name("depth of snow"), "Depth of snow"),
        (Name("mother's age"), "Mother's age"),
        (Name("depth"), "depth"),  # one word may be a column
        (Name("depth 2"), "depth 2"),
        (Name("well-being"), "well-being"),
        (Name("mother's"), "mother's"),
        (Name("un(x | g)"), "un(x | g)"),
        (Markup("<b>it</b>"), "<b>it</b>"),
        (THREE, "3.2"),
    ],
)
def test_a_sentence_begins_with_a_capital_where_its_first_word_is_its_own(first, seen):
    text = capital(MarkedText((first, " and so")))
    assert str(text) == f"{seen} and so"
    assert type(text.parts[0]) is type(first)
    assert text.parts[1:] == (" and so",)
    assert str(capital(MarkedText())) == ""


def test_text_with_marks_is_plain_marked_and_kept():
    text = fill("{} of {}: {}", Mark(2, "a.json", "n", "2"), Name("x1 <g>"), join(", ", ["u", Name("v")]))
    assert str(text) == "2 of x1 <g>: u, v"
    assert str(text.__html__()) == (
        '<data value="2" data-source="a.json" data-field="n">2</data> of '
        '<span class="name">x1 &lt;g&gt;</span>: u, v'
    )
    assert marked_text(json.loads(text.to_json())) == text
    assert str(MarkedText().__html__()) == str(join(", ", [])) == ""
