"""The chain of a number: where it is printed, which file holds it, what it was made from, on which rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from lmmkit.errors import LmmkitError, RunError, did_you_mean
from lmmkit.study.audit.findings import DIFFERS
from lmmkit.study.audit.integrity import Opened, check_integrity, open_run
from lmmkit.study.audit.second_opinion import claimed_estimates
from lmmkit.study.pages.marks import Mark
from lmmkit.study.records.artifacts import read_csv
from lmmkit.study.records.notebooks import Notebook
from lmmkit.study.records.quantities import quantities
from lmmkit.study.report.read_back import marks, printed_text
from lmmkit.study.trace.derivations import Derivation, Origin, effect

MOST = 8  # rows and columns of a matrix that is printed
AGREES = 1e-6
ADJUSTS = "kenward-roger"  # the method whose standard errors are not those of (X'V⁻¹X)⁻¹
WALD = "Wald"  # intervals that are an estimate and a multiple of its standard error
_STEP = "03_fit"


@dataclass(frozen=True)
class Link:
    """One link of a chain: what it is about, and what is known."""

    name: str
    text: str


@dataclass(frozen=True)
class Held:
    """A value and the file of the run that holds it."""

    value: Any
    path: str
    field: str


def why(folder: Path, name: str) -> list[Link]:
    """The chain behind a number of a run.

    Args:
        folder: The run folder.
        name: Such as Days.se, Days.p, Subject.sd.Days, theta.Subject.Days, sigma, deviance, or
            Subject.308.Days for a random effect; a coefficient alone is its estimate.

    Raises:
        RunError: it is no run folder, its fit cannot be read, or there is no such number.
    """
    run = open_run(folder)
    origin = Origin(claimed_estimates(run))
    known = _known(run, origin)
    name = name if name in known else f"{name}.estimate" if f"{name}.estimate" in known else name
    derivation = origin.derivations.get(name)
    if name not in known:
        made = _random_effect(origin, name)
        if made is None:
            hint = did_you_mean(name, list(known)) or f"; there are {', '.join(list(known)[:20])}, ..."
            raise RunError(f"the run has no number {name}{hint}")
        return [*_links(run, name, *made)]
    held = known[name]
    row = _row_of(run, held, name.rpartition(".")[0])
    if row is not None and row.get("method") == ADJUSTS:
        derivation = origin.adjusted.get(name, derivation)
    return [*_links(run, name, held, derivation or _by_row(run, row, name))]


def _known(run: Opened, origin: Origin) -> dict[str, Held]:
    """Every number that can be asked for, by name, with the file that holds it."""
    summary: dict[str, Any] = run.json("summary.json") if run.content("summary.json") else {}
    plain = {key: value for key, value in summary.items() if isinstance(value, int | float)}
    return {
        **{key: Held(made.value, "fit.json", key) for key, made in origin.derivations.items()},
        **{key: Held(value, "summary.json", key) for key, value in plain.items()},
        **{key: Held(found.value, found.path, key) for key, found in quantities(run.folder).items()},
    }


def _random_effect(origin: Origin, name: str) -> tuple[Held, Derivation] | None:
    """The effect that `Subject.308.Days` names; levels and columns may hold dots themselves."""
    for number, term in enumerate(origin.estimates.random):
        for column in term.names:
            inner = name.removeprefix(f"{term.factor}.").removesuffix(f".{column}")
            if name == f"{term.factor}.{inner}.{column}":
                found = effect(origin.estimates, term.factor, inner, column)
                if found is not None:
                    return Held(found.value, f"fit/effects-{number}.parquet", name), found
    return None


def _links(run: Opened, name: str, held: Held, derivation: Derivation | None) -> Iterator[Link]:
    yield Link("number", f"{name} = {held.value!r}")
    yield Link("printed", _printed(run, held))
    yield Link("artefact", _artefact(run, held))
    yield Link("cell", _cell(run, held.path))
    if derivation is not None:
        yield Link("formula", _formula(derivation, held.value))
    yield Link("search", _search(run))
    yield Link("data", _data(run))
    yield Link("rows", _rows(run))


def _printed(run: Opened, held: Held) -> str:
    """Where the report prints it: at its own mark, at another of the same value, else by its digits."""
    content = run.content("report.html")
    if content is None or not isinstance(held.value, int | float):
        return "not in the report"
    page = content.decode("utf-8", errors="replace")
    marked = marks(page)
    if not marked:
        return _searched(printed_text(page), held.value)
    found = next(_marked(marked, held), None)
    if found is None:
        return "not in the report as a number of its own"
    return f"report.html prints {found.text}, marked as {found.place} of {found.file}"


def _marked(marked: list[Mark], held: Held) -> Iterator[Mark]:
    """Marks of the number itself, then those of equal value; a whole number may stand for anything."""
    yield from (mark for mark in marked if (mark.file, mark.place) == (held.path, held.field))
    if isinstance(held.value, float) and not held.value.is_integer():
        yield from (mark for mark in marked if mark.value == repr(held.value))


def _searched(text: str, value: float) -> str:
    """The words around the longest rounding of a value that stands in a text as a number of its own."""
    for digits in range(10, -1, -1):
        for spelled in dict.fromkeys([f"{value:.{digits}f}", f"{value:,.{digits}f}"]):
            found = re.search(rf"(?<![\d.,]){re.escape(spelled)}(?![\d])", text)
            if found and (digits > 0 or value == int(value)):
                around = text[max(0, found.start() - 60) : found.end() + 20]
                return f"report.html prints {spelled}: ... {around} ..."
    return "not in the report as a number of its own"


def _artefact(run: Opened, held: Held) -> str:
    record = next((step for step in run.manifest.steps if held.path in {f.path for f in step.files}), None)
    if record is None:
        return f"{held.path}, which the manifest does not list"
    state = {finding.what: finding for finding in check_integrity(run)}[held.path]
    good = "NOT what the manifest lists" if state.verdict == DIFFERS else "as the manifest lists it"
    return f"{held.path}, field {held.field}, written by {record.step} ({state.found}, {good})"


def _cell(run: Opened, path: str) -> str:
    """The notebook cell that saves the artefact."""
    stem = Path(path).stem
    wanted = "save_fit(" if path.startswith("fit") else f'"{stem}'
    for record in run.manifest.steps:
        book = run.folder / f"{record.step}.ipynb"
        if run.content(book.name) is None or path not in {file.path for file in record.files}:
            continue
        for i, source in enumerate(Notebook(book).code()):
            if "save_" in source and wanted in source.replace("'", '"'):
                return f"{book.name}, code cell {i + 1}:\n{source}"
    return "the run's own record, made before the first step"


def _formula(derivation: Derivation, value: Any) -> str:
    parts = [f"{name} =\n{_drawn(part)}" for name, part in derivation.parts.items()]
    lines = [derivation.formula, *parts]
    if derivation.value is not None and isinstance(value, int | float):
        same = bool(np.isclose(derivation.value, value, rtol=AGREES, atol=1e-9))
        verdict = "agrees" if same else "DOES NOT AGREE"
        lines.append(f"recomputed from data.parquet and fit.json: {derivation.value!r} ({verdict})")
    return "\n".join(lines)


def _drawn(part: pd.DataFrame | float) -> str:
    if not isinstance(part, pd.DataFrame):
        return f"  {part:.10g}"
    if max(part.shape) > MOST:
        return f"  a matrix of {part.shape[0]} x {part.shape[1]}, not printed"
    text = part.to_string(float_format=lambda x: f"{x:.8g}")
    return "\n".join(f"  {line}" for line in text.split("\n"))


def _by_row(run: Opened, row: Mapping[str, Any] | None, name: str) -> Derivation | None:
    """p values and bounds, from their row of the table; none where they were made in another way."""
    column = name.rpartition(".")[2]
    if row is None or not {"estimate", "se"} <= row.keys() or _is_adjusted(row):
        return None
    df = float(row.get("df", np.inf))
    law: Any = t(df) if np.isfinite(df) else norm()
    numbers = {key: float(row[key]) for key in ("estimate", "se", "df", "t") if key in row}
    if column == "p" and "t" in row:
        return Derivation(f"p = 2 P(T > |t|), df by {row.get('method', 'the table')}", numbers, _p(law, row))
    if column in ("low", "high") and row.get("interval", WALD) == WALD:
        level = float(run.settings["inference"]["level"])
        q = float(law.ppf(0.5 + level / 2)) * (1 if column == "high" else -1)
        value = numbers["estimate"] + q * numbers["se"]
        return Derivation(f"{column} = estimate {q:+.6g} se, coverage {level:g}", numbers, value)
    return None


def _is_adjusted(row: Mapping[str, Any]) -> bool:
    """Whether p and bounds hold for a family of comparisons."""
    return isinstance(row.get("adjusted"), str)


def _p(law: Any, row: Mapping[str, Any]) -> float:
    return 2.0 * float(law.sf(abs(float(row["t"]))))


def _row_of(run: Opened, held: Held, label: str) -> dict[str, Any] | None:
    if not held.path.startswith("tables/"):
        return None
    rows: list[dict[Any, Any]] = read_csv(run.folder / held.path).to_dict("records")
    return next((row for row in rows if str(next(iter(row.values()))) == label), None)


def _search(run: Opened) -> str:
    trace: list[dict[str, Any]] = run.json("fit.json").get("trace", [])
    if not trace:
        return "no log of the search"
    last = trace[-1]
    numbers = ", ".join(f"{key} {last[key]}" for key in ("deviance", "gradient", "decrement") if key in last)
    theta = ", ".join(f"{x:.10g}" for x in last.get("theta", ()))
    return (
        f"step {last.get('iteration')} of {len(trace) - 1} ({last.get('step')}): {numbers}; theta ({theta})"
    )


def _data(run: Opened) -> str:
    schema: dict[str, Any] = run.json("data.schema.json")
    return f"{schema.get('source')}, sha256 {schema.get('sha256')}"


def _rows(run: Opened) -> str:
    """How many rows were used, and why the others were not."""
    try:
        rows = read_csv(run.folder / "rows.csv")
        reasons = Counter(str(reason) for reason in rows.loc[rows["status"] == "dropped", "reason"])
    except (LmmkitError, KeyError) as error:
        return f"rows.csv cannot be used: {error}"
    dropped = "; ".join(f"{count} dropped: {reason}" for reason, count in reasons.most_common(5))
    kept = len(rows) - sum(reasons.values())
    return f"{kept:,} of {len(rows):,}{f'; {dropped}' if dropped else ''} (rows.csv lists each)"
