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
from lmmkit.model.formula.spelling import same_name
from lmmkit.model.posterior.weighted import sorted_draws
from lmmkit.study.audit.integrity import RunFolder, check_file, open_run
from lmmkit.study.audit.second_opinion import claimed_estimates
from lmmkit.study.audit.verdicts import DIFFERS
from lmmkit.study.pages.marks import Mark
from lmmkit.study.pages.read_page import marks, printed_text
from lmmkit.study.records.artifacts import read_csv
from lmmkit.study.records.notebooks import Notebook
from lmmkit.study.records.quantities import Quantity
from lmmkit.study.records.values import RECOMPUTED, agree, same
from lmmkit.study.trace.derivations import ADJUSTED, Derivation, Origin, effect

MOST = 8  # rows and columns of a matrix that is printed
OF_DRAWS = {  # numbers of a posterior, of draws x with weights w
    "mean": "sum w x",
    "sd": "√ sum w (x - mean)²",
    "lower": "the weighted quantile below which the lower tail lies",
    "median": "the weighted median",
    "upper": "the weighted quantile above which the upper tail lies",
}
WALD = "Wald"  # intervals that are an estimate and a multiple of its standard error


@dataclass(frozen=True)
class ChainLink:
    """One link of a chain: what it is about, and what is known."""

    name: str
    text: str


def why(folder: Path, name: str) -> list[ChainLink]:
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
    derived = {key: Quantity(made.value, "fit.json") for key, made in origin.derivations.items()}
    known = derived | run.named_values()
    name = same_name(name, known) or same_name(f"{name}.estimate", known) or name
    derivation = origin.derivations.get(name)
    if name in known:
        held = known[name]
        row = _row_of(run, held, name.rpartition(".")[0])
        method = str((row or {}).get("method")).partition(":")[0]
        if method in ADJUSTED:
            derivation = origin.adjusted(method).get(name, derivation)
        level = _level(run.settings)
        drawn = _from_draws(run, held, name, level)
        derivation = drawn or derivation or derive_from_row(row or {}, name.rpartition(".")[2], level)
    else:
        made = _random_effect(origin, name)
        if made is None:
            hint = did_you_mean(name, list(known)) or f"; there are {', '.join(list(known)[:20])}, ..."
            raise RunError(f"the run has no number {name}{hint}")
        held, derivation = made
    return [ChainLink(*link) for link in _links(run, name, held, derivation)]


def _level(settings: dict[str, Any]) -> float:
    try:
        return float(settings["inference"]["level"])
    except (LookupError, TypeError, ValueError):
        raise RunError("study.json does not say the coverage of the intervals (inference.level)") from None


def _random_effect(origin: Origin, name: str) -> tuple[Quantity, Derivation] | None:
    """The effect that `Subject.308.Days` names; levels and columns may hold dots themselves."""
    for number, term in enumerate(origin.estimates.random):
        for column in term.names:
            level = name.removeprefix(f"{term.factor}.").removesuffix(f".{column}")
            if name == f"{term.factor}.{level}.{column}":
                found = effect(origin, term.factor, level, column)
                if found is not None:
                    return Quantity(found.value, f"fit/effects-{number}.parquet"), found
    return None


def _links(
    run: RunFolder, name: str, held: Quantity, derivation: Derivation | None
) -> Iterator[tuple[str, str]]:
    yield "number", f"{name} = {held.value!r}"
    yield "printed", _printed(run, name, held)
    yield "artefact", _artefact(run, name, held)
    yield "cell", _cell(run, held.path)
    if derivation is not None:
        yield "formula", formula_text(derivation, held.value)
    yield "search", search_text(run.json("fit.json").get("trace", []))
    schema: dict[str, Any] = run.json("data.schema.json")
    yield "data", f"{schema.get('source')}, sha256 {schema.get('sha256')}"
    yield "rows", _rows(run)


def _printed(run: RunFolder, name: str, held: Quantity) -> str:
    content = run.content("report.html")
    if content is None or not isinstance(held.value, int | float):
        return "not in the report"
    page = content.decode("utf-8", errors="replace")
    marked = marks(page)
    return marked_text(marked, name, held) if marked else searched_text(printed_text(page), held.value)


def marked_text(marked: list[Mark], name: str, held: Quantity) -> str:
    """Where a report prints a number: at its own mark, else at another of the same value.

    Whole numbers are looked for at their own marks alone, because they may stand for anything.
    """
    own = [mark for mark in marked if (mark.file, mark.place) == (held.path, name)]
    if isinstance(held.value, float) and not held.value.is_integer():
        own += [mark for mark in marked if mark.value == repr(held.value)]
    if not own:
        return "not in the report as a number of its own"
    return f"report.html prints {own[0].text}, marked as {own[0].place} of {own[0].file}"


def searched_text(text: str, value: float) -> str:
    """The words around the longest rounding of a value that stands in a text as a number of its own."""
    for digits in range(10, -1, -1):
        for spelled in dict.fromkeys([f"{value:.{digits}f}", f"{value:,.{digits}f}"]):
            found = re.search(rf"(?<![\d.,]){re.escape(spelled)}(?![\d])", text)
            if found and (digits > 0 or value == int(value)):
                around = text[max(0, found.start() - 60) : found.end() + 20]
                return f"report.html prints {spelled}: ... {around} ..."
    return "not in the report as a number of its own"


def _artefact(run: RunFolder, name: str, held: Quantity) -> str:
    record = next((step for step in run.manifest.steps if held.path in {f.path for f in step.files}), None)
    if record is None:
        return f"{held.path}, which the manifest does not list"
    state = check_file(run, run.manifest.files()[held.path])
    good = "NOT what the manifest lists" if state.verdict == DIFFERS else "as the manifest lists it"
    return f"{held.path}, field {name}, written by {record.step} ({state.found}, {good})"


def _cell(run: RunFolder, path: str) -> str:
    """The notebook cell that saves the artefact."""
    wanted = re.compile(r"save_fit\(" if path.startswith("fit") else rf'"{re.escape(Path(path).stem)}["./]')
    for record in run.manifest.steps:
        book = run.folder / f"{record.step}.ipynb"
        content = run.content(book.name)
        if content is None or path not in {file.path for file in record.files}:
            continue
        for i, source in enumerate(Notebook(book, content).code()):
            if "save_" in source and wanted.search(source.replace("'", '"')):
                return f"{book.name}, code cell {i + 1}:\n{source}"
    return "the run's own record, made before the first step"


def formula_text(derivation: Derivation, value: Any) -> str:
    """A formula with its parts, and whether what it gives agrees with the stored value."""
    lines = [derivation.formula]
    for name, part in derivation.parts.items():
        if not isinstance(part, pd.DataFrame):
            text = f"{part:.10g}"
        elif max(part.shape) > MOST:
            text = f"a matrix of {part.shape[0]} x {part.shape[1]}, not printed"
        else:
            text = part.to_string(float_format=lambda x: f"{x:.8g}").replace("\n", "\n  ")
        lines.append(f"{name} =\n  {text}")
    if derivation.value is not None and isinstance(value, int | float):
        agrees = same(derivation.value, value) or agree(derivation.value, value, RECOMPUTED)
        verdict = "agrees" if agrees else "DOES NOT AGREE"
        lines.append(f"recomputed from {derivation.made_from}: {derivation.value!r} ({verdict})")
    return "\n".join(lines)


def derive_from_row(row: Mapping[str, Any], column: str, level: float) -> Derivation | None:
    """A p value or a bound from the other numbers in its row of a table.

    Args:
        row: The row; empty where the number stands in no table.
        column: The number's column.
        level: Coverage of the intervals.

    Returns:
        None where it was made in another way, or holds for a family of comparisons.
    """
    if not {"estimate", "se"} <= row.keys() or isinstance(row.get("adjusted"), str):
        return None
    df = float(row.get("df", np.inf))
    law: Any = t(df) if np.isfinite(df) else norm()
    numbers = {key: float(row[key]) for key in ("estimate", "se", "df", "t") if key in row}
    if column == "p" and "t" in row:
        p = 2.0 * float(law.sf(abs(numbers["t"])))
        return Derivation(f"p = 2 P(T > |t|), df by {row.get('method', 'the table')}", numbers, p)
    if column in ("low", "high") and row.get("interval", WALD) == WALD:
        q = float(law.ppf(0.5 + level / 2)) * (1 if column == "high" else -1)
        value = numbers["estimate"] + q * numbers["se"]
        return Derivation(f"{column} = estimate {q:+.6g} se, coverage {level:g}", numbers, value)
    return None


def _from_draws(run: RunFolder, held: Quantity, name: str, level: float) -> Derivation | None:
    """A number of the table of posteriors from the draws that the run keeps."""
    parameter, _, column = name.rpartition(".")
    if held.path != "tables/posterior.csv" or column not in OF_DRAWS:
        return None
    frame = pd.read_parquet(run.file("posterior/draws.parquet"))
    if parameter not in frame:
        return None
    one = sorted_draws(frame[parameter].to_numpy(), np.exp(frame["log_weight"].to_numpy()))
    tail = (1.0 - level) / 2.0
    values = {
        "mean": one.mean, "sd": one.sd, "lower": one.quantile(tail), "median": one.quantile(0.5),
        "upper": one.quantile(1.0 - tail),
    }  # fmt: skip
    parts = {
        "draws": float(len(frame)),
        "effective": one.effective,
        "Monte Carlo error of the mean": one.mcse,
    }
    formula = f"{column}: {OF_DRAWS[column]}, of draws x with weights w"
    return Derivation(formula, parts, values[column], "posterior/draws.parquet")


def _row_of(run: RunFolder, held: Quantity, label: str) -> dict[str, Any] | None:
    """The row of a table that a label begins; None for a number that stands in no table."""
    if not held.path.startswith("tables/"):
        return None
    rows: list[dict[Any, Any]] = read_csv(run.file(held.path)).to_dict("records")
    return next((row for row in rows if str(next(iter(row.values()))) == label), None)


def search_text(trace: list[dict[str, Any]]) -> str:
    """The last step of a search."""
    if not trace:
        return "no log of the search"
    last = trace[-1]
    numbers = ", ".join(f"{key} {last[key]}" for key in ("deviance", "gradient", "decrement") if key in last)
    places = {key: ", ".join(f"{x:.10g}" for x in last.get(key, ())) for key in ("theta", "rho")}
    stood = "".join(f"; {key} ({place})" for key, place in places.items() if place)
    head = f"step {last.get('iteration')} of {len(trace) - 1} ({last.get('step')})"
    return f"{head}: {numbers}{stood}"


def _rows(run: RunFolder) -> str:
    """How many rows were used, and why the others were not."""
    try:
        rows = read_csv(run.file("rows.csv"))
        reasons = Counter(str(reason) for reason in rows.loc[rows["status"] == "dropped", "reason"])
    except (LmmkitError, KeyError) as error:
        return f"rows.csv cannot be used: {error}"
    dropped = "; ".join(f"{count} dropped: {reason}" for reason, count in reasons.most_common(5))
    kept = len(rows) - sum(reasons.values())
    return f"{kept:,} of {len(rows):,}{f'; {dropped}' if dropped else ''} (rows.csv lists each)"
