"""The sweep file: a base study and the settings to vary, as one strict schema."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lmmkit.errors import StudyError
from lmmkit.study.files.faults import raise_faults, validate
from lmmkit.study.files.schema import OneLine
from lmmkit.study.files.yaml12 import Document, Fault, Key, Position, read_yaml

MOST_CELLS = 10_000


def _filled(value: Any) -> Any:
    if not value:
        raise ValueError("is empty; list at least one, or take the key away")
    return value


Values = Annotated[list[Any], AfterValidator(_filled)]
Axes = Annotated[dict[str, Values], AfterValidator(_filled)]


class SweepSettings(BaseModel):
    """A sweep: a base study and the settings to vary."""

    model_config = ConfigDict(
        title="lmmkit sweep", extra="forbid", frozen=True, strict=True, validate_by_alias=True
    )

    version: Literal[1] = Field(default=1, alias="schema", description="Version of this schema")
    title: OneLine | None = Field(default=None, description="Title of the page; the study's when left out")
    base: OneLine = Field(description="Study file, relative to this one")
    grid: Axes | None = Field(
        default=None, description="Values by dotted key of the study; every combination is a cell"
    )
    zip: Axes | None = Field(
        default=None, description="Lists of one length by dotted key, walked in step; times the grid"
    )
    add: Annotated[list[dict[str, Any]], AfterValidator(_filled)] | None = Field(
        default=None, description="Single cells: settings by dotted key"
    )
    on_error: Literal["continue", "stop"] = Field(
        default="continue", description="After a cell has failed: go on, or begin no other"
    )
    summary: list[OneLine] = Field(
        default_factory=list,
        description="Quantities of the table: a coefficient, or such as Days.se; the curve shows the first",
    )


@dataclass(frozen=True)
class Choice:
    """One combination of settings.

    Attributes:
        overrides: Values by dotted key.
        origins: Where each stands in the sweep file.
    """

    overrides: dict[str, Any]
    origins: dict[str, Key]

    def __or__(self, other: Choice) -> Choice:
        return Choice(self.overrides | other.overrides, self.origins | other.origins)


@dataclass(frozen=True)
class SweepFile:
    """A sweep file, checked by itself.

    Attributes:
        path: The file.
        settings: What it says.
        document: The same with the places of its keys.
    """

    path: Path
    settings: SweepSettings
    document: Document

    @property
    def name(self) -> str:
        """The file's name without its ending; its results lie under it."""
        return self.path.stem

    @property
    def base(self) -> Path:
        """The base study's file."""
        return self.path.parent / self.settings.base

    @property
    def count(self) -> int:
        """Number of cells."""
        crossed = math.prod(map(len, (self.settings.grid or {}).values())) * _zip_size(self.settings)
        return crossed * self._crossed + len(self.settings.add or ())

    @property
    def _crossed(self) -> bool:
        return bool(self.settings.grid or self.settings.zip)

    def choices(self) -> Iterator[Choice]:
        """The cells: grid times zip, the last key varying fastest, then the added ones."""
        if self._crossed:
            grid, zipped = self.settings.grid or {}, self.settings.zip or {}
            for *outer, inner in product(
                *(range(len(values)) for values in grid.values()), range(_zip_size(self.settings))
            ):
                yield _picked("grid", grid, outer) | _picked("zip", zipped, [inner] * len(zipped))
        for number, cell in enumerate(self.settings.add or ()):
            yield Choice(cell, {name: ("add", number, name) for name in cell})

    def place(self, key: Key) -> Position:
        """Where a key's value stands."""
        return self.document.values.get(key, Position(1, 1))


def read_sweep(path: Path) -> SweepFile:
    """A sweep file.

    Raises:
        StudyError: all faults of the file, each with its line and column.
    """
    document = read_yaml(path)
    settings, faults = validate(document, SweepSettings, "`base:` and `grid:`")
    if settings is not None:
        faults += _own_faults(settings, document)
    raise_faults(path, faults)
    assert settings is not None  # where there is none, a fault says why
    return SweepFile(path.resolve(), settings, document)


def check_size(sweep: SweepFile, *, yes: bool) -> None:
    """Refuse a sweep that is larger than was likely meant.

    Raises:
        StudyError: more than 10,000 cells without leave.
    """
    if sweep.count > MOST_CELLS and not yes:
        raise StudyError(
            f"{sweep.path.name}: {sweep.count:,} cells, more than {MOST_CELLS:,}; give --yes if all are meant"
        )


def _own_faults(settings: SweepSettings, document: Document) -> Iterator[Fault]:
    """What is wrong between keys."""
    if not (settings.grid or settings.zip or settings.add):
        yield Fault(Position(1, 1), (), "has no cells; give `grid:`, `zip:` or `add:`")
    lengths = {name: len(values) for name, values in (settings.zip or {}).items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        yield Fault(document.keys["zip",], ("zip",), f"lists of different lengths: {listed}")
    for name in settings.zip or ():
        if name in (settings.grid or {}):
            yield Fault(
                document.keys["zip", name], ("zip", name), "stands in `grid` too; vary it in one place"
            )
    yield from _repeated(settings.grid or {}, document)


def _repeated(axes: Mapping[str, list[Any]], document: Document) -> Iterator[Fault]:
    for name, values in axes.items():
        seen = [json.dumps(value, sort_keys=True) for value in values]
        for number, text in enumerate(seen):
            if text in seen[:number]:
                key = ("grid", name, number)
                yield Fault(document.values[key], key, "stands twice; each value makes its own cells")


def _zip_size(settings: SweepSettings) -> int:
    return min(map(len, (settings.zip or {}).values()), default=1)


def _picked(section: str, axes: Mapping[str, list[Any]], picks: Sequence[int]) -> Choice:
    return Choice(
        {name: axes[name][number] for name, number in zip(axes, picks, strict=True)},
        {name: (section, name, number) for name, number in zip(axes, picks, strict=True)},
    )
