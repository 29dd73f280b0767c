"""Reading a page: its marks, its words, its record."""

from __future__ import annotations

import json

import pytest

from lmmkit.errors import RunError
from lmmkit.escape import image_address
from lmmkit.study.pages.marks import Mark, MarkedText, Name
from lmmkit.study.pages.read_page import extract, marks, printed_text, shown_pictures, skeleton, texts


def test_marks_are_read_with_their_places():
    html = Mark(0.5, "a.csv", "x.<y>", "0.50").__html__()
    assert marks(f"<p>{html}</p><data>1</data>") == [
        Mark("0.5", "a.csv", "x.<y>", "0.50"),
        Mark("", "", "", "1"),
    ]


BLOCK = '<script type="application/json" id="lmmkit-run">{}</script>'


@pytest.mark.parametrize(
    "page",
    [
        "<html></html>",
        BLOCK.format("not json"),
        BLOCK.format('{"settings": {}, "provenance": {}}'),
        BLOCK.format('{"settings": {}, "provenance": {}, "files": []}'),
        BLOCK.format("[]"),
        '<script type="application/json" id="other">{"settings": {}, "provenance": {}, "files": {}}</script>',
    ],
)
def test_a_report_without_its_record_is_refused(page):
    with pytest.raises(RunError, match="record"):
        extract(page)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, False),
        ({"lock": None}, False),
        ({"lock": "pandas==2"}, False),
        ({"files": {"a.csv": "x,y"}}, False),
        ({"lock": 1}, True),
        ({"files": {"a.csv": "x,y", "b.csv": None}}, True),
        ({"files": "x"}, True),
        ({"settings": []}, True),
        ({"provenance": None}, True),
    ],
)
def test_a_record_of_other_things_is_damaged(change, refused):
    record = {"settings": {}, "provenance": {}, "files": {}, **change}
    if not refused:
        assert extract(BLOCK.format(json.dumps(record))) == record
        return
    with pytest.raises(RunError) as raised:
        extract(BLOCK.format(json.dumps(record)))
    assert str(raised.value) == (
        "the record in the report is damaged; use the report as `lmmkit run` left it"
    )


def test_a_page_without_a_record_is_told_what_is_expected():
    with pytest.raises(RunError) as raised:
        extract("<p>1</p>")
    assert str(raised.value) == (
        "the file carries no record of a study; expected a report.html as `lmmkit run` leaves it"
    )


def test_the_record_of_a_report():
    record = {"settings": {"a": "\u003c"}, "provenance": {}, "files": {}}
    assert extract(f"<p>1</p>{BLOCK.format(json.dumps(record))}<p>2</p>") == record


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a<em>b</em>\n c</p>", "a b c"),
        ("<style>x</style><p>1</p><svg><text>2</text></svg><template>3</template>", "1"),
        ("<head><title>t</title></head><body>b<script>s</script></body>", "b"),
        ("<section id='provenance'>1</section><section id='code'>2</section>", "2"),
    ],
)
def test_printed_text(page, text):
    assert printed_text(page) == text


SAID = MarkedText(("the mean is ", Mark(2.5, "a.csv", "x.mean", "2.5"), " of ", Name("g1")))


def picture(src="data:image/png;base64,AP8=", alt="the mean is 2.5 of g1", parts=SAID):
    said = "" if parts is None else f" data-parts='{parts.to_json()}'"
    return f'<img class="f" src="{src}" alt="{alt}"{said}>'


def test_the_skeleton_is_all_but_the_numbers():
    page = (
        "<!DOCTYPE html><p id='b' class='a'>one\n  two "
        "<data data-source='a.csv' data-field='x.se'>3</data></p>"
        "<!--made--> \n <data>4</data>"
        f"{BLOCK.format('{}')}{picture()}"
    )
    assert skeleton(page) == [
        "Doctypehtml",
        "<p class=\"['a']\" id='b'>",
        "one two ",
        "[a.csv x.se]",
        "</p>",
        "Commentmade",
        "[ ]",
        "<script application/json record>",
        "<img alt='' class=\"['f']\" data-parts='the mean is [a.csv x.mean] of g1' "
        "src='data:image/png;base64'>",
        "</img>",
    ]


def test_the_skeleton_does_not_move_with_numbers_and_pictures_and_moves_with_words():
    same = MarkedText(("the mean is ", Mark(9.0, "a.csv", "x.mean", "9"), " of ", Name("g1")))
    other = picture("data:image/png;base64,AAAA", "the mean is 9 of g1", same)
    assert skeleton(other) == skeleton(picture())
    # words that are not those of the parts are kept as they stand
    lies = picture(alt="the mean is 3 of g1")
    assert "alt='the mean is 3 of g1'" in skeleton(lies)[0]
    assert skeleton(picture(parts=None)) != skeleton(picture(alt="another", parts=None))
    assert skeleton(picture("x.png")) != skeleton(picture())


def test_the_pictures_of_a_page_are_files_or_none():
    page = f"<img src='{image_address(b'<svg/>')}'><p><img src='x.png'></p><img>"
    assert shown_pictures(page) == [b"<svg/>", None, None]


def test_what_is_said_of_pictures_and_what_is_seen():
    page = (
        "<!DOCTYPE html><head><title>1</title></head><style>2</style><script>3</script><math>4</math>"
        "<pre>5</pre><!-- 6 --><p>a <span class='name'>x7</span><span class='k'>b</span>"
        "<data value='8.25' data-source='f' data-field='p'>8.2</data><em>c</em></p>"
        f"{picture()}{picture(alt='other words 9')}<img alt='10' data-parts='no json'><img src='x'>"
        "<nav aria-label='parts'></nav>"
    )
    told = list(texts(page))
    assert told == [
        MarkedText(("the mean is ", Mark("2.5", "a.csv", "x.mean", "2.5"), " of ", Name("g1"))),
        MarkedText(("other words 9",)),
        MarkedText(("10",)),
        MarkedText(("parts",)),
        MarkedText(("a ", Name("x7"), "b", Mark("8.25", "f", "p", "8.2"), "c")),
    ]
