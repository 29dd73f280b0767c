"""A study file written for one's own data, `lmmkit new`, and looked over without a run, `lmmkit check`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from shlex import quote

from lmmkit.errors import DataError, StudyError, unknown_column
from lmmkit.escape import terminal
from lmmkit.model.design.design import build_design
from lmmkit.model.formula.formula import parse_formula
from lmmkit.study.data.load_table import load_table
from lmmkit.study.data.raw_table import RawTable
from lmmkit.study.data.sources import read_raw, sha256_of
from lmmkit.study.data.typed_columns import typed
from lmmkit.study.files.schema import Column, Data, Model, RandomEffects, Role, Settings
from lmmkit.study.files.study import design_options, load_study, model_columns, roles_of
from lmmkit.study.records.artifacts import write_bytes
from lmmkit.study.runs.plan import Plan

_PLAIN = re.compile(r"(?!(?i:true|false|null|nan|inf)$)[A-Za-z_][A-Za-z0-9_./]*")
_TEXT = """\
# A study file: lmmkit check {name}; lmmkit run {name}
schema: 1
title: {title}
data:
  source: {source}
  # The data as they are now; take the line away to let them change.
  sha256: {sha256}
  missing: drop                    # drop | error; dropped rows are listed with the reason
  exclude: []                      # such as ["{response} > 1000"]; each drop is listed under its expression
  derive: {{}}                       # such as {{log_{plain}: log({response})}}
  columns:                         # unit, min, max of numbers; levels, reference of factors
{columns}
model:
  formula: {formula}
  method: REML                     # REML | ML
random_effects:
  rule: fixed                      # fixed: as the formula says; best: the best of the listed candidates
  # candidates: [(1 | g), (x || g), (x | g)]
  # criterion: aic                 # aic | bic
inference: {{ci: auto, level: 0.95, df: auto}}
seed: 20240101
"""


def write_study(data: Path, formula: str, out: Path | None = None) -> Path:
    """Write a commented study file for a data file and a formula, check it, and return its path.

    Raises:
        StudyError: there is such a file already, or it cannot read the data.
        DataError: the data cannot be read, or lack a column.
        FormulaError: the formula cannot be read.
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
    write_bytes(path, _text(data, formula, path).encode())
    load_study(path)
    return path


def _text(data: Path, formula: str, path: Path) -> str:
    response = parse_formula(formula).response
    settings = Settings(
        data=Data(source=data.name), model=Model(formula=formula), random_effects=RandomEffects()
    )
    digest = sha256_of(data)
    uses = roles_of(settings)
    raw = read_raw(data, settings.data)
    return _TEXT.format(
        name=quote(path.name),
        title=_scalar(f"{response.text} in {data.name}"),
        source=_scalar(data.resolve().relative_to(path.resolve().parent).as_posix()),
        sha256=digest,
        columns="\n".join(_column_line(raw, name, uses[name], data) for name in model_columns(settings)),
        formula=_scalar(" ".join(formula.split())),
        response=response,
        plain="".join(letter for letter in response.text if letter.isalnum() or letter == "_"),
    )


def _column_line(raw: RawTable, name: str, role: Role, data: Path) -> str:
    if name not in raw.columns:
        raise StudyError(f"{data.name}: {unknown_column(name, list(raw.columns))}")
    column = typed(raw.columns[name], Column(role=role), Data(source=data.name))
    kind = "number" if column.type == "yes/no" else column.type
    unit = f", unit: {column.unit}" if column.unit else ""
    return f"    {_scalar(name)}: {{type: {kind}{unit}}}"


def _scalar(text: str) -> str:
    """Text as a YAML scalar that cannot be anything else."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def check_study(plan: Plan) -> str:
    """What a study's run would start from: rows, design, key.

    Raises:
        DataError: the data are not as declared, or cannot be used as the model asks.
        FormulaError: a formula or an expression asks for what the data do not hold.
        FitError: a formula asks for what cannot be estimated.
    """
    settings = plan.study.settings
    table = load_table(settings.data, plan.base)
    design = build_design(settings.model.formula, table.frame, **design_options(settings.model))
    kept = f"{len(table.frame):,} of {len(table.rows):,} rows kept"
    head = terminal(f"{plan.study.path.name} is good. {table.source}: {kept}. Key of its run: {plan.key}")
    return f"{head}\n\n{design}"
