"""Values of expressions on a table: each operator, conditions with gaps, stateful functions, and words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError, FormulaError
from lmmkit.model.formula.expression import parse_expression
from lmmkit.model.formula.functions import Basis
from lmmkit.model.table.columns import open_table
from lmmkit.model.table.evaluate import Evaluator, evaluate_expression

FRAME = pd.DataFrame(
    {
        "x": [1.0, 2.0, np.nan, 4.0, -3.0],
        "n": [3, 1, 2, 5, 2],
        "g": pd.Series(["a", "b", None, "a", "b"], dtype="str"),
        "yes": [True, False, True, True, False],
        "maybe": pd.array([True, None, False, None, True], "boolean"),
    }
)
NAN = np.nan


def evaluator() -> Evaluator:
    return Evaluator(open_table(FRAME, FRAME.columns))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n + x", [4, 3, NAN, 9, -1]),
        ("n - x", [2, -1, NAN, 1, 5]),
        ("n * x", [3, 2, NAN, 20, -6]),
        ("n / x", [3, 0.5, NAN, 1.25, -2 / 3]),
        ("x %% 2", [1, 0, NAN, 0, 1]),
        ("x %/% 2", [0, 1, NAN, 2, -2]),
        ("n^2", [9, 1, 4, 25, 4]),
        ("+n", [3, 1, 2, 5, 2]),
        ("-n", [-3, -1, -2, -5, -2]),
        ("n + 2.5", [5.5, 3.5, 4.5, 7.5, 4.5]),
        ("maybe * 2", [2, NAN, 0, NAN, 2]),
        ("group_mean(x, g)", [2.5, -0.5, NAN, 2.5, -0.5]),
        ("group_mean(x, n)", [1, 2, -3, 4, -3]),
    ],
)
def test_each_operator_has_its_value(text, expected):
    found = evaluate_expression(parse_expression(text, "derive"), FRAME)
    np.testing.assert_allclose(found, expected, atol=1e-15)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("x == 2", [1]),
        ("x != 2", [0, 3, 4]),
        ("x < 1", [4]),
        ("x <= 1", [0, 4]),
        ("x > 1", [1, 3]),
        ("x >= 1", [0, 1, 3]),
        ("0 < x < n", [0, 3]),
        ("0 < x <= 2 < n", [0]),
        ("not x > 1", [0, 4]),
        ("maybe", [0, 4]),
        ("not maybe", [2]),
        ("maybe or yes", [0, 2, 3, 4]),  # what one side settles is known
        ("maybe and yes", [0]),
        ("not (maybe and yes)", [1, 2, 4]),
        ("not (maybe or yes)", []),
        ("yes and n > 2 and x > 3", [3]),
        ("n == 1 or n == 5 or x < 0", [1, 3, 4]),
        ("g == 'b'", [1, 4]),
        ("'b' == g", [1, 4]),
        ("g != 'b'", [0, 3]),
        ("g in ['b', 'z']", [1, 4]),
        ("g not in ['b']", [0, 3]),
        ("not (g in ['b'])", [0, 3]),
        ("x in [2, -3]", [1, 4]),
        ("x not in [2, -3]", [0, 3]),
    ],
)
def test_a_condition_holds_in_the_rows_where_it_is_known_to(text, rows):
    found = evaluate_expression(parse_expression(text, "exclude"), FRAME)
    assert found.dtype == bool
    assert list(np.flatnonzero(found)) == rows


TEXT = "compares text with a number, or orders text: text is compared with text in quotes, by ==, != and in."


@pytest.mark.parametrize("text", ["g == 1", "x == 'a'", "g < 'b'", "g >= 'b'", "x in ['a']", "g in ['a', 1]"])
def test_text_beside_numbers_is_refused(text):
    with pytest.raises(FormulaError) as caught:
        evaluate_expression(parse_expression(text, "exclude"), FRAME)
    assert str(caught.value) == f"`{text}` {TEXT}"


@pytest.mark.parametrize(
    ("text", "purpose", "error", "said"),
    [
        ("n", "exclude", DataError, "`n`: column `n` is not true or false; compare it with a value."),
        (
            "yes and g",
            "exclude",
            DataError,
            "`yes and g`: column `g` is not true or false; compare it with a value.",
        ),
        (
            "log(x)",
            "derive",
            DataError,
            "`log(x)` is not a finite number in 1 row(s), first in row 5: correct the values there, leave "
            "the rows "
            "out, or mark them as missing.",
        ),
        (
            "1 / (n - 2)",
            "derive",
            DataError,
            "`1 / (n - 2)` is not a finite number in 2 row(s), first in row 3: correct the values there, "
            "leave the "
            "rows out, or mark them as missing.",
        ),
    ],
)  # fmt: skip
def test_values_that_cannot_be_used_are_refused(text, purpose, error, said):
    with pytest.raises(error) as caught:
        evaluate_expression(parse_expression(text, purpose), FRAME)
    assert str(caught.value) == said


def test_a_gap_of_the_columns_is_no_fault_of_the_values():
    found = evaluator().numbers(parse_expression("n / (x - x + 1)"))
    np.testing.assert_array_equal(found, [3, 1, NAN, 5, 2])


def test_several_columns_where_one_is_expected_are_refused():
    with pytest.raises(FormulaError) as caught:
        evaluator().numbers(parse_expression("poly(n, 2)"))
    assert str(caught.value) == "`poly(n, 2)` makes several columns; one is expected here."


def test_what_a_function_cannot_compute_is_said_with_its_text():
    with pytest.raises(FormulaError, match=r"^`poly\(yes, 2\)` cannot be computed: .*[^.]\.$"):
        evaluator().columns(parse_expression("poly(yes, 2)"))


def test_a_basis_has_gaps_in_the_rows_without_its_argument_alone():
    made = evaluator().columns(parse_expression("poly(x, 2, raw=True)"))
    assert isinstance(made, Basis)
    np.testing.assert_allclose(made.values[:, 0], FRAME["x"])
    np.testing.assert_allclose(made.values[:, 1], FRAME["x"] ** 2)


def test_what_is_learned_once_holds_for_the_next_table():
    expression = parse_expression("center(x)")
    first = evaluator()
    np.testing.assert_allclose(first.numbers(expression), [0, 1, NAN, 3, -4])
    again = Evaluator(open_table(pd.DataFrame({"x": [11.0, NAN]}), ["x"]), first.states)
    np.testing.assert_allclose(again.numbers(expression), [10, NAN])
    nothing = Evaluator(open_table(pd.DataFrame({"x": [NAN, NAN]}), ["x"]), first.states)
    assert np.isnan(nothing.numbers(expression)).all()


def test_a_column_alone_keeps_its_type():
    assert evaluate_expression(parse_expression("n", "derive"), FRAME).dtype == np.int64
