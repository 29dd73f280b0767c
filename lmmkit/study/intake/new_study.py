"""`lmmkit new`: a study file for one's own data, with what was decided about every column and why."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

import pyarrow.compute as pc

from lmmkit.errors import DataError, StudyError, did_you_mean, unknown_column
from lmmkit.escape import terminal
from lmmkit.model.formula.formula import parse_formula
from lmmkit.model.formula.residual_formula import IID, check_beside, parse_residual
from lmmkit.model.table.labels import label_of
from lmmkit.model.text_table import TextTable
from lmmkit.study.data.raw_table import RawTable
from lmmkit.study.data.reshape import reshaped
from lmmkit.study.data.sources import read_raw, sha256_of
from lmmkit.study.data.suspects import suspected_totals
from lmmkit.study.data.typed_columns import typed
from lmmkit.study.files.faults import raise_faults, validate
from lmmkit.study.files.schema import Column, Data, Model, Reshape, Settings
from lmmkit.study.files.study import model_columns, resolve, roles_of
from lmmkit.study.files.yaml12 import dotted, parse_yaml
from lmmkit.study.intake.propose import Proposal, propose
from lmmkit.study.intake.sniff import sniff
from lmmkit.study.intake.wide import proposed_reshape
from lmmkit.study.records.artifacts import write_bytes

_PLAIN = re.compile(r"(?!(?i:true|false|null|nan|inf)$)[A-Za-z_][A-Za-z0-9_./]*")
_SHOWN_ROWS = 5
_SHOWN_COLUMNS = 12
_SHOWN_WIDTH = 20
_TEXT = """\
# A study file: lmmkit check {name}; lmmkit run {name}
schema: 1
title: {title}
data:
  source: {source}
  # The data as they are now; take the line away to let them change.
  sha256: {sha256}
{reading}\
  missing: drop                    # drop | error; dropped rows are listed with the reason
  exclude: []                      # such as ["{response} > 1000"]; each drop is listed under its expression
  derive: {{}}                       # such as {{log_{plain}: log({response})}}
  columns:                         # unit, min, max of numbers; levels, order, reference of factors; label
{columns}
model:
  formula: {formula}
{residual}  method: REML                     # REML | ML
random_effects:
  rule: fixed                      # fixed | maximal | parsimonious | backward | forward | best
  # candidates: [(1 | g), (x || g), (x | g)]    # what best chooses among, and the others show
  # criterion: lrt                 # lrt | aic | bic | caic
  # alpha: 0.2                     # level of the tests of lrt
inference: {{ci: auto, level: 0.95, df: auto}}
seed: 20240101
"""
#: What the keys of `data` that say how a file is read are about.
_ABOUT = {
    "sep": "what separates cells",
    "decimal": "the decimal mark",
    "thousands": "the mark between thousands",
    "encoding": "how letters are written",
    "header": "the line that holds the columns' names",
    "sheet": "the sheet of the workbook",
    "comment": "lines that begin so are passed over",
    "multiline": "cells in quotes may span lines",
    "na": "what means a missing value, beside an empty cell, NA and NaN",
    "reshape": "a row for each measurement",
}


_SEPARATORS = {"tab": "\t", "\\t": "\t", "blank": " ", "comma": ",", "semicolon": ";", "bar": "|"}


@dataclass(frozen=True)
class NewStudy:
    """A study file that was written.

    Attributes:
        path: The file.
        said: What was decided about the file, in sentences.
        rows: The first rows as they are read.
        columns: What was decided about each column, and why.
        asked: What its owner must decide, in sentences.
    """

    path: Path
    said: Sequence[str]
    rows: str
    columns: Sequence[str]
    asked: Sequence[str]

    def __str__(self) -> str:
        """Everything in lines, for a terminal."""
        parts = [
            _listed("How the file is read:", self.said),
            f"The first rows as they are read:\n\n{self.rows}",
        ]
        parts += [_listed("What the columns are taken for:", self.columns)]
        parts += [_listed("To be decided:", self.asked)] if self.asked else []
        next_step = terminal(f"{self.path} written. Read it, then: lmmkit check {quote(str(self.path))}")
        return "\n\n".join([*filter(None, parts), next_step])


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(f"  - {terminal(line)}" for line in lines)]) if lines else ""


@dataclass
class _Draft:
    """A study file in the making."""

    data: Path
    model: Model
    keys: dict[str, Any]
    said: list[str]
    asked: list[str]
    raw: RawTable
    rows: int
    settings: Settings
    proposals: list[Proposal] = field(default_factory=list[Proposal])


def reading_keys(*, sep: str | None = None, na: Sequence[str] = (), **options: Any) -> dict[str, Any]:
    """The keys of a study's `data` that options of the command line say; None where one is not given.

    >>> reading_keys(sep="semicolon", decimal=",", header=None, na=["-999", "n/a"])
    {'sep': ';', 'decimal': ',', 'na': [-999, 'n/a']}

    Raises:
        StudyError: An option that `data` does not allow.
    """
    codes = [code if isinstance(code, int | float) and code == code else text
             for text, code in ((text, parse_yaml(text, "--na").data) for text in na)]  # fmt: skip
    given = {"sep": _SEPARATORS.get(sep or "", sep), **options, "na": codes or None}
    keys = {key: value for key, value in given.items() if value is not None}
    text = "".join(f"{key}: {_flow(value)}\n" for key, value in {"source": "x", **keys}.items())
    _, faults = validate(parse_yaml(text), Data, "`source:`")
    if faults:
        raise StudyError(*(f"--{dotted(fault.key)}: {fault.message}" for fault in faults))
    return keys


def write_study(
    data: Path, formula: str | None, out: Path | None, given: Mapping[str, Any], residual: str | None = None
) -> NewStudy:
    """Write a commented study file for a data file and a formula; nothing that is there is overwritten.

    Args:
        data: The file.
        formula: The model; None only shows what the file holds, and asks for it.
        out: Where to write; beside the data when None.
        given: Keys of `data` that the user has decided, such as {"sep": ";"}.
        residual: The residual structure, such as `car1(day | id)`; independent residuals when left out.

    Raises:
        StudyError: There is such a file already, or the formula is missing or asks for columns that are not.
        DataError: The data cannot be read.
        FormulaError: The formula or the residual structure cannot be read, or there is no random effect in
            the one and no structure in the other.
    """
    if not data.is_file():
        found = (
            "is a folder" if data.is_dir() else "is no regular file" if data.exists() else "does not exist"
        )
        raise DataError(f"{data} cannot be read: it {found}; expected a data file")
    path = out or data.with_name(f"{data.name.split('.')[0]}.yaml")
    if path.exists():
        raise StudyError(f"{path} exists already; name another file with --out, or remove it")
    if not data.resolve().is_relative_to(path.resolve().parent):
        raise StudyError(f"{data} lies outside {path.resolve().parent}; write the study file beside its data")
    if formula is not None:
        formula = unicodedata.normalize("NFC", formula)  # as the names of columns are read
        residual = None if residual is None else unicodedata.normalize("NFC", residual)
        check_beside(parse_formula(formula), parse_residual(residual))
    digest = sha256_of(data)
    layout = sniff(data, given)
    raw = read_raw(data, _data(data, layout.keys))
    if formula is None:
        rows = _first_rows(raw, {}, _data(data, layout.keys))
        raise StudyError(
            f"--formula is missing: say which model, such as 'y ~ x + (x | g)'. {data.name} holds "
            f"{raw.rows:,} rows of {', '.join(raw.columns)}:",
            "",
            *rows.split("\n"),
        )
    model = Model(formula=formula, residual=residual or IID)
    draft = _drafted(data, model, dict(layout.keys), [*layout.said], [*layout.asked], raw)
    text = _text(draft, path, digest)
    settings, faults = resolve(parse_yaml(text, path.name), path.stem, {})
    raise_faults(path, faults)
    assert settings is not None
    rows = _first_rows(draft.raw, settings.data.columns, settings.data)
    write_bytes(path, text.encode())
    return NewStudy(path, draft.said, rows, [made.line() for made in draft.proposals], draft.asked)


def _data(data: Path, keys: Mapping[str, Any]) -> Data:
    return Data.model_validate({"source": data.name, **keys})


def _drafted(
    data: Path, model: Model, keys: dict[str, Any], said: list[str], asked: list[str], raw: RawTable
) -> _Draft:
    settings, rows = Settings(data=Data(source=data.name), model=model), raw.rows
    wanted = model_columns(settings)
    spec, sentences = proposed_reshape(list(raw.columns), wanted, settings.model.response_column)
    if spec is None:
        asked += sentences
    else:
        said += sentences
        keys["reshape"] = spec
        raw, _ = reshaped(raw, Reshape.model_validate(spec))
    asked += parse_formula(model.formula).notices
    draft = _Draft(data, model, keys, [*said, *raw.notices], asked, raw, rows, settings)
    _propose(draft, wanted)
    return draft


def _propose(draft: _Draft, wanted: Sequence[str]) -> None:
    """Propose a type for each column of the model."""
    known_names = list(draft.raw.columns)
    missing = [name for name in wanted if name not in known_names]
    if missing:
        how = f" ({'; '.join(draft.said)})" if draft.said else ""
        raise StudyError(
            f"{draft.data.name}{how}: {unknown_column(missing[0], known_names)}",
            *[f"There is no column `{name}`{did_you_mean(name, known_names) or '.'}" for name in missing[1:]],
        )
    uses, known = (
        roles_of(draft.settings),
        {key: item for key, item in draft.keys.items() if key != "reshape"},
    )
    data, spec = _data(draft.data, known), draft.keys.get("reshape", {})
    draft.proposals = [
        propose(draft.raw.columns[name], uses[name], data, numbered=name == spec.get("index"))
        for name in wanted
    ]
    times = draft.raw.rows // (draft.rows or 1)
    draft.asked += [sentence for _, sentence in suspected_totals(draft.raw, times)]
    codes = list(dict.fromkeys(code for made in draft.proposals for code in made.codes))
    if codes:
        draft.keys["na"] = [*draft.keys.get("na", []), *codes]
    for made in draft.proposals:
        draft.asked += made.asked
        cells = draft.raw.columns[made.name].cells
        labels = [code for code in codes if made.spec.get("type") == "factor" and _holds(cells, code)]
        if labels:
            draft.asked.append(
                f"{', '.join(map(repr, labels))}, taken for missing values of numbers, stand in {made.name} "
                "too, whose rows are then dropped: is this meant?"
            )


def _holds(cells: Any, text: str) -> bool:
    try:
        return bool(pc.any(pc.equal(pc.utf8_trim_whitespace(cells), text)).as_py())
    except (NotImplementedError, ValueError, TypeError):
        return False


# The text.


def _text(draft: _Draft, path: Path, digest: str) -> str:
    response, residual = parse_formula(draft.model.formula).response, draft.model.residual_structure
    return _TEXT.format(
        name=terminal(quote(path.name)),  # in a comment, which ends with its line
        title=_scalar(f"{response.text} in {draft.data.name}"),
        source=_scalar(draft.data.resolve().relative_to(path.resolve().parent).as_posix()),
        sha256=digest,
        reading="".join(map(_reading_line, _ABOUT, map(draft.keys.get, _ABOUT))),
        columns="\n".join(map(_column_line, draft.proposals)),
        formula=_scalar(draft.model.formula.strip()),
        residual="" if residual is None else f"  residual: {_scalar(str(residual))}\n",
        response=terminal(response).replace('"', "'").replace("\\", ""),
        plain="".join(letter for letter in response.text if letter.isalnum() or letter == "_"),
    )


def _reading_line(key: str, value: Any) -> str:
    if value is None:
        return ""
    written = f"  {key}: {_flow(value)}"
    return f"{written:<34} # {_ABOUT[key]}\n"


def _column_line(made: Proposal) -> str:
    line = f"    {_scalar(made.name)}: {_flow(made.spec)}"
    return f"{line:<34} # {terminal(made.comment)}" if made.comment else line


def _flow(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(str(key))}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value) if isinstance(value, str) else json.dumps(value)


def _scalar(text: str) -> str:
    """Text as a YAML scalar that cannot be anything else."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _first_rows(raw: RawTable, columns: Mapping[str, Column], data: Data) -> str:
    """The first rows, the columns of the model as they are typed, the others as they are in the file."""
    order = [
        *(name for name in columns if name in raw.columns),
        *(name for name in raw.columns if name not in columns),
    ]
    shown = order[:_SHOWN_COLUMNS]
    body = [_first_cells(raw, name, columns, data) for name in shown]
    more = [["..."] * min(raw.rows, _SHOWN_ROWS)] if len(order) > len(shown) else []
    head = [*map(_cut, shown), *(["..."] if more else [])]
    return TextTable("", [tuple(head), *zip(*body, *more, strict=True)]).text().strip("\n")


def _first_cells(raw: RawTable, name: str, columns: Mapping[str, Column], data: Data) -> list[str]:
    column, cells = raw.columns[name], list[Any]()
    try:
        if name in columns:
            cells = typed(column, columns[name], data).values[:_SHOWN_ROWS].tolist()
    except DataError:
        cells = []
    cells = cells or column.cells[:_SHOWN_ROWS].to_pylist()
    return [_cut("" if cell is None or cell != cell else label_of(cell)) for cell in cells]


def _cut(text: str) -> str:
    plain = terminal(" ".join(text.split()))
    return plain if len(plain) <= _SHOWN_WIDTH else f"{plain[: _SHOWN_WIDTH - 3]}..."
