"""Designs changed a little: what is carried over, what is refused, and the table that the model sees."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmmkit.errors import FitError
from lmmkit.model.design.design import build_design
from lmmkit.model.design.update import model_frame, updated_design
from lmmkit.model.resampling.simulate import with_response
from lmmkit.model.table.known import read_one

N = 12
FRAME = pd.DataFrame(
    {
        "y": np.arange(N) % 5 + 0.5 * (np.arange(N) % 3),
        "x": np.arange(N) % 4 - 1.0,
        "f": list("abc") * 4,
        "g": np.repeat(list("klmn"), 3),
        "h": list("uv") * 6,
        "w": np.arange(N) % 2 + 1.0,
        "o": np.arange(N) / 8,
    },
    index=[f"r{i}" for i in range(N)],
)
K = pd.DataFrame(np.eye(4) + 0.25, list("klmn"), list("klmn"))
FULL = build_design(
    "y ~ x + f + (1 | g) + (1 | h)",
    FRAME,
    weights="w",
    offset="o",
    contrasts={"f": "sum"},
    known={"g": K},
    residual="ident(h)",
)


def changed(formula=None, data=None, design=FULL, **changes):
    return updated_design(design, formula, data, changes)


@pytest.mark.parametrize("data", [None, FRAME])
def test_what_is_not_changed_stays(data):
    made = changed(data=data)
    assert made.fixed_names == FULL.fixed_names == ("Intercept", "x", "f[S.a]", "f[S.b]")
    np.testing.assert_array_equal(made.problem.weights, FRAME["w"])
    np.testing.assert_array_equal(made.problem.offset, FRAME["o"])
    assert list(made.request.known) == ["g"]
    assert str(made.request.residual) == str(FULL.request.residual)


def test_what_the_new_formula_does_not_have_is_left_out():
    made = changed("~ . - f - (1 | g)")
    assert made.fixed_names == ("Intercept", "x")
    assert (dict(made.request.known), dict(made.request.contrasts)) == ({}, {})
    kept = changed("~ . - x")
    assert (list(kept.request.known), list(kept.request.contrasts)) == (["g"], ["f"])


def test_arguments_are_given_anew():
    made = changed(weights=None, offset=None, contrasts={}, known={}, residual=None)
    assert made.problem.weights is None
    assert made.problem.offset is None
    assert made.fixed_names[2:] == ("f[T.b]", "f[T.c]")
    assert not made.has_relatives
    assert made.request.residual is None
    other = changed(known={"g": read_one(K * 2, "g")}).request.known["g"]
    assert list(other.dense()[0]) == [2.5, 0.5, 0.5, 0.5]


def test_a_subset_and_variances_stay_and_may_go():
    first = build_design(
        "y ~ x + (1 | g)", FRAME, subset="f != 'c'", missing="exclude", variances={"g": 1.0, "Residual": 2.0}
    )
    made = changed(design=first)
    assert (len(made.rows), made.request.missing) == (8, "exclude")
    assert made.held.sigma == np.sqrt(2.0)
    assert len(changed(design=first, subset=None).rows) == N
    assert changed(design=first, variances=None).held is None


OFFERED = "data, reml, algorithm, weights, offset, residual, known, variances, contrasts, missing, subset"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("weight", "; did you mean `weights`?"),
        ("zzz", "."),
        ("contrast", "; did you mean `contrasts`?"),
    ],
)
def test_an_argument_that_is_not_offered_is_named(name, near):
    with pytest.raises(FitError) as caught:
        changed(**{name: None})
    assert str(caught.value) == f"update() has no argument `{name}`{near} It takes {OFFERED}."


@pytest.mark.parametrize("name", ["weights", "offset"])
def test_a_vector_goes_with_its_table(name):
    first = build_design("y ~ x + (1 | g)", FRAME, **{name: FRAME["w"].to_numpy()})
    np.testing.assert_array_equal(getattr(changed(design=first).problem, name), FRAME["w"])
    with pytest.raises(FitError) as caught:
        changed(data=FRAME, design=first)
    assert str(caught.value) == (
        f"The {name} of this fit are a vector that goes with its own table: with other data give {name} "
        f"too, or "
        f"{name}=None for none."
    )
    assert getattr(changed(data=FRAME, design=first, **{name: None}).problem, name) is None


def test_a_response_that_is_not_the_tables_is_kept_for_the_same_rows_alone():
    y = np.arange(N) % 7.0
    refitted = with_response(FULL, y)
    np.testing.assert_array_equal(changed("~ . - x", design=refitted).problem.response, y)
    np.testing.assert_array_equal(changed(design=refitted, data=FRAME).problem.response, FRAME["y"])
    for change in ({"formula": "x ~ f + (1 | g)"}, {"subset": "x > 0"}):
        with pytest.raises(FitError) as caught:
            changed(design=refitted, **change)
        assert str(caught.value) == (
            "This fit was made by refit(y): its response is not `y` of its table, so that other rows or "
            "another "
            "response cannot be taken from there. Update the first fit, and call refit(y) of it."
        )


def test_the_model_sees_its_variables_factors_and_vectors():
    frame = FRAME.assign(t=FRAME["h"], y=[np.nan, *FRAME["y"][1:]])
    design = build_design(
        "log(y + 1) ~ poly(x, 2) + f + C(w) + (1 | mm(g, t, weights=c(w, o))) + (1 | h)",
        frame.astype({"t": "str"}),
        weights="w",
        offset="o",
        residual="ident(h)",
    )
    found = model_frame(design)
    assert list(found.columns) == [
        "log(y + 1)", "poly(x, 2)[1]", "poly(x, 2)[2]", "f", "C(w)",
        "g", "t", "w", "o", "h", "(weights)", "(offset)",
    ]  # fmt: skip
    assert list(found.index) == list(frame.index[1:])
    np.testing.assert_allclose(found["log(y + 1)"], np.log(frame["y"][1:] + 1))
    assert list(found["f"]) == list(frame["f"][1:])
    assert list(found["C(w)"].cat.categories) == ["1", "2"]
    for name, column in (("h", "h"), ("(weights)", "w"), ("(offset)", "o")):
        assert list(found[name]) == list(frame[column][1:])
    plain = model_frame(build_design("y ~ x + (1 | g)", FRAME))
    assert list(plain.columns) == ["y", "x", "g"]
