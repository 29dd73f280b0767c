"""broom.mixed's three tables of a fit, with its columns.

Reference: Bolker & Robinson, broom.mixed: Tidying Methods for Mixed Models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.influence.geometry import geometry
from lmmkit.errors import FitError
from lmmkit.model import tables
from lmmkit.model.blups import ranef_table
from lmmkit.model.design.learned import parts_of
from lmmkit.model.design.update import model_frame
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.confidence_intervals import Method, conf_int
from lmmkit.model.inference.linear_functions import coef_table
from lmmkit.model.leverage import row_pulls
from lmmkit.model.options import check_level, check_option
from lmmkit.model.prediction import error_variances
from lmmkit.model.threads import one_thread

COLUMNS = ("effect", "group", "level", "term", "estimate", "std.error", "statistic", "df", "p.value")
LIMITS = ("conf.low", "conf.high")
OURS = {"se": "std.error", "t": "statistic", "p": "p.value", "low": "conf.low", "high": "conf.high"}
TEXTS = ("group", "level", "term")


def tidy(
    estimates: Estimates,
    *,
    effects: str | Sequence[str],
    df: str,
    level: float,
    method: Method,
) -> pd.DataFrame:
    """One row per effect: effect, group, level, term, estimate, std.error, ..., conf.low, conf.high.

    Args:
        estimates: The fit.
        effects: Which: "fixed", "ran_pars", "ran_vals", "ran_coefs"; one or several.
        df: Denominator degrees of freedom of the fixed effects.
        level: Coverage of the intervals.
        method: How the intervals of the variance parameters are made.

    Raises:
        FitError: An option that is not offered.
    """
    wanted = [effects] if isinstance(effects, str) else list(effects)
    for name in wanted:
        check_option("effects", name, list(PARTS))
    check_level("level", level)
    parts = [PARTS[name](estimates, df, level, method).assign(effect=name) for name in wanted]
    whole = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    table = whole.reindex(columns=[*COLUMNS, *LIMITS])
    numbers = [name for name in table.columns if name not in ("effect", *TEXTS)]
    return table.astype(dict.fromkeys(numbers, float)).astype({"effect": "str", "term": "str"})


def _fixed(estimates: Estimates, df: str, level: float, method: Method) -> pd.DataFrame:
    table = coef_table(estimates, df=df, level=level).rename(columns=OURS)
    return table.rename_axis("term").reset_index()


def _ran_pars(estimates: Estimates, df: str, level: float, method: Method) -> pd.DataFrame:
    """Standard deviations and correlations, the latter before the later one of their columns."""
    names = tables.parameter_names(estimates)
    limits = conf_int(estimates, method=method, level=level).loc[names]
    values = pd.Series(tables.parameters(estimates), index=names)
    rows = [
        {"group": group, "term": term, "estimate": values[name]}
        | {"conf.low": limits.loc[name, "low"], "conf.high": limits.loc[name, "high"]}
        for name, group, term in _named(estimates)
    ]
    return pd.DataFrame(rows)


def _named(estimates: Estimates) -> Iterator[tuple[str, str, str]]:
    """Name, group and broom's name of each variance parameter, in the order of `parameter_names`."""
    structured = set(tables.residual_names(estimates))
    for name in tables.parameter_names(estimates):
        if name in structured:
            yield name, "Residual", name
            continue
        longest = sorted(estimates.random, key=lambda term: -len(term.group))  # `g.1` before `g`
        owner = next((t.group for t in longest if name.startswith(f"{t.group}.")), None)
        if owner is None:
            group, _, rest = name.partition(".")
        else:
            group, rest = owner, name.removeprefix(f"{owner}.")
        kind, _, what = rest.partition(".")
        if group == "Residual":
            yield name, group, "sd__Observation" if rest == "sd" else f"{kind}__{what}".rstrip("_")
        elif kind == "cor":
            term = next(t for t in estimates.random if t.group == group)
            yield name, group, f"cor__{_pair(what, term.names)}"
        else:
            yield name, group, f"{kind}__{what}".rstrip("_")


def _pair(what: str, names: Sequence[str]) -> str:
    """`Intercept.Days` of `Days.Intercept`: the earlier column first."""
    for later in names:
        for earlier in names:
            if what == f"{later}.{earlier}":
                return f"{earlier}.{later}"
    return what


def _ran_vals(estimates: Estimates, df: str, level: float, method: Method) -> pd.DataFrame:
    return ranef_table(estimates, error="conditional", level=level).rename(columns=OURS)


def _ran_coefs(estimates: Estimates, df: str, level: float, method: Method) -> pd.DataFrame:
    """Sums of fixed and random effects, as R's coef()."""
    beta = dict(zip(estimates.names, estimates.beta.tolist(), strict=True))
    parts = list[pd.DataFrame]()
    for group, own in tables.by_factor(estimates, estimates.b).items():
        whole = own.reindex(columns=list(dict.fromkeys([*own.columns, *beta])), fill_value=0.0)
        long = whole.add(pd.Series(beta).reindex(whole.columns, fill_value=0.0)).melt(
            ignore_index=False, var_name="term", value_name="estimate"
        )
        parts.append(long.rename_axis("level").reset_index().assign(group=group))
    return pd.concat(parts, ignore_index=True)


PARTS: dict[str, Callable[[Estimates, str, float, Method], pd.DataFrame]] = {
    "fixed": _fixed,
    "ran_pars": _ran_pars,
    "ran_vals": _ran_vals,
    "ran_coefs": _ran_coefs,
}


def glance(estimates: Estimates) -> pd.DataFrame:
    """One row about the fit: nobs, sigma, logLik, AIC, BIC, REMLcrit or deviance, df.residual."""
    row = {
        "nobs": estimates.nobs,
        "sigma": estimates.sigma,
        "logLik": estimates.llf,
        "AIC": estimates.aic,
        "BIC": estimates.bic,
        "REMLcrit" if estimates.reml else "deviance": estimates.deviance,
        "df.residual": estimates.nobs - estimates.npar,
    }
    return pd.DataFrame([row])


def augment(estimates: Estimates) -> pd.DataFrame:
    """The model frame with .fitted, .resid, .hat, .cooksd, .fixed, .mu, .offset, ..., .wtres, by row used.

    `.hat` is lme4's: the leverage of a row's response on its fitted value, the variances being known;
    `.cooksd` is (d / noise)^2 hat / p, d the response less what the other rows predict, which is lme4's
    res^2 / sigma^2 hat / (1 - hat)^2 / p of weighted residuals where rows are independent.
    """
    frame, problem = model_frame(estimates.design), estimates.problem
    weights = np.ones(estimates.nobs) if problem.weights is None else problem.weights
    residual = problem.response - estimates.fitted
    root = np.sqrt(weights)
    hat, cooks = _pulls(estimates, weights, root * residual)
    columns: dict[str, Floats] = {
        ".fitted": estimates.fitted,
        ".resid": residual,
        ".hat": hat,
        ".cooksd": cooks,
        ".fixed": estimates.marginal_fit,
        ".mu": estimates.fitted,
        ".offset": np.zeros(estimates.nobs) if problem.offset is None else problem.offset,
        ".sqrtXwt": root,
        ".sqrtrwt": root,
        ".weights": weights,
        ".wtres": root * residual,
    }
    return frame.assign(**columns)


def _pulls(estimates: Estimates, weights: Floats, weighted: Floats) -> tuple[Floats, Floats]:
    """(n,) leverages and Cook's distances; beyond the size of the closed form those of independent rows."""
    problem = estimates.problem
    with one_thread():
        try:
            pulls = row_pulls(estimates, geometry(estimates.optimum))
            return pulls.hat, pulls.cooks
        except FitError:
            if problem.residual:
                nothing = np.full(estimates.nobs, np.nan)
                return nothing, nothing
        Z = tuple(map(problem.term_columns, problem.terms))
        parts = parts_of(Z, [term.grouping.held for term in estimates.random])
        hat = weights * error_variances(estimates, estimates.X, parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        pulled = (weighted / (1.0 - hat)) ** 2 * hat
        return hat, pulled / (estimates.sigma**2 * (len(estimates.beta) or np.nan))
