"""Densities of the priors against scipy's, with their slopes; what is no distribution is refused."""

import numpy as np
import pytest
import scipy.stats

from lmmkit.engine.posterior.priors import (
    LKJ,
    BetaPrior,
    Cauchy,
    ExponentialPrior,
    Gamma,
    Half,
    LogNormal,
    Normal,
    StudentT,
    Uniform,
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
    ],
)
def test_what_is_no_prior_is_refused_with_those_that_there_are(text, said):
    with pytest.raises(FitError, match=said):
        read_prior(text)
