"""Degrees of freedom counted on the design: containment, between and within subjects, residual, automatic."""

from __future__ import annotations

import pytest
from reference.cases import fitted

import lmmkit
from lmmkit.model.inference.degrees_of_freedom import automatic


def frame_df(name, method):
    return fitted(name, "REML").coef_table(method)["df"].round(6).tolist()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sleep_full", [17, 17]),  # Subject and Subject x Days
        ("sleep_int", [17, 161]),  # Days is in no random effect
        ("orthodont_slope", [25, 25, 54, 54]),  # Sex, between subjects, is in none by its name
        ("machines_nested", [5, 10, 10]),  # Machine is in Worker:Machine
        ("machines_vector", [15, 15, 15]),
        ("pastes", [9]),
        ("penicillin", [5]),
        ("cake_temp", [42, 42, 42, 224]),
    ],
)
def test_containment(name, expected):
    assert frame_df(name, "containment") == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sleep_full", [17, 161]),
        ("orthodont_slope", [25, 79, 25, 79]),
        ("cake_temp", [42, 42, 42, 224]),
        ("machines_nested", [5, 46, 46]),
        ("pastes", [9]),
    ],
)
def test_between_within(name, expected):
    assert frame_df(name, "between-within") == expected


def test_the_factorial_split_plot_is_the_textbooks():
    for method in ("containment", "between-within", "kenward-roger", "satterthwaite"):
        table = fitted("cake_factor", "REML").anova(df=method)
        assert table["den_df"].round(4).tolist() == [42, 210, 210]


def test_between_within_needs_one_subject():
    with pytest.raises(lmmkit.FitError, match=r"plate, sample are crossed.*containment"):
        fitted("penicillin", "REML").coef_table("between-within")


def test_residual():
    assert frame_df("sleep_full", "residual") == [178, 178]


def test_a_combination_gets_the_least_of_its_coefficients():
    fit = fitted("sleep_full", "REML")
    assert fit.contrast("Intercept + 5 * Days", "between-within")["df"].iloc[0] == 17
    assert fit.contrast("Days", "between-within")["df"].iloc[0] == 161


def test_automatic_is_a_rule_of_size(monkeypatch):
    assert automatic(fitted("sleep_full", "REML").estimates) == "kenward-roger"
    assert automatic(fitted("sleep_full", "ML").estimates) == "satterthwaite"
    assert automatic(fitted("dyestuff2", "REML").estimates) == "unbounded"
    assert automatic(fitted("insteval", "REML").estimates) == "satterthwaite"
    for limit, most in (("MOST_ROWS", 180), ("MOST_EFFECTS", 36)):
        for value, method in ((most, "kenward-roger"), (most - 1, "satterthwaite")):
            monkeypatch.setattr(f"lmmkit.model.inference.degrees_of_freedom.{limit}", value)
            assert automatic(fitted("sleep_full", "REML").estimates) == method
        monkeypatch.undo()
