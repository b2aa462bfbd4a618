"""Made-up API keys in PEM form."""

from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

PKCS8 = PrivateFormat.PKCS8


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return _rsa_key(bits)


@cache
def _rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


@cache
def ed25519_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def rsa_pem(bits: int = 2048) -> bytes:
    return rsa_key(bits).private_bytes(Encoding.PEM, PKCS8, NoEncryption())


def traditional_rsa_pem() -> bytes:
    """``BEGIN RSA PRIVATE KEY``, as the exchange's key page hands out."""
    return rsa_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def ed25519_pem() -> bytes:
    return ed25519_key().private_bytes(Encoding.PEM, PKCS8, NoEncryption())


def locked_pem() -> bytes:
    return ed25519_key().private_bytes(Encoding.PEM, PKCS8, BestAvailableEncryption(b"secret"))


def public_pem() -> bytes:
    return ed25519_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def elliptic_pem() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PKCS8, NoEncryption())
