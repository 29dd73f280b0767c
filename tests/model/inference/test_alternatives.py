"""Alternatives to a value: their statistics and tails of t, from the definitions; what is no alternative."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from lmmkit.errors import FitError
from lmmkit.model.inference.alternatives import Alternative, alternative

DISTANCE, SE, DF = np.array([-0.7, 0.2, 1.1]), np.array([0.4, 0.5, 0.3]), np.array([5.0, 12.0, 40.0])


@pytest.mark.parametrize("delta", [0.0, 0.25])
@pytest.mark.parametrize("tail", [-1, 0, 1])
def test_p_is_the_tail_beyond_the_margin(tail, delta):
    """Greater than -delta, less than delta, within delta; both sides of zero without a margin."""
    found = Alternative(tail, delta).test(DISTANCE, SE, DF)
    if tail == 0 and delta == 0.0:
        t, p = DISTANCE / SE, 2.0 * student.sf(np.abs(DISTANCE / SE), DF)
    elif tail == 0:
        t = (np.abs(DISTANCE) - delta) / SE
        p = student.cdf(t, DF)
    else:
        t = (DISTANCE - (-delta if tail > 0 else delta)) / SE
        p = student.sf(t, DF) if tail > 0 else student.cdf(t, DF)
    np.testing.assert_allclose(found.t, t, rtol=1e-13)
    np.testing.assert_allclose(found.p, p, rtol=1e-12)


@pytest.mark.parametrize(
    ("tail", "delta", "one"),
    [(0, 0.0, False), (1, 0.0, True), (-1, 0.0, True), (0, 0.1, True), (1, 0.1, True)],
)
def test_one_tail_is_taken_with_a_side_or_a_margin(tail, delta, one):
    assert Alternative(tail, delta).one_sided == one


@pytest.mark.parametrize(
    ("side", "delta", "message"),
    [
        ("greatr", 0.0, r"side='greatr' is not known; did you mean `greater`\?"),
        (1, 0.0, "side=1 is not known"),
        ("two-sided", -0.1, "delta=-0.1: a margin is a number from 0 up"),
        ("two-sided", float("inf"), "delta=inf"),
        ("two-sided", True, "delta=True"),
        ("two-sided", "0.1", "delta='0.1'"),
        ("equivalence", 0.0, "side='equivalence' needs a margin"),
    ],
)
def test_what_is_no_alternative_is_refused(side, delta, message):
    with pytest.raises(FitError, match=message):
        alternative(side, delta)


@pytest.mark.parametrize(
    ("side", "tail"),
    [
        ("two-sided", 0),
        ("both", 0),
        ("equivalence", 0),
        ("less", -1),
        ("left", -1),
        ("<", -1),
        ("nonsuperiority", -1),
        ("greater", 1),
        ("right", 1),
        (">", 1),
        ("noninferiority", 1),
        ("superiority", 1),
    ],
)
def test_each_side_has_its_tail_and_three_need_a_margin(side, tail):
    assert alternative(side, 0.5) == Alternative(tail, 0.5)
    if side in ("equivalence", "noninferiority", "nonsuperiority"):
        with pytest.raises(FitError) as caught:
            alternative(side, 0)
        assert str(caught.value) == (
            f"side={side!r} needs a margin: give delta, a number above 0 in the unit of the estimate."
        )
    else:
        assert alternative(side, 0) == Alternative(tail, 0.0)
