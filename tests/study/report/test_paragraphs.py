# ruff: noqa: E501  (a sentence stands as it is printed)
"""Every paragraph of the report: what the run found on the left, the expected words on the right."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape
from support.report_files import design, report_files, seen, study

from lmmkit.model.selection.select import select
from lmmkit.study.report import paragraphs as prose


def plain(markup):
    """The words without their marks; what is set strong between asterisks."""
    words = re.sub(r"</?strong>", "*", str(escape(markup)))
    return re.sub(r"<[^>]*>", "", words).replace("&#39;", "'")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], "nothing"),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["<a>", "b"], "&lt;a&gt; and b"),
        (iter(["a", "b"]), "a and b"),
    ],
)
def test_listed(parts, words):
    assert plain(prose.listed(parts)) == words


GROUPS = {"g": 4, "h": 3, "s:g": 8}
RESIDUALS = "Residuals are assumed to be independent and normal with one variance."


@pytest.mark.parametrize(
    ("formula", "options", "words"),
    [
        (
            "y ~ 1 + (1 | g)", {},
            [
                "The model for y is one mean, plus a deviation of its g, plus a residual.",
                "Each of the 4 levels of g has its own intercept.",
                RESIDUALS,
            ],
        ),
        (
            "y ~ x + (x | g)", {},
            [
                "The model for y is a mean that depends on x, plus a deviation of its g, plus a residual.",
                "Each of the 4 levels of g has its own intercept and slope of x; these may be correlated.",
                RESIDUALS,
            ],
        ),
        (
            "y ~ x * f + diag(x + z | h)", {},
            [
                "The model for y is a mean that depends on x, f and x × f, plus a deviation of its h, plus a residual.",
                "Each of the 3 levels of h has its own intercept, slope of x and slope of z; these are independent.",
                RESIDUALS,
            ],
        ),
        (
            "y ~ x + (x || g)", {},
            [
                "The model for y is a mean that depends on x, plus a deviation of its g, plus a residual.",
                "Each of the 4 levels of g has its own intercept.",
                "Each of the 4 levels of g has its own slope of x.",
                RESIDUALS,
            ],
        ),
        (
            "y ~ 0 + x + (1 | g/s)", {"weights": "w"},
            [
                "The model for y is a mean that depends on x, plus a deviation of its s:g and its g, plus a residual.",
                "Each of the 8 levels of s:g has its own intercept.",
                "Each of the 4 levels of g has its own intercept.",
                "Residuals are assumed to be independent and normal with one variance, divided by the prior weight of the "
                "row.",
            ],
        ),
        (
            "log(w) ~ x + z + (0 + x | h)", {},
            [
                "The model for log(w) is a mean that depends on x and z, plus a deviation of its h, plus a residual.",
                "Each of the 3 levels of h has its own slope of x.",
                RESIDUALS,
            ],
        ),
    ],
)  # fmt: skip
def test_model_in_words(formula, options, words):
    files = report_files(summary={"ngroups": GROUPS})
    assert [plain(part) for part in prose.model_in_words(files, seen(formula, **options))] == words


K = pd.DataFrame(np.eye(4) + 0.25, index=list("abcd"), columns=list("abcd"))
PARENTS = pd.DataFrame({"id": list("abcd"), "sire": [None, None, "a", "a"], "dam": [None, None, "b", "b"]})
SEVERAL = "; a row belongs to several levels, each by its weight"


@pytest.mark.parametrize(
    ("term", "known", "words"),
    [
        ("(1 | g)", {}, "g has its own intercept."),
        ("(1 | g)", {"g": K}, "g has its own intercept; levels are related as a known matrix says."),
        ("(1 | g)", {"g": PARENTS}, "g has its own intercept; levels are related as the pedigree says."),
        ("(1 | mm(g, m))", {}, f"mm(g, m) has its own intercept{SEVERAL}."),
        ("(x | mm(g, m))", {}, f"mm(g, m) has its own intercept and slope of x; these may be correlated{SEVERAL}."),
    ],
)  # fmt: skip
def test_how_levels_are_related_and_rows_belong_to_them(term, known, words):
    files = report_files(summary={"ngroups": {"g": 4, "mm(g, m)": 4}})
    told = plain(prose.model_in_words(files, seen(f"y ~ 1 + {term}", known=known or None))[1])
    assert told == f"Each of the 4 levels of {words}"


def test_many_levels_are_grouped_by_thousands():
    files = report_files(summary={"ngroups": {"g": 2972}})
    assert "Each of the 2,972 levels of g" in plain(prose.model_in_words(files, seen("y ~ 1 + (1 | g)"))[1])


@pytest.mark.parametrize(
    ("read", "kept", "words"),
    [
        (180, 180, "All 180 rows of a.csv are used."),
        (
            1180, 1140,
            "1,140 of the 1,180 rows of a.csv are used. The others were dropped, each with the reason that "
            "rows.csv lists.",
        ),
    ],
)  # fmt: skip
def test_rows_in_words(read, kept, words):
    files = report_files(data={"rows_read": read, "rows_kept": kept, "source": "a.csv"})
    assert plain(prose.rows_in_words(files)) == words


@pytest.mark.parametrize(
    ("rule", "criterion", "words"),
    [
        (
            "fixed", "aic",
            "The random effects were named by the study file, not chosen from these data; the other "
            "candidates are shown for comparison.",
        ),
        (
            "best", "aic",
            "Of the candidates listed in the study the one with the least AIC was taken. The same data chose "
            "the model and then tested it: the p-values and intervals do not account for the choice.",
        ),
        (
            "best", "bic",
            "Of the candidates listed in the study the one with the least BIC was taken. The same data chose "
            "the model and then tested it: the p-values and intervals do not account for the choice.",
        ),
    ],
)  # fmt: skip
def test_choice_in_words(rule, criterion, words):
    files = report_files(selection={"rule": rule, "criterion": criterion, "note": "A note <of> it."})
    found = prose.choice_in_words(files, design("y ~ 1 + (1 | g)"))
    assert [plain(part) for part in found] == [words, "A note &lt;of&gt; it."]


STEPS = (
    (
        "parsimonious", "lrt",
        "The random effects were chosen by steps (Bates 2015): from the maximal ones that the design justifies "
        "to those without correlations, then a term less at a time, the one with least for it, then the "
        "correlations again, unless they make the fit singular.",
        "What had p above 0.2 in its likelihood ratio test was left out.",
    ),
    (
        "backward", "caic",
        "The random effects were chosen by steps: from the maximal ones that the design justifies, "
        "correlations or a term less at a time, whichever had least for it.",
        "What raised cAIC was left out.",
    ),
    (
        "forward", "bic",
        "The random effects were chosen by steps: from intercepts alone, a term or correlations more at a "
        "time, whichever had most for it.",
        "What raised BIC was left out.",
    ),
    ("maximal", "aic", "The random effects are the maximal ones that the design justifies.", None),
)  # fmt: skip


@pytest.mark.parametrize(("rule", "criterion", "words", "how"), STEPS)
def test_choice_by_steps_in_words(rule, criterion, words, how):
    selection = {"rule": rule, "criterion": criterion, "alpha": 0.2, "note": "A note.", "ending": "It ended."}
    works = {"parsimonious": {"cited": "Bates 2015", "listed": "Bates (2015)."}}
    files = report_files(selection=selection, references=works)
    found = [plain(part) for part in prose.choice_in_words(files, design("y ~ 1 + (1 | g)"))]
    counted = [] if how is None else [prose.COUNTED]
    assert found == [words, *([how] if how else []), "It ended.", *counted, "A note."]


def test_a_single_candidate_has_no_others():
    files = report_files(
        selection={"rule": "fixed", "criterion": "aic", "note": "A note."},
        candidates=[{"candidate": "(1 | g)"}],
    )
    assert [plain(part) for part in prose.choice_in_words(files, design("y ~ 1 + (1 | g)"))] == [
        "The random effects were named by the study file, not chosen from these data."
    ]


def test_how_a_formula_was_read_is_told_where_it_may_surprise():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"y": rng.normal(size=24), "age": np.arange(24.0), "g": [*"abcdef"] * 4})
    selection = select("y ~ age + age**2 + (1 | g)", frame).to_dict()
    told = prose.choice_in_words(report_files(selection=selection), design("y ~ 1 + (1 | g)"))
    assert "For the power of the values write I(age^2)." in plain(told[-1])


def test_choice_without_random_effects_in_words():
    files = report_files(selection={"rule": "fixed", "criterion": "aic", "note": "A note."})
    words = (
        "The model has no random effects. Its residual structure was named by the study file, not chosen from these "
        "data; others are shown for comparison."
    )
    found = prose.choice_in_words(files, design("y ~ x", residual="cs(h | g)"))
    assert [plain(part) for part in found] == [words, "A note."]


WALD = (
    "Intervals of standard deviations are made on the logarithmic scale, those of correlations on Fisher's z. "
    "There is none where the likelihood is far from round, as at an estimate of zero."
)
PROFILE = (
    "A bound is where the profile of the criterion has risen by a quantile of the chi-squared distribution, "
    "or the edge of what is possible."
)
AUTO = (
    "Each interval names its method. That of a profile ends where the criterion has risen by a quantile of the "
    "chi-squared distribution, or at the edge of what is possible; Wald's are made on the logarithm of a standard "
    "deviation and on Fisher's z of a correlation."
)
BOOTSTRAP = "Bounds are percentiles of the estimates from responses drawn from the fitted model."


@pytest.mark.parametrize(
    ("ci", "notes", "words"),
    [
        ("wald", {"g.sd.x": None, "Residual.sd": None}, [WALD]),
        ("wald", {"g.sd.x": "at zero", "Residual.sd": None}, [WALD, "About the interval of g.sd.x: at zero."]),
        (
            "profile",
            {"x": "no bound", "g.sd.x": None, "Residual.sd": "no bound"},
            [PROFILE, "About the interval of x: no bound.", "About the interval of Residual.sd: no bound."],
        ),
        ("bootstrap", {"x": "3 failed, 2 singular", "z": "3 failed, 2 singular"},
         [BOOTSTRAP, "Of the refits: 3 failed, 2 singular."]),
        (
            "bootstrap", {"x": "3 failed", "z": "3 failed", "w": "2 singular", "v": "3 failed"},
            [BOOTSTRAP, "Of the refits: 3 failed.", "Of the refits: 2 singular."],
        ),
        ("bootstrap", {"x": None}, [BOOTSTRAP]),
        ("auto", {"x": None}, [AUTO]),
        ("wald", {"x": "no degrees of freedom."}, [WALD, "About the interval of x: no degrees of freedom."]),
    ],
)  # fmt: skip
def test_intervals_in_words(ci, notes, words):
    rows = [{"parameter": name, "note": note} for name, note in notes.items()]
    files = report_files(intervals=rows, study=study(ci))
    assert [plain(part) for part in prose.intervals_in_words(files)] == words


@pytest.mark.parametrize(
    ("means", "words"),
    [
        ([], "The fixed part has no factor of few levels: there are no marginal means to compare."),
        (
            [{"cell": "f: u"}],
            "Factors that interact are taken together, the first being compared within levels of the others. "
            "The interval of a mean holds for itself; those of differences hold together (Tukey).",
        ),
    ],
)
def test_means_in_words(means, words):
    assert plain(prose.means_in_words(report_files(means=means))) == words


SUMMARY = {
    "algorithm": "newton",
    "converged": True,
    "evaluations": 4,
    "deviance": 1743.6282719,
    "singular": False,
    "singular_terms": [],
    "dropped_columns": [],
    "warnings": [],
}
FULL_RANK = "The fit is not singular: every covariance matrix of random effects has full rank."


def singular(where):
    return (
        f"*The fit is singular*: in {where} a combination of effects has an estimated variance of zero. This "
        "is a valid optimum on the edge of what is possible, and often a sign that the term asks more than the "
        "data can tell; standard errors take it as known."
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {},
            [
                "The search (Newton steps with the exact gradient) converged, at a deviance of 1,743.6283.",
                FULL_RANK,
            ],
        ),
        (
            {"algorithm": "em", "evaluations": 1, "deviance": -12.5},
            [
                "The search (expectation-maximisation) converged, at a deviance of −12.5000.",
                FULL_RANK,
            ],
        ),
        (
            {"algorithm": "em-accelerated", "converged": False, "evaluations": 1200},
            [
                "*The search did not converge.* The stop rule of accelerated expectation-maximisation was not met: do not "
                "use these numbers.",
                FULL_RANK,
            ],
        ),
        (
            {"algorithm": "em-newton", "singular": True, "singular_terms": ["g"]},
            [
                "The search (expectation-maximisation, then Newton steps) converged, at a deviance of 1,743.6283.",
                singular("g"),
            ],
        ),
        (
            {
                "algorithm": "pls",
                "converged": False,
                "evaluations": 1,
                "singular": True,
                "singular_terms": ["g", "h"],
            },
            [
                "*The search did not converge.* The stop rule of a quasi-Newton search on the profiled deviance was not "
                "met: do not use these numbers.",
                singular("each of g and h"),
            ],
        ),
        (
            {"algorithm": "direct", "dropped_columns": ["x", "z"], "warnings": ["Look at <g>.", "And h."]},
            [
                "The search (a quasi-Newton search on the full likelihood) converged, at a deviance of 1,743.6283.",
                FULL_RANK,
                "Columns of X left out, because earlier ones determine them: x and z.",
                "Look at &lt;g&gt;.",
                "And h.",
            ],
        ),
    ],
)
def test_convergence_in_words(found, words):
    files = report_files(summary=SUMMARY | found, coefficients=[{"method": "satterthwaite"}])
    found = prose.convergence_in_words(files, design("y ~ 1 + (1 | g)"))
    assert [plain(part) for part in found] == words


def test_a_singular_fit_says_where_its_standard_errors_come_from():
    """Errors from variances that may be negative do not take one of zero as known."""
    found = {"singular": True, "singular_terms": ["g"]}
    method = [{"method": "unbounded: the variance of g.Intercept is estimated as zero"}]
    files = report_files(summary=SUMMARY | found, coefficients=method)
    told = plain(prose.convergence_in_words(files, design("y ~ 1 + (1 | g)"))[1])
    assert "as known" not in told
    assert told.endswith("standard errors of coefficients come from a fit whose variances may be negative.")


def test_convergence_without_random_effects_in_words():
    found = prose.convergence_in_words(report_files(summary=SUMMARY), design("y ~ x", residual="cs(h | g)"))
    assert [plain(part) for part in found] == [
        "The search (Newton steps with the exact gradient) converged, at a deviance of 1,743.6283.",
        "There are no random effects; the covariance matrix of the residuals has full rank.",
    ]


@pytest.mark.parametrize(
    ("residual", "options", "words"),
    [
        ("un(h | g)", {}, "Residuals so and so. All are assumed to be normal."),
        (
            "ident(f)", {"weights": "w"},
            "Residuals so and so. All are assumed to be normal; variances are divided by the prior weight of the row.",
        ),
    ],
)  # fmt: skip
def test_correlated_residuals_in_words(residual, options, words):
    files = report_files(summary={"residual": {"words": "Residuals so and so."}})
    found = prose.model_in_words(files, seen("y ~ x + z", residual=residual, **options))
    assert [plain(part) for part in found] == [
        "The model for y is a mean that depends on x and z, plus a residual.",
        words,
    ]


def test_what_only_the_authors_can_supply():
    assert len(prose.FOR_THE_AUTHOR) == 7
    assert all(line.endswith(".") for line in prose.FOR_THE_AUTHOR)


@pytest.mark.parametrize(
    ("formula", "residual", "words"),
    [
        ("y ~ x + (1 | g)", None, "Linear mixed model"),
        ("y ~ x", "cs(h | g)", "Linear model with correlated residuals"),
        ("y ~ x", "ident(f) * cs(h | g)", "Linear model with correlated residuals"),
        ("y ~ x", "ident(f)", "Linear model with residuals of unequal variance"),
    ],
)
def test_what_the_model_is_called(formula, residual, words):
    assert prose.kind_of_model(design(formula, residual=residual)) == words


NO_UNITS = pd.DataFrame(columns=["group", "units", "turned", "lost", "note"])
FITTED = {
    **SUMMARY, "ngroups": {"g": 4, "h": 3}, "nobs": 12, "npar": 5, "aic": 10.0, "bic": 12.5, "method": "REML", "reused": [],
    "residual": {"structure": "cs(h | g)", "words": "Residuals so and so."},
}  # fmt: skip


def methods(formula, selection=None, summary=None, references=None, certificate=None, **options):
    """The methods paragraphs of a run in which nothing is notable."""
    files = report_files(
        summary={**FITTED, **(summary or {})},
        selection={"rule": "fixed", "criterion": "aic", "note": "A note.", **(selection or {})},
        data={"rows_read": 12, "rows_kept": 12, "source": "a.csv"},
        checks=[{"check": "outlying rows", "of": "g", "verdict": "fine", "remedy": ""}],
        coefficients=[{"method": "satterthwaite"}],
        influences=NO_UNITS, influence=pd.DataFrame(columns=["group", "level"]),
        references={key: {"cited": key.upper(), "listed": ""} for key in references or ()},
        certificate={"passed": True, "failed": [], "held": 15, "checks": 15, **(certificate or {})},
        provenance={"versions": dict.fromkeys(("lmmkit", "python", "numpy", "scipy", "pandas"), "1.0")},
        **{"checks.json": {"how": "refitted", "replicates": 99, "judged_by": "studentised", "sentences": []}},
    )  # fmt: skip
    return [plain(text) for text in prose.methods_in_words(files, seen(formula, **options))]


@pytest.mark.parametrize(
    ("formula", "options", "fitted", "shares"),
    [
        (
            "y ~ x + (1 | g) + (1 | h)", {},
            "A linear mixed model, y ~ 1 + x + (1 | g) + (1 | h), was fitted by restricted maximum likelihood (REML) to 12 "
            "observations with random effects of g (4 levels) and h (3 levels); it has 5 parameters, AIC 10 and BIC 12.5.",
            "Shares of variance explained are marginal and conditional ones.",
        ),
        (
            "y ~ x + (1 | h)", {"residual": "cs(h | g)"},
            "A linear mixed model, y ~ 1 + x + (1 | h), was fitted by restricted maximum likelihood (REML) to 12 observations "
            "with random effects of h (3 levels) and the residual structure cs(h | g); it has 5 parameters, AIC 10 and BIC "
            "12.5.",
            "Shares of variance explained are marginal and conditional ones.",
        ),
        (
            "y ~ x", {"residual": "cs(h | g)"},
            "A linear model with correlated residuals without random effects, y ~ 1 + x, was fitted by restricted maximum "
            "likelihood (REML) to 12 observations with the residual structure cs(h | g); it has 5 parameters, AIC 10 and BIC "
            "12.5.",
            "The share of variance explained is the marginal one.",
        ),
    ],
)  # fmt: skip
def test_the_methods_say_what_was_fitted_and_what_is_explained(formula, options, fitted, shares):
    first, second, third, last = methods(formula, **options)
    assert first.startswith(f"All 12 rows of a.csv are used. {fitted}")
    assert second.endswith(f"as are the tests. {shares}")
    assert "(the model refitted to each)" in third
    assert (
        "rows are judged by studentised residuals. Nothing notable was found in: outlying rows (g)." in third
    )
    assert last.startswith(
        "The analysis was made with lmmkit 1.0 (python 1.0, numpy 1.0, scipy 1.0, pandas 1.0)."
    )
    assert "Independent code recomputed the fit: 15 of 15 checks hold and none fails." in last


@pytest.mark.parametrize(("rule", "told"), [("fixed", False), ("best", True)])
def test_how_criteria_compare_stands_in_the_methods_where_they_chose(rule, told):
    assert (" A note." in methods("y ~ x + (1 | g)", selection={"rule": rule})[0]) == told


def test_a_search_that_failed_and_a_part_known_beforehand_stand_in_the_methods():
    sound = methods("y ~ x + (1 | g)")[0]
    for text in ("converge", "offset", "weight"):
        assert text not in sound
    failed = methods("y ~ x + (1 | g)", summary={"converged": False})[0]
    assert "The search did not converge." in failed
    known = "An offset, a known part of the response, was taken into account."
    assert known in methods("y ~ x + (1 | g)", offset="z")[0]
    assert known in methods("y ~ x + offset(z) + (1 | g)")[0]
    assert "divided by its weight." in methods("y ~ x + (1 | g)", weights="w")[0]


@pytest.mark.parametrize(
    ("references", "said"),
    [
        ((), None),
        (("spread",), "The methods: the likelihood ratio of a variance for each level (SPREAD)."),
        (
            ("trend", "spread", "normality", "envelope", "table"),
            "The methods: the likelihood ratio of a variance that is log-linear in the fitted values (TREND), the "
            "likelihood ratio of a variance for each level (SPREAD), skewness and kurtosis (NORMALITY), simultaneous "
            "envelopes of quantiles (ENVELOPE) and the step-down adjustment for all checks (TABLE).",
        ),
    ],
)
def test_the_methods_name_the_tests_of_the_assumptions(references, said):
    third = methods("y ~ x + (1 | g)", references=references)[2]
    assert third.rstrip().endswith(said or "outlying rows (g).")
    assert ("The methods:" in third) == bool(said)


def test_the_methods_cite_what_they_use():
    cited = ("reml", "model", "satterthwaite", "boundary", "r2", "r2 slopes", "guide")
    first, second, _, last = methods("y ~ x + (1 | g)", summary={"method": "ML"}, references=cited)
    assert "A linear mixed model (MODEL), y ~ 1 + x + (1 | g), was fitted by maximum likelihood (ML)" in first
    assert second == (
        "Confidence intervals have a coverage of 95 % and are Wald intervals with degrees of freedom by Satterthwaite "
        "(SATTERTHWAITE), as are the tests. Likelihood ratio tests of variance components have mixtures of "
        "chi-squared distributions as reference (BOUNDARY). Shares of variance explained are marginal and conditional "
        "ones (R2; R2 SLOPES)."
    )
    assert last.endswith("This paragraph follows published guidance (GUIDE).")
    assert "Likelihood ratio tests" not in methods("y ~ x + (1 | g)")[1]


def test_a_check_of_the_fit_that_failed_stands_in_the_methods():
    failed = {"passed": False, "failed": ["gradient", "solution"]}
    last = methods("y ~ x + (1 | g)", certificate=failed)[3]
    assert "The independent check of the fit failed: gradient and solution. This paragraph follows" in last
    assert "recomputed" not in last


@pytest.mark.parametrize(
    ("formula", "options", "said"),
    [
        ("y ~ x + (1 | g)", {}, ""),
        ("log(w) ~ x + (1 | g)", {}, "The response was analysed as log(w)."),
        ("y ~ f * k + (1 | g)", {}, "Factors are coded as differences from a reference level: f (u) and k (p)."),
        ("y ~ f + (1 | g)", {"contrasts": {"f": "sum"}},
         "The coding of f has no reference level; its coefficients are named by what they compare."),
        ("y ~ f + (1 | g)", {"contrasts": {"f": "sas"}, "weights": "w"},
         "Factors are coded as differences from a reference level: f (w). Rows have prior weights: the residual "
         "variance of a row is divided by its weight."),
    ],
)  # fmt: skip
def test_what_coefficients_are_to_be_read_with(formula, options, said):
    first = methods(formula, **options)[0]
    between = first.partition("BIC 12.5. ")[2].partition("The random effects were named")[0].strip()
    assert between == said


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("y ~ x + f + (1 | g)", []),
        ("y ~ x * z + (1 | g)", [
            "The test of x is about its effect where z is zero, and so is its coefficient; the answer above says where its own numbers hold.",
            "The test of z is about its effect where x is zero, and so is its coefficient; the answer above says where its own numbers hold.",
        ]),
        ("y ~ f * z + (1 | g)", [
            "The test of f is about its effect where z is zero, and so are its coefficients; the answer above says where its own numbers hold.",
            "The coefficient of z holds for f u; its F test averages over the levels of f with equal weights.",
        ]),
        ("y ~ f * k + (1 | g)", [
            "The coefficients of f hold for k p; its F test averages over the levels of k with equal weights.",
            "The coefficient of k holds for f u; its F test averages over the levels of f with equal weights.",
        ]),
        ("y ~ x * z + x * w + (1 | g)", [
            "The test of x is about its effect where z and w are zero, and so is its coefficient; the answer above says where its own numbers hold.",
            "The test of z is about its effect where x is zero, and so is its coefficient; the answer above says where its own numbers hold.",
            "The test of w is about its effect where x is zero, and so is its coefficient; the answer above says where its own numbers hold.",
        ]),
    ],
)  # fmt: skip
def test_what_the_tests_of_terms_are_about(formula, said):
    assert [plain(text) for text in prose.tests_in_words(report_files(), seen(formula))] == said


@pytest.mark.parametrize(
    ("assumptions", "said"),
    [
        (["tipping-point"], "; the tipping point of shifted responses (CONTROLLED)."),
        (["copy-reference"], "; copy reference after dropout (REFERENCE-BASED; ANCHORED)."),
        (["tipping-point", "copy-reference", "copy-increments"],
         "; the tipping point of shifted responses (CONTROLLED); copy reference and copy increments in reference "
         "after dropout (REFERENCE-BASED; ANCHORED)."),
    ],
)  # fmt: skip
def test_the_sensitivity_to_missing_responses_is_told_with_its_works(assumptions, said):
    asked = {"assumptions": assumptions, "arm": "k", "reference": "p", "imputations": 50}
    works = ("imputation", "imputation df", "conditional mean", "controlled", "reference-based", "anchored")
    files = report_files(
        study={**study(), "missing_data": asked},
        references={key: {"cited": key.upper(), "listed": ""} for key in works},
    )
    assert [plain(text) for text in prose.sensitivity(files)] == [
        "Sensitivity to missing responses: proper multiple imputation (50 data sets) from the fitted model, pooled by "
        "Rubin's rules with Barnard and Rubin's degrees of freedom (IMPUTATION; IMPUTATION DF), and conditional means "
        f"with the jackknife (CONDITIONAL MEAN){said}"
    ]
