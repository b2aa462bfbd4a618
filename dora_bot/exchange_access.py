"""From settings to a signed connection: which key, which hosts may see a signature, and the calls' transport."""

import json
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import websocket
from botocore.exceptions import BotoCoreError, ClientError

from dora_bot.aws import aws_client, translated
from dora_bot.ceilings import Ceilings
from dora_bot.ceilings_file import guarded_bytes, read_ceilings
from dora_bot.clock import MeasuredClock
from dora_bot.config import Settings
from dora_bot.errors import AuthRefused, ConfigError, ExchangeUnreachable
from dora_bot.exchange_client import KalshiClient
from dora_bot.http_transport import HttpTransport, checked_address, dial, tls_context
from dora_bot.market_feed import FeedSettings
from dora_bot.signing import Signer

_SOCKET_TIMEOUT_S: Final = 5


def load_signer(settings: Settings) -> Signer:
    """The key from its file or from Secrets Manager. Raises `ConfigError` naming it, or `StoreError`.

    Where the ceilings name the keys of a host, the key must be one of those of both hosts. In live trading the file
    must be closed to group and others, and no folder above it may be writable for them.
    """
    settings.require_exchange()
    ceilings = read_ceilings(settings)
    secret_id = settings.kalshi_secret_id
    signer = _from_secret(secret_id) if secret_id else _from_file(settings)
    _require_key_of_host(settings, ceilings, signer)
    return signer


def _from_file(settings: Settings) -> Signer:
    path = settings.kalshi_private_key_path
    assert path is not None  # require_exchange saw to it
    if settings.env == "live":
        try:
            guarded_bytes(path, root_only=True, secret=True)
        except ConfigError as error:
            raise ConfigError(f"private key file {path}: {error}") from error
    return Signer.from_file(settings.kalshi_key_id, path)


def _require_key_of_host(settings: Settings, ceilings: Ceilings, signer: Signer) -> None:
    if not ceilings.hosts and settings.env != "live":
        return
    for url in (settings.kalshi_rest_url, settings.kalshi_ws_url):
        host = urlsplit(url).hostname or ""
        if signer.key_id not in ceilings.hosts.get(host, ()):
            raise ConfigError(f"the API key is not one of those that the ceilings file allows for {host}")


def connect_transport(settings: Settings, signer: Signer, clock: MeasuredClock) -> HttpTransport:
    """Makes no call yet. Raises `ConfigError` for an address that is not allowed in this environment."""
    ceilings = read_ceilings(settings)
    hosts = settings.trusted_hosts(ceilings)
    return HttpTransport(settings.kalshi_rest_url, signer.headers, clock, hosts, ca_file=ceilings.ca_file)


def feed_settings(settings: Settings, jitter: Callable[[], float]) -> FeedSettings:
    """Where the WebSocket is and whom to believe there; see `FeedSettings` for the ``jitter``."""
    ceilings = read_ceilings(settings)
    hosts = settings.trusted_hosts(ceilings)
    return FeedSettings(
        settings.kalshi_ws_url, hosts, jitter, ca_file=ceilings.ca_file, subaccount=settings.kalshi_subaccount
    )


def connect_client(settings: Settings, signer: Signer, clock: MeasuredClock) -> KalshiClient:
    """As `connect_transport`."""
    return KalshiClient(connect_transport(settings, signer, clock), clock, settings.kalshi_subaccount)


def try_socket(settings: Settings, signer: Signer, clock: MeasuredClock) -> None:
    """Open the WebSocket and close it again. Raises `AuthRefused`, `ExchangeUnreachable` or `ConfigError`."""
    ceilings = read_ceilings(settings)
    address = checked_address(settings.kalshi_ws_url, settings.trusted_hosts(ceilings), "ws")
    headers = signer.headers("GET", address.path, clock.now().exchange_ms)
    try:
        websocket.create_connection(
            settings.kalshi_ws_url,
            header=headers,
            timeout=_SOCKET_TIMEOUT_S,
            redirect_limit=0,
            socket=dial(address, tls_context(ceilings.ca_file), _SOCKET_TIMEOUT_S),
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
