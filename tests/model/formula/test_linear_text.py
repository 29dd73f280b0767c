"""Linear hypotheses as text: what each sign means, and each refusal as a whole sentence."""

from __future__ import annotations

import numpy as np
import pytest

from lmmkit.errors import FitError
from lmmkit.model.formula.linear_text import Linear, equations, written

NAMES = ["Intercept", "a", "b", "a:b", "x:f[T.b]", "I(x^2)"]


def read(text, names=NAMES):
    return [({n: w for n, w in e.weights.items() if w}, e.value) for e in equations(text, names)]


@pytest.mark.parametrize(
    ("text", "weights", "value"),
    [
        ("a", {"a": 1}, None),
        ("+a", {"a": 1}, None),
        ("-a", {"a": -1}, None),
        ("- -a", {"a": 1}, None),
        ("a - b", {"a": 1, "b": -1}, None),
        ("a + b", {"a": 1, "b": 1}, None),
        ("a - b + a", {"a": 2, "b": -1}, None),
        ("a - (b - a)", {"a": 2, "b": -1}, None),
        ("2 * a", {"a": 2}, None),
        ("a * 2", {"a": 2}, None),
        ("2 a", {"a": 2}, None),
        ("2 (a + b)", {"a": 2, "b": 2}, None),
        ("2(a)", {"a": 2}, None),
        ("2 3 a", None, None),
        ("a / 4", {"a": 0.25}, None),
        ("a / 2 / 2", {"a": 0.25}, None),
        ("6 / 3 * a", {"a": 2}, None),
        ("(a + b) / 2", {"a": 0.5, "b": 0.5}, None),
        ("a:b", {"a:b": 1}, None),
        ("x:f[T.b] - a", {"x:f[T.b]": 1, "a": -1}, None),
        ("x : f[T.b]", {"x:f[T.b]": 1}, None),
        ("I(x ** 2) - I( x^2 ) * .5", {"I(x^2)": 0.5}, None),
        ("`a` - b", {"a": 1, "b": -1}, None),
        ("a - b + 1 - 1", {"a": 1, "b": -1}, None),
        ("a = 5", {"a": 1}, 5),
        ("a == 5", {"a": 1}, 5),
        ("5 = a", {"a": 1}, 5),
        ("a - 5 = 0", {"a": 1}, 5),
        ("a + 1 = b - 2", {"a": 1, "b": -1}, -3),
        ("2 * a - 1 = 3 * b + .5e1", {"a": 2, "b": -3}, 6),
        ("a = b", {"a": 1, "b": -1}, 0),
        ("1 - a = 0", {"a": -1}, -1),
        ("a = 1e-2", {"a": 1}, 0.01),
        ("a = -(3 + 1) / 2", {"a": 1}, -2),
    ],
)
def test_a_text_has_its_weights_and_value(text, weights, value):
    if weights is None:
        with pytest.raises(FitError):
            read(text)
        return
    assert read(text) == [(weights, value)]


def test_chains_and_lists_hold_several():
    found = equations("a = b = 2, -a ,a:b==1", NAMES)
    assert [e.text for e in found] == ["a = b", "b = 2", "-a", "a:b = 1"]
    assert [e.value for e in found] == [0.0, 2.0, None, 1.0]
    assert found[1].weights == {"b": 1.0}


def test_a_column_named_by_a_number_is_one_in_back_quotes_alone():
    assert read("`5` = 5", ["5", "a"]) == [({"5": 1}, 5)]
    assert read("5 = a", ["5", "a"]) == [({"a": 1}, 5)]


def test_the_longest_name_is_meant():
    assert read("a - b", ["a", "a - b", "b"]) == [({"a - b": 1}, None)]


LISTED = "Coefficients: Intercept, a, b, a:b, x:f[T.b], I(x^2)."
SUCH = "a sum of coefficients is expected, such as `I(x^2) - 0.5 * Intercept` or `I(x^2) = 0`."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a - 5",
            "contrast `a - 5` has the number -5 by itself: a hypothesis about a value is written with `=`, "
            "such as "
            "`I(x^2) = 5`.",
        ),
        ("a * b", f"contrast `a * b` multiplies two coefficients, and a hypothesis is linear. {LISTED}"),
        ("a / b", f"contrast `a / b` divides by what is no number other than zero. {LISTED}"),
        ("a / 0", f"contrast `a / 0` divides by what is no number other than zero. {LISTED}"),
        ("a = 1e999", f"contrast `a = 1e999` has a number that is too large. {LISTED}"),
        ("c", f"`c` is no coefficient of this fit. {LISTED}"),
        ("Intercep", f"`Intercep` is no coefficient of this fit - did you mean `Intercept`? {LISTED}"),
        ("", f"An empty text names no coefficient of this fit. {LISTED}"),
        ("a +", f"contrast `a +` cannot be read at `+`: {SUCH} {LISTED}"),
        (
            "a + Intercep",
            "contrast `a + Intercep` cannot be read at `+ Intercep`; did you mean `Intercept`?: "
            f"{SUCH} {LISTED}",
        ),
        ("(a", f"contrast `(a` cannot be read at `(a`: {SUCH} {LISTED}"),
        ("a)", f"contrast `a)` cannot be read at `a)`: {SUCH} {LISTED}"),
        (
            "a > 0",
            "contrast `a > 0` cannot be read at `a > 0`; a side is chosen by side='less' or side='greater', "
            "and a value "
            f"by `=`: {SUCH} {LISTED}",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(text, said):
    with pytest.raises(FitError) as caught:
        equations(text, NAMES)
    assert str(caught.value) == said


def test_bounds_are_held_to_the_unit():
    assert read("-" * 50 + "a") == [({"a": 1}, None)]
    with pytest.raises(FitError, match="has brackets and signs more than 50 deep"):
        read("-" * 51 + "-a")
    assert read("a" + " " * 9_999) == [({"a": 1}, None)]
    with pytest.raises(FitError) as caught:
        read("a" + " " * 10_000)
    assert str(caught.value) == ("contrast() was given a text of 10,001 characters; at most 10,000 are read.")


def test_sums_and_multiples():
    one, two = Linear({"a": 1.0, "b": 2.0}, 3.0), Linear({"b": 5.0, "c": 1.0}, 1.0)
    assert one.plus(two) == Linear({"a": 1.0, "b": 7.0, "c": 1.0}, 4.0)
    assert one.plus(two, -1.0) == Linear({"a": 1.0, "b": -3.0, "c": -1.0}, 2.0)
    assert one.times(-2.0) == Linear({"a": -2.0, "b": -4.0}, -6.0)


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ([-0.71, 0.7, 0.0], "0.71 a - 0.70 b"),
        ([0.5, 0.9, 0.3], "0.50 a + 0.90 b + 0.30 c"),
        ([0.05, -1.0, 0.04], "b"),
        ([0.06, -1.0, 0.0], "-0.06 a + 1.00 b"),
    ],
)
def test_a_combination_is_written_with_its_largest_weight_positive(weights, text):
    assert written(np.array(weights), ["a", "b", "c"], least=0.05, form="+.2f") == text
