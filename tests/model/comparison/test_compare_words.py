# ruff: noqa: E501  (a sentence stands as it is printed)
"""Notes and distributions of a comparison: how two models lie to each other on the left, what is said on "
"the right."""

from __future__ import annotations

from inspect import signature
from types import SimpleNamespace

import numpy as np
import pytest

from lmmkit import FitError
from lmmkit.model.comparison import bootstrap_lrt, nesting
from lmmkit.model.comparison import compare as module
from lmmkit.model.comparison.compare import (
    AT_BOUND,
    AT_NO_CORRELATION,
    AT_THE_EDGE,
    ONE_VARIANCE,
    PSEUDO,
    REFITTED,
    How,
    Reference,
    _few_groups,
    _kenward_roger,
    _labels,
    _reference,
    _Step,
    _test,
    _where,
)
from lmmkit.model.comparison.drop_terms import _f_test, _less
from lmmkit.model.comparison.nesting import Cone, Nesting, refuse_different_data
from lmmkit.model.comparison.pattern_nesting import SEVERAL, pattern_nesting
from lmmkit.model.formula.formula import parse_formula


def model(**given):
    """A fit as the notes look at it."""
    usual = {
        "npar": 4,
        "deviance": 10.0,
        "is_singular": False,
        "converged": True,
        "ngroups": {"g": 100},
        "random": (1,),
        "nobs": 1000,
        "problem": SimpleNamespace(residual=None),
        "reml": False,
    }
    return SimpleNamespace(**{**usual, **given})


def step(rows=1, small=None, large=None, **how):
    """One model in another: `rows` of the fixed part are tested."""
    found = Nesting(np.empty((0, 0)), None, **{"cones": (), **how})
    return _Step(small or model(npar=4, deviance=13.0), large or model(npar=5), np.eye(rows, 3), found)


def cone(size):
    return Cone(0, np.eye(size))


@pytest.mark.parametrize(
    ("weights", "first", "text"),
    [
        ([1.0], 2, "chi2(2)"),
        ([0.5, 0.5], 0, "1/2 chi2(0) + 1/2 chi2(1)"),
        ([0.25, 0.5, 0.25], 1, "1/4 chi2(1) + 1/2 chi2(2) + 1/4 chi2(3)"),
        ([0.1234, 0.8766], 3, "0.123 chi2(3) + 0.877 chi2(4)"),
    ],
)
def test_a_distribution_is_written_by_its_parts(weights, first, text):
    assert str(Reference(first, np.array(weights))) == text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"large": model(npar=5, ngroups={"g": 49, "h": 60})}, "g has 49 levels: with few groups chi-squared finds fixed effects too often; use method='bootstrap' or 'kenward-roger'"),
        ({"large": model(npar=6, ngroups={"g": 49})}, "g has 49 levels: with few groups chi-squared finds fixed effects too often; use method='bootstrap'"),
        ({"large": model(npar=5, ngroups={"g": 50})}, ""),
        ({"large": model(npar=5, ngroups={})}, ""),
        ({"rows": 0, "large": model(npar=5, ngroups={"g": 5})}, ""),
    ],
)  # fmt: skip
def test_few_groups_are_pointed_out_below_fifty(given, said):
    assert _few_groups(step(**given)) == said


@pytest.mark.parametrize(
    ("given", "first", "weights", "note"),
    [
        ({}, 1, [1.0], ""),
        ({"edges": 1}, 0, [0.5, 0.5], AT_BOUND),
        ({"edges": 1, "large": model(npar=5, problem=SimpleNamespace(residual=1))}, 0, [0.5, 0.5], AT_NO_CORRELATION),
        ({"cones": (cone(1),)}, 0, [0.5, 0.5], ONE_VARIANCE),
        ({"cones": (cone(1),), "large": model(npar=7)}, 2, [0.5, 0.5], ONE_VARIANCE),
        ({"cones": (cone(1), cone(1)), "large": model(npar=6)}, 0, [0.3, 0.7], "several variances on the boundary of their domain: weights by formula"),
        ({"cones": (cone(2),), "large": model(npar=8)}, 1, [0.3, 0.7], "several variances on the boundary of their domain: simulated weights"),
    ],
)  # fmt: skip
def test_the_distribution_follows_from_what_stands_on_a_boundary(monkeypatch, given, first, weights, note):
    monkeypatch.setattr(module, "_null_covariance", lambda *_: np.eye(3))
    monkeypatch.setattr(module, "cone_weights", lambda *_: np.array([0.3, 0.7]))
    found = _reference(step(0, **given), 1)
    assert (found.first, found.weights.tolist(), found.note) == (first, weights, note)


LRT = How("lrt", 100, 1, 1)


@pytest.mark.parametrize(
    ("given", "reference", "note"),
    [
        ({}, "chi2(1)", ""),
        (
            {"small": model(deviance=13.0, is_singular=True)},
            "chi2(1)",
            "the smaller fit is singular itself: approximate",
        ),
        ({"small": model(deviance=13.0, converged=False)}, "chi2(1)", "a fit has not converged"),
        ({"large": model(npar=5, converged=False, ngroups={})}, "chi2(1)", "a fit has not converged"),
        ({"small": model(is_singular=True), "absorbed": True}, "", AT_THE_EDGE),
        ({"small": model(deviance=13.0), "absorbed": True}, "chi2(1)", ""),
        ({"unfit": "it rains"}, "", "it rains: compare by aic, aicc or bic, or use method='bootstrap'"),
    ],
)
def test_a_likelihood_ratio_has_its_notes(given, reference, note):
    found = _test(step(**given), LRT)
    assert (found["reference"], found["note"]) == (reference, note)
    if reference:
        assert (found["stat"], found["df"]) == (3.0, 1.0)
        assert found["p"] == pytest.approx(0.0832645)
    else:
        assert np.isnan(found["p"])


def test_a_larger_model_that_fits_worse_has_a_ratio_of_zero():
    assert _test(step(small=model(deviance=9.0)), LRT)["stat"] == 0.0


def test_kenward_roger_says_why_it_has_no_test(monkeypatch):
    both = _kenward_roger(step(1, large=model(npar=6)))
    assert both["note"].startswith(
        "Kenward-Roger tests fixed effects in one random part, and here both parts differ"
    )
    monkeypatch.setattr(module, "refitted", lambda fit, reml: fit)
    monkeypatch.setattr(module, "null_directions", lambda _: ["the variance of a is zero", "that of b"])
    singular = _kenward_roger(step(1, large=model(npar=5, is_singular=True)))
    assert (
        singular["note"]
        == "Kenward-Roger is not defined for a singular fit (the variance of a is zero; that of b): use method='bootstrap'"
    )
    test = SimpleNamespace(F=4.0, num_df=1, den_df=10.0)
    by = SimpleNamespace(f_test=lambda *_: test)
    monkeypatch.setattr(module, "kenward_roger", lambda _: by)
    monkeypatch.setattr(module, "METHODS", {"residual": lambda _: by})
    for large, note in (
        (model(npar=5, beta=[0.0]), "scaled F of the REML fit"),
        (model(npar=5, beta=[0.0], converged=False), "scaled F of the REML fit; a fit has not converged"),
        (model(npar=5, beta=[0.0], random=()), "F of least squares, exact"),
        (
            model(npar=5, beta=[0.0], random=(), problem=SimpleNamespace(residual=1)),
            "scaled F of the REML fit",
        ),
    ):
        found = _kenward_roger(step(1, large=large))
        assert (found["note"], found["reference"], found["df"]) == (note, "F(1, 10)", 1.0)
        assert found["p"] == pytest.approx(0.0733880)


@pytest.mark.parametrize(
    ("random", "apart", "said"),
    [
        ((), 1.0, ""),
        ((1,), 0.0, " where the correlation is not negative"),
        ((1,), 9e-7, " where the correlation is not negative"),
        ((1,), 1.1e-6, " where the correlation is not negative, and here it is"),
    ],
)
def test_where_two_models_are_one(random, apart, said):
    assert _where(model(random=random), model(random=(), deviance=10.0 + apart)) == said


@pytest.mark.parametrize(
    ("count", "fits", "alike", "note"),
    [
        (1, [], False, "bic and aicc of n = 1,000 rows"),
        (2, [], False, "`b` is not a special case of `c`: without a test; compare them by aic, aicc or bic"),
        (
            3,
            [],
            False,
            "`b` is not a special case of `c`, nor is any smaller model here: without a test; compare them "
            "by aic, aicc or bic",
        ),
        (3, [0], False, "against `a`; N"),
        (3, [1], False, "N"),
        (3, [0, 1], False, "N"),
        (2, [], True, "the same model as `b`: nothing to test"),
    ],
)
def test_each_model_is_held_against_the_largest_that_lies_in_it(monkeypatch, count, fits, alike, note):
    models, labels = [model(random=(), number=i) for i in range(3)][-count:], list("abc")[-count:]
    monkeypatch.setattr(module, "follows_fit", lambda _: False)
    monkeypatch.setattr(module, "_step", lambda small, _: True if small.number in fits else None)
    monkeypatch.setattr(module, "_test", lambda *_: {"note": "N"})
    monkeypatch.setattr(module, "_alike", lambda *_: alike)
    assert module.tested(models, labels, LRT)["note"] == note
    monkeypatch.setattr(module, "follows_fit", lambda _: True)
    assert module.tested(models, labels, LRT)["note"] == PSEUDO


def test_models_of_one_formula_are_numbered(monkeypatch):
    monkeypatch.setattr(module, "model_text", lambda text: text)
    assert _labels(["a", "b", "a", "a"]) == ["a [1]", "b", "a [2]", "a [3]"]


def test_one_criterion_is_found_or_asked_for(monkeypatch):
    monkeypatch.setattr(module, "same_fixed", lambda one, two: one.X == two.X)
    monkeypatch.setattr(module, "refitted", lambda fit, reml: ("again", reml))
    ml, one, two = model(X=1), model(X=1, reml=True), model(X=2, reml=True)
    assert module._one_criterion([ml, model(X=2)], True) == ([ml, model(X=2)], "")
    assert module._one_criterion([one, one], True) == ([one, one], "")
    for fits in ([one, two], [one, ml]):
        assert module._one_criterion(fits, True) == ([("again", False)] * 2, REFITTED)
        with pytest.raises(FitError, match="REML criteria of models with different fixed parts"):
            module._one_criterion(fits, False)


def held_against(**changes):
    arrays = {"response": np.arange(4.0), "weights": None, "offset": None}
    own = {"nobs": 4, "design": SimpleNamespace(response="y", held=None)}
    first = SimpleNamespace(problem=SimpleNamespace(**arrays), **own)
    second = SimpleNamespace(
        problem=SimpleNamespace(**{**arrays, **{k: v for k, v in changes.items() if k in arrays}}),
        **{**own, **{k: v for k, v in changes.items() if k in own}},
    )
    refuse_different_data((first, second))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nobs": 1200}, "The fits use 4 and 1,200 rows: their likelihoods cannot be compared"),
        ({"response": np.arange(4.0) + 1.0}, "different responses (`y` and `y`, or other rows of the table)"),
        ({"weights": np.ones(4)}, "The fits have different weights"),
        ({"offset": np.ones(4)}, "The fits have different offset"),
    ],
)
def test_fits_of_other_numbers_are_refused(monkeypatch, changes, said):
    monkeypatch.setattr("lmmkit.model.comparison.nesting.refuse_held", lambda *_: None)
    held_against()
    held_against(response=np.arange(4.0))
    with pytest.raises(FitError) as refused:
        held_against(**changes)
    assert said in str(refused.value)


def test_the_f_test_of_a_term_is_written_with_its_degrees_of_freedom():
    row = {"num_df": 2, "den_df": 17.123456789, "F": 3.5, "p": 0.05, "method": "kenward-roger"}
    assert _f_test(row) == {
        "stat": 3.5,
        "df": 2.0,
        "den_df": 17.123456789,
        "p": 0.05,
        "reference": "F(2, 17.1235)",
        "note": "kenward-roger",
    }
    assert _f_test(row | {"F": np.nan})["reference"] == ""


def left(bar, factors=(), levels=1):
    """What is left of a random-effects term without each of its parts."""
    formula = parse_formula(f"y ~ 1 + {bar}")
    variables = {
        e: SimpleNamespace(kind="factor" if e.text in factors else "number")
        for b in formula.random
        for t in b.terms
        for e in t
    }
    design = SimpleNamespace(recipe=SimpleNamespace(variables=variables), ngroups={"g": levels})
    return {
        label: None if smaller is None else str(smaller)
        for label, smaller in _less(formula.random[0], design)
    }


@pytest.mark.parametrize(
    ("bar", "factors", "parts"),
    [
        ("(1 | g)", (), {"(1 | g)": None}),
        ("(x | g)", (), {"x in (1 + x | g)": "(1 | g)"}),
        ("(0 + x | g)", (), {"x in (0 + x | g)": None}),
        ("(0 + f | g)", ("f",), {"f in (0 + f | g)": "(1 | g)"}),
        ("(x + z || g)", (), {"x in (1 + x + z || g)": "(1 + z || g)", "z in (1 + x + z || g)": "(1 + x || g)"}),
        ("(x * z | g)", (), {"x:z in (1 + x + z + x:z | g)": "(1 + x + z | g)"}),
    ],
)  # fmt: skip
def test_parts_of_a_term_that_are_left_out(bar, factors, parts):
    assert left(bar, factors) == parts


def test_the_bootstraps_p_counts_the_statistic_itself(monkeypatch):
    found = iter([[5.0, 3.0, 9.0, np.nan], [1.0, 1.0, 1.0, 1.0]])
    monkeypatch.setattr(bootstrap_lrt, "refuse_different_data", lambda _: None)
    monkeypatch.setattr(bootstrap_lrt, "refitted", lambda fit, reml: fit)
    monkeypatch.setattr(bootstrap_lrt, "Simulator", lambda *_: SimpleNamespace(draw=None))
    monkeypatch.setattr(
        bootstrap_lrt, "refit", lambda *_, **__: SimpleNamespace(deviance=np.array(next(found)))
    )
    fits = [model(deviance=d, residual_coordinates=None) for d in (13.0, 10.0)]
    test = bootstrap_lrt.bootstrap_test(*fits, n=4, seed=1)
    assert (test.statistic, test.p, test.draws, test.failed) == (3.0, 3 / 4, 3, 1)
    assert test.method == "parametric bootstrap, ML"


@pytest.mark.parametrize(
    ("counts", "sides", "reason"), [((), 0, ""), ((1,), 1, ""), ((2,), 1, SEVERAL), ((1, 1), 1, SEVERAL)]
)
def test_one_parameter_at_its_bound_has_a_mixture_and_several_have_none(counts, sides, reason):
    terms = [SimpleNamespace(structure=SimpleNamespace(count=count)) for count in counts]
    found = pattern_nesting(SimpleNamespace(terms=[]), SimpleNamespace(terms=terms))
    assert (found.one_sided, found.reason) == (sides, reason)


@pytest.mark.parametrize(
    ("cones", "unfit"),
    [((), ""), ((cone(1),), ""), ((cone(1), cone(1)), nesting.SEVERAL), ((cone(2),), nesting.SEVERAL)],
)
def test_beside_a_residual_structure_one_variance_is_tested(monkeypatch, cones, unfit):
    problem = SimpleNamespace(residual=1)
    monkeypatch.setattr(nesting, "has_pattern", lambda _: False)
    monkeypatch.setattr(nesting, "_without_common_terms", lambda one, other: (one, other))
    monkeypatch.setattr(nesting, "residuals_nested", lambda *_: False)
    monkeypatch.setattr(nesting, "residual_step", lambda *_: SimpleNamespace(same=True))
    monkeypatch.setattr(nesting, "random_nesting", lambda *_: Nesting(np.empty((0, 0)), None, cones))
    assert nesting.covariance_nesting(problem, problem).unfit == unfit


def test_a_comparison_and_its_bootstrap_take_as_many_replicates():
    asked = [signature(f).parameters["n"].default for f in (bootstrap_lrt.bootstrap_test, module.compare)]
    assert asked == [1000, 1000]


@pytest.mark.parametrize(
    ("failed", "fits", "more"),
    [
        (0, {}, ""),
        (1200, {}, "; 1,200 of 2,000 replicates could not be fitted"),
        (0, {"small": model(deviance=13.0, converged=False)}, "; a fit has not converged"),
        (0, {"large": model(npar=5, converged=False)}, "; a fit has not converged"),
    ],
)
def test_a_bootstrap_says_how_many_replicates_there_were(monkeypatch, failed, fits, more):
    found = SimpleNamespace(
        statistic=3.0, p=0.25, p_error=0.0123, failed=failed, draws=2000 - failed, method="bootstrap, ML"
    )
    monkeypatch.setattr(module, "bootstrap_test", lambda *_, **__: found)
    made = _test(step(**fits), How("bootstrap", 2000, 1, 1))
    assert (made["stat"], made["df"], made["p"]) == (3.0, 1.0, 0.25)
    assert made["note"] == f"Monte Carlo standard error of p 0.012{more}"
    assert made["reference"] == f"bootstrap, ML, {2000 - failed:,} replicates"
