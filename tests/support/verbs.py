"""The models whose tables R's packages made, fitted here, and what R says of them."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pandas as pd

import lmmkit

REFERENCE = Path(__file__).parent.parent / "reference"
R = json.loads((REFERENCE / "verbs" / "verbs.json").read_text(encoding="utf-8"))
MODELS = [name for name in R if name != "versions"]


@functools.cache
def table(name: str) -> pd.DataFrame:
    return pd.read_csv(REFERENCE / "data" / f"{name}.csv")


@functools.cache
def fitted(name: str) -> lmmkit.Fit:
    """The model that R calls so."""
    sleep = table("sleepstudy")
    return {
        "sleep": lambda: lmmkit.lmm("Reaction ~ Days + (Days | Subject)", sleep),
        "penicillin": lambda: lmmkit.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", table("Penicillin")),
        "cake": lambda: lmmkit.lmm("angle ~ recipe * temperature + (1 | recipe:replicate)", table("cake")),
        "machines": lambda: lmmkit.lmm(
            "score ~ Machine + (1 | Worker) + (1 | Worker:Machine)", table("Machines")
        ),
        "sleep2": lambda: lmmkit.lmm(
            "log(Reaction) ~ poly(Days, 2) + (1 | Subject) + (0 + Days | Subject)",
            sleep.assign(w=1.0 + sleep["Days"]),
            weights="w",
        ),
    }[name]()


def of_r(name: str, what: str) -> pd.DataFrame:
    """A table of R's."""
    return pd.DataFrame(R[name][what])
