"""What is drawn and what it stands for, part by part: priors and Jacobians by their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betaln
from support.differences import differences
from support.patterns import PATTERNS, member, natural, sds, structure
from support.visits import STRUCTURES

from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.covariance.row_structure import RowStructure, Serial, Spatial, VarianceFunction
from lmmkit.engine.covariance.structures import Diagonal, Unstructured
from lmmkit.engine.posterior.coordinates import (
    ConesPart,
    DrawnParts,
    PatternPart,
    ResidualPart,
    SigmaPart,
    log_one_less_square,
    term_part,
)
from lmmkit.engine.posterior.priors import (
    LKJ,
    ExponentialPrior,
    Flat,
    Gamma,
    Half,
    LogNormal,
    Normal,
    StudentT,
)

SDS = (Half(Normal(0.0, 2.0)), Gamma(3.0, 2.0), ExponentialPrior(0.7), LogNormal(0.2, 0.9))
COR, ETA = Normal(0.2, 0.8), 2.5
BASIS = np.array([[1.0, 0.4, -0.7], [0.0, 1.5, 0.0], [0.0, 0.0, 0.6]])  # intercepts at the middle of the data
POWER = VarianceFunction("power", ("power",))
ROWS = {
    "power * nugget": RowStructure(POWER, Spatial(2.0, 0.5, 4.0, nugget=True)),
    "ident * un": RowStructure(
        VarianceFunction("ident", ("ratio.b", "ratio.c")), one_correlation("un", (1, 2, 3), ("1", "2", "3"))
    ),
    "car1": RowStructure(None, Serial(2.0, 0.5, 4.0)),
    "power": RowStructure(POWER, None),
}
VISITS = {name: STRUCTURES[name] for name in ("un", "csh", "toep", "ar1h", "un by arm", "ident(f) * un")}


def cones(columns):
    """A term with any covariance matrix, or with independent columns."""
    made = Unstructured(columns) if columns > 1 else Diagonal(3)
    priors = [SDS[n.row] if n.kind == "sd" else LKJ(ETA) for n in made.naturals]
    return term_part(made, priors, BASIS[:columns, :columns] if columns > 1 else np.diag([1.0, 2.0, 0.5]))


def pattern(tag, k=4):
    """A term with a pattern: SDs, then correlations or a range."""
    made = structure(tag, k)
    priors = [SDS[n.row] if n.kind == "sd" else SDS[3] if n.kind == "range" else COR for n in made.naturals]
    return term_part(made, priors, np.eye(k))


def residual(made):
    """A residual structure."""
    blank = ResidualPart((Flat(),) * made.count, made)
    kinds = {"sd": SDS[3], "cor": COR, "range": SDS[1], "share": SDS[2], "exponent": StudentT(3.0, 0.1, 2.0)}
    priors = [
        LKJ(ETA) if at in blank.in_matrix else kinds[kind] for at, (kind, _) in enumerate(made.naturals)
    ]
    return ResidualPart(tuple(priors), made)


TERMS = {
    **{name: cones(k) for name, k in (("three", 3), ("two", 2), ("apart", 1))},
    **{tag: pattern(tag) for tag in PATTERNS},
}
PARTS = {
    **TERMS,
    **{name: residual(made) for name, made in (VISITS | ROWS).items()},
    "sigma": SigmaPart((SDS[1],)),
}


def somewhere(part, seed=5):
    """Coordinates in no special place."""
    return np.random.default_rng(seed).uniform(-0.6, 0.6, part.count)


def one(of, phi):
    """What is said of many points, of one."""
    return of(phi[:, None])[..., 0]


@pytest.fixture(params=PARTS)
def part(request):
    return PARTS[request.param]


@pytest.fixture(params=TERMS)
def term(request):
    return TERMS[request.param]


def test_the_jacobian_is_that_of_the_natural_parameters(part):
    phi = somewhere(part)
    J = differences(lambda x: one(part.natural, x), phi)
    assert one(part.log_jacobian, phi) == pytest.approx(np.linalg.slogdet(J)[1], abs=1e-7)
    assert one(part.log_density, phi) == pytest.approx(one(part.log_prior, phi) + one(part.log_jacobian, phi))


def test_the_slope_is_that_of_the_density(part):
    phi = somewhere(part)
    expected = differences(lambda x: one(part.log_density, x)[None], phi)[:, 0]
    np.testing.assert_allclose(part.slope(phi), expected, atol=1e-7)


def log_lkj_constant(k, eta):
    """Log of the integral of |C|^(eta - 1) over them: Lewandowski, Kurowicka & Joe (2009), equation 16."""
    i = np.arange(1, k)
    a = eta + (k - i - 1) / 2.0
    return float(((2.0 * eta - 2.0 + k - i) * (k - i)) @ np.full(k - 1, np.log(2.0)) + (k - i) @ betaln(a, a))


def matrix(k, pairs):
    """A correlation matrix from what is below its diagonal, (row, column): number."""
    C = np.eye(k)
    for (row, column), value in pairs.items():
        C[row, column] = C[column, row] = value
    return C


@pytest.mark.parametrize("name", PARTS)
def test_the_prior_is_that_of_the_natural_parameters(name):
    part, phi = PARTS[name], somewhere(PARTS[name])
    values = one(part.natural, phi)
    alone = [(p, v) for p, v in zip(part.priors, values, strict=True) if not isinstance(p, LKJ)]
    expected = sum(float(p.logpdf(v)) for p, v in alone)
    if isinstance(part, ConesPart) and name != "apart":
        k = part.structure.width
        naturals = zip(part.structure.naturals, values, strict=True)
        C = matrix(k, {(n.row, n.column): v for n, v in naturals if n.kind == "cor"})
        expected += (ETA - 1.0) * np.linalg.slogdet(C)[1] - log_lkj_constant(k, ETA)
    elif isinstance(part, ResidualPart):  # row by row; up to a constant, which no draw depends on
        correlations = [v for p, v in zip(part.priors, values, strict=True) if isinstance(p, LKJ)]
        k = 3 if name == "ident * un" else 4
        places = list(zip(*np.triu_indices(k, 1), strict=True))
        for at in range(0, len(correlations), len(places)):
            own = zip(places, correlations[at : at + len(places)], strict=True)
            expected += (ETA - 1.0) * np.linalg.slogdet(matrix(k, dict(own)))[1]
    assert one(part.log_prior, phi) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("un", 6),
        ("un by arm", 12),
        ("ident(f) * un", 6),
        ("ident * un", 3),
        ("csh", 0),
        ("toep", 0),
        ("car1", 0),
    ],
)
def test_correlations_of_a_whole_matrix_are_those_of_un_alone(name, places):
    part = PARTS[name]
    kinds = [part.structure.naturals[at][0] for at in part.in_matrix]
    assert kinds == ["cor"] * places


def test_a_root_has_the_standard_deviations_and_correlations_that_are_told(term):
    phi = somewhere(term)
    A, values = one(term.root, phi), one(term.natural, phi)
    G = A @ A.T
    np.testing.assert_allclose(term.structure.natural(G), values, rtol=1e-9)
    both = np.column_stack([phi, phi + 0.1])
    np.testing.assert_allclose(term.root(both)[:, :, 0], A)
    np.testing.assert_allclose(term.natural(both)[:, 0], values)
    assert not np.allclose(term.natural(both)[:, 1], values)


@pytest.mark.parametrize("tag", PATTERNS)
def test_a_pattern_is_its_definition_at_what_is_told(tag):
    part = TERMS[tag]
    A, values = one(part.root, somewhere(part)), one(part.natural, somewhere(part))
    scales = part.structure.scales
    expected = PATTERNS[tag].matrix(np.resize(values[:scales], 4), values[scales:])
    np.testing.assert_allclose(A @ A.T, expected, atol=1e-12)


def test_a_pullback_is_the_derivative_of_the_covariance_matrix(term):
    phi, k = somewhere(term), term.structure.width
    D = np.random.default_rng(2).normal(size=(k, k))
    D = D + D.T

    def product(x):
        A = one(term.root, x)
        return np.array([(D * (A @ A.T)).sum()])

    np.testing.assert_allclose(term.pullback(phi, D), differences(product, phi)[:, 0], atol=1e-7)


@pytest.mark.parametrize("tag", PATTERNS)
def test_a_start_at_a_pattern_is_that_member(tag):
    part = TERMS[tag]
    np.testing.assert_allclose(one(part.natural, part.start(member(tag))), natural(tag), rtol=1e-9)


@pytest.mark.parametrize("name", ["three", "two", "apart"])
def test_a_start_at_any_covariance_matrix_is_that_matrix(name):
    part, phi = TERMS[name], somewhere(TERMS[name])
    A = one(part.root, phi)
    np.testing.assert_allclose(part.start(A @ A.T), phi, atol=1e-9)


def test_a_start_stays_away_from_matrices_without_an_inverse():
    two = ConesPart((SDS[0], LKJ(1.0), SDS[0]), Unstructured(2), np.eye(2))
    for r in (0.99, 1.0, -1.0):
        found = one(two.natural, two.start(np.array([[4.0, 2.0 * r], [2.0 * r, 1.0]])))
        np.testing.assert_allclose(found, [2.0, np.sign(r) * 0.9, 1.0])
    three = ConesPart((LKJ(1.0),) * 6, Unstructured(3), np.eye(3))
    found = one(three.natural, three.start(1.5 * np.eye(3) - 0.5))  # three effects that sum to zero
    at = {(n.row, n.column): value for n, value in zip(three.structure.naturals, found, strict=True)}
    r = -1.49 / 3.01  # the eigenvalue 0 raised to 0.01, and the diagonal brought back to 1
    np.testing.assert_allclose([at[1, 0], at[2, 0], at[2, 1]], [r, r, r**2 - 0.9 * (1.0 - r**2)])


@pytest.mark.parametrize(
    ("tag", "r", "begins"),
    [
        ("homcs", 1.0, 0.25 + 0.9 * 0.75),  # between -1/2 and 1
        ("homcs", -0.5, 0.25 - 0.9 * 0.75),
        ("cs", 1.0, 0.25 + 0.9 * 0.75),
        ("ar1", 1.0, 0.9),
        ("ou", 1.0, -0.4 / np.log(0.95)),  # a range, by the correlation of the closest pair, 0.4 apart
        ("ou", 0.0, -0.4 / np.log(0.05)),
    ],
)
def test_a_start_of_a_pattern_stays_away_from_its_bounds(tag, r, begins):
    part = pattern(tag, 3)
    found = one(part.natural, part.start(4.0 * ((1.0 - r) * np.eye(3) + r)))
    scales = part.structure.scales
    np.testing.assert_allclose(found, [*np.full(scales, 2.0), begins])


def test_one_standard_deviation_begins_at_the_mean_of_the_variances():
    part = pattern("homcs", 2)
    assert one(part.natural, part.start(np.diag([1.0, 7.0])))[0] == pytest.approx(2.0)
    assert (len(sds("homcs")), part.structure.scales) == (4, 1)


def test_the_derivative_of_a_correlation_has_all_its_digits_far_out():
    z = np.array([-0.3, 0.0, 0.7])
    np.testing.assert_allclose(log_one_less_square(z), np.log(1.0 - np.tanh(z) ** 2), atol=1e-15)
    np.testing.assert_allclose(log_one_less_square(np.array([-400.0, 400.0])), 2.0 * np.log(2.0) - 800.0)


def test_where_a_natural_parameter_has_no_number_there_is_no_density():
    part = ResidualPart((Flat(),), ROWS["car1"])
    with np.errstate(over="ignore"):
        assert part.log_prior(np.array([[0.0, 800.0]])).tolist() == [0.0, -np.inf]


def test_a_range_is_not_cut_off_to_zero():
    part = ResidualPart((Flat(),), ROWS["car1"])
    phi = np.array([-20.0])
    assert ROWS["car1"].natural(phi).item() == 0.0
    assert one(part.natural, phi).item() == pytest.approx(2.0 * np.exp(-20.0))
    assert one(part.log_jacobian, phi) == pytest.approx(np.log(2.0) - 20.0)


def test_a_matrix_of_correlations_is_no_prior_of_a_standard_deviation():
    with pytest.raises(TypeError, match="sd"):
        ResidualPart((LKJ(1.0),) * 4, STRUCTURES["csh"]).log_prior(np.zeros((4, 1)))


@pytest.mark.parametrize("with_residual", [True, False])
def test_parts_stand_one_after_the_other_and_sigma_is_the_last(with_residual):
    R = residual(STRUCTURES["ar1"]) if with_residual else None
    parts = DrawnParts((TERMS["two"], TERMS["homcs"]), R, PARTS["sigma"])
    each = [TERMS["two"], TERMS["homcs"], *([R] if R else []), PARTS["sigma"]]
    assert parts.count == 5 + with_residual + 1
    assert parts.of_rho == (slice(5, 6) if with_residual else slice(5, 5))
    assert [cut for _, cut in parts.all][-1] == slice(parts.count - 1, parts.count)
    assert parts.priors == tuple(prior for part in each for prior in part.priors)
    phi = np.random.default_rng(3).uniform(-0.5, 0.5, (parts.count, 2))
    cuts = [phi[cut] for _, cut in parts.all]
    for name in ("log_prior", "log_density"):
        expected = sum(getattr(part, name)(cut) for part, cut in zip(each, cuts, strict=True))
        np.testing.assert_allclose(getattr(parts, name)(phi), expected)
    expected = np.concatenate([part.natural(cut) for part, cut in zip(each, cuts, strict=True)])
    np.testing.assert_array_equal(parts.natural(phi), expected)
    expected = np.concatenate([part.slope(cut[:, 0]) for part, cut in zip(each, cuts, strict=True)])
    np.testing.assert_array_equal(parts.slope(phi[:, 0]), expected)
    two, homcs = parts.roots(phi)
    np.testing.assert_array_equal(two, TERMS["two"].root(phi[:3]))
    np.testing.assert_array_equal(homcs, TERMS["homcs"].root(phi[3:5]))
    assert isinstance(each[1], PatternPart)
