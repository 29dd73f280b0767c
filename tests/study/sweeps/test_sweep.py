"""Sweeps: the same bytes whoever makes them, and nothing lost whatever dies."""

import json
import re
import shutil
import signal

import pandas as pd
import pytest
from study.sweeps.conftest import contents, holding, kill, started, swept
from support.processes import wait_for_end, wait_until
from support.tiny import trust_project

pytestmark = pytest.mark.slow


def results(folder):
    (path,) = (folder / "small.sweep").glob("*/results.csv")
    return pd.read_csv(path)


def test_a_sweep_leaves_its_table_its_curve_and_its_page(made):
    (folder,) = (path for path in (made / "reports/small.sweep").iterdir() if path.is_dir())
    assert json.loads((folder / "manifest.json").read_bytes())["status"] == "complete"
    table = results(made / "reports")
    assert list(table.columns) == [
        "cell", "model.method", "seed", "model.formula", "run", "x.estimate", "x.se", "x.df", "x.p", "x.low",
        "x.high", "sigma", "converged", "singular", "certificate", "elsewhere", "error",
    ]  # fmt: skip
    assert table["model.method"].tolist() == ["REML", "ML", "REML"]
    assert table["seed"].tolist() == [1, 1, 2]
    assert table["error"].isna().all()
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder / "results.parquet")[["x.estimate", "sigma"]], table[["x.estimate", "sigma"]]
    )
    page = (folder / "sweep.html").read_text()
    assert "3 of 3 (100 %)" in page
    assert "Simonsohn" in page
    assert json.loads((folder / "inference.json").read_bytes())["replicates"] == 20
    assert len(list((made / "reports/.steps/01_data_prep").glob("[0-9a-f]*"))) == 1


def test_a_repeated_sweep_makes_nothing(made, tmp_path):
    made = trust_project(shutil.copytree(made, tmp_path / "there"))
    before = contents(made / "reports")
    logs = [path.read_bytes() for path in sorted((made / "reports/small").rglob("log.jsonl"))]
    assert swept(made, "--inference", "20").returncode == 0
    assert contents(made / "reports") == before
    assert [path.read_bytes() for path in sorted((made / "reports/small").rglob("log.jsonl"))] == logs


def test_one_worker_gives_the_same_bytes_also_when_it_dies_and_is_replaced(made, begun, held):
    process = started(begun, "--workers", "1", "--inference", "20", hold=held)
    wait_until((begun / "at-2").exists, process)
    (worker,) = holding(held, "worker_process")
    kill(worker)
    held.unlink()
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert contents(begun / "reports") == contents(made / "reports")


def test_an_interrupted_sweep_goes_on_where_it_stopped(made, begun, held):
    process = started(begun, "--workers", "1", "--inference", "20", hold=held)
    wait_until((begun / "at-2").exists, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    (folder,) = (path for path in (begun / "reports/small.sweep").iterdir() if path.is_dir())
    assert json.loads((folder / "manifest.json").read_bytes())["status"] == "interrupted"
    assert not (folder / "results.csv").exists()
    held.unlink()
    assert swept(begun, "--workers", "1", "--inference", "20").returncode == 0
    assert contents(begun / "reports") == contents(made / "reports")


def test_two_sweeps_at_once_share_their_work(made, project):
    both = [started(project, "--workers", "1", "--inference", "20") for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert contents(project / "reports") == contents(made / "reports")


def test_failed_cells_stay_in_the_table_and_end_with_code_1(begun):
    project = begun  # its cell that does not fail is made
    text = (project / "params/small.sweep.yaml").read_text()
    added = "  - {model.formula: y ~ x + (1 | x:g)}\n  - {data.source: none.csv}\n"
    broken = re.sub("  - .*\n", added, text.replace("[REML, ML]", "[REML]"))
    (project / "params/small.sweep.yaml").write_text(broken)
    done = swept(project, "--workers", "1")
    assert done.returncode == 1, done.stderr
    table = results(project / "reports")
    assert table["error"].notna().tolist() == [False, True, True]
    assert "none.csv does not exist" in table["error"][2]
    assert "2 of 3 cells failed" in done.stderr
    (path,) = (project / "reports/small.sweep").glob("*/agreement.json")
    assert json.loads(path.read_bytes())["share of same sign"] == pytest.approx(1 / 3)


def test_a_killed_sweep_is_resumed(made, begun, held):
    process = started(begun, "--workers", "1", "--inference", "20", hold=held)
    wait_until((begun / "at-2").exists, process)
    (worker,) = holding(held, "worker_process")
    kill(process.pid)
    process.wait()
    wait_for_end(worker)  # in the midst of its cell, which is still held
    held.unlink()
    assert swept(begun, "--workers", "1", "--inference", "20").returncode == 0
    process.communicate()
    assert contents(begun / "reports") == contents(made / "reports")
