"""The page of a report: what a reader without eyes, without a mouse, with a phone or with paper finds.

The study has what strains a page: twelve coefficients, long labels, a logged response, an offset and weights.
"""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from support import warm
from support.browser import chromium
from support.once import made_once, run_of

from lmmkit.study.pages.read_page import printed_text
from lmmkit.study.report.read_back import prove

ROOT = Path(__file__).parents[2]
STUDY = """\
schema: 1
title: Achievement at school, by the experience of the teacher and the programme of instruction
data:
  source: data/wide.csv
  columns:
    achievement: {type: number, unit: points, label: achievement in the final examination}
    experience_in_years: {type: number, unit: a, label: experience of the teacher}
    programme_of_instruction:
      type: factor
      label: programme of instruction
      levels: [lectures only, lectures and tutorials, self study with a mentor, blended learning]
    support: {type: number, unit: points, label: support by the parents}
    sex: {type: factor}
    hours: {type: number, unit: h}
    pupils: {type: number}
    school: {type: factor}
model:
  formula: log(achievement) ~ experience_in_years * programme_of_instruction + scale(support) + I(support^2)
    + sex + offset(log(hours)) + (experience_in_years | school)
  weights: pupils
random_effects: {candidates: ["(1 | school)", "(experience_in_years | school)"]}
report: {focus: experience_in_years}
"""
WIDTHS = (1280, 1024, 390)


def run_wide(project):
    shutil.copytree(ROOT / "notebooks", project / "notebooks")
    (project / "params/data").mkdir(parents=True)
    random, n = np.random.default_rng(7), 160
    school = np.repeat(np.arange(16), 10)
    frame = pd.DataFrame({"school": [f"s{k:02d}" for k in school]})
    frame["experience_in_years"] = random.integers(1, 30, n)
    names = ["lectures only", "lectures and tutorials", "self study with a mentor", "blended learning"]
    frame["programme_of_instruction"] = [names[k] for k in random.integers(0, 4, n)]
    frame["support"], frame["sex"] = random.normal(50, 9, n).round(1), np.array(["f", "m"])[np.arange(n) % 2]
    frame["hours"], frame["pupils"] = random.uniform(1, 3, n).round(2), random.integers(5, 30, n)
    effects = 0.2 * random.normal(size=(2, 16))[:, school]
    mean = 2.0 + np.log(frame["hours"]) + 0.01 * frame["support"] + effects[0]
    slope = (0.02 + 0.1 * effects[1]) * frame["experience_in_years"]
    frame["achievement"] = np.exp(mean + slope + random.normal(size=n) / np.sqrt(frame["pupils"])).round(3)
    frame.to_csv(project / "params/data/wide.csv", index=False)
    (project / "params/wide.yaml").write_text(STUDY)
    done = warm.lmmkit(project, "run", "params/wide.yaml")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_of(made_once(tmp_path_factory, "wide", run_wide))


@pytest.fixture(scope="module")
def page(run):
    return BeautifulSoup((run / "report.html").read_bytes(), "html.parser")


def test_every_number_of_it_stands_in_a_file(run):
    assert prove((run / "report.html").read_text(encoding="utf-8"), run).loose == []


def test_labels_stand_where_a_reader_looks_and_names_in_files(run):
    seen = printed_text((run / "report.html").read_text(encoding="utf-8"))
    assert "achievement in the final examination increases with experience of the teacher: it changes" in seen
    assert "experience of the teacher × programme of instruction" in seen
    caption = json.loads((run / "figures/data.json").read_bytes())["caption"]
    assert "achievement in the final examination against experience of the teacher" in caption
    assert "experience_in_years" in pd.read_csv(run / "tables/coefficients.csv")["coefficient"].tolist()


def test_headings_go_down_one_by_one(page):
    levels = [int(heading.name[1]) for heading in page.main.find_all(["h1", "h2", "h3", "h4"])]
    assert len(page.find_all("h1")) == 1
    assert all(later <= earlier + 1 for earlier, later in zip([1, *levels], levels, strict=False))
    assert all(heading.get_text(strip=True) for heading in page.find_all(["h1", "h2", "h3", "h4"]))


def test_ids_are_unique_and_every_link_leads_somewhere(page):
    ids = [tag["id"] for tag in page.select("[id]")]
    assert len(set(ids)) == len(ids)
    links = [link["href"] for link in page.select("a[href]")]
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    assert all(
        name in ids for tag in page.select("[aria-labelledby]") for name in tag["aria-labelledby"].split()
    )


def test_the_contents_list_every_section(page):
    sections = [section["id"] for section in page.select("main > section")]
    assert [link["href"] for link in page.select("nav a")] == [f"#{name}" for name in sections]


def test_every_table_has_a_caption_heads_and_whole_rows(page):
    tables = page.find_all("table")
    assert len(tables) > 8
    for table in tables:
        heads = table.thead.find_all("th")
        assert table.caption.get_text(strip=True)
        assert all(head["scope"] == "col" for head in heads)
        for row in table.tbody.find_all("tr"):
            assert row.th["scope"] == "row"
            assert len(row.find_all(["th", "td"])) == len(heads)
            assert [cell["data-title"] for cell in row.find_all("td")] == [head.text for head in heads[1:]]


def test_no_column_of_a_table_repeats_one_method(page):
    for table in page.find_all("table"):
        rows = [[cell.text for cell in row.find_all(["th", "td"])] for row in table.tbody.find_all("tr")]
        heads = [head.text for head in table.thead.find_all("th")]
        for title, column in zip(heads, zip(*rows, strict=True), strict=bool(rows)):
            assert " by" not in title or len(set(column)) > 1, title


def test_pictures_formulas_and_folds_have_words(page):
    for figure in page.find_all("figure"):
        assert figure.img["alt"].strip()
        assert figure.figcaption.get_text(strip=True)
    assert all(formula["aria-label"] for formula in page.find_all("math"))
    assert all(fold.find(recursive=False).name == "summary" for fold in page.find_all("details"))


def test_brackets_of_matrices_are_fences(page):
    matrices = page.find_all("mtable")
    assert len(matrices) == 2
    for matrix in matrices:
        signs = [mark.text for mark in matrix.parent.find_all("mo", attrs={"fence": "true"}, recursive=False)]
        assert signs == ["[", "]"]


def test_the_machinery_is_folded_behind_one_line_each(page):
    for name in ("certificate", "convergence", "code"):
        section = page.find(id=name)
        shown = [
            tag for tag in section.find_all(["table", "figure", "pre"]) if tag.find_parent("details") is None
        ]
        assert shown == []
        assert section.find("summary").get_text(strip=True)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser, run):
    """The report in a tab of its own, in a colour scheme."""
    contexts = []

    def open_it(scheme="light"):
        contexts.append(browser.new_context(color_scheme=scheme))
        tab = contexts[-1].new_page()
        tab.goto((run / "report.html").as_uri())
        return tab

    yield open_it
    for context in contexts:
        context.close()


#: Elements that reach beyond the page, and boxes whose content is wider than they are.
CLIPPED = """() => {
  const width = document.documentElement.clientWidth, found = [];
  for (const e of document.querySelectorAll('body *')) {
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    if (!box.width || !box.height || style.clipPath !== 'none' || e.closest('thead')) continue;
    const hidden = e.scrollWidth > e.clientWidth + 1 && e.clientWidth && style.overflowX !== 'visible';
    const scrolls = width < 400 && e.closest('.equations');  // a long name in a formula, on a phone
    if ((box.right > width + 1 || hidden) && !scrolls)
      found.push(`${e.tagName} ${e.className} ${e.textContent.slice(0, 40)}`);
  }
  return found;
}"""
UNFOLD = "document.querySelectorAll('details').forEach(fold => fold.open = true)"


@pytest.mark.slow
def test_nothing_is_clipped_at_any_width_or_on_paper(opened):
    tab = opened()
    tab.evaluate(UNFOLD)
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate(CLIPPED) == [], width
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 680, "height": 900})  # A4 less margins of 15 mm
    assert tab.evaluate(CLIPPED) == []


@pytest.mark.slow
def test_pictures_fill_their_column(opened):
    tab = opened()
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})
        sizes = tab.evaluate("[...document.querySelectorAll('main figure img')].map(e => e.clientWidth)")
        column = tab.evaluate("document.querySelector('main').clientWidth")
        assert {size for size in sizes if size} == {column}


COLOURS = ["color-contrast", "link-in-text-block"]
#: Widths, what axe looks for, how many rules find something at least. Colours take nearly all of its time:
#: they hang on the scheme alone, and are looked at where text is smallest; nothing else hangs on the scheme.
AXE = {
    "light": [(1280, {"rules": {name: {"enabled": False} for name in COLOURS}}, 30), (390, {}, 31)],
    "dark": [(390, {"runOnly": COLOURS}, 1)],
}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", AXE)
def test_axe_finds_no_violation(opened, scheme):
    wheel = find_spec("axe_playwright_python")
    if wheel is None or wheel.origin is None:
        pytest.skip("axe-playwright-python is not installed (extra `test`)")
    tab = opened(scheme)
    tab.evaluate(UNFOLD)
    tab.evaluate((Path(wheel.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    for width, options, fewest in AXE[scheme]:
        tab.set_viewport_size({"width": width, "height": 900})
        # What passes is counted alone: naming each element that does would take longer than the rules.
        found = tab.evaluate("options => axe.run(options)", {**options, "resultTypes": ["violations"]})
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == []
        assert len(found["passes"]) >= fewest
