"""Random numbers that belong to a replicate, not to the order in which replicates are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats


@dataclass(frozen=True)
class Streams:
    """One stream of standard normals per replicate, from a counter-based generator.

    Replicate i draws from Philox at counter (0, 0, i, purpose) under a key made from the seed: its numbers
    depend on the seed, i and the purpose alone, not on how many replicates there are, on how they are cut
    into chunks, or on which worker makes them.

    Attributes:
        seed: Not negative.
        purpose: Tells streams of one seed apart.

    Reference: Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.

    >>> whole = Streams(7).normals(0, 4, 3)
    >>> bool((whole[:, 2:] == Streams(7).normals(2, 2, 3)).all())
    True
    """

    seed: int
    purpose: int = 0

    def normals(self, first: int, count: int, size: int) -> Floats:
        """(size, count) standard normals of replicates `first` to `first + count - 1`, one a column."""
        key = np.random.SeedSequence(self.seed).generate_state(2, np.uint64)
        bits = np.random.Philox(key=key, counter=[0, 0, 0, self.purpose])
        generator, state = np.random.Generator(bits), bits.state
        rows = np.empty((count, size))
        for i, row in enumerate(rows):
            state["state"]["counter"][2] = first + i
            bits.state = state
            generator.standard_normal(out=row)
        return np.ascontiguousarray(rows.T)
