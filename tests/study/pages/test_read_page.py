"""Reading a page: its marks, its words, its record."""

from __future__ import annotations

import json

import pytest

from lmmkit.errors import RunError
from lmmkit.study.pages.marks import Mark
from lmmkit.study.pages.read_page import extract, marks, printed_text


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
