"""The texts for Bambi and brms: what they say of each model, and what they cannot say."""

from __future__ import annotations

import ast
import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from model.posterior.test_posterior import table

import lmmkit
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError
from lmmkit.model.posterior.other_programs import IN_R, to_bambi, to_brms
from lmmkit.model.posterior.prior_words import model_priors

FIRST = "y ~ f + (1 | g)"


@cache
def fitted(formula, items):
    return lmmkit.lmm(formula, table().assign(o=1.5, k=lambda d: d["x"].round() % 3), **json.loads(items))


def text(write, formula, asked=None, draws=4000, seed=5, **options):
    fit = fitted(formula, json.dumps(options))
    bases = set_up(fit.estimates.problem, reml=True).prepared.term_bases
    priors = {one.parameter: one.prior for one in model_priors(fit.estimates, asked, bases).named}
    return write(fit.design, priors, draws, seed)


def test_bambi_draws_a_quarter_in_each_of_four_chains_of_levels_in_order():
    made = text(to_bambi, "y ~ f + x + (1 | g) + offset(o)", {"f[T.b]": "normal(1, 2)", "x": "flat"}, 4002)
    ast.parse(made)
    for part in [
        "model.fit(draws=1000, chains=4, target_accept=0.95, random_seed=5)",
        "'y ~ 1 + f + x + (1 | g) + offset(o)'",
        "'f': bmb.Prior(\"Normal\", mu=1.0, sigma=2.0)",
        "'x': bmb.Prior(\"Flat\")",
        '\'1|g\': bmb.Prior("Normal", mu=0, sigma=bmb.Prior("HalfStudentT", nu=3.0, sigma=2.5))',
        "data['f'] = pd.Categorical(data['f'].astype(str), ['a', 'b'])",
    ]:
        assert part in made
    assert "draws=1," in text(to_bambi, FIRST, draws=3)
    slope = text(to_bambi, "y ~ f + (0 + x | g)")  # a number that the fixed part has not
    assert "model = bmb.Model('y ~ 1 + f + (0 + x | g)', data," in slope
    assert "'x|g': bmb.Prior(\"Normal\", mu=0, sigma=" in slope


def test_a_reference_that_is_not_the_first_level_is_written_first():
    made = text(to_brms, FIRST, contrasts={"f": "SAS"})
    assert 'levels = c("b", "a"))' in made


def test_brms_warms_up_a_thousand_and_names_its_own_coefficients():
    made = text(to_brms, FIRST, {"f[T.b]": "normal(0, 1)", "g.sd": "exponential(2)"}, 4000, 2**31 + 7)
    for part in [
        "chains = 4, iter = 2000, warmup = 1000, seed = 7,",
        'set_prior("normal(0, 1)", class = "b", coef = "fb")',
        'set_prior("exponential(2)", class = "sd", group = "g", coef = "Intercept")',
        'set_prior("student_t(3, 0, 2.5)", class = "sigma")',
        "bf(y ~ 0 + Intercept + f + (1 | g))",
        'data$f <- factor(as.character(data$f), levels = c("a", "b"))',
    ]:
        assert part in made
    assert 'class = "cor"' not in made
    none = text(to_brms, "y ~ 0 + x + (0 + x || g)")
    assert "bf(y ~ 0 + x + (0 + x || g))" in none
    assert 'class = "cor"' not in none
    apart = text(to_brms, "y ~ x + (x || g)")
    assert "(1 + x || g)" in apart
    assert "(1 + x || g)" in text(to_brms, "y ~ x + diag(x | g)")
    assert 'class = "cor"' not in apart
    both = text(to_brms, "y ~ x + (x | g)", {"g.cor": "lkj(2)"})
    assert 'set_prior("lkj(2)", class = "cor", group = "g")' in both


@pytest.mark.parametrize(
    ("formula", "options", "asked", "bambi", "brms"),
    [
        ("y ~ x + (1 | g)", {"residual": "ident(f)"}, None, "structure .* not written for Bambi", "for brms"),
        ("y ~ x + (1 | g)", {"offset": "o"}, None, "offset given beside", "offset given beside"),
        ("y ~ x + (1 | g)", {"weights": "w"}, None, "Prior weights divide", "Prior weights divide"),
        ("y ~ x + cs(0 + f | g)", {}, None, r"Bambi has no term cs\(... \| g\)", r"brms has no term cs\("),
        (
            "y ~ center(x) + (1 | g)",
            {},
            None,
            "`center.x.` is written otherwise",
            "`center..` is no function",
        ),
        ("y ~ x + (1 | g)", {}, {"sigma": "half_normal(1, 2)"}, "centre elsewhere than at zero", None),
        (
            "y ~ f + (1 | g)",
            {"contrasts": {"f": "sum"}},
            None,
            "f is not coded by diff",
            "all that is written for brms",
        ),
        ("y ~ factor(k) + (1 | g)", {}, None, "written otherwise", "levels of `factor.k.` are made by"),
        (
            "y ~ I(x**2) + (1 | g)",
            {},
            {"beta": "normal(0, 1)"},
            "written otherwise",
            "calls `I.x.*` otherwise",
        ),
        ("abs(y) ~ exp(x) + (1 | g)", {}, {"beta": "normal(0, 1)"}, "`abs.y.` is written otherwise", None),
        ("y ~ f * x + (1 | g)", {}, {"x": "normal(0, 1)"}, None, None),
        ("y ~ h + (1 | g)", {}, {"h[T.h1]": "normal(0, 1)"}, "one prior for all coefficients of h", None),
        ("y ~ poly(x, 2) + (1 | g)", {}, {"poly(x, 2)[1]": "normal(0, 1)"}, "written otherwise", None),
        ("y ~ x + (0 + f || g)", {}, None, r"`f\[a\]` in the term of g is one column of several", None),
    ],
)
def test_what_another_program_cannot_say_exactly_is_refused(formula, options, asked, bambi, brms):
    for write, said in ((to_bambi, bambi), (to_brms, brms)):
        if said is None:
            assert text(write, formula, asked, **options)
            continue
        with pytest.raises(FitError, match=said):
            text(write, formula, asked, **options)


def test_related_levels_are_written_for_neither():
    names = [f"g{i}" for i in range(8)]
    kin = pd.DataFrame(0.5 * np.eye(8) + 0.5, names, names)
    design = lmmkit.lmm("y ~ x + (1 | g)", table(), known={"g": kin}).design
    for write, program in ((to_bambi, "Bambi"), (to_brms, "brms")):
        with pytest.raises(FitError, match=f"Related levels, .* are not written for {program}"):
            write(design, {}, 400, 1)


def test_whole_texts_begin_with_the_data_and_end_with_the_draws():
    bambi, brms = (text(write, FIRST, draws=400) for write in (to_bambi, to_brms))
    assert (
        bambi
        == """\
# The model of a fit by lmmkit, with the priors of its posterior. For Bambi 0.15 or later.
import bambi as bmb
import pandas as pd

data = pd.read_parquet("data.parquet")  # the rows of the fit: fit.model_frame()
data['f'] = pd.Categorical(data['f'].astype(str), ['a', 'b'])

priors = {
    'Intercept': bmb.Prior("Flat"),
    'f': bmb.Prior("Flat"),
    '1|g': bmb.Prior("Normal", mu=0, sigma=bmb.Prior("HalfStudentT", nu=3.0, sigma=2.5)),
    "sigma": bmb.Prior("HalfStudentT", nu=3.0, sigma=2.5),
}
model = bmb.Model('y ~ 1 + f + (1 | g)', data, priors=priors, center_predictors=False)
results = model.fit(draws=100, chains=4, target_accept=0.95, random_seed=5)
"""
    )
    assert (
        brms
        == """\
# The model of a fit by lmmkit, with the priors of its posterior.
library(brms)

data <- arrow::read_parquet("data.parquet")  # the rows of the fit, with columns of the data
data$f <- factor(as.character(data$f), levels = c("a", "b"))

priors <- c(
  set_prior("student_t(3, 0, 2.5)", class = "sd", group = "g", coef = "Intercept"),
  set_prior("student_t(3, 0, 2.5)", class = "sigma")
)
fit <- brm(
  bf(y ~ 0 + Intercept + f + (1 | g)),
  data = data, prior = priors, family = gaussian(),
  chains = 4, iter = 1100, warmup = 1000, seed = 5,
  control = list(adapt_delta = 0.95)
)
"""
    )


def test_functions_that_r_has_by_the_same_name():
    assert {
        "log",
        "log2",
        "log10",
        "log1p",
        "exp",
        "sqrt",
        "abs",
        "sin",
        "cos",
    } <= IN_R  # of numbers, in base
    assert IN_R - {"log", "log2", "log10", "log1p", "exp", "sqrt", "abs", "sin", "cos"} == {
        "I", "factor", "poly", "bs", "ns", "scale",
    }  # fmt: skip
