"""What an audit says, case by case: numbers in, verdict and words out."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imsave

from lmmkit import lmm
from lmmkit.errors import DataError, RunError
from lmmkit.model.certificate import UNCHECKED as LEFT
from lmmkit.model.certificate import certify
from lmmkit.study.audit import audit as audits
from lmmkit.study.audit import integrity, rerun, second_opinion
from lmmkit.study.audit.artefacts import Circumstances, compare_artefact, compare_runs
from lmmkit.study.audit.audit import MACHINE, audit_run, check_environment, circumstances, render
from lmmkit.study.audit.integrity import RunFolder, check_integrity, open_run
from lmmkit.study.audit.reproduce import compare_pages
from lmmkit.study.audit.rerun import RecordedStudy, _known_files, _put, find_data, recorded_study
from lmmkit.study.audit.second_opinion import (
    Opinion,
    ask_lme4,
    ask_statsmodels,
    certified,
    compare_opinion,
    read_lme4,
    statsmodels_cannot,
    write_for_lme4,
)
from lmmkit.study.audit.verdicts import (
    DIFFERS,
    HOLDS,
    IDENTICAL,
    OTHER,
    UNCHECKED,
    UNTRUSTED,
    WITHIN,
    Audit,
    Finding,
    compare_key,
)
from lmmkit.study.records.artifacts import sha256
from lmmkit.study.records.keys import machine, package_digest, recorded_key, versions
from lmmkit.study.records.manifest import File, Manifest, Record

SLEEP = pd.read_csv(Path(__file__).parents[3] / "params/data/sleepstudy.csv")


def findings(*verdicts: str) -> tuple[Finding, ...]:
    return tuple(Finding("integrity", f"file {i}", verdict) for i, verdict in enumerate(verdicts))


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ([HOLDS, IDENTICAL, HOLDS], "Everything holds: 2 holds, 1 identical."),
        ([HOLDS, IDENTICAL, HOLDS, UNCHECKED],
         "Nothing differs, and 1 of 4 checks could not be made: file 3; the others: 2 holds, 1 identical."),
        ([UNCHECKED] * 7,
         "Nothing differs, and 7 of 7 checks could not be made: file 0, file 1, file 2, file 3, file 4 and 2 "
         "more; the others: none."),
        ([OTHER, WITHIN, UNTRUSTED], "Everything holds: 1 other, 1 untrusted, 1 within tolerance."),
        ([HOLDS, DIFFERS], "DO NOT TRUST THIS RUN: 1 of 2 checks differ: file 1."),
        ([UNCHECKED, DIFFERS], "DO NOT TRUST THIS RUN: 1 of 2 checks differ: file 1; 1 could not be made."),
        ([DIFFERS] * 5,
         "DO NOT TRUST THIS RUN: 5 of 5 checks differ: file 0, file 1, file 2, file 3, file 4."),
        ([DIFFERS] * 6,
         "DO NOT TRUST THIS RUN: 6 of 6 checks differ: file 0, file 1, file 2, file 3, file 4 and 1 more."),
        ([DIFFERS] * 7 + [HOLDS],
         "DO NOT TRUST THIS RUN: 7 of 8 checks differ: file 0, file 1, file 2, file 3, file 4 and 2 more."),
    ],
)  # fmt: skip
def test_an_audit_holds_unless_something_differs(verdicts, sentence):
    audit = Audit("sleep", "k", findings(*verdicts))
    assert audit.sentence() == sentence
    assert audit.holds == (DIFFERS not in verdicts)
    plain = audit.to_dict()
    assert (plain["holds"], plain["sentence"]) == (audit.holds, sentence)
    assert plain["unchecked"] == len(audit.unchecked) == verdicts.count(UNCHECKED)
    page = render(audit)
    assert sentence in page
    assert ('class="verdict bad"' in page) == (not audit.holds)
    assert page.count('<td class="differs">') == verdicts.count(DIFFERS)
    assert page.count('<td class="left">') == sum(verdicts.count(v) for v in (UNCHECKED, OTHER, UNTRUSTED))


def opinions(**found: tuple[str, str]) -> list[Finding]:
    return [
        Finding("second opinion", f"{name}: deviance", verdict, said)
        for name, (verdict, said) in found.items()
    ]


CHECKS = [Finding("second opinion", f"check {i}", HOLDS) for i in range(3)]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([], "No second opinion was asked."),
        (CHECKS, "The referee's 3 checks hold."),
        ([*CHECKS, *opinions(a=(HOLDS, ""), b=(HOLDS, ""))],
         "The referee's 3 checks hold; a and b find the same optimum and the same fixed effects."),
        ([*CHECKS, *opinions(a=(HOLDS, ""), b=(UNCHECKED, "it is not installed"))],
         "The referee's 3 checks hold; a finds the same optimum and the same fixed effects; b says nothing "
         "(it is not installed)."),
        ([*CHECKS, Finding("second opinion", "x", DIFFERS), *opinions(a=(DIFFERS, ""))],
         "1 of the referee's 4 checks do not hold; a CONTRADICTS the run."),
        ([*opinions(a=(HOLDS, "")), Finding("second opinion", "a: fixed effects", DIFFERS)],
         "The referee's 0 checks hold; a CONTRADICTS the run."),
    ],
)  # fmt: skip
def test_what_the_second_opinions_agreed_on_is_told_in_a_sentence(found, sentence):
    assert Audit("s", "k", tuple(found)).agreement() == sentence
    assert json.dumps(sentence)[1:-1] in json.dumps(Audit("s", "k", tuple(found)).to_dict())


def test_a_page_has_each_part_of_an_audit_with_what_was_found():
    parts = ["integrity", "consistency", "re-execution", "reading", "second opinion", "environment"]
    found = tuple(
        Finding(part, f"asked of {part}", HOLDS, f"found of {part}", f"due of {part}") for part in parts
    )
    page = render(Audit("s", "k", found))
    at = [page.index(f"{word} of {part}") for part in parts for word in ("asked", "found", "due")]
    assert at == sorted(at)


SETTINGS = {"data": {"source": "d.csv"}, "seed": 1}
PROVENANCE = {
    "study": "s", "sha256": "d", "notebooks": {"01_a": "x"}, "package": "p", "versions": {}, "overrides": {},
    "command": "lmmkit run params/s.yaml",
}  # fmt: skip


def test_a_key_is_identical_only_where_record_manifest_and_provenance_agree():
    key = recorded_key(SETTINGS, PROVENANCE)
    cases = [
        (SETTINGS, key, key, IDENTICAL),
        (SETTINGS, "other", key, DIFFERS),
        (SETTINGS, key, "other", DIFFERS),
        ({**SETTINGS, "seed": 2}, key, key, DIFFERS),
    ]
    for settings, said, listed, verdict in cases:
        found = compare_key("environment", "key", settings, {**PROVENANCE, "key": said}, listed)
        assert (found.verdict, found.expected) == (verdict, listed)


HERE, ANOTHER_MACHINE, OTHER_CODE = Circumstances(), Circumstances(machine=True), Circumstances(("lmmkit",))


def compared(path: str, one: str, other: str, *, exact: bool = False) -> Finding:
    return compare_artefact(path, one.encode(), other.encode(), HERE if exact else ANOTHER_MACHINE)


@pytest.mark.parametrize(
    ("path", "field", "value", "within", "beyond"),
    [
        ("tables/coefficients.csv", "estimate", 10.0, 10.0 + 9e-6, 10.0 + 1.2e-5),
        ("tables/coefficients.csv", "estimate", 10.0, 10.0 - 9e-6, 10.0 - 1.2e-5),
        ("tables/coefficients.csv", "p", 0.04, 0.04 + 3.9e-6, 0.04 + 4.1e-6),
        ("fit.json", "deviance", 1000.0, 1000.0 + 9e-4, 1000.0 + 1.1e-3),
        ("figures/a.json", "x", 2.0, 2.0 + 1.9e-4, 2.0 + 2.1e-4),
        ("tables/path.csv", "estimate", 3.0, 3.0029, 3.0031),
        ("tables/path.csv", "deviance", 1000.0, 1000.0009, 1000.0011),
        ("fit.json", "gradient", 1e-9, 9e-7, 2e-6),
        ("tables/certificate.csv", "value", 1e-14, 1e-9, None),
        ("tables/certificate.csv", "threshold", 1e-6, None, 2e-6),
        ("rows.csv", "x", 1.5, None, 1.5 + 1e-12),
        ("data.schema.json", "x", 1.5, None, 1.5 + 1e-12),
    ],
)  # fmt: skip
def test_a_number_may_differ_by_the_tolerance_of_its_kind_and_not_by_more(path, field, value, within, beyond):
    def content(x: float) -> str:
        return json.dumps({field: x}) if path.endswith("json") else f"{field}\n{x!r}\n"

    for x, verdict in ((within, WITHIN), (beyond, DIFFERS)):
        if x is not None:
            assert compared(path, content(value), content(x)).verdict == verdict, x
            assert compared(path, content(value), content(x), exact=True).verdict == DIFFERS


def test_what_differs_is_named_up_to_three_times():
    one, other = ({f"x{i}": float(i) for i in range(1, 6)}, {f"x{i}": i + 0.5 for i in range(1, 6)})
    for count, words in (
        (1, "x1: 1.0, again 1.5"),
        (3, "x3: 3.0, again 3.5"),
        (4, "; and 1 more"),
        (5, "; and 2 more"),
    ):
        first, second = ({k: side[k] for k in list(side)[:count]} for side in (one, other))
        found = compared("tables/a.json", json.dumps(first), json.dumps(second))
        assert found.found.endswith(words)
        assert found.expected == "the same values"
    within = compared("tables/a.json", '{"x": 1.0, "y": 2.0}', '{"x": 1.0000000001, "y": 2.0}')
    assert within.found == "values differ, none by more than its kind may"
    assert within.expected == "estimate: 1e-06 of the number, 1e-07 of the largest beside it"
    path = compared("trace.csv", "x\n1.0\n", "x\n1.0001\n")
    assert path.expected == "the search's own path: 0.001 of the number, 1e-06 of the largest beside it"
    text = compared("tables/a.csv", "name\nyes\n", "name\nno\n")
    assert (text.verdict, text.found) == (DIFFERS, "name 1: yes, again no")
    whole = compared("tables/a.json", '{"n": 180}', '{"n": 181}')
    assert whole.verdict == DIFFERS
    long = compared("tables/a.json", json.dumps({"a": "x" * 60}), json.dumps({"a": "y" * 60}))
    assert long.found == f"a: {'x' * 37}..., again {'y' * 37}..."


def made_run(
    folder: Path, files: dict[str, str], status: str = "complete", error: str | None = None
) -> RunFolder:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    listed = tuple(File(path, len(text), sha256(text.encode())) for path, text in files.items())
    return RunFolder(folder, Manifest("s", "k", status, error, (Record("03_fit", "k", listed),)))


ONE = {
    "same.csv": "x\n1\n", "near.csv": "x\n1.0\n", "far.csv": "x\n1.0\n", "gone.csv": "x\n",
    "report.html": "<p>a</p>", "figures/a.svg": '<path d="1.0 2"/>',
    "provenance.json": '{"a": 1, "machine": "m"}',
    "root.json": "{}",
}  # fmt: skip
OTHER_RUN = {
    "same.csv": "x\n1\n", "near.csv": "x\n1.0000001\n", "far.csv": "x\n1.1\n", "new.csv": "x\n",
    "report.html": "<p>b</p>", "figures/a.svg": '<path d="1.5 2"/>',
    "provenance.json": '{"a": 1, "machine": "n"}',
    "root.json": "[]",
}  # fmt: skip


def test_a_rerun_compares_bytes_or_what_files_say_and_words_of_other_code_are_not_checked(tmp_path):
    one, other = made_run(tmp_path / "a", ONE), made_run(tmp_path / "b", OTHER_RUN)
    exact, machine, code = (
        {f.what: f for f in compare_runs(one, other, of)} for of in (HERE, ANOTHER_MACHINE, OTHER_CODE)
    )
    assert {what: f.verdict for what, f in exact.items()} == {
        "same.csv": IDENTICAL, "near.csv": DIFFERS, "far.csv": DIFFERS, "gone.csv": DIFFERS,
        "report.html": DIFFERS, "figures/a.svg": DIFFERS, "provenance.json": DIFFERS, "new.csv": DIFFERS,
        "root.json": DIFFERS,
    }  # fmt: skip
    assert {what: f.verdict for what, f in machine.items()} == {
        "same.csv": IDENTICAL, "near.csv": WITHIN, "far.csv": DIFFERS, "gone.csv": DIFFERS,
        "report.html": DIFFERS, "figures/a.svg": DIFFERS, "provenance.json": WITHIN, "new.csv": DIFFERS,
        "root.json": WITHIN,
    }  # fmt: skip
    assert {what: f.verdict for what, f in code.items()} == {
        "same.csv": IDENTICAL, "near.csv": WITHIN, "far.csv": DIFFERS, "gone.csv": UNCHECKED,
        "report.html": UNCHECKED, "figures/a.svg": UNCHECKED, "provenance.json": WITHIN,
        "new.csv": UNCHECKED, "root.json": WITHIN,
    }  # fmt: skip
    assert (exact["gone.csv"].found, exact["gone.csv"].expected) == ("there", "missing in the new run")
    assert (exact["new.csv"].found, exact["new.csv"].expected) == ("missing", "there in the new run")
    assert code["new.csv"].found == "made by another lmmkit, which makes this file too"
    assert code["report.html"].found == "other words: made by another lmmkit"


def test_what_other_code_left_out_or_added_is_not_checked_unless_a_value_moved_beside_it():
    def by_other_code(one: str, other: str, *others: str) -> Finding:
        return compare_artefact("tables/a.json", one.encode(), other.encode(), Circumstances(others))

    added = by_other_code('{"x": 1.5}', '{"x": 1.5, "new": 1}', "lmmkit", "notebook 03_fit")
    assert (added.verdict, added.found) == (
        UNCHECKED, "made by another lmmkit and another notebook 03_fit, whose entries are others: new",
    )  # fmt: skip
    assert by_other_code('{"x": 1.5, "old": 1}', '{"x": 1.5}', "lmmkit").found.endswith("others: old")
    moved = by_other_code('{"x": 1.5}', '{"x": 2.5, "new": 1}', "lmmkit")
    assert (moved.verdict, moved.found) == (DIFFERS, "x: 1.5, again 2.5")


def test_some_packages_decide_on_words_and_drawings_and_others_on_numbers():
    words = {name for name in versions() if Circumstances(versions=(name,)).reworded}
    assert words == {"lmmkit", "pandas", "matplotlib", "seaborn", "jinja2"}


MARK = '<data value="{0}" data-source="tables/a.csv" data-field="x.p">{1}</data>'


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        # Numbers with their place are held against their own run; the words around them are the same or not.
        (f"<p>It rises by {MARK.format(1.2, 1)}</p>", f"<p>It rises by {MARK.format(1.2, 1.2)}</p>", WITHIN),
        (f"<p>It rises by {MARK.format(1.2, 1)}</p>", f"<p>It falls by {MARK.format(1.2, 1.2)}</p>", DIFFERS),
        (f"<p>{MARK.format(1.0, 1)}</p>", f"<p>{MARK.format(1.0, 1).replace('x.p', 'x.q')}</p>", DIFFERS),
        ("<p>In 18 groups 10.46</p>", "<p>In 18 groups 10.47</p>", WITHIN),
        ("<p>In 18 groups</p>", "<p>In 19 groups</p>", DIFFERS),
        ("<p>The drug works.</p>", "<p></p>", DIFFERS),
        ("<p>one</p>", "<p>one</p><p>two</p>", DIFFERS),
        ("<mo>=</mo>", "<mo>≠</mo>", DIFFERS),
        ('<p class="a">x</p>', '<p class="b">x</p>', DIFFERS),
        ('<img src="data:a,1" alt="a">', '<img src="data:a,2" alt="a">', WITHIN),
        ('<img src="data:a,1" alt="a">', '<img src="data:a,1" alt="b">', DIFFERS),
    ],
)  # fmt: skip
def test_on_another_machine_a_page_has_the_same_words(one, other, verdict):
    found = compared("report.html", one, other)
    assert found.verdict == verdict
    assert compared("report.html", one, other, exact=True).verdict == DIFFERS
    by_other_code = compare_artefact("report.html", one.encode(), other.encode(), OTHER_CODE)
    assert by_other_code.verdict == (WITHIN if verdict == WITHIN else UNCHECKED)


def book(*cells: tuple[str, str]) -> str:
    made = [
        {"cell_type": "code", "id": str(i), "metadata": {}, "source": source,
         "outputs": [{"output_type": "stream", "name": "stdout", "text": text}]}
        for i, (source, text) in enumerate(cells)
    ]  # fmt: skip
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.mark.parametrize(
    ("one", "other", "verdict", "words"),
    [
        (book(("x", "sd 24.740")), book(("x", "sd 24.741")), WITHIN, "the same but for last digits"),
        (book(("x", "sd 24.740")), book(("x", "sd 24.80")), DIFFERS, "output of cell 1"),
        (book(("x", "1")), book(("y", "1")), DIFFERS, "cell 1"),
        (book(("x", "1")), book(("x", "1"), ("y", "2")), DIFFERS, "cells: 1, again 2"),
        (book(), book(("x", "1")), DIFFERS, "cells: 0, again 1"),
        (book(("x", "good")), book(("x", "bad")), DIFFERS, "output of cell 1"),
        ("{}", book(), DIFFERS, "it cannot be read"),
    ],
)
def test_on_another_machine_a_notebook_has_the_same_sources_and_says_the_same(one, other, verdict, words):
    found = compared("03_fit.ipynb", one, other)
    assert (found.verdict, words in found.found) == (verdict, True), found


def test_what_a_notebook_declares_is_compared_and_a_difference_shown_from_a_little_before_it():
    plain = book(("x", "1"))
    found = compared("03_fit.ipynb", plain, plain.replace('"nbformat_minor": 5', '"nbformat_minor": 4'))
    assert (found.verdict, found.found) == (DIFFERS, "notebook: 5, again 4")
    sources = (book(("step.save(fit)", "")), book(("step.save(law)", "")))
    assert compared("03_fit.ipynb", *sources).found == "cell 1: ep.save(fit), again ep.save(law)"
    for pages in (("<p>a</p><p>b</p>", "<p>a</p>"), ("<p>a</p>", "<p>a</p><p>b</p>")):
        assert " parts, again " in compared("report.html", *pages).found
    words = ("<p>An effect that rises</p>", "<p>An effect that falls</p>")
    assert "ct that rises, again ct that falls" in compared("report.html", *words).found


def test_the_figures_of_a_run_alone_give_pictures_their_names(tmp_path):
    runs = []
    for name, shown in (("a", "YQ=="), ("b", "Yg==")):  # the figure, and in the other run no figure
        shows = book(("x", f'<img src="data:image/svg+xml;base64,{shown}">'))
        runs.append(made_run(tmp_path / name, {"figures/lines.svg": "a", "03_fit.ipynb": shows}))
    found = {finding.what: finding for finding in compare_runs(*runs, ANOTHER_MACHINE)}
    assert found["figures/lines.svg"].verdict == IDENTICAL
    assert found["03_fit.ipynb"].verdict == DIFFERS
    assert 'again mg src="a picture that is no figure' in found["03_fit.ipynb"].found


def test_a_picture_in_an_output_is_a_figure_of_the_run():
    address, forged = (f"data:image/svg+xml;base64,{text}" for text in ("YQ==", "Yg=="))
    one, other = (book(("x", f'<img src="{src}">')).encode() for src in (address, forged))
    names = {sha256(b"a"): "figures/lines.svg"}
    here, there = names, {sha256(b"b"): "figures/lines.svg"}
    assert compare_artefact("a.ipynb", one, other, ANOTHER_MACHINE, here, there).verdict == WITHIN
    assert compare_artefact("a.ipynb", one, other, ANOTHER_MACHINE, here, here).verdict == DIFFERS


DRAWN = '<g id="m0123456789"><path d="M {0} 20.5 L 30.25 40"/><text>{1}</text></g><use href="#m0123456789"/>'


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        (DRAWN.format(100.0, "a"), DRAWN.format(100.009, "a"), WITHIN),
        (DRAWN.format(100.0, "a"), DRAWN.format(100.4, "a"), DIFFERS),
        (DRAWN.format(100.0, "a"), DRAWN.format(100.0, "b"), DIFFERS),
        (DRAWN.format(100.0, "a"), DRAWN.format(100.0, "a").replace("m0123456789", "mabcdef0123"), WITHIN),
        (DRAWN.format(100.0, "a"), DRAWN.format(100.0, "a").replace("<use ", "<usf "), DIFFERS),
        ("<svg></svg>", DRAWN.format(100.0, "a"), DIFFERS),
    ],
)
def test_on_another_machine_a_drawing_has_the_same_elements_in_the_same_places(one, other, verdict):
    assert compared("figures/a.svg", one, other).verdict == verdict
    assert compared("figures/a.svg", one, other, exact=True).verdict == DIFFERS
    # Another version may draw otherwise, but not nothing.
    drawn = compare_artefact(
        "figures/a.svg", one.encode(), other.encode(), Circumstances(versions=("matplotlib",))
    )
    assert drawn.verdict == (DIFFERS if "<svg>" in one else WITHIN if verdict == WITHIN else UNCHECKED)


def png(shade: float, side: int = 4) -> bytes:
    buffer = io.BytesIO()
    imsave(buffer, np.full((side, side, 3), shade), format="png", vmin=0, vmax=1)
    return buffer.getvalue()


def test_on_another_machine_an_image_is_the_same_but_for_shades():
    for other, verdict in ((png(0.502), WITHIN), (png(0.6), DIFFERS), (png(0.5, side=5), DIFFERS)):
        assert compare_artefact("figures/a.png", png(0.5), other, ANOTHER_MACHINE).verdict == verdict


def test_an_image_in_a_drawing_is_the_same_but_for_shades():
    def drawn(content: bytes) -> str:
        return f'<svg><image href="data:image/png;base64,{base64.b64encode(content).decode()}"/></svg>'

    for other, verdict in ((png(0.502), WITHIN), (png(0.6), DIFFERS), (png(0.5, side=5), DIFFERS)):
        found = compared("figures/a.svg", drawn(png(0.5)), drawn(other))
        assert (found.verdict, "an image in the drawing" in found.found) == (verdict, verdict == DIFFERS)


CERTIFICATE = {
    "passed": True,
    "digits": 13,
    "checks": 15,
    "failed": [],
    "sentence": "15 hold: good to 1e-13.",
}


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"digits": 12, "sentence": "15 hold: good to 1e-12."}, WITHIN),
        ({"sentence": "15 hold: perfect."}, DIFFERS),
        ({"passed": False}, DIFFERS),
        ({"checks": 14}, DIFFERS),
        ({"failed": ["a check"]}, DIFFERS),
    ],
)
def test_a_certificate_is_compared_by_its_verdicts(change, verdict):
    one, other = json.dumps(CERTIFICATE), json.dumps(CERTIFICATE | change)
    assert compared("certificate.json", one, other).verdict == verdict


def test_a_search_of_one_step_more_ends_at_the_same_optimum():
    rows = [(0, 1200.5, 30.0), (1, 1010.25, 4.0), (2, 1000.125, 0.001)]
    one, longer, other = (
        "iteration,deviance,gradient\n" + "".join(f"{i},{d!r},{g!r}\n" for i, d, g in table)
        for table in (rows, [*rows, (3, 1000.125, 1e-9)], [*rows[:2], (2, 999.0, 0.001)])
    )
    assert compared("trace.csv", one, longer).verdict == WITHIN
    assert compared("trace.csv", one, other).verdict == DIFFERS
    assert compared("trace.csv", one, one + "3,1000.125,1e-9\n" * 9).verdict == DIFFERS


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], Circumstances()),
        ([(MACHINE, OTHER)], Circumstances(machine=True)),
        ([("numpy", OTHER)], Circumstances(versions=("numpy",))),
        ([("notebook 03_fit", OTHER), ("jinja2", OTHER)], Circumstances(("notebook 03_fit",), ("jinja2",))),
        ([("source of lmmkit", UNCHECKED)], Circumstances(("source of lmmkit",))),
        ([("record", DIFFERS)], Circumstances(("record",))),
        ([(audits.KEY, DIFFERS)], Circumstances()),  # what does not fit its key may be made as here
    ],
)
def test_what_is_other_decides_what_is_compared(others, expected):
    environment = [Finding("environment", what, verdict) for what, verdict in others]
    assert circumstances([Finding("environment", "scipy", IDENTICAL), *environment]) == expected
    assert expected.exact == all(what == audits.KEY for what, _ in others)
    assert bool(expected.reworded) == any(what not in (MACHINE, "numpy", audits.KEY) for what, _ in others)


def test_integrity_says_how_far_a_run_came_and_what_is_not_as_listed(tmp_path):
    texts = {"a.csv": "1", "b.csv": "2", "c.csv": "3", "long.csv": "4" * 20}
    run = made_run(tmp_path, texts, "failed", "no optimum\nTraceback")
    (tmp_path / "long.csv").write_text("4" * 1234)
    (tmp_path / "b.csv").write_text("5")
    (tmp_path / "c.csv").unlink()
    (tmp_path / "d.csv").write_text("4")
    found = [(f.what, f.verdict, f.found) for f in check_integrity(run)]
    assert found == [
        ("status of the run", DIFFERS, "failed: no optimum"),
        ("a.csv", IDENTICAL, f"sha256 {sha256(b'1')[:12]}"),
        ("b.csv", DIFFERS, f"sha256 {sha256(b'5')[:12]}"),
        ("c.csv", DIFFERS, "missing"),
        ("long.csv", DIFFERS, "1,234 bytes"),
        ("d.csv", DIFFERS, "extra file"),
    ]
    assert [f.expected for f in check_integrity(run)] == [
        "complete", *(f"sha256 {sha256(text.encode())[:12]}" for text in "123"), "20 bytes",
        "only files that the manifest lists",
    ]  # fmt: skip
    assert next(check_integrity(made_run(tmp_path, {}))).verdict == IDENTICAL
    linked = made_run(tmp_path / "linked", {"a.csv": "1"})
    (tmp_path / "linked/a.csv").unlink()
    (tmp_path / "linked/a.csv").symlink_to(tmp_path / "a.csv")
    _, told = check_integrity(linked)
    assert (told.what, told.verdict, told.found, told.expected) == ("a.csv", DIFFERS, "a link", "a file")
    for status in ("running", "interrupted", "by hand"):
        assert next(check_integrity(made_run(tmp_path, {}, status))).verdict == DIFFERS


def test_what_stands_in_the_way_of_an_audit_is_told_before_its_work(tmp_path, monkeypatch):
    def works(*_: object, **__: object) -> None:
        raise AssertionError("worked")

    folder = tmp_path / "run"
    folder.mkdir()
    Manifest("s", "k").save(folder)
    monkeypatch.setattr(audits, "_findings", works)
    with pytest.raises(RunError, match="none is no file; expected an ed25519 private key"):
        audit_run(folder, key=tmp_path / "none")
    with pytest.raises(RunError, match="in lies in the audited folder"):
        audit_run(folder, out=folder / "in")
    monkeypatch.setattr(audits, "_findings", lambda *_, **__: findings(HOLDS))
    (tmp_path / "run.audit").mkdir()
    (tmp_path / "run.audit/audit.json.sig").touch()
    audit, target = audit_run(folder, execute=False)
    assert (audit.holds, target) == (True, tmp_path / "run.audit")
    # A signature that lay there is not of this verdict.
    assert sorted(path.name for path in target.iterdir()) == ["audit.html", "audit.json"]
    (tmp_path / "linked").mkdir()
    Manifest("s", "k").save(tmp_path / "linked")
    (tmp_path / "linked.audit").symlink_to(tmp_path / "run.audit")
    with pytest.raises(RunError, match=r"linked\.audit is a link, and no audit is written through it"):
        audit_run(tmp_path / "linked")
    assert audit_run(tmp_path / "linked", out=tmp_path / "out")[1] == tmp_path / "out"
    audit_run(folder, out=tmp_path)  # around the audited folder, not in it
    assert (tmp_path / "audit.json").is_file()


def test_a_study_is_not_executed_unasked(tmp_path):
    run = made_run(tmp_path, {"study.json": json.dumps(SETTINGS), "provenance.json": "{}"})
    found = list(audits._findings(run, None, None, tmp_path / "again", execute=False))
    (told,) = (finding for finding in found if finding.part == "re-execution")
    assert (told.what, told.verdict, told.found) == ("re-execution", UNCHECKED, "not asked for")
    assert [finding.part for finding in found if finding.part == "reading"] == ["reading"] * 2


def test_a_note_of_the_latest_run_is_asked_where_no_run_lies(tmp_path):
    for name in ("abc", "x.y"):
        Manifest("s", name).save(tmp_path / name)
    for note, found in (("abc", "abc"), ("x.y", None)):  # a run's folder has no dots in its name
        (tmp_path / "latest").write_text(f"{note}\n")
        if found:
            assert open_run(tmp_path).manifest.key == found
        else:
            with pytest.raises(RunError, match="is no run folder"):
                open_run(tmp_path)
    Manifest("s", "own").save(tmp_path)
    (tmp_path / "latest").write_text("abc\n")
    assert open_run(tmp_path).manifest.key == "own"


def test_the_environment_is_compared_with_the_record_and_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(audits, "_CHECKOUT", tmp_path)
    monkeypatch.setattr(audits, "project_folder", lambda: tmp_path / "none")
    now = versions()
    (tmp_path / "requirements.lock").write_text(f"numpy=={now['numpy']}\nscipy==0.1 ; python\nscipy==0.2\n")
    record = {
        "key": "k", "versions": {**now, "scipy": "9", "pandas": now["pandas"]}, "machine": "another",
        "package": package_digest(), "notebooks": {"01_a": "x" * 20, "02_b": "y" * 20},
    }  # fmt: skip
    del record["versions"]["pandas"]
    for name, value in (("provenance.json", record), ("study.json", SETTINGS)):
        (tmp_path / name).write_text(json.dumps(value))
    books = [SimpleNamespace(name=n, digest=d * 20) for n, d in (("01_a", "x"), ("02_b", "z"), ("03_c", "z"))]
    found = {f.what: f for f in check_environment(RunFolder(tmp_path, Manifest("s", "k")), books)}
    assert found[audits.KEY].verdict == DIFFERS
    assert (found["numpy"].verdict, found["numpy"].found) == (IDENTICAL, f"{now['numpy']}, as locked")
    assert (found["scipy"].verdict, found["scipy"].expected) == (OTHER, "9")
    assert found["scipy"].found == f"{now['scipy']}, requirements.lock has 0.1 or 0.2"
    assert (found["pandas"].verdict, found["pandas"].expected) == (OTHER, "not recorded")
    assert found["pandas"].found == now["pandas"]
    assert (found["machine"].verdict, found["machine"].found) == (OTHER, machine())
    assert found["source of lmmkit"].verdict == IDENTICAL
    verdicts = [found[f"notebook {book.name}"].verdict for book in books]
    assert verdicts == [IDENTICAL, OTHER, UNCHECKED]


def test_the_lock_of_the_checkout_is_found():
    assert (audits._CHECKOUT / "requirements.lock").is_file()


@pytest.fixture(scope="module")
def estimates():
    return lmm("Reaction ~ Days + (Days | Subject)", SLEEP).estimates


@pytest.mark.parametrize(
    ("gap", "shift", "verdicts", "words"),
    [
        (0.0, 0.0, [HOLDS, HOLDS], "0"),
        (9e-5, 0.009, [HOLDS, HOLDS], "0.009"),
        (-9e-5, -0.009, [HOLDS, HOLDS], "0.009"),
        (-9e-5, -0.011, [HOLDS, DIFFERS], "0.011"),
        (0.0, 0.011, [HOLDS, DIFFERS], "0.011"),
        (-1.1e-4, 0.0, [DIFFERS, HOLDS], "0"),
        (0.25, 0.0, [UNCHECKED], "it stopped 0.25 above"),
        (1.1e-4, 0.5, [UNCHECKED], "it stopped 0.00011 above"),
    ],
)
def test_another_package_agrees_contradicts_or_says_nothing(estimates, gap, shift, verdicts, words):
    beta = estimates.beta + np.array([0.0, shift]) * np.sqrt(np.diag(estimates.vcov))
    opinion = Opinion("other", deviance=estimates.deviance + gap, beta=beta)
    found = list(compare_opinion(opinion, estimates))
    assert [finding.verdict for finding in found] == verdicts
    assert found[-1].found.endswith(words)
    assert (found[0].what, found[0].expected) == ("other: deviance", f"{estimates.deviance:.6f}")


def test_a_package_that_gave_no_answer_is_not_checked(estimates):
    (found,) = compare_opinion(Opinion("other", "it has no prior weights"), estimates)
    assert (found.verdict, found.found) == (UNCHECKED, "it has no prior weights")


def test_the_checks_of_a_certificate_become_findings(estimates):
    certificate = certify(estimates, full=True)
    found = list(certified(certificate))
    assert {finding.verdict for finding in found} == {HOLDS}
    bounds = {finding.expected.rpartition(" ")[0] for finding in found}
    assert bounds == {"at most", "at least"}
    for finding, result in zip(found, certificate.results, strict=True):
        assert finding.expected.startswith("at least" if result.threshold < 0 else "at most")
    wrong = certify(replace(estimates, beta=estimates.beta + np.array([0.0, 1.0])), full=True)
    assert DIFFERS in {finding.verdict for finding in certified(wrong)}
    left = SimpleNamespace(check="dense V", verdict=LEFT, value=0.5, threshold=1e-8)
    (found,) = certified(SimpleNamespace(results=[left]))
    assert (found.what, found.verdict, found.found, found.expected) == (
        "dense V", UNCHECKED, "0.5", "at most 1e-08",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("formula", "options", "note", "bars"),
    [
        ("Reaction ~ Days + (Days | Subject)", {}, "", "(0 + z1 + z2 | g1)"),
        ("Reaction ~ Days + (Days || Subject)", {}, "", "(0 + z1 | g1) + (0 + z2 | g2)"),
        ("Reaction ~ Days + (1 | Subject) + (1 | half)", {},
         "it fits one grouping factor; this model has more", "(0 + z1 | g1) + (0 + z1 | g2)"),
        ("Reaction ~ Days + (1 | Subject)", {"weights": "w"}, "it has no prior weights", "(0 + z1 | g1)"),
        ("Reaction ~ 0 + (1 | Subject)", {}, "it needs fixed effects", "(0 + z1 | g1)"),
        ("Reaction ~ Days + offset(w) + (1 | Subject)", {}, "", "(0 + z1 | g1)"),
        ("noise ~ Days + (1 | Subject)", {}, "the fit is singular, which its parametrisation cannot reach",
         "(0 + z1 | g1)"),
        ("Reaction ~ Days + (w || Subject)", {},
         "the fit is singular, which its parametrisation cannot reach", "(0 + z1 | g1) + (0 + z2 | g2)"),
        ("Reaction ~ Days + (Days | Subject) + (0 + w | Subject)", {},
         "it fits one covariance matrix beside none", "(0 + z1 + z2 | g1) + (0 + z3 | g2)"),
    ],
)  # fmt: skip
def test_each_package_is_asked_what_it_can_fit(formula, options, note, bars, tmp_path):
    rows = np.arange(len(SLEEP))
    data = SLEEP.assign(
        half=pd.Categorical(np.where(rows % 10 < 5, "a", "b")), w=1.0 + rows % 3, noise=(rows % 10) ** 2.0
    )
    fitted = lmm(formula, data, **options).estimates
    assert statsmodels_cannot(fitted) == note
    write_for_lme4(fitted, tmp_path)
    fixed = "".join(f"x{i + 1} + " for i in range(len(fitted.kept)))
    assert (tmp_path / "formula.txt").read_text() == f"y ~ 0 + {fixed}{bars}\n"
    table = pd.read_csv(tmp_path / "data.csv")
    y = data[formula.split()[0]] - (data["w"] if "offset" in formula else 0.0)
    assert table["y"].tolist() == pytest.approx(y.tolist(), abs=1e-9)
    assert ("w" in table.columns) == ("weights" in options)
    assert "REML = TRUE" in (tmp_path / "fit.R").read_text()


def visits(**columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    g, f = np.repeat(np.arange(12), 6), np.tile(["p", "q", "r"], 24)
    frame = pd.DataFrame(
        {"y": rng.normal(size=72) + rng.normal(size=12)[g], "g": g, "f": f, "h": (g + 1) % 12}
    )
    return frame.assign(v=np.tile(np.arange(6), 12), **columns)


@pytest.mark.parametrize(
    ("formula", "options", "note"),
    [
        ("y ~ 1 + (1 | g)", {"residual": "ar1(v | g)"}, "it has no residual structures"),
        ("y ~ 1 + cs(0 + f | g)", {},
         "not checked: it is not asked about covariance matrices of random effects with a pattern"),
        ("y ~ 1 + (1 | mm(g, h))", {},
         "not checked: it fits independent levels, one for each row; this model has relatives, or rows of "
         "several levels"),
    ],
)  # fmt: skip
def test_neither_package_is_asked_about_what_it_cannot_fit(formula, options, note):
    fitted = lmm(formula, visits(), **options).estimates
    for ask, package in ((ask_statsmodels, "statsmodels MixedLM"), (ask_lme4, "lme4")):
        opinion = ask(fitted)
        assert (opinion.package, opinion.note, opinion.deviance, opinion.beta) == (package, note, None, None)


def test_each_package_is_given_the_file_as_the_other_reader_read_it(estimates, monkeypatch):
    asked = []

    def ask(package):
        def asks(of):
            asked.append((package, of))
            beta, deviance = (None, None) if of == "R's" else (estimates.beta, estimates.deviance)
            return Opinion(package, "it is not there", deviance, beta)

        return asks

    def claimed(_, read=None):
        if read is None:
            return estimates
        if read == "wrong":
            raise RunError("no fit of these")
        return estimates if read == "pandas'" else read

    monkeypatch.setattr(second_opinion, "claimed_estimates", claimed)
    for package in ("statsmodels", "lme4"):
        monkeypatch.setattr(second_opinion, f"ask_{package}", ask(package))

    def told(*read):
        asked.clear()
        readings = [SimpleNamespace(reader=reader, frame=frame) for reader, frame in read]
        found = list(second_opinion.second_opinions(SimpleNamespace(), readings))
        return [
            (f.what, f.verdict, f.found.rpartition(", ")[2]) for f in found if not f.what.startswith("check")
        ][-4:]

    def both(package, words):
        return [
            (f"{package}: deviance", HOLDS, words),
            (f"{package}: fixed effects (standard errors)", HOLDS, words),
        ]

    prepared, pandas = "from data.parquet", "from the file as pandas reads it"
    assert told() == both("statsmodels", prepared) + both("lme4", prepared)
    # Where R did not read the file lme4 is given what pandas read.
    assert told(("pandas", "pandas'"), ("R", None)) == both("statsmodels", pandas) + both("lme4", pandas)
    found = told(("pandas", "pandas'"), ("R", "R's"))
    assert asked == [("statsmodels", estimates), ("lme4", "R's")]
    assert found[-1] == ("lme4: deviance", UNCHECKED, "it is not there")
    assert found[-3:-1] == both("statsmodels", pandas)
    wrong = told(("pandas", "wrong"), ("R", None))
    assert wrong[-2:] == [
        ("pandas's reading", DIFFERS, "no fit of these"),
        ("R's reading", DIFFERS, "no fit of these"),
    ]


def test_lme4_is_asked_by_the_criterion_of_the_fit_or_says_why_not(estimates, monkeypatch):
    asked = []

    def run(command, *, cwd, timeout, **_):
        asked.append((command, (Path(cwd) / "fit.R").read_text(), timeout))
        return SimpleNamespace(stdout='{"deviance": 12.5, "beta": [1.5, -2]}\n', stderr="")

    monkeypatch.setattr(second_opinion.shutil, "which", lambda program: f"/bin/{program}")
    monkeypatch.setattr(second_opinion.subprocess, "run", run)
    for reml, word in ((True, "TRUE"), (False, "FALSE")):
        found = ask_lme4(replace(estimates, reml=reml))
        assert (found.package, found.note, found.deviance, found.beta.tolist()) == (
            "lme4",
            "",
            12.5,
            [1.5, -2.0],
        )
        command, script, seconds = asked.pop()
        assert (command, seconds) == (["/bin/Rscript", "--vanilla", "fit.R"], 300)
        assert f"REML = {word}, weights" in script
        assert f"if ({word}) lme4::REMLcrit(m) else -2 * as.numeric(logLik(m))" in script

    def late(*_, **__):
        raise subprocess.TimeoutExpired("Rscript", 300)

    monkeypatch.setattr(second_opinion.subprocess, "run", late)
    assert ask_lme4(estimates).note == "not done after 300 s"
    monkeypatch.setattr(second_opinion.shutil, "which", lambda _: None)
    assert ask_lme4(estimates).note == "Rscript is not installed"


def test_many_rows_are_too_many_for_statsmodels(estimates, monkeypatch):
    monkeypatch.setattr("lmmkit.study.audit.second_opinion.MOST_ROWS", 179)
    assert ask_statsmodels(estimates).note == "more than 179 rows"
    monkeypatch.setattr("lmmkit.study.audit.second_opinion.MOST_ROWS", 180)
    assert statsmodels_cannot(estimates) == ""


def test_an_optimum_without_a_likelihood_is_no_answer(estimates, monkeypatch):
    for llf in (float("inf"), float("-inf"), float("nan")):
        fitted = SimpleNamespace(llf=llf, fe_params=estimates.beta)
        model = SimpleNamespace(fit=lambda fitted=fitted, **_: fitted)
        monkeypatch.setattr(second_opinion, "_mixed_lm", lambda _, model=model: model)
        assert ask_statsmodels(estimates).note == "it found no finite likelihood"


@pytest.mark.parametrize("kind", [ValueError, ArithmeticError, np.linalg.LinAlgError, IndexError])
def test_a_package_that_failed_says_why(estimates, monkeypatch, kind):
    def failed(_):
        raise kind("no step")

    monkeypatch.setattr(second_opinion, "_mixed_lm", failed)
    opinion = ask_statsmodels(estimates)
    assert (opinion.package, opinion.note, opinion.deviance) == (
        "statsmodels MixedLM",
        "it failed: no step",
        None,
    )


@pytest.mark.parametrize("kind", [RunError, np.linalg.LinAlgError, ValueError])
def test_a_fit_that_cannot_be_recomputed_is_the_one_finding(estimates, monkeypatch, kind):
    def failed(*_, **__):
        raise kind("no inverse")

    monkeypatch.setattr(second_opinion, "claimed_estimates", lambda *_: estimates)
    monkeypatch.setattr(second_opinion, "certify", failed)
    (found,) = second_opinion.second_opinions(SimpleNamespace())
    assert (found.what, found.verdict, found.found, found.expected) == (
        "certificate", DIFFERS, "no inverse", "a fit that can be recomputed",
    )  # fmt: skip


@pytest.mark.parametrize(
    "kind", [KeyError, TypeError, ValueError, IndexError, AttributeError, OSError, DataError]
)
def test_a_fit_and_its_data_that_do_not_fit_each_other_are_refused(tmp_path, monkeypatch, kind):
    def failed(*_):
        raise kind("torn")

    run = made_run(tmp_path, {"fit.json": '{"design": {}}'})
    monkeypatch.setattr(second_opinion, "design_from_dict", failed)
    with pytest.raises(RunError) as raised:
        second_opinion.claimed_estimates(run, SLEEP)
    assert str(raised.value) == f"fit.json and data.parquet do not make a fit together: {kind('torn')}"


@pytest.mark.parametrize("reml", [True, False])
def test_statsmodels_reaches_the_same_optimum(reml):
    for formula in ("Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (Days || Subject)"):
        fitted = lmm(formula, SLEEP, reml=reml).estimates
        assert [f.verdict for f in compare_opinion(ask_statsmodels(fitted), fitted)] == [HOLDS, HOLDS]


def test_what_r_prints_is_read_and_what_it_does_not_print_is_told():
    found = read_lme4('Loading\n{"deviance": 12.5, "beta": [1.5, -2]}\n', "")
    assert (found.deviance, found.beta.tolist(), found.note) == (12.5, [1.5, -2.0], "")
    assert read_lme4("", "line\nno package lme4").note == "it gave no answer: no package lme4"
    assert read_lme4("{}", "").note == "it gave no answer"


@pytest.mark.parametrize(
    ("again", "verdict", "found"),
    [
        (None, DIFFERS, "the new run has no report"),
        ("<p>a 10.46 of 18</p>", IDENTICAL, "byte for byte"),
        ("<p>a  10.46 of 18</p>", WITHIN, "none differs by more than its last digit"),
        ("<p>a 10.47 of 18</p>", WITHIN, "none differs by more than its last digit"),
        ("<p>a 10.48 of 18</p>", DIFFERS, "1 differ: 10.46, again 10.48"),
        ("<p>a 10.46 of 19</p>", DIFFERS, "1 differ: 18, again 19"),
        ("<p>b 10.46 of 18</p>", DIFFERS, "the report's words are others"),
    ],
)
def test_a_report_is_reproduced_when_no_printed_digit_moves(again, verdict, found):
    finding = compare_pages("<p>a 10.46 of 18</p>", None if again is None else again.encode())
    assert (finding.verdict, finding.found) == (verdict, found)


def test_at_most_three_moved_digits_are_named():
    numbers = ["1.0", "2.0", "3.0", "4.0"]
    html, again = (f"<p>{' '.join(n.replace('.0', d) for n in numbers)}</p>" for d in (".0", ".5"))
    assert compare_pages(html, again.encode()).found == (
        "4 differ: 1.0, again 1.5; 2.0, again 2.5; 3.0, again 3.5"
    )


def test_a_record_is_read_or_refused():
    study = recorded_study(SETTINGS, PROVENANCE)
    assert (study.name, study.source, study.sha256, study.folder) == ("s", "d.csv", "d", "params")
    elsewhere = recorded_study(SETTINGS, {**PROVENANCE, "command": "lmmkit run s.yaml"})
    assert elsewhere.folder == "study"
    for settings, provenance in (({}, PROVENANCE), (SETTINGS, {}), (None, PROVENANCE), (SETTINGS, [])):
        with pytest.raises(RunError, match="is damaged"):
            recorded_study(settings, provenance)
    for source in ("", None, 3, "a\0b"):
        with pytest.raises(RunError, match="is no data source; what is recorded of the study is damaged"):
            recorded_study({"data": {"source": source}}, PROVENANCE)
    for name in ("../s", "", ".s", "a/b"):
        with pytest.raises(RunError, match="is no name of a study"):
            recorded_study(SETTINGS, {**PROVENANCE, "study": name})


class Pool:
    """A pool of one worker that answers as it is told."""

    answer = MappingProxyType({"key": "abc", "error": None})

    def __init__(self, kernel, folder, environment):
        self.kernel, self.folder, self.environment, self.closed = kernel, folder, environment, False
        Pool.last = self

    def ask(self, order):
        self.order = order
        return Pool.answer

    def close(self):
        self.closed = True


STUDY = {
    "data": {"source": "data/d.csv"}, "model": {"formula": "y ~ x + (1 | g)", "method": "ML"}, "seed": 7,
}  # fmt: skip


def test_a_study_is_executed_in_an_empty_place_with_its_data_and_its_lock(tmp_path, monkeypatch):
    (tmp_path / "d.csv").write_text("y,x,g\n")
    study = RecordedStudy("s", STUDY, "data/d.csv", "d", {"model.method": "ML"}, "params", b'{"lock": 1}')
    monkeypatch.setattr(rerun, "WorkerPool", Pool)
    place = tmp_path / "place"
    file = place / "work/of/this/study/params/s.yaml"
    Manifest("s", "abc").save(place / "reports/s/abc")
    assert rerun.run_again(study, tmp_path / "d.csv", place).folder == place / "reports/s/abc"
    assert Pool.last.kernel == {"cold": True, "allow_outside": False}
    assert (Pool.last.folder, Pool.last.closed) == (file.parent, True)
    assert Pool.last.order == {
        "study": str(file), "overrides": {"model.method": "ML"}, "reports": str(place / "reports"),
        "again": [],
    }  # fmt: skip
    assert json.loads(file.read_bytes()) == STUDY
    assert file.with_name("s.lock.json").read_bytes() == b'{"lock": 1}'
    assert (file.parent / "data/d.csv").read_text() == "y,x,g\n"
    monkeypatch.setattr(Pool, "answer", {"key": None, "error": "no optimum\nin 03_fit"})
    with pytest.raises(RunError, match="no optimum\nin 03_fit"):
        rerun.run_again(study, tmp_path / "d.csv", tmp_path / "b", cold=False)
    assert (Pool.last.kernel["cold"], Pool.last.closed) == (False, True)
    for overrides in ({"seed": 8}, {"model.method": "REML"}):  # which the settings do not hold
        wrong = replace(study, overrides=overrides)
        with pytest.raises(RunError, match=r"are not in study\.json, which holds the study as it ran"):
            rerun.run_again(wrong, tmp_path / "d.csv", tmp_path / f"c{len(overrides)}{next(iter(overrides))}")


def test_a_kept_copy_takes_the_place_of_whatever_was_there(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a").write_text("1")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/b").touch()
    place = tmp_path / "out/again"
    rerun.keep_copy(place, tmp_path / "run")
    (place / "old").touch()
    rerun.keep_copy(place, tmp_path / "run")
    assert [path.name for path in place.iterdir()] == ["a"]
    shutil.rmtree(place)
    place.symlink_to(tmp_path / "other")
    rerun.keep_copy(place, tmp_path / "run")
    assert ([path.name for path in place.iterdir()], place.is_symlink()) == (["a"], False)
    assert (tmp_path / "other/b").exists()  # what the link led to
    (tmp_path / "file").touch()
    rerun.keep_copy(tmp_path / "file", tmp_path / "run")
    assert (tmp_path / "file/a").read_text() == "1"
    (tmp_path / "wall").touch()
    with pytest.raises(RunError, match=r"cannot be written: .* name a place with --out DIR"):
        rerun.keep_copy(tmp_path / "wall/again", tmp_path / "run")


def test_what_a_run_says_in_no_mapping_is_damage_and_its_numbers_are_those_of_the_summary_and_tables(
    tmp_path,
):
    summary = '{"n": 3, "x": 1.5, "ok": true, "name": "a", "sigma": 9.0}'
    run = made_run(tmp_path, {"study.json": "[]", "provenance.json": "3", "summary.json": summary,
                              "tables/fit.csv": "quantity,value\nsigma,2.5\n"})  # fmt: skip
    for name in ("settings", "provenance"):
        with pytest.raises(RunError, match="is damaged: it holds no mapping"):
            getattr(run, name)
    named = {name: (held.value, held.path) for name, held in run.named_values().items()}
    assert named == {
        "n": (3, "summary.json"), "x": (1.5, "summary.json"), "ok": (True, "summary.json"),
        "sigma": (2.5, "tables/fit.csv"),
    }  # fmt: skip


def test_a_file_of_a_run_is_read_where_it_is_one_of_a_size_that_can_be(tmp_path, monkeypatch):
    run = made_run(tmp_path / "run", {"a.csv": "12", "b.csv": "123"})
    (tmp_path / "run/link.csv").symlink_to(tmp_path / "run/a.csv")
    (tmp_path / "run/folder").mkdir()
    monkeypatch.setattr(integrity, "LARGEST", 2)
    assert (run.content("a.csv"), run.file("a.csv")) == (b"12", tmp_path / "run/a.csv")
    with pytest.raises(RunError, match=r"b\.csv in .* has more than 2 bytes; it is not read"):
        run.content("b.csv")
    for name, why in (("link.csv", "is a link"), ("folder", "is not in"), ("none.csv", "is not in")):
        assert run.content(name) is None
        with pytest.raises(RunError, match=f"{name} .*{why}" if "link" in name else f"{name} {why}"):
            run.file(name)


def test_a_pedigree_is_found_beside_the_data_or_the_study_by_its_digest(tmp_path):
    data = tmp_path / "project/params/data/d.csv"
    data.parent.mkdir(parents=True)
    data.touch()

    def found(content=b"right"):
        known = {"animal": {"pedigree": "ped.csv", "sha256": sha256(content)}}
        return _known_files(RecordedStudy("s", {"model": {"known": known}}, "data/d.csv", "d"), data)

    lost = (
        r"the study knows animal from ped\.csv with the sha256 .* was not found beside its data; put it there"
    )
    with pytest.raises(DataError, match=lost):
        found()
    for folder in ("project", "project/params", "project/params/data"):  # nearer ones come first
        place = tmp_path / folder / "ped.csv"
        place.write_bytes(b"right")
        assert found() == {"ped.csv": place}
    (tmp_path / "project/params/peds").mkdir()
    (tmp_path / "project/params/peds/p.csv").write_bytes(b"deep")
    known = {"animal": {"matrix": "peds/p.csv", "sha256": sha256(b"deep")}}
    study = RecordedStudy("s", {"model": {"known": known}}, "data/d.csv", "d")
    assert _known_files(study, data) == {"peds/p.csv": tmp_path / "project/params/peds/p.csv"}
    (data.parent / "p.csv").write_bytes(b"deep")  # by its name alone, beside the data
    assert _known_files(study, data) == {"peds/p.csv": data.parent / "p.csv"}
    place.write_bytes(b"wrong")
    assert found() == {"ped.csv": tmp_path / "project/params/ped.csv"}
    (tmp_path / "ped.csv").write_bytes(b"above")
    with pytest.raises(DataError, match=lost):
        found(b"above")
    assert _known_files(RecordedStudy("s", {"model": {}}, "d.csv", "d"), data) == {}


def test_nothing_is_laid_out_over_what_is_there_or_outside(tmp_path):
    file = tmp_path / "place/params/s.yaml"
    (tmp_path / "d.csv").write_text("x")
    for source in ("d.csv", "../e.csv", "deep/d.csv"):
        _put(tmp_path / "d.csv", source, file, tmp_path / "place")
        assert (file.parent / source).read_text() == "x"
        with pytest.raises(DataError, match=f"the study reads {source}, a place that cannot be made anew"):
            _put(tmp_path / "d.csv", source, file, tmp_path / "place")
    for source in ("../../x.csv", str(tmp_path / "place/x.csv")):
        with pytest.raises(DataError, match="cannot be made anew"):
            _put(tmp_path / "d.csv", source, file, tmp_path / "place")


@pytest.mark.parametrize(
    ("text", "verdict", "found"),
    [("right", IDENTICAL, "sha256 "), ("wrong", DIFFERS, "d.csv has another sha256"),
     (None, UNCHECKED, "not found; name it with --data FILE")],
)  # fmt: skip
def test_a_study_is_executed_on_its_own_data_alone(tmp_path, monkeypatch, text, verdict, found):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").touch()
    if text is not None:
        (tmp_path / "d.csv").write_text(text)
    record = {**PROVENANCE, "sha256": sha256(b"right")}
    run = made_run(
        tmp_path / "run", {"study.json": json.dumps(SETTINGS), "provenance.json": json.dumps(record)}
    )
    monkeypatch.setattr(rerun, "_repeated", lambda *_: findings(WITHIN))
    asked = {"data": None, "notebooks": None, "circumstances": HERE, "keep": tmp_path / "again"}
    first, *others = rerun.check_rerun(run, **asked)
    assert (first.what, first.verdict, first.found.startswith(found)) == ("data file d.csv", verdict, True)
    assert [finding.verdict for finding in others] == ([WITHIN] if text == "right" else [])
    (tmp_path / "run/provenance.json").write_text("{}")
    (damaged,) = rerun.check_rerun(RunFolder(run.folder, run.manifest), **asked)
    assert (damaged.what, damaged.verdict, "is damaged" in damaged.found) == ("re-execution", UNCHECKED, True)


@pytest.mark.parametrize(("verdicts", "kept"), [([IDENTICAL, WITHIN], False), ([IDENTICAL, DIFFERS], True)])
def test_a_new_run_is_left_where_anything_differs(tmp_path, monkeypatch, verdicts, kept):
    run = made_run(tmp_path / "run", {"a.csv": "1"})
    monkeypatch.setattr(rerun, "run_again", lambda *_: run)
    monkeypatch.setattr(rerun, "compare_runs", lambda *_: findings(*verdicts))
    study, keep = RecordedStudy("s", {}, "d.csv", "d"), tmp_path / "again"
    found = list(rerun._repeated(run, study, tmp_path / "d.csv", None, HERE, keep))
    assert [finding.verdict for finding in found] == verdicts
    assert keep.exists() == kept
    if kept:
        assert (keep / "a.csv").read_text() == "1"


def test_data_are_found_by_their_digest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, text in (("params", "wrong"), (".", "right")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "x.csv").write_text(text)
    study = RecordedStudy("s", {}, "x.csv", sha256(b"right"))
    assert find_data(study, tmp_path / "reports") == (None, ())  # no study of that name lies there
    for folder in ("params", "."):
        (tmp_path / folder / "s.yaml").touch()
    found = find_data(study, tmp_path / "reports")
    assert (found.path, found.others) == (tmp_path / "x.csv", (tmp_path / "params/x.csv",))
    with monkeypatch.context() as elsewhere:  # the project that the run lies in: reports/s/k
        (tmp_path / "away").mkdir()
        elsewhere.chdir(tmp_path / "away")
        assert find_data(study, tmp_path / "reports/s/k").path == tmp_path / "x.csv"
        assert find_data(study, tmp_path / "reports/s/deep/k").path is None
    assert find_data(study, tmp_path, tmp_path / "params/x.csv").path is None
    assert find_data(replace(study, source="y.csv"), tmp_path) == (None, ())
    assert find_data(replace(study, source="../x.csv"), tmp_path / "a").path is None
    with pytest.raises(DataError):
        find_data(study, tmp_path, tmp_path / "none.csv")
