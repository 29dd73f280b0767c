# ruff: noqa: E501  (a case is a line)
"""The answer of a study as a table: which rows it has, and each number by its formula on the coefficients."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm, studentized_range

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.means.focus import Focus, find_focus
from lmmkit.model.report_tables import about_answer, about_inference

LEVEL = 0.9
TESTS = ["estimate", "se", "t", "p", "low", "high"]


@cache
def table():
    """48 rows: x from -2 to 3, z of 1, 2 and 4, factors f, h and v (as h, but of truth values), groups g."""
    i, rng = np.arange(48), np.random.default_rng(4)
    d = pd.DataFrame(
        {"g": [f"g{k}" for k in i // 6], "x": i % 6 - 2.0, "z": np.tile([1.0, 2.0, 4.0], 4).repeat(4)}
    )
    d["f"], d["h"] = np.array(list("abc"))[(i // 2 + i // 6) % 3], np.where((i + i // 6) % 2, "lo", "hi")
    d["y"] = 3 + d.x * (1 + 0.5 * (d.h == "lo")) + 0.25 * d.x * d.z - 2 * (d.f == "b") + rng.normal(size=48)
    d["y"] += 4 * (d.f == "c") * (d.h == "lo") + rng.normal(size=8)[i // 6]
    return d.assign(q=np.exp(d.y / 10), v=d.h == "lo", c=d.x - 0.5, w=(d.z > 2) * 1.0)


@cache
def fitted(formula, *options):
    return lmmkit.lmm(f"{formula} + (1 | g)", table(), **dict(options))


def told(formula, focus=None, contrast=None, at=None, *options, data=None):
    """The fit, the rows of the answer by their names, and what is said of it."""
    fit = fitted(formula, *options) if data is None else lmmkit.lmm(f"{formula} + (1 | g)", data)
    bounds = about_inference.intervals(fit, ci="wald", level=LEVEL, df="normal", seed=1)
    coefficients = about_inference.coefficients(fit, bounds, df="normal", level=LEVEL)
    asked = find_focus(fit.design, focus, contrast, at)
    made = about_answer.told(fit, asked, coefficients, df="normal", level=LEVEL)
    return fit, made.table.set_index("row"), made.facts


def row_of(fit, weights):
    assert weights.keys() <= set(fit.params.index)
    return np.array([float(weights.get(name, 0.0)) for name in fit.params.index])


def less(first, second):
    return {name: first.get(name, 0.0) - second.get(name, 0.0) for name in {*first, *second}}


MEAN = 7 / 3  # of z
OF_F = [{"f[T.b]": 1}, {"f[T.c]": 1}]
HI = [{}, {"f[T.b]": 1}, {"f[T.c]": 1}]
LO = [{}, {"f[T.b]": 1, "f[T.b]:h[T.lo]": 1}, {"f[T.c]": 1, "f[T.c]:h[T.lo]": 1}]
OVER_H = [{}, {"f[T.b]": 1, "f[T.b]:h[T.lo]": 0.5}, {"f[T.c]": 1, "f[T.c]:h[T.lo]": 0.5}]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            ("y ~ x*z + x*h",),
            [("slope", "slope", {"x": 1, "x:z": MEAN, "x:h[T.lo]": 0.5}),
             ("slope at z least", "slope at", {"x": 1, "x:z": 1, "x:h[T.lo]": 0.5}),
             ("slope at z greatest", "slope at", {"x": 1, "x:z": 4, "x:h[T.lo]": 0.5}),
             ("slope at h: hi", "slope at", {"x": 1, "x:z": MEAN}),
             ("slope at h: lo", "slope at", {"x": 1, "x:z": MEAN, "x:h[T.lo]": 1}),
             ("slopes of h: lo less hi", "difference of slopes", {"x:h[T.lo]": 1}),
             ("F of x:z", "F of interaction", [{"x:z": 1}]),
             ("F of x:h", "F of interaction", [{"x:h[T.lo]": 1}])],
        ),
        (
            ("y ~ x*z + x*h", "x", None, {"z": 2}),  # what is at a value has no rows of its own
            [("slope", "slope", {"x": 1, "x:z": 2, "x:h[T.lo]": 0.5}),
             ("slope at h: hi", "slope at", {"x": 1, "x:z": 2}),
             ("slope at h: lo", "slope at", {"x": 1, "x:z": 2, "x:h[T.lo]": 1}),
             ("slopes of h: lo less hi", "difference of slopes", {"x:h[T.lo]": 1}),
             ("F of x:z", "F of interaction", [{"x:z": 1}]),
             ("F of x:h", "F of interaction", [{"x:h[T.lo]": 1}])],
        ),
        (
            ("y ~ x + I(x^2) + z", "x"),
            [("slope", "slope", {"x": 1, "I(x^2)": 1.0}),
             ("slope at x least", "along", {"x": 1, "I(x^2)": -4.0}),
             ("slope at x greatest", "along", {"x": 1, "I(x^2)": 6.0}),
             ("all of x", "F of all", [{"x": 1}, {"I(x^2)": 1}])],
        ),
        (
            ("y ~ f", "f"),
            [("mean: a", "mean", {"Intercept": 1}), ("mean: b", "mean", {"Intercept": 1, "f[T.b]": 1}),
             ("mean: c", "mean", {"Intercept": 1, "f[T.c]": 1}), ("F", "F", OF_F),
             ("c less b", "difference*", less(OF_F[1], OF_F[0]))],
        ),
        (
            ("y ~ f", "f", ["b", "c"]),
            [("mean: a", "mean", {"Intercept": 1}), ("mean: b", "mean", {"Intercept": 1, "f[T.b]": 1}),
             ("mean: c", "mean", {"Intercept": 1, "f[T.c]": 1}), ("F", "F", OF_F),
             ("b less c", "difference", less(OF_F[0], OF_F[1]))],
        ),
        (
            ("y ~ f*h", "f"),
            [("mean: a", "mean", {"Intercept": 1, "h[T.lo]": 0.5}),
             ("mean: b", "mean", {"Intercept": 1, "h[T.lo]": 0.5, **OVER_H[1]}),
             ("mean: c", "mean", {"Intercept": 1, "h[T.lo]": 0.5, **OVER_H[2]}), ("F", "F", OVER_H[1:]),
             ("c less b", "difference*", less(OVER_H[2], OVER_H[1])), ("F at h: hi", "F at", HI[1:]),
             ("a less b at h: hi", "difference at*", less(HI[0], HI[1])), ("F at h: lo", "F at", LO[1:]),
             ("c less b at h: lo", "difference at*", less(LO[2], LO[1])),
             ("F of f:h", "F of interaction", [{"f[T.b]:h[T.lo]": 1}, {"f[T.c]:h[T.lo]": 1}])],
        ),
        (
            ("y ~ h + f:h", "f:h"),  # f is nested: there is no margin of it
            [("F at h: hi", "F at", [{"f[T.b]:h[hi]": 1}, {"f[T.c]:h[hi]": 1}]),
             ("a less b at h: hi", "difference at*", {"f[T.b]:h[hi]": -1}),
             ("F at h: lo", "F at", [{"f[T.b]:h[lo]": 1}, {"f[T.c]:h[lo]": 1}]),
             ("c less b at h: lo", "difference at*", {"f[T.c]:h[lo]": 1, "f[T.b]:h[lo]": -1}),
             ("F of f:h", "F of interaction", [{f"f[T.{a}]:h[{b}]": 1} for a in "bc" for b in ("hi", "lo")])],
        ),
        (
            ("y ~ h*z", "h", None, {"z": 4}),
            [("mean: hi", "mean", {"Intercept": 1, "z": 4}),
             ("mean: lo", "mean", {"Intercept": 1, "z": 4, "h[T.lo]": 1, "h[T.lo]:z": 4}),
             ("F", "F", [{"h[T.lo]": 1, "h[T.lo]:z": 4}]),
             ("lo less hi", "difference", {"h[T.lo]": 1, "h[T.lo]:z": 4}),
             ("F of h:z", "F of interaction", [{"h[T.lo]:z": 1}])],
        ),
        (
            ("y ~ h + x:f", "x:f"),
            [("slope", "slope", {f"x:f[{level}]": 1 / 3 for level in "abc"}),
             *((f"slope at f: {level}", "slope at", {f"x:f[{level}]": 1}) for level in "abc"),
             ("slopes of f: c less a", "difference of slopes*", {"x:f[c]": 1, "x:f[a]": -1}),
             ("F of x:f", "F of interaction", [{f"x:f[{level}]": 1} for level in "abc"])],
        ),
        (("y ~ x + v", "v"),
         [("mean: False", "mean", {"Intercept": 1, "x": 0.5}),
          ("mean: True", "mean", {"Intercept": 1, "x": 0.5, "v": 1}),
          ("F", "F", [{"v": 1}]), ("True less False", "difference", {"v": 1})]),
        (("y ~ x + f", "Intercept"), [("intercept", "mean", {"Intercept": 1})]),
    ],
)  # fmt: skip
def test_every_row_is_its_function_of_the_coefficients(asked, expected):
    fit, rows, _ = told(*asked)
    roles = (rows["role"] + np.where(rows["adjusted"] == "Tukey", "*", "")).tolist()
    assert list(zip(rows.index, roles, strict=True)) == [each[:2] for each in expected]
    V, z = fit.cov_params().to_numpy(), norm.ppf(0.5 + LEVEL / 2)
    for name, role, weights in expected:
        row = rows.loc[name]
        if role.startswith("F"):
            L = np.array([row_of(fit, each) for each in weights])
            wald = (L @ fit.params) @ np.linalg.solve(L @ V @ L.T, L @ fit.params)
            assert row[["num_df", "den_df"]].tolist() == [len(L), np.inf]
            assert row["F"] == pytest.approx(wald / len(L), rel=1e-6)
            assert row["p"] == pytest.approx(chi2.sf(wald, len(L)), rel=1e-6)
            continue
        L = row_of(fit, weights)
        estimate, se = L @ fit.params, np.sqrt(L @ V @ L)
        t = estimate / se
        p, half = 2 * norm.sf(abs(t)), z * se
        if role.endswith("*"):  # adjusted for all pairs of three levels
            p = studentized_range.sf(abs(t) * np.sqrt(2), 3, np.inf)
            half = studentized_range.ppf(LEVEL, 3, np.inf) / np.sqrt(2) * se
        near = pytest.approx([estimate, se, estimate - half, estimate + half], rel=1e-6)
        assert row[["estimate", "se", "low", "high"]].tolist() == near
        if name.startswith("mean:"):
            assert row[["t", "p", "interval", "adjusted"]].isna().all()
        else:
            assert row[["t", "p"]].tolist() == pytest.approx([t, p], rel=1e-5, abs=1e-9)
            assert row["interval"] == "Wald"
        assert row["method"] == "normal"


NOTHING = {
    "absent": "", "within": [], "contrast": [], "at": [], "moderators": [], "curved": False, "scale": "identity",
    "shift": 0.0, "response": "y", "column": "y", "plain": "y", "nested": False, "where": [], "offset": False,
    "averaged": [], "held": [],
}  # fmt: skip
HELD_Z = [{"column": "z", "value": pytest.approx(MEAN)}]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("y ~ x*z + x*h",), {"term": "x", "variable": "x", "kind": "number", "moderators": ["z", "h"]}),
        (("y ~ x*z + x*h", "x", None, {"h": "lo"}),
         {"term": "x", "variable": "x", "kind": "number", "moderators": ["z"], "at": [{"column": "h", "value": "lo"}]}),
        (("y ~ x + I(x^2) + z", "x"), {"term": "x", "variable": "x", "kind": "number", "curved": True}),
        (("y ~ h + f:h", "f:h"),
         {"term": "f:h", "variable": "f", "kind": "factor", "within": ["h"], "moderators": ["h"], "averaged": ["h"], "nested": True}),
        (("y ~ f*h", "f:h", ["b", "c"]),
         {"term": "f:h", "variable": "f", "kind": "factor", "within": ["h"], "contrast": ["b", "c"], "moderators": ["h"], "averaged": ["h"]}),
        (("y ~ h*z + h*x + f*h", "h"),
         {"term": "h", "variable": "h", "kind": "factor", "moderators": ["z", "x", "f"], "averaged": ["f"],
          "held": [*HELD_Z, {"column": "x", "value": 0.5}]}),
        (("y ~ h*z + f*h", "h", None, {"z": 2, "f": "b"}),
         {"term": "h", "variable": "h", "kind": "factor", "at": [{"column": "z", "value": 2.0}, {"column": "f", "value": "b"}]}),
        (("log(q - 0.25) ~ x", "x"),
         {"term": "x", "variable": "x", "kind": "number", "scale": "log", "shift": -0.25, "response": "log(q - 0.25)", "column": "q", "plain": "q - 0.25"}),
        (("sqrt(q + 2) ~ x + offset(z)", "x"),
         {"term": "x", "variable": "x", "kind": "number", "scale": "sqrt", "shift": 2.0, "response": "sqrt(q + 2)", "column": "q", "plain": "q + 2", "offset": True}),
        (("exp(y / 10) ~ x", "x", None, None, ("offset", "z")),
         {"term": "x", "variable": "x", "kind": "number", "scale": "other", "response": "exp(y / 10)", "offset": True}),
        (("y ~ h*w", "h"), {"term": "h", "variable": "h", "kind": "factor", "moderators": ["w"]}),  # of two values
        (("y ~ x + f", "Intercept"),
         {"term": "Intercept", "variable": "", "kind": "intercept", "where": [{"of": "x", "kind": "zero"}, {"of": "f", "kind": "level", "level": "a"}]}),
    ],
)  # fmt: skip
def test_what_is_said_of_the_answer_as_a_whole(asked, expected):
    facts = told(*asked)[2]
    assert facts.pop("alpha") == pytest.approx(1 - LEVEL)
    assert facts == NOTHING | expected


@pytest.mark.parametrize(("formula", "rate"), [("log(q) ~ f*h + x", 1.0), ("log10(q) ~ f*h + x", np.log(10))])
def test_on_a_logarithmic_scale_differences_are_ratios_and_means_are_carried_back(formula, rate):
    _, rows, _ = told(formula, "f")
    ends = ["", "_low", "_high"]
    own = rows.loc[["c less b", "a less b at h: hi"]]  # b less a is told in the other direction
    numbers = np.exp(rate * own[["estimate", "low", "high"]].to_numpy(float))
    np.testing.assert_allclose(own[[f"ratio{end}" for end in ends]].to_numpy(float), numbers)
    np.testing.assert_allclose(own[[f"change{end}" for end in ends]].to_numpy(float), numbers - 1)
    assert own[[f"original{end}" for end in ends]].isna().all(axis=None)
    mean = rows.loc["mean: a"]
    back = np.exp(rate * mean[["estimate", "low", "high"]].to_numpy(float))
    np.testing.assert_allclose(mean[[f"original{end}" for end in ends]].to_numpy(float), back)
    assert mean[["ratio", "change"]].isna().all()
    _, slope, _ = told(formula, "x")
    assert slope.loc["slope", "ratio"] == pytest.approx(np.exp(rate * slope.loc["slope", "estimate"]))
    _, middle, _ = told(formula, "Intercept")
    assert middle.loc["intercept", "original"] == pytest.approx(
        np.exp(rate * middle.loc["intercept", "estimate"])
    )


def test_of_a_square_root_means_are_carried_back_and_differences_are_no_ratios():
    _, rows, _ = told("sqrt(q + 2) ~ f", "f")
    mean = rows.loc["mean: b"]
    ends = mean[["estimate", "low", "high"]].to_numpy(float)
    back = mean[["original", "original_low", "original_high"]].to_numpy(float)
    np.testing.assert_allclose(back, ends**2 - 2)
    assert rows[["ratio", "change"]].isna().all(axis=None)


def test_a_row_says_of_which_levels_and_where_it_is():
    _, rows, _ = told("y ~ f*h", "f")
    heads = ["variable", "level", "base", "moderator", "at"]
    found = rows[heads].astype(object).where(rows[heads].notna(), "").to_numpy().tolist()
    assert found == [
        *(["f", level, "", "", ""] for level in "abc"), ["f", "", "", "", ""], ["f", "c", "b", "", ""],
        ["f", "", "", "h", "hi"], ["f", "a", "b", "h", "hi"], ["f", "", "", "h", "lo"], ["f", "c", "b", "h", "lo"],
        ["f:h", "", "", "", ""],
    ]  # fmt: skip
    _, nested, _ = told("y ~ h + f:h", "f:h")
    assert nested.loc["F at h: hi", ["moderator", "at"]].tolist() == ["h", "hi"]
    own = ["level", "base", "moderator", "at"]
    assert nested.loc["a less b at h: hi", own].tolist() == ["a", "b", "h", "hi"]
    _, slopes, _ = told("y ~ x*z + x*h", "x")
    assert slopes["value"].dropna().to_dict() == {"slope at z least": 1.0, "slope at z greatest": 4.0}
    assert slopes.loc["slopes of h: lo less hi", own[:3]].tolist() == ["lo", "hi", "h"]
    _, along, _ = told("y ~ x + I(x^2)", "x")
    assert along["value"].dropna().to_dict() == {"slope at x least": -2.0, "slope at x greatest": 3.0}
    assert along["moderator"].dropna().to_dict() == {"slope at x least": "x", "slope at x greatest": "x"}


def test_pairs_whose_interval_excludes_zero_are_counted():
    fit, rows, _ = told("y ~ f", "f")
    pairs = fit.marginal_means("f", df="normal", level=LEVEL).pairs("tukey")
    clear = ((pairs["low"] > 0) | (pairs["high"] < 0)).sum()
    assert rows["clear"].dropna().to_dict() == {"c less b": clear}
    assert 0 < clear < 3
    _, one, _ = told("y ~ f", "f", ["b", "c"])
    assert one["clear"].dropna().to_dict() == {"b less c": 1.0}


def with_bounds(contrast, low, high, *, df=np.inf, se=1.0):
    """The difference of h told beside a coefficient of these bounds, and of so many times its own SE."""
    fit = fitted("y ~ h + z")
    table = fit.coef_table(df="normal", level=LEVEL).reset_index()
    table = table.assign(low=low, high=high, interval="made", df=df, se=table["se"] * se)
    asked = find_focus(fit.design, "h", contrast)
    return about_answer.told(fit, asked, table, df="normal", level=LEVEL).table.set_index("row").iloc[-1]


@pytest.mark.parametrize(
    ("contrast", "low", "high", "expected", "clear"),
    [
        (["lo", "hi"], -9.0, 7.0, [1, -9.0, 7.0], 0),
        (["hi", "lo"], -9.0, 7.0, [-1, -7.0, 9.0], 0),
        (["lo", "hi"], 1.0, 7.0, [1, 1.0, 7.0], 1),
        (["lo", "hi"], -9.0, -1.0, [1, -9.0, -1.0], 1),
        (["lo", "hi"], 0.0, 7.0, [1, 0.0, 7.0], 0),
        (["lo", "hi"], -9.0, 0.0, [1, -9.0, 0.0], 0),
    ],
)
def test_a_difference_that_is_a_coefficient_has_its_bounds_in_either_direction(
    contrast, low, high, expected, clear
):
    row, b = with_bounds(contrast, low, high), fitted("y ~ h + z").params["h[T.lo]"]
    assert row[["low", "high", "clear", "interval"]].tolist() == [*expected[1:], clear, "made"]
    assert row["estimate"] == pytest.approx(expected[0] * b)
    assert np.sign(row["t"]) == np.sign(expected[0] * b)


@pytest.mark.parametrize("other", [{"df": 9.0}, {"se": 1.01}])
def test_a_difference_of_another_error_or_other_degrees_of_freedom_is_no_coefficient(other):
    assert with_bounds(["lo", "hi"], -9.0, 7.0, **other)["interval"] == "Wald"


def test_levels_that_cannot_be_estimated_take_no_part():
    """Of f only b and c are seen at h lo, and k stands still where f is c."""
    data = table().assign(m=lambda d: d.f.where((d.h == "hi") | (d.f != "a"), "b"))
    _, rows, _ = told("y ~ m*h", "m", data=data)
    assert rows["estimate"].isna()[["mean: a", "mean: b", "mean: c"]].tolist() == [True, False, False]
    assert rows["adjusted"].fillna("").filter(like="less").to_dict() == {
        "c less b": "", "a less b at h: hi": "Tukey", "c less b at h: lo": "",
    }  # fmt: skip
    assert rows["num_df"].dropna().to_dict() == {"F": 1, "F at h: hi": 2, "F at h: lo": 1, "F of m:h": 1}
    _, named, _ = told("y ~ m*h", "m", ["b", "a"], data=data)
    assert named.filter(like="less", axis=0).index.tolist() == ["b less a at h: hi"]
    _, one, _ = told("y ~ n*h", "n", data=table().assign(n=lambda d: d.f.where(d.h == "hi", "a")))
    assert one.index[3:].tolist() == ["F at h: hi", "a less b at h: hi", "F of n:h"]
    _, slopes, _ = told("y ~ k*f", "k", data=table().assign(k=lambda d: d.x.where(d.f != "c", 1.0)))
    assert slopes["estimate"].isna()[["slope", "slope at f: c", "slopes of f: a less b"]].tolist() == [
        1,
        1,
        0,
    ]
    assert slopes.loc["slope at f: c", "method"] == "no test: the data can estimate nothing of it"


def test_a_factor_that_is_nested_is_compared_within_what_it_is_nested_in():
    data = table().assign(s=lambda d: d.h + np.where(d.f == "a", "1", "2"))
    fit, rows, _ = told("y ~ h + s", "s", data=data)
    assert rows.index.tolist() == ["hi2 less hi1 at h: hi", "lo2 less lo1 at h: lo"]
    assert rows[["moderator", "at"]].to_numpy().tolist() == [["h", "hi"], ["h", "lo"]]
    with pytest.raises(FitError, match=r"^`s` is nested in h: name its levels in report\.at$"):
        about_answer.mean_difference(fit, find_focus(fit.design, "s", ["hi1", "hi2"]))


def test_effects_within_many_levels_and_pairs_of_many_means_are_left_out(monkeypatch):
    monkeypatch.setattr(about_answer, "MOST_LEVELS", 3)
    monkeypatch.setattr(about_answer, "MOST_MEANS", 3)
    assert told("y ~ f*x", "x")[1].index.tolist() == [
        "slope", "slope at f: a", "slope at f: b", "slope at f: c", "slopes of f: c less a", "F of f:x",
    ]  # fmt: skip
    assert told("y ~ f", "f")[1].index.tolist()[3:] == ["F", "c less b"]
    monkeypatch.setattr(about_answer, "MOST_LEVELS", 2)
    monkeypatch.setattr(about_answer, "MOST_MEANS", 2)
    assert told("y ~ f*x", "x")[1].index.tolist() == ["slope", "F of f:x"]
    assert told("y ~ f", "f")[1].index.tolist()[3:] == ["F"]


@pytest.mark.parametrize(
    ("formula", "focus", "contrast", "at", "name", "weights"),
    [
        ("y ~ x*z + x*h", "x", None, {"z": 2, "h": "lo"}, "slope of x, at z 2, at h lo",
         {"x": 1, "x:z": 2, "x:h[T.lo]": 1}),
        ("y ~ x*v", "x", None, {"v": True}, "slope of x, at v True", {"x": 1, "x:v": 1}),
        ("y ~ f*h", "f", ["c", "b"], {"h": "lo"}, "f: c less b, at h lo", less(LO[2], LO[1])),
        ("y ~ h*z", "h", None, None, "h: lo less hi", {"h[T.lo]": 1, "h[T.lo]:z": MEAN}),
        ("y ~ x + f", "Intercept", None, None, "Intercept", {"Intercept": 1}),
    ],
)  # fmt: skip
def test_the_one_number_of_a_focus(formula, focus, contrast, at, name, weights):
    fit = fitted(formula)
    one = about_answer.estimand(fit, find_focus(fit.design, focus, contrast, at))
    assert one.name == name
    np.testing.assert_allclose(one.L, row_of(fit, weights), atol=1e-7)


def test_a_factor_of_three_levels_is_one_number_where_two_are_named():
    fit = fitted("y ~ f*h")
    three, two = find_focus(fit.design, "f"), find_focus(fit.design, "f", ["c", "b"])
    assert about_answer.estimand(fit, three) is None
    assert [about_answer.has_one_difference(fit.design, each) for each in (three, two)] == [False, True]
    assert about_answer.has_one_difference(fit.design, find_focus(fit.design, "h"))


def test_a_slope_may_be_averaged_over_other_rows():
    fit = fitted("y ~ x + I(x^2)")
    other = table().head(3).assign(x=[4.0, 5.0, 9.0])
    L = about_answer.average_slope(fit, find_focus(fit.design, "x"), other)
    np.testing.assert_allclose(L, row_of(fit, {"x": 1, "I(x^2)": 12.0}), atol=1e-6)


def test_numbers_that_the_data_cannot_give_are_refused():
    """A slope that is zero whatever the coefficients; a factor's level that the rows have not."""
    fit = fitted("y ~ I(c^2)")
    with pytest.raises(FitError, match="these data cannot estimate the average slope along c"):
        about_answer.average_slope(fit, find_focus(fit.design, "c"))
    data = table().assign(k=lambda d: d.x.where(d.f != "c", 1.0), n=lambda d: d.f.where(d.h == "hi", "a"))
    fit = lmmkit.lmm("y ~ k*f + (1 | g)", data)
    with pytest.raises(FitError, match="these data cannot estimate the average slope along k"):
        about_answer.average_slope(fit, find_focus(fit.design, "k"))
    fit = lmmkit.lmm("y ~ n*h + (1 | g)", data)
    with pytest.raises(FitError, match="these data cannot estimate b less a"):
        about_answer.mean_difference(fit, find_focus(fit.design, "n", ["b", "a"]))
    with pytest.raises(FitError, match="`n` has no level zz in these rows"):
        about_answer.mean_difference(fit, Focus("n", "n", (), ("b", "zz")))


@pytest.mark.parametrize(
    ("options", "levels", "expected"),
    [
        ((), ["a", "c"], ("c", "a")),
        ((), ["b", "c"], ("c", "b")),
        ((("contrasts", "sas"),), ["a", "c"], ("a", "c")),
        ((("contrasts", "sas"),), ["a", "b"], ("b", "a")),
        ((("contrasts", "sum"),), ["a", "b"], ("b", "a")),
    ],
)
def test_of_two_levels_the_reference_of_the_coding_is_taken_off(options, levels, expected):
    contrasts = {"f": options[0][1]} if options else None
    design = lmmkit.lmm("y ~ f + (1 | g)", table(), contrasts=contrasts).design
    assert about_answer.direction(design, "f", levels) == expected


def test_a_bend_is_tested_with_all_terms_of_its_number():
    fit, rows, _ = told("y ~ x + I(x^2) + z", "x")
    found = about_answer.bend_test(fit, find_focus(fit.design, "x"), df="normal")
    assert found == pytest.approx((rows.loc["all of x", "F"], rows.loc["all of x", "p"]))
    straight = fitted("y ~ x*z")
    assert about_answer.bend_test(straight, find_focus(straight.design, "x"), df="normal") is None


@pytest.mark.parametrize(
    ("focus", "term", "absent"),
    [(None, "f", ""), ("h", "h", ""), ("h:f", "f:h", ""), ("h[T.lo]", "h", ""), ("Intercept", "Intercept", ""),
     ("xx", "f", "xx"), ("g", "f", "g")],
)  # fmt: skip
def test_a_focus_that_the_formula_does_not_have_is_its_first_term(focus, term, absent):
    found = about_answer.asked(fitted("y ~ f*h"), focus)
    assert (found.term, found.absent) == (term, absent)
