"""Sweeps on a dask.distributed cluster of worker processes on the loopback address."""

import json
import os
import subprocess
import sys
from shutil import which

import pandas as pd
import pytest
from study.sweeps.conftest import contents, kill, started, swept
from support import warm
from support.processes import wait_until

from lmmkit import load
from lmmkit.study.cluster import bootstrap_on, cluster_bootstrap

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

# How long dask tries to connect, and to connect again.
PATIENCE = "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"
METHOD = "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD"
# Workers are forks of one process that has imported what they need, and what they start is forked too.
FORKED = """
import lmmkit.study.cluster.cluster_workers
from lmmkit.study.sweeps import cell_workers
cell_workers.COMMAND = {command!r}
"""
SERVE = """
import sys
from distributed import LocalCluster
from distributed.security import Security
from distributed.utils import get_mp_context
if __name__ == "__main__":
    get_mp_context().set_forkserver_preload(["distributed", "forked"])
    options = {"host": "127.0.0.1", "dashboard_address": None, "threads_per_worker": 1}
    if len(sys.argv) > 2:
        ends = ("scheduler", "worker", "client")
        files = {f"tls_{end}_{kind}": f"{sys.argv[2]}/{kind}.pem" for end in ends for kind in ("cert", "key")}
        security = Security(require_encryption=True, tls_ca_file=f"{sys.argv[2]}/cert.pem", **files)
        options |= {"protocol": "tls://", "security": security}
    with LocalCluster(n_workers=int(sys.argv[1]), **options) as cluster:
        print(cluster.scheduler_address, *(worker.pid for worker in cluster.workers.values()), flush=True)
        sys.stdin.read()
"""


class Cluster:
    """Scheduler and workers in processes of their own; the scheduler is the one that is started."""

    def __init__(self, folder, workers, *certificates, **environment):
        (folder / "serve.py").write_text(SERVE)
        command = warm.command("lmmkit.study.sweeps.worker_process")
        (folder / "forked.py").write_text(FORKED.format(command=command))
        self.process = subprocess.Popen(
            [sys.executable, str(folder / "serve.py"), str(workers), *map(str, certificates)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder,
            env={**os.environ, **environment, METHOD: "forkserver"},
        )  # fmt: skip
        self.address, *workers = self.process.stdout.readline().split()
        self.workers = list(map(int, workers))

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def cluster(tmp_path_factory, held):
    serving = Cluster(tmp_path_factory.mktemp("cluster"), 2, LMMKIT_SWEEP_HOLD=str(held))
    yield serving
    serving.close()


def test_a_cluster_gives_the_same_numbers_also_when_its_workers_die(
    made, project, held, cluster, monkeypatch
):
    process = started(project, "--scheduler", cluster.address, "--inference", "20")
    wait_until((project / "at-2").exists, process)
    assert len(cluster.workers) == 2
    for pid in cluster.workers:
        kill(pid)
    held.unlink()
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert contents(project / "reports") == contents(made / "reports")

    (run, *_) = sorted((project / "reports/small").glob("*/fit"))
    fit = load(run)
    monkeypatch.setattr(cluster_bootstrap, "CHUNK", 40)
    there = bootstrap_on(cluster.address, fit, 100, seed=5)
    pd.testing.assert_frame_equal(there, fit.bootstrap(100, seed=5), check_exact=True)


@pytest.fixture
def certificates(tmp_path_factory):
    """A folder with a key and a certificate that signs itself."""
    folder = tmp_path_factory.mktemp("certificates")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.skipif(not which("openssl"), reason="needs openssl to make a certificate")
def test_a_dead_scheduler_ends_an_encrypted_sweep_with_what_is_finished(
    made, project, held, certificates, tmp_path_factory, monkeypatch
):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), 1, certificates, LMMKIT_SWEEP_HOLD=str(held))
    assert cluster.address.startswith("tls://")
    monkeypatch.setenv(PATIENCE, "1s")
    stranger = swept(project, "--scheduler", cluster.address)
    monkeypatch.delenv(PATIENCE)
    assert (stranger.returncode, "are the certificates?" in stranger.stderr) == (2, True), stranger.stderr

    ours = ("--tls-ca", "cert"), ("--tls-cert", "cert"), ("--tls-key", "key")
    options = [part for name, file in ours for part in (name, str(certificates / f"{file}.pem"))]
    process = started(project, "--scheduler", cluster.address, "--inference", "20", *options)
    wait_until((project / "at-2").exists, process)
    kill(cluster.process.pid)
    _, err = process.communicate()
    cluster.close()
    assert (process.returncode, "start the sweep again" in err) == (1, True), err
    (folder,) = (path for path in (project / "reports/small.sweep").iterdir() if path.is_dir())
    assert json.loads((folder / "manifest.json").read_bytes())["status"] == "failed"
    held.unlink()
    assert swept(project, "--workers", "1", "--inference", "20").returncode == 0
    assert contents(project / "reports") == contents(made / "reports")


def test_an_unreachable_scheduler_is_told(project, monkeypatch):
    monkeypatch.setenv(PATIENCE, "100ms")
    done = swept(project, "--scheduler", "tcp://127.0.0.1:9")
    assert (done.returncode, "no scheduler answers at tcp://127.0.0.1:9" in done.stderr) == (2, True)
    assert not (project / "reports").exists()
