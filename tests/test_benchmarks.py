"""The benchmark's models: their optimum, how many evaluations lead to it, and the page that is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import calibration
import diagnostics
import numpy as np
import pytest
from page import page
from serial import SERIES
from visits import TRIALS
from workloads import HERE, WORKLOADS, tables

from lmmkit import lmm

# name: deviance of the optimum, evaluations allowed
BUDGET = {
    "a": (1743.628271958, 6),
    "b2": (237759.005576189, 6),
    "b3": (237733.834127519, 6),
    "c": (3120541.806177495, 6),
    "d": (58222.607976681, 12),
    "e": (641807.036061260, 5),
    "f": (3309508.901675997, 4),
}


@pytest.fixture(scope="module")
def data():
    return dict(tables())


@pytest.mark.parametrize("name", WORKLOADS)
def test_workload_reaches_its_optimum_within_its_budget(name, data):
    workload = WORKLOADS[name]
    deviance, evaluations = BUDGET[name]
    fit = lmm(workload.formula, workload.typed(data[workload.data]))
    assert fit.deviance == pytest.approx(deviance, rel=1e-12, abs=1e-8)
    assert fit.evaluations <= evaluations
    assert fit.converged


def test_page_shows_ratios_limits_and_what_is_not_offered():
    def record(engine, **facts):
        return {"engine": engine, "workload": "a", "status": "ok", **facts}

    fits = [
        record("lmmkit", seconds=0.5, deviance=10.0, evaluations=3, peak_mb=100, version="0.1"),
        record("lme4", seconds=1.5, deviance=10.25, evaluations=9, peak_mb=200, version="1.1"),
        record("slow") | {"status": "over limit"},
        record("small") | {"status": "not offered"},
    ]
    text = page({"machine": "A machine", "fits": fits})
    assert "| **a** | 0.5 | 1.5 | > 100 | - |" in text
    assert "| **a** | 1 | 3 |  |  |" in text
    assert "| **a** | 0.0e+00 | 2.5e-01 |  |  |" in text


def test_page_shows_repeated_visits_beside_the_peer():
    def record(engine, **facts):
        return {"trial": "9 patients x 2 visits", "engine": engine, "rows": 1234, **facts}

    visits = [
        record(
            "lmmkit",
            seconds=0.5,
            certificate=0.125,
            deviance=10.25,
            evaluations=3,
            converged=True,
            peak_mb=100,
        )
        | {"version": "lmmkit"},
        record("glmmTMB", seconds=30.0, deviance=10.5, evaluations=90, converged=False, peak_mb=200)
        | {"version": "glmmTMB 1"},
    ]
    fits = [{"engine": "lmmkit", "workload": "a", "status": "ok", "seconds": 0.5, "version": "0.1"}]
    text = page({"machine": "A machine", "fits": fits, "visits": visits})
    assert "| 9 patients x 2 visits | 1,234 | lmmkit | 0.5 | 1 | 0.125 | 10.250000 | 3 | yes | 100 |" in text
    assert "| 9 patients x 2 visits | 1,234 | glmmTMB 1 | 30 | 60 |  | 10.500000 | 90 | no | 200 |" in text


@pytest.mark.parametrize("trial", TRIALS.values(), ids=list(TRIALS))
def test_repeated_visits_are_what_the_page_says(trial):
    few = replace(trial, patients=60)
    frame = few.frame()
    assert frame["visit"].nunique() == trial.visits
    assert not frame.duplicated(["patient", "visit"]).any()
    assert len(frame) < 60 * trial.visits


@pytest.mark.parametrize("series", SERIES.values(), ids=list(SERIES))
def test_series_are_what_the_page_says(series):
    few = replace(series, animals=min(series.animals, 20), each=min(series.each, 50))
    frame = few.frame()
    assert len(frame) == few.animals * few.each
    assert (frame.groupby("animal")["day"].diff().dropna() > 0).all()
    assert frame.equals(few.frame())


def test_calibration_measures_public_numbers_and_lists_what_is_outside():
    """Its vectorised statistics are asserted against the public functions on a data set of each cell."""
    cell = calibration.Cell((3, 4, 4, 5, 5, 6, 6, 7), 1.0)
    rows = np.array(calibration.chunk((cell, 0, 3)))
    assert rows.shape == (3, len(calibration.QUANTITIES))
    assert np.isin(rows[:, 0], (0.0, 1.0)).all()
    assert np.isfinite(rows[0, 5:7]).all()
    assert np.isnan(rows[1, 5:7]).all()
    shares = [*calibration.fixed_effects(cell, 8), *calibration.variances(replace(cell, ratio=0.0), 8)]
    assert [one.count for one in shares] == [8, 8, 8]
    liberal = calibration.share("a test", cell, calibration.REJECTED, np.array([1.0] * 3 + [0.0] * 17))
    few = calibration.share("a test", calibration.Cell((6,) * 5, 1.0), calibration.REJECTED, np.ones(20))
    text = calibration.page([liberal, few], 20, 60.0)
    assert "- a test, 8 groups of 3 to 7, SD ratio 1: **0.150 ± 0.082**" in text
    assert "| 5 groups of 6 | 1.000 ± 0.000 |" in text


def test_no_benchmark_hides_a_folder_of_tests():
    folders = {path.name for path in Path(__file__).parent.iterdir() if path.is_dir()}
    assert folders.isdisjoint(path.stem for path in HERE.glob("*.py"))


def test_the_page_of_diagnostics_has_what_was_measured_between_its_marks():
    text = "before\n<!-- alarms -->\nold\n<!-- end -->\nafter <!-- power -->\n<!-- end -->\n"
    made = diagnostics.page(text, {"alarms": ["a", "b"], "power": ["c"]})
    assert made == "before\n<!-- alarms -->\na\nb\n<!-- end -->\nafter <!-- power -->\nc\n<!-- end -->\n"
    assert diagnostics.page(made, {"power": ["d"]}).endswith("<!-- power -->\nd\n<!-- end -->\n")
    with pytest.raises(ValueError, match="no place for other"):
        diagnostics.page(text, {"other": []})


def test_planted_faults_are_what_they_say():
    design = diagnostics.thirty()
    codes = design.frame["g"].to_numpy()
    pure = {fault.name: diagnostics.planted(design, fault, 0) for fault in diagnostics.FAULTS}
    assert all(np.isfinite(y).all() and len(y) == len(codes) for y in pure.values())
    e = np.ones(300)
    outlier = diagnostics.one_outlier(design.frame, 0.0 * e, e.copy(), np.random.default_rng(1))
    assert sorted(np.abs(outlier))[-2:] == [1.0, 5.0]
    assert np.unique(diagnostics.levels_differ(design.frame, 0 * e, e, None)).tolist() == [1.0, 2**0.5]
    draws = [diagnostics.autoregression(design.frame, 0 * e, e, np.random.default_rng(i)) for i in range(40)]
    series = np.concatenate([one.reshape(30, 10) for one in draws])
    assert np.corrcoef(series[:, :-1].ravel(), series[:, 1:].ravel())[0, 1] == pytest.approx(0.5, abs=0.03)
    bend = diagnostics.curved(design.frame, 0 * e, 0 * e, None)
    assert bend.std() == pytest.approx(0.5)
    assert diagnostics.best(np.repeat([1.0, 4.0], 150), draws=2_000) > 0.99
    assert diagnostics.best(np.ones(300) + 1e-9 * (np.arange(300) == 0), draws=2_000) < 0.02
