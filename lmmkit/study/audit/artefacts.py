"""Two runs of one study compared artefact by artefact: byte for byte, or by what each kind of file says.

Under the same code, versions and machine every byte must be the same. Another machine moves last digits: the
numbers of tables get a tolerance, pages and notebooks must have the same words and pictures the same drawing.
Other code may say all of it in other words: what then differs in words is not checked, and is counted.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lmmkit.errors import first_of
from lmmkit.escape import picture_at
from lmmkit.study.audit.integrity import RunFolder
from lmmkit.study.audit.verdicts import (
    DIFFERS,
    EXECUTION,
    IDENTICAL,
    NAMED_VALUES,
    UNCHECKED,
    WITHIN,
    Finding,
)
from lmmkit.study.pages.read_page import skeleton
from lmmkit.study.records.artifacts import sha256
from lmmkit.study.records.manifest import ROOT
from lmmkit.study.records.values import (
    KINDS,
    NUMBER,
    compare,
    same,
    told_alike,
    tolerances,
    tree_values,
)

#: Entries of provenance.json that the environment's findings judge.
ENVIRONMENTAL = ("machine", "versions", "package", "notebooks", "key", "audit")
#: Packages whose version decides how something is worded or drawn, not what its numbers are.
WORDING = ("lmmkit", "jinja2", "pandas", "matplotlib", "seaborn")
SHADE = 0.05  # of the range of brightness: what another machine may draw a pixel otherwise
_PRINTED = next(kind for kind in KINDS if kind.name == "printed")
_ID = re.compile(r"\b[a-z][0-9a-f]{10}\b")  # of a clip path, a marker: matplotlib's digest of its coordinates
_IMAGE = re.compile(r"data:image/[^\"'\\\s)]+")


@dataclass(frozen=True)
class Circumstances:
    """What of a run's code, versions and machine, by its own word, is other than here.

    Attributes:
        code: The sources that are others.
        versions: The packages that are others.
        machine: Whether the machine is another.
    """

    code: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    machine: bool = False

    @property
    def exact(self) -> bool:
        """Whether every byte must be the same."""
        return not (self.code or self.versions or self.machine)

    @property
    def reworded(self) -> tuple[str, ...]:
        """What may have put the same results into other words or pictures."""
        return (*self.code, *(name for name in self.versions if name in WORDING))


class Moved(NamedTuple):
    """What differs between two versions of an artefact: where, in one, in the other."""

    where: str
    one: object
    other: object


def compare_runs(run: RunFolder, again: RunFolder, circumstances: Circumstances) -> Iterator[Finding]:
    """One finding per artefact of either run."""
    listed, others = run.manifest.files(), circumstances.reworded
    for path in listed | again.manifest.files():
        one, other = run.content(path), again.content(path)
        if others and path not in listed:
            yield Finding(EXECUTION, path, UNCHECKED, f"{_named(others)}, which makes this file too")
        elif others and other is None and one is not None:
            yield Finding(EXECUTION, path, UNCHECKED, f"{_named(others)}, which does not make this file")
        elif one is None or other is None:
            found, expected = ("missing" if content is None else "there" for content in (one, other))
            yield Finding(EXECUTION, path, DIFFERS, found, f"{expected} in the new run")
        elif one == other:
            yield Finding(EXECUTION, path, IDENTICAL, "byte for byte")
        elif path == ROOT and not circumstances.exact:
            yield Finding(EXECUTION, path, WITHIN, "a digest of bytes", "consistency, where it is made again")
        else:
            yield compare_artefact(path, one, other, circumstances, _names(run), _names(again))


Names = dict[str, str]  # digest of a picture -> the figure that it is


def _names(run: RunFolder) -> Names:
    return {file.sha256: path for path, file in run.manifest.files().items() if path.startswith("figures/")}


def compare_artefact(
    path: str,
    one: bytes,
    other: bytes,
    circumstances: Circumstances,
    names: Names | None = None,
    other_names: Names | None = None,
) -> Finding:
    """Two versions of an artefact whose bytes are not the same.

    Args:
        path: The artefact.
        one: Its bytes.
        other: Its bytes in another run.
        circumstances: What is other for them.
        names: The figures of the run, by their digests.
        other_names: Those of the other.
    """
    if circumstances.exact:
        moved = _values_moved(path, one, other, exact=True) or [Moved("bytes", sha256(one), sha256(other))]
        return _told(path, moved, "the same bytes")
    worded = _WORDED.get(path.rpartition(".")[2]) if path != PROVENANCE else None
    if worded is not None:
        try:
            moved = worded(one, other, names or {}, other_names or {})
        except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
            return Finding(EXECUTION, path, DIFFERS, "it cannot be read", "a file as a run writes it")
        if not moved:
            return Finding(EXECUTION, path, WITHIN, "the same but for last digits", "the same words")
        if circumstances.reworded and not any(change.where == EMPTIED for change in moved):
            return Finding(EXECUTION, path, UNCHECKED, f"other words: {_named(circumstances.reworded)}")
        return _told(path, moved, "the same words")
    moved = _values_moved(path, one, other, exact=False)
    if circumstances.code:
        absent = [change for change in moved if change.one is None or change.other is None]
        moved = [change for change in moved if not (change.one is None or change.other is None)]
        if absent and not moved:
            found = f"{_named(circumstances.code)}, whose entries are others: {absent[0].where}"
            return Finding(EXECUTION, path, UNCHECKED, found)
    if moved:
        return _told(path, moved, "the same values")
    found = "values differ, none by more than its kind may"
    return Finding(EXECUTION, path, WITHIN, found, tolerances(path))


PROVENANCE = "provenance.json"
EMPTIED = "what is drawn"


def _values_moved(path: str, one: bytes, other: bytes, *, exact: bool) -> list[Moved]:
    moved = compare(path, one, other, exact=exact).moved
    judged = () if exact or path != PROVENANCE else ENVIRONMENTAL
    return [
        Moved(f"{place.field} {place.row}".strip(), a, b)
        for place, a, b in moved
        if place.field.partition(".")[0] not in judged
    ]


def _told(path: str, moved: list[Moved], expected: str) -> Finding:
    shown = [f"{where}: {_short(a)}, again {_short(b)}" for where, a, b in moved]
    return Finding(EXECUTION, path, DIFFERS, first_of(shown, NAMED_VALUES, "; "), expected)


def _named(others: tuple[str, ...]) -> str:
    """What is other, in words."""
    return f"made by another {' and another '.join(others[:NAMED_VALUES])}"


def _short(value: object) -> str:
    text = repr(value) if not isinstance(value, str) else " ".join(value.split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def pages_moved(one: bytes, other: bytes, _: Names, __: Names) -> list[Moved]:
    """Where the words of two pages differ; their numbers are held against the tables of their runs."""
    return _lines_moved("words", skeleton(one.decode()), skeleton(other.decode()))


def _lines_moved(what: str, one: list[str], other: list[str]) -> list[Moved]:
    """The first line in which two lists of lines differ, and how many lines there are else."""
    for a, b in zip(one, other, strict=False):
        if a != b and not told_alike(a, b, _PRINTED):
            return [Moved(what, *_apart(a, b))]
    if len(one) != len(other):
        return [Moved(what, f"{len(one):,} parts", f"{len(other):,} parts")]
    return []


def _apart(a: str, b: str) -> tuple[str, str]:
    """Two texts from a little before their first difference on."""
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[max(0, at - 8) :], b[max(0, at - 8) :]


def notebooks_moved(one: bytes, other: bytes, names: Names, other_names: Names) -> list[Moved]:
    """Where the sources or outputs of two executed notebooks differ."""
    first, second = json.loads(one), json.loads(other)
    moved = list[Moved]()
    if len(first["cells"]) != len(second["cells"]):
        return [Moved("cells", len(first["cells"]), len(second["cells"]))]
    for at, (a, b) in enumerate(zip(first["cells"], second["cells"], strict=True), start=1):
        outputs = [_outputs(cell, known) for cell, known in ((a, names), (b, other_names))]
        beside = [{key: value for key, value in cell.items() if key != "outputs"} for cell in (a, b)]
        moved += _leaves_moved(f"cell {at}", *beside) or _leaves_moved(f"output of cell {at}", *outputs)
    rest = [{key: value for key, value in book.items() if key != "cells"} for book in (first, second)]
    return moved + _leaves_moved("notebook", *rest)


def _outputs(cell: dict[str, Any], names: Names) -> list[Any]:
    """The outputs of a cell, each picture in them by the name of the run's figure that it is."""
    return json.loads(_IMAGE.sub(lambda found: _figure(found[0], names), json.dumps(cell.get("outputs", []))))


def _figure(address: str, names: Names) -> str:
    content = picture_at(address)
    return names.get(sha256(content), "a picture that is no figure of the run") if content else "no picture"


def _leaves_moved(what: str, one: object, other: object) -> list[Moved]:
    first, second = dict(tree_values(one)), dict(tree_values(other))
    return [
        Moved(what, *_apart(str(a), str(b)))
        for place in dict.fromkeys([*first, *second])
        for a, b in [(first.get(place), second.get(place))]
        if not (same(a, b) or (isinstance(a, str) and isinstance(b, str) and told_alike(a, b, _PRINTED)))
    ]


def drawings_moved(one: bytes, other: bytes, _: Names, __: Names) -> list[Moved]:
    """Where two drawings (SVG) differ: in their elements and words, or in a number by more than it may."""
    first, second = (_IMAGE.sub("image", _unhashed(drawn.decode())) for drawn in (one, other))
    counts = [len(NUMBER.findall(drawn)) for drawn in (first, second)]
    if 2 * counts[0] < counts[1]:
        return [Moved(EMPTIED, f"{counts[0]:,} numbers", f"{counts[1]:,} numbers")]
    within = compare("figures/drawing.svg", first.encode(), second.encode())
    inner = zip(*([*_IMAGE.findall(drawn.decode())] for drawn in (one, other)), strict=False)
    return [Moved(place.field, a, b) for place, a, b in within.moved] + [
        Moved("an image in the drawing", sha256(a.encode())[:12], sha256(b.encode())[:12])
        for a, b in inner
        if a != b and images_moved(picture_at(a) or b"", picture_at(b) or b"", {}, {})
    ]


def _unhashed(drawing: str) -> str:
    """A drawing whose ids are numbered in their order, not digests of coordinates."""
    order = {name: f"id{at}" for at, name in enumerate(dict.fromkeys(_ID.findall(drawing)))}
    return _ID.sub(lambda found: order[found[0]], drawing)


def images_moved(one: bytes, other: bytes, _: Names, __: Names) -> list[Moved]:
    """Whether two images (PNG) are not the same but for shades."""
    from matplotlib.image import imread  # loads matplotlib

    first, second = (imread(io.BytesIO(content), format="png") for content in (one, other))
    if first.shape != second.shape:
        return [Moved("size", first.shape, second.shape)]
    wrong = int((np.abs(first - second).max(axis=-1, initial=0.0) > SHADE).sum())
    return [Moved("pixels", f"{wrong:,} of other brightness", "none")] if wrong else []


_WORDED: dict[str, Callable[[bytes, bytes, Names, Names], list[Moved]]] = {
    "html": pages_moved,
    "ipynb": notebooks_moved,
    "svg": drawings_moved,
    "png": images_moved,
}
