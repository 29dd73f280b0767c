"""What an audit says, case by case: numbers in, verdict and words out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.errors import DataError, RunError
from lmmkit.model.certificate import UNCHECKED as LEFT
from lmmkit.model.certificate import certify
from lmmkit.study.audit import audit as audits
from lmmkit.study.audit.audit import check_environment, render
from lmmkit.study.audit.integrity import RunFolder, check_integrity
from lmmkit.study.audit.reproduce import compare_pages
from lmmkit.study.audit.rerun import RecordedStudy, compare_artefact, compare_runs, find_data, recorded_study
from lmmkit.study.audit.second_opinion import (
    Opinion,
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
        ([HOLDS, IDENTICAL, HOLDS, UNCHECKED],
         "Everything that could be checked holds: 2 holds, 1 identical, 1 not checked."),
        ([OTHER, WITHIN], "Everything that could be checked holds: 1 other, 1 within tolerance."),
        ([HOLDS, DIFFERS], "DO NOT TRUST THIS RUN: 1 of 2 checks differ: file 1."),
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
    page = render(audit)
    assert sentence in page
    assert ('class="verdict bad"' in page) == (not audit.holds)
    assert page.count('<td class="differs">') == verdicts.count(DIFFERS)
    assert page.count('<td class="left">') == verdicts.count(UNCHECKED) + verdicts.count(OTHER)


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


def compared(path: str, one: str, other: str, *, exact: bool = False) -> Finding:
    return compare_artefact(path, one.encode(), other.encode(), exact=exact)


@pytest.mark.parametrize(
    ("path", "field", "value", "within", "beyond"),
    [
        ("tables/coefficients.csv", "estimate", 10.0, 10.0 + 9e-6, 10.0 + 1.2e-5),
        ("tables/coefficients.csv", "estimate", 10.0, 10.0 - 9e-6, 10.0 - 1.2e-5),
        ("tables/coefficients.csv", "p", 0.04, 0.04 + 3.9e-6, 0.04 + 4.1e-6),
        ("fit.json", "deviance", 1000.0, 1000.0 + 9e-4, 1000.0 + 1.1e-3),
        ("figures/a.json", "x", 2.0, 2.0 + 1.9e-3, 2.0 + 2.1e-3),
        ("tables/path.csv", "estimate", 3.0, 4000.0, None),
        ("fit.json", "gradient", 1e-9, 5.0, None),
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
            if "path" in path or field == "gradient":  # a search that took another way, under the same code
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
        assert found.expected == f"the same {count} values"
    within = compared("tables/a.json", '{"x": 1.0, "y": 2.0}', '{"x": 1.0000000001, "y": 2.0}')
    assert within.found == "1 of 2 values differ, none by more than its kind may"
    assert within.expected == "estimate: 1e-06 of the number, 1e-07 of the largest beside it"
    path = compared("trace.csv", "x\n1.0\n", "x\n2.0\n")
    assert path.expected == "the search's own path: any, the optimum counts"
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
    "report.html": "a", "figures/a.svg": "1.0", "provenance.json": '{"a": 1}',
}  # fmt: skip
OTHER_RUN = {
    "same.csv": "x\n1\n", "near.csv": "x\n1.0000001\n", "far.csv": "x\n1.1\n", "new.csv": "x\n",
    "report.html": "b", "figures/a.svg": "1.5", "provenance.json": '{"a": 2}',
}  # fmt: skip


def test_a_rerun_compares_every_file_exactly_under_the_same_code_and_numbers_alone_under_another(tmp_path):
    one, other = made_run(tmp_path / "a", ONE), made_run(tmp_path / "b", OTHER_RUN)
    exact = {f.what: f for f in compare_runs(one, other, exact=True)}
    other_code = {f.what: f for f in compare_runs(one, other, exact=False)}
    assert {what: f.verdict for what, f in exact.items()} == {
        "same.csv": IDENTICAL, "near.csv": WITHIN, "far.csv": DIFFERS, "gone.csv": DIFFERS,
        "report.html": DIFFERS, "figures/a.svg": DIFFERS, "provenance.json": DIFFERS, "new.csv": DIFFERS,
    }  # fmt: skip
    assert {what: f.verdict for what, f in other_code.items()} == {
        "same.csv": IDENTICAL, "near.csv": WITHIN, "far.csv": DIFFERS, "gone.csv": DIFFERS,
        "report.html": UNCHECKED, "figures/a.svg": UNCHECKED, "provenance.json": UNCHECKED,
        "new.csv": UNCHECKED,
    }  # fmt: skip
    assert (exact["gone.csv"].found, exact["gone.csv"].expected) == ("there", "missing in the new run")
    assert (exact["new.csv"].found, exact["new.csv"].expected) == ("missing", "there in the new run")
    assert other_code["new.csv"].found == "other code or versions, which make this file too"
    assert other_code["report.html"].found == "other code or versions; its numbers stand in the tables"


def test_integrity_says_how_far_a_run_came_and_what_is_not_as_listed(tmp_path):
    run = made_run(tmp_path, {"a.csv": "1", "b.csv": "2", "c.csv": "3"}, "failed", "no optimum\nTraceback")
    (tmp_path / "b.csv").write_text("5")
    (tmp_path / "c.csv").unlink()
    (tmp_path / "d.csv").write_text("4")
    found = [(f.what, f.verdict, f.found) for f in check_integrity(run)]
    assert found == [
        ("status of the run", DIFFERS, "failed: no optimum"),
        ("a.csv", IDENTICAL, f"sha256 {sha256(b'1')[:12]}"),
        ("b.csv", DIFFERS, f"sha256 {sha256(b'5')[:12]}"),
        ("c.csv", DIFFERS, "missing"),
        ("d.csv", DIFFERS, "extra file"),
    ]
    assert next(check_integrity(made_run(tmp_path, {}))).verdict == IDENTICAL


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


def test_many_rows_are_too_many_for_statsmodels(estimates, monkeypatch):
    monkeypatch.setattr("lmmkit.study.audit.second_opinion.MOST_ROWS", 179)
    assert ask_statsmodels(estimates).note == "more than 179 rows"
    monkeypatch.setattr("lmmkit.study.audit.second_opinion.MOST_ROWS", 180)
    assert statsmodels_cannot(estimates) == ""


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
    for name in ("../s", "", ".s", "a/b"):
        with pytest.raises(RunError, match="is no name of a study"):
            recorded_study(SETTINGS, {**PROVENANCE, "study": name})


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
    assert find_data(study, tmp_path, tmp_path / "params/x.csv").path is None
    assert find_data(replace(study, source="y.csv"), tmp_path) == (None, ())
    assert find_data(replace(study, source="../x.csv"), tmp_path / "a").path is None
    with pytest.raises(DataError):
        find_data(study, tmp_path, tmp_path / "none.csv")
