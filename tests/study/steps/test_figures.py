"""A picture of a run: its address, the words that stand for it, and back from what lies beside it."""

import base64

import pytest

from lmmkit.errors import RunError
from lmmkit.study.pages.marks import Mark, fill
from lmmkit.study.steps.figures import Figure, figure_from_dict

ALT = fill("a line to {}", Mark(2, "fit.json", "x", "2"))
CAPTION = fill("It rises to {}.", Mark(2, "fit.json", "x", "2"))


@pytest.fixture
def figure(tmp_path):
    (tmp_path / "line.svg").write_bytes(b"<svg/>")
    return Figure("line", tmp_path / "line.svg", ALT, CAPTION, "03_fit")


def test_words_and_their_places_come_back(figure, tmp_path):
    record = figure.to_dict()
    told = {key: record[key] for key in ("name", "file", "step")}
    assert told == {"name": "line", "file": "line.svg", "step": "03_fit"}
    assert (record["alt"], record["caption"]) == ("a line to 2", "It rises to 2.")
    assert figure_from_dict(record, tmp_path) == figure


@pytest.mark.parametrize(("name", "kind"), [("line.svg", "svg+xml"), ("line.png", "png")])
def test_an_address_holds_the_picture(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"it")
    address = Figure("line", tmp_path / name, ALT, CAPTION, "03_fit").address()
    assert address == f"data:image/{kind};base64,{base64.b64encode(b'it').decode()}"


def test_a_notebook_shows_the_picture_with_its_words(figure):
    html = figure._repr_html_()
    assert html.index("a line to 2") < html.index(figure.address()) < html.index("It rises to 2.")
    assert repr(figure) == "It rises to 2."


@pytest.mark.parametrize("name", ["a/line.svg", "link.svg"])
def test_a_picture_lies_beside_its_words(figure, tmp_path, name):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/line.svg").write_bytes(b"<svg/>")
    (tmp_path / "link.svg").symlink_to(tmp_path / "line.svg")
    with pytest.raises(RunError, match=f"{name} is no picture in .*; a picture lies beside the words that"):
        figure_from_dict(figure.to_dict() | {"file": name}, tmp_path)
    with pytest.raises(RunError, match="leaves the run folder"):
        figure_from_dict(figure.to_dict() | {"file": "../x.svg"}, tmp_path)
