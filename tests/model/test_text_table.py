"""Titled tables of text and paragraphs beside them, in a terminal and in a notebook."""

from __future__ import annotations

import pytest

from lmmkit.model.text_table import TablesAndParagraphs, TextTable

CELLS = [("", "sd", "note"), ("Subject", "24.740", "a"), ("<b>", "-5.9", "bb"), ("z", "", "1st")]


def test_columns_are_aligned_below_the_title():
    assert TextTable("Parts", CELLS).text().splitlines() == [
        "Parts",
        "           sd      note",
        "  Subject  24.740  a",
        "  <b>      -5.9    bb",
        "  z                1st",
    ]


def test_columns_that_have_a_number_stand_to_the_right_where_it_is_asked_for():
    assert TextTable("Parts", CELLS, numbers_right=True).text().splitlines() == [
        "Parts",
        "               sd  note",
        "  Subject  24.740     a",
        "  <b>        -5.9    bb",
        "  z                 1st",
    ]


@pytest.mark.parametrize(
    ("cell", "right"), [("-1", True), ("1", True), ("--1", False), ("-", False), ("a1", False)]
)
def test_what_begins_with_a_digit_is_a_number(cell, right):
    last = TextTable("", [("name",), (cell,)], numbers_right=True).text().splitlines()[-1]
    assert last == ("  " + cell.rjust(4) if right else f"  {cell}")


def test_a_page_has_the_same_cells_escaped():
    assert TextTable("A & B", CELLS[:1] + CELLS[2:3]).html() == (
        "<table><caption>A &amp; B</caption><thead><tr><th></th><th>sd</th><th>note</th></tr></thead>"
        "<tbody><tr><td>&lt;b&gt;</td><td>-5.9</td><td>bb</td></tr></tbody></table>"
    )


class Told(TablesAndParagraphs):
    def _blocks(self):
        return [["one <", "", "two"], TextTable("T", [("a",), ("b",)]), [], [""], ["three"]]


def test_blocks_stand_apart_and_empty_ones_are_left_out():
    assert str(Told()) == repr(Told()) == "one <\ntwo\n\nT\n  a\n  b\n\nthree"
    table = TextTable("T", [("a",), ("b",)]).html()
    assert Told()._repr_html_() == f"<p>one &lt;<br>two</p>{table}<p>three</p>"
