"""The notebooks of a run: what they hold and declare, and their executed form without its noise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lmmkit.errors import RunError
from lmmkit.study.files.yaml12 import is_list, is_mapping
from lmmkit.study.records.artifacts import sha256

#: The steps that a study asks for by a key of its own: the number of the notebook, the key.
ASKED = {"05": "posterior"}
#: The number of the step that writes from what all others have left, and is made last.
LAST = "04"
#: Bytes of a notebook, outputs included, that is still read.
LARGEST = 50_000_000
INJECTED = "injected-parameters"
_FAILURE = "papermill-error-cell-tag"
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_CELL_FILE = re.compile(r"\S*ipykernel_\d+/\d+\.py")


@dataclass(frozen=True)
class Notebook:
    """One step's notebook, read once: what was looked at is what is executed.

    Attributes:
        path: The file that it was read from.
        source: Its bytes.
    """

    path: Path
    source: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The step's name, such as `03_fit`."""
        return self.path.stem

    @cached_property
    def content(self) -> dict[str, Any]:
        """The notebook as JSON, in format 4.

        Raises:
            RunError: it is no notebook.
        """
        try:
            found: Any = json.loads(self.source.decode())
            if found["nbformat"] != 4 or not all(_is_cell(cell) for cell in found["cells"]):
                raise ValueError("expected cells with a type and a source, in format 4")
            if not (is_mapping(found["metadata"]) and is_mapping(found["metadata"].get("lmmkit", {}))):
                raise ValueError("expected mappings as its metadata")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RunError(f"{self.path} cannot be read as a notebook: {error}") from None
        return found

    @property
    def declared(self) -> dict[str, Any]:
        """What stands under `lmmkit` in its metadata."""
        return self.content.get("metadata", {}).get("lmmkit", {})

    @property
    def number(self) -> str:
        """The two digits that its name begins with."""
        return self.name[:2]

    @property
    def title(self) -> str:
        """The step's title."""
        return str(self.declared.get("title", self.name))

    @property
    def reads(self) -> tuple[str, ...]:
        """The study keys that it declares to read."""
        return tuple(self.declared.get("reads", ()))

    @cached_property
    def digest(self) -> str:
        """Digest of all that is executed: what it declares, its cells with their tags; outputs aside."""
        cells = [[cell["cell_type"], _text(cell["source"]), tags_of(cell)] for cell in self.content["cells"]]
        return sha256(json.dumps([self.declared, cells]).encode())

    def code(self) -> list[str]:
        """The sources of its code cells, but for the parameters."""
        cells = (cell for cell in self.content["cells"] if cell["cell_type"] == "code")
        return [_text(cell["source"]) for cell in cells if "parameters" not in tags_of(cell)]


def read_notebook(path: Path) -> Notebook:
    """The notebook in a file.

    Raises:
        RunError: it cannot be read.
    """
    try:
        if not path.is_file():
            raise RunError(f"{path} cannot be read as a notebook: it is no file")
        if path.stat().st_size > LARGEST:
            raise RunError(f"{path} cannot be read as a notebook: it has more than {LARGEST:,} bytes")
        return Notebook(path, path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} cannot be read as a notebook: {error.strerror}") from None


def steps_of(books: Iterable[Notebook], settings: Mapping[str, Any]) -> list[Notebook]:
    """The notebooks of a study's run, in the order in which they are made.

    Args:
        books: Those that there are.
        settings: The study's settings, resolved.
    """
    own = [book for book in books if book.number not in ASKED or settings.get(ASKED[book.number]) is not None]
    return sorted(own, key=lambda book: (book.number == LAST, book.name))


def normalised(notebook: dict[str, Any], study_file: str, overrides: Mapping[str, object]) -> dict[str, Any]:
    """An executed notebook without the times, ids, addresses and places of its execution.

    Args:
        notebook: The notebook.
        study_file: Name of the study file.
        overrides: What was changed in the study; what the notebook does not read is left out.
    """
    reads: list[str] = notebook["metadata"].get("lmmkit", {}).get("reads", [])
    read = {name: value for name, value in overrides.items() if any(_related(name, key) for key in reads)}
    parameters = f'# Parameters\nstudy = {json.dumps(study_file)}\nrun = "."\noverrides = {read!r}\n'
    metadata = {
        key: value for key, value in notebook["metadata"].items() if key not in ("papermill", "widgets")
    }
    cells = [_normal_cell(cell, parameters, at) for at, cell in enumerate(notebook["cells"])]
    return {**notebook, "cells": cells, "metadata": metadata}


def _normal_cell(cell: dict[str, Any], parameters: str, at: int) -> dict[str, Any]:
    noise = ("papermill", "execution", "execution_count")
    cell = {**cell, "metadata": {key: value for key, value in cell["metadata"].items() if key not in noise}}
    if INJECTED in tags_of(cell):
        cell |= {"id": INJECTED, "source": parameters}
    if _FAILURE in tags_of(cell):
        cell |= {"id": f"failure-{at}"}  # papermill adds it, under an id by chance
    if "outputs" in cell:
        cell["outputs"] = [_normal_output(output) for output in cell["outputs"]]
    return cell


def _related(one: str, other: str) -> bool:
    """Whether one dotted key is the other, or lies in it, or holds it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _normal_output(output: dict[str, Any]) -> dict[str, Any]:
    if output["output_type"] == "stream":
        return {**output, "text": _quiet(_text(output["text"]))}
    if "data" in output:
        plain = output["data"].get("text/plain")
        data = output["data"] if plain is None else {**output["data"], "text/plain": _quiet(_text(plain))}
        return {**output, "data": data}
    return output


def _quiet(text: str) -> str:
    return _CELL_FILE.sub("cell", _ADDRESS.sub("", text))


def _is_cell(cell: Any) -> bool:
    source = cell["source"]
    metadata = cell.get("metadata", {})
    if not (isinstance(cell["cell_type"], str) and is_mapping(metadata)):
        return False
    return (isinstance(source, str) or _are_words(source)) and _are_words(metadata.get("tags", []))


def _are_words(value: Any) -> bool:
    return is_list(value) and all(isinstance(word, str) for word in value)


def _text(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: dict[str, Any]) -> list[str]:
    """The tags of a cell."""
    return cell.get("metadata", {}).get("tags", [])
