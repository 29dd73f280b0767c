"""Whatever a study file, a data file, a run folder or the command line holds: an exit code, and words.

No attack ends in a traceback, waits for a pipe, or reaches the terminal as an order.
"""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.commands import invoke

from lmmkit.model.formula.expression import quote

GOOD = """\
schema: 1
title: t
data:
  source: d.csv
model:
  formula: y ~ x + (1 | g)
"""
ORDERS = [
    "\x1b[2J", "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "\x9b31m",
    "\x07", "\b\b", "\r", "\u202e", "\u2066", "\u200b",
    "\u2028", "[red]x[/red]", "[link=http://x]x[/link]", ":warning:", "\ufeff", "\u3164", "\nError: forged",
]  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, group = np.random.default_rng(1), np.repeat(np.arange(8), 5)
    x = np.tile(np.arange(5), 8)
    y = np.round(3 + x + rng.normal(size=8)[group] + rng.normal(size=40), 3)
    pd.DataFrame({"y": y, "x": x, "g": [f"s{k}" for k in group]}).to_csv("d.csv", index=False)
    return tmp_path


def told(*arguments):
    """What a command says, with its exit code; it must say it in words."""
    done = invoke(*arguments, COLUMNS="500")
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code in (0, 1, 2, 3)
    assert "Traceback" not in done.output
    strange = {letter for letter in done.output if not letter.isprintable() and letter != "\n"}
    assert not strange, strange
    return done.exit_code, done.output


def check(project, text):
    (project / "s.yaml").write_bytes(
        text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    )
    return told("check", "s.yaml")


def with_key(name, value):
    return GOOD.replace("  source: d.csv", f"  source: d.csv\n  {name}: {value}")


@pytest.mark.parametrize(
    "number", ["9" * 5000, f"-{'9' * 5000}", f"0x{'f' * 9000}", "1e400", ".inf", ".nan", "~"]
)
def test_a_number_beyond_all_numbers_is_refused_in_its_place(project, number):
    code, words = check(project, f"{GOOD}seed: {number}\n")
    assert code == 2
    assert words.startswith("Error: s.yaml:7:7: seed: expected a whole number, found ")
    assert len(words) < 200


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('"a\\0b"', "does not have the form"),
        ("x" * 300 + ".csv", "cannot be the name of a file: File name too long"),
        ("fifo.csv", "is a device or a pipe"),
        ("loop.csv", "cannot be"),
        ("folder.csv", "is a folder"),
        ('"\\e[2J.csv"', r"data.source \x1b[2J.csv does not exist"),
    ],
)
def test_a_source_that_is_no_file(project, source, words):
    os.mkfifo("fifo.csv")
    (project / "loop.csv").symlink_to("loop.csv")
    (project / "folder.csv").mkdir()
    code, output = check(project, GOOD.replace("d.csv", source))
    assert (code, words in output) == (2, True), output


@pytest.mark.parametrize("command", ["check", "run", "lock", "sweep", "reproduce"])
def test_a_pipe_or_a_device_is_not_waited_for(project, command):
    os.mkfifo("fifo.yaml")
    for path in ("fifo.yaml", "/dev/zero", "."):
        assert told(command, path)[0] == 2


@pytest.mark.parametrize(
    "codec", ["zlib", "rot13", "hex", "base64", "bz2", "idna", "punycode", "undefined", "nope"]
)
def test_an_encoding_without_characters_is_refused(project, codec):
    code, output = check(project, with_key("encoding", codec))
    assert code == 2
    assert "such as utf-8, utf-16, latin-1, cp1252" in output
    assert "codecs.decode" not in output


@pytest.mark.parametrize(
    "setting",
    [
        "seed=" + "9" * 5000,
        "model.method=&a ML",
        "model.method=!!str ML",
        "seed=[[[" * 20,
        "a",
        "=",
        "seed=\0",
    ],
)
def test_a_malformed_override_is_refused(project, setting):
    (project / "s.yaml").write_text(GOOD)
    code, output = told("run", "s.yaml", "--set", setting)
    assert code == 2
    assert "seed" in output or "--set" in output


@pytest.mark.parametrize("order", ORDERS)
def test_no_order_reaches_the_terminal(project, order):
    quoted = json.dumps(order)
    texts = [
        f"{GOOD}{quoted}: 1\n",
        GOOD.replace("d.csv", quoted),
        GOOD.replace("y ~ x + (1 | g)", json.dumps(f"y ~ `{order}` + (1 | g)")),
        GOOD.replace("title: t", f"title: {quoted}"),
        with_key("exclude", json.dumps([f"g == '{order}'"])),
        with_key("columns", json.dumps({"g": {"type": "factor", "levels": [order]}})),
    ]
    for text in texts:
        check(project, text)
    name = f"a{order}b"
    frame = pd.read_csv("d.csv").rename(columns={"x": name})
    frame["g"] = frame["g"] + order
    frame.to_parquet("odd.parquet")
    formula = json.dumps(f"y ~ {quote(name)} + (1 | g)")
    code, output = check(project, GOOD.replace("y ~ x + (1 | g)", formula).replace("d.csv", "odd.parquet"))
    assert code == 0, output
    assert "\nError: forged" not in output
    for arguments in (
        ["run", order],
        [order],
        ["run", "s.yaml", f"--{order}"],
        ["audit", order],
        ["why", ".", order],
    ):
        told(*arguments)


@pytest.mark.parametrize("order", ["\x1b[2J", "a\nb", "[red]", "\u202ex", os.fsdecode(b"\xff")])
def test_names_of_files_are_shown_as_they_are_spelled(project, order):
    name = f"{order}.yaml"
    (project / name).write_text(GOOD)
    code, output = told("check", name)
    assert code == 0
    shown = name.encode("unicode_escape").decode() if not name.isprintable() else name
    assert output.startswith(f"{shown} is good.")


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["9" * 5000, *ORDERS]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
KEYS = [
    "schema", "title", "seed", "data", "data.source", "data.columns", "data.columns.x", "data.exclude",
    "data.derive", "data.na", "data.encoding", "data.sep", "data.decimal", "data.missing", "data.sha256",
    "model", "model.formula", "model.weights", "model.contrasts", "model.known", "random_effects",
    "random_effects.candidates", "inference.level", "report.focus", "", "nonsense",
]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=3))
def test_any_value_anywhere_is_read_or_refused(project, changed):
    study = {
        "schema": 1,
        "data": {"source": "d.csv"},
        "model": {"formula": "y ~ x + (1 | g)"},
        "random_effects": {},
        "inference": {},
        "report": {},
    }
    for key, value in changed.items():
        head, _, tail = key.partition(".")
        inner = study.get(head)
        if tail and isinstance(inner, dict):
            inner[tail] = value
        else:
            study[head] = value
    check(project, json.dumps(study))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.binary(max_size=60) | st.text(alphabet="{}[]:,&*!|>'\"%@`?-#\n\t abc1", max_size=60).map(str.encode)
)
def test_any_bytes_are_a_study_file_or_are_refused(project, content):
    assert check(project, content)[0] == 2
    check(project, GOOD.encode() + content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(st.lists(st.text(max_size=12).filter(lambda text: "\0" not in text), max_size=4))
def test_any_arguments_are_answered_in_words(project, arguments):
    for command in ("check", "new", "audit", "why", "diff", "reproduce"):
        told(command, *arguments)


DAMAGE = {
    "deep": b"[" * 100_000,
    "nested": b'{"a":' * 600 + b"1" + b"}" * 600,
    "endless": b"9" * 5000,
    "null": b"null",
    "list": b"[]",
    "empty": b"{}",
    "bytes": b"\xff\x00",
}


@pytest.mark.parametrize("name", ["manifest.json", "study.json", "provenance.json"])
def test_a_damaged_run_folder_is_told_in_words(finished, name, tmp_path):
    for kind, content in DAMAGE.items():
        run = tmp_path / kind
        shutil.copytree(finished, run)
        (run / name).write_bytes(content)
        for command in (["audit", "--no-execute"], ["why", "x"], ["diff", str(finished), "--no-execute"]):
            told(command[0], str(run), *command[1:])
    piped = tmp_path / "piped"
    shutil.copytree(finished, piped)
    (piped / name).unlink()
    os.mkfifo(piped / name)
    told("audit", str(piped), "--no-execute")
