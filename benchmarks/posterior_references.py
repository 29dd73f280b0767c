"""Posteriors by Hamiltonian Monte Carlo under written-out priors: what `lmmkit.posterior` is held against.

Models with independent random effects are fitted by Bambi, correlated ones by PyMC directly
(LKJCholeskyCov), both drawn by nutpie. Flat priors on the fixed effects, half Student t (3 df) on every
standard deviation, LKJ(1) on correlations. Each model leaves a small JSON: means, sds, quantiles, their
Monte Carlo standard errors, effective draws, split R-hat, divergences, PSIS-LOO and WAIC of the rows given
the groups, seconds, versions.

In an environment of its own (benchmarks/posterior_references.txt):

    python benchmarks/posterior_references.py tests/reference/posterior [model ...]
"""

# ruff: noqa: D102, D103

from __future__ import annotations

import json
import sys
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import arviz as az
import bambi as bmb
import numpy as np
import nutpie
import pandas as pd
import pymc as pm

DATA = Path(__file__).resolve().parent.parent / "tests/reference/data"
CHAINS, TUNE, DRAWS, SEED = 4, 1_500, 6_000, 20_260_801
ACCEPT = {"dyestuff2": 0.99, "penicillin": 0.99, "machines": 0.97}
QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
PACKAGES = ("pymc", "bambi", "nutpie", "arviz", "pytensor", "numba", "numpy")


@dataclass(frozen=True)
class Model:
    """A model with its priors: `scale` of the half Student t (3 df) on all standard deviations."""

    name: str
    data: str
    formula: str
    factors: tuple[str, ...]
    why: str

    def table(self) -> pd.DataFrame:
        table = pd.read_csv(DATA / f"{self.data}.csv")
        return table.assign(**{name: table[name].astype(str) for name in self.factors})

    @property
    def response(self) -> str:
        return self.formula.partition("~")[0].strip()

    def scale(self) -> float:
        """As brms has it: max(2.5, mad of the response, to one decimal)."""
        y = self.table()[self.response].to_numpy(float)
        return max(2.5, round(1.4826 * float(np.median(np.abs(y - np.median(y)))), 1))


MODELS = {
    model.name: model
    for model in (
        Model("sleep_uncor", "sleepstudy", "Reaction ~ Days + (Days || Subject)", ("Subject",),
        "independent slopes"), Model("penicillin", "Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)",
        ("plate", "sample"),
              "crossed factors, one of them with 6 levels"),
        Model("dyestuff2", "Dyestuff2", "Yield ~ 1 + (1 | Batch)", ("Batch",),
              "6 groups, a REML estimate of zero"),
        Model("sleep_slope", "sleepstudy", "Reaction ~ Days + (Days | Subject)", ("Subject",),
        "correlated slopes"), Model("machines", "Machines", "score ~ Machine + (Machine | Worker)",
        ("Machine", "Worker"),
              "three correlated columns, 6 groups"),
    )
}  # fmt: skip


def by_bambi(model: Model) -> tuple[Any, dict[str, np.ndarray], float]:
    table, scale = model.table(), model.scale()
    half = lambda: bmb.Prior("HalfStudentT", nu=3, sigma=scale)  # noqa: E731
    fixed, *bars = model.formula.replace("||", "|").split("(")
    terms, names = [], {}
    for bar in bars:
        effects, group = (part.strip() for part in bar.strip(" +)").split("|"))
        columns = ["1"] if effects == "1" else ["1", effects]
        for column in columns:
            term = f"{column}|{group}"
            terms.append(f"({'1' if column == '1' else f'0 + {column}'} | {group})")
            names[term] = f"{group}.sd.{'Intercept' if column == '1' else column}"
    priors: dict[str, Any] = {"Intercept": bmb.Prior("Flat"), "sigma": half()}
    if "Days" in fixed.partition("~")[2]:
        priors["Days"] = bmb.Prior("Flat")
    priors |= {term: bmb.Prior("Normal", mu=0, sigma=half()) for term in names}
    text = " + ".join([fixed.strip().rstrip("+").strip(), *terms])
    made = bmb.Model(text, table, priors=priors, categorical=list(model.factors))
    made.build()
    begun = time.perf_counter()
    found = made.fit(
        draws=DRAWS, tune=TUNE, chains=CHAINS, cores=1, random_seed=SEED, inference_method="nutpie",
        target_accept=ACCEPT.get(model.name, 0.95), progressbar=False,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    made.compute_log_likelihood(found)
    values = {f"{term}_sigma": label for term, label in names.items()} | {"sigma": "Residual.sd"}
    values |= {"Intercept": "Intercept"} | ({"Days": "Days"} if "Days" in priors else {})
    return found, {label: np.asarray(found.posterior[name]) for name, label in values.items()}, seconds


def by_pymc(model: Model) -> tuple[Any, dict[str, np.ndarray], float]:
    table, scale = model.table(), model.scale()
    group = model.formula.rpartition("|")[2].strip(" )")
    levels, codes = np.unique(table[group], return_inverse=True)
    slopes = "Days" if "Days" in table else "Machine"
    if slopes == "Days":
        X, columns = np.column_stack([np.ones(len(table)), table["Days"]]), ["Intercept", "Days"]
    else:
        machines = sorted(table["Machine"].unique())
        X = np.column_stack([np.ones(len(table)), *(table["Machine"] == m for m in machines[1:])]).astype(
            float
        )
        columns = ["Intercept", *(f"Machine[T.{m}]" for m in machines[1:])]
    k = len(columns)
    with pm.Model() as made:
        beta = pm.Flat("beta", shape=k)
        sds = pm.HalfStudentT.dist(nu=3, sigma=scale, shape=k)
        L, R, sd = pm.LKJCholeskyCov("cov", n=k, eta=1.0, sd_dist=sds, compute_corr=True)
        z = pm.Normal("z", 0.0, 1.0, shape=(len(levels), k))
        b = pm.math.dot(z, L.T)
        sigma = pm.HalfStudentT("sigma", nu=3, sigma=scale)
        pm.Deterministic("R", R)
        pm.Deterministic("sd", sd)
        mean = (X * (beta + b[codes])).sum(axis=1)
        pm.Normal("y", mean, sigma, observed=table[model.response].to_numpy(float))
    begun = time.perf_counter()
    compiled = nutpie.compile_pymc_model(made)
    found = nutpie.sample(
        compiled, draws=DRAWS, tune=TUNE, chains=CHAINS, cores=1, seed=SEED,
        target_accept=ACCEPT.get(model.name, 0.95), progress_bar=False,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    with made:
        pm.compute_log_likelihood(found, progressbar=False)
    post = found.posterior
    values = {name: np.asarray(post["beta"])[..., i] for i, name in enumerate(columns)}
    values |= {f"{group}.sd.{name}": np.asarray(post["sd"])[..., i] for i, name in enumerate(columns)}
    values |= {
        f"{group}.cor.{columns[i]}.{columns[j]}": np.asarray(post["R"])[..., i, j]
        for j in range(k) for i in range(j + 1, k)
    }  # fmt: skip
    return found, values | {"Residual.sd": np.asarray(post["sigma"])}, seconds


def one(found: Any) -> float:
    """The number in what ArviZ gives for one variable."""
    return float(np.squeeze(found.to_array().to_numpy() if hasattr(found, "to_array") else found))


def summary(chains: np.ndarray) -> dict[str, Any]:
    """Of a (chains, draws) array: each number with its Monte Carlo standard error."""
    each = {"mean": chains.mean(), "sd": chains.std(ddof=1)}
    quantiles = {f"{q:g}": float(np.quantile(chains, q)) for q in QUANTILES}
    return {
        **{name: float(value) for name, value in each.items()},
        "quantiles": quantiles,
        "mcse": {
            "mean": one(az.mcse(chains, method="mean")),
            "sd": one(az.mcse(chains, method="sd")),
            "quantiles": {f"{q:g}": one(az.mcse(chains, method="quantile", prob=q)) for q in QUANTILES},
        },
        "ess_bulk": one(az.ess(chains, method="bulk")),
        "ess_tail": one(az.ess(chains, method="tail")),
        "r_hat": one(az.rhat(chains)),
        "positive": float((chains > 0).mean()),
    }


def reference(model: Model) -> dict[str, Any]:
    correlated = " | " in model.formula and any(
        bar.partition("|")[0].strip() != "1" for bar in model.formula.split("(")[1:] if "||" not in bar
    )
    found, values, seconds = (by_pymc if correlated else by_bambi)(model)
    loo, waic = az.loo(found, pointwise=True), az.waic(found)
    return {
        "model": model.name,
        "why": model.why,
        "data": model.data,
        "formula": model.formula,
        "factors": list(model.factors),
        "by": "pymc" if correlated else "bambi",
        "priors": {"sd": f"student_t(3, 0, {model.scale():g})", "cor": "lkj(1)", "beta": "flat"},
        "chains": CHAINS,
        "draws": DRAWS,
        "tune": TUNE,
        "seed": SEED,
        "divergences": int(np.asarray(found.sample_stats["diverging"]).sum()),
        "seconds": round(seconds, 1),
        "values": {name: summary(chains) for name, chains in values.items()},
        "loo": {"elpd": float(loo.elpd_loo), "se": float(loo.se), "p": float(loo.p_loo),
                "k_hat": float(np.max(np.asarray(loo.pareto_k)))},
        "waic": {"elpd": float(waic.elpd_waic), "se": float(waic.se), "p": float(waic.p_waic)},
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}},
    }  # fmt: skip


def main() -> None:
    folder, wanted = Path(sys.argv[1]), sys.argv[2:] or list(MODELS)
    folder.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of their own: what they count stands in the JSON
            made = reference(MODELS[name])
        (folder / f"{name}.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        print(name, made["by"], f"{made['seconds']} s", f"{made['divergences']} divergences", flush=True)


if __name__ == "__main__":
    main()
