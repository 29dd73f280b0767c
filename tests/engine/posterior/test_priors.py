"""Densities of the priors against scipy's, with their slopes; what is no distribution is refused."""

import numpy as np
import pytest
import scipy.stats

from lmmkit.engine.posterior.priors import (
    LKJ,
    BetaPrior,
    Cauchy,
    ExponentialPrior,
    Flat,
    Gamma,
    Half,
    LogNormal,
    Normal,
    StudentT,
    Uniform,
    half,
    read_prior,
)
from lmmkit.errors import FitError

KNOWN = [
    (Normal(1.0, 2.0), scipy.stats.norm(1.0, 2.0)),
    (StudentT(3.0, 1.0, 2.0), scipy.stats.t(3.0, 1.0, 2.0)),
    (Cauchy(0.0, 2.0), scipy.stats.cauchy(0.0, 2.0)),
    (Half(Normal(0.0, 2.0)), scipy.stats.halfnorm(0.0, 2.0)),
    (Half(Normal(1.0, 2.0)), scipy.stats.truncnorm(-0.5, np.inf, 1.0, 2.0)),
    (Half(Cauchy(0.0, 2.0)), scipy.stats.halfcauchy(0.0, 2.0)),
    (ExponentialPrior(0.5), scipy.stats.expon(0.0, 2.0)),
    (Gamma(3.0, 2.0), scipy.stats.gamma(3.0, scale=0.5)),
    (LogNormal(0.3, 0.8), scipy.stats.lognorm(0.8, scale=np.exp(0.3))),
    (BetaPrior(2.0, 3.0), scipy.stats.beta(2.0, 3.0)),
    (Uniform(0.1, 0.9), scipy.stats.uniform(0.1, 0.8)),
    (LKJ(2.5), scipy.stats.beta(2.5, 2.5, -1.0, 2.0)),
]


@pytest.mark.parametrize(("prior", "known"), KNOWN, ids=[prior.text for prior, _ in KNOWN])
def test_densities_are_those_of_scipy_and_slopes_their_derivatives(prior, known):
    x, step = np.array([0.2, 0.45, 0.8]), 1e-6
    np.testing.assert_allclose(prior.logpdf(x), known.logpdf(x), rtol=1e-12, atol=1e-12)
    slope = (prior.logpdf(x + step) - prior.logpdf(x - step)) / (2.0 * step)
    np.testing.assert_allclose(prior.slope(x), slope, rtol=1e-6, atol=1e-7)


def test_the_half_of_a_t_has_twice_its_density():
    x = np.array([0.1, 5.0])
    np.testing.assert_allclose(
        Half(StudentT(3.0, 0.0, 2.0)).logpdf(x), StudentT(3.0, 0.0, 2.0).logpdf(x) + np.log(2.0)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: Normal(0.0, 0.0),
        lambda: StudentT(3.0, 0.0, -1.0),
        lambda: Gamma(0.0, 1.0),
        lambda: LKJ(0.0),
        lambda: Normal(np.nan, 1.0),
        lambda: Uniform(1.0, 1.0),
        lambda: Uniform(0.0, np.inf),
        lambda: Uniform(-np.inf, 0.0),
        lambda: LogNormal(0.0, np.inf),
    ],
)
def test_what_is_no_distribution_is_refused_in_words(make):
    with pytest.raises(FitError, match=r"expected|must be above 0"):
        make()


@pytest.mark.parametrize(
    ("text", "prior"),
    [
        ("half_normal(2)", Half(Normal(0.0, 2.0))),
        ("half-normal(1, 2)", Half(Normal(1.0, 2.0))),
        ("half_student_t(3, 2)", "half_student_t(3, 0, 2)"),
        ("Half_Cauchy(2)", "half_cauchy(0, 2)"),
        ("flat()", "flat"),
        (Normal(0.0, 1.0), Normal(0.0, 1.0)),
    ],
)
def test_a_half_may_leave_its_location_out(text, prior):
    found = read_prior(text)
    assert (found.text if isinstance(prior, str) else found) == prior


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("half_gamma(1, 1)", "half is of normal, student_t and cauchy alone"),
        ("normal(0, one)", r"has not the numbers that it needs: normal\(mean, sd\)\. Write one of: normal"),
        ("student_t(3, 1)", r"needs: student_t\(df, location, scale\)"),
        ("student_t", r"cannot be read\. Write one of: .*lkj\(eta\), flat\."),
        ("nrmal(0, 1)", "cannot be read; did you mean `normal`"),
        ("normal()", r"has not the numbers that it needs: normal\(mean, sd\)"),
        ("half_normal(1, 2, 3)", r"has not the numbers that it needs: normal\(mean, sd\)"),
        ("half_student_t(3)", r"has not the numbers that it needs: student_t\(df, location, scale\)"),
    ],
)
def test_what_is_no_prior_is_refused_with_those_that_there_are(text, said):
    with pytest.raises(FitError, match=said):
        read_prior(text)


@pytest.mark.parametrize(
    "make", [lambda: Normal(1e101, 1.0), lambda: Normal(-1e101, 1.0), lambda: Normal(1e-101, 1.0)]
)
def test_numbers_beyond_what_can_be_reckoned_with_are_refused(make):
    with pytest.raises(
        FitError, match=r"its mean is -?1e[+-]101; between 1e-100 and 1e\+100 in size is what can"
    ):
        make()
    for allowed in (0.0, 1e100, -1e100, 1.1e-100):
        assert Normal(allowed, 1.0).mean == allowed


ANY, ABOVE = (-np.inf, np.inf), (0.0, np.inf)
DESCRIBED = [
    (Normal(1.0, 2.0), "normal(1, 2)", "Normal", {"mu": 1, "sigma": 2}, ANY),
    (StudentT(3.0, 1.0, 2.0), "student_t(3, 1, 2)", "StudentT", {"nu": 3, "mu": 1, "sigma": 2}, ANY),
    (Cauchy(0.5, 2.0), "cauchy(0.5, 2)", "Cauchy", {"alpha": 0.5, "beta": 2}, ANY),
    (Half(Normal(0.0, 2.0)), "half_normal(0, 2)", "HalfNormal", {"sigma": 2}, ABOVE),
    (Half(StudentT(3.0, 0.0, 2.0)), "half_student_t(3, 0, 2)", "HalfStudentT", {"nu": 3, "sigma": 2}, ABOVE),
    (Half(Cauchy(0.0, 2.0)), "half_cauchy(0, 2)", "HalfCauchy", {"beta": 2}, ABOVE),
    (ExponentialPrior(0.5), "exponential(0.5)", "Exponential", {"lam": 0.5}, ABOVE),
    (Gamma(3.0, 2.0), "gamma(3, 2)", "Gamma", {"alpha": 3, "beta": 2}, ABOVE),
    (LogNormal(0.3, 0.8), "lognormal(0.3, 0.8)", "LogNormal", {"mu": 0.3, "sigma": 0.8}, ABOVE),
    (BetaPrior(2.0, 3.0), "beta(2, 3)", "Beta", {"alpha": 2, "beta": 3}, (0.0, 1.0)),
    (Uniform(0.1, 0.9), "uniform(0.1, 0.9)", "Uniform", {"lower": 0.1, "upper": 0.9}, (0.1, 0.9)),
    (LKJ(2.5), "lkj(2.5)", "LKJCorr", {"eta": 2.5}, (-1.0, 1.0)),
    (Flat(), "flat", "Flat", {}, ANY),
]  # fmt: skip


@pytest.mark.parametrize(("prior", "text", "pymc", "keywords", "limits"), DESCRIBED)
def test_a_prior_is_read_as_it_is_written_and_told_to_pymc(prior, text, pymc, keywords, limits):
    assert (prior.text, prior.pymc, dict(prior.keywords), prior.limits) == (text, pymc, keywords, limits)
    assert read_prior(text) == prior
    assert prior.proper == (text != "flat")


def test_what_goes_below_zero_is_halved_and_the_rest_is_not():
    for prior in (Normal(1.0, 2.0), StudentT(3.0, 1.0, 2.0), Cauchy(1.0, 2.0)):
        assert half(prior) == Half(prior)
    for prior in (Half(Normal(0.0, 1.0)), Gamma(3.0, 2.0), Uniform(0.0, 1.0), LKJ(1.0), Flat()):
        assert half(prior) is prior
    assert [Half(of).centred for of in (Normal(0.0, 2.0), StudentT(3.0, 0.0, 2.0), Cauchy(0.0, 1.0))] == [
        True
    ] * 3
    assert not Half(StudentT(3.0, 1.0, 2.0)).centred


def test_at_the_ends_of_their_support_densities_are_what_they_are():
    ends = np.array([0.0, 1.0])
    assert BetaPrior(1.0, 1.0).logpdf(ends).tolist() == [0.0, 0.0]
    assert BetaPrior(2.0, 1.0).logpdf(ends).tolist() == [-np.inf, pytest.approx(np.log(2.0))]
    assert BetaPrior(1.0, 2.0).logpdf(ends).tolist() == [pytest.approx(np.log(2.0)), -np.inf]
    assert Uniform(0.0, 1.0).logpdf(np.array([-1e-9, 0.0, 1.0, 1.0 + 1e-9])).tolist() == [
        -np.inf,
        0.0,
        0.0,
        -np.inf,
    ]
    assert (Flat().logpdf(ends).tolist(), Flat().slope(ends).tolist()) == ([0.0, 0.0], [0.0, 0.0])


@pytest.mark.parametrize(("k", "column", "shape"), [(2, 0, 2.5), (4, 0, 3.5), (4, 1, 3.0), (4, 2, 2.5)])
def test_partial_correlations_of_an_lkj_matrix_are_beta_on_their_own(k, column, shape):
    assert LKJ(2.5).shape(k, column) == shape
    known = scipy.stats.beta(shape, shape, -1.0, 2.0).logpdf(0.3)
    assert LKJ(2.5).log_constant(k, column) + (shape - 1.0) * np.log(1.0 - 0.09) == pytest.approx(known)
