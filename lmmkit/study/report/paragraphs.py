"""The paragraphs of a report, filled from the files of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from lmmkit.model.design.design import Design, RandomTerm
from lmmkit.study.pages.marks import MarkedText, Name, Part, fill, join
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
    "auto": "Each interval names its method. That of a profile ends where the criterion has risen by "
    "a quantile of the chi-squared distribution, or at the edge of what is possible; Wald's are made on the "
    "logarithm of a standard deviation and on Fisher's z of a correlation.",
    "wald": "Intervals of standard deviations are made on the logarithmic scale, those of correlations on "
    "Fisher's z. There is none where the likelihood is far from round, as at an estimate of zero.",
    "profile": "A bound is where the profile of the criterion has risen by a quantile of the chi-squared "
    "distribution, or the edge of what is possible.",
    "bootstrap": "Bounds are percentiles of the estimates from responses drawn from the fitted model.",
}
RULES = {
    "fixed": "The random effects were named by the study file, not chosen from these data; the other "
    "candidates are shown for comparison.",
    "best": "Of the candidates listed in the study the one with the least {criterion} was taken. The same "
    "data chose the model and then tested it: the p-values and intervals do not account for the choice.",
    "none": "The model has no random effects. Its residual structure was named by the study file, not chosen "
    "from these data; the others are shown for comparison.",
}
METHODS = {"REML": "restricted maximum likelihood (REML)", "ML": "maximum likelihood (ML)"}
NO_RANDOM_EFFECTS = "There are no random effects; the covariance matrix of the residuals has full rank."
VISITS = (
    "What the structure fits stands beside what the residuals of those who were seen show. Where values are "
    "missing at random the two may differ: the model takes account of who is missing."
)
FOR_THE_AUTHOR = (
    "Where, when and from whom the data come; ethics approval and consent; funding.",
    "Why these fixed effects, and which hypotheses were stated, or registered, before the data were seen.",
    "Why values are missing, and whether the reason may depend on the values themselves.",
    "Why rows were excluded by rule, if they were, and what the conclusion would be with them.",
    "Transformations, centring and contrasts: why these, and what one unit of each variable means.",
    "What size of effect would matter in practice, and what the estimates mean against it.",
    "Where data and code can be had; a reference for this software and the packages that it names.",
)


def listed(parts: Iterable[Part | MarkedText]) -> MarkedText:
    """Parts of a sentence with commas and a last `and`."""
    items = list(parts) or ["nothing"]
    return fill("{} and {}", join(", ", items[:-1]), items[-1]) if len(items) > 1 else fill("{}", *items)


def kind_of_model(design: Design) -> str:
    """What the model is called."""
    if design.random:
        return "Linear mixed model"
    correlated = design.residual is None or design.residual.formula.group
    return f"Linear model with {'correlated residuals' if correlated else 'residuals of unequal variance'}"


def model_in_words(files: Files, design: Design) -> list[MarkedText]:
    """What the equations say."""
    fixed = [Name(term.name) for term in design.fixed_terms if term.name != "Intercept"]
    mean = fill("depends on {}", listed(fixed)) if fixed else "is the same for all"
    own = ", plus what belongs to its own group" if design.random else ""
    return [
        fill("Each {} is a mean that {}{}, plus a residual.", Name(design.response), mean, own),
        *(_term_in_words(files, term) for term in design.random),
        _residuals_in_words(files, design),
    ]


def _residuals_in_words(files: Files, design: Design) -> MarkedText:
    weighted = ", divided by the prior weight of the row" if design.problem.weights is not None else ""
    if design.residual is None:
        return fill("Residuals are independent and normal with one variance{}.", weighted)
    weighted = weighted.replace(", divided", "; variances are divided")
    return fill("{} All are normal{}.", files.entry("summary.json", "residual", "words"), weighted)


def _term_in_words(files: Files, term: RandomTerm) -> MarkedText:
    effects = [
        fill("the effect of {}", Name(name)) if name != "Intercept" else "level" for name in term.names
    ]
    return fill(
        "Each of the {} levels of {} has a deviation of its own in {}{}.",
        files.entry("summary.json", "ngroups", term.factor),
        Name(term.factor),
        listed(effects),
        f", and {term.structure.words}" if len(term.names) > 1 else "",
    )


def rows_in_words(files: Files) -> MarkedText:
    """How many rows were read, kept and dropped."""
    read, kept, source = (
        files.entry("data.schema.json", key) for key in ("rows_read", "rows_kept", "source")
    )
    if read.value == kept.value:
        return fill("All {} rows of {} are used.", read, source)
    others = "The others were dropped, each with the reason that rows.csv lists."
    return fill("{} of the {} rows of {} are used. {}", kept, read, source, others)


def choice_in_words(files: Files, design: Design) -> list[MarkedText]:
    """By which rule the random effects were chosen, and how the formula was read where that may surprise."""
    selection = files.json("selection.json")
    rule = RULES[selection["rule"] if design.random else "none"]
    rule = rule.format(criterion=selection["criterion"].upper())
    notices = (files.entry("selection.json", "notices", i) for i in range(len(selection.get("notices", ()))))
    return [fill("{}", part) for part in (rule, files.entry("selection.json", "note"), *notices)]


def intervals_in_words(files: Files) -> list[MarkedText]:
    """How the intervals of the variance components were made, and what went wrong with any."""
    kind = files.json("study.json")["inference"]["ci"]
    notes = files.table("intervals")["note"]
    rows = [row for row, note in enumerate(notes) if isinstance(note, str)]
    form = "{}: {}"
    if kind == "bootstrap":  # every bound has the note of its bootstrap
        rows, form = (
            [row for row in rows if row == notes.tolist().index(notes.iloc[row])],
            "Of the refits: {}.",
        )
    keys = ("note",) if kind == "bootstrap" else ("parameter", "note")
    said = [fill(form, *(files.cell("intervals", row, key) for key in keys)) for row in rows]
    return [fill("{}", SCALES[kind]), *said]


def means_in_words(files: Files) -> str:
    """How the marginal means are compared, or why there are none."""
    if files.table("means").empty:
        return "The fixed part has no factor of few levels: there are no marginal means to compare."
    return (
        "Factors that interact are taken together, the first being compared within levels of the others. "
        "The interval of a mean holds for itself; those of differences hold together (Tukey)."
    )


def convergence_in_words(files: Files, design: Design) -> list[MarkedText]:
    """Whether the search converged, and whether the fit is singular."""
    summary = files.json("summary.json")
    text = "Columns of X left out, because earlier ones determine them: {}."
    dropped = [Name(name) for name in summary["dropped_columns"]]
    warnings = (files.entry("summary.json", "warnings", i) for i in range(len(summary["warnings"])))
    return [
        _search(files, summary),
        _singularity(summary) if design.random else fill(NO_RANDOM_EFFECTS),
        *([fill(text, listed(dropped))] if dropped else []),
        *(fill("{}", warning) for warning in warnings),
    ]


def _search(files: Files, summary: dict[str, Any]) -> MarkedText:
    way = SEARCHES[summary["algorithm"]]
    effort = counted(files.entry("summary.json", "evaluations"), "evaluation")
    if not summary["converged"]:
        text = "{} After {} of the criterion by {} its stop rule was not met: do not use these numbers."
        return fill(text, Markup("<strong>The search did not converge.</strong>"), effort, way)
    deviance = files.entry("summary.json", "deviance", text=f"{summary['deviance']:,.4f}")
    text = "The search converged by {} after {} of the criterion, at a deviance of {}."
    return fill(text, way, effort, deviance)


def _singularity(summary: dict[str, Any]) -> MarkedText:
    if not summary["singular"]:
        return fill("The fit is not singular: every covariance matrix of random effects has full rank.")
    text = (
        "{}: in {} a combination of effects has an estimated variance of zero. This is a valid optimum on "
        "the edge of what is possible, and often a sign that the term asks more than the data can tell; "
        "standard errors take it as known."
    )
    terms = listed(map(Name, summary["singular_terms"]))
    return fill(text, Markup("<strong>The fit is singular</strong>"), terms)


def methods_paragraph(files: Files, design: Design) -> MarkedText:
    """A paragraph ready to paste, with the items that Meteyard and Davies (2020) ask for."""
    return join(
        " ",
        [
            _software(files),
            rows_in_words(files),
            _model_sentence(files, design),
            *choice_in_words(files, design),
            *convergence_in_words(files, design),
            method(files),
            _checked(files),
        ],
    )


def _software(files: Files) -> MarkedText:
    own, *others = (
        files.entry("provenance.json", "versions", name)
        for name in ("lmmkit", "python", "numpy", "scipy", "pandas")
    )
    named = [fill("{} {}", version.place.rpartition("/")[2], version) for version in others]
    return fill("The analysis was made with lmmkit {} ({}).", own, join(", ", named))


def _model_sentence(files: Files, design: Design) -> MarkedText:
    summary = files.json("summary.json")
    groups = [
        fill("{} ({} levels)", Name(name), files.entry("summary.json", "ngroups", name))
        for name in summary["ngroups"]
        if name in design.ngroups or design.residual is None  # subjects of a residual structure are none
    ]
    nobs, *fit = (files.entry("summary.json", name) for name in ("nobs", "npar", "aic", "bic"))
    made = [Name(design.formula), METHODS[summary["method"]], nobs]
    end = fill("it has {} parameters, AIC {} and BIC {}", *fit)
    if design.random:
        text = (
            "A linear mixed model, {}, was fitted by {} to {} observations with random effects of {}{}; {}."
        )
        return fill(text, *made, listed(groups), _beside(files, design), end)
    structure = files.entry("summary.json", "residual", "structure")
    text = (
        "A {} without random effects, {}, was fitted by {} to {} observations with the residual "
        "structure {}; {}."
    )
    return fill(text, kind_of_model(design).lower(), *made, structure, end)


def _beside(files: Files, design: Design) -> MarkedText:
    """The residual structure beside random effects, where there is one."""
    if design.residual is None:
        return MarkedText()
    return fill(" and the residual structure {}", files.entry("summary.json", "residual", "structure"))


def _checked(files: Files) -> MarkedText:
    certificate = files.json("certificate.json")
    if not certificate["passed"]:
        failed = (files.entry("certificate.json", "failed", i) for i in range(len(certificate["failed"])))
        return fill("The independent check of the fit failed: {}.", listed(failed))
    text = "Independent code recomputed the fit: {} of {} checks hold and none fails."
    return fill(text, *(files.entry("certificate.json", key) for key in ("held", "checks")))
