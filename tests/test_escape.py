"""One escape per target: letter by letter what is spelled out, guarded or left, and the way back."""

import pytest

from lmmkit.escape import (
    csv_cell,
    csv_text,
    html,
    html_figure,
    image_address,
    latex,
    markdown,
    mathtext,
    page,
    picture_at,
    terminal,
)

#: Letters without ink that `str.isprintable` takes for letters.
UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180f\u3164\ufe00\ufe0f\uffa0\U000e0100\U000e01ef"


def spelled(letter):
    return letter.encode("unicode_escape").decode()


@pytest.mark.parametrize("letter", [*UNSEEN, *"\n\t\x00\x1b\x7f\x9b\u200b\u202e\u2028\ufeff\ud800\ue000"])
def test_letters_without_ink_are_spelled_out_on_a_terminal(letter):
    assert terminal(f"a{letter}\u00e9") == f"a{spelled(letter)}\u00e9"


def test_what_is_printable_stays_on_a_terminal():
    text = "plain \u00e9 \u4e2d \U0001f600 $%&"
    assert (terminal(text), terminal(5), terminal("")) == (text, "5", "")


TURNS = [
    *"\x00\x08\x0b\x0e\x1f\x7f\x9f\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ud800\udfff",
]


def test_letters_that_turn_the_reading_are_spelled_out_on_a_page_and_joiners_stay():
    for letter in TURNS:
        assert page(f"a{letter}b") == f"a{spelled(letter)}b"
    for letter in "\t\n\x0c\r \u200d\u200c\u00e9\u2065\u206a\u2027\u202f":
        assert page(f"a{letter}b") == f"a{letter}b"


def test_a_picture_with_its_caption_and_its_address():
    assert html('<a href="x">\'&') == "&lt;a href=&quot;x&quot;&gt;&#x27;&amp;"
    assert html_figure("data:,", "a > b", "A & B") == (
        '<figure><img style="background: #fff" alt="a &gt; b" src="data:,"><figcaption>A &amp; B</figcaption>'
        "</figure>"
    )
    assert image_address(b"<svg/>") == "data:image/svg+xml;base64,PHN2Zy8+"
    assert image_address(b"\x00\xff", "png") == "data:image/png;base64,AP8="
    for kind in ("svg+xml", "png"):
        assert picture_at(image_address(b"\x00\xff", kind)) == b"\x00\xff"
    strange = (
        "x.png",
        "",
        "data:text/html;base64,AP8=",
        "data:image/png;base64,A!P8=",
        "data:image/png;base64,A",
    )
    assert [picture_at(address) for address in strange] == [None] * len(strange)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        *((f"{sign}1", f"'{sign}1") for sign in "=+@-\uff1d\uff0b\uff0d\uff20"),
        *((f"x{mark}=1", f"x{mark}'=1") for mark in ",;|\t\r\n"),
        (' "=1', " \"'=1"),
        ("\u200b\u00ad=1", "\u200b\u00ad'=1"),
        ("'=1", "''=1"),
        ("a;-1|+2", "a;'-1|'+2"),
        ("plain - text", "plain - text"),
        ("a=b", "a=b"),
        ("'quoted'", "'quoted'"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_cell_is_guarded_where_a_spreadsheet_finds_a_formula(text, cell):
    assert (csv_cell(text), csv_text(cell)) == (cell, text)


def test_text_of_latex_markdown_and_pictures():
    orders = {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': "''",
        "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "--": "-{}-",
        "---": "-{}--", "]": "]", "-": "-", "\n": r"\textbackslash{}n",
    }  # fmt: skip
    assert {text: latex(f"a{text}b")[1:-1] for text in orders} == orders
    marks = {
        **{letter: f"\\{letter}" for letter in "\\`*_{}[]|~$^:@"},
        "&": "&amp;", "<": "&lt;", ">": "&gt;", "#": "#", ".": ".", "\n": r"\\n",
    }  # fmt: skip
    assert {text: markdown(f"a{text}b")[1:-1] for text in marks} == marks
    assert markdown("www.x.de") == r"www\.x.de"
    assert mathtext("$1\n$") == r"\$1\n\$"
