"""Splines and polynomials: columns as formulaic's on old and new rows, and what is kept of them."""

from __future__ import annotations

import formulaic.transforms
import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import FormulaError
from lmmkit.model.design.design import build_design, design_from_dict
from lmmkit.model.formula.functions import FUNCTIONS

RNG = np.random.default_rng(7)
VALUES = {
    "scattered": RNG.normal(size=60),
    "far from zero": RNG.normal(size=60) * 1e3 + 1e5,
    "repeated": np.repeat(np.arange(10.0), 6),
    "piled up above": np.r_[np.repeat(np.arange(4.0), 3), np.full(12, 4.0)],
    "piled up below": np.r_[np.full(12, 0.0), np.repeat(np.arange(5.0), 3)],
}
THEIRS = {
    "poly": "poly",
    "bs": "basis_spline",
    "cr": "natural_cubic_spline",
    "cc": "cyclic_cubic_spline",
}
CASES = [
    ("poly", {"degree": 1}),
    ("poly", {"degree": 4}),
    ("poly", {"degree": 3, "raw": True}),
    ("bs", {}),
    ("bs", {"df": 6}),
    ("bs", {"df": 4, "degree": 2}),
    ("bs", {"df": 6, "include_intercept": True}),
    ("bs", {"knots": [0.3, 0.7]}),
    ("bs", {"df": 5, "lower_bound": 0.2, "extrapolation": "clip"}),
    ("bs", {"df": 5, "lower_bound": 0.2, "upper_bound": 0.9, "extrapolation": "zero"}),
    ("bs", {"df": 5, "lower_bound": -0.5, "upper_bound": 1.5, "extrapolation": "extend"}),
    ("cr", {"df": 3}),
    ("cr", {"df": 5, "constraints": "center"}),
    ("cr", {"knots": [0.7, 0.3], "lower_bound": -0.5}),
    ("cr", {"df": 4, "constraints": [1.0, 1.0, 1.0, 1.0, 1.0]}),
    ("cc", {"df": 3}),
    ("cc", {"df": 4, "constraints": "center"}),
    ("cc", {"knots": [0.5, 0.2], "upper_bound": 1.5}),
]


def columns(made) -> np.ndarray:
    """Columns of what a transformation of formulaic gives."""
    bare = getattr(made, "__wrapped__", made)
    return np.column_stack(list(bare.values())) if isinstance(bare, dict) else np.asarray(bare)


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_basis_is_formulaics(name, options, values):
    x = VALUES[values]
    low, width = x.min(), np.ptp(x)
    scaled = {
        key: (low + width * np.asarray(value)).tolist() if key.endswith(("knots", "bound")) else value
        for key, value in options.items()
    }
    theirs, ours = getattr(formulaic.transforms, THEIRS[name]), FUNCTIONS[name]
    kept, expected = {}, {}
    made = ours.apply(x, {**ours.options, **scaled}, kept)
    np.testing.assert_allclose(
        made.values, columns(theirs(x, **scaled, _state=expected)), rtol=1e-12, atol=1e-12
    )
    new = low + width * np.linspace(0, 1, 7)
    if name != "bs":
        new = np.r_[new, low - 0.4 * width, low + 1.3 * width, low + 2.6 * width]
    elif options.get("extrapolation") == "extend" and "piled" not in values:
        new = np.r_[new, low - 0.7 * width, low + 1.7 * width]
    again = ours.apply(new, {**ours.options, **scaled}, kept)
    np.testing.assert_allclose(
        again.values, columns(theirs(new, **scaled, _state=expected)), rtol=1e-11, atol=1e-12
    )
    assert set(kept) == set(expected)
    for key in ("knots", "lower_bound", "upper_bound", "constraints"):
        if kept.get(key) is not None:
            np.testing.assert_allclose(kept[key], expected[key], rtol=1e-13)


def test_a_cyclic_spline_ends_as_it_begins():
    x, options = VALUES["scattered"], FUNCTIONS["cc"].options
    kept = {}
    for df in (2, 3, 6):
        kept.clear()
        FUNCTIONS["cc"].apply(x, {**options, "df": df}, kept)
        low, high = kept["lower_bound"], kept["upper_bound"]
        ends = FUNCTIONS["cc"].apply(
            np.array([low, high, high + 0.3, low + 0.3]), {**options, "df": df}, kept
        )
        np.testing.assert_allclose(ends.values[0], ends.values[1], atol=1e-12)
        np.testing.assert_allclose(ends.values[2], ends.values[3], atol=1e-12)
        assert ends.values.shape[1] == df


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("bs(x, df=2)", "`df` is at least 3 here"),
        ("bs(x, df=4, include_intercept=True, degree=4)", "`df` is at least 5 here"),
        ("bs(x, df=5, knots=[0.5])", "exclude each other"),
        ("bs(x, df=4, upper_bound=0.5)", "outside its bounds"),
        ("bs(x, df=4, extrapolation='guess')", "raise, clip, na, zero or extend"),
        ("bs(x, df=4, lower_bound=50, extrapolation='clip')", "no value lies within its bounds"),
        ("cr(x)", "`df` or `knots` is needed"),
        ("cr(x, df=1)", "`df` is at least 2 here"),
        ("cr(x, knots=[99])", "no 3 distinct knots from"),
        ("cr(k, df=5, lower_bound=2, upper_bound=4)", "no 5 distinct knots from 2 to 4"),
        ("cr(x, df=3, knots=[0.5])", "exclude each other"),
        ("cr(x, df=3, constraints='middle')", "cannot be computed"),
        ("cr(x, df=3, constraints=[1, 1])", "cannot be computed"),
        ("cc(k, df=5, lower_bound=2, upper_bound=4)", "no 6 distinct knots from 2 to 4"),
        ("poly(k, 4)", "degree 4 needs more than 4 distinct values"),
    ],
)
def test_a_basis_that_cannot_be_made_is_refused(call, said, factorial):
    with pytest.raises(FormulaError) as caught:
        build_design(f"y ~ {call} + (1 | g)", factorial)
    assert f"`{call}` cannot be computed" in str(caught.value).replace('"', "'")
    assert said in str(caught.value)


# What these functions kept when formulaic made the columns, and a row of them.
STATES = {
    "bs(x, df=4)": {
        "pairs": [
            ["lower_bound", 0.0],
            ["upper_bound", 8.0],
            ["knots", [0.0, 0.0, 0.0, 0.0, 3.5, 8.0, 8.0, 8.0, 8.0]],
        ]
    },
    "cr(x, df=3)": {
        "pairs": [
            ["lower_bound", 0.0],
            ["upper_bound", 8.0],
            ["constraints", None],
            ["cyclic", False],
            ["knots", [0.0, 3.5, 8.0]],
        ]
    },
    "poly(x, 2)": {
        "pairs": [
            ["alpha", {"pairs": [[0, 3.875], [1, 4.23328025477707]]}],
            ["norms2", {"pairs": [[1, 58.875], [0, 8.0], [2, 271.18471337579615]]}],
        ]
    },
}
ROW = [
    1.0, 0.5362267674927114, 0.37069515306122447, 0.06975446428571429, 0.0, 0.20918367346938777,
    0.8503401360544218, -0.059523809523809514, -0.17919968342404552, -0.30217447451944285,
]  # fmt: skip


def test_states_saved_when_formulaic_made_the_columns_are_read():
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0])
    frame = pd.DataFrame({"y": np.arange(8.0) % 3, "x": x, "g": [1, 2] * 4})
    design = build_design("y ~ bs(x, df=4) + cr(x, df=3) + poly(x, 2) + (1 | g)", frame)
    spec = design.to_dict()
    spec["states"] = STATES
    again = design_from_dict(spec, frame)
    row = again.fixed_matrix(pd.DataFrame({"x": [2.5]}))[0]
    np.testing.assert_allclose(row, ROW, rtol=1e-12)
    assert {text: dict(state["pairs"]).keys() for text, state in design.to_dict()["states"].items()} == {
        text: dict(state["pairs"]).keys() for text, state in STATES.items()
    }
