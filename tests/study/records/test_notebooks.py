"""Notebooks as records: their digests, their order, their executed form without noise; keys of runs."""

import copy
import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from support.tiny import STUDY

import lmmkit
from lmmkit.errors import RunError
from lmmkit.study.files.study import load_study
from lmmkit.study.records import keys, notebooks
from lmmkit.study.records.keys import digest, recorded_key, run_key, step_key
from lmmkit.study.records.manifest import File, Record, root_digest, safe_name
from lmmkit.study.records.notebooks import INJECTED, Notebook, normalised, read_notebook, steps_of


def cell(source, kind="code", **more):
    return {"cell_type": kind, "source": source, "metadata": {}, **more}


def content(*cells, **metadata):
    return {"nbformat": 4, "cells": list(cells), "metadata": metadata}


def book(tmp_path, name="03_fit", found=None):
    path = tmp_path / f"{name}.ipynb"
    return Notebook(path, json.dumps(found or content(cell("1"), lmmkit={"reads": ["seed"]})).encode())


def test_a_notebook_says_what_it_is(tmp_path):
    parameters = cell("x = 1", metadata={"tags": ["parameters"]})
    made = content(
        cell("# a", "markdown"), parameters, cell(["a\n", "b"]), lmmkit={"reads": ["seed"], "title": "Fit"}
    )
    found = book(tmp_path, found=made)
    assert (found.name, found.number, found.title, found.reads) == ("03_fit", "03", "Fit", ("seed",))
    assert found.code() == ["a\nb"]
    bare = book(tmp_path, found=content(cell("1")))
    assert (bare.title, bare.reads, bare.declared) == ("03_fit", (), {})


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda c: c["cells"][0].update(outputs=[1], execution_count=3), True),
        (lambda c: c["metadata"].update(kernelspec={"name": "x"}), True),
        (lambda c: c["cells"][0].update(source=["", "1"]), True),
        (lambda c: c["cells"][0].update(source="2"), False),
        (lambda c: c["cells"][0].update(cell_type="raw"), False),
        (lambda c: c["cells"][0]["metadata"].update(tags=["t"]), False),
        (lambda c: c["metadata"]["lmmkit"].update(reads=[]), False),
        (lambda c: c["cells"].append(cell("")), False),
    ],
)
def test_the_digest_is_of_what_is_executed(tmp_path, change, same):
    made = content(cell("1"), lmmkit={"reads": ["seed"]})
    changed = copy.deepcopy(made)
    change(changed)
    assert (book(tmp_path, found=made).digest == book(tmp_path, found=changed).digest) is same


@pytest.mark.parametrize(
    "damage",
    [
        {"nbformat": 3}, {"cells": [1]}, {"cells": [{"source": ""}]}, {"cells": [cell(3)]},
        {"cells": [cell([3])]},
        {"cells": [cell("", metadata=[])]}, {"cells": [cell("", metadata={"tags": "t"})]}, {"metadata": []},
        {"metadata": {"lmmkit": []}}, {"cells": [cell("", kind=3)]},
    ],
)  # fmt: skip
def test_what_is_no_notebook_is_told(tmp_path, damage):
    with pytest.raises(RunError, match=r"03_fit\.ipynb cannot be read as a notebook: "):
        _ = book(tmp_path, found={**content(cell("1")), **damage}).content


def test_a_notebook_is_a_file_of_a_size_that_can_be_read(tmp_path, monkeypatch):
    path = tmp_path / "03_fit.ipynb"
    path.write_bytes(b"1234")
    monkeypatch.setattr(notebooks, "LARGEST", 4)
    assert read_notebook(path).source == b"1234"
    path.write_bytes(b"12345")
    with pytest.raises(RunError, match="it has more than 4 bytes"):
        read_notebook(path)
    with pytest.raises(RunError, match="it is no file"):
        read_notebook(tmp_path)


@pytest.mark.parametrize(
    ("settings", "order"),
    [
        ({}, ["01_a", "02_b", "03_c", "04_report"]),
        ({"posterior": None}, ["01_a", "02_b", "03_c", "04_report"]),
        ({"posterior": {}}, ["01_a", "02_b", "03_c", "05_p", "04_report"]),
    ],
)
def test_the_steps_that_are_asked_for_come_before_the_report(tmp_path, settings, order):
    books = [book(tmp_path, name) for name in ("05_p", "04_report", "02_b", "01_a", "03_c")]
    assert [found.name for found in steps_of(books, settings)] == order


def test_the_executed_form_has_no_times_ids_addresses_or_places():
    made = content(
        cell("run = 'a folder'", id="a1", metadata={"tags": [INJECTED]}),
        cell("1", metadata={"tags": ["papermill-error-cell-tag"]}, id="by chance", kind="markdown"),
        cell("2", metadata={"papermill": 1, "execution": 2, "execution_count": 3, "kept": 4}, outputs=[
            {"output_type": "stream", "text": ["<X at 0x7fA0>", " /else/ipykernel_12/345.py:1"]},
            {"output_type": "display_data", "data": {"text/plain": ["<Y at 0x1>"], "image/png": "at 0x1"}},
            {"output_type": "display_data", "data": {"image/png": "x"}},
            {"output_type": "error", "ename": "E"},
        ]),
        papermill={"duration": 1}, widgets={}, kernelspec={},
        lmmkit={"reads": ["seed", "model.method", "data"]},
    )  # fmt: skip
    overrides = {"seed": 2, "model": {}, "data.na": [1], "models.x": 1, "inference.df": "normal"}
    found = normalised(made, "s.yaml", overrides)
    injected, failed, plain = found["cells"]
    read = {"seed": 2, "model": {}, "data.na": [1]}  # what it reads, what holds it, what lies in it
    assert injected["source"] == f'# Parameters\nstudy = "s.yaml"\nrun = "."\noverrides = {read!r}\n'
    assert (injected["id"], failed["id"]) == (INJECTED, "failure-1")
    assert plain["metadata"] == {"kept": 4}
    assert [output.get("text", output.get("data")) for output in plain["outputs"]] == [
        "<X> cell:1", {"text/plain": "<Y>", "image/png": "at 0x1"}, {"image/png": "x"}, None,
    ]  # fmt: skip
    assert set(found["metadata"]) == {"kernelspec", "lmmkit"}


# Keys by content.


@pytest.fixture
def study(tmp_path):
    (tmp_path / "tiny.yaml").write_text(STUDY)
    return load_study(tmp_path / "tiny.yaml")


def test_the_key_of_a_run_is_of_all_that_decides_it_and_of_what_it_records(tmp_path, study, monkeypatch):
    books = [book(tmp_path)]
    key = run_key(study, "d", books, None)
    provenance = {
        "study": "tiny", "sha256": "d", "notebooks": {"03_fit": books[0].digest},
        "package": keys.package_digest(), "versions": keys.versions(), "lock": None,
    }  # fmt: skip
    assert (len(key), recorded_key(study.resolved(), provenance)) == (12, key)
    other = load_study(study.path, {"seed": 1})
    others = [
        run_key(other, "d", books), run_key(study, "e", books), run_key(study, "d", []),
        run_key(study, "d", books, "lock"), run_key(replace(study, path=tmp_path / "x.yaml"), "d", books),
    ]  # fmt: skip
    monkeypatch.setattr(keys, "package_digest", lambda: "other")
    others.append(run_key(study, "d", books))
    assert len({key, *others}) == 7
    for name in provenance:
        assert recorded_key(study.resolved(), {**provenance, name: {"03_fit": "other"}}) != key


def test_a_step_is_made_again_when_something_changes_that_it_reads(tmp_path, study):
    def key(reads=("seed",), study=study, data="d", head=None, files=(), source="1"):
        of = book(tmp_path, found=content(cell(source), lmmkit={"reads": list(reads)}))
        return step_key(of, study, data, head or {}, [Record("01", "k", tuple(files))])

    seeded = load_study(study.path, {"seed": 1})
    same, one = File("a.csv", 1, "11"), key()
    assert key(study=seeded) != one
    assert key(("title",), seeded) == key(("title",))
    assert (key(data="e"), key(("data",), data="e") == key(("data",))) == (one, False)
    assert key(files=[File("01.ipynb", 1, "11")]) == one  # an executed notebook is no input
    assert len({one, key(files=[same]), key(files=[replace(same, sha256="22")]), key(source="2"),
                key(head={"study.json": b"1"}), key(head={"study.json": b"2"})}) == 6  # fmt: skip
    assert key(("provenance",)) != key(())
    assert len(key()) == 64


def test_plain_data_have_one_digest_whatever_their_order():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


@pytest.mark.parametrize(("name", "good"), [
    ("03_fit", True), ("a.b-c", True), (".hidden", False), ("a/b", False), ("", False), ("a" * 201, False),
    ("a" * 200, True), ("a\n", False),
])  # fmt: skip
def test_names_of_steps_are_one_part_of_a_path(name, good):
    if good:
        assert safe_name(name) == name
    else:
        with pytest.raises(RunError, match=r"is no name of a step, and no key; expected one such as 03_fit$"):
            safe_name(name)


def test_the_root_of_the_digests_is_the_tree_of_rfc_6962():
    from hashlib import sha256

    def leaf(name, byte):
        return sha256(b"\x00" + name.encode() + b"\x00" + bytes([byte]) * 32).digest()

    def node(left, right):
        return sha256(b"\x01" + left + right).digest()

    files = [File(name, 1, f"{i:02x}" * 32) for i, name in enumerate("abcdef")]
    a, b, c, d, e, f = (leaf(name, i) for i, name in enumerate("abcdef"))
    assert root_digest([]) == sha256(b"").hexdigest()
    assert root_digest(files[:1]) == a.hex()
    assert root_digest(files[2::-1]) == node(node(a, b), c).hex()
    assert root_digest(files[:5]) == node(node(node(a, b), node(c, d)), e).hex()
    assert root_digest(files) == node(node(node(a, b), node(c, d)), node(e, f)).hex()


def test_what_makes_the_numbers_and_pictures_is_in_every_key(tmp_path, monkeypatch):
    assert list(keys.versions()) == [
        "python", "lmmkit", "numpy", "scipy", "pandas", "pyarrow", "narwhals", "statsmodels", "matplotlib",
        "seaborn", "jinja2",
    ]  # fmt: skip
    monkeypatch.setattr(keys, "_PACKAGE", tmp_path)
    found = {keys.package_digest.__wrapped__()}
    for ending in ("py", "html", "css", "json"):
        (tmp_path / f"a.{ending}").write_text("")
        found.add(keys.package_digest.__wrapped__())
    assert len(found) == 5
    (tmp_path / "a.pyc").touch()
    assert keys.package_digest.__wrapped__() in found


def test_the_source_is_that_of_the_package_alone_and_the_machine_is_told_by_its_processor(monkeypatch):
    files = sorted(path for path in Path(lmmkit.__file__).parent.rglob("*") if path.suffix in keys._SOURCE)
    read = []
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or b"")
    keys.package_digest.__wrapped__()
    assert read == files
    text = "processor : 0\nmodel name\t: Fast 3\nmodel name\t: Other\n"
    monkeypatch.setattr(Path, "read_text", lambda path, **_: text)
    monkeypatch.setattr(Path, "exists", lambda path: True)
    assert keys.machine.__wrapped__().endswith(", Fast 3")
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr("platform.processor", lambda: "")
    assert keys.machine.__wrapped__() == f"{platform.system()} {platform.machine()}"


def test_a_setting_is_plain_data_with_all_that_is_in_it(study):
    assert keys.plain_setting(study, "model.method") == "REML"
    assert keys.plain_setting(study, "inference")["df"] == "auto"
    columns = keys.plain_setting(study, "data.columns")
    assert {name: column["role"] for name, column in columns.items()} == {
        name: column.role for name, column in study.settings.data.columns.items()
    }
