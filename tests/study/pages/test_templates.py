"""A page: text in it is escaped, nothing in it is undefined, and no letter turns what follows."""

import pytest
from jinja2 import DictLoader, UndefinedError

from lmmkit.study.pages import templates


@pytest.fixture
def template(monkeypatch):
    def give(text):
        monkeypatch.setattr(templates._TEMPLATES, "loader", DictLoader({f"{hash(text)}.html": text}))
        return f"{hash(text)}.html"

    return give


def test_text_is_escaped_and_letters_that_turn_the_reading_are_spelled_out(template):
    name = template("<p>{{ said }}</p>")
    assert templates.render(name, said="a < b\u202e") == r"<p>a &lt; b\u202e</p>"


def test_a_name_that_is_not_given_is_no_gap(template):
    with pytest.raises(UndefinedError):
        templates.render(template("{{ more }}"))


def test_lines_of_orders_leave_no_trace(template):
    assert templates.render(template("a\n  {% if said %}\nb\n  {% endif %}\nc"), said=True) == "a\nb\nc"


def test_the_pages_are_there():
    for name in ("report.html", "audit.html", "sweep.html"):
        assert templates._TEMPLATES.get_template(name)
