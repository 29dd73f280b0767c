"""Relatives: `python benchmarks/relatives.py [herds | nucleus | matrix]`, a process each; seconds, memory.

herds    100,000 animals of 10 generations in 500 herds, dams of the herd, 30 sires a generation for all herds
nucleus  100,000 animals of 10 generations in one closed herd, 200 sires (2 %) a generation
matrix   3,000 related lines with two rows each and a dense relationship matrix from 6,000 markers

From the table to the fit, pedigree or matrix included: seconds of the processor, peak memory in MB.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.relations.pedigree import Pedigree, pedigree_of
from lmmkit.engine.relations.relationship import dense_relationship
from lmmkit.engine.solve import solve
from lmmkit.model.threads import one_thread

ANIMALS, GENERATIONS = 100_000, 10
LINES, MARKERS, ROWS = 3_000, 6_000, 2
LIMITS = {"herds": (10.0, 1_000.0), "nucleus": (30.0, 2_000.0), "matrix": (12.0, 2_000.0)}


def population(sires: int, herds: int, seed: int) -> pd.DataFrame:
    """Animals with their parents, herds and records of heritability a third."""
    rng, size = np.random.default_rng(seed), ANIMALS // GENERATIONS
    herd = np.arange(ANIMALS) % herds
    sire, dam = np.full(ANIMALS, -1), np.full(ANIMALS, -1)
    for generation in range(1, GENERATIONS):
        now = np.arange(generation * size, (generation + 1) * size)
        bulls = rng.choice(now - size, sires, replace=False)
        cows = np.setdiff1d(now - size, bulls)
        cows = cows[np.argsort(herd[cows], kind="stable")]
        first = np.searchsorted(herd[cows], np.arange(herds + 1))
        sire[now] = rng.choice(bulls, size)
        own = herd[now]
        dam[now] = cows[first[own] + (rng.random(size) * (first[own + 1] - first[own])).astype(int)]
    names = np.array([f"i{i:06}" for i in range(ANIMALS)] + [""])
    frame = pd.DataFrame({"animal": names[:-1], "sire": names[sire], "dam": names[dam], "herd": herd})
    pedigree = _pedigree(frame)
    frame["sex"] = rng.choice(["F", "M"], ANIMALS)
    value = pedigree.coloured(rng.normal(size=ANIMALS)) * np.sqrt(20.0)
    frame["y"] = 100 + 3 * (frame.sex == "M") + value + rng.normal(size=ANIMALS) * np.sqrt(40.0)
    return frame


def _pedigree(frame: pd.DataFrame) -> Pedigree:
    return pedigree_of(frame.animal.tolist(), frame.sire.tolist(), frame.dam.tolist())


def animals(frame: pd.DataFrame) -> None:
    """The animal model from the table."""
    begin = time.process_time()
    pedigree = _pedigree(frame)
    pedigree.logdet  # noqa: B018
    made = time.process_time()
    codes = pd.Index(pedigree.animals).get_indexer(pd.Index(frame.animal))
    male = (frame.sex == "M").to_numpy(float)
    term = Term(0, codes, pedigree.levels, (0,), Unstructured(1), (), pedigree)
    columns = (np.broadcast_to(1.0, len(frame)), male)
    fit = solve(Problem(columns, (0, 1), frame.y.to_numpy(), (term,)))
    fitted = time.process_time()
    fit.conditional_variances()
    _say(fit, {"pedigree": made - begin, "fit": fitted - made, "variances": time.process_time() - fitted})


def matrix() -> None:
    """Lines related by markers."""
    rng = np.random.default_rng(5)
    markers = rng.binomial(2, rng.uniform(0.05, 0.5, MARKERS), (LINES, MARKERS)).astype(float)
    markers -= markers.mean(axis=0)
    K = markers @ markers.T / markers.var(axis=0).sum()
    line = np.repeat(np.arange(LINES), ROWS)
    value = markers @ rng.normal(size=MARKERS) / np.sqrt(MARKERS)
    y = 10 + value[line] + rng.normal(size=len(line))
    begin = time.process_time()
    relation = dense_relationship(K)
    term = Term(0, line, LINES, (0,), Unstructured(1), (), relation)
    made = time.process_time()
    fit = solve(Problem((np.broadcast_to(1.0, len(y)),), (0,), y, (term,)))
    fitted = time.process_time()
    fit.random_effects()
    _say(fit, {"matrix": made - begin, "fit": fitted - made, "effects": time.process_time() - fitted})


def _say(fit, parts: dict[str, float]) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shown = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
    h2 = fit.factors[0][0, 0] ** 2 / (1 + fit.factors[0][0, 0] ** 2)
    print(
        f"{sum(parts.values()):.2f} s ({shown}), {memory:.0f} MB, {fit.evaluations} evaluations, converged "
        f"{fit.converged}, deviance {fit.deviance:.6f}, h2 {h2:.4f}",
        flush=True,
    )


def main() -> None:
    """One workload, or each in a process of its own."""
    if len(sys.argv) > 1:
        with one_thread():
            if sys.argv[1] == "matrix":
                matrix()
            else:
                animals(population(*{"herds": (30, 500), "nucleus": (200, 1)}[sys.argv[1]], seed=1))
        return
    print(f"limits in s and MB: {LIMITS}", flush=True)
    for name in LIMITS:
        print(name, end=": ", flush=True)
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main()
