"""YAML 1.2 read strictly: plain data and the place of every key, or all faults at once.

Tags, anchors, aliases and duplicate keys are faults: nothing in a file can build an object or grow beyond
its text.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeGuard

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from lmmkit.errors import StudyError

Key: TypeAlias = tuple[str | int, ...]

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 20
#: Letters of a number; what is longer stays text, and no number where one is expected.
_MAX_NUMBER = 100

# The core schema of YAML 1.2, but for numbers with leading zeros: `007` names a level and stays text.
_PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    (re.compile(r"(?:~|null|Null|NULL|)"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?(?:0|[1-9][0-9]*)"), int),
    (re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(?:nan|NaN|NAN)"), lambda text: float("nan")),
)


class Position(NamedTuple):
    """A line and a column of a file, both from 1."""

    line: int
    column: int


class Fault(NamedTuple):
    """One thing that is wrong, and where."""

    place: Position
    key: Key
    message: str


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data, with the places of its keys and values, and its text."""

    data: object
    keys: dict[Key, Position] = field(default_factory=dict[Key, Position])
    values: dict[Key, Position] = field(default_factory=dict[Key, Position])
    faults: list[Fault] = field(default_factory=list[Fault])
    text: str = ""


def dotted(key: Key) -> str:
    """The key as a user writes it.

    >>> dotted(("random_effects", "candidates", 0))
    'random_effects.candidates[0]'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def is_mapping(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value of a document is a mapping."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value of a document is a list."""
    return isinstance(value, list)


def read_yaml(path: Path) -> Document:
    """The document in a file; syntax that stops the reading raises, what else is wrong stands in `faults`.

    Raises:
        StudyError: the file cannot be read, is no text, or is no YAML.
    """
    return parse_yaml(_text_of(path), path.name)


def parse_yaml(text: str, name: str = "text") -> Document:
    """The document in a text.

    >>> parse_yaml("a: [no, 1e-6, 007]").data
    {'a': ['no', 1e-06, '007']}
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        return replace(_EventReader(iter(yaml.parse(text)), name).document(), text=text)
    except MarkedYAMLError as error:
        raise StudyError(f"{name}:{_marked(error)}") from None
    except YAMLError as error:
        raise StudyError(f"{name}:1:1: not YAML: {' '.join(str(error).split())}") from None


def read_settings(texts: Sequence[str]) -> dict[str, object]:
    """Settings by dotted key from texts such as `model.method=ML`, each value read as in a study file.

    >>> read_settings(["model.method=ML", "data.exclude=[x > 1]", "seed=3"])
    {'model.method': 'ML', 'data.exclude': ['x > 1'], 'seed': 3}

    Raises:
        StudyError: a text has no `=`, or its value is not plain YAML.
    """
    pairs = [text.partition("=") for text in texts]
    for name, sign, _ in pairs:
        if not name or not sign:
            raise StudyError(f"--set {name}: expected a key and a value, such as model.method=ML")
    documents = {name: parse_yaml(value, f"--set {name}") for name, _, value in pairs}
    faults = [f"--set {name}: {fault.message}" for name, found in documents.items() for fault in found.faults]
    if faults:
        raise StudyError(*faults)
    return {name: found.data for name, found in documents.items()}


def _marked(error: Any) -> str:
    mark = error.problem_mark or error.context_mark
    at = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
    return f"{at}: not YAML: {error.problem or error.context}"


def _text_of(path: Path) -> str:
    try:
        if path.is_dir():
            raise StudyError(f"{path} is a folder; expected a study file, such as {path / 'study.yaml'}")
        if path.exists() and not path.is_file():
            raise StudyError(f"{path} is a device or a pipe; expected a study file")
        content = path.read_bytes()
    except FileNotFoundError:
        raise StudyError(f"no study file at {path}; `lmmkit new DATA --formula ...` writes one") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None
    if len(content) > _MAX_BYTES:
        raise StudyError(f"{path} has {len(content):,} bytes; a study file has at most {_MAX_BYTES:,}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise StudyError(f"{path.name}:{line}:1: not text in UTF-8; save the file as UTF-8") from None


class _EventReader:
    """Builds plain data from the events of the parser, noting places and faults."""

    def __init__(self, events: Iterator[Any], name: str):
        self.events = events
        self.name = name
        self.out = Document(None)

    def document(self) -> Document:
        """The one document of the stream."""
        data: object = None
        seen = 0
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                seen += 1
                if seen > 1:
                    self._fault(event, (), "a second document: a study file holds one")
                    break
                data = self._node(next(self.events), ())
        return Document(data, self.out.keys, self.out.values, self.out.faults)

    def _node(self, event: Any, key: Key) -> object:
        self.out.values[key] = _position(event)
        self._refuse_powers(event, key)
        if len(key) > _MAX_DEPTH:
            place = _position(event)
            raise StudyError(f"{self.name}:{place.line}:{place.column}: nested more than {_MAX_DEPTH} deep")
        if isinstance(event, MappingStartEvent):
            return self._mapping(key)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(key)
        return _scalar(event) if isinstance(event, ScalarEvent) else None

    def _refuse_powers(self, event: Any, key: Key) -> None:
        if isinstance(event, AliasEvent):
            self._fault(event, key, f"an alias (*{event.anchor}): write the value out")
        elif event.anchor is not None:
            self._fault(event, key, f"an anchor (&{event.anchor}): write the value out where it is used")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._fault(
                event, key, f"a tag ({tag}): a study file holds plain text, numbers, lists and mappings"
            )

    def _mapping(self, key: Key) -> dict[str, object]:
        out: dict[str, object] = {}
        for event in self.events:
            if isinstance(event, MappingEndEvent):
                return out
            name = self._key(event, key)
            here = (*key, name)
            if name in out:
                self._fault(
                    event, here, f"a duplicate key: it stands already in line {self.out.keys[here].line}"
                )
                self._node(next(self.events), (*key, f"{name} (again)"))
                continue
            self.out.keys[here] = _position(event)
            out[name] = self._node(next(self.events), here)
        return out

    def _key(self, event: Any, parent: Key) -> str:
        if isinstance(event, ScalarEvent):
            self._refuse_powers(event, (*parent, str(event.value)))
            return str(event.value)
        self._fault(event, parent, "a key that is no text")
        self._node(event, (*parent, "?"))
        return "?"

    def _sequence(self, key: Key) -> list[object]:
        out: list[object] = []
        for event in self.events:
            if isinstance(event, SequenceEndEvent):
                break
            out.append(self._node(event, (*key, len(out))))
        return out

    def _fault(self, event: Any, key: Key, message: str) -> None:
        self.out.faults.append(Fault(_position(event), key, message))


def _position(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def _scalar(event: Any) -> object:
    text = str(event.value)
    if event.style in ("'", '"', "|", ">") or len(text) > _MAX_NUMBER:
        return text
    return next((read(text) for pattern, read in _PLAIN if pattern.fullmatch(text)), text)
