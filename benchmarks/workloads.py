"""The models that are timed, and their data.

a and b are real data that ship with the project; c to f are simulated, in this order from one stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
SHIPPED = HERE.parent / "params" / "data"
CACHE = HERE / ".data"


@dataclass(frozen=True)
class Workload:
    """One model by REML: its table, the table in words, the fixed part and the bars of its formula."""

    name: str
    data: str
    rows: str
    fixed: str
    bars: tuple[str, ...]
    factors: tuple[str, ...] = ()

    @property
    def formula(self) -> str:
        """The whole formula in lme4's language."""
        return " + ".join([self.fixed, *(f"({bar})" for bar in self.bars)])

    @property
    def terms(self) -> list[tuple[list[str], str]]:
        """Of each bar: its slopes beside the intercept, and its grouping column."""
        sides = (bar.replace("a * b", "a + b + a:b").split(" | ") for bar in self.bars)
        return [([] if left == "1" else left.split(" + "), group) for left, group in sides]

    @property
    def groups(self) -> list[str]:
        """The grouping columns, in the order of the bars."""
        return [group for _, group in self.terms]

    def frame(self) -> pd.DataFrame:
        """The stored table."""
        return self.typed(pd.read_parquet(CACHE / f"{self.data}.parquet"))

    def typed(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with categories for the factors of the fixed part."""
        return table.astype(dict.fromkeys(self.factors, "category"))


INSTEVAL = ("insteval", "73,421 rows: 2,972 students x 1,128 lecturers (14 departments)")
SERVICE = ("service", "studage")
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("a", "sleepstudy", "180 rows: 18 subjects", "Reaction ~ Days", ("Days | Subject",)),
        Workload("b2", *INSTEVAL, "y ~ service * studage", ("1 | s", "1 | d"), SERVICE),
        Workload("b3", *INSTEVAL, "y ~ service", ("1 | s", "1 | d", "1 | dept"), SERVICE),
        Workload("c", "c", "1,000,000 rows: 100,000 groups", "y ~ x", ("x | g",)),
        Workload(
            "d", "d", "4,800 rows: 60 subjects x 80 items", "y ~ a * b", ("a * b | subj", "a * b | item")
        ),
        Workload(
            "e",
            "e",
            "200,000 rows: 200 schools, 4,000 classes, 40,000 students",
            "y ~ x + w",
            ("x | school", "x | cls", "1 | student"),
        ),
        Workload("f", "f", "1,000,000 rows: 50,000 x 2,000 levels", "y ~ x", ("1 | u", "1 | i")),
    )
}


def tables() -> Iterator[tuple[str, pd.DataFrame]]:
    """Every table by its name."""
    for name in ("sleepstudy", "insteval"):
        yield name, pd.read_csv(next(SHIPPED.glob(f"{name}.csv*")))
    yield from simulated()


def simulated() -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables of c to f."""
    rng = np.random.default_rng(1)
    yield "c", _one_factor(rng)
    yield "d", _latin_square(rng)
    yield "e", _nested(rng)
    yield "f", _crossed(rng)


def _one_factor(rng: np.random.Generator, n: int = 1_000_000, levels: int = 100_000) -> pd.DataFrame:
    g, x = rng.integers(0, levels, n), rng.normal(size=n)
    b = rng.normal(size=(levels, 2)) @ np.array([[0.8, 0], [0.2, 0.4]]).T
    return pd.DataFrame({"y": 1 + 0.5 * x + b[g, 0] + b[g, 1] * x + rng.normal(size=n), "x": x, "g": g})


def _latin_square(rng: np.random.Generator, subjects: int = 60, items: int = 80) -> pd.DataFrame:
    """Each subject sees each item in one of four conditions."""
    s, i = (grid.ravel() for grid in np.meshgrid(np.arange(subjects), np.arange(items), indexing="ij"))
    condition = (s + i) % 4
    a, b = condition // 2 - 0.5, condition % 2 - 0.5
    X = np.column_stack([np.ones(len(s)), a, b, a * b])
    by_subject = rng.normal(size=(subjects, 4)) @ _factor([60, 20, 15, 8], 0.3).T
    by_item = rng.normal(size=(items, 4)) @ _factor([40, 15, 10, 5], 0.2).T
    y = X @ [500, 20, -15, 10] + (X * by_subject[s]).sum(1) + (X * by_item[i]).sum(1)
    return pd.DataFrame({"y": y + rng.normal(size=len(s)) * 100, "a": a, "b": b, "subj": s, "item": i})


def _nested(
    rng: np.random.Generator, n: int = 200_000, sizes: tuple[int, ...] = (200, 4_000, 40_000)
) -> pd.DataFrame:
    schools, classes, students = sizes
    student = rng.integers(0, students, n)
    class_of, school_of = rng.integers(0, classes, students), rng.integers(0, schools, classes)
    cls = class_of[student]
    school = school_of[cls]
    x, w = rng.normal(size=n), rng.normal(size=classes)[cls]
    y = 2 + 0.3 * x + 0.2 * w
    y = y + rng.normal(size=schools)[school] * 0.5 + rng.normal(size=schools)[school] * 0.2 * x
    y = y + rng.normal(size=classes)[cls] * 0.6 + rng.normal(size=classes)[cls] * 0.3 * x
    y = y + rng.normal(size=students)[student] * 0.9 + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "w": w, "school": school, "cls": cls, "student": student})


def _crossed(
    rng: np.random.Generator, n: int = 1_000_000, levels: tuple[int, int] = (50_000, 2_000)
) -> pd.DataFrame:
    u, i, x = rng.integers(0, levels[0], n), rng.integers(0, levels[1], n), rng.normal(size=n)
    y = 3 + 0.2 * x + rng.normal(size=levels[0])[u] * 0.7 + rng.normal(size=levels[1])[i] * 0.5
    return pd.DataFrame({"y": y + rng.normal(size=n) * 1.2, "x": x, "u": u, "i": i})


def _factor(sd: list[float], correlation: float) -> np.ndarray:
    """Cholesky factor of a covariance matrix with these SDs and equal correlations."""
    R = np.full((len(sd), len(sd)), correlation)
    np.fill_diagonal(R, 1)
    return np.linalg.cholesky(R * np.outer(sd, sd))


def peak_memory() -> float:
    """The largest resident size of this process in MB (0 where the system does not tell)."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def prepare() -> None:
    """Write every table to the cache: Parquet, and raw doubles for R."""
    if (CACHE / "complete").exists():
        return
    CACHE.mkdir(exist_ok=True)
    for name, table in tables():
        _store(name, table)
    (CACHE / "complete").touch()


def _store(name: str, table: pd.DataFrame) -> None:
    table.to_parquet(CACHE / f"{name}.parquet")
    folder = CACHE / name
    folder.mkdir(exist_ok=True)
    for column in table:
        table[column].to_numpy(dtype=np.float64).tofile(folder / f"{column}.f64")
