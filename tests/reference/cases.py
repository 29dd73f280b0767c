"""The reference models: their data, their truth, and our fits of them, each made once."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd

import lmmkit

HERE = Path(__file__).parent
DATA = HERE / "data"
SHIPPED = HERE.parent.parent / "params" / "data"
NOT_MODELS = {"nist", "mrode31", "pedigree_open"}
MODELS = sorted(path.stem for path in DATA.glob("*.json") if path.stem not in NOT_MODELS)
CASES = [(model, criterion) for model in MODELS for criterion in ("REML", "ML")]
SMALL = [
    case for case in CASES if case[0] not in {"insteval", "verbagg", "exam_int", "exam_slope", "scotssec"}
]


@functools.cache
def facts(name):
    """What is known of a model."""
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


def read(file, factors):
    """A table whose factors are text, whatever they look like."""
    path = SHIPPED / "insteval.csv.gz" if file == "InstEval.csv.gz" else DATA / file
    path = path if path.exists() else path.with_name(f"{file}.gz")
    return pd.read_csv(path, dtype=dict.fromkeys(factors, str))


@functools.cache
def table(name):
    """The data of a model."""
    return read(facts(name)["data"], facts(name)["factors"])


@functools.cache
def fitted(name, criterion):
    """Our fit."""
    return lmmkit.lmm(facts(name)["formula"], table(name), reml=criterion == "REML")


def truth(name, criterion):
    """The optimum in 100-digit arithmetic where it is known, else lme4's best, named as lme4 names it."""
    known = facts(name)[criterion]
    if "mp" not in known:
        return (
            known
            | {"fixef": list(known["fixef"].values()), "se": list(known["se"].values())}
            | {"theta": list(known["theta"].values())}
        )
    return known | known["mp"]


def r_names(names):
    """Our names as R writes them: `recipe[T.B]:temp` is `recipeB:temp`."""
    return [
        name.replace("Intercept", "(Intercept)").replace("[T.", "").replace("[", "").replace("]", "")
        for name in names
    ]


def aligned(name, criterion, series):
    """A series by coefficient in lme4's order."""
    order = list(facts(name)[criterion]["fixef"])
    return pd.Series(series.to_numpy(), index=r_names(series.index)).loc[order].to_numpy()


def stacked(frames):
    """Random effects of all terms in the order of the columns of lme4's Z."""
    return np.concatenate([frame.ravel() for frame in frames])
