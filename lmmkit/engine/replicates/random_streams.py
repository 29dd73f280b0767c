"""Random numbers that belong to a replicate, not to the order in which replicates are made."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.arrays import Floats


def normals(seed: int, first: int, count: int, size: int, purpose: int = 0) -> Floats:
    """(size, count) standard normals of replicates `first` to `first + count - 1`, one a column.

    Replicate i draws from Philox, a counter-based generator, at counter (0, 0, i, purpose) under a key made
    from the seed: its numbers depend on the seed, i and the purpose alone, not on how many replicates there
    are, on how they are cut into chunks, or on which worker makes them.

    Args:
        seed: Not negative.
        first: Number of the first replicate.
        count: How many.
        size: Numbers of each.
        purpose: Tells streams of one seed apart.

    Reference: Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.

    >>> whole = normals(7, 0, 4, 3)
    >>> bool((whole[:, 2:] == normals(7, 2, 2, 3)).all())
    True
    """
    key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    bits = np.random.Philox(key=key, counter=[0, 0, 0, purpose])
    generator, state = np.random.Generator(bits), bits.state
    rows = np.empty((count, size))
    for i, row in enumerate(rows):
        state["state"]["counter"][2] = first + i
        bits.state = state
        generator.standard_normal(out=row)
    return np.ascontiguousarray(rows.T)
