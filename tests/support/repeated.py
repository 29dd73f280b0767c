"""A trial with dropout and missed visits, and its models written out: structure by structure."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd
from support.dense_residual import DenseInference, covariance, visits

import lmmkit

VISITS = ["w1", "w2", "w4"]
#: Text of the structure: kind of correlation, whether each visit has a variance, column of groups.
STRUCTURES = {
    "un(visit | id)": ("un", True, None),
    "cs(visit | id)": ("cs", False, None),
    "csh(visit | id)": ("cs", True, None),
    "toep(visit | id)": ("toep", False, None),
    "toeph(visit | id)": ("toep", True, None),
    "ar1(visit | id)": ("ar1", False, None),
    "ar1h(visit | id)": ("ar1", True, None),
    "ad(visit | id)": ("ad", False, None),
    "adh(visit | id)": ("ad", True, None),
    "ident(visit)": ("identity", True, None),
    "un(visit | id, by=arm)": ("un", True, "arm"),
    "ar1h(visit | id, by=arm)": ("ar1", True, "arm"),
    "cs(visit | id, by=arm)": ("cs", False, "arm"),
}


@functools.cache
def trial(seed=3, subjects=26):
    """Two arms, three visits, a covariate; a fifth of the visits is missed."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(itertools.product(range(subjects), range(3)), columns=["s", "t"])
    frame["arm"] = np.where(frame.s % 2, "B", "A")
    frame["id"] = [f"P{s:02d}" for s in frame.s]
    frame["visit"] = pd.Categorical([VISITS[t] for t in frame.t], VISITS)
    frame["x"] = rng.normal(size=subjects)[frame.s]
    shared = rng.normal(size=subjects)[frame.s]
    drift = rng.normal(size=subjects)[frame.s] * frame.t * 0.6
    spread = np.where(frame.arm == "B", 1.4, 1.0) * (1.0 + 0.3 * frame.t)
    frame["y"] = 5 + 0.5 * frame.x + (frame.arm == "B") * frame.t + spread * shared + drift
    frame["y"] += rng.normal(size=len(frame)) * spread
    kept = frame[(rng.uniform(size=len(frame)) > 0.2) | (frame.s < 4)]
    return kept.sample(frac=1, random_state=1).reset_index(drop=True)


@functools.cache
def fitted(residual, reml=True, formula="y ~ arm * visit + x"):
    """A fit of it."""
    return lmmkit.lmm(formula, trial(), residual=residual, reml=reml)


def parameters(fit, kind, heterogeneous, groups):
    """SDs, then correlations, of each group: from `sigma` and `residual_params` by their names."""
    known, out = fit.residual_params.to_dict(), []
    for at, group in enumerate(groups or [""]):
        prefix = f"{group}." if group else ""
        own = VISITS if heterogeneous else [""]
        names = [".".join(filter(None, [f"{prefix}ratio", visit])) for visit in own]
        sds = [1.0 if not at and not i else known[name] for i, name in enumerate(names)]
        pairs = [(a, b) for i, a in enumerate(VISITS) for b in VISITS[i + 1 :]]
        correlations = {
            "un": [f"cor.{a}.{b}" for a, b in pairs],
            "cs": ["rho"],
            "ar1": ["rho"],
            "toep": ["rho.1", "rho.2"],
            "ad": [f"rho.{a}.{b}" for a, b in itertools.pairwise(VISITS)],
            "identity": [],
        }[kind]
        out += [fit.sigma * sd for sd in sds] + [known[prefix + name] for name in correlations]
    return np.array(out)


def dense(residual, *, reml=True, observed=False):
    """The model of `fitted` written out, at its estimates."""
    return _observed(residual) if observed else _dense(residual, reml)


@functools.cache
def _dense(residual, reml):
    return dense_at(fitted(residual, reml), residual, reml=reml)


@functools.cache
def _observed(residual):
    return _dense(residual, True).with_observed()


def dense_at(fit, residual, *, reml=True, response=None):
    """The same model written out, at the estimates of its fit."""
    kind, heterogeneous, by = STRUCTURES[residual]
    frame = trial()
    codes = [np.unique(frame[name], return_inverse=True)[1] for name in ("id", "arm")]
    times = frame["visit"].cat.codes.to_numpy()
    V = visits(kind, heterogeneous, len(VISITS), codes[0], times, codes[1] if by else None)
    phi = parameters(fit, kind, heterogeneous, ["A", "B"] if by else None)
    y = frame["y"].to_numpy() if response is None else response
    return DenseInference(fit.estimates.X, y, V, phi, reml=reml)


def matrix(fit, kind, heterogeneous):
    """(k, k) covariance matrix of one group's visits."""
    return covariance(kind, heterogeneous, len(VISITS), parameters(fit, kind, heterogeneous, None))
