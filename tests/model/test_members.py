"""Rows of several levels, `(1 | mm(t1, t2))`: weights, missing members, faces, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import lmmkit
from lmmkit.errors import DataError, FitError, FormulaError


def pupils(seed=2, rows=160, teachers=14):
    """Scores of pupils who had two teachers, with the time at each."""
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(0, teachers, rows) for _ in range(2))
    w = rng.uniform(0.2, 1, (rows, 2))
    u, x = rng.normal(0, 2, teachers), rng.normal(size=rows)
    y = (
        3
        + x
        + (w * np.column_stack([u[first], u[second]])).sum(axis=1) / w.sum(axis=1)
        + rng.normal(size=rows)
    )
    names = np.array([f"t{i:02}" for i in range(teachers)])
    return pd.DataFrame(
        {"y": y, "x": x, "t1": names[first], "t2": names[second], "w1": w[:, 0], "w2": w[:, 1]}
    )


def dense_deviance(frame, M, theta, columns=("1",)):
    """The REML criterion at theta by dense algebra, M the weights of the levels."""
    z = [np.ones(len(frame)) if c == "1" else frame[c].to_numpy() for c in columns]
    V = np.eye(len(frame)) + sum(
        t**2 * (c[:, None] * M) @ (c[:, None] * M).T for t, c in zip(theta, z, strict=True)
    )
    X, y = np.column_stack([np.ones(len(frame)), frame["x"]]), frame["y"].to_numpy()
    inverse = np.linalg.inv(V)
    XVX = X.T @ inverse @ X
    r = y - X @ np.linalg.solve(XVX, X.T @ inverse @ y)
    nu, r2 = len(frame) - 2, r @ inverse @ r
    constant = nu * (1 + np.log(2 * np.pi * r2 / nu))
    return constant + np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1]


def weights_of(frame, one, two):
    """(n, J) weights of the levels in the order of their names."""
    names = sorted({*frame["t1"].dropna(), *frame["t2"].dropna()})
    M = np.zeros((len(frame), len(names)))
    for column, w in (("t1", one), ("t2", two)):
        for i, name in enumerate(frame[column]):
            if isinstance(name, str):
                M[i, names.index(name)] += w[i]
    return M


FORMS = [
    ("mm(t1, t2)", lambda f: (np.full(len(f), 0.5),) * 2),
    (
        "mm(t1, t2, weights=cbind(w1, w2))",
        lambda f: (f["w1"] / (f["w1"] + f["w2"]), f["w2"] / (f["w1"] + f["w2"])),
    ),
    ("mm(t1, t2, weights = c(w1, 1 + w2), scale = FALSE)", lambda f: (f["w1"], 1 + f["w2"])),
    ("mm(t1, t2, weights=c(1, -1), scale=FALSE)", lambda f: (np.ones(len(f)), -np.ones(len(f)))),
]


@pytest.mark.parametrize(("group", "shares"), FORMS)
def test_members_equal_dense_algebra(group, shares):
    frame = pupils()
    fit = lmmkit.lmm(f"y ~ x + (1 | {group})", frame)
    M = weights_of(frame, *map(np.asarray, shares(frame)))
    assert fit.deviance == pytest.approx(dense_deviance(frame, M, fit.theta), abs=1e-8)
    for theta in (fit.theta * 0.97, fit.theta * 1.03):
        assert dense_deviance(frame, M, theta) > fit.deviance - 1e-9
    V = np.eye(len(frame)) + fit.theta.iloc[0] ** 2 * M @ M.T
    r = frame["y"] - fit.params["Intercept"] - fit.params["x"] * frame["x"]
    b = fit.theta.iloc[0] ** 2 * M.T @ np.linalg.solve(V, r)
    np.testing.assert_allclose(fit.ranef["mm(t1, t2)"]["Intercept"], b, atol=1e-7)
    np.testing.assert_allclose(fit.fittedvalues, frame["y"] - r + M @ b, atol=1e-7)
    assert fit.certify(full=True).passed
    share = fit.varcorr["vcov"].iloc[0] * (M**2).sum() / len(frame)
    assert fit.icc().loc["adjusted", "estimate"] == pytest.approx(share / (share + fit.scale))


def test_slopes_of_members():
    frame = pupils()
    fit = lmmkit.lmm("y ~ x + (1 + x || mm(t1, t2))", frame)
    M = weights_of(frame, *[np.full(len(frame), 0.5)] * 2)
    assert fit.deviance == pytest.approx(dense_deviance(frame, M, fit.theta, ("1", "x")), abs=1e-8)


def test_one_member_is_the_plain_term():
    frame = pupils()
    plain, one = (lmmkit.lmm(f"y ~ x + (1 | {group})", frame) for group in ("t1", "mm(t1)"))
    assert one.deviance == pytest.approx(plain.deviance, abs=1e-9)
    np.testing.assert_allclose(one.ranef["mm(t1)"], plain.ranef["t1"], atol=1e-8)


def test_missing_members_are_left_out_and_rows_without_any_keep_the_fixed_part():
    frame = pupils()
    frame.loc[[3, 5, 8], "t2"] = None
    frame.loc[[5, 9], "t1"] = None
    frame.loc[9, "t2"] = None
    fit = lmmkit.lmm("y ~ x + (1 | mm(t1, t2))", frame)
    assert fit.nobs == len(frame)
    present = frame[["t1", "t2"]].notna().sum(axis=1).clip(lower=1).to_numpy()
    M = weights_of(frame, 1 / present, 1 / present)
    assert fit.deviance == pytest.approx(dense_deviance(frame, M, fit.theta), abs=1e-8)
    np.testing.assert_allclose(fit.fittedvalues[[5, 9]], fit.estimates.marginal_fit[[5, 9]])
    told = " ".join(fit.design.warnings)
    assert "2 rows have fewer than 2 members" in told
    assert "2 rows have no member, and keep the fixed part" in told


def test_predictions_for_members(tmp_path):
    frame = pupils()
    fit = lmmkit.lmm("y ~ x + (1 | mm(t1, t2, weights=cbind(w1, w2)))", frame)
    new = fit.predict(frame.iloc[:4], interval="confidence")
    own = fit.predict(interval="confidence").iloc[:4]
    pd.testing.assert_frame_equal(new, own, rtol=1e-9)
    again = lmmkit.load(fit.save(tmp_path / "fit"))
    pd.testing.assert_frame_equal(again.predict(frame.iloc[:4], interval="confidence"), new, rtol=1e-9)
    strange = frame.iloc[:2].assign(t2="nobody")
    with pytest.raises(DataError, match="2 of the 2 rows have a level of"):
        fit.predict(strange)
    half = fit.predict(strange, new_levels="population")["fit"].iloc[0]
    w = frame["w1"].iloc[0] / (frame["w1"].iloc[0] + frame["w2"].iloc[0])
    b = fit.ranef["mm(t1, t2)"].loc[frame["t1"].iloc[0], "Intercept"]
    assert half == pytest.approx(fit.params["Intercept"] + fit.params["x"] * frame["x"].iloc[0] + w * b)


def test_standard_errors_of_predictions_equal_dense_algebra():
    frame = pupils(rows=60)
    fit = lmmkit.lmm("y ~ x + (1 | mm(t1, t2))", frame)
    M, T, s2 = weights_of(frame, *[np.full(60, 0.5)] * 2), fit.theta.iloc[0] ** 2, fit.scale
    X = np.column_stack([np.ones(60), frame["x"]])
    C = np.block([[X.T @ X, X.T @ M], [M.T @ X, M.T @ M + np.eye(M.shape[1]) / T]])
    rows = np.column_stack([X, M])
    expected = np.sqrt(s2 * np.einsum("na,ab,nb->n", rows, np.linalg.inv(C), rows))
    np.testing.assert_allclose(fit.predict()["se"], expected, rtol=1e-7)


def test_relatives_may_be_members():
    frame, names = pupils(), [f"t{i:02}" for i in range(14)]
    K = pd.DataFrame(np.eye(14) + 0.3, names, names)
    fit = lmmkit.lmm("y ~ x + (1 | mm(t1, t2))", frame, known={"mm(t1, t2)": K})
    half = weights_of(frame, *[np.full(len(frame), 0.5)] * 2) @ np.linalg.cholesky(K.to_numpy())
    assert fit.deviance == pytest.approx(dense_deviance(frame, half, fit.theta), abs=1e-8)


@pytest.mark.parametrize(
    ("group", "change", "said"),
    [
        ("mm(t1, w1)", {}, "`t1` holds text, `w1` holds numbers"),
        ("mm(t1, t2, weights=c(w1, -w2))", {}, "the weight of `t2` is .* in row 1 .*scale=FALSE"),
        ("mm(t1, t2, weights=c(w1, w2))", {"w2": [np.nan] * 160}, "the weight `w2` is missing in row 1"),
        ("mm(t1, t2, weights=c(w1, w2))", {"w1": 0.0, "w2": 0.0}, "the weights of row 1 are all 0"),
        ("mm(t1, t2)", {"t1": None, "t2": None}, "no row has a member"),
        ("mm(t1, t2, weights=c(w1, zz))", {}, "no column `zz`"),
        ("mm(t1, t2) ) + (1 | mm(t2, t1)", {}, "divide the rows alike"),
    ],
)
def test_members_that_cannot_be_used_are_refused(group, change, said):
    with pytest.raises(DataError, match=said):
        lmmkit.lmm(f"y ~ x + (1 | {group})", pupils().assign(**change))


def test_one_factor_has_one_kind_of_weights():
    with pytest.raises(FormulaError, match="the same members with different weights"):
        lmmkit.lmm("y ~ x + (1 | mm(t1, t2)) + (0 + x | mm(t1, t2, weights=c(w1, w2)))", pupils())


def test_a_plain_term_of_a_members_column_is_told_of():
    fit = lmmkit.lmm("y ~ x + (1 | mm(t1, t2)) + (1 | t1)", pupils())
    assert "a level of `t1` has an effect of its own there" in " ".join(fit.design.warnings)


@pytest.mark.parametrize("seed", range(5))
def test_a_correlation_at_its_bound_is_not_beyond_it(seed):
    fit = lmmkit.lmm("y ~ x + (x | mm(t1, t2))", pupils(seed))
    one = fit.varcorr["sdcor"].iloc[2]
    assert -1.0 <= one <= 1.0
    assert abs(one) > 1 - 1e-9


def test_bca_intervals_leave_no_pupil_with_half_his_teachers():
    fit = lmmkit.lmm("y ~ x + (1 | mm(t1, t2))", pupils())
    with pytest.raises(FitError, match=r"rows belong to several levels of mm\(t1, t2\)"):
        fit.conf_int(method="bootstrap", n=2, seed=1, kind="bca")
    assert np.isfinite(fit.conf_int(method="bootstrap", n=20, seed=1)["low"]).all()
