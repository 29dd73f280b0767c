"""A study file read, overridden, checked and resolved; its settings as arguments of the model functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmmkit.errors import FormulaError, LmmkitError, StudyError, Subject
from lmmkit.model.dialects.study_words import in_study_words
from lmmkit.model.formula.expression import parse_expression, quote
from lmmkit.model.formula.formula import Formula, parse_candidate, parse_formula
from lmmkit.model.formula.residual_formula import check_beside
from lmmkit.study.files.faults import NOWHERE, raise_faults, validate
from lmmkit.study.files.roles import roles
from lmmkit.study.files.schema import Column, Model, Role, Settings
from lmmkit.study.files.yaml12 import Document, Fault, Key, Position, dotted, is_list, is_mapping, read_yaml


@dataclass(frozen=True)
class Study:
    """A study file with all defaults filled in.

    Attributes:
        path: The file.
        settings: What it says, checked.
    """

    path: Path
    settings: Settings

    @property
    def name(self) -> str:
        """The file's name without its ending; run folders are named after it."""
        return self.path.stem

    @property
    def folder(self) -> Path:
        """The folder that `data.source` is relative to."""
        return self.path.parent

    def resolved(self) -> dict[str, Any]:
        """The study as plain data, every default in place."""
        return self.settings.model_dump(mode="json", by_alias=True)


def load_study(path: Path | str, overrides: Mapping[str, object] | None = None) -> Study:
    """The study in a file, with dotted keys replaced by `overrides`.

    Raises:
        StudyError: all faults of the file and of the overrides, each with its line and column.
    """
    path = Path(path)
    document = read_yaml(path)
    settings, faults = resolve(document, path.stem, overrides or {})
    if settings is not None and not faults:
        faults = list(_parts_of_the_model(settings, document, overrides or {}))
    raise_faults(path, faults)
    assert settings is not None  # where there is none, a fault says why
    return Study(path.resolve(), settings)


def effective(path: Path, overrides: Mapping[str, object]) -> dict[str, object]:
    """The overrides that change the study in a file; one that says what the file says is left out.

    Raises:
        StudyError: all faults of the file and of the overrides.
    """
    return changes(load_study(path), load_study(path, overrides), overrides) if overrides else {}


def changes(bare: Study, study: Study, overrides: Mapping[str, object]) -> dict[str, object]:
    """The overrides under which a study differs from the same study without any."""
    before, after = bare.resolved(), study.resolved()
    return {
        name: value
        for name, value in overrides.items()
        if value_under(before, name) != value_under(after, name)
    }


def value_under(node: Any, name: str) -> Any:
    """The value under a dotted key in nested mappings, whose keys may hold dots; None where there is none.

    >>> value_under({"data": {"columns": {"Sepal.Length": {"min": 0}}}}, "data.columns.Sepal.Length.min")
    0
    """
    if not name:
        return node
    keys = [key for key in node if name == key or name.startswith(f"{key}.")] if is_mapping(node) else []
    return next((value_under(node[key], name[len(key) + 1 :]) for key in keys), None)


def resolve(
    document: Document, name: str, overrides: Mapping[str, object]
) -> tuple[Settings | None, list[Fault]]:
    """The settings in a document with dotted keys replaced, and all that is wrong with them.

    Args:
        document: What the study file holds; it is left as it is.
        name: The title of a study that has none.
        overrides: New values by dotted key; their faults have the place `NOWHERE`.

    Raises:
        StudyError: an override goes through what is no mapping.
    """
    document = _overridden(deepcopy(document), overrides)
    settings, faults = validate(document, Settings, "`data:` and `model:`; see `lmmkit new`")
    if settings is None:
        return None, faults
    completed = _completed(settings, name)
    return completed, [*faults, *_given_roles(settings, completed, document)]


def _given_roles(given: Settings, completed: Settings, document: Document) -> Iterator[Fault]:
    """Roles in a file that are not those of its formula; a resolved study has them in it."""
    for name, spec in given.data.columns.items():
        role = completed.data.columns[name].role
        if spec.role is not None and spec.role != role:
            key = ("data", "columns", name, "role")
            message = f"is filled in from the formula ({role or 'none'}); leave it out"
            yield Fault(document.values.get(key, NOWHERE), key, message)


def _parts_of_the_model(
    settings: Settings, document: Document, overrides: Mapping[str, object]
) -> Iterator[Fault]:
    """A model with neither random effects nor a residual structure, or with both."""
    model = settings.model
    formula, residual = parse_formula(model.formula), model.residual_structure
    if not formula.random and settings.random_effects.rule != "fixed":
        return
    try:
        check_beside(formula, residual)
    except FormulaError as error:
        key = ("model", "residual" if residual else "formula")
        place = NOWHERE if dotted(key) in overrides else document.values.get(key, NOWHERE)
        yield Fault(place, key, in_study_words(str(error)))


def _overridden(document: Document, overrides: Mapping[str, object]) -> Document:
    data = document.data
    if not is_mapping(data):
        return document
    for name, value in overrides.items():
        key = _replace(data, name, name, value)
        places = _places_of(value, key) | {
            key[:n]: NOWHERE for n in range(1, len(key)) if key[:n] not in document.keys
        }
        document.keys.update(places)
        document.values.update(places)
    return document


def _replace(node: dict[str, Any], rest: str, name: str, value: object) -> Key:
    """Set a dotted key and return its parts; a part that holds dots is found when it stands in the file."""
    known = [key for key in node if rest == key or rest.startswith(f"{key}.")]
    head = max(known, key=len) if known else rest.split(".")[0]
    tail = rest[len(head) + 1 :]
    if not tail:
        node[head] = value
        return (head,)
    child = node.setdefault(head, {})
    if not is_mapping(child):
        raise StudyError(f"override: {name}: {head} is no mapping in the study file")
    return (head, *_replace(child, tail, name, value))


def _places_of(value: object, key: Key) -> dict[Key, Position]:
    """A place for an overriding value and for all that is in it."""
    places: dict[Key, Position] = {key: NOWHERE}
    items = value.items() if is_mapping(value) else enumerate(value) if is_list(value) else ()
    for part, inner in items:
        places |= _places_of(inner, (*key, part))
    return places


def _completed(settings: Settings, name: str) -> Settings:
    """The title, the model's columns among those of the data, and the role of each."""
    columns = dict(settings.data.columns)
    for column in model_columns(settings):
        if column not in settings.data.derive:
            columns.setdefault(column, Column())
    uses = roles_of(settings)
    columns = {name: spec.model_copy(update={"role": uses.get(name)}) for name, spec in columns.items()}
    data = settings.data.model_copy(update={"columns": columns})
    return settings.model_copy(update={"data": data, "title": settings.title or name})


def roles_of(settings: Settings) -> dict[str, Role]:
    """What the model, its candidates and the data's expressions use each column for."""
    model, data = settings.model, settings.data
    numbers = filter(None, (model.weights, model.offset))
    return roles(formulas(settings), numbers, data.derive.values(), data.exclude, model.residual_structure)


def model_columns(settings: Settings) -> list[str]:
    """Columns that the model and its candidates use, in order of appearance."""
    model = settings.model
    names = [name for formula in formulas(settings) for name in _variables(formula)]
    residual = model.residual_structure
    names += [*(residual.columns() if residual else ()), *filter(None, (model.weights, model.offset))]
    return list(dict.fromkeys(names))


def formulas(settings: Settings) -> list[Formula]:
    """The model's formula, and one for each listed candidate with the candidate's random part in it."""
    base = parse_formula(settings.model.formula)
    listed = settings.random_effects.candidates
    candidates = [] if isinstance(listed, str) else listed
    return [base, *(parse_candidate(text, base) for text in candidates)]


def _variables(formula: Formula) -> Iterator[str]:
    for expression in formula.expressions():
        yield from expression.variables
    for bar in formula.random:
        yield from bar.group.columns()


# Faults that only the data show, with their places in the file.


def raise_placed(study: Study, overrides: Mapping[str, object], errors: Sequence[LmmkitError]) -> None:
    """Raise one error with all that was found about a study, each with its place in the file, or nothing.

    Raises:
        StudyError: there are errors.
    """
    if errors:
        raise_faults(study.path, placed(study.settings, overrides, read_yaml(study.path), errors))


def placed(
    settings: Settings, overrides: Mapping[str, object], document: Document, errors: Sequence[LmmkitError]
) -> list[Fault]:
    """Errors as faults, each with its place in the file."""
    return [_placed(error, settings, overrides, document) for error in errors]


def _placed(
    error: LmmkitError, settings: Settings, overrides: Mapping[str, object], document: Document
) -> Fault:
    key = _key_of(error.about, settings, document)
    message = in_study_words(str(error)).removeprefix(f"{dotted(key)}: ")
    if ".".join(map(str, key)) in overrides:
        return Fault(NOWHERE, key, message)
    place = document.values.get(key, Position(1, 1))
    if key[:2] in _WITH_COLUMNS:
        unknown = _UNKNOWN.search(message)
        place = _place_of(unknown[1] if unknown else str(error.about[-1]), place, document.text)
    return Fault(place, key, message)


#: Keys whose values are formulas or expressions, and how a message names a column that is not there.
_WITH_COLUMNS = {("model", "formula"), ("data", "exclude"), ("data", "derive")}
_UNKNOWN = re.compile(r"no column `(.+?)`(?=[.; ])")


def _place_of(name: str, place: Position, text: str) -> Position:
    """Where a name stands in the value that begins at a place, or the place."""
    lines = text.splitlines(keepends=True)
    begin = sum(map(len, lines[: place.line - 1])) + place.column - 1
    found = re.compile(rf"(?<![\w.`]){re.escape(quote(name))}(?![\w.`]|\s*\()").search(text, begin)
    if found is None:
        return place
    before = text[: found.start()]
    return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _told(about: Subject, settings: Settings, document: Document) -> Subject:
    """What an error is told of: of a column that is not declared, where the model uses it."""
    if about[:2] in document.values and about[:2] != ("data", "columns"):
        return about
    if about[:2] == ("data", "columns") and about[:3] not in document.values:
        model = settings.model
        residual = set(model.residual_structure.columns()) if model.residual_structure else set[str]()
        residual -= {name for formula in formulas(settings) for name in _variables(formula)}
        given = {**dict.fromkeys(residual, "residual"), model.weights: "weights", model.offset: "offset"}
        used = residual | set(_variables(parse_formula(settings.model.formula)))
        for name, text in settings.data.derive.items() if about[2] not in used else ():
            if about[2] in parse_expression(text, "derive").variables:
                return ("data", "derive", name)
        return ("model", given.get(str(about[2]), "formula"))
    return ("model", "formula") if about[:1] == ("model",) else about


def _key_of(about: Subject, settings: Settings, document: Document) -> Key:
    """The key of the file that an error is about."""
    key: Key = ()
    for part in _told(about, settings, document):
        if (*key, part) not in document.values:
            break
        key = (*key, part)
    return key


def without(document: Document, faults: Sequence[Fault]) -> Document | None:
    """A document without the keys that are wrong in themselves, so that the rest can be checked.

    Returns:
        None where the rest says nothing for sure: the keys say which file it is or how it is read.
    """
    data = deepcopy(document.data)
    for fault in faults:
        key = fault.key
        section, part = (*key, "", "")[:2]
        whole = not part and section in ("", "data", "model")
        if whole or (section == "data" and part not in ("columns", "exclude")):
            return None
        if key == ("model", "formula"):
            _replace_formula(data)
        else:
            _remove(data, key[: 3 if part == "columns" else 2])
    return replace(document, data=data, faults=[])


def _remove(node: object, key: Key) -> None:
    for part in key[:-1]:
        node = node.get(str(part)) if is_mapping(node) else None
    if is_mapping(node):
        node.pop(str(key[-1]), None)


def _replace_formula(data: Any) -> None:
    """A formula that is no formula tells no roles: only columns that declare their type can be checked."""
    columns = data["data"].get("columns", {})
    typed = {name: spec for name, spec in columns.items() if is_mapping(spec) and spec.get("type")}
    numbers = [name for name, spec in typed.items() if spec["type"] == "number"]
    data["data"]["columns"] = typed
    if numbers:
        data["model"] = {"formula": f"{quote(numbers[0])} ~ 1"}
        data.pop("random_effects", None)


# The settings as arguments of the model functions.


def design_options(model: Model) -> dict[str, Any]:
    """Returns the arguments of `build_design` that a study's model sets, but for the formula and the data."""
    return {
        "weights": model.weights,
        "offset": model.offset,
        "contrasts": dict(model.contrasts) or None,
        "residual": model.residual,
    }


def fit_options(model: Model) -> dict[str, Any]:
    """Returns the arguments of `lmm` that a study's model sets, but for the formula and the data."""
    return {"reml": model.method == "REML", "algorithm": model.algorithm, **design_options(model)}
