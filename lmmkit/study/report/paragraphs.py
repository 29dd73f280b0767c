"""The paragraphs of a report, filled from the files of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from lmmkit.model.design.design import Design, RandomTerm
from lmmkit.study.pages.marks import Name, fill, join
from lmmkit.study.report.answer import method
from lmmkit.study.report.captions import counted
from lmmkit.study.report.numbers import Files

SEARCHES = {
    "newton": "Newton steps with the exact gradient",
    "em": "expectation-maximisation",
    "em-accelerated": "accelerated expectation-maximisation",
    "em-newton": "expectation-maximisation, then Newton steps",
    "pls": "a quasi-Newton search on the profiled deviance",
    "direct": "a quasi-Newton search on the full likelihood",
}
SCALES = {
    "wald": "Intervals of standard deviations are made on the logarithmic scale, those of correlations on "
    "Fisher's z. A missing upper bound belongs to an estimate of zero.",
    "profile": "A bound is where the profile of the criterion has risen by a quantile of the chi-squared "
    "distribution, or the edge of what is possible.",
    "bootstrap": "Bounds are percentiles of the estimates from responses drawn from the fitted model.",
}
METHODS = {"REML": "restricted maximum likelihood (REML)", "ML": "maximum likelihood (ML)"}
FOR_THE_AUTHOR = (
    "Where, when and from whom the data come; ethics approval and consent; funding.",
    "Why these fixed effects, and which hypotheses were stated, or registered, before the data were seen.",
    "Why values are missing, and whether the reason may depend on the values themselves.",
    "Why rows were excluded by rule, if they were, and what the conclusion would be with them.",
    "Transformations, centring and contrasts: why these, and what one unit of each variable means.",
    "What size of effect would matter in practice, and what the estimates mean against it.",
    "Where data and code can be had; a reference for this software and the packages that it names.",
)


def listed(parts: Iterable[Any]) -> Markup:
    """Parts of a sentence with commas and a last `and`."""
    items = list(parts)
    if len(items) < 2:
        return Markup("{}").format(items[0]) if items else Markup("nothing")
    return Markup("{} and {}").format(Markup(", ").join(items[:-1]), items[-1])


def model_in_words(files: Files, design: Design) -> list[Markup]:
    """What the equations say."""
    fixed = [term.name for term in design.fixed_terms if term.name != "Intercept"]
    mean = (
        "a mean that is the same for all"
        if not fixed
        else Markup("a mean that depends on {}").format(listed(map(Name, fixed)))
    )
    text = "Each {} is {}, plus what belongs to its own group, plus a residual."
    parts = [Markup(text).format(Name(design.response), mean)]
    parts += [_term_in_words(files, term) for term in design.random]
    end = "Residuals are independent and normal with one variance"
    end += ", divided by the prior weight of the row." if design.problem.weights is not None else "."
    return [*parts, Markup(end)]


def _term_in_words(files: Files, term: RandomTerm) -> Markup:
    levels = files.entry("summary.json", "ngroups", term.factor)
    effects = listed(
        fill("the effect of {}", Name(name)) if name != "Intercept" else "level" for name in term.names
    )
    together = ""
    if len(term.names) > 1:
        together = f", and {term.structure.words}"
    text = "Each of the {} levels of {} has a deviation of its own in {}{}."
    return Markup(text).format(levels, Name(term.factor), effects, together)


def rows_in_words(files: Files) -> Markup:
    """How many rows were read, kept and dropped."""
    read, kept, source = (
        files.entry("data.schema.json", key) for key in ("rows_read", "rows_kept", "source")
    )
    if read.value == kept.value:
        return Markup("All {} rows of {} are used.").format(read, source)
    text = (
        "{} of the {} rows of {} are used. The others were dropped, each with the reason that rows.csv lists."
    )
    return Markup(text).format(kept, read, source)


def choice_in_words(files: Files) -> list[Markup]:
    """By which rule the random effects were chosen, and what that means here."""
    selection = files.json("selection.json")
    name = selection["criterion"].upper()
    words = {
        "fixed": "The random effects were named by the study file, not chosen from these data; the other "
        "candidates are shown for comparison.",
        "best": f"Of the candidates listed in the study the one with the least {name} was taken. The same "
        "data chose the model and then tested it: the p-values and intervals do not account for the choice.",
    }
    return [
        Markup("{}").format(words[selection["rule"]]),
        Markup("{}").format(files.entry("selection.json", "note")),
    ]


def intervals_in_words(files: Files) -> list[Markup]:
    """How the intervals of the variance components were made, and what went wrong with any."""
    kind = files.json("study.json")["inference"]["ci"]
    table = files.table("intervals")
    noted = [row for row in range(len(table)) if isinstance(table["note"].iloc[row], str)]
    if kind == "bootstrap":  # every bound has the note of its bootstrap
        first = {table["note"].iloc[row]: row for row in reversed(noted)}
        rows = sorted(first.values())
        said = [Markup("Of the refits: {}.").format(files.cell("intervals", row, "note")) for row in rows]
    else:
        said = [
            Markup("{}: {}").format(*(files.cell("intervals", row, key) for key in ("parameter", "note")))
            for row in noted
        ]
    return [Markup("{}").format(SCALES[kind]), *said]


def means_in_words(files: Files) -> Markup:
    """How the marginal means are compared, or why there are none."""
    if files.table("means").empty:
        return Markup("The fixed part has no factor of few levels: there are no marginal means to compare.")
    return Markup(
        "Factors that interact are taken together, the first being compared within levels of the others. "
        "The interval of a mean holds for itself; those of differences hold together (Tukey)."
    )


def convergence_in_words(files: Files) -> list[Markup]:
    """Whether the search converged, and whether the fit is singular."""
    summary = files.json("summary.json")
    found = [_search(files, summary), _singularity(summary)]
    if summary["dropped_columns"]:
        text = "Columns of X left out, because earlier ones determine them: {}."
        found.append(Markup(text).format(listed(map(Name, summary["dropped_columns"]))))
    warnings = (files.entry("summary.json", "warnings", i) for i in range(len(summary["warnings"])))
    return found + [Markup("{}").format(warning) for warning in warnings]


def _search(files: Files, summary: dict[str, Any]) -> Markup:
    way, count = SEARCHES[summary["algorithm"]], files.entry("summary.json", "evaluations")
    effort = counted(count, "evaluation")
    if not summary["converged"]:
        text = (
            "<strong>The search did not converge.</strong> After {} of the criterion by {} its "
            "stop rule was not met: do not use these numbers."
        )
        return Markup(text).format(effort, way)
    text = "The search converged by {} after {} of the criterion, at a deviance of {}."
    deviance = files.entry("summary.json", "deviance", text=f"{summary['deviance']:,.4f}")
    return Markup(text).format(way, effort, deviance)


def _singularity(summary: dict[str, Any]) -> Markup:
    if not summary["singular"]:
        return Markup("The fit is not singular: every covariance matrix of random effects has full rank.")
    text = (
        "<strong>The fit is singular</strong>: in {} a combination of effects has an estimated variance of "
        "zero. This is a valid optimum on the edge of what is possible, and often a sign that the term asks "
        "more than the data can tell; standard errors take it as known."
    )
    return Markup(text).format(listed(map(Name, summary["singular_terms"])))


def methods_paragraph(files: Files, design: Design) -> Markup:
    """A paragraph ready to paste, with the items that Meteyard and Davies (2020) ask for."""
    return Markup(" ").join(
        [
            _software(files),
            rows_in_words(files),
            _model_sentence(files, design),
            *choice_in_words(files),
            *convergence_in_words(files),
            method(files),
            _checked(files),
        ]
    )


def _software(files: Files) -> Markup:
    versions = ("python", "numpy", "scipy", "pandas")
    named = [fill("{} {}", name, files.entry("provenance.json", "versions", name)) for name in versions]
    text = "The analysis was made with lmmkit {} ({})."
    return Markup(text).format(files.entry("provenance.json", "versions", "lmmkit"), join(", ", named))


def _model_sentence(files: Files, design: Design) -> Markup:
    summary = files.json("summary.json")
    groups = [
        fill("{} ({} levels)", Name(name), files.entry("summary.json", "ngroups", name))
        for name in summary["ngroups"]
    ]
    text = (
        "A linear mixed model, {}, was fitted by {} to {} observations with random effects of {}; it has {} "
        "parameters, AIC {} and BIC {}."
    )
    return Markup(text).format(
        Name(design.formula),
        METHODS[summary["method"]],
        files.entry("summary.json", "nobs"),
        listed(groups),
        files.entry("summary.json", "npar"),
        files.entry("summary.json", "aic"),
        files.entry("summary.json", "bic"),
    )


def _checked(files: Files) -> Markup:
    certificate = files.json("certificate.json")
    if not certificate["passed"]:
        failed = (files.entry("certificate.json", "failed", i) for i in range(len(certificate["failed"])))
        return Markup("The independent check of the fit failed: {}.").format(listed(failed))
    text = "Independent code recomputed the fit: {} of {} checks hold and none fails."
    held, checks = files.entry("certificate.json", "held"), files.entry("certificate.json", "checks")
    return Markup(text).format(held, checks)
