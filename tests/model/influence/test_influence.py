"""Deletions against fits of tables without the rows, and what is said of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lmmkit import Fit, FitError, influence, lmm
from lmmkit.engine.influence import deletion, geometry
from lmmkit.model.influence.conclusions import conclusions, short_p
from lmmkit.model.influence.influence import EXACT, HELD, LOST, STEP, Influence
from lmmkit.model.influence.without_unit import FocusTest
from lmmkit.model.leverage import row_pulls
from lmmkit.model.means.focus import find_focus

DATA = Path(__file__).parents[2] / "reference" / "data"
SHIPPED = Path(__file__).parents[3] / "params" / "data"
TOP = [0.1320, 0.1151, 0.1120, 0.0982]  # of lme4 1.1-31: cooks.distance(influence(fit, "Subject"))


@cache
def sleep() -> pd.DataFrame:
    return pd.read_csv(SHIPPED / "sleepstudy.csv").assign(w=1.0 + np.arange(180) % 3)


@cache
def unbalanced() -> pd.DataFrame:
    """12 schools with 2 or 3 classes of unequal size, items crossed with both, a member of two clubs."""
    r = np.random.default_rng(11)
    size = r.integers(2, 6, 30)
    cls = np.repeat(np.arange(30), size)
    n = len(cls)
    x = r.normal(size=n)
    table = pd.DataFrame({"school": cls // 3, "cls": cls % 3, "item": r.integers(0, 6, n), "x": x})
    table["c1"], table["c2"] = r.integers(0, 5, n), r.integers(0, 5, n)
    table["t"] = pd.Series(cls).groupby(cls).cumcount()
    clubs = r.normal(size=5)
    effects = clubs[table.c1] + np.where(table.c1 == table.c2, 0.0, clubs[table.c2])
    effects += r.normal(size=10)[table.school] + r.normal(size=30)[cls] * 0.7 + r.normal(size=6)[table.item]
    return table.assign(y=effects + 0.5 * x + r.normal(size=n), w=r.uniform(0.5, 2.0, n))


CASES = {
    "slopes": ("Reaction ~ Days + (Days | Subject)", "Subject", {}),
    "slopes by ML": ("Reaction ~ Days + (Days | Subject)", "Subject", {"reml": False}),
    "weights": ("Reaction ~ Days + (Days || Subject)", "Subject", {"weights": "w"}),
    "nested": ("y ~ x + (1 | school/cls)", "school", {}),
    "crossed": ("y ~ x + (1 | school) + (1 | item)", "item", {}),
    "any column": ("y ~ x + (1 | school)", "t", {}),
    "members": ("y ~ x + (1 | mm(c1, c2))", "mm(c1, c2)", {}),
    "visits": ("y ~ x", "school:cls", {"residual": "cs(t | school:cls)"}),
    "time": ("y ~ x + (1 | school)", "school", {"residual": "car1(t | school:cls)"}),
    "variances": ("y ~ x + (1 | school)", "school", {"residual": "ident(item)"}),
}


def kept(data: pd.DataFrame, of: str, label: object) -> pd.Series[bool]:
    if of == "mm(c1, c2)":
        return (data.c1.astype(str) != label) & (data.c2.astype(str) != label)
    text = data[of.split(":")].astype(str).agg(":".join, axis=1)
    return text != str(label)


@cache
def fitted(name: str) -> tuple[Fit, pd.DataFrame]:
    formula, _, options = CASES[name]
    data = sleep() if "Days" in formula else unbalanced()
    return lmm(formula, data, **options), data


@cache
def deleted(name: str, refits: object = "auto") -> Influence:
    return influence(fitted(name)[0], CASES[name][1], refits=refits)  # pyright: ignore[reportArgumentType]


def covariance(fit: Fit) -> np.ndarray:
    """V over sigma^2, written out."""
    estimates = fit.estimates
    problem, n = estimates.problem, estimates.nobs
    V = np.eye(n)
    if problem.residual is not None:
        V = np.zeros((n, n))
        for subject in range(int(problem.residual.subjects.max()) + 1):
            rows = np.flatnonzero(problem.residual.subjects == subject)
            V[np.ix_(rows, rows)] = problem.residual.block(estimates.rho, rows)
    if problem.weights is not None:
        V = V / np.sqrt(np.outer(problem.weights, problem.weights))
    for term, L in zip(problem.terms, estimates.factors, strict=True):
        Z = np.stack([problem.columns[c] for c in term.columns], axis=1)
        for each, weights in term.members or ((term.codes, np.ones(n)),):
            for other, more in term.members or ((term.codes, np.ones(n)),):
                same = each[:, None] == other
                V += same * np.outer(weights, more) * (Z @ L @ L.T @ Z.T)
    return V


def projection(fit: Fit) -> np.ndarray:
    """P times sigma^2."""
    inverse, X = np.linalg.inv(covariance(fit)), fit.estimates.X
    return inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)


def dense(fit: Fit, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """BLUE and its covariance over sigma^2 of some rows, at the variances of all rows."""
    estimates, V = fit.estimates, covariance(fit)
    inverse = np.linalg.inv(V[np.ix_(keep, keep)])
    X, y = estimates.X[keep], estimates.problem.response[keep]
    Phi = np.linalg.inv(X.T @ inverse @ X)
    return Phi @ X.T @ inverse @ y, Phi


@pytest.mark.parametrize("name", CASES)
def test_with_variances_held_deletion_is_that_of_dense_algebra(name):
    (fit, data), found = fitted(name), deleted(name, 0)
    V = np.linalg.inv(fit.cov_params().to_numpy())
    for label in found.table.index[:3]:
        beta, _ = dense(fit, kept(data, CASES[name][1], label).to_numpy())
        shift = fit.params.to_numpy() - beta
        assert found.table.loc[label, "cooks_held"] == pytest.approx(shift @ V @ shift / len(shift), rel=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_a_refit_is_the_fit_of_a_table_without_the_rows(name):
    (fit, data), found = fitted(name), deleted(name, 2 if "residual" in CASES[name][2] else "auto")
    V = np.linalg.inv(fit.cov_params().to_numpy())
    for label in found.table.index[found.table["method"] == EXACT][:2]:
        formula, of, options = CASES[name]
        alone = lmm(formula, data[kept(data, of, label)], **options)
        shift = (fit.params - alone.params).to_numpy()
        row = found.table.loc[label]
        assert row["cooks"] == pytest.approx(shift @ V @ shift / len(shift), rel=1e-5)
        ratio = np.linalg.det(alone.cov_params()) / np.linalg.det(fit.cov_params())
        assert row["covratio"] == pytest.approx(ratio, rel=1e-5)
        slope = fit.params.index[1]
        own = alone.coef_table().loc[slope]
        assert row[["estimate", "se", "p"]].astype(float).tolist() == pytest.approx(
            own[["estimate", "se", "p"]].tolist(), rel=1e-4
        )
        assert row["rvc.Residual.sd"] == pytest.approx((alone.sigma / fit.sigma) ** 2 - 1.0, abs=1e-5)
        own_V = alone.cov_params().to_numpy()
        assert row["mdffits"] == pytest.approx(shift @ np.linalg.solve(own_V, shift) / len(shift), rel=1e-4)
        assert row["covtrace"] == pytest.approx(abs(np.trace(V @ own_V) - len(shift)), rel=1e-4, abs=1e-6)
        assert row["change"] == pytest.approx(alone.params[slope] - fit.params[slope], rel=1e-4, abs=1e-7)
        assert row["cooks_lme4"] == pytest.approx(row["cooks"] * (1 - len(shift) / len(found.table)))
        assert row["rows"] == len(data) - alone.nobs


def test_subjects_of_the_sleepstudy_have_the_distances_of_lme4():
    table = deleted("slopes").table
    assert table["cooks_lme4"].head(4).to_numpy() == pytest.approx(TOP, abs=6e-5)
    assert table["cooks_lme4"].iloc[0] == pytest.approx(table["cooks"].iloc[0] * 16 / 18)
    assert table.index[0] == "309"


@pytest.mark.parametrize(
    "name", ["slopes", "slopes by ML", "weights", "nested", "crossed", "any column", "members"]
)
def test_a_step_comes_nearer_to_the_refit_than_held_variances(name):
    step, exact = deleted(name, 0).table, deleted(name).table
    assert set(step["method"]) <= {STEP, HELD}
    both = exact.join(step.add_suffix("_step"))
    both = both[(both["method_step"] == STEP)]
    assert len(both) >= len(exact) - 1
    for column in (c for c in exact.columns if c.startswith("rvc.")):
        moved = both[column].dropna()
        assert (
            np.abs(both[f"{column}_step"] - both[column])[moved.index].median() <= 0.6 * moved.abs().median()
        )
    assert np.abs(np.log(both["se_step"] / both["se"])).median() < 0.02


def test_large_and_small_designs_take_the_same_numbers(monkeypatch):
    fit, _ = fitted("nested")
    one = influence(fit, "school", refits=0).table
    monkeypatch.setattr(geometry, "FEW", 0)
    monkeypatch.setattr(deletion, "FEW_COLUMNS", 0)
    two = influence(fit, "school", refits=0).table.loc[one.index]
    numbers = one.select_dtypes("number").columns
    assert two[numbers].to_numpy() == pytest.approx(one[numbers].to_numpy(), rel=1e-6, abs=1e-9, nan_ok=True)
    shape = geometry.geometry(fit.estimates.optimum)
    assert shape.local == (0, 1)
    rows = np.flatnonzero(fit.design.random[0].grouping.codes < 5)[::2]
    codes = np.full(fit.nobs, -1)
    codes[rows] = 0
    small = deletion.deletions(shape, deletion.units_of(codes, 1))
    monkeypatch.setattr(deletion, "MANY", 0)
    monkeypatch.setattr(geometry, "FEW", 1_500)
    whole = deletion._down_dated(shape, rows[None])
    assert [small.shift, small.Phi, small.r2] == [pytest.approx(each, rel=1e-8, abs=1e-12) for each in whole]


def test_rows_have_the_hat_values_of_lme4_and_studentised_residuals():
    fit, data = fitted("weights")
    pulls = row_pulls(fit.estimates, geometry.geometry(fit.estimates.optimum))
    table = fit.augment()
    assert pulls.hat == pytest.approx(table[".hat"].to_numpy(), rel=1e-8)
    assert pulls.cooks == pytest.approx(table[".cooksd"].to_numpy(), rel=1e-7)
    keep = np.ones(180, bool)
    keep[56] = False
    alone = lmm("Reaction ~ Days + (Days || Subject)", data[keep], weights="w", variances=_held(fit))
    row = data.iloc[[56]]
    away = float(row["Reaction"].iloc[0] - alone.predict(row)["fit"].iloc[0])
    assert pulls.deleted[56] == pytest.approx(away, rel=1e-6)
    P, y = projection(fit), data["Reaction"].to_numpy()
    e = P @ y
    others = (y @ e - e**2 / np.diag(P)) / pulls.df
    assert pulls.studentised == pytest.approx(e / np.sqrt(np.diag(P) * others), rel=1e-6)


def _held(fit: Fit) -> dict[str, float]:
    table = fit.varcorr
    first, second, last = table["vcov"].tolist()
    return {"Subject": first, "Subject.1": second, "Residual": last}


def test_hat_values_exist_beside_a_residual_structure():
    for name in ("visits", "time", "variances"):
        fit, _ = fitted(name)
        table = fit.augment()
        residual, rows = fit.estimates.problem.residual, np.arange(fit.nobs)
        assert residual is not None
        same = residual.subjects[:, None] == residual.subjects
        R = same * residual.block(fit.estimates.rho, rows)
        # fitted values are y - R P y
        hat = 1.0 - np.einsum("ij,ji->i", R, projection(fit))
        assert table[".hat"].to_numpy() == pytest.approx(hat, rel=1e-7)


def test_without_the_only_level_of_a_coefficient_it_is_told_not_estimated():
    data = unbalanced().assign(arm=lambda t: np.where(t.school == 4, "b", "a"))
    found = influence(lmm("y ~ x + arm + (1 | school)", data), "school")
    assert found.table.index[0] == "4"  # before the largest distance
    row = found.table.loc["4"]
    assert row["method"] == LOST
    assert row["note"] == "without it the rows do not estimate arm[T.b]"
    assert np.isnan(row["cooks"])
    assert "Without the level of school 4 a coefficient cannot be estimated at all." in found.sentence


@pytest.mark.parametrize(
    ("of", "words"),
    [
        ("Subjekt", "did you mean `?'?Subject|no such factor"),
        ("w2", "no such factor or column"),
        ("one", "1 level"),
    ],
)
def test_what_cannot_be_left_out_is_told_in_words(of, words):
    fit = lmm("Reaction ~ Days + (1 | Subject)", sleep().assign(one="a"))
    with pytest.raises(FitError, match=words):
        influence(fit, of)


@pytest.mark.parametrize("refits", [-1, "some", 2.5])
def test_refits_are_a_number_or_a_word(refits):
    with pytest.raises(FitError, match="refits"):
        influence(fitted("slopes")[0], "Subject", refits=refits)


def test_a_conclusion_that_turns_on_one_group_is_named():
    r = np.random.default_rng(5)
    g = np.repeat(np.arange(10), 6)
    x = r.normal(size=60)
    y = 0.02 * x + r.normal(0, 0.5, 10)[g] + r.normal(0, 0.3, 60) + np.where(g == 7, 1.9 * x, 0.0)
    found = influence(lmm("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g})), "g")
    assert found.found.serious
    assert [turn.label for turn in found.found.turns if "p" in turn.what] == ["7"]
    assert found.sentence.startswith("The answer (slope of x) turns on a single level of g: without 7 p is .")


def test_a_variance_that_vanishes_without_one_batch_is_named():
    found = influence(lmm("strength ~ 1 + (1 | batch/cask)", pd.read_csv(DATA / "Pastes.csv")), "batch")
    assert not found.found.serious
    assert "without E batch.sd.Intercept is estimated as zero" in found.sentence


def test_few_are_refitted_where_all_would_cost_too_much(monkeypatch):
    from lmmkit.model.influence import influence as module

    monkeypatch.setattr(module, "AFFORDED", 0.0)
    monkeypatch.setattr(module, "LARGEST", 2)
    monkeypatch.setattr(module, "MOST_WORK", 80.0 * 38 * 38 * 4)
    fit, _ = fitted("slopes")
    found = influence(fit, "Subject")
    assert found.methods == {EXACT: 2, STEP: 6, HELD: 10}
    assert str(found) == str(influence(fit, "Subject"))


@pytest.mark.parametrize(
    ("df", "long", "taken_over"),
    [
        ("satterthwaite", 0.0, True),
        ("satterthwaite", 9.0, False),
        ("kenward-roger", 0.0, False),
        ("containment", 9.0, True),
    ],
)
def test_a_refit_takes_over_degrees_of_freedom_that_would_cost_as_much_again(
    monkeypatch, df, long, taken_over
):
    from lmmkit.model.influence import influence as module

    given, made = [], module.refit

    def spied(*arguments):
        given.append(arguments[-1])
        return made(*arguments)

    monkeypatch.setattr(module, "LONG", long)
    monkeypatch.setattr(module, "refit", spied)
    influence(fitted("slopes")[0], "Subject", df=df, refits=1)
    assert [known is not None for known in given] == [taken_over]


@pytest.mark.parametrize("name", ["visits", "time", "variances"])
def test_beside_a_residual_structure_no_step_is_taken_and_it_is_said(name):
    table = deleted(name, 0).table
    assert set(table["method"]) == {HELD}
    assert set(table["note"]) == {"no step: it is for independent residuals, without a residual structure"}
    refitted = deleted(name, 2).table
    assert set(refitted.loc[refitted["method"] == EXACT, "note"]) == {""}
    assert set(deleted("weights", 0).table["method"]) == {STEP}


def test_variances_that_are_given_leave_nothing_to_search_for():
    fit = lmm("Reaction ~ Days + (1 | Subject)", sleep(), variances={"Subject": 1378.0, "Residual": 960.0})
    found = influence(fit, "Subject")
    assert found.methods == {EXACT: 18}
    assert found.table["cooks"].to_numpy() == pytest.approx(found.table["cooks_held"].to_numpy())


def test_a_factor_of_three_levels_is_tested_by_f():
    data = pd.read_csv(DATA / "Machines.csv")
    found = influence(lmm("score ~ Machine + (1 | Worker)", data), "Worker", focus="Machine")
    assert found.table["estimate"].isna().all()
    step = influence(lmm("score ~ Machine + (Machine | Worker)", data), "rows", focus="Machine", refits=0)
    assert step.table["p"].min() < step.whole.p < step.table["p"].max()
    assert (found.table["p"] < 0.001).all()
    assert "differences between the levels of Machine" in found.sentence


def test_correlations_have_their_change_and_variances_the_ratio():
    (fit, data), table = fitted("slopes"), deleted("slopes").table
    alone = lmm(CASES["slopes"][0], data[kept(data, "Subject", "309")])
    before, after = (each.varcorr["sdcor"].tolist() for each in (fit, alone))
    row = table.loc["309"]
    assert row["change.Subject.cor.Days.Intercept"] == pytest.approx(after[2] - before[2], abs=1e-4)
    assert row["rvc.Subject.sd.Days"] == pytest.approx((after[1] / before[1]) ** 2 - 1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("focus", "name", "weights"),
    [
        ("age", "age", [0, 1, 0, 0]),  # a coefficient is meant as such, not the average slope
        ("Sex[T.Male] + 8 * age:Sex[T.Male]", None, [0, 0, 1, 8]),
        ([[0, 1, 0, 0.5]], None, [0, 1, 0, 0.5]),
        (None, "slope of age", [0, 1, 0, 16 / 27]),  # the first term, over 16 boys and 11 girls
        ("Sex", "Sex: Male less Female", [0, 0, 1, 11]),  # at the mean age
    ],
)
def test_what_is_looked_at_is_a_coefficient_a_combination_or_what_a_term_is_asked_for(focus, name, weights):
    fit = _growth()
    found = influence(fit, "Subject", focus=focus, refits=0)
    assert name in (None, found.focus)
    assert found.whole.estimate == pytest.approx(np.array(weights) @ fit.params, rel=1e-6)


@cache
def _growth() -> Fit:
    return lmm("distance ~ age * Sex + (1 | Subject)", pd.read_csv(SHIPPED / "orthodont.csv"))


def test_several_combinations_are_tested_together():
    """As many as do not follow from each other."""
    fit, two = _growth(), ["Sex[T.Male]", "age:Sex[T.Male]"]
    found = influence(fit, "Subject", focus=[*two, " + ".join(two)], refits=0)
    assert found.focus == f"{', '.join(two)}, {' + '.join(two)}"
    assert np.isnan(found.whole.estimate)
    own = fit.contrast(np.eye(4)[[2, 3]], joint=True).iloc[0]
    assert [found.whole.p, found.whole.df] == pytest.approx([own["p"], own["den_df"]])
    assert 1e-6 < found.whole.p < 0.05


def made(turns: list[str]) -> Influence:
    """Deletions from plain values, a level for each."""
    u = len(turns)
    numbers = {"rows": 3, "cooks": [u - i + 0.25 for i in range(u)], "mdffits": 0.5, "covratio": 1.23456}
    table = pd.DataFrame({**numbers, "estimate": 2.0, "p": 0.07, "turns": turns, "method": EXACT})
    table.index = pd.Index([f"l{i}" for i in range(u)], name="g")
    table.loc["l1", ["estimate", "method"]] = [np.nan, STEP]
    whole = FocusTest(1.5, 0.5, 10.0, 0.012)
    return Influence(table, "g", "slope of x", whole, conclusions(table, "g", "slope of x", whole, 0.05))


def test_the_ten_largest_are_printed_and_all_are_counted():
    found = made(["p", *[""] * 10])
    lines = str(found).splitlines()
    assert lines[0].startswith("The answer (slope of x) turns on a single level of g: without l0 p is .07")
    assert lines[2] == "Without each of g, the largest first:"
    assert lines[-1] == "11 in all: 10 by exact refit, 1 by one step."
    cells = [line.split() for line in lines[3:-2] if line]
    assert cells[0] == ["g", "rows", "cooks", "mdffits", "covratio", "estimate", "p", "turns", "method"]
    assert cells[1] == ["l0", "3", "11.25", "0.5", "1.235", "2", "0.07", "p", "exact", "refit"]
    assert cells[2] == ["l1", "3", "10.25", "0.5", "1.235", "0.07", "one", "step"]
    assert [cell[0] for cell in cells[1:]] == [f"l{i}" for i in range(10)]
    assert found.methods == {EXACT: 10, STEP: 1}


def test_what_is_drawn_says_which_units_the_answer_turns_on():
    found = made(["p", "g.sd.Intercept vanishes", ""])
    drawn = found.drawn
    assert drawn["level"].tolist() == ["l0", "l1", "l2"]
    assert drawn["answer"].tolist() == [True, False, False]
    assert drawn["cooks"].tolist() == [3.25, 2.25, 1.25]
    assert drawn["method"].tolist() == [EXACT, STEP, EXACT]
    plain = found.to_dict()
    assert plain["table"][1]["estimate"] is None
    assert plain | {"table": 0, "sentence": 0} == {
        "of": "g", "focus": "slope of x", "whole": {"estimate": 1.5, "se": 0.5, "df": 10.0, "p": 0.012},
        "sentence": 0, "methods": {EXACT: 2, STEP: 1}, "table": 0,
    }  # fmt: skip


def test_it_prints_and_has_plain_values():
    found = deleted("slopes")
    assert "309" in str(found)
    assert "<table>" in found._repr_html_()
    plain = found.to_dict()
    assert plain["table"][0]["Subject"] == "309"
    assert plain["methods"] == {EXACT: 18}


def test_a_p_near_alpha_is_told_on_its_side():
    assert [short_p(p, 0.05) for p in (0.0500004, 0.0496, 0.12, 3e-5)] == [
        ".0500004",
        ".0496",
        ".12",
        "below .0001",
    ]


def test_a_nested_factor_is_found_whichever_way_it_is_spelled():
    fit = lmm("y ~ x + (1 | school/cls)", unbalanced())
    assert influence(fit, "school:cls", refits=0).of == influence(fit, "cls:school", refits=0).of


def test_without_fixed_effects_the_variances_are_what_is_looked_at():
    found = influence(lmm("Yield ~ 0 + (1 | Batch)", pd.read_csv(DATA / "Dyestuff2.csv")), "Batch")
    assert found.table["cooks"].isna().all()
    assert found.table["rvc.Residual.sd"].notna().all()


def test_an_interaction_is_looked_at_as_such():
    table = pd.read_csv(SHIPPED / "orthodont.csv")
    fit = lmm("distance ~ age * Sex + (age | Subject)", table)
    found = influence(fit, "Subject", focus=find_focus(fit.design, "age:Sex[T.Male]"))
    assert found.focus == "age:Sex[T.Male]"
    assert abs(found.whole.estimate) == pytest.approx(fit.params["age:Sex[T.Male]"])
    least = lmm("distance ~ age * Sex + (age | Subject)", table[table["Subject"] != found.table.index[0]])
    assert found.table["estimate"].iloc[0] == pytest.approx(least.params["age:Sex[T.Male]"], abs=1e-7)
    assert influence(fit, "Subject", focus="Sex:age", refits=0).focus == found.focus
    narrow = lmm("distance ~ age * Sex + I(age ** 2):Sex + (1 | Subject)", table)
    assert influence(narrow, "Subject", focus="age:Sex", refits=0).focus == "slope of age"
