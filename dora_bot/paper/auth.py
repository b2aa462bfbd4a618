"""Who is calling: keys, signatures and the clock-skew window.

A request is signed over ``timestamp_ms + METHOD + path``, the path from the root and without its query.
RSA keys sign with PSS (SHA-256, salt of the digest's length), Ed25519 keys plainly. The replies are the
four 401 bodies the venue was seen to send.
"""

import base64
import binascii
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from dora_bot.paper.problems import Problem, nested

PublicKey = rsa.RSAPublicKey | ed25519.Ed25519PublicKey
PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

ALL_SCOPES = frozenset({"read", "write"})
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key of an account. ``subaccount`` locks it to that one; ``scopes`` as the venue names them."""

    key_id: str
    account: str
    public_key: PublicKey
    scopes: frozenset[str] = ALL_SCOPES
    subaccount: int | None = None

    def restricted(self, *, scopes: frozenset[str] | None = None, subaccount: int | None = None) -> "ApiKey":
        """The same key with other scopes, or locked to a subaccount."""
        locked = self.subaccount if subaccount is None else subaccount
        return replace(self, scopes=self.scopes if scopes is None else scopes, subaccount=locked)

    def may(self, scope: str) -> bool:
        """Whether the key has the scope or its parent (``write`` covers ``write::trade``)."""
        return scope in self.scopes or scope.split("::", maxsplit=1)[0] in self.scopes


@dataclass(frozen=True, slots=True)
class SkewWindow:
    """How far a request's timestamp may lie from the exchange's clock. Undocumented; 15 s fits all evidence."""

    back_ms: int = 15_000
    ahead_ms: int = 15_000

    def admits(self, timestamp_ms: int, now_ms: int) -> bool:
        return -self.back_ms <= timestamp_ms - now_ms <= self.ahead_ms


class KeyRing:
    """The keys of every account, by key id."""

    def __init__(self, window: SkewWindow) -> None:
        self.window = window
        self._keys: dict[str, ApiKey] = {}

    def add(self, key: ApiKey) -> None:
        self._keys[key.key_id] = key

    def find(self, key_id: str = "") -> ApiKey:
        """The key of this id, the first one without. Raises KeyError."""
        return self._keys[key_id or next(iter(self._keys), "")]

    def revoke(self, key_id: str) -> None:
        """The key is unknown from here on. Raises KeyError for a key that is not there."""
        del self._keys[key_id]

    def authenticate(self, headers: Mapping[str, str], method: str, path: str, now_ms: int) -> ApiKey:
        """The key that signed this request.

        ``path`` is without the query. Raises `Problem` with one of the four 401 bodies.
        """
        signature = headers.get("KALSHI-ACCESS-SIGNATURE", "")
        if not signature:
            raise nested(401, "signature_is_missing_from_headers")
        key = self._keys.get(headers.get("KALSHI-ACCESS-KEY", ""))
        if key is None:
            raise _authentication_error("NOT_FOUND")
        stamp = headers.get("KALSHI-ACCESS-TIMESTAMP", "")
        if not (stamp.isascii() and stamp.isdigit()) or not self.window.admits(int(stamp), now_ms):
            raise nested(401, "header_timestamp_expired")
        if not _verifies(key.public_key, signature, f"{stamp}{method}{path}".encode()):
            raise _authentication_error("INCORRECT_API_KEY_SIGNATURE")
        return key


def _authentication_error(details: str) -> Problem:
    return nested(401, "authentication_error", "authentication_error", details)


def _verifies(key: PublicKey, signature: str, text: bytes) -> bool:
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(raw, text, _PSS, hashes.SHA256())
        else:
            key.verify(raw, text)
    except (InvalidSignature, binascii.Error):
        return False
    return True


def new_private_key(kind: str = "rsa") -> PrivateKey:
    """A fresh key of 2048 bit RSA, or Ed25519."""
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def write_private_key(key: PrivateKey, path: Path) -> None:
    """Store the key as PEM that only its owner can read; an older file at that path is replaced."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)


def new_key_id() -> str:
    return str(uuid.uuid4())
