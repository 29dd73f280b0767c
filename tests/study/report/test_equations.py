"""The model's equations: every term, subscript and covariance that a formula asks for, and no other."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from support.report_files import design

from lmmkit.study.report.mathml import MOST_TERMS, model_equations, name


def text(node):
    """MathML as one line: a_{i}, s^{2}, [a, b; c, d]."""
    inner = [text(child) for child in node]
    if node.tag == "msub":
        return f"{inner[0]}_{{{inner[1]}}}"
    if node.tag == "msup":
        return f"{inner[0]}^{{{inner[1]}}}"
    if node.tag == "mtable":
        return "; ".join(", ".join(text(cell) for cell in line) for line in node)
    if node.tag == "mspace":
        return " "
    if node.tag == "munder":
        return f"{inner[0]}[{inner[1]}]"
    if node.tag == "mover":
        return f"{inner[0]}{inner[1]}".replace("y^", "ŷ")
    if node.tag == "msqrt":
        return f"√({inner[0]})"
    plain = (node.text or "").replace("\N{TILDE OPERATOR}", "~").replace("\N{DOWN TACK}", "T")
    return plain + "".join(inner)


def equations(formula, **options):
    return [text(ET.fromstring(equation)) for equation in model_equations(design(formula, **options))]


TIMES = "\N{INVISIBLE TIMES}"
E, NORMAL = "ε_{i}", "ε_{i}~N(0,σ^{2})"
G = "b_{0,g[i]}"


def covariance(group, size, *, correlated):
    """The distribution of some effects of a group as it is to be written."""
    low, high = "σ_{%d}", "ρ_{%d,%d}"
    rows = [
        ", ".join(
            f"{low % i}^{{2}}"
            if i == j
            else f"{high % (min(i, j), max(i, j))}{low % min(i, j)}{low % max(i, j)}"
            if correlated
            else "0"
            for j in range(size)
        )
        for i in range(size)
    ]
    vector = "[" + "; ".join(f"b_{{{i},j}}" for i in range(size)) + "]"
    return f"{vector}~N(0,G_{{{group}}}), G_{{{group}}}=[{'; '.join(rows)}]"


@pytest.mark.parametrize(
    ("formula", "options", "expected"),
    [
        (
            "y ~ 1 + (1 | g)", {},
            [f"y_{{i}}=β_{{0}}+{G}+{E}", "b_{0,j}~N(0,σ_{g}^{2})", NORMAL],
        ),
        (
            "y ~ x + (1 | g)", {},
            [f"y_{{i}}=β_{{0}}+β_{{1}}{TIMES}x_{{i}}+{G}+{E}", "b_{0,j}~N(0,σ_{g}^{2})", NORMAL],
        ),
        (
            "y ~ 0 + x + (1 | g)", {},
            [f"y_{{i}}=β_{{0}}{TIMES}x_{{i}}+{G}+{E}", "b_{0,j}~N(0,σ_{g}^{2})", NORMAL],
        ),
        (
            "y ~ x * f + (1 | g)", {},
            [
                f"y_{{i}}=β_{{0}}+β_{{1}}{TIMES}x_{{i}}+β_{{2}}{TIMES}f[T.v]_{{i}}+β_{{3}}{TIMES}f[T.w]_{{i}}"
                f"+β_{{4}}{TIMES}x:f[T.v]_{{i}}+β_{{5}}{TIMES}x:f[T.w]_{{i}}+{G}+{E}",
                "b_{0,j}~N(0,σ_{g}^{2})",
                NORMAL,
            ],
        ),
        (
            "y ~ x + (x | g)", {},
            [
                f"y_{{i}}=β_{{0}}+β_{{1}}{TIMES}x_{{i}}+{G}+b_{{1,g[i]}}{TIMES}x_{{i}}+{E}",
                covariance("g", 2, correlated=True),
                NORMAL,
            ],
        ),
        (
            "y ~ x + diag(x | g)", {},
            [
                f"y_{{i}}=β_{{0}}+β_{{1}}{TIMES}x_{{i}}+{G}+b_{{1,g[i]}}{TIMES}x_{{i}}+{E}",
                covariance("g", 2, correlated=False),
                NORMAL,
            ],
        ),
        (
            "y ~ 1 + (0 + x | g)", {},
            [f"y_{{i}}=β_{{0}}+b_{{0,g[i]}}{TIMES}x_{{i}}+{E}", "b_{0,j}~N(0,σ_{g}^{2})", NORMAL],
        ),
        (
            "y ~ 1 + (x + z | h)", {},
            [
                f"y_{{i}}=β_{{0}}+b_{{0,h[i]}}+b_{{1,h[i]}}{TIMES}x_{{i}}+b_{{2,h[i]}}{TIMES}z_{{i}}+{E}",
                covariance("h", 3, correlated=True),
                NORMAL,
            ],
        ),
        (
            "y ~ 1 + diag(x + z | h)", {},
            [
                f"y_{{i}}=β_{{0}}+b_{{0,h[i]}}+b_{{1,h[i]}}{TIMES}x_{{i}}+b_{{2,h[i]}}{TIMES}z_{{i}}+{E}",
                covariance("h", 3, correlated=False),
                NORMAL,
            ],
        ),
        (
            "y ~ 1 + (1 | g) + (1 | h)", {},
            [
                f"y_{{i}}=β_{{0}}+{G}+b_{{0,h[i]}}+{E}",
                "b_{0,j}~N(0,σ_{g}^{2})",
                "b_{0,j}~N(0,σ_{h}^{2})",
                NORMAL,
            ],
        ),
        (
            "y ~ 1 + (1 | g/s)", {},
            [
                f"y_{{i}}=β_{{0}}+b_{{0,s:g[i]}}+{G}+{E}",
                "b_{0,j}~N(0,σ_{s:g}^{2})",
                "b_{0,j}~N(0,σ_{g}^{2})",
                NORMAL,
            ],
        ),
        (
            "y ~ 1 + (x || g)", {},
            [
                f"y_{{i}}=β_{{0}}+{G}+b_{{0,g[i]}}{TIMES}x_{{i}}+{E}",
                "b_{0,j}~N(0,σ_{g}^{2})",
                "b_{0,j}~N(0,σ_{g.1}^{2})",
                NORMAL,
            ],
        ),
        (
            "y ~ 1 + (1 | g) + (0 + x | g)", {},
            [
                f"y_{{i}}=β_{{0}}+{G}+b_{{0,g[i]}}{TIMES}x_{{i}}+{E}",
                "b_{0,j}~N(0,σ_{g}^{2})",
                "b_{0,j}~N(0,σ_{g.1}^{2})",
                NORMAL,
            ],
        ),
        (
            "y ~ 1 + (1 | g)", {"weights": "w"},
            [f"y_{{i}}=β_{{0}}+{G}+{E}", "b_{0,j}~N(0,σ_{g}^{2})", "ε_{i}~N(0,σ^{2}/w_{i})"],
        ),
        (
            "y ~ x + offset(z) + (1 | g)", {},
            [f"y_{{i}}=β_{{0}}+β_{{1}}{TIMES}x_{{i}}+{G}+o_{{i}}+{E}", "b_{0,j}~N(0,σ_{g}^{2})", NORMAL],
        ),
        (
            "log(w) ~ 1 + (1 | g)", {"offset": "z", "weights": "w"},
            [f"log(w)_{{i}}=β_{{0}}+{G}+o_{{i}}+{E}", "b_{0,j}~N(0,σ_{g}^{2})", "ε_{i}~N(0,σ^{2}/w_{i})"],
        ),
        (
            "y ~ poly(x, 4) + poly(z, 4) + (1 | g)", {},
            [f"y_{{i}}=x_{{i}}^{{T}}β+{G}+{E}", "b_{0,j}~N(0,σ_{g}^{2})", NORMAL],
        ),
    ],
)  # fmt: skip
def test_equations(formula, options, expected):
    assert equations(formula, **options) == expected


def test_the_longest_fixed_part_that_is_written_out():
    mean = equations("y ~ poly(x, 4) + poly(z, 3) + (1 | g)")[0]
    assert MOST_TERMS == 8
    assert mean.count("β") == MOST_TERMS


def test_many_effects_of_a_group_have_a_matrix_without_entries():
    four = equations("y ~ 1 + diag(x + z + w | g)")[1]
    assert four == covariance("g", 4, correlated=False)
    five = equations("y ~ 1 + diag(x + z + w + I(x^2) | g)")[1]
    assert five == "b_{j}~N(0,G_{g}), G_{g}"


def test_a_model_without_random_effects():
    fixed = design("y ~ x + (1 | g)")
    object.__setattr__(fixed, "random", ())
    found = [text(ET.fromstring(equation)) for equation in model_equations(fixed)]
    assert found == [f"y_{{i}}=β_{{0}}+β_{{1}}{TIMES}x_{{i}}+{E}", NORMAL]


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        (
            "y ~ x + (x | g)",
            [
                "y ~ 1 + x + (1 + x | g), written out for observation i",
                "The 2 effects of each level of g are normal with mean zero",
                "The residuals are normal",
            ],
        ),
        (
            "y ~ 1 + (1 | g)",
            [
                "y ~ 1 + (1 | g), written out for observation i",
                "The effect of each level of g is normal with mean zero",
                "The residuals are normal",
            ],
        ),
    ],
)
def test_equations_in_words_for_the_ear(formula, words):
    found = [ET.fromstring(equation) for equation in model_equations(design(formula))]
    assert [node.get("aria-label") for node in found] == words
    assert all(node.get("display") == "block" for node in found)


def test_names_of_columns_are_escaped_and_upright():
    (mean, *_) = model_equations(design("y ~ x + (1 | g)"))
    assert '<mi mathvariant="normal">y</mi>' in mean
    assert "<mi>ε</mi>" in mean
    assert name("<b&>") == '<mi mathvariant="normal">&lt;b&amp;&gt;</mi>'


@pytest.mark.parametrize(
    ("term", "diagonal", "apart"),
    [
        ("cs(0 + f | g)", "σ_{k}^{2}", "σ_{k}σ_{m}ρ"),
        ("homcs(0 + f | g)", "σ^{2}", "σ^{2}ρ"),
        ("ar1(0 + f | g)", "σ^{2}", "σ^{2}ρ^{|k−m|}"),
        ("hetar1(0 + f | g)", "σ_{k}^{2}", "σ_{k}σ_{m}ρ^{|k−m|}"),
        ("toep(0 + f | g)", "σ_{k}^{2}", "σ_{k}σ_{m}ρ_{|k−m|}"),
        ("homtoep(0 + f | g)", "σ^{2}", "σ^{2}ρ_{|k−m|}"),
        ("homdiag(0 + f | g)", "σ^{2}", "0"),
        ("exp(0 + pos(x, z) | g)", "σ^{2}", "σ^{2}e^{−d_{k,m}/r}"),
        ("ou(0 + pos(x) | g)", "σ^{2}", "σ^{2}e^{−d_{k,m}/r}"),
    ],
)
def test_equations_of_patterned_covariances(term, diagonal, apart):
    mean, effects, _ = equations(f"y ~ 1 + {term}")
    same, other = "G_{g}_{k,k}", "G_{g}_{k,m}"
    assert effects.endswith(f"~N(0,G_{{g}}), {same}={diagonal},{other}={apart}(k≠m)")
    positions = term.startswith(("exp", "ou"))
    assert mean == "y_{i}=β_{0}+" + (
        f"z_{{i}}^{{T}}b_{{g[i]}}+{E}"
        if positions
        else f"{G}{TIMES}f[u]_{{i}}+b_{{1,g[i]}}{TIMES}f[v]_{{i}}+b_{{2,g[i]}}{TIMES}f[w]_{{i}}+{E}"
    )


def test_equations_of_levels_that_are_related():
    K = pd.DataFrame(np.eye(4) + 0.25, index=list("abcd"), columns=list("abcd"))
    parents = pd.DataFrame(
        {"id": list("abcd"), "sire": [None, None, "a", "a"], "dam": [None, None, "b", "b"]}
    )
    for known, sign in ((K, "K"), (parents, "A")):
        one, several = (equations(f"y ~ 1 + {term}", known={"g": known}) for term in ("(1 | g)", "(x | g)"))
        assert one[1] == f"b_{{0}}~N(0,σ_{{g}}^{{2}}{TIMES}{sign})"
        assert several[1] == f"b~N(0,{sign}⊗G_{{g}})"
    heard = ET.fromstring(model_equations(design("y ~ 1 + (1 | g)", known={"g": K}))[1]).get("aria-label")
    assert heard == (
        "The effect of each level of g is normal with mean zero, related between levels by a known matrix"
    )


APART = "|h[k]−h[i]|"


@pytest.mark.parametrize(
    ("residual", "options", "variance", "right"),
    [
        ("cs(h | g)", {}, "σ^{2}", "ρ"),
        ("csh(h | g)", {}, "σ_{h[i]}^{2}", "ρ"),
        ("un(h | g)", {}, "σ_{h[i]}^{2}", "ρ_{h[i],h[k]}"),
        ("un(h | g)", {"weights": "w"}, "σ_{h[i]}^{2}/w_{i}", "ρ_{h[i],h[k]}"),
        ("ar1(h | g)", {}, "σ^{2}", f"ρ^{{{APART}}}"),
        ("ar1(1 | g)", {}, "σ^{2}", "ρ^{|t_{k}−t_{i}|}"),
        ("toeph(h | g)", {}, "σ_{h[i]}^{2}", f"ρ_{{{APART}}}"),
        ("ad(h | g)", {}, "σ^{2}", "∏[h[i]≤t<h[k]]ρ_{t,t+1}"),
        ("ident(f) * cs(h | g)", {}, "σ_{f[i]}^{2}", "ρ"),
    ],
)
def test_equations_of_correlated_residuals(residual, options, variance, right):
    found = equations("y ~ x", residual=residual, **options)
    mean = f"y_{{i}}=β_{{0}}+β_{{1}}{TIMES}x_{{i}}+{E}"
    correlation = f"cor(ε_{{i}},ε_{{k}})={right}, g[i]=g[k]"
    assert found == [mean, f"ε_{{i}}~N(0,{variance})", correlation]


def test_equations_of_residuals_with_parameters_by_group():
    found = equations("y ~ x", residual="ar1h(h | g, by=b)")
    assert found[1:] == [
        "ε_{i}~N(0,σ_{b[i],h[i]}^{2})",
        f"cor(ε_{{i}},ε_{{k}})=ρ_{{b[i]}}^{{{APART}}}, g[i]=g[k]",
    ]


def test_residuals_of_several_variances_alone():
    assert equations("y ~ x", residual="ident(f)")[1:] == ["ε_{i}~N(0,σ_{f[i]}^{2})"]


FADING = "e^{−|z[k]−z[i]|/r}"


@pytest.mark.parametrize(
    ("residual", "equation"),
    [
        ("car1(z | g)", ["ε_{i}~N(0,σ^{2})", f"cor(ε_{{i}},ε_{{k}})={FADING}, g[i]=g[k]"]),
        (
            "power(w) * car1(z | g)",
            ["ε_{i}~N(0,σ^{2}|w[i]|^{2δ})", f"cor(ε_{{i}},ε_{{k}})={FADING}, g[i]=g[k]"],
        ),
        ("ident(f) * car1(z | g)", ["ε_{i}~N(0,σ_{f[i]}^{2})", f"cor(ε_{{i}},ε_{{k}})={FADING}, g[i]=g[k]"]),
        ("exp(x)", ["ε_{i}~N(0,σ^{2}e^{2δx[i]})"]),
        ("power(fitted)", ["ε_{i}~N(0,σ^{2}|ŷ_{i}|^{2δ})"]),
        ("exp(x) * cs(h | g)", ["ε_{i}~N(0,σ^{2}e^{2δx[i]})", "cor(ε_{i},ε_{k})=ρ, g[i]=g[k]"]),
        (
            "expsp(x, z | g, nugget=TRUE)",
            [
                "ε_{i}~N(0,σ^{2})",
                "cor(ε_{i},ε_{k})=(1−ν)e^{−d_{i,k}/r}, g[i]=g[k]",
                "d_{i,k}=√((x[k]−x[i])^{2}+(z[k]−z[i])^{2})",
            ],
        ),
        (
            "expsp(x, z | 1)",
            [
                "ε_{i}~N(0,σ^{2})",
                "cor(ε_{i},ε_{k})=e^{−d_{i,k}/r}",
                "d_{i,k}=√((x[k]−x[i])^{2}+(z[k]−z[i])^{2})",
            ],
        ),
    ],
)
def test_equations_of_residuals_that_fade_and_of_variances_that_follow_numbers(residual, equation):
    assert equations("y ~ x", residual=residual)[1:] == equation


def test_correlated_residuals_beside_random_effects():
    found = equations("y ~ x + (1 | g)", residual="car1(z | g)")
    assert found[0].endswith(f"+{E}")
    assert "b_{0" in found[0]
    assert found[-1] == f"cor(ε_{{i}},ε_{{k}})={FADING}, g[i]=g[k]"


def test_correlated_residuals_in_words_for_the_ear():
    found = [ET.fromstring(equation) for equation in model_equations(design("y ~ x", residual="un(h | g)"))]
    assert [node.get("aria-label") for node in found] == [
        "y ~ 1 + x, written out for observation i",
        "The residuals are normal with mean zero",
        "Residuals of two rows of one g are correlated, those of others are independent",
    ]


def test_a_distance_in_words_for_the_ear():
    found = model_equations(design("y ~ x", residual="expsp(x, z | 1)"))
    assert [ET.fromstring(equation).get("aria-label") for equation in found[1:]] == [
        "The residuals are normal with mean zero",
        "Residuals of any two rows are correlated by their distance",
        "The distance of two rows",
    ]


def test_an_equation_goes_on_in_the_next_line_and_its_brackets_grow():
    mean, effects, _ = model_equations(design("y ~ x + (x | g)"))
    assert mean.startswith('<math display="block" aria-label="y ~ 1 + x + (1 + x | g), written out for')
    assert '"><mrow class="wraps"><mrow>' in mean
    assert mean.count('<mo form="infix">+</mo>') == 4  # of five terms
    assert effects.count('<mo fence="true" stretchy="true" form="prefix">[</mo><mtable>') == 2
    assert effects.count('</mtable><mo fence="true" stretchy="true" form="postfix">]</mo>') == 2
    assert '<mo>,</mo><mspace width="1em"></mspace></mrow><mrow>' in effects
