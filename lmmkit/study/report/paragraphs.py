"""The paragraphs of a report, filled from the files of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from lmmkit.engine.covariance.patterned import Exponential
from lmmkit.model.design.design import Design, RandomTerm
from lmmkit.model.means.focus import reference_level, where_zero
from lmmkit.model.missing_data.about_missing import TIPPING, by_reference
from lmmkit.model.missing_data.reference_based import WORDS
from lmmkit.model.missing_data.sensitivity import JACKKNIFE, LIKELIHOOD, RUBIN
from lmmkit.model.selection.ledger import NAMES
from lmmkit.study.pages.marks import MarkedText, Name, fill, join, listed
from lmmkit.study.report.answer import method
from lmmkit.study.report.findings import (
    TIPPED,
    each_of,
    gaps_asked,
    notable_in_words,
    serious,
    tip_in_words,
    zero_in_errors,
)
from lmmkit.study.report.numbers import Files, rounded
from lmmkit.study.report.rates import rates_in_words as simulated_rates
from lmmkit.study.report.references import cite
from lmmkit.study.report.seen import Seen

MOVED = "reference_based.json"
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
    "fixed": "The random effects were named by the study file, not chosen from these data{others}.",
    "best": "Of the candidates listed in the study the one with the least {criterion} was taken. The same "
    "data chose the model and then tested it: the p-values and intervals do not account for the choice.",
    "none": "The model has no random effects. Its residual structure was named by the study file, not chosen "
    "from these data; others are shown for comparison.",
}
STEPS = {  # rules that go step by step: what they do, and the works that they are from
    "maximal": ("The random effects are the maximal ones that the design justifies{}.", "maximal"),
    "parsimonious": (
        "The random effects were chosen by steps{}: from the maximal ones that the design justifies to those "
        "without correlations, then a term less at a time, the one with least for it, then the correlations "
        "again, unless they make the fit singular.",
        "parsimonious",
    ),
    "backward": (
        "The random effects were chosen by steps{}: from the maximal ones that the design justifies, "
        "correlations or a term less at a time, whichever had least for it.",
        "matched",
    ),
    "forward": (
        "The random effects were chosen by steps{}: from intercepts alone, a term or correlations more at a "
        "time, whichever had most for it.",
        "matched",
    ),
}
COUNTED = (
    "The same data chose the model and then tested it: the p-values and intervals do not account for the "
    "choice."
)
METHODS = {"REML": "restricted maximum likelihood (REML)", "ML": "maximum likelihood (ML)"}
NO_RANDOM_EFFECTS = "There are no random effects; the covariance matrix of the residuals has full rank."
VISITS = (
    "Beside each fitted value stands its counterpart from the residuals that were observed. Where responses "
    "are missing at random the two may differ: the model takes account of which are missing."
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


def kind_of_model(design: Design) -> str:
    """What the model is called."""
    if design.random:
        return "Linear mixed model"
    correlated = design.residual is None or design.residual.formula.group
    return f"Linear model with {'correlated residuals' if correlated else 'residuals of unequal variance'}"


def model_in_words(files: Files, seen: Seen) -> list[MarkedText]:
    """What the equations say."""
    design = seen.design
    fixed = [Name(seen.term(term.name)) for term in design.fixed_terms if term.name != "Intercept"]
    mean = fill("a mean that depends on {}", listed(fixed)) if fixed else fill("one mean")
    factors = [seen.column(name) for name in design.ngroups] if design.random else []
    own = (
        fill(", plus a deviation of {}", listed([fill("its {}", name) for name in factors]))
        if factors
        else ""
    )
    return [
        fill("The model for {} is {}{}, plus a residual.", seen.response, mean, own),
        *(_term_in_words(files, seen, term) for term in design.random),
        _residuals_in_words(files, design),
    ]


def _residuals_in_words(files: Files, design: Design) -> MarkedText:
    weighted = ", divided by the prior weight of the row" if design.problem.weights is not None else ""
    if design.residual is None:
        return fill("Residuals are assumed to be independent and normal with one variance{}.", weighted)
    weighted = weighted.replace(", divided", "; variances are divided")
    return fill(
        "{} All are assumed to be normal{}.", files.entry("summary.json", "residual", "words"), weighted
    )


def _term_in_words(files: Files, seen: Seen, term: RandomTerm) -> MarkedText:
    slopes = [fill("slope of {}", Name(seen.effect(n))) for n in term.names if seen.kind_of_effect(n) == (n,)]
    others = [
        fill("effect of {}", Name(seen.effect(n)))
        for n in term.names
        if n != "Intercept" and seen.kind_of_effect(n) != (n,)
    ]
    effects = [*(["intercept"] if "Intercept" in term.names else []), *slopes, *others]
    if isinstance(term.structure, Exponential):
        effects = [f"effect at each of {len(term.names)} positions"]
    return fill(
        "Each of the {} levels of {} has its own {}{}{}.",
        files.entry("summary.json", "ngroups", term.factor),
        seen.column(term.factor),
        listed(effects),
        f"; {term.structure.words}" if len(term.names) > 1 else "",
        _between_levels(term),
    )


def _between_levels(term: RandomTerm) -> str:
    """How levels are related, and how rows belong to them, where that is not one by one."""
    known, said = term.grouping.known, list[str]()
    if known is not None:
        source = "a known matrix" if known.pedigree is None else "the pedigree"
        said.append(f"; levels are related as {source} says")
    if term.grouping.members:
        said.append("; a row belongs to several levels, each by its weight")
    return "".join(said)


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
    alone = len(files.table("candidates")) < 2
    if design.random and selection["rule"] in STEPS:
        said = _by_steps(files, selection)
    else:
        rule = RULES[selection["rule"] if design.random else "none"]
        others = "" if alone else "; the other candidates are shown for comparison"
        said = [fill("{}", rule.format(criterion=NAMES[selection["criterion"]], others=others))]
    notices = (files.entry("selection.json", "notices", i) for i in range(len(selection.get("notices", ()))))
    note = [] if alone else [files.entry("selection.json", "note")]  # about criteria that are compared
    return [*said, *(fill("{}", part) for part in (*note, *notices))]


def _by_steps(files: Files, selection: Mapping[str, Any]) -> list[MarkedText]:
    """A choice by steps: the rule with its literature, how it decided, and how it ended."""
    text, work = STEPS[selection["rule"]]
    said, ending = fill(text, cite(files, work)), fill("{}", files.entry("selection.json", "ending"))
    if selection["rule"] == "maximal":
        return [said, ending]
    criterion = selection["criterion"]
    how = fill("What raised {}{} was left out.", NAMES[criterion], cite(files, "caic"))
    if criterion == "lrt":
        form, alpha = "What had p above {} in its likelihood ratio test was left out{}.", "alpha"
        how = fill(form, files.entry("selection.json", alpha), cite(files, "boundary"))
    return [said, how, ending, fill("{}", COUNTED)]


def rates_in_words(files: Files) -> list[MarkedText]:
    """What the simulated error rates of the choice say; nothing where none were asked for."""
    if not files.json("study.json")["random_effects"]["simulate"]:
        return []
    return simulated_rates(files.table("error_rates"), files.json("error_rates.json"))


def intervals_in_words(files: Files) -> list[MarkedText]:
    """How the intervals of the variance components were made, and what went wrong with any."""
    kind = files.json("study.json")["inference"]["ci"]
    notes = files.table("intervals")["note"]
    rows = [row for row, note in enumerate(notes) if isinstance(note, str)]
    form = "About the interval of {}: {}{}"
    keys: tuple[str, ...] = ("parameter", "note")
    if kind == "bootstrap":  # every bound has the note of its bootstrap
        rows = [row for row in rows if row == notes.tolist().index(notes.iloc[row])]
        form, keys = "Of the refits: {}{}", ("note",)
    said = [
        fill(
            form,
            *(files.cell("intervals", row, key) for key in keys),
            "" if notes.iloc[row].endswith(".") else ".",
        )
        for row in rows
    ]
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
        _singularity(files, summary) if design.random else fill(NO_RANDOM_EFFECTS),
        *([fill(text, listed(dropped))] if dropped else []),
        *(fill("{}", warning) for warning in warnings),
    ]


def _search(files: Files, summary: dict[str, Any]) -> MarkedText:
    way = SEARCHES[summary["algorithm"]]
    if not summary["converged"]:
        text = "{} The stop rule of {} was not met: do not use these numbers."
        return fill(text, Markup("<strong>The search did not converge.</strong>"), way)
    deviance = files.entry("summary.json", "deviance", text=rounded(summary["deviance"], 4))
    return fill("The search ({}) converged, at a deviance of {}.", way, deviance)


def _singularity(files: Files, summary: dict[str, Any]) -> MarkedText:
    if not summary["singular"]:
        return fill("The fit is not singular: every covariance matrix of random effects has full rank.")
    text = (
        "{}: in {} a combination of effects has an estimated variance of zero. This is a valid optimum on "
        "the edge of what is possible, and often a sign that the term asks more than the data can tell; {}."
    )
    terms = each_of([Name(term) for term in summary["singular_terms"]])
    return fill(text, Markup("<strong>The fit is singular</strong>"), terms, zero_in_errors(files, "it"))


def methods_in_words(files: Files, seen: Seen) -> list[MarkedText]:
    """Paragraphs ready to paste, with the items that Meteyard and Davies (2020) ask for."""
    design = seen.design
    search = [] if files.json("summary.json")["converged"] else [convergence_in_words(files, design)[0]]
    found = serious(files, seen)
    checked = [fill("Checks of the assumptions: {}", join(" ", notable_in_words(files, seen)))]
    others = [text for text in found if text not in notable_in_words(files, seen)]
    model = [
        rows_in_words(files),
        _model_sentence(files, seen),
        *_settings(files, seen),
        *_chosen(files, design),
        *search,
        *others,
    ]
    inference = [method(files, cite(files, "kenward-roger", "satterthwaite"))]
    if "boundary" in files.json("references.json"):
        form = (
            "Likelihood ratio tests of variance components have mixtures of chi-squared distributions as "
            "reference{}."
        )
        inference.append(fill(form, cite(files, "boundary")))
    inference += sensitivity(files)
    shares = "Shares of variance explained are marginal and conditional ones{}."
    if not design.random:
        shares = "The share of variance explained is the marginal one{}."
    guide = fill("This paragraph follows published guidance{}.", cite(files, "guide"))
    return [
        join(" ", model),
        join(" ", [*inference, fill(shares, cite(files, "r2", "r2 slopes"))]),
        join(" ", [*checked, *_tools(files)]),
        join(" ", [_software(files), _checked(files), guide]),
    ]


def sensitivity(files: Files) -> list[MarkedText]:
    """How the sensitivity to missing responses was looked at; nothing where the study does not ask."""
    asked = gaps_asked(files)
    if asked is None:
        return []
    count = files.entry("study.json", "missing_data", "imputations")
    form = (
        "Sensitivity to missing responses: proper multiple imputation ({} data sets) from the fitted model, "
        "pooled by Rubin's rules with Barnard and Rubin's degrees of freedom{}, and conditional means with "
        "the jackknife{}"
    )
    said = [fill(form, count, cite(files, "imputation", "imputation df"), cite(files, "conditional mean"))]
    if TIPPING in asked.assumptions:
        said.append(fill("the tipping point of shifted responses{}", cite(files, "controlled")))
    if based := by_reference(asked):
        words = listed([WORDS[each] for each in based])
        said.append(fill("{} after dropout{}", words, cite(files, "reference-based", "anchored")))
    return [fill("{}.", join("; ", said))]


def _chosen(files: Files, design: Design) -> list[MarkedText]:
    """How the random effects were chosen; how criteria were compared where they made the choice."""
    said, note = choice_in_words(files, design), str(files.json("selection.json")["note"])
    fixed = files.json("selection.json")["rule"] == "fixed"
    said += rates_in_words(files)
    return [text for text in said if not (fixed and str(text) == note)]


def _tools(files: Files) -> list[MarkedText]:
    """By which tests the assumptions were checked; nothing where none is cited."""
    found = files.json("references.json")
    named = [
        fill("{}{}", words, cite(files, key))
        for key, words in (
            ("trend", "the likelihood ratio of a variance that is log-linear in the fitted values"),
            ("spread", "the likelihood ratio of a variance for each level"),
            ("normality", "skewness and kurtosis"),
            ("envelope", "simultaneous envelopes of quantiles"),
            ("table", "the step-down adjustment for all checks"),
        )
        if key in found
    ]
    return [fill("The methods: {}.", listed(named))] if named else []


def _settings(files: Files, seen: Seen) -> list[MarkedText]:
    """Transformation, codings, weights and offset: what coefficients are to be read with."""
    said, design = list[MarkedText](), seen.design
    if design.recipe.formula.response.tree is not None:
        said.append(fill("The response was analysed as {}.", seen.response))
    bases, others = list[MarkedText](), list[Name]()
    for variable in dict.fromkeys(
        v for each in design.composition.values() for v in each if v.coding is not None
    ):
        text, (name, *more) = variable.expression.text, variable.expression.variables
        base, column = reference_level(variable), seen.column(text)
        if base is None:
            others.append(column)
        else:
            bases.append(fill("{} ({})", column, seen.level(text if more else name, base)))
    if bases:
        said.append(fill("Factors are coded as differences from a reference level: {}.", listed(bases)))
    if others:
        form = "The coding of {} has no reference level; its coefficients are named by what they compare."
        said.append(fill(form, listed(others)))
    if design.problem.weights is not None:
        said.append(fill("Rows have prior weights: the residual variance of a row is divided by its weight."))
    if design.request.offset is not None or design.recipe.formula.offsets:
        said.append(fill("An offset, a known part of the response, was taken into account."))
    return said


def tests_in_words(files: Files, seen: Seen) -> list[MarkedText]:
    """What the tests and the coefficients of terms mean that take part in larger ones."""
    said = list[MarkedText]()
    for term in (each for each in seen.design.fixed_terms if each.name != "Intercept"):
        places = [p for p in where_zero(seen.design, term.name) if p["kind"] != "mean"]
        numbers = [seen.column(p["of"]) for p in places if p["kind"] == "zero"]
        levels = [
            fill("{} {}", seen.column(p["of"]), seen.level(p["of"], p["level"]))
            for p in places
            if p["kind"] == "level"
        ]
        name, one = Name(seen.term(term.name)), len(term.columns) == 1
        if numbers:
            form = (
                "The test of {} is about its effect where {} {} zero, and so {}; the answer above says where "
                "its own numbers hold."
            )
            own = "is its coefficient" if one else "are its coefficients"
            said.append(fill(form, name, listed(numbers), "is" if len(numbers) == 1 else "are", own))
        if levels:
            form = "{} for {}; its F test averages over the levels of {} with equal weights."
            own = fill("The coefficient of {} holds" if one else "The coefficients of {} hold", name)
            over = listed([seen.column(p["of"]) for p in places if p["kind"] == "level"])
            said.append(fill(form, own, listed(levels), over))
    return said


def _software(files: Files) -> MarkedText:
    own, *others = (
        files.entry("provenance.json", "versions", name)
        for name in ("lmmkit", "python", "numpy", "scipy", "pandas")
    )
    named = [fill("{} {}", version.place.rpartition("/")[2], version) for version in others]
    return fill("The analysis was made with lmmkit {} ({}).", own, join(", ", named))


def _model_sentence(files: Files, seen: Seen) -> MarkedText:
    summary, design = files.json("summary.json"), seen.design
    groups = [
        fill("{} ({} levels)", seen.column(name), files.entry("summary.json", "ngroups", name))
        for name in summary["ngroups"]
        if name in design.ngroups or design.residual is None  # subjects of a residual structure are none
    ]
    nobs, *fit = (files.entry("summary.json", name) for name in ("nobs", "npar", "aic", "bic"))
    fitted = fill("{}{}", METHODS[summary["method"]], cite(files, "reml"))
    end = fill("it has {} parameters, AIC {} and BIC {}", *fit)
    if design.random:
        text = (
            "A linear mixed model{}, {}, was fitted by {} to {} observations with random effects of {}{}; {}."
        )
        own = (listed(groups), _beside(files, design))
        return fill(text, cite(files, "model"), Name(design.formula), fitted, nobs, *own, end)
    structure = files.entry("summary.json", "residual", "structure")
    text = (
        "A {} without random effects, {}, was fitted by {} to {} observations with the residual "
        "structure {}; {}."
    )
    return fill(text, kind_of_model(design).lower(), Name(design.formula), fitted, nobs, structure, end)


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


def missing_in_words(files: Files, seen: Seen) -> list[MarkedText]:
    """What the report says of missing responses, the tipping point first; empty where nothing is asked."""
    asked, out = gaps_asked(files), list[MarkedText]()
    if asked is None:
        return out
    if TIPPING in asked.assumptions:
        out.append(tip_in_words(files, seen, asked))
    if named := by_reference(asked):
        out.append(_under_reference(files, seen, [WORDS[each] for each in named]))
    return out


def missing_in_detail(files: Files) -> list[MarkedText]:
    """How the imputations were made and pooled, as the results say it."""
    asked = gaps_asked(files)
    if asked is None:
        return []
    file = MOVED if by_reference(asked) else TIPPED
    return [fill("{}", files.entry(file, "notes", i)) for i in range(len(files.json(file)["notes"]))]


def _under_reference(files: Files, seen: Seen, assumptions: list[str]) -> MarkedText:
    """The estimate under each reference-based assumption, beside that of the likelihood."""
    table, unit = files.table("reference_based"), seen.of_response()

    def told(assumption: str, method: str) -> MarkedText:
        found = (table["assumption"] == assumption) & (table["method"] == method)
        row, names = int(found.to_numpy().argmax()), ("estimate", "low", "high")
        estimate, low, high = (files.cell("reference_based", row, n, "trusted") for n in names)
        return fill("{}{} ({} to {})", estimate, unit, low, high)

    at_random = told("missing at random", LIKELIHOOD)
    parts = [fill("{} under {}", told(name, RUBIN), name) for name in assumptions]
    some = "; conditional means with the jackknife stand beside them in the table"
    more = some if (table["method"] == JACKKNIFE).any() else ""
    form = "The estimate is {} with responses missing at random, and by multiple imputation {}{}."
    return fill(form, at_random, listed(parts), more)
