"""Every table that a report tells of small fits, with what is told of it as a whole, in words."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
from support import repeated

from lmmkit import lmm
from lmmkit.model.means.focus import find_focus
from lmmkit.model.picture_tables import parameter_intervals, shrinkage
from lmmkit.model.posterior.posterior import posterior
from lmmkit.model.report_tables import (
    about_answer,
    about_checks,
    about_data,
    about_design,
    about_fit,
    about_inference,
    about_posterior,
    about_search,
    about_visits,
    fitted_lines,
    panels,
    residuals,
)

MODULES = (about_answer, about_checks, about_data, about_design, about_fit, about_inference, about_posterior,
           about_search, about_visits, fitted_lines, residuals, shrinkage, parameter_intervals)  # fmt: skip
HOW = {"df": "satterthwaite", "level": 0.9}


@cache
def frame():
    """Groups that are nested, partly crossed with items; a number, two factors, gaps."""
    rng = np.random.default_rng(3)
    g, t = np.repeat(np.arange(8), 6), np.tile(np.arange(6.0), 8)
    table = pd.DataFrame({"g": [f"g{i}" for i in g], "site": g // 2, "item": np.arange(48) % 5, "t": t})
    table = table.assign(f=np.array(["u", "v", "w"])[np.arange(48) * 7 % 3], h=np.where(g % 2, "hi", "lo"))
    y = 10 + 2 * t + 3 * rng.normal(size=8)[g] + rng.normal(size=8)[g] * t + rng.normal(size=48)
    return table.assign(y=y, x=rng.gamma(2.0, size=48)).drop(index=[5, 40]).reset_index(drop=True)


@cache
def fit(formula="y ~ t * f + x + (t | g)", residual=None):
    """A fit to it."""
    return lmm(formula, frame(), residual=residual)


@cache
def bounds():
    """Its intervals."""
    return about_inference.intervals(fit(), ci="wald", seed=1, **HOW)


GROUPS = {"g": ["g"], "item": ["item"], "item in site": ["site", "item"]}


def of_data():
    data = frame().assign(x=lambda d: d["x"].where(d["x"] > 0.5), f=lambda d: d["f"].where(d["t"] != 2))
    ledger = pd.DataFrame({"status": ["kept"] * 3 + ["dropped"] * 3, "reason": ["", "", "", "b", "a", "a"]})
    yield "columns", about_data.columns(data, "y", {"g": ["g"], "h:f": ["h", "f"]}, {"y": "ms", "t": "d"})
    yield "dropped", about_data.dropped(ledger)
    yield "missing", about_data.missing_patterns(data)
    yield "histogram of few", about_data.histogram(data["t"])
    yield "histogram", about_data.histogram(data["y"], bins=4)
    yield "group_sizes", about_data.group_sizes(data, GROUPS)
    yield "balance", about_data.balance(data, GROUPS)
    yield (
        "relations",
        about_data.relations(data.assign(k=[0, 1] * 23), GROUPS | {"site": ["site"], "k": ["k"]}),
    )
    yield (
        "spacing",
        about_data.spacing(
            data.assign(u=data["t"] ** 2, s=data["site"] * 1.0), {"g": ["g"]}, ["t", "u", "s"]
        ),
    )
    for focus in ("f", "t:f", "h", None):
        choice = panels.choose_panels(data, "y", {"g": ["g"], "item": ["item"]}, ["x", "t", "f", "h"], focus)
        yield f"panels of {focus}: {choice}", panels.panel_rows(data, choice, limit=2).head(8)


def of_design():
    design = fit("y ~ t + (t | g) + (1 | item)").design
    yield "design_parts", about_design.design_parts(design)
    yield "design_cells", about_design.design_cells(design).iloc[::60]


def of_fit():
    own = fit()
    parts = about_fit.components(own, bounds())
    yield "components", parts
    yield "deviations", about_fit.standard_deviations(parts)
    yield "correlations", about_fit.correlations(own)
    yield "effects", about_fit.effects(own, level=0.9)
    pairs = about_fit.effect_pairs(own)
    yield f"effect_pairs {about_fit.terms_of_pairs(pairs)}", pairs
    yield "facts", about_fit.facts(own, own.certificate).iloc[[0, 1, 2, 3, 4, 5, 6, 7, 9, 10]]
    told = about_fit.summary(fit("y ~ t + (1 | g)", "ident(h)"))
    yield f"summary {sorted(told)} {told['residual']} {told['warnings']}", pd.DataFrame()
    for residual in ("car1(t | g)", "ident(h)", "un(visit | id)", "ar1h(visit | id)"):
        other = repeated.fitted(residual) if "visit" in residual else fit("y ~ t + (1 | g)", residual)
        yield f"warnings {about_fit.summary(other)['warnings']}", pd.DataFrame()
        limits = about_inference.intervals(other, ci="wald", seed=1, **HOW)
        yield "components", about_fit.components(other, limits)
    yield "shrinkage", shrinkage.shrinkage(own).table
    yield "effect_ellipses", shrinkage.ellipses(own, pairs).iloc[::9]
    yield "shrinkage", shrinkage.shrinkage(fit("y ~ t + (1 | g)")).table
    yield (
        "interval_comparison",
        parameter_intervals.compared_intervals(
            {"one": bounds(), "two": bounds().assign(low=lambda d: d["low"] - d["high"].abs())}
        ),
    )


def of_search():
    own = fit("y ~ t + (t | g)")
    yield "stages", about_search.stages(own)
    yield "path", about_search.search_path(own).iloc[:3, :4]
    every = about_search.fits_by_algorithm(own.estimates, ["newton", "pls"])
    yield "algorithms", about_search.algorithm_table(every).reset_index()
    yield "steps", about_search.steps_table(every).groupby("algorithm").head(2)
    yield (
        f"surface {about_search.surface_pair(own)}",
        about_search.deviance_surface(own.estimates, *about_search.surface_pair(own), points=3),
    )
    names = [fit("y ~ t", "ar1(t | g)"), fit("y ~ t + (1 | g)")]
    yield f"algorithms {[about_search.affordable_algorithms(each) for each in (own, *names)]}", pd.DataFrame()
    yield f"pairs {[about_search.surface_pair(each) for each in names]}", pd.DataFrame()


def of_inference():
    own = fit()
    yield "intervals", bounds()
    table = about_inference.coefficients(own, bounds(), **HOW)
    yield "coefficients", table
    yield "slopes", about_inference.slopes(table)[["coefficient"]]
    yield "anova", about_inference.anova(own, df="satterthwaite")
    for formula in ("y ~ t + f * h + (1 | g)", "y ~ t + f + h + (1 | g)"):
        made = about_inference.factor_means(fit(formula), **HOW)
        yield f"means of {formula}", made.table
        yield "pairs", made.pairs
        yield "interactions", made.lines
    every = [
        {
            "candidate": text,
            "formula": f"y ~ t * f + x + {text}",
            "chosen": not place,
            "converged": True,
            "error": "",
        }
        for place, text in enumerate(("(t | g)", "(1 | g)", "(1 | item)"))
    ]
    yield "comparisons", about_inference.comparisons(own, every, frame(), {}, seed=1)
    yield "shares", about_inference.shares(own, ci="wald", level=0.9, seed=1)
    yield "effect_sizes", about_inference.standardised(fit("y ~ t + f + (1 | g)"))


def of_visits():
    own = repeated.fitted("ar1h(visit | id)")
    limits = about_inference.intervals(own, ci="wald", seed=1, **HOW)
    yield "residual_parameters", about_visits.residual_parameters(own, limits)
    yield "cell_sds", about_visits.cell_sds(own)
    pairs = about_visits.cell_correlations(own)
    yield "cell_correlations", pairs
    yield "correlation_maps", about_visits.correlation_maps(pairs)
    yield "autocorrelation", about_visits.autocorrelation(own, level=0.9)
    focus = find_focus(own.design, "arm")
    yield "structures", about_visits.structures(own, repeated.trial(), {}, focus=focus, df="satterthwaite")


def of_residuals():
    own = fit()
    yield "points", residuals.residual_points(own, limit=5)
    yield "trend", residuals.residual_trend(own, slices=4)
    yield "quantiles", residuals.residual_quantiles(own, limit=6)
    yield "boxes", residuals.residual_boxes(own, limit=5)
    power = fit("y ~ t + (1 | g)", "power(x) * car1(t | g)")
    yield f"variance_curve {residuals.followed(power)}", residuals.variance_curve(power, slices=4)
    yield f"variogram {residuals.distances(power)}", residuals.variogram(power, level=0.9, seed=1)
    yield (
        f"none {residuals.followed(own)!r} {residuals.distances(own)}",
        residuals.variogram(own, level=0.9, seed=1),
    )
    yield "boxes of visits", residuals.residual_boxes(repeated.fitted("ar1h(visit | id)"))


def of_lines():
    for formula, x, group in (
        ("y ~ t * f + x + (t | g)", "t", "g"),
        ("y ~ t + f + x + (1 | item)", "f", "item"),
    ):
        own = fit(formula)
        choice = panels.PanelChoice("y", x, group, (group,))
        made = fitted_lines.fitted_lines(own, frame(), choice, level=0.9)
        yield f"lines {made.to_dict()}", made.curves.groupby("panel", observed=True).head(2)
        means = fitted_lines.focus_means(own, x, df="satterthwaite", level=0.9)
        yield f"focus_means {means.to_dict()}", means.table.iloc[::12]
    other = fitted_lines.focus_means(fit("y ~ t * x + (1 | g)"), "t", df="satterthwaite", level=0.9)
    yield f"focus_means {other.to_dict()}", other.table.iloc[::12]


def of_posterior():
    own = fit("y ~ t + (t | g)")
    found = posterior(own, {"t": "normal(2, 1)"}, 200, seed=1)
    limits = about_inference.intervals(own, ci="wald", seed=1, **HOW)
    yield "posterior_priors", about_posterior.priors(found)
    yield "posterior_draws", about_posterior.draws(found).iloc[[0, 1, 3]]
    yield "posterior", about_posterior.parameters(found, limits, 0.9)
    for rope in (None, [-1.5, 1.5], {"t": [-1.5, 2.5], "Residual.sd": [0.5, 1.0]}):
        focus = find_focus(own.design, "t")
        yield "posterior_answer", about_posterior.answer(found, focus, rope, df="satterthwaite", level=0.9)
    yield "posterior_densities", about_posterior.densities(found).iloc[::20]
    yield "posterior_sensitivity", about_posterior.sensitivity(found)
    yield "posterior_ranks", about_posterior.ranks(found, 0.9)
    made = about_posterior.predicted(found, 0.9)
    yield "posterior_predictive", made.table
    yield "posterior_bins", made.bins.iloc[::4]
    yield "posterior_loo", about_posterior.left_out(found)


PARTS = {
    "data": of_data, "design": of_design, "fit": of_fit, "search": of_search, "inference": of_inference,
    "visits": of_visits, "residuals": of_residuals, "lines": of_lines, "posterior": of_posterior,
}  # fmt: skip


def declared():
    """How every table is printed: titles and roundings of its columns."""
    lines = []
    for table in (table for module in MODULES for table in import_module(module.__name__).TABLES):
        columns = [
            f"{name} {title!r} {table.rounding(name)}"
            for name, title in zip(table.columns, table.head(), strict=True)
        ]
        lines += [
            f"- {table.name}: {table.title} {list(table.texts)}",
            *(f"  {column}" for column in columns),
        ]
    return lines


def told(part):
    """The tables of a part with their numbers to five digits, and the facts of those that have some."""
    known = {table.name: table for module in MODULES for table in module.TABLES}
    lines = []
    for name, table in PARTS[part]():
        lines += [f"- {name}", f"  {' '.join(map(str, table.columns))}"]
        lines += ["  " + " | ".join(map(_cell, row)) for row in table.astype(object).itertuples(index=False)]
        declared = known.get(name.split()[0])
        if declared is not None and len(table):
            lines.append(
                "  told: "
                + ", ".join(f"{key} {_cell(value)}" for key, value in declared.facts(table).items())
            )
    return lines


def _cell(value):
    if isinstance(value, float | np.floating):
        return "0" if abs(value) < 1e-6 else f"{value:.5g}"
    return str(value)


EXPECTED = Path(__file__).parents[1] / "model" / "report_tables" / "expected_tables.txt"


def expected():
    """What was found right, by part."""
    parts = EXPECTED.read_text(encoding="utf-8").split("\n# ")
    return {part.splitlines()[0].removeprefix("# "): part.splitlines()[1:] for part in parts}


if __name__ == "__main__":  # writes the file anew
    every = {part: told(part) for part in PARTS} | {"declared": declared()}
    EXPECTED.write_text(
        "\n".join("\n".join([f"# {n}", *lines]) for n, lines in every.items()) + "\n", encoding="utf-8"
    )
