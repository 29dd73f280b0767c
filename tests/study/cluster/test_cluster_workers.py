"""Which workers are admitted, how a cluster is reached, what becomes of a cell: no cluster is started."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from lmmkit.errors import RunError
from lmmkit.study.cluster import cluster_workers as module
from lmmkit.study.cluster.cluster_workers import ClusterWorkers, RemoteRun, Scheduler, admitted, connect
from lmmkit.study.cluster.project_archive import ProjectArchive
from lmmkit.study.runs.execute import StepError
from lmmkit.study.sweeps.cell_workers import CellOptions

pytest.importorskip("distributed")
OURS, THEIRS = "a" * 64, "0123456789ab" + "b" * 52


@pytest.fixture(autouse=True)
def _source(monkeypatch):
    monkeypatch.setattr(module, "package_digest", lambda: OURS)


OTHER = "is refused: it reports the source 0123456789ab, here it is aaaaaaaaaaaa; install the same lmmkit"


@pytest.mark.parametrize(
    ("found", "left", "said"),
    [
        ({}, None, ["the cluster has no workers yet; waiting for them"]),
        ({"tcp://1": OURS, "tcp://2": OURS}, None, []),
        ({"tcp://1": OURS, "tcp://2": THEIRS}, ["tcp://1"], [f"worker tcp://2 {OTHER}"]),
        (
            {"tcp://1": ImportError("no lmmkit\nat all"), "tcp://2": OURS},
            ["tcp://2"],
            [
                "worker tcp://1 is refused: it reports the source no digest (no lmmkit), here it is "
                "aaaaaaaaaaaa; install the same lmmkit"
            ],
        ),
    ],
)
def test_workers_with_our_source_are_admitted(found, left, said):
    told, asked = [], []
    client = SimpleNamespace(run=lambda task, on_error: asked.append(on_error) or found)
    assert admitted(client, told.append) == left
    assert (told, asked) == (said, ["return"])


def test_a_cluster_of_another_source_alone_is_refused():
    client = SimpleNamespace(run=lambda *_, **__: {"tcp://1": THEIRS, "tcp://2": THEIRS})
    with pytest.raises(RunError, match=f"no worker of 2 has this source: tcp://1 {OTHER}"):
        admitted(client, lambda message: None)


@pytest.fixture
def client(monkeypatch):
    """What dask's client is called with."""
    calls = []

    def make(address, **options):
        calls.append((address, options))
        return "client"

    monkeypatch.setattr("distributed.Client", make)
    monkeypatch.setattr("distributed.security.Security", lambda **options: options)
    return calls


def test_a_scheduler_is_asked_as_dask_is_configured_or_with_the_certificates_given(client):
    assert connect(Scheduler("tcp://there")) == "client"
    connect(Scheduler("tls://there", Path("ca.pem"), Path("cert.pem"), Path("key.pem")))
    assert client == [
        ("tcp://there", {"security": None, "set_as_default": False}),
        (
            "tls://there",
            {
                "security": {
                    "require_encryption": True,
                    "tls_ca_file": "ca.pem",
                    "tls_client_cert": "cert.pem",
                    "tls_client_key": "key.pem",
                },
                "set_as_default": False,
            },
        ),
    ]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("Timed out\nafter a while"), "Timed out"),
        (ValueError(""), "ValueError"),
        (TypeError("no"), "no"),
        (RuntimeError("no"), "no"),
    ],
)
def test_a_scheduler_that_does_not_answer_is_told(monkeypatch, error, reason):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("distributed.Client", fail)
    with pytest.raises(RunError) as raised:
        connect(Scheduler("tcp://there"))
    assert str(raised.value) == (
        f"no scheduler answers at tcp://there ({reason}); is it running, is the address right, and for "
        "tls:// are the certificates?"
    )


def test_dask_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(
        RunError, match=r"--scheduler needs dask\.distributed: pip install 'lmmkit\[cluster\]'"
    ):
        connect(Scheduler("tcp://there"))


class Future:
    def __init__(self, answer):
        self.answer, self.released = answer, False

    def result(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def release(self):
        self.released = True


@pytest.fixture
def workers(tmp_path):
    return ClusterWorkers(Scheduler("tcp://there"), CellOptions(tmp_path / "reports"), print)


CELL = SimpleNamespace(plan="plan")


def test_a_worker_that_died_again_and_again_is_told_with_its_times(workers):
    from distributed.scheduler import KilledWorker

    found = workers.collect(Future(KilledWorker("task", None, 3)), CELL)
    assert (found.key, found.error) == (None, "the worker that ran it died 4 times")


def test_a_scheduler_that_went_away_ends_the_sweep_with_what_to_do(workers):
    with pytest.raises(StepError) as raised:
        workers.collect(Future(OSError("closed")), CELL)
    assert str(raised.value) == (
        "the scheduler at tcp://there is gone (OSError); what is finished is kept: start the sweep again, "
        "and it goes on where it stopped"
    )


KEY, FILES = "0123456789ab", {"a.txt": b"x"}


@pytest.mark.parametrize(
    ("answer", "installed", "key", "error"),
    [
        (RemoteRun(OURS, KEY, None, FILES), [True], KEY, None),
        (RemoteRun(OURS, KEY, "03_fit: no", FILES), [False], KEY, "03_fit: no"),
        (RemoteRun(OURS, None, "no kernel", {}), [], None, "no kernel"),
    ],
)
def test_what_came_back_is_put_in_its_place(monkeypatch, workers, answer, installed, key, error):
    calls = []

    def install(files, plan, key, reports, *, whole):
        assert (files, plan, key, reports) == (FILES, "plan", KEY, workers.options.reports)
        calls.append(whole)

    monkeypatch.setattr(module, "install_run", install)
    future = Future(answer)
    found = workers.collect(future, CELL)
    assert (found.key, found.error, calls, future.released) == (key, error, installed, True)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_worker_that_joined_with_another_source_ends_the_sweep_and_leaves_nothing(
    monkeypatch, workers, key
):
    monkeypatch.setattr(module, "install_run", lambda *_, **__: pytest.fail("nothing of it is used"))
    with pytest.raises(StepError, match=f"a worker that joined {OTHER}"):
        workers.collect(Future(RemoteRun(THEIRS, key, None, {})), CELL)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "it is no answer of lmmkit"),
        (RemoteRun(OURS, "x" * 50, None, {}), f"its key is {'x' * 40!r}; expected twelve hexadecimal digits"),
        (RemoteRun(OURS, None, None, {}), "it is neither a run nor an error in words"),
        (RemoteRun(OURS, KEY, 3, {}), "it is neither a run nor an error in words"),
        (RemoteRun(OURS, KEY, None, None), "it is no run: expected files by their paths"),
    ],
)
def test_an_answer_that_is_none_is_refused_in_words(workers, answer, reason):
    found = workers.collect(Future(answer), CELL)
    assert (found.key, found.error) == (None, f"what a worker of the cluster returned is refused: {reason}")


def test_a_client_is_closed_when_no_worker_is_admitted(monkeypatch, workers):
    closed = []
    client = SimpleNamespace(run=lambda *_, **__: {"tcp://1": THEIRS}, close=lambda: closed.append(True))
    monkeypatch.setattr(module, "connect", lambda scheduler: client)
    with pytest.raises(RunError, match="no worker of 1 has this source"):
        workers.__enter__()
    assert closed == [True]


# On a worker.

ARCHIVE = ProjectArchive("digest", {}, "of/this/study/params/s.yaml")


@pytest.fixture
def pool(monkeypatch, tmp_path):
    """In place of worker processes: what it is asked, and what it answers."""
    found = SimpleNamespace(asked=[], answer={"key": KEY, "error": None})

    def ask(order):
        found.asked.append(order)
        place = tmp_path / "reports/s" / KEY
        place.mkdir(parents=True)
        (place / "a.txt").write_bytes(b"x")
        return found.answer

    monkeypatch.setattr(module, "_pool", lambda archive, kernel: (SimpleNamespace(ask=ask), tmp_path))
    return found


def test_a_cell_is_made_in_the_project_that_was_sent(pool, tmp_path):
    found = module.make_remotely(ARCHIVE, {"cell": 1}, {}, OURS)
    assert found == RemoteRun(OURS, KEY, None, FILES)
    study = str(tmp_path / "of/this/study/params/s.yaml")
    assert pool.asked == [{"cell": 1, "study": study, "reports": str(tmp_path / "reports")}]
    assert not (tmp_path / "reports/s" / KEY).exists()


def test_a_cell_without_a_run_returns_no_files(pool):
    pool.answer = {"key": None, "error": "no"}
    assert module.make_remotely(ARCHIVE, {}, {}, OURS) == RemoteRun(OURS, None, "no", {})


def test_a_worker_of_another_source_makes_nothing(pool):
    assert module.make_remotely(ARCHIVE, {}, {}, THEIRS) == RemoteRun(OURS)
    assert pool.asked == []
