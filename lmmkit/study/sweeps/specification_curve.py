"""The specification curve: one estimand in every cell of a sweep, how far the cells agree, joint tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from lmmkit.model.fit import load
from lmmkit.model.resampling.null_draws import NullDraws, null_draws
from lmmkit.study.records.artifacts import json_bytes, read_csv, read_json, write_bytes
from lmmkit.study.records.keys import digest, package_digest, versions
from lmmkit.study.records.manifest import Manifest, Record, load_manifest, record_files
from lmmkit.study.records.step_store import Store
from lmmkit.study.records.temporary import temporary_folder
from lmmkit.study.sweeps.estimands import ESTIMATES
from lmmkit.study.sweeps.results import CellResult

ESTIMATED, SINGULAR, UNCONVERGED = "estimated", "singular", "not converged"
ABSENT, FAILED = "no estimate", "failed"
#: Where the draws under the null are kept: a step of the store, and the file in it.
STEP, FILE = "null", "null.json"

Floats = NDArray[np.float64]


def curve_table(
    results: Sequence[CellResult], numbers: Sequence[Mapping[str, float]], alpha: float
) -> pd.DataFrame:
    """One row per cell in the order of the estimates, those without one last.

    Args:
        results: The cells.
        numbers: What each cell finds of the estimand: estimate, se, low, high, p; nothing where it has none.
        alpha: Level of significance.

    Returns:
        Columns `cell, estimate, se, low, high, p, significant, state`; `F, F_p` where a slope bends in a
        cell.
    """
    rows, more = list[dict[str, Any]](), [name for name in ("F", "F_p") if any(name in n for n in numbers)]
    for result, found in zip(results, numbers, strict=True):
        known = {name: found.get(name, np.nan) for name in (*ESTIMATES, *more)}
        absent = not np.isfinite(known["estimate"])
        significant = None if absent else bool(known["p"] < alpha)
        state = _state(result, absent=absent)
        rows.append({"cell": result.run.cell.number, **known, "significant": significant, "state": state})
    table = pd.DataFrame(rows)
    table["significant"] = pd.array(table["significant"].to_list(), dtype="boolean")
    return table.sort_values(["estimate", "cell"], na_position="last", ignore_index=True)


def of_coefficient(results: Sequence[CellResult], coefficient: str) -> list[dict[str, float]]:
    """A coefficient in each cell, from the tables of its run."""
    found = list[dict[str, float]]()
    for result in results:
        values = {name: result.value(f"{coefficient}.{name}") for name in ESTIMATES}
        found.append({name: np.nan if value is None else float(value) for name, value in values.items()})
    return found


def _state(result: CellResult, *, absent: bool) -> str:
    if result.run.error is not None:
        return FAILED
    if absent:
        return ABSENT
    if result.value("converged") is False:
        return UNCONVERGED
    return SINGULAR if result.value("singular") is True else ESTIMATED


def agreement(curve: pd.DataFrame) -> dict[str, Any]:
    """How many of all cells agree in sign and significance; those without an estimate agree with nobody."""
    estimate = curve["estimate"].to_numpy(dtype="float64")
    significant = curve["significant"].to_numpy(dtype=bool, na_value=False)
    positive, negative = estimate > 0, estimate < 0
    sign = "positive" if positive.sum() >= negative.sum() else "negative"
    same = positive if sign == "positive" else negative
    known = estimate[np.isfinite(estimate)]
    summaries = {"median": np.median, "lowest": np.min, "highest": np.max}
    return {
        "cells": len(curve),
        "estimated": len(known),
        **{word: int((curve["state"] == word).sum()) for word in (SINGULAR, UNCONVERGED, ABSENT, FAILED)},
        "sign": sign,
        "same sign": int(same.sum()),
        "same sign, significant": int((same & significant).sum()),
        "opposite sign, significant": int((~same & significant).sum()),
        "share of same sign": float(same.mean()),
        "share of same sign, significant": float((same & significant).mean()),
        **{name: float(summary(known)) if len(known) else None for name, summary in summaries.items()},
    }


class JointTest(NamedTuple):
    """One joint test of the curve.

    Attributes:
        name: What is tested.
        observed: The statistic in the data.
        p: Share of replicates under the null that are as extreme.
    """

    name: str
    observed: float
    p: float


def joint_tests(
    observed: tuple[Floats, Floats], null: tuple[Floats, Floats], alpha: float
) -> tuple[list[JointTest], int]:
    """The three joint tests of Simonsohn, Simmons & Nelson (2020), two-sided, and the replicates they use.

    The median estimate; the number of significant estimates in the dominant direction; the aggregate of the
    z values by Stouffer. p = (1 + replicates as extreme) / (1 + replicates). A replicate in which a cell
    could not be fitted is judged by the others.

    Args:
        observed: Estimates and standard errors of the cells, (k,) each.
        null: The same in replicates under the null, (k, n) each.
        alpha: Level of significance of one estimate.
    """
    found = _statistics(observed[0][:, None], observed[1][:, None], alpha)
    tests, used = list[JointTest](), 0
    for name, drawn in _statistics(*null, alpha).items():
        statistic, used = float(found[name][0]), len(drawn)
        # A replicate that ties with the data up to rounding counts as as extreme.
        extreme = int((np.abs(drawn) >= abs(statistic) * (1.0 - 1e-12)).sum())
        tests.append(JointTest(name, statistic, (1 + extreme) / (1 + used)))
    return tests, used


def _statistics(estimate: Floats, se: Floats, alpha: float) -> dict[str, Floats]:
    """The three statistics of each replicate, (n,), from (k, n) estimates and standard errors."""
    known = np.isfinite(estimate / se)
    fitted = known.any(axis=0)
    estimate, known = np.where(known, estimate, np.nan)[:, fitted], known[:, fitted]
    z = estimate / se[:, fitted]
    critical = float(ndtri(1.0 - alpha / 2.0))
    with np.errstate(invalid="ignore"):
        dominant = np.where((z > 0).sum(axis=0) >= (z < 0).sum(axis=0), z, -z)
        significant: Floats = (dominant > critical).sum(axis=0).astype(np.float64)
    return {
        "median estimate": np.nanmedian(estimate, axis=0),
        "significant in the dominant direction": significant,
        "aggregate z (Stouffer)": np.nansum(z, axis=0) / np.sqrt(known.sum(axis=0)),
    }


class NullOptions(NamedTuple):
    """What is drawn under the null.

    Attributes:
        estimand: What has no effect.
        n: Number of replicates.
        seed: Seed of the random numbers.
    """

    estimand: str
    n: int
    seed: int


def draw_all(
    runs: Sequence[tuple[Path, Floats | str]], options: NullOptions, store: Store, threads: int
) -> Iterator[NullDraws]:
    """The draws of each run, in order; the random numbers are the same for the same rows and levels.

    Args:
        runs: The folder of each, and its estimand: weights of the coefficients, or the name of one.
        options: What is drawn.
        store: Where draws are kept.
        threads: How many runs at a time.
    """
    with ThreadPoolExecutor(threads) as executor:
        yield from executor.map(draws_of, runs, repeat(options), repeat(store))


def draws_of(run: tuple[Path, Floats | str], options: NullOptions, store: Store) -> NullDraws:
    """The draws of one run, from the store when they are there: by the fit and the rows it was made from."""
    folder, of = run
    manifest = load_manifest(folder)
    files = manifest.files().values() if manifest else ()
    inputs = [[f.path, f.sha256] for f in files if f.path.startswith("fit/") or f.path == "rows.csv"]
    weights = of if isinstance(of, str) else of.tolist()
    key = digest([list(options), weights, inputs, package_digest(), versions()])
    with store.making(STEP, key):
        if store.find(STEP, key) is None:
            with temporary_folder() as place:
                write_bytes(place / FILE, json_bytes(_drawn(folder, of, options)._asdict()))
                store.keep(Record(STEP, key, record_files(place, Manifest("", key))), place)
        kept = read_json(store.root / STEP / key / FILE)
    return NullDraws(*(np.array(kept[name], dtype=np.float64) for name in ("estimate", "se")))


def _drawn(folder: Path, of: Floats | str, options: NullOptions) -> NullDraws:
    estimates = load(folder / "fit").estimates
    ledger = read_csv(folder / "rows.csv")
    rows = ledger.loc[ledger["status"] == "kept", "row"].to_numpy(dtype=np.intp)[estimates.design.rows]
    return null_draws(estimates, of, rows=rows, n=options.n, seed=options.seed)
