"""P values that hold for a table of checks, and envelopes that hold for a curve."""

from __future__ import annotations

import numpy as np

from lmmkit.model.diagnostics.adjusted import adjusted_p, band, own_p

RNG = np.random.default_rng(11)


def test_own_p_counts_the_data_among_the_columns():
    assert own_p(np.array([5.0, 1, 2, 3])) == 0.25
    assert own_p(np.array([2.0, 1, 2, 3])) == 0.75
    assert own_p(np.array([2.0, np.nan, 2, 3])) == 0.75  # what is not defined is no departure


def test_one_check_keeps_its_p_value():
    values = RNG.normal(size=200)
    np.testing.assert_allclose(adjusted_p([values]), [own_p(values)])


def test_the_same_check_twice_costs_nothing_and_others_do():
    values = RNG.normal(size=400)
    values[0] = np.sort(values)[-12]  # p = 0.03
    others = [RNG.normal(size=400) for _ in range(9)]
    p = own_p(values)
    np.testing.assert_allclose(adjusted_p([values, values]), [p, p])
    apart = adjusted_p([values, *others])[0]
    assert 4 * p < apart <= 10 * p


def test_a_far_departure_gets_below_checks_over_columns():
    checks = [RNG.normal(size=200) for _ in range(20)]
    checks[3][0] = 9.0
    adjusted = adjusted_p(checks)
    assert adjusted[3] == 1 / 200
    checks[3][0] = np.sort(checks[3][1:])[-1] + 1e-9  # the largest by a hair: 20 checks have a largest column
    assert adjusted_p(checks)[3] > 5 / 200


def test_what_is_passed_no_longer_counts():
    first, second = RNG.normal(size=(2, 500))
    first[0], second[0] = 9.0, np.sort(second)[-15]
    both = adjusted_p([first, second])
    assert both[0] == 1 / 500
    np.testing.assert_allclose(both[1], own_p(second))


def test_a_check_with_a_small_share_takes_little_from_the_others():
    checks = [RNG.normal(size=400) for _ in range(4)]
    checks[0][0] = np.sort(checks[0])[-6]
    least, equal = adjusted_p(checks, [1.0, 0.1, 0.1, 0.1])[0], adjusted_p(checks)[0]
    assert own_p(checks[0]) <= least < equal
    np.testing.assert_allclose(adjusted_p(checks, [1.0] * 4)[0], equal)
    assert adjusted_p(checks[::-1], [1.0, 1.0, 1.0, 0.1])[3] > equal


def test_tables_of_right_models_alarm_once_in_twenty():
    alarms, shares = 0, np.repeat([1.0, 0.1], 6)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=(1, 200))
        checks = [*(shared + rng.normal(size=(6, 200))), *rng.exponential(size=(6, 200)) ** 2]
        alarms += bool((adjusted_p(checks, shares if seed % 2 else None) < 0.05).any())
    assert 5 <= alarms <= 26  # 15 expected, standard deviation 3.8


def test_a_band_holds_its_share_of_whole_curves():
    curves = np.cumsum(RNG.normal(size=(30, 400)), axis=0)
    found = band(curves)
    inside = ((curves >= found.low[:, None]) & (curves <= found.high[:, None])).all(axis=0)
    assert inside.mean() == 0.95
    np.testing.assert_array_equal(found.statistic <= np.sort(found.statistic)[379], inside)


def test_both_sides_of_a_skewed_point_have_scales_of_their_own():
    curves = RNG.exponential(size=(5, 4000))
    found = band(curves)
    assert ((found.high - found.middle) > 2.0 * (found.middle - found.low)).all()
