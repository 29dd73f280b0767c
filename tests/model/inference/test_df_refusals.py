"""Degrees of freedom: which method is refused for which model, what is noted of one, and automatic ones."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from reference.cases import fitted, table

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.design.design import build_design
from lmmkit.model.inference import degrees_of_freedom as module
from lmmkit.model.inference.confidence_intervals import _refuse_dependent_units
from lmmkit.model.inference.degrees_of_freedom import METHODS, automatic, check_method, denominators

SLEEP = table("sleep_full").assign(half=list("uv") * 90, row=range(180))
LABELS = [str(level) for level in SLEEP["Subject"].unique()]
K = pd.DataFrame(np.eye(18) + 0.2, LABELS, LABELS)
MODELS = {
    "plain": build_design("Reaction ~ Days + (1 | Subject)", SLEEP),
    "visits": build_design("Reaction ~ Days", SLEEP, residual="cs(1 | Subject)"),
    "both": build_design("Reaction ~ Days + (1 | Subject)", SLEEP, residual="ident(half)"),
    "related": build_design("Reaction ~ Days + (1 | Subject)", SLEEP, known={"Subject": K}),
    "members": build_design("Reaction ~ Days + (1 | mm(Subject))", SLEEP),
    "held": build_design("Reaction ~ Days + (1 | Subject)", SLEEP, variances={"Subject": 1, "Residual": 1}),
    "crossed": build_design("diameter ~ 1 + (1 | plate) + (1 | sample)", table("penicillin")),
    "all one": build_design("Reaction ~ Days", SLEEP, residual="car1(row | 1)"),
    "rows": build_design("Reaction ~ Days", SLEEP, residual="ident(half)"),
}
ALL = set(METHODS)
COUNTED = {"containment", "inner-outer", "unbounded"}


@pytest.mark.parametrize(
    ("model", "refused"),
    [
        ("plain", set()),
        ("visits", COUNTED),
        ("both", {"unbounded"}),
        ("related", {"containment", "inner-outer", "between-within"}),
        ("members", {"containment", "inner-outer", "between-within"}),
        ("held", ALL - {"normal"}),
        ("crossed", {"between-within"}),
        ("all one", COUNTED | {"between-within"}),
        ("rows", COUNTED | {"between-within"}),
    ],
)
def test_which_method_a_design_allows(model, refused):
    def is_refused(df):
        try:
            check_method(df, MODELS[model], reml=True)
        except FitError:
            return True
        return False

    assert {df for df in METHODS if is_refused(df)} == refused
    check_method("auto", MODELS[model], reml=True)
    check_method("kenward-roger", None, reml=True)


INSTEAD = "Use df='kenward-roger', 'satterthwaite' or 'residual'."


@pytest.mark.parametrize(
    ("model", "df", "said"),
    [
        (
            "held",
            "satterthwaite",
            "df='satterthwaite' is about variances that are estimated, and here they are given: leave df "
            "out, or "
            "use 'normal', the distribution of the effects where the variances are known.",
        ),
        (
            "visits",
            "containment",
            "df='containment' is a rule about random effects, and this model has a residual structure "
            "without "
            "them. Use df='kenward-roger', 'satterthwaite' or 'between-within'.",
        ),
        (
            "related",
            "inner-outer",
            "df='inner-outer' is a rule about rows within independent levels, and this model has levels "
            "that are "
            "related, or rows of several levels. Use df='kenward-roger', 'satterthwaite' or 'normal'.",
        ),
        (
            "both",
            "unbounded",
            "df='unbounded' lets variances of random effects be negative beside independent residuals, and "
            "this "
            "model has a residual structure. Use df='kenward-roger' or 'satterthwaite'.",
        ),
        (
            "all one",
            "between-within",
            f"df='between-within' splits by subjects, and in this model all rows are one. {INSTEAD}",
        ),
        (
            "rows",
            "between-within",
            f"df='between-within' splits by subjects, and here every row stands by itself. {INSTEAD}",
        ),
        (
            "crossed",
            "between-within",
            "df='between-within' needs one grouping factor that holds all others; plate, sample are "
            "crossed. Use "
            "df='kenward-roger', 'satterthwaite' or 'containment'.",
        ),
    ],
)
def test_a_refusal_names_the_reason_and_what_there_is(model, df, said):
    with pytest.raises(FitError) as caught:
        check_method(df, MODELS[model], reml=True)
    assert str(caught.value) == said


@pytest.mark.parametrize("df", METHODS)
def test_three_methods_are_of_reml_alone(df):
    if df not in ("kenward-roger", "kenward-roger-observed", "unbounded"):
        check_method(df, None, reml=False)
        return
    with pytest.raises(FitError) as caught:
        check_method(df, None, reml=False)
    assert str(caught.value) == (
        f"df={df!r} is defined for REML fits and this one is by maximum likelihood: fit with reml=True, or "
        f"use "
        "df='satterthwaite'."
    )


def test_a_singular_fit_has_no_kenward_roger_and_says_where():
    fit = fitted("dyestuff2", "REML")
    with pytest.raises(FitError) as caught:
        fit.coef_table("kenward-roger")
    assert str(caught.value) == (
        "df='kenward-roger' needs a covariance matrix inside its cone, and this fit is singular: the "
        "variance of "
        "Batch.Intercept is zero. Use df='satterthwaite', which then leaves the null directions out, or "
        "drop them "
        "from the formula."
    )
    by = denominators(fit.estimates, "auto")
    assert by.told == "unbounded: the variance of Batch.Intercept is estimated as zero"


def test_a_method_that_has_no_df_says_why():
    by = module.without(fitted("sleep_int", "REML").estimates, "kenward-roger", "It rains.")
    assert by.named(np.array([np.nan, np.nan])) == ["kenward-roger: no df, it rains"] * 2
    assert np.isnan(by.single(np.eye(2))).all()
    made = METHODS["residual"](fitted("sleep_int", "REML").estimates)
    assert made.named(np.array([178.0, np.nan])) == [
        "residual",
        "residual: no df, it depends on variances that the data do not tell apart",
    ]


def automatic_of(**changes):
    usual = {
        "reml": True,
        "nobs": 100,
        "is_singular": False,
        "has_closed_information": True,
        "random": [],
        "problem": SimpleNamespace(residual=None, effects=10),
        "design": SimpleNamespace(held=None, has_relatives=False),
    }
    return automatic(SimpleNamespace(**(usual | changes)))


VISITS = SimpleNamespace(residual=1, effects=0)
RELATED = SimpleNamespace(held=None, has_relatives=True)


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({}, "kenward-roger"),
        ({"design": SimpleNamespace(held=1, has_relatives=False)}, "normal"),
        ({"reml": False}, "satterthwaite"),
        ({"nobs": 50_000}, "kenward-roger"),
        ({"nobs": 50_001}, "satterthwaite"),
        ({"is_singular": True}, "unbounded"),
        ({"problem": SimpleNamespace(residual=None, effects=3_001)}, "satterthwaite"),
        ({"problem": VISITS}, "kenward-roger"),
        ({"problem": VISITS, "is_singular": True}, "satterthwaite"),
        ({"problem": VISITS, "has_closed_information": False, "large": True}, "satterthwaite"),
        ({"problem": VISITS, "has_closed_information": False, "large": False}, "kenward-roger"),
        ({"problem": VISITS, "large": True}, "kenward-roger"),
        ({"design": RELATED}, "kenward-roger"),
        ({"design": RELATED, "is_singular": True}, "satterthwaite"),
    ],
)
def test_the_automatic_method_follows_from_the_fit(changes, method, monkeypatch):
    large = changes.pop("large", False)
    monkeypatch.setattr(module, "connected_rows", lambda _: None)
    monkeypatch.setattr(module, "why_too_large", lambda _: "too large" if large else "")
    assert automatic_of(**changes) == method


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("plain", None),
        ("visits", None),
        ("related", "the levels of Subject are related by a known covariance"),
        ("members", "rows belong to several levels of mm(Subject)"),
        ("all one", "that is not made for residuals of the structure"),
    ],
)
def test_bca_needs_independent_units(model, why):
    made = MODELS[model]
    fit = SimpleNamespace(design=made, random=made.random)
    if why is None:
        _refuse_dependent_units(fit)
        return
    with pytest.raises(FitError) as caught:
        _refuse_dependent_units(fit)
    said = str(caught.value)
    assert said.startswith(f"kind='bca' leaves out independent units one by one, and here {why}")
    assert said.endswith(": use kind='percentile' or 'studentised'.")


def test_directions_that_the_data_leave_open_are_named():
    """A slope on a column of two values between levels: only one variance of each kind of level is seen."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(12), 4)
    frame = pd.DataFrame({"g": g, "x": (g % 2) * 1.0, "y": rng.normal(size=48) + rng.normal(size=12)[g]})
    fit = lmmkit.lmm("y ~ x + (x | g)", frame)
    notes = [line for line in str(fit.summary()).splitlines() if line.startswith("Not identified")]
    assert notes == [
        "Not identified: the likelihood stays as it is along +1 cov(Intercept, x) in g, -2 var(x) in g. "
        "These "
        "estimates are one choice among many; fixed effects and their tests do not depend on it where they "
        "have df."
    ]
    plain = lmmkit.lmm("y ~ x + (1 | g)", frame)
    assert "Not identified" not in str(plain.summary())
