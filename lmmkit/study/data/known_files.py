"""Known covariances of a study: pedigrees and matrices from their files, with their digests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lmmkit.errors import DataError, Findings
from lmmkit.model.table.labels import label_of
from lmmkit.study.data.sources import Base, check_pin, find_source, read_raw, sha256_of
from lmmkit.study.files.schema import Data, KnownFile, Settings


def pinned(settings: Settings, base: Base) -> Settings:
    """The settings with the digest of each file of `model.known`, by which keys tell them apart.

    Raises:
        DataError: A file is not there, or not the pinned one; all of them are said.
    """
    if not settings.model.known:
        return settings
    found, made = Findings(), dict[str, KnownFile]()
    for group, file in settings.model.known.items():
        with found.part("known", group):
            path = _path(file, base)
            digest = sha256_of(path)
            check_pin(path, digest, file.sha256)
            made[group] = file.model_copy(update={"sha256": digest})
    found.raise_found()
    model = settings.model.model_copy(update={"known": made})
    return settings.model_copy(update={"model": model})


def read_known_files(known: Mapping[str, KnownFile], base: Base) -> dict[str, pd.DataFrame]:
    """The tables of `model.known` by grouping factor, as `lmm` takes them.

    Raises:
        DataError: A file cannot be read, or holds no such table.
    """
    found, made = Findings(), dict[str, pd.DataFrame]()
    for group, file in known.items():
        with found.part("known", group):
            path = _path(file, base)
            raw = read_raw(path, Data(source=file.source))
            frame = pd.DataFrame({name: _cells(column.cells) for name, column in raw.columns.items()})
            made[group] = frame if file.pedigree else _square(frame, path)
    found.raise_found()
    return made


def _path(file: KnownFile, base: Base) -> Path:
    try:
        return find_source(file.source, base)
    except DataError as error:
        raise DataError(str(error).replace("data.source", "the file")) from None


def _cells(cells: Any) -> list[Any]:
    """Cells as Python has them; labels of numbers as their text."""
    return ["" if cell is None else cell for cell in cells.to_pylist()]


def _square(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A matrix with labels, which a column of its own may hold."""
    if frame.shape[1] == frame.shape[0] + 1:
        texts = {name: [label_of(cell) for cell in frame[name].tolist()] for name in frame.columns}
        own = [n for n in frame.columns if set(texts[n]) == set(map(str, frame.columns.drop(n)))]
        name = own[0] if own else frame.columns[0]
        frame = frame.drop(columns=name).set_axis(pd.Index(texts[name]))
    elif frame.shape[1] != frame.shape[0]:
        raise DataError(
            f"{path.name} has {frame.shape[0]:,} rows and {frame.shape[1]:,} columns; a square matrix is "
            "expected, its labels as the header and, if they stand beside the rows, in a first column"
        )
    try:
        return frame.astype(float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path.name} has a cell that is no number: {error}") from None
