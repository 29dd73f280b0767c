"""A verdict signed and checked, by cryptography and by OpenSSH; what was touched since is told."""

import base64
import hashlib
import importlib.util
import json
import shutil

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from support.projects import copied, edit, repair
from typer.testing import CliRunner

from lmmkit.errors import RunError
from lmmkit.study.audit import signature as signatures
from lmmkit.study.audit import verify as verifying
from lmmkit.study.audit.audit import audit_run
from lmmkit.study.audit.signature import check_signature, public_key, read_signature, sign
from lmmkit.study.audit.verify import verify
from lmmkit.study.cli.app import app
from lmmkit.study.records.artifacts import sha256
from lmmkit.study.records.manifest import File, Manifest, Record, root_digest

CONTENT = b'{"holds": true}\n'
FORMS = {
    "openssh": serialization.PrivateFormat.OpenSSH,
    "pem": serialization.PrivateFormat.PKCS8,
}


def key_file(folder, form="openssh", private=None, password=None):
    private = private or ed25519.Ed25519PrivateKey.generate()
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path = folder / "id"
    path.write_bytes(private.private_bytes(serialization.Encoding.PEM, FORMS[form], lock))
    path.chmod(0o600)
    public = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    (folder / "id.pub").write_bytes(public + b" somebody@somewhere\n")
    return path


@pytest.fixture(params=["cryptography", "ssh-keygen"])
def maker(request, monkeypatch):
    """One of the two that sign and check; the other is not there."""
    if request.param == "ssh-keygen":
        if shutil.which("ssh-keygen") is None:
            pytest.skip("ssh-keygen of OpenSSH is not installed")
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    else:
        monkeypatch.setattr(signatures.shutil, "which", lambda _: None)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_signed_is_checked(tmp_path, maker, form, request):
    if form == "pem" and "ssh-keygen" in request.node.name:
        pytest.skip("OpenSSH reads no ed25519 key in this form")
    key = key_file(tmp_path, form)
    armour = sign(CONTENT, key)
    assert check_signature(CONTENT, armour).key == public_key(tmp_path / "id.pub")
    assert check_signature(CONTENT, armour).fingerprint.startswith("SHA256:")
    with pytest.raises(RunError, match="what was signed is not what stands here"):
        check_signature(CONTENT.replace(b"true", b"false"), armour)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen of OpenSSH is not installed")
def test_both_make_the_same_signature(tmp_path, monkeypatch):
    key = key_file(tmp_path)
    one = sign(CONTENT, key)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert read_signature(sign(CONTENT, key)) == read_signature(one)
    assert check_signature(CONTENT, one).key == public_key(tmp_path / "id.pub")


def test_a_key_that_cannot_sign_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(signatures.shutil, "which", lambda _: None)
    with pytest.raises(RunError, match="is no file"):
        sign(CONTENT, tmp_path / "none")
    with pytest.raises(RunError, match="locked by a passphrase"):
        sign(CONTENT, key_file(tmp_path, "pem", password=b"secret"))
    with pytest.raises(RunError, match="a key of another kind"):
        sign(CONTENT, key_file(tmp_path, "pem", ec.generate_private_key(ec.SECP256R1())))
    (tmp_path / "text").write_text("no key")
    with pytest.raises(RunError, match="holds no private key"):
        sign(CONTENT, tmp_path / "text")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RunError, match=r"pip install lmmkit\[sign\]"):
        sign(CONTENT, tmp_path / "text")


def test_a_signature_that_cannot_be_checked_is_not_taken(tmp_path, monkeypatch):
    armour = sign(CONTENT, key_file(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(signatures.shutil, "which", lambda _: None)
    with pytest.raises(RunError, match="cannot be checked"):
        check_signature(CONTENT, armour)


@pytest.mark.parametrize("spoil", [
    lambda text: "", lambda text: text.replace("BEGIN", "BEGUN"), lambda text: text[:80] + text[90:],
    lambda text: text.replace("\n", "\n!", 1), lambda text: text[:-60] + text[-30:],
])  # fmt: skip
def test_a_damaged_signature_is_none(tmp_path, spoil):
    with pytest.raises(RunError, match="holds no signature of an audit"):
        read_signature(spoil(sign(CONTENT, key_file(tmp_path))))


def test_a_public_key_of_another_kind_is_refused(tmp_path):
    for text in ("", "ssh-rsa AAAA", "ssh-ed25519 AAAA", "ssh-ed25519 %%%%"):
        (tmp_path / "id.pub").write_text(text)
        with pytest.raises(RunError, match="holds no ed25519 public key"):
            public_key(tmp_path / "id.pub")


def test_a_fingerprint_is_that_of_openssh():
    """Of `ssh-keygen -l`, which prints no padding: 32 bytes are 43 letters."""
    key = base64.b64decode("AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43)
    printed = signatures.Signature(key, b"").fingerprint
    assert printed == f"SHA256:{base64.b64encode(hashlib.sha256(key).digest()).decode()[:43]}"


def test_a_text_with_its_length_before_it_is_read_whole_or_not_at_all():
    assert signatures._strings(b"\0\0\0\3abcd", 1) == [b"abc", b"d"]
    for cut in (b"\0\0\0\3ab", b"\0\0\0\5abcd", b"\0\0\0\x08abcd", b"\0\0\0"):
        with pytest.raises(ValueError, match="cut off"):
            signatures._strings(cut, 1)


@pytest.mark.parametrize("more", ["key", "end", "inner", "namespace", "hash", "kind", "signed"])
def test_a_signature_of_another_form_is_none(more):
    put, raw = signatures._string, b"r" * 32

    def armour(more):
        key = (
            put(b"ssh-rsa" if more == "kind" else b"ssh-ed25519")
            + put(raw)
            + (b"x" if more == "key" else b"")
        )
        inner = put(b"ssh-ed25519") + put(b"s" * (63 if more == "signed" else 64))
        namespace = b"file" if more == "namespace" else b"lmmkit-audit"
        parts = (
            key,
            namespace,
            b"",
            b"md5" if more == "hash" else b"sha512",
            inner + b"x" * (more == "inner"),
        )
        blob = b"SSHSIG\0\0\0\1" + b"".join(map(put, parts)) + b"x" * (more == "end")
        return f"{signatures._BEGIN}\n{base64.b64encode(blob).decode()}\n{signatures._END}\n"

    assert read_signature(armour("")).signed == b"s" * 64
    words = "by a key of another kind" if more in ("kind", "signed") else "not for audits of lmmkit"
    with pytest.raises(RunError, match=words):
        read_signature(armour(more))


def test_a_signer_is_the_one_that_is_known_another_or_nobody_known(tmp_path):
    key, known = key_file(tmp_path), tmp_path / "id.pub"
    armour, print_ = sign(CONTENT, key), signatures.Signature(public_key(known), b"").fingerprint
    (tmp_path / "other").mkdir()
    key_file(tmp_path / "other")

    def said(content=CONTENT, key=None):
        return [(f.what, f.verdict, f.found) for f in verifying._checked(content, armour, key)]

    good = ("signature", "holds", f"of audit.json, by the key {print_}")
    assert said(key=known) == [good, ("signer", "identical", print_)]
    assert said(key=tmp_path / "other/id.pub") == [good, ("signer", "DIFFERS", print_)]
    unknown = f"whose key {print_} is; name the one you know with --key FILE"
    assert said() == [good, ("signer", "untrusted", unknown)]
    (wrong,) = said(b"other")
    assert (wrong[:2], "what was signed is not what stands here" in wrong[2]) == (
        ("signature", "DIFFERS"),
        True,
    )


def test_an_audit_is_named_by_its_folder_or_its_file(tmp_path):
    place = tmp_path / "r.audit"
    place.mkdir()
    lost = r"is not there; expected what `lmmkit audit RUN --sign KEY` leaves"
    with pytest.raises(RunError, match=rf"audit\.json {lost}"):
        verify(place)
    content = b'{"sentence": "All holds.", "root": "", "holds": true}'
    (place / "audit.json").write_bytes(content)
    with pytest.raises(RunError, match=rf"audit\.json\.sig {lost}"):
        verify(place)
    (place / "audit.json.sig").write_text(sign(content, key_file(tmp_path)))
    for audit in (place, place / "audit.json"):
        found = [(finding.part, finding.what) for finding in verify(audit, key=tmp_path / "id.pub")]
        assert found == [("verification", what) for what in ("signature", "signer", "verdict", "run")]
    with pytest.raises(RunError, match="holds no ed25519 public key"):
        verify(place, key=tmp_path / "id")


def held(content, path, run=None):
    return [
        (f.what, f.verdict, f.found)
        for f in verifying._held_together(json.dumps(content).encode(), path, run)
    ]


def test_what_an_audit_says_is_held_against_its_run_where_that_lies(tmp_path):
    said = {"sentence": "All holds.", "root": "", "holds": True}
    lost = ("run", "not checked", "not found; name its folder with --run DIR")
    for folder in ("r.audit", "r"):  # no run beside the first; the second is no audit's folder
        (tmp_path / folder).mkdir()
        assert held(said, tmp_path / folder / "audit.json") == [("verdict", "holds", "All holds."), lost]
    for holds in (False, "true", 1, None):
        assert held(said | {"holds": holds}, tmp_path / "r/audit.json")[0][1] == "DIFFERS"
    assert held({"holds": True}, tmp_path / "r/audit.json") == [
        ("verdict", "DIFFERS", "audit.json is damaged")
    ]
    for gone, named in ((0, "5 files"), (2, "f0, f1"), (5, "f0, f1, f2")):
        files = tuple(File(f"f{i}", 1, "00" * 32 if i < gone else sha256(b"x")) for i in range(5))
        for i in range(5):
            (tmp_path / f"r/f{i}").write_bytes(b"x")
        manifest = Manifest("s", "k", "complete", steps=(Record("one", "k", files),))
        manifest.save(tmp_path / "r")
        root = root_digest(files)
        found = held(said | {"root": root}, tmp_path / "r.audit/audit.json")
        assert found[1:] == [
            ("root digest of the run", "identical", root[:12]),
            ("files of the run", "DIFFERS" if gone else "identical", named),
        ]
        assert held(said | {"root": "0"}, tmp_path / "audit.json", tmp_path / "r")[1][1] == "DIFFERS"


@pytest.fixture
def signed(finished, tmp_path):
    """A run in somebody's hands, its signed audit beside it, and the key."""
    folder, key = copied(finished, tmp_path), key_file(tmp_path)
    _, place = audit_run(folder, execute=False, key=key)
    return folder, place, tmp_path / "id.pub"


def told(found):
    return {finding.what: finding.verdict for finding in found}


@pytest.mark.slow
def test_a_signed_audit_and_its_run_are_held_together(signed):
    folder, place, key = signed
    assert told(verify(place, key=key)) == {
        "signature": "holds", "signer": "identical", "verdict": "holds",
        "root digest of the run": "identical",
        "files of the run": "identical",
    }  # fmt: skip
    assert told(verify(place))["signer"] == "untrusted"
    assert told(verify(place / "audit.json", run=folder))["root digest of the run"] == "identical"


@pytest.mark.slow
def test_what_was_touched_since_is_told(signed, tmp_path):
    folder, place, key = signed
    edit(folder / "fit.json", '"beta"', '"betb"')
    assert told(verify(place, key=key))["files of the run"] == "DIFFERS"
    repair(folder)
    assert told(verify(place, key=key))["root digest of the run"] == "DIFFERS"
    edit(place / "audit.json", '"holds": true', '"holds":  true')
    assert told(verify(place, key=key))["signature"] == "DIFFERS"
    (tmp_path / "other").mkdir()
    key_file(tmp_path / "other")
    assert told(verify(place, key=tmp_path / "other/id.pub"))["signature"] == "DIFFERS"
    (place / "audit.json").write_text("[]")
    assert told(verify(place, key=key))["verdict"] == "DIFFERS"


@pytest.mark.slow
def test_another_signer_and_a_run_that_is_gone_are_told(signed, tmp_path):
    folder, place, _ = signed
    (tmp_path / "other").mkdir()
    key_file(tmp_path / "other")
    assert told(verify(place, key=tmp_path / "other/id.pub"))["signer"] == "DIFFERS"
    shutil.move(folder, tmp_path / "elsewhere")
    assert told(verify(place))["run"] == "not checked"


@pytest.mark.slow
def test_an_audit_that_fails_is_signed_as_one_and_verified_as_one(finished, tmp_path):
    folder, key = copied(finished, tmp_path), key_file(tmp_path)
    edit(folder / "fit.json", '"beta"', '"betb"')
    _, place = audit_run(folder, execute=False, key=key)
    assert told(verify(place))["verdict"] == "DIFFERS"


@pytest.mark.slow
def test_the_commands_and_their_exit_codes(signed, finished, tmp_path):
    folder, place, key = signed
    ask = CliRunner().invoke
    done = ask(app, ["verify", str(place), "--key", str(key)])
    assert (done.exit_code, "as signed" in done.output) == (0, True), done.output
    assert ask(app, ["verify", str(tmp_path)]).exit_code == 2
    assert ask(app, ["verify", str(place), "--key", str(tmp_path / "id")]).exit_code == 2
    done = ask(app, ["audit", str(folder), "--no-execute", "--sign", str(tmp_path / "none")])
    assert (done.exit_code, "is no file" in done.output) == (2, True)
    done = ask(app, ["audit", str(folder), "--no-execute", "--strict"])
    assert (done.exit_code, "could not be made" in done.output) == (4, True), done.output
    assert not (place / "audit.json.sig").exists()  # the old signature is not of this verdict
    edit(folder / "fit.json", '"beta"', '"betb"')
    assert ask(app, ["audit", str(folder), "--no-execute", "--strict"]).exit_code == 3
    assert json.loads((place / "audit.json").read_bytes())["holds"] is False
