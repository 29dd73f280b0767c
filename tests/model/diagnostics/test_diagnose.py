"""The diagnosis of a fit: replicates, statistics, verdicts, words and what they advise."""

from __future__ import annotations

import json
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.engine.replicates.batch_sums import table_size
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError
from lmmkit.model.diagnostics.adjusted import band, own_p
from lmmkit.model.diagnostics.check_result import CheckResult, Curves, Sentence, Unchecked
from lmmkit.model.diagnostics.diagnose import Diagnosis, _judged, _row, verdict_of
from lmmkit.model.diagnostics.distribution import anderson_darling, mardia, moments, quantile_curves
from lmmkit.model.diagnostics.outliers import studentised
from lmmkit.model.diagnostics.replicated import SizeRules, level_roots, marginal_sd, replicate_data
from lmmkit.model.diagnostics.spread import (
    bartlett,
    differences,
    log_linear,
    mean_squares,
    ratio_of_one,
    thirds,
    typical_ratio,
)
from lmmkit.model.report_tables import about_checks

HELD = SizeRules(table=0)


def table(seed=5, groups=24, rows=10):
    rng = np.random.default_rng(seed)
    n = groups * rows
    g = np.repeat(np.arange(groups), rows)
    data = pd.DataFrame({"g": g, "x": rng.normal(size=n), "w": rng.uniform(0.5, 2.0, n)})
    data["h"] = np.where(np.arange(n) % 2 == 0, "a", "b")
    return data.assign(y=8 + data["x"] + rng.normal(size=groups)[g] + rng.normal(size=n))


def row_of(found, check, of=None):
    own = found.table[found.table["check"] == check]
    return (own if of is None else own[own["of"] == of]).iloc[0]


@cache
def sets_of(formula, rules=HELD, **more):
    fit = lmmkit.lmm(formula, table(groups=12, rows=5), **more)
    return fit, next(replicate_data(fit.estimates, seed=1, count=40, rules=rules))


@pytest.mark.parametrize("weights", [None, "w"])
def test_studentised_residuals_are_those_of_dense_algebra(weights):
    data = table()
    fit = lmmkit.lmm("y ~ x + (x | g)", data, weights=weights)
    e, n = fit.estimates, len(data)
    Z = np.zeros((n, 48))
    Z[np.arange(n), 2 * data["g"]], Z[np.arange(n), 2 * data["g"] + 1] = 1.0, data["x"]
    w = data["w"].to_numpy() if weights else np.ones(n)
    V = fit.sigma**2 * np.diag(1 / w) + Z @ np.kron(np.eye(24), e.covariance(0)) @ Z.T
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ e.X @ np.linalg.solve(e.X.T @ inverse @ e.X, e.X.T @ inverse)
    t, df = (P @ data["y"].to_numpy()) / np.sqrt(np.diag(P)), n - e.X.shape[1]
    sets = next(replicate_data(e, seed=1, count=8))
    np.testing.assert_allclose(studentised(sets)[0], t * np.sqrt((df - 1) / (df - t**2)), rtol=1e-9)
    np.testing.assert_allclose(marginal_sd(e), np.sqrt(np.diag(V)), rtol=1e-12)


@pytest.mark.parametrize(
    ("formula", "more"),
    [
        ("y ~ x + (x | g)", {}),
        ("y ~ x + (1 | g) + (1 | h)", {"weights": "w"}),
        ("y ~ x + (1 | g)", {"residual": "ident(h)"}),
        ("y ~ h", {"residual": "ar1(1 | g)"}),
    ],
)
def test_held_columns_are_fits_at_the_fitted_variances(formula, more):
    fit, sets = sets_of(formula, **more)
    e = fit.estimates
    np.testing.assert_allclose(sets.beta[:, 0], e.beta, rtol=1e-9)
    np.testing.assert_allclose(sets.fitted[:, 0], e.fitted, rtol=1e-9)
    np.testing.assert_allclose(sets.normalised[:, 0], fit.residuals("normalised"), atol=1e-9)
    assert sets.sigma[0] == pytest.approx(fit.sigma, rel=1e-9)
    for b, own in zip(sets.b, e.b, strict=True):
        np.testing.assert_allclose(b[:, :, 0], own, atol=1e-9)
    shift = sets.response[:, [0]] - sets.response[:, [3]]  # a linear map: columns add up
    both = next(iter_of(fit, sets.response[:, 3] + shift[:, 0]))
    np.testing.assert_allclose(both, sets.beta[:, 0], rtol=1e-8)


def iter_of(fit, y):
    from lmmkit.engine.replicates.predictions import OneVariance

    e = fit.estimates
    yield OneVariance(e.problem, e.factors, e.rho, reml=e.reml).predictions(y[:, None]).beta[:, 0]


def test_refitted_columns_are_fits_of_their_own():
    fit, sets = sets_of("y ~ x + (x | g)", rules=SizeRules())
    assert sets.how == "refitted"
    for column in (0, 2, 17):
        again = fit.refit(sets.response[:, column])
        np.testing.assert_allclose(sets.beta[:, column], again.params, rtol=1e-6)
        np.testing.assert_allclose(sets.b[0][:, :, column], again.estimates.b[0], atol=1e-5)
        np.testing.assert_allclose(sets.residual[:, column], again.resid, atol=1e-5)


def test_chunks_give_what_one_array_gives():
    fit = lmmkit.lmm("y ~ x + (1 | g)", table(groups=12, rows=5))
    whole = lmmkit.diagnose(fit, replicates=99)
    parts = lmmkit.diagnose(fit, replicates=99, rules=SizeRules(cells=60 * 30))
    judged = ["check", "of", "p", "adjusted", "verdict"]
    pd.testing.assert_frame_equal(whole.table[judged], parts.table[judged])
    pd.testing.assert_frame_equal(whole.curves, parts.curves)


def test_statistics_are_those_of_their_definitions():
    rng = np.random.default_rng(2)
    z = rng.normal(size=(50, 1, 3))
    lean, tails = moments(z[:, 0])
    signed, excess, statistic = mardia(z)
    assert (signed, excess) == (pytest.approx(lean[0]), pytest.approx(tails[0]))
    np.testing.assert_allclose(statistic, 50 * (lean**2 / 6 + tails**2 / 24), rtol=1e-9)
    pair = rng.normal(size=(40, 2, 1))
    off = pair[:, :, 0] - pair[:, :, 0].mean(axis=0)
    D = off @ np.linalg.solve(off.T @ off / 40, off.T)
    expected = 40 * (D**3).mean() / 6 + 40 * ((np.diag(D) ** 2).mean() - 8) ** 2 / 64
    assert mardia(pair)[2][0] == pytest.approx(expected, rel=1e-9)
    from scipy.stats import kstest

    values = rng.normal(size=(30, 1))
    assert anderson_darling(values)[1] == pytest.approx(kstest(values[:, 0], "norm").statistic)
    codes = np.repeat([0, 1, 2], 10)
    s2 = np.array([(values[codes == k, 0] ** 2).mean() for k in range(3)])
    expected = 30 * np.log((values[:, 0] ** 2).mean()) - 10 * np.log(s2).sum()
    squares = mean_squares(values**2, codes)
    assert bartlett(squares, np.full(3, 10.0))[0] == pytest.approx(expected)


def test_one_level_of_another_variance_counts_as_much_as_many():
    rng = np.random.default_rng(6)
    squares = rng.chisquare(9, size=(30, 400)) / 9
    squares[7, 0] = 6.0
    statistic, farthest = differences(squares, np.full(30, 9.0))
    overall = bartlett(squares, np.full(30, 9.0))
    assert (farthest, own_p(statistic)) == (7, 1 / 400)
    assert own_p(overall) > own_p(statistic)
    assert 0.02 <= np.mean(statistic > -np.log(0.05)) <= 0.12  # the least of two p values
    sds, n = np.r_[np.ones(29), 3.0], np.full(30, 10)
    assert ratio_of_one(sds, n, 29) == pytest.approx(3.0 * np.exp(-2 * np.sqrt(0.05)))
    assert ratio_of_one(np.ones(30), n, 4) == 1.0


def test_a_log_linear_variance_is_the_likelihood_ratio_of_its_best_slope():
    from scipy.optimize import minimize_scalar

    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 1))
    squares = rng.normal(size=(80, 2)) ** 2 * np.exp(0.8 * x)
    statistic, slope = log_linear(3.0 + 5.0 * x, squares)
    d = (x[:, 0] - x.mean()) / x.std()
    best = minimize_scalar(lambda g: 80 * np.log(np.mean(squares[:, 0] * np.exp(-g * d))), (0, 1))
    assert slope == pytest.approx(best.x, abs=1e-5)
    assert statistic[0] == pytest.approx(80 * np.log(squares[:, 0].mean()) - best.fun, rel=1e-8)
    assert log_linear(-x, squares)[1] == pytest.approx(-slope)


def test_quantile_curves_go_there_and_back_and_are_about_normal():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(200, 400))
    values[:, 0] = rng.standard_t(2, size=200)
    _, curves, back, own = quantile_curves(values)
    scaled = np.sort(values[:, 1] / np.sqrt((values[:, 1] ** 2).mean()))
    assert np.isin(np.round(back(curves[:, 1]), 8), np.round(scaled, 8)).all()
    assert np.abs(own).max() == pytest.approx(
        np.abs(values[:, 0]).max() / np.sqrt((values[:, 0] ** 2).mean())
    )
    sds = curves[:, 1:].std(axis=1)
    assert sds[[0, -1]] == pytest.approx([1.0, 1.0], abs=0.25)  # ends as likely to leave as the middle


def test_a_size_of_variances_is_beyond_chance():
    sds = np.array([1.0, 2.0])
    assert typical_ratio(sds, np.array([10_000, 10_000])) == pytest.approx(2.0, rel=1e-3)
    noise = np.sqrt(np.random.default_rng(0).chisquare(8, 400) / 8)
    assert typical_ratio(noise, np.full(400, 8)) < 1.15
    assert thirds(np.array([1.0, 2, 3, 4, 5, 6]), np.array([1.0, 1, 9, 9, 16, 16])) == (1.0, 4.0)


@pytest.mark.parametrize(
    ("p", "matters", "verdict"),
    [(0.2, True, "fine"), (0.03, True, "look"), (0.004, False, "look"), (0.004, True, "trouble"),
     (np.nan, True, "not checked")],
)  # fmt: skip
def test_verdicts(p, matters, verdict):
    assert verdict_of(p, matters=matters) == verdict


def with_fault(kind):
    data, rng = table(seed=8), np.random.default_rng(9)
    if kind == "row":
        data.loc[57, "y"] += 7
    if kind == "group":
        data.loc[data["g"] == 7, "y"] += 9
    if kind == "levels":
        data["y"] += np.where(data["h"] == "a", 3 * rng.normal(size=240), 0)
    if kind == "number":
        data["y"] += np.exp(data["x"]) * rng.normal(size=240)
    if kind == "tails":
        data["y"] += 2 * rng.standard_t(2, size=240)
    if kind == "effects":
        data["y"] += 3 * rng.exponential(size=24)[data["g"]] ** 1.5
    return data


@pytest.mark.parametrize(
    ("kind", "check", "of", "words"),
    [
        ("row", "outlying rows", "residuals", "Row 57 (g 5) at "),
        ("group", "outlying groups", "g", "g 7 stands apart in its intercept: "),
        ("levels", "variance between groups", "h", "differs between the levels of h, from "),
        ("number", "variance along a predictor", "x", "The residual variance rises with x: "),
        ("tails", "normal residuals", "residuals", "have heavier tails"),
        ("effects", "normal random effects", "g", "The random effects of g are not normal: "),
    ],
)
def test_a_planted_fault_is_found_where_it_is(kind, check, of, words):
    found = lmmkit.diagnose(lmmkit.lmm("y ~ x + h + (1 | g)", with_fault(kind)), replicates=199)
    own = row_of(found, check, of)
    assert own["verdict"] in ("look", "trouble")
    assert words in own["found"]
    assert own["remedy"]


@pytest.mark.parametrize("kind", ["levels", "number"])
def test_the_structure_that_is_advised_takes_the_fault_away(kind):
    data = with_fault(kind)
    check, of = ("variance between groups", "h") if kind == "levels" else ("variance along a predictor", "x")
    found = lmmkit.diagnose(lmmkit.lmm("y ~ x + h + (1 | g)", data), replicates=99)
    advised = re.search(r"residual='([^']+)'", row_of(found, check, of)["remedy"])
    again = lmmkit.diagnose(lmmkit.lmm("y ~ x + h + (1 | g)", data, residual=advised[1]), replicates=99)
    assert row_of(again, check, of)["verdict"] == "fine"


def test_a_diagnosis_prints_and_is_plain_values():
    found = lmmkit.diagnose(
        lmmkit.lmm("y ~ x + (1 | g)", with_fault("row")), replicates=99, names=range(1, 241)
    )
    assert str(found).startswith("Checks of the assumptions\n  verdict ")
    assert "99 data sets simulated from the fit (the model refitted to each)" in str(found)
    assert "Row 58 (g 5) at " in found._repr_html_()
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["replicates"] == 99
    assert len(plain["sentences"]) == len(plain["table"]) == len(found.table)
    assert found.rows["row"].iloc[0] == 58


def test_few_levels_cannot_tell_and_say_what_they_could():
    found = lmmkit.diagnose(lmmkit.lmm("y ~ x + (1 | g)", table(seed=3, groups=8)), replicates=99)
    own = row_of(found, "normal random effects", "g")
    assert own["verdict"] == "not checked"
    assert "with 8 levels, effects as skewed as an exponential distribution would be seen in " in own["found"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"replicates": 0}, "the number of data sets is a whole number from 1 up"),
        ({"seed": -1}, "a whole number from 0 up"),
        ({"names": ["a"]}, "names: 240 are expected, one for each row of the table, not 1."),
    ],
)
def test_what_cannot_be_asked_is_said(more, words):
    with pytest.raises(FitError, match=re.escape(words)):
        lmmkit.diagnose(lmmkit.lmm("y ~ x + (1 | g)", table()), **more)


def test_quantile_residuals_are_ranks_among_the_replicates():
    fit = lmmkit.lmm("y ~ x + (1 | g)", with_fault("group"))
    found = lmmkit.diagnose(fit, replicates=99, names=range(1, 241)).quantile_residuals
    assert found["row"].tolist() == list(range(1, 241))
    inside = found[["unconditional", "conditional"]].to_numpy()
    assert 0 < inside.min() < inside.max() < 1
    own = found.iloc[70:80]  # of the group that stands apart: high, though not about its own level
    assert own["unconditional"].min() > 0.9
    assert 0.2 < own["conditional"].mean() < 0.8


def test_curves_are_drawn_with_axes_that_say_what_they_are():
    fit = lmmkit.lmm("y ~ x + (x | g)", with_fault("tails"))
    found = lmmkit.diagnose(fit, replicates=99, rules=HELD)
    made = about_checks.curves(found)
    assert made["panel"].unique().tolist() == [
        "Residuals", "Linearity: x", "Linearity: fitted values", "g: Intercept", "g: x",
    ]  # fmt: skip
    worm = made[made["panel"] == "Residuals"]
    assert (worm["low"] < 0).all()
    assert (worm["high"] > 0).all()
    quantiles = about_checks.quantiles(found, fit)
    out = (quantiles["residual"] < quantiles["low"]) | (quantiles["residual"] > quantiles["high"])
    assert about_checks.drawn(quantiles, rows=240, drawn=240)["outside"] == out.sum() > 0


def trended(seed=4):
    """Rows in time of a table whose response follows the time."""
    rng = np.random.default_rng(seed)
    g, day = np.repeat(np.arange(20), 8), np.tile(np.arange(8), 20)
    weight = 30 + 2.0 * day + rng.normal(size=20)[g] + rng.normal(size=160)
    return pd.DataFrame({"weight": weight, "day": day, "g": g, "x": rng.normal(size=160), "s": g % 2})


@pytest.mark.parametrize(
    ("formula", "residual", "remedy"),
    [
        (
            "weight ~ x + (1 | g)",
            None,
            "put `day` in the fixed part where it may act on the mean; else residual='ar1(day | g)'",
        ),
        ("weight ~ x + (1 | g)", "ident(s)", "residual='ident(s) * ar1(day | g)'"),
    ],
)
def test_serial_correlation_of_a_trend_left_out(formula, residual, remedy):
    found = lmmkit.diagnose(lmmkit.lmm(formula, trended(), residual=residual), replicates=199)
    own = row_of(found, "serial correlation", "day in g")
    assert remedy in own["remedy"]
    assert " adds most to the difference" in own["found"]


def test_one_row_far_out_is_no_reason_to_transform_the_response():
    data = with_fault("none")
    data["y"] += 20
    data.loc[57, "y"] += 8
    found = lmmkit.diagnose(lmmkit.lmm("y ~ x + (1 | g)", data), replicates=199)
    own = row_of(found, "normal residuals", "residuals")
    assert own["remedy"].startswith("look at the outlying rows")
    data = with_fault("none").assign(
        y=lambda d: d["x"] + np.random.default_rng(4).exponential(3, size=240) + 5
    )
    found = lmmkit.diagnose(lmmkit.lmm("y ~ x + (1 | g)", data), replicates=199)
    own = row_of(found, "normal residuals", "residuals")
    assert own["remedy"].startswith("`log(y)` or `sqrt(y)` as the response")


@pytest.mark.parametrize(
    ("other", "departs", "advice"),
    [("normal residuals", True, "see others"), ("normal residuals", False, "by itself"),
     ("linearity", True, "by itself")],
)  # fmt: skip
def test_advice_points_to_other_checks_where_one_of_these_is_notable(other, departs, advice):
    _, sets = sets_of("y ~ x + (1 | g)")
    far, near = (np.r_[first, np.linspace(0, 1, 400)] for first in (9.0, 0.5))
    said = Sentence("said")
    checks = [
        CheckResult("quantile residuals", "rows", said, said, far, remedy="see others", alone="by itself"),
        CheckResult(other, "rows", said, said, far if departs else near, remedy="other"),
    ]
    found = _judged(checks, [[one.statistic[None]] for one in checks], sets, 1)
    assert found.table["remedy"].tolist() == [advice, "other" if departs else ""]


FAR, NEAR = (np.r_[first, np.arange(39.0) / 39] for first in (9.0, 0.5))  # p = 1/40, and about a half
UNCLEAR = {"unclear": Sentence("Who knows.")}


def checked(**more):
    """A check with a word for each of its parts."""
    given = {"statistic": NEAR, "size": 2.0, "where": "w", "remedy": "r", "method": "m"} | more
    return CheckResult("c", "o", Sentence("Fine."), Sentence("Notable."), **given)


@pytest.mark.parametrize(
    ("more", "values", "adjusted", "verdict", "found"),
    [
        ({}, NEAR, 0.6, "fine", "Fine."),
        ({}, FAR, 0.2, "fine", "Fine; by itself p = 0.025, adjusted for all checks p = 0.200."),
        ({}, FAR, 0.03, "look", "Notable; p = 0.030, adjusted for all checks."),
        ({}, FAR, 0.004, "trouble", "Notable; p = 0.004, adjusted for all checks."),
        ({"matters": False}, FAR, 0.004, "look", "Notable; p = 0.004, adjusted for all checks."),
        (UNCLEAR, NEAR, 0.6, "not checked", "Who knows."),
        (UNCLEAR, FAR, 0.2, "fine",
         "Fine; by itself p = 0.025, adjusted for all checks p = 0.200."),
        (UNCLEAR, FAR, 0.03, "look", "Notable; p = 0.030, adjusted for all checks."),
        ({"verdict": "look"}, np.empty(0), np.nan, "look", "Notable."),
        ({"verdict": "fine"}, np.empty(0), np.nan, "fine", "Fine."),
        ({}, np.r_[np.nan, FAR[1:]], np.nan, "not checked", "Notable."),
    ],
)  # fmt: skip
def test_a_row_of_the_table_has_its_verdict_its_sentence_and_advice_where_it_is_notable(
    more, values, adjusted, verdict, found
):
    line, sentence = _row(checked(**more), values, adjusted)
    advised = "r" if verdict in ("look", "trouble") else ""
    assert (line["verdict"], line["found"], str(sentence), line["remedy"]) == (verdict, found, found, advised)
    told = [line[name] for name in ("check", "of", "where", "method", "size")]
    assert told == ["c", "o", "w", "m", 2.0]
    known = len(values) > 0 and np.isfinite(values[0])
    numbers = [values[0], own_p(values)] if known else [np.nan, np.nan]
    assert [line["statistic"], line["p"]] == pytest.approx(numbers, nan_ok=True)


def test_a_check_that_was_not_made_says_why_and_what_would_make_it_possible():
    one = Unchecked("c", "o", Sentence("too dark"), Sentence("The colour"), "switch on the light")
    line, sentence = _row(one, np.empty(0), np.nan)
    assert line == {
        "check": "c", "of": "o", "found": "The colour was not checked: too dark.", "where": "",
        "verdict": "not checked", "remedy": "switch on the light", "method": "",
    }  # fmt: skip
    assert str(sentence) == line["found"]


def test_curves_have_their_envelopes_and_only_what_has_a_number_is_adjusted():
    _, sets = sets_of("y ~ x + (1 | g)")
    rng = np.random.default_rng(1)
    curve, picture = rng.normal(size=(3, 200)), rng.normal(size=(2, 200))
    curve[1, 0] = 9.0
    x = np.arange(3.0)
    checks = [
        checked(statistic=curve, curve=x, back=lambda z: 10.0 * z, shown=x + 0.5,
                pictures=(Curves("P", np.array([4.0, 5.0]), picture),)),
        checked(statistic=np.r_[np.nan, rng.normal(size=199)]),
        Unchecked("c", "o", Sentence("why"), Sentence("what")),
        checked(statistic=np.empty(0), verdict="fine"),
    ]  # fmt: skip
    parts = [[curve, picture], [checks[1].statistic[None]], [], [np.empty((1, 0))]]
    found = _judged(checks, parts, sets, 1)
    assert list(found.table) == [
        "check", "of", "found", "where", "statistic", "size", "p", "adjusted", "verdict", "remedy", "method",
    ]  # fmt: skip
    assert found.table["adjusted"].isna().tolist() == [False, True, True, True]
    assert found.table["adjusted"].iloc[0] == own_p(band(curve).statistic) == 1 / 200
    drawn = found.curves
    assert list(drawn) == ["check", "of", "x", "value", "low", "high", "middle"]
    assert drawn["of"].tolist() == ["o"] * 3 + ["P"] * 2
    assert drawn["x"].tolist() == [0.0, 1.0, 2.0, 4.0, 5.0]
    np.testing.assert_allclose(drawn["value"], [0.5, 1.5, 2.5, *picture[:, 0]])
    for name in ("low", "high", "middle"):
        np.testing.assert_allclose(drawn[name].iloc[:3], 10.0 * getattr(band(curve), name))
        np.testing.assert_allclose(drawn[name].iloc[3:], getattr(band(picture), name))
    assert _judged(checks[2:3], [[]], sets, 1).curves.empty


def test_a_diagnosis_prints_what_is_worst_first_with_what_to_do():
    rows = [
        ("fine", 0.5, 0.9, ""), ("look", 0.01, 0.04, "r1"), ("not checked", np.nan, np.nan, "r2"),
        ("trouble", 0.001, 0.005, "r3"),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["verdict", "p", "adjusted", "remedy"])
    table = table.assign(check="c", of="o", found=[f"F{i}." for i in range(4)])
    none = pd.DataFrame()
    found = Diagnosis(table, (), none, none, none, "studentised", 99, "held", 1)
    lines = str(found).splitlines()
    assert [line.split() for line in lines[1:6]] == [
        ["verdict", "check", "of", "p", "adjusted", "found"],
        ["trouble", "c", "o", "0.001", "0.005", "F3.", "To", "do:", "r3."],
        ["look", "c", "o", "0.010", "0.040", "F1.", "To", "do:", "r1."],
        ["fine", "c", "o", "0.500", "0.900", "F0."],
        ["not", "checked", "c", "o", "F2.", "To", "do:", "r2."],
    ]
    assert "99 data sets simulated from the fit (at the fitted variances, without refits)" in found.method
    assert found.told() == {
        "sentences": [], "judged_by": "studentised", "replicates": 99, "how": "held", "seed": 1,
    }  # fmt: skip
    assert list(found.to_dict()) == ["table", *found.told()]


@pytest.mark.parametrize(("rows", "count"), [(60, 9), (59, 5)])
def test_fewer_data_sets_are_made_of_a_larger_table(rows, count):
    fit = lmmkit.lmm("y ~ x + (1 | g)", table(groups=12, rows=5))
    rules = SizeRules(many=9, few=5, rows=rows, table=0)
    assert next(replicate_data(fit.estimates, seed=1, rules=rules)).count == count


def test_replicates_are_refitted_up_to_a_size_of_the_table_and_where_variances_are_estimated():
    frame = table(groups=12, rows=5)
    fit = lmmkit.lmm("y ~ x + (1 | g)", frame)
    setup = set_up(fit.estimates.problem, reml=True)
    size = table_size(setup.layout, setup.criterion.p)
    held = lmmkit.lmm("y ~ x + (1 | g)", frame, variances={"g": 1.0, "Residual": 2.0})
    for one, most, how in ((fit, size, "refitted"), (fit, size - 1, "held"), (held, size, "held")):
        sets = next(replicate_data(one.estimates, seed=1, count=9, rules=SizeRules(table=most)))
        assert sets.how == how
    np.testing.assert_allclose(sets.sigma, np.sqrt(2.0))  # given, not estimated from each


def test_the_marginal_sd_counts_every_membership_of_a_row():
    frame = table(groups=12, rows=5).assign(k=lambda d: (d["g"] + 1 + d.index % 3) % 12)
    fit = lmmkit.lmm("y ~ x + (1 | mm(g, k))", frame, weights="w")
    intercept = fit.sigma**2 * fit.theta.iloc[0] ** 2
    known = np.sqrt(fit.sigma**2 / frame["w"] + intercept * (0.25 + 0.25))
    np.testing.assert_allclose(marginal_sd(fit.estimates), known)


def test_roots_of_levels_are_those_of_their_second_moments():
    scores = np.random.default_rng(2).normal(size=(2, 2, 30)) * np.array([[[1.0], [4.0]], [[0.0], [0.0]]])
    root = level_roots(scores)
    np.testing.assert_allclose(root[0] @ root[0].T, scores[0] @ scores[0].T / 30, rtol=1e-6)
    np.testing.assert_array_equal(root[0], np.tril(root[0]))
    assert (np.diag(root[1]) > 0).all()  # a level without rows
