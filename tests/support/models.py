"""Fits that several tests share, each made once."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from reference.cases import table

import lmmkit


@functools.cache
def crossed():
    """Slopes and intercepts of two crossed factors on generated data, with weights and an offset."""
    rng = np.random.default_rng(7)
    n = 240
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "f": rng.choice(["low", "mid", "high"], n),
            "g": rng.integers(0, 20, n),
            "h": rng.choice(list("abcdefgh"), n),
            "w": rng.uniform(0.5, 3.0, n),
            "o": rng.normal(size=n),
        }
    )
    b = rng.normal(size=(20, 2))[frame.g]
    noise = rng.normal(size=n) / np.sqrt(frame.w)
    frame["y"] = 2 + frame.o + frame.x * (1 + 0.5 * b[:, 1]) + b[:, 0] + (frame.h < "d") + noise
    return frame


@functools.cache
def fit(name="sleep"):
    """One of the shared fits."""
    if name == "crossed":
        return lmmkit.lmm("y ~ x + f + (x | g) + (1 | h)", crossed(), weights="w", offset="o")
    if name == "singular":
        return lmmkit.lmm("Yield ~ 1 + (1 | Batch)", table("dyestuff2"))
    if name == "machines":
        return lmmkit.lmm("score ~ Machine + (0 + Machine | Worker)", table("machines_vector"))
    if name == "aliased":
        frame = table("sleep_full").assign(twice=lambda d: 2 * d.Days)
        return lmmkit.lmm("Reaction ~ Days + twice + (Days || Subject)", frame)
    return lmmkit.lmm("Reaction ~ Days + (Days | Subject)", table("sleep_full"))


NAMES = ["sleep", "crossed", "singular", "machines", "aliased"]
