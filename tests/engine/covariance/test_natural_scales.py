"""Each scale of intervals: there and back, its slope, and where it ends."""

import math

import pytest

from lmmkit.engine.covariance.natural_scales import SCALES, ends, stretched

VALUES = {"sd": 2.3, "range": 0.4, "cor": -0.35, "share": 0.2, "exponent": -1.7}
EQUATIONS = {
    "sd": math.log,
    "range": math.log,
    "cor": lambda r: 0.5 * math.log((1.0 + r) / (1.0 - r)),
    "share": lambda p: math.log(p / (1.0 - p)),
    "exponent": lambda x: x,
}
NAMES = {
    "sd": "on the log",
    "range": "on the log",
    "cor": "on Fisher's z",
    "share": "on the logit",
    "exponent": "as it is",
}
ENDS = {
    "sd": (0.0, math.inf),
    "range": (0.0, math.inf),
    "cor": (-1.0, 1.0),
    "share": (0.0, 1.0),
    "exponent": (-math.inf, math.inf),
}


@pytest.mark.parametrize("kind", SCALES)
def test_there_and_back_with_its_slope(kind):
    scale, value = SCALES[kind], VALUES[kind]
    t = scale.there(value)
    assert t == pytest.approx(EQUATIONS[kind](value))
    assert scale.back(t) == pytest.approx(value)
    assert scale.slope(t) == pytest.approx((scale.back(t + 1e-6) - scale.back(t - 1e-6)) / 2e-6)
    assert scale.name == NAMES[kind]
    assert ends(kind) == ENDS[kind]


def test_between_any_two_values():
    scale = stretched(-0.5, 1.0)
    assert scale.there(0.25) == 0.0
    assert scale.back(scale.there(-0.3)) == pytest.approx(-0.3)
    assert scale.slope(0.4) == pytest.approx((scale.back(0.4 + 1e-6) - scale.back(0.4 - 1e-6)) / 2e-6)
    assert (scale.back(-40.0), scale.back(40.0)) == (-0.5, 1.0)


def test_beyond_all_numbers_an_sd_is_infinite_and_a_share_is_at_its_end():
    log, logit = SCALES["sd"], SCALES["share"]
    assert log.back(708.0) < math.inf == log.back(710.0)
    assert (logit.back(-800.0), logit.back(800.0)) == (0.0, 1.0)
    assert SCALES["cor"].slope(1e6) == pytest.approx(0.0)
