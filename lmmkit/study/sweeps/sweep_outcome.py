"""What a sweep leaves: the table, the curve, how far the cells agree, the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lmmkit.plots.effects import specifications
from lmmkit.plots.style import svg_bytes
from lmmkit.study.records.artifacts import csv_bytes, json_bytes
from lmmkit.study.records.step_store import Store
from lmmkit.study.sweeps.cells import shown
from lmmkit.study.sweeps.page import render
from lmmkit.study.sweeps.results import (
    Result,
    collect,
    columns_of,
    focus_of,
    setting_of,
    table_of,
    unknown,
)
from lmmkit.study.sweeps.specification_curve import JointTest, agreement, curve_table, joint_tests
from lmmkit.study.sweeps.sweep import Sweep
from lmmkit.study.sweeps.sweep_null import Null, draw_all
from lmmkit.study.sweeps.workers import Made


class Outcome(NamedTuple):
    """The files of a sweep, and what the terminal is told."""

    files: dict[str, bytes]
    warnings: list[str]


def outcome(sweep: Sweep, made: Sequence[Made], reports: Path, workers: int) -> Outcome:
    """Everything that a sweep leaves in its folder.

    Raises:
        RunError: a file of a run is damaged.
    """
    results = [collect(item, reports) for item in made]
    settings = sweep.base.study.settings
    focus = focus_of(results, sweep.file.settings.summary, settings.report.focus)
    columns = columns_of(results, sweep.file.settings.summary, focus)
    table = table_of(results, columns)
    files = {"results.csv": csv_bytes(table), "results.parquet": _parquet(table)}
    drawn = _curve(sweep, results, focus, reports, workers) if focus else {}
    page = {"table": table, "focus": focus, "alpha": 1.0 - settings.inference.level, **drawn}
    files |= _curve_files(drawn)
    files["sweep.html"] = render(sweep, results, page).encode()
    return Outcome(files, [f"no run has {name}: its column is empty" for name in unknown(results, columns)])


def _curve(
    sweep: Sweep, results: Sequence[Result], focus: str, reports: Path, workers: int
) -> dict[str, Any]:
    alpha = 1.0 - sweep.base.study.settings.inference.level
    curve = curve_table(results, focus, alpha)
    by_cell = {result.made.cell.number: result for result in results}
    in_order = [by_cell[cell] for cell in curve["cell"]]
    drawn = specifications(curve, _choices(in_order), label=_label(sweep, focus))
    tests, replicates = (
        _tests(sweep, in_order, curve, focus, reports, workers) if sweep.replicates else ([], 0)
    )
    return {
        "curve": curve,
        "agreement": {"coefficient": focus, "alpha": alpha, **agreement(curve)},
        "picture": svg_bytes(drawn),
        "tests": tests,
        "replicates": replicates,
    }


def _curve_files(drawn: dict[str, Any]) -> dict[str, bytes]:
    if not drawn:
        return {}
    files = {
        "curve.csv": csv_bytes(drawn["curve"]),
        "agreement.json": json_bytes(drawn["agreement"]),
        "curve.svg": drawn["picture"],
    }
    tests: list[JointTest] = drawn["tests"]
    if tests:
        rows = [test._asdict() for test in tests]
        files["inference.json"] = json_bytes({"replicates": drawn["replicates"], "tests": rows})
    return files


def _tests(
    sweep: Sweep, results: Sequence[Result], curve: pd.DataFrame, focus: str, reports: Path, workers: int
) -> tuple[list[JointTest], int]:
    """The joint tests, over the cells that have the coefficient."""
    known = curve["estimate"].notna().to_numpy()
    if not known.any():
        return [], 0
    runs = [result.made for result, has in zip(results, known, strict=True) if has]
    folders = [reports / made.cell.plan.study.name / str(made.key) for made in runs]
    settings = sweep.base.study.settings
    null = Null(focus, sweep.replicates, settings.seed)
    draws = list(draw_all(folders, null, Store.of(reports), workers))
    observed = curve.loc[known, ["estimate", "se"]].to_numpy(dtype="float64").T
    drawn = np.array([draw.estimate for draw in draws]), np.array([draw.se for draw in draws])
    return joint_tests((observed[0], observed[1]), drawn, 1.0 - settings.inference.level)


def _choices(results: Sequence[Result]) -> pd.DataFrame:
    """What each cell chose, of the settings that differ between cells."""
    varied = dict.fromkeys(name for result in results for name in result.made.cell.overrides)
    table = pd.DataFrame({name: [shown(setting_of(result, name)) for result in results] for name in varied})
    return table.loc[:, table.nunique() > 1]


def _label(sweep: Sweep, focus: str) -> str:
    model, data = sweep.base.study.settings.model, sweep.base.study.settings.data
    column = data.columns.get(model.response)
    unit = f" ({column.unit})" if column and column.unit else ""
    return f"{focus}{unit}"


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()
