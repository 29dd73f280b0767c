"""Tipping points and reference-based estimates: what they say, and what they refuse in words."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit import DataError, Fit, FitError, lmm, reference_based, tipping_point
from lmmkit.engine.imputation.pooling import Pooled
from lmmkit.model.missing_data.about_missing import arm_columns, dropout, refuse, visit_columns
from lmmkit.model.missing_data.sensitivity import Sensitivity, left_by_arm, sensitivity, told_apart
from lmmkit.model.missing_data.tipping_point import _found

RUBIN, JACKKNIFE = "multiple imputation, Rubin", "conditional mean, jackknife"
EFFECT = "arm[T.b]:visit[v2]"


def trial(n: int = 24) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    arm, first = np.repeat(["a", "b"], n // 2), rng.normal(10.0, 2.0, n)
    second = 4.0 + 0.6 * first - 3.0 * (arm == "b") + rng.normal(0.0, 1.5, n)
    second[[1, 4, n // 2, n // 2 + 3, n - 1]] = np.nan
    first[2] = np.nan
    wide = pd.DataFrame({"id": range(n), "arm": arm, "v1": first, "v2": second})
    return wide.melt(["id", "arm"], ["v1", "v2"], "visit", "y")


@cache
def visits() -> Fit:
    return lmm("y ~ visit + arm:visit", trial(), residual="un(visit | id)")


def grouped() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"g": np.repeat(list("abcdef"), 4), "x": np.tile([0.0, 1, 2, 3], 6)})
    frame["y"] = 1.0 + 0.8 * frame["x"] + np.repeat(rng.normal(0, 1, 6), 4) + rng.normal(0, 0.7, 24)
    return frame.assign(y=frame["y"].where(~frame.index.isin([3, 11, 19])))


@cache
def tipped() -> lmmkit.TippingPoint:
    return tipping_point(visits(), EFFECT, arm="arm", shifted="b", imputations=8, seed=2)


def test_at_the_tipping_point_p_is_one_less_the_level() -> None:
    found = tipped()
    for row in found.table.to_dict("records"):
        at = found.curve[(found.curve["method"] == row["method"]) & (found.curve["delta"] == row["tip"])]
        assert at["p"].iloc[0] == pytest.approx(0.05, rel=1e-3)
        assert row["turns"]
        assert row["tip"] == row["above"] > 0
    assert found.facts["shifted"] == 3
    assert "3 imputed responses of b after the last visit" in str(found)


def test_the_tipping_point_goes_with_the_unit_of_the_response() -> None:
    frame = trial()
    other = lmm("y ~ visit + arm:visit", frame.assign(y=100.0 + 10.0 * frame["y"]), residual="un(visit | id)")
    found = tipping_point(other, EFFECT, arm="arm", shifted="b", imputations=8, seed=2)
    np.testing.assert_allclose(found.table["tip"], 10.0 * tipped().table["tip"], rtol=1e-4)
    np.testing.assert_allclose(found.table["tip_sds"], tipped().table["tip_sds"], rtol=1e-4)


def test_conditional_means_shift_the_estimate_along_a_line() -> None:
    fit, frame = lmm("y ~ x + (1 | g)", grouped()), grouped()
    basis = sensitivity(fit, "x", imputations=2, seed=1)
    shift = basis.rows.missing.astype(float)
    whole, without = basis.means.shifted(shift)

    def line(of: Fit, rows: np.ndarray) -> list[float]:
        """Estimate, and its change by generalised least squares on all rows, V of the fit."""
        g, X = frame["g"].to_numpy()[rows], np.column_stack([np.ones(rows.sum()), frame["x"][rows]])
        V = np.eye(rows.sum()) + of.theta.iloc[0] ** 2 * (g[:, None] == g)
        P = np.linalg.solve(V, X)
        return [of.params["x"], np.linalg.solve(X.T @ P, P.T @ shift[rows])[1]]

    np.testing.assert_allclose(whole, line(fit, np.ones(24, bool)), rtol=0, atol=1e-9)
    for number, group in enumerate("abcdef"):
        rows = (frame["g"] != group).to_numpy()
        np.testing.assert_allclose(
            without[number], line(lmm("y ~ x + (1 | g)", frame[rows]), rows), rtol=0, atol=1e-6
        )


def test_a_saved_fit_gives_the_same(tmp_path) -> None:
    lmmkit.load(visits().save(tmp_path / "fit"))
    again = tipping_point(
        lmmkit.load(tmp_path / "fit"), EFFECT, arm="arm", shifted="b", imputations=8, seed=2
    )
    pd.testing.assert_frame_equal(again.table, tipped().table, rtol=1e-7)


def test_gaps_are_shifted_where_asked_and_random_effects_know_no_visits() -> None:
    found = tipping_point(visits(), EFFECT, gaps=True, imputations=2, seed=2)
    assert found.facts["shifted"] == 6
    crossed = grouped().assign(h=np.tile(list("pqrs"), 6))
    other = tipping_point(lmm("y ~ x + (1 | g) + (1 | h)", crossed), "x", imputations=2, seed=2)
    assert other.facts["shifted"] == 3
    assert other.table["method"].tolist() == [RUBIN]
    assert "No conditional means with the jackknife: the grouping factors are crossed" in str(other)


def test_reference_based_lines_begin_with_the_likelihood_and_say_what_they_are() -> None:
    found = reference_based(visits(), EFFECT, arm="arm", reference="a", imputations=8, seed=2)
    table = found.table.set_index(["assumption", "method"])
    likelihood = visits().contrast(EFFECT).iloc[0]
    first = table.loc[("missing at random", "likelihood")]
    np.testing.assert_allclose(
        first[["estimate", "se", "df"]].astype(float), likelihood[["estimate", "se", "df"]]
    )
    at_random = table.loc[("missing at random", JACKKNIFE), "estimate"]
    assert at_random == pytest.approx(likelihood["estimate"], abs=1e-10)
    jump = table.loc["jump to reference"]
    assert abs(jump.loc[JACKKNIFE, "estimate"]) < abs(likelihood["estimate"])
    assert jump.loc[JACKKNIFE, "se"] < jump.loc[RUBIN, "se"]
    assert len(found.table) == 9
    for words in (
        "information-anchored",
        "one covariance matrix for all arms, as in the model",
        "plus noise",
    ):
        assert words in str(found)
        assert words in found._repr_html_()
    assert found.facts["left_by_arm"] == {"a": 2, "b": 3}
    by_arm = reference_based(
        visits(), EFFECT, arm="arm", reference="a", imputations=2, seed=2, covariance="by-arm",
        assumptions=["copy-reference"],
    )  # fmt: skip
    assert "the model fitted again with un(visit | id, by=arm)" in by_arm.facts["covariance"]


def test_who_left_when_is_counted_by_arm() -> None:
    table = dropout(sensitivity(visits(), EFFECT, imputations=2, seed=1), "arm")
    assert table["pattern"].tolist() == ["v1, v2", "v1", "v2"]
    assert visit_columns(table) == ["visit v1", "visit v2"]
    assert table[arm_columns(table)].to_numpy().tolist() == [[9, 9], [2, 3], [1, 0]]
    assert table["visit v2"].tolist() == [0, 1, 0]


def numbered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(dose=np.arange(len(frame), dtype=float))


def stayed() -> pd.DataFrame:
    """Nobody has left: the first visit alone lacks a response."""
    frame = trial()
    return frame.assign(y=frame["y"].where(frame["visit"] == "v1", 5.0 + frame["y"].fillna(1.0)))


def lacking(row: int) -> pd.DataFrame:
    """A predictor is missing in one row."""
    return grouped().assign(x=lambda d: d["x"].where(d.index != row))


def whole() -> Fit:
    return lmm("y ~ visit + arm:visit", stayed(), residual="cs(visit | id)")


def held() -> Fit:
    return lmm("y ~ x + (1 | g)", grouped(), variances={"g": 1.0, "Residual": 1.0})


def high() -> pd.DataFrame:
    """Responses far from zero."""
    return grouped().assign(y=lambda d: d["y"] + 20.0, h=[*"pq"] * 12)


def alone() -> Fit:
    """A dose that all rows share."""
    return lmm("y ~ visit + dose", trial().assign(dose=2.0), residual="cs(visit | id)")


def dosed() -> Fit:
    """A covariate that changes from visit to visit, and rows that are not there."""
    return lmm("y ~ visit + arm:visit + dose", numbered(trial()).dropna(), residual="cs(visit | id)")


REFUSED = {
    "nothing missing": (
        lambda: tipping_point(lmm("y ~ x + (1 | g)", grouped().dropna()), "x", seed=1),
        DataError, "No response is missing: every row of the table has its `y`",
    ),
    "a predictor": (
        lambda: tipping_point(lmm("y ~ x + (1 | g)", lacking(5)), "x", seed=1),
        DataError, "Predictors are missing: `x` in 1 row(s), first in row 6",
    ),
    "a predictor of an absent visit": (
        lambda: tipping_point(dosed(), "dose", seed=1),
        DataError, "what `dose` would be there is not known",
    ),
    "no visits": (
        lambda: reference_based(lmm("y ~ x + (1 | g)", grouped()), "x", arm="x", reference=0, seed=1),
        FitError, "needs a model of repeated visits",
    ),
    "no reference": (
        lambda: reference_based(visits(), EFFECT, arm="arm", reference=None, seed=1),
        FitError, "needs a reference: a level of the arm's column",
    ),
    "another level": (
        lambda: reference_based(visits(), EFFECT, arm="arm", reference="c", seed=1),
        FitError, "the reference arm is one of the levels of `arm`",
    ),
    "an arm outside the model": (
        lambda: reference_based(visits(), EFFECT, arm="id", reference="a", seed=1),
        FitError, "arm='id': the arm is a column of the fixed part of the model",
    ),
    "an arm that changes": (
        lambda: reference_based(visits(), EFFECT, arm="visit", reference="v1", seed=1),
        DataError, "id 0 is in two arms",
    ),
    "an assumption": (
        lambda: reference_based(visits(), EFFECT, arm="arm", reference="a", assumptions=["jump"], seed=1),
        FitError, "assumptions='jump' is not known. Choose one of: 'jump-to-reference'",
    ),
    "levels without an arm": (
        lambda: tipping_point(visits(), EFFECT, shifted="b", seed=1),
        FitError, "shifted names levels of an arm",
    ),
    "a level to shift": (
        lambda: tipping_point(visits(), EFFECT, arm="arm", shifted="c", seed=1),
        FitError, "shifted='c': `arm` has no such level; they are a, b",
    ),
    "one imputation": (
        lambda: tipping_point(visits(), EFFECT, imputations=1, seed=1),
        FitError, "between fewer than two there is no variance",
    ),
    "two estimands": (
        lambda: tipping_point(visits(), [EFFECT, "visit[T.v2]"], seed=1),
        FitError, "is 2 of them",
    ),
    "given variances": (
        lambda: tipping_point(held(), "x", seed=1),
        FitError, "Imputation is about variances that are estimated",
    ),
    "another table": (
        lambda: tipping_point(visits(), EFFECT, data=trial().head(40), seed=1),
        DataError, "are not the 42 rows of the fit",
    ),
    "no dropout": (
        lambda: tipping_point(whole(), EFFECT, seed=1),
        DataError, "no subject has left before the last visit; gaps=True shifts those before it too",
    ),
    "no dropout of an arm": (
        lambda: tipping_point(whole(), EFFECT, arm="arm", shifted=["b", "a"], seed=1),
        DataError, "No imputed response of b, a can be shifted: no subject has left before the last visit;",
    ),
    "no gap of an arm": (
        lambda: tipping_point(whole(), EFFECT, arm="arm", shifted="b", gaps=True, seed=1),
        DataError, "No imputed response of b can be shifted: no response is missing.",
    ),
    "a value of its own": (
        lambda: tipping_point(visits(), f"{EFFECT} = 1", seed=1),
        FitError, "is 1 of them with a value of its own.",
    ),
    "a level of coverage": (
        lambda: tipping_point(visits(), EFFECT, level=1.5, seed=1), FitError, "level=1.5",
    ),
    "one arm": (
        lambda: tipping_point(alone(), "visit[T.v2]", arm="dose", shifted=2.0, seed=1),
        FitError, "arm='dose': all rows are of one arm, 2; two are expected",
    ),
    "variances along the fitted values": (
        lambda: tipping_point(lmm("y ~ x + (1 | g)", high(), residual="power(fitted)"), "x", seed=1),
        FitError, "the variance of a missing response would follow its own fitted value",
    ),
    "random effects beside visits": (
        lambda: reference_based(
            lmm("y ~ x + (1 | g)", high(), residual="ident(h)"), "x", arm="x", reference=0, seed=1
        ),
        FitError, "`y ~ 1 + x + (1 | g)` with residual ident(h) is none. Fit with residual='un(visit | id)'",
    ),
    "no fit": (lambda: tipping_point(trial(), EFFECT, seed=1), FitError, "A fit is expected"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_words(name) -> None:
    ask, error, words = REFUSED[name]
    with pytest.raises(error) as refused:
        ask()
    assert words in str(refused.value)


def test_a_study_is_refused_before_it_is_fitted() -> None:
    asked = SimpleNamespace(assumptions=["jump-to-reference"], arm="arm", reference="a", shifted=None)
    refuse(visits().design, asked)
    for change, words in (
        ({"arm": "amr"}, "missing_data.arm: `amr` is no column of the fixed part"),
        ({"reference": "z"}, "missing_data.reference: `arm` has no level z"),
        ({"shifted": ["b", "z"]}, "missing_data.shifted: `arm` has no level z"),
    ):
        with pytest.raises(FitError, match=words):
            refuse(visits().design, SimpleNamespace(**{**vars(asked), **change}))


@pytest.mark.parametrize(
    ("level", "df", "quantile"),
    [(0.95, 10.0, 2.228138852), (0.9, 10.0, 1.812461123), (0.9, np.inf, 1.644853627)],
)
def test_an_estimate_has_the_interval_of_its_level(level, df, quantile):
    told = Sensitivity.tested(SimpleNamespace(level=level), Pooled(3.0, 2.0, df, 1.0, 1.0, 0.0))
    assert (told["low"], told["high"]) == pytest.approx((3.0 - 2.0 * quantile, 3.0 + 2.0 * quantile))
    again = Sensitivity.tested(SimpleNamespace(level=level), Pooled(2.0 * quantile, 2.0, df, 1.0, 1.0, 0.0))
    assert (again["low"], again["p"]) == pytest.approx((0.0, 1.0 - level), abs=1e-8)


@pytest.mark.parametrize(
    ("below", "above", "nearest"),
    [(-3.0, 2.0, 2.0), (-2.0, 3.0, -2.0), (-3.0, 99.0, -3.0), (-99.0, 0.5, 0.5), (-99.0, 99.0, np.nan)],
)
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_tipping_point_is_the_nearer_of_two_and_small_within_half_a_deviation(
    below, above, nearest, level
):
    def tested(delta):
        p = 0.04 if below < delta < above else 0.9
        return {name: p if name == "p" else 1.0 for name in ("estimate", "se", "df", "t", "p", "low", "high")}

    facts = {"missing": 1, "rows": 4, "made": 0, "over_visits": False, "response": "y", "imputations": 2}
    basis = SimpleNamespace(
        level=level, rows=SimpleNamespace(sds=np.array([9.0, 2.0])), facts=facts | {"no_jackknife": "so"},
        drawn=lambda assumptions: dict.fromkeys(assumptions, np.zeros((2, 1))),
        analysis=SimpleNamespace(complete_df=lambda _: 10.0), means=SimpleNamespace(why_not=lambda: "so"),
        pooled=lambda Y, _: float(Y[1, 0]), tested=tested, likelihood={"estimate": 1.0},
    )  # fmt: skip
    found = _found(basis, np.array([False, True]), ["b"], gaps=False)
    row = found.table.iloc[0]
    assert row["tip"] == pytest.approx(nearest, abs=1e-4, nan_ok=True)
    assert row["tip_sds"] == pytest.approx(nearest / 2.0, abs=1e-4, nan_ok=True)
    assert (row["turns"], found.facts["small"]) == (not np.isnan(nearest), nearest == 0.5)
    assert (found.facts["clear"], found.facts["shifted"]) == (True, 1)


NUMBERS = ["estimate", "se", "df", "t", "p", "low", "high"]


def test_a_tipping_point_is_told_in_a_table_a_curve_and_facts() -> None:
    found = tipped()
    assert list(found.table) == ["method", *NUMBERS, "turns", "tip", "tip_sds", "below", "above"]
    assert list(found.curve) == ["method", "delta", *NUMBERS]
    assert list(found.to_dict()) == ["table", "curve", "facts", "notes"]
    for method, curve in found.curve.groupby("method"):
        row = found.table.set_index("method").loc[method]
        assert curve["delta"].is_monotonic_increasing
        at = curve.set_index("delta").loc[0.0]
        assert at[NUMBERS].tolist() == row[NUMBERS].tolist()
        assert row["tip_sds"] == pytest.approx(row["tip"] / found.facts["sd"])
    lines = str(found).splitlines()
    assert lines[0] == f"Tipping point of {EFFECT}"
    header = next(line for line in lines if line.split()[:1] == ["method"])
    assert header.split() == ["method", "estimate", "p", "tip", "tip_sds", "below", "above"]
    assert any(line.startswith("Shift at which the conclusion turns") for line in lines)
    expected = {
        "alpha": pytest.approx(0.05), "of": ["b"], "with_gaps": False, "clear": True,
        "reach": 4.0 * found.facts["sd"],
        "estimand": EFFECT, "response": "y", "rows": 48, "missing": 6, "made": 0, "over_visits": True,
        "imputations": 8, "df_method": "auto", "level": 0.95, "unit": "id", "no_jackknife": "",
        "subject": "id",
        "subjects": 24, "left": 5, "after_last": 5, "gaps": 1, "never": 0,
    }  # fmt: skip
    assert {name: found.facts[name] for name in expected} == expected
    assert found.facts["small"] == (abs(found.table["tip_sds"].iloc[0]) <= 0.5)


def test_multiple_imputation_has_its_parts_and_conditional_means_have_none() -> None:
    found = reference_based(
        visits(), EFFECT, arm="arm", reference="a", assumptions="jump-to-reference", imputations=4, seed=2
    )
    parts = ["within", "between", "lost", "monte_carlo"]
    assert list(found.table) == ["assumption", "method", *NUMBERS, *parts]
    assert found.table[["assumption", "method"]].to_numpy().tolist() == [
        ["missing at random", "likelihood"],
        ["missing at random", RUBIN], ["missing at random", JACKKNIFE],
        ["jump to reference", RUBIN], ["jump to reference", JACKKNIFE],
    ]  # fmt: skip
    told = found.table.set_index("method")[parts].notna()
    assert told.loc[RUBIN].all(axis=None)
    assert not told.drop(RUBIN).any(axis=None)
    rubin = found.table.iloc[1]
    assert rubin["se"] ** 2 == pytest.approx(rubin["within"] + 1.25 * rubin["between"])
    assert rubin["monte_carlo"] ** 2 == pytest.approx(rubin["between"] / 4)
    lines = str(found).splitlines()
    assert lines[0] == f"{EFFECT} under assumptions about missing responses"
    assert any(line.startswith("95 % intervals") for line in lines)
    header = next(line for line in lines if line.split()[:1] == ["assumption"])
    assert header.split() == ["assumption", "method", *NUMBERS]
    assert list(found.to_dict()) == ["table", "facts", "notes"]
    expected = {"arm": "arm", "reference": "a", "assumptions": ["jump to reference"]}
    assert {name: found.facts[name] for name in expected} == expected


def test_subjects_that_are_not_told_apart_are_counted_together() -> None:
    table = dropout(sensitivity(visits(), EFFECT, imputations=2, seed=1), None)
    assert list(table) == ["pattern", "visit v1", "visit v2", "subjects"]
    assert table["subjects"].tolist() == [18, 5, 1]
    ordered = trial().assign(arm=lambda d: pd.Categorical(d["arm"], ["b", "z", "a"]))
    fit = lmm("y ~ visit + arm:visit", ordered, residual="cs(visit | id)")
    of = sensitivity(fit, fit.params.index[0], imputations=2, seed=1)
    assert arm_columns(dropout(of, "arm")) == ["subjects, b", "subjects, a"]
    none = dropout(sensitivity(lmm("y ~ x + (1 | g)", grouped()), "x", imputations=2, seed=1), None)
    assert (len(none), list(none)) == (0, ["pattern"])
    empty = trial().assign(y=lambda d: d["y"].where(d["id"] != 5))
    fit = lmm("y ~ visit + arm:visit", empty, residual="cs(visit | id)")
    found = sensitivity(fit, EFFECT, imputations=2, seed=1)
    assert "none" in dropout(found, None)["pattern"].tolist()
    assert found.facts["never"] == 1


def test_arms_whose_responses_are_shifted_are_a_level_or_several() -> None:
    basis = sensitivity(visits(), EFFECT, imputations=2, seed=1)
    of = np.array(basis.rows.levels_of("arm"))
    for given, names in (("b", ["b"]), (["b", "a"], ["b", "a"]), (("a",), ["a"])):
        told, theirs = told_apart(basis.rows, "arm", given)
        assert told == names
        np.testing.assert_array_equal(theirs, np.isin(of, names))
    by_level = sensitivity(lmm("y ~ x + (1 | g)", grouped()), "x", imputations=2, seed=1)
    assert left_by_arm(by_level.rows, np.array(by_level.rows.levels_of("g"))) == {"a": 1, "c": 1, "e": 1}
    assert left_by_arm(basis.rows, of) == {"a": 2, "b": 3}


def test_a_study_without_an_arm_or_with_a_near_name_is_told_so() -> None:
    asked = {"assumptions": ["tipping-point"], "arm": None, "reference": None, "shifted": None}
    refuse(lmm("y ~ x + (1 | g)", grouped()).design, SimpleNamespace(**asked))
    with pytest.raises(FitError, match="needs a model of repeated visits"):
        refuse(
            lmm("y ~ x + (1 | g)", grouped()).design,
            SimpleNamespace(**asked | {"assumptions": ["copy-reference"]}),
        )
    with pytest.raises(FitError, match=r"no column of the fixed part.* They are: visit, arm$"):
        refuse(visits().design, SimpleNamespace(**asked | {"arm": "q"}))
    with pytest.raises(FitError, match=r"shifted: `arm` has no level q.* Its levels: a, b$"):
        refuse(visits().design, SimpleNamespace(**asked | {"arm": "arm", "shifted": "q"}))
