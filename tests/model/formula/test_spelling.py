"""Names of coefficients are those that the user wrote, and are found however they are spelled."""

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.model.formula.spelling import same_name


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(2)
    g, x = np.repeat(np.arange(10), 8), rng.uniform(1, 5, 80)
    return pd.DataFrame({"g": g, "x": x, "body mass": x**2, "y": x**2 + g + rng.normal(size=80)})


@pytest.mark.parametrize(
    "written", ["I(x^2)", "I(x ** 2)", "I(x**2)", "log(x+1)", "poly(x,2)", "I(`body mass`^2)"]
)
def test_a_coefficient_has_the_name_that_was_written(frame, written, tmp_path):
    fit = lmmkit.lmm(f"y ~ {written} + (1 | g)", frame)
    name = written.replace("`", "") + ("[1]" if written.startswith("poly") else "")
    assert fit.params.index[1] == fit.coef_table().index[1] == fit.conf_int("wald").index[1] == name
    assert lmmkit.load(fit.save(tmp_path / "fit")).params.equals(fit.params)


@pytest.mark.parametrize("asked", ["I(x^2)", "I(x ** 2)", "I( x**2 )", {"I(x ** 2)": 1.0}])
def test_contrasts_find_it_under_every_spelling(frame, asked):
    fit = lmmkit.lmm("y ~ x + I(x^2) + (1 | g)", frame)
    assert fit.contrast(asked)["estimate"].item() == pytest.approx(fit.params["I(x^2)"])


def test_what_could_be_two_names_is_none():
    assert same_name("f[T.a  b]", ["f[T.a b]", "f[T.ab]"]) is None
    assert same_name("f[T.ab]", ["f[T.a b]", "f[T.ab]"]) == "f[T.ab]"
    assert same_name("x", ["y"]) is None
