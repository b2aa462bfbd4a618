"""Signatures are what the exchange verifies; a wrong key file is one clear sentence."""

import base64
import re
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from dora_bot.errors import ConfigError
from dora_bot.signing import Signer
from tests.fakes import keys

NOW_MS = 1_703_123_456_789
PATH = "/trade-api/v2/portfolio/orders"
SIGNED = f"{NOW_MS}GET{PATH}".encode()


def signature(headers: dict[str, str]) -> bytes:
    return base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"], validate=True)


@pytest.mark.parametrize("pem", [keys.rsa_pem(), keys.traditional_rsa_pem(), keys.rsa_pem().decode()])
def test_rsa_signs_time_method_and_path_with_pss_of_digest_length(pem: str | bytes) -> None:
    headers = Signer("key-id", pem).headers("get", f"{PATH}?limit=5", NOW_MS)
    assert headers["KALSHI-ACCESS-KEY"] == "key-id"
    assert headers["KALSHI-ACCESS-TIMESTAMP"] == str(NOW_MS)
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    keys.rsa_key().public_key().verify(signature(headers), SIGNED, pss, hashes.SHA256())


def test_a_salt_of_another_length_would_not_verify() -> None:
    headers = Signer("key-id", keys.rsa_pem()).headers("GET", PATH, NOW_MS)
    shorter = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=20)
    with pytest.raises(InvalidSignature):
        keys.rsa_key().public_key().verify(signature(headers), SIGNED, shorter, hashes.SHA256())


def test_ed25519_signs_the_same_text() -> None:
    headers = Signer("key-id", keys.ed25519_pem()).headers("GET", PATH, NOW_MS)
    keys.ed25519_key().public_key().verify(signature(headers), SIGNED)


def test_the_body_is_not_signed_and_the_method_is() -> None:
    headers = Signer("key-id", keys.ed25519_pem()).headers("DELETE", PATH, NOW_MS)
    with pytest.raises(InvalidSignature):
        keys.ed25519_key().public_key().verify(signature(headers), SIGNED)


def test_a_key_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(keys.ed25519_pem())
    headers = Signer.from_file("key-id", file).headers("GET", PATH, NOW_MS)
    keys.ed25519_key().public_key().verify(signature(headers), SIGNED)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a readable private key"),
        (b"hello", "not a readable private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a readable private key"),
        (keys.public_pem(), "private"),
        (keys.locked_pem(), "password"),
        (keys.elliptic_pem(), "neither an RSA nor an Ed25519 key"),
        (keys.rsa_pem(1024), "1024-bit"),
        (b"x" * 100_000, "too large"),
    ],
)
def test_a_wrong_key_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "wrong.pem"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(str(file))) as caught:
        Signer.from_file("key-id", file)
    assert complaint in str(caught.value)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        Signer.from_file("key-id", tmp_path / "absent.pem")


@pytest.mark.parametrize("key_id", ["", "  ", "schlüssel", "two\nlines"])
def test_a_key_id_that_cannot_be_a_header_is_refused(key_id: str) -> None:
    with pytest.raises(ConfigError, match="key id"):
        Signer(key_id, keys.ed25519_pem())


def test_the_private_key_is_not_shown() -> None:
    assert repr(Signer("key-id", keys.ed25519_pem())) == "Signer(key_id='key-id')"
