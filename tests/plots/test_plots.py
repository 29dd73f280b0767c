"""Pictures: drawn from tables, with named axes, the same bytes each time, room for thousands of groups."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from support.pictures import PICTURES, drawn, effects, square

from lmmkit import plots
from lmmkit.plots.style import figure_of

SHARED = {
    "candidates",
    "caterpillar",
    "random_pairs",
    "trellis",
    "trellis of a factor",
}  # outer axes speak for all
UNNAMED = {"correlations", "incidence"}  # the names of rows and columns say what they are


def visible(axes):
    return [ax for ax in np.atleast_1d(axes).flat if ax.get_visible()]


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_laid_out_and_written(name):
    assert plots.svg_bytes(drawn(name)).startswith(b"<?xml")


@pytest.mark.parametrize("name", ["blocks", "missing", "response"])
def test_a_picture_is_the_same_bytes_each_time(name):
    """Its names of clips, markers, letters and images, of which these have all kinds.

    What is drawn is told by `test_every_line_point_area_and_word_is_as_it_was_found_right`.
    """
    first, second = (plots.svg_bytes(PICTURES[name]()) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", sorted(set(PICTURES) - UNNAMED))
def test_every_axis_has_a_text(name):
    axes = drawn(name)
    figure = figure_of(axes)
    outer = bool(figure.get_supxlabel() and figure.get_supylabel()) or name in SHARED
    assert all(outer or (ax.get_xlabel() and ax.get_ylabel()) for ax in visible(axes))


def test_units_stand_on_the_axes():
    assert drawn("response").get_xlabel() == "y (ms)"
    assert figure_of(drawn("trellis")).get_supylabel() == "y (ms)"


def test_a_picture_holds_no_address_but_those_of_its_language():
    content = plots.svg_bytes(drawn("forest"))
    addresses = {part.split(b'"')[0] for part in content.split(b"http://")[1:]}
    assert addresses == {b"www.w3.org/1999/xlink", b"www.w3.org/2000/svg"}
    assert b"https" not in content


def test_thousands_of_levels_fit_into_one_picture():
    many = [str(i) for i in range(3_000)]
    assert len(plots.svg_bytes(plots.caterpillar(effects(many), label="Effect"))) < 400_000


def test_names_with_dollars_stay_text():
    table = pd.DataFrame({"coefficient": ["cost $a$ $"], "estimate": [1.0], "low": [0.0], "high": [2.0]})
    (content,) = plots.forest(table, label="Change ($)")
    plots.svg_bytes(content)
    assert [label.get_text() for label in content.get_yticklabels()] == [r"cost \$a\$ \$"]


def test_no_correlation_is_said_instead_of_drawn():
    axes = plots.correlations(square("g", []))
    assert "no correlation" in axes[0, 0].get_title(loc="left")


def test_pictures_leave_the_settings_of_matplotlib_alone():
    before = dict(mpl.rcParams)
    plots.svg_bytes(PICTURES["trellis"]())
    assert dict(mpl.rcParams) == before
