"""What a worker of a cluster does: lay the project out, make a cell, hand its files back.

A worker needs lmmkit and nothing else of the machine that asks: no shared file system, no port.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from lmmkit.study.cluster.project_archive import Parcel, taken, unpack
from lmmkit.study.records.keys import package_digest
from lmmkit.study.sweeps.sweep_staff import Staff


@dataclass(frozen=True)
class Delivery:
    """What a worker answers.

    Attributes:
        package: Digest of its source; another than the asking side's, and it has made nothing.
        key: The key of the run.
        error: What went wrong.
        files: The run folder, by path.
    """

    package: str
    key: str | None = None
    error: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)


_STAFFS: dict[str, Staff] = {}
_LOCK = Lock()


def same(parcel: Parcel) -> Parcel:
    """The parcel itself: as a task of its own it travels to each worker once, and again when one is lost."""
    return parcel


def make(parcel: Parcel, order: dict[str, Any], options: dict[str, Any], package: str) -> Delivery:
    """Make one cell.

    Args:
        parcel: The project.
        order: What the cell is.
        options: How kernels are made.
        package: Digest of the source that the asking side has.
    """
    if package_digest() != package:
        return Delivery(package_digest())
    staff = _staff(parcel, options)
    assert staff.folder is not None
    reports = staff.folder / "reports"
    answer = staff.ask({**order, "study": str(staff.folder / parcel.study), "reports": str(reports)})
    key = answer["key"]
    files = taken(reports / Path(parcel.study).stem / key) if key else {}
    return Delivery(package, key, answer["error"], files)


def _staff(parcel: Parcel, options: dict[str, Any]) -> Staff:
    """The worker processes of a project, in a folder of their own that goes with the cluster's worker."""
    from distributed import get_worker

    name = f"{parcel.digest} {sorted(options.items())}"
    with _LOCK:
        if name not in _STAFFS:
            folder = Path(tempfile.mkdtemp(prefix="lmmkit-", dir=get_worker().local_directory))
            unpack(parcel, folder)
            _STAFFS[name] = Staff(options, folder)
        return _STAFFS[name]
