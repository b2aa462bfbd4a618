"""Signatures and the skew window: what is admitted and which of the four 401 bodies says no."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from dora_bot.paper.auth import ApiKey, KeyRing, PrivateKey, SkewWindow, new_private_key, write_private_key
from dora_bot.paper.problems import Problem

NOW = 1_781_159_348_000
PATH = "/trade-api/v2/portfolio/balance"
RSA_KEY = new_private_key()
ED_KEY = new_private_key("ed25519")


def sign(key: PrivateKey, text: str, salt: int = 32) -> str:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.sign(text.encode())
    else:
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=salt)
        raw = key.sign(text.encode(), pss, hashes.SHA256())
    return base64.b64encode(raw).decode()


def headers(
    key: PrivateKey, *, at: int = NOW, method: str = "GET", path: str = PATH, key_id: str = "k"
) -> dict[str, str]:
    return {
        "KALSHI-ACCESS-KEY": key_id,
        "KALSHI-ACCESS-TIMESTAMP": str(at),
        "KALSHI-ACCESS-SIGNATURE": sign(key, f"{at}{method}{path}"),
    }


def ring(key: PrivateKey = RSA_KEY) -> KeyRing:
    keys = KeyRing(SkewWindow(back_ms=15_000, ahead_ms=15_000))
    keys.add(ApiKey("k", "trader", key.public_key()))
    return keys


def refusal(
    given: dict[str, str], *, now: int = NOW, method: str = "GET", path: str = PATH
) -> tuple[int, object]:
    with pytest.raises(Problem) as caught:
        ring().authenticate(given, method, path, now)
    return caught.value.status, caught.value.body


@pytest.mark.parametrize("key", [RSA_KEY, ED_KEY], ids=["rsa", "ed25519"])
def test_a_good_signature_names_its_account(key: PrivateKey) -> None:
    assert ring(key).authenticate(headers(key), "GET", PATH, NOW).account == "trader"


@pytest.mark.parametrize("skew", [-15_000, -5_000, 0, 5_000, 15_000])
def test_the_window_includes_its_edges(skew: int) -> None:
    known = ring().authenticate(headers(RSA_KEY, at=NOW + skew), "GET", PATH, NOW)
    assert known.account == "trader"


@pytest.mark.parametrize("skew", [-300_000, -15_001, 15_001, 300_000])
def test_a_replayed_or_early_request_is_refused(skew: int) -> None:
    assert refusal(headers(RSA_KEY, at=NOW + skew)) == (
        401,
        {"error": {"code": "header_timestamp_expired", "message": "header timestamp expired"}},
    )


def test_a_missing_signature_has_its_own_body() -> None:
    given = headers(RSA_KEY)
    del given["KALSHI-ACCESS-SIGNATURE"]
    assert refusal(given) == (
        401,
        {
            "error": {
                "code": "signature_is_missing_from_headers",
                "message": "signature is missing from headers",
            }
        },
    )


def test_an_unknown_key_is_not_found() -> None:
    assert refusal(headers(RSA_KEY, key_id="other")) == (
        401,
        {
            "error": {
                "code": "authentication_error",
                "message": "authentication_error",
                "details": "NOT_FOUND",
            }
        },
    )


WRONG_SIGNATURE = {
    "error": {
        "code": "authentication_error",
        "message": "authentication_error",
        "details": "INCORRECT_API_KEY_SIGNATURE",
    }
}


@pytest.mark.parametrize(
    "given",
    [
        headers(RSA_KEY, path=PATH + "?limit=5"),
        headers(RSA_KEY, method="POST"),
        headers(new_private_key()),
        {**headers(RSA_KEY), "KALSHI-ACCESS-SIGNATURE": "not base64!"},
        {**headers(RSA_KEY), "KALSHI-ACCESS-SIGNATURE": sign(RSA_KEY, f"{NOW}GET{PATH}", salt=222)},
    ],
    ids=["query signed", "other method", "other key", "not base64", "salt of maximum length"],
)
def test_a_wrong_signature_is_told_apart(given: dict[str, str]) -> None:
    assert refusal(given) == (401, WRONG_SIGNATURE)


def test_a_revoked_key_is_unknown() -> None:
    keys = ring()
    keys.revoke("k")
    with pytest.raises(Problem) as caught:
        keys.authenticate(headers(RSA_KEY), "GET", PATH, NOW)
    assert caught.value.body["error"]["details"] == "NOT_FOUND"


def test_a_parent_scope_covers_its_parts() -> None:
    key = ApiKey("k", "a", RSA_KEY.public_key(), frozenset({"read", "write::trade"}))
    assert key.may("read::portfolio_balance")
    assert key.may("write::trade")
    assert not key.may("write::transfer")


def test_the_private_key_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("an older key")
    write_private_key(RSA_KEY, path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
