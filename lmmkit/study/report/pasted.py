"""The results in a form to be pasted: each fixed term, the random effects, the variance explained."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from lmmkit.model.means.focus import where_zero
from lmmkit.study.pages.marks import Mark, MarkedText, Name, fill, join
from lmmkit.study.report.answer import coverage
from lmmkit.study.report.findings import listed
from lmmkit.study.report.numbers import CORRELATION_DECIMALS, MINUS, Files
from lmmkit.study.report.references import cite
from lmmkit.study.report.seen import Seen

MOST_COEFFICIENTS = 8  # of a term that are told one by one


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
    lead = fill("{}{}", Name(_called(seen, term)), _where(seen, term))
    if not rows:
        return fill("{}: not to be estimated from these data.", lead)
    if len(rows) == 1:
        return fill(
            "{}: {}.",
            Name(seen.effect(str(table["coefficient"].iloc[rows[0]]))) if names else lead,
            _b(files, seen, rows[0], term),
        )
    test = files.table("anova")["term"].tolist().index(term)
    f = _f(files, test)
    if len(rows) > MOST_COEFFICIENTS:
        return fill("{}: {}.", Name(_called(seen, term)), f)
    each = join(
        "; ",
        [
            fill("{}, {}", Name(seen.effect(str(table["coefficient"].iloc[row]))), _b(files, seen, row, ""))
            for row in rows
        ],
    )
    return fill("{}: {}. Its coefficients{}: {}.", Name(_called(seen, term)), f, _where(seen, term), each)


def _called(seen: Seen, term: str) -> str:
    variables = seen.design.composition.get(term, ())
    return " \N{MULTIPLICATION SIGN} ".join(seen.labels.of(v.expression.text) for v in variables) or term


def _where(seen: Seen, term: str) -> MarkedText:
    """Where the coefficients of a term hold that takes part in a larger one."""
    places = where_zero(seen.design, term)
    if not places:
        return MarkedText()
    told = list[MarkedText]()
    for place in places:
        name = place["of"]
        if place["kind"] == "level":
            told.append(fill("for {} {}", seen.column(name), seen.level(name, place["level"])))
        elif place["kind"] == "mean":
            told.append(fill("averaged over {}", seen.column(name)))
        elif place["kind"] == "beside":
            told.append(fill("beside the other terms of {}", seen.column(name)))
        else:
            told.append(fill("where {} is zero", seen.column(name)))
    return fill(" ({})", listed(told))


def _b(files: Files, seen: Seen, row: int, term: str) -> MarkedText:
    estimate, low, high = (
        files.cell("coefficients", row, name, "trusted") for name in ("estimate", "low", "high")
    )
    name = str(files.table("coefficients")["coefficient"].iloc[row])
    where = _where(seen, term) if term else MarkedText()
    known = not pd.isna(files.table("coefficients")["p"].iloc[row])
    test = fill(", {}, {}", _t(files, row), _p(files, "coefficients", row)) if known else MarkedText()
    bounds = fill(", {} CI [{}, {}]", coverage(files), low, high) if known else MarkedText()
    return fill("{} = {}{}{}{}{}", symbol("b"), estimate, seen.of_effect(name), bounds, test, where)


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
    mark = files.cell(table, row, "p", "probability")
    text = mark.text.replace("< 0.", "< .") if mark.text.startswith("<") else _bare(mark.text)
    sign = "" if text.startswith("<") else "= "
    return fill("{} {}{}", symbol("p"), sign, Mark(mark.value, mark.file, mark.place, text))


def _bare(text: str) -> str:
    """A number that cannot pass one, without the zero before its point."""
    return text.replace("0.", ".", 1) if text.startswith(("0.", f"{MINUS}0.")) else text


def _share(files: Files, table: str, row: int, column: str) -> Mark:
    mark = files.cell(table, row, column, CORRELATION_DECIMALS)
    return Mark(mark.value, mark.file, mark.place, _bare(mark.text))


def _variances(files: Files, seen: Seen) -> MarkedText:
    """Standard deviations with intervals, then correlations, by grouping factor; the residual last."""
    table = files.table("components")
    factors = {term.group: term.factor for term in seen.design.random}
    parts = dict[str, list[MarkedText]]()
    for row in range(len(table)):
        group = str(table["group"].iloc[row])
        if group == "Residual":
            continue
        parts.setdefault(factors.get(group, group), []).append(_component(files, seen, row))
    own = [
        row
        for row in range(len(table))
        if table["group"].iloc[row] == "Residual" and pd.isna(table["var2"].iloc[row])
    ]
    residual = [_residual(files, seen, row) for row in own]
    groups = [
        fill("Random effects of {}: {}.", seen.column(name), join("; ", told)) for name, told in parts.items()
    ]
    left = fill("Residuals: {}.", join("; ", residual)) if residual else MarkedText()
    return join(" ", [*groups, left] if residual else groups)


def _bounds(files: Files, row: int, *, bare: bool = False) -> MarkedText:
    table = files.table("components")
    if pd.isna(table["low"].iloc[row]) or pd.isna(table["high"].iloc[row]):
        return MarkedText()
    low, high = (files.cell("components", row, name, "sized") for name in ("low", "high"))
    if bare:
        low, high = (Mark(m.value, m.file, m.place, _bare(m.text)) for m in (low, high))
    return fill(", {} CI [{}, {}]", coverage(files), low, high)


def _component(files: Files, seen: Seen, row: int) -> MarkedText:
    table = files.table("components")
    first, second = str(table["var1"].iloc[row]), table["var2"].iloc[row]
    value = files.cell("components", row, "sdcor", "sized")
    if isinstance(second, str):
        if value.text == "none":
            return fill(
                "{} with {}, no correlation beside a variance of zero",
                _effect(seen, first),
                _effect(seen, second),
            )
        mark = Mark(value.value, value.file, value.place, _bare(value.text))
        return fill(
            "{} with {}, {} = {}{}",
            _effect(seen, first),
            _effect(seen, second),
            symbol("r"),
            mark,
            _bounds(files, row, bare=True),
        )
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
    return fill(
        "{}{} = {}{}{}",
        of,
        symbol("SD"),
        files.cell("components", row, "sdcor", "sized"),
        seen.of_response(),
        _bounds(files, row),
    )


def _explained(files: Files, seen: Seen) -> MarkedText:
    names = files.table("shares")["share"].tolist()
    at: dict[str, Any] = {name: _share(files, "shares", names.index(name), "estimate") for name in names}
    R2 = Markup("<em>R</em>\N{SUPERSCRIPT TWO}")
    said = [fill("marginal {} = {} (fixed effects{})", R2, at["R2 marginal"], _inside(cite(files, "r2")))]
    if "R2 conditional" in at and seen.design.random:
        inside = _inside(cite(files, "r2 slopes"))
        said.append(
            fill("conditional {} = {} (fixed and random effects{})", R2, at["R2 conditional"], inside)
        )
    shares = fill("Shares of the variance: {}.", listed(said))
    if "ICC adjusted" not in at:
        return shares
    icc = (
        "Of the variance that the fixed effects leave, {} lies between groups (adjusted "
        "intraclass correlation)."
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
    each = [
        fill(
            "{}, {} = {}",
            Name(seen.effect(str(table["coefficient"].iloc[row]))),
            symbol("d"),
            files.cell("effect_sizes", row, "estimate", 2),
        )
        for row in range(len(table))
    ]
    what = (
        "Standardised differences (the coefficient over the root of the sum of all variances "
        "beside that of the fixed effects{}): {}."
    )
    return [fill(what, _inside(cite(files, "d")), join("; ", each))]
