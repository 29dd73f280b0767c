"""What a sweep says and decides, case by case: no process is started."""

from __future__ import annotations

import io
import json
import sys
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from threading import Event

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from lmmkit.errors import DataError, RunError
from lmmkit.model.resampling.null_draws import NullDraws
from lmmkit.study.cluster.project_archive import archive_project, take_files, write_files
from lmmkit.study.records.keys import machine, versions
from lmmkit.study.records.log import Log
from lmmkit.study.records.manifest import Manifest, Record, load_manifest, record_files
from lmmkit.study.records.quantities import Quantities, Quantity
from lmmkit.study.sweeps import cell_workers, sweep_files
from lmmkit.study.sweeps import make_sweep as making
from lmmkit.study.sweeps.cell_workers import (
    TRIES,
    CellOptions,
    CellRun,
    LocalWorkers,
    WorkerPool,
    Workers,
)
from lmmkit.study.sweeps.cells import Cell, listing, plan_sweep
from lmmkit.study.sweeps.make_sweep import SweepWatch, make_cells, make_sweep
from lmmkit.study.sweeps.results import (
    CellResult,
    _uniform,
    columns_of,
    elsewhere,
    focus_of,
    table_of,
    unknown,
)
from lmmkit.study.sweeps.specification_curve import agreement, curve_table, joint_tests, of_coefficient
from lmmkit.study.sweeps.sweep_files import _varied, cell_text, sweep_page


class Numbers(Quantities):
    """The numbers of a run, given instead of read."""

    def __init__(self, values):
        super().__init__()
        self._found = {name: Quantity(value, "tables/a.csv") for name, value in values.items()}

    def coefficients(self):
        return [name.removesuffix(".estimate") for name in self._found if name.endswith(".estimate")]


def run_of(number, error=None, key="k", overrides=None):
    return CellRun(Cell(number, overrides or {}, None, error), None if error else key, error)


def result(number, estimate=None, p=0.5, error=None, **verdicts):
    numbers = {} if estimate is None else {"x.estimate": estimate, "x.se": 1.0, "x.p": p}
    return CellResult(run_of(number, error), Numbers(numbers | verdicts))


RESULTS = [
    result(1, 2.0, p=0.01),
    result(2, -1.0, p=0.05, singular=True),
    result(3, 0.5, p=0.049999, converged=False, singular=True),
    result(4, None, error="no optimum"),
    result(5),
    result(6, -3.0, p=0.001, converged=True, singular=False),
    result(7, 0.5, p=0.9),
]


def curve_of(results):
    return curve_table(results, of_coefficient(results, "x"), 0.05)


def test_the_curve_is_in_the_order_of_the_estimates_then_of_the_cells_and_ends_with_those_without():
    curve = curve_table(RESULTS, of_coefficient(RESULTS, "x"), 0.05)
    assert curve["cell"].tolist() == [6, 2, 3, 7, 1, 4, 5]
    assert list(curve.columns) == ["cell", "estimate", "se", "low", "high", "p", "significant", "state"]
    bent = [{}] * 6 + [{"estimate": 1.0, "p": 0.5, "F": 2.0, "F_p": 0.25}]
    bends = curve_table(RESULTS, bent, 0.05)
    assert list(bends.columns) == [*curve.columns[:6], "F", "F_p", "significant", "state"]
    assert (bends["F_p"].iloc[0], bends["F"].isna().sum()) == (0.25, 6)
    assert curve["state"].tolist() == [
        "estimated", "singular", "not converged", "estimated", "estimated", "failed", "no estimate",
    ]  # fmt: skip
    assert curve["significant"].tolist()[:5] == [True, False, True, False, True]
    assert curve["significant"].isna().tolist() == [False] * 5 + [True] * 2
    assert curve["low"].isna().all()


def test_every_cell_counts_in_the_agreement():
    counts = agreement(curve_table(RESULTS, of_coefficient(RESULTS, "x"), 0.05))
    assert counts == {
        "cells": 7, "estimated": 5, "singular": 1, "not converged": 1, "no estimate": 1, "failed": 1,
        "sign": "positive", "same sign": 3, "same sign, significant": 2, "opposite sign, significant": 1,
        "share of same sign": 3 / 7, "share of same sign, significant": 2 / 7,
        "median": 0.5, "lowest": -3.0, "highest": 2.0,
    }  # fmt: skip
    negative = agreement(curve_of([result(1, -2.0, p=0.01), result(2, -1.0), result(3, 1.0)]))
    assert (negative["sign"], negative["same sign"], negative["same sign, significant"]) == ("negative", 2, 1)
    assert negative["opposite sign, significant"] == 0
    none = agreement(curve_of([result(1), result(2, error="no")]))
    assert (none["estimated"], none["median"], none["lowest"], none["highest"]) == (0, None, None, None)
    assert none["share of same sign"] == 0.0


@pytest.mark.parametrize(
    ("signs", "sign"), [((1, -1), "positive"), ((-1, -1, 1), "negative"), ((1,), "positive")]
)
def test_the_sign_of_most_cells_is_told_and_a_tie_is_positive(signs, sign):
    results = [result(i, float(x)) for i, x in enumerate(signs, 1)]
    assert agreement(curve_table(results, of_coefficient(results, "x"), 0.05))["sign"] == sign


def test_the_three_joint_tests_have_their_statistics_and_p_values():
    estimate, se = np.array([1.0, 2.0, 6.0]), np.array([1.0, 1.0, 2.0])
    null = np.array([[0.5, -1.0, -2.0, 1.0], [0.1, -2.0, 0.1, 3.0], [0.2, -9.0, 9.0, -2.0]])
    tests, used = joint_tests((estimate, se), (null, np.ones_like(null)), 0.05)
    median, significant, stouffer = tests
    assert used == 4
    assert (median.observed, significant.observed) == (2.0, 2.0)
    assert stouffer.observed == pytest.approx((1 + 2 + 3) / np.sqrt(3))
    # |median| of the replicates: 0.2, 2, 0.1, 1: one ties with the data, which is as extreme.
    assert median.p == pytest.approx(2 / 5)
    # Significant in the dominant direction: 0, 2, 1 (+9), 1 (+3).
    assert significant.p == pytest.approx(2 / 5)
    # |sum of z| / sqrt 3: 0.8, 12, 7.1, 2 against 6.
    assert stouffer.p == pytest.approx(3 / 5)


def test_the_level_decides_what_is_significant_in_a_replicate():
    one = np.array([[stats.norm.ppf(0.96)]])
    for alpha, count in ((0.1, 1.0), (0.05, 0.0)):
        (_, significant, _), _ = joint_tests((one[0], np.ones(1)), (one, np.ones((1, 1))), alpha)
        assert significant.observed == count


@pytest.mark.parametrize(
    ("summary", "focus", "expected"),
    [
        ([], None, "x"), ([], "z", "z"), ([], "f", "f[B]"), ([], "none", "x"), (["z"], "x", "z"),
        (["z.se"], None, "z"), (["sigma"], "z", "z"), (["none", "z", "x"], None, "z"), (["z"], "f", "z"),
    ],
)  # fmt: skip
def test_the_coefficient_of_the_curve_is_chosen(summary, focus, expected):
    names = ["Intercept", "x", "z", "f[B]"]
    results = [CellResult(run_of(1), Numbers({f"{name}.estimate": 1.0 for name in names}))]
    assert focus_of(results, summary, focus) == expected


def test_without_another_coefficient_the_curve_is_that_of_the_intercept():
    results = [CellResult(run_of(1), Numbers({"Intercept.estimate": 1.0}))]
    assert focus_of(results, [], None) == "Intercept"
    assert focus_of([CellResult(run_of(1), Numbers({}))], [], None) is None


def test_the_table_has_a_column_for_what_is_asked_and_names_what_no_run_has():
    results = [
        CellResult(run_of(1, overrides={"seed": 1}), Numbers({"x.estimate": 1.5, "x.p": 0.1, "sigma": 2.0,
                                                              "converged": True}), "numpy 1.0"),
        CellResult(run_of(2, error="no optimum", overrides={"seed": 2}), Numbers({})),
    ]  # fmt: skip
    assert columns_of(results, ["x", "sigma", "none"], "x") == ["x.estimate", "x.p", "sigma", "none"]
    assert columns_of(results, [], "x") == ["x.estimate", "x.p"]
    assert columns_of(results, [], None) == []
    assert unknown(results, ["x.p", "none"]) == ["none"]
    assert unknown(results[1:], ["none"]) == []
    table = table_of(results, ["x.estimate", "none"])
    assert list(table.columns) == [
        "cell", "seed", "run", "x.estimate", "none", "converged", "singular", "certificate",
        "elsewhere", "error",
    ]  # fmt: skip
    assert table["run"].tolist() == ["k", None]
    assert table["seed"].tolist() == [1, 2]
    assert (table["elsewhere"].tolist(), table["error"].tolist()) == (
        ["numpy 1.0", None],
        [None, "no optimum"],
    )
    assert table["converged"].tolist()[0] is True
    assert table["x.estimate"].isna().tolist() == [False, True]


def test_a_coefficient_stands_for_all_that_is_said_of_it():
    columns = ["estimate", "se", "df", "p", "low", "high"]
    numbers = Numbers({f"x.{name}": 1.0 for name in [*reversed(columns), "t", "vif"]})
    assert columns_of([CellResult(run_of(1), numbers)], ["x"], None) == [f"x.{name}" for name in columns]


@pytest.mark.parametrize(("values", "kind", "held"), [
    ([1, 2], "int64", [1, 2]), ([1, 2.5], "float64", [1.0, 2.5]), ([True, False], "boolean", [True, False]),
    ([True, 1], "object", ["true", "1"]), ([1.5, "a"], "object", ["1.5", "a"]),
    ([[1], "a"], "object", ["[1]", "a"]),
])  # fmt: skip
def test_a_column_of_numbers_is_one_of_numbers_and_of_other_values_of_text(values, kind, held):
    assert (_uniform(values).dtype.name, _uniform(values).tolist()) == (kind, held)
    gaps = _uniform([*values, None])
    assert (gaps.dtype.name, gaps.isna().tolist()) == (
        "float64" if kind == "int64" else kind,
        [False, False, True],
    )


def test_what_cells_chose_stands_below_the_curve_where_it_differs_between_them():
    chosen = [
        {"seed": 1, "title": "t", "data.exclude": []},
        {"seed": 1, "title": "u", "data.exclude": ["x > 1"]},
    ]
    results = [CellResult(run_of(i, overrides=own), Numbers({})) for i, own in enumerate(chosen, 1)]
    assert _varied(results).to_dict("list") == {"title": ["t", "u"], "data.exclude": ["[]", '["x > 1"]']}
    assert _varied(results[:1]).empty


def test_a_sweep_leaves_its_table_its_curve_and_how_far_the_cells_agree(project, monkeypatch):
    text = "grid: {seed: [1, 2, 3]}\nsummary: [x, none, sigma]\n"
    study = project / "params/small.yaml"
    study.write_text(study.read_text() + "inference: {level: 0.9}\n")
    sweep = sweep_of(project, text)
    numbers = [
        {"x.estimate": estimate, "x.se": 1.0, "x.p": p}
        for estimate, p in ((2.0, 0.09), (-1.0, 0.11), (3.0, 0.01))
    ]
    monkeypatch.setattr(
        sweep_files, "collect", lambda run, _: CellResult(run, Numbers(numbers[run.cell.number - 1]))
    )
    runs = [CellRun(cell, cell.key, None) for cell in sweep.cells]
    files, told = sweep_files.sweep_files(sweep, runs, project / "reports", 1)
    assert told == [f"no run has {name}: its column is empty" for name in ("none", "sigma")]
    assert list(files) == [
        "results.csv", "results.parquet", "curve.csv", "agreement.json", "curve.svg", "sweep.html",
    ]  # fmt: skip
    counts = json.loads(files["agreement.json"])
    assert (counts["quantity"], counts["alpha"]) == ("x", pytest.approx(0.1))
    assert (counts["sign"], counts["same sign"], counts["same sign, significant"]) == ("positive", 2, 2)
    curve = pd.read_csv(io.BytesIO(files["curve.csv"]))
    assert (curve["cell"].tolist(), curve["significant"].tolist()) == ([2, 1, 3], [False, True, True])
    assert b"X (ms)" in files["curve.svg"]


def test_the_joint_tests_are_over_the_cells_that_have_an_estimate(monkeypatch):
    curve, asked = curve_of(RESULTS), []

    def drawn(runs, options, store, threads):
        asked.extend(runs)
        for run in runs:
            yield NullDraws(np.array([0.5, -9.0]) * (run == "a6"), np.ones(2))

    monkeypatch.setattr(sweep_files, "draw_all", drawn)
    runs = [f"a{cell}" for cell in curve["cell"]]
    tests, used = sweep_files._joint_tests(curve, runs, None, None, 1, 0.05)
    assert asked == ["a6", "a2", "a3", "a7", "a1"]
    assert (used, tests[0].observed) == (2, 0.5)
    assert tests[0].p == pytest.approx(1 / 3)  # the median of the replicates is zero in both


def test_a_cell_of_the_page_is_six_digits_a_yes_or_no_or_text():
    shown = [(1234567.0, "1.23457e+06"), (0.1, "0.1"), (12, "12"), (True, "yes"), (False, "no"), ("a", "a"),
             (None, ""), (pd.NA, ""), (float("nan"), ""), (float("inf"), "inf")]  # fmt: skip
    assert [cell_text(value) for value, _ in shown] == [text for _, text in shown]


class Cancelled(Workers):
    """Workers whose cluster has cancelled the second of two cells."""

    def submit(self, cells):
        futures = [Future(), Future()]
        futures[1].cancel()
        return dict(zip(futures, cells, strict=True))

    def completed(self):
        return list(self.tasks)

    def collect(self, future, cell):
        return CellRun(cell, None, "cancelled" if future.cancelled() else None)

    def close(self):
        pass


@pytest.mark.parametrize(("stop", "told"), [(False, [(1, None), (2, "cancelled")]), (True, [])])
def test_a_cell_that_was_cancelled_is_told_of_unless_we_have_stopped(project, stop, told):
    workers = Cancelled(CellOptions(project))
    made = workers.make([run_of(1).cell, run_of(2).cell])
    if stop:
        workers.stopped = True
        found = [run for run in made if run.error]
    else:
        found = list(made)
    assert [(run.cell.number, run.error) for run in found] == told


def test_a_run_of_another_machine_or_version_says_so():
    here = {"machine": machine(), "versions": versions()}
    assert elsewhere(here) == ""
    other = {"machine": "another", "versions": {**versions(), "numpy": "1.0"}}
    assert elsewhere(other) == "another; numpy 1.0"


def page(project, results, counts=None, tests=(), table=None):
    sweep = plan_sweep(project / "params/small.sweep.yaml")
    shown = pd.DataFrame({"cell": [1]}) if table is None else table
    text = sweep_page(sweep, results, shown, counts, b"<svg/>" if counts else None, tests, 20)
    return " ".join(text.split())


def test_the_page_says_how_far_the_cells_agree(project):
    counts = {
        "quantity": "x",
        "alpha": 0.05,
        **agreement(curve_table(RESULTS, of_coefficient(RESULTS, "x"), 0.05)),
    }
    tests, _ = joint_tests((np.ones(1), np.ones(1)), (np.array([[0.5, 2.0]]), np.ones((1, 2))), 0.05)
    said = page(project, [*RESULTS, replace(result(8), elsewhere="numpy 1.0")], counts, tests)
    for words in [
        "x is positive in 3 of 7 (43 %) cells, and positive and significant at 0.05 in 2 of 7 (29 %).",
        "The median estimate is 0.5, from -3 to 2.",
        "Significant with the opposite sign: 1. Singular: 1. Not converged: 1.",
        "Without an estimate of it: 1. Failed or not run: 1. Every cell counts in the shares.",
        "<strong>1 of 8 cells failed or were not run.</strong>",
        "1 cells were made on another type of machine or with other versions",
        "2 cells without an estimate stand at the right end.",
        "in order from -3 to 2;",
        "20 replicates under the null",
        '<th scope="row">median estimate</th><td class="number">1</td><td class="number">0.6667</td>',
        "<li>Cell 4, as in the base study: no optimum</li>",
    ]:  # fmt: skip
        assert words in said, words


def test_the_page_says_when_nothing_was_estimated_and_nothing_when_nothing_failed(project):
    said = page(project, [result(1)])
    assert "No cell has an estimate." in said
    for absent in ("failed or were not run", "another type of machine", "Inference over the curve", "<img"):
        assert absent not in said
    long = page(project, [result(1)], table=pd.DataFrame({"cell": range(1003)}))
    assert "3 further rows stand in results.csv." in long
    assert long.count('<th scope="row" class="number">') == 1000


def sweep_of(project, text="grid: {seed: [1, 2, 3]}\n"):
    path = project / "params/s.sweep.yaml"
    path.write_text(f"base: small.yaml\n{text}")
    return plan_sweep(path)


class Script:
    """Workers that do as they are told: the error of each cell, by number."""

    def __init__(self, errors=None):
        self.errors, self.asked, self.stopped = errors or {}, [], False

    def make(self, cells):
        self.asked = [cell.number for cell in cells]
        for cell in cells:
            if not self.stopped:
                yield CellRun(cell, cell.key, self.errors.get(cell.number))

    def stop(self):
        self.stopped = True


def made(sweep, project, workers, again=()):
    (project / "reports").mkdir(exist_ok=True)
    watch = SweepWatch(len(sweep.cells), Log(project / "reports"), Console(quiet=True))
    return make_cells(sweep, workers, CellOptions(project / "reports", again), watch), watch


def finish_run(cell, reports, status="complete"):
    """A run folder as a finished run of a cell leaves it, its notebooks' files left out."""
    folder, records = cell.plan.folder(reports), []
    folder.mkdir(parents=True)
    for notebook in cell.plan.notebooks:
        key = cell.plan.key_of(notebook, records)
        (folder / f"{notebook.name}.txt").write_text("x")
        files = record_files(folder, Manifest("small", cell.key, steps=tuple(records)))
        records.append(Record(notebook.name, key, files))
    Manifest("small", cell.key, status, steps=tuple(records)).save(folder)
    return folder


def test_a_cell_is_made_unless_its_run_is_there_complete_and_untouched(project):
    sweep, reports = sweep_of(project), project / "reports"
    for cell, status in zip(sweep.cells, ("complete", "complete", "interrupted"), strict=True):
        folder = finish_run(cell, reports, status)
        if cell.number == 2:
            (folder / "03_fit.txt").write_text("y")
    states = [line.split()[2:4] for line in listing(sweep, reports)]
    assert states[:3] == [["there", "seed=1"], ["to", "do"], ["to", "do"]]
    workers = Script({3: "no optimum"})
    runs, watch = made(sweep, project, workers)
    assert workers.asked == [2, 3]
    assert [(run.cell.number, run.key, run.error) for run in runs] == [
        (1, sweep.cells[0].key, None), (2, sweep.cells[1].key, None), (3, sweep.cells[2].key, "no optimum"),
    ]  # fmt: skip
    assert watch.failed == 1
    log = [json.loads(line) for line in (reports / "log.jsonl").read_text().splitlines()]
    assert [(line["event"], line["cell"]) for line in log] == [("cell made", 2), ("cell failed", 3)]
    again = Script()
    made(sweep, project, again, again=("03_fit",))
    assert again.asked == [1, 2, 3]


@pytest.mark.parametrize(("on_error", "errors"), [
    ("continue", [None, "no", None]), ("stop", [None, "no", "not run: an earlier cell had failed"]),
])  # fmt: skip
def test_after_a_failure_the_others_are_made_or_not_begun(project, on_error, errors):
    runs, _ = made(
        sweep_of(project, f"grid: {{seed: [1, 2, 3]}}\non_error: {on_error}\n"), project, Script({2: "no"})
    )
    assert [run.error for run in runs] == errors


def test_a_cell_that_cannot_run_is_a_failed_cell_and_is_not_handed_out(project):
    sweep = sweep_of(project, "grid: {data.source: [data/small.csv, none.csv]}\n")
    workers = Script()
    runs, watch = made(sweep, project, workers)
    assert (workers.asked, watch.failed) == ([1], 1)
    assert "none.csv does not exist" in runs[1].error
    assert [line.split()[1:4] for line in listing(sweep, project / "reports")][1] == ["-", "cannot", "run"]


@pytest.mark.parametrize(
    ("errors", "fault", "status", "failed"),
    [
        ({}, None, "complete", 0),
        ({2: "no", 3: "no"}, None, "failed cells", 2),
        ({}, KeyboardInterrupt(), "interrupted", None),
        ({}, RunError("gone"), "failed", None),
    ],
)
def test_the_folder_of_a_sweep_says_how_it_ended(project, monkeypatch, errors, fault, status, failed):
    sweep, reports = sweep_of(project), project / "reports"

    @contextmanager
    def start():
        yield Script(errors)

    def files(*_):
        assert load_manifest(sweep.folder(reports)).status == "running"
        if fault:
            raise fault
        return {"results.csv": b"x"}, ["no run has y: its column is empty"]

    monkeypatch.setattr(making, "sweep_files", files)
    folder = sweep.folder(reports)
    folder.mkdir(parents=True)
    (folder / "stray.csv").write_text("old")
    if fault:
        with pytest.raises(type(fault)):
            make_sweep(sweep, start, CellOptions(reports), 1)
    else:
        assert make_sweep(sweep, start, CellOptions(reports), 1) == (folder, failed)
        assert (reports / "s.sweep/latest").read_text().strip() == sweep.key
        assert set(load_manifest(folder).files()) == {"results.csv", "sweep.json"}
    manifest = load_manifest(folder)
    assert (manifest.status, manifest.key, (folder / "stray.csv").exists()) == (
        status,
        sweep.key,
        bool(fault),
    )
    last = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    assert last["event"] == ("complete" if not fault else status)


ANSWERS = """
import pathlib, sys
sys.stdin.readline()
for line in sys.stdin:
    mark = pathlib.Path("tries")
    tries = int(mark.read_text()) if mark.exists() else 0
    mark.write_text(str(tries + 1))
    if tries < DEATHS:
        sys.exit(1)
    print('{"key": "k", "error": null}', flush=True)
"""


@pytest.mark.parametrize(
    ("deaths", "key", "tries"), [(0, "k", 1), (TRIES - 1, "k", TRIES), (TRIES, None, TRIES)]
)
def test_a_cell_whose_worker_dies_is_given_to_another_three_times_at_most(
    tmp_path, monkeypatch, deaths, key, tries
):
    monkeypatch.setattr(cell_workers, "KERNEL_ENDS", 0.0)
    monkeypatch.setattr(
        cell_workers, "COMMAND", [sys.executable, "-c", ANSWERS.replace("DEATHS", str(deaths))]
    )
    pool = WorkerPool({}, tmp_path)
    answer = pool.ask({"study": "s"})
    pool.close()
    assert answer["key"] == key
    assert (answer["error"] is None) == (key is not None)
    if key is None:
        assert answer["error"] == "the process that ran it died 3 times, perhaps for want of memory"
    assert (int((tmp_path / "tries").read_text()), len(pool.started)) == (tries, tries)


def test_a_project_travels_with_its_data_inside_it(project, tmp_path_factory):
    plan = plan_sweep(project / "params/small.sweep.yaml").base
    archive = archive_project(plan)
    assert archive.study == "of/this/study/params/small.yaml"
    assert "of/this/study/params/data/small.csv" in archive.files
    assert archive.digest == archive_project(plan).digest

    def sent(source):
        settings = plan.study.settings
        data = settings.data.model_copy(update={"source": source})
        study = replace(plan.study, settings=settings.model_copy(update={"data": data}))
        return archive_project(replace(plan, study=study)).files

    assert "of/this/x.csv" in sent("../../x.csv")
    assert "x.csv" in sent("../../../../x.csv")
    for source in ("../../../../../x.csv", "/etc/hostname"):
        with pytest.raises(DataError, match="cannot be sent to a cluster"):
            sent(source)
    folder = tmp_path_factory.mktemp("there")
    write_files(archive.files, folder)
    assert (folder / archive.study).read_bytes() == plan.study.path.read_bytes()
    with pytest.raises(RunError):
        write_files({"../x": b""}, folder)


def test_the_files_of_a_run_are_taken_from_where_it_was_made(tmp_path):
    there = tmp_path / "there"
    (there / "tables").mkdir(parents=True)
    (there / "tables/a.csv").write_text("1")
    Manifest("s", "k", "complete").save(there)
    assert set(take_files(there)) == {"tables/a.csv", "manifest.json"}
    assert not there.exists()


ERRORS = """
import json, sys
sys.stdin.readline()
for line in sys.stdin:
    order = json.loads(line)
    failed = order["overrides"].get("seed") == 2
    print(json.dumps({"key": "k", "error": "no" if failed else None}), flush=True)
"""


def test_worker_processes_answer_every_cell_or_begin_no_other_once_they_are_stopped(project, monkeypatch):
    monkeypatch.setattr(cell_workers, "COMMAND", [sys.executable, "-c", ERRORS])
    sweep = sweep_of(project, "grid: {seed: [1, 2, 3, 4, 5]}\n")
    options = CellOptions(project / "reports", ("03_fit",), cold=True)
    assert options.order(sweep.cells[1]) == {
        "study": str(sweep.base.study.path), "overrides": {"seed": 2}, "reports": str(project / "reports"),
        "again": ["03_fit"],
    }  # fmt: skip
    with LocalWorkers(1, options) as workers:
        runs = {run.cell.number: run.error for run in workers.make(sweep.cells)}
    assert runs == {1: None, 2: "no", 3: None, 4: None, 5: None}
    assert all(process.poll() is not None for process in workers.pool.started)
    held = Event()
    with LocalWorkers(1, options) as workers:
        ask = workers.pool.ask

        def one_then_wait(order):
            if order["overrides"].get("seed") == 3:
                held.wait()
            return ask(order)

        monkeypatch.setattr(workers.pool, "ask", one_then_wait)
        begun = list[int]()
        for run in workers.make(sweep.cells):
            begun.append(run.cell.number)
            if run.error:
                workers.stop()
                held.set()
    assert set(begun) <= {1, 2, 3}


@pytest.mark.parametrize("terminal", [True, False])
def test_the_terminal_is_told_of_failures_and_without_a_bar_of_every_cell(tmp_path, terminal):
    told = io.StringIO()
    console = Console(file=told, force_terminal=terminal, width=200, color_system=None)
    with SweepWatch(3, Log(tmp_path), console) as watch:
        watch.keep()
        watch.finish(run_of(2, overrides={"seed": 2}))
        watch.finish(run_of(3, error="no [optimum]", overrides={"seed": 3}))
    said = told.getvalue()
    assert "cell 3 of 3, seed=3: failed: no [optimum]" in said
    assert ("cell 2 of 3, seed=2" in said) != terminal
    assert ("3/3" in said and "cells, 1 failed" in said) == terminal
