"""The key that signs: from Secrets Manager at the start, or one clear error that names the secret."""

import base64
import json

import boto3
import pytest

from dora_bot.config import Settings
from dora_bot.errors import ConfigError, StoreError
from dora_bot.exchange_access import load_signer
from tests.fakes import keys


def settings(secret_id: str) -> Settings:
    return Settings.from_environ(
        {
            "DORA_KALSHI_REST_URL": "http://127.0.0.1:1",
            "DORA_KALSHI_WS_URL": "ws://127.0.0.1:1",
            "DORA_KALSHI_SECRET_ID": secret_id,
        }
    )


def keep(secret_id: str, text: str) -> None:
    boto3.client("secretsmanager", "us-east-1").create_secret(Name=secret_id, SecretString=text)


def test_the_key_is_read_from_secrets_manager_and_signs(aws_environment: str) -> None:
    assert aws_environment
    keep("whole", json.dumps({"key_id": "k-1", "private_key_pem": keys.ed25519_pem().decode()}))
    headers = load_signer(settings("whole")).headers("GET", "/trade-api/v2/x", 5)
    assert headers["KALSHI-ACCESS-KEY"] == "k-1"
    signature = base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"])
    keys.ed25519_key().public_key().verify(signature, b"5GET/trade-api/v2/x")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no-json", "no json"),
        ("list", "[]"),
        ("half", '{"key_id": "k-1"}'),
        ("number", '{"key_id": 7, "private_key_pem": "x"}'),
        ("no-key", '{"key_id": "k-1", "private_key_pem": "x"}'),
    ],
)
def test_a_secret_that_is_no_key_is_named_and_not_shown(aws_environment: str, name: str, text: str) -> None:
    assert aws_environment
    keep(name, text)
    with pytest.raises(ConfigError, match=name) as caught:
        load_signer(settings(name))
    assert text not in str(caught.value)


def test_a_secret_that_is_not_there_is_named(aws_environment: str) -> None:
    assert aws_environment
    with pytest.raises((ConfigError, StoreError), match="absent"):
        load_signer(settings("absent"))
