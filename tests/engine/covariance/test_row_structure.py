"""What R may be where it is made of numbers of the rows: equations, derivatives, boundaries on both sides."""

import numpy as np
import pytest
from support.differences import differences
from support.visits import STRUCTURES

from lmmkit.engine.covariance.row_structure import (
    ENDLESS,
    FADED,
    NO_CORRELATION,
    RETURNS,
    RowStructure,
    Serial,
    Spatial,
    VarianceFunction,
)

H = np.array([0.0, 0.5, 1.0, 4.0])
V = np.array([1.0, 2.0, 0.5, 3.0])
FUNCTIONS = {
    "ident": (VarianceFunction("ident", ("ratio.b", "ratio.c")), np.array([0.0, 1.0, 2.0, 1.0])),
    "power": (VarianceFunction("power", ("power",)), -V),
    "exp": (VarianceFunction("exp", ("exp",)), V),
}
PROCESSES = {
    "serial": Serial(2.0, 0.5, 4.0),
    "spatial": Spatial(2.0, 0.5, 4.0, nugget=False),
    "nugget": Spatial(2.0, 0.5, 4.0, nugget=True),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_variance_functions(name):
    function, v = FUNCTIONS[name]
    rho = np.array([0.3, -0.2][: function.count])
    sds = {
        "ident": np.exp([0.0, 0.3, -0.2, 0.3]),
        "power": V**0.3,
        "exp": np.exp(0.3 * V),
    }[name]
    np.testing.assert_allclose(function.sds(rho, v), sds)
    logs = differences(lambda x: np.log(function.sds(x, v)), rho)
    np.testing.assert_allclose(function.slopes(v), logs, atol=1e-8)
    np.testing.assert_allclose(function.natural_jacobian(rho), differences(function.natural, rho), atol=1e-8)
    assert function.natural(rho).tolist() == (np.exp(rho) if name == "ident" else rho).tolist()
    assert {kind for kind, _ in function.naturals} == {"sd" if name == "ident" else "exponent"}


@pytest.mark.parametrize("name", PROCESSES)
def test_processes_decay(name):
    process, rho = PROCESSES[name], np.array([0.4, -0.7])
    rho = rho[: process.count]
    scale, nugget = 2.0 * np.exp(0.4), 1.0 / (1.0 + np.exp(0.7)) if name == "nugget" else 0.0
    expected = np.where(H == 0.0, 1.0, (1.0 - nugget) * np.exp(-H / scale))
    np.testing.assert_allclose(process.correlation(rho, H), expected)
    slopes = differences(lambda x: process.correlation(x, H), rho)
    np.testing.assert_allclose(process.correlation_slopes(rho, H), slopes, atol=1e-8)
    np.testing.assert_allclose(process.natural(rho), [scale, nugget][: process.count])
    np.testing.assert_allclose(process.natural_jacobian(rho), differences(process.natural, rho).T, atol=1e-8)
    assert [n for _, n in process.naturals] == ["range", "nugget"][: process.count]
    nuggets = (0.1, 0.4) if name == "nugget" else (0.0,)
    starts = [(c, share) for c in (0.2, 0.5, 0.8, 0.95) for share in nuggets]
    for start, (correlation, share) in zip(process.starts(), starts, strict=True):
        found = process.correlation(start, np.array([process.unit]))[0]
        assert found == pytest.approx((1.0 - share) * correlation)


def test_shares_that_decide():
    assert (NO_CORRELATION, FADED, ENDLESS) == (1e-8, 0.01, 1e4)
    assert RETURNS == (0.5, 0.2, 0.05, 0.01, 0.001, 1e-5)


@pytest.mark.parametrize("name", PROCESSES)
def test_where_the_closest_pair_is_not_correlated_no_rows_are(name):
    process, structure = PROCESSES[name], RowStructure(FUNCTIONS["power"][0], PROCESSES[name])
    rest = [0.2][: process.count - 1]

    def at(correlation):
        return np.array([0.9, process.coordinate(correlation), *rest])

    own = structure.cuts[1]
    near = process.correlation(at(0.3)[own], np.array([process.closest]))[0]
    assert near == pytest.approx(0.3 * process.share(at(0.3)[own]))
    for correlation, none in ((1.01 * NO_CORRELATION, False), (0.99 * NO_CORRELATION, True)):
        rho = at(correlation)
        assert structure.no_correlation(rho) == none
        assert structure.free(rho).tolist() == [True, *[not none] * process.count]
        assert (structure.natural(rho)[1] == 0.0) == none
        if none:
            np.testing.assert_array_equal(process.correlation(rho[own], H), H == 0.0)
            np.testing.assert_array_equal(process.correlation_slopes(rho[own], H)[0], 0.0)
    for correlation, faded in ((1.01 * FADED, False), (0.99 * FADED, True)):
        assert structure.fading(at(correlation)) == faded
    rho = at(0.5)
    assert structure.no_correlation(structure.uncorrelated(rho))
    assert structure.uncorrelated(rho)[:2].tolist() == [rho[0], process.coordinate(1e-16)]
    back = list(structure.returns(structure.uncorrelated(rho)))
    assert [structure.natural(x)[1] for x in back] == pytest.approx([0.5 / -np.log(c) for c in RETURNS])
    assert not any(structure.no_correlation(x) for x in back)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_range_has_no_end_beyond_ten_thousand_of_the_longest_distance(name):
    structure, rest = RowStructure(None, PROCESSES[name]), [0.2][: PROCESSES[name].count - 1]
    for share, endless in ((0.99, False), (1.01, True)):
        rho = np.array([np.log(share * ENDLESS * 4.0 / 2.0), *rest])
        assert structure.endless(rho) == endless
        assert not structure.fading(rho)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_range_ends_where_numbers_do(name):
    process, rest = PROCESSES[name], [0.2][: PROCESSES[name].count - 1]
    structure = RowStructure(None, process)
    far, none = np.array([710.0, *rest]), np.array([-800.0, *rest])
    assert structure.natural(far)[0] == np.inf
    assert structure.endless(far)
    np.testing.assert_array_equal(process.correlation(far, H), np.where(H == 0.0, 1.0, process.share(far)))
    np.testing.assert_array_equal(process.correlation_slopes(far, H)[0], 0.0)
    assert structure.natural(none)[0] == 0.0
    assert structure.no_correlation(none)


def test_over_visits_nothing_fades_and_units_are_those_of_visits():
    visits = STRUCTURES["un"]
    structure = RowStructure(FUNCTIONS["exp"][0], visits)
    rho = np.append(0.3, np.linspace(-0.4, 0.6, visits.count))
    assert not any(ask(rho) for ask in (structure.endless, structure.fading, structure.no_correlation))
    assert list(structure.returns(rho)) == []
    np.testing.assert_array_equal(structure.uncorrelated(rho), rho)
    assert structure.free(rho).all()
    np.testing.assert_array_equal(structure.units(rho), np.append(1.0, visits.units(rho[1:])))
    np.testing.assert_array_equal(structure.natural(rho), np.append(0.3, visits.natural(rho[1:])))
    np.testing.assert_allclose(
        structure.natural_jacobian(rho), differences(structure.natural, rho).T, atol=1e-8
    )
    assert structure.names == ("exp", *visits.names)
