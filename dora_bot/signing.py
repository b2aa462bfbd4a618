"""Request signatures: RSA-PSS (SHA-256, salt 32) or Ed25519 over ``timestamp_ms + METHOD + path``.

The path is signed from the root and without its query; the body is not signed. Timestamps age within
seconds, so callers sign when they send, never when they queue.
"""

import base64
from pathlib import Path
from typing import Protocol, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dora_bot.errors import ConfigError

_SALT_BYTES = 32
_MIN_RSA_BITS = 2048
_MAX_PEM_BYTES = 64_000


class _Key(Protocol):
    def sign(self, text: bytes) -> bytes: ...


class _RsaKey:
    def __init__(self, key: RSAPrivateKey) -> None:
        self._key = key
        self._padding = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=_SALT_BYTES)
        self._hash = hashes.SHA256()

    def sign(self, text: bytes) -> bytes:
        return self._key.sign(text, self._padding, self._hash)


class Signer:
    """Signs requests for one API key. Safe to share between threads; never shows its private key."""

    def __init__(self, key_id: str, private_key_pem: str | bytes, source: str = "the private key") -> None:
        """Raises `ConfigError` that names ``source`` and says what is wrong with it."""
        if not key_id.strip() or not key_id.isascii() or not key_id.isprintable():
            raise ConfigError(
                "the API key id is empty or not plain text; copy it from the exchange's key page"
            )
        self.key_id = key_id.strip()
        self._key = _load_key(private_key_pem, source)

    @classmethod
    def from_file(cls, key_id: str, path: Path) -> Self:
        try:
            with path.open("rb") as file:
                pem = file.read(_MAX_PEM_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"private key file {path}: {error.strerror}") from error
        return cls(key_id, pem, f"private key file {path}")

    def headers(self, method: str, path: str, now_ms: int) -> dict[str, str]:
        """The three authentication headers for this request at this (exchange) time.

        ``path`` starts at the root (``/trade-api/v2/…``); a query string, if there is one, is left out.
        """
        signed = f"{now_ms}{method.upper()}{path.partition('?')[0]}"
        return {
            "KALSHI-ACCESS-KEY": self.key_id,
            "KALSHI-ACCESS-TIMESTAMP": str(now_ms),
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(self._key.sign(signed.encode())).decode("ascii"),
        }

    def __repr__(self) -> str:
        return f"Signer(key_id={self.key_id!r})"


def _load_key(pem: str | bytes, source: str) -> _Key:
    raw = pem.encode() if isinstance(pem, str) else pem
    if len(raw) > _MAX_PEM_BYTES:
        raise ConfigError(f"{source} is far too large for a key; is it the right file?")
    if b"PUBLIC KEY" in raw or b"CERTIFICATE" in raw:
        raise ConfigError(f"{source} holds a public key or certificate; the *private* key is needed")
    try:
        key = load_pem_private_key(raw, password=None)
    except TypeError as error:
        raise ConfigError(f"{source} is protected by a password; store it without one, mode 0600") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{source} is not a readable private key in PEM format") from error
    if isinstance(key, RSAPrivateKey):
        if key.key_size < _MIN_RSA_BITS:
            raise ConfigError(
                f"{source} is a {key.key_size}-bit RSA key; at least {_MIN_RSA_BITS} are needed"
            )
        return _RsaKey(key)
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise ConfigError(f"{source} is neither an RSA nor an Ed25519 key")
