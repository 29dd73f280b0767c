# ruff: noqa: E501  (a sentence stands as it is printed)
"""What is said of a posterior: hand-made tables of its step on the left, the expected words on the right."""

from __future__ import annotations

import pandas as pd
import pytest
from support.answers import plain
from support.report_files import report_files, seen, study

from lmmkit.study.report import posterior_words as words

NAN = float("nan")
Frame = pd.DataFrame


def drawn(**values):
    """Numbers of a posterior, each with a Monte Carlo error that supports its digits."""
    return {name: value for key, x in values.items() for name, value in ((key, x), (f"{key}_mcse", 0.004))}


def answered(not_above=0.25, **changes):
    return {
        "quantity": "Slope of x", "estimate": 1.5, "se": 0.5, "estimate_low": 0.5, "estimate_high": 2.5,
        **drawn(mean=1.25, lower=0.25, upper=2.25), "effective": 4000.0, "not_above": not_above,
        "rope_low": -1.0, "rope_high": 1.0, "inside": NAN, "inside_mcse": NAN, **changes,
    }  # fmt: skip


def parameter(name, estimate, **changes):
    return {"parameter": name, "estimate": estimate, **drawn(mean=1.0, median=0.75, upper=2.5), **changes}


def left_out(kind, of, elpd=-862.05, method="loo", trouble=NAN):
    return {"measure": f"{method} {kind}", "method": method, "kind": kind, "of": of, "elpd": elpd, "elpd_mcse": 0.2, "se": 23.04, "trouble": trouble}  # fmt: skip


def told(k_hat=0.06, **tables):
    """The paragraphs of a posterior whose tables are these, or harmless."""
    made = {
        "posterior_draws": [
            {"quantity": name, "value": value}
            for name, value in {"draws": 4000.0, "effective_draws": 3522.2, "k_hat": k_hat, "k_hat_limit": 0.7}.items()
        ],
        "posterior_answer": [],
        "posterior": [parameter("Residual.sd", 2.0)],
        "posterior_sensitivity": [{"parameter": "x", "prior": 0.017, "likelihood": 0.09, "diagnosis": NAN}],
        "posterior_predictive": [{"statistic": "mean", "outside": False}],
        "posterior_loo": [left_out("conditional", "row", method="waic")],
    }  # fmt: skip
    facts = {"kind": "number", "variable": "x"}
    settings = {**study(y="ms", x="d"), "model": {"method": "REML"}}
    files = report_files(study=settings, **{**made, **tables}, **{"answer.json": facts})
    return [
        plain(each)
        for each in words.posterior_in_words(files, seen("y ~ x * f + (x | g)", {"y": "ms", "x": "d"}))
    ]


@pytest.mark.parametrize(
    ("k_hat", "said"),
    [
        (0.06, "k-hat, is 0.06 (up to 0.70 the draws can be trusted). Posterior"),
        (-0.2, "k-hat, is −0.20 (up to 0.70 the draws can be trusted). Posterior"),
        (0.7, "k-hat, is 0.70 (up to 0.70 the draws can be trusted). Posterior"),
        (0.72, "k-hat, is 0.72 (above 0.70 the draws cannot be trusted). Posterior"),
        (NAN, "4,000 draws by the no-U-turn sampler, from chains that have mixed, are worth 3,522 independent ones. Posterior"),
    ],
)  # fmt: skip
def test_what_the_draws_are_worth(k_hat, said):
    first = told(k_hat)[0]
    assert said in first
    assert first.startswith("4,000 draws by ")
    assert "worth 3,522 independent ones" in first
    assert first.endswith("Posterior numbers have the digits that their Monte Carlo error supports.")
    if k_hat == k_hat:
        assert first.startswith(
            "4,000 draws by importance sampling from the restricted likelihood times the priors are worth 3,522 "
            "independent ones; the shape of the tail of their weights, k-hat, is "
        )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (answered(), "Slope of x: the posterior mean is 1.25 ms per d (with 95 % probability between 0.25 and 2.25), the REML estimate 1.500 (0.500 to 2.500); the probability of zero or less is 0.25."),
        (answered(0.5), "zero or less is 0.50."),
        (answered(0.75), "the probability of more than zero is 0.25."),
        (answered(0.0), "the probability of zero or less is < 0.001."),
        (answered(1.0), "the probability of more than zero is < 0.001."),
        (answered(estimate_low=NAN), "the REML estimate 1.500; the probability of"),
        (answered(inside=0.3, inside_mcse=0.004), "is 0.25; the probability that it lies between −1 and 1, where the study counts it as good as none, is 0.30."),
        (answered(inside=1.0, inside_mcse=0.0), "is > 0.999."),
        (answered(quantity="g.sd.x", estimate=NAN, inside=0.3, inside_mcse=0.004), "g: x, SD: the posterior mean is 1.25 ms per d (with 95 % probability between 0.25 and 2.25); the probability that it lies"),
        (answered(quantity="x:f[T.v]"), "x × f (v against u): the posterior mean is 1.25 ms per d (with 95 % probability between 0.25 and 2.25)"),
        (answered(quantity="g.cor.x.Intercept", estimate=NAN), "g: x with Intercept, correlation: the posterior mean is 1.25 (with 95 % probability between 0.25 and 2.25)."),
    ],
)  # fmt: skip
def test_the_answer(row, said):
    assert said in told(posterior_answer=[row])[1]


@pytest.mark.parametrize(
    ("p", "error", "text"),
    [(0.25, 0.004, "0.25"), (0.25, 0.04, "0.2"), (0.0, 0.0, "< 0.001"), (0.0005, 0.0004, "0.001"), (1.0, 0.0, "> 0.999"), (0.9, 0.04, "0.9"), (0.96, 0.03, "> 0.9"), (0.96, 0.01, "0.96"),
     (0.8, 0.04, "0.8"), (0.02, 0.03, "< 0.1"), (0.04, 0.03, "< 0.1"), (0.06, 0.03, "0.1"), (0.0004, 0.0004, "< 0.001"), (0.9, 0.004, "0.90"), (0.02, 0.004, "0.02")],
)  # fmt: skip
def test_a_probability_has_the_digits_that_its_error_supports(p, error, text):
    assert words._share_text(p, error, 4000.0) == text  # pyright: ignore[reportPrivateUsage]


def test_six_answers_are_told_and_no_more():
    said = told(posterior_answer=[answered(quantity=f"f: {letter}") for letter in "abcdefgh"])[1]
    assert [letter in said for letter in ("f: a:", "f: f:", "f: g:")] == [True, True, False]


@pytest.mark.parametrize(("estimate", "zero"), [(0.0, True), (2e-6, True), (2.1e-6, False), (0.5, False)])
def test_a_deviation_of_zero_is_told_with_its_posterior(estimate, zero):
    said = told(posterior=[parameter("g.sd.x", estimate), parameter("x", 0.0), parameter("Residual.sd", 2.0)])
    expected = "g: x, SD is estimated as zero, which is an end of its range and no likely value: half of its posterior lies above 0.75, and the interval reaches to 2.50."
    assert (expected in said) == zero
    assert not any(text.startswith(("x is", "Residual.sd is")) for text in said)


def test_what_hangs_on_the_priors():
    def row(name, prior, diagnosis=NAN):
        return {"parameter": name, "prior": prior, "likelihood": 0.09, "diagnosis": diagnosis}

    assert (
        told()[1]
        == "No parameter hangs on the priors: raised to a power they move none by more than 0.017 for each doubling of the power, in a distance from zero to one."
    )
    (said,) = (
        text
        for text in told(posterior_sensitivity=[row("x", 0.2, "a prior that conflicts"), row("z", 0.01)])
        if "Priors" in text
    )
    assert (
        said
        == "Priors matter here, by power-scaling sensitivities for 1 parameter: x, where a prior that conflicts (0.200 to the priors, 0.090 to the likelihood). Another prior would change what is said of it."
    )
    many = [row(f"p{letter}", 0.2, "weak data") for letter in "abcdefgh"]
    (said,) = (text for text in told(posterior_sensitivity=many) if "Priors" in text)
    assert "for 8 parameters: pa, where" in said
    assert [f"; p{letter}, where" in said for letter in "fg"] == [True, False]
    assert said.endswith("said of these.")


@pytest.mark.parametrize(
    ("outside", "said"),
    [
        ([False, False], "Of 2 statistics of the response none lies outside the range of data sets drawn from the posterior."),
        ([False], "Of 1 statistic of the response none lies outside the range of data sets drawn from the posterior."),
        ([True, False], "Of 2 statistics of the response 1 lies outside the range of data sets drawn from the posterior: a."),
        ([True, True], "Of 2 statistics of the response 2 lie outside the range of data sets drawn from the posterior: a and b."),
    ],
)  # fmt: skip
def test_the_predictive_check(outside, said):
    table = [{"statistic": name, "outside": out} for name, out in zip("ab", outside, strict=False)]
    assert said in told(posterior_predictive=table)


def test_what_is_left_out():
    rows, groups = left_out("conditional", "row"), left_out("marginal", "g", -90.5)
    one = "With single rows left out the expected log predictive density is −862 (standard error 23.0)."
    other = "With levels of g left out the expected log predictive density is −90 (standard error 23.0)."
    both = "The one is of new rows of known groups, the other of new groups: they do not compare."
    assert told()[-1].startswith("Of 1 statistic")  # WAIC alone
    assert told(posterior_loo=[rows])[-1] == one
    assert told(posterior_loo=[rows, groups])[-1] == f"{one} {other} {both}"
    lost = left_out("marginal", "g", NAN, trouble="1 level of g has k-hat above 0.7.")
    none = "With levels of g left out no predictive density can be told: 1 level of g has k-hat above 0.7."
    assert told(posterior_loo=[rows, lost])[-1] == f"{one} {none}"


def test_units_of_parameters():
    names = [
        "Intercept",
        "x",
        "g.sd.Intercept",
        "g.sd.x",
        "g.sd.common",
        "g.cor.x.Intercept",
        "Residual.sd",
        "Residual.rho",
    ]
    told = words.units(names, seen("y ~ x + (x | g)", {"y": "ms", "x": "d"}))
    assert told == ["ms", "ms per d", "ms", "ms per d", "ms", "correlation", "ms", "residual structure"]


def check(made, caption, alt):
    assert (str(made["caption"]), str(made["alt"])) == (caption, alt)


@pytest.mark.parametrize(
    ("priors", "flat"),
    [(["flat", "flat", "half_normal(0, 2)"], "2 priors are"), (["flat", "normal(0, 1)", "lkj(1)"], "1 prior is"), (["lkj(1)"] * 3, "0 priors are")],
)  # fmt: skip
def test_caption_of_densities(priors, flat):
    table = Frame({"parameter": list("abc"), "prior": priors})
    check(
        words.densities(table),
        f"Prior (dashed), likelihood (dotted) and posterior (filled) of 3 parameters: where the two last agree, the data speak and the prior is silent; {flat} flat.",
        "Density curves of 3 parameters, a panel for each.",
    )


def test_caption_beside():
    table = Frame(
        {
            "parameter": list("abc"),
            "estimate_low": [0.0, 0.0, NAN],
            "estimate_high": [2.0, 0.5, NAN],
            "mean": 1.0,
        }
    )
    check(
        words.beside(table, 0.9),
        "Estimates (squares) and posterior means (dots) with 90 % intervals; 1 of 3 posterior means lies within the interval of the estimate.",
        "3 parameters, each with two points and two intervals.",
    )
    assert "; 2 of 3 posterior means lie within" in str(
        words.beside(table.assign(estimate_high=[2.0, 1.0, NAN]), 0.9)["caption"]
    )


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ([0.4, 0.49], "none is the greatest with a probability of one half or more"),
        ([0.5, 0.1], "1 is the greatest with a probability of one half or more"),
        ([0.6, 0.9], "2 are the greatest with a probability of one half or more"),
    ],
)
def test_caption_of_ranks(first, said):
    table = Frame({"effect": ["a", "b"], "group": "g", "term": ["x", "z"], "first": first})
    check(
        words.ranks(table),
        f"Ranks of 2 effects with what is not known of them: {said}.",
        "2 effects in order of their mean rank, each with an interval.",
    )
    assert words.titled(table)["title"].tolist() == ["x of g", "z of g"]


@pytest.mark.parametrize(
    ("outside", "verb"),
    [([False, False], "0 of 2 statistics lie"), ([True, False], "1 of 2 statistics lies")],
)
def test_caption_of_the_predictive_check(outside, verb):
    check(
        words.predictive(Frame({"statistic": ["a", "b"], "outside": outside})),
        f"The response (dots) over the range of data sets drawn from the posterior with new groups (band); {verb} outside.",
        "Counts of rows by value of the response: observed, and the range of drawn data sets.",
    )


@pytest.mark.parametrize(("draws", "scaled", "works"), [(1, 1, {"psis", "loo", "lkj", "power-scaling"}), (1, 0, {"psis", "loo", "lkj"}), (0, 1, {"power-scaling"})])  # fmt: skip
def test_the_literature_behind_it(draws, scaled, works):
    assert set(words.works(Frame({"a": [1] * draws}), Frame({"a": [1] * scaled}))) == works
