"""One digest for all files of a run: a Merkle tree's root, so that paper and folder can be held together.

A leaf is a file's path with its digest, in the order of the paths; the tree is that of RFC 6962, section 2.1,
where leaves and nodes are hashed apart (0x00, 0x01) and the left half is the largest power of two that leaves
something for the right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from lmmkit.study.records.manifest import File

#: Where a report's step keeps the root of all that was there before it.
NAME = "root.json"


def root_digest(files: Iterable[File]) -> str:
    """The root over files, 64 hexadecimal digits; it changes with any path or digest among them.

    >>> one, two = File("a.csv", 1, "00" * 32), File("b.csv", 1, "11" * 32)
    >>> root_digest([one, two]) == root_digest([two, one]) != root_digest([one])
    True
    """
    ordered = sorted(files, key=lambda file: file.path)
    return _root(
        [_hash(b"\x00", file.path.encode(), b"\x00", bytes.fromhex(file.sha256)) for file in ordered]
    ).hex()


def _root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else _hash()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return _hash(b"\x01", _root(leaves[:half]), _root(leaves[half:]))


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
