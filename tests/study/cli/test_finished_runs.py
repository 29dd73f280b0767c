"""What the commands on finished runs print and how they end; what they look at is handed to them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from support.commands import invoke

from lmmkit.study.audit.verdicts import DIFFERS, HOLDS, IDENTICAL, UNCHECKED, Audit, Finding
from lmmkit.study.trace.diff import Change, Difference, Move

GOOD = Finding("integrity", "every file", IDENTICAL, "the same", "as listed")
HELD = Finding("integrity", "the key", HOLDS, "1a", "1a")
BAD = Finding("integrity", "fit.json", DIFFERS, "other bytes", "those listed")
WORSE = Finding("integrity", "rows.csv", DIFFERS, "fewer rows", "twenty")
OPEN = Finding("second opinion", "R", UNCHECKED, "there is none")


@pytest.fixture
def told(monkeypatch):
    """Exit code and words of a command, where a function that it calls returns something."""

    def call(function, value, *arguments):
        calls = []

        def stand_in(*given, **named):
            calls.append((given, named))
            return value

        monkeypatch.setattr(f"lmmkit.study.{function}", stand_in)
        # Rich draws its tables as wide as the terminal is.
        done = invoke(*arguments, TERM="dumb")
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        lines = [
            " ".join(line.replace("│", " ").replace("┃", " ").split()) for line in done.output.splitlines()
        ]
        return done.exit_code, lines, calls

    return call


@pytest.mark.parametrize(
    ("findings", "options", "code"),
    [
        ((GOOD, HELD), (), 0),
        ((GOOD, HELD), ("--strict",), 0),
        ((GOOD, OPEN), (), 0),
        ((GOOD, OPEN), ("--strict",), 4),
        ((BAD, OPEN), ("--strict",), 3),
        ((BAD,), (), 3),
    ],
)
def test_an_audit_ends_with_its_verdict(told, findings, options, code):
    audit = Audit("s", "k", findings)
    ended, lines, _ = told("audit.audit.audit_run", (audit, Path("there")), "audit", "run", *options)
    assert ended == code
    assert lines[0] == "Audit of s k"
    assert audit.sentence() in lines
    assert lines[-1] == "there/audit.html"


def test_an_audit_counts_what_is_identical_and_lists_the_rest(told):
    audit = Audit("s", "k", (GOOD, GOOD, HELD, BAD))
    _, lines, ((given, named),) = told(
        "audit.audit.audit_run",
        (audit, Path()),
        "audit",
        "run",
        "--no-execute",
        "--data",
        "d",
        "--sign",
        "key",
    )
    assert "integrity: 2 of 4 identical" in lines
    assert "the key holds 1a 1a" in lines
    assert "fit.json DIFFERS other bytes those listed" in lines
    assert not any("every file" in line or "second opinion" in line for line in lines)
    assert given == (Path("run"),)
    assert named == {
        "data": Path("d"), "notebooks": None, "out": None, "execute": False, "key": Path("key"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("findings", "code", "said"),
    [
        ([GOOD], 0, "The audit and its run are as signed."),
        ([GOOD, BAD, WORSE], 3, "DO NOT TRUST IT: fit.json: other bytes"),
    ],
)
def test_a_verification_lists_all_and_names_what_differs_first(told, findings, code, said):
    ended, lines, ((given, _),) = told("audit.verify.verify", findings, "verify", "a", "--key", "k.pub")
    assert (ended, lines[0], lines[-1]) == (code, "Verification of an audit", said)
    assert "every file identical the same as listed" in lines
    assert not any("1 of" in line for line in lines)
    assert given == (Path("a"), None, Path("k.pub"))


@pytest.mark.parametrize(
    ("findings", "code", "said"),
    [
        ([GOOD, HELD], 0, "Reproduced: 1a."),
        ([GOOD, BAD, WORSE], 3, "NOT reproduced: other bytes"),
    ],
)
def test_a_reproduction_names_what_differs_first(told, findings, code, said):
    ended, lines, ((given, named),) = told(
        "audit.reproduce.reproduce", findings, "reproduce", "a/report.html"
    )
    assert (ended, lines[0], lines[-1]) == (code, "Reproduction of report.html", said)
    assert "reproduction: 1 of" in " ".join(lines)
    assert (given, named) == ((Path("a/report.html"),), {"data": None, "notebooks": None})


def test_the_chain_of_a_number_stands_under_each_other(told):
    chain = [
        SimpleNamespace(name="file", text="fit.json\nline two"),
        SimpleNamespace(name="data", text="d.csv"),
    ]
    code, lines, ((given, _),) = told("trace.why.why", chain, "why", "run", "x.se")
    assert (code, lines) == (0, ["file fit.json", "line two", "data d.csv"])
    assert given == (Path("run"), "x.se")


def test_links_of_a_chain_are_aligned(monkeypatch):
    chain = [SimpleNamespace(name="file", text="one\ntwo")]
    monkeypatch.setattr("lmmkit.study.trace.why.why", lambda *_: chain)
    done = invoke("why", "run", "x")
    assert done.output == f"{'file':<12}one\n{'':12}two\n"


MOVES = (Move("x", 1.5, 2.25, {"rows": 0.75, "seed": -0.0012345}), Move("sd", 1 / 3, 2 / 3, {}))


@pytest.mark.parametrize(("note", "said"), [("", "2 numbers moved."), ("several causes", "several causes")])
def test_what_moved_between_two_runs(told, note, said):
    found = Difference((Change("rows", "data", "20 rows", "19 rows"),), MOVES, note)
    code, lines, ((given, named),) = told(
        "trace.diff.diff_runs", found, "diff", "one", "two", "--no-execute", "--data", "d"
    )
    assert code == 0
    for line in (
        "What they were made from",
        "cause what first run second run",
        "rows data 20 rows 19 rows",
        "Numbers that moved",
        "number first run second run moved by",
        "x 1.5 2.25 rows +0.75; seed -0.0012345",
        "sd 0.3333333333 0.6666666667",
    ):
        assert line in lines
    assert lines[-1] == said
    assert given == (Path("one"), Path("two"))
    assert named == {"data": (Path("d"),), "notebooks": None, "execute": False}


def test_a_lock_says_where_it_lies(told, monkeypatch):
    monkeypatch.setattr("lmmkit.study.runs.plan.reports_folder", lambda study: Path("reports"))
    code, lines, ((given, named),) = told("records.plan_lock.lock_study", Path("s.lock"), "lock", "s.yaml")
    assert (code, lines) == (0, ["s.lock written. Keep it with the study, best under version control."])
    assert (given, named) == ((Path("s.yaml"), Path("reports")), {"allow_outside": False})
