"""The results in a form to be pasted: each fixed term, the random effects, the variance explained."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from markupsafe import Markup

from lmmkit.model.means.focus import where_zero
from lmmkit.study.pages.marks import Mark, MarkedText, Name, fill, join, listed
from lmmkit.study.report.answer import coverage
from lmmkit.study.report.numbers import CORRELATION_DECIMALS, MINUS, Files, equals
from lmmkit.study.report.references import cite
from lmmkit.study.report.seen import Seen

MOST_COEFFICIENTS = 8  # of a term that are told one by one
WHERE = {"mean": "averaged over {}", "beside": "beside the other terms of {}", "zero": "where {} is zero"}


def symbol(letter: str) -> Markup:
    """A statistic in italics."""
    return Markup("<em>{}</em>").format(letter)


def results_in_words(files: Files, seen: Seen) -> list[MarkedText]:
    """Paragraphs: one of the fixed terms, one of the random effects, one of the variance explained."""
    fixed = [_term(files, seen, term) for term in files.table("anova")["term"]]
    if seen.design.recipe.formula.response.tree is not None:
        fixed.insert(0, fill("Estimates are on the scale of {}.", seen.response))
    parts = [join(" ", fixed)] if fixed else []
    return [*parts, _variances(files, seen), _explained(files, seen), *_sizes(files, seen)]


def _term(files: Files, seen: Seen, term: str) -> MarkedText:
    """A term with its coefficients: b, interval, t and p; with the F test where there are several."""
    table = files.table("coefficients")
    own = next(each for each in seen.design.fixed_terms if each.name == term)
    names = [seen.design.fixed_names[i] for i in own.columns]
    rows = [row for row in range(len(table)) if table["coefficient"].iloc[row] in names]
    called, where = Name(seen.term(term)), _where(seen, term)
    effects = [Name(seen.effect(name)) for name in table["coefficient"].iloc[rows]]
    if not rows:
        return fill("Effect of {}{}: not to be estimated from these data.", called, where)
    if len(rows) == 1:
        return fill("Effect of {}, {}{}.", effects[0], _b(files, seen, rows[0]), where)
    f = _f(files, files.table("anova")["term"].tolist().index(term))
    if len(rows) > MOST_COEFFICIENTS:
        return fill("Effect of {}, {}.", called, f)
    told = [fill("{}, {}", name, _b(files, seen, row)) for name, row in zip(effects, rows, strict=True)]
    return fill("Effect of {}, {}. Its coefficients{}: {}.", called, f, where, join("; ", told))


def _where(seen: Seen, term: str) -> MarkedText:
    """Where the coefficients of a term hold that takes part in a larger one."""
    places = where_zero(seen.design, term)
    if not places:
        return MarkedText()
    told = [
        fill("for {} {}", seen.column(place["of"]), seen.level(place["of"], place["level"]))
        if place["kind"] == "level"
        else fill(WHERE[place["kind"]], seen.column(place["of"]))
        for place in places
    ]
    return fill(" ({})", listed(told))


def _b(files: Files, seen: Seen, row: int) -> MarkedText:
    """A coefficient with its unit, interval and test."""
    estimate, low, high = (
        files.cell("coefficients", row, name, "trusted") for name in ("estimate", "low", "high")
    )
    name = str(files.table("coefficients")["coefficient"].iloc[row])
    known = not pd.isna(files.table("coefficients")["p"].iloc[row])
    test = fill(", {}, {}", _t(files, row), _p(files, "coefficients", row)) if known else MarkedText()
    bounds = fill(", {} CI [{}, {}]", coverage(files), low, high) if known else MarkedText()
    return fill("{} = {}{}{}{}", symbol("b"), estimate, seen.of_effect(name), bounds, test)


def _t(files: Files, row: int) -> MarkedText:
    df = float(files.table("coefficients")["df"].iloc[row])
    t = files.cell("coefficients", row, "t", 2)
    if df == float("inf"):
        return fill("{} = {}", symbol("z"), t)
    return fill("{}({}) = {}", symbol("t"), files.cell("coefficients", row, "df", 1), t)


def _f(files: Files, row: int) -> MarkedText:
    if pd.isna(files.table("anova")["F"].iloc[row]):
        return fill("no test can be made")
    df = (files.cell("anova", row, "num_df", 0), files.cell("anova", row, "den_df", 1))
    return fill(
        "{}({}, {}) = {}, {}", symbol("F"), *df, files.cell("anova", row, "F", 2), _p(files, "anova", row)
    )


def _p(files: Files, table: str, row: int) -> MarkedText:
    """A p value as APA writes it: `p < .001`, `p = .004`."""
    return fill("{} {}", symbol("p"), equals(_bare(files.cell(table, row, "p", "probability"))))


def _bare(mark: Mark) -> Mark:
    """A number that cannot pass one, without the zero before its point."""
    sign, zero, decimals = mark.text.rpartition("0.")
    return replace(mark, text=f"{sign}.{decimals}") if zero and not sign.strip(f"< {MINUS}") else mark


def _variances(files: Files, seen: Seen) -> MarkedText:
    """Standard deviations with intervals, then correlations, by grouping factor; the residual last."""
    table = files.table("components")
    factors = {term.group: term.factor for term in seen.design.random}
    parts, residual = dict[str, list[MarkedText]](), list[MarkedText]()
    for row, (group, second) in enumerate(zip(table["group"], table["var2"], strict=True)):
        if group != "Residual":
            parts.setdefault(factors.get(str(group), str(group)), []).append(_component(files, seen, row))
        elif pd.isna(second):
            residual.append(_residual(files, seen, row))
    groups = [
        fill("Random effects of {}: {}.", seen.column(name), join("; ", told)) for name, told in parts.items()
    ]
    return join(" ", [*groups, *([fill("Residuals: {}.", join("; ", residual))] if residual else [])])


def _bounds(files: Files, row: int, *, bare: bool = False) -> MarkedText:
    table = files.table("components")
    if pd.isna(table["low"].iloc[row]) or pd.isna(table["high"].iloc[row]):
        return MarkedText()
    low, high = (files.cell("components", row, name, "sized") for name in ("low", "high"))
    if bare:
        low, high = _bare(low), _bare(high)
    return fill(", {} CI [{}, {}]", coverage(files), low, high)


def _component(files: Files, seen: Seen, row: int) -> MarkedText:
    table = files.table("components")
    first, second = str(table["var1"].iloc[row]), table["var2"].iloc[row]
    value = files.cell("components", row, "sdcor", "sized")
    if isinstance(second, str):
        pair = fill("{} with {}", _effect(seen, first), _effect(seen, second))
        if value.text == "none":
            return fill("{}, no correlation beside a variance of zero", pair)
        return fill("{}, {} = {}{}", pair, symbol("r"), _bare(value), _bounds(files, row, bare=True))
    unit = seen.of_response() if first == "Intercept" else seen.of_effect(first)
    return fill("{}, {} = {}{}{}", _effect(seen, first), symbol("SD"), value, unit, _bounds(files, row))


def _effect(seen: Seen, name: str) -> MarkedText:
    if name == "Intercept":
        return fill("intercept")
    slope = seen.kind_of_effect(name) == (name,)
    return fill("{}{}", "slope of " if slope else "", Name(seen.effect(name)))


def _residual(files: Files, seen: Seen, row: int) -> MarkedText:
    name = files.table("components")["var1"].iloc[row]
    of = fill("{}, ", Name(name)) if isinstance(name, str) else MarkedText()
    sd = fill("{}{}", files.cell("components", row, "sdcor", "sized"), seen.of_response())
    return fill("{}{} = {}{}", of, symbol("SD"), sd, _bounds(files, row))


def _explained(files: Files, seen: Seen) -> MarkedText:
    names = files.table("shares")["share"].tolist()
    at = {
        name: _bare(files.cell("shares", row, "estimate", CORRELATION_DECIMALS))
        for row, name in enumerate(names)
    }
    R2 = Markup("<em>R</em>\N{SUPERSCRIPT TWO}")
    said = [fill("marginal {} = {} (fixed effects{})", R2, at["R2 marginal"], _inside(cite(files, "r2")))]
    if "R2 conditional" in at and seen.design.random:
        inside = _inside(cite(files, "r2 slopes"))
        form = "conditional {} = {} (fixed and random effects{})"
        said.append(fill(form, R2, at["R2 conditional"], inside))
    shares = fill("Shares of the variance: {}.", listed(said))
    if "ICC adjusted" not in at:
        return shares
    icc = (
        "Of the variance that the fixed effects leave, {} lies between groups (adjusted intraclass "
        "correlation)."
    )
    return join(" ", [shares, fill(icc, at["ICC adjusted"])])


def _inside(text: MarkedText) -> MarkedText:
    """A citation within brackets that are open already."""
    parts = [part for part in text.parts if part not in (" (", ")")]
    return MarkedText(("; ", *parts)) if parts else MarkedText()


def _sizes(files: Files, seen: Seen) -> list[MarkedText]:
    """Standardised differences between levels of factors, with their definition."""
    table = files.table("effect_sizes")
    if not len(table):
        return []
    d = [files.cell("effect_sizes", row, "estimate", 2) for row in range(len(table))]
    names = [Name(seen.effect(str(name))) for name in table["coefficient"]]
    each = [fill("{}, {} = {}", name, symbol("d"), mark) for name, mark in zip(names, d, strict=True)]
    what = (
        "Standardised differences (the coefficient over the root of the sum of all variances beside "
        "that of the "
        "fixed effects{}): {}."
    )
    return [fill(what, _inside(cite(files, "d")), join("; ", each))]
