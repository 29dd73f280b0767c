"""The parametric bootstrap of a fit on a dask.distributed cluster: the same numbers as here."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import RunError
from lmmkit.model.fit import Fit, load
from lmmkit.model.options import Seed, seed_of, whole
from lmmkit.model.resampling.bootstrap import bootstrap_from
from lmmkit.model.resampling.simulate import Simulator
from lmmkit.study.cluster.cluster_workers import Scheduler, admitted, connect
from lmmkit.study.records.keys import package_digest

#: Replicates that a worker is given at a time.
CHUNK = 500


@dataclass(frozen=True, eq=False)
class _Later(Simulator):
    """A simulator whose responses begin with a later one."""

    start: int = 0

    def draw(self, first: int, count: int) -> Floats:
        """Responses `start + first` to `start + first + count - 1`, (nobs, count)."""
        return super().draw(self.start + first, count)


def bootstrap_on(scheduler: Scheduler | str, fit: Fit, n: int, *, seed: Seed) -> pd.DataFrame:
    """`fit.bootstrap(n, seed=seed)` made by the workers of a cluster.

    Args:
        scheduler: The cluster, or its address.
        fit: The fit.
        n: Number of replicates.
        seed: Seed of the random numbers.

    Raises:
        RunError: no scheduler answers, it goes away, a worker has another source, or returns anything else.
    """
    count, number = whole("n", n, "replicates"), seed_of(seed)
    client = connect(Scheduler(scheduler) if isinstance(scheduler, str) else scheduler)
    with client:
        workers = admitted(client, lambda message: None)
        saved = client.submit(dict, _saved(fit), pure=False, workers=workers)
        chunks = [(first, min(CHUNK, count - first)) for first in range(0, count, CHUNK)]
        parts = [
            client.submit(_part, saved, chunk, number, package_digest(), pure=False, workers=workers)
            for chunk in chunks
        ]
        try:
            frames: list[Any] = client.gather(parts)
        except Exception as error:  # whatever dask raises when its scheduler has gone
            raise RunError(f"the bootstrap could not be made on the cluster: {error}") from None
    return _joined(
        [checked_replicates(frame, count) for frame, (_, count) in zip(frames, chunks, strict=True)], chunks
    )


def _saved(fit: Fit) -> dict[str, bytes]:
    with TemporaryDirectory(prefix="lmmkit-") as folder:
        return {path.name: path.read_bytes() for path in sorted(fit.save(Path(folder) / "fit").iterdir())}


def _part(files: Mapping[str, bytes], chunk: tuple[int, int], seed: int, package: str) -> pd.DataFrame:
    """Some replicates, on a worker."""
    if package_digest() != package:
        raise RunError(f"a worker has the source {package_digest()[:12]}, not {package[:12]}")
    with TemporaryDirectory(prefix="lmmkit-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        fit = load(folder)
    first, count = chunk
    return bootstrap_from(_Later(fit.estimates, seed, start=first), count)


def checked_replicates(frame: Any, count: int) -> pd.DataFrame:
    """What a worker returned, when it is replicates.

    Raises:
        RunError: it is anything else.
    """
    said: Any = frame.attrs.get("failures") if isinstance(frame, pd.DataFrame) else None
    numeric = isinstance(frame, pd.DataFrame) and all(map(pd.api.types.is_numeric_dtype, frame.dtypes))
    told = isinstance(said, dict) and all(
        isinstance(at, Integral) and 0 <= int(at) < count and isinstance(words, str)
        for at, words in cast("dict[object, object]", said).items()
    )
    if not (numeric and told and len(frame) == count):
        raise RunError(
            f"what a worker of the cluster returned is refused: it is no table of {count} replicates"
        )
    return frame


def _joined(frames: list[pd.DataFrame], chunks: list[tuple[int, int]]) -> pd.DataFrame:
    """One table, the replicates counted through, with what was said of those that failed."""
    failures: dict[int, str] = {}
    for frame, (first, _) in zip(frames, chunks, strict=True):
        found: dict[int, Any] = frame.attrs.pop("failures")
        failures |= {first + number: words for number, words in found.items()}
    table = pd.concat(frames, ignore_index=True)
    table.index.name = "replicate"
    table.attrs["failures"] = failures
    return table
