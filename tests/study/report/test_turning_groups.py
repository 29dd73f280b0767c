"""What is said of an answer that turns on one group, and of one that does not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from support.answers import plain
from support.report_files import report_files

import lmmkit
from lmmkit.model.influence import about_influence
from lmmkit.model.means.focus import find_focus
from lmmkit.plots import influence
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
        "The answer turns on a single level of Clinic: without Clinic Leeds p of the slope of x = "
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
        "The answer turns on no single level of g: without any one of 10 the slope of x lies between "
    )
    assert said[0].endswith(", and its p stays below 0.05 (<0.001).") or "(< 0.001)" in said[0]
    assert said[1].startswith("The answer turns on no single row: without any one of 60 ")
    assert set(found.table.loc[found.table["group"] == "row", "level"]) <= {str(i) for i in range(2, 62)}


@pytest.mark.parametrize("whole", [0.5, float("nan")])
def test_the_picture_has_a_point_for_each_group(whole):
    found, _, _ = told("z")
    axes = influence(found.of_first_group(), label="slope", whole=whole)
    assert axes.shape == (1, 2 if np.isfinite(whole) else 1)
    drawn = np.concatenate([np.asarray(line.get_xdata(), float) for line in axes[0, 0].lines])
    assert sorted(drawn) == pytest.approx(sorted(found.of_first_group()["cooks"]))
