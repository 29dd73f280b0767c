"""The table of a sweep: one row per cell, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lmmkit.model.formula.spelling import same_name
from lmmkit.study.files.study import value_under
from lmmkit.study.records.artifacts import read_json
from lmmkit.study.records.keys import machine, versions
from lmmkit.study.records.quantities import Quantities, quantities
from lmmkit.study.sweeps.cell_workers import CellRun
from lmmkit.study.sweeps.cells import setting_text

#: What stands of a coefficient that is named without a column.
OF_COEFFICIENT = ("estimate", "se", "df", "p", "low", "high")
VERDICTS = ("converged", "singular", "certificate")
NOT_RUN = "not run: an earlier cell had failed"


@dataclass(frozen=True)
class CellResult:
    """A cell with what its run found.

    Attributes:
        run: The cell, and what went wrong.
        found: The run's numbers by name.
        elsewhere: In which way the run was made on another machine than this; empty when it was not.
    """

    run: CellRun
    found: Quantities
    elsewhere: str = ""

    def value(self, name: str) -> Any:
        """A number of the run; None when it has none of that name."""
        return self.found[name].value if name in self.found else None

    def setting(self, name: str) -> Any:
        """The value under a dotted key in the cell's study, whether the cell sets it or not."""
        cell = self.run.cell
        if name in cell.overrides:
            return cell.overrides[name]
        return value_under(cell.plan.study.resolved(), name)


def collect(run: CellRun, reports: Path) -> CellResult:
    """What the run of a cell found.

    Raises:
        RunError: a file of the run is damaged.
    """
    if run.error is not None:
        return CellResult(run, Quantities())
    folder = reports / run.cell.plan.study.name / str(run.key)
    return CellResult(run, quantities(folder), elsewhere(read_json(folder / "provenance.json")))


def elsewhere(provenance: Mapping[str, Any]) -> str:
    """In which way a run's machine is not this one: its numbers then agree within tolerances alone."""
    processor = [provenance["machine"]] if provenance["machine"] != machine() else []
    here, there = versions(), provenance["versions"]
    return "; ".join(
        [*processor, *(f"{name} {there[name]}" for name in there if there[name] != here.get(name))]
    )


def focus_of(results: Sequence[CellResult], summary: Sequence[str], focus: str | None) -> str | None:
    """The coefficient whose curve is drawn.

    The first coefficient that `summary` names, else the study's `report.focus`, else the first one that is
    no intercept.
    """
    known = list(dict.fromkeys(name for result in results for name in result.found.coefficients()))
    asked = [*summary, *(name.rpartition(".")[0] for name in summary), *filter(None, [focus])]
    chosen = [name for name in (same_name(name, known) for name in asked) if name]
    near = [name for name in known if focus and name.startswith(f"{focus}[")]
    return next(iter([*chosen, *near, *(name for name in known if name != "Intercept"), *known]), None)


def columns_of(results: Sequence[CellResult], summary: Sequence[str], focus: str | None) -> list[str]:
    """The quantities of the table: what `summary` names, a coefficient for all that is said of it."""

    def expanded(entry: str) -> Iterator[str]:
        parts = [f"{entry}.{column}" for column in OF_COEFFICIENT]
        yield from [name for name in parts if any(name in result.found for result in results)] or [entry]

    asked = list(summary) or ([focus] if focus else [])
    return list(dict.fromkeys(name for entry in asked for name in expanded(entry)))


def unknown(results: Sequence[CellResult], columns: Sequence[str]) -> list[str]:
    """The quantities that no run has."""
    ran = [result for result in results if result.run.error is None]
    return [name for name in columns if ran and not any(name in result.found for result in ran)]


def table_of(results: Sequence[CellResult], columns: Sequence[str]) -> pd.DataFrame:
    """One row per cell: number, settings, run, quantities, verdicts, machine, error."""
    runs = [result.run for result in results]
    varied = dict.fromkeys(name for run in runs for name in run.cell.overrides)
    data: dict[str, pd.Series[Any]] = {"cell": pd.Series([run.cell.number for run in runs])}
    data |= {name: _uniform([result.setting(name) for result in results]) for name in varied}
    data["run"] = _text([run.key if run.error is None else None for run in runs])
    data |= {name: _uniform([result.value(name) for result in results]) for name in columns}
    data |= {name: _yes_no([result.value(name) for result in results]) for name in VERDICTS}
    data["elsewhere"] = _text([result.elsewhere or None for result in results])
    data["error"] = _text([run.error for run in runs])
    return pd.DataFrame(data)


def _uniform(values: Sequence[Any]) -> pd.Series[Any]:
    """Numbers as numbers where all are, else everything as text."""
    given = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in given):
        return _yes_no(values)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        whole = len(given) == len(values) and all(isinstance(value, int) for value in given)
        return pd.Series(list(values), dtype="int64" if whole else "float64")
    return _text([None if value is None else setting_text(value) for value in values])


def _text(values: Sequence[str | None]) -> pd.Series[Any]:
    return pd.Series(list(values), dtype="object")


def _yes_no(values: Sequence[Any]) -> pd.Series[Any]:
    return pd.Series([value if isinstance(value, bool) else None for value in values], dtype="boolean")
