"""Inference over the curve: what every cell finds of a coefficient that has no effect, kept by content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmmkit.model.fit import load
from lmmkit.model.resampling.null_draws import NullDraws, null_draws
from lmmkit.study.records.artifacts import json_bytes, read_csv, read_json, write_bytes
from lmmkit.study.records.keys import digest, package_digest, versions
from lmmkit.study.records.manifest import File, Manifest, Record, load_manifest, record_files
from lmmkit.study.records.step_store import Store

STEP, FILE = "null", "null.json"


class Null(NamedTuple):
    """What is drawn under the null.

    Attributes:
        coefficient: The coefficient without effect.
        n: Number of replicates.
        seed: Seed of the random numbers.
    """

    coefficient: str
    n: int
    seed: int


def draw_all(folders: Sequence[Path], null: Null, store: Store, workers: int) -> Iterator[NullDraws]:
    """The draws of each run, in order, with the same luck for all."""
    with ThreadPoolExecutor(workers) as threads:
        yield from threads.map(draws_of, folders, repeat(null), repeat(store))


def draws_of(folder: Path, null: Null, store: Store) -> NullDraws:
    """The draws of one run, from the store when they are there."""
    manifest = load_manifest(folder)
    key = digest([list(null), _inputs(manifest), package_digest(), versions()])
    with store.making(STEP, key):
        if store.find(STEP, key) is None:
            _keep(_drawn(folder, null), key, store)
        kept = read_json(store.root / STEP / key / FILE)
    return NullDraws(_floats(kept["estimate"]), _floats(kept["se"]))


def _inputs(manifest: Manifest | None) -> list[list[str]]:
    """The fit and the rows that it was made from."""
    files: dict[str, File] = manifest.files() if manifest else {}
    return [
        [path, file.sha256] for path, file in files.items() if path.startswith("fit/") or path == "rows.csv"
    ]


def _drawn(folder: Path, null: Null) -> NullDraws:
    estimates = load(folder / "fit").estimates
    ledger = read_csv(folder / "rows.csv")
    kept = ledger.loc[ledger["status"] == "kept", "row"].to_numpy(dtype=np.intp)
    return null_draws(estimates, null.coefficient, rows=kept[estimates.design.rows], n=null.n, seed=null.seed)


def _keep(draws: NullDraws, key: str, store: Store) -> None:
    with TemporaryDirectory(prefix="lmmkit-") as folder:
        write_bytes(Path(folder) / FILE, json_bytes(draws._asdict()))
        store.keep(Record(STEP, key, record_files(Path(folder), Manifest("", key))), Path(folder))


def _floats(values: list[float | None]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)
