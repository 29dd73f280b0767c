"""A fit that cannot be used says so before anything else: in the terminal, the notebook and the report."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from support import warm
from support.once import made_once, run_of

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
STUDY = """\
schema: 1
title: Groups that do not differ
data:
  source: flat.csv
  columns: {y: {type: number}, x: {type: number}, g: {type: factor}}
model:
  formula: y ~ x + (1 | g)
  algorithm: em
random_effects: {rule: fixed}
"""


def run_flat(project):
    shutil.copytree(ROOT / "notebooks", project / "notebooks")
    (project / "params").mkdir()
    (project / "params/flat.yaml").write_text(STUDY)
    group, x = np.repeat(np.arange(6), 5), np.tile(np.arange(5.0), 6)
    noise = np.random.default_rng(1).normal(size=30).reshape(6, 5)
    y = 10 + 0.5 * x + (noise - noise.mean(axis=1, keepdims=True)).ravel()
    rows = [f"{value!r},{at},g{of:02d}" for value, at, of in zip(y.tolist(), x, group, strict=True)]
    (project / "params/flat.csv").write_text("\n".join(["y,x,g", *rows]) + "\n")
    done = warm.lmmkit(project, "run", "params/flat.yaml", **warm.UNDRAWN)
    assert done.returncode == 0, done.stderr
    (project / "said.txt").write_text(done.stderr)


@pytest.fixture(scope="module")
def stuck(tmp_path_factory):
    """The run of a search by expectation-maximisation whose optimum lies on the boundary, and its words."""
    project = made_once(tmp_path_factory, "flat", run_flat)
    return run_of(project), (project / "said.txt").read_text()


def test_a_failed_certificate_opens_the_report_with_an_alarm(stuck):
    folder, _ = stuck
    assert not json.loads((folder / "summary.json").read_bytes())["converged"]
    assert not json.loads((folder / "certificate.json").read_bytes())["passed"]
    page = (folder / "report.html").read_text()
    alarm = page.index('<div class="alarm"><p><strong>Do not use these numbers.</strong> The search did not')
    assert alarm < page.index('<p class="answer">')
    verdict = BeautifulSoup(page, "html.parser").find("p", {"data-source": "certificate.json"})
    assert verdict["class"] == ["alarm"]
    assert verdict.get_text().startswith("CERTIFICATE FAILED")
    assert "<strong>The search did not converge.</strong>" in page
    assert "<strong>The fit is singular</strong>" in page
    assert "The independent check of the fit failed" in page


def test_a_failed_certificate_stands_in_the_executed_notebooks(stuck):
    folder, _ = stuck
    for name in ("03_fit.ipynb", "04_report.ipynb"):
        assert "CERTIFICATE FAILED" in (folder / name).read_text()


def test_a_failed_certificate_is_told_in_the_terminal(stuck):
    _, told = stuck
    assert "Warning: CERTIFICATE FAILED, do not use these numbers" in told
    assert "the search did not converge" in told


def test_what_scrolls_on_a_narrow_screen_can_be_reached_by_keyboard(stuck):
    folder, _ = stuck
    page = (folder / "report.html").read_text()
    assert '<div class="equations" role="group" tabindex="0"' in page
    assert page.count('<div class="table" role="region" tabindex="0"') == page.count('<div class="table"')
