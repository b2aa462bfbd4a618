"""From settings to a signed connection: which key, which hosts may see a signature, and the calls' transport."""

import json
from typing import Final

import websocket
from botocore.exceptions import BotoCoreError, ClientError

from dora_bot.aws import aws_client, translated
from dora_bot.clock import MeasuredClock
from dora_bot.config import Settings
from dora_bot.errors import AuthRefused, ConfigError, ExchangeUnreachable
from dora_bot.exchange_client import KalshiClient
from dora_bot.http_transport import HttpTransport, checked_address
from dora_bot.signing import Signer

_SOCKET_TIMEOUT_S: Final = 5


def load_signer(settings: Settings) -> Signer:
    """The key from its file or from Secrets Manager. Raises `ConfigError` naming it, or `StoreError`."""
    settings.require_exchange()
    if settings.kalshi_secret_id:
        return _from_secret(settings.kalshi_secret_id)
    assert settings.kalshi_private_key_path  # require_exchange saw to it
    return Signer.from_file(settings.kalshi_key_id, settings.kalshi_private_key_path)


def connect_transport(settings: Settings, signer: Signer, clock: MeasuredClock) -> HttpTransport:
    """Makes no call yet. Raises `ConfigError` for an address that is not allowed in this environment."""
    return HttpTransport(settings.kalshi_rest_url, signer.headers, clock, settings.signed_hosts)


def connect_client(settings: Settings, signer: Signer, clock: MeasuredClock) -> KalshiClient:
    """As `connect_transport`."""
    return KalshiClient(connect_transport(settings, signer, clock), clock)


def try_socket(settings: Settings, signer: Signer, clock: MeasuredClock) -> None:
    """Open the WebSocket and close it again. Raises `AuthRefused`, `ExchangeUnreachable` or `ConfigError`."""
    parts = checked_address(settings.kalshi_ws_url, settings.signed_hosts, "ws")
    headers = signer.headers("GET", parts.path, clock.now().exchange_ms)
    try:
        websocket.create_connection(
            settings.kalshi_ws_url, header=headers, timeout=_SOCKET_TIMEOUT_S, http_no_proxy=["*"]
        ).close()
    except websocket.WebSocketBadStatusException as error:
        kind = AuthRefused if error.status_code in (401, 403) else ExchangeUnreachable
        raise kind(f"{settings.kalshi_ws_url} answered {error.status_code}") from error
    except (OSError, websocket.WebSocketException) as error:
        raise ExchangeUnreachable(f"{settings.kalshi_ws_url}: {error}") from error


def _from_secret(secret_id: str) -> Signer:
    try:
        text = aws_client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"]
        secret = json.loads(text)
        return Signer(secret["key_id"], secret["private_key_pem"], f"secret {secret_id}")
    except (ClientError, BotoCoreError) as error:
        raise translated(f"secret {secret_id}", error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'secret {secret_id} is not {{"key_id","private_key_pem"}}') from error
