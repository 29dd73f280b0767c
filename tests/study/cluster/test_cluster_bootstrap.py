"""The bootstrap's work cut into parts, made as a worker makes them, and joined."""

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.errors import RunError
from lmmkit.model.resampling.simulate import Simulator
from lmmkit.study.cluster import bootstrap_on, cluster_bootstrap


class Client:
    """A cluster that works here: what is submitted is called, with the options that dask would be given."""

    def __init__(self):
        self.chunks, self.options = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, task, *arguments, **options):
        self.options.append(options)
        if len(arguments) > 1:
            self.chunks.append(arguments[1])
        return task(*arguments)

    def gather(self, parts):
        return parts


@pytest.fixture(scope="module")
def fit():
    rng, group = np.random.default_rng(1), np.repeat(np.arange(6), 4)
    frame = pd.DataFrame({"g": group.astype(str), "x": np.tile(np.arange(4.0), 6)})
    frame["y"] = frame["x"] + rng.normal(size=6)[group] + rng.normal(size=24)
    return lmmkit.lmm("y ~ x + (1 | g)", frame)


@pytest.fixture
def client(monkeypatch):
    made = Client()
    monkeypatch.setattr(cluster_bootstrap, "connect", lambda scheduler: made)
    monkeypatch.setattr(cluster_bootstrap, "admitted", lambda client, say: ["tcp://one"])
    return made


@pytest.mark.parametrize(("chunk", "chunks"), [(3, [(0, 3), (3, 3), (6, 1)]), (7, [(0, 7)]), (500, [(0, 7)])])
def test_parts_of_the_bootstrap_are_joined_to_the_numbers_of_one_process(
    fit, client, monkeypatch, chunk, chunks
):
    monkeypatch.setattr(cluster_bootstrap, "CHUNK", chunk)
    there = bootstrap_on("tcp://none", fit, 7, seed=5)
    here = fit.bootstrap(7, seed=5)
    pd.testing.assert_frame_equal(there, here, check_exact=True)
    assert there.attrs["failures"] == here.attrs["failures"]
    assert client.chunks == chunks
    assert all(each == {"pure": False, "workers": ["tcp://one"]} for each in client.options)


def test_a_worker_begins_where_its_part_begins(fit):
    later = cluster_bootstrap._Later(fit.estimates, 5, start=4)
    assert np.array_equal(later.draw(1, 2), Simulator(fit.estimates, 5).draw(5, 2))


def test_a_worker_with_another_source_makes_nothing(fit, client, monkeypatch):
    digests = iter(["here", "there", "there"])
    monkeypatch.setattr(cluster_bootstrap, "package_digest", lambda: next(digests))
    with pytest.raises(RunError, match="a worker has the source there, not here"):
        bootstrap_on("tcp://none", fit, 2, seed=5)


def test_a_scheduler_that_goes_away_is_told(fit, client, monkeypatch):
    def gone(parts):
        raise OSError("comm closed")

    monkeypatch.setattr(client, "gather", gone)
    with pytest.raises(RunError, match="the bootstrap could not be made on the cluster: comm closed"):
        bootstrap_on("tcp://none", fit, 2, seed=5)


def part(rows, failures):
    frame = pd.DataFrame({"x": np.arange(float(rows))})
    frame.attrs["failures"] = failures
    return frame


def test_replicates_that_failed_are_counted_through():
    joined = cluster_bootstrap._joined([part(3, {1: "no"}), part(2, {0: "none"})], [(0, 3), (3, 2)])
    assert joined.attrs["failures"] == {1: "no", 3: "none"}
    assert (list(joined.index), joined.index.name) == (list(range(5)), "replicate")


@pytest.mark.parametrize(
    ("said", "good"),
    [
        ({}, True),
        ({0: "no", 1: "no"}, True),
        ({2: "no"}, False),
        ({-1: "no"}, False),
        ({"0": "no"}, False),
        ({0: None}, False),
        ({1.0: "no"}, False),
        ([], False),
        (None, False),
    ],
)
def test_failures_are_told_of_replicates_that_there_are(said, good):
    if good:
        assert cluster_bootstrap.checked_replicates(part(2, said), 2) is not None
        return
    with pytest.raises(RunError, match="is refused: it is no table of 2 replicates"):
        cluster_bootstrap.checked_replicates(part(2, said), 2)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_replicates_are_as_many_as_were_asked_for(rows):
    with pytest.raises(RunError, match="is refused: it is no table of 2 replicates"):
        cluster_bootstrap.checked_replicates(part(rows, {}), 2)
