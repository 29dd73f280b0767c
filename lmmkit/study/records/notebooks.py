"""The notebooks of a run: where they are, what they declare, and their executed form without its noise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lmmkit.errors import RunError
from lmmkit.study.files.shipped import shipped
from lmmkit.study.records.artifacts import sha256

_STEPS = "0[1-9]_*.ipynb"
_PARAMETERS = "injected-parameters"
_FAILURE = "papermill-error-cell-tag"
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_CELL_FILE = re.compile(r"\S*ipykernel_\d+/\d+\.py")


@dataclass(frozen=True)
class Notebook:
    """One step's notebook.

    Attributes:
        path: The file.
    """

    path: Path

    @property
    def name(self) -> str:
        """The step's name, such as `03_fit`."""
        return self.path.stem

    @cached_property
    def content(self) -> dict[str, Any]:
        """The notebook as JSON."""
        try:
            return json.loads(self.path.read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path} cannot be read as a notebook: {error}") from None

    @property
    def declared(self) -> dict[str, Any]:
        """What stands under `lmmkit` in its metadata."""
        return self.content.get("metadata", {}).get("lmmkit", {})

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
        """Digest of its cells and of what it declares, outputs aside."""
        cells = [[cell["cell_type"], _text(cell["source"])] for cell in self.content["cells"]]
        return sha256(json.dumps([self.declared, cells]).encode())

    def code(self) -> list[str]:
        """The sources of its code cells, but for the parameters."""
        return [_text(cell["source"]) for cell in self._cells() if "parameters" not in _tags(cell)]

    def _cells(self) -> Iterator[dict[str, Any]]:
        return (cell for cell in self.content["cells"] if cell["cell_type"] == "code")


def project_folder(start: Path | None = None) -> Path | None:
    """The nearest folder, from the working directory upwards, with notebooks of its own."""
    here = (start or Path.cwd()).resolve()
    return next(
        (folder for folder in (here, *here.parents) if any((folder / "notebooks").glob(_STEPS))), None
    )


def find_notebooks(study_file: Path) -> list[Notebook]:
    """The notebooks of the project that is worked in, when the study belongs to it, else the installed ones.

    A study from elsewhere cannot bring notebooks: only those under the working directory's project run.

    Raises:
        RunError: there are none.
    """
    project = project_folder()
    own = project is not None and study_file.resolve().is_relative_to(project)
    folder = project / "notebooks" if project and own else shipped("notebooks")
    found = [Notebook(path) for path in sorted(folder.glob(_STEPS))]
    if not found:
        raise RunError(
            f"no notebooks 01_... to 04_... in {folder}; reinstall lmmkit or work in its project folder"
        )
    return found


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
    if _PARAMETERS in _tags(cell):
        cell |= {"id": _PARAMETERS, "source": parameters}
    if _FAILURE in _tags(cell):
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


def _text(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def _tags(cell: dict[str, Any]) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])
