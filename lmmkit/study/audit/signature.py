"""A verdict signed with an ed25519 key, and its signature checked, in the format of OpenSSH.

The format is SSHSIG (OpenSSH, PROTOCOL.sshsig): anybody with OpenSSH can check it by
`ssh-keygen -Y check-novalidate -n lmmkit-audit -s audit.json.sig < audit.json`. It is made and checked by the
package cryptography (the extra `sign`) where that is installed, else by ssh-keygen where that is.
"""

# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import base64
import hashlib
import importlib.util
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmmkit.errors import RunError
from lmmkit.study.records.artifacts import write_bytes
from lmmkit.study.records.temporary import temporary_folder

NAMESPACE = b"lmmkit-audit"
_MAGIC, _KIND, _HASH = b"SSHSIG", b"ssh-ed25519", b"sha512"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_NEITHER = (
    "neither the package cryptography (pip install lmmkit[sign]) nor ssh-keygen of OpenSSH is installed"
)


@dataclass(frozen=True)
class Signature:
    """A signature as a file holds it.

    Attributes:
        key: The public key, as SSH writes it on the wire.
        signed: The signature proper, 64 bytes.
    """

    key: bytes
    signed: bytes

    @property
    def fingerprint(self) -> str:
        """The key's fingerprint, as `ssh-keygen -l` prints it."""
        return f"SHA256:{base64.b64encode(hashlib.sha256(self.key).digest()).decode().rstrip('=')}"


def sign(content: bytes, key: Path) -> str:
    """The signature of a content, in OpenSSH's armour.

    Args:
        content: What is signed.
        key: A file with an ed25519 private key, in the form of OpenSSH or as PEM.

    Raises:
        RunError: it holds no such key, or there is nothing to sign with.
    """
    if not key.is_file():
        raise RunError(
            f"{key} is no file; expected an ed25519 private key, as `ssh-keygen -t ed25519` makes it"
        )
    if importlib.util.find_spec("cryptography"):
        private = _private_key(key)
        if private is not None:
            public = _public(private.public_key().public_bytes_raw())
            return _armoured(Signature(public, private.sign(_to_sign(content))))
    if shutil.which("ssh-keygen") is None:
        locked = importlib.util.find_spec("cryptography") is not None
        raise RunError(
            f"{key} is locked by a passphrase: ssh-keygen of OpenSSH could ask for it" if locked else _NEITHER
        )
    return _signed_by_openssh(content, key)


def _private_key(key: Path) -> Any:
    """The key in a file; None where a passphrase locks it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    content = key.read_bytes()
    openssh = b"BEGIN OPENSSH PRIVATE KEY" in content
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        found = load(content, password=None)
    except TypeError:  # a password is wanted
        return None
    except (ValueError, UnsupportedAlgorithm) as error:
        if openssh and "assword" in str(error):
            return None
        raise RunError(
            f"{key} holds no private key that can be read: {error}; expected an ed25519 key"
        ) from None
    if not isinstance(found, Ed25519PrivateKey):
        raise RunError(
            f"{key} holds a key of another kind; expected an ed25519 key (`ssh-keygen -t ed25519`)"
        )
    return found


def _signed_by_openssh(content: bytes, key: Path) -> str:
    with temporary_folder() as folder:
        path = Path(folder) / "audit.json"
        write_bytes(path, content)
        command = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", NAMESPACE.decode(), str(path)]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
        )
        made = path.with_name("audit.json.sig")
        if done.returncode or not made.is_file():
            said = (done.stderr.strip() or "no reason given").split("\n")[-1]
            raise RunError(f"{key} cannot sign: {said}; expected an ed25519 private key")
        armour = made.read_text(encoding="utf-8")
    read_signature(armour)
    return armour


def check_signature(content: bytes, armour: str) -> Signature:
    """The signature in a file, which is one of this content.

    Raises:
        RunError: it is none, it does not fit the content, or there is nothing to check it with.
    """
    found = read_signature(armour)
    if importlib.util.find_spec("cryptography"):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        _, key, _ = _strings(found.key, 2)
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(found.signed, _to_sign(content))
        except (InvalidSignature, ValueError):
            raise RunError("the signature does not fit: what was signed is not what stands here") from None
    elif shutil.which("ssh-keygen"):
        _checked_by_openssh(content, armour)
    else:
        raise RunError(f"the signature cannot be checked: {_NEITHER}")
    return found


def _checked_by_openssh(content: bytes, armour: str) -> None:
    with temporary_folder() as folder:
        path = Path(folder) / "audit.json.sig"
        write_bytes(path, armour.encode())
        command = ["ssh-keygen", "-Y", "check-novalidate", "-n", NAMESPACE.decode(), "-s", str(path)]
        done = subprocess.run(command, input=content, capture_output=True, check=False)
    if done.returncode:
        raise RunError("the signature does not fit: what was signed is not what stands here")


def read_signature(armour: str) -> Signature:
    """The signature in OpenSSH's armour, by an ed25519 key and for audits.

    Raises:
        RunError: it is none.
    """
    try:
        body = armour.strip().removeprefix(_BEGIN).removesuffix(_END)
        if f"{_BEGIN}{body}{_END}" != armour.strip():
            raise ValueError("its armour is damaged")
        blob = base64.b64decode("".join(body.split()), validate=True)
        if blob[:10] != _MAGIC + (1).to_bytes(4, "big"):
            raise ValueError("it is no SSHSIG of version 1")
        key, namespace, _, hashed, inner, end = _strings(blob[10:], 5)
        kind, public, rest = _strings(key, 2)
        signed_kind, signed, more = _strings(inner, 2)
        if namespace != NAMESPACE or hashed != _HASH or end + rest + more:
            raise ValueError("it is not for audits of lmmkit")
        if (kind, signed_kind, len(public), len(signed)) != (_KIND, _KIND, 32, 64):
            raise ValueError("it is by a key of another kind than ed25519")
    except ValueError as error:
        raise RunError(f"the file holds no signature of an audit: {error}") from None
    return Signature(key, signed)


def public_key(path: Path) -> bytes:
    """The ed25519 public key in a file such as `id_ed25519.pub`.

    Raises:
        RunError: it holds none.
    """
    try:
        kind, encoded, *_ = path.read_text(encoding="utf-8").split()
        key = base64.b64decode(encoded, validate=True)
        if kind.encode() != _KIND or _strings(key, 2)[0] != _KIND:
            raise ValueError(f"a key of the kind {kind}")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} holds no ed25519 public key: {error}; expected one such as id_ed25519.pub"
        ) from None
    return key


def _to_sign(content: bytes) -> bytes:
    digest = hashlib.sha512(content).digest()
    return _MAGIC + b"".join(map(_string, (NAMESPACE, b"", _HASH, digest)))


def _armoured(signature: Signature) -> str:
    inner = _string(_KIND) + _string(signature.signed)
    parts = (signature.key, NAMESPACE, b"", _HASH, inner)
    blob = _MAGIC + (1).to_bytes(4, "big") + b"".join(map(_string, parts))
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "\n".join([_BEGIN, *lines, _END]) + "\n"


def _public(raw: bytes) -> bytes:
    return _string(_KIND) + _string(raw)


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _strings(blob: bytes, count: int) -> list[bytes]:
    """So many strings with their lengths before them, and what is left.

    Raises:
        ValueError: the bytes end too early.
    """
    out = list[bytes]()
    for _ in range(count):
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + size:
            raise ValueError("it is cut off")
        out.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return [*out, blob]
