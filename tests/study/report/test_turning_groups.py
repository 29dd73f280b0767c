# ruff: noqa: E501  (a sentence stands as it is printed)
"""What is said of an answer that turns on one group, and of one that does not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from support.answers import plain
from support.report_files import design, report_files

import lmmkit
from lmmkit.model.influence import about_influence
from lmmkit.model.means.focus import find_focus
from lmmkit.plots import influence
from lmmkit.study.pages.marks import Name
from lmmkit.study.pages.seen_names import Labels
from lmmkit.study.report import captions
from lmmkit.study.report.findings import answer_turns, influence_in_words
from lmmkit.study.report.seen import Seen


@cache
def data() -> pd.DataFrame:
    r = np.random.default_rng(5)
    g = np.repeat(np.arange(10), 6)
    x = r.normal(size=60)
    noise = r.normal(0, 0.5, 10)[g] + r.normal(0, 0.3, 60)
    return pd.DataFrame(
        {"g": g, "x": x, "y": 0.02 * x + noise + np.where(g == 7, 1.9 * x, 0.0), "z": x + noise}
    )


def told(response: str, labels: Labels | None = None):
    fit = lmmkit.lmm(f"{response} ~ x + (1 | g)", data())
    found = about_influence.pulls(fit, find_focus(fit.design), list(range(2, 62)), df="auto", level=0.95)
    files = report_files(
        influence=found.table, influences=found.summary, **{"answer.json": {"alpha": 1.0 - 0.95}}
    )
    return found, files, Seen(fit.design, {}, labels or Labels())


def test_an_answer_that_turns_on_a_group_is_a_serious_finding():
    found, files, seen = told("y", Labels({"g": "Clinic"}, {"g": {"7": "Leeds"}}))
    (sentence,) = [plain(each) for each in answer_turns(files, seen)]
    assert sentence.startswith(
        "The answer (slope of x) turns on a single level of Clinic: without Clinic Leeds p = "
    )
    assert " in place of p = " in sentence or " in place of p <" in sentence
    row = found.summary.iloc[0]
    assert (row["turned"], row["units"]) == (1, 10)
    words = captions.influence(found.of_first_group(), found.summary)
    assert str(words["caption"]).endswith("; the answer turns on 7.")
    assert "10 in all" in str(words["alt"])


def test_an_answer_that_turns_on_no_group_has_its_range():
    found, files, seen = told("z")
    assert answer_turns(files, seen) == []
    said = [plain(each) for each in influence_in_words(files, seen)]
    assert said[0].startswith(
        "The answer (slope of x) turns on no single level of g: whichever of the 10 is left out, the estimate lies between "
    )
    assert said[0].endswith(", and its p stays below 0.05 (< 0.001).")
    assert said[1].startswith(
        "The answer (slope of x) turns on no single row: whichever of the 60 is left out, "
    )
    assert set(found.table.loc[found.table["group"] == "row", "level"]) <= {str(i) for i in range(2, 62)}


@pytest.mark.parametrize("whole", [0.5, float("nan")])
def test_the_picture_has_a_point_for_each_group(whole):
    found, _, _ = told("z")
    axes = influence(found.of_first_group(), label="slope", whole=whole)
    assert axes.shape == (1, 2 if np.isfinite(whole) else 1)
    drawn = np.concatenate([np.asarray(line.get_xdata(), float) for line in axes[0, 0].lines])
    assert sorted(drawn) == pytest.approx(sorted(found.of_first_group()["cooks"]))


def unit(group, level, turns="", *, answer=False, estimate=-0.5, p=0.2):
    return {"group": group, "level": level, "turns": turns, "answer": answer, "estimate": estimate, "p": p}


def of(group="g", focus="slope of x", units=10, p=0.03, most_p=0.04, **changes):
    return {
        "group": group, "units": units, "focus": focus, "estimate": 0.25, "p": p, "low": 0.125, "high": 0.5,
        "least_p": 0.01, "most_p": most_p, "turned": 0, "others": 0, "lost": 0, "note": np.nan, **changes,
    }  # fmt: skip


def marked(row, units=(), labels=None):
    """All that is told of one grouping factor."""
    files = report_files(
        influences=[row], influence=pd.DataFrame([unit("h", "0"), *units]), **{"answer.json": {"alpha": 0.05}}
    )
    return influence_in_words(files, Seen(design("y ~ x * f + (1 | g)"), {}, labels or Labels()))


def sentences(row, units=(), labels=None):
    """The same, as it is printed."""
    return [plain(each) for each in marked(row, units, labels)]


RANGE = "The answer (slope of x) turns on no single level of g: whichever of the 10 is left out, the estimate lies between 0.125 and 0.5"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (of(), f"{RANGE}, and its p stays below 0.05 (at most 0.040)."),
        (of(most_p=0.0004), f"{RANGE}, and its p stays below 0.05 (< 0.001)."),
        (of(p=0.3, most_p=0.9), f"{RANGE}, and its p stays above 0.05 (at least 0.010)."),
        (of(p=0.05), f"{RANGE}, and its p stays above 0.05 (at least 0.010)."),
        (of("row"), RANGE.replace("level of g", "row") + ", and its p stays below 0.05 (at most 0.040)."),
        (
            of(focus="interaction x:f", low=np.nan, high=np.nan),
            "The answer (interaction x × f) turns on no single level of g: whichever of the 10 is left out, the p of its test "
            "stays below 0.05 (at most 0.040).",
        ),
        (
            of(focus="f: v less u, at x 2"),
            RANGE.replace("slope of x", "f: v less u, at x 2") + ", and its p stays below 0.05 (at most 0.040).",
        ),
        (
            of(note="No level can be left out."),
            "The influence of the levels of g was not looked at: No level can be left out.",
        ),
        (
            of(focus="x:f[T.v]"),
            RANGE.replace("slope of x", "x × f (v against u)") + ", and its p stays below 0.05 (at most 0.040).",
        ),
        (of("row", note="Too many."), "The influence of the rows was not looked at: Too many."),
        (of(lost=10), "Without any one of 10 levels of g a coefficient cannot be estimated."),
        (of("row", lost=10), "Without any one of 10 rows a coefficient cannot be estimated."),
    ],
)  # fmt: skip
def test_an_answer_that_stays_is_told_with_its_range(row, expected):
    assert sentences(row) == [expected]


def test_names_in_it_are_those_of_readers():
    labels = Labels({"f": "Dose", "x": "weeks"}, {"f": {"v": "High", "u": "Low"}})
    for focus, seen in (
        ("f: v less u, at x 2", "Dose: High less Low, at weeks 2"), ("slope of x", "slope of weeks"),
        ("interaction x:f", "interaction weeks × Dose"), ("x:f[T.v]", "weeks × Dose (High against Low)"),
    ):  # fmt: skip
        assert sentences(of(focus=focus), (), labels)[0].startswith(f"The answer ({seen}) turns on no single")


@pytest.mark.parametrize("focus", ["f: v less u, at x 2", "f: v less u", "slope of x", "interaction x:f"])
def test_a_name_in_it_is_one_that_tables_have(focus):
    """The page's proof looks names up as they are: words before them are none of theirs."""
    known = {focus.removeprefix("interaction ").replace("x:f", "x × f"), "g"}
    (sentence,) = marked(of(focus=focus))
    assert {part.text for part in sentence.parts if isinstance(part, Name)} == known


def test_lost_levels_stand_beside_the_range_of_the_others():
    for lost, without in ((9, "any one of 9 levels"), (1, "1 level")):
        assert sentences(of(lost=lost)) == [
            f"Without {without} of g a coefficient cannot be estimated.",
            RANGE.replace("the 10", "the others") + ", and its p stays below 0.05 (at most 0.040).",
        ]


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ("sign", "the estimate is −0.5 in place of 0.25"),
        ("p", "p = 0.200 in place of p = 0.030"),
        ("sign, p", "the estimate is −0.5 in place of 0.25 and p = 0.200 in place of p = 0.030"),
    ],
)
def test_a_turn_is_told_with_both_numbers(turns, said):
    turned = unit("g", "7", turns, answer=True)
    assert sentences(of(turned=1), [turned]) == [
        f"The answer (slope of x) turns on a single level of g: without g 7 {said}."
    ]


@pytest.mark.parametrize(("count", "named"), [(3, 3), (4, 3)])
def test_three_turning_levels_are_named_and_more_are_counted(count, named):
    (said,) = sentences(of(turned=count), [unit("g", str(i), "sign", answer=True) for i in range(count)])
    assert said.count("without g ") == named
    assert said.endswith("; 4 such levels in all.") == (count == 4)
    assert said.endswith("in place of 0.25.") == (count == 3)


def test_variances_that_turn_are_told_apart_from_the_answer():
    others = [
        unit("g", "1", "g.sd.Intercept vanishes"), unit("g", "2", "g.sd.Intercept appears"),
        unit("g", "3", "sign, g.sd.Intercept vanishes", answer=True), unit("h", "4", "g.sd.Intercept vanishes"),
    ]  # fmt: skip
    told = sentences(of(turned=1, others=2), others)
    assert told == [
        "The answer (slope of x) turns on a single level of g: without g 3 the estimate is −0.5 in place of 0.25.",
        "Without g 1 the parameter g: Intercept, SD is estimated as zero.",
        "Without g 2 the parameter g: Intercept, SD is no longer estimated as zero.",
    ]
    many = [unit("g", str(i), "g.sd.Intercept vanishes") for i in range(5)]
    assert sum("parameter" in text for text in sentences(of(others=5), many)) == 3
