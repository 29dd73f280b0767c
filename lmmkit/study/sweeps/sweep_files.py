"""What a sweep leaves: the table, the curve, how far the cells agree, and the page that shows them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.escape import image_address
from lmmkit.plots.effects import specifications
from lmmkit.plots.style import svg_bytes
from lmmkit.study.pages import templates
from lmmkit.study.records.artifacts import csv_bytes, json_bytes
from lmmkit.study.records.step_store import Store
from lmmkit.study.sweeps.cell_workers import CellRun
from lmmkit.study.sweeps.cells import SweepPlan, setting_text
from lmmkit.study.sweeps.estimands import Followed, InCell, followed, in_cell
from lmmkit.study.sweeps.results import CellResult, collect, columns_of, focus_of, table_of, unknown
from lmmkit.study.sweeps.specification_curve import (
    JointTest,
    NullOptions,
    agreement,
    curve_table,
    draw_all,
    joint_tests,
    of_coefficient,
)

LONGEST = 1_000  # rows of the table on the page; results.csv has all
DIGITS = 6


def sweep_files(
    sweep: SweepPlan, runs: Sequence[CellRun], reports: Path, threads: int
) -> tuple[dict[str, bytes], list[str]]:
    """Everything that a sweep leaves in its folder, and what the terminal is told.

    Raises:
        RunError: a file of a run is damaged.
    """
    results = [collect(run, reports) for run in runs]
    summary, settings = sweep.file.settings.summary, sweep.base.study.settings
    focus, alpha = focus_of(results, summary, settings.report.focus), 1.0 - settings.inference.level
    columns = columns_of(results, summary, focus)
    table, buffer = table_of(results, columns), io.BytesIO()
    table.to_parquet(buffer, engine="pyarrow", index=False)
    files = {"results.csv": csv_bytes(table), "results.parquet": buffer.getvalue()}
    counts, tests, replicates = None, list[JointTest](), 0
    told = _told(sweep, results, reports, focus)
    if told.name:
        curve = curve_table(results, told.numbers, alpha)
        counts = {"quantity": told.name, "alpha": alpha, **agreement(curve)}
        by_cell = {result.run.cell.number: result for result in results}
        ordered = [by_cell[number] for number in curve["cell"]]
        picture = svg_bytes(specifications(curve, _varied(ordered), label=_label(told)))
        files |= {"curve.csv": csv_bytes(curve), "agreement.json": json_bytes(counts), "curve.svg": picture}
        if sweep.replicates and curve["estimate"].notna().any():
            weights = {r.run.cell.number: L for r, L in zip(results, told.weights, strict=True)}
            folders = [_folder(r, reports) for r in ordered]
            drawn = list(zip(folders, (weights[number] for number in curve["cell"]), strict=True))
            null = NullOptions(told.name, sweep.replicates, settings.seed)
            tests, replicates = _joint_tests(curve, drawn, null, Store.of(reports), threads, alpha)
            rows = [test._asdict() for test in tests]
            files["inference.json"] = json_bytes({"replicates": replicates, "tests": rows})
    page = sweep_page(sweep, results, table, counts, files.get("curve.svg"), tests, replicates)
    files["sweep.html"] = page.encode()
    return files, [f"no run has {name}: its column is empty" for name in unknown(results, columns)]


def _joint_tests(
    curve: pd.DataFrame,
    drawn: Sequence[tuple[Path, Floats | str]],
    null: NullOptions,
    store: Store,
    threads: int,
    alpha: float,
) -> tuple[list[JointTest], int]:
    """The joint tests, over the cells that have an estimate."""
    known = curve["estimate"].notna().to_numpy()
    runs = [run for run, has in zip(drawn, known, strict=True) if has]
    draws = list(draw_all(runs, null, store, threads))
    estimate, se = curve.loc[known, ["estimate", "se"]].to_numpy(dtype="float64").T
    found = np.array([draw.estimate for draw in draws]), np.array([draw.se for draw in draws])
    return joint_tests((estimate, se), found, alpha)


def _varied(results: Sequence[CellResult]) -> pd.DataFrame:
    """What each cell chose, of the settings that differ between cells."""
    names = dict.fromkeys(name for result in results for name in result.run.cell.overrides)
    table = pd.DataFrame({name: [setting_text(result.setting(name)) for result in results] for name in names})
    return table.loc[:, table.nunique() > 1]


@dataclass(frozen=True)
class _Told:
    """What the curve is about.

    Attributes:
        name: The estimand in words; nothing without one.
        numbers: What each cell finds of it.
        weights: Its weights on the coefficients of each cell, or the name of one.
        unit: Its unit.
    """

    name: str
    numbers: list[dict[str, float]]
    weights: list[Any]
    unit: str


def _told(sweep: SweepPlan, results: Sequence[CellResult], reports: Path, focus: str | None) -> _Told:
    """The estimand in each cell's fit; where runs keep no fits, a coefficient of their tables."""
    folders = [None if result.run.error else _folder(result, reports) for result in results]
    if not any(folder and (folder / "fit").is_dir() for folder in folders):
        numbers = of_coefficient(results, focus) if focus else []
        return _Told(focus or "", numbers, [focus] * len(results), _unit(sweep, None))
    of = followed(sweep.base, sweep.file.settings.summary)
    found = [
        in_cell(of, folder, df=result.setting("inference.df"), level=result.setting("inference.level"))
        if folder and (folder / "fit").is_dir()
        else InCell({}, None)
        for result, folder in zip(results, folders, strict=True)
    ]
    return _Told(of.name, [each.numbers for each in found], [each.L for each in found], _unit(sweep, of))


def _folder(result: CellResult, reports: Path) -> Path:
    return reports / result.run.cell.plan.study.name / str(result.run.key)


def _unit(sweep: SweepPlan, of: Followed | None) -> str:
    """The unit of the estimand: that of a slope is one per unit of its column."""
    model, columns = sweep.base.study.settings.model, sweep.base.study.settings.data.columns

    def of_column(name: str) -> str:
        return (columns[name].unit or "") if name in columns else ""

    below = [of_column(name) or f"unit of {name}" for name in (of.along if of else ())]
    return " per ".join([of_column(model.response), *below]).strip()


def _label(told: _Told) -> str:
    """The axis of the curve."""
    name = told.name.removeprefix("the ")
    return f"{name[:1].upper()}{name[1:]} ({told.unit})" if told.unit else f"{name[:1].upper()}{name[1:]}"


def sweep_page(
    sweep: SweepPlan,
    results: Sequence[CellResult],
    table: pd.DataFrame,
    counts: Mapping[str, Any] | None,
    picture: bytes | None,
    tests: Sequence[JointTest] = (),
    replicates: int = 0,
) -> str:
    """The page of a sweep.

    Args:
        sweep: The sweep.
        results: Its cells.
        table: The table of results.
        counts: The agreement of the cells, with `quantity` and `alpha`; None without an estimate.
        picture: The curve as SVG; None without an estimate.
        tests: The joint tests of the curve.
        replicates: How many replicates they use.
    """
    return templates.render(
        "sweep.html",
        sweep=sweep,
        cells=len(results),
        failed=[result.run for result in results if result.run.error],
        elsewhere=sum(bool(result.elsewhere) for result in results),
        head=list(table.columns),
        numeric=[pd.api.types.is_numeric_dtype(table[name]) for name in table],
        rows=[[cell_text(cell) for cell in row] for row in table.head(LONGEST).itertuples(index=False)],
        left=max(len(table) - LONGEST, 0),
        image=image_address(picture) if picture else None,
        counts=counts,
        tests=tests,
        replicates=replicates,
        text=cell_text,
        share=share,
    )


def cell_text(value: Any) -> str:
    """A value as the table shows it.

    >>> cell_text(251.40510484848), cell_text(None), cell_text(True)
    ('251.405', '', 'yes')
    """
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def share(part: int, whole: int) -> str:
    """A count among all, with its share.

    >>> share(3, 4)
    '3 of 4 (75 %)'
    """
    return f"{part} of {whole} ({100 * part / whole:.0f} %)"
