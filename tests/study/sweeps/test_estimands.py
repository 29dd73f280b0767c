"""What a sweep follows: one quantity in all cells, whatever formula or coding a cell has."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.errors import StudyError
from lmmkit.study.runs.plan import make_plan
from lmmkit.study.sweeps.estimands import followed, in_cell
from lmmkit.study.sweeps.sweep_files import _label, _Told, _unit

RNG = np.random.default_rng(4)
N = 96
GROUP = np.repeat(np.arange(12), 8)
DATA = pd.DataFrame(
    {
        "x": np.tile([0.0, 1, 2, 3, 5, 6, 7, 10], 12),
        "z": RNG.integers(1, 9, N) / 2,
        "f": np.where(GROUP % 2, "b", "a"),
        "s": np.where(RNG.random(N) < 0.4, "late", "early"),
        "h": RNG.choice(list("pqr"), N),
        "g": [f"g{i:02d}" for i in GROUP],
    }
)
DATA["y"] = np.round(
    RNG.normal(size=N)
    + RNG.normal(size=12)[GROUP]
    + DATA.x * (0.5 + 0.3 * (DATA.f == "b"))
    + DATA.x * DATA.z,
    4,
)
STUDY = """\
data: {{source: data/d.csv, columns: {{y: {{type: number, unit: ms}}, x: {{type: number, unit: d}}{more}}}}}
model: {{formula: "y ~ {fixed} + (1 | g)"}}
report: {{{report}}}
"""


@pytest.fixture
def base(project):
    DATA.to_csv(project / "params/data/d.csv", index=False)

    def plan(fixed, report="", more=""):
        (project / "params/d.yaml").write_text(STUDY.format(fixed=fixed, report=report, more=more))
        return make_plan(project / "params/d.yaml")

    return plan


def found(of, folder, fixed, data=DATA, **options):
    """The estimand in a fit, and the fit."""
    fit = lmm(f"y ~ {fixed} + (1 | g)", data, **options)
    fit.save(folder / "fit")
    return in_cell(of, folder, df="normal", level=0.95), fit


def axis(plan, of):
    return _label(_Told(of.name, [], [], _unit(SimpleNamespace(base=plan), of)))


SLOPES = "difference between f b and a in the average slope of y along x"
DIFFERENCES = "difference between s late and early in the difference of y between f b and a"


@pytest.mark.parametrize(
    ("fixed", "report", "summary", "words", "unit"),
    [
        ("x * f", "", (), "average slope of y along x", "ms per d"),
        ("x * f", "focus: x", (), "average slope of y along x", "ms per d"),
        ("x * f", "focus: x", ("f.p",), "difference of y between f b and a", "ms"),
        ("x * z", "focus: z, at: {x: 2}", (), "average slope of y along z at x 2", "ms per unit of z"),
        ("x * f", "focus: 'x:f', at: {f: b}", (), "average slope of y along x at f b", "ms per d"),
        ("f + h", "focus: h, contrast: [r, p]", (), "difference of y between h r and p", "ms"),
        ("x * f", "focus: 'x:f'", (), SLOPES, "ms per d"),
        ("x * f", "", ("sigma", "f:x"), SLOPES, "ms per d"),
        ("x * z", "focus: 'x:z'", (), "change per unit of z of the average slope of y along x",
         "ms per d per unit of z"),
        ("f * s", "focus: 'f:s'", (), DIFFERENCES, "ms"),
        # The contrast and the values of the focus are no one else's.
        ("f + h", "focus: h, contrast: [r, p]", ("f",), "difference of y between f b and a", "ms"),
        ("x * f", "focus: x, at: {f: b}", ("f",), "difference of y between f b and a", "ms"),
        ("1", "", (), "intercept", "ms"),
    ],
)  # fmt: skip
def test_the_estimand_is_what_was_asked_for_in_words_and_units(base, fixed, report, summary, words, unit):
    plan = base(fixed, report)
    of = followed(plan, summary)
    assert of.name == f"the {words}"
    assert axis(plan, of) == f"{words[0].upper()}{words[1:]} ({unit})"


@pytest.mark.parametrize(
    ("fixed", "report", "message"),
    [
        ("x + h", "focus: h", r"h has more than two levels.*report: {contrast: \[q, p\]}"),
        ("x * h", "focus: 'x:h'", r"interaction x:h is several numbers.*report: {focus: x, at: {h: p}}"),
        ("h * z", "focus: 'h:z'", r"h:z is several numbers.*report: {focus: z, at: {h: p}}"),
        ("h * f", "focus: 'h:f'", r"h:f is several numbers.*{focus: h, contrast: \[q, p\], at: {f: a}}"),
        ("x * z * f", "focus: 'x:z:f'", r"x:z:f is several numbers.*{focus: x, at: {z: 2\.\d*}}"),
    ],
)
def test_what_is_no_single_number_is_refused_with_what_to_ask_instead(base, fixed, report, message):
    with pytest.raises(StudyError, match=message):
        followed(base(fixed, report), ())


def test_an_interaction_is_its_coefficient_whatever_the_coding_of_a_cell(base, tmp_path):
    of = followed(base("x * f", "focus: 'x:f'"), ())
    treated, fit = found(of, tmp_path, "x * f")
    row = fit.coef_table(df="normal").loc["x:f[T.b]"]
    assert [treated.numbers[name] for name in ("estimate", "se", "p")] == pytest.approx(
        [row["estimate"], row["se"], row["p"]], rel=1e-6
    )
    assert set(treated.numbers) == {"estimate", "se", "low", "high", "p"}
    summed, fit = found(of, tmp_path / "sum", "x * f", contrasts={"f": "sum"})
    assert summed.numbers == pytest.approx(treated.numbers, rel=1e-6)
    assert not np.isclose(fit.params.iloc[-1], summed.numbers["estimate"])
    apart, _ = found(of, tmp_path / "apart", "f + x:f")
    assert apart.numbers == pytest.approx(treated.numbers, rel=1e-6)


def test_an_interaction_of_numbers_is_per_unit_of_both(base, tmp_path):
    of = followed(base("x * z", "focus: 'x:z'"), ())
    plain, fit = found(of, tmp_path, "x * z")
    assert plain.numbers["estimate"] == pytest.approx(fit.params["x:z"], rel=1e-6)
    assert plain.numbers["se"] == pytest.approx(fit.bse["x:z"], rel=1e-6)
    bent, fit = found(of, tmp_path / "bent", "x + I(x^2) + z + x:z + I(x^2):z")
    b = fit.params
    assert bent.numbers["estimate"] == pytest.approx(b["x:z"] + 2 * DATA.x.mean() * b["I(x^2):z"], rel=1e-6)
    assert "F" not in bent.numbers


def test_an_interaction_of_two_factors_is_a_difference_of_differences(base, tmp_path):
    of = followed(base("f * s", "focus: 'f:s'"), ())
    cell, fit = found(of, tmp_path, "f * s + x")
    assert cell.numbers["estimate"] == pytest.approx(fit.params["f[T.b]:s[T.late]"], rel=1e-6)
    averaged, fit = found(of, tmp_path / "three", "f * s * h")
    extra = [fit.params[f"f[T.b]:s[T.late]:h[T.{level}]"] for level in "qr"]
    assert averaged.numbers["estimate"] == pytest.approx(
        fit.params["f[T.b]:s[T.late]"] + sum(extra) / 3, rel=1e-6
    )


def test_the_slope_of_a_cell_is_averaged_over_the_rows_of_the_base_study(base, tmp_path):
    of = followed(base("x"), ())
    half, fit = found(of, tmp_path, "x + I(x^2)", DATA[DATA.x < 6])
    b = fit.params
    assert half.numbers["estimate"] == pytest.approx(b["x"] + 2 * DATA.x.mean() * b["I(x^2)"], rel=1e-6)
    assert {"F", "F_p"} <= set(half.numbers)
    other, _ = found(of, tmp_path / "other", "x * w + z", DATA.assign(w=DATA.z**2))
    assert (other.L, other.why) == (None, "the base study has no column w, with which x interacts here")
    beside, fit = found(of, tmp_path / "beside", "x + w", DATA.assign(w=DATA.z**2))
    assert beside.numbers["estimate"] == pytest.approx(fit.params["x"], rel=1e-6)


OTHER = " is a factor in one study and a number in the other"


@pytest.mark.parametrize(
    ("asked", "cell", "data", "why"),
    [
        ("x", "z", DATA, "the fixed part has no x"),
        ("f:x", "x + f", DATA, "the fixed part has no interaction of x and f"),
        ("x", "x", DATA.assign(x=np.where(DATA.x > 4, "high", "low")), "x" + OTHER),
        ("f", "f", DATA.assign(f=(DATA.f == "b") * 1.0), "f" + OTHER),
        ("f:x", "x * f", DATA[DATA.f == "a"].assign(f=DATA.h), "has no level b"),
        ("f", "x + f", DATA[DATA.f == "a"].assign(f=DATA.h), "`f` has no level b in these rows"),
    ],
)  # fmt: skip
def test_a_cell_in_which_it_is_another_quantity_has_no_estimate(base, tmp_path, asked, cell, data, why):
    of = followed(base("x * f", f"focus: '{asked}'"), ())
    absent, _ = found(of, tmp_path, cell, data)
    assert (absent.numbers, absent.L) == ({}, None)
    assert why in absent.why


def test_values_of_other_columns_hold_in_every_cell_that_has_them(base, tmp_path):
    of = followed(base("x * f", "focus: x, at: {f: b}"), ())
    inside, fit = found(of, tmp_path, "x * f")
    assert inside.numbers["estimate"] == pytest.approx(fit.params["x"] + fit.params["x:f[T.b]"], rel=1e-6)
    without, fit = found(of, tmp_path / "without", "x")
    assert without.numbers["estimate"] == pytest.approx(fit.params["x"], rel=1e-6)
