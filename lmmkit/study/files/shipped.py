"""Where the notebooks, studies and data sets that ship with lmmkit lie: in a wheel and in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]


def shipped(folder: str) -> Path:
    """The installed folder `notebooks` or `params`: in the package, or beside it in a checkout."""
    inside = _PACKAGE / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder


def data_sets() -> dict[str, Path]:
    """The data sets that ship, by name.

    >>> "sleepstudy" in data_sets()
    True
    """
    folder = shipped("params") / "data"
    return {path.name.split(".")[0]: path for path in sorted(folder.glob("*.csv*"))}
