"""Reading a page as a stranger would: its marks, its words, its pictures, the record that it carries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PreformattedString, Tag

from lmmkit.errors import RunError
from lmmkit.escape import page as on_page
from lmmkit.escape import picture_at
from lmmkit.study.pages.marks import Mark, MarkedText, Name, marked_text

RECORD = "lmmkit-run"  # id of the block of data that a report carries
_UNPROVEN = ["head", "style", "script", "math", "pre"]  # no numbers of the study: indices, code, its output
_UNSEEN = ["head", "script", "style", "svg", "template"]
_SPACE = re.compile(r"\s+")


def _read(page: str) -> BeautifulSoup:
    return BeautifulSoup(page, "html.parser")


def extract(page: str) -> dict[str, Any]:
    """The record that a report carries.

    Raises:
        RunError: it carries none, or a damaged one.
    """
    block = _read(page).find("script", id=RECORD)
    try:
        record: dict[str, Any] = json.loads(block.text if block else "")
        settings, provenance, files = record["settings"], record["provenance"], record["files"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RunError(
            "the file carries no record of a study; expected a report.html as `lmmkit run` leaves it"
        ) from None
    whole = all(isinstance(part, dict) for part in (settings, provenance, files))
    texts = [*files.values(), record.get("lock") or ""] if whole else [None]
    if not all(isinstance(text, str) for text in texts):
        raise RunError("the record in the report is damaged; use the report as `lmmkit run` left it")
    return record


def skeleton(page: str) -> list[str]:
    """All of a page but its numbers: tags, words, and for each mark the place that its number comes from.

    Two runs of one code have the same skeleton whatever their last digits; that each number is the one at its
    place, each picture one of the run's, and the record that of the run, are questions of their own.
    """
    return [*_bones(_read(page))]


def _bones(element: Tag) -> Iterator[str]:
    for child in element.children:
        if isinstance(child, Tag):
            if child.name == "data":
                yield f"[{child.get('data-source', '')} {child.get('data-field', '')}]"
            elif child.get("id") == RECORD:
                yield f"<{child.name} {child.get('type')} record>"
            else:
                yield f"<{child.name} {_attributes(child)}>"
                yield from _bones(child)
                yield f"</{child.name}>"
        elif isinstance(child, NavigableString):
            kind = "" if type(child) is NavigableString else type(child).__name__
            if kind or child.strip():
                yield f"{kind}{_SPACE.sub(' ', child)}"


def _attributes(tag: Tag) -> str:
    """The attributes of a tag; of a picture not the picture, and its words without their numbers."""
    found = {name: str(value) for name, value in tag.attrs.items()}
    if tag.name == "img":
        found["src"] = found.get("src", "").partition(",")[0]
        said = _said_of(tag)
        if said is not None:
            found |= {
                "alt": "",
                "data-parts": "".join(
                    f"[{p.file} {p.place}]" if isinstance(p, Mark) else str(p) for p in said.parts
                ),
            }
    return " ".join(f"{name}={value!r}" for name, value in sorted(found.items()))


def shown_pictures(page: str) -> list[bytes | None]:
    """The pictures that a page holds, as files; None for an address of another kind."""
    return [picture_at(str(image.get("src", ""))) for image in _read(page).find_all("img")]


def printed_text(page: str) -> str:
    """The visible text, pictures and provenance left out."""
    soup = _read(page)
    for hidden in [*soup.find_all(_UNSEEN), *soup.find_all(id="provenance")]:
        hidden.extract()
    return _SPACE.sub(" ", soup.get_text(" ")).strip()


def marks(page: str) -> list[Mark]:
    """The numbers that a page marks with their places, in its order; each value as it is written there."""
    return [_mark(data) for data in _read(page).find_all("data")]


def _mark(data: Tag) -> Mark:
    value, file, where = (str(data.get(name, "")) for name in ("value", "data-source", "data-field"))
    return Mark(value, file, where, data.get_text())


def texts(page: str) -> Iterator[MarkedText]:
    """All that a page says, marked as it is: what is seen, and what is said of pictures."""
    soup = _read(page)
    for silent in soup.find_all(_UNPROVEN):
        silent.extract()
    for image in soup.find_all(alt=True):
        said = _said_of(image)
        written = [
            Mark(repr(p.value), p.file, on_page(p.place), on_page(p.text)) if isinstance(p, Mark) else p
            for p in (said.parts if said else ())
        ]
        yield MarkedText(tuple(written)) if said else MarkedText((str(image["alt"]),))
    for labelled in soup.find_all(lambda tag: tag.has_attr("aria-label")):
        yield MarkedText((str(labelled["aria-label"]),))
    yield MarkedText(tuple(_seen(soup)))


def _said_of(image: Tag) -> MarkedText | None:
    """The words that stand for a picture with their marks, where they are those that are read out."""
    try:
        said = marked_text(json.loads(str(image.get("data-parts", "[]"))))
    except (ValueError, TypeError):
        return None
    return said if on_page(str(said)) == str(image.get("alt", "")) else None


def _seen(element: Tag) -> Iterator[str | Mark | Name]:
    for child in element.children:
        if isinstance(child, NavigableString):
            if not isinstance(child, PreformattedString):  # a comment, a doctype
                yield str(child)
        elif isinstance(child, Tag):
            if child.name == "data":
                yield _mark(child)
            elif child.name == "span" and "name" in (child.get("class") or ()):
                yield Name(child.get_text())
            else:
                yield from _seen(child)
