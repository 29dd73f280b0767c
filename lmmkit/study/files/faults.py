"""A file checked against its schema: every fault in words, with its place in the file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lmmkit.errors import StudyError
from lmmkit.study.files.yaml12 import Document, Fault, Key, Position, dotted, is_mapping

Schema = TypeVar("Schema", bound=BaseModel)

#: The place of what stands not in the file but in an override.
NOWHERE = Position(0, 0)

_LONGEST = 60  # letters of a value that a message repeats
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "finite_number": "a finite number",
}


def validate(document: Document, schema: type[Schema], keys: str) -> tuple[Schema | None, list[Fault]]:
    """Returns the settings in a document, None where it does not fit the schema, and all its faults.

    Args:
        document: What a file holds.
        schema: What it must fit.
        keys: Keys to name to whom has written none.
    """
    faults = list(document.faults)
    if not is_mapping(document.data):
        return None, [*faults, Fault(Position(1, 1), (), f"expected keys such as {keys}")]
    try:
        return schema.model_validate(document.data), faults
    except ValidationError as error:
        return None, [*faults, *_schema_faults(error, document, schema)]


def _schema_faults(error: ValidationError, document: Document, schema: type[BaseModel]) -> Iterable[Fault]:
    """Each fault of a validation with its place, one per key."""
    found: dict[Key, Fault] = {}
    for item in error.errors(include_url=False):
        key = _key(item, document)
        found.setdefault(key, Fault(_place(item, key, document), key, _message(item, key, schema)))
    return found.values()


def raise_faults(path: Path, faults: Iterable[Fault]) -> None:
    """Raise one error with all faults, or nothing when there are none.

    Raises:
        StudyError: there are faults.
    """
    lines = [_line(path, fault) for fault in sorted(faults, key=lambda fault: fault.place)]
    if lines:
        raise StudyError(*lines)


def _line(path: Path, fault: Fault) -> str:
    at = "override" if fault.place == NOWHERE else f"{path.name}:{fault.place.line}:{fault.place.column}"
    return ": ".join(filter(None, (at, dotted(fault.key), fault.message)))


def _key(item: Any, document: Document) -> Key:
    """The key as the file has it: pydantic's marks of union branches and dict keys removed."""
    loc: Key = tuple(item["loc"])
    key: Key = ()
    for part in loc:
        if (*key, part) in document.values:
            key = (*key, part)
    return (*key, loc[-1]) if item["type"] == "missing" else key


def _place(item: Any, key: Key, document: Document) -> Position:
    if item["type"] == "missing":
        return document.keys.get(key[:-1], Position(1, 1))
    places = document.keys if item["type"] == "extra_forbidden" else document.values
    return places.get(key, Position(1, 1))


def _message(item: Any, key: Key, schema: type[BaseModel]) -> str:
    kind: str = item["type"]
    context: dict[str, Any] = item.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(str(key[-1]), _siblings(schema, key[:-1]))
    if kind == "missing":
        return "is missing, and there is no default for it"
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", str(context["expected"])) or [str(context["expected"]).lower()]
        return f"{_shown(item['input'])} is not one of {', '.join(words)}{_near(item['input'], words)}"
    if kind == "value_error":
        return str(context["error"])
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {_shown(item['input'])}"
    if kind == "string_pattern_mismatch":
        return f"{_shown(item['input'])} does not have the form {context['pattern']}"
    message: str = item["msg"]
    return f"{message[0].lower()}{message[1:]}, found {_shown(item['input'])}"


def _unknown(name: str, known: list[str]) -> str:
    near = _near(name, known)
    return f"unknown key{near}" if near else f"unknown key; known here: {', '.join(known)}"


def _near(word: object, words: list[str]) -> str:
    lowered = {known.lower(): known for known in words}
    near = difflib.get_close_matches(str(word).lower(), list(lowered), 1, 0.6)
    return f" - did you mean {lowered[near[0]]}?" if near else ""


def _siblings(schema: type[BaseModel], parent: Key) -> list[str]:
    """Names of the fields of the section under a key."""
    section: Any = schema
    for part in parent:
        field = section.model_fields.get(str(part))
        # A column may have the name of a field that is no section.
        section = (_section_of(field.annotation) if field else None) or section
    return [field.alias or name for name, field in section.model_fields.items()]


def _section_of(annotation: Any) -> Any:
    parts = getattr(annotation, "__args__", (annotation,))
    return next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    text = repr(value) if isinstance(value, str) else str(value)
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return f"text {text}" if isinstance(value, str) else text
