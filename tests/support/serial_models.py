"""Animals seen at uneven times, and models of them with the covariance matrix of the response written out."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

import lmmkit


@functools.cache
def animals(seed=3, count=16, most=7):
    """Two arms, uneven times, items that cross animals, places, a number that variances follow."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(4, most + 1, count)
    animal = np.repeat(np.arange(count), sizes)
    day = np.concatenate([np.sort(rng.uniform(0, 10, size)) for size in sizes])
    frame = pd.DataFrame({"a": animal, "day": day})
    frame["order"] = frame.groupby("a").cumcount()
    frame["animal"] = [f"A{a:02d}" for a in animal]
    frame["arm"] = np.where(animal % 2, "B", "A")
    frame["item"] = rng.choice(list("pqrst"), len(frame))
    frame["mass"] = rng.uniform(1, 3, len(frame))
    frame["east"], frame["north"] = day, rng.uniform(0, 1, len(frame))
    frame["w"] = rng.uniform(0.5, 2.0, len(frame))
    noise = rng.normal(size=len(frame))
    for t in range(1, len(frame)):
        if animal[t] == animal[t - 1]:
            phi = np.exp(-(day[t] - day[t - 1]) / 2.5)
            noise[t] = phi * noise[t - 1] + np.sqrt(1 - phi**2) * noise[t]
    frame["y"] = (
        4 + 0.3 * (frame.arm == "B") * day + frame.mass**0.6 * np.where(frame.arm == "B", 1.5, 1) * noise
    )
    frame["y"] += 2.0 * rng.normal(size=count)[animal] + 0.6 * rng.normal(size=count)[animal] * frame.mass
    frame["y"] += 1.5 * rng.normal(size=5)[frame["item"].map("pqrst".index)]
    return frame.sample(frac=1, random_state=3).reset_index(drop=True)


#: Name: random part, residual structure, weights.
MODELS = {
    "car1": ("", "car1(day | animal)", None),
    "intercept, car1": ("(1 | animal)", "car1(day | animal)", None),
    "slope, car1": ("(0 + mass | animal)", "car1(day | animal)", None),
    "intercept, ar1": ("(1 | animal)", "ar1(order | animal)", None),
    "intercept, ident": ("(1 | animal)", "ident(arm)", None),
    "intercept, exp * car1, weights": ("(1 | animal)", "exp(mass) * car1(day | animal)", "w"),
    "intercept, power * ar1": ("(1 | animal)", "power(mass) * ar1(order | animal)", None),
    "item crossed, car1": ("(1 | item)", "car1(day | animal)", None),
    "power": ("", "power(mass)", None),
    "expsp": ("", "expsp(east, north | animal)", None),
    "slopes, ident": ("(1 + mass | animal)", "ident(arm)", None),
}


@functools.cache
def fit(name, reml=True):
    """Our fit."""
    random, residual, weights = MODELS[name]
    formula = " + ".join(filter(None, ["y ~ arm * day", random]))
    return lmmkit.lmm(formula, animals(), residual=residual, weights=weights, reml=reml)


def written_out(name):
    """V of all rows as a function of phi: variance parameters of the random effects, of R, then sigma."""
    frame, (random, residual, weights) = animals(), MODELS[name]
    same = frame["animal"].to_numpy()[:, None] == frame["animal"].to_numpy()
    day, order, mass = (frame[c].to_numpy(dtype=float) for c in ("day", "order", "mass"))
    place = frame[["east", "north"]].to_numpy()
    B = (frame["arm"] == "B").to_numpy()
    item = frame["item"].to_numpy()
    w = np.ones(len(frame)) if weights is None else frame[weights].to_numpy()

    def V(phi):
        phi = list(phi)
        out = np.zeros((len(frame), len(frame)))
        if random == "(1 + mass | animal)":
            one, cor, two = (phi.pop(0) for _ in range(3))
            Z = np.column_stack([np.ones(len(frame)), mass])
            G = np.array([[one**2, cor * one * two], [cor * one * two, two**2]])
            out += same * (Z @ G @ Z.T)
        elif random:
            groups = item[:, None] == item if "item" in random else same
            z = mass if "mass" in random else np.ones(len(frame))
            out += phi.pop(0) ** 2 * groups * np.outer(z, z)
        g, C = np.ones(len(frame)), np.eye(len(frame))
        if "ident" in residual:
            g = np.where(B, phi.pop(0), 1.0)
        if "power" in residual:
            g = mass ** phi.pop(0)
        if "exp(" in residual:
            g = np.exp(phi.pop(0) * mass)
        if "car1" in residual:
            C = same * np.exp(-np.abs(day[:, None] - day) / phi.pop(0))
        if "ar1(order" in residual:
            lag = np.abs(order[:, None] - order)
            C = same * np.sign(phi[0]) ** lag * np.abs(phi.pop(0)) ** lag
        if "expsp" in residual:
            C = same * np.exp(-np.linalg.norm(place[:, None] - place, axis=2) / phi.pop(0))
        (sigma,) = phi
        s = sigma * g / np.sqrt(w)
        return out + np.outer(s, s) * C

    return V


def parameters(fitted):
    """Those that `written_out` takes, as they are printed."""
    values = fitted.varcorr
    random = values[values["group"] != "Residual"]["sdcor"].to_numpy(dtype=float)
    if len(random) == 3:
        random = random[[0, 2, 1]]
    printed = fitted.residual_params
    if "range" in printed:  # rho is a function of it
        printed = printed.drop("rho", errors="ignore")
    return np.array([*random, *printed, fitted.sigma])
