"""Hand-made files of a run, and small designs, for the sentences of a report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lmmkit.model.design.design import Design, build_design
from lmmkit.study.report.numbers import Files
from lmmkit.study.report.seen import Seen


class FilesOfStep:
    """What `Files` asks of a step: tables and JSON files by path."""

    def __init__(self, files: dict[str, Any]) -> None:
        self.files = files

    def csv(self, path: str) -> pd.DataFrame:
        return self.files[path]

    def json(self, path: str) -> Any:
        return self.files[path]


def report_files(**files: Any) -> Files:
    """Files of a run: tables by name (a frame, or a list of rows), JSON files by their stem.

    `certificate` is the JSON file; `study` has sensible defaults for what is not said.
    """
    found: dict[str, Any] = {}
    for name, content in files.items():
        if name.endswith(".json"):  # one whose stem a table has too
            found[name] = content
        elif isinstance(content, pd.DataFrame):
            found[f"tables/{name}.csv"] = content
        elif isinstance(content, list):
            found[f"tables/{name}.csv"] = pd.DataFrame(content)
        else:
            found["data.schema.json" if name == "data" else f"{name}.json"] = content
    found.setdefault(
        "certificate.json", {"digits": 9, "passed": True, "failed": [], "held": 15, "checks": 15}
    )
    found.setdefault("study.json", study())
    found.setdefault("references.json", {})
    found.setdefault("tables/candidates.csv", pd.DataFrame({"candidate": ["(1 | g)", "(x | g)"]}))
    return Files(FilesOfStep(found))


def seen(formula: str, units: dict[str, str] | None = None, **options: Any) -> Seen:
    """What readers see for the names of `design(formula)`."""
    return Seen(design(formula, **options), units or {})


def study(ci: str = "wald", level: float = 0.95, **units: str | None) -> dict[str, Any]:
    """A resolved study, as far as sentences read it; units by column."""
    columns = {name: {"unit": unit} for name, unit in units.items()}
    asked = {"inference": {"ci": ci, "level": level}, "random_effects": {"simulate": 0}}
    return {**asked, "data": {"columns": columns}, "posterior": None, "missing_data": None}


def design(formula: str, **options: Any) -> Design:
    """The design of a formula over twelve rows.

    Columns: y; numeric x, z, w (positive); factors f (u, v, w) and k (p, q); groups g (4 levels), h (3),
    s (levels within g), b (2 groups of g), and m (another level of g).
    """
    i = np.arange(12)
    frame = pd.DataFrame(
        {
            "y": np.sin(i) + i,
            "x": i % 4 + 0.5 * (i > 5),
            "z": np.cos(3 * i),
            "w": 1.0 + i % 3,
            "f": pd.Categorical(np.array(list("uvw"))[(i + i // 5) % 3]),
            "k": pd.Categorical(np.array(list("pq"))[(i // 2) % 2]),
            "g": np.array(list("abcd"))[i // 3],
            "h": np.array(list("mno"))[i % 3],
            "s": np.array(["s1", "s2"])[(i % 3) // 2],
            "b": np.array(["t", "c"])[i // 6],
            "m": np.array(list("bcda"))[i // 3],
        }
    )
    return build_design(formula, frame, **options)
