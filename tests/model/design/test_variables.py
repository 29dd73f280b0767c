"""Variables of the formula: contrast matrices, levels in a chosen order, new rows, and whole refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import DataError, FormulaError, LmmkitError
from lmmkit.model.design import variables
from lmmkit.model.design.variables import coding, given_coding, learn, reread
from lmmkit.model.formula.expression import parse_expression
from lmmkit.model.table.columns import open_table
from lmmkit.model.table.evaluate import Evaluator

FRAME = pd.DataFrame({"a": list("qprqpp"), "k": [3, 1, 3, 2, 1, 2], "x": [0.5, 1, 2, 0.5, 3, np.nan]})


def evaluator(frame=FRAME):
    return Evaluator(open_table(frame, frame.columns))


def learned(text, rows=None, contrasts=None):
    return learn(parse_expression(text), evaluator(), rows, contrasts or {})


@pytest.mark.parametrize(
    ("kind", "labels", "matrix"),
    [
        ("treatment", ["T.b", "T.c"], [[0, 0], [1, 0], [0, 1]]),
        ("sas", ["T.a", "T.b"], [[1, 0], [0, 1], [0, 0]]),
        ("sum", ["S.a", "S.b"], [[1, 0], [0, 1], [-1, -1]]),
        ("helmert", ["H.b", "H.c"], [[-1, -1], [1, -1], [0, 2]]),
        ("diff", ["D.b", "D.c"], [[-2 / 3, -1 / 3], [1 / 3, -1 / 3], [1 / 3, 2 / 3]]),
        ("poly", [".L", ".Q"], np.array([[-1, 1], [0, -2], [1, 1]]) / np.sqrt([2, 6])),
    ],
)
def test_each_coding_has_its_matrix(kind, labels, matrix):
    made = coding(kind, list("abc"))
    assert list(made.labels) == labels
    np.testing.assert_allclose(made.matrix, matrix, atol=1e-15)


def test_polynomials_are_named_by_degree():
    made = coding("poly", list("abcdef"))
    assert made.labels == (".L", ".Q", ".C", "^4", "^5")
    np.testing.assert_allclose(made.matrix.T @ made.matrix, np.eye(5), atol=1e-14)
    np.testing.assert_allclose(made.matrix[:, 2] * np.sqrt(180), [-5, 7, 4, -4, -7, 5])


@pytest.mark.parametrize(("kind", "base"), [("treatment", "b"), ("sas", "b")])
def test_a_base_level_has_no_column(kind, base):
    made = coding(kind, list("abc"), base)
    assert made.labels == ("T.a", "T.c")
    assert made.matrix.tolist() == [[1, 0], [0, 0], [0, 1]]


MANY = [f"l{i}" for i in range(20)]
NAMES = "treatment, sum, helmert, poly, diff, sas"


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: coding("odd", ["a", "b"]), f"`odd` is no coding of a factor; offered: {NAMES}."),
        (lambda: coding("sum", ["a", "b"], "a", "f"), "A sum coding of `f` has no base level."),
        (
            lambda: coding("treatment", MANY, "z", "f"),
            f"`z` is no level of `f`; its levels: {', '.join(MANY[:12])}.",
        ),
        (
            lambda: given_coding(3.5, MANY[:8], "f"),
            "contrasts of `f`: a matrix of 8 rows (levels l0, l1, l2, l3, l4, l5) and at most 7 columns is "
            "expected, not (1,).",
        ),
        (
            lambda: given_coding(np.eye(3), ["a", "b", "c"], "f"),
            "contrasts of `f`: a matrix of 3 rows (levels a, b, c) and at most 2 columns is expected, not "
            "(3, 3).",
        ),
        (
            lambda: given_coding(np.empty((3, 0)), ["a", "b", "c"], "f"),
            "contrasts of `f`: a matrix of 3 rows (levels a, b, c) and at most 2 columns is expected, not "
            "(3, 0).",
        ),
        (
            lambda: given_coding([[1], [0]], ["a", "b", "c"], "f"),
            "contrasts of `f`: a matrix of 3 rows (levels a, b, c) and at most 2 columns is expected, not "
            "(2, 1).",
        ),
        (
            lambda: given_coding([[1, 0], [1, 0], [1, 1]], ["a", "b", "c"], "f"),
            "contrasts of `f`: the columns are not independent of each other and of 1.",
        ),
        (
            lambda: given_coding(object(), ["a", "b"], "f"),
            f"contrasts of `f`: a name ({NAMES}) or a matrix is expected.",
        ),
        (
            lambda: learned("factor(k, levels=[3, 9])"),
            "`factor(k, levels=[3, 9])` must list each level once; not listed: 1, 2.",
        ),
        (
            lambda: learned("factor(k, levels=[3, 2, 1, 2])"),
            "`factor(k, levels=[3, 2, 1, 2])` must list each level once; not listed: none.",
        ),
        (
            lambda: learned("a", np.array([1, 4])),
            "The factor `a` has one level only (p) in the 2 rows used; at least two are expected: leave it "
            "out of "
            "the formula.",
        ),
    ],
)
def test_what_is_no_coding_is_refused(ask, said):
    with pytest.raises(LmmkitError) as caught:
        ask()
    assert str(caught.value) == said


@pytest.mark.parametrize("given", ["sum", "contr.sum", "Sum", [[1, 0], [0, 1], [-1, -1]]])
def test_a_coding_is_given_by_name_or_matrix(given):
    made = given_coding(given, list("abc"), "f")
    assert made.matrix.tolist() == [[1, 0], [0, 1], [-1, -1]]
    assert made.labels == (("S.a", "S.b") if isinstance(given, str) else ("1", "2"))


@pytest.mark.parametrize(
    ("text", "names", "columns"),
    [
        ("a", ["a[T.q]", "a[T.r]"], [[1, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0]]),
        ("C(k)", ["C(k)[T.2]", "C(k)[T.3]"], [[0, 0, 0, 1, 0, 1], [1, 0, 1, 0, 0, 0]]),
        ("C(k, sum)", ["C(k, sum)[S.1]", "C(k, sum)[S.2]"], [[-1, 1, -1, 0, 1, 0], [-1, 0, -1, 1, 0, 1]]),
        (
            "factor(k, levels=[3, 1, 2])",
            ["factor(k, levels=[3, 1, 2])[T.1]", "factor(k, levels=[3, 1, 2])[T.2]"],
            [[0, 1, 0, 0, 1, 0], [0, 0, 0, 1, 0, 1]],
        ),
        ("factor(k > 1)", None, None),
        ("C(k * 2)", ["C(k * 2)[T.4]", "C(k * 2)[T.6]"], [[0, 0, 0, 1, 0, 1], [1, 0, 1, 0, 0, 0]]),
    ],
)
def test_columns_beside_an_intercept(text, names, columns):
    if names is None:
        with pytest.raises(FormulaError):
            learned(text)
        return
    made = learned(text).columns(reduced=True)
    assert [name for name, _ in made] == names
    np.testing.assert_array_equal([values for _, values in made], columns)


def test_levels_of_some_rows_have_the_codes_of_these():
    values = learned("a", np.array([3, 2, 0]))
    assert values.variable.levels == ("q", "r")
    assert values.codes.tolist() == [0, 1, 0]
    np.testing.assert_array_equal([c for _, c in values.columns(reduced=False)], [[1, 0, 1], [0, 1, 0]])


def test_a_marked_expression_is_missing_where_its_column_is():
    values = learned("C(x * 2)", np.arange(5))
    assert values.variable.levels == ("1", "2", "4", "6")
    assert learned("C(x * 2)").codes.tolist() == [0, 1, 2, 0, 3, -1]


@pytest.mark.parametrize("old", [[-1, 3, 20], ["-1", "3", "20"], ["-1.0", "3.0", "20.0"]])
@pytest.mark.parametrize("new", [[3, -1], [3.0, -1.0]])
def test_a_whole_number_is_one_level_however_it_is_written(old, new):
    fit = learn(parse_expression("C(k)"), evaluator(pd.DataFrame({"k": old})), None, {}).variable
    found = reread(fit, evaluator(pd.DataFrame({"k": new})))
    assert [float(fit.levels[code]) for code in found.codes] == [3, -1]


def test_text_is_not_read_as_a_number():
    fit = learned("C(k)").variable
    with pytest.raises(DataError) as caught:
        reread(fit, evaluator(pd.DataFrame({"k": ["1.0", "x", "7", "3"]})))
    assert str(caught.value) == "`C(k)` has levels that the fit has not seen: 1.0, 7, x; known: 1, 2, 3."


def test_unseen_levels_matter_in_the_rows_that_are_asked_for():
    fit = learned("a").variable
    new = evaluator(pd.DataFrame({"a": ["p", None, "z", "r"]}))
    assert reread(fit, new, np.array([3, 0, 1])).codes.tolist() == [2, 0, -1]
    with pytest.raises(DataError, match=r"not seen: z; known: p, q, r\.$"):
        reread(fit, new)
    many = evaluator(pd.DataFrame({"a": [f"z{i}" for i in range(9)]}))
    with pytest.raises(DataError, match=r"not seen: z0, z1, z2, z3, z4, z5; known: p, q, r\.$"):
        reread(fit, many)


def test_as_many_values_as_are_made(monkeypatch):
    monkeypatch.setattr(variables, "MOST_VALUES", 18)
    assert learned("a").variable.levels == ("p", "q", "r")
    monkeypatch.setattr(variables, "MOST_VALUES", 17)
    with pytest.raises(DataError) as caught:
        learned("a")
    assert str(caught.value) == (
        "`a` has 3 levels, each of which would be a fixed effect: write `(1 | a)` for a random one, or "
        "convert it "
        "if it holds numbers."
    )
