"""|y| or |x| beyond 1e154 gave a standard error of infinity and t = 0 without a word."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import lmmkit


def frame(y, x):
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(10), 6)
    slope = rng.normal(size=60)
    response = slope + rng.normal(size=10)[g] + rng.normal(size=60)
    return pd.DataFrame({"y": response * y, "x": slope * x, "g": g})


@pytest.mark.parametrize(
    ("y", "x", "words"),
    [
        (1e155, 1.0, "size of the response is"),
        (1e-160, 1.0, "size of the response is"),
        (1.0, 1e155, "size of `x` is"),
        (1.0, 1e-155, "size of `x` is"),
        (1e120, 1e-120, "response beside `x` is"),
        (1e-120, 1e120, "response beside `x` is"),
    ],
)
@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ 1 + (0 + x | g)"])
def test_they_are_refused_with_words(y, x, words, formula):
    with pytest.raises(lmmkit.DataError, match=f"{words}.*take another unit"):
        lmmkit.lmm(formula, frame(y, x))


@pytest.mark.parametrize(("y", "x"), [(1e130, 1.0), (1e-130, 1.0), (1.0, 1e130), (1e60, 1e-60)])
def test_within_the_bounds_nothing_depends_on_the_units(y, x):
    plain, far = (lmmkit.lmm("y ~ x + (1 | g)", frame(*sizes)) for sizes in ((1.0, 1.0), (y, x)))
    for df in ("kenward-roger", "satterthwaite"):
        columns = ["df", "t", "p"]
        np.testing.assert_allclose(far.coef_table(df)[columns], plain.coef_table(df)[columns], rtol=1e-8)
    assert far.certificate.passed
