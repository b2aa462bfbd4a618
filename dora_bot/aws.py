"""AWS clients with deadlines, and AWS failures as the bot's own errors.

Standard retries, because the legacy ones block for 25 s and the adaptive ones for 6 s when a service is gone.
"""

import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
)

from dora_bot.errors import ConfigError, DoraError, StoreError

_LEGACY_ATTEMPTS = 5
"""Of a client that was made without a word on retries."""


def aws_client(service: str, *, attempts: int = 3, connect_s: float = 1.0, read_s: float = 2.0) -> Any:
    """A thread-safe client that follows the usual AWS variables, ``AWS_ENDPOINT_URL`` included.

    Raises `ConfigError` if no region is set.
    """
    config = Config(
        connect_timeout=connect_s,
        read_timeout=read_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        proxies={},  # none, whatever the environment says: the private key comes this way
    )
    session: Any = boto3.session.Session()  # untyped: the service is a variable here
    try:
        # boto3 itself knows only AWS_DEFAULT_REGION; AWS_REGION is what Lambda, ECS and people set.
        return session.client(service, region_name=os.environ.get("AWS_REGION"), config=config)
    except (NoRegionError, ValueError) as error:  # ValueError: the endpoint is not a URL
        raise ConfigError(
            f"AWS: {error}; set AWS_REGION (and AWS_ENDPOINT_URL for `dora local-aws`)"
        ) from error


def longest_call_ms(client: Any) -> int:
    """How long a call of this client may take: every attempt to its timeouts, and the pauses between them."""
    config = client.meta.config
    attempts = int((config.retries or {}).get("total_max_attempts", _LEGACY_ATTEMPTS))
    pauses_s = sum(2**at for at in range(attempts - 1))  # at most 1 s, 2 s, 4 s …
    seconds = attempts * (config.connect_timeout + config.read_timeout) + pauses_s
    return int(seconds * 1_000)


def translated(what: str, error: ClientError | BotoCoreError) -> DoraError:
    """The policy for a failed call: wrong set-up is a `ConfigError`, everything else a `StoreError`."""
    if isinstance(error, NoCredentialsError):
        return ConfigError("AWS: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a role")
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return StoreError(
            f"{what}: {str(error)[:300]}; check AWS_ENDPOINT_URL and the network, or start `dora local-aws`"
        )
    return StoreError(f"{what}: {str(error)[:300]}")


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
