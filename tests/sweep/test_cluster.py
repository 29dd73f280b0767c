"""Sweeps on a dask.distributed cluster of two worker processes on the loopback address."""

import json
import os
import subprocess
import sys

import pytest
from sweep.conftest import children, contents, kill, started, swept, until

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

SERVE = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    options = {"host": "127.0.0.1", "dashboard_address": None, "threads_per_worker": 1}
    with LocalCluster(n_workers=int(sys.argv[1]), **options) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


class Cluster:
    """Scheduler and workers in processes of their own; the scheduler is the one that is started."""

    def __init__(self, folder, workers=2, **environment):
        (folder / "serve.py").write_text(SERVE)
        self.process = subprocess.Popen(
            [sys.executable, str(folder / "serve.py"), str(workers)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder,
            env={**os.environ, **environment},
        )  # fmt: skip
        self.address = self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


@pytest.fixture
def cluster(tmp_path_factory, held):
    serving = Cluster(tmp_path_factory.mktemp("cluster"), SWEEP_HOLD=str(held))
    yield serving
    serving.close()


def test_a_cluster_gives_the_same_bytes_also_when_its_workers_die(made, project, held, cluster):
    process = started(project, "--scheduler", cluster.address, "--inference", "20")
    until((project / "at-2").exists)
    for pid in children(cluster.process.pid, "spawn_main"):
        kill(pid)
    held.unlink()
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert contents(project / "reports") == contents(made / "reports")


def test_a_dead_scheduler_ends_the_sweep_with_what_is_finished(made, project, held, cluster):
    process = started(project, "--scheduler", cluster.address, "--inference", "20")
    until((project / "at-2").exists)
    kill(cluster.process.pid)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, "start the sweep again" in err) == (2, True), err
    (folder,) = (path for path in (project / "reports/small.sweep").iterdir() if path.is_dir())
    assert json.loads((folder / "manifest.json").read_bytes())["status"] == "failed"
    held.unlink()
    assert swept(project, "--workers", "1", "--inference", "20").returncode == 0
    assert contents(project / "reports") == contents(made / "reports")


def test_an_unreachable_scheduler_is_told(project):
    done = swept(project, "--scheduler", "tcp://127.0.0.1:9")
    assert (done.returncode, "no scheduler answers at tcp://127.0.0.1:9" in done.stderr) == (2, True)
    assert not (project / "reports").exists()
