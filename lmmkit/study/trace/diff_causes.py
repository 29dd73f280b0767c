"""What two runs were made from, and where that is not the same: rows, parameters, seed, versions, code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lmmkit.study.audit.integrity import Opened
from lmmkit.study.audit.rerun import Recipe
from lmmkit.study.records.keys import package_digest, versions
from lmmkit.study.records.values import tree_values

ROWS, PARAMETERS, SEED, VERSIONS, CODE = "rows", "parameters", "seed", "versions", "code"


@dataclass(frozen=True)
class Change:
    """One thing that is not the same in two runs: its cause, what it is, then and now."""

    cause: str
    what: str
    one: str
    other: str


def changes(one: Opened, other: Opened) -> list[Change]:
    """All that is not the same in the making of two runs."""
    return [*_settings(one, other), *_provenance(one.provenance, other.provenance)]


def _settings(one: Opened, other: Opened) -> list[Change]:
    sides = [_leaves(run.settings) for run in (one, other)]
    keys = dict.fromkeys([*sides[0], *sides[1]])
    moved = [(key, *(side.get(key, "absent") for side in sides)) for key in keys]
    return [Change(_cause(key), key, str(a), str(b)) for key, a, b in moved if a != b]


def _leaves(settings: Mapping[str, Any]) -> dict[str, object]:
    return {
        f"{place.field}{place.row}": value
        for place, value in tree_values(settings)
        if not place.field.endswith("length")
    }


def _cause(key: str) -> str:
    if key.startswith("data"):
        return ROWS
    return SEED if key == "seed" else PARAMETERS


def _provenance(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Change]:
    found = list[Change]()
    if one.get("sha256") != other.get("sha256"):
        found.append(Change(ROWS, "data file", str(one.get("sha256"))[:12], str(other.get("sha256"))[:12]))
    for cause, key in ((VERSIONS, "versions"), (CODE, "notebooks")):
        sides: list[dict[str, str]] = [side.get(key, {}) for side in (one, other)]
        for name in dict.fromkeys([*sides[0], *sides[1]]):
            a, b = (side.get(name, "absent") for side in sides)
            if a != b:
                found.append(Change(cause, name, a[:12], b[:12]))
    if one.get("package") != other.get("package"):
        package = [str(side.get("package"))[:12] for side in (one, other)]
        found.append(Change(CODE, "source of lmmkit", *package))
    return found


def is_current(provenance: Mapping[str, Any], notebooks: Mapping[str, str]) -> bool:
    """Whether a run was made by the code and versions that are installed now."""
    recorded = (provenance.get("package"), provenance.get("versions"), provenance.get("notebooks"))
    return recorded == (package_digest(), versions(), dict(notebooks))


def stages(one: Recipe, other: Recipe) -> list[tuple[str, Recipe]]:
    """From one recipe to the other, a cause at a time; only the causes in which they are not the same."""
    found = list[tuple[str, Recipe]]()
    at = one
    for cause, keys in ((ROWS, {"data"}), (PARAMETERS, _others(one, other)), (SEED, {"seed"})):
        settings = {**at.settings, **{key: other.settings[key] for key in keys if key in other.settings}}
        step = replace(at, settings=settings)
        if cause == ROWS:
            step = replace(step, source=other.source, sha256=other.sha256)
        if step != at:
            found.append((cause, step))
        at = step
    return found


def _others(one: Recipe, other: Recipe) -> set[str]:
    return (set(one.settings) | set(other.settings)) - {"data", "seed"}
