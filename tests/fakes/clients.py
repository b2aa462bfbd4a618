"""The bot's client on an exchange of this machine."""

from dora_bot.clock import MeasuredClock
from dora_bot.exchange_client import KalshiClient
from dora_bot.hosts import LOOPBACK
from dora_bot.http_transport import HttpTransport
from dora_bot.signing import Signer


def local_client(rest_url: str, signer: Signer, clock: MeasuredClock) -> KalshiClient:
    """Connections are made when first used; the caller closes it."""
    return KalshiClient(HttpTransport(rest_url, signer.headers, clock, LOOPBACK), clock)
